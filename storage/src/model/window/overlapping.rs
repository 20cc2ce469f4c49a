//! Folds over many evenly spaced windows of one series that overlap, without reading every window from its
//! beginning to its end where that can be had **bit for bit**. Same bits as [`slices`](super::slices) window
//! by window.
//!
//! - `max`, `min`: a queue of the samples that no later one beats; each sample enters and leaves it once.
//! - `changes`, `resets`: differences of running counts.
//! - `count`, `present`, `first`, `last`: from the edges.
//! - `sum`, `avg` of integers whose sums stay below 2^53: differences of running sums, which are exact then, as
//!   the compensated sum is.
//! - `sum`, `avg` otherwise, `stdvar`, `stddev`: no part of a compensated fold from left to right can be had from
//!   another window's, so every window is read. Neighbours are read together: their folds do not wait for each
//!   other, and the samples that they share are loaded once.
//! - `quantile`: the window's values stay sorted while it moves on.

use std::collections::VecDeque;

use super::bounds::Bounds;
use super::extrapolate::{count_as_f64, is_change};
use super::slices::{self, Deviation, mean_of_sum};
use super::{Spaced, compensated_add};

/// Stands for "no sample" in the result: the stale marker, which no window gives.
const ABSENT: f64 = crate::model::stale_nan();
/// Windows that are read together.
const LANES: usize = 4;
/// Integers below this are exact, and so are their sums while they stay below it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What is asked of every window.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "the functions of PromQL")]
pub enum Fold {
    Count,
    Present,
    First,
    Last,
    Min,
    Max,
    Sum,
    Avg,
    Stdvar,
    Stddev,
    Changes,
    Resets,
    /// The quantile with this rank, from 0 to 1.
    Quantile(f64),
}

/// Buffers of one thread, and the windows' bounds for the timestamps seen last.
#[derive(Debug, Default)]
pub struct Overlapping {
    ts: Vec<i64>,
    asked: Option<Spaced>,
    windows: Vec<Bounds>,
    touched: u64,
    queue: VecDeque<usize>,
    counts: Vec<u64>,
    sums: Vec<i64>,
    sorted: Vec<u64>,
}

impl Overlapping {
    /// Fills `out`, one place per window, with the fold over each window, and with the stale marker where a window
    /// has no sample. The samples are parallel, ascending in time, **without stale markers**. `check` is asked now
    /// and then whether to go on. Returns how many samples all windows have, each window counted.
    pub fn fold<E>(
        &mut self,
        fold: Fold,
        spaced: &Spaced,
        (ts, values): (&[i64], &[f64]),
        out: &mut [f64],
        check: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<u64, E> {
        if self.asked != Some(*spaced) || self.ts != ts {
            self.ts.clear();
            self.ts.extend_from_slice(ts);
            self.asked = Some(*spaced);
            self.bound(spaced);
        }
        match fold {
            Fold::Count => self.each(values, out, |window| count_as_f64(window.len() as u64)),
            Fold::Present => self.each(values, out, |_| 1.0),
            Fold::First => self.each(values, out, |w| w.first().copied().unwrap_or(ABSENT)),
            Fold::Last => self.each(values, out, |w| w.last().copied().unwrap_or(ABSENT)),
            Fold::Min => self.extremes(values, out, |value, than| value < than),
            Fold::Max => self.extremes(values, out, |value, than| value > than),
            Fold::Changes => self.steps(values, out, is_change),
            Fold::Resets => self.steps(values, out, |before, now| now < before),
            Fold::Sum if self.run_sums(values) => self.exact_sums(out, |sum, _| sum),
            Fold::Avg if self.run_sums(values) => {
                self.exact_sums(out, |sum, n| mean_of_sum(sum, 0.0, n));
            }
            Fold::Sum => self.lanes(values, out, Sum::default, Sum::add, |s, _| s.sum(), check)?,
            Fold::Avg => self.lanes(values, out, Sum::default, Sum::add, Sum::mean, check)?,
            Fold::Stdvar => {
                let end = |d: Deviation, _: &[f64]| d.variance();
                self.lanes(values, out, Deviation::default, Deviation::add, end, check)?;
            }
            Fold::Stddev => {
                let end = |d: Deviation, _: &[f64]| d.variance().sqrt();
                self.lanes(values, out, Deviation::default, Deviation::add, end, check)?;
            }
            Fold::Quantile(q) => self.quantiles(values, out, q, check)?,
        }
        Ok(self.touched)
    }

    /// How many samples each of the windows asked for last has.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.windows.iter().map(|window| window.len())
    }

