//! For fuzzing: what reads blocks, on bytes whose checksums are right.

use std::path::Path;

use nines_storage::model::{SeriesData, TimeRange};

use super::super::castagnoli::crc32c;
use super::super::error::Result;
use super::super::file::SourceFile;
use super::histogram::{self, Invalid};
use super::index::{AHEAD_WALKING, Entry, Index};
use super::order::{Added, Order};
use super::tombstones::Tombstones;
use super::xor;

/// Reads `data` as a chunk. Answers its samples, if it is one.
#[must_use]
pub fn chunk(encoding: u8, data: &[u8]) -> Option<SeriesData> {
    let (mut out, mut invalid) = (SeriesData::default(), Invalid::default());
    let range = TimeRange::ALL;
    let read = match encoding {
        1 => xor::decode(data, range, &mut out),
        2 => histogram::decode(data, false, range, &mut out, &mut invalid),
        _ => histogram::decode(data, true, range, &mut out, &mut invalid),
    };
    read.is_ok().then_some(out)
}

/// Reads an index of this version with these symbols and these entries of series. Answers how many series it has, if it
/// is one.
#[must_use]
pub fn index(version: u8, symbols: &[u8], entries: &[&[u8]]) -> Option<u64> {
    walk(index_bytes(version, symbols, entries)).ok()
}

/// The index that [`index`] reads.
pub(super) fn index_bytes(version: u8, symbols: &[u8], entries: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0xba, 0xaa, 0xd7, 0x00, version];
    bytes.extend((symbols.len() as u32).to_be_bytes());
    bytes.extend(symbols);
    bytes.extend(crc32c(symbols).to_be_bytes());
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let series_at = bytes.len() as u64;
    for entry in entries {
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        nines_storage::codec::put_uvarint(&mut bytes, entry.len() as u64);
        bytes.extend(*entry);
        bytes.extend(crc32c(entry).to_be_bytes());
    }
    let mut contents = Vec::new();
    for offset in [5, series_at, 0, 0, 0, 0] {
        contents.extend(u64::to_be_bytes(offset));
    }
    bytes.extend(&contents);
    bytes.extend(crc32c(&contents).to_be_bytes());
    bytes
}

/// Reads any bytes as a file of tombstones, and as an index.
pub fn files(bytes: &[u8]) {
    let _read = Tombstones::parse(bytes);
    let _read = walk(bytes.to_vec());
}

/// Reads an index as an import does. Answers how many series it has.
pub(super) fn walk(bytes: Vec<u8>) -> Result<u64> {
    let mut index = Index::read_from(SourceFile::of_bytes(Path::new("index"), bytes))?;
    let added = [("cluster", "c"), ("job", "j")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let added = Added::new(&added, index.symbols());
    let order = Order::read(&mut index, &added, &["instance".to_owned(), "job".to_owned()])?;
    let mut entry = Entry::default();
    for offset in order.each().flatten() {
        index.read(*offset, AHEAD_WALKING, &mut entry)?;
        let _labels = added.labels(&entry, index.symbols());
    }
    Ok(order.n_series)
}
