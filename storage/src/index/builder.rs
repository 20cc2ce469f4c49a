//! The index of a block while the block is written: label sets come in the order of the block, each once, so
//! that nothing has to be found again but texts and shapes. A series costs less than ten bytes.

use std::path::PathBuf;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::ascending::Ascending;
use super::interner::Interner;
use super::pairs::{Class, NO_METRIC};
use super::parts::{Before, Parts};
use super::split::is_target;
use super::values::SymbolHashing;
use super::written_rows::{Spill, WrittenRows};
use crate::codec::put_uvarint;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::model::{Labels, METRIC_NAME, split_pair};

/// Number of the name `__name__`.
pub(super) const METRIC: u32 = 0;

/// A label name with its values.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) class: Class,
    /// The values, numbered in the order in which they came.
    pub(super) values: Vec<Value>,
    /// Numbers of values by what their giver calls them.
    by_key: HashMap<u32, u32, SymbolHashing>,
    /// Who has the label: entities for a label of the target, else shapes.
    pub(super) having: Ascending,
}

/// A value of a label name.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) symbol: u32,
    /// Who has it: shapes for the metric name, entities for a label of the target, else series.
    pub(super) holders: Ascending,
}

/// See the module.
pub(crate) struct IndexBuilder {
    target_labels: Vec<String>,
    pub(super) name_texts: Interner<u8>,
    pub(super) names: Vec<Name>,
    pub(super) symbols: Interner<u8>,
    /// Metric (number of the value, or [`NO_METRIC`]), then the names of the other labels.
    pub(super) shapes: Interner<u32>,
    /// Series of each shape.
    pub(super) shape_series: Vec<Ascending>,
    /// First series of each entity.
    pub(super) entity_series: Vec<u32>,
    /// Of each entity the number of its labels, and of each label the numbers of name and value.
    pub(super) entities: Vec<u8>,
    /// Of each series the numbers of its shape and of the values for the names of the shape.
    pub(super) rows: WrittenRows,
    n_series: u32,
    parts: Parts,
    before: Before,
}

pub(super) fn too_large() -> Error {
    Error::Limit {
        limit: "index",
        what: "the index of a block is too large",
        max: u64::from(u32::MAX),
    }
}

impl IndexBuilder {
    /// An empty index. Series are grouped by the labels named in `target_labels`.
    pub(crate) fn new(target_labels: &[String]) -> Self {
        let mut builder = Self {
            target_labels: target_labels.to_vec(),
            name_texts: Interner::small(),
            names: Vec::new(),
            symbols: Interner::large(),
            shapes: Interner::small(),
            shape_series: Vec::new(),
            entity_series: Vec::new(),
            entities: Vec::new(),
            rows: WrittenRows::default(),
            n_series: 0,
            parts: Parts::default(),
            before: Before::default(),
        };
        builder.name_texts.intern(METRIC_NAME.as_bytes());
        builder.names.push(Name::new(Class::Metric));
        builder
    }

    /// The same with rows set aside in a file `path` until [`IndexBuilder::remove_file`].
    pub(crate) fn with_file(target_labels: &[String], disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        let rows = WrittenRows::spilling(Spill::new(disk, path));
        Self { rows, ..Self::new(target_labels) }
    }

    /// Removes the file, if there is one. The index can not be written any more.
    pub(crate) fn remove_file(&mut self) -> Result<()> {
        self.rows.remove_file()
    }

    /// Number of series.
    pub(crate) fn n_series(&self) -> u32 {
        self.n_series
    }

    /// Number of entities.
    pub(crate) fn n_entities(&self) -> u32 {
        // As many as there are series, at most.
        self.entity_series.len() as u32
    }

    /// Begins the series of the next entity, which has the labels of a target.
    pub(crate) fn begin_entity(&mut self, labels: &Labels) -> Result<()> {
        let entity = self.n_entities();
        put_uvarint(&mut self.entities, labels.len() as u64);
        for (name, text) in labels.raw_pairs() {
            let name = self.name(name)?;
            let value = self.value(name, text)?;
            put_uvarint(&mut self.entities, u64::from(name));
            put_uvarint(&mut self.entities, u64::from(value));
            if let Some(name) = self.names.get_mut(name as usize) {
                name.having.push(entity);
                name.hold(value, entity);
            }
        }
        self.entity_series.push(self.n_series);
        Ok(())
    }

    /// Adds the next series of the entity. Answers its place.
    pub(crate) fn push(&mut self, labels: &Labels) -> Result<u32> {
        let (mut parts, mut before) =
            (std::mem::take(&mut self.parts), std::mem::take(&mut self.before));
        let added = self.push_parts(labels, &mut parts, &mut before);
        (self.parts, self.before) = (parts, before);
        added
    }

