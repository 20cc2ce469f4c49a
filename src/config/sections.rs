//! The sections of the file and their defaults.

use std::path::PathBuf;

use nines_storage::StoreOptions;
use serde::{Deserialize, Serialize};

use super::memory::usable_bytes;
use super::{PromDuration, Retention, Sync};

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// `address:port` to listen on.
    pub listen: String,
    /// Address under which browsers and alerts reach this server.
    pub external_url: Option<String>,
    /// Regular expression of the origins whose pages may use this server; anchored at both ends. Empty: none. Not
    /// set: all may read, none but the own may write.
    pub cors_origin: Option<String>,
    /// Whether series may be deleted over HTTP.
    pub enable_admin_api: bool,
    /// Whether an address that other machines can reach is accepted although there is no authentication.
    pub insecure_public: bool,
    /// Most open connections.
    pub max_connections: usize,
    /// How long running requests may take after a stop signal.
    pub drain_timeout: PromDuration,
}

/// Limits of the memory of the process, by default shares of what the machine or the control group has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Bytes at which writes are put off.
    pub max_bytes: u64,
    /// Bytes at which new series are refused; what running queries hold is not counted.
    pub max_series_bytes: u64,
    /// Bytes of opened history that are kept for the next query; fewer when others need the memory.
    pub max_history_bytes: u64,
}

/// Service level objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SloConfig {
    /// The directory of the definitions (OpenSLO documents); watched.
    pub dir: Option<PathBuf>,
    /// Bytes of counted days that are kept for the next question.
    pub max_ledger_bytes: u64,
}

/// Limits of queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Longest running time of one query.
    pub timeout: PromDuration,
    /// Most samples one query may hold.
    pub max_samples: u64,
    /// Most queries running at once.
    pub max_concurrency: usize,
    /// How far back an instant selector looks.
    pub lookback_delta: PromDuration,
    /// Most series one selector may touch.
    pub max_series: u64,
    /// Most bytes one query may hold.
    pub max_bytes: u64,
    /// Most bytes all running queries may hold together.
    pub max_total_bytes: u64,
    /// Queries that take longer are logged, with who asked and what they cost; 0 logs none.
    pub slow_log_threshold: PromDuration,
}

/// What is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Age at which samples are dropped.
    pub retention: Retention,
    /// How far ahead of the clock a sample may be.
    pub max_future: PromDuration,
    /// Most active series of one tenant.
    pub max_series: u64,
    /// Most tenants.
    pub max_tenants: usize,
    /// Most exemplars kept for one tenant.
    pub max_exemplars: usize,
    /// Labels that make up a scrape target.
    pub target_labels: Vec<String>,
    /// Age at which samples in memory are flushed to a block. A series without samples for two flushes leaves memory.
    pub flush_interval: PromDuration,
    /// Bytes of log segments at which the head is flushed without waiting for the interval. Half a kibibyte for
    /// each series where that is more.
    pub wal_flush_bytes: u64,
}

/// The write-ahead log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// When a write is acknowledged.
    pub sync: Sync,
}

/// Limits of remote write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriteConfig {
    /// Largest request body, compressed.
    pub max_body_bytes: u64,
    /// Most bytes of bodies held at once over all requests, compressed.
    pub max_inflight_bytes: u64,
    /// Most requests being decoded and committed at once.
    pub max_concurrency: usize,
    /// Longest time one body may take to arrive.
    pub body_timeout: PromDuration,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each says itself")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9999".to_owned(),
            external_url: None,
            cors_origin: None,
            enable_admin_api: false,
            insecure_public: false,
            max_connections: 4096,
            drain_timeout: PromDuration::from_secs(30),
        }
    }
}

impl WebConfig {
    /// The expression of `cors_origin`: Prometheus's default when it is not set.
    #[must_use]
    pub fn cors_pattern(&self) -> &str {
        self.cors_origin.as_deref().unwrap_or(".*")
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        let usable = usable_bytes();
        Self {
            max_bytes: usable / 10 * 9,
            max_series_bytes: usable / 10 * 6,
            max_history_bytes: usable / 16,
        }
    }
}

impl Default for SloConfig {
    fn default() -> Self {
        Self { dir: None, max_ledger_bytes: usable_bytes() / 32 }
    }
}

impl Default for QueryConfig {
    fn default() -> Self {
        let max_total_bytes = usable_bytes() / 4;
        Self {
            timeout: PromDuration::from_secs(120),
            max_samples: 50_000_000,
            max_concurrency: 20,
            lookback_delta: PromDuration::from_secs(300),
            max_series: 5_000_000,
            max_bytes: max_total_bytes.min(2 << 30),
            max_total_bytes,
            slow_log_threshold: PromDuration::from_secs(10),
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        let options = StoreOptions::default();
        Self {
            retention: Retention::Unlimited,
            max_future: PromDuration(options.future_max),
            max_series: options.series_max,
            max_tenants: options.tenants_max,
            max_exemplars: options.exemplars_max,
            target_labels: options.target_labels,
            flush_interval: PromDuration(options.flush_interval),
            wal_flush_bytes: options.wal_bytes_max,
        }
    }
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { sync: Sync::Always }
    }
}

impl Default for WriteConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_inflight_bytes: (usable_bytes() / 16).clamp(32 << 20, 256 << 20),
            max_concurrency: 128,
            body_timeout: PromDuration::from_secs(30),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}
