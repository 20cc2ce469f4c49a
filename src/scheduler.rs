//! The loop that keeps the store in order: flush, compaction, retention.

mod memory;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nines_storage::{DbStats, Store};

use crate::clock::now_ms;
use crate::http::App;

pub use memory::MemoryWatch;

/// Pause between two rounds.
const INTERVAL: Duration = Duration::from_secs(10);

/// A running scheduler; it stops when this is dropped.
#[derive(Debug)]
pub struct Scheduler {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scheduler {
    /// Starts the thread.
    pub fn start(app: Arc<App>, store: Arc<Store>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            std::thread::Builder::new().name("nines-maintain".to_owned()).spawn(move || {
                let mut failing = false;
                while matches!(stopped.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
                    failing = maintain(&app, &store, failing);
                }
            })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Stops and waits for the round that is running.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.join();
    }
}

/// One round; says whether it failed. A failure that lasts is logged once.
fn maintain(app: &App, store: &Store, was_failing: bool) -> bool {
    let before = totals(store);
    let begun = Instant::now();
    let result = store.maintain(now_ms());
    let after = totals(store);
    let (flushes, compactions) = (
        after.flushes - before.flushes.min(after.flushes),
        after.compactions - before.compactions.min(after.compactions),
    );
    if flushes + compactions > 0 {
        tracing::info!(
            flushes,
            compactions,
            blocks = after.blocks,
            block_bytes = after.block_bytes,
            wal_bytes = after.wal.bytes,
            seconds = format_args!("{:.3}", begun.elapsed().as_secs_f64()),
            "head flushed, blocks compacted"
        );
    }
    let lost = after.duplicate_samples_dropped.saturating_sub(before.duplicate_samples_dropped);
    if lost > 0 {
        tracing::warn!(
            samples = lost,
            "dropped samples whose timestamp an earlier accepted sample has with another value"
        );
    }
    match result {
        Ok(()) => {
            if was_failing {
                tracing::info!("maintenance works again");
            }
            false
        }
        Err(error) => {
            app.telemetry.maintenance_failures.add(1);
            if !was_failing {
                let error = crate::http::error::with_causes(&error);
                tracing::error!(%error, "maintenance failed and will be tried again; samples stay in the log until then");
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
        sum.blocks += stats.blocks;
        sum.block_bytes += stats.block_bytes;
        sum.wal.bytes += stats.wal.bytes;
        sum.duplicate_samples_dropped += stats.duplicate_samples_dropped;
        sum
    })
}