    fn push_parts(
        &mut self,
        labels: &Labels,
        parts: &mut Parts,
        before: &mut Before,
    ) -> Result<u32> {
        parts.clear();
        let mut known = before.walk();
        let mut rest = labels.as_bytes();
        loop {
            let at = rest.len();
            let (name, value) = match known.same(rest) {
                Some((ids, behind)) => {
                    rest = behind;
                    (ids.name, ids.value)
                }
                None => {
                    let Some((name, text, behind)) = split_pair(rest) else { break };
                    rest = behind;
                    let (known_name, known_value) = known.find(name, text);
                    let name = known_name.map_or_else(|| self.name(name), Ok)?;
                    // The labels of the target are the entity's.
                    let value = match self.class(name) {
                        Class::Target => 0,
                        _ => known_value.map_or_else(|| self.value(name, text), Ok)?,
                    };
                    (name, value)
                }
            };
            parts.push(self.class(name), name, value, at - rest.len());
        }
        let shape = self.shape(&parts.shape)?;
        let ord = self.add(shape, parts.residual())?;
        before.remember(labels, 0, parts);
        Ok(ord)
    }

    fn class(&self, name: u32) -> Class {
        self.names.get(name as usize).map_or(Class::Residual, |name| name.class)
    }

    /// The number of a label name.
    pub(super) fn name(&mut self, text: &[u8]) -> Result<u32> {
        let (id, is_new) = self.name_texts.intern(text).ok_or_else(too_large)?;
        if is_new {
            let text = std::str::from_utf8(text).unwrap_or_default();
            let target = is_target(text, &self.target_labels);
            self.names.push(Name::new(if target { Class::Target } else { Class::Residual }));
        }
        Ok(id)
    }

    fn value(&mut self, name: u32, text: &[u8]) -> Result<u32> {
        let (symbol, _) = self.symbols.intern(text).ok_or_else(too_large)?;
        self.value_by_key(name, symbol, || text)
    }

    /// The number of a value among those of its name. `key` is what the caller calls the text.
    pub(super) fn value_by_key<'t>(
        &mut self,
        name: u32,
        key: u32,
        text: impl FnOnce() -> &'t [u8],
    ) -> Result<u32> {
        let name = self.names.get_mut(name as usize).ok_or_else(too_large)?;
        match name.by_key.entry(key) {
            Entry::Occupied(found) => Ok(*found.get()),
            Entry::Vacant(place) => {
                let (symbol, _) = self.symbols.intern(text()).ok_or_else(too_large)?;
                let number = u32::try_from(name.values.len()).map_err(|_| too_large())?;
                name.values.push(Value { symbol, holders: Ascending::default() });
                Ok(*place.insert(number))
            }
        }
    }

    /// The number of a shape: the metric's number or [`NO_METRIC`], then the names of the other labels.
    pub(super) fn shape(&mut self, labels: &[u32]) -> Result<u32> {
        let (shape, is_new) = self.shapes.intern(labels).ok_or_else(too_large)?;
        if is_new {
            self.shape_series.push(Ascending::default());
            let (metric, names) = labels.split_first().ok_or_else(too_large)?;
            if *metric != NO_METRIC
                && let Some(name) = self.names.get_mut(METRIC as usize)
            {
                name.having.push(shape);
                name.hold(*metric, shape);
            }
            for name in names {
                if let Some(name) = self.names.get_mut(*name as usize) {
                    name.having.push(shape);
                }
            }
        }
        Ok(shape)
    }

    /// Adds the next series, whose values for the names of the shape are `residual`. Answers its place.
    pub(super) fn add(&mut self, shape: u32, residual: &[u32]) -> Result<u32> {
        let ord = self.n_series;
        self.n_series = ord.checked_add(1).ok_or_else(too_large)?;
        if let Some(series) = self.shape_series.get_mut(shape as usize) {
            series.push(ord);
        }
        self.rows.push(shape, residual)?;
        let names = self.shapes.get(shape).get(1..).unwrap_or_default();
        for (name, value) in names.iter().zip(residual) {
            if let Some(name) = self.names.get_mut(*name as usize) {
                name.hold(*value, ord);
            }
        }
        Ok(ord)
    }

    pub(super) fn text_of_name(&self, name: u32) -> &[u8] {
        self.name_texts.get(name)
    }
}

impl Name {
    fn new(class: Class) -> Self {
        Self { class, values: Vec::new(), by_key: HashMap::default(), having: Ascending::default() }
    }

    fn hold(&mut self, value: u32, holder: u32) {
        if let Some(value) = self.values.get_mut(value as usize) {
            value.holders.push(holder);
        }
    }
}
