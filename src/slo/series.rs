//! An SLO over time, for charts and for PromQL: one point per step, each over a window that ends there.

use serde::Serialize;

use super::definition::Slo;
use super::desk::Desk;
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::report::Report;

/// Points of one answer at most.
const POINTS_MAX: i64 = 11_000;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Good of all.
    Sli,
    /// Share of the budget that is left.
    BudgetRemaining,
    /// Share of bad ones over the share that may be bad.
    BurnRate,
    /// Good ones.
    Good,
    /// Bad ones.
    Bad,
    /// All of them.
    Total,
}

impl Metric {
    /// As the API writes it.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "sli" | "" => Self::Sli,
            "budgetRemaining" => Self::BudgetRemaining,
            "burnRate" => Self::BurnRate,
            "good" => Self::Good,
            "bad" => Self::Bad,
            "total" => Self::Total,
            other => {
                return Err(SloError::Invalid(format!(
                    "metric {other:?} is not known: sli, budgetRemaining, burnRate, good, bad or total"
                )));
            }
        })
    }

    /// What a report says of it.
    #[must_use]
    pub fn of(self, report: &Report) -> Option<f64> {
        match self {
            Self::Sli => report.sli,
            Self::BudgetRemaining => report.budget_remaining,
            Self::BurnRate => burn_rate(report),
            Self::Good => Some(report.good.0),
            Self::Bad => Some(report.bad.0),
            Self::Total => Some(report.total.0),
        }
    }
}

/// How many times faster than allowed the budget was spent in the window of a report: 0 without traffic, and nothing
/// for a window that is shorter than its slices.
#[must_use]
pub fn burn_rate(report: &Report) -> Option<f64> {
    if report.slices.is_some() && report.coverage.slices == 0 {
        return None;
    }
    let Some(allowed) = report.allowed_bad else { return Some(0.0) };
    (allowed > 0.0).then(|| report.bad.0 / allowed)
}

/// A line of the chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The group.
    pub group: std::collections::BTreeMap<String, String>,
    /// Unix seconds, and the value where there is one.
    pub points: Vec<(f64, Option<f64>)>,
}

/// Lines of `metric` at every `step_ms` of [`from`, `to`], each point over the `window_ms` before it.
pub fn lines(
    desk: &Desk<'_>,
    slo: &Slo,
    metric: Metric,
    (from_ms, to_ms): (i64, i64),
    (step_ms, window_ms): (i64, i64),
) -> Result<Vec<Line>> {
    if step_ms <= 0 || window_ms <= 0 {
        return Err(SloError::Invalid("step and window must be longer than 0".to_owned()));
    }
    if to_ms.saturating_sub(from_ms) / step_ms >= POINTS_MAX {
        return Err(SloError::Invalid(format!(
            "more than {POINTS_MAX} points: ask for a shorter time or a longer step"
        )));
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut next = (from_ms <= to_ms).then_some(from_ms);
    while let Some(at) = next {
        let begin = at.saturating_sub(window_ms);
        let asked = Asked { from_ms: begin, to_ms: at, label: String::new() };
        for report in desk.evaluator(slo).evaluate(&asked)? {
            let point = (at as f64 / 1000.0, metric.of(&report));
            match lines.iter_mut().find(|line| line.group == report.group) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { group: report.group, points: vec![point] }),
            }
        }
        next = at.checked_add(step_ms).filter(|next| *next <= to_ms);
    }
    lines.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(lines)
}
