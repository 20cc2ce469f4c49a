//! What an SLO says of a window of time: counts become slices, segments of targets, a budget and a verdict.
//!
//! No float decides: whether an objective was met is a comparison of whole numbers.

mod adjust;
mod composite;
mod downtime;
mod united;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::query::{Budget, Queryable};

use super::count::{Asker, Counted, Group, gone_before};
use super::decimal::Decimal;
use super::definition::{CompositeMethod, Exclusion, Method, Objective, Sli, Slo};
use super::error::Result;
use super::exclusions::{self, Excluded};
use super::ledger::{Booked, Owner};
use super::report::{Instant, Lacks, Report, Window};
use super::slices::{boundary_after, boundary_before, check_slices, zone};
use super::tally::Tally;
use adjust::Adjusted;

/// A window to be evaluated: (`from_ms`, `to_ms`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its beginning.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// Its name; empty for an interval that has none.
    pub label: String,
}

/// Evaluates one SLO.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    /// The samples.
    pub data: &'a dyn Queryable,
    /// What this may cost.
    pub budget: &'a Budget,
    /// The SLO.
    pub slo: &'a Slo,
    /// All exclusions; those that are about others are passed over.
    pub exclusions: &'a [&'a Exclusion],
    /// Now.
    pub now_ms: i64,
    /// Where days are kept, if they are.
    pub owner: Option<Owner<'a>>,
}

/// The part of a window in which one target holds.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from_ms: i64,
    to_ms: i64,
    target: Decimal,
}

/// The time of a window that is counted.
struct Time {
    asked: Asked,
    /// Ends of what is counted: whole slices where these are counted, and nothing that is not over yet.
    from_ms: i64,
    until_ms: i64,
    /// Where slices would end if the window was over.
    full_ms: i64,
    stretches: Vec<Stretch>,
}

impl Time {
    fn boundaries(&self) -> Vec<i64> {
        let ends = self.stretches.iter().map(|stretch| stretch.to_ms);
        std::iter::once(self.from_ms).chain(ends).collect()
    }
}

/// Counts of one group, one per stretch.
struct Counts {
    raw: Vec<Tally>,
    adjusted: Vec<Adjusted>,
}

/// What was counted of all groups, and what lacks.
struct Found {
    groups: BTreeMap<Group, Counts>,
    missing: Vec<String>,
    samples_begin_ms: Option<i64>,
}

impl Found {
    /// Notes what else was counted lacks.
    fn lacks(&mut self, counted: &Counted) {
        for text in &counted.missing {
            if !self.missing.contains(text) {
                self.missing.push(text.clone());
            }
        }
        self.samples_begin_ms = self.samples_begin_ms.max(counted.samples_begin_ms);
    }
}

impl<'a> Evaluator<'a> {
    /// Evaluates a window: a report per group, of each objective. Where nothing was found, one that says so.
    pub fn evaluate(&self, asked: &Asked) -> Result<Vec<Report>> {
        if let [objective] = self.slo.objectives.as_slice() {
            return self.objective((0, objective), asked);
        }
        let members = self.members(asked)?;
        if self.slo.composite == CompositeMethod::Worst
            && let Some(reports) = self.united(asked, &members)?
        {
            return Ok(reports);
        }
        Ok(composite::combine(self.slo, &members))
    }

    /// Evaluates the objectives of a composite one by one, with their weights.
    pub fn members(&self, asked: &Asked) -> Result<Vec<(Decimal, Report)>> {
        let mut members = Vec::new();
        for (number, objective) in self.slo.objectives.iter().enumerate() {
            let reports = self.objective((number, objective), asked)?;
            members.extend(reports.into_iter().map(|report| (objective.weight, report)));
        }
        Ok(members)
    }

