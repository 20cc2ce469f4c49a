//! Tests of definitions: documents without `apiVersion` that tell samples and what SLOs are to say of them.
//!
//! Definitions stand in files that a test names, or in documents of the same text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::document::{self, File};
use super::reader::{Field, Fields, Report};
use super::{convert, link, metadata, nearest::nearest, sort, source, times};
use crate::config::PromDuration;
use crate::promql::notation::{Run, parse_series, parse_values};
use crate::slo::definition::{Definitions, Place};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::yaml::{self, Content};
use nines_storage::model::Labels;

/// Samples of one test at most.
const SAMPLES_MAX: u64 = 50_000_000;
/// Pause between two samples unless a test says otherwise.
const INTERVAL_MS: i64 = 60_000;
/// How times are written.
const TIME_HINT: &str =
    "write it like 2026-02-10T02:30:00+00:00, or how long after start it is, like 1h30m or 0s";

/// A test: samples, and what SLOs are to say of them.
#[derive(Debug)]
pub struct Trial {
    /// What its file and the files it names define.
    pub definitions: Definitions,
    /// The samples.
    pub series: Vec<TrialSeries>,
    /// When each series has its first one.
    pub start_ms: i64,
    /// How far its values are apart.
    pub interval_ms: i64,
    /// What is asked.
    pub questions: Vec<Question>,
}

/// Samples of a series.
#[derive(Debug)]
pub struct TrialSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values.
    pub runs: Vec<Run>,
    /// Where it stands.
    pub place: Place,
    /// The field.
    pub path: String,
}

/// One question about an SLO.
#[derive(Debug)]
pub struct Question {
    /// Its name.
    pub slo: String,
    /// Labels of the group; empty where there is one.
    pub group: BTreeMap<String, String>,
    /// Of which time.
    pub time: Asking,
    /// What the answer is to say.
    pub expect: Vec<Expected>,
    /// Where it stands.
    pub place: Place,
    /// The field.
    pub path: String,
}

/// The time that a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// The window of the SLO at an instant, as it stood then.
    At(i64),
    /// (`from_ms`, `to_ms`].
    Span {
        /// Its beginning.
        from_ms: i64,
        /// Its end.
        to_ms: i64,
    },
}

/// What one field of an answer is to be.
#[derive(Debug)]
pub struct Expected {
    /// The way to the field in the answer.
    pub steps: Vec<Step>,
    /// Its value.
    pub want: Want,
    /// Where that stands.
    pub place: Place,
    /// The field of the document.
    pub path: String,
}

/// A step into an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the value of a name.
    Name(String),
    /// To an item of a list.
    Item(usize),
}

/// An expected value.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// None.
    Null,
    /// A truth value.
    Truth(bool),
    /// A number: a decimal, or a fraction such as 200/201.
    Number {
        /// As it is written.
        text: String,
        /// The nearest float.
        value: f64,
    },
    /// A text.
    Text(String),
    /// A list of so many items.
    Items(usize),
}

