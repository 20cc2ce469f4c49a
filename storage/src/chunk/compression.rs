//! The second pass over a page: general compression of what the codecs left, and the pages inflated last.
//!
//! Bit-packing has removed the noise; what remains to be found are columns that resemble each other. lz4 finds
//! most of it and inflates about ten times faster than zstd, so zstd is taken only where it is clearly shorter.

use std::fmt;

use super::layout::{
    CHECKSUM_LEN, COMPRESSION_LZ4, COMPRESSION_ZSTD, INFLATED_PAGE_BYTES_MAX, MAGIC_VERSION,
};
use super::page::place_of;
use crate::codec::{Malformed, Reader, crc32, put_uvarint};

/// zstd's effort.
const ZSTD_LEVEL: i32 = 3;
/// A page is stored compressed when that saves one part in this many: inflating costs every reader.
const SAVING_MIN: usize = 32;
/// zstd is taken when it is shorter than lz4 by one part in this many.
const ZSTD_GAIN_MIN: usize = 16;
/// Inflated pages that a reader keeps by their number, and their bytes together: reading series of a target one
/// after the other over many windows finds them again.
const INFLATED_KEPT: usize = 1024;
const INFLATED_BYTES_MAX: usize = 8 << 20;

/// Compresses whole pages. Belongs to one writer.
#[derive(Default)]
pub struct Compressor {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    lz4_bytes: Vec<u8>,
    zstd_bytes: Vec<u8>,
}

impl Compressor {
    /// Replaces `page`, as [`super::PageBuilder::finish`] wrote it, by its compressed form, where that is
    /// smaller by enough and the page is not longer than the format allows.
    pub fn compress(&mut self, page: &mut Vec<u8>) {
        let Some(raw) = page.len().checked_sub(CHECKSUM_LEN).and_then(|end| page.get(..end)) else {
            return;
        };
        if raw.len() > INFLATED_PAGE_BYTES_MAX {
            return;
        }
        let bound = lz4_flex::block::get_maximum_output_size(raw.len());
        self.lz4_bytes.resize(bound, 0);
        let lz4_len = lz4_flex::block::compress_into(raw, &mut self.lz4_bytes).unwrap_or(bound);
        let mut best = (COMPRESSION_LZ4, self.lz4_bytes.get(..lz4_len).unwrap_or_default());
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        self.zstd_bytes.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        if let Some(zstd) = &mut self.zstd
            && let Ok(len) = zstd.compress_to_buffer(raw, self.zstd_bytes.as_mut_slice())
            && len < lz4_len.min(raw.len()) - lz4_len.min(raw.len()) / ZSTD_GAIN_MIN
        {
            best = (COMPRESSION_ZSTD, self.zstd_bytes.get(..len).unwrap_or_default());
        }
        let (compression, stored) = best;
        if stored.len() >= raw.len() - raw.len() / SAVING_MIN {
            return;
        }
        let raw_len = raw.len() as u64;
        page.clear();
        page.extend_from_slice(&[MAGIC_VERSION, compression]);
        put_uvarint(page, raw_len);
        page.extend_from_slice(stored);
        let checksum = crc32(page);
        page.extend_from_slice(&checksum.to_le_bytes());
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// What a compressed page says in front of its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deflated<'a> {
    compression: u8,
    len: usize,
    stored: &'a [u8],
}

impl<'a> Deflated<'a> {
    /// Reads the head of a compressed page, whose checksum is left out of `covered`; `None`: not compressed.
    pub(super) fn read(covered: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(covered);
        let head = reader.take(2, "page header")?;
        let &[MAGIC_VERSION, compression @ (COMPRESSION_LZ4 | COMPRESSION_ZSTD)] = head else {
            return Ok(None);
        };
        let at = reader.position();
        let refused = Malformed { what: "length of an inflated page", at };
        let len = reader.uvarint("length of an inflated page")?;
        let len = usize::try_from(len).map_err(|_| refused)?;
        if len > INFLATED_PAGE_BYTES_MAX {
            return Err(refused);
        }
        let stored = reader.take(reader.remaining(), "compressed page")?;
        Ok(Some(Self { compression, len, stored }))
    }

