//! `nines compact`: flush and compact a data directory that no server uses.

use std::time::Instant;

use super::{open_store, print_line};
use crate::clock::now_ms;
use crate::config::Config;
use anyhow::Context as _;

/// Flushes and compacts every tenant, telling what it does.
pub(super) fn compact(config: &Config) -> anyhow::Result<()> {
    let dir = &config.data;
    anyhow::ensure!(
        dir.is_dir(),
        "{} is not a data directory: name one with --data",
        dir.display()
    );
    print_line(&format!("opening {}", dir.display()));
    let store = open_store(config, &|_| {})?;
    for (tenant, db) in store.tenants() {
        let (begun, before) = (Instant::now(), db.stats());
        print_line(&format!(
            "{tenant}: {} series in memory, {} blocks, {} bytes",
            before.head_series, before.blocks, before.block_bytes
        ));
        db.compact_all(now_ms()).with_context(|| format!("cannot compact tenant {tenant}"))?;
        let after = db.stats();
        print_line(&format!(
            "{tenant}: done in {:.1} s: {} blocks, {} bytes, {} samples",
            begun.elapsed().as_secs_f64(),
            after.blocks,
            after.block_bytes,
            after.block_samples
        ));
    }
    store.close().context("cannot close the store")?;
    Ok(())
}
