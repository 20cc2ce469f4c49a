//! What a block says about itself: `meta.json`.

use std::fmt;
use std::path::Path;

use crate::codec::crc32;
use crate::error::{Corruption, Error, Result};
use crate::model::TimeRange;

/// Version of a block's layout.
pub const BLOCK_META_VERSION: u32 = 1;

/// Names a block for ever; its directory is called by the 16 hexadecimal digits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct BlockId(pub u64);

impl BlockId {
    /// The id that is written `name`: 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        if name.len() != 16 || !digits {
            return None;
        }
        u64::from_str_radix(name, 16).ok().map(Self)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<BlockId> for String {
    fn from(id: BlockId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BlockId {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a block id is 16 hexadecimal digits")
    }
}

/// What a block holds and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockMeta {
    /// Version of the layout.
    pub version: u32,
    /// The block.
    pub id: BlockId,
    /// Earliest timestamp in milliseconds; above `max_ts` in a block without samples.
    pub min_ts: i64,
    /// Latest timestamp in milliseconds.
    pub max_ts: i64,
    /// Number of series.
    pub n_series: u64,
    /// Number of samples of both kinds.
    pub n_samples: u64,
    /// Number of native histograms among them.
    pub n_histograms: u64,
    /// How often its samples were compacted; 0: straight from the head.
    pub level: u32,
    /// The blocks this one was made from and takes the place of.
    pub sources: Vec<BlockId>,
    /// Length of the chunks file.
    pub chunks_bytes: u64,
    /// Length of the index file.
    pub index_bytes: u64,
}

/// The file: the fields and the checksum of their compact form.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    meta: BlockMeta,
    crc32: u32,
}

impl BlockMeta {
    /// The time covered, both ends included; empty in a block without samples.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.min_ts, self.max_ts)
    }

    /// Sorts blocks that share a time by when their samples were accepted: compaction makes new blocks of
    /// old samples, so an id alone does not tell. See `compact::plan` for why the first source is enough.
    #[must_use]
    pub fn acceptance(&self) -> (BlockId, BlockId) {
        (self.sources.iter().copied().min().unwrap_or(self.id).min(self.id), self.id)
    }

    fn crc32(&self) -> u32 {
        // Numbers, texts and lists of texts: this cannot fail.
        crc32(&serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let sealed = Sealed { crc32: self.crc32(), meta: self.clone() };
        let mut text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
        text.push(b'\n');
        text
    }

    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |what| Error::from(Corruption::new(path, 0, what));
        let sealed: Sealed = serde_json::from_slice(bytes)
            .map_err(|_| bad("block meta is not what is written there"))?;
        if sealed.crc32 != sealed.meta.crc32() {
            return Err(bad("block meta checksum"));
        }
        if sealed.meta.version != BLOCK_META_VERSION {
            return Err(bad("block version is not known"));
        }
        Ok(sealed.meta)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ids_are_sixteen_digits() {
        assert_eq!(BlockId(0x1f).to_string(), "000000000000001f");
        assert_eq!(BlockId::parse("000000000000001f"), Some(BlockId(0x1f)));
        for wrong in ["1f", "000000000000001F", "+00000000000001f", "000000000000001f.tmp", ""] {
            assert_eq!(BlockId::parse(wrong), None, "{wrong}");
        }
    }
}
