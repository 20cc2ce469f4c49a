//! The codec over random histograms, the reasons of refusal, buckets against those of a Prometheus.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec::Reader;

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

/// Schema 0 with 5 positive, 2 negative buckets and a zero bucket: 23 + 3 + 1 observations.
fn usual() -> Histogram {
    Histogram {
        schema: 0,
        zero_threshold: 0.001,
        sum: 12.5,
        reset_hint: ResetHint::Unknown,
        positive_spans: spans(&[(0, 3), (2, 2)]),
        negative_spans: spans(&[(0, 2)]),
        custom_values: vec![],
        counts: Counts::Integer {
            count: 27,
            zero_count: 1,
            positive: vec![1, 2, 1, 3, 1],
            negative: vec![1, 1],
        },
        start_ts: 0,
    }
}

fn custom() -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        positive_spans: spans(&[(0, 6)]),
        negative_spans: vec![],
        custom_values: vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
        counts: Counts::Integer {
            count: 30,
            zero_count: 0,
            positive: vec![2, 1, 2, 3, -1, -2],
            negative: vec![],
        },
        ..usual()
    }
}

fn float(positive: Vec<f64>) -> Histogram {
    Histogram {
        counts: Counts::Float { count: 3.5, zero_count: 0.5, positive, negative: vec![] },
        positive_spans: spans(&[(0, 2)]),
        negative_spans: vec![],
        ..usual()
    }
}

fn with(change: impl FnOnce(&mut Histogram)) -> Histogram {
    let mut histogram = usual();
    change(&mut histogram);
    histogram
}

fn custom_with(change: impl FnOnce(&mut Histogram)) -> Histogram {
    let mut histogram = custom();
    change(&mut histogram);
    histogram
}

fn integer(count: u64, positive: Vec<i64>) -> Counts {
    Counts::Integer { count, zero_count: 0, positive, negative: vec![] }
}

#[test]
fn valid_histograms_pass() {
    let mut empty = with(|h| h.counts = integer(0, vec![]));
    (empty.positive_spans, empty.negative_spans) = (vec![], vec![]);
    assert_eq!(empty.validate(), Ok(()));
    let stale = Histogram { sum: crate::model::stale_nan(), ..empty };
    assert!(stale.is_stale());
    for histogram in [usual(), custom(), float(vec![1.0, 2.0]), float(vec![f64::NAN, 2.0]), stale] {
        assert_eq!(histogram.validate(), Ok(()), "{histogram:?}");
    }
    // Observations of NaN count, but are in no bucket.
    let counts = Counts::Integer {
        count: 40,
        zero_count: 1,
        positive: vec![1, 2, 1, 3, 1],
        negative: vec![1, 1],
    };
    assert_eq!(Histogram { sum: f64::NAN, counts, ..usual() }.validate(), Ok(()));
}

