//! Aggregations that fold series into their group as they come: `sum`, `avg`, `min`, `max`, `count`,
//! `group`, `stddev`, `stdvar`. The others are in `rank.rs`.
//!
//! Series are folded in the order of the child, so that sums do not depend on anything else.

use hashbrown::HashMap;
use nines_storage::model::window::compensated_add;
use nines_storage::model::{Labels, stale_nan};

use super::ast::{AggregateOp, Span};
use super::error::Result;
use super::eval::{Evaluator, Hold, Sink};
use super::functions::Note;
use super::plan::Aggregate;
use super::row::{Row, Selection, is_absent};
use super::steps::Steps;

/// Bits of what a group has seen at a step.
const FLOAT: u8 = 1;
const HISTOGRAM: u8 = 2;
/// The mean is computed incrementally, because the sum would overflow.
const INCREMENTAL: u8 = 4;

/// What an allocation costs beyond its bytes.
const ALLOCATION_BYTES: usize = 24;

/// Bytes of a label set together with a table's entry under its key.
pub(super) fn entry_bytes(labels: &Labels) -> usize {
    2 * (labels.as_bytes().len() + ALLOCATION_BYTES) + 2 * size_of::<(Vec<u8>, usize)>()
}

/// Finds the group of a series by the bytes of its grouping labels.
pub(super) struct Grouping {
    selection: Selection,
    places: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
}

impl Grouping {
    pub(super) fn new(names: &[String], without: bool) -> Self {
        let selection = if without { Selection::without(names) } else { Selection::on(names) };
        Self { selection, places: HashMap::new(), key: Vec::new() }
    }

    /// Number of the group and, when it is new, its labels.
    pub(super) fn group(&mut self, labels: &Labels) -> (usize, Option<Labels>) {
        self.selection.key(labels, &mut self.key);
        if let Some(&place) = self.places.get(self.key.as_slice()) {
            return (place, None);
        }
        let place = self.places.len();
        self.places.insert(self.key.clone(), place);
        (place, Some(self.selection.labels(labels)))
    }
}

/// State of one group: columns over the steps.
struct Group {
    labels: Labels,
    drop_name: bool,
    seen: Vec<u8>,
    /// The result, or what leads to it: sum, mean, smallest, count, squared deviations.
    value: Vec<f64>,
    /// Compensation of a sum, or the mean of a variance.
    second: Vec<f64>,
    count: Vec<f64>,
}

impl Group {
    fn new(op: AggregateOp, labels: Labels, n: usize) -> Self {
        let second = matches!(
            op,
            AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar
        );
        let count = matches!(op, AggregateOp::Avg | AggregateOp::Stddev | AggregateOp::Stdvar);
        let column = |wanted: bool| if wanted { vec![0.0; n] } else { Vec::new() };
        Self {
            labels,
            drop_name: false,
            seen: vec![0; n],
            value: vec![0.0; n],
            second: column(second),
            count: column(count),
        }
    }

    /// Bytes of the group, its columns and its entry in [`Grouping`].
    fn bytes(&self) -> usize {
        let columns =
            self.seen.len() + 8 * (self.value.len() + self.second.len() + self.count.len());
        columns + size_of::<Self>() + 4 * ALLOCATION_BYTES + entry_bytes(&self.labels)
    }

    fn fold(&mut self, op: AggregateOp, row: &Row) {
        match op {
            AggregateOp::Sum => self.fold_sum(&row.values),
            AggregateOp::Avg => self.fold_mean(&row.values),
            AggregateOp::Min => self.fold_extremum(&row.values, |known, new| known > new),
            AggregateOp::Max => self.fold_extremum(&row.values, |known, new| known < new),
            AggregateOp::Stddev | AggregateOp::Stdvar => self.fold_variance(&row.values),
            _ => self.fold_count(row),
        }
    }

    fn fold_sum(&mut self, values: &[f64]) {
        let state = self.value.iter_mut().zip(&mut self.second).zip(&mut self.seen);
        for (((sum, compensation), seen), &v) in state.zip(values) {
            if is_absent(v) {
                continue;
            }
            if *seen & FLOAT == 0 {
                *seen |= FLOAT;
                *sum = v;
            } else {
                add(v, sum, compensation);
            }
        }
    }

