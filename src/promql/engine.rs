//! The engine's face: instant and range queries over anything that can be asked for series.

use std::sync::Mutex;
use std::time::Instant;

use nines_storage::model::{Labels, SeriesData};
use nines_storage::query::{Budget, Queryable};

use super::annotations::Annotations;
use super::ast::{EdgeMode, Expr, ValueType};
use super::error::{QueryError, Result};
use super::eval::{Account, Evaluator, Hold, UntoldSteps, settle_names};
use super::parser::value_type;
use super::plan::{self, Context, Kind, Node};
use super::row::{Row, is_absent, without_metadata};
use super::steps::Steps;
use super::touched::{Touched, weight};
use super::value::{MatrixSeries, QueryResult, QueryStats, SampleValue, Value, VectorSample};

/// Most threads of one selector unless the settings say otherwise.
const THREADS_DEFAULT_MAX: usize = 8;

/// Most steps whose samples are counted apart.
const PER_STEP_MAX: usize = 100_000;

/// Settings of the engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// How far back an instant selector looks, in milliseconds.
    pub lookback_ms: i64,
    /// Step of a subquery that names none, in milliseconds.
    pub default_subquery_step_ms: i64,
    /// Whether metric names are dropped at the end of the evaluation (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Threads that may read and evaluate the series of one selector; results do not depend on it.
    pub threads_max: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: true,
            threads_max: std::thread::available_parallelism()
                .map_or(1, std::num::NonZero::get)
                .min(THREADS_DEFAULT_MAX),
        }
    }
}

/// Settings of one query.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueryOptions {
    /// Lookback of this query in milliseconds.
    pub lookback_ms: Option<i64>,
    /// Whether samples are counted step by step ([`QueryStats::samples_per_step`]).
    pub per_step: bool,
}

/// Evaluates PromQL. Holds settings only: one engine serves all threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Engine {
    options: EngineOptions,
}

/// Everything that a query in flight shares.
struct Running<'a> {
    budget: &'a Budget,
    annotations: Mutex<Annotations>,
    account: Account,
    untold: UntoldSteps,
    touched: Touched,
    began: Instant,
    prepare_s: f64,
}

