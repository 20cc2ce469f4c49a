//! The samples of one target while its pages are written.

use crate::chunk::{PageBuilder, WINDOW_SLOTS_MAX};
use crate::model::SeriesData;

/// Samples of a series: places in the columns of the group, of which some are written already.
#[derive(Debug)]
struct Pending {
    ord: u32,
    /// First timestamp and value that are not written, and how many there are. Series that were scraped
    /// together share their timestamps.
    ts: usize,
    values: usize,
    len: usize,
    /// First start timestamp that is not written, if it has any.
    starts: Option<usize>,
    histograms: Vec<Encoded>,
    next_histogram: usize,
}

#[derive(Debug)]
struct Encoded {
    ts: i64,
    blob: Vec<u8>,
}

/// The group being collected. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct Group {
    pending: Vec<Pending>,
    ts: Vec<i64>,
    values: Vec<f64>,
    starts: Vec<i64>,
    /// Where the timestamps of the series added last lie.
    last_ts: std::ops::Range<usize>,
    histogram_bytes: usize,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    ts: Vec<i64>,
    blobs: Vec<Vec<u8>>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Forgets all samples.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
        self.ts.clear();
        self.values.clear();
        self.starts.clear();
        self.last_ts = 0..0;
        self.histogram_bytes = 0;
    }

    /// Bytes of the samples held.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.ts.len() + self.values.len() + self.starts.len();
        numbers * 8 + self.pending.len() * size_of::<Pending>() + self.histogram_bytes
    }

    /// Adds a series, whose columns are well formed.
    pub(super) fn add(&mut self, ord: u32, data: &SeriesData) {
        if self.ts.get(self.last_ts.clone()) != Some(&data.ts) {
            self.last_ts = self.ts.len()..self.ts.len() + data.ts.len();
            self.ts.extend_from_slice(&data.ts);
        }
        let values = self.values.len();
        self.values.extend_from_slice(&data.values);
        let starts = (!data.start_ts.is_empty()).then_some(self.starts.len());
        self.starts.extend_from_slice(&data.start_ts);
        let mut histograms = Vec::with_capacity(data.histograms.len());
        for (ts, histogram) in &data.histograms {
            let mut blob = Vec::new();
            histogram.encode(&mut blob);
            self.histogram_bytes += blob.len() + size_of::<Encoded>();
            histograms.push(Encoded { ts: *ts, blob });
        }
        let (ts, len) = (self.last_ts.start, data.ts.len());
        self.pending.push(Pending { ord, ts, values, len, starts, histograms, next_histogram: 0 });
    }

    /// Samples per window such that the windows of the longest series are of one length.
    pub(super) fn samples_per_window(&self) -> usize {
        let longest = self.pending.iter().map(|series| series.len.max(series.histograms.len()));
        let longest = longest.max().unwrap_or(0).max(1);
        longest.div_ceil(longest.div_ceil(WINDOW_SLOTS_MAX))
    }

    /// The end of the next window: the time at which the first series would exceed it. `Some(None)`: all the
    /// rest fits. `None`: nothing is left.
    pub(super) fn next_cut(&self, per_window: usize) -> Option<Option<i64>> {
        let left =
            |series: &Pending| series.len > 0 || series.next_histogram < series.histograms.len();
        if !self.pending.iter().any(left) {
            return None;
        }
        let ends = self.pending.iter().flat_map(|series| {
            let histogram = series.histograms.get(series.next_histogram + per_window);
            let float = (per_window < series.len).then(|| self.ts.get(series.ts + per_window));
            [float.flatten().copied(), histogram.map(|histogram| histogram.ts)]
        });
        Some(ends.flatten().min())
    }

    /// Adds to the page what each series has before `cut` (`None`: all); `full` hears of the page after each
    /// series.
    pub(super) fn add_window<E>(
        &mut self,
        cut: Option<i64>,
        page: &mut PageBuilder,
        mut full: impl FnMut(&mut PageBuilder) -> Result<(), E>,
    ) -> Result<(), E> {
        let before_cut = |ts: i64| cut.is_none_or(|cut| ts < cut);
        for series in &mut self.pending {
            let ts = self.ts.get(series.ts..series.ts + series.len).unwrap_or_default();
            let n = ts.partition_point(|ts| before_cut(*ts));
            let column = |begin: usize| begin..begin + n;
            if let (Some(ts), Some(values)) = (ts.get(..n), self.values.get(column(series.values)))
            {
                let starts = series.starts.and_then(|begin| self.starts.get(column(begin)));
                page.add_floats(series.ord, ts, values, starts.unwrap_or_default());
                series.ts += n;
                series.values += n;
                series.len -= n;
                series.starts = series.starts.map(|begin| begin + n);
            }
            if series.next_histogram < series.histograms.len() {
                let Scratch { ts, blobs } = &mut self.scratch;
                ts.clear();
                blobs.clear();
                let rest = series.histograms.iter_mut().skip(series.next_histogram);
                for histogram in rest.take_while(|histogram| before_cut(histogram.ts)) {
                    ts.push(histogram.ts);
                    blobs.push(std::mem::take(&mut histogram.blob));
                }
                page.add_histograms(series.ord, ts, blobs);
                series.next_histogram += ts.len();
            }
            full(page)?;
        }
        Ok(())
    }
}
