//! A set of numbers in memory: one inline, few in a sorted list, many in a roaring bitmap.

use std::borrow::Cow;

use roaring::RoaringBitmap;

/// Longest list before it becomes a bitmap: a bitmap's containers cost some 200 bytes at once.
const FEW_MAX: usize = 48;

/// The set. Not empty, but for the moment between a removal and the removal of the set.
#[derive(Debug, Clone)]
pub(super) enum Postings {
    One(u32),
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl Postings {
    pub(super) const fn empty() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn insert(&mut self, id: u32) {
        match self {
            Self::One(one) if *one == id => {}
            Self::One(one) => *self = Self::Few(vec![(*one).min(id), (*one).max(id)]),
            Self::Few(few) if few.is_empty() => *self = Self::One(id),
            Self::Few(few) => {
                if let Err(at) = few.binary_search(&id) {
                    few.insert(at, id);
                }
                if few.len() > FEW_MAX {
                    *self = Self::Many(few.iter().copied().collect());
                }
            }
            Self::Many(many) => {
                many.insert(id);
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        match self {
            Self::One(one) => {
                if *one == id {
                    *self = Self::empty();
                }
            }
            Self::Few(few) => {
                if let Ok(at) = few.binary_search(&id) {
                    few.remove(at);
                }
            }
            Self::Many(many) => {
                many.remove(id);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Few(few) => few.len() as u64,
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::One(one) => Box::new(std::iter::once(*one)),
            Self::Few(few) => Box::new(few.iter().copied()),
            Self::Many(many) => Box::new(many.iter()),
        }
    }

    pub(super) fn to_bitmap(&self) -> Cow<'_, RoaringBitmap> {
        match self {
            Self::One(one) => Cow::Owned(std::iter::once(*one).collect()),
            Self::Few(few) => Cow::Owned(few.iter().copied().collect()),
            Self::Many(many) => Cow::Borrowed(many),
        }
    }

    pub(super) fn add_to(&self, sum: &mut RoaringBitmap) {
        match self {
            Self::One(one) => {
                sum.insert(*one);
            }
            Self::Few(few) => sum.extend(few.iter().copied()),
            Self::Many(many) => *sum |= many,
        }
    }

    /// Whether a member lies in `other`.
    pub(super) fn meets(&self, other: &RoaringBitmap) -> bool {
        match self {
            Self::One(one) => other.contains(*one),
            Self::Few(few) => few.iter().any(|id| other.contains(*id)),
            Self::Many(many) => !many.is_disjoint(other),
        }
    }

    /// Turns containers into runs where that is smaller, and gives spare memory back.
    pub(super) fn optimize(&mut self) {
        match self {
            Self::One(_) => {}
            Self::Few(few) => few.shrink_to_fit(),
            Self::Many(many) => {
                many.optimize();
            }
        }
    }

    /// Bytes on the heap, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Few(few) => few.capacity() * 4,
            Self::Many(many) => {
                let stats = many.statistics();
                let in_runs = stats.n_bytes_run_containers;
                (stats.n_bytes_array_containers + stats.n_bytes_bitset_containers + in_runs)
                    as usize
                    + stats.n_containers as usize * 40
            }
        }
    }
}
