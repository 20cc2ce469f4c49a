//! Where the series of an index in memory come from: the counts by which one finds the metric, the label or
//! the sender that grows too large.
//!
//! Counts are made from postings, those of target labels and metric names from one count per entity and
//! shape, so that the work follows the number of different pairs. For few series it follows their rows
//! instead. Only the largest of each list are kept while counting.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::mem::MemIndex;
use super::pairs::{Class, METRIC_NAME_ID, entity_pairs};
use super::postings::Postings;
use super::top::Top;
use crate::error::Result;

/// Longest list that is answered.
const LIMIT_MAX: usize = 10_000;
/// Series up to which their rows may be read instead of all postings.
const ROWS_MAX: u64 = 1 << 16;
/// Memory for the counts of one row: those of some pairs that no other row has.
const ROW_BYTES: u64 = 512;
/// Steps of work between two calls of `charge`.
const CHARGE_STEPS: u64 = 4096;

/// By what the largest are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rank {
    /// How many there are.
    #[default]
    Size,
    /// How many of them are young; what has none is not listed.
    Growth,
}

/// What is to be counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exploration<'a> {
    /// The series to look at; `None`: all.
    pub within: Option<&'a RoaringBitmap>,
    /// The series that count as young: the caller knows since when.
    pub young: Option<&'a RoaringBitmap>,
    /// Labels whose values are to be listed: those that name senders and targets, or the one in focus.
    pub values_of: &'a [String],
    /// Order of the lists.
    pub rank: Rank,
    /// Whether bytes of values are counted too, which asks for the text of every value.
    pub bytes: bool,
    /// Longest list; 10,000 at most.
    pub limit: usize,
}

/// A number of series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesCount {
    /// All.
    pub series: u64,
    /// Those of them that are young.
    pub young: u64,
}

impl SeriesCount {
    fn add(&mut self, other: Self) {
        self.series += other.series;
        self.young += other.young;
    }

    fn key(self, rank: Rank) -> (u64, u64) {
        match rank {
            Rank::Size => (self.series, self.young),
            Rank::Growth => (self.young, self.series),
        }
    }

    fn of_key(key: (u64, u64), rank: Rank) -> Self {
        match rank {
            Rank::Size => Self { series: key.0, young: key.1 },
            Rank::Growth => Self { series: key.1, young: key.0 },
        }
    }
}

/// What a label name accounts for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelCount {
    /// The label name.
    pub name: String,
    /// Series that have the label. Divided by `values`: series per value, near 1 for a label that takes a new
    /// value for every series.
    pub count: SeriesCount,
    /// Different values.
    pub values: u64,
    /// Values that only young series have.
    pub values_new: u64,
    /// Bytes that the values would take, written out for every series; 0 unless asked for.
    pub bytes: u64,
}

/// Answer to an [`Exploration`]. Lists are descending by what the rank says, then ascending by text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explored {
    /// All series looked at.
    pub total: SeriesCount,
    /// Labels of all these series together.
    pub labels_total: u64,
    /// Different pairs of name and value.
    pub pairs_total: u64,
    /// Pairs that only young series have.
    pub pairs_new: u64,
    /// Different label names.
    pub names_total: u64,
    /// By metric name.
    pub metrics: Vec<(String, SeriesCount)>,
    /// Label names with the most values (new values, by growth).
    pub labels_by_values: Vec<LabelCount>,
    /// Label names that the most series have.
    pub labels_by_series: Vec<LabelCount>,
    /// Label names whose values would take the most bytes; empty unless asked for.
    pub labels_by_bytes: Vec<LabelCount>,
    /// By name and value.
    pub pairs: Vec<(String, String, SeriesCount)>,
    /// The labels asked for: name, by value, in the order in which they were asked for.
    pub values: Vec<(String, Vec<(String, SeriesCount)>)>,
}

/// Texts are bytes, which compare alike, while counting: where counts tie they are asked for often.
type TopTexts<'a> = Top<(u64, u64), &'a [u8]>;
/// As [`TopTexts`], by name and value.
type TopPairs<'a> = Top<(u64, u64), (&'a [u8], &'a [u8])>;

fn owned(text: &[u8]) -> String {
    std::str::from_utf8(text).unwrap_or_default().to_owned()
}

/// Counts on their way.
struct Tally<'a> {
    index: &'a MemIndex,
    rank: Rank,
    bytes: bool,
    limit: usize,
    total: SeriesCount,
    /// By number of the name; the names are not set.
    labels: Vec<LabelCount>,
    metrics: TopTexts<'a>,
    pairs: TopPairs<'a>,
    /// With the numbers of the names.
    values: Vec<(Option<u32>, TopTexts<'a>)>,
}

