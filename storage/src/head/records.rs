//! What the head writes into the log: payloads of its records. FORMAT.md, "Log records".
//!
//! Series are named by their [`SeriesRef`], which a series record has bound to a label set before.

use crate::append::{Exemplar, Metadata};
use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint};
use crate::model::{Histogram, Labels, SeriesRef, TimeRange};
use crate::wal::SEQUENCE_MAX;

/// Label sets and their references: `definitions`.
pub(crate) const SERIES: u8 = 1;
/// Float samples: `sample_record`.
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

/// The label set of an exemplar.
fn labels(r: &mut Reader<'_>) -> Result<Labels, Malformed> {
    let n = r.count(2, "label count")?;
    let mut pairs = Vec::with_capacity(n);
    for _ in 0..n {
        pairs.push((r.str("label name")?, r.str("label value")?));
    }
    Ok(Labels::from_pairs(pairs))
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

/// The series of a [`HISTOGRAMS`] record, one for each of its entries.
pub(crate) fn histogram_references(payload: &[u8]) -> Result<Vec<SeriesRef>, Malformed> {
    let mut r = Reader::new(payload);
    let mut references = Vec::new();
    while !r.is_empty() {
        references.push(SeriesRef(r.uvarint("series reference")?));
        r.ivarint("timestamp")?;
        r.bytes("histogram")?;
    }
    Ok(references)
}

/// References are up to this: behind the last one there are always others.
pub(crate) const REFERENCE_MAX: u64 = SEQUENCE_MAX;

/// Appends one entry of an [`EXEMPLARS`] record.
pub(crate) fn put_exemplar(out: &mut Vec<u8>, reference: SeriesRef, exemplar: &Exemplar) {
    put_uvarint(out, reference.0);
    put_uvarint(out, exemplar.labels.len() as u64);
    // Names and values behind their lengths, as they are kept.
    out.extend_from_slice(exemplar.labels.as_bytes());
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
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut n = 0;
            let _outcome = (
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
