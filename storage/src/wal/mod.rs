//! The write-ahead log: what is acknowledged is in it, synced.
//!
//! Owns: the directory `wal/` of a tenant: numbered segments, `checkpoint.<number>` files and the copies
//! in `quarantine/`. The bytes are described in `FORMAT.md`, section "Write-ahead log".
//!
//! Invariants:
//! * [`Wal::sync`] answers `Ok(())` only when the record and all before it are durable
//!   (in [`WalSync::Interval`] mode: only queued).
//! * Records have consecutive sequence numbers; replay gives each at most once, in order, unaltered.
//! * A record that was never synced may vanish at a crash; then all after it vanish too.
//! * Acknowledged bytes are never deleted except by [`Wal::truncate_before`], after a checkpoint.
//! * After a failed write or sync the log refuses everything; it never syncs the same file again.
//!
//! Use, for a writer: [`Wal::admit`] without locks held (it may do I/O and wait a little), then, as long as
//! the [`Admission`] lives, apply changes and [`Wal::log`] them under whatever lock orders them (memory
//! only); release the lock and the admission, [`Wal::sync`], acknowledge.
//!
//! Threads: callers of [`Wal::sync`] elect a leader among themselves, which writes for all. Only
//! [`WalSync::Interval`] has a thread of its own.

mod checkpoint;
mod commit;
mod format;
mod log;
mod replay;
mod scan;
mod segment;
mod settle;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use format::{
    CHECKPOINT_KIND, FILE_HEADER_BYTES, FILE_MAGIC, FORMAT_VERSION, RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES, RECORD_MAGIC, SEGMENT_KIND, SEQUENCE_MAX,
};
pub use log::{Admission, Wal};
pub use replay::replay;

use crate::error::{Corruption, Result};

/// Name of the directory, inside the log's, that keeps copies of damaged files.
pub const QUARANTINE_DIR: &str = "quarantine";

/// Most bytes waiting to be written unless set otherwise.
pub const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Length of a segment unless set otherwise.
pub const SEGMENT_BYTES: u64 = 32 << 20;

/// What a record holds; the log does not look inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(pub u8);

impl RecordKind {
    /// Written by the log itself to prove that what comes before is durable; never replayed.
    pub const MARK: Self = Self(0);
    /// Ends a checkpoint; never replayed.
    pub const END: Self = Self(255);

    /// Whether the log keeps this kind for itself: [`Wal::log`] refuses it.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        self == Self::MARK || self == Self::END
    }
}

/// Place of a record in the log: its sequence number; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// Number of a segment, as in its file name.
pub type SegmentNumber = u64;

/// When [`Wal::sync`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WalSync {
    /// When the record is durable.
    #[default]
    Always,
    /// When the record is queued; written and synced at this interval. A crash loses that much.
    Interval(Duration),
}

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// When [`Wal::sync`] answers.
    pub sync: WalSync,
    /// Length of a segment; it is reserved as a whole when the segment is made. Bounds a record.
    pub segment_bytes: u64,
    /// Most bytes waiting to be written; beyond it [`Wal::admit`] refuses.
    pub queue_bytes_max: usize,
    /// How long after a segment could not be made (disk full) it is tried again.
    pub retry_interval: Duration,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            sync: WalSync::Always,
            segment_bytes: SEGMENT_BYTES,
            queue_bytes_max: QUEUE_BYTES_MAX,
            retry_interval: Duration::from_secs(1),
        }
    }
}

/// Receives each record of a replay; an error ends the replay.
pub type Visit<'a> = &'a mut dyn FnMut(RecordKind, &[u8]) -> Result<()>;

/// Told after each file of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Checkpoint and segments to read.
    pub files_total: u64,
    /// Of these, read.
    pub files_done: u64,
    /// Records replayed.
    pub records: u64,
    /// Bytes of files read.
    pub bytes: u64,
}

/// Damage found in the log.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Where, and what was found.
    pub at: Corruption,
    /// First and last sequence number that were lost by it, if any. Inside a checkpoint the numbers are
    /// those of its own records.
    pub lost: Option<(Lsn, Lsn)>,
    /// Copy of the damaged file, if one could be made.
    pub copy: Option<PathBuf>,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Records replayed, checkpoint included.
    pub records: u64,
    /// Number of the checkpoint that was used.
    pub checkpoint: Option<SegmentNumber>,
    /// Segments read.
    pub segments: u64,
    /// Last sequence number of the log.
    pub last: Lsn,
    /// Where the tail of the last segment was cut: records that were never acknowledged. No damage.
    pub torn: Option<Corruption>,
    /// Damage found; the log went on behind it.
    pub damage: Vec<Damage>,
    /// A segment that must have been here and is gone with all that it held: the one that the newest
    /// checkpoint leads to, or any at all.
    pub missing: Option<PathBuf>,
}

/// Counters and gauges of a log.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WalStats {
    /// Segment files, the spare one included.
    pub segments: u64,
    /// Bytes that segments take on the disk.
    pub bytes: u64,
    /// Records logged since it was opened.
    pub records: u64,
    /// Bytes logged since it was opened, headers included.
    pub logged_bytes: u64,
    /// Bytes waiting to be written.
    pub queued_bytes: u64,
    /// Syncs of segments since it was opened.
    pub syncs: u64,
    /// Seconds spent writing and syncing.
    pub sync_seconds: f64,
    /// A write or a sync failed: the log takes nothing more.
    pub failed: bool,
    /// No segment could be made: the log takes nothing, as soon as the last one is full, until it can.
    pub full: bool,
    /// There is no room for another batch.
    pub refusing: bool,
    /// Damage found when it was opened.
    pub corruptions: u64,
}
