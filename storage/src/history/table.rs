//! A file of rows, of which is decoded what was asked for. It stays as long as the file is open, and is counted.

use std::sync::OnceLock;

use parking_lot::Mutex;

use super::day_rows::Held;
use super::packed::{EdgeRow, Edges, Frame, MoreRow, Span, read_edges, read_more};
use super::reader::RowFile;
use crate::error::Result;
use crate::model::WindowSummary;
use crate::model::window::Need;

/// Told before bytes are held: fails when they are too many.
pub(crate) type Charge<'c> = dyn Fn(u64) -> Result<()> + 'c;

/// A file and what of it is decoded.
pub(super) struct Table {
    file: RowFile,
    frame: Frame,
    spans: Vec<Span>,
    /// Held while rows of a span are decoded: whoever wants the same ones waits for them.
    decoding: Vec<Mutex<()>>,
    edges: Vec<OnceLock<Edges>>,
    more: Vec<OnceLock<Vec<MoreRow>>>,
}

impl Table {
    pub(super) fn new(file: RowFile, frame: Frame, held: &Held) -> Self {
        let spans = file.spans();
        let decoding = spans.iter().map(|_| Mutex::default()).collect();
        let edges = spans.iter().map(|_| OnceLock::new()).collect();
        let more = spans.iter().map(|_| OnceLock::new()).collect();
        let cells = size_of::<Span>() + size_of::<OnceLock<Edges>>() * 2;
        held.add(file.footer_bytes() + (spans.len() * cells) as u64);
        Self { file, frame, spans, decoding, edges, more }
    }

    /// The span of a row, and its place there.
    pub(super) fn span_of(&self, row: usize) -> Option<(usize, usize)> {
        let at = match self.spans.as_slice() {
            [_] => 0,
            spans => spans.partition_point(|span| span.first <= row).checked_sub(1)?,
        };
        Some((at, row - self.spans.get(at)?.first))
    }

    pub(super) fn edges(
        &self,
        at: usize,
        held: &Held,
        charge: &Charge<'_>,
    ) -> Result<Option<&Edges>> {
        let (Some(cell), Some(span)) = (self.edges.get(at), self.spans.get(at)) else {
            return Ok(None);
        };
        if cell.get().is_none() {
            let _decoding = self.decoding.get(at).map(Mutex::lock);
            if cell.get().is_some() {
                return Ok(cell.get());
            }
            charge((span.n * size_of::<EdgeRow>()) as u64)?;
            let read = read_edges(&self.file, *span, self.frame);
            let read = read.map_err(|cause| self.file.undecoded(&cause))?;
            let bytes = read.bytes();
            if cell.set(read).is_ok() {
                held.add(bytes);
            }
        }
        Ok(cell.get())
    }

    pub(super) fn more(
        &self,
        at: usize,
        held: &Held,
        charge: &Charge<'_>,
    ) -> Result<Option<&[MoreRow]>> {
        let (Some(cell), Some(span)) = (self.more.get(at), self.spans.get(at)) else {
            return Ok(None);
        };
        if cell.get().is_none() {
            let _decoding = self.decoding.get(at).map(Mutex::lock);
            if let Some(read) = cell.get() {
                return Ok(Some(read));
            }
            let bytes = (span.n * size_of::<MoreRow>()) as u64;
            charge(bytes)?;
            let read = read_more(&self.file, *span, self.frame);
            let read = read.map_err(|cause| self.file.undecoded(&cause))?;
            if cell.set(read).is_ok() {
                held.add(bytes);
            }
        }
        Ok(cell.get().map(Vec::as_slice))
    }

    /// Puts a row into `out`. `None` when there is no such row.
    pub(super) fn row(
        &self,
        row: usize,
        need: Need,
        (held, charge): (&Held, &Charge<'_>),
        out: &mut WindowSummary,
    ) -> Result<Option<EdgeRow>> {
        let Some((at, row)) = self.span_of(row) else { return Ok(None) };
        let Some(edges) = self.edges(at, held, charge)? else { return Ok(None) };
        edges.fill(row, self.frame.start_ms, out);
        if need == Need::All
            && let Some(more) = self.more(at, held, charge)?.and_then(|more| more.get(row))
        {
            more.fill(self.frame.start_ms, out);
        }
        Ok(edges.rows.get(row).copied())
    }
}
