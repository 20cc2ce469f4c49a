//! What the head writes into the log: payloads of its records. FORMAT.md, "Log records".
//!
//! Series are named by their [`SeriesRef`], which a series record has bound to a label set before.

use crate::append::{Exemplar, Metadata};
use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint};
use crate::model::{Histogram, Labels, SeriesRef, TimeRange};

/// Label sets and their references.
pub(crate) const SERIES: u8 = 1;
/// Float samples.
pub(crate) const SAMPLES: u8 = 2;
/// Float samples with start timestamps.
pub(crate) const SAMPLES_WITH_START: u8 = 3;
/// Native histograms.
pub(crate) const HISTOGRAMS: u8 = 4;
/// Exemplars.
pub(crate) const EXEMPLARS: u8 = 5;
/// Type, help and unit of metrics.
pub(crate) const METADATA: u8 = 6;
/// A deleted time range of some series.
pub(crate) const DELETION: u8 = 7;

/// A float sample in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedSample {
    pub(crate) reference: SeriesRef,
    pub(crate) ts: i64,
    pub(crate) bits: u64,
    pub(crate) start_ts: i64,
}

/// Writes samples one behind the other, references and timestamps as differences to the sample before.
#[derive(Debug, Default)]
pub(crate) struct SampleEncoder {
    payload: Vec<u8>,
    with_start: bool,
    last_ref: u64,
    last_ts: i64,
    len: usize,
}

impl SampleEncoder {
    /// Begins a payload; `with_start` for [`SAMPLES_WITH_START`]. Keeps the memory of the one before.
    pub(crate) fn begin(&mut self, with_start: bool) {
        self.payload.clear();
        self.with_start = with_start;
        self.last_ref = 0;
        self.last_ts = 0;
        self.len = 0;
    }

    pub(crate) fn push(&mut self, sample: LoggedSample) {
        put_ivarint(
            &mut self.payload,
            sample.reference.0.wrapping_sub(self.last_ref).cast_signed(),
        );
        put_ivarint(&mut self.payload, sample.ts.wrapping_sub(self.last_ts));
        self.payload.extend_from_slice(&sample.bits.to_le_bytes());
        if self.with_start {
            put_ivarint(&mut self.payload, sample.start_ts);
        }
        self.last_ref = sample.reference.0;
        self.last_ts = sample.ts;
        self.len += 1;
    }

