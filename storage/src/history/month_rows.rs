//! The rows of the days of a month, those of a series one behind the other.

use std::ops::RangeInclusive;

use super::commit::FileEntry;
use super::day_rows::RowFacts;
use super::files::Files;
use super::held::Shared;
use super::packed::Frame;
use super::pages::Metrics;
use super::period::{Day, Month, Part};
use super::runs::Sought;
use super::table::{Charge, Table};
use crate::error::Result;
use crate::model::window::Need;
use crate::model::{DAY_MS, Labels, WindowSummary};

/// See the module.
pub(crate) struct MonthRows {
    month: Month,
    revision: u32,
    table: Table,
}

impl MonthRows {
    /// Opens the file of a month.
    pub(super) fn open(
        files: &Files,
        (month, revision): (Month, u32),
        file: &FileEntry,
        shared: &Shared,
        charge: &Charge<'_>,
    ) -> Result<Self> {
        let opened = files.read(Part::Month(month), revision, file)?;
        let table = Table::new(opened, Frame::month(month), shared, charge)?;
        Ok(Self { month, revision, table })
    }

    pub(super) const fn revision(&self) -> u32 {
        self.revision
    }

    pub(super) fn bytes(&self) -> u64 {
        self.table.bytes()
    }

    /// Whether a day is one of this month.
    pub(crate) fn has_day(&self, day: Day) -> bool {
        Month::of(day) == self.month
    }

    /// Whether there are rows of a series.
    pub(crate) fn has(&self, sought: Sought<'_>, charge: &Charge<'_>) -> Result<bool> {
        self.table.has(sought, charge)
    }

    /// Shows the label sets of rows of `metrics`, and maybe others.
    pub(crate) fn labels(
        &self,
        metrics: &Metrics,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        self.table.labels(metrics, charge, show)
    }

    /// Shows the rows of `days`, all of them of this month, of a series, ascending, until it is told that they are
    /// enough (`false`).
    pub(crate) fn rows(
        &self,
        sought: Sought<'_>,
        days: RangeInclusive<Day>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(Day, &WindowSummary, RowFacts) -> Result<bool>,
    ) -> Result<()> {
        let first = self.month.first().0;
        let window = |day: &Day| u8::try_from((day.0 - first + 1).clamp(0, 255)).unwrap_or(0);
        let windows = window(days.start())..=window(days.end());
        self.table.rows(sought, windows, need, charge, &mut |row, summary| {
            let day = Day(first + i64::from(row.window) - 1);
            let end_ms = day.start_ms() + DAY_MS;
            show(day, summary, RowFacts { end_ms, histograms: row.histograms })
        })
    }
}
