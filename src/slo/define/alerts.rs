//! AlertPolicy, AlertCondition and AlertNotificationTarget: their shape is checked, what they mean is not used.

use super::reader::{Field, Fields};
use super::{Reference, metadata, times};

/// `alertPolicies` of an SLO: names, references or whole policies. Gives the references.
pub(super) fn policies(field: &Field<'_>) -> Vec<Reference> {
    let mut references = Vec::new();
    for item in field.list().unwrap_or_default() {
        if item.node.text().is_some() {
            references.extend(Reference::read(&item));
            continue;
        }
        let Some(fields) = item.fields() else { continue };
        if let Some(reference) = fields.get("alertPolicyRef") {
            references.extend(Reference::read(&reference));
        } else {
            inline(&fields, "AlertPolicy", policy_spec);
        }
        fields.finish();
    }
    references
}

/// Something that is written where it is used: `kind`, `metadata`, `spec`.
fn inline(fields: &Fields<'_>, kind: &'static str, spec: fn(&Fields<'_>)) {
    if let Some(field) = fields.get("kind") {
        field.one_of(&[(kind, ())]);
    }
    metadata::read_any(fields);
    if let Some(found) = fields.need("spec").and_then(|field| field.fields()) {
        spec(&found);
        found.finish();
    }
}

/// Reads the `spec` of a document of its own.
pub(super) fn read(document: &Fields<'_>, spec: fn(&Fields<'_>)) -> Option<String> {
    let metadata = metadata::read_any(document);
    if let Some(found) = document.need("spec").and_then(|field| field.fields()) {
        spec(&found);
        found.finish();
    }
    document.finish();
    Some(metadata?.name)
}

/// `spec` of an AlertPolicy.
pub(super) fn policy_spec(spec: &Fields<'_>) {
    description(spec);
    for name in ["alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"] {
        if let Some(field) = spec.get(name) {
            field.truth();
        }
    }
    each(spec, "conditions", "conditionRef", "AlertCondition", condition_spec);
    each(spec, "notificationTargets", "targetRef", "AlertNotificationTarget", target_spec);
}

fn each(
    spec: &Fields<'_>,
    list: &'static str,
    reference: &'static str,
    kind: &'static str,
    inner: fn(&Fields<'_>),
) {
    let items = spec.need(list).and_then(|field| field.list()).unwrap_or_default();
    for fields in items.iter().filter_map(Field::fields) {
        match fields.get(reference) {
            Some(field) => {
                field.word();
            }
            None => inline(&fields, kind, inner),
        }
        fields.finish();
    }
}

/// `spec` of an AlertCondition.
pub(super) fn condition_spec(spec: &Fields<'_>) {
    description(spec);
    if let Some(field) = spec.need("severity") {
        field.word();
    }
    let Some(condition) = spec.need("condition").and_then(|field| field.fields()) else { return };
    let kind = condition.get("kind").map(|field| field.one_of(&[("burnrate", ())]));
    let ops = [("lt", false), ("lte", false), ("gt", true), ("gte", true)];
    if let Some(field) = condition.get("op")
        && field.one_of(&ops) == Some(false)
        && !matches!(kind, Some(None))
    {
        let message = "a burn rate is bad when it is high: this is read as gt";
        field.warning("burnrate-op", message, "write op: gt, or leave it out");
    }
    if let Some(field) = condition.need("threshold") {
        field.decimal();
    }
    if let Some(field) = condition.need("lookbackWindow") {
        times::length(&field);
    }
    if let Some(field) = condition.get("alertAfter")
        && field.node.text() != Some("0m")
    {
        times::length(&field);
    }
    condition.finish();
}

/// `spec` of an AlertNotificationTarget.
pub(super) fn target_spec(spec: &Fields<'_>) {
    description(spec);
    if let Some(field) = spec.need("target") {
        field.word();
    }
}

fn description(spec: &Fields<'_>) {
    if let Some(field) = spec.get("description") {
        field.text();
    }
}
