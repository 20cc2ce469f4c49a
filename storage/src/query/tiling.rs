//! Which rows of the history and which stretches of samples make up windows: a pure function.
//!
//! Every window begins and ends between two stretches or among samples, so that a row lies wholly inside or wholly outside
//! of each: a day that no window's end cuts is one row, an hour that none cuts is one row, the rest is samples.

use std::ops::RangeInclusive;

use super::Budget;
use crate::error::Result;
use crate::history::{Day, HOUR_MS, Tier};
use crate::model::TimeRange;
use crate::model::window::{Need, Spaced};

/// Least time that rows must stand for: below that samples are as fast.
const ROWS_MIN_MS: i64 = 2 * HOUR_MS;
/// Days and windows planned between two looks at the deadline.
const PLANNED_PER_CHECK: usize = 4_096;
/// Memory that a window takes at most while it is planned: its ends, and both as cuts.
pub(super) const WINDOW_BYTES: u64 = 2 * size_of::<(i64, i64)>() as u64;

/// What there is of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Samples alone.
    Samples,
    /// Samples, and rows of all of them.
    Both,
    /// Rows alone.
    Rows,
    /// Rows, and samples that came later.
    Late,
    /// The row of the day alone: those of its hours went by their age.
    Days,
}

impl Kept {
    /// Whether there are samples that only rows tell.
    pub(super) const fn is_gone(self) -> bool {
        matches!(self, Self::Rows | Self::Late | Self::Days)
    }

    /// Multiples of this do not cut what there is.
    const fn unit_ms(self) -> i64 {
        match self {
            Self::Samples | Self::Both => 1,
            Self::Rows | Self::Late => HOUR_MS,
            Self::Days => Tier::Day.window_ms(),
        }
    }
}

/// A part of the time that windows cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Samples inside the range.
    Samples(TimeRange),
    /// The row of a day.
    Day(Day),
    /// Rows of a day's hours, from the one that ends at hour `from` to the one that ends at hour `to`.
    Hours(Day, u8, u8),
}

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Beginnings and ends of the windows that are evaluated; neither moves back.
    pub(super) windows: Vec<(i64, i64)>,
    /// How far a window was moved at most, where the samples at its ends are gone.
    pub(super) moved_ms: i64,
    /// Ascending.
    pub(super) stretches: Vec<Stretch>,
}

/// Whether every hour is cut whose rows could make up for those that are cut.
pub(super) fn cuts_every_hour(windows: &Spaced) -> bool {
    let steps = i64::try_from(windows.n).unwrap_or(i64::MAX).saturating_sub(1);
    // Beginnings cut as much time as ends do; what lies between them is whole.
    let cut_ms = windows.step_ms.saturating_mul(steps);
    windows.n > 1
        && windows.step_ms < HOUR_MS
        && windows.range_ms.saturating_sub(cut_ms) < ROWS_MIN_MS.max(cut_ms.saturating_mul(2))
}

