//! The newest sample at a time from rows of hours, where samples are gone.

use std::cell::RefCell;

use super::merge::merge;
use super::past::Past;
use super::{Budget, Reservation, Untold};
use crate::error::Result;
use crate::history::{Day, HOUR_MS, Sought, Tier};
use crate::model::window::Need;
use crate::model::{SeriesData, WindowSummary, is_stale, stale_nan};

/// Hours looked back at between two looks at the deadline.
const HOURS_PER_CHECK: i64 = 1_024;

/// A series, and what of it is asked for.
pub(super) struct Newest<'n> {
    pub(super) past: &'n Past<'n>,
    pub(super) sought: Sought<'n>,
    /// Until when rows are all there is, but for samples that stayed or came later.
    pub(super) begin_ms: i64,
    pub(super) lookback_ms: i64,
    /// For what is decoded of rows.
    pub(super) memory: RefCell<Reservation>,
}

/// What rows tell beside the samples that are there.
enum Found {
    /// Nothing that the samples do not tell.
    Nothing,
    /// A newer sample, or a stale marker.
    Newer(i64, f64),
    /// There may be a newer one.
    Untold {
        /// Whether it may be a histogram.
        histograms: bool,
        /// Whether a sample of the same hour is there, which is answered then.
        is_near: bool,
    },
}

/// The row of an hour.
struct HourRow {
    summary: WindowSummary,
    end_ms: i64,
    histograms: bool,
}

impl HourRow {
    /// Whether all of its samples are still there.
    fn is_within(&self, samples: &SeriesData) -> bool {
        let from = samples.ts.partition_point(|ts| *ts <= self.end_ms - HOUR_MS);
        let to = samples.ts.partition_point(|ts| *ts <= self.end_ms);
        let points = samples.ts.get(from..to).unwrap_or_default().iter();
        let points = points.zip(samples.values.get(from..to).unwrap_or_default());
        let mut times = points.filter(|(_, value)| !is_stale(**value)).map(|(ts, _)| *ts);
        let row = &self.summary;
        !self.histograms
            && times.clone().count() as u64 == row.count
            && times.clone().next().is_none_or(|first| first == row.first_ts)
            && times.next_back().is_none_or(|last| last == row.last_ts)
    }
}

/// Time of the newest of `samples` at `at_ms`.
fn newest_of(samples: &SeriesData, at_ms: i64) -> Option<i64> {
    let n = samples.ts.partition_point(|ts| *ts <= at_ms);
    let float = n.checked_sub(1).and_then(|at| samples.ts.get(at)).copied();
    let n = samples.histograms.partition_point(|histogram| histogram.0 <= at_ms);
    let histogram = n.checked_sub(1).and_then(|at| samples.histograms.get(at));
    float.max(histogram.map(|histogram| histogram.0))
}

impl Newest<'_> {
    /// See [`SeriesSet::read_newest`](super::SeriesSet::read_newest).
    pub(super) fn read(
        &self,
        times: &[i64],
        budget: &Budget,
        out: &mut SeriesData,
        untold: &mut Untold,
    ) -> Result<()> {
        let mut found = SeriesData::default();
        for at_ms in times {
            if at_ms.saturating_sub(self.lookback_ms) >= self.begin_ms {
                break;
            }
            let (ts, value) = match self.at(*at_ms, out, budget)? {
                Found::Nothing => continue,
                Found::Newer(ts, value) => (ts, value),
                Found::Untold { histograms, is_near } => {
                    untold.times.push(*at_ms);
                    untold.histograms |= histograms;
                    if is_near {
                        continue;
                    }
                    (*at_ms, stale_nan())
                }
            };
            if found.ts.last().is_none_or(|last| *last < ts) {
                found.ts.push(ts);
                found.values.push(value);
            }
        }
        merge(out, &found);
        Ok(())
    }

    /// What rows tell of the newest point at `at_ms` beside `samples`.
    fn at(&self, at_ms: i64, samples: &SeriesData, budget: &Budget) -> Result<Found> {
        let newest = newest_of(samples, at_ms).unwrap_or(i64::MIN);
        let oldest_ms = at_ms.saturating_sub(self.lookback_ms).max(newest);
        let mut hour_end = Tier::Hour.end_of(at_ms.min(self.begin_ms));
        let mut n = 0;
        while hour_end > oldest_ms {
            n += 1;
            if n % HOURS_PER_CHECK == 0 {
                budget.check()?;
            }
            if let Some(row) = self.row(hour_end, budget)? {
                let told = row.summary.stale_ts.unwrap_or(row.summary.last_ts);
                if row.histograms || told > at_ms {
                    if row.is_within(samples) {
                        return Ok(Found::Nothing);
                    }
                    let is_near = newest > hour_end - HOUR_MS;
                    return Ok(Found::Untold { histograms: row.histograms, is_near });
                }
                if told <= newest {
                    return Ok(Found::Nothing);
                }
                let stale = row.summary.stale_ts.is_some();
                return Ok(Found::Newer(told, if stale { stale_nan() } else { row.summary.last }));
            }
            if self.hours_are_gone(Day::of(hour_end), budget)? {
                return Ok(Found::Untold { histograms: false, is_near: false });
            }
            hour_end -= HOUR_MS;
        }
        Ok(Found::Nothing)
    }

    /// Whether the hours of a day went by their age, and its samples.
    fn hours_are_gone(&self, day: Day, budget: &Budget) -> Result<bool> {
        if !self.past.cuts_hours(day) || self.past.state.has_raw(day) {
            return Ok(false);
        }
        let charge = |bytes: u64| self.charge(bytes, budget);
        let Some(rows) = self.past.rows(day, &charge)? else { return Ok(false) };
        self.past.lost_hours(&rows, self.sought, &charge)
    }

    fn charge(&self, bytes: u64, budget: &Budget) -> Result<()> {
        self.memory.borrow_mut().add(bytes)?;
        budget.check()
    }

    fn row(&self, hour_end: i64, budget: &Budget) -> Result<Option<HourRow>> {
        let day = Day::of(hour_end);
        let charge = |bytes: u64| self.charge(bytes, budget);
        let Some(rows) = self.past.rows(day, &charge)? else { return Ok(None) };
        let hour = (hour_end - day.start_ms()) / HOUR_MS;
        let Ok(hour) = u8::try_from(hour) else { return Ok(None) };
        let mut found = None;
        rows.hour_rows(self.sought, hour..=hour, Need::Edges, &charge, &mut |row, facts| {
            let (summary, histograms) = (row.clone(), facts.histograms);
            found = Some(HourRow { summary, end_ms: facts.end_ms, histograms });
            Ok(())
        })?;
        budget.count_read(1)?;
        Ok(found.filter(|row| row.histograms || !row.summary.is_empty()))
    }
}
