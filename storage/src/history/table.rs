//! A file of rows, of which is decoded what was asked for. It stays as long as the file is open, and is counted.

use std::ops::{Range, RangeInclusive};
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::held::{Held, Shared};
use super::packed::{EdgeRow, Edges, Frame, MoreRow, Span, read_edges, read_more};
use super::pages::{Metrics, Pages};
use super::reader::RowFile;
use super::row_labels::LabelReader;
use super::runs::{Runs, Sought, Wanted};
use crate::error::Result;
use crate::model::window::Need;
use crate::model::{Labels, WindowSummary};

/// Told before bytes are held: fails when they are too many.
pub(crate) type Charge<'c> = dyn Fn(u64) -> Result<()> + 'c;

/// What is decoded of a span.
#[derive(Default)]
struct Decoded {
    /// Held while rows are decoded: whoever wants the same ones waits for them.
    decoding: Mutex<()>,
    runs: OnceLock<Runs>,
    edges: OnceLock<Edges>,
    more: OnceLock<Vec<MoreRow>>,
}

/// A file and what of it is decoded.
pub(super) struct Table {
    file: RowFile,
    frame: Frame,
    spans: Vec<Span>,
    pages: Pages,
    decoded: Vec<Decoded>,
    shared: Shared,
    held: Held,
}

impl Table {
    /// Opens the rows of a file.
    pub(super) fn new(
        file: RowFile,
        frame: Frame,
        shared: &Shared,
        charge: &Charge<'_>,
    ) -> Result<Self> {
        let spans = file.spans();
        let pages = Pages::read(&file, &spans).map_err(|cause| file.undecoded(&cause))?;
        let cells = spans.len() * (size_of::<Span>() + size_of::<Decoded>());
        let bytes = file.footer_bytes() + pages.bytes() + cells as u64;
        charge(bytes)?;
        let held = shared.held();
        held.add(bytes);
        let decoded = spans.iter().map(|_| Decoded::default()).collect();
        Ok(Self { file, frame, spans, pages, decoded, shared: shared.clone(), held })
    }

    /// What is held of it.
    pub(super) fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    fn span(&self, at: usize) -> Option<(Span, &Decoded)> {
        Some((*self.spans.get(at)?, self.decoded.get(at)?))
    }

    fn runs(&self, at: usize, charge: &Charge<'_>) -> Result<Option<&Runs>> {
        let Some((span, decoded)) = self.span(at) else { return Ok(None) };
        if decoded.runs.get().is_none() {
            let _decoding = decoded.decoding.lock();
            if decoded.runs.get().is_none() {
                let runs = Runs::read(&self.file, span, self.shared.sets())?;
                charge(runs.bytes())?;
                self.held.add(runs.bytes());
                let _ = decoded.runs.set(runs);
            }
        }
        Ok(decoded.runs.get())
    }

    fn fill(&self, at: usize, runs: &Runs, wanted: Wanted<'_>, charge: &Charge<'_>) -> Result<()> {
        let Some((span, decoded)) = self.span(at) else { return Ok(()) };
        let _decoding = decoded.decoding.lock();
        runs.fill(&self.file, span, wanted, (&self.held, charge))
    }

    fn edges(&self, at: usize, charge: &Charge<'_>) -> Result<Option<&Edges>> {
        let Some((span, decoded)) = self.span(at) else { return Ok(None) };
        if decoded.edges.get().is_none() {
            let _decoding = decoded.decoding.lock();
            if decoded.edges.get().is_none() {
                charge((span.n * size_of::<EdgeRow>()) as u64)?;
                let read = read_edges(&self.file, span, self.frame);
                let read = read.map_err(|cause| self.file.undecoded(&cause))?;
                self.held.add(read.bytes());
                let _ = decoded.edges.set(read);
            }
        }
        Ok(decoded.edges.get())
    }

    fn more(&self, at: usize, charge: &Charge<'_>) -> Result<Option<&[MoreRow]>> {
        let Some((span, decoded)) = self.span(at) else { return Ok(None) };
        if decoded.more.get().is_none() {
            let _decoding = decoded.decoding.lock();
            if decoded.more.get().is_none() {
                let bytes = (span.n * size_of::<MoreRow>()) as u64;
                charge(bytes)?;
                let read = read_more(&self.file, span, self.frame);
                let read = read.map_err(|cause| self.file.undecoded(&cause))?;
                self.held.add(bytes);
                let _ = decoded.more.set(read);
            }
        }
        Ok(decoded.more.get().map(Vec::as_slice))
    }

