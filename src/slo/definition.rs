//! What is defined: SLOs, services, teams, SLAs and exclusions, checked and in words of the program.
//!
//! `define` makes these of documents; everything else reads them. Instants are milliseconds since the epoch.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use nines_storage::model::Matcher;

use super::decimal::Decimal;

/// Where something was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named, or `-` for a text that came otherwise.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A group of SLOs that belong together, of `kind: Service`.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// In words.
    pub description: String,
    /// Its labels (`team` among them).
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub place: Place,
}

/// People, of `kind: Team`.
#[derive(Debug, Clone)]
pub struct Team {
    /// Its name, which the label `team` of services and SLOs gives.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// In words.
    pub description: String,
    /// Where it stands.
    pub place: Place,
}

/// How events become a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Good events of all events.
    Occurrences,
    /// Good slices of counted slices.
    Timeslices,
    /// The mean of the ratios of the slices.
    RatioTimeslices,
}

impl Method {
    /// As OpenSLO writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Occurrences => "Occurrences",
            Self::Timeslices => "Timeslices",
            Self::RatioTimeslices => "RatioTimeslices",
        }
    }
}

/// A unit of calendar time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Calendar days.
    Day,
    /// Seven days.
    Week,
    /// Calendar months.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

/// Repeating periods of wall-clock time: period `k` begins at `start + k * n units` in `zone`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Calendar {
    /// Wall clock of the beginning of period 0.
    pub start: NaiveDateTime,
    /// Where that clock hangs.
    pub zone: Tz,
    /// Length in units, 1 or more.
    pub n: u32,
    /// The unit.
    pub unit: Unit,
}

/// The time that an objective is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TimeWindow {
    /// The last so many milliseconds.
    Rolling {
        /// Its length.
        length_ms: i64,
    },
    /// Periods of the calendar.
    Calendar(Calendar),
}

/// A slice of time, of the methods that have slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slice {
    /// So many milliseconds, at multiples of it since the epoch; it divides an hour.
    Fixed(i64),
    /// The days of the time zone, of 23 to 25 hours.
    LocalDay,
}

/// Series that a selector names.
#[derive(Debug, Clone)]
pub struct Selector {
    /// As it was written, for texts and links.
    pub text: String,
    /// What series satisfy; of a sum, those of its first term.
    pub matchers: Vec<Matcher>,
    /// The other terms of a sum of selectors: what is added (`true`) or subtracted. Empty for one selector.
    pub terms: Vec<(bool, Vec<Matcher>)>,
}

/// How counters whose first sample falls into a window are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CounterStart {
    /// By the start that the sender tells, else as `Ignore`, and said.
    #[default]
    Auto,
    /// The first value is no event.
    Ignore,
    /// The first value counts from zero.
    Zero,
}

/// What a slice without samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NoData {
    /// Not counted.
    #[default]
    Ignore,
    /// Good.
    Good,
    /// Bad.
    Bad,
}

/// What a slice with samples but without events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZeroTraffic {
    /// Good.
    #[default]
    Good,
    /// Not counted.
    Ignore,
}

/// Which side of a ratio is told beside the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `good` and `total`.
    Good,
    /// `bad` and `total`.
    Bad,
}

/// A comparison of a sample with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `<`
    Lt,
    /// `<=`
    Lte,
    /// `>`
    Gt,
    /// `>=`
    Gte,
}

impl Compare {
    /// Whether `left op right`; never for NaN.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Lt => left < right,
            Self::Lte => left <= right,
            Self::Gt => left > right,
            Self::Gte => left >= right,
        }
    }
}

/// What a sample of a gauge weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Weighting {
    /// As much as any other.
    #[default]
    Samples,
    /// The time until the next one of its series.
    Time {
        /// The most that one sample holds.
        stale_after_ms: i64,
    },
}

impl Weighting {
    /// How long a sample holds behind its time.
    #[must_use]
    pub const fn hold_ms(self) -> i64 {
        match self {
            Self::Samples => 0,
            Self::Time { stale_after_ms } => stale_after_ms,
        }
    }

    /// What is counted, where it is neither events nor samples.
    #[must_use]
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::Samples => None,
            Self::Time { .. } => Some("milliseconds"),
        }
    }
}

/// What is measured.
#[derive(Debug, Clone)]
pub enum Sli {
    /// Increases of counters; a latency at a bucket's bound is this as well.
    Ratio {
        /// What `counters` counts.
        part: Part,
        /// Good or bad events.
        counters: Selector,
        /// All events.
        total: Selector,
    },
    /// Samples of a gauge against a value.
    Threshold {
        /// The gauge.
        series: Selector,
        /// The comparison that good samples satisfy.
        op: Compare,
        /// The value.
        value: f64,
    },
    /// Samples of a gauge whose values are states.
    States {
        /// The gauge.
        series: Selector,
        /// Values that are good.
        good: Vec<f64>,
        /// Values that are bad.
        bad: Vec<f64>,
        /// Values that are not counted; others are bad and said.
        ignore: Vec<f64>,
        /// Instances that should be there: present here without a sample of theirs is no data.
        existence: Option<Selector>,
    },
    /// Samples that are ratios already.
    RawRatio {
        /// The gauge.
        series: Selector,
        /// What it tells: the good share or the bad one.
        part: Part,
    },
    /// An expression that is no sum of counters: asked of PromQL at the end of each slice; not exact.
    Expression {
        /// What `expr` counts or, without a total, the share of.
        part: Part,
        /// PromQL, in which `$__window` is a slice.
        expr: String,
        /// All events, if told.
        total: Option<String>,
    },
}

