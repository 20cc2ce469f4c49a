//! Names and making of the log's files.

use std::path::{Path, PathBuf};

use super::SegmentNumber;
use crate::disk::{Disk, DiskFile};
use crate::error::Result;

const CHECKPOINT_PREFIX: &str = "checkpoint.";
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// `00000017`
pub(super) fn segment_path(dir: &Path, number: SegmentNumber) -> PathBuf {
    dir.join(format!("{number:08}"))
}

/// `checkpoint.00000017`
pub(super) fn checkpoint_path(dir: &Path, number: SegmentNumber) -> PathBuf {
    dir.join(format!("{CHECKPOINT_PREFIX}{number:08}"))
}

/// What the directory holds, ascending.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: Vec<SegmentNumber>,
    pub(super) checkpoints: Vec<SegmentNumber>,
    /// Left over from a checkpoint that was not finished.
    pub(super) temporary: Vec<PathBuf>,
}

fn number_of(digits: &str) -> Option<SegmentNumber> {
    let plain = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

impl Files {
    /// Lists `dir`; nothing if it does not exist.
    pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let mut files = Self::default();
        if !disk.exists(dir)? {
            return Ok(files);
        }
        for entry in disk.list_dir(dir)?.into_iter().filter(|entry| !entry.is_dir) {
            let name = entry.name.as_str();
            if name.ends_with(TEMPORARY_SUFFIX) {
                files.temporary.push(dir.join(name));
            } else if let Some(number) = number_of(name) {
                files.segments.push(number);
            } else if let Some(number) = name.strip_prefix(CHECKPOINT_PREFIX).and_then(number_of) {
                files.checkpoints.push(number);
            }
        }
        files.segments.sort_unstable();
        files.checkpoints.sort_unstable();
        Ok(files)
    }

    /// A number above all that were ever seen here.
    pub(super) fn next_number(&self) -> SegmentNumber {
        let last = |numbers: &[SegmentNumber]| numbers.last().copied().unwrap_or(0);
        last(&self.segments).max(last(&self.checkpoints)) + 1
    }
}

/// A segment file: reserved, empty, its name durable.
pub(super) struct Segment {
    pub(super) number: SegmentNumber,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) bytes: u64,
}

/// Makes a segment. When that fails nothing of it is left, as far as the disk lets us.
pub(super) fn make_segment(
    disk: &dyn Disk,
    dir: &Path,
    number: SegmentNumber,
    bytes: u64,
) -> Result<Segment> {
    let path = segment_path(dir, number);
    let file = disk.create(&path)?;
    let reserve = || {
        file.preallocate(bytes)?;
        file.sync_all()?;
        // Without this the whole segment, synced or not, may be gone after a power cut.
        disk.sync_dir(dir)
    };
    if let Err(cause) = reserve() {
        drop(file);
        if let Err(left) = disk.remove_file(&path) {
            tracing::warn!(%left, "an unfinished log segment stays behind");
        }
        return Err(cause);
    }
    Ok(Segment { number, file, bytes })
}
