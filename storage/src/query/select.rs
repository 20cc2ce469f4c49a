//! Selecting series from the head and the blocks, and reading each as one sequence.

use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::hash_table::Entry as TableEntry;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::merge::merge;
use super::newest::Newest;
use super::past::{Past, Tiled};
use super::{Budget, Reservation, SeriesSet, Untold, WindowSet};
use crate::block::{Block, Damage, ReadScratch};
use crate::error::{Corruption, Error, Result};
use crate::head::{HeadSelected, SeriesView};
use crate::history::{Day, Metrics, Sought, series_id};
use crate::index::{PageRef, Pattern};
use crate::model::window::{Need, Spaced};
use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher, SeriesData, SeriesOrd, TimeRange};

/// Series taken from an index between two looks at the budget.
const SERIES_PER_CHECK: usize = 4096;
/// Damages told in the warnings of one query.
const DAMAGES_TOLD_MAX: usize = 5;

/// Memory of one selected series apart from its labels and what the head lends.
const SELECTED_ENTRY_BYTES: u64 =
    (size_of::<Entry>() + 2 * size_of::<Part>() + size_of::<i64>()) as u64;
/// Memory of a look-up by label set; the table doubles as it grows.
const LOOKUP_BYTES: u64 = 2 * size_of::<(Labels, u32)>() as u64;

/// A series inside one block.
#[derive(Debug, Clone, Copy)]
struct Part {
    entry: u32,
    block: u32,
    ord: SeriesOrd,
    /// The pages of its target: `pages[from..to]` of the selection.
    from: u32,
    to: u32,
}

struct Entry {
    labels: Labels,
    /// Apart, because most entries have none and sorting moves entries.
    head: Option<Box<SeriesView>>,
    /// Its parts: `parts[from..to]`, ascending by block, which is the order of acceptance.
    from: u32,
    to: u32,
}

/// The selected series.
pub(crate) struct Selection<'h> {
    past: Option<Past<'h>>,
    samples_begin_ms: Option<i64>,
    blocks: Vec<Arc<Block>>,
    entries: Vec<Entry>,
    /// What names them in rows, ascending; unused while none are read.
    ids: OnceLock<Vec<i64>>,
    parts: Vec<Part>,
    pages: Vec<(u32, PageRef)>,
    missing: Vec<String>,
    damages: Mutex<Vec<Damage>>,
    dropped: Arc<AtomicU64>,
    _memory: Reservation,
}

/// Where series come from, and how they are wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) matchers: &'a [Matcher],
    pub(crate) range: TimeRange,
    pub(crate) any_order: bool,
    pub(crate) labels_only: bool,
    /// The series of each block; those that satisfy the matchers when it is not told.
    pub(crate) ords: Option<&'a [RoaringBitmap]>,
}

/// Collects entries by label set.
struct Gather {
    entries: Vec<Entry>,
    /// Places of the entries by their label sets; unused while all come from one place, which has each once.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    one_source: bool,
}

impl Gather {
    fn entry(&mut self, labels: Labels) -> u32 {
        let next = self.entries.len() as u32;
        if !self.one_source {
            let (entries, hasher) = (&self.entries, &self.hasher);
            let of = |at: &u32| entries.get(*at as usize).map(|entry| &entry.labels);
            let hash = |at: &u32| hasher.hash_one(of(at));
            let equal = |at: &u32| of(at) == Some(&labels);
            match self.places.entry(hasher.hash_one(Some(&labels)), equal, hash) {
                TableEntry::Occupied(known) => return *known.get(),
                TableEntry::Vacant(place) => place.insert(next),
            };
        }
        self.entries.push(Entry { labels, head: None, from: 0, to: 0 });
        next
    }
}

