//! Rebuilding the head from the records of the log.

use std::thread::Scope;

use super::chunks::Home;
use super::definitions::{Definition, Definitions};
use super::records::REFERENCE_MAX;
use super::reference_map::{NOWHERE, ReferenceMap};
use super::replay_apply::shards_of;
use super::replay_series::Taken;
use super::replay_workers::Workers;
use super::sample_record::{Run, SampleRecord};
use super::series::MemSeries;
use super::{Head, Place, records};
use crate::codec::Malformed;
use crate::model::SeriesRef;

/// Applies records in the order of the log. Samples go through the same judgement as when they came, so
/// that a record that is replayed twice changes nothing.
///
/// Samples of different shards are applied side by side, those of one shard in their order. Before
/// anything else that touches samples, all that came before is applied.
pub(crate) struct Replayer<'a> {
    head: &'a Head,
    places: ReferenceMap,
    /// Places of the entries of one record.
    found: Vec<Place>,
    workers: Workers,
    samples: u64,
    orphans: u64,
}

impl<'a> Replayer<'a> {
    /// One that applies everything itself.
    #[cfg(test)]
    pub(crate) fn new(head: &'a Head) -> Self {
        Self::with(head, Workers::none())
    }

    /// One with threads beside it. They end when it is dropped.
    pub(crate) fn in_parallel<'s>(head: &'a Head, scope: &'s Scope<'s, 'a>) -> Self {
        Self::with(head, Workers::start(head, scope))
    }

    /// One with four threads that are woken for every record, and a line of hardly any.
    #[cfg(test)]
    pub(crate) fn crowded<'s>(head: &'a Head, scope: &'s Scope<'s, 'a>) -> Self {
        Self::with(head, Workers::start_with(head, scope, 4, 0, 200))
    }

    fn with(head: &'a Head, workers: Workers) -> Self {
        let (places, found) = (ReferenceMap::default(), Vec::new());
        Self { head, places, found, workers, samples: 0, orphans: 0 }
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
            records::SERIES => self.replay_series(payload),
            records::SAMPLES | records::SAMPLES_WITH_START => {
                let with_start = kind == records::SAMPLES_WITH_START;
                let record = SampleRecord::read(payload, with_start)?;
                self.give(kind, payload, record.reference_runs());
                Ok(())
            }
            records::HISTOGRAMS => {
                let references = records::histogram_references(payload)?;
                self.give(kind, payload, references.into_iter().map(Run::one));
                Ok(())
            }
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
            records::DELETION => {
                self.finish();
                records::decode_deletion(payload, |r, range| {
                    self.at(r, |series, home| {
                        series.delete(home, range);
                    });
                })
            }
            _ => Err(Malformed { what: "record of unknown kind", at: 0 }),
        }
    }

    /// Waits until all samples are applied.
    pub(crate) fn finish(&mut self) {
        self.workers.finish(self.head);
    }

    /// Hands a record to the shards of its series.
    fn give(&mut self, kind: u8, payload: &[u8], references: impl Iterator<Item = Run> + Clone) {
        self.found.clear();
        for run in references.clone() {
            self.places.find(run, &mut self.found);
        }
        let (shards, n) = shards_of(&self.found);
        self.samples += n;
        if n < self.found.len() as u64 {
            let found = std::mem::take(&mut self.found);
            for (reference, place) in references.flat_map(Run::numbers).zip(&found) {
                if *place == NOWHERE {
                    self.note_orphan(SeriesRef(reference));
                }
            }
            self.found = found;
        }
        self.workers.give(self.head, shards, kind, payload, &self.found);
    }

    fn replay_series(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let mut definitions = Definitions::read(payload)?;
        let mut taken = Taken::new(&definitions);
        let mut series = Definition::default();
        let mut registry = self.head.registry.write();
        while definitions.next(&mut series)? {
            let reference = SeriesRef(series.reference);
            registry.next_reference = registry.next_reference.max(reference.0.saturating_add(1));
            let Some((ord, new)) = taken.insert(&mut registry.index, &definitions, &series) else {
                continue;
            };
            let place = match new {
                true => Some(self.head.create(&mut registry, ord, reference)),
                false => registry.place(ord),
            };
            if let Some(place) = place {
                self.places.insert(reference, place);
            }
        }
        Ok(())
    }

    fn place(&mut self, reference: SeriesRef) -> Option<Place> {
        let place = self.places.get(reference);
        if place.is_none() {
            self.note_orphan(reference);
        }
        place
    }

    fn note_orphan(&mut self, reference: SeriesRef) {
        self.orphans += 1;
        if reference.0 > REFERENCE_MAX {
            return;
        }
        // Its number must not be given to another series.
        let next = &mut self.head.registry.write().next_reference;
        *next = (*next).max(reference.0.saturating_add(1));
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
