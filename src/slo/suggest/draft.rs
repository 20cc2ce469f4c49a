//! Proposals as documents of OpenSLO.

use std::collections::BTreeSet;

use super::Months;
use super::find::{Candidate, Kind, count_of};
use super::measure::History;
use crate::promql::quote;
use crate::slo::decimal::Decimal;
use crate::slo::definition::Definitions;
use crate::slo::report::Instant;

/// Characters of a name at most.
const NAME_CHARS_MAX: usize = 63;
/// Name of the service of series that tell none.
const NO_SERVICE: &str = "default";

/// Names that are not taken yet.
pub(super) struct Names<'d> {
    definitions: &'d Definitions,
    taken: BTreeSet<String>,
}

impl<'d> Names<'d> {
    pub(super) const fn new(definitions: &'d Definitions) -> Self {
        Self { definitions, taken: BTreeSet::new() }
    }

    /// The service that a candidate belongs to.
    pub(super) fn service(&self, candidate: &Candidate) -> String {
        let machines = match &candidate.kind {
            Kind::States { group: Some(group), .. } => Some(format!("{group}s")),
            _ => None,
        };
        let own = candidate.split.as_ref().map(|(_, value)| value.clone());
        let text = own.or(machines).unwrap_or_default();
        if self.definitions.services.contains_key(&text) {
            return text;
        }
        match word(&text) {
            name if name.is_empty() => NO_SERVICE.to_owned(),
            name => name,
        }
    }

    /// A name for the SLO of a candidate.
    pub(super) fn slo(&mut self, candidate: &Candidate, service: &str) -> String {
        let metric = &candidate.metric;
        let (base, end) = match &candidate.kind {
            Kind::Requests { .. } => {
                let base = metric.strip_suffix("_total").or(metric.strip_suffix("_count"));
                (base.unwrap_or(metric), "availability")
            }
            Kind::Latency { .. } => (metric.strip_suffix("_bucket").unwrap_or(metric), "latency"),
            Kind::States { .. } | Kind::Probe { .. } => (metric.as_str(), "availability"),
        };
        let begin = word(&format!("{service}-{base}"));
        for n in 1.. {
            let end = if n == 1 { end.to_owned() } else { format!("{end}-{n}") };
            let room = NAME_CHARS_MAX - end.len() - 1;
            let begin = begin.get(..room).unwrap_or(&begin).trim_end_matches('-');
            let name = format!("{begin}-{end}");
            if !self.definitions.slos.contains_key(&name) && self.taken.insert(name.clone()) {
                return name;
            }
        }
        begin
    }
}

/// Small letters, digits and single hyphens.
fn word(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        } else if !word.is_empty() && !word.ends_with('-') {
            word.push('-');
        }
    }
    word.truncate(NAME_CHARS_MAX);
    word.trim_end_matches('-').to_owned()
}

/// A text as a value in YAML.
fn scalar(text: &str) -> String {
    if text.contains('\'') || text.chars().any(char::is_control) {
        // JSON is YAML.
        return serde_json::Value::from(text).to_string();
    }
    format!("'{text}'")
}

/// The document of a service.
pub(super) fn service(name: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {}}}\nspec: {{}}\n",
        scalar(name)
    )
}

/// What was counted, in a line of comment.
pub(super) fn comment(history: &History, sli: f64, target: Decimal, months: Months) -> String {
    let since = history.begins().map(|at| Instant(at).to_string()).unwrap_or_default();
    let month = since.get(..7).unwrap_or_default();
    let worst = match history.worst() {
        Some(worst) if history.groups.len() > 1 => {
            format!(", the worst of {} groups {:.4}%", history.groups.len(), worst.sli * 100.0)
        }
        _ => String::new(),
    };
    let (bad, total) = (history.bad.get(), history.total.get());
    format!(
        "# Since {month}: {:.4}%, {bad} of {total} bad{worst}. {} of {} months would have met {target}.\n",
        sli * 100.0,
        months.met,
        months.of,
    )
}

