//! Which days are to be rolled up: a pure function of what there is.

use crate::history::{Day, DayState, MONTH_ROWS_MAX, Month, State};
use crate::model::{DAY_MS, TimeRange};

/// How long after its end a day still waits for ordinary stragglers.
pub(crate) const GRACE_MS: i64 = 3_600_000;
/// How much longer it waits while samples of its time are in memory; a flush then makes it due anew.
pub(crate) const HEAD_WAIT_MS: i64 = DAY_MS / 4;

/// The days that are due at `now_ms`, oldest first: they are over, blocks hold samples of their time, and the
/// history has no rows of them or outdated ones. `blocks` are the times that blocks cover, `head` what is in memory.
pub(crate) fn due(
    blocks: &[TimeRange],
    head: Option<TimeRange>,
    state: &State,
    now_ms: i64,
) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    let over = |day: Day| {
        let waited = now_ms.saturating_sub(day.end_ms());
        let settled = head.is_none_or(|head| head.min > day.end_ms());
        waited >= GRACE_MS && (settled || waited >= GRACE_MS + HEAD_WAIT_MS)
    };
    let wanted = |day: Day| {
        state.has_raw(day) && state.days.get(&day.0).is_none_or(|built| built.outdated) && over(day)
    };
    let last = Day::of(now_ms.saturating_sub(GRACE_MS)).0;
    for range in blocks.iter().filter(|range| range.min <= range.max) {
        let within = Day::within(*range);
        for day in *within.start()..=(*within.end()).min(last) {
            if wanted(Day(day)) {
                days.push(Day(day));
            }
        }
    }
    // A day whose samples are all gone is in no block any more.
    let emptied = state.days.iter().filter(|(day, built)| {
        built.outdated && (!built.files.is_empty() || state.has_rows(Day(**day)))
    });
    days.extend(emptied.map(|(day, _)| Day(*day)).filter(|day| wanted(*day)));
    days.sort_unstable();
    days.dedup();
    days
}

/// How long after its end a month still waits for late samples: one that is put together is written anew with every
/// day that changes.
pub(crate) const MONTH_GRACE_MS: i64 = 2 * DAY_MS;
/// Files that a month has at least for it to be worth while.
const MONTH_FILES_MIN: usize = 2;

/// The months whose days are to be put together at `now_ms`, oldest first: they are over, no day is outdated or among
/// `days`, which are due, and there are not too many rows.
pub(crate) fn months_due(state: &State, days: &[Day], now_ms: i64) -> Vec<Month> {
    let own = state.days.iter().filter(|(_, built)| built.day_file().is_some());
    let mut months: Vec<Month> = own.map(|(day, _)| Month::of(Day(*day))).collect();
    months.dedup();
    months.retain(|month| {
        let built: Vec<&DayState> =
            state.days.range(month.first().0..=month.last().0).map(|(_, built)| built).collect();
        let files: Vec<u64> =
            built.iter().filter_map(|built| built.day_file()).map(|file| file.rows).collect();
        now_ms.saturating_sub(month.last().end_ms()) >= MONTH_GRACE_MS
            && state.together(month.first()).is_none()
            && files.len() >= MONTH_FILES_MIN
            && files.iter().sum::<u64>() <= MONTH_ROWS_MAX
            && state
                .days
                .range(month.first().0..=month.last().0)
                .all(|(day, built)| !built.outdated || !state.has_raw(Day(*day)))
            && days.iter().all(|day| Month::of(*day) != *month)
    });
    months
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{DayState, FileEntry, Tier};

    const HOUR_MS: i64 = 3_600_000;

    fn range(from_hour: i64, to_hour: i64) -> TimeRange {
        TimeRange::new(from_hour * HOUR_MS + 1, to_hour * HOUR_MS)
    }

    fn state(days: &[(i64, bool)]) -> State {
        let file = FileEntry {
            tier: Tier::Day,
            bytes: 1,
            crc32: 0,
            rows: 1,
            series: 1,
            min_ts: 0,
            max_ts: 0,
        };
        let built = |outdated| DayState {
            revision: 1,
            outdated,
            deleted: false,
            cut: Vec::new(),
            files: vec![file.clone()],
        };
        State {
            days: days.iter().map(|(day, outdated)| (*day, built(*outdated))).collect(),
            ..State::default()
        }
    }

    fn days(blocks: &[TimeRange], head: Option<TimeRange>, state: &State, now_h: i64) -> Vec<i64> {
        due(blocks, head, state, now_h * HOUR_MS).iter().map(|day| day.0).collect()
    }

    #[test]
    fn a_day_is_due_an_hour_after_its_end() {
        let blocks = [range(0, 30)];
        let none = State::default();
        assert_eq!(days(&blocks, None, &none, 24), [] as [i64; 0]);
        assert_eq!(days(&blocks, None, &none, 25), [0]);
        assert_eq!(days(&blocks, None, &none, 49), [0, 1]);
        assert_eq!(days(&[], None, &none, 49), [] as [i64; 0]);
    }

    #[test]
    fn samples_in_memory_are_waited_for_but_not_for_ever() {
        let blocks = [range(0, 23)];
        let none = State::default();
        assert_eq!(days(&blocks, Some(range(23, 25)), &none, 25), [] as [i64; 0]);
        assert_eq!(days(&blocks, Some(range(24, 25)), &none, 25), [0]);
        assert_eq!(days(&blocks, Some(range(23, 25)), &none, 31), [0]);
    }

    #[test]
    fn what_is_built_is_due_again_when_it_is_outdated() {
        let blocks = [range(0, 96)];
        assert_eq!(days(&blocks, None, &state(&[(0, false), (1, true), (2, false)]), 98), [1, 3]);
        let mut gone = state(&[(0, true), (1, true)]);
        gone.raw_gone = Some(Day(0));
        assert_eq!(days(&blocks, None, &gone, 50), [1]);
        assert_eq!(days(&[], None, &state(&[(0, true)]), 50), [0], "all of it was deleted");
    }

    #[test]
    fn a_month_is_put_together_when_it_has_settled() {
        let first = Month::of(Day(0)).first().0;
        let last = Month::of(Day(0)).last();
        let now_ms = last.end_ms() + MONTH_GRACE_MS;
        let months = |state: &State, days: &[Day], now_ms: i64| months_due(state, days, now_ms);
        let whole: Vec<(i64, bool)> = (first..=last.0 + 3).map(|day| (day, false)).collect();
        let mut all = state(&whole);
        assert_eq!(months(&all, &[], now_ms), [Month::of(Day(0))], "the next one is not over");
        assert_eq!(months(&all, &[], now_ms - 1), []);
        assert_eq!(months(&all, &[last], now_ms), [], "a day is due");
        assert_eq!(months(&all, &[last.next()], now_ms).len(), 1);
        assert_eq!(months(&state(&whole[..1]), &[], now_ms), [], "one file is one file");
        assert_eq!(months(&state(&whole[3..9]), &[], now_ms).len(), 1, "days without samples");
        if let Some(built) = all.days.get_mut(&first) {
            built.outdated = true;
        }
        assert_eq!(months(&all, &[], now_ms), []);
        let mut large = state(&whole);
        if let Some(file) = large.days.get_mut(&first).and_then(|built| built.files.first_mut()) {
            file.rows = MONTH_ROWS_MAX;
        }
        assert_eq!(months(&large, &[], now_ms), []);
    }

    #[test]
    fn a_block_of_all_times_is_no_endless_list() {
        let all = due(&[TimeRange::ALL], None, &State::default(), 0);
        assert!(all.len() < 1_000_000);
        assert_eq!(all.last(), Some(&Day(-2)));
    }
}
