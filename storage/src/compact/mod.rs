//! Blocks into fewer blocks.

mod merge;
mod plan;

use std::path::Path;
use std::sync::Arc;

pub(crate) use plan::{expired, plan};

use crate::block::{Block, BlockId, BlockMeta, Sealed, Writer};
use crate::chunk::WINDOW_SLOTS_MAX;
use crate::disk::Disk;
use crate::error::Result;

/// A merge holds this part of the bytes that it merges as samples of a group, and twice that as inflated pages:
/// what is scraped for minutes takes little memory, and blocks of months get full pages. Between these bounds.
const HELD_PART: u64 = 32;
const HELD_BYTES_MIN: usize = 2 << 20;
const HELD_BYTES_MAX: usize = 32 << 20;
/// Samples of one window of pages that fill a page once they are encoded: less of few but long series would make many
/// small pages, each with timestamps and a directory of its own.
const WINDOW_BYTES: u64 = 1 << 20;

/// What a compaction wrote.
pub(crate) struct Compacted {
    /// Not to be seen before it is published. `None` when no sample was left.
    pub(crate) sealed: Option<Sealed>,
    /// Samples refused because an earlier block has another value at their time.
    pub(crate) dropped: u64,
}

/// Writes the samples of `sources` (in the order of acceptance) into one block `id`, tombstones applied.
/// `step` is called before each series and ends the merge by its error.
/// Fails without leaving anything when a source is damaged: what it still holds must not be dropped
/// together with it.
pub(crate) fn compact(
    disk: &Arc<dyn Disk>,
    blocks_dir: &Path,
    id: BlockId,
    sources: &[Arc<Block>],
    target_labels: &[String],
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<Compacted> {
    let mut ids: Vec<BlockId> = sources
        .iter()
        .flat_map(|b| b.meta().sources.iter().copied().chain([b.meta().id]))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let level = sources.iter().map(|b| b.meta().level).max().unwrap_or(0) + 1;
    let mut writer = Writer::new(Arc::clone(disk), blocks_dir, id, level, ids, target_labels)?;
    let blocks: Vec<&Block> = sources.iter().map(|block| &**block).collect();
    let held = held_bytes(blocks.iter().map(|block| block.meta()));
    writer.limit_group_bytes(held);
    match merge::write_merged(&mut writer, &blocks, target_labels, 2 * held, step) {
        Ok(dropped) if writer.is_empty() => {
            writer.abort()?;
            Ok(Compacted { sealed: None, dropped })
        }
        Ok(dropped) => Ok(Compacted { sealed: Some(writer.seal()?), dropped }),
        Err(error) => {
            writer.abort()?;
            Err(error)
        }
    }
}

/// Bytes of samples that a merge of these blocks holds of a group.
fn held_bytes<'a>(blocks: impl Iterator<Item = &'a BlockMeta>) -> usize {
    let (mut bytes, mut samples, mut series) = (0u64, 0u64, 1);
    for meta in blocks {
        bytes = bytes.saturating_add(meta.chunks_bytes).saturating_add(meta.index_bytes);
        samples = samples.saturating_add(meta.n_samples);
        series = series.max(meta.n_series);
    }
    let windows = (samples / series).div_ceil(WINDOW_SLOTS_MAX as u64);
    let held = (bytes / HELD_PART).max(windows.saturating_mul(WINDOW_BYTES));
    usize::try_from(held).unwrap_or(usize::MAX).clamp(HELD_BYTES_MIN, HELD_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(blocks: u64, n_series: u64, samples_each: u64) -> usize {
        let n_samples = n_series * samples_each;
        let meta = BlockMeta {
            version: 1,
            id: BlockId(1),
            min_ts: 0,
            max_ts: 1,
            n_series,
            n_samples,
            n_histograms: 0,
            level: 0,
            sources: Vec::new(),
            chunks_bytes: n_samples / 2,
            index_bytes: n_series * 10,
        };
        held_bytes((0..blocks).map(|_| &meta))
    }

    #[test]
    fn long_series_are_held_in_full_pages_and_short_ones_in_little_memory() {
        // A month of scrapes each minute, of few series and of many: pages as full as memory allows.
        assert_eq!(held(4, 500, 11_160), HELD_BYTES_MAX);
        assert_eq!(held(4, 500_000, 11_160), HELD_BYTES_MAX);
        // A day each 15 seconds has eight windows.
        assert_eq!(held(2, 1000, 2880), 8 << 20);
        // Minutes of a million series.
        assert_eq!(held(2, 1_000_000, 80), 100_000_000 / 32);
        assert_eq!(held(2, 0, 0), HELD_BYTES_MIN);
        assert_eq!(held(2, 1, u64::MAX / 4), HELD_BYTES_MAX);
    }
}
