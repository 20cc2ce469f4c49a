//! The highest of the usual targets that the last months would have met.

use super::measure::{History, Month};
use crate::slo::decimal::Decimal;
use crate::slo::fraction::Fraction;
use crate::slo::sum::Sum;

/// The usual targets.
const TARGETS: [&str; 11] =
    ["0.99999", "0.9999", "0.9995", "0.999", "0.995", "0.99", "0.98", "0.95", "0.9", "0.8", "0.5"];
/// Months that have to have met it: complete ones, if there are.
const MONTHS: usize = 3;

/// Whether no more were bad than a target allows.
pub(super) fn met(bad: &Sum, total: &Sum, target: Decimal) -> bool {
    Fraction::from(bad) <= allowed(total, target)
}

fn allowed(total: &Sum, target: Decimal) -> Fraction {
    Fraction::from(target).rest().times(&Fraction::from(total))
}

/// The target for what was counted. One that not even the largest count leaves room for a single failure under is
/// passed by: it would be missed by the first one.
pub(super) fn of(history: &History) -> Option<Decimal> {
    let last = |complete: bool| -> Vec<&Month> {
        let months = history.months.iter().rev();
        months.filter(|month| month.complete || !complete).take(MONTHS).collect()
    };
    let mut months = last(true);
    if months.is_empty() {
        months = last(false);
    }
    let parts: Vec<&(Sum, Sum)> = months.iter().flat_map(|month| &month.parts).collect();
    let targets = TARGETS.iter().filter_map(|text| text.parse::<Decimal>().ok());
    let one = Fraction::whole(1);
    targets.into_iter().find(|target| {
        parts.iter().any(|(_, total)| one <= allowed(total, *target))
            && parts.iter().all(|(bad, total)| met(bad, total, *target))
    })
}
