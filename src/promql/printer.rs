//! From syntax tree back to text, in one line: the canonical form of Prometheus (`promql/parser/printer.go`).

use std::fmt::{self, Display, Formatter, Write};

use nines_storage::model::{METRIC_NAME, MatchOp, Matcher};

use super::annotations::go_float;
use super::ast::{
    Aggregate, AtModifier, Binary, Cardinality, DurationExpr, DurationNode, EdgeMode, Expr,
    ExprKind, MatrixSelector, NumberLiteral, Subquery, TimeShift, Unary, VectorMatching,
    VectorSelector,
};
use super::duration::{format_duration_ms, millis};
use super::number::format_decimal;
use super::quote::{quote, quote_bytes};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => f.write_str(&quote_bytes(text.as_bytes())),
            ExprKind::VectorSelector(selector) => selector.fmt(f),
            ExprKind::MatrixSelector(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => {
                subquery.expr.fmt(f)?;
                write_subquery_suffix(f, subquery)
            }
            ExprKind::Call(call) => {
                f.write_str(call.function)?;
                f.write_char('(')?;
                for (index, arg) in call.args.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => {
                write_aggregate_head(f, aggregate)?;
                f.write_char('(')?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Binary(binary) => {
                write!(f, "{} ", binary.lhs)?;
                write_operator(f, binary)?;
                write!(f, " {}", binary.rhs)
            }
            ExprKind::Unary(unary) => write!(f, "{}{}", sign(unary), unary.expr),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

/// `+` or `-`.
pub(crate) const fn sign(unary: &Unary) -> &'static str {
    if unary.negate { "-" } else { "+" }
}

/// The operator of an aggregation with its modifier, up to the parenthesis.
pub(crate) fn write_aggregate_head(f: &mut dyn Write, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.as_str())?;
    if !aggregate.without && aggregate.grouping.is_empty() {
        return Ok(());
    }
    f.write_str(if aggregate.without { " without (" } else { " by (" })?;
    write_labels(f, &aggregate.grouping)?;
    f.write_str(") ")
}

/// The operator of a binary operation with its modifiers.
pub(crate) fn write_operator(f: &mut dyn Write, binary: &Binary) -> fmt::Result {
    f.write_str(binary.op.as_str())?;
    if binary.return_bool {
        f.write_str(" bool")?;
    }
    binary.matching.as_ref().map_or(Ok(()), |matching| write_matching(f, matching))
}

fn write_matching(f: &mut dyn Write, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.card {
        Cardinality::ManyToOne => Some(" group_left ("),
        Cardinality::OneToMany => Some(" group_right ("),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        write_labels(f, &matching.labels)?;
        f.write_char(')')?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        write_labels(f, &matching.include)?;
        f.write_char(')')?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", go_float(left)),
        (left, right) => {
            if let Some(value) = left {
                write!(f, " fill_left ({})", go_float(value))?;
            }
            if let Some(value) = right {
                write!(f, " fill_right ({})", go_float(value))?;
            }
            Ok(())
        }
    }
}

fn write_labels(f: &mut dyn Write, labels: &[String]) -> fmt::Result {
    for (index, label) in labels.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        write_label_name(f, label)?;
    }
    Ok(())
}

/// In quotes unless it is a name of the old kind.
fn write_label_name(f: &mut dyn Write, name: &str) -> fmt::Result {
    let plain = |(index, byte): (usize, u8)| {
        byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
    };
    if !name.is_empty() && name.bytes().enumerate().all(plain) {
        f.write_str(name)
    } else {
        f.write_str(&quote(name))
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            f.write_str(&format_duration_ms(millis(self.value)))
        } else {
            f.write_str(&format_decimal(self.value))
        }
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, self)?;
        write_at(f, &self.shift)?;
        write_edges(f, self.edges)?;
        write_offset(f, &self.shift)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_edges(f, self.selector.edges)?;
        write_at(f, &self.selector.shift)?;
        write_offset(f, &self.selector.shift)
    }
}

fn write_name_and_matchers(f: &mut dyn Write, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref().unwrap_or_default();
    f.write_str(name)?;
    let is_name = |matcher: &Matcher| {
        matcher.name == METRIC_NAME
            && matcher.op == MatchOp::Equal
            && matcher.value == name
            && !name.is_empty()
    };
    let mut written: Vec<String> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| !is_name(matcher)) {
        let mut text = String::new();
        write_label_name(&mut text, &matcher.name)?;
        text.push_str(matcher.op.as_str());
        text.push_str(&quote(&matcher.value));
        written.push(text);
    }
    if written.is_empty() {
        return Ok(());
    }
    written.sort_unstable();
    write!(f, "{{{}}}", written.join(","))
}

fn write_at(f: &mut dyn Write, shift: &TimeShift) -> fmt::Result {
    match shift.at {
        None => Ok(()),
        Some(AtModifier::Timestamp(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(AtModifier::Start) => f.write_str(" @ start()"),
        Some(AtModifier::End) => f.write_str(" @ end()"),
    }
}

fn write_edges(f: &mut dyn Write, edges: EdgeMode) -> fmt::Result {
    f.write_str(match edges {
        EdgeMode::Plain => "",
        EdgeMode::Anchored => " anchored",
        EdgeMode::Smoothed => " smoothed",
    })
}

fn write_offset(f: &mut dyn Write, shift: &TimeShift) -> fmt::Result {
    match &shift.offset {
        None | Some(DurationExpr::Millis(0)) => Ok(()),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

/// The brackets of a subquery and what stands behind them.
pub(crate) fn write_subquery_suffix(f: &mut dyn Write, subquery: &Subquery) -> fmt::Result {
    write!(f, "[{}:", subquery.range)?;
    if let Some(step) = &subquery.step {
        write!(f, "{step}")?;
    }
    f.write_char(']')?;
    write_at(f, &subquery.shift)?;
    write_offset(f, &subquery.shift)
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Millis(ms) => f.write_str(&format_duration_ms(*ms)),
            Self::Computed { expr, .. } => expr.fmt(f),
        }
    }
}

impl Display for DurationNode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Unary { negate, expr } => write!(f, "{}{expr}", if *negate { "-" } else { "" }),
            Self::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            Self::Extremum { max, lhs, rhs } => {
                write!(f, "{}({lhs}, {rhs})", if *max { "max_of" } else { "min_of" })
            }
            Self::Paren(inner) => write!(f, "({inner})"),
        }
    }
}
