//! A year of samples, rolled up, against a real Prometheus that has the samples: every function over windows of
//! minutes to the whole year, before and after the samples are gone. What differs without a word is an error.
//!
//! Some of its answers are in `year/answers.txt`: they are compared where there is no Prometheus.

mod data;
mod oracle;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nines::promql::QueryResult;
use nines_storage::model::Labels;
use nines_storage::{Db, Store, StoreOptions};

use crate::peers::{left_out, peer};
use crate::tiling;
use data::{DAY_MS, END_MS, HOUR_MS, KINDS, Sample, Year, day, labels};
use oracle::{Answer, Question, RANGE_QUESTIONS, RangeAnswer, RangeQuestion};

const NOW_MS: i64 = END_MS + 5 * HOUR_MS;
const TENANT: &str = "anonymous";

fn open(dir: &Path, retention: Option<Duration>) -> Store {
    let options = StoreOptions { retention, wal_segment_bytes: 4 << 20, ..StoreOptions::default() };
    Store::open(dir, options, &|_| {}).unwrap()
}

/// Writes samples, with a flush after every fortnight of them.
fn write(store: &Store, samples: &[Sample]) {
    let db = store.db(TENANT).unwrap();
    let fortnight = |sample: &Sample| sample.1 / (14 * DAY_MS);
    for part in samples.chunk_by(|a, b| fortnight(a) == fortnight(b)) {
        let mut appender = db.appender();
        for (kind, ts, value) in part {
            let key = db.series_key(kind.as_bytes());
            let series = match appender.find(key) {
                Some(series) => series,
                None => appender.resolve(key, &Labels::from_pairs(labels(kind))).unwrap(),
            };
            appender.sample(series, *ts, *value, 0);
        }
        appender.commit(NOW_MS).unwrap();
        store.maintain(part.last().unwrap().1).unwrap();
    }
}

