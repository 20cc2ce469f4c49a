//! How a stretch of time is cut into slices, and what each of them says.

use chrono_tz::Tz;
use nines_storage::model::DAY_MS;

use super::calendar::day_boundaries;
use super::decimal::Decimal;
use super::definition::{Method, Objective, Part, Sli, Slice, Slo, TimeWindow};
use super::error::{Result, SloError};
use super::fraction::Fraction;
use super::sum::Sum;
use super::tally::Tally;

/// Slices that are counted in one go, and stretches that are told apart, at most: five minutes for sixteen months.
pub const SLICES_AT_ONCE: usize = 1 << 17;
/// Slices of one window at most: of five minutes those of 159 years. Slices without a sample are counted too, one by one.
const SLICES_MAX: usize = 1 << 24;

/// Refuses a window of more slices than a question may cost.
pub fn check_slices(slice: Slice, (from_ms, to_ms): (i64, i64)) -> Result<()> {
    let length_ms = match slice {
        Slice::Fixed(length_ms) => length_ms,
        Slice::LocalDay => DAY_MS,
    };
    let n = to_ms.saturating_sub(from_ms) / length_ms.max(1);
    if usize::try_from(n).unwrap_or(0) > SLICES_MAX {
        return Err(SloError::TooManySlices { max: SLICES_MAX });
    }
    Ok(())
}

/// The time zone of an SLO: that of its calendar.
#[must_use]
pub fn zone(slo: &Slo) -> Tz {
    match &slo.window {
        TimeWindow::Calendar(calendar) => calendar.zone,
        TimeWindow::Rolling { .. } => Tz::UTC,
    }
}

/// The last boundary of slices at or before an instant.
#[must_use]
pub fn boundary_before(slice: Slice, zone: Tz, at_ms: i64) -> i64 {
    match slice {
        Slice::Fixed(length) => at_ms.div_euclid(length) * length,
        Slice::LocalDay => {
            let days = day_boundaries(zone, at_ms, at_ms.saturating_add(1));
            days.first().copied().unwrap_or(at_ms)
        }
    }
}

/// The first boundary of slices at or after an instant.
#[must_use]
pub fn boundary_after(slice: Slice, zone: Tz, at_ms: i64) -> i64 {
    match slice {
        Slice::Fixed(length) => -(-at_ms).div_euclid(length) * length,
        Slice::LocalDay => {
            let days = day_boundaries(zone, at_ms.saturating_sub(1), at_ms);
            days.last().copied().unwrap_or(at_ms)
        }
    }
}

/// The edges of the slices between the first and the last of `boundaries` (ascending), which are edges themselves.
#[must_use]
pub fn edges(slice: Slice, zone: Tz, boundaries: &[i64]) -> Vec<i64> {
    let (Some(&first), Some(&last)) = (boundaries.first(), boundaries.last()) else {
        return Vec::new();
    };
    let mut edges = boundaries.to_vec();
    match slice {
        Slice::Fixed(length) => {
            let mut at = boundary_after(slice, zone, first.saturating_add(1));
            while at < last {
                edges.push(at);
                at += length;
            }
        }
        Slice::LocalDay => {
            let days = day_boundaries(zone, first, last);
            edges.extend(days.into_iter().filter(|day| (first..=last).contains(day)));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// What was counted in one slice.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// See [`Tally::part`].
    pub part: Sum,
    /// See [`Tally::total`].
    pub total: Sum,
    /// Samples, those of ignored states included.
    pub samples: u32,
    /// Whether something was expected, of what asks for that.
    pub expected: bool,
    /// The oldest sample from which a step into the slice was taken; `i64::MIN` where a series has no past.
    pub base_ms: i64,
    /// Samples that are no numbers.
    pub nan_samples: u32,
    /// Samples of states that are in no list.
    pub unknown_states: u32,
}

impl Default for Slot {
    fn default() -> Self {
        let none = Sum::default();
        Self {
            part: none,
            total: none,
            samples: 0,
            expected: false,
            base_ms: i64::MAX,
            nan_samples: 0,
            unknown_states: 0,
        }
    }
}

impl Slot {
    /// Adds what another thread counted in the same slice.
    pub fn merge(&mut self, other: &Self) {
        self.part.merge(&other.part);
        self.total.merge(&other.total);
        self.samples += other.samples;
        self.expected |= other.expected;
        self.base_ms = self.base_ms.min(other.base_ms);
        self.nan_samples += other.nan_samples;
        self.unknown_states += other.unknown_states;
    }
}

/// What side of the total [`Slot::part`] is.
#[must_use]
pub const fn part_of(sli: &Sli) -> Part {
    match sli {
        Sli::Ratio { part, .. } | Sli::RawRatio { part, .. } | Sli::Expression { part, .. } => {
            *part
        }
        Sli::Threshold { .. } | Sli::States { .. } => Part::Good,
    }
}

/// The good events of a part and a total.
#[must_use]
pub fn good(part: Part, of: &Sum, total: &Sum) -> Sum {
    match part {
        Part::Good => *of,
        Part::Bad => total.less(of),
    }
}

/// Whether `good / total >= target`, exactly.
fn is_enough(good: &Sum, total: &Sum, target: Decimal) -> bool {
    let (numerator, denominator) = target.fraction();
    if let (Some(good), Some(total)) = (good.integer(), total.integer()) {
        let sides =
            (i128::from(good).checked_mul(denominator), i128::from(total).checked_mul(numerator));
        if let (Some(have), Some(want)) = sides {
            return have >= want;
        }
    }
    Fraction::from(good) >= Fraction::from(total).times(&target.into())
}

/// Whether an inventory tells what is expected.
fn asks_existence(objective: &Objective) -> bool {
    matches!(objective.sli, Sli::States { existence: Some(_), .. })
}

/// Whether a group is expected to have samples only because it had some in the slice before: silence cannot tell a
/// dead machine from a deleted one, so it is told once, wherever a window begins.
#[must_use]
pub fn follows(slo: &Slo, objective: &Objective) -> bool {
    let sliced = slo.method != Method::Occurrences;
    sliced && !slo.group_by.is_empty() && !asks_existence(objective)
}

/// Puts the slices between `edges` together to a tally per stretch between `boundaries`.
#[must_use]
pub fn tallies(
    (slo, objective): (&Slo, &Objective),
    boundaries: &[i64],
    edges: &[i64],
    slots: &[Slot],
) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); boundaries.len().saturating_sub(1)];
    let part = part_of(&objective.sli);
    let states = matches!(objective.sli, Sli::States { .. });
    let (asks_existence, follows) = (asks_existence(objective), follows(slo, objective));
    let (mut at, mut had_samples) = (0, false);
    for (slot, end) in slots.iter().zip(edges.iter().skip(1).copied()) {
        while boundaries.get(at + 1).is_some_and(|boundary| end > *boundary) {
            at += 1;
        }
        let Some(tally) = tallies.get_mut(at) else { break };
        tally.slices += 1;
        tally.part.merge(&slot.part);
        tally.total.merge(&slot.total);
        if slot.base_ms < i64::MAX {
            tally.base_ms = Some(tally.base_ms.map_or(slot.base_ms, |base| base.min(slot.base_ms)));
        }
        tally.nan_samples += u64::from(slot.nan_samples);
        tally.unknown_states += u64::from(slot.unknown_states);
        let before = std::mem::replace(&mut had_samples, slot.samples > 0);
        if slot.samples == 0 {
            let absent = (asks_existence && !slot.expected) || (follows && !before);
            tally.absent += u32::from(absent);
            continue;
        }
        tally.with_data += 1;
        let good = good(part, &slot.part, &slot.total);
        if slot.part.get() > slot.total.get() {
            tally.exceeded += 1;
        }
        if slot.total.is_zero() {
            if states {
                tally.ignored += 1;
            } else {
                tally.zero += 1;
            }
            continue;
        }
        if slo.method == Method::RatioTimeslices {
            tally.shares.entry(slot.total.get().to_bits()).or_default().merge(&good);
        }
        if is_enough(&good, &slot.total, objective.slice_target) {
            tally.good += 1;
        } else {
            tally.bad += 1;
        }
    }
    tallies
}

