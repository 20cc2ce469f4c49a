//! Making room: files that the object store holds go from the data directory, the oldest days first.

use super::document::{FileOf, listed};
use crate::disk::parent_of;
use crate::error::Result;
use crate::history::{Day, History, Part};

impl History {
    /// Removes files that the store holds until those here take `max` bytes. They come back when they are read.
    pub(super) fn shed(&self, max: u64) -> Result<()> {
        // Before the state: who is about to put another revision in a file's place has told the state.
        let _moving = self.files.moving.lock();
        let state = self.state();
        let (mut total, mut sheddable) = (0u64, Vec::new());
        for file in listed(&state).into_values() {
            let FileOf { part, revision, entry } = file;
            if self.files.is_there(part, revision, &entry)? {
                total = total.saturating_add(entry.bytes);
                let path = self.files.locate(part, revision, &entry)?;
                let placed = path == self.dir.join(entry.path(part));
                if placed && self.files.away.holds(part, &entry) {
                    sheddable.push((last_day(part), entry.bytes, path));
                }
            }
        }
        sheddable.sort_unstable();
        for (_, bytes, path) in sheddable {
            if total <= max {
                break;
            }
            self.disk.remove_file(&path)?;
            self.disk.sync_dir(parent_of(&path))?;
            total -= bytes;
        }
        Ok(())
    }
}

/// A file is as old as its latest rows.
const fn last_day(part: Part) -> Day {
    match part {
        Part::Day(day) => day,
        Part::Month(month) => month.last(),
    }
}
