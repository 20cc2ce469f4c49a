//! What is asked of both, and what a real Prometheus answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::data::{DAY_MS, HOUR_MS, KINDS, MINUTE_MS, SECOND_MS, Sample, Year, day, labels};
use crate::peers::Prometheus;
use crate::server::{WRITE_HEADERS, encode, request};

/// What is asked of a range; `timestamp` stands for plain selectors as well, which have none.
pub const FUNCTIONS: [&str; 25] = [
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "first_over_time",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "quantile_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "timestamp",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

/// A range as it is written, its length, and the times at whose windows one looks.
struct Range(&'static str, i64, &'static [i64]);

/// Windows of whole hours: also where samples are gone, rows tell their values.
const ALIGNED: [Range; 12] = [
    Range("1h", HOUR_MS, &[day(60) + HOUR_MS, day(91), day(151) + 7 * HOUR_MS, day(366)]),
    Range(
        "3h",
        3 * HOUR_MS,
        &[day(40) + 8 * HOUR_MS, day(60) + HOUR_MS, day(91), day(339), day(251)],
    ),
    Range("6h", 6 * HOUR_MS, &[day(81), day(152), day(251) + HOUR_MS, day(366)]),
    Range("1d", DAY_MS, &[day(61), day(77), day(91) + HOUR_MS, day(193), day(224), day(366)]),
    Range("3d", 3 * DAY_MS, &[day(61), day(84) + 5 * HOUR_MS, day(153), day(343)]),
    Range("1w", 7 * DAY_MS, &[day(77) + HOUR_MS, day(93), day(194), day(253)]),
    Range("30d", 30 * DAY_MS, &[day(31), day(91), day(366) - 5 * HOUR_MS]),
    // Where samples come further and further apart.
    Range(
        "2h",
        2 * HOUR_MS,
        &[day(121), day(121) + HOUR_MS, day(121) + 9 * HOUR_MS, day(335) + 9 * HOUR_MS, day(347)],
    ),
    Range(
        "12h",
        12 * HOUR_MS,
        &[day(121) + 7 * HOUR_MS, day(122), day(336), day(346) + 12 * HOUR_MS],
    ),
    Range("2d", 2 * DAY_MS, &[day(122), day(122) + 23 * HOUR_MS, day(337), day(348)]),
    Range("90d", 90 * DAY_MS, &[day(91), day(366)]),
    Range("365d", 365 * DAY_MS, &[day(366) - 11 * HOUR_MS, day(366)]),
];

/// Windows that no row fits.
const RAGGED: [Range; 10] = [
    Range(
        "5m",
        5 * MINUTE_MS,
        &[day(60), day(60) + 35 * MINUTE_MS, day(151), day(340) + 5 * MINUTE_MS],
    ),
    Range("15m", 15 * MINUTE_MS, &[day(60) + 15 * MINUTE_MS, day(91) + 45 * MINUTE_MS, day(366)]),
    Range("1m40s", 100 * SECOND_MS, &[day(60) + 1_234, day(151) + 777_777]),
    Range(
        "10m",
        10 * MINUTE_MS,
        &[day(121) - 95 * MINUTE_MS, day(121) + 5 * MINUTE_MS, day(346) + 10 * MINUTE_MS, day(347)],
    ),
    Range("55m", 55 * MINUTE_MS, &[day(121) + 5 * MINUTE_MS, day(346) + 55 * MINUTE_MS, day(347)]),
    Range("26h30m", 26 * HOUR_MS + 30 * MINUTE_MS, &[day(61) + 1, day(92), day(339) + 12_345]),
    Range("1d", DAY_MS, &[day(77) + 1, day(192) + 1_234_567, day(350) - 1]),
    Range("7d1ms", 7 * DAY_MS + 1, &[day(84), day(345) + MINUTE_MS]),
    Range("30d", 30 * DAY_MS, &[day(91) + 3_599_999, day(366) - 7]),
    Range("365d", 365 * DAY_MS, &[day(366) - 98_765_432, day(366) + 17 * MINUTE_MS]),
];

/// One query.
#[derive(Debug, Clone)]
pub struct Question {
    pub function: &'static str,
    pub text: String,
    pub range_ms: i64,
    pub at_ms: i64,
    /// Whether its window begins and ends with an hour.
    pub aligned: bool,
    /// Whether its answer is in the file.
    pub recorded: bool,
}

fn texts(function: &str, range: &str) -> Vec<String> {
    let of = |kind| format!("{function}(m_total{{kind=\"{kind}\"}}[{range}])");
    match function {
        "absent_over_time" => ["gauge", "late", "second"].map(of).to_vec(),
        "quantile_over_time" => vec![format!("{function}(0.9, m_total[{range}])")],
        // From 3.6 on a NaN makes it NaN, as in nines.
        "mad_over_time" => vec![format!("{function}(m_total{{kind!~\"gauge|mixed\"}}[{range}])")],
        "timestamp" => vec!["m_total".to_owned(), "timestamp(m_total)".to_owned()],
        _ => vec![format!("{function}(m_total[{range}])")],
    }
}

/// All questions.
pub fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for (aligned, ranges) in [(true, &ALIGNED[..]), (false, &RAGGED[..])] {
        for Range(range, range_ms, times) in ranges {
            for (f, function) in FUNCTIONS.into_iter().enumerate() {
                for (t, at_ms) in times.iter().enumerate() {
                    let recorded = t == f % times.len();
                    all.extend(texts(function, range).into_iter().map(|text| Question {
                        function,
                        text,
                        range_ms: *range_ms,
                        at_ms: *at_ms,
                        aligned,
                        recorded,
                    }));
                }
            }
        }
    }
    all
}

