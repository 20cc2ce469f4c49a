//! Chooses the timestamp columns of a page: one main column that most series share, wholly or in part, and
//! columns of their own for lists of timestamps that do not fit it, each list once.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::ints::IntEncoder;
use super::{WINDOW_SLOTS_MAX, timestamps};

/// Lists by which the main column may be widened: those with most samples.
const MERGED_LISTS_MAX: usize = 64;
/// About what a head byte and a run cost an entry, in bytes.
const RUN_LEN: usize = 4;
/// About what a head byte and a column number cost an entry, in bytes.
const COLUMN_NUMBER_LEN: usize = 2;
/// About what the directory spends on a column, in bytes.
const COLUMN_LEN: usize = 4;

/// A distinct list of timestamps.
#[derive(Debug)]
struct List {
    begin: usize,
    len: usize,
    /// Entries that have exactly these timestamps.
    users: usize,
    /// Length as a column of its own.
    encoded_len: usize,
}

/// The distinct lists of timestamps of a page in the making.
#[derive(Debug, Default)]
pub(super) struct TimestampLists {
    timestamps: Vec<i64>,
    lists: Vec<List>,
    by_content: HashTable<u32>,
    hasher: DefaultHashBuilder,
    measure: ColumnLen,
    encoded_len: usize,
    last: u32,
}

/// The chosen columns.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The columns; number 0 is the main one.
    pub(super) columns: Vec<Vec<i64>>,
    /// The column of each list.
    pub(super) of_list: Vec<u32>,
}

impl TimestampLists {
    pub(super) fn clear(&mut self) {
        self.timestamps.clear();
        self.lists.clear();
        self.by_content.clear();
        self.encoded_len = 0;
        self.last = 0;
    }

    /// Notes a use of `ts` (at most [`WINDOW_SLOTS_MAX`], strictly ascending) and returns the number of its list.
    pub(super) fn add(&mut self, ts: &[i64]) -> u32 {
        // Neighbours mostly share their timestamps: compare before hashing.
        if self.lists.get(self.last as usize).is_none_or(|list| self.slice(list) != ts) {
            self.last = self.find_or_insert(ts);
        }
        if let Some(list) = self.lists.get_mut(self.last as usize) {
            list.users += 1;
        }
        self.last
    }

    fn find_or_insert(&mut self, ts: &[i64]) -> u32 {
        let hash = self.hasher.hash_one(ts);
        let equal = |number: &u32| {
            self.lists.get(*number as usize).is_some_and(|list| self.slice(list) == ts)
        };
        if let Some(number) = self.by_content.find(hash, equal) {
            return *number;
        }
        let number = self.lists.len() as u32;
        let encoded_len = self.measure.of(ts) + COLUMN_LEN;
        self.lists.push(List {
            begin: self.timestamps.len(),
            len: ts.len(),
            users: 0,
            encoded_len,
        });
        self.timestamps.extend_from_slice(ts);
        self.encoded_len += encoded_len;
        let (lists, timestamps, hasher) = (&self.lists, &self.timestamps, &self.hasher);
        let rehash = |number: &u32| {
            let list = &lists[*number as usize];
            hasher.hash_one(&timestamps[list.begin..list.begin + list.len])
        };
        self.by_content.insert_unique(hash, number, rehash);
        number
    }

    fn slice(&self, list: &List) -> &[i64] {
        &self.timestamps[list.begin..list.begin + list.len]
    }

    /// The timestamps of a list.
    pub(super) fn get(&self, number: u32) -> &[i64] {
        self.lists.get(number as usize).map_or(&[], |list| self.slice(list))
    }

    /// The bytes of all lists as columns of their own: at least what [`Self::choose`] spends.
    pub(super) fn encoded_len_max(&self) -> usize {
        self.encoded_len
    }

    /// Chooses columns: greedily, lists with most samples first, each step by what it costs in bytes.
    pub(super) fn choose(&self) -> Columns {
        let mut order: Vec<usize> = (0..self.lists.len()).collect();
        order.sort_by_key(|&number| {
            let list = &self.lists[number];
            (std::cmp::Reverse(list.users * list.len), number)
        });
        let mut of_list = vec![0u32; self.lists.len()];
        let Some(&heaviest) = order.first() else { return Columns::default() };
        let mut main = self.slice(&self.lists[heaviest]).to_vec();
        let mut longest = main.len();
        let mut in_main = vec![heaviest];
        let mut measure = ColumnLen::default();
        let mut others: Vec<Vec<i64>> = Vec::new();
        let mut union = Vec::new();
        for (rank, &number) in order.iter().enumerate().skip(1) {
            let list = &self.lists[number];
            let ts = self.slice(list);
            let own_cost = list.encoded_len + list.users * COLUMN_NUMBER_LEN;
            merge(&main, ts, &mut union);
            let extra_cost = if union.len() == main.len() {
                Some(list.users * presence_len(&main, ts))
            } else if rank < MERGED_LISTS_MAX && fits_main(union.len(), longest.max(ts.len())) {
                let longer_by = measure.of(&union).saturating_sub(measure.of(&main));
                let widened: usize = in_main
                    .iter()
                    .map(|&number| {
                        let list = &self.lists[number];
                        let ts = self.slice(list);
                        let now = presence_len(&main, ts);
                        list.users * presence_len(&union, ts).saturating_sub(now)
                    })
                    .sum();
                Some(longer_by + widened + list.users * presence_len(&union, ts))
            } else {
                None
            };
            if extra_cost.is_some_and(|cost| cost <= own_cost) {
                std::mem::swap(&mut main, &mut union);
                longest = longest.max(ts.len());
                in_main.push(number);
            } else {
                others.push(ts.to_vec());
                of_list[number] = others.len() as u32;
            }
        }
        let mut columns = vec![main];
        columns.append(&mut others);
        Columns { columns, of_list }
    }
}

