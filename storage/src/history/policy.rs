//! Which series have rows in tables that not every series has rows in.

use super::period::Tier;
use crate::model::{Labels, METRIC_NAME, Matcher};

/// Series, and the tables that they have rows in besides hours and days.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Series that satisfy all matchers of one of these.
    pub series: Vec<Vec<Matcher>>,
    /// Of [`Tier::BY_POLICY`].
    pub tables: Vec<Tier>,
}

impl Policy {
    fn names(&self, labels: &Labels) -> bool {
        let all = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get(&m.name)));
        self.series.iter().any(all)
    }

    /// Whether it may name a series of the metric.
    fn may_name(&self, metric: &str) -> bool {
        let all = |set: &Vec<Matcher>| {
            set.iter().filter(|m| m.name == METRIC_NAME).all(|m| m.matches(metric))
        };
        self.series.iter().any(all)
    }
}

/// Tables that some series has rows in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    pub(crate) five_minutes: bool,
    pub(crate) raw: bool,
}

impl Tables {
    fn of<'p>(policies: impl Iterator<Item = &'p Policy>) -> Self {
        let mut tables = Self::default();
        for tier in policies.flat_map(|policy| &policy.tables) {
            tables.raw |= *tier == Tier::Raw;
            tables.five_minutes |= *tier == Tier::FiveMinutes;
        }
        tables
    }

    /// Those of a series.
    pub(crate) fn of_series(policies: &[Policy], labels: &Labels) -> Self {
        Self::of(policies.iter().filter(|policy| policy.names(labels)))
    }

    /// Those that some series of a metric may have.
    pub(crate) fn of_metric(policies: &[Policy], metric: &str) -> Self {
        Self::of(policies.iter().filter(|policy| policy.may_name(metric)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_add_up() {
        let policies = [
            Policy {
                series: vec![
                    vec![Matcher::equal(METRIC_NAME, "up"), Matcher::equal("job", "a")],
                    vec![Matcher::equal("job", "b")],
                ],
                tables: vec![Tier::FiveMinutes],
            },
            Policy { series: vec![vec![Matcher::equal("job", "a")]], tables: vec![Tier::Raw] },
        ];
        let of = |metric, job| {
            let labels = Labels::from_pairs([(METRIC_NAME, metric), ("job", job)]);
            let tables = Tables::of_series(&policies, &labels);
            (tables.five_minutes, tables.raw)
        };
        assert_eq!(of("up", "a"), (true, true));
        assert_eq!(of("down", "a"), (false, true));
        assert_eq!(of("down", "b"), (true, false));
        assert_eq!(of("up", "c"), (false, false));
        let both = Tables { five_minutes: true, raw: true };
        assert_eq!(Tables::of_metric(&policies, "down"), both, "of job b and of job a");
        assert_eq!(Tables::of_metric(&policies[..0], "up"), Tables::default());
    }
}
