//! What the head keeps of one series: its last sample, the chunk it appends to, the places of finished
//! chunks, and apart from them the samples that came late or with timestamps of their own ("loose").
//!
//! Invariants: the samples of the chunks ascend strictly over all chunks; a timestamp is held once,
//! be it in a chunk, loose, or as a histogram.

use std::sync::Arc;

use super::chunks::{Chunks, Home};
use super::links::NO_CHUNK;
use super::loose::ByTime;
use super::open_chunk::{OpenChunk, TIMED, decode, decode_timed};
use super::target::{Slot, Target};
use super::view::SeriesView;
use crate::model::{Histogram, SeriesData, SeriesOrd, SeriesRef, TimeRange};

/// Memory of a loose sample and of a histogram, about.
const LOOSE_BYTES: usize = 32;
const HISTOGRAM_BYTES: usize = 512;

/// A sample with a timestamp of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loose {
    pub(super) ts: i64,
    pub(super) bits: u64,
    pub(super) start_ts: i64,
}

/// The value and start timestamp of a loose sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct LooseValue {
    pub(super) bits: u64,
    pub(super) start_ts: i64,
}

/// Samples that are not in chunks.
#[derive(Debug, Default)]
pub(super) struct Apart {
    pub(super) loose: ByTime<LooseValue>,
    /// From which sample on which start timestamp holds; for the samples of chunks.
    pub(super) starts: Vec<(i64, i64)>,
    pub(super) histograms: ByTime<Arc<Histogram>>,
}

impl Apart {
    fn has_samples(&self) -> bool {
        !self.loose.is_empty() || !self.histograms.is_empty()
    }

    fn heap_bytes(&self) -> usize {
        self.loose.len() * LOOSE_BYTES + self.histograms.len() * HISTOGRAM_BYTES
    }
}

/// What few series have.
#[derive(Debug, Default)]
struct Extra {
    apart: Apart,
    /// What a flush is writing to a block, kept readable until the block is published.
    frozen: Option<Box<Apart>>,
    /// Whether the newest sample is a histogram.
    last_is_histogram: bool,
}

/// What the head says to a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
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
pub(super) struct MemSeries {
    pub(super) reference: SeriesRef,
    last_ts: i64,
    extra: Option<Box<Extra>>,
    open: OpenChunk,
    pub(super) ord: SeriesOrd,
    pub(super) target: u32,
    /// Place of the last finished chunk.
    finished: u32,
    /// Place of the last frozen chunk.
    frozen: u32,
}

const _: () = assert!(size_of::<MemSeries>() <= 64, "every series has one");

/// Before the first sample.
const NO_TS: i64 = i64::MIN;

impl MemSeries {
    pub(super) fn new(reference: SeriesRef, ord: SeriesOrd, target: u32) -> Self {
        Self {
            reference,
            last_ts: NO_TS,
            extra: None,
            open: OpenChunk::default(),
            ord,
            target,
            finished: NO_CHUNK,
            frozen: NO_CHUNK,
        }
    }

    /// Judges a float sample and takes it when it is new.
    pub(super) fn append(
        &mut self,
        home: &mut Home<'_>,
        ts: i64,
        bits: u64,
        start_ts: i64,
    ) -> Verdict {
        if ts > self.last_ts || self.last_ts == NO_TS {
            let last_ts = std::mem::replace(&mut self.last_ts, ts);
            if let Some(extra) = self.extra.as_mut() {
                extra.last_is_histogram = false;
            }
            if self.open.is_timed() {
                self.push_timed(home, last_ts, ts, bits);
            } else {
                let at = Slot { window: self.open.window(), slot: self.open.next_slot() };
                match home.target.slot(at, ts).filter(|slot| self.accepts(*slot)) {
                    Some(slot) => self.push(home, slot, bits),
                    None => self.push_timed(home, last_ts, ts, bits),
                }
            }
            self.note_start(ts, start_ts);
            return Verdict::Appended;
        }
        if ts == self.last_ts {
            return match (self.last_is_histogram(), self.open.last_bits() == bits) {
                (false, true) => Verdict::Repeated,
                (false, false) => Verdict::Conflict(Some(self.open.last_bits())),
                (true, _) => Verdict::Conflict(None),
            };
        }
        match self.find(home, ts) {
            Some(Found::Float(existing)) if existing == bits => Verdict::Repeated,
            Some(Found::Float(existing)) => Verdict::Conflict(Some(existing)),
            Some(Found::Histogram(_)) => Verdict::Conflict(None),
            None => {
                self.insert_loose(home, Loose { ts, bits, start_ts });
                Verdict::Late
            }
        }
    }

