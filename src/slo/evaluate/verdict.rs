//! From counts to a report: ratio, budget, verdict.

use super::adjust::Adjusted;
use super::{Counts, Evaluator, Time};
use crate::slo::count::Group;
use crate::slo::definition::{Method, NoData, Objective, Part, Slice, Target, ZeroTraffic};
use crate::slo::fraction::Fraction;
use crate::slo::report::{
    Anomaly, Count, Coverage, Exactly, ExcludedPart, Instant, Lacks, RawPart, Report, Segment,
    SlicesPart, Status, Uncounted,
};
use crate::slo::slices::{good, part_of, shares};
use crate::slo::tally::Tally;
use crate::slo::versions;

/// Share of the budget below which what is met is at risk.
const AT_RISK_BELOW: f64 = 0.1;

/// Good, bad and all, as fractions for the verdict and as counts for the reader.
struct Events {
    good: Fraction,
    bad: Fraction,
    total: Fraction,
}

impl Events {
    fn none() -> Self {
        Self { good: Fraction::zero(), bad: Fraction::zero(), total: Fraction::zero() }
    }

    fn add(&mut self, other: &Self) {
        self.good = self.good.plus(&other.good);
        self.bad = self.bad.plus(&other.bad);
        self.total = self.total.plus(&other.total);
    }

    fn sli(&self) -> Option<f64> {
        Some(self.good.over(&self.total)?.to_f64())
    }

    fn met(&self, allowed: &Fraction) -> Option<bool> {
        self.total.is_positive().then(|| self.bad <= *allowed)
    }

    fn remaining(&self, allowed: &Fraction) -> Option<f64> {
        Some(self.bad.over(allowed)?.rest().to_f64())
    }
}

