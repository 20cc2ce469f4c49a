//! The series of a block in the order in which a block of nines wants them: by the labels of their target, in a
//! target by metric name and then by all other labels.
//!
//! Labels are compared by number: symbols ascend, and labels that are added to all series get numbers between them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
        let texts = |(name, value): &(u32, u32)| (symbols.text(*name), symbols.text(*value));
        // A label without a value is none.
        let own = entry.labels.iter().map(texts).filter(|(_, value)| !value.is_empty());
        let has = |rank: u64| {
            let of_name = |(name, _): &&(u32, u32)| self::rank(*name) == rank;
            let own = entry.labels.iter().find(of_name);
            own.is_some_and(|(_, value)| !symbols.text(*value).is_empty())
        };
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

/// What is known of a target while series are read.
#[derive(Debug)]
struct Target {
    /// How often the order of the index was broken when its last series came.
    breaks: u64,
    unsorted: bool,
}

/// All series of a block in order, in eight bytes each.
pub(super) struct Order {
    series: Vec<u64>,
    /// Of these, those that have become equal to the one before by labels that were added.
    same: HashSet<u64>,
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
        let mut numbers: HashMap<Box<[Pair]>, usize> = HashMap::new();
        let (mut targets, mut placed) = (Vec::<Target>::new(), Vec::new());
        let (mut days, mut breaks) = (BTreeSet::new(), 0u64);
        let (mut entry, mut pairs, mut target) = (Entry::default(), Vec::new(), Vec::new());
        let mut last: Option<Vec<Pair>> = None;
        let mut at = index.begin();
        while let Some(offset) = index.next(at)? {
            at = index.read(offset, AHEAD_WALKING, &mut entry)?;
            add_days(&mut days, &entry, index, offset)?;
            if !entry.labels.is_sorted_by(|a, b| a.0 < b.0) {
                let what = "the labels of a series do not ascend";
                return Err(ImportError::damaged(index.path(), offset, what));
            }
            added.pairs(&entry, empty, &mut pairs);
            if last.as_ref().is_some_and(|last| *last >= pairs) {
                breaks += 1;
            }
            last.get_or_insert_default().clone_from(&pairs);
            target.clear();
            target.extend(pairs.iter().filter(|pair| target_ranks.contains(&pair.0)));
            let number = numbers.get(target.as_slice()).copied().unwrap_or(targets.len());
            if number == targets.len() {
                numbers.insert(target.as_slice().into(), number);
                targets.push(Target { breaks, unsorted: false });
            }
            if let Some(target) = targets.get_mut(number) {
                // Series that ascend do so in their target as well, as long as the metric stands first.
                let by_metric = pairs.first().map(|pair| pair.0) == metric || metric.is_none();
                target.unsorted |= !by_metric || target.breaks != breaks;
                target.breaks = breaks;
            }
            placed.push((number, offset));
        }
        let n_series = placed.len() as u64;
        let mut order = Self { series: Vec::new(), same: HashSet::new(), days, n_series };
        let numbers = sorted_by_target(numbers, &mut placed);
        order.series.reserve_exact(placed.len());
        for part in placed.chunk_by(|a, b| a.0 == b.0) {
            let begin = order.series.len();
            order.series.extend(part.iter().map(|(_, offset)| *offset));
            let number = part.first().and_then(|(place, _)| numbers.get(*place));
            let target = number.and_then(|number| targets.get(*number));
            if part.len() > 1 && target.is_some_and(|target| target.unsorted) {
                let part = order.series.get_mut(begin..).unwrap_or_default();
                sort(part, &mut order.same, index, added, empty, metric)?;
            }
        }
        Ok(order)
    }

    /// Series one after the other; each is told by all that have its labels, in the order of the index.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u64]> {
        self.series.chunk_by(|_, next| self.same.contains(next))
    }
}

/// Sorts series by their targets. They have the numbers of these, and get their places; answers the numbers by these.
fn sorted_by_target(
    numbers: HashMap<Box<[Pair]>, usize>,
    placed: &mut [(usize, u64)],
) -> Vec<usize> {
    let mut sorted: Vec<(Box<[Pair]>, usize)> = numbers.into_iter().collect();
    sorted.sort_unstable();
    let numbers: Vec<usize> = sorted.into_iter().map(|(_, number)| number).collect();
    let mut places = vec![0; numbers.len()];
    for (place, number) in numbers.iter().enumerate() {
        if let Some(of_number) = places.get_mut(*number) {
            *of_number = place;
        }
    }
    for (target, _) in placed.iter_mut() {
        *target = places.get(*target).copied().unwrap_or(0);
    }
    placed.sort_unstable();
    numbers
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
/// before the metric's or labels are added. `same` gets those that are equal to the one before.
fn sort(
    series: &mut [u64],
    same: &mut HashSet<u64>,
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
    for equal in keyed.chunk_by(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
        let mut own = BTreeSet::new();
        for (_, offset) in equal {
            index.read(*offset, AHEAD_LOOKING_UP, &mut entry)?;
            entry.labels.retain(|(_, value)| Some(*value) != empty);
            if !own.insert(std::mem::take(&mut entry.labels)) {
                let what = "a series occurs twice";
                return Err(ImportError::damaged(index.path(), *offset, what));
            }
        }
        same.extend(equal.iter().skip(1).map(|(_, offset)| *offset));
    }
    for (place, (_, offset)) in series.iter_mut().zip(keyed) {
        *place = offset;
    }
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
