//! Files of a block while they are written, and the frame of the chunks file.

use std::path::Path;

use crate::codec::{Reader, crc32};
use crate::disk::{Disk, DiskFile};
use crate::error::{Corruption, Error, Result};

/// First bytes of a chunks file, and its last.
pub const CHUNKS_MAGIC: &[u8; 8] = b"NINESCHK";
/// Version of the layout: its pages may be compressed.
pub const CHUNKS_VERSION: u32 = 2;
/// The oldest version that is read; none of its pages are compressed.
pub const CHUNKS_VERSION_MIN: u32 = 1;
/// Magic, version, four zero bytes.
pub const CHUNKS_HEADER_BYTES: usize = 16;
/// Offset of the footer, number of pages, checksum of header and these, magic.
pub const CHUNKS_FOOTER_BYTES: usize = 8 + 8 + 4 + 8;

/// Bytes collected before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// A file written from its beginning to its end.
pub(super) struct SealingFile {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
}

impl SealingFile {
    pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.create(path)?;
        Ok(Self { file, buffer: Vec::new(), written: 0 })
    }

    /// Bytes given so far.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the contents durable and answers their length.
    pub(super) fn seal(mut self) -> Result<u64> {
        self.flush()?;
        self.file.sync_all()?;
        Ok(self.written)
    }
}

pub(super) fn chunks_header(version: u32) -> Vec<u8> {
    let mut header = CHUNKS_MAGIC.to_vec();
    header.extend_from_slice(&version.to_le_bytes());
    header.resize(CHUNKS_HEADER_BYTES, 0);
    header
}

pub(super) fn chunks_footer(version: u32, offset: u64, n_pages: u64) -> Vec<u8> {
    let mut footer = offset.to_le_bytes().to_vec();
    footer.extend_from_slice(&n_pages.to_le_bytes());
    let mut covered = chunks_header(version);
    covered.extend_from_slice(&footer);
    footer.extend_from_slice(&crc32(&covered).to_le_bytes());
    footer.extend_from_slice(CHUNKS_MAGIC);
    footer
}

/// Checks the frame of the chunks file `path`, which must hold `n_pages` pages.
pub(super) fn check_chunks(bytes: &[u8], n_pages: u64, path: &Path) -> Result<()> {
    let bad = |offset: usize, what| Error::from(Corruption::new(path, offset as u64, what));
    let footer_at = bytes
        .len()
        .checked_sub(CHUNKS_FOOTER_BYTES)
        .filter(|at| *at >= CHUNKS_HEADER_BYTES)
        .ok_or_else(|| bad(0, "chunks file too short"))?;
    let mut reader = Reader::new(bytes);
    let malformed = |cause| Error::from(Corruption::malformed(path, 0, cause));
    let magic = reader.take(CHUNKS_MAGIC.len(), "chunks magic").map_err(malformed)?;
    let version = reader.u32("chunks version").map_err(malformed)?;
    if magic != CHUNKS_MAGIC {
        return Err(bad(0, "chunks magic"));
    }
    if !(CHUNKS_VERSION_MIN..=CHUNKS_VERSION).contains(&version) {
        return Err(bad(CHUNKS_MAGIC.len(), "chunks version is not known"));
    }
    let footer = chunks_footer(version, footer_at as u64, n_pages);
    if !bytes.starts_with(&chunks_header(version)) || bytes.get(footer_at..) != Some(&footer) {
        return Err(bad(footer_at, "chunks footer"));
    }
    Ok(())
}
