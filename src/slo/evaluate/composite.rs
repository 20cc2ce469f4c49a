//! Several objectives as one: the worst of them, the weighted mean of the budgets burned, or all events together.

use std::collections::BTreeMap;

use crate::slo::decimal::Decimal;
use crate::slo::definition::{CompositeMethod, Method, Slo};
use crate::slo::fraction::Fraction;
use crate::slo::report::{Count, Coverage, Exactly, ExcludedPart, RawPart, Report};
use crate::slo::sum::Sum;

use super::verdict::status;

/// One report per group over the reports of all objectives, which tell their objective.
pub(super) fn combine(slo: &Slo, members: &[(Decimal, Report)]) -> Vec<Report> {
    let mut groups: BTreeMap<&BTreeMap<String, String>, Vec<&(Decimal, Report)>> = BTreeMap::new();
    for member in members {
        groups.entry(&member.1.group).or_default().push(member);
    }
    groups.into_values().filter_map(|members| of_group(slo, &members)).collect()
}

fn of_group(slo: &Slo, members: &[&(Decimal, Report)]) -> Option<Report> {
    let counted: Vec<&&(Decimal, Report)> =
        members.iter().filter(|(_, report)| report.met.is_some()).collect();
    let mut head = members.first()?.1.clone();
    let text = match slo.composite {
        CompositeMethod::Worst => {
            let left = |report: &Report| report.budget_remaining.unwrap_or(f64::INFINITY);
            if let Some(worst) = counted.iter().min_by(|a, b| left(&a.1).total_cmp(&left(&b.1))) {
                head = worst.1.clone();
            }
            for (_, report) in members {
                head.exact &= report.exact;
                head.revision = head.revision.max(report.revision);
                head.computed_at = head.computed_at.max(report.computed_at);
                add_new(&mut head.notes, &report.notes);
            }
            if slo.method != Method::Occurrences {
                head.exact = false;
                head.notes.push(
                    "slices that are bad in different members are not united, for the members have slices or targets of their own or an exclusion is of some series: the worst member is told".to_owned(),
                );
            }
            format!("composite: the worst of {} objectives, {:?}", members.len(), head.objective)
        }
        CompositeMethod::Weighted => {
            let (mut burned, mut weights) = (Fraction::zero(), Fraction::zero());
            // Of a member that allows nothing one bad event is more than any budget.
            let mut beyond = false;
            for (weight, report) in counted.into_iter().copied() {
                let [Exactly { bad, allowed, .. }, _] = &report.exactly;
                let weight = Fraction::from(*weight);
                match bad.over(allowed) {
                    Some(share) => burned = burned.plus(&weight.times(&share)),
                    None => beyond |= bad.is_positive() && weight.is_positive(),
                }
                weights = weights.plus(&weight);
            }
            let left = burned.over(&weights).map(|share| share.rest());
            pool(&mut head, members);
            head.budget_remaining = left.as_ref().filter(|_| !beyond).map(Fraction::to_f64);
            head.met = left.map(|left| !beyond && left >= Fraction::zero());
            format!(
                "composite: 1 - sum(weight * burned) / sum(weight) of {} objectives",
                members.len()
            )
        }
        CompositeMethod::Pooled => {
            pool(&mut head, members);
            format!("composite: the events of {} objectives together", members.len())
        }
    };
    members.iter().for_each(|(_, report)| head.lacks.add(&report.lacks));
    head.status = status(head.met, head.budget_remaining);
    head.objective = String::new();
    let versions = members.iter().map(|(_, report)| report.definition_version.as_str());
    head.definition_version = versions.collect::<Vec<_>>().join(" ");
    head.notes.push(text);
    Some(head)
}

/// Adds the counts of all members.
fn pool(head: &mut Report, members: &[&(Decimal, Report)]) {
    let mut sums = [Exactly::default(), Exactly::default()];
    let mut first_values = Sum::default();
    head.targets.clear();
    head.notes.clear();
    head.anomalies.clear();
    head.slices = None;
    head.exact = true;
    head.coverage = Coverage::default();
    head.excluded = ExcludedPart::default();
    head.uncounted.series = 0;
    for (_, report) in members {
        sums.iter_mut().zip(&report.exactly).for_each(|(sum, own)| sum.add(own));
        head.targets.extend(report.targets.iter().cloned());
        head.coverage.slices += report.coverage.slices;
        head.coverage.with_data += report.coverage.with_data;
        head.excluded.slices += report.excluded.slices;
        head.excluded.bad += report.excluded.bad;
        head.excluded.total += report.excluded.total;
        head.excluded.after_the_fact |= report.excluded.after_the_fact;
        add_new(&mut head.excluded.ids, &report.excluded.ids);
        first_values.add(report.uncounted.first_values.0);
        head.uncounted.series += report.uncounted.series;
        add_new(&mut head.anomalies, &report.anomalies);
        head.exact &= report.exact;
        head.revision = head.revision.max(report.revision);
        head.computed_at = head.computed_at.max(report.computed_at);
        add_new(&mut head.notes, &report.notes);
    }
    head.uncounted.first_values = Count::from(first_values);
    let [adjusted, raw] = &sums;
    head.bad = Count(adjusted.bad.to_f64());
    head.total = Count(adjusted.total.to_f64());
    head.good = Count(adjusted.total.minus(&adjusted.bad).to_f64());
    head.sli = adjusted.sli();
    head.effective_target =
        adjusted.allowed.over(&adjusted.total).map(|share| share.rest().to_f64());
    head.allowed_bad = head.sli.map(|_| adjusted.allowed.to_f64());
    head.budget_remaining = adjusted.remaining();
    head.met = adjusted.met();
    head.raw = RawPart {
        bad: Count(raw.bad.to_f64()),
        total: Count(raw.total.to_f64()),
        sli: raw.sli(),
        budget_remaining: raw.remaining(),
        met: raw.met(),
    };
    head.exactly = sums;
}

/// Adds what is not there yet.
pub(super) fn add_new<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}
