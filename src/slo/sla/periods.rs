//! Periods of an SLA by their labels.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::slo::calendar::instant;
use crate::slo::definition::{Calendar, Sla};
use crate::slo::desk::PERIODS_MAX;
use crate::slo::error::{Result, SloError};
use crate::slo::evaluate::Asked;

/// The period of an SLA with a label such as `2026-02`, `2026-Q1`, `2026`, `2026-02-17`.
pub fn period(sla: &Sla, label: &str) -> Result<Asked> {
    period_of(&sla.calendar, label)
}

/// The period of a calendar with a label.
pub fn period_of(calendar: &Calendar, label: &str) -> Result<Asked> {
    let found = begin(label).and_then(|local| {
        let first = instant(calendar.zone, local).checked_add(1)?;
        calendar.at(first).filter(|period| period.label == label)
    });
    let found = found.ok_or_else(|| {
        SloError::NotFound(format!("the period {label:?} (one is written as 2026-02, 2026-Q1, 2026 or the day on which it begins)"))
    })?;
    Ok(Asked { from_ms: found.from_ms, to_ms: found.to_ms, label: found.label })
}

/// The wall clock at the beginning of a period.
fn begin(label: &str) -> Option<NaiveDateTime> {
    let day = |year: i32, month: u32, day: u32| {
        Some(NaiveDate::from_ymd_opt(year, month, day)?.and_time(NaiveTime::MIN))
    };
    if let Ok(at) = NaiveDateTime::parse_from_str(label, "%Y-%m-%dT%H:%M:%S") {
        return Some(at);
    }
    if let Ok(date) = NaiveDate::parse_from_str(label, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN));
    }
    let (year, rest) = label.split_once('-').unwrap_or((label, "01"));
    let year: i32 = year.parse().ok()?;
    match rest.strip_prefix('Q') {
        Some(quarter) => {
            let quarter: u32 = quarter.parse().ok().filter(|n| (1..=4).contains(n))?;
            day(year, quarter * 3 - 2, 1)
        }
        None => day(year, rest.parse().ok()?, 1),
    }
}

/// The periods that share time with (`from_ms`, `to_ms`], ascending.
pub fn periods(sla: &Sla, from_ms: i64, to_ms: i64) -> Result<Vec<Asked>> {
    let found = sla.calendar.within(from_ms, to_ms, PERIODS_MAX + 1);
    if found.len() > PERIODS_MAX {
        return Err(SloError::Invalid(format!(
            "more than {PERIODS_MAX} periods: ask for a shorter time"
        )));
    }
    Ok(found
        .into_iter()
        .map(|period| Asked { from_ms: period.from_ms, to_ms: period.to_ms, label: period.label })
        .collect())
}
