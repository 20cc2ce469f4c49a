//! JSON as the Prometheus API writes it (`util/jsonutil/marshal.go`, `web/api/v1/json_codec.go`,
//! `promql/value.go`), straight into bytes: no tree in between, `resultType` before `result`.

use std::io::Write as _;

use nines_storage::model::{Bucket, Histogram, Labels};

use crate::promql::{MatrixSeries, QueryStats, SampleValue, Value, VectorSample};

/// Times and counts of a query, as `stats=all` shows them.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    /// Seconds of waiting for a free slot.
    pub queue_s: f64,
    /// What the engine says.
    pub query: QueryStats,
}

/// The body of a successful answer: `write_data` writes what stands behind `"data":`. The annotations are
/// already shortened by whoever made them.
pub fn success(
    warnings: &[String],
    infos: &[String],
    write_data: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(br#"{"status":"success","data":"#);
    write_data(&mut out);
    write_annotations(&mut out, "warnings", warnings);
    write_annotations(&mut out, "infos", infos);
    out.push(b'}');
    out
}

fn write_annotations(out: &mut Vec<u8>, key: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
    write_string_list(out, texts);
}

/// A list of strings.
pub fn write_string_list(out: &mut Vec<u8>, texts: &[impl AsRef<str>]) {
    out.push(b'[');
    for (i, text) in texts.iter().enumerate() {
        comma(out, i);
        write_string(out, text.as_ref());
    }
    out.push(b']');
}

/// Items of a list that are written before the clock is looked at again: of a matrix each may have 11,000 points.
const ITEMS_PER_LOOK: usize = 16;

/// The result of a query with its type, and its statistics when asked for.
pub fn write_query_data(out: &mut Vec<u8>, value: &Value, stats: Option<&Timings>) {
    write_query_data_while(out, value, stats, &|| true);
}

/// As [`write_query_data`], but stops early, with a text that must not be sent, when `go_on` says so.
pub fn write_query_data_while(
    out: &mut Vec<u8>,
    value: &Value,
    stats: Option<&Timings>,
    go_on: &dyn Fn() -> bool,
) {
    let kind = match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    };
    out.extend_from_slice(br#"{"resultType":""#);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(br#"","result":"#);
    match value {
        Value::Scalar { ts_ms, value } => {
            out.push(b'[');
            write_short_seconds(out, *ts_ms);
            out.extend_from_slice(b",\"");
            write_plain_float(out, *value);
            out.extend_from_slice(b"\"]");
        }
        Value::String { ts_ms, value } => {
            out.push(b'[');
            write_short_seconds(out, *ts_ms);
            out.push(b',');
            write_string(out, value);
            out.push(b']');
        }
        Value::Vector(samples) => write_list(out, samples, go_on, write_vector_sample),
        Value::Matrix(series) => write_list(out, series, go_on, write_matrix_series),
    }
    if let Some(stats) = stats {
        write_stats(out, stats);
    }
    out.push(b'}');
}

fn write_list<T>(
    out: &mut Vec<u8>,
    items: &[T],
    go_on: &dyn Fn() -> bool,
    write: fn(&mut Vec<u8>, &T),
) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i % ITEMS_PER_LOOK == 0 && !go_on() {
            return;
        }
        comma(out, i);
        write(out, item);
    }
    out.push(b']');
}

fn write_vector_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(br#","value":"#);
            write_point(out, sample.ts_ms, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(br#","histogram":"#);
            write_histogram_point(out, sample.ts_ms, histogram);
        }
    }
    out.push(b'}');
}

