//! The rows of the days of a month, those of a series one behind the other.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::commit::FileEntry;
use super::day_rows::{Held, RowFacts, SeriesIndex};
use super::files::Files;
use super::packed::Frame;
use super::period::{Day, Month, Part};
use super::table::{Charge, Table};
use crate::error::{Error, Result};
use crate::model::window::Need;
use crate::model::{DAY_MS, Labels, WindowSummary};

/// See the module.
pub(crate) struct MonthRows {
    month: Month,
    revision: u32,
    series: Arc<SeriesIndex>,
    table: Table,
    /// The first row of each series, and behind them the number of rows.
    starts: Vec<u32>,
    held: Held,
}

impl MonthRows {
    /// Opens the file of a month; `share` gives the index of these series, an earlier one when there is.
    pub(super) fn open(
        files: &Files,
        (month, revision): (Month, u32),
        file: &FileEntry,
        held: Held,
        share: impl FnOnce(Vec<Labels>) -> Result<Arc<SeriesIndex>>,
    ) -> Result<Self> {
        let opened = files.read(Part::Month(month), revision, file)?;
        let mut runs: Vec<(i64, u32)> = Vec::new();
        for id in opened.ids()? {
            match runs.last_mut() {
                Some(last) if last.0 == id => last.1 += 1,
                _ => runs.push((id, 1)),
            }
        }
        if runs.len() as u64 != file.series {
            return Err(Error::Unavailable {
                why: "two series of a month have the same id: its rows are not read",
            });
        }
        let mut starts = Vec::with_capacity(runs.len() + 1);
        let mut n = 0;
        for run in &runs {
            starts.push(n);
            n += run.1;
        }
        starts.push(n);
        held.add((starts.len() * size_of::<u32>()) as u64);
        let series = share(opened.labels_of_runs(&runs)?)?;
        let table = Table::new(opened, Frame::month(month), &held);
        Ok(Self { month, revision, series, table, starts, held })
    }

    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.bytes() + self.series.bytes() / Arc::strong_count(&self.series) as u64
    }

    /// Its series.
    pub(crate) const fn series(&self) -> &Arc<SeriesIndex> {
        &self.series
    }

    /// Whether a day is one of this month.
    pub(crate) fn has(&self, day: Day) -> bool {
        Month::of(day) == self.month
    }

    /// Shows the rows of `days`, all of them of this month, of the series at `place`, ascending, until it is told
    /// that they are enough (`false`).
    pub(crate) fn rows(
        &self,
        place: u32,
        days: RangeInclusive<Day>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(Day, &WindowSummary, RowFacts) -> Result<bool>,
    ) -> Result<()> {
        let bounds = (self.starts.get(place as usize), self.starts.get(place as usize + 1));
        let (Some(from), Some(to)) = bounds else { return Ok(()) };
        let first = self.month.first().0;
        let (mut at, to) = (*from as usize, *to as usize);
        let mut summary = WindowSummary::default();
        // Of a row group and page at a time.
        while at < to {
            let Some((span, row)) = self.table.span_of(at) else { return Ok(()) };
            let Some(edges) = self.table.edges(span, &self.held, charge)? else { return Ok(()) };
            let rows = edges.rows.len().min(row + to - at);
            let more = match need {
                Need::All => self.table.more(span, &self.held, charge)?,
                _ => None,
            };
            for row in row..rows {
                at += 1;
                let Some(read) = edges.rows.get(row) else { return Ok(()) };
                let day = Day(first + i64::from(read.window) - 1);
                if !days.contains(&day) {
                    continue;
                }
                edges.fill(row, self.month.first().start_ms(), &mut summary);
                if let Some(more) = more.and_then(|more| more.get(row)) {
                    more.fill(self.month.first().start_ms(), &mut summary);
                }
                let end_ms = day.start_ms() + DAY_MS;
                let facts = RowFacts { end_ms, histograms: read.histograms };
                if !show(day, &summary, facts)? {
                    return Ok(());
                }
            }
            if rows <= row {
                return Ok(());
            }
        }
        Ok(())
    }
}