impl Engine {
    /// An engine with these settings.
    #[must_use]
    pub const fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Evaluates `expr`, parsed from `text`, at `time_ms`.
    ///
    /// # Errors
    /// [`QueryError`]; the kinds say what the caller may do.
    pub fn instant(
        &self,
        data: &dyn Queryable,
        expr: &Expr,
        text: &str,
        time_ms: i64,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Result<QueryResult> {
        let steps = Steps::instant(time_ms);
        let mut running = Running::new(budget, options, steps);
        let node = plan::plan(expr, self.context(time_ms, time_ms, 0))?;
        running.prepare_s = running.began.elapsed().as_secs_f64();
        let evaluator = self.evaluator(data, options, 0, &running);
        let mut sort_s = 0.0;
        let value = match node.ty {
            ValueType::Scalar => {
                let value = evaluator.scalar(steps, &node)?.first().copied().unwrap_or(f64::NAN);
                Value::Scalar { ts_ms: time_ms, value }
            }
            ValueType::String => Value::String {
                ts_ms: time_ms,
                value: evaluator.text(Some(unwrapped(&node)))?.to_lossy().into_owned(),
            },
            ValueType::Vector => {
                let rows = evaluator.collect(steps, &node)?;
                let list = settle_names(rows.list)?;
                Value::Vector(
                    list.into_iter().filter_map(|row| vector_sample(row, time_ms)).collect(),
                )
            }
            ValueType::Matrix => {
                let mut series = evaluator.range_vector(steps, unwrapped(&node))?;
                sort_s = timed(|| series.sort_by(|a, b| a.labels.cmp(&b.labels)));
                Value::Matrix(series)
            }
        };
        evaluator.check()?;
        Ok(running.finish(value, text, steps, sort_s))
    }

    /// Evaluates `expr`, parsed from `text`, from `start_ms` to `end_ms` (both included) every `step_ms`.
    ///
    /// # Errors
    /// [`QueryError`]; the kinds say what the caller may do.
    #[allow(
        clippy::too_many_arguments,
        reason = "the arguments of a range query are what they are"
    )]
    pub fn range(
        &self,
        data: &dyn Queryable,
        expr: &Expr,
        text: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
        budget: &Budget,
    ) -> Result<QueryResult> {
        let steps = Steps::range(start_ms, end_ms, step_ms);
        let mut running = Running::new(budget, options, steps);
        let ty = value_type(expr);
        if !matches!(ty, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::Invalid(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                ty.documented()
            )));
        }
        let mut node = plan::plan(expr, self.context(start_ms, end_ms, step_ms))?;
        // The result is sorted at the end.
        plan::let_any_order(&mut node);
        running.prepare_s = running.began.elapsed().as_secs_f64();
        let evaluator = self.evaluator(data, options, step_ms, &running);
        evaluator.check_steps(steps)?;
        let rows = if node.ty == ValueType::Scalar {
            let mut row = Row::new(Labels::empty(), 0);
            row.values = evaluator.scalar(steps, &node)?;
            vec![row]
        } else {
            settle_names(evaluator.collect(steps, &node)?.list)?
        };
        let mut series: Vec<MatrixSeries> =
            rows.into_iter().map(|row| matrix_series(row, steps)).filter(has_samples).collect();
        let sort_s = timed(|| series.sort_by(|a, b| a.labels.cmp(&b.labels)));
        evaluator.check()?;
        Ok(running.finish(Value::Matrix(series), text, steps, sort_s))
    }

    fn context(&self, start_ms: i64, end_ms: i64, step_ms: i64) -> Context {
        Context {
            start_ms,
            end_ms,
            step_ms,
            subquery_step_ms: self.options.default_subquery_step_ms,
        }
    }

    fn evaluator<'a>(
        &self,
        data: &'a dyn Queryable,
        options: &QueryOptions,
        query_step_ms: i64,
        running: &'a Running<'a>,
    ) -> Evaluator<'a> {
        Evaluator {
            data,
            budget: running.budget,
            lookback_ms: options
                .lookback_ms
                .filter(|&ms| ms > 0)
                .unwrap_or(self.options.lookback_ms),
            query_step_ms,
            delayed_name_removal: self.options.delayed_name_removal,
            threads_max: self.options.threads_max,
            annotations: &running.annotations,
            account: &running.account,
            touched: &running.touched,
            untold: &running.untold,
        }
    }
}

impl<'a> Running<'a> {
    fn new(budget: &'a Budget, options: &QueryOptions, steps: Steps) -> Self {
        // Steps beyond every limit are refused later on.
        let per_step = options.per_step && steps.n <= PER_STEP_MAX;
        Self {
            budget,
            annotations: Mutex::new(Annotations::default()),
            account: Account::default(),
            untold: UntoldSteps::default(),
            touched: if per_step { Touched::step_by_step(steps.n) } else { Touched::default() },
            began: Instant::now(),
            prepare_s: 0.0,
        }
    }

