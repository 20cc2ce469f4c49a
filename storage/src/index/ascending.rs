//! A set of ascending numbers while a block is written: what is next to each other costs nothing.

use roaring::RoaringBitmap;

use crate::codec::{Reader, put_uvarint};

/// The set: runs, each as the gap before it and, where it is longer than one, its length.
#[derive(Debug, Default)]
pub(super) struct Ascending {
    /// All runs but the last: twice the gap, plus one where the length (less two) follows.
    bytes: Vec<u8>,
    /// Behind the last run in `bytes`.
    behind: u32,
    /// First number of the last run, and how many it has; none: the set is empty.
    first: u32,
    len: u32,
}

impl Ascending {
    /// Adds a number, which is at least the last one.
    pub(super) fn push(&mut self, id: u32) {
        let next = self.first.wrapping_add(self.len);
        if self.len > 0 && id == next {
            self.len += 1;
        } else if self.len == 0 || id > next {
            self.end_run();
            (self.first, self.len) = (id, 1);
        }
    }

    fn end_run(&mut self) {
        let Some(beyond_one) = self.len.checked_sub(1) else { return };
        let gap = u64::from(self.first - self.behind) << 1;
        put_uvarint(&mut self.bytes, gap | u64::from(beyond_one > 0));
        if let Some(beyond_two) = beyond_one.checked_sub(1) {
            put_uvarint(&mut self.bytes, u64::from(beyond_two));
        }
        self.behind = self.first + self.len;
    }

    /// The runs as first number and length.
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut reader = Reader::new(&self.bytes);
        let mut behind = 0u32;
        let written = std::iter::from_fn(move || {
            let gap = reader.uvarint("gap").ok()?;
            let len = if gap & 1 == 0 { 1 } else { reader.uvarint("length").ok()? as u32 + 2 };
            let first = behind + (gap >> 1) as u32;
            behind = first + len;
            Some((first, len))
        });
        written.chain((self.len > 0).then_some((self.first, self.len)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs().flat_map(|(first, len)| first..first + len)
    }

    pub(super) fn add_to(&self, set: &mut RoaringBitmap) {
        for (first, len) in self.runs() {
            set.insert_range(first..=first + (len - 1));
        }
    }

    pub(super) fn to_bitmap(&self) -> RoaringBitmap {
        let mut set = RoaringBitmap::new();
        self.add_to(&mut set);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_what_a_list_holds(
            steps in prop::collection::vec(prop_oneof![3 => Just(1u32), 1 => 0u32..5, 1 => 0u32..100_000], 0..200),
        ) {
            let (mut set, mut list, mut id) = (Ascending::default(), Vec::new(), 0);
            for step in steps {
                id += step;
                set.push(id);
                if list.last() != Some(&id) {
                    list.push(id);
                }
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), &list[..]);
            prop_assert_eq!(set.to_bitmap().iter().collect::<Vec<_>>(), list);
        }
    }
}
