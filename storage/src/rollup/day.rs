//! A day of all series, from blocks to the history.
//!
//! The tables are sorted by metric, blocks by target. So the series of some metrics at a time are read as they
//! lie in the blocks, their rows are sorted in memory, and the next metrics follow: as many as make
//! [`BATCH_ROWS`]. In a target the series of a metric lie together, so that hardly a page is read twice for it. Of
//! a metric with more series than that, those with the smallest ids come first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::build::{DayRows, rows_of};
use crate::block::Block;
use crate::error::{Corruption, Result};
use crate::history::{Build, Day, Lasts, Tier, series_id, series_order};
use crate::model::{METRIC_NAME, MatchOp, Matcher, SeriesData, TimeRange};
use crate::query::{Budget, Selection, SeriesSet, Wanted};

/// Rows held at once.
const BATCH_ROWS: u64 = 524_288;
/// Rows that a series may have on a day, in both tiers.
pub(crate) const ROWS_PER_SERIES: u64 = 25;
/// Metrics of one batch at most: they become one regular expression.
const BATCH_METRICS: usize = 512;
/// Bytes of their names at most: the program of the expression has some dozens for each.
const BATCH_NAME_BYTES: usize = 8192;

/// What a day cost and gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DayWork {
    /// Samples read, those of the day before included.
    pub(crate) samples: u64,
}

/// How many series of which metric are in the blocks; a series counts once per block.
pub(crate) struct Metrics(BTreeMap<String, u64>);

impl Metrics {
    /// Counts the series of `blocks`.
    pub(crate) fn of(blocks: &[Arc<Block>]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for block in blocks {
            let mut named = block.label_values(METRIC_NAME, None)?;
            named.push(String::new());
            for name in named {
                let n = block.resolve(&[Matcher::equal(METRIC_NAME, name.as_str())])?.len();
                if n > 0 {
                    *all.entry(name).or_default() += n;
                }
            }
        }
        Ok(Self(all))
    }

    /// Series at most.
    pub(crate) fn n_series(&self) -> u64 {
        self.0.values().sum()
    }

    /// Metrics that are read together, in order.
    fn batches(&self) -> Vec<Vec<&str>> {
        struct Batch<'a> {
            rows: u64,
            bytes: usize,
            names: Vec<&'a str>,
        }
        let mut batches: Vec<Batch<'_>> = Vec::new();
        for (name, n) in &self.0 {
            let rows = n.saturating_mul(ROWS_PER_SERIES);
            match batches.last_mut() {
                Some(batch)
                    if batch.rows + rows <= BATCH_ROWS
                        && batch.bytes + name.len() <= BATCH_NAME_BYTES
                        && batch.names.len() < BATCH_METRICS =>
                {
                    batch.rows += rows;
                    batch.bytes += name.len();
                    batch.names.push(name);
                }
                _ => batches.push(Batch { rows, bytes: name.len(), names: vec![name] }),
            }
        }
        batches.into_iter().map(|batch| batch.names).collect()
    }
}

/// Adds the rows of all series of `blocks` (in the order of acceptance) on `day` to `build`. `step` is called
/// before each series and ends the work by its error. Where raw samples of the day before are gone, `before` tells
/// its last ones. Fails at damage: rows that lack samples would look like any other.
pub(crate) fn roll_up(
    blocks: &[Arc<Block>],
    metrics: &Metrics,
    day: Day,
    mut before: Option<&mut Lasts>,
    build: &mut Build<'_>,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<DayWork> {
    let mut work = DayWork::default();
    // What is left of a day whose samples went is not all of it.
    let range = if before.is_some() { day.range() } else { day.input() };
    for names in metrics.batches() {
        step()?;
        let selection = select(blocks, &names, range)?;
        let ids: Vec<i64> = (0..selection.len()).map(|i| series_id(selection.labels(i))).collect();
        for part in parts(&ids) {
            let mut rows = read_part(&selection, &ids, &part, (day, range), &mut work, step)?;
            rows.sort_by(|a, b| series_order(&a.day.labels).cmp(&series_order(&b.day.labels)));
            for one in &mut rows {
                if let Some(before) = &mut before
                    && let Some(last) = before.find(&one.day.labels)?
                {
                    one.follow(last);
                }
                build.add(Tier::Hour, &one.hours)?;
                build.add(Tier::Day, &one.day)?;
                step()?;
            }
        }
        if let Some(damage) = selection.damage() {
            return Err(damage.into());
        }
    }
    Ok(work)
}

