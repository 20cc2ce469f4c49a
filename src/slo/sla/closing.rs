//! Closing statements: when somebody says so, or by itself some time after the period.

use std::collections::BTreeMap;
use std::sync::Arc;

use nines_storage::Error;
use nines_storage::model::TimeRange;
use nines_storage::query::Budget;

use super::statement::{Statement, is_news, recorded, with_figures};
use super::{Judged, figures};
use crate::slo::calendar::Period;
use crate::slo::definition::Sla;
use crate::slo::desk::{Desk, PERIODS_MAX};
use crate::slo::error::{Result, SloError};
use crate::slo::evaluate::Asked;
use crate::slo::journal::{Book, Journal, Kind, Recorded, SYSTEM, StatementRecord};

/// Closed statements that a round compares with the data by now at most, beside those whose data are known to have
/// changed.
pub const CHECKS_PER_ROUND: usize = 20;
/// How long a period that has failed rests before it is tried again: at first, and at most.
const PAUSE_MS: i64 = 60_000;
const PAUSE_MAX_MS: i64 = 3_600_000;
/// Periods back that are closed of an SLA that is new.
const PERIODS_BACK: usize = 2;

/// Closes the statement of a period that is over, or restates a closed one if the data say something else by now.
pub fn close<'a>(
    desk: &Desk<'a>,
    journal: &Journal,
    sla: &'a Sla,
    period: &Asked,
    author: &str,
) -> Result<Statement> {
    if period.to_ms > desk.now_ms {
        return Err(SloError::Invalid(format!(
            "the period {} of SLA {:?} is not over: it ends at {}",
            period.label,
            sla.name,
            crate::clock::format_rfc3339(period.to_ms)
        )));
    }
    let now = figures(desk, sla, period, true)?;
    let record = StatementRecord {
        sla: sla.name.clone(),
        period: period.label.clone(),
        figures: now.clone(),
    };
    let book = journal.book();
    let entries = book.statement(&sla.name, &period.label);
    let last = match entries.last() {
        Some(last) => Some(recorded(journal, last)?),
        None => None,
    };
    let kind = match &last {
        None => Some(Kind::StatementClosed),
        Some(last) => is_news(last, &now).then_some(Kind::StatementRestated),
    };
    if let Some(kind) = kind {
        journal.append(desk.now_ms, author, |book| {
            match book.statement(&sla.name, &period.label).len() == entries.len() {
                true => Ok(Recorded::Statement(kind, record)),
                false => Err(SloError::Invalid(format!(
                    "somebody else has closed the statement of {} about {} meanwhile: look at it again",
                    sla.name, period.label
                ))),
            }
        })?;
    }
    with_figures(Some(journal), sla, period, now)
}

/// The periods of an SLA that are due to be closed: over for as long as it says, and not before its time.
fn due(sla: &Sla, book: &Book, since_ms: Option<i64>, now_ms: i64) -> Vec<Asked> {
    let over_by = now_ms.saturating_sub(sla.close_after_ms);
    let mut due = Vec::new();
    let Some(current) = sla.calendar.at(now_ms) else { return due };
    let mut from_ms = current.from_ms;
    for _ in 0..PERIODS_BACK {
        from_ms = sla.calendar.at(from_ms).map_or(from_ms, |before| before.from_ms);
    }
    let mut at = since_ms.unwrap_or(from_ms).min(from_ms);
    loop {
        let page = sla.calendar.within(at, over_by, PERIODS_MAX);
        let Some(last) = page.last() else { return due };
        at = last.to_ms;
        for Period { from_ms, to_ms, label } in page {
            let key = (sla.name.clone(), label);
            if to_ms <= over_by && !book.statements.contains_key(&key) {
                due.push(Asked { from_ms, to_ms, label: key.1 });
            }
        }
    }
}

/// What a look at an SLA has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Statements that were closed.
    pub closed: usize,
    /// Statements that were restated.
    pub restated: usize,
}

/// With what a period was looked at: it says the same until one of these changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// The number of the last change of its samples.
    changes: u64,
    /// Of what is agreed, counted and excluded.
    version: u64,
}

/// Why a period could not be looked at, and when it is tried again.
#[derive(Debug)]
struct Failed {
    pause_ms: i64,
    until_ms: i64,
    why: String,
}

/// Tenant, SLA and label of the period.
type Key = (String, String, String);

/// Closes and restates what is due, again and again; it knows what it has looked at.
#[derive(Debug, Default)]
pub struct Closer {
    /// Closed periods, and those that are due and have nothing to be closed.
    seen: BTreeMap<Key, Seen>,
    failed: BTreeMap<Key, Failed>,
    checks: usize,
}

