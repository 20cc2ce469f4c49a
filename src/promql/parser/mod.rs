//! From query text to syntax tree: the language of Prometheus 3.14 with everything experimental switched on.
//!
//! The grammar is that of `promql/parser/generated_parser.y`, parsed by recursive descent. The first error
//! found is the one reported, found in the same order as there: the next token is only asked for when the
//! decision needs it. Types are checked when the whole text has been read ([`types`]).
//!
//! Limits: [`QUERY_BYTES_MAX`], [`DEPTH_MAX`], [`NODES_MAX`], [`REGEXES_MAX`]. A tree is never deeper than [`DEPTH_MAX`]
//! (chains such as `1 + 1 + ...` count one level per operator), so recursion over it is safe. Time is linear
//! in the length of the text.

mod duration_expression;
mod expression;
mod selector;
mod types;

#[cfg(test)]
mod tests;

use nines_storage::model::Matcher;

use super::ast::{DurationNode, Expr, ExprKind, Span, Text};
use super::lexer::Lexer;
use super::parse_error::ParseError;
use super::quote::{quote, unquote};
use super::token::{Token, TokenKind};

pub use types::value_type;

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 64 << 10;

/// How deep expressions may be nested.
pub const DEPTH_MAX: usize = 256;

/// How many expressions and parts of duration expressions a query may have.
pub const NODES_MAX: usize = 10_000;

/// How many regular expressions a query may have, those of `label_replace` included: compiling one can take
/// milliseconds. A large one counts as several ([`Matcher::cost`]).
pub const REGEXES_MAX: usize = 256;

/// Reads and checks a query.
///
/// # Errors
/// The first syntax error, or if there is none the first type error; texts as those of Prometheus.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text)?;
    let first = parser.peek()?;
    if first.kind == TokenKind::Eof {
        return Err(ParseError::new(Span::default(), "no expression found in input"));
    }
    let expr = parser.expression(0)?.expr;
    parser.expect_end()?;
    types::check(expr, text)
}

/// Reads a vector selector without modifiers, as in `match[]` of the API. Whether it selects everything is
/// not checked.
///
/// # Errors
/// The first syntax error.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text)?;
    let first = parser.peek()?;
    if !first.kind.is_metric_name() && first.kind != TokenKind::LeftBrace {
        return Err(parser.unexpected(first));
    }
    let parsed = parser.vector_selector()?;
    parser.expect_end()?;
    match parsed.expr.kind {
        ExprKind::VectorSelector(selector) => Ok(selector.matchers),
        _ => Err(ParseError::new(parsed.expr.span, "unexpected error")),
    }
}

/// Where an unexpected token is reported: the innermost construct that Prometheus' grammar recovers in.
#[derive(Debug, Clone, Copy)]
struct Place {
    context: &'static str,
    expected: &'static str,
}

