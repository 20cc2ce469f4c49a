//! One tenant's database: its log, head and blocks; in `upkeep` and `merging`, the movers between them.
//!
//! # Locks
//!
//! `merging` is held for as long as blocks are merged, and taken before all others; `rolling` likewise for as long
//! as days are rolled up, never together with `merging`. `maintenance` is held by
//! whoever moves or deletes samples (flush, retention, deletion, the beginning and the end of a merge) and taken
//! next. `blocks` is a snapshot behind a short lock: readers clone an `Arc`. The head's
//! own locks come last. Readers ask the head first and take the blocks second, and a flush publishes its
//! block before it drops what it set aside in the head: no sample is ever out of sight.

#[cfg(test)]
mod flush_tests;
mod forgetting;
mod importing;
mod merging;
#[cfg(test)]
mod merging_tests;
mod rolling;
mod upkeep;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::append::{Exemplar, Metadata};
use crate::block::{Block, BlockId, Loaded, Quarantined, load_blocks, remove_block};
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};
use crate::head::{Appender, Changes, Explore, Exploring, Head, HeadOptions, Replayer, SymbolKeys};
use crate::history::{History, Metrics, RowCache};
use crate::model::{Labels, Matcher, TimeRange};
use crate::options::StoreOptions;
use crate::query::{Budget, Past, Queryable, SelectHints, Selection, SeriesSet, Wanted};
use crate::stats::DbStats;
use crate::wal::{Progress, SegmentNumber, Wal, WalOptions};

pub use importing::Importing;
use merging::Merging;
pub use rolling::RolledDay;
use rolling::Rolling;

/// The blocks as readers see them.
struct BlockSet {
    /// In the order in which their samples were accepted, where they share a time.
    blocks: Vec<Arc<Block>>,
    quarantined: Arc<[Quarantined]>,
}

/// What only maintenance needs.
struct Maintenance {
    next_id: u64,
    last_flush_ms: Option<i64>,
    /// Blocks that a compaction could not read: left alone until the next start.
    damaged: BTreeSet<BlockId>,
    /// Directories of blocks that no reader sees any more and that are still to be removed.
    doomed: BTreeSet<BlockId>,
    /// All that is logged before this segment is in blocks, and the log still has to be told.
    flushed_before: Option<SegmentNumber>,
}

#[derive(Default)]
struct Counters {
    flushes: AtomicU64,
    compactions: AtomicU64,
    compaction_micros: AtomicU64,
    evicted: AtomicU64,
    orphans: AtomicU64,
}

/// See the module.
pub struct Db {
    disk: Arc<dyn Disk>,
    blocks_dir: PathBuf,
    options: StoreOptions,
    head: Head,
    wal: Arc<Wal>,
    blocks: RwLock<Arc<BlockSet>>,
    maintenance: Mutex<Maintenance>,
    merging: Merging,
    /// `None` when its log is damaged.
    history: Option<History>,
    rolling: Rolling,
    counters: Counters,
    dropped: Arc<AtomicU64>,
}

