//! The functions of PromQL: one table of signatures and implementations (Prometheus 3.14,
//! `promql/parser/functions.go` and `promql/functions.go`).
//!
//! The parser checks calls with [`find`]; the engine runs [`Function::eval`]. Everything here is pure:
//! values in, values out, annotations into [`Notes`]. What needs the evaluator (labels, several series,
//! the clock of the query) is named by [`EngineFn`] and implemented in the engine, with the pure parts of
//! it here ([`bucket_quantile`], [`bucket_fraction`], [`quantile`], [`labels`]).
//!
//! Windows and native histograms: functions that skip histograms note it as Prometheus does; those that
//! would return or combine histograms (`rate`, `increase`, `delta`, `irate`, `idelta`, `sum_over_time`,
//! `avg_over_time` over histograms alone) give no sample and note [`Note::HistogramNotSupported`].

mod classic_histogram;
mod dates;
pub mod labels;
mod math;
mod notes;
mod over_time;
mod quantile;
mod rates;
mod smoothing;
mod table;

use std::cmp::Ordering;
use std::sync::Arc;

use nines_storage::model::Histogram;

use super::ast::ValueType;

pub use classic_histogram::{
    BucketQuantile, ForcedMonotonicity, bucket_fraction, bucket_quantile, parse_bucket_bound,
};
pub use math::{max_of, min_of};
pub use notes::{HistogramOperation, Note, Notes};
pub use quantile::quantile;
pub use rates::{edge_change, note_counter_name};

/// A function of the language.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Name as written in a query.
    pub name: &'static str,
    /// Types of the arguments; the last one repeats when variadic.
    pub args: &'static [ValueType],
    /// 0: exactly `args.len()` arguments. n > 0: the last argument may be left out, or repeated until there
    /// are `args.len() - 1 + n` of them. -1: the last argument may be left out or repeated without end
    /// (`Variadic` of Prometheus).
    pub variadic: i32,
    /// Type of the result.
    pub returns: ValueType,
    /// Whether Prometheus asks for `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
    /// What it does.
    pub eval: Eval,
}

impl Function {
    /// Fewest and most arguments; `None`: without end.
    #[must_use]
    pub const fn arg_count(&self) -> (usize, Option<usize>) {
        let n = self.args.len();
        match self.variadic {
            0 => (n, Some(n)),
            v if v > 0 => {
                (n.saturating_sub(1), Some(n.saturating_sub(1) + v.unsigned_abs() as usize))
            }
            _ => (n.saturating_sub(1), None),
        }
    }

    /// Type of the argument at `index`, counted from 0; beyond the last one its type repeats.
    #[must_use]
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        self.args.get(index).or(self.args.last()).copied()
    }

    /// Looks at the scalar arguments of one step before the function is applied.
    ///
    /// `Ok(false)`: the result is empty at this step (`clamp` with max < min).
    ///
    /// # Errors
    /// Text of the execution error with which Prometheus aborts the query (smoothing factors outside (0, 1)).
    pub fn accepts(&self, params: &[f64]) -> Result<bool, String> {
        match (self.name, params) {
            ("clamp", [min, max, ..]) => Ok(max.partial_cmp(min) != Some(Ordering::Less)),
            ("double_exponential_smoothing", [sf, tf, ..]) => {
                smoothing::check_factors(*sf, *tf).map(|()| true)
            }
            _ => Ok(true),
        }
    }
}

/// What a function does.
#[derive(Debug, Clone, Copy)]
pub enum Eval {
    /// Over a range vector, window by window (`rate`, `*_over_time`, ...). `None`: no sample at this step.
    /// Never called with a window without floats and histograms.
    Window(fn(&Window<'_>, &mut Notes) -> Option<f64>),
    /// Element by element on the floats of an instant vector, with the scalar arguments of that step.
    Map(fn(f64, &[f64]) -> f64),
    /// Dates: seconds since the epoch to a number; without an argument applied to the evaluation time.
    Date(fn(f64) -> f64),
    /// `first_over_time`: the oldest sample of the window, float or histogram (the histogram when both are
    /// equally old); keeps the metric name.
    First,
    /// `last_over_time`: the newest sample of the window, float or histogram (the histogram when both are
    /// equally new); keeps the metric name.
    Last,
    /// Needs the evaluator.
    Engine(EngineFn),
}

/// Functions that the engine implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineFn {
    /// `absent`
    Absent,
    /// `absent_over_time`
    AbsentOverTime,
    /// `end`
    End,
    /// `histogram_avg`
    HistogramAvg,
    /// `histogram_count`
    HistogramCount,
    /// `histogram_fraction`
    HistogramFraction,
    /// `histogram_quantile`
    HistogramQuantile,
    /// `histogram_quantiles`
    HistogramQuantiles,
    /// `histogram_stddev`
    HistogramStddev,
    /// `histogram_stdvar`
    HistogramStdvar,
    /// `histogram_sum`
    HistogramSum,
    /// `info`
    Info,
    /// `label_join`
    LabelJoin,
    /// `label_replace`
    LabelReplace,
    /// `max_of`
    MaxOf,
    /// `min_of`
    MinOf,
    /// `pi`
    Pi,
    /// `range`
    Range,
    /// `scalar`
    Scalar,
    /// `sort`
    Sort,
    /// `sort_by_label`
    SortByLabel,
    /// `sort_by_label_desc`
    SortByLabelDesc,
    /// `sort_desc`
    SortDesc,
    /// `start`
    Start,
    /// `start_timestamp`
    StartTimestamp,
    /// `step`
    Step,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `vector`
    Vector,
}

/// The samples of one series in `(start_ms, end_ms]`, stale markers removed.
///
/// With `anchored` the slices begin with the newest sample at or before `start_ms` (if the lookback holds
/// one); that is all `resets` and `changes` need. `rate`, `increase` and `delta` over `anchored` or
/// `smoothed` selectors are [`edge_change`].
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Timestamps of the floats in milliseconds, ascending.
    pub ts: &'a [i64],
    /// The floats, parallel to `ts`.
    pub values: &'a [f64],
    /// Native histograms.
    pub histograms: &'a [(i64, Arc<Histogram>)],
    /// Beginning of the window, itself outside.
    pub start_ms: i64,
    /// End of the window, itself inside.
    pub end_ms: i64,
    /// Length of the range as written; `end_ms - start_ms`.
    pub range_ms: i64,
    /// The scalar arguments of this step, in the order of the call.
    pub params: &'a [f64],
    /// The evaluation time.
    pub eval_ms: i64,
    /// Metric name of the series, empty when it has none.
    pub metric: &'a str,
    /// Step of the query, 0 for an instant query.
    pub step_ms: i64,
}

/// The function called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    let table = all();
    table.binary_search_by(|f| f.name.cmp(name)).ok().and_then(|at| table.get(at))
}

/// All functions, sorted by name.
#[must_use]
pub const fn all() -> &'static [Function] {
    table::TABLE
}

#[cfg(test)]
mod tests;
