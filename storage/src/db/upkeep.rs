//! Flush and retention, under the maintenance lock. Merges: `merging`.
//!
//! Nothing is left behind by a failure: what the head set aside stays readable and is written by the next
//! flush, blocks that were written in vain are removed, and what cannot be removed or truncated now is
//! tried again in the next round.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Db, Maintenance};
use crate::block::{Block, BlockId, BlockMeta, Writer, remove_block};
use crate::compact;
use crate::error::Result;
use crate::head::{Part, WriteOrder};
use crate::history::Day;
use crate::index::{MemIndex, RowCopier};
use crate::model::{DAY_MS, TimeRange};

/// Time between two flushes while memory is short.
const PRESSED_FLUSH_MS: i64 = 5 * 60_000;
/// Most periods, and so blocks, that a part of a flush writes.
const FLUSH_PERIODS_MAX: usize = 64;
/// Log that a series may always fill before a flush: the more series, the more a flush and its checkpoint cost.
const WAL_BYTES_PER_SERIES: u64 = 512;
/// Memory of chunks that the head may always fill before a flush, and that a series may: beyond it chunks would
/// take more than all the rest that is kept of the series.
const CHUNK_BYTES_MIN: u64 = 32 << 20;
const CHUNK_BYTES_PER_SERIES: u64 = 32;
/// Log that is not worth a flush before a stop: it is replayed in about a second.
const STOP_FLUSH_BYTES: u64 = 96 << 20;

impl Maintenance {
    pub(super) fn take_id(&mut self) -> BlockId {
        let id = BlockId(self.next_id);
        self.next_id += 1;
        id
    }
}

impl Db {
    /// One round of what is due: retention, which makes room, then flush. A step that fails does not keep the
    /// next one from its turn; the first error is answered.
    pub(crate) fn maintain(&self, now_ms: i64) -> Result<()> {
        self.head.mark(now_ms);
        self.head.settle_index();
        let mut maintenance = self.maintenance.lock();
        let expired = self.expire(&mut maintenance, now_ms);
        let removed = self.remove_doomed(&mut maintenance);
        let flushed = self.flush_if_due(&mut maintenance, now_ms);
        flushed.and(removed).and(expired)
    }

    /// Flushes what a replay at the next start would take long for.
    pub(crate) fn flush_before_stop(&self, now_ms: i64) -> Result<()> {
        let mut maintenance = self.maintenance.lock();
        if self.wal.stats().bytes < STOP_FLUSH_BYTES.max(3 * self.options.wal_segment_bytes) {
            return Ok(());
        }
        self.flush(&mut maintenance, now_ms)
    }

    fn flush_if_due(&self, maintenance: &mut Maintenance, now_ms: i64) -> Result<()> {
        let last_flush_ms = *maintenance.last_flush_ms.get_or_insert(now_ms);
        let interval_ms =
            i64::try_from(self.options.flush_interval.as_millis()).unwrap_or(i64::MAX);
        let pressed = self.head.closed_to_series.load(Ordering::Relaxed);
        let interval_ms = if pressed { interval_ms.min(PRESSED_FLUSH_MS) } else { interval_ms };
        let truncated = self.truncate_log(maintenance);
        let wal = self.wal.stats();
        // A flush frees the log's disk space: it is due as well when the log cannot go on for want of it.
        let n_series = self.head.with_index(MemIndex::n_series);
        let kept = n_series.saturating_mul(WAL_BYTES_PER_SERIES);
        let short = wal.bytes >= self.options.wal_bytes_max.max(kept)
            || (wal.refusing && self.head.bounds().is_some());
        let chunk_bytes_max = n_series.saturating_mul(CHUNK_BYTES_PER_SERIES).max(CHUNK_BYTES_MIN);
        let due = now_ms.saturating_sub(last_flush_ms) >= interval_ms
            || self.head.chunk_bytes() >= chunk_bytes_max;
        // As long as the log cannot be truncated, a flush would free nothing.
        if due || (short && truncated.is_ok()) {
            return self.flush(maintenance, now_ms);
        }
        truncated
    }

