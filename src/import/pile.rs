//! Samples in any order, collected until they are many, then written as blocks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use nines_storage::Db;
use nines_storage::index::{compare_in_entity, entity_labels};
use nines_storage::model::{DAY_MS, Histogram, Labels, SeriesData};

use super::error::Result;
use super::told::Outcome;

/// Bytes of samples and labels at which they are written. While they are, and while columns grow, it is up to twice
/// as much.
const PILE_BYTES_MAX: usize = 256 << 20;
/// What a series takes beside its samples: its labels twice, and empty columns.
const SERIES_BYTES: usize = 256;
/// What a histogram takes beside its buckets.
const HISTOGRAM_BYTES: usize = 256;
/// Days of a block, and how many blocks one pile becomes before they get longer.
const BLOCK_DAYS: [i64; 3] = [1, 8, 32];
const BLOCKS_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Pile {
    places: HashMap<Labels, usize>,
    series: Vec<(Labels, SeriesData)>,
    bytes: usize,
}

impl Pile {
    /// The place of a series; it holds until the pile is written.
    pub(super) fn series(&mut self, labels: &Labels) -> usize {
        if let Some(place) = self.places.get(labels) {
            return *place;
        }
        let place = self.series.len();
        self.places.insert(labels.clone(), place);
        self.series.push((labels.clone(), SeriesData::default()));
        self.bytes += SERIES_BYTES + labels.as_bytes().len();
        place
    }

    /// Adds a float. `start_ts` is 0 where there is none.
    pub(super) fn float(&mut self, series: usize, ts: i64, value: f64, start_ts: i64) {
        let Some((_, data)) = self.series.get_mut(series) else { return };
        if start_ts != 0 || !data.start_ts.is_empty() {
            data.start_ts.resize(data.ts.len(), 0);
            data.start_ts.push(start_ts);
        }
        data.ts.push(ts);
        data.values.push(value);
        self.bytes += 2 * size_of::<i64>();
    }

    /// Adds a histogram.
    pub(super) fn histogram(&mut self, series: usize, ts: i64, histogram: Histogram) {
        let Some((_, data)) = self.series.get_mut(series) else { return };
        let mut encoded = Vec::new();
        histogram.encode(&mut encoded);
        self.bytes += HISTOGRAM_BYTES + size_of::<i64>() * encoded.len();
        data.histograms.push((ts, Arc::new(histogram)));
    }

    /// Whether it is to be written.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= PILE_BYTES_MAX
    }

    /// Writes all of it as blocks, and is empty then.
    pub(super) fn write(
        &mut self,
        db: &Db,
        target_labels: &[String],
        now_ms: i64,
    ) -> Result<Outcome> {
        let Self { series, .. } = std::mem::take(self);
        let mut outcome = Outcome::default();
        let mut ordered = Vec::with_capacity(series.len());
        for (labels, mut data) in series {
            settle(&mut data);
            ordered.push((entity_labels(&labels, target_labels), labels, data));
        }
        ordered.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| compare_in_entity(&a.1, &b.1)));
        let (block_ms, periods) = periods(&ordered);
        for period in periods {
            let behind = (period + 1).saturating_mul(block_ms);
            let mut importing = db.import(now_ms, 0)?;
            for (_, labels, data) in &mut ordered {
                let mut part = take_before(data, behind);
                if !part.is_empty() {
                    importing.add(labels, &mut part)?;
                }
            }
            outcome.out_of_time += importing.refused();
            if let Some(meta) = importing.finish()? {
                outcome.samples += meta.n_samples;
                outcome.blocks += 1;
                outcome.bytes += meta.chunks_bytes + meta.index_bytes;
            }
        }
        Ok(outcome)
    }
}

