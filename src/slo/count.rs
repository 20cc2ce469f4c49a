//! Counting an objective over stretches of time, from raw samples.
//!
//! A pure function of the samples, the definition and the stretches. Group after group is read and folded into
//! slices, on some threads; nothing is kept of a series but, where nothing precedes its first sample, that sample.

mod expression;
mod past;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange, is_stale};
use nines_storage::query::{Budget, Queryable, SelectHints, SeriesSet};

use super::definition::{Objective, Selector, Sli, Slice, Slo, Weighting};
use super::error::{Result, SloError};
use super::fold::{self, Judge, Side};
use super::parallel::{each, in_threads, threads};
use super::report::Instant;
use super::slices::{
    SLICES_AT_ONCE, Slot, boundary_before, check_slices, edges, follows, tallies, zone,
};
use super::tally::Tally;
use past::settle_firsts;

/// How far before a stretch samples are read with it, to find the one before the first.
pub(in crate::slo) const LOOKBACK_MS: i64 = 3_600_000;
/// The same of a short stretch, where reading so much more would cost more than to look for some series apart.
const LOOKBACK_SHORT_MS: i64 = 600_000;
/// A stretch of at most this length is a short one.
const SHORT_MS: i64 = 6 * 3_600_000;
/// Series of one group from which on several threads share it.
const SHARED_GROUP_MIN: usize = 256;

/// The values of the labels that an SLO is grouped by, in their order.
pub type Group = Vec<String>;

/// Whether a series is counted.
pub type Keep<'k> = dyn Fn(&Labels) -> bool + Sync + 'k;

/// What was counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// A tally per stretch for each group that has a series.
    pub groups: BTreeMap<Group, Vec<Tally>>,
    /// A tally per stretch of a group that has none.
    pub blank: Vec<Tally>,
    /// What is missing, one sentence each.
    pub missing: Vec<String>,
    /// Since when there are samples, where earlier ones are known to be gone.
    pub samples_begin_ms: Option<i64>,
}

impl Counted {
    /// Why it may not be all, one sentence each.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let gone = self.samples_begin_ms.map(gone_before);
        self.missing.iter().cloned().chain(gone).collect()
    }

    /// Adds a run of slices, of which the first are of the stretch `first`.
    fn add(&mut self, first: usize, run: Self) {
        for group in run.groups.keys() {
            if !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), self.blank.clone());
            }
        }
        for (group, own) in &mut self.groups {
            let tallies = run.groups.get(group).unwrap_or(&run.blank);
            own.iter_mut().skip(first).zip(tallies).for_each(|(own, tally)| own.add(tally));
        }
        let blank = self.blank.iter_mut().skip(first);
        blank.zip(&run.blank).for_each(|(own, tally)| own.add(tally));
        self.missing.extend(run.missing);
        self.missing.sort_unstable();
        self.missing.dedup();
        self.samples_begin_ms = self.samples_begin_ms.max(run.samples_begin_ms);
    }
}

/// What is told where samples before `since_ms` are gone.
#[must_use]
pub fn gone_before(since_ms: i64) -> String {
    format!("samples before {} are gone: what they told is not counted", Instant(since_ms))
}

/// Who asks, and of what.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The samples.
    pub data: &'a dyn Queryable,
    /// What this may cost.
    pub budget: &'a Budget,
    /// The SLO.
    pub slo: &'a Slo,
    /// One of its objectives.
    pub objective: &'a Objective,
}

/// What the series of a source are for.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    Counter(Side, bool),
    Gauge(Judge<'a>),
    Existence,
}

/// Series that one selector has found.
struct Source<'a> {
    role: Role<'a>,
    matchers: &'a [Matcher],
    set: Box<dyn SeriesSet + 'a>,
}

/// A series of a group: its source and its place there.
#[derive(Clone, Copy)]
struct Item {
    source: usize,
    series: usize,
}

/// The slices of a group while it is counted, and the first samples of its series.
#[derive(Default)]
struct Work {
    slots: Vec<Slot>,
    firsts: Vec<(Item, fold::First)>,
    data: SeriesData,
}

impl<'a> Asker<'a> {
    /// Counts the stretches between `boundaries` (ascending, two or more). Of the series that `keep` lets pass, if
    /// it is given.
    pub fn count(&self, boundaries: &[i64], keep: Option<&Keep<'_>>) -> Result<Counted> {
        if boundaries.len() > SLICES_AT_ONCE {
            return Err(SloError::TooManySlices { max: SLICES_AT_ONCE });
        }
        if let (Some(first), Some(last)) = (boundaries.first(), boundaries.last()) {
            check_slices(self.objective.slice, (*first, *last))?;
        }
        match self.objective.slice {
            Slice::Fixed(length) => self.count_runs(boundaries, keep, length),
            Slice::LocalDay => self.count_run(boundaries, keep),
        }
    }

