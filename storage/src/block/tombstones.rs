//! Deleted intervals of a block's series.

use std::collections::BTreeMap;
use std::path::Path;

use super::sealing::SealingFile;
use super::{TOMBSTONES_FILE, UNFINISHED};
use crate::codec::{Malformed, Reader, crc32, put_ivarint, put_uvarint};
use crate::disk::Disk;
use crate::error::{Corruption, Error, Result};
use crate::model::{SeriesData, SeriesOrd, TimeRange};

/// First bytes of a tombstones file.
pub const TOMBSTONES_MAGIC: &[u8; 8] = b"NINESTMB";
/// Version of the layout.
pub const TOMBSTONES_VERSION: u32 = 1;

/// Which intervals of which series are deleted. Per series the intervals ascend and do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u32, Vec<TimeRange>>);

impl Tombstones {
    /// Whether nothing is deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of series with deleted intervals.
    #[must_use]
    pub fn n_series(&self) -> u64 {
        self.0.len() as u64
    }

    /// The deleted intervals of a series.
    #[must_use]
    pub fn of(&self, ord: SeriesOrd) -> &[TimeRange] {
        self.0.get(&ord.0).map_or(&[], Vec::as_slice)
    }

    /// Deletes an interval; empty intervals are left out.
    pub fn add(&mut self, ord: SeriesOrd, deleted: TimeRange) {
        if deleted.max < deleted.min {
            return;
        }
        let intervals = self.0.entry(ord.0).or_default();
        let mut merged = deleted;
        intervals.retain(|have| {
            let touches = have.min <= merged.max.saturating_add(1)
                && merged.min <= have.max.saturating_add(1);
            if touches {
                merged = merged.hull(have);
            }
            !touches
        });
        let at = intervals.partition_point(|have| have.min < merged.min);
        intervals.insert(at, merged);
    }

    /// Removes the deleted samples of a series from `out`, of which the first `n_floats` and
    /// `n_histograms` belong to somebody else.
    pub(super) fn apply(
        &self,
        ord: SeriesOrd,
        out: &mut SeriesData,
        n_floats: usize,
        n_histograms: usize,
    ) {
        let intervals = self.of(ord);
        if intervals.is_empty() {
            return;
        }
        let deleted = |ts: i64| {
            let at = intervals.partition_point(|interval| interval.max < ts);
            intervals.get(at).is_some_and(|interval| interval.min <= ts)
        };
        let has_starts = !out.start_ts.is_empty();
        let mut kept = n_floats;
        for at in n_floats..out.ts.len() {
            if out.ts.get(at).is_some_and(|ts| !deleted(*ts)) {
                out.ts.swap(kept, at);
                out.values.swap(kept, at);
                if has_starts {
                    out.start_ts.swap(kept, at);
                }
                kept += 1;
            }
        }
        out.ts.truncate(kept);
        out.values.truncate(kept);
        out.start_ts.truncate(kept);
        let mut at = 0;
        out.histograms.retain(|(ts, _)| {
            at += 1;
            at <= n_histograms || !deleted(*ts)
        });
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = TOMBSTONES_MAGIC.to_vec();
        out.extend_from_slice(&TOMBSTONES_VERSION.to_le_bytes());
        put_uvarint(&mut out, self.0.len() as u64);
        for (ord, intervals) in &self.0 {
            put_uvarint(&mut out, u64::from(*ord));
            put_uvarint(&mut out, intervals.len() as u64);
            for interval in intervals {
                put_ivarint(&mut out, interval.min);
                put_ivarint(&mut out, interval.max);
            }
        }
        let sum = crc32(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |offset: usize, what| Error::from(Corruption::new(path, offset as u64, what));
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(bad(0, "tombstones too short"));
        };
        if crc32(body) != u32::from_le_bytes(*sum) {
            return Err(bad(body.len(), "tombstones checksum"));
        }
        let malformed = |cause: Malformed| Error::from(Corruption::malformed(path, 0, cause));
        let mut reader = Reader::new(body);
        let magic = reader.take(TOMBSTONES_MAGIC.len(), "tombstones magic").map_err(malformed)?;
        let version = reader.u32("tombstones version").map_err(malformed)?;
        if magic != TOMBSTONES_MAGIC || version != TOMBSTONES_VERSION {
            return Err(bad(0, "tombstones magic or version"));
        }
        Self::decode_body(&mut reader).map_err(malformed)
    }

    fn decode_body(reader: &mut Reader<'_>) -> std::result::Result<Self, Malformed> {
        let mut all = Self::default();
        for _ in 0..reader.count(2, "tombstones series")? {
            let ord = SeriesOrd(reader.uvarint32("tombstones series")?);
            for _ in 0..reader.count(2, "tombstones intervals")? {
                let min = reader.ivarint("tombstones interval")?;
                let max = reader.ivarint("tombstones interval")?;
                all.add(ord, TimeRange::new(min, max));
            }
        }
        Ok(all)
    }

    /// The tombstones of the block `dir`; none when there is no file.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let path = dir.join(TOMBSTONES_FILE);
        if !disk.exists(&path)? {
            return Ok(Self::default());
        }
        // Read, not mapped: the file is replaced by the next deletion.
        Self::decode(&disk.read(&path)?, &path)
    }

    /// Replaces the tombstones of the block `dir`; durable on return.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let path = dir.join(TOMBSTONES_FILE);
        let unfinished = dir.join(format!("{TOMBSTONES_FILE}{UNFINISHED}"));
        if disk.exists(&unfinished)? {
            disk.remove_file(&unfinished)?;
        }
        let mut file = SealingFile::create(disk, &unfinished)?;
        file.write(&self.encode())?;
        file.seal()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_dir(dir)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn intervals_merge_where_they_touch() {
        let mut all = Tombstones::default();
        let ord = SeriesOrd(3);
        for (min, max) in [(10, 20), (40, 50), (21, 25), (60, 55), (0, 5)] {
            all.add(ord, TimeRange::new(min, max));
        }
        let ranges = |of: &[(i64, i64)]| {
            of.iter().map(|(min, max)| TimeRange::new(*min, *max)).collect::<Vec<_>>()
        };
        assert_eq!(all.of(ord), ranges(&[(0, 5), (10, 25), (40, 50)]));
        all.add(ord, TimeRange::new(6, 39));
        assert_eq!(all.of(ord), ranges(&[(0, 50)]));
        all.add(ord, TimeRange::ALL);
        assert_eq!(all.of(ord), [TimeRange::ALL]);
        let path = Path::new("tombstones");
        assert_eq!(Tombstones::decode(&all.encode(), path).unwrap(), all);
    }
}
