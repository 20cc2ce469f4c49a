//! Reads pages: opening checks the frame and allocates nothing, a series is found by binary search.

use std::ops::Range;

use super::compression::{Deflated, InflatedPages};
use super::layout::{
    CHECKSUM_LEN, COLUMN_0, COMPRESSION_NONE, ENTRY_HEAD, HEAD, HISTOGRAMS, MAGIC_VERSION,
    OFFSETS_WIDE, ORDS, ORDS_DENSE, PRESENCE_SHIFT, START_TIMESTAMPS, ord_width,
};
use super::presence::{Presence, PresenceKind};
use super::values::ValueDecoder;
use super::{EntryKind, PageInfo, ints, timestamps};
use crate::codec::{Malformed, Reader, crc32};
use crate::model::TimeRange;

/// Takes the blob of a native histogram and its timestamp in milliseconds.
pub type HistogramSink<'s> = dyn FnMut(i64, &[u8]) -> Result<(), Malformed> + 's;

/// Main columns that a [`PageScratch`] keeps: about 4 KiB each, and a year of a target in days' windows.
const COLUMNS_KEPT: usize = 1024;
/// A series has one entry of each kind at most.
const ENTRIES_PER_SERIES_MAX: usize = 2;

/// A page in its encoded form. Opening allocates nothing but what a compressed page is inflated to.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    bytes: &'a [u8],
    id: Option<u64>,
    group: u32,
    info: PageInfo,
    ords: FixedArray<'a>,
    dense: bool,
    entries: usize,
    columns: Parts<'a>,
    payload: Parts<'a>,
}

/// Little-endian numbers of 0, 2 or 4 bytes.
#[derive(Debug, Clone, Copy)]
struct FixedArray<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl FixedArray<'_> {
    /// The number at `index`; 0 when it takes no bytes or lies outside.
    fn get(&self, index: usize) -> u32 {
        let begin = index * self.width;
        match self.bytes.get(begin..begin + self.width) {
            Some(&[a, b]) => u32::from(u16::from_le_bytes([a, b])),
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }
}

/// A section of the page in parts: where each but the first begins, relative to the section.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    count: usize,
    begins: FixedArray<'a>,
    section: (usize, usize),
}

impl Parts<'_> {
    /// The bounds of a part in the page; `None` when there is no such part, or its bounds are not in order.
    fn bounds(&self, index: usize) -> Option<Range<usize>> {
        if index >= self.count {
            return None;
        }
        let (section_begin, section_end) = self.section;
        let at = |index: usize| {
            if index == 0 { Some(0) } else { usize::try_from(self.begins.get(index - 1)).ok() }
        };
        let begin = section_begin.checked_add(at(index)?)?;
        let end = if index + 1 == self.count {
            section_end
        } else {
            section_begin.checked_add(at(index + 1)?)?
        };
        (begin <= end && end <= section_end).then_some(begin..end)
    }
}

/// The first bytes of an entry.
#[derive(Debug, Clone, Copy)]
struct EntryHead {
    kind: EntryKind,
    column: u32,
    presence: PresenceKind,
    start_timestamps: bool,
}

impl<'a> Page<'a> {
    /// Checks the frame, and the checksum over everything when `verify`. `bytes` is exactly one page; a
    /// compressed one is inflated into `inflated` unless it is still there.
    ///
    /// `id` names the page for [`PageScratch`] and [`InflatedPages`]: equal ids must mean equal bytes for as long
    /// as one of these lives. A page without an id is read without keeping anything of it.
    pub fn open(
        bytes: &'a [u8],
        verify: bool,
        id: Option<u64>,
        inflated: &'a mut InflatedPages,
    ) -> Result<Self, Malformed> {
        let at = bytes.len().saturating_sub(CHECKSUM_LEN);
        let covered = bytes.get(..at).unwrap_or_default();
        let stored = Reader::new(bytes.get(at..).unwrap_or_default()).u32("page checksum")?;
        if verify && crc32(covered) != stored {
            return Err(Malformed { what: "page checksum", at });
        }
        let len = u32::try_from(bytes.len()).map_err(|_| Malformed { what: "page length", at })?;
        let frame = match Deflated::read(covered)? {
            None => covered,
            Some(deflated) => inflated.get(id, &deflated)?,
        };
        let mut page = Self::open_frame(frame)?;
        page.id = id;
        page.info.len = len;
        Ok(page)
    }

