//! The inputs of the SLOs in force have rows in further tables of the history: the policies of the store follow the
//! definitions.

use nines_storage::Store;

use crate::http::App;
use crate::slo::define::inputs_policy;

/// What the store was told.
#[derive(Default)]
pub(super) struct Inputs {
    generation: u64,
}

impl Inputs {
    /// Tells the store what is defined by now, unless it knows.
    pub(super) fn follow(&mut self, app: &App, store: &Store) {
        let snapshot = app.slo.snapshot();
        if snapshot.generation == self.generation {
            return;
        }
        let policy = inputs_policy(&snapshot.definitions, &app.config.history.slo_inputs);
        store.options().history_policies.follow(policy.as_slice());
        self.generation = snapshot.generation;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use nines_storage::history::Tier;
    use nines_storage::model::Labels;

    use super::*;
    use crate::config::{Config, PolicyTable};

    const DAY_MS: i64 = 86_400_000;
    /// 2023-11-14T00:00:00Z.
    const START_MS: i64 = 1_699_920_000_000;

    fn definition(bad: &str, total: &str) -> String {
        let source =
            |query| format!("{{metricSource: {{type: nines, spec: {{query: '{query}'}}}}}}");
        let (bad, total) = (source(bad), source(total));
        format!(
            "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: a}}\nspec:\n  service: s\n  budgetingMethod: Occurrences\n  timeWindow: [{{duration: 30d, isRolling: true}}]\n  indicator: {{metadata: {{name: i}}, spec: {{ratioMetric: {{counter: true, bad: {bad}, total: {total}}}}}}}\n  objectives: [{{target: 0.9}}]\n"
        )
    }

    /// Metrics of a day that have rows in a table.
    fn metrics(store: &Store, day: i64, tier: Tier) -> BTreeSet<String> {
        let db = store.db("anonymous").unwrap();
        let history = db.history().unwrap();
        let (day, state) = (nines_storage::history::Day(day), history.state());
        let built = &state.days[&day.0];
        let mut found = BTreeSet::new();
        for file in built.files.iter().filter(|file| file.tier == tier) {
            let opened = history.read(day, built, file).unwrap();
            if tier == Tier::Raw {
                let mut show = |group: Vec<nines_storage::history::SeriesSamples>| {
                    found.extend(group.iter().map(|one| one.labels.metric_name().to_owned()));
                };
                opened.read_samples(&mut show).unwrap();
                continue;
            }
            for group in 0..opened.n_groups() {
                let series = opened.read_group(group).unwrap();
                found.extend(series.iter().map(|one| one.labels.metric_name().to_owned()));
            }
        }
        found
    }

    /// Rolls up a day of three metrics. Which of them have rows of five minutes.
    fn roll(store: &Store, n: i64) -> (i64, Vec<String>) {
        let start_ms = START_MS + n * DAY_MS;
        let db = store.db("anonymous").unwrap();
        let mut appender = db.appender();
        for metric in ["a_total", "b_total", "c_total"] {
            let labels = Labels::from_pairs([("__name__", metric)]);
            let series = appender.resolve(db.series_key(labels.as_bytes()), &labels).unwrap();
            appender.sample(series, start_ms + 60_000, 1.0, 0);
        }
        appender.commit(start_ms + DAY_MS).unwrap();
        db.roll_all(start_ms + DAY_MS + DAY_MS / 2).unwrap();
        let day = start_ms / DAY_MS;
        (day, metrics(store, day, Tier::FiveMinutes).into_iter().collect())
    }

    #[test]
    fn days_have_rows_of_what_slos_are_counted_from_when_they_are_rolled_up() {
        let dir = tempfile::tempdir().unwrap();
        let (data, slo) = (dir.path().join("data"), dir.path().join("slo"));
        std::fs::create_dir(&slo).unwrap();
        let mut config = Config::default();
        config.slo.dir = Some(slo.clone());
        let store = Arc::new(Store::open(&data, config.store_options(), &|_| {}).unwrap());
        assert_eq!(config.history.slo_inputs, [PolicyTable::FiveMinutes], "by default");
        let app = App::new(config);
        let registry = app.slo.open(&slo).unwrap();
        let mut inputs = Inputs::default();
        inputs.follow(&app, &store);
        let (first, named) = roll(&store, 0);
        assert_eq!(named, [""; 0]);

        std::fs::write(slo.join("a.yaml"), definition("a_total", "b_total")).unwrap();
        registry.reload().unwrap();
        inputs.follow(&app, &store);
        assert_eq!(roll(&store, 1).1, ["a_total", "b_total"]);
        assert_eq!(metrics(&store, first, Tier::FiveMinutes).len(), 0, "it was rolled up before");
        assert_eq!(metrics(&store, first, Tier::Hour).len(), 3);

        std::fs::write(slo.join("a.yaml"), definition("c_total{x=\"\"}", "b_total")).unwrap();
        registry.reload().unwrap();
        inputs.follow(&app, &store);
        let (day, named) = roll(&store, 2);
        assert_eq!(named, ["b_total", "c_total"]);
        assert_eq!(metrics(&store, day, Tier::Raw).len(), 0);

        std::fs::remove_file(slo.join("a.yaml")).unwrap();
        registry.reload().unwrap();
        inputs.follow(&app, &store);
        assert_eq!(roll(&store, 3).1, [""; 0]);
    }
}
