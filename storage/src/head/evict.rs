//! Series without samples leave the memory: those that were churned away are in blocks, and nowhere else.
//!
//! A series that comes back gets a new number and begins anew. What blocks hold of it stays first: where
//! both have a value at one timestamp, merging keeps the earlier one, as it does for every late sample.
//!
//! Who may hold a place while it is given away: a batch, which keeps the bindings locked for reading until
//! it is applied; a selection, which keeps the `places_held` lock. Eviction excludes both, for some series at
//! a time.

use std::time::Duration;

use roaring::RoaringBitmap;

use super::keys::Bindings;
use super::{Head, Place, Registry, Shard};

/// Flushes that find a series without samples before it goes: a whole interval between two has passed then.
const IDLE_FLUSHES_MAX: u8 = 2;
/// While memory is short.
const IDLE_FLUSHES_MAX_PRESSED: u8 = 1;
/// Series that go under one turn of the locks: about a millisecond.
const SERIES_PER_TURN: usize = 512;
/// How long a turn waits for selections to end. They are many short ones or few long ones: the rest of the
/// series goes at the next flush.
const TURN_WAIT: Duration = Duration::from_millis(200);
const TURNS_MISSED_MAX: u32 = 20;

impl Head {
    /// Lets the series go that had no sample for a while. The caller excludes flushes, and the log holds no
    /// sample of theirs any more. Answers how many went.
    pub(crate) fn evict_idle(&self, pressed: bool) -> u64 {
        let idle_min = if pressed { IDLE_FLUSHES_MAX_PRESSED } else { IDLE_FLUSHES_MAX };
        // What a batch found before this may have been flushed away twice by now: it is bound no more. What one
        // finds from now on is touched, and so not idle any more.
        self.keys.write().begin_epoch();
        let idle = self.idle_places(idle_min);
        if idle.is_empty() {
            return 0;
        }
        let bound = self.keys.read().of_places(&idle);
        // From the last to the first: places that are given again one after the other ascend.
        let places: Vec<u32> = idle.iter().rev().collect();
        let (mut n_gone, mut n_missed) = (0, 0);
        for turn in places.chunks(SERIES_PER_TURN) {
            // Batches wait while somebody waits for the bindings: for these a turn waits last.
            let Some(_places) = self.places_held.try_write_for(TURN_WAIT) else {
                n_missed += 1;
                if n_missed == TURNS_MISSED_MAX {
                    break;
                }
                continue;
            };
            let mut bindings = self.keys.write();
            bindings.begin_epoch();
            let mut registry = self.registry.write();
            for place in turn.iter().map(|place| Place(*place)) {
                let from = bound.partition_point(|(other, _)| other.0 < place.0);
                let behind = bound.partition_point(|(other, _)| other.0 <= place.0);
                if self.evict(&mut registry, place, idle_min) {
                    n_gone += 1;
                    unbind(&mut bindings, bound.get(from..behind).unwrap_or_default());
                }
            }
        }
        n_gone
    }

    /// Places of series that were idle for at least so many flushes.
    fn idle_places(&self, idle_min: u8) -> RoaringBitmap {
        let mut idle = RoaringBitmap::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            let locals = shard.series.iter().enumerate();
            idle.extend(
                locals
                    .filter(|(_, series)| series.idle_flushes() >= idle_min)
                    .map(|(local, _)| Place::new(number, local).0),
            );
        }
        idle
    }

    /// Takes a series out of the index and its shard, if it is still idle. One with exemplars stays.
    fn evict(&self, registry: &mut Registry, place: Place, idle_min: u8) -> bool {
        let mut shard = self.shard(place).lock();
        let Some(series) = shard.series.get(place.local()) else { return false };
        let ord = series.ord;
        if series.idle_flushes() < idle_min || self.exemplars.lock().has(ord.0) {
            return false;
        }
        let Some(removed) = registry.index.remove(ord) else { return false };
        if removed.entity_gone {
            shard.forget_target(Shard::target_of(removed.entity));
        }
        shard.free(place.local());
        true
    }
}

fn unbind(bindings: &mut Bindings, of_place: &[(Place, u32)]) {
    for (place, number) in of_place {
        bindings.unbind(*number, *place);
    }
}
