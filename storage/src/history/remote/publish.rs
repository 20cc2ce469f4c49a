//! Carrying commits to the object store, in their order.
//!
//! Files go to `_nines/staging` first; then the commit is made, under the next number, if there is none; then the
//! files are copied to their places. What is about to be made is written down here before (`publishing.json`): after
//! a lost answer or a crash the very same bytes are tried again, and are known when they are there already.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::away::Held;
use super::chain::{self, Chain};
use super::document::{
    Content, DOCUMENT_BYTES_MAX, Document, FileOf, Record, STATE_EVERY, listed, replace,
};
use super::objects::{Keys, Objects, missing};
use crate::codec::crc32;
use crate::error::{Corruption, Error, Result};
use crate::history::{Day, HISTORY_VERSION, History, State, TRASH_MS};
use crate::model::DAY_MS;

/// Where a history is published, and what became of it so far.
pub(in crate::history) struct Remote {
    objects: Arc<dyn Objects>,
    keys: Keys,
    /// Bytes of files that stay here beside the store; all, when there is none.
    kept_max: Option<u64>,
    progress: Mutex<Progress>,
    /// It is known what the store holds.
    checked: AtomicBool,
    behind_since: Mutex<Option<Instant>>,
    stopped: AtomicBool,
    files: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

#[derive(Default)]
struct Progress {
    /// Nothing of what the record tells waits for its place.
    placed: bool,
    /// When the trash was looked through last.
    trash_ms: Option<i64>,
    /// Why nothing is published any more.
    blocked: Option<String>,
}

/// What one call of [`History::publish`] brought to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last commit of the data directory that the store holds.
    pub number: u64,
    /// Days that were taken from the store, because there were none here.
    pub days_taken: u64,
}

/// What there is to tell of the store.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RemoteStats {
    /// The last commit of the data directory that the store holds.
    pub published: u64,
    /// Commits that it does not hold yet.
    pub behind_commits: u64,
    /// For how long it has not held all of them.
    pub behind_seconds: f64,
    /// Files written to it since the start.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rounds that failed since the start.
    pub errors: u64,
    /// Whether somebody else writes there, so that nothing is published any more.
    pub stopped: bool,
}

impl History {
    /// Names the object store, once, and how many bytes of files stay here beside it. Nothing is asked of it yet.
    pub fn connect(&self, objects: Arc<dyn Objects>, kept_max: Option<u64>) {
        let keys = Keys::of(&self.tenant);
        self.files.away.connect(Arc::clone(&objects), keys.clone());
        let remote = Remote {
            objects,
            keys,
            kept_max,
            progress: Mutex::default(),
            checked: AtomicBool::new(false),
            behind_since: Mutex::default(),
            stopped: AtomicBool::new(false),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        };
        // The first one stays: there is one call.
        let _ = self.remote.set(remote);
    }

