//! Windows of selected series from rows of the history and samples.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::select::Selection;
use super::tiling::{Kept, Plan, Stretch, plan};
use super::{Budget, Reservation, SeriesSet, WindowSet};
use crate::error::{Error, Result};
use crate::history::{Day, DayRows, History, State};
use crate::model::window::{Need, Pieces, Spaced};
use crate::model::{Labels, SeriesData, TimeRange, WindowSummary};

/// The history as a query sees it: its state was taken after the head and the blocks.
#[derive(Clone)]
pub(crate) struct Past<'h> {
    pub(crate) history: &'h History,
    pub(crate) state: Arc<State>,
}

impl Past<'_> {
    /// What there is of a day.
    fn kept(&self, day: Day) -> Kept {
        match self.state.days.get(&day.0) {
            Some(_) if !self.state.has_raw(day) => Kept::Rows,
            Some(built) if !built.outdated => Kept::Both,
            _ => Kept::Samples,
        }
    }

    /// The rows of a day. Fails where they are damaged, or were built anew meanwhile.
    pub(super) fn rows(&self, day: Day) -> Result<Option<Arc<DayRows>>> {
        let Some(built) = self.state.days.get(&day.0) else { return Ok(None) };
        match self.history.rows(day, built) {
            Err(Error::Corrupt(_)) if self.is_built_anew(day) => {
                Err(Error::Unavailable { why: "they were built anew meanwhile" })
            }
            rows => rows.map(Some),
        }
    }

    fn is_built_anew(&self, day: Day) -> bool {
        let revision = |state: &State| state.days.get(&day.0).map(|built| built.revision);
        revision(&self.history.state()) != revision(&self.state)
    }

    /// Days inside `range` of which rows are all there is, and that have some.
    pub(super) fn days_without_samples(&self, range: TimeRange) -> Vec<Day> {
        let Some(gone) = self.state.raw_gone else { return Vec::new() };
        let days = Day::within(range);
        let last = gone.0.min(*days.end());
        if *days.start() > last {
            return Vec::new();
        }
        let days = self.state.days.range(*days.start()..=last);
        days.filter(|(_, built)| !built.files.is_empty()).map(|(day, _)| Day(*day)).collect()
    }

    /// Shows the label sets of a day's rows; those of days with the same series once.
    pub(super) fn series_of(
        &self,
        days: &[Day],
        missing: &mut Vec<String>,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        let mut seen = Vec::new();
        for day in days {
            match self.rows(*day) {
                Ok(Some(rows)) => {
                    let series = rows.series();
                    if !seen.iter().any(|known| Arc::ptr_eq(known, series)) {
                        series.labels().iter().try_for_each(&mut *show)?;
                        seen.push(Arc::clone(series));
                    }
                }
                Ok(None) => {}
                Err(error) => missing.push(lacking(*day, error)?),
            }
        }
        Ok(())
    }
}

/// What an answer says that lacks the rows of a day; an error that is not the day's goes on.
fn lacking(day: Day, error: Error) -> Result<String> {
    match &error {
        Error::Corrupt(_) | Error::Io { .. } => {
            tracing::error!(%error, %day, "rows of the history cannot be read");
        }
        Error::Unavailable { .. } => {}
        _ => return Err(error),
    }
    Ok(format!("rows of {day} are missing: {error}"))
}

/// Windows of a selection, planned.
pub(super) struct Tiled<'s> {
    selection: &'s Selection<'s>,
    past: &'s Past<'s>,
    plan: Plan,
    need: Need,
    /// The rows of the plan's days.
    days: BTreeMap<i64, Arc<DayRows>>,
    /// End of the last stretch of rows.
    rows_end_ms: i64,
    memory: Mutex<Reservation>,
    missing: Vec<String>,
    /// Whether rows without samples to them lacked something.
    untold: AtomicBool,
    histograms: AtomicBool,
}

