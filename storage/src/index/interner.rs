//! Runs of symbols or bytes kept once each and named by dense numbers: the one table behind symbols,
//! entities, shapes and series rows.
//!
//! Runs lie in pages, none across a page's end, so that growing never copies what is there and a run
//! is one slice. The hash tables hold the numbers only; hashes are recomputed from the runs.
//!
//! The number of a forgotten run is given to the next new run of the same length, which overwrites the old
//! one in its place: nothing else moves, whatever comes and goes.

use std::hash::{BuildHasher, RandomState};

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};

use super::paged::Paged;

/// Elements of a page.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 16;
/// Parts of a large interner's hash table. A table that grows moves all it holds in one go; a part of one
/// with 10 million runs does so in milliseconds.
const PARTS: usize = 256;
/// Bits of a hash that name its part: not those that name a place or a tag inside the part.
const PART_SHIFT: u32 = 40;
/// Tables and lists up to this size are not made smaller.
const SHRINK_MIN: usize = 64;
/// How many times what it holds a table may have room for before it is made smaller: far more than growing
/// leaves, so that shrinking and growing do not take turns.
const SHRINK_AT: usize = 8;

/// The room to which a table for `len` that has room for `capacity` is to be made smaller, if it is.
pub(super) fn smaller(len: usize, capacity: usize) -> Option<usize> {
    (capacity > SHRINK_MIN && len < capacity / SHRINK_AT).then_some(len * 2)
}

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

/// The table. New runs get the numbers of forgotten ones, else the next.
#[derive(Debug)]
pub(super) struct Interner<T> {
    pages: Vec<Vec<T>>,
    /// Start of each run: page number in the high bits, place in the page in the low ones.
    starts: Paged,
    /// By part of the hash; as many as a power of two.
    tables: Vec<HashTable<u32>>,
    /// Numbers of forgotten runs, by length.
    free: HashMap<usize, Vec<u32>>,
    n_free: usize,
    seed: u64,
    /// All numbers are below this.
    pub(super) end_max: u32,
}

impl<T: Element> Interner<T> {
    /// For few runs.
    pub(super) fn small() -> Self {
        Self {
            pages: Vec::new(),
            starts: Paged::default(),
            tables: vec![HashTable::new()],
            free: HashMap::new(),
            n_free: 0,
            seed: RandomState::new().hash_one(0u8),
            end_max: u32::MAX,
        }
    }

    /// For as many runs as come.
    pub(super) fn large() -> Self {
        Self { tables: vec![HashTable::new(); PARTS], ..Self::small() }
    }

    /// All numbers given so far, those of forgotten runs included, are below this.
    pub(super) fn end(&self) -> usize {
        self.starts.len()
    }

    /// Runs that have a number.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - self.n_free
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.capacity() * size_of::<T>()).sum();
        let parts: usize = self.tables.iter().map(HashTable::allocation_size).sum();
        let free: usize = self.free.values().map(|ids| ids.capacity() * 4).sum();
        let tables = self.tables.capacity() * size_of::<HashTable<u32>>();
        pages + self.starts.bytes() + parts + tables + free + self.free.allocation_size()
    }

    /// The run with number `id`; empty when there is none. A forgotten run is read as long as its number has
    /// not been given again.
    pub(super) fn get(&self, id: u32) -> &[T] {
        run(&self.pages, &self.starts, id)
    }

    /// The number of `wanted`, if it has one.
    pub(super) fn find(&self, wanted: &[T]) -> Option<u32> {
        let hash = T::hash(wanted, self.seed);
        let table = self.tables.get(part(hash, self.tables.len()))?;
        table.find(hash, |id| self.get(*id) == wanted).copied()
    }

    /// The number of `wanted` and whether it is new; `None` when the numbers are used up.
    pub(super) fn intern(&mut self, wanted: &[T]) -> Option<(u32, bool)> {
        let Self { pages, starts, tables, free, n_free, seed, end_max } = self;
        let hash = T::hash(wanted, *seed);
        let part = part(hash, tables.len());
        let same = |id: &u32| run(pages, starts, *id) == wanted;
        let rehash = |id: &u32| T::hash(run(pages, starts, *id), *seed);
        match tables.get_mut(part)?.entry(hash, same, rehash) {
            Entry::Occupied(found) => Some((*found.get(), false)),
            Entry::Vacant(place) => {
                let id = match take_free(free, wanted.len()) {
                    Some(id) => {
                        *n_free -= 1;
                        overwrite(pages, starts, id, wanted);
                        id
                    }
                    None => {
                        let id = u32::try_from(starts.len()).ok().filter(|id| *id < *end_max)?;
                        starts.push(append(pages, wanted)?);
                        id
                    }
                };
                place.insert(id);
                Some((id, true))
            }
        }
    }

    /// Forgets the run with number `id`: it is found no more, and the number may be given again.
    pub(super) fn forget(&mut self, id: u32) {
        let Self { pages, starts, tables, free, n_free, seed, .. } = self;
        let rehash = |id: &u32| T::hash(run(pages, starts, *id), *seed);
        let hash = rehash(&id);
        let part = part(hash, tables.len());
        let Some(table) = tables.get_mut(part) else { return };
        let Ok(found) = table.find_entry(hash, |other| *other == id) else { return };
        found.remove();
        if let Some(room) = smaller(table.len(), table.capacity()) {
            table.shrink_to(room, rehash);
        }
        free.entry(run(pages, starts, id).len()).or_default().push(id);
        *n_free += 1;
    }

    /// Overwrites a forgotten run by `filling`, as often as it is long.
    pub(super) fn blank(&mut self, id: u32, filling: T) {
        if let Some(run) = run_mut(&mut self.pages, &self.starts, id) {
            run.fill(filling);
        }
    }
}

