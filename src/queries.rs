//! Queries that run or wait now, and what past ones have cost: how a costly dashboard is found.
//!
//! Owns the list of unfinished queries and a bounded table of finished ones by text and tenant. Both are behind short
//! locks that no evaluation holds; what a running query uses is read from its budget.

mod caller;
mod top;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nines_storage::query::{Budget, BudgetUsage};
use parking_lot::Mutex;

pub use caller::{CALLER_CHARS_MAX, Caller, clean};
pub use top::{Order, TOP_MAX, TopQuery, Totals};

/// Bytes of a query's text that are remembered and logged.
pub const QUERY_TEXT_BYTES_MAX: usize = 2048;

/// Unfinished queries that are listed; more are only counted.
pub const ACTIVE_MAX: usize = 4096;

/// What was asked, by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The last part of the path: `query`, `query_range`, `labels`.
    pub kind: &'static str,
    /// The query, or the selectors; at most [`QUERY_TEXT_BYTES_MAX`].
    pub text: String,
    /// Start and end in milliseconds; the same for an instant query.
    pub range_ms: Option<(i64, i64)>,
    /// Step in milliseconds.
    pub step_ms: Option<i64>,
    /// Whose data.
    pub tenant: String,
    /// Who.
    pub caller: Caller,
}

impl Asked {
    /// Sets the text, cut to what is remembered.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text = cut(text);
        self
    }
}

/// The beginning of a text; a mark tells that there was more.
fn cut(text: &str) -> String {
    const MARK: &str = "…";
    if text.len() <= QUERY_TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=QUERY_TEXT_BYTES_MAX - MARK.len()).rev().find(|at| text.is_char_boundary(*at));
    format!("{}{MARK}", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each says itself")]
pub enum Outcome {
    Ok,
    /// The deadline passed, in the queue or running.
    Timeout,
    /// A limit of the settings.
    Limit,
    /// The caller went away.
    Canceled,
    /// Anything else.
    Error,
}

impl Outcome {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::Canceled => "canceled",
            Self::Error => "error",
        }
    }
}

/// What a finished query has cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// How it ended.
    pub outcome: Outcome,
    /// Time from its arrival to its end.
    pub duration: Duration,
    /// The part of it spent waiting for a slot.
    pub queued: Duration,
    /// What it used.
    pub usage: BudgetUsage,
}

/// An unfinished query.
#[derive(Debug)]
pub struct Active {
    id: u64,
    /// What was asked.
    pub asked: Asked,
    started_ms: i64,
    since: Instant,
    /// Set when it begins to run.
    budget: OnceLock<Arc<Budget>>,
}

impl Active {
    /// Time since its arrival.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says that it runs now, under `budget`.
    pub fn run(&self, budget: Arc<Budget>) {
        // It begins once.
        let _ = self.budget.set(budget);
    }

    /// What it has used so far; `None` while it waits.
    #[must_use]
    pub fn usage(&self) -> Option<BudgetUsage> {
        self.budget.get().map(|budget| budget.usage())
    }
}

/// An unfinished query as it is shown.
#[derive(Debug, Clone)]
pub struct ActiveView {
    /// Number, ascending from the start of the process.
    pub id: u64,
    /// What was asked.
    pub asked: Asked,
    /// Arrival in milliseconds since the epoch.
    pub started_ms: i64,
    /// Time since then.
    pub elapsed: Duration,
    /// What it has used; `None` while it waits.
    pub usage: Option<BudgetUsage>,
}

/// All queries of the process.
#[derive(Debug, Default)]
pub struct Queries {
    next_id: AtomicU64,
    active: Mutex<BTreeMap<u64, Arc<Active>>>,
    past: Mutex<top::Past>,
}

