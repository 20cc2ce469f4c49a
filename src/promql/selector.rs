//! Instant selectors and `timestamp()` over one: the latest sample of every series at every step.

use std::sync::Arc;

use nines_storage::model::{Histogram, Labels, SeriesData, TimeRange, is_stale};
use nines_storage::query::{HISTOGRAMS_GONE, SelectHints, SeriesSet};

use super::ast::{EdgeMode, Span};
use super::error::Result;
use super::eval::{Evaluator, Sink};
use super::plan::{Selector, Shift, seconds};
use super::row::Row;
use super::steps::Steps;
use super::workers::{Source, Work};

/// What an instant selector's rows hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// The sample.
    Value,
    /// Its time in seconds (`timestamp`).
    Timestamp,
    /// Its start time in seconds, where it has one (`start_timestamp`).
    StartTimestamp,
}

impl<'a> Evaluator<'a> {
    /// Selects the series of `selector` for all of `steps`, looking back `back_ms` and forward `ahead_ms`.
    pub(super) fn select(
        &self,
        steps: Steps,
        selector: &Selector,
        function: &'static str,
        back_ms: i64,
        ahead_ms: i64,
    ) -> Result<(Box<dyn SeriesSet + 'a>, TimeRange)> {
        let first = selector.shift.of(steps.start_ms);
        let last = selector.shift.of(steps.end_ms());
        // Windows are open on the left.
        let range = TimeRange::new(
            first.saturating_sub(back_ms).saturating_add(1),
            last.saturating_add(ahead_ms),
        );
        let hints = SelectHints {
            function,
            step_ms: if steps.is_instant() { 0 } else { steps.step_ms },
            range_ms: selector.range_ms,
            labels_only: false,
            any_order: selector.any_order,
        };
        let set = self.data.select(&selector.matchers, range, &hints, self.budget)?;
        self.budget.count_series(set.len() as u64)?;
        let warnings = set.warnings();
        if !warnings.is_empty() {
            let mut annotations = self.lock_annotations();
            warnings.into_iter().for_each(|warning| annotations.add_storage(warning));
        }
        Ok((set, range))
    }

    /// Rows of an instant selector.
    pub(super) fn selector_rows(
        &self,
        steps: Steps,
        span: Span,
        selector: &Selector,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if selector.edges == EdgeMode::Smoothed {
            return self.smoothed_rows(steps, span, selector, sink);
        }
        self.picked_rows(steps, span, selector, Pick::Value, sink)
    }

    /// Rows of an instant selector, with the samples or something about them.
    pub(super) fn picked_rows(
        &self,
        steps: Steps,
        span: Span,
        selector: &Selector,
        pick: Pick,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let (set, range) = self.select(steps, selector, "", self.lookback_ms, 0)?;
        if pick == Pick::StartTimestamp {
            self.note_samples_gone("start_timestamp", &*set, span);
        }
        let times: Vec<i64> = match set.samples_begin_ms() {
            Some(_) => (0..steps.n).map(|step| selector.shift.of(steps.at(step))).collect(),
            None => Vec::new(),
        };
        let evaluate = |_: &Labels, work: &mut Work, row: &mut Row| {
            let n = if pick == Pick::Value && work.data.histograms.is_empty() {
                work.latest.fill(steps, selector.shift, self.lookback_ms, &work.data, row)
            } else {
                self.latest_samples(steps, selector, pick, &work.data, row)
            };
            self.touched.add_row(row, n - row.histograms.len());
            let untold = std::mem::take(&mut work.untold);
            if !untold.times.is_empty() {
                self.note_samples_gone("", &*set, span);
                let at = |time: &i64| times.binary_search(time).ok().map(|step| steps.at(step));
                self.untold.add(untold.times.iter().filter_map(at));
            }
            if untold.histograms {
                self.lock_annotations().add_storage(HISTOGRAMS_GONE.to_owned());
            }
            Ok(n > 0)
        };
        let newest = (!times.is_empty()).then_some((times.as_slice(), self.lookback_ms));
        let source = Source { set: &*set, range, tiled: None, newest };
        self.each_series(steps, source, &evaluate, sink)
    }

