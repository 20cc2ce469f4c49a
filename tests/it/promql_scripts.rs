//! Runs PromQL test scripts against the engine: our own in `tests/promql`, and those of the folder named by
//! `NINES_PROMQL_TESTS` (in the language of Prometheus's `promqltest`), whose results are printed.

use std::path::Path;

use nines::promql::{
    Engine, EngineOptions, MatrixSeries, QueryOptions, QueryResult, SampleValue, Value,
    VectorSample, parse,
};
use nines_storage::model::Labels;
use nines_storage::query::Budget;

use crate::memory::{Memory, Sample};
use crate::promql_script::{Eval, Text, What, parse as parse_script};
use crate::script_histogram::same;

#[test]
fn own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql");
    let mut failed = Vec::new();
    let mut n_cases = 0;
    for (name, script) in scripts(&folder) {
        let outcome = run(&script);
        n_cases += outcome.cases;
        failed.extend(outcome.failed.iter().map(|(line, why)| format!("{name}:{line}: {why}")));
    }
    assert!(n_cases >= 50, "only {n_cases} cases in {}", folder.display());
    assert!(
        failed.is_empty(),
        "{} of {n_cases} cases failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn a_wrong_expectation_fails() {
    let script = "load 1m\n  m 1 2\n\neval instant at 1m m\n  m 3\n\neval instant at 1m m\n  m 2\n";
    let outcome = run(script);
    assert_eq!(outcome.cases, 2);
    assert_eq!(outcome.failed.len(), 1, "{:?}", outcome.failed);
    assert_eq!(outcome.failed[0].0, 4);
}

#[test]
fn given_scripts() {
    let Some(folder) = std::env::var_os("NINES_PROMQL_TESTS") else { return };
    let only = std::env::var("NINES_PROMQL_ONLY").ok();
    let verbose = std::env::var_os("NINES_PROMQL_VERBOSE").is_some();
    let (mut cases, mut passed) = (0, 0);
    for (name, script) in scripts(Path::new(&folder)) {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|o| name == format!("{o}.test"))) {
            continue;
        }
        let outcome = run(&script);
        let n_passed = outcome.cases - outcome.failed.len();
        println!("{name}: {n_passed} of {}", outcome.cases);
        if verbose {
            outcome.failed.iter().for_each(|(line, why)| println!("  {name}:{line}: {why}"));
        }
        cases += outcome.cases;
        passed += n_passed;
    }
    println!("all: {passed} of {cases}");
}

fn scripts(folder: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "test"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

#[derive(Default)]
struct Outcome {
    cases: usize,
    failed: Vec<(usize, String)>,
}

fn run(script: &str) -> Outcome {
    let mut memory = Memory::default();
    let mut outcome = Outcome::default();
    for command in parse_script(script) {
        match command.what {
            What::Clear => memory = Memory::default(),
            What::Load { step_ms, series } => {
                for (labels, samples) in series {
                    for (i, sample) in (0..).zip(samples) {
                        if let Some(sample) = sample {
                            memory.add(&labels, i * step_ms, sample);
                        }
                    }
                }
            }
            What::Eval(eval) => {
                outcome.cases += 1;
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    check(&memory, &eval)
                }));
                if let Err(why) = caught.unwrap_or_else(|_| Err("panicked".to_owned())) {
                    outcome.failed.push((command.line, format!("{}\n    {why}", eval.query)));
                }
            }
            What::Unknown(line) => {
                outcome.cases += 1;
                outcome.failed.push((command.line, format!("not understood: {line}")));
            }
        }
    }
    outcome
}

fn answer(
    memory: &Memory,
    query: &str,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
) -> Result<QueryResult, String> {
    let expr = parse(query).map_err(|error| error.to_string())?;
    let engine = Engine::new(EngineOptions::default());
    let (options, budget) = (QueryOptions::default(), Budget::unlimited());
    let result = if step_ms == 0 {
        engine.instant(memory, &expr, query, start_ms, &options, &budget)
    } else {
        engine.range(memory, &expr, query, start_ms, end_ms, step_ms, &options, &budget)
    };
    result.map_err(|error| error.to_string())
}

fn check(memory: &Memory, eval: &Eval) -> Result<(), String> {
    let result = match (
        answer(memory, &eval.query, eval.start_ms, eval.end_ms, eval.step_ms),
        &eval.fails,
    ) {
        (Err(error), Some(expected)) if expected.fits(&error) => return Ok(()),
        (Err(error), Some(expected)) => {
            return Err(format!("failed with {error:?}, expected {expected:?}"));
        }
        (Err(error), None) => return Err(format!("failed: {error}")),
        (Ok(_), Some(_)) => return Err("did not fail".to_owned()),
        (Ok(result), None) => result,
    };
    check_annotations("warning", &result.warnings, &eval.warnings, eval.no_warn)?;
    check_annotations("info", &result.infos, &eval.infos, eval.no_info)?;
    match &result.value {
        Value::Scalar { value, .. } => check_scalar(*value, eval),
        Value::String { value, .. } if eval.string.as_ref() == Some(value) => Ok(()),
        Value::String { value, .. } => Err(format!("string {value:?}, expected {:?}", eval.string)),
        Value::Vector(vector) => {
            check_vector(vector, eval)?;
            check_as_range(memory, eval)
        }
        Value::Matrix(matrix) => check_matrix(matrix, eval),
    }
}

