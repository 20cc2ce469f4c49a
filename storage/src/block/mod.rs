//! Blocks: immutable directories, each with the samples of some span of time.
//!
//! `<blocks>/<16 hexadecimal digits>/` holds `meta.json`, `chunks` (pages of samples), `index` (labels and page
//! directory) and, once samples were deleted, `tombstones`; see `storage/FORMAT.md`.
//!
//! Invariants: a directory with a block's name is complete: it was written as `<id>.tmp`, synced and renamed. Its
//! files but `tombstones` never change; `tombstones` is replaced as a whole. A page's or section's checksum is
//! verified before its bytes are used for the first time after opening. Damage is an error with path and offset,
//! never a wrong value and never a panic.
//!
//! Threads: a [`Writer`] belongs to one; a [`Block`] is shared, tombstones are swapped under a lock.

mod group;
mod load;
mod meta;
mod reader;
mod sealing;
mod tombstones;
mod writer;

pub use load::{Loaded, Quarantined, load_blocks, remove_block};
pub use meta::{BLOCK_META_VERSION, BlockId, BlockMeta};
pub use reader::{Block, Damage, ReadScratch};
pub use sealing::{
    CHUNKS_FOOTER_BYTES, CHUNKS_HEADER_BYTES, CHUNKS_MAGIC, CHUNKS_VERSION, CHUNKS_VERSION_MIN,
};
pub use tombstones::{TOMBSTONES_MAGIC, TOMBSTONES_VERSION, Tombstones};
pub use writer::{Sealed, Writer};

/// Name of the file that says what a block holds.
pub const META_FILE: &str = "meta.json";
/// Name of the file of pages.
pub const CHUNKS_FILE: &str = "chunks";
/// Name of the file of labels and the page directory.
pub const INDEX_FILE: &str = "index";
/// Name of the file of deleted intervals.
pub const TOMBSTONES_FILE: &str = "tombstones";
/// What is appended to the name of a directory or file that is not complete.
const UNFINISHED: &str = ".tmp";

#[cfg(test)]
mod tests;