/// Reads a file of tests, and the files of definitions that they name, from where the file is. Of a test with errors
/// only these are told.
///
/// # Errors
/// When a file that is named is not there, or cannot be listed.
pub fn load_trials(path: &Path) -> io::Result<(Vec<Trial>, Vec<Diagnostic>)> {
    fs::metadata(path).map_err(|error| told(path, &error))?;
    let name = path.display().to_string();
    let text = match source::read_text(path) {
        Ok(text) => text,
        Err(error) => return Err(told(path, &error)),
    };
    let read = read(&name, &text);
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    let mut diagnostics = read.diagnostics;
    let mut trials = Vec::new();
    for draft in read.drafts {
        let mut paths = BTreeSet::new();
        for (file, place, field) in &draft.files {
            let beside = path.parent().unwrap_or(Path::new("")).join(file);
            match source::listed(&[beside]) {
                Ok(found) => paths.extend(found),
                Err(error) => {
                    let message = format!("it cannot be read: {error}");
                    diagnostics.push(Diagnostic::error(place, field, "unreadable", message));
                }
            }
        }
        for path in &paths {
            if !files.contains_key(path) {
                let file = source::read(path);
                diagnostics.extend(file.diagnostics.iter().cloned());
                files.insert(path.clone(), file);
            }
        }
        let named = paths.iter().filter_map(|path| files.get(path));
        let linked = link::link(&std::iter::once(&read.own).chain(named).collect::<Vec<_>>(), None);
        for one in linked.diagnostics {
            if !diagnostics.contains(&one) {
                diagnostics.push(one);
            }
        }
        let definitions = linked.definitions;
        let unknown =
            draft.trial.questions.iter().filter(|one| !definitions.slos.contains_key(&one.slo));
        let before = diagnostics.len();
        diagnostics.extend(unknown.map(|one| {
            let message = format!("there is no SLO {:?}", one.slo);
            let meant = nearest(&one.slo, definitions.slos.keys().map(String::as_str));
            let hint = meant.map_or_else(
                || "name the file that defines it under definitions".to_owned(),
                |name| format!("did you mean {name}?"),
            );
            let path = format!("{}.slo", one.path);
            Diagnostic::error(&one.place, &path, "dangling-reference", message).hint(hint)
        }));
        if diagnostics.len() == before {
            trials.push(Trial { definitions, ..draft.trial });
        }
    }
    sort(&mut diagnostics);
    Ok((trials, diagnostics))
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What a text says by itself.
struct Read {
    own: File,
    drafts: Vec<TrialDraft>,
    diagnostics: Vec<Diagnostic>,
}

/// A test whose definitions are not looked up yet.
struct TrialDraft {
    trial: Trial,
    files: Vec<(PathBuf, Place, String)>,
}

fn read(name: &str, text: &str) -> Read {
    let (documents, faults) = yaml::read(text);
    let report = Report::new(name, text);
    let is_whole = faults.is_empty();
    for fault in faults {
        report.error(fault.spot, "", fault.code, fault.message);
    }
    let (mut drafts, mut trials, mut any) = (Vec::new(), Vec::new(), false);
    for document in documents.iter().filter(|document| !document.faulty && !document.root.is_null())
    {
        if document.root.get("apiVersion").is_some() {
            for node in convert::to_v1(&document.root, &report) {
                drafts.extend(document::one(&node, document, &report));
            }
            continue;
        }
        any = true;
        let errors = report.errors();
        let draft = Field::new(&document.root, String::new(), &report).fields();
        let draft = draft.and_then(|fields| trial(&fields));
        trials.extend(draft.filter(|_| report.errors() == errors));
    }
    if !any && is_whole {
        let place = Place { file: name.to_owned(), line: 1, column: 1 };
        let message = "no document of the file is a test".to_owned();
        let hint = "write one without apiVersion that has input_series and slo_tests";
        report.tell(Diagnostic::error(&place, "", "missing-field", message).hint(hint));
    }
    let own = File { drafts, diagnostics: Vec::new() };
    Read { own, drafts: trials, diagnostics: report.into_diagnostics() }
}

fn trial(fields: &Fields<'_>) -> Option<TrialDraft> {
    let files = fields.get("definitions").map(|field| files(&field));
    let start = fields.get("start").map(|field| times::instant(&field));
    let interval = fields.get("interval").map(|field| interval(&field));
    let start_ms = start.unwrap_or(Some(0));
    let series = fields
        .need_hint("input_series", "write [{series: up, values: 1x60}]")
        .and_then(|field| series(&field));
    let questions = fields
        .need_hint("slo_tests", "write [{slo: checkout, at: 1h, expect: {bad: 0}}]")
        .and_then(|field| questions(&field, start_ms.unwrap_or(0)));
    fields.finish();
    let interval_ms = interval.unwrap_or(Some(INTERVAL_MS))?;
    let (start_ms, series, files) = (start_ms?, series?, files.unwrap_or(Some(Vec::new()))?);
    let definitions = Definitions::default();
    let trial = Trial { definitions, series, start_ms, interval_ms, questions: questions? };
    Some(TrialDraft { trial, files })
}

fn files(field: &Field<'_>) -> Option<Vec<(PathBuf, Place, String)>> {
    let named =
        |item: &Field<'_>| Some((PathBuf::from(item.word()?), item.place(), item.path.clone()));
    let items: Vec<_> = field.list()?.iter().map(named).collect();
    items.into_iter().collect()
}

fn interval(field: &Field<'_>) -> Option<i64> {
    let text = field.word()?;
    let ms = text.parse::<PromDuration>().ok().map(PromDuration::as_ms).filter(|ms| *ms > 0);
    if ms.is_none() {
        let message = format!("{text:?} is not a duration above zero");
        field.error_hint("bad-duration", message, "write it like 15s, 1m or 1h30m");
    }
    ms
}

fn series(field: &Field<'_>) -> Option<Vec<TrialSeries>> {
    let mut all = Vec::new();
    let (mut fine, mut n) = (true, 0u64);
    for item in field.list()? {
        let Some(one) = one_series(&item) else {
            fine = false;
            continue;
        };
        n = n.saturating_add(one.runs.iter().map(Run::n).sum());
        if n > SAMPLES_MAX {
            item.error("too-large", format!("the test has more than {SAMPLES_MAX} samples"));
            return None;
        }
        all.push(one);
    }
    fine.then_some(all)
}

fn one_series(item: &Field<'_>) -> Option<TrialSeries> {
    let fields = item.fields()?;
    let labels = fields.need_hint("series", "write 'up{job=\"api\"}'").and_then(|field| {
        let labels = parse_series(field.word()?);
        let told = labels.map_err(|error| tell_inside(&field, error.offset, error.message)).ok()?;
        if told.get("__name__").is_empty() {
            field.error("bad-value", "the series has no name");
            return None;
        }
        Some(told)
    });
    let runs = fields.need_hint("values", "write '0+10x60'").and_then(|field| {
        // One value looks like a number of YAML.
        let text = match field.node.kind() {
            "a number" => field.node.text().unwrap_or_default(),
            _ => field.text()?,
        };
        let runs = parse_values(text);
        runs.map_err(|error| tell_inside(&field, error.offset, error.message)).ok()
    });
    fields.finish();
    Some(TrialSeries { labels: labels?, runs: runs?, place: item.place(), path: item.path.clone() })
}

fn tell_inside(field: &Field<'_>, offset: usize, message: String) {
    let told = Diagnostic::error(&field.inside(offset), &field.path, "bad-series", message);
    field.report.tell(told);
}

fn questions(field: &Field<'_>, start_ms: i64) -> Option<Vec<Question>> {
    let items = field.list()?;
    if items.is_empty() {
        field.error("empty", "nothing is asked");
        return None;
    }
    let all: Vec<_> = items.iter().map(|item| question(item, start_ms)).collect();
    all.into_iter().collect()
}

fn question(item: &Field<'_>, start_ms: i64) -> Option<Question> {
    let fields = item.fields()?;
    let slo = fields.need("slo");
    let place = slo.as_ref().map_or_else(|| item.place(), Field::place);
    let slo = slo.and_then(|field| field.word());
    let group = fields.get("group").map(|field| metadata::labels(&field));
    let time = asking(&fields, start_ms);
    let expect = fields
        .need_hint("expect", "write {total: 603, bad: 3, met: true}")
        .and_then(|field| expected(&field));
    fields.finish();
    Some(Question {
        slo: slo?.to_owned(),
        group: group.unwrap_or_default(),
        time: time?,
        expect: expect?,
        place,
        path: item.path.clone(),
    })
}

fn asking(fields: &Fields<'_>, start_ms: i64) -> Option<Asking> {
    let at = fields.get("at").map(|field| (time(&field, start_ms), field));
    let from = fields.get("from").map(|field| time(&field, start_ms));
    let to = fields.get("to").map(|field| (time(&field, start_ms), field));
    match (at, from, to) {
        (Some((at, _)), None, None) => Some(Asking::At(at?)),
        (None, Some(from), Some((to, field))) => {
            let (from_ms, to_ms) = (from?, to?);
            if to_ms <= from_ms {
                field.error("bad-time", "to must be later than from");
                return None;
            }
            Some(Asking::Span { from_ms, to_ms })
        }
        (Some((_, field)), _, _) => {
            field.error("bad-time", "at excludes from and to");
            None
        }
        _ => {
            let told = Diagnostic::error(
                &fields.all().place(),
                &fields.all().path,
                "missing-field",
                "the time is missing".to_owned(),
            );
            let hint = "write at: 1h for the window of the SLO at that time, or from and to";
            fields.all().report.tell(told.hint(hint));
            None
        }
    }
}

/// An instant, or how long after the first sample.
fn time(field: &Field<'_>, start_ms: i64) -> Option<i64> {
    let text = match field.node.kind() {
        "a number" => field.node.text().unwrap_or_default(),
        _ => field.text()?,
    };
    let after = text.parse::<PromDuration>().ok();
    let after = after.and_then(|after| start_ms.checked_add(after.as_ms()));
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let found = after.or_else(|| (!digits).then(|| times::instant_of(text)).flatten());
    if found.is_none() {
        field.error_hint("bad-time", format!("{text:?} is no time"), TIME_HINT);
    }
    found
}

fn expected(field: &Field<'_>) -> Option<Vec<Expected>> {
    let mut all = Vec::new();
    // What is expected is at least one field.
    field.fields()?;
    let fine = walk(field, &mut Vec::new(), &mut all);
    if fine && all.is_empty() {
        field.error("empty", "nothing is expected");
        return None;
    }
    fine.then_some(all)
}

fn walk(field: &Field<'_>, steps: &mut Vec<Step>, all: &mut Vec<Expected>) -> bool {
    let mut put = |want| {
        let (steps, place, path) = (steps.clone(), field.place(), field.path.clone());
        all.push(Expected { steps, want, place, path });
        true
    };
    let text = field.node.text().unwrap_or_default();
    match &field.node.content {
        Content::Map(_) => {
            let mut fine = true;
            for (entry, value) in field.pairs().unwrap_or_default() {
                steps.push(Step::Name(entry.key.clone()));
                fine &= walk(&value, steps, all);
                steps.pop();
            }
            fine
        }
        Content::List(_) => {
            let items = field.list().unwrap_or_default();
            let mut fine = put(Want::Items(items.len()));
            for (at, item) in items.iter().enumerate() {
                steps.push(Step::Item(at));
                fine &= walk(item, steps, all);
                steps.pop();
            }
            fine
        }
        Content::Scalar { .. } if field.node.is_null() => put(Want::Null),
        Content::Scalar { .. } => match field.node.kind() {
            "a truth value" => put(Want::Truth(text.eq_ignore_ascii_case("true"))),
            "a number" => match field.float() {
                Some(value) => put(Want::Number { text: text.to_owned(), value }),
                None => false,
            },
            _ => match fraction(text) {
                Some(value) => put(Want::Number { text: text.to_owned(), value }),
                None => put(Want::Text(text.to_owned())),
            },
        },
    }
}

/// The value of a whole number over another.
fn fraction(text: &str) -> Option<f64> {
    // Both are floats without rounding, so the quotient is the nearest one.
    let whole = |text: &str| text.parse::<i64>().ok().filter(|n| n.unsigned_abs() <= 1 << 53);
    let (n, d) = text.split_once('/')?;
    let (n, d) = (whole(n)?, whole(d)?);
    (d > 0).then(|| n as f64 / d as f64)
}