    /// Judges a histogram sample and takes it when it is new.
    pub(super) fn append_histogram(
        &mut self,
        home: &mut Home<'_>,
        ts: i64,
        histogram: &Arc<Histogram>,
    ) -> Verdict {
        let newest = ts > self.last_ts || self.last_ts == NO_TS;
        if !newest {
            match self.find(home, ts) {
                Some(Found::Histogram(existing)) if same_histogram(&existing, histogram) => {
                    return Verdict::Repeated;
                }
                Some(Found::Histogram(_)) => return Verdict::Conflict(None),
                Some(Found::Float(bits)) => return Verdict::Conflict(Some(bits)),
                // The last sample may have left memory with a flush; its value is still known.
                None if ts == self.last_ts && !self.last_is_histogram() => {
                    return Verdict::Conflict(Some(self.open.last_bits()));
                }
                None => {}
            }
        } else {
            self.finish_timed(home);
            self.last_ts = ts;
            self.extra().last_is_histogram = true;
        }
        self.extra().apart.histograms.insert(ts, Arc::clone(histogram));
        home.chunks.loose_bytes += HISTOGRAM_BYTES;
        if newest { Verdict::Appended } else { Verdict::Late }
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    fn last_is_histogram(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.last_is_histogram)
    }

    fn accepts(&self, slot: Slot) -> bool {
        slot.window != self.open.window() || slot.slot >= self.open.next_slot()
    }

    fn push(&mut self, home: &mut Home<'_>, slot: Slot, bits: u64) {
        if slot.window != self.open.window() {
            self.finish_open(home);
            self.open.begin(slot.window);
        }
        home.chunks.n_chunks += usize::from(self.open.len() == 0);
        self.open.push(&mut home.chunks.links, slot.slot, bits);
    }

    /// Adds the newest sample with a timestamp of its own. `last_ts` is the one before.
    fn push_timed(&mut self, home: &mut Home<'_>, last_ts: i64, ts: i64, bits: u64) {
        let taken =
            self.open.is_timed() && self.open.push_timed(&mut home.chunks.links, last_ts, ts, bits);
        if !taken {
            self.finish_open(home);
            home.chunks.n_chunks += 1;
            self.open.push_timed(&mut home.chunks.links, last_ts, ts, bits);
        }
    }

    /// Remembers the start timestamp of a sample in a chunk, where it is another one than before.
    fn note_start(&mut self, ts: i64, start_ts: i64) {
        if start_ts != 0 || self.extra.as_ref().is_some_and(|e| !e.apart.starts.is_empty()) {
            let starts = &mut self.extra().apart.starts;
            if starts.last().map_or(0, |(_, s)| *s) != start_ts {
                starts.push((ts, start_ts));
            }
        }
    }

    /// A timed chunk goes on from the last sample of the series: it ends where that is no longer its own.
    fn finish_timed(&mut self, home: &mut Home<'_>) {
        if self.open.is_timed() {
            self.finish_open(home);
        }
    }

    fn finish_open(&mut self, home: &mut Home<'_>) {
        if self.open.len() > 0 {
            self.finished = self.open.finish(&mut home.chunks.links, self.finished);
        }
    }

    fn insert_loose(&mut self, home: &mut Home<'_>, sample: Loose) {
        let Loose { ts, bits, start_ts } = sample;
        self.extra().apart.loose.insert(ts, LooseValue { bits, start_ts });
        home.chunks.loose_bytes += LOOSE_BYTES;
    }

    fn find(&self, home: &mut Home<'_>, ts: i64) -> Option<Found> {
        let Home { target, chunks } = home;
        if self.open.len() > 0 {
            let open = |out: &mut Vec<u8>| self.open.copy(&chunks.links, out);
            if let Some(bits) = find_in_chunk(target, self.open.window(), ts, open) {
                return Some(Found::Float(bits));
            }
        }
        let finished = chunks.links.back_from(self.finished);
        for chunk in finished.chain(chunks.links.back_from(self.frozen)) {
            let bytes = |out: &mut Vec<u8>| chunks.links.copy(chunk.tokens, out);
            if let Some(bits) = find_in_chunk(target, chunk.window, ts, bytes) {
                return Some(Found::Float(bits));
            }
        }
        let extra = self.extra.as_ref()?;
        [Some(&extra.apart), extra.frozen.as_deref()].into_iter().flatten().find_map(|apart| {
            let float = apart.loose.get(ts).map(|loose| Found::Float(loose.bits));
            float.or_else(|| apart.histograms.get(ts).map(|h| Found::Histogram(Arc::clone(h))))
        })
    }

