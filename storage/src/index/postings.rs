//! A set of numbers in memory: one inline, few in a sorted list, many in a roaring bitmap.

use std::borrow::Cow;

use roaring::RoaringBitmap;

/// Longest list before it becomes a bitmap: a bitmap's containers cost some 200 bytes at once.
const FEW_MAX: usize = 48;
/// Members down to which a bitmap stays one.
const MANY_MIN: u32 = 24;

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
                if few.last().is_some_and(|last| *last < id) {
                    few.push(id);
                } else if let Err(at) = few.binary_search(&id) {
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
                match few.as_slice() {
                    [one] => *self = Self::One(*one),
                    few_left if few_left.len() < few.capacity() / 4 => few.shrink_to(few.len() * 2),
                    _ => {}
                }
            }
            Self::Many(many) => {
                many.remove(id);
                if many.select(MANY_MIN).is_none() {
                    *self = Self::Few(many.iter().collect());
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
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

    /// Number of members that lie in `other`.
    pub(super) fn common(&self, other: &RoaringBitmap) -> u64 {
        match self {
            Self::One(one) => u64::from(other.contains(*one)),
            Self::Few(few) => few.iter().filter(|id| other.contains(**id)).count() as u64,
            Self::Many(many) => many.intersection_len(other),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_a_set_holds(
            changes in prop::collection::vec((any::<bool>(), 0..120u32), 0..600),
            far in any::<bool>(),
        ) {
            let (mut postings, mut model) = (Postings::empty(), BTreeSet::new());
            for (add, id) in changes {
                let id = if far { id * 5_000 } else { id };
                if add {
                    postings.insert(id);
                    model.insert(id);
                } else {
                    postings.remove(id);
                    model.remove(&id);
                }
                prop_assert!(postings.iter().eq(model.iter().copied()));
                prop_assert_eq!(postings.len(), model.len() as u64);
                prop_assert_eq!(postings.is_empty(), model.is_empty());
                match postings {
                    Postings::One(_) => prop_assert_eq!(model.len(), 1),
                    Postings::Few(_) => prop_assert!(model.len() <= FEW_MAX && model.len() != 1),
                    Postings::Many(_) => prop_assert!(model.len() > MANY_MIN as usize),
                }
            }
        }
    }

    #[test]
    fn becomes_small_again() {
        let mut postings = Postings::empty();
        (0..49).for_each(|id| postings.insert(id));
        assert!(matches!(postings, Postings::Many(_)));
        (0..24).for_each(|id| postings.remove(id));
        assert!(matches!(postings, Postings::Many(_)), "25 are left");
        postings.remove(24);
        assert!(matches!(postings, Postings::Few(_)));
        (25..46).for_each(|id| postings.remove(id));
        assert!(postings.bytes() <= 40, "{}", postings.bytes());
        (46..48).for_each(|id| postings.remove(id));
        assert!(matches!(postings, Postings::One(48)));
        assert_eq!(postings.bytes(), 0);
        postings.remove(48);
        assert!(postings.is_empty() && postings.bytes() == 0);
    }
}
