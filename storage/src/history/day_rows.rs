//! The rows of one day, opened to be read series by series.
//!
//! The row of a series on a day says which series it is; rows of hours are found by its id. Where the rows of the day
//! lie in the file of a month, that tells the series.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::commit::DayState;
use super::files::Files;
use super::packed::Frame;
use super::period::{Day, HOUR_MS, Part, Tier};
use super::reader::RowFile;
use super::row::series_id;
use super::table::{Charge, Table};
use crate::error::{Error, Result};
use crate::model::window::Need;
use crate::model::{Labels, WindowSummary};

/// Bytes that are held, in all and by one holder; given back when that is dropped.
#[derive(Debug)]
pub(super) struct Held {
    total: Arc<AtomicU64>,
    own: AtomicU64,
}

impl Held {
    pub(super) const fn of(total: Arc<AtomicU64>) -> Self {
        Self { total, own: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// The series of a day in the order of its rows. Days with the same series share it.
#[derive(Debug)]
pub(crate) struct SeriesIndex {
    labels: Vec<Labels>,
    /// Ids with the places of their series, ascending; an id is there once.
    places: Vec<(i64, u32)>,
    held: Held,
}

impl SeriesIndex {
    pub(super) fn new(labels: Vec<Labels>, held: Held) -> Result<Self> {
        let id = |(at, labels): (usize, &Labels)| (series_id(labels), at as u32);
        let mut places: Vec<(i64, u32)> = labels.iter().enumerate().map(id).collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(Error::Unavailable {
                why: "two series of a day have the same id: its rows are not read",
            });
        }
        let bytes = labels.iter().map(|labels| labels.heap_bytes() + 48).sum();
        held.add(bytes);
        Ok(Self { labels, places, held })
    }

    pub(super) fn is_of(&self, labels: &[Labels]) -> bool {
        self.labels == labels
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    /// All series, in the order of their rows.
    pub(crate) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Place of a series, if it has rows.
    pub(crate) fn place(&self, labels: &Labels) -> Option<u32> {
        let id = series_id(labels);
        let at = self.places.binary_search_by_key(&id, |place| place.0).ok()?;
        let place = self.places.get(at)?.1;
        (self.labels.get(place as usize)? == labels).then_some(place)
    }
}

/// A file of hours.
struct Hours {
    table: Table,
    /// Ids with the first of their rows and their number, ascending.
    runs: Vec<(i64, u32, u32)>,
}

impl Hours {
    fn new(file: RowFile, day: Day, held: &Held) -> Result<Self> {
        let mut runs: Vec<(i64, u32, u32)> = Vec::new();
        for (row, id) in file.ids()?.into_iter().enumerate() {
            match runs.last_mut() {
                Some(last) if last.0 == id => last.2 += 1,
                _ => runs.push((id, row as u32, 1)),
            }
        }
        runs.sort_unstable();
        held.add((runs.len() * size_of::<(i64, u32, u32)>()) as u64);
        Ok(Self { table: Table::new(file, Frame::day(day), held), runs })
    }
}

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
    series: Arc<SeriesIndex>,
    table: Option<Table>,
    hours: OnceLock<Vec<Hours>>,
    held: Held,
}

impl DayRows {
    /// Opens the rows of a day. `index` gives the index of these series, an earlier one when there is; without
    /// any, that of whoever holds the rows of the day.
    pub(super) fn open(
        files: &Arc<Files>,
        day: Day,
        built: &DayState,
        held: Held,
        index: impl FnOnce(Option<Vec<Labels>>) -> Result<Arc<SeriesIndex>>,
    ) -> Result<Self> {
        let mut labels = None;
        let mut table = None;
        if let Some(file) = built.day_file() {
            let opened = files.read(Part::Day(day), built.revision, file)?;
            labels = Some(opened.labels()?);
            table = Some(Table::new(opened, Frame::day(day), &held));
        }
        Ok(Self {
            day,
            built: built.clone(),
            files: Arc::clone(files),
            series: index(labels)?,
            table,
            hours: OnceLock::new(),
            held,
        })
    }

    /// Whether they are the rows of a day of which a state tells this: its hours, and its day unless that lies
    /// in the file of a month now.
    pub(super) fn are_of(&self, built: &DayState) -> bool {
        let own = self.table.is_some() || built.day_file().is_none();
        self.built.revision == built.revision && own
    }

    pub(super) fn bytes(&self) -> u64 {
        self.held.bytes() + self.series.bytes() / Arc::strong_count(&self.series) as u64
    }

    /// Its series.
    pub(crate) const fn series(&self) -> &Arc<SeriesIndex> {
        &self.series
    }

    /// Puts the row of the day of the series at `place` into `out`.
    pub(crate) fn day_row(
        &self,
        place: u32,
        need: Need,
        charge: &Charge<'_>,
        out: &mut WindowSummary,
    ) -> Result<Option<RowFacts>> {
        let Some(table) = &self.table else { return Ok(None) };
        let row = table.row(place as usize, need, (&self.held, charge), out)?;
        Ok(row.map(|row| RowFacts { end_ms: self.day.end_ms(), histograms: row.histograms }))
    }

    fn hours(&self) -> Result<&[Hours]> {
        if self.hours.get().is_none() {
            let mut files: Vec<_> =
                self.built.files.iter().filter(|file| file.tier == Tier::Hour).collect();
            files.sort_by_key(|file| file.min_ts);
            let mut opened = Vec::new();
            for file in files {
                let read = self.files.read(Part::Day(self.day), self.built.revision, file)?;
                opened.push(Hours::new(read, self.day, &self.held)?);
            }
            let _ = self.hours.set(opened);
        }
        Ok(self.hours.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// Shows the rows of the hours that end in `hours` (counted from the beginning of the day) of the series at
    /// `place`, ascending.
    pub(crate) fn hour_rows(
        &self,
        place: u32,
        hours: std::ops::RangeInclusive<u8>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&WindowSummary, RowFacts) -> Result<()>,
    ) -> Result<()> {
        let Some(labels) = self.series.labels.get(place as usize) else { return Ok(()) };
        let id = series_id(labels);
        let mut summary = WindowSummary::default();
        for file in self.hours()? {
            let Ok(at) = file.runs.binary_search_by_key(&id, |run| run.0) else { continue };
            let Some((_, first, n)) = file.runs.get(at).copied() else { continue };
            for row in first..first + n {
                let reading = (&self.held, charge);
                let Some(read) = file.table.row(row as usize, need, reading, &mut summary)? else {
                    continue;
                };
                if hours.contains(&read.window) {
                    let end_ms = self.day.start_ms() + i64::from(read.window) * HOUR_MS;
                    show(&summary, RowFacts { end_ms, histograms: read.histograms })?;
                }
            }
        }
        Ok(())
    }
}