    /// Sets everything aside for a flush, behind what an earlier one has left. False when there is nothing.
    pub(super) fn freeze(&mut self, home: &mut Home<'_>) -> bool {
        self.finish_open(home);
        let finished = std::mem::replace(&mut self.finished, NO_CHUNK);
        self.frozen = home.chunks.links.join(self.frozen, finished);
        let mut any = self.frozen != NO_CHUNK;
        if let Some(extra) = self.extra.as_mut() {
            let current = extra.apart.starts.last().copied();
            let frozen = extra.frozen.get_or_insert_default();
            frozen.histograms.append(&mut extra.apart.histograms);
            frozen.loose.append(&mut extra.apart.loose);
            frozen.starts.append(&mut extra.apart.starts);
            // The start timestamp that holds now holds for the samples to come as well.
            extra.apart.starts.extend(current);
            any |= frozen.has_samples();
        }
        if any {
            self.open.idle_flushes = 0;
        }
        any
    }

    /// Tells the timestamps of the frozen samples that are not slots of the target's windows.
    pub(super) fn frozen_timestamps(&self, chunks: &Chunks, mut tell: impl FnMut(i64)) {
        let mut bytes = Vec::new();
        for chunk in chunks.links.back_from(self.frozen).filter(|chunk| chunk.window == TIMED) {
            bytes.clear();
            chunks.links.copy(chunk.tokens, &mut bytes);
            let whole = decode_timed(&bytes, |ts, _| tell(ts));
            debug_assert!(whole.is_ok(), "the head's own bytes");
        }
        let frozen = self.extra.iter().filter_map(|extra| extra.frozen.as_deref());
        frozen
            .flat_map(|apart| apart.loose.timestamps().chain(apart.histograms.timestamps()))
            .for_each(tell);
    }

    /// Forgets what was set aside.
    pub(super) fn drop_frozen(&mut self, chunks: &mut Chunks) {
        chunks.free(std::mem::replace(&mut self.frozen, NO_CHUNK));
        let Some(extra) = self.extra.as_mut() else { return };
        if let Some(frozen) = extra.frozen.take() {
            chunks.loose_bytes = chunks.loose_bytes.saturating_sub(frozen.heap_bytes());
        }
        let Apart { starts, .. } = &extra.apart;
        if starts.is_empty() && !extra.apart.has_samples() && !extra.last_is_histogram {
            self.extra = None;
        }
    }

    /// Whether no sample is held.
    pub(super) fn is_empty(&self) -> bool {
        let places = [self.finished, self.frozen];
        let apart = self.extra.iter().flat_map(|e| [Some(&e.apart), e.frozen.as_deref()]);
        self.open.len() == 0 && places == [NO_CHUNK; 2] && !apart.flatten().any(Apart::has_samples)
    }

    /// A view of the samples inside `range`, to be decoded without the shard's lock.
    pub(super) fn view(
        &self,
        home: &mut Home<'_>,
        range: TimeRange,
        frozen_only: bool,
    ) -> SeriesView {
        let Home { target, chunks } = home;
        let mut view = SeriesView::default();
        view.add_finished(target, range, &chunks.links, self.frozen);
        if !frozen_only {
            view.add_finished(target, range, &chunks.links, self.finished);
            if self.open.len() > 0 {
                let open = |out: &mut Vec<u8>| self.open.copy(&chunks.links, out);
                view.add_chunk(target, self.open.window(), range, open);
            }
        }
        if let Some(extra) = &self.extra {
            let now = (!frozen_only).then_some(&extra.apart);
            for apart in [extra.frozen.as_deref(), now].into_iter().flatten() {
                view.add_apart(apart, range);
            }
        }
        view
    }

    /// Removes the samples inside `range`. Returns whether there were any.
    pub(super) fn delete(&mut self, home: &mut Home<'_>, range: TimeRange) -> bool {
        let mut data = SeriesData::default();
        let view = self.view(home, TimeRange::ALL, false);
        if view.read(TimeRange::ALL, &mut data).is_err() {
            return false;
        }
        let deleted = data.ts.iter().any(|ts| range.contains(*ts))
            || data.histograms.iter().any(|(ts, _)| range.contains(*ts));
        if deleted {
            self.forget_samples(home);
            let mut kept = Self::new(self.reference, self.ord, self.target);
            for (i, (ts, value)) in data.ts.iter().zip(&data.values).enumerate() {
                if !range.contains(*ts) {
                    let start_ts = data.start_ts.get(i).copied().unwrap_or(0);
                    kept.append(home, *ts, value.to_bits(), start_ts);
                }
            }
            for (ts, histogram) in &data.histograms {
                if !range.contains(*ts) {
                    kept.append_histogram(home, *ts, histogram);
                }
            }
            // The last sample may be in a block only: it is still known, unless it is deleted there.
            if !range.contains(self.last_ts) && self.last_ts > kept.last_ts {
                kept.finish_open(home);
                kept.remember_last(self);
            }
            *self = kept;
        } else if range.contains(self.last_ts) {
            // Only a block holds the last sample, and it is deleted there: it may come anew.
            let newest = data.ts.last().max(data.histograms.last().map(|(ts, _)| ts));
            self.finish_open(home);
            self.forget_last(newest.copied(), &data);
        }
        deleted
    }

