//! The series of a block in the order in which a block of nines wants them: by the labels of their target, in a
//! target by metric name and then by all other labels.
//!
//! Labels are compared by number: symbols ascend, and labels that are added to all series get numbers between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nines_storage::model::{DAY_MS, Labels, METRIC_NAME};

use super::super::error::{ImportError, Result};
use super::block::BLOCK_DAYS_MAX;
use super::index::{AHEAD_LOOKING_UP, AHEAD_WALKING, Entry, Index};
use super::symbols::Symbols;

/// Numbers of added labels between two symbols.
const BETWEEN_BITS: u32 = 16;

type Pair = (u64, u64);
/// A metric name (0 for none) and all other labels.
type Key = (u64, Vec<Pair>);

/// Labels that series get which do not have them.
#[derive(Debug, Default)]
pub(super) struct Added {
    texts: Vec<(String, String)>,
    pairs: Vec<Pair>,
}

/// The number of a symbol.
fn rank(symbol: u32) -> u64 {
    (u64::from(symbol) + 1) << BETWEEN_BITS
}

impl Added {
    /// `labels` are at most a few thousand.
    pub(super) fn new(labels: &BTreeMap<String, String>, symbols: &Symbols) -> Self {
        let distinct: BTreeSet<&str> =
            labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
        let ranks: HashMap<&str, u64> = (1u64..)
            .zip(distinct)
            .map(|(i, text)| match symbols.find(text) {
                Ok(symbol) => (text, rank(symbol)),
                Err(behind) => (text, (u64::from(behind) << BETWEEN_BITS) + i),
            })
            .collect();
        let of = |text: &String| ranks.get(text.as_str()).copied().unwrap_or(0);
        let pairs = labels.iter().map(|(name, value)| (of(name), of(value))).collect();
        let texts = labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { texts, pairs }
    }

    /// The labels of a series, with those added that it lacks.
    pub(super) fn labels(&self, entry: &Entry, symbols: &Symbols) -> Labels {
        let own =
            entry.labels.iter().map(|(name, value)| (symbols.text(*name), symbols.text(*value)));
        let has = |rank: u64| entry.labels.iter().any(|(name, _)| self::rank(*name) == rank);
        let added = self.texts.iter().zip(&self.pairs).filter(|(_, pair)| !has(pair.0));
        let added = added.map(|((name, value), _)| (name.as_str(), value.as_str()));
        Labels::from_pairs(own.chain(added))
    }

    /// The same as numbers, ascending.
    fn pairs(&self, entry: &Entry, empty: Option<u32>, out: &mut Vec<Pair>) {
        out.clear();
        let own = entry.labels.iter().filter(|(_, value)| Some(*value) != empty);
        out.extend(own.map(|(name, value)| (rank(*name), rank(*value))));
        let n = out.len();
        for pair in &self.pairs {
            let own = out.get(..n).unwrap_or_default();
            if !own.iter().any(|(name, _)| *name == pair.0) {
                out.push(*pair);
            }
        }
        if n < out.len() {
            out.sort_unstable();
        }
    }
}

/// The series of a target, by where the index has them.
#[derive(Debug, Default)]
struct Target {
    series: Vec<u64>,
    last: Option<Key>,
    unsorted: bool,
}

/// All series of a block in order, in eight bytes each.
pub(super) struct Order {
    pub(super) targets: Vec<Vec<u64>>,
    /// Days of which the block may have samples.
    pub(super) days: BTreeSet<i64>,
    pub(super) n_series: u64,
}