impl Queries {
    /// Lists a query that has arrived.
    pub fn begin(&self, asked: Asked, now_ms: i64) -> Arc<Active> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let active = Arc::new(Active {
            id,
            asked,
            started_ms: now_ms,
            since: Instant::now(),
            budget: OnceLock::new(),
        });
        let mut list = self.active.lock();
        if list.len() < ACTIVE_MAX {
            list.insert(id, Arc::clone(&active));
        }
        active
    }

    /// Takes a finished query off the list and remembers its cost.
    pub fn end(&self, active: &Active, cost: &Cost, now_ms: i64) {
        self.active.lock().remove(&active.id);
        self.past.lock().add(&active.asked, cost, now_ms);
    }

    /// The unfinished queries in the order of their arrival; those of one tenant, or all.
    #[must_use]
    pub fn active(&self, tenant: Option<&str>) -> Vec<ActiveView> {
        let list: Vec<Arc<Active>> = self.active.lock().values().cloned().collect();
        list.iter()
            .filter(|active| tenant.is_none_or(|tenant| tenant == active.asked.tenant))
            .map(|active| ActiveView {
                id: active.id,
                asked: active.asked.clone(),
                started_ms: active.started_ms,
                elapsed: active.elapsed(),
                usage: active.usage(),
            })
            .collect()
    }

    /// Queries that wait for a slot.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.active.lock().values().filter(|active| active.budget.get().is_none()).count()
    }

    /// The `n` finished queries that are first in `order`, last asked at `since_ms` or later; those of one tenant, or
    /// of all.
    #[must_use]
    pub fn top(
        &self,
        order: Order,
        n: usize,
        since_ms: i64,
        tenant: Option<&str>,
    ) -> Vec<TopQuery> {
        self.past.lock().top(order, n, since_ms, tenant)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn asked(tenant: &str, text: &str) -> Asked {
        Asked { kind: "query", tenant: tenant.to_owned(), ..Asked::default() }.text(text)
    }

    fn cost() -> Cost {
        Cost {
            outcome: Outcome::Ok,
            duration: Duration::from_secs(1),
            queued: Duration::ZERO,
            usage: BudgetUsage::default(),
        }
    }

    #[test]
    fn a_query_is_listed_from_its_arrival_to_its_end() {
        let queries = Queries::default();
        let first = queries.begin(asked("a", "up"), 1000);
        let second = queries.begin(asked("b", "down"), 2000);
        assert_eq!(queries.waiting(), 2);
        let budget = Arc::new(Budget::unlimited());
        first.run(Arc::clone(&budget));
        budget.count_read(7).unwrap();
        let views = queries.active(None);
        assert_eq!(views.iter().map(|view| view.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((views[0].started_ms, views[0].asked.text.as_str()), (1000, "up"));
        assert_eq!(views[0].usage.unwrap().samples_read, 7);
        assert_eq!(views[1].usage, None);
        assert_eq!(queries.active(Some("b")).len(), 1);
        assert_eq!(queries.waiting(), 1);
        queries.end(&first, &cost(), 3000);
        queries.end(&second, &cost(), 3000);
        assert!(queries.active(None).is_empty());
        assert_eq!(queries.top(Order::Count, 10, 0, Some("a")).len(), 1);
    }

    #[test]
    fn the_list_is_bounded() {
        let queries = Queries::default();
        let all: Vec<_> = (0..ACTIVE_MAX + 5).map(|_| queries.begin(asked("a", "up"), 0)).collect();
        assert_eq!(queries.active(None).len(), ACTIVE_MAX);
        all.iter().for_each(|active| queries.end(active, &cost(), 0));
        assert!(queries.active(None).is_empty());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = asked("a", &"ü".repeat(QUERY_TEXT_BYTES_MAX)).text;
        assert!(text.len() <= QUERY_TEXT_BYTES_MAX && text.len() > QUERY_TEXT_BYTES_MAX - 4);
        assert!(text.ends_with("ü…"), "{text}");
        assert_eq!(asked("a", "up").text, "up");
    }
}