/// The document of an SLO, behind a comment. `since` is in the month in which its calendar begins.
pub(super) fn slo(
    candidate: &Candidate,
    name: &str,
    service: &str,
    bound: &str,
    (since, target): (i64, &str),
    comment: &str,
) -> String {
    let since = Instant(since).to_string();
    let month = since.get(..7).unwrap_or("1970-01");
    let metric = &candidate.metric;
    let source = |query: &str, more: &str| {
        format!("{{metricSource: {{type: nines, spec: {{query: {}{more}}}}}}}", scalar(query))
    };
    let sliced = matches!(candidate.kind, Kind::States { .. } | Kind::Probe { .. });
    let (metric, signal, objective) = match &candidate.kind {
        Kind::Requests { label, bad } => {
            let failed = candidate.selector(metric, &[format!("{label}=~{}", quote(bad))]);
            let all = candidate.selector(metric, &[]);
            let (failed, all) = (source(&failed, ""), source(&all, ""));
            (
                format!(
                    "ratioMetric:\n        counter: true\n        bad: {failed}\n        total: {all}\n"
                ),
                format!("Share of {metric} whose {label} is not {bad}."),
                format!("{{displayName: Available, target: {target}}}"),
            )
        }
        Kind::Latency { counted, .. } => {
            let fast = candidate.selector(metric, &[format!("le={}", quote(bound))]);
            let all = match counted {
                true => candidate.selector(&count_of(metric), &[]),
                false => candidate.selector(metric, &["le=\"+Inf\"".to_owned()]),
            };
            let (fast, all) = (source(&fast, ""), source(&all, ""));
            (
                format!(
                    "ratioMetric:\n        counter: true\n        good: {fast}\n        total: {all}\n"
                ),
                format!("Share of {} of at most {bound}.", metric.trim_end_matches("_bucket")),
                format!("{{displayName: Fast, target: {target}}}"),
            )
        }
        Kind::States { group, inventory } => {
            let mut more = ", states: {good: [1, 2], bad: [0, 6], ignore: [3, 4, 5, 7]}".to_owned();
            if let Some(group) = group {
                more.push_str(&format!(", groupBy: [{group}]"));
            }
            if let Some(inventory) = inventory {
                more.push_str(&format!(", existence: {}, noData: bad", scalar(inventory)));
            }
            let source = source(&candidate.selector(metric, &[]), &more);
            (
                format!("thresholdMetric: {source}\n"),
                "Share of five minutes in which a machine ran that was not switched off."
                    .to_owned(),
                format!(
                    "{{op: gte, value: 1, target: {target}, timeSliceWindow: 5m, timeSliceTarget: 1.0}}"
                ),
            )
        }
        Kind::Probe { instances } => {
            let more = if *instances { ", groupBy: [instance]" } else { "" };
            let source = source(&candidate.selector(metric, &[]), more);
            (
                format!("thresholdMetric: {source}\n"),
                format!("Share of five minutes in which {metric} was 1 throughout."),
                format!(
                    "{{op: gte, value: 1, target: {target}, timeSliceWindow: 5m, timeSliceTarget: 1.0}}"
                ),
            )
        }
    };
    let method = if sliced { "Timeslices" } else { "Occurrences" };
    let (indicator, signal) = (scalar(&format!("{name}-sli")), scalar(&signal));
    let (name, service) = (scalar(name), scalar(service));
    format!(
        "{comment}apiVersion: openslo/v1
kind: SLO
metadata:
  name: {name}
  annotations:
    nines.dev/signal: {signal}
spec:
  service: {service}
  budgetingMethod: {method}
  timeWindow: [{{duration: 1M, calendar: {{startTime: '{month}-01 00:00:00', timeZone: UTC}}}}]
  indicator:
    metadata: {{name: {indicator}}}
    spec:
      {metric}  objectives: [{objective}]
"
    )
}
