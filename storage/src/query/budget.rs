//! What one query may cost, checked in the inner loops.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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

/// Bytes that all running queries may hold together.
#[derive(Debug)]
pub struct MemoryPool {
    bytes_max: u64,
    bytes: AtomicU64,
}

impl MemoryPool {
    /// A pool of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicU64::new(0) })
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Bytes held by one query, of its own and in the pool.
#[derive(Debug)]
struct Ledger {
    bytes_max: u64,
    bytes: AtomicU64,
    bytes_peak: AtomicU64,
    pool: Arc<MemoryPool>,
}

impl Ledger {
    fn hold(&self, n: u64) -> Result<()> {
        let held = self.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        raise(&self.bytes_peak, held);
        let pooled = self.pool.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if held > self.bytes_max {
            return Err(Error::Limit {
                limit: "query.max_bytes",
                what: "the query would hold too many bytes of memory: select fewer series, a shorter range or a larger step, or raise this setting",
                max: self.bytes_max,
            });
        }
        if pooled > self.pool.bytes_max {
            return Err(Error::Limit {
                limit: "query.max_total_bytes",
                what: "the running queries together would hold too many bytes of memory: try again when others have ended, ask for less, or raise this setting",
                max: self.pool.bytes_max,
            });
        }
        Ok(())
    }

    fn release(&self, n: u64) {
        self.bytes.fetch_sub(n, Ordering::Relaxed);
        self.pool.bytes.fetch_sub(n, Ordering::Relaxed);
    }
}

/// Raises a peak; mostly a load alone.
fn raise(peak: &AtomicU64, value: u64) {
    if value > peak.load(Ordering::Relaxed) {
        peak.fetch_max(value, Ordering::Relaxed);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let left = *self.bytes.get_mut();
        self.pool.bytes.fetch_sub(left, Ordering::Relaxed);
    }
}

/// Bytes charged to a query until this is dropped, which may be after the query has ended.
#[derive(Debug)]
pub struct Reservation {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Reservation {
    /// Charges `n` bytes more.
    pub fn add(&mut self, n: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(n);
        self.ledger.hold(n)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.release(self.bytes);
    }
}

/// What a query has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetUsage {
    /// Samples read from storage.
    pub samples_read: u64,
    /// Samples that selectors and windows touched, counted at every step; known when the evaluation has ended.
    pub samples_touched: u64,
    /// Most samples held at once.
    pub samples_peak: u64,
    /// Series of all selectors.
    pub series: u64,
    /// Bytes held now.
    pub bytes: u64,
    /// Most bytes held at once.
    pub bytes_peak: u64,
    /// The first limit that was exceeded.
    pub limit: Option<&'static str>,
}

/// The account of one running query; shared by its threads.
#[derive(Debug)]
pub struct Budget {
    limits: BudgetLimits,
    deadline: Instant,
    canceled: Arc<AtomicBool>,
    samples: AtomicU64,
    samples_peak: AtomicU64,
    samples_read: AtomicU64,
    samples_touched: AtomicU64,
    series: AtomicU64,
    exceeded: OnceLock<&'static str>,
    ledger: Arc<Ledger>,
}

impl Budget {
    /// A budget that begins now. Setting `canceled` stops the query at its next check.
    #[must_use]
    pub fn new(limits: BudgetLimits, canceled: Arc<AtomicBool>) -> Self {
        Self::in_pool(limits, canceled, MemoryPool::new(u64::MAX))
    }

