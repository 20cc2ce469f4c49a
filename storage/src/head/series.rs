//! What the head keeps of one series: its last sample, the chunk it appends to, finished chunks, and
//! apart from them the samples that came late or with timestamps of their own ("loose").
//!
//! Invariants: the samples of the chunks ascend strictly over all chunks; a timestamp is held once,
//! be it in a chunk, loose, or as a histogram.

use std::sync::Arc;

use super::loose::ByTime;
use super::open_chunk::{OpenChunk, decode};
use super::target::{Slot, Target, Usage};
use crate::codec::Malformed;
use crate::model::{Histogram, SeriesData, SeriesOrd, SeriesRef, TimeRange};

/// A finished chunk; its timestamps are the slots of its window.
#[derive(Debug, Clone)]
struct SealedChunk {
    window: u32,
    bytes: Arc<[u8]>,
}

impl SealedChunk {
    fn heap_bytes(&self) -> usize {
        self.bytes.len() + 40
    }
}

/// Memory of a loose sample and of a histogram, about.
const LOOSE_BYTES: usize = 32;
const HISTOGRAM_BYTES: usize = 512;

/// A sample with a timestamp of its own.
#[derive(Debug, Clone, Copy)]
struct Loose {
    ts: i64,
    bits: u64,
    start_ts: i64,
}

/// The value and start timestamp of a loose sample.
#[derive(Debug, Clone, Copy)]
struct LooseValue {
    bits: u64,
    start_ts: i64,
}

/// What few series have.
#[derive(Debug, Default)]
struct Extra {
    sealed: Vec<SealedChunk>,
    loose: ByTime<LooseValue>,
    /// From which sample on which start timestamp holds; for the samples of chunks.
    starts: Vec<(i64, i64)>,
    histograms: ByTime<Arc<Histogram>>,
    frozen: Frozen,
}

/// What a flush is writing to a block, kept readable until the block is published.
#[derive(Debug, Default)]
struct Frozen {
    sealed: Vec<SealedChunk>,
    loose: ByTime<LooseValue>,
    starts: Vec<(i64, i64)>,
    histograms: ByTime<Arc<Histogram>>,
}

/// What the head says to a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// New and newest: taken.
    Appended,
    /// New but older than the newest: taken.
    Late,
    /// The same value was there already.
    Repeated,
    /// Another value is there; it stays. Its bits, when it is a float.
    Conflict(Option<u64>),
}

/// One series of the head.
#[derive(Debug)]
pub(crate) struct MemSeries {
    pub(crate) reference: SeriesRef,
    pub(crate) ord: SeriesOrd,
    pub(crate) target: u32,
    window: u32,
    last_ts: i64,
    last_bits: u64,
    last_is_histogram: bool,
    open: OpenChunk,
    extra: Option<Box<Extra>>,
}

/// Before the first sample.
const NO_TS: i64 = i64::MIN;
/// Before the first slot.
const NO_WINDOW: u32 = u32::MAX;

impl MemSeries {
    pub(crate) fn new(reference: SeriesRef, ord: SeriesOrd, target: u32) -> Self {
        Self {
            reference,
            ord,
            target,
            window: NO_WINDOW,
            last_ts: NO_TS,
            last_bits: 0,
            last_is_histogram: false,
            open: OpenChunk::default(),
            extra: None,
        }
    }

    /// Judges a float sample and takes it when it is new.
    pub(crate) fn append(
        &mut self,
        target: &mut Target,
        ts: i64,
        bits: u64,
        start_ts: i64,
    ) -> Verdict {
        if ts > self.last_ts || self.last_ts == NO_TS {
            self.last_ts = ts;
            self.last_bits = bits;
            self.last_is_histogram = false;
            let at = Slot { window: self.window, slot: self.open.next_slot() };
            match target.slot(at, ts).filter(|slot| self.accepts(*slot)) {
                Some(slot) => self.push(target, slot, bits, ts, start_ts),
                None => self.insert_loose(target, Loose { ts, bits, start_ts }),
            }
            return Verdict::Appended;
        }
        if ts == self.last_ts {
            return match (self.last_is_histogram, self.last_bits == bits) {
                (false, true) => Verdict::Repeated,
                (false, false) => Verdict::Conflict(Some(self.last_bits)),
                (true, _) => Verdict::Conflict(None),
            };
        }
        match self.find(target, ts) {
            Some(Found::Float(existing)) if existing == bits => Verdict::Repeated,
            Some(Found::Float(existing)) => Verdict::Conflict(Some(existing)),
            Some(Found::Histogram(_)) => Verdict::Conflict(None),
            None => {
                self.insert_loose(target, Loose { ts, bits, start_ts });
                Verdict::Late
            }
        }
    }

