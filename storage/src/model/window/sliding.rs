//! `rate`, `increase` and `delta` of one series for many evenly spaced windows at once.
//!
//! Same arithmetic and same bits as [`slices`](super::slices) window by window. What depends on the
//! timestamps alone (edges of the windows, how far a change is extrapolated) is worked out once and used
//! again for every further series with the same timestamps; resets are looked for once per series instead
//! of once per window.

use super::RangeWindow;
use super::bounds::Bounds;
use super::extrapolate::{count_as_f64, millis_as_f64};

/// Values looked at at once when searching for resets.
const STRIDE: usize = 64;
/// Stands for "no sample" in the result: the stale marker, which no window gives.
const ABSENT: f64 = crate::model::stale_nan();

/// What is asked of every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `rate`
    Rate,
    /// `increase`
    Increase,
    /// `delta`
    Delta,
}

/// Windows `(end - range_ms, end]` that end every `step_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spaced {
    /// End of the first window in milliseconds.
    pub end_ms: i64,
    /// From one end to the next in milliseconds; more than 0 when there are several.
    pub step_ms: i64,
    /// Number of windows.
    pub n: usize,
    /// Length of each in milliseconds.
    pub range_ms: i64,
}

/// A window as the timestamps alone describe it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Its samples: `first..end`. Fewer than two have no change.
    first: u32,
    end: u32,
    sampled_s: f64,
    to_start_s: f64,
    to_end_s: f64,
    /// What a change is multiplied by unless it would reach back beyond zero.
    factor: f64,
}

/// Buffers of one thread, and the windows' shapes for the timestamps seen last.
#[derive(Debug, Default)]
pub struct Sliding {
    ts: Vec<i64>,
    asked: Option<(Spaced, Change)>,
    shapes: Vec<Shape>,
    touched: u64,
    /// Indexes of the values that are smaller than the one before.
    resets: Vec<u32>,
}

impl Sliding {
    /// Fills `out`, one place per window, with the change over each window, and with the stale marker where a
    /// window has fewer than two samples. The samples are parallel, ascending in time, **without stale
    /// markers**, and fewer than 2^32. Returns how many samples all windows have, each window counted.
    pub fn changes(
        &mut self,
        change: Change,
        spaced: &Spaced,
        ts: &[i64],
        values: &[f64],
        out: &mut [f64],
    ) -> u64 {
        if self.asked != Some((*spaced, change)) || self.ts != ts {
            self.ts.clear();
            self.ts.extend_from_slice(ts);
            self.asked = Some((*spaced, change));
            self.shape(spaced, change);
        }
        self.resets.clear();
        if change != Change::Delta {
            find_resets(values, &mut self.resets);
        }
        let range = RangeWindow::ending_at(0, spaced.range_ms);
        let mut next_reset = 0;
        for (shape, out) in self.shapes.iter().zip(out) {
            *out = ABSENT;
            let window = values.get(shape.first as usize..shape.end as usize).unwrap_or_default();
            let &[first, .., last] = window else { continue };
            let mut delta = last - first;
            while self.resets.get(next_reset).is_some_and(|at| *at <= shape.first) {
                next_reset += 1;
            }
            for at in self.resets.iter().skip(next_reset).take_while(|at| **at < shape.end) {
                delta += values.get(*at as usize - 1).copied().unwrap_or(0.0);
            }
            // A counter that began at twice its change or more was never near zero inside the window: no
            // division is needed to see it.
            let near_zero = change != Change::Delta
                && delta > 0.0
                && first >= 0.0
                && !(first >= delta * 2.0 && delta.is_finite());
            let factor = if near_zero {
                factor_near_zero(shape, first, delta, &range, change)
            } else {
                shape.factor
            };
            *out = delta * factor;
        }
        self.touched
    }

    /// How many samples each of the windows asked for last has.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.shapes.iter().map(|shape| u64::from(shape.end - shape.first))
    }

    fn shape(&mut self, spaced: &Spaced, change: Change) {
        self.shapes.clear();
        self.touched = 0;
        let range = RangeWindow::ending_at(0, spaced.range_ms);
        let range_s = range.seconds();
        let mut bounds = Bounds::default();
        let mut end_ms = spaced.end_ms;
        for _ in 0..spaced.n {
            let start_ms = end_ms.saturating_sub(spaced.range_ms);
            bounds.move_to(&self.ts, end_ms, spaced.range_ms);
            self.touched += bounds.len();
            let Bounds { first, end } = bounds;
            let window = self.ts.get(first..end).unwrap_or_default();
            let mut shape = Shape {
                first: first as u32,
                end: end as u32,
                sampled_s: 0.0,
                to_start_s: 0.0,
                to_end_s: 0.0,
                factor: 1.0,
            };
            if let &[first_ts, .., last_ts] = window {
                let seconds = |from: i64, to: i64| millis_as_f64(to.wrapping_sub(from)) / 1000.0;
                shape.sampled_s = seconds(first_ts, last_ts);
                let average_s = shape.sampled_s / count_as_f64(window.len() as u64 - 1);
                let threshold_s = average_s * 1.1;
                let reach = |s: f64| if s >= threshold_s { average_s / 2.0 } else { s };
                shape.to_start_s = reach(seconds(start_ms, first_ts));
                shape.to_end_s = reach(seconds(last_ts, end_ms));
                shape.factor = factor(&shape, shape.to_start_s, range_s, change);
            }
            self.shapes.push(shape);
            end_ms = end_ms.saturating_add(spaced.step_ms);
        }
    }
}

