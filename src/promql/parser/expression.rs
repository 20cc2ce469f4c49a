//! Operators, calls, aggregations and literals.

use super::super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, NumberLiteral,
    Span, Unary, VectorMatching,
};
use super::super::duration::{parse_duration_ms, seconds};
use super::super::functions;
use super::super::number::parse_number;
use super::super::quote::{quote, quote_bytes};
use super::super::token::{Token, TokenKind};
use super::{
    AGGREGATION, GROUPING, GROUPING_END, GROUPING_LABEL, ParseError, Parsed, Parser, cover,
};

/// How strongly an operator binds; all but `^` to the left.
pub(super) const fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eql
        | BinaryOp::Neq
        | BinaryOp::Lss
        | BinaryOp::Lte
        | BinaryOp::Gtr
        | BinaryOp::Gte
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => POWER,
    }
}

/// The precedence of `^`, the only operator that binds stronger than a sign.
pub(super) const POWER: u8 = 6;

/// The weakest operator that the right side of `op` may contain.
pub(super) const fn right_precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Pow => POWER,
        _ => precedence(op) + 1,
    }
}

/// What stands between a binary operator and its right side.
struct BinaryModifiers {
    return_bool: bool,
    matching: VectorMatching,
}

impl Parser<'_> {
    /// An expression of operators that bind at least as strong as `weakest`.
    pub(super) fn expression(&mut self, weakest: u8) -> Result<Parsed, ParseError> {
        let first = self.peek()?;
        self.enter(first.span)?;
        let mut left = self.operand()?;
        while let TokenKind::Op(op) = self.peek()?.kind {
            if precedence(op) < weakest {
                break;
            }
            self.take()?;
            let modifiers = self.binary_modifiers()?;
            let right = self.expression(right_precedence(op))?;
            left = self.binary(op, left, modifiers, right)?;
        }
        self.leave();
        Ok(left)
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: Parsed,
        modifiers: BinaryModifiers,
        right: Parsed,
    ) -> Result<Parsed, ParseError> {
        let span = cover(left.expr.span, right.expr.span);
        let depth = left.depth.max(right.depth) + 1;
        let binary = Binary {
            op,
            lhs: left.expr,
            rhs: right.expr,
            return_bool: modifiers.return_bool,
            matching: Some(modifiers.matching),
        };
        self.node(ExprKind::Binary(Box::new(binary)), span, depth)
    }

    fn operand(&mut self) -> Result<Parsed, ParseError> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take()?;
                let operand = self.expression(POWER)?;
                self.unary(token.span, op == BinaryOp::Sub, operand)
            }
            _ => {
                let primary = self.primary(token)?;
                self.modified(primary)
            }
        }
    }

    fn unary(&mut self, sign: Span, negate: bool, operand: Parsed) -> Result<Parsed, ParseError> {
        let span = cover(sign, operand.expr.span);
        if let ExprKind::Number(number) = operand.expr.kind {
            let number = signed(number, negate);
            return Ok(Parsed {
                expr: Expr { span, kind: ExprKind::Number(number) },
                depth: operand.depth,
            });
        }
        let depth = operand.depth + 1;
        self.node(ExprKind::Unary(Box::new(Unary { negate, expr: operand.expr })), span, depth)
    }

    fn primary(&mut self, token: Token) -> Result<Parsed, ParseError> {
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.take()?;
                let number = self.number(token)?;
                self.node(ExprKind::Number(number), token.span, 1)
            }
            TokenKind::String => {
                self.take()?;
                let text = self.literal(token)?;
                self.node(ExprKind::String(text), token.span, 1)
            }
            TokenKind::LeftParen => {
                self.take()?;
                let inner = self.expression(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                let depth = inner.depth + 1;
                self.node(
                    ExprKind::Paren(Box::new(inner.expr)),
                    cover(token.span, close.span),
                    depth,
                )
            }
            TokenKind::LeftBrace => self.vector_selector(),
            TokenKind::Aggregate(op) => {
                self.take()?;
                match self.peek()?.kind {
                    TokenKind::LeftParen | TokenKind::By | TokenKind::Without => {
                        self.aggregate(token.span, op)
                    }
                    _ => self.named_selector(token),
                }
            }
            TokenKind::Identifier
            | TokenKind::Start
            | TokenKind::End
            | TokenKind::Step
            | TokenKind::Range
            | TokenKind::MaxOf
            | TokenKind::MinOf => {
                self.take()?;
                match self.peek()?.kind {
                    TokenKind::LeftParen => self.call(token),
                    _ => self.named_selector(token),
                }
            }
            kind if kind.is_metric_name() => self.vector_selector(),
            _ => Err(self.unexpected(token)),
        }
    }

    /// The value of a number or duration token.
    pub(super) fn number(&self, token: Token) -> Result<NumberLiteral, ParseError> {
        let text = self.token_text(token);
        if token.kind == TokenKind::Duration {
            let ms =
                parse_duration_ms(text).map_err(|message| ParseError::new(token.span, message))?;
            return Ok(NumberLiteral { value: seconds(ms), is_duration: true });
        }
        match parse_number(text) {
            Ok(value) => Ok(NumberLiteral { value, is_duration: false }),
            Err(cause) => Err(ParseError::new(
                token.span,
                format!(
                    "error parsing number: strconv.ParseFloat: parsing {}: {cause}",
                    quote(text)
                ),
            )),
        }
    }

    /// A function call whose name has been taken.
    fn call(&mut self, name: Token) -> Result<Parsed, ParseError> {
        let (args, close) = self.arguments()?;
        let Some(function) = functions::find(self.token_text(name)) else {
            let message = format!("unknown function with name {}", quote(self.token_text(name)));
            return Err(ParseError::new(name.span, message));
        };
        if function.name == "label_replace" {
            self.count_regexes(1, name.span)?;
        }
        let depth = deepest(&args) + 1;
        let args = args.into_iter().map(|arg| arg.expr).collect();
        self.node(
            ExprKind::Call(Call { function: function.name, args }),
            cover(name.span, close),
            depth,
        )
    }

    /// `(a, b, ...)` and the place of the closing parenthesis.
    fn arguments(&mut self) -> Result<(Vec<Parsed>, Span), ParseError> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(close) = self.take_if(TokenKind::RightParen)? {
            return Ok((args, close.span));
        }
        loop {
            args.push(self.expression(0)?);
            let Some(comma) = self.take_if(TokenKind::Comma)? else { break };
            if !self.peek()?.kind.starts_expression() {
                return Err(ParseError::new(
                    comma.span,
                    "trailing commas not allowed in function call args",
                ));
            }
        }
        let close = self.expect(TokenKind::RightParen)?;
        Ok((args, close.span))
    }

    /// An aggregation whose operator has been taken.
    fn aggregate(&mut self, operator: Span, op: AggregateOp) -> Result<Parsed, ParseError> {
        let (grouping, args, end) = self.within(AGGREGATION, |parser| {
            if let Some((grouping, _)) = parser.aggregate_modifier()? {
                let (args, close) = parser.arguments()?;
                return Ok((grouping, args, close));
            }
            let (args, close) = parser.arguments()?;
            let modifier = parser.aggregate_modifier()?;
            let end = modifier.as_ref().map_or(close, |&(_, end)| end);
            Ok((modifier.unwrap_or_default().0, args, end))
        })?;
        let span = cover(operator, end);
        let wanted = 1 + usize::from(op.takes_parameter());
        if args.is_empty() {
            return Err(ParseError::new(span, "no arguments for aggregate expression provided"));
        }
        let (depth, got) = (deepest(&args) + 1, args.len());
        let mut args = args.into_iter().map(|arg| arg.expr);
        let param = if op.takes_parameter() { args.next() } else { None };
        let (Some(expr), true) = (args.next(), got == wanted) else {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
            );
            return Err(ParseError::new(span, message));
        };
        let Grouping { labels: grouping, without } = grouping;
        self.node(
            ExprKind::Aggregate(Box::new(Aggregate { op, expr, param, grouping, without })),
            span,
            depth,
        )
    }

    /// `by (...)` or `without (...)` if there is one, and where it ends.
    fn aggregate_modifier(&mut self) -> Result<Option<(Grouping, Span)>, ParseError> {
        let without = match self.peek()?.kind {
            TokenKind::By => false,
            TokenKind::Without => true,
            _ => return Ok(None),
        };
        self.take()?;
        let (labels, end) = self.grouping_labels()?;
        Ok(Some((Grouping { labels, without }, end)))
    }

    /// `(label, label, ...)` and the place of the closing parenthesis.
    fn grouping_labels(&mut self) -> Result<(Vec<String>, Span), ParseError> {
        self.within(GROUPING, |parser| parser.expect(TokenKind::LeftParen))?;
        let mut labels = Vec::new();
        loop {
            if let Some(close) = self.take_if(TokenKind::RightParen)? {
                return Ok((labels, close.span));
            }
            labels.push(self.grouping_label()?);
            if self.take_if(TokenKind::Comma)?.is_none() {
                let close =
                    self.within(GROUPING_END, |parser| parser.expect(TokenKind::RightParen))?;
                return Ok((labels, close.span));
            }
        }
    }

    fn grouping_label(&mut self) -> Result<String, ParseError> {
        let token = self.peek()?;
        let label = match token.kind {
            TokenKind::String => self.quoted_grouping_label(token)?,
            kind if kind.is_label_name() => self.token_text(token).to_owned(),
            _ => return Err(self.unexpected_at(token, GROUPING_LABEL)),
        };
        self.take()?;
        Ok(label)
    }

    fn quoted_grouping_label(&self, token: Token) -> Result<String, ParseError> {
        let text = self.literal(token)?;
        text.as_str().filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| {
            let name = quote_bytes(text.as_bytes());
            ParseError::new(token.span, format!("invalid label name for grouping: {name}"))
        })
    }

    fn binary_modifiers(&mut self) -> Result<BinaryModifiers, ParseError> {
        let return_bool = self.take_if(TokenKind::Bool)?.is_some();
        let mut matching = VectorMatching::default();
        let kind = self.peek()?.kind;
        if matches!(kind, TokenKind::On | TokenKind::Ignoring) {
            self.take()?;
            matching.on = kind == TokenKind::On;
            matching.labels = self.grouping_labels()?.0;
            matching.card = match self.peek()?.kind {
                TokenKind::GroupLeft => Cardinality::ManyToOne,
                TokenKind::GroupRight => Cardinality::OneToMany,
                _ => Cardinality::OneToOne,
            };
            if matching.card != Cardinality::OneToOne {
                self.take()?;
                matching.include = self.included_labels()?;
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok(BinaryModifiers { return_bool, matching })
    }

    /// What stands behind `group_left` or `group_right`, which may be nothing.
    fn included_labels(&mut self) -> Result<Vec<String>, ParseError> {
        let next = self.peek()?;
        match next.kind {
            TokenKind::LeftParen => Ok(self.grouping_labels()?.0),
            kind if kind.starts_expression() => Ok(Vec::new()),
            _ => Err(self.unexpected_at(next, GROUPING)),
        }
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Result<(), ParseError> {
        match self.peek()?.kind {
            TokenKind::Fill => {
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            TokenKind::FillLeft => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::FillRight {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::FillRight => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()?.kind == TokenKind::FillLeft {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A fill modifier: its word and its number.
    fn fill_value(&mut self) -> Result<f64, ParseError> {
        self.take()?;
        self.expect(TokenKind::LeftParen)?;
        let number = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(number.value)
    }

    /// A number or duration that may have one sign.
    pub(super) fn signed_number(&mut self) -> Result<NumberLiteral, ParseError> {
        let sign = self.peek()?;
        let negate = sign.kind == TokenKind::Op(BinaryOp::Sub);
        if negate || sign.kind == TokenKind::Op(BinaryOp::Add) {
            self.take()?;
        }
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected(token));
        }
        self.take()?;
        Ok(signed(self.number(token)?, negate))
    }
}

#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

pub(super) const fn signed(number: NumberLiteral, negate: bool) -> NumberLiteral {
    NumberLiteral { value: if negate { -number.value } else { number.value }, ..number }
}

fn deepest(args: &[Parsed]) -> usize {
    args.iter().map(|arg| arg.depth).max().unwrap_or(0)
}
