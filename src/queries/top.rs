//! What finished queries have cost, by text and tenant.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use super::{Asked, Caller, Cost, Outcome};

/// Queries that are remembered; the one that has cost least lately makes room.
pub const TOP_MAX: usize = 2000;

/// After this time what a query has cost counts for half.
const HALVED_AFTER_MS: i64 = 3_600_000;

/// What one query has cost in all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// How often it was asked.
    pub count: u64,
    /// How often it had no answer.
    pub failures: u64,
    /// Time it took, waiting included.
    pub duration: Duration,
    /// The longest of them.
    pub duration_max: Duration,
    /// The part spent waiting.
    pub queued: Duration,
    /// Samples touched, or read where none were counted.
    pub samples: u64,
    /// Most bytes held at once, summed over all times it was asked.
    pub bytes: u64,
    /// The largest of them.
    pub bytes_max: u64,
    /// When it was asked last, in milliseconds since the epoch.
    pub last_ms: i64,
    /// Length of the range it was asked for last.
    pub range_ms: i64,
    /// Who asked last.
    pub caller: Caller,
}

/// A query with its costs.
#[derive(Debug, Clone, PartialEq)]
pub struct TopQuery {
    /// `query`, `query_range`, ...
    pub kind: &'static str,
    /// Its text.
    pub text: String,
    /// Whose data.
    pub tenant: String,
    /// Costs.
    pub totals: Totals,
}

impl Totals {
    /// Mean time.
    #[must_use]
    pub fn duration_avg(&self) -> Duration {
        let n = u32::try_from(self.count).unwrap_or(u32::MAX).max(1);
        self.duration / n
    }

    fn add(&mut self, asked: &Asked, cost: &Cost, now_ms: i64) {
        self.count += 1;
        self.failures += u64::from(cost.outcome != Outcome::Ok);
        self.duration += cost.duration;
        self.duration_max = self.duration_max.max(cost.duration);
        self.queued += cost.queued;
        let usage = &cost.usage;
        self.samples += usage.samples_touched.max(usage.samples_read);
        self.bytes += usage.bytes_peak;
        self.bytes_max = self.bytes_max.max(usage.bytes_peak);
        self.last_ms = now_ms;
        self.range_ms = asked.range_ms.map_or(0, |(start, end)| end.saturating_sub(start));
        self.caller.clone_from(&asked.caller);
    }

    /// How much it is worth remembering.
    fn weight(&self, now_ms: i64) -> Duration {
        let halvings = now_ms.saturating_sub(self.last_ms).max(0) / HALVED_AFTER_MS;
        u32::try_from(halvings)
            .ok()
            .and_then(|n| 1_u32.checked_shl(n))
            .map_or(Duration::ZERO, |divisor| self.duration / divisor)
    }
}

/// By what the costliest are sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Time in all.
    Duration,
    /// Mean time.
    AvgDuration,
    /// How often.
    Count,
    /// Samples in all.
    Samples,
    /// Most bytes at once.
    Bytes,
}

