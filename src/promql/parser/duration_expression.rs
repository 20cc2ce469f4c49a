//! Arithmetic inside brackets and behind `offset`.

use super::super::ast::{BinaryOp, DurationNode, NumberLiteral, Span};
use super::super::token::{Token, TokenKind};
use super::expression::{POWER, precedence, right_precedence, signed};
use super::{ParseError, ParsedDuration, Parser, check_depth, cover};

/// The longest duration in seconds: Go counts nanoseconds in 63 bits.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

impl Parser<'_> {
    /// Arithmetic of operators that bind at least as strong as `weakest`.
    pub(super) fn duration_expression(
        &mut self,
        weakest: u8,
    ) -> Result<ParsedDuration, ParseError> {
        let first = self.peek()?;
        self.enter(first.span)?;
        let left = self.duration_operand(first)?;
        let duration = self.duration_binary(left, weakest)?;
        self.leave();
        Ok(duration)
    }

    fn duration_binary(
        &mut self,
        mut left: ParsedDuration,
        weakest: u8,
    ) -> Result<ParsedDuration, ParseError> {
        loop {
            let token = self.peek()?;
            let TokenKind::Op(op) = token.kind else { return Ok(left) };
            if !is_duration_operator(op) || precedence(op) < weakest {
                return Ok(left);
            }
            self.take()?;
            let right = self.duration_expression(right_precedence(op))?;
            let zero = matches!(right.node, DurationNode::Number(number) if number.value == 0.0);
            match op {
                BinaryOp::Div if zero => {
                    return Err(ParseError::new(token.span, "division by zero"));
                }
                BinaryOp::Mod if zero => return Err(ParseError::new(token.span, "modulo by zero")),
                _ => {}
            }
            let span = cover(left.span, right.span);
            let depth = left.depth.max(right.depth) + 1;
            let node =
                DurationNode::Binary { op, lhs: Box::new(left.node), rhs: Box::new(right.node) };
            left = self.duration_node(node, span, depth)?;
        }
    }

    fn duration_operand(&mut self, token: Token) -> Result<ParsedDuration, ParseError> {
        match token.kind {
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take()?;
                let operand = self.duration_expression(POWER)?;
                self.duration_sign(token.span, op == BinaryOp::Sub, operand)
            }
            TokenKind::Number | TokenKind::Duration => {
                self.take()?;
                let number = self.number(token)?;
                self.duration_number(number, token.span, token.span)
            }
            TokenKind::LeftParen => self.duration_paren(),
            _ => self.duration_function(token),
        }
    }

    /// `step()`, `range()`, `min_of(a, b)` or `max_of(a, b)`.
    fn duration_function(&mut self, name: Token) -> Result<ParsedDuration, ParseError> {
        let max = match name.kind {
            TokenKind::Step | TokenKind::Range => {
                self.take()?;
                self.expect(TokenKind::LeftParen)?;
                let close = self.expect(TokenKind::RightParen)?;
                let node = if name.kind == TokenKind::Step {
                    DurationNode::Step
                } else {
                    DurationNode::Range
                };
                return self.duration_node(node, cover(name.span, close.span), 1);
            }
            TokenKind::MaxOf => true,
            TokenKind::MinOf => false,
            _ => return Err(self.unexpected(name)),
        };
        self.take()?;
        self.expect(TokenKind::LeftParen)?;
        let left = self.duration_expression(0)?;
        self.expect(TokenKind::Comma)?;
        let right = self.duration_expression(0)?;
        let close = self.expect(TokenKind::RightParen)?;
        let depth = left.depth.max(right.depth) + 1;
        let node =
            DurationNode::Extremum { max, lhs: Box::new(left.node), rhs: Box::new(right.node) };
        self.duration_node(node, cover(name.span, close.span), depth)
    }

    fn duration_paren(&mut self) -> Result<ParsedDuration, ParseError> {
        let open = self.expect(TokenKind::LeftParen)?;
        let inner = self.duration_expression(0)?;
        let close = self.expect(TokenKind::RightParen)?;
        // Like Prometheus: any number of parentheses around something is kept as one pair.
        let (node, depth) = match inner.node {
            node @ DurationNode::Paren(_) => (node, inner.depth),
            node => (DurationNode::Paren(Box::new(node)), inner.depth + 1),
        };
        self.duration_node(node, cover(open.span, close.span), depth)
    }

    /// What stands behind `offset`: one operand, so that `offset 5m + x` adds to the selector. Only what
    /// begins with a parenthesis or two signs goes on with operators; Prometheus' grammar does the same.
    pub(super) fn offset_duration(&mut self) -> Result<ParsedDuration, ParseError> {
        let token = self.peek()?;
        let TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = token.kind else {
            let operand = self.duration_operand(token)?;
            return match token.kind {
                TokenKind::LeftParen => self.duration_binary(operand, 0),
                _ => Ok(operand),
            };
        };
        self.take()?;
        let negate = op == BinaryOp::Sub;
        let first = self.peek()?;
        match first.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.take()?;
                let number = self.number(first)?;
                self.duration_number(
                    signed(number, negate),
                    cover(token.span, first.span),
                    token.span,
                )
            }
            TokenKind::LeftParen => {
                let operand = self.duration_paren()?;
                self.duration_sign(token.span, negate, operand)
            }
            TokenKind::Step | TokenKind::Range | TokenKind::MaxOf | TokenKind::MinOf => {
                let operand = self.duration_function(first)?;
                let (span, depth) = (cover(token.span, operand.span), operand.depth + 1);
                let node = DurationNode::Unary { negate, expr: Box::new(operand.node) };
                self.duration_node(node, span, depth)
            }
            _ => {
                let operand = self.duration_expression(POWER)?;
                let operand = self.duration_sign(token.span, negate, operand)?;
                self.duration_binary(operand, 0)
            }
        }
    }

    /// A sign is folded into a number; a plus before anything else means nothing.
    fn duration_sign(
        &mut self,
        sign: Span,
        negate: bool,
        operand: ParsedDuration,
    ) -> Result<ParsedDuration, ParseError> {
        let span = cover(sign, operand.span);
        match operand.node {
            DurationNode::Number(number) => {
                self.duration_number(signed(number, negate), span, sign)
            }
            node if negate => {
                let node = DurationNode::Unary { negate, expr: Box::new(node) };
                self.duration_node(node, span, operand.depth + 1)
            }
            _ => Ok(operand),
        }
    }

    fn duration_number(
        &mut self,
        number: NumberLiteral,
        span: Span,
        blamed: Span,
    ) -> Result<ParsedDuration, ParseError> {
        if number.value.abs() > SECONDS_MAX {
            return Err(ParseError::new(blamed, "duration out of range"));
        }
        self.duration_node(DurationNode::Number(number), span, 1)
    }

    fn duration_node(
        &mut self,
        node: DurationNode,
        span: Span,
        depth: usize,
    ) -> Result<ParsedDuration, ParseError> {
        self.count_node(span)?;
        check_depth(depth, span)?;
        Ok(ParsedDuration { node, span, depth })
    }
}

const fn is_duration_operator(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
    )
}
