//! Selectors and what may stand behind an expression: `[range]`, `[range:step]`, `offset`, `@`, `anchored`,
//! `smoothed`.

use nines_storage::model::{METRIC_NAME, MatchOp, Matcher};

use super::super::ast::{
    AtModifier, BinaryOp, DurationExpr, DurationNode, EdgeMode, Expr, ExprKind, MatrixSelector,
    Span, Subquery, TimeShift, VectorSelector,
};
use super::super::duration::millis;
use super::super::token::{Token, TokenKind};
use super::{
    AT, MATCHER, MATCHER_END, MATCHER_OP, MATCHER_VALUE, OFFSET, ParseError, Parsed,
    ParsedDuration, Parser, RANGE, RANGE_END, STEP, STEP_END, check_depth, cover,
};

impl Parser<'_> {
    /// A selector, of which nothing has been taken.
    pub(super) fn vector_selector(&mut self) -> Result<Parsed, ParseError> {
        let token = self.peek()?;
        if token.kind.is_metric_name() {
            self.take()?;
            return self.named_selector(token);
        }
        let (matchers, span) = self.matchers()?;
        self.selector(None, matchers, span)
    }

    /// A selector whose name has been taken.
    pub(super) fn named_selector(&mut self, name: Token) -> Result<Parsed, ParseError> {
        let (mut matchers, mut span) = (Vec::new(), name.span);
        if self.peek()?.kind == TokenKind::LeftBrace {
            let (braced, braces) = self.matchers()?;
            matchers = braced;
            span = cover(span, braces);
        }
        let name = self.token_text(name).to_owned();
        matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
        self.selector(Some(name), matchers, span)
    }

    fn selector(
        &mut self,
        name: Option<String>,
        matchers: Vec<Matcher>,
        span: Span,
    ) -> Result<Parsed, ParseError> {
        let selector =
            VectorSelector { name, matchers, shift: TimeShift::default(), edges: EdgeMode::Plain };
        self.node(ExprKind::VectorSelector(selector), span, 1)
    }

    /// `{matcher, matcher, ...}`.
    fn matchers(&mut self) -> Result<(Vec<Matcher>, Span), ParseError> {
        let open = self.expect(TokenKind::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            if let Some(close) = self.take_if(TokenKind::RightBrace)? {
                return Ok((matchers, cover(open.span, close.span)));
            }
            matchers.push(self.matcher()?);
            if self.take_if(TokenKind::Comma)?.is_none() {
                let close =
                    self.within(MATCHER_END, |parser| parser.expect(TokenKind::RightBrace))?;
                return Ok((matchers, cover(open.span, close.span)));
            }
        }
    }

    /// `name op "value"`, or the name of a metric in quotes.
    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let label = self.peek()?;
        let name = match label.kind {
            TokenKind::Identifier => self.token_text(label).to_owned(),
            TokenKind::String => self.unquoted(label)?,
            _ => return Err(self.unexpected_at(label, MATCHER)),
        };
        self.take()?;
        let operator = self.peek()?;
        let op = match operator.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Op(BinaryOp::Neq) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            _ if label.kind == TokenKind::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected_at(operator, MATCHER_OP)),
        };
        self.take()?;
        let value = self.within(MATCHER_VALUE, |parser| parser.expect(TokenKind::String))?;
        let span = cover(label.span, value.span);
        let matcher = Matcher::new(name, op, self.unquoted(value)?)
            .map_err(|cause| ParseError::new(span, cause.to_string()))?;
        self.count_regexes(matcher.cost(), span)?;
        Ok(matcher)
    }

    /// Everything that stands behind `parsed` and belongs to it.
    pub(super) fn modified(&mut self, mut parsed: Parsed) -> Result<Parsed, ParseError> {
        loop {
            let token = self.peek()?;
            parsed = match token.kind {
                TokenKind::LeftBracket => self.ranged(parsed)?,
                TokenKind::Offset => self.offset(parsed)?,
                TokenKind::At => self.at_modifier(parsed)?,
                TokenKind::Anchored => self.edges(parsed, EdgeMode::Anchored)?,
                TokenKind::Smoothed => self.edges(parsed, EdgeMode::Smoothed)?,
                _ => return Ok(parsed),
            };
        }
    }

    fn ranged(&mut self, parsed: Parsed) -> Result<Parsed, ParseError> {
        let open = self.take()?;
        let range = self.within(RANGE, Self::positive_duration)?;
        let token = self.peek()?;
        match token.kind {
            TokenKind::RightBracket => {
                self.take()?;
                self.matrix_selector(parsed, cover(open.span, token.span), range)
            }
            TokenKind::Colon => {
                self.take()?;
                self.subquery(parsed, range)
            }
            _ => Err(self.unexpected_at(token, RANGE_END)),
        }
    }

    fn matrix_selector(
        &mut self,
        parsed: Parsed,
        brackets: Span,
        range: ParsedDuration,
    ) -> Result<Parsed, ParseError> {
        let Expr { span: selector_span, kind: ExprKind::VectorSelector(selector) } = parsed.expr
        else {
            return Err(ParseError::new(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.shift.offset.is_some() {
            return Err(ParseError::new(brackets, "no offset modifiers allowed before range"));
        }
        if selector.shift.at.is_some() {
            return Err(ParseError::new(brackets, "no @ modifiers allowed before range"));
        }
        let depth = parsed.depth.max(range.depth) + 1;
        let kind = ExprKind::MatrixSelector(MatrixSelector {
            selector,
            selector_span,
            range: range.into_expr(),
        });
        self.node(kind, cover(selector_span, brackets), depth)
    }

    /// Everything behind the colon.
    fn subquery(&mut self, parsed: Parsed, range: ParsedDuration) -> Result<Parsed, ParseError> {
        let (mut step, mut depth) = (None, parsed.depth.max(range.depth) + 1);
        if self.peek()?.kind != TokenKind::RightBracket {
            let duration = self.within(STEP, Self::positive_duration)?;
            depth = depth.max(duration.depth + 1);
            step = Some(duration.into_expr());
        }
        let close = self.within(STEP_END, |parser| parser.expect(TokenKind::RightBracket))?;
        let span = cover(parsed.expr.span, close.span);
        let subquery = Subquery {
            expr: parsed.expr,
            range: range.into_expr(),
            step,
            shift: TimeShift::default(),
        };
        self.node(ExprKind::Subquery(Box::new(subquery)), span, depth)
    }

    fn positive_duration(&mut self) -> Result<ParsedDuration, ParseError> {
        let duration = self.duration_expression(0)?;
        match duration.node {
            DurationNode::Number(number) if number.value <= 0.0 => {
                Err(ParseError::new(duration.span, "duration must be greater than 0"))
            }
            _ => Ok(duration),
        }
    }

    fn offset(&mut self, mut parsed: Parsed) -> Result<Parsed, ParseError> {
        self.take()?;
        let duration = self.within(OFFSET, Self::offset_duration)?;
        let (span, end) = (parsed.expr.span, duration.span.end);
        let Some(shift) = shift_of(&mut parsed.expr) else {
            return Err(ParseError::new(
                span,
                "offset modifier must be preceded by an instant vector selector or range vector selector \
                 or a subquery",
            ));
        };
        if shift.offset.is_some() {
            return Err(ParseError::new(span, "offset may not be set multiple times"));
        }
        let depth = duration.depth + 1;
        // An offset of nothing is none: a second one may follow, and it is not printed.
        shift.offset =
            Some(duration.into_expr()).filter(|offset| *offset != DurationExpr::Millis(0));
        parsed.expr.span.end = end;
        parsed.depth = parsed.depth.max(depth);
        check_depth(parsed.depth, span)?;
        Ok(parsed)
    }

    fn at_modifier(&mut self, mut parsed: Parsed) -> Result<Parsed, ParseError> {
        self.take()?;
        let (at, end) = self.within(AT, Self::at_operand)?;
        let span = parsed.expr.span;
        let at = match at {
            AtOperand::Seconds(ts) => {
                // As Prometheus: the bounds are checked in seconds, and 2^63 itself is out of them.
                if ts.is_nan() || ts.abs() >= i64::MAX as f64 {
                    let message =
                        format!("timestamp out of bounds for @ modifier: {}", format_fixed(ts));
                    return Err(ParseError::new(span, message));
                }
                AtModifier::Timestamp((ts * 1000.0).round() as i64)
            }
            AtOperand::Edge(at) => at,
        };
        let Some(shift) = shift_of(&mut parsed.expr) else {
            return Err(ParseError::new(
                span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a \
                 subquery",
            ));
        };
        if shift.at.replace(at).is_some() {
            return Err(ParseError::new(span, "@ <timestamp> may not be set multiple times"));
        }
        parsed.expr.span.end = end;
        Ok(parsed)
    }

    /// What `@` refers to, and where that ends.
    fn at_operand(&mut self) -> Result<(AtOperand, usize), ParseError> {
        let edge = match self.peek()?.kind {
            TokenKind::Start => AtModifier::Start,
            TokenKind::End => AtModifier::End,
            _ => {
                let first = self.signed_number()?;
                return Ok((AtOperand::Seconds(first.value), self.last_end));
            }
        };
        self.take()?;
        self.expect(TokenKind::LeftParen)?;
        let close = self.expect(TokenKind::RightParen)?;
        Ok((AtOperand::Edge(edge), close.span.end))
    }

    fn edges(&mut self, mut parsed: Parsed, edges: EdgeMode) -> Result<Parsed, ParseError> {
        self.take()?;
        let span = parsed.expr.span;
        let word = if edges == EdgeMode::Anchored { "anchored" } else { "smoothed" };
        let selector = match &mut parsed.expr.kind {
            ExprKind::VectorSelector(selector) => selector,
            ExprKind::MatrixSelector(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => {
                return Err(ParseError::new(
                    span,
                    format!("{word} modifier is not supported for subqueries"),
                ));
            }
            _ => return Err(ParseError::new(span, format!("{word} modifier not implemented"))),
        };
        if ![EdgeMode::Plain, edges].contains(&selector.edges) {
            return Err(ParseError::new(
                span,
                "anchored and smoothed modifiers cannot be used together",
            ));
        }
        selector.edges = edges;
        Ok(parsed)
    }
}

enum AtOperand {
    Seconds(f64),
    Edge(AtModifier),
}

/// The modifiers of an expression that can have them.
fn shift_of(expr: &mut Expr) -> Option<&mut TimeShift> {
    match &mut expr.kind {
        ExprKind::VectorSelector(selector) => Some(&mut selector.shift),
        ExprKind::MatrixSelector(matrix) => Some(&mut matrix.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

/// As Go's `%f`.
fn format_fixed(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value:.6}")
    }
}

impl ParsedDuration {
    fn into_expr(self) -> DurationExpr {
        match self.node {
            DurationNode::Number(number) => DurationExpr::Millis(millis(number.value)),
            node => DurationExpr::Computed { expr: Box::new(node), span: self.span },
        }
    }
}
