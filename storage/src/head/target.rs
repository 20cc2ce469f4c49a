//! The timestamps of one target, shared by its series.
//!
//! A target is scraped as a whole, so its series have the same timestamps: they are kept once, in windows
//! of [`WINDOW_SLOTS`]; a sample knows only its slot. A window that is full is closed and never changes
//! again.
//!
//! Not everything that has the same target labels is scraped together: series without an `instance` may
//! come from a hundred places, each with a rhythm of its own. So a target has columns, each with its own
//! windows, and a series joins the column that has the timestamp of its sample.

use std::sync::Arc;

/// Timestamps in one window.
pub(crate) const WINDOW_SLOTS: usize = 120;
/// Columns that a target has if it needs them. It has more where at least so many series share each, up to the
/// most there are; samples that would need a further one keep a timestamp of their own.
const COLUMNS_FREE: usize = 256;
const SERIES_PER_COLUMN_MIN: usize = 4;
const COLUMNS_MAX: usize = 1 << 14;
/// Slots of its column that a series may miss before it is taken to be scraped elsewhere.
const MISSED_SLOTS_MAX: u32 = 3;

/// Place of a timestamp: window number (counted up for ever) and slot inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) window: u32,
    pub(crate) slot: u8,
}

/// Ascending timestamps of one window.
#[derive(Debug)]
struct Timestamps {
    first: i64,
    /// Of each timestamp from the first.
    offsets: Vec<u32>,
    /// A copy for readers, as long as nothing was added since.
    shared: Option<Arc<[i64]>>,
}

impl Timestamps {
    fn new(first: i64) -> Self {
        Self { first, offsets: vec![0], shared: None }
    }

    fn len(&self) -> usize {
        self.offsets.len()
    }

    fn last(&self) -> i64 {
        self.first + self.offsets.last().map_or(0, |offset| i64::from(*offset))
    }

    /// Adds a timestamp behind all others. False when the window is closed.
    fn push(&mut self, ts: i64) -> bool {
        let Ok(offset) = u32::try_from(ts - self.first) else { return false };
        if self.offsets.len() >= WINDOW_SLOTS {
            return false;
        }
        self.offsets.push(offset);
        self.shared = None;
        true
    }

    /// The slot of a timestamp.
    fn find(&self, ts: i64) -> Option<usize> {
        let offset = u32::try_from(ts.checked_sub(self.first)?).ok()?;
        self.offsets.binary_search(&offset).ok()
    }

    fn shared(&mut self) -> Arc<[i64]> {
        let (first, offsets) = (self.first, &self.offsets);
        let all = || offsets.iter().map(|offset| first + i64::from(*offset)).collect();
        Arc::clone(self.shared.get_or_insert_with(all))
    }
}

#[derive(Debug)]
struct Window {
    column: u32,
    timestamps: Timestamps,
}

/// One rhythm of the target.
#[derive(Debug)]
struct Column {
    last_ts: i64,
    /// Numbers of its windows, ascending in time; the last one may be open.
    windows: Vec<u32>,
}

/// The windows of one target.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// Whether its labels name one scrape, so that a new timestamp is its next one.
    pub(crate) scraped_as_one: bool,
    /// Number of the first window.
    first: u32,
    windows: Vec<Window>,
    columns: Vec<Column>,
    /// The column that was used last: series of one scrape come one behind the other.
    recent: u32,
    /// Series that have come to a column.
    joined: usize,
    /// The timestamp that was found or added last, and its slot: the next series is likely to have it as well.
    last_slot: Option<(i64, Slot)>,
    /// Windows that a flush is writing to a block: numbers from `frozen_first`.
    frozen_first: u32,
    frozen: Vec<Arc<[i64]>>,
}

impl Target {
    /// The slot for a sample at `ts`, newer than all others of its series. `at` is where the series may
    /// write next: its window, if it has one, and the slot behind its last sample. `None` when no column
    /// has the timestamp or may take it: the sample must keep it by itself.
    #[inline]
    pub(crate) fn slot(&mut self, at: Slot, ts: i64) -> Option<Slot> {
        if let Some((last_ts, last)) = self.last_slot
            && last_ts == ts
            && last.window == at.window
        {
            return Some(last);
        }
        let slot = self.slot_of(at, ts);
        self.last_slot = slot.map(|slot| (ts, slot)).or(self.last_slot);
        slot
    }

    fn slot_of(&mut self, at: Slot, ts: i64) -> Option<Slot> {
        let own = self.window(at.window).map(|window| window.column);
        if let Some(column) = own
            && let Some(slot) = self.slot_of_own(column, at, ts)
        {
            return Some(slot);
        }
        if let Some(column) = self.column_at(ts) {
            self.joined += 1;
            return self.find(column, ts);
        }
        if self.scraped_as_one {
            let column = own.unwrap_or(0);
            if self.columns.get(column as usize).is_some_and(|c| c.last_ts < ts) {
                return self.push(column, ts);
            }
        }
        let shared = self.joined >= self.columns.len() * SERIES_PER_COLUMN_MIN;
        if self.columns.len() >= if shared { COLUMNS_MAX } else { COLUMNS_FREE } {
            return None;
        }
        self.joined += 1;
        self.columns.push(Column { last_ts: ts, windows: Vec::new() });
        self.push(self.columns.len() as u32 - 1, ts)
    }

