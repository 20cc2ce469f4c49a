//! Requests as senders write them against a store that only records.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet};

use nines_proto::{v1, v2};
use nines_storage::model::{Histogram, Labels, STALE_NAN_BITS};
use nines_storage::{AppendOutcome, Exemplar, Metadata, RejectReason, Rejection, SymbolKeys};

use super::batch::Batch;
use super::sink::Sink;
use super::summary::Intake;
use super::{IngestError, Limits, WriteSummary, v1 as ingest_v1, v2 as ingest_v2};

/// Records what it is given. Series are numbered in the order in which they are made.
#[derive(Default)]
struct Recorder {
    series: Vec<Labels>,
    keys: HashMap<u128, usize>,
    series_max: Option<usize>,
    n_resolved: usize,
    samples: Vec<(usize, i64, u64, i64)>,
    histograms: Vec<(usize, i64, Histogram)>,
    exemplars: Vec<(usize, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
    symbol_keys: SymbolKeys,
    metadata_keys: HashSet<u128>,
    remembers_metadata: bool,
}

impl Sink for Recorder {
    type Series = usize;

    fn series_key(&self, raw_labels: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_seed(raw_labels, 7)
    }

    fn symbol_keys(&self) -> &SymbolKeys {
        &self.symbol_keys
    }

    fn find(&mut self, key: u128) -> Option<usize> {
        self.keys.get(&key).copied()
    }

    fn resolve(&mut self, key: u128, labels: &Labels) -> std::result::Result<usize, RejectReason> {
        self.n_resolved += 1;
        let known = self.series.iter().position(|known| known == labels);
        let full = self.series_max.is_some_and(|max| self.series.len() >= max);
        if known.is_none() && full {
            return Err(RejectReason::SeriesLimit);
        }
        let at = known.unwrap_or_else(|| {
            self.series.push(labels.clone());
            self.series.len() - 1
        });
        self.keys.insert(key, at);
        Ok(at)
    }

    fn sample(&mut self, series: usize, ts: i64, value: f64, start_ts: i64) {
        self.samples.push((series, ts, value.to_bits(), start_ts));
    }

    fn histogram(&mut self, series: usize, ts: i64, histogram: Histogram) {
        self.histograms.push((series, ts, histogram));
    }

    fn exemplar(&mut self, series: usize, exemplar: Exemplar) {
        self.exemplars.push((series, exemplar));
    }

    fn knows_metadata(&mut self, key: u128) -> bool {
        self.remembers_metadata && self.metadata_keys.contains(&key)
    }

