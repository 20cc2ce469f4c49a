//! Files that the object store has: which, and how they come back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::document::{FileOf, Record, listed, path_of};
use super::objects::{Keys, Objects, missing};
use crate::disk::Disk;
use crate::error::{Corruption, Error, Result};
use crate::history::Part;
use crate::history::commit::FileEntry;

/// Bytes asked for at a time.
const PART_BYTES: u64 = 8 << 20;

/// What the store holds, and the files of it.
pub(super) struct Held {
    pub(super) record: Record,
    files: BTreeMap<String, FileOf>,
}

/// See the module.
pub(in crate::history) struct Away {
    record_path: PathBuf,
    held: RwLock<Arc<Held>>,
    source: OnceLock<(Arc<dyn Objects>, Keys)>,
    /// One file comes at a time, and once.
    fetching: Mutex<()>,
}

impl Away {
    /// Reads the record in the folder of the commits' folder.
    pub(in crate::history) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self> {
        let record_path = dir.join("published.json");
        let record = Record::load(disk, &record_path)?;
        let files = listed(&record.state);
        Ok(Self {
            record_path,
            held: RwLock::new(Arc::new(Held { record, files })),
            source: OnceLock::new(),
            fetching: Mutex::default(),
        })
    }

    pub(super) fn connect(&self, objects: Arc<dyn Objects>, keys: Keys) {
        // The first one stays: there is one call.
        let _ = self.source.set((objects, keys));
    }

    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read())
    }

    /// Makes another record the one that counts; durable on return.
    pub(super) fn keep(&self, disk: &dyn Disk, record: Record) -> Result<()> {
        record.save(disk, &self.record_path)?;
        let files = listed(&record.state);
        *self.held.write() = Arc::new(Held { record, files });
        Ok(())
    }

    /// Whether the store holds this file.
    pub(in crate::history) fn holds(&self, part: Part, entry: &FileEntry) -> bool {
        let held = self.held();
        held.files.get(&path_of(part, entry)).is_some_and(|file| file.is(entry))
    }

    /// Fetches a file to `unfinished` unless it is at `path`; `put` gives it that name once it is whole, durable and
    /// verified.
    pub(in crate::history) fn fetch(
        &self,
        disk: &dyn Disk,
        part: Part,
        entry: &FileEntry,
        unfinished: &Path,
        path: &Path,
        put: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let Some((objects, keys)) = self.source.get() else {
            let cause = io::Error::new(
                io::ErrorKind::NotFound,
                "the file is in the object store only: name it with --history.url",
            );
            return Err(Error::io("open", path, cause));
        };
        let _fetching = self.fetching.lock();
        if disk.exists(path)? {
            return Ok(());
        }
        let inside = path_of(part, entry);
        // It waits for its place, or is there; or comes to its place meanwhile.
        let places = [
            keys.staged(&inside, entry.crc32),
            keys.file(&inside),
            keys.staged(&inside, entry.crc32),
        ];
        let mut answer = Err(missing(&keys.file(&inside)));
        for key in places {
            match copy_here(&**objects, &key, disk, unfinished, entry) {
                Err(Error::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                // Of another revision, or damaged.
                Err(Error::Corrupt(cause)) => answer = Err(cause.into()),
                other => {
                    answer = other;
                    break;
                }
            }
        }
        answer?;
        put()
    }
}

/// Writes an object to a file, if it is what `entry` tells.
fn copy_here(
    objects: &dyn Objects,
    key: &str,
    disk: &dyn Disk,
    to: &Path,
    entry: &FileEntry,
) -> Result<()> {
    if disk.exists(to)? {
        disk.remove_file(to)?;
    }
    let bad = |what| Error::from(Corruption::new(Path::new(key), 0, what));
    let (mut at, mut sum, mut file) = (0, crc32fast::Hasher::new(), None);
    while at < entry.bytes {
        let wanted = PART_BYTES.min(entry.bytes - at);
        let part = objects.get_range(key, at, wanted)?.ok_or_else(|| missing(key))?;
        if part.len() as u64 != wanted {
            return Err(bad("length of a history file"));
        }
        sum.update(&part);
        let file = match &file {
            Some(file) => file,
            None => file.insert(disk.create(to)?),
        };
        file.write_at(at, &part)?;
        at += wanted;
    }
    if sum.finalize() != entry.crc32 {
        return Err(bad("checksum of a history file"));
    }
    file.map_or(Ok(()), |file| file.sync_all())
}
