//! Who has which label, in memory: postings factored by entity and shape.

use super::paged::Paged;
use super::postings::Postings;
use super::values::Values;

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

/// A label name and who has which value.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) class: Class,
    /// By value symbol.
    pub(super) values: Values,
    /// Who has the label with any value.
    pub(super) having: Postings,
}

impl Name {
    fn new(class: Class) -> Self {
        Self { class, values: Values::new(), having: Postings::empty() }
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
    /// By symbol: the names that have it as a value of somebody.
    uses: Paged,
}

/// What nobody has any more after the removal of a series.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) entity: bool,
    pub(super) shape: bool,
    pub(super) names: Vec<u32>,
    pub(super) symbols: Vec<u32>,
}

impl Gone {
    pub(super) fn clear(&mut self) {
        (self.entity, self.shape) = (false, false);
        self.names.clear();
        self.symbols.clear();
    }
}

impl Pairs {
    /// Takes up a name with a number that is new or has been forgotten.
    pub(super) fn set_name(&mut self, id: u32, class: Class) {
        match self.names.get_mut(id as usize) {
            Some(name) => *name = Name::new(class),
            None => self.names.push(Name::new(class)),
        }
    }

    pub(super) fn name(&self, id: u32) -> Option<&Name> {
        self.names.get(id as usize)
    }

    /// Whether somebody has the label.
    pub(super) fn has_name(&self, id: u32) -> bool {
        self.name(id).is_some_and(|name| !name.having.is_empty())
    }

    /// Whether the symbol is a value of somebody.
    pub(super) fn has_symbol(&self, id: u32) -> bool {
        self.uses.get(id as usize).is_some_and(|uses| uses > 0)
    }

    /// Whether the entity has series.
    pub(super) fn has_entity(&self, id: u32) -> bool {
        self.entity_series.get(id as usize).is_some_and(|series| !series.is_empty())
    }

    /// Whether the shape has series.
    pub(super) fn has_shape(&self, id: u32) -> bool {
        self.shape_series.get(id as usize).is_some_and(|series| !series.is_empty())
    }

    /// Adds the series `ord`.
    pub(super) fn add(&mut self, ord: u32, row: Row<'_>) {
        if first_of(&mut self.entity_series, row.entity, ord) {
            for (name, value) in entity_pairs(row.entity_labels) {
                self.add_value(name, value, row.entity);
                self.add_having(name, row.entity);
            }
        }
        if first_of(&mut self.shape_series, row.shape, ord) {
            if let Some(metric) = row.metric() {
                self.add_value(METRIC_NAME_ID, metric, row.shape);
                self.add_having(METRIC_NAME_ID, row.shape);
            }
            for name in row.residual_names() {
                self.add_having(*name, row.shape);
            }
        }
        for (name, value) in row.residual_names().iter().zip(row.residual) {
            self.add_value(*name, *value, ord);
        }
    }

    fn add_value(&mut self, name: u32, value: u32, holder: u32) {
        if let Some(name) = self.names.get_mut(name as usize)
            && name.values.add(value, holder)
            && let Some(uses) = self.uses.slot(value as usize)
        {
            *uses += 1;
        }
    }

    fn add_having(&mut self, name: u32, holder: u32) {
        if let Some(name) = self.names.get_mut(name as usize) {
            name.having.insert(holder);
        }
    }

    /// Removes the series `ord` and adds to `gone` what went with it.
    pub(super) fn remove(&mut self, ord: u32, row: Row<'_>, gone: &mut Gone) {
        for (name, value) in row.residual_names().iter().zip(row.residual) {
            self.remove_value(*name, *value, ord, gone);
        }
        if last_of(&mut self.shape_series, row.shape, ord) {
            gone.shape = true;
            if let Some(metric) = row.metric() {
                self.remove_value(METRIC_NAME_ID, metric, row.shape, gone);
                self.remove_having(METRIC_NAME_ID, row.shape, gone);
            }
            for name in row.residual_names() {
                self.remove_having(*name, row.shape, gone);
            }
        }
        if last_of(&mut self.entity_series, row.entity, ord) {
            gone.entity = true;
            for (name, value) in entity_pairs(row.entity_labels) {
                self.remove_value(name, value, row.entity, gone);
                self.remove_having(name, row.entity, gone);
            }
        }
    }

    fn remove_value(&mut self, name: u32, value: u32, holder: u32, gone: &mut Gone) {
        if let Some(name) = self.names.get_mut(name as usize)
            && name.values.remove(value, holder)
            && let Some(uses) = self.uses.slot(value as usize)
        {
            *uses -= 1;
            if *uses == 0 {
                gone.symbols.push(value);
            }
        }
    }

    fn remove_having(&mut self, id: u32, holder: u32, gone: &mut Gone) {
        if let Some(name) = self.names.get_mut(id as usize) {
            name.having.remove(holder);
            if name.having.is_empty() && id != METRIC_NAME_ID {
                gone.names.push(id);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Postings> {
        let of_names =
            self.names.iter().flat_map(|name| name.values.postings().chain([&name.having]));
        of_names.chain(&self.entity_series).chain(&self.shape_series)
    }

    pub(super) fn optimize(&mut self) {
        let of_names = self
            .names
            .iter_mut()
            .flat_map(|name| name.values.postings_mut().chain([&mut name.having]));
        for postings in of_names.chain(&mut self.entity_series).chain(&mut self.shape_series) {
            postings.optimize();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let inside: usize = self.all().map(Postings::bytes).sum();
        let tables: usize = self.names.iter().map(|name| name.values.bytes()).sum();
        let lists = self.entity_series.capacity() + self.shape_series.capacity();
        let lists = lists * size_of::<Postings>() + self.names.capacity() * size_of::<Name>();
        inside + tables + lists + self.uses.bytes()
    }
}

/// Adds a series to those of an entity or shape; whether it is the first.
fn first_of(all: &mut Vec<Postings>, id: u32, ord: u32) -> bool {
    if all.len() <= id as usize {
        all.resize_with(id as usize + 1, Postings::empty);
    }
    let Some(series) = all.get_mut(id as usize) else { return false };
    let is_first = series.is_empty();
    series.insert(ord);
    is_first
}

/// Removes a series from those of an entity or shape; whether it was the last.
fn last_of(all: &mut [Postings], id: u32, ord: u32) -> bool {
    let Some(series) = all.get_mut(id as usize) else { return false };
    series.remove(ord);
    series.is_empty()
}
