//! Blocks into fewer blocks.

mod plan;

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;

pub(crate) use plan::{DAY_MS, expired, plan};

use crate::block::{Block, BlockId, BlockMeta, ReadScratch, Writer};
use crate::disk::Disk;
use crate::error::Result;
use crate::index::{compare_in_entity, entity_labels};
use crate::model::{Labels, SeriesData, SeriesOrd, TimeRange};
use crate::query::merge;

/// What a compaction wrote.
pub(crate) struct Compacted {
    /// `None` when no sample was left.
    pub(crate) meta: Option<BlockMeta>,
    /// Samples refused because an earlier block has another value at their time.
    pub(crate) dropped: u64,
}

/// Writes the samples of `sources` (in the order of acceptance) into one block `id`, tombstones applied.
/// Fails without leaving anything when a source is damaged: what it still holds must not be dropped
/// together with it.
pub(crate) fn compact(
    disk: &Arc<dyn Disk>,
    blocks_dir: &Path,
    id: BlockId,
    sources: &[Arc<Block>],
    target_labels: &[String],
) -> Result<Compacted> {
    let mut ids: Vec<BlockId> = sources
        .iter()
        .flat_map(|b| b.meta().sources.iter().copied().chain([b.meta().id]))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let level = sources.iter().map(|b| b.meta().level).max().unwrap_or(0) + 1;
    let mut writer = Writer::new(Arc::clone(disk), blocks_dir, id, level, ids, target_labels)?;
    match write_merged(&mut writer, sources, target_labels) {
        Ok(dropped) if writer.is_empty() => {
            writer.abort()?;
            Ok(Compacted { meta: None, dropped })
        }
        Ok(dropped) => Ok(Compacted { meta: Some(writer.finish()?), dropped }),
        Err(error) => {
            writer.abort()?;
            Err(error)
        }
    }
}

/// A label set and where it is found.
struct Merged {
    entity: Labels,
    labels: Labels,
    parts: Vec<(usize, SeriesOrd)>,
}

fn write_merged(
    writer: &mut Writer,
    sources: &[Arc<Block>],
    target_labels: &[String],
) -> Result<u64> {
    let mut by_labels: HashMap<Labels, Vec<(usize, SeriesOrd)>> = HashMap::new();
    for (number, block) in sources.iter().enumerate() {
        for ord in block.select(&[])? {
            by_labels.entry(block.labels(ord)?).or_default().push((number, ord));
        }
    }
    let mut all: Vec<Merged> = by_labels
        .into_iter()
        .map(|(labels, parts)| Merged {
            entity: entity_labels(&labels, target_labels),
            labels,
            parts,
        })
        .collect();
    all.sort_by(|a, b| {
        a.entity.cmp(&b.entity).then_with(|| compare_in_entity(&a.labels, &b.labels))
    });
    let mut scratch = ReadScratch::default();
    let (mut data, mut part) = (SeriesData::default(), SeriesData::default());
    let mut dropped = 0;
    for group in all.chunk_by(|a, b| a.entity == b.entity) {
        if let Some(first) = group.first() {
            writer.begin_group(&first.entity)?;
        }
        for series in group {
            data.clear();
            for (number, ord) in &series.parts {
                part.clear();
                if let Some(block) = sources.get(*number) {
                    block.read(*ord, TimeRange::ALL, &mut scratch, &mut part)?;
                }
                dropped += merge(&mut data, &part);
            }
            writer.add_series(&series.labels, &data)?;
        }
    }
    Ok(dropped)
}
