//! Where questions about SLOs are answered: from definitions, exclusions, samples and the ledger. The API and the
//! commands ask here.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use nines_storage::model::DAY_MS;
use nines_storage::query::{Budget, Queryable};

use super::calendar::Period;
use super::definition::{Calendar, Definitions, Exclusion, Slo, TimeWindow, Unit};
use super::error::{Result, SloError};
use super::evaluate::{Asked, Evaluator};
use super::ledger::Owner;
use super::report::{Report, Status};
use super::slices::{boundary_before, zone};

/// Periods of one answer at most.
pub const PERIODS_MAX: usize = 2_000;

/// See the module.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// The samples.
    pub data: &'a dyn Queryable,
    /// What answering may cost.
    pub budget: &'a Budget,
    /// What is defined.
    pub definitions: &'a Definitions,
    /// All exclusions in force, from files and from the API.
    pub exclusions: &'a [&'a Exclusion],
    /// Now.
    pub now_ms: i64,
    /// Where days are kept, if they are.
    pub owner: Option<Owner<'a>>,
}

/// In what periods a history is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Periods {
    /// The windows of the SLO itself.
    Window,
    /// Those of the calendar.
    Calendar(Unit),
}

impl Periods {
    /// `window`, `day`, `week`, `month`, `quarter`, `year`.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "window" => Self::Window,
            "day" => Self::Calendar(Unit::Day),
            "week" => Self::Calendar(Unit::Week),
            "month" => Self::Calendar(Unit::Month),
            "quarter" => Self::Calendar(Unit::Quarter),
            "year" => Self::Calendar(Unit::Year),
            other => {
                return Err(SloError::Invalid(format!(
                    "unit {other:?} is not known: window, day, week, month, quarter or year"
                )));
            }
        })
    }
}

