//! SLIs: `ratioMetric`, `thresholdMetric` and what their `metricSource` says.

use super::Reference;
use super::query::{self, Query};
use super::reader::{Field, Fields};
use super::times;
use crate::slo::definition::{
    Compare, CounterStart, NoData, Part, Place, Selector, Sli, Weighting, ZeroTraffic,
};
use crate::slo::diagnostic::Diagnostic;

/// Types of metric sources whose queries are PromQL, in lower case.
const PROMQL_TYPES: [&str; 7] =
    ["nines", "prometheus", "promql", "thanos", "mimir", "cortex", "victoriametrics"];
/// Fields of a source that nines does not have, and other tools may.
const OWN_TYPE: &str = "nines";
/// How long a sample holds at most where time is counted, unless set otherwise.
const STALE_AFTER_MS: i64 = 300_000;
/// The longest of it: samples are read that far before what is counted.
const STALE_AFTER_MAX_MS: i64 = 86_400_000;

/// An SLI before it meets an objective.
#[derive(Debug, Clone)]
pub(super) struct Indicator {
    pub(super) metric: Metric,
    pub(super) group_by: Vec<String>,
    pub(super) counter_start: CounterStart,
    pub(super) no_data: NoData,
    pub(super) zero_traffic: Option<ZeroTraffic>,
    pub(super) weighting: Weighting,
    /// The document of an SLI that stands alone.
    pub(super) source: String,
    /// Data sources it names.
    pub(super) sources: Vec<Reference>,
}

#[derive(Debug, Clone)]
pub(super) enum Metric {
    Ratio {
        part: Part,
        counters: Query,
        total: Query,
        counter: bool,
    },
    Threshold(Query),
    States {
        series: Selector,
        good: Vec<f64>,
        bad: Vec<f64>,
        ignore: Vec<f64>,
        existence: Option<Selector>,
    },
    Raw {
        part: Part,
        query: Query,
    },
}

/// What a threshold is compared with.
pub(super) struct Threshold<'a> {
    pub(super) op: Option<Compare>,
    pub(super) value: Option<f64>,
    /// The objective.
    pub(super) place: &'a Place,
    pub(super) path: &'a str,
}

impl Indicator {
    /// What an objective measures.
    pub(super) fn sli(
        &self,
        threshold: &Threshold<'_>,
        tell: &mut dyn FnMut(Diagnostic),
    ) -> Option<Sli> {
        match &self.metric {
            Metric::Ratio { part, counters, total, counter } => {
                let exact = *counter || counters.rated && total.rated;
                Some(match (&counters.sum, &total.sum) {
                    (Some(counters), Some(total)) if exact => {
                        Sli::Ratio { part: *part, counters: counters.clone(), total: total.clone() }
                    }
                    _ => Sli::Expression {
                        part: *part,
                        expr: counters.expr.clone(),
                        total: Some(total.expr.clone()),
                    },
                })
            }
            Metric::Raw { part, query } => Some(match &query.sum {
                Some(series) if query.plain => {
                    Sli::RawRatio { series: series.clone(), part: *part }
                }
                _ => Sli::Expression { part: *part, expr: query.expr.clone(), total: None },
            }),
            Metric::States { series, good, bad, ignore, existence } => Some(Sli::States {
                series: series.clone(),
                good: good.clone(),
                bad: bad.clone(),
                ignore: ignore.clone(),
                existence: existence.clone(),
            }),
            Metric::Threshold(query) => {
                let Threshold { op, value, place, path } = threshold;
                for (name, missing) in [("op", op.is_none()), ("value", value.is_none())] {
                    if missing {
                        let message =
                            format!("{name} is missing: the indicator is a thresholdMetric");
                        let told = Diagnostic::error(
                            place,
                            &format!("{path}.{name}"),
                            "missing-field",
                            message,
                        );
                        tell(told.hint("write op: gte and value: 1"));
                    }
                }
                let (op, value) = ((*op)?, (*value)?);
                Some(match &query.sum {
                    Some(series) if query.plain => {
                        Sli::Threshold { series: series.clone(), op, value }
                    }
                    _ => Sli::Expression {
                        part: Part::Good,
                        expr: format!("({}) {} bool {value}", query.expr, symbol(op)),
                        total: None,
                    },
                })
            }
        }
    }

