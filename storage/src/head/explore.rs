//! Where the series in memory come from, and which of them are new.
//!
//! References are given in ascending order: a series is young when its reference is not below the one that was
//! next at some time. The head remembers that at intervals. It is not written down: after a restart, growth is
//! known since the start alone.

use std::collections::VecDeque;

use roaring::RoaringBitmap;

use super::{Head, SERIES_PER_LOCK};
use crate::error::Result;
use crate::index::{Exploration, Explored, Rank};
use crate::model::Matcher;

/// Shortest time between two marks.
const MARK_INTERVAL_MS: i64 = 5 * 60_000;
/// Marks kept: 26 hours, so that a whole day can be asked for.
const MARKS_MAX: usize = 26 * 12;
/// Memory of one entry of a list: two texts of middle length and a count, held twice while it is sorted.
const LISTED_BYTES: u64 = 384;
/// Memory for each series that there is, at most: two sets in parts that are far from full.
const SETS_BYTES: u64 = 4;

/// What is to be counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Explore<'a> {
    /// Only series that satisfy any of these; empty: all.
    pub sets: &'a [Vec<Matcher>],
    /// Series that were created later are young. What is known less exactly is told by [`Exploring`].
    pub since_ms: i64,
    /// Labels whose values are to be listed.
    pub values_of: &'a [String],
    /// Order of the lists.
    pub rank: Rank,
    /// Whether bytes of values are counted too.
    pub bytes: bool,
    /// Longest list; 10,000 at most.
    pub limit: usize,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exploring {
    /// The counts.
    pub counts: Explored,
    /// Since when young series were created: up to five minutes before what was asked for.
    pub since_ms: i64,
    /// Whether that is later than asked for: no earlier than the start of the store anything is known.
    pub since_start: bool,
}

/// The reference that was the next one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    time_ms: i64,
    reference: u64,
}

/// Marks in ascending order of both.
#[derive(Debug)]
pub(super) struct Marks {
    /// The next reference at the start, until somebody tells the time.
    at_start: Option<u64>,
    kept: VecDeque<Mark>,
}

impl Marks {
    pub(super) fn new(next_reference: u64) -> Self {
        Self { at_start: Some(next_reference), kept: VecDeque::new() }
    }

    fn push(&mut self, time_ms: i64, next_reference: u64) {
        if let Some(reference) = self.at_start.take() {
            self.kept.push_back(Mark { time_ms, reference });
        }
        // The clock may have been set back.
        self.kept.iter_mut().rev().take_while(|mark| mark.time_ms > time_ms).for_each(|mark| {
            mark.time_ms = time_ms;
        });
        let last_ms = self.kept.back().map_or(i64::MIN, |mark| mark.time_ms);
        if time_ms.saturating_sub(last_ms) >= MARK_INTERVAL_MS {
            self.kept.push_back(Mark { time_ms, reference: next_reference });
            if self.kept.len() > MARKS_MAX {
                self.kept.pop_front();
            }
        }
    }

    /// The last mark not later than `since_ms`, or the first one there is.
    fn at(&self, since_ms: i64) -> Option<Mark> {
        let after = self.kept.partition_point(|mark| mark.time_ms <= since_ms);
        self.kept.get(after.saturating_sub(1)).copied()
    }
}

impl Head {
    /// Remembers which reference is the next one now.
    pub(crate) fn mark(&self, now_ms: i64) {
        let next = self.registry.read().next_reference;
        self.marks.lock().push(now_ms, next);
    }