    /// Counts slices run by run, so that those of any time take the memory of one run.
    fn count_runs(
        &self,
        boundaries: &[i64],
        keep: Option<&Keep<'_>>,
        length: i64,
    ) -> Result<Counted> {
        let (Some(&first), Some(&end)) = (boundaries.first(), boundaries.last()) else {
            return Ok(Counted::default());
        };
        let run_ms = length.saturating_mul(SLICES_AT_ONCE as i64);
        if end.saturating_sub(first) <= run_ms {
            return self.count_run(boundaries, keep);
        }
        let none = vec![Tally::default(); boundaries.len() - 1];
        let mut all = Counted { blank: none, ..Counted::default() };
        let mut begin = first;
        while begin < end {
            let next = boundary_before(self.objective.slice, zone(self.slo), begin + run_ms);
            let next = next.min(end);
            let inside = boundaries.iter().filter(|at| (begin + 1..next).contains(*at));
            let cuts: Vec<i64> =
                std::iter::once(begin).chain(inside.copied()).chain([next]).collect();
            let stretch = boundaries.partition_point(|at| *at <= begin).saturating_sub(1);
            all.add(stretch, self.count_run(&cuts, keep)?);
            begin = next;
        }
        Ok(all)
    }

    fn count_run(&self, boundaries: &[i64], keep: Option<&Keep<'_>>) -> Result<Counted> {
        let Some(&begin) = boundaries.first() else { return Ok(Counted::default()) };
        if !follows(self.slo, self.objective) {
            return self.count_from(begin, boundaries, keep);
        }
        // The slice before tells what is expected in the first one.
        let before = boundary_before(self.objective.slice, zone(self.slo), begin.saturating_sub(1));
        let boundaries: Vec<i64> =
            std::iter::once(before).chain(boundaries.iter().copied()).collect();
        let mut counted = self.count_from(begin, &boundaries, keep)?;
        for tallies in counted.groups.values_mut().chain([&mut counted.blank]) {
            tallies.drain(..tallies.len().min(1));
        }
        Ok(counted)
    }

    /// Counts the stretches between `boundaries`, of which those since `wanted` are asked for.
    fn count_from(
        &self,
        wanted: i64,
        boundaries: &[i64],
        keep: Option<&Keep<'_>>,
    ) -> Result<Counted> {
        let (Some(&begin), Some(&end)) = (boundaries.first(), boundaries.last()) else {
            return Ok(Counted::default());
        };
        let edges = edges(self.objective.slice, zone(self.slo), boundaries);
        if edges.len() < 2 {
            return Ok(Counted::default());
        }
        let mut counted = Counted::default();
        let none = vec![Slot::default(); edges.len() - 1];
        counted.blank = tallies((self.slo, self.objective), boundaries, &edges, &none);
        if let Sli::Expression { expr, total, .. } = &self.objective.sli {
            let slots =
                expression::slots(self, (expr, total.as_deref()), (&edges, keep), &mut counted)?;
            let tally = |(group, slots): (Group, Vec<Slot>)| {
                (group, tallies((self.slo, self.objective), boundaries, &edges, &slots))
            };
            counted.groups = slots.into_iter().map(tally).collect();
            if self.slo.group_by.is_empty() && counted.groups.is_empty() {
                counted.groups.insert(Group::new(), counted.blank.clone());
            }
            return Ok(counted);
        }
        let sources = self.sources(begin, end)?;
        for source in &sources {
            counted.missing.extend(source.set.warnings());
            if let Some(since) = source.set.samples_begin_ms().filter(|since| *since > wanted) {
                let known = counted.samples_begin_ms.unwrap_or(i64::MIN);
                counted.samples_begin_ms = Some(known.max(since));
            }
        }
        let groups = self.groups(&sources, keep)?;
        let slots_bytes = (edges.len() * size_of::<Slot>()) as u64;
        let _memory = self.budget.reserve(slots_bytes * threads() as u64)?;
        let looked = Mutex::new(BTreeSet::new());
        counted.groups = self.count_groups(&sources, groups, (boundaries, &edges), &looked)?;
        counted.missing.extend(looked.into_inner().unwrap_or_else(PoisonError::into_inner));
        // Damages are known when the samples have been read.
        for source in &sources {
            for text in source.set.warnings() {
                if !counted.missing.contains(&text) {
                    counted.missing.push(text);
                }
            }
        }
        counted.missing.sort_unstable();
        counted.missing.dedup();
        Ok(counted)
    }