    fn inflate(&self, zstd: &mut Zstd, out: &mut Vec<u8>) -> Result<(), Malformed> {
        out.clear();
        out.resize(self.len, 0);
        let len = if self.compression == COMPRESSION_LZ4 {
            lz4_flex::block::decompress_into(self.stored, out).ok()
        } else {
            zstd.inflate(self.stored, out)
        };
        let refused = Malformed { what: "compressed page", at: 2 };
        if len == Some(self.len) { Ok(()) } else { Err(refused) }
    }
}

/// The state of zstd, made when first needed.
#[derive(Default)]
struct Zstd(Option<zstd::bulk::Decompressor<'static>>);

impl Zstd {
    fn inflate(&mut self, stored: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.0.is_none() {
            self.0 = zstd::bulk::Decompressor::new().ok();
        }
        self.0.as_mut()?.decompress_to_buffer(stored, out).ok()
    }
}

/// The pages that a reading thread inflated last.
pub struct InflatedPages {
    bytes_max: usize,
    places: Vec<InflatedPage>,
    /// Capacity of all places together.
    bytes: usize,
    /// The place that gives its memory next.
    hand: usize,
    /// A page without an id.
    loose: Vec<u8>,
    zstd: Zstd,
}

#[derive(Debug, Default)]
struct InflatedPage {
    id: Option<u64>,
    bytes: Vec<u8>,
}

impl Default for InflatedPages {
    fn default() -> Self {
        Self::with_bytes_max(INFLATED_BYTES_MAX)
    }
}

impl InflatedPages {
    /// Keeps as many bytes, or one page.
    #[must_use]
    pub fn with_bytes_max(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            places: Vec::new(),
            bytes: 0,
            hand: 0,
            loose: Vec::new(),
            zstd: Zstd::default(),
        }
    }

    /// The bytes of the page `id`, inflated now or earlier.
    pub(super) fn get(
        &mut self,
        id: Option<u64>,
        deflated: &Deflated<'_>,
    ) -> Result<&[u8], Malformed> {
        let Some(id) = id else {
            deflated.inflate(&mut self.zstd, &mut self.loose)?;
            return Ok(&self.loose);
        };
        let at = place_of(id, INFLATED_KEPT);
        if self.places.len() <= at {
            self.places.resize_with(at + 1, InflatedPage::default);
        }
        if self.places.get(at).is_none_or(|place| place.id != Some(id)) {
            let mut bytes = self.give_up(at);
            while self.bytes > 0 && self.bytes + deflated.len > self.bytes_max {
                self.hand = (self.hand + 1) % self.places.len();
                let other = self.give_up(self.hand);
                if other.capacity() > bytes.capacity() {
                    bytes = other;
                }
            }
            let inflated = deflated.inflate(&mut self.zstd, &mut bytes);
            self.bytes += bytes.capacity();
            let id = inflated.is_ok().then_some(id);
            if let Some(place) = self.places.get_mut(at) {
                *place = InflatedPage { id, bytes };
            }
            inflated?;
        }
        Ok(self.places.get(at).map_or(&[], |place| &place.bytes))
    }

    /// Empties a place and answers its memory.
    fn give_up(&mut self, at: usize) -> Vec<u8> {
        let place = self.places.get_mut(at).map(std::mem::take).unwrap_or_default();
        self.bytes -= place.bytes.capacity();
        place.bytes
    }
}

impl fmt::Debug for InflatedPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InflatedPages").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::chunk::{Page, PageBuilder, PageScratch};
    use crate::model::TimeRange;

    /// A page of `n` series with `value(ord, slot)`.
    fn page(n: u32, value: impl Fn(u32, usize) -> f64) -> Vec<u8> {
        let ts: Vec<i64> = (0..200).map(|slot| slot * 15_000).collect();
        let mut builder = PageBuilder::new(1);
        for ord in 0..n {
            let values: Vec<f64> = (0..ts.len()).map(|slot| value(ord, slot)).collect();
            builder.add_floats(ord, &ts, &values, &[]);
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        bytes
    }

    /// Buckets of one histogram: they count the same events.
    fn buckets(ord: u32, slot: usize) -> f64 {
        (ord as usize * 1000 + slot * slot * 7919 % 1013) as f64
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        Compressor::default().compress(&mut bytes);
        bytes
    }

    fn framed(compression: u8, raw_len: u64, stored: &[u8]) -> Vec<u8> {
        let mut page = vec![MAGIC_VERSION, compression];
        put_uvarint(&mut page, raw_len);
        page.extend_from_slice(stored);
        let checksum = crc32(&page);
        page.extend_from_slice(&checksum.to_le_bytes());
        page
    }

    fn error(bytes: &[u8]) -> &'static str {
        Page::open(bytes, true, None, &mut InflatedPages::default()).unwrap_err().what
    }