impl Order {
    /// Reads all series once.
    pub(super) fn read(index: &mut Index, added: &Added, target_labels: &[String]) -> Result<Self> {
        let symbols = index.symbols();
        let metric = symbols.find(METRIC_NAME).ok().map(rank);
        let empty = symbols.find("").ok();
        let target_ranks = target_ranks(target_labels, added, symbols);
        let mut targets: HashMap<Vec<Pair>, Target> = HashMap::new();
        let (mut days, mut n_series) = (BTreeSet::new(), 0);
        let (mut entry, mut pairs) = (Entry::default(), Vec::new());
        let mut at = index.begin();
        while let Some(offset) = index.next(at)? {
            at = index.read(offset, AHEAD_WALKING, &mut entry)?;
            n_series += 1;
            add_days(&mut days, &entry, index, offset)?;
            if !entry.labels.is_sorted_by(|a, b| a.0 < b.0) {
                let what = "the labels of a series do not ascend";
                return Err(ImportError::damaged(index.path(), offset, what));
            }
            added.pairs(&entry, empty, &mut pairs);
            let of_target = |pair: &&Pair| target_ranks.contains(&pair.0);
            let target: Vec<Pair> = pairs.iter().filter(of_target).copied().collect();
            let key = key_of(&pairs, metric);
            let target = targets.entry(target).or_default();
            target.unsorted |= target.last.as_ref().is_some_and(|last| *last >= key);
            target.series.push(offset);
            target.last = Some(key);
        }
        let mut targets: Vec<(Vec<Pair>, Target)> = targets.into_iter().collect();
        targets.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut ordered = Vec::with_capacity(targets.len());
        for (_, target) in targets {
            let mut series = target.series;
            if target.unsorted {
                sort(&mut series, index, added, empty, metric)?;
            }
            ordered.push(series);
        }
        Ok(Self { targets: ordered, days, n_series })
    }
}

fn target_ranks(target_labels: &[String], added: &Added, symbols: &Symbols) -> BTreeSet<u64> {
    let is_target = |name: &str| name != METRIC_NAME && target_labels.iter().any(|own| own == name);
    let known = target_labels.iter().filter(|name| is_target(name));
    let known = known.filter_map(|name| symbols.find(name).ok().map(rank));
    let added = added.texts.iter().zip(&added.pairs);
    known.chain(added.filter(|((name, _), _)| is_target(name)).map(|(_, pair)| pair.0)).collect()
}

fn key_of(pairs: &[Pair], metric: Option<u64>) -> Key {
    let is_metric = |pair: &&Pair| Some(pair.0) == metric;
    let name = pairs.iter().find(is_metric).map_or(0, |pair| pair.1);
    (name, pairs.iter().filter(|pair| !is_metric(pair)).copied().collect())
}

/// Sorts the series of a target whose order is not that of the index, which is the case where label names stand
/// before the metric's or labels are added.
fn sort(
    series: &mut Vec<u64>,
    index: &mut Index,
    added: &Added,
    empty: Option<u32>,
    metric: Option<u64>,
) -> Result<()> {
    let (mut entry, mut pairs) = (Entry::default(), Vec::new());
    let mut keyed = Vec::with_capacity(series.len());
    for offset in series.iter() {
        index.read(*offset, AHEAD_LOOKING_UP, &mut entry)?;
        added.pairs(&entry, empty, &mut pairs);
        keyed.push((key_of(&pairs, metric), *offset));
    }
    keyed.sort_unstable();
    if let Some(twice) = keyed.windows(2).find(|two| matches!(two, [a, b] if a.0 == b.0)) {
        let offset = twice.first().map_or(0, |(_, offset)| *offset);
        let what = "a series occurs twice";
        return Err(ImportError::damaged(index.path(), offset, what));
    }
    *series = keyed.into_iter().map(|(_, offset)| offset).collect();
    Ok(())
}

fn add_days(days: &mut BTreeSet<i64>, entry: &Entry, index: &Index, offset: u64) -> Result<()> {
    let mut last = None;
    for chunk in &entry.chunks {
        let (from, to) = (chunk.min_ts.div_euclid(DAY_MS), chunk.max_ts.div_euclid(DAY_MS));
        if last == Some((from, to)) {
            continue;
        }
        last = Some((from, to));
        if to < from || to - from > BLOCK_DAYS_MAX as i64 {
            let what = "a chunk has an impossible time";
            return Err(ImportError::damaged(index.path(), offset, what));
        }
        days.extend(from..=to);
        if days.len() > BLOCK_DAYS_MAX {
            let what = format!("a block has samples of more than {BLOCK_DAYS_MAX} days");
            return Err(ImportError::damaged(index.path(), offset, what));
        }
    }
    Ok(())
}
