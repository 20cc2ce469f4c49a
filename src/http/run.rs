//! Running a read on a blocking thread: a slot, a budget, a flag that stops it when its client goes away, and an
//! account of what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nines_storage::query::{Budget, BudgetLimits, BudgetUsage};

use super::app::App;
use super::error::{ApiError, ApiResult, ErrorKind};
use crate::clock::now_ms;
use crate::queries::{Active, Asked, Cost, Outcome};

/// Sets the flag when dropped: the future of a request is dropped when its connection closes.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The place of a query on the list, from its arrival to its end. Dropped before its end, it was given up in the
/// queue, or its thread has died.
struct Ticket {
    app: Arc<App>,
    active: Arc<Active>,
    /// How long it waited, once it runs.
    waited: Option<Duration>,
    outcome: Option<Outcome>,
}

impl Ticket {
    fn new(app: &Arc<App>, asked: Asked) -> Self {
        let active = app.queries.begin(asked, now_ms());
        Self { app: app.clone(), active, waited: None, outcome: None }
    }

    fn run(&mut self, waited: Duration, budget: Arc<Budget>) {
        self.waited = Some(waited);
        self.active.run(budget);
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let given_up = if self.waited.is_none() { Outcome::Canceled } else { Outcome::Error };
        let outcome = self.outcome.unwrap_or(given_up);
        let duration = self.active.elapsed();
        let usage = self.active.usage().unwrap_or_default();
        let cost = Cost { outcome, duration, queued: self.waited.unwrap_or(duration), usage };
        self.app.queries.end(&self.active, &cost, now_ms());
        let telemetry = &self.app.telemetry;
        telemetry.count_query(self.active.asked.kind, outcome.as_str());
        telemetry.query_durations.observe(duration);
        telemetry.query_queue_ns.add_duration(cost.queued);
        telemetry.query_samples.add(usage.samples_read);
        let threshold = self.app.config.query.slow_log_threshold.0;
        if !threshold.is_zero() && duration >= threshold {
            telemetry.slow_queries.add(1);
            log_slow(&self.active.asked, &cost);
        }
    }
}

/// One line about a query that took long.
fn log_slow(asked: &Asked, cost: &Cost) {
    let Cost { outcome, duration, queued, usage } = cost;
    let BudgetUsage { samples_read, samples_touched, samples_peak, series, bytes_peak, .. } = usage;
    let by = &asked.caller;
    tracing::warn!(
        kind = asked.kind,
        query = asked.text,
        start_ms = asked.range_ms.map(|range| range.0),
        end_ms = asked.range_ms.map(|range| range.1),
        step_ms = asked.step_ms,
        outcome = outcome.as_str(),
        limit = usage.limit,
        duration_s = duration.as_secs_f64(),
        queued_s = queued.as_secs_f64(),
        samples_touched,
        samples_read,
        samples_peak,
        series,
        bytes_peak,
        tenant = asked.tenant,
        remote_addr = by.address,
        forwarded_for = by.forwarded_for,
        user_agent = by.user_agent,
        grafana_user = by.grafana_user,
        grafana_org_id = by.grafana_org_id,
        datasource_uid = by.datasource_uid,
        dashboard_uid = by.dashboard_uid,
        dashboard_title = by.dashboard_title,
        panel_id = by.panel_id,
        panel_title = by.panel_title,
        rule_uid = by.rule_uid,
        rule_name = by.rule_name,
        "slow query"
    );
}

fn outcome_of<T>(answer: &ApiResult<T>, usage: &BudgetUsage) -> Outcome {
    match answer {
        Ok(_) => Outcome::Ok,
        Err(ApiError::Kind(ErrorKind::Timeout, _)) => Outcome::Timeout,
        Err(ApiError::Kind(ErrorKind::Canceled, _)) => Outcome::Canceled,
        Err(_) if usage.limit.is_some() => Outcome::Limit,
        Err(_) => Outcome::Error,
    }
}

/// Waits for a query slot, then runs `work` on a blocking thread with a budget. `work` is told how long it
/// waited. `timeout` shortens the configured one and includes the waiting.
pub(super) async fn run<T: Send + 'static>(
    app: &Arc<App>,
    asked: Asked,
    timeout: Option<Duration>,
    work: impl FnOnce(&App, &Budget, Duration) -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let mut ticket = Ticket::new(app, asked);
    let begun = Instant::now();
    let query = &app.config.query;
    let timeout = timeout.map_or(query.timeout.0, |asked| asked.min(query.timeout.0));
    let slots = app.query_slots.clone();
    let slot = match tokio::time::timeout(timeout, slots.acquire_owned()).await {
        Ok(Ok(slot)) => slot,
        Ok(Err(_)) => return Err(ApiError::NotReady),
        Err(_) => {
            ticket.end(Outcome::Timeout);
            let text = format!(
                "query timed out in query queue: {} queries are running, as many as --query.max-concurrency allows; /queries shows them",
                query.max_concurrency
            );
            return Err(ApiError::Kind(ErrorKind::Timeout, text));
        }
    };
    let waited = begun.elapsed();
    let canceled = Arc::new(AtomicBool::new(false));
    let stop = StopOnDrop(canceled.clone());
    let limits = BudgetLimits {
        samples_max: query.max_samples,
        series_max: query.max_series,
        bytes_max: query.max_bytes,
        timeout: timeout.saturating_sub(waited),
    };
    let shared = app.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let budget = Arc::new(Budget::in_pool(limits, canceled, shared.query_memory.clone()));
        ticket.run(waited, Arc::clone(&budget));
        let answer = work(&shared, &budget, waited);
        ticket.end(outcome_of(&answer, &budget.usage()));
        answer
    })
    .await;
    drop(stop);
    answer.unwrap_or_else(|join| {
        tracing::error!(error = %join, "a query panicked; this is a fault of nines");
        Err(ApiError::internal("the query met a fault of nines; its log tells more"))
    })
}
