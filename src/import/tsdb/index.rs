//! The index of a block: its symbols, and its series with their chunks. Label indices and postings are not needed.

use std::ops::Range;
use std::path::Path;

use nines_storage::codec::{Malformed, Reader};

use super::super::castagnoli::crc32c;
use super::super::error::{ImportError, Result};
use super::super::file::{SourceFile, Window};
use super::symbols::Symbols;

const MAGIC: [u8; 4] = [0xba, 0xaa, 0xd7, 0x00];
/// Magic and version.
const HEADER_BYTES: u64 = 5;
/// Six offsets and their checksum.
const CONTENTS_BYTES: u64 = 6 * 8 + CHECKSUM_BYTES as u64;
const CHECKSUM_BYTES: usize = 4;
/// Longest length of a series' entry: a `uvarint` of 32 bits.
const LENGTH_BYTES_MAX: usize = 5;
/// Longest entry of a series: one with a million chunks.
const ENTRY_BYTES_MAX: usize = 16 << 20;
/// Most bytes of the symbol table, which is held in memory.
const SYMBOLS_BYTES_MAX: u64 = 2 << 30;
/// Entries of the second version begin at multiples of this.
const ALIGNMENT: u64 = 16;

/// Read at a time when series are read one after the other.
pub(super) const AHEAD_WALKING: usize = 1 << 20;
/// The same when they are looked up.
pub(super) const AHEAD_LOOKING_UP: usize = 2 << 10;

/// A chunk as the index tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRef {
    pub(super) min_ts: i64,
    pub(super) max_ts: i64,
    pub(super) reference: u64,
}

/// A series: numbers of symbols, and its chunks. A buffer to be used again.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) labels: Vec<(u32, u32)>,
    pub(super) chunks: Vec<ChunkRef>,
}

/// See the module.
pub(super) struct Index {
    file: SourceFile,
    version: u8,
    symbols: Symbols,
    series: Range<u64>,
    window: Window,
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::read_from(SourceFile::open(path)?)
    }

    pub(super) fn read_from(file: SourceFile) -> Result<Self> {
        let path = file.path();
        let bad = |offset: u64, what: &str| ImportError::damaged(path, offset, what);
        let mut bytes = Vec::new();
        let contents_at = file
            .len()
            .checked_sub(CONTENTS_BYTES)
            .filter(|at| *at >= HEADER_BYTES)
            .ok_or_else(|| bad(0, "the index is too short"))?;
        file.read(0, HEADER_BYTES as usize, &mut bytes)?;
        let version = match bytes.split_first_chunk::<4>() {
            Some((magic, [version @ 1..=2])) if *magic == MAGIC => *version,
            Some((magic, [version])) if *magic == MAGIC => {
                let what = format!(
                    "version {version} of the index is not known, only 1 and 2 are: was it written by a newer Prometheus?"
                );
                return Err(ImportError::unsupported(path, what));
            }
            _ => return Err(bad(0, "this is no index of a block")),
        };
        file.read(contents_at, CONTENTS_BYTES as usize, &mut bytes)?;
        let offsets = contents(&bytes)
            .ok_or_else(|| bad(contents_at, "checksum of the table of contents"))?;
        let [symbols_at, series_at, ..] = offsets;
        let symbols = read_symbols(&file, version, symbols_at)?;
        // Whatever stands behind the series, if anything does.
        let behind = offsets.into_iter().filter(|at| *at > series_at).min();
        let end = behind.unwrap_or(contents_at).min(contents_at);
        let series = if series_at == 0 { 0..0 } else { series_at.min(end)..end };
        Ok(Self { file, version, symbols, series, window: Window::default() })
    }

    pub(super) const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where the first series is looked for.
    pub(super) const fn begin(&self) -> u64 {
        self.series.start
    }

    /// What tombstones call the series at `offset`.
    pub(super) const fn series_id(&self, offset: u64) -> u64 {
        if self.version == 1 { offset } else { offset / ALIGNMENT }
    }

    /// The next series at or behind `at`, past the zeros between entries.
    pub(super) fn next(&mut self, mut at: u64) -> Result<Option<u64>> {
        while at < self.series.end {
            let left = usize::try_from(self.series.end - at).unwrap_or(usize::MAX);
            let bytes = self.window.get(&self.file, at, 1, AHEAD_WALKING)?;
            let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            match bytes.iter().position(|byte| *byte != 0) {
                Some(zeros) => return Ok(Some(at + zeros as u64)),
                None => at += bytes.len().max(1) as u64,
            }
        }
        Ok(None)
    }

    /// Reads the series at `offset` into `entry`. Answers where it ends.
    pub(super) fn read(&mut self, offset: u64, ahead: usize, entry: &mut Entry) -> Result<u64> {
        let Self { file, window, symbols, .. } = self;
        let malformed = |cause| ImportError::malformed(file.path(), offset, cause);
        let mut reader = Reader::new(window.get(file, offset, LENGTH_BYTES_MAX, ahead)?);
        let len = reader.uvarint32("length of a series").map_err(malformed)? as usize;
        if len > ENTRY_BYTES_MAX {
            return Err(ImportError::damaged(file.path(), offset, "a series is too long"));
        }
        let head = reader.position();
        let bytes = window.get(file, offset, head + len + CHECKSUM_BYTES, ahead)?;
        let mut reader = Reader::new(bytes);
        let (body, sum) = (|| {
            reader.take(head, "length of a series")?;
            let body = reader.take(len, "series")?;
            Ok((body, reader.take(CHECKSUM_BYTES, "checksum of a series")?))
        })()
        .map_err(malformed)?;
        if crc32c(body).to_be_bytes() != *sum {
            return Err(ImportError::damaged(file.path(), offset, "checksum of a series"));
        }
        parse(body, symbols, entry)
            .map_err(|cause| ImportError::malformed(file.path(), offset + head as u64, cause))?;
        Ok(offset + (head + len + CHECKSUM_BYTES) as u64)
    }
}

