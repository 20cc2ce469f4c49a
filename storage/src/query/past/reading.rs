//! One series of windows, read piece by piece.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use super::{Step, Tiled, hours_of};
use crate::error::Result;
use crate::history::{Day, DayRows, HOUR_MS, MonthRows, RowFacts, Sought};
use crate::model::window::{Need, Pieces};
use crate::model::{SeriesData, TimeRange, WindowSummary, is_stale};
use crate::query::late::Late;
use crate::query::{Budget, SeriesSet};

/// Values whose sum may overflow within a row, which then does not add up as its samples do.
const SUMMED_MAX: f64 = 1e290;

/// What became of a series.
pub(super) enum Outcome {
    /// Its pieces are there.
    Done,
    /// It has histograms, about which rows say nothing.
    Histograms,
}

/// A series that is being read.
pub(super) struct Reading<'r, 's> {
    pub(super) tiled: &'r Tiled<'s>,
    pub(super) i: usize,
    pub(super) sought: Sought<'r>,
    pub(super) budget: &'r Budget,
    pub(super) data: &'r mut SeriesData,
    pub(super) pieces: &'r mut Pieces,
    pub(super) rows: u64,
}

impl Reading<'_, '_> {
    /// Hours of a day whose rows lack samples that came later. What lies before and behind the samples of a row is
    /// taken in; what lies among them may be in the row or not.
    fn late_hours(
        &mut self,
        rows: &DayRows,
        hours: RangeInclusive<u8>,
        samples_of: TimeRange,
    ) -> Result<Outcome> {
        let tiled = self.tiled;
        let mut samples = SeriesData::default();
        tiled.selection.read(self.i, samples_of, self.budget, &mut samples)?;
        if !samples.histograms.is_empty() {
            return Ok(Outcome::Histograms);
        }
        let mut late = Late::new(&samples);
        let sought = self.sought;
        let charge = |bytes: u64| tiled.charge(bytes);
        self.asks_samples(rows)?;
        rows.hour_rows(sought, hours, tiled.need, &charge, &mut |row, facts| {
            late.before(row, facts.end_ms - HOUR_MS, self.pieces);
            self.row(rows.day, row, facts);
            if late.skip(row) {
                tiled.left_out.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        late.rest(self.pieces);
        Ok(Outcome::Done)
    }

    /// Whether samples are to be read because all rows of a series on a day, or those of its hours, may have gone by
    /// their age. Notes it where these are gone as well.
    fn asks_samples(&self, rows: &DayRows) -> Result<bool> {
        let Tiled { past, cut, .. } = self.tiled;
        let charge = |bytes: u64| self.tiled.charge(bytes);
        if past.kept(rows.day).is_gone() {
            let lost = past.lost_hours(rows, self.sought, &charge)?;
            self.tiled.hours_gone.fetch_or(lost, Ordering::Relaxed);
            return Ok(false);
        }
        let may_lack = past.cuts_hours(rows.day) || cut.contains(&rows.day.0);
        Ok(may_lack && !rows.has_hours(self.sought, &charge)?)
    }

    fn samples(&mut self, range: TimeRange) -> Result<Outcome> {
        self.tiled.selection.read(self.i, range, self.budget, self.data)?;
        if !self.data.histograms.is_empty() {
            if !self.tiled.presence {
                return Ok(Outcome::Histograms);
            }
            let histograms = self.data.histograms.iter().filter(|(_, one)| !one.is_stale());
            let floats = self.data.ts.iter().zip(&self.data.values);
            let floats = floats.filter(|(_, value)| !is_stale(**value));
            let mut times: Vec<i64> = histograms.map(|(ts, _)| *ts).collect();
            times.extend(floats.map(|(ts, _)| *ts));
            times.sort_unstable();
            times.iter().for_each(|ts| self.pieces.push_sample(*ts, 0.0));
            return Ok(Outcome::Done);
        }
        for (ts, value) in self.data.ts.iter().zip(&self.data.values) {
            self.pieces.push_sample(*ts, *value);
        }
        Ok(Outcome::Done)
    }

    /// Takes a row in. `false`: it does not say what is needed, and there are samples that do.
    fn row(&mut self, day: Day, summary: &WindowSummary, facts: RowFacts) -> bool {
        let RowFacts { end_ms, histograms } = facts;
        self.rows += 1;
        let untold = self.tiled.need == Need::Resets && !summary.pre_resets.are_told();
        let huge = |value: f64| value.abs() >= SUMMED_MAX;
        let huge = self.tiled.need == Need::All && (huge(summary.min) || huge(summary.max));
        let gone = self.tiled.past.kept(day).is_gone();
        if histograms && self.tiled.presence {
            // Wherever it is, it is inside of the windows that the row is inside of.
            self.pieces.push_sample(end_ms, 0.0);
            return true;
        }
        if histograms || untold || huge {
            if !gone {
                return false;
            }
            self.tiled.huge.fetch_or(huge, Ordering::Relaxed);
            self.tiled.untold.fetch_or(untold, Ordering::Relaxed);
            self.tiled.histograms.fetch_or(histograms, Ordering::Relaxed);
        }
        self.pieces.push(summary);
        true
    }

    /// Reads all of its pieces.
    pub(super) fn run(&mut self) -> Result<Outcome> {
        let tiled = self.tiled;
        let changed = tiled.changed_days(self.i);
        let is_changed = |day: Day| changed.contains(&day.0) && !tiled.past.kept(day).is_gone();
        for step in &tiled.steps {
            let outcome = match step {
                Step::Samples(range) => self.samples(*range)?,
                Step::Day(day, _) if is_changed(*day) => self.samples(day.range())?,
                Step::Day(day, rows) => self.day(*day, rows)?,
                Step::Hours(day, hours, _) if is_changed(*day) => {
                    self.samples(hours_of(*day, *hours))?
                }
                Step::Hours(day, hours, rows) if tiled.late.contains(&day.0) => {
                    self.late_hours(rows, hours.0..=hours.1, hours_of(*day, *hours))?
                }
                Step::Hours(day, hours, rows) => self.hours(*day, *hours, rows)?,
                Step::Month((first, last), rows) => {
                    let mut from = *first;
                    let mut outcome = Outcome::Done;
                    // Between days that changed, or that lack rows.
                    let mut apart: Vec<i64> = changed.range(first.0..=last.0).copied().collect();
                    apart.extend(tiled.cut.range(first.0..=last.0));
                    apart.sort_unstable();
                    apart.dedup();
                    for day in apart.into_iter().map(Day) {
                        if !is_changed(day) && !tiled.cut.contains(&day.0) {
                            continue;
                        }
                        outcome = self.days((from, day.previous()), rows)?;
                        let n_rows = self.rows;
                        if matches!(outcome, Outcome::Done) && !is_changed(day) {
                            outcome = self.days((day, day), rows)?;
                        }
                        if matches!(outcome, Outcome::Done) && self.rows == n_rows {
                            outcome = self.samples(day.range())?;
                        }
                        if matches!(outcome, Outcome::Histograms) {
                            break;
                        }
                        from = day.next();
                    }
                    match outcome {
                        Outcome::Done => self.days((from, *last), rows)?,
                        Outcome::Histograms => outcome,
                    }
                }
            };
            if let Outcome::Histograms = outcome {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Done)
    }

    /// Whether the hours of a day may tell resets that its row does not.
    fn is_told_by_hours(&self, day: Day, summary: &WindowSummary) -> bool {
        let Tiled { need, past, .. } = self.tiled;
        *need == Need::Resets && !summary.pre_resets.are_told() && !past.cuts_hours(day)
    }

    /// The row of a day. Where it does not say what is needed, its samples; a day may also have more resets than
    /// its row tells, while its hours have not.
    fn day(&mut self, day: Day, rows: &DayRows) -> Result<Outcome> {
        let tiled = self.tiled;
        let charge = |bytes: u64| tiled.charge(bytes);
        let (mut any, mut unsaid) = (false, None);
        rows.day_row(self.sought, tiled.need, &charge, &mut |summary, facts| {
            any = true;
            let by_hours = self.is_told_by_hours(day, summary);
            if by_hours || !self.row(day, summary, facts) {
                unsaid = Some(by_hours);
            }
            Ok(())
        })?;
        match unsaid {
            None if !any && tiled.cut.contains(&day.0) => self.samples(day.range()),
            None => Ok(Outcome::Done),
            Some(true) => self.hours(day, (1, 24), rows),
            Some(false) => self.samples(day.range()),
        }
    }

    /// The rows of neighbouring days of a month, as [`Reading::day`] reads each.
    fn days(&mut self, (mut from, to): (Day, Day), rows: &MonthRows) -> Result<Outcome> {
        let tiled = self.tiled;
        let (sought, charge) = (self.sought, |bytes: u64| tiled.charge(bytes));
        while from <= to {
            let mut unsaid = None;
            let mut show = |day: Day, summary: &WindowSummary, facts: RowFacts| {
                let by_hours = self.is_told_by_hours(day, summary);
                if by_hours || !self.row(day, summary, facts) {
                    unsaid = Some((day, by_hours));
                }
                Ok(unsaid.is_none())
            };
            rows.rows(sought, from..=to, tiled.need, &charge, &mut show)?;
            let Some((day, by_hours)) = unsaid else { break };
            let of_day = if by_hours { tiled.past.rows(day, &charge)? } else { None };
            let outcome = match of_day {
                Some(of_day) => self.hours(day, (1, 24), &of_day)?,
                None => self.samples(day.range())?,
            };
            if let Outcome::Histograms = outcome {
                return Ok(outcome);
            }
            from = day.next();
        }
        Ok(Outcome::Done)
    }

    /// Rows of hours; from the first on that does not say what is needed, the samples.
    fn hours(&mut self, day: Day, (from, to): (u8, u8), rows: &DayRows) -> Result<Outcome> {
        let tiled = self.tiled;
        let charge = |bytes: u64| tiled.charge(bytes);
        if self.asks_samples(rows)? {
            return self.samples(hours_of(day, (from, to)));
        }
        let mut unsaid = None;
        rows.hour_rows(self.sought, from..=to, tiled.need, &charge, &mut |summary, facts| {
            if unsaid.is_none() && !self.row(day, summary, facts) {
                let begin = facts.end_ms - HOUR_MS;
                unsaid = Some(TimeRange::new(begin + 1, hours_of(day, (from, to)).max));
            }
            Ok(())
        })?;
        unsaid.map_or(Ok(Outcome::Done), |range| self.samples(range))
    }
}