#[test]
fn invalid_histograms_are_refused_for_their_reason() {
    use HistogramError as E;
    let one = |positive_spans, counts| Histogram {
        positive_spans,
        negative_spans: vec![],
        counts,
        ..usual()
    };
    let side = "positive";
    for (histogram, want) in [
        (with(|h| h.schema = -9), E::Schema(-9)),
        (with(|h| h.schema = 9), E::Schema(9)),
        (with(|h| h.schema = 53), E::Schema(53)),
        (
            one(spans(&[(0, 2)]), integer(1, vec![1, -3])),
            E::NegativeBucket { side, bucket: 2, count: -2.0 },
        ),
        (one(spans(&[(0, 3)]), integer(1, vec![1])), E::SpanBuckets { side, needed: 3, found: 1 }),
        (
            one(spans(&[(0, 4_000_000_000), (0, 4_000_000_000)]), integer(1, vec![1])),
            E::SpanBuckets { side, needed: 8_000_000_000, found: 1 },
        ),
        (
            one(spans(&[(0, 1), (-3, 1)]), integer(2, vec![1, 0])),
            E::SpanOffset { side, span: 2, offset: -3 },
        ),
        (one(spans(&[(i32::MAX, 1)]), integer(1, vec![1])), E::IndexRange { side }),
        (one(spans(&[(0, 1)]), integer(99, vec![1])), E::CountMismatch { found: 1, count: 99 }),
        (
            Histogram { sum: f64::NAN, ..one(spans(&[(0, 1)]), integer(1, vec![2])) },
            E::CountTooSmall { found: 2, count: 1 },
        ),
        (one(spans(&[(0, 2)]), integer(1, vec![i64::MAX, 1])), E::CountRange),
        (one(spans(&[(0, 3)]), integer(1, vec![i64::MAX, 0, 0])), E::CountRange),
        (with(|h| h.custom_values = vec![1.0]), E::ExponentialCustom),
        (float(vec![1.0, -2.0]), E::NegativeBucket { side, bucket: 2, count: -2.0 }),
        (
            one(
                vec![],
                Counts::Float { count: -1.0, zero_count: 0.0, positive: vec![], negative: vec![] },
            ),
            E::NegativeCount(-1.0),
        ),
        (
            one(
                vec![],
                Counts::Float { count: 1.0, zero_count: -1.0, positive: vec![], negative: vec![] },
            ),
            E::NegativeZeroCount(-1.0),
        ),
        (
            custom_with(|h| h.custom_values = vec![2.0, 1.0]),
            E::CustomOrder { before: 2.0, bound: 1.0 },
        ),
        (
            custom_with(|h| h.custom_values = vec![1.0, 1.0]),
            E::CustomOrder { before: 1.0, bound: 1.0 },
        ),
        (custom_with(|h| h.custom_values = vec![f64::NAN]), E::CustomNan),
        (custom_with(|h| h.custom_values = vec![1.0, f64::INFINITY]), E::CustomInfinite),
        (custom_with(|h| h.custom_values.truncate(4)), E::CustomTooFew { bounds: 4, needed: 6 }),
        (custom_with(|h| h.zero_threshold = 1.0), E::CustomZeroThreshold),
        (custom_with(|h| h.negative_spans = spans(&[(0, 1)])), E::CustomNegative),
        (
            custom_with(|h| h.positive_spans = spans(&[(-1, 6)])),
            E::SpanOffset { side, span: 1, offset: -1 },
        ),
        (
            custom_with(|h| {
                h.counts = Counts::Integer {
                    count: 1,
                    zero_count: 1,
                    positive: vec![0; 6],
                    negative: vec![],
                };
            }),
            E::CustomZeroCount,
        ),
    ] {
        assert_eq!(histogram.validate(), Err(want), "{histogram:?}");
    }
}

#[test]
fn the_error_of_a_wrong_count_names_both_numbers() {
    let error = Histogram {
        counts: integer(99, vec![1]),
        positive_spans: spans(&[(0, 1)]),
        negative_spans: vec![],
        ..usual()
    };
    assert_eq!(
        error.validate().unwrap_err().to_string(),
        "the buckets hold 1 observations, but the count is 99"
    );
}

fn shown(histogram: &Histogram) -> Vec<String> {
    let show = |b: &Bucket| {
        let (open, close) =
            (if b.lower_inclusive { '[' } else { '(' }, if b.upper_inclusive { ']' } else { ')' });
        format!("{open}{},{}{close}:{}", b.lower, b.upper, b.count)
    };
    histogram.buckets().iter().map(show).collect()
}

/// The same histograms as Prometheus prints them in its JSON.
#[test]
fn buckets_ascend_with_the_bounds_of_prometheus() {
    assert_eq!(
        shown(&usual()),
        [
            "[-2,-1):2",
            "[-1,-0.5):1",
            "[-0.001,0.001]:1",
            "(0.5,1]:1",
            "(1,2]:3",
            "(2,4]:4",
            "(16,32]:7",
            "(32,64]:8"
        ]
    );
    assert_eq!(
        shown(&custom()),
        ["[-inf,0.1]:2", "(0.1,0.5]:3", "(0.5,1]:5", "(1,2.5]:8", "(2.5,5]:7", "(5,10]:5"]
    );
    let last = custom_with(|h| h.positive_spans = spans(&[(1, 6)]));
    assert_eq!(shown(&last)[0], "(0.1,0.5]:2");
    assert_eq!(shown(&last)[5], "(10,inf]:5");
}