    /// `bytes` is a page that is not compressed, or was inflated, without its checksum.
    fn open_frame(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let frame = reader.take(3, "page header")?;
        let &[MAGIC_VERSION, compression, layout] = frame else {
            return Err(Malformed { what: "page magic or version", at: 0 });
        };
        if compression != COMPRESSION_NONE {
            return Err(Malformed { what: "page compression", at: 1 });
        }
        let width = ord_width(layout);
        let dense = layout & ORDS == ORDS_DENSE;
        if layout & !(ORDS | OFFSETS_WIDE) != 0 || (width == 0 && !dense) {
            return Err(Malformed { what: "page layout", at: 2 });
        }
        let group = reader.uvarint32("group")?;
        let at = reader.position();
        let refused = |what| Malformed { what, at };
        let first_ord = reader.uvarint32("first ordinal")?;
        let last_ord = first_ord
            .checked_add(reader.uvarint32("last ordinal")?)
            .ok_or(refused("last ordinal"))?;
        let entries = reader.count(1, "number of entries")?;
        let columns = reader.count(1, "number of columns")?;
        let min_ts = reader.ivarint("first timestamp")?;
        let max_ts = min_ts.wrapping_add(reader.uvarint("last timestamp")?.cast_signed());
        let n_samples = reader.uvarint32("number of samples")?;
        let columns_len = reader.count(1, "length of columns")?;
        let payload_len = reader.count(1, "length of payload")?;
        let span = u64::from(last_ord - first_ord) + 1;
        if entries == 0 || columns == 0 || max_ts < min_ts || dense && entries as u64 != span {
            return Err(refused("page bounds"));
        }

        let offset_width = if layout & OFFSETS_WIDE != 0 { 4 } else { 2 };
        let mut array = |count: usize, width: usize, what| {
            let len = count.checked_mul(width).ok_or(refused(what))?;
            Ok(FixedArray { bytes: reader.take(len, what)?, width })
        };
        let ords = array(entries, width, "ordinals")?;
        let column_begins = array(columns - 1, offset_width, "column offsets")?;
        let entry_begins = array(entries - 1, offset_width, "entry offsets")?;
        let columns_at = reader.position();
        reader.take(columns_len, "columns")?;
        let payload_at = reader.position();
        reader.take(payload_len, "payload")?;
        if !reader.is_empty() {
            return Err(Malformed { what: "bytes behind the payload", at: reader.position() });
        }
        Ok(Self {
            bytes,
            id: None,
            group,
            info: PageInfo { first_ord, last_ord, min_ts, max_ts, n_samples, len: 0 },
            ords,
            dense,
            entries,
            columns: Parts {
                count: columns,
                begins: column_begins,
                section: (columns_at, payload_at),
            },
            payload: Parts {
                count: entries,
                begins: entry_begins,
                section: (payload_at, payload_at + payload_len),
            },
        })
    }

    /// The target group.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Bounds and counts.
    #[must_use]
    pub fn info(&self) -> PageInfo {
        self.info
    }