    /// Whether objectives need `op` and `value`.
    pub(super) const fn compares(&self) -> bool {
        matches!(self.metric, Metric::Threshold(_) | Metric::States { .. })
    }
}

const fn symbol(op: Compare) -> &'static str {
    match op {
        Compare::Lt => "<",
        Compare::Lte => "<=",
        Compare::Gt => ">",
        Compare::Gte => ">=",
    }
}

/// An SLI inside of an SLO: `metadata` and `spec`.
pub(super) fn read_inline(field: &Field<'_>) -> Option<Indicator> {
    let fields = field.fields()?;
    if let Some(metadata) = fields.get("metadata").and_then(|field| field.fields()) {
        metadata.need("name").and_then(|field| field.word());
        for name in ["displayName", "labels", "annotations"] {
            metadata.free(name);
        }
        metadata.finish();
    }
    let spec = fields.need("spec");
    fields.finish();
    read(&spec?)
}

/// `spec` of an SLI.
pub(super) fn read(spec: &Field<'_>) -> Option<Indicator> {
    let fields = spec.fields()?;
    if let Some(field) = fields.get("description") {
        field.text();
    }
    let (ratio, threshold) = (fields.get("ratioMetric"), fields.get("thresholdMetric"));
    fields.finish();
    match (ratio, threshold) {
        (Some(_), Some(threshold)) => {
            threshold.error("two-metrics", "ratioMetric and thresholdMetric are both set");
            None
        }
        (Some(field), None) => read_ratio(&field.fields()?),
        (None, Some(field)) => read_threshold(&field.fields()?),
        (None, None) => {
            spec.error("missing-field", "ratioMetric or thresholdMetric is missing");
            None
        }
    }
}

