//! Closing statements: when somebody says so, or by itself some time after the period.

use std::collections::BTreeMap;
use std::sync::Arc;

use nines_storage::model::TimeRange;

use super::statement::{Statement, is_news, recorded, with_figures};
use super::{figures, periods};
use crate::slo::definition::Sla;
use crate::slo::desk::Desk;
use crate::slo::error::{Result, SloError};
use crate::slo::evaluate::Asked;
use crate::slo::journal::{Book, Journal, Kind, Recorded, SYSTEM, StatementRecord};

/// Closed statements that a round compares with the data by now at most, beside those whose data are known to have
/// changed.
pub const CHECKS_PER_ROUND: usize = 20;
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
fn due(sla: &Sla, book: &Book, since_ms: Option<i64>, now_ms: i64) -> Result<Vec<Asked>> {
    let over_by = now_ms.saturating_sub(sla.close_after_ms);
    let Some(current) = sla.calendar.at(now_ms) else { return Ok(Vec::new()) };
    let mut from_ms = current.from_ms;
    for _ in 0..PERIODS_BACK {
        from_ms = sla.calendar.at(from_ms).map_or(from_ms, |before| before.from_ms);
    }
    let since_ms = since_ms.unwrap_or(from_ms).min(from_ms);
    let mut due = periods(sla, since_ms, now_ms)?;
    due.retain(|period| {
        period.to_ms <= over_by
            && !book.statements.contains_key(&(sla.name.clone(), period.label.clone()))
    });
    Ok(due)
}

/// What a look at an SLA has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Statements that were closed.
    pub closed: usize,
    /// Statements that were restated.
    pub restated: usize,
}

/// Closes and restates what is due, again and again; it knows what it has looked at.
#[derive(Debug, Default)]
pub struct Closer {
    /// By tenant, SLA and label of the period: the number of the last change that was seen.
    seen: BTreeMap<(String, String, String), u64>,
    checks: usize,
}

impl Closer {
    /// Begins a round over all tenants and SLAs.
    pub fn begin(&mut self) {
        self.checks = 0;
    }

    /// Looks at one SLA of one tenant. `since_ms` is since when it is known. The journal is made when there is
    /// something to write.
    pub fn look(
        &mut self,
        desk: &Desk<'_>,
        tenant: &str,
        sla: &Sla,
        since_ms: Option<i64>,
        journal: &dyn Fn() -> Result<Arc<Journal>>,
    ) -> Result<Done> {
        let mut done = Done::default();
        let known = journal()?;
        for period in due(sla, &known.book(), since_ms, desk.now_ms)? {
            // Who has no samples of an SLO has no statements about it.
            if !figures(desk, sla, &period, false)?.is_empty() {
                close(desk, &known, sla, &period, SYSTEM)?;
                done.closed += 1;
            }
        }
        let book = known.book();
        let of_this = |key: &&(String, String)| key.0 == sla.name;
        for (_, label) in book.statements.keys().rev().filter(of_this) {
            let Ok(period) = super::period(sla, label) else { continue };
            let changes = desk.owner.map_or(0, |owner| {
                owner.changes.last_within(TimeRange::new(period.from_ms + 1, period.to_ms))
            });
            let key = (tenant.to_owned(), sla.name.clone(), label.clone());
            match self.seen.get(&key) {
                Some(seen) if *seen == changes => continue,
                Some(_) => {}
                None => {
                    // After a start it is not known what came before it: a few at a time.
                    self.checks += 1;
                    if self.checks > CHECKS_PER_ROUND {
                        continue;
                    }
                }
            }
            let before = book.statement(&sla.name, label).len();
            close(desk, &known, sla, &period, SYSTEM)?;
            done.restated += usize::from(known.book().statement(&sla.name, label).len() > before);
            self.seen.insert(key, changes);
        }
        Ok(done)
    }
}
