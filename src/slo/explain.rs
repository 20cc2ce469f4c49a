//! Why a number is what it is: the series behind it, and of each the samples at its ends, its resets, gaps and first
//! value.

use serde::Serialize;

use super::count::{Asker, LOOKBACK_MS, gone_before};
use super::definition::{Selector, Sli, Slo, Weighting};
use super::desk::Desk;
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::fold::step;
use super::report::{Count, Instant};
use super::sum::Sum;
use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange, is_stale};
use nines_storage::query::SelectHints;

/// Events of one series that are told one by one.
const EVENTS_MAX: usize = 50;
/// A gap is this many times as long as most pauses.
const GAP_FACTOR: i64 = 3;

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct At {
    /// When.
    pub at: Instant,
    /// What.
    pub value: f64,
}

/// A counter that began anew.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reset {
    /// The sample that showed it.
    pub at: Instant,
    /// The value before.
    pub before: f64,
    /// The value then, which is what was counted.
    pub value: f64,
}

/// Time without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The sample before.
    pub from: Instant,
    /// The sample behind, at which the whole step was counted.
    pub to: Instant,
}

/// One series of an SLO.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// `good`, `bad`, `total`, `gauge`, `existence`.
    pub role: &'static str,
    /// The series.
    pub series: String,
    /// Samples in the interval.
    pub samples: u64,
    /// The sample before the interval, from which the first step was taken.
    pub before: Option<At>,
    /// The first sample in it.
    pub first: Option<At>,
    /// The last one.
    pub last: Option<At>,
    /// What was counted of a counter, first values that are counted by policy apart.
    pub increase: Option<Count>,
    /// Resets, the first of them.
    pub resets: Vec<Reset>,
    /// How many there were.
    pub resets_total: u64,
    /// Gaps, the first of them.
    pub gaps: Vec<Gap>,
    /// How many there were.
    pub gaps_total: u64,
    /// Stale markers: its target was gone.
    pub stale_markers: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The SLO.
    pub slo: String,
    /// Since when.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
    /// The rule by which it is counted.
    pub rule: &'static str,
    /// Series of it.
    pub series_total: usize,
    /// The first of them.
    pub series: Vec<Proof>,
    /// What is missing.
    pub notes: Vec<String>,
}

const COUNTER_RULE: &str = "an increase is booked at the sample that revealed it: the step from the sample before, or the value itself where the counter fell";
const GAUGE_RULE: &str =
    "every sample is one event; a slice is good when enough of its samples are";
const TIME_RULE: &str = "every sample holds until the next one of its series, for staleAfter at most: milliseconds are counted, also those of a sample before the interval";

