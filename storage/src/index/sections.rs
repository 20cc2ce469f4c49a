//! The frame of an index file: header, sections, footer.
//!
//! Sections lie side by side without gaps, so that every byte of the file is under a checksum. Opening
//! looks at header and footer only; a section's checksum is computed when it is first touched.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::codec::{Malformed, Reader, crc32};
use crate::disk::Bytes;
use crate::error::{Corruption, Error, Result};

/// First bytes of an index file.
pub const INDEX_MAGIC: &[u8; 8] = b"NINESIDX";
/// Version of the layout.
pub const INDEX_VERSION: u32 = 1;
/// Magic, version, four zero bytes.
pub const INDEX_HEADER_BYTES: usize = 16;
/// Sections of a file.
pub(super) const INDEX_SECTIONS: usize = 8;
/// Offset, length, checksum of a section in the footer.
const ENTRY_BYTES: usize = 8 + 8 + 4;
/// Section table, number of series, number of entities, checksum of header and footer, magic.
pub const INDEX_FOOTER_BYTES: usize = INDEX_SECTIONS * ENTRY_BYTES + 4 + 4 + 4 + 8;
/// Bytes of the footer behind its checksummed part.
const FOOTER_TAIL_BYTES: usize = 4 + 8;

/// The sections in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Symbols = 0,
    Names = 1,
    Values = 2,
    Postings = 3,
    Entities = 4,
    Shapes = 5,
    Rows = 6,
    Pages = 7,
}

#[derive(Debug)]
struct Place {
    offset: usize,
    len: usize,
    crc32: u32,
    state: AtomicU8,
}

const UNSEEN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// An opened frame.
#[derive(Debug)]
pub(super) struct Sections {
    bytes: Bytes,
    path: PathBuf,
    places: Vec<Place>,
    pub(super) n_series: u32,
    pub(super) n_entities: u32,
}

impl Sections {
    /// Checks header and footer of the file `path` with these bytes.
    pub(super) fn open(bytes: Bytes, path: &Path) -> Result<Self> {
        let bad = |offset: usize, what| Error::from(Corruption::new(path, offset as u64, what));
        let footer_at = bytes
            .len()
            .checked_sub(INDEX_FOOTER_BYTES)
            .filter(|at| *at >= INDEX_HEADER_BYTES)
            .ok_or_else(|| bad(0, "index too short"))?;
        let (body, footer) = bytes.split_at(footer_at);
        let malformed = |cause| Corruption::malformed(path, footer_at as u64, cause);
        let mut reader = Reader::new(body);
        let header = reader.take(INDEX_HEADER_BYTES, "index header").map_err(malformed)?;
        let mut header_reader = Reader::new(header);
        let magic = header_reader.take(8, "index magic").map_err(malformed)?;
        let version = header_reader.u32("index version").map_err(malformed)?;
        if magic != INDEX_MAGIC {
            return Err(bad(0, "index magic"));
        }
        if version != INDEX_VERSION {
            return Err(bad(8, "index version is not known"));
        }
        let (checked, tail) = footer.split_at(INDEX_FOOTER_BYTES - FOOTER_TAIL_BYTES);
        let mut tail = Reader::new(tail);
        let sum = tail.u32("index footer checksum").map_err(malformed)?;
        let end_magic = tail.take(8, "index footer magic").map_err(malformed)?;
        if end_magic != INDEX_MAGIC || sum != footer_crc32(header, checked) {
            return Err(bad(footer_at, "index footer checksum"));
        }
        let mut reader = Reader::new(checked);
        let (places, n_series, n_entities) = read_table(&mut reader).map_err(malformed)?;
        let mut end = INDEX_HEADER_BYTES;
        for place in &places {
            if place.offset != end {
                return Err(bad(footer_at, "index section table"));
            }
            end = end.saturating_add(place.len);
        }
        if end != footer_at {
            return Err(bad(footer_at, "index section table"));
        }
        Ok(Self { path: path.to_owned(), places, n_series, n_entities, bytes })
    }

