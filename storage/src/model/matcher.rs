//! Label matchers.

mod cache;
mod re2;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Largest compiled size of one regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Compiled size up to which a regular expression counts as small.
const SMALL_REGEX_BYTES_MAX: usize = 32 << 10;

/// [`Matcher::cost`] of a regular expression that is not small.
const LARGE_REGEX_COST: usize = 25;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on one label. A label that a series does not have counts as the empty string.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Value or regular expression, as written.
    pub value: String,
    regex: Option<Arc<regex::Regex>>,
    cost: usize,
}

impl Matcher {
    /// A matcher; fails when `op` is a regular expression that does not compile. Regular expressions
    /// are anchored at both ends and their dot matches a line break, as in Prometheus.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self> {
        let (name, value) = (name.into(), value.into());
        let (regex, cost) = match op {
            MatchOp::Equal | MatchOp::NotEqual => (None, 0),
            MatchOp::Regex | MatchOp::NotRegex => {
                let (regex, cost) = compile_with_cost(&value)?;
                (Some(Arc::new(regex)), cost)
            }
        };
        Ok(Self { name, op, value, regex, cost })
    }

    /// What it took to compile the regular expression, in small ones (below a millisecond each): 0 without
    /// one, and more than 1 where Unicode classes or repetitions make it large. Whoever compiles what others
    /// send adds these up.
    #[must_use]
    pub const fn cost(&self) -> usize {
        self.cost
    }

    /// Compiles a regular expression of Go for the whole of a text, groups included. The error is Go's text.
    pub fn compile(pattern: &str) -> Result<regex::Regex> {
        compile_with_cost(pattern).map(|(regex, _)| regex)
    }

    /// `name="value"`.
    #[must_use]
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None, cost: 0 }
    }

    /// Whether a label with this value satisfies the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let same = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        match self.op {
            MatchOp::Equal | MatchOp::Regex => same,
            MatchOp::NotEqual | MatchOp::NotRegex => !same,
        }
    }

    /// Whether a series without the label satisfies the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

fn compile_with_cost(pattern: &str) -> Result<(regex::Regex, usize)> {
    if let Some(regex) = cache::find(pattern) {
        return Ok((regex, 1));
    }
    let invalid = |cause: &dyn fmt::Display| Error::Invalid { what: cause.to_string() };
    let written = re2::rust_pattern(pattern).map_err(|cause| invalid(&cause))?;
    let build = |bytes_max| {
        regex::RegexBuilder::new(&format!("^(?s:{written})$"))
            .size_limit(bytes_max)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
    };
    let built = match build(SMALL_REGEX_BYTES_MAX) {
        Err(regex::Error::CompiledTooBig(_)) => {
            build(REGEX_BYTES_MAX).map(|regex| (regex, LARGE_REGEX_COST))
        }
        built => built.map(|regex| {
            cache::keep(pattern, &regex);
            (regex, 1)
        }),
    };
    built.map_err(|cause| match cause {
        regex::Error::CompiledTooBig(_) => {
            invalid(&format_args!("error parsing regexp: expression too large: `{pattern}`"))
        }
        // Nothing that Go reads should come here but nesting beyond the crate's limit.
        _ => {
            invalid(&format_args!("error parsing regexp: expression nests too deeply: `{pattern}`"))
        }
    })
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn large_regular_expressions_cost_more() {
        let cost = |op, value: &str| Matcher::new("a", op, value).unwrap().cost();
        assert_eq!(cost(MatchOp::NotEqual, "b"), 0);
        assert_eq!(cost(MatchOp::Regex, "b.*|c[0-9]+"), 1);
        assert_eq!(cost(MatchOp::NotRegex, r"\pL{20}"), LARGE_REGEX_COST);
        let error = Matcher::new("a", MatchOp::Regex, r"\pL{900}").unwrap_err().to_string();
        assert!(error.contains("expression too large"), "{error}");
    }
}
