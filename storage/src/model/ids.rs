//! Two identities of a series that must never be confused.

/// Names a series in the write-ahead log and at the head's face. Counted up from 1, never reused
/// within one data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u64);

/// The dense place of a series inside one index (one block, or the head): what roaring bitmaps hold.
/// Meaningless outside that index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesOrd(pub u32);
