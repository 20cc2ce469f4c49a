//! `info(v, selector)`: adds the data labels of info metrics (`target_info` unless named) to series with the
//! same `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nines_storage::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::ast::{EdgeMode, Span};
use super::error::{QueryError, Result};
use super::eval::{Evaluator, Sink, merge_equal};
use super::matching::prometheus_text;
use super::plan::{Kind, Node, Selector, Shift};
use super::row::{Row, Selection};
use super::selector::Pick;
use super::steps::Steps;

/// Labels that say of what an info metric tells.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
const DEFAULT_INFO: &str = "target_info";

/// An info metric's series of one identity: at every step the one whose sample is newest.
struct Identity {
    newest: Vec<Option<usize>>,
}

impl Evaluator<'_> {
    pub(super) fn info_rows(&self, steps: Steps, args: &[Node], sink: &mut Sink<'_>) -> Result<()> {
        let Some(vector) = args.first() else { return Ok(()) };
        let base = self.collect(steps, vector)?;
        let given = match args.get(1).map(|node| &node.kind) {
            Some(Kind::Selector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let names = name_matchers(given)?;
        let data: Vec<&Matcher> =
            given.iter().filter(|matcher| matcher.name != METRIC_NAME).collect();
        let is_info =
            |labels: &Labels| names.iter().all(|matcher| matcher.matches(labels.metric_name()));
        let shift =
            first_shift(vector, &mut Vec::new()).unwrap_or(Shift { offset_ms: 0, at_ms: None });
        let info = self.select_info(steps, &base.list, &is_info, names.clone(), &data, shift)?;
        let identities = self.identities(steps, &info)?;
        let metrics: BTreeSet<&str> = info.iter().map(|row| row.labels.metric_name()).collect();
        let mut out = Vec::new();
        for row in base.list {
            self.check()?;
            if is_info(&row.labels) {
                out.push(row);
                continue;
            }
            enrich(steps, row, &info, &identities, &metrics, &data, &mut out)?;
        }
        for row in &mut merge_equal(out)? {
            if !row.is_empty() {
                sink(row)?;
            }
        }
        Ok(())
    }

    /// The info series of the identities that occur, with the times of their samples as values.
    fn select_info(
        &self,
        steps: Steps,
        base: &[Row],
        is_info: &dyn Fn(&Labels) -> bool,
        names: Vec<Matcher>,
        data: &[&Matcher],
        shift: Shift,
    ) -> Result<Vec<Row>> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in base.iter().filter(|row| !is_info(&row.labels)) {
            for name in IDENTIFYING {
                let value = row.labels.get(name);
                if !value.is_empty() {
                    values.entry(name).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers = names;
        for (name, values) in values {
            let pattern: Vec<String> = values.into_iter().map(regex::escape).collect();
            matchers.push(Matcher::new(name, MatchOp::Regex, pattern.join("|"))?);
        }
        matchers.extend(data.iter().map(|&matcher| matcher.clone()));
        let edges = EdgeMode::Plain;
        let selector = Selector { matchers, range_ms: 0, shift, edges, any_order: false };
        let mut rows = Vec::new();
        let mut hold = self.hold();
        self.picked_rows(steps, Span::default(), &selector, Pick::Timestamp, &mut |row| {
            hold.add(row.n_samples(), row.bytes())?;
            rows.push(row.take());
            Ok(())
        })?;
        Ok(rows)
    }

    /// For every identity the newest info series of every step.
    fn identities(&self, steps: Steps, info: &[Row]) -> Result<HashMap<Vec<u8>, Identity>> {
        let mut identities: HashMap<Vec<u8>, Identity> = HashMap::new();
        let mut key = Vec::new();
        for (index, row) in info.iter().enumerate() {
            identity_key(row.labels.metric_name(), &row.labels, &mut key);
            let identity = identities
                .entry(key.clone())
                .or_insert_with(|| Identity { newest: vec![None; steps.n] });
            for (step, newest) in identity.newest.iter_mut().enumerate() {
                let Some(time) = row.float(step) else { continue };
                let known = newest.and_then(|index: usize| info.get(index));
                let Some((known, known_time)) =
                    known.and_then(|known| Some((known, known.float(step)?)))
                else {
                    *newest = Some(index);
                    continue;
                };
                if known_time < time {
                    *newest = Some(index);
                } else if known_time.total_cmp(&time).is_eq() {
                    return Err(QueryError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        prometheus_text(&known.labels),
                        known_time * 1000.0,
                        prometheus_text(&row.labels),
                        time * 1000.0
                    )));
                }
            }
        }
        Ok(identities)
    }
}

/// Which series are info metrics: what the selector says of their names. Only negations speak of all names
/// that end in `_info`; nothing at all speaks of `target_info`.
fn name_matchers(given: &[Matcher]) -> Result<Vec<Matcher>> {
    let mut names: Vec<Matcher> =
        given.iter().filter(|matcher| matcher.name == METRIC_NAME).cloned().collect();
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, DEFAULT_INFO)]);
    }
    if !names.iter().any(|matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)) {
        names.push(Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")?);
    }
    Ok(names)
}