    pub(super) fn flush(&self, maintenance: &mut Maintenance, now_ms: i64) -> Result<()> {
        // All that is logged in segments before this one is in the head when it freezes.
        let segment = self.wal.rotate()?;
        self.head.begin_flush();
        let mut order = None;
        for part in self.head.parts() {
            if self.head.freeze(&part) {
                let known = order.take();
                let order = order.insert(self.head.write_order(known));
                let mut written = Vec::new();
                if let Err(error) = self.write_frozen(maintenance, &part, order, &mut written) {
                    self.discard(maintenance, written);
                    return Err(error);
                }
                self.publish(|blocks| blocks.extend(written));
            }
            self.head.drop_frozen(&part);
        }
        self.head.end_flush();
        maintenance.flushed_before = Some(segment);
        maintenance.last_flush_ms = Some(now_ms);
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.truncate_log(maintenance)?;
        // Not before the log has let go of their samples: a replay would not know whose they are.
        let n_gone = self.head.evict_idle(self.head.closed_to_series.load(Ordering::Relaxed));
        self.counters.evicted.fetch_add(n_gone, Ordering::Relaxed);
        Ok(())
    }

    /// Removes from the log what the last flush has put into blocks.
    fn truncate_log(&self, maintenance: &mut Maintenance) -> Result<()> {
        let Some(segment) = maintenance.flushed_before else { return Ok(()) };
        self.wal.write_checkpoint(segment, &mut |log| self.head.checkpoint(log))?;
        self.wal.truncate_before(segment)?;
        maintenance.flushed_before = None;
        Ok(())
    }

