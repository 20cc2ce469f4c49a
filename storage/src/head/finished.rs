//! Finished chunks of one shard, one behind the other in large pages. They go all at once, when a flush
//! has written them to a block.
//!
//! Each chunk knows the one before it of the same series, so that a series keeps only the place of its
//! last one.

/// Bytes of a page: far above the longest chunk, small beside a shard.
const PAGE_BYTES: usize = 64 << 10;
/// Chunks begin at multiples of this, so that a place fits 32 bits: sixteen gibibytes a shard.
const ALIGNMENT: usize = 4;
const SLOTS_PER_PAGE: usize = PAGE_BYTES / ALIGNMENT;
/// Chunk before, window, length.
const HEADER_BYTES: usize = 4 + 4 + 2;

/// Instead of a place: there is no chunk.
pub(super) const NO_CHUNK: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pages: Vec<Vec<u8>>,
    n_chunks: usize,
}

/// A finished chunk; its timestamps are slots of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FinishedChunk<'a> {
    pub(super) before: u32,
    pub(super) window: u32,
    pub(super) bytes: &'a [u8],
}

impl Finished {
    /// Keeps a chunk; `before` is the place of the series' one before it. `None` when there is no place any
    /// more, or when the chunk is longer than any can be.
    pub(super) fn put(&mut self, before: u32, window: u32, bytes: &[u8]) -> Option<u32> {
        let n = u16::try_from(bytes.len()).ok()?;
        let len = HEADER_BYTES + bytes.len();
        if len > PAGE_BYTES {
            return None;
        }
        if self.pages.last().is_none_or(|page| page.len() + len > PAGE_BYTES) {
            self.pages.push(Vec::with_capacity(PAGE_BYTES));
        }
        let number = self.pages.len() - 1;
        let page = self.pages.last_mut()?;
        let place = u32::try_from(number * SLOTS_PER_PAGE + page.len() / ALIGNMENT).ok()?;
        if place == NO_CHUNK {
            return None;
        }
        page.extend_from_slice(&before.to_le_bytes());
        page.extend_from_slice(&window.to_le_bytes());
        page.extend_from_slice(&n.to_le_bytes());
        page.extend_from_slice(bytes);
        let padded = page.len().next_multiple_of(ALIGNMENT).min(PAGE_BYTES);
        page.resize(padded, 0);
        self.n_chunks += 1;
        Some(place)
    }

    /// The chunk at a place that [`Finished::put`] gave.
    pub(super) fn get(&self, place: u32) -> Option<FinishedChunk<'_>> {
        let page = self.pages.get(place as usize / SLOTS_PER_PAGE)?;
        let rest = page.get(place as usize % SLOTS_PER_PAGE * ALIGNMENT..)?;
        let (before, rest) = rest.split_first_chunk()?;
        let (window, rest) = rest.split_first_chunk()?;
        let (n, rest) = rest.split_first_chunk()?;
        let bytes = rest.get(..usize::from(u16::from_le_bytes(*n)))?;
        Some(FinishedChunk {
            before: u32::from_le_bytes(*before),
            window: u32::from_le_bytes(*window),
            bytes,
        })
    }

    /// The chunks of a series from its last one, at `place`, back to its first.
    pub(super) fn back_from(&self, mut place: u32) -> impl Iterator<Item = FinishedChunk<'_>> {
        std::iter::from_fn(move || {
            let chunk = (place != NO_CHUNK).then(|| self.get(place)).flatten()?;
            place = chunk.before;
            Some(chunk)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_chunks == 0
    }

    /// Chunks ever put here.
    pub(super) fn len(&self) -> usize {
        self.n_chunks
    }

    /// Heap bytes owned.
    pub(super) fn heap_bytes(&self) -> usize {
        self.pages.len() * PAGE_BYTES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn chains_of_series_are_read_back_over_many_pages() {
        let mut finished = Finished::default();
        let mut last = [NO_CHUNK; 7];
        let bytes = |i: usize| vec![i as u8; (i * 37) % 1100];
        for i in 0..2000 {
            let series = i % 7;
            last[series] = finished.put(last[series], i as u32, &bytes(i)).unwrap();
        }
        assert!(finished.heap_bytes() > 5 * PAGE_BYTES);
        assert_eq!(finished.len(), 2000);
        for (series, place) in last.into_iter().enumerate() {
            let mut expected: Vec<usize> = (0..2000).filter(|i| i % 7 == series).collect();
            expected.reverse();
            let chunks: Vec<_> = finished.back_from(place).collect();
            assert_eq!(chunks.len(), expected.len());
            for (chunk, i) in chunks.into_iter().zip(expected) {
                assert_eq!((chunk.window, chunk.bytes), (i as u32, &bytes(i)[..]));
            }
        }
        assert_eq!(finished.put(NO_CHUNK, 0, &vec![0; 70_000]), None, "longer than any chunk");
        assert_eq!(finished.back_from(NO_CHUNK).count(), 0);
    }
}
