//! What the fuzz targets and the property tests assert: a walk over any bytes ends without a panic, and reads
//! what `prost` reads. Each function panics when that does not hold.
#![allow(missing_docs, reason = "hidden: for tests and fuzz targets")]

use prost::Message;

use crate::error::{DecodeError, Result};
use crate::scan::{DatumV1, DatumV2, ItemV1, LabelsV1, ScanV1, ScanV2, SeriesV1, SeriesV2};
use crate::{decompress, negotiate, v1, v2};

/// Headers and body as they come from the network.
pub fn body(content_type: &str, content_encoding: &str, body: &[u8]) {
    let _ = negotiate(Some(content_type), Some(content_encoding));
    let mut buffer = Vec::new();
    let decoded_bytes_max = 1 << 20;
    if let Ok(decoded) = decompress(body, decoded_bytes_max, &mut buffer) {
        assert!(decoded.len() <= decoded_bytes_max);
        v1(decoded);
        v2(decoded);
    }
}

/// Any bytes as a request of remote write 1.0.
pub fn v1(body: &[u8]) {
    agree(collect_v1(body), v1::WriteRequest::decode(body), |request| request.encode_to_vec());
}

/// Any bytes as a request of remote write 2.0.
pub fn v2(body: &[u8]) {
    agree(collect_v2(body), v2::Request::decode(body), |request| request.encode_to_vec());
}

/// Compared as encoded bytes, so that every NaN equals itself bit for bit.
fn agree<T: std::fmt::Debug>(
    walked: Result<Option<T>>,
    decoded: std::result::Result<T, prost::DecodeError>,
    bytes: impl Fn(&T) -> Vec<u8>,
) {
    match (walked, decoded) {
        (Ok(Some(walked)), Ok(decoded)) => {
            assert_eq!(bytes(&walked), bytes(&decoded), "walked {walked:?}, decoded {decoded:?}");
        }
        (Ok(Some(_)), Err(cause)) | (Ok(None), Err(cause)) => {
            assert!(cause.to_string().contains("UTF-8"), "walked, but does not decode: {cause}");
        }
        (Ok(None), Ok(decoded)) => panic!("walked invalid UTF-8, but decoded {decoded:?}"),
        (Err(DecodeError::Group { .. } | DecodeError::NoKnownField { .. }), _)
        | (Err(_), Err(_)) => {}
        (Err(cause), Ok(decoded)) => panic!("{cause}, but decoded {decoded:?}"),
    }
}

/// The walk's view of a request as its messages; `None` if a text is not UTF-8.
pub(crate) fn collect_v1(body: &[u8]) -> Result<Option<v1::WriteRequest>> {
    let mut request = v1::WriteRequest::default();
    let mut scan = ScanV1::new(body);
    let mut utf8 = true;
    while let Some(item) = scan.next_item()? {
        match item {
            ItemV1::Series(series) => request.timeseries.push(series_v1(&series, &mut utf8)?),
            ItemV1::Metadata(metadata) => request.metadata.push(v1::MetricMetadata {
                r#type: metadata.metric_type,
                metric_family_name: text(metadata.metric, &mut utf8),
                help: text(metadata.help, &mut utf8),
                unit: text(metadata.unit, &mut utf8),
            }),
        }
    }
    Ok(utf8.then_some(request))
}

fn text(bytes: &[u8], utf8: &mut bool) -> String {
    *utf8 &= std::str::from_utf8(bytes).is_ok();
    String::from_utf8_lossy(bytes).into_owned()
}

fn labels_v1(mut labels: LabelsV1<'_>, utf8: &mut bool) -> Result<Vec<v1::Label>> {
    let mut out = Vec::new();
    while let Some((name, value)) = labels.next_label()? {
        out.push(v1::Label { name: text(name, utf8), value: text(value, utf8) });
    }
    Ok(out)
}

