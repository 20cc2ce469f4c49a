//! What an import tells while it runs, and what it comes to.

use std::path::Path;

use super::error::ImportError;

/// What an import tells while it runs.
#[derive(Debug)]
pub enum Told<'a> {
    /// So many samples more were read.
    Samples(u64),
    /// A chunk is not what it should be; its samples are left out.
    Chunk(&'a ImportError),
    /// A line or a series of a request is not what it should be; it is left out.
    Part {
        /// Of which file.
        path: &'a Path,
        /// Where, and why.
        why: String,
    },
    /// So many bytes more were read.
    Bytes(u64),
    /// Histograms that no store takes are left out.
    Histograms {
        /// How many.
        n: u64,
        /// Of which file.
        path: &'a Path,
        /// Why the last of them.
        why: String,
    },
}

/// What became of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sources that were imported before: nothing was done.
    pub known: u64,
    /// Samples written.
    pub samples: u64,
    /// Samples left out because they lie too far in the future, or before all times.
    pub out_of_time: u64,
    /// Histograms left out because they are not valid.
    pub histograms: u64,
    /// Chunks left out because they are damaged.
    pub chunks: u64,
    /// Lines or parts of requests left out because they are not what they should be.
    pub parts: u64,
    /// Blocks of nines written.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Outcome {
    /// Whether nothing was left out.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.out_of_time == 0 && self.histograms == 0 && self.chunks == 0 && self.parts == 0
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.known += other.known;
        self.samples += other.samples;
        self.out_of_time += other.out_of_time;
        self.histograms += other.histograms;
        self.chunks += other.chunks;
        self.parts += other.parts;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}
