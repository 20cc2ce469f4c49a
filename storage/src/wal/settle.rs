//! The first writes after a replay: the log that was read becomes durable before anything is added to it.

use std::path::Path;

use super::format::FILE_HEADER_BYTES;
use super::replay::Replayed;
use super::segment::segment_path;
use crate::disk::Disk;
use crate::error::Result;

/// Makes what was replayed durable: a killed process may have left it in memory only, and a sync that
/// failed may have left it there marked as written, so the bytes are written once more.
pub(super) fn settle(disk: &dyn Disk, dir: &Path, replayed: &mut Replayed) -> Result<()> {
    for path in &replayed.files.temporary {
        disk.remove_file(path)?;
    }
    for number in &replayed.blank {
        disk.remove_file(&segment_path(dir, *number))?;
    }
    replayed.firsts.retain(|(number, _)| !replayed.blank.contains(number));
    for unproven in &replayed.unproven {
        let path = segment_path(dir, unproven.number);
        let len = usize::try_from(unproven.to - unproven.from).unwrap_or(usize::MAX);
        let bytes = disk.read_range(&path, unproven.from, len)?;
        let head = disk.read_range(&path, 0, FILE_HEADER_BYTES)?;
        let file = disk.open_write(&path)?;
        file.write_at(0, &head)?;
        file.write_at(unproven.from, &bytes)?;
        file.sync_all()?;
    }
    disk.sync_dir(dir)
}