    /// Judges a histogram sample and takes it when it is new.
    pub(crate) fn append_histogram(
        &mut self,
        target: &mut Target,
        ts: i64,
        histogram: &Arc<Histogram>,
    ) -> Verdict {
        let newest = ts > self.last_ts || self.last_ts == NO_TS;
        if !newest {
            match self.find(target, ts) {
                Some(Found::Histogram(existing)) if same_histogram(&existing, histogram) => {
                    return Verdict::Repeated;
                }
                Some(Found::Histogram(_)) => return Verdict::Conflict(None),
                Some(Found::Float(bits)) => return Verdict::Conflict(Some(bits)),
                // The last sample may have left memory with a flush; its value is still known.
                None if ts == self.last_ts && !self.last_is_histogram => {
                    return Verdict::Conflict(Some(self.last_bits));
                }
                None => {}
            }
        } else {
            self.last_ts = ts;
            self.last_is_histogram = true;
        }
        self.extra().histograms.insert(ts, Arc::clone(histogram));
        target.usage.bytes += HISTOGRAM_BYTES;
        if newest { Verdict::Appended } else { Verdict::Late }
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    fn accepts(&self, slot: Slot) -> bool {
        slot.window != self.window || slot.slot >= self.open.next_slot()
    }

    fn push(&mut self, target: &mut Target, slot: Slot, bits: u64, ts: i64, start_ts: i64) {
        if slot.window != self.window {
            self.seal_open(target);
            self.window = slot.window;
        }
        let before = self.open.heap_bytes();
        self.open.push(slot.slot, bits);
        target.usage.bytes += self.open.heap_bytes() - before;
        target.usage.chunks += usize::from(self.open.len() == 1);
        if start_ts != 0 || self.extra.as_ref().is_some_and(|e| !e.starts.is_empty()) {
            let starts = &mut self.extra().starts;
            if starts.last().map_or(0, |(_, s)| *s) != start_ts {
                starts.push((ts, start_ts));
            }
        }
    }

    fn seal_open(&mut self, target: &mut Target) {
        if self.open.len() > 0 {
            let before = self.open.heap_bytes();
            let chunk = SealedChunk { window: self.window, bytes: self.open.seal().into() };
            target.usage.bytes += chunk.heap_bytes();
            target.usage.bytes = target.usage.bytes.saturating_sub(before);
            self.extra().sealed.push(chunk);
        }
    }

    fn insert_loose(&mut self, target: &mut Target, sample: Loose) {
        let Loose { ts, bits, start_ts } = sample;
        self.extra().loose.insert(ts, LooseValue { bits, start_ts });
        target.usage.bytes += LOOSE_BYTES;
    }

    fn find(&self, target: &mut Target, ts: i64) -> Option<Found> {
        if self.open.len() > 0
            && let Some(bits) = find_in_chunk(target, self.window, ts, || self.open.snapshot())
        {
            return Some(Found::Float(bits));
        }
        let extra = self.extra.as_ref()?;
        for chunk in extra.sealed.iter().rev().chain(&extra.frozen.sealed) {
            if let Some(bits) = find_in_chunk(target, chunk.window, ts, || &chunk.bytes[..]) {
                return Some(Found::Float(bits));
            }
        }
        if let Some(loose) = extra.loose.get(ts).or_else(|| extra.frozen.loose.get(ts)) {
            return Some(Found::Float(loose.bits));
        }
        let histogram = extra.histograms.get(ts).or_else(|| extra.frozen.histograms.get(ts));
        histogram.map(|h| Found::Histogram(Arc::clone(h)))
    }

    /// Sets everything aside for a flush. False when there is nothing.
    pub(crate) fn freeze(&mut self, target: &mut Target) -> bool {
        self.seal_open(target);
        let Some(extra) = self.extra.as_mut() else { return false };
        let frozen = &mut extra.frozen;
        frozen.sealed.append(&mut extra.sealed);
        frozen.histograms.append(&mut extra.histograms);
        frozen.loose.append(&mut extra.loose);
        let current = extra.starts.last().copied();
        frozen.starts.append(&mut extra.starts);
        // The start timestamp that holds now holds for the samples to come as well.
        extra.starts.extend(current);
        !frozen.sealed.is_empty() || !frozen.loose.is_empty() || !frozen.histograms.is_empty()
    }

    /// Timestamps of the frozen samples that are not slots of the target's windows.
    pub(crate) fn frozen_timestamps(&self) -> impl Iterator<Item = i64> {
        self.extra.iter().flat_map(|extra| {
            extra.frozen.loose.timestamps().chain(extra.frozen.histograms.timestamps())
        })
    }

    /// Forgets what was set aside.
    pub(crate) fn drop_frozen(&mut self) {
        if let Some(extra) = self.extra.as_mut() {
            extra.frozen = Frozen::default();
            if extra.sealed.is_empty()
                && extra.loose.is_empty()
                && extra.starts.is_empty()
                && extra.histograms.is_empty()
            {
                self.extra = None;
            }
        }
    }

    /// A view of the samples inside `range`, to be decoded without the shard's lock.
    pub(crate) fn view(
        &self,
        target: &mut Target,
        range: TimeRange,
        frozen_only: bool,
    ) -> SeriesView {
        let mut view = SeriesView::default();
        let mut add = |target: &mut Target, window: u32, bytes: &dyn Fn() -> Arc<[u8]>| {
            let inside = target
                .bounds(window)
                .is_some_and(|(min, max)| range.overlaps(&TimeRange::new(min, max)));
            if inside && let Some(ts) = target.timestamps(window) {
                view.chunks.push(ViewChunk { ts, bytes: bytes() });
            }
        };
        if let Some(extra) = &self.extra {
            for chunk in &extra.frozen.sealed {
                add(target, chunk.window, &|| Arc::clone(&chunk.bytes));
            }
            if !frozen_only {
                for chunk in &extra.sealed {
                    add(target, chunk.window, &|| Arc::clone(&chunk.bytes));
                }
            }
        }
        if !frozen_only && self.open.len() > 0 {
            add(target, self.window, &|| self.open.snapshot().into());
        }
        if let Some(extra) = &self.extra {
            view.take_extra(
                &extra.frozen.loose,
                &extra.frozen.starts,
                &extra.frozen.histograms,
                range,
            );
            if !frozen_only {
                view.take_extra(&extra.loose, &extra.starts, &extra.histograms, range);
            }
        }
        view
    }

    /// Removes the samples inside `range`. Returns whether there were any.
    pub(crate) fn delete(&mut self, target: &mut Target, range: TimeRange) -> bool {
        let mut data = SeriesData::default();
        let view = self.view(target, TimeRange::ALL, false);
        if view.read(TimeRange::ALL, &mut data).is_err() {
            return false;
        }
        let mut kept = Self::new(self.reference, self.ord, self.target);
        let deleted = data.ts.iter().any(|ts| range.contains(*ts))
            || data.histograms.iter().any(|(ts, _)| range.contains(*ts));
        if deleted {
            let before = self.usage();
            for (i, (ts, value)) in data.ts.iter().zip(&data.values).enumerate() {
                if !range.contains(*ts) {
                    let start_ts = data.start_ts.get(i).copied().unwrap_or(0);
                    kept.append(target, *ts, value.to_bits(), start_ts);
                }
            }
            for (ts, histogram) in &data.histograms {
                if !range.contains(*ts) {
                    kept.append_histogram(target, *ts, histogram);
                }
            }
            target.usage.subtract(before);
            // The last sample may be in a block only: it is still known, unless it is deleted there.
            if !range.contains(self.last_ts) && self.last_ts > kept.last_ts {
                kept.remember_last(self);
            }
            *self = kept;
        } else if range.contains(self.last_ts) {
            // Only a block holds the last sample, and it is deleted there: it may come anew.
            let newest = data.ts.last().max(data.histograms.last().map(|(ts, _)| ts));
            self.forget_last(newest.copied(), &data);
        }
        deleted
    }

    fn remember_last(&mut self, of: &Self) {
        self.last_ts = of.last_ts;
        self.last_bits = of.last_bits;
        self.last_is_histogram = of.last_is_histogram;
    }

    /// The newest sample in memory, at `newest`, is the last one from now on.
    fn forget_last(&mut self, newest: Option<i64>, data: &SeriesData) {
        self.last_ts = newest.unwrap_or(NO_TS);
        self.last_is_histogram = newest.is_some() && data.ts.last() < newest.as_ref();
        self.last_bits = data.values.last().map_or(0, |value| value.to_bits());
    }

    /// What is on the heap now, counted anew.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage =
            Usage { chunks: usize::from(self.open.len() > 0), bytes: self.open.heap_bytes() };
        if let Some(extra) = &self.extra {
            let frozen = &extra.frozen;
            usage.chunks += extra.sealed.len() + frozen.sealed.len();
            let chunks = extra.sealed.iter().chain(&frozen.sealed);
            usage.bytes += chunks.map(SealedChunk::heap_bytes).sum::<usize>();
            usage.bytes += (extra.loose.len() + frozen.loose.len()) * LOOSE_BYTES;
            usage.bytes += (extra.histograms.len() + frozen.histograms.len()) * HISTOGRAM_BYTES;
        }
        usage
    }
}

