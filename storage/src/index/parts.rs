//! A label set on its way into the index in memory: taken apart into numbers.

use std::cmp::Ordering;

use super::pairs::{Class, NO_METRIC};
use crate::model::{Labels, split_pair};

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
    /// Each label, in the order of the set.
    pub(super) pairs: Vec<PairIds>,
}

/// A label as numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairIds {
    pub(super) name: u32,
    pub(super) value: u32,
    /// Bytes of the label in its set.
    len: u32,
}

impl Parts {
    pub(super) fn clear(&mut self) {
        self.entity.clear();
        self.shape.clear();
        self.shape.push(NO_METRIC);
        self.row.clear();
        self.row.resize(ROW_HEAD, 0);
        self.pairs.clear();
    }

    /// Adds a label that takes `len` bytes in its set.
    pub(super) fn push(&mut self, class: Class, name: u32, value: u32, len: usize) {
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
        // No set is as long as 4 GiB; a length cut short would only not be recognized.
        self.pairs.push(PairIds { name, value, len: len as u32 });
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
    /// Each label.
    pub(super) pairs: Vec<PairIds>,
    pub(super) entity_labels: Vec<u32>,
    pub(super) entity: u32,
}

impl Before {
    pub(super) fn forget(&mut self) {
        self.labels = None;
        self.pairs.clear();
    }

    /// The entity, if it has these labels.
    pub(super) fn entity_with(&self, entity_labels: &[u32]) -> Option<u32> {
        (self.labels.is_some() && self.entity_labels == entity_labels).then_some(self.entity)
    }

    /// Remembers `parts`, whose buffers it takes in exchange.
    pub(super) fn remember(&mut self, labels: &Labels, entity: u32, parts: &mut Parts) {
        self.labels = Some(labels.clone());
        self.entity = entity;
        std::mem::swap(&mut self.pairs, &mut parts.pairs);
        std::mem::swap(&mut self.entity_labels, &mut parts.entity);
    }

    /// The labels, to be walked beside those of another set.
    pub(super) fn walk(&self) -> Known<'_> {
        Known {
            bytes: self.labels.as_ref().map_or(&[], Labels::as_bytes),
            pairs: self.pairs.as_slice(),
        }
    }
}

/// The labels with known numbers that are still ahead.
pub(super) struct Known<'a> {
    bytes: &'a [u8],
    pairs: &'a [PairIds],
}

impl Known<'_> {
    /// The next label, if `bytes` begin with it, and the bytes behind it.
    pub(super) fn same<'b>(&mut self, bytes: &'b [u8]) -> Option<(PairIds, &'b [u8])> {
        let (ids, pairs) = self.pairs.split_first()?;
        let (pair, behind) = self.bytes.split_at_checked(ids.len as usize)?;
        let rest = bytes.strip_prefix(pair)?;
        (self.bytes, self.pairs) = (behind, pairs);
        Some((*ids, rest))
    }

    /// The numbers of `name` and `value`, as far as the label `name` is ahead. Passes it.
    pub(super) fn find(&mut self, name: &[u8], value: &[u8]) -> (Option<u32>, Option<u32>) {
        while let Some((ids, pairs)) = self.pairs.split_first()
            && let Some((have, have_value, behind)) = split_pair(self.bytes)
        {
            let order = have.cmp(name);
            if order == Ordering::Greater {
                break;
            }
            (self.bytes, self.pairs) = (behind, pairs);
            if order == Ordering::Equal {
                return (Some(ids.name), (have_value == value).then_some(ids.value));
            }
        }
        (None, None)
    }
}