/// Two answers of a Prometheus 3.5.3 to instant queries.
#[test]
fn buckets_are_those_of_an_answer_of_prometheus() {
    let gauge = Histogram {
        schema: 1,
        positive_spans: spans(&[(-1, 2), (2, 1)]),
        negative_spans: vec![],
        counts: Counts::Float {
            count: 70.5,
            zero_count: 0.5,
            positive: vec![62.0, 5.0, 3.0],
            negative: vec![],
        },
        ..usual()
    };
    assert_eq!(gauge.count(), 70.5);
    assert_eq!(
        shown(&gauge),
        [
            "[-0.001,0.001]:0.5",
            "(0.5,0.7071067811865475]:62",
            "(0.7071067811865475,1]:5",
            "(2,2.82842712474619]:3"
        ]
    );
    let nhcb = Histogram {
        positive_spans: spans(&[(0, 3), (1, 1)]),
        custom_values: vec![0.1, 0.5, 1.0, 2.5],
        counts: integer(488, vec![61, 122, 0, -122]),
        ..custom()
    };
    assert_eq!(nhcb.validate(), Ok(()));
    assert_eq!(shown(&nhcb), ["[-inf,0.1]:61", "(0.1,0.5]:183", "(0.5,1]:183", "(2.5,inf]:61"]);
}

#[test]
fn a_wide_zero_bucket_takes_from_its_neighbours() {
    let wide = with(|h| h.zero_threshold = 0.75);
    assert_eq!(shown(&wide)[1..4], ["[-1,-0.75):1", "[-0.75,0.75]:1", "(0.75,1]:1"]);
}

#[test]
fn buckets_end_where_the_counts_end() {
    let huge = with(|h| h.positive_spans = spans(&[(0, u32::MAX), (i32::MAX, u32::MAX)]));
    assert_eq!(huge.buckets().len(), 2 + 1 + 5);
}

#[test]
fn fine_schemas_are_merged_to_the_finest_that_is_stored() {
    let fine = Histogram {
        schema: 9,
        positive_spans: spans(&[(-1, 4), (5, 1)]),
        negative_spans: spans(&[(1, 2)]),
        counts: Counts::Integer {
            count: 16,
            zero_count: 0,
            positive: vec![1, 1, 1, 1, 0],
            negative: vec![1, 0],
        },
        ..usual()
    };
    // Indexes -1, 0, 1, 2, 8 of schema 9 are 0, 0, 1, 1, 4 of schema 8; 1 and 2 are both 1.
    let merged = fine.into_valid().unwrap();
    assert_eq!(merged.schema, 8);
    assert_eq!(merged.positive_spans, spans(&[(0, 2), (2, 1)]));
    assert_eq!(merged.negative_spans, spans(&[(1, 1)]));
    let counts =
        Counts::Integer { count: 16, zero_count: 0, positive: vec![3, 4, -3], negative: vec![2] };
    assert_eq!(merged.counts, counts);
    assert_eq!(merged.validate(), Ok(()));

    let mut float = float(vec![1.5, 2.5]);
    float.schema = 52;
    let merged = float.into_valid().unwrap();
    assert_eq!(merged.positive_spans, spans(&[(0, 2)]));
    assert_eq!(with(|h| h.schema = 53).into_valid(), Err(HistogramError::Schema(53)));
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), Just(0.0), Just(2f64.powi(-128)), Just(1.5)]
}