    /// Gives the memory of all samples back.
    fn forget_samples(&mut self, home: &mut Home<'_>) {
        home.chunks.n_chunks -= usize::from(self.open.len() > 0);
        self.open.clear(&mut home.chunks.links);
        [self.finished, self.frozen].into_iter().for_each(|place| home.chunks.free(place));
        let apart = self.extra.iter().flat_map(|e| [Some(&e.apart), e.frozen.as_deref()]);
        let bytes: usize = apart.flatten().map(Apart::heap_bytes).sum();
        home.chunks.loose_bytes = home.chunks.loose_bytes.saturating_sub(bytes);
    }

    fn remember_last(&mut self, of: &Self) {
        self.last_ts = of.last_ts;
        self.open.set_last_bits(of.open.last_bits());
        if of.last_is_histogram() != self.last_is_histogram() {
            self.extra().last_is_histogram = of.last_is_histogram();
        }
    }

    /// The newest sample in memory, at `newest`, is the last one from now on.
    fn forget_last(&mut self, newest: Option<i64>, data: &SeriesData) {
        self.last_ts = newest.unwrap_or(NO_TS);
        let is_histogram = newest.is_some() && data.ts.last() < newest.as_ref();
        if is_histogram != self.last_is_histogram() {
            self.extra().last_is_histogram = is_histogram;
        }
        self.open.set_last_bits(data.values.last().map_or(0, |value| value.to_bits()));
    }

    /// Stands where a series went, until the next one comes. Never idle, never selected.
    pub(super) fn nobody() -> Self {
        Self::new(SeriesRef(0), SeriesOrd(u32::MAX), u32::MAX)
    }

    /// Counts a flush that found no sample.
    pub(super) fn count_idle_flush(&mut self) {
        self.open.idle_flushes = match self.is_empty() && self.target != u32::MAX {
            true => self.open.idle_flushes.saturating_add(1),
            false => 0,
        };
    }

    /// The series is wanted, though it has no sample at the moment.
    pub(super) fn touch(&mut self) {
        self.open.idle_flushes = 0;
    }

    /// Flushes in a row that found nothing, if there is still nothing.
    pub(super) fn idle_flushes(&self) -> u8 {
        if self.is_empty() { self.open.idle_flushes } else { 0 }
    }

    /// Chunks and bytes of loose samples, counted anew.
    #[cfg(test)]
    pub(super) fn usage(&self, chunks: &Chunks) -> (usize, usize) {
        let n = chunks.links.back_from(self.finished).count()
            + chunks.links.back_from(self.frozen).count()
            + usize::from(self.open.len() > 0);
        let apart = self.extra.iter().flat_map(|e| [Some(&e.apart), e.frozen.as_deref()]);
        (n, apart.flatten().map(Apart::heap_bytes).sum())
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

/// The sample of a chunk at `ts`; `copy` appends the chunk's bytes.
fn find_in_chunk(
    target: &mut Target,
    window: u32,
    ts: i64,
    copy: impl FnOnce(&mut Vec<u8>),
) -> Option<u64> {
    let mut bytes = Vec::new();
    let mut found = None;
    if window == TIMED {
        copy(&mut bytes);
        let whole = decode_timed(&bytes, |at, bits| {
            if at == ts {
                found = Some(bits);
            }
        });
        debug_assert!(whole.is_ok(), "the head's own bytes");
        return found;
    }
    let (min, max) = target.bounds(window)?;
    if ts < min || max < ts {
        return None;
    }
    let wanted = target.timestamps(window)?.binary_search(&ts).ok()?;
    copy(&mut bytes);
    let whole = decode(&bytes, |slot, bits| {
        if slot as usize == wanted {
            found = Some(bits);
        }
    });
    debug_assert!(whole.is_ok(), "the head's own bytes");
    found
}
