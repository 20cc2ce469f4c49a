//! What the counts of series say in words: which label explodes.

use nines_storage::{Exploring, LabelCount, SeriesCount};

/// New values below which a label does not explode, whatever it had before.
const NEW_VALUES_MIN: u64 = 100;
/// Labels that are named.
const NAMED_MAX: usize = 3;

/// A label that explodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explosion {
    /// The label.
    pub label: LabelCount,
    /// The metric with the most new series that have the label.
    pub metric: Option<(String, SeriesCount)>,
    /// Who sends most of them: label, value, series.
    pub senders: Vec<(String, String, SeriesCount)>,
    /// Some of the new values.
    pub examples: Vec<String>,
}

impl Explosion {
    /// Of `seen`, which are the series that have the label, counted by growth: the values of the senders'
    /// labels, then those of the label itself.
    #[must_use]
    pub fn new(label: LabelCount, seen: &Exploring) -> Self {
        let mut values = seen.counts.values.iter();
        let examples = values.next_back().map(|(_, list)| list).into_iter().flatten();
        let examples = examples.filter(|(_, count)| count.young == count.series);
        let most = |count: &SeriesCount| count.young * 2 > label.count.young;
        let first = |(name, list): &(String, Vec<(String, SeriesCount)>)| {
            let (value, count) = list.first().filter(|(_, count)| most(count))?;
            Some((name.clone(), value.clone(), *count))
        };
        Self {
            metric: seen.counts.metrics.first().cloned(),
            senders: values.filter_map(first).collect(),
            examples: examples.take(NAMED_MAX).map(|(value, _)| value.clone()).collect(),
            label,
        }
    }
}

/// What the growth of labels says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nearly all series are new: there is nothing to compare with.
    AllNew,
    /// No label explodes.
    Calm,
    /// Labels whose values grew by more than half.
    Explodes(Vec<LabelCount>),
}

impl Verdict {
    /// Of series that were counted by growth.
    #[must_use]
    pub fn of(grown: &Exploring) -> Self {
        let counts = &grown.counts;
        // Written as a subtraction of what is new, so that nothing is multiplied beyond its type.
        if counts.total.series - counts.total.young.min(counts.total.series)
            < counts.total.series.div_ceil(10)
        {
            return Self::AllNew;
        }
        let explodes = |label: &&LabelCount| {
            let old = label.values.saturating_sub(label.values_new);
            label.values_new >= NEW_VALUES_MIN && label.values_new > old / 2
        };
        let labels = counts.labels_by_values.iter().filter(explodes);
        let labels: Vec<LabelCount> = labels.take(NAMED_MAX).cloned().collect();
        if labels.is_empty() { Self::Calm } else { Self::Explodes(labels) }
    }
}

#[cfg(test)]
mod tests {
    use nines_storage::Explored;

    use super::*;

    fn label(name: &str, values: u64, values_new: u64) -> LabelCount {
        let count = SeriesCount { series: values, young: values_new };
        LabelCount { name: name.to_owned(), count, values, values_new, bytes: 0 }
    }

    fn grown(series: u64, young: u64, labels: &[LabelCount]) -> Exploring {
        let total = SeriesCount { series, young };
        let counts = Explored { total, labels_by_values: labels.to_vec(), ..Explored::default() };
        Exploring { counts, ..Exploring::default() }
    }

    #[test]
    fn a_label_explodes_that_grew_by_more_than_half() {
        let id = label("id", 301, 101);
        let of = |list: &[LabelCount]| Verdict::of(&grown(1000, 300, list));
        assert_eq!(of(&[id.clone(), label("pod", 300, 100)]), Verdict::Explodes(vec![id.clone()]));
        assert_eq!(of(&[label("few", 99, 99), label("pod", 300, 100)]), Verdict::Calm);
        assert_eq!(of(&[]), Verdict::Calm);
        let entirely_new = label("new", 100, 100);
        let five = [id.clone(), id.clone(), entirely_new.clone(), id.clone(), id.clone()];
        assert_eq!(of(&five), Verdict::Explodes(vec![id.clone(), id, entirely_new]));
    }

    #[test]
    fn where_all_is_new_nothing_explodes() {
        let id = [label("id", 300, 200)];
        assert_eq!(Verdict::of(&grown(1000, 901, &id)), Verdict::AllNew);
        assert_eq!(Verdict::of(&grown(1000, 900, &id)), Verdict::Explodes(id.to_vec()));
        assert_eq!(Verdict::of(&grown(0, 0, &[])), Verdict::Calm);
    }

    #[test]
    fn an_explosion_names_where_most_comes_from() {
        let count = |series, young| SeriesCount { series, young };
        let list = |list: &[(&str, SeriesCount)]| -> Vec<(String, SeriesCount)> {
            list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let mut seen = grown(300, 200, &[]);
        seen.counts.metrics = list(&[("requests", count(210, 200))]);
        seen.counts.values = vec![
            ("job".to_owned(), list(&[("api", count(250, 150))])),
            ("cluster".to_owned(), list(&[("eu", count(120, 100))])),
            ("id".to_owned(), list(&[("a", count(1, 1)), ("b", count(2, 1)), ("c", count(1, 1))])),
        ];
        let explosion = Explosion::new(label("id", 300, 200), &seen);
        assert_eq!(explosion.metric, Some(("requests".to_owned(), count(210, 200))));
        assert_eq!(explosion.senders, [("job".to_owned(), "api".to_owned(), count(250, 150))]);
        assert_eq!(explosion.examples, ["a", "c"]);
    }
}