impl<'a> Desk<'a> {
    /// An SLO by its name.
    pub fn slo(&self, name: &str) -> Result<&'a Slo> {
        self.definitions.slos.get(name).ok_or_else(|| SloError::NotFound(format!("SLO {name:?}")))
    }

    /// The evaluator of an SLO, which need not be one of the definitions.
    #[must_use]
    pub fn evaluator<'s>(&self, slo: &'s Slo) -> Evaluator<'s>
    where
        'a: 's,
    {
        Evaluator {
            data: self.data,
            budget: self.budget,
            slo,
            exclusions: self.exclusions,
            now_ms: self.now_ms,
            owner: self.owner,
        }
    }

    /// The window of an SLO that an instant belongs to: of a rolling one, whole slices that end before it.
    pub fn window_at(&self, slo: &Slo, at_ms: i64) -> Result<Asked> {
        match &slo.window {
            TimeWindow::Calendar(calendar) => {
                let period = calendar.at(at_ms).ok_or_else(|| out_of_range(at_ms))?;
                Ok(asked(period))
            }
            TimeWindow::Rolling { length_ms } => {
                let slice = slo.objectives.first().map(|objective| objective.slice);
                let to_ms = slice.map_or(at_ms, |slice| boundary_before(slice, zone(slo), at_ms));
                Ok(Asked {
                    from_ms: to_ms.saturating_sub(*length_ms),
                    to_ms,
                    label: rolling(*length_ms),
                })
            }
        }
    }

    /// How an SLO stands now, or stood at an instant.
    pub fn status(&self, slo: &Slo, at_ms: i64) -> Result<Vec<Report>> {
        let then = Self { now_ms: self.now_ms.min(at_ms), ..*self };
        then.evaluator(slo).evaluate(&self.window_at(slo, at_ms)?)
    }

    /// The periods of an SLO that share time with (`from_ms`, `to_ms`].
    pub fn periods(
        &self,
        slo: &Slo,
        periods: Periods,
        (from_ms, to_ms): (i64, i64),
        tz: Option<Tz>,
    ) -> Result<Vec<Asked>> {
        let zone = tz.unwrap_or_else(|| zone(slo));
        let within = |calendar: &Calendar| -> Result<Vec<Asked>> {
            let found = calendar.within(from_ms, to_ms, PERIODS_MAX + 1);
            if found.len() > PERIODS_MAX {
                return Err(too_many());
            }
            Ok(found.into_iter().map(asked).collect())
        };
        match (periods, &slo.window) {
            (Periods::Window, TimeWindow::Calendar(calendar)) => match tz {
                Some(zone) => within(&Calendar { zone, ..calendar.clone() }),
                None => within(calendar),
            },
            (Periods::Window, TimeWindow::Rolling { length_ms }) => {
                let mut to_ms = self.window_at(slo, to_ms.min(self.now_ms))?.to_ms;
                let mut found = Vec::new();
                while to_ms > from_ms {
                    if found.len() >= PERIODS_MAX {
                        return Err(too_many());
                    }
                    let begin = to_ms.saturating_sub(*length_ms);
                    found.push(Asked { from_ms: begin, to_ms, label: rolling(*length_ms) });
                    to_ms = begin;
                }
                found.reverse();
                Ok(found)
            }
            (Periods::Calendar(unit), _) => within(&Calendar::natural(unit, zone)),
        }
    }

    /// The last `n` periods of a window, for an SLO: the one of now is the last of them.
    pub fn last_periods(&self, window: &TimeWindow, slo: &Slo, n: usize) -> Result<Vec<Asked>> {
        let count = i64::try_from(n).unwrap_or(i64::MAX);
        let length_ms = match window {
            TimeWindow::Rolling { length_ms } => *length_ms,
            TimeWindow::Calendar(calendar) => {
                let days = match calendar.unit {
                    Unit::Day => 1,
                    Unit::Week => 7,
                    Unit::Month => 31,
                    Unit::Quarter => 92,
                    Unit::Year => 366,
                };
                DAY_MS.saturating_mul(i64::from(calendar.n).saturating_mul(days))
            }
        };
        // A day more, for clocks that are changed.
        let back_ms = length_ms.saturating_mul(count).saturating_add(DAY_MS);
        let span = (self.now_ms.saturating_sub(back_ms), self.now_ms);
        let own = Slo { window: window.clone(), ..slo.clone() };
        let mut periods = self.periods(&own, Periods::Window, span, None)?;
        let first = periods.len().saturating_sub(n);
        periods.drain(..first);
        Ok(periods)
    }

    /// How every SLO that `wanted` picks stands now, least budget first, then by name.
    pub fn list(&self, at_ms: i64, wanted: &dyn Fn(&Slo) -> bool) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for slo in self.definitions.slos.values().filter(|slo| wanted(slo)) {
            reports.extend(self.status(slo, at_ms)?);
        }
        // What has no budget comes last.
        let left = |report: &Report| report.budget_remaining.unwrap_or(f64::INFINITY);
        reports.sort_by(|a, b| {
            let by_name = (&a.slo, &a.group).cmp(&(&b.slo, &b.group));
            left(a).total_cmp(&left(b)).then(by_name)
        });
        Ok(reports)
    }
}

/// Whether a report is of these groups: each pair is one of its own.
#[must_use]
pub fn is_of_group(report: &Report, group: &BTreeMap<String, String>) -> bool {
    group.iter().all(|(name, value)| report.group.get(name) == Some(value))
}

/// `breached`, `atRisk`, `ok`, `noData`.
pub fn parse_status(text: &str) -> Result<Status> {
    Ok(match text {
        "breached" => Status::Breached,
        "atRisk" => Status::AtRisk,
        "ok" => Status::Ok,
        "noData" => Status::NoData,
        other => {
            return Err(SloError::Invalid(format!(
                "status {other:?} is not known: breached, atRisk, ok or noData"
            )));
        }
    })
}

fn asked(period: Period) -> Asked {
    Asked { from_ms: period.from_ms, to_ms: period.to_ms, label: period.label }
}

fn too_many() -> SloError {
    SloError::Invalid(format!(
        "more than {PERIODS_MAX} periods: ask for a shorter time or a larger unit"
    ))
}

fn out_of_range(at_ms: i64) -> SloError {
    SloError::Invalid(format!("the time {at_ms} is outside of the calendar"))
}

/// `28d`, `1h30m`: whole days in days, as windows of SLOs are written.
pub(super) fn rolling(length_ms: i64) -> String {
    if length_ms > 0 && length_ms % DAY_MS == 0 {
        return format!("{}d", length_ms / DAY_MS);
    }
    let length = u64::try_from(length_ms).unwrap_or(0);
    crate::config::PromDuration(std::time::Duration::from_millis(length)).to_string()
}
