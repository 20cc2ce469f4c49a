//! A new target in the text of a definition: everything else stays as it was written.

use chrono::{DateTime, NaiveDate, TimeZone as _};
use chrono_tz::Tz;

use super::document::{self, Draft};
use super::times::instant_of;
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Target, TimeWindow};
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::yaml::{self, Content, Node, Style};

/// First instant of a history that is begun with a change.
const BEGINNING: &str = "1970-01-01T00:00:00+00:00";
const HISTORY: &str = "nines.dev/target-history";

/// Why a target was not set.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The time is none.
    #[error(
        "{0:?} is neither a day such as 2026-04-16 nor an instant such as 2026-04-16T00:00:00+00:00"
    )]
    Time(String),
    /// Nothing would change.
    #[error("the target is {0} already")]
    Same(Decimal),
    /// It is written in a way that cannot be changed in place.
    #[error("line {line}: {what} cannot be changed in place: change it by hand")]
    Form {
        /// Where.
        line: usize,
        /// What.
        what: &'static str,
    },
    /// The text would not be valid any more.
    #[error("the definition would not be valid:\n{}", list(.0))]
    Invalid(Vec<Diagnostic>),
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The text with another target of an SLO from a day or instant on; `None` if the SLO is not in it.
///
/// # Errors
/// See [`EditError`]; the text is not to be changed then.
pub fn set_target(
    file: &str,
    text: &str,
    slo: &str,
    target: Decimal,
    from: &str,
) -> Result<Option<String>, EditError> {
    let (documents, _) = yaml::read(text);
    let found = documents.iter().map(|document| &document.root).find(|root| {
        let version = root.get("apiVersion").and_then(Node::text);
        let name =
            root.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
        let kind = root.get("kind").and_then(Node::text);
        version == Some("openslo/v1") && kind == Some("SLO") && name == Some(slo)
    });
    let Some(root) = found else { return Ok(None) };
    let before = defined(file, text, slo).map_err(EditError::Invalid)?;
    let Some(old) = before.targets.last().copied() else { return Ok(None) };
    if old.target == target {
        return Err(EditError::Same(target));
    }
    let zone = match &before.window {
        TimeWindow::Calendar(calendar) => calendar.zone,
        TimeWindow::Rolling { .. } => Tz::UTC,
    };
    let (from, from_ms) = instant(from, zone)?;
    let mut edits =
        vec![objective(text, root, target)?, history(text, root, old.target, &from, target)?];
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.at.start));
    let mut changed = text.to_owned();
    for edit in edits {
        changed.replace_range(edit.at, &edit.text);
    }
    let after = defined(file, &changed, slo).map_err(EditError::Invalid)?;
    let mut expected = before.targets;
    expected.push(Target { from_ms, target });
    if after.targets != expected || after.counts != before.counts {
        return Err(EditError::Form { line: root.spot.line, what: "the definition" });
    }
    Ok(Some(changed))
}

/// What a text says of an SLO.
struct Defined {
    window: TimeWindow,
    targets: Vec<Target>,
    /// Of what is counted, where the text alone tells.
    counts: Option<u64>,
}

/// What a text says of an SLO, or what is wrong with the text.
fn defined(file: &str, text: &str, slo: &str) -> Result<Defined, Vec<Diagnostic>> {
    let read = document::read(file, text);
    let found = read.drafts.iter().find_map(|draft| match draft {
        Draft::Slos { slos, .. } => {
            let one = slos.iter().find(|one| one.name == slo)?;
            let targets = one.objectives.first()?.targets.clone();
            Some(Defined { window: one.window.clone(), targets, counts: Some(one.counts_hash) })
        }
        Draft::Pending(pending) if pending.name().0 == slo => {
            let (window, targets) = pending.promised();
            Some(Defined { window, targets, counts: None })
        }
        _ => None,
    });
    let errors = || read.diagnostics.iter().filter(|told| told.severity == Severity::Error);
    found.ok_or_else(|| errors().cloned().collect())
}

struct Edit {
    at: std::ops::Range<usize>,
    text: String,
}

/// An instant as it is written into the history. A day begins at midnight in the zone of the window.
fn instant(text: &str, zone: Tz) -> Result<(String, i64), EditError> {
    let invalid = || EditError::Time(text.to_owned());
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok((time.to_rfc3339(), time.timestamp_millis()));
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| invalid())?;
    let midnight = day.and_hms_opt(0, 0, 0).ok_or_else(invalid)?;
    let time = zone.from_local_datetime(&midnight).earliest().ok_or_else(invalid)?;
    let written = time.to_rfc3339();
    let ms = instant_of(&written).ok_or_else(invalid)?;
    Ok((written, ms))
}

