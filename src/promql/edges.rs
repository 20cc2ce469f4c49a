//! `anchored` and `smoothed`: windows whose edges are looked up or interpolated instead of extrapolated
//! (Prometheus's extended range selectors).

use nines_storage::model::window::slices::interpolate;
use nines_storage::model::{Labels, SeriesData};

use super::ast::{EdgeMode, Span};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Sink};
use super::functions::{Eval, Function, Note, Notes, Window, edge_change};
use super::plan::Selector;
use super::row::Row;
use super::steps::Steps;

/// Memory for windows with added edges.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    ts: Vec<i64>,
    values: Vec<f64>,
}

/// Value of a function at one step. `window` holds the samples of the lookback before its beginning (and
/// after its end when smoothed) as well.
pub(super) fn value(
    function: &Function,
    edges: EdgeMode,
    window: &Window<'_>,
    notes: &mut Notes,
    scratch: &mut Scratch,
) -> Option<f64> {
    match function.name {
        "rate" | "increase" | "delta" => {
            edge_change(function.name, edges == EdgeMode::Smoothed, window, notes)
        }
        _ => from_anchor(function, window, notes, scratch),
    }
}

/// `changes` and `resets` from the last sample at or before the window's beginning on.
fn from_anchor(
    function: &Function,
    window: &Window<'_>,
    notes: &mut Notes,
    scratch: &mut Scratch,
) -> Option<f64> {
    let before = window.ts.partition_point(|&ts| ts <= window.start_ms);
    if before >= window.ts.len() {
        return None;
    }
    let from = before.saturating_sub(1);
    scratch.ts.clear();
    scratch.ts.extend_from_slice(window.ts.get(from..)?);
    scratch.values.clear();
    scratch.values.extend_from_slice(window.values.get(from..)?);
    let Eval::Window(evaluate) = function.eval else { return None };
    evaluate(
        &Window { ts: &scratch.ts, values: &scratch.values, histograms: &[], ..*window },
        notes,
    )
}

/// The values at the edges of a window.
struct Bounds {
    left: f64,
    right: f64,
}

fn bounds(window: &Window<'_>, smoothed: bool) -> Option<Bounds> {
    let (ts, values) = (window.ts, window.values);
    let n_before_last = ts.len().checked_sub(1)?;
    let head = ts.get(..n_before_last)?;
    let first = head.partition_point(|&t| t <= window.start_ms).saturating_sub(1);
    let last = if smoothed { head.partition_point(|&t| t < window.end_ms) } else { n_before_last };
    let (first_ts, last_ts) = (*ts.get(first)?, *ts.get(last)?);
    if last_ts <= window.start_ms || (smoothed && first_ts > window.end_ms) {
        return None;
    }
    let at = |i: usize| Some((*ts.get(i)?, *values.get(i)?));
    let left = if smoothed && first_ts < window.start_ms {
        interpolate(at(first)?, at(first + 1)?, window.start_ms, false)
    } else {
        *values.get(first)?
    };
    let right = if smoothed && last > 0 && last_ts > window.end_ms {
        interpolate(at(last - 1)?, at(last)?, window.end_ms, false)
    } else {
        *values.get(last)?
    };
    Some(Bounds { left, right })
}

/// The samples of a top-level range selector with its edges; nothing when no sample lies inside.
pub(super) fn extend(
    data: &mut SeriesData,
    start_ms: i64,
    end_ms: i64,
    edges: EdgeMode,
) -> Result<()> {
    if !data.histograms.is_empty() {
        let modifier = if edges == EdgeMode::Anchored { "anchored" } else { "smoothed" };
        return Err(QueryError::execution(format!(
            "{modifier} modifier is not supported with histograms"
        )));
    }
    let window = Window {
        ts: &data.ts,
        values: &data.values,
        histograms: &[],
        start_ms,
        end_ms,
        range_ms: end_ms.saturating_sub(start_ms),
        params: &[],
        eval_ms: end_ms,
        metric: "",
        step_ms: 0,
    };
    let Some(Bounds { left, right }) = bounds(&window, edges == EdgeMode::Smoothed) else {
        data.clear();
        return Ok(());
    };
    let (mut ts, mut values) = (vec![start_ms], vec![left]);
    for (&t, &value) in data.ts.iter().zip(&data.values) {
        if start_ms < t && t < end_ms {
            ts.push(t);
            values.push(value);
        }
    }
    ts.push(end_ms);
    values.push(right);
    data.clear();
    data.ts = ts;
    data.values = values;
    Ok(())
}

impl Evaluator<'_> {
    /// Rows of a smoothed instant selector: interpolated between the samples around every step.
    pub(super) fn smoothed_rows(
        &self,
        steps: Steps,
        span: Span,
        selector: &Selector,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let lookback_ms = self.lookback_ms;
        let (set, range) = self.select(steps, selector, "", lookback_ms, lookback_ms)?;
        self.note_samples_gone("smoothed", &*set, span);
        if let Some(begin_ms) = set.samples_begin_ms() {
            let of = |step| (selector.shift.of(steps.at(step)), steps.at(step));
            let untold = (0..steps.n).map(of);
            let gone = untold.filter(|(time, _)| time.saturating_sub(lookback_ms) < begin_ms);
            self.untold.add(gone.map(|(_, at)| at));
        }
        let mut data = SeriesData::default();
        let mut row = Row::new(Labels::empty(), 0);
        for i in 0..set.len() {
            set.read(i, range, self.budget, &mut data)?;
            self.check()?;
            super::window::drop_stale(&mut data);
            if data.is_empty() {
                continue;
            }
            row.reset(set.labels(i), steps.n);
            let mut cursor = super::window::Cursor::default();
            for step in 0..steps.n {
                let time = selector.shift.of(steps.at(step));
                cursor.move_to(
                    &data,
                    time.saturating_sub(lookback_ms),
                    time.saturating_add(lookback_ms),
                );
                let window = cursor.window(&data);
                if !window.histograms.is_empty() {
                    let metric = row.labels.metric_name().to_owned();
                    let mixed = !window.ts.is_empty();
                    let note = if mixed {
                        Note::MixedFloatsHistograms { metric }
                    } else {
                        Note::HistogramNotSupported { metric }
                    };
                    self.note(note, span);
                    continue;
                }
                if let (Some(value), Some(place)) =
                    (smoothed_at(&window, time), row.values.get_mut(step))
                {
                    *place = value;
                }
            }
            self.touched.add_row(&row, row.n_samples() - row.histograms.len());
            if !row.is_empty() {
                sink(&mut row)?;
            }
        }
        Ok(())
    }
}

fn smoothed_at(window: &Window<'_>, time: i64) -> Option<f64> {
    let at = window.ts.partition_point(|&ts| ts < time);
    let sample = |i: usize| Some((*window.ts.get(i)?, *window.values.get(i)?));
    match (at.checked_sub(1).and_then(sample), sample(at)) {
        (_, Some((ts, value))) if ts == time => Some(value),
        (Some(before), Some(after)) => Some(interpolate(before, after, time, false)),
        (Some((_, value)), None) => Some(value),
        (None, _) => None,
    }
}
