//! Documents of all texts together: names are unique, references lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Reference;
use super::document::{Draft, File};
use super::indicator::Indicator;
use super::nearest::nearest;
use crate::slo::definition::{Definitions, Exclusion, Place, Service, Sla, Slo, Team};
use crate::slo::diagnostic::Diagnostic;

/// Definitions of all texts, and what is wrong between them.
pub(super) struct Linked {
    pub(super) definitions: Definitions,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// SLOs and SLAs that were left out because a reference leads nowhere, with their files.
    pub(super) lost: Vec<Lost>,
}

/// A definition that was left out.
pub(super) enum Lost {
    Slo(String, Place),
    Sla(String, Place),
}

/// Something that is found by its name.
trait Named {
    const KIND: &'static str;
    fn named(&self) -> (&str, &Place);
}

macro_rules! named {
    ($($kind:ident $word:literal),*) => {
        $(impl Named for $kind {
            const KIND: &'static str = $word;
            fn named(&self) -> (&str, &Place) {
                (&self.name, &self.place)
            }
        })*
    };
}
named!(Service "service", Team "team", Slo "SLO", Sla "SLA", Exclusion "exclusion");

/// Puts the documents together. What `before` holds keeps its name when another file takes it as well.
pub(super) fn link(files: &[&File], before: Option<&Definitions>) -> Linked {
    let mut linking = Linking { told: Vec::new(), lost: Vec::new() };
    let drafts = || files.iter().flat_map(|file| &file.drafts);
    let empty = Definitions::default();
    let before = before.unwrap_or(&empty);

    let services = drafts().filter_map(|draft| match draft {
        Draft::Service(service) => Some(service.clone()),
        _ => None,
    });
    let services = linking.unique(services.collect(), &before.services);
    let teams = drafts().filter_map(|draft| match draft {
        Draft::Team(team) => Some(team.clone()),
        _ => None,
    });
    let teams = linking.unique(teams.collect(), &before.teams);
    let indicators = linking.indicators(drafts());
    let slos = linking.slos(drafts(), &indicators);
    let slos = linking.unique(slos, &before.slos);
    let exclusions = drafts().filter_map(|draft| match draft {
        Draft::Exclusion(exclusion, _) => Some(exclusion.clone()),
        _ => None,
    });
    let exclusions = linking.unique(exclusions.collect(), &before.exclusions);
    let mut slas = Vec::new();
    for draft in drafts() {
        let Draft::Sla(sla, reference) = draft else { continue };
        if linking.leads(reference, "SLO", slos.keys(), true) {
            slas.push(sla.clone());
        } else {
            linking.lost.push(Lost::Sla(sla.name.clone(), sla.place.clone()));
        }
    }
    let slas = linking.unique(slas, &before.slas);
    linking.check_names(drafts(), &services, &teams, &slos);
    let definitions = Definitions { services, teams, slos, slas, exclusions };
    Linked { definitions, diagnostics: linking.told, lost: linking.lost }
}

struct Linking {
    told: Vec<Diagnostic>,
    lost: Vec<Lost>,
}

impl Linking {
    /// By name; the second one of a name is told and left out.
    fn unique<T: Named>(
        &mut self,
        mut all: Vec<T>,
        before: &BTreeMap<String, T>,
    ) -> BTreeMap<String, T> {
        all.sort_by_key(|one| {
            let (name, place) = one.named();
            before.get(name).is_none_or(|holder| holder.named().1.file != place.file)
        });
        let mut found: BTreeMap<String, T> = BTreeMap::new();
        for one in all {
            let (name, place) = one.named();
            if let Some(first) = found.get(name) {
                self.duplicate(T::KIND, name, place, first.named().1);
            } else {
                found.insert(name.to_owned(), one);
            }
        }
        found
    }

    fn duplicate(&mut self, kind: &str, name: &str, place: &Place, first: &Place) {
        let Place { file, line, column } = first;
        let message = format!("the {kind} {name:?} is defined already, at {file}:{line}:{column}");
        self.told.push(Diagnostic::error(place, "metadata.name", "duplicate-name", message));
    }

