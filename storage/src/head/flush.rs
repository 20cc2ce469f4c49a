//! What a flush needs of the head: set everything aside, hand it out target by target, forget it once a
//! block holds it, and write down what the log must keep.

use std::collections::BTreeSet;

use super::records;
use super::series::MemSeries;
use super::target::Target;
use super::{Head, Place};
use crate::error::{Error, Result};
use crate::model::{Labels, SeriesData, SeriesOrd, TimeRange};
use crate::wal::{RecordKind, Visit};

/// Payload bytes of a checkpoint's records.
const CHECKPOINT_RECORD_BYTES_TARGET: usize = 256 << 10;

/// The series of one target, ready to be written.
pub(crate) struct FrozenTarget {
    /// The target's own labels.
    pub(crate) entity: Labels,
    series: Vec<(Labels, Place)>,
}

impl Head {
    /// Sets all samples aside. What was set aside before and not dropped stays set aside. False when
    /// there is nothing at all.
    pub(crate) fn freeze(&self) -> bool {
        let mut any = false;
        for shard in &self.shards {
            let mut shard = shard.lock();
            for target in &mut shard.targets {
                target.freeze();
            }
            for series in &mut shard.series {
                any |= series.freeze();
            }
        }
        let mut bounds = self.bounds.lock();
        let all = bounds.iter().flatten().copied().reduce(|a, b| a.hull(&b));
        *bounds = [all, None];
        any
    }

    /// Forgets what was set aside.
    pub(crate) fn drop_frozen(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.series.iter_mut().for_each(MemSeries::drop_frozen);
            shard.targets.iter_mut().for_each(Target::drop_frozen);
        }
        self.bounds.lock()[0] = None;
    }

    /// The periods of `period_ms` in which frozen samples lie, by number.
    pub(crate) fn frozen_periods(&self, period_ms: i64) -> BTreeSet<i64> {
        let mut periods = BTreeSet::new();
        let mut last = None;
        let mut add = |ts: i64| {
            let period = ts.div_euclid(period_ms);
            if last != Some(period) {
                last = Some(period);
                periods.insert(period);
            }
        };
        for shard in &self.shards {
            let shard = shard.lock();
            shard.targets.iter().flat_map(Target::frozen_timestamps).for_each(&mut add);
            shard.series.iter().flat_map(MemSeries::frozen_timestamps).for_each(&mut add);
        }
        periods
    }

    /// The series by target, in the order of a block.
    pub(crate) fn targets(&self) -> Vec<FrozenTarget> {
        let registry = self.registry.read();
        let in_order = registry.index.block_order(None).into_iter();
        in_order
            .map(|(entity, ords)| FrozenTarget {
                entity: registry.index.entity_labels(entity),
                series: ords
                    .into_iter()
                    .filter_map(|ord| {
                        let place = registry.places.get(ord.0 as usize)?;
                        Some((registry.index.labels(ord), *place))
                    })
                    .collect(),
            })
            .collect()
    }

    /// Hands out the frozen samples of a target's series inside `range`, leaving out series without any.
    pub(crate) fn read_frozen(
        &self,
        target: &FrozenTarget,
        range: TimeRange,
        mut each: impl FnMut(&Labels, &SeriesData) -> Result<()>,
    ) -> Result<()> {
        let mut data = SeriesData::default();
        for (labels, place) in &target.series {
            let view = {
                let mut shard = self.shard(*place).lock();
                let Some((series, target)) = shard.at(place.local()) else { continue };
                series.view(target, range, true)
            };
            data.clear();
            view.read(range, &mut data).map_err(|cause| Error::Invalid {
                what: format!("the head's own chunk of {labels} does not decode: {cause}"),
            })?;
            if !data.is_empty() {
                each(labels, &data)?;
            }
        }
        Ok(())
    }

    /// Writes the records that must outlive the samples: series, metadata, exemplars.
    pub(crate) fn checkpoint(&self, log: Visit<'_>) -> Result<()> {
        let mut payload = Vec::new();
        let n = self.registry.read().places.len() as u32;
        let mut put = |kind: u8, payload: &mut Vec<u8>, all: bool| {
            if !payload.is_empty() && (all || payload.len() >= CHECKPOINT_RECORD_BYTES_TARGET) {
                log(RecordKind(kind), payload)?;
                payload.clear();
            }
            Ok(())
        };
        for ord in 0..n {
            let registry = self.registry.read();
            if let Some(reference) = registry.references.get(ord as usize) {
                records::put_series(
                    &mut payload,
                    *reference,
                    &registry.index.labels(SeriesOrd(ord)),
                );
            }
            drop(registry);
            put(records::SERIES, &mut payload, false)?;
        }
        put(records::SERIES, &mut payload, true)?;
        for (metric, list) in self.metadata() {
            for metadata in &list {
                records::put_metadata(&mut payload, &metric, metadata);
            }
            put(records::METADATA, &mut payload, false)?;
        }
        put(records::METADATA, &mut payload, true)?;
        let registry = self.registry.read();
        let ring = self.exemplars.lock();
        for (ord, exemplar) in ring.iter() {
            if let Some(reference) = registry.references.get(ord as usize) {
                records::put_exemplar(&mut payload, *reference, exemplar);
            }
        }
        drop((ring, registry));
        put(records::EXEMPLARS, &mut payload, true)
    }
}