/// The offsets of the table of contents, if its checksum is right: symbols and series first.
fn contents(bytes: &[u8]) -> Option<[u64; 6]> {
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if crc32c(body).to_be_bytes() != *sum {
        return None;
    }
    let mut offsets = [0; 6];
    for (offset, bytes) in offsets.iter_mut().zip(body.as_chunks::<8>().0) {
        *offset = u64::from_be_bytes(*bytes);
    }
    Some(offsets)
}

fn read_symbols(file: &SourceFile, version: u8, at: u64) -> Result<Symbols> {
    let bad = |what: &str| ImportError::damaged(file.path(), at, what);
    let mut bytes = Vec::new();
    file.read(at, 4, &mut bytes)?;
    let len = bytes.first_chunk::<4>().map_or(0, |len| u32::from_be_bytes(*len));
    if u64::from(len) > SYMBOLS_BYTES_MAX {
        let what = format!("the symbol table has {len} bytes, limit {SYMBOLS_BYTES_MAX}");
        return Err(ImportError::unsupported(file.path(), what));
    }
    file.read(at.saturating_add(4), len as usize + CHECKSUM_BYTES, &mut bytes)?;
    let sum = bytes.split_off(len as usize);
    if *crc32c(&bytes).to_be_bytes().as_slice() != *sum {
        return Err(bad("checksum of the symbol table"));
    }
    Symbols::new(bytes, at + 4, version == 1)
        .map_err(|cause| ImportError::malformed(file.path(), at + 4, cause))
}

fn parse(body: &[u8], symbols: &Symbols, entry: &mut Entry) -> std::result::Result<(), Malformed> {
    let mut reader = Reader::new(body);
    entry.labels.clear();
    entry.chunks.clear();
    for _ in 0..reader.count(2, "labels of a series")? {
        let mut symbol = || {
            let at = reader.position();
            let reference = reader.uvarint("symbol of a series")?;
            symbols.number(reference).ok_or(Malformed { what: "symbol of a series", at })
        };
        entry.labels.push((symbol()?, symbol()?));
    }
    let mut before: Option<ChunkRef> = None;
    for _ in 0..reader.count(3, "chunks of a series")? {
        let what = "chunk of a series";
        let (min_ts, length) = match before {
            None => (reader.ivarint(what)?, reader.uvarint(what)?),
            Some(before) => {
                let gap = reader.uvarint(what)?.cast_signed();
                (before.max_ts.wrapping_add(gap), reader.uvarint(what)?)
            }
        };
        let reference = match before {
            None => reader.uvarint(what)?,
            Some(before) => before.reference.wrapping_add_signed(reader.ivarint(what)?),
        };
        let max_ts = min_ts.wrapping_add(length.cast_signed());
        let chunk = ChunkRef { min_ts, max_ts, reference };
        entry.chunks.push(chunk);
        before = Some(chunk);
    }
    if has_twice(&entry.chunks) {
        return Err(Malformed { what: "a series has a chunk twice", at: 0 });
    }
    Ok(())
}

/// Whether one chunk is told more than once, which would be read as often.
fn has_twice(chunks: &[ChunkRef]) -> bool {
    if chunks.is_sorted_by(|a, b| a.reference < b.reference) {
        return false;
    }
    let mut references: Vec<u64> = chunks.iter().map(|chunk| chunk.reference).collect();
    references.sort_unstable();
    !references.is_sorted_by(|a, b| a < b)
}