/// Measures columns by encoding them.
#[derive(Debug, Default)]
struct ColumnLen {
    encoder: IntEncoder,
    encoded: Vec<u8>,
}

impl ColumnLen {
    fn of(&mut self, column: &[i64]) -> usize {
        self.encoded.clear();
        timestamps::encode(column, &mut self.encoder, &mut self.encoded);
        self.encoded.len()
    }
}

/// Whether a union of timestamps is near enough to its longest part to be one column.
const fn fits_main(union: usize, longest: usize) -> bool {
    union <= WINDOW_SLOTS_MAX && union <= longest + longest / 10 + 8
}

/// About what it costs an entry with timestamps `ts` to lie on `column`, which has them all.
fn presence_len(column: &[i64], ts: &[i64]) -> usize {
    if column.len() == ts.len() {
        return 0;
    }
    let start = ts.first().map_or(0, |first| column.partition_point(|slot| slot < first));
    let is_run = column.get(start..start + ts.len()) == Some(ts);
    if is_run { RUN_LEN } else { 2 + column.len().div_ceil(8) }
}

/// Replaces `union` by all timestamps of both, ascending.
fn merge(a: &[i64], b: &[i64], union: &mut Vec<i64>) {
    union.clear();
    let (mut a, mut b) = (a, b);
    while let (Some((first_a, rest_a)), Some((first_b, rest_b))) =
        (a.split_first(), b.split_first())
    {
        union.push(*first_a.min(first_b));
        if first_a <= first_b {
            a = rest_a;
        }
        if first_b <= first_a {
            b = rest_b;
        }
    }
    union.extend_from_slice(a);
    union.extend_from_slice(b);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn grid(range: std::ops::Range<i64>) -> Vec<i64> {
        range.map(|i| i * 15_000).collect()
    }

    fn add(lists: &mut TimestampLists, ts: &[i64], times: usize) -> u32 {
        (0..times).map(|_| lists.add(ts)).last().unwrap()
    }

    #[test]
    fn series_of_one_target_share_a_column() {
        let mut lists = TimestampLists::default();
        let all = add(&mut lists, &grid(0..120), 50);
        let late = add(&mut lists, &grid(80..120), 3);
        assert_eq!(add(&mut lists, &grid(0..120), 50), all);
        let chosen = lists.choose();
        assert_eq!(chosen.columns, [grid(0..120)]);
        assert_eq!((chosen.of_list[all as usize], chosen.of_list[late as usize]), (0, 0));
    }

    #[test]
    fn neighbouring_parts_are_joined() {
        let mut lists = TimestampLists::default();
        let uneven: Vec<i64> =
            grid(0..120).iter().map(|ts| ts + ts / 15_000 * 7919 % 5000).collect();
        let most = add(&mut lists, &uneven[..118], 3);
        let rest = add(&mut lists, &uneven[2..], 2);
        let chosen = lists.choose();
        assert_eq!(chosen.columns, [uneven]);
        assert_eq!((chosen.of_list[most as usize], chosen.of_list[rest as usize]), (0, 0));
    }

    #[test]
    fn a_stray_list_does_not_widen_the_column_of_many() {
        let mut lists = TimestampLists::default();
        add(&mut lists, &grid(0..120), 500);
        let mut stray = grid(0..120);
        stray[60] += 7;
        let number = add(&mut lists, &stray, 2);
        let chosen = lists.choose();
        assert_eq!(chosen.columns, [grid(0..120), stray]);
        assert_eq!(chosen.of_list[number as usize], 1);
    }

    #[test]
    fn timestamps_of_ones_own_are_shared_by_equal_content() {
        let mut lists = TimestampLists::default();
        let shifted = |by: i64| grid(0..120).iter().map(|ts| ts + by).collect::<Vec<_>>();
        let first = add(&mut lists, &shifted(0), 5);
        let own: Vec<u32> = (1..4).map(|by| add(&mut lists, &shifted(by), 2)).collect();
        assert_eq!(add(&mut lists, &shifted(2), 1), own[1]);
        let chosen = lists.choose();
        assert_eq!(chosen.columns.len(), 4);
        assert_eq!(chosen.of_list[first as usize], 0);
        for (by, number) in (1..4).zip(own) {
            assert_eq!(chosen.columns[chosen.of_list[number as usize] as usize], shifted(by));
        }
    }

    #[test]
    fn the_main_column_never_outgrows_a_window() {
        let mut lists = TimestampLists::default();
        add(&mut lists, &grid(0..480), 1);
        add(&mut lists, &grid(1..481), 1);
        assert!(lists.choose().columns.iter().all(|column| column.len() <= WINDOW_SLOTS_MAX));
    }
}
