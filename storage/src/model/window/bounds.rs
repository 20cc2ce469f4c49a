//! Which samples of a series lie in a window, for windows that move on in time.

/// A window: its samples are `first..end`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) first: usize,
    pub(super) end: usize,
}

impl Bounds {
    /// Moves on to the window `(end_ms - range_ms, end_ms]`, which does not end before the last one. `ts`
    /// ascends.
    pub(super) fn move_to(&mut self, ts: &[i64], end_ms: i64, range_ms: i64) {
        let start_ms = end_ms.saturating_sub(range_ms);
        while ts.get(self.end).is_some_and(|ts| *ts <= end_ms) {
            self.end += 1;
        }
        while self.first < self.end && ts.get(self.first).is_some_and(|ts| *ts <= start_ms) {
            self.first += 1;
        }
    }

    pub(super) fn len(self) -> u64 {
        (self.end - self.first) as u64
    }
}
