//! How a label set is taken apart, and the order of series that follows from it.

use std::cmp::Ordering;

use crate::model::{Labels, METRIC_NAME};

/// Whether `name` is a label of the target: named by the setting and not the metric name.
pub(crate) fn is_target(name: &str, target_labels: &[String]) -> bool {
    name != METRIC_NAME && target_labels.iter().any(|target| target == name)
}

/// The labels of the target that the series `labels` was scraped from.
#[must_use]
pub fn entity_labels(labels: &Labels, target_labels: &[String]) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(name, _)| is_target(name, target_labels)))
}

/// The order of series inside one entity: by metric name, then by all other labels, those of the target among
/// them, as [`Labels`] compare.
#[must_use]
pub fn compare_in_entity(a: &Labels, b: &Labels) -> Ordering {
    a.metric_name().cmp(b.metric_name()).then_with(|| {
        let others = |pair: &(&str, &str)| pair.0 != METRIC_NAME;
        a.iter().filter(others).cmp(b.iter().filter(others))
    })
}
