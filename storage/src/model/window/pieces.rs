//! Many windows of one series from neighbouring pieces of it: a piece is one sample, or the summary of a stretch
//! that lies wholly inside or wholly outside of every window that is asked for. A window's summary is that of its
//! pieces, merged in time order; what adds up is kept added up, so that its cost does not grow with the pieces.

use super::{WindowSummary, is_change, is_stale};

/// What the summaries of windows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Whether there is any sample: windows may be made wider for it.
    Presence,
    /// Their number, first and last samples, and the number of resets.
    Edges,
    /// The values before resets as well.
    Resets,
    /// Everything.
    All,
}

/// A stretch with samples. What is `..._to` counts from the first piece to the end of this one, what is
/// `..._from` from there to the step into this one, itself counted.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    first_ts: i64,
    first: f64,
    last_ts: i64,
    last: f64,
    count_to: u64,
    resets_from: u64,
    resets_to: u64,
    told_from: usize,
    told_to: usize,
    untold_to: u64,
}

/// What only [`Need::All`] keeps of a piece.
#[derive(Debug, Clone, Copy, Default)]
struct More {
    prev: Option<(i64, f64)>,
    min: (i64, f64),
    max: (i64, f64),
    sum: (f64, f64),
    changes_from: u64,
    changes_to: u64,
}

/// The pieces of one series, ascending in time. A buffer to be used again.
#[derive(Debug)]
pub struct Pieces {
    need: Need,
    pieces: Vec<Piece>,
    more: Vec<More>,
    /// The values before resets, of pieces and between them, in time order.
    told: Vec<f64>,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { need: Need::All, pieces: Vec::new(), more: Vec::new(), told: Vec::new() }
    }
}

impl Pieces {
    /// Forgets the pieces; those that come are to give summaries of `need`.
    pub fn begin(&mut self, need: Need) {
        self.need = need;
        self.pieces.clear();
        self.more.clear();
        self.told.clear();
    }

    /// Pieces so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that the pieces take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.pieces.len() * size_of::<Piece>()
            + self.more.len() * size_of::<More>()
            + self.told.len() * size_of::<f64>()
    }

    /// Adds the next sample as a piece of its own; a stale marker is none.
    pub fn push_sample(&mut self, ts: i64, value: f64) {
        if is_stale(value) {
            return;
        }
        let piece = self.step_to((ts, value), (ts, value), 1);
        self.pieces.push(piece);
        if self.need == Need::All {
            let changes = self.changes_into(value);
            self.more.push(More {
                prev: None,
                min: (ts, value),
                max: (ts, value),
                sum: (0.0 + value, 0.0),
                changes_from: changes,
                changes_to: changes,
            });
        }
    }

    /// Adds the summary of the next stretch. Of its fields only those that [`Need`] names are looked at.
    pub fn push(&mut self, stretch: &WindowSummary) {
        if stretch.count == 0 {
            return;
        }
        let (first, last) = ((stretch.first_ts, stretch.first), (stretch.last_ts, stretch.last));
        let mut piece = self.step_to(first, last, stretch.count);
        piece.resets_to += stretch.resets();
        if self.need >= Need::Resets {
            self.told.extend(stretch.pre_resets.iter());
            piece.told_to = self.told.len();
            piece.untold_to += u64::from(!stretch.pre_resets.are_told());
        }
        if self.need == Need::All {
            let changes = self.changes_into(stretch.first);
            self.more.push(More {
                prev: (stretch.count > 1).then_some((stretch.prev_ts, stretch.prev)),
                min: (stretch.min_ts, stretch.min),
                max: (stretch.max_ts, stretch.max),
                sum: (stretch.sum, stretch.sum_c),
                changes_from: changes,
                changes_to: changes + stretch.changes,
            });
        }
        self.pieces.push(piece);
    }

    /// The next piece as far as the step into it goes.
    fn step_to(&mut self, first: (i64, f64), last: (i64, f64), count: u64) -> Piece {
        let before = self.pieces.last().copied();
        let mut resets = 0;
        if let Some(before) = before {
            resets = before.resets_to;
            if first.1 < before.last {
                resets += 1;
                if self.need >= Need::Resets {
                    self.told.push(before.last);
                }
            }
        }
        let before = before.unwrap_or_default();
        Piece {
            first_ts: first.0,
            first: first.1,
            last_ts: last.0,
            last: last.1,
            count_to: before.count_to + count,
            resets_from: resets,
            resets_to: resets,
            told_from: self.told.len(),
            told_to: self.told.len(),
            untold_to: before.untold_to,
        }
    }

    /// Changes up to `first`, the first sample of the piece that comes.
    fn changes_into(&self, first: f64) -> u64 {
        let n = self.more.len();
        let before = n.checked_sub(1).and_then(|at| self.more.get(at).zip(self.pieces.get(at)));
        before.map_or(0, |(more, piece)| more.changes_to + u64::from(is_change(piece.last, first)))
    }

    /// Samples of the pieces `from..to`.
    #[must_use]
    pub fn count(&self, from: usize, to: usize) -> u64 {
        let until = |to: usize| {
            let last = to.checked_sub(1).and_then(|at| self.pieces.get(at));
            last.map_or(0, |piece| piece.count_to)
        };
        until(to) - until(from)
    }

    /// The summary of the pieces `from..to`, without `stale_ts`. Fields that [`Need`] does not name say nothing.
    #[must_use]
    pub fn summary(&self, from: usize, to: usize) -> WindowSummary {
        let pieces = self.pieces.get(from..to).unwrap_or_default();
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return WindowSummary::default();
        };
        let before = from.checked_sub(1).and_then(|at| self.pieces.get(at)).copied();
        let before = before.unwrap_or_default();
        let mut summary = WindowSummary {
            count: last.count_to - before.count_to,
            first_ts: first.first_ts,
            first: first.first,
            last_ts: last.last_ts,
            last: last.last,
            ..WindowSummary::default()
        };
        let resets = last.resets_to - first.resets_from;
        let told = self.need >= Need::Resets && last.untold_to == before.untold_to;
        summary.pre_resets = if told {
            let told = self.told.get(first.told_from..last.told_to);
            told.unwrap_or_default().iter().copied().collect()
        } else {
            super::PreResets::untold(u32::try_from(resets).unwrap_or(u32::MAX))
        };
        if let Some((head, later)) = self.more.get(from..to).and_then(<[More]>::split_first) {
            ((summary.min_ts, summary.min), (summary.max_ts, summary.max)) = (head.min, head.max);
            (summary.sum, summary.sum_c) = head.sum;
            for more in later {
                summary.take_extremes(more.min, more.max);
                summary.take_sum(more.sum);
            }
            let end = later.last().unwrap_or(head);
            summary.changes = end.changes_to - head.changes_from;
            let second = to.checked_sub(2).filter(|at| *at >= from);
            let second = second.and_then(|at| self.pieces.get(at));
            let prev = end.prev.or_else(|| second.map(|piece| (piece.last_ts, piece.last)));
            (summary.prev_ts, summary.prev) = prev.unwrap_or_default();
        }
        summary
    }
}