impl Evaluator<'_> {
    /// Slices of a tally by what they count as: good, bad.
    pub(super) fn slices_of(&self, tally: &Tally, assumed_good: u32) -> (u32, u32) {
        let (mut good, mut bad) = (tally.good + assumed_good, tally.bad);
        if self.slo.zero_traffic == ZeroTraffic::Good {
            good += tally.zero;
        }
        match self.slo.no_data {
            NoData::Ignore => {}
            NoData::Good => good += tally.no_data(),
            NoData::Bad => bad += tally.no_data(),
        }
        (good, bad)
    }

    fn events(&self, side: Part, tally: &Tally, assumed_good: u32) -> Events {
        if self.slo.method == Method::Occurrences {
            let good = good(side, &tally.part, &tally.total);
            let bad = tally.total.less(&good);
            return Events {
                good: Fraction::from(&good),
                bad: Fraction::from(&bad),
                total: Fraction::from(&tally.total),
            };
        }
        let (good, bad) = self.slices_of(tally, assumed_good);
        let total = Fraction::whole(i64::from(good) + i64::from(bad));
        if self.slo.method == Method::Timeslices {
            let whole = |n: u32| Fraction::whole(i64::from(n));
            return Events { good: whole(good), bad: whole(bad), total };
        }
        // All but the slices with events are wholly good or bad.
        let whole = i64::from(good) - i64::from(tally.good);
        let good = shares(tally).plus(&Fraction::whole(whole));
        Events { bad: total.minus(&good), good, total }
    }

    pub(super) fn report(
        &self,
        objective: &Objective,
        time: &Time,
        group: &Group,
        counts: &Counts,
    ) -> Report {
        let side = part_of(&objective.sli);
        let mut all = Tally::default();
        let mut raw_all = Tally::default();
        let mut taken = Tally::default();
        let mut assumed = 0;
        let (mut events, mut raw_events) = (Events::none(), Events::none());
        let (mut allowed, mut raw_allowed) = (Fraction::zero(), Fraction::zero());
        let mut targets = Vec::new();
        let mut excluded = ExcludedPart::default();
        for ((stretch, raw), adjusted) in
            time.stretches.iter().zip(&counts.raw).zip(&counts.adjusted)
        {
            let Adjusted { tally, assumed_good, taken: away, names } = adjusted;
            let own = self.events(side, tally, *assumed_good);
            let may_be_bad = Fraction::from(stretch.target).rest();
            let own_allowed = may_be_bad.times(&own.total);
            targets.push(Segment {
                from: Instant(stretch.from_ms),
                target: stretch.target,
                bad: Count(own.bad.to_f64()),
                total: Count(own.total.to_f64()),
                allowed_bad: own_allowed.to_f64(),
                budget_remaining: own.remaining(&own_allowed),
                met: own.met(&own_allowed),
            });
            allowed = allowed.plus(&own_allowed);
            events.add(&own);
            let own = self.events(side, raw, 0);
            raw_allowed = raw_allowed.plus(&may_be_bad.times(&own.total));
            raw_events.add(&own);
            all.add(tally);
            raw_all.add(raw);
            taken.add(away);
            assumed += assumed_good;
            for name in names {
                if !excluded.ids.contains(name) {
                    excluded.ids.push(name.clone());
                }
            }
        }
        excluded.slices = taken.slices.saturating_sub(taken.absent);
        let away = self.events(side, &taken, 0);
        (excluded.bad, excluded.total) = (away.bad.to_f64(), away.total.to_f64());
        let met = events.met(&allowed);
        let remaining = events.remaining(&allowed);
        let sli = events.sli();
        let names = self.slo.group_by.iter().zip(group);
        Report {
            slo: self.slo.name.clone(),
            objective: match self.slo.objectives.len() {
                1 => String::new(),
                _ => objective.display_name.clone(),
            },
            service: self.slo.service.clone(),
            group: names.map(|(name, value)| (name.clone(), value.clone())).collect(),
            window: self.window(time),
            method: self.slo.method.name(),
            unit: match self.slo.method {
                Method::Occurrences => objective.weighting.unit(),
                Method::Timeslices | Method::RatioTimeslices => None,
            },
            good: Count(events.good.to_f64()),
            bad: Count(events.bad.to_f64()),
            total: Count(events.total.to_f64()),
            sli,
            status: status(met, remaining),
            effective_target: allowed.over(&events.total).map(|share| share.rest().to_f64()),
            allowed_bad: sli.map(|_| allowed.to_f64()),
            budget_remaining: sli.and(remaining),
            met,
            slices: (self.slo.method != Method::Occurrences)
                .then(|| self.slices(objective, time, &all, assumed, &allowed)),
            coverage: Coverage { slices: raw_all.slices, with_data: raw_all.with_data },
            excluded,
            raw: RawPart {
                bad: Count(raw_events.bad.to_f64()),
                total: Count(raw_events.total.to_f64()),
                sli: raw_events.sli(),
                budget_remaining: raw_events.sli().and(raw_events.remaining(&raw_allowed)),
                met: raw_events.met(&raw_allowed),
            },
            exact: true,
            notes: self.notes(time),
            lacks: Lacks::default(),
            exactly: [
                Exactly { bad: events.bad, allowed, total: events.total },
                Exactly { bad: raw_events.bad, allowed: raw_allowed, total: raw_events.total },
            ],
            uncounted: Uncounted {
                first_values: Count::from(raw_all.first_values.0),
                series: raw_all.first_values.1,
            },
            anomalies: self.anomalies(side, &raw_all),
            definition_version: self.definition_version(objective, time),
            revision: 0,
            computed_at: Instant(self.now_ms),
            targets,
        }
    }

    fn slices(
        &self,
        objective: &Objective,
        time: &Time,
        tally: &Tally,
        assumed_good: u32,
        allowed: &Fraction,
    ) -> SlicesPart {
        let (good, bad) = self.slices_of(tally, assumed_good);
        let minutes = match objective.slice {
            Slice::Fixed(length) => Some(length as f64 / 60_000.0),
            Slice::LocalDay => None,
        };
        // What is still to come is judged by the last target.
        let to_come = self.n_slices(objective.slice, time.until_ms, time.full_ms);
        let last = time.stretches.last().map(|stretch| Fraction::from(stretch.target).rest());
        let more = last.map(|share| share.times(&Fraction::whole(i64::from(to_come))));
        let full = more.map_or_else(|| allowed.clone(), |more| allowed.plus(&more));
        SlicesPart {
            good_slices: good,
            bad_slices: bad,
            counted_slices: good + bad,
            no_data_slices: tally.no_data(),
            zero_traffic_slices: tally.zero,
            ignored_slices: tally.ignored,
            slice_seconds: minutes.map(|minutes| minutes * 60.0),
            bad_minutes: minutes.map(|minutes| f64::from(bad) * minutes),
            allowed_minutes: minutes.map(|minutes| allowed.to_f64() * minutes),
            allowed_full_window_minutes: minutes.map(|minutes| full.to_f64() * minutes),
        }
    }

    fn notes(&self, time: &Time) -> Vec<String> {
        let mut notes = Vec::new();
        let asked_until = time.asked.to_ms.min(self.now_ms);
        if self.slo.method != Method::Occurrences
            && (time.from_ms != time.asked.from_ms || (time.full_ms != time.asked.to_ms))
        {
            notes.push(format!(
                "whole slices are counted, from {} to {}",
                Instant(time.from_ms),
                Instant(time.until_ms.min(asked_until))
            ));
        }
        notes
    }

    fn anomalies(&self, side: Part, tally: &Tally) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        let (kind, what) = match side {
            Part::Good => ("goodExceedsTotal", "good"),
            Part::Bad => ("badExceedsTotal", "bad"),
        };
        if tally.part.get() > tally.total.get() {
            let (part, total) = (tally.part.get(), tally.total.get());
            let text = format!(
                "{what} events ({part}) are more than all events ({total}): the selectors of the SLO do not fit together, or samples are missing"
            );
            anomalies.push(Anomaly { kind, text });
        } else if tally.exceeded > 0 && self.slo.method != Method::Occurrences {
            let text =
                format!("in {} slices {what} events are more than all events", tally.exceeded);
            anomalies.push(Anomaly { kind, text });
        }
        if tally.nan_samples > 0 {
            let text = format!("{} samples are no numbers", tally.nan_samples);
            anomalies.push(Anomaly { kind: "notANumber", text });
        }
        if tally.unknown_states > 0 {
            let text = format!(
                "{} samples have a value that is in no list of states: they are counted as bad",
                tally.unknown_states
            );
            anomalies.push(Anomaly { kind: "unknownState", text });
        }
        anomalies
    }

    /// Tells what says how this window is counted and judged: not what holds only later.
    fn definition_version(&self, objective: &Objective, time: &Time) -> String {
        let words = time.stretches.iter().filter_map(|stretch| {
            // The target of the beginning of a stretch is that of all of it.
            let begun = |target: &&Target| {
                target.from_ms <= stretch.from_ms && target.target == stretch.target
            };
            let target = objective.targets.iter().rev().find(begun)?;
            Some(versions::word(self.slo, objective, target))
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn status(met: Option<bool>, remaining: Option<f64>) -> Status {
    match (met, remaining) {
        (None, _) => Status::NoData,
        (Some(false), _) => Status::Breached,
        (Some(true), Some(left)) if left < AT_RISK_BELOW => Status::AtRisk,
        (Some(true), _) => Status::Ok,
    }
}
