//! Range vectors: windows over selectors and subqueries, and the functions over them.
//!
//! A series is read once for all steps; two cursors run over its samples, so that every window is a
//! slice of them.

use std::sync::Arc;

use nines_storage::model::window::{Change, Spaced};
use nines_storage::model::{Labels, SeriesData, TimeRange, is_stale};
use nines_storage::query::SeriesSet;

use super::ast::{EdgeMode, Span, ValueType};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Hold, Sink, wrong_arguments};
use super::functions::{self, Eval, Function, Window};
use super::plan::{Kind, Node, Selector, Shift, Subquery};
use super::row::{Row, is_absent};
use super::steps::Steps;
use super::tiled::Filled;
use super::touched::{Touched, weight};
use super::workers::{Source, Work};

/// A series of a range vector: label set, whether its name goes at the end, samples without stale markers.
pub(super) type SeriesSink<'s> = dyn FnMut(&Labels, bool, &mut SeriesData) -> Result<()> + 's;

/// How often a series looks at the deadline, in samples of its windows.
const CHECK_EVERY: usize = 65_536;

/// The windows of a range vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) shift: Shift,
    pub(super) range_ms: i64,
}

/// A cursor that turns ascending windows into slices of one series.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    first: usize,
    end: usize,
    first_histogram: usize,
    end_histogram: usize,
}

impl Cursor {
    /// Moves to `(start_ms, end_ms]`; neither may be smaller than before.
    pub(super) fn move_to(&mut self, data: &SeriesData, start_ms: i64, end_ms: i64) {
        while data.ts.get(self.end).is_some_and(|&ts| ts <= end_ms) {
            self.end += 1;
        }
        while self.first < self.end && data.ts.get(self.first).is_some_and(|&ts| ts <= start_ms) {
            self.first += 1;
        }
        while data.histograms.get(self.end_histogram).is_some_and(|h| h.0 <= end_ms) {
            self.end_histogram += 1;
        }
        while self.first_histogram < self.end_histogram
            && data.histograms.get(self.first_histogram).is_some_and(|h| h.0 <= start_ms)
        {
            self.first_histogram += 1;
        }
    }

    /// Samples in the window.
    pub(super) fn len(&self) -> usize {
        self.end - self.first + self.end_histogram - self.first_histogram
    }

    /// What the samples in the window count for.
    pub(super) fn weight(&self, data: &SeriesData) -> u64 {
        let histograms = data.histograms.get(self.first_histogram..self.end_histogram);
        let histograms = histograms.into_iter().flatten().map(|h| weight(&h.1)).sum::<u64>();
        (self.end - self.first) as u64 + histograms
    }

    /// The window's samples as slices.
    pub(super) fn window<'d>(&self, data: &'d SeriesData) -> Window<'d> {
        Window {
            ts: data.ts.get(self.first..self.end).unwrap_or_default(),
            values: data.values.get(self.first..self.end).unwrap_or_default(),
            histograms: data
                .histograms
                .get(self.first_histogram..self.end_histogram)
                .unwrap_or_default(),
            start_ms: 0,
            end_ms: 0,
            range_ms: 0,
            params: &[],
            eval_ms: 0,
            metric: "",
            step_ms: 0,
        }
    }
}

/// The arguments of a function over a range vector.
pub(super) struct WindowCall {
    pub(super) function: &'static Function,
    span: Span,
    range: Windows,
    edges: EdgeMode,
    /// Column of every scalar argument, in the order of the call.
    pub(super) params: Vec<Vec<f64>>,
}

impl WindowCall {
    /// Its windows, when they lie one step apart and are no more than that.
    pub(super) fn spaced(&self, steps: Steps) -> Option<Spaced> {
        spaced(self.range, self.edges, steps)
    }
}

/// Windows that lie one step apart and are no more than that.
pub(super) fn spaced(windows: Windows, edges: EdgeMode, steps: Steps) -> Option<Spaced> {
    let end_ms = windows.shift.of(steps.start_ms);
    let evenly = steps.n == 1
        || windows.shift.of(steps.end_ms()).checked_sub(end_ms)
            == steps.end_ms().checked_sub(steps.start_ms);
    (evenly && edges == EdgeMode::Plain).then_some(Spaced {
        end_ms,
        step_ms: steps.step_ms,
        n: steps.n,
        range_ms: windows.range_ms,
    })
}

