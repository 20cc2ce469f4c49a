//! Who was to blame: the bad events of an SLO by the values of labels, worst first, and what it would be without each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::count::Asker;
use super::definition::{Method, Slo};
use super::desk::Desk;
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::fraction::Fraction;
use super::report::{Count, Instant};
use super::slices::{good, part_of};
use super::sum::Sum;

/// One set of label values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contributor {
    /// The values.
    pub labels: BTreeMap<String, String>,
    /// Its bad events.
    pub bad: Count,
    /// Its events.
    pub total: Count,
    /// Its part of all bad events.
    pub share: Option<f64>,
    /// Its own SLI.
    pub sli: Option<f64>,
    /// The SLI of all others.
    pub sli_without: Option<f64>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contributors {
    /// The SLO.
    pub slo: String,
    /// Since when.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// The labels.
    pub by: Vec<String>,
    /// What is counted, where it is neither events nor samples: `milliseconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// All bad events.
    pub bad: Count,
    /// All events.
    pub total: Count,
    /// Worst first.
    pub items: Vec<Contributor>,
    /// What is behind the last of them: how many, their bad events, all of theirs.
    pub other: Other,
    /// What is missing.
    pub notes: Vec<String>,
}

/// Contributors that are not told one by one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// How many.
    pub items: usize,
    /// Their bad events.
    pub bad: Count,
    /// Their events.
    pub total: Count,
}

/// The contributors to the first objective of `slo` by the labels `by`, `limit` of them. Events are told, samples for
/// a gauge, whatever the method of the SLO; exclusions are not applied.
pub fn contributors(
    desk: &Desk<'_>,
    slo: &Slo,
    (by, limit): (&[String], usize),
    asked: &Asked,
) -> Result<Contributors> {
    if by.is_empty() {
        return Err(SloError::Invalid("by which label? write by=instance".to_owned()));
    }
    let split = Slo { group_by: by.to_vec(), method: Method::Occurrences, ..slo.clone() };
    let objective = split
        .objectives
        .first()
        .ok_or_else(|| SloError::Invalid(format!("SLO {:?} has no objective", slo.name)))?;
    let asker = Asker { data: desk.data, budget: desk.budget, slo: &split, objective };
    let counted = asker.count(&[asked.from_ms, asked.to_ms], None)?;
    let notes = counted.lacks();
    let side = part_of(&objective.sli);
    let mut all = (Sum::default(), Sum::default());
    let mut each: Vec<(Vec<String>, Sum, Sum)> = Vec::new();
    for (values, tallies) in counted.groups {
        let Some(tally) = tallies.into_iter().next() else { continue };
        let bad = tally.total.less(&good(side, &tally.part, &tally.total));
        all.0.merge(&bad);
        all.1.merge(&tally.total);
        each.push((values, bad, tally.total));
    }
    each.sort_by(|a, b| {
        b.1.get().total_cmp(&a.1.get()).then(b.2.get().total_cmp(&a.2.get())).then(a.0.cmp(&b.0))
    });
    let (bad, total) = all;
    let share_good = |bad: &Sum, total: &Sum| {
        Some(Fraction::from(bad).over(&Fraction::from(total))?.rest().to_f64())
    };
    let items = each.iter().take(limit).map(|(values, own_bad, own_total)| Contributor {
        labels: by.iter().cloned().zip(values.iter().cloned()).collect(),
        bad: Count::from(*own_bad),
        total: Count::from(*own_total),
        share: Fraction::from(own_bad).over(&Fraction::from(&bad)).map(|share| share.to_f64()),
        sli: share_good(own_bad, own_total),
        sli_without: share_good(&bad.less(own_bad), &total.less(own_total)),
    });
    let items = items.collect();
    let mut other = (Sum::default(), Sum::default());
    for (_, own_bad, own_total) in each.iter().skip(limit) {
        other.0.merge(own_bad);
        other.1.merge(own_total);
    }
    Ok(Contributors {
        slo: slo.name.clone(),
        from: Instant(asked.from_ms),
        to: Instant(asked.to_ms),
        by: by.to_vec(),
        unit: objective.weighting.unit(),
        bad: Count::from(bad),
        total: Count::from(total),
        items,
        other: Other {
            items: each.len().saturating_sub(limit),
            bad: Count::from(other.0),
            total: Count::from(other.1),
        },
        notes,
    })
}