/// What one `metricSource` says.
struct Source<'a> {
    query: Option<(Query, Field<'a>)>,
    group_by: Option<(Vec<String>, Field<'a>)>,
    counter_start: Option<(CounterStart, Field<'a>)>,
    no_data: Option<(NoData, Field<'a>)>,
    zero_traffic: Option<(ZeroTraffic, Field<'a>)>,
    reference: Option<Reference>,
}

/// Which fields a `metricSource.spec` may have beside the query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// Reads a metric with its source; `more` reads fields of its own.
fn source<'a>(
    metric: &Field<'a>,
    kind: Kind,
    more: &mut dyn FnMut(&Fields<'a>),
) -> Option<Source<'a>> {
    let outer = metric.fields()?;
    let source = outer.need("metricSource").and_then(|field| field.fields());
    outer.finish();
    let source = source?;
    let told = source.get("type").and_then(|field| Some((field.text()?, field)));
    let reference = source.get("metricSourceRef").and_then(|field| Reference::read(&field));
    let spec = source.need("spec").and_then(|field| field.fields());
    source.finish();
    if let Some((name, field)) = &told
        && !PROMQL_TYPES.contains(&name.to_ascii_lowercase().as_str())
    {
        let message = format!("queries of {name} cannot be asked");
        field.error_hint(
            "unsupported-source",
            message,
            "nines asks PromQL: type nines or prometheus",
        );
        return None;
    }
    let spec = spec?;
    let query = spec.need("query").and_then(|field| Some((read_query(&field)?, field)));
    let group_by = spec.get("groupBy").and_then(|field| Some((label_names(&field)?, field)));
    let ignore = ("ignore", NoData::Ignore);
    let no_data = spec.get("noData").and_then(|field| {
        Some((field.one_of(&[("good", NoData::Good), ("bad", NoData::Bad), ignore])?, field))
    });
    let zero_traffic =
        spec.get("zeroTraffic").and_then(|field| Some((read_zero_traffic(&field)?, field)));
    let counter_start = match kind {
        Kind::Gauge => None,
        Kind::Counter => spec.get("counterStart").and_then(|field| {
            let words = [
                ("auto", CounterStart::Auto),
                ("ignore", CounterStart::Ignore),
                ("zero", CounterStart::Zero),
            ];
            Some((field.one_of(&words)?, field))
        }),
    };
    more(&spec);
    match told {
        Some((name, _)) if !name.eq_ignore_ascii_case(OWN_TYPE) => spec.finish_ignoring(name),
        _ => spec.finish(),
    }
    Some(Source { query, group_by, counter_start, no_data, zero_traffic, reference })
}

/// `good` or `ignore`.
pub(super) fn read_zero_traffic(field: &Field<'_>) -> Option<ZeroTraffic> {
    field.one_of(&[("good", ZeroTraffic::Good), ("ignore", ZeroTraffic::Ignore)])
}

fn label_names(field: &Field<'_>) -> Option<Vec<String>> {
    let mut names = field.words()?;
    let is_label = |name: &String| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    if let Some(wrong) = names.iter().find(|name| !is_label(name)) {
        field.error("bad-label", format!("{wrong:?} is not the name of a label"));
        return None;
    }
    names.sort();
    names.dedup();
    Some(names)
}

fn read_query(field: &Field<'_>) -> Option<Query> {
    let text = field.text()?;
    match query::read(text) {
        Ok(query) => Some(query),
        Err(error) => {
            let place = field.inside(error.span.start);
            field.report.tell(Diagnostic::error(&place, &field.path, "promql", error.message));
            None
        }
    }
}

/// A query that is one selector.
fn read_selector(field: &Field<'_>) -> Option<Selector> {
    let query = read_query(field)?;
    let selector = query.sum.filter(|_| query.plain);
    if selector.is_none() {
        let message = "this must be a selector without anything around it";
        field.error_hint("not-a-selector", message, "write it like droplet_info{region=\"ams3\"}");
    }
    selector
}

fn read_ratio(fields: &Fields<'_>) -> Option<Indicator> {
    let counter = fields.get("counter").and_then(|field| field.truth());
    let raw_type = fields.get("rawType");
    let (good, bad) = (fields.get("good"), fields.get("bad"));
    let (total, raw) = (fields.get("total"), fields.get("raw"));
    fields.finish();
    if let Some(raw) = raw {
        let others = [("good", &good), ("bad", &bad), ("total", &total)];
        if let Some((name, Some(_))) = others.into_iter().find(|(_, field)| field.is_some()) {
            let message = format!("raw and {name} are both set");
            fields.error_at_key(name, "raw-and-events", message, "raw is a ratio already");
            return None;
        }
        return read_raw(fields, raw_type, &raw);
    }
    if let Some(field) = raw_type {
        field.warning("not-used", "rawType without raw is not used", "");
    }
    let (part, side) = match (good, bad) {
        (Some(_), Some(_)) => {
            let message = "good and bad are both set".to_owned();
            fields.error_at_key(
                "bad",
                "good-and-bad",
                message,
                "keep one of them: the other is the rest of total",
            );
            return None;
        }
        (Some(good), None) => (Part::Good, Some(good)),
        (None, Some(bad)) => (Part::Bad, Some(bad)),
        (None, None) => {
            fields.all().error("missing-field", "good or bad is missing");
            (Part::Good, None)
        }
    };
    if total.is_none() {
        fields.all().error("missing-field", "total is missing");
    }
    let side = side.and_then(|field| source(&field, Kind::Counter, &mut |_| {}));
    let total = total.and_then(|field| source(&field, Kind::Counter, &mut |_| {}));
    let (side, total) = (side?, total?);
    let counter_start = agreed(&side.counter_start, &total.counter_start);
    let no_data = agreed(&side.no_data, &total.no_data);
    let zero_traffic = agreed(&side.zero_traffic, &total.zero_traffic);
    let group_by = agreed(&side.group_by, &total.group_by);
    let sources = side.reference.into_iter().chain(total.reference).collect();
    let ((counters, counters_field), (total, total_field)) = (side.query?, total.query?);
    for (query, field) in [(&counters, &counters_field), (&total, &total_field)] {
        check_buckets(query, field);
    }
    let by = if counters.by == total.by { counters.by.clone() } else { Vec::new() };
    let counter = counter.unwrap_or(true);
    let exact = counter || counters.rated && total.rated;
    for (query, field) in [(&counters, &counters_field), (&total, &total_field)] {
        if query.sum.is_none() || !exact {
            tell_inexact(field, if exact { "no sum of counters" } else { "no counter" });
        }
    }
    Some(Indicator {
        metric: Metric::Ratio { part, counters, total, counter },
        group_by: group_by?.unwrap_or(by),
        counter_start: counter_start?.unwrap_or_default(),
        no_data: no_data?.unwrap_or_default(),
        zero_traffic: zero_traffic?,
        weighting: Weighting::Samples,
        source: String::new(),
        sources,
    })
}

fn tell_inexact(field: &Field<'_>, what: &str) {
    let message =
        format!("the query is {what}: PromQL answers it slice by slice, and figures are not exact");
    field.warning("not-exact", message, "name counters by selectors, or add and subtract them");
}

/// A setting of both sources of a ratio; `None` when they differ, which is told.
fn agreed<T: Clone + PartialEq>(
    one: &Option<(T, Field<'_>)>,
    other: &Option<(T, Field<'_>)>,
) -> Option<Option<T>> {
    match (one, other) {
        (Some((a, _)), Some((b, field))) if a != b => {
            field
                .error("settings-differ", "the two sources of the ratio say different things here");
            None
        }
        (Some((value, _)), _) | (None, Some((value, _))) => Some(Some(value.clone())),
        (None, None) => Some(None),
    }
}

/// Tells buckets that are added up.
fn check_buckets(query: &Query, field: &Field<'_>) {
    let Some(sum) = &query.sum else { return };
    let all = std::iter::once(&sum.matchers).chain(sum.terms.iter().map(|(_, matchers)| matchers));
    for matchers in all {
        let name = matchers.iter().find(|m| m.name == "__name__").map_or("", |m| m.value.as_str());
        if name.ends_with("_bucket") && !matchers.iter().any(|m| m.name == "le") {
            let message =
                format!("all buckets of {name} are added up, and each holds those below it");
            field.warning(
                "bucket-without-le",
                message,
                "name one bucket: le=\"0.25\", or count with _count",
            );
        }
    }
}

fn read_raw(
    fields: &Fields<'_>,
    raw_type: Option<Field<'_>>,
    raw: &Field<'_>,
) -> Option<Indicator> {
    let part = match raw_type {
        Some(field) => field.one_of(&[("success", Part::Good), ("failure", Part::Bad)]),
        None => {
            fields.need_hint("rawType", "write success for good/total, failure for bad/total");
            None
        }
    };
    let source = source(raw, Kind::Gauge, &mut |_| {})?;
    let (query, field) = source.query?;
    if !query.plain {
        tell_inexact(&field, "no selector");
    }
    Some(Indicator {
        metric: Metric::Raw { part: part?, query },
        group_by: source.group_by.map(|(names, _)| names).unwrap_or_default(),
        counter_start: CounterStart::default(),
        no_data: source.no_data.map(|(value, _)| value).unwrap_or_default(),
        zero_traffic: source.zero_traffic.map(|(value, _)| value),
        weighting: Weighting::Samples,
        source: String::new(),
        sources: source.reference.into_iter().collect(),
    })
}

/// `states`: which values are good, bad, and not counted.
struct States {
    good: Vec<f64>,
    bad: Vec<f64>,
    ignore: Vec<f64>,
}

fn read_states(field: &Field<'_>) -> Option<States> {
    let fields = field.fields()?;
    let mut seen: Vec<(f64, &str)> = Vec::new();
    let mut all = Vec::new();
    let mut fine = true;
    for name in ["good", "bad", "ignore"] {
        let mut values = Vec::new();
        let items = fields.get(name).map(|list| list.list());
        fine &= !matches!(items, Some(None));
        for item in items.flatten().unwrap_or_default() {
            let Some(value) = item.float() else {
                fine = false;
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(other, _)| *other == value) {
                item.error("state-twice", format!("the state {value} is in {first} already"));
                fine = false;
            }
            seen.push((value, name));
            values.push(value);
        }
        all.push(values);
    }
    fields.finish();
    let ignore = all.pop()?;
    let bad = all.pop()?;
    let good = all.pop()?;
    if good.is_empty() && bad.is_empty() && fine {
        field.error("missing-field", "states names neither a good nor a bad state");
        return None;
    }
    fine.then_some(States { good, bad, ignore })
}

/// `weighting` and `staleAfter`.
fn read_weighting(
    (weighting, stale_after): (Option<Field<'_>>, Option<Field<'_>>),
) -> Option<Weighting> {
    let is_time = match weighting {
        Some(field) => field.one_of(&[("samples", false), ("time", true)])?,
        None => false,
    };
    let Some(field) = stale_after else {
        let time = Weighting::Time { stale_after_ms: STALE_AFTER_MS };
        return Some(if is_time { time } else { Weighting::Samples });
    };
    if !is_time {
        field.error_hint(
            "stale-after-needs-time",
            "staleAfter is used with weighting: time only",
            "write weighting: time, or remove it",
        );
        return None;
    }
    let stale_after_ms = times::length(&field)?;
    if !(1..=STALE_AFTER_MAX_MS).contains(&stale_after_ms) {
        let message = "staleAfter must be longer than 0 and at most 1d";
        field.error_hint("bad-duration", message, "write some pauses between samples, such as 5m");
        return None;
    }
    Some(Weighting::Time { stale_after_ms })
}

fn read_threshold(fields: &Fields<'_>) -> Option<Indicator> {
    let metric = fields.all().clone();
    let mut states = None;
    let mut existence = None;
    let mut weights = (None, None);
    let source = source(&metric, Kind::Gauge, &mut |spec| {
        states = spec.get("states").map(|field| read_states(&field));
        existence = spec.get("existence").map(|field| (read_selector(&field), field));
        weights = (spec.get("weighting"), spec.get("staleAfter"));
    })?;
    let weighting = read_weighting(weights)?;
    let (query, field) = source.query?;
    if weighting != Weighting::Samples && !query.plain {
        field.error_hint(
            "not-a-selector",
            "weighting: time is about the samples of series",
            "write a selector without anything around it, or remove weighting",
        );
        return None;
    }
    if states.is_none()
        && let Some((_, field)) = &existence
    {
        field.error_hint(
            "existence-needs-states",
            "existence is used with states only",
            "name good and bad states",
        );
        return None;
    }
    let metric = match states {
        Some(states) => {
            let States { good, bad, ignore } = states?;
            let Some(series) = query.sum.filter(|_| query.plain) else {
                field.error(
                    "not-a-selector",
                    "states are those of series: write a selector without anything around it",
                );
                return None;
            };
            let existence = match existence {
                Some((selector, _)) => Some(selector?),
                None => None,
            };
            Metric::States { series, good, bad, ignore, existence }
        }
        None => {
            if !query.plain {
                tell_inexact(&field, "no selector");
            }
            Metric::Threshold(query)
        }
    };
    Some(Indicator {
        metric,
        group_by: source.group_by.map(|(names, _)| names).unwrap_or_default(),
        counter_start: CounterStart::default(),
        no_data: source.no_data.map(|(value, _)| value).unwrap_or_default(),
        zero_traffic: source.zero_traffic.map(|(value, _)| value),
        weighting,
        source: String::new(),
        sources: source.reference.into_iter().collect(),
    })
}
