//! Replayed records applied to their shard.

use std::sync::Arc;

use super::reference_map::NOWHERE;
use super::sample_record::SampleRecord;
use super::{Head, Place, SHARDS, Shard, records};
use crate::model::TimeRange;

/// A record of samples or histograms, and where its series lie.
pub(super) struct Record {
    kind: u8,
    payload: Vec<u8>,
    /// For each entry; what is nowhere was counted.
    places: Vec<Place>,
    /// The shards of all places, a bit each.
    shards: u32,
}

const _: () = assert!(SHARDS <= u32::BITS as usize, "shards are bits");

impl Record {
    pub(super) fn new(kind: u8, payload: &[u8], places: Vec<Place>) -> Self {
        let known = places.iter().filter(|place| **place != NOWHERE);
        let shards = known.fold(0, |shards, place| shards | 1 << place.shard());
        Self { kind, payload: payload.to_vec(), places, shards }
    }

    /// Memory taken.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + self.places.len() * size_of::<Place>()
    }

    pub(super) fn shards(&self) -> u32 {
        self.shards
    }

    /// Places inside a shard.
    fn locals(&self, shard: usize) -> impl Iterator<Item = Option<usize>> {
        let is_here = move |place: Place| place.shard() == shard && place != NOWHERE;
        self.places.iter().map(move |place| is_here(*place).then(|| place.local()))
    }
}

/// Applies what the records hold for the shard `number`, in their order.
pub(super) fn apply(head: &Head, number: usize, records: &[Arc<Record>]) {
    let Some(shard) = head.shards.get(number) else { return };
    let mut shard = shard.lock();
    let mut seen: Option<(i64, i64)> = None;
    let mut bits = Vec::new();
    for record in records {
        let mut see = |ts: i64| {
            let (min, max) = seen.unwrap_or((ts, ts));
            seen = Some((min.min(ts), max.max(ts)));
        };
        match record.kind {
            records::HISTOGRAMS => apply_histograms(&mut shard, number, record, &mut see),
            kind => {
                let with_start = kind == records::SAMPLES_WITH_START;
                // It was read before, when its places were found.
                let Ok(samples) = SampleRecord::read(&record.payload, with_start) else { continue };
                let samples = samples.samples(&mut bits);
                for (local, (ts, bits, start_ts)) in record.locals(number).zip(samples) {
                    if let Some(local) = local
                        && let Some((series, mut home)) = shard.at(local)
                    {
                        see(ts);
                        series.append(&mut home, ts, bits, start_ts);
                    }
                }
            }
        }
    }
    drop(shard);
    head.widen_bounds(seen.map(|(min, max)| TimeRange::new(min, max)));
}

fn apply_histograms(shard: &mut Shard, number: usize, record: &Record, see: &mut impl FnMut(i64)) {
    let mut locals = record.locals(number);
    let whole = records::decode_histograms(&record.payload, |_, ts, histogram| {
        if let Some(local) = locals.next().flatten()
            && let Some((series, mut home)) = shard.at(local)
        {
            see(ts);
            series.append_histogram(&mut home, ts, &Arc::new(histogram));
        }
    });
    if let Err(cause) = whole {
        tracing::error!(%cause, "a log record of histograms does not decode; its rest is left out");
    }
}
