//! Keys of series that come as places in a table of symbols, where each label name and value stands once.
//!
//! The table differs from request to request, so a key is made of what stands there: each symbol is hashed once
//! per table, and a series' key is a sum of its symbols' hashes, each times the factor of its position. Equal
//! names and values in equal order have equal keys, whatever the tables.
//!
//! Hashes and factors come from secrets drawn at start, so nobody outside can tell which series share a key, and
//! two that differ anywhere do by a chance of one in 2^96. For the difference of their sums is a factor times the
//! difference of two hashes, plus what the other positions give (multilinear hashing). Where the hashes differ by
//! a multiple of 2^k, that says nothing in the `k` lowest bits. So the key leaves out the lowest 16 bits of each of
//! its two sums of 64: `k` is larger by a chance of one in 2^17 only, and 64 - `k` bits are left even then, so that
//! all these cases together add less than one in 2^59 to the one in 2^48 of a sum.
//!
//! The factors must be secret. With powers of a known number, label sets that swap two values in the pattern of the
//! Thue-Morse sequence would agree in many low bits whatever the secret.

use xxhash_rust::xxh3::xxh3_128_with_secret;

use super::keys::{SECRET_BYTES, random_secret, random_words};

/// Most symbols of one series: so many positions have a factor.
pub const SERIES_SYMBOLS_MAX: usize = 128;

/// Low bits of each sum that the key does not have.
const BITS_LEFT_OUT: u32 = 16;

/// Hash of a label name or value, of use with the [`SymbolKeys`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolHash([u64; 2]);

/// See the module.
pub struct SymbolKeys {
    secret: [u8; SECRET_BYTES],
    factors: [[u64; 2]; SERIES_SYMBOLS_MAX],
}

impl Default for SymbolKeys {
    /// With a secret of its own.
    fn default() -> Self {
        let mut words = random_words();
        let factors =
            [(); SERIES_SYMBOLS_MAX].map(|()| [(); 2].map(|()| words.next().unwrap_or_default()));
        Self { secret: random_secret(), factors }
    }
}

impl SymbolKeys {
    /// The hash of a symbol.
    #[must_use]
    #[inline]
    pub fn hash(&self, symbol: &[u8]) -> SymbolHash {
        let hash = xxh3_128_with_secret(symbol, &self.secret);
        SymbolHash([hash as u64, (hash >> 64) as u64])
    }

    /// The key of the series whose names and values, in turn, stand at `places` of a table with the hashes
    /// `table`. `None` when a place is outside of it, or there are more than [`SERIES_SYMBOLS_MAX`].
    #[must_use]
    #[inline]
    pub fn key(&self, table: &[SymbolHash], places: &[u32]) -> Option<u128> {
        if places.len() > SERIES_SYMBOLS_MAX {
            return None;
        }
        let mut sums = Sums::default();
        for (place, factors) in places.iter().zip(&self.factors) {
            sums.add(factors, table.get(*place as usize)?);
        }
        Some(sums.key())
    }

    /// The key of some symbols, as [`SymbolKeys::key`] of a table of nothing else.
    #[must_use]
    pub fn key_of<const N: usize>(&self, symbols: [SymbolHash; N]) -> u128 {
        const { assert!(N <= SERIES_SYMBOLS_MAX) };
        let mut sums = Sums::default();
        symbols.iter().zip(&self.factors).for_each(|(hash, factors)| sums.add(factors, hash));
        sums.key()
    }
}

#[derive(Default)]
struct Sums([u64; 2]);

impl Sums {
    #[inline]
    fn add(&mut self, factors: &[u64; 2], hash: &SymbolHash) {
        for ((sum, factor), hash) in self.0.iter_mut().zip(factors).zip(hash.0) {
            *sum = sum.wrapping_add(factor.wrapping_mul(hash));
        }
    }

    #[inline]
    fn key(self) -> u128 {
        let [low, high] = self.0.map(|sum| u128::from(sum >> BITS_LEFT_OUT));
        low | high << (u64::BITS - BITS_LEFT_OUT)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashSet;

    use super::*;

    fn table(keys: &SymbolKeys, symbols: &[&str]) -> Vec<SymbolHash> {
        symbols.iter().map(|symbol| keys.hash(symbol.as_bytes())).collect()
    }

    #[test]
    fn equal_symbols_in_equal_order_have_one_key_whatever_the_table() {
        let keys = SymbolKeys::default();
        let one = table(&keys, &["", "__name__", "up", "job", "node"]);
        let two = table(&keys, &["node", "x", "job", "", "up", "__name__", "job"]);
        let key = keys.key(&one, &[1, 2, 3, 4]).unwrap();
        assert_eq!(keys.key(&two, &[5, 4, 2, 0]), Some(key));
        assert_eq!(keys.key(&two, &[5, 4, 6, 0]), Some(key));
        assert_eq!(keys.key_of([one[1], one[2], one[3], one[4]]), key);
        assert!(key >> 96 == 0);
        let others = SymbolKeys::default();
        let three = table(&others, &["", "__name__", "up", "job", "node"]);
        assert_ne!(others.key(&three, &[1, 2, 3, 4]), Some(key), "each has its own secret");
    }

    #[test]
    fn places_outside_of_the_table_and_too_many_of_them_have_no_key() {
        let keys = SymbolKeys::default();
        let table = table(&keys, &["a", "b"]);
        assert_eq!(keys.key(&table, &[0, 2]), None);
        assert_eq!(keys.key(&table, &[u32::MAX]), None);
        assert!(keys.key(&table, &[1; SERIES_SYMBOLS_MAX]).is_some());
        assert_eq!(keys.key(&table, &[1; SERIES_SYMBOLS_MAX + 1]), None);
    }

    /// Symbols in other positions, also in the patterns that make polynomials agree.
    #[test]
    fn every_order_of_the_same_symbols_has_a_key_of_its_own() {
        let keys = SymbolKeys::default();
        let table = table(&keys, &["a", "b", "c", "d"]);
        let mut seen = HashSet::new();
        let mut n = 0;
        let halves = |key: u128| [key as u64 & 0xffff_ffff_ffff, (key >> 48) as u64];
        let mut see = |places: &[u32]| {
            let key = keys.key(&table, places).unwrap();
            n += 1;
            // Each half for itself has 48 bits: no two of these few agree in either.
            for (half, bits) in halves(key).into_iter().enumerate() {
                assert!(seen.insert((half, bits)), "{places:?}");
            }
        };
        for number in 0..4u32.pow(6) {
            let places: Vec<u32> = (0..6).map(|digit| number >> (2 * digit) & 3).collect();
            see(&places);
        }
        for order in 3..=7 {
            let thue_morse = |flip: u32| -> Vec<u32> {
                (0..1u32 << order).map(|i| (i.count_ones() + flip) & 1).collect()
            };
            see(&thue_morse(0));
            see(&thue_morse(1));
            see(&vec![0; 1 << order]);
        }
        assert_eq!(n, 4096 + 15);
    }
}