    /// As [`Budget::new`], sharing the memory of `pool` with other queries.
    #[must_use]
    pub fn in_pool(limits: BudgetLimits, canceled: Arc<AtomicBool>, pool: Arc<MemoryPool>) -> Self {
        let deadline = Instant::now() + limits.timeout;
        Self {
            limits,
            deadline,
            canceled,
            samples: AtomicU64::new(0),
            samples_peak: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
            samples_touched: AtomicU64::new(0),
            series: AtomicU64::new(0),
            exceeded: OnceLock::new(),
            ledger: Arc::new(Ledger {
                bytes_max: limits.bytes_max,
                bytes: AtomicU64::new(0),
                bytes_peak: AtomicU64::new(0),
                pool,
            }),
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
        raise(&self.samples_peak, held);
        if held > self.limits.samples_max {
            return Err(self.exceeds(Error::Limit {
                limit: "query.max-samples",
                what: "query processing would load too many samples into memory in query execution",
                max: self.limits.samples_max,
            }));
        }
        Ok(())
    }

    /// Gives `n` held samples back.
    pub fn release_samples(&self, n: u64) {
        self.samples.fetch_sub(n, Ordering::Relaxed);
    }

    /// Takes `n` bytes of memory; give them back with [`Budget::release_bytes`], also after an error.
    pub fn hold_bytes(&self, n: u64) -> Result<()> {
        self.ledger.hold(n).map_err(|error| self.exceeds(error))
    }

    /// Gives `n` held bytes back.
    pub fn release_bytes(&self, n: u64) {
        self.ledger.release(n);
    }

    /// Takes `n` bytes that are given back when the reservation is dropped.
    pub fn reserve(&self, n: u64) -> Result<Reservation> {
        let mut reservation = Reservation { ledger: Arc::clone(&self.ledger), bytes: 0 };
        reservation.add(n).map_err(|error| self.exceeds(error))?;
        Ok(reservation)
    }

    /// Fails when one selector touches more series than allowed.
    pub fn check_series(&self, n: u64) -> Result<()> {
        if n > self.limits.series_max {
            return Err(self.exceeds(Error::Limit {
                limit: "query.max-series",
                what: "a selector matches too many series: add matchers, shorten the range, or raise this setting",
                max: self.limits.series_max,
            }));
        }
        self.check()
    }

    /// As [`Budget::check_series`] for a selector whose series are now known; counts them.
    pub fn count_series(&self, n: u64) -> Result<()> {
        self.series.fetch_add(n, Ordering::Relaxed);
        self.check_series(n)
    }

    /// Notes how many samples the evaluation has touched.
    pub fn note_touched(&self, n: u64) {
        self.samples_touched.fetch_add(n, Ordering::Relaxed);
    }

    /// Samples read from storage so far.
    #[must_use]
    pub fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }

    /// What the query has used so far.
    #[must_use]
    pub fn usage(&self) -> BudgetUsage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BudgetUsage {
            samples_read: get(&self.samples_read),
            samples_touched: get(&self.samples_touched),
            samples_peak: get(&self.samples_peak),
            series: get(&self.series),
            bytes: get(&self.ledger.bytes),
            bytes_peak: get(&self.ledger.bytes_peak),
            limit: self.exceeded.get().copied(),
        }
    }

    /// Remembers the first limit that was exceeded.
    fn exceeds(&self, error: Error) -> Error {
        if let Error::Limit { limit, .. } = &error {
            self.exceeded.get_or_init(|| limit);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn budget(bytes_max: u64, pool: &Arc<MemoryPool>) -> Budget {
        let limits = BudgetLimits {
            samples_max: u64::MAX,
            series_max: u64::MAX,
            bytes_max,
            timeout: Duration::from_secs(60),
        };
        Budget::in_pool(limits, Arc::default(), Arc::clone(pool))
    }

    fn limit_of(result: Result<Reservation>) -> &'static str {
        match result {
            Err(Error::Limit { limit, .. }) => limit,
            other => panic!("no limit: {other:?}"),
        }
    }

    #[test]
    fn queries_share_a_pool_and_give_everything_back() {
        let pool = MemoryPool::new(100);
        let (a, b) = (budget(80, &pool), budget(80, &pool));
        let mut held = a.reserve(60).unwrap();
        assert_eq!(limit_of(a.reserve(21)), "query.max_bytes");
        assert_eq!(limit_of(b.reserve(41)), "query.max_total_bytes");
        assert_eq!(pool.held(), 60, "what was refused is not held");
        let other = b.reserve(40).unwrap();
        assert!(held.add(1).is_err());
        drop(held);
        assert_eq!(pool.held(), 40);
        drop((a, b));
        assert_eq!(pool.held(), 40, "a reservation outlives its query");
        drop(other);
        assert_eq!(pool.held(), 0);
    }

    #[test]
    fn a_query_that_ends_with_held_bytes_frees_them() {
        let pool = MemoryPool::new(100);
        let query = budget(50, &pool);
        query.hold_bytes(30).unwrap();
        query.hold_bytes(30).unwrap_err();
        query.hold_samples(7).unwrap();
        query.release_samples(7);
        query.count_series(3).unwrap();
        let usage = query.usage();
        assert_eq!((usage.bytes, usage.bytes_peak, usage.limit), (60, 60, Some("query.max_bytes")));
        assert_eq!((usage.samples_peak, usage.series), (7, 3));
        query.release_bytes(30);
        assert_eq!(pool.held(), 30);
        drop(query);
        assert_eq!(pool.held(), 0);
    }
}
