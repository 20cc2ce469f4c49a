//! The label index: which series carry which labels.
//!
//! A series' label set is kept in three parts. Its *entity* is the target it was scraped from: the labels
//! named by the setting `target_labels` (`job`, `instance`, ...) that it has. Its *shape* is its metric name
//! and the names of its other labels. What remains are the *residual* values. Thousands of series share an
//! entity or a shape, so that a series costs a handful of small numbers.
//!
//! [`MemIndex`] is the index of the head; `IndexBuilder` the index of a block while it is written; [`IndexFile`]
//! the index of a block, read in place from a mapped file (`storage/FORMAT.md`, "index"). The first and the last answer matchers by the same code (`resolve`).
//!
//! Invariants: a [`SeriesOrd`](crate::model::SeriesOrd) means a place in one index only, and the series there
//! until it is removed: places, entities, symbols, shapes and names that nobody has any more are given again.
//! A label name is of one class (metric name, target, residual) within an index. Labels without a value do
//! not exist.
//! Threads: `MemIndex` has one writer behind its owner's lock; `IndexFile` is shared freely.

mod ascending;
mod builder;
mod copy;
mod explore;
mod file;
mod file_labels;
mod file_read;
mod file_write;
mod interner;
mod mem;
mod mem_read;
mod numbered;
mod order;
mod paged;
mod pairs;
mod parts;
mod pattern;
mod postings;
mod resolve;
mod sections;
mod split;
mod top;
mod values;
mod written_rows;

pub(crate) use builder::IndexBuilder;
pub(crate) use copy::RowCopier;
pub use explore::{Exploration, Explored, LabelCount, Rank, SeriesCount};
pub use file::IndexFile;
pub(crate) use file_labels::LabelWalk;
pub(crate) use file_write::write_index;
pub use file_write::{
    INDEX_CLASS_METRIC, INDEX_CLASS_RESIDUAL, INDEX_CLASS_TARGET, INDEX_PAGE_ENTRY_BYTES,
    INDEX_POSTINGS_GAPS, INDEX_POSTINGS_ROARING, INDEX_ROWS_PER_OFFSET, PageRef,
};
pub use mem::{EntityId, MemIndex, Removed};
pub(crate) use numbered::Numbered;
pub use order::BlockOrder;
pub(crate) use pattern::Pattern;
pub use resolve::Cardinality;
pub use sections::{INDEX_FOOTER_BYTES, INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_VERSION};
pub(crate) use split::is_target;
pub use split::{compare_in_entity, entity_labels};

#[cfg(test)]
mod tests;
