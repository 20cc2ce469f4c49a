//! Which blocks to merge, and which to drop: pure functions of what blocks there are.
//!
//! A flush cuts its samples at day boundaries, so a fresh block lies within one day. While a day is open its
//! blocks are merged when there are many of about one size: whatever is rewritten ends up in a block several
//! times as large. When the day is over its blocks become one; days are merged into eights, eights into
//! thirty-twos. With a flush every half hour a sample is thus rewritten four times in its life (eight flushes,
//! day, eight, thirty-two), however long that is. Late samples make small blocks beside the large one of their
//! time. They stay until there are many or much of them, or until the next longer span is merged.
//!
//! At one timestamp the first accepted value stays, so of the blocks that share a time only neighbours in
//! the order of acceptance are merged: then whatever lies beside the new block was accepted before all of it
//! or after all of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::{BlockId, BlockMeta};
use crate::model::{DAY_MS, TimeRange};

/// Lengths of time that one block may come to hold, ascending.
const SPANS_MS: [i64; 3] = [DAY_MS, 8 * DAY_MS, 32 * DAY_MS];
/// How long after its end a span still waits for ordinary stragglers.
const GRACE_MS: i64 = 3_600_000;
/// So many blocks of a span are merged before it is over, or beside a large one, ...
const TIER_BLOCKS_MIN: usize = 8;
/// ... when together they are so many times as large as the largest of them.
const TIER_GROWTH_MIN: u64 = 6;
/// When a span is over, its largest block is rewritten if the others come to one part in this many of it.
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
        let mut spans: BTreeMap<i64, Vec<&BlockMeta>> = BTreeMap::new();
        for meta in metas.iter().filter(|meta| !spared.contains(&meta.id)) {
            if let Some(number) = span_of(meta, span_ms) {
                spans.entry(number).or_default().push(meta);
            }
        }
        for (number, list) in spans {
            let over = (number + 1).saturating_mul(span_ms).saturating_add(GRACE_MS) <= now_ms;
            if all || over || span_ms == DAY_MS {
                let chosen = choose(list, metas, over, all);
                if chosen.is_some() {
                    return chosen;
                }
            }
        }
    }
    None
}

/// The longest run of neighbours in `list` that is worth merging: among all of them, then without the
/// largest, and so on.
fn choose(
    mut list: Vec<&BlockMeta>,
    metas: &[BlockMeta],
    over: bool,
    all: bool,
) -> Option<Vec<BlockId>> {
    list.sort_by_key(|meta| meta.n_samples);
    let mut whole = true;
    while list.len() > 1 {
        let found = runs(&list, metas).into_iter().find(|run| {
            let total: u64 = run.iter().map(|meta| meta.n_samples).sum();
            let largest = run.iter().map(|meta| meta.n_samples).max().unwrap_or(0);
            let tier =
                run.len() >= TIER_BLOCKS_MIN && total >= largest.saturating_mul(TIER_GROWTH_MIN);
            let settles =
                over && whole && (total - largest).saturating_mul(REWRITE_RATIO) >= largest;
            all || tier || settles
        });
        if let Some(run) = found {
            let mut ids: Vec<BlockId> = run.iter().map(|meta| meta.id).collect();
            ids.sort_unstable();
            return Some(ids);
        }
        list.pop();
        whole = false;
    }
    None
}

