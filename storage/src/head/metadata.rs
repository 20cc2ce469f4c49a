//! Type, help and unit of metrics.

use std::collections::BTreeMap;

use crate::append::Metadata;

/// Different descriptions kept of one metric; the oldest goes first.
const DESCRIPTIONS_PER_METRIC_MAX: usize = 10;
/// Metrics with a description.
const METRICS_MAX: usize = 1 << 20;

/// What senders say about their metrics, the newest last.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable(BTreeMap<String, Vec<Metadata>>);

impl MetadataTable {
    /// Takes a description; false when it is known, or when the table is full.
    pub(crate) fn put(&mut self, metric: &str, metadata: &Metadata) -> bool {
        if let Some(list) = self.0.get_mut(metric) {
            if list.contains(metadata) {
                return false;
            }
            if list.len() == DESCRIPTIONS_PER_METRIC_MAX {
                list.remove(0);
            }
            list.push(metadata.clone());
            return true;
        }
        if self.0.len() >= METRICS_MAX {
            return false;
        }
        self.0.insert(metric.to_owned(), vec![metadata.clone()]);
        true
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, Vec<Metadata>> {
        &self.0
    }
}
