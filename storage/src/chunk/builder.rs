//! Builds a page: values are encoded as they are added, timestamp columns are chosen at the end.

use super::columns::{Columns, TimestampLists};
use super::layout::{
    COLUMN_0, COMPRESSION_NONE, ENTRY_HEAD, HISTOGRAMS, MAGIC_VERSION, OFFSETS_WIDE, ORDS_16,
    ORDS_32, ORDS_DENSE, PRESENCE_SHIFT, START_TIMESTAMPS, ord_width,
};
use super::presence;
use super::values::ValueEncoder;
use super::{PageInfo, WINDOW_SLOTS_MAX, timestamps};
use crate::codec::{crc32, put_bytes, put_ivarint, put_uvarint};

/// About what header, directory ends and checksum take.
const FRAME_LEN: usize = 64;
/// About what the head of an entry takes, with its column number or run.
const HEAD_LEN: usize = 4;

/// An entry whose timestamp column is not chosen yet.
#[derive(Debug)]
struct PendingEntry {
    ord: u32,
    list: u32,
    histograms: bool,
    start_timestamps: bool,
    body_begin: usize,
}

/// Collects the series of one target group and one window and writes them as a page. Reusable: `finish`
/// empties it and keeps the memory and the group.
#[derive(Debug)]
pub struct PageBuilder {
    group: u32,
    lists: TimestampLists,
    entries: Vec<PendingEntry>,
    bodies: Vec<u8>,
    /// Entries that will probably need a head.
    heads: usize,
    /// Whether the ordinals so far have no gap and no double.
    dense: bool,
    samples: u32,
    encoder: ValueEncoder,
    start_offsets: Vec<i64>,
    payload: Vec<u8>,
    begins: Vec<u32>,
    column_bytes: Vec<u8>,
    column_begins: Vec<u32>,
}

impl PageBuilder {
    /// A builder for pages of `group`.
    #[must_use]
    pub fn new(group: u32) -> Self {
        Self {
            group,
            lists: TimestampLists::default(),
            entries: Vec::new(),
            bodies: Vec::new(),
            heads: 0,
            dense: true,
            samples: 0,
            encoder: ValueEncoder::default(),
            start_offsets: Vec::new(),
            payload: Vec::new(),
            begins: Vec::new(),
            column_bytes: Vec::new(),
            column_begins: Vec::new(),
        }
    }

    /// Drops what was added and begins a page of `group`.
    pub fn reset(&mut self, group: u32) {
        self.group = group;
        self.lists.clear();
        self.entries.clear();
        self.bodies.clear();
        self.heads = 0;
        self.dense = true;
        self.samples = 0;
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the floats of a series. `start_ts` is empty or parallel to `ts` (0 = unset). No samples: no entry.
    ///
    /// # Panics
    /// When the slices differ in length, are longer than [`WINDOW_SLOTS_MAX`], `ts` is not strictly
    /// ascending, `ord` is below that of the last call, or the series already has floats or histograms here.
    pub fn add_floats(&mut self, ord: u32, ts: &[i64], values: &[f64], start_ts: &[i64]) {
        assert_eq!(ts.len(), values.len(), "values run parallel to their timestamps");
        assert!(start_ts.is_empty() || start_ts.len() == ts.len(), "start timestamps run parallel");
        let Some(&first_ts) = ts.first() else { return };
        let start_timestamps = start_ts.iter().any(|start| *start != 0);
        self.add_entry(ord, ts, false, start_timestamps);
        if start_timestamps {
            self.start_offsets.clear();
            self.start_offsets.extend(start_ts.iter().map(|start| first_ts.wrapping_sub(*start)));
            self.encoder.ints.encode(&self.start_offsets, &mut self.bodies);
        }
        self.encoder.encode(values, &mut self.bodies);
    }

    /// Adds the native histograms of a series, after its floats if it has both. No samples: no entry.
    ///
    /// # Panics
    /// As [`Self::add_floats`].
    pub fn add_histograms(&mut self, ord: u32, ts: &[i64], blobs: &[Vec<u8>]) {
        assert_eq!(ts.len(), blobs.len(), "histograms run parallel to their timestamps");
        if ts.is_empty() {
            return;
        }
        self.add_entry(ord, ts, true, false);
        for blob in blobs {
            put_bytes(&mut self.bodies, blob);
        }
    }

    fn add_entry(&mut self, ord: u32, ts: &[i64], histograms: bool, start_timestamps: bool) {
        assert!(ts.len() <= WINDOW_SLOTS_MAX, "more samples than a window holds");
        assert!(ts.windows(2).all(|pair| pair[0] < pair[1]), "timestamps ascend strictly");
        if let Some(last) = self.entries.last() {
            let after_floats = ord == last.ord && histograms && !last.histograms;
            assert!(ord > last.ord || after_floats, "ordinals ascend, floats before histograms");
            self.dense &= last.ord.checked_add(1) == Some(ord);
        }
        let list = self.lists.add(ts);
        self.heads += usize::from(list != 0 || histograms || start_timestamps);
        let body_begin = self.bodies.len();
        self.entries.push(PendingEntry { ord, list, histograms, start_timestamps, body_begin });
        self.samples += ts.len() as u32;
    }

    /// About how long the page would be now, in bytes; never far below the truth.
    #[must_use]
    pub fn encoded_len_estimate(&self) -> usize {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return 0;
        };
        let sections = self.bodies.len() + self.heads * HEAD_LEN + self.lists.encoded_len_max();
        let ord_width = ord_width(self.ord_layout(first.ord, last.ord));
        let directory = self.entries.len() * (ord_width + offset_width(sections));
        FRAME_LEN + directory + sections
    }