impl<'a> Evaluator<'a> {
    /// Rows of a function over a range vector.
    pub(super) fn window_rows(
        &self,
        steps: Steps,
        function: &'static Function,
        args: &[Node],
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let matrix = args
            .iter()
            .find(|arg| arg.ty == ValueType::Matrix)
            .ok_or_else(|| wrong_arguments(function))?;
        let (range, edges) = windows_of(matrix).ok_or_else(|| wrong_arguments(function))?;
        check_edges(function, edges)?;
        let mut params = Vec::new();
        for arg in args.iter().filter(|arg| arg.ty == ValueType::Scalar) {
            params.push(self.scalar(steps, arg)?);
        }
        // Prometheus puts the windows of a subquery into a selector that stands nowhere.
        let span_of = |arg: &Node| if is_subquery(arg) { Span::default() } else { arg.span };
        let span = span_of(args.first().unwrap_or(matrix));
        let call = WindowCall { function, span, range, edges, params };
        // Takes an empty row with its labels.
        let evaluate = |drop_name: bool, work: &mut Work, row: &mut Row| {
            row.drop_name = drop_name || !matches!(function.eval, Eval::First | Eval::Last);
            let any = self.fill_row(steps, &call, work, row)?;
            self.note_all(&mut work.notes, call.span);
            Ok(any)
        };
        if let Kind::Selector(selector) = &matrix.kind {
            let (set, range) = self.select_windows(steps, selector, function.name)?;
            let tiled = self.tile(function.name, call.spaced(steps), &*set, matrix.span)?;
            let evaluate = |_: &Labels, work: &mut Work, row: &mut Row| {
                if let (true, Some(tiled)) = (work.in_pieces, &tiled) {
                    row.drop_name = !matches!(function.eval, Eval::First | Eval::Last);
                    let filled = self.fill_tiled(&call, tiled.windows(), work, row)?;
                    self.note_all(&mut work.notes, call.span);
                    match filled {
                        Filled::Row(any) => return Ok(any),
                        Filled::Unsaid if set.samples_begin_ms().is_some() => {
                            self.note_samples_gone(function.name, &*set, matrix.span);
                            return Ok(false);
                        }
                        Filled::Unsaid => self.read_again(&*set, range, work)?,
                    }
                }
                drop_stale(&mut work.data);
                evaluate(false, work, row)
            };
            let source = Source { set: &*set, range, tiled: tiled.as_deref(), newest: None };
            self.each_series(steps, source, &evaluate, sink)?;
            if let Some(tiled) = &tiled {
                self.note_lacks(&**tiled);
            }
            return Ok(());
        }
        let mut row = Row::new(Labels::empty(), 0);
        let mut work = Work::default();
        self.range_series(steps, matrix, function.name, &mut |labels, drop_name, data| {
            std::mem::swap(data, &mut work.data);
            row.reset(labels, steps.n);
            let any = evaluate(drop_name, &mut work, &mut row)?;
            std::mem::swap(data, &mut work.data);
            if any { sink(&mut row) } else { Ok(()) }
        })
    }

    /// Evaluates the function over the windows of one series; whether there is a sample.
    fn fill_row(
        &self,
        steps: Steps,
        call: &WindowCall,
        work: &mut Work,
        row: &mut Row,
    ) -> Result<bool> {
        if let Some(any) = self.fill_changes(steps, call, work, row) {
            return Ok(any);
        }
        if let Some(any) = self.fill_folds(steps, call, work, row)? {
            return Ok(any);
        }
        let Work { data, notes, scratch, .. } = work;
        let metric = row.labels.metric_name().to_owned();
        let mut cursor = Cursor::default();
        let mut params = vec![0.0; call.params.len()];
        let mut any = false;
        let (back_ms, ahead_ms) = self.edge_reach(call.edges);
        let (mut n_since_check, mut n_touched) = (0, 0);
        for step in 0..steps.n {
            let eval_ms = steps.at(step);
            let end_ms = call.range.shift.of(eval_ms);
            let start_ms = end_ms.saturating_sub(call.range.range_ms);
            cursor.move_to(data, start_ms.saturating_sub(back_ms), end_ms.saturating_add(ahead_ms));
            let n = cursor.len();
            if n == 0 {
                continue;
            }
            let touched = cursor.weight(data);
            n_touched += touched;
            self.touched.attribute(step, touched);
            n_since_check += n + 1;
            if n_since_check >= CHECK_EVERY {
                n_since_check = 0;
                self.check()?;
            }
            for (param, column) in params.iter_mut().zip(&call.params) {
                *param = column.get(step).copied().unwrap_or(f64::NAN);
            }
            if !params.is_empty()
                && !call.function.accepts(&params).map_err(QueryError::Execution)?
            {
                continue;
            }
            let window = Window {
                start_ms,
                end_ms,
                range_ms: call.range.range_ms,
                params: &params,
                eval_ms,
                metric: &metric,
                step_ms: self.query_step_ms,
                ..cursor.window(data)
            };
            let value = match (call.edges, call.function.eval) {
                (EdgeMode::Plain, Eval::Window(function)) => function(&window, notes),
                (EdgeMode::Plain, eval) => edge_sample(&window, eval, row, step, &mut any),
                (edges, _) => super::edges::value(call.function, edges, &window, notes, scratch),
            };
            if let (Some(value), Some(place)) = (value, row.values.get_mut(step)) {
                *place = value;
                any = true;
            }
        }
        self.touched.add(n_touched);
        Ok(any)
    }