/// Adds the series of a block, charged to `memory`. A damaged index is an error, behind what could be read
/// of it.
fn add_block(
    (gather, parts, pages): (&mut Gather, &mut Vec<Part>, &mut Vec<(u32, PageRef)>),
    number: u32,
    block: &Block,
    wanted: &Wanted<'_>,
    budget: &Budget,
    memory: &mut Reservation,
) -> Result<()> {
    let told = wanted.ords.and_then(|all| all.get(number as usize));
    let ords = match told {
        Some(ords) => Cow::Borrowed(ords),
        None => Cow::Owned(block.resolve(wanted.matchers)?),
    };
    let mut n = 0usize;
    block.walk(&ords, wanted.range, pages, &mut |ord, walk, pages| {
        if n.is_multiple_of(SERIES_PER_CHECK) {
            budget.check_series(gather.entries.len() as u64)?;
        }
        n += 1;
        let labels = walk.labels()?;
        memory.add(SELECTED_ENTRY_BYTES + LOOKUP_BYTES + labels.heap_bytes())?;
        let entry = gather.entry(labels);
        parts.push(Part { entry, block: number, ord, from: pages.start, to: pages.end });
        Ok(())
    })
}

/// The metrics that matchers allow.
fn metrics_of(matchers: &[Matcher]) -> Metrics {
    let of_name = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
    let mut metrics = Metrics::All;
    for matcher in of_name {
        match matcher.op {
            MatchOp::Equal => return Metrics::Named(vec![matcher.value.clone()]),
            MatchOp::Regex => match Pattern::read(&matcher.value) {
                Pattern::Literals(names) => metrics = Metrics::Named(names),
                Pattern::StartsWith(prefix) | Pattern::Prefix(prefix)
                    if metrics == Metrics::All =>
                {
                    metrics = Metrics::Beginning(prefix);
                }
                _ => {}
            },
            MatchOp::NotEqual | MatchOp::NotRegex => {}
        }
    }
    metrics
}

/// Adds the series that rows alone tell of.
fn add_rows(
    gather: &mut Gather,
    past: &Past<'_>,
    days: &[Day],
    wanted: &Wanted<'_>,
    (budget, memory, missing): (&Budget, &mut Reservation, &mut Vec<String>),
) -> Result<()> {
    let memory = RefCell::new(memory);
    let charge = |bytes: u64| memory.borrow_mut().add(bytes);
    let mut n = 0usize;
    past.series_of(days, &metrics_of(wanted.matchers), missing, &charge, &mut |labels| {
        if n.is_multiple_of(SERIES_PER_CHECK) {
            budget.check_series(gather.entries.len() as u64)?;
        }
        n += 1;
        if wanted.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name))) {
            memory.borrow_mut().add(SELECTED_ENTRY_BYTES + LOOKUP_BYTES)?;
            gather.entry(labels.clone());
        }
        Ok(())
    })
}

