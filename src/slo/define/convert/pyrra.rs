//! Pyrra: the custom resource ServiceLevelObjective of pyrra.dev/v1alpha1.

use super::{document, either, indicator, mapping, metric, not_carried, plain, text};
use crate::config::PromDuration;
use crate::slo::define::reader::{Field, Fields, Report};
use crate::slo::yaml::Node;

/// Prefix of labels that Pyrra gives to what it makes.
const PREFIX: &str = "pyrra.dev/";

/// Reads a document.
pub(super) fn convert(root: &Node, report: &Report<'_>) -> Vec<Node> {
    let fields = Field::new(root, String::new(), report).fields();
    fields.and_then(|fields| slo(root, &fields)).into_iter().collect()
}

fn slo(root: &Node, fields: &Fields<'_>) -> Option<Node> {
    let version =
        fields.need("apiVersion").and_then(|field| field.one_of(&[("pyrra.dev/v1alpha1", ())]));
    let kind = fields.need("kind").and_then(|field| field.one_of(&[("ServiceLevelObjective", ())]));
    let metadata = fields.need("metadata").and_then(|field| field.fields());
    let spec = fields.need("spec").and_then(|field| field.fields());
    fields.free("status");
    fields.finish();
    let (metadata, spec) = (metadata?, spec?);
    version.and(kind)?;

    let name = metadata.need("name");
    let labels = read_labels(&metadata);
    for other in ["namespace", "annotations"] {
        if let Some(field) = metadata.get(other) {
            not_carried(&field, "it is about the resource, not about its SLO");
        }
    }
    metadata.finish();

    let description = spec.get("description");
    let target = spec.need("target").and_then(|field| target(&field));
    let window = spec.need("window").and_then(|field| window(&field));
    let measured = spec.need("indicator").and_then(|field| measured(&field));
    let alerting = spec.get("alerting").and_then(|field| field.fields());
    for (one, why) in [
        ("partial_response_strategy", "nines answers as a whole or says what is missing"),
        ("performanceOverAccuracy", "figures of nines are exact"),
    ] {
        if let Some(field) = spec.get(one) {
            not_carried(&field, why);
        }
    }
    let mut annotations = Vec::new();
    if let Some(alerting) = alerting {
        alerts(&alerting, root, &mut annotations);
    }
    spec.finish();

    let name = name?;
    let service = labels.iter().find(|(key, _)| key == "service").map(|(_, value)| value.clone());
    let service = service.unwrap_or_else(|| {
        let hint = "set spec.service to the service that it is about";
        name.warning(
            "not-carried",
            "Pyrra has no services: the service has the name of the SLO",
            hint,
        );
        name.node.clone()
    });
    let mut about = vec![("name", name.node.clone())];
    if !labels.is_empty() {
        about.push(("labels", mapping(root, &labels)));
    }
    if !annotations.is_empty() {
        about.push(("annotations", mapping(root, &annotations)));
    }
    let (indicator, mut objective) = measured?;
    objective.push(("targetPercent", target?));
    let window = vec![("duration", window?), ("isRolling", plain(root, "true"))];
    let mut entries: Vec<(&str, Node)> = Vec::new();
    entries.extend(description.map(|field| ("description", field.node.clone())));
    entries.push(("service", service));
    entries.push(("budgetingMethod", plain(root, "Occurrences")));
    entries.push(("timeWindow", Node::list(root, vec![Node::map(root, window)])));
    entries.push(("indicator", indicator));
    entries.push(("objectives", Node::list(root, vec![Node::map(root, objective)])));
    Some(document(root, "SLO", Node::map(root, about), Node::map(root, entries)))
}

fn read_labels(metadata: &Fields<'_>) -> Vec<(String, Node)> {
    let pairs = metadata.get("labels").and_then(|field| field.pairs()).unwrap_or_default();
    let named = pairs.into_iter().map(|(entry, field)| {
        let name = entry.key.strip_prefix(PREFIX).unwrap_or(&entry.key);
        (name.to_owned(), field.node.clone())
    });
    named.collect()
}

