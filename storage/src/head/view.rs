//! What a query takes from a series under its shard's lock, to be read without it.

use std::sync::Arc;

use super::links::Links;
use super::open_chunk::{TIMED, decode, decode_timed};
use super::series::{Apart, Loose};
use super::target::Target;
use crate::codec::Malformed;
use crate::model::{Histogram, SeriesData, TimeRange};

#[derive(Debug)]
struct ViewChunk {
    /// Of the window's slots; a timed chunk has its own.
    ts: Option<Arc<[i64]>>,
    /// End of its bytes among those of all chunks.
    end: usize,
}

/// Samples of a series as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct SeriesView {
    chunks: Vec<ViewChunk>,
    bytes: Vec<u8>,
    loose: Vec<Loose>,
    starts: Vec<(i64, i64)>,
    histograms: Vec<(i64, Arc<Histogram>)>,
}

impl SeriesView {
    /// Adds the chunk of a window of the target, whose bytes `copy` appends, where it meets `range`.
    pub(super) fn add_chunk(
        &mut self,
        target: &mut Target,
        window: u32,
        range: TimeRange,
        copy: impl FnOnce(&mut Vec<u8>),
    ) {
        if window == TIMED {
            return self.add_timed(range, copy);
        }
        let inside = target
            .bounds(window)
            .is_some_and(|(min, max)| range.overlaps(&TimeRange::new(min, max)));
        if inside && let Some(ts) = target.timestamps(window) {
            copy(&mut self.bytes);
            self.chunks.push(ViewChunk { ts: Some(ts), end: self.bytes.len() });
        }
    }

    fn add_timed(&mut self, range: TimeRange, copy: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        copy(&mut self.bytes);
        let mut inside = false;
        let chunk = self.bytes.get(begin..).unwrap_or_default();
        let whole = decode_timed(chunk, |ts, _| inside |= range.contains(ts));
        debug_assert!(whole.is_ok(), "the head's own bytes");
        if inside {
            self.chunks.push(ViewChunk { ts: None, end: self.bytes.len() });
        } else {
            self.bytes.truncate(begin);
        }
    }

    /// Adds the finished chunks of a series, the last of which is at `last`.
    pub(super) fn add_finished(
        &mut self,
        target: &mut Target,
        range: TimeRange,
        links: &Links,
        last: u32,
    ) {
        let mut chunks: Vec<_> = links.back_from(last).collect();
        chunks.reverse();
        for chunk in chunks {
            self.add_chunk(target, chunk.window, range, |out| links.copy(chunk.tokens, out));
        }
    }

    /// Adds from which sample on which start timestamp holds.
    pub(super) fn add_starts(&mut self, starts: &[(i64, i64)]) {
        self.starts.extend_from_slice(starts);
    }

    /// Adds the samples that are in no chunk.
    pub(super) fn add_apart(&mut self, apart: &Apart, range: TimeRange) {
        self.loose.extend(apart.loose.inside(range).map(|(ts, value)| Loose {
            ts,
            bits: value.bits,
            start_ts: value.start_ts,
        }));
        self.loose.sort_by_key(|s| s.ts);
        self.add_starts(&apart.starts);
        let histograms = apart.histograms.inside(range).map(|(ts, h)| (ts, Arc::clone(h)));
        self.histograms.extend(histograms);
        self.histograms.sort_by_key(|(ts, _)| *ts);
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.loose.is_empty() && self.histograms.is_empty()
    }

    /// A time before which there is no sample.
    pub(crate) fn earliest(&self) -> Option<i64> {
        let mut begin = 0;
        let mut earliest: Option<i64> = None;
        let mut take = |ts: Option<i64>| {
            if let Some(ts) = ts {
                earliest = Some(earliest.map_or(ts, |known| known.min(ts)));
            }
        };
        for chunk in &self.chunks {
            let bytes = self.bytes.get(begin..chunk.end).unwrap_or_default();
            begin = chunk.end;
            match &chunk.ts {
                Some(slots) => take(slots.first().copied()),
                None => drop(decode_timed(bytes, |ts, _| take(Some(ts)))),
            }
        }
        take(self.loose.first().map(|sample| sample.ts));
        take(self.histograms.first().map(|histogram| histogram.0));
        earliest
    }

    /// Appends the samples inside `range` to `out`, in order of time.
    pub(crate) fn read(&self, range: TimeRange, out: &mut SeriesData) -> Result<(), Malformed> {
        let from = out.ts.len();
        let mut begin = 0;
        for chunk in &self.chunks {
            let (ts, values) = (&mut out.ts, &mut out.values);
            let bytes = self.bytes.get(begin..chunk.end).unwrap_or_default();
            begin = chunk.end;
            let mut add = |t: i64, bits| {
                if range.contains(t) {
                    ts.push(t);
                    values.push(f64::from_bits(bits));
                }
            };
            match &chunk.ts {
                Some(slots) => decode(bytes, |slot, bits| {
                    if let Some(t) = slots.get(slot as usize) {
                        add(*t, bits);
                    }
                })?,
                None => decode_timed(bytes, add)?,
            }
        }
        let with_starts = !self.starts.is_empty() || self.loose.iter().any(|s| s.start_ts != 0);
        if with_starts {
            out.start_ts.resize(from, 0);
            let ts = out.ts.get(from..).unwrap_or_default();
            out.start_ts.extend(ts.iter().map(|t| self.start_at(*t)));
        } else if !out.start_ts.is_empty() {
            out.start_ts.resize(out.ts.len(), 0);
        }
        self.merge_loose(range, from, with_starts || !out.start_ts.is_empty(), out);
        out.histograms
            .extend(self.histograms.iter().filter(|(ts, _)| range.contains(*ts)).cloned());
        Ok(())
    }

    fn start_at(&self, ts: i64) -> i64 {
        let after = self.starts.partition_point(|(from, _)| *from <= ts);
        after.checked_sub(1).and_then(|i| self.starts.get(i)).map_or(0, |(_, start)| *start)
    }

    fn merge_loose(&self, range: TimeRange, from: usize, with_starts: bool, out: &mut SeriesData) {
        let loose: Vec<Loose> =
            self.loose.iter().filter(|s| range.contains(s.ts)).copied().collect();
        if loose.is_empty() {
            return;
        }
        let chunked: Vec<Loose> = (from..out.ts.len())
            .filter_map(|i| {
                let start_ts = out.start_ts.get(i).copied().unwrap_or(0);
                Some(Loose { ts: *out.ts.get(i)?, bits: out.values.get(i)?.to_bits(), start_ts })
            })
            .collect();
        out.ts.truncate(from);
        out.values.truncate(from);
        out.start_ts.truncate(from);
        let (mut a, mut b) = (chunked.into_iter().peekable(), loose.into_iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.ts <= y.ts => a.next(),
                (Some(_), None) => a.next(),
                _ => b.next(),
            };
            let Some(sample) = next else { break };
            out.ts.push(sample.ts);
            out.values.push(f64::from_bits(sample.bits));
            if with_starts {
                out.start_ts.push(sample.start_ts);
            }
        }
    }
}
