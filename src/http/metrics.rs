//! `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nines_storage::DbStats;
use nines_storage::history::TableCost;

use super::app::{App, Phase};
use crate::telemetry::families::{self, Family};
use crate::telemetry::{Page, Process};

/// `/metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    // The store's statistics may wait for a lock.
    let page = tokio::task::spawn_blocking(move || render(&app)).await.unwrap_or_default();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], page).into_response()
}

fn render(app: &App) -> String {
    let mut page = Page::default();
    page.family(&families::BUILD_INFO);
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let phase = app.phase();
    page.value(&families::READY, u8::from(matches!(phase, Phase::Ready(_))));
    app.telemetry.render(&mut page);
    page.value(&families::INGEST_INFLIGHT_BYTES, app.inflight_bytes());
    page.value(&families::INGEST_SENDERS, app.senders.len());
    let free = app.query_slots.available_permits();
    page.value(&families::QUERY_RUNNING, app.config.query.max_concurrency.saturating_sub(free));
    page.value(&families::QUERY_WAITING, app.queries.waiting());
    if let Phase::Ready(store) = phase {
        let tenants: Vec<(String, DbStats)> =
            store.tenants().iter().map(|(name, db)| (name.clone(), db.stats())).collect();
        render_store(&mut page, &tenants);
        render_tables(&mut page, &tenants);
        page.value(&families::HISTORY_OPEN_BYTES, store.row_cache().bytes());
        page.value(&families::HISTORY_OPEN_MAX_BYTES, store.row_cache().bytes_max());
    }
    render_process(&mut page, app.started_ms);
    page.finish()
}

/// A number of the store that is a metric.
enum Read {
    Count(fn(&DbStats) -> u64),
    Float(fn(&DbStats) -> f64),
}

const STORE: &[(&Family, Read)] = &[
    (&families::HEAD_SERIES, Read::Count(|s| s.head_series)),
    (&families::HEAD_EVICTED, Read::Count(|s| s.series_evicted)),
    (&families::HEAD_CHUNKS, Read::Count(|s| s.head_chunks)),
    (&families::HEAD_BYTES, Read::Count(|s| s.head_bytes)),
    (&families::HEAD_SAMPLES, Read::Count(|s| s.samples_appended)),
    (&families::HEAD_OUT_OF_ORDER, Read::Count(|s| s.out_of_order_samples)),
    (&families::WAL_BYTES, Read::Count(|s| s.wal.bytes)),
    (&families::WAL_SEGMENTS, Read::Count(|s| s.wal.segments)),
    (&families::WAL_SYNCS, Read::Count(|s| s.wal.syncs)),
    (&families::WAL_SYNC_SECONDS, Read::Float(|s| s.wal.sync_seconds)),
    (&families::WAL_FAILED, Read::Count(|s| u64::from(s.wal.failed))),
    (&families::WAL_FULL, Read::Count(|s| u64::from(s.wal.full))),
    (&families::WAL_ORPHANS, Read::Count(|s| s.wal_orphans)),
    (&families::WAL_CORRUPTIONS, Read::Count(|s| s.wal.corruptions)),
    (&families::BLOCKS, Read::Count(|s| s.blocks)),
    (&families::BLOCK_BYTES, Read::Count(|s| s.block_bytes)),
    (&families::BLOCK_SERIES, Read::Count(|s| s.block_series)),
    (&families::BLOCK_SAMPLES, Read::Count(|s| s.block_samples)),
    (&families::BLOCKS_QUARANTINED, Read::Count(|s| s.quarantined_blocks)),
    (&families::FLUSHES, Read::Count(|s| s.flushes)),
    (&families::COMPACTIONS, Read::Count(|s| s.compactions)),
    (&families::COMPACTION_SECONDS, Read::Float(|s| s.compaction_seconds)),
    (&families::ROLLUP_DAYS, Read::Count(|s| s.days_rolled_up)),
    (&families::ROLLUP_SECONDS, Read::Float(|s| s.rollup_seconds)),
    (&families::ROLLUP_DUE, Read::Count(|s| s.rolling.days_due)),
    (&families::ROLLUP_SHARE, Read::Float(|s| s.rolling.share())),
    (&families::ROLLUP_LEFT_OUT, Read::Count(|s| s.rolling.days_left_out)),
    (&families::ROLLUP_FAILING, Read::Count(|s| u64::from(s.rolling.last_error.is_some()))),
    (&families::HISTORY_BYTES, Read::Count(|s| s.history_bytes)),
    (&families::HISTORY_ROWS, Read::Count(|s| s.history_rows)),
    (&families::HISTORY_PUBLISHED, Read::Count(|s| s.history_published)),
    (&families::HISTORY_BEHIND, Read::Count(|s| s.history_behind_commits)),
    (&families::HISTORY_LAG, Read::Float(|s| s.history_behind_seconds)),
    (&families::HISTORY_PUBLISHED_FILES, Read::Count(|s| s.history_published_files)),
    (&families::HISTORY_PUBLISHED_BYTES, Read::Count(|s| s.history_published_bytes)),
    (&families::HISTORY_PUBLISH_FAILURES, Read::Count(|s| s.history_publish_failures)),
    (&families::HISTORY_PUBLISH_STOPPED, Read::Count(|s| u64::from(s.history_publish_stopped))),
    (&families::DUPLICATES, Read::Count(|s| s.duplicate_samples_dropped)),
    (&families::EXEMPLARS, Read::Count(|s| s.exemplars)),
];

