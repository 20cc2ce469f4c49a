//! What was counted in a stretch of time. Tallies of neighbouring stretches add up.

use std::collections::BTreeMap;

use super::sum::Sum;

/// See the module. Of one group of one objective.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Events of the side that is told: good or bad ones; good samples of a gauge.
    pub part: Sum,
    /// All events; counted samples of a gauge.
    pub total: Sum,
    /// Slices.
    pub slices: u32,
    /// Slices with samples.
    pub with_data: u32,
    /// Slices with events, good enough.
    pub good: u32,
    /// Slices with events, not good enough.
    pub bad: u32,
    /// Slices with samples and without events.
    pub zero: u32,
    /// Slices whose samples are all of ignored states.
    pub ignored: u32,
    /// Slices without samples in which nothing was expected: what exists says so, or a group that no inventory
    /// tells of has had no samples for a slice already.
    pub absent: u32,
    /// Good events of the slices that have as many events as the key (bits of a float); of
    /// `RatioTimeslices` alone.
    pub shares: BTreeMap<u64, Sum>,
    /// First values of series that were not counted, and of how many series.
    pub first_values: (Sum, u32),
    /// The oldest sample from which a step was taken; `i64::MIN` where a series has no past.
    pub base_ms: Option<i64>,
    /// Samples that are no numbers.
    pub nan_samples: u64,
    /// Samples of states that are in no list.
    pub unknown_states: u64,
    /// Slices in which the part is more than the total.
    pub exceeded: u32,
}

impl Tally {
    /// Slices without samples in which something was expected.
    #[must_use]
    pub const fn no_data(&self) -> u32 {
        self.slices - self.with_data - self.absent
    }

    /// Adds what was counted in another stretch.
    pub fn add(&mut self, other: &Self) {
        self.part.merge(&other.part);
        self.total.merge(&other.total);
        self.slices += other.slices;
        self.with_data += other.with_data;
        self.good += other.good;
        self.bad += other.bad;
        self.zero += other.zero;
        self.ignored += other.ignored;
        self.absent += other.absent;
        for (total, good) in &other.shares {
            self.shares.entry(*total).or_default().merge(good);
        }
        self.first_values.0.merge(&other.first_values.0);
        self.first_values.1 += other.first_values.1;
        self.base_ms = match (self.base_ms, other.base_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        self.nan_samples += other.nan_samples;
        self.unknown_states += other.unknown_states;
        self.exceeded += other.exceeded;
    }

    /// Takes away what was counted in a stretch that is part of this one.
    pub fn take(&mut self, part: &Self) {
        self.part = self.part.less(&part.part);
        self.total = self.total.less(&part.total);
        let less = |all: &mut u32, part: u32| *all = all.saturating_sub(part);
        less(&mut self.slices, part.slices);
        less(&mut self.with_data, part.with_data);
        less(&mut self.good, part.good);
        less(&mut self.bad, part.bad);
        less(&mut self.zero, part.zero);
        less(&mut self.ignored, part.ignored);
        less(&mut self.absent, part.absent);
        less(&mut self.exceeded, part.exceeded);
        for (total, good) in &part.shares {
            if let Some(own) = self.shares.get_mut(total) {
                *own = own.less(good);
            }
        }
    }
}
