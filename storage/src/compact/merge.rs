//! The label sets of several blocks in the order of a block, and their samples as one.
//!
//! Every block is written in one order: targets by their labels, in a target as [`compare_in_entity`] orders.
//! So the sources are read side by side, and of each only the label set at which it stands is in memory. A
//! source that was written with other target labels is in another order: its label sets are sorted in memory.

use std::cmp::Ordering;

use crate::block::{Block, ReadScratch, Writer};
use crate::error::Result;
use crate::index::{EntityId, LabelWalk, compare_in_entity, entity_labels};
use crate::model::{Labels, SeriesData, SeriesOrd, TimeRange};
use crate::query::merge;

/// A series of one source.
#[derive(Clone)]
struct Series {
    entity: Labels,
    labels: Labels,
    ord: SeriesOrd,
}

impl Series {
    fn compare(&self, other: &Self) -> Ordering {
        let in_entity = || compare_in_entity(&self.labels, &other.labels);
        self.entity.cmp(&other.entity).then_with(in_entity)
    }
}

/// The series of a source, one after the other.
enum Walk<'a> {
    /// In the order in which they stand in the block.
    InPlace(Box<InPlace<'a>>),
    /// Sorted, the first one last.
    Sorted(Vec<Series>),
}

/// A place in a block.
struct InPlace<'a> {
    labels: LabelWalk<'a>,
    /// Labels of the target whose series are shown.
    entity: Labels,
    next_entity: u32,
    /// The next series of the target, and the first one behind the target.
    ord: u32,
    behind: u32,
}

struct Source<'a> {
    block: &'a Block,
    walk: Walk<'a>,
    /// Where it stands; `None` at the end.
    at: Option<Series>,
}

impl<'a> Source<'a> {
    fn open(block: &'a Block, target_labels: &[String]) -> Result<Self> {
        let walk = if block.index().is_ordered_by(target_labels)? {
            Walk::InPlace(Box::new(InPlace {
                labels: block.index().label_walk()?,
                entity: Labels::empty(),
                next_entity: 0,
                ord: 0,
                behind: 0,
            }))
        } else {
            Walk::Sorted(sorted(block, target_labels)?)
        };
        let mut source = Self { block, walk, at: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<()> {
        self.at = match &mut self.walk {
            Walk::Sorted(rest) => rest.pop(),
            Walk::InPlace(place) => place.next(self.block)?,
        };
        Ok(())
    }
}

impl InPlace<'_> {
    fn next(&mut self, block: &Block) -> Result<Option<Series>> {
        let index = block.index();
        while self.ord >= self.behind && self.next_entity < index.n_entities() {
            let id = EntityId(self.next_entity);
            self.next_entity += 1;
            let places = index.series_of_entity(id)?;
            (self.ord, self.behind) = (places.start, places.end);
            self.labels.enter(id)?;
            self.entity = index.entity_labels(id)?;
        }
        if self.ord >= self.behind {
            return Ok(None);
        }
        let ord = self.ord;
        self.ord += 1;
        self.labels.go_to(ord)?;
        let labels = self.labels.labels()?;
        Ok(Some(Series { entity: self.entity.clone(), labels, ord: SeriesOrd(ord) }))
    }
}

/// All series of a block that is in another order; the last one first.
fn sorted(block: &Block, target_labels: &[String]) -> Result<Vec<Series>> {
    tracing::info!(block = %block.meta().id, "written with other target labels: sorting its series");
    let mut all = Vec::new();
    for ord in block.select(&[])? {
        let labels = block.labels(ord)?;
        all.push(Series { entity: entity_labels(&labels, target_labels), labels, ord });
    }
    all.sort_unstable_by(|a, b| b.compare(a));
    Ok(all)
}

/// Writes the series of all `blocks`, which are in the order of acceptance. `step` is called before each and
/// ends the merge by its error. Of the pages read, `inflated_bytes_max` bytes are kept. Answers how many samples
/// were dropped because an earlier block has another value at their time.
pub(super) fn write_merged(
    writer: &mut Writer,
    blocks: &[&Block],
    target_labels: &[String],
    inflated_bytes_max: usize,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<u64> {
    let mut sources = Vec::with_capacity(blocks.len());
    for block in blocks {
        sources.push(Source::open(block, target_labels)?);
    }
    let mut scratch = ReadScratch::with_inflated_bytes_max(inflated_bytes_max);
    let (mut data, mut part) = (SeriesData::default(), SeriesData::default());
    let mut group: Option<Labels> = None;
    let mut dropped = 0;
    loop {
        step()?;
        let standing = sources.iter().filter_map(|source| source.at.as_ref());
        let Some(next) = standing.min_by(|a, b| a.compare(b)).cloned() else { break };
        if group.as_ref() != Some(&next.entity) {
            writer.begin_group(&next.entity)?;
            group = Some(next.entity.clone());
        }
        data.clear();
        for source in &mut sources {
            let Some(at) = source.at.as_ref().filter(|at| at.labels == next.labels) else {
                continue;
            };
            if data.is_empty() {
                source.block.read(at.ord, TimeRange::ALL, &mut scratch, &mut data)?;
            } else {
                part.clear();
                source.block.read(at.ord, TimeRange::ALL, &mut scratch, &mut part)?;
                dropped += merge(&mut data, &part);
            }
            source.advance()?;
        }
        writer.add_series(&next.labels, &data)?;
    }
    Ok(dropped)
}