    fn indicators<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a Draft>,
    ) -> BTreeMap<&'a str, (&'a Indicator, &'a Place)> {
        let mut indicators: BTreeMap<&str, (&Indicator, &Place)> = BTreeMap::new();
        for draft in drafts {
            let Draft::Sli { name, place, indicator } = draft else { continue };
            match indicators.get(name.as_str()) {
                Some((_, first)) => self.duplicate("SLI", name, place, first),
                None => {
                    indicators.insert(name, (indicator, place));
                }
            }
        }
        indicators
    }

    fn slos<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a Draft>,
        indicators: &BTreeMap<&'a str, (&'a Indicator, &'a Place)>,
    ) -> Vec<Slo> {
        let mut all = Vec::new();
        for draft in drafts {
            match draft {
                Draft::Slos { slos, .. } => all.extend(slos.iter().cloned()),
                Draft::Pending(pending) => {
                    let names = indicators.keys();
                    let mut complete = true;
                    for reference in pending.indicators() {
                        complete &= self.leads(reference, "SLI", names.clone(), true);
                    }
                    let find = |name: &str| indicators.get(name).map(|(indicator, _)| *indicator);
                    let told = &mut self.told;
                    let slos = complete
                        .then(|| pending.complete(&find, &mut |diagnostic| told.push(diagnostic)))
                        .flatten();
                    match slos {
                        Some(slos) => all.extend(slos),
                        None => {
                            let (name, place) = pending.name();
                            self.lost.push(Lost::Slo(name.to_owned(), place.clone()));
                        }
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Whether a reference leads to one of the names; tells when not.
    fn leads<'a, S: AsRef<str> + 'a>(
        &mut self,
        reference: &Reference,
        kind: &str,
        names: impl Iterator<Item = &'a S> + Clone,
        needed: bool,
    ) -> bool {
        let Reference { name, place, path } = reference;
        if names.clone().any(|known| known.as_ref() == name) {
            return true;
        }
        let message = format!("there is no {kind} {name:?}");
        let meant = nearest(name, names.map(AsRef::as_ref));
        let hint = meant.map(|meant| format!("did you mean {meant}?")).unwrap_or_default();
        let told = Diagnostic::error(place, path, "dangling-reference", message).hint(hint);
        self.told.push(if needed { told } else { told.warning() });
        false
    }

    /// References that definitions are good without. Where nobody defines a kind, its names are free.
    fn check_names<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a Draft> + Clone,
        services: &BTreeMap<String, Service>,
        teams: &BTreeMap<String, Team>,
        slos: &BTreeMap<String, Slo>,
    ) {
        let mut used: BTreeSet<&str> = slos.values().map(|slo| slo.service.as_str()).collect();
        used.extend(services.keys().map(String::as_str));
        let mut sources: BTreeSet<&str> = BTreeSet::new();
        let mut policies: BTreeSet<&str> = BTreeSet::new();
        for draft in drafts.clone() {
            match draft {
                Draft::DataSource(name) => sources.insert(name),
                Draft::AlertPolicy(name) => policies.insert(name),
                _ => false,
            };
        }
        for draft in drafts {
            let (links, named) = match draft {
                Draft::Slos { links, sources, .. } => {
                    (Some(links), sources.iter().collect::<Vec<_>>())
                }
                Draft::Pending(pending) => (Some(&pending.links), pending.sources().collect()),
                Draft::Sli { indicator, .. } => (None, indicator.sources.iter().collect()),
                Draft::Exclusion(_, about) => {
                    for reference in &about.services {
                        self.leads(reference, "service", used.iter(), false);
                    }
                    for reference in &about.slos {
                        self.leads(reference, "SLO", slos.keys(), false);
                    }
                    continue;
                }
                _ => continue,
            };
            for reference in named {
                self.leads(reference, "DataSource", sources.iter(), false);
            }
            let Some(links) = links else { continue };
            if !services.is_empty() {
                self.leads(&links.service, "service", services.keys(), false);
            }
            for reference in &links.policies {
                self.leads(reference, "AlertPolicy", policies.iter(), false);
            }
        }
        if teams.is_empty() {
            return;
        }
        let of_services = services.values().map(|one| (&one.labels, &one.place));
        let labelled = of_services.chain(slos.values().map(|one| (&one.labels, &one.place)));
        for (labels, place) in labelled {
            let Some(team) = labels.get("team") else { continue };
            let path = "metadata.labels.team".to_owned();
            let reference = Reference { name: team.clone(), place: place.clone(), path };
            self.leads(&reference, "team", teams.keys(), false);
        }
    }
}
