//! What SLOs say as series of PromQL, at any time, that before an SLO was written included: nothing is recorded, every
//! value is counted when it is asked for.
//!
//! `nines_slo_events_total` begins anew with every month in UTC, so that the first question about it does not count all
//! of history; `increase` and `rate` see a counter that was reset.

mod listed;

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use nines_storage::model::{Labels, METRIC_NAME, MatchOp, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints, SeriesSet};

use super::count::{Asker, Group};
use super::definition::{Calendar, Definitions, Slo, TimeWindow, Unit};
use super::desk::{Desk, rolling};
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::report::Report;
use super::series::burn_rate;
use super::slices::{good, part_of};
use super::sum::Sum;
use crate::promql::ast::Expr;

pub use listed::Listing;

/// Counter of good and bad events.
pub const EVENTS: &str = "nines_slo_events_total";
/// Good of all in the window of the SLO.
pub const SLI: &str = "nines_slo_sli_ratio";
/// The target of the time.
pub const TARGET: &str = "nines_slo_target_ratio";
/// Share of the budget that is left.
pub const REMAINING: &str = "nines_slo_error_budget_remaining_ratio";
/// How many times faster than allowed the budget is spent.
pub const BURN: &str = "nines_slo_burn_rate";
/// 1, with what is known of an SLO as labels.
pub const INFO: &str = "nines_slo_info";

/// All of them.
pub const NAMES: [&str; 6] = [EVENTS, SLI, TARGET, REMAINING, BURN, INFO];

/// What they are: name, type and help.
pub const DESCRIPTIONS: [(&str, &str, &str); 6] = [
    (EVENTS, "counter", "Good and bad events of an SLO, since the beginning of the month in UTC."),
    (SLI, "gauge", "Good of all events or slices of an SLO in its window."),
    (TARGET, "gauge", "Target of an SLO at the time."),
    (REMAINING, "gauge", "Share of the error budget of an SLO that is left in its window."),
    (BURN, "gauge", "How many times faster than allowed the error budget of an SLO is spent."),
    (INFO, "gauge", "1, with what is known of an SLO as labels."),
];

/// Windows of burn rates.
const BURN_WINDOWS: [(&str, i64); 7] = [
    ("5m", 300_000),
    ("30m", 1_800_000),
    ("1h", 3_600_000),
    ("2h", 7_200_000),
    ("6h", 21_600_000),
    ("1d", 86_400_000),
    ("3d", 259_200_000),
];
/// Sentences about what is not exact at most; every point may have its own.
const WARNINGS_MAX: usize = 16;
/// Points of a series at most; a range function over a longer time gets points farther apart.
const POINTS_MAX: i64 = 11_000;
/// Pauses between points of range functions.
const GRIDS_MS: [i64; 3] = [300_000, 3_600_000, 86_400_000];

/// The series that a selector asks for by name.
fn published(matchers: &[Matcher]) -> Option<&'static str> {
    let by_name = |matcher: &&Matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    let named = matchers.iter().find(by_name)?;
    NAMES.into_iter().find(|name| *name == named.value)
}

/// Whether an expression asks for what SLOs say, and not only for samples.
#[must_use]
pub fn is_published(expr: &Expr) -> bool {
    let mut any = false;
    expr.each_selector(&mut |matchers| any |= published(matchers).is_some());
    any
}

/// Samples, and beside them what SLOs say.
pub struct Published<'a> {
    /// Answers about SLOs.
    pub desk: Desk<'a>,
}

impl Queryable for Published<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        budget: &Budget,
    ) -> nines_storage::Result<Box<dyn SeriesSet + 'a>> {
        let Some(name) = published(matchers) else {
            return self.desk.data.select(matchers, range, hints, budget);
        };
        let mut made = Made::default();
        for slo in self.desk.definitions.slos.values() {
            let base = base(self.desk.definitions, name, slo);
            let may = |matcher: &&Matcher| match base.get(&matcher.name) {
                Some(value) => matcher.matches(value),
                None => true,
            };
            if !matchers.iter().all(|matcher| may(&matcher)) {
                continue;
            }
            let at = Points::of(range, hints);
            match make(&self.desk, (name, slo), &base, &at, &mut made) {
                Ok(()) => {}
                Err(SloError::Storage(error)) => return Err(error),
                Err(error) => made.warnings.push(format!("SLO {:?} is missing: {error}", slo.name)),
            }
            budget.check()?;
        }
        let mut series: Vec<(Labels, Vec<(i64, f64)>)> = made
            .series
            .into_iter()
            .map(|(pairs, points)| {
                let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                (Labels::from_pairs(pairs), points)
            })
            .filter(|(labels, _)| {
                matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
            })
            .collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        budget.count_series(series.len() as u64)?;
        Ok(Box::new(Set { series, warnings: made.warnings }))
    }
}