/// Explains an interval of the first objective of `slo`: `limit` series, of those that satisfy `only`.
pub fn explain(
    desk: &Desk<'_>,
    slo: &Slo,
    (only, limit): (&[Matcher], usize),
    asked: &Asked,
) -> Result<Explanation> {
    let objective = slo
        .objectives
        .first()
        .ok_or_else(|| SloError::Invalid(format!("SLO {:?} has no objective", slo.name)))?;
    let asker = Asker { data: desk.data, budget: desk.budget, slo, objective };
    let gauge_rule = match objective.weighting {
        Weighting::Samples => GAUGE_RULE,
        Weighting::Time { .. } => TIME_RULE,
    };
    let (rule, sources): (_, Vec<(&'static str, bool, &Selector)>) = match &objective.sli {
        Sli::Ratio { part, counters, total } => {
            let part = match part {
                super::definition::Part::Good => "good",
                super::definition::Part::Bad => "bad",
            };
            (COUNTER_RULE, vec![(part, true, counters), ("total", true, total)])
        }
        Sli::Threshold { series, .. } | Sli::RawRatio { series, .. } => {
            (gauge_rule, vec![("gauge", false, series)])
        }
        Sli::States { series, existence, .. } => {
            let mut sources = vec![("gauge", false, series)];
            sources.extend(existence.iter().map(|selector| ("existence", false, selector)));
            (gauge_rule, sources)
        }
        Sli::Expression { .. } => return Err(SloError::Expression),
    };
    let mut told = Explanation {
        slo: slo.name.clone(),
        from: Instant(asked.from_ms),
        to: Instant(asked.to_ms),
        rule,
        series_total: 0,
        series: Vec::new(),
        notes: Vec::new(),
    };
    for (role, is_counter, selector) in sources {
        let all = std::iter::once(&selector.matchers).chain(selector.terms.iter().map(|t| &t.1));
        for matchers in all {
            prove(&asker, (role, is_counter), (matchers, only), (limit, asked), &mut told)?;
        }
    }
    Ok(told)
}

fn prove(
    asker: &Asker<'_>,
    (role, is_counter): (&'static str, bool),
    (matchers, only): (&[Matcher], &[Matcher]),
    (limit, asked): (usize, &Asked),
    told: &mut Explanation,
) -> Result<()> {
    let range = TimeRange::new(asked.from_ms.saturating_sub(LOOKBACK_MS) + 1, asked.to_ms);
    let hints = SelectHints::default();
    let set = asker.data.select(matchers, range, &hints, asker.budget)?;
    let mut data = SeriesData::default();
    for series in 0..set.len() {
        let labels = set.labels(series);
        if !only.iter().all(|matcher| matcher.matches(labels.get(&matcher.name))) {
            continue;
        }
        told.series_total += 1;
        if told.series.len() >= limit {
            continue;
        }
        set.read(series, range, asker.budget, &mut data)?;
        told.series.push(proof(role, is_counter, labels, &data, asked.from_ms));
    }
    let since = set.samples_begin_ms().filter(|since| *since > asked.from_ms);
    for note in set.warnings().into_iter().chain(since.map(gone_before)) {
        if !told.notes.contains(&note) {
            told.notes.push(note);
        }
    }
    Ok(())
}

fn proof(
    role: &'static str,
    is_counter: bool,
    labels: &Labels,
    data: &SeriesData,
    from_ms: i64,
) -> Proof {
    let mut proof = Proof {
        role,
        series: shown(labels),
        samples: 0,
        before: None,
        first: None,
        last: None,
        increase: None,
        resets: Vec::new(),
        resets_total: 0,
        gaps: Vec::new(),
        gaps_total: 0,
        stale_markers: 0,
    };
    let usual = usual_pause(&data.ts);
    let mut before: Option<At> = None;
    let mut increase = Sum::default();
    for (&ts, &value) in data.ts.iter().zip(&data.values) {
        if is_stale(value) {
            proof.stale_markers += u64::from(ts > from_ms);
            continue;
        }
        if !value.is_finite() {
            continue;
        }
        let at = At { at: Instant(ts), value };
        if ts <= from_ms {
            proof.before = Some(at);
            before = Some(at);
            continue;
        }
        proof.samples += 1;
        proof.first.get_or_insert(at);
        proof.last = Some(at);
        if let Some(last) = before {
            if is_counter {
                increase.add(step(last.value, value));
                if value < last.value {
                    proof.resets_total += 1;
                    if proof.resets.len() < EVENTS_MAX {
                        proof.resets.push(Reset { at: at.at, before: last.value, value });
                    }
                }
            }
            if usual > 0 && ts - last.at.0 > usual.saturating_mul(GAP_FACTOR) {
                proof.gaps_total += 1;
                if proof.gaps.len() < EVENTS_MAX {
                    proof.gaps.push(Gap { from: last.at, to: at.at });
                }
            }
        }
        before = Some(at);
    }
    proof.increase = is_counter.then(|| Count::from(increase));
    proof
}

/// The median pause between samples; 0 for fewer than two.
fn usual_pause(ts: &[i64]) -> i64 {
    let mut pauses: Vec<i64> = ts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = pauses.len() / 2;
    match pauses.is_empty() {
        true => 0,
        false => *pauses.select_nth_unstable(middle).1,
    }
}

/// A series as PromQL writes it.
#[must_use]
pub fn shown(labels: &Labels) -> String {
    let name = labels.metric_name();
    let others: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != nines_storage::model::METRIC_NAME)
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    match others.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", others.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_tells_its_resets_and_gaps() {
        let labels = Labels::from_pairs([("__name__", "a_total"), ("job", "x")]);
        let ts = vec![0, 60, 120, 180, 900, 960];
        let values = vec![5.0, 7.0, 1.0, 2.0, 9.0, 9.0];
        let data = SeriesData { ts, values, ..SeriesData::default() };
        let proof = proof("total", true, &labels, &data, 0);
        assert_eq!(proof.series, r#"a_total{job="x"}"#);
        assert_eq!((proof.samples, proof.increase), (5, Some(Count(11.0))));
        assert_eq!(proof.before, Some(At { at: Instant(0), value: 5.0 }));
        assert_eq!(proof.resets, [Reset { at: Instant(120), before: 7.0, value: 1.0 }]);
        assert_eq!(proof.gaps, [Gap { from: Instant(180), to: Instant(900) }]);
    }
}