impl<'s> Tiled<'s> {
    /// Plans `windows`. `None` when samples are to be read.
    pub(super) fn new(
        selection: &'s Selection<'s>,
        past: &'s Past<'s>,
        windows: &Spaced,
        need: Need,
        budget: &Budget,
    ) -> Result<Option<Self>> {
        let mut unread: BTreeSet<i64> = BTreeSet::new();
        let mut missing = Vec::new();
        // Days whose rows cannot be read are samples, if there are any.
        loop {
            let kept = |day: Day| {
                if unread.contains(&day.0) { Kept::Samples } else { past.kept(day) }
            };
            let Some(plan) = plan(windows, kept) else { return Ok(None) };
            let mut days = BTreeMap::new();
            let mut rows_end_ms = i64::MIN;
            let mut failed = false;
            for stretch in &plan.stretches {
                let (Stretch::Day(day) | Stretch::Hours(day, ..)) = *stretch else { continue };
                rows_end_ms = rows_end_ms.max(day.end_ms());
                if days.contains_key(&day.0) {
                    continue;
                }
                budget.check()?;
                match past.rows(day) {
                    Ok(Some(rows)) => drop(days.insert(day.0, rows)),
                    Ok(None) => {}
                    Err(error) => {
                        let text = lacking(day, error)?;
                        if past.kept(day) == Kept::Rows {
                            missing.push(text);
                        }
                        failed |= unread.insert(day.0);
                    }
                }
            }
            if failed {
                continue;
            }
            let memory = Mutex::new(budget.reserve(0)?);
            return Ok(Some(Self {
                selection,
                past,
                plan,
                need,
                days,
                rows_end_ms,
                memory,
                missing,
                untold: AtomicBool::new(false),
                histograms: AtomicBool::new(false),
            }));
        }
    }

    fn charge(&self, bytes: u64) -> Result<()> {
        self.memory.lock().add(bytes)
    }

    /// Days of rows for which the head holds samples of a series that no row knows yet.
    fn changed_days(&self, i: usize) -> BTreeSet<i64> {
        let mut days = BTreeSet::new();
        if self.selection.head_begins(i).is_some_and(|ts| ts <= self.rows_end_ms) {
            let mut data = SeriesData::default();
            self.selection.read_head(i, &mut data);
            days.extend(data.ts.iter().map(|ts| Day::of(*ts).0));
            days.extend(data.histograms.iter().map(|(ts, _)| Day::of(*ts).0));
        }
        days
    }
}

/// Values whose sum may overflow within a row, which then does not add up as its samples do.
const SUMMED_MAX: f64 = 1e290;

/// What became of a series.
enum Outcome {
    /// Its pieces are there.
    Done,
    /// It has histograms, about which rows say nothing.
    Histograms,
}

/// A series that is being read.
struct Reading<'r, 's> {
    tiled: &'r Tiled<'s>,
    i: usize,
    budget: &'r Budget,
    data: &'r mut SeriesData,
    pieces: &'r mut Pieces,
    rows: u64,
}

impl Reading<'_, '_> {
    fn samples(&mut self, range: TimeRange) -> Result<Outcome> {
        self.tiled.selection.read(self.i, range, self.budget, self.data)?;
        if !self.data.histograms.is_empty() {
            return Ok(Outcome::Histograms);
        }
        for (ts, value) in self.data.ts.iter().zip(&self.data.values) {
            self.pieces.push_sample(*ts, *value);
        }
        Ok(Outcome::Done)
    }

    /// Takes a row in. `false`: it does not say what is needed, and there are samples that do.
    fn row(&mut self, day: Day, summary: &WindowSummary, histograms: bool) -> bool {
        self.rows += 1;
        let untold = self.tiled.need == Need::Resets && !summary.pre_resets.are_told();
        let huge = |value: f64| value.abs() >= SUMMED_MAX;
        let huge = self.tiled.need == Need::All && (huge(summary.min) || huge(summary.max));
        if histograms || untold || huge {
            if self.tiled.past.kept(day) != Kept::Rows {
                return false;
            }
            self.tiled.untold.fetch_or(untold, Ordering::Relaxed);
            self.tiled.histograms.fetch_or(histograms, Ordering::Relaxed);
        }
        self.pieces.push(summary);
        true
    }

