//! A block as a whole: what it says about itself, and its samples day by day.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nines_storage::Importing;
use nines_storage::codec::crc32;
use nines_storage::model::{DAY_MS, TimeRange};

use super::super::error::{ImportError, Result};
use super::super::told::Told;
use super::chunks::Chunks;
use super::collected::{Collected, SERIES_DAY_BYTES_MAX};
use super::histogram::Invalid;
use super::index::{AHEAD_LOOKING_UP, ChunkRef, Entry, Index};
use super::order::{Added, Order};
use super::tombstones::Tombstones;

/// Most days of which one block may hold samples.
pub const BLOCK_DAYS_MAX: usize = 36_600;
/// Longest `meta.json`.
const META_BYTES_MAX: u64 = 16 << 20;
const META_FILE: &str = "meta.json";
/// The version of `meta.json`.
const META_VERSION: u32 = 1;
/// Most of a chunks file that is read at once.
const CHUNKS_AHEAD_MAX: u64 = 1 << 20;
/// What the last chunk of a series may take, read together with the others.
const CHUNK_AHEAD: u64 = 1 << 10;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    ulid: String,
    min_time: i64,
    max_time: i64,
    version: u32,
    #[serde(default)]
    stats: Stats,
    thanos: Option<Thanos>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    num_samples: u64,
    num_series: u64,
}

#[derive(serde::Deserialize)]
struct Thanos {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    downsample: Downsample,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Downsample {
    resolution: i64,
}

/// A block that was found.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its folder.
    pub dir: PathBuf,
    /// Its name.
    pub ulid: String,
    /// First millisecond, and the one behind the last, as it says.
    pub min_ts: i64,
    /// See `min_ts`.
    pub max_ts: i64,
    /// Samples, as it says.
    pub n_samples: u64,
    /// Series, as it says.
    pub n_series: u64,
    /// Labels that its series get: those of the caller, and those that Thanos keeps for the whole block.
    labels: BTreeMap<String, String>,
    checksum: u32,
}

/// The blocks at `path`, which is one or a folder of some, oldest first; of each that is not one, why.
/// Series get `labels` that they lack.
pub fn find(path: &Path, labels: &BTreeMap<String, String>) -> Result<Vec<Result<Source>>> {
    if path.join(META_FILE).is_file() {
        return Ok(vec![Source::open(path, labels)]);
    }
    let list = std::fs::read_dir(path).map_err(|cause| ImportError::source("list", path, cause))?;
    let mut found = Vec::new();
    for entry in list {
        let dir = entry.map_err(|cause| ImportError::source("list", path, cause))?.path();
        // A folder with another ending is being written or removed.
        if dir.extension().is_none() && dir.join(META_FILE).is_file() {
            found.push(Source::open(&dir, labels));
        }
    }
    found.sort_by_key(|source| source.as_ref().map_or(i64::MIN, |source| source.min_ts));
    Ok(found)
}

impl Source {
    fn open(dir: &Path, labels: &BTreeMap<String, String>) -> Result<Self> {
        let path = dir.join(META_FILE);
        let length = std::fs::metadata(&path).map(|metadata| metadata.len());
        let read = length.and_then(|n| {
            if n > META_BYTES_MAX {
                return Err(std::io::Error::other("it is too long"));
            }
            std::fs::read(&path)
        });
        let text = read.map_err(|cause| ImportError::source("read", &path, cause))?;
        let meta: Meta = serde_json::from_slice(&text)
            .map_err(|cause| ImportError::damaged(&path, 0, cause.to_string()))?;
        if meta.version != META_VERSION {
            let what =
                format!("version {} of a block is not known, only {META_VERSION} is", meta.version);
            return Err(ImportError::unsupported(&path, what));
        }
        let mut all = BTreeMap::new();
        if let Some(thanos) = meta.thanos {
            if thanos.downsample.resolution > 0 {
                let what = "this block is downsampled by Thanos and does not hold the samples: import the raw one";
                return Err(ImportError::unsupported(dir, what));
            }
            // Those with two underscores are for the compactors of Thanos and Mimir.
            let outer = thanos.labels.unwrap_or_default().into_iter();
            all.extend(outer.filter(|(name, value)| !name.starts_with("__") && !value.is_empty()));
        }
        all.extend(labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut identity = text;
        for text in all.iter().flat_map(|(name, value)| [name, value]) {
            identity.extend_from_slice(text.as_bytes());
            identity.push(0);
        }
        Ok(Self {
            dir: dir.to_owned(),
            ulid: meta.ulid,
            min_ts: meta.min_time,
            max_ts: meta.max_time,
            n_samples: meta.stats.num_samples,
            n_series: meta.stats.num_series,
            labels: all,
            checksum: crc32(&identity),
        })
    }

    /// Tells this block from others, and from itself with other labels.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{:08x}", self.ulid, self.checksum)
    }
}