/// The change of the first objective.
fn objective(text: &str, root: &Node, target: Decimal) -> Result<Edit, EditError> {
    let objectives = root.get("spec").and_then(|spec| spec.get("objectives"));
    let first = match objectives.map(|node| &node.content) {
        Some(Content::List(items)) => items.first(),
        _ => None,
    };
    let form = |line| EditError::Form { line, what: "the target" };
    let first = first.ok_or_else(|| form(root.spot.line))?;
    let (node, written) = match (first.get("target"), first.get("targetPercent")) {
        (Some(node), _) => (node, target.to_string()),
        (None, Some(node)) => (node, percents(target).ok_or_else(|| form(node.spot.line))?),
        (None, None) => return Err(form(first.spot.line)),
    };
    // An alias stands for what is written elsewhere.
    if text.get(node.span.clone()) != node.text() {
        return Err(form(node.spot.line));
    }
    Ok(Edit { at: node.span.clone(), text: written })
}

fn percents(target: Decimal) -> Option<String> {
    let (digits, power) = target.fraction();
    let percent: Decimal =
        format!("{}e-{}", digits.checked_mul(100)?, power.ilog10()).parse().ok()?;
    (percent.percent() == Some(target)).then(|| percent.to_string())
}

/// The change of the history: a line more, or a history of two lines.
fn history(
    text: &str,
    root: &Node,
    old: Decimal,
    from: &str,
    target: Decimal,
) -> Result<Edit, EditError> {
    let form = |node: &Node, what| EditError::Form { line: node.spot.line, what };
    let metadata = root.get("metadata").ok_or_else(|| form(root, "metadata"))?;
    let line = format!("{from} {target}");
    let annotations = metadata.get("annotations");
    if let Some(node) = annotations.and_then(|node| node.get(HISTORY)) {
        return longer(text, node, &line).ok_or_else(|| form(node, "the history"));
    }
    let pair = format!("{HISTORY}: \"{BEGINNING} {old}\\n{line}\\n\"");
    if let Some(node) = annotations {
        return first_entry(text, node, &pair, "").ok_or_else(|| form(node, "annotations"));
    }
    let flow = text.get(metadata.span.clone()).is_some_and(|written| written.starts_with('{'));
    let added = if flow {
        first_entry(text, metadata, &format!("annotations: {{{pair}}}"), "")
    } else {
        first_entry(text, metadata, &pair, "annotations:")
    };
    added.ok_or_else(|| form(metadata, "metadata"))
}

/// Puts an entry before the others of a mapping, below a key of its own if there is one.
fn first_entry(text: &str, node: &Node, pair: &str, key: &str) -> Option<Edit> {
    let Content::Map(entries) = &node.content else { return None };
    if text.get(node.span.clone())?.starts_with('{') {
        let at = node.span.start + 1;
        let written = if entries.is_empty() { pair.to_owned() } else { format!("{pair}, ") };
        return Some(Edit { at: at..at, text: written });
    }
    let first = entries.first()?;
    let line = text.get(..first.span.start)?.rsplit('\n').next()?;
    let indent = " ".repeat(line.chars().count());
    let written = match key {
        "" => format!("{pair}\n{indent}"),
        key => format!("{key}\n{indent}  {pair}\n{indent}"),
    };
    Some(Edit { at: first.span.start..first.span.start, text: written })
}

/// A line more at the end of a history.
fn longer(text: &str, node: &Node, line: &str) -> Option<Edit> {
    let Content::Scalar { text: value, style } = &node.content else { return None };
    let written = text.get(node.span.start..)?;
    match style {
        Style::Literal => {
            // The block begins behind its indentation.
            let indent = " ".repeat(node.spot.column - 1);
            let last = value.trim_end().lines().count().checked_sub(1)?;
            let line_end: usize = written.split_inclusive('\n').take(last + 1).map(str::len).sum();
            let at = node.span.start + line_end;
            let breaks = text[..at].ends_with('\n');
            let text =
                if breaks { format!("{indent}{line}\n") } else { format!("\n{indent}{line}") };
            Some(Edit { at: at..at, text })
        }
        Style::Double => {
            let end = node.span.end.checked_sub(1).filter(|end| text[*end..].starts_with('"'))?;
            let text =
                if value.ends_with('\n') { format!("{line}\\n") } else { format!("\\n{line}") };
            Some(Edit { at: end..end, text })
        }
        Style::Plain | Style::Single => {
            // One line alone can stand without line breaks.
            let source = text.get(node.span.clone())?;
            if source.trim_matches('\'') != value {
                return None;
            }
            Some(Edit { at: node.span.clone(), text: format!("\"{value}\\n{line}\\n\"") })
        }
        Style::Folded => None,
    }
}
