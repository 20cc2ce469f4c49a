//! The front page: what this is, how to connect it, who writes, what is stored.

use maud::{Markup, html};
use nines_storage::DbStats;

use super::history::history;
use super::layout::layout;
use super::{Landing, StorePhase, TenantFacts, bytes, count, span};
use crate::clock::format_rfc3339;
use crate::senders::SenderView;

/// Silence after which a sender is shown as gone: a few scrape intervals and a retry or two.
const SILENT_AFTER_MS: i64 = 5 * 60_000;

/// The front page.
#[must_use]
pub fn landing(page: &Landing) -> String {
    let body = html! {
        h1 { "Prometheus metrics, every sample, for ever" }
        p.dim {
            "nines receives Prometheus remote write, keeps each sample as it came, and answers PromQL on the Prometheus API."
        }
        @if let StorePhase::Replaying { done, total } = page.store {
            div.note { "Starting: the write-ahead log is being replayed, segment " (done) " of " (total) ". Senders keep their data and try again meanwhile." }
        }
        @if let StorePhase::Stopping = page.store { div.note { "Stopping." } }
        (connect(&page.url))
        (senders(&page.senders, page.now_ms))
        (store(page))
        h2 { "More" }
        p.small {
            a href="graph" { "Ask a PromQL query" } " · "
            a href="queries" { "running and costly queries" } " · "
            a href="metrics" { "own metrics" } " · "
            a href="cardinality" { "cardinality: which metric, label or sender grows" } " · "
            a href="api/v1/status/config" { "config" } " · "
            a href="api/v1/status/flags" { "flags" } " · "
            a href="api/v1/status/runtimeinfo" { "runtime" } " · "
            a href="api/v1/status/buildinfo" { "build" } " · "
            a href="-/ready" { "ready" }
        }
        p.small.dim {
            "nines " (page.version) ", up for " (span(page.now_ms.saturating_sub(page.started_ms)))
            ", retention " (page.retention)
            @if page.sync == "always" { ", every acknowledged write is on disk" }
            @else { ", writes are acknowledged up to " (page.sync) " before they are on disk" }
        }
    };
    layout("nines", &body)
}

fn connect(url: &str) -> Markup {
    html! {
        h2 { "Send metrics" }
        p { "Add this to " code { "prometheus.yml" } " and reload Prometheus; version 2.0 of the protocol is smaller on the wire, 1.0 works as well:" }
        pre { "remote_write:\n  - url: " (url) "/api/v1/write\n    protobuf_message: io.prometheus.write.v2.Request\n" }
        h2 { "Look at them in Grafana" }
        p { "Add a data source of type " b { "Prometheus" } " with this server URL:" }
        pre { (url) }
    }
}

fn senders(senders: &[SenderView], now_ms: i64) -> Markup {
    html! {
        h2 { "Senders" }
        @if senders.is_empty() {
            p.dim { "Nobody has written since the start of this process." }
        } @else {
            div.scroll { table {
                thead { tr {
                    th { "Sender" } th { "Protocol" } th { "Tenant" } th.n { "Last seen" } th.n { "Lag" }
                    th.n { "Samples/s" } th.n { "Refused" } th.n { "Retries" } th.n { "Put off" }
                } }
                tbody { @for sender in senders { (sender_row(sender, now_ms)) } }
            } }
            p.small.dim { "Lag is how old a sender's newest sample was when it arrived. Refused samples are named in the log and in the reply to the sender; requests put off with 503 are sent again." }
        }
    }
}

fn sender_row(sender: &SenderView, now_ms: i64) -> Markup {
    let silent_ms = now_ms.saturating_sub(sender.last_seen_ms);
    html! {
        tr {
            td { span.mono { (sender.key.address) } br; span.small.dim { (sender.key.user_agent) } }
            td { (sender.key.protocol) }
            td { (sender.key.tenant) }
            td.n.warn[silent_ms > SILENT_AFTER_MS] { (span(silent_ms)) " ago" }
            td.n { @match sender.lag_ms { Some(lag) => (span(lag)), None => "–" } }
            td.n { (rate(sender.samples_per_s)) }
            td.n.bad[sender.refused > 0] { (count(sender.refused)) }
            td.n { (count(sender.retries)) }
            td.n { (count(sender.put_off)) }
        }
    }
}

