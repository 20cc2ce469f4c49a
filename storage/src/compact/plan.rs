//! Which blocks to merge, and which to drop: pure functions of what blocks there are.
//!
//! A flush cuts its samples at day boundaries, so a fresh block lies within one day. The blocks of a day
//! are merged when the day is over; days into eights, eights into thirty-twos. A sample is thus rewritten
//! about four times in its life, however long that is. Late samples make small blocks beside the large one
//! of their time: they are gathered first, and merged into it when there is enough of them.
//!
//! At one timestamp the first accepted value stays, so of the blocks that share a time only neighbours in
//! the order of acceptance are merged: then whatever lies beside the new block was accepted before all of it
//! or after all of it.

use std::collections::BTreeSet;

use crate::block::{BlockId, BlockMeta};
use crate::model::TimeRange;

/// One day in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// Lengths of time that one block may come to hold, ascending.
const SPANS_MS: [i64; 3] = [DAY_MS, 8 * DAY_MS, 32 * DAY_MS];
/// How long after its end a span still waits for ordinary stragglers.
const GRACE_MS: i64 = 2 * 3_600_000;
/// Blocks of a day that is not over that are merged before their number slows queries.
const OPEN_DAY_BLOCKS_MAX: usize = 6;
/// A large block is rewritten for the sake of small ones when they come to one part in this many.
const REWRITE_RATIO: u64 = 8;

fn span_of(meta: &BlockMeta, span_ms: i64) -> Option<i64> {
    let number = meta.min_ts.div_euclid(span_ms);
    (meta.max_ts.div_euclid(span_ms) == number).then_some(number)
}

/// The next blocks to merge into one, or nothing; none of `spared`. `all` merges whatever shares a span, due
/// or not.
pub(crate) fn plan(
    metas: &[BlockMeta],
    spared: &BTreeSet<BlockId>,
    now_ms: i64,
    all: bool,
) -> Option<Vec<BlockId>> {
    for span_ms in SPANS_MS {
        let mut spans: Vec<(i64, Vec<&BlockMeta>)> = Vec::new();
        for meta in metas.iter().filter(|meta| !spared.contains(&meta.id)) {
            if let Some(number) = span_of(meta, span_ms) {
                match spans.iter_mut().find(|(n, _)| *n == number) {
                    Some((_, list)) => list.push(meta),
                    None => spans.push((number, vec![meta])),
                }
            }
        }
        spans.sort_by_key(|(number, _)| *number);
        for (number, list) in spans {
            let over = (number + 1).saturating_mul(span_ms).saturating_add(GRACE_MS) <= now_ms;
            let chosen = choose(list, span_ms, over, all);
            if let Some(ids) = chosen.and_then(|chosen| neighbours(chosen, metas)) {
                return Some(ids);
            }
        }
    }
    None
}

fn choose(
    mut list: Vec<&BlockMeta>,
    span_ms: i64,
    over: bool,
    all: bool,
) -> Option<Vec<&BlockMeta>> {
    if list.len() < 2 || !(over || all || span_ms == DAY_MS) {
        return None;
    }
    list.sort_by_key(|meta| std::cmp::Reverse(meta.n_samples));
    let total: u64 = list.iter().map(|meta| meta.n_samples).sum();
    let largest = list.first()?.n_samples;
    if !all {
        if !over && list.len() < OPEN_DAY_BLOCKS_MAX {
            return None;
        }
        // One large block with a few late samples beside it: gather those only.
        if (total - largest).saturating_mul(REWRITE_RATIO) < largest {
            list.remove(0);
            if list.len() < 2 {
                return None;
            }
        }
    }
    Some(list)
}

/// The longest run of `chosen` that no other of `metas` with samples in its time interrupts, in the order
/// of acceptance; at least two.
fn neighbours(mut chosen: Vec<&BlockMeta>, metas: &[BlockMeta]) -> Option<Vec<BlockId>> {
    chosen.sort_by_key(|meta| meta.acceptance());
    let hull = chosen.iter().map(|meta| meta.range()).reduce(|a, b| a.hull(&b))?;
    let ids: BTreeSet<BlockId> = chosen.iter().map(|meta| meta.id).collect();
    let others: Vec<&BlockMeta> =
        metas.iter().filter(|m| !ids.contains(&m.id) && overlaps(m, &hull)).collect();
    let apart = |a: &BlockMeta, b: &BlockMeta| {
        others.iter().any(|m| a.acceptance() < m.acceptance() && m.acceptance() < b.acceptance())
    };
    let runs = chosen.chunk_by(|a, b| !apart(a, b));
    let longest = runs.max_by_key(|run| run.len()).filter(|run| run.len() > 1)?;
    let mut ids: Vec<BlockId> = longest.iter().map(|meta| meta.id).collect();
    ids.sort_unstable();
    Some(ids)
}

fn overlaps(meta: &BlockMeta, range: &TimeRange) -> bool {
    meta.range().overlaps(range)
}

