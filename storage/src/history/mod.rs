//! The history: what happened to every series in every hour and day, in Parquet files that any engine reads.
//!
//! ```text
//! history/
//!   raw/date=2026-11-20/part-2026-11-20.parquet       samples of a day, of the series of a policy
//!   rollup_5m/date=2026-11-20/part-2026-11-20.parquet rows of a day, likewise, by the end of their windows
//!   rollup_1h/month=2026-11/part-2026-11-20.parquet   of every series
//!   rollup_1d/year=2026/part-2026-11-20.parquet
//!   rollup_1d/year=2026/part-2026-10.parquet          rows of the days of a month that has settled
//!   series/year=2026/part-2026-11-20.parquet          what its series are
//!   _nines/commits/<20 digits>.json                   what there is, in numbered commits
//!   _nines/staging/                                   files in the making
//!   _trash/                                           superseded files, for an hour
//! ```
//!
//! Owns: the Parquet files (this folder alone imports `parquet`), their commit log, the places of the files; see
//! `storage/FORMAT.md`, "History". Does not know blocks: `rollup` carries samples here.
//!
//! Invariants: a commit is seen whole or not at all. A day has one file at most in a folder, under one name in all
//! its revisions: a glob at any moment sees no row twice. Whatever was committed survives a power cut. A file is
//! decoded only if its checksum is right.
//!
//! Threads: one builds at a time (its caller sees to that); everybody reads. The state is a snapshot behind a
//! short lock; the lock of the log is held for the time of a commit.

mod build;
mod cache;
mod columns;
mod commit;
mod costs;
mod day_rows;
mod files;
mod filter;
mod forget;
mod held;
mod keep;
mod keys;
mod known;
mod lasts;
mod log;
mod month_rows;
mod packed;
mod pages;
mod period;
mod policy;
mod raw;
mod reader;
mod remote;
mod row;
mod row_labels;
mod runs;
#[cfg(test)]
mod runs_tests;
mod schema;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod together;
#[cfg(test)]
mod together_tests;
mod verify;
mod writer;

pub use build::{Build, Building, Finished};
pub use cache::RowCache;
pub use commit::{Change, Commit, DayState, FileEntry, MonthState, State};
pub use costs::{TableCost, TierSize};
pub(crate) use day_rows::{DayRows, RowFacts};
pub use files::TRASH_MS;
pub(crate) use keep::Going;
pub use keep::Keep;
pub use known::KnownSeries;
pub use lasts::Lasts;
pub use log::CHECKPOINT_COMMITS;
pub(crate) use month_rows::MonthRows;
pub(crate) use pages::Metrics;
pub use period::{Day, FIVE_MINUTES_MS, HOUR_MS, Month, Part, Tier};
pub(crate) use policy::{Named, Tables};
pub use policy::{Policies, Policy};
pub use raw::SeriesSamples;
pub use reader::RowFile;
pub use remote::{DOCUMENT_BYTES_MAX, Listed, Objects, Published, RemoteStats, STATE_EVERY};
pub use row::{Row, SeriesRows, series_id, series_order};
pub(crate) use runs::Sought;
pub use schema::{
    HISTORY_VERSION, PAGE_ROWS, PROMOTED_LABELS, RAW_PAGE_ROWS, RESETS_TOLD_MAX, ROW_GROUP_ROWS,
    ZSTD_LEVEL,
};
pub(crate) use table::Charge;
pub use together::MONTH_ROWS_MAX;
pub use verify::Verified;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};
use crate::model::TimeRange;

use cache::Cache;
use files::Files;
use log::Log;
use remote::Remote;
use together::place_all;

/// See the module.
pub struct History {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    tenant: String,
    files: Arc<Files>,
    cache: Cache,
    log: Mutex<Log>,
    state: Arc<RwLock<Arc<State>>>,
    /// Whether the state tells of raw samples that are gone, and no commit does yet.
    unsaved: AtomicBool,
    /// The samples that a build that is going on depends on, and whether they were changed meanwhile.
    building: Mutex<Option<(TimeRange, bool)>>,
    /// The object store, where there is one.
    remote: OnceLock<Remote>,
}

