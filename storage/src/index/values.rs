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

type Table = HashMap<u32, Postings, BuildHasherDefault<SymbolHasher>>;

/// Who has which value, by symbol.
#[derive(Debug)]
pub(super) struct Values {
    /// One, or [`PARTS`] by the low bits of the symbol.
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
        self.tables.get(*value as usize & (self.tables.len() - 1))?.get(value)
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

    pub(super) fn keys(&self) -> impl Iterator<Item = &u32> {
        self.tables.iter().flat_map(Table::keys)
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

fn table_of(tables: &mut [Table], value: u32) -> Option<&mut Table> {
    let part = value as usize & (tables.len() - 1);
    tables.get_mut(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_and_go_with_the_number_of_values() {
        let mut values = Values::new();
        let n = 3 * ONE_MAX as u32;
        let check = |values: &Values, here: std::ops::Range<u32>| {
            assert_eq!(values.len(), here.len());
            let mut keys: Vec<u32> = values.keys().copied().collect();
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
}
