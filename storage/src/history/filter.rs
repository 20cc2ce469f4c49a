//! Whether a row group may hold rows of a series, by the filter of its ids. One block of the filter is read, 32 bytes,
//! which costs less than the ids of a page however many series there are.

use parquet::bloom_filter::Sbbf;
use xxhash_rust::xxh64::xxh64;

use super::reader::RowFile;
use super::schema::leaf;
use crate::codec::Reader;

const BLOCK_BYTES: usize = 32;
/// What stands before the blocks at most.
const HEADER_BYTES_MAX: usize = 32;
/// The first byte of a filter: field 1 is an integer, the bytes of its blocks.
const LENGTH_FIELD: u8 = 0x15;

impl RowFile {
    /// `false` only where no row has this id.
    pub(super) fn may_have(&self, group: usize, id: i64) -> bool {
        self.block_of(group, id).is_none_or(|block| block.check(&id))
    }

    /// The block of an id as a filter of its own; none where the filter is not as it is known.
    fn block_of(&self, group: usize, id: i64) -> Option<Sbbf> {
        let column = self.column_chunk(group, leaf::SERIES_ID).ok()?;
        let from = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let n_bytes = u64::try_from(column.bloom_filter_length()?).ok()?;
        let bytes = self.range(from..from.checked_add(n_bytes)?).ok()?;
        let (first, behind) = bytes.split_first()?;
        let twice = Reader::new(behind).uvarint("length of a filter").ok()?;
        let length = usize::try_from(twice / 2).ok().filter(|_| *first == LENGTH_FIELD)?;
        let header = bytes.len().checked_sub(length).filter(|n| *n <= HEADER_BYTES_MAX)?;
        let blocks = bytes.get(header..)?;
        let upper = xxh64(&id.to_le_bytes(), 0) >> 32;
        let at = usize::try_from((upper * (blocks.len() / BLOCK_BYTES) as u64) >> 32).ok()?;
        blocks.get(at * BLOCK_BYTES..(at + 1) * BLOCK_BYTES).map(Sbbf::new)
    }
}
