//! Series as Prometheus's test files write them: `name{label="value"}`, and values at even distances such as
//! `1 0+10x60 _x3 stale {{count:3}}`.

mod histogram;

use std::iter::repeat_n;
use std::sync::Arc;

use nines_storage::model::{Labels, MatchOp, stale_nan};

use super::parser::parse_selector;
use super::value::SampleValue;
use histogram::Written;

/// Values of one series at most.
pub const VALUES_MAX: u64 = 10_000_000;

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotationError {
    /// Byte of the text.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// Values that one word stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    what: What,
    n: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Nothing,
    Float { first: f64, step: Option<f64> },
    Histogram { first: Box<Written>, step: Option<(Box<Written>, f64)> },
}

impl Run {
    /// How many values: those left out are counted.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The values; `None` where there is none.
    pub fn values(&self) -> Box<dyn Iterator<Item = Option<SampleValue>> + '_> {
        let n = usize::try_from(self.n).unwrap_or(usize::MAX);
        match &self.what {
            What::Nothing => Box::new(repeat_n(None, n)),
            What::Float { first, step: None } => {
                Box::new(repeat_n(Some(SampleValue::Float(*first)), n))
            }
            What::Float { first, step: Some(step) } => {
                // Added up one by one, as Prometheus does, so that the last bits are the same.
                let mut next = *first;
                Box::new((0..self.n).map(move |_| {
                    let value = next;
                    next += step;
                    Some(SampleValue::Float(value))
                }))
            }
            What::Histogram { first, step: None } => {
                let value = SampleValue::Histogram(Arc::new(first.histogram()));
                Box::new(repeat_n(Some(value), n))
            }
            What::Histogram { first, step: Some((step, sign)) } => {
                Box::new((0..self.n).map(move |i| {
                    let sum = first.plus(step, sign * i as f64);
                    Some(SampleValue::Histogram(Arc::new(sum.histogram())))
                }))
            }
        }
    }

    fn float(first: f64, step: Option<f64>, n: u64) -> Self {
        Self { what: What::Float { first, step }, n }
    }
}

/// Reads the labels of a series.
///
/// # Errors
/// When it is no selector, or one that leaves a label open.
pub fn parse_series(text: &str) -> Result<Labels, NotationError> {
    let matchers = parse_selector(text).map_err(|error| NotationError {
        offset: error.span.start,
        message: format!("{text:?} is no series: {}", error.message),
    })?;
    if let Some(open) = matchers.iter().find(|matcher| matcher.op != MatchOp::Equal) {
        let message =
            format!("the label {} of a series needs one value: write {0}=\"...\"", open.name);
        return Err(NotationError { offset: 0, message });
    }
    let mut pairs: Vec<(&str, &str)> =
        matchers.iter().map(|matcher| (matcher.name.as_str(), matcher.value.as_str())).collect();
    pairs.sort_unstable();
    if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let message = format!("the label {} of a series is there twice", pair[0].0);
        return Err(NotationError { offset: 0, message });
    }
    Ok(Labels::from_pairs(pairs.into_iter().filter(|pair| !pair.1.is_empty())))
}

/// Reads values: `1 2 _ 3+1x5 stale {{count:1}}x2`.
///
/// # Errors
/// When a word is none, or there are more than [`VALUES_MAX`] values.
pub fn parse_values(text: &str) -> Result<Vec<Run>, NotationError> {
    let mut runs = Vec::new();
    let mut n = 0u64;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let offset = text.len() - rest.len();
        let error = |message: String| NotationError { offset, message };
        let (word, next) = split_word(rest)
            .ok_or_else(|| error("brackets of a histogram do not match".to_owned()))?;
        let run = parse_word(word).ok_or_else(|| {
            error(format!(
                "{word:?} is no value: write such as 1, 0+10x60, _x3, stale or {{{{count:3 sum:4}}}}"
            ))
        })?;
        n = n.saturating_add(run.n);
        if n > VALUES_MAX {
            return Err(error(format!("the series has more than {VALUES_MAX} values")));
        }
        runs.push(run);
        rest = next.trim_start();
    }
    Ok(runs)
}

fn split_word(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            c if c.is_whitespace() && depth == 0 => return Some(text.split_at(at)),
            _ => {}
        }
    }
    (depth == 0).then_some((text, ""))
}

fn parse_word(word: &str) -> Option<Run> {
    if word.starts_with("{{") {
        return parse_histograms(word);
    }
    if word == "_" {
        return Some(Run { what: What::Nothing, n: 1 });
    }
    if let Some(n) = word.strip_prefix("_x") {
        return Some(Run { what: What::Nothing, n: times(n)? });
    }
    if let Some(value) = value(word) {
        return Some(Run::float(value, None, 1));
    }
    let (head, n) = word.rsplit_once('x')?;
    let n = times(n)? + 1;
    if let Some(value) = value(head) {
        return Some(Run::float(value, None, n));
    }
    // The sign between start and step is not the first character and not behind an exponent.
    let (at, _) = head.char_indices().skip(1).find(|&(at, c)| {
        matches!(c, '+' | '-') && !head.get(..at).unwrap_or_default().ends_with(['e', 'E'])
    })?;
    let (first, step) = head.split_at(at);
    Some(Run::float(number(first)?, Some(number(step)?), n))
}

