//! Which exclusions hold when, cut into stretches in which the same ones do.

use std::collections::BTreeMap;

use nines_storage::model::Labels;
use rrule::{RRule, RRuleSet, Unvalidated};

use super::calendar::{instant, shown};
use super::definition::{Exclusion, ExclusionMode, Slo, When};
use super::error::{Result, SloError};

/// Occurrences of one exclusion inside of a window at most.
const OCCURRENCES_MAX: u16 = 10_000;

/// Whether an exclusion is about an SLO, its labels of series apart.
#[must_use]
pub fn is_about(exclusion: &Exclusion, slo: &Slo) -> bool {
    let named = |names: &[String], name: &String| names.is_empty() || names.contains(name);
    named(&exclusion.services, &slo.service) && named(&exclusion.slos, &slo.name)
}

/// The labels of series that an exclusion is about, those apart that the SLO has itself. Empty: all series.
fn labels_of<'e>(exclusion: &'e Exclusion, slo: &Slo) -> BTreeMap<&'e str, &'e str> {
    let own = |name: &str, value: &str| slo.labels.get(name).is_some_and(|own| own == value);
    let pairs = exclusion.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs.filter(|(name, value)| !own(name, value)).collect()
}

/// When an exclusion holds inside of (`from_ms`, `to_ms`].
pub fn occurrences(exclusion: &Exclusion, from_ms: i64, to_ms: i64) -> Result<Vec<(i64, i64)>> {
    let overlaps = |(from, to): &(i64, i64)| *from < to_ms && *to > from_ms;
    match &exclusion.when {
        When::Once { from_ms, to_ms } => {
            Ok([(*from_ms, *to_ms)].into_iter().filter(overlaps).collect())
        }
        When::Repeated { start, zone, rrule, length_ms } => {
            let bad = |error: &dyn std::fmt::Display| {
                SloError::Invalid(format!("rrule of exclusion {:?}: {error}", exclusion.name))
            };
            let rule: RRule<Unvalidated> = rrule.parse().map_err(|error| bad(&error))?;
            // The rule is one of wall clocks: it is expanded on a clock without gaps and then read on that of the
            // zone, as the beginnings of periods are.
            let utc = rrule::Tz::UTC;
            let local = |at: chrono::NaiveDateTime| {
                use chrono::TimeZone as _;
                utc.from_utc_datetime(&at)
            };
            let rule = match rule.get_until() {
                // An end in UTC is one of the wall clock as well.
                Some(until) if !until.timezone().is_local() => {
                    let wall = shown(*zone, until.timestamp_millis());
                    let until = until.naive_utc();
                    rule.until(local(wall.unwrap_or(until)))
                }
                _ => rule,
            };
            let set: RRuleSet = rule.build(local(*start)).map_err(|error| bad(&error))?;
            let day = chrono::Duration::days(2);
            let bound = |at_ms: i64| shown(*zone, at_ms).unwrap_or(*start);
            let after = bound(from_ms.saturating_sub(*length_ms)) - day;
            let set = set.after(local(after)).before(local(bound(to_ms) + day));
            let found = set.all(OCCURRENCES_MAX);
            if found.limited {
                return Err(SloError::Invalid(format!(
                    "exclusion {:?} occurs more than {OCCURRENCES_MAX} times in the window: ask for a shorter one",
                    exclusion.name
                )));
            }
            let spans = found.dates.iter().map(|at| {
                let from = instant(*zone, at.naive_utc());
                (from, from.saturating_add(*length_ms))
            });
            Ok(spans.filter(overlaps).collect())
        }
    }
}

/// A stretch in which the same exclusions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Excluded<'e> {
    /// Its beginning, which does not belong to it.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// `Exclude` where one of them says so.
    pub mode: ExclusionMode,
    /// Labels that a series has all of, for any of these; empty: all series.
    pub labels: Vec<BTreeMap<&'e str, &'e str>>,
    /// Labels of series that are excluded where these would make them good.
    pub except: Vec<BTreeMap<&'e str, &'e str>>,
    /// Their names.
    pub names: Vec<&'e str>,
}