    fn objective(
        &self,
        (number, objective): (usize, &'a Objective),
        asked: &Asked,
    ) -> Result<Vec<Report>> {
        check_slices(objective.slice, (asked.from_ms, asked.to_ms))?;
        let time = self.time(objective, asked);
        let asker = Asker { data: self.data, budget: self.budget, slo: self.slo, objective };
        let booked = match &self.owner {
            Some(owner) => owner.count(&asker, number, &time.boundaries(), self.now_ms)?,
            None => Booked { counted: asker.count(&time.boundaries(), None)?, ..Booked::default() },
        };
        let excluded = self.excluded(objective, &time)?;
        let mut groups: BTreeMap<Group, Counts> = BTreeMap::new();
        let Booked { counted, revision, computed_ms } = booked;
        let Counted { groups: found, missing, samples_begin_ms, .. } = counted;
        for (group, raw) in found {
            let adjusted = raw.iter().map(Adjusted::new).collect();
            groups.insert(group, Counts { raw, adjusted });
        }
        if groups.is_empty() {
            let none = vec![Tally::default(); time.stretches.len()];
            let adjusted = none.iter().map(Adjusted::new).collect();
            groups.insert(Vec::new(), Counts { raw: none, adjusted });
        }
        let mut found = Found { groups, missing, samples_begin_ms };
        self.adjust(&asker, &time, &excluded, &mut found)?;
        let Found { groups, missing, samples_begin_ms } = found;
        let late = self.made_late(&excluded);
        let lacks = Lacks {
            samples_before: samples_begin_ms.map(Instant),
            others: missing.iter().cloned().collect(),
        };
        let mut reports = Vec::new();
        for (group, counts) in &groups {
            let mut report = self.report(objective, &time, group, counts);
            report.revision = revision;
            report.computed_at = Instant(computed_ms.unwrap_or(self.now_ms));
            report.excluded.after_the_fact =
                report.excluded.ids.iter().any(|id| late.contains(id.as_str()));
            report.lacks = lacks.clone();
            for text in &missing {
                report.exact = false;
                report.notes.push(text.clone());
            }
            if let Some(since) = samples_begin_ms {
                report.exact = false;
                report.notes.push(gone_before(since));
            }
            if matches!(objective.sli, Sli::RawRatio { .. }) {
                report.exact = false;
                report.notes.push(
                    "samples are ratios: they are weighted alike, whatever their traffic was"
                        .to_owned(),
                );
            }
            if matches!(objective.sli, Sli::Expression { .. }) {
                report.exact = false;
                report.notes.push(
                    "expression not additive: it is asked of PromQL at the end of every slice"
                        .to_owned(),
                );
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// The time that is counted and its stretches.
    fn time(&self, objective: &Objective, asked: &Asked) -> Time {
        let (slice, zone) = (objective.slice, zone(self.slo));
        let sliced = self.slo.method != Method::Occurrences;
        let (mut from_ms, mut until_ms, mut full_ms) = (asked.from_ms, asked.to_ms, asked.to_ms);
        if sliced {
            from_ms = boundary_after(slice, zone, from_ms);
            full_ms = boundary_before(slice, zone, full_ms).max(from_ms);
            until_ms = boundary_before(slice, zone, until_ms.min(self.now_ms)).max(from_ms);
        } else {
            until_ms = until_ms.min(self.now_ms).max(from_ms);
        }
        let mut cuts: Vec<(i64, Decimal)> = Vec::new();
        for target in &objective.targets {
            let at = match target.from_ms {
                at if at <= from_ms => from_ms,
                // A slice is judged by the target of its beginning.
                at if sliced => boundary_after(slice, zone, at),
                at => at,
            };
            // A period of which no slice is over has the newest target of its beginning.
            if at > from_ms && at >= until_ms && !cuts.is_empty() {
                break;
            }
            match cuts.last_mut() {
                Some(last) if last.0 == at => last.1 = target.target,
                _ => cuts.push((at, target.target)),
            }
        }
        let ends = cuts.iter().skip(1).map(|cut| cut.0).chain([until_ms]);
        let stretches = cuts
            .iter()
            .zip(ends)
            .map(|((from_ms, target), to_ms)| Stretch { from_ms: *from_ms, to_ms, target: *target })
            .collect();
        Time { asked: asked.clone(), from_ms, until_ms, full_ms, stretches }
    }

    fn excluded(&self, objective: &Objective, time: &Time) -> Result<Vec<Excluded<'a>>> {
        let (slice, zone) = (objective.slice, zone(self.slo));
        let sliced = self.slo.method != Method::Occurrences;
        let widen = |from, to| match sliced {
            true => (boundary_before(slice, zone, from), boundary_after(slice, zone, to)),
            false => (from, to),
        };
        let span = (time.from_ms, time.until_ms);
        exclusions::excluded(self.exclusions.iter().copied(), self.slo, span, &widen)
    }

    /// Names of the exclusions that were made after they began.
    fn made_late(&self, excluded: &[Excluded<'a>]) -> BTreeSet<&'a str> {
        let names: BTreeSet<&str> =
            excluded.iter().flat_map(|one| one.names.iter().copied()).collect();
        let late = |one: &&&'a Exclusion| {
            names.contains(one.name.as_str())
                && one.created_ms.is_some_and(|created| created > one.begins_ms())
        };
        self.exclusions.iter().filter(late).map(|one| one.name.as_str()).collect()
    }

    fn window(&self, time: &Time) -> Window {
        let Asked { from_ms, to_ms, label } = &time.asked;
        Window {
            from: Instant(*from_ms),
            to: Instant(*to_ms),
            label: label.clone(),
            time_zone: zone(self.slo).name().to_owned(),
            complete: *to_ms <= self.now_ms,
        }
    }
}
