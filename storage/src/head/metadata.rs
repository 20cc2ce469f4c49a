//! Type, help and unit of metrics.

use std::collections::{BTreeMap, HashSet};

use crate::append::Metadata;

/// Different descriptions kept of one metric; the oldest goes first.
const DESCRIPTIONS_PER_METRIC_MAX: usize = 10;
/// Metrics with a description.
const METRICS_MAX: usize = 1 << 20;
/// Keys of descriptions kept; then all are forgotten and learnt anew.
const KEYS_MAX: usize = 1 << 20;

/// What senders say about their metrics, the newest last.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    by_metric: BTreeMap<String, Vec<Metadata>>,
    /// Keys of descriptions that the table holds: senders repeat theirs in every request.
    keys: HashSet<u128>,
}

impl MetadataTable {
    /// Takes a description; false when it is known, or when the table is full.
    pub(crate) fn put(&mut self, metric: &str, metadata: &Metadata) -> bool {
        if let Some(list) = self.by_metric.get_mut(metric) {
            if list.contains(metadata) {
                return false;
            }
            if list.len() == DESCRIPTIONS_PER_METRIC_MAX {
                list.remove(0);
                // One of them was its key.
                self.keys.clear();
            }
            list.push(metadata.clone());
            return true;
        }
        if self.by_metric.len() >= METRICS_MAX {
            return false;
        }
        self.by_metric.insert(metric.to_owned(), vec![metadata.clone()]);
        true
    }

    /// As [`MetadataTable::put`]; from now on the description is known by `key`, if the table holds it.
    pub(crate) fn put_as(&mut self, key: u128, metric: &str, metadata: &Metadata) -> bool {
        let new = self.put(metric, metadata);
        if new || self.by_metric.contains_key(metric) {
            if self.keys.len() >= KEYS_MAX {
                self.keys.clear();
            }
            self.keys.insert(key);
        }
        new
    }

    /// Whether the table holds the description with this key. It may, and not know it.
    pub(crate) fn knows(&self, key: u128) -> bool {
        self.keys.contains(&key)
    }

    pub(crate) const fn all(&self) -> &BTreeMap<String, Vec<Metadata>> {
        &self.by_metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(n: u128) -> Metadata {
        Metadata { help: n.to_string(), ..Metadata::default() }
    }

    #[test]
    fn a_key_is_known_as_long_as_its_description_is_held() {
        let mut table = MetadataTable::default();
        assert!(!table.knows(0));
        assert!(table.put_as(0, "up", &help(0)) && table.knows(0));
        assert!(!table.put_as(100, "up", &help(0)) && table.knows(100), "another key of it");
        assert!(table.put("up", &help(1)) && !table.knows(1), "from the log, without a key");
        assert!(!table.put_as(1, "up", &help(1)) && table.knows(1));
        for n in 2..DESCRIPTIONS_PER_METRIC_MAX as u128 {
            assert!(table.put_as(n, "up", &help(n)) && table.knows(0));
        }
        let next = DESCRIPTIONS_PER_METRIC_MAX as u128;
        assert!(table.put_as(next, "up", &help(next)) && table.knows(next));
        assert!(!table.knows(0) && !table.knows(100), "the oldest went");
        assert!(table.put_as(0, "up", &help(0)), "and is taken again");
    }

    #[test]
    fn keys_do_not_fill_the_memory() {
        let mut table = MetadataTable::default();
        for key in 0..=KEYS_MAX as u128 {
            table.put_as(key, "up", &help(0));
        }
        assert_eq!(table.keys.len(), 1);
        assert!(table.knows(KEYS_MAX as u128) && !table.knows(0));
    }
}
