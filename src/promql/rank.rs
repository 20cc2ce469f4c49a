//! Aggregations that need the series of a group together: `topk`, `bottomk`, `limitk`, `limit_ratio`,
//! `quantile`, `count_values`.

use std::collections::HashMap;

use nines_storage::model::{Labels, LabelsBuilder};

use super::aggregate::{Grouping, entry_bytes};
use super::annotations::go_float;
use super::ast::{AggregateOp, Span};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Sink, merge_equal};
use super::functions::labels::is_valid_name;
use super::functions::{Note, quantile};
use super::number::format_decimal;
use super::plan::{Aggregate, Node};
use super::quote::quote_bytes;
use super::row::{Row, Selection};
use super::steps::Steps;

/// The largest float below 2^63 that Prometheus takes as a count.
const COUNT_MAX: f64 = 9_223_372_036_854_774_784.0;

/// The parameter of an aggregation over all steps.
struct Param {
    values: Vec<f64>,
    min: f64,
    max: f64,
    any_nan: bool,
}

impl Param {
    fn new(values: Vec<f64>) -> Self {
        let any_nan = values.iter().any(|v| v.is_nan());
        // As in Go, one NaN makes both extremes NaN.
        let fold = |pick: fn(f64, f64) -> f64| {
            if any_nan { None } else { values.iter().copied().reduce(pick) }
        };
        let (min, max) = (fold(f64::min).unwrap_or(f64::NAN), fold(f64::max).unwrap_or(f64::NAN));
        Self { values, min, max, any_nan }
    }

    fn at(&self, step: usize) -> f64 {
        self.values.get(step).copied().unwrap_or(f64::NAN)
    }
}

/// Rows and the group of each.
struct Grouped<'a> {
    rows: Vec<Row>,
    group_of: Vec<usize>,
    labels: Vec<Labels>,
    _hold: super::eval::Hold<'a>,
}

impl<'a> Evaluator<'a> {
    fn param(&self, steps: Steps, aggregate: &Aggregate) -> Result<Param> {
        match &aggregate.param {
            Some(param) => Ok(Param::new(self.scalar(steps, param)?)),
            None => Ok(Param::new(Vec::new())),
        }
    }

