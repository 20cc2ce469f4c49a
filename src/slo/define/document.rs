//! One text: its documents, by apiVersion and kind.

use super::exclusion::About;
use super::indicator::Indicator;
use super::nearest::nearest;
use super::reader::{Field, Fields, Report};
use super::slo::{Links, SloDraft};
use super::{Reference, agreement, alerts, convert, exclusion, indicator, metadata, people, slo};
use crate::slo::definition::{Exclusion, Place, Service, Sla, Slo, Team};
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::yaml::{self, Document, Node};

/// Versions whose documents are read.
const API_VERSIONS: [&str; 4] = [OPENSLO, OWN, "openslo/v1alpha", "openslo.com/v2alpha"];
const OPENSLO: &str = "openslo/v1";
const OWN: &str = "nines.dev/v1";
const OPENSLO_KINDS: [&str; 7] = [
    "Service",
    "SLO",
    "SLI",
    "DataSource",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
];
const OWN_KINDS: [&str; 3] = ["SLA", "Exclusion", "Team"];

/// A text that was read.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) drafts: Vec<Draft>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl File {
    /// Whether something in it is left out.
    pub(super) fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(|told| told.severity == Severity::Error)
    }
}

/// A document without errors of its own.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Service(Service),
    Team(Team),
    /// SLOs that need no other document, of one document.
    Slos {
        slos: Vec<Slo>,
        links: Links,
        sources: Vec<Reference>,
    },
    /// An SLO whose indicators stand elsewhere.
    Pending(Box<SloDraft>),
    Sli {
        name: String,
        place: Place,
        indicator: Box<Indicator>,
    },
    Sla(Sla, Reference),
    Exclusion(Exclusion, About),
    DataSource(String),
    AlertPolicy(String),
    /// Checked, and used by nobody.
    Other,
}

/// Reads a text.
pub(super) fn read(name: &str, text: &str) -> File {
    let (documents, faults) = yaml::read(text);
    let report = Report::new(name, text);
    for fault in faults {
        report.error(fault.spot, "", fault.code, fault.message);
    }
    let mut drafts = Vec::new();
    let defines = |document: &&Document| !document.faulty && !is_test(&document.root);
    for document in documents.iter().filter(defines) {
        for node in convert::to_v1(&document.root, &report) {
            drafts.extend(one(&node, document, &report));
        }
    }
    let mut diagnostics = report.into_diagnostics();
    super::sort(&mut diagnostics);
    File { drafts, diagnostics }
}

/// Whether a document is a test of definitions, which may stand beside them.
fn is_test(root: &Node) -> bool {
    root.get("apiVersion").is_none() && root.get("slo_tests").is_some()
}

/// Reads one document of OpenSLO v1 or our own; `document` is what it was written as.
pub(super) fn one(root: &Node, document: &Document, report: &Report<'_>) -> Option<Draft> {
    let errors = report.errors();
    let fields = Field::new(root, String::new(), report).fields()?;
    let version = fields.need_hint("apiVersion", "write openslo/v1")?;
    let name = version.text()?;
    let kinds: &[&str] = match name {
        OPENSLO => &OPENSLO_KINDS,
        OWN => &OWN_KINDS,
        other => {
            let hint = convert::importable(other).map_or_else(
                || {
                    nearest(other, API_VERSIONS)
                        .map(|meant| format!("did you mean {meant}?"))
                        .unwrap_or_default()
                },
                |tool| format!("convert it: nines slo import --from {tool} FILE"),
            );
            version.warning(
                "unknown-api-version",
                format!("documents of apiVersion {other:?} are skipped"),
                hint,
            );
            return None;
        }
    };
    let kind_field = fields.need("kind")?;
    let kind = kind_field.text()?;
    let written = source_of(report.text, document);
    let draft = match (name, kind) {
        (OPENSLO, "Service") => people::service(&fields, report).map(Draft::Service),
        (OPENSLO, "SLO") => slo_draft(&fields, written, report),
        (OPENSLO, "SLI") => sli(&fields, written),
        (OPENSLO, "DataSource") => people::data_source(&fields).map(Draft::DataSource),
        (OPENSLO, "AlertPolicy") => {
            alerts::read(&fields, alerts::policy_spec).map(Draft::AlertPolicy)
        }
        (OPENSLO, "AlertCondition") => {
            alerts::read(&fields, alerts::condition_spec).map(|_| Draft::Other)
        }
        (OPENSLO, "AlertNotificationTarget") => {
            alerts::read(&fields, alerts::target_spec).map(|_| Draft::Other)
        }
        (OWN, "Team") => people::team(&fields).map(Draft::Team),
        (OWN, "SLA") => agreement::read(&fields).map(|(sla, slo)| Draft::Sla(sla, slo)),
        (OWN, "Exclusion") => {
            exclusion::read(&fields).map(|(one, about)| Draft::Exclusion(one, about))
        }
        _ => {
            let elsewhere = [(OPENSLO, &OPENSLO_KINDS[..]), (OWN, &OWN_KINDS[..])];
            let meant = elsewhere.into_iter().find(|(_, kinds)| kinds.contains(&kind));
            let hint = match (meant, nearest(kind, kinds.iter().copied())) {
                (Some((version, _)), _) => format!("its apiVersion is {version}"),
                (None, Some(meant)) => format!("did you mean {meant}?"),
                (None, None) => format!("kinds are {}", kinds.join(", ")),
            };
            kind_field.error_hint(
                "unknown-kind",
                format!("{kind:?} is not a kind of {name}"),
                hint,
            );
            None
        }
    };
    // Fields that nobody asked for are told after the document was read: it is left out as well.
    draft.filter(|_| report.errors() == errors)
}

/// The text of a document, without the line that begins it.
fn source_of<'a>(text: &'a str, document: &Document) -> &'a str {
    let written = text.get(document.span.clone()).unwrap_or_default();
    let Some(rest) = written.strip_prefix("---") else { return written };
    match rest.split_once('\n') {
        Some((line, rest)) if line.trim().is_empty() || line.trim().starts_with('#') => rest,
        _ => rest,
    }
}

fn slo_draft(fields: &Fields<'_>, written: &str, report: &Report<'_>) -> Option<Draft> {
    let errors = report.errors();
    let draft = slo::read(fields, written)?;
    if report.errors() > errors {
        return None;
    }
    if draft.indicators().next().is_some() {
        return Some(Draft::Pending(Box::new(draft)));
    }
    let slos = draft.complete(&|_| None, &mut |told| report.tell(told))?;
    let sources = draft.sources().cloned().collect();
    Some(Draft::Slos { slos, sources, links: draft.links })
}

fn sli(fields: &Fields<'_>, written: &str) -> Option<Draft> {
    let metadata = metadata::read(fields);
    let spec = fields.need("spec").and_then(|field| indicator::read(&field));
    fields.finish();
    let (metadata, mut indicator) = (metadata?, spec?);
    written.clone_into(&mut indicator.source);
    Some(Draft::Sli { name: metadata.name, place: metadata.place, indicator: Box::new(indicator) })
}
