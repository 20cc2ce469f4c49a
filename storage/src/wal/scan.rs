//! Finding records in bytes that may be damaged.

use super::format::{RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader};
use crate::codec::crc32;

/// Bytes at which a record was expected and none was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad {
    /// Position in the file.
    pub(super) offset: u64,
    pub(super) what: &'static str,
    /// The place of the header is all zeros: nothing was written here, as far as one can see.
    pub(super) blank: bool,
}

/// A verified record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Position in the file.
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
    pub(super) payload: &'a [u8],
    /// Where the bytes began that were passed over since the record before.
    pub(super) bad: Option<Bad>,
}

impl Found<'_> {
    /// Position behind the record.
    pub(super) fn end(&self) -> u64 {
        self.offset + (RECORD_HEADER_BYTES + self.payload.len()) as u64
    }
}

/// Walks the records of `bytes`, which lie at `base` of their file; passes over what does not verify by
/// looking for the next record that does.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    base: u64,
    at: usize,
    /// Salts that a record may carry: that of the file's header, or, where it is lost, those of its
    /// neighbours. Never any salt: a sender can put bytes into a payload that look like a record.
    salts: &'a [u32],
    /// The file goes on behind `bytes`: stop before a record that may.
    more: bool,
    bad: Option<Bad>,
}

enum Miss {
    /// No header here.
    Header(&'static str),
    /// A header, whose payload of this length does not verify.
    Payload(usize),
    /// The record may go on behind the bytes.
    Short,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], start: usize, salts: &'a [u32]) -> Self {
        Self { bytes, base: 0, at: start.min(bytes.len()), salts, more: false, bad: None }
    }

    /// For a piece of a file: `base` is its place, `more` says that the file goes on, `bad` is what the
    /// scanner of the piece before left in [`Scanner::bad`].
    pub(super) fn piece(
        bytes: &'a [u8],
        base: u64,
        salts: &'a [u32],
        more: bool,
        bad: Option<Bad>,
    ) -> Self {
        Self { bytes, base, at: 0, salts, more, bad }
    }

    /// Where the next piece has to begin.
    pub(super) fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Where the bytes began that were passed over at the end.
    pub(super) fn bad(&self) -> Option<Bad> {
        self.bad
    }

    fn record_at(&self, at: usize) -> Result<(RecordHeader, &'a [u8]), Miss> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.len() < RECORD_HEADER_BYTES && self.more {
            return Err(Miss::Short);
        }
        let header = RecordHeader::read(rest).map_err(|cause| Miss::Header(cause.what))?;
        if !self.salts.contains(&header.salt) {
            return Err(Miss::Header("salt"));
        }
        let len = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
        if len > RECORD_BYTES_MAX {
            return Err(Miss::Header("payload length"));
        }
        match rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + len) {
            Some(payload) if crc32(payload) == header.payload_crc => Ok((header, payload)),
            Some(_) => Err(Miss::Payload(len)),
            None if self.more => Err(Miss::Short),
            None => Err(Miss::Header("payload length")),
        }
    }

    fn note_bad(&mut self, what: &'static str) {
        if self.bad.is_none() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let blank = rest.iter().take(RECORD_HEADER_BYTES).all(|byte| *byte == 0);
            self.bad = Some(Bad { offset: self.position(), what, blank });
        }
    }

    /// Moves to the next place after this one where a record may begin.
    fn seek_magic(&mut self) {
        let magic = RECORD_MAGIC.to_le_bytes();
        let mut from = self.at + 1;
        while let Some(found) =
            self.bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == magic[0]))
        {
            let at = from + found;
            let here = self.bytes.get(at..).unwrap_or_default();
            let cut_off = here.len() < magic.len() && self.more;
            if here.starts_with(&magic) || cut_off {
                self.at = at;
                return;
            }
            from = at + 1;
        }
        self.at = self.bytes.len();
    }

    /// The next record that verifies.
    pub(super) fn next(&mut self) -> Option<Found<'a>> {
        while self.at < self.bytes.len() {
            match self.record_at(self.at) {
                Ok((header, payload)) => {
                    let offset = self.position();
                    self.at += RECORD_HEADER_BYTES + payload.len();
                    return Some(Found { offset, header, payload, bad: self.bad.take() });
                }
                Err(Miss::Short) => return None,
                Err(Miss::Payload(len)) => {
                    self.note_bad("payload checksum");
                    self.at += RECORD_HEADER_BYTES + len;
                }
                Err(Miss::Header(what)) => {
                    self.note_bad(what);
                    self.seek_magic();
                }
            }
        }
        None
    }
}