/// The labels of an SLO's series that do not depend on groups and windows.
fn base(definitions: &Definitions, name: &str, slo: &Slo) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            pairs.insert(name.to_owned(), value.to_owned());
        }
    };
    put(METRIC_NAME, name);
    put("slo", &slo.name);
    put("service", &slo.service);
    put("team", definitions.team_of(slo));
    pairs
}

/// When points are asked for.
struct Points {
    at: Vec<i64>,
}

impl Points {
    /// An instant selector sees the newest point of the last minutes: one before each step is enough. A range
    /// function sees all, so there is one at every multiple of five minutes, or of more where they would be too many.
    fn of(range: TimeRange, hints: &SelectHints) -> Self {
        let floor = |at: i64, grid: i64| at.div_euclid(grid) * grid;
        let [slice, ..] = GRIDS_MS;
        let mut at = Vec::new();
        if hints.range_ms == 0 {
            let mut next = range.max;
            loop {
                let point = floor(next, slice);
                if point < range.min || at.len() as i64 >= POINTS_MAX {
                    break;
                }
                if at.last() != Some(&point) {
                    at.push(point);
                }
                if hints.step_ms <= 0 {
                    break;
                }
                next -= hints.step_ms;
            }
            at.reverse();
            return Self { at };
        }
        let span = range.max.saturating_sub(range.min);
        let fits = |grid: &i64| span / grid < POINTS_MAX;
        let grid = GRIDS_MS.into_iter().find(fits).unwrap_or(GRIDS_MS[GRIDS_MS.len() - 1]);
        let mut point = floor(range.min.saturating_add(grid - 1), grid);
        while point <= range.max && (at.len() as i64) < POINTS_MAX {
            at.push(point);
            point += grid;
        }
        Self { at }
    }
}

#[derive(Default)]
struct Made {
    series: BTreeMap<BTreeMap<String, String>, Vec<(i64, f64)>>,
    warnings: Vec<String>,
}

impl Made {
    /// Notes why what a report says is not exact.
    fn told(&mut self, report: &Report) {
        if !report.exact {
            self.warn(&report.slo, &report.notes);
        }
    }