fn rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return format!("{per_second:.1}");
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and saturates"
    )]
    let whole = per_second.round() as u64;
    count(whole)
}

fn store(page: &Landing) -> Markup {
    let StorePhase::Ready(tenants) = &page.store else { return html! {} };
    html! {
        h2 { "Store" }
        @if tenants.is_empty() { p.dim { "Nothing is stored yet." } }
        @for facts in tenants { (tenant_facts(facts, tenants.len() > 1)) }
    }
}

fn tenant_facts(facts: &TenantFacts, named: bool) -> Markup {
    let stats = &facts.stats;
    // To the second, in two words that a narrow card can break between.
    let time = |ts: Option<i64>| {
        ts.map_or_else(
            || "–".to_owned(),
            |ms| format_rfc3339(ms.div_euclid(1000) * 1000).replace('T', " ").replace('Z', " UTC"),
        )
    };
    html! {
        @if named { p { "Tenant " b { (facts.tenant) } } }
        dl.facts {
            (fact("Active series", &count(stats.head_series)))
            (fact("Samples in blocks", &count(stats.block_samples)))
            (fact("Blocks", &format!("{} · {}", count(stats.blocks), bytes(stats.block_bytes))))
            (fact("Write-ahead log", &format!("{} · {}", bytes(stats.wal.bytes), wal_state(stats))))
            (fact("In memory", &bytes(stats.head_bytes)))
            (fact("Exemplars", &count(stats.exemplars)))
            (fact("Oldest sample", &time(stats.min_ts)))
            (fact("Newest sample", &time(stats.max_ts)))
        }
        @if stats.wal.failed {
            div.note.bad { "The write-ahead log failed: writes are refused with 503 and senders keep their data. Queries go on. Look at the log, mend the disk, restart nines." }
        }
        @if stats.wal.full {
            div.note.bad { "There is no room for the write-ahead log: writes are refused with 503 and senders keep their data until there is room again." }
        }
        @if stats.quarantined_blocks > 0 {
            div.note.bad { (stats.quarantined_blocks) " damaged block(s) are left out of answers; queries over their time carry a warning. Restore them from a copy." }
        }
        (history(stats))
    }
}

fn wal_state(stats: &DbStats) -> &'static str {
    match (stats.wal.failed, stats.wal.full) {
        (true, _) => "failed",
        (false, true) => "full",
        (false, false) => "healthy",
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::IpAddr;

    use nines_storage::WalStats;

    use super::*;
    use crate::senders::SenderKey;

    fn page() -> Landing {
        let key = SenderKey {
            address: IpAddr::from([10, 0, 0, 7]),
            user_agent: "<script>alert(1)</script>".to_owned(),
            tenant: "anonymous".to_owned(),
            protocol: "2.0",
        };
        Landing {
            url: "http://nines.example:9999".to_owned(),
            version: "0.1.0",
            now_ms: 1_000_000,
            started_ms: 0,
            retention: "unlimited".to_owned(),
            sync: "always".to_owned(),
            senders: vec![SenderView {
                key,
                last_seen_ms: 990_000,
                lag_ms: Some(40),
                samples_per_s: 1234.4,
                requests: 1,
                samples: 2,
                refused: 3,
                retries: 0,
                put_off: 0,
            }],
            store: StorePhase::Ready(vec![TenantFacts {
                tenant: "anonymous".to_owned(),
                stats: DbStats {
                    head_series: 1_234_567,
                    wal: WalStats { failed: true, ..WalStats::default() },
                    ..DbStats::default()
                },
            }]),
        }
    }

    #[test]
    fn shows_how_to_connect_who_writes_and_what_is_stored() {
        let html = landing(&page());
        for part in [
            "url: http://nines.example:9999/api/v1/write",
            "10.0.0.7",
            "1,234</td>",
            "1,234,567",
            "every acknowledged write is on disk",
            "writes are refused with 503",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let html = landing(&page());
        assert!(!html.contains("<script"));
        assert!(html.contains("&lt;script&gt;"));
    }
}