    /// A section, its checksum verified.
    pub(super) fn get(&self, section: Section) -> Result<&[u8]> {
        let place = self.places.get(section as usize);
        let found = place.and_then(|place| {
            Some((place, self.bytes.get(place.offset..place.offset.checked_add(place.len)?)?))
        });
        let Some((place, bytes)) = found else {
            return Err(self.corrupt(section, "index section table"));
        };
        match place.state.load(Ordering::Acquire) {
            GOOD => Ok(bytes),
            UNSEEN if crc32(bytes) == place.crc32 => {
                place.state.store(GOOD, Ordering::Release);
                Ok(bytes)
            }
            _ => {
                let cause = self.corrupt(section, "index section checksum");
                if place.state.swap(BAD, Ordering::AcqRel) != BAD {
                    tracing::error!(%cause, "an index is damaged; its samples are missing from answers");
                }
                Err(cause)
            }
        }
    }

    /// Length of a section in bytes.
    pub(super) fn len(&self, section: Section) -> usize {
        self.places.get(section as usize).map_or(0, |place| place.len)
    }

    /// Damage inside `section`.
    pub(super) fn corrupt(&self, section: Section, what: &'static str) -> Error {
        let offset = self.places.get(section as usize).map_or(0, |place| place.offset);
        Corruption::new(&self.path, offset as u64, what).into()
    }
}

fn read_table(reader: &mut Reader<'_>) -> std::result::Result<(Vec<Place>, u32, u32), Malformed> {
    let mut places = Vec::with_capacity(INDEX_SECTIONS);
    for _ in 0..INDEX_SECTIONS {
        let at = reader.position();
        let narrow = |value: u64| {
            usize::try_from(value).map_err(|_| Malformed { what: "index section offset", at })
        };
        let offset = narrow(reader.u64("index section offset")?)?;
        let len = narrow(reader.u64("index section length")?)?;
        let crc32 = reader.u32("index section checksum")?;
        places.push(Place { offset, len, crc32, state: AtomicU8::new(UNSEEN) });
    }
    Ok((places, reader.u32("index series count")?, reader.u32("index entity count")?))
}

fn footer_crc32(header: &[u8], table: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(table);
    hasher.finalize()
}

/// Writes a frame section by section.
pub(super) struct SectionSink<'a> {
    write: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    header: Vec<u8>,
    table: Vec<u8>,
    offset: u64,
    open: Option<Open>,
}

/// The section being written.
struct Open {
    offset: u64,
    checksum: crc32fast::Hasher,
}

impl<'a> SectionSink<'a> {
    pub(super) fn begin(write: &'a mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Self> {
        let mut header = INDEX_MAGIC.to_vec();
        header.extend_from_slice(&INDEX_VERSION.to_le_bytes());
        header.resize(INDEX_HEADER_BYTES, 0);
        write(&header)?;
        Ok(Self { write, header, table: Vec::new(), offset: INDEX_HEADER_BYTES as u64, open: None })
    }

    /// Writes the next section; the order is that of [`Section`].
    pub(super) fn section(&mut self, section: Section, bytes: &[u8]) -> Result<()> {
        self.begin_section(section);
        self.put(bytes)
    }

    /// Begins the next section, whose bytes [`SectionSink::put`] writes.
    pub(super) fn begin_section(&mut self, section: Section) {
        self.end_section();
        debug_assert_eq!(self.table.len(), section as usize * ENTRY_BYTES);
        self.open = Some(Open { offset: self.offset, checksum: crc32fast::Hasher::new() });
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        (self.write)(bytes)?;
        if let Some(open) = &mut self.open {
            open.checksum.update(bytes);
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn end_section(&mut self) {
        let Some(Open { offset, checksum }) = self.open.take() else { return };
        self.table.extend_from_slice(&offset.to_le_bytes());
        self.table.extend_from_slice(&(self.offset - offset).to_le_bytes());
        self.table.extend_from_slice(&checksum.finalize().to_le_bytes());
    }

    pub(super) fn finish(mut self, n_series: u32, n_entities: u32) -> Result<()> {
        self.end_section();
        self.table.extend_from_slice(&n_series.to_le_bytes());
        self.table.extend_from_slice(&n_entities.to_le_bytes());
        let sum = footer_crc32(&self.header, &self.table);
        self.table.extend_from_slice(&sum.to_le_bytes());
        self.table.extend_from_slice(INDEX_MAGIC);
        (self.write)(&self.table)
    }
}
