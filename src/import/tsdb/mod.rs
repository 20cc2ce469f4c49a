//! Blocks of Prometheus's TSDB, which Thanos, Cortex and Mimir keep as well: `meta.json`, `index`, `chunks/`,
//! `tombstones`. Documents: `tsdb/docs/format` of Prometheus.
//!
//! Invariants: every checksum is verified before its bytes are used; nothing is allocated that bytes merely claim;
//! of a block the symbol table and some bytes per series are in memory, the rest is read piece by piece.
#![allow(clippy::big_endian_bytes, reason = "the numbers of these files are big-endian")]

mod bits;
mod block;
#[doc(hidden)]
pub mod check;
mod chunks;
mod collected;
mod histogram;
mod index;
mod order;
mod symbols;
mod tombstones;
mod xor;

#[cfg(test)]
#[path = "../../../tests/tsdb/encode.rs"]
mod encode;
#[cfg(test)]
mod tests;

pub use block::{BLOCK_DAYS_MAX, Block, Source, find};
