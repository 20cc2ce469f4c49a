//! What is written to the object store beside the files, and what is remembered of it here.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::codec::crc32;
use crate::disk::{Disk, parent_of};
use crate::error::{Corruption, Error, Result};
use crate::history::commit::{Change, Commit, FileEntry, State, decode, encode};
use crate::history::{HISTORY_VERSION, Part};

/// Commits of the store after which one holds the whole state.
pub const STATE_EVERY: u64 = 64;
/// Bytes of a commit of the store at most: that of a hundred thousand days takes a tenth.
pub const DOCUMENT_BYTES_MAX: u64 = 1 << 30;

/// What a commit of the store does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Content {
    /// The changes of all commits since the one before.
    Changes(Vec<Change>),
    /// All commits so far, as one.
    State(State),
}

/// A commit of the store: one or more commits of the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Version of the layout.
    pub(super) version: u32,
    /// Its number in the store: counted up from 1.
    pub(super) place: u64,
    /// The last commit of the data directory that is in it.
    pub(super) number: u64,
    pub(super) content: Content,
}

impl Document {
    pub(super) fn decode(bytes: &[u8], key: &str, place: u64) -> Result<Self> {
        let path = Path::new(key);
        let bad = |what| Error::from(Corruption::new(path, 0, what));
        let document: Self = decode(bytes, path)?;
        if document.version != HISTORY_VERSION {
            return Err(bad("version of the history is not known"));
        }
        if document.place != place {
            return Err(bad("number of a commit of the object store"));
        }
        Ok(document)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Takes it into the state that was there before it.
    pub(super) fn apply(self, state: &mut State) {
        match self.content {
            Content::State(all) => *state = all,
            Content::Changes(changes) => {
                let Self { version, number, .. } = self;
                state.apply(&Commit { version, number, changes });
            }
        }
    }
}

/// What the store holds, as far as this data directory knows for sure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Version of the layout.
    pub(super) version: u32,
    /// The last commit in the store; 0 before the first.
    pub(super) place: u64,
    /// Checksum of its bytes.
    pub(super) crc32: u32,
    /// The history as the store has it.
    pub(super) state: State,
    /// Paths that still hold what this commit has superseded.
    pub(super) superseded: Vec<String>,
}

impl Record {
    pub(super) fn load(disk: &dyn Disk, path: &Path) -> Result<Self> {
        if !disk.exists(path)? {
            return Ok(Self::default());
        }
        let record: Self = decode(&disk.read(path)?, path)?;
        if record.version != HISTORY_VERSION {
            return Err(Corruption::new(path, 0, "version of the history is not known").into());
        }
        Ok(record)
    }

    pub(super) fn save(&self, disk: &dyn Disk, path: &Path) -> Result<()> {
        replace(disk, path, &encode(self))
    }

    /// The record after `document`, whose bytes these are.
    pub(super) fn after(&self, document: Document, bytes: &[u8]) -> Self {
        let mut state = self.state.clone();
        let place = document.place;
        document.apply(&mut state);
        let (old, new) = (listed(&self.state), listed(&state));
        let same = |path: &String, file: &FileOf| new.get(path).is_some_and(|f| f.is(&file.entry));
        let mut superseded = self.superseded.clone();
        superseded.extend(old.iter().filter(|(p, f)| !same(p, f)).map(|(path, _)| path.clone()));
        superseded.sort_unstable();
        superseded.dedup();
        Self { version: HISTORY_VERSION, place, crc32: crc32(bytes), state, superseded }
    }
}

/// A file of a state, and whose it is.
#[derive(Debug, Clone)]
pub(super) struct FileOf {
    pub(super) part: Part,
    pub(super) revision: u32,
    pub(super) entry: FileEntry,
}

impl FileOf {
    /// Whether the bytes are the same.
    pub(super) const fn is(&self, entry: &FileEntry) -> bool {
        self.entry.bytes == entry.bytes && self.entry.crc32 == entry.crc32
    }
}

/// The files of a state by their paths.
pub(super) fn listed(state: &State) -> BTreeMap<String, FileOf> {
    let file = |(part, revision, entry): (Part, u32, &FileEntry)| {
        (path_of(part, entry), FileOf { part, revision, entry: entry.clone() })
    };
    state.files().map(file).collect()
}

/// The path of a file as it stands in a key.
pub(super) fn path_of(part: Part, entry: &FileEntry) -> String {
    entry.path(part).to_string_lossy().into_owned()
}

/// Puts a small file in the place of another; durable on return.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("json.tmp");
    if disk.exists(&unfinished)? {
        disk.remove_file(&unfinished)?;
    }
    let file = disk.create(&unfinished)?;
    file.write_at(0, bytes)?;
    file.sync_all()?;
    disk.rename(&unfinished, path)?;
    disk.sync_dir(parent_of(path))
}
