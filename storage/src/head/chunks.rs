//! The memory of one shard's chunks, and where a series finds it.

use super::links::Links;
use super::target::Target;

/// The memory that the series of a shard share.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    pub(super) links: Links,
    /// Chunks, open ones included.
    pub(super) n_chunks: usize,
    /// Loose samples and histograms.
    pub(super) loose_bytes: usize,
}

impl Chunks {
    pub(super) fn n_chunks(&self) -> usize {
        self.n_chunks
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.links.heap_bytes() + self.loose_bytes
    }

    #[cfg(test)]
    pub(super) fn loose_bytes(&self) -> usize {
        self.loose_bytes
    }

    /// Gives back the chunks of a series whose last one is at `place`.
    pub(super) fn free(&mut self, place: u32) {
        self.n_chunks = self.n_chunks.saturating_sub(self.links.free_chunks(place));
    }
}

/// Where a series lives: its target, and the memory of its shard.
#[derive(Debug)]
pub(super) struct Home<'a> {
    pub(super) target: &'a mut Target,
    pub(super) chunks: &'a mut Chunks,
}
