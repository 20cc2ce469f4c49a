//! Exclusions that are made while the program runs: written to the journal with who and why, and revoked the same way.
//! Those of files are changed in the files.

use serde::Serialize;

use super::define::load_texts;
use super::definition::{Definitions, Exclusion, Place};
use super::diagnostic::{Diagnostic, Severity};
use super::error::{Result, SloError};
use super::journal::{AUTHOR_BYTES_MAX, Book, Entry, ExclusionRecord, Journal, Recorded, Revoked};
use super::report::Instant;

/// The name of a text that came over the API or the standard input.
pub const BODY: &str = "-";
/// The name of a spec that has none, while it is read.
const UNNAMED: &str = "unnamed";
/// What makes a document of a spec, but for its name. The spec begins in a line of its own.
const HEAD: &str = r#"{"apiVersion": "nines.dev/v1", "kind": "Exclusion", "metadata": {"name": "#;
/// Bytes of a note at most.
const NOTE_BYTES_MAX: usize = 16 << 10;

/// An exclusion that was read, and what else is to be known of it.
#[derive(Debug)]
pub struct Read {
    /// The exclusion, made now; without a name where it is to be given one.
    pub exclusion: Exclusion,
    /// What is probably not what was meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a document of kind Exclusion, or the JSON of its spec alone, which is called `name` (empty: [`create`] finds
/// one). All that is wrong is told at once.
pub fn read(
    text: &str,
    name: &str,
    definitions: &Definitions,
    now_ms: i64,
) -> std::result::Result<Read, Vec<Diagnostic>> {
    let is_spec = matches!(
        serde_json::from_str::<serde_json::Value>(text),
        Ok(serde_json::Value::Object(fields)) if !fields.contains_key("apiVersion")
    );
    let is_unnamed = is_spec && name.is_empty();
    let wrapped;
    let whole = if is_spec {
        let name = serde_json::Value::from(if is_unnamed { UNNAMED } else { name });
        wrapped = format!("{HEAD}{name}}}, \"spec\":\n{text}\n}}\n");
        &wrapped
    } else {
        text
    };
    let (found, mut diagnostics) = load_texts(&[(BODY, whole)]);
    // What it is about is defined elsewhere.
    diagnostics.retain(|one| one.code != "dangling-reference");
    for one in diagnostics.iter_mut().filter(|_| is_spec) {
        one.line = one.line.saturating_sub(1);
    }
    let n_others = found.slos.len() + found.services.len() + found.teams.len() + found.slas.len();
    let place = Place { file: BODY.to_owned(), line: 1, column: 1 };
    let is_broken = |all: &[Diagnostic]| all.iter().any(|one| one.severity == Severity::Error);
    if !is_broken(&diagnostics) && (found.exclusions.len() != 1 || n_others > 0) {
        let message = format!(
            "there are {} exclusions and {n_others} other documents, and one exclusion is needed",
            found.exclusions.len()
        );
        diagnostics.push(Diagnostic::error(&place, "", "not-one-exclusion", message));
    }
    let mut exclusion = found.exclusions.into_values().next();
    if let Some(exclusion) = exclusion.as_mut().filter(|_| is_unnamed) {
        exclusion.name.clear();
    }
    if let Some(exclusion) = &exclusion {
        diagnostics.extend(check(exclusion, definitions));
    }
    match exclusion {
        Some(exclusion) if !is_broken(&diagnostics) => {
            let exclusion = Exclusion { created_ms: Some(now_ms), ..exclusion };
            Ok(Read { exclusion, warnings: diagnostics })
        }
        _ => Err(diagnostics),
    }
}

/// What a document does not tell by itself.
fn check(exclusion: &Exclusion, definitions: &Definitions) -> Vec<Diagnostic> {
    let mut told = Vec::new();
    let place = &exclusion.place;
    if exclusion.created_ms.is_some() {
        let message = "createdAt is the time at which this arrives".to_owned();
        let hint = "leave it out";
        told.push(
            Diagnostic::error(place, "spec.createdAt", "settings-differ", message).hint(hint),
        );
    }
    let texts = [
        ("spec.note", &exclusion.note, NOTE_BYTES_MAX),
        ("spec.author", &exclusion.author, AUTHOR_BYTES_MAX),
    ];
    for (path, text, max) in texts {
        if text.trim().is_empty() {
            told.push(Diagnostic::error(place, path, "missing-field", format!("{path} is empty")));
        } else if text.len() > max {
            let message = format!("{path} is longer than {max} bytes");
            told.push(Diagnostic::error(place, path, "bad-value", message));
        }
    }
    if definitions.exclusions.contains_key(&exclusion.name) {
        let message = format!("the exclusion {:?} is defined in a file already", exclusion.name);
        told.push(Diagnostic::error(place, "metadata.name", "duplicate-name", message));
    }
    let mut dangling = |path: &str, kind: &str, name: &String| {
        let message = format!("there is no {kind} {name:?}");
        told.push(Diagnostic::error(place, path, "dangling-reference", message).warning());
    };
    for name in exclusion.slos.iter().filter(|name| !definitions.slos.contains_key(*name)) {
        dangling("spec.match.slos", "SLO", name);
    }
    for name in &exclusion.services {
        let used = definitions.slos.values().any(|slo| slo.service == *name);
        if !used && !definitions.services.contains_key(name) {
            dangling("spec.match.services", "service", name);
        }
    }
    told
}

/// A name for an exclusion that has none.
fn free_name(book: &Book, definitions: &Definitions, now_ms: i64) -> String {
    let day = Instant(now_ms).to_string();
    let day = day.get(..10).unwrap_or_default();
    let mut n = book.entries.len() + 1;
    loop {
        let name = format!("exclusion-{day}-{n}");
        if !book.exclusions.contains_key(&name) && !definitions.exclusions.contains_key(&name) {
            return name;
        }
        n += 1;
    }
}

/// Writes an exclusion to the journal, from when on it holds; answers what it is called.
pub fn create(
    journal: &Journal,
    definitions: &Definitions,
    exclusion: &Exclusion,
    now_ms: i64,
) -> Result<(String, Entry)> {
    let mut record = ExclusionRecord::of(exclusion);
    let mut name = record.name.clone();
    let entry = journal.append(now_ms, &exclusion.author, |book| {
        if name.is_empty() {
            name = free_name(book, definitions, now_ms);
            record.name.clone_from(&name);
        }
        match book.exclusions.contains_key(&name) {
            true => Err(SloError::Invalid(format!("the exclusion {name:?} exists already"))),
            false => Ok(Recorded::Exclusion(record)),
        }
    })?;
    Ok((name, entry))
}

/// Ends an exclusion of the journal.
pub fn revoke(
    journal: Option<&Journal>,
    definitions: &Definitions,
    (name, author, note): (&str, &str, &str),
    now_ms: i64,
) -> Result<Entry> {
    let known = |book: &Book| book.exclusions.contains_key(name);
    let Some(journal) = journal.filter(|journal| known(&journal.book())) else {
        return Err(match definitions.exclusions.get(name) {
            Some(one) => SloError::Invalid(format!(
                "the exclusion {name:?} stands in {}: take it out there",
                one.place.file
            )),
            None => SloError::NotFound(format!("exclusion {name:?}")),
        });
    };
    for (what, text, max) in [("note", note, NOTE_BYTES_MAX), ("author", author, AUTHOR_BYTES_MAX)]
    {
        if text.trim().is_empty() || text.len() > max {
            return Err(SloError::Invalid(format!(
                "revoking needs {what}, a text of 1 to {max} bytes"
            )));
        }
    }
    let revoked = Revoked { name: name.to_owned(), note: note.to_owned() };
    journal.append(now_ms, author, |_| Ok(Recorded::Revoked(revoked)))
}

/// Who revoked an exclusion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevokedBy {
    /// When.
    pub at: Instant,
    /// Who.
    pub author: String,
    /// Why.
    pub note: String,
}

