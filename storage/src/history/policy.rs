//! Which series have rows in tables that not every series has rows in.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::period::Tier;
use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher};

/// Series, and the tables that they have rows in besides hours and days.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Series that satisfy all matchers of one of these.
    pub series: Vec<Vec<Matcher>>,
    /// Of [`Tier::BY_POLICY`].
    pub tables: Vec<Tier>,
}

/// The policies in force, for all who hold a copy: some for ever, others until others follow. A day is built by
/// those that are in force when it is begun.
#[derive(Debug, Clone, Default)]
pub struct Policies(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    fixed: Vec<Policy>,
    now: RwLock<Arc<Named>>,
}

impl Policies {
    /// These for ever, and no others yet.
    #[must_use]
    pub fn new(fixed: Vec<Policy>) -> Self {
        let now = RwLock::new(Arc::new(Named::new(&fixed, &[])));
        Self(Arc::new(Shared { fixed, now }))
    }

    /// Puts others in the place of those that followed before, for days that are built from now on.
    pub fn follow(&self, policies: &[Policy]) {
        let named = Named::new(&self.0.fixed, policies);
        *self.0.now.write() = Arc::new(named);
    }

    /// Those that are there for ever.
    #[must_use]
    pub fn fixed(&self) -> &[Policy] {
        &self.0.fixed
    }

    pub(crate) fn named(&self) -> Arc<Named> {
        Arc::clone(&self.0.now.read())
    }
}

/// Tables that some series has rows in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    pub(crate) five_minutes: bool,
    pub(crate) raw: bool,
}

impl Tables {
    fn of(tiers: &[Tier]) -> Self {
        let has = |tier| tiers.contains(&tier);
        Self { five_minutes: has(Tier::FiveMinutes), raw: has(Tier::Raw) }
    }

    const fn and(self, other: Self) -> Self {
        Self { five_minutes: self.five_minutes || other.five_minutes, raw: self.raw || other.raw }
    }

    /// As tables of the history.
    pub(crate) fn tiers(self) -> impl Iterator<Item = Tier> {
        let all = [(self.five_minutes, Tier::FiveMinutes), (self.raw, Tier::Raw)];
        all.into_iter().filter(|(has, _)| *has).map(|(_, tier)| tier)
    }
}

/// Matchers that a series has to satisfy all of, and the tables that it has rows in then.
type Set = (Vec<Matcher>, Tables);

/// The series that policies name, found by their labels: there may be thousands of sets of matchers, and each series
/// of a day is asked for.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Sets that demand a value of a label, by label and value.
    by_label: HashMap<String, HashMap<String, Vec<Set>>>,
    /// Others.
    rest: Vec<Set>,
    /// Tables by the metric that sets demand.
    metrics: HashMap<String, Tables>,
    /// Matchers of the metric of other sets.
    of_metrics: Vec<Set>,
    /// Tables of all.
    tables: Tables,
}

impl Named {
    fn new(fixed: &[Policy], others: &[Policy]) -> Self {
        let policies = || fixed.iter().chain(others);
        let sets = policies().flat_map(|policy| {
            policy.series.iter().map(|set| (set.as_slice(), Tables::of(&policy.tables)))
        });
        let sets: Vec<(&[Matcher], Tables)> = sets.collect();
        let mut shared: HashMap<(&str, &str), usize> = HashMap::new();
        for matcher in sets.iter().flat_map(|(set, _)| demands(set)) {
            *shared.entry((&matcher.name, &matcher.value)).or_default() += 1;
        }
        let mut this = Self::default();
        for (set, tables) in sets {
            this.tables = this.tables.and(tables);
            match demands(set).find(|matcher| matcher.name == METRIC_NAME) {
                Some(name) => {
                    let told = this.metrics.entry(name.value.clone()).or_default();
                    *told = told.and(tables);
                }
                None => {
                    let of_metric = set.iter().filter(|matcher| matcher.name == METRIC_NAME);
                    this.of_metrics.push((of_metric.cloned().collect(), tables));
                }
            }
            // What the fewest demand is what tells sets apart.
            let rarest = demands(set).min_by_key(|matcher| {
                shared.get(&(matcher.name.as_str(), matcher.value.as_str())).copied()
            });
            let sets = match rarest {
                Some(Matcher { name, value, .. }) => {
                    let values = this.by_label.entry(name.clone()).or_default();
                    values.entry(value.clone()).or_default()
                }
                None => &mut this.rest,
            };
            sets.push((set.to_vec(), tables));
        }
        this
    }