/// How the objectives of a composite become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompositeMethod {
    /// The worst member; a slice is bad when it is bad in any.
    Worst,
    /// The weighted mean of the budgets burned.
    Weighted,
    /// All events together.
    Pooled,
}

/// A target and since when it is the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// First instant, `i64::MIN` for the first one.
    pub from_ms: i64,
    /// The target.
    pub target: Decimal,
}

/// One objective with what it measures.
#[derive(Debug, Clone)]
pub struct Objective {
    /// What people call it.
    pub display_name: String,
    /// What is measured.
    pub sli: Sli,
    /// What its samples weigh, of a gauge.
    pub weighting: Weighting,
    /// Ascending, at least one.
    pub targets: Vec<Target>,
    /// Length of a slice.
    pub slice: Slice,
    /// Share of a slice that must be good for it to be good.
    pub slice_target: Decimal,
    /// Weight in a composite.
    pub weight: Decimal,
}

/// An SLO.
#[derive(Debug, Clone)]
pub struct Slo {
    /// Its name, unique among SLOs.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// In words.
    pub description: String,
    /// The service it belongs to.
    pub service: String,
    /// Its labels (`team` among them).
    pub labels: BTreeMap<String, String>,
    /// Its annotations, those of `nines.dev/` included.
    pub annotations: BTreeMap<String, String>,
    /// Its window.
    pub window: TimeWindow,
    /// Its method.
    pub method: Method,
    /// Labels whose values have a ledger each; empty: one for all series.
    pub group_by: Vec<String>,
    /// For counters.
    pub counter_start: CounterStart,
    /// For slices.
    pub no_data: NoData,
    /// For slices.
    pub zero_traffic: ZeroTraffic,
    /// One, or the members of a composite.
    pub objectives: Vec<Objective>,
    /// How members become one.
    pub composite: CompositeMethod,
    /// Where it stands.
    pub place: Place,
    /// Tells definitions apart: of all that changes counts (not of targets and texts).
    pub counts_hash: u64,
    /// Tells definitions apart: of the whole document.
    pub document_hash: u64,
    /// The document, as it was written.
    pub source: String,
}

/// Whom an SLA counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each group on its own.
    PerGroup,
    /// All groups together.
    Pooled,
}

/// What a breach is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credit {
    /// The time that was lost.
    LostTime,
    /// Percent of the price, by how far the SLI fell: descending bounds.
    Tiers(Vec<Tier>),
    /// None.
    None,
}

/// A step of [`Credit::Tiers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The SLI is below this.
    pub below: Decimal,
    /// Percent of the price.
    pub percent: Decimal,
}

/// An agreement with consequences, of `kind: SLA`.
#[derive(Debug, Clone)]
pub struct Sla {
    /// Its name, unique among SLAs.
    pub name: String,
    /// The SLO it is about.
    pub slo: String,
    /// With whom.
    pub party: String,
    /// Whom it counts.
    pub scope: Scope,
    /// What was promised.
    pub target: Decimal,
    /// Its periods.
    pub calendar: Calendar,
    /// Classes of exclusions that count here; `None`: all.
    pub exclusions: Option<Vec<String>>,
    /// What a breach is worth.
    pub credit: Credit,
    /// Milliseconds after the end of a period at which its statement is final.
    pub close_after_ms: i64,
    /// Where it stands.
    pub place: Place,
}

/// What an exclusion does to what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExclusionMode {
    /// Neither good nor bad.
    Exclude,
    /// Good.
    Good,
}

/// When an exclusion holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// Once: (`from_ms`, `to_ms`].
    Once {
        /// Its beginning.
        from_ms: i64,
        /// Its end.
        to_ms: i64,
    },
    /// Again and again.
    Repeated {
        /// Wall clock of the first beginning.
        start: NaiveDateTime,
        /// Where that clock hangs.
        zone: Tz,
        /// RFC 5545.
        rrule: String,
        /// How long each lasts.
        length_ms: i64,
    },
}

/// Time that is counted otherwise, of `kind: Exclusion`.
#[derive(Debug, Clone)]
pub struct Exclusion {
    /// Its name, unique among exclusions.
    pub name: String,
    /// Its class.
    pub class: String,
    /// When.
    pub when: When,
    /// Services it is about; empty: all.
    pub services: Vec<String>,
    /// SLOs it is about; empty: all.
    pub slos: Vec<String>,
    /// Labels of series or groups that it is about; empty: all.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub mode: ExclusionMode,
    /// Why; never empty.
    pub note: String,
    /// Who.
    pub author: String,
    /// When it was made, if that is known.
    pub created_ms: Option<i64>,
    /// Where it stands.
    pub place: Place,
}

impl Exclusion {
    /// When it begins for the first time.
    #[must_use]
    pub fn begins_ms(&self) -> i64 {
        match &self.when {
            When::Once { from_ms, .. } => *from_ms,
            When::Repeated { start, zone, .. } => super::calendar::instant(*zone, *start),
        }
    }
}

/// All that a set of documents defines.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// By name.
    pub teams: BTreeMap<String, Team>,
    /// By name.
    pub slos: BTreeMap<String, Slo>,
    /// By name.
    pub slas: BTreeMap<String, Sla>,
    /// By name.
    pub exclusions: BTreeMap<String, Exclusion>,
}

impl Definitions {
    /// The team of an SLO: its label, or that of its service; empty without either.
    #[must_use]
    pub fn team_of<'d>(&'d self, slo: &'d Slo) -> &'d str {
        let of_service = || self.services.get(&slo.service)?.labels.get("team");
        slo.labels.get("team").or_else(of_service).map_or("", String::as_str)
    }
}
