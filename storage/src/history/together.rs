//! Months whose days lie together in one file: the rows of a series one behind the other.
//!
//! Days are put together once they settle, by one commit that names the file of the month and strips the days of
//! theirs. A day of such a month that is built anew has its rows replaced there, in the commit that tells it is
//! built. A file that cannot be read any more is given up by the next such commit, as long as the samples of all of
//! its days are there.

use super::columns::RowColumns;
use super::commit::{Change, FileEntry, State, staged_name};
use super::period::{Day, Month, Part, Tier};
use super::reader::RowFile;
use super::stream::{Merged, SeriesStream};
use super::writer::{FileTold, FileWriter};
use super::{Build, History};
use crate::error::{Error, Result};
use crate::model::Labels;

/// Rows of a month that are put together at most: as many are written anew when one of its days changes.
pub const MONTH_ROWS_MAX: u64 = 4 << 20;

/// What becomes of a month when one of its days is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MonthChange {
    pub(super) month: Month,
    pub(super) revision: u32,
    /// Its new file, if rows are left. `None`: it is taken apart.
    pub(super) files: Option<Vec<FileEntry>>,
}

impl MonthChange {
    /// Changes of the commit that builds `day`.
    pub(super) fn changes(self, day: Day, revision: u32, mut files: Vec<FileEntry>) -> Vec<Change> {
        let month = self.month;
        let together = |files| Change::Together { month, revision: self.revision, files };
        match self.files {
            Some(of_month) => {
                files.retain(|file| file.tier != Tier::Day);
                vec![Change::Built { day, revision, files }, together(of_month)]
            }
            None => vec![
                Change::Outdated { first: month.first(), last: month.last() },
                together(Vec::new()),
                Change::Built { day, revision, files },
            ],
        }
    }
}