/// Plans for `windows`; `None` when it is better, and possible, to read samples alone. `known` are the days of which
/// `kept` can say anything but samples.
pub(super) fn plan(
    windows: &Spaced,
    need: Need,
    known: &RangeInclusive<i64>,
    kept: impl Fn(Day) -> Kept,
    budget: &Budget,
) -> Result<Option<Plan>> {
    let (windows, moved_ms) = on_the_grid(windows, need, &kept, budget)?;
    let mut cuts: Vec<i64> = windows.iter().flat_map(|window| [window.0, window.1]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut stretches = Vec::new();
    let (mut by_rows_ms, mut by_samples_ms, mut needed) = (0i64, 0i64, false);
    let mut n = 0usize;
    let known = (Day(*known.start()).start_ms(), Day(*known.end()).end_ms());
    for (start_ms, end_ms) in unions(&windows) {
        let within = (start_ms.clamp(known.0, known.1), end_ms.clamp(known.0, known.1));
        if start_ms < end_ms.min(known.0) {
            by_samples_ms = by_samples_ms.saturating_add(end_ms.min(known.0) - start_ms);
            push_samples(&mut stretches, (start_ms, end_ms.min(known.0)));
        }
        let days = if within.0 < within.1 {
            Day::of(within.0.saturating_add(1)).0..=Day::of(within.1).0
        } else {
            RangeInclusive::new(1, 0)
        };
        for day in days {
            n += 1;
            if n.is_multiple_of(PLANNED_PER_CHECK) {
                budget.check()?;
            }
            let day = Day(day);
            let part = (within.0.max(day.start_ms()), within.1.min(day.end_ms()));
            let kept = kept(day);
            needed |= kept.is_gone();
            if kept == Kept::Samples {
                by_samples_ms += part.1 - part.0;
                push_samples(&mut stretches, part);
                continue;
            }
            for stretch in rows_of(day, part, &cuts, kept == Kept::Late) {
                match stretch {
                    Stretch::Samples(range) => {
                        by_samples_ms += range.max - range.min + 1;
                        push_samples(&mut stretches, (range.min - 1, range.max));
                        continue;
                    }
                    Stretch::Day(_) => by_rows_ms += Tier::Day.window_ms(),
                    Stretch::Hours(_, from, to) => {
                        by_rows_ms += (i64::from(to) - i64::from(from) + 1) * HOUR_MS;
                    }
                }
                stretches.push(stretch);
            }
        }
        if end_ms > start_ms.max(known.1) {
            by_samples_ms = by_samples_ms.saturating_add(end_ms - start_ms.max(known.1));
            push_samples(&mut stretches, (start_ms.max(known.1), end_ms));
        }
    }
    let pays = by_rows_ms >= ROWS_MIN_MS && by_rows_ms >= by_samples_ms;
    Ok((needed || pays).then_some(Plan { windows, moved_ms, stretches }))
}

/// The windows, moved back to whole hours where an end would cut the hour of a row and its samples are gone, and to
/// whole days where hours are gone as well; made wider instead where their presence is asked for.
fn on_the_grid(
    windows: &Spaced,
    need: Need,
    kept: &impl Fn(Day) -> Kept,
    budget: &Budget,
) -> Result<(Vec<(i64, i64)>, i64)> {
    let unit = |ms: i64| kept(Day::of(ms)).unit_ms();
    let floor = |ms: i64| {
        // Nothing is cut between two days: what there is need not be known.
        let unit_ms = if ms % Tier::Day.window_ms() == 0 { 1 } else { unit(ms) };
        ms.div_euclid(unit_ms).saturating_mul(unit_ms)
    };
    let mut moved_ms = 0;
    let mut all = Vec::with_capacity(windows.n);
    for step in 0..windows.n {
        if step.is_multiple_of(PLANNED_PER_CHECK) {
            budget.check()?;
        }
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let end_ms = windows.end_ms.saturating_add(windows.step_ms.saturating_mul(step));
        let start_ms = end_ms.saturating_sub(windows.range_ms);
        if need == Need::Presence {
            let (start, mut end) = (floor(start_ms), floor(end_ms));
            if end < end_ms {
                end = end.saturating_add(unit(end_ms));
            }
            moved_ms = moved_ms.max(start_ms - start).max(end - end_ms);
            all.push((start, end));
            continue;
        }
        let back_ms = start_ms - floor(start_ms);
        let end = floor(end_ms - back_ms);
        moved_ms = moved_ms.max(end_ms - end).max(back_ms);
        // Samples before and rows behind: what is moved may not pass what is not.
        let before = all.last().copied().unwrap_or((i64::MIN, i64::MIN));
        all.push((before.0.max(start_ms - back_ms), before.1.max(end)));
    }
    Ok((all, moved_ms))
}

/// The time that windows cover, in parts that do not touch.
fn unions(windows: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut parts: Vec<(i64, i64)> = Vec::new();
    for (start_ms, end_ms) in windows.iter().filter(|window| window.0 < window.1) {
        match parts.last_mut() {
            Some(last) if *start_ms <= last.1 => last.1 = last.1.max(*end_ms),
            _ => parts.push((*start_ms, *end_ms)),
        }
    }
    parts
}

fn push_samples(stretches: &mut Vec<Stretch>, (start_ms, end_ms): (i64, i64)) {
    if let Some(Stretch::Samples(last)) = stretches.last_mut()
        && last.max == start_ms
    {
        last.max = end_ms;
        return;
    }
    stretches.push(Stretch::Samples(TimeRange::new(start_ms + 1, end_ms)));
}

/// Whether a cut lies between the two, neither of them itself.
fn is_cut(cuts: &[i64], start_ms: i64, end_ms: i64) -> bool {
    cuts.get(cuts.partition_point(|cut| *cut <= start_ms)).is_some_and(|cut| *cut < end_ms)
}

/// Stretches of the part of a day that has rows; those of hours where they are to be.
fn rows_of(day: Day, (start_ms, end_ms): (i64, i64), cuts: &[i64], by_hours: bool) -> Vec<Stretch> {
    let whole = (start_ms, end_ms) == (day.start_ms(), day.end_ms());
    if whole && !by_hours && !is_cut(cuts, start_ms, end_ms) {
        return vec![Stretch::Day(day)];
    }
    let mut stretches = Vec::new();
    for hour in 1..=24u8 {
        let hour_end = day.start_ms() + i64::from(hour) * HOUR_MS;
        let hour_start = hour_end - HOUR_MS;
        let part = (hour_start.max(start_ms), hour_end.min(end_ms));
        if part.0 >= part.1 {
            continue;
        }
        if part != (hour_start, hour_end) || is_cut(cuts, hour_start, hour_end) {
            push_samples(&mut stretches, part);
            continue;
        }
        match stretches.last_mut() {
            Some(Stretch::Hours(_, _, to)) if *to + 1 == hour => *to = hour,
            _ => stretches.push(Stretch::Hours(day, hour, hour)),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::model::DAY_MS;

    fn plan(windows: &Spaced, kept: impl Fn(Day) -> Kept) -> Option<Plan> {
        let all = -1_000_000..=1_000_000;
        super::plan(windows, Need::Edges, &all, kept, &Budget::unlimited()).unwrap()
    }

    fn spaced(end_ms: i64, range_ms: i64) -> Spaced {
        Spaced { end_ms, step_ms: 1, n: 1, range_ms }
    }

    fn bounds(stretch: &Stretch) -> (i64, i64) {
        match stretch {
            Stretch::Samples(range) => (range.min - 1, range.max),
            Stretch::Day(day) => (day.start_ms(), day.end_ms()),
            Stretch::Hours(day, from, to) => {
                let at = |hour: u8| day.start_ms() + i64::from(hour) * HOUR_MS;
                (at(*from) - HOUR_MS, at(*to))
            }
        }
    }

    #[test]
    fn a_window_is_samples_hours_days_hours_samples() {
        let (start, end) = (DAY_MS - 2 * HOUR_MS - 5, 3 * DAY_MS + HOUR_MS + 7);
        let made = plan(&spaced(end, end - start), |_| Kept::Both).unwrap();
        let samples = |from: i64, to: i64| Stretch::Samples(TimeRange::new(from + 1, to));
        assert_eq!(
            made.stretches,
            [
                samples(start, start + 5),
                Stretch::Hours(Day(0), 23, 24),
                Stretch::Day(Day(1)),
                Stretch::Day(Day(2)),
                Stretch::Hours(Day(3), 1, 1),
                samples(end - 7, end),
            ]
        );
        assert_eq!((made.windows, made.moved_ms), (vec![(start, end)], 0));
    }

    #[test]
    fn samples_are_read_where_rows_would_not_pay() {
        let both = |_| Kept::Both;
        assert_eq!(plan(&spaced(HOUR_MS, HOUR_MS), both), None);
        assert_eq!(plan(&spaced(DAY_MS, DAY_MS), |_| Kept::Samples), None);
        assert!(plan(&spaced(DAY_MS, DAY_MS), both).is_some());
        // Every hour is cut.
        let often = Spaced { end_ms: 5 * DAY_MS + 1, step_ms: HOUR_MS, n: 99, range_ms: DAY_MS };
        assert_eq!(plan(&often, both), None);
        assert!(plan(&Spaced { end_ms: 5 * DAY_MS, ..often }, both).is_some());
        // Rows are all there is.
        assert!(plan(&spaced(HOUR_MS, HOUR_MS), |_| Kept::Rows).is_some());
    }

    #[test]
    fn windows_move_to_the_hours_where_samples_are_gone() {
        let kept = |day: Day| if day < Day(2) { Kept::Rows } else { Kept::Both };
        // Both ends: by as much as the beginning.
        let made = plan(&spaced(4 * DAY_MS + 300, 3 * DAY_MS), kept).unwrap();
        assert_eq!((made.windows, made.moved_ms), (vec![(DAY_MS, 4 * DAY_MS)], 300));
        // A beginning on the grid stays, and so does the end.
        let made = plan(&spaced(4 * DAY_MS + 300, 3 * DAY_MS + 300), kept).unwrap();
        assert_eq!((made.windows, made.moved_ms), (vec![(DAY_MS, 4 * DAY_MS + 300)], 0));
        let made = plan(&spaced(DAY_MS + 300, DAY_MS), kept).unwrap();
        assert_eq!((made.windows, made.moved_ms), (vec![(0, DAY_MS)], 300));
    }

    /// As long as time is, only the days that are known cost something.
    #[test]
    fn days_that_nobody_knows_are_one_stretch() {
        let year = 365 * DAY_MS;
        let windows = Spaced { end_ms: 0, step_ms: 290 * year, n: 900, range_ms: 290 * year };
        let asked = std::cell::Cell::new(0);
        let kept = |day: Day| {
            asked.set(asked.get() + 1);
            if (3..9).contains(&day.0) { Kept::Both } else { Kept::Samples }
        };
        let budget = Budget::unlimited();
        let made = super::plan(&windows, Need::Edges, &(3..=8), kept, &budget).unwrap();
        assert_eq!(made, None, "rows do not pay");
        assert!(asked.get() < 6 + 4 * windows.n, "{} days", asked.get());
        let kept = |day: Day| if (3..9).contains(&day.0) { Kept::Rows } else { Kept::Samples };
        let one = Spaced { end_ms: 20 * DAY_MS, step_ms: 1, n: 1, range_ms: 20 * DAY_MS };
        let made = super::plan(&one, Need::Edges, &(3..=8), kept, &budget).unwrap().unwrap();
        let samples = |from: i64, to: i64| Stretch::Samples(TimeRange::new(from + 1, to));
        let mut wanted = vec![samples(0, 3 * DAY_MS)];
        wanted.extend((3..9).map(|day| Stretch::Day(Day(day))));
        wanted.push(samples(9 * DAY_MS, 20 * DAY_MS));
        assert_eq!(made.stretches, wanted);
    }

    #[test]
    fn steps_below_an_hour_leave_no_hour_whole() {
        let often = |n: usize, range_ms: i64| Spaced { end_ms: 0, step_ms: 1000, n, range_ms };
        assert!(cuts_every_hour(&often(45_000_000, 300_000)));
        assert!(cuts_every_hour(&often(3600 * 24, DAY_MS)));
        assert!(!cuts_every_hour(&often(3600, 30 * DAY_MS)));
        assert!(!cuts_every_hour(&Spaced { step_ms: HOUR_MS, ..often(1000, DAY_MS) }));
        assert!(!cuts_every_hour(&often(1, HOUR_MS)));
    }

    #[test]
    fn windows_become_wider_where_presence_is_asked_for() {
        let kept = |day: Day| if day < Day(2) { Kept::Rows } else { Kept::Both };
        let (half, budget) = (HOUR_MS / 2, Budget::unlimited());
        let of = |end_ms: i64, range_ms: i64| {
            let asked = spaced(end_ms, range_ms);
            super::plan(&asked, Need::Presence, &(0..=9), kept, &budget).unwrap().unwrap().windows
        };
        assert_eq!(of(5 * HOUR_MS, half), [(4 * HOUR_MS, 5 * HOUR_MS)]);
        assert_eq!(of(5 * HOUR_MS + 7, HOUR_MS), [(4 * HOUR_MS, 6 * HOUR_MS)]);
        assert_eq!(of(3 * DAY_MS + 7, 2 * DAY_MS), [(DAY_MS, 3 * DAY_MS + 7)]);
    }

    proptest! {
        /// Stretches follow one another, cover all windows and nothing else, and are cut by none.
        #[test]
        fn stretches_tile_the_windows(
            end in -5i64..2000, step in 1i64..900, n in 1usize..30, range in 1i64..3000,
            grain in prop::sample::select(vec![1, 7, 20, 60]),
            rows in any::<u64>(), gone in 0i64..40,
        ) {
            let ms = |quarters: i64| quarters * grain * HOUR_MS / 60;
            let asked =
                Spaced { end_ms: ms(end), step_ms: ms(step), n, range_ms: ms(range) };
            let kept = |day: Day| match rows >> (day.0.rem_euclid(64)) & 1 {
                _ if day.0 < gone => Kept::Rows,
                0 => Kept::Samples,
                _ => Kept::Both,
            };
            let Some(made) = plan(&asked, kept) else { return Ok(()) };
            let parts: Vec<(i64, i64)> = made.stretches.iter().map(bounds).collect();
            for pair in parts.windows(2) {
                prop_assert!(pair[0].1 <= pair[1].0);
            }
            prop_assert_eq!(made.windows.len(), n);
            for (i, (start, end)) in made.windows.iter().enumerate() {
                let asked_end = asked.end_ms + asked.step_ms * i as i64;
                // A range that is no multiple of an hour moves at its beginning and once more at its end.
                prop_assert!((asked_end - 2 * HOUR_MS + 1..=asked_end).contains(end));
                let mut covered = 0;
                for (stretch, part) in made.stretches.iter().zip(&parts) {
                    if part.0 < *end && part.1 > *start {
                        let whole = part.0 >= *start && part.1 <= *end;
                        // Samples, and rows of hours, are pieces one by one.
                        let between = |cut: i64| {
                            cut <= part.0 || cut >= part.1 || cut % HOUR_MS == 0
                        };
                        let fits = match stretch {
                            Stretch::Samples(_) => true,
                            Stretch::Hours(..) => between(*start) && between(*end),
                            Stretch::Day(_) => whole,
                        };
                        prop_assert!(fits, "window {start} to {end}, piece {part:?}");
                        covered += part.1.min(*end) - part.0.max(*start);
                    }
                }
                prop_assert_eq!(covered, (end - start).max(0));
            }
            for stretch in &made.stretches {
                let day = Day::of(bounds(stretch).1);
                match stretch {
                    Stretch::Samples(_) => prop_assert!(kept(day) != Kept::Rows),
                    _ => prop_assert!(kept(day) != Kept::Samples),
                }
            }
            let covered: i64 = parts.iter().map(|part| part.1 - part.0).sum();
            let wanted: i64 = unions(&made.windows).iter().map(|part| part.1 - part.0).sum();
            prop_assert_eq!(covered, wanted);
        }
    }
}