    /// As [`Self::fill_row`] for `rate`, `increase` and `delta` over floats alone, all windows at once. `None`:
    /// this is something else.
    fn fill_changes(
        &self,
        steps: Steps,
        call: &WindowCall,
        work: &mut Work,
        row: &mut Row,
    ) -> Option<bool> {
        let change = match call.function.name {
            "rate" => Change::Rate,
            "increase" => Change::Increase,
            "delta" => Change::Delta,
            _ => return None,
        };
        let Work { data, notes, sliding, .. } = work;
        let few = u32::try_from(data.ts.len()).is_ok();
        let spaced = call.spaced(steps).filter(|_| data.histograms.is_empty() && few)?;
        let n = sliding.changes(change, &spaced, &data.ts, &data.values, &mut row.values);
        self.touched.add(n);
        if self.touched.has_steps() {
            let counts = sliding.counts();
            counts.enumerate().for_each(|(step, n)| self.touched.attribute(step, n));
        }
        let any = !row.is_empty();
        if any && change != Change::Delta {
            functions::note_counter_name(row.labels.metric_name(), notes);
        }
        Some(any)
    }

    /// How far beyond a window its edges may be looked up: back, ahead.
    pub(super) fn edge_reach(&self, edges: EdgeMode) -> (i64, i64) {
        match edges {
            EdgeMode::Plain => (0, 0),
            EdgeMode::Anchored => (self.lookback_ms, 0),
            EdgeMode::Smoothed => (self.lookback_ms, self.lookback_ms),
        }
    }

    /// The series of a range vector with the samples that the windows of `steps` need.
    pub(super) fn range_series(
        &self,
        steps: Steps,
        matrix: &Node,
        function: &'static str,
        sink: &mut SeriesSink<'_>,
    ) -> Result<()> {
        match &matrix.kind {
            Kind::Selector(selector) => {
                let (set, range) = self.select_windows(steps, selector, function)?;
                self.note_samples_gone(function, &*set, matrix.span);
                self.selected_series(&*set, range, sink)
            }
            // What lies below does not count: its results do, window by window.
            Kind::Subquery(subquery) => {
                self.counting(&Touched::default()).subquery_series(steps, subquery, sink)
            }
            Kind::Invariant(inner) => self.range_series(steps, inner, function, sink),
            _ => Err(QueryError::execution("expected a range vector")),
        }
    }

    /// Selects the series that the windows of `steps` over `selector` need.
    pub(super) fn select_windows(
        &self,
        steps: Steps,
        selector: &Selector,
        function: &'static str,
    ) -> Result<(Box<dyn SeriesSet + 'a>, TimeRange)> {
        let (back_ms, ahead_ms) = self.edge_reach(selector.edges);
        self.select(steps, selector, function, back_ms.saturating_add(selector.range_ms), ahead_ms)
    }

    /// The series of `set` with their samples inside `range`.
    pub(super) fn selected_series(
        &self,
        set: &dyn SeriesSet,
        range: TimeRange,
        sink: &mut SeriesSink<'_>,
    ) -> Result<()> {
        let mut data = SeriesData::default();
        for i in 0..set.len() {
            set.read(i, range, self.budget, &mut data)?;
            self.check()?;
            drop_stale(&mut data);
            if data.is_empty() {
                continue;
            }
            let mut hold: Hold<'_> = self.hold();
            hold.add(data.len(), data.len() * 16)?;
            sink(set.labels(i), false, &mut data)?;
        }
        Ok(())
    }

