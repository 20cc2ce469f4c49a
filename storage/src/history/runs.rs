//! The series of a span of rows: their ids, and the labels of those that were asked for.
//!
//! Ids are hashes: rows are of a series only if their labels are. Rows with one metric and id are sorted by labels,
//! so those between two rows with equal labels have these.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use parquet::data_type::Int64Type;

use super::held::{Held, LabelSets};
use super::packed::Span;
use super::reader::RowFile;
use super::row::series_id;
use super::row_labels::{LabelReader, Texts};
use super::schema::leaf;
use super::table::Charge;
use crate::error::Result;
use crate::model::Labels;

/// Runs whose labels have their place made at once.
const CELLS: usize = 64;

/// A series whose rows are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought<'l> {
    pub(super) labels: &'l Labels,
    pub(super) metric: &'l str,
    pub(super) id: i64,
    /// Ids of series that will be looked for as well, ascending.
    with: &'l [i64],
}

impl<'l> Sought<'l> {
    /// A series, and the ids of all that will be looked for with it, ascending.
    pub(crate) fn new(labels: &'l Labels, with: &'l [i64]) -> Self {
        Self { labels, metric: labels.metric_name(), id: series_id(labels), with }
    }
}

/// Runs whose labels are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'w> {
    /// Those of all.
    All,
    /// Those of a series, and of others that are looked for with it.
    These(Sought<'w>),
}

/// Rows of a span with one id, one behind the other.
#[derive(Debug, Clone, Copy)]
struct Run {
    id: i64,
    first: u32,
    n: u32,
}

/// The labels of a run; none where it is of several series.
type Cell = OnceLock<Option<Labels>>;

/// See the module.
pub(super) struct Runs {
    by_id: Vec<Run>,
    /// The least id and the greatest.
    ids: (i64, i64),
    cells: Vec<OnceLock<Box<[Cell]>>>,
    sets: Arc<LabelSets>,
}

impl Runs {
    /// Memory of the runs of `n` rows at most.
    pub(super) const fn bytes_max(n: usize) -> u64 {
        (n * size_of::<Run>() + n.div_ceil(CELLS) * size_of::<OnceLock<Box<[Cell]>>>()) as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        Self::bytes_max(self.by_id.len())
    }

    pub(super) fn read(file: &RowFile, span: Span, sets: Arc<LabelSets>) -> Result<Self> {
        let ids = file.column::<Int64Type>(span, leaf::SERIES_ID).and_then(|ids| ids.required());
        let mut by_id: Vec<Run> = Vec::new();
        for (row, id) in ids.map_err(|cause| file.undecoded(&cause))?.enumerate() {
            match by_id.last_mut() {
                Some(last) if last.id == id => last.n += 1,
                _ => by_id.push(Run { id, first: row as u32, n: 1 }),
            }
        }
        // Those of another metric begin anew.
        if !by_id.is_sorted_by_key(|run| run.id) {
            by_id.sort_unstable_by_key(|run| (run.id, run.first));
        }
        by_id.shrink_to_fit();
        let cells = (0..by_id.len().div_ceil(CELLS)).map(|_| OnceLock::new()).collect();
        let end = |run: Option<&Run>| run.map_or(0, |run| run.id);
        let ids = (end(by_id.first()), end(by_id.last()));
        Ok(Self { by_id, ids, cells, sets })
    }

    /// Places of the runs.
    pub(super) const fn all(&self) -> Range<usize> {
        0..self.by_id.len()
    }

    /// Places of the runs with an id.
    pub(super) fn with(&self, id: i64) -> Range<usize> {
        let from = self.first_from(id);
        let rest = self.by_id.get(from..).unwrap_or_default();
        from..from + rest.iter().take_while(|run| run.id == id).count()
    }

    /// The first run with this id or a greater one. Ids are hashes, so its place is guessed: halving would look at
    /// many lines of memory.
    fn first_from(&self, id: i64) -> usize {
        let (runs, (least, greatest)) = (self.by_id.as_slice(), self.ids);
        if runs.is_empty() || id <= least {
            return 0;
        }
        if id > greatest {
            return runs.len();
        }
        let part = (id.wrapping_sub(least)).cast_unsigned() as f64
            / (greatest.wrapping_sub(least)).cast_unsigned() as f64;
        let guess = ((part * runs.len() as f64) as usize).min(runs.len() - 1);
        let before = |run: &Run| run.id < id;
        let (mut step, mut from, mut to) = (1, guess, guess);
        if runs.get(guess).is_some_and(before) {
            while runs.get(to).is_some_and(before) {
                from = to + 1;
                to += step;
                step *= 2;
            }
            to = to.min(runs.len());
        } else {
            while from > 0 && !runs.get(from - 1).is_some_and(before) {
                to = from - 1;
                from = from.saturating_sub(step);
                step *= 2;
            }
        }
        from + runs.get(from..to).unwrap_or_default().partition_point(before)
    }