impl Db {
    /// Opens the database in `dir`, which is created when missing: loads the blocks, replays the log.
    /// `progress` hears of the log's files and of the samples so far.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: StoreOptions,
        rows: Arc<RowCache>,
        progress: &mut dyn FnMut(Progress, u64),
    ) -> Result<Self> {
        let blocks_dir = dir.join("blocks");
        create_dir_durable(&*disk, &blocks_dir)?;
        let Loaded { blocks, quarantined, superseded } = load_blocks(&disk, &blocks_dir)?;
        for id in &superseded {
            remove_block(&*disk, &blocks_dir, *id)?;
        }
        let next_id = next_block_id(&*disk, &blocks_dir)?;
        let mut head = Head::new(HeadOptions {
            target_labels: options.target_labels.clone(),
            future_max_ms: i64::try_from(options.future_max.as_millis()).unwrap_or(i64::MAX),
            series_max: options.series_max,
            exemplars_max: options.exemplars_max,
        });
        let (wal, orphans) = open_wal(&disk, &dir.join("wal"), &options, &head, progress)?;
        let wal = Arc::new(wal);
        head.set_wal(Arc::clone(&wal));
        let mut blocks: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
        blocks.sort_by_key(|block| block.meta().acceptance());
        let history = open_history(&disk, dir, rows)?;
        if let Some(history) = &history
            && quarantined.is_empty()
            && let Some(first) = blocks.iter().map(|block| block.range().min).min()
        {
            history.samples_begin_at(first);
        }
        if let (Some(history), Some(objects)) = (&history, &options.objects) {
            history.connect(Arc::clone(objects), options.history_kept_max);
        }
        let counters = Counters::default();
        counters.orphans.store(orphans, Ordering::Relaxed);
        Ok(Self {
            disk,
            blocks_dir,
            options,
            head,
            wal,
            blocks: RwLock::new(Arc::new(BlockSet { blocks, quarantined: quarantined.into() })),
            maintenance: Mutex::new(Maintenance {
                next_id,
                last_flush_ms: None,
                damaged: BTreeSet::new(),
                doomed: BTreeSet::new(),
                flushed_before: None,
            }),
            merging: Merging::default(),
            history,
            rolling: Rolling::default(),
            counters,
            dropped: Arc::default(),
        })
    }

    /// Begins a batch. Cheap.
    pub fn appender(&self) -> Appender<'_> {
        self.head.appender()
    }

    /// A 128-bit hash of a series' label bytes as its sender wrote them, keyed by a secret of this process.
    #[must_use]
    pub fn series_key(&self, raw_labels: &[u8]) -> u128 {
        self.head.series_key(raw_labels)
    }

    /// Keys of series that come as places in a table of symbols, keyed by a secret of this process.
    #[must_use]
    pub const fn symbol_keys(&self) -> &SymbolKeys {
        self.head.symbols()
    }

    /// Refuses series that are not in memory yet, or takes them again. While they are refused the head is
    /// flushed early, so that at least its samples leave the memory.
    pub fn close_to_series(&self, closed: bool) {
        self.head.closed_to_series.store(closed, Ordering::Relaxed);
    }

    /// Which days changed after somebody had counted them.
    #[must_use]
    pub const fn changes(&self) -> &Changes {
        &self.head.changes
    }

    fn snapshot(&self) -> Arc<BlockSet> {
        Arc::clone(&self.blocks.read())
    }

    fn publish(&self, change: impl FnOnce(&mut Vec<Arc<Block>>)) {
        let mut current = self.blocks.write();
        let mut blocks = current.blocks.clone();
        change(&mut blocks);
        blocks.sort_by_key(|block| block.meta().acceptance());
        let quarantined = Arc::clone(&current.quarantined);
        *current = Arc::new(BlockSet { blocks, quarantined });
    }

    fn selection<'a>(
        &'a self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        budget: &Budget,
    ) -> Result<Selection<'a>> {
        let mut memory = budget.reserve(0)?;
        let head = self.head.select(matchers, range, hints.labels_only, &mut |series, bytes| {
            budget.check_series(series)?;
            memory.add(bytes)
        })?;
        let set = self.snapshot();
        let blocks = set.blocks.iter().filter(|b| b.range().overlaps(&range)).cloned().collect();
        let missing = set
            .quarantined
            .iter()
            .map(|q| {
                format!(
                    "block {} cannot be read, its samples are missing: {}",
                    q.path.display(),
                    q.why
                )
            })
            .collect();
        let dropped = Arc::clone(&self.dropped);
        let SelectHints { any_order, labels_only, .. } = *hints;
        let wanted = Wanted { matchers, range, any_order, labels_only, ords: None };
        // Last: what a flush took from the head before it was asked, the state knows to be missing in rows.
        let past = self.history.as_ref().map(|history| Past { history, state: history.state() });
        Selection::new((head, memory), blocks, &wanted, budget, missing, dropped, past)
    }

    /// The label sets that satisfy any of `sets` (each one all of its matchers) and may have samples
    /// inside `range`, ascending.
    pub fn series(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Vec<Labels>> {
        let hints = SelectHints { labels_only: true, any_order: true, ..SelectHints::default() };
        let mut all = BTreeSet::new();
        for matchers in sets {
            all.extend(self.selection(matchers, range, &hints, budget)?.into_labels());
        }
        Ok(all.into_iter().collect())
    }

    /// Names of the labels of series that satisfy any of `sets`, or of all when there is none.
    pub fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        if !sets.is_empty() {
            for labels in self.series(sets, range, budget)? {
                for (name, _) in &labels {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
            return Ok(names.into_iter().collect());
        }
        if self.head.bounds().is_some_and(|bounds| bounds.overlaps(&range)) {
            names.extend(self.head.with_index(|index| index.label_names(None))?);
        }
        for block in self.snapshot().blocks.iter().filter(|b| b.range().overlaps(&range)) {
            budget.check()?;
            names.extend(unless_damaged(block, block.label_names(None))?);
        }
        self.series_of_rows(range, budget, &mut |labels| {
            for (name, _) in labels {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
            Ok(())
        })?;
        Ok(names.into_iter().collect())
    }

    /// Values of the label `name` of series that satisfy any of `sets`, or of all when there is none.
    pub fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Vec<String>> {
        if !sets.is_empty() {
            let mut values = BTreeSet::new();
            for labels in self.series(sets, range, budget)? {
                let value = labels.get(name);
                if !value.is_empty() && !values.contains(value) {
                    values.insert(value.to_owned());
                }
            }
            return Ok(values.into_iter().collect());
        }
        // What an index gives was sorted in a tree: for a moment it is held twice.
        let mut memory = budget.reserve(0)?;
        let mut values = Vec::new();
        let mut unite = |mut found: Vec<String>| {
            let bytes = |value: &String| 2 * (value.len() + 2 * size_of::<String>()) as u64;
            memory.add(found.iter().map(bytes).sum())?;
            if values.is_empty() {
                values = found;
            } else {
                values.append(&mut found);
                values.sort_unstable();
                values.dedup();
            }
            budget.check()
        };
        if self.head.bounds().is_some_and(|bounds| bounds.overlaps(&range)) {
            unite(self.head.with_index(|index| index.label_values(name, None))?)?;
        }
        for block in self.snapshot().blocks.iter().filter(|b| b.range().overlaps(&range)) {
            unite(unless_damaged(block, block.label_values(name, None))?)?;
        }
        let mut of_rows = BTreeSet::new();
        self.series_of_rows(range, budget, &mut |labels| {
            let value = labels.get(name);
            if !value.is_empty() && !of_rows.contains(value) {
                of_rows.insert(value.to_owned());
            }
            Ok(())
        })?;
        if !of_rows.is_empty() {
            unite(of_rows.into_iter().collect())?;
        }
        Ok(values)
    }

    /// Shows the label sets of the rows of days inside `range` whose samples are gone.
    fn series_of_rows(
        &self,
        range: TimeRange,
        budget: &Budget,
        show: &mut dyn FnMut(&Labels) -> Result<()>,
    ) -> Result<()> {
        let Some(history) = &self.history else { return Ok(()) };
        let past = Past { history, state: history.state() };
        // What cannot be read of them is an error in the log.
        let mut missing = Vec::new();
        let memory = RefCell::new(budget.reserve(0)?);
        let charge = |bytes: u64| {
            memory.borrow_mut().add(bytes)?;
            budget.check()
        };
        let days = past.days_without_samples(range);
        let read = past.series_of(&days, &Metrics::All, &mut missing, &charge, show);
        history.trim();
        read
    }

    /// What senders say about their metrics.
    pub fn metadata(&self) -> BTreeMap<String, Vec<Metadata>> {
        self.head.metadata()
    }

    /// Exemplars inside `range` of the series that satisfy any of `sets`, ascending by label set, then time.
    pub fn exemplars(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        self.head.exemplars(sets, range)
    }

    /// Deletes the samples inside `range` of the series that satisfy any of `sets`; durable on return.
    /// Answers how many series of the head and the blocks were touched. A block that is damaged does not
    /// keep the deletion from the others; its error is answered then.
    pub fn delete(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Result<u64> {
        let mut maintenance = self.maintenance.lock();
        // A block that no reader sees would not lose its samples, and the next start would load it.
        self.remove_doomed(&mut maintenance)?;
        let touched = self.delete_everywhere(sets, range);
        // What failed half-way has changed something, too.
        self.head.changes.note_range(range);
        touched
    }

    fn delete_everywhere(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Result<u64> {
        let mut touched = self.head.delete(sets, range)?;
        let mut answer = Ok(());
        for block in self.snapshot().blocks.iter().filter(|b| b.range().overlaps(&range)) {
            match self.delete_in_block(block, sets, range) {
                Ok(n_series) => touched += n_series,
                Err(Error::Corrupt(cause)) => answer = answer.and(Err(cause.into())),
                Err(error) => return Err(error),
            }
        }
        answer.map(|()| touched)
    }

    fn delete_in_block(
        &self,
        block: &Block,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<u64> {
        let mut deleted = Vec::new();
        for matchers in sets {
            for ord in block.select(matchers)? {
                if block.may_have(ord, range)? {
                    deleted.push((ord, range));
                }
            }
        }
        deleted.sort_unstable_by_key(|(ord, _)| *ord);
        deleted.dedup_by_key(|(ord, _)| *ord);
        if !deleted.is_empty() {
            let held = block.range();
            let hit = TimeRange::new(range.min.max(held.min), range.max.min(held.max));
            if let Some(history) = &self.history {
                history.samples_go(hit)?;
            }
            block.add_tombstones(&deleted)?;
        }
        Ok(deleted.len() as u64)
    }

    /// Before samples inside `range` come to blocks or go from them: rows of theirs are outdated from then on.
    fn tell_history(&self, range: TimeRange) -> Result<()> {
        self.history.as_ref().map_or(Ok(()), |history| history.samples_change(range))
    }

    /// Syncs the log and refuses further writes.
    pub(crate) fn close(&self) -> Result<()> {
        let _maintenance = self.maintenance.lock();
        self.wal.close()
    }

    /// Where the series in memory come from, and which of them are new. `now_ms` is the caller's clock.
    pub fn explore(&self, wanted: &Explore<'_>, now_ms: i64, budget: &Budget) -> Result<Exploring> {
        let mut memory = budget.reserve(0)?;
        self.head.explore(wanted, now_ms, &mut |bytes| {
            memory.add(bytes)?;
            budget.check()
        })
    }

    /// What there is and what was done.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        let (head, wal, set) = (self.head.size(), self.wal.stats(), self.snapshot());
        let bounds = self.head.bounds();
        let blocks = || set.blocks.iter();
        let sum = |f: &dyn Fn(&Block) -> u64| blocks().map(|b| f(b)).sum::<u64>();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let history = self.history.as_ref().map(History::state);
        let remote = self.history.as_ref().and_then(History::remote_stats).unwrap_or_default();
        let tables = history.as_ref().map(|state| state.costs()).unwrap_or_default();
        DbStats {
            head_series: head.series,
            head_chunks: head.chunks,
            head_bytes: head.heap_bytes,
            head_min_ts: bounds.map(|b| b.min),
            head_max_ts: bounds.map(|b| b.max),
            exemplars: head.exemplars,
            samples_appended: load(&self.head.counters.samples),
            out_of_order_samples: load(&self.head.counters.late),
            duplicate_samples_dropped: load(&self.dropped),
            wal,
            wal_orphans: load(&self.counters.orphans),
            blocks: blocks().len() as u64,
            block_bytes: sum(&Block::bytes),
            block_series: sum(&|b| b.meta().n_series),
            block_samples: sum(&|b| b.meta().n_samples),
            quarantined_blocks: set.quarantined.len() as u64,
            flushes: load(&self.counters.flushes),
            compactions: load(&self.counters.compactions),
            series_evicted: load(&self.counters.evicted),
            compaction_seconds: Duration::from_micros(load(&self.counters.compaction_micros))
                .as_secs_f64(),
            days_rolled_up: load(&self.rolling.days),
            rollup_seconds: Duration::from_micros(load(&self.rolling.micros)).as_secs_f64(),
            history_bytes: tables.iter().map(|table| table.size.bytes).sum(),
            history_rows: tables.iter().map(|table| table.size.rows).sum(),
            history_tables: tables,
            rolling: self.rolling.stats(),
            history_published: remote.published,
            history_behind_commits: remote.behind_commits,
            history_behind_seconds: remote.behind_seconds,
            history_published_files: remote.files,
            history_published_bytes: remote.bytes,
            history_publish_failures: remote.errors,
            history_publish_stopped: remote.stopped,
            min_ts: blocks().map(|b| b.range().min).chain(bounds.map(|b| b.min)).min(),
            max_ts: blocks().map(|b| b.range().max).chain(bounds.map(|b| b.max)).max(),
        }
    }
}

impl Queryable for Db {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        budget: &Budget,
    ) -> Result<Box<dyn SeriesSet + 'a>> {
        Ok(Box::new(self.selection(matchers, range, hints, budget)?))
    }
}

/// Nothing where the block is damaged: the others still answer.
fn unless_damaged(block: &Block, read: Result<Vec<String>>) -> Result<Vec<String>> {
    match read {
        Err(Error::Corrupt(cause)) => {
            tracing::error!(%cause, block = %block.meta().id, "labels of a block cannot be read");
            Ok(Vec::new())
        }
        read => read,
    }
}

/// Opens the history beside the blocks. One whose commits are damaged is left as it is: samples are there all
/// the same.
fn open_history(disk: &Arc<dyn Disk>, dir: &Path, rows: Arc<RowCache>) -> Result<Option<History>> {
    let tenant = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match History::open_sharing(disk, &dir.join("history"), tenant, rows) {
        Ok(history) => Ok(Some(history)),
        Err(Error::Corrupt(cause)) => {
            tracing::error!(%cause, "the history is damaged; it stays as it is and is neither read nor written");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One more than the highest number of any directory, quarantined ones and leftovers included.
fn next_block_id(disk: &dyn Disk, blocks_dir: &Path) -> Result<u64> {
    let entries = disk.list_dir(blocks_dir)?;
    let number = |name: &str| Some(BlockId::parse(name.split('.').next()?)?.0);
    let last = entries.iter().filter_map(|entry| number(&entry.name)).max().unwrap_or(0);
    Ok(last.saturating_add(1))
}

/// Replays the log into `head`. Answers the log and how many entries had no series.
fn open_wal(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &StoreOptions,
    head: &Head,
    progress: &mut dyn FnMut(Progress, u64),
) -> Result<(Wal, u64)> {
    let wal_options = WalOptions {
        sync: options.wal_sync,
        segment_bytes: options.wal_segment_bytes,
        ..WalOptions::default()
    };
    let (opened, orphans) = std::thread::scope(|scope| {
        let replayer = std::cell::RefCell::new(Replayer::in_parallel(head, scope));
        let mut visit = |kind: crate::wal::RecordKind, payload: &[u8]| {
            if let Err(cause) = replayer.borrow_mut().apply(kind.0, payload) {
                tracing::error!(%cause, kind = kind.0, "a log record does not decode; its rest is left out");
            }
            Ok(())
        };
        let mut told = |p: Progress| progress(p, replayer.borrow().samples());
        let opened = Wal::open(Arc::clone(disk), dir, wal_options, &mut visit, &mut told);
        replayer.borrow_mut().finish();
        (opened, replayer.borrow().orphans())
    });
    let (wal, recovery) = opened?;
    for damage in &recovery.damage {
        tracing::error!(at = %damage.at, lost = ?damage.lost, copy = ?damage.copy, "the log is damaged");
    }
    if let Some(torn) = &recovery.torn {
        tracing::info!(at = %torn, "the log's tail was never acknowledged and is left out");
    }
    if orphans > 0 {
        tracing::error!(
            entries = orphans,
            "log entries of series whose definition is lost were left out"
        );
    }
    Ok((wal, orphans))
}
