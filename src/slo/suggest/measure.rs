//! What an SLO would have said of all of its history, month by month.

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::model::{DAY_MS, Matcher, TimeRange};
use nines_storage::query::SelectHints;

use super::{Months, Worst, target};
use crate::slo::calendar::Period;
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Calendar, Slo, Unit};
use crate::slo::desk::Desk;
use crate::slo::error::Result;
use crate::slo::evaluate::Asked;
use crate::slo::fraction::Fraction;
use crate::slo::sum::Sum;

/// Time in which the bound of a latency is looked for.
pub(super) const RECENT_MS: i64 = 92 * DAY_MS;
/// Months at most: those since 1970, and as many again.
const MONTHS_MAX: usize = 2_000;

/// What groups came to in a month.
#[derive(Debug, Clone)]
pub(super) struct Month {
    pub(super) from_ms: i64,
    /// Whether it is over.
    pub(super) complete: bool,
    /// Bad ones and all, of every group that had something to count.
    pub(super) parts: Vec<(Sum, Sum)>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) good: Sum,
    pub(super) bad: Sum,
    pub(super) total: Sum,
    /// Those with something to count.
    pub(super) months: Vec<Month>,
    /// Bad ones and all, by group.
    pub(super) groups: BTreeMap<BTreeMap<String, String>, (Sum, Sum)>,
    pub(super) exact: bool,
    pub(super) notes: BTreeSet<String>,
}

fn months(from_ms: i64, to_ms: i64) -> Vec<Period> {
    Calendar::natural(Unit::Month, chrono_tz::Tz::UTC).within(from_ms, to_ms, MONTHS_MAX)
}

/// The months in which there may be samples: the beginning of the first one since 1970, and the end of the last one, as
/// far as it is over.
pub(super) fn span(desk: &Desk<'_>, matchers: &[Matcher]) -> Result<Option<(i64, i64)>> {
    let months = months(0, desk.now_ms);
    let hints = SelectHints { labels_only: true, ..SelectHints::default() };
    let any = |from_ms: i64, to_ms: i64| -> Result<bool> {
        let range = TimeRange::new(from_ms, to_ms);
        Ok(!desk.data.select(matchers, range, &hints, desk.budget)?.is_empty())
    };
    let first = first(&months, |month| any(i64::MIN, month.to_ms))?;
    let behind = self::first(&months, |month| Ok(!any(month.to_ms, i64::MAX)?))?;
    let last = months.get(behind).or(months.last());
    Ok(months.get(first).zip(last).map(|(a, b)| (a.from_ms, b.to_ms.min(desk.now_ms))))
}

/// The number of the first month of which something holds, which holds of all later ones as well.
fn first(months: &[Period], holds: impl Fn(&Period) -> Result<bool>) -> Result<usize> {
    let (mut low, mut high) = (0, months.len());
    while low < high {
        let middle = low.midpoint(high);
        match months.get(middle).map(&holds).transpose()? {
            Some(true) => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

/// Evaluates an SLO over the months of (`from_ms`, `to_ms`].
pub(super) fn history(desk: &Desk<'_>, slo: &Slo, (from_ms, to_ms): (i64, i64)) -> Result<History> {
    let mut history = History { exact: true, ..History::default() };
    for period in months(from_ms, to_ms) {
        let Period { from_ms, to_ms, label } = period;
        let asked = Asked { from_ms, to_ms, label };
        let mut month = Month { from_ms, complete: to_ms <= desk.now_ms, parts: Vec::new() };
        for report in desk.evaluator(slo).evaluate(&asked)? {
            let (bad, total) = (Sum::of(report.bad.0), Sum::of(report.total.0));
            if total.is_zero() {
                continue;
            }
            month.parts.push((bad, total));
            history.good.add(report.good.0);
            history.bad.merge(&bad);
            history.total.merge(&total);
            history.exact &= report.exact;
            history.notes.extend(report.notes);
            let group = history.groups.entry(report.group).or_default();
            group.0.merge(&bad);
            group.1.merge(&total);
        }
        if !month.parts.is_empty() {
            history.months.push(month);
        }
        desk.budget.check()?;
    }
    Ok(history)
}

/// Good of all.
fn share(bad: &Sum, total: &Sum) -> Option<f64> {
    Some(Fraction::from(bad).over(&Fraction::from(total))?.rest().to_f64())
}

impl History {
    /// When the first month with something to count begins.
    pub(super) fn begins(&self) -> Option<i64> {
        self.months.first().map(|month| month.from_ms)
    }

    /// Good of all.
    pub(super) fn sli(&self) -> Option<f64> {
        share(&self.bad, &self.total)
    }

    /// The worst of the groups, if there are some.
    pub(super) fn worst(&self) -> Option<Worst> {
        let shares = self.groups.iter().filter(|(group, _)| !group.is_empty());
        let shares = shares.filter_map(|(group, (bad, total))| Some((group, share(bad, total)?)));
        let (group, sli) = shares.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Worst { group: group.clone(), sli })
    }

    /// How many months met a target.
    pub(super) fn months_met(&self, target: Decimal) -> Months {
        let met =
            |month: &&Month| month.parts.iter().all(|(bad, total)| target::met(bad, total, target));
        let n = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Months { met: n(self.months.iter().filter(met).count()), of: n(self.months.len()) }
    }
}
