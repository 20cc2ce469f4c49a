//! Samples that came to days of which others are gone already, and which the rows of those days do not count.

use std::collections::BTreeSet;

use super::SeriesSet;
use super::past::Past;
use super::select::Selection;
use super::tiling::{Kept, Plan, Stretch};
use crate::history::Day;
use crate::model::window::Pieces;
use crate::model::{SeriesData, WindowSummary, is_stale};

/// Adds the days up to `until_ms` of which the head holds samples of series `i`.
pub(super) fn add_head_days(
    selection: &Selection<'_>,
    i: usize,
    until_ms: i64,
    days: &mut BTreeSet<i64>,
) {
    if selection.head_begins(i).is_some_and(|ts| ts <= until_ms) {
        let mut data = SeriesData::default();
        selection.read_head(i, &mut data);
        days.extend(data.ts.iter().map(|ts| Day::of(*ts).0));
        days.extend(data.histograms.iter().map(|(ts, _)| Day::of(*ts).0));
    }
}

/// Days of which samples are gone and the head holds others.
pub(super) fn late_in_head(selection: &Selection<'_>, past: &Past<'_>) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    if let Some(gone) = past.state.raw_gone {
        (0..selection.len()).for_each(|i| add_head_days(selection, i, gone.end_ms(), &mut days));
        days.retain(|day| *day <= gone.0);
    }
    days
}

/// The days of a plan whose rows lack samples.
pub(super) fn plan_late(plan: &Plan, kept: impl Fn(Day) -> Kept) -> BTreeSet<i64> {
    let day = |stretch: &Stretch| match stretch {
        Stretch::Hours(day, ..) if kept(*day) == Kept::Late => Some(day.0),
        _ => None,
    };
    plan.stretches.iter().filter_map(day).collect()
}

/// The samples of a series that lie in hours with rows, ascending.
pub(super) struct Late<'d> {
    samples: &'d SeriesData,
    /// Those before are told.
    next: usize,
}

impl<'d> Late<'d> {
    pub(super) const fn new(samples: &'d SeriesData) -> Self {
        Self { samples, next: 0 }
    }

    fn push_until(&mut self, until: usize, pieces: &mut Pieces) {
        let range = self.next..until.max(self.next);
        let ts = self.samples.ts.get(range.clone()).unwrap_or_default();
        let values = self.samples.values.get(range.clone()).unwrap_or_default();
        ts.iter().zip(values).for_each(|(ts, value)| pieces.push_sample(*ts, *value));
        self.next = range.end;
    }

    /// Adds those that lie before the samples of the next row, whose hour begins at `start_ms`.
    pub(super) fn before(&mut self, row: &WindowSummary, start_ms: i64, pieces: &mut Pieces) {
        let first = if row.count > 0 { row.first_ts } else { start_ms + 1 };
        let until = self.samples.ts.partition_point(|ts| *ts < first);
        self.push_until(until, pieces);
    }

    /// Passes over those among the samples of a row. Whether there are some that it may not count.
    pub(super) fn skip(&mut self, row: &WindowSummary) -> bool {
        if row.count == 0 {
            return false;
        }
        let until = self.samples.ts.partition_point(|ts| *ts <= row.last_ts);
        let among = self.next..until.max(self.next);
        let ts = self.samples.ts.get(among.clone()).unwrap_or_default();
        let values = self.samples.values.get(among.clone()).unwrap_or_default();
        self.next = among.end;
        let there = WindowSummary::of(ts, values);
        let all = there.count == row.count
            && (there.first_ts, there.last_ts) == (row.first_ts, row.last_ts)
            && there.first.to_bits() == row.first.to_bits()
            && there.last.to_bits() == row.last.to_bits();
        !all && values.iter().any(|value| !is_stale(*value))
    }

    /// Adds those that are left.
    pub(super) fn rest(&mut self, pieces: &mut Pieces) {
        self.push_until(self.samples.ts.len(), pieces);
    }
}
