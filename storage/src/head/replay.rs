//! Rebuilding the head from the records of the log.

use std::sync::Arc;

use hashbrown::HashMap;

use super::chunks::Home;
use super::records;
use super::series::MemSeries;
use super::{Head, Place};
use crate::codec::Malformed;
use crate::model::{Labels, SeriesRef, TimeRange};

/// Applies records in the order of the log. Samples go through the same judgement as when they came, so
/// that a record that is replayed twice changes nothing.
pub(crate) struct Replayer<'a> {
    head: &'a Head,
    places: HashMap<u64, Place>,
    samples: u64,
    orphans: u64,
}

impl<'a> Replayer<'a> {
    pub(crate) fn new(head: &'a Head) -> Self {
        Self { head, places: HashMap::new(), samples: 0, orphans: 0 }
    }

    /// Samples applied so far.
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
            records::SERIES => records::decode_series(payload, |r, labels| self.series(r, &labels)),
            records::SAMPLES | records::SAMPLES_WITH_START => self.replay_samples(kind, payload),
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

    fn replay_samples(&mut self, kind: u8, payload: &[u8]) -> Result<(), Malformed> {
        let with_start = kind == records::SAMPLES_WITH_START;
        let mut seen: Option<TimeRange> = None;
        let whole = records::decode_samples(payload, with_start, |s| {
            let at = TimeRange::new(s.ts, s.ts);
            seen = Some(seen.map_or(at, |range| range.hull(&at)));
            self.at(s.reference, |series, home| {
                series.append(home, s.ts, s.bits, s.start_ts);
            });
        });
        self.head.widen_bounds(seen);
        whole
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
        self.places.insert(reference.0, place);
    }

    fn at(&mut self, reference: SeriesRef, f: impl FnOnce(&mut MemSeries, &mut Home<'_>)) {
        let Some(place) = self.places.get(&reference.0) else {
            self.orphans += 1;
            // Its number must not be given to another series.
            let next = &mut self.head.registry.write().next_reference;
            *next = (*next).max(reference.0.saturating_add(1));
            return;
        };
        let mut shard = self.head.shard(*place).lock();
        if let Some((series, mut home)) = shard.at(place.local()) {
            f(series, &mut home);
            self.samples += 1;
        }
    }
}
