//! Who has which label, in memory: postings factored by entity and shape.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use super::postings::Postings;

/// Stands in a shape for "no metric name".
pub(super) const NO_METRIC: u32 = u32::MAX;
/// Number of the name `__name__` in every index in memory.
pub(super) const METRIC_NAME_ID: u32 = 0;

/// What a label name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The metric name; its postings are sets of shapes.
    Metric,
    /// A label of the target; its postings are sets of entities.
    Target,
    /// Any other; its values' postings are sets of series, `having` is one of shapes.
    Residual,
}

/// Spreads dense numbers over a hash table.
#[derive(Debug, Default)]
pub(super) struct SymbolHasher(u64);

impl Hasher for SymbolHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// A label name and who has which value.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) class: Class,
    /// By value symbol.
    pub(super) values: HashMap<u32, Postings, BuildHasherDefault<SymbolHasher>>,
    /// Who has the label with any value.
    pub(super) having: Postings,
}

impl Name {
    fn change(&mut self, value: Option<u32>, holder: u32, add: bool) {
        if let Some(value) = value {
            if add {
                self.values.entry(value).or_insert_with(Postings::empty).insert(holder);
            } else if let Some(postings) = self.values.get_mut(&value) {
                postings.remove(holder);
                if postings.is_empty() {
                    self.values.remove(&value);
                }
            }
        }
        if value.is_none() || self.class != Class::Residual {
            if add {
                self.having.insert(holder);
            } else {
                self.having.remove(holder);
            }
        }
    }
}

/// A series taken apart into numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) entity: u32,
    pub(super) shape: u32,
    /// (name, value) by turns.
    pub(super) entity_labels: &'a [u32],
    /// Metric, then names.
    pub(super) shape_labels: &'a [u32],
    /// Values for the names of the shape.
    pub(super) residual: &'a [u32],
}

impl<'a> Row<'a> {
    pub(super) fn metric(&self) -> Option<u32> {
        self.shape_labels.first().copied().filter(|metric| *metric != NO_METRIC)
    }

    pub(super) fn residual_names(&self) -> &'a [u32] {
        self.shape_labels.get(1..).unwrap_or(&[])
    }

    /// All (name, value) pairs, not sorted by name.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let metric = self.metric().map(|value| (METRIC_NAME_ID, value));
        let residual = self.residual_names().iter().copied().zip(self.residual.iter().copied());
        metric.into_iter().chain(entity_pairs(self.entity_labels)).chain(residual)
    }
}

/// The (name, value) pairs of an entity.
pub(super) fn entity_pairs(run: &[u32]) -> impl Iterator<Item = (u32, u32)> + Clone + use<'_> {
    run.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
}

/// All postings of an index.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// By number of the name.
    pub(super) names: Vec<Name>,
    /// Series of each entity; empty when all were removed.
    pub(super) entity_series: Vec<Postings>,
    /// Series of each shape; empty when all were removed.
    pub(super) shape_series: Vec<Postings>,
}

impl Pairs {
    pub(super) fn push_name(&mut self, class: Class) {
        let having = Postings::empty();
        self.names.push(Name { class, values: HashMap::default(), having });
    }

    pub(super) fn name(&self, id: u32) -> Option<&Name> {
        self.names.get(id as usize)
    }

    /// Adds or removes the series `ord`.
    pub(super) fn change(&mut self, ord: u32, row: Row<'_>, add: bool) {
        if changed_emptiness(&mut self.entity_series, row.entity, ord, add) {
            for (name, value) in entity_pairs(row.entity_labels) {
                self.change_name(name, Some(value), row.entity, add);
            }
        }
        if changed_emptiness(&mut self.shape_series, row.shape, ord, add) {
            if let Some(metric) = row.metric() {
                self.change_name(METRIC_NAME_ID, Some(metric), row.shape, add);
            }
            for name in row.residual_names() {
                self.change_name(*name, None, row.shape, add);
            }
        }
        for (name, value) in row.residual_names().iter().zip(row.residual) {
            self.change_name(*name, Some(*value), ord, add);
        }
    }

    fn change_name(&mut self, name: u32, value: Option<u32>, holder: u32, add: bool) {
        if let Some(name) = self.names.get_mut(name as usize) {
            name.change(value, holder, add);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Postings> {
        let of_names =
            self.names.iter().flat_map(|name| name.values.values().chain([&name.having]));
        of_names.chain(&self.entity_series).chain(&self.shape_series)
    }

    pub(super) fn optimize(&mut self) {
        let of_names = self
            .names
            .iter_mut()
            .flat_map(|name| name.values.values_mut().chain([&mut name.having]));
        for postings in of_names.chain(&mut self.entity_series).chain(&mut self.shape_series) {
            postings.optimize();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let inside: usize = self.all().map(Postings::bytes).sum();
        let tables: usize = self.names.iter().map(|name| name.values.allocation_size()).sum();
        let lists = self.entity_series.capacity() + self.shape_series.capacity();
        inside + tables + lists * size_of::<Postings>()
    }
}

/// Changes the series of one entity or shape; whether it came to life or died by that.
fn changed_emptiness(all: &mut Vec<Postings>, id: u32, ord: u32, add: bool) -> bool {
    if all.len() <= id as usize {
        all.resize_with(id as usize + 1, Postings::empty);
    }
    let Some(series) = all.get_mut(id as usize) else { return false };
    let was_empty = series.is_empty();
    if add {
        series.insert(ord);
    } else {
        series.remove(ord);
    }
    was_empty != series.is_empty()
}
