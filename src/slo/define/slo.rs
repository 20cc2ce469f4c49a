//! `kind: SLO`.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::indicator::{Indicator, Threshold, read_zero_traffic};
use super::metadata::{self, Metadata, PREFIX};
use super::objective::{self, Draft, Measured};
use super::reader::{Field, Fields};
use super::{Reference, alerts, history, query, times};
use crate::slo::definition::{
    CompositeMethod, Method, Objective, Place, Sli, Slo, Target, TimeWindow, Weighting, ZeroTraffic,
};
use crate::slo::diagnostic::Diagnostic;

/// Annotations of nines that an SLO may have, without their prefix.
const ANNOTATIONS: [&str; 10] = [
    "target-history",
    "burn-alerts",
    "signal",
    "cause",
    "action",
    "runbook",
    "composite",
    "zero-traffic",
    "git-ref",
    "author",
];
/// Objectives of an SLO at most.
const OBJECTIVES_MAX: usize = 100;

/// An SLO before its objectives have met their indicators.
#[derive(Debug, Clone)]
pub(super) struct SloDraft {
    name: String,
    display_name: String,
    description: String,
    service: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    window: TimeWindow,
    method: Method,
    measured: Option<Measured>,
    objectives: Vec<Draft>,
    history: Option<Vec<Target>>,
    composite: Option<CompositeMethod>,
    zero_traffic: Option<ZeroTraffic>,
    place: Place,
    source: String,
    /// What it names beside indicators.
    pub(super) links: Links,
}

/// Names in an SLO that other documents should have.
#[derive(Debug, Clone)]
pub(super) struct Links {
    pub(super) service: Reference,
    pub(super) policies: Vec<Reference>,
}

/// Reads the document; `source` is its text.
pub(super) fn read(document: &Fields<'_>, source: &str) -> Option<SloDraft> {
    let metadata = metadata::read(document);
    let spec = document.need("spec").and_then(|field| field.fields());
    document.finish();
    let spec = spec?;
    let description = spec.get("description").and_then(|field| field.text()).unwrap_or_default();
    let service = spec.need("service").and_then(|field| Reference::read(&field));
    let methods = [Method::Occurrences, Method::Timeslices, Method::RatioTimeslices];
    let method = spec
        .need_hint("budgetingMethod", "write Occurrences, Timeslices or RatioTimeslices")
        .and_then(|field| field.one_of(&methods.map(|method| (method.name(), method))));
    let window = spec
        .need_hint("timeWindow", "write [{duration: 30d, isRolling: true}]")
        .and_then(|field| window(&field));
    let (told, measured) = objective::measured(&spec);
    let objectives =
        spec.need("objectives").and_then(|field| field.list().map(|list| (list, field)));
    let policies =
        spec.get("alertPolicies").map(|field| alerts::policies(&field)).unwrap_or_default();
    spec.finish();

    let read: Option<Vec<_>> = objectives.as_ref().and_then(|(list, field)| {
        if list.is_empty() || list.len() > OBJECTIVES_MAX {
            field.error("objectives", format!("there must be 1 to {OBJECTIVES_MAX} objectives"));
            return None;
        }
        let read: Vec<_> = list.iter().map(|field| objective::read(field, method)).collect();
        read.into_iter().collect()
    });
    let notes = metadata.as_ref().map(read_annotations);
    let (metadata, read) = (metadata?, read?);
    let (window, notes) = (window?, notes??);
    let mut fine = true;
    for objective in &read {
        if let Some((field, slice, written)) = &objective.slice {
            fine &= times::check_slice(field, *slice, *written, &window);
        }
    }
    if let (Some(targets), Some(first)) = (&notes.history, read.first()) {
        fine &= history::check_last(targets, first.draft.target, &first.target);
    }
    if !told && read.iter().any(|objective| objective.draft.own.is_none()) {
        spec.all().error("missing-field", "indicator or indicatorRef is missing");
        fine = false;
    }
    if !fine || told && measured.is_none() {
        return None;
    }
    let service = service?;
    Some(SloDraft {
        annotations: metadata.annotation_texts(),
        name: metadata.name,
        display_name: metadata.display_name,
        description: description.to_owned(),
        service: service.name.clone(),
        labels: metadata.labels,
        window,
        method: method?,
        measured,
        objectives: read.into_iter().map(|objective| objective.draft).collect(),
        history: notes.history,
        composite: notes.composite,
        zero_traffic: notes.zero_traffic,
        place: metadata.place,
        source: source.to_owned(),
        links: Links { service, policies },
    })
}

fn window(field: &Field<'_>) -> Option<TimeWindow> {
    let list = field.list()?;
    let [one] = list.as_slice() else {
        field.error("bad-window", format!("timeWindow must have one item, and has {}", list.len()));
        return None;
    };
    times::window(&one.fields()?)
}

