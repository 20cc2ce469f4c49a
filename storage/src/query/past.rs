//! Windows of selected series from rows of the history and samples.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::select::Selection;
use super::tiling::{Kept, Plan, Stretch, plan};
use super::{Budget, Reservation, SeriesSet, WindowSet};
use crate::error::{Error, Result};
use crate::history::{
    Day, DayRows, HOUR_MS, History, Month, MonthRows, RowFacts, SeriesIndex, State,
};
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
        self.as_it_is(day, |state| self.history.rows(day, state))
    }

    /// Where the row of a day is.
    fn source(&self, day: Day) -> Result<Option<Source>> {
        self.as_it_is(day, |state| {
            let own = state.days.get(&day.0).is_some_and(|built| built.day_file().is_some());
            if !own && let Some(rows) = self.history.month_rows(day, state)? {
                return Ok(Some(Source::Month(rows)));
            }
            Ok(self.history.rows(day, state)?.map(Source::Day))
        })
    }

    /// Reads of a day what the state of the query tells, or, where that is gone, what is there now, if the day is
    /// the same.
    fn as_it_is<T>(&self, day: Day, read: impl Fn(&State) -> Result<T>) -> Result<T> {
        let error = match read(&self.state) {
            Err(error @ (Error::Corrupt(_) | Error::Io { .. })) => error,
            read => return read,
        };
        let now = self.history.state();
        if now.number == self.state.number {
            return Err(error);
        }
        let revision = |state: &State| state.days.get(&day.0).map(|built| built.revision);
        if revision(&now) != revision(&self.state) {
            return Err(Error::Unavailable { why: "they were built anew meanwhile" });
        }
        read(&now)
    }

    /// Whether the row of a day lies in the file of its month.
    fn is_together(&self, day: Day) -> bool {
        let own = self.state.days.get(&day.0).is_some_and(|built| built.day_file().is_some());
        !own && self.state.together(day).is_some()
    }

    /// The days whose rows cannot be read when that of `day` cannot: it, or all that lie in a file with it.
    fn days_with(&self, day: Day) -> (String, std::ops::RangeInclusive<i64>) {
        match self.state.together(day) {
            Some((month, ..)) if self.is_together(day) => {
                (month.to_string(), month.first().0..=month.last().0)
            }
            _ => (day.to_string(), day.0..=day.0),
        }
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
        let mut seen: Vec<Arc<SeriesIndex>> = Vec::new();
        let mut unread = BTreeSet::new();
        for day in days {
            // One file, one message.
            if unread.contains(&Month::of(*day)) && self.is_together(*day) {
                continue;
            }
            match self.source(*day) {
                Ok(Some(source)) => {
                    let series = match &source {
                        Source::Day(rows) => rows.series(),
                        Source::Month(rows) => rows.series(),
                    };
                    if !seen.iter().any(|known| Arc::ptr_eq(known, series)) {
                        series.labels().iter().try_for_each(&mut *show)?;
                        seen.push(Arc::clone(series));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    missing.push(lacking(&self.days_with(*day).0, error)?);
                    unread.insert(Month::of(*day));
                }
            }
        }
        Ok(())
    }
}

/// What an answer says that lacks the rows of a day or month; an error that is not theirs goes on.
fn lacking(of: &str, error: Error) -> Result<String> {
    match &error {
        Error::Corrupt(_) | Error::Io { .. } => {
            tracing::error!(%error, of, "rows of the history cannot be read");
        }
        Error::Unavailable { .. } => {}
        _ => return Err(error),
    }
    Ok(format!("rows of {of} are missing: {error}"))
}

/// Where the row of a day is.
enum Source {
    /// In the file of the day.
    Day(Arc<DayRows>),
    /// In that of its month.
    Month(Arc<MonthRows>),
}

/// A part of the plan, and what it is read from.
enum Step {
    Samples(TimeRange),
    Day(Day, Arc<DayRows>),
    /// Hours of a day, the first and the last.
    Hours(Day, (u8, u8), Arc<DayRows>),
    /// Neighbouring days of a month, the first and the last.
    Month((Day, Day), Arc<MonthRows>),
}

