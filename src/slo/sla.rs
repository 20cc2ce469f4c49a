//! What a period of an SLA came to: per group or for all together, against the target that the SLA promises, with the
//! exclusions that count there, and what a breach is worth.

mod closing;
mod credit;
mod periods;
mod read;
mod statement;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::count::Group;
use super::decimal::Decimal;
use super::definition::{Exclusion, Place, Scope, Sla, Slo, Target, TimeWindow};
use super::desk::Desk;
use super::error::Result;
use super::evaluate::{Asked, Evaluator};
use super::exclusions::is_about;
use super::fraction::Fraction;
use super::journal::ExclusionRecord;
use super::report::{Count, Instant, Lacks, Report};
use super::slices::zone;
use super::sum::Sum;

pub use closing::{CHECKS_PER_ROUND, Closer, Done, close};
pub use credit::{Due, percent};
pub use periods::{period, period_of, periods};
pub use statement::{Change, Listed, Restatement, State, Statement, Written, list, statement};

/// Groups whose downtime is told at most; the figures of all are.
const DOWNTIME_GROUPS_MAX: usize = 1_000;
/// Intervals of downtime that are told of a group at most.
const DOWNTIME_INTERVALS_MAX: usize = 1_000;

/// A stretch in which a group was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// Its beginning.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
}

/// What one group came to, or all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Values of the labels that the SLO is grouped by.
    pub group: BTreeMap<String, String>,
    /// Events or slices.
    pub counted: Count,
    /// Bad ones.
    pub bad: Count,
    /// Good of all.
    pub sli: Option<f64>,
    /// Whether the promise was kept; `null` where nothing was counted, and for groups that are judged together.
    pub met: Option<bool>,
    /// Whether it was broken.
    pub breach: bool,
    /// What that is worth.
    pub credit: Option<Due>,
    /// When it was down, of what was in breach and has slices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub downtime: Vec<Downtime>,
}

/// How many kept the promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many did.
    pub met: u32,
    /// Of how many that had something to count.
    pub of: u32,
    /// How many had nothing to count.
    pub no_data: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Beginning of the period, which does not belong to it.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// Of the SLA's calendar.
    pub time_zone: String,
    /// The SLO that is counted.
    pub slo: String,
    /// How.
    pub method: String,
    /// `perGroup` or `pooled`.
    pub scope: String,
    /// What is promised.
    pub target: Decimal,
    /// How many kept the promise.
    pub summary: Summary,
    /// All groups together: their counts added.
    pub pooled: Line,
    /// By group.
    pub groups: Vec<Line>,
    /// Exclusions that took something away.
    pub exclusions: Vec<String>,
    /// Whether every number is the true one.
    pub exact: bool,
    /// Why not, and what else is to be known.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What was missing when it was counted.
    #[serde(default, skip_serializing_if = "Lacks::is_nothing")]
    pub lacks: Lacks,
    /// The highest revision of what was counted.
    pub revision: u64,
    /// Says how it was counted and judged.
    pub definition_version: String,
    /// When.
    pub computed_at: Instant,
}

impl Figures {
    /// Whether others say the same of everybody.
    #[must_use]
    pub fn say_the_same(&self, other: &Self) -> bool {
        let told = |figures: &Self| (figures.from, figures.to, figures.target, figures.summary);
        told(self) == told(other) && self.pooled == other.pooled && self.groups == other.groups
    }

    /// Whether anything was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pooled.counted.0 == 0.0
    }
}

/// An SLO as an SLA judges it.
struct Judged<'a> {
    sla: &'a Sla,
    slo: Slo,
    exclusions: Vec<&'a Exclusion>,
}

impl<'a> Judged<'a> {
    fn new(desk: &Desk<'a>, sla: &'a Sla) -> Result<Self> {
        let mut slo = desk.slo(&sla.slo)?.clone();
        if zone(&slo) != sla.calendar.zone {
            // Days of another zone are counted apart.
            let text = format!("{:016x} {}", slo.counts_hash, sla.calendar.zone.name());
            slo.counts_hash = xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        }
        slo.window = TimeWindow::Calendar(sla.calendar.clone());
        for objective in &mut slo.objectives {
            objective.targets = vec![Target { from_ms: i64::MIN, target: sla.target }];
        }
        let counts =
            |one: &Exclusion| sla.exclusions.as_ref().is_none_or(|of| of.contains(&one.class));
        let exclusions = desk.exclusions.iter().copied().filter(|one| counts(one)).collect();
        Ok(Self { sla, slo, exclusions })
    }

