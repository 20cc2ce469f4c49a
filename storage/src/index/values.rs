//! The values of a label name with who has them.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use super::interner::smaller;
use super::postings::Postings;

/// Tables of a label with many values. A table that grows moves all it holds in one go; one of many does so
/// in milliseconds where a label has 10 million values.
const PARTS: usize = 256;
/// Values above which there is more than one table.
const ONE_MAX: usize = 8192;
/// Values below which there is one again.
const PARTS_MIN: usize = ONE_MAX / 8;

/// Spreads dense numbers over a hash table.
#[derive(Debug, Default)]
pub(super) struct SymbolHasher(u64);

impl Hasher for SymbolHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// How tables by symbol are hashed.
pub(super) type SymbolHashing = BuildHasherDefault<SymbolHasher>;

type Table = HashMap<u32, Postings, SymbolHashing>;

/// Who has which value, by symbol.
#[derive(Debug)]
pub(super) struct Values {
    /// One, or [`PARTS`].
    tables: Vec<Table>,
    len: usize,
}

impl Values {
    pub(super) fn new() -> Self {
        Self { tables: vec![Table::default()], len: 0 }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, value: &u32) -> Option<&Postings> {
        self.tables.get(part(*value, self.tables.len()))?.get(value)
    }

    /// Adds a holder of `value`; whether it is the first.
    pub(super) fn add(&mut self, value: u32, holder: u32) -> bool {
        let Some(table) = table_of(&mut self.tables, value) else { return false };
        let postings = table.entry(value).or_insert_with(Postings::empty);
        let is_first = postings.is_empty();
        postings.insert(holder);
        if is_first {
            self.len += 1;
            if self.len > ONE_MAX && self.tables.len() == 1 {
                self.redistribute(PARTS);
            }
        }
        is_first
    }

    /// Removes a holder of `value`; whether it was the last.
    pub(super) fn remove(&mut self, value: u32, holder: u32) -> bool {
        let Some(table) = table_of(&mut self.tables, value) else { return false };
        let Some(postings) = table.get_mut(&value) else { return false };
        postings.remove(holder);
        if !postings.is_empty() {
            return false;
        }
        table.remove(&value);
        if let Some(room) = smaller(table.len(), table.capacity()) {
            table.shrink_to(room);
        }
        self.len -= 1;
        if self.len < PARTS_MIN && self.tables.len() > 1 {
            self.redistribute(1);
        }
        true
    }

    fn redistribute(&mut self, parts: usize) {
        let before = std::mem::replace(&mut self.tables, vec![Table::default(); parts]);
        for (value, postings) in before.into_iter().flatten() {
            if let Some(table) = table_of(&mut self.tables, value) {
                table.insert(value, postings);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&u32, &Postings)> {
        self.tables.iter().flatten()
    }

    pub(super) fn postings(&self) -> impl Iterator<Item = &Postings> {
        self.tables.iter().flat_map(Table::values)
    }

    pub(super) fn postings_mut(&mut self) -> impl Iterator<Item = &mut Postings> {
        self.tables.iter_mut().flat_map(Table::values_mut)
    }

    /// Bytes on the heap without those of the postings.
    pub(super) fn bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(Table::allocation_size).sum();
        tables + self.tables.capacity() * size_of::<Table>()
    }
}

/// Symbols follow each other: parts by their low bits, or by a hash that spreads them evenly, would all be
/// full, and grow, at the same time. This one is as uneven as chance.
fn part(value: u32, parts: usize) -> usize {
    let mixed = (value ^ (value >> 16)).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
    (mixed ^ (mixed >> 16)) as usize & (parts - 1)
}

fn table_of(tables: &mut [Table], value: u32) -> Option<&mut Table> {
    let part = part(value, tables.len());
    tables.get_mut(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn parts_come_and_go_with_the_number_of_values() {
        let mut values = Values::new();
        let n = 3 * ONE_MAX as u32;
        let check = |values: &Values, here: std::ops::Range<u32>| {
            assert_eq!(values.len(), here.len());
            let mut keys: Vec<u32> = values.iter().map(|entry| *entry.0).collect();
            keys.sort_unstable();
            assert!(keys.into_iter().eq(here.clone()));
            assert_eq!(values.iter().count(), here.len());
            for value in 0..n {
                let holders = values.get(&value).map(|holders| holders.iter().collect::<Vec<_>>());
                assert_eq!(holders, here.contains(&value).then(|| vec![value + 7, value + 9]));
            }
        };
        for value in 0..n {
            assert!(values.add(value, value + 9));
            assert!(!values.add(value, value + 7));
            if value as usize + 1 == ONE_MAX {
                assert_eq!(values.tables.len(), 1);
                check(&values, 0..value + 1);
            }
        }
        assert_eq!(values.tables.len(), PARTS);
        check(&values, 0..n);
        let full = values.bytes();
        for value in 0..n - PARTS_MIN as u32 + 1 {
            assert!(!values.remove(value, value + 8), "not a holder");
            assert!(!values.remove(value, value + 7));
            assert!(values.remove(value, value + 9));
            assert!(!values.remove(value, value + 9));
        }
        assert_eq!(values.tables.len(), 1);
        check(&values, n - PARTS_MIN as u32 + 1..n);
        assert!(values.bytes() * 10 < full, "{} {full}", values.bytes());
    }

    #[test]
    fn parts_grow_one_after_the_other() {
        let mut values = Values::new();
        let mut grown = Vec::new();
        let room = |values: &Values| values.tables.iter().map(Table::capacity).sum::<usize>();
        for value in 0..200_000 {
            let before = room(&values);
            values.add(value, 1);
            if value > 80_000 && room(&values) > before {
                grown.push(value);
                assert!(room(&values) - before < 2_000);
            }
        }
        assert_eq!(grown.len(), PARTS);
        let close = grown.windows(2).filter(|pair| pair[1] - pair[0] < 4).count();
        assert!(close < grown.len() / 4, "{close} of {}", grown.len());
    }
}
