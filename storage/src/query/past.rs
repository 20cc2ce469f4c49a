//! Windows of selected series from rows of the history and samples.

mod reading;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use reading::{Outcome, Reading};

use super::late::{add_head_days, late_in_head, plan_late};
use super::select::Selection;
use super::tiling::{Kept, Plan, Stretch, WINDOW_BYTES, cuts_every_hour, plan};
use super::{Budget, HISTOGRAMS_GONE, Reservation, SeriesSet, WindowSet};
use crate::error::{Error, Result};
use crate::history::{
    Charge, Day, DayRows, DayState, HOUR_MS, History, Metrics, Month, MonthRows, Sought, State,
    Tier,
};
use crate::model::window::{Need, Pieces, Spaced};
use crate::model::{Labels, SeriesData, TimeRange};

/// Memory of a label set that was shown; the table doubles as it grows.
const SEEN_BYTES: u64 = 2 * size_of::<(*const u8, Labels)>() as u64;

/// The history as a query sees it: its state was taken after the head and the blocks.
#[derive(Clone)]
pub(crate) struct Past<'h> {
    pub(crate) history: &'h History,
    pub(crate) state: Arc<State>,
}

impl Past<'_> {
    /// What there is of a day.
    pub(super) fn kept(&self, day: Day) -> Kept {
        match self.state.days.get(&day.0) {
            Some(built) if self.state.has_raw(day) => {
                let gone = !built.cut.is_empty() && !self.state.has_rows(day);
                if built.outdated || gone { Kept::Samples } else { Kept::Both }
            }
            // Late samples, if there is anything.
            Some(built) if !built.cut.is_empty() && !self.state.has_rows(day) => Kept::Samples,
            Some(built) if built.lacks_hours() => Kept::Days,
            Some(built) if built.outdated => Kept::Late,
            Some(_) => Kept::Rows,
            None => Kept::Samples,
        }
    }

    /// Days inside `range` of which rows of some series went by their age and samples are there.
    fn cut_beside_samples(&self, range: TimeRange) -> BTreeSet<i64> {
        let days = self.known_days();
        let within = Day::within(range);
        let (first, last) = (*within.start().max(days.start()), *within.end().min(days.end()));
        let cut = |(day, built): &(&i64, &DayState)| {
            built.is_cut(Tier::Day) && self.state.has_raw(Day(**day))
        };
        if first > last {
            return BTreeSet::new();
        }
        self.state.days.range(first..=last).filter(cut).map(|(day, _)| *day).collect()
    }

    /// Whether rows of hours of a day went by their age, all of them or those of some series.
    pub(super) fn cuts_hours(&self, day: Day) -> bool {
        self.state.days.get(&day.0).is_some_and(|built| built.is_cut(Tier::Hour))
    }

    /// Whether all rows of hours of a series on a day went by their age, while that of the day tells of it.
    pub(super) fn lost_hours(
        &self,
        rows: &DayRows,
        sought: Sought<'_>,
        charge: &Charge<'_>,
    ) -> Result<bool> {
        if !self.cuts_hours(rows.day) || rows.has_hours(sought, charge)? {
            return Ok(false);
        }
        match self.source(rows.day, charge)? {
            Some(Source::Day(rows)) => rows.has(sought, charge),
            Some(Source::Month(month)) => {
                let (day, mut any) = (rows.day, false);
                month.rows(sought, day..=day, Need::Edges, charge, &mut |_, _, _| {
                    any = true;
                    Ok(false)
                })?;
                Ok(any)
            }
            None => Ok(false),
        }
    }

    /// What an answer about `range` says where rows of days went by their age and there are no samples instead.
    pub(super) fn cut_days(&self, range: TimeRange) -> Option<String> {
        let gone = self.state.raw_gone?;
        let days = Day::within(range);
        let last = gone.0.min(*days.end());
        if *days.start() > last {
            return None;
        }
        let days = self.state.days.range(*days.start()..=last);
        let mut days = days.filter(|(_, built)| built.is_cut(Tier::Day)).map(|(day, _)| Day(*day));
        let first = days.next()?;
        let last = days.next_back().unwrap_or(first);
        Some(format!(
            "rows between {first} and {last} went by their age (history.retention), of all series or some, and so did their samples: what they told is missing"
        ))
    }

    /// The rows of a day. Fails where they are damaged, or were built anew meanwhile.
    pub(super) fn rows(&self, day: Day, charge: &Charge<'_>) -> Result<Option<Arc<DayRows>>> {
        self.as_it_is(day, |state| self.history.rows(day, state, charge))
    }

    /// Where the row of a day is.
    fn source(&self, day: Day, charge: &Charge<'_>) -> Result<Option<Source>> {
        self.as_it_is(day, |state| {
            let own = state.days.get(&day.0).is_some_and(|built| built.day_file().is_some());
            if !own && let Some(rows) = self.history.month_rows(day, state, charge)? {
                return Ok(Some(Source::Month(rows)));
            }
            Ok(self.history.rows(day, state, charge)?.map(Source::Day))
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

    fn is_outdated(&self, day: Day) -> bool {
        self.state.days.get(&day.0).is_some_and(|built| built.outdated)
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

    /// From the first to the last day that was ever built.
    fn known_days(&self) -> RangeInclusive<i64> {
        let days = &self.state.days;
        let first = days.first_key_value().map_or(1, |(day, _)| *day);
        first..=days.last_key_value().map_or(0, |(day, _)| *day)
    }

    /// Whether samples inside of `windows` are gone.
    fn lacks_samples(&self, windows: &Spaced) -> bool {
        !self.days_without_samples(asked(windows)).is_empty()
    }

    /// Days inside `range` of which rows are all there is, and that have some.
    pub(crate) fn days_without_samples(&self, range: TimeRange) -> Vec<Day> {
        let Some(gone) = self.state.raw_gone else { return Vec::new() };
        let days = Day::within(range);
        let last = gone.0.min(*days.end());
        if *days.start() > last {
            return Vec::new();
        }
        let days = self.state.days.range(*days.start()..=last);
        days.map(|(day, _)| Day(*day)).filter(|day| self.state.has_rows(*day)).collect()
    }

    /// How many of these days have rows that count samples which were deleted.
    pub(super) fn n_deleted(&self, days: &[Day]) -> usize {
        let deleted = |day: &&Day| self.state.days.get(&day.0).is_some_and(|built| built.deleted);
        days.iter().filter(deleted).count()
    }

    /// Shows the label sets of the rows of `metrics` on these days, each once, and maybe others.
    pub(crate) fn series_of(
        &self,
        days: &[Day],
        metrics: &Metrics,
        missing: &mut Vec<String>,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        // Sets that are held are one where they are equal.
        let mut seen: HashMap<*const u8, Labels> = HashMap::new();
        let mut show = |labels: &Labels| match seen.entry(labels.as_bytes().as_ptr()) {
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(place) => {
                charge(SEEN_BYTES)?;
                show(place.insert(labels.clone()))
            }
        };
        let mut unread = BTreeSet::new();
        let mut together = None;
        for day in days {
            let month = Month::of(*day);
            // One file, read once.
            if self.is_together(*day) {
                if together == Some(month) || unread.contains(&month) {
                    continue;
                }
                together = Some(month);
            }
            let read = self.source(*day, charge).and_then(|source| match source {
                Some(Source::Day(rows)) => rows.labels(metrics, charge, &mut show),
                Some(Source::Month(rows)) => rows.labels(metrics, charge, &mut show),
                None => Ok(()),
            });
            if let Err(error) = read {
                missing.push(lacking(&self.days_with(*day).0, error)?);
                unread.insert(month);
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

/// The time that windows cover.
fn asked(windows: &Spaced) -> TimeRange {
    let steps = i64::try_from(windows.n).unwrap_or(i64::MAX).saturating_sub(1);
    let end_ms = windows.end_ms.saturating_add(windows.step_ms.saturating_mul(steps));
    let start_ms = windows.end_ms.saturating_sub(windows.range_ms);
    TimeRange::new(start_ms.saturating_add(1), end_ms)
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
    /// Whether values were too large for the sums of rows.
    huge: AtomicBool,
    /// Whether samples that came late lie among those of a row.
    left_out: AtomicBool,
    /// Whether rows of hours went by their age where samples are gone.
    hours_gone: AtomicBool,
    /// Days of which samples tell what rows of some series do not any more.
    cut: BTreeSet<i64>,
    /// Days of rows that lack samples which came later.
    late: BTreeSet<i64>,
    /// What the windows cover before any is moved.
    asked: TimeRange,
    /// Whether presence is asked for where samples are gone: histograms are then as good as floats.
    presence: bool,
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
        let known = past.known_days();
        if known.is_empty() || (cuts_every_hour(windows) && !past.lacks_samples(windows)) {
            return Ok(None);
        }
        let memory = Mutex::new(budget.reserve((windows.n as u64).saturating_mul(WINDOW_BYTES))?);
        let in_head = late_in_head(selection, past);
        let mut unread: BTreeSet<i64> = BTreeSet::new();
        let mut missing = Vec::new();
        // Days whose rows cannot be read are samples, if there are any.
        loop {
            let kept = |day: Day| match past.kept(day) {
                _ if unread.contains(&day.0) => Kept::Samples,
                Kept::Rows if in_head.contains(&day.0) => Kept::Late,
                kept => kept,
            };
            let Some(plan) = plan(windows, need, &known, kept, budget)? else { return Ok(None) };
            let late = plan_late(&plan, kept);
            let mut steps = Vec::with_capacity(plan.stretches.len());
            let mut rows_end_ms = i64::MIN;
            let (mut failed, mut left_out) = (false, false);
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
                left_out |= past.kept(day) == Kept::Days
                    && (in_head.contains(&day.0) || past.is_outdated(day));
                let charge = |bytes: u64| memory.lock().add(bytes);
                if let Err(error) = add_step(&mut steps, past, stretch, day, &charge) {
                    let (of, days) = past.days_with(day);
                    let text = lacking(&of, error)?;
                    if days.clone().any(|day| past.kept(Day(day)).is_gone()) {
                        missing.push(text);
                    }
                    unread.extend(days);
                    failed = true;
                }
            }
            if failed {
                continue;
            }
            return Ok(Some(Self {
                selection,
                past,
                late,
                cut: past.cut_beside_samples(asked(windows)),
                asked: asked(windows),
                presence: need == Need::Presence && past.lacks_samples(windows),
                plan,
                need,
                steps,
                rows_end_ms,
                memory,
                missing,
                untold: AtomicBool::new(false),
                histograms: AtomicBool::new(false),
                huge: AtomicBool::new(false),
                left_out: AtomicBool::new(left_out),
                hours_gone: AtomicBool::new(false),
            }));
        }
    }

    fn charge(&self, bytes: u64) -> Result<()> {
        self.memory.lock().add(bytes)
    }

    fn sought(&self, i: usize) -> Sought<'_> {
        Sought::new(self.selection.labels(i), self.selection.ids())
    }

    /// Whether there are rows of a series among the days of the plan.
    fn has_rows(&self, sought: Sought<'_>) -> Result<bool> {
        let charge = |bytes: u64| self.charge(bytes);
        for step in &self.steps {
            let has = match step {
                Step::Samples(_) => false,
                Step::Day(_, rows) => rows.has(sought, &charge)?,
                Step::Hours(.., rows) => {
                    rows.has(sought, &charge)? || self.past.lost_hours(rows, sought, &charge)?
                }
                Step::Month(_, rows) => rows.has(sought, &charge)?,
            };
            if has {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Days of rows for which the head holds samples of a series that no row knows yet.
    fn changed_days(&self, i: usize) -> BTreeSet<i64> {
        let mut days = BTreeSet::new();
        add_head_days(self.selection, i, self.rows_end_ms, &mut days);
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
fn add_step(
    steps: &mut Vec<Step>,
    past: &Past<'_>,
    stretch: &Stretch,
    day: Day,
    charge: &Charge<'_>,
) -> Result<()> {
    if let Stretch::Hours(_, from, to) = *stretch {
        let lacks = past.state.days.get(&day.0).is_some_and(DayState::lacks_hours);
        if lacks && past.state.has_raw(day) {
            steps.push(Step::Samples(hours_of(day, (from, to))));
            return Ok(());
        }
        if past.cuts_hours(day) {
            // To be asked whose hours went: it is told here that it cannot be read.
            past.source(day, charge)?;
        }
        let rows = past.rows(day, charge)?;
        steps.extend(rows.map(|rows| Step::Hours(day, (from, to), rows)));
        return Ok(());
    }
    if let Some(Step::Month((_, last), rows)) = steps.last_mut()
        && last.next() == day
        && rows.has_day(day)
        && past.is_together(day)
    {
        *last = day;
        return Ok(());
    }
    match past.source(day, charge)? {
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
        let sought = self.sought(i);
        if !self.late.is_empty() && !self.has_rows(sought)? {
            // All that is known of it are samples, which need not move to whole hours.
            self.selection.read(i, self.asked, budget, data)?;
            return Ok(false);
        }
        let mut reading = Reading { tiled: self, i, sought, budget, data, pieces, rows: 0 };
        let outcome = reading.run()?;
        budget.count_read(reading.rows)?;
        match outcome {
            Outcome::Done => Ok(true),
            Outcome::Histograms => {
                let range = self.asked;
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
        if self.huge.load(Ordering::Relaxed) {
            warnings.push(
                "sums of values near the largest number may be wrong where their samples are gone"
                    .to_owned(),
            );
        }
        if self.hours_gone.load(Ordering::Relaxed) {
            warnings.push("rows of hours went by their age (history.retention), and so did their samples: parts of days are missing".to_owned());
        }
        if self.left_out.load(Ordering::Relaxed) {
            warnings.push("samples that came when others of their hour were gone are left out: the rows of the history do not count them".to_owned());
        }
        if self.histograms.load(Ordering::Relaxed) {
            warnings.push(HISTOGRAMS_GONE.to_owned());
        }
        warnings
    }
}

impl Drop for Tiled<'_> {
    fn drop(&mut self) {
        self.past.history.trim();
    }
}