    fn finish(mut self, value: Value, text: &str, steps: Steps, sort_s: f64) -> QueryResult {
        let total_s = self.began.elapsed().as_secs_f64();
        let annotations = std::mem::take(
            self.annotations.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        let per_step = |counts: Vec<u64>| {
            counts.into_iter().enumerate().map(|(step, n)| (steps.at(step), n)).collect()
        };
        let (warnings, infos) = annotations.render(text);
        let stats = QueryStats {
            samples_total: self.touched.total(),
            samples_per_step: self.touched.steps().map(per_step),
            samples_peak: self.account.peak(),
            samples_read: self.budget.samples_read(),
            prepare_s: self.prepare_s,
            eval_s: total_s - self.prepare_s - sort_s,
            sort_s,
        };
        QueryResult { value, warnings, infos, stats }
    }
}

impl Drop for Running<'_> {
    /// Also of a query that fails.
    fn drop(&mut self) {
        self.budget.note_touched(self.touched.total());
    }
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn unwrapped(node: &Node) -> &Node {
    match &node.kind {
        Kind::Invariant(inner) => unwrapped(inner),
        _ => node,
    }
}

fn vector_sample(row: Row, ts_ms: i64) -> Option<VectorSample> {
    let value = match (row.float(0), row.histograms.first()) {
        (Some(value), _) => SampleValue::Float(value),
        (None, Some((_, histogram))) => SampleValue::Histogram(histogram.clone()),
        (None, None) => return None,
    };
    Some(VectorSample { labels: row.labels, ts_ms, value })
}

fn matrix_series(row: Row, steps: Steps) -> MatrixSeries {
    let mut floats = Vec::with_capacity(row.n_samples() - row.histograms.len());
    let present = row.values.iter().enumerate().filter(|(_, v)| !is_absent(**v));
    floats.extend(present.map(|(i, &v)| (steps.at(i), v)));
    MatrixSeries {
        floats,
        histograms: row.histograms.into_iter().map(|(i, h)| (steps.at(i), h)).collect(),
        labels: row.labels,
    }
}

fn has_samples(series: &MatrixSeries) -> bool {
    !series.floats.is_empty() || !series.histograms.is_empty()
}

impl Evaluator<'_> {
    /// The value of a range selector or subquery itself: its samples at their own times.
    fn range_vector(&self, steps: Steps, node: &Node) -> Result<Vec<MatrixSeries>> {
        let Some((windows, edges)) = super::window::windows_of(node) else {
            return Err(QueryError::execution("expected a range vector"));
        };
        let end_ms = windows.shift.of(steps.start_ms);
        let start_ms = end_ms.saturating_sub(windows.range_ms);
        let mut out: Vec<MatrixSeries> = Vec::new();
        let mut hold: Hold<'_> = self.hold();
        let touched = Touched::default();
        let mut take = |labels: &Labels, drop_name: bool, data: &mut SeriesData| {
            hold.add(data.len(), data.len() * 16)?;
            if edges != EdgeMode::Plain {
                super::edges::extend(data, start_ms, end_ms, edges)?;
            }
            if matches!(node.kind, Kind::Selector(_)) {
                let weights = data.histograms.iter().map(|(_, histogram)| weight(histogram));
                self.touched.add_at(0, data.ts.len() as u64 + weights.sum::<u64>());
            }
            let labels = if drop_name { without_metadata(labels) } else { labels.clone() };
            let series = MatrixSeries {
                labels,
                floats: data.ts.iter().copied().zip(data.values.iter().copied()).collect(),
                histograms: data.histograms.clone(),
            };
            if has_samples(&series) {
                out.push(series);
            }
            Ok(())
        };
        match &node.kind {
            Kind::Subquery(subquery) => {
                self.counting(&touched).subquery_series(steps, subquery, &mut take)?;
                self.touched.add_at(0, touched.total());
            }
            _ => self.range_series(steps, node, "", &mut take)?,
        }
        merge_matrix(out)
    }
}

/// Merges series of equal label sets; fails when two have a sample at one time.
fn merge_matrix(list: Vec<MatrixSeries>) -> Result<Vec<MatrixSeries>> {
    let mut places = std::collections::HashMap::with_capacity(list.len());
    let mut merged: Vec<MatrixSeries> = Vec::with_capacity(list.len());
    for series in list {
        let at = *places.entry(series.labels.clone()).or_insert(merged.len());
        let Some(known) = merged.get_mut(at) else {
            merged.push(series);
            continue;
        };
        known.floats.extend(series.floats);
        known.histograms.extend(series.histograms);
        known.floats.sort_by_key(|sample| sample.0);
        known.histograms.sort_by_key(|sample| sample.0);
        let equal_floats =
            known.floats.iter().zip(known.floats.iter().skip(1)).any(|(a, b)| a.0 == b.0);
        let equal_histograms =
            known.histograms.iter().zip(known.histograms.iter().skip(1)).any(|(a, b)| a.0 == b.0);
        if equal_floats || equal_histograms {
            return Err(QueryError::same_labels());
        }
    }
    Ok(merged)
}
