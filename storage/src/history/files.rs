//! Where the files of the history lie: waiting for their commit, in their place, and after their time.
//!
//! A file is written whole to `_nines/staging`, then named by a commit, then moved to its place. Where it takes
//! the place of an earlier one, that one is given a second name in `_trash` before and goes by the same rename
//! by which the new one comes: whoever lists the folders sees one of the two. A start ends what a crash broke off.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::commit::{DayState, FileEntry, MonthState, State, place_of};
use super::period::{Day, Month, Part, Tier};
use super::reader::RowFile;
use super::remote::Away;
use crate::disk::{Bytes, Disk, create_dir_durable, parent_of};
use crate::error::{Error, Result};

/// How long a superseded file is still there for who reads an earlier commit.
pub const TRASH_MS: i64 = 3_600_000;

/// Times that a file is fetched for one reading.
const FETCHES: u32 = 3;

pub(super) struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Those that the object store has.
    pub(super) away: Away,
    /// Held by whoever puts files in their places or takes them away for their size.
    pub(super) moving: Mutex<()>,
    /// What there is now.
    pub(super) state: Arc<RwLock<Arc<State>>>,
}

impl Files {
    /// The folders below `dir`, made when missing.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let away = Away::open(&**disk, &dir.join("_nines"))?;
        let files = Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            away,
            moving: Mutex::default(),
            state: Arc::default(),
        };
        for folder in [files.staging(), files.trash()] {
            create_dir_durable(&**disk, &folder)?;
        }
        Ok(files)
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.dir.join("_nines").join("staging")
    }

    fn trash(&self) -> PathBuf {
        self.dir.join("_trash")
    }

    /// Makes room for a file in the making.
    pub(super) fn stage(&self, name: &str) -> Result<PathBuf> {
        let path = self.staging().join(name);
        if self.disk.exists(&path)? {
            self.disk.remove_file(&path)?;
        }
        Ok(path)
    }

    /// Makes the names of what is staged durable.
    pub(super) fn sync_staged(&self) -> Result<()> {
        self.disk.sync_dir(&self.staging())
    }

    /// Removes what is staged and that no commit names.
    pub(super) fn remove_unnamed(&self, state: &State) -> Result<()> {
        let mut named = BTreeSet::new();
        for (day, built) in &state.days {
            let part = Part::Day(Day(*day));
            named.extend(built.files.iter().map(|file| file.staged_name(part, built.revision)));
        }
        for (month, state) in &state.months {
            let part = Part::Month(Month(*month));
            named.extend(state.files.iter().map(|file| file.staged_name(part, state.revision)));
        }
        for entry in self.disk.list_dir(&self.staging())? {
            if !named.contains(&entry.name) {
                self.disk.remove_file(&self.staging().join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Removes the staged files of a revision that no commit names.
    pub(super) fn remove_staged(&self, part: Part, revision: u32) -> Result<()> {
        let ending = format!(".{part}.r{revision}.new");
        for entry in self.disk.list_dir(&self.staging())? {
            if entry.name.ends_with(&ending) {
                self.disk.remove_file(&self.staging().join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Moves the files of a day to their places, and what had them, or has no successor, to the trash. May be
    /// repeated.
    pub(super) fn place(&self, day: Day, built: &DayState, now_ms: i64) -> Result<()> {
        let _moving = self.moving.lock();
        let part = Part::Day(day);
        let mut changed = BTreeSet::new();
        self.place_staged(part, built.revision, &built.files, now_ms, &mut changed)?;
        for path in self.without_rows(day, built) {
            self.discard(&path, now_ms, &mut changed)?;
        }
        self.sync(&changed)
    }

    /// Does so for the file of a month, and moves those of its days to the trash before it has its name: a row that
    /// a glob does not find for that time is better than one that it finds twice.
    pub(super) fn place_month(&self, month: Month, state: &MonthState, now_ms: i64) -> Result<()> {
        let _moving = self.moving.lock();
        let part = Part::Month(month);
        let end_ms = month.first().end_ms();
        let mut changed = BTreeSet::new();
        if state.files.is_empty() {
            self.discard(&self.dir.join(place_of(Tier::Day, part, end_ms)), now_ms, &mut changed)?;
            return self.sync(&changed);
        }
        for day in month.first().0..=month.last().0 {
            let path = place_of(Tier::Day, Part::Day(Day(day)), end_ms);
            self.discard(&self.dir.join(path), now_ms, &mut changed)?;
        }
        self.sync(&changed)?;
        changed.clear();
        self.place_staged(part, state.revision, &state.files, now_ms, &mut changed)?;
        self.sync(&changed)
    }

    /// Moves files that wait to their places. Tells the folders that changed.
    fn place_staged(
        &self,
        part: Part,
        revision: u32,
        files: &[FileEntry],
        now_ms: i64,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<()> {
        for file in files {
            let staged = self.staging().join(file.staged_name(part, revision));
            if !self.disk.exists(&staged)? {
                continue;
            }
            let path = self.dir.join(file.path(part));
            create_dir_durable(&*self.disk, parent_of(&path))?;
            self.keep_a_while(&path, now_ms)?;
            self.disk.rename(&staged, &path)?;
            changed.insert(parent_of(&path).to_owned());
        }
        Ok(())
    }

    /// Moves what is at `path`, if anything, to the trash.
    fn discard(&self, path: &Path, now_ms: i64, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        if self.disk.exists(path)? {
            self.keep_a_while(path, now_ms)?;
            self.disk.remove_file(path)?;
            changed.insert(parent_of(path).to_owned());
        }
        Ok(())
    }

    fn sync(&self, changed: &BTreeSet<PathBuf>) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        changed.iter().try_for_each(|folder| self.disk.sync_dir(folder))?;
        self.disk.sync_dir(&self.trash())
    }

    /// Places that files of the day may have and have not in this revision.
    fn without_rows(&self, day: Day, built: &DayState) -> Vec<PathBuf> {
        let part = Part::Day(day);
        let taken: BTreeSet<PathBuf> = built.files.iter().map(|file| file.path(part)).collect();
        let mut places = BTreeSet::new();
        for tier in Tier::ALL {
            for end_ms in [day.start_ms() + tier.window_ms(), day.end_ms()] {
                places.insert(place_of(tier, part, end_ms));
            }
        }
        places.difference(&taken).map(|path| self.dir.join(path)).collect()
    }

    /// Gives a file that is about to go a name in the trash.
    fn keep_a_while(&self, path: &Path, now_ms: i64) -> Result<()> {
        if !self.disk.exists(path)? {
            return Ok(());
        }
        let inside = path.strip_prefix(&self.dir).unwrap_or(path);
        let name = inside.to_string_lossy().replace('/', ".");
        let kept = self.trash().join(format!("{:020}.{name}.old", now_ms.max(0)));
        if self.disk.exists(&kept)? {
            return Ok(());
        }
        self.disk.link(path, &kept)
    }

    /// Removes what has been in the trash for long enough. Answers how many files that were.
    pub(super) fn empty_trash(&self, now_ms: i64) -> Result<u64> {
        let mut n = 0;
        for entry in self.disk.list_dir(&self.trash())? {
            let since = entry.name.split('.').next().and_then(|ms| ms.parse::<i64>().ok());
            if since.is_some_and(|since| now_ms.saturating_sub(since) >= TRASH_MS) {
                self.disk.remove_file(&self.trash().join(&entry.name))?;
                n += 1;
            }
        }
        Ok(n)
    }

    /// Where a file lies now.
    pub(super) fn locate(&self, part: Part, revision: u32, file: &FileEntry) -> Result<PathBuf> {
        let staged = self.staging().join(file.staged_name(part, revision));
        if self.disk.exists(&staged)? { Ok(staged) } else { Ok(self.dir.join(file.path(part))) }
    }

    /// Opens a file and verifies its checksum. One that only the object store has is fetched from there.
    pub(super) fn read(&self, part: Part, revision: u32, file: &FileEntry) -> Result<RowFile> {
        let mut attempts = 0;
        loop {
            let path = self.locate(part, revision, file)?;
            match self.disk.map(&path) {
                Ok(bytes) => return RowFile::open(bytes, &path, file),
                // It may go for its size while it is looked for.
                Err(Error::Io { cause, .. })
                    if cause.kind() == ErrorKind::NotFound
                        && attempts < FETCHES
                        && self.away.holds(part, file) =>
                {
                    attempts += 1;
                    let name = file.staged_name(part, revision);
                    let unfinished = self.staging().join(name).with_extension("fetched");
                    let put = || self.put_fetched(part, file, &unfinished, &path);
                    self.away.fetch(&*self.disk, part, file, &unfinished, &path, &put)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a file that came from the object store its name, unless it was superseded meanwhile: its rows may lie in
    /// a file of another name by now.
    fn put_fetched(
        &self,
        part: Part,
        file: &FileEntry,
        unfinished: &Path,
        path: &Path,
    ) -> Result<()> {
        let _moving = self.moving.lock();
        let named = self.state.read().names(part, file);
        if named {
            create_dir_durable(&*self.disk, parent_of(path))?;
            if !self.disk.exists(path)? {
                self.disk.link(unfinished, path)?;
            }
            self.disk.sync_dir(parent_of(path))?;
        }
        self.disk.remove_file(unfinished)?;
        if named {
            return Ok(());
        }
        let cause = std::io::Error::new(ErrorKind::NotFound, "the file was superseded meanwhile");
        Err(Error::io("open", path, cause))
    }

    /// Opens a file that no commit names yet.
    pub(super) fn read_staged(&self, name: &str, file: &FileEntry) -> Result<RowFile> {
        let path = self.staging().join(name);
        RowFile::open(self.disk.map(&path)?, &path, file)
    }

    /// The bytes of a file that is here, as they are.
    pub(super) fn bytes(&self, part: Part, revision: u32, file: &FileEntry) -> Result<Bytes> {
        self.disk.map(&self.locate(part, revision, file)?)
    }

    /// Whether a file is not here, and in the object store. What is in its place and cannot be it is removed.
    pub(super) fn is_away(&self, part: Part, revision: u32, file: &FileEntry) -> Result<bool> {
        if !self.away.holds(part, file) {
            return Ok(false);
        }
        let path = self.locate(part, revision, file)?;
        if self.disk.exists(&path)? {
            self.disk.remove_file(&path)?;
            self.disk.sync_dir(parent_of(&path))?;
        }
        Ok(true)
    }

    /// Whether a file is there with its length.
    pub(super) fn is_there(&self, part: Part, revision: u32, file: &FileEntry) -> Result<bool> {
        let path = self.locate(part, revision, file)?;
        Ok(self.disk.exists(&path)? && self.disk.file_len(&path)? == file.bytes)
    }
}