    /// The groups that have a sample inside of (`from`, `to`] of a series that `keep` lets pass; those that `skip` names
    /// are not looked at.
    pub fn groups_within(
        &self,
        (from, to): (i64, i64),
        keep: &Keep<'_>,
        skip: &dyn Fn(&Group) -> bool,
    ) -> Result<BTreeSet<Group>> {
        let mut found = BTreeSet::new();
        if let Sli::Expression { .. } = self.objective.sli {
            // Of what PromQL answers there are the labels alone that the expression keeps.
            let counted = self.count(&[from, to], Some(keep))?.groups;
            let has = |tallies: &Vec<Tally>| tallies.iter().any(|tally| tally.with_data > 0);
            found.extend(counted.into_iter().filter(|one| has(&one.1)).map(|one| one.0));
            found.retain(|group| !skip(group));
            return Ok(found);
        }
        let sources = self.sources(from, to)?;
        let mut data = SeriesData::default();
        for (group, items) in self.groups(&sources, Some(keep))? {
            if skip(&group) {
                continue;
            }
            for item in items {
                let Some(source) = sources.get(item.source) else { continue };
                let held = if matches!(source.role, Role::Gauge(_)) { self.hold_ms() } else { 0 };
                let range = TimeRange::new(from.saturating_sub(held).saturating_add(1), to);
                // Blocks tell series whose samples lie outside of the range.
                source.set.read(item.series, range, self.budget, &mut data)?;
                if data.values.iter().any(|value| !is_stale(*value)) {
                    found.insert(group);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// How long a sample of a gauge holds.
    const fn hold_ms(&self) -> i64 {
        self.objective.weighting.hold_ms()
    }

    fn sources(&self, begin: i64, end: i64) -> Result<Vec<Source<'a>>> {
        let mut wanted: Vec<(Role<'a>, &'a Selector)> = Vec::new();
        match &self.objective.sli {
            Sli::Ratio { counters, total, .. } => {
                wanted.push((Role::Counter(Side::Part, false), counters));
                wanted.push((Role::Counter(Side::Total, false), total));
            }
            Sli::Threshold { series, op, value } => {
                wanted.push((Role::Gauge(Judge::Against(*op, *value)), series));
            }
            Sli::States { series, good, bad, ignore, existence } => {
                wanted.push((Role::Gauge(Judge::States(good, bad, ignore)), series));
                wanted.extend(existence.as_ref().map(|selector| (Role::Existence, selector)));
            }
            Sli::RawRatio { series, .. } => wanted.push((Role::Gauge(Judge::Share), series)),
            Sli::Expression { .. } => return Err(SloError::Expression),
        }
        let mut sources = Vec::new();
        for (role, selector) in wanted {
            let range = match role {
                Role::Counter(..) => {
                    TimeRange::new(begin.saturating_sub(lookback(begin, end)) + 1, end)
                }
                Role::Gauge(_) => TimeRange::new(begin.saturating_sub(self.hold_ms()) + 1, end),
                Role::Existence => TimeRange::new(begin + 1, end),
            };
            sources.push(self.source(role, &selector.matchers, range)?);
            for (plus, matchers) in &selector.terms {
                let role = match role {
                    Role::Counter(side, _) => Role::Counter(side, !*plus),
                    other => other,
                };
                sources.push(self.source(role, matchers, range)?);
            }
        }
        Ok(sources)
    }

    fn source(
        &self,
        role: Role<'a>,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> Result<Source<'a>> {
        let hints = SelectHints { any_order: true, ..SelectHints::default() };
        let set = self.data.select(matchers, range, &hints, self.budget)?;
        self.budget.count_series(set.len() as u64)?;
        Ok(Source { role, matchers, set })
    }

    fn groups(
        &self,
        sources: &[Source<'_>],
        keep: Option<&Keep<'_>>,
    ) -> Result<BTreeMap<Group, Vec<Item>>> {
        let mut groups: BTreeMap<Group, Vec<Item>> = BTreeMap::new();
        if self.slo.group_by.is_empty() {
            // Without any series as well there is time in which there are no samples.
            groups.insert(Group::new(), Vec::new());
        }
        for (at, source) in sources.iter().enumerate() {
            for series in 0..source.set.len() {
                let labels = source.set.labels(series);
                if keep.is_some_and(|keep| !keep(labels)) {
                    continue;
                }
                let item = Item { source: at, series };
                groups.entry(group_of(self.slo, labels)).or_default().push(item);
            }
            self.budget.check()?;
        }
        Ok(groups)
    }

    fn count_groups(
        &self,
        sources: &[Source<'_>],
        groups: BTreeMap<Group, Vec<Item>>,
        (boundaries, edges): (&[i64], &[i64]),
        missing: &Mutex<BTreeSet<String>>,
    ) -> Result<BTreeMap<Group, Vec<Tally>>> {
        let threads = threads().min(groups.values().map(Vec::len).sum::<usize>().max(1));
        let groups: Vec<(Group, Vec<Item>)> = groups.into_iter().collect();
        let done = Mutex::new(BTreeMap::new());
        let finish = |group: &Group, work: &mut Work| -> Result<()> {
            let firsts = std::mem::take(&mut work.firsts);
            let uncounted = settle_firsts(self, sources, firsts, edges, &mut work.slots, missing)?;
            let mut counted = tallies((self.slo, self.objective), boundaries, edges, &work.slots);
            for (at, value) in uncounted {
                let edge = edges.get(at + 1).copied().unwrap_or(i64::MAX);
                let stretch = boundaries.partition_point(|boundary| *boundary < edge);
                if let Some(tally) = counted.get_mut(stretch.saturating_sub(1)) {
                    tally.first_values.0.add(value);
                    tally.first_values.1 += 1;
                }
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(group.clone(), counted);
            Ok(())
        };
        let next = AtomicUsize::new(0);
        let alone = || -> Result<()> {
            let mut work = Work::default();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((group, items)) = groups.get(at) else { return Ok(()) };
                if items.len() >= SHARED_GROUP_MIN && threads > 1 {
                    continue;
                }
                work.begin(edges);
                self.fold_items(sources, items, edges, &mut work)?;
                finish(group, &mut work)?;
            }
        };
        in_threads(threads.min(groups.len().max(1)), &alone)?;
        for (group, items) in &groups {
            if items.len() < SHARED_GROUP_MIN || threads == 1 {
                continue;
            }
            let mut work = self.fold_shared(sources, items, edges, threads)?;
            finish(group, &mut work)?;
        }
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Folds the series of one group on several threads: each takes a run of them, and the runs are added in order.
    fn fold_shared(
        &self,
        sources: &[Source<'_>],
        items: &[Item],
        edges: &[i64],
        threads: usize,
    ) -> Result<Work> {
        let runs: Vec<&[Item]> = items.chunks(items.len().div_ceil(threads).max(1)).collect();
        let parts = each(&runs, &|run| {
            let mut work = Work::default();
            work.begin(edges);
            self.fold_items(sources, run, edges, &mut work)?;
            Ok(work)
        })?;
        let mut all = Work::default();
        all.begin(edges);
        for part in parts {
            for (slot, other) in all.slots.iter_mut().zip(&part.slots) {
                slot.merge(other);
            }
            all.firsts.extend(part.firsts);
        }
        Ok(all)
    }

    fn fold_items(
        &self,
        sources: &[Source<'_>],
        items: &[Item],
        edges: &[i64],
        work: &mut Work,
    ) -> Result<()> {
        let (Some(&begin), Some(&end)) = (edges.first(), edges.last()) else { return Ok(()) };
        for item in items {
            let Some(source) = sources.get(item.source) else { continue };
            let back = match source.role {
                Role::Counter(..) => lookback(begin, end),
                Role::Gauge(_) => self.hold_ms(),
                Role::Existence => 0,
            };
            let range = TimeRange::new(begin.saturating_sub(back) + 1, end);
            let Work { slots, firsts, data } = work;
            source.set.read(item.series, range, self.budget, data)?;
            match source.role {
                Role::Counter(side, negative) => {
                    let first = fold::counter(data, edges, (side, negative), slots);
                    firsts.extend(first.map(|first| (*item, first)));
                }
                Role::Gauge(judge) => match self.objective.weighting {
                    Weighting::Samples => fold::gauge(data, edges, judge, slots),
                    Weighting::Time { .. } => fold::held(data, edges, (judge, back), slots),
                },
                Role::Existence => fold::existence(data, edges, slots),
            }
        }
        Ok(())
    }
}

impl Work {
    fn begin(&mut self, edges: &[i64]) {
        self.slots.clear();
        self.slots.resize(edges.len().saturating_sub(1), Slot::default());
        self.firsts.clear();
    }
}

/// The values of the labels that `slo` is grouped by.
#[must_use]
pub fn group_of(slo: &Slo, labels: &Labels) -> Group {
    slo.group_by.iter().map(|name| labels.get(name).to_owned()).collect()
}

/// How far before (`begin`, `end`] samples are read.
const fn lookback(begin: i64, end: i64) -> i64 {
    if end - begin <= SHORT_MS { LOOKBACK_SHORT_MS } else { LOOKBACK_MS }
}
