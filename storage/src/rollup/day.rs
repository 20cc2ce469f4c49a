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
use super::known::{Descriptions, texts_of};
use crate::block::Block;
use crate::error::{Corruption, Result};
use crate::history::{
    Build, Day, KnownSeries, Lasts, Policy, Row, Tables, Tier, series_id, series_order,
};
use crate::model::{METRIC_NAME, MatchOp, Matcher, SeriesData, TimeRange};
use crate::query::{Budget, Selection, SeriesSet, Wanted};

/// Rows held at once.
const BATCH_ROWS: u64 = 524_288;
/// Rows that a series may have on a day, of hours and the day.
const ROWS_PER_SERIES: u64 = 25;
/// Rows of five minutes that it may have.
const FIVE_MINUTES_PER_SERIES: u64 = 288;
/// Bytes of a sample that is held.
const SAMPLE_BYTES: u64 = size_of::<(i64, f64)>() as u64;
/// Metrics of one batch at most: they become one regular expression.
const BATCH_METRICS: usize = 512;
/// Bytes of their names at most: the program of the expression has some dozens for each.
const BATCH_NAME_BYTES: usize = 8192;

/// Rows of a series that stand for more than one sample.
const fn summaries(tables: Tables) -> u64 {
    ROWS_PER_SERIES + if tables.five_minutes { FIVE_MINUTES_PER_SERIES } else { 0 }
}

/// What a day cost and gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DayWork {
    /// Samples read, those of the day before included.
    pub(crate) samples: u64,
}

/// How much a day is: series of each metric, and what is to be written of them.
pub(crate) struct Metrics<'p> {
    /// A series counts once per block.
    n_series: BTreeMap<String, u64>,
    policies: &'p [Policy],
    /// What senders said.
    descriptions: Descriptions,
    /// Samples of a series on the day, as far as the blocks tell.
    samples: u64,
}

/// Samples that a series of `blocks` has on a day, the mean of all.
fn samples_per_series(blocks: &[Arc<Block>], day: Day) -> u64 {
    let (mut samples, mut n_series) = (0.0, 1);
    for block in blocks {
        let (meta, range) = (block.meta(), day.range());
        let held = TimeRange::new(range.min.max(meta.min_ts), range.max.min(meta.max_ts));
        if held.min <= held.max {
            let length = |range: TimeRange| range.max.saturating_sub(range.min) as f64 + 1.0;
            samples += meta.n_samples as f64 * (length(held) / length(meta.range()));
            n_series = n_series.max(meta.n_series);
        }
    }
    (samples / n_series as f64).ceil() as u64
}

impl<'p> Metrics<'p> {
    /// Counts the series of `blocks`, which are those of `day`.
    pub(crate) fn of(
        blocks: &[Arc<Block>],
        day: Day,
        policies: &'p [Policy],
        descriptions: Descriptions,
    ) -> Result<Self> {
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
        let samples = samples_per_series(blocks, day);
        Ok(Self { n_series: all, policies, descriptions, samples })
    }

    /// Series at most.
    pub(crate) fn n_series(&self) -> u64 {
        self.n_series.values().sum()
    }

    /// Rows of all but samples at most, and about how many of those.
    pub(crate) fn n_rows(&self) -> u64 {
        let rows = |(name, n): (&String, &u64)| {
            let tables = Tables::of_metric(self.policies, name);
            let samples = if tables.raw { self.samples } else { 0 };
            n.saturating_mul((summaries(tables) + 1).saturating_add(samples))
        };
        self.n_series.iter().map(rows).fold(0, u64::saturating_add)
    }

    /// What a series with rows in `tables` holds in memory, in rows.
    fn held(&self, tables: Tables) -> u64 {
        let raw = if tables.raw { self.samples.saturating_mul(SAMPLE_BYTES) } else { 0 };
        summaries(tables) + raw.div_ceil(size_of::<Row>() as u64)
    }