    fn fold_mean(&mut self, values: &[f64]) {
        let state =
            self.value.iter_mut().zip(&mut self.second).zip(&mut self.seen).zip(&mut self.count);
        for ((((value, compensation), seen), count), &v) in state.zip(values) {
            if is_absent(v) {
                continue;
            }
            *count += 1.0;
            if *seen & FLOAT == 0 {
                *seen |= FLOAT;
                *value = v;
                continue;
            }
            if *seen & INCREMENTAL == 0 {
                let (mut sum, mut sum_compensation) = (*value, *compensation);
                add(v, &mut sum, &mut sum_compensation);
                if !sum.is_infinite() {
                    (*value, *compensation) = (sum, sum_compensation);
                    continue;
                }
                *seen |= INCREMENTAL;
                *value /= *count - 1.0;
                *compensation /= *count - 1.0;
            }
            let share = (*count - 1.0) / *count;
            *value *= share;
            *compensation *= share;
            add(v / *count, value, compensation);
        }
    }

    fn fold_extremum(&mut self, values: &[f64], replaces: fn(f64, f64) -> bool) {
        for ((value, seen), &v) in self.value.iter_mut().zip(&mut self.seen).zip(values) {
            if is_absent(v) {
                continue;
            }
            if *seen & FLOAT == 0 || replaces(*value, v) || value.is_nan() {
                *seen |= FLOAT;
                *value = v;
            }
        }
    }

    fn fold_variance(&mut self, values: &[f64]) {
        let state =
            self.value.iter_mut().zip(&mut self.second).zip(&mut self.seen).zip(&mut self.count);
        for ((((squares, mean), seen), count), &v) in state.zip(values) {
            if is_absent(v) {
                continue;
            }
            *count += 1.0;
            if *seen & FLOAT == 0 {
                *seen |= FLOAT;
                *mean = v;
                *squares = if v.is_finite() { 0.0 } else { f64::NAN };
                continue;
            }
            let delta = v - *mean;
            *mean += delta / *count;
            *squares += delta * (v - *mean);
        }
    }

    fn fold_count(&mut self, row: &Row) {
        for ((count, seen), &v) in self.value.iter_mut().zip(&mut self.seen).zip(&row.values) {
            if !is_absent(v) {
                *seen |= FLOAT;
                *count += 1.0;
            }
        }
        for (step, _) in &row.histograms {
            if let (Some(count), Some(seen)) = (self.value.get_mut(*step), self.seen.get_mut(*step))
            {
                *seen |= FLOAT;
                *count += 1.0;
            }
        }
    }

    fn finish(self, op: AggregateOp, mixed: &mut bool) -> Row {
        let mut row = Row::new(self.labels, 0);
        row.drop_name = self.drop_name;
        row.values = self.value;
        for (step, (value, &seen)) in row.values.iter_mut().zip(&self.seen).enumerate() {
            let second = || self.second.get(step).copied().unwrap_or(0.0);
            let count = || self.count.get(step).copied().unwrap_or(1.0);
            if seen & FLOAT == 0 {
                *value = stale_nan();
                continue;
            }
            if seen & HISTOGRAM != 0 {
                *mixed = true;
                *value = stale_nan();
                continue;
            }
            *value = match op {
                AggregateOp::Sum => *value + second(),
                AggregateOp::Avg if seen & INCREMENTAL != 0 => *value + second(),
                AggregateOp::Avg => *value / count() + second() / count(),
                AggregateOp::Stdvar => *value / count(),
                AggregateOp::Stddev => (*value / count()).sqrt(),
                AggregateOp::Group => 1.0,
                _ => *value,
            };
        }
        row
    }
}

/// Adds with compensation.
#[inline]
fn add(v: f64, sum: &mut f64, compensation: &mut f64) {
    (*sum, *compensation) = compensated_add(v, *sum, *compensation);
}