    fn grouped(&self, steps: Steps, aggregate: &Aggregate) -> Result<Grouped<'a>> {
        let mut rows = self.collect(steps, &aggregate.node)?;
        let bytes = |row: &Row| entry_bytes(&row.labels) + 2 * size_of::<Vec<bool>>();
        rows.hold.add(0, rows.list.iter().map(bytes).sum())?;
        let mut grouping = Grouping::new(&aggregate.grouping, aggregate.without);
        let mut labels = Vec::new();
        let group_of = rows
            .list
            .iter()
            .map(|row| {
                let (group, new) = grouping.group(&row.labels);
                labels.extend(new);
                group
            })
            .collect();
        Ok(Grouped { rows: rows.list, group_of, labels, _hold: rows.hold })
    }

    /// `topk`, `bottomk`, `limitk`, `limit_ratio`: some of the rows as they are.
    pub(super) fn chosen_rows(
        &self,
        steps: Steps,
        span: Span,
        aggregate: &Aggregate,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let param = self.param(steps, aggregate)?;
        let grouped = self.grouped(steps, aggregate)?;
        let param_span = aggregate.param.as_ref().map_or(span, |param| param.span);
        if aggregate.op == AggregateOp::LimitRatio {
            if !self.check_ratio(&param, param_span)? {
                return Ok(());
            }
        } else if !check_count(&param)? {
            return Ok(());
        }
        let n_rows = grouped.rows.len();
        let mut kept: Vec<Vec<bool>> = vec![Vec::new(); n_rows];
        let mut order: Vec<usize> = Vec::new();
        let hashes: Vec<f64> = match aggregate.op {
            AggregateOp::LimitRatio => {
                grouped.rows.iter().map(|row| sampling_offset(&row.labels)).collect()
            }
            _ => Vec::new(),
        };
        for step in 0..steps.n {
            if step % 64 == 0 {
                self.check()?;
            }
            let chosen = match aggregate.op {
                AggregateOp::LimitRatio => choose_ratio(&grouped, step, param.at(step), &hashes),
                op => self.choose_count(&grouped, step, op, param.at(step), span),
            };
            for &index in &chosen {
                if let Some(kept) = kept.get_mut(index) {
                    if kept.is_empty() {
                        kept.resize(steps.n, false);
                    }
                    if let Some(flag) = kept.get_mut(step) {
                        *flag = true;
                    }
                }
            }
            if steps.is_instant() {
                order = chosen;
            }
        }
        if !steps.is_instant() {
            order = (0..n_rows).collect();
        }
        let mut rows: Vec<Option<Row>> = grouped.rows.into_iter().map(Some).collect();
        for index in order {
            let (Some(Some(mut row)), Some(kept)) =
                (rows.get_mut(index).map(Option::take), kept.get(index))
            else {
                continue;
            };
            row.retain(|step| kept.get(step).copied().unwrap_or(false));
            if !row.is_empty() {
                sink(&mut row)?;
            }
        }
        Ok(())
    }

    /// The rows that `topk`, `bottomk` or `limitk` choose at a step, group by group.
    fn choose_count(
        &self,
        grouped: &Grouped<'_>,
        step: usize,
        op: AggregateOp,
        k: f64,
        span: Span,
    ) -> Vec<usize> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to lie within i64"
        )]
        let k = if k < 1.0 { 0 } else { (k as u64).min(grouped.rows.len() as u64) as usize };
        let mut heaps: Vec<Heap> =
            grouped.labels.iter().map(|_| Heap::new(op == AggregateOp::Bottomk)).collect();
        if k == 0 {
            return Vec::new();
        }
        for (index, (row, &group)) in grouped.rows.iter().zip(&grouped.group_of).enumerate() {
            let Some(heap) = heaps.get_mut(group) else { continue };
            match (row.float(step), op) {
                (None, _) if row.histogram(step).is_none() => {}
                (None, AggregateOp::Limitk) if heap.list.len() < k => heap.push(0.0, index),
                (None, AggregateOp::Limitk) => {}
                (None, _) => {
                    let aggregation = if op == AggregateOp::Topk { "topk" } else { "bottomk" };
                    self.note(Note::HistogramIgnoredInAggregation { aggregation }, span);
                }
                (Some(value), _) if heap.list.len() < k => heap.push(value, index),
                (Some(_), AggregateOp::Limitk) => {}
                (Some(value), _) => heap.replace_worst(value, index),
            }
        }
        let mut chosen = Vec::new();
        for mut heap in heaps {
            if op != AggregateOp::Limitk {
                heap.sort_best_first();
            }
            chosen.extend(heap.list.iter().map(|entry| entry.1));
        }
        chosen
    }

    /// Whether a `limit_ratio` chooses anything at all.
    fn check_ratio(&self, param: &Param, span: Span) -> Result<bool> {
        if param.max == 0.0 && param.min == 0.0 {
            return Ok(false);
        }
        if param.any_nan {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        if param.max > 1.0 {
            self.note(Note::InvalidRatio { ratio: param.max, capped: 1.0 }, span);
        }
        if param.min < -1.0 {
            self.note(Note::InvalidRatio { ratio: param.min, capped: -1.0 }, span);
        }
        Ok(true)
    }

    pub(super) fn quantile_rows(
        &self,
        steps: Steps,
        aggregate: &Aggregate,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let param = self.param(steps, aggregate)?;
        let grouped = self.grouped(steps, aggregate)?;
        if let Some(node) = &aggregate.param {
            self.check_quantile(&param, node);
        }
        let mut members: Vec<Vec<&Row>> = vec![Vec::new(); grouped.labels.len()];
        for (row, &group) in grouped.rows.iter().zip(&grouped.group_of) {
            if !row.histograms.is_empty() {
                self.note(
                    Note::HistogramIgnoredInAggregation { aggregation: "quantile" },
                    aggregate.node.span,
                );
            }
            if let Some(members) = members.get_mut(group) {
                members.push(row);
            }
        }
        let mut values: Vec<f64> = Vec::new();
        for (labels, members) in grouped.labels.iter().zip(members) {
            let mut out = Row::new(labels.clone(), steps.n);
            out.drop_name = members.iter().any(|row| row.drop_name);
            for (step, place) in out.values.iter_mut().enumerate() {
                if step % 64 == 0 {
                    self.check()?;
                }
                values.clear();
                values.extend(members.iter().filter_map(|row| row.float(step)));
                if !values.is_empty() {
                    *place = quantile(param.at(step), &mut values);
                }
            }
            if !out.is_empty() {
                sink(&mut out)?;
            }
        }
        Ok(())
    }

    fn check_quantile(&self, param: &Param, node: &Node) {
        let values = &param.values;
        if param.any_nan {
            self.note(Note::InvalidQuantile { q: f64::NAN }, node.span);
        }
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        if max > 1.0 {
            self.note(Note::InvalidQuantile { q: max }, node.span);
        }
        if min < 0.0 {
            self.note(Note::InvalidQuantile { q: min }, node.span);
        }
    }

    /// `count_values`: how often each value occurs; histograms have no text yet and are left out.
    pub(super) fn count_values_rows(
        &self,
        steps: Steps,
        aggregate: &Aggregate,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let text = self.text(aggregate.param.as_ref())?;
        let Some(label) = text.as_str().filter(|name| is_valid_name(name)) else {
            let name = quote_bytes(text.as_bytes());
            return Err(QueryError::execution(format!("invalid label name {name}")));
        };
        let mut names = aggregate.grouping.clone();
        if !aggregate.without {
            names.push(label.to_owned());
        }
        let selection =
            if aggregate.without { Selection::without(&names) } else { Selection::on(&names) };
        let mut out: Vec<Row> = Vec::new();
        let mut hold = self.hold();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        self.rows(steps, &aggregate.node, &mut |row| {
            let mut place_of: HashMap<u64, usize> = HashMap::new();
            for step in 0..steps.n {
                let Some(value) = row.float(step) else { continue };
                let place = match place_of.get(&value.to_bits()) {
                    Some(&place) => place,
                    None => {
                        let mut builder = LabelsBuilder::new(&row.labels);
                        let labels =
                            selection.labels(&builder.set(label, &format_decimal(value)).build());
                        let place = *places.entry(labels.clone()).or_insert(out.len());
                        if place == out.len() {
                            let new = Row::new(labels, steps.n);
                            hold.add(steps.n, new.bytes() + entry_bytes(&new.labels))?;
                            out.push(new);
                        }
                        place_of.insert(value.to_bits(), place);
                        place
                    }
                };
                if let Some(count) = out.get_mut(place).and_then(|row| row.values.get_mut(step)) {
                    *count = if super::row::is_absent(*count) { 1.0 } else { *count + 1.0 };
                }
            }
            self.leave_histograms_out(row, aggregate.node.span);
            Ok(())
        })?;
        for row in &mut merge_equal(out)? {
            sink(row)?;
        }
        Ok(())
    }
}