    /// Fills `row` with the latest sample in the lookback of every step; how many steps have one.
    fn latest_samples(
        &self,
        steps: Steps,
        selector: &Selector,
        pick: Pick,
        data: &SeriesData,
        row: &mut Row,
    ) -> usize {
        let (mut n_floats, mut n_histograms, mut n) = (0, 0, 0);
        for step in 0..steps.n {
            let time = selector.shift.of(steps.at(step));
            let oldest = time.saturating_sub(self.lookback_ms);
            n_floats += n_until(data.ts.get(n_floats..).unwrap_or_default(), time);
            while data.histograms.get(n_histograms).is_some_and(|h| h.0 <= time) {
                n_histograms += 1;
            }
            let float = latest_float(data, n_floats, oldest);
            let histogram = n_histograms
                .checked_sub(1)
                .and_then(|at| data.histograms.get(at))
                .filter(|h| h.0 > oldest);
            let found = match (float, histogram) {
                (Some((ts, at)), None) => Found::Float(ts, at),
                (Some((ts, at)), Some(h)) if ts > h.0 => Found::Float(ts, at),
                (_, Some(h)) => Found::Histogram(h.0, &h.1),
                (None, None) => continue,
            };
            n += usize::from(place(row, step, pick, data, found));
        }
        n
    }
}

/// Which sample of a series is the latest at every step. That depends on the timestamps alone, so that the series
/// of a target share it.
#[derive(Debug, Default)]
pub(super) struct Latest {
    asked: Option<(Steps, Shift, i64)>,
    ts: Vec<i64>,
    /// Place of the sample of every step, plus one; 0 where there is none in the lookback.
    places: Vec<usize>,
}

impl Latest {
    /// Fills `row` with the latest float in the lookback of every step; how many steps have one.
    fn fill(
        &mut self,
        steps: Steps,
        shift: Shift,
        lookback_ms: i64,
        data: &SeriesData,
        row: &mut Row,
    ) -> usize {
        let asked = Some((steps, shift, lookback_ms));
        if self.asked != asked || self.ts != data.ts {
            self.asked = asked;
            self.ts.clone_from(&data.ts);
            self.places.clear();
            let mut n = 0;
            for step in 0..steps.n {
                let time = shift.of(steps.at(step));
                n += n_until(self.ts.get(n..).unwrap_or_default(), time);
                let fresh = latest_float(data, n, time.saturating_sub(lookback_ms)).is_some();
                self.places.push(if fresh { n } else { 0 });
            }
        }
        let mut n = 0;
        for (place, out) in self.places.iter().zip(&mut row.values) {
            let value = place.checked_sub(1).and_then(|at| data.values.get(at));
            if let Some(value) = value.filter(|value| !is_stale(**value)) {
                *out = *value;
                n += 1;
            }
        }
        n
    }
}

/// How many of these ascending timestamps are at or before `time`. A few steps on foot first: with a step near
/// the scrape interval there are no more.
fn n_until(ts: &[i64], time: i64) -> usize {
    const ON_FOOT: usize = 8;
    match ts.iter().take(ON_FOOT).position(|&ts| ts > time) {
        Some(n) => n,
        None => ts.partition_point(|&ts| ts <= time),
    }
}

enum Found<'d> {
    /// Time and place of a float.
    Float(i64, usize),
    /// Time and value of a histogram.
    Histogram(i64, &'d Arc<Histogram>),
}

fn latest_float(data: &SeriesData, n: usize, oldest: i64) -> Option<(i64, usize)> {
    let at = n.checked_sub(1)?;
    let ts = *data.ts.get(at)?;
    (ts > oldest).then_some((ts, at))
}

/// Puts what was found into the row, unless it ends the series.
fn place(row: &mut Row, step: usize, pick: Pick, data: &SeriesData, found: Found<'_>) -> bool {
    let value = match found {
        Found::Float(ts, at) => {
            let value = data.values.get(at).copied().unwrap_or(f64::NAN);
            if is_stale(value) {
                return false;
            }
            match pick {
                Pick::Value => value,
                Pick::Timestamp => seconds(ts),
                Pick::StartTimestamp => match data.start_ts.get(at) {
                    None | Some(0) => return false,
                    Some(&start) => seconds(start),
                },
            }
        }
        Found::Histogram(ts, histogram) => {
            if histogram.is_stale() {
                return false;
            }
            match pick {
                Pick::Value => {
                    row.histograms.push((step, Arc::clone(histogram)));
                    return true;
                }
                Pick::Timestamp => seconds(ts),
                Pick::StartTimestamp if histogram.start_ts == 0 => return false,
                Pick::StartTimestamp => seconds(histogram.start_ts),
            }
        }
    };
    if let Some(place) = row.values.get_mut(step) {
        *place = value;
    }
    true
}
