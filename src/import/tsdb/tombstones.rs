//! What was deleted in a block.

use std::path::Path;

use nines_storage::codec::{Malformed, Reader};
use nines_storage::model::SeriesData;

use super::super::castagnoli::crc32c;
use super::super::error::{ImportError, Result};
use super::super::file::SourceFile;

const MAGIC: [u8; 4] = [0x01, 0x30, 0xba, 0x30];
const VERSION: u8 = 1;
/// Longest file of tombstones, which is held in memory while it is read.
const BYTES_MAX: u64 = 256 << 20;
/// Most deleted times, those of one series that touch counted as one: 192 MiB of memory, and twice that while they are
/// read.
const STONES_MAX: usize = 8 << 20;
/// How many are collected before the first of them are put together.
const COLLECTED_MAX: usize = 1 << 18;

const CLEAN: &str = "let Prometheus clean them first (/api/v1/admin/tsdb/clean_tombstones)";

/// A deleted time of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stone {
    series: u64,
    min: i64,
    max: i64,
}

/// Deleted times, ascending; those of one series do not touch.
#[derive(Debug, Default)]
pub(super) struct Tombstones(Vec<Stone>);

impl Tombstones {
    /// Reads the file at `path`; without one nothing was deleted.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let file = SourceFile::open(path)?;
        if file.len() > BYTES_MAX {
            let what = format!("{} bytes of tombstones, limit {BYTES_MAX}: {CLEAN}", file.len());
            return Err(ImportError::unsupported(path, what));
        }
        let mut bytes = Vec::new();
        file.read(0, usize::try_from(file.len()).unwrap_or(0), &mut bytes)?;
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(ImportError::damaged(path, 0, "the tombstones are too short"));
        };
        let Some((magic, checked)) = body.split_first_chunk::<4>() else {
            return Err(ImportError::damaged(path, 0, "the tombstones are too short"));
        };
        if *magic != MAGIC || checked.first() != Some(&VERSION) {
            return Err(ImportError::damaged(path, 0, "these are no tombstones"));
        }
        // The version is inside of the checksum or not, as the writer had it.
        let stones = checked.get(1..).unwrap_or_default();
        if [checked, stones].iter().all(|bytes| crc32c(bytes).to_be_bytes() != *sum) {
            return Err(ImportError::damaged(path, 5, "checksum of the tombstones"));
        }
        let read = Self::parse(stones).map_err(|cause| ImportError::malformed(path, 5, cause))?;
        read.ok_or_else(|| {
            let what = format!("more than {STONES_MAX} deleted times: {CLEAN}");
            ImportError::unsupported(path, what)
        })
    }

    /// `None` when they are too many.
    pub(super) fn parse(stones: &[u8]) -> std::result::Result<Option<Self>, Malformed> {
        Self::read(stones, STONES_MAX)
    }

    fn read(stones: &[u8], most: usize) -> std::result::Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(stones);
        let (mut all, mut apart) = (Vec::new(), 0);
        while !reader.is_empty() {
            let series = reader.uvarint("series of a tombstone")?;
            let min = reader.ivarint("time of a tombstone")?;
            let max = reader.ivarint("time of a tombstone")?;
            if min <= max {
                all.push(Stone { series, min, max });
            }
            if all.len() >= COLLECTED_MAX.max(2 * apart) {
                put_together(&mut all);
                apart = all.len();
                if apart > most {
                    return Ok(None);
                }
            }
        }
        put_together(&mut all);
        Ok((all.len() <= most).then_some(Self(all)))
    }

    /// Removes what was deleted of the series from `data`: from its floats and histograms behind the first ones.
    pub(super) fn apply(
        &self,
        series: u64,
        data: &mut SeriesData,
        floats: usize,
        histograms: usize,
    ) {
        let begin = self.0.partition_point(|stone| stone.series < series);
        let rest = self.0.get(begin..).unwrap_or_default();
        let own = rest.partition_point(|stone| stone.series == series);
        let own = rest.get(..own).unwrap_or_default();
        if own.is_empty() {
            return;
        }
        let gone = |ts: i64| {
            let at = own.partition_point(|stone| stone.max < ts);
            own.get(at).is_some_and(|stone| stone.min <= ts)
        };
        let mut kept = floats;
        for at in floats..data.ts.len() {
            if data.ts.get(at).is_some_and(|ts| !gone(*ts)) {
                data.ts.swap(kept, at);
                data.values.swap(kept, at);
                kept += 1;
            }
        }
        data.ts.truncate(kept);
        data.values.truncate(kept);
        let mut at = 0;
        data.histograms.retain(|(ts, _)| {
            at += 1;
            at <= histograms || !gone(*ts)
        });
    }
}