/// Blocks whose newest sample is older than `retention_ms` before both the clock and the newest sample:
/// a clock that jumps ahead deletes nothing.
pub(crate) fn expired(
    metas: &[BlockMeta],
    now_ms: i64,
    newest_ts: i64,
    retention_ms: i64,
) -> Vec<BlockId> {
    let cutoff = now_ms.min(newest_ts).saturating_sub(retention_ms);
    metas.iter().filter(|meta| meta.max_ts < cutoff).map(|meta| meta.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: u64, from_day: i64, days: i64, n_samples: u64) -> BlockMeta {
        BlockMeta {
            id: BlockId(id),
            min_ts: from_day * DAY_MS,
            max_ts: (from_day + days) * DAY_MS - 1,
            n_samples,
            version: 1,
            n_series: 1,
            n_histograms: 0,
            level: 0,
            sources: Vec::new(),
            chunks_bytes: 0,
            index_bytes: 0,
        }
    }

    fn plan_of(metas: &[BlockMeta], now_ms: i64, all: bool) -> Option<Vec<BlockId>> {
        plan(metas, &BTreeSet::new(), now_ms, all)
    }

    fn ids(plan: Option<Vec<BlockId>>) -> Vec<u64> {
        plan.unwrap_or_default().iter().map(|id| id.0).collect()
    }

    #[test]
    fn a_day_is_merged_when_it_is_over() {
        let day = [block(1, 10, 1, 100), block(2, 10, 1, 100), block(3, 11, 1, 100)];
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, false)), [] as [u64; 0]);
        assert_eq!(ids(plan_of(&day, 11 * DAY_MS, false)), [] as [u64; 0], "stragglers may come");
        assert_eq!(ids(plan_of(&day, 11 * DAY_MS + GRACE_MS, false)), [1, 2]);
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, true)), [1, 2]);
    }

    #[test]
    fn many_blocks_of_an_open_day_are_merged() {
        let day: Vec<_> = (1..=6).map(|id| block(id, 10, 1, 100)).collect();
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, false)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn days_grow_to_eights_and_thirty_twos() {
        let now = 1000 * DAY_MS;
        let days: Vec<_> = (0..8).map(|d| block(d as u64 + 1, 64 + d, 1, 100)).collect();
        assert_eq!(ids(plan_of(&days, now, false)), [1, 2, 3, 4, 5, 6, 7, 8]);
        let eights: Vec<_> = (0..4).map(|e| block(e as u64 + 1, 64 + 8 * e, 8, 100)).collect();
        assert_eq!(ids(plan_of(&eights, now, false)), [1, 2, 3, 4]);
        assert_eq!(
            ids(plan_of(&[block(1, 64, 32, 100), block(2, 96, 32, 100)], now, false)),
            [] as [u64; 0]
        );
    }

    #[test]
    fn late_samples_are_gathered_before_a_large_block_is_rewritten() {
        let now = 1000 * DAY_MS;
        let mut blocks = vec![block(1, 64, 1, 10_000), block(2, 64, 1, 10)];
        assert_eq!(ids(plan_of(&blocks, now, false)), [] as [u64; 0]);
        blocks.push(block(3, 64, 1, 10));
        assert_eq!(ids(plan_of(&blocks, now, false)), [2, 3]);
        blocks = vec![block(1, 64, 1, 10_000), block(4, 64, 1, 2_000)];
        assert_eq!(ids(plan_of(&blocks, now, false)), [1, 4]);
    }

    #[test]
    fn what_was_accepted_in_between_keeps_blocks_apart() {
        let now = 1000 * DAY_MS;
        let mut blocks = vec![block(1, 64, 1, 10), block(2, 64, 1, 10_000), block(3, 64, 1, 10)];
        assert_eq!(ids(plan_of(&blocks, now, false)), [] as [u64; 0], "2 lies between 1 and 3");
        blocks.push(block(4, 64, 1, 10));
        assert_eq!(ids(plan_of(&blocks, now, false)), [3, 4]);
        assert_eq!(ids(plan_of(&blocks, now, true)), [1, 2, 3, 4]);
        // A block that spans more than a day, or that is spared, interrupts as well.
        let mut wide = block(2, 64, 2, 100);
        let day = [block(1, 64, 1, 100), wide.clone(), block(3, 64, 1, 100)];
        assert_eq!(ids(plan_of(&day, 66 * DAY_MS, false)), [] as [u64; 0]);
        let spared = BTreeSet::from([BlockId(2)]);
        let day = [block(1, 64, 1, 100), block(2, 64, 1, 100), block(3, 64, 1, 100)];
        assert_eq!(ids(plan(&day, &spared, now, true)), [] as [u64; 0]);
        // A compacted block stands where its first source stood.
        wide = block(9, 64, 1, 100);
        wide.sources = vec![BlockId(1), BlockId(2)];
        let day = [block(3, 64, 1, 100), block(4, 64, 1, 900_000), wide];
        assert_eq!(ids(plan_of(&day, now, false)), [3, 9]);
    }

    #[test]
    fn retention_needs_clock_and_data_to_agree() {
        let blocks = [block(1, 10, 1, 1), block(2, 90, 1, 1)];
        let newest = 91 * DAY_MS;
        let drop = |now| {
            expired(&blocks, now, newest, 30 * DAY_MS).iter().map(|id| id.0).collect::<Vec<_>>()
        };
        assert_eq!(drop(92 * DAY_MS), [1]);
        assert_eq!(drop(100_000 * DAY_MS), [1], "a clock far ahead");
        assert_eq!(drop(20 * DAY_MS), [] as [u64; 0], "a clock set back");
    }
}
