//! Items by time that mostly come in order and sometimes do not.

use std::collections::BTreeMap;

use crate::model::TimeRange;

/// Most items that one insertion moves.
const MOVED_MAX: usize = 512;

/// Items by timestamp, each timestamp once. Cheap in memory as long as they come about in order; items that
/// come far behind the newest (a backfill from new to old) go where an insertion moves nothing.
#[derive(Debug)]
pub(super) struct ByTime<V> {
    /// Ascending.
    ordered: Vec<(i64, V)>,
    scattered: BTreeMap<i64, V>,
}

impl<V> Default for ByTime<V> {
    fn default() -> Self {
        Self { ordered: Vec::new(), scattered: BTreeMap::new() }
    }
}

impl<V> ByTime<V> {
    pub(super) fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.scattered.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len() + self.scattered.len()
    }

    /// Adds an item whose timestamp is not there yet.
    pub(super) fn insert(&mut self, ts: i64, item: V) {
        let at = self.ordered.partition_point(|(t, _)| *t < ts);
        if self.ordered.len() - at <= MOVED_MAX {
            self.ordered.insert(at, (ts, item));
        } else {
            self.scattered.insert(ts, item);
        }
    }

    pub(super) fn get(&self, ts: i64) -> Option<&V> {
        match self.ordered.binary_search_by_key(&ts, |(t, _)| *t) {
            Ok(at) => self.ordered.get(at).map(|(_, item)| item),
            Err(_) => self.scattered.get(&ts),
        }
    }

    /// The items inside `range`; ascending in two runs, one behind the other.
    pub(super) fn inside(&self, range: TimeRange) -> impl Iterator<Item = (i64, &V)> {
        let from = self.ordered.partition_point(|(ts, _)| *ts < range.min);
        let to = self.ordered.partition_point(|(ts, _)| *ts <= range.max).max(from);
        let ordered = self.ordered.get(from..to).unwrap_or_default();
        let scattered =
            (range.min <= range.max).then(|| self.scattered.range(range.min..=range.max));
        let scattered = scattered.into_iter().flatten().map(|(ts, item)| (*ts, item));
        ordered.iter().map(|(ts, item)| (*ts, item)).chain(scattered)
    }

    pub(super) fn timestamps(&self) -> impl Iterator<Item = i64> {
        self.ordered.iter().map(|(ts, _)| *ts).chain(self.scattered.keys().copied())
    }

    /// Moves all items of `other` here.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.ordered.append(&mut other.ordered);
        self.ordered.extend(std::mem::take(&mut self.scattered));
        self.ordered.extend(std::mem::take(&mut other.scattered));
        self.ordered.sort_by_key(|(ts, _)| *ts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(items: &ByTime<i64>, range: TimeRange) -> Vec<(i64, i64)> {
        let mut found: Vec<_> = items.inside(range).map(|(ts, item)| (ts, *item)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_backfill_from_new_to_old_moves_little() {
        let mut items = ByTime::default();
        for ts in (0..10_000i64).rev() {
            items.insert(ts, -ts);
        }
        assert!(items.ordered.len() <= MOVED_MAX + 1, "{}", items.ordered.len());
        assert_eq!(items.len(), 10_000);
        let expected: Vec<_> = (5..9_998).map(|ts| (ts, -ts)).collect();
        assert_eq!(all(&items, TimeRange::new(5, 9_997)), expected);
        assert_eq!(
            (items.get(0), items.get(9_999), items.get(-1)),
            (Some(&0), Some(&-9_999), None)
        );
    }

    proptest! {
        #[test]
        fn holds_what_a_map_holds(
            a in prop::collection::btree_map(-2000i64..2000, any::<i64>(), 0..800),
            b in prop::collection::vec(-4000i64..4000, 0..800),
            (min, max) in (-2500i64..2500, -2500i64..2500),
        ) {
            let (mut items, mut other) = (ByTime::default(), ByTime::default());
            let mut expected = BTreeMap::new();
            for (ts, item) in a.into_iter().rev() {
                items.insert(ts, item);
                expected.insert(ts, item);
            }
            for ts in b {
                if expected.insert(ts, expected.get(&ts).copied().unwrap_or(ts)).is_none() {
                    other.insert(ts, ts);
                }
            }
            items.append(&mut other);
            prop_assert!(other.is_empty());
            prop_assert_eq!(items.len(), expected.len());
            let found = all(&items, TimeRange::new(min, max));
            let inside = expected.iter().filter(|(ts, _)| (min..=max).contains(*ts));
            prop_assert_eq!(found, inside.map(|(ts, item)| (*ts, *item)).collect::<Vec<_>>());
            for ts in -50..50 {
                prop_assert_eq!(items.get(ts), expected.get(&ts));
            }
        }
    }
}
