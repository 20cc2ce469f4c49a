//! SLOs for what is stored: which metrics could have one, what it would have said of all of their history, and the
//! target that it would have met.
//!
//! A proposal is a document. What it says is read from that document, so that what is printed is what was counted.

mod draft;
mod find;
mod measure;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::model::Matcher;
use serde::Serialize;

use super::decimal::Decimal;
use super::define::load_texts;
use super::definition::{Sli, Slo};
use super::desk::Desk;
use super::diagnostic::Severity;
use super::error::{Result, SloError};
use super::report::{Count, Instant};
use draft::Names;
use find::{Candidate, Kind};
use measure::History;

/// Proposals unless somebody asks for more.
pub const LIMIT_DEFAULT: usize = 20;
/// Target of an SLO that has none yet.
const NO_TARGET: &str = "0.99";
/// Share of requests that ought to be faster than the bound that is proposed.
const FAST_SHARE: &str = "0.99";

/// A group and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    /// Values of the labels that the SLO is grouped by.
    pub group: BTreeMap<String, String>,
    /// Good of all, over all history.
    pub sli: f64,
}

/// In how many months a target was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Months {
    /// By all groups.
    pub met: u32,
    /// Of how many in which something was counted.
    pub of: u32,
}

/// A proposal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    /// The SLO.
    pub name: String,
    /// `availability`, `latency`, `state`, `probe`.
    pub kind: &'static str,
    /// Of the service.
    pub service: String,
    /// What it is about.
    pub metric: String,
    /// Since when there is something to count: the beginning of a month, in UTC.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// Good events or slices, over all history and all groups.
    pub good: Count,
    /// Bad ones.
    pub bad: Count,
    /// Both.
    pub total: Count,
    /// Good of all.
    pub sli: f64,
    /// Groups.
    pub groups: usize,
    /// The worst of the groups, where it is grouped.
    pub worst: Option<Worst>,
    /// What the last months would have met.
    pub target: Decimal,
    /// All months against it.
    pub months: Months,
    /// Whether every number is the true one.
    pub exact: bool,
    /// Why not, and what else is to be known.
    pub notes: Vec<String>,
    /// The definition.
    pub document: String,
}

/// A metric without a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// The metric.
    pub metric: String,
    /// The service.
    pub service: String,
    /// Why.
    pub why: String,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestions {
    /// Proposals.
    pub items: Vec<Suggestion>,
    /// Metrics without one.
    pub passed: Vec<Passed>,
    /// All documents as one text, with the services that they need.
    pub documents: String,
}

/// Proposes SLOs for the series that satisfy all of `only`, `limit` at most.
pub fn suggest(desk: &Desk<'_>, only: &[Matcher], limit: usize) -> Result<Suggestions> {
    // What is tried is not kept in the ledger.
    let desk = Desk { owner: None, ..*desk };
    let mut names = Names::new(desk.definitions);
    let mut found = Suggestions::default();
    let mut services = BTreeSet::new();
    for candidate in find::candidates(&desk, only)? {
        let service = names.service(&candidate);
        let why = if let Some(name) = defined(&desk, &candidate) {
            format!("{name} is about it")
        } else if found.items.len() >= limit {
            format!(
                "{limit} are proposed already: ask for more with limit, or for others with match"
            )
        } else {
            match propose(&desk, &candidate, &service, &mut names)? {
                Ok(item) => {
                    services.insert(service);
                    found.items.push(item);
                    continue;
                }
                Err(why) => why,
            }
        };
        found.passed.push(Passed { metric: candidate.metric, service, why });
    }
    let known = |name: &&String| !desk.definitions.services.contains_key(*name);
    let documents = found.items.iter().map(|item| item.document.clone());
    let documents: Vec<String> =
        services.iter().filter(known).map(|name| draft::service(name)).chain(documents).collect();
    found.documents = documents.join("---\n");
    Ok(found)
}