fn value(text: &str) -> Option<f64> {
    if text == "stale" { Some(stale_nan()) } else { number(text) }
}

fn times(text: &str) -> Option<u64> {
    // Below what would overflow; more than there may be is told where values are counted.
    text.parse::<u32>().ok().map(u64::from)
}

fn parse_histograms(word: &str) -> Option<Run> {
    let (first, rest) = word.strip_prefix("{{")?.split_once("}}")?;
    let first = Written::parse(first)?;
    let of = |step, n| Run { what: What::Histogram { first: Box::new(first.clone()), step }, n };
    if rest.is_empty() {
        return Some(of(None, 1));
    }
    if let Some(n) = rest.strip_prefix('x') {
        return Some(of(None, times(n)? + 1));
    }
    let sign = match rest.as_bytes().first()? {
        b'+' => 1.0,
        b'-' => -1.0,
        _ => return None,
    };
    let (step, n) = rest.get(1..)?.strip_prefix("{{")?.split_once("}}x")?;
    let step = Written::parse(step)?;
    first.fits(&step).then_some(())?;
    Some(of(Some((Box::new(step), sign)), times(n)? + 1))
}

/// A float as test files write it.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" => Some(sign * f64::INFINITY),
        other if other.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Some(sign * other.parse::<f64>().ok()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nines_storage::model::is_stale;

    use super::*;

    fn told(text: &str) -> Vec<Option<f64>> {
        let float = |value: Option<SampleValue>| match value {
            Some(SampleValue::Float(value)) => Some(value),
            _ => None,
        };
        parse_values(text).unwrap().iter().flat_map(Run::values).map(float).collect()
    }

    #[test]
    fn words_stand_for_values() {
        assert_eq!(
            told("1 -2.5 _ 0+10x3 5-1x2 7x1 _x2 1e1+1e-1x1"),
            [
                vec![Some(1.0), Some(-2.5), None, Some(0.0), Some(10.0), Some(20.0), Some(30.0)],
                vec![Some(5.0), Some(4.0), Some(3.0), Some(7.0), Some(7.0), None, None],
                vec![Some(10.0), Some(10.1)],
            ]
            .concat()
        );
        assert_eq!(told(" \n "), []);
        assert_eq!(told("_x0 1x0"), [Some(1.0)]);
        let stale = told("stale stalex1 NaN -0x1");
        assert!(stale[..3].iter().all(|value| is_stale(value.unwrap())), "{stale:?}");
        assert!(stale[3].unwrap().is_nan() && !is_stale(stale[3].unwrap()));
        assert!(stale[4..].iter().all(|value| value.unwrap().is_sign_negative()), "{stale:?}");
    }

    #[test]
    fn histograms_grow_by_others() {
        let runs = parse_values(
            "{{schema:0 sum:3 count:5 offset:1 buckets:[2 3]}}+{{count:1 buckets:[1]}}x2",
        );
        let last = runs.unwrap()[0].values().last().unwrap().unwrap();
        let SampleValue::Histogram(last) = last else { panic!("{last:?}") };
        assert_eq!(last.count(), 7.0);
        assert_eq!(last.positive_spans.len(), 1);
        assert_eq!((last.positive_spans[0].offset, last.positive_spans[0].length), (0, 3));
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        for (text, offset, what) in [
            ("1 2 three", 4, "\"three\" is no value"),
            ("1+2", 0, "\"1+2\" is no value"),
            ("1 {{count:1", 2, "brackets"),
            ("1 }}", 2, "brackets"),
            ("0+1x", 0, "is no value"),
            ("0x4294967296", 0, "is no value"),
            ("1 0x9999999", 2, "more than 10000000 values"),
            ("{{offset:2000000000 buckets:[1]}}+{{buckets:[1]}}x1", 0, "is no value"),
            ("{{colour:1}}", 0, "is no value"),
        ] {
            let error = parse_values(text).unwrap_err();
            assert_eq!(error.offset, offset, "{text}");
            assert!(error.message.contains(what), "{text}: {}", error.message);
        }
        for (text, what) in [
            ("up{job=~\"a\"}", "the label job of a series needs one value"),
            ("up{job=\"a\",job=\"b\"}", "the label job of a series is there twice"),
            ("up{", "is no series"),
        ] {
            let error = parse_series(text).unwrap_err();
            assert!(error.message.contains(what), "{text}: {}", error.message);
        }
        let labels = parse_series("up{job=\"a\"}").unwrap();
        assert_eq!((labels.get("__name__"), labels.get("job")), ("up", "a"));
    }
}
