//! The newest sample at a time from rows of hours, where samples are gone.

use super::Budget;
use super::past::Past;
use crate::error::Result;
use crate::history::{Day, HOUR_MS, Tier};
use crate::model::window::Need;
use crate::model::{Labels, SeriesData, WindowSummary, stale_nan};

/// Hours looked back at between two looks at the deadline.
const HOURS_PER_CHECK: i64 = 1_024;

/// A series, and what of it is asked for.
pub(super) struct Newest<'n> {
    pub(super) past: &'n Past<'n>,
    pub(super) labels: &'n Labels,
    /// Until when rows are all there is.
    pub(super) begin_ms: i64,
    pub(super) lookback_ms: i64,
}

impl Newest<'_> {
    /// See [`SeriesSet::read_newest`](super::SeriesSet::read_newest).
    pub(super) fn read(
        &self,
        times: &[i64],
        budget: &Budget,
        out: &mut SeriesData,
    ) -> Result<bool> {
        let mut found: Vec<(i64, f64)> = Vec::new();
        let mut untold = false;
        for at_ms in times {
            if at_ms.saturating_sub(self.lookback_ms) >= self.begin_ms {
                break;
            }
            let Some((ts, value)) = self.at(*at_ms, budget)? else { continue };
            untold |= value.is_none();
            if found.last().is_none_or(|last| last.0 < ts) {
                found.push((ts, value.unwrap_or_else(stale_nan)));
            }
        }
        // Samples that are still there tell more.
        let histograms = out.histograms.first().map(|histogram| histogram.0);
        let first = out.ts.first().copied().into_iter().chain(histograms).min();
        found.retain(|sample| first.is_none_or(|first| sample.0 < first));
        if !out.start_ts.is_empty() {
            out.start_ts.splice(0..0, found.iter().map(|_| 0));
        }
        out.ts.splice(0..0, found.iter().map(|sample| sample.0));
        out.values.splice(0..0, found.iter().map(|sample| sample.1));
        Ok(untold)
    }

    /// The newest point at `at_ms`, with the stale marker as its value where it is one. A point without a value: rows
    /// do not tell.
    fn at(&self, at_ms: i64, budget: &Budget) -> Result<Option<(i64, Option<f64>)>> {
        let oldest_ms = at_ms.saturating_sub(self.lookback_ms);
        let mut hour_end = Tier::Hour.end_of(at_ms.min(self.begin_ms));
        let mut n = 0;
        while hour_end > oldest_ms {
            n += 1;
            if n % HOURS_PER_CHECK == 0 {
                budget.check()?;
            }
            if let Some(row) = self.row(hour_end, budget)? {
                let newest = row.stale_ts.unwrap_or(row.last_ts);
                if newest > at_ms {
                    return Ok(Some((at_ms, None)));
                }
                let value = if row.stale_ts.is_some() { stale_nan() } else { row.last };
                return Ok(Some((newest, Some(value))));
            }
            hour_end -= HOUR_MS;
        }
        Ok(None)
    }

    fn row(&self, hour_end: i64, budget: &Budget) -> Result<Option<WindowSummary>> {
        let day = Day::of(hour_end);
        let Some(rows) = self.past.rows(day)? else { return Ok(None) };
        let Some(place) = rows.series().place(self.labels) else { return Ok(None) };
        let hour = (hour_end - day.start_ms()) / HOUR_MS;
        let Ok(hour) = u8::try_from(hour) else { return Ok(None) };
        let mut found = None;
        let charge = |_: u64| budget.check();
        rows.hour_rows(place, hour..=hour, Need::Edges, &charge, &mut |row, _| {
            found = Some(row.clone());
            Ok(())
        })?;
        budget.count_read(1)?;
        Ok(found.filter(|row| !row.is_empty()))
    }
}
