//! What is held of files that are open: how many bytes, and the label sets of their rows, each once.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;

use crate::model::Labels;

/// Memory of a set in the table, which doubles as it grows.
const SET_BYTES: u64 = 2 * size_of::<Labels>() as u64;
/// Sets up to which none is looked for that nobody has any more.
const CLEAN_AT_LEAST: usize = 4_096;

/// Bytes that are held, in all and by one holder; given back when that is dropped.
#[derive(Debug)]
pub(super) struct Held {
    total: Arc<AtomicU64>,
    own: AtomicU64,
    /// Bytes of label sets that came with it.
    sets: AtomicU64,
}

impl Held {
    pub(super) fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Tells that label sets, which are counted by [`LabelSets`], came with it.
    pub(super) fn add_sets(&self, bytes: u64) {
        self.sets.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What is given back with it, about: others may have its label sets.
    pub(super) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed) + self.sets.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Inner {
    sets: HashTable<Labels>,
    /// How many there are when those are removed that nobody has.
    clean_at: usize,
}

/// Label sets of rows, each once: days and months have mostly the same series.
pub(super) struct LabelSets {
    inner: Mutex<Inner>,
    hasher: DefaultHashBuilder,
    total: Arc<AtomicU64>,
}

impl LabelSets {
    /// Takes a set in. Gives the one that is kept, and its bytes if it is new.
    pub(super) fn keep(&self, labels: Labels) -> (Labels, u64) {
        let hash = |labels: &Labels| self.hasher.hash_one(labels);
        let inner = &mut *self.inner.lock();
        if inner.sets.len() >= inner.clean_at.max(CLEAN_AT_LEAST) {
            self.clean_inner(inner);
            inner.clean_at = inner.sets.len() * 2;
        }
        match inner.sets.entry(hash(&labels), |known| *known == labels, hash) {
            Entry::Occupied(known) => (known.get().clone(), 0),
            Entry::Vacant(place) => {
                let bytes = labels.heap_bytes() + SET_BYTES;
                place.insert(labels.clone());
                self.total.fetch_add(bytes, Ordering::Relaxed);
                (labels, bytes)
            }
        }
    }

    /// Forgets those of `all` that nobody else has.
    pub(super) fn let_go(&self, all: impl Iterator<Item = Labels>) {
        let inner = &mut *self.inner.lock();
        for labels in all {
            // It and the table.
            if labels.holders() > 2 {
                continue;
            }
            let hash = self.hasher.hash_one(&labels);
            if let Ok(known) = inner.sets.find_entry(hash, |known| *known == labels) {
                known.remove();
                self.total.fetch_sub(labels.heap_bytes() + SET_BYTES, Ordering::Relaxed);
            }
        }
    }

    /// Forgets all that nobody has: queries may have had them for longer than files.
    pub(super) fn clean(&self) {
        self.clean_inner(&mut self.inner.lock());
    }

    fn clean_inner(&self, inner: &mut Inner) {
        let mut bytes = 0;
        inner.sets.retain(|labels| {
            let stays = labels.holders() > 1;
            bytes += if stays { 0 } else { labels.heap_bytes() + SET_BYTES };
            stays
        });
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What all open files have in common.
#[derive(Clone)]
pub(super) struct Shared {
    total: Arc<AtomicU64>,
    sets: Arc<LabelSets>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let total = Arc::<AtomicU64>::default();
        let sets = LabelSets {
            inner: Mutex::default(),
            hasher: DefaultHashBuilder::default(),
            total: Arc::clone(&total),
        };
        Self { total, sets: Arc::new(sets) }
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The account of a file.
    pub(super) fn held(&self) -> Held {
        let total = Arc::clone(&self.total);
        Held { total, own: AtomicU64::new(0), sets: AtomicU64::new(0) }
    }

    /// The label sets.
    pub(super) fn sets(&self) -> Arc<LabelSets> {
        Arc::clone(&self.sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one_until_nobody_has_them() {
        let shared = Shared::new();
        let set = |text: &str| Labels::from_pairs([("a", text)]);
        let (first, bytes) = shared.sets.keep(set("x"));
        let (again, none) = shared.sets.keep(set("x"));
        assert_eq!((first.as_bytes().as_ptr(), none), (again.as_bytes().as_ptr(), 0));
        assert_eq!(shared.bytes(), bytes);
        shared.sets.let_go([first].into_iter());
        assert_eq!(shared.bytes(), bytes, "another has it");
        shared.sets.let_go([again].into_iter());
        assert_eq!(shared.bytes(), 0);
        // Of a query, which does not tell when it ends.
        let (kept, bytes) = shared.sets.keep(set("y"));
        let query = kept.clone();
        shared.sets.let_go([kept].into_iter());
        drop(query);
        assert_eq!(shared.bytes(), bytes);
        shared.sets.clean();
        assert_eq!(shared.bytes(), 0);
    }
}
