//! One request on its way into the store: what both protocols do alike.

use std::fmt;

use nines_proto::{DecodeError, HistogramBytes, Sample, metric_type_word};
use nines_storage::model::Labels;
use nines_storage::{AppendOutcome, Exemplar, Metadata, RejectReason, Rejection};

use super::exemplar::ExemplarFault;
use super::histogram::{HistogramFault, convert};
use super::labels::LabelFault;
use super::sink::Sink;
use super::summary::Intake;
use super::{IngestError, Limits};

/// Where the data of one series go.
pub(super) enum Place<H> {
    /// To a series of the store.
    Known(H),
    /// To a new series, which is made when there is something valid to go there.
    New {
        /// Hash of its label bytes.
        key: u128,
        /// Its labels.
        labels: Labels,
    },
    /// Nowhere: the store takes no further series.
    Shut {
        /// Why.
        reason: RejectReason,
        /// The labels.
        labels: Labels,
        /// Samples and histograms that were refused for it.
        n: u64,
    },
}

/// How many data a series brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
}

impl Sizes {
    /// Things that count as refused when the whole series is: at least one, so that it shows.
    fn refused(self) -> u64 {
        (self.samples + self.histograms).max(1) as u64
    }

    pub(super) const fn is_empty(self) -> bool {
        self.samples + self.histograms + self.exemplars == 0
    }
}

/// A request being read.
pub(super) struct Batch<'s, S: Sink> {
    pub(super) sink: &'s mut S,
    pub(super) limits: &'s Limits,
    intake: Intake,
    items: usize,
}

impl<'s, S: Sink> Batch<'s, S> {
    pub(super) fn new(sink: &'s mut S, limits: &'s Limits) -> Self {
        Self { sink, limits, intake: Intake::default(), items: 0 }
    }

    pub(super) fn finish(self) -> Intake {
        self.intake
    }

    /// Counts a series in; an error when the request holds too much.
    #[inline]
    pub(super) fn begin_series(&mut self, sizes: Sizes) -> Result<(), IngestError> {
        let intake = &mut self.intake;
        intake.n_series += 1;
        intake.n_samples += sizes.samples as u64;
        intake.n_histograms += sizes.histograms as u64;
        intake.n_exemplars += sizes.exemplars as u64;
        self.count_items(1 + sizes.samples + sizes.histograms + sizes.exemplars)
    }

    #[inline]
    fn count_items(&mut self, n: usize) -> Result<(), IngestError> {
        self.items = self.items.saturating_add(n);
        let max = self.limits.items_per_request_max;
        if self.items > max {
            return Err(IngestError::TooMany { what: "series, samples and metadata", max });
        }
        Ok(())
    }

    /// Refuses a whole series for its labels. `readable` are those of them that could be read.
    #[cold]
    pub(super) fn refuse_series(
        &mut self,
        fault: &LabelFault<'_>,
        sizes: Sizes,
        readable: impl FnOnce() -> Labels,
    ) {
        self.refused().reject(fault.reason(), sizes.refused(), || Rejection {
            reason: fault.reason(),
            series: Some(readable()).filter(|labels| !labels.is_empty()),
            ts: None,
            detail: fault.to_string(),
        });
    }

    /// Refuses a series that brings nothing.
    #[cold]
    pub(super) fn refuse_empty(&mut self, series: impl FnOnce() -> Option<Labels>) {
        let (reason, fault) = (RejectReason::NoSamples, "a series without samples and histograms");
        self.refuse(reason, None, &fault, series);
    }

    const fn refused(&mut self) -> &mut AppendOutcome {
        &mut self.intake.refused
    }

    #[inline]
    fn open(&mut self, place: &mut Place<S::Series>) -> Option<S::Series> {
        match place {
            Place::Known(series) => Some(*series),
            _ => self.open_new(place),
        }
    }

    #[cold]
    fn open_new(&mut self, place: &mut Place<S::Series>) -> Option<S::Series> {
        let Place::New { key, labels } = place else { return None };
        match self.sink.resolve(*key, labels) {
            Ok(series) => {
                *place = Place::Known(series);
                Some(series)
            }
            Err(reason) => {
                *place = Place::Shut { reason, labels: labels.clone(), n: 0 };
                None
            }
        }
    }

    #[inline]
    pub(super) fn sample(&mut self, place: &mut Place<S::Series>, sample: Sample) {
        match self.open(place) {
            Some(series) => {
                self.sink.sample(series, sample.ts, sample.value, sample.start_ts);
                self.intake.saw(sample.ts);
            }
            None => place.shut_out(),
        }
    }