impl Closer {
    /// Begins a round over all tenants and SLAs.
    pub fn begin(&mut self, now_ms: i64) {
        self.checks = 0;
        // What is not tried again any more is nobody's failure.
        self.failed.retain(|_, failed| failed.until_ms > now_ms.saturating_sub(PAUSE_MAX_MS));
    }

    /// A period that could not be looked at, and why.
    #[must_use]
    pub fn failing(&self) -> Option<String> {
        let ((tenant, sla, label), failed) = self.failed.first_key_value()?;
        Some(format!("SLA {sla:?}, period {label}, tenant {tenant:?}: {}", failed.why))
    }

    /// Looks at one SLA of one tenant. `since_ms` is since when it is known; `budget` is asked for what the look at
    /// one period may cost. A period that fails does not keep the others from their turn: [`Closer::failing`] tells.
    pub fn look(
        &mut self,
        desk: &Desk<'_>,
        tenant: &str,
        sla: &Sla,
        since_ms: Option<i64>,
        journal: &Arc<Journal>,
        budget: &dyn Fn() -> Budget,
    ) -> Result<Done> {
        let mut done = Done::default();
        let version = Judged::new(desk, sla)?.version();
        let seen = |period: &Asked| {
            let range = TimeRange::new(period.from_ms + 1, period.to_ms);
            let changes = desk.owner.map_or(0, |owner| owner.changes.last_within(range));
            Seen { changes, version }
        };
        let key = |label: &str| (tenant.to_owned(), sla.name.clone(), label.to_owned());
        for period in due(sla, &journal.book(), since_ms, desk.now_ms) {
            let (key, seen) = (key(&period.label), seen(&period));
            if self.seen.get(&key) == Some(&seen) || self.rests(&key, desk.now_ms) {
                continue;
            }
            let closed = self.attempt((key, seen), desk, budget, |desk| {
                // Who has no samples of an SLO has no statements about it.
                let is_any = !figures(desk, sla, &period, false)?.is_empty();
                if is_any {
                    close(desk, journal, sla, &period, SYSTEM)?;
                }
                Ok(is_any)
            })?;
            done.closed += usize::from(closed);
        }
        let book = journal.book();
        let of_this = |key: &&(String, String)| key.0 == sla.name;
        for (_, label) in book.statements.keys().rev().filter(of_this) {
            let Ok(period) = super::period(sla, label) else { continue };
            let (key, seen) = (key(label), seen(&period));
            let before = self.seen.get(&key);
            if before == Some(&seen) || self.rests(&key, desk.now_ms) {
                continue;
            }
            if before.is_none_or(|before| before.changes == seen.changes) {
                // After a start it is not known what came before it, and a definition is about many: a few at a time.
                self.checks += 1;
                if self.checks > CHECKS_PER_ROUND {
                    continue;
                }
            }
            let restated = self.attempt((key, seen), desk, budget, |desk| {
                let before = book.statement(&sla.name, label).len();
                close(desk, journal, sla, &period, SYSTEM)?;
                Ok(journal.book().statement(&sla.name, label).len() > before)
            })?;
            done.restated += usize::from(restated);
        }
        Ok(done)
    }

    /// Whether a period has failed and is not tried again yet.
    fn rests(&self, key: &Key, now_ms: i64) -> bool {
        self.failed.get(key).is_some_and(|failed| now_ms < failed.until_ms)
    }

    /// Looks at a period, and remembers that; fails when the look was broken off.
    fn attempt(
        &mut self,
        (key, seen): (Key, Seen),
        desk: &Desk<'_>,
        budget: &dyn Fn() -> Budget,
        work: impl FnOnce(&Desk<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let budget = budget();
        let desk = Desk { budget: &budget, ..*desk };
        let why = match work(&desk) {
            Ok(has_done) => {
                self.failed.remove(&key);
                self.seen.insert(key, seen);
                return Ok(has_done);
            }
            Err(error) => error.to_string(),
        };
        if let Err(broken_off @ Error::Canceled) = budget.check() {
            return Err(broken_off.into());
        }
        let pause_ms = self.failed.get(&key).map_or(PAUSE_MS, |last| last.pause_ms * 2);
        let pause_ms = pause_ms.min(PAUSE_MAX_MS);
        let until_ms = desk.now_ms.saturating_add(pause_ms);
        self.failed.insert(key, Failed { pause_ms, until_ms, why });
        Ok(false)
    }
}