    /// The ordinals and kinds of all entries, ascending; a series with floats and histograms comes twice.
    pub fn entries(&self) -> impl Iterator<Item = Result<(u32, EntryKind), Malformed>> + use<'a> {
        let page = *self;
        (0..page.entries).map(move |index| {
            let (head, _) = page.entry(index)?;
            Ok((page.ord_at(index), head.kind))
        })
    }

    /// Whether the series `ord` has an entry.
    #[must_use]
    pub fn contains(&self, ord: u32) -> bool {
        !self.find(ord).is_empty()
    }

    fn ord_at(&self, index: usize) -> u32 {
        let above =
            if self.dense { u32::try_from(index).unwrap_or(0) } else { self.ords.get(index) };
        self.info.first_ord.saturating_add(above)
    }

    /// The indexes of the entries of `ord`.
    fn find(&self, ord: u32) -> Range<usize> {
        if ord < self.info.first_ord || ord > self.info.last_ord {
            return 0..0;
        }
        if self.dense {
            return usize::try_from(ord - self.info.first_ord)
                .map_or(0..0, |index| index..index + 1);
        }
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ord_at(middle) < ord {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let same = (low..self.entries).take(ENTRIES_PER_SERIES_MAX);
        low..low + same.take_while(|&index| self.ord_at(index) == ord).count()
    }

    /// A reader over one part of a section whose positions are those in the page.
    fn part(&self, parts: &Parts<'_>, index: usize) -> Result<Reader<'a>, Malformed> {
        let refused = Malformed { what: "page directory", at: parts.section.0 };
        let bounds = parts.bounds(index).ok_or(refused)?;
        let mut reader = Reader::new(self.bytes.get(..bounds.end).ok_or(refused)?);
        reader.take(bounds.start, "page directory")?;
        Ok(reader)
    }

    /// The head of an entry, and what follows it.
    fn entry(&self, index: usize) -> Result<(EntryHead, Reader<'a>), Malformed> {
        let mut reader = self.part(&self.payload, index)?;
        let mut behind = reader;
        let at = reader.position();
        let head = behind.u8("entry")?;
        if head & ENTRY_HEAD == 0 {
            let kind = EntryKind::Floats;
            let presence = PresenceKind::All;
            return Ok((EntryHead { kind, column: 0, presence, start_timestamps: false }, reader));
        }
        reader = behind;
        let refused = Malformed { what: "entry head", at };
        if head & !HEAD != 0 {
            return Err(refused);
        }
        let column = if head & COLUMN_0 != 0 { 0 } else { reader.uvarint32("column number")? };
        let presence = PresenceKind::of_code(head >> PRESENCE_SHIFT & 3).ok_or(refused)?;
        let kind = if head & HISTOGRAMS != 0 { EntryKind::Histograms } else { EntryKind::Floats };
        let start_timestamps = head & START_TIMESTAMPS != 0;
        Ok((EntryHead { kind, column, presence, start_timestamps }, reader))
    }

    /// The entry of `ord` of this kind.
    fn entry_of(
        &self,
        ord: u32,
        kind: EntryKind,
    ) -> Result<Option<(EntryHead, Reader<'a>)>, Malformed> {
        for index in self.find(ord) {
            let entry = self.entry(index)?;
            if entry.0.kind == kind {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Appends the floats of series `ord` inside `range` and returns how many there were (0 when the series has
    /// none here). `start_ts` stays empty as long as none is set, and is parallel to `ts` otherwise
    /// (see [`crate::model::SeriesData::start_ts`]). On an error nothing was appended.
    pub fn read_floats(
        &self,
        ord: u32,
        range: TimeRange,
        scratch: &mut PageScratch,
        ts: &mut Vec<i64>,
        values: &mut Vec<f64>,
        start_ts: &mut Vec<i64>,
    ) -> Result<usize, Malformed> {
        let Some((head, mut reader)) = self.entry_of(ord, EntryKind::Floats)? else {
            return Ok(0);
        };
        let PageScratch { columns, selected, starts, decoder } = scratch;
        let column = columns.column(self, head.column)?;
        let presence = Presence::read(&mut reader, head.presence, column.len())?;
        let own_ts = presence.select(column, selected);
        let wanted = slots_inside(own_ts, range);
        if wanted.is_empty() {
            return Ok(0);
        }
        if head.start_timestamps {
            ints::decode(&mut reader, own_ts.len(), starts)?;
        }
        let before = values.len();
        decoder.decode(&mut reader, own_ts.len(), wanted.clone(), values)?;
        if !reader.is_empty() {
            values.truncate(before);
            return Err(Malformed { what: "bytes behind the values", at: reader.position() });
        }
        if head.start_timestamps || !start_ts.is_empty() {
            start_ts.resize(ts.len(), 0);
        }
        if head.start_timestamps {
            let first = own_ts.first().copied().unwrap_or(0);
            let offsets = starts.get(wanted.clone()).unwrap_or_default();
            start_ts.extend(offsets.iter().map(|offset| first.wrapping_sub(*offset)));
        } else if !start_ts.is_empty() {
            start_ts.resize(ts.len() + wanted.len(), 0);
        }
        ts.extend_from_slice(own_ts.get(wanted.clone()).unwrap_or_default());
        Ok(wanted.len())
    }

    /// Hands the histogram blobs of series `ord` inside `range` to `out` in time order, and returns how many
    /// there were. An error of `out` ends the reading.
    pub fn read_histograms(
        &self,
        ord: u32,
        range: TimeRange,
        scratch: &mut PageScratch,
        out: &mut HistogramSink<'_>,
    ) -> Result<usize, Malformed> {
        let Some((head, mut reader)) = self.entry_of(ord, EntryKind::Histograms)? else {
            return Ok(0);
        };
        let PageScratch { columns, selected, .. } = scratch;
        let column = columns.column(self, head.column)?;
        let presence = Presence::read(&mut reader, head.presence, column.len())?;
        let own_ts = presence.select(column, selected);
        let wanted = slots_inside(own_ts, range);
        for (slot, &ts) in own_ts.iter().enumerate().take(wanted.end) {
            let blob = reader.bytes("histogram")?;
            if slot >= wanted.start {
                out(ts, blob)?;
            }
        }
        if wanted.end == own_ts.len() && !reader.is_empty() {
            return Err(Malformed { what: "bytes behind the histograms", at: reader.position() });
        }
        Ok(wanted.len())
    }
}

/// Which of these ascending timestamps lie inside `range`.
fn slots_inside(ts: &[i64], range: TimeRange) -> Range<usize> {
    if let (Some(first), Some(last)) = (ts.first(), ts.last())
        && range.min <= *first
        && *last <= range.max
    {
        return 0..ts.len();
    }
    let begin = ts.partition_point(|ts| *ts < range.min);
    let end = ts.partition_point(|ts| *ts <= range.max);
    begin..end.max(begin)
}

/// Buffers for reading pages, and the timestamp columns decoded last: reading many series of one page decodes
/// their shared column once. Belongs to one reading thread.
#[derive(Debug, Default)]
pub struct PageScratch {
    columns: DecodedColumns,
    selected: Vec<i64>,
    starts: Vec<i64>,
    decoder: ValueDecoder,
}

/// The place of the page `id` among `n`. Pages with neighbouring numbers do not meet; nor do, mostly, those with
/// the same number in several blocks, which hold the same target.
pub(super) const fn place_of(id: u64, n: usize) -> usize {
    ((id & 0xffff_ffff).wrapping_add((id >> 32).wrapping_mul(389)) % n as u64) as usize
}

/// Decoded columns: the main column of each of the pages read last, and one other.
///
/// The pages of a target have neighbouring numbers, so that reading its series one after the other over all of
/// their pages finds every main column here from the second series on.
#[derive(Debug, Default)]
struct DecodedColumns {
    main: Vec<DecodedColumn>,
    other: DecodedColumn,
}

#[derive(Debug, Default)]
struct DecodedColumn {
    /// Page and number of the column; `None` when it may not be used again.
    of: Option<(u64, u32)>,
    ts: Vec<i64>,
}

impl DecodedColumns {
    /// Column `number` of `page`.
    fn column(&mut self, page: &Page<'_>, number: u32) -> Result<&[i64], Malformed> {
        let of = page.id.map(|id| (id, number));
        let at = match of {
            Some((id, 0)) => place_of(id, COLUMNS_KEPT),
            _ => COLUMNS_KEPT,
        };
        if at < COLUMNS_KEPT && self.main.len() <= at {
            self.main.resize_with(at + 1, DecodedColumn::default);
        }
        let place = self.main.get_mut(at).unwrap_or(&mut self.other);
        if of.is_none() || place.of != of {
            place.of = None;
            let index = usize::try_from(number).unwrap_or(usize::MAX);
            timestamps::decode(page.part(&page.columns, index)?, &mut place.ts)?;
            place.of = of;
        }
        Ok(&place.ts)
    }
}