    /// Rows of a run inside the span.
    pub(super) fn rows(&self, place: usize) -> Range<usize> {
        self.by_id.get(place).map_or(0..0, |run| run.first as usize..(run.first + run.n) as usize)
    }

    /// The labels of a run, if they are decoded; inside, none where it is of several series.
    pub(super) fn labels(&self, place: usize) -> Option<Option<&Labels>> {
        let cells = self.cells.get(place / CELLS)?.get()?;
        Some(cells.get(place % CELLS)?.get()?.as_ref())
    }

    /// Places of runs without labels that are wanted, in the order of their rows.
    fn lacking(&self, wanted: Wanted<'_>) -> Vec<usize> {
        let mut places: Vec<usize> = match wanted {
            Wanted::All => self.all().collect(),
            Wanted::These(sought) if sought.with.len() < self.by_id.len() => {
                let ids = sought.with.iter().copied().chain([sought.id]);
                ids.flat_map(|id| self.with(id)).collect()
            }
            Wanted::These(Sought { id, with, .. }) => {
                let runs = self.by_id.iter().enumerate();
                let runs =
                    runs.filter(|(_, run)| run.id == id || with.binary_search(&run.id).is_ok());
                runs.map(|(place, _)| place).collect()
            }
        };
        places.retain(|place| self.labels(*place).is_none());
        places.sort_unstable_by_key(|place| self.by_id.get(*place).map(|run| run.first));
        places.dedup();
        places
    }

    /// Decodes labels that are wanted and lacking. One at a time may do so.
    pub(super) fn fill(
        &self,
        file: &RowFile,
        span: Span,
        wanted: Wanted<'_>,
        (held, charge): (&Held, &Charge<'_>),
    ) -> Result<()> {
        let places = self.lacking(wanted);
        if places.is_empty() {
            return Ok(());
        }
        // The first row of each run and its last; neighbours are read together.
        let mut rows: Vec<(usize, usize)> = Vec::with_capacity(places.len());
        for place in places {
            let run = self.rows(place);
            rows.push((run.start, place));
            if run.len() > 1 {
                rows.push((run.end - 1, place));
            }
        }
        let mut reader = LabelReader::new(file, span.group)?;
        let mut first: Option<(usize, Texts)> = None;
        for rows in rows.chunk_by(|a, b| a.0 + 1 == b.0) {
            let Some((start, _)) = rows.first() else { continue };
            let start = span.from + start;
            let mut each = rows.iter();
            reader.texts(start..start + rows.len(), &mut |texts| {
                let Some((row, place)) = each.next() else { return Ok(()) };
                let begins = first.take().filter(|(of, _)| of == place);
                if begins.is_none() && self.rows(*place).end > row + 1 {
                    first = Some((*place, texts.clone()));
                    return Ok(());
                }
                let same = begins.is_none_or(|(_, begins)| begins == *texts);
                let labels = if same { Some(texts.labels(file)?) } else { None };
                self.set(*place, labels, held, charge)
            })?;
        }
        Ok(())
    }

    fn set(
        &self,
        place: usize,
        labels: Option<Labels>,
        held: &Held,
        charge: &Charge<'_>,
    ) -> Result<()> {
        let Some(cells) = self.cells.get(place / CELLS) else { return Ok(()) };
        if cells.get().is_none() {
            let bytes = (CELLS * size_of::<Cell>()) as u64;
            charge(bytes)?;
            held.add(bytes);
        }
        let cells = cells.get_or_init(|| (0..CELLS).map(|_| OnceLock::new()).collect());
        let labels = labels.map(|labels| self.sets.keep(labels));
        let bytes = labels.as_ref().map_or(0, |(_, bytes)| *bytes);
        held.add_sets(bytes);
        if let Some(cell) = cells.get(place % CELLS) {
            let _ = cell.set(labels.map(|(labels, _)| labels));
        }
        charge(bytes)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let cells = self.cells.iter_mut().filter_map(OnceLock::take).flatten();
        self.sets.let_go(cells.filter_map(|cell| cell.into_inner().flatten()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::held::Shared;

    proptest! {
        #[test]
        fn a_guess_finds_what_halving_finds(
            mut ids in prop::collection::vec(prop_oneof![any::<i64>(), -9i64..9], 0..200),
            sought in prop::collection::vec(prop_oneof![any::<i64>(), -9i64..9], 1..20),
        ) {
            ids.sort_unstable();
            let ends = (ids.first().copied().unwrap_or(0), ids.last().copied().unwrap_or(0));
            let by_id = ids.iter().map(|id| Run { id: *id, first: 0, n: 1 }).collect();
            let runs = Runs { by_id, ids: ends, cells: Vec::new(), sets: Shared::new().sets() };
            for id in sought.iter().chain(&ids) {
                let from = ids.partition_point(|known| known < id);
                let to = ids.partition_point(|known| known <= id);
                prop_assert_eq!(runs.with(*id), from..to);
            }
        }
    }
}
