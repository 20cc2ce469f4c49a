//! What senders said about a metric.

use std::collections::BTreeMap;

use crate::append::Metadata;

/// Descriptions by metric, the newest last.
pub(crate) type Descriptions = BTreeMap<String, Vec<Metadata>>;

/// Endings of the series of one described metric.
const ENDINGS: [&str; 5] = ["_bucket", "_count", "_sum", "_total", "_created"];

/// Type, unit and help of a metric, empty where nobody said: its own, or that of the histogram, summary or counter that
/// it belongs to.
pub(super) fn texts_of(descriptions: &Descriptions, metric: &str) -> [String; 3] {
    let own = descriptions.get(metric);
    let family = || ENDINGS.iter().find_map(|end| descriptions.get(metric.strip_suffix(end)?));
    let newest = own.or_else(family).and_then(|all| all.last());
    newest.map_or_else(Default::default, |said| {
        [said.metric_type.clone(), said.unit.clone(), said.help.clone()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_histogram_is_described_by_it() {
        let said = |help: &str| Metadata {
            metric_type: "histogram".to_owned(),
            help: help.to_owned(),
            unit: String::new(),
        };
        let descriptions: Descriptions = [
            ("latency".to_owned(), vec![said("old"), said("new")]),
            ("latency_sum".to_owned(), vec![said("own")]),
        ]
        .into();
        let help = |metric| texts_of(&descriptions, metric)[2].clone();
        assert_eq!(help("latency"), "new");
        assert_eq!(help("latency_bucket"), "new");
        assert_eq!(help("latency_sum"), "own");
        assert_eq!(texts_of(&descriptions, "other_sum"), ["", "", ""].map(str::to_owned));
    }
}
