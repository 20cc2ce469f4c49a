//! Rolling days up into the history, beside everything else.
//!
//! A day is built without `maintenance`, which is held only to choose its blocks and to make its files the
//! history. Whoever adds samples to blocks or deletes them there says so to the history first, under the same
//! lock: a day that was changed while it was built is built anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Db;
use super::forgetting::Kept;
use super::merging::Pace;
use crate::block::Block;
use crate::error::{Error, ErrorKind, Result};
use crate::history::{Building, Day, FileEntry, History, Month, Published};
use crate::model::DAY_MS;
use crate::rollup::{self, Metrics, Progress};
use crate::stats::RollingStats;

/// Space that a day's files leave to the log and the next flush, beside what they take themselves.
const KEPT_SEGMENTS: u64 = 2;

/// Bytes that a row takes in its file at most, all in all, for the question whether there is space for a day.
const ROW_BYTES: u64 = 32;

/// Time between two builds of one day in the background. Samples that come late with every flush would else have
/// their day built anew every half hour; until it is built, whoever reads knows that it is outdated.
const REBUILD_PAUSE_MS: i64 = DAY_MS / 4;

/// Who rolls up, and what was done.
#[derive(Default)]
pub(super) struct Rolling {
    lock: Mutex<()>,
    /// Days that a damaged block keeps from being built: left alone until the next start.
    damaged: Mutex<BTreeSet<Day>>,
    /// Months that a damaged file keeps from being put together: left alone until the next start.
    damaged_months: Mutex<BTreeSet<Month>>,
    /// When days were built last, of those that may be due again too soon.
    built_ms: Mutex<BTreeMap<Day, i64>>,
    pub(super) kept: Kept,
    now: Mutex<RollingStats>,
    /// How far the day is that is being built.
    progress: Mutex<Arc<Progress>>,
    pub(super) days: AtomicU64,
    pub(super) micros: AtomicU64,
}

impl Rolling {
    pub(super) fn stats(&self) -> RollingStats {
        let days_left_out = self.damaged.lock().len() as u64;
        let now = self.now.lock().clone();
        let day_share = if now.day.is_some() { self.progress.lock().share() } else { 0.0 };
        RollingStats { days_left_out, day_share, ..now }
    }

    /// Tells that a day is begun, one of so many that are left.
    fn begin(&self, day: Day, left: usize) {
        *self.progress.lock() = Arc::default();
        let mut now = self.now.lock();
        (now.day, now.days_due) = (Some(day), left as u64);
    }

    /// Tells that the day that was begun is over.
    fn end_day(&self) {
        let mut now = self.now.lock();
        now.days_due = now.days_due.saturating_sub(u64::from(now.day.take().is_some()));
        now.days_done += 1;
    }

    /// Tells that a round is over.
    fn end(&self, result: &Result<()>) {
        let mut now = self.now.lock();
        now.day = None;
        match result {
            Ok(()) => *now = RollingStats::default(),
            Err(Error::Canceled) => {}
            Err(error) => {
                now.days_done = 0;
                now.last_error = Some(error.to_string());
            }
        }
    }
}

/// A day that was rolled up.
#[derive(Debug, Clone)]
pub struct RolledDay {
    /// Which.
    pub day: Day,
    /// Its files; none when it has no samples any more.
    pub files: Vec<FileEntry>,
    /// Series with rows.
    pub series: u64,
    /// Samples read for it, those of the day before included.
    pub samples: u64,
    /// How long it took.
    pub took: Duration,
}

impl Db {
    /// The history, if it could be opened.
    pub fn history(&self) -> Result<&History> {
        self.history.as_ref().ok_or_else(crate::history::closed)
    }

    /// Rolls up what is due at `now_ms`, giving way to others, until nothing is.
    pub(crate) fn roll_due(&self, now_ms: i64) -> Result<()> {
        let Some(_rolling) = self.rolling.lock.try_lock() else { return Ok(()) };
        if self.history.as_ref().is_some_and(|history| !history.is_settled()) {
            // What the object store has is to be taken first; samples wait for it.
            return Ok(());
        }
        let mut pace = Pace::new(&self.merging, true);
        self.roll(now_ms, REBUILD_PAUSE_MS, &mut || pace.step(), &mut |_, _| {}, &mut |_| {})
    }

    /// Flushes the head and rolls up what is due at `now_ms`. `begun` hears of each day before it is built and
    /// of how many are left with it, `done` of it afterwards.
    pub fn roll_all_telling(
        &self,
        now_ms: i64,
        begun: &mut dyn FnMut(Day, usize),
        done: &mut dyn FnMut(&RolledDay),
    ) -> Result<()> {
        let _rolling = self.rolling.lock.lock();
        if self.history.as_ref().is_some_and(|history| !history.is_settled()) {
            return Err(Error::Unavailable {
                why: "the history is to be taken from the object store first: start the server with its history.url once",
            });
        }
        self.flush(&mut self.maintenance.lock(), now_ms)?;
        self.roll(now_ms, 0, &mut || self.check_moving(), begun, done)
    }

