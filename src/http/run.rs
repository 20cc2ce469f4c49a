//! Running a read on a blocking thread: a slot, a budget, and a flag that stops it when its client goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nines_storage::query::{Budget, BudgetLimits};

use super::app::App;
use super::error::{ApiError, ApiResult, ErrorKind};

/// Sets the flag when dropped: the future of a request is dropped when its connection closes.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a query slot, then runs `work` on a blocking thread with a budget. `work` is told how long it
/// waited. `timeout` shortens the configured one and includes the waiting.
pub(super) async fn run<T: Send + 'static>(
    app: &Arc<App>,
    timeout: Option<Duration>,
    work: impl FnOnce(&App, &Budget, Duration) -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let begun = Instant::now();
    let query = &app.config.query;
    let timeout = timeout.map_or(query.timeout.0, |asked| asked.min(query.timeout.0));
    let slots = app.query_slots.clone();
    let slot = match tokio::time::timeout(timeout, slots.acquire_owned()).await {
        Ok(Ok(slot)) => slot,
        Ok(Err(_)) => return Err(ApiError::NotReady),
        Err(_) => {
            let text =
                "query timed out in query queue: --query.max-concurrency queries are running";
            return Err(ApiError::Kind(ErrorKind::Timeout, text.to_owned()));
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
        let budget = Budget::in_pool(limits, canceled, shared.query_memory.clone());
        let answer = work(&shared, &budget, waited);
        shared.telemetry.query_samples.add(budget.samples_read());
        answer
    })
    .await;
    drop(stop);
    app.telemetry.queries.add(1);
    app.telemetry.query_ns.add_duration(begun.elapsed());
    let answer = answer.unwrap_or_else(|join| {
        tracing::error!(error = %join, "a query panicked; this is a fault of nines");
        Err(ApiError::internal("the query met a fault of nines; its log tells more"))
    });
    if answer.is_err() {
        app.telemetry.query_failures.add(1);
    }
    answer
}