const TOP: Place = Place { context: "", expected: "" };
const AGGREGATION: Place = Place { context: "aggregation", expected: "" };
const OFFSET: Place = Place { context: "offset", expected: "number, duration, step(), or range()" };
const AT: Place = Place { context: "@", expected: "timestamp" };
const RANGE: Place = Place {
    context: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const RANGE_END: Place = Place { context: "subquery or range", expected: "\":\" or \"]\"" };
const STEP: Place =
    Place { context: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };
const STEP_END: Place = Place { context: "subquery selector", expected: "\"]\"" };
const GROUPING: Place = Place { context: "grouping opts", expected: "\"(\"" };
const GROUPING_LABEL: Place = Place { context: "grouping opts", expected: "label" };
const GROUPING_END: Place = Place { context: "grouping opts", expected: "\",\" or \")\"" };
const MATCHER: Place = Place { context: "label matching", expected: "identifier or \"}\"" };
const MATCHER_OP: Place = Place { context: "label matching", expected: "label matching operator" };
const MATCHER_VALUE: Place = Place { context: "label matching", expected: "string" };
const MATCHER_END: Place = Place { context: "label matching", expected: "\",\" or \"}\"" };

/// A tree under construction.
#[derive(Debug)]
struct Parsed {
    expr: Expr,
    /// Levels of the tree, counted from 1.
    depth: usize,
}

/// A duration expression under construction.
#[derive(Debug)]
struct ParsedDuration {
    node: DurationNode,
    span: Span,
    depth: usize,
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// Where the token taken last ended.
    last_end: usize,
    place: Place,
    /// Calls of the parser upon itself that have not returned.
    nesting: usize,
    nodes: usize,
    regexes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(ParseError::new(
                Span { start: 0, end: text.len() },
                format!(
                    "query is longer than {QUERY_BYTES_MAX} bytes, a fixed limit: split it into several queries"
                ),
            ));
        }
        Ok(Self {
            text,
            lexer: Lexer::new(text),
            peeked: None,
            last_end: 0,
            place: TOP,
            nesting: 0,
            nodes: 0,
            regexes: 0,
        })
    }

    fn peek(&mut self) -> Result<Token, ParseError> {
        if let Some(token) = self.peeked {
            return Ok(token);
        }
        let token = self.lexer.next_token()?;
        self.peeked = Some(token);
        Ok(token)
    }

    /// Takes the next token.
    fn take(&mut self) -> Result<Token, ParseError> {
        let token = self.peek()?;
        self.peeked = None;
        self.last_end = token.span.end;
        Ok(token)
    }

    /// Takes the next token if it is a `kind`.
    fn take_if(&mut self, kind: TokenKind) -> Result<Option<Token>, ParseError> {
        if self.peek()?.kind == kind { self.take().map(Some) } else { Ok(None) }
    }

    /// Takes the next token, which must be a `kind`.
    fn expect(&mut self, kind: TokenKind) -> Result<Token, ParseError> {
        let token = self.peek()?;
        if token.kind == kind { self.take() } else { Err(self.unexpected(token)) }
    }

    fn expect_end(&mut self) -> Result<(), ParseError> {
        self.expect(TokenKind::Eof).map(|_| ())
    }

    fn token_text(&self, token: Token) -> &'a str {
        &self.text[token.span.start..token.span.end]
    }

    /// Runs `parse` with another place for unexpected tokens.
    fn within<T>(
        &mut self,
        place: Place,
        parse: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        let outer = std::mem::replace(&mut self.place, place);
        let result = parse(self);
        self.place = outer;
        result
    }

    fn unexpected(&self, token: Token) -> ParseError {
        self.unexpected_at(token, self.place)
    }

    fn unexpected_at(&self, token: Token, place: Place) -> ParseError {
        let mut message = format!("unexpected {}", token.kind.describe(self.token_text(token)));
        if !place.context.is_empty() {
            message.push_str(" in ");
            message.push_str(place.context);
        }
        if !place.expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(place.expected);
        }
        ParseError::new(token.span, message)
    }

    /// Guards one level of recursion; undone by [`Self::leave`].
    fn enter(&mut self, span: Span) -> Result<(), ParseError> {
        self.nesting += 1;
        check_depth(self.nesting, span)
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// An expression `levels` above its deepest leaf.
    fn node(&mut self, kind: ExprKind, span: Span, depth: usize) -> Result<Parsed, ParseError> {
        self.count_node(span)?;
        check_depth(depth, span)?;
        Ok(Parsed { expr: Expr { span, kind }, depth })
    }

    fn count_node(&mut self, span: Span) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!(
                "query has more than {NODES_MAX} nodes, a fixed limit: split it into several queries"
            );
            return Err(ParseError::new(span, message));
        }
        Ok(())
    }

    /// The content of a string literal.
    fn literal(&self, token: Token) -> Result<Text, ParseError> {
        let literal = self.token_text(token);
        let cause = "invalid syntax";
        unquote(literal).map(Text::new).ok_or_else(|| unquoting(token.span, literal, cause))
    }

    /// The content of a string literal that is matched against labels, which are UTF-8.
    fn unquoted(&self, token: Token) -> Result<String, ParseError> {
        let text = self.literal(token)?;
        let literal = self.token_text(token);
        text.as_str()
            .map(str::to_owned)
            .ok_or_else(|| unquoting(token.span, literal, "invalid UTF-8"))
    }

    /// Counts regular expressions; a large one as several.
    fn count_regexes(&mut self, n: usize, span: Span) -> Result<(), ParseError> {
        self.regexes += n;
        if self.regexes > REGEXES_MAX {
            let message = format!(
                "query has more than {REGEXES_MAX} regular expressions (a large one counts as several), a fixed limit: join them with | or split the query"
            );
            return Err(ParseError::new(span, message));
        }
        Ok(())
    }
}

fn unquoting(span: Span, literal: &str, cause: &str) -> ParseError {
    ParseError::new(span, format!("error unquoting string {}: {cause}", quote(literal)))
}

fn check_depth(depth: usize, span: Span) -> Result<(), ParseError> {
    if depth > DEPTH_MAX {
        return Err(ParseError::new(
            span,
            format!(
                "query is nested deeper than {DEPTH_MAX} levels, a fixed limit: remove parentheses or split it"
            ),
        ));
    }
    Ok(())
}

const fn cover(first: Span, last: Span) -> Span {
    Span { start: first.start, end: last.end }
}
