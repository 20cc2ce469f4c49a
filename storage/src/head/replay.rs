//! Rebuilding the head from the records of the log.

use std::sync::Arc;
use std::thread::Scope;

use super::chunks::Home;
use super::reference_map::ReferenceMap;
use super::replay_workers::{Batch, Replayed, Workers};
use super::series::MemSeries;
use super::{Head, Place, records};
use crate::codec::Malformed;
use crate::model::{Labels, SeriesRef, TimeRange};

/// Applies records in the order of the log. Samples go through the same judgement as when they came, so
/// that a record that is replayed twice changes nothing.
///
/// Samples of different shards are applied side by side, those of one shard in their order. Before
/// anything else that touches samples, all that came before is applied.
pub(crate) struct Replayer<'a> {
    head: &'a Head,
    places: ReferenceMap,
    /// Samples of one shard that are not given to anybody yet.
    batch: Batch,
    workers: Option<Workers>,
    samples: u64,
    orphans: u64,
}

impl<'a> Replayer<'a> {
    /// One that applies everything itself.
    pub(crate) fn new(head: &'a Head) -> Self {
        let (places, batch) = (ReferenceMap::default(), Batch::default());
        Self { head, places, batch, workers: None, samples: 0, orphans: 0 }
    }

    /// One with threads beside it. They end when it is dropped.
    pub(crate) fn in_parallel<'s>(head: &'a Head, scope: &'s Scope<'s, 'a>) -> Self {
        Self { workers: Workers::start(head, scope), ..Self::new(head) }
    }

    /// Samples read so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Entries whose series no record defines: the definition was lost with a damaged part of the log.
    pub(crate) fn orphans(&self) -> u64 {
        self.orphans
    }

    /// Applies one record. An unknown kind is malformed.
    pub(crate) fn apply(&mut self, kind: u8, payload: &[u8]) -> Result<(), Malformed> {
        match kind {
            records::SERIES => {
                return records::decode_series(payload, |r, labels| self.series(r, &labels));
            }
            records::SAMPLES | records::SAMPLES_WITH_START => {
                return self.replay_samples(kind, payload);
            }
            _ => self.finish(),
        }
        match kind {
            records::HISTOGRAMS => records::decode_histograms(payload, |r, ts, histogram| {
                let histogram = Arc::new(histogram);
                self.head.widen_bounds(Some(TimeRange::new(ts, ts)));
                self.at(r, |series, home| {
                    series.append_histogram(home, ts, &histogram);
                });
            }),
            records::EXEMPLARS => records::decode_exemplars(payload, |r, exemplar| {
                let mut ord = None;
                self.at(r, |series, _| ord = Some(series.ord));
                if let Some(ord) = ord {
                    self.head.exemplars.lock().push(ord.0, exemplar);
                }
            }),
            records::METADATA => records::decode_metadata(payload, |metric, metadata| {
                self.head.metadata.lock().put(metric, &metadata);
            }),
            records::DELETION => records::decode_deletion(payload, |r, range| {
                self.at(r, |series, home| {
                    series.delete(home, range);
                });
            }),
            _ => Err(Malformed { what: "record of unknown kind", at: 0 }),
        }
    }

    /// Waits until all samples are applied.
    pub(crate) fn finish(&mut self) {
        self.pass_batch_on();
        if let Some(workers) = &mut self.workers {
            workers.wait();
        }
    }

    fn replay_samples(&mut self, kind: u8, payload: &[u8]) -> Result<(), Malformed> {
        let with_start = kind == records::SAMPLES_WITH_START;
        let mut seen: Option<TimeRange> = None;
        let whole = records::decode_samples(payload, with_start, |s| {
            let at = TimeRange::new(s.ts, s.ts);
            seen = Some(seen.map_or(at, |range| range.hull(&at)));
            let Some(place) = self.place(s.reference) else { return };
            if self.batch.is_full_for(place.shard()) {
                self.pass_batch_on();
            }
            let (local, ts, bits, start_ts) = (place.local(), s.ts, s.bits, s.start_ts);
            self.batch.push(place.shard(), Replayed { local, ts, bits, start_ts });
            self.samples += 1;
        });
        self.head.widen_bounds(seen);
        if self.workers.is_none() {
            self.pass_batch_on();
        }
        whole
    }

    fn pass_batch_on(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match &mut self.workers {
            Some(workers) => self.batch = workers.give(std::mem::take(&mut self.batch)),
            None => self.batch.apply(self.head),
        }
        self.batch.clear();
    }

    fn series(&mut self, reference: SeriesRef, labels: &Labels) {
        let mut registry = self.head.registry.write();
        let Ok((ord, new)) = registry.index.insert(labels) else { return };
        let place = if new {
            self.head.create(&mut registry, ord, reference)
        } else {
            registry.next_reference = registry.next_reference.max(reference.0.saturating_add(1));
            match registry.place(ord) {
                Some(place) => place,
                None => return,
            }
        };
        self.places.insert(reference, place);
    }

    fn place(&mut self, reference: SeriesRef) -> Option<Place> {
        let place = self.places.get(reference);
        if place.is_none() {
            self.orphans += 1;
            // Its number must not be given to another series.
            let next = &mut self.head.registry.write().next_reference;
            *next = (*next).max(reference.0.saturating_add(1));
        }
        place
    }

    fn at(&mut self, reference: SeriesRef, f: impl FnOnce(&mut MemSeries, &mut Home<'_>)) {
        let Some(place) = self.place(reference) else { return };
        let mut shard = self.head.shard(place).lock();
        if let Some((series, mut home)) = shard.at(place.local()) {
            f(series, &mut home);
            self.samples += 1;
        }
    }
}
