//! The page of queries: what runs and waits now, and what past ones have cost.

use std::time::Duration;

use maud::{Markup, html};

use super::layout::layout;
use super::{bytes, count, span};
use crate::queries::{ActiveView, Asked, Caller, Order, TopQuery};

/// Orders of the past queries: word in the address, heading.
pub const ORDERS: [(Order, &str, &str); 5] = [
    (Order::Duration, "duration", "time in all"),
    (Order::AvgDuration, "average", "mean time"),
    (Order::Count, "count", "how often"),
    (Order::Samples, "samples", "samples"),
    (Order::Bytes, "bytes", "memory"),
];

/// What the page shows.
#[derive(Debug, Clone)]
pub struct QueriesPage {
    /// Now.
    pub now_ms: i64,
    /// Unfinished queries.
    pub active: Vec<ActiveView>,
    /// The order of the past ones.
    pub order: Order,
    /// Past queries, the first ones in that order.
    pub top: Vec<TopQuery>,
}

/// The page.
#[must_use]
pub fn queries(page: &QueriesPage) -> String {
    let body = html! {
        h1 { "Queries" }
        h2 { "Now" }
        (active(&page.active))
        h2 { "Since the start" }
        p.small { "By "
            @for (i, (order, word, heading)) in ORDERS.iter().enumerate() {
                @if i > 0 { " · " }
                @if *order == page.order { b { (heading) } } @else { a href={ "queries?by=" (word) } { (heading) } }
            }
        }
        (top(page))
        p.small.dim {
            "Memory is the most that one query held at once. Who asked is what the request said of itself. As JSON, for one tenant: "
            a href="api/v1/status/active_queries" { "now" } ", " a href="api/v1/status/top_queries" { "past" } ". A query is dear where many series are: "
            a href="cardinality" { "where they come from" } "."
        }
    };
    layout("nines: queries", &body)
}

fn active(list: &[ActiveView]) -> Markup {
    html! {
        @if list.is_empty() { p.dim { "Nothing runs and nothing waits." } } @else {
            div.scroll { table {
                thead { tr { th { "Query" } th { "Who" } th.n { "For" } th.n { "Samples read" } th.n { "Series" } th.n { "Memory" } } }
                tbody { @for view in list {
                    @let usage = view.usage.unwrap_or_default();
                    tr {
                        td { (query(&view.asked)) }
                        td.small { (caller(&view.asked.caller)) }
                        td.n { (time(view.elapsed)) @if view.usage.is_none() { br; span.small.warn { "waiting" } } }
                        td.n { (count(usage.samples_read)) }
                        td.n { (count(usage.series)) }
                        td.n { (bytes(usage.bytes)) }
                    }
                } }
            } }
        }
    }
}

fn top(page: &QueriesPage) -> Markup {
    html! {
        @if page.top.is_empty() { p.dim { "Nobody has asked yet." } } @else {
            div.scroll { table {
                thead { tr {
                    th { "Query" } th { "Who asked last" } th.n { "Times" } th.n { "Failed" } th.n { "In all" } th.n { "Mean" } th.n { "Longest" }
                    th.n { "Samples" } th.n { "Memory" } th.n { "Last" }
                } }
                tbody { @for past in &page.top {
                    @let totals = &past.totals;
                    tr {
                        td { div.mono.series { (past.text) } span.small.dim { (past.kind) ", " (past.tenant)
                            @if totals.range_ms > 0 { ", over " (span(totals.range_ms)) }
                        } }
                        td.small { (caller(&totals.caller)) }
                        td.n { (count(totals.count)) }
                        td.n.bad[totals.failures > 0] { (count(totals.failures)) }
                        td.n { (time(totals.duration)) }
                        td.n { (time(totals.duration_avg())) }
                        td.n { (time(totals.duration_max)) }
                        td.n { (count(totals.samples)) }
                        td.n { (bytes(totals.bytes_max)) }
                        td.n { (span(page.now_ms.saturating_sub(totals.last_ms))) " ago" }
                    }
                } }
            } }
        }
    }
}

fn query(asked: &Asked) -> Markup {
    html! {
        div.mono.series { (asked.text) }
        span.small.dim { (asked.kind) ", " (asked.tenant)
            @if let Some((start, end)) = asked.range_ms { @if end > start { ", over " (span(end.saturating_sub(start))) } }
        }
    }
}

fn caller(caller: &Caller) -> Markup {
    html! {
        @for (i, (name, text)) in caller.fields().enumerate() {
            @if i > 0 { br; }
            span.dim { (name) " " } (text)
        }
    }
}

/// `1.2 ms`, `3.4 s`: with more digits than [`span`] for what is short.
fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{:.1} ms", duration.as_secs_f64() * 1000.0);
    }
    span(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use nines_storage::query::BudgetUsage;

    use super::*;
    use crate::queries::Totals;

    #[test]
    fn shows_what_runs_and_what_was_costly_and_escapes_it() {
        let evil = "<img src=x>".to_owned();
        let caller = Caller {
            dashboard_title: Some(evil.clone()),
            user_agent: Some("Grafana/13".to_owned()),
            ..Caller::default()
        };
        let asked = Asked {
            kind: "query_range",
            tenant: evil.clone(),
            range_ms: Some((0, 3_600_000 * 3)),
            caller: caller.clone(),
            ..Asked::default()
        }
        .text(&evil);
        let usage = Some(BudgetUsage { samples_read: 1_234_567, ..BudgetUsage::default() });
        let elapsed = Duration::from_millis(3400);
        let running = ActiveView { id: 1, asked, started_ms: 0, elapsed, usage };
        let waiting = ActiveView { usage: None, ..running.clone() };
        let totals = Totals {
            count: 2,
            duration: Duration::from_millis(25),
            caller,
            bytes_max: 3 << 20,
            ..Totals::default()
        };
        let past = TopQuery { kind: "query", text: evil.clone(), tenant: evil, totals };
        let html = queries(&QueriesPage {
            now_ms: 5000,
            active: vec![running, waiting],
            order: Order::Count,
            top: vec![past],
        });
        assert!(!html.contains("<img"), "{html}");
        for part in [
            "1,234,567",
            "3.4 s",
            "waiting",
            "Grafana/13",
            "12.5 ms",
            "3.0 MiB",
            "over 3.0 h",
            "<b>how often</b>",
            "queries?by=duration",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }
}