impl History {
    /// Puts the rows of the days of a month together. `step` is called now and then and ends the work by its
    /// error. Answers the file; `None` when there is nothing to put together.
    pub fn put_together(
        &self,
        month: Month,
        now_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<FileEntry>> {
        let state = self.state();
        let mut streams = Vec::new();
        let mut n_series = 1;
        for (day, built) in state.days.range(month.first().0..=month.last().0) {
            if let Some(file) = built.day_file() {
                let opened = self.files.read(Part::Day(Day(*day)), built.revision, file)?;
                streams.push(SeriesStream::new(opened));
                n_series = n_series.max(file.series);
            }
        }
        if streams.is_empty() {
            return Ok(None);
        }
        let revision = next_revision(&state, month);
        let all = |_: &Labels| true;
        let files = self.write_month((month, revision), streams, n_series, &all, step)?;
        let told = files.first().cloned();
        self.commit(vec![Change::Together { month, revision, files }])?;
        self.place_month(month, now_ms)?;
        Ok(told)
    }

    /// Writes the file of a month with the series that `stay`; no commit names it yet.
    pub(super) fn write_month(
        &self,
        (month, revision): (Month, u32),
        streams: Vec<SeriesStream>,
        n_series: u64,
        stay: &dyn Fn(&Labels) -> bool,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<FileEntry>> {
        let part = Part::Month(month);
        self.files.remove_staged(part, revision)?;
        let folder = Tier::Day.partition(month.first().end_ms());
        let path = self.files.stage(&staged_name(Tier::Day, &folder, part, revision))?;
        let told = FileTold { tenant: &self.tenant, tier: Tier::Day, part, revision };
        let mut writer = FileWriter::<RowColumns>::create(&*self.disk, &path, &told, n_series)?;
        let mut merged = Merged::new(streams)?;
        while let Some(series) = merged.next()? {
            step()?;
            if stay(&series.labels) {
                writer.add(&series, |_| true)?;
            }
        }
        let facts = writer.finish()?;
        if facts.rows == 0 {
            self.files.remove_staged(part, revision)?;
            return Ok(Vec::new());
        }
        self.files.sync_staged()?;
        Ok(vec![FileEntry::new(Tier::Day, &facts)])
    }

    /// Writes the file of the month of a day anew with the rows of `files`, which are staged, if it has one.
    pub(super) fn rewrite_month(
        &self,
        (day, revision): (Day, u32),
        files: &[FileEntry],
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Option<MonthChange>> {
        let state = self.state();
        let Some((month, told, old)) = state.together(day) else { return Ok(None) };
        let next = next_revision(&state, month);
        let part = Part::Month(month);
        let read = || -> Result<Option<RowFile>> {
            let here = self.files.is_there(part, told.revision, old)?;
            if !here && !self.files.away.holds(part, old) {
                return Ok(None);
            }
            match self.files.read(part, told.revision, old) {
                Err(Error::Corrupt(cause)) => {
                    tracing::error!(%cause, %month, "the file of a month of the history is damaged");
                    Ok(None)
                }
                read => read.map(Some),
            }
        };
        let Some(read) = read()? else {
            if !has_raw(&state, month) {
                let path = self.dir.join(old.path(part));
                let what = "a month of the history is lost, and samples of it are gone";
                return Err(crate::error::Corruption::new(&path, 0, what).into());
            }
            tracing::error!(%month, "a month of the history is lost: its days are built anew");
            return Ok(Some(MonthChange { month, revision: next, files: None }));
        };
        let mut streams = vec![SeriesStream::without(read, day)];
        let mut n_series = old.series;
        for file in files.iter().filter(|file| file.tier == Tier::Day) {
            let name = file.staged_name(Part::Day(day), revision);
            streams.push(SeriesStream::new(self.files.read_staged(&name, file)?));
            n_series += file.series;
        }
        let all = |_: &Labels| true;
        let files = self.write_month((month, next), streams, n_series, &all, step)?;
        Ok(Some(MonthChange { month, revision: next, files: Some(files) }))
    }

    /// Whether what a build does to a month may still be done: rows are not given up that cannot be built.
    pub(super) fn may_change(&self, change: Option<&MonthChange>) -> bool {
        let apart = change.filter(|change| change.files.is_none());
        apart.is_none_or(|change| has_raw(&self.state(), change.month))
    }

    pub(super) fn place_month(&self, month: Month, now_ms: i64) -> Result<()> {
        let state = self.state();
        state
            .months
            .get(&month.0)
            .map_or(Ok(()), |told| self.files.place_month(month, told, now_ms))
    }

    /// Moves the files of a day that was built to their places, and those of its month.
    pub(super) fn place_day(
        &self,
        day: Day,
        revision: u32,
        change: Option<&MonthChange>,
        now_ms: i64,
    ) -> Result<()> {
        // Whatever makes rows appear twice comes last.
        if let Some(change) = change.filter(|change| change.files.is_none()) {
            self.place_month(change.month, now_ms)?;
        }
        if let Some(built) = self.state().days.get(&day.0) {
            self.files.place(day, built, now_ms)?;
        }
        if let Some(change) = change.filter(|change| change.files.is_some()) {
            self.place_month(change.month, now_ms)?;
            // The rows of the day alone, which are in the file of the month.
            self.files.remove_staged(Part::Day(day), revision)?;
        }
        Ok(())
    }

    /// Moves all files of the state that wait to their places, in an order in which a glob finds no row twice.
    pub(super) fn place_all(&self, now_ms: i64) -> Result<()> {
        place_all(&self.files, &self.state(), now_ms)
    }
}

/// See [`History::place_all`].
pub(super) fn place_all(files: &super::files::Files, state: &State, now_ms: i64) -> Result<()> {
    let months = |together: bool| {
        let all = state.months.iter().filter(move |(_, told)| told.files.is_empty() != together);
        all.map(|(month, told)| (Month(*month), told))
    };
    months(false).try_for_each(|(month, told)| files.place_month(month, told, now_ms))?;
    let mut days = state.days.iter();
    days.try_for_each(|(day, built)| files.place(Day(*day), built, now_ms))?;
    months(true).try_for_each(|(month, told)| files.place_month(month, told, now_ms))
}

/// The next revision of the file of a month.
pub(super) fn next_revision(state: &State, month: Month) -> u32 {
    state.months.get(&month.0).map_or(0, |told| told.revision) + 1
}

/// Whether the samples of all days of a month are there as far as their age goes.
fn has_raw(state: &State, month: Month) -> bool {
    state.has_raw(month.first())
}

impl<'a> Build<'a> {
    /// As [`Build::finish`]; `step` is called now and then and ends the work by its error.
    pub fn finish_stepping(
        self,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<super::Finished<'a>> {
        let mut finished = self.finish_files()?;
        let of = (finished.day, finished.revision);
        finished.month = finished.history.rewrite_month(of, &finished.files, step)?;
        Ok(finished)
    }
}
