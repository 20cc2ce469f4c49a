//! What other definitions would change: the numbers and verdicts of the last periods, by those in force and by others.
//!
//! Each side is counted over its own periods with its own exclusions. Periods of calendars meet by their names, so that
//! a month of another time zone is compared with the month; those of rolling windows of one length by their order.
//! Where the windows are of another kind, no period has a counterpart.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::definition::{Definitions, Place, Sla, Slo, TimeWindow, Unit};
use super::desk::{Desk, rolling};
use super::error::Result;
use super::evaluate::Asked;
use super::journal::ExclusionRecord;
use super::parallel::each;
use super::report::{Count, Report, Status, Window};
use super::sla::{Figures, figures};

/// Periods that are compared, the one that runs included.
pub const PERIODS: usize = 12;

/// What becomes of an SLO or SLA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
}

/// What one side says of a period.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The time.
    pub window: Window,
    /// The method.
    pub method: &'static str,
    /// Good events or slices.
    pub good: Count,
    /// Bad ones.
    pub bad: Count,
    /// Both.
    pub total: Count,
    /// Good of all.
    pub sli: Option<f64>,
    /// The one target that would allow the same.
    pub effective_target: Option<f64>,
    /// How many bad ones are allowed.
    pub allowed_bad: Option<f64>,
    /// Share of these that is left.
    pub budget_remaining: Option<f64>,
    /// Whether no more were bad.
    pub met: Option<bool>,
    /// How it stands.
    pub status: Status,
    /// Whether every number is the true one.
    pub exact: bool,
}

impl Said {
    fn of(report: &Report) -> Self {
        Self {
            window: report.window.clone(),
            method: report.method,
            good: report.good,
            bad: report.bad,
            total: report.total,
            sli: report.sli,
            effective_target: report.effective_target,
            allowed_bad: report.allowed_bad,
            budget_remaining: report.budget_remaining,
            met: report.met,
            status: report.status,
            exact: report.exact,
        }
    }
}

/// A period of one group that differs; `None` where a side has no such period or group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Period<T> {
    /// Values of the labels that the SLO is grouped by.
    pub group: BTreeMap<String, String>,
    /// By the definitions in force.
    pub before: Option<T>,
    /// By the others.
    pub after: Option<T>,
}

/// An SLO or SLA whose numbers or verdicts differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed<T> {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub change: Fate,
    /// What is to be known beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The periods that differ, all of a new one, none of one that is gone; ascending.
    pub periods: Vec<Period<T>>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// SLOs that differ, by name.
    pub slos: Vec<Changed<Said>>,
    /// SLAs that differ, by name; of those whose figures are closed, what a restatement would say.
    pub slas: Vec<Changed<Figures>>,
    /// How many SLOs there are on both sides together.
    pub compared_slos: usize,
    /// How many SLAs.
    pub compared_slas: usize,
}

impl Diff {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slos.is_empty() && self.slas.is_empty()
    }
}

/// Compares what two desks over the same samples say. Both have one `now_ms`.
pub fn diff(before: &Desk<'_>, after: &Desk<'_>) -> Result<Diff> {
    let slos = names(before.definitions, after.definitions, |all| &all.slos);
    let slas = names(before.definitions, after.definitions, |all| &all.slas);
    // What is defined alike, and excluded alike, says the same.
    let excluded_alike = exclusions(before) == exclusions(after);
    let of_slo = |name: &&str| {
        let [old, new] = [before, after].map(|desk| desk.definitions.slos.get(*name));
        if excluded_alike && old.zip(new).is_some_and(|(old, new)| same_slo(old, new)) {
            return Ok(None);
        }
        let kinds = [old, new].map(|slo| slo.map(|slo| kind(&slo.window)));
        let told = |desk: &Desk<'_>, slo: Option<&Slo>| match slo {
            Some(slo) => said(desk, slo),
            None => Ok(Periods::new()),
        };
        changed(name, kinds, &|| told(before, old), &|| told(after, new), &|a, b| a == b)
    };
    let of_sla = |name: &&str| {
        let [old, new] = [before, after].map(|desk| desk.definitions.slas.get(*name));
        if excluded_alike
            && old.zip(new).is_some_and(|(old, new)| same_sla([before, after], old, new))
        {
            return Ok(None);
        }
        let kinds = [old, new].map(|sla| sla.map(|sla| kind(&window_of(sla))));
        changed(name, kinds, &|| agreed(before, old), &|| agreed(after, new), &same_figures)
    };
    Ok(Diff {
        slos: each(&slos, &of_slo)?.into_iter().flatten().collect(),
        slas: each(&slas, &of_sla)?.into_iter().flatten().collect(),
        compared_slos: slos.len(),
        compared_slas: slas.len(),
    })
}

