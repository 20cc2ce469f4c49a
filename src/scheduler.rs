//! The loops that keep the store in order: flush and retention in one thread, merging in another, rolling up in
//! a third. Publishing the history, where there is an object store, has a fourth; closing the statements of SLAs, where
//! objectives are defined, a fifth.

mod inputs;
mod memory;
mod publishing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nines_storage::{DbStats, Error, Store, give_free_memory_back};

use crate::clock::now_ms;
use crate::http::{App, StatementCloser};

use inputs::Inputs;
pub use memory::MemoryWatch;
use publishing::Publishing;

/// Pause between two rounds of flush and retention: what is written in between fills memory.
const MAINTAIN_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between two rounds of merging.
const MERGE_INTERVAL: Duration = Duration::from_secs(10);
/// Pause between two rounds of rolling up: days are due once, or when samples came late.
const ROLL_INTERVAL: Duration = Duration::from_secs(60);
/// Pause between two rounds of closing statements of SLAs: they are due days after their periods.
const CLOSE_INTERVAL: Duration = Duration::from_secs(60);

/// A running scheduler; it stops when this is dropped.
pub struct Scheduler {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    store: Arc<Store>,
    /// Breaks off what reads samples.
    halt: Arc<AtomicBool>,
}

impl Scheduler {
    /// Starts the threads: merging may take long, and flushes must not wait for it.
    pub fn start(app: Arc<App>, store: Arc<Store>) -> std::io::Result<Self> {
        let halt = Arc::new(AtomicBool::new(false));
        let mut scheduler = Self {
            stop: Vec::new(),
            threads: Vec::new(),
            store: Arc::clone(&store),
            halt: Arc::clone(&halt),
        };
        let mut inputs = Inputs::default();
        // Before the first day is rolled up.
        inputs.follow(&app, &store);
        let (own_app, own_store) = (Arc::clone(&app), Arc::clone(&store));
        scheduler.repeat("nines-maintain", MAINTAIN_INTERVAL, move |failing| {
            inputs.follow(&own_app, &own_store);
            maintain(&own_app, &own_store, failing)
        })?;
        let (own_app, own_store) = (Arc::clone(&app), Arc::clone(&store));
        scheduler.repeat("nines-merge", MERGE_INTERVAL, move |failing| {
            merge(&own_app, &own_store, failing)
        })?;
        let (own_app, own_store) = (Arc::clone(&app), Arc::clone(&store));
        scheduler.repeat("nines-rollup", ROLL_INTERVAL, move |failing| {
            roll(&own_app, &own_store, failing)
        })?;
        if app.config.slo.dir.is_some() {
            let mut closer = StatementCloser::new(halt);
            let (own_app, own_store) = (Arc::clone(&app), Arc::clone(&store));
            scheduler.repeat("nines-statements", CLOSE_INTERVAL, move |failing| {
                close_statements(&own_app, &own_store, &mut closer, failing)
            })?;
        }
        if app.config.history.url.is_some() {
            let mut publishing = Publishing::default();
            scheduler.spawn("nines-publish", move || publishing.round(&app, &store))?;
        }
        Ok(scheduler)
    }

    /// Runs `round` in a thread of its own until it stops. It is told whether it failed the last time.
    fn repeat(
        &mut self,
        name: &str,
        interval: Duration,
        mut round: impl FnMut(bool) -> bool + Send + 'static,
    ) -> std::io::Result<()> {
        let mut failing = None;
        self.spawn(name, move || {
            failing = failing.map(&mut round).or(Some(false));
            interval
        })
    }

    /// Runs `round` in a thread of its own until it stops, with the pauses that it answers.
    fn spawn(
        &mut self,
        name: &str,
        mut round: impl FnMut() -> Duration + Send + 'static,
    ) -> std::io::Result<()> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut pause = Duration::ZERO;
            while matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                pause = round();
            }
        })?;
        self.stop.push(stop);
        self.threads.push(thread);
        Ok(())
    }

    /// Stops and waits for the rounds that are running; a merge and the closing of statements are broken off.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.stop.clear();
        self.halt.store(true, Ordering::Relaxed);
        self.store.stop_moving();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.join();
    }
}

