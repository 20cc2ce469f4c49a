//! What is no sum of selectors is asked of PromQL, at the end of every slice. It is drawn from rates and the like, so
//! that what it counts is not exact.

use std::collections::BTreeMap;

use nines_storage::model::{Labels, Matcher, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints, SeriesSet};
use parking_lot::Mutex;

use super::{Asker, Counted, Group, Keep, group_of};
use crate::config::PromDuration;
use crate::promql::{Engine, EngineOptions, QueryOptions, Value, parse};
use crate::slo::definition::Slice;
use crate::slo::error::{Result, SloError};
use crate::slo::slices::Slot;

/// What stands for the length of a slice in an expression.
const WINDOW: &str = "$__window";
/// How warnings begin that are none of what is missing.
const ABOUT_EXPRESSION: &str = "PromQL ";

/// Notes since when there are samples of what PromQL selects.
struct Watched<'a> {
    data: &'a dyn Queryable,
    samples_begin_ms: Mutex<Option<i64>>,
}

impl Queryable for Watched<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        budget: &Budget,
    ) -> nines_storage::Result<Box<dyn SeriesSet + 'a>> {
        let set = self.data.select(matchers, range, hints, budget)?;
        let mut known = self.samples_begin_ms.lock();
        *known = set.samples_begin_ms().max(*known);
        drop(known);
        Ok(set)
    }
}

/// Slices of every group, between `edges`. What is missing is told in `counted`.
pub(super) fn slots(
    asker: &Asker<'_>,
    (expr, total): (&str, Option<&str>),
    (edges, keep): (&[i64], Option<&Keep<'_>>),
    counted: &mut Counted,
) -> Result<BTreeMap<Group, Vec<Slot>>> {
    let Slice::Fixed(length) = asker.objective.slice else {
        return Err(SloError::Invalid(
            "an expression that is no sum of selectors needs slices of minutes or hours".to_owned(),
        ));
    };
    let mut groups: BTreeMap<Group, Vec<Slot>> = BTreeMap::new();
    let n = edges.len().saturating_sub(1);
    let mut put = |labels: &Labels, at: i64, value: f64, is_total: bool| {
        // What is told of a slice that an edge has cut is about all of it.
        let Ok(end) = edges.binary_search(&at) else { return };
        let is_whole = end > 0 && edges.get(end - 1) == Some(&(at - length));
        if !is_whole || !value.is_finite() || keep.is_some_and(|keep| !keep(labels)) {
            return;
        }
        let group = group_of(asker.slo, labels);
        let slots = groups.entry(group).or_insert_with(|| vec![Slot::default(); n]);
        let Some(slot) = slots.get_mut(end - 1) else { return };
        // How far back it looks is not known.
        slot.base_ms = i64::MIN;
        match is_total {
            true => {
                slot.total.add(value);
                slot.samples += 1;
            }
            false => slot.part.add(value),
        }
    };
    evaluate((asker, counted), expr, length, edges, &mut |labels, at, value| {
        put(labels, at, value, false);
        if total.is_none() {
            put(labels, at, 1.0, true);
        }
    })?;
    if let Some(total) = total {
        evaluate((asker, counted), total, length, edges, &mut |labels, at, value| {
            put(labels, at, value, true)
        })?;
    }
    Ok(groups)
}

fn evaluate(
    (asker, counted): (&Asker<'_>, &mut Counted),
    expr: &str,
    length: i64,
    edges: &[i64],
    show: &mut dyn FnMut(&Labels, i64, f64),
) -> Result<()> {
    let first = edges.iter().skip(1).copied().find(|edge| edge % length == 0);
    let (Some(first), Some(&last)) = (first, edges.last()) else { return Ok(()) };
    let window = PromDuration(std::time::Duration::from_millis(length.unsigned_abs())).to_string();
    let text = expr.replace(WINDOW, &window);
    let failed = |error: &dyn std::fmt::Display| SloError::Query(format!("{error}: {text}"));
    let parsed = parse(&text).map_err(|error| failed(&error.render(&text)))?;
    let engine = Engine::new(EngineOptions::default());
    let options = QueryOptions::default();
    let watched = Watched { data: asker.data, samples_begin_ms: Mutex::default() };
    let answer = engine
        .range(&watched, &parsed, &text, first, last, length, &options, asker.budget)
        .map_err(|error| failed(&error))?;
    let begin = edges.first().copied().unwrap_or(first);
    let gone_before = watched.samples_begin_ms.into_inner().filter(|since| *since > begin);
    counted.samples_begin_ms = counted.samples_begin_ms.max(gone_before);
    // Others are about the expression.
    let missing = answer.warnings.into_iter().filter(|text| !text.starts_with(ABOUT_EXPRESSION));
    counted.missing.extend(missing);
    if let Value::Matrix(series) = answer.value {
        for one in &series {
            one.floats.iter().for_each(|(at, value)| show(&one.labels, *at, *value));
        }
    }
    Ok(())
}