fn part(hash: u64, parts: usize) -> usize {
    (hash >> PART_SHIFT) as usize & (parts - 1)
}

/// A number that was forgotten for a run of length `len`.
fn take_free(free: &mut HashMap<usize, Vec<u32>>, len: usize) -> Option<u32> {
    if free.is_empty() {
        return None;
    }
    let ids = free.get_mut(&len)?;
    let id = ids.pop();
    if ids.is_empty() {
        free.remove(&len);
    } else if let Some(room) = smaller(ids.len(), ids.capacity()) {
        ids.shrink_to(room);
    }
    id
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
    let needed = page.len() + wanted.len();
    if needed > page.capacity() {
        // Powers of two end at a page; growing by itself would go beyond.
        let room = needed.next_power_of_two().min(PAGE).max(needed);
        page.reserve_exact(room - page.len());
    }
    page.extend_from_slice(wanted);
    for _ in 1..wanted.len().div_ceil(PAGE) {
        pages.push(Vec::new());
    }
    Some(start)
}

/// Page and bounds in it of the run with number `id`, the end absent when it is the page's.
fn place(starts: &Paged, id: u32) -> Option<(usize, usize, Option<usize>)> {
    let id = id as usize;
    let start = starts.get(id)?;
    let (number, low) = ((start >> PAGE_BITS) as usize, start as usize & (PAGE - 1));
    let next = starts.get(id + 1).filter(|next| (next >> PAGE_BITS) as usize == number);
    Some((number, low, next.map(|next| next as usize & (PAGE - 1))))
}

fn run<'a, T>(pages: &'a [Vec<T>], starts: &Paged, id: u32) -> &'a [T] {
    let Some((number, low, high)) = place(starts, id) else { return &[] };
    let Some(page) = pages.get(number) else { return &[] };
    page.get(low..high.unwrap_or(page.len())).unwrap_or(&[])
}

fn run_mut<'a, T>(pages: &'a mut [Vec<T>], starts: &Paged, id: u32) -> Option<&'a mut [T]> {
    let (number, low, high) = place(starts, id)?;
    let page = pages.get_mut(number)?;
    let high = high.unwrap_or(page.len());
    page.get_mut(low..high)
}

/// Writes `wanted` over a run of the same length.
fn overwrite<T: Element>(pages: &mut [Vec<T>], starts: &Paged, id: u32, wanted: &[T]) {
    if let Some(run) = run_mut(pages, starts, id).filter(|run| run.len() == wanted.len()) {
        run.copy_from_slice(wanted);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn keeps_runs_of_every_length_across_pages() {
        for mut table in [Interner::<u32>::small(), Interner::<u32>::large()] {
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
            assert_eq!((table.len(), table.end()), (runs.len(), runs.len()));
        }
    }

    #[test]
    fn a_forgotten_number_goes_to_a_run_of_the_same_length() {
        let mut table = Interner::<u32>::small();
        let mut runs: Vec<Vec<u32>> =
            vec![vec![], vec![7; 3 * PAGE + 1], vec![1, 2], vec![3], vec![4, 5], vec![6; PAGE]];
        for run in &runs {
            table.intern(run).unwrap();
        }
        let bytes = table.bytes();
        for (at, id) in [0, 1, 2, 4, 5].into_iter().enumerate() {
            table.forget(id);
            table.forget(id);
            assert_eq!(table.find(&runs[id as usize]), None);
            assert_eq!((table.len(), table.end()), (runs.len() - at - 1, runs.len()));
        }
        for id in [1, 4, 2, 5] {
            runs[id] = runs[id].iter().map(|element| element + 10).collect();
            assert_eq!(table.intern(&runs[id]), Some((id as u32, true)));
        }
        assert_eq!(table.intern(&[20]), Some((6, true)), "no run of this length is free");
        assert_eq!(table.intern(&[]), Some((0, true)));
        runs.push(vec![20]);
        for (id, run) in runs.iter().enumerate() {
            assert_eq!(table.get(id as u32), run.as_slice());
            assert_eq!(table.find(run), Some(id as u32));
        }
        assert!(table.bytes() < bytes + 1_000, "long runs were overwritten in place");
    }

    #[test]
    fn tables_and_lists_of_free_numbers_become_smaller() {
        let mut table = Interner::<u32>::small();
        for i in 0..100_000 {
            table.intern(&[i]).unwrap();
        }
        let full = table.bytes();
        let runs = 100_000 * 8;
        assert!(full > runs + 100_000 * 4);
        (10..100_000).for_each(|id| table.forget(id));
        assert!(table.bytes() < runs + 131_072 * 4 + 300_000, "{}", table.bytes());
        (0..10).for_each(|i| assert_eq!(table.find(&[i]), Some(i)));
        for i in 100_000..199_990 {
            assert!(table.intern(&[i]).unwrap().0 < 100_000);
        }
        assert!(table.bytes() <= full + 1_000, "{} {full}", table.bytes());
    }

    #[test]
    fn pages_do_not_grow_beyond_their_end() {
        let mut table = Interner::<u8>::small();
        for i in 0..50_000u32 {
            table.intern(format!("{i:0>13}").as_bytes()).unwrap();
        }
        let pages: usize = table.pages.iter().map(Vec::capacity).sum();
        assert!(pages <= 50_000 * 13 + PAGE, "{pages}");
    }

    #[test]
    fn an_empty_run_first_and_alone() {
        let mut table = Interner::<u8>::small();
        assert_eq!(table.intern(b""), Some((0, true)));
        assert_eq!(table.intern(b"a"), Some((1, true)));
        assert_eq!(table.get(0), b"");
        assert_eq!(table.get(1), b"a");
        assert_eq!(table.get(2), b"");
    }
}
