//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nines_storage::query::MemoryPool;
use nines_storage::{Db, ReplayProgress, Store};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::error::{ApiError, ApiResult};
use crate::clock::now_ms;
use crate::config::Config;
use crate::queries::Queries;
use crate::senders::Senders;
use crate::telemetry::Telemetry;

/// How far the server has come.
#[derive(Clone)]
pub enum Phase {
    /// The log is being replayed.
    Starting(ReplayProgress),
    /// Requests are served.
    Ready(Arc<Store>),
    /// No further requests.
    Stopping,
}

/// The state of the server.
pub struct App {
    /// Settings in force.
    pub config: Config,
    /// Counters.
    pub telemetry: Telemetry,
    /// Who writes.
    pub senders: Senders,
    /// Who asks.
    pub queries: Queries,
    /// Start of the process in milliseconds since the epoch.
    pub started_ms: i64,
    pub(super) cors: super::cors::Origins,
    pub(super) query_slots: Arc<Semaphore>,
    pub(super) write_slots: Arc<Semaphore>,
    pub(super) engine: super::evaluate::QueryEngine,
    /// Service level objectives.
    pub(crate) slo: super::slo::SloState,
    /// What running queries and unsent answers hold.
    pub query_memory: Arc<MemoryPool>,
    inflight_bytes: AtomicU64,
    memory_short: AtomicBool,
    phase: RwLock<Phase>,
}

impl App {
    /// The state of a server that is starting. The settings have been validated.
    #[must_use]
    pub fn new(config: Config) -> Arc<Self> {
        let progress = ReplayProgress { segments_total: 0, segments_done: 0, samples: 0 };
        Arc::new(Self {
            cors: super::cors::Origins::new(&config),
            query_slots: Arc::new(Semaphore::new(config.query.max_concurrency)),
            write_slots: Arc::new(Semaphore::new(config.write.max_concurrency)),
            engine: super::evaluate::QueryEngine::new(&config.query),
            telemetry: Telemetry::default(),
            senders: Senders::default(),
            queries: Queries::default(),
            started_ms: now_ms(),
            slo: super::slo::SloState::new(&config.slo),
            query_memory: MemoryPool::new(config.query.max_total_bytes),
            inflight_bytes: AtomicU64::new(0),
            memory_short: AtomicBool::new(false),
            phase: RwLock::new(Phase::Starting(progress)),
            config,
        })
    }

    /// Where the server is.
    pub fn phase(&self) -> Phase {
        self.phase.read().clone()
    }

    /// Moves on.
    pub fn set_phase(&self, phase: Phase) {
        *self.phase.write() = phase;
    }

    /// The store, once it is open.
    pub fn store(&self) -> ApiResult<Arc<Store>> {
        match &*self.phase.read() {
            Phase::Ready(store) => Ok(store.clone()),
            Phase::Starting(_) | Phase::Stopping => Err(ApiError::NotReady),
        }
    }

    /// The database of a tenant, if it has one.
    pub fn existing_db(&self, tenant: &str) -> ApiResult<Option<Arc<Db>>> {
        Ok(self.store()?.existing(tenant))
    }

    /// Bytes of write bodies that are held now.
    pub fn inflight_bytes(&self) -> u64 {
        self.inflight_bytes.load(Ordering::Relaxed)
    }

    /// Says whether memory is so short that writes are put off.
    pub fn set_memory_short(&self, short: bool) {
        self.memory_short.store(short, Ordering::Relaxed);
    }

    pub(super) fn memory_short(&self) -> bool {
        self.memory_short.load(Ordering::Relaxed)
    }

    /// Accounts for bytes of bodies; gives nothing back by itself.
    pub(super) fn hold_bytes(&self, n: u64) -> bool {
        let held = self.inflight_bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if held > self.config.write.max_inflight_bytes {
            self.inflight_bytes.fetch_sub(n, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(super) fn release_bytes(&self, n: u64) {
        self.inflight_bytes.fetch_sub(n, Ordering::Relaxed);
    }
}

/// A share of the bytes in flight, given back when dropped.
pub(super) struct HeldBytes(Arc<App>, u64);

impl HeldBytes {
    /// `None` when there are as many already as `write.max_inflight_bytes` allows.
    pub(super) fn take(app: &Arc<App>, n: u64) -> Option<Self> {
        app.hold_bytes(n).then(|| Self(Arc::clone(app), n))
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.0.release_bytes(self.1);
    }
}
