//! Operators on floats, between scalars, and between a vector and a scalar.

use std::cmp::Ordering;

use nines_storage::model::stale_nan;

use super::ast::{BinaryOp, Span, ValueType};
use super::error::Result;
use super::eval::{Evaluator, Sink};
use super::functions::Note;
use super::plan::Binary;
use super::row::{Row, is_absent};
use super::steps::Steps;

/// The operator as it is written.
pub(super) const fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Mod => "%",
        BinaryOp::Pow => "^",
        BinaryOp::Atan2 => "atan2",
        BinaryOp::Eql => "==",
        BinaryOp::Neq => "!=",
        BinaryOp::Lss => "<",
        BinaryOp::Lte => "<=",
        BinaryOp::Gtr => ">",
        BinaryOp::Gte => ">=",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::Unless => "unless",
        BinaryOp::TrimUpper => "</",
        BinaryOp::TrimLower => ">/",
    }
}

/// Arithmetic; NaN for operators that are none.
#[inline]
pub(super) fn arithmetic(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Pow => lhs.powf(rhs),
        BinaryOp::Atan2 => lhs.atan2(rhs),
        _ => f64::NAN,
    }
}

/// Whether a comparison holds; nothing but `!=` does for NaN.
#[inline]
pub(super) fn holds(op: BinaryOp, lhs: f64, rhs: f64) -> bool {
    let order = lhs.partial_cmp(&rhs);
    match op {
        BinaryOp::Eql => order == Some(Ordering::Equal),
        BinaryOp::Neq => order != Some(Ordering::Equal),
        BinaryOp::Lss => order == Some(Ordering::Less),
        BinaryOp::Lte => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        BinaryOp::Gtr => order == Some(Ordering::Greater),
        BinaryOp::Gte => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    }
}

/// Between scalars; comparisons give 1 or 0.
pub(super) fn scalar_operation(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    if op.is_comparison() {
        f64::from(u8::from(holds(op, lhs, rhs)))
    } else {
        arithmetic(op, lhs, rhs)
    }
}

/// Between two floats of vectors. A comparison without `bool` gives `kept` or, when it fails, nothing (the
/// stale marker's bits).
#[inline]
pub(super) fn element(op: BinaryOp, return_bool: bool, lhs: f64, rhs: f64, kept: f64) -> f64 {
    if !op.is_comparison() {
        return arithmetic(op, lhs, rhs);
    }
    match (holds(op, lhs, rhs), return_bool) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        (true, false) => kept,
        (false, false) => stale_nan(),
    }
}

/// Whether the result of an operator no longer is what the metric's name says.
pub(super) const fn changes_meaning(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
    )
}

impl Evaluator<'_> {
    /// Rows of a binary operation of which one side at least is a vector.
    pub(super) fn binary_rows(
        &self,
        steps: Steps,
        span: Span,
        binary: &Binary,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match (binary.lhs.ty, binary.rhs.ty) {
            (ValueType::Vector, ValueType::Vector) if binary.op.is_set() => {
                self.set_rows(steps, binary, sink)
            }
            (ValueType::Vector, ValueType::Vector) => self.matched_rows(steps, span, binary, sink),
            (ValueType::Vector, _) => {
                let scalar = self.scalar(steps, &binary.rhs)?;
                self.rows(steps, &binary.lhs, &mut |row| {
                    self.with_scalar(span, binary, row, &scalar, false, sink)
                })
            }
            _ => {
                let scalar = self.scalar(steps, &binary.lhs)?;
                self.rows(steps, &binary.rhs, &mut |row| {
                    self.with_scalar(span, binary, row, &scalar, true, sink)
                })
            }
        }
    }

    fn with_scalar(
        &self,
        span: Span,
        binary: &Binary,
        row: &mut Row,
        scalar: &[f64],
        scalar_left: bool,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let op = binary.op;
        let is_trim = matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        for (value, &scalar) in row.values.iter_mut().zip(scalar) {
            if is_absent(*value) {
                continue;
            }
            if is_trim {
                self.note(
                    Note::IncompatibleTypesInBinOp {
                        lhs: "float",
                        operator: symbol(op),
                        rhs: "float",
                    },
                    span,
                );
                *value = stale_nan();
                continue;
            }
            let (lhs, rhs) = if scalar_left { (scalar, *value) } else { (*value, scalar) };
            *value = element(op, binary.return_bool, lhs, rhs, *value);
        }
        if !row.histograms.is_empty() {
            self.note_histogram_operation(op, scalar_left, !scalar_left, row, span);
            row.histograms.clear();
        }
        if changes_meaning(op) || binary.return_bool {
            row.drop_name = true;
        }
        if row.is_empty() { Ok(()) } else { sink(row) }
    }

    /// Says why an operation on histograms gives nothing: because it has no meaning, or because it is not
    /// evaluated yet. `lhs`, `rhs`: whether that side is a histogram... of which one at least is.
    pub(super) fn note_histogram_operation(
        &self,
        op: BinaryOp,
        rhs: bool,
        lhs: bool,
        row: &Row,
        span: Span,
    ) {
        let defined = match (lhs, rhs) {
            (true, true) => {
                matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Eql | BinaryOp::Neq)
            }
            (true, false) => {
                matches!(
                    op,
                    BinaryOp::Mul | BinaryOp::Div | BinaryOp::TrimUpper | BinaryOp::TrimLower
                )
            }
            (false, _) => op == BinaryOp::Mul,
        };
        let kind = |is_histogram: bool| if is_histogram { "histogram" } else { "float" };
        let note = if defined {
            Note::HistogramNotSupported { metric: row.labels.metric_name().to_owned() }
        } else {
            Note::IncompatibleTypesInBinOp { lhs: kind(lhs), operator: symbol(op), rhs: kind(rhs) }
        };
        self.note(note, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inequality_holds_for_nan() {
        let all = [
            BinaryOp::Eql,
            BinaryOp::Neq,
            BinaryOp::Lss,
            BinaryOp::Lte,
            BinaryOp::Gtr,
            BinaryOp::Gte,
        ];
        let holding: Vec<BinaryOp> =
            all.into_iter().filter(|&op| holds(op, f64::NAN, 1.0)).collect();
        assert_eq!(holding, [BinaryOp::Neq]);
    }

    #[test]
    fn comparisons_filter_or_answer() {
        assert_eq!(element(BinaryOp::Gtr, false, 3.0, 2.0, 3.0), 3.0);
        assert!(is_absent(element(BinaryOp::Gtr, false, 1.0, 2.0, 1.0)));
        assert_eq!(element(BinaryOp::Gtr, true, 1.0, 2.0, 1.0), 0.0);
        assert_eq!(scalar_operation(BinaryOp::Mod, -7.0, 3.0), -1.0);
        assert_eq!(scalar_operation(BinaryOp::Pow, 2.0, 10.0), 1024.0);
    }
}