fn write_matrix_series(out: &mut Vec<u8>, series: &MatrixSeries) {
    out.extend_from_slice(br#"{"metric":"#);
    write_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(br#","values":["#);
        for (i, (ts_ms, value)) in series.floats.iter().enumerate() {
            comma(out, i);
            write_point(out, *ts_ms, *value);
        }
        out.push(b']');
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(br#","histograms":["#);
        for (i, (ts_ms, histogram)) in series.histograms.iter().enumerate() {
            comma(out, i);
            write_histogram_point(out, *ts_ms, histogram);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// `{"__name__":"up","job":"x"}`
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.raw_pairs().enumerate() {
        comma(out, i);
        write_utf8(out, name);
        out.push(b':');
        write_utf8(out, value);
    }
    out.push(b'}');
}

/// `[1717203600,"1"]`
fn write_point(out: &mut Vec<u8>, ts_ms: i64, value: f64) {
    out.push(b'[');
    write_seconds(out, ts_ms);
    out.extend_from_slice(b",\"");
    write_float(out, value);
    out.extend_from_slice(b"\"]");
}

/// `[1717203600,{"count":"3","sum":"1.5","buckets":[[0,"1","2","3"]]}]`, empty buckets left out.
fn write_histogram_point(out: &mut Vec<u8>, ts_ms: i64, histogram: &Histogram) {
    out.push(b'[');
    write_seconds(out, ts_ms);
    out.extend_from_slice(br#",{"count":""#);
    write_float(out, histogram.count());
    out.extend_from_slice(br#"","sum":""#);
    write_float(out, histogram.sum);
    out.push(b'"');
    let mut n = 0;
    for bucket in histogram.buckets().iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(if n == 0 { br#","buckets":[["#.as_slice() } else { b",[" });
        n += 1;
        out.push(boundary_rule(bucket));
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            write_float(out, number);
            out.push(b'"');
        }
        out.push(b']');
    }
    if n > 0 {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

/// The digit by which the API names which bounds belong to a bucket.
const fn boundary_rule(bucket: &Bucket) -> u8 {
    match (bucket.lower_inclusive, bucket.upper_inclusive) {
        (false, true) => b'0',
        (true, false) => b'1',
        (false, false) => b'2',
        (true, true) => b'3',
    }
}

fn write_stats(out: &mut Vec<u8>, stats: &Timings) {
    let &QueryStats { prepare_s, eval_s, sort_s, .. } = &stats.query;
    // Writing to a Vec does not fail.
    let _ = write!(
        out,
        r#","stats":{{"timings":{{"evalTotalTime":{:.9},"resultSortTime":{sort_s:.9},"queryPreparationTime":{prepare_s:.9},"innerEvalTime":{eval_s:.9},"execQueueTime":{:.9},"execTotalTime":{:.9}}},"samples":{{"#,
        prepare_s + eval_s + sort_s,
        stats.queue_s,
        prepare_s + eval_s + sort_s + stats.queue_s,
    );
    if let Some(steps) = &stats.query.samples_per_step {
        out.extend_from_slice(br#""totalQueryableSamplesPerStep":["#);
        for (i, (ts_ms, n)) in steps.iter().enumerate() {
            comma(out, i);
            out.push(b'[');
            write_short_seconds(out, *ts_ms);
            let _ = write!(out, ",{n}]");
        }
        out.extend_from_slice(b"],");
    }
    let _ = write!(
        out,
        r#""totalQueryableSamples":{},"peakSamples":{}}}}}"#,
        stats.query.samples_total, stats.query.samples_peak,
    );
}

/// A float as in vectors and matrices: without an exponent for `1e-6 <= |x| < 1e21`, else as Go's `e` form.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) {
        let start = out.len();
        let _ = write!(out, "{value:e}");
        // Go prints the sign of an exponent always, and two digits of it at least.
        if let Some(e) = out.iter().skip(start).position(|b| *b == b'e').map(|at| start + at) {
            let exponent = out.split_off(e + 1);
            let (sign, digits) = match exponent.strip_prefix(b"-") {
                Some(digits) => (b'-', digits),
                None => (b'+', exponent.as_slice()),
            };
            out.push(sign);
            if digits.len() < 2 {
                out.push(b'0');
            }
            out.extend_from_slice(digits);
        }
        return;
    }
    write_plain_float(out, value);
}

/// A float as in scalars: never with an exponent.
pub fn write_plain_float(out: &mut Vec<u8>, value: f64) {
    /// Integers below this are printed as such.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.trunc() == value
        && value.abs() < EXACT
        && !(value == 0.0 && value.is_sign_negative())
    {
        #[allow(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
        write_int(out, value as i64);
    } else {
        let _ = write!(out, "{value}");
    }
}

fn write_int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Milliseconds as seconds with three decimals where there are any (`jsonutil.MarshalTimestamp`).
pub fn write_seconds(out: &mut Vec<u8>, ts_ms: i64) {
    if ts_ms < 0 {
        out.push(b'-');
    }
    let size = ts_ms.unsigned_abs();
    write_int(out, i64::try_from(size / 1000).unwrap_or(i64::MAX));
    let fraction = size % 1000;
    if fraction != 0 {
        let _ = write!(out, ".{fraction:03}");
    }
}

/// As [`write_seconds`] without trailing zeros: the form of scalars and strings.
fn write_short_seconds(out: &mut Vec<u8>, ts_ms: i64) {
    write_seconds(out, ts_ms);
    if ts_ms % 1000 != 0 {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// A JSON string: raw UTF-8, only what JSON demands is escaped.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_utf8(out, text.as_bytes());
}

/// As [`write_string`], for bytes that are UTF-8.
fn write_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    // Without an early exit, so that it compiles to vector compares: nearly no text needs an escape.
    if !bytes.iter().fold(false, |any, b| any | matches!(b, 0..=0x1f | b'"' | b'\\')) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => &[],
            _ => continue,
        };
        out.extend_from_slice(bytes.get(plain_from..at).unwrap_or_default());
        plain_from = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(bytes.get(plain_from..).unwrap_or_default());
    out.push(b'"');
}

/// A comma before all but the first.
pub fn comma(out: &mut Vec<u8>, i: usize) {
    if i > 0 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use nines_storage::model::{Counts, ResetHint, Span};

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_in_vectors_are_those_of_prometheus() {
        for (value, expected) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1e-320, "1e-320"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (1e21, "1e+21"),
            (-1.5e21, "-1.5e+21"),
            (1e-7, "1e-07"),
            (1e-6, "0.000001"),
            (1.5e-10, "1.5e-10"),
            (1e20, "100000000000000000000"),
            (-42.0, "-42"),
            (9_007_199_254_740_993.0, "9007199254740992"),
        ] {
            assert_eq!(text(|out| write_float(out, value)), expected);
        }
    }

    #[test]
    fn scalars_have_no_exponent() {
        for (value, expected) in
            [(1e-7, "0.0000001"), (1e21, "1000000000000000000000"), (-0.0, "-0"), (300.0, "300")]
        {
            assert_eq!(text(|out| write_plain_float(out, value)), expected);
        }
    }

    #[test]
    fn times_are_seconds() {
        for (ms, long, short) in [
            (1_717_203_600_000, "1717203600", "1717203600"),
            (1_717_203_600_781, "1717203600.781", "1717203600.781"),
            (1_500, "1.500", "1.5"),
            (-1_500, "-1.500", "-1.5"),
            (7, "0.007", "0.007"),
            (0, "0", "0"),
            (i64::MIN, "-9223372036854775.808", "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| write_seconds(out, ms)), long);
            assert_eq!(text(|out| write_short_seconds(out, ms)), short);
        }
    }

    #[test]
    fn strings_are_raw_utf8_with_json_escapes() {
        assert_eq!(
            text(|out| write_string(out, "<a href=\"x\">&\u{2028}zürich\\\n\u{1}🌍")),
            "\"<a href=\\\"x\\\">&\u{2028}zürich\\\\\\n\\u0001🌍\""
        );
    }

    #[test]
    fn a_vector_has_its_type_first() {
        let labels = Labels::from_pairs([("job", "api"), ("__name__", "up")]);
        let sample =
            VectorSample { labels, ts_ms: 1_717_203_600_000, value: SampleValue::Float(1.0) };
        let value = Value::Vector(vec![sample]);
        assert_eq!(
            text(|out| *out = success(&[], &[], |out| write_query_data(out, &value, None))),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"api"},"value":[1717203600,"1"]}]}}"#
        );
    }

    #[test]
    fn a_scalar_and_a_string() {
        let scalar = Value::Scalar { ts_ms: 4000, value: 2.0 };
        assert_eq!(
            text(|out| write_query_data(out, &scalar, None)),
            r#"{"resultType":"scalar","result":[4,"2"]}"#
        );
        let string = Value::String { ts_ms: 1500, value: "hello \"w\" ü".to_owned() };
        assert_eq!(
            text(|out| write_query_data(out, &string, None)),
            r#"{"resultType":"string","result":[1.5,"hello \"w\" ü"]}"#
        );
    }

    #[test]
    fn a_matrix_may_carry_both_kinds() {
        let histogram = Histogram {
            schema: 0,
            zero_threshold: 0.001,
            sum: 18.4,
            reset_hint: ResetHint::Unknown,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            custom_values: vec![],
            counts: Counts::Integer {
                count: 9,
                zero_count: 2,
                positive: vec![1, 1, 1],
                negative: vec![1],
            },
            start_ts: 0,
        };
        let series = MatrixSeries {
            labels: Labels::empty(),
            floats: vec![(1000, 27.0)],
            histograms: vec![(2000, Arc::new(histogram))],
        };
        assert_eq!(
            text(|out| write_query_data(out, &Value::Matrix(vec![series]), None)),
            concat!(
                r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"27"]],"histograms":[[2,{"count":"9","sum":"18.4","buckets":["#,
                r#"[1,"-1","-0.5","1"],[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"1","2","2"],[0,"4","8","3"]]}]]}]}"#
            )
        );
    }

    #[test]
    fn annotations_follow_the_data() {
        let (warnings, infos) = (["a \"w\"".to_owned(), "b".to_owned()], ["i".to_owned()]);
        assert_eq!(
            text(|out| *out = success(&warnings, &infos, |out| out.extend_from_slice(b"[]"))),
            r#"{"status":"success","data":[],"warnings":["a \"w\"","b"],"infos":["i"]}"#
        );
    }

    #[test]
    fn statistics_have_prometheus_keys() {
        let query =
            QueryStats { samples_total: 4, samples_peak: 3, eval_s: 0.5, ..QueryStats::default() };
        let stats = Timings { queue_s: 0.0, query };
        let body = text(|out| write_query_data(out, &Value::Vector(vec![]), Some(&stats)));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["stats"]["samples"]["totalQueryableSamples"], 4);
        assert_eq!(json["stats"]["samples"]["peakSamples"], 3);
        assert!(json["stats"]["samples"]["totalQueryableSamplesPerStep"].is_null());
        assert_eq!(json["stats"]["timings"]["evalTotalTime"], 0.5);
        for key in [
            "resultSortTime",
            "queryPreparationTime",
            "innerEvalTime",
            "execQueueTime",
            "execTotalTime",
        ] {
            assert!(json["stats"]["timings"][key].is_number(), "{key}");
        }
    }

    #[test]
    fn writing_ends_when_it_may_not_go_on() {
        let sample =
            VectorSample { labels: Labels::empty(), ts_ms: 0, value: SampleValue::Float(1.0) };
        let value = Value::Vector(vec![sample; 10 * ITEMS_PER_LOOK]);
        let looks = std::cell::Cell::new(0);
        let go_on = || {
            looks.set(looks.get() + 1);
            looks.get() <= 2
        };
        let body = text(|out| write_query_data_while(out, &value, None, &go_on));
        assert_eq!(body.matches("value").count(), 2 * ITEMS_PER_LOOK);
    }

    #[test]
    fn samples_may_be_told_step_by_step() {
        let samples_per_step = Some(vec![(1_500, 3), (2_000, 0)]);
        let query = QueryStats { samples_total: 3, samples_per_step, ..QueryStats::default() };
        let stats = Timings { queue_s: 0.0, query };
        let body = text(|out| write_query_data(out, &Value::Vector(vec![]), Some(&stats)));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        let expected = serde_json::json!([[1.5, 3], [2, 0]]);
        assert_eq!(json["stats"]["samples"]["totalQueryableSamplesPerStep"], expected);
    }
}
