//! The timestamps of one target, shared by its series.
//!
//! A target is scraped as a whole, so its series have the same timestamps: they are kept once, in windows
//! of [`WINDOW_SLOTS`]; a sample knows only its slot. A window that is full is closed and never changes
//! again; the last one is open and grows at its end.

use std::sync::Arc;

/// Timestamps in one window.
pub(crate) const WINDOW_SLOTS: usize = 120;

/// Place of a timestamp: window number (counted up for ever) and slot inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) window: u32,
    pub(crate) slot: u16,
}

/// What the series of a target take on the heap, kept up to date as they grow.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) chunks: usize,
    pub(crate) bytes: usize,
}

impl Usage {
    pub(crate) fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }

    pub(crate) fn subtract(&mut self, other: Self) {
        self.chunks = self.chunks.saturating_sub(other.chunks);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The windows of one target.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// Of its series.
    pub(crate) usage: Usage,
    /// Number of the first closed window; the open one has `first + closed.len()`.
    first: u32,
    closed: Vec<Arc<[i64]>>,
    open: Vec<i64>,
    /// A copy of `open` for readers, as long as nothing was added since.
    open_shared: Option<Arc<[i64]>>,
    /// Windows that a flush is writing to a block: numbers from `frozen_first`.
    frozen_first: u32,
    frozen: Vec<Arc<[i64]>>,
    last_ts: Option<i64>,
}

impl Target {
    /// The slot of `ts`; a timestamp newer than all others gets a new one. `None` when it lies between
    /// two others: such a sample cannot share the target's timestamps.
    pub(crate) fn slot(&mut self, ts: i64) -> Option<Slot> {
        match self.last_ts {
            Some(last) if ts < last => self.find(ts),
            Some(last) if ts == last && !self.open.is_empty() => {
                Some(Slot { window: self.open_number(), slot: (self.open.len() - 1) as u16 })
            }
            // Equal to the last timestamp of a closed window, behind which nothing is open yet.
            Some(last) if ts == last && !self.closed.is_empty() => self.find(ts),
            _ => {
                if self.open.len() == WINDOW_SLOTS {
                    self.close();
                }
                self.open.push(ts);
                self.open_shared = None;
                self.last_ts = Some(ts);
                Some(Slot { window: self.open_number(), slot: (self.open.len() - 1) as u16 })
            }
        }
    }

    fn open_number(&self) -> u32 {
        self.first + self.closed.len() as u32
    }

    fn find(&self, ts: i64) -> Option<Slot> {
        if self.open.first().is_some_and(|first| *first <= ts) {
            let slot = self.open.binary_search(&ts).ok()?;
            return Some(Slot { window: self.open_number(), slot: slot as u16 });
        }
        let after = self.closed.partition_point(|w| w.first().is_some_and(|first| *first <= ts));
        let index = after.checked_sub(1)?;
        let slot = self.closed.get(index)?.binary_search(&ts).ok()?;
        Some(Slot { window: self.first + index as u32, slot: slot as u16 })
    }

    /// Closes the open window.
    pub(crate) fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push(std::mem::take(&mut self.open).into());
            self.open_shared = None;
        }
    }

    /// Timestamps of a window, of the open one as far as they are known now.
    pub(crate) fn timestamps(&mut self, window: u32) -> Option<Arc<[i64]>> {
        if let Some(i) = window.checked_sub(self.first) {
            if let Some(ts) = self.closed.get(i as usize) {
                return Some(Arc::clone(ts));
            }
            let open = &self.open;
            return Some(Arc::clone(
                self.open_shared.get_or_insert_with(|| open.as_slice().into()),
            ));
        }
        let i = window.checked_sub(self.frozen_first)?;
        self.frozen.get(i as usize).map(Arc::clone)
    }

    /// First and last timestamp of a window.
    pub(crate) fn bounds(&self, window: u32) -> Option<(i64, i64)> {
        let of = |ts: &[i64]| Some((*ts.first()?, *ts.last()?));
        if let Some(i) = window.checked_sub(self.first) {
            return match self.closed.get(i as usize) {
                Some(ts) => of(ts),
                None => of(&self.open),
            };
        }
        let i = window.checked_sub(self.frozen_first)?;
        of(self.frozen.get(i as usize)?)
    }

    /// Sets all windows aside for a flush: what comes later gets windows of its own.
    pub(crate) fn freeze(&mut self) {
        self.close();
        let next = self.open_number();
        if self.frozen.is_empty() {
            self.frozen_first = self.first;
        }
        self.frozen.append(&mut self.closed);
        self.first = next;
        // A timestamp of a frozen window may come again (another shard of the same sender): it must open
        // a new window, not be looked for among the frozen ones.
        self.last_ts = None;
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
        let windows = self.closed.iter().chain(&self.frozen);
        windows.map(|w| w.len() * 8 + 32).sum::<usize>() + self.open.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn slots_grow_at_the_end_and_are_found_again() {
        let mut target = Target::default();
        for i in 0..300i64 {
            let slot = target.slot(i * 15_000).unwrap();
            assert_eq!((slot.window, slot.slot), ((i / 120) as u32, (i % 120) as u16));
        }
        assert_eq!(target.slot(15_000), Some(Slot { window: 0, slot: 1 }));
        assert_eq!(target.slot(130 * 15_000), Some(Slot { window: 1, slot: 10 }));
        assert_eq!(target.slot(15_001), None);
        assert_eq!(target.slot(-1), None);
        assert_eq!(target.bounds(1), Some((120 * 15_000, 239 * 15_000)));
        assert_eq!(target.timestamps(2).unwrap().len(), 60);
    }

    #[test]
    fn frozen_windows_stay_readable_and_are_never_written() {
        let mut target = Target::default();
        for i in 0..130i64 {
            target.slot(i).unwrap();
        }
        target.freeze();
        assert_eq!(target.bounds(0), Some((0, 119)));
        let again = target.slot(129).unwrap();
        assert_eq!((again.window, again.slot), (2, 0));
        assert_eq!(target.timestamps(1).unwrap().as_ref(), (120..130).collect::<Vec<i64>>());
        target.drop_frozen();
        assert_eq!(target.bounds(1), None);
        assert_eq!(target.bounds(2), Some((129, 129)));
    }
}
