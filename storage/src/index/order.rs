//! The series of an index in memory in the order in which a block wants them.

use std::cmp::Ordering;

use super::interner::Interner;
use super::mem::{EntityId, MemIndex};
use super::pairs::{Row, entity_pairs};
use crate::model::SeriesOrd;

/// Texts as numbers of the same order.
struct Ranks {
    names: Vec<u32>,
    values: Vec<u32>,
}

impl Ranks {
    fn name(&self, name: u32) -> u32 {
        self.names.get(name as usize).copied().unwrap_or(0)
    }

    fn value(&self, value: u32) -> u32 {
        self.values.get(value as usize).copied().unwrap_or(0)
    }
}

/// Ranks of those texts that somebody has.
fn rank(texts: &Interner<u8>, in_use: impl Fn(u32) -> bool) -> Vec<u32> {
    // Never more than u32::MAX numbers are given.
    let mut sorted: Vec<u32> = (0..texts.end() as u32).filter(|id| in_use(*id)).collect();
    sorted.sort_unstable_by_key(|id| texts.get(*id));
    let mut ranks = vec![0; texts.end()];
    for (rank, id) in (0u32..).zip(sorted) {
        if let Some(slot) = ranks.get_mut(id as usize) {
            *slot = rank;
        }
    }
    ranks
}

/// The targets of an index in the order of a block, and what it takes to sort the series of each. Holds for the
/// series that were there when it was made, as long as none is removed.
pub struct BlockOrder {
    ranks: Ranks,
    entities: Vec<EntityId>,
}

impl BlockOrder {
    /// The targets, ascending by their labels.
    #[must_use]
    pub fn entities(&self) -> &[EntityId] {
        &self.entities
    }
}

impl MemIndex {
    /// The order in which a block wants the series: by the labels of the target, then as
    /// [`super::compare_in_entity`] orders them. Compares numbers instead of texts: for sorting many series.
    #[must_use]
    pub fn block_order(&self) -> BlockOrder {
        let ranks = Ranks {
            names: rank(&self.name_texts, |id| self.pairs.has_name(id)),
            values: rank(&self.symbols, |id| self.pairs.has_symbol(id)),
        };
        let ranked = |entity: u32| -> Vec<(u32, u32)> {
            entity_pairs(self.entities.get(entity))
                .map(|(name, value)| (ranks.name(name), ranks.value(value)))
                .collect()
        };
        let mut entities: Vec<u32> =
            (0..self.entity_end()).filter(|id| self.pairs.has_entity(*id)).collect();
        entities.sort_by_cached_key(|entity| ranked(*entity));
        BlockOrder { entities: entities.into_iter().map(EntityId).collect(), ranks }
    }

    /// The series of a target in the order of a block.
    #[must_use]
    pub fn series_in_order(&self, order: &BlockOrder, entity: EntityId) -> Vec<SeriesOrd> {
        let Some(series) = self.pairs.entity_series.get(entity.0 as usize) else {
            return Vec::new();
        };
        let ranks = &order.ranks;
        let last_name =
            entity_pairs(self.entities.get(entity.0)).last().map(|pair| ranks.name(pair.0));
        // By the metric first, and only then with rows at hand, metric by metric: a target may have very many
        // series, and a row takes six times as much as these.
        let mut by_metric: Vec<(Option<u32>, SeriesOrd)> = Vec::new();
        by_metric.reserve_exact(series.len() as usize);
        by_metric.extend(series.iter().filter_map(|ord| {
            let metric = self.row(ord)?.metric().map(|value| ranks.value(value));
            Some((metric, SeriesOrd(ord)))
        }));
        by_metric.sort_unstable_by_key(|(metric, _)| *metric);
        let mut ords = Vec::new();
        ords.reserve_exact(by_metric.len());
        let mut rows: Vec<(SeriesOrd, Row<'_>)> = Vec::new();
        for some in by_metric.chunk_by(|a, b| a.0 == b.0) {
            rows.clear();
            rows.extend(some.iter().filter_map(|(_, ord)| Some((*ord, self.row(ord.0)?))));
            rows.sort_unstable_by(|a, b| compare(ranks, last_name, &a.1, &b.1));
            ords.extend(rows.iter().map(|row| row.0));
        }
        ords
    }
}

/// As [`super::compare_in_entity`], for two series of one metric and of an entity whose last label has the name
/// `last_name`.
fn compare(ranks: &Ranks, last_name: Option<u32>, a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let (mut a, mut b) = (ranked_pairs(ranks, a), ranked_pairs(ranks, b));
    // Where one set has no pair left it goes on with labels of the target, if such a label comes later.
    let goes_on = |pair: &(u32, u32)| last_name.is_some_and(|last| last > pair.0);
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (Some(a), Some(b)) if a == b => {}
            (None, Some(b)) if goes_on(&b) => return Ordering::Greater,
            (Some(a), None) if goes_on(&a) => return Ordering::Less,
            (a, b) => return a.cmp(&b),
        }
    }
}

fn ranked_pairs<'a>(ranks: &'a Ranks, row: &Row<'a>) -> impl Iterator<Item = (u32, u32)> + 'a {
    let pairs = row.residual_names().iter().zip(row.residual);
    pairs.map(|(name, value)| (ranks.name(*name), ranks.value(*value)))
}
