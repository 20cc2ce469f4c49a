//! What a database holds and did, in plain numbers.

use crate::history::{Day, TableCost};
use crate::wal::WalStats;

/// What rolling up has to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollingStats {
    /// Days of this round, or of the last one if that failed, that are not done, the one in hand included.
    pub days_due: u64,
    /// Days of this round that are done.
    pub days_done: u64,
    /// The day that is being built.
    pub day: Option<Day>,
    /// How much of it is done, from 0 to 1.
    pub day_share: f64,
    /// Days that a damaged block keeps from being built.
    pub days_left_out: u64,
    /// Why the last round failed.
    pub last_error: Option<String>,
}

impl RollingStats {
    /// How much of the round is done, from 0 to 1; 1 when there is none.
    #[must_use]
    pub fn share(&self) -> f64 {
        let all = (self.days_done + self.days_due) as f64;
        if all == 0.0 { 1.0 } else { (self.days_done as f64 + self.day_share) / all }
    }
}

/// Counters (since the store was opened) and gauges of one tenant's database.
#[derive(Debug, Clone, Default)]
pub struct DbStats {
    /// Series in the head's index.
    pub head_series: u64,
    /// Series that left the head because they had no samples any more.
    pub series_evicted: u64,
    /// Chunks in the head.
    pub head_chunks: u64,
    /// Heap bytes of samples, series states and series keys.
    pub head_bytes: u64,
    /// Oldest sample in the head, milliseconds.
    pub head_min_ts: Option<i64>,
    /// Newest sample in the head, milliseconds.
    pub head_max_ts: Option<i64>,
    /// Samples and histograms taken.
    pub samples_appended: u64,
    /// Of these, older than the newest of their series.
    pub out_of_order_samples: u64,
    /// Samples left out of answers and compactions because an earlier accepted one has another value.
    pub duplicate_samples_dropped: u64,
    /// Exemplars kept.
    pub exemplars: u64,
    /// The log.
    pub wal: WalStats,
    /// Log entries whose series was lost with a damaged part of the log.
    pub wal_orphans: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of their files.
    pub block_bytes: u64,
    /// Series in them, counted once per block.
    pub block_series: u64,
    /// Samples in them.
    pub block_samples: u64,
    /// Blocks that cannot be read and were left where they are.
    pub quarantined_blocks: u64,
    /// Flushes of the head.
    pub flushes: u64,
    /// Compactions of blocks.
    pub compactions: u64,
    /// Time spent on them.
    pub compaction_seconds: f64,
    /// Days rolled up.
    pub days_rolled_up: u64,
    /// Time spent on them.
    pub rollup_seconds: f64,
    /// Bytes of the history's files.
    pub history_bytes: u64,
    /// Rows in them.
    pub history_rows: u64,
    /// What each table of the history takes.
    pub history_tables: Vec<TableCost>,
    /// How far rolling up is.
    pub rolling: RollingStats,
    /// The last commit of the history that the object store holds.
    pub history_published: u64,
    /// Commits that it does not hold yet.
    pub history_behind_commits: u64,
    /// For how long it has not held all of them.
    pub history_behind_seconds: f64,
    /// Files of the history that were written to it.
    pub history_published_files: u64,
    /// Their bytes.
    pub history_published_bytes: u64,
    /// Rounds of publishing that failed.
    pub history_publish_failures: u64,
    /// Whether nothing is published any more, because somebody else writes there.
    pub history_publish_stopped: bool,
    /// Oldest sample, milliseconds.
    pub min_ts: Option<i64>,
    /// Newest sample, milliseconds.
    pub max_ts: Option<i64>,
}
