//! The memory of one shard's chunks, and where a series finds it.

use super::finished::Finished;
use super::links::Links;
use super::target::Target;

/// The memory that the series of a shard share.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    pub(super) links: Links,
    pub(super) finished: Finished,
    /// What a flush is writing to a block.
    pub(super) frozen: Finished,
    /// Chunks, open ones included.
    pub(super) n_chunks: usize,
    /// Loose samples and histograms.
    pub(super) loose_bytes: usize,
    pub(super) scratch: Vec<u8>,
}

impl Chunks {
    pub(super) fn n_chunks(&self) -> usize {
        self.n_chunks
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = self.finished.heap_bytes() + self.frozen.heap_bytes();
        self.links.heap_bytes() + chunks + self.loose_bytes
    }

    #[cfg(test)]
    pub(super) fn loose_bytes(&self) -> usize {
        self.loose_bytes
    }

    /// Whether frozen chunks of an earlier flush are still here.
    pub(super) fn has_frozen(&self) -> bool {
        !self.frozen.is_empty()
    }

    /// Makes the finished chunks the frozen ones; each series does the same with its places.
    pub(super) fn freeze(&mut self) {
        self.frozen = std::mem::take(&mut self.finished);
    }

    /// Forgets finished chunks that were copied to the frozen ones.
    pub(super) fn forget_finished(&mut self) {
        self.n_chunks = self.n_chunks.saturating_sub(self.finished.len());
        self.finished = Finished::default();
    }

    /// Forgets the frozen chunks; each series does the same with its place.
    pub(super) fn drop_frozen(&mut self) {
        self.n_chunks = self.n_chunks.saturating_sub(self.frozen.len());
        self.frozen = Finished::default();
    }
}

/// Where a series lives: its target, and the memory of its shard.
#[derive(Debug)]
pub(super) struct Home<'a> {
    pub(super) target: &'a mut Target,
    pub(super) chunks: &'a mut Chunks,
}