fn identity_key(metric: &str, labels: &Labels, key: &mut Vec<u8>) {
    Selection::on(&IDENTIFYING.map(str::to_owned)).key(labels, key);
    key.extend_from_slice(metric.as_bytes());
}

/// Where the first selector of an expression looks: its own `@` or else that of the subqueries around it,
/// and the offsets up to there.
fn first_shift(node: &Node, around: &mut Vec<Shift>) -> Option<Shift> {
    match &node.kind {
        Kind::Selector(selector) => {
            let mut shift = selector.shift;
            for outer in around.iter().rev() {
                if shift.at_ms.is_some() {
                    break;
                }
                shift = Shift {
                    offset_ms: shift.offset_ms.saturating_add(outer.offset_ms),
                    at_ms: outer.at_ms,
                };
            }
            Some(shift)
        }
        Kind::Subquery(subquery) => {
            around.push(subquery.shift);
            let found = first_shift(&subquery.node, around);
            around.pop();
            found
        }
        Kind::Call { args, .. } => args.iter().find_map(|arg| first_shift(arg, around)),
        Kind::Aggregate(aggregate) => first_shift(&aggregate.node, around)
            .or_else(|| aggregate.param.as_ref().and_then(|param| first_shift(param, around))),
        Kind::Binary(binary) => {
            first_shift(&binary.lhs, around).or_else(|| first_shift(&binary.rhs, around))
        }
        Kind::Negate(inner) | Kind::Invariant(inner) => first_shift(inner, around),
        Kind::Number(_) | Kind::Text(_) => None,
    }
}

/// Splits `row` by the info series that hold at its steps, and adds their labels.
fn enrich(
    steps: Steps,
    row: Row,
    info: &[Row],
    identities: &HashMap<Vec<u8>, Identity>,
    metrics: &BTreeSet<&str>,
    data: &[&Matcher],
    out: &mut Vec<Row>,
) -> Result<()> {
    let mut key = Vec::new();
    let of_metrics: Vec<&Identity> = metrics
        .iter()
        .filter_map(|metric| {
            identity_key(metric, &row.labels, &mut key);
            identities.get(&key)
        })
        .collect();
    let mut by_infos: Vec<(Vec<usize>, Vec<bool>)> = Vec::new();
    for step in 0..steps.n {
        if !row.has(step) {
            continue;
        }
        let infos: Vec<usize> = of_metrics
            .iter()
            .filter_map(|identity| identity.newest.get(step).copied().flatten())
            .collect();
        let at = by_infos.iter().position(|known| known.0 == infos).unwrap_or_else(|| {
            by_infos.push((infos, vec![false; steps.n]));
            by_infos.len() - 1
        });
        if let Some(flag) = by_infos.get_mut(at).and_then(|known| known.1.get_mut(step)) {
            *flag = true;
        }
    }
    for (infos, flags) in by_infos {
        if infos.is_empty() && data.iter().any(|matcher| !matcher.matches_empty()) {
            continue;
        }
        let mut part = row.clone();
        part.labels =
            joined_labels(&row.labels, infos.iter().filter_map(|&index| info.get(index)), data)?;
        part.retain(|step| flags.get(step).copied().unwrap_or(false));
        out.push(part);
    }
    Ok(())
}

fn joined_labels<'r>(
    base: &Labels,
    infos: impl Iterator<Item = &'r Row>,
    data: &[&Matcher],
) -> Result<Labels> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for info in infos {
        for (name, value) in &info.labels {
            let wanted = data.is_empty() || data.iter().any(|matcher| matcher.name == name);
            if name == METRIC_NAME || !wanted {
                continue;
            }
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(QueryError::execution(format!("conflicting label: {name}")));
            }
            if !base.has(name) {
                added.insert(name, value);
            }
        }
    }
    let mut builder = LabelsBuilder::new(base);
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
