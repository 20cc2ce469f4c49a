//! Statements: open while their period runs, final when they are closed, and restated beside that when the data say
//! something else later. What was closed never changes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Figures, Line, Summary, figures, periods};
use crate::slo::decimal::Decimal;
use crate::slo::definition::Sla;
use crate::slo::desk::Desk;
use crate::slo::error::{Result, SloError};
use crate::slo::evaluate::Asked;
use crate::slo::journal::{Entry, Journal, Kind, Recorded};
use crate::slo::report::{Count, Instant};

/// How far a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Its figures may change.
    Open,
    /// Its figures are closed.
    Final,
    /// They are, and the data say something else by now.
    Restated,
}

/// When something was written to the journal, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// When.
    pub at: Instant,
    /// By whom.
    pub author: String,
    /// The entry.
    pub seq: u64,
}

impl From<&Entry> for Written {
    fn from(entry: &Entry) -> Self {
        Self { at: Instant(entry.at_ms), author: entry.author.clone(), seq: entry.seq }
    }
}

/// Old and new figures of a group that differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The group; empty for all together.
    pub group: BTreeMap<String, String>,
    /// As it was closed; `null` for a group that was not there.
    pub before: Option<Line>,
    /// As it is now; `null` for a group that is not there any more.
    pub after: Option<Line>,
}

/// What a closed statement would say by later data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Restatement {
    /// 2 for the first one: 1 is the closed statement.
    pub revision: usize,
    /// Where the journal has it; `null` until it is written there.
    pub recorded: Option<Written>,
    /// What differs from the closed statement.
    pub changes: Vec<Change>,
    /// All figures.
    pub figures: Figures,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statement {
    /// The SLA.
    pub sla: String,
    /// With whom it was agreed.
    pub party: String,
    /// The label of the period.
    pub period: String,
    /// How far it is.
    pub state: State,
    /// The figures that count: the closed ones once there are any.
    pub figures: Figures,
    /// Who closed it and when.
    pub closed: Option<Written>,
    /// When it is closed by itself.
    #[serde(rename = "closesAt")]
    pub closes_at: Instant,
    /// Ascending.
    pub restatements: Vec<Restatement>,
}

impl Statement {
    /// The statement with the figures of one of its revisions: 1 is the closed one.
    #[must_use]
    pub fn of_revision(mut self, revision: usize) -> Option<Self> {
        self.closed.as_ref()?;
        if revision != 1 {
            let at = self.restatements.iter().position(|one| one.revision == revision)?;
            self.figures = self.restatements.swap_remove(at).figures;
        }
        self.restatements.retain(|one| one.revision < revision);
        Some(self)
    }
}

/// The figures that an entry of a statement recorded.
pub(super) fn recorded(journal: &Journal, entry: &Entry) -> Result<Figures> {
    match journal.recorded(entry)? {
        Recorded::Statement(_, record) => Ok(record.figures),
        _ => Err(SloError::Invalid(format!("entry {} of the journal is no statement", entry.seq))),
    }
}

fn restatement(
    (revision, written): (usize, Option<Written>),
    closed: &Figures,
    figures: Figures,
) -> Restatement {
    Restatement { revision, recorded: written, changes: changes(closed, &figures), figures }
}

/// What differs between two figures, all together first.
fn changes(before: &Figures, after: &Figures) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.pooled != after.pooled {
        changes.push(Change {
            group: BTreeMap::new(),
            before: Some(before.pooled.clone()),
            after: Some(after.pooled.clone()),
        });
    }
    let by_group = |figures: &Figures| -> BTreeMap<BTreeMap<String, String>, Line> {
        figures.groups.iter().map(|line| (line.group.clone(), line.clone())).collect()
    };
    let mut old = by_group(before);
    for (group, line) in by_group(after) {
        let was = old.remove(&group);
        if was.as_ref() != Some(&line) {
            changes.push(Change { group, before: was, after: Some(line) });
        }
    }
    changes.extend(old.into_iter().map(|(group, line)| Change {
        group,
        before: Some(line),
        after: None,
    }));
    changes
}