/// Windows of a selection, planned.
pub(super) struct Tiled<'s> {
    selection: &'s Selection<'s>,
    past: &'s Past<'s>,
    plan: Plan,
    need: Need,
    steps: Vec<Step>,
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
            let mut steps = Vec::with_capacity(plan.stretches.len());
            let mut rows_end_ms = i64::MIN;
            let mut failed = false;
            for stretch in &plan.stretches {
                let (Stretch::Day(day) | Stretch::Hours(day, ..)) = *stretch else {
                    steps.extend(samples_of(stretch));
                    continue;
                };
                if unread.contains(&day.0) {
                    continue;
                }
                rows_end_ms = rows_end_ms.max(day.end_ms());
                budget.check()?;
                if let Err(error) = add_step(&mut steps, past, stretch, day) {
                    let (of, days) = past.days_with(day);
                    let text = lacking(&of, error)?;
                    if days.clone().any(|day| past.kept(Day(day)) == Kept::Rows) {
                        missing.push(text);
                    }
                    unread.extend(days);
                    failed = true;
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
                steps,
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

fn samples_of(stretch: &Stretch) -> Option<Step> {
    match stretch {
        Stretch::Samples(range) => Some(Step::Samples(*range)),
        _ => None,
    }
}

/// Adds a stretch of rows of `day`; nothing where it has none.
fn add_step(steps: &mut Vec<Step>, past: &Past<'_>, stretch: &Stretch, day: Day) -> Result<()> {
    if let Stretch::Hours(_, from, to) = *stretch {
        let rows = past.rows(day)?;
        steps.extend(rows.map(|rows| Step::Hours(day, (from, to), rows)));
        return Ok(());
    }
    if let Some(Step::Month((_, last), rows)) = steps.last_mut()
        && last.next() == day
        && rows.has(day)
        && past.is_together(day)
    {
        *last = day;
        return Ok(());
    }
    match past.source(day)? {
        Some(Source::Day(rows)) => steps.push(Step::Day(day, rows)),
        Some(Source::Month(rows)) => steps.push(Step::Month((day, day), rows)),
        None => {}
    }
    Ok(())
}

/// The time of a day's hours.
fn hours_of(day: Day, (from, to): (u8, u8)) -> TimeRange {
    let hour = |hour: u8| day.start_ms() + i64::from(hour) * HOUR_MS;
    TimeRange::new(hour(from.saturating_sub(1)) + 1, hour(to))
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
        let is_changed = |day: Day| changed.contains(&day.0) && tiled.past.kept(day) != Kept::Rows;
        // Files with the same series share its place.
        let mut known: (*const SeriesIndex, Option<u32>) = (std::ptr::null(), None);
        let mut place_in = |series: &Arc<SeriesIndex>| {
            if known.0 != Arc::as_ptr(series) {
                known = (Arc::as_ptr(series), series.place(labels));
            }
            known.1
        };
        for step in &tiled.steps {
            let outcome = match step {
                Step::Samples(range) => self.samples(*range)?,
                Step::Day(day, _) if is_changed(*day) => self.samples(day.range())?,
                Step::Day(day, rows) => match place_in(rows.series()) {
                    Some(place) => self.day(*day, rows, place)?,
                    None => continue,
                },
                Step::Hours(day, hours, _) if is_changed(*day) => {
                    self.samples(hours_of(*day, *hours))?
                }
                Step::Hours(day, hours, rows) => match place_in(rows.series()) {
                    Some(place) => self.hours(*day, *hours, rows, place)?,
                    None => continue,
                },
                Step::Month((first, last), rows) => {
                    let place = place_in(rows.series());
                    let mut from = *first;
                    let mut outcome = Outcome::Done;
                    // Between days that changed.
                    for day in changed.range(first.0..=last.0).map(|day| Day(*day)) {
                        if !is_changed(day) {
                            continue;
                        }
                        outcome = self.days((from, day.previous()), rows, place)?;
                        if matches!(outcome, Outcome::Done) {
                            outcome = self.samples(day.range())?;
                        }
                        if matches!(outcome, Outcome::Histograms) {
                            break;
                        }
                        from = day.next();
                    }
                    match outcome {
                        Outcome::Done => self.days((from, *last), rows, place)?,
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

    /// The row of a day. Where it does not say what is needed, its samples; a day may also have more resets than
    /// its row tells, while its hours have not.
    fn day(&mut self, day: Day, rows: &DayRows, place: u32) -> Result<Outcome> {
        let (tiled, mut summary) = (self.tiled, WindowSummary::default());
        let charge = |bytes: u64| tiled.charge(bytes);
        let Some(facts) = rows.day_row(place, tiled.need, &charge, &mut summary)? else {
            return Ok(Outcome::Done);
        };
        if tiled.need == Need::Resets && !summary.pre_resets.are_told() {
            return self.hours(day, (1, 24), rows, place);
        }
        if self.row(day, &summary, facts.histograms) {
            return Ok(Outcome::Done);
        }
        self.samples(day.range())
    }

    /// The rows of neighbouring days of a month, as [`Reading::day`] reads each.
    fn days(
        &mut self,
        (mut from, to): (Day, Day),
        rows: &MonthRows,
        place: Option<u32>,
    ) -> Result<Outcome> {
        let tiled = self.tiled;
        let charge = |bytes: u64| tiled.charge(bytes);
        let Some(place) = place else { return Ok(Outcome::Done) };
        while from <= to {
            let mut unsaid = None;
            let mut show = |day: Day, summary: &WindowSummary, facts: RowFacts| {
                let by_hours = tiled.need == Need::Resets && !summary.pre_resets.are_told();
                if by_hours || !self.row(day, summary, facts.histograms) {
                    unsaid = Some((day, by_hours));
                }
                Ok(unsaid.is_none())
            };
            rows.rows(place, from..=to, tiled.need, &charge, &mut show)?;
            let Some((day, by_hours)) = unsaid else { break };
            let outcome = match tiled.past.rows(day)?.filter(|_| by_hours) {
                Some(of_day) => match of_day.series().place(tiled.selection.labels(self.i)) {
                    Some(place) => self.hours(day, (1, 24), &of_day, place)?,
                    None => Outcome::Done,
                },
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
    fn hours(
        &mut self,
        day: Day,
        (from, to): (u8, u8),
        rows: &DayRows,
        place: u32,
    ) -> Result<Outcome> {
        let tiled = self.tiled;
        let charge = |bytes: u64| tiled.charge(bytes);
        let mut unsaid = None;
        rows.hour_rows(place, from..=to, tiled.need, &charge, &mut |summary, facts| {
            if unsaid.is_none() && !self.row(day, summary, facts.histograms) {
                let begin = facts.end_ms - HOUR_MS;
                unsaid = Some(TimeRange::new(begin + 1, hours_of(day, (from, to)).max));
            }
            Ok(())
        })?;
        unsaid.map_or(Ok(Outcome::Done), |range| self.samples(range))
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