    /// The slot in the series' own column, unless the series seems to have left it.
    fn slot_of_own(&mut self, column: u32, at: Slot, ts: i64) -> Option<Slot> {
        let last_ts = self.columns.get(column as usize)?.last_ts;
        if ts <= last_ts {
            return self.find(column, ts);
        }
        (self.missed(column, at) < MISSED_SLOTS_MAX).then(|| self.push(column, ts)).flatten()
    }

    /// Slots of the column since the last sample of a series that would write to `at` next.
    fn missed(&self, column: u32, at: Slot) -> u32 {
        let windows = self.columns.get(column as usize).map_or(&[][..], |c| &c.windows);
        let len = |window: &u32| self.window(*window).map_or(0, |w| w.timestamps.len());
        let behind = windows.iter().rev().take_while(|window| **window != at.window);
        let slots = behind.map(len).sum::<usize>() + len(&at.window);
        (slots as u32).saturating_sub(u32::from(at.slot))
    }

    /// A column whose newest timestamp is `ts`.
    fn column_at(&mut self, ts: i64) -> Option<u32> {
        let is = |column: &Column| column.last_ts == ts;
        if self.columns.get(self.recent as usize).is_some_and(is) {
            return Some(self.recent);
        }
        self.recent = self.columns.iter().position(is)? as u32;
        Some(self.recent)
    }

    fn window(&self, number: u32) -> Option<&Window> {
        self.windows.get(number.checked_sub(self.first)? as usize)
    }

    /// The slot of a timestamp that the column has.
    fn find(&self, column: u32, ts: i64) -> Option<Slot> {
        let windows = &self.columns.get(column as usize)?.windows;
        let begins = |number: u32| Some(self.window(number)?.timestamps.first);
        let behind = windows.partition_point(|w| begins(*w).is_some_and(|first| first <= ts));
        let window = *windows.get(behind.checked_sub(1)?)?;
        let slot = self.window(window)?.timestamps.find(ts)?;
        Some(Slot { window, slot: slot as u8 })
    }

    /// Adds a timestamp behind all others of the column.
    fn push(&mut self, number: u32, ts: i64) -> Option<Slot> {
        let column = self.columns.get_mut(number as usize)?;
        column.last_ts = ts;
        self.recent = number;
        let open = column.windows.last().copied();
        if let Some(window) = open
            && let Some(Window { timestamps, .. }) =
                self.windows.get_mut((window - self.first) as usize)
        {
            let slot = timestamps.len() as u8;
            if timestamps.push(ts) {
                return Some(Slot { window, slot });
            }
        }
        let window = self.first + self.windows.len() as u32;
        column.windows.push(window);
        self.windows.push(Window { column: number, timestamps: Timestamps::new(ts) });
        Some(Slot { window, slot: 0 })
    }

    /// Timestamps of a window, of an open one as far as they are known now.
    pub(crate) fn timestamps(&mut self, window: u32) -> Option<Arc<[i64]>> {
        if let Some(i) = window.checked_sub(self.first) {
            return Some(self.windows.get_mut(i as usize)?.timestamps.shared());
        }
        let i = window.checked_sub(self.frozen_first)?;
        self.frozen.get(i as usize).map(Arc::clone)
    }

    /// First and last timestamp of a window.
    pub(crate) fn bounds(&self, window: u32) -> Option<(i64, i64)> {
        if window >= self.first {
            let timestamps = &self.window(window)?.timestamps;
            return Some((timestamps.first, timestamps.last()));
        }
        let frozen = self.frozen.get(window.checked_sub(self.frozen_first)? as usize)?;
        Some((*frozen.first()?, *frozen.last()?))
    }

    /// Sets all windows aside for a flush. What comes later gets windows and columns of its own, even for
    /// a timestamp that is set aside: another connection of the same sender may bring it later.
    pub(crate) fn freeze(&mut self) {
        if self.frozen.is_empty() {
            self.frozen_first = self.first;
        }
        self.first += self.windows.len() as u32;
        self.frozen.extend(self.windows.drain(..).map(|mut window| window.timestamps.shared()));
        self.windows.shrink_to_fit();
        self.columns = Vec::new();
        self.joined = 0;
        self.last_slot = None;
    }

    /// Timestamps of the windows set aside.
    pub(crate) fn frozen_timestamps(&self) -> impl Iterator<Item = i64> {
        self.frozen.iter().flat_map(|window| window.iter().copied())
    }

    /// Forgets what [`Target::freeze`] set aside.
    pub(crate) fn drop_frozen(&mut self) {
        self.frozen = Vec::new();
    }

