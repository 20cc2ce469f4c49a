//! When groups were down: their bad slices, one behind the other.

use std::collections::{BTreeMap, BTreeSet};

use super::adjust::covered;
use super::{Asked, Evaluator};
use crate::slo::count::{Asker, Group, group_of};
use crate::slo::definition::Method;
use crate::slo::error::Result;
use crate::slo::exclusions::Excluded;
use crate::slo::slices::{edges, zone};

/// Groups whose slices are held at once at most.
const GROUPS_AT_ONCE: usize = 16;

impl Evaluator<'_> {
    /// The stretches of a window in which slices of an objective are bad, exclusions taken into account, for some
    /// groups. Nothing for a method without slices, and of composites.
    pub fn downtime(
        &self,
        asked: &Asked,
        groups: &[Group],
    ) -> Result<BTreeMap<Group, Vec<(i64, i64)>>> {
        let mut found = BTreeMap::new();
        let [objective] = self.slo.objectives.as_slice() else { return Ok(found) };
        if self.slo.method == Method::Occurrences {
            return Ok(found);
        }
        let time = self.time(objective, asked);
        let span = (time.from_ms, time.until_ms);
        let edges = edges(objective.slice, zone(self.slo), &[span.0, span.1]);
        let asker = Asker { data: self.data, budget: self.budget, slo: self.slo, objective };
        let excluded = self.excluded(objective, &time)?;
        let grouped = !self.slo.group_by.is_empty();
        let covered_by = |one: &Excluded<'_>| -> Result<Option<BTreeSet<Group>>> {
            if (one.labels.is_empty() && one.except.is_empty()) || !grouped {
                return Ok(None);
            }
            let then = (one.from_ms, one.to_ms);
            let all = asker.count(&[then.0, then.1], None)?.groups;
            Ok(Some(covered(&asker, &time, one, (then, &all))?))
        };
        let covered: Vec<_> = excluded.iter().map(covered_by).collect::<Result<_>>()?;
        for some in groups.chunks(GROUPS_AT_ONCE) {
            let wanted: BTreeSet<&Group> = some.iter().collect();
            let of_these = |series: &nines_storage::model::Labels| {
                !grouped || wanted.contains(&group_of(self.slo, series))
            };
            let counted = asker.count(&edges, Some(&of_these))?.groups;
            let mut bad: BTreeMap<Group, Vec<bool>> = BTreeMap::new();
            for (group, tallies) in &counted {
                let is_bad = |tally| self.slices_of(tally, 0).1 > 0;
                bad.insert(group.clone(), tallies.iter().map(is_bad).collect());
            }
            for (one, covered) in excluded.iter().zip(&covered) {
                let inside = |edge: &[i64]| matches!(*edge, [from, to] if one.from_ms <= from && to <= one.to_ms);
                // Of series that are counted together those that are not covered still count.
                let others = match one.labels.is_empty() || grouped {
                    true => None,
                    false => Some(asker.count(&edges, Some(&|series| !one.covers(series)))?.groups),
                };
                for (group, slices) in &mut bad {
                    if covered.as_ref().is_some_and(|covered| !covered.contains(group)) {
                        continue;
                    }
                    let left = others.as_ref().and_then(|others| others.get(group));
                    for (at, (is_bad, edge)) in slices.iter_mut().zip(edges.windows(2)).enumerate()
                    {
                        if inside(edge) {
                            *is_bad = left
                                .and_then(|left| left.get(at))
                                .is_some_and(|tally| tally.bad > 0);
                        }
                    }
                }
            }
            for (group, slices) in bad {
                if wanted.contains(&group) {
                    found.insert(group, together(&slices, &edges));
                }
            }
        }
        Ok(found)
    }
}

/// Neighbours become one.
fn together(bad: &[bool], edges: &[i64]) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for (_, edge) in bad.iter().zip(edges.windows(2)).filter(|(bad, _)| **bad) {
        let [from, to] = *edge else { continue };
        match spans.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => spans.push((from, to)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one() {
        let edges = [0, 5, 10, 15, 20];
        assert_eq!(together(&[true, true, false, true], &edges), [(0, 10), (15, 20)]);
        assert_eq!(together(&[false; 4], &edges), []);
    }
}