/// The proposal for a candidate, or why there is none.
fn propose(
    desk: &Desk<'_>,
    candidate: &Candidate,
    service: &str,
    names: &mut Names<'_>,
) -> Result<std::result::Result<Suggestion, String>> {
    let Some((since, until)) = measure::span(desk, &candidate.matchers)? else {
        return Ok(Err("there are no samples".to_owned()));
    };
    let Some(bound) = bound(desk, candidate, (since, until))? else {
        return Ok(Err("its buckets have no bound in common".to_owned()));
    };
    let drafted = slo(&draft::slo(candidate, "draft", service, &bound, (since, NO_TARGET), ""))?;
    let history = measure::history(desk, &drafted, (since, until))?;
    let (Some(from), Some(sli)) = (history.begins(), history.sli()) else {
        return Ok(Err("nothing was counted".to_owned()));
    };
    let Some(target) = target::of(&history) else {
        return Ok(Err(format!("{:.4}% were good: that is no promise to make", sli * 100.0)));
    };
    let name = names.slo(candidate, service);
    let months = history.months_met(target);
    let comment = draft::comment(&history, sli, target, months);
    let text = target.to_string();
    let document = draft::slo(candidate, &name, service, &bound, (from, &text), &comment);
    slo(&document)?;
    Ok(Ok(Suggestion {
        name,
        kind: candidate.kind.name(),
        service: service.to_owned(),
        metric: candidate.metric.clone(),
        from: Instant(from),
        to: Instant(until),
        good: Count::from(history.good),
        bad: Count::from(history.bad),
        total: Count::from(history.total),
        sli,
        groups: history.groups.len(),
        worst: history.worst(),
        target,
        months,
        exact: history.exact,
        notes: history.notes.into_iter().collect(),
        document,
    }))
}

/// The SLO of a document that was written here.
fn slo(document: &str) -> Result<Slo> {
    let (definitions, diagnostics) = load_texts(&[("-", document)]);
    // Its service stands beside it.
    let wrong = diagnostics
        .iter()
        .find(|one| one.severity == Severity::Error && one.code != "dangling-reference");
    if let Some(one) = wrong {
        return Err(SloError::Invalid(format!("a proposal is not valid: {one}")));
    }
    let found = definitions.slos.into_values().next();
    found.ok_or_else(|| SloError::Invalid(format!("a proposal defines nothing: {document}")))
}

/// The bound below which nearly all requests were in the last months, or the largest one; empty for what has no
/// buckets, `None` where no bound is in all series.
fn bound(
    desk: &Desk<'_>,
    candidate: &Candidate,
    (since, until): (i64, i64),
) -> Result<Option<String>> {
    let Kind::Latency { bounds, .. } = &candidate.kind else { return Ok(Some(String::new())) };
    let enough: Decimal = FAST_SHARE.parse().unwrap_or(Decimal::ONE);
    let since = since.max(until.saturating_sub(measure::RECENT_MS));
    // Of the bounds, which ascend, those before `low` are too small.
    let (mut low, mut high) = (0, bounds.len().saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        let Some(tried) = bounds.get(middle) else { break };
        let drafted = slo(&draft::slo(candidate, "draft", "draft", tried, (since, NO_TARGET), ""))?;
        let history = measure::history(desk, &drafted, (since, until))?;
        if history.meets(enough) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(bounds.get(low).cloned())
}

/// The SLO that is about these series already.
fn defined<'d>(desk: &Desk<'d>, candidate: &Candidate) -> Option<&'d str> {
    let ignored = candidate.kind.own_label();
    let about = |matchers: &[Matcher]| {
        matchers
            .iter()
            .filter(|matcher| Some(matcher.name.as_str()) != ignored)
            .all(|matcher| matcher.matches(candidate.example.get(&matcher.name)))
    };
    let is_about = |sli: &Sli| match sli {
        Sli::Ratio { counters: series, .. }
        | Sli::Threshold { series, .. }
        | Sli::States { series, .. }
        | Sli::RawRatio { series, .. } => {
            about(&series.matchers) || series.terms.iter().any(|(_, matchers)| about(matchers))
        }
        Sli::Expression { .. } => false,
    };
    let slo = desk
        .definitions
        .slos
        .values()
        .find(|slo| slo.objectives.iter().any(|objective| is_about(&objective.sli)));
    slo.map(|slo| slo.name.as_str())
}

impl History {
    /// Whether a share of everything was good, at least; nothing is enough of nothing.
    fn meets(&self, share: Decimal) -> bool {
        target::met(&self.bad, &self.total, share)
    }
}