    /// Brings the history to the object store, if there is one, or takes it from there where there is none here.
    pub(crate) fn publish_history(&self, now_ms: i64) -> Result<Published> {
        // One that is damaged was told of when it was opened.
        let Some(history) = &self.history else { return Ok(Published::default()) };
        history.publish(now_ms, &mut || self.check_moving())
    }

    /// As [`Db::roll_all_telling`], silently.
    pub fn roll_all(&self, now_ms: i64) -> Result<()> {
        self.roll_all_telling(now_ms, &mut |_, _| {}, &mut |_| {})
    }

    /// Days that a damaged block kept from being rolled up since the start.
    #[must_use]
    pub fn days_not_rolled_up(&self) -> Vec<Day> {
        self.rolling.damaged.lock().iter().copied().collect()
    }

    fn roll(
        &self,
        now_ms: i64,
        pause_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
        begun: &mut dyn FnMut(Day, usize),
        done: &mut dyn FnMut(&RolledDay),
    ) -> Result<()> {
        let mut begun = |day: Day, left: usize| {
            self.rolling.begin(day, left);
            begun(day, left);
        };
        let result = self.history().and_then(|history| {
            history.tidy(now_ms)?;
            let ends = |result: &Result<()>| {
                let unavailable = [ErrorKind::Unavailable, ErrorKind::Canceled];
                result.as_ref().is_err_and(|error| unavailable.contains(&error.kind()))
            };
            let forgot = self.forget_rows(history, now_ms, step);
            if ends(&forgot) {
                return forgot;
            }
            let rolled = self.roll_days(history, now_ms, pause_ms, step, &mut begun, done);
            if ends(&rolled) {
                return rolled;
            }
            // Days of which rows went are not put together with others of which they could not.
            forgot?;
            rolled.and(self.put_together(history, now_ms, step))
        });
        self.rolling.end(&result);
        result
    }

    fn roll_days(
        &self,
        history: &History,
        now_ms: i64,
        pause_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
        begun: &mut dyn FnMut(Day, usize),
        done: &mut dyn FnMut(&RolledDay),
    ) -> Result<()> {
        let mut answer = Ok(());
        let mut again = true;
        loop {
            let days = self.days_due(history, now_ms, pause_ms);
            if days.is_empty() || !again {
                return answer;
            }
            if self.snapshot().quarantined.iter().any(|block| block.range.is_none()) {
                return Err(Error::Unavailable {
                    why: "a block cannot be read, so that it is not known of which days samples are missing: nothing is rolled up until it is repaired or removed",
                });
            }
            for (i, day) in days.iter().enumerate() {
                begun(*day, days.len() - i);
                let rolled = self.roll_day(history, *day, now_ms, step);
                if rolled.is_ok() {
                    self.rolling.end_day();
                }
                match rolled {
                    Ok((Building::Late, _)) => {}
                    Ok((building, rolled)) => {
                        again &= building == Building::Done;
                        done(&rolled);
                    }
                    Err(Error::Corrupt(cause)) => {
                        tracing::error!(%cause, %day, "a block is damaged: its day is not rolled up");
                        self.rolling.damaged.lock().insert(*day);
                    }
                    Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                    Err(error) => {
                        // The fault of one day does not keep the others, and retention behind them, waiting.
                        tracing::error!(%error, %day, "a day could not be rolled up");
                        again = false;
                        answer = answer.and(Err(error));
                    }
                }
            }
        }
    }

    /// Puts the days of months that have settled together.
    fn put_together(
        &self,
        history: &History,
        now_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let days = self.days_due(history, now_ms, 0);
        for month in rollup::months_due(&history.state(), &days, now_ms) {
            if self.rolling.damaged_months.lock().contains(&month) {
                continue;
            }
            step()?;
            let state = history.state();
            let days = state.days.range(month.first().0..=month.last().0);
            let files = days.filter_map(|(_, built)| built.day_file());
            self.check_space(files.map(|file| file.bytes).sum())?;
            match history.put_together(month, now_ms, step) {
                Err(Error::Corrupt(cause)) => {
                    tracing::error!(%cause, %month, "a file of the history is damaged: the days of its month are not put together");
                    self.rolling.damaged_months.lock().insert(month);
                }
                put => {
                    put?;
                }
            }
        }
        Ok(())
    }

