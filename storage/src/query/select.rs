//! Selecting series from the head and the blocks, and reading each as one sequence.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::merge::merge;
use super::{Budget, SeriesSet};
use crate::block::{Block, Damage, ReadScratch};
use crate::error::{Error, Result};
use crate::head::{HeadSelected, SeriesView};
use crate::model::{Labels, Matcher, SeriesData, SeriesOrd, TimeRange};

/// Series taken from an index between two looks at the budget.
const SERIES_PER_CHECK: usize = 4096;
/// Damages told in the warnings of one query.
const DAMAGES_TOLD_MAX: usize = 5;

/// A series inside one block.
#[derive(Debug, Clone, Copy)]
struct Part {
    entry: u32,
    block: u32,
    ord: SeriesOrd,
}

struct Entry {
    labels: Labels,
    head: Option<SeriesView>,
    /// Its parts: `parts[from..to]`, ascending by block, which is the order of acceptance.
    from: u32,
    to: u32,
}

/// The selected series.
pub(crate) struct Selection {
    blocks: Vec<Arc<Block>>,
    entries: Vec<Entry>,
    parts: Vec<Part>,
    missing: Vec<String>,
    damages: Mutex<Vec<Damage>>,
    dropped: Arc<AtomicU64>,
}

/// Collects entries by label set.
#[derive(Default)]
struct Gather {
    entries: Vec<Entry>,
    parts: Vec<Part>,
    by_labels: HashMap<Labels, u32>,
}

impl Gather {
    fn entry(&mut self, labels: Labels) -> u32 {
        let next = self.entries.len() as u32;
        let at = *self.by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            self.entries.push(Entry { labels, head: None, from: 0, to: 0 });
        }
        at
    }

    /// Adds the series of a block. A damaged index is an error, behind what could be read of it.
    fn add_block(
        &mut self,
        number: u32,
        block: &Block,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<()> {
        for (i, ord) in block.select(matchers)?.into_iter().enumerate() {
            if i % SERIES_PER_CHECK == 0 {
                budget.check_series(self.entries.len() as u64)?;
            }
            if block.may_have(ord, range)? {
                let entry = self.entry(block.labels(ord)?);
                self.parts.push(Part { entry, block: number, ord });
            }
        }
        Ok(())
    }
}

impl Selection {
    /// Unites what the head gave with the series of `blocks`. The head must have been asked before
    /// `blocks` was taken: a sample may then be seen twice, which merging mends, but never not at all.
    pub(crate) fn new(
        head: Vec<HeadSelected>,
        blocks: Vec<Arc<Block>>,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        mut missing: Vec<String>,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self> {
        budget.check_series(head.len() as u64)?;
        let mut gather = Gather::default();
        for selected in head {
            let at = gather.entry(selected.labels);
            if let Some(entry) = gather.entries.get_mut(at as usize) {
                entry.head = Some(selected.view);
            }
        }
        for (number, block) in blocks.iter().enumerate() {
            match gather.add_block(number as u32, block, matchers, range, budget) {
                Err(Error::Corrupt(cause)) => {
                    missing
                        .push(format!("samples of block {} are missing: {cause}", block.meta().id));
                }
                added => added?,
            }
        }
        budget.check_series(gather.entries.len() as u64)?;
        let Gather { mut entries, mut parts, .. } = gather;
        parts.sort_by_key(|part| part.entry);
        for (i, part) in parts.iter().enumerate() {
            if let Some(entry) = entries.get_mut(part.entry as usize) {
                if entry.to == 0 {
                    entry.from = i as u32;
                }
                entry.to = i as u32 + 1;
            }
        }
        entries.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Self { blocks, entries, parts, missing, damages: Mutex::default(), dropped })
    }

    /// The label sets alone.
    pub(crate) fn into_labels(self) -> Vec<Labels> {
        self.entries.into_iter().map(|entry| entry.labels).collect()
    }
}

/// Buffers of one reading thread.
#[derive(Default)]
struct Scratch {
    blocks: ReadScratch,
    part: SeriesData,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.entries[i].labels
    }

    fn read(
        &self,
        i: usize,
        range: TimeRange,
        budget: &Budget,
        out: &mut SeriesData,
    ) -> Result<()> {
        out.clear();
        let entry = &self.entries[i];
        let parts = self.parts.get(entry.from as usize..entry.to as usize).unwrap_or_default();
        SCRATCH.with_borrow_mut(|scratch| {
            let mut damages = Vec::new();
            let mut dropped = 0;
            for part in parts {
                let Some(block) = self.blocks.get(part.block as usize) else { continue };
                let blocks = &mut scratch.blocks;
                let behind = |ts: Option<&i64>| ts.is_none_or(|last| *last < block.range().min);
                let own = behind(out.ts.last()) && behind(out.histograms.last().map(|(ts, _)| ts));
                scratch.part.clear();
                let to = if own { &mut *out } else { &mut scratch.part };
                match block.read_lossy(part.ord, range, blocks, to, &mut damages) {
                    Err(Error::Corrupt(cause)) => {
                        damages.push(Damage { range: block.range(), cause });
                    }
                    read => read?,
                }
                dropped += merge(out, &scratch.part);
            }
            if let Some(view) = &entry.head {
                scratch.part.clear();
                let own = view.read(range, &mut scratch.part);
                debug_assert!(own.is_ok(), "the head's own chunks");
                dropped += merge(out, &scratch.part);
            }
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
            if !damages.is_empty() {
                self.damages.lock().append(&mut damages);
            }
            budget.count_read(out.len() as u64)
        })
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.missing.clone();
        let damages = self.damages.lock();
        for damage in damages.iter().take(DAMAGES_TOLD_MAX) {
            warnings.push(format!(
                "samples from {} to {} (ms) are missing: {}",
                damage.range.min, damage.range.max, damage.cause
            ));
        }
        if damages.len() > DAMAGES_TOLD_MAX {
            warnings.push(format!("{} more damaged pages", damages.len() - DAMAGES_TOLD_MAX));
        }
        warnings
    }
}