prop_compose! {
    fn any_histogram()(
        schema in any::<i32>(),
        zero_threshold in any_float(),
        sum in any_float(),
        hint in 0usize..4,
        positive_spans in vec(any::<(i32, u32)>(), 0..4),
        negative_spans in vec(any::<(i32, u32)>(), 0..4),
        custom_values in vec(any_float(), 0..4),
        counts in prop_oneof![
            (any::<u64>(), any::<u64>(), vec(any::<i64>(), 0..6), vec(any::<i64>(), 0..6)).prop_map(
                |(count, zero_count, positive, negative)| Counts::Integer { count, zero_count, positive, negative }),
            (any_float(), any_float(), vec(any_float(), 0..6), vec(any_float(), 0..6)).prop_map(
                |(count, zero_count, positive, negative)| Counts::Float { count, zero_count, positive, negative }),
        ],
        start_ts in any::<i64>(),
    ) -> Histogram {
        Histogram {
            schema, zero_threshold, sum, custom_values, counts, start_ts,
            reset_hint: [ResetHint::Unknown, ResetHint::Yes, ResetHint::No, ResetHint::Gauge][hint],
            positive_spans: spans(&positive_spans),
            negative_spans: spans(&negative_spans),
        }
    }
}

proptest! {
    #[test]
    fn encoding_loses_nothing(histogram in any_histogram(), behind in vec(any::<u8>(), 0..3)) {
        let mut bytes = vec![0xee];
        histogram.encode(&mut bytes);
        let n = bytes.len();
        bytes.extend(&behind);
        let mut reader = Reader::new(&bytes[1..]);
        let back = Histogram::decode(&mut reader).unwrap();
        prop_assert_eq!(reader.position(), n - 1);
        // By bytes, because a NaN does not equal itself; by fields, because equal bytes are not enough.
        let mut again = vec![0xee];
        back.encode(&mut again);
        prop_assert_eq!(&again[..], &bytes[..n]);
        prop_assert_eq!(format!("{back:?}"), format!("{histogram:?}"));
        for shorter in 1..n {
            prop_assert!(Histogram::decode(&mut Reader::new(&bytes[1..shorter])).is_err());
        }
    }

    #[test]
    fn decoding_rubbish_ends(bytes in vec(any::<u8>(), 0..80)) {
        if let Ok(histogram) = Histogram::decode(&mut Reader::new(&bytes)) {
            let _ = histogram.buckets();
            let _ = histogram.into_valid();
        }
    }

    #[test]
    fn no_histogram_makes_its_judges_panic(histogram in any_histogram(), schema in -60i32..60) {
        let histogram = Histogram { schema, ..histogram };
        let _ = (histogram.validate(), histogram.buckets());
        if let Ok(valid) = histogram.into_valid() {
            prop_assert_eq!(valid.validate(), Ok(()));
        }
    }

    #[test]
    fn merging_keeps_every_observation(
        schema in 9i32..=52,
        gaps in vec((0i32..400, 1u32..4), 1..5),
        first in -500i32..500,
        count_of in any::<u32>(),
    ) {
        let mut list = gaps.clone();
        list[0].0 = first;
        let n: u32 = list.iter().map(|s| s.1).sum();
        let counts: Vec<f64> = (0..n).map(|i| f64::from(count_of.wrapping_mul(i + 1) % 1000)).collect();
        let mut before = 0;
        let deltas = counts.iter().map(|c| *c as i64 - std::mem::replace(&mut before, *c as i64)).collect();
        let total: f64 = counts.iter().sum();
        let int = Histogram {
            schema,
            positive_spans: spans(&list),
            negative_spans: vec![],
            counts: Counts::Integer { count: total as u64, zero_count: 0, positive: deltas, negative: vec![] },
            ..usual()
        };
        let float = Histogram {
            counts: Counts::Float { count: total, zero_count: 0.0, positive: counts, negative: vec![] },
            ..int.clone()
        };
        let (int, float) = (int.into_valid().unwrap(), float.into_valid().unwrap());
        prop_assert_eq!(int.buckets(), float.buckets());
        prop_assert_eq!(int.buckets().iter().map(|b| b.count).sum::<f64>(), total);
        prop_assert_eq!(int.validate(), Ok(()));
    }
}
