//! Rows of a file as PromQL reads them: only the columns that are needed, a span of rows at a time, packed so that
//! a row is one line of the processor's cache.

use parquet::data_type::{DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;

use super::period::{Day, HOUR_MS, Month};
use super::reader::{RowFile, short};
use super::schema::leaf;
use crate::model::window::PreResets;
use crate::model::{DAY_MS, WindowSummary};

/// The time that the rows of a file are of, in which their times are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) start_ms: i64,
    end_ms: i64,
    window_ms: i64,
}

impl Frame {
    /// Hours of a day, or its one row.
    pub(super) const fn day(day: Day) -> Self {
        Self { start_ms: day.start_ms(), end_ms: day.end_ms(), window_ms: HOUR_MS }
    }

    /// Days of a month.
    pub(super) const fn month(month: Month) -> Self {
        let (start_ms, end_ms) = (month.first().start_ms(), month.last().end_ms());
        Self { start_ms, end_ms, window_ms: DAY_MS }
    }

    /// Milliseconds since the beginning of a time in microseconds; 0 for a row that has none. 32 bits hold 49 days.
    fn offset(self, micros: Option<i64>) -> ParquetResult<u32> {
        let Some(micros) = micros else { return Ok(0) };
        let off = (micros / 1000).saturating_sub(self.start_ms);
        let inside = (0..=self.end_ms - self.start_ms).contains(&off);
        if inside { small(off) } else { Err(short("times of the file")) }
    }
}

/// A run of rows that are decoded together: a page, wherever pages of all columns end alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) group: usize,
    /// First row inside the group.
    pub(super) from: usize,
    pub(super) n: usize,
}

/// What every function asks of a row. Times count from the beginning of the [`Frame`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EdgeRow {
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) first_off: u32,
    pub(super) last_off: u32,
    pub(super) count: u32,
    pub(super) resets: u32,
    /// Of the stale marker at the end; 0 where there is none.
    pub(super) stale_off: u32,
    /// The window, counted from 1 at the beginning of the frame: 24 hours or 31 days at most.
    pub(super) window: u8,
    pub(super) histograms: bool,
}

/// What some functions ask of a row beside that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MoreRow {
    prev: f64,
    min: f64,
    max: f64,
    sum: f64,
    sum_c: f64,
    prev_off: u32,
    min_off: u32,
    max_off: u32,
    changes: u32,
}

/// The rows of a span.
#[derive(Debug, Default)]
pub(super) struct Edges {
    pub(super) rows: Vec<EdgeRow>,
    /// Rows with resets whose values are told, ascending, each with the end of its values in `told`.
    told_of: Vec<(u32, u32)>,
    told: Vec<f64>,
}

impl Edges {
    pub(super) fn bytes(&self) -> u64 {
        (self.rows.len() * size_of::<EdgeRow>() + self.told_of.len() * 8 + self.told.len() * 8)
            as u64
    }

    /// Puts a row's part into `out`.
    pub(super) fn fill(&self, at: usize, start_ms: i64, out: &mut WindowSummary) {
        let Some(row) = self.rows.get(at) else { return };
        out.count = u64::from(row.count);
        (out.first_ts, out.first) = (start_ms + i64::from(row.first_off), row.first);
        (out.last_ts, out.last) = (start_ms + i64::from(row.last_off), row.last);
        out.stale_ts = (row.stale_off > 0).then(|| start_ms + i64::from(row.stale_off));
        if row.resets > 0 {
            out.pre_resets = self.pre_resets(at, row.resets);
        } else if !out.pre_resets.is_empty() {
            out.pre_resets = PreResets::default();
        }
    }

    fn pre_resets(&self, at: usize, n: u32) -> PreResets {
        let place = self.told_of.binary_search_by_key(&at, |told| told.0 as usize);
        let Ok(place) = place else { return PreResets::untold(n) };
        let end_of = |place: usize| self.told_of.get(place).map_or(0, |told| told.1 as usize);
        let from = place.checked_sub(1).map_or(0, end_of);
        let told = self.told.get(from..end_of(place)).unwrap_or_default();
        told.iter().copied().collect()
    }
}

impl MoreRow {
    /// Puts the row's part into `out`.
    pub(super) fn fill(&self, start_ms: i64, out: &mut WindowSummary) {
        let at = |off: u32| start_ms + i64::from(off);
        (out.prev_ts, out.prev) = (at(self.prev_off), self.prev);
        (out.min_ts, out.min) = (at(self.min_off), self.min);
        (out.max_ts, out.max) = (at(self.max_off), self.max);
        (out.sum, out.sum_c) = (self.sum, self.sum_c);
        out.changes = u64::from(self.changes);
    }
}

