//! The bytes of the log: file header and record frame. Constants are those of `FORMAT.md`.

use super::RecordKind;
use crate::codec::{Malformed, Reader, crc32};

/// First bytes of every file of the log.
pub const FILE_MAGIC: [u8; 8] = *b"ninesWAL";
/// Version of the bytes after [`FILE_MAGIC`].
pub const FORMAT_VERSION: u16 = 2;
/// `kind` of a segment's header.
pub const SEGMENT_KIND: u16 = 1;
/// `kind` of a checkpoint's header.
pub const CHECKPOINT_KIND: u16 = 2;
/// Length of the header of a file.
pub const FILE_HEADER_BYTES: usize = 36;
/// First bytes of a record, read as a little-endian number.
pub const RECORD_MAGIC: u32 = 0x4352_4e9c;
/// Length of the header of a record.
pub const RECORD_HEADER_BYTES: usize = 37;
/// Longest payload of a record. A segment shorter than this bounds it further.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// Highest sequence number that is believed. No log ever comes near it; counting on from it must not overflow.
pub const SEQUENCE_MAX: u64 = 1 << 62;

/// A sequence number that a log can have.
fn believed(sequence: u64, what: &'static str) -> Result<u64, Malformed> {
    if sequence <= SEQUENCE_MAX { Ok(sequence) } else { Err(Malformed { what, at: 0 }) }
}

/// Header of a segment or checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) kind: u16,
    pub(super) number: u64,
    /// Sequence number of the first record in this segment; of a checkpoint: of the segment `number`.
    pub(super) first: u64,
    /// Repeated in every record of the file, so that bytes inside a payload cannot pass for one.
    pub(super) salt: u32,
}

/// What is wrong with a file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Not ours, or damaged.
    Damaged(Malformed),
    /// Intact, but of this version, which this program does not know.
    Version(u16),
}

impl From<Malformed> for BadHeader {
    fn from(cause: Malformed) -> Self {
        Self::Damaged(cause)
    }
}

impl FileHeader {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&FILE_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        let crc = crc32(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut reader = Reader::new(bytes);
        let covered = Reader::new(bytes).take(FILE_HEADER_BYTES - 4, "file header")?;
        if reader.take(FILE_MAGIC.len(), "magic")? != FILE_MAGIC {
            return Err(BadHeader::Damaged(Malformed { what: "file magic", at: 0 }));
        }
        let version = reader.u16("version")?;
        let kind = reader.u16("file kind")?;
        let salt = reader.u32("salt")?;
        let number = reader.u64("file number")?;
        let first = reader.u64("first sequence number")?;
        if reader.u32("file header checksum")? != crc32(covered) {
            return Err(BadHeader::Damaged(Malformed { what: "file header checksum", at: 0 }));
        }
        if version != FORMAT_VERSION {
            return Err(BadHeader::Version(version));
        }
        let first = believed(first, "first sequence number")?;
        Ok(Self { kind, number, first, salt })
    }
}

/// Header of a record; its payload follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: RecordKind,
    pub(super) sequence: u64,
    /// Highest sequence number known to be durable when this record was made.
    pub(super) durable: u64,
    pub(super) salt: u32,
    pub(super) payload_bytes: u32,
    pub(super) payload_crc: u32,
}

impl RecordHeader {
    pub(super) fn to_bytes(self) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        let (head, covered) = out.split_at_mut(8);
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(slot) = covered.get_mut(at..at + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&self.payload_crc.to_le_bytes());
        put(&self.salt.to_le_bytes());
        put(&self.payload_bytes.to_le_bytes());
        put(&self.sequence.to_le_bytes());
        put(&self.durable.to_le_bytes());
        put(&[self.kind.0]);
        let (magic, crc) = head.split_at_mut(4);
        magic.copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        crc.copy_from_slice(&crc32(covered).to_le_bytes());
        out
    }

    /// Reads and verifies a header; the payload is not looked at.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32("record magic")? != RECORD_MAGIC {
            return Err(Malformed { what: "record magic", at: 0 });
        }
        let crc = reader.u32("record header checksum")?;
        let covered = Reader::new(bytes.get(8..).unwrap_or_default())
            .take(RECORD_HEADER_BYTES - 8, "record header")?;
        if crc != crc32(covered) {
            return Err(Malformed { what: "record header checksum", at: 0 });
        }
        let payload_crc = reader.u32("payload checksum")?;
        let salt = reader.u32("salt")?;
        let payload_bytes = reader.u32("payload length")?;
        let sequence = believed(reader.u64("sequence number")?, "sequence number")?;
        let durable = believed(reader.u64("durable sequence number")?, "durable sequence number")?;
        let kind = RecordKind(reader.u8("record kind")?);
        Ok(Self { kind, sequence, durable, salt, payload_bytes, payload_crc })
    }
}
