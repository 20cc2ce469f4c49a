//! Which series could have an SLO: known by their names and labels alone.

mod status;

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::model::{Labels, METRIC_NAME, Matcher, TimeRange};
use nines_storage::query::{SelectHints, SeriesSet};

use crate::promql::{parse_selector, quote};
use crate::slo::desk::Desk;
use crate::slo::error::{Result, SloError};

/// Labels that tell how a request ended, the most telling one first.
const STATUS_LABELS: [&str; 11] = [
    "code",
    "status_code",
    "http_status_code",
    "http_response_status_code",
    "response_code",
    "http_status",
    "http_code",
    "grpc_code",
    "status",
    "result",
    "outcome",
];
/// Names of histograms of how long something took.
const LATENCIES: &str = ".*(duration|latency|seconds|milliseconds|_ms).*_bucket";
/// Gauges that are 1 while something works.
const PROBES: &str = "up|probe_success|.+_up";
/// States of libvirt's domains.
const STATES: &str = "libvirt_domain_.*state.*";
/// Labels that tell services apart.
const SERVICE_LABELS: [&str; 2] = ["service", "job"];
/// Labels that tell machines apart, the most telling one first.
const MACHINE_LABELS: [&str; 6] = ["droplet", "domain", "vm", "uuid", "name", "instance"];

/// What kind of SLO.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Counters with a label that tells how a request ended.
    Requests {
        /// The label.
        label: &'static str,
        /// Regular expression of its values that are bad.
        bad: String,
    },
    /// A classic histogram.
    Latency {
        /// Bounds that all of its series have, ascending, as they are written; without the infinite one.
        bounds: Vec<String>,
        /// Whether there is a `_count`.
        counted: bool,
    },
    /// A gauge of libvirt's states.
    States {
        /// What tells machines apart.
        group: Option<&'static str>,
        /// A metric that is there while the machine is.
        inventory: Option<String>,
    },
    /// A gauge that is 1 while something works.
    Probe {
        /// Whether its series tell an instance.
        instances: bool,
    },
}

impl Kind {
    /// What the API calls it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Requests { .. } => "availability",
            Self::Latency { .. } => "latency",
            Self::States { .. } => "state",
            Self::Probe { .. } => "probe",
        }
    }

    /// The label whose values an SLO of this kind picks.
    pub(super) const fn own_label(&self) -> Option<&str> {
        match self {
            Self::Requests { label, .. } => Some(label),
            Self::Latency { .. } => Some("le"),
            Self::States { .. } | Self::Probe { .. } => None,
        }
    }
}

/// Series that could have an SLO.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Their name.
    pub(super) metric: String,
    /// The label that tells the service, and its value.
    pub(super) split: Split,
    pub(super) kind: Kind,
    /// What selects them.
    pub(super) matchers: Vec<Matcher>,
    /// Labels of one of them.
    pub(super) example: Labels,
}

