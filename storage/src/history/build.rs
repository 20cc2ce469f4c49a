//! The files of a day, from their first row to their commit.

use std::collections::{BTreeMap, BTreeSet};

use super::History;
use super::columns::RowColumns;
use super::commit::{Change, FileEntry, staged_name};
use super::keep::Going;
use super::keys::TableColumns;
use super::known::{KnownColumns, KnownSeries};
use super::period::{Day, Part, Tier};
use super::raw::RawColumns;
use super::row::SeriesRows;
use super::together::MonthChange;
use super::writer::{FileTold, FileWriter};
use crate::error::Result;
use crate::model::{DAY_MS, Labels};

/// What became of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Building {
    /// Its rows are in the history.
    Done,
    /// Its rows are in the history, and outdated: samples of its day were changed meanwhile.
    Outrun,
    /// Raw samples of its day went meanwhile because of their age: the rows that it had stay.
    Late,
}

impl History {
    /// Begins the files of a day. Ends an earlier build that was not finished.
    pub fn build(&self, day: Day) -> Build<'_> {
        *self.building.lock() = Some((day.input(), false));
        let revision = self.state().days.get(&day.0).map_or(0, |built| built.revision) + 1;
        // Those of a build that failed.
        if let Err(error) = self.files.remove_staged(Part::Day(day), revision) {
            tracing::warn!(%error, %day, "unfinished files of the history stay until the next build");
        }
        Build::new(self, day, revision)
    }
}

/// The files of a day in the making.
pub struct Build<'a> {
    pub(super) history: &'a History,
    pub(super) day: Day,
    revision: u32,
    n_series: u64,
    rows: Writers<RowColumns>,
    raw: Writers<RawColumns>,
    known: Writers<KnownColumns>,
    series: u64,
    /// Rows that are too old to be added.
    going: Option<Going<'a>>,
    /// Tables that lack such rows.
    cut: BTreeSet<Tier>,
}

/// Files in the making by table and folder.
type Writers<C> = BTreeMap<(Tier, String), FileWriter<C>>;

impl<'a> Build<'a> {
    pub(super) const fn new(history: &'a History, day: Day, revision: u32) -> Self {
        Self {
            history,
            day,
            revision,
            n_series: 1,
            rows: BTreeMap::new(),
            raw: BTreeMap::new(),
            known: BTreeMap::new(),
            series: 0,
            going: None,
            cut: BTreeSet::new(),
        }
    }

    /// Tells how many series there will be at most, before the first is added.
    pub fn expect_series(&mut self, n_series: u64) {
        self.n_series = n_series;
    }

    /// Leaves out rows that are too old, from now on.
    pub(crate) fn leave_out(&mut self, going: Going<'a>) {
        self.going = Some(going);
    }

    /// Tells that no row is added because all are too old.
    pub(crate) fn leave_out_all(&mut self) {
        self.cut.extend(Tier::ALL);
    }

    /// Whether the rows of a series are left out of a table.
    fn leaves_out(&mut self, tier: Tier, labels: &Labels) -> bool {
        let goes = self.going.is_some_and(|going| going.takes(tier, labels));
        if goes {
            self.cut.insert(tier);
        }
        goes
    }

    /// Adds the rows of a series, all of one tier. Series come ascending by metric, id and labels.
    pub fn add(&mut self, tier: Tier, series: &SeriesRows) -> Result<()> {
        if self.leaves_out(tier, &series.labels) {
            return Ok(());
        }
        self.series += u64::from(tier == Tier::Day);
        let partition = |end_ms: i64| tier.partition(end_ms);
        let mut done: Option<String> = None;
        for row in &series.rows {
            let folder = partition(row.end_ms);
            if done.as_ref() == Some(&folder) {
                continue;
            }
            let choose = |end_ms: i64| partition(end_ms) == folder;
            self.writer(|build| &mut build.rows, tier, &folder)?.add(series, choose)?;
            done = Some(folder);
        }
        Ok(())
    }

