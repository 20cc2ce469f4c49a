//! Every metric of the program, declared once.
//!
//! Names are `nines_<part>_<noun>_<unit>[_total]` in base units; `process_*` are the names that every
//! Prometheus client uses.

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the text format")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric: its name, kind and help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What it counts.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Family = Family { name: $name, kind: Kind::$kind, help: $help };)*
        /// All of them.
        pub const ALL: &[Family] = &[$($constant),*];
    };
}

families! {
    HTTP_REQUESTS = Counter "nines_http_requests_total"
        "Answered HTTP requests by handler and class of status.";
    HTTP_DURATION = Histogram "nines_http_request_duration_seconds"
        "Time from a request's head to its answer's head.";
    HTTP_CONNECTIONS = Counter "nines_http_connections_total"
        "Accepted connections.";
    INGEST_REQUESTS = Counter "nines_ingest_requests_total"
        "Remote-write requests whose body was judged.";
    INGEST_SAMPLES = Counter "nines_ingest_samples_total"
        "Float samples written, exact repetitions included.";
    INGEST_HISTOGRAMS = Counter "nines_ingest_histograms_total"
        "Native histograms written, exact repetitions included.";
    INGEST_EXEMPLARS = Counter "nines_ingest_exemplars_total"
        "Exemplars written, exact repetitions included.";
    INGEST_BYTES = Counter "nines_ingest_body_bytes_total"
        "Compressed bytes of the bodies.";
    INGEST_REJECTED = Counter "nines_ingest_rejected_total"
        "Refused samples, histograms, exemplars and series by reason.";
    INGEST_UNDECODABLE = Counter "nines_ingest_undecodable_requests_total"
        "Remote-write bodies that could not be decoded.";
    INGEST_OVERLOADED = Counter "nines_ingest_overloaded_requests_total"
        "Remote-write requests put off with 503 because a limit of the server was reached.";
    INGEST_UNAVAILABLE = Counter "nines_ingest_unavailable_requests_total"
        "Remote-write requests put off with 503 because the store could not take them.";
    INGEST_INFLIGHT_BYTES = Gauge "nines_ingest_inflight_bytes"
        "Compressed bytes of bodies that are held now.";
    INGEST_SENDERS = Gauge "nines_ingest_senders"
        "Senders that are remembered.";
    QUERIES = Counter "nines_query_requests_total"
        "Ended queries and other reads by kind and outcome: ok, timeout, limit, canceled, error.";
    QUERY_DURATION = Histogram "nines_query_duration_seconds"
        "Time from a query's arrival to its end, waiting included.";
    QUERY_QUEUE_SECONDS = Counter "nines_query_queue_seconds_total"
        "Time that queries waited for a slot.";
    QUERIES_SLOW = Counter "nines_query_slow_total"
        "Queries that took longer than query.slow_log_threshold.";
    QUERY_SAMPLES = Counter "nines_query_samples_total"
        "Samples that queries touched.";
    QUERY_RUNNING = Gauge "nines_query_running"
        "Queries running now.";
    QUERY_WAITING = Gauge "nines_query_waiting"
        "Queries waiting for a slot now.";
    MAINTENANCE_FAILURES = Counter "nines_maintenance_failures_total"
        "Rounds of flush, compaction and retention that failed.";
    READY = Gauge "nines_ready"
        "1 once the log is replayed and requests are served.";
    BUILD_INFO = Gauge "nines_build_info"
        "Always 1; the label tells the version.";
    HEAD_SERIES = Gauge "nines_head_series"
        "Series in memory.";
    HEAD_EVICTED = Counter "nines_head_series_evicted_total"
        "Series that left memory because they were not written any more.";
    HEAD_CHUNKS = Gauge "nines_head_chunks"
        "Chunks in memory.";
    HEAD_BYTES = Gauge "nines_head_bytes"
        "Bytes of samples in memory.";
    HEAD_SAMPLES = Counter "nines_head_samples_appended_total"
        "Samples appended.";
    HEAD_OUT_OF_ORDER = Counter "nines_head_out_of_order_samples_total"
        "Samples that came later than a newer one of their series.";
    WAL_BYTES = Gauge "nines_wal_bytes"
        "Bytes of the write-ahead log.";
    WAL_SEGMENTS = Gauge "nines_wal_segments"
        "Segments of the write-ahead log.";
    WAL_SYNCS = Counter "nines_wal_syncs_total"
        "Times the write-ahead log was synced to disk.";
    WAL_SYNC_SECONDS = Counter "nines_wal_sync_duration_seconds_total"
        "Time spent on syncing the write-ahead log.";
    WAL_FAILED = Gauge "nines_wal_failed"
        "1 after the write-ahead log failed: writes are refused until a restart.";
    WAL_FULL = Gauge "nines_wal_full"
        "1 while no segment of the write-ahead log can be made: writes are refused until there is room.";
    WAL_ORPHANS = Counter "nines_wal_orphans_total"
        "Entries of the write-ahead log whose series was lost with a damaged part of it.";
    WAL_CORRUPTIONS = Counter "nines_wal_corruptions_total"
        "Damaged places found in the write-ahead log.";
    BLOCKS = Gauge "nines_block_count"
        "Blocks on disk.";
    BLOCK_BYTES = Gauge "nines_block_bytes"
        "Bytes of the blocks.";
    BLOCK_SERIES = Gauge "nines_block_series"
        "Series over all blocks, counted once per block.";
    BLOCK_SAMPLES = Gauge "nines_block_samples"
        "Samples in blocks.";
    BLOCKS_QUARANTINED = Gauge "nines_block_quarantined"
        "Damaged blocks that are left out of answers.";
    FLUSHES = Counter "nines_compaction_flushes_total"
        "Flushes of the head to a block.";
    COMPACTIONS = Counter "nines_compaction_runs_total"
        "Compactions.";
    COMPACTION_SECONDS = Counter "nines_compaction_duration_seconds_total"
        "Time spent on compactions.";
    ROLLUP_DAYS = Counter "nines_rollup_days_total"
        "Days rolled up into the history.";
    ROLLUP_SECONDS = Counter "nines_rollup_duration_seconds_total"
        "Time spent on rolling up.";
    ROLLUP_DUE = Gauge "nines_rollup_days_due"
        "Days that are still to be rolled up in the round that is going on or failed.";
    ROLLUP_SHARE = Gauge "nines_rollup_share_done"
        "How much of the round of rolling up is done, from 0 to 1; 1 when none is going on or failed.";
    ROLLUP_LEFT_OUT = Gauge "nines_rollup_days_left_out"
        "Days that a damaged block keeps from being rolled up.";
    ROLLUP_FAILING = Gauge "nines_rollup_failing"
        "1 when the last round of rolling up failed.";
    HISTORY_BYTES = Gauge "nines_history_bytes"
        "Bytes of the history's files.";
    HISTORY_ROWS = Gauge "nines_history_rows"
        "Rows in the history's files.";
    HISTORY_TABLE_BYTES = Gauge "nines_history_table_bytes"
        "Bytes of the files of a table of the history.";
    HISTORY_TABLE_ROWS = Gauge "nines_history_table_rows"
        "Rows of a table of the history.";
    HISTORY_TABLE_FILES = Gauge "nines_history_table_files"
        "Files of a table of the history.";
    HISTORY_TABLE_YEAR = Gauge "nines_history_table_bytes_per_year"
        "Bytes that a year of a table of the history takes at the rate of the newest days.";
    HISTORY_OPEN_BYTES = Gauge "nines_history_open_bytes"
        "Bytes of memory that opened history takes, of all tenants.";
    HISTORY_OPEN_MAX_BYTES = Gauge "nines_history_open_max_bytes"
        "Bytes of it that are kept when no query needs them: memory.max_history_bytes, or less when memory is short.";
    HISTORY_PUBLISHED = Gauge "nines_history_published_commit"
        "The last commit of the history that the object store holds.";
    HISTORY_BEHIND = Gauge "nines_history_publish_behind_commits"
        "Commits of the history that the object store does not hold yet.";
    HISTORY_LAG = Gauge "nines_history_publish_lag_seconds"
        "For how long the object store has not held all commits of the history.";
    HISTORY_PUBLISHED_FILES = Counter "nines_history_published_files_total"
        "Files of the history written to the object store.";
    HISTORY_PUBLISHED_BYTES = Counter "nines_history_published_bytes_total"
        "Bytes of these files.";
    HISTORY_PUBLISH_FAILURES = Counter "nines_history_publish_failures_total"
        "Rounds of publishing the history that failed and were tried again.";
    HISTORY_PUBLISH_STOPPED = Gauge "nines_history_publish_stopped"
        "1 when nothing is published any more, because another server writes to the same place.";
    DUPLICATES = Counter "nines_compaction_duplicate_samples_dropped_total"
        "Samples dropped because an earlier one has their timestamp.";
    EXEMPLARS = Gauge "nines_exemplar_count"
        "Exemplars kept.";
    PROCESS_CPU = Counter "process_cpu_seconds_total"
        "Total user and system CPU time spent in seconds.";
    PROCESS_RSS = Gauge "process_resident_memory_bytes"
        "Resident memory size in bytes.";
    PROCESS_VSIZE = Gauge "process_virtual_memory_bytes"
        "Virtual memory size in bytes.";
    PROCESS_FDS = Gauge "process_open_fds"
        "Number of open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds"
        "Maximum number of open file descriptors.";
    PROCESS_THREADS = Gauge "process_threads"
        "Number of threads.";
    PROCESS_START = Gauge "process_start_time_seconds"
        "Start time of the process since unix epoch in seconds.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rule() {
        let mut seen = HashSet::new();
        for family in ALL {
            assert!(seen.insert(family.name), "{} twice", family.name);
            assert_eq!(
                family.kind == Kind::Counter,
                family.name.ends_with("_total"),
                "{}",
                family.name
            );
            assert!(
                family.name.starts_with("nines_") || family.name.starts_with("process_"),
                "{}",
                family.name
            );
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
        }
    }
}