    fn bound(&mut self, spaced: &Spaced) {
        self.windows.clear();
        self.touched = 0;
        let mut bounds = Bounds::default();
        let mut end_ms = spaced.end_ms;
        for _ in 0..spaced.n {
            bounds.move_to(&self.ts, end_ms, spaced.range_ms);
            self.touched += bounds.len();
            self.windows.push(bounds);
            end_ms = end_ms.saturating_add(spaced.step_ms);
        }
    }

    fn each(&self, values: &[f64], out: &mut [f64], of: impl Fn(&[f64]) -> f64) {
        for (window, out) in self.windows.iter().zip(out) {
            let window = values.get(window.first..window.end).unwrap_or_default();
            *out = if window.is_empty() { ABSENT } else { of(window) };
        }
    }

    /// The first of the values that no other of its window beats; NaN when there is nothing else.
    fn extremes(&mut self, values: &[f64], out: &mut [f64], beats: impl Fn(f64, f64) -> bool) {
        self.queue.clear();
        let mut taken = 0;
        for (window, out) in self.windows.iter().zip(out) {
            for at in taken.max(window.first)..window.end {
                let Some(&value) = values.get(at) else { break };
                if value.is_nan() {
                    continue;
                }
                while self
                    .queue
                    .back()
                    .and_then(|at| values.get(*at))
                    .is_some_and(|b| beats(value, *b))
                {
                    self.queue.pop_back();
                }
                self.queue.push_back(at);
            }
            taken = taken.max(window.end);
            while self.queue.front().is_some_and(|at| *at < window.first) {
                self.queue.pop_front();
            }
            let last = || window.end.checked_sub(1).and_then(|at| values.get(at));
            *out = match self.queue.front().and_then(|at| values.get(*at)) {
                Some(extreme) => *extreme,
                None if window.first < window.end => last().copied().unwrap_or(ABSENT),
                None => ABSENT,
            };
        }
    }

    /// How often a sample and the one before it satisfy `is_step`.
    fn steps(&mut self, values: &[f64], out: &mut [f64], is_step: impl Fn(f64, f64) -> bool) {
        self.counts.clear();
        let mut n = 0;
        self.counts.push(n);
        for (before, now) in values.iter().zip(values.iter().skip(1)) {
            n += u64::from(is_step(*before, *now));
            self.counts.push(n);
        }
        let until = |at: usize| self.counts.get(at).copied().unwrap_or(n);
        for (window, out) in self.windows.iter().zip(out) {
            *out = if window.first < window.end {
                count_as_f64(until(window.end - 1) - until(window.first))
            } else {
                ABSENT
            };
        }
    }

    /// Fills `sums` when all sums of windows are exact.
    fn run_sums(&mut self, values: &[f64]) -> bool {
        let longest = self.windows.iter().map(|w| w.end - w.first).max().unwrap_or(0);
        let largest = values.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        // NaN passes `max` by, but not the next test.
        let exact = largest * count_as_f64(longest as u64) < EXACT
            && values.iter().fold(true, |all, v| all & (v.trunc() == *v));
        if exact {
            self.sums.clear();
            self.sums.push(0);
            let mut sum = 0_i64;
            for value in values {
                #[allow(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
                let value = *value as i64;
                // Differences are right even if the running sum itself wraps.
                sum = sum.wrapping_add(value);
                self.sums.push(sum);
            }
        }
        exact
    }

    fn exact_sums(&self, out: &mut [f64], of: impl Fn(f64, u64) -> f64) {
        let until = |at: usize| self.sums.get(at).copied().unwrap_or(0);
        for (window, out) in self.windows.iter().zip(out) {
            #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
            let sum = until(window.end).wrapping_sub(until(window.first)) as f64;
            let n = (window.end - window.first) as u64;
            *out = if n > 0 { of(sum, n) } else { ABSENT };
        }
    }

    /// Folds several windows at a time.
    fn lanes<S: Copy, E>(
        &self,
        values: &[f64],
        out: &mut [f64],
        begin: impl Fn() -> S,
        add: impl Fn(&mut S, f64),
        end: impl Fn(S, &[f64]) -> f64,
        check: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let slice = |from: usize, to: usize| values.get(from..to).unwrap_or_default();
        for (windows, out) in self.windows.chunks(LANES).zip(out.chunks_mut(LANES)) {
            check()?;
            let mut states = [begin(); LANES];
            // What all of them share is read once.
            let from = windows.iter().map(|w| w.first).max().unwrap_or(0);
            let to = windows.iter().map(|w| w.end).min().unwrap_or(0);
            let shared = windows.len() == LANES && from < to;
            for (state, window) in states.iter_mut().zip(windows) {
                let until = if shared { from } else { window.end };
                slice(window.first, until).iter().for_each(|value| add(state, *value));
            }
            if shared {
                let [mut a, mut b, mut c, mut d] = states;
                for &value in slice(from, to) {
                    add(&mut a, value);
                    add(&mut b, value);
                    add(&mut c, value);
                    add(&mut d, value);
                }
                states = [a, b, c, d];
                for (state, window) in states.iter_mut().zip(windows) {
                    slice(to, window.end).iter().for_each(|value| add(state, *value));
                }
            }
            for ((state, window), out) in states.iter().zip(windows).zip(out) {
                let window = slice(window.first, window.end);
                *out = if window.is_empty() { ABSENT } else { end(*state, window) };
            }
        }
        Ok(())
    }