/// How long blocks are, and the numbers of those that have samples.
fn periods(series: &[(Labels, Labels, SeriesData)]) -> (i64, BTreeSet<i64>) {
    let mut answer = (DAY_MS, BTreeSet::new());
    for days in BLOCK_DAYS {
        let block_ms = days * DAY_MS;
        let mut periods = BTreeSet::new();
        for (_, _, data) in series {
            let times = data.ts.iter().chain(data.histograms.iter().map(|(ts, _)| ts));
            let mut last = None;
            for period in times.map(|ts| ts.div_euclid(block_ms)) {
                if last != Some(period) {
                    last = Some(period);
                    periods.insert(period);
                }
            }
        }
        let few = periods.len() <= BLOCKS_MAX;
        answer = (block_ms, periods);
        if few {
            break;
        }
    }
    answer
}

/// Takes the samples before `behind` away.
fn take_before(data: &mut SeriesData, behind: i64) -> SeriesData {
    fn front<T>(column: &mut Vec<T>, n: usize) -> Vec<T> {
        let rest = column.split_off(n.min(column.len()));
        std::mem::replace(column, rest)
    }
    let n = data.ts.partition_point(|ts| *ts < behind);
    let n_histograms = data.histograms.partition_point(|(ts, _)| *ts < behind);
    SeriesData {
        ts: front(&mut data.ts, n),
        values: front(&mut data.values, n),
        start_ts: front(&mut data.start_ts, n),
        histograms: front(&mut data.histograms, n_histograms),
    }
}

/// Puts samples in order, one at a time. Of samples of one time the first stays.
pub(super) fn settle(data: &mut SeriesData) {
    if !data.ts.is_sorted_by(|a, b| a < b) {
        let mut order: Vec<usize> = (0..data.ts.len()).collect();
        let ts = |i: &usize| data.ts.get(*i).copied().unwrap_or(0);
        order.sort_by_key(ts);
        order.dedup_by_key(|i| ts(i));
        let pick = |column: &[i64]| order.iter().filter_map(|i| column.get(*i).copied()).collect();
        let values = order.iter().filter_map(|i| data.values.get(*i).copied()).collect();
        (data.ts, data.start_ts, data.values) = (pick(&data.ts), pick(&data.start_ts), values);
    }
    if !data.histograms.is_sorted_by(|a, b| a.0 < b.0) {
        data.histograms.sort_by_key(|sample| sample.0);
        data.histograms.dedup_by_key(|sample| sample.0);
    }
    if !data.ts.is_empty() && !data.histograms.is_empty() {
        let SeriesData { ts, histograms, .. } = data;
        histograms.retain(|(at, _)| ts.binary_search(at).is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_put_in_order_and_the_first_of_a_time_stays() {
        let mut data = SeriesData {
            ts: vec![3, 1, 3, 2],
            values: vec![30.0, 10.0, 31.0, 20.0],
            start_ts: vec![7, 0, 8, 9],
            histograms: Vec::new(),
        };
        settle(&mut data);
        assert_eq!(data.ts, [1, 2, 3]);
        assert_eq!(data.values, [10.0, 20.0, 30.0]);
        assert_eq!(data.start_ts, [0, 9, 7]);
        let front = take_before(&mut data, 3);
        assert_eq!((front.ts, front.start_ts), (vec![1, 2], vec![0, 9]));
        assert_eq!((data.ts, data.values), (vec![3], vec![30.0]));
    }

    #[test]
    fn blocks_get_longer_when_there_would_be_many() {
        let of = |days: i64| {
            let ts = (0..days).map(|day| day * DAY_MS).collect::<Vec<_>>();
            let data = SeriesData { values: vec![0.0; ts.len()], ts, ..SeriesData::default() };
            let (block_ms, periods) = periods(&[(Labels::empty(), Labels::empty(), data)]);
            (block_ms / DAY_MS, periods.len())
        };
        assert_eq!(of(64), (1, 64));
        assert_eq!(of(65), (8, 9));
        assert_eq!(of(3650), (32, 115));
    }
}
