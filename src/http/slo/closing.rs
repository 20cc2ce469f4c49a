//! Closes statements that are due, and restates closed ones whose data have changed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nines_storage::query::{Budget, BudgetLimits};
use nines_storage::{Db, Store};

use crate::clock::now_ms;
use crate::http::app::App;
use crate::slo::error::Result;
use crate::slo::sla::{Closer, Done};

/// See the module; it knows what it has looked at.
#[derive(Debug, Default)]
pub struct StatementCloser {
    closer: Closer,
}

impl StatementCloser {
    /// Looks at all SLAs of all tenants. One that fails does not keep the others from their turn; the first failure
    /// is answered.
    pub fn round(&mut self, app: &App, store: &Store) -> Result<()> {
        app.slo.record_definitions(now_ms());
        let snapshot = app.slo.snapshot();
        self.closer.begin();
        let mut first = Ok(());
        for sla in snapshot.definitions.slas.keys() {
            for (tenant, db) in store.tenants() {
                match self.look(app, (&tenant, &db), sla) {
                    Ok(Done { closed: 0, restated: 0 }) => {}
                    Ok(Done { closed, restated }) => {
                        tracing::info!(tenant, sla, closed, restated, "statements closed");
                    }
                    Err(error) => first = first.and(Err(error)),
                }
            }
        }
        first
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
        let never = Arc::new(AtomicBool::new(false));
        let budget = Budget::in_pool(limits, never, Arc::clone(&app.query_memory));
        let owner = (Some(&**db), tenant);
        app.slo.at_desk(owner, definitions, &budget, now_ms(), |desk| {
            let journal = || Ok(app.slo.journals()?.of(tenant)?);
            self.closer.look(desk, tenant, sla, since_ms, &journal)
        })
    }
}