    /// Whether days may be built: a history that is empty may have to be taken from the store first.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        if self.files.away.held().record.state.number > state.number {
            return false;
        }
        let known = |remote: &Remote| remote.checked.load(Ordering::Acquire);
        !state.days.is_empty() || self.remote.get().is_none_or(known)
    }

    /// Brings the commits that the store lacks to it; takes the history from it where there is none here. Does
    /// nothing without a store. What fails is done by the next call. `step` may break it off between two files.
    pub fn publish(&self, now_ms: i64, step: &mut dyn FnMut() -> Result<()>) -> Result<Published> {
        let Some(remote) = self.remote.get() else { return Ok(Published::default()) };
        let mut progress = remote.progress.lock();
        if let Some(why) = &progress.blocked {
            return Err(Error::Invalid { what: why.clone() });
        }
        let mut round = Round { history: self, remote, now_ms, done: Published::default() };
        round.mark();
        let result = round.run(&mut progress, step);
        round.mark();
        match result {
            Ok(()) => Ok(round.done),
            Err(error) => {
                if !matches!(error, Error::Canceled) {
                    remote.errors.fetch_add(1, Ordering::Relaxed);
                }
                if let Error::Invalid { what } = &error {
                    progress.blocked = Some(what.clone());
                    remote.stopped.store(true, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// What there is to tell of the store, if there is one.
    #[must_use]
    pub fn remote_stats(&self) -> Option<RemoteStats> {
        let remote = self.remote.get()?;
        let published = self.files.away.held().record.state.number;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let behind_commits = self.state().number.saturating_sub(published);
        let since = remote.behind_since.lock().filter(|_| behind_commits > 0);
        Some(RemoteStats {
            published,
            behind_commits,
            behind_seconds: since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            files: load(&remote.files),
            bytes: load(&remote.bytes),
            errors: load(&remote.errors),
            stopped: remote.stopped.load(Ordering::Relaxed),
        })
    }

    /// The first file that is not here.
    fn first_missing(&self) -> Result<Option<String>> {
        let state = self.state();
        for (path, file) in listed(&state) {
            if !self.files.is_there(file.part, file.revision, &file.entry)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn intent_path(&self) -> PathBuf {
        self.dir.join("_nines").join("publishing.json")
    }

    /// Makes what the store holds the history. There is none here, and no samples that its rows were made of.
    fn adopt(&self, chain: Chain) -> Result<u64> {
        let Chain { place, crc32, state } = chain;
        let mut log = self.log.lock();
        let own = self.state();
        let mut adopted = state.clone();
        let outdated = adopted.days.values().filter(|built| built.outdated).count();
        if outdated > 0 {
            tracing::warn!(
                days = outdated,
                "days of the history that were to be built anew stay what they are: their samples are not in the object store"
            );
        }
        adopted.days.values_mut().for_each(|built| built.outdated = false);
        let last = adopted.days.keys().next_back().map(|day| Day(*day));
        adopted.raw_gone = last.max(adopted.raw_gone).max(own.raw_gone);
        adopted.number = adopted.number.max(own.number) + 1;
        // First: files that are not here are known to be there.
        let version = HISTORY_VERSION;
        let record = Record { version, place, crc32, state, superseded: Vec::new() };
        self.files.away.keep(&*self.disk, record)?;
        log.adopt(&adopted)?;
        let days = adopted.days.len() as u64;
        *self.state.write() = Arc::new(adopted);
        Ok(days)
    }
}

/// One call of [`History::publish`].
struct Round<'a> {
    history: &'a History,
    remote: &'a Remote,
    now_ms: i64,
    done: Published,
}

fn blocked<T>(what: String) -> Result<T> {
    Err(Error::Invalid { what })
}

impl Round<'_> {
    fn held(&self) -> Arc<Held> {
        self.history.files.away.held()
    }

    /// Notes since when the store has not held all commits.
    fn mark(&self) {
        let behind = self.history.state().number > self.held().record.state.number;
        let mut since = self.remote.behind_since.lock();
        *since = since.filter(|_| behind).or_else(|| behind.then(Instant::now));
    }

    fn run(&mut self, progress: &mut Progress, step: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if !self.remote.checked.load(Ordering::Acquire) {
            self.check()?;
            self.remote.checked.store(true, Ordering::Release);
        }
        if self.resolve()? {
            progress.placed = false;
        }
        self.done.number = self.held().record.state.number;
        if !progress.placed {
            self.place(step)?;
            progress.placed = true;
        }
        if self.next(step)? {
            progress.placed = false;
            self.place(step)?;
            progress.placed = true;
            self.prune()?;
        }
        let due = progress.trash_ms.is_none_or(|at| self.now_ms.saturating_sub(at) >= TRASH_MS);
        if due && self.held().record.place > 0 {
            self.empty_trash()?;
            progress.trash_ms = Some(self.now_ms);
        }
        self.remote.kept_max.map_or(Ok(()), |max| self.history.shed(max))
    }

    /// Finds out whose history the store holds, once.
    fn check(&mut self) -> Result<()> {
        let Remote { objects, keys, .. } = self.remote;
        let (held, own) = (self.held(), self.history.state());
        let record = &held.record;
        let folder = keys.file("");
        if record.place == 0 {
            let Some(chain) = chain::read(&**objects, keys)? else { return Ok(()) };
            if self.history.disk.exists(&self.history.intent_path())? {
                // The answer to the very first commit was lost, perhaps: it will be seen whose it is.
                return Ok(());
            }
            if own.days.is_empty() {
                self.done.days_taken = self.history.adopt(chain)?;
                return Ok(());
            }
            return blocked(format!(
                "{folder} in the object store holds the history of another data directory: name another prefix, or \
                 begin with an empty data directory, which takes that history"
            ));
        }
        let key = keys.commit(record.place);
        match objects.get(&key, DOCUMENT_BYTES_MAX)? {
            Some(bytes) if crc32(&bytes) == record.crc32 => {}
            None if chain::places(&**objects, keys, 0)?.is_empty() => {
                if let Some(path) = self.history.first_missing()? {
                    return blocked(format!(
                        "{folder} in the object store is empty, and {path} was there only: name the store that holds \
                         it with history.url"
                    ));
                }
                tracing::warn!(%folder, "the object store is empty where the history was: it is published anew");
                return self.history.files.away.keep(&*self.history.disk, Record::default());
            }
            _ => {
                return blocked(format!(
                    "{key} in the object store is not what was published from here: another nines has written under \
                     this prefix, or the store was set back; name another prefix with history.url"
                ));
            }
        }
        if own.number >= record.state.number {
            return Ok(());
        }
        if !own.days.is_empty() {
            return blocked(format!(
                "{folder} in the object store is newer than the history of this data directory, which was set back: \
                 remove the folder history of the tenant to take the one of the store, or name another prefix"
            ));
        }
        if let Some(chain) = chain::read(&**objects, keys)? {
            self.done.days_taken = self.history.adopt(chain)?;
        }
        Ok(())
    }

    /// Ends a commit that was written down and whose end is not known. Says whether it is in the store now.
    fn resolve(&mut self) -> Result<bool> {
        let (disk, path) = (&*self.history.disk, self.history.intent_path());
        if !disk.exists(&path)? {
            return Ok(false);
        }
        let place = self.held().record.place + 1;
        let bytes = disk.read(&path)?.to_vec();
        let name = path.to_string_lossy();
        match Document::decode(&bytes, &name, place) {
            Ok(document) => self.make(document, bytes).map(|()| true),
            // One that the record tells of already.
            Err(Error::Corrupt(_)) => {
                disk.remove_file(&path)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a commit that was written down. Its bytes are the next commit of the store on return.
    fn make(&mut self, document: Document, bytes: Vec<u8>) -> Result<()> {
        let Remote { objects, keys, .. } = self.remote;
        let key = keys.commit(document.place);
        if !objects.create(&key, bytes.clone())? {
            // Ours, whose answer was lost, or somebody else's.
            let there = objects.get(&key, DOCUMENT_BYTES_MAX)?.ok_or_else(|| missing(&key))?;
            if there != bytes {
                self.history.disk.remove_file(&self.history.intent_path())?;
                return blocked(format!(
                    "{key} in the object store was written by another nines: two of them have the same history.url; \
                     nothing more is published from here, stop one of them or give it another prefix"
                ));
            }
        }
        let record = self.held().record.after(document, &bytes);
        self.done.number = record.state.number;
        self.history.files.away.keep(&*self.history.disk, record)?;
        self.history.disk.remove_file(&self.history.intent_path())
    }

    /// Publishes what the store lacks. Says whether that was anything.
    fn next(&mut self, step: &mut dyn FnMut() -> Result<()>) -> Result<bool> {
        let Remote { objects, keys, .. } = self.remote;
        let held = self.held();
        let record = &held.record;
        if self.history.state().number <= record.state.number {
            return Ok(false);
        }
        let (state, changes) = self.history.since(record.state.number)?;
        if let Some(other) = chain::places(&**objects, keys, record.place)?.first() {
            return blocked(format!(
                "{} in the object store was written by another nines: two of them have the same history.url; nothing \
                 more is published from here, stop one of them or give it another prefix",
                keys.commit(*other)
            ));
        }
        let before = listed(&record.state);
        for (path, file) in listed(&state) {
            step()?;
            if !before.get(&path).is_some_and(|known| known.is(&file.entry))
                && !self.upload(&path, &file, &state)?
            {
                return Ok(false);
            }
        }
        let place = record.place + 1;
        let content = match changes {
            Some(changes) if place % STATE_EVERY != 1 => Content::Changes(changes),
            _ => Content::State((*state).clone()),
        };
        let number = state.number;
        let document = Document { version: HISTORY_VERSION, place, number, content };
        let bytes = document.encode();
        replace(&*self.history.disk, &self.history.intent_path(), &bytes)?;
        self.make(document, bytes)?;
        Ok(true)
    }

    /// Brings a file to the staging folder. Says whether it is there: `false` where a newer revision has come
    /// meanwhile, with a commit of its own.
    fn upload(&mut self, path: &str, file: &FileOf, state: &State) -> Result<bool> {
        let Remote { objects, keys, .. } = self.remote;
        let key = keys.staged(path, file.entry.crc32);
        if objects.len(&key)? == Some(file.entry.bytes) {
            return Ok(true);
        }
        let read = self.history.files.bytes(file.part, file.revision, &file.entry);
        let right = |bytes: &crate::disk::Bytes| {
            bytes.len() as u64 == file.entry.bytes && crc32(bytes) == file.entry.crc32
        };
        let bytes = match read {
            Ok(bytes) if right(&bytes) => bytes,
            _ if self.history.state().number != state.number => return Ok(false),
            Err(error) => return Err(error),
            Ok(_) => {
                let path = self.history.dir.join(path);
                return Err(Corruption::new(&path, 0, "checksum of a history file").into());
            }
        };
        objects.put(&key, bytes::Bytes::from_owner(bytes))?;
        self.done.files += 1;
        self.done.bytes += file.entry.bytes;
        self.remote.files.fetch_add(1, Ordering::Relaxed);
        self.remote.bytes.fetch_add(file.entry.bytes, Ordering::Relaxed);
        Ok(true)
    }

    /// Brings the files of the last commit to their places, what had them to the trash. May be repeated.
    fn place(&self, step: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Remote { objects, keys, .. } = self.remote;
        let held = self.held();
        let record = &held.record;
        if record.place == 0 {
            return Ok(());
        }
        let files = listed(&record.state);
        for path in &record.superseded {
            step()?;
            objects.copy(&keys.file(path), &keys.trashed(path, self.now_ms))?;
            if !files.contains_key(path) {
                objects.remove(&keys.file(path))?;
            }
        }
        let waiting = objects.list(&keys.staging(), None)?;
        let place_of = |(path, file): (&String, &FileOf)| {
            (keys.staged(path, file.entry.crc32), keys.file(path))
        };
        let places: std::collections::BTreeMap<_, _> = if waiting.is_empty() {
            std::collections::BTreeMap::new()
        } else {
            files.iter().map(place_of).collect()
        };
        for object in waiting {
            step()?;
            match places.get(&object.key) {
                Some(place) => {
                    objects.copy(&object.key, place)?;
                    objects.remove(&object.key)?;
                }
                // Of a commit that never came; whose, nobody knows before some time has passed.
                None if self.now_ms.saturating_sub(object.modified_ms) >= DAY_MS => {
                    objects.remove(&object.key)?;
                }
                None => {}
            }
        }
        if record.superseded.is_empty() {
            return Ok(());
        }
        let record = Record { superseded: Vec::new(), ..record.clone() };
        self.history.files.away.keep(&*self.history.disk, record)
    }

    /// Removes commits that a later one holds all of, but for some that a reader may be reading.
    fn prune(&self) -> Result<()> {
        let Remote { objects, keys, .. } = self.remote;
        let place = self.held().record.place;
        if place % STATE_EVERY != 1 || place <= STATE_EVERY {
            return Ok(());
        }
        for old in chain::places(&**objects, keys, 0)? {
            if old < place - STATE_EVERY {
                objects.remove(&keys.commit(old))?;
            }
        }
        Ok(())
    }

    fn empty_trash(&self) -> Result<()> {
        let Remote { objects, keys, .. } = self.remote;
        for object in objects.list(&keys.trash(), None)? {
            let name = object.key.rsplit('/').next().unwrap_or_default();
            let since = name.split('.').next().and_then(|ms| ms.parse::<i64>().ok());
            if since.is_some_and(|since| self.now_ms.saturating_sub(since) >= TRASH_MS) {
                objects.remove(&object.key)?;
            }
        }
        Ok(())
    }
}
