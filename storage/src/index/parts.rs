//! A label set on its way into the index in memory: taken apart into numbers.

use super::pairs::{Class, NO_METRIC};
use crate::model::Labels;

/// Numbers in a series row before the residual values: entity, shape.
pub(super) const ROW_HEAD: usize = 2;

/// A label set taken apart into symbols. Kept as buffers between insertions.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// (name, value) by turns.
    pub(super) entity: Vec<u32>,
    /// Metric, then names.
    pub(super) shape: Vec<u32>,
    /// Entity, shape, residual values.
    pub(super) row: Vec<u32>,
    /// Name and value of each label, in the order of the set.
    pub(super) ids: Vec<(u32, u32)>,
}

impl Parts {
    pub(super) fn clear(&mut self) {
        self.entity.clear();
        self.shape.clear();
        self.shape.push(NO_METRIC);
        self.row.clear();
        self.row.resize(ROW_HEAD, 0);
        self.ids.clear();
    }

    pub(super) fn push(&mut self, class: Class, name: u32, value: u32) {
        match class {
            Class::Metric => {
                if let Some(metric) = self.shape.first_mut() {
                    *metric = value;
                }
            }
            Class::Target => self.entity.extend([name, value]),
            Class::Residual => {
                self.shape.push(name);
                self.row.push(value);
            }
        }
        self.ids.push((name, value));
    }

    pub(super) fn set_head(&mut self, entity: u32, shape: u32) {
        if let Some(head) = self.row.first_chunk_mut::<ROW_HEAD>() {
            *head = [entity, shape];
        }
    }

    /// Values for the names of the shape.
    pub(super) fn residual(&self) -> &[u32] {
        self.row.get(ROW_HEAD..).unwrap_or(&[])
    }
}

/// The label set inserted last, with its numbers. The next one is likely to come from the same target, and
/// most of its labels then need not be looked up. Numbers hold until a series is removed.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) labels: Option<Labels>,
    /// Name and value of each label.
    pub(super) ids: Vec<(u32, u32)>,
    pub(super) entity_labels: Vec<u32>,
    pub(super) entity: u32,
}

impl Before {
    pub(super) fn forget(&mut self) {
        self.labels = None;
        self.ids.clear();
    }

    /// The entity, if it has these labels.
    pub(super) fn entity_with(&self, entity_labels: &[u32]) -> Option<u32> {
        (self.labels.is_some() && self.entity_labels == entity_labels).then_some(self.entity)
    }

    /// Remembers `parts`, whose buffers it takes in exchange.
    pub(super) fn remember(&mut self, labels: &Labels, entity: u32, parts: &mut Parts) {
        self.labels = Some(labels.clone());
        self.entity = entity;
        std::mem::swap(&mut self.ids, &mut parts.ids);
        std::mem::swap(&mut self.entity_labels, &mut parts.entity);
    }

    /// The labels with their numbers.
    pub(super) fn known(&self) -> impl Iterator<Item = Known<'_>> {
        let pairs = self.labels.iter().flat_map(Labels::raw_pairs).zip(&self.ids);
        pairs.map(|((name, value), (name_id, value_id))| Known {
            name,
            value,
            name_id: *name_id,
            value_id: *value_id,
        })
    }
}

/// A label with its numbers.
pub(super) struct Known<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) name_id: u32,
    pub(super) value_id: u32,
}
