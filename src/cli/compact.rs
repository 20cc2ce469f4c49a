//! `nines compact`: brings a data directory that no server uses to its settled state.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nines_storage::{DbStats, ReplayProgress};

use super::history::roll_up;
use super::{open_store_to_roll, print_line};
use crate::clock::{format_rfc3339, now_ms};
use crate::config::Config;
use crate::telemetry::init_logging;

/// Time between two lines about the replay.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Flushes, merges, compresses and rolls up every tenant, telling what it does.
pub(super) fn compact(config: &Config) -> anyhow::Result<()> {
    let dir = &config.data;
    anyhow::ensure!(
        dir.join("tenants").is_dir(),
        "{} is not a data directory of nines: name one with --data",
        dir.display()
    );
    init_logging(&config.log);
    print_line(&format!("opening {}", dir.display()));
    let told = Cell::new(Instant::now());
    let store = open_store_to_roll(config, &|progress: ReplayProgress| {
        if told.get().elapsed() >= PROGRESS_INTERVAL {
            told.set(Instant::now());
            let ReplayProgress { segments_done, segments_total, samples } = progress;
            print_line(&format!(
                "replaying the log: {segments_done} of {segments_total} segments, {samples} samples"
            ));
        }
    })?;
    let (mut damaged, mut left_out) = (0, 0);
    for (tenant, db) in store.tenants() {
        let (begun, before) = (Instant::now(), db.stats());
        print_line(&format!("{tenant}: {} series in memory", before.head_series));
        db.compact_all_telling(now_ms(), &mut |sources| {
            let bytes: u64 = sources.iter().map(|meta| meta.chunks_bytes + meta.index_bytes).sum();
            let first = sources.iter().map(|meta| meta.min_ts).min().unwrap_or(0);
            let last = sources.iter().map(|meta| meta.max_ts).max().unwrap_or(0);
            print_line(&format!(
                "{tenant}: merging {} blocks of {bytes} bytes, {} to {}",
                sources.len(),
                format_rfc3339(first),
                format_rfc3339(last)
            ));
        })
        .with_context(|| format!("cannot compact tenant {tenant}"))?;
        print_line(&summary(&tenant, &before, &db.stats(), begun.elapsed()));
        damaged += db.damaged_blocks();
        match roll_up(&tenant, &db, now_ms()) {
            Ok(days) => left_out += days,
            // Of which days a damaged block has samples may not be known.
            Err(error) if damaged > 0 => print_line(&format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    store.close().context("cannot close the store")?;
    anyhow::ensure!(damaged == 0, "{damaged} damaged blocks were left as they are, see above");
    anyhow::ensure!(left_out == 0, "{left_out} days were left out, see above");
    Ok(())
}

fn summary(tenant: &str, before: &DbStats, after: &DbStats, took: Duration) -> String {
    let per_sample = after.block_bytes as f64 / after.block_samples.max(1) as f64;
    format!(
        "{tenant}: done in {:.1} s: {} blocks of {} bytes before, {} of {} bytes after; {} samples, {per_sample:.3} bytes each",
        took.as_secs_f64(),
        before.blocks,
        before.block_bytes,
        after.blocks,
        after.block_bytes,
        after.block_samples,
    )
}
