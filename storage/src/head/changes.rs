//! Which days changed after somebody had counted them: samples that came late, or were deleted.
//!
//! A reader says up to when it has read ([`Changes::settle`]); whoever adds a sample at or before that notes its day.
//! A writer looks at what is settled after its samples can be seen, a reader settles before it reads: so the reader
//! sees the sample, or finds its day noted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::model::{DAY_MS, TimeRange};

/// Days that are told apart at most; beyond, all of time has changed.
const DAYS_MAX: usize = 1 << 16;

#[derive(Default)]
struct Noted {
    /// Of the last change.
    number: u64,
    /// Days (since the epoch, in UTC) with the number of their last change.
    days: BTreeMap<i64, u64>,
    /// The last change of all days.
    all: u64,
}

/// See the module.
pub struct Changes {
    settled_ms: AtomicI64,
    noted: Mutex<Noted>,
    start: u64,
}

impl Default for Changes {
    fn default() -> Self {
        // Numbers begin at the clock, so that they go on growing after a restart.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let start = since_epoch.map_or(0, |time| time.as_millis() as u64);
        let noted = Noted { number: start, ..Noted::default() };
        Self { settled_ms: AtomicI64::new(i64::MIN), noted: Mutex::new(noted), start }
    }
}

const fn day_of(ts: i64) -> i64 {
    ts.div_euclid(DAY_MS)
}

impl Changes {
    /// Says that samples up to `until_ms` are about to be read. What changes there from now on gets a number above
    /// the one that is answered.
    pub fn settle(&self, until_ms: i64) -> u64 {
        self.settled_ms.fetch_max(until_ms, Ordering::SeqCst);
        self.noted.lock().number
    }

    /// Where numbers began: what changed before this process started is not known apart.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The number of the last change inside `range`; 0 when there was none.
    #[must_use]
    pub fn last_within(&self, range: TimeRange) -> u64 {
        let noted = self.noted.lock();
        let days = noted.days.range(day_of(range.min)..=day_of(range.max.max(range.min)));
        days.map(|(_, number)| *number).max().unwrap_or(0).max(noted.all)
    }

    /// Notes the days of samples that can be seen by now and lie inside `seen`.
    pub(crate) fn note_late(&self, seen: TimeRange, samples: impl Iterator<Item = i64>) {
        let settled_ms = self.settled_ms.load(Ordering::SeqCst);
        if settled_ms == i64::MIN || seen.min > settled_ms {
            return;
        }
        let mut days: BTreeSet<i64> = BTreeSet::new();
        let mut last = None;
        for ts in samples.filter(|ts| *ts <= settled_ms) {
            let day = day_of(ts);
            // Most samples are of the day of the one before.
            if last.replace(day) != Some(day) && days.insert(day) && days.len() > DAYS_MAX {
                break;
            }
        }
        self.note(&days.into_iter().collect::<Vec<_>>());
    }

    /// Notes that samples inside `range` came or went.
    pub(crate) fn note_range(&self, range: TimeRange) {
        let settled_ms = self.settled_ms.load(Ordering::SeqCst);
        if settled_ms == i64::MIN || range.min > settled_ms || range.max < range.min {
            return;
        }
        let (first, last) = (day_of(range.min), day_of(range.max.min(settled_ms)));
        if last.saturating_sub(first) >= DAYS_MAX as i64 {
            let mut noted = self.noted.lock();
            noted.number += 1;
            noted.all = noted.number;
            return;
        }
        self.note(&(first..=last).collect::<Vec<_>>());
    }

    fn note(&self, days: &[i64]) {
        if days.is_empty() {
            return;
        }
        let mut noted = self.noted.lock();
        noted.number += 1;
        let number = noted.number;
        for day in days {
            noted.days.insert(*day, number);
        }
        if noted.days.len() > DAYS_MAX {
            noted.all = number;
            noted.days.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn day(n: i64) -> TimeRange {
        TimeRange::new(n * DAY_MS, (n + 1) * DAY_MS - 1)
    }

    #[test]
    fn what_is_not_settled_does_not_change() {
        let changes = Changes::default();
        changes.note_late(day(3), [3 * DAY_MS].into_iter());
        changes.note_range(TimeRange::ALL);
        assert_eq!(changes.last_within(TimeRange::ALL), 0);
    }

    #[test]
    fn a_late_sample_changes_its_day_alone() {
        let changes = Changes::default();
        let read = changes.settle(10 * DAY_MS);
        let seen = TimeRange::new(3 * DAY_MS, 11 * DAY_MS);
        changes.note_late(seen, [3 * DAY_MS, 11 * DAY_MS].into_iter());
        assert!(changes.last_within(day(3)) > read);
        assert_eq!(changes.last_within(day(4)), 0);
        assert_eq!(changes.last_within(day(11)), 0);
        let again = changes.settle(10 * DAY_MS);
        assert_eq!(changes.last_within(day(3)), again);
    }

    #[test]
    fn a_deletion_changes_the_days_it_covers() {
        let changes = Changes::default();
        let read = changes.settle(10 * DAY_MS);
        changes.note_range(TimeRange::new(2 * DAY_MS + 5, 4 * DAY_MS));
        assert_eq!(changes.last_within(day(1)), 0);
        assert!((2..=4).all(|n| changes.last_within(day(n)) == read + 1));
        changes.note_range(TimeRange::ALL);
        assert_eq!(changes.last_within(day(1)), read + 2);
    }

    #[test]
    fn too_many_days_are_all_of_them() {
        let changes = Changes::default();
        let read = changes.settle(i64::MAX);
        for n in 0..=DAYS_MAX as i64 {
            changes.note_range(day(n));
        }
        assert!(changes.last_within(day(-7)) > read);
    }
}
