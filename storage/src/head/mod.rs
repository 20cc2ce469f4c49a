//! The head: the mutable newest samples, rebuilt from the log when the store opens.
//!
//! Owns the series of the tenant (label index, last samples, open chunks), the exemplars and the
//! metadata. What is in the head is in the log as well until a flush has written it to a block.
//!
//! # Threads and locks
//!
//! Series are spread over [`SHARDS`] shards by target, each behind its lock. Locks are taken in this
//! order: places held, key bindings, registry, shard, exemplars or metadata, then the log's own. A sample is judged, applied and
//! queued for the log under its shard's lock, so that the log holds the samples of a series in the order
//! in which they were judged, and replay judges them the same. Nothing waits for the disk under a lock.

mod appender;
mod changes;
mod chunks;
mod creating;
mod definitions;
mod evict;
mod exemplars;
mod explore;
mod flush;
mod keys;
mod links;
mod loose;
mod metadata;
mod open_chunk;
mod paged;
mod records;
mod reference_map;
mod replay;
mod replay_apply;
mod replay_series;
mod replay_workers;
mod sample_record;
mod series;
mod symbols;
mod target;
mod value_column;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

pub use appender::{Appender, SeriesHandle};
pub use changes::Changes;
pub use explore::{Explore, Exploring};
pub(crate) use flush::{Part, WriteOrder};
pub(crate) use replay::Replayer;
pub use symbols::{SERIES_SYMBOLS_MAX, SymbolHash, SymbolKeys};
pub(crate) use view::SeriesView;

use crate::append::{Exemplar, Metadata};
use crate::error::{Error, Result};
use crate::index::{EntityId, MemIndex};
use crate::model::{Labels, Matcher, SeriesOrd, SeriesRef, TimeRange};
use crate::wal::{Lsn, RecordKind, Wal};
use appender::Buffers;
use chunks::{Chunks, Home};
use exemplars::ExemplarRing;
use explore::Marks;
use keys::KeyMap;
use metadata::MetadataTable;
use paged::Paged;
use series::MemSeries;
use target::Target;

/// The label that Prometheus gives to each scrape of its own.
const SCRAPE_LABEL: &str = "instance";
/// Parts of the head with a lock of their own.
const SHARDS: usize = 16;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// Series looked at under one lock before others get their turn.
const SERIES_PER_LOCK: usize = 1024;
/// New series for which the index is made smaller, when in the last round fewer than one in so many came.
const SETTLED_SERIES_MIN: u64 = 10_000;
const SETTLED_PART: u64 = 16;
/// Appender buffers kept for the next request.
const BUFFERS_KEPT_MAX: usize = 64;

/// Where a series lies: shard in the low bits, position inside it above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Place {
    fn new(shard: usize, local: usize) -> Self {
        Self((local as u32) << SHARD_BITS | shard as u32)
    }

    fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    fn local(self) -> usize {
        (self.0 >> SHARD_BITS) as usize
    }
}

#[derive(Debug, Default)]
struct Shard {
    series: Paged<MemSeries>,
    targets: Vec<Target>,
    chunks: Chunks,
    /// Places of series that went.
    free: Vec<u32>,
}

impl Shard {
    /// The series at `local` and where it lives.
    fn at(&mut self, local: usize) -> Option<(&mut MemSeries, Home<'_>)> {
        let series = self.series.get_mut(local)?;
        let target = self.targets.get_mut(series.target as usize)?;
        Some((series, Home { target, chunks: &mut self.chunks }))
    }

    /// The shard of an entity.
    fn number_of(entity: EntityId) -> usize {
        entity.0 as usize % SHARDS
    }

    /// Where the target of an entity lies in its shard.
    fn target_of(entity: EntityId) -> usize {
        entity.0 as usize / SHARDS
    }

    /// Keeps a series where one went, or behind all others. Answers its place in the shard.
    fn add(&mut self, series: MemSeries) -> usize {
        if let Some(local) = self.free.pop()
            && let Some(place) = self.series.get_mut(local as usize)
        {
            *place = series;
            return local as usize;
        }
        self.series.push(series);
        self.series.len() - 1
    }

    /// Gives the place of a series without samples to the next one.
    fn free(&mut self, local: usize) {
        if let Some(series) = self.series.get_mut(local) {
            *series = MemSeries::nobody();
            self.free.push(local as u32);
        }
    }

    /// Forgets what is known of a target whose series are gone: its number may name another one next.
    fn forget_target(&mut self, target: usize) {
        if let Some(target) = self.targets.get_mut(target) {
            *target = Target::default();
        }
    }

