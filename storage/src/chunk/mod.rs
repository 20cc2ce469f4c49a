//! Value codecs and pages: how samples look inside a sealed block.
//!
//! A page holds the samples of one target group within one window of time, for a run of series ordinals:
//! the timestamp columns the series share, and per series an entry of presence and encoded values.
//! Everything is lossless to the bit (NaN payloads, stale markers, `-0.0`).
//!
//! Owns the byte layout of pages (`storage/FORMAT.md`); knows nothing of files. No threads: builders and
//! scratch buffers belong to one thread, an opened [`Page`] may be shared.
//!
//! Invariants: a column is strictly ascending and has at most [`WINDOW_SLOTS_MAX`] slots; the entries of a page
//! ascend by ordinal, a series has at most one float and one histogram entry; decoders never panic on any
//! bytes and never reserve memory on the word of a length field (at most a window's slots per buffer, and
//! `INFLATED_PAGE_BYTES_MAX` for a compressed page).

mod bits;
mod builder;
mod columns;
mod compression;
mod ints;
mod layout;
mod page;
#[cfg(test)]
mod page_tests;
mod presence;
mod timestamps;
mod values;

pub use builder::PageBuilder;
pub use compression::{Compressor, InflatedPages};
pub use page::{HistogramSink, Page, PageScratch};

/// Samples of one series, and slots of one timestamp column, that a page holds at most.
pub const WINDOW_SLOTS_MAX: usize = 720;

/// The size in bytes at which a writer should finish a page and begin the next.
pub const PAGE_BYTES_TARGET: usize = 64 * 1024;

/// What an entry of a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Floats, with their start timestamps if any is set.
    Floats,
    /// Native histograms as opaque blobs.
    Histograms,
}

/// What a page holds, for the page index of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageInfo {
    /// The lowest ordinal inside.
    pub first_ord: u32,
    /// The highest ordinal inside.
    pub last_ord: u32,
    /// The earliest timestamp inside, in milliseconds.
    pub min_ts: i64,
    /// The latest timestamp inside, in milliseconds.
    pub max_ts: i64,
    /// Samples of all kinds inside.
    pub n_samples: u32,
    /// Length of the page in bytes, checksum included.
    pub len: u32,
}