/// Percents, which Pyrra writes as a text.
fn target(field: &Field<'_>) -> Option<Node> {
    let written = match field.node.kind() {
        "a number" => field.node.text()?,
        _ => field.text()?,
    };
    Some(plain(field.node, written.trim()))
}

/// A duration of Prometheus as one of OpenSLO.
fn window(field: &Field<'_>) -> Option<Node> {
    let written = field.text()?;
    let parsed: Option<PromDuration> = written.parse().ok();
    let ms = parsed.map(PromDuration::as_ms).filter(|ms| *ms > 0 && ms % 60_000 == 0);
    let Some(ms) = ms else {
        field.error_hint(
            "bad-duration",
            format!("{written:?} is not a duration"),
            "write 28d or 30d",
        );
        return None;
    };
    let shorthand = match ms / 60_000 {
        minutes if minutes % 1440 == 0 => format!("{}d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    };
    Some(plain(field.node, shorthand))
}

type Measured = (Node, Vec<(&'static str, Node)>);

/// The indicator, and what the objective says of it.
fn measured(field: &Field<'_>) -> Option<Measured> {
    let fields = field.fields()?;
    let (ratio, latency) = (fields.get("ratio"), fields.get("latency"));
    let native = fields.get("latencyNative");
    let gauge = either(&fields, "bool_gauge", "boolGauge");
    fields.finish();
    if let Some(native) = native {
        let message = "latencies of native histograms cannot be carried over";
        let hint = "use latency with a bucket of a classic histogram";
        native.error_hint("not-carried", message, hint);
        return None;
    }
    match (ratio, latency, gauge) {
        (Some(ratio), None, None) => events(&ratio, "errors", "bad"),
        (None, Some(latency), None) => events(&latency, "success", "good"),
        (None, None, Some(gauge)) => {
            let inner = gauge.fields()?;
            let (query, grouping) = (inner.need("metric"), inner.get("grouping"));
            inner.finish();
            let metric = metric(query?.node, grouped(grouping));
            let objective =
                vec![("op", plain(gauge.node, "gte")), ("value", plain(gauge.node, "1"))];
            Some((indicator(gauge.node, "thresholdMetric", metric), objective))
        }
        (None, None, None) => {
            field.error("missing-field", "ratio, latency or bool_gauge is missing");
            None
        }
        _ => {
            field.error("two-metrics", "several indicators are set");
            None
        }
    }
}

fn events(field: &Field<'_>, side: &'static str, part: &'static str) -> Option<Measured> {
    let fields = field.fields()?;
    let metric_of = |field: Field<'_>| -> Option<Node> {
        let inner = field.fields()?;
        let query = inner.need("metric").map(|query| query.node.clone());
        inner.finish();
        query
    };
    let counted = fields.need(side).and_then(metric_of);
    let total = fields.need("total").and_then(metric_of);
    let grouping = fields.get("grouping");
    fields.finish();
    let (counted, total) = (counted?, total?);
    let entries = vec![
        ("counter", plain(field.node, "true")),
        (part, metric(&counted, Vec::new())),
        ("total", metric(&total, grouped(grouping))),
    ];
    Some((indicator(field.node, "ratioMetric", Node::map(field.node, entries)), Vec::new()))
}

fn grouped(grouping: Option<Field<'_>>) -> Vec<(&'static str, Node)> {
    grouping.map(|field| ("groupBy", field.node.clone())).into_iter().collect()
}

/// Alerts are made by nines from the burn rate.
fn alerts(alerting: &Fields<'_>, like: &Node, annotations: &mut Vec<(String, Node)>) {
    let truth = |name| alerting.get(name).and_then(|field| field.truth());
    let off = truth("disabled") == Some(true) || truth("burnrates") == Some(false);
    let windows = if off { "none" } else { "google" };
    annotations.push(("nines.dev/burn-alerts".to_owned(), text(like, windows)));
    for name in ["name", "absentName", "absent"] {
        if let Some(field) = alerting.get(name) {
            not_carried(&field, "alerts of nines have the name of their SLO");
        }
    }
    alerting.finish();
}
