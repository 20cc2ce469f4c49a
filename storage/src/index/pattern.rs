//! What a regular expression says without being run: a set of literals, or a prefix that every match has.

/// A reading of a pattern (anchored at both ends, the dot matches everything).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `.*`
    Anything,
    /// `.+`
    NotEmpty,
    /// Exactly these strings.
    Literals(Vec<String>),
    /// Exactly the strings that begin so (`foo.*`).
    StartsWith(String),
    /// Only strings that begin so match, but not all of them need to. Often the empty string.
    Prefix(String),
}

const META: &[char] = &['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

impl Pattern {
    pub(crate) fn read(text: &str) -> Self {
        match text {
            ".*" => return Self::Anything,
            ".+" => return Self::NotEmpty,
            _ => {}
        }
        let inner = ungrouped(text);
        let parts: Option<Vec<String>> = alternatives(inner).map(literal).collect();
        if let Some(literals) = parts {
            return Self::Literals(literals);
        }
        if alternatives(text).nth(1).is_some() {
            return Self::Prefix(String::new());
        }
        let (prefix, rest) = leading_literal(text);
        if rest == ".*" { Self::StartsWith(prefix) } else { Self::Prefix(prefix) }
    }
}

/// `text` without one pair of parentheses around all of it.
fn ungrouped(text: &str) -> &str {
    let inner = text
        .strip_prefix("(?:")
        .or_else(|| text.strip_prefix('(').filter(|rest| !rest.starts_with('?')))
        .and_then(|rest| rest.strip_suffix(')'));
    // With another parenthesis inside, the two may not belong together.
    inner.filter(|inner| !inner.contains(['(', ')', '\\'])).unwrap_or(text)
}

/// The pieces between bars. A bar inside a group or a class splits too: its pieces are no literals then.
fn alternatives(text: &str) -> impl Iterator<Item = &str> {
    text.split('|')
}

/// The string that `text` matches, when it is only characters and escaped punctuation.
fn literal(text: &str) -> Option<String> {
    let (literal, rest) = leading_literal(text);
    rest.is_empty().then_some(literal)
}

/// The literal at the beginning of `text`, and what follows it.
fn leading_literal(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let Some((c, after)) = one_literal(rest) else { return (literal, rest) };
        if after.starts_with(['*', '?', '{', '+']) {
            return (literal, rest);
        }
        literal.push(c);
        rest = after;
    }
}

fn one_literal(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    match chars.next()? {
        '\\' => {
            let escaped = chars.next()?;
            (META.contains(&escaped) || matches!(escaped, '-' | '/'))
                .then_some((escaped, chars.as_str()))
        }
        c if META.contains(&c) => None,
        c => Some((c, chars.as_str())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{MatchOp, Matcher};
    use proptest::prelude::*;

    fn literals(all: &[&str]) -> Pattern {
        Pattern::Literals(all.iter().map(|s| (*s).to_owned()).collect())
    }

    #[test]
    fn reads_the_common_forms() {
        assert_eq!(Pattern::read(".*"), Pattern::Anything);
        assert_eq!(Pattern::read(".+"), Pattern::NotEmpty);
        assert_eq!(Pattern::read(""), literals(&[""]));
        assert_eq!(Pattern::read("a|b|c"), literals(&["a", "b", "c"]));
        assert_eq!(Pattern::read("(a|b)"), literals(&["a", "b"]));
        assert_eq!(Pattern::read("(?:a|)"), literals(&["a", ""]));
        assert_eq!(Pattern::read(r"10\.0\.0\.1:9100"), literals(&["10.0.0.1:9100"]));
        assert_eq!(Pattern::read("foo.*"), Pattern::StartsWith("foo".into()));
        assert_eq!(Pattern::read("foo.+"), Pattern::Prefix("foo".into()));
        assert_eq!(Pattern::read("foo?"), Pattern::Prefix("fo".into()));
        assert_eq!(Pattern::read("5.."), Pattern::Prefix("5".into()));
        assert_eq!(Pattern::read("(?i)foo"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read("(?i)a|b"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read("foo(a|b)"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read("(a|b)(c|d)"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read("[a|b]"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read(r"\d"), Pattern::Prefix(String::new()));
        assert_eq!(Pattern::read(r"\Qa|b\E"), Pattern::Prefix(String::new()));
    }

    proptest! {
        /// The reading never contradicts the compiled expression.
        #[test]
        fn agrees_with_the_expression(text in r"[ab.*+?()|\[\]{}\\1i:^$]{0,8}", value in "[ab1i.|]{0,4}") {
            let Ok(matcher) = Matcher::new("l", MatchOp::Regex, text.clone()) else { return Ok(()) };
            let matches = matcher.matches(&value);
            match Pattern::read(&text) {
                Pattern::Anything => prop_assert!(matches),
                Pattern::NotEmpty => prop_assert_eq!(matches, !value.is_empty()),
                Pattern::Literals(all) => prop_assert_eq!(matches, all.contains(&value)),
                Pattern::StartsWith(prefix) => prop_assert_eq!(matches, value.starts_with(&prefix)),
                Pattern::Prefix(prefix) => prop_assert!(!matches || value.starts_with(&prefix)),
            }
        }
    }
}