/// Runs `nines history`; what it says.
fn history(dir: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nines"))
        .arg("history")
        .args(args)
        .args(["--data", dir.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// The year in `dir`: what is known in time is rolled up before the rest comes. `between` looks at the rest beside
/// rows that do not know it.
fn make(dir: &Path, year: &Year, between: impl Fn(&Db)) {
    let now = (NOW_MS / 1000).to_string();
    write(&open(dir, None), &year.known);
    history(dir, &["compact", "--now", &now]);
    {
        let store = open(dir, None);
        write(&store, &year.late);
        between(&store.db(TENANT).unwrap());
    }
    history(dir, &["compact", "--now", &now]);
    history(dir, &["verify"]);
}

/// Infos and warnings.
fn said(result: &QueryResult) -> Vec<String> {
    [result.infos.as_slice(), &result.warnings].concat()
}

fn answer(result: &QueryResult) -> Answer {
    let series = tiling::points(result).into_iter();
    series.map(|(labels, points)| (labels.get("kind").to_owned(), points[0].1)).collect()
}

fn ask(db: &Db, question: &Question) -> QueryResult {
    tiling::ask(db, &question.text, question.at_ms, None)
}

fn ask_range(db: &Db, (text, start, end, step): &RangeQuestion) -> QueryResult {
    tiling::ask(db, text, *end, Some((*start, *step)))
}

fn range_answer(result: &QueryResult) -> RangeAnswer {
    let points = tiling::points(result).into_iter().flat_map(|(labels, points)| {
        let kind = labels.get("kind").to_owned();
        points.into_iter().map(move |(ts, value)| ((kind.clone(), ts), value))
    });
    points.collect()
}

fn same_range(seen: &RangeAnswer, wanted: &RangeAnswer) -> bool {
    seen.len() == wanted.len()
        && seen.iter().zip(wanted).all(|(a, b)| a.0 == b.0 && tiling::near(*a.1, *b.1, 0))
}

/// Kinds of which both do not say the same.
fn differing(question: &Question, seen: &Answer, wanted: &Answer) -> Vec<&'static str> {
    let ulps = u64::from(question.function == "avg_over_time");
    let same = |kind: &str| match (seen.get(kind), wanted.get(kind)) {
        (Some(a), Some(b)) => tiling::near(*a, *b, ulps),
        (None, None) => true,
        _ => false,
    };
    KINDS.into_iter().filter(|kind| !same(kind)).collect()
}

/// What is asked, and what is to be answered.
#[derive(Default)]
struct Wanted {
    questions: Vec<(Question, Answer)>,
    ranges: Vec<(RangeQuestion, RangeAnswer)>,
}

/// What Prometheus answers; what is recorded of it, where there is none.
fn wanted(dir: &Path, year: &Year) -> Wanted {
    let file = include_str!("year/answers.txt");
    let Some(program) = peer("prometheus") else {
        left_out("a_year_of_rows_answers_as_prometheus, but for what is recorded");
        let questions = oracle::recorded(file, oracle::questions());
        return Wanted { questions, ..Wanted::default() };
    };
    let prometheus = oracle::start(&program, dir);
    oracle::send(&prometheus, &year.known);
    oracle::send(&prometheus, &year.late);
    let answer = |question: Question| {
        let told = oracle::ask(&prometheus, &question);
        let told = told.unwrap_or_else(|| {
            assert_eq!(question.function, "first_over_time");
            oracle::first_over_time(year, &question)
        });
        (question, told)
    };
    let questions: Vec<_> = oracle::questions().into_iter().map(answer).collect();
    let text = oracle::record(questions.iter().map(|(question, answer)| (question, answer)));
    if text != file {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("answers.txt");
        std::fs::write(&path, text).unwrap();
        let file = "tests/it/year/answers.txt";
        panic!("Prometheus does not answer what is in {file}; what it does is in {path:?}");
    }
    let ranges =
        RANGE_QUESTIONS.map(|question| (question, oracle::ask_range(&prometheus, &question)));
    Wanted { questions, ranges: ranges.to_vec() }
}

/// With all samples there: every bit, of one question in `every`. How many samples and rows aligned windows read, and of how many samples.
fn check_with_samples(db: &Db, wanted: &Wanted, every: usize) -> (u64, u64) {
    let (mut read, mut folded) = (0, 0);
    for (question, wanted) in wanted.questions.iter().step_by(every) {
        let result = ask(db, question);
        let seen = answer(&result);
        if let Some(kind) = differing(question, &seen, wanted).first() {
            let (seen, wanted) = (seen.get(*kind), wanted.get(*kind));
            panic!("{question:?}, {kind}: {seen:?}, Prometheus {wanted:?}");
        }
        let said = said(&result).concat();
        assert!(!said.contains("gone") && !said.contains("missing"), "{question:?}: {said}");
        if question.aligned && question.function == "increase" {
            read += result.stats.samples_read;
            folded += result.stats.samples_total;
        }
    }
    for (question, wanted) in &wanted.ranges {
        let seen = range_answer(&ask_range(db, question));
        assert!(same_range(&seen, wanted), "{question:?}: {seen:?}, Prometheus {wanted:?}");
    }
    (read, folded)
}

/// What of an answer only samples tell, although rows tell the function of other series.
fn only_by_samples(function: &str) -> &'static [&'static str] {
    match function {
        "deriv" | "mad_over_time" | "quantile_over_time" | "stddev_over_time"
        | "stdvar_over_time" => &KINDS,
        // Too often reset within an hour.
        "increase" | "rate" => &["mixed", "storm"],
        // Values that add up to more than there are floats.
        "avg_over_time" | "sum_over_time" => &["infinite"],
        _ => &[],
    }
}

/// With rows alone before some day: every bit where windows are whole hours, and never another without a word.
fn check_without_samples(db: &Db, before: &Db, wanted: &Wanted) {
    let (mut by_rows, mut told) = (0, 0);
    for (question, wanted) in &wanted.questions {
        let result = ask(db, question);
        let seen = answer(&result);
        let differing = differing(question, &seen, wanted);
        if differing.is_empty() {
            by_rows += u32::from(question.aligned);
            continue;
        }
        let known = said(&ask(before, question));
        let said: Vec<String> = said(&result).into_iter().filter(|s| !known.contains(s)).collect();
        let context = format!("{question:?}, {differing:?}: {seen:?}, Prometheus {wanted:?}");
        assert!(!said.is_empty(), "not a word: {context}");
        told += 1;
        if question.aligned {
            let only = only_by_samples(question.function);
            assert!(differing.iter().all(|kind| only.contains(kind)), "{context} {said:?}");
        }
    }
    let all = wanted.questions.len() as u32;
    assert!(by_rows * 5 > all * 2 && told * 5 > all, "{by_rows} by rows, {told} told, of {all}");
    for (question, wanted) in &wanted.ranges {
        let result = ask_range(db, question);
        let told = !said(&result).is_empty();
        assert!(told || same_range(&range_answer(&result), wanted), "not a word: {question:?}");
    }
}

#[test]
fn a_year_of_rows_answers_as_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let [data, short] = ["data", "short"].map(|name| dir.path().join(name));
    let year = data::year();
    let wanted = wanted(&dir.path().join("oracle"), &year);
    make(&data, &year, |db| {
        // Some in memory, some in blocks of days that are to be built anew.
        let state = db.history().unwrap().state();
        assert!(state.days.values().any(|built| built.outdated));
        check_with_samples(db, &wanted, 5);
    });
    let copied = Command::new("cp").arg("-r").args([&data, &short]).status().unwrap();
    assert!(copied.success());
    let store = open(&data, None);
    let db = store.db(TENANT).unwrap();
    let (read, folded) = check_with_samples(&db, &wanted, 1);
    // Windows of some hours of dense samples need samples at their edges.
    assert!(read * 5 < folded, "{read} read for {folded}: rows are less to read");

    let short = open(&short, Some(Duration::from_secs(30 * 86_400)));
    short.maintain(NOW_MS).unwrap();
    let short_db = short.db(TENANT).unwrap();
    let gone = short_db.history().unwrap().state().raw_gone.unwrap().end_ms();
    assert!(gone > day(320), "{gone}");
    check_without_samples(&short_db, &db, &wanted);
}