    /// Appends the page to `out` and empties the builder. Nothing added: nothing is written and `len` is 0.
    ///
    /// # Panics
    /// When the page would reach 4 GiB: the caller watches [`Self::encoded_len_estimate`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> PageInfo {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else {
            return PageInfo::default();
        };
        let (first_ord, last_ord) = (first.ord, last.ord);
        let columns = self.lists.choose();
        self.write_payload(&columns);
        self.write_columns(&columns);
        // Every slot of a column is some entry's, so the columns' bounds are the samples'.
        let firsts = columns.columns.iter().filter_map(|column| column.first());
        let lasts = columns.columns.iter().filter_map(|column| column.last());
        let min_ts = firsts.min().copied().unwrap_or(0);
        let max_ts = lasts.max().copied().unwrap_or(0);

        let begin = out.len();
        let offset_width = offset_width(self.payload.len().max(self.column_bytes.len()));
        let ords = self.ord_layout(first_ord, last_ord);
        out.push(MAGIC_VERSION);
        out.push(COMPRESSION_NONE);
        out.push(ords | if offset_width == 4 { OFFSETS_WIDE } else { 0 });
        put_uvarint(out, u64::from(self.group));
        put_uvarint(out, u64::from(first_ord));
        put_uvarint(out, u64::from(last_ord - first_ord));
        put_uvarint(out, self.entries.len() as u64);
        put_uvarint(out, columns.columns.len() as u64);
        put_ivarint(out, min_ts);
        put_uvarint(out, max_ts.wrapping_sub(min_ts).cast_unsigned());
        put_uvarint(out, u64::from(self.samples));
        put_uvarint(out, self.column_bytes.len() as u64);
        put_uvarint(out, self.payload.len() as u64);
        for entry in &self.entries {
            put_fixed(entry.ord - first_ord, ord_width(ords), out);
        }
        for &offset in self.column_begins.iter().skip(1).chain(self.begins.iter().skip(1)) {
            put_fixed(offset, offset_width, out);
        }
        out.extend_from_slice(&self.column_bytes);
        out.extend_from_slice(&self.payload);
        let checksum = crc32(&out[begin..]);
        out.extend_from_slice(&checksum.to_le_bytes());

        let info = PageInfo {
            first_ord,
            last_ord,
            min_ts,
            max_ts,
            n_samples: self.samples,
            len: offset(out.len() - begin),
        };
        self.reset(self.group);
        info
    }

    /// How to write the ordinals.
    fn ord_layout(&self, first_ord: u32, last_ord: u32) -> u8 {
        if self.dense {
            ORDS_DENSE
        } else if last_ord - first_ord <= u32::from(u16::MAX) {
            ORDS_16
        } else {
            ORDS_32
        }
    }

    /// Puts heads before the bodies, now that the columns are known.
    fn write_payload(&mut self, columns: &Columns) {
        self.payload.clear();
        self.begins.clear();
        let mut presence_bytes = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            self.begins.push(offset(self.payload.len()));
            let number = columns.of_list[entry.list as usize];
            presence_bytes.clear();
            let column = &columns.columns[number as usize];
            let kind = presence::write(column, self.lists.get(entry.list), &mut presence_bytes)
                .expect("a list lies on the column that was chosen for it");
            let mut head = kind.code() << PRESENCE_SHIFT;
            head |= if entry.histograms { HISTOGRAMS } else { 0 };
            head |= if entry.start_timestamps { START_TIMESTAMPS } else { 0 };
            head |= if number == 0 { COLUMN_0 } else { 0 };
            // Floats at every slot of the main column, the common case, need no head.
            if head != COLUMN_0 {
                self.payload.push(ENTRY_HEAD | head);
                if number != 0 {
                    put_uvarint(&mut self.payload, u64::from(number));
                }
                self.payload.extend_from_slice(&presence_bytes);
            }
            let body_end =
                self.entries.get(index + 1).map_or(self.bodies.len(), |next| next.body_begin);
            self.payload.extend_from_slice(&self.bodies[entry.body_begin..body_end]);
        }
    }

    fn write_columns(&mut self, columns: &Columns) {
        self.column_bytes.clear();
        self.column_begins.clear();
        for column in &columns.columns {
            self.column_begins.push(offset(self.column_bytes.len()));
            timestamps::encode(column, &mut self.encoder.ints, &mut self.column_bytes);
        }
    }
}

/// Bytes of an offset into a section of this length.
const fn offset_width(section_len: usize) -> usize {
    if section_len > u16::MAX as usize { 4 } else { 2 }
}

fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("a page is far below 4 GiB")
}

/// Appends the lowest `width` bytes of `value`.
fn put_fixed(value: u32, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..width]);
}
