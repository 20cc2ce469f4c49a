//! The walkers against `prost`, on requests as senders write them, on legal but odd ones, and on rubbish.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::encode_varint;

use crate::check;
use crate::error::DecodeError;
use crate::scan::{DatumV1, ItemV1, Sample, ScanV1, ScanV2};
use crate::{v1, v2};

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(0.0),
        Just(-0.0),
        Just(f64::from_bits(0x7ff0_0000_0000_0002)),
        any::<u64>().prop_map(f64::from_bits),
    ]
}

fn histogram() -> impl Strategy<Value = v1::Histogram> {
    let span =
        (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| v1::BucketSpan { offset, length });
    (
        any::<(bool, u64, i32, i32, i64, i64)>(),
        (double(), double(), double()),
        (vec(span.clone(), 0..3), vec(span, 0..3)),
        (
            vec(any::<i64>(), 0..3),
            vec(double(), 0..3),
            vec(any::<i64>(), 0..3),
            vec(double(), 0..3),
        ),
        vec(double(), 0..3),
    )
        .prop_map(|(numbers, doubles, spans, buckets, custom_values)| {
            let (int, n, schema, reset_hint, timestamp, start_timestamp) = numbers;
            v1::Histogram {
                count: Some(if int { v1::Count::Int(n) } else { v1::Count::Float(doubles.0) }),
                sum: doubles.1,
                schema,
                zero_threshold: doubles.2,
                zero_count: int.then_some(v1::ZeroCount::Int(n)),
                negative_spans: spans.0,
                negative_deltas: buckets.0,
                negative_counts: buckets.1,
                positive_spans: spans.1,
                positive_deltas: buckets.2,
                positive_counts: buckets.3,
                reset_hint,
                timestamp,
                custom_values,
                start_timestamp,
            }
        })
}

fn label() -> impl Strategy<Value = v1::Label> {
    (".{0,12}", ".{0,200}").prop_map(|(name, value)| v1::Label { name, value })
}

fn series_v1() -> impl Strategy<Value = v1::TimeSeries> {
    let sample =
        (double(), any::<i64>()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let exemplar = (vec(label(), 0..3), double(), any::<i64>())
        .prop_map(|(labels, value, timestamp)| v1::Exemplar { labels, value, timestamp });
    (vec(label(), 0..6), vec(sample, 0..4), vec(exemplar, 0..2), vec(histogram(), 0..2)).prop_map(
        |(labels, samples, exemplars, histograms)| v1::TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
        },
    )
}

