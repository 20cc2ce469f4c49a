//! A compressed body becomes samples in a database: [`nines_proto::decompress`], then [`crate::ingest`].

use nines_proto::{DECODED_BYTES_MAX, Protocol, decompress};
use nines_storage::Db;
use parking_lot::Mutex;

use crate::ingest::{self, IngestError, Limits, WriteSummary};

/// Largest decompression buffer that is kept for another body, and how many are.
const BUFFER_BYTES_KEPT_MAX: usize = 2 << 20;
const BUFFERS_KEPT_MAX: usize = 8;

/// Buffers that nobody uses. The one used last is the next: no more are kept than bodies were written at a time,
/// however many threads take turns.
static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// What became of a body.
pub(super) enum Appended {
    /// Judged sample by sample, the accepted ones durable.
    Judged(WriteSummary),
    /// Not a valid message: nothing was stored, the same bytes will fail again.
    Undecodable(String),
    /// The store cannot take it now: nothing was acknowledged.
    Failed(nines_storage::Error),
}

/// Decodes `body` and appends it. Blocks until the samples are durable.
pub(super) fn append(db: &Db, protocol: Protocol, body: &[u8], now_ms: i64) -> Appended {
    let mut buffer = BUFFERS.lock().pop().unwrap_or_default();
    let appended = match decompress(body, DECODED_BYTES_MAX, &mut buffer) {
        Ok(message) => append_message(db, protocol, message, now_ms),
        Err(error) => Appended::Undecodable(error.to_string()),
    };
    if buffer.capacity() <= BUFFER_BYTES_KEPT_MAX {
        let mut kept = BUFFERS.lock();
        if kept.len() < BUFFERS_KEPT_MAX {
            kept.push(buffer);
        }
    }
    appended
}

fn append_message(db: &Db, protocol: Protocol, message: &[u8], now_ms: i64) -> Appended {
    let limits = Limits::default();
    let written = match protocol {
        Protocol::V1 => ingest::write_v1(db, message, &limits, now_ms),
        Protocol::V2 => ingest::write_v2(db, message, &limits, now_ms),
    };
    match written {
        Ok(summary) => Appended::Judged(summary),
        Err(IngestError::Store(error)) => Appended::Failed(error),
        Err(error @ (IngestError::Decode(_) | IngestError::TooMany { .. })) => {
            Appended::Undecodable(error.to_string())
        }
    }
}
