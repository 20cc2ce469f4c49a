//! What an SLO was over time: what the journal recorded of its definition, and the targets of the one in force.
//!
//! A report names what it was counted and judged by (`definitionVersion`): for each target that held in its window one
//! word, which [`word`] makes. The targets of an answer have the same words.

use nines_storage::query::Budget;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::decimal::Decimal;
use super::definition::{Definitions, Objective, Slo, Target};
use super::error::{Result, SloError};
use super::journal::{Changed, Journal, Recorded};
use super::report::Instant;
use super::slices::zone;

/// Records of one answer at most, the newest ones.
pub const VERSIONS_MAX: usize = 1_000;
/// The kind of these definitions in the journal.
const KIND: &str = "SLO";

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// The SLO.
    pub slo: String,
    /// The definition in force; nothing when it went.
    pub definition: Option<InForce>,
    /// Its targets.
    pub targets: Vec<TargetVersion>,
    /// What was recorded, the oldest first.
    pub items: Vec<Version>,
    /// How many older records are left out.
    pub earlier: usize,
}

/// A definition in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InForce {
    /// The number of its record; nothing while there is none.
    pub version: Option<u64>,
    /// Tells its text from others.
    pub hash: String,
    /// Where it stands.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// A definition as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// When nines saw it first.
    pub since: Instant,
    /// Whether it is gone since then.
    pub removed: bool,
    /// Tells its text from others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Where it stood last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The target that was its newest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// As its annotation `nines.dev/git-ref` says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_ref: String,
    /// As its annotation `nines.dev/author` says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
}

/// A target, and how reports name what is counted and judged by it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetVersion {
    /// The objective, of a composite.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub objective: String,
    /// Since when; nothing: always.
    pub from: Option<Instant>,
    /// The target.
    pub target: Decimal,
    /// The word of reports.
    pub definition_version: String,
}

/// The word of what is counted by an objective and judged by one of its targets.
#[must_use]
pub fn word(slo: &Slo, objective: &Objective, target: &Target) -> String {
    let Target { from_ms, target } = target;
    let mut text = format!("{:016x} {:?} {from_ms} {target}", slo.counts_hash, zone(slo));
    if slo.objectives.len() > 1 {
        text.push_str(&format!(
            " {:?} {} {}",
            slo.composite, objective.display_name, objective.weight
        ));
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// What an SLO was over time.
pub fn versions(
    definitions: &Definitions,
    journal: &Journal,
    name: &str,
    budget: &Budget,
) -> Result<Versions> {
    let slo = definitions.slos.get(name);
    let (items, earlier) = recorded(journal, name, budget)?;
    if slo.is_none() && items.is_empty() {
        return Err(SloError::NotFound(format!("SLO {name:?}")));
    }
    let definition = slo.map(|slo| {
        let hash = format!("{:016x}", slo.document_hash);
        let last = items.last().filter(|last| last.hash == hash);
        InForce {
            version: last.map(|last| last.version),
            hash,
            file: slo.place.file.clone(),
            line: slo.place.line,
            text: slo.source.clone(),
        }
    });
    let targets = slo.map(targets).unwrap_or_default();
    Ok(Versions { slo: name.to_owned(), definition, targets, items, earlier })
}

fn targets(slo: &Slo) -> Vec<TargetVersion> {
    let mut all = Vec::new();
    for objective in &slo.objectives {
        all.extend(objective.targets.iter().map(|target| TargetVersion {
            objective: match slo.objectives.len() {
                1 => String::new(),
                _ => objective.display_name.clone(),
            },
            from: (target.from_ms != i64::MIN).then_some(Instant(target.from_ms)),
            target: target.target,
            definition_version: word(slo, objective, target),
        }));
    }
    all
}

/// Records of an SLO, and how many older ones are left out.
fn recorded(journal: &Journal, name: &str, budget: &Budget) -> Result<(Vec<Version>, usize)> {
    let book = journal.book();
    let known = book.definitions.get(&(KIND.to_owned(), name.to_owned()));
    let changes = known.map(|known| known.changes.as_slice()).unwrap_or_default();
    let earlier = changes.len().saturating_sub(VERSIONS_MAX);
    let mut items: Vec<Version> = Vec::new();
    for (n, at) in changes.iter().enumerate().skip(earlier) {
        let Some(entry) = book.entries.get(*at) else { continue };
        budget.check()?;
        // While it is read there is its text, and what it says.
        let _reading = budget.reserve(2 * entry.bytes() as u64)?;
        let Recorded::Changed(all) = journal.recorded(entry)? else { continue };
        let own = all.changes.into_iter().find(|one| one.kind == KIND && one.name == name);
        let Some(Changed { file, hash, target, git_ref, author, .. }) = own else { continue };
        let (version, since) = (n as u64 + 1, Instant(entry.at_ms));
        let removed = hash.is_empty();
        items.push(Version { version, since, removed, hash, file, target, git_ref, author });
    }
    Ok((items, earlier))
}