fn request_v1() -> impl Strategy<Value = v1::WriteRequest> {
    let metadata =
        (any::<i32>(), ".{0,9}", ".{0,9}", ".{0,9}").prop_map(|(r#type, name, help, unit)| {
            v1::MetricMetadata { r#type, metric_family_name: name, help, unit }
        });
    (vec(series_v1(), 0..5), vec(metadata, 0..3))
        .prop_map(|(timeseries, metadata)| v1::WriteRequest { timeseries, metadata })
}

fn request_v2() -> impl Strategy<Value = v2::Request> {
    let sample =
        (double(), any::<i64>(), any::<i64>()).prop_map(|(value, timestamp, start_timestamp)| {
            v2::Sample { value, timestamp, start_timestamp }
        });
    let exemplar = (vec(any::<u32>(), 0..3), double(), any::<i64>())
        .prop_map(|(labels_refs, value, timestamp)| v2::Exemplar { labels_refs, value, timestamp });
    let metadata = proptest::option::of(any::<(i32, u32, u32)>()).prop_map(|m| {
        m.map(|(r#type, help_ref, unit_ref)| v2::Metadata { r#type, help_ref, unit_ref })
    });
    let series = (
        vec(any::<u32>(), 0..8),
        vec(sample, 0..4),
        vec(histogram(), 0..2),
        vec(exemplar, 0..2),
        metadata,
        any::<i64>(),
    )
        .prop_map(
            |(labels_refs, samples, histograms, exemplars, metadata, created_timestamp)| {
                v2::TimeSeries {
                    labels_refs,
                    samples,
                    histograms,
                    exemplars,
                    metadata,
                    created_timestamp,
                }
            },
        );
    (vec(".{0,200}", 0..6), vec(series, 0..5))
        .prop_map(|(symbols, timeseries)| v2::Request { symbols, timeseries })
}

/// One field of a made-up message, nested at will: legal protobuf that no sender writes.
fn odd_message() -> impl Strategy<Value = Vec<u8>> {
    let field = |inner: BoxedStrategy<Vec<u8>>| {
        (1u32..20, 0u32..4, any::<u64>(), inner).prop_map(|(field, kind, number, inner)| {
            let mut out = Vec::new();
            // The kinds that the field numbers of the two messages mostly have come more often.
            let wire_type = [2, 2, 0, 1][kind as usize];
            encode_varint(u64::from(field << 3 | wire_type), &mut out);
            match wire_type {
                0 => encode_varint(number >> (number % 64), &mut out),
                1 => out.extend(number.to_le_bytes()),
                _ => {
                    encode_varint(inner.len() as u64, &mut out);
                    out.extend(inner);
                }
            }
            out
        })
    };
    let leaf = vec(any::<u8>(), 0..4).boxed();
    leaf.prop_recursive(3, 24, 5, move |inner| {
        vec(field(inner.boxed()), 0..5).prop_map(|fields| fields.concat())
    })
}

/// The top-level fields of `message`, each with its key.
fn fields(message: &[u8]) -> Vec<Vec<u8>> {
    let mut wire = crate::wire::Wire::new(message);
    let mut out = Vec::new();
    let any = crate::wire::Shape::new("any", &[]);
    loop {
        let before = wire;
        let Some(found) = wire.key().unwrap() else { break };
        wire.skip(found, any).unwrap();
        out.push(before.until(&wire).to_vec());
    }
    out
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(u64::from(number << 3 | 2), &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// The same request with the fields of each series and of the request in the order that `seed` says and
/// unknown fields between them.
fn shuffled(message: &[u8], series_field: u32, mut seed: u64) -> Vec<u8> {
    let mut next = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n.max(1)
    };
    let mut shuffle = |mut parts: Vec<Vec<u8>>| {
        parts.push(field(77, b"unknown"));
        parts.push(vec![0xf8, 0x07, 0x05]);
        for i in (1..parts.len()).rev() {
            parts.swap(i, next(i + 1));
        }
        parts
    };
    let mut out = Vec::new();
    for part in shuffle(fields(message)) {
        if part.first() == Some(&((series_field << 3 | 2) as u8)) {
            let mut wire = crate::wire::Wire::new(&part);
            wire.key().unwrap();
            let inner = wire.bytes("series").unwrap();
            out.extend(field(series_field, &shuffle(fields(inner)).concat()));
        } else {
            out.extend(part);
        }
    }
    out
}

proptest! {
    #[test]
    fn a_v1_request_is_read_as_it_was_written(request in request_v1()) {
        let body = request.encode_to_vec();
        let walked = check::collect_v1(&body).unwrap().unwrap();
        prop_assert_eq!(walked.encode_to_vec(), body);
    }

    #[test]
    fn a_v2_request_is_read_as_it_was_written(request in request_v2()) {
        let body = request.encode_to_vec();
        let walked = check::collect_v2(&body).unwrap().unwrap();
        prop_assert_eq!(walked.encode_to_vec(), body);
    }

    #[test]
    fn any_order_of_fields_is_read_as_prost_does(
        one in request_v1(), two in request_v2(), seed in any::<u64>()
    ) {
        check::v1(&shuffled(&one.encode_to_vec(), 1, seed));
        check::v2(&shuffled(&two.encode_to_vec(), 5, seed));
    }

    #[test]
    fn labels_between_other_fields_have_the_raw_bytes_of_labels_before_them(series in series_v1()) {
        let body = v1::WriteRequest { timeseries: vec![series.clone()], metadata: vec![] }.encode_to_vec();
        let inner = series.encode_to_vec();
        // Labels keep their order, everything else goes between them.
        let (labels, others): (Vec<_>, Vec<_>) = fields(&inner).into_iter().partition(|f| f[0] == 0x0a);
        let mut mixed = Vec::new();
        let mut others = others.into_iter();
        for label in labels {
            mixed.extend(others.next().unwrap_or_default());
            mixed.extend(label);
        }
        mixed.extend(others.flatten());
        let mixed = field(1, &mixed);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let raw = |body, scratch| match ScanV1::new(body).next_item().unwrap() {
            Some(ItemV1::Series(series)) => SeriesRaw(series).get(scratch),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(raw(&body, &mut a), raw(&mixed, &mut b));
        check::v1(&mixed);
    }

    #[test]
    fn rubbish_is_read_as_prost_does(bytes in vec(any::<u8>(), 0..64)) {
        check::v1(&bytes);
        check::v2(&bytes);
        check::body("application/x-protobuf", "snappy", &bytes);
    }

    #[test]
    fn odd_messages_are_read_as_prost_does(message in odd_message(), inner in odd_message()) {
        check::v1(&message);
        check::v2(&message);
        check::v1(&field(1, &inner));
        check::v2(&field(5, &inner));
    }

    #[test]
    fn one_wrong_byte_is_read_as_prost_does(
        one in request_v1(), two in request_v2(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        for (mut body, check) in [(one.encode_to_vec(), check::v1 as fn(&[u8])), (two.encode_to_vec(), check::v2)] {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
                check(&body);
            }
        }
    }

    #[test]
    fn a_truncated_request_is_an_error(one in request_v1(), two in request_v2()) {
        let bodies = [(one.encode_to_vec(), true), (two.encode_to_vec(), false)];
        for (body, first) in bodies {
            let mut boundaries = vec![0];
            for part in fields(&body) {
                boundaries.push(boundaries.last().unwrap() + part.len());
            }
            for n in 0..body.len() {
                let failed = match first {
                    true => check::collect_v1(&body[..n]).is_err(),
                    false => check::collect_v2(&body[..n]).is_err(),
                };
                prop_assert_eq!(failed, !boundaries.contains(&n), "{} of {}", n, body.len());
            }
        }
    }
}

/// Ties the scratch buffer's life to the series' for the test above.
struct SeriesRaw<'a>(crate::scan::SeriesV1<'a>);
impl<'a> SeriesRaw<'a> {
    fn get(self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        self.0.raw_labels(scratch)
    }
}

#[test]
fn a_usual_series_is_read_without_copying() {
    let mut body = field(
        1,
        &[
            field(1, &[field(1, b"__name__"), field(2, b"up")].concat()),
            field(1, &[field(1, b"job"), field(2, b"node")].concat()),
            field(2, b"\x09\x02\x00\x00\x00\x00\x00\xf0\x7f\x10\xe8\x07"),
        ]
        .concat(),
    );
    body.extend(field(3, b"\x08\x01\x12\x02up"));
    let mut scan = ScanV1::new(&body);
    let Some(ItemV1::Series(series)) = scan.next_item().unwrap() else { panic!() };
    let mut scratch = Vec::new();
    assert_eq!(series.raw_labels(&mut scratch).as_ptr(), body[2..].as_ptr());
    assert_eq!(scratch.capacity(), 0);
    let Some(DatumV1::Sample(sample)) = series.data().next_datum().unwrap() else { panic!() };
    assert_eq!(sample.value.to_bits(), 0x7ff0_0000_0000_0002);
    assert_eq!((sample.ts, sample.start_ts), (1000, 0));
    let Some(ItemV1::Metadata(metadata)) = scan.next_item().unwrap() else { panic!() };
    assert_eq!((metadata.metric_type, metadata.metric), (1, &b"up"[..]));
    assert!(scan.next_item().unwrap().is_none());
}

#[test]
fn negative_and_extreme_timestamps_are_read() {
    for timestamp in [0, -1, i64::MIN, i64::MAX, 1_700_000_000_000] {
        let sample = v1::Sample { value: 1.5, timestamp };
        let body = field(1, &field(2, &sample.encode_to_vec()));
        let Some(ItemV1::Series(series)) = ScanV1::new(&body).next_item().unwrap() else {
            panic!()
        };
        let Some(DatumV1::Sample(read)) = series.data().next_datum().unwrap() else { panic!() };
        assert_eq!(read, Sample { value: 1.5, ts: timestamp, start_ts: 0 });
    }
}

#[test]
fn the_other_protocols_body_is_an_error() {
    let one = v1::WriteRequest { timeseries: vec![v1::TimeSeries::default()], metadata: vec![] };
    let two = v2::Request { symbols: vec![String::new()], timeseries: vec![] };
    assert_eq!(
        ScanV1::new(&two.encode_to_vec()).next_item().unwrap_err(),
        DecodeError::NoKnownField { expected: "prometheus.WriteRequest" }
    );
    assert_eq!(
        ScanV2::open(&one.encode_to_vec(), 10).unwrap_err(),
        DecodeError::NoKnownField { expected: "io.prometheus.write.v2.Request" }
    );
    assert!(ScanV1::new(&[]).next_item().unwrap().is_none());
    assert_eq!(ScanV2::open(&[], 10).unwrap().n_series(), 0);
}

#[test]
fn symbols_behind_the_series_are_found_and_bounded() {
    let mut body = field(5, &[0x08, 1, 0x08, 2]);
    for symbol in ["", "__name__", "up"] {
        body.extend(field(4, symbol.as_bytes()));
    }
    let mut scan = ScanV2::open(&body, 3).unwrap();
    assert_eq!(scan.symbols(), [&b""[..], b"__name__", b"up"]);
    let mut refs = [9; 4];
    assert_eq!(scan.next_series().unwrap().unwrap().refs(&mut refs).unwrap(), 2);
    assert_eq!(refs, [1, 2, 9, 9]);
    let error = ScanV2::open(&body, 2).unwrap_err();
    assert_eq!(error, DecodeError::TooMany { what: "symbols", max: 2 });
}

#[test]
fn references_stop_behind_their_limit() {
    let body = field(5, &field(1, &[1; 1000]));
    let mut refs = [0; 129];
    let series = ScanV2::open(&body, 1).unwrap().next_series().unwrap().unwrap();
    assert_eq!(series.refs(&mut refs).unwrap(), 129);
    assert_eq!(refs, [1; 129]);
}

#[test]
fn groups_and_wrong_wire_types_are_refused_with_their_place() {
    let group = field(1, &[0x53, 0x54]);
    assert_eq!(ScanV1::new(&group).next_item().unwrap_err(), DecodeError::Group { at: 3 });
    let wrong = field(1, &[0x10, 1]);
    assert_eq!(
        ScanV1::new(&wrong).next_item().unwrap_err(),
        DecodeError::WireType { message: "TimeSeries", field: 2, wire_type: 0, at: 3 }
    );
}

/// What Prometheus 3.5.3 sent, which no message of ours had a part in.
#[test]
fn captured_requests_are_read_as_prost_does() {
    let mut buffer = Vec::new();
    for (body, check) in [
        (&include_bytes!("../../testdata/prometheus-3.5.3-v1.snappy")[..], check::v1 as fn(&[u8])),
        (include_bytes!("../../testdata/prometheus-3.5.3-v1-metadata.snappy"), check::v1),
        (include_bytes!("../../testdata/prometheus-3.5.3-v2.snappy"), check::v2),
    ] {
        check(crate::decompress(body, 1 << 20, &mut buffer).unwrap());
    }
    let body = crate::decompress(
        include_bytes!("../../testdata/prometheus-3.5.3-v2.snappy"),
        1 << 20,
        &mut buffer,
    )
    .unwrap();
    let request = check::collect_v2(body).unwrap().unwrap();
    assert_eq!((request.symbols.len(), request.timeseries.len()), (39, 135));
    assert_eq!(request.timeseries.iter().map(|s| s.histograms.len()).sum::<usize>(), 5);
}

/// The walk tells the last name of a label that has two, `prost` refuses the message for the first.
#[test]
fn a_replaced_label_name_that_is_no_utf8_is_passed_over() {
    let label = [field(1, b"\x93\x00"), field(1, b"name"), field(2, b"value")].concat();
    let body = field(1, &field(1, &label));
    let walked = check::collect_v1(&body).unwrap().unwrap();
    let expected = v1::Label { name: "name".to_owned(), value: "value".to_owned() };
    assert_eq!(walked.timeseries[0].labels, [expected]);
    check::v1(&body);
}
