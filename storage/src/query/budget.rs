//! What one query may cost, checked in the inner loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Limits of one query.
#[derive(Debug, Clone, Copy)]
pub struct BudgetLimits {
    /// Most samples held or produced at once, as `--query.max-samples` counts them.
    pub samples_max: u64,
    /// Most series one selector may touch.
    pub series_max: u64,
    /// Most bytes of results held at once.
    pub bytes_max: u64,
    /// Longest running time.
    pub timeout: Duration,
}

/// The account of one running query; shared by its threads.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    deadline: Instant,
    canceled: Arc<AtomicBool>,
    samples: AtomicU64,
    samples_read: AtomicU64,
    bytes: AtomicU64,
}

impl Budget {
    /// A budget that begins now. Setting `canceled` stops the query at its next check.
    #[must_use]
    pub fn new(limits: BudgetLimits, canceled: Arc<AtomicBool>) -> Self {
        let deadline = Instant::now() + limits.timeout;
        Self {
            limits,
            deadline,
            canceled,
            samples: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// No limits: for tests and background work.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(
            BudgetLimits {
                samples_max: u64::MAX,
                series_max: u64::MAX,
                bytes_max: u64::MAX,
                timeout: Duration::from_secs(365 * 86_400),
            },
            Arc::new(AtomicBool::new(false)),
        )
    }

    /// Fails when the deadline has passed or the caller went away. Cheap enough for every few thousand samples.
    pub fn check(&self) -> Result<()> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Error::Canceled);
        }
        if Instant::now() >= self.deadline {
            return Err(Error::Deadline);
        }
        Ok(())
    }

    /// Counts samples read from storage (for statistics) and checks deadline and cancellation.
    pub fn count_read(&self, n: u64) -> Result<()> {
        self.samples_read.fetch_add(n, Ordering::Relaxed);
        self.check()
    }

    /// Takes `n` samples into memory; give them back with [`Budget::release_samples`].
    pub fn hold_samples(&self, n: u64) -> Result<()> {
        let held = self.samples.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if held > self.limits.samples_max {
            return Err(Error::Limit {
                limit: "query.max-samples",
                what: "query processing would load too many samples into memory in query execution",
                max: self.limits.samples_max,
            });
        }
        Ok(())
    }

    /// Gives `n` held samples back.
    pub fn release_samples(&self, n: u64) {
        self.samples.fetch_sub(n, Ordering::Relaxed);
    }

    /// Takes `n` bytes of memory; give them back with [`Budget::release_bytes`].
    pub fn hold_bytes(&self, n: u64) -> Result<()> {
        let held = self.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if held > self.limits.bytes_max {
            return Err(Error::Limit {
                limit: "query.max-bytes",
                what: "query holds too many bytes",
                max: self.limits.bytes_max,
            });
        }
        Ok(())
    }

    /// Gives `n` held bytes back.
    pub fn release_bytes(&self, n: u64) {
        self.bytes.fetch_sub(n, Ordering::Relaxed);
    }

    /// Fails when one selector touches more series than allowed.
    pub fn check_series(&self, n: u64) -> Result<()> {
        if n > self.limits.series_max {
            return Err(Error::Limit {
                limit: "query.max-series",
                what: "a selector matches too many series",
                max: self.limits.series_max,
            });
        }
        self.check()
    }

    /// Samples read from storage so far.
    #[must_use]
    pub fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }
}