    /// Number of series.
    fn n_series(&self) -> usize {
        self.series.len() - self.free.len()
    }
}

/// Which series there are.
struct Registry {
    index: MemIndex,
    /// By `SeriesOrd`; of no meaning where the index has no series.
    places: Paged<Place>,
    next_reference: u64,
}

impl Registry {
    fn place(&self, ord: SeriesOrd) -> Option<Place> {
        self.places.get(ord.0 as usize).copied()
    }

    fn set_place(&mut self, ord: SeriesOrd, place: Place) {
        match self.places.get_mut(ord.0 as usize) {
            Some(old) => *old = place,
            None => self.places.push(place),
        }
    }

    fn n_series(&self) -> u64 {
        self.index.n_series()
    }
}

/// Limits of the head.
#[derive(Debug, Clone)]
pub(crate) struct HeadOptions {
    pub(crate) target_labels: Vec<String>,
    pub(crate) future_max_ms: i64,
    pub(crate) series_max: u64,
    pub(crate) exemplars_max: usize,
}

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct HeadCounters {
    pub(crate) samples: AtomicU64,
    pub(crate) late: AtomicU64,
}

/// See the module.
pub(crate) struct Head {
    /// Absent while the log is replayed.
    wal: Option<Arc<Wal>>,
    options: HeadOptions,
    registry: RwLock<Registry>,
    /// Held for reading by whoever knows a place or a `SeriesOrd` without holding the registry.
    places_held: RwLock<()>,
    shards: Vec<Mutex<Shard>>,
    keys: KeyMap,
    symbols: SymbolKeys,
    exemplars: Mutex<ExemplarRing>,
    metadata: Mutex<MetadataTable>,
    buffers: Mutex<Vec<Buffers>>,
    /// Times of the samples held: those set aside for a flush, and those since.
    bounds: Mutex<[Option<TimeRange>; 2]>,
    /// Which references were the next ones when.
    marks: Mutex<Marks>,
    /// The next reference when the index was settled, and a round of maintenance ago.
    growth: Mutex<[u64; 2]>,
    /// Whether no series may be added for now, whatever the limit on their number says.
    pub(crate) closed_to_series: AtomicBool,
    /// What came late or went.
    pub(crate) changes: Changes,
    pub(crate) counters: HeadCounters,
}

/// Memory of one selected series apart from its labels: its places in three lists, and its view of a chunk.
const SELECTED_BYTES: u64 = (size_of::<(Place, SeriesOrd)>()
    + size_of::<(SeriesOrd, SeriesView)>()
    + size_of::<HeadSelected>()
    + 96) as u64;

/// A series of the head as a query sees it.
pub(crate) struct HeadSelected {
    pub(crate) labels: Labels,
    pub(crate) view: SeriesView,
}

/// What the head holds.
#[derive(Debug, Default)]
pub(crate) struct HeadSize {
    pub(crate) series: u64,
    pub(crate) chunks: u64,
    pub(crate) heap_bytes: u64,
    pub(crate) exemplars: u64,
}

impl Head {
    /// An empty head that takes records of a replay, and batches once it has its log.
    pub(crate) fn new(options: HeadOptions) -> Self {
        let index = MemIndex::new(&options.target_labels);
        Self {
            wal: None,
            registry: RwLock::new(Registry { index, places: Paged::default(), next_reference: 1 }),
            places_held: RwLock::new(()),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            keys: KeyMap::new(),
            symbols: SymbolKeys::default(),
            exemplars: Mutex::new(ExemplarRing::new(options.exemplars_max)),
            metadata: Mutex::new(MetadataTable::default()),
            buffers: Mutex::new(Vec::new()),
            bounds: Mutex::new([None; 2]),
            marks: Mutex::new(Marks::new(1)),
            growth: Mutex::new([0; 2]),
            closed_to_series: AtomicBool::new(false),
            changes: Changes::default(),
            counters: HeadCounters::default(),
            options,
        }
    }

    /// Gives the head the log that its batches go to.
    pub(crate) fn set_wal(&mut self, wal: Arc<Wal>) {
        self.wal = Some(wal);
        // What was replayed is not new.
        self.marks = Mutex::new(Marks::new(self.registry.get_mut().next_reference));
    }

    fn wal(&self) -> Result<&Wal> {
        let why = "the log is being replayed; try again when the server is ready";
        self.wal.as_deref().ok_or(Error::Unavailable { why })
    }

