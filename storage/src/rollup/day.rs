//! A day of all series, from blocks to the history.
//!
//! The tables are sorted by metric, blocks by target. So the series of some metrics at a time are read as they
//! lie in the blocks, their rows are sorted in memory, and the next metrics follow: as many as make
//! [`BATCH_ROWS`]. In a target the series of a metric lie together, so that hardly a page is read twice for it. Of
//! a metric with more series than that some are selected at a time, those with the smallest ids first (`parts`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roaring::RoaringBitmap;

use super::build::rows_of;
use super::known::{Descriptions, texts_of};
use super::parts::{ords, parts, places};
use crate::block::Block;
use crate::error::{Corruption, Result};
use crate::history::{Build, Day, KnownSeries, Lasts, Named, Row, Tables, Tier, series_order};
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

/// How much of a day is done.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Series, each once per block.
    all: u64,
    done: AtomicU64,
}

impl Progress {
    /// From 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.done.load(Ordering::Relaxed) as f64 / self.all.max(1) as f64
    }
}

/// How much a day is: series of each metric, and what is to be written of them.
pub(crate) struct Metrics {
    /// A series counts once per block.
    n_series: BTreeMap<String, u64>,
    named: Arc<Named>,
    /// What senders said.
    descriptions: Descriptions,
    /// Samples of a series on the day, as far as the blocks tell.
    samples: u64,
    progress: Arc<Progress>,
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

impl Metrics {
    /// Counts the series of `blocks`, which are those of `day`.
    pub(crate) fn of(
        blocks: &[Arc<Block>],
        day: Day,
        named: Arc<Named>,
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
        let progress = Arc::new(Progress { all: all.values().sum(), done: AtomicU64::new(0) });
        Ok(Self { n_series: all, named, descriptions, samples, progress })
    }

    /// How much of it is done, now and later.
    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Series at most.
    pub(crate) fn n_series(&self) -> u64 {
        self.n_series.values().sum()
    }

    /// Rows of all but samples at most, and about how many of those.
    pub(crate) fn n_rows(&self) -> u64 {
        let rows = |(name, n): (&String, &u64)| {
            let tables = self.named.of_metric(name);
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

    /// What so many series of a metric hold at most.
    fn held_of(&self, name: &str, n_series: u64) -> u64 {
        n_series.saturating_mul(self.held(self.named.of_metric(name)))
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
            let rows = self.held_of(name, *n);
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
        let of_batch: u64 = names.iter().filter_map(|name| metrics.n_series.get(*name)).sum();
        let done = |n: u64| metrics.progress.done.fetch_add(n, Ordering::Relaxed);
        if let [name] = names.as_slice()
            && metrics.held_of(name, of_batch) > BATCH_ROWS
        {
            let places = places(blocks, name, range, &metrics.named, step)?;
            let parts = parts(&places, BATCH_ROWS, |tables| metrics.held(tables));
            for part in &parts {
                let ords = ords(part, blocks.len());
                let selection = select(blocks, &names, Some(&ords), range)?;
                work.add(&selection, metrics, (day, range), before.as_deref_mut(), build, step)?;
                done(of_batch / parts.len().max(1) as u64);
            }
        } else {
            let selection = select(blocks, &names, None, range)?;
            work.add(&selection, metrics, (day, range), before.as_deref_mut(), build, step)?;
            done(of_batch);
        }
    }
    Ok(work)
}

impl DayWork {
    /// Adds the rows of all selected series.
    fn add(
        &mut self,
        selection: &Selection<'_>,
        metrics: &Metrics,
        (day, range): (Day, TimeRange),
        mut before: Option<&mut Lasts>,
        build: &mut Build<'_>,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let budget = Budget::unlimited();
        let (mut data, mut rows) = (SeriesData::default(), Vec::new());
        for i in 0..selection.len() {
            step()?;
            let labels = selection.labels(i);
            selection.read(i, range, &budget, &mut data)?;
            self.samples += data.len() as u64;
            rows.extend(rows_of(labels, &data, day, metrics.named.of_series(labels)));
        }
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
        selection.damage().map_or(Ok(()), |damage| Err(damage.into()))
    }
}

/// The series of these metrics, or of one of them those of `ords`, block by block.
fn select(
    blocks: &[Arc<Block>],
    names: &[&str],
    ords: Option<&[RoaringBitmap]>,
    range: TimeRange,
) -> Result<Selection<'static>> {
    let budget = Budget::unlimited();
    let matcher = match names {
        [name] => Matcher::equal(METRIC_NAME, *name),
        names => {
            let escaped: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
            Matcher::new(METRIC_NAME, MatchOp::Regex, escaped.join("|"))?
        }
    };
    let matchers = &[matcher];
    let wanted = Wanted { matchers, range, any_order: true, labels_only: false, ords };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Policies, Policy};

    fn metrics(counts: &[(&str, u64)], policies: Vec<Policy>) -> Metrics {
        let n_series = counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let (named, descriptions) = (Policies::new(policies).named(), Descriptions::new());
        Metrics { n_series, named, descriptions, samples: 5760, progress: Arc::default() }
    }

    #[test]
    fn metrics_are_read_together_up_to_a_bound() {
        let counts = [("a", 10), ("b", 20_000), ("c", 900), ("d", 100_000), ("e", 1)];
        let all = metrics(&counts, Vec::new());
        assert_eq!((all.n_series(), all.n_rows()), (120_911, 120_911 * (ROWS_PER_SERIES + 1)));
        assert_eq!(all.batches(), [vec!["a", "b", "c"], vec!["d"], vec!["e"]]);
        // Of the first two there is more to hold.
        let series = vec![vec![
            Matcher::new(METRIC_NAME, MatchOp::Regex, "a|b")
                .unwrap_or_else(|error| panic!("{error}")),
        ]];
        let policies = vec![Policy { series, tables: Tier::BY_POLICY.to_vec() }];
        let all = metrics(&counts, policies);
        assert_eq!(all.n_rows(), 120_911 * (ROWS_PER_SERIES + 1) + 20_010 * (288 + 5760));
        assert_eq!(all.batches(), [vec!["a"], vec!["b"], vec!["c"], vec!["d"], vec!["e"]]);
    }
}
