//! How long rows are kept: rows of a table, of all series or of some, go by their age.

use std::collections::BTreeMap;

use super::period::{Day, Month, Tier};
use crate::model::{Labels, Matcher};

/// For how long rows are kept. Of several that name a series and a table, the first one counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    /// Whose: series that satisfy all matchers of one of these. `None`: all.
    pub series: Option<Vec<Vec<Matcher>>>,
    /// Ages in milliseconds at which the rows of tables go; `None`: never.
    pub ages: BTreeMap<Tier, Option<i64>>,
}

impl Keep {
    fn names(&self, labels: &Labels) -> bool {
        let all = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get(&m.name)));
        self.series.as_ref().is_none_or(|sets| sets.iter().any(all))
    }
}

/// What goes of a day at some time. Rows of days go with their month, whether they lie together or not; rows of hours
/// go with that of their day at the latest, by which they are found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Going<'k> {
    keeps: &'k [Keep],
    /// Time since the end of the day.
    day_ms: i64,
    /// Time since the end of its month.
    month_ms: i64,
}

impl<'k> Going<'k> {
    pub(crate) const fn of(keeps: &'k [Keep], day: Day, now_ms: i64) -> Self {
        let day_ms = now_ms.saturating_sub(day.end_ms());
        let month_ms = now_ms.saturating_sub(Month::of(day).last().end_ms());
        Self { keeps, day_ms, month_ms }
    }

    /// The rules about a table, in their order, and whether each has its rows go.
    fn rules(&self, tier: Tier) -> impl Iterator<Item = (&'k Keep, bool)> + use<'k> {
        let age_ms = if tier == Tier::Day { self.month_ms } else { self.day_ms };
        let old = move |age: &Option<i64>| age.is_some_and(|age| age_ms >= age);
        self.keeps.iter().filter_map(move |keep| Some((keep, old(keep.ages.get(&tier)?))))
    }

    /// How many rules have rows go: with age they become more.
    pub(crate) fn n_rules(&self) -> usize {
        let n = |tier: &Tier| self.rules(*tier).filter(|(_, goes)| *goes).count();
        Tier::ALL.iter().map(n).sum()
    }

    /// Whether all rows of a table go, as far as can be said without looking at them.
    pub(crate) fn all(&self, tier: Tier) -> bool {
        let mut rules = self.rules(tier);
        let own = rules.find(|(keep, goes)| !*goes || keep.series.is_none());
        own.is_some_and(|(_, goes)| goes) || (tier == Tier::Hour && self.all(Tier::Day))
    }

    /// Whether rows of some series of a table may go.
    pub(crate) fn some(&self, tier: Tier) -> bool {
        self.rules(tier).any(|(_, goes)| goes) || (tier == Tier::Hour && self.some(Tier::Day))
    }

    /// Whether the rows of a series go from a table.
    pub(crate) fn takes(&self, tier: Tier, labels: &Labels) -> bool {
        if !self.some(tier) {
            return false;
        }
        let own = self.rules(tier).find(|(keep, _)| keep.names(labels));
        own.is_some_and(|(_, goes)| goes) || (tier == Tier::Hour && self.takes(Tier::Day, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DAY_MS;

    fn keep(job: Option<&str>, ages: &[(Tier, i64)]) -> Keep {
        let series = job.map(|job| vec![vec![Matcher::equal("job", job)]]);
        let age = |days: i64| (days > 0).then_some(days * DAY_MS);
        Keep { series, ages: ages.iter().map(|(tier, days)| (*tier, age(*days))).collect() }
    }

    /// Series of the jobs a, b and c whose rows go, and what is known of all.
    fn going(keeps: &[Keep], days: i64, tier: Tier) -> (String, bool, bool) {
        let going = Going::of(keeps, Day(0), Day(0).end_ms() + days * DAY_MS);
        let takes = |job: &&str| going.takes(tier, &Labels::from_pairs([("job", *job)]));
        let taken: String = ["a", "b", "c"].into_iter().filter(takes).collect();
        (taken, going.some(tier), going.all(tier))
    }

    fn told(taken: &str, some: bool, all: bool) -> (String, bool, bool) {
        (taken.to_owned(), some, all)
    }

    #[test]
    fn the_first_rule_that_names_a_series_counts() {
        let keeps = [
            keep(Some("a"), &[(Tier::Raw, 9), (Tier::Hour, 0)]),
            keep(Some("b"), &[(Tier::Raw, 2)]),
            keep(Some("b"), &[(Tier::Raw, 1)]),
            keep(None, &[(Tier::Raw, 5), (Tier::Hour, 7)]),
        ];
        assert_eq!(going(&keeps, 1, Tier::Raw), told("", true, false));
        assert_eq!(going(&keeps, 2, Tier::Raw), told("b", true, false));
        assert_eq!(going(&keeps, 5, Tier::Raw), told("bc", true, false));
        assert_eq!(going(&keeps, 9, Tier::Raw), told("abc", true, true));
        assert_eq!(going(&keeps, 99, Tier::Hour), told("bc", true, false), "of a for ever");
        assert_eq!(going(&keeps, 99, Tier::Series), told("", false, false), "no rule");
        assert_eq!(going(&[], 99, Tier::Hour), told("", false, false));
        let n = |days| Going::of(&keeps, Day(0), Day(0).end_ms() + days * DAY_MS).n_rules();
        assert_eq!([n(0), n(1), n(2), n(5), n(7), n(9)], [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn days_go_by_months_and_hours_with_them() {
        let keeps = [keep(None, &[(Tier::Day, 10), (Tier::Hour, 0)])];
        // The month of the first day of 1970 ends with its 30th.
        for tier in Tier::OF_ALL_SERIES {
            assert_eq!(going(&keeps, 38, tier), told("", false, false));
            assert_eq!(going(&keeps, 39, tier), told("abc", true, true));
        }
        let keeps = [keep(None, &[(Tier::Day, 10), (Tier::Hour, 3)])];
        assert_eq!(going(&keeps, 3, Tier::Hour), told("abc", true, true));
        assert_eq!(going(&keeps, 3, Tier::Day), told("", false, false));
    }
}