/// The runs of `chosen` that no other of `metas` with samples in its time interrupts, in the order of
/// acceptance; of two blocks at least, the longest one first.
fn runs<'a>(chosen: &[&'a BlockMeta], metas: &[BlockMeta]) -> Vec<Vec<&'a BlockMeta>> {
    let mut chosen = chosen.to_vec();
    chosen.sort_by_key(|meta| meta.acceptance());
    let Some(hull) = chosen.iter().map(|meta| meta.range()).reduce(|a, b| a.hull(&b)) else {
        return Vec::new();
    };
    let ids: BTreeSet<BlockId> = chosen.iter().map(|meta| meta.id).collect();
    let others: Vec<&BlockMeta> =
        metas.iter().filter(|m| !ids.contains(&m.id) && overlaps(m, &hull)).collect();
    let apart = |a: &BlockMeta, b: &BlockMeta| {
        others.iter().any(|m| a.acceptance() < m.acceptance() && m.acceptance() < b.acceptance())
    };
    let runs = chosen.chunk_by(|a, b| !apart(a, b)).filter(|run| run.len() > 1);
    let mut runs: Vec<Vec<&BlockMeta>> = runs.map(<[_]>::to_vec).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    runs
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
    fn many_blocks_of_one_size_are_merged_while_the_day_is_open() {
        let mut day: Vec<_> = (1..=7).map(|id| block(id, 10, 1, 90 + 5 * id)).collect();
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, false)), [] as [u64; 0]);
        day.push(block(8, 10, 1, 80));
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, false)), [1, 2, 3, 4, 5, 6, 7, 8]);
        // A larger one beside them is left alone.
        day.push(block(9, 10, 1, 600));
        assert_eq!(ids(plan_of(&day, 10 * DAY_MS, false)), [1, 2, 3, 4, 5, 6, 7, 8]);
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
    fn late_samples_wait_until_there_are_many_or_much_of_them() {
        let now = 1000 * DAY_MS;
        let mut blocks = vec![block(1, 64, 1, 10_000)];
        for id in 2..9 {
            blocks.push(block(id, 64, 1, 10));
            assert_eq!(ids(plan_of(&blocks, now, false)), [] as [u64; 0]);
        }
        blocks.push(block(9, 64, 1, 10));
        assert_eq!(ids(plan_of(&blocks, now, false)), [2, 3, 4, 5, 6, 7, 8, 9]);
        blocks = vec![block(1, 64, 1, 10_000), block(4, 64, 1, 2_000)];
        assert_eq!(ids(plan_of(&blocks, now, false)), [1, 4]);
    }

    #[test]
    fn what_was_accepted_in_between_keeps_blocks_apart() {
        let now = 1000 * DAY_MS;
        let mut blocks: Vec<_> = (1..=5).map(|id| block(id, 64, 1, 10)).collect();
        blocks.push(block(6, 64, 1, 10_000));
        blocks.extend((7..=9).map(|id| block(id, 64, 1, 10)));
        assert_eq!(ids(plan_of(&blocks, now, false)), [] as [u64; 0], "6 lies between");
        blocks.extend((10..=14).map(|id| block(id, 64, 1, 10)));
        assert_eq!(ids(plan_of(&blocks, now, false)), [7, 8, 9, 10, 11, 12, 13, 14]);
        assert_eq!(plan_of(&blocks, now, true).unwrap_or_default().len(), 14);
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
        let mut after = block(4, 64, 1, 900_000);
        let day = [block(3, 64, 1, 100), after.clone(), wide.clone()];
        assert_eq!(
            ids(plan_of(&day, now, false)),
            [] as [u64; 0],
            "too little for so large a block"
        );
        after.max_ts += DAY_MS;
        let day = [block(3, 64, 1, 100), after, wide];
        assert_eq!(ids(plan_of(&day, now, false)), [3, 9]);
    }

    /// Blocks as they come and are merged, half hour by half hour.
    struct Simulation {
        rng: u64,
        blocks: Vec<BlockMeta>,
        flushed: Vec<(BlockId, TimeRange)>,
        next_id: u64,
        now_ms: i64,
        written: u64,
        rewritten: u64,
        /// Most blocks that a query of the last day met, at rest.
        fresh_max: usize,
        blocks_max: usize,
    }

    impl Simulation {
        fn below(&mut self, end: u64) -> u64 {
            self.rng =
                self.rng.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (self.rng >> 33) % end
        }

        fn flush(&mut self, min_ts: i64, max_ts: i64, n_samples: u64) {
            let mut new = block(self.next_id, 0, 1, n_samples);
            (new.min_ts, new.max_ts) = (min_ts, max_ts);
            self.next_id += 1;
            self.written += n_samples;
            self.flushed.push((new.id, new.range()));
            self.blocks.push(new);
        }

        fn merge_all_due(&mut self) {
            while let Some(ids) = plan_of(&self.blocks, self.now_ms, false) {
                assert!(ids.len() > 1, "every merge leaves fewer blocks: this ends");
                let (gone, mut rest): (Vec<BlockMeta>, Vec<_>) =
                    self.blocks.drain(..).partition(|meta| ids.contains(&meta.id));
                let mut made = block(self.next_id, 0, 1, 0);
                self.next_id += 1;
                made.min_ts = gone.iter().map(|meta| meta.min_ts).min().unwrap_or(0);
                made.max_ts = gone.iter().map(|meta| meta.max_ts).max().unwrap_or(0);
                made.n_samples = gone.iter().map(|meta| meta.n_samples).sum();
                made.level = gone.iter().map(|meta| meta.level).max().unwrap_or(0) + 1;
                made.sources =
                    gone.iter().flat_map(|m| [m.id].into_iter().chain(m.sources.clone())).collect();
                self.rewritten += made.n_samples;
                rest.push(made);
                self.blocks = rest;
            }
            let day = TimeRange::new(self.now_ms - DAY_MS, self.now_ms);
            let fresh = self.blocks.iter().filter(|meta| overlaps(meta, &day)).count();
            self.fresh_max = self.fresh_max.max(fresh);
            self.blocks_max = self.blocks_max.max(self.blocks.len());
        }

        /// So many days of flushes every half hour; one in `late` comes with late samples, up to 40 days old.
        fn run(seed: u64, days: i64, late: Option<u64>) -> Self {
            Self::run_in_parts(seed, days, 48, 1, late)
        }

        /// So many days of so many flushes, each of which makes so many blocks.
        fn run_in_parts(seed: u64, days: i64, a_day: i64, parts: u64, late: Option<u64>) -> Self {
            let mut this = Self {
                rng: seed,
                blocks: Vec::new(),
                flushed: Vec::new(),
                next_id: 1,
                now_ms: 0,
                written: 0,
                rewritten: 0,
                fresh_max: 0,
                blocks_max: 0,
            };
            for flush in 0..days * a_day {
                let begin = flush * DAY_MS / a_day;
                this.now_ms = begin + DAY_MS / a_day;
                for _ in 0..parts {
                    let size = 800 + this.below(400);
                    this.flush(begin, this.now_ms - 1, size);
                }
                if late.is_some_and(|late| this.below(late) == 0) {
                    let day = (begin / DAY_MS - 1 - this.below(40) as i64).max(0);
                    let size = 1 + this.below(200);
                    this.flush(day * DAY_MS, day * DAY_MS + 1000, size);
                }
                this.merge_all_due();
                if flush % 500 == 0 {
                    this.check_order();
                }
            }
            this.check_order();
            this
        }

        /// Of samples that share a time, those accepted first are in the block that comes first.
        fn check_order(&self) {
            let mut place = BTreeMap::new();
            for meta in &self.blocks {
                for id in meta.sources.iter().chain([&meta.id]) {
                    place.insert(*id, meta.acceptance());
                }
            }
            let short = |(_, range): &&(BlockId, TimeRange)| range.max - range.min == 1000;
            for (late, range) in self.flushed.iter().filter(short) {
                for (other, _) in self.flushed.iter().filter(|other| other.1.overlaps(range)) {
                    let (a, b) = (place.get(late), place.get(other));
                    assert!(a == b || (a < b) == (late < other), "{late} and {other}");
                }
            }
        }
    }

    #[test]
    fn a_sample_is_rewritten_four_times() {
        for seed in 0..3 {
            let sim = Simulation::run(seed, 97, None);
            let times = sim.rewritten as f64 / sim.written as f64;
            let level = sim.blocks.iter().map(|meta| meta.level).max().unwrap_or(0);
            assert!(times <= 4.0 && level <= 4, "seed {seed}: {times}, at most {level}");
            assert!(sim.fresh_max <= 16, "seed {seed}: {} blocks", sim.fresh_max);
            assert!(sim.blocks_max <= 32, "seed {seed}: {} blocks", sim.blocks_max);
            assert_eq!(sim.blocks.iter().filter(|meta| meta.max_ts < 96 * DAY_MS).count(), 3);
        }
    }

    #[test]
    fn flushes_in_parts_every_five_minutes_cost_one_time_more() {
        for (seed, parts) in [(0, 1), (1, 4), (2, 8)] {
            let sim = Simulation::run_in_parts(seed, 40, 288, parts, None);
            let times = sim.rewritten as f64 / sim.written as f64;
            assert!(times <= 5.5, "{parts} parts: {times}");
            assert!(sim.fresh_max <= 32, "{parts} parts: {} blocks", sim.fresh_max);
        }
    }

    #[test]
    fn late_samples_cost_little() {
        for seed in 0..2 {
            let sim = Simulation::run(seed, 65, Some(2));
            let times = sim.rewritten as f64 / sim.written as f64;
            assert!(times <= 5.0, "seed {seed}: {times}");
            assert!(sim.fresh_max <= 24, "seed {seed}: {} blocks", sim.fresh_max);
            assert!(sim.blocks_max <= 200, "seed {seed}: {} blocks", sim.blocks_max);
        }
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