/// The pieces of windows that move on in time.
#[derive(Debug, Clone, Copy, Default)]
pub struct PieceCursor {
    from: usize,
    to: usize,
}

impl PieceCursor {
    /// The pieces of the window `(start_ms, end_ms]`, neither end of which moves back.
    pub fn move_to(&mut self, pieces: &Pieces, start_ms: i64, end_ms: i64) -> (usize, usize) {
        let at = |i: usize| pieces.pieces.get(i).map(|piece| piece.last_ts);
        while at(self.to).is_some_and(|ts| ts <= end_ms) {
            self.to += 1;
        }
        while self.from < self.to && at(self.from).is_some_and(|ts| ts <= start_ms) {
            self.from += 1;
        }
        (self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::stale_nan;

    fn value() -> impl Strategy<Value = f64> {
        let edges = [0.0, -0.0, 1.0, 7.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, stale_nan()];
        prop_oneof![
            3 => (0u8..30).prop_map(f64::from),
            1 => any::<f64>(),
            1 => prop::sample::select(edges.to_vec()),
        ]
    }

    proptest! {
        /// Windows whose ends are among those of the pieces, against summaries of their samples.
        #[test]
        fn windows_of_pieces_are_windows_of_samples(
            samples in prop::collection::vec((value(), 0u8..4), 1..60),
            windows in prop::collection::vec((0usize..60, 0usize..60), 1..20),
        ) {
            let values: Vec<f64> = samples.iter().map(|sample| sample.0).collect();
            let ts: Vec<i64> = (0..values.len()).map(|i| i as i64 * 10).collect();
            // Where a piece ends; every other one is added sample by sample.
            let mut cuts = vec![0];
            cuts.extend((1..values.len()).filter(|i| samples[*i].1 == 0));
            cuts.push(values.len());
            let mut ends: Vec<(i64, i64)> = windows
                .iter()
                .map(|(a, b)| (cuts[a % cuts.len()], cuts[b % cuts.len()]))
                .map(|(a, b)| (a.min(b) as i64 * 10 - 5, a.max(b) as i64 * 10 - 5))
                .collect();
            ends.sort_unstable();
            let mut latest = i64::MIN;
            for end in &mut ends {
                latest = latest.max(end.1);
                end.1 = latest;
            }
            for need in [Need::Edges, Need::Resets, Need::All] {
                let mut pieces = Pieces::default();
                pieces.begin(need);
                for (n, cut) in cuts.windows(2).enumerate() {
                    let (ts, values) = (&ts[cut[0]..cut[1]], &values[cut[0]..cut[1]]);
                    if n % 2 == 0 {
                        pieces.push(&WindowSummary::of(ts, values));
                    } else {
                        ts.iter().zip(values).for_each(|(t, v)| pieces.push_sample(*t, *v));
                    }
                }
                let mut cursor = PieceCursor::default();
                for (start, end) in &ends {
                    let (from, to) = cursor.move_to(&pieces, *start, *end);
                    let mut seen = pieces.summary(from, to);
                    let inside = |i: &usize| ts[*i] > *start && ts[*i] <= *end;
                    let at: Vec<usize> = (0..ts.len()).filter(inside).collect();
                    let mut wanted = WindowSummary::default();
                    at.iter().for_each(|i| wanted.push(ts[*i], values[*i]));
                    wanted.stale_ts = None;
                    prop_assert_eq!(seen.count, wanted.count);
                    prop_assert_eq!(seen.resets(), wanted.resets());
                    if need < Need::All {
                        let (first, last) = (wanted.first.to_bits(), wanted.last.to_bits());
                        prop_assert_eq!((seen.first.to_bits(), seen.last.to_bits()), (first, last));
                        prop_assert_eq!(seen.last_ts, wanted.last_ts);
                        if need == Need::Resets {
                            let bits = |s: &WindowSummary| s.raw_increase().map(f64::to_bits);
                            let nan = |s: &WindowSummary| s.raw_increase().is_some_and(f64::is_nan);
                            prop_assert!(bits(&seen) == bits(&wanted) || nan(&seen) && nan(&wanted));
                        }
                    } else {
                        if wanted.count == 0 {
                            seen = WindowSummary::default();
                            wanted = WindowSummary::default();
                        }
                        prop_assert!(seen.same_but_sum(&wanted), "{:?} {:?}", seen, wanted);
                    }
                }
            }
        }
    }
}
