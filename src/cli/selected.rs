//! Settings that select series by PromQL.

use std::collections::BTreeMap;

use nines_storage::StoreOptions;
use nines_storage::history::{Keep, Policies, Policy, Tier};
use nines_storage::model::Matcher;

use crate::config::{Config, ConfigError, PromDuration, Selectors};
use crate::promql::{REGEXES_MAX, parse_selector};

/// The options of the store, all of them.
pub(super) fn store_options(config: &Config) -> Result<StoreOptions, ConfigError> {
    let (mut options, mut policies) = (config.store_options(), Vec::new());
    for (i, policy) in config.history.policies.iter().enumerate() {
        let invalid = |problem: String| ConfigError::Value {
            setting: "history.policies",
            problem: format!("entry {}: {problem}", i + 1),
        };
        let series = matchers(&policy.series).map_err(invalid)?;
        if policy.tables.is_empty() && policy.keep.is_empty() {
            let problem = "it has neither tables nor keep; write for example tables: [raw] or keep: {rollup_1h: 2y}";
            return Err(invalid(problem.to_owned()));
        }
        if !policy.keep.is_empty() {
            let ages = ages(&policy.keep).map_err(|problem| invalid(format!("keep: {problem}")))?;
            options.history_keeps.push(Keep { series: Some(series.clone()), ages });
        }
        if !policy.tables.is_empty() {
            let tables = policy.tables.iter().map(|table| (*table).into()).collect();
            policies.push(Policy { series, tables });
        }
    }
    if !config.history.retention.is_empty() {
        let invalid = |problem| ConfigError::Value { setting: "history.retention", problem };
        let ages = ages(&config.history.retention).map_err(invalid)?;
        // Last: what a policy says comes before.
        options.history_keeps.push(Keep { series: None, ages });
    }
    options.history_policies = Policies::new(policies);
    Ok(options)
}

/// Ages at which rows go.
fn ages(keep: &BTreeMap<Tier, PromDuration>) -> Result<BTreeMap<Tier, Option<i64>>, String> {
    let age = |tier| {
        keep.get(&tier).map(|keep: &PromDuration| (!keep.0.is_zero()).then_some(keep.as_ms()))
    };
    let length = |tier| age(tier).map(|age| age.unwrap_or(i64::MAX));
    if let (Some(hours), Some(days)) = (length(Tier::Hour), length(Tier::Day))
        && hours > days
    {
        return Err(
            "rollup_1h is kept longer than rollup_1d: hours are found by their days, keep these as long".to_owned(),
        );
    }
    Ok(keep.keys().filter_map(|tier| Some((*tier, age(*tier)?))).collect())
}

fn matchers(selectors: &Selectors) -> Result<Vec<Vec<Matcher>>, String> {
    let (mut sets, mut regexes) = (Vec::new(), 0);
    for text in selectors.texts() {
        let set = parse_selector(text).map_err(|error| {
            format!(
                "match: {text} is not a series selector, {}; write for example '{{job=\"api\"}}' or 'http_requests_total'",
                error.render(text)
            )
        })?;
        regexes += set.iter().map(Matcher::cost).sum::<usize>();
        sets.push(set);
    }
    if sets.is_empty() {
        return Err("match is empty; write a series selector such as '{job=\"api\"}'".to_owned());
    }
    if regexes > REGEXES_MAX {
        return Err(format!(
            "match has more than {REGEXES_MAX} regular expressions, a fixed limit: join them with |"
        ));
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn options(policies: &str) -> Result<StoreOptions, String> {
        let config = Config::parse(&format!("history:\n  policies:\n{policies}"))?;
        assert_eq!(Config::parse(&config.effective_yaml()).unwrap(), config);
        store_options(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn policies_name_series_and_tables() {
        let read = options(
            "  - match: '{job=\"a\"}'\n    tables: [raw]\n  - match: [up, 'x{y=~\"z.*\"}']\n    tables: [rollup_5m, raw]\n",
        );
        let options = read.unwrap();
        let policies = options.history_policies.fixed();
        assert_eq!(policies.len(), 2);
        assert_eq!(policies[0].series, [vec![Matcher::equal("job", "a")]]);
        assert_eq!(policies[0].tables, [Tier::Raw]);
        assert_eq!((policies[1].series.len(), policies[1].series[1].len()), (2, 2));
        assert_eq!(policies[1].tables, [Tier::FiveMinutes, Tier::Raw]);
    }

    #[test]
    fn policies_and_retention_tell_how_long_rows_are_kept() {
        let text = "history:\n  retention: {raw: 30d, rollup_5m: 1y}\n  policies:\n  - match: up\n    keep: {rollup_1h: 90d, rollup_1d: 0s}\n  - {match: down, tables: [raw], keep: {raw: 0}}\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&config.effective_yaml()).unwrap(), config);
        let options = store_options(&config).unwrap();
        assert_eq!(options.history_policies.fixed().len(), 1);
        let days = |n: i64| Some(n * 86_400_000);
        let keeps: Vec<_> = options
            .history_keeps
            .iter()
            .map(|keep| (keep.series.is_some(), keep.ages.clone().into_iter().collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            keeps,
            [
                (true, vec![(Tier::Hour, days(90)), (Tier::Day, None)]),
                (true, vec![(Tier::Raw, None)]),
                (false, vec![(Tier::Raw, days(30)), (Tier::FiveMinutes, days(365))]),
            ]
        );
        for (text, told) in [
            (
                "  retention: {rollup_1h: 0, rollup_1d: 1y}\n",
                "history.retention: rollup_1h is kept longer",
            ),
            (
                "  policies:\n  - {match: up, keep: {rollup_1h: 2y, rollup_1d: 1y}}\n",
                "entry 1: keep: rollup_1h is",
            ),
        ] {
            let config = Config::parse(&format!("history:\n{text}")).unwrap();
            let error = store_options(&config).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        for text in ["  retention: {rollup_2h: 1y}\n", "  retention: {raw: 1 year}\n"] {
            assert!(Config::parse(&format!("history:\n{text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            (
                "  - match: 'up{'\n    tables: [raw]\n",
                "history.policies: entry 1: match: up{ is not a",
            ),
            ("  - match: []\n    tables: [raw]\n", "entry 1: match is empty"),
            (
                "  - match: up\n    tables: [raw]\n  - match: up\n    tables: []\n",
                "entry 2: it has neither tables nor keep",
            ),
            ("  - match: up\n    tables: [rollup_1h]\n", "`raw`"),
            ("  - match: up\n    tabels: [raw]\n", "line 4, column 5"),
        ] {
            let error = options(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
