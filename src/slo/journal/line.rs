//! One line of a journal: JSON whose last member is the checksum of all before it.

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::record::Recorded;
use super::{JournalError, Result};
use crate::clock::format_rfc3339;

/// Bytes of a line at most: a statement about a hundred thousand groups.
pub const LINE_BYTES_MAX: usize = 64 << 20;
/// Version of the lines.
pub const JOURNAL_VERSION: u32 = 2;
/// What stands before the eight digits of the checksum.
const CRC_KEY: &str = ",\"crc32\":\"";
/// Bytes of the digits and of what closes the line.
const CRC_REST: usize = 8 + "\"}".len();

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Time is counted otherwise.
    ExclusionCreated,
    /// An exclusion holds no more.
    ExclusionRevoked,
    /// The figures of a period are final.
    StatementClosed,
    /// What a closed statement would say by now.
    StatementRestated,
    /// Definitions came, went or changed.
    DefinitionsChanged,
}

/// A line but for what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) at_ms: i64,
    pub(super) kind: Kind,
    pub(super) author: String,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Faulty(pub(super) String);

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    seq: u64,
    at: String,
    kind: Kind,
    author: &'a str,
    payload: &'a Recorded,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    seq: u64,
    at: String,
    kind: Kind,
    author: String,
    payload: serde_json::Value,
}

impl Line {
    /// The line with what it says, its end included.
    pub(super) fn write(&self, recorded: &Recorded) -> Result<String> {
        let Self { seq, at_ms, kind, author } = self;
        let at = format_rfc3339(*at_ms);
        let written = Written {
            version: JOURNAL_VERSION,
            seq: *seq,
            at,
            kind: *kind,
            author,
            payload: recorded,
        };
        let mut text = serde_json::to_string(&written).map_err(|error| {
            JournalError::Invalid(format!("an entry cannot be written: {error}"))
        })?;
        text.pop();
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("{CRC_KEY}{crc:08x}\"}}\n"));
        if text.len() > LINE_BYTES_MAX {
            let what = "an entry of the journal of SLOs would be too long";
            return Err(JournalError::Limit { what, max: LINE_BYTES_MAX });
        }
        Ok(text)
    }

    /// Reads a line without its end.
    pub(super) fn read(text: &[u8]) -> std::result::Result<(Self, Recorded), Faulty> {
        if text.len() > LINE_BYTES_MAX {
            return Err(Faulty(format!("it has more than {LINE_BYTES_MAX} bytes")));
        }
        let split = text.len().checked_sub(CRC_KEY.len() + CRC_REST);
        let (covered, rest) = split
            .and_then(|at| text.split_at_checked(at))
            .ok_or_else(|| Faulty("it is too short".to_owned()))?;
        let told = rest
            .strip_prefix(CRC_KEY.as_bytes())
            .and_then(|rest| rest.strip_suffix(b"\"}"))
            .and_then(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .ok_or_else(|| Faulty("it has no checksum at its end".to_owned()))?;
        let found = crc32fast::hash(covered);
        if found != told {
            return Err(Faulty(format!("its checksum is {found:08x}, and {told:08x} was written")));
        }
        let malformed = |error: serde_json::Error| Faulty(format!("it cannot be read: {error}"));
        let Read { version, seq, at, kind, author, payload } =
            serde_json::from_slice(text).map_err(malformed)?;
        if version != JOURNAL_VERSION {
            return Err(Faulty(format!(
                "its version is {version}, and {JOURNAL_VERSION} is known"
            )));
        }
        let at = DateTime::parse_from_rfc3339(&at)
            .map_err(|error| Faulty(format!("its time {at:?} cannot be read: {error}")))?;
        let recorded = Recorded::read(kind, payload).map_err(malformed)?;
        Ok((Self { seq, at_ms: at.timestamp_millis(), kind, author }, recorded))
    }
}
