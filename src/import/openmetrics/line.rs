//! One line of OpenMetrics text.

use nines_storage::model::{Labels, METRIC_NAME};

/// Largest timestamp in seconds, either way: the year 5138 and more than any clock says.
const SECONDS_MAX: f64 = 1e11;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Nothing about samples: a type, a help text, a unit.
    Nothing,
    /// That the text ends.
    End,
    /// A sample.
    Sample { labels: Labels, ts: i64, value: f64 },
}

type Parsed<T> = Result<T, String>;

/// Reads a line without its end.
pub(super) fn parse(line: &[u8]) -> Parsed<Line> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text == "# EOF" {
        return Ok(Line::End);
    }
    if text.is_empty() || text.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    let name_end = text.find(['{', ' ']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if let Some(inside) = rest.strip_prefix('{') {
        rest = labels(inside, &mut pairs)?;
    }
    if !pairs.iter().any(|(name, _)| name == METRIC_NAME) {
        return Err("there is no metric name".to_owned());
    }
    pairs.sort();
    if let Some([(name, _), _]) = pairs.windows(2).find(|two| matches!(two, [a, b] if a.0 == b.0)) {
        return Err(format!("label {name:?} occurs twice"));
    }
    let mut fields = rest.split(' ').filter(|field| !field.is_empty());
    let value = fields.next().ok_or("there is no value")?;
    let value: f64 = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    let ts = match fields.next() {
        Some(ts) if !ts.starts_with('#') => milliseconds(ts)?,
        _ => return Err("the sample has no timestamp".to_owned()),
    };
    if let Some(more) = fields.next().filter(|field| !field.starts_with('#')) {
        return Err(format!("{more:?} stands behind the timestamp"));
    }
    let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    Ok(Line::Sample { labels, ts, value })
}

/// Seconds as milliseconds, rounded to the nearest.
fn milliseconds(text: &str) -> Parsed<i64> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no timestamp"))?;
    if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
        let hint = "timestamps are seconds since 1970; are these milliseconds?";
        return Err(format!("the timestamp {text} is out of range ({hint})"));
    }
    Ok((seconds * 1000.0).round() as i64)
}

/// Reads labels up to the closing brace; a quoted text alone is the metric name. Answers what follows.
fn labels<'a>(mut rest: &'a str, pairs: &mut Vec<(String, String)>) -> Parsed<&'a str> {
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let is_quoted = rest.starts_with('"');
        let (name, behind) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = rest.find(['=', ',', '}', ' ']).ok_or("the labels do not end")?;
                let (name, behind) = rest.split_at(end);
                (name.to_owned(), behind)
            }
        };
        if name.is_empty() {
            return Err("a label has no name".to_owned());
        }
        let behind = behind.trim_start_matches([' ', '\t']);
        rest = match behind.strip_prefix('=') {
            Some(value) => {
                let value = value.trim_start_matches([' ', '\t']);
                let inside = value.strip_prefix('"').ok_or("a label's value is not quoted")?;
                let (value, behind) = quoted(inside)?;
                pairs.push((name, value));
                behind
            }
            None if is_quoted => {
                pairs.push((METRIC_NAME.to_owned(), name));
                behind
            }
            None => return Err(format!("label {name:?} has no value")),
        };
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return Err("the labels do not end".to_owned()),
        }
    }
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> Parsed<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('\\' | '"'))) => out.push(c),
                Some((_, other)) => out.extend(['\\', other]),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn sample(text: &str) -> (String, i64, f64) {
        match parse(text.as_bytes()).unwrap() {
            Line::Sample { labels, ts, value } => (labels.to_string(), ts, value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn samples_are_read() {
        assert_eq!(
            sample("a_total 1 1700000000.013"),
            (r#"{__name__="a_total"}"#.to_owned(), 1_700_000_000_013, 1.0)
        );
        let exemplar = r##"a{le="+Inf",x="q\"\\\n,}#"} +Inf -1.5 # {trace_id="} 1 2"} 0.5 3"##;
        let (labels, ts, value) = sample(exemplar);
        assert_eq!(labels, r##"{__name__="a", le="+Inf", x="q\"\\\n,}#"}"##);
        assert_eq!((ts, value), (-1500, f64::INFINITY));
        let utf8 = r#"{"my.metric", "a b"="c", d="e",} 0x1 2"#;
        assert!(parse(utf8.as_bytes()).is_err(), "hexadecimal");
        let (labels, ..) = sample(r#"{"my.metric", "a b"="c", d="e",} 1e3 2"#);
        assert_eq!(labels, r#"{__name__="my.metric", a b="c", d="e"}"#);
        assert!(sample("a NaN 1").2.is_nan());
        assert_eq!(sample("a{} 1 1\r").1, 1000);
    }

    #[test]
    fn other_lines_say_what_they_are_or_what_is_wrong() {
        for nothing in ["", "# TYPE a counter", "# HELP a is # EOF", "# UNIT a s"] {
            assert_eq!(parse(nothing.as_bytes()), Ok(Line::Nothing));
        }
        assert_eq!(parse(b"# EOF"), Ok(Line::End));
        for (text, why) in [
            ("a 1", "no timestamp"),
            ("a 1 # {x=\"y\"} 1", "no timestamp"),
            ("a", "no value"),
            ("a{} x 1", "no number"),
            ("a 1 x", "no timestamp"),
            ("a 1 NaN", "out of range"),
            ("a 1 1700000000000", "milliseconds?"),
            ("a 1 2 3", "behind the timestamp"),
            ("{a=\"b\"} 1 2", "no metric name"),
            ("a{b=\"c\",b=\"d\"} 1 2", "occurs twice"),
            ("a{\"b\"} 1 2", "occurs twice"),
            ("a{b=\"c} 1 2", "not closed"),
            ("a{b=\"c\\", "not closed"),
            ("a{b} 1 2", "has no value"),
            ("a{b=c} 1 2", "not quoted"),
            ("a{b=\"c\" d=\"e\"} 1 2", "do not end"),
            ("a{=\"c\"} 1 2", "no name"),
            ("a{", "do not end"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse(b"a{b=\"\xff\"} 1 2").is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(text in "[a{}\",=\\\\ #1.ENaF\u{e9}-]{0,40}") {
            let _read = parse(text.as_bytes());
        }
    }
}
