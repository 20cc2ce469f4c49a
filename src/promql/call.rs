//! Functions that give an instant vector.

use nines_storage::model::{
    Counts, Histogram, Labels, LabelsBuilder, METRIC_NAME, MatchOp, SeriesData, is_stale, stale_nan,
};

use super::ast::{Span, Text, ValueType};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Sink, UntoldSteps, merge_equal, wrong_arguments};
use super::functions::labels::{LabelReplace, is_valid_name};
use super::functions::{EngineFn, Eval, Function, Note};
use super::plan::{Kind, Node, seconds};
use super::row::{Row, is_absent};
use super::selector::Pick;
use super::steps::Steps;

impl Evaluator<'_> {
    /// Rows of a call.
    pub(super) fn call_rows(
        &self,
        steps: Steps,
        span: Span,
        function: &'static Function,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match function.eval {
            Eval::Window(_) | Eval::First | Eval::Last => {
                self.window_rows(steps, function, args, sink)
            }
            Eval::Map(map) => self.map_rows(steps, function, map, args, sink),
            Eval::Date(date) => self.date_rows(steps, date, args, sink),
            Eval::Engine(which) => self.engine_rows(steps, span, function, which, args, sink),
        }
    }

    fn engine_rows(
        &self,
        steps: Steps,
        span: Span,
        function: &'static Function,
        which: EngineFn,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match which {
            EngineFn::Absent => self.absent_rows(steps, args, sink),
            EngineFn::AbsentOverTime => self.absent_over_time_rows(steps, function, args, sink),
            EngineFn::HistogramQuantile
            | EngineFn::HistogramQuantiles
            | EngineFn::HistogramFraction => {
                self.classic_histogram_rows(steps, which, function, args, sink)
            }
            EngineFn::HistogramAvg
            | EngineFn::HistogramCount
            | EngineFn::HistogramStddev
            | EngineFn::HistogramStdvar
            | EngineFn::HistogramSum => {
                self.native_histogram_rows(steps, span, function, which, args, sink)
            }
            EngineFn::Info => self.info_rows(steps, args, sink),
            EngineFn::LabelJoin => self.label_join_rows(steps, args, sink),
            EngineFn::LabelReplace => self.label_replace_rows(steps, args, sink),
            EngineFn::Sort
            | EngineFn::SortDesc
            | EngineFn::SortByLabel
            | EngineFn::SortByLabelDesc => self.sorted_rows(steps, span, which, args, sink),
            EngineFn::Timestamp => {
                self.timestamp_rows(steps, Pick::Timestamp, function, args, sink)
            }
            EngineFn::StartTimestamp => {
                self.timestamp_rows(steps, Pick::StartTimestamp, function, args, sink)
            }
            EngineFn::Vector => {
                let [scalar] = args else { return Err(wrong_arguments(function)) };
                let mut row = Row::new(Labels::empty(), 0);
                row.values = self.scalar(steps, scalar)?;
                sink(&mut row)
            }
            EngineFn::End
            | EngineFn::MaxOf
            | EngineFn::MinOf
            | EngineFn::Pi
            | EngineFn::Range
            | EngineFn::Scalar
            | EngineFn::Start
            | EngineFn::Step
            | EngineFn::Time => Err(wrong_arguments(function)),
        }
    }

    fn map_rows(
        &self,
        steps: Steps,
        function: &Function,
        map: fn(f64, &[f64]) -> f64,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let vector = args
            .iter()
            .find(|arg| arg.ty == ValueType::Vector)
            .ok_or_else(|| wrong_arguments(function))?;
        let mut columns = Vec::new();
        for arg in args.iter().filter(|arg| arg.ty == ValueType::Scalar) {
            columns.push(self.scalar(steps, arg)?);
        }
        let mut params = vec![0.0; columns.len()];
        self.rows(steps, vector, &mut |row| {
            for (step, value) in row.values.iter_mut().enumerate() {
                if is_absent(*value) {
                    continue;
                }
                for (param, column) in params.iter_mut().zip(&columns) {
                    *param = column.get(step).copied().unwrap_or(f64::NAN);
                }
                let accepted = params.is_empty()
                    || function.accepts(&params).map_err(QueryError::Execution)?;
                *value = if accepted { map(*value, &params) } else { stale_nan() };
            }
            row.histograms.clear();
            row.drop_name = true;
            if row.is_empty() { Ok(()) } else { sink(row) }
        })
    }

    fn date_rows(
        &self,
        steps: Steps,
        date: fn(f64) -> f64,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let Some(vector) = args.first() else {
            let mut row = Row::new(Labels::empty(), 0);
            row.values = (0..steps.n).map(|step| date(seconds(steps.at(step)))).collect();
            return sink(&mut row);
        };
        self.rows(steps, vector, &mut |row| {
            row.values.iter_mut().filter(|v| !is_stale(**v)).for_each(|v| *v = date(*v));
            row.histograms.clear();
            row.drop_name = true;
            if row.is_empty() { Ok(()) } else { sink(row) }
        })
    }

    fn absent_rows(&self, steps: Steps, args: &[Node], sink: &mut Sink<'_>) -> Result<()> {
        let Some(vector) = args.first() else { return Ok(()) };
        let mut row = Row::new(absent_labels(vector), 0);
        row.values = vec![1.0; steps.n];
        let untold = UntoldSteps::default();
        self.telling(&untold).rows(steps, vector, &mut |present| {
            for (value, &v) in row.values.iter_mut().zip(&present.values) {
                if !is_absent(v) {
                    *value = stale_nan();
                }
            }
            for (step, _) in &present.histograms {
                if let Some(value) = row.values.get_mut(*step) {
                    *value = stale_nan();
                }
            }
            Ok(())
        })?;
        // What may be there is not absent.
        let untold = untold.take();
        for (step, value) in row.values.iter_mut().enumerate() {
            if untold.contains(&steps.at(step)) {
                *value = stale_nan();
            }
        }
        self.untold.add(untold);
        if row.is_empty() { Ok(()) } else { sink(&mut row) }
    }

    fn absent_over_time_rows(
        &self,
        steps: Steps,
        function: &'static Function,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let [matrix] = args else { return Err(wrong_arguments(function)) };
        let (windows, edges) =
            super::window::windows_of(matrix).ok_or_else(|| wrong_arguments(function))?;
        let mut row = Row::new(absent_labels(matrix), 0);
        row.values = vec![1.0; steps.n];
        row.drop_name = true;
        let values = &mut row.values;
        let mut take = |_: &Labels, _: bool, data: &mut SeriesData| {
            let mut cursor = super::window::Cursor::default();
            for (step, value) in values.iter_mut().enumerate() {
                let end = windows.shift.of(steps.at(step));
                cursor.move_to(data, end.saturating_sub(windows.range_ms), end);
                if cursor.len() > 0 {
                    self.touched.add_at(step, cursor.weight(data));
                    *value = stale_nan();
                }
            }
            Ok(())
        };
        let mut counts = Vec::new();
        if let Kind::Selector(selector) = &matrix.kind {
            let (set, range) = self.select_windows(steps, selector, function.name)?;
            let spaced = super::window::spaced(windows, edges, steps);
            match self.tile(function.name, spaced, &*set, matrix.span)? {
                Some(tiled) => {
                    counts = self.counts_tiled(&*set, &*tiled, &mut take)?;
                    let asked = |step| {
                        let end = windows.shift.of(steps.at(step));
                        (end.saturating_sub(windows.range_ms), end)
                    };
                    let mut widened = tiled.windows().iter().zip(&counts).enumerate();
                    if widened.any(|(step, (window, n))| *n > 0 && *window != asked(step)) {
                        self.note_samples_gone(function.name, &*set, matrix.span);
                    }
                }
                None => self.selected_series(&*set, range, &mut take)?,
            }
        } else {
            self.range_series(steps, matrix, function.name, &mut take)?;
        }
        for (step, n) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            self.touched.add_at(step, n);
            if let Some(value) = row.values.get_mut(step) {
                *value = stale_nan();
            }
        }
        if row.is_empty() { Ok(()) } else { sink(&mut row) }
    }

    /// Functions of native histograms alone; floats have no place in them. Deviation and variance are not
    /// evaluated yet.
    fn native_histogram_rows(
        &self,
        steps: Steps,
        span: Span,
        function: &'static Function,
        which: EngineFn,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let [vector] = args else { return Err(wrong_arguments(function)) };
        self.rows(steps, vector, &mut |row| {
            row.values.fill(stale_nan());
            if matches!(which, EngineFn::HistogramStddev | EngineFn::HistogramStdvar) {
                self.leave_histograms_out(row, span);
                return Ok(());
            }
            for (step, histogram) in std::mem::take(&mut row.histograms) {
                let value = match which {
                    EngineFn::HistogramCount => observations(&histogram),
                    EngineFn::HistogramSum => histogram.sum,
                    _ => histogram.sum / observations(&histogram),
                };
                if let Some(place) = row.values.get_mut(step) {
                    *place = value;
                }
            }
            row.drop_name = true;
            if row.is_empty() { Ok(()) } else { sink(row) }
        })
    }

    fn timestamp_rows(
        &self,
        steps: Steps,
        pick: Pick,
        function: &Function,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let [vector] = args else { return Err(wrong_arguments(function)) };
        if let Kind::Selector(selector) = &vector.kind {
            return self.picked_rows(steps, vector.span, selector, pick, &mut |row| {
                row.drop_name = true;
                sink(row)
            });
        }
        self.rows(steps, vector, &mut |row| {
            if pick == Pick::StartTimestamp {
                return Ok(());
            }
            for (step, value) in row.values.iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = seconds(steps.at(step));
                }
            }
            for (step, _) in row.histograms.drain(..) {
                if let Some(value) = row.values.get_mut(step) {
                    *value = seconds(steps.at(step));
                }
            }
            row.drop_name = true;
            sink(row)
        })
    }

    fn label_replace_rows(&self, steps: Steps, args: &[Node], sink: &mut Sink<'_>) -> Result<()> {
        let (dst, replacement) = (self.text(args.get(1))?, self.text(args.get(2))?);
        let (src, pattern) = (self.text(args.get(3))?, self.text(args.get(4))?);
        let compile = |pattern| LabelReplace::new(pattern, &replacement.to_lossy()).ok();
        let Some(rule) = pattern.as_str().and_then(compile) else {
            return Err(QueryError::execution(format!(
                "invalid regular expression in label_replace(): {}",
                pattern.to_lossy()
            )));
        };
        let dst = label_name(dst, "destination", "label_replace")?;
        // No series has a label whose name is not UTF-8.
        let src = src.as_str().unwrap_or_default();
        self.relabeled_rows(steps, args, sink, &|labels| {
            let value = rule.apply(labels.get(src))?;
            let mut builder = LabelsBuilder::new(labels);
            Some((builder.set(dst, &value).build(), dst == METRIC_NAME))
        })
    }

    fn label_join_rows(&self, steps: Steps, args: &[Node], sink: &mut Sink<'_>) -> Result<()> {
        let separator = self.text(args.get(2))?.to_lossy();
        let mut sources = Vec::new();
        for arg in args.iter().skip(3) {
            sources.push(label_name(self.text(Some(arg))?, "source", "label_join")?);
        }
        let dst = label_name(self.text(args.get(1))?, "destination", "label_join")?;
        self.relabeled_rows(steps, args, sink, &|labels| {
            let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
            let mut builder = LabelsBuilder::new(labels);
            Some((builder.set(dst, &values.join(&separator)).build(), dst == METRIC_NAME))
        })
    }

    /// Rows with changed labels; `relabel` gives the new ones and whether they hold a name that stays.
    fn relabeled_rows(
        &self,
        steps: Steps,
        args: &[Node],
        sink: &mut Sink<'_>,
        relabel: &dyn Fn(&Labels) -> Option<(Labels, bool)>,
    ) -> Result<()> {
        let Some(vector) = args.first() else { return Ok(()) };
        let mut rows = self.collect(steps, vector)?;
        for row in &mut rows.list {
            if let Some((labels, named)) = relabel(&row.labels) {
                row.labels = labels;
                row.drop_name &= !named;
            }
        }
        for row in &mut merge_equal(std::mem::take(&mut rows.list))? {
            sink(row)?;
        }
        Ok(())
    }

    fn sorted_rows(
        &self,
        steps: Steps,
        span: Span,
        which: EngineFn,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let Some(vector) = args.first() else { return Ok(()) };
        let by_value = matches!(which, EngineFn::Sort | EngineFn::SortDesc);
        let mut floats_only = |row: &mut Row| {
            if by_value {
                row.histograms.clear();
            }
            if row.is_empty() { Ok(()) } else { sink(row) }
        };
        if !steps.is_instant() {
            self.note(Note::SortInRangeQuery, span);
            return self.rows(steps, vector, &mut floats_only);
        }
        let mut rows = self.collect(steps, vector)?;
        let descending = matches!(which, EngineFn::SortDesc | EngineFn::SortByLabelDesc);
        if by_value {
            rows.list.sort_by(|a, b| super::order::values(first(a), first(b), descending));
        } else {
            let names = args
                .iter()
                .skip(1)
                .map(|arg| Ok(self.text(Some(arg))?.as_str().unwrap_or_default()))
                .collect::<Result<Vec<_>>>()?;
            rows.list.sort_by(|a, b| {
                let order = super::order::labels(&a.labels, &b.labels, &names);
                if descending { order.reverse() } else { order }
            });
        }
        for row in &mut rows.list {
            floats_only(row)?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are floats in PromQL")]
fn observations(histogram: &Histogram) -> f64 {
    match &histogram.counts {
        Counts::Integer { count, .. } => *count as f64,
        Counts::Float { count, .. } => *count,
    }
}

fn first(row: &Row) -> f64 {
    row.values.first().copied().unwrap_or(f64::NAN)
}

/// A string argument that names a label.
fn label_name<'t>(text: &'t Text, role: &str, function: &str) -> Result<&'t str> {
    text.as_str().filter(|name| is_valid_name(name)).ok_or_else(|| {
        let name = text.to_lossy();
        QueryError::execution(format!("invalid {role} label name in {function}(): {name}"))
    })
}

/// Labels of the series that `absent` makes up: what the selector's equality matchers demand. A name with
/// several matchers is left out, unless the first of them is the only `=` and comes last.
fn absent_labels(node: &Node) -> Labels {
    let selector = match &node.kind {
        Kind::Selector(selector) => selector,
        Kind::Invariant(inner) => return absent_labels(inner),
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            builder.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}