    /// Adds the samples of a series, ascending in time. The order of series is that of rows.
    pub fn add_samples(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> Result<()> {
        if samples.is_empty() || self.leaves_out(Tier::Raw, labels) {
            return Ok(());
        }
        let partition = |sample: &(i64, f64)| Tier::Raw.partition(sample.0);
        // The last millisecond lies in the next folder.
        for samples in samples.chunk_by(|a, b| a.0.div_euclid(DAY_MS) == b.0.div_euclid(DAY_MS)) {
            let Some(folder) = samples.first().map(partition) else { continue };
            self.writer(|build| &mut build.raw, Tier::Raw, &folder)?.add(labels, samples)?;
        }
        Ok(())
    }

    /// Adds what is known of a series. The order of series is that of rows.
    pub fn add_known(&mut self, series: &KnownSeries) -> Result<()> {
        if self.leaves_out(Tier::Series, &series.labels) {
            return Ok(());
        }
        let end_ms = self.day.end_ms();
        let folder = Tier::Series.partition(end_ms);
        self.writer(|build| &mut build.known, Tier::Series, &folder)?.add(end_ms, series)
    }

    fn writer<C: TableColumns>(
        &mut self,
        of: impl Fn(&mut Self) -> &mut Writers<C>,
        tier: Tier,
        folder: &str,
    ) -> Result<&mut FileWriter<C>> {
        use std::collections::btree_map::Entry;
        let Self { history, day, revision, n_series, .. } = *self;
        match of(self).entry((tier, folder.to_owned())) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let part = Part::Day(day);
                let path = history.files.stage(&staged_name(tier, folder, part, revision))?;
                let told = FileTold { tenant: &history.tenant, tier, part, revision };
                Ok(place.insert(FileWriter::create(&*history.disk, &path, &told, n_series)?))
            }
        }
    }

    /// Makes what was added durable. [`Finished::commit`] makes it the history.
    pub fn finish(self) -> Result<Finished<'a>> {
        self.finish_stepping(&mut || Ok(()))
    }

    pub(super) fn finish_files(self) -> Result<Finished<'a>> {
        let mut files = Vec::new();
        for ((tier, _), writer) in self.raw {
            files.push(FileEntry::new(tier, &writer.finish()?));
        }
        for ((tier, _), writer) in self.rows {
            files.push(FileEntry::new(tier, &writer.finish()?));
        }
        for ((tier, _), writer) in self.known {
            files.push(FileEntry::new(tier, &writer.finish()?));
        }
        self.history.files.sync_staged()?;
        let Self { history, day, revision, series, cut, .. } = self;
        Ok(Finished { history, day, revision, files, series, month: None, cut })
    }
}

/// The files of a day, durable, and named by nobody yet.
pub struct Finished<'a> {
    pub(super) history: &'a History,
    pub(super) day: Day,
    pub(super) revision: u32,
    /// The files.
    pub files: Vec<FileEntry>,
    /// Series that have rows.
    pub series: u64,
    pub(super) month: Option<MonthChange>,
    /// Tables that lack rows which were too old.
    cut: BTreeSet<Tier>,
}

impl Finished<'_> {
    /// Puts the files in the place of those that the day had. The caller keeps samples from being changed
    /// meanwhile.
    pub fn commit(self, now_ms: i64) -> Result<Building> {
        let Self { history, day, revision, files, month, cut, .. } = self;
        let outdated = !matches!(history.building.lock().take(), Some((_, false)));
        if !history.state().has_raw(day) || !history.may_change(month.as_ref()) {
            history.files.remove_staged(Part::Day(day), revision)?;
            if let Some(MonthChange { month, revision, .. }) = month {
                history.files.remove_staged(Part::Month(month), revision)?;
            }
            return Ok(Building::Late);
        }
        let mut changes = match month.clone() {
            Some(month) => month.changes(day, revision, files),
            None => vec![Change::Built { day, revision, files }],
        };
        if !cut.is_empty() {
            let tables = cut.into_iter().collect();
            changes.push(Change::Gone { first: day, last: day, tables });
        }
        if outdated {
            // One commit: nobody takes the rows for those of the samples that are there now.
            changes.push(Change::Outdated { first: day, last: day });
        }
        history.commit(changes)?;
        // It is the history from here on; a file that stays where it is waits for the next round.
        history.place_day(day, revision, month.as_ref(), now_ms)?;
        Ok(if outdated { Building::Outrun } else { Building::Done })
    }
}
