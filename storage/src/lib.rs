//! The store of nines: write-ahead log, head, columnar blocks, label index. Synchronous; knows nothing
//! of HTTP, PromQL, YAML or the wire.
#![deny(unsafe_code)]

mod append;
pub mod block;
pub mod chunk;
pub mod codec;
mod compact;
mod db;
pub mod disk;
mod error;
mod flat;
mod head;
mod heap;
pub mod history;
mod imports;
pub mod index;
pub mod model;
mod options;
pub mod query;
mod rollup;
mod stats;
mod store;
pub mod wal;

pub use append::{AppendOutcome, Exemplar, Metadata, REJECTIONS_KEPT_MAX, RejectReason, Rejection};
pub use db::{Db, Importing, RolledDay};
pub use error::{Corruption, Error, ErrorKind, Result};
pub use flat::{FLAT_ROWS_MAX, FlatColumn, flat_table};
pub use head::{
    Appender, Changes, Explore, Exploring, SERIES_SYMBOLS_MAX, SeriesHandle, SymbolHash, SymbolKeys,
};
pub use heap::{give_free_memory_back, give_large_blocks_back};
pub use imports::{IMPORTS_VERSION, ImportState, Imports};
pub use index::{Cardinality, Explored, LabelCount, Rank, SeriesCount};
pub use options::{StoreOptions, TARGET_LABELS};
pub use stats::{DbStats, RollingStats};
pub use store::{Histories, ReplayProgress, Store};
pub use wal::{WalStats, WalSync};
