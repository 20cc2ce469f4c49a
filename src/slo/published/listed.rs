//! Which series SLOs publish, for whoever completes queries: names and labels. Nothing is counted for them; of groups
//! the series are looked up that an SLO is about.

use std::collections::{BTreeMap, BTreeSet};

use nines_storage::model::{Labels, METRIC_NAME, Matcher, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};

use super::{BURN, BURN_WINDOWS, EVENTS, INFO, NAMES, REMAINING, SLI, base, window_of};
use crate::slo::definition::{Definitions, Sli, Slo};

/// Labels of one series.
type Pairs = BTreeMap<String, String>;

/// Where they are looked for.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    /// What is defined.
    pub definitions: &'a Definitions,
    /// The samples; nothing while there are none.
    pub data: Option<&'a dyn Queryable>,
    /// What they satisfy, any of these; all where there is none.
    pub sets: &'a [Vec<Matcher>],
    /// The time of the groups' samples.
    pub range: TimeRange,
    /// What looking may cost.
    pub budget: &'a Budget,
}

impl Listing<'_> {
    /// Their label sets.
    ///
    /// # Errors
    /// Whatever the store fails with, and a budget that is used up.
    pub fn series(&self) -> nines_storage::Result<BTreeSet<Labels>> {
        let mut found = BTreeSet::new();
        self.each(&|_, _| true, &mut |pairs, _| {
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            found.insert(Labels::from_pairs(pairs));
        })?;
        Ok(found)
    }

    /// The names of their labels.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub fn names(&self) -> nines_storage::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        self.each(&|_, _| false, &mut |pairs, group_by| {
            found.extend(pairs.keys().chain(group_by).cloned());
        })?;
        Ok(found)
    }

    /// The values of one of their labels. Those of groups are values of the samples, and told where only some series
    /// are asked for.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub fn values(&self, name: &str) -> nines_storage::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let is_of_group = |base: &Pairs, slo: &Slo| {
            slo.group_by.iter().any(|label| label == name) && !base.contains_key(name)
        };
        self.each(
            &|base, slo| !self.sets.is_empty() && is_of_group(base, slo),
            &mut |pairs, _| {
                found.extend(pairs.get(name).cloned());
            },
        )?;
        Ok(found)
    }

    /// Shows every label set that is asked for, and labels of groups beside that were not looked up, because neither
    /// `with_groups` nor a matcher asks for them.
    fn each(
        &self,
        with_groups: &dyn Fn(&Pairs, &Slo) -> bool,
        show: &mut dyn FnMut(&Pairs, &[String]),
    ) -> nines_storage::Result<()> {
        let all = [Vec::new()];
        let sets = if self.sets.is_empty() { &all } else { self.sets };
        if self.range.min > self.range.max {
            return Ok(());
        }
        for matchers in sets {
            let named = |name: &&str| {
                let own = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
                own.into_iter().all(|matcher| matcher.matches(name))
            };
            for name in NAMES.into_iter().filter(named) {
                for slo in self.definitions.slos.values() {
                    self.budget.check()?;
                    self.of_slo((name, slo), matchers, with_groups, show)?;
                }
            }
        }
        Ok(())
    }

    fn of_slo(
        &self,
        (name, slo): (&str, &Slo),
        matchers: &[Matcher],
        with_groups: &dyn Fn(&Pairs, &Slo) -> bool,
        show: &mut dyn FnMut(&Pairs, &[String]),
    ) -> nines_storage::Result<()> {
        let base = base(self.definitions, name, slo);
        let variants = variants(name, slo);
        let group_by: &[String] = match name {
            EVENTS | SLI | REMAINING | BURN => &slo.group_by,
            _ => &[],
        };
        let of_group = |label: &String| group_by.contains(label) && !base.contains_key(label);
        // Everything but groups is known without looking.
        let may = |pairs: &Pairs| {
            let absent = String::new();
            matchers
                .iter()
                .filter(|matcher| !of_group(&matcher.name))
                .all(|matcher| matcher.matches(pairs.get(&matcher.name).unwrap_or(&absent)))
        };
        let mut known = Vec::new();
        for variant in variants {
            let mut pairs = base.clone();
            variant.into_iter().for_each(|(name, value)| {
                pairs.entry(name.to_owned()).or_insert(value);
            });
            if may(&pairs) {
                known.push(pairs);
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let own: Vec<Matcher> =
            matchers.iter().filter(|matcher| of_group(&matcher.name)).cloned().collect();
        if group_by.is_empty() || (own.is_empty() && !with_groups(&base, slo)) {
            known.iter().for_each(|pairs| show(pairs, group_by));
            return Ok(());
        }
        for group in self.groups(slo, &own)? {
            for pairs in &known {
                let mut pairs = pairs.clone();
                for (label, value) in slo.group_by.iter().zip(&group) {
                    if !value.is_empty() {
                        pairs.entry(label.clone()).or_insert_with(|| value.clone());
                    }
                }
                show(&pairs, &[]);
            }
        }
        Ok(())
    }

    /// The groups of the series that an SLO is about, which satisfy `own`.
    fn groups(&self, slo: &Slo, own: &[Matcher]) -> nines_storage::Result<BTreeSet<Vec<String>>> {
        let mut groups = BTreeSet::new();
        let Some(data) = self.data else { return Ok(groups) };
        let hints = SelectHints { labels_only: true, any_order: true, ..SelectHints::default() };
        for matchers in slo.objectives.iter().flat_map(|one| selected(&one.sli)) {
            let matchers: Vec<Matcher> = matchers.iter().chain(own).cloned().collect();
            let series = data.select(&matchers, self.range, &hints, self.budget)?;
            for i in 0..series.len() {
                let labels = series.labels(i);
                let group = slo.group_by.iter().map(|name| labels.get(name).to_owned()).collect();
                groups.insert(group);
            }
            self.budget.check()?;
        }
        Ok(groups)
    }
}

/// What series of an indicator satisfy. An expression tells no groups before it is asked.
fn selected(sli: &Sli) -> Vec<&[Matcher]> {
    let selectors = match sli {
        Sli::Ratio { counters, total, .. } => vec![counters, total],
        Sli::Threshold { series, .. } | Sli::RawRatio { series, .. } => vec![series],
        Sli::States { series, existence, .. } => std::iter::once(series).chain(existence).collect(),
        Sli::Expression { .. } => Vec::new(),
    };
    let mut all = Vec::new();
    for selector in selectors {
        all.push(selector.matchers.as_slice());
        all.extend(selector.terms.iter().map(|(_, matchers)| matchers.as_slice()));
    }
    all
}

/// Labels that series of one name and SLO differ by, besides those of groups.
fn variants(name: &str, slo: &Slo) -> Vec<Vec<(&'static str, String)>> {
    match name {
        EVENTS => ["good", "bad"].map(|outcome| vec![("outcome", outcome.to_owned())]).to_vec(),
        BURN => BURN_WINDOWS.map(|(window, _)| vec![("window", window.to_owned())]).to_vec(),
        SLI | REMAINING => vec![vec![("window", window_of(slo))]],
        INFO => vec![vec![
            ("method", slo.method.name().to_owned()),
            ("display_name", slo.display_name.clone()),
            ("window", window_of(slo)),
        ]],
        _ => vec![Vec::new()],
    }
}