impl Excluded<'_> {
    /// Whether it is about a series.
    #[must_use]
    pub fn covers(&self, series: &Labels) -> bool {
        (self.labels.is_empty() || has_any(series, &self.labels)) && !self.spares(series)
    }

    /// Whether another one takes a series away that this one would cover.
    #[must_use]
    pub fn spares(&self, series: &Labels) -> bool {
        has_any(series, &self.except)
    }
}

fn has_any(series: &Labels, alternatives: &[BTreeMap<&str, &str>]) -> bool {
    let has =
        |pairs: &BTreeMap<&str, &str>| pairs.iter().all(|(name, value)| series.get(name) == *value);
    alternatives.iter().any(has)
}

/// The exclusions that are about `slo` inside of (`from_ms`, `to_ms`], as stretches; those of one mode lie one behind the
/// other, and a series is covered by one at a time. `widen`
/// moves beginning and end of an occurrence outward, to whole slices where they are counted.
pub fn excluded<'e>(
    exclusions: impl IntoIterator<Item = &'e Exclusion>,
    slo: &Slo,
    (from_ms, to_ms): (i64, i64),
    widen: &dyn Fn(i64, i64) -> (i64, i64),
) -> Result<Vec<Excluded<'e>>> {
    let mut spans: Vec<(i64, i64, &'e Exclusion)> = Vec::new();
    for exclusion in exclusions {
        if !is_about(exclusion, slo) {
            continue;
        }
        for (from, to) in occurrences(exclusion, from_ms, to_ms)? {
            let (from, to) = widen(from, to);
            spans.push((from.max(from_ms), to.min(to_ms), exclusion));
        }
    }
    let mut edges: Vec<i64> = spans.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut stretches: Vec<(Vec<&'e Exclusion>, Excluded<'e>)> = Vec::new();
    for edge in edges.windows(2) {
        let [from_ms, to_ms] = *edge else { continue };
        let holds = |span: &&(i64, i64, &'e Exclusion)| span.0 <= from_ms && to_ms <= span.1;
        let holding: Vec<&'e Exclusion> = spans.iter().filter(holds).map(|s| s.2).collect();
        let of = |mode| {
            let mut own: Vec<&'e Exclusion> =
                holding.iter().copied().filter(|one| one.mode == mode).collect();
            own.sort_by_key(|one| (&one.name, std::ptr::from_ref(*one) as usize));
            own.dedup_by(|a, b| std::ptr::eq(*a, *b));
            own
        };
        let (out, good) = (of(ExclusionMode::Exclude), of(ExclusionMode::Good));
        // What is excluded is not good as well.
        let except = alternatives(&out, slo);
        let all_out = !out.is_empty() && except.is_empty();
        let modes =
            [(ExclusionMode::Exclude, out, Vec::new()), (ExclusionMode::Good, good, except)];
        for (mode, own, except) in modes {
            if own.is_empty() || (mode == ExclusionMode::Good && all_out) {
                continue;
            }
            let before = stretches.iter_mut().rev().find(|(_, one)| one.mode == mode);
            match before {
                Some((holders, last))
                    if last.to_ms == from_ms
                        && last.except == except
                        && holders.len() == own.len()
                        && holders.iter().zip(&own).all(|(a, b)| std::ptr::eq(*a, *b)) =>
                {
                    last.to_ms = to_ms;
                }
                _ => {
                    let labels = alternatives(&own, slo);
                    let names = own.iter().map(|one| one.name.as_str()).collect();
                    let one = Excluded { from_ms, to_ms, mode, labels, except, names };
                    stretches.push((own, one));
                }
            }
        }
    }
    Ok(stretches.into_iter().map(|(_, one)| one).collect())
}

/// The labels of several exclusions, any of which a series may have; none when one of them is about all series.
fn alternatives<'e>(exclusions: &[&'e Exclusion], slo: &Slo) -> Vec<BTreeMap<&'e str, &'e str>> {
    let labels: Vec<_> = exclusions.iter().map(|one| labels_of(one, slo)).collect();
    if labels.iter().any(BTreeMap::is_empty) { Vec::new() } else { labels }
}
