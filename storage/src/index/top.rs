//! The largest of many counts, without keeping or sorting all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The `limit` largest entries: by count, of equal ones those that come first by text.
#[derive(Debug)]
pub(super) struct Top<K, T> {
    limit: usize,
    /// The least on top.
    heap: BinaryHeap<Reverse<(K, Reverse<T>)>>,
}

impl<K: Ord + Copy, T: Ord> Top<K, T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// Takes the entry up if it belongs to the largest; asks for its text only when the count leaves that open.
    pub(super) fn offer(&mut self, count: K, text: impl Fn() -> T) {
        self.offer_if(count, |least| text() < *least, &text);
    }

    /// As [`Top::offer`] where a text is dear to make: `precedes` says whether it comes before another.
    pub(super) fn offer_if(
        &mut self,
        count: K,
        precedes: impl FnOnce(&T) -> bool,
        text: impl FnOnce() -> T,
    ) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse((count, Reverse(text()))));
        } else if let Some(mut least) = self.heap.peek_mut()
            && (count > least.0.0 || count == least.0.0 && precedes(&least.0.1.0))
        {
            *least = Reverse((count, Reverse(text())));
        }
    }

    /// The entries, descending by count, then ascending by text.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = (K, T)> {
        self.heap.into_sorted_vec().into_iter().map(|entry| (entry.0.0, entry.0.1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_what_sorting_would_put_first(
            entries in prop::collection::vec((0..9u64, 0..50u32), 0..200),
            limit in 0..30usize,
        ) {
            let mut top = Top::new(limit);
            entries.iter().for_each(|(count, text)| top.offer(*count, || *text));
            let mut sorted = entries;
            sorted.sort_by_key(|(count, text)| (Reverse(*count), *text));
            sorted.truncate(limit);
            prop_assert_eq!(top.into_sorted().collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn asks_for_no_text_of_a_count_too_small() {
        let mut top = Top::new(1);
        top.offer(2, || "b");
        top.offer(1, || unreachable!());
        top.offer(2, || "a");
        assert_eq!(top.into_sorted().collect::<Vec<_>>(), [(2, "a")]);
    }
}