/// An open block.
pub struct Block {
    index: Index,
    chunks: Chunks,
    tombstones: Tombstones,
    added: Added,
    order: Order,
}

impl Block {
    /// Opens the block and reads its series once.
    pub fn open(source: &Source, target_labels: &[String]) -> Result<Self> {
        let mut index = Index::open(&source.dir.join("index"))?;
        let chunks = Chunks::open(&source.dir.join("chunks"))?;
        let tombstones = Tombstones::open(&source.dir.join("tombstones"))?;
        let added = Added::new(&source.labels, index.symbols());
        let order = Order::read(&mut index, &added, target_labels)?;
        Ok(Self { index, chunks, tombstones, added, order })
    }

    /// Days (since 1970-01-01) of which it may have samples, ascending.
    pub fn days(&self) -> impl Iterator<Item = i64> + use<'_> {
        self.order.days.iter().copied()
    }

    /// Number of its series.
    #[must_use]
    pub const fn n_series(&self) -> u64 {
        self.order.n_series
    }

    /// Bytes of its samples.
    #[must_use]
    pub fn chunks_bytes(&self) -> u64 {
        self.chunks.bytes()
    }

    /// Adds the samples of one day. `told` hears of the samples of each series, and of what is left out.
    pub fn import_day(
        &mut self,
        day: i64,
        into: &mut Importing<'_>,
        told: &mut dyn FnMut(Told<'_>),
    ) -> Result<()> {
        let min = day.saturating_mul(DAY_MS);
        let range = TimeRange::new(min, min.saturating_add(DAY_MS - 1));
        let Self { index, chunks, tombstones, added, order } = self;
        let (mut entry, mut collected) = (Entry::default(), Collected::default());
        let mut invalid = Invalid::default();
        for same in order.each() {
            collected.clear();
            for offset in same {
                index.read(*offset, AHEAD_LOOKING_UP, &mut entry)?;
                let series = index.series_id(*offset);
                let of_day =
                    |chunk: &&ChunkRef| chunk.min_ts <= range.max && chunk.max_ts >= range.min;
                let last = entry.chunks.iter().rfind(of_day).map_or(0, |chunk| chunk.reference);
                for chunk in entry.chunks.iter().filter(of_day) {
                    if collected.is_full() {
                        let what = format!(
                            "the series at byte {offset} has more than {SERIES_DAY_BYTES_MAX} bytes of samples on one day: the others are left out"
                        );
                        told(Told::Chunk(&ImportError::unsupported(index.path(), what)));
                        continue;
                    }
                    let ahead = last.saturating_sub(chunk.reference).saturating_add(CHUNK_AHEAD);
                    let ahead = ahead.min(CHUNKS_AHEAD_MAX) as usize;
                    let read = collected.add(|data| {
                        let (floats, histograms) = (data.ts.len(), data.histograms.len());
                        chunks.read(chunk.reference, ahead, range, data, &mut invalid)?;
                        tombstones.apply(series, data, floats, histograms);
                        Ok(())
                    });
                    if let Err(why) = read {
                        told(Told::Chunk(&why));
                    }
                }
            }
            let data = collected.settled();
            told(Told::Samples(data.len() as u64));
            if !data.is_empty() {
                into.add(&added.labels(&entry, index.symbols()), data)?;
            }
        }
        if let Some((ts, why)) = invalid.last {
            let path = index.path();
            told(Told::Histograms { n: invalid.n, path, why: format!("at {ts} ms: {why}") });
        }
        Ok(())
    }
}