    /// Writes what the head set aside of a part; `written` tells the finished blocks also when a later one fails.
    fn write_frozen(
        &self,
        maintenance: &mut Maintenance,
        part: &Part,
        order: &WriteOrder,
        written: &mut Vec<Arc<Block>>,
    ) -> Result<()> {
        let mut period_ms = DAY_MS;
        let mut periods = self.head.frozen_periods(part, period_ms);
        while periods.len() > FLUSH_PERIODS_MAX {
            period_ms *= 8;
            periods = self.head.frozen_periods(part, period_ms);
        }
        for period in periods {
            let min = period.saturating_mul(period_ms);
            let range = TimeRange::new(min, min.saturating_add(period_ms - 1));
            let id = maintenance.take_id();
            match self.write_block(id, part, order, range) {
                Ok(block) => written.extend(block),
                Err(error) => {
                    // Whatever failed, something of it may be there.
                    maintenance.doomed.insert(id);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn write_block(
        &self,
        id: BlockId,
        part: &Part,
        order: &WriteOrder,
        range: TimeRange,
    ) -> Result<Option<Arc<Block>>> {
        let disk = Arc::clone(&self.disk);
        let labels = &self.options.target_labels;
        let mut writer = Writer::new(disk, &self.blocks_dir, id, 0, Vec::new(), labels)?;
        self.write_period(&mut writer, part, order, range)?;
        if writer.is_empty() {
            writer.abort()?;
            return Ok(None);
        }
        let sealed = writer.seal()?;
        // Before the block has its name: a start that finds it must know what it makes outdated.
        self.tell_history(sealed.range())?;
        self.open_block(&sealed.publish()?).map(Some)
    }

    fn write_period(
        &self,
        writer: &mut Writer,
        part: &Part,
        order: &WriteOrder,
        range: TimeRange,
    ) -> Result<()> {
        let mut copier = RowCopier::default();
        let mut ords = Vec::new();
        for entity in order.entities(part) {
            self.check_moving()?;
            let mut begun = false;
            self.head.read_frozen(order, entity, range, &mut |batch| {
                if !begun {
                    begun = true;
                    writer
                        .begin_group(&self.head.with_index(|index| index.entity_labels(entity)))?;
                }
                ords.clear();
                writer.index_series(|builder| {
                    self.head.with_index(|index| {
                        for series in batch {
                            ords.push(copier.copy(index, series.ord, builder)?);
                        }
                        Ok(())
                    })
                })?;
                ords.iter()
                    .zip(batch)
                    .try_for_each(|(ord, series)| writer.add_data(*ord, &series.data))
            })?;
        }
        Ok(())
    }

    /// Removes blocks that were written and are not wanted. One that cannot be removed is published
    /// instead: its samples are in the head as well, and a deletion has to reach it.
    pub(super) fn discard(&self, maintenance: &mut Maintenance, written: Vec<Arc<Block>>) {
        for block in written {
            let id = block.meta().id;
            if let Err(error) = remove_block(&*self.disk, &self.blocks_dir, id) {
                tracing::warn!(%error, block = %id, "a block of a failed flush stays");
                self.publish(|blocks| blocks.push(block));
            }
        }
        if let Err(error) = self.remove_doomed(maintenance) {
            tracing::warn!(%error, "a block that was written in vain is not removed yet");
        }
    }

    /// Removes the directories of blocks that nobody sees any more; what fails is tried again.
    pub(super) fn remove_doomed(&self, maintenance: &mut Maintenance) -> Result<()> {
        let mut answer = Ok(());
        maintenance.doomed.retain(|id| {
            let removed = remove_block(&*self.disk, &self.blocks_dir, *id);
            let failed = removed.is_err();
            if answer.is_ok() {
                answer = removed;
            }
            failed
        });
        answer
    }

    pub(super) fn open_block(&self, meta: &BlockMeta) -> Result<Arc<Block>> {
        let dir = self.blocks_dir.join(meta.id.to_string());
        Ok(Arc::new(Block::open(Arc::clone(&self.disk), &dir)?))
    }

    /// Takes the blocks out of sight that are older than the retention.
    fn expire(&self, maintenance: &mut Maintenance, now_ms: i64) -> Result<()> {
        let Some(retention) = self.options.retention else { return Ok(()) };
        let set = self.snapshot();
        let newest_block = set.blocks.iter().map(|b| b.range().max).max();
        let newest = newest_block.max(self.head.bounds().map(|bounds| bounds.max));
        let Some(newest) = newest else { return Ok(()) };
        let metas: Vec<BlockMeta> = set.blocks.iter().map(|b| b.meta().clone()).collect();
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let mut gone = compact::expired(&metas, now_ms, newest, retention_ms);
        let of = |id: &BlockId| set.blocks.iter().find(|block| block.meta().id == *id);
        gone.sort_by_key(|id| of(id).map(|block| block.range().max));
        let rolled_up = |block: &Block| self.is_rolled_up(block, &set.blocks);
        if self.disk.free_bytes(&self.blocks_dir)? >= 2 * self.options.wal_segment_bytes {
            // In the order of time: of a day before the last one that went no rows are built any more.
            let waiting = set.blocks.iter().filter(|block| !rolled_up(block));
            let first = waiting.map(|block| Day::of(block.range().min)).min();
            gone.retain(|id| {
                of(id).is_some_and(|block| {
                    rolled_up(block) && first.is_none_or(|first| Day::of(block.range().max) < first)
                })
            });
        } else {
            // On a full disk rows can not be written, and nothing but this makes room: as little as helps.
            gone.truncate(1);
        }
        let Some(last) = gone.iter().filter_map(of).map(|block| block.range().max).max() else {
            return Ok(());
        };
        for id in &gone {
            tracing::info!(block = %id, "block is older than the retention: removed");
            if of(id).is_some_and(|block| !rolled_up(block)) {
                tracing::error!(block = %id, "the disk is full: a block went by its age before it could be rolled up");
            }
        }
        // Before they go: whoever does not see them knows that they are gone, and until they are removed a start
        // finds them.
        if let Some(history) = &self.history {
            history.raw_is_gone(Day::of(last));
        }
        self.publish(|blocks| blocks.retain(|b| !gone.contains(&b.meta().id)));
        maintenance.doomed.extend(gone);
        Ok(())
    }
}