    /// Metrics that are read together, in order.
    fn batches(&self) -> Vec<Vec<&str>> {
        struct Batch<'a> {
            rows: u64,
            bytes: usize,
            names: Vec<&'a str>,
        }
        let mut batches: Vec<Batch<'_>> = Vec::new();
        for (name, n) in &self.n_series {
            let rows = n.saturating_mul(self.held(Tables::of_metric(self.policies, name)));
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
    metrics: &Metrics<'_>,
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
        let series: Vec<(i64, Tables)> = (0..selection.len())
            .map(|i| selection.labels(i))
            .map(|labels| (series_id(labels), Tables::of_series(metrics.policies, labels)))
            .collect();
        let held: Vec<(i64, u64)> =
            series.iter().map(|(id, tables)| (*id, metrics.held(*tables))).collect();
        for part in parts(held) {
            let mut rows = read_part(&selection, &series, &part, (day, range), &mut work, step)?;
            rows.sort_by(|a, b| series_order(&a.day.labels).cmp(&series_order(&b.day.labels)));
            for one in &mut rows {
                if let Some(before) = &mut before
                    && let Some(last) = before.find(&one.day.labels)?
                {
                    one.follow(last);
                }
                build.add_samples(&one.day.labels, &one.samples)?;
                if let Some(rows) = &one.five_minutes {
                    build.add(Tier::FiveMinutes, rows)?;
                }
                build.add(Tier::Hour, &one.hours)?;
                build.add(Tier::Day, &one.day)?;
                if let Some((first_seen, last_seen)) = one.seen {
                    let labels = one.day.labels.clone();
                    let texts = texts_of(&metrics.descriptions, labels.metric_name());
                    build.add_known(&KnownSeries { labels, texts, first_seen, last_seen })?;
                }
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

/// Ranges of ids, each with few enough series to hold their rows. `held` are ids with the rows of their series.
fn parts(mut held: Vec<(i64, u64)>) -> Vec<RangeInclusive<i64>> {
    held.sort_unstable();
    let mut parts = Vec::new();
    let (mut from, mut rows) = (i64::MIN, 0u64);
    for (id, own) in held {
        // Equal ids stay together.
        if rows > 0 && rows + own > BATCH_ROWS && id > from {
            parts.push(from..=id - 1);
            (from, rows) = (id, 0);
        }
        rows = rows.saturating_add(own);
    }
    parts.push(from..=i64::MAX);
    parts
}

fn read_part(
    selection: &Selection<'_>,
    series: &[(i64, Tables)],
    part: &RangeInclusive<i64>,
    (day, range): (Day, TimeRange),
    work: &mut DayWork,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<DayRows>> {
    let budget = Budget::unlimited();
    let mut data = SeriesData::default();
    let mut rows = Vec::new();
    for (i, (_, tables)) in series.iter().enumerate().filter(|(_, (id, _))| part.contains(id)) {
        step()?;
        selection.read(i, range, &budget, &mut data)?;
        work.samples += data.len() as u64;
        rows.extend(rows_of(selection.labels(i), &data, day, *tables));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics<'p>(counts: &[(&str, u64)], policies: &'p [Policy]) -> Metrics<'p> {
        let n_series = counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        Metrics { n_series, policies, descriptions: Descriptions::new(), samples: 5760 }
    }

    #[test]
    fn metrics_are_read_together_up_to_a_bound() {
        let counts = [("a", 10), ("b", 20_000), ("c", 900), ("d", 100_000), ("e", 1)];
        let all = metrics(&counts, &[]);
        assert_eq!((all.n_series(), all.n_rows()), (120_911, 120_911 * (ROWS_PER_SERIES + 1)));
        assert_eq!(all.batches(), [vec!["a", "b", "c"], vec!["d"], vec!["e"]]);
        // Of the first two there is more to hold.
        let series = vec![vec![
            Matcher::new(METRIC_NAME, MatchOp::Regex, "a|b")
                .unwrap_or_else(|error| panic!("{error}")),
        ]];
        let policies = [Policy { series, tables: Tier::BY_POLICY.to_vec() }];
        let all = metrics(&counts, &policies);
        assert_eq!(all.n_rows(), 120_911 * (ROWS_PER_SERIES + 1) + 20_010 * (288 + 5760));
        assert_eq!(all.batches(), [vec!["a"], vec!["b"], vec!["c"], vec!["d"], vec!["e"]]);
    }

    #[test]
    fn parts_are_small_and_hold_each_id_once() {
        let most = i64::try_from(BATCH_ROWS / ROWS_PER_SERIES).unwrap_or(0);
        let held = |ids: &[i64]| ids.iter().map(|id| (*id, ROWS_PER_SERIES)).collect::<Vec<_>>();
        assert_eq!(parts(held(&[5, 3])), [i64::MIN..=i64::MAX]);
        let ids: Vec<i64> = (0..2 * most + 7).map(|i| (i * 7_919) % 1_000_003 - 500_000).collect();
        let ranges = parts(held(&ids));
        assert_eq!(ranges.len(), 3);
        for part in &ranges {
            let n = ids.iter().filter(|id| part.contains(id)).count() as i64;
            assert!(0 < n && n <= most, "{n}");
        }
        let once = |id: &i64| ranges.iter().filter(|part| part.contains(id)).count();
        assert!(ids.iter().chain([&i64::MIN, &i64::MAX]).all(|id| once(id) == 1));
        // Equal ids are not torn apart.
        let equal = vec![4; 3 * usize::try_from(most).unwrap_or(0)];
        assert_eq!(parts(held(&equal)).iter().filter(|part| part.contains(&4)).count(), 1);
        // What is more than a part holds is one of its own.
        let large = parts(vec![(1, 2 * BATCH_ROWS), (2, 1), (3, BATCH_ROWS), (4, 7)]);
        assert_eq!(large, [i64::MIN..=1, 2..=2, 3..=3, 4..=i64::MAX]);
    }
}
