//! From the label bytes as a sender writes them to the series, without reading a label.
//!
//! A key is a 96-bit hash of those bytes under a secret drawn at start: what two different label sets
//! share by chance is out of reach (one in 10^13 at ninety million series), and an attacker cannot aim
//! without the secret.
//!
//! Senders write their series in the same order again and again. So each binding remembers which one was
//! asked for after it, and that one is tried before the hash table is.
//!
//! A batch keeps the bindings locked for reading until its samples are applied; what it learns is bound at
//! its end. As long as nobody reads, places may be taken out of use.

use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_128_with_secret;

use super::Place;
use super::paged::Paged;

/// Parts of the table: one that grows does not make the others wait.
const PARTS: usize = 64;
/// Bytes of the hash secret, as XXH3 derives it by default.
pub(super) const SECRET_BYTES: usize = 192;
/// Bindings that a part may always have, and how many for each series it may have beyond that; then all are
/// forgotten and learnt anew: a sender that writes one series in ever new label orders must not fill the
/// memory.
const BINDINGS_PER_PART_MIN: usize = 16 << 10;
const BINDINGS_PER_SERIES_MAX: usize = 8;

/// Before the first binding that a batch asked for.
pub(super) const NO_BINDING: u32 = u32::MAX;

type Key = [u32; 3];

/// Stands where a binding was. As a hash as improbable as any other.
const NO_KEY: Key = [u32::MAX; 3];

#[derive(Debug)]
struct Binding {
    key: Key,
    place: Place,
    /// The binding that was asked for next, the last time.
    next: AtomicU32,
}

fn words(key: u128) -> Key {
    [0, 32, 64].map(|shift| (key >> shift) as u32)
}

fn table_hash(key: &Key) -> u64 {
    u64::from(key[0]) | u64::from(key[1]) << 32
}

fn part_of(key: &Key) -> usize {
    key[2] as usize % PARTS
}

/// Keys and their places.
#[derive(Debug)]
pub(super) struct Bindings {
    bindings: Paged<Binding>,
    /// Numbers of bindings by key.
    parts: Vec<HashTable<u32>>,
    free: Vec<u32>,
    /// How often places were taken out of use.
    epoch: u64,
}

impl Bindings {
    /// The place bound to `key`; `cursor` goes from one call of a batch to the next.
    #[inline]
    pub(super) fn find(&self, key: u128, cursor: &mut u32) -> Option<Place> {
        let key = words(key);
        let last = self.bindings.get(*cursor as usize);
        if let Some(last) = last {
            let next = last.next.load(Ordering::Relaxed);
            if let Some(binding) = self.bindings.get(next as usize).filter(|b| b.key == key) {
                *cursor = next;
                return Some(binding.place);
            }
        }
        let number = self.lookup(&key)?;
        if let Some(last) = last {
            last.next.store(number, Ordering::Relaxed);
        }
        *cursor = number;
        self.bindings.get(number as usize).map(|binding| binding.place)
    }

    fn lookup(&self, key: &Key) -> Option<u32> {
        let part = self.parts.get(part_of(key))?;
        let same =
            |number: &u32| self.bindings.get(*number as usize).is_some_and(|b| b.key == *key);
        part.find(table_hash(key), same).copied()
    }

    /// How often places were taken out of use: what was found before may be bound no more.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Binds `key`; `n_series` is how many series there are.
    pub(super) fn bind(&mut self, key: u128, place: Place, n_series: usize) {
        let key = words(key);
        if self.lookup(&key).is_some() {
            return;
        }
        let max = BINDINGS_PER_PART_MIN + n_series.saturating_mul(BINDINGS_PER_SERIES_MAX) / PARTS;
        let Self { bindings, parts, free, .. } = self;
        let Some(part) = parts.get_mut(part_of(&key)) else { return };
        if part.len() >= max {
            for number in part.drain() {
                retire(bindings, free, number);
            }
        }
        let binding = Binding { key, place, next: AtomicU32::new(NO_BINDING) };
        let number = match free.pop() {
            Some(number) => {
                if let Some(old) = bindings.get_mut(number as usize) {
                    *old = binding;
                }
                number
            }
            None => {
                bindings.push(binding);
                bindings.len() as u32 - 1
            }
        };
        let hash_of =
            |number: &u32| bindings.get(*number as usize).map_or(0, |b| table_hash(&b.key));
        part.insert_unique(table_hash(&key), number, hash_of);
    }

    /// The bindings of the places in `places`, by place.
    pub(super) fn of_places(&self, places: &RoaringBitmap) -> Vec<(Place, u32)> {
        let numbers = self.parts.iter().flat_map(|part| part.iter());
        let mut found: Vec<(Place, u32)> = numbers
            .filter_map(|number| Some((self.bindings.get(*number as usize)?.place, *number)))
            .filter(|(place, _)| places.contains(place.0))
            .collect();
        found.sort_unstable_by_key(|(place, _)| place.0);
        found
    }

    /// Places go out of use: whoever found one before may not bind it any more.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Forgets a binding of `place`, if it still is one.
    pub(super) fn unbind(&mut self, number: u32, place: Place) {
        let Some(binding) = self.bindings.get(number as usize).filter(|b| b.place == place) else {
            return;
        };
        let key = binding.key;
        if let Some(part) = self.parts.get_mut(part_of(&key))
            && let Ok(found) = part.find_entry(table_hash(&key), |other| *other == number)
        {
            found.remove();
            retire(&mut self.bindings, &mut self.free, number);
        }
    }