    fn warn(&mut self, slo: &str, notes: &[String]) {
        for note in notes {
            let text = format!("SLO {slo:?}: {note}");
            if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
    }

    fn put(
        &mut self,
        base: &BTreeMap<String, String>,
        more: impl IntoIterator<Item = (String, String)>,
        at: i64,
        value: Option<f64>,
    ) {
        let Some(value) = value else { return };
        let mut pairs = base.clone();
        // What the SLO says of itself is not that of a group.
        more.into_iter().for_each(|(name, value)| {
            pairs.entry(name).or_insert(value);
        });
        self.series.entry(pairs).or_default().push((at, value));
    }
}

fn make(
    desk: &Desk<'_>,
    (name, slo): (&str, &Slo),
    base: &BTreeMap<String, String>,
    points: &Points,
    made: &mut Made,
) -> Result<()> {
    match name {
        EVENTS => return events(desk, slo, base, points, made),
        INFO => {
            let method = ("method".to_owned(), slo.method.name().to_owned());
            let display = ("display_name".to_owned(), slo.display_name.clone());
            let window = ("window".to_owned(), window_of(slo));
            let more = [method, display, window];
            for at in points.at.iter().filter(|at| **at <= desk.now_ms) {
                made.put(base, more.clone(), *at, Some(1.0));
            }
            return Ok(());
        }
        TARGET => {
            for objective in &slo.objectives {
                for at in points.at.iter().filter(|at| **at <= desk.now_ms) {
                    let now = objective.targets.iter().rev().find(|target| target.from_ms <= *at);
                    made.put(base, [], *at, now.map(|target| target.target.to_f64()));
                }
            }
            return Ok(());
        }
        _ => {}
    }
    for at in points.at.iter().copied().filter(|at| *at <= desk.now_ms) {
        if name == BURN {
            for (label, length_ms) in BURN_WINDOWS {
                let asked = Asked { from_ms: at - length_ms, to_ms: at, label: label.to_owned() };
                for report in desk.evaluator(slo).evaluate(&asked)? {
                    made.told(&report);
                    let more = labels_of(&report, label);
                    made.put(base, more, at, burn_rate(&report));
                }
            }
            continue;
        }
        let mut asked = desk.window_at(slo, at)?;
        // Of a period that runs at that time, what was known then.
        asked.to_ms = asked.to_ms.min(at);
        if asked.to_ms <= asked.from_ms {
            continue;
        }
        let label = window_of(slo);
        for report in desk.evaluator(slo).evaluate(&asked)? {
            made.told(&report);
            let value = match name {
                SLI => report.sli,
                _ => report.budget_remaining,
            };
            made.put(base, labels_of(&report, &label), at, value);
        }
    }
    Ok(())
}

fn labels_of(report: &Report, window: &str) -> Vec<(String, String)> {
    let group = report.group.iter().map(|(name, value)| (name.clone(), value.clone()));
    group.chain([("window".to_owned(), window.to_owned())]).collect()
}

/// The window of an SLO as a label: `28d`, `1M`.
fn window_of(slo: &Slo) -> String {
    match &slo.window {
        TimeWindow::Rolling { length_ms } => rolling(*length_ms),
        TimeWindow::Calendar(calendar) => {
            let unit = match calendar.unit {
                Unit::Day => 'd',
                Unit::Week => 'w',
                Unit::Month => 'M',
                Unit::Quarter => 'Q',
                Unit::Year => 'Y',
            };
            format!("{}{unit}", calendar.n)
        }
    }
}

fn events(
    desk: &Desk<'_>,
    slo: &Slo,
    base: &BTreeMap<String, String>,
    points: &Points,
    made: &mut Made,
) -> Result<()> {
    let Some(objective) = slo.objectives.first() else { return Ok(()) };
    let known: Vec<i64> = points.at.iter().copied().filter(|at| *at <= desk.now_ms).collect();
    let Some(&first) = known.first() else { return Ok(()) };
    let months = Calendar::natural(Unit::Month, Tz::UTC);
    let begins = |at: i64| months.at(at).map_or(at, |month| month.from_ms);
    let mut boundaries = known.clone();
    boundaries.extend(known.iter().map(|at| begins(*at)));
    boundaries.sort_unstable();
    boundaries.dedup();
    let asker = Asker { data: desk.data, budget: desk.budget, slo, objective };
    let far = boundaries.windows(2).any(|pair| pair[1] - pair[0] >= GRIDS_MS[1]);
    let (before, close): (Vec<i64>, Vec<i64>) = match far {
        true => (boundaries.clone(), Vec::new()),
        false => boundaries.iter().partition(|at| **at <= first),
    };
    let mut totals: BTreeMap<(Group, i64), (Sum, Sum)> = BTreeMap::new();
    let mut groups: BTreeSet<Group> = BTreeSet::new();
    for boundaries in [before, [&[first][..], &close].concat()] {
        let counted = match (&desk.owner, far || boundaries.last() == Some(&first)) {
            (Some(owner), true) => owner.count(&asker, 0, &boundaries, desk.now_ms)?.counted,
            _ => asker.count(&boundaries, None)?,
        };
        made.warn(&slo.name, &counted.lacks());
        for (group, tallies) in counted.groups {
            for (end, tally) in boundaries.iter().skip(1).zip(tallies) {
                totals.insert((group.clone(), *end), (tally.part, tally.total));
            }
            groups.insert(group);
        }
    }
    let side = part_of(&objective.sli);
    for group in groups {
        let (mut all_good, mut all_bad) = (Sum::default(), Sum::default());
        for (from, at) in boundaries.iter().zip(boundaries.iter().skip(1)) {
            if *from == begins(*at) {
                (all_good, all_bad) = Default::default();
            }
            if let Some((part, total)) = totals.get(&(group.clone(), *at)) {
                let good = good(side, part, total);
                all_bad.merge(&total.less(&good));
                all_good.merge(&good);
            }
            if known.binary_search(at).is_err() {
                continue;
            }
            for (outcome, sum) in [("good", &all_good), ("bad", &all_bad)] {
                let group = slo.group_by.iter().cloned().zip(group.iter().cloned());
                let more = group.chain([("outcome".to_owned(), outcome.to_owned())]);
                made.put(base, more, *at, Some(sum.get()));
            }
        }
    }
    Ok(())
}

/// Series that were made.
struct Set {
    series: Vec<(Labels, Vec<(i64, f64)>)>,
    warnings: Vec<String>,
}

impl SeriesSet for Set {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.series[i].0
    }

    fn read(
        &self,
        i: usize,
        range: TimeRange,
        budget: &Budget,
        out: &mut SeriesData,
    ) -> nines_storage::Result<()> {
        out.clear();
        let points = self.series.get(i).map(|series| series.1.as_slice()).unwrap_or_default();
        for (at, value) in points.iter().filter(|(at, _)| range.contains(*at)) {
            out.ts.push(*at);
            out.values.push(*value);
        }
        budget.count_read(out.ts.len() as u64)
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
