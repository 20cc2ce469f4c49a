//! Settings that select series by PromQL.

use nines_storage::StoreOptions;
use nines_storage::history::Policy;
use nines_storage::model::Matcher;

use crate::config::{Config, ConfigError, Selectors};
use crate::promql::{REGEXES_MAX, parse_selector};

/// The options of the store, all of them.
pub(super) fn store_options(config: &Config) -> Result<StoreOptions, ConfigError> {
    let mut options = config.store_options();
    for (i, policy) in config.history.policies.iter().enumerate() {
        let invalid = |problem: String| ConfigError::Value {
            setting: "history.policies",
            problem: format!("entry {}: {problem}", i + 1),
        };
        let series = matchers(&policy.series).map_err(invalid)?;
        if policy.tables.is_empty() {
            return Err(invalid("tables is empty; write raw, rollup_5m or both".to_owned()));
        }
        let tables = policy.tables.iter().map(|table| (*table).into()).collect();
        options.history_policies.push(Policy { series, tables });
    }
    Ok(options)
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
    use nines_storage::history::Tier;

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
        let policies = read.unwrap().history_policies;
        assert_eq!(policies.len(), 2);
        assert_eq!(policies[0].series, [vec![Matcher::equal("job", "a")]]);
        assert_eq!(policies[0].tables, [Tier::Raw]);
        assert_eq!((policies[1].series.len(), policies[1].series[1].len()), (2, 2));
        assert_eq!(policies[1].tables, [Tier::FiveMinutes, Tier::Raw]);
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
                "entry 2: tables is empty",
            ),
            ("  - match: up\n    tables: [rollup_1h]\n", "`raw`"),
            ("  - match: up\n    tabels: [raw]\n", "line 4, column 5"),
        ] {
            let error = options(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