    /// Heap bytes owned.
    fn heap_bytes(&self) -> usize {
        let tables: usize = self.parts.iter().map(HashTable::allocation_size).sum();
        self.bindings.heap_bytes() + tables + self.free.capacity() * 4
    }
}

/// Gives a number back. The binding that precedes it may still lead to it: it must not be taken for its key's.
fn retire(bindings: &mut Paged<Binding>, free: &mut Vec<u32>, number: u32) {
    if let Some(binding) = bindings.get_mut(number as usize) {
        binding.key = NO_KEY;
        free.push(number);
    }
}

/// Numbers that nobody outside of the process knows.
pub(super) fn random_words() -> impl Iterator<Item = u64> {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's only door to the system's randomness.
    std::iter::repeat_with(|| std::hash::RandomState::new().build_hasher().finish())
}

/// A secret for XXH3.
pub(super) fn random_secret() -> [u8; SECRET_BYTES] {
    let mut secret = [0; SECRET_BYTES];
    for (chunk, word) in secret.chunks_mut(8).zip(random_words()) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    secret
}

/// See the module.
pub(super) struct KeyMap {
    secret: [u8; SECRET_BYTES],
    bindings: RwLock<Bindings>,
}

impl KeyMap {
    pub(super) fn new() -> Self {
        let secret = random_secret();
        let parts = (0..PARTS).map(|_| HashTable::new()).collect();
        let bindings = Bindings { bindings: Paged::default(), parts, free: Vec::new(), epoch: 0 };
        Self { secret, bindings: RwLock::new(bindings) }
    }

    pub(super) fn key(&self, raw_labels: &[u8]) -> u128 {
        xxh3_128_with_secret(raw_labels, &self.secret)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Bindings> {
        self.bindings.read()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Bindings> {
        self.bindings.write()
    }

    /// Heap bytes owned.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bindings.read().heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn find(map: &KeyMap, key: u128) -> Option<u32> {
        map.read().find(key, &mut { NO_BINDING }).map(|place| place.0)
    }

    #[test]
    fn ever_new_keys_of_few_series_do_not_fill_the_memory() {
        let map = KeyMap::new();
        let spread = |i: u128| i | (i % 64) << 64;
        let n = (4 * PARTS * BINDINGS_PER_PART_MIN) as u128;
        for i in 0..n {
            map.write().bind(spread(i), Place(7), 1);
        }
        assert!(map.heap_bytes() < 2 * PARTS * BINDINGS_PER_PART_MIN * 40, "{}", map.heap_bytes());
        assert_eq!(find(&map, spread(n - 1)), Some(7));
    }

    #[test]
    fn binds_and_finds_by_the_whole_key() {
        let map = KeyMap::new();
        let key = map.key(b"\n\x0f__name__");
        assert_eq!(find(&map, key), None);
        map.write().bind(key, Place(7), 1);
        assert_eq!(find(&map, key), Some(7));
        for bit in 0..96 {
            assert_eq!(find(&map, key ^ (1 << bit)), None, "bit {bit} is part of the key");
        }
        assert_eq!(map.key(b"abc"), map.key(b"abc"));
        assert_ne!(map.key(b"abc"), KeyMap::new().key(b"abc"), "each process has its own secret");
    }

    #[test]
    fn a_wrong_guess_of_the_next_one_is_only_a_guess() {
        let map = KeyMap::new();
        for i in 0..100u128 {
            map.write().bind(i << 3, Place(i as u32), 100);
        }
        let orders: [Vec<u128>; 3] =
            [(0..100).collect(), (0..100).rev().collect(), (0..100).step_by(7).collect()];
        for order in orders.iter().cycle().take(9) {
            let bindings = map.read();
            let mut cursor = NO_BINDING;
            for i in order {
                assert_eq!(bindings.find(i << 3, &mut cursor).unwrap().0, *i as u32);
                assert_eq!(bindings.find(12_345, &mut cursor), None);
            }
        }
    }

    #[test]
    fn what_is_unbound_is_found_no_more_and_its_number_given_again() {
        let map = KeyMap::new();
        for i in 0..100u128 {
            map.write().bind(i, Place(i as u32 / 2), 100);
        }
        let mut cursor = NO_BINDING;
        (0..100).for_each(|i| assert!(map.read().find(i, &mut cursor).is_some()));
        let places: RoaringBitmap = [3, 40].into_iter().collect();
        let bindings = map.read().of_places(&places);
        assert_eq!(bindings.iter().map(|(place, _)| place.0).collect::<Vec<_>>(), [3, 3, 40, 40]);
        for (place, number) in &bindings {
            map.write().unbind(*number, Place(place.0 + 1));
        }
        assert_eq!(find(&map, 6), Some(3), "what is bound to another place by now stays");
        for (place, number) in bindings {
            map.write().unbind(number, place);
        }
        let gone = [6, 7, 80, 81];
        let mut cursor = NO_BINDING;
        for i in 0..100u128 {
            let expected = (!gone.contains(&i)).then_some(i as u32 / 2);
            assert_eq!(find(&map, i), expected);
            let guessed = map.read().find(i, &mut cursor).map(|place| place.0);
            assert_eq!(guessed, expected, "by the order of the time before");
        }
        (1000..1004).for_each(|i| map.write().bind(i, Place(9), 100));
        assert_eq!(map.read().bindings.len(), 100);
    }
}
