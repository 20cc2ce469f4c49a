//! Merging blocks, beside everything else.
//!
//! A merge may take long. It holds `merging`, so that there is one at a time, and `maintenance` only to choose
//! its blocks and to put the result in their place: flushes, deletions and retention go on meanwhile. What they
//! do to a source makes the merge worthless: it is thrown away and tried again. For that a block gets its
//! name, by which it takes the place of its sources after a crash too, under the lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{Db, Maintenance};
use crate::block::{Block, BlockId, BlockMeta, Tombstones};
use crate::compact::{self, Compacted};
use crate::error::{Error, Result};

/// How long a merge in the background works before it pauses for as long: it takes half a core at most.
const WORK_MAX: Duration = Duration::from_millis(10);
/// Longest pause: a slow disk is no reason to wait long.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Who merges, and who wants it to end.
#[derive(Default)]
pub(super) struct Merging {
    lock: Mutex<()>,
    /// Callers that wait for a merge of their own: the one that is running makes haste.
    waiting: AtomicUsize,
    stopped: AtomicBool,
}

impl Merging {
    fn enter(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.lock.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }
}

/// What became of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    /// There was nothing to merge, or no room.
    Nothing,
    /// Done, or a damaged source is from now on left alone.
    Done,
    /// A source was changed meanwhile.
    Outrun,
}

/// Makes a merge give way, and ends it when the store closes.
impl Merging {
    /// [`Error::Canceled`] once the store is about to be closed.
    fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) { Err(Error::Canceled) } else { Ok(()) }
    }
}

pub(super) struct Pace<'a> {
    merging: &'a Merging,
    in_background: bool,
    begun: Instant,
}

impl<'a> Pace<'a> {
    pub(super) fn new(merging: &'a Merging, in_background: bool) -> Self {
        Self { merging, in_background, begun: Instant::now() }
    }

    pub(super) fn step(&mut self) -> Result<()> {
        self.merging.check()?;
        if self.in_background && self.merging.waiting.load(Ordering::Relaxed) == 0 {
            let worked = self.begun.elapsed();
            if worked >= WORK_MAX {
                std::thread::sleep(worked.min(PAUSE_MAX));
                self.begun = Instant::now();
            }
        }
        Ok(())
    }
}

impl Db {
    /// Rewrites every block that has deleted samples without them. A damaged block is left out; its error
    /// is answered when the others are done.
    pub fn clean_tombstones(&self) -> Result<()> {
        let _merging = self.merging.enter();
        let mut answer = Ok(());
        let mut damaged = BTreeSet::new();
        loop {
            let set = self.snapshot();
            let dirty = set.blocks.iter().find(|block| {
                !block.tombstones().is_empty() && !damaged.contains(&block.meta().id)
            });
            let Some(block) = dirty else { return answer };
            match self.merge(std::slice::from_ref(block), false) {
                Err(Error::Corrupt(cause)) => {
                    damaged.insert(block.meta().id);
                    answer = answer.and(Err(cause.into()));
                }
                done => drop(done?),
            }
        }
    }

    /// Flushes the head to blocks now, merges whatever may be merged and compresses what is not yet.
    /// `told` hears of the blocks before each merge.
    pub fn compact_all_telling(
        &self,
        now_ms: i64,
        told: &mut dyn FnMut(&[&BlockMeta]),
    ) -> Result<()> {
        let _merging = self.merging.enter();
        {
            let mut maintenance = self.maintenance.lock();
            self.flush(&mut maintenance, now_ms)?;
        }
        while self.merge_next(now_ms, true, told)? != Merged::Nothing {}
        self.remove_doomed(&mut self.maintenance.lock())
    }

    /// As [`Db::compact_all_telling`], silently.
    pub fn compact_all(&self, now_ms: i64) -> Result<()> {
        self.compact_all_telling(now_ms, &mut |_| {})
    }

    /// Blocks that cannot be read, or that a merge found damaged since the start.
    #[must_use]
    pub fn damaged_blocks(&self) -> u64 {
        (self.snapshot().quarantined.len() + self.maintenance.lock().damaged.len()) as u64
    }

    /// Merges what is due, giving way to others, until nothing is.
    pub(crate) fn merge_due(&self, now_ms: i64) -> Result<()> {
        let Some(_merging) = self.merging.lock.try_lock() else { return Ok(()) };
        while self.merge_next(now_ms, false, &mut |_| {})? == Merged::Done {}
        Ok(())
    }

    /// [`Error::Canceled`] once the store is about to be closed.
    pub(super) fn check_moving(&self) -> Result<()> {
        self.merging.check()
    }

    /// Ends the merge and the flush that are running, and all that would begin: for closing the store.
    pub(crate) fn stop_moving(&self) {
        self.merging.stopped.store(true, Ordering::Relaxed);
    }

