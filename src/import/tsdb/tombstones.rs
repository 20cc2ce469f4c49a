//! What was deleted in a block.

use std::collections::BTreeMap;
use std::path::Path;

use nines_storage::codec::{Malformed, Reader};
use nines_storage::model::{SeriesData, TimeRange};

use super::super::castagnoli::crc32c;
use super::super::error::{ImportError, Result};
use super::super::file::SourceFile;

const MAGIC: [u8; 4] = [0x01, 0x30, 0xba, 0x30];
const VERSION: u8 = 1;
/// Longest file of tombstones, which is held in memory.
const BYTES_MAX: u64 = 256 << 20;

/// Deleted times by series.
#[derive(Debug, Default)]
pub(super) struct Tombstones(BTreeMap<u64, Vec<TimeRange>>);

impl Tombstones {
    /// Reads the file at `path`; without one nothing was deleted.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let file = SourceFile::open(path)?;
        if file.len() > BYTES_MAX {
            let what = format!(
                "{} bytes of tombstones, limit {BYTES_MAX}: let Prometheus clean them first (/api/v1/admin/tsdb/clean_tombstones)",
                file.len()
            );
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
        Self::parse(stones).map_err(|cause| ImportError::malformed(path, 5, cause))
    }

    pub(super) fn parse(stones: &[u8]) -> std::result::Result<Self, Malformed> {
        let mut reader = Reader::new(stones);
        let mut all = Self::default();
        while !reader.is_empty() {
            let series = reader.uvarint("series of a tombstone")?;
            let min = reader.ivarint("time of a tombstone")?;
            let max = reader.ivarint("time of a tombstone")?;
            all.0.entry(series).or_default().push(TimeRange::new(min, max));
        }
        Ok(all)
    }

    /// Removes from `data` what was deleted of the series.
    pub(super) fn apply(&self, series: u64, data: &mut SeriesData) {
        let Some(deleted) = self.0.get(&series) else { return };
        let gone = |ts: i64| deleted.iter().any(|range| range.contains(ts));
        let mut at = 0;
        data.values.retain(|_| {
            at += 1;
            data.ts.get(at - 1).is_some_and(|ts| !gone(*ts))
        });
        data.ts.retain(|ts| !gone(*ts));
        data.histograms.retain(|(ts, _)| !gone(*ts));
    }
}