impl<'a> Tally<'a> {
    fn new(index: &'a MemIndex, wanted: &Exploration<'_>) -> Self {
        let limit = wanted.limit.min(LIMIT_MAX);
        let name = |name: &String| (index.name_texts.find(name.as_bytes()), Top::new(limit));
        Self {
            index,
            rank: wanted.rank,
            bytes: wanted.bytes,
            limit,
            total: SeriesCount::default(),
            labels: vec![LabelCount::default(); index.pairs.names.len()],
            metrics: Top::new(limit),
            pairs: Top::new(limit),
            values: wanted.values_of.iter().map(name).collect(),
        }
    }

    /// Adds series to those that have a label.
    fn add_label(&mut self, name: u32, count: SeriesCount) {
        if let Some(label) = self.labels.get_mut(name as usize) {
            label.count.add(count);
        }
    }

    /// Counts a pair; each is shown once.
    fn add_pair(&mut self, name: u32, value: u32, count: SeriesCount) {
        if count.series == 0 {
            return;
        }
        let index = self.index;
        if let Some(label) = self.labels.get_mut(name as usize) {
            label.values += 1;
            label.values_new += u64::from(count.young == count.series);
            if self.bytes {
                label.bytes += index.symbols.get(value).len() as u64 * count.series;
            }
        }
        let key = count.key(self.rank);
        if key.0 == 0 {
            return;
        }
        self.pairs.offer(key, || (index.name_texts.get(name), index.symbols.get(value)));
        if name == METRIC_NAME_ID {
            self.metrics.offer(key, || index.symbols.get(value));
        }
        for (_, values) in self.values.iter_mut().filter(|entry| entry.0 == Some(name)) {
            values.offer(key, || index.symbols.get(value));
        }
    }

    /// The labels for which `key` is largest.
    fn labels_by(&self, key: impl Fn(&LabelCount) -> u64) -> Vec<LabelCount> {
        let mut top = Top::new(self.limit);
        for (id, label) in (0u32..).zip(&self.labels) {
            let key = key(label);
            if key > 0 {
                top.offer(key, || (self.index.name_text(id), id));
            }
        }
        let named = |(_, (name, id)): (u64, (&str, u32))| {
            let label = self.labels.get(id as usize).cloned().unwrap_or_default();
            LabelCount { name: name.to_owned(), ..label }
        };
        top.into_sorted().map(named).collect()
    }

    fn finish(self, wanted: &Exploration<'_>) -> Explored {
        let rank = self.rank;
        let growth = rank == Rank::Growth;
        let list = |top: TopTexts<'_>| -> Vec<(String, SeriesCount)> {
            let named = |(key, text)| (owned(text), SeriesCount::of_key(key, rank));
            top.into_sorted().map(named).collect()
        };
        Explored {
            total: self.total,
            labels_total: self.labels.iter().map(|label| label.count.series).sum(),
            pairs_total: self.labels.iter().map(|label| label.values).sum(),
            pairs_new: self.labels.iter().map(|label| label.values_new).sum(),
            names_total: self.labels.iter().filter(|label| label.values > 0).count() as u64,
            labels_by_values: self
                .labels_by(|label| if growth { label.values_new } else { label.values }),
            labels_by_series: self.labels_by(|label| label.count.key(rank).0),
            labels_by_bytes: self.labels_by(|label| label.bytes),
            metrics: list(self.metrics),
            pairs: self
                .pairs
                .into_sorted()
                .map(|(key, (name, value))| {
                    (owned(name), owned(value), SeriesCount::of_key(key, rank))
                })
                .collect(),
            values: wanted
                .values_of
                .iter()
                .zip(self.values)
                .map(|(name, (_, values))| (name.clone(), list(values)))
                .collect(),
        }
    }
}

/// Work done since `charge` heard of it.
struct Work<'c> {
    steps: u64,
    charge: &'c mut dyn FnMut(u64) -> Result<()>,
}

impl Work<'_> {
    fn add(&mut self, steps: u64) -> Result<()> {
        self.steps += steps;
        if self.steps < CHARGE_STEPS {
            return Ok(());
        }
        (self.charge)(std::mem::take(&mut self.steps))
    }
}

/// The series looked at, and those of them that are young.
struct Scope<'s> {
    within: Option<&'s RoaringBitmap>,
    young: RoaringBitmap,
}

impl Scope<'_> {
    fn count(&self, series: &Postings) -> SeriesCount {
        SeriesCount {
            series: self.within.map_or_else(|| series.len(), |within| series.common(within)),
            young: if self.young.is_empty() { 0 } else { series.common(&self.young) },
        }
    }
}

impl MemIndex {
    /// Bytes of memory, at most, that an exploration of `within` series takes beside its answer.
    #[must_use]
    pub fn exploration_bytes(&self, within: Option<u64>) -> u64 {
        let counts = (self.entities.len() + self.shapes.len()) * size_of::<SeriesCount>();
        let rows = within.map_or(0, |n| n.min(ROWS_MAX));
        counts as u64 + rows * ROW_BYTES
    }