/// The order of these operations is that of `extrapolate`.
fn factor(shape: &Shape, to_start_s: f64, range_s: f64, change: Change) -> f64 {
    let mut factor = 1.0;
    if shape.sampled_s != 0.0 {
        factor = (shape.sampled_s + to_start_s + shape.to_end_s) / shape.sampled_s;
    }
    if change == Change::Rate {
        factor /= range_s;
    }
    factor
}

/// The factor of a counter whose extrapolation must not reach back beyond its zero.
fn factor_near_zero(
    shape: &Shape,
    first: f64,
    delta: f64,
    range: &RangeWindow,
    change: Change,
) -> f64 {
    let to_zero_s = shape.sampled_s * (first / delta);
    if to_zero_s < shape.to_start_s {
        return factor(shape, to_zero_s, range.seconds(), change);
    }
    shape.factor
}

/// Fills `resets`. Looks at a whole stride for a sign of one first, which compiles to vector compares.
fn find_resets(values: &[f64], resets: &mut Vec<u32>) {
    let Some((_, later)) = values.split_first() else { return };
    for (number, (before, after)) in values.chunks(STRIDE).zip(later.chunks(STRIDE)).enumerate() {
        let any = before.iter().zip(after).fold(false, |any, (b, a)| any | (a < b));
        if any {
            for (at, (b, a)) in before.iter().zip(after).enumerate() {
                if a < b {
                    resets.push((number * STRIDE + at + 1) as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::super::slices;
    use super::*;

    fn one_by_one(change: Change, spaced: &Spaced, ts: &[i64], values: &[f64]) -> Vec<u64> {
        let of = match change {
            Change::Rate => slices::rate,
            Change::Increase => slices::increase,
            Change::Delta => slices::delta,
        };
        let window = |step: usize| {
            let end_ms = spaced.end_ms + spaced.step_ms * step as i64;
            let window = RangeWindow::ending_at(end_ms, spaced.range_ms);
            let from = ts.partition_point(|ts| *ts <= window.start_ms);
            let to = ts.partition_point(|ts| *ts <= end_ms);
            of(&ts[from..to], &values[from..to], &window).unwrap_or(ABSENT).to_bits()
        };
        (0..spaced.n).map(window).collect()
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (0i32..1000).prop_map(f64::from),
            2 => -10.0f64..10.0,
            1 => Just(f64::INFINITY),
            1 => Just(f64::NAN),
        ]
    }

    proptest! {
        #[test]
        fn every_window_has_the_bits_of_its_slice(
            gaps in prop::collection::vec((1i64..40_000, value()), 0..200),
            counter in any::<bool>(),
            end_ms in -100_000i64..1_000_000,
            step_ms in 1i64..200_000,
            range_ms in 1i64..600_000,
        ) {
            let mut at = 0;
            let ts: Vec<i64> = gaps.iter().map(|(gap, _)| { at += gap; at }).collect();
            let mut sum = 0.0;
            let values: Vec<f64> = gaps.iter().map(|(_, v)| {
                sum += v.abs();
                if counter && sum.is_finite() { sum } else { *v }
            }).collect();
            let spaced = Spaced { end_ms, step_ms, n: 40, range_ms };
            let mut sliding = Sliding::default();
            let mut out = vec![0.0; spaced.n];
            for change in [Change::Rate, Change::Increase, Change::Delta, Change::Delta] {
                sliding.changes(change, &spaced, &ts, &values, &mut out);
                let bits: Vec<u64> = out.iter().map(|v| v.to_bits()).collect();
                let expected = one_by_one(change, &spaced, &ts, &values);
                let nan = |bits: &u64| f64::from_bits(*bits).is_nan() && *bits != ABSENT.to_bits();
                for (a, b) in bits.iter().zip(&expected) {
                    prop_assert!(a == b || nan(a) && nan(b), "{a:x} {b:x}");
                }
            }
        }
    }

    #[test]
    fn shapes_follow_the_timestamps() {
        let spaced = Spaced { end_ms: 60_000, step_ms: 60_000, n: 2, range_ms: 60_000 };
        let mut sliding = Sliding::default();
        let mut out = [0.0; 2];
        let ts: Vec<i64> = (1..=8).map(|i| i * 15_000).collect();
        let values: Vec<f64> = (1..=8).map(|i| 1000.0 + f64::from(i) * 15.0).collect();
        assert_eq!(sliding.changes(Change::Increase, &spaced, &ts, &values, &mut out), 8);
        assert_eq!(out, [60.0, 60.0]);
        let later: Vec<i64> = ts.iter().map(|ts| ts + 60_000).collect();
        assert_eq!(sliding.changes(Change::Increase, &spaced, &later, &values, &mut out), 4);
        assert_eq!(out[0].to_bits(), ABSENT.to_bits());
        assert_eq!(out[1], 60.0);
        assert_eq!(sliding.changes(Change::Rate, &spaced, &ts, &values, &mut out), 8);
        // As Prometheus divides: the factor by the range first.
        let rate = 45.0 * (60.0 / 45.0 / 60.0);
        assert_eq!(out, [rate, rate]);
    }
}
