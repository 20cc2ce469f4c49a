//! What exclusions and the life of a group change in what was counted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evaluator, Found, Time};
use crate::slo::calendar::day_boundaries;
use crate::slo::count::{Asker, Counted, Group, Keep};
use crate::slo::definition::{ExclusionMode, Method, Part, Sli, Slice};
use crate::slo::error::Result;
use crate::slo::exclusions::Excluded;
use crate::slo::slices::{part_of, zone};
use crate::slo::tally::Tally;

/// A tally without what exclusions cover.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adjusted {
    pub(super) tally: Tally,
    /// Slices that an exclusion says are good.
    pub(super) assumed_good: u32,
    /// What was taken away.
    pub(super) taken: Tally,
    /// By which exclusions.
    pub(super) names: BTreeSet<String>,
}

impl Adjusted {
    pub(super) fn new(raw: &Tally) -> Self {
        Self {
            tally: raw.clone(),
            assumed_good: 0,
            taken: Tally::default(),
            names: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, part: &Tally, excluded: &Excluded<'_>) {
        self.tally.take(part);
        if excluded.mode == ExclusionMode::Good {
            self.assumed_good += part.slices - part.absent.min(part.slices);
        } else {
            self.taken.add(part);
        }
        self.names.extend(excluded.names.iter().map(|name| (*name).to_owned()));
    }

    /// Takes bad events away; where they become good, the total stays.
    fn take_events(&mut self, part: &Tally, side: Part, excluded: &Excluded<'_>) {
        match (excluded.mode, side) {
            (ExclusionMode::Exclude, _) => {
                self.tally.part = self.tally.part.less(&part.part);
                self.tally.total = self.tally.total.less(&part.total);
                self.taken.part.merge(&part.part);
                self.taken.total.merge(&part.total);
                self.taken.slices += part.slices;
            }
            (ExclusionMode::Good, Part::Bad) => self.tally.part = self.tally.part.less(&part.part),
            (ExclusionMode::Good, Part::Good) => {
                let bad = part.total.less(&part.part);
                self.tally.part.merge(&bad);
            }
        }
        self.names.extend(excluded.names.iter().map(|name| (*name).to_owned()));
    }
}

impl<'a> Evaluator<'a> {
    /// Slices between two edges of slices.
    pub(super) fn n_slices(&self, slice: Slice, from: i64, to: i64) -> u32 {
        if to <= from {
            return 0;
        }
        let n = match slice {
            Slice::Fixed(length) => (to - from).div_euclid(length),
            Slice::LocalDay => {
                day_boundaries(zone(self.slo), from, to).len().saturating_sub(1) as i64
            }
        };
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// Takes what exclusions cover out of the counts of all groups.
    pub(super) fn adjust(
        &self,
        asker: &Asker<'a>,
        time: &Time,
        excluded: &[Excluded<'a>],
        found: &mut Found,
    ) -> Result<()> {
        for one in excluded {
            for (at, stretch) in time.stretches.iter().enumerate() {
                let span = (one.from_ms.max(stretch.from_ms), one.to_ms.min(stretch.to_ms));
                if span.0 >= span.1 {
                    continue;
                }
                if self.slo.method == Method::Occurrences {
                    take_events(asker, one, (at, span), found)?;
                } else {
                    self.take_slices(asker, time, one, (at, span), found)?;
                }
            }
        }
        Ok(())
    }

    fn take_slices(
        &self,
        asker: &Asker<'a>,
        time: &Time,
        one: &Excluded<'a>,
        (at, span): (usize, (i64, i64)),
        found: &mut Found,
    ) -> Result<()> {
        let boundaries = [span.0, span.1];
        let counted = asker.count(&boundaries, None)?;
        found.lacks(&counted);
        let Counted { groups: all, blank, .. } = counted;
        let all_series = one.labels.is_empty() && one.except.is_empty();
        if all_series || !self.slo.group_by.is_empty() {
            // Whole slices of whole groups.
            let covered = match all_series {
                true => None,
                false => Some(covered(asker, time, one, (span, &all))?),
            };
            for (group, counts) in found.groups.iter_mut() {
                if covered.as_ref().is_some_and(|covered| !covered.contains(group)) {
                    continue;
                }
                let tally = all.get(group).unwrap_or(&blank).first();
                let part = tally.cloned().unwrap_or_default();
                if let Some(adjusted) = counts.adjusted.get_mut(at) {
                    adjusted.take(&part, one);
                }
            }
            return Ok(());
        }
        // Of series that are counted together, the samples of those that are covered.
        let others = asker.count(&boundaries, Some(&|series| !one.covers(series)))?;
        found.lacks(&others);
        let others = others.groups;
        for (group, counts) in found.groups.iter_mut() {
            let first = |of: &BTreeMap<Group, Vec<Tally>>| {
                of.get(group).and_then(|tallies| tallies.first()).cloned()
            };
            let (Some(part), Some(adjusted)) = (first(&all), counts.adjusted.get_mut(at)) else {
                continue;
            };
            adjusted.take(&part, one);
            if let Some(mut left) = first(&others) {
                // Slices that have nothing left are excluded, not without data.
                let gone = part.with_data.saturating_sub(left.with_data);
                left.slices -= gone.min(left.slices);
                adjusted.tally.add(&left);
                match one.mode {
                    ExclusionMode::Exclude => adjusted.taken.take(&left),
                    ExclusionMode::Good => {
                        adjusted.assumed_good = adjusted.assumed_good.saturating_sub(left.slices);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The groups that an exclusion of some series covers in a stretch, of which `all` tells what was counted there: those
/// that have samples of these series then. The series of one that is down tell by the rest of the window.
pub(super) fn covered(
    asker: &Asker<'_>,
    time: &Time,
    one: &Excluded<'_>,
    (span, all): ((i64, i64), &BTreeMap<Group, Vec<Tally>>),
) -> Result<BTreeSet<Group>> {
    let whole = (time.from_ms, time.until_ms);
    let inventory = matches!(asker.objective.sli, Sli::States { existence: Some(_), .. });
    let is_told = |group: &Group| {
        let tally = all.get(group).and_then(|tallies| tallies.first());
        tally.is_some_and(|tally| tally.with_data > 0 || (inventory && tally.no_data() > 0))
    };
    let having = |keep: &Keep<'_>| -> Result<BTreeSet<Group>> {
        let mut groups = asker.groups_within(span, keep, &|_| false)?;
        groups.extend(asker.groups_within(whole, keep, &is_told)?);
        Ok(groups)
    };
    let mut groups = having(&|series| one.covers(series))?;
    if !one.except.is_empty() {
        let spared = having(&|series| one.spares(series))?;
        groups.retain(|group| !spared.contains(group));
    }
    Ok(groups)
}

fn take_events(
    asker: &Asker<'_>,
    one: &Excluded<'_>,
    (at, span): (usize, (i64, i64)),
    found: &mut Found,
) -> Result<()> {
    let covers = |series: &nines_storage::model::Labels| one.covers(series);
    let counted = asker.count(&[span.0, span.1], Some(&covers))?;
    found.lacks(&counted);
    let side = part_of(&asker.objective.sli);
    for (group, counts) in found.groups.iter_mut() {
        let part = counted.groups.get(group).and_then(|tallies| tallies.first());
        if let (Some(part), Some(adjusted)) = (part, counts.adjusted.get_mut(at)) {
            adjusted.take_events(part, side, one);
        }
    }
    Ok(())
}
