//! OpenSLO v1alpha: `timeWindows`, `ratioMetrics` in objectives, queries without `metricSource`.

use super::{document, indicator, metric, plain, text};
use crate::slo::define::reader::{Field, Fields, Report};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::yaml::Node;

/// Fields of an objective, and its indicator if it has one.
type Objective = (Vec<(&'static str, Node)>, Option<Node>);

/// Reads a document. Those of one SLO with several indicators become several.
pub(super) fn convert(root: &Node, report: &Report<'_>) -> Vec<Node> {
    let Some(fields) = Field::new(root, String::new(), report).fields() else { return Vec::new() };
    fields.free("apiVersion");
    let kind = fields.need("kind");
    let metadata = fields.need("metadata");
    let spec = fields.need("spec").and_then(|field| field.fields());
    fields.finish();
    let (Some(kind), Some(metadata), Some(spec)) = (kind, metadata, spec) else {
        return Vec::new();
    };
    match kind.text() {
        Some("Service") => {
            vec![document(root, "Service", metadata.node.clone(), spec.all().node.clone())]
        }
        Some("SLO") => slo(root, &metadata, &spec, report),
        Some(other) => {
            kind.error("unknown-kind", format!("{other:?} is not a kind of openslo/v1alpha"));
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn slo(root: &Node, metadata: &Field<'_>, spec: &Fields<'_>, report: &Report<'_>) -> Vec<Node> {
    let mut common: Vec<(&str, Node)> = Vec::new();
    for name in ["description", "service", "alertPolicies"] {
        if let Some(field) = spec.get(name) {
            common.push((name, field.node.clone()));
        }
    }
    let method = spec.get("budgetingMethod").map(|field| field.node.clone());
    common.push(("budgetingMethod", method.unwrap_or_else(|| plain(root, "Occurrences"))));
    if let Some(windows) = spec.need("timeWindows") {
        let items = windows.list().unwrap_or_default();
        let items: Vec<Node> = items.iter().filter_map(window).collect();
        common.push(("timeWindow", Node::list(windows.node, items)));
    }
    let shared = spec.get("indicator").and_then(|field| threshold(&field));
    let objectives = spec.need("objectives").and_then(|field| field.list()).unwrap_or_default();
    spec.finish();
    let read: Vec<Objective> = objectives.iter().filter_map(objective).collect();
    let own = read.iter().filter(|(_, ratio)| ratio.is_some()).count();
    if own == 0 || read.len() == 1 {
        let indicator = read.first().and_then(|(_, ratio)| ratio.clone()).or(shared);
        common.extend(indicator.map(|indicator| ("indicator", indicator)));
        let items = read.into_iter().map(|(entries, _)| Node::map(root, entries)).collect();
        common.push(("objectives", Node::list(root, items)));
        return vec![document(root, "SLO", metadata.node.clone(), Node::map(root, common))];
    }
    let name = metadata.node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
    let message = format!(
        "objectives with indicators of their own become SLOs: {name}-0 to {name}-{}",
        read.len() - 1
    );
    let told = Diagnostic::error(&metadata.place(), "spec.objectives", "several-slos", message);
    report.tell(told.warning());
    let mut documents = Vec::new();
    for (i, (entries, ratio)) in read.into_iter().enumerate() {
        let mut spec = common.clone();
        spec.extend(ratio.or_else(|| shared.clone()).map(|indicator| ("indicator", indicator)));
        spec.push(("objectives", Node::list(root, vec![Node::map(root, entries)])));
        let metadata = renamed(metadata.node, &format!("{name}-{i}"));
        documents.push(document(root, "SLO", metadata, Node::map(root, spec)));
    }
    documents
}

fn renamed(metadata: &Node, name: &str) -> Node {
    let mut renamed = metadata.clone();
    if let crate::slo::yaml::Content::Map(entries) = &mut renamed.content {
        for entry in entries.iter_mut().filter(|entry| entry.key == "name") {
            entry.value = text(&entry.value, name);
        }
    }
    renamed
}

fn window(field: &Field<'_>) -> Option<Node> {
    let fields = field.fields()?;
    let units = [
        ("Minute", "m"),
        ("Hour", "h"),
        ("Day", "d"),
        ("Week", "w"),
        ("Month", "M"),
        ("Quarter", "Q"),
        ("Year", "Y"),
    ];
    let unit = fields.need("unit").and_then(|field| field.one_of(&units));
    let count = fields.need("count").and_then(|field| Some((field.decimal()?, field)));
    let (rolling, calendar) = (fields.get("isRolling"), fields.get("calendar"));
    fields.finish();
    let (count, count_field) = count?;
    let mut entries = vec![("duration", text(count_field.node, format!("{count}{}", unit?)))];
    entries.extend(rolling.map(|field| ("isRolling", field.node.clone())));
    entries.extend(calendar.map(|field| ("calendar", field.node.clone())));
    Some(Node::map(field.node, entries))
}

fn threshold(field: &Field<'_>) -> Option<Node> {
    let fields = field.fields()?;
    let inner = fields.need("thresholdMetric").and_then(|field| query(&field));
    fields.finish();
    Some(indicator(field.node, "thresholdMetric", inner?))
}

/// `source`, `queryType` and `query` as a metric of v1.
fn query(field: &Field<'_>) -> Option<Node> {
    let fields = field.fields()?;
    let language = fields.get("queryType").and_then(|field| Some((field.text()?, field)));
    let source = fields.get("source").and_then(|field| field.text());
    let query = fields.need("query");
    if let Some(more) = fields.get("metadata") {
        super::not_carried(&more, "nines does not use it");
    }
    fields.finish();
    if let Some((name, field)) = language
        && !name.eq_ignore_ascii_case("promql")
    {
        let hint = "nines asks PromQL";
        field.error_hint("unsupported-source", format!("queries of {name} cannot be asked"), hint);
        return None;
    }
    let mut metric = metric(query?.node, Vec::new());
    if let (Some(source), crate::slo::yaml::Content::Map(outer)) = (source, &mut metric.content)
        && let Some(inner) = outer.first_mut()
        && let crate::slo::yaml::Content::Map(entries) = &mut inner.value.content
        && let Some(kind) = entries.first_mut()
    {
        kind.value = text(&kind.value, source);
    }
    Some(metric)
}

fn objective(field: &Field<'_>) -> Option<Objective> {
    let fields = field.fields()?;
    let mut entries = Vec::new();
    for name in [
        "displayName",
        "op",
        "value",
        "target",
        "targetPercent",
        "timeSliceTarget",
        "timeSliceWindow",
    ] {
        if let Some(field) = fields.get(name) {
            entries.push((name, field.node.clone()));
        }
    }
    let ratio = fields.get("ratioMetrics").map(|field| ratio(&field));
    fields.finish();
    match ratio {
        Some(ratio) => Some((entries, Some(ratio?))),
        None => Some((entries, None)),
    }
}

fn ratio(field: &Field<'_>) -> Option<Node> {
    let fields = field.fields()?;
    let mut entries = Vec::new();
    let counter = super::either(&fields, "counter", "incremental");
    entries.extend(counter.map(|field| ("counter", field.node.clone())));
    for name in ["good", "bad", "total"] {
        if let Some(field) = fields.get(name) {
            entries.push((name, query(&field)?));
        }
    }
    fields.finish();
    Some(indicator(field.node, "ratioMetric", Node::map(field.node, entries)))
}