    fn quantiles<E>(
        &mut self,
        values: &[f64],
        out: &mut [f64],
        q: f64,
        check: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        self.sorted.clear();
        let mut held = Bounds::default();
        for (number, (window, out)) in self.windows.iter().zip(out).enumerate() {
            if number % 64 == 0 {
                check()?;
            }
            if window.first >= held.end {
                // Nothing in common.
                self.sorted.clear();
                let window = values.get(window.first..window.end).unwrap_or_default();
                self.sorted.extend(window.iter().map(|value| sortable(*value)));
                self.sorted.sort_unstable();
            } else {
                let mut gone = values.get(held.first..window.first).unwrap_or_default().iter();
                let mut new = values.get(held.end..window.end).unwrap_or_default().iter();
                loop {
                    match (gone.next(), new.next()) {
                        (Some(old), Some(new)) => {
                            replace(&mut self.sorted, sortable(*old), sortable(*new))
                        }
                        (Some(old), None) => {
                            if let Ok(at) = self.sorted.binary_search(&sortable(*old)) {
                                self.sorted.remove(at);
                            }
                        }
                        (None, Some(new)) => {
                            let new = sortable(*new);
                            self.sorted.insert(self.sorted.partition_point(|v| *v < new), new);
                        }
                        (None, None) => break,
                    }
                }
            }
            held = *window;
            *out = rank(&self.sorted, q);
        }
        Ok(())
    }
}

/// Replaces one of the sorted values by another and keeps them sorted.
fn replace(sorted: &mut [u64], old: u64, new: u64) {
    let Ok(from) = sorted.binary_search(&old) else { return };
    let to = sorted.partition_point(|value| *value < new);
    let to = if to > from {
        sorted.copy_within(from + 1..to, from);
        to - 1
    } else {
        sorted.copy_within(to..from, to + 1);
        to
    };
    if let Some(place) = sorted.get_mut(to) {
        *place = new;
    }
}

/// A float as an integer of the same order, NaN before all.
const fn sortable(value: f64) -> u64 {
    if value.is_nan() {
        return 0;
    }
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

const fn unsorted(key: u64) -> f64 {
    match key {
        0 => f64::NAN,
        key if key >> 63 == 1 => f64::from_bits(key & !(1 << 63)),
        key => f64::from_bits(!key),
    }
}

/// The quantile of sorted values (`promql/quantile.go`, `quantile`).
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "indices within the slice"
)]
fn rank(sorted: &[u64], q: f64) -> f64 {
    let Some(top) = sorted.len().checked_sub(1) else { return ABSENT };
    let rank = q * top as f64;
    let weight = rank - rank.floor();
    let lower = rank.floor().max(0.0) as usize;
    let at = |at: usize| sorted.get(at.min(top)).copied().map_or(f64::NAN, unsorted);
    at(lower) * (1.0 - weight) + at(lower + 1) * weight
}

