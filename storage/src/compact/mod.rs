//! Blocks into fewer blocks.

mod merge;
mod plan;

use std::path::Path;
use std::sync::Arc;

pub(crate) use plan::{expired, plan};

use crate::block::{Block, BlockId, Sealed, Writer};
use crate::disk::Disk;
use crate::error::Result;

/// A merge holds this part of the bytes that it merges as samples of a group, and twice that as inflated pages:
/// what is scraped for minutes takes little memory, and blocks of months get full pages. Between these bounds.
const HELD_PART: u64 = 32;
const HELD_BYTES_MIN: usize = 2 << 20;
const HELD_BYTES_MAX: usize = 32 << 20;

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
    let part = blocks.iter().map(|block| block.bytes()).sum::<u64>() / HELD_PART;
    let held = usize::try_from(part).unwrap_or(usize::MAX).clamp(HELD_BYTES_MIN, HELD_BYTES_MAX);
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
