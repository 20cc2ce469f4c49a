//! Series of a replayed record on their way into the index: what they share is looked up once.

use super::definitions::{Definition, Definitions};
use crate::index::MemIndex;
use crate::model::SeriesOrd;

/// What is known of a number of the record.
#[derive(Debug, Clone, Copy)]
enum Known {
    Nothing,
    /// Its number in the index.
    Number(u32),
    /// The index has no such thing: the settings say now which labels are the target's, or the record was not
    /// written by this program.
    Foreign,
}

impl Known {
    fn or_ask(&mut self, ask: impl FnOnce() -> Option<u32>) -> Option<u32> {
        if let Self::Nothing = self {
            *self = ask().map_or(Self::Foreign, Self::Number);
        }
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// The numbers in the index of what a record's series consist of.
pub(super) struct Taken {
    texts: Vec<Known>,
    targets: Vec<Known>,
    shapes: Vec<Known>,
    values: Vec<u32>,
}

impl Taken {
    pub(super) fn new(definitions: &Definitions<'_>) -> Self {
        Self {
            texts: vec![Known::Nothing; definitions.texts.len()],
            targets: vec![Known::Nothing; definitions.n_targets()],
            shapes: vec![Known::Nothing; definitions.n_shapes()],
            values: Vec::new(),
        }
    }

    /// The place of a series, and whether it is new. `None` when the index is full, or the labels are too long.
    pub(super) fn insert(
        &mut self,
        index: &mut MemIndex,
        definitions: &Definitions<'_>,
        series: &Definition,
    ) -> Option<(SeriesOrd, bool)> {
        match self.numbers(index, definitions, series) {
            Some((target, shape)) => index.insert_numbers(target, shape, &self.values),
            None => index.insert(&definitions.labels(series)?).ok(),
        }
    }

    /// The numbers of target and shape; those of the values are in `values`.
    fn numbers(
        &mut self,
        index: &mut MemIndex,
        definitions: &Definitions<'_>,
        series: &Definition,
    ) -> Option<(u32, u32)> {
        let target = self.targets.get_mut(series.target)?.or_ask(|| {
            let pairs: Vec<_> = definitions.target(series.target).collect();
            index.target_number(&pairs)
        })?;
        let shape = self.shapes.get_mut(series.shape)?.or_ask(|| {
            let (metric, names) = definitions.shape(series.shape);
            index.shape_number(metric, &names.collect::<Vec<_>>())
        })?;
        self.values.clear();
        for text in &series.values {
            let text = *text as usize;
            let value = self
                .texts
                .get_mut(text)?
                .or_ask(|| index.value_number(definitions.texts.get(text)?))?;
            self.values.push(value);
        }
        Some((target, shape))
    }
}