    /// Adds a histogram. `series` gives the labels for the text of a refusal.
    pub(super) fn histogram(
        &mut self,
        place: &mut Place<S::Series>,
        bytes: HistogramBytes<'_>,
        created_ts: i64,
        series: impl FnOnce() -> Option<Labels>,
    ) -> Result<(), DecodeError> {
        let max = self.limits.histogram_bytes_max;
        let (ts, converted) = if bytes.len() > max {
            (None, Err(HistogramFault::TooLong { bytes: bytes.len(), max }))
        } else {
            let wire = bytes.decode()?;
            (Some(wire.timestamp), convert(wire, created_ts))
        };
        match (converted, ts) {
            (Ok(histogram), Some(ts)) => match self.open(place) {
                Some(handle) => {
                    self.sink.histogram(handle, ts, histogram);
                    self.intake.saw(ts);
                }
                None => place.shut_out(),
            },
            (Ok(_), None) => {}
            (Err(fault), ts) => self.refuse(RejectReason::InvalidHistogram, ts, &fault, series),
        }
        Ok(())
    }

    /// Adds an exemplar with the labels that it has, or the fault in them.
    pub(super) fn exemplar(
        &mut self,
        place: &mut Place<S::Series>,
        labels: Result<Labels, ExemplarFault>,
        value: f64,
        ts: i64,
        series: impl FnOnce() -> Option<Labels>,
    ) {
        match labels {
            Ok(labels) => {
                if let Some(handle) = self.open(place) {
                    self.sink.exemplar(handle, Exemplar { labels, value, ts });
                }
            }
            Err(fault) => self.refuse(RejectReason::InvalidExemplar, Some(ts), &fault, series),
        }
    }

    /// Refuses one thing of a series.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        reason: RejectReason,
        ts: Option<i64>,
        fault: &dyn fmt::Display,
        series: impl FnOnce() -> Option<Labels>,
    ) {
        self.refused().reject(reason, 1, || Rejection {
            reason,
            series: series(),
            ts,
            detail: fault.to_string(),
        });
    }

    /// Settles a series all of whose data were given.
    #[inline]
    pub(super) fn end_series(&mut self, place: Place<S::Series>) {
        match place {
            Place::Known(_) => self.intake.series_touched += 1,
            Place::New { .. } => {}
            Place::Shut { reason, labels, n } => {
                let detail = "the store takes no further series";
                self.refused().reject(reason, n.max(1), || Rejection {
                    reason,
                    series: Some(labels),
                    ts: None,
                    detail: detail.to_owned(),
                });
            }
        }
    }

    /// Adds the description of a metric, or refuses it. One that the store holds was judged before.
    pub(super) fn metadata(
        &mut self,
        metric_type: i32,
        metric: &[u8],
        help: &[u8],
        unit: &[u8],
    ) -> Result<(), IngestError> {
        self.intake.n_metadata += 1;
        self.count_items(1)?;
        let word = metric_type_word(metric_type);
        let keys = self.sink.symbol_keys();
        let key = keys.key_of([word.as_bytes(), metric, help, unit].map(|text| keys.hash(text)));
        if self.sink.knows_metadata(key) {
            return Ok(());
        }
        let max = self.limits.metadata_bytes_max;
        let bytes = metric.len().saturating_add(help.len()).saturating_add(unit.len());
        let texts =
            (std::str::from_utf8(metric), std::str::from_utf8(help), std::str::from_utf8(unit));
        let (Ok(metric), Ok(help), Ok(unit), false, false) =
            (texts.0, texts.1, texts.2, metric.is_empty(), bytes > max)
        else {
            let start = String::from_utf8_lossy(metric.get(..64).unwrap_or(metric));
            let detail = if bytes > max {
                format!("metadata of {start:?} has {bytes} bytes, limit {max}")
            } else if metric.is_empty() {
                "metadata without a metric name".to_owned()
            } else {
                format!("metadata of {start:?} is not UTF-8")
            };
            self.refuse(RejectReason::InvalidMetadata, None, &detail, || None);
            return Ok(());
        };
        let metadata =
            Metadata { metric_type: word.to_owned(), help: help.to_owned(), unit: unit.to_owned() };
        self.sink.metadata(key, metric, metadata);
        Ok(())
    }
}

impl<H> Place<H> {
    #[cold]
    const fn shut_out(&mut self) {
        if let Self::Shut { n, .. } = self {
            *n += 1;
        }
    }
}