/// The statement of a period as it stands.
pub fn statement<'a>(
    desk: &Desk<'a>,
    journal: Option<&Journal>,
    sla: &'a Sla,
    period: &Asked,
) -> Result<Statement> {
    let now = figures(desk, sla, period, true)?;
    with_figures(journal, sla, period, now)
}

/// The same with what the figures are now.
pub(super) fn with_figures(
    journal: Option<&Journal>,
    sla: &Sla,
    period: &Asked,
    now: Figures,
) -> Result<Statement> {
    let closes_at = Instant(period.to_ms.saturating_add(sla.close_after_ms));
    let mut statement = Statement {
        sla: sla.name.clone(),
        party: sla.party.clone(),
        period: period.label.clone(),
        state: State::Open,
        figures: now,
        closed: None,
        closes_at,
        restatements: Vec::new(),
    };
    let book = journal.map(Journal::book);
    let entries = book.as_ref().map(|book| book.statement(&sla.name, &period.label));
    let (Some(journal), Some((first, later))) =
        (journal, entries.as_deref().and_then(<[&Entry]>::split_first))
    else {
        return Ok(statement);
    };
    let closed = recorded(journal, first)?;
    for (at, entry) in later.iter().enumerate() {
        let figures = recorded(journal, entry)?;
        let written = (at + 2, Some(Written::from(*entry)));
        statement.restatements.push(restatement(written, &closed, figures));
    }
    let now = statement.figures;
    let last = statement.restatements.last().map_or(&closed, |last| &last.figures);
    if is_news(last, &now) {
        let revision = later.len() + 2;
        statement.restatements.push(restatement((revision, None), &closed, now));
    }
    let as_closed =
        statement.restatements.last().is_none_or(|last| last.figures.say_the_same(&closed));
    statement.state = if as_closed { State::Final } else { State::Restated };
    statement.figures = closed;
    statement.closed = Some(Written::from(*first));
    Ok(statement)
}

/// Whether figures say something else, and no less: samples that retention has taken since are no news.
pub(super) fn is_news(last: &Figures, now: &Figures) -> bool {
    !last.say_the_same(now) && !now.lacks.more_than(&last.lacks)
}

/// A statement in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The label of the period.
    pub period: String,
    /// Its beginning.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// How far it is; `restated` when the journal has a restatement.
    pub state: State,
    /// What is promised.
    pub target: Decimal,
    /// How many kept the promise.
    pub summary: Summary,
    /// All groups together.
    pub counted: Count,
    /// Bad ones.
    pub bad: Count,
    /// Good of all.
    pub sli: Option<f64>,
    /// Whether every number is the true one.
    pub exact: bool,
}

/// The statements of the periods that share time with (`from_ms`, `to_ms`]: closed ones as the journal has them,
/// others as they are now.
pub fn list<'a>(
    desk: &Desk<'a>,
    journal: Option<&Journal>,
    sla: &'a Sla,
    (from_ms, to_ms): (i64, i64),
) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    let book = journal.map(Journal::book);
    for period in periods(sla, from_ms, to_ms.min(desk.now_ms))? {
        let entries = book.as_ref().map(|book| book.statement(&sla.name, &period.label));
        let entries = entries.unwrap_or_default();
        let (state, figures) = match (journal, entries.split_first()) {
            (Some(journal), Some((first, later))) => {
                let restated = later.iter().any(|entry| entry.kind == Kind::StatementRestated);
                let state = if restated { State::Restated } else { State::Final };
                (state, recorded(journal, first)?)
            }
            _ => (State::Open, figures(desk, sla, &period, false)?),
        };
        all.push(Listed {
            period: period.label,
            from: figures.from,
            to: figures.to,
            state,
            target: figures.target,
            summary: figures.summary,
            counted: figures.pooled.counted,
            bad: figures.pooled.bad,
            sli: figures.pooled.sli,
            exact: figures.exact,
        });
    }
    Ok(all)
}