impl Evaluator<'_> {
    /// Rows of an aggregation.
    pub(super) fn aggregate_rows(
        &self,
        steps: Steps,
        span: Span,
        aggregate: &Aggregate,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match aggregate.op {
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => self.chosen_rows(steps, span, aggregate, sink),
            AggregateOp::Quantile => self.quantile_rows(steps, aggregate, sink),
            AggregateOp::CountValues => self.count_values_rows(steps, aggregate, sink),
            op => self.folded_rows(steps, op, aggregate, sink),
        }
    }

    fn folded_rows(
        &self,
        steps: Steps,
        op: AggregateOp,
        aggregate: &Aggregate,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let mut grouping = Grouping::new(&aggregate.grouping, aggregate.without);
        let mut groups: Vec<Group> = Vec::new();
        let mut hold: Hold<'_> = self.hold();
        let child = &aggregate.node;
        self.rows(steps, child, &mut |row| {
            let (place, new) = grouping.group(&row.labels);
            if let Some(labels) = new {
                let group = Group::new(op, labels, steps.n);
                hold.add(steps.n, group.bytes())?;
                groups.push(group);
            }
            let Some(group) = groups.get_mut(place) else { return Ok(()) };
            group.drop_name |= row.drop_name;
            group.fold(op, row);
            if !row.histograms.is_empty() {
                self.note_histograms(op, row, group, child.span);
            }
            Ok(())
        })?;
        let mut mixed = false;
        // In an order that does not depend on that of the series.
        groups.sort_by(|a, b| a.labels.cmp(&b.labels));
        for group in groups {
            let mut row = group.finish(op, &mut mixed);
            if !row.is_empty() {
                sink(&mut row)?;
            }
        }
        if mixed {
            self.note(Note::MixedFloatsHistogramsAgg, child.span);
        }
        Ok(())
    }

    /// Histograms spoil the sums and means of floats; sums of histograms themselves are not evaluated yet.
    fn note_histograms(&self, op: AggregateOp, row: &Row, group: &mut Group, span: Span) {
        let aggregation = match op {
            AggregateOp::Sum | AggregateOp::Avg => {
                for (step, _) in &row.histograms {
                    if let Some(seen) = group.seen.get_mut(*step) {
                        *seen |= HISTOGRAM;
                    }
                }
                self.note(
                    Note::HistogramNotSupported { metric: row.labels.metric_name().to_owned() },
                    span,
                );
                return;
            }
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            _ => return,
        };
        self.note(Note::HistogramIgnoredInAggregation { aggregation }, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(op: AggregateOp, values: &[f64]) -> f64 {
        let mut group = Group::new(op, Labels::empty(), 1);
        for &v in values {
            let mut row = Row::new(Labels::empty(), 1);
            row.values = vec![v];
            group.fold(op, &row);
        }
        group.finish(op, &mut false).values[0]
    }

    #[test]
    fn sums_are_compensated() {
        assert_eq!(fold(AggregateOp::Sum, &[1e100, 1.0, -1e100, 1.0]), 2.0);
        assert_eq!(fold(AggregateOp::Sum, &[f64::INFINITY, 1.0, f64::INFINITY]), f64::INFINITY);
    }

    #[test]
    fn means_do_not_overflow() {
        assert_eq!(fold(AggregateOp::Avg, &[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(fold(AggregateOp::Avg, &[f64::MAX, f64::MAX]), f64::MAX);
    }

    #[test]
    fn extremes_prefer_numbers_to_nan() {
        assert_eq!(fold(AggregateOp::Max, &[f64::NAN, 1.0, 2.0]), 2.0);
        assert_eq!(fold(AggregateOp::Min, &[3.0, f64::NAN, 2.0]), 2.0);
        assert!(fold(AggregateOp::Min, &[f64::NAN]).is_nan());
    }

    #[test]
    fn deviation_of_a_population() {
        assert_eq!(fold(AggregateOp::Stdvar, &[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 4.0);
        assert_eq!(fold(AggregateOp::Stddev, &[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 2.0);
    }
}
