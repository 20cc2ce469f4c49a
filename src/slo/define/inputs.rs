//! The series that SLOs are counted from.

use nines_storage::history::Policy;
use nines_storage::model::Matcher;

use super::query::WINDOW;
use crate::config::PolicyTable;
use crate::promql::parse;
use crate::slo::definition::{Definitions, Selector, Sli};

/// A length for [`WINDOW`], so that an expression can be read.
const SOME_WINDOW: &str = "5m";

/// What has the inputs of the SLOs have rows in `tables` of the history; nothing without either.
#[must_use]
pub fn inputs_policy(definitions: &Definitions, tables: &[PolicyTable]) -> Option<Policy> {
    let series = if tables.is_empty() { Vec::new() } else { inputs(definitions) };
    let tables = tables.iter().map(|table| (*table).into()).collect();
    (!series.is_empty()).then_some(Policy { series, tables })
}

/// What selects the inputs of the SLOs, each set of matchers once.
pub(super) fn inputs(definitions: &Definitions) -> Vec<Vec<Matcher>> {
    let mut sets = Vec::new();
    for objective in definitions.slos.values().flat_map(|slo| &slo.objectives) {
        match &objective.sli {
            Sli::Ratio { counters, total, .. } => {
                push(counters, &mut sets);
                push(total, &mut sets);
            }
            Sli::Threshold { series, .. } | Sli::RawRatio { series, .. } => push(series, &mut sets),
            Sli::States { series, existence, .. } => {
                push(series, &mut sets);
                existence.iter().for_each(|selector| push(selector, &mut sets));
            }
            Sli::Expression { expr, total, .. } => {
                for text in std::iter::once(expr).chain(total) {
                    // It was read when it was defined.
                    if let Ok(tree) = parse(&text.replace(WINDOW, SOME_WINDOW)) {
                        tree.each_selector(&mut |matchers| sets.push(matchers.to_vec()));
                    }
                }
            }
        }
    }
    for set in &mut sets {
        set.sort_by(|a, b| order(a).cmp(&order(b)));
        set.dedup();
    }
    sets.sort_by(|a, b| a.iter().map(order).cmp(b.iter().map(order)));
    sets.dedup();
    sets
}

fn order(matcher: &Matcher) -> (&str, &str, &str) {
    (&matcher.name, matcher.op.as_str(), &matcher.value)
}

fn push(selector: &Selector, sets: &mut Vec<Vec<Matcher>>) {
    sets.push(selector.matchers.clone());
    sets.extend(selector.terms.iter().map(|(_, matchers)| matchers.clone()));
}
