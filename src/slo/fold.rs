//! The samples of one series, folded into slices.
//!
//! An increase is booked at the sample that revealed it: it is the step from the sample before, however old that is,
//! or the value itself where the counter has begun anew. So it adds up over any partition of time, is an integer for
//! a counter of integers, and does not depend on when samples were taken.

use nines_storage::model::{SeriesData, is_stale};

use super::definition::Compare;
use super::slices::Slot;
use super::sum::Sum;

/// The first sample of a series in what was read, when none was before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct First {
    /// The slice it is in.
    pub slot: usize,
    /// Its time.
    pub ts: i64,
    /// Its value.
    pub value: f64,
    /// When its counter began, as the sender tells; 0 where it does not.
    pub start_ts: i64,
}

/// Which of a slice's counts a counter adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// [`Slot::part`].
    Part,
    /// [`Slot::total`], whose samples are those of the slice.
    Total,
}

/// The step from a counter's value to its next one.
#[must_use]
pub(super) fn step(before: f64, value: f64) -> f64 {
    if value >= before { value - before } else { value }
}

/// Folds a counter. Samples at or before the first of `edges` are what its first step is taken from.
pub(super) fn counter(
    data: &SeriesData,
    edges: &[i64],
    (side, negative): (Side, bool),
    slots: &mut [Slot],
) -> Option<First> {
    let (begin, mut end) = (edges.first().copied()?, edges.get(1).copied()?);
    let mut before: Option<f64> = None;
    let mut first = None;
    let (mut at, mut own) = (0, Slice::default());
    // The sample before the first one of a slice.
    let mut last = i64::MAX;
    let mut book = |at: usize, own: &Slice| {
        let Some(slot) = slots.get_mut(at) else { return };
        slot.base_ms = slot.base_ms.min(own.base_ms);
        slot.nan_samples += own.nan_samples;
        let counts = match side {
            Side::Part => &mut slot.part,
            Side::Total => {
                slot.samples += own.samples;
                &mut slot.total
            }
        };
        match negative {
            true => *counts = counts.less(&own.sum),
            false => counts.merge(&own.sum),
        }
    };
    for (i, (&ts, &value)) in data.ts.iter().zip(&data.values).enumerate() {
        if ts <= begin {
            if value.is_finite() {
                (before, last) = (Some(value), ts);
            }
            continue;
        }
        if is_stale(value) {
            continue;
        }
        if ts > end {
            book(at, &own);
            own = Slice::default();
            while ts > end {
                at += 1;
                match edges.get(at + 1) {
                    Some(next) => end = *next,
                    None => return first,
                }
            }
        }
        if !value.is_finite() {
            own.nan_samples += 1;
            continue;
        }
        if own.samples == 0 {
            own.base_ms = last;
        }
        own.samples += 1;
        match before {
            Some(before) => own.sum.add(step(before, value)),
            None => {
                let start_ts = data.start_ts.get(i).copied().unwrap_or(0);
                first = Some(First { slot: at, ts, value, start_ts });
            }
        }
        (before, last) = (Some(value), ts);
    }
    book(at, &own);
    first
}

/// One slice of a counter.
struct Slice {
    sum: Sum,
    samples: u32,
    nan_samples: u32,
    base_ms: i64,
}

impl Default for Slice {
    fn default() -> Self {
        Self { sum: Sum::default(), samples: 0, nan_samples: 0, base_ms: i64::MAX }
    }
}

/// What a sample of a gauge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Good,
    Bad,
    Nothing,
    Unknown,
}

/// How samples of a gauge are judged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Judge<'a> {
    /// Against a value.
    Against(Compare, f64),
    /// By lists of states: good, bad, ignored.
    States(&'a [f64], &'a [f64], &'a [f64]),
    /// They are shares themselves.
    Share,
}

impl Judge<'_> {
    fn says(&self, value: f64) -> Says {
        match self {
            Self::Against(op, bound) if op.holds(value, *bound) => Says::Good,
            Self::Against(..) | Self::Share => Says::Bad,
            Self::States(good, _, _) if good.contains(&value) => Says::Good,
            Self::States(_, bad, _) if bad.contains(&value) => Says::Bad,
            Self::States(_, _, ignore) if ignore.contains(&value) => Says::Nothing,
            Self::States(..) => Says::Unknown,
        }
    }
}