/// Whether `topk`, `bottomk` or `limitk` chooses anything at all.
fn check_count(param: &Param) -> Result<bool> {
    if param.max < 1.0 {
        return Ok(false);
    }
    if param.any_nan {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    if param.min <= -9_223_372_036_854_775_808.0 {
        return Err(QueryError::execution(format!(
            "Scalar value {} underflows int64",
            go_float(param.min)
        )));
    }
    if param.max >= COUNT_MAX {
        return Err(QueryError::execution(format!(
            "Scalar value {} overflows int64",
            go_float(param.max)
        )));
    }
    Ok(true)
}

fn choose_ratio(grouped: &Grouped<'_>, step: usize, ratio: f64, hashes: &[f64]) -> Vec<usize> {
    let ratio = ratio.clamp(-1.0, 1.0);
    if ratio == 0.0 {
        return Vec::new();
    }
    let taken = |offset: f64| if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio };
    let mut by_group: Vec<Vec<usize>> = vec![Vec::new(); grouped.labels.len()];
    for (index, ((row, &group), &offset)) in
        grouped.rows.iter().zip(&grouped.group_of).zip(hashes).enumerate()
    {
        if row.has(step)
            && taken(offset)
            && let Some(list) = by_group.get_mut(group)
        {
            list.push(index);
        }
    }
    by_group.concat()
}

