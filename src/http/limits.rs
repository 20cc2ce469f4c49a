//! Limits of the edge that are not settings. Each is there so that a client cannot hold memory or a
//! connection for nothing.

use std::time::Duration;

/// Largest form body of the query API (Go's limit).
pub const FORM_BYTES_MAX: usize = 10 << 20;

/// Bytes of a refused request that are read and thrown away so that its client sees the answer.
pub const LEFTOVER_BYTES_MAX: u64 = 256 << 20;

/// Longest time for that.
pub const LEFTOVER_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest time in which a client takes nothing of its answer.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Most request headers; with it goes hyper's bound on their size.
pub const HEADERS_MAX: usize = 100;

/// Largest request head: request line and headers.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Longest wait for a request's head. It runs while a kept-alive connection is idle as well, so it must be
/// longer than the pause between two writes of a sender that scrapes once a minute.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(65);

/// Longest wait of a write for a free slot before it is told to come back.
pub const WRITE_SLOT_WAIT: Duration = Duration::from_secs(2);

/// Bytes of a User-Agent that are remembered.
pub const USER_AGENT_BYTES_MAX: usize = 120;

/// Most points of one series in a range query (Prometheus's limit).
pub const POINTS_MAX: i128 = 11_000;

/// Longest tenant name.
pub const TENANT_BYTES_MAX: usize = 150;
