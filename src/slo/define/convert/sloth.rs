//! Sloth: `version: prometheus/v1`, and the custom resource PrometheusServiceLevel with the same in camel case.

use super::{document, either, indicator, mapping, metric, not_carried, overlay, plain, text};
use crate::slo::define::reader::{Field, Fields, Report};
use crate::slo::yaml::Node;

/// The window that Sloth means where none is told.
const WINDOW: &str = "30d";

/// Reads a document: one SLO of v1 for each of its SLOs.
pub(super) fn convert(root: &Node, report: &Report<'_>) -> Vec<Node> {
    let Some(fields) = Field::new(root, String::new(), report).fields() else { return Vec::new() };
    let mut labels = Vec::new();
    let spec = if fields.key("apiVersion").is_some() {
        if let Some(version) = fields.get("apiVersion") {
            version.one_of(&[("sloth.slok.dev/v1", ())]);
        }
        if let Some(kind) = fields.need("kind") {
            kind.one_of(&[("PrometheusServiceLevel", ())]);
        }
        if let Some(metadata) = fields.need("metadata").and_then(|field| field.fields()) {
            for name in ["name", "namespace", "labels", "annotations"] {
                if let Some(field) = metadata.get(name) {
                    not_carried(&field, "it is about the resource, not about its SLOs");
                }
            }
            metadata.finish();
        }
        let spec = fields.need("spec").and_then(|field| field.fields());
        fields.finish();
        spec
    } else {
        if let Some(version) = fields.need_hint("version", "write prometheus/v1") {
            version.one_of(&[("prometheus/v1", ())]);
        }
        Some(fields)
    };
    let Some(spec) = spec else { return Vec::new() };
    let service = spec.need("service");
    overlay(&mut labels, spec.get("labels"));
    if let Some(plugins) = either(&spec, "slo_plugins", "sloPlugins") {
        not_carried(&plugins, "nines has no plugins");
    }
    let slos = spec.need("slos").and_then(|field| field.list()).unwrap_or_default();
    spec.finish();
    let Some(service) = service else { return Vec::new() };
    slos.iter().filter_map(|field| slo(field, &service, labels.clone())).collect()
}

fn slo(field: &Field<'_>, service: &Field<'_>, mut labels: Vec<(String, Node)>) -> Option<Node> {
    let fields = field.fields()?;
    let name = fields.need("name").and_then(|field| Some((field.word()?, field)));
    let description = fields.get("description");
    let objective = fields.need("objective");
    overlay(&mut labels, fields.get("labels"));
    let indicator = fields.need("sli").and_then(|field| sli(&field));
    let mut annotations = Vec::new();
    if let Some(alerting) = fields.get("alerting").and_then(|field| field.fields()) {
        alerts(&alerting, field.node, &mut annotations);
    }
    if let Some(plugins) = fields.get("plugins") {
        not_carried(&plugins, "nines has no plugins");
    }
    fields.finish();
    let ((name, name_field), objective) = (name?, objective?);
    let like = field.node;
    let full = format!("{}-{name}", service.word()?);
    let mut metadata = vec![("name", text(name_field.node, full))];
    if !labels.is_empty() {
        metadata.push(("labels", mapping(like, &labels)));
    }
    if !annotations.is_empty() {
        metadata.push(("annotations", mapping(like, &annotations)));
    }
    let window = vec![("duration", plain(like, WINDOW)), ("isRolling", plain(like, "true"))];
    let mut spec: Vec<(&str, Node)> = Vec::new();
    spec.extend(description.map(|field| ("description", field.node.clone())));
    spec.push(("service", service.node.clone()));
    spec.push(("budgetingMethod", plain(like, "Occurrences")));
    spec.push(("timeWindow", Node::list(like, vec![Node::map(like, window)])));
    spec.push(("indicator", indicator?));
    let objective = Node::map(objective.node, vec![("targetPercent", objective.node.clone())]);
    spec.push(("objectives", Node::list(&objective, vec![objective.clone()])));
    Some(document(like, "SLO", Node::map(like, metadata), Node::map(like, spec)))
}

fn sli(field: &Field<'_>) -> Option<Node> {
    let fields = field.fields()?;
    let (events, raw) = (fields.get("events"), fields.get("raw"));
    let plugin = fields.get("plugin");
    fields.finish();
    if let Some(plugin) = plugin {
        let hint = "write the queries that the plugin makes: sloth generate shows them";
        plugin.error_hint("not-carried", "SLIs of plugins cannot be carried over", hint);
        return None;
    }
    if let Some(events) = events {
        let inner = events.fields()?;
        let bad = either(&inner, "error_query", "errorQuery");
        let total = either(&inner, "total_query", "totalQuery");
        inner.finish();
        let (Some(bad), Some(total)) = (bad, total) else {
            events.error("missing-field", "the queries of errors and of all events are missing");
            return None;
        };
        let entries = vec![
            ("counter", plain(events.node, "true")),
            ("bad", metric(bad.node, Vec::new())),
            ("total", metric(total.node, Vec::new())),
        ];
        return Some(indicator(events.node, "ratioMetric", Node::map(events.node, entries)));
    }
    let Some(raw) = raw else {
        field.error("missing-field", "events or raw is missing");
        return None;
    };
    let inner = raw.fields()?;
    let ratio = either(&inner, "error_ratio_query", "errorRatioQuery");
    inner.finish();
    let Some(ratio) = ratio else {
        raw.error("missing-field", "the query of the ratio is missing");
        return None;
    };
    let entries =
        vec![("rawType", plain(raw.node, "failure")), ("raw", metric(ratio.node, Vec::new()))];
    Some(indicator(raw.node, "ratioMetric", Node::map(raw.node, entries)))
}

/// Alerts are made by nines from the burn rate; a runbook stays.
fn alerts(alerting: &Fields<'_>, like: &Node, annotations: &mut Vec<(String, Node)>) {
    let mut disabled = 0;
    for (one, other) in [("page_alert", "pageAlert"), ("ticket_alert", "ticketAlert")] {
        let Some(fields) = either(alerting, one, other).and_then(|field| field.fields()) else {
            continue;
        };
        if fields.get("disable").and_then(|field| field.truth()) == Some(true) {
            disabled += 1;
        }
        for name in ["labels", "annotations"] {
            if let Some(field) = fields.get(name) {
                not_carried(&field, "alerts of nines have the labels of their SLO");
            }
        }
        fields.finish();
    }
    let windows = if disabled == 2 { "none" } else { "google" };
    annotations.push(("nines.dev/burn-alerts".to_owned(), plain(like, windows)));
    if let Some(name) = alerting.get("name") {
        not_carried(&name, "alerts of nines have the name of their SLO");
    }
    if let Some(labels) = alerting.get("labels") {
        not_carried(&labels, "alerts of nines have the labels of their SLO");
    }
    let texts = alerting.get("annotations").and_then(|field| field.pairs()).unwrap_or_default();
    for (entry, field) in texts {
        if matches!(entry.key.as_str(), "runbook" | "runbook_url") {
            annotations.push(("nines.dev/runbook".to_owned(), field.node.clone()));
        } else {
            not_carried(&field, "write it into nines.dev/signal, cause or action");
        }
    }
    alerting.finish();
}
