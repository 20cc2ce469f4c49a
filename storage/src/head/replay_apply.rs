//! Replayed records of one shard: how they wait, and how they are applied.

use std::sync::Arc;

use super::reference_map::NOWHERE;
use super::sample_record::SampleRecord;
use super::{Head, Place, SHARDS, Shard, records};
use crate::model::TimeRange;

/// A record of samples or histograms.
#[derive(Debug, Clone, Copy)]
struct Record {
    kind: u8,
    payload_bytes: usize,
    n_places: usize,
}

/// Records of one shard in their order. Their memory is used again and again.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    records: Vec<Record>,
    /// One behind the other.
    payloads: Vec<u8>,
    /// Of each entry of each record; those of other shards are passed over.
    places: Vec<Place>,
    bits: Vec<u64>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Memory taken by what waits.
    pub(super) fn bytes(&self) -> usize {
        self.payloads.len() + size_of_val(self.places.as_slice())
    }

    /// Adds a record. Answers how many bytes it takes.
    pub(super) fn push(&mut self, kind: u8, payload: &[u8], places: &[Place]) -> usize {
        let (payload_bytes, n_places) = (payload.len(), places.len());
        self.records.push(Record { kind, payload_bytes, n_places });
        self.payloads.extend_from_slice(payload);
        self.places.extend_from_slice(places);
        payload_bytes + size_of_val(places)
    }

    /// Applies all records to the shard `number`. None waits any more then.
    pub(super) fn apply(&mut self, head: &Head, number: usize) {
        let Some(shard) = head.shards.get(number) else { return };
        let mut shard = shard.lock();
        let mut seen = Seen(None);
        let (mut payloads, mut places) = (self.payloads.as_slice(), self.places.as_slice());
        for Record { kind, payload_bytes, n_places } in self.records.drain(..) {
            let (Some((payload, others)), Some((here, elsewhere))) =
                (payloads.split_at_checked(payload_bytes), places.split_at_checked(n_places))
            else {
                break;
            };
            (payloads, places) = (others, elsewhere);
            match kind {
                records::HISTOGRAMS => {
                    apply_histograms(&mut shard, number, payload, here, &mut seen)
                }
                _ => {
                    let with_start = kind == records::SAMPLES_WITH_START;
                    // It was read before, when its places were found.
                    let Ok(record) = SampleRecord::read(payload, with_start) else { continue };
                    apply_samples(&mut shard, number, &record, here, &mut self.bits, &mut seen);
                }
            }
        }
        drop(shard);
        head.widen_bounds(seen.0.map(|(min, max)| TimeRange::new(min, max)));
        self.payloads.clear();
        self.places.clear();
    }
}

/// First and last timestamp seen.
struct Seen(Option<(i64, i64)>);

impl Seen {
    fn see(&mut self, ts: i64) {
        let (min, max) = self.0.unwrap_or((ts, ts));
        self.0 = Some((min.min(ts), max.max(ts)));
    }
}

/// Where a place lies in the shard `number`, if it is there.
fn local_in(number: usize, place: Place) -> Option<usize> {
    (place.shard() == number && place != NOWHERE).then(|| place.local())
}

fn apply_samples(
    shard: &mut Shard,
    number: usize,
    record: &SampleRecord<'_>,
    places: &[Place],
    bits: &mut Vec<u64>,
    seen: &mut Seen,
) {
    for (place, (ts, bits, start_ts)) in places.iter().zip(record.samples(bits)) {
        if let Some(local) = local_in(number, *place)
            && let Some((series, mut home)) = shard.at(local)
        {
            seen.see(ts);
            series.append(&mut home, ts, bits, start_ts);
        }
    }
}

fn apply_histograms(
    shard: &mut Shard,
    number: usize,
    payload: &[u8],
    places: &[Place],
    seen: &mut Seen,
) {
    let mut places = places.iter();
    let whole = records::decode_histograms(payload, |_, ts, histogram| {
        if let Some(local) = places.next().and_then(|place| local_in(number, *place))
            && let Some((series, mut home)) = shard.at(local)
        {
            seen.see(ts);
            series.append_histogram(&mut home, ts, &Arc::new(histogram));
        }
    });
    if let Err(cause) = whole {
        tracing::error!(%cause, "a log record of histograms does not decode; its rest is left out");
    }
}

/// The shards in which places lie, a bit each, and how many places are known.
pub(super) fn shards_of(places: &[Place]) -> (u32, u64) {
    let known = places.iter().filter(|place| **place != NOWHERE);
    known.fold((0, 0), |(shards, n), place| (shards | 1 << place.shard(), n + 1))
}

const _: () = assert!(SHARDS <= u32::BITS as usize, "shards are bits");