    /// Tables of a series.
    pub(crate) fn of_series(&self, labels: &Labels) -> Tables {
        let by_label =
            labels.iter().filter_map(|(name, value)| self.by_label.get(name)?.get(value));
        let mut tables = Tables::default();
        for (set, own) in by_label.flatten().chain(&self.rest) {
            let all = || set.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)));
            if tables.and(*own) != tables && all() {
                tables = tables.and(*own);
            }
        }
        tables
    }

    /// Those that some series of a metric may have.
    pub(crate) fn of_metric(&self, metric: &str) -> Tables {
        let named = self.metrics.get(metric).copied().unwrap_or_default();
        let others = self.of_metrics.iter();
        let others = others.filter(|(set, _)| set.iter().all(|matcher| matcher.matches(metric)));
        others.fold(named, |tables, (_, own)| tables.and(*own))
    }

    /// Those that some series may have.
    pub(crate) const fn tables(&self) -> Tables {
        self.tables
    }
}

/// What a series must have for certain.
fn demands(set: &[Matcher]) -> impl Iterator<Item = &Matcher> {
    set.iter().filter(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn policy(series: Vec<Vec<Matcher>>, tables: &[Tier]) -> Policy {
        Policy { series, tables: tables.to_vec() }
    }

    const BOTH: Tables = Tables { five_minutes: true, raw: true };

    #[test]
    fn policies_add_up() {
        let policies = Policies::new(vec![
            policy(
                vec![
                    vec![Matcher::equal(METRIC_NAME, "up"), Matcher::equal("job", "a")],
                    vec![Matcher::equal("job", "b")],
                ],
                &[Tier::FiveMinutes],
            ),
            policy(vec![vec![Matcher::equal("job", "a")]], &[Tier::Raw]),
        ]);
        let of = |metric, job| {
            let labels = Labels::from_pairs([(METRIC_NAME, metric), ("job", job)]);
            let tables = policies.named().of_series(&labels);
            (tables.five_minutes, tables.raw)
        };
        assert_eq!(of("up", "a"), (true, true));
        assert_eq!(of("down", "a"), (false, true));
        assert_eq!(of("down", "b"), (true, false));
        assert_eq!(of("up", "c"), (false, false));
        assert_eq!(policies.named().of_metric("down"), BOTH, "of job b and of job a");
        assert_eq!(Policies::default().named().of_metric("up"), Tables::default());
    }

    #[test]
    fn what_follows_takes_the_place_of_what_followed() {
        let job =
            |job: &str, tables: &[Tier]| policy(vec![vec![Matcher::equal("job", job)]], tables);
        let policies = Policies::new(vec![job("a", &[Tier::Raw])]);
        let copy = policies.clone();
        let of = |job| policies.named().of_series(&Labels::from_pairs([("job", job)]));
        let tables = |raw, five_minutes| Tables { five_minutes, raw };
        assert_eq!((of("a"), of("b")), (tables(true, false), tables(false, false)));
        copy.follow(&[job("a", &[Tier::FiveMinutes]), job("b", &[Tier::FiveMinutes])]);
        assert_eq!((of("a"), of("b")), (BOTH, tables(false, true)));
        assert_eq!(policies.named().tables(), BOTH);
        copy.follow(&[]);
        assert_eq!((of("a"), of("b")), (tables(true, false), tables(false, false)));
        assert_eq!(policies.named().tables(), tables(true, false));
    }

    /// A matcher of few names and values, so that many fit.
    fn matcher() -> impl Strategy<Value = Matcher> {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        (
            prop::sample::select(vec![METRIC_NAME, "a", "b"]),
            prop::sample::select(ops.to_vec()),
            0..4,
        )
            .prop_map(|(name, op, value)| {
                Matcher::new(name, op, ["", "x", "y", "x|y"][value as usize]).unwrap()
            })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_looking_at_all_finds(
            sets in prop::collection::vec((prop::collection::vec(matcher(), 1..4), any::<bool>()), 0..12),
        ) {
            let tables = |raw: bool| if raw { [Tier::Raw] } else { [Tier::FiveMinutes] };
            let policies: Vec<Policy> =
                sets.iter().map(|(set, raw)| policy(vec![set.clone()], &tables(*raw))).collect();
            let named = Policies::new(policies).named();
            let values = ["", "x", "y", "x|y"];
            for metric in values {
                let mut of_metric = Tables::default();
                for (a, b) in values.iter().flat_map(|a| values.map(|b| (*a, b))) {
                    let pairs = [(METRIC_NAME, metric), ("a", a), ("b", b)];
                    let labels = Labels::from_pairs(pairs.into_iter().filter(|pair| !pair.1.is_empty()));
                    let wanted = sets.iter().filter(|(set, _)| {
                        set.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
                    });
                    let wanted = wanted.fold(Tables::default(), |sum, (_, raw)| sum.and(Tables::of(&tables(*raw))));
                    prop_assert_eq!(named.of_series(&labels), wanted);
                    of_metric = of_metric.and(wanted);
                }
                // It may tell more: labels of one set may exclude each other.
                prop_assert_eq!(named.of_metric(metric).and(of_metric), named.of_metric(metric));
            }
        }
    }
}