    /// Counts the series in memory. New ones wait while the index is read, some milliseconds for a million
    /// series. `charge` hears every now and then of bytes that are taken, and may end it.
    pub(crate) fn explore(
        &self,
        wanted: &Explore<'_>,
        now_ms: i64,
        charge: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Exploring> {
        self.mark(now_ms);
        let mark = self.marks.lock().at(wanted.since_ms);
        let mark = mark.unwrap_or(Mark { time_ms: now_ms, reference: u64::MAX });
        let n_series = self.registry.read().n_series();
        let lists = 6 + wanted.values_of.len() as u64;
        charge(n_series * SETS_BYTES + lists * wanted.limit as u64 * LISTED_BYTES)?;
        // Until the index is read, no number may be given to another series.
        let _held = self.places_held.read();
        let young = self.young(mark.reference, charge)?;
        let registry = self.registry.read();
        let index = &registry.index;
        let within = match wanted.sets {
            [] => None,
            sets => {
                let mut within = RoaringBitmap::new();
                for matchers in sets {
                    within |= index.resolve(matchers)?;
                    charge(0)?;
                }
                Some(within)
            }
        };
        charge(index.exploration_bytes(within.as_ref().map(RoaringBitmap::len)))?;
        let exploration = Exploration {
            within: within.as_ref(),
            young: Some(&young),
            values_of: wanted.values_of,
            rank: wanted.rank,
            bytes: wanted.bytes,
            limit: wanted.limit,
        };
        let counts = index.explore(&exploration, &mut |_| charge(0))?;
        let since_start = mark.time_ms > wanted.since_ms;
        Ok(Exploring { counts, since_ms: mark.time_ms, since_start })
    }

    /// The series with references from `first` on. The caller keeps their numbers theirs.
    fn young(
        &self,
        first: u64,
        charge: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<RoaringBitmap> {
        // Nobody's place has the reference 0.
        let first = first.max(1);
        let n_ords = {
            let registry = self.registry.read();
            if first < registry.next_reference { registry.places.len() } else { 0 }
        };
        // One bit for each number: they come in no order, and may be most of all there are.
        let mut young = vec![0u8; n_ords.div_ceil(8)];
        for shard in self.shards.iter().filter(|_| n_ords > 0) {
            let mut begin = 0;
            loop {
                charge(0)?;
                let shard = shard.lock();
                let end = shard.series.len().min(begin + SERIES_PER_LOCK);
                let some = (begin..end).filter_map(|local| shard.series.get(local));
                for series in some.filter(|series| series.reference.0 >= first) {
                    let ord = series.ord.0;
                    if let Some(byte) = young.get_mut(ord as usize / 8) {
                        *byte |= 1 << (ord % 8);
                    }
                }
                if end == shard.series.len() {
                    break;
                }
                begin = end;
            }
        }
        Ok(RoaringBitmap::from_lsb0_bytes(0, &young))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn marks_tell_what_was_next_at_a_time() {
        let mut marks = Marks::new(7);
        assert_eq!(marks.at(i64::MAX), None);
        marks.push(0, 9);
        let at = |marks: &Marks, minute: i64| {
            let mark = marks.at(minute * MINUTE_MS).unwrap();
            (mark.time_ms / MINUTE_MS, mark.reference)
        };
        assert_eq!(at(&marks, 60), (0, 7), "what came before anybody told the time is new");
        for minute in 1..=120 {
            marks.push(minute * MINUTE_MS, 100 + minute as u64);
        }
        assert_eq!(marks.kept.len(), 25);
        assert_eq!(at(&marks, -1), (0, 7));
        assert_eq!(at(&marks, 0), (0, 7));
        assert_eq!(at(&marks, 62), (60, 160));
        assert_eq!(at(&marks, 500), (120, 220));
        for minute in 121..3000 {
            marks.push(minute * MINUTE_MS, 100 + minute as u64);
        }
        assert_eq!(marks.kept.len(), MARKS_MAX);
        assert_eq!(at(&marks, 0), (2995 - 26 * 60 + 5, 2995 - 26 * 60 + 105));
    }

    #[test]
    fn a_clock_set_back_leaves_marks_in_order() {
        let mut marks = Marks::new(1);
        for minute in 0..=6 {
            marks.push(minute * 10 * MINUTE_MS, 10 * minute as u64);
        }
        marks.push(25 * MINUTE_MS, 90);
        let times: Vec<i64> = marks.kept.iter().map(|mark| mark.time_ms / MINUTE_MS).collect();
        assert_eq!(times, [0, 10, 20, 25, 25, 25, 25]);
        marks.push(30 * MINUTE_MS, 100);
        assert_eq!(marks.at(30 * MINUTE_MS).unwrap().reference, 100);
    }
}