fn series_v1(series: &SeriesV1<'_>, utf8: &mut bool) -> Result<v1::TimeSeries> {
    let mut out =
        v1::TimeSeries { labels: labels_v1(series.labels(), utf8)?, ..Default::default() };
    let mut data = series.data();
    while let Some(datum) = data.next_datum()? {
        match datum {
            DatumV1::Sample(sample) => {
                assert_eq!(sample.start_ts, 0);
                out.samples.push(v1::Sample { value: sample.value, timestamp: sample.ts });
            }
            DatumV1::Histogram(bytes) => out.histograms.push(bytes.decode()?),
            DatumV1::Exemplar(exemplar) => out.exemplars.push(v1::Exemplar {
                labels: labels_v1(exemplar.labels(), utf8)?,
                value: exemplar.value,
                timestamp: exemplar.ts,
            }),
        }
    }
    let counted = (series.n_samples, series.n_histograms, series.n_exemplars);
    assert_eq!(counted, (out.samples.len(), out.histograms.len(), out.exemplars.len()));
    if let Some(only) = series.only_sample() {
        assert_eq!((counted, only.start_ts), ((1, 0, 0), 0));
        let only = v1::Sample { value: only.value, timestamp: only.ts };
        assert_eq!(only.encode_to_vec(), out.samples[0].encode_to_vec());
    }
    // The raw bytes must say the same labels as the message does.
    let mut scratch = Vec::new();
    match v1::TimeSeries::decode(series.raw_labels(&mut scratch)) {
        Ok(again) if *utf8 => assert_eq!(again.labels, out.labels),
        Ok(_) => {}
        // They keep a text that a later one of its label replaces, UTF-8 or not.
        Err(cause) => assert!(cause.to_string().contains("UTF-8"), "{cause}"),
    }
    Ok(out)
}

/// As [`collect_v1`], for the second protocol.
pub(crate) fn collect_v2(body: &[u8]) -> Result<Option<v2::Request>> {
    let mut scan = ScanV2::open(body, usize::MAX)?;
    let mut utf8 = true;
    let symbols = scan.symbols().iter().map(|bytes| text(bytes, &mut utf8)).collect();
    let mut request = v2::Request { symbols, timeseries: Vec::new() };
    while let Some(series) = scan.next_series()? {
        request.timeseries.push(series_v2(&series)?);
    }
    assert_eq!(request.timeseries.len(), scan.n_series());
    // What the walk does not tell: whether metadata was there but empty, and whose start timestamp it is.
    Ok(utf8.then_some(request).map(|mut request| {
        align(&mut request, body);
        request
    }))
}

fn align(request: &mut v2::Request, body: &[u8]) {
    let Ok(decoded) = v2::Request::decode(body) else { return };
    for (walked, decoded) in request.timeseries.iter_mut().zip(&decoded.timeseries) {
        if decoded.metadata == Some(v2::Metadata::default()) && walked.metadata.is_none() {
            walked.metadata = decoded.metadata;
        }
        for (sample, decoded_sample) in walked.samples.iter_mut().zip(&decoded.samples) {
            if decoded_sample.start_timestamp == 0 {
                assert_eq!(sample.start_timestamp, decoded.created_timestamp);
                sample.start_timestamp = 0;
            }
        }
    }
}

/// All references, read into memory that becomes larger until they fit.
fn all_refs(read: impl Fn(&mut [u32]) -> Result<usize>) -> Result<Vec<u32>> {
    let mut refs = vec![0; 1];
    loop {
        let n = read(&mut refs)?;
        if n < refs.len() {
            refs.truncate(n);
            return Ok(refs);
        }
        refs.resize(2 * n, 0);
    }
}

fn series_v2(series: &SeriesV2<'_>) -> Result<v2::TimeSeries> {
    let metadata = (!series.metadata.is_empty()).then_some(v2::Metadata {
        r#type: series.metadata.metric_type,
        help_ref: series.metadata.help_ref,
        unit_ref: series.metadata.unit_ref,
    });
    let created_timestamp = series.created_ts;
    let mut out = v2::TimeSeries { metadata, created_timestamp, ..Default::default() };
    out.labels_refs = all_refs(|refs| series.refs(refs))?;
    let mut data = series.data();
    while let Some(datum) = data.next_datum()? {
        match datum {
            DatumV2::Sample(sample) => out.samples.push(v2::Sample {
                value: sample.value,
                timestamp: sample.ts,
                start_timestamp: sample.start_ts,
            }),
            DatumV2::Histogram(bytes) => out.histograms.push(bytes.decode()?),
            DatumV2::Exemplar(exemplar) => {
                let labels_refs = all_refs(|refs| exemplar.refs(refs))?;
                let (value, timestamp) = (exemplar.value, exemplar.ts);
                out.exemplars.push(v2::Exemplar { labels_refs, value, timestamp });
            }
        }
    }
    let counted = (series.n_samples, series.n_histograms, series.n_exemplars);
    assert_eq!(counted, (out.samples.len(), out.histograms.len(), out.exemplars.len()));
    if let Some(only) = series.only_sample() {
        assert_eq!(counted, (1, 0, 0));
        let only =
            v2::Sample { value: only.value, timestamp: only.ts, start_timestamp: only.start_ts };
        assert_eq!(only.encode_to_vec(), out.samples[0].encode_to_vec());
    }
    Ok(out)
}
