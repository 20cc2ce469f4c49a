//! The one answer about an SLO: what happened in a window, and what that says of the objective.
//!
//! Counts are integers wherever they are integers; what is undefined is `null` with a reason; nothing is ever NaN.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize, Serializer};

use super::decimal::Decimal;
use super::fraction::Fraction;
use super::sum::Sum;

/// A count: an integer if it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count(pub f64);

impl From<Sum> for Count {
    fn from(sum: Sum) -> Self {
        Self(sum.get())
    }
}

impl From<u32> for Count {
    fn from(n: u32) -> Self {
        Self(f64::from(n))
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match Sum::of(self.0).integer() {
            Some(n) => to.serialize_i64(n),
            None => to.serialize_f64(self.0),
        }
    }
}

/// An instant, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(at) if self.0 % 1000 == 0 => {
                f.write_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Met.
    Ok,
    /// Met, with little left of the budget.
    AtRisk,
    /// Not met.
    Breached,
    /// Nothing was counted.
    NoData,
}

/// The time that a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Its beginning, which does not belong to it.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// Its name.
    pub label: String,
    /// Of its calendar.
    pub time_zone: String,
    /// Whether it is over.
    pub complete: bool,
}

/// The part of a window in which one target held.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Its beginning.
    pub from: Instant,
    /// What was promised.
    pub target: Decimal,
    /// Bad events or slices.
    pub bad: Count,
    /// All of them.
    pub total: Count,
    /// How many bad ones the target allows.
    pub allowed_bad: f64,
    /// Share of these that is left.
    pub budget_remaining: Option<f64>,
    /// Whether no more were bad.
    pub met: Option<bool>,
}

/// How much of the time is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Slices.
    pub slices: u32,
    /// Slices with samples.
    pub with_data: u32,
}

/// What exclusions took away.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExcludedPart {
    /// Slices.
    pub slices: u32,
    /// Bad events or slices.
    pub bad: f64,
    /// All of them.
    pub total: f64,
    /// Which exclusions.
    pub ids: Vec<String>,
    /// Whether one of them was made after it began.
    pub after_the_fact: bool,
}

/// Counts without exclusions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPart {
    /// Bad events or slices.
    pub bad: Count,
    /// All of them.
    pub total: Count,
    /// Their ratio.
    pub sli: Option<f64>,
    /// What would be left of the budget.
    pub budget_remaining: Option<f64>,
    /// Whether it would be met.
    pub met: Option<bool>,
}

/// First values of counters that were not counted, because nothing was before them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Uncounted {
    /// Their sum.
    pub first_values: Count,
    /// Of how many series.
    pub series: u32,
}

/// Something that ought not to be in the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anomaly {
    /// `goodExceedsTotal`, `badExceedsTotal`, `notANumber`, `unknownState`.
    pub kind: &'static str,
    /// In words.
    pub text: String,
}

/// What methods with slices tell beside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlicesPart {
    /// Good slices.
    pub good_slices: u32,
    /// Bad ones.
    pub bad_slices: u32,
    /// Both.
    pub counted_slices: u32,
    /// Slices without samples, where some were expected.
    pub no_data_slices: u32,
    /// Slices with samples and without events.
    pub zero_traffic_slices: u32,
    /// Slices of ignored states alone.
    pub ignored_slices: u32,
    /// Length of a slice; `null` for local days.
    pub slice_seconds: Option<f64>,
    /// Time of the bad slices.
    pub bad_minutes: Option<f64>,
    /// Time that may be bad, of what was counted so far.
    pub allowed_minutes: Option<f64>,
    /// The same at the end of the window, if every slice is counted.
    pub allowed_full_window_minutes: Option<f64>,
}

/// What is known to be missing of what was to be counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lacks {
    /// Samples before this time.
    #[serde(default)]
    pub samples_before: Option<Instant>,
    /// Other samples or rows, one sentence each.
    #[serde(default)]
    pub others: BTreeSet<String>,
}

impl Lacks {
    /// Adds what something else lacks.
    pub fn add(&mut self, other: &Self) {
        self.samples_before = self.samples_before.max(other.samples_before);
        self.others.extend(other.others.iter().cloned());
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is missing that `other` had.
    #[must_use]
    pub fn more_than(&self, other: &Self) -> bool {
        self.samples_before > other.samples_before || !self.others.is_subset(&other.others)
    }
}

/// Counts by which a verdict is decided, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exactly {
    /// Bad events or slices.
    pub bad: Fraction,
    /// How many of them are allowed.
    pub allowed: Fraction,
    /// All events or slices.
    pub total: Fraction,
}

impl Default for Exactly {
    fn default() -> Self {
        Self { bad: Fraction::zero(), allowed: Fraction::zero(), total: Fraction::zero() }
    }
}

impl Exactly {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.bad = self.bad.plus(&other.bad);
        self.allowed = self.allowed.plus(&other.allowed);
        self.total = self.total.plus(&other.total);
    }

    /// Good of all.
    #[must_use]
    pub fn sli(&self) -> Option<f64> {
        Some(self.bad.over(&self.total)?.rest().to_f64())
    }

    /// Share of the allowed ones that is left; of nothing there is none.
    #[must_use]
    pub fn remaining(&self) -> Option<f64> {
        self.total
            .is_positive()
            .then(|| self.bad.over(&self.allowed))?
            .map(|share| share.rest().to_f64())
    }

    /// Whether no more were bad than are allowed.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        self.total.is_positive().then(|| self.bad <= self.allowed)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The SLO.
    pub slo: String,
    /// The objective, of a composite; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub objective: String,
    /// The service.
    pub service: String,
    /// Values of the labels that it is grouped by.
    pub group: BTreeMap<String, String>,
    /// The time.
    pub window: Window,
    /// The method.
    pub method: &'static str,
    /// What is counted, where it is neither events, samples nor slices: `milliseconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// Good events or slices.
    pub good: Count,
    /// Bad ones.
    pub bad: Count,
    /// Both.
    pub total: Count,
    /// Good of all.
    pub sli: Option<f64>,
    /// How it stands.
    pub status: Status,
    /// By targets.
    pub targets: Vec<Segment>,
    /// The one target that would allow the same.
    pub effective_target: Option<f64>,
    /// How many bad ones are allowed.
    pub allowed_bad: Option<f64>,
    /// Share of these that is left.
    pub budget_remaining: Option<f64>,
    /// Whether no more were bad.
    pub met: Option<bool>,
    /// What methods with slices tell beside.
    #[serde(flatten)]
    pub slices: Option<SlicesPart>,
    /// How much of the time is known.
    pub coverage: Coverage,
    /// What exclusions took away.
    pub excluded: ExcludedPart,
    /// The counts without exclusions.
    pub raw: RawPart,
    /// Whether every number is the true one.
    pub exact: bool,
    /// Why not, and what else is to be known.
    pub notes: Vec<String>,
    /// What is missing, as the notes say it in words.
    #[serde(skip)]
    pub lacks: Lacks,
    /// What the verdict was decided by, and the same without exclusions.
    #[serde(skip)]
    pub exactly: [Exactly; 2],
    /// First values of counters that were not counted.
    pub uncounted: Uncounted,
    /// What ought not to be.
    pub anomalies: Vec<Anomaly>,
    /// Of what says how it is counted and judged in this window.
    pub definition_version: String,
    /// Grows when samples came late into this window or were deleted there, and with a restart.
    pub revision: u64,
    /// When it was counted.
    pub computed_at: Instant,
}