    pub(crate) fn kind(&self) -> u8 {
        if self.with_start { SAMPLES_WITH_START } else { SAMPLES }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Reads what [`SampleEncoder`] wrote.
pub(crate) fn decode_samples(
    payload: &[u8],
    with_start: bool,
    mut each: impl FnMut(LoggedSample),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    let (mut reference, mut ts) = (0u64, 0i64);
    while !r.is_empty() {
        reference = reference.wrapping_add_signed(r.ivarint("series reference")?);
        ts = ts.wrapping_add(r.ivarint("timestamp")?);
        let bits = r.u64("value")?;
        let start_ts = if with_start { r.ivarint("start timestamp")? } else { 0 };
        each(LoggedSample { reference: SeriesRef(reference), ts, bits, start_ts });
    }
    Ok(())
}

/// Appends one entry of a [`SERIES`] record.
pub(crate) fn put_series(out: &mut Vec<u8>, reference: SeriesRef, labels: &Labels) {
    put_uvarint(out, reference.0);
    put_uvarint(out, labels.len() as u64);
    // Names and values behind their lengths, as they are kept.
    out.extend_from_slice(labels.as_bytes());
}

fn labels(r: &mut Reader<'_>) -> Result<Labels, Malformed> {
    let n = r.count(2, "label count")?;
    let mut pairs = Vec::with_capacity(n);
    for _ in 0..n {
        pairs.push((r.str("label name")?, r.str("label value")?));
    }
    Ok(Labels::from_pairs(pairs))
}

/// Reads a [`SERIES`] record.
pub(crate) fn decode_series(
    payload: &[u8],
    mut each: impl FnMut(SeriesRef, Labels),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    while !r.is_empty() {
        let reference = SeriesRef(r.uvarint("series reference")?);
        each(reference, labels(&mut r)?);
    }
    Ok(())
}

/// Appends one entry of a [`HISTOGRAMS`] record.
pub(crate) fn put_histogram(
    out: &mut Vec<u8>,
    reference: SeriesRef,
    ts: i64,
    histogram: &Histogram,
) {
    put_uvarint(out, reference.0);
    put_ivarint(out, ts);
    let mut bytes = Vec::new();
    histogram.encode(&mut bytes);
    put_bytes(out, &bytes);
}

/// Reads a [`HISTOGRAMS`] record.
pub(crate) fn decode_histograms(
    payload: &[u8],
    mut each: impl FnMut(SeriesRef, i64, Histogram),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    while !r.is_empty() {
        let reference = SeriesRef(r.uvarint("series reference")?);
        let ts = r.ivarint("timestamp")?;
        let mut bytes = Reader::new(r.bytes("histogram")?);
        each(reference, ts, Histogram::decode(&mut bytes)?);
    }
    Ok(())
}

/// Appends one entry of an [`EXEMPLARS`] record.
pub(crate) fn put_exemplar(out: &mut Vec<u8>, reference: SeriesRef, exemplar: &Exemplar) {
    put_series(out, reference, &exemplar.labels);
    put_ivarint(out, exemplar.ts);
    out.extend_from_slice(&exemplar.value.to_le_bytes());
}

/// Reads an [`EXEMPLARS`] record.
pub(crate) fn decode_exemplars(
    payload: &[u8],
    mut each: impl FnMut(SeriesRef, Exemplar),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    while !r.is_empty() {
        let reference = SeriesRef(r.uvarint("series reference")?);
        let labels = labels(&mut r)?;
        let ts = r.ivarint("timestamp")?;
        let value = f64::from_bits(r.u64("exemplar value")?);
        each(reference, Exemplar { labels, value, ts });
    }
    Ok(())
}

/// Appends one entry of a [`METADATA`] record.
pub(crate) fn put_metadata(out: &mut Vec<u8>, metric: &str, metadata: &Metadata) {
    for text in [metric, &metadata.metric_type, &metadata.help, &metadata.unit] {
        put_bytes(out, text.as_bytes());
    }
}

/// Reads a [`METADATA`] record.
pub(crate) fn decode_metadata(
    payload: &[u8],
    mut each: impl FnMut(&str, Metadata),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    while !r.is_empty() {
        let metric = r.str("metric name")?;
        let metadata = Metadata {
            metric_type: r.str("metric type")?.to_owned(),
            help: r.str("metric help")?.to_owned(),
            unit: r.str("metric unit")?.to_owned(),
        };
        each(metric, metadata);
    }
    Ok(())
}

/// Appends a [`DELETION`] record's payload.
pub(crate) fn put_deletion(out: &mut Vec<u8>, range: TimeRange, series: &[SeriesRef]) {
    out.extend_from_slice(&range.min.to_le_bytes());
    out.extend_from_slice(&range.max.to_le_bytes());
    for reference in series {
        put_uvarint(out, reference.0);
    }
}

/// Reads a [`DELETION`] record.
pub(crate) fn decode_deletion(
    payload: &[u8],
    mut each: impl FnMut(SeriesRef, TimeRange),
) -> Result<(), Malformed> {
    let mut r = Reader::new(payload);
    let range = TimeRange::new(r.i64("first millisecond")?, r.i64("last millisecond")?);
    while !r.is_empty() {
        each(SeriesRef(r.uvarint("series reference")?), range);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_round_trip(
            raw in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>(), any::<i64>()), 0..50),
            with_start in any::<bool>(),
        ) {
            let samples: Vec<LoggedSample> = raw.into_iter().map(|(r, ts, bits, start)| LoggedSample {
                reference: SeriesRef(r), ts, bits, start_ts: if with_start { start } else { 0 },
            }).collect();
            let mut encoder = SampleEncoder::default();
            encoder.begin(with_start);
            samples.iter().for_each(|s| encoder.push(*s));
            let mut seen = Vec::new();
            decode_samples(encoder.payload(), with_start, |s| seen.push(s)).unwrap();
            prop_assert_eq!(seen, samples);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut n = 0;
            let _outcome = (
                decode_samples(&bytes, true, |_| n += 1),
                decode_series(&bytes, |_, _| n += 1),
                decode_histograms(&bytes, |_, _, _| n += 1),
                decode_exemplars(&bytes, |_, _| n += 1),
                decode_metadata(&bytes, |_, _| n += 1),
                decode_deletion(&bytes, |_, _| n += 1),
            );
            prop_assert!(n <= bytes.len() * 6);
        }
    }

    #[test]
    fn the_rest_round_trips() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let mut out = Vec::new();
        put_series(&mut out, SeriesRef(7), &labels);
        put_series(&mut out, SeriesRef(9), &Labels::empty());
        let mut seen = Vec::new();
        decode_series(&out, |r, l| seen.push((r, l))).unwrap();
        assert_eq!(seen, [(SeriesRef(7), labels.clone()), (SeriesRef(9), Labels::empty())]);

        let exemplar = Exemplar { labels, value: 1.5, ts: -3 };
        let mut out = Vec::new();
        put_exemplar(&mut out, SeriesRef(1), &exemplar);
        decode_exemplars(&out, |r, e| assert_eq!((r, e), (SeriesRef(1), exemplar.clone())))
            .unwrap();

        let mut out = Vec::new();
        put_deletion(&mut out, TimeRange::new(1, 2), &[SeriesRef(5), SeriesRef(6)]);
        let mut seen = Vec::new();
        decode_deletion(&out, |r, range| seen.push((r.0, range.min, range.max))).unwrap();
        assert_eq!(seen, [(5, 1, 2), (6, 1, 2)]);
    }
}
