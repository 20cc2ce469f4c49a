//! One of the `objectives` of an SLO.

use super::Reference;
use super::history::check_target;
use super::indicator::{self, Indicator};
use super::reader::{Field, Fields};
use super::times::{self, Shorthand};
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Compare, Method, Place, Slice};

/// Slice of the ledger of a method that has no slices of its own.
const LEDGER_SLICE_MS: i64 = 300_000;

/// The indicator of an SLO or objective.
#[derive(Debug, Clone)]
pub(super) enum Measured {
    Inline(Box<Indicator>),
    Elsewhere(Reference),
}

/// An objective before it meets its indicator.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) display_name: String,
    pub(super) own: Option<Measured>,
    pub(super) op: Option<Compare>,
    pub(super) value: Option<f64>,
    pub(super) target: Decimal,
    pub(super) slice: Slice,
    pub(super) slice_target: Decimal,
    pub(super) weight: Option<Decimal>,
    pub(super) place: Place,
    pub(super) path: String,
}

/// An objective and the fields that are checked with those of its SLO.
pub(super) struct Read<'a> {
    pub(super) draft: Draft,
    pub(super) target: Field<'a>,
    pub(super) slice: Option<(Field<'a>, Slice, Shorthand)>,
}

/// `indicator` or `indicatorRef`; `None` when there is neither or it cannot be read, told apart by the flag.
pub(super) fn measured(fields: &Fields<'_>) -> (bool, Option<Measured>) {
    let (inline, reference) = (fields.get("indicator"), fields.get("indicatorRef"));
    match (inline, reference) {
        (Some(_), Some(reference)) => {
            reference.error("two-indicators", "indicator and indicatorRef are both set");
            (true, None)
        }
        (Some(field), None) => {
            (true, indicator::read_inline(&field).map(|read| Measured::Inline(Box::new(read))))
        }
        (None, Some(field)) => (true, Reference::read(&field).map(Measured::Elsewhere)),
        (None, None) => (false, None),
    }
}

/// Reads one objective.
pub(super) fn read<'a>(field: &Field<'a>, method: Option<Method>) -> Option<Read<'a>> {
    let fields = field.fields()?;
    let display_name = fields.get("displayName").and_then(|field| field.text()).unwrap_or_default();
    let ops =
        [("lt", Compare::Lt), ("lte", Compare::Lte), ("gt", Compare::Gt), ("gte", Compare::Gte)];
    let op = fields.get("op").map(|field| field.one_of(&ops));
    let value = fields.get("value").map(|field| field.float());
    let target = target(&fields);
    let slice_field = fields.get("timeSliceWindow");
    let slice_target_field = fields.get("timeSliceTarget");
    let weight = fields.get("compositeWeight").map(|field| weight(&field));
    let (told, own) = measured(&fields);
    fields.finish();

    let slice = slice_field
        .map(|field| times::slice(&field).map(|(slice, written)| (field, slice, written)));
    let slice_target = slice_target_field.map(|field| slice_target(&field));
    if let Some(method) = method {
        check_method(&fields, method);
    }
    let (target, target_field) = target?;
    let (op, value) = (told_well(op)?, told_well(value)?);
    let (slice, slice_target, weight) =
        (told_well(slice)?, told_well(slice_target)?, told_well(weight)?);
    if told && own.is_none() {
        return None;
    }
    let draft = Draft {
        display_name: display_name.to_owned(),
        own,
        op,
        value,
        target,
        slice: slice.as_ref().map_or(Slice::Fixed(LEDGER_SLICE_MS), |(_, slice, _)| *slice),
        slice_target: slice_target.unwrap_or(Decimal::ONE),
        weight,
        place: field.place(),
        path: field.path.clone(),
    };
    Some(Read { draft, target: target_field, slice })
}

/// What was told, unless it was told badly.
#[expect(clippy::option_option, reason = "absent, told badly, and a value")]
fn told_well<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(None) => None,
        Some(told) => Some(told),
        None => Some(None),
    }
}

fn target<'a>(fields: &Fields<'a>) -> Option<(Decimal, Field<'a>)> {
    let (share, percent) = (fields.get("target"), fields.get("targetPercent"));
    let (target, field) = match (share, percent) {
        (Some(_), Some(percent)) => {
            percent.error("target-twice", "target and targetPercent are both set");
            return None;
        }
        (Some(field), None) => (field.decimal()?, field),
        (None, Some(field)) => {
            let percent = field.decimal()?;
            let Some(target) = percent.percent() else {
                field.error("bad-number", format!("{percent} has too many digits"));
                return None;
            };
            (target, field)
        }
        (None, None) => {
            fields.need_hint("target", "write target: 0.999 or targetPercent: 99.9");
            return None;
        }
    };
    if let Err((message, hint)) = check_target(target) {
        field.error_hint("target-out-of-range", message, hint);
        return None;
    }
    Some((target, field))
}

fn slice_target(field: &Field<'_>) -> Option<Decimal> {
    let target = field.decimal()?;
    if target <= Decimal::ZERO || target > Decimal::ONE {
        field.error(
            "target-out-of-range",
            format!("timeSliceTarget is {target}, and must be above 0 and at most 1"),
        );
        return None;
    }
    Some(target)
}

fn weight(field: &Field<'_>) -> Option<Decimal> {
    let weight = field.decimal()?;
    if weight <= Decimal::ZERO {
        field.error("bad-value", format!("compositeWeight is {weight}, and must be above 0"));
        return None;
    }
    Some(weight)
}

/// Tells settings of slices that the method does not have, or lacks.
fn check_method(fields: &Fields<'_>, method: Method) {
    let told = |name| fields.key(name).is_some_and(|entry| !entry.value.is_null());
    match method {
        Method::Occurrences => {
            for name in ["timeSliceWindow", "timeSliceTarget"] {
                if told(name) {
                    let message = format!("{name} has no meaning for budgetingMethod Occurrences");
                    fields.warning_at_key(
                        name,
                        "window-method-mismatch",
                        message,
                        "remove it, or use Timeslices",
                    );
                }
            }
        }
        Method::Timeslices => {
            fields.need_hint("timeSliceWindow", "Timeslices need a slice: write 5m");
            fields.need_hint(
                "timeSliceTarget",
                "write 1.0, or the share of a slice that must be good",
            );
        }
        Method::RatioTimeslices => {
            fields.need_hint("timeSliceWindow", "RatioTimeslices need a slice: write 5m");
            if told("timeSliceTarget") {
                let message =
                    "timeSliceTarget has no meaning for budgetingMethod RatioTimeslices".to_owned();
                fields.warning_at_key(
                    "timeSliceTarget",
                    "window-method-mismatch",
                    message,
                    "remove it",
                );
            }
        }
    }
}
