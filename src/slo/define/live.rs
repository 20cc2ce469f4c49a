//! What definitions say, against the series that are there.

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::model::{DAY_MS, Labels, MatchOp, Matcher, SeriesData, TimeRange, is_stale};
use nines_storage::query::{Budget, Queryable, SelectHints};

use super::nearest::nearest;
use crate::slo::definition::{Definitions, Place, Selector, Sli, Slo};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::yaml::{self, Content, Node};

/// A bucket with that bound is not there.
const BOUND_MISSING: &str = "bucket-bound-missing";
/// A selector selects nothing.
const NO_SERIES: &str = "no-series";
/// A counter falls.
const NOT_A_COUNTER: &str = "not-a-counter";
/// A label to group by is nowhere.
const GROUP_LABEL_ABSENT: &str = "group-label-absent";
/// All rules about series.
pub const CODES: [&str; 4] = [BOUND_MISSING, NO_SERIES, NOT_A_COUNTER, GROUP_LABEL_ABSENT];
/// Days before now whose samples are looked at.
const DAYS_CHECKED: i64 = 7;
/// Series of a selector whose samples are looked at, at most.
const SERIES_CHECKED: usize = 100;
/// Decreases of a counter in a day that are no resets, at most.
const DECREASES_MAX: u32 = 10;
/// A counter that was reset begins again below this share of what it was.
const RESET_SHARE: f64 = 0.1;

/// What is to be expected of the series of a selector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// Tells selectors without series, buckets that do not exist, counters that are none, and labels to group by that
/// no series has.
///
/// # Errors
/// Whatever the store fails with, and a budget that is used up.
pub fn check(
    definitions: &Definitions,
    store: &dyn Queryable,
    now_ms: i64,
    budget: &Budget,
) -> nines_storage::Result<Vec<Diagnostic>> {
    let mut told = Vec::new();
    for slo in definitions.slos.values() {
        let places = queries(slo);
        for objective in &slo.objectives {
            let selectors: Vec<(&Selector, Kind)> = match &objective.sli {
                Sli::Ratio { counters, total, .. } => {
                    vec![(counters, Kind::Counter), (total, Kind::Counter)]
                }
                Sli::Threshold { series, .. } | Sli::RawRatio { series, .. } => {
                    vec![(series, Kind::Gauge)]
                }
                Sli::States { series, existence, .. } => {
                    let existence = existence.iter().map(|selector| (selector, Kind::Gauge));
                    std::iter::once((series, Kind::Gauge)).chain(existence).collect()
                }
                Sli::Expression { .. } => Vec::new(),
            };
            for (selector, kind) in selectors {
                let query = places.get(selector.text.as_str());
                let (place, path) = query.map_or_else(
                    || (slo.place.clone(), "spec".to_owned()),
                    |(place, path)| (place.clone(), path.clone()),
                );
                let live = Live { store, now_ms, budget, place, path };
                live.selector(slo, &selector.matchers, kind, &mut told)?;
                for (_, matchers) in &selector.terms {
                    live.selector(slo, matchers, kind, &mut told)?;
                }
            }
        }
    }
    super::sort(&mut told);
    told.dedup();
    Ok(told)
}

/// The places of the queries of an SLO, by what is selected. Those of indicators elsewhere are not found.
fn queries(slo: &Slo) -> BTreeMap<String, (Place, String)> {
    let mut found = BTreeMap::new();
    let (documents, _) = yaml::read(&slo.source);
    let Some(document) = documents.first() else { return found };
    // The name of the SLO stands in the source and in the file: so far are all its lines moved.
    let name = document.root.get("metadata").and_then(|metadata| metadata.get("name"));
    let Some(moved) = name.and_then(|name| slo.place.line.checked_sub(name.spot.line)) else {
        return found;
    };
    let mut open: Vec<(&Node, String)> = vec![(&document.root, String::new())];
    while let Some((node, path)) = open.pop() {
        match &node.content {
            Content::Map(entries) => {
                for entry in entries {
                    let path = if path.is_empty() {
                        entry.key.clone()
                    } else {
                        format!("{path}.{}", entry.key)
                    };
                    if let (Some(text), "query" | "existence") =
                        (entry.value.text(), entry.key.as_str())
                        && let Ok(query) = super::query::read(text)
                        && let Some(sum) = query.sum
                    {
                        let spot = entry.value.spot;
                        let place = Place {
                            file: slo.place.file.clone(),
                            line: spot.line + moved,
                            column: spot.column,
                        };
                        found.entry(sum.text).or_insert((place, path.clone()));
                    }
                    open.push((&entry.value, path));
                }
            }
            Content::List(items) => {
                open.extend(
                    items.iter().enumerate().map(|(i, item)| (item, format!("{path}[{i}]"))),
                );
            }
            Content::Scalar { .. } => {}
        }
    }
    found
}

struct Live<'a> {
    store: &'a dyn Queryable,
    now_ms: i64,
    budget: &'a Budget,
    place: Place,
    path: String,
}