    #[test]
    fn like_columns_shrink_and_noise_stays_as_it_is() {
        let like = page(50, buckets);
        let small = compressed(&like);
        assert!(small.len() * 3 < like.len(), "{} of {}", small.len(), like.len());
        let mut state = 1u64;
        let mut noise = Vec::new();
        for _ in 0..4000 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            noise.push(f64::from_bits(state >> 2));
        }
        let noise = page(20, |ord, slot| noise[ord as usize * 200 + slot]);
        assert_eq!(compressed(&noise), noise, "not smaller: stored as it is");
    }

    #[test]
    fn both_forms_inflate() {
        let plain = page(50, buckets);
        let raw = &plain[..plain.len() - CHECKSUM_LEN];
        let forms = [
            framed(COMPRESSION_LZ4, raw.len() as u64, &lz4_flex::block::compress(raw)),
            framed(COMPRESSION_ZSTD, raw.len() as u64, &zstd::bulk::compress(raw, 3).unwrap()),
        ];
        for bytes in forms {
            let mut inflated = InflatedPages::default();
            let page = Page::open(&bytes, true, Some(7), &mut inflated).unwrap();
            let (mut ts, mut values) = (Vec::new(), Vec::new());
            let mut scratch = PageScratch::default();
            page.read_floats(49, TimeRange::ALL, &mut scratch, &mut ts, &mut values, &mut vec![])
                .unwrap();
            assert_eq!(values[199], buckets(49, 199));
            assert_eq!(page.info().len as usize, bytes.len());
        }
    }

    #[test]
    fn a_claimed_length_is_checked_before_memory_is_taken() {
        let raw = vec![0u8; 100];
        let lz4 = lz4_flex::block::compress(&raw);
        let zstd = zstd::bulk::compress(&raw, 3).unwrap();
        for (compression, stored) in [(COMPRESSION_LZ4, &lz4), (COMPRESSION_ZSTD, &zstd)] {
            for claimed in [INFLATED_PAGE_BYTES_MAX as u64 + 1, u64::MAX] {
                let what = error(&framed(compression, claimed, stored));
                assert_eq!(what, "length of an inflated page");
            }
            for claimed in [0, 99, 101, INFLATED_PAGE_BYTES_MAX as u64] {
                assert_eq!(error(&framed(compression, claimed, stored)), "compressed page");
            }
            let nested = framed(compression, 100, stored);
            assert_eq!(error(&nested), "page magic or version");
        }
        // A page within a page is none.
        let inner = framed(COMPRESSION_LZ4, 100, &lz4);
        let inner = &inner[..inner.len() - CHECKSUM_LEN];
        let stored = lz4_flex::block::compress(inner);
        let outer = framed(COMPRESSION_LZ4, inner.len() as u64, &stored);
        assert_eq!(error(&outer), "page compression");
    }

    #[test]
    fn pages_are_kept_up_to_a_number_of_bytes() {
        let plain = page(600, |ord, slot| {
            (u64::from(ord) * 31 % 97 + slot as u64 * slot as u64 % 1009) as f64
        });
        let bytes = compressed(&plain);
        let raw_len = plain.len() - CHECKSUM_LEN;
        assert!(raw_len > 60_000 && bytes.len() < plain.len());
        let deflated = Deflated::read(&bytes[..bytes.len() - CHECKSUM_LEN]).unwrap().unwrap();
        let mut inflated = InflatedPages::default();
        for id in 0..2000 {
            assert_eq!(inflated.get(Some(id), &deflated).unwrap().len(), raw_len);
            assert!(inflated.bytes <= INFLATED_BYTES_MAX, "{}", inflated.bytes);
        }
        let kept = inflated.places.iter().filter(|place| place.id.is_some()).count();
        assert_eq!(kept, INFLATED_BYTES_MAX / raw_len);
        // What is kept is answered without being inflated: other bytes under its id are not looked at.
        let other = Deflated { stored: &[], ..deflated };
        assert!(inflated.get(Some(1999), &other).is_ok());
        assert!(inflated.get(Some(5000), &other).is_err());
        assert!(inflated.get(Some(5000), &other).is_err(), "damage is not kept");
    }
}