/// The exclusions in force of a desk.
fn exclusions(desk: &Desk<'_>) -> Vec<ExclusionRecord> {
    let mut all: Vec<_> = desk.exclusions.iter().map(|one| ExclusionRecord::of(one)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn same_slo(old: &Slo, new: &Slo) -> bool {
    let told = |slo: &Slo| (slo.document_hash, slo.counts_hash);
    told(old) == told(new) && old.group_by == new.group_by
}

fn same_sla([before, after]: [&Desk<'_>; 2], old: &Sla, new: &Sla) -> bool {
    let slos = before.definitions.slos.get(&old.slo).zip(after.definitions.slos.get(&new.slo));
    let told = |sla: &Sla| format!("{:?}", Sla { place: Place::default(), ..sla.clone() });
    slos.is_some_and(|(old, new)| same_slo(old, new)) && told(old) == told(new)
}

/// Names of both sides.
fn names<'d, T: 'd>(
    before: &'d Definitions,
    after: &'d Definitions,
    of: impl Fn(&'d Definitions) -> &'d BTreeMap<String, T>,
) -> Vec<&'d str> {
    let all: BTreeSet<&str> =
        of(before).keys().chain(of(after).keys()).map(String::as_str).collect();
    all.into_iter().collect()
}

/// Periods of windows of one kind have counterparts.
fn kind(window: &TimeWindow) -> String {
    match window {
        TimeWindow::Rolling { length_ms } => format!("rolling over {}", rolling(*length_ms)),
        TimeWindow::Calendar(calendar) => {
            let unit = match calendar.unit {
                Unit::Day => "day",
                Unit::Week => "week",
                Unit::Month => "month",
                Unit::Quarter => "quarter",
                Unit::Year => "year",
            };
            format!("every {} {unit} of the calendar", calendar.n)
        }
    }
}

fn window_of(sla: &Sla) -> TimeWindow {
    TimeWindow::Calendar(sla.calendar.clone())
}

/// By which a period of a group finds its counterpart: the kind of its window; of a rolling one, minus how many come
/// behind; the name of one of the calendar; the group.
type Key = (String, i64, String, BTreeMap<String, String>);
type Periods<T> = BTreeMap<Key, T>;

/// What the definitions of a desk say of an SLO.
fn said(desk: &Desk<'_>, slo: &Slo) -> Result<Periods<Said>> {
    let mut all = Periods::new();
    let periods = desk.last_periods(&slo.window, slo, PERIODS)?;
    for (at, asked) in periods.iter().enumerate() {
        for report in desk.evaluator(slo).evaluate(asked)? {
            let key = key(&slo.window, periods.len() - at, asked, &report.group);
            all.insert(key, Said::of(&report));
        }
    }
    Ok(all)
}

/// What they say of an SLA.
fn agreed(desk: &Desk<'_>, sla: Option<&Sla>) -> Result<Periods<Figures>> {
    let mut all = Periods::new();
    let Some(sla) = sla else { return Ok(all) };
    let window = window_of(sla);
    let periods = desk.last_periods(&window, desk.slo(&sla.slo)?, PERIODS)?;
    for (at, asked) in periods.iter().enumerate() {
        let key = key(&window, periods.len() - at, asked, &BTreeMap::new());
        all.insert(key, figures(desk, sla, asked, false)?);
    }
    Ok(all)
}

fn key(window: &TimeWindow, behind: usize, asked: &Asked, group: &BTreeMap<String, String>) -> Key {
    let behind = i64::try_from(behind).unwrap_or(i64::MAX);
    let (order, name) = match window {
        TimeWindow::Rolling { .. } => (-behind, String::new()),
        TimeWindow::Calendar(_) => (0, asked.label.clone()),
    };
    (kind(window), order, name, group.clone())
}

/// Whether two statements have the same numbers and verdicts.
fn same_figures(a: &Figures, b: &Figures) -> bool {
    a.say_the_same(b) && a.method == b.method && a.exact == b.exact
}

/// Compares both sides of one name; `kinds` are those of the windows, of the sides that have it.
fn changed<T: Clone>(
    name: &str,
    kinds: [Option<String>; 2],
    before: &dyn Fn() -> Result<Periods<T>>,
    after: &dyn Fn() -> Result<Periods<T>>,
    same: &dyn Fn(&T, &T) -> bool,
) -> Result<Option<Changed<T>>> {
    let told = |change, notes, periods| {
        Ok(Some(Changed { name: name.to_owned(), change, notes, periods }))
    };
    let [Some(was), is] = kinds else {
        let new = after()?.into_iter();
        let new = new.map(|(key, one)| Period { group: key.3, before: None, after: Some(one) });
        return told(Fate::Added, Vec::new(), new.collect());
    };
    let Some(is) = is else { return told(Fate::Removed, Vec::new(), Vec::new()) };
    let (old, new) = (before()?, after()?);
    let mut keys = differing(&old, &new, same);
    if keys.is_empty() {
        return Ok(None);
    }
    // Samples may have come between the two looks: what is changed by definitions differs from a later look as well.
    let old = before()?;
    let later = differing(&old, &new, same);
    keys.retain(|key| later.contains(key));
    if keys.is_empty() {
        return Ok(None);
    }
    let notes = match was == is {
        true => Vec::new(),
        false => vec![format!("its window was {was} and is {is}: no period has a counterpart")],
    };
    let period = |key: Key| {
        let (before, after) = (old.get(&key).cloned(), new.get(&key).cloned());
        Period { group: key.3, before, after }
    };
    told(Fate::Changed, notes, keys.into_iter().map(period).collect())
}

/// What one side has alone, or both otherwise.
fn differing<T>(
    old: &Periods<T>,
    new: &Periods<T>,
    same: &dyn Fn(&T, &T) -> bool,
) -> BTreeSet<Key> {
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let differs = |key: &&Key| match (old.get(*key), new.get(*key)) {
        (Some(old), Some(new)) => !same(old, new),
        _ => true,
    };
    keys.filter(differs).cloned().collect()
}