impl Live<'_> {
    fn error(&self, code: &'static str, message: String) -> Diagnostic {
        Diagnostic::error(&self.place, &self.path, code, message)
    }

    fn labels(&self, matchers: &[Matcher]) -> nines_storage::Result<Vec<Labels>> {
        let hints = SelectHints { labels_only: true, ..SelectHints::default() };
        let set = self.store.select(matchers, TimeRange::ALL, &hints, self.budget)?;
        self.budget.count_series(set.len() as u64)?;
        Ok((0..set.len()).map(|i| set.labels(i).clone()).collect())
    }

    fn selector(
        &self,
        slo: &Slo,
        matchers: &[Matcher],
        kind: Kind,
        told: &mut Vec<Diagnostic>,
    ) -> nines_storage::Result<()> {
        let series = self.labels(matchers)?;
        if series.is_empty() {
            let bucket = matchers.iter().find(|m| m.name == "le" && m.op == MatchOp::Equal);
            let bounds = match bucket {
                Some(_) => self.bounds(matchers)?,
                None => BTreeSet::new(),
            };
            match bucket {
                Some(bucket) if !bounds.is_empty() => {
                    let message = format!(
                        "le={} does not exist; have {}",
                        bucket.value,
                        around(&bucket.value, &bounds)
                    );
                    told.push(
                        self.error(BOUND_MISSING, message)
                            .hint("latencies are exact at bounds of buckets only"),
                    );
                }
                _ => {
                    let message = "no series matches".to_owned();
                    told.push(self.error(NO_SERIES, message).warning());
                }
            }
            return Ok(());
        }
        for label in &slo.group_by {
            if series.iter().any(|labels| labels.has(label)) {
                continue;
            }
            let names: BTreeSet<&str> =
                series.iter().flat_map(Labels::iter).map(|(name, _)| name).collect();
            let meant = nearest(label, names);
            let hint = meant.map(|name| format!("did you mean {name}?")).unwrap_or_default();
            let message = format!("no series has the label {label:?} of groupBy");
            told.push(self.error(GROUP_LABEL_ABSENT, message).warning().hint(hint));
        }
        if kind == Kind::Counter
            && let Some((labels, decreases)) = self.falling(matchers)?
        {
            let message = format!(
                "{labels} is no counter: it fell {decreases} times in a day without a reset"
            );
            told.push(
                self.error(NOT_A_COUNTER, message)
                    .warning()
                    .hint("use a thresholdMetric for a gauge"),
            );
        }
        Ok(())
    }

    /// The bounds of the buckets that are there.
    fn bounds(&self, matchers: &[Matcher]) -> nines_storage::Result<BTreeSet<String>> {
        let others: Vec<Matcher> = matchers.iter().filter(|m| m.name != "le").cloned().collect();
        if others.is_empty() {
            return Ok(BTreeSet::new());
        }
        let series = self.labels(&others)?;
        Ok(series
            .iter()
            .map(|labels| labels.get("le").to_owned())
            .filter(|le| !le.is_empty())
            .collect())
    }

    /// A series that falls too often, and how often in its worst day.
    fn falling(&self, matchers: &[Matcher]) -> nines_storage::Result<Option<(String, u32)>> {
        let range = TimeRange::new(self.now_ms - DAYS_CHECKED * DAY_MS, self.now_ms);
        let set = self.store.select(matchers, range, &SelectHints::default(), self.budget)?;
        let mut data = SeriesData::default();
        for i in 0..set.len().min(SERIES_CHECKED) {
            self.budget.check()?;
            set.read(i, range, self.budget, &mut data)?;
            let mut days: BTreeMap<i64, u32> = BTreeMap::new();
            let mut last: Option<f64> = None;
            for (ts, value) in data.ts.iter().zip(&data.values) {
                if is_stale(*value) {
                    continue;
                }
                if last.is_some_and(|last| *value < last && *value > last * RESET_SHARE) {
                    *days.entry(ts.div_euclid(DAY_MS)).or_default() += 1;
                }
                last = Some(*value);
            }
            if let Some(worst) = days.into_values().max().filter(|worst| *worst > DECREASES_MAX) {
                return Ok(Some((set.labels(i).to_string(), worst)));
            }
        }
        Ok(None)
    }
}

/// The nearest bounds below and above; all when the bound is no number.
fn around(wanted: &str, bounds: &BTreeSet<String>) -> String {
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| !n.is_nan());
    let mut sorted: Vec<(f64, &str)> =
        bounds.iter().filter_map(|text| Some((number(text)?, text.as_str()))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near: Vec<&str> = match number(wanted) {
        Some(wanted) => {
            let below = sorted.iter().rev().find(|(bound, _)| *bound <= wanted);
            let above = sorted.iter().find(|(bound, _)| *bound > wanted);
            below.into_iter().chain(above).map(|(_, text)| *text).collect()
        }
        None => sorted.iter().map(|(_, text)| *text).collect(),
    };
    near.join(", ")
}
