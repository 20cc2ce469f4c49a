//! Several objectives as one: the worst of them, the weighted mean of the budgets burned, or all events together.

use std::collections::BTreeMap;

use crate::slo::decimal::Decimal;
use crate::slo::definition::{CompositeMethod, Method, Slo};
use crate::slo::fraction::Fraction;
use crate::slo::report::{Count, Report};
use crate::slo::sum::Sum;

use super::verdict::status;

/// Bad, allowed and total of a report, exactly: as its segments tell them.
fn exactly(report: &Report) -> (Fraction, Fraction, Fraction) {
    let mut sums = (Fraction::zero(), Fraction::zero(), Fraction::zero());
    for segment in &report.targets {
        let of = |count: Count| Fraction::from(&Sum::of(count.0));
        let total = of(segment.total);
        sums.0 = sums.0.plus(&of(segment.bad));
        sums.1 = sums.1.plus(&Fraction::from(segment.target).rest().times(&total));
        sums.2 = sums.2.plus(&total);
    }
    sums
}

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
                for note in &report.notes {
                    if !head.notes.contains(note) {
                        head.notes.push(note.clone());
                    }
                }
            }
            if slo.method != Method::Occurrences {
                head.exact = false;
                head.notes.push(
                    "slices that are bad in different members are not united: the worst member is told".to_owned(),
                );
            }
            format!("composite: the worst of {} objectives, {:?}", members.len(), head.objective)
        }
        CompositeMethod::Weighted => {
            let (mut burned, mut weights) = (Fraction::zero(), Fraction::zero());
            // Of a member that allows nothing one bad event is more than any budget.
            let mut beyond = false;
            for (weight, report) in counted.into_iter().copied() {
                let (bad, allowed, _) = exactly(report);
                let weight = Fraction::from(*weight);
                match bad.over(&allowed) {
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
    head.notes.push(text);
    Some(head)
}

/// Adds the counts of all members.
fn pool(head: &mut Report, members: &[&(Decimal, Report)]) {
    let mut sums = (Fraction::zero(), Fraction::zero(), Fraction::zero());
    head.targets.clear();
    head.notes.clear();
    head.anomalies.clear();
    head.slices = None;
    head.exact = true;
    for (_, report) in members {
        let (bad, allowed, total) = exactly(report);
        sums = (sums.0.plus(&bad), sums.1.plus(&allowed), sums.2.plus(&total));
        head.targets.extend(report.targets.iter().cloned());
        for anomaly in &report.anomalies {
            if !head.anomalies.contains(anomaly) {
                head.anomalies.push(anomaly.clone());
            }
        }
        head.exact &= report.exact;
        head.revision = head.revision.max(report.revision);
        head.computed_at = head.computed_at.max(report.computed_at);
        for note in &report.notes {
            if !head.notes.contains(note) {
                head.notes.push(note.clone());
            }
        }
    }
    let (bad, allowed, total) = sums;
    head.bad = Count(bad.to_f64());
    head.total = Count(total.to_f64());
    head.good = Count(total.minus(&bad).to_f64());
    head.sli = bad.over(&total).map(|share| share.rest().to_f64());
    head.effective_target = allowed.over(&total).map(|share| share.rest().to_f64());
    head.allowed_bad = head.sli.map(|_| allowed.to_f64());
    head.budget_remaining = head.sli.and(bad.over(&allowed).map(|share| share.rest().to_f64()));
    head.met = total.is_positive().then(|| bad <= allowed);
}
