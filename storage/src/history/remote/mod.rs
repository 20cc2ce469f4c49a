//! The history in an object store: a copy that follows the commits of the data directory, and what a data directory
//! that lost its files takes them from.
//!
//! ```text
//! <prefix>/<tenant>/
//!   rollup_1h/..., rollup_1d/...        the files, under the paths that they have in the data directory
//!   _nines/commits/<20 digits>.json     commits, each made if there was none under its number
//!   _nines/staging/                     files that wait for their commit and their place
//!   _trash/                             superseded files, for an hour
//! ```
//!
//! Owns: what is written there and in which order, and `_nines/published.json`, the record of it. Does not know which
//! store that is: [`Objects`] is what it asks of one.
//!
//! Invariants: a commit names files that are there. A number has one commit, whoever writes it; who finds another's
//! commit under the next number writes nothing more. A path is written over after the commit that supersedes what is
//! there. The record never tells of more than the store holds.
//!
//! Threads: one publishes at a time; everybody fetches. Nothing of the data directory waits for the store but a query
//! of a file that only the store has, and the first roll-up of a directory that does not know yet what the store holds.

mod away;
mod chain;
mod document;
mod objects;
mod publish;
mod shed;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

pub(super) use away::Away;
pub use document::{DOCUMENT_BYTES_MAX, STATE_EVERY};
pub use objects::{Listed, Objects};
pub(super) use publish::Remote;
pub use publish::{Published, RemoteStats};
