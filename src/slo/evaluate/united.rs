//! The slices of several objectives as one: a slice is bad that is bad in any of them.

use std::collections::{BTreeMap, BTreeSet};

use super::adjust::Adjusted;
use super::composite::add_new;
use super::{Asked, Counts, Evaluator, Time};
use crate::slo::count::{Asker, Counted, Group};
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Method, Objective, Target};
use crate::slo::error::Result;
use crate::slo::exclusions::Excluded;
use crate::slo::report::Report;
use crate::slo::slices::{edges, zone};
use crate::slo::sum::Sum;
use crate::slo::tally::Tally;

/// Slices of which all objectives are held at once.
const SLICES_HELD: usize = 4096;

impl Evaluator<'_> {
    /// The reports over united slices, of the groups of these reports of all objectives. `None` where the objectives
    /// have slices or targets of their own, so that there is no budget of a united slice, and where an exclusion
    /// covers some series only.
    pub(super) fn united(
        &self,
        asked: &Asked,
        members: &[(Decimal, Report)],
    ) -> Result<Option<Vec<Report>>> {
        let Some(first) = self.slo.objectives.first() else { return Ok(None) };
        let told = |one: &Target| (one.from_ms, one.target);
        let alike = |one: &Objective| {
            one.slice == first.slice
                && one.targets.iter().map(told).eq(first.targets.iter().map(told))
        };
        if self.slo.method != Method::Timeslices || !self.slo.objectives.iter().all(alike) {
            return Ok(None);
        }
        let time = self.time(first, asked);
        let excluded = self.excluded(first, &time)?;
        if excluded.iter().any(|one| !one.labels.is_empty() || !one.except.is_empty()) {
            return Ok(None);
        }
        let mut by_group: BTreeMap<Group, Vec<&Report>> = BTreeMap::new();
        for (_, report) in members {
            let value = |name| report.group.get(name).cloned();
            let group = self.slo.group_by.iter().filter_map(value).collect();
            by_group.entry(group).or_default().push(report);
        }
        // One that stands for "nothing was found" is no group beside others.
        if by_group.len() > 1 && !self.slo.group_by.is_empty() {
            by_group.remove(&Group::new());
        }
        let mut counts = self.count_united(&time, &excluded, by_group.keys())?;
        let mut reports = Vec::new();
        for (group, members) in &by_group {
            let Some(counts) = counts.remove(group) else { continue };
            let mut report = self.report(first, &time, group, &counts);
            describe(&mut report, members, self.slo.objectives.len());
            reports.push(report);
        }
        Ok(Some(reports))
    }

    fn count_united<'g>(
        &self,
        time: &Time,
        excluded: &[Excluded<'_>],
        groups: impl Iterator<Item = &'g Group>,
    ) -> Result<BTreeMap<Group, Counts>> {
        let stretches = time.stretches.len();
        let none = || Counts {
            raw: vec![Tally::default(); stretches],
            adjusted: (0..stretches).map(|_| Adjusted::new(&Tally::default())).collect(),
        };
        let mut counts: BTreeMap<Group, Counts> =
            groups.map(|group| (group.clone(), none())).collect();
        for (at, stretch) in time.stretches.iter().enumerate() {
            let Some(slice) = self.slo.objectives.first().map(|one| one.slice) else { break };
            let all = edges(slice, zone(self.slo), &[stretch.from_ms, stretch.to_ms]);
            for begin in (0..all.len().saturating_sub(1)).step_by(SLICES_HELD) {
                let end = (begin + SLICES_HELD).min(all.len() - 1);
                let run = all.get(begin..=end).unwrap_or_default();
                let counted = self.count_members(run)?;
                for (group, counts) in &mut counts {
                    let (Some(raw), Some(adjusted)) =
                        (counts.raw.get_mut(at), counts.adjusted.get_mut(at))
                    else {
                        continue;
                    };
                    for (n, edge) in run.windows(2).enumerate() {
                        let slice = self.unite(&counted, group, n);
                        raw.add(&slice);
                        adjusted.tally.add(&slice);
                        let covers = |one: &&Excluded<'_>| matches!(*edge, [from, to] if one.from_ms <= from && to <= one.to_ms);
                        if let Some(one) = excluded.iter().find(covers) {
                            adjusted.take(&slice, one);
                        }
                    }
                }
            }
        }
        Ok(counts)
    }

    /// Every objective, slice by slice.
    fn count_members(&self, run: &[i64]) -> Result<Vec<Counted>> {
        let count = |objective| {
            Asker { data: self.data, budget: self.budget, slo: self.slo, objective }
                .count(run, None)
        };
        self.slo.objectives.iter().map(count).collect()
    }

    /// One slice of a group.
    fn unite(&self, members: &[Counted], group: &Group, n: usize) -> Tally {
        let (mut any_good, mut any_bad) = (false, false);
        let mut all = Tally::default();
        for counted in members {
            let Some(own) = counted.groups.get(group).unwrap_or(&counted.blank).get(n) else {
                continue;
            };
            let (good, bad) = self.slices_of(own, 0);
            (any_good, any_bad) = (any_good || good > 0, any_bad || bad > 0);
            all.add(own);
        }
        let mut slice = Tally { slices: 1, ..Tally::default() };
        if all.with_data == 0 {
            // What is missing in all of them is judged as what is missing in one.
            slice.absent = u32::from(all.no_data() == 0);
            return slice;
        }
        slice.with_data = 1;
        let only_zero = all.good == 0 && all.zero > 0;
        match (any_bad, any_good) {
            (true, _) => slice.bad = 1,
            (false, true) if !only_zero => slice.good = 1,
            _ if only_zero => slice.zero = 1,
            _ => slice.ignored = 1,
        }
        slice
    }
}

/// Tells of a report over united slices what its members tell.
fn describe(report: &mut Report, members: &[&Report], n: usize) {
    let (mut first_values, mut versions) = (Sum::default(), Vec::new());
    let mut late = BTreeSet::new();
    for own in members {
        report.exact &= own.exact;
        report.revision = report.revision.max(own.revision);
        report.computed_at = report.computed_at.max(own.computed_at);
        report.lacks.add(&own.lacks);
        add_new(&mut report.notes, &own.notes);
        add_new(&mut report.anomalies, &own.anomalies);
        first_values.add(own.uncounted.first_values.0);
        report.uncounted.series += own.uncounted.series;
        versions.push(own.definition_version.as_str());
        if own.excluded.after_the_fact {
            late.extend(own.excluded.ids.iter().cloned());
        }
    }
    report.uncounted.first_values = first_values.into();
    report.excluded.after_the_fact = report.excluded.ids.iter().any(|id| late.contains(id));
    report.definition_version = versions.join(" ");
    report.objective = String::new();
    report.notes.push(format!("composite: a slice is bad that is bad in any of {n} objectives"));
}