    fn metadata(&mut self, key: u128, metric: &str, metadata: Metadata) {
        self.metadata_keys.insert(key);
        self.metadata.push((metric.to_owned(), metadata));
    }
}

type Read = fn(&mut Batch<'_, Recorder>, &[u8]) -> Result<(), IngestError>;

fn run(
    sink: &mut Recorder,
    read: Read,
    body: &[u8],
    limits: &Limits,
) -> Result<Intake, IngestError> {
    let mut batch = Batch::new(sink, limits);
    read(&mut batch, body)?;
    Ok(batch.finish())
}

/// As a store would answer that accepts everything.
fn complete(sink: &Recorder, intake: Intake) -> WriteSummary {
    intake.complete(AppendOutcome {
        samples: sink.samples.len() as u64,
        histograms: sink.histograms.len() as u64,
        exemplars: sink.exemplars.len() as u64,
        ..Default::default()
    })
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A series before it is written in one of the protocols.
#[derive(Clone, Default)]
struct Series<'a> {
    labels: Pairs<'a>,
    samples: &'a [(i64, f64)],
    histograms: Vec<v2::Histogram>,
    exemplars: Vec<(Pairs<'a>, f64, i64)>,
}

fn encode_v1(series: &[Series<'_>]) -> Vec<u8> {
    use nines_proto::Message;
    let labels = |pairs: Pairs<'_>| {
        pairs.iter().map(|(n, v)| v1::Label { name: (*n).into(), value: (*v).into() }).collect()
    };
    let timeseries = series
        .iter()
        .map(|s| v1::TimeSeries {
            labels: labels(s.labels),
            samples: s
                .samples
                .iter()
                .map(|&(timestamp, value)| v1::Sample { value, timestamp })
                .collect(),
            exemplars: s
                .exemplars
                .iter()
                .map(|&(pairs, value, timestamp)| v1::Exemplar {
                    labels: labels(pairs),
                    value,
                    timestamp,
                })
                .collect(),
            histograms: s.histograms.clone(),
        })
        .collect();
    v1::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec()
}

/// The request of `series` with a symbol table that begins with `first` symbols that nothing refers to.
fn request_v2(series: &[Series<'_>], first: &[&str]) -> v2::Request {
    let mut symbols: Vec<String> = first.iter().map(|s| (*s).to_owned()).collect();
    let mut refs = |pairs: Pairs<'_>| -> Vec<u32> {
        let texts = pairs.iter().flat_map(|(n, v)| [*n, *v]);
        texts
            .map(|text| {
                let at = symbols.iter().position(|s| s == text).unwrap_or_else(|| {
                    symbols.push(text.to_owned());
                    symbols.len() - 1
                });
                u32::try_from(at).unwrap()
            })
            .collect()
    };
    let timeseries = series
        .iter()
        .map(|s| v2::TimeSeries {
            labels_refs: refs(s.labels),
            samples: s
                .samples
                .iter()
                .map(|&(timestamp, value)| v2::Sample { value, timestamp, start_timestamp: 0 })
                .collect(),
            histograms: s.histograms.clone(),
            exemplars: s
                .exemplars
                .iter()
                .map(|&(pairs, value, timestamp)| v2::Exemplar {
                    labels_refs: refs(pairs),
                    value,
                    timestamp,
                })
                .collect(),
            metadata: None,
            created_timestamp: 0,
        })
        .collect();
    v2::Request { symbols, timeseries }
}

fn encode_v2(series: &[Series<'_>]) -> Vec<u8> {
    nines_proto::Message::encode_to_vec(&request_v2(series, &[""]))
}

/// What both protocols must do with the same series.
fn both(series: &[Series<'_>], limits: &Limits, then: impl Fn(&Recorder, WriteSummary)) {
    for (read, body) in
        [(ingest_v1::read as Read, encode_v1(series)), (ingest_v2::read, encode_v2(series))]
    {
        let mut sink = Recorder::default();
        let intake = run(&mut sink, read, &body, limits).unwrap();
        let summary = complete(&sink, intake);
        then(&sink, summary);
    }
}

fn series<'a>(labels: Pairs<'a>, samples: &'a [(i64, f64)]) -> Series<'a> {
    Series { labels, samples, ..Default::default() }
}

fn usual_histogram() -> v2::Histogram {
    v2::Histogram {
        count: Some(v2::Count::Int(27)),
        sum: 12.5,
        zero_count: Some(v2::ZeroCount::Int(1)),
        positive_spans: vec![
            v2::BucketSpan { offset: 0, length: 3 },
            v2::BucketSpan { offset: 2, length: 2 },
        ],
        positive_deltas: vec![1, 2, 1, 3, 1],
        negative_spans: vec![v2::BucketSpan { offset: 0, length: 2 }],
        negative_deltas: vec![1, 1],
        timestamp: 1000,
        ..Default::default()
    }
}

const UP: Pairs<'static> = &[("__name__", "up"), ("job", "node")];
const ONE: &[(i64, f64)] = &[(1000, 1.0)];

#[test]
fn series_are_parsed_once_and_found_by_their_bytes_afterwards() {
    let many: &[(i64, f64)] = &[(2000, f64::from_bits(STALE_NAN_BITS)), (1000, 0.5), (1000, 0.5)];
    for (read, body) in [
        (ingest_v1::read as Read, encode_v1(&[series(UP, ONE), series(UP, many)])),
        (ingest_v2::read, encode_v2(&[series(UP, ONE), series(UP, many)])),
    ] {
        let mut sink = Recorder::default();
        let limits = Limits::default();
        for _ in 0..3 {
            let intake = run(&mut sink, read, &body, &limits).unwrap();
            assert_eq!(
                (intake.series_touched, intake.n_samples, intake.newest_ts),
                (2, 4, Some(2000))
            );
            assert!(intake.refused.rejected.is_empty());
        }
        assert_eq!(sink.n_resolved, 1);
        assert_eq!(sink.series, [Labels::from_pairs(UP.iter().copied())]);
        // In the order in which they were sent, bits untouched.
        let once = [
            (0, 1000, 1f64.to_bits(), 0),
            (0, 2000, STALE_NAN_BITS, 0),
            (0, 1000, 0.5f64.to_bits(), 0),
            (0, 1000, 0.5f64.to_bits(), 0),
        ];
        assert_eq!(sink.samples, [once, once, once].concat());
    }
}

#[test]
fn one_series_under_different_symbol_tables_is_one_key() {
    let mut sink = Recorder::default();
    for first in [&[""][..], &["", "x", "node", "up"], &["job", "y"]] {
        let body = nines_proto::Message::encode_to_vec(&request_v2(&[series(UP, ONE)], first));
        run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
    }
    assert_eq!((sink.n_resolved, sink.series.len(), sink.samples.len()), (1, 1, 3));
    // Name and value must not run into each other.
    for labels in
        [&[("__name__", "up"), ("jo", "bnode")][..], &[("__name__", "upjob"), ("a", "node")]]
    {
        run(&mut sink, ingest_v2::read, &encode_v2(&[series(labels, ONE)]), &Limits::default())
            .unwrap();
    }
    assert_eq!(sink.series.len(), 3);
}

proptest::proptest! {
    /// Label sets out of few texts, so that many differ in little, under tables in any order.
    #[test]
    fn a_key_is_that_of_one_list_of_labels_whatever_the_symbol_table(
        lists in proptest::collection::vec(
            proptest::collection::vec(("[ab]{1,2}", "[ab]{0,2}"), 0..5), 1..40),
        tables in proptest::collection::vec(proptest::collection::vec("[ab]{0,2}", 0..12), 1..4),
    ) {
        let mut sink = Recorder::default();
        let labels: Vec<Vec<(&str, &str)>> = lists
            .iter()
            .map(|list| {
                let mut names = HashSet::new();
                let mut pairs = vec![("__name__", "up")];
                let others = list.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                pairs.extend(others.filter(|(name, _)| names.insert(*name)));
                pairs
            })
            .collect();
        let list: Vec<Series<'_>> = labels.iter().map(|labels| series(labels, ONE)).collect();
        for first in &tables {
            let first: Vec<&str> = first.iter().map(String::as_str).collect();
            let body = nines_proto::Message::encode_to_vec(&request_v2(&list, &first));
            run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
        }
        let different: HashSet<_> = labels.iter().collect();
        proptest::prop_assert_eq!((sink.n_resolved, sink.keys.len()), (different.len(), different.len()));
        let given = labels.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied()));
        let given: Vec<Labels> = given.cycle().take(labels.len() * tables.len()).collect();
        let reached: Vec<&Labels> = sink.samples.iter().map(|sample| &sink.series[sample.0]).collect();
        proptest::prop_assert_eq!(reached, given.iter().collect::<Vec<_>>());
    }
}

#[test]
fn label_order_and_empty_values_make_no_other_series() {
    let odd: Pairs<'_> = &[("job", "node"), ("a", ""), ("__name__", "up")];
    both(&[series(UP, ONE), series(odd, ONE)], &Limits::default(), |sink, summary| {
        assert!(summary.is_complete());
        assert_eq!((sink.series.len(), sink.n_resolved, sink.samples.len()), (1, 2, 2));
    });
}

#[test]
fn utf8_names_are_accepted() {
    let dots: Pairs<'_> = &[("__name__", "resource.cpu usage"), ("job.näme", "test\njob🚀")];
    both(&[series(dots, ONE)], &Limits::default(), |sink, summary| {
        assert!(summary.is_complete());
        assert_eq!(sink.series, [Labels::from_pairs(dots.iter().copied())]);
    });
}

#[test]
fn invalid_label_sets_are_refused_and_the_others_written() {
    let limits = Limits {
        labels_per_series_max: 3,
        label_name_bytes_max: 10,
        label_value_bytes_max: 20,
        ..Default::default()
    };
    let long = "x".repeat(21);
    let cases: &[(Pairs<'_>, RejectReason)] = &[
        (&[], RejectReason::MissingMetricName),
        (&[("job", "x")], RejectReason::MissingMetricName),
        (&[("__name__", "")], RejectReason::MissingMetricName),
        (&[("__name__", "a"), ("", "x")], RejectReason::InvalidLabelName),
        (&[("__name__", "a"), ("b", "1"), ("b", "2")], RejectReason::DuplicateLabel),
        (&[("__name__", "a"), ("b", "1"), ("b", "")], RejectReason::DuplicateLabel),
        (&[("__name__", "a"), ("b", "1"), ("c", "2"), ("d", "")], RejectReason::LabelLimit),
        (&[("__name__", "a"), ("eleven_char", "1")], RejectReason::LabelNameTooLong),
        (&[("__name__", "a"), ("b", &long)], RejectReason::LabelValueTooLong),
    ];
    for &(labels, reason) in cases {
        let two: &[(i64, f64)] = &[(1, 1.0), (2, 2.0)];
        both(&[series(labels, two), series(UP, ONE)], &limits, |sink, summary| {
            assert_eq!(summary.outcome.rejected, [(reason, 2)].into(), "{labels:?}");
            assert_eq!(sink.series, [Labels::from_pairs(UP.iter().copied())]);
            assert_eq!(summary.outcome.samples, 1);
            assert_eq!((summary.n_samples_received, summary.series_touched), (3, 1));
        });
    }
}

#[test]
fn labels_that_are_no_utf8_are_refused() {
    let good = "GOODVALUE";
    for (read, body) in [
        (
            ingest_v1::read as Read,
            encode_v1(&[series(&[("__name__", "a"), ("b", good)], ONE), series(UP, ONE)]),
        ),
        (
            ingest_v2::read,
            encode_v2(&[series(&[("__name__", "a"), ("b", good)], ONE), series(UP, ONE)]),
        ),
    ] {
        let at = body.windows(good.len()).position(|w| w == good.as_bytes()).unwrap();
        let mut body = body;
        body[at] = 0xff;
        let mut sink = Recorder::default();
        let intake = run(&mut sink, read, &body, &Limits::default()).unwrap();
        assert_eq!(intake.refused.rejected, [(RejectReason::InvalidUtf8, 1)].into());
        assert_eq!(sink.series.len(), 1);
    }
}

#[test]
fn series_that_bring_nothing_are_refused() {
    both(&[series(UP, &[]), series(UP, ONE)], &Limits::default(), |_, summary| {
        assert_eq!(summary.outcome.rejected, [(RejectReason::NoSamples, 1)].into());
        assert_eq!(summary.outcome.samples, 1);
    });
}

/// As Prometheus sends them: a series with the sample, then one with the same labels and the exemplar.
#[test]
fn exemplars_may_come_as_a_series_of_their_own() {
    let exemplar: (Pairs<'_>, f64, i64) = (&[("trace_id", "t")], 1.5, 5);
    let alone = Series { labels: UP, exemplars: vec![exemplar], ..Default::default() };
    both(&[series(UP, ONE), alone.clone(), alone], &Limits::default(), |sink, summary| {
        assert!(summary.is_complete());
        assert_eq!((sink.series.len(), sink.samples.len(), sink.exemplars.len()), (1, 1, 2));
        assert_eq!((sink.exemplars[1].0, sink.exemplars[1].1.ts), (0, 5));
    });
}

/// The same 5 scrapes as Prometheus 3.5.3 sent them in both protocols: floats, native histograms, exemplars.
#[test]
fn what_prometheus_sends_is_accepted_and_the_same_in_both_protocols() {
    let captured = [
        &include_bytes!("../../proto/testdata/prometheus-3.5.3-v1.snappy")[..],
        include_bytes!("../../proto/testdata/prometheus-3.5.3-v2.snappy"),
        include_bytes!("../../proto/testdata/prometheus-3.5.3-v1-metadata.snappy"),
    ];
    let [one, two, descriptions] = captured
        .map(|body| nines_proto::decompress(body, 1 << 20, &mut Vec::new()).unwrap().to_vec());
    let mut sinks = [Recorder::default(), Recorder::default()];
    for (sink, (read, body)) in
        sinks.iter_mut().zip([(ingest_v1::read as Read, &one), (ingest_v2::read, &two)])
    {
        let intake = run(sink, read, body, &Limits::default()).unwrap();
        assert!(intake.refused.rejected.is_empty(), "{:?}", intake.refused);
        assert_eq!(
            (intake.n_series, intake.n_samples, intake.n_histograms, intake.n_exemplars),
            (135, 125, 5, 5)
        );
    }
    let [one, two] = sinks;
    assert_eq!(one.series, two.series);
    assert_eq!(one.samples, two.samples);
    assert_eq!(one.histograms, two.histograms);
    assert_eq!(one.exemplars, two.exemplars);
    let at =
        one.series.iter().position(|labels| labels.metric_name() == "kit_temp_celsius").unwrap();
    let of_kit: Vec<_> =
        one.samples.iter().filter(|s| s.0 == at).map(|s| (s.1, f64::from_bits(s.2))).collect();
    let first = 1_795_198_936_353;
    assert_eq!(of_kit, [0, 1, 2, 3, 4].map(|s| (first + 1000 * s, -1.25)));
    let celsius = ("kit_temp_celsius".to_owned(), metadata("gauge", "Temperature.", "celsius"));
    assert!(two.metadata.contains(&celsius));

    let mut sink = Recorder::default();
    let intake = run(&mut sink, ingest_v1::read, &descriptions, &Limits::default()).unwrap();
    assert_eq!((sink.metadata.len(), intake.n_metadata), (250, 250));
    assert!(sink.metadata.contains(&celsius) && intake.refused.rejected.is_empty());
}

#[test]
fn exemplars_go_to_their_series_or_are_refused_with_the_samples_kept() {
    let (exactly, over) = ("ä".repeat(120), "ä".repeat(121));
    let with = |exemplars| Series { exemplars, ..series(UP, ONE) };
    let long: Pairs<'_> = &[("trace_id", &exactly)];
    both(
        &[with(vec![(long, 0.5, 7), (&[], f64::INFINITY, 8)])],
        &Limits::default(),
        |sink, summary| {
            assert!(summary.is_complete());
            let labels = Labels::from_pairs(long.iter().copied());
            assert_eq!(sink.exemplars[0], (0, Exemplar { labels, value: 0.5, ts: 7 }));
            assert_eq!(sink.exemplars[1].1.value, f64::INFINITY);
        },
    );
    let bad: [Pairs<'_>; 3] = [&[("trace_id", &over)], &[("", "x")], &[("a", "1"), ("a", "2")]];
    for labels in bad {
        both(&[with(vec![(labels, 0.5, 7)])], &Limits::default(), |sink, summary| {
            assert_eq!(summary.outcome.rejected, [(RejectReason::InvalidExemplar, 1)].into());
            assert_eq!((sink.samples.len(), sink.exemplars.len()), (1, 0));
            let first = &summary.outcome.rejections[0];
            assert_eq!((first.ts, first.series.as_ref()), (Some(7), Some(&sink.series[0])));
        });
    }
}

#[test]
fn histograms_are_written_or_refused_for_their_reason() {
    let bad = v2::Histogram { count: Some(v2::Count::Int(99)), timestamp: 77, ..usual_histogram() };
    let mixed = v2::Histogram { positive_counts: vec![1.0], ..usual_histogram() };
    let huge = v2::Histogram { custom_values: vec![1.0; 40_000], ..usual_histogram() };
    let histograms = |histograms| Series { labels: UP, histograms, ..Default::default() };
    both(
        &[histograms(vec![usual_histogram(), bad.clone()])],
        &Limits::default(),
        |sink, summary| {
            assert_eq!(summary.outcome.rejected, [(RejectReason::InvalidHistogram, 1)].into());
            let first = &summary.outcome.rejections[0];
            assert_eq!(
                first.detail,
                "histogram: the buckets hold 27 observations, but the count is 99"
            );
            assert_eq!(first.ts, Some(77));
            let (series, ts, stored) = &sink.histograms[0];
            assert_eq!((*series, *ts, stored.count(), stored.sum), (0, 1000, 27.0, 12.5));
            assert_eq!(sink.histograms.len(), 1);
        },
    );
    both(&[histograms(vec![mixed, huge, bad])], &Limits::default(), |sink, summary| {
        assert_eq!(summary.outcome.rejected, [(RejectReason::InvalidHistogram, 3)].into());
        assert!(sink.series.is_empty(), "nothing valid came for the series");
    });
}

#[test]
fn float_histograms_hints_and_fine_schemas_are_kept() {
    let float = v2::Histogram {
        count: Some(v2::Count::Float(3.5)),
        zero_count: Some(v2::ZeroCount::Float(0.5)),
        schema: 9,
        positive_spans: vec![v2::BucketSpan { offset: 1, length: 2 }],
        positive_counts: vec![1.0, 2.0],
        reset_hint: 3,
        timestamp: 5,
        ..Default::default()
    };
    let one = Series { labels: UP, histograms: vec![float], ..Default::default() };
    both(&[one], &Limits::default(), |sink, _| {
        use nines_storage::model::{Counts, ResetHint};
        let stored = &sink.histograms[0].2;
        let counts =
            Counts::Float { count: 3.5, zero_count: 0.5, positive: vec![3.0], negative: vec![] };
        assert_eq!(
            (stored.schema, stored.reset_hint, &stored.counts),
            (8, ResetHint::Gauge, &counts)
        );
    });
}

#[test]
fn start_timestamps_come_from_the_sample_or_its_series() {
    let mut request = request_v2(&[series(UP, &[(1, 1.0), (2, 2.0)])], &[""]);
    request.timeseries[0].samples[1].start_timestamp = 500;
    request.timeseries[0].created_timestamp = 400;
    request.timeseries[0].histograms = vec![usual_histogram()];
    let mut sink = Recorder::default();
    run(
        &mut sink,
        ingest_v2::read,
        &nines_proto::Message::encode_to_vec(&request),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(sink.samples.iter().map(|s| s.3).collect::<Vec<_>>(), [400, 500]);
    assert_eq!(sink.histograms[0].2.start_ts, 400);
}

#[test]
fn wrong_symbol_references_cost_only_their_series() {
    let wrong: [&dyn Fn(&mut v2::TimeSeries); 5] = [
        &|s| s.labels_refs = vec![1, 2, 1],
        &|s| s.labels_refs = vec![1, 4_000_000_000],
        &|s| s.metadata = Some(v2::Metadata { r#type: 1, help_ref: 99, unit_ref: 0 }),
        &|s| s.metadata = Some(v2::Metadata { r#type: 1, help_ref: 0, unit_ref: 99 }),
        &|s| s.labels_refs = vec![1, 5],
    ];
    for change in wrong {
        let mut request = request_v2(&[series(UP, ONE), series(&[("__name__", "b")], ONE)], &[""]);
        request.symbols.truncate(5);
        request.timeseries[1].labels_refs = vec![1, 2];
        change(&mut request.timeseries[0]);
        let mut sink = Recorder::default();
        let body = nines_proto::Message::encode_to_vec(&request);
        let intake = run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
        assert_eq!(intake.refused.rejected, [(RejectReason::InvalidSymbolRef, 1)].into());
        assert_eq!(sink.series, [Labels::from_pairs([("__name__", "up")])]);
    }
    // Of an exemplar: the sample stays.
    for refs in [vec![7, 8], vec![1]] {
        let mut request = request_v2(&[series(UP, ONE)], &[""]);
        request.timeseries[0].exemplars =
            vec![v2::Exemplar { labels_refs: refs, value: 1.0, timestamp: 1 }];
        let mut sink = Recorder::default();
        let body = nines_proto::Message::encode_to_vec(&request);
        let intake = run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
        assert_eq!(intake.refused.rejected, [(RejectReason::InvalidSymbolRef, 1)].into());
        assert_eq!((sink.samples.len(), sink.exemplars.len()), (1, 0));
    }
    // No symbols at all.
    let mut request = request_v2(&[series(UP, ONE)], &[""]);
    request.symbols.clear();
    let body = nines_proto::Message::encode_to_vec(&request);
    let intake = run(&mut Recorder::default(), ingest_v2::read, &body, &Limits::default()).unwrap();
    assert_eq!(intake.refused.rejected, [(RejectReason::InvalidSymbolRef, 1)].into());
}

fn metadata(metric_type: &str, help: &str, unit: &str) -> Metadata {
    Metadata { metric_type: metric_type.into(), help: help.into(), unit: unit.into() }
}

#[test]
fn v2_metadata_is_passed_on_once_per_metric_and_needs_no_samples() {
    let names = ["h_bucket", "h_sum", "requests_total", "requests_total"];
    let labels: Vec<[(&str, &str); 2]> = names
        .iter()
        .enumerate()
        .map(|(i, n)| [("__name__", *n), ("i", ["0", "1", "2", "3"][i])])
        .collect();
    let list: Vec<Series<'_>> =
        labels.iter().map(|l| series(l, if l[1].1 == "3" { &[] } else { ONE })).collect();
    let mut request = request_v2(&list, &["", "Help.", "seconds"]);
    for (s, r#type) in request.timeseries.iter_mut().zip([3, 3, 1, 1]) {
        s.metadata =
            Some(v2::Metadata { r#type, help_ref: 1, unit_ref: if r#type == 3 { 2 } else { 0 } });
    }
    let mut sink = Recorder::default();
    let body = nines_proto::Message::encode_to_vec(&request);
    for _ in 0..2 {
        sink.metadata.clear();
        let intake = run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
        assert!(intake.refused.rejected.is_empty());
        // Both series of the histogram name their family.
        let h = ("h".to_owned(), metadata("histogram", "Help.", "seconds"));
        let requests = ("requests_total".to_owned(), metadata("counter", "Help.", ""));
        assert_eq!(sink.metadata, [h.clone(), h, requests]);
    }
    assert_eq!(sink.series.len(), 3, "metadata alone makes no series");
    // What the store holds is not judged again, in either protocol.
    sink.remembers_metadata = true;
    sink.metadata.clear();
    let told = v1::MetricMetadata {
        r#type: 1,
        metric_family_name: "requests_total".into(),
        help: "Help.".into(),
        unit: String::new(),
    };
    let one = v1::WriteRequest { timeseries: vec![], metadata: vec![told] };
    let one = nines_proto::Message::encode_to_vec(&one);
    for (read, body, n) in [(ingest_v2::read as Read, &body, 3), (ingest_v1::read, &one, 1)] {
        let intake = run(&mut sink, read, body, &Limits::default()).unwrap();
        assert_eq!((intake.n_metadata, sink.metadata.len()), (n, 0));
    }
    // Another text, another type, another metric.
    request.symbols[1] = "Other help.".into();
    request.timeseries[2].metadata = Some(v2::Metadata { r#type: 2, help_ref: 1, unit_ref: 0 });
    let body = nines_proto::Message::encode_to_vec(&request);
    run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
    let words: Vec<&str> = sink.metadata.iter().map(|(_, m)| m.metric_type.as_str()).collect();
    assert_eq!(words, ["histogram", "gauge", "counter"]);
    // Labels must be right even if there is nothing but metadata.
    let mut request = request_v2(&[series(&[("job", "x")], &[])], &[""]);
    request.timeseries[0].metadata = Some(v2::Metadata { r#type: 1, help_ref: 0, unit_ref: 0 });
    let body = nines_proto::Message::encode_to_vec(&request);
    let intake = run(&mut sink, ingest_v2::read, &body, &Limits::default()).unwrap();
    assert_eq!(intake.refused.rejected, [(RejectReason::MissingMetricName, 1)].into());
}

#[test]
fn v1_metadata_is_passed_on_or_refused() {
    let one = |r#type, name: &str, help: String| v1::MetricMetadata {
        r#type,
        metric_family_name: name.into(),
        help,
        unit: String::new(),
    };
    let list = vec![
        one(2, "up", "Is up.".into()),
        one(77, "x", String::new()),
        one(1, "", String::new()),
        one(1, "y", "z".repeat(70_000)),
    ];
    let request = v1::WriteRequest { timeseries: vec![], metadata: list };
    let mut sink = Recorder::default();
    let body = nines_proto::Message::encode_to_vec(&request);
    let intake = run(&mut sink, ingest_v1::read, &body, &Limits::default()).unwrap();
    let up = ("up".to_owned(), metadata("gauge", "Is up.", ""));
    assert_eq!(sink.metadata, [up, ("x".to_owned(), metadata("unknown", "", ""))]);
    assert_eq!(intake.refused.rejected, [(RejectReason::InvalidMetadata, 2)].into());
    assert_eq!(intake.n_metadata, 4);
}

#[test]
fn a_full_store_is_told_with_all_samples_that_it_cost() {
    let mut sink = Recorder { series_max: Some(1), ..Default::default() };
    let two: &[(i64, f64)] = &[(1, 1.0), (2, 2.0)];
    let body = encode_v1(&[series(UP, ONE), series(&[("__name__", "b")], two), series(UP, two)]);
    let intake = run(&mut sink, ingest_v1::read, &body, &Limits::default()).unwrap();
    assert_eq!(intake.refused.rejected, [(RejectReason::SeriesLimit, 2)].into());
    assert_eq!((sink.samples.len(), sink.n_resolved), (3, 2));
    assert_eq!(intake.refused.rejections[0].series, Some(Labels::from_pairs([("__name__", "b")])));
}

#[test]
fn too_much_in_one_request_is_an_error() {
    let limits =
        Limits { items_per_request_max: 3, symbols_per_request_max: 3, ..Default::default() };
    let body = encode_v1(&[series(UP, &[(1, 1.0), (2, 1.0), (3, 1.0)])]);
    let error = run(&mut Recorder::default(), ingest_v1::read, &body, &limits).err().unwrap();
    assert!(matches!(error, IngestError::TooMany { max: 3, .. }), "{error}");
    let error =
        run(&mut Recorder::default(), ingest_v2::read, &encode_v2(&[series(UP, ONE)]), &limits)
            .err()
            .unwrap();
    assert_eq!(error.to_string(), "more than 3 symbols in one request");
}

#[test]
fn broken_and_mistaken_bodies_are_errors() {
    let (one, two) = (encode_v1(&[series(UP, ONE)]), encode_v2(&[series(UP, ONE)]));
    for (read, body) in [
        (ingest_v1::read as Read, &one[..one.len() - 3]),
        (ingest_v2::read, &two[..two.len() - 3]),
        (ingest_v1::read, &two),
        (ingest_v2::read, &one),
    ] {
        let error = run(&mut Recorder::default(), read, body, &Limits::default()).err().unwrap();
        assert!(matches!(error, IngestError::Decode(_)), "{error}");
    }
    assert!(run(&mut Recorder::default(), ingest_v2::read, &[], &Limits::default()).is_ok());
}

#[test]
fn the_reply_names_counts_reasons_and_the_first_refusal() {
    let mut refused = AppendOutcome::default();
    let series = Some(Labels::from_pairs([("__name__", "up"), ("job", "a\nb")]));
    let mut reject = |reason, n, ts| {
        let detail = "has 1, got 2".to_owned();
        refused.reject(reason, n, || Rejection { reason, series: series.clone(), ts, detail });
    };
    reject(RejectReason::NoSamples, 1, None);
    let mut stored = AppendOutcome { samples: 7, ..Default::default() };
    stored.rejected.insert(RejectReason::DuplicateTimestamp, 2);
    let intake = Intake { n_samples: 10, refused, ..Default::default() };
    let summary = intake.complete(stored);
    assert!(!summary.is_complete());
    assert_eq!(
        summary.reply_text(),
        "wrote 7 of 10 samples, 0 of 0 histograms, 0 of 0 exemplars; refused 3: 1 no_samples, \
         2 duplicate_timestamp; first: has 1, got 2 in {__name__=\"up\", job=\"a\\nb\"}"
    );
    assert_eq!(summary.outcome.rejected_total(), 3);
}

#[test]
fn a_reply_is_one_line_of_limited_length() {
    let (name, value) = ("n\n".repeat(400), "ä🚀\n".repeat(900));
    let pairs = [("__name__", value.as_str()), (&name, "x")];
    let limits = Limits { labels_per_series_max: 1, ..Default::default() };
    both(&[series(&pairs, ONE)], &limits, |_, summary| {
        let text = summary.reply_text();
        assert!(text.len() <= 1024 && text.len() > 1000, "{}", text.len());
        assert!(!text.contains('\n'));
        assert!(
            text.contains("1 too_many_labels; first: more than 1 labels in {__name__="),
            "{text}"
        );
    });
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let limits = Limits::default();
    assert_eq!(
        (limits.labels_per_series_max, limits.label_name_bytes_max, limits.label_value_bytes_max),
        (64, 1024, 8192)
    );
    assert_eq!(limits.exemplar_chars_max, 128);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_ingest_panic(
        at in proptest::prelude::any::<proptest::sample::Index>(),
        replacement in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..6),
    ) {
        let labels: Pairs<'_> = &[("__name__", "a"), ("b", "ä"), ("c", "")];
        let full = Series {
            labels,
            samples: ONE,
            histograms: vec![usual_histogram()],
            exemplars: vec![(UP, 1.0, 2)],
        };
        for (read, mut body) in [
            (ingest_v1::read as Read, encode_v1(&[full.clone(), series(UP, ONE)])),
            (ingest_v2::read, encode_v2(&[full, series(UP, ONE)])),
        ] {
            let at = at.index(body.len());
            let end = body.len().min(at + replacement.len());
            body.splice(at..end, replacement.iter().copied());
            let mut sink = Recorder::default();
            if let Ok(intake) = run(&mut sink, read, &body, &Limits::default()) {
                let (written, received) = (sink.samples.len() as u64, intake.n_samples);
                proptest::prop_assert!(written <= received);
                let lost = received - written + intake.n_histograms - sink.histograms.len() as u64
                    + intake.n_exemplars - sink.exemplars.len() as u64;
                let summary = complete(&sink, intake);
                proptest::prop_assert!(lost == 0 || !summary.is_complete(), "lost {lost} in silence");
                proptest::prop_assert!(summary.reply_text().len() <= 1024);
            }
        }
    }
}
