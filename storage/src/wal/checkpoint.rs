//! Checkpoints: one file that stands for all segments before its number.

use std::path::{Path, PathBuf};

use super::format::{
    BadHeader, CHECKPOINT_KIND, FILE_HEADER_BYTES, FileHeader, RECORD_BYTES_MAX, RecordHeader,
};
use super::scan::{Bad, Scanner};
use super::segment::{TEMPORARY_SUFFIX, checkpoint_path};
use super::{Damage, Lsn, RecordKind, SegmentNumber, Visit};
use crate::codec::{Reader, crc32};
use crate::disk::{Disk, DiskFile};
use crate::error::{Corruption, Error, Result};

/// A checkpoint is read in pieces of this size; one holds the longest record.
const PIECE_BYTES: usize = RECORD_BYTES_MAX + (1 << 20);
/// A checkpoint is written in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// What reading a checkpoint found.
#[derive(Debug, Default)]
pub(super) struct CheckpointRead {
    /// Sequence number that its segment begins with; `None` if the header is damaged.
    pub(super) first: Option<u64>,
    /// Records, without the end record.
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) damage: Vec<Damage>,
}

/// Refuses what a later version wrote; damage is for the caller to tell.
pub(super) fn header_or_damage(
    path: &Path,
    bytes: &[u8],
    kind: u16,
    number: u64,
) -> Result<std::result::Result<FileHeader, Corruption>> {
    match FileHeader::read(bytes) {
        Ok(header) if header.kind == kind && header.number == number => Ok(Ok(header)),
        Ok(_) => Ok(Err(Corruption::new(path, 0, "header of another file"))),
        Err(BadHeader::Damaged(cause)) => Ok(Err(Corruption::malformed(path, 0, cause))),
        Err(BadHeader::Version(version)) => Err(Error::Invalid {
            what: format!(
                "{} has format version {version}, which this program does not know: use the one that wrote it",
                path.display()
            ),
        }),
    }
}

/// Reads `checkpoint.<number>`; each verified record goes to `visit`, in order. `salts` are those of the
/// log's segments, tried when the header is damaged.
pub(super) fn read_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    number: SegmentNumber,
    salts: &[u32],
    visit: Visit<'_>,
) -> Result<CheckpointRead> {
    let path = checkpoint_path(dir, number);
    let mut read = CheckpointRead { bytes: disk.file_len(&path)?, ..CheckpointRead::default() };
    let head = disk.read_range(&path, 0, FILE_HEADER_BYTES)?;
    let mut salts = salts.to_vec();
    match header_or_damage(&path, &head, CHECKPOINT_KIND, number)? {
        Ok(header) => {
            read.first = Some(header.first);
            salts = vec![header.salt];
        }
        Err(at) => read.damage.push(Damage { at, lost: None, copy: None }),
    }
    let mut walk = Walk { path, expected: 1, ended: None, damage: Vec::new(), records: 0 };
    let mut base = (FILE_HEADER_BYTES as u64).min(read.bytes);
    let mut bad = None;
    while base < read.bytes {
        let piece = disk.read_range(&walk.path, base, PIECE_BYTES)?;
        let more = base + (piece.len() as u64) < read.bytes && !piece.is_empty();
        let mut scanner = Scanner::piece(&piece, base, &salts, more, bad);
        while let Some(found) = scanner.next() {
            let at = found.bad.map_or(found.offset, |bad| bad.offset);
            walk.take(&found.header, found.payload, found.bad, at, visit)?;
        }
        bad = scanner.bad();
        base = if more { scanner.position() } else { read.bytes };
    }
    walk.finish(bad, read.bytes);
    read.records = walk.records;
    read.damage.append(&mut walk.damage);
    Ok(read)
}

struct Walk {
    path: PathBuf,
    expected: u64,
    /// Count of records that the end record tells.
    ended: Option<u64>,
    damage: Vec<Damage>,
    records: u64,
}

impl Walk {
    fn take(
        &mut self,
        header: &RecordHeader,
        payload: &[u8],
        bad: Option<Bad>,
        at: u64,
        visit: Visit<'_>,
    ) -> Result<()> {
        if header.sequence < self.expected || self.ended.is_some() {
            return Ok(());
        }
        if header.sequence > self.expected {
            self.lose(at, bad.map_or("records are missing", |bad| bad.what), header.sequence - 1);
        }
        self.expected = header.sequence.saturating_add(1);
        if header.kind == RecordKind::END {
            self.ended = Some(Reader::new(payload).u64("record count").unwrap_or(u64::MAX));
            return Ok(());
        }
        self.records += 1;
        visit(header.kind, payload)
    }

    fn lose(&mut self, offset: u64, what: &'static str, last: u64) {
        let at = Corruption::new(&self.path, offset, what);
        self.damage.push(Damage { at, lost: Some((Lsn(self.expected), Lsn(last))), copy: None });
    }

    fn finish(&mut self, bad: Option<Bad>, len: u64) {
        let tell = match self.ended {
            None => Some("the end record is missing"),
            Some(count) if count != self.records && self.damage.is_empty() => {
                Some("the end record tells another count")
            }
            Some(_) => None,
        };
        if let Some(what) = tell {
            let at = Corruption::new(&self.path, bad.map_or(len, |bad| bad.offset), what);
            self.damage.push(Damage { at, lost: None, copy: None });
        }
    }
}

/// Writes a checkpoint file record by record.
struct CheckpointWriter {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    offset: u64,
    salt: u32,
    records: u64,
}

impl CheckpointWriter {
    fn add(&mut self, kind: RecordKind, payload: &[u8]) -> Result<()> {
        let payload_bytes = match u32::try_from(payload.len()) {
            Ok(bytes) if payload.len() <= RECORD_BYTES_MAX => bytes,
            _ => return Err(record_too_long()),
        };
        self.records += 1;
        let header = RecordHeader {
            kind,
            sequence: self.records,
            durable: 0,
            salt: self.salt,
            payload_bytes,
            payload_crc: crc32(payload),
        };
        self.buffer.extend_from_slice(&header.to_bytes());
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.file.write_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        let count = self.records;
        self.add(RecordKind::END, &count.to_le_bytes())?;
        self.write()?;
        self.file.sync_all()
    }
}

pub(super) fn record_too_long() -> Error {
    Error::Limit {
        limit: "RECORD_BYTES_MAX",
        what: "a log record is too long",
        max: RECORD_BYTES_MAX as u64,
    }
}

/// Writes `checkpoint.<number>`, durable on return; nothing of it is visible before.
pub(super) fn write_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    header: FileHeader,
    fill: &mut dyn FnMut(Visit<'_>) -> Result<()>,
) -> Result<()> {
    let path = checkpoint_path(dir, header.number);
    let mut temporary = path.clone().into_os_string();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    if disk.exists(&temporary)? {
        disk.remove_file(&temporary)?;
    }
    let file = disk.create(&temporary)?;
    let write = || {
        let mut writer =
            CheckpointWriter { file, buffer: Vec::new(), offset: 0, salt: header.salt, records: 0 };
        header.put(&mut writer.buffer);
        fill(&mut |kind, payload| {
            if kind.is_reserved() {
                return Err(super::log::reserved_kind());
            }
            writer.add(kind, payload)
        })?;
        writer.end()?;
        disk.rename(&temporary, &path)
    };
    if let Err(cause) = write() {
        if let Err(left) = disk.remove_file(&temporary) {
            tracing::warn!(%left, "an unfinished checkpoint stays behind");
        }
        return Err(cause);
    }
    disk.sync_dir(dir)
}