fn render_store(page: &mut Page, tenants: &[(String, DbStats)]) {
    for (family, read) in STORE {
        page.family(family);
        for (tenant, stats) in tenants {
            let labels = [("tenant", tenant.as_str())];
            match read {
                Read::Count(read) => page.sample(&labels, read(stats)),
                Read::Float(read) => page.sample(&labels, read(stats)),
            }
        }
    }
}

/// A number of a table of the history.
type ReadTable = fn(&TableCost) -> u64;

const TABLES: [(&Family, ReadTable); 4] = [
    (&families::HISTORY_TABLE_BYTES, |table| table.size.bytes),
    (&families::HISTORY_TABLE_ROWS, |table| table.size.rows),
    (&families::HISTORY_TABLE_FILES, |table| table.size.files),
    (&families::HISTORY_TABLE_YEAR, |table| table.bytes_per_year),
];

fn render_tables(page: &mut Page, tenants: &[(String, DbStats)]) {
    for (family, read) in &TABLES {
        page.family(family);
        for (tenant, stats) in tenants {
            for table in &stats.history_tables {
                let labels = [("tenant", tenant.as_str()), ("table", table.tier.name())];
                page.sample(&labels, read(table));
            }
        }
    }
}

fn render_process(page: &mut Page, started_ms: i64) {
    let process = Process::now();
    page.value(&families::PROCESS_CPU, process.cpu_seconds);
    page.value(&families::PROCESS_RSS, process.resident_bytes);
    page.value(&families::PROCESS_VSIZE, process.virtual_bytes);
    page.value(&families::PROCESS_FDS, process.open_fds);
    page.value(&families::PROCESS_MAX_FDS, process.max_fds);
    page.value(&families::PROCESS_THREADS, process.threads);
    #[allow(clippy::cast_precision_loss, reason = "shown only")]
    page.value(&families::PROCESS_START, started_ms as f64 / 1000.0);
}

#[cfg(test)]
mod tests {
    use nines_storage::WalStats;
    use nines_storage::history::{Tier, TierSize};

    use super::*;

    #[test]
    fn the_store_is_shown_per_tenant() {
        let stats = DbStats {
            head_series: 7,
            wal: WalStats { failed: true, sync_seconds: 0.25, ..WalStats::default() },
            ..DbStats::default()
        };
        let mut page = Page::default();
        render_store(&mut page, &[("a".to_owned(), stats), ("b".to_owned(), DbStats::default())]);
        let size = TierSize { files: 1, rows: 3, bytes: 60 };
        let table = TableCost { tier: Tier::Hour, size, bytes_per_year: 21_915 };
        let stats = DbStats { history_tables: vec![table], ..DbStats::default() };
        render_tables(&mut page, &[("a".to_owned(), stats)]);
        let text = page.finish();
        for line in [
            r#"nines_history_table_bytes{tenant="a",table="rollup_1h"} 60"#,
            r#"nines_history_table_rows{tenant="a",table="rollup_1h"} 3"#,
            r#"nines_history_table_files{tenant="a",table="rollup_1h"} 1"#,
            r#"nines_history_table_bytes_per_year{tenant="a",table="rollup_1h"} 21915"#,
            r#"nines_rollup_days_due{tenant="b"} 0"#,
            r#"nines_rollup_share_done{tenant="b"} 1"#,
            r#"nines_head_series{tenant="a"} 7"#,
            r#"nines_head_series{tenant="b"} 0"#,
            r#"nines_wal_failed{tenant="a"} 1"#,
            r#"nines_wal_sync_duration_seconds_total{tenant="a"} 0.25"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis missing in\n{text}");
        }
    }
}