impl History {
    /// Opens the history in `dir`, which is made when missing; ends what a crash broke off.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, tenant: &str) -> Result<Self> {
        Self::open_sharing(disk, dir, tenant, RowCache::new(0))
    }

    /// As [`History::open`], which keeps nothing open; what is kept of its rows is in `cache`.
    pub fn open_sharing(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        tenant: &str,
        cache: Arc<RowCache>,
    ) -> Result<Self> {
        create_dir_durable(&**disk, dir)?;
        create_dir_durable(&**disk, &dir.join("_nines"))?;
        let (log, mut state) = Log::open(disk, &dir.join("_nines").join("commits"))?;
        let mut files = Files::open(disk, dir)?;
        if let Err(error) = files.remove_unnamed(&state) {
            tracing::warn!(%error, "unfinished files of the history stay until the next start");
        }
        // A time of 0: whatever a crash kept from its place goes to the trash as the oldest of all.
        if let Err(error) = place_all(&files, &state, 0) {
            // They are read from where they wait.
            tracing::warn!(%error, "files of the history are not in their places yet");
        }
        let mut lost = Vec::new();
        for (part, revision, file) in state.files() {
            if !files.is_there(part, revision, file)? && !files.is_away(part, revision, file)? {
                lost.push(part);
                tracing::error!(file = %file.path(part).display(), "a file of the history is missing or has another length: its days will be built anew if their samples are there");
            }
        }
        for part in lost {
            let (first, last) = match part {
                Part::Day(day) => (day, day),
                Part::Month(month) => (month.first(), month.last()),
            };
            let days = state.days.range_mut(first.0..=last.0);
            days.for_each(|(_, built)| built.outdated = true);
        }
        let state = Arc::new(RwLock::new(Arc::new(state)));
        files.state = Arc::clone(&state);
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            tenant: tenant.to_owned(),
            files: Arc::new(files),
            cache: Cache::new(cache),
            log: Mutex::new(log),
            state,
            unsaved: AtomicBool::new(false),
            building: Mutex::default(),
            remote: OnceLock::new(),
        })
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What there is now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }

    /// What there is now, and what changed since commit `number` where the log still tells all of it.
    fn since(&self, number: u64) -> Result<(Arc<State>, Option<Vec<Change>>)> {
        let log = self.log.lock();
        let state = self.state();
        let changes = log.changes(number, state.number)?;
        Ok((state, changes))
    }

    /// Makes changes as one commit; durable on return.
    fn commit(&self, mut changes: Vec<Change>) -> Result<()> {
        let mut log = self.log.lock();
        let mut state = (*self.state()).clone();
        let number = state.number + 1;
        if self.unsaved.load(Ordering::Relaxed) {
            changes.extend(state.raw_gone.map(|last| Change::RawGone { last }));
        }
        let commit = Commit { version: HISTORY_VERSION, number, changes };
        log.append(&commit)?;
        self.unsaved.store(false, Ordering::Relaxed);
        state.apply(&commit);
        *self.state.write() = Arc::new(state.clone());
        if let Err(error) = log.checkpoint(&state) {
            tracing::warn!(%error, "no checkpoint of the history's commits; the next commit tries again");
        }
        Ok(())
    }

    /// As [`History::samples_change`] for samples that are about to be deleted: days of which other samples are gone
    /// are known from then on to count what was deleted.
    pub fn samples_go(&self, range: TimeRange) -> Result<()> {
        let state = self.state();
        if let Some(gone) = state.raw_gone {
            let days = Day::within(range);
            let (first, last) = (Day(*days.start()), Day(*days.end()).min(gone));
            let hit = |(day, built): (&i64, &DayState)| !built.deleted && state.has_rows(Day(*day));
            if first <= last && state.days.range(first.0..=last.0).any(hit) {
                tracing::warn!(%first, %last, "samples are deleted of days of which others are gone by their age: rows of the history still count them");
                self.commit(vec![Change::Deleted { first, last }])?;
            }
        }
        let kept = state.raw_gone.map_or(i64::MIN, |gone| gone.next().range().min);
        if range.max < kept {
            return Ok(());
        }
        self.samples_change(TimeRange::new(range.min.max(kept), range.max))
    }

    /// Tells that samples inside `range` are about to be added to blocks or deleted from them. Days that were
    /// built from them are outdated from then on, durably; one of which other samples are gone stays so.
    pub fn samples_change(&self, range: TimeRange) -> Result<()> {
        if let Some((input, changed)) = &mut *self.building.lock() {
            *changed |= input.overlaps(&range);
        }
        if self.unsaved.load(Ordering::Relaxed) {
            // Samples of a day that is gone must not be taken for all of it after a restart.
            self.commit(Vec::new())?;
        }
        let days = Day::within(range);
        // The day behind begins with the last sample of the day before.
        let (first, last) = (Day(*days.start()), Day(*days.end()).next());
        if days.is_empty() {
            return Ok(());
        }
        let state = self.state();
        let hit = |(_, built): &(&i64, &DayState)| !built.outdated;
        let Some((earliest, _)) = state.days.range(first.0..=last.0).find(hit) else {
            return Ok(());
        };
        if !state.has_raw(Day(*earliest)) && state.has_rows(Day(*earliest)) {
            tracing::warn!(day = %Day(*earliest), "samples are added to days of which others are gone by their age: their rows in the history stay what they are");
        }
        self.commit(vec![Change::Outdated { first, last }])
    }

    /// Has all days built anew whose samples are there.
    pub fn outdate_all(&self) -> Result<()> {
        let days: Vec<i64> = self.state().days.keys().copied().collect();
        let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(()) };
        self.commit(vec![Change::Outdated { first: Day(*first), last: Day(*last) }])
    }

    /// Tells that raw samples up to and of `last` are gone because of their age. Holds at once; on a full disk,
    /// where samples go to make room, the commit comes later, before other samples of such days at the latest.
    pub fn raw_is_gone(&self, last: Day) {
        {
            let _log = self.log.lock();
            let mut state = (*self.state()).clone();
            if !state.has_raw(last) {
                return;
            }
            state.raw_gone = Some(last);
            *self.state.write() = Arc::new(state);
            self.unsaved.store(true, Ordering::Relaxed);
        }
        if let Err(error) = self.commit(Vec::new()) {
            tracing::warn!(%error, "the history does not know durably yet which samples are gone");
        }
    }

    /// As [`History::raw_is_gone`] for all that was rolled up before `first_ts`, the earliest sample of all: what
    /// a crash may have kept from being told.
    pub fn samples_begin_at(&self, first_ts: i64) {
        let (state, first) = (self.state(), Day::of(first_ts));
        let rolled = |built: &DayState| !built.files.is_empty() || !built.cut.is_empty();
        let mut older = state.days.range(..first.0).filter(|(_, built)| rolled(built));
        let is_whole =
            |(day, built): (&i64, &DayState)| !built.outdated || !state.has_raw(Day(*day));
        if older.clone().all(is_whole)
            && let Some((last, _)) = older.next_back()
        {
            self.raw_is_gone(Day(*last));
        }
    }

    /// Moves files whose move failed to their places, and removes what was superseded long ago.
    pub fn tidy(&self, now_ms: i64) -> Result<()> {
        let staged = self.disk.list_dir(&self.files.staging())?;
        if !staged.is_empty() && self.building.lock().is_none() {
            self.place_all(now_ms)?;
        }
        self.files.empty_trash(now_ms).map(drop)
    }

    /// Opens a file of the state: its checksum is verified.
    pub fn read(&self, day: Day, built: &DayState, file: &FileEntry) -> Result<RowFile> {
        self.files.read(Part::Day(day), built.revision, file)
    }

    /// Opens any file of the state, see [`State::files`]: its checksum is verified.
    pub fn read_part(&self, part: Part, revision: u32, file: &FileEntry) -> Result<RowFile> {
        self.files.read(part, revision, file)
    }

    /// The last floats of a day whose raw samples are gone, all of them or some. `None` while they are there.
    pub fn lasts_of(&self, day: Day) -> Result<Option<Lasts>> {
        let state = self.state();
        if state.has_raw(day) {
            return Ok(None);
        }
        let Some(built) = state.days.get(&day.0) else { return Ok(Some(Lasts::new(day, None))) };
        let file = match (built.day_file(), state.together(day)) {
            (Some(file), _) => Some(self.read(day, built, file)?),
            (None, Some((month, told, file))) => {
                Some(self.read_part(Part::Month(month), told.revision, file)?)
            }
            (None, None) => None,
        };
        Ok(Some(Lasts::new(day, file)))
    }
}

/// The error of a history that could not be opened; told by whatever needs it.
#[must_use]
pub fn closed() -> Error {
    Error::Unavailable {
        why: "the history could not be opened, see the log of the start; `nines history verify` tells what is wrong",
    }
}