enum Found {
    Float(u64),
    Histogram(Arc<Histogram>),
}

/// Equal bit for bit, NaN sums included.
fn same_histogram(a: &Histogram, b: &Histogram) -> bool {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    a.encode(&mut x);
    b.encode(&mut y);
    x == y
}

fn find_in_chunk<B: AsRef<[u8]>>(
    target: &mut Target,
    window: u32,
    ts: i64,
    bytes: impl FnOnce() -> B,
) -> Option<u64> {
    let (min, max) = target.bounds(window)?;
    if ts < min || max < ts {
        return None;
    }
    let wanted = target.timestamps(window)?.binary_search(&ts).ok()?;
    let mut found = None;
    let whole = decode(bytes().as_ref(), |slot, bits| {
        if slot as usize == wanted {
            found = Some(bits);
        }
    });
    debug_assert!(whole.is_ok(), "the head's own bytes");
    found
}

#[derive(Debug)]
struct ViewChunk {
    ts: Arc<[i64]>,
    bytes: Arc<[u8]>,
}

/// Samples of a series as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct SeriesView {
    chunks: Vec<ViewChunk>,
    loose: Vec<Loose>,
    starts: Vec<(i64, i64)>,
    histograms: Vec<(i64, Arc<Histogram>)>,
}

