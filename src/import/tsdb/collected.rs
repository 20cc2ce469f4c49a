//! The samples of one series and day while its chunks are read.

use std::sync::Arc;

use nines_storage::model::{Counts, Histogram, SeriesData};

use super::super::error::Result;
use super::super::pile::settle;

/// Bytes of samples at which they are put in order: chunks that overlap have samples more than once, and however many
/// they are, of each time one stays.
const COLLECTED_BYTES_MAX: usize = 32 << 20;
/// Bytes of samples of one series and day behind which no more are added. Up to twice as many are collected, and put in
/// order beside a copy.
pub(super) const SERIES_DAY_BYTES_MAX: usize = 256 << 20;
/// What a float takes.
const FLOAT_BYTES: usize = 16;
/// What a histogram takes beside its buckets, spans and bounds, and each of those.
const HISTOGRAM_BYTES: usize = 256;
const PART_BYTES: usize = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Collected {
    data: SeriesData,
    bytes: usize,
    /// Of these, what is in order.
    ordered: usize,
}

impl Collected {
    /// Forgets the samples and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.data.clear();
        (self.bytes, self.ordered) = (0, 0);
    }

    /// Whether no more is to be added.
    pub(super) const fn is_full(&self) -> bool {
        self.ordered > SERIES_DAY_BYTES_MAX
    }

    /// Adds what `read` appends; nothing where it fails.
    pub(super) fn add(&mut self, read: impl FnOnce(&mut SeriesData) -> Result<()>) -> Result<()> {
        let (floats, histograms) = (self.data.ts.len(), self.data.histograms.len());
        let read = read(&mut self.data);
        if read.is_err() {
            self.data.ts.truncate(floats);
            self.data.values.truncate(floats);
            self.data.histograms.truncate(histograms);
        }
        self.bytes += bytes_from(&self.data, floats, histograms);
        if self.bytes > COLLECTED_BYTES_MAX.max(2 * self.ordered) {
            settle(&mut self.data);
            self.bytes = bytes_from(&self.data, 0, 0);
            self.ordered = self.bytes;
        }
        read
    }

    /// All of it in order. Of samples of one time the one that was added first stays.
    pub(super) fn settled(&mut self) -> &mut SeriesData {
        settle(&mut self.data);
        &mut self.data
    }
}

fn bytes_from(data: &SeriesData, floats: usize, histograms: usize) -> usize {
    let of = |(_, histogram): &(i64, Arc<Histogram>)| histogram_bytes(histogram);
    let histograms = data.histograms.get(histograms..).unwrap_or_default();
    data.ts.len().saturating_sub(floats) * FLOAT_BYTES + histograms.iter().map(of).sum::<usize>()
}

fn histogram_bytes(histogram: &Histogram) -> usize {
    let Histogram { positive_spans, negative_spans, custom_values, counts, .. } = histogram;
    let buckets = match counts {
        Counts::Integer { positive, negative, .. } => positive.len() + negative.len(),
        Counts::Float { positive, negative, .. } => positive.len() + negative.len(),
    };
    let parts = positive_spans.len() + negative_spans.len() + custom_values.len() + buckets;
    HISTOGRAM_BYTES + PART_BYTES * parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nines_storage::model::ResetHint;

    use super::*;

    fn floats(collected: &mut Collected, from: i64, n: usize, value: f64) {
        let add = |data: &mut SeriesData| {
            data.ts.extend(from..from + n as i64);
            data.values.extend(std::iter::repeat_n(value, n));
            Ok(())
        };
        collected.add(add).unwrap();
    }

    #[test]
    fn samples_that_come_often_are_not_all_kept_and_the_first_stays() {
        let mut collected = Collected::default();
        let (n, mut most) = (65_535, 0);
        for round in 0..200 {
            floats(&mut collected, 0, n, f64::from(round));
            most = most.max(collected.data.ts.len());
        }
        assert!(most * FLOAT_BYTES <= COLLECTED_BYTES_MAX + n * FLOAT_BYTES, "{most}");
        let data = collected.settled();
        assert_eq!((data.ts.len(), data.values.iter().sum::<f64>()), (n, 0.0));
    }

    #[test]
    fn a_day_of_too_many_samples_is_full() {
        let mut collected = Collected::default();
        let counts = Counts::Integer {
            count: 0,
            zero_count: 0,
            positive: vec![0; 1 << 20],
            negative: Vec::new(),
        };
        let large = Arc::new(Histogram {
            schema: 0,
            zero_threshold: 0.0,
            sum: 0.0,
            reset_hint: ResetHint::Unknown,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts,
            start_ts: 0,
        });
        let with = |data: &mut SeriesData, ts| {
            data.histograms.push((ts, Arc::clone(&large)));
            Ok(())
        };
        // 8 MiB each: those of one time are one.
        for ts in (0..16).cycle().take(1000).chain(16..32) {
            collected.add(|data| with(data, ts)).unwrap();
            assert!(!collected.is_full());
        }
        let mut ts = 32;
        while !collected.is_full() {
            collected.add(|data| with(data, ts)).unwrap();
            ts += 1;
            assert!(ts < 80);
        }
        collected.clear();
        assert!(!collected.is_full());
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let mut collected = Collected::default();
        floats(&mut collected, 0, 3, 1.0);
        let path = std::path::Path::new("chunks");
        let failed = collected.add(|data| {
            data.ts.push(9);
            Err(super::super::super::error::ImportError::unsupported(path, "x"))
        });
        assert!(failed.is_err());
        assert_eq!(collected.settled().ts, [0, 1, 2]);
    }
}