fn small(n: i64) -> ParquetResult<u32> {
    u32::try_from(n).map_err(|_| short("small numbers"))
}

pub(super) fn read_edges(file: &RowFile, span: Span, frame: Frame) -> ParquetResult<Edges> {
    let ts = file.column::<Int64Type>(span, leaf::TS)?;
    let count = file.column::<Int64Type>(span, leaf::COUNT)?;
    let mut first_ts = file.column::<Int64Type>(span, leaf::FIRST_TS)?;
    let mut first = file.column::<DoubleType>(span, leaf::FIRST)?;
    let mut last_ts = file.column::<Int64Type>(span, leaf::LAST_TS)?;
    let mut last = file.column::<DoubleType>(span, leaf::LAST)?;
    let mut stale_ts = file.column::<Int64Type>(span, leaf::STALE_TS)?;
    let resets = file.column::<Int64Type>(span, leaf::RESETS)?;
    let histograms = file.column::<Int64Type>(span, leaf::N_HISTOGRAMS)?;
    let mut edges = Edges { rows: Vec::with_capacity(span.n), ..Edges::default() };
    let (mut one, mut several) = (false, false);
    let counts = ts.required()?.zip(count.required()?);
    let rest = resets.required()?.zip(histograms.required()?);
    for ((ts, count), (resets, histograms)) in counts.zip(rest) {
        let window = i64::from(frame.offset(Some(ts))?) / frame.window_ms;
        let resets = small(resets)?;
        one |= resets == 1;
        several |= resets > 1;
        edges.rows.push(EdgeRow {
            first: first.next()?.unwrap_or_default(),
            last: last.next()?.unwrap_or_default(),
            first_off: frame.offset(first_ts.next()?)?,
            last_off: frame.offset(last_ts.next()?)?,
            count: small(count)?,
            resets,
            stale_off: frame.offset(stale_ts.next()?)?,
            window: u8::try_from(window).map_err(|_| short("windows"))?,
            histograms: histograms != 0,
        });
    }
    if one || several {
        read_resets(file, span, several, &mut edges)?;
    }
    Ok(edges)
}

/// The values before resets: a single one is the sum of them.
fn read_resets(file: &RowFile, span: Span, several: bool, edges: &mut Edges) -> ParquetResult<()> {
    let mut sums = file.column::<DoubleType>(span, leaf::RESET_SUM)?;
    let mut lists =
        if several { Some(file.lists::<DoubleType>(span, leaf::RESET_PREV)?) } else { None };
    let mut list = Vec::new();
    for (at, row) in edges.rows.iter().enumerate() {
        let sum = sums.next()?;
        if let Some(lists) = &mut lists {
            lists.next(&mut list)?;
        }
        match row.resets {
            0 => continue,
            1 => edges.told.extend(sum),
            n if list.len() as u64 == u64::from(n) => edges.told.append(&mut list),
            _ => continue,
        }
        edges.told_of.push((at as u32, edges.told.len() as u32));
    }
    Ok(())
}

pub(super) fn read_more(file: &RowFile, span: Span, frame: Frame) -> ParquetResult<Vec<MoreRow>> {
    let mut rows = vec![MoreRow::default(); span.n];
    let mut floats = |column, place: fn(&mut MoreRow) -> &mut f64| -> ParquetResult<()> {
        let mut values = file.column::<DoubleType>(span, column)?;
        for row in &mut rows {
            *place(row) = values.next()?.unwrap_or_default();
        }
        Ok(())
    };
    floats(leaf::PREV, |row| &mut row.prev)?;
    floats(leaf::MIN, |row| &mut row.min)?;
    floats(leaf::MAX, |row| &mut row.max)?;
    floats(leaf::SUM, |row| &mut row.sum)?;
    floats(leaf::SUM_C, |row| &mut row.sum_c)?;
    let mut times = |column, place: fn(&mut MoreRow) -> &mut u32| -> ParquetResult<()> {
        let mut values = file.column::<Int64Type>(span, column)?;
        for row in &mut rows {
            *place(row) = frame.offset(values.next()?)?;
        }
        Ok(())
    };
    times(leaf::PREV_TS, |row| &mut row.prev_off)?;
    times(leaf::MIN_TS, |row| &mut row.min_off)?;
    times(leaf::MAX_TS, |row| &mut row.max_off)?;
    let changes = file.column::<Int64Type>(span, leaf::CHANGES)?;
    for (row, changes) in rows.iter_mut().zip(changes.required()?) {
        row.changes = small(changes)?;
    }
    Ok(rows)
}
