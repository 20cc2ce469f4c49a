//! Series of the index in memory on their way into the index of a block, number by number: what is new to the
//! block is the only text that is looked at.

use super::builder::IndexBuilder;
use super::mem::MemIndex;
use super::pairs::{METRIC_NAME_ID, NO_METRIC};
use crate::error::{Error, Result};
use crate::model::SeriesOrd;

/// Stands where a number is not known yet.
const UNKNOWN: u32 = u32::MAX;

/// Carries series of one index into one block. Numbers of that index must keep their meaning meanwhile: no
/// series is removed.
#[derive(Debug, Default)]
pub(crate) struct RowCopier {
    /// Names and shapes of the block by those of the index.
    names: Vec<u32>,
    shapes: Vec<u32>,
    shape_labels: Vec<u32>,
    residual: Vec<u32>,
}

impl RowCopier {
    /// Adds a series to the block, whose entity has begun. Answers its place there.
    ///
    /// # Errors
    /// [`Error::Limit`] when the block's index is full, [`Error::Invalid`] when there is no such series.
    pub(crate) fn copy(
        &mut self,
        from: &MemIndex,
        ord: SeriesOrd,
        to: &mut IndexBuilder,
    ) -> Result<u32> {
        let row = from.row(ord.0).ok_or_else(|| Error::Invalid {
            what: "a series left memory while it was written to a block".to_owned(),
        })?;
        self.residual.clear();
        for (name, value) in row.residual_names().iter().zip(row.residual) {
            let name = self.name(from, *name, to)?;
            let text = || from.symbol(*value).as_bytes();
            self.residual.push(to.value_by_key(name, *value, text)?);
        }
        let shape = match known(&self.shapes, row.shape) {
            Some(shape) => shape,
            None => {
                self.shape_labels.clear();
                self.shape_labels.push(match row.metric() {
                    None => NO_METRIC,
                    Some(metric) => {
                        let text = || from.symbol(metric).as_bytes();
                        to.value_by_key(super::builder::METRIC, metric, text)?
                    }
                });
                for name in row.residual_names() {
                    let name = self.name(from, *name, to)?;
                    self.shape_labels.push(name);
                }
                remember(&mut self.shapes, row.shape, to.shape(&self.shape_labels)?)
            }
        };
        to.add(shape, &self.residual)
    }

    fn name(&mut self, from: &MemIndex, name: u32, to: &mut IndexBuilder) -> Result<u32> {
        debug_assert_ne!(name, METRIC_NAME_ID);
        match known(&self.names, name) {
            Some(name) => Ok(name),
            None => {
                let number = to.name(from.name_text(name).as_bytes())?;
                Ok(remember(&mut self.names, name, number))
            }
        }
    }
}

fn known(numbers: &[u32], id: u32) -> Option<u32> {
    numbers.get(id as usize).copied().filter(|number| *number != UNKNOWN)
}

fn remember(numbers: &mut Vec<u32>, id: u32, number: u32) -> u32 {
    if numbers.len() <= id as usize {
        numbers.resize(id as usize + 1, UNKNOWN);
    }
    if let Some(place) = numbers.get_mut(id as usize) {
        *place = number;
    }
    number
}