    /// The times at which a subquery is evaluated for the windows of `steps`: multiples of its step.
    pub(super) fn subquery_steps(steps: Steps, subquery: &Subquery) -> Steps {
        let step = subquery.step_ms.max(1);
        let oldest = subquery.shift.of(steps.start_ms).saturating_sub(subquery.range_ms);
        // The first multiple behind the oldest window's open beginning.
        let start = oldest.div_euclid(step).saturating_add(1).saturating_mul(step);
        Steps::range(start, subquery.shift.of(steps.end_ms()), step)
    }

    pub(super) fn subquery_series(
        &self,
        steps: Steps,
        subquery: &Subquery,
        sink: &mut SeriesSink<'_>,
    ) -> Result<()> {
        let inner = Self::subquery_steps(steps, subquery);
        self.check_steps(inner)?;
        let mut data = SeriesData::default();
        self.rows(inner, &subquery.node, &mut |row| {
            data.clear();
            for (step, &value) in row.values.iter().enumerate() {
                if !is_absent(value) {
                    data.ts.push(inner.at(step));
                    data.values.push(value);
                }
            }
            data.histograms
                .extend(row.histograms.iter().map(|(step, h)| (inner.at(*step), Arc::clone(h))));
            let mut hold = self.hold();
            hold.add(data.len(), data.len() * 16)?;
            sink(&row.labels, row.drop_name, &mut data)
        })
    }

    /// Fails when one column over `steps` would not fit the budget.
    pub(super) fn check_steps(&self, steps: Steps) -> Result<()> {
        let mut hold = self.hold();
        hold.add(steps.n, steps.n.saturating_mul(8))
    }
}

fn is_subquery(node: &Node) -> bool {
    match &node.kind {
        Kind::Subquery(_) => true,
        Kind::Invariant(inner) => is_subquery(inner),
        _ => false,
    }
}

/// The windows and edges of a range vector.
pub(super) fn windows_of(matrix: &Node) -> Option<(Windows, EdgeMode)> {
    match &matrix.kind {
        Kind::Selector(selector) => {
            Some((Windows { shift: selector.shift, range_ms: selector.range_ms }, selector.edges))
        }
        Kind::Subquery(subquery) => {
            Some((Windows { shift: subquery.shift, range_ms: subquery.range_ms }, EdgeMode::Plain))
        }
        Kind::Invariant(inner) => windows_of(inner),
        _ => None,
    }
}

fn check_edges(function: &Function, edges: EdgeMode) -> Result<()> {
    let (modifier, safe): (&str, &[&str]) = match edges {
        EdgeMode::Plain => return Ok(()),
        EdgeMode::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        EdgeMode::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if safe.contains(&function.name) {
        return Ok(());
    }
    let safe = safe.join(", ");
    Err(QueryError::execution(format!(
        "{modifier} modifier can only be used with: {safe} - not with {}",
        function.name
    )))
}

/// `first_over_time` and `last_over_time`: the outermost sample of the window, float or histogram. A float
/// is returned, a histogram is put into the row.
fn edge_sample(
    window: &Window<'_>,
    eval: Eval,
    row: &mut Row,
    step: usize,
    any: &mut bool,
) -> Option<f64> {
    let (float, histogram) = match eval {
        Eval::First => (window.ts.first().zip(window.values.first()), window.histograms.first()),
        Eval::Last => (window.ts.last().zip(window.values.last()), window.histograms.last()),
        _ => return None,
    };
    match (float, histogram) {
        (Some((&ts, &value)), Some((ts_histogram, _))) => {
            let float_wins =
                if matches!(eval, Eval::First) { ts < *ts_histogram } else { ts > *ts_histogram };
            if float_wins {
                return Some(value);
            }
        }
        (Some((_, &value)), None) => return Some(value),
        (None, _) => {}
    }
    if let Some((_, histogram)) = histogram {
        row.histograms.push((step, Arc::clone(histogram)));
        *any = true;
    }
    None
}

/// Takes the stale markers out.
pub(super) fn drop_stale(data: &mut SeriesData) {
    // Without an early exit inside a chunk, so that it compiles to vector compares.
    let stale = |chunk: &[f64]| chunk.iter().fold(false, |any, &v| any | is_stale(v));
    if data.values.chunks(64).any(stale) {
        let keep: Vec<bool> = data.values.iter().map(|&v| !is_stale(v)).collect();
        retain(&mut data.ts, &keep);
        if data.start_ts.len() == keep.len() {
            retain(&mut data.start_ts, &keep);
        }
        retain(&mut data.values, &keep);
    }
    data.histograms.retain(|h| !h.1.is_stale());
}

fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    column.retain(|_| flags.next().copied().unwrap_or(true));
}
