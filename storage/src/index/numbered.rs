//! Series of the index in memory as numbers, one way and the other: the log tells label sets by the parts that
//! they share, and these are the index's own.

use super::mem::MemIndex;
use super::pairs::{METRIC_NAME_ID, NO_METRIC, Row, entity_pairs};
use super::split::is_target;
use crate::model::{METRIC_NAME, SeriesOrd};

/// A series taken apart into numbers of its index, which hold until a series is removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered<'a>(Row<'a>);

impl<'a> Numbered<'a> {
    /// Number of the target's labels.
    pub(crate) fn target(&self) -> u32 {
        self.0.entity
    }

    /// Names and values of the target's labels, ascending by name.
    pub(crate) fn target_pairs(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        entity_pairs(self.0.entity_labels)
    }

    /// Number of the metric name and the names of the labels that are not the target's.
    pub(crate) fn shape(&self) -> u32 {
        self.0.shape
    }

    /// The value that is the metric name.
    pub(crate) fn metric(&self) -> Option<u32> {
        self.0.metric()
    }

    /// Names of the labels that are not the target's, ascending.
    pub(crate) fn names(&self) -> &'a [u32] {
        self.0.residual_names()
    }

    /// The values of [`Numbered::names`].
    pub(crate) fn values(&self) -> &'a [u32] {
        self.0.residual
    }
}

fn ascend<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    names.is_sorted_by(|a, b| a < b)
}

impl MemIndex {
    /// A series as numbers.
    pub(crate) fn numbered(&self, ord: SeriesOrd) -> Option<Numbered<'_>> {
        self.row(ord.0).map(Numbered)
    }

    /// The text of a label name.
    pub(crate) fn name_bytes(&self, number: u32) -> &[u8] {
        self.name_texts.get(number)
    }

    /// The text of a label value or a metric name.
    pub(crate) fn value_bytes(&self, number: u32) -> &[u8] {
        self.symbols.get(number)
    }

    /// The number of a target with these labels, which is taken up when it is new. `None` when no label set has
    /// such a target in this index; then nothing was taken up, unless the index is full.
    pub(crate) fn target_number(&mut self, pairs: &[(&str, &str)]) -> Option<u32> {
        let of_target = |(name, value): &(&str, &str)| {
            is_target(name, &self.target_labels) && !value.is_empty()
        };
        if !ascend(pairs.iter().map(|pair| pair.0)) || !pairs.iter().all(of_target) {
            return None;
        }
        let mut run = Vec::with_capacity(2 * pairs.len());
        for (name, value) in pairs {
            run.push(self.intern_name(name.as_bytes())?);
            run.push(self.symbols.intern(value.as_bytes())?.0);
        }
        Some(self.entities.intern(&run)?.0)
    }

    /// The number of a shape: a metric name, and names of labels. As [`MemIndex::target_number`].
    pub(crate) fn shape_number(&mut self, metric: Option<&str>, names: &[&str]) -> Option<u32> {
        let of_shape = |name: &&str| *name != METRIC_NAME && !is_target(name, &self.target_labels);
        if !ascend(names.iter().copied()) || !names.iter().all(of_shape) || metric == Some("") {
            return None;
        }
        let mut run = Vec::with_capacity(1 + names.len());
        run.push(match metric {
            Some(metric) => self.symbols.intern(metric.as_bytes())?.0,
            None => NO_METRIC,
        });
        for name in names {
            run.push(self.intern_name(name.as_bytes())?);
        }
        debug_assert!(run.get(1..).is_none_or(|names| !names.contains(&METRIC_NAME_ID)));
        Some(self.shapes.intern(&run)?.0)
    }

    /// The number of a label value, which is taken up when it is new. `None` for the empty one, which no label
    /// has, and when the index is full.
    pub(crate) fn value_number(&mut self, value: &str) -> Option<u32> {
        if value.is_empty() { None } else { Some(self.symbols.intern(value.as_bytes())?.0) }
    }

    /// The place of the series with these parts, one value for each name of the shape, and whether it is new.
    /// `None` when the index is full.
    pub(crate) fn insert_numbers(
        &mut self,
        target: u32,
        shape: u32,
        values: &[u32],
    ) -> Option<(SeriesOrd, bool)> {
        let Self { entities, shapes, rows, pairs, removed, parts, .. } = self;
        parts.row.clear();
        parts.row.extend([target, shape]);
        parts.row.extend_from_slice(values);
        let (ord, is_new) = rows.intern(&parts.row)?;
        if is_new {
            let (entity_labels, shape_labels) = (entities.get(target), shapes.get(shape));
            let row = Row { entity: target, shape, entity_labels, shape_labels, residual: values };
            pairs.add(ord, row);
            if !removed.is_empty() {
                removed.remove(ord);
            }
        }
        Some((SeriesOrd(ord), is_new))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::Labels;

    fn index() -> MemIndex {
        MemIndex::new(&["job".to_owned(), "instance".to_owned()])
    }

    #[test]
    fn parts_are_the_same_series_as_their_labels() {
        let sets = [
            vec![("__name__", "up"), ("instance", "a"), ("job", "x")],
            vec![("__name__", "cpu"), ("instance", "a"), ("job", "x"), ("mode", "idle")],
            vec![("job", "y"), ("mode", "idle")],
            vec![],
        ];
        let mut told = index();
        let mut heard = index();
        for set in &sets {
            let labels = Labels::from_pairs(set.iter().copied());
            let (ord, _) = told.insert(&labels).unwrap();
            let parts = told.numbered(ord).unwrap();
            let name = |id: u32| std::str::from_utf8(told.name_bytes(id)).unwrap();
            let value = |id: u32| std::str::from_utf8(told.value_bytes(id)).unwrap();
            let pairs: Vec<_> = parts.target_pairs().map(|(n, v)| (name(n), value(v))).collect();
            let names: Vec<_> = parts.names().iter().map(|n| name(*n)).collect();
            let target = heard.target_number(&pairs).unwrap();
            let shape = heard.shape_number(parts.metric().map(value), &names).unwrap();
            let values: Vec<_> =
                parts.values().iter().map(|v| heard.value_number(value(*v)).unwrap()).collect();
            let (ord, is_new) = heard.insert_numbers(target, shape, &values).unwrap();
            assert!(is_new);
            assert_eq!(heard.labels(ord), labels);
            assert_eq!(heard.insert_numbers(target, shape, &values), Some((ord, false)));
            assert_eq!(heard.insert(&labels).unwrap(), (ord, false), "found by its labels as well");
        }
        assert_eq!(heard.n_series(), 4);
    }

    #[test]
    fn parts_that_no_label_set_has_are_not_taken() {
        let mut index = index();
        assert_eq!(index.target_number(&[("job", "x"), ("instance", "a")]), None, "not ascending");
        assert_eq!(index.target_number(&[("job", "x"), ("job", "y")]), None, "twice");
        assert_eq!(index.target_number(&[("job", "")]), None, "empty");
        assert_eq!(index.target_number(&[("mode", "x")]), None, "not the target's");
        assert_eq!(index.shape_number(Some("up"), &["job"]), None, "the target's");
        assert_eq!(index.shape_number(Some("up"), &["__name__"]), None, "the metric name");
        assert_eq!(index.shape_number(Some(""), &[]), None, "empty");
        assert_eq!(index.value_number(""), None);
        assert_eq!(index.symbols.len(), 0);
        assert_eq!(index.name_texts.len(), 1);
    }
}
