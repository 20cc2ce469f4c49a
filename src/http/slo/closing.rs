//! Closes statements that are due, and restates closed ones whose data have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nines_storage::query::{Budget, BudgetLimits};
use nines_storage::{Db, Error, Store};

use crate::clock::now_ms;
use crate::http::app::App;
use crate::slo::error::{Result, SloError};
use crate::slo::sla::{Closer, Done};

/// See the module; it knows what it has looked at.
#[derive(Debug)]
pub struct StatementCloser {
    closer: Closer,
    stop: Arc<AtomicBool>,
}

impl StatementCloser {
    /// One whose rounds are broken off once `stop` is set.
    #[must_use]
    pub fn new(stop: Arc<AtomicBool>) -> Self {
        Self { closer: Closer::default(), stop }
    }

    /// Looks at all SLAs of all tenants. One that fails does not keep the others from their turn; a failure is
    /// answered until what failed works.
    pub fn round(&mut self, app: &App, store: &Store) -> std::result::Result<(), String> {
        app.slo.record_definitions(now_ms());
        let snapshot = app.slo.snapshot();
        self.closer.begin(now_ms());
        let mut first = None;
        for sla in snapshot.definitions.slas.keys() {
            for (tenant, db) in store.tenants() {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match self.look(app, (&tenant, &db), sla) {
                    Ok(Done { closed: 0, restated: 0 }) => {}
                    Ok(Done { closed, restated }) => {
                        tracing::info!(tenant, sla, closed, restated, "statements closed");
                    }
                    Err(SloError::Storage(Error::Canceled)) => return Ok(()),
                    Err(error) => {
                        let text = || format!("SLA {sla:?}, tenant {tenant:?}: {error}");
                        first.get_or_insert_with(text);
                    }
                }
            }
        }
        first.or_else(|| self.closer.failing()).map_or(Ok(()), Err)
    }

    fn look(&mut self, app: &App, (tenant, db): (&str, &Arc<Db>), sla: &str) -> Result<Done> {
        let snapshot = app.slo.snapshot();
        let definitions = &snapshot.definitions;
        let Some(sla) = definitions.slas.get(sla) else { return Ok(Done::default()) };
        let book = app.slo.journals()?.definitions()?.book();
        let known = book.definitions.get(&("SLA".to_owned(), sla.name.clone()));
        let since_ms = known.map(|known| known.since_ms);
        let query = &app.config.query;
        let limits = BudgetLimits {
            samples_max: query.max_samples,
            series_max: query.max_series,
            bytes_max: query.max_bytes,
            timeout: query.timeout.0,
        };
        let stop = &self.stop;
        let budget = || Budget::in_pool(limits, Arc::clone(stop), Arc::clone(&app.query_memory));
        let closer = &mut self.closer;
        let journal = app.slo.journals()?.of(tenant)?;
        let owner = (Some(&**db), tenant);
        app.slo.at_desk(owner, definitions, &budget(), now_ms(), |desk| {
            closer.look(desk, tenant, sla, since_ms, &journal, &budget)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nines_storage::model::{DAY_MS, Labels};

    use super::*;
    use crate::config::Config;

    const DEFINITIONS: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: probe}
spec:
  service: edge
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: probe-sli}
    spec: {thresholdMetric: {metricSource: {type: nines, spec: {query: up}}}}
  objectives: [{op: gte, value: 1, target: 0.9, timeSliceWindow: 1h, timeSliceTarget: 1.0}]
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: soon}
spec: {slo: probe, scope: pooled, target: 0.9, window: {duration: 1d, timeZone: UTC}, closeAfter: 1h}
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: later}
spec: {slo: probe, scope: pooled, target: 0.9, window: {duration: 1d, timeZone: UTC}, closeAfter: 30d}
";

    /// A server over definitions, with samples of the day before yesterday.
    fn server(dir: &std::path::Path) -> (Arc<App>, Store) {
        std::fs::create_dir(dir.join("slo")).unwrap();
        std::fs::write(dir.join("slo/all.yaml"), DEFINITIONS).unwrap();
        let (config, data) = (Config::default(), dir.join("data"));
        let store = Store::open(&data, config.store_options(), &|_| {}).unwrap();
        let app = App::new(config);
        app.slo.open(&dir.join("slo")).unwrap();
        app.slo.open_journals(&data, now_ms()).unwrap();
        let db = store.db("anonymous").unwrap();
        let labels = Labels::from_pairs([("__name__", "up")]);
        let mut appender = db.appender();
        let series = appender.resolve(db.series_key(labels.as_bytes()), &labels).unwrap();
        let day = now_ms().div_euclid(DAY_MS) - 2;
        for ts in (day * DAY_MS + 1..(day + 1) * DAY_MS).step_by(600_000) {
            appender.sample(series, ts, 1.0, 0);
        }
        appender.commit(now_ms()).unwrap();
        (app, store)
    }

    fn closed(app: &App) -> Vec<(String, String)> {
        let journal = app.slo.journal("anonymous").unwrap();
        let book = journal.map(|journal| journal.book()).unwrap_or_default();
        let authors = book.entries.iter().map(|entry| entry.author.clone());
        authors.zip(book.statements.keys().map(|key| key.0.clone())).collect()
    }

    #[test]
    fn a_statement_closes_by_itself_when_its_time_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let (app, store) = server(dir.path());
        let mut closer = StatementCloser::new(Arc::default());
        for _ in 0..2 {
            closer.round(&app, &store).unwrap();
            assert_eq!(closed(&app), [("nines".to_owned(), "soon".to_owned())]);
        }
    }

    #[test]
    fn a_round_is_broken_off_by_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let (app, store) = server(dir.path());
        let stop = Arc::new(AtomicBool::new(true));
        let mut closer = StatementCloser::new(Arc::clone(&stop));
        closer.round(&app, &store).unwrap();
        // In the middle of an SLA as well.
        let db = store.db("anonymous").unwrap();
        let error = closer.look(&app, ("anonymous", &db), "soon").unwrap_err();
        assert!(matches!(error, SloError::Storage(Error::Canceled)), "{error}");
        assert_eq!((closed(&app), closer.closer.failing()), (Vec::new(), None));
        stop.store(false, Ordering::Relaxed);
        closer.round(&app, &store).unwrap();
        assert_eq!(closed(&app).len(), 1);
    }
}