impl SeriesView {
    fn take_extra(
        &mut self,
        loose: &ByTime<LooseValue>,
        starts: &[(i64, i64)],
        histograms: &ByTime<Arc<Histogram>>,
        range: TimeRange,
    ) {
        let own = |(ts, value): (i64, &LooseValue)| {
            let LooseValue { bits, start_ts } = *value;
            Loose { ts, bits, start_ts }
        };
        self.loose.extend(loose.inside(range).map(own));
        self.loose.sort_by_key(|s| s.ts);
        self.starts.extend_from_slice(starts);
        self.histograms.extend(histograms.inside(range).map(|(ts, h)| (ts, Arc::clone(h))));
        self.histograms.sort_by_key(|(ts, _)| *ts);
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.loose.is_empty() && self.histograms.is_empty()
    }

    /// Appends the samples inside `range` to `out`, in order of time.
    pub(crate) fn read(&self, range: TimeRange, out: &mut SeriesData) -> Result<(), Malformed> {
        let from = out.ts.len();
        for chunk in &self.chunks {
            let (ts, values) = (&mut out.ts, &mut out.values);
            decode(&chunk.bytes, |slot, bits| {
                if let Some(t) = chunk.ts.get(slot as usize)
                    && range.contains(*t)
                {
                    ts.push(*t);
                    values.push(f64::from_bits(bits));
                }
            })?;
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