    fn run(&mut self) -> Result<Outcome> {
        let tiled = self.tiled;
        let labels = tiled.selection.labels(self.i);
        let changed = tiled.changed_days(self.i);
        let charge = |bytes: u64| tiled.charge(bytes);
        let mut summary = WindowSummary::default();
        // Days with the same series share its place.
        let mut place = (std::ptr::null(), None);
        for stretch in &tiled.plan.stretches {
            let day = match *stretch {
                Stretch::Samples(range) => {
                    if let Outcome::Histograms = self.samples(range)? {
                        return Ok(Outcome::Histograms);
                    }
                    continue;
                }
                Stretch::Day(day) | Stretch::Hours(day, ..) => day,
            };
            let (from, to) = match *stretch {
                Stretch::Hours(_, from, to) => (from, to),
                _ => (1, 24),
            };
            let hour = |hour: u8| day.start_ms() + i64::from(hour) * crate::history::HOUR_MS;
            let samples_of = TimeRange::new(hour(from - 1) + 1, hour(to));
            if changed.contains(&day.0) && tiled.past.kept(day) != Kept::Rows {
                if let Outcome::Histograms = self.samples(samples_of)? {
                    return Ok(Outcome::Histograms);
                }
                continue;
            }
            let Some(rows) = tiled.days.get(&day.0) else { continue };
            if place.0 != Arc::as_ptr(rows.series()) {
                place = (Arc::as_ptr(rows.series()), rows.series().place(labels));
            }
            let Some(place) = place.1 else { continue };
            // Where a row does not say what is needed, all of the stretch is read, from there on.
            let mut unsaid = None;
            // A day may have more resets than its row tells, while its hours have not.
            let mut by_hours = matches!(stretch, Stretch::Hours(..));
            if let Stretch::Day(_) = stretch {
                let read = rows.day_row(place, tiled.need, &charge, &mut summary)?;
                let Some(facts) = read else { continue };
                by_hours = tiled.need == Need::Resets && !summary.pre_resets.are_told();
                if !by_hours && !self.row(day, &summary, facts.histograms) {
                    unsaid = Some(samples_of);
                }
            }
            if by_hours {
                let (need, hours) = (tiled.need, from..=to);
                rows.hour_rows(place, hours, need, &charge, &mut |summary, facts| {
                    if unsaid.is_none() && !self.row(day, summary, facts.histograms) {
                        let begin = facts.end_ms - crate::history::HOUR_MS;
                        unsaid = Some(TimeRange::new(begin + 1, samples_of.max));
                    }
                    Ok(())
                })?;
            }
            if let Some(range) = unsaid
                && let Outcome::Histograms = self.samples(range)?
            {
                return Ok(Outcome::Histograms);
            }
        }
        Ok(Outcome::Done)
    }
}

impl WindowSet for Tiled<'_> {
    fn windows(&self) -> &[(i64, i64)] {
        &self.plan.windows
    }

    fn moved_ms(&self) -> i64 {
        self.plan.moved_ms
    }

    fn read(
        &self,
        i: usize,
        budget: &Budget,
        pieces: &mut Pieces,
        data: &mut SeriesData,
    ) -> Result<bool> {
        pieces.begin(self.need);
        let mut reading = Reading { tiled: self, i, budget, data, pieces, rows: 0 };
        let outcome = reading.run()?;
        budget.count_read(reading.rows)?;
        match outcome {
            Outcome::Done => Ok(true),
            Outcome::Histograms => {
                let first = self.plan.windows.first().map_or(0, |window| window.0);
                let last = self.plan.windows.last().map_or(0, |window| window.1);
                let range = TimeRange::new(first.saturating_add(1), last);
                if !self.past.days_without_samples(range).is_empty() {
                    self.histograms.store(true, Ordering::Relaxed);
                }
                self.selection.read(i, range, budget, data)?;
                Ok(false)
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.missing.clone();
        if self.untold.load(Ordering::Relaxed) {
            warnings.push("increases are missing where the samples of an hour or a day with many counter resets are gone".to_owned());
        }
        if self.histograms.load(Ordering::Relaxed) {
            warnings.push("native histograms are missing where their samples are gone: the history holds floats alone".to_owned());
        }
        warnings
    }
}

impl Drop for Tiled<'_> {
    fn drop(&mut self) {
        self.past.history.trim();
    }
}