impl Order {
    fn key(self, totals: &Totals) -> u128 {
        match self {
            Self::Duration => totals.duration.as_nanos(),
            Self::AvgDuration => totals.duration_avg().as_nanos(),
            Self::Count => u128::from(totals.count),
            Self::Samples => u128::from(totals.samples),
            Self::Bytes => u128::from(totals.bytes_max),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    tenant: String,
    text: String,
}

/// At most [`TOP_MAX`] finished queries.
#[derive(Debug, Default)]
pub(super) struct Past(HashMap<Key, Totals>);

impl Past {
    pub(super) fn add(&mut self, asked: &Asked, cost: &Cost, now_ms: i64) {
        let key = Key { kind: asked.kind, tenant: asked.tenant.clone(), text: asked.text.clone() };
        if self.0.len() >= TOP_MAX && !self.0.contains_key(&key) {
            let least = self.0.iter().min_by_key(|(_, totals)| totals.weight(now_ms));
            if let Some(least) = least.map(|(key, _)| key.clone()) {
                self.0.remove(&least);
            }
        }
        self.0.entry(key).or_default().add(asked, cost, now_ms);
    }

    pub(super) fn top(
        &self,
        order: Order,
        n: usize,
        since_ms: i64,
        tenant: Option<&str>,
    ) -> Vec<TopQuery> {
        let mut found: Vec<(&Key, &Totals)> = self
            .0
            .iter()
            .filter(|(key, totals)| {
                totals.last_ms >= since_ms && tenant.is_none_or(|tenant| tenant == key.tenant)
            })
            .collect();
        found.sort_by(|a, b| {
            (Reverse(order.key(a.1)), &a.0.text, &a.0.tenant).cmp(&(
                Reverse(order.key(b.1)),
                &b.0.text,
                &b.0.tenant,
            ))
        });
        let query = |(key, totals): (&Key, &Totals)| TopQuery {
            kind: key.kind,
            text: key.text.clone(),
            tenant: key.tenant.clone(),
            totals: totals.clone(),
        };
        found.into_iter().take(n).map(query).collect()
    }
}

#[cfg(test)]
mod tests {
    use nines_storage::query::BudgetUsage;

    use super::*;

    fn add(past: &mut Past, text: &str, ms: u64, samples: u64, bytes: u64, now_ms: i64) {
        let asked = Asked {
            kind: "query_range",
            tenant: "a".to_owned(),
            text: text.to_owned(),
            range_ms: Some((1000, 61_000)),
            ..Asked::default()
        };
        let usage =
            BudgetUsage { samples_touched: samples, bytes_peak: bytes, ..BudgetUsage::default() };
        let outcome = if text == "bad" { Outcome::Limit } else { Outcome::Ok };
        let cost = Cost {
            outcome,
            duration: Duration::from_millis(ms),
            queued: Duration::from_millis(1),
            usage,
        };
        past.add(&asked, &cost, now_ms);
    }

    #[test]
    fn every_order_has_its_first() {
        let mut past = Past::default();
        (0..5).for_each(|_| add(&mut past, "often", 10, 1, 5, 100));
        (0..2).for_each(|_| add(&mut past, "long in all", 40, 1, 5, 200));
        add(&mut past, "long once", 70, 1, 5, 300);
        add(&mut past, "many", 1, 100, 5, 400);
        add(&mut past, "bad", 1, 1, 50, 500);
        let first = |order| past.top(order, 1, 0, None).remove(0);
        assert_eq!(first(Order::Count).text, "often");
        assert_eq!(first(Order::Duration).text, "long in all");
        assert_eq!(first(Order::AvgDuration).text, "long once");
        assert_eq!(first(Order::Samples).text, "many");
        assert_eq!(first(Order::Bytes).text, "bad");
        assert_eq!(first(Order::Bytes).totals.failures, 1);
        let totals = first(Order::Count).totals;
        assert_eq!((totals.count, totals.samples, totals.bytes, totals.bytes_max), (5, 5, 25, 5));
        assert_eq!((totals.duration_avg(), totals.range_ms), (Duration::from_millis(10), 60_000));
        assert_eq!(past.top(Order::Count, 10, 400, None).len(), 2);
        assert!(past.top(Order::Count, 10, 0, Some("b")).is_empty());
    }

    #[test]
    fn what_cost_least_lately_makes_room() {
        let mut past = Past::default();
        for i in 0..TOP_MAX {
            add(&mut past, &format!("query {i}"), 100 + i as u64, 1, 1, 0);
        }
        add(&mut past, "new", 1, 1, 1, 0);
        let texts = |past: &Past| {
            past.top(Order::Duration, TOP_MAX + 1, 0, None)
                .into_iter()
                .map(|query| query.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&past).len(), TOP_MAX);
        assert!(!texts(&past).contains(&"query 0".to_owned()));
        // The cheap one is not remembered at the cost of the others.
        add(&mut past, "newer", 1, 1, 1, 0);
        assert!(!texts(&past).contains(&"new".to_owned()));
        // What was asked long ago counts for less than what is asked now.
        add(&mut past, "fresh", 10, 1, 1, 20 * HALVED_AFTER_MS);
        add(&mut past, "fresher", 10, 1, 1, 20 * HALVED_AFTER_MS);
        assert!(texts(&past).contains(&"fresh".to_owned()));
    }
}