    /// Tells what is agreed, how it is counted and what is excluded from what they were before.
    fn version(&self) -> u64 {
        let Slo { counts_hash, document_hash, .. } = self.slo;
        let sla = Sla { place: Place::default(), ..self.sla.clone() };
        let about = self.exclusions.iter().filter(|one| is_about(one, &self.slo));
        let excluded: Vec<ExclusionRecord> = about.map(|one| ExclusionRecord::of(one)).collect();
        let text = format!("{counts_hash:016x} {document_hash:016x} {sla:?} {excluded:?}");
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }

    fn evaluator<'s>(&'s self, desk: &Desk<'s>) -> Evaluator<'s> {
        Evaluator {
            data: desk.data,
            budget: desk.budget,
            slo: &self.slo,
            exclusions: &self.exclusions,
            now_ms: desk.now_ms,
            owner: desk.owner,
        }
    }
}

/// The figures of a period as they are now; `with_downtime` tells when groups in breach were down.
pub fn figures<'a>(
    desk: &Desk<'a>,
    sla: &'a Sla,
    period: &Asked,
    with_downtime: bool,
) -> Result<Figures> {
    let judged = Judged::new(desk, sla)?;
    let evaluator = judged.evaluator(desk);
    let reports = evaluator.evaluate(period)?;
    let (mut bad, mut counted) = (Sum::default(), Sum::default());
    let (mut lost, mut summary) = (Some(0.0), Summary::default());
    let mut groups: Vec<Line> = Vec::new();
    let (mut notes, mut exclusions) = (BTreeSet::new(), BTreeSet::new());
    let (mut exact, mut revision, mut computed) = (true, 0, i64::MIN);
    let (mut versions, mut lacks) = (BTreeSet::new(), Lacks::default());
    for report in &reports {
        bad.add(report.bad.0);
        counted.add(report.total.0);
        let minutes = report.slices.as_ref().and_then(|slices| slices.bad_minutes);
        lost = lost.zip(minutes).map(|(all, own)| all + own);
        notes.extend(report.notes.iter().cloned());
        exclusions.extend(report.excluded.ids.iter().cloned());
        versions.insert(report.definition_version.as_str());
        exact &= report.exact;
        lacks.add(&report.lacks);
        revision = revision.max(report.revision);
        computed = computed.max(report.computed_at.0);
        if report.group.is_empty() && !judged.slo.group_by.is_empty() {
            continue;
        }
        let line = line(sla, report, minutes);
        if sla.scope == Scope::PerGroup {
            match line.met {
                Some(met) => {
                    summary.of += 1;
                    summary.met += u32::from(met);
                }
                None => summary.no_data += 1,
            }
        }
        groups.push(line);
    }
    let alone = match reports.as_slice() {
        [one] => Some(one.met),
        _ => None,
    };
    let pooled = pooled(sla, (&bad, &counted), lost, alone);
    if sla.scope == Scope::Pooled {
        match pooled.met {
            Some(met) => summary = Summary { met: u32::from(met), of: 1, no_data: 0 },
            None => summary.no_data = 1,
        }
    }
    let versions: Vec<&str> = versions.into_iter().collect();
    let mut figures = Figures {
        from: Instant(period.from_ms),
        to: Instant(period.to_ms),
        time_zone: sla.calendar.zone.name().to_owned(),
        slo: sla.slo.clone(),
        method: judged.slo.method.name().to_owned(),
        scope: scope(sla.scope).to_owned(),
        target: sla.target,
        summary,
        pooled,
        groups,
        exclusions: exclusions.into_iter().collect(),
        exact,
        notes: notes.into_iter().collect(),
        lacks,
        revision,
        definition_version: versions.join(" "),
        computed_at: Instant(if computed == i64::MIN { desk.now_ms } else { computed }),
    };
    if with_downtime {
        tell_downtime(&judged, &evaluator, period, &mut figures)?;
    }
    Ok(figures)
}