/// An exclusion in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// What it says.
    #[serde(flatten)]
    pub exclusion: ExclusionRecord,
    /// `file` or `journal`.
    pub source: &'static str,
    /// The file, of one that stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Whether it holds.
    pub in_force: bool,
    /// Who revoked it.
    pub revoked: Option<RevokedBy>,
}

/// All exclusions, revoked ones included, by name.
#[must_use]
pub fn list(definitions: &Definitions, book: Option<&Book>) -> Vec<Listed> {
    let mut all: Vec<Listed> = definitions
        .exclusions
        .values()
        .map(|one| Listed {
            exclusion: ExclusionRecord::of(one),
            source: "file",
            file: one.place.file.clone(),
            in_force: true,
            revoked: None,
        })
        .collect();
    for one in book.iter().flat_map(|book| book.exclusions.values()) {
        let by = one.revoked.as_ref().map(|(revoked, author, at_ms)| RevokedBy {
            at: Instant(*at_ms),
            author: author.clone(),
            note: revoked.note.clone(),
        });
        all.push(Listed {
            exclusion: one.record.clone(),
            source: "journal",
            file: String::new(),
            in_force: by.is_none(),
            revoked: by,
        });
    }
    all.sort_by(|a, b| a.exclusion.name.cmp(&b.exclusion.name));
    all
}
