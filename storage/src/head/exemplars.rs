//! The newest exemplars, in a bounded ring.

use std::collections::{HashMap, VecDeque};

use crate::append::Exemplar;

/// Exemplars by series; when the bound is reached, the series that was written longest ago loses its oldest.
#[derive(Debug, Default)]
pub(crate) struct ExemplarRing {
    max: usize,
    arrival: VecDeque<u32>,
    /// Each series by time.
    by_series: HashMap<u32, VecDeque<Exemplar>>,
}

impl ExemplarRing {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Takes the exemplar of the series at `ord`; false when it was there already, or when none is kept.
    pub(crate) fn push(&mut self, ord: u32, exemplar: Exemplar) -> bool {
        if self.max == 0 {
            return false;
        }
        let list = self.by_series.entry(ord).or_default();
        let same = |e: &Exemplar| {
            e.value.to_bits() == exemplar.value.to_bits() && e.labels == exemplar.labels
        };
        let behind = list.partition_point(|e| e.ts <= exemplar.ts);
        if list.range(..behind).rev().take_while(|e| e.ts == exemplar.ts).any(same) {
            return false;
        }
        list.insert(behind, exemplar);
        self.arrival.push_back(ord);
        if self.arrival.len() > self.max
            && let Some(oldest) = self.arrival.pop_front()
            && let Some(list) = self.by_series.get_mut(&oldest)
        {
            list.pop_front();
            if list.is_empty() {
                self.by_series.remove(&oldest);
            }
        }
        true
    }

    /// Whether there are exemplars of the series.
    pub(crate) fn has(&self, ord: u32) -> bool {
        self.by_series.contains_key(&ord)
    }

    /// The exemplars of one series by time.
    pub(crate) fn of(&self, ord: u32) -> impl Iterator<Item = &Exemplar> {
        self.by_series.get(&ord).into_iter().flatten()
    }

    /// All exemplars with their series, each series by time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Exemplar)> {
        self.by_series.iter().flat_map(|(ord, list)| list.iter().map(|e| (*ord, e)))
    }

    pub(crate) fn len(&self) -> usize {
        self.arrival.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    #[test]
    fn keeps_the_newest_and_knows_repetitions() {
        let exemplar = |ts| Exemplar { labels: Labels::empty(), value: 1.0, ts };
        let mut ring = ExemplarRing::new(3);
        assert!(ring.push(1, exemplar(10)));
        assert!(!ring.push(1, exemplar(10)));
        assert!(ring.push(2, exemplar(10)));
        assert!(ring.push(2, exemplar(20)));
        assert!(ring.push(2, exemplar(30)));
        assert_eq!(ring.len(), 3);
        assert_eq!(ring.of(1).count(), 0);
        assert_eq!(ring.of(2).map(|e| e.ts).collect::<Vec<_>>(), [10, 20, 30]);
    }
}