    /// Merges the blocks that the plan names next; with `all`, rewrites one that was never compressed when
    /// the plan names none.
    fn merge_next(
        &self,
        now_ms: i64,
        all: bool,
        told: &mut dyn FnMut(&[&BlockMeta]),
    ) -> Result<Merged> {
        let set = self.snapshot();
        let damaged = self.maintenance.lock().damaged.clone();
        let metas: Vec<BlockMeta> = set.blocks.iter().map(|b| b.meta().clone()).collect();
        let fresh = || {
            let fresh = metas.iter().find(|meta| meta.level == 0 && !damaged.contains(&meta.id));
            fresh.filter(|_| all).map(|meta| vec![meta.id])
        };
        let Some(ids) = compact::plan(&metas, &damaged, now_ms, all).or_else(fresh) else {
            return Ok(Merged::Nothing);
        };
        let chosen = set.blocks.iter().filter(|block| ids.contains(&block.meta().id));
        let sources: Vec<Arc<Block>> = chosen.cloned().collect();
        if !self.has_space_for(&sources)? {
            return Ok(Merged::Nothing);
        }
        told(&sources.iter().map(|block| block.meta()).collect::<Vec<_>>());
        match self.merge(&sources, !all) {
            Err(Error::Corrupt(cause)) => {
                tracing::error!(%cause, "a block is damaged; it stays as it is and is not compacted");
                let hit = sources.iter().find(|b| cause.path.starts_with(b.dir()));
                let ids = hit.map_or(ids, |block| vec![block.meta().id]);
                self.maintenance.lock().damaged.extend(ids);
                Ok(Merged::Done)
            }
            done => done,
        }
    }

    /// Whether a merge leaves the log and the next flush their space: it can wait, they cannot.
    fn has_space_for(&self, sources: &[Arc<Block>]) -> Result<bool> {
        let needed: u64 = sources.iter().map(|block| block.bytes()).sum();
        let kept = 2 * self.options.wal_segment_bytes;
        let free = self.disk.free_bytes(&self.blocks_dir)?;
        let fits = free >= needed.saturating_add(kept);
        if !fits {
            tracing::warn!(free, needed, "blocks are not merged: too little disk space");
        }
        Ok(fits)
    }

    /// Writes `sources` as one block, publishes it and removes them.
    fn merge(&self, sources: &[Arc<Block>], in_background: bool) -> Result<Merged> {
        let mut pace = Pace::new(&self.merging, in_background);
        self.merge_stepping(sources, &mut || pace.step())
    }

    /// As [`Db::merge`]; `step` is called before each series and ends the merge by its error.
    pub(super) fn merge_stepping(
        &self,
        sources: &[Arc<Block>],
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Merged> {
        let begun = Instant::now();
        let (id, deleted) = {
            let mut maintenance = self.maintenance.lock();
            let deleted: Vec<_> = sources.iter().map(|block| block.tombstones()).collect();
            (maintenance.take_id(), deleted)
        };
        let labels = &self.options.target_labels;
        let made = compact::compact(&self.disk, &self.blocks_dir, id, sources, labels, step);
        let mut maintenance = self.maintenance.lock();
        match made {
            Ok(made) => {
                let here = self.snapshot();
                let as_before = |(source, deleted): (&Arc<Block>, &Arc<Tombstones>)| {
                    Arc::ptr_eq(&source.tombstones(), deleted)
                        && here.blocks.iter().any(|block| Arc::ptr_eq(block, source))
                };
                if !sources.iter().zip(&deleted).all(as_before) {
                    tracing::info!(
                        "a deletion or the retention changed blocks while they were merged: the merge begins anew"
                    );
                    return Ok(Merged::Outrun);
                }
                let dropped = made.dropped;
                self.take_the_place(&mut maintenance, id, sources, made)?;
                self.count_merge(begun, dropped);
                self.remove_doomed(&mut maintenance)?;
                Ok(Merged::Done)
            }
            Err(error) => {
                // Something may be left under its unfinished name.
                maintenance.doomed.insert(id);
                self.discard(&mut maintenance, Vec::new());
                Err(error)
            }
        }
    }

    /// Publishes what was made of `sources` and takes these out of sight.
    fn take_the_place(
        &self,
        maintenance: &mut Maintenance,
        id: BlockId,
        sources: &[Arc<Block>],
        made: Compacted,
    ) -> Result<()> {
        let made = made.sealed.map(|sealed| self.open_block(&sealed.publish()?)).transpose();
        let made = made.inspect_err(|_| {
            // It would take the place of its sources, and of what is deleted in them, at the next start.
            maintenance.doomed.insert(id);
            self.discard(maintenance, Vec::new());
        })?;
        let gone: BTreeSet<BlockId> = sources.iter().map(|b| b.meta().id).collect();
        self.publish(|blocks| {
            blocks.retain(|b| !gone.contains(&b.meta().id));
            blocks.extend(made);
        });
        maintenance.doomed.extend(gone);
        Ok(())
    }

    fn count_merge(&self, begun: Instant, dropped: u64) {
        if dropped > 0 {
            tracing::warn!(
                samples = dropped,
                "compaction met a second value at a timestamp; the first accepted one stays"
            );
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        self.counters.compactions.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.compaction_micros.fetch_add(micros, Ordering::Relaxed);
    }
}