    /// Heap bytes owned.
    pub(crate) fn heap_bytes(&self) -> usize {
        let timestamps = |w: &Window| w.timestamps.offsets.capacity() * 4 + size_of::<Window>();
        let open: usize = self.windows.iter().map(timestamps).sum();
        let columns: usize = self.columns.iter().map(|c| 32 + c.windows.capacity() * 4).sum();
        open + columns + self.frozen.iter().map(|w| w.len() * 8 + 32).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A series as the target sees it.
    #[derive(Default)]
    struct Series(Option<Slot>);

    fn target(scraped_as_one: bool) -> Target {
        Target { scraped_as_one, ..Target::default() }
    }

    impl Series {
        fn sample(&mut self, target: &mut Target, ts: i64) -> Option<(u32, u8)> {
            let slot = target.slot(self.0.unwrap_or(Slot { window: u32::MAX, slot: 0 }), ts)?;
            self.0 = Some(Slot { slot: slot.slot + 1, ..slot });
            Some((slot.window, slot.slot))
        }
    }

    #[test]
    fn a_scrape_shares_its_timestamp() {
        let mut target = target(true);
        let (mut a, mut b) = (Series::default(), Series::default());
        for i in 0..300i64 {
            let expected = Some(((i / 120) as u32, (i % 120) as u8));
            assert_eq!(a.sample(&mut target, i * 15_000), expected);
            if i > 100 {
                assert_eq!(b.sample(&mut target, i * 15_000), expected);
            }
        }
        assert_eq!(target.bounds(1), Some((120 * 15_000, 239 * 15_000)));
        assert_eq!(target.timestamps(2).unwrap().len(), 60);
        let mut late = Series::default();
        assert_eq!(late.sample(&mut target, 300 * 15_000), Some((2, 60)), "the next scrape");
    }

    #[test]
    fn rhythms_get_columns_of_their_own() {
        let mut target = target(false);
        let mut series: Vec<Series> = (0..40).map(|_| Series::default()).collect();
        for scrape in 0..10i64 {
            for (i, series) in series.iter_mut().enumerate() {
                let place = i as i64 % 4;
                let slot = series.sample(&mut target, scrape * 15_000 + place * 100).unwrap();
                assert_eq!(slot, (place as u32, scrape as u8));
            }
        }
        assert_eq!(target.columns.len(), 4);
    }

    #[test]
    fn a_series_that_is_scraped_elsewhere_moves() {
        let mut target = target(false);
        let (mut a, mut b) = (Series::default(), Series::default());
        assert_eq!(a.sample(&mut target, 0), Some((0, 0)));
        assert_eq!(b.sample(&mut target, 0), Some((0, 0)), "by chance at the same millisecond");
        assert_eq!(a.sample(&mut target, 15_000), Some((0, 1)));
        assert_eq!(b.sample(&mut target, 14_990), Some((1, 0)), "between two of the column");
        assert_eq!(a.sample(&mut target, 30_000), Some((0, 2)));
        assert_eq!(b.sample(&mut target, 29_990), Some((1, 1)));
    }

    #[test]
    fn columns_are_bounded() {
        let mut target = target(false);
        let slots = (0..300).map(|i| Series::default().sample(&mut target, i * 7).is_some());
        assert_eq!(slots.filter(|has| *has).count(), COLUMNS_FREE);
    }

    #[test]
    fn a_pause_of_months_begins_a_window() {
        let mut target = target(true);
        let mut a = Series::default();
        assert_eq!(a.sample(&mut target, -5), Some((0, 0)));
        assert_eq!(a.sample(&mut target, i64::from(u32::MAX) - 5), Some((0, 1)));
        assert_eq!(a.sample(&mut target, i64::from(u32::MAX) - 4), Some((1, 0)));
        assert_eq!(target.bounds(0), Some((-5, i64::from(u32::MAX) - 5)));
    }

    #[test]
    fn there_are_as_many_columns_as_scrapes_share() {
        let mut target = target(false);
        let mut series: Vec<Series> = (0..6000).map(|_| Series::default()).collect();
        for scrape in 0..3i64 {
            for (i, series) in series.iter_mut().enumerate() {
                let place = i as i64 / 6;
                let slot = series.sample(&mut target, scrape * 15_000 + place * 14);
                assert_eq!(slot, Some((place as u32, scrape as u8)));
            }
        }
        assert_eq!(target.columns.len(), 1000);
        target.freeze();
        let alone = (0..1000).map(|i| Series::default().sample(&mut target, 50_000 + i).is_some());
        assert_eq!(alone.filter(|has| *has).count(), COLUMNS_FREE, "nobody shares these");
    }

    #[test]
    fn frozen_windows_stay_readable_and_are_never_written() {
        let mut target = target(true);
        let mut a = Series::default();
        for i in 0..130i64 {
            a.sample(&mut target, i).unwrap();
        }
        target.freeze();
        assert_eq!(target.bounds(0), Some((0, 119)));
        assert_eq!(Series::default().sample(&mut target, 129), Some((2, 0)));
        assert_eq!(
            a.sample(&mut target, 130),
            Some((2, 1)),
            "its window is gone, the column is not"
        );
        let frozen: Vec<i64> = (120..130).collect();
        assert_eq!(target.timestamps(1).unwrap().as_ref(), frozen);
        target.drop_frozen();
        assert_eq!(target.bounds(1), None);
        assert_eq!(target.bounds(2), Some((129, 130)));
    }
}
