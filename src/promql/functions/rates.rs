//! Change over a window: the arithmetic is that of `nines_storage::model::window`, here are the rules about
//! mixed samples and the annotations.

use std::sync::Arc;

use nines_storage::model::window::slices;
use nines_storage::model::{Histogram, RangeWindow};

use super::{Note, Notes, Window};

const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

pub(super) fn rate(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    let result = floats_alone(window, notes)
        .then(|| slices::rate(window.ts, window.values, &range(window)))
        .flatten();
    note_non_counter(result, window, notes)
}

pub(super) fn increase(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    let result = floats_alone(window, notes)
        .then(|| slices::increase(window.ts, window.values, &range(window)))
        .flatten();
    note_non_counter(result, window, notes)
}

pub(super) fn delta(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_alone(window, notes)
        .then(|| slices::delta(window.ts, window.values, &range(window)))
        .flatten()
}

/// Change of a series over `anchored` or `smoothed` edges.
///
/// The window's slices hold, beside the samples inside, the newest one at or before its beginning and (for
/// `smoothed`) the oldest one at or after its end. `None` when no sample lies behind the beginning, when the
/// samples are mixed or histograms (noted), or when `function` is not `rate`, `increase` or `delta`.
pub fn edge_change(
    function: &str,
    smoothed: bool,
    window: &Window<'_>,
    notes: &mut Notes,
) -> Option<f64> {
    if !floats_alone(window, notes) {
        return None;
    }
    let range = range(window);
    let change =
        |is_counter| slices::edge_change(window.ts, window.values, &range, smoothed, is_counter);
    match function {
        "rate" => {
            note_non_counter(change(true).map(|change| change / range.seconds()), window, notes)
        }
        "increase" => note_non_counter(change(true), window, notes),
        "delta" => change(false),
        _ => None,
    }
}

const fn range(window: &Window<'_>) -> RangeWindow {
    RangeWindow { start_ms: window.start_ms, end_ms: window.end_ms, range_ms: window.range_ms }
}

/// Whether only floats are there; notes why not.
pub(super) fn floats_alone(window: &Window<'_>, notes: &mut Notes) -> bool {
    if window.histograms.is_empty() {
        return true;
    }
    if window.values.is_empty() {
        notes.add(Note::HistogramNotSupported { metric: window.metric.to_owned() });
    } else {
        notes.add(Note::MixedFloatsHistograms { metric: window.metric.to_owned() });
    }
    false
}

/// Notes a metric whose name is not that of a counter, once it gave a float.
pub(super) fn note_non_counter(
    result: Option<f64>,
    window: &Window<'_>,
    notes: &mut Notes,
) -> Option<f64> {
    if result.is_some() {
        note_counter_name(window.metric, notes);
    }
    result
}

/// Notes `metric` when it is not the name of a counter.
pub fn note_counter_name(metric: &str, notes: &mut Notes) {
    if !metric.is_empty() && !COUNTER_SUFFIXES.iter().any(|suffix| metric.ends_with(suffix)) {
        notes.add_possible_non_counter(metric);
    }
}

pub(super) fn irate(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    newest_two_are_floats(window, notes).then(|| slices::irate(window.ts, window.values)).flatten()
}

pub(super) fn idelta(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    newest_two_are_floats(window, notes).then(|| slices::idelta(window.ts, window.values)).flatten()
}

/// Whether the last two samples are floats; notes why not. Fewer than two samples are no reason for a note.
fn newest_two_are_floats(window: &Window<'_>, notes: &mut Notes) -> bool {
    let Some(&(newest_histogram, _)) = window.histograms.last() else { return true };
    if window.ts.len() + window.histograms.len() < 2 {
        return false;
    }
    let second_float = window.ts.len().checked_sub(2).and_then(|at| window.ts.get(at));
    if second_float.is_some_and(|&ts| ts > newest_histogram) {
        return true;
    }
    let second_histogram =
        window.histograms.len().checked_sub(2).and_then(|at| window.histograms.get(at));
    let newest_float = window.ts.last().copied();
    let both = second_histogram.is_some_and(|&(ts, _)| newest_float.is_none_or(|float| ts > float));
    let metric = window.metric.to_owned();
    notes.add(if both {
        Note::HistogramNotSupported { metric }
    } else {
        Note::MixedFloatsHistograms { metric }
    });
    false
}

pub(super) fn resets(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    if window.histograms.is_empty() {
        return some_count(slices::resets(window.values));
    }
    let mut unknown = false;
    let resets = count_steps(window, |before, now| match (before, now) {
        (Sample::Float(before), Sample::Float(now)) => now < before,
        (Sample::Histogram(_), Sample::Histogram(_)) => {
            unknown = true;
            false
        }
        _ => true,
    });
    if unknown {
        notes.add(Note::HistogramNotSupported { metric: window.metric.to_owned() });
        return None;
    }
    some_count(resets)
}

pub(super) fn changes(window: &Window<'_>, _: &mut Notes) -> Option<f64> {
    if window.histograms.is_empty() {
        return some_count(slices::changes(window.values));
    }
    some_count(count_steps(window, |before, now| match (before, now) {
        (Sample::Float(before), Sample::Float(now)) => slices::changes(&[before, now]) > 0,
        (Sample::Histogram(before), Sample::Histogram(now)) => !same_observations(before, now),
        _ => true,
    }))
}

#[allow(
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "counts of samples in memory; the common result type"
)]
const fn some_count(n: u64) -> Option<f64> {
    Some(n as f64)
}

#[derive(Clone, Copy)]
enum Sample<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// Counts the steps from one sample to the next, of whichever kind, that `counts`.
fn count_steps<'a>(
    window: &Window<'a>,
    mut counts: impl FnMut(Sample<'a>, Sample<'a>) -> bool,
) -> u64 {
    let mut floats = window.ts.iter().copied().zip(window.values.iter().copied()).peekable();
    let mut histograms =
        window.histograms.iter().map(|(ts, h): &(i64, Arc<Histogram>)| (*ts, &**h)).peekable();
    let mut before = None;
    let mut n = 0;
    loop {
        let float_first = match (floats.peek(), histograms.peek()) {
            (Some(&(float, _)), Some(&(histogram, _))) => float < histogram,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return n,
        };
        let now = if float_first {
            floats.next().map(|(_, value)| Sample::Float(value))
        } else {
            histograms.next().map(|(_, histogram)| Sample::Histogram(histogram))
        };
        if let (Some(before), Some(now)) = (before, now) {
            n += u64::from(counts(before, now));
        }
        before = now;
    }
}

/// Equal in all that was observed; hints and start timestamps do not matter.
fn same_observations(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.sum.to_bits() == b.sum.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values == b.custom_values
        && a.counts == b.counts
}