/// `perGroup`, `pooled`
const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::PerGroup => "perGroup",
        Scope::Pooled => "pooled",
    }
}

fn line(sla: &Sla, report: &Report, lost_minutes: Option<f64>) -> Line {
    let alone = sla.scope == Scope::PerGroup;
    let met = report.met.filter(|_| alone);
    let (bad, counted) = (Sum::of(report.bad.0), Sum::of(report.total.0));
    Line {
        group: report.group.clone(),
        counted: report.total,
        bad: report.bad,
        sli: report.sli,
        met,
        breach: met == Some(false),
        credit: met.and_then(|met| credit::due(&sla.credit, met, (&bad, &counted), lost_minutes)),
        downtime: Vec::new(),
    }
}

/// All groups together. Where there is one alone, it has the verdict that it has: that of a composite is not one of
/// counts.
fn pooled(
    sla: &Sla,
    (bad, counted): (&Sum, &Sum),
    lost_minutes: Option<f64>,
    alone: Option<Option<bool>>,
) -> Line {
    let (bad_part, all) = (Fraction::from(bad), Fraction::from(counted));
    let allowed = Fraction::from(sla.target).rest().times(&all);
    let by_counts = || all.is_positive().then(|| bad_part <= allowed);
    let met = match sla.scope {
        Scope::Pooled => alone.unwrap_or_else(by_counts),
        Scope::PerGroup => None,
    };
    Line {
        group: BTreeMap::new(),
        counted: Count::from(*counted),
        bad: Count::from(*bad),
        sli: bad_part.over(&all).map(|share| share.rest().to_f64()),
        met,
        breach: met == Some(false),
        credit: met.and_then(|met| credit::due(&sla.credit, met, (bad, counted), lost_minutes)),
        downtime: Vec::new(),
    }
}

/// Tells when groups were down: those in breach, or where all are judged together and that is in breach, those with
/// something bad.
fn tell_downtime(
    judged: &Judged<'_>,
    evaluator: &Evaluator<'_>,
    period: &Asked,
    figures: &mut Figures,
) -> Result<()> {
    if judged.slo.objectives.len() > 1 {
        figures.notes.push("when it was down is not told of a composite".to_owned());
        return Ok(());
    }
    let all = judged.sla.scope == Scope::Pooled && figures.pooled.breach;
    let group_of = |line: &Line| -> Group {
        let value = |label: &String| line.group.get(label).cloned().unwrap_or_default();
        judged.slo.group_by.iter().map(value).collect()
    };
    let is_down = |line: &&mut Line| line.breach || (all && line.bad.0 > 0.0);
    let (mut left_out, mut cut) = (0usize, false);
    let mut wanted: BTreeMap<Group, &mut Line> = BTreeMap::new();
    for line in figures.groups.iter_mut().filter(is_down) {
        if wanted.len() < DOWNTIME_GROUPS_MAX {
            wanted.insert(group_of(line), line);
        } else {
            left_out += 1;
        }
    }
    let groups: Vec<Group> = wanted.keys().cloned().collect();
    for (group, spans) in evaluator.downtime(period, &groups)? {
        let Some(line) = wanted.get_mut(&group) else { continue };
        cut |= spans.len() > DOWNTIME_INTERVALS_MAX;
        let interval = |(from, to): (i64, i64)| Downtime { from: Instant(from), to: Instant(to) };
        line.downtime = spans.into_iter().take(DOWNTIME_INTERVALS_MAX).map(interval).collect();
    }
    if left_out > 0 {
        figures.notes.push(format!("when they were down is told of {DOWNTIME_GROUPS_MAX} groups in breach, and not of {left_out} others"));
    }
    if cut {
        figures.notes.push(format!(
            "of a group the first {DOWNTIME_INTERVALS_MAX} times of being down are told"
        ));
    }
    Ok(())
}