/// Folds a gauge of which every sample holds until the next one of its series, stale markers included, and for
/// `hold_ms` at most: milliseconds are counted, in the slices in which they are.
pub(super) fn held(
    data: &SeriesData,
    edges: &[i64],
    (judge, hold_ms): (Judge<'_>, i64),
    slots: &mut [Slot],
) {
    let (Some(&begin), Some(&last)) = (edges.first(), edges.last()) else { return };
    let mut samples = data.ts.iter().copied().zip(data.values.iter().copied()).peekable();
    let mut at = 0;
    while let Some((ts, value)) = samples.next() {
        let next = samples.peek().map_or(i64::MAX, |(next, _)| *next);
        let (mut from, to) = (ts.max(begin), ts.saturating_add(hold_ms).min(next).min(last));
        if is_stale(value) {
            continue;
        }
        while from < to {
            while edges.get(at + 1).is_some_and(|end| *end <= from) {
                at += 1;
            }
            let (Some(&end), Some(slot)) = (edges.get(at + 1), slots.get_mut(at)) else { return };
            let time = (to.min(end) - from) as f64;
            slot.samples += 1;
            // A sample is told once, where it begins to hold.
            let is_new = from == ts;
            slot.nan_samples += u32::from(is_new && value.is_nan());
            match judge.says(value) {
                Says::Good => {
                    slot.part.add(time);
                    slot.total.add(time);
                }
                Says::Bad => slot.total.add(time),
                Says::Nothing => {}
                Says::Unknown => {
                    slot.unknown_states += u32::from(is_new);
                    slot.total.add(time);
                }
            }
            from = end.min(to);
        }
    }
}

/// Folds a gauge: every sample is one event.
pub(super) fn gauge(data: &SeriesData, edges: &[i64], judge: Judge<'_>, slots: &mut [Slot]) {
    walk(data, edges, |at, value| {
        let Some(slot) = slots.get_mut(at) else { return };
        if matches!(judge, Judge::Share) {
            if !value.is_finite() {
                slot.nan_samples += 1;
                return;
            }
            slot.samples += 1;
            slot.part.add(value);
            slot.total.add(1.0);
            return;
        }
        slot.samples += 1;
        slot.nan_samples += u32::from(value.is_nan());
        match judge.says(value) {
            Says::Good => {
                slot.part.add(1.0);
                slot.total.add(1.0);
            }
            Says::Bad => slot.total.add(1.0),
            Says::Nothing => {}
            Says::Unknown => {
                slot.unknown_states += 1;
                slot.total.add(1.0);
            }
        }
    });
}

/// Marks the slices in which there are samples.
pub(super) fn existence(data: &SeriesData, edges: &[i64], slots: &mut [Slot]) {
    walk(data, edges, |at, _| {
        if let Some(slot) = slots.get_mut(at) {
            slot.expected = true;
        }
    });
}

/// Shows every sample behind the first edge, stale markers apart, with its slice.
fn walk(data: &SeriesData, edges: &[i64], mut show: impl FnMut(usize, f64)) {
    let (Some(&begin), Some(&first_end)) = (edges.first(), edges.get(1)) else { return };
    let (mut at, mut end) = (0, first_end);
    for (&ts, &value) in data.ts.iter().zip(&data.values) {
        if ts <= begin || is_stale(value) {
            continue;
        }
        while ts > end {
            at += 1;
            match edges.get(at + 1) {
                Some(next) => end = *next,
                None => return,
            }
        }
        show(at, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use nines_storage::model::stale_nan;

    fn data(samples: &[(i64, f64)]) -> SeriesData {
        let (ts, values) = samples.iter().copied().unzip();
        SeriesData { ts, values, ..SeriesData::default() }
    }

    fn totals(samples: &[(i64, f64)], edges: &[i64]) -> (Vec<f64>, Option<First>) {
        let mut slots = vec![Slot::default(); edges.len() - 1];
        let first = counter(&data(samples), edges, (Side::Total, false), &mut slots);
        (slots.iter().map(|slot| slot.total.get()).collect(), first)
    }

    #[test]
    fn a_reset_is_booked_at_the_sample_that_shows_it() {
        let samples = [(0, 100.0), (60, 130.0), (120, 150.0), (180, 20.0), (240, 50.0)];
        assert_eq!(totals(&samples, &[0, 240]), (vec![100.0], None));
        assert_eq!(totals(&samples, &[0, 120, 180, 240]).0, [50.0, 20.0, 30.0]);
    }

    #[test]
    fn a_gap_is_booked_behind_it() {
        let samples = [(-30, 50.0), (30, 50.0), (7230, 80.0)];
        assert_eq!(totals(&samples, &[0, 3600, 7200, 10_800]).0, [0.0, 0.0, 30.0]);
    }

    #[test]
    fn a_sample_at_an_edge_belongs_to_the_slice_before() {
        let (slices, first) = totals(&[(0, 1.0), (10, 3.0), (11, 7.0)], &[0, 10, 20]);
        assert_eq!((slices, first), (vec![2.0, 4.0], None));
    }

    #[test]
    fn a_series_without_a_past_tells_its_first_sample() {
        let (slices, first) = totals(&[(5, 7.0), (15, 9.0)], &[0, 10, 20]);
        assert_eq!(slices, [0.0, 2.0]);
        assert_eq!(first, Some(First { slot: 0, ts: 5, value: 7.0, start_ts: 0 }));
    }

    #[test]
    fn stale_markers_are_no_samples() {
        let mut slots = [Slot::default(); 3];
        let samples = data(&[(0, 1.0), (5, stale_nan()), (15, 4.0), (16, f64::NAN), (25, 4.0)]);
        counter(&samples, &[0, 10, 20, 30], (Side::Total, false), &mut slots);
        let told = slots.map(|slot| (slot.total.get(), slot.samples, slot.nan_samples));
        assert_eq!(told, [(0.0, 0, 0), (3.0, 1, 1), (0.0, 1, 0)]);
        assert_eq!(slots.map(|slot| slot.base_ms), [i64::MAX, 0, 15]);
    }

    #[test]
    fn shares_that_are_no_numbers_are_told_and_not_counted() {
        let mut slots = [Slot::default()];
        let samples = data(&[(1, 0.5), (2, f64::INFINITY), (3, f64::NAN), (4, 0.25)]);
        gauge(&samples, &[0, 10], Judge::Share, &mut slots);
        let [slot] = slots;
        assert_eq!((slot.part.get(), slot.total.get()), (0.75, 2.0));
        assert_eq!((slot.samples, slot.nan_samples), (2, 2));
    }

    #[test]
    fn samples_hold_until_the_next_one_and_for_a_while() {
        let samples =
            data(&[(-20, 0.0), (-4, 1.0), (8, 0.0), (12, stale_nan()), (25, 1.0), (60, 0.0)]);
        let judge = Judge::Against(Compare::Gte, 1.0);
        let of = |edges: &[i64]| {
            let mut slots = vec![Slot::default(); edges.len() - 1];
            held(&samples, edges, (judge, 15), &mut slots);
            let told = |slot: &Slot| (slot.part.get(), slot.total.get(), slot.samples);
            slots.iter().map(told).collect::<Vec<_>>()
        };
        // Of the one before the first edge its part behind it; of the last one what is before the last edge.
        assert_eq!(
            of(&[0, 10, 20, 30, 62]),
            [(8.0, 10.0, 2), (0.0, 2.0, 1), (5.0, 5.0, 1), (10.0, 12.0, 2)]
        );
        assert_eq!(of(&[0, 62]), [(23.0, 29.0, 4)]);
        assert_eq!(of(&[62, 70, 90]), [(0.0, 8.0, 1), (0.0, 5.0, 1)]);
    }

    #[test]
    fn states_are_judged_by_their_lists() {
        let mut slots = [Slot::default()];
        let judge = Judge::States(&[1.0, 2.0], &[0.0, 6.0], &[5.0]);
        let samples = data(&[(1, 1.0), (2, 6.0), (3, 5.0), (4, 2.0), (5, 9.0)]);
        gauge(&samples, &[0, 10], judge, &mut slots);
        let [slot] = slots;
        assert_eq!((slot.part.get(), slot.total.get(), slot.samples), (2.0, 4.0, 5));
        assert_eq!(slot.unknown_states, 1);
    }
}
