//! What the lines of a journal say together.

use std::collections::BTreeMap;

use super::record::{Changed, ExclusionRecord, Recorded, Revoked};
use super::{Entry, Kind};
use crate::slo::definition::Exclusion;

/// An exclusion of the journal.
#[derive(Debug, Clone)]
pub struct Journaled {
    /// What it says.
    pub exclusion: Exclusion,
    /// As it was written.
    pub record: ExclusionRecord,
    /// Who revoked it, why and when.
    pub revoked: Option<(Revoked, String, i64)>,
}

/// A statement that was closed: its entries, by place in [`Book::entries`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// The first closes, others restate.
    pub entries: Vec<usize>,
}

/// A definition as it was last recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// When it was recorded first.
    pub since_ms: i64,
    /// The last record.
    pub last: Changed,
    /// The entries of all records, by place in [`Book::entries`].
    pub changes: Vec<usize>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// All entries.
    pub entries: Vec<Entry>,
    /// By name.
    pub exclusions: BTreeMap<String, Journaled>,
    /// By SLA and label of the period.
    pub statements: BTreeMap<(String, String), Closed>,
    /// By kind and name.
    pub definitions: BTreeMap<(String, String), Known>,
}

impl Book {
    /// Exclusions that hold.
    pub fn in_force(&self) -> impl Iterator<Item = &Exclusion> {
        self.exclusions.values().filter(|one| one.revoked.is_none()).map(|one| &one.exclusion)
    }

    /// The entries of a statement that was closed.
    #[must_use]
    pub fn statement(&self, sla: &str, period: &str) -> Vec<&Entry> {
        let closed = self.statements.get(&(sla.to_owned(), period.to_owned()));
        let places = closed.map(|closed| closed.entries.as_slice()).unwrap_or_default();
        places.iter().filter_map(|at| self.entries.get(*at)).collect()
    }

    /// Takes an entry in. Says what does not fit to what was before.
    pub(super) fn apply(&mut self, entry: Entry, recorded: Recorded) -> Result<(), String> {
        let at = self.entries.len();
        match recorded {
            Recorded::Exclusion(record) => {
                let exclusion = record.exclusion()?;
                let name = record.name.clone();
                if self.exclusions.contains_key(&name) {
                    return Err(format!("the exclusion {name:?} exists already"));
                }
                self.exclusions.insert(name, Journaled { exclusion, record, revoked: None });
            }
            Recorded::Revoked(revoked) => {
                let Some(one) = self.exclusions.get_mut(&revoked.name) else {
                    return Err(format!("there is no exclusion {:?} in the journal", revoked.name));
                };
                if one.revoked.is_some() {
                    return Err(format!("the exclusion {:?} is revoked already", revoked.name));
                }
                one.revoked = Some((revoked, entry.author.clone(), entry.at_ms));
            }
            Recorded::Statement(kind, statement) => {
                let key = (statement.sla, statement.period);
                let first = !self.statements.contains_key(&key);
                if first != (kind == Kind::StatementClosed) {
                    let word = if first { "was not closed" } else { "is closed already" };
                    return Err(format!("the statement of {} about {} {word}", key.0, key.1));
                }
                self.statements.entry(key).or_default().entries.push(at);
            }
            Recorded::Changed(changes) => {
                for last in changes.changes {
                    let key = (last.kind.clone(), last.name.clone());
                    let known = self.definitions.remove(&key);
                    let since_ms = known.as_ref().map_or(entry.at_ms, |known| known.since_ms);
                    let mut changes = known.map(|known| known.changes).unwrap_or_default();
                    changes.push(at);
                    self.definitions.insert(key, Known { since_ms, last, changes });
                }
            }
        }
        self.entries.push(entry);
        Ok(())
    }
}