    /// Whether a span that nobody looked into has no row with an id for certain.
    fn lacks(&self, at: usize, id: i64) -> bool {
        self.span(at).is_some_and(|(span, decoded)| {
            decoded.runs.get().is_none() && !self.file.may_have(span.group, id)
        })
    }

    /// Shows where rows of a series lie, as spans with rows inside of each, ascending, until it is told that they
    /// are enough (`false`).
    fn find(
        &self,
        sought: Sought<'_>,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(usize, Range<usize>) -> Result<bool>,
    ) -> Result<()> {
        for at in self.pages.of_series(sought.metric, sought.id) {
            if self.lacks(at, sought.id) {
                continue;
            }
            let Some(runs) = self.runs(at, charge)? else { continue };
            for place in runs.with(sought.id) {
                if runs.labels(place).is_none() {
                    self.fill(at, runs, Wanted::These(sought), charge)?;
                }
                let rows = match runs.labels(place) {
                    Some(Some(labels)) if labels == sought.labels => runs.rows(place),
                    Some(None) => self.among(at, runs.rows(place), sought.labels)?,
                    _ => continue,
                };
                if !rows.is_empty() && !show(at, rows)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Rows of a series among those of a span that have its id and are of several series.
    fn among(&self, at: usize, rows: Range<usize>, sought: &Labels) -> Result<Range<usize>> {
        let mut of = rows.start..rows.start;
        self.labels_of_rows(at, rows, &mut |row, labels| {
            if labels == *sought {
                of = if of.is_empty() { row..row + 1 } else { of.start..row + 1 };
            }
            Ok(())
        })?;
        Ok(of)
    }

    fn labels_of_rows(
        &self,
        at: usize,
        rows: Range<usize>,
        show: &mut dyn FnMut(usize, Labels) -> Result<()>,
    ) -> Result<()> {
        let Some((span, _)) = self.span(at) else { return Ok(()) };
        let mut row = rows.start;
        let mut reader = LabelReader::new(&self.file, span.group)?;
        reader.read(span.from + rows.start..span.from + rows.end, &mut |labels| {
            row += 1;
            show(row - 1, labels)
        })
    }

    /// Whether there are rows of a series.
    pub(super) fn has(&self, sought: Sought<'_>, charge: &Charge<'_>) -> Result<bool> {
        let mut any = false;
        self.find(sought, charge, &mut |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }

    /// Shows the rows of a series in `windows`, ascending, until it is told that they are enough (`false`).
    pub(super) fn rows(
        &self,
        sought: Sought<'_>,
        windows: RangeInclusive<u8>,
        need: Need,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(EdgeRow, &WindowSummary) -> Result<bool>,
    ) -> Result<()> {
        let (start_ms, mut summary) = (self.frame.start_ms, WindowSummary::default());
        self.find(sought, charge, &mut |at, rows| {
            let Some(edges) = self.edges(at, charge)? else { return Ok(true) };
            let more = if need == Need::All { self.more(at, charge)? } else { None };
            for row in rows {
                let Some(read) = edges.rows.get(row) else { break };
                if !windows.contains(&read.window) {
                    continue;
                }
                edges.fill(row, start_ms, &mut summary);
                if let Some(more) = more.and_then(|more| more.get(row)) {
                    more.fill(start_ms, &mut summary);
                }
                if !show(*read, &summary)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Shows the label sets of rows of `metrics`, and may show others.
    pub(super) fn labels(
        &self,
        metrics: &Metrics,
        charge: &Charge<'_>,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        for at in self.pages.of_metrics(metrics) {
            let Some(runs) = self.runs(at, charge)? else { continue };
            self.fill(at, runs, Wanted::All, charge)?;
            for place in runs.all() {
                match runs.labels(place) {
                    Some(Some(labels)) => show(labels)?,
                    _ => {
                        self.labels_of_rows(at, runs.rows(place), &mut |_, labels| show(&labels))?
                    }
                }
            }
        }
        Ok(())
    }
}