fn select(blocks: &[Arc<Block>], names: &[&str], range: TimeRange) -> Result<Selection<'static>> {
    let budget = Budget::unlimited();
    let matcher = match names {
        [name] => Matcher::equal(METRIC_NAME, *name),
        names => {
            let escaped: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
            Matcher::new(METRIC_NAME, MatchOp::Regex, escaped.join("|"))?
        }
    };
    let wanted = Wanted { matchers: &[matcher], range, any_order: true, labels_only: false };
    let head = (Vec::new(), budget.reserve(0)?);
    let selection =
        Selection::new(head, blocks.to_vec(), &wanted, &budget, Vec::new(), Arc::default(), None)?;
    match (selection.warnings().first(), blocks.first()) {
        (Some(warning), Some(block)) => {
            tracing::error!(%warning, "a day of these samples is not rolled up");
            Err(Corruption::new(block.dir(), 0, "the index of a block of a day").into())
        }
        _ => Ok(selection),
    }
}

/// Ranges of ids, each with few enough series to hold their rows.
fn parts(ids: &[i64]) -> Vec<RangeInclusive<i64>> {
    let most = usize::try_from(BATCH_ROWS / ROWS_PER_SERIES).unwrap_or(usize::MAX);
    if ids.len() <= most {
        return vec![i64::MIN..=i64::MAX];
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let mut parts = Vec::new();
    let mut from = i64::MIN;
    for bound in sorted.chunks(most).skip(1).filter_map(<[i64]>::first) {
        // Equal ids stay together.
        if *bound > from {
            parts.push(from..=bound - 1);
            from = *bound;
        }
    }
    parts.push(from..=i64::MAX);
    parts
}

fn read_part(
    selection: &Selection<'_>,
    ids: &[i64],
    part: &RangeInclusive<i64>,
    (day, range): (Day, TimeRange),
    work: &mut DayWork,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<DayRows>> {
    let budget = Budget::unlimited();
    let mut data = SeriesData::default();
    let mut rows = Vec::new();
    for (i, _) in ids.iter().enumerate().filter(|(_, id)| part.contains(id)) {
        step()?;
        selection.read(i, range, &budget, &mut data)?;
        work.samples += data.len() as u64;
        rows.extend(rows_of(selection.labels(i), &data, day));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_together_up_to_a_bound() {
        let counts = [("a", 10), ("b", 20_000), ("c", 900), ("d", 100_000), ("e", 1)];
        let metrics = Metrics(counts.map(|(name, n)| (name.to_owned(), n)).into());
        assert_eq!(metrics.n_series(), 120_911);
        assert_eq!(metrics.batches(), [vec!["a", "b", "c"], vec!["d"], vec!["e"]]);
    }

    #[test]
    fn parts_are_small_and_hold_each_id_once() {
        let most = i64::try_from(BATCH_ROWS / ROWS_PER_SERIES).unwrap_or(0);
        assert_eq!(parts(&[5, 3]), [i64::MIN..=i64::MAX]);
        let ids: Vec<i64> = (0..2 * most + 7).map(|i| (i * 7_919) % 1_000_003 - 500_000).collect();
        let parts = parts(&ids);
        assert_eq!(parts.len(), 3);
        for part in &parts {
            let n = ids.iter().filter(|id| part.contains(id)).count() as i64;
            assert!(0 < n && n <= most, "{n}");
        }
        let held = |id: &i64| parts.iter().filter(|part| part.contains(id)).count();
        assert!(ids.iter().chain([&i64::MIN, &i64::MAX]).all(|id| held(id) == 1));
        // Equal ids are not torn apart.
        let equal = vec![4; 3 * usize::try_from(most).unwrap_or(0)];
        assert_eq!(super::parts(&equal).iter().filter(|part| part.contains(&4)).count(), 1);
    }
}