/// Sorts deleted times, and makes one of those of a series that touch.
fn put_together(stones: &mut Vec<Stone>) {
    stones.sort_unstable();
    stones.dedup_by(|next, before| {
        let touch = next.series == before.series && next.min <= before.max.saturating_add(1);
        if touch {
            before.max = before.max.max(next.max);
        }
        touch
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nines_storage::codec::{put_ivarint, put_uvarint};

    use super::*;

    fn bytes(stones: impl IntoIterator<Item = (u64, i64, i64)>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (series, min, max) in stones {
            put_uvarint(&mut bytes, series);
            put_ivarint(&mut bytes, min);
            put_ivarint(&mut bytes, max);
        }
        bytes
    }

    #[test]
    fn times_that_touch_are_one() {
        let stones = [(2, 5, 9), (1, 3, 4), (2, 0, 1), (2, 2, 2), (2, 6, 7), (2, 9, 8), (3, 1, 0)];
        let often = std::iter::repeat_n(stones, COLLECTED_MAX / 2).flatten();
        let read = Tombstones::parse(&bytes(often)).unwrap().unwrap();
        let own = read.0.iter().map(|stone| (stone.series, stone.min, stone.max));
        assert_eq!(own.collect::<Vec<_>>(), [(1, 3, 4), (2, 0, 2), (2, 5, 9)]);
        assert!(read.0.capacity() <= 2 * COLLECTED_MAX, "{}", read.0.capacity());

        let ends = [(1, i64::MIN, i64::MIN), (1, 7, i64::MAX), (1, i64::MAX, i64::MAX)];
        assert_eq!(Tombstones::parse(&bytes(ends)).unwrap().unwrap().0.len(), 2);
    }

    #[test]
    fn deleted_samples_go_and_those_before_stay() {
        let stones = Tombstones::parse(&bytes([(7, 2, 3), (7, 6, 6), (8, 0, 9)])).unwrap().unwrap();
        let ts: Vec<i64> = [2, 3].into_iter().chain(0..8).collect();
        let values: Vec<f64> = (0..10).map(f64::from).collect();
        let whole = SeriesData { ts, values, ..SeriesData::default() };
        let mut data = whole.clone();
        stones.apply(7, &mut data, 2, 0);
        assert_eq!(data.ts, [2, 3, 0, 1, 4, 5, 7]);
        assert_eq!(data.values, [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 9.0]);
        let mut data = whole;
        stones.apply(6, &mut data, 2, 0);
        assert_eq!(data.ts.len(), 10);
        stones.apply(8, &mut data, 0, 0);
        assert!(data.is_empty() && data.values.is_empty());
    }

    #[test]
    fn too_many_deleted_times_are_refused() {
        for most in [1000, COLLECTED_MAX, COLLECTED_MAX + 1000] {
            let many = bytes((0..=most as u64).map(|series| (series, 0, 0)));
            assert!(Tombstones::read(&many, most + 1).unwrap().is_some());
            assert!(Tombstones::read(&many, most).unwrap().is_none());
        }
    }
}
