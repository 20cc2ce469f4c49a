//! Documents of other versions and tools as documents of OpenSLO v1.
//!
//! A converted document keeps the places of what it was made of, so that what is wrong with it is told where it was
//! written. What has no counterpart is told, and never dropped in silence.

mod pyrra;
mod sloth;
mod v1alpha;
mod v2alpha;

use super::document::{self, File};
use super::reader::{Field, Fields, Report};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::yaml::{self, Content, Node, Style};

/// What documents can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `prometheus/v1` and the custom resource PrometheusServiceLevel.
    Sloth,
    /// The custom resource ServiceLevelObjective.
    Pyrra,
    /// OpenSLO v1alpha and v2alpha; v1 stays as it is.
    OpenSlo,
}

/// Which tool's documents have this apiVersion.
pub(super) fn importable(version: &str) -> Option<&'static str> {
    match version {
        version if version.starts_with("sloth.slok.dev/") => Some("sloth"),
        version if version.starts_with("pyrra.dev/") => Some("pyrra"),
        _ => None,
    }
}

/// A document as those of OpenSLO v1 that it stands for, where it is one of OpenSLO.
pub(super) fn to_v1(root: &Node, report: &Report<'_>) -> Vec<Node> {
    match root.get("apiVersion").and_then(Node::text) {
        Some("openslo/v1alpha") => v1alpha::convert(root, report),
        Some("openslo.com/v2alpha") => vec![v2alpha::convert(root)],
        _ => vec![root.clone()],
    }
}

/// The documents of a text of another tool as a text of OpenSLO v1, and all that is wrong or was not carried over.
/// Documents with errors are left out.
#[must_use]
pub fn import(tool: Tool, name: &str, text: &str) -> (String, Vec<Diagnostic>) {
    let (documents, faults) = yaml::read(text);
    let report = Report::new(name, text);
    for fault in faults {
        report.error(fault.spot, "", fault.code, fault.message);
    }
    let mut converted = Vec::new();
    for document in documents.iter().filter(|document| !document.faulty) {
        let errors = report.errors();
        let found = match tool {
            Tool::OpenSlo => to_v1(&document.root, &report),
            Tool::Sloth => sloth::convert(&document.root, &report),
            Tool::Pyrra => pyrra::convert(&document.root, &report),
        };
        if report.errors() > errors {
            continue;
        }
        for node in found {
            let errors = report.errors();
            document::one(&node, document, &report);
            if report.errors() == errors {
                converted.push(node);
            }
        }
    }
    let mut file = File { drafts: Vec::new(), diagnostics: report.into_diagnostics() };
    super::sort(&mut file.diagnostics);
    (yaml::print(&converted), file.diagnostics)
}

/// A plain scalar.
fn plain(like: &Node, text: impl Into<String>) -> Node {
    Node::scalar(like, text, Style::Plain)
}

/// A scalar that is a text whatever it looks like.
fn text(like: &Node, text: impl Into<String>) -> Node {
    Node::scalar(like, text, Style::Double)
}

/// `metricSource` of a query.
fn metric(query: &Node, mut more: Vec<(&str, Node)>) -> Node {
    let mut spec = vec![("query", query.clone())];
    spec.append(&mut more);
    let source = Node::map(
        query,
        vec![("type", plain(query, "prometheus")), ("spec", Node::map(query, spec))],
    );
    Node::map(query, vec![("metricSource", source)])
}

/// An SLI inside of an SLO.
fn indicator(like: &Node, kind: &str, metric: Node) -> Node {
    Node::map(like, vec![("spec", Node::map(like, vec![(kind, metric)]))])
}

/// A document.
fn document(like: &Node, kind: &str, metadata: Node, spec: Node) -> Node {
    let entries = vec![
        ("apiVersion", plain(like, "openslo/v1")),
        ("kind", plain(like, kind)),
        ("metadata", metadata),
        ("spec", spec),
    ];
    Node::map(like, entries)
}

/// Tells what is not carried over, where it is written.
fn not_carried(field: &Field<'_>, why: &str) {
    field.warning("not-carried", format!("{} is not carried over: {why}", last(&field.path)), "");
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The first of several spellings of a field.
fn either<'a>(fields: &Fields<'a>, one: &'static str, other: &'static str) -> Option<Field<'a>> {
    let (first, second) = (fields.get(one), fields.get(other));
    first.or(second)
}

/// Adds the entries of a mapping to others; they win.
fn overlay(base: &mut Vec<(String, Node)>, field: Option<Field<'_>>) {
    let Some(field) = field else { return };
    let Content::Map(entries) = &field.node.content else {
        field.pairs();
        return;
    };
    for entry in entries {
        base.retain(|(key, _)| *key != entry.key);
        base.push((entry.key.clone(), entry.value.clone()));
    }
}

/// A mapping of these entries.
fn mapping(like: &Node, entries: &[(String, Node)]) -> Node {
    Node::map(like, entries.iter().map(|(key, value)| (key.as_str(), value.clone())).collect())
}