    /// Queues a record of what was applied under the lock that the caller still holds. When the log
    /// refuses it in spite of [`Wal::admit`], memory and log have parted, and the log takes nothing more.
    fn log_applied(&self, kind: u8, payload: &[u8]) -> Result<Lsn> {
        let wal = self.wal()?;
        wal.log(RecordKind(kind), payload).inspect_err(|cause| wal.refuse_further(cause))
    }

    fn shard(&self, place: Place) -> &Mutex<Shard> {
        &self.shards[place.shard()]
    }

    /// Begins a batch.
    pub(crate) fn appender(&self) -> Appender<'_> {
        let buffers = self.buffers.lock().pop().unwrap_or_default();
        Appender::new(self, buffers)
    }

    fn keep_buffers(&self, buffers: Buffers) {
        let mut kept = self.buffers.lock();
        if kept.len() < BUFFERS_KEPT_MAX {
            kept.push(buffers);
        }
    }

    /// Hash of a series' label bytes as its sender wrote them.
    pub(crate) fn series_key(&self, raw_labels: &[u8]) -> u128 {
        self.keys.key(raw_labels)
    }

    /// Keys of series that come as symbols.
    pub(crate) const fn symbols(&self) -> &SymbolKeys {
        &self.symbols
    }

    /// Creates the series in the registry and its shard. The caller holds the registry.
    fn create(&self, registry: &mut Registry, ord: SeriesOrd, reference: SeriesRef) -> Place {
        let entity = registry.index.entity_of(ord).unwrap_or(EntityId(0));
        let (shard_number, target) = (Shard::number_of(entity), Shard::target_of(entity));
        let mut shard = self.shards[shard_number].lock();
        if shard.targets.len() <= target {
            shard.targets.resize_with(target + 1, Target::default);
        }
        if let Some(target) = shard.targets.get_mut(target)
            && !target.scraped_as_one
        {
            target.scraped_as_one = registry.index.entity_has(entity, SCRAPE_LABEL);
        }
        let local = shard.add(MemSeries::new(reference, ord, target as u32));
        let place = Place::new(shard_number, local);
        registry.set_place(ord, place);
        registry.next_reference = registry.next_reference.max(reference.0.saturating_add(1));
        place
    }

    /// The series that satisfy `matchers` and have samples inside `range`; with `labels_only` without them.
    /// No lock is held for more than some series at a time, so that appends go on; in between `charge` hears
    /// of series and of bytes that are taken for them, and may end it.
    pub(crate) fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        labels_only: bool,
        charge: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Vec<HeadSelected>> {
        let _held = self.places_held.read();
        let mut wanted = self.places_of(|index| index.resolve(matchers))?;
        charge(wanted.len() as u64, wanted.len() as u64 * SELECTED_BYTES)?;
        wanted.sort_unstable_by_key(|(place, _)| (place.shard(), place.local()));
        let mut found: Vec<(SeriesOrd, SeriesView)> = Vec::new();
        for run in wanted.chunk_by(|a, b| a.0.shard() == b.0.shard()) {
            for some in run.chunks(SERIES_PER_LOCK) {
                charge(found.len() as u64, 0)?;
                let Some((first, _)) = some.first() else { continue };
                let mut shard = self.shard(*first).lock();
                for (place, ord) in some {
                    let Some((series, mut home)) = shard.at(place.local()) else { continue };
                    let view = series.view(&mut home, range, false);
                    if !view.is_empty() {
                        found.push((*ord, if labels_only { SeriesView::default() } else { view }));
                    }
                }
            }
        }
        let mut selected = Vec::with_capacity(found.len());
        let mut found = found.into_iter().peekable();
        while found.peek().is_some() {
            let mut label_bytes = 0;
            {
                let registry = self.registry.read();
                let some = found.by_ref().take(SERIES_PER_LOCK);
                selected.extend(some.map(|(ord, view)| {
                    let labels = registry.index.labels(ord);
                    label_bytes += labels.heap_bytes();
                    HeadSelected { labels, view }
                }));
            }
            charge(selected.len() as u64, label_bytes)?;
        }
        Ok(selected)
    }

    /// Where the series lie that `resolve` names. The caller keeps them there.
    fn places_of(
        &self,
        resolve: impl FnOnce(&MemIndex) -> Result<RoaringBitmap>,
    ) -> Result<Vec<(Place, SeriesOrd)>> {
        let registry = self.registry.read();
        let ords = resolve(&registry.index)?;
        let found = ords.iter().map(SeriesOrd);
        Ok(found.filter_map(|ord| Some((registry.place(ord)?, ord))).collect())
    }

    /// Exemplars inside `range` of the series that satisfy any of `sets`.
    pub(crate) fn exemplars(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let registry = self.registry.read();
        let mut ords = RoaringBitmap::new();
        for matchers in sets {
            ords |= registry.index.resolve(matchers)?;
        }
        let ring = self.exemplars.lock();
        let mut found: Vec<(Labels, Vec<Exemplar>)> = ords
            .iter()
            .filter_map(|ord| {
                let mut list: Vec<Exemplar> =
                    ring.of(ord).filter(|e| range.contains(e.ts)).cloned().collect();
                list.sort_by_key(|e| e.ts);
                (!list.is_empty()).then(|| (registry.index.labels(SeriesOrd(ord)), list))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// All metadata, by metric.
    pub(crate) fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        self.metadata.lock().all().clone()
    }

    /// Deletes samples inside `range` of the series that satisfy any of `sets`, in memory and in the log;
    /// durable on return. The caller excludes flushes and eviction. Returns how many series lost samples.
    pub(crate) fn delete(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Result<u64> {
        let mut places = self.places_of(|index| {
            let mut ords = RoaringBitmap::new();
            for matchers in sets {
                ords |= index.resolve(matchers)?;
            }
            Ok(ords)
        })?;
        places.sort_unstable_by_key(|(place, _)| (place.shard(), place.local()));
        let mut n_deleted = 0;
        for run in places.chunk_by(|a, b| a.0.shard() == b.0.shard()) {
            for some in run.chunks(SERIES_PER_LOCK) {
                n_deleted += self.delete_some(some, range)?;
            }
        }
        self.wal()?.flush()?;
        Ok(n_deleted)
    }

    /// As [`Head::delete`], of some series of one shard. All of them are logged: of one that has no samples
    /// here any more the log may still have some, which would be back after a restart.
    fn delete_some(&self, places: &[(Place, SeriesOrd)], range: TimeRange) -> Result<u64> {
        let Some((first, _)) = places.first() else { return Ok(0) };
        let _admitted = self.wal()?.admit(places.len() * 10 + 64)?;
        let mut shard = self.shard(*first).lock();
        let mut references = Vec::with_capacity(places.len());
        let mut n_deleted = 0;
        for (place, _) in places {
            if let Some((series, mut home)) = shard.at(place.local()) {
                n_deleted += u64::from(series.delete(&mut home, range));
                references.push(series.reference);
            }
        }
        let mut payload = Vec::new();
        records::put_deletion(&mut payload, range, &references);
        self.log_applied(records::DELETION, &payload)?;
        Ok(n_deleted)
    }

    /// Runs `f` on the label index.
    pub(crate) fn with_index<T>(&self, f: impl FnOnce(&MemIndex) -> T) -> T {
        f(&self.registry.read().index)
    }

    /// Memory that the samples in chunks take.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().chunks.links.bytes_in_use() as u64).sum()
    }

    /// Makes the label index smaller once many series have come and no more are coming. Some milliseconds for
    /// a million series.
    pub(crate) fn settle_index(&self) {
        let now = self.registry.read().next_reference;
        let mut growth = self.growth.lock();
        let [settled, before] = *growth;
        growth[1] = now;
        let (many, few) = (now.saturating_sub(settled), now.saturating_sub(before));
        if many > SETTLED_SERIES_MIN && few < many / SETTLED_PART {
            growth[0] = now;
            self.registry.write().index.optimize();
        }
    }

    /// What is held now. Walks the targets, not the series.
    pub(crate) fn size(&self) -> HeadSize {
        let mut size = HeadSize::default();
        for shard in &self.shards {
            let shard = shard.lock();
            size.series += shard.n_series() as u64;
            size.chunks += shard.chunks.n_chunks() as u64;
            let targets: usize = shard.targets.iter().map(Target::heap_bytes).sum();
            size.heap_bytes +=
                (targets + shard.chunks.heap_bytes() + shard.series.heap_bytes()) as u64;
        }
        size.heap_bytes += self.keys.heap_bytes() as u64;
        size.exemplars = self.exemplars.lock().len() as u64;
        size
    }

    /// First and last timestamp held.
    pub(crate) fn bounds(&self) -> Option<TimeRange> {
        let bounds = self.bounds.lock();
        bounds.iter().flatten().copied().reduce(|a, b| a.hull(&b))
    }

    fn widen_bounds(&self, seen: Option<TimeRange>) {
        if let Some(seen) = seen {
            let mut bounds = self.bounds.lock();
            bounds[1] = Some(bounds[1].map_or(seen, |known| known.hull(&seen)));
        }
    }

    fn count_sample(&self, n: u64, late: u64) {
        self.counters.samples.fetch_add(n, Ordering::Relaxed);
        self.counters.late.fetch_add(late, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
