//! The store of nines: write-ahead log, head, columnar blocks, label index. Synchronous; knows nothing
//! of HTTP, PromQL, YAML or the wire.
#![deny(unsafe_code)]

mod append;
pub mod block;
pub mod chunk;
pub mod codec;
pub mod disk;
mod error;
pub mod index;
pub mod model;
pub mod wal;

pub use append::{AppendOutcome, Exemplar, Metadata, REJECTIONS_KEPT_MAX, RejectReason, Rejection};
pub use error::{Corruption, Error, ErrorKind, Result};
pub use index::Cardinality;
pub use wal::{WalStats, WalSync};
