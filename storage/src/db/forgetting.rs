//! Rows of the history that go by their age.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::history::{Day, FileEntry, Going, History, Month, Part, Tables, Tier};

/// Parts of which nothing more goes by the rules that have rows go now: their revisions, and how many such rules were
/// looked at.
#[derive(Default)]
pub(super) struct Kept(Mutex<BTreeMap<Part, (u32, usize)>>);

impl Db {
    /// Takes rows out of the history that are older than they are kept. The fault of one part does not keep the
    /// others.
    pub(super) fn forget_rows(
        &self,
        history: &History,
        now_ms: i64,
        step: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let keeps = self.options.history_keeps.as_slice();
        if keeps.is_empty() {
            return Ok(());
        }
        let (mut answer, mut rows, mut parts) = (Ok(()), 0, 0u64);
        let state = history.state();
        let days = state
            .days
            .iter()
            .map(|(day, built)| (Part::Day(Day(*day)), built.revision, &built.files));
        let months = state
            .months
            .iter()
            .map(|(month, told)| (Part::Month(Month(*month)), told.revision, &told.files));
        for (part, revision, files) in days.chain(months) {
            let first = match part {
                Part::Day(day) => day,
                Part::Month(month) => month.first(),
            };
            let going = Going::of(keeps, first, now_ms);
            let looked_at = (revision, going.n_rules());
            let concerns = |file: &&FileEntry| going.some(file.tier);
            if !files.iter().any(|file| concerns(&file))
                || self.rolling.kept.0.lock().get(&part) == Some(&looked_at)
            {
                continue;
            }
            let rewritten = files.iter().filter(concerns).filter(|file| !going.all(file.tier));
            let needed: u64 = rewritten.map(|file| file.bytes).sum();
            if needed > 0 {
                self.check_space(needed)?;
            }
            let gone = match part {
                Part::Day(day) => history.forget_day(day, &going, now_ms, step),
                Part::Month(month) => history.forget_month(month, &going, now_ms, step),
            };
            match gone {
                Ok(0) => drop(self.rolling.kept.0.lock().insert(part, looked_at)),
                Ok(gone) => {
                    tracing::debug!(%part, rows = gone, "rows went by their age");
                    (rows, parts) = (rows + gone, parts + 1);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Canceled) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    if matches!(error, Error::Corrupt(_)) {
                        // Until the next start.
                        self.rolling.kept.0.lock().insert(part, looked_at);
                    }
                    tracing::error!(%error, %part, "rows of the history could not be removed by their age");
                    answer = answer.and(Err(error));
                }
            }
        }
        if parts > 0 {
            tracing::info!(rows, parts, "rows of days and months of the history went by their age");
        }
        answer
    }

    /// What is left out of the rows of a day that is built now, some in these tables of a policy; the second says
    /// whether that is all.
    pub(super) fn going(&self, day: Day, named: Tables, now_ms: i64) -> (Going<'_>, bool) {
        let going = Going::of(&self.options.history_keeps, day, now_ms);
        let of_all = Tier::OF_ALL_SERIES.into_iter().chain([Tier::Series]);
        let all = of_all.chain(named.tiers()).all(|tier| going.all(tier));
        (going, all)
    }
}