/// Where a label set lies in [0, 1]: xxHash64 of the set as Prometheus lays it out (`stringlabels`), so that
/// both choose the same series.
#[allow(clippy::cast_precision_loss, reason = "as Prometheus does")]
fn sampling_offset(labels: &Labels) -> f64 {
    let mut bytes = Vec::new();
    for (name, value) in labels {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(len) if len < 255 => bytes.push(len),
                _ => {
                    bytes.push(255);
                    bytes.extend(text.len().to_le_bytes().into_iter().take(3));
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0) as f64 / u64::MAX as f64
}

/// The k best of a group: a binary heap with the worst on top, of the same shape as Go's `container/heap`
/// makes it, so that equal values come out in Prometheus's order.
struct Heap {
    list: Vec<(f64, usize)>,
    /// Whether small values are the best.
    small_best: bool,
}

impl Heap {
    fn new(small_best: bool) -> Self {
        Self { list: Vec::new(), small_best }
    }

    /// Whether `a` is worse than `b`; NaN is worst.
    fn worse(&self, a: usize, b: usize) -> bool {
        match (self.list.get(a), self.list.get(b)) {
            (Some(a), Some(b)) => {
                a.0.is_nan() || if self.small_best { a.0 > b.0 } else { a.0 < b.0 }
            }
            _ => false,
        }
    }

    fn push(&mut self, value: f64, index: usize) {
        self.list.push((value, index));
        let mut at = self.list.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.worse(at, parent) {
                break;
            }
            self.list.swap(at, parent);
            at = parent;
        }
    }

    /// Puts a sample in the place of the worst when it is better.
    fn replace_worst(&mut self, value: f64, index: usize) {
        let Some(worst) = self.list.first_mut() else { return };
        let better = if self.small_best { worst.0 > value } else { worst.0 < value };
        let first_number = worst.0.is_nan() && !value.is_nan();
        if !better && !first_number {
            return;
        }
        *worst = (value, index);
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.list.len() {
                return;
            }
            let child =
                if right < self.list.len() && self.worse(right, left) { right } else { left };
            if !self.worse(child, at) {
                return;
            }
            self.list.swap(at, child);
            at = child;
        }
    }

    fn sort_best_first(&mut self) {
        let small_best = self.small_best;
        self.list.sort_by(|a, b| super::order::values(a.0, b.0, !small_best));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(small_best: bool, k: usize, values: &[f64]) -> Vec<usize> {
        let mut heap = Heap::new(small_best);
        for (index, &value) in values.iter().enumerate() {
            if heap.list.len() < k {
                heap.push(value, index)
            } else {
                heap.replace_worst(value, index)
            }
        }
        heap.sort_best_first();
        heap.list.into_iter().map(|entry| entry.1).collect()
    }

    #[test]
    fn the_best_come_first_and_nan_last() {
        let values = [3.0, f64::NAN, 5.0, 1.0, 4.0];
        assert_eq!(best(false, 3, &values), [2, 4, 0]);
        assert_eq!(best(true, 3, &values), [3, 0, 4]);
        assert_eq!(best(false, 5, &values), [2, 4, 0, 3, 1]);
    }

    #[test]
    fn offsets_are_those_of_prometheus() {
        // xxHash64 of the empty text is 0xef46db3751d8e999.
        assert_eq!(
            sampling_offset(&Labels::empty()),
            0xef46_db37_51d8_e999_u64 as f64 / u64::MAX as f64
        );
    }
}
