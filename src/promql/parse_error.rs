//! Why a query text is not PromQL.

use super::ast::Span;

/// A syntax or type error. Only the first one found is reported, as Prometheus does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse error: {message}")]
pub struct ParseError {
    /// What the error is about, in bytes of the query text.
    pub span: Span,
    /// The error without its place.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// `LINE:COL: parse error: MESSAGE`, both counted from 1, the column in bytes
    /// (`promql/parser/posrange`). `query` must be the text that was parsed.
    #[must_use]
    pub fn render(&self, query: &str) -> String {
        format!("{}: {self}", place(query, self.span.start))
    }
}

fn place(query: &str, offset: usize) -> String {
    if query.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = query.as_bytes().get(..offset) else {
        return "invalid position".to_owned();
    };
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let column = match before.iter().rposition(|&byte| byte == b'\n') {
        Some(line_break) => offset - line_break,
        None => offset + 1,
    };
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(query: &str, start: usize) -> String {
        ParseError::new(Span { start, end: start }, "x").render(query)
    }

    #[test]
    fn places_count_lines_and_bytes_from_one() {
        assert_eq!(rendered("foo", 0), "1:1: parse error: x");
        assert_eq!(rendered("foo", 3), "1:4: parse error: x");
        assert_eq!(rendered("a\nbc", 2), "2:1: parse error: x");
        assert_eq!(rendered("a\nbc", 3), "2:2: parse error: x");
        assert_eq!(rendered("\"ä\" x", 5), "1:6: parse error: x");
        assert_eq!(rendered("", 0), "unknown position: parse error: x");
        assert_eq!(rendered("a", 5), "invalid position: parse error: x");
    }
}