/// Values by `kind`.
pub type Answer = BTreeMap<String, f64>;

/// Samples of a request at most.
const REQUEST_SAMPLES: usize = 5_000;

/// A Prometheus that takes samples of any age.
pub fn start(program: &Path, dir: &Path) -> Prometheus {
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=promql-experimental-functions",
        "--storage.tsdb.retention.time=100y",
        // All of it stays in one head.
        "--storage.tsdb.min-block-duration=1000d",
        "--storage.tsdb.max-block-duration=1000d",
    ];
    let config = "storage: {tsdb: {out_of_order_time_window: 1000d}}\n";
    Prometheus::start(program, dir, config, &flags)
}

/// Sends samples in the order of time.
pub fn send(prometheus: &Prometheus, samples: &[Sample]) {
    for part in samples.chunks(REQUEST_SAMPLES) {
        let body = snap::raw::Encoder::new().compress_vec(&message(part)).unwrap();
        let reply = request(prometheus.port, "POST", "/api/v1/write", WRITE_HEADERS, &body);
        let reply = reply.unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

/// A request of remote write. Encoders leave out what is 0, and for them -0 is.
fn message(samples: &[Sample]) -> Vec<u8> {
    let mut all = Vec::new();
    for kind in KINDS {
        let mut series = Vec::new();
        for (name, value) in labels(kind) {
            let mut label = Vec::new();
            push_bytes(&mut label, 1, name.as_bytes());
            push_bytes(&mut label, 2, value.as_bytes());
            push_bytes(&mut series, 1, &label);
        }
        let n = series.len();
        for (_, ts, value) in samples.iter().filter(|sample| sample.0 == kind) {
            let mut sample = vec![1 << 3 | 1];
            sample.extend(value.to_le_bytes());
            sample.push(2 << 3);
            push_varint(&mut sample, ts.cast_unsigned());
            push_bytes(&mut series, 2, &sample);
        }
        if series.len() > n {
            push_bytes(&mut all, 1, &series);
        }
    }
    all
}

fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// The series of its answer to a request; `None` where it does not know the function.
fn series(prometheus: &Prometheus, path: &str) -> Option<Vec<Value>> {
    let reply = request(prometheus.port, "GET", path, &[], &[]).unwrap();
    if reply.status == 400 && reply.text().contains("unknown function") {
        return None;
    }
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    Some(reply.json()["data"]["result"].as_array().unwrap().clone())
}

fn kind_of(series: &Value) -> String {
    series["metric"]["kind"].as_str().unwrap().to_owned()
}

fn float(text: &Value) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

/// Its answer; `None` where it does not know the function.
pub fn ask(prometheus: &Prometheus, question: &Question) -> Option<Answer> {
    let (query, time) = (encode(&question.text), seconds(question.at_ms));
    let path = format!("/api/v1/query?query={query}&time={time}");
    let all = series(prometheus, &path)?;
    Some(all.iter().map(|one| (kind_of(one), float(&one["value"][1]))).collect())
}

/// A query of a range: its text, beginning, end and step.
pub type RangeQuestion = (&'static str, i64, i64, i64);

pub const RANGE_QUESTIONS: [RangeQuestion; 29] = [
    ("m_total", day(1), day(366), 12 * HOUR_MS),
    ("rate(m_total[1h])", day(58), day(95), 3 * HOUR_MS),
    ("increase(m_total[1d])", day(1), day(366), DAY_MS),
    ("increase(m_total[30d])", day(31), day(366), DAY_MS),
    ("count_over_time(m_total[1d])", day(200), day(300) + 7, DAY_MS),
    ("max_over_time(m_total[1w])", day(7), day(366), DAY_MS),
    ("changes(m_total[6h])", day(85) + HOUR_MS, day(130), 6 * HOUR_MS),
    ("idelta(m_total[3h])", day(145), day(260), 7 * HOUR_MS),
    ("resets(m_total[30d])", day(30), day(366), 5 * DAY_MS + 7 * HOUR_MS),
    // Where samples come further and further apart.
    ("m_total", day(120) + 22 * HOUR_MS, day(121) + 4 * HOUR_MS, 5 * MINUTE_MS),
    ("m_total", day(346), day(347), 15 * MINUTE_MS),
    ("rate(m_total[5m])", day(120) + 22 * HOUR_MS, day(121), 5 * MINUTE_MS),
    ("increase(m_total[5m])", day(346), day(347), 5 * MINUTE_MS),
    ("irate(m_total[1h])", day(119), day(125), HOUR_MS),
    ("delta(m_total[6h])", day(119), day(125), 6 * HOUR_MS),
    ("sum_over_time(m_total{kind!=\"infinite\"}[1d])", day(118), day(366), DAY_MS),
    ("min_over_time(m_total[3h])", day(119), day(125), HOUR_MS),
    ("last_over_time(m_total[2h])", day(119), day(125), HOUR_MS),
    ("present_over_time(m_total[1h])", day(334), day(350), HOUR_MS),
    ("rate(m_total[90d])", day(90), day(366), 6 * DAY_MS),
    // Moved in time, and asked of again.
    ("m_total offset 7h", day(119), day(126), 3 * HOUR_MS),
    ("increase(m_total[1d] offset 1d)", day(100), day(366), DAY_MS),
    ("rate(m_total[3h] @ 1714528800)", day(119), day(121), 9 * HOUR_MS),
    ("resets(m_total[1d] @ end() offset -1d)", day(119), day(122), 12 * HOUR_MS),
    ("max_over_time(m_total[3d:1h])", day(120), day(125), 5 * HOUR_MS),
    ("sum_over_time(increase(m_total[1h])[1d:1h])", day(119), day(124), 6 * HOUR_MS),
    ("max_over_time(rate(m_total[5m])[1h:5m])", day(346), day(347), HOUR_MS),
    ("last_over_time(changes(m_total[1d])[30d:1d])", day(130), day(366), 30 * DAY_MS),
    ("count_over_time(m_total[30d:6h])", day(40), day(366), 30 * DAY_MS),
];

/// Values by `kind` and time.
pub type RangeAnswer = BTreeMap<(String, i64), f64>;

pub fn ask_range(prometheus: &Prometheus, question: &RangeQuestion) -> RangeAnswer {
    let (text, start, end, step) = question;
    let times = format!("start={}&end={}&step={}", seconds(*start), seconds(*end), step / 1000);
    let path = format!("/api/v1/query_range?query={}&{times}", encode(text));
    let all = series(prometheus, &path).unwrap();
    let points = all.iter().flat_map(|one| {
        one["values"].as_array().unwrap().iter().map(|point| {
            let ts = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
            ((kind_of(one), ts), float(&point[1]))
        })
    });
    points.collect()
}

/// What `first_over_time` is by the samples themselves: it is younger than the oldest Prometheus that will do.
pub fn first_over_time(year: &Year, question: &Question) -> Answer {
    let inside = |ts: i64| question.at_ms - question.range_ms < ts && ts <= question.at_ms;
    let mut first: BTreeMap<String, (i64, f64)> = BTreeMap::new();
    for (kind, ts, value) in year.known.iter().chain(&year.late) {
        if inside(*ts) && !nines_storage::model::is_stale(*value) {
            let first = first.entry((*kind).to_owned()).or_insert((*ts, *value));
            if *ts < first.0 {
                *first = (*ts, *value);
            }
        }
    }
    first.into_iter().map(|(kind, (_, value))| (kind, value)).collect()
}

/// The answers of a file to the questions whose answers are recorded: a line has the bits of the values of all
/// kinds, without the zeros at their ends, `-` for none.
pub fn record<'a>(answers: impl Iterator<Item = (&'a Question, &'a Answer)>) -> String {
    let mut text = String::new();
    for (question, answer) in answers.filter(|(question, _)| is_recorded(question)) {
        write!(text, "{} =", key(question)).unwrap();
        for kind in KINDS {
            match answer.get(kind) {
                None => text.push_str(" -"),
                Some(value) if value.is_nan() => text.push_str(" NaN"),
                Some(value) => {
                    let bits = format!("{:016x}", value.to_bits());
                    let bits = bits.trim_end_matches('0');
                    write!(text, " {}", if bits.is_empty() { "0" } else { bits }).unwrap();
                }
            }
        }
        text.push('\n');
    }
    text
}

/// What `text`, written by [`record`], answers to recorded questions.
pub fn recorded(text: &str, questions: Vec<Question>) -> Vec<(Question, Answer)> {
    let lines: BTreeMap<&str, &str> =
        text.lines().map(|line| line.split_once(" = ").unwrap()).collect();
    let value = |bits: &str| match bits {
        "NaN" => f64::NAN,
        _ => f64::from_bits(u64::from_str_radix(&format!("{bits:0<16}"), 16).unwrap()),
    };
    let answer = |question: Question| {
        let key = key(&question);
        let values = lines[key.as_str()].split(' ');
        let told = KINDS.iter().zip(values).filter(|(_, bits)| *bits != "-");
        let told = told.map(|(kind, bits)| ((*kind).to_owned(), value(bits))).collect();
        (question, told)
    };
    questions.into_iter().filter(is_recorded).map(answer).collect()
}

fn is_recorded(question: &Question) -> bool {
    question.recorded && question.function != "first_over_time"
}

fn key(question: &Question) -> String {
    format!("{} @ {}", question.text, question.at_ms)
}