/// A compensated sum that grows.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    compensation: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        (self.sum, self.compensation) = compensated_add(value, self.sum, self.compensation);
    }

    fn sum(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }

    /// The mean of `window`, whose sum this is.
    fn mean(self, window: &[f64]) -> f64 {
        if self.sum.is_finite() {
            return mean_of_sum(self.sum, self.compensation, window.len() as u64);
        }
        // It may have been infinite on the way.
        slices::avg(window).unwrap_or(ABSENT)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn one_by_one(fold: Fold, spaced: &Spaced, ts: &[i64], values: &[f64]) -> Vec<f64> {
        let window = |step: usize| {
            let end_ms = spaced.end_ms + spaced.step_ms * step as i64;
            let from = ts.partition_point(|ts| *ts <= end_ms - spaced.range_ms);
            let to = ts.partition_point(|ts| *ts <= end_ms);
            let values = &values[from..to];
            if values.is_empty() {
                return ABSENT;
            }
            match fold {
                Fold::Count => values.len() as f64,
                Fold::Present => 1.0,
                Fold::First => values[0],
                Fold::Last => values[values.len() - 1],
                Fold::Min => slices::min(values).unwrap(),
                Fold::Max => slices::max(values).unwrap(),
                Fold::Sum => slices::sum(values),
                Fold::Avg => slices::avg(values).unwrap(),
                Fold::Stdvar => slices::stdvar(values).unwrap(),
                Fold::Stddev => slices::stddev(values).unwrap(),
                Fold::Changes => slices::changes(values) as f64,
                Fold::Resets => slices::resets(values) as f64,
                Fold::Quantile(q) => {
                    let mut sorted: Vec<u64> = values.iter().map(|v| sortable(*v)).collect();
                    sorted.sort_unstable();
                    rank(&sorted, q)
                }
            }
        };
        (0..spaced.n).map(window).collect()
    }

    fn check(fold: Fold, spaced: &Spaced, ts: &[i64], values: &[f64]) -> Result<(), TestCaseError> {
        let mut out = vec![0.0; spaced.n];
        let mut go_on = || Ok::<(), Infallible>(());
        let mut overlapping = Overlapping::default();
        let touched = overlapping.fold(fold, spaced, (ts, values), &mut out, &mut go_on).unwrap();
        prop_assert_eq!(touched, overlapping.counts().sum::<u64>());
        let nan = |v: f64| v.is_nan() && v.to_bits() != ABSENT.to_bits();
        for (step, (a, b)) in out.iter().zip(one_by_one(fold, spaced, ts, values)).enumerate() {
            prop_assert!(
                a.to_bits() == b.to_bits() || nan(*a) && nan(b),
                "{fold:?} step {step}: {a:e} {b:e}"
            );
        }
        Ok(())
    }

    const FOLDS: [Fold; 15] = [
        Fold::Count,
        Fold::Present,
        Fold::First,
        Fold::Last,
        Fold::Min,
        Fold::Max,
        Fold::Sum,
        Fold::Avg,
        Fold::Stdvar,
        Fold::Stddev,
        Fold::Changes,
        Fold::Resets,
        Fold::Quantile(0.0),
        Fold::Quantile(0.3),
        Fold::Quantile(1.0),
    ];

    fn value(kind: u8) -> BoxedStrategy<f64> {
        match kind {
            0 => (-1000i32..1000).prop_map(f64::from).boxed(),
            1 => prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(f64::NAN)].boxed(),
            2 => prop_oneof![
                5 => -10.0f64..10.0,
                1 => Just(1e308),
                1 => Just(f64::INFINITY),
                1 => Just(f64::NEG_INFINITY),
                1 => Just(f64::NAN),
            ]
            .boxed(),
            3 => prop_oneof![Just(9.007_199_254_740_991e15), Just(1.0), Just(-3.0)].boxed(),
            _ => (-10.0f64..10.0).boxed(),
        }
    }

    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        (0u8..5).prop_flat_map(|kind| prop::collection::vec((1i64..40_000, value(kind)), 0..200))
    }

    proptest! {
        #[test]
        fn every_window_has_the_bits_of_its_slice(
            gaps in samples(),
            end_ms in -100_000i64..1_000_000,
            step_ms in 1i64..200_000,
            range_ms in 1i64..2_000_000,
        ) {
            let mut at = 0;
            let ts: Vec<i64> = gaps.iter().map(|(gap, _)| { at += gap; at }).collect();
            let values: Vec<f64> = gaps.iter().map(|(_, value)| *value).collect();
            let spaced = Spaced { end_ms, step_ms, n: 41, range_ms };
            for fold in FOLDS {
                check(fold, &spaced, &ts, &values)?;
            }
        }
    }

    #[test]
    fn integers_are_summed_by_differences_and_others_are_read() {
        let mut overlapping = Overlapping::default();
        let spaced = Spaced { end_ms: 3, step_ms: 1, n: 3, range_ms: 3 };
        let mut out = [0.0; 3];
        let mut go_on = || Ok::<(), Infallible>(());
        let ts = [1, 2, 3, 4, 5];
        let ints = [1.0, -2.0, 3.0, 4.0, 5.0];
        overlapping.fold(Fold::Sum, &spaced, (&ts, &ints), &mut out, &mut go_on).unwrap();
        assert_eq!((out, overlapping.sums.len()), ([2.0, 5.0, 12.0], 6));
        for other in [[0.5; 5], [f64::NAN; 5], [f64::INFINITY; 5], [4e15; 5]] {
            assert!(!overlapping.run_sums(&other), "{other:?}");
        }
    }

    #[test]
    fn it_can_be_stopped() {
        let spaced = Spaced { end_ms: 3, step_ms: 1, n: 300, range_ms: 3 };
        let (ts, values) = ([1, 2, 3], [0.5; 3]);
        for fold in [Fold::Sum, Fold::Avg, Fold::Stddev, Fold::Quantile(0.5)] {
            let mut out = vec![0.0; 300];
            let stopped =
                Overlapping::default()
                    .fold(fold, &spaced, (&ts, &values), &mut out, &mut || Err("stop"));
            assert_eq!(stopped, Err("stop"), "{fold:?}");
        }
    }
}