/// What the annotations say.
struct Notes {
    history: Option<Vec<Target>>,
    composite: Option<CompositeMethod>,
    zero_traffic: Option<ZeroTraffic>,
}

fn read_annotations(metadata: &Metadata<'_>) -> Option<Notes> {
    let get = |name: &str| metadata.annotations.get(&format!("{PREFIX}{name}"));
    if let Some(field) = metadata.annotations.values().next() {
        metadata::refuse_annotations(metadata, &ANNOTATIONS, field.report);
    }
    let history = get("target-history").map(history::read);
    let words = [
        ("worst", CompositeMethod::Worst),
        ("weighted", CompositeMethod::Weighted),
        ("pooled", CompositeMethod::Pooled),
    ];
    let composite = get("composite").map(|field| field.one_of(&words));
    let zero_traffic = get("zero-traffic").map(read_zero_traffic);
    let alerts = get("burn-alerts").map(|field| field.one_of(&[("google", ()), ("none", ())]));
    let broken = matches!(history, Some(None))
        || matches!(composite, Some(None))
        || matches!(zero_traffic, Some(None))
        || matches!(alerts, Some(None));
    (!broken).then(|| Notes {
        history: history.flatten(),
        composite: composite.flatten(),
        zero_traffic: zero_traffic.flatten(),
    })
}

impl SloDraft {
    /// Its name and where it stands.
    pub(super) fn name(&self) -> (&str, &Place) {
        (&self.name, &self.place)
    }

    /// Its window and the targets of its first objective.
    pub(super) fn promised(&self) -> (TimeWindow, Vec<Target>) {
        let targets = self.objectives.first().map(|first| self.targets(first));
        (self.window.clone(), targets.unwrap_or_default())
    }

    /// Indicators that stand in other documents.
    pub(super) fn indicators(&self) -> impl Iterator<Item = &Reference> {
        let all = std::iter::once(&self.measured).chain(self.objectives.iter().map(|one| &one.own));
        all.filter_map(|measured| match measured {
            Some(Measured::Elsewhere(reference)) => Some(reference),
            _ => None,
        })
    }

