//! The chunks of a block: files of chunks one after the other, found by references of the index.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use nines_storage::codec::Reader;
use nines_storage::model::{SeriesData, TimeRange};

use super::super::castagnoli::crc32c;
use super::super::error::{ImportError, Result};
use super::super::file::{SourceFile, Window};
use super::histogram::Invalid;
use super::{histogram, xor};

const MAGIC: [u8; 4] = [0x85, 0xbd, 0x40, 0xdd];
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
/// Length, encoding and checksum.
const FRAME_BYTES_MAX: usize = 5 + 1 + 4;
/// Longest chunk: those of Prometheus have some hundred bytes, and one of huge histograms some ten thousand.
const CHUNK_BYTES_MAX: usize = 1 << 20;

const XOR: u8 = 1;
const HISTOGRAM: u8 = 2;
const FLOAT_HISTOGRAM: u8 = 3;

/// See the module.
pub(super) struct Chunks {
    dir: PathBuf,
    /// By the number that references have, which is one less than that of the name.
    files: BTreeMap<u64, SourceFile>,
    window: Window,
    /// Whose bytes the window holds.
    held: u64,
}

impl Chunks {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let list =
            std::fs::read_dir(dir).map_err(|cause| ImportError::source("list", dir, cause))?;
        let mut files = BTreeMap::new();
        let mut header = Vec::new();
        for entry in list {
            let path = entry.map_err(|cause| ImportError::source("list", dir, cause))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(number) = number(name) else { continue };
            let Entry::Vacant(place) = files.entry(number) else {
                let what = "another file of chunks has the same number";
                return Err(ImportError::damaged(&path, 0, what));
            };
            let file = SourceFile::open(&path)?;
            file.read(0, HEADER_BYTES, &mut header)?;
            match header.split_first_chunk::<4>() {
                Some((magic, [VERSION, ..])) if *magic == MAGIC => {
                    place.insert(file);
                }
                Some((magic, _)) if *magic == MAGIC => {
                    let what =
                        "another version of chunks than 1: was it written by a newer Prometheus?";
                    return Err(ImportError::unsupported(&path, what));
                }
                _ => return Err(ImportError::damaged(&path, 0, "this is no file of chunks")),
            }
        }
        Ok(Self { dir: dir.to_owned(), files, window: Window::default(), held: 0 })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(SourceFile::len).sum()
    }

    /// Appends the samples of a chunk inside `range`. What is not there yet is read with what follows, `ahead`
    /// bytes in all. Histograms that no store takes are counted.
    pub(super) fn read(
        &mut self,
        reference: u64,
        ahead: usize,
        range: TimeRange,
        out: &mut SeriesData,
        invalid: &mut Invalid,
    ) -> Result<()> {
        let (file, offset) = (reference >> 32, reference & u64::from(u32::MAX));
        let Some(source) = self.files.get(&file) else {
            let path = self.dir.join(format!("{:06}", file + 1));
            let what = "the file is missing that has the chunk";
            return Err(ImportError::damaged(&path, offset, what));
        };
        if self.held != file {
            self.window.clear();
            self.held = file;
        }
        let malformed = |cause| ImportError::malformed(source.path(), offset, cause);
        let damaged = |what: &str| ImportError::damaged(source.path(), offset, what);
        let mut reader = Reader::new(self.window.get(source, offset, FRAME_BYTES_MAX, ahead)?);
        let len = reader.uvarint32("length of a chunk").map_err(malformed)? as usize;
        if len > CHUNK_BYTES_MAX {
            return Err(damaged("a chunk is too long"));
        }
        let head = reader.position();
        let bytes = self.window.get(source, offset, head + 1 + len + 4, ahead)?;
        let mut reader = Reader::new(bytes);
        let (body, sum) = (|| {
            reader.take(head, "length of a chunk")?;
            let body = reader.take(1 + len, "chunk")?;
            Ok((body, reader.take(4, "checksum of a chunk")?))
        })()
        .map_err(malformed)?;
        if crc32c(body).to_be_bytes() != *sum {
            return Err(damaged("checksum of a chunk"));
        }
        let Some((encoding, data)) = body.split_first() else {
            return Err(damaged("an empty chunk"));
        };
        let decoded = match *encoding {
            XOR => xor::decode(data, range, out),
            HISTOGRAM => histogram::decode(data, false, range, out, invalid),
            FLOAT_HISTOGRAM => histogram::decode(data, true, range, out, invalid),
            other => {
                let what = format!(
                    "encoding {other} of a chunk at byte {offset} is not known: was it written by a newer Prometheus, or is the block one of Thanos's downsampled ones?"
                );
                return Err(ImportError::unsupported(source.path(), what));
            }
        };
        decoded.map_err(damaged)
    }
}

/// What references call a file of this name: the files of a block count from one.
fn number(name: &str) -> Option<u64> {
    if !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse::<u64>().ok()?.checked_sub(1)
}
