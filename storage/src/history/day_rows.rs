//! The rows of one day, opened to be read series by series.
//!
//! The row of a series on a day says which series it is; rows of hours are found by its id. What is decoded stays
//! as long as the day is open, and is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::commit::DayState;
use super::files::Files;
use super::packed::{EdgeRow, Edges, MoreRow, Span, read_edges, read_more};
use super::period::{Day, HOUR_MS, Tier};
use super::reader::RowFile;
use super::row::series_id;
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

/// A file and what of it is decoded.
struct Table {
    file: RowFile,
    day: Day,
    spans: Vec<Span>,
    edges: Vec<OnceLock<Edges>>,
    more: Vec<OnceLock<Vec<MoreRow>>>,
}

/// Told before bytes are held: fails when they are too many.
pub(crate) type Charge<'c> = dyn Fn(u64) -> Result<()> + 'c;

impl Table {
    fn new(file: RowFile, day: Day, held: &Held) -> Self {
        let spans = file.spans();
        let edges = spans.iter().map(|_| OnceLock::new()).collect();
        let more = spans.iter().map(|_| OnceLock::new()).collect();
        let cells = size_of::<Span>() + size_of::<OnceLock<Edges>>() * 2;
        held.add(file.footer_bytes() + (spans.len() * cells) as u64);
        Self { file, day, spans, edges, more }
    }

    /// The span of a row, and its place there.
    fn span_of(&self, row: usize) -> Option<(usize, usize)> {
        let at = match self.spans.as_slice() {
            [_] => 0,
            spans => spans.partition_point(|span| span.first <= row).checked_sub(1)?,
        };
        Some((at, row - self.spans.get(at)?.first))
    }

    fn edges(&self, at: usize, held: &Held, charge: &Charge<'_>) -> Result<Option<&Edges>> {
        let (Some(cell), Some(span)) = (self.edges.get(at), self.spans.get(at)) else {
            return Ok(None);
        };
        if cell.get().is_none() {
            charge((span.n * size_of::<EdgeRow>()) as u64)?;
            let read = read_edges(&self.file, *span, self.day);
            let read = read.map_err(|cause| self.file.undecoded(&cause))?;
            let bytes = read.bytes();
            if cell.set(read).is_ok() {
                held.add(bytes);
            }
        }
        Ok(cell.get())
    }

    fn more(&self, at: usize, held: &Held, charge: &Charge<'_>) -> Result<Option<&[MoreRow]>> {
        let (Some(cell), Some(span)) = (self.more.get(at), self.spans.get(at)) else {
            return Ok(None);
        };
        if cell.get().is_none() {
            let bytes = (span.n * size_of::<MoreRow>()) as u64;
            charge(bytes)?;
            let read = read_more(&self.file, *span, self.day);
            let read = read.map_err(|cause| self.file.undecoded(&cause))?;
            if cell.set(read).is_ok() {
                held.add(bytes);
            }
        }
        Ok(cell.get().map(Vec::as_slice))
    }

    /// Puts a row into `out`. `None` when there is no such row.
    fn row(
        &self,
        row: usize,
        need: Need,
        (held, charge): (&Held, &Charge<'_>),
        out: &mut WindowSummary,
    ) -> Result<Option<EdgeRow>> {
        let Some((at, row)) = self.span_of(row) else { return Ok(None) };
        let Some(edges) = self.edges(at, held, charge)? else { return Ok(None) };
        edges.fill(row, self.day.start_ms(), out);
        if need == Need::All
            && let Some(more) = self.more(at, held, charge)?.and_then(|more| more.get(row))
        {
            more.fill(self.day.start_ms(), out);
        }
        Ok(edges.rows.get(row).copied())
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
        Ok(Self { table: Table::new(file, day, held), runs })
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
    /// Opens the rows of a day; `share` gives the index of these series, an earlier one when there is.
    pub(super) fn open(
        files: &Arc<Files>,
        day: Day,
        built: &DayState,
        held: Held,
        share: impl FnOnce(Vec<Labels>) -> Result<Arc<SeriesIndex>>,
    ) -> Result<Self> {
        let mut labels = Vec::new();
        let mut table = None;
        // The one row of a day ends with it: there is one file at most.
        if let Some(file) = built.files.iter().find(|file| file.tier == Tier::Day) {
            let opened = files.read(day, built, file)?;
            labels = opened.labels()?;
            table = Some(Table::new(opened, day, &held));
        }
        Ok(Self {
            day,
            built: built.clone(),
            files: Arc::clone(files),
            series: share(labels)?,
            table,
            hours: OnceLock::new(),
            held,
        })
    }

    pub(super) const fn revision(&self) -> u32 {
        self.built.revision
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
                let read = self.files.read(self.day, &self.built, file)?;
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
                if hours.contains(&read.hour) {
                    let end_ms = self.day.start_ms() + i64::from(read.hour) * HOUR_MS;
                    show(&summary, RowFacts { end_ms, histograms: read.histograms })?;
                }
            }
        }
        Ok(())
    }
}