    /// Counts the series by metric, label, pair and sender. `charge` hears every now and then of steps of work
    /// done, some 50 ns each, and may end it by an error.
    ///
    /// # Errors
    /// What `charge` answers.
    pub fn explore(
        &self,
        wanted: &Exploration<'_>,
        charge: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Explored> {
        // To read a row takes about as long as to intersect two postings.
        let postings = (self.entities.len() + self.shapes.len() + self.symbols.len()) as u64;
        let rows_max = ROWS_MAX.min(postings);
        let few = wanted.within.filter(|within| within.len() <= rows_max);
        self.explore_by(wanted, few, charge)
    }

    /// Reads the rows of `rows`, else the postings.
    pub(super) fn explore_by(
        &self,
        wanted: &Exploration<'_>,
        rows: Option<&RoaringBitmap>,
        charge: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Explored> {
        let mut tally = Tally::new(self, wanted);
        let mut work = Work { steps: 0, charge };
        let mut young = wanted.young.cloned().unwrap_or_default();
        if let Some(within) = wanted.within {
            young &= within;
        }
        let scope = Scope { within: wanted.within, young };
        match rows {
            Some(rows) => self.count_rows(rows, &scope, &mut tally, &mut work)?,
            None => self.count_postings(&scope, &mut tally, &mut work)?,
        }
        Ok(tally.finish(wanted))
    }

    fn count_postings<'a>(
        &'a self,
        scope: &Scope<'_>,
        tally: &mut Tally<'a>,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let mut each = |all: &[Postings]| -> Result<Vec<SeriesCount>> {
            let mut counts = Vec::with_capacity(all.len());
            for series in all {
                work.add(1)?;
                counts.push(scope.count(series));
            }
            Ok(counts)
        };
        let entities = each(&self.pairs.entity_series)?;
        let shapes = each(&self.pairs.shape_series)?;
        entities.iter().for_each(|count| tally.total.add(*count));
        let sum = |of: &[SeriesCount], holders: &Postings| {
            let mut sum = SeriesCount::default();
            holders.iter().filter_map(|id| of.get(id as usize)).for_each(|count| sum.add(*count));
            sum
        };
        for (id, name) in (0u32..).zip(&self.pairs.names) {
            let (holders_of, having_of) = match name.class {
                Class::Metric => (Some(&shapes), &shapes),
                Class::Target => (Some(&entities), &entities),
                Class::Residual => (None, &shapes),
            };
            work.add(name.having.len())?;
            let having = sum(having_of, &name.having);
            if having.series == 0 {
                continue;
            }
            tally.add_label(id, having);
            for (value, holders) in name.values.iter() {
                let count = match holders_of {
                    Some(counts) => {
                        work.add(holders.len())?;
                        sum(counts, holders)
                    }
                    None => {
                        work.add(1)?;
                        scope.count(holders)
                    }
                };
                tally.add_pair(id, *value, count);
            }
        }
        Ok(())
    }

    fn count_rows<'a>(
        &'a self,
        rows: &RoaringBitmap,
        scope: &Scope<'_>,
        tally: &mut Tally<'a>,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let mut entities: HashMap<u32, SeriesCount> = HashMap::new();
        let mut shapes: HashMap<u32, SeriesCount> = HashMap::new();
        let mut pairs: HashMap<(u32, u32), SeriesCount> = HashMap::new();
        for ord in rows {
            let Some(row) = self.row(ord) else { continue };
            work.add(2 + row.residual.len() as u64)?;
            let one = SeriesCount { series: 1, young: u64::from(scope.young.contains(ord)) };
            tally.total.add(one);
            entities.entry(row.entity).or_default().add(one);
            shapes.entry(row.shape).or_default().add(one);
            for pair in row.residual_names().iter().copied().zip(row.residual.iter().copied()) {
                pairs.entry(pair).or_default().add(one);
            }
        }
        for (entity, count) in entities {
            work.add(1)?;
            for (name, value) in entity_pairs(self.entities.get(entity)) {
                tally.add_label(name, count);
                pairs.entry((name, value)).or_default().add(count);
            }
        }
        for (shape, count) in shapes {
            work.add(1)?;
            let (metric, names) = self.shape_parts(shape);
            names.iter().for_each(|name| tally.add_label(*name, count));
            if let Some(metric) = metric {
                tally.add_label(METRIC_NAME_ID, count);
                pairs.entry((METRIC_NAME_ID, metric)).or_default().add(count);
            }
        }
        for ((name, value), count) in pairs {
            work.add(1)?;
            tally.add_pair(name, value, count);
        }
        Ok(())
    }
}
