//! How a store is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::history::{Keep, Objects, Policies};
use crate::wal::{SEGMENT_BYTES, WalSync};

/// Labels that make up a target unless set otherwise: what identifies a scrape, and what servers commonly
/// add for themselves.
pub const TARGET_LABELS: [&str; 12] = [
    "__replica__",
    "cluster",
    "datacenter",
    "environment",
    "instance",
    "job",
    "monitor",
    "prometheus",
    "prometheus_replica",
    "region",
    "replica",
    "zone",
];

/// Bytes of opened history that are kept unless set otherwise. Ten years of days of a thousand series take 166 MB.
const ROWS_KEPT_BYTES: u64 = 384 << 20;

/// Settings of a [`Store`](crate::Store).
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// When an append answers.
    pub wal_sync: WalSync,
    /// How long samples are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// How far ahead of the clock a sample may be.
    pub future_max: Duration,
    /// Most series in one tenant's head.
    pub series_max: u64,
    /// Most tenants.
    pub tenants_max: usize,
    /// Most exemplars kept of one tenant.
    pub exemplars_max: usize,
    /// Labels that make up a target: series with the same ones share their timestamps.
    pub target_labels: Vec<String>,
    /// How long samples stay in the head before a flush writes them to a block.
    pub flush_interval: Duration,
    /// Size of the log at which a flush does not wait for the interval; many series raise it.
    pub wal_bytes_max: u64,
    /// Length of one segment of the log; reserved on the disk as a whole.
    pub wal_segment_bytes: u64,
    /// Bytes of opened history that are kept for the next query, of all tenants.
    pub rows_kept_bytes: u64,
    /// Series with rows in further tables of the history. Others may follow while the store is open.
    pub history_policies: Policies,
    /// How long rows of the history are kept, the first rule that names series and table; for ever without one.
    pub history_keeps: Vec<Keep>,
    /// The object store that the history is published to, if there is one.
    pub objects: Option<Arc<dyn Objects>>,
    /// Bytes of the history's files that one tenant keeps here once the object store has them; `None`: all.
    pub history_kept_max: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            wal_sync: WalSync::Always,
            retention: None,
            future_max: Duration::from_secs(600),
            series_max: 100_000_000,
            tenants_max: 1000,
            exemplars_max: 100_000,
            target_labels: TARGET_LABELS.map(str::to_owned).to_vec(),
            flush_interval: Duration::from_secs(30 * 60),
            wal_bytes_max: 1 << 30,
            wal_segment_bytes: SEGMENT_BYTES,
            rows_kept_bytes: ROWS_KEPT_BYTES,
            history_policies: Policies::default(),
            history_keeps: Vec::new(),
            objects: None,
            history_kept_max: None,
        }
    }
}