    /// Data sources that its own indicators name.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Reference> {
        let all = std::iter::once(&self.measured).chain(self.objectives.iter().map(|one| &one.own));
        all.filter_map(|measured| match measured {
            Some(Measured::Inline(indicator)) => Some(&indicator.sources),
            _ => None,
        })
        .flatten()
    }

    /// The SLOs that this becomes: one, or one for each objective where several are set over one indicator.
    pub(super) fn complete<'a>(
        &'a self,
        find: &dyn Fn(&str) -> Option<&'a Indicator>,
        tell: &mut dyn FnMut(Diagnostic),
    ) -> Option<Vec<Slo>> {
        let mut members = Vec::new();
        for draft in &self.objectives {
            let measured = draft.own.as_ref().or(self.measured.as_ref())?;
            let indicator = match measured {
                Measured::Inline(indicator) => indicator,
                Measured::Elsewhere(reference) => find(&reference.name)?,
            };
            let threshold = Threshold {
                op: draft.op,
                value: draft.value,
                place: &draft.place,
                path: &draft.path,
            };
            if !indicator.compares() && (draft.op.is_some() || draft.value.is_some()) {
                let message =
                    "op and value are not used: the indicator is a ratioMetric".to_owned();
                tell(Diagnostic::error(&draft.place, &draft.path, "not-used", message).warning());
            }
            members.push((draft, indicator, indicator.sli(&threshold, tell)?));
        }
        let composite = self.objectives.iter().any(|one| one.own.is_some() || one.weight.is_some());
        if self.objectives.len() > 1 && composite {
            let (_, first, _) = members.first()?;
            for (draft, indicator, _) in &members {
                let same = indicator.group_by == first.group_by
                    && indicator.no_data == first.no_data
                    && indicator.counter_start == first.counter_start
                    && indicator.zero_traffic == first.zero_traffic
                    && indicator.weighting.unit() == first.weighting.unit();
                if !same {
                    let message = "groupBy, noData, counterStart, zeroTraffic and weighting of all members of a composite must be the same".to_owned();
                    tell(Diagnostic::error(&draft.place, &draft.path, "settings-differ", message));
                    return None;
                }
            }
            return Some(vec![self.slo(&self.name, &members)]);
        }
        if self.composite.is_some() {
            let message = "nines.dev/composite is not used: no objective has an indicator or weight of its own".to_owned();
            let path = format!("metadata.annotations.{PREFIX}composite");
            tell(Diagnostic::error(&self.place, &path, "not-used", message).warning());
        }
        if members.len() > 1 {
            let names: Vec<String> =
                (0..members.len()).map(|i| format!("{}-{i}", self.name)).collect();
            let message = format!(
                "the objectives share one indicator and become the SLOs {}",
                names.join(", ")
            );
            tell(
                Diagnostic::error(&self.place, "spec.objectives", "several-slos", message)
                    .warning(),
            );
            let one = |(name, member): (&String, &_)| self.slo(name, std::slice::from_ref(member));
            return Some(names.iter().zip(&members).map(one).collect());
        }
        Some(vec![self.slo(&self.name, &members)])
    }

    fn slo(&self, name: &str, members: &[(&Draft, &Indicator, Sli)]) -> Slo {
        let objectives: Vec<Objective> = members
            .iter()
            .map(|(draft, indicator, sli)| Objective {
                display_name: draft.display_name.clone(),
                sli: sli.clone(),
                weighting: indicator.weighting,
                targets: self.targets(draft),
                slice: draft.slice,
                slice_target: draft.slice_target,
                weight: draft.weight.unwrap_or(crate::slo::decimal::Decimal::ONE),
            })
            .collect();
        let first = members.first().map(|(_, indicator, _)| *indicator);
        let composite = self.composite.unwrap_or(match self.method {
            Method::Occurrences => CompositeMethod::Weighted,
            Method::Timeslices | Method::RatioTimeslices => CompositeMethod::Worst,
        });
        let mut document = self.source.clone();
        for (_, indicator, _) in members {
            document.push_str(&indicator.source);
        }
        let zero_traffic = first.and_then(|one| one.zero_traffic).or(self.zero_traffic);
        let mut slo = Slo {
            name: name.to_owned(),
            display_name: self.display_name_of(name, members.first().map(|(draft, ..)| *draft)),
            description: self.description.clone(),
            service: self.service.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            window: self.window.clone(),
            method: self.method,
            group_by: first.map(|one| one.group_by.clone()).unwrap_or_default(),
            counter_start: first.map(|one| one.counter_start).unwrap_or_default(),
            no_data: first.map(|one| one.no_data).unwrap_or_default(),
            zero_traffic: zero_traffic.unwrap_or_default(),
            objectives,
            composite,
            place: self.place.clone(),
            counts_hash: 0,
            document_hash: xxh3_64(format!("{name}\n{document}").as_bytes()),
            source: self.source.clone(),
        };
        slo.counts_hash = xxh3_64(counted(&slo).as_bytes());
        slo
    }

    /// Of one of several SLOs it tells which.
    fn display_name_of(&self, name: &str, objective: Option<&Draft>) -> String {
        match objective {
            Some(one) if name != self.name => {
                format!("{} {}", self.display_name, one.display_name).trim().to_owned()
            }
            _ => self.display_name.clone(),
        }
    }

    /// The history is that of the first objective.
    fn targets(&self, draft: &Draft) -> Vec<Target> {
        let first = self.objectives.first().is_some_and(|first| std::ptr::eq(first, draft));
        match &self.history {
            Some(history) if first => history.clone(),
            _ => vec![Target { from_ms: i64::MIN, target: draft.target }],
        }
    }
}

/// All that changes what is counted, as a text.
fn counted(slo: &Slo) -> String {
    let mut text = format!(
        "{:?}|{:?}|{:?}|{:?}|{:?}",
        slo.method, slo.group_by, slo.counter_start, slo.no_data, slo.zero_traffic
    );
    for objective in &slo.objectives {
        let zone = match (&slo.window, objective.slice) {
            (TimeWindow::Calendar(calendar), crate::slo::definition::Slice::LocalDay) => {
                calendar.zone.name()
            }
            _ => "",
        };
        let sli = match &objective.sli {
            Sli::Ratio { part, counters, total } => {
                format!(
                    "ratio {part:?} {} / {}",
                    query::canonical(counters),
                    query::canonical(total)
                )
            }
            Sli::Threshold { series, op, value } => {
                format!("threshold {} {op:?} {value:?}", query::canonical(series))
            }
            Sli::States { series, good, bad, ignore, existence } => {
                let existence = existence.as_ref().map(query::canonical);
                let series = query::canonical(series);
                format!("states {series} {good:?} {bad:?} {ignore:?} {existence:?}")
            }
            Sli::RawRatio { series, part } => format!("raw {part:?} {}", query::canonical(series)),
            Sli::Expression { part, expr, total } => {
                format!("expression {part:?} {expr} / {total:?}")
            }
        };
        text.push_str(&format!("|{:?} {} {zone} {sli}", objective.slice, objective.slice_target));
        if let Weighting::Time { stale_after_ms } = objective.weighting {
            text.push_str(&format!(" held {stale_after_ms}"));
        }
    }
    text
}
