//! Requests that are not written by way of the log: judged as all are, and handed to whoever collects them.

use std::collections::HashMap;

use nines_proto::Protocol;
use nines_storage::model::{Histogram, Labels};
use nines_storage::{AppendOutcome, Exemplar, Metadata, RejectReason, SymbolKeys};

use super::batch::Batch;
use super::sink::Sink;
use super::{IngestError, Limits, WriteSummary, v1, v2};

/// Takes what requests bring.
pub trait Collect {
    /// The place of a series.
    fn series(&mut self, labels: &Labels) -> usize;
    /// Takes a float; `start_ts` is 0 where there is none.
    fn float(&mut self, series: usize, ts: i64, value: f64, start_ts: i64);
    /// Takes a histogram.
    fn histogram(&mut self, series: usize, ts: i64, histogram: Histogram);
}

/// Hands the samples of a decompressed request to `to`. Exemplars and metadata are passed by. After an error some of
/// the request may have been handed over.
pub fn collect(
    protocol: Protocol,
    body: &[u8],
    limits: &Limits,
    to: &mut dyn Collect,
) -> Result<WriteSummary, IngestError> {
    let mut sink = CollectSink {
        to,
        keys: SymbolKeys::default(),
        known: HashMap::new(),
        taken: AppendOutcome::default(),
    };
    let mut batch = Batch::new(&mut sink, limits);
    match protocol {
        Protocol::V1 => v1::read(&mut batch, body)?,
        Protocol::V2 => v2::read(&mut batch, body)?,
    }
    let intake = batch.finish();
    Ok(intake.complete(sink.taken))
}

struct CollectSink<'a> {
    to: &'a mut dyn Collect,
    keys: SymbolKeys,
    known: HashMap<u128, usize>,
    taken: AppendOutcome,
}

impl Sink for CollectSink<'_> {
    type Series = usize;

    fn series_key(&self, raw_labels: &[u8]) -> u128 {
        self.keys.key_of([self.keys.hash(raw_labels)])
    }

    fn symbol_keys(&self) -> &SymbolKeys {
        &self.keys
    }

    fn find(&mut self, key: u128) -> Option<usize> {
        self.known.get(&key).copied()
    }

    fn resolve(&mut self, key: u128, labels: &Labels) -> Result<usize, RejectReason> {
        let place = self.to.series(labels);
        self.known.insert(key, place);
        Ok(place)
    }

    fn sample(&mut self, series: usize, ts: i64, value: f64, start_ts: i64) {
        self.taken.samples += 1;
        self.to.float(series, ts, value, start_ts);
    }

    fn histogram(&mut self, series: usize, ts: i64, histogram: Histogram) {
        self.taken.histograms += 1;
        self.to.histogram(series, ts, histogram);
    }

    fn exemplar(&mut self, _series: usize, _exemplar: Exemplar) {}

    fn knows_metadata(&mut self, _key: u128) -> bool {
        true
    }

    fn metadata(&mut self, _key: u128, _metric: &str, _metadata: Metadata) {}
}
