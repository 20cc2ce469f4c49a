//! Rows that go by their age: files go as a whole, or are written anew without them.

use std::collections::BTreeSet;

use super::commit::{Change, DayState, FileEntry};
use super::keep::Going;
use super::period::{Day, Month, Part, Tier};
use super::reader::RowFile;
use super::stream::SeriesStream;
use super::together::next_revision;
use super::{Build, History, SeriesSamples};
use crate::error::Result;
use crate::model::Labels;

/// Called now and then; ends the work by its error.
type Step<'s> = dyn FnMut() -> Result<()> + 's;

impl History {
    /// Takes from a day what `going` says, as one commit; rows in the file of its month stay. Answers how many rows
    /// went. One at a time, and not beside a build.
    pub(crate) fn forget_day(
        &self,
        day: Day,
        going: &Going<'_>,
        now_ms: i64,
        step: &mut Step<'_>,
    ) -> Result<u64> {
        let state = self.state();
        let Some(built) = state.days.get(&day.0) else { return Ok(0) };
        // What stays as it is is looked for in its place from here on.
        self.files.place(day, built, now_ms)?;
        let (part, revision) = (Part::Day(day), built.revision + 1);
        self.files.remove_staged(part, revision)?;
        let mut build = Build::new(self, day, revision);
        let (mut staying, mut tables, mut gone) = (Vec::new(), BTreeSet::new(), 0);
        for file in &built.files {
            step()?;
            let n = if going.all(file.tier) {
                file.rows
            } else if going.some(file.tier) {
                build.expect_series(file.series);
                build.add_what_stays(built, file, going, step)?
            } else {
                0
            };
            gone += n;
            if n == 0 {
                staying.push(file.clone());
            } else {
                tables.insert(file.tier);
            }
        }
        if tables.is_empty() {
            return Ok(0);
        }
        let mut files = build.finish_files()?.files;
        files.append(&mut staying);
        files.sort_by_key(|file| (file.tier, file.min_ts));
        let tables = tables.into_iter().collect();
        self.commit(vec![
            Change::Cut { day, revision, files },
            Change::Gone { first: day, last: day, tables },
        ])?;
        if let Some(built) = self.state().days.get(&day.0) {
            self.files.place(day, built, now_ms)?;
        }
        Ok(gone)
    }

    /// Takes from the file of a month what `going`, that of one of its days, says, as one commit. Answers how many
    /// rows went.
    pub(crate) fn forget_month(
        &self,
        month: Month,
        going: &Going<'_>,
        now_ms: i64,
        step: &mut Step<'_>,
    ) -> Result<u64> {
        let state = self.state();
        let told = state.months.get(&month.0);
        let Some((told, file)) = told.and_then(|told| Some((told, told.files.first()?))) else {
            return Ok(0);
        };
        let revision = next_revision(&state, month);
        let (mut gone, mut files) = (file.rows, Vec::new());
        if !going.all(Tier::Day) {
            let opened = self.read_part(Part::Month(month), told.revision, file)?;
            let stays = |labels: &Labels| !going.takes(Tier::Day, labels);
            gone -= opened.count_rows(&stays, step)?;
            if gone == 0 {
                return Ok(0);
            }
            if gone < file.rows {
                let stream = vec![SeriesStream::new(opened)];
                files = self.write_month((month, revision), stream, file.series, &stays, step)?;
            }
        }
        let (first, last, tables) = (month.first(), month.last(), vec![Tier::Day]);
        self.commit(vec![
            Change::Together { month, revision, files },
            Change::Gone { first, last, tables },
        ])?;
        self.place_month(month, now_ms)?;
        Ok(gone)
    }
}

impl RowFile {
    /// How many rows are of series that `of` names.
    fn count_rows(&self, of: &dyn Fn(&Labels) -> bool, step: &mut Step<'_>) -> Result<u64> {
        let mut n = 0;
        for group in 0..self.n_groups() {
            step()?;
            let labels = self.labels_of_group(group)?;
            for run in labels.chunk_by(|a, b| a == b) {
                if run.first().is_some_and(of) {
                    n += run.len() as u64;
                }
            }
        }
        Ok(n)
    }
}

impl Build<'_> {
    /// Adds the rows of a file that do not go; nothing where none or all go. Answers how many go.
    fn add_what_stays(
        &mut self,
        built: &DayState,
        file: &FileEntry,
        going: &Going<'_>,
        step: &mut Step<'_>,
    ) -> Result<u64> {
        let tier = file.tier;
        let opened = self.history.read(self.day, built, file)?;
        let stays = |labels: &Labels| !going.takes(tier, labels);
        let gone = file.rows - opened.count_rows(&stays, step)?;
        if gone == 0 || gone == file.rows {
            return Ok(gone);
        }
        match tier {
            Tier::Raw => self.add_staying_samples(&opened, &stays, step)?,
            Tier::Series => {
                for group in 0..opened.n_groups() {
                    step()?;
                    for one in opened.read_known_group(group)? {
                        if stays(&one.labels) {
                            self.add_known(&one)?;
                        }
                    }
                }
            }
            Tier::FiveMinutes | Tier::Hour | Tier::Day => {
                let mut stream = SeriesStream::new(opened);
                while let Some(series) = stream.next()? {
                    step()?;
                    if stays(&series.labels) {
                        self.add(tier, &series)?;
                    }
                }
            }
        }
        Ok(gone)
    }

    fn add_staying_samples(
        &mut self,
        opened: &RowFile,
        stays: &dyn Fn(&Labels) -> bool,
        step: &mut Step<'_>,
    ) -> Result<()> {
        // A series may go on in the next row group.
        let mut last: Option<SeriesSamples> = None;
        for group in 0..opened.n_groups() {
            for one in opened.read_samples_of_group(group)? {
                step()?;
                match &mut last {
                    Some(known) if known.labels == one.labels => known.samples.extend(one.samples),
                    _ => {
                        if let Some(done) = last.replace(one).filter(|one| stays(&one.labels)) {
                            self.add_samples(&done.labels, &done.samples)?;
                        }
                    }
                }
            }
        }
        match last.filter(|one| stays(&one.labels)) {
            Some(done) => self.add_samples(&done.labels, &done.samples),
            None => Ok(()),
        }
    }
}