/// A round of flushes and retention; says whether it failed.
fn maintain(app: &App, store: &Store, was_failing: bool) -> bool {
    let (before, begun) = (totals(store), Instant::now());
    let result = store.maintain(now_ms());
    let after = totals(store);
    let flushes = after.flushes.saturating_sub(before.flushes);
    if flushes > 0 {
        give_free_memory_back();
        tracing::info!(
            flushes,
            blocks = after.blocks,
            block_bytes = after.block_bytes,
            wal_bytes = after.wal.bytes,
            seconds = format_args!("{:.3}", begun.elapsed().as_secs_f64()),
            "head flushed"
        );
    }
    let lost = after.duplicate_samples_dropped.saturating_sub(before.duplicate_samples_dropped);
    if lost > 0 {
        tracing::warn!(
            samples = lost,
            "dropped samples whose timestamp an earlier accepted sample has with another value"
        );
    }
    judge(app, "maintenance", result, was_failing)
}

/// A round of merges; says whether it failed.
fn merge(app: &App, store: &Store, was_failing: bool) -> bool {
    let (before, begun) = (totals(store), Instant::now());
    let result = store.merge(now_ms());
    let after = totals(store);
    let compactions = after.compactions.saturating_sub(before.compactions);
    if compactions > 0 {
        give_free_memory_back();
        tracing::info!(
            compactions,
            blocks = after.blocks,
            block_bytes = after.block_bytes,
            seconds = format_args!("{:.3}", begun.elapsed().as_secs_f64()),
            "blocks compacted"
        );
    }
    judge(app, "merging", result, was_failing)
}

/// A round of rolling up; says whether it failed.
fn roll(app: &App, store: &Store, was_failing: bool) -> bool {
    let (before, begun) = (totals(store), Instant::now());
    let result = store.roll(now_ms());
    let after = totals(store);
    let days = after.days_rolled_up.saturating_sub(before.days_rolled_up);
    if days > 0 {
        give_free_memory_back();
        tracing::info!(
            days,
            history_bytes = after.history_bytes,
            seconds = format_args!("{:.3}", begun.elapsed().as_secs_f64()),
            "days rolled up"
        );
    }
    judge(app, "rolling up", result, was_failing)
}

/// A round of closing statements; says whether it failed.
fn close_statements(
    app: &App,
    store: &Store,
    closer: &mut StatementCloser,
    was_failing: bool,
) -> bool {
    match closer.round(app, store) {
        Ok(()) => {
            if was_failing {
                tracing::info!("closing statements of SLAs works again");
            }
            false
        }
        Err(error) => {
            if !was_failing {
                tracing::error!(%error, "statements of SLAs could not be closed; it is tried again");
            }
            true
        }
    }
}

/// Whether a round failed. A failure that lasts is logged once; a merge that is broken off is none.
fn judge(app: &App, what: &str, result: Result<(), Error>, was_failing: bool) -> bool {
    match result {
        Ok(()) | Err(Error::Canceled) => {
            if was_failing {
                tracing::info!("{what} works again");
            }
            false
        }
        Err(error) => {
            app.telemetry.maintenance_failures.add(1);
            if !was_failing {
                let error = crate::http::error::with_causes(&error);
                tracing::error!(%error, "{what} failed and will be tried again; no sample is lost by it");
            }
            true
        }
    }
}

/// The numbers that a round changes, over all tenants.
fn totals(store: &Store) -> DbStats {
    store.tenants().iter().fold(DbStats::default(), |mut sum, (_, db)| {
        let stats = db.stats();
        sum.flushes += stats.flushes;
        sum.compactions += stats.compactions;
        sum.days_rolled_up += stats.days_rolled_up;
        sum.history_bytes += stats.history_bytes;
        sum.blocks += stats.blocks;
        sum.block_bytes += stats.block_bytes;
        sum.wal.bytes += stats.wal.bytes;
        sum.duplicate_samples_dropped += stats.duplicate_samples_dropped;
        sum
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_stop_breaks_off_what_is_running() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default();
        let store = Arc::new(Store::open(dir.path(), config.store_options(), &|_| {}).unwrap());
        let scheduler = Scheduler::start(App::new(config), store).unwrap();
        let halt = Arc::clone(&scheduler.halt);
        assert!(!halt.load(Ordering::Relaxed));
        scheduler.stop();
        assert!(halt.load(Ordering::Relaxed));
    }
}
