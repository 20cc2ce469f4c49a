//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` over classic histograms: series that
//! differ in `le` only are the buckets of one histogram.

use std::collections::HashMap;

use nines_storage::model::{Labels, LabelsBuilder};

use super::ast::{Span, ValueType};
use super::error::Result;
use super::eval::{Evaluator, Sink, merge_equal, wrong_arguments};
use super::functions::{
    EngineFn, Function, Note, bucket_fraction, bucket_quantile, parse_bucket_bound,
};
use super::plan::Node;
use super::row::Row;
use super::steps::Steps;

const BUCKET: &str = "le";

/// The bucket series of one histogram.
struct Buckets {
    /// Labels without `le`, the name still among them.
    labels: Labels,
    /// Bound and row of every bucket.
    rows: Vec<(f64, Row)>,
    /// Steps at which there is a native histogram of the same labels, too.
    native: Vec<usize>,
}

/// What is asked of every histogram at every step.
enum Question {
    Quantile(Vec<f64>),
    Fraction(Vec<f64>, Vec<f64>),
}

impl Evaluator<'_> {
    pub(super) fn classic_histogram_rows(
        &self,
        steps: Steps,
        which: EngineFn,
        function: &'static Function,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let vector = args
            .iter()
            .find(|arg| arg.ty == ValueType::Vector)
            .ok_or_else(|| wrong_arguments(function))?;
        let mut columns = Vec::new();
        for arg in args.iter().filter(|arg| arg.ty == ValueType::Scalar) {
            let column = self.scalar(steps, arg)?;
            if which != EngineFn::HistogramFraction {
                self.check_quantiles(&column, arg.span);
            }
            columns.push(column);
        }
        let mut histograms = self.collect_buckets(steps, vector)?;
        let mut out = Vec::new();
        match which {
            EngineFn::HistogramFraction => {
                let mut columns = columns.into_iter();
                let (Some(lower), Some(upper)) = (columns.next(), columns.next()) else {
                    return Err(wrong_arguments(function));
                };
                let question = Question::Fraction(lower, upper);
                for histogram in &mut histograms.list {
                    out.push(self.ask(steps, histogram, &question, vector.span)?);
                }
            }
            EngineFn::HistogramQuantiles => {
                let label = &self.text(args.get(1))?.to_lossy();
                for column in columns {
                    out.append(&mut self.labeled_quantiles(
                        steps,
                        &mut histograms.list,
                        label,
                        column,
                        vector.span,
                    )?);
                }
            }
            _ => {
                let Some(column) = columns.into_iter().next() else {
                    return Err(wrong_arguments(function));
                };
                let question = Question::Quantile(column);
                for histogram in &mut histograms.list {
                    out.push(self.ask(steps, histogram, &question, vector.span)?);
                }
            }
        }
        out.retain(|row| !row.is_empty());
        // One quantile asked for twice gives one series twice.
        let equal_allowed = which != EngineFn::HistogramQuantiles;
        let out = if equal_allowed { out } else { merge_equal(out)? };
        for mut row in out {
            sink(&mut row)?;
        }
        Ok(())
    }

    fn check_quantiles(&self, column: &[f64], span: Span) {
        for &q in column {
            if q.is_nan() || !(0.0..=1.0).contains(&q) {
                self.note(Note::InvalidQuantile { q }, span);
            }
        }
    }

    /// One row for every histogram and value of the quantile, with the value as a label.
    fn labeled_quantiles(
        &self,
        steps: Steps,
        histograms: &mut [Buckets],
        label: &str,
        column: Vec<f64>,
        span: Span,
    ) -> Result<Vec<Row>> {
        let mut values: Vec<f64> = Vec::new();
        for &q in &column {
            if !values.iter().any(|v| v.to_bits() == q.to_bits()) {
                values.push(q);
            }
        }
        let question = Question::Quantile(column.clone());
        let mut out = Vec::new();
        for histogram in histograms {
            let row = self.ask(steps, histogram, &question, span)?;
            for q in &values {
                let mut labels = LabelsBuilder::new(&row.labels);
                let mut labeled = row.clone();
                labeled.labels = labels.set(label, &open_metrics_float(*q)).build();
                labeled.retain(|step| column.get(step).is_some_and(|v| v.to_bits() == q.to_bits()));
                out.push(labeled);
            }
        }
        Ok(out)
    }

    fn ask(
        &self,
        steps: Steps,
        histogram: &Buckets,
        question: &Question,
        span: Span,
    ) -> Result<Row> {
        let mut row = Row::new(histogram.labels.clone(), steps.n);
        row.drop_name = true;
        let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(histogram.rows.len());
        for (step, place) in row.values.iter_mut().enumerate() {
            if step % 1024 == 0 {
                self.check()?;
            }
            buckets.clear();
            buckets.extend(
                histogram.rows.iter().filter_map(|(bound, row)| Some((*bound, row.float(step)?))),
            );
            if buckets.is_empty() {
                continue;
            }
            if histogram.native.binary_search(&step).is_ok() {
                let metric = histogram.labels.metric_name().to_owned();
                self.note(
                    Note::MixedClassicNativeHistograms { metric: self.told_name(&metric) },
                    span,
                );
                continue;
            }
            *place = match question {
                Question::Fraction(lower, upper) => match (lower.get(step), upper.get(step)) {
                    (Some(&lower), Some(&upper)) => bucket_fraction(lower, upper, &mut buckets),
                    _ => f64::NAN,
                },
                Question::Quantile(q) => {
                    let found =
                        bucket_quantile(q.get(step).copied().unwrap_or(f64::NAN), &mut buckets);
                    if let Some(forced) = found.forced {
                        let note = Note::HistogramQuantileForcedMonotonicity {
                            metric: self.told_name(histogram.labels.metric_name()),
                            ts_min_ms: steps.at(step),
                            ts_max_ms: steps.at(step),
                            bucket_min: forced.bucket_min,
                            bucket_max: forced.bucket_max,
                            diff_max: forced.diff_max,
                            more: 0,
                        };
                        self.note(note, span);
                    }
                    found.value
                }
            };
        }
        Ok(row)
    }

    /// The metric name in annotations: with names dropped at once there is none to tell.
    fn told_name(&self, name: &str) -> String {
        if self.delayed_name_removal { name.to_owned() } else { String::new() }
    }

    fn collect_buckets(&self, steps: Steps, vector: &Node) -> Result<Histograms<'_>> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut list: Vec<Buckets> = Vec::new();
        let mut natives: Vec<Row> = Vec::new();
        let mut hold = self.hold();
        self.rows(steps, vector, &mut |row| {
            hold.add(row.n_samples(), row.bytes())?;
            let mut row = row.take();
            if !row.histograms.is_empty() {
                let mut native = Row::new(row.labels.clone(), 0);
                native.histograms = std::mem::take(&mut row.histograms);
                natives.push(native);
            }
            if row.is_empty() {
                return Ok(());
            }
            let le = row.labels.get(BUCKET);
            let Some(bound) = parse_bucket_bound(le) else {
                let metric = self.told_name(row.labels.metric_name());
                self.note(Note::BadBucketLabel { metric, label: le.to_owned() }, vector.span);
                return Ok(());
            };
            let labels = Labels::from_pairs(row.labels.iter().filter(|pair| pair.0 != BUCKET));
            let at = *places.entry(labels.clone()).or_insert(list.len());
            if at == list.len() {
                list.push(Buckets { labels, rows: Vec::new(), native: Vec::new() });
            }
            if let Some(buckets) = list.get_mut(at) {
                buckets.rows.push((bound, row));
            }
            Ok(())
        })?;
        for mut native in natives {
            match places.get(&native.labels).and_then(|&at| list.get_mut(at)) {
                Some(buckets) => buckets.native = native.histograms.iter().map(|h| h.0).collect(),
                None => self.leave_histograms_out(&mut native, vector.span),
            }
        }
        Ok(Histograms { list, _hold: hold })
    }
}

struct Histograms<'a> {
    list: Vec<Buckets>,
    _hold: super::eval::Hold<'a>,
}

/// A float as OpenMetrics writes it in labels: whole numbers with a fraction (`labels.FormatOpenMetricsFloat`).
fn open_metrics_float(v: f64) -> String {
    if v.is_nan() || v.is_infinite() {
        return super::annotations::go_float(v);
    }
    let text = super::annotations::go_float(v);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}
