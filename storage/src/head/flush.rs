//! What a flush needs of the head: set everything aside, hand it out target by target, forget it once a
//! block holds it, and write down what the log must keep.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::chunks::Home;
use super::definitions::DefinitionEncoder;
use super::records;
use super::target::Target;
use super::{Head, Place, Registry, SERIES_PER_LOCK, SHARDS, Shard};
use crate::append::Exemplar;
use crate::error::{Error, Result};
use crate::index::{BlockOrder, EntityId, MemIndex};
use crate::model::{SeriesData, SeriesOrd, SeriesRef, TimeRange};
use crate::wal::{RecordKind, Visit};

/// Payload bytes of a checkpoint's records.
const CHECKPOINT_RECORD_BYTES_TARGET: usize = 256 << 10;

/// Series whose frozen samples are handed out at a time.
const SERIES_PER_BATCH: usize = 64;

/// Series for which a flush makes a block of its own, and how many blocks it makes at most.
const SERIES_PER_PART: usize = if cfg!(test) { 8 } else { 250_000 };
const PARTS_MAX: usize = 8;

/// Some shards, flushed together.
#[derive(Debug)]
pub(crate) struct Part {
    from: usize,
    to: usize,
}

impl Part {
    fn shards<'a>(&self, all: &'a [Mutex<Shard>]) -> &'a [Mutex<Shard>] {
        all.get(self.from..self.to).unwrap_or_default()
    }
}

/// The order in which series are written; good until another series comes.
pub(crate) struct WriteOrder {
    next_reference: u64,
    order: BlockOrder,
}

/// A series of a target with its frozen samples.
#[derive(Debug)]
pub(crate) struct FrozenSeries {
    pub(crate) ord: SeriesOrd,
    pub(crate) data: SeriesData,
}

impl WriteOrder {
    /// The targets of a part.
    pub(crate) fn entities(&self, part: &Part) -> impl Iterator<Item = EntityId> {
        let shards = part.from..part.to;
        let all = self.order.entities().iter().copied();
        all.filter(move |entity| shards.contains(&Shard::number_of(*entity)))
    }
}

impl Head {
    /// Begins a flush. What is applied from now on may be behind it.
    pub(crate) fn begin_flush(&self) {
        let mut bounds = self.bounds.lock();
        let all = bounds.iter().flatten().copied().reduce(|a, b| a.hull(&b));
        *bounds = [all, None];
    }

    /// Ends a flush after which nothing is set aside any more.
    pub(crate) fn end_flush(&self) {
        self.bounds.lock()[0] = None;
    }