impl<'h> Selection<'h> {
    /// Unites what the head gave with the series of `blocks`. The head must have been asked before
    /// `blocks` was taken: a sample may then be seen twice, which merging mends, but never not at all.
    /// With `head` comes what has been charged for it.
    pub(crate) fn new(
        (head, mut memory): (Vec<HeadSelected>, Reservation),
        blocks: Vec<Arc<Block>>,
        wanted: &Wanted<'_>,
        budget: &Budget,
        mut missing: Vec<String>,
        dropped: Arc<AtomicU64>,
        past: Option<Past<'h>>,
    ) -> Result<Self> {
        budget.check_series(head.len() as u64)?;
        let rows_alone = past.as_ref().map(|past| past.days_without_samples(wanted.range));
        let rows_alone = rows_alone.unwrap_or_default();
        let n_sources = blocks.len() + usize::from(!head.is_empty()) + rows_alone.len();
        let one_source = n_sources < 2 && rows_alone.is_empty();
        let entry_bytes = SELECTED_ENTRY_BYTES + if one_source { 0 } else { LOOKUP_BYTES };
        memory.add(head.len() as u64 * entry_bytes)?;
        let mut gather = Gather {
            entries: Vec::with_capacity(head.len()),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            one_source,
        };
        for selected in head {
            let at = gather.entry(selected.labels);
            if let Some(entry) = gather.entries.get_mut(at as usize)
                && !wanted.labels_only
            {
                entry.head = Some(Box::new(selected.view));
            }
        }
        let (mut parts, mut pages) = (Vec::new(), Vec::new());
        for (number, block) in blocks.iter().enumerate() {
            let number = number as u32;
            let into = (&mut gather, &mut parts, &mut pages);
            match add_block(into, number, block, wanted, budget, &mut memory) {
                Err(Error::Corrupt(cause)) => {
                    missing
                        .push(format!("samples of block {} are missing: {cause}", block.meta().id));
                }
                added => added?,
            }
        }
        if let Some(past) = &past {
            missing.extend(past.cut_days(wanted.range));
            let n_deleted = past.n_deleted(&rows_alone);
            if n_deleted > 0 {
                missing.push(format!(
                    "rows count samples that were deleted when others of their day were gone ({n_deleted} of the days)"
                ));
            }
            add_rows(&mut gather, past, &rows_alone, wanted, (budget, &mut memory, &mut missing))?;
        }
        budget.check_series(gather.entries.len() as u64)?;
        let mut entries = gather.entries;
        parts.sort_by_key(|part| part.entry);
        for (i, part) in parts.iter().enumerate() {
            if let Some(entry) = entries.get_mut(part.entry as usize) {
                if entry.to == 0 {
                    entry.from = i as u32;
                }
                entry.to = i as u32 + 1;
            }
        }
        if !wanted.any_order {
            entries.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        let damages = Mutex::default();
        let samples_begin_ms = rows_alone.last().map(|day| day.end_ms());
        Ok(Self {
            past,
            samples_begin_ms,
            blocks,
            entries,
            ids: OnceLock::new(),
            parts,
            pages,
            missing,
            damages,
            dropped,
            _memory: memory,
        })
    }

    /// What names the series in rows, ascending.
    pub(super) fn ids(&self) -> &[i64] {
        self.ids.get_or_init(|| {
            let mut ids: Vec<i64> =
                self.entries.iter().map(|entry| series_id(&entry.labels)).collect();
            ids.sort_unstable();
            ids
        })
    }

    /// The earliest time at which the head may hold a sample of series `i`.
    pub(super) fn head_begins(&self, i: usize) -> Option<i64> {
        self.entries.get(i)?.head.as_ref()?.earliest()
    }

    /// Replaces `out` by what the head held of series `i`.
    pub(super) fn read_head(&self, i: usize, out: &mut SeriesData) {
        out.clear();
        if let Some(view) = self.entries.get(i).and_then(|entry| entry.head.as_ref()) {
            let own = view.read(TimeRange::ALL, out);
            debug_assert!(own.is_ok(), "the head's own chunks");
        }
    }

    /// The first damage that a read met.
    pub(crate) fn damage(&self) -> Option<Corruption> {
        self.damages.lock().first().map(|damage| damage.cause.clone())
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

impl SeriesSet for Selection<'_> {
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
                let pages = self.pages.get(part.from as usize..part.to as usize);
                let pages = pages.unwrap_or_default();
                let behind = |ts: Option<&i64>| ts.is_none_or(|last| *last < block.range().min);
                let own = behind(out.ts.last()) && behind(out.histograms.last().map(|(ts, _)| ts));
                scratch.part.clear();
                let to = if own { &mut *out } else { &mut scratch.part };
                match block.read_lossy(part.ord, pages, range, blocks, to, &mut damages) {
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

    fn tile<'s>(
        &'s self,
        windows: &Spaced,
        need: Need,
        budget: &Budget,
    ) -> Result<Option<Box<dyn WindowSet + 's>>> {
        let Some(past) = &self.past else { return Ok(None) };
        let tiled = Tiled::new(self, past, windows, need, budget)?;
        Ok(tiled.map(|tiled| Box::new(tiled) as Box<dyn WindowSet + 's>))
    }

    fn read_newest(
        &self,
        i: usize,
        (times, lookback_ms): (&[i64], i64),
        budget: &Budget,
        out: &mut SeriesData,
        untold: &mut Untold,
    ) -> Result<()> {
        let (Some(past), Some(begin_ms)) = (&self.past, self.samples_begin_ms) else {
            return Ok(());
        };
        let sought = Sought::new(self.labels(i), self.ids());
        let memory = RefCell::new(budget.reserve(0)?);
        let newest = Newest { past, sought, begin_ms, lookback_ms, memory };
        newest.read(times, budget, out, untold)
    }

    fn samples_begin_ms(&self) -> Option<i64> {
        self.samples_begin_ms
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
