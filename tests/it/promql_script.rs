//! The language of Prometheus's PromQL test scripts: `load`, `clear`, `eval instant`, `eval range` with what
//! is expected below them.

use nines::promql::notation::{Run, number, parse_series, parse_values};
use nines_storage::model::Labels;

use crate::memory::Sample;

/// A command and the line it stands on.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Clear,
    Load {
        step_ms: i64,
        series: Vec<(Labels, Vec<Option<Sample>>)>,
    },
    Eval(Box<Eval>),
    /// What the runner does not understand.
    Unknown(String),
}

#[derive(Debug, Default)]
pub(crate) struct Eval {
    pub(crate) query: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    pub(crate) ordered: bool,
    pub(crate) fails: Option<Text>,
    pub(crate) warnings: Vec<Text>,
    pub(crate) infos: Vec<Text>,
    pub(crate) no_warn: bool,
    pub(crate) no_info: bool,
    pub(crate) string: Option<String>,
    pub(crate) scalar: Option<f64>,
    /// Start and step of the times of an expected range vector.
    pub(crate) range_vector: Option<(i64, i64)>,
    pub(crate) series: Vec<(Labels, Vec<Option<Sample>>)>,
}

/// An expected text.
#[derive(Debug)]
pub(crate) enum Text {
    Any,
    Exactly(String),
    Pattern(String),
}

impl Text {
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == text,
            Self::Pattern(pattern) => {
                regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
            }
        }
    }
}

/// Reads a script.
pub(crate) fn parse(script: &str) -> Vec<Command> {
    let lines: Vec<&str> = script
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (line, head) = (at + 1, lines[at]);
        at += 1;
        if head.is_empty() {
            continue;
        }
        let end = (at..lines.len()).find(|&i| lines[i].is_empty()).unwrap_or(lines.len());
        let words: Vec<&str> = head.split_whitespace().collect();
        let what = if words[0] == "clear" {
            What::Clear
        } else {
            let body = &lines[at..end];
            at = end;
            let read =
                if words[0].starts_with("load") { load(&words, body) } else { eval(head, body) };
            read.unwrap_or_else(|| What::Unknown(head.to_owned()))
        };
        commands.push(Command { line, what });
    }
    commands
}

fn load(words: &[&str], body: &[&str]) -> Option<What> {
    let step_ms = duration(words.get(1)?)?;
    let series = body
        .iter()
        .filter(|l| !l.starts_with('@'))
        .map(|l| series(l))
        .collect::<Option<Vec<_>>>()?;
    Some(What::Load { step_ms, series })
}

fn eval(head: &str, body: &[&str]) -> Option<What> {
    let mut out = Eval::default();
    let (command, rest) = head.split_once(' ')?;
    match command {
        "eval" => {}
        "eval_fail" => out.fails = Some(Text::Any),
        "eval_ordered" => out.ordered = true,
        "eval_warn" => out.warnings.push(Text::Any),
        "eval_info" => out.infos.push(Text::Any),
        _ => return None,
    }
    let mut rest = rest.trim_start();
    let word = |rest: &mut &str| -> Option<String> {
        let (word, next) = rest.split_once(char::is_whitespace)?;
        *rest = next.trim_start();
        Some(word.to_owned())
    };
    if word(&mut rest)? == "instant" {
        word(&mut rest)?;
        out.start_ms = duration(&word(&mut rest)?)?;
        out.end_ms = out.start_ms;
    } else {
        word(&mut rest)?;
        out.start_ms = duration(&word(&mut rest)?)?;
        word(&mut rest)?;
        out.end_ms = duration(&word(&mut rest)?)?;
        word(&mut rest)?;
        out.step_ms = duration(&word(&mut rest)?)?;
    }
    out.query = rest.to_owned();
    for line in body {
        if let Some(expectation) = line.strip_prefix("expect ") {
            expect(expectation.trim(), &mut out)?;
        } else if let Some(scalar) = number(line) {
            out.scalar = Some(scalar);
        } else {
            out.series.push(series(line)?);
        }
    }
    Some(What::Eval(Box::new(out)))
}

fn expect(line: &str, out: &mut Eval) -> Option<()> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let text = || {
        if let Some(text) = rest.strip_prefix("msg:") {
            Text::Exactly(text.trim().to_owned())
        } else if let Some(text) = rest.strip_prefix("regex:") {
            Text::Pattern(text.trim().to_owned())
        } else {
            Text::Any
        }
    };
    match kind {
        "fail" => out.fails = Some(text()),
        "warn" => out.warnings.push(text()),
        "info" => out.infos.push(text()),
        "no_warn" => out.no_warn = true,
        "no_info" => out.no_info = true,
        "ordered" => out.ordered = true,
        "string" => out.string = Some(unquote(rest)?),
        "range" => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let ["vector", "from", start, "to", _, "step", step] = words.as_slice() else {
                return None;
            };
            out.range_vector = Some((duration(start)?, duration(step)?));
        }
        _ => return None,
    }
    Some(())
}

fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next()?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    if quote == '`' {
        return Some(inner.to_owned());
    }
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    Some(out)
}

/// A label set and the values behind it.
fn series(line: &str) -> Option<(Labels, Vec<Option<Sample>>)> {
    let end = description_end(line)?;
    let labels = parse_series(&line[..end]).ok()?;
    let runs = parse_values(&line[end..]).ok()?;
    Some((labels, runs.iter().flat_map(Run::values).collect()))
}

fn description_end(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    let mut inside = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => inside = true,
            (None, '}') => return Some(at + 1),
            (None, c) if c.is_whitespace() && !inside => {
                if line[at..].trim_start().starts_with('{')
                    && !line[at..].trim_start().starts_with("{{")
                {
                    continue;
                }
                return Some(at);
            }
            _ => {}
        }
    }
    (!inside).then_some(line.len())
}

/// `1h30m`, `90s`, `250ms`, `-1m`, or seconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if let Ok(seconds) = rest.parse::<f64>() {
        return Some(sign * (seconds * 1000.0) as i64);
    }
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
            ("y", 31_536_000_000),
        ];
        let (unit, ms) = units.iter().find(|u| rest.starts_with(u.0))?;
        rest = &rest[unit.len()..];
        total += count * ms;
    }
    Some(sign * total)
}