impl Candidate {
    /// A selector of series of a name that are of this service; `more` are further matchers, each as it is written.
    pub(super) fn selector(&self, name: &str, more: &[String]) -> String {
        let split = self.split.iter().map(|(label, value)| format!("{label}={}", quote(value)));
        let pairs: Vec<String> = split.chain(more.iter().cloned()).collect();
        match (is_plain(name), pairs.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{name}{{{}}}", pairs.join(",")),
            (false, _) => {
                let name = std::iter::once(quote(name));
                format!("{{{}}}", name.chain(pairs).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// Whether a name of a metric needs no quotes.
fn is_plain(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Series of one metric and service.
struct Series {
    example: Labels,
    /// Values of the label that is looked at.
    values: BTreeSet<String>,
    /// Those of each other label set.
    by_rest: BTreeMap<Labels, BTreeSet<String>>,
}

/// The label that tells the service, and its value.
type Split = Option<(&'static str, String)>;

/// By metric and service.
type Found = BTreeMap<(String, Split), Series>;

/// All candidates: requests, latencies, states, probes.
pub(super) fn candidates(desk: &Desk<'_>, only: &[Matcher]) -> Result<Vec<Candidate>> {
    let mut all = requests(desk, only)?;
    all.extend(latencies(desk, only)?);
    all.extend(states(desk, only)?);
    all.extend(probes(desk, only)?);
    Ok(all)
}

fn select<'d>(
    desk: &Desk<'d>,
    selector: &str,
    only: &[Matcher],
) -> Result<Box<dyn SeriesSet + 'd>> {
    let invalid = |error: &dyn std::fmt::Display| SloError::Invalid(format!("{selector}: {error}"));
    let mut matchers = parse_selector(selector).map_err(|error| invalid(&error))?;
    matchers.extend(only.iter().cloned());
    let hints = SelectHints { labels_only: true, ..SelectHints::default() };
    let set = desk.data.select(&matchers, TimeRange::ALL, &hints, desk.budget)?;
    desk.budget.count_series(set.len() as u64)?;
    Ok(set)
}

/// The series of a selector by metric and, if they are told apart, by service.
fn sorted(
    desk: &Desk<'_>,
    selector: &str,
    only: &[Matcher],
    (label, by_service): (&str, bool),
) -> Result<Found> {
    let set = select(desk, selector, only)?;
    let mut found = Found::new();
    for i in 0..set.len() {
        let labels = set.labels(i);
        let service = SERVICE_LABELS.into_iter().find(|name| by_service && labels.has(name));
        let service = service.map(|name| (name, labels.get(name).to_owned()));
        let some =
            found.entry((labels.get(METRIC_NAME).to_owned(), service)).or_insert_with(|| Series {
                example: labels.clone(),
                values: BTreeSet::new(),
                by_rest: BTreeMap::new(),
            });
        let value = labels.get(label).to_owned();
        if label == "le" {
            let rest = Labels::from_pairs(labels.iter().filter(|(name, _)| *name != label));
            some.by_rest.entry(rest).or_default().insert(value);
        } else {
            some.values.insert(value);
        }
        desk.budget.check()?;
    }
    Ok(found)
}

fn candidate((metric, split): (String, Split), kind: Kind, example: Labels) -> Candidate {
    let name = Matcher::equal(METRIC_NAME, metric.as_str());
    let service = split.iter().map(|(label, value)| Matcher::equal(*label, value.as_str()));
    let matchers = std::iter::once(name).chain(service).collect();
    Candidate { metric, split, kind, matchers, example }
}

fn requests(desk: &Desk<'_>, only: &[Matcher]) -> Result<Vec<Candidate>> {
    let mut found: BTreeMap<(String, Split), Candidate> = BTreeMap::new();
    for label in STATUS_LABELS {
        let selector = format!("{{__name__=~\".+_(total|count)\",{label}!=\"\"}}");
        for (key, some) in sorted(desk, &selector, only, (label, true))? {
            if let Some(bad) = status::bad(&some.values)
                && !found.contains_key(&key)
            {
                let kind = Kind::Requests { label, bad };
                found.insert(key.clone(), candidate(key, kind, some.example));
            }
        }
    }
    // What counts durations counts the same requests once more.
    let counted: BTreeSet<Split> = found
        .values()
        .filter(|one| one.metric.ends_with("_total"))
        .map(|one| one.split.clone())
        .collect();
    let twice = |one: &Candidate| one.metric.ends_with("_count") && counted.contains(&one.split);
    Ok(found.into_values().filter(|one| !twice(one)).collect())
}

fn latencies(desk: &Desk<'_>, only: &[Matcher]) -> Result<Vec<Candidate>> {
    let selector = format!("{{__name__=~\"{LATENCIES}\",le!=\"\"}}");
    let mut all = Vec::new();
    for ((metric, split), some) in sorted(desk, &selector, only, ("le", true))? {
        let mut sets = some.by_rest.into_values();
        let mut common = sets.next().unwrap_or_default();
        for set in sets {
            common.retain(|bound| set.contains(bound));
        }
        let mut bounds: Vec<(f64, String)> = common
            .into_iter()
            .filter_map(|text| Some((text.parse::<f64>().ok()?, text)))
            .filter(|(bound, _)| bound.is_finite())
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bounds = bounds.into_iter().map(|(_, text)| text).collect();
        let kind = Kind::Latency { bounds, counted: false };
        let mut one = candidate((metric, split), kind, some.example);
        let count = one.selector(&count_of(&one.metric), &[]);
        let is_there = !select(desk, &count, only)?.is_empty();
        if let Kind::Latency { counted, .. } = &mut one.kind {
            *counted = is_there;
        }
        all.push(one);
    }
    Ok(all)
}

/// The name of the count of a histogram.
pub(super) fn count_of(bucket: &str) -> String {
    format!("{}_count", bucket.strip_suffix("_bucket").unwrap_or(bucket))
}

fn states(desk: &Desk<'_>, only: &[Matcher]) -> Result<Vec<Candidate>> {
    let selector = format!("{{__name__=~\"{STATES}\"}}");
    let mut all = Vec::new();
    for (key, some) in sorted(desk, &selector, only, ("", false))? {
        let group = MACHINE_LABELS.into_iter().find(|name| some.example.has(name));
        let mut inventory = None;
        if let Some(group) = group {
            let name = format!("{group}_info");
            let selector = format!("{name}{{{group}!=\"\"}}");
            inventory = (!select(desk, &selector, &[])?.is_empty()).then_some(name);
        }
        all.push(candidate(key, Kind::States { group, inventory }, some.example));
    }
    Ok(all)
}

fn probes(desk: &Desk<'_>, only: &[Matcher]) -> Result<Vec<Candidate>> {
    let selector = format!("{{__name__=~\"{PROBES}\"}}");
    let found = sorted(desk, &selector, only, ("instance", true))?;
    let probe = |(key, some): (_, Series)| {
        let instances = !some.values.contains("");
        candidate(key, Kind::Probe { instances }, some.example)
    };
    Ok(found.into_iter().map(probe).collect())
}