fn check_annotations(
    kind: &str,
    found: &[String],
    expected: &[Text],
    none: bool,
) -> Result<(), String> {
    if none && !found.is_empty() {
        return Err(format!("unexpected {kind}: {found:?}"));
    }
    if expected.is_empty() {
        return Ok(());
    }
    for text in expected {
        if !found.iter().any(|line| text.fits(line)) {
            return Err(format!("no {kind} like {text:?} among {found:?}"));
        }
    }
    match found.iter().find(|line| !expected.iter().any(|text| text.fits(line))) {
        Some(line) => Err(format!("unexpected {kind}: {line}")),
        None => Ok(()),
    }
}

fn check_scalar(value: f64, eval: &Eval) -> Result<(), String> {
    match eval.scalar {
        Some(expected) if close(value, expected) => Ok(()),
        expected => Err(format!("scalar {value}, expected {expected:?}")),
    }
}

fn check_vector(vector: &[VectorSample], eval: &Eval) -> Result<(), String> {
    if vector.len() != eval.series.len() {
        let found: Vec<String> =
            vector.iter().map(|s| format!("{} {:?}", s.labels, s.value)).collect();
        return Err(format!(
            "{} series, expected {}: {}",
            vector.len(),
            eval.series.len(),
            found.join("; ")
        ));
    }
    for (place, sample) in vector.iter().enumerate() {
        let expected = eval.series.iter().position(|s| s.0 == sample.labels);
        let Some(expected) = expected else {
            return Err(format!("unexpected series {}", sample.labels));
        };
        if eval.ordered && expected != place {
            return Err(format!("{} at place {place}, expected at {expected}", sample.labels));
        }
        let value = eval.series[expected].1.first().cloned().flatten();
        if !equal(&sample.value, value.as_ref()) {
            return Err(format!("{} is {:?}, expected {value:?}", sample.labels, sample.value));
        }
    }
    Ok(())
}

/// An instant query must give the same in the middle of a range query.
fn check_as_range(memory: &Memory, eval: &Eval) -> Result<(), String> {
    let depends_on_range =
        ["step()", "range()", "start()", "end()"].iter().any(|f| eval.query.contains(f));
    if eval.ordered || depends_on_range {
        return Ok(());
    }
    let t = eval.start_ms;
    let result = answer(memory, &eval.query, t - 60_000, t + 60_000, 60_000)
        .map_err(|error| format!("as a range query: failed: {error}"))?;
    let Value::Matrix(matrix) = result.value else {
        return Err("a range query gave no matrix".to_owned());
    };
    let sample = |series: &MatrixSeries| {
        let float = series.floats.iter().find(|s| s.0 == t).map(|s| SampleValue::Float(s.1));
        let histogram = series
            .histograms
            .iter()
            .find(|s| s.0 == t)
            .map(|s| SampleValue::Histogram(s.1.clone()));
        Some(VectorSample { labels: series.labels.clone(), ts_ms: t, value: float.or(histogram)? })
    };
    let vector: Vec<VectorSample> = matrix.iter().filter_map(sample).collect();
    check_vector(&vector, eval).map_err(|why| format!("as a range query: {why}"))
}

fn check_matrix(matrix: &[MatrixSeries], eval: &Eval) -> Result<(), String> {
    if matrix.windows(2).any(|pair| pair[0].labels >= pair[1].labels) {
        return Err("series are not sorted by labels".to_owned());
    }
    if let Some(expected) = eval.scalar {
        let wanted = Some(Sample::Float(expected));
        let steps = usize::try_from((eval.end_ms - eval.start_ms) / eval.step_ms).unwrap() + 1;
        return check_series(
            matrix,
            &[(Labels::empty(), vec![wanted; steps])],
            eval.start_ms,
            eval.step_ms,
        );
    }
    let (start_ms, step_ms) = eval.range_vector.unwrap_or((eval.start_ms, eval.step_ms));
    check_series(matrix, &eval.series, start_ms, step_ms)
}

fn check_series(
    matrix: &[MatrixSeries],
    expected: &[(Labels, Vec<Option<Sample>>)],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    if matrix.len() != expected.len() {
        let found: Vec<String> =
            matrix.iter().map(|s| format!("{} {:?}", s.labels, s.floats)).collect();
        return Err(format!(
            "{} series, expected {}: {}",
            matrix.len(),
            expected.len(),
            found.join("; ")
        ));
    }
    for series in matrix {
        let Some((_, values)) = expected.iter().find(|s| s.0 == series.labels) else {
            return Err(format!("unexpected series {}", series.labels));
        };
        let mut left = series.floats.len() + series.histograms.len();
        for (i, value) in (0..).zip(values) {
            let t = start_ms + i * step_ms;
            let float = series.floats.iter().find(|s| s.0 == t).map(|s| SampleValue::Float(s.1));
            let histogram = series
                .histograms
                .iter()
                .find(|s| s.0 == t)
                .map(|s| SampleValue::Histogram(s.1.clone()));
            match (float.or(histogram), value) {
                (None, None) => {}
                (Some(found), Some(_)) if equal(&found, value.as_ref()) => left -= 1,
                (found, _) => {
                    return Err(format!(
                        "{} at {t} is {found:?}, expected {value:?}",
                        series.labels
                    ));
                }
            }
        }
        if left > 0 {
            return Err(format!(
                "{} has {left} samples too many: {:?}",
                series.labels, series.floats
            ));
        }
    }
    Ok(())
}

fn equal(found: &SampleValue, expected: Option<&Sample>) -> bool {
    match (found, expected) {
        (SampleValue::Float(a), Some(Sample::Float(b))) => close(*a, *b),
        (SampleValue::Histogram(a), Some(Sample::Histogram(b))) => same(a, b),
        _ => false,
    }
}

/// Equal but for rounding, as Prometheus's tests compare.
fn close(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}
