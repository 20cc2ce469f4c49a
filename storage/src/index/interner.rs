//! Runs of symbols or bytes kept once each and named by dense numbers: the one table behind symbols,
//! entities, shapes and series rows.
//!
//! Runs lie in pages, none across a page's end, so that growing never copies what is there and a run
//! is one slice. The hash table holds the numbers only; hashes are recomputed from the runs.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Elements of a page (its capacity may differ by the growth of a `Vec`).
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 16;

/// What runs are made of.
pub(super) trait Element: Copy + Eq {
    /// Hash of a run.
    fn hash(run: &[Self], seed: u64) -> u64;
}

impl Element for u8 {
    fn hash(run: &[Self], seed: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(run, seed)
    }
}

impl Element for u32 {
    fn hash(run: &[Self], seed: u64) -> u64 {
        let mut hash = seed ^ (run.len() as u64);
        for element in run {
            let mixed = (hash ^ u64::from(*element)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash = mixed ^ (mixed >> 29);
        }
        hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^ (hash >> 32)
    }
}

/// A vector that grows by pages.
#[derive(Debug, Default)]
struct Paged {
    pages: Vec<Vec<u32>>,
    len: usize,
}

impl Paged {
    fn push(&mut self, value: u32) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Vec::new());
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(value);
            self.len += 1;
        }
    }

    fn get(&self, i: usize) -> Option<u32> {
        self.pages.get(i >> PAGE_BITS)?.get(i & (PAGE - 1)).copied()
    }

    fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.capacity() * 4).sum()
    }
}

/// The table. Numbers are given in the order of arrival and never given again.
#[derive(Debug)]
pub(super) struct Interner<T> {
    pages: Vec<Vec<T>>,
    /// Start of each run: page number in the high bits, place in the page in the low ones.
    starts: Paged,
    table: HashTable<u32>,
    seed: u64,
}

impl<T: Element> Interner<T> {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            starts: Paged::default(),
            table: HashTable::new(),
            seed: RandomState::new().hash_one(0u8),
        }
    }

    /// Runs that were ever given a number.
    pub(super) fn len(&self) -> usize {
        self.starts.len
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.capacity() * size_of::<T>()).sum();
        pages + self.starts.bytes() + self.table.allocation_size()
    }

    /// The run with number `id`; empty when there is none.
    pub(super) fn get(&self, id: u32) -> &[T] {
        run(&self.pages, &self.starts, id)
    }

    /// The number of `wanted`, if it has one.
    pub(super) fn find(&self, wanted: &[T]) -> Option<u32> {
        let hash = T::hash(wanted, self.seed);
        self.table.find(hash, |id| self.get(*id) == wanted).copied()
    }

    /// The number of `wanted` and whether it is new; `None` when the numbers are used up.
    pub(super) fn intern(&mut self, wanted: &[T]) -> Option<(u32, bool)> {
        let Self { pages, starts, table, seed } = self;
        let hash = T::hash(wanted, *seed);
        let same = |id: &u32| run(pages, starts, *id) == wanted;
        let rehash = |id: &u32| T::hash(run(pages, starts, *id), *seed);
        match table.entry(hash, same, rehash) {
            Entry::Occupied(found) => Some((*found.get(), false)),
            Entry::Vacant(place) => {
                let id = u32::try_from(starts.len).ok().filter(|id| *id < u32::MAX)?;
                starts.push(append(pages, wanted)?);
                place.insert(id);
                Some((id, true))
            }
        }
    }

    /// Takes the number out of the table: the run can be read by its number but no longer be found.
    pub(super) fn forget(&mut self, id: u32) {
        let hash = T::hash(self.get(id), self.seed);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == id) {
            found.remove();
        }
    }
}

/// Copies `wanted` behind the last run and answers where it begins.
fn append<T: Element>(pages: &mut Vec<Vec<T>>, wanted: &[T]) -> Option<u32> {
    let fits = pages.last().is_some_and(|last| {
        // An empty last page stands for the rest of a run longer than a page.
        !last.is_empty() && last.len() < PAGE && last.len() + wanted.len() <= PAGE
    });
    if !fits {
        pages.push(Vec::new());
    }
    let number = pages.len() - 1;
    let page = pages.last_mut()?;
    let start = u32::try_from((number << PAGE_BITS) + page.len()).ok()?;
    page.extend_from_slice(wanted);
    for _ in 1..wanted.len().div_ceil(PAGE) {
        pages.push(Vec::new());
    }
    Some(start)
}

fn run<'a, T>(pages: &'a [Vec<T>], starts: &Paged, id: u32) -> &'a [T] {
    let id = id as usize;
    let Some(start) = starts.get(id) else { return &[] };
    let (number, low) = ((start >> PAGE_BITS) as usize, start as usize & (PAGE - 1));
    let Some(page) = pages.get(number) else { return &[] };
    let high = match starts.get(id + 1) {
        Some(next) if (next >> PAGE_BITS) as usize == number => next as usize & (PAGE - 1),
        _ => page.len(),
    };
    page.get(low..high).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keeps_runs_of_every_length_across_pages() {
        let mut table = Interner::<u32>::new();
        let mut runs: Vec<Vec<u32>> = vec![vec![], vec![7; 3 * PAGE + 1]];
        runs.extend((0..5_000u32).map(|i| (i..i + 40).collect()));
        runs.push(vec![9; PAGE]);
        runs.push(vec![1]);
        for (i, run) in runs.iter().enumerate() {
            assert_eq!(table.intern(run), Some((i as u32, true)));
        }
        for (i, run) in runs.iter().enumerate() {
            assert_eq!(table.get(i as u32), run.as_slice());
            assert_eq!(table.intern(run), Some((i as u32, false)));
            assert_eq!(table.find(run), Some(i as u32));
        }
        assert_eq!(table.find(&[8]), None);
        assert_eq!(table.len(), runs.len());
        table.forget(3);
        assert_eq!(table.find(&runs[3]), None);
        assert_eq!(table.get(3), runs[3].as_slice());
        assert_eq!(table.intern(&runs[3]), Some((runs.len() as u32, true)));
    }

    #[test]
    fn an_empty_run_first_and_alone() {
        let mut table = Interner::<u8>::new();
        assert_eq!(table.intern(b""), Some((0, true)));
        assert_eq!(table.intern(b"a"), Some((1, true)));
        assert_eq!(table.get(0), b"");
        assert_eq!(table.get(1), b"a");
        assert_eq!(table.get(2), b"");
    }
}