/// The sum of the good shares of slices. The fractions are added two by two, so that they stay short for as long as
/// they can.
#[must_use]
pub fn shares(tally: &Tally) -> Fraction {
    let share = |(total, good): (&u64, &Sum)| {
        Fraction::from(good).over(&Fraction::from(&Sum::of(f64::from_bits(*total))))
    };
    let mut fractions: Vec<Fraction> = tally.shares.iter().filter_map(share).collect();
    while fractions.len() > 1 {
        let pairs = fractions.chunks(2).map(|pair| match pair {
            [one, other] => one.plus(other),
            _ => pair.first().cloned().unwrap_or_else(Fraction::zero),
        });
        fractions = pairs.collect();
    }
    fractions.pop().unwrap_or_else(Fraction::zero)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn edges_are_multiples_and_boundaries() {
        let five = Slice::Fixed(300_000);
        assert_eq!(edges(five, Tz::UTC, &[0, 600_000]), [0, 300_000, 600_000]);
        assert_eq!(edges(five, Tz::UTC, &[1, 450_000, 600_000]), [1, 300_000, 450_000, 600_000]);
        assert_eq!(boundary_before(five, Tz::UTC, 599_999), 300_000);
        assert_eq!(boundary_after(five, Tz::UTC, 300_001), 600_000);
        assert_eq!(boundary_after(five, Tz::UTC, 300_000), 300_000);
        assert_eq!(boundary_before(five, Tz::UTC, -1), -300_000);
    }

    #[test]
    fn local_days_are_slices() {
        let zone = chrono_tz::Europe::Amsterdam;
        // The 29th of March 2026 has 23 hours.
        let (from, to) = (1_774_738_800_000, 1_774_738_800_000 + 23 * 3_600_000);
        assert_eq!(edges(Slice::LocalDay, zone, &[from, to]), [from, to]);
        assert_eq!(boundary_before(Slice::LocalDay, zone, from + 1), from);
        assert_eq!(boundary_before(Slice::LocalDay, zone, from), from);
        assert_eq!(boundary_after(Slice::LocalDay, zone, from), from);
        assert_eq!(boundary_after(Slice::LocalDay, zone, from + 1), to);
    }

    #[test]
    fn a_share_equal_to_the_target_is_enough() {
        let enough = |good, total, target: &str| {
            is_enough(&Sum::of(good), &Sum::of(total), target.parse().unwrap())
        };
        assert!(enough(95.0, 100.0, "0.95"));
        assert!(!enough(94.0, 100.0, "0.95"));
        // As floats, 0.1 * 3 is more than 0.3.
        assert!(enough(0.75, 2.5, "0.3"));
        // The float 0.3 is less than three tenths.
        assert!(!enough(0.3, 1.0, "0.3"));
    }

    #[test]
    fn shares_add_up_exactly() {
        let mut tally = Tally::default();
        for (total, good) in [(3.0f64, 1.0), (7.0, 5.0), (3.0, 2.0), (10.0, 1.0)] {
            tally.shares.entry(total.to_bits()).or_default().add(good);
        }
        assert_eq!(shares(&tally), Fraction::new(127.into(), 70.into()).unwrap());
    }
}
