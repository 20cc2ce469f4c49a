//! The commit log: numbered documents in a folder, each made whole and by one name only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::{Change, Commit, State, decode_commit, decode_state, encode};
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Corruption, Error, Result};

/// Commits after which a checkpoint is written.
pub const CHECKPOINT_COMMITS: u64 = 64;
/// Digits of a commit's name.
const DIGITS: usize = 20;
const COMMIT: &str = ".json";
const CHECKPOINT: &str = ".checkpoint.json";
const UNFINISHED: &str = ".tmp";

/// The log of one history.
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    checkpoint: u64,
    /// The folder could not be synced: what is durable is known after the next start.
    failed: bool,
}

fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl Log {
    /// Opens the log in `dir`, which is made when missing, and reads it.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(Self, State)> {
        create_dir_durable(&**disk, dir)?;
        // A commit that a crash kept from being synced is taken for one below: so it has to stay.
        disk.sync_dir(dir)?;
        let (mut commits, mut checkpoints) = (Vec::new(), Vec::new());
        for entry in disk.list_dir(dir)? {
            if entry.name.ends_with(UNFINISHED) {
                disk.remove_file(&dir.join(&entry.name))?;
            } else if let Some(number) = number_of(&entry.name, CHECKPOINT) {
                checkpoints.push(number);
            } else if let Some(number) = number_of(&entry.name, COMMIT) {
                commits.push(number);
            }
        }
        let mut log =
            Self { disk: Arc::clone(disk), dir: dir.to_owned(), checkpoint: 0, failed: false };
        let mut state = State::default();
        if let Some(newest) = checkpoints.iter().max() {
            let path = log.path(*newest, CHECKPOINT);
            state = decode_state(&disk.read(&path)?, &path, *newest)?;
            log.checkpoint = *newest;
        }
        commits.sort_unstable();
        for number in commits.into_iter().filter(|number| *number > log.checkpoint) {
            let path = log.path(number, COMMIT);
            if number != state.number + 1 {
                return Err(
                    Corruption::new(&path, 0, "a commit of the history is missing before").into()
                );
            }
            state.apply(&decode_commit(&disk.read(&path)?, &path, number)?);
        }
        // What a crash has left of removing what a checkpoint holds.
        log.remove_old()?;
        Ok((log, state))
    }

    fn path(&self, number: u64, ending: &str) -> PathBuf {
        self.dir.join(format!("{number:0digits$}{ending}", digits = DIGITS))
    }

    /// Writes the next commit; durable on return. Nobody else has its number.
    pub(super) fn append(&mut self, commit: &Commit) -> Result<()> {
        if self.failed {
            return Err(Error::Unavailable {
                why: "the commit log of the history could not be synced: restart to find what of it is on disk",
            });
        }
        self.create(&self.path(commit.number, COMMIT), &encode(commit))?;
        let synced = self.disk.sync_dir(&self.dir);
        self.failed = synced.is_err();
        synced
    }

    /// The changes of the commits behind `after` up to `last`; `None` when a checkpoint has taken one's place.
    pub(super) fn changes(&self, after: u64, last: u64) -> Result<Option<Vec<Change>>> {
        if after < self.checkpoint {
            return Ok(None);
        }
        let mut changes = Vec::new();
        for number in after + 1..=last {
            let path = self.path(number, COMMIT);
            changes.extend(decode_commit(&self.disk.read(&path)?, &path, number)?.changes);
        }
        Ok(Some(changes))
    }

    /// Makes `state`, whose number is higher than any here, what all commits so far come to.
    pub(super) fn adopt(&mut self, state: &State) -> Result<()> {
        self.create(&self.path(state.number, CHECKPOINT), &encode(state))?;
        self.disk.sync_dir(&self.dir)?;
        self.checkpoint = state.number;
        self.remove_old()
    }

    /// Gives whole bytes a name that nobody has.
    fn create(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let unfinished = self.dir.join(format!("next{UNFINISHED}"));
        if self.disk.exists(&unfinished)? {
            self.disk.remove_file(&unfinished)?;
        }
        let file = self.disk.create(&unfinished)?;
        file.write_at(0, bytes)?;
        file.sync_all()?;
        self.disk.link(&unfinished, path)?;
        // It is there under its name: an error here would have it written again under the same.
        if let Err(error) = self.disk.remove_file(&unfinished) {
            tracing::warn!(%error, "a second name of a commit stays until the next one");
        }
        Ok(())
    }

    /// Writes the state as a checkpoint when it is time, and removes what is older.
    pub(super) fn checkpoint(&mut self, state: &State) -> Result<()> {
        if self.failed || state.number < self.checkpoint + CHECKPOINT_COMMITS {
            return Ok(());
        }
        self.create(&self.path(state.number, CHECKPOINT), &encode(state))?;
        self.disk.sync_dir(&self.dir)?;
        self.checkpoint = state.number;
        self.remove_old()
    }

    /// Removes what the last checkpoint holds.
    fn remove_old(&self) -> Result<()> {
        for entry in self.disk.list_dir(&self.dir)? {
            let commit = number_of(&entry.name, COMMIT).is_some_and(|n| n <= self.checkpoint);
            let older = number_of(&entry.name, CHECKPOINT).is_some_and(|n| n < self.checkpoint);
            if commit || older {
                self.disk.remove_file(&self.dir.join(&entry.name))?;
            }
        }
        Ok(())
    }
}
