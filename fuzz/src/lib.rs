//! What the targets share: reading a program of edits out of the fuzzer's bytes, and files of the store
//! written by hand after `storage/FORMAT.md`, so that their checksums can be mended behind the edits. A
//! checksum keeps accidents out, not a file that was made wrong: the decoders behind it have to hold too.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic is what a fuzz target is for")]

use std::path::Path;

use nines_storage::disk::sim::SimDisk;
use nines_storage::disk::{Disk, create_dir_durable};
use nines_storage::wal::{
    FILE_HEADER_BYTES, FILE_MAGIC, FORMAT_VERSION, RECORD_HEADER_BYTES, RECORD_MAGIC, SEGMENT_KIND,
};

/// Reads small numbers and runs of bytes; zeros and empty runs behind the end.
#[derive(Debug, Clone)]
pub struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> u64 {
        (0..8).fold(0, |n, i| n | u64::from(self.u8()) << (8 * i))
    }

    /// The next `n` bytes, or what is left.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Changes single bytes of a file; the length stays.
pub fn overwrite(file: &mut [u8], edits: &mut Source<'_>, edits_max: usize) {
    for _ in 0..edits_max {
        if edits.is_empty() || file.is_empty() {
            break;
        }
        let (at, how, value) = (usize::from(edits.u16()), edits.u8(), edits.u8());
        let at = at % file.len();
        match how % 4 {
            0 => file[at] = value,
            1 => file[at] ^= value,
            2 => file[at] = file[at].wrapping_add(value),
            _ => file[at..].iter_mut().take(8).for_each(|byte| *byte = value),
        }
    }
}

/// What every segment made here carries.
const SALT: u32 = 0x5a17_5a17;

/// A segment of the log with these records: kind, durable sequence number, payload.
pub fn segment(number: u64, first: u64, records: &[(u8, u64, &[u8])]) -> Vec<u8> {
    let mut out = FILE_MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&SEGMENT_KIND.to_le_bytes());
    out.extend_from_slice(&SALT.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    assert_eq!(out.len(), FILE_HEADER_BYTES);
    for (sequence, (kind, durable, payload)) in (first..).zip(records) {
        let mut covered = crc32fast::hash(payload).to_le_bytes().to_vec();
        covered.extend_from_slice(&SALT.to_le_bytes());
        covered.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        covered.extend_from_slice(&sequence.to_le_bytes());
        covered.extend_from_slice(&durable.to_le_bytes());
        covered.push(*kind);
        assert_eq!(covered.len(), RECORD_HEADER_BYTES - 8);
        out.extend_from_slice(&RECORD_MAGIC.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
        out.extend_from_slice(&covered);
        out.extend_from_slice(payload);
    }
    out
}

/// Makes the checksums of a segment true again, record by record as long as there are magics and lengths.
pub fn mend_segment(bytes: &mut [u8]) {
    let header = FILE_HEADER_BYTES - 4;
    if bytes.len() < FILE_HEADER_BYTES {
        return;
    }
    put_crc(bytes, 0..header, header);
    let mut at = FILE_HEADER_BYTES;
    while let Some(record) = bytes.get_mut(at..).filter(|rest| rest.len() >= RECORD_HEADER_BYTES) {
        if record[..4] != RECORD_MAGIC.to_le_bytes() {
            break;
        }
        let len = u32::from_le_bytes(record[16..20].try_into().unwrap()) as usize;
        if let Some(end) = RECORD_HEADER_BYTES.checked_add(len).filter(|end| *end <= record.len()) {
            put_crc(record, RECORD_HEADER_BYTES..end, 8);
        }
        put_crc(record, 8..RECORD_HEADER_BYTES, 4);
        at = at.saturating_add(RECORD_HEADER_BYTES + len);
    }
}

/// Writes the checksum of `covered` to `place`.
pub fn put_crc(bytes: &mut [u8], covered: std::ops::Range<usize>, place: usize) {
    let sum = crc32fast::hash(&bytes[covered]);
    bytes[place..place + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Puts a file on a simulated disk, making its folder.
pub fn put_file(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    create_dir_durable(disk, path.parent().unwrap()).unwrap();
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_all().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}