    /// Parts of the head that are flushed one after the other, so that what a flush takes is taken for some of
    /// the series at a time.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let n_series = self.registry.read().n_series() as usize;
        let n = (n_series / SERIES_PER_PART).clamp(1, PARTS_MAX).next_power_of_two();
        (0..n).map(|i| Part { from: i * SHARDS / n, to: (i + 1) * SHARDS / n }).collect()
    }

    /// Sets all samples of a part aside. What was set aside before and not dropped stays set aside. False when
    /// there is nothing at all. The caller has begun a flush.
    pub(crate) fn freeze(&self, part: &Part) -> bool {
        let mut any = false;
        for shard in part.shards(&self.shards) {
            let mut shard = shard.lock();
            let Shard { series, targets, chunks, .. } = &mut *shard;
            targets.iter_mut().for_each(Target::freeze);
            for series in series.iter_mut() {
                if let Some(target) = targets.get_mut(series.target as usize) {
                    any |= series.freeze(&mut Home { target, chunks });
                }
            }
        }
        any
    }

    /// The order of all series that are there now, `known` if no other has come since. To be asked for after
    /// a part is set aside: a series that is not in the order is not written.
    pub(crate) fn write_order(&self, known: Option<WriteOrder>) -> WriteOrder {
        let registry = self.registry.read();
        let next_reference = registry.next_reference;
        match known.filter(|known| known.next_reference == next_reference) {
            Some(known) => known,
            None => WriteOrder { next_reference, order: registry.index.block_order() },
        }
    }

    /// Forgets what was set aside of a part.
    pub(crate) fn drop_frozen(&self, part: &Part) {
        for shard in part.shards(&self.shards) {
            let mut shard = shard.lock();
            let Shard { series, targets, chunks, .. } = &mut *shard;
            targets.iter_mut().for_each(Target::drop_frozen);
            for series in series.iter_mut() {
                series.drop_frozen(chunks);
                series.count_idle_flush();
            }
        }
    }

    /// The periods of `period_ms` in which frozen samples of a part lie, by number.
    pub(crate) fn frozen_periods(&self, part: &Part, period_ms: i64) -> BTreeSet<i64> {
        let mut periods = BTreeSet::new();
        let mut last = None;
        let mut add = |ts: i64| {
            let period = ts.div_euclid(period_ms);
            if last != Some(period) {
                last = Some(period);
                periods.insert(period);
            }
        };
        for shard in part.shards(&self.shards) {
            let shard = shard.lock();
            shard.targets.iter().flat_map(Target::frozen_timestamps).for_each(&mut add);
            shard.series.iter().for_each(|s| s.frozen_timestamps(&shard.chunks, &mut add));
        }
        periods
    }

    /// Hands out the frozen samples of a target's series inside `range`, some series at a time, in the order
    /// of a block, leaving out series without any. The caller excludes eviction.
    pub(crate) fn read_frozen(
        &self,
        WriteOrder { order, .. }: &WriteOrder,
        entity: EntityId,
        range: TimeRange,
        each: &mut dyn FnMut(&[FrozenSeries]) -> Result<()>,
    ) -> Result<()> {
        let places: Vec<(Place, SeriesOrd)> = {
            let registry = self.registry.read();
            let ords = registry.index.series_in_order(order, entity).into_iter();
            ords.filter_map(|ord| Some((registry.place(ord)?, ord))).collect()
        };
        let mut batch: Vec<FrozenSeries> = Vec::new();
        for some in places.chunks(SERIES_PER_BATCH) {
            let mut views = Vec::with_capacity(some.len());
            for run in some.chunk_by(|a, b| a.0.shard() == b.0.shard()) {
                let Some((first, _)) = run.first() else { continue };
                let mut shard = self.shard(*first).lock();
                for (place, ord) in run {
                    if let Some((series, mut home)) = shard.at(place.local()) {
                        views.push((*ord, series.view(&mut home, range, true)));
                    }
                }
            }
            let mut len = 0;
            for (ord, view) in views.iter().filter(|(_, view)| !view.is_empty()) {
                if batch.len() == len {
                    batch.push(FrozenSeries { ord: *ord, data: SeriesData::default() });
                }
                let Some(place) = batch.get_mut(len) else { break };
                place.ord = *ord;
                place.data.clear();
                view.read(range, &mut place.data).map_err(|cause| Error::Invalid {
                    what: format!("the head's own chunk does not decode: {cause}"),
                })?;
                len += usize::from(!place.data.is_empty());
            }
            match batch.get(..len) {
                Some(batch) if len > 0 => each(batch)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the records that must outlive the samples: series, metadata, exemplars. The caller excludes
    /// eviction.
    pub(crate) fn checkpoint(&self, log: Visit<'_>) -> Result<()> {
        self.checkpoint_series(log)?;
        let mut payload = Vec::new();
        let mut put = |kind: u8, payload: &mut Vec<u8>, all: bool| {
            if !payload.is_empty() && (all || payload.len() >= CHECKPOINT_RECORD_BYTES_TARGET) {
                log(RecordKind(kind), payload)?;
                payload.clear();
            }
            Ok(())
        };
        for (metric, list) in self.metadata() {
            for metadata in &list {
                records::put_metadata(&mut payload, &metric, metadata);
                put(records::METADATA, &mut payload, false)?;
            }
        }
        put(records::METADATA, &mut payload, true)?;
        for (reference, exemplar) in self.all_exemplars() {
            records::put_exemplar(&mut payload, reference, &exemplar);
            put(records::EXEMPLARS, &mut payload, false)?;
        }
        put(records::EXEMPLARS, &mut payload, true)
    }

    fn checkpoint_series(&self, log: Visit<'_>) -> Result<()> {
        let is_long =
            |encoder: &DefinitionEncoder| encoder.bytes() >= CHECKPOINT_RECORD_BYTES_TARGET;
        let mut encoder = DefinitionEncoder::default();
        let live = self.with_index(MemIndex::live);
        let mut ords = live.iter().map(SeriesOrd).peekable();
        while ords.peek().is_some() {
            let registry = self.registry.read();
            let mut left = SERIES_PER_LOCK;
            while let Some(ord) = ords.next_if(|_| left > 0 && !is_long(&encoder)) {
                left -= 1;
                if let Some(reference) = self.reference(&registry, ord) {
                    encoder.push(&registry.index, ord, reference);
                }
            }
            drop(registry);
            if is_long(&encoder)
                && let Some(payload) = encoder.take()
            {
                log(RecordKind(records::SERIES), payload)?;
            }
        }
        encoder.take().map_or(Ok(()), |payload| log(RecordKind(records::SERIES), payload))
    }

    fn all_exemplars(&self) -> Vec<(SeriesRef, Exemplar)> {
        let registry = self.registry.read();
        let all: Vec<(u32, Exemplar)> =
            self.exemplars.lock().iter().map(|(ord, e)| (ord, e.clone())).collect();
        let reference = |ord| self.reference(&registry, SeriesOrd(ord));
        all.into_iter().filter_map(|(ord, e)| Some((reference(ord)?, e))).collect()
    }

    fn reference(&self, registry: &Registry, ord: SeriesOrd) -> Option<SeriesRef> {
        let place = registry.place(ord)?;
        let shard = self.shard(place).lock();
        shard.series.get(place.local()).map(|series| series.reference)
    }
}
