//! From the label bytes as a sender writes them to the series, without reading a label.
//!
//! A key is a 128-bit hash of those bytes under a secret drawn at start: what two different label sets
//! share by chance is out of reach, and an attacker cannot aim without the secret.

use hashbrown::HashTable;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// Parts with a lock of their own.
const PARTS: usize = 64;
/// Bytes of the hash secret, as XXH3 derives it by default.
const SECRET_BYTES: usize = 192;
/// Bindings that a part may always have, and how many for each series it may have beyond that; then all are
/// forgotten and learnt anew: a sender that writes one series in ever new label orders must not fill the
/// memory.
const BINDINGS_PER_PART_MIN: usize = 16 << 10;
const BINDINGS_PER_SERIES_MAX: usize = 8;

/// Packed to 20 bytes.
#[derive(Debug, Clone, Copy)]
struct Binding {
    key: [u32; 4],
    place: u32,
}

fn words(key: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|shift| (key >> shift) as u32)
}

fn table_hash(key: &[u32; 4]) -> u64 {
    u64::from(key[0]) | u64::from(key[1]) << 32
}

/// The bindings of keys to places.
pub(crate) struct KeyMap {
    secret: [u8; SECRET_BYTES],
    parts: Vec<RwLock<HashTable<Binding>>>,
}

impl KeyMap {
    pub(crate) fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        for chunk in secret.chunks_mut(8) {
            use std::hash::{BuildHasher, Hasher};
            // The standard library's only door to the system's randomness.
            let random = std::hash::RandomState::new().build_hasher().finish().to_le_bytes();
            chunk.copy_from_slice(&random);
        }
        Self { secret, parts: (0..PARTS).map(|_| RwLock::new(HashTable::new())).collect() }
    }

    pub(crate) fn key(&self, raw_labels: &[u8]) -> u128 {
        xxh3_128_with_secret(raw_labels, &self.secret)
    }

    fn part(&self, key: &[u32; 4]) -> &RwLock<HashTable<Binding>> {
        &self.parts[key[3] as usize % PARTS]
    }

    pub(crate) fn find(&self, key: u128) -> Option<u32> {
        let key = words(key);
        let part = self.part(&key).read();
        part.find(table_hash(&key), |b| b.key == key).map(|b| b.place)
    }

    /// Binds `key`; `n_series` is how many series there are.
    pub(crate) fn bind(&self, key: u128, place: u32, n_series: usize) {
        let key = words(key);
        let mut part = self.part(&key).write();
        let max = BINDINGS_PER_PART_MIN + n_series.saturating_mul(BINDINGS_PER_SERIES_MAX) / PARTS;
        if part.len() >= max {
            part.clear();
        }
        let hash = table_hash(&key);
        if part.find(hash, |b| b.key == key).is_none() {
            part.insert_unique(hash, Binding { key, place }, |b| table_hash(&b.key));
        }
    }

    /// Heap bytes owned.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.parts.iter().map(|p| p.read().allocation_size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ever_new_keys_of_few_series_do_not_fill_the_memory() {
        let map = KeyMap::new();
        for i in 0..4 * BINDINGS_PER_PART_MIN as u128 {
            map.bind(i, 7, 1);
        }
        assert!(map.heap_bytes() < 3 * BINDINGS_PER_PART_MIN * 40, "{}", map.heap_bytes());
        assert_eq!(map.find(4 * BINDINGS_PER_PART_MIN as u128 - 1), Some(7));
    }

    #[test]
    fn binds_and_finds_by_the_whole_key() {
        let map = KeyMap::new();
        let key = map.key(b"\n\x0f__name__");
        assert_eq!(map.find(key), None);
        map.bind(key, 7, 1);
        assert_eq!(map.find(key), Some(7));
        for bit in 0..128 {
            assert_eq!(map.find(key ^ (1 << bit)), None, "bit {bit} is part of the key");
        }
        assert_eq!(map.key(b"abc"), map.key(b"abc"));
        assert_ne!(map.key(b"abc"), KeyMap::new().key(b"abc"), "each process has its own secret");
    }
}