    fn days_due(&self, history: &History, now_ms: i64, pause_ms: i64) -> Vec<Day> {
        let set = self.snapshot();
        let ranges: Vec<_> = set.blocks.iter().map(|block| block.range()).collect();
        let mut days = rollup::due(&ranges, self.head.bounds(), &history.state(), now_ms);
        let mut damaged = self.rolling.damaged.lock();
        for block in set.quarantined.iter() {
            let Some(range) = block.range else { continue };
            for day in days.iter().filter(|day| range.overlaps(&day.input())) {
                if damaged.insert(*day) {
                    tracing::error!(block = %block.path.display(), %day, "a block cannot be read: its day is not rolled up");
                }
            }
        }
        let mut built_ms = self.rolling.built_ms.lock();
        built_ms.retain(|_, at| now_ms.saturating_sub(*at) < REBUILD_PAUSE_MS);
        let soon = |at: &i64| now_ms.saturating_sub(*at) < pause_ms;
        days.retain(|day| !damaged.contains(day) && !built_ms.get(day).is_some_and(soon));
        days
    }

    /// Builds one day and makes it the history.
    fn roll_day(
        &self,
        history: &History,
        day: Day,
        now_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Building, RolledDay)> {
        let begun = Instant::now();
        let (mut build, blocks) = {
            let _maintenance = self.maintenance.lock();
            let build = history.build(day);
            let set = self.snapshot();
            let overlap = |block: &&Arc<Block>| block.range().overlaps(&day.input());
            (build, set.blocks.iter().filter(overlap).cloned().collect::<Vec<_>>())
        };
        let named = self.options.history_policies.named();
        let (going, all_go) = self.going(day, named.tables(), now_ms);
        let mut samples = 0;
        if all_go {
            build.leave_out_all();
        } else {
            build.leave_out(going);
            let metrics = Metrics::of(&blocks, day, named, self.metadata())?;
            *self.rolling.progress.lock() = metrics.progress();
            self.check_space_for(metrics.n_rows(), history, day)?;
            build.expect_series(metrics.n_series());
            let mut before = history.lasts_of(day.previous())?;
            let work = rollup::roll_up(&blocks, &metrics, day, before.as_mut(), &mut build, step)?;
            samples = work.samples;
        }
        let finished = build.finish_stepping(step)?;
        let (files, series) = (finished.files.clone(), finished.series);
        let building = {
            let _maintenance = self.maintenance.lock();
            finished.commit(now_ms)?
        };
        match building {
            Building::Done => {}
            Building::Outrun => {
                tracing::info!(%day, "samples of a day were changed while it was rolled up: it will be built anew");
            }
            Building::Late => {
                tracing::warn!(%day, "samples of a day went by their age while it was rolled up: its rows stay what they were");
            }
        }
        self.rolling.built_ms.lock().insert(day, now_ms);
        let took = begun.elapsed();
        self.rolling.days.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.rolling.micros.fetch_add(micros, Ordering::Relaxed);
        Ok((building, RolledDay { day, files, series, samples, took }))
    }

    /// Fails where the files of a day might take the space of the log: they can wait, it cannot.
    fn check_space_for(&self, n_rows: u64, history: &History, day: Day) -> Result<()> {
        let month_bytes = history.state().together(day).map_or(0, |(_, _, file)| file.bytes);
        let day_bytes = n_rows.saturating_mul(ROW_BYTES);
        self.check_space(day_bytes.saturating_add(month_bytes))
    }

    pub(super) fn check_space(&self, needed: u64) -> Result<()> {
        let kept = KEPT_SEGMENTS * self.options.wal_segment_bytes;
        if self.disk.free_bytes(&self.blocks_dir)? >= needed.saturating_add(kept) {
            return Ok(());
        }
        Err(Error::Unavailable { why: "too little disk space for files of the history" })
    }

    /// Whether all rows that a block's samples are needed for are in the history, so that its age may remove it:
    /// those of its days, and of the day behind them, whose increase begins with their last samples. Of
    /// `blocks`, which are all.
    pub(super) fn is_rolled_up(&self, block: &Block, blocks: &[Arc<Block>]) -> bool {
        let Some(history) = &self.history else { return false };
        let state = history.state();
        let done = |day: Day| {
            !state.has_raw(day) || state.days.get(&day.0).is_some_and(|built| !built.outdated)
        };
        let days = Day::within(block.range());
        let next = Day(*days.end()).next();
        let follows = blocks.iter().any(|block| block.range().overlaps(&next.range()))
            || self.head.bounds().is_some_and(|bounds| bounds.overlaps(&next.range()));
        days.map(Day).all(done) && (!follows || done(next))
    }
}
