//! What was before the first sample of a series that was read: the base of its first step, however old.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use nines_storage::model::{Labels, MatchOp, Matcher, SeriesData, TimeRange};
use nines_storage::query::SelectHints;

use super::{Asker, Item, Role, Source, lookback};
use crate::slo::definition::CounterStart;
use crate::slo::error::Result;
use crate::slo::fold::{First, Side, step};
use crate::slo::slices::Slot;

/// How far back is looked, further and further.
const REACHES_MS: [i64; 4] = [2 * 3_600_000, 86_400_000, 30 * 86_400_000, i64::MAX];
/// Series that are looked for one by one; more of them by the selector of all.
const ONE_BY_ONE_MAX: usize = 32;
/// A counter that began so long before its first sample was not seen from its beginning.
const START_AGE_MAX_MS: i64 = 3_600_000;

/// Books the first samples: the step from what was before, or what the SLO says of a counter that has no past.
/// Answers which first values were not counted, with their slices: a series that is part and total is told once.
pub(super) fn settle_firsts(
    asker: &Asker<'_>,
    sources: &[Source<'_>],
    firsts: Vec<(Item, First)>,
    edges: &[i64],
    slots: &mut [Slot],
    missing: &Mutex<BTreeSet<String>>,
) -> Result<Vec<(usize, f64)>> {
    let (Some(&begin), Some(&end)) = (edges.first(), edges.last()) else { return Ok(Vec::new()) };
    let mut uncounted = Vec::new();
    let mut told: HashSet<Labels> = HashSet::new();
    for (at, source) in sources.iter().enumerate() {
        let Role::Counter(side, negative) = source.role else { continue };
        let mut left: HashMap<Labels, First> = firsts
            .iter()
            .filter(|(item, _)| item.source == at)
            .map(|(item, first)| (source.set.labels(item.series).clone(), *first))
            .collect();
        let mut book = |first: &First, events: f64, base_ms: i64| {
            let Some(slot) = slots.get_mut(first.slot) else { return };
            slot.base_ms = slot.base_ms.min(base_ms);
            let events = if negative { -events } else { events };
            match side {
                Side::Part => slot.part.add(events),
                Side::Total => slot.total.add(events),
            }
        };
        let mut newest = begin.saturating_sub(lookback(begin, end));
        for reach in REACHES_MS {
            if left.is_empty() {
                break;
            }
            let oldest = begin.saturating_sub(reach);
            let range = TimeRange::new(oldest.saturating_add(1), newest);
            newest = oldest;
            let looked = look(asker, source.matchers, range, &mut left, &mut |first, found| {
                let (ts, before) = found;
                book(first, step(before, first.value), ts);
            })?;
            missing.lock().unwrap_or_else(PoisonError::into_inner).extend(looked);
        }
        let mut rest: Vec<(&Labels, &First)> = left.iter().collect();
        rest.sort_by(|(_, a), (_, b)| {
            (a.slot, a.ts).cmp(&(b.slot, b.ts)).then(a.value.total_cmp(&b.value))
        });
        for (labels, first) in rest {
            let age = first.ts.saturating_sub(first.start_ts);
            let from_zero = match asker.slo.counter_start {
                CounterStart::Zero => true,
                CounterStart::Ignore => false,
                CounterStart::Auto => first.start_ts > 0 && (0..=START_AGE_MAX_MS).contains(&age),
            };
            book(first, if from_zero { first.value } else { 0.0 }, i64::MIN);
            if from_zero {
                continue;
            }
            if first.value != 0.0 && told.insert(labels.clone()) {
                uncounted.push((first.slot, first.value));
            }
        }
    }
    Ok(uncounted)
}

/// Takes the series out of `left` that have a sample inside `range`, and shows their newest one there. Answers what
/// could not be read.
fn look(
    asker: &Asker<'_>,
    matchers: &[Matcher],
    range: TimeRange,
    left: &mut HashMap<Labels, First>,
    found: &mut dyn FnMut(&First, (i64, f64)),
) -> Result<BTreeSet<String>> {
    let mut missing = BTreeSet::new();
    if range.max < range.min {
        return Ok(missing);
    }
    let sets: Vec<Vec<Matcher>> = if left.len() <= ONE_BY_ONE_MAX {
        left.keys().map(exactly).collect()
    } else {
        vec![matchers.to_vec()]
    };
    let hints = SelectHints { any_order: true, ..SelectHints::default() };
    let mut data = SeriesData::default();
    for matchers in &sets {
        let set = asker.data.select(matchers, range, &hints, asker.budget)?;
        for series in 0..set.len() {
            let labels = set.labels(series);
            if !left.contains_key(labels) {
                continue;
            }
            set.read(series, range, asker.budget, &mut data)?;
            let mut samples = data.ts.iter().copied().zip(data.values.iter().copied()).rev();
            if let Some(before) = samples.find(|(_, value)| value.is_finite())
                && let Some(first) = left.remove(labels)
            {
                found(&first, before);
            }
        }
        missing.extend(set.warnings());
    }
    Ok(missing)
}

/// Matchers of one series; others may satisfy them that have further labels.
fn exactly(labels: &Labels) -> Vec<Matcher> {
    let matcher = |(name, value): (&str, &str)| Matcher::new(name, MatchOp::Equal, value);
    labels.iter().filter_map(|pair| matcher(pair).ok()).collect()
}
