//! The rows of one day, opened to be read series by series: its hours, and its day where that has a file of its own.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use super::commit::DayState;
use super::files::Files;
use super::held::Shared;
use super::packed::{EdgeRow, Frame};
use super::pages::Metrics;
use super::period::{Day, HOUR_MS, Part, Tier};
use super::runs::Sought;
use super::table::{Charge, Table};
use crate::error::Result;
use crate::model::window::Need;
use crate::model::{Labels, WindowSummary};

/// What a row says beside its summary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowFacts {
    /// End of its window.
    pub(crate) end_ms: i64,
    /// Whether there were histograms in its window.
    pub(crate) histograms: bool,
}

/// The rows of one day.
pub(crate) struct DayRows {
    pub(crate) day: Day,
    built: DayState,
    files: Arc<Files>,
    table: Option<Table>,
    hours: OnceLock<Vec<Table>>,
    shared: Shared,
}

impl DayRows {
    /// Opens the rows of a day.
    pub(super) fn open(
        files: &Arc<Files>,
        day: Day,
        built: &DayState,
        shared: &Shared,
        charge: &Charge<'_>,
    ) -> Result<Self> {
        let mut table = None;
        if let Some(file) = built.day_file() {
            let opened = files.read(Part::Day(day), built.revision, file)?;
            table = Some(Table::new(opened, Frame::day(day), shared, charge)?);
        }
        Ok(Self {
            day,
            built: built.clone(),
            files: Arc::clone(files),
            table,
            hours: OnceLock::new(),
            shared: shared.clone(),
        })
    }

    /// Whether they are the rows of a day of which a state tells this: its hours, and its day unless that lies
    /// in the file of a month now.
    pub(super) fn are_of(&self, built: &DayState) -> bool {
        let own = self.table.is_some() || built.day_file().is_none();
        self.built.revision == built.revision && own
    }

    pub(super) fn bytes(&self) -> u64 {
        let tables = self.table.iter().chain(self.hours.get().into_iter().flatten());
        tables.map(Table::bytes).sum()
    }

    /// Shows the label sets of the day's own file for `metrics`, and maybe others.
    pub(crate) fn labels(
        &self,
        metrics: &Metrics,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        self.table.as_ref().map_or(Ok(()), |table| table.labels(metrics, charge, show))
    }

    /// Whether the day has rows of a series.
    pub(crate) fn has(&self, sought: Sought<'_>, charge: &Charge<'_>) -> Result<bool> {
        if let Some(table) = &self.table {
            return table.has(sought, charge);
        }
        self.has_hours(sought, charge)
    }

    /// Whether it has rows of hours of a series.
    pub(crate) fn has_hours(&self, sought: Sought<'_>, charge: &Charge<'_>) -> Result<bool> {
        for table in self.hours(charge)? {
            if table.has(sought, charge)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows the row of the day of a series, if there is one.
    pub(crate) fn day_row(
        &self,
        sought: Sought<'_>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&WindowSummary, RowFacts) -> Result<()>,
    ) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        table.rows(sought, 0..=u8::MAX, need, charge, &mut |row, summary| {
            show(summary, RowFacts { end_ms: self.day.end_ms(), histograms: row.histograms })?;
            Ok(false)
        })
    }

    fn hours(&self, charge: &Charge<'_>) -> Result<&[Table]> {
        if self.hours.get().is_none() {
            let mut files: Vec<_> =
                self.built.files.iter().filter(|file| file.tier == Tier::Hour).collect();
            files.sort_by_key(|file| file.min_ts);
            let mut opened = Vec::new();
            for file in files {
                let read = self.files.read(Part::Day(self.day), self.built.revision, file)?;
                opened.push(Table::new(read, Frame::day(self.day), &self.shared, charge)?);
            }
            let _ = self.hours.set(opened);
        }
        Ok(self.hours.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// Shows the rows of the hours that end in `hours` (counted from the beginning of the day) of a series,
    /// ascending.
    pub(crate) fn hour_rows(
        &self,
        sought: Sought<'_>,
        hours: RangeInclusive<u8>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&WindowSummary, RowFacts) -> Result<()>,
    ) -> Result<()> {
        let mut show = |row: EdgeRow, summary: &WindowSummary| {
            let end_ms = self.day.start_ms() + i64::from(row.window) * HOUR_MS;
            show(summary, RowFacts { end_ms, histograms: row.histograms })?;
            Ok(true)
        };
        for table in self.hours(charge)? {
            table.rows(sought, hours.clone(), need, charge, &mut show)?;
        }
        Ok(())
    }
}
