//! Samples from elsewhere, written as blocks past the log and the head.
//!
//! A block that is imported gets its number like any other, so its samples count as accepted after all that was
//! in blocks before: at one timestamp what is stored already stays. For that the head is flushed first.

use crate::block::BlockId;
use crate::block::{BlockMeta, Sealed, Writer};
use crate::error::{Error, Result};
use crate::imports::Imports;
use crate::index::entity_labels;
use crate::model::{Labels, SeriesData, TS_MIN, TimeRange};

use super::{Db, Maintenance};

/// Compacted once: pages are compressed, and memory is what a merge takes.
const LEVEL: u32 = 1;

/// A block of samples from elsewhere in the making. Dropped, it leaves nothing behind.
pub struct Importing<'a> {
    db: &'a Db,
    id: BlockId,
    writer: Writer,
    target: Option<Labels>,
    allowed: TimeRange,
    refused: u64,
}

impl Db {
    /// What was imported before.
    pub fn imports(&self) -> Result<Imports> {
        Imports::open(&self.disk, self.blocks_dir.parent().unwrap_or(&self.blocks_dir))
    }

    /// Flushes the head: what it holds was accepted before what is imported from now on.
    pub fn flush_before_import(&self, now_ms: i64) -> Result<()> {
        self.flush(&mut self.maintenance.lock(), now_ms)
    }

    /// Begins a block of samples from elsewhere, of which those that lie too far ahead of `now_ms` are refused.
    /// `bytes` is what its samples take where they come from; it fails where so much space is not there.
    pub fn import(&self, now_ms: i64, bytes: u64) -> Result<Importing<'_>> {
        let kept = 2 * self.options.wal_segment_bytes;
        if self.disk.free_bytes(&self.blocks_dir)? < bytes.saturating_add(kept) {
            return Err(Error::Unavailable {
                why: "too little disk space to import: make room and call it again, it goes on where it was",
            });
        }
        let id = self.maintenance.lock().take_id();
        let (disk, labels) = (std::sync::Arc::clone(&self.disk), &self.options.target_labels);
        let writer = Writer::new(disk, &self.blocks_dir, id, LEVEL, Vec::new(), labels)?;
        let future_ms = i64::try_from(self.options.future_max.as_millis()).unwrap_or(i64::MAX);
        let allowed = TimeRange::new(TS_MIN, now_ms.saturating_add(future_ms));
        Ok(Importing { db: self, id, writer, target: None, allowed, refused: 0 })
    }

    /// Gives a sealed block its name and shows it.
    fn publish_imported(&self, sealed: Sealed) -> Result<BlockMeta> {
        // Before the block has its name: a start that finds it must know what it makes outdated.
        self.tell_history(sealed.range())?;
        let meta = sealed.publish()?;
        let block = self.open_block(&meta)?;
        self.publish(|blocks| blocks.push(block));
        self.head.changes.note_range(meta.range());
        Ok(meta)
    }

    fn give_up(&self, maintenance: &mut Maintenance, id: BlockId) {
        maintenance.doomed.insert(id);
        self.discard(maintenance, Vec::new());
    }
}

impl Importing<'_> {
    /// Adds a series, in the order of a block: by the labels of its target, then as
    /// [`crate::index::compare_in_entity`] orders. Its columns ascend; samples outside of the time in which
    /// samples are taken are removed from them and counted.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the order is broken or the columns are not well formed.
    pub fn add(&mut self, labels: &Labels, data: &mut SeriesData) -> Result<()> {
        self.refused += keep_within(data, self.allowed);
        if data.is_empty() {
            return Ok(());
        }
        let target = entity_labels(labels, &self.db.options.target_labels);
        if self.target.as_ref() != Some(&target) {
            self.writer.begin_group(&target)?;
            self.target = Some(target);
        }
        self.writer.add_series(labels, data)
    }

    /// Samples refused so far because of their time.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Makes the block part of the database; durable on return. `None` when there was no sample.
    pub fn finish(self) -> Result<Option<BlockMeta>> {
        let Self { db, id, writer, .. } = self;
        if writer.is_empty() {
            writer.abort()?;
            return Ok(None);
        }
        let sealed = writer.seal()?;
        let mut maintenance = db.maintenance.lock();
        let published = db.publish_imported(sealed);
        if published.is_err() {
            db.give_up(&mut maintenance, id);
        }
        published.map(Some)
    }
}

/// Removes the samples outside of `range`. Answers how many.
fn keep_within(data: &mut SeriesData, range: TimeRange) -> u64 {
    let ends = |first: Option<i64>, last: Option<i64>| {
        first.is_none_or(|ts| range.contains(ts)) && last.is_none_or(|ts| range.contains(ts))
    };
    let histogram = |entry: Option<&(i64, _)>| entry.map(|(ts, _)| *ts);
    if ends(data.ts.first().copied(), data.ts.last().copied())
        && ends(histogram(data.histograms.first()), histogram(data.histograms.last()))
    {
        return 0;
    }
    let before = data.len();
    let from = data.ts.partition_point(|ts| *ts < range.min);
    let to = data.ts.partition_point(|ts| *ts <= range.max).max(from);
    let with_starts = !data.start_ts.is_empty();
    data.ts = data.ts.get(from..to).unwrap_or_default().to_vec();
    data.values = data.values.get(from..to).unwrap_or_default().to_vec();
    if with_starts {
        data.start_ts = data.start_ts.get(from..to).unwrap_or_default().to_vec();
    }
    data.histograms.retain(|(ts, _)| range.contains(*ts));
    (before - data.len()) as u64
}
