//! Writes a block: targets in order, each cut into windows that its series share, each window into pages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::meta::{BLOCK_META_VERSION, BlockId, BlockMeta};
use super::sealing::{CHUNKS_VERSION, SealingFile, chunks_footer, chunks_header};
use super::{CHUNKS_FILE, INDEX_FILE, META_FILE, UNFINISHED};
use crate::chunk::{Compressor, PAGE_BYTES_TARGET, PageBuilder, WINDOW_SLOTS_MAX};
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};
use crate::index::{MemIndex, PageRef, compare_in_entity, entity_labels, write_index};
use crate::model::{Labels, SeriesData};

/// Bytes of samples of one group kept in memory. What exceeds it starts pages, and with them timestamp columns, anew.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// Samples of a series of the group being collected.
struct Pending {
    ord: u32,
    data: SeriesData,
    blobs: Vec<Vec<u8>>,
    histogram_ts: Vec<i64>,
    next_float: usize,
    next_histogram: usize,
}

/// A block being written. In memory: the index rows, and of the samples one group at most.
/// Dropped unfinished, it removes what it wrote as far as it can; the rest goes at the next start.
pub struct Writer {
    disk: Arc<dyn Disk>,
    blocks_dir: PathBuf,
    unfinished: PathBuf,
    chunks: Option<SealingFile>,
    target_labels: Vec<String>,
    index: MemIndex,
    pages: Vec<PageRef>,
    meta: BlockMeta,
    group: Option<Labels>,
    last: Option<Labels>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    builder: PageBuilder,
    page: Vec<u8>,
    /// A block from the head is merged soon: its pages are written as they are.
    compressor: Option<Compressor>,
    group_bytes_max: usize,
    renamed: bool,
}

impl Writer {
    /// Begins `<blocks_dir>/<id>.tmp/`, in place of one that was left there. `sources` are the blocks that
    /// the new one takes the place of.
    pub fn new(
        disk: Arc<dyn Disk>,
        blocks_dir: &Path,
        id: BlockId,
        level: u32,
        sources: Vec<BlockId>,
        target_labels: &[String],
    ) -> Result<Self> {
        create_dir_durable(disk.as_ref(), blocks_dir)?;
        let unfinished = blocks_dir.join(format!("{id}{UNFINISHED}"));
        if disk.exists(&unfinished)? {
            disk.remove_dir_all(&unfinished)?;
        }
        disk.create_dir_all(&unfinished)?;
        let mut chunks = SealingFile::create(disk.as_ref(), &unfinished.join(CHUNKS_FILE))?;
        chunks.write(&chunks_header(CHUNKS_VERSION))?;
        Ok(Self {
            disk,
            blocks_dir: blocks_dir.to_owned(),
            unfinished,
            chunks: Some(chunks),
            target_labels: target_labels.to_vec(),
            index: MemIndex::new(target_labels),
            pages: Vec::new(),
            meta: BlockMeta {
                version: BLOCK_META_VERSION,
                id,
                min_ts: i64::MAX,
                max_ts: i64::MIN,
                n_series: 0,
                n_samples: 0,
                n_histograms: 0,
                level,
                sources,
                chunks_bytes: 0,
                index_bytes: 0,
            },
            group: None,
            last: None,
            pending: Vec::new(),
            pending_bytes: 0,
            builder: PageBuilder::new(0),
            page: Vec::new(),
            compressor: (level > 0).then(Compressor::default),
            group_bytes_max: GROUP_BYTES_MAX,
            renamed: false,
        })
    }

    /// Begins the series of the target with these labels (see [`entity_labels`]). Targets come in ascending order.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the order is broken.
    pub fn begin_group(&mut self, entity: &Labels) -> Result<()> {
        if self.group.as_ref().is_some_and(|group| group >= entity) {
            return Err(Error::Invalid {
                what: format!("block writer: target {entity} is out of order"),
            });
        }
        self.flush_group()?;
        self.group = Some(entity.clone());
        self.last = None;
        Ok(())
    }

    /// Adds a series of the group, in ascending order by [`compare_in_entity`]. A series without samples is left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the series is not of the group or the order is broken.
    pub fn add_series(&mut self, labels: &Labels, data: &SeriesData) -> Result<()> {
        if self.group.as_ref() != Some(&entity_labels(labels, &self.target_labels)) {
            return Err(Error::Invalid {
                what: format!("block writer: series {labels} is not of this target"),
            });
        }
        if self.last.as_ref().is_some_and(|last| compare_in_entity(last, labels).is_ge()) {
            return Err(Error::Invalid {
                what: format!("block writer: series {labels} is out of order"),
            });
        }
        if data.is_empty() {
            return Ok(());
        }
        if !is_well_formed(data) {
            return Err(Error::Invalid {
                what: format!("block writer: the columns of {labels} do not fit or do not ascend"),
            });
        }
        let (ord, _) = self.index.insert(labels)?;
        let mut pending = Pending {
            ord: ord.0,
            data: SeriesData {
                ts: data.ts.clone(),
                values: data.values.clone(),
                start_ts: data.start_ts.clone(),
                histograms: Vec::new(),
            },
            blobs: Vec::with_capacity(data.histograms.len()),
            histogram_ts: Vec::with_capacity(data.histograms.len()),
            next_float: 0,
            next_histogram: 0,
        };
        for (ts, histogram) in &data.histograms {
            let mut blob = Vec::new();
            histogram.encode(&mut blob);
            self.pending_bytes += blob.len() + 32;
            pending.blobs.push(blob);
            pending.histogram_ts.push(*ts);
        }
        self.pending_bytes += data.ts.len() * 16 + data.start_ts.len() * 8 + size_of::<Pending>();
        self.pending.push(pending);
        self.count(data);
        self.last = Some(labels.clone());
        if self.pending_bytes > self.group_bytes_max {
            self.flush_group()?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_group_bytes_max(&mut self, bytes: usize) {
        self.group_bytes_max = bytes;
    }

    fn count(&mut self, data: &SeriesData) {
        self.meta.n_series += 1;
        self.meta.n_samples += data.len() as u64;
        self.meta.n_histograms += data.histograms.len() as u64;
        let histogram_ts = [data.histograms.first(), data.histograms.last()];
        let ends = [data.ts.first(), data.ts.last()];
        for ts in ends.into_iter().flatten().chain(histogram_ts.into_iter().flatten().map(|h| &h.0))
        {
            self.meta.min_ts = self.meta.min_ts.min(*ts);
            self.meta.max_ts = self.meta.max_ts.max(*ts);
        }
    }

    /// Whether no sample was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meta.n_samples == 0
    }

    /// Samples added so far.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.meta.n_samples
    }

    /// Bytes of samples written so far.
    #[must_use]
    pub fn chunks_bytes(&self) -> u64 {
        self.chunks.as_ref().map_or(0, SealingFile::len)
    }

    fn flush_group(&mut self) -> Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let Some(entity) = pending
            .first()
            .and_then(|first| self.index.entity_of(crate::model::SeriesOrd(first.ord)))
        else {
            return Ok(());
        };
        self.builder.reset(entity.0);
        let per_window = samples_per_window(&pending);
        while let Some(cut) = next_cut(&pending, per_window) {
            for series in &mut pending {
                self.add_window(series, cut);
                if self.builder.encoded_len_estimate() >= PAGE_BYTES_TARGET {
                    self.finish_page()?;
                }
            }
            self.finish_page()?;
        }
        Ok(())
    }

    /// Adds what the series has before `cut` (`None`: all).
    fn add_window(&mut self, series: &mut Pending, cut: Option<i64>) {
        let ts = &series.data.ts;
        let floats =
            series.next_float..series.next_float + count_before(ts, series.next_float, cut);
        if let (Some(ts), Some(values)) =
            (ts.get(floats.clone()), series.data.values.get(floats.clone()))
        {
            let start_ts = series.data.start_ts.get(floats.clone()).unwrap_or(&[]);
            self.builder.add_floats(series.ord, ts, values, start_ts);
            series.next_float = floats.end;
        }
        let begin = series.next_histogram;
        let histograms = begin..begin + count_before(&series.histogram_ts, begin, cut);
        if let (Some(ts), Some(blobs)) =
            (series.histogram_ts.get(histograms.clone()), series.blobs.get(histograms.clone()))
        {
            self.builder.add_histograms(series.ord, ts, blobs);
            series.next_histogram = histograms.end;
        }
    }

    fn finish_page(&mut self) -> Result<()> {
        if self.builder.is_empty() {
            return Ok(());
        }
        self.page.clear();
        let info = self.builder.finish(&mut self.page);
        if let Some(compressor) = &mut self.compressor {
            compressor.compress(&mut self.page);
        }
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        self.pages.push(PageRef {
            min_ts: info.min_ts,
            max_ts: info.max_ts,
            offset: chunks.len(),
            len: u32::try_from(self.page.len()).unwrap_or(info.len),
            first_ord: info.first_ord,
            last_ord: info.last_ord,
        });
        chunks.write(&self.page)
    }

    /// Finishes the block: files and directory synced, renamed, the parent synced. Durable on return.
    ///
    /// # Errors
    /// After an error the block may be there or not, now and after a restart: do not use its id again.
    pub fn finish(self) -> Result<BlockMeta> {
        self.seal()?.publish()
    }

    /// Writes and syncs what is left; the block has its name only once it is published.
    pub fn seal(mut self) -> Result<Sealed> {
        self.flush_group()?;
        let n_pages = self.pages.len() as u64;
        if let Some(mut chunks) = self.chunks.take() {
            let footer = chunks_footer(CHUNKS_VERSION, chunks.len(), n_pages);
            chunks.write(&footer)?;
            self.meta.chunks_bytes = chunks.seal()?;
        }
        let mut index = SealingFile::create(self.disk.as_ref(), &self.unfinished.join(INDEX_FILE))?;
        write_index(&self.index, &self.pages, &mut |bytes| index.write(bytes))?;
        self.meta.index_bytes = index.seal()?;
        let mut meta = SealingFile::create(self.disk.as_ref(), &self.unfinished.join(META_FILE))?;
        meta.write(&self.meta.encode())?;
        meta.seal()?;
        self.disk.sync_dir(&self.unfinished)?;
        self.renamed = true;
        Ok(Sealed {
            disk: Arc::clone(&self.disk),
            unfinished: self.unfinished.clone(),
            blocks_dir: self.blocks_dir.clone(),
            meta: self.meta.clone(),
            published: false,
        })
    }

    /// Removes what was written.
    pub fn abort(mut self) -> Result<()> {
        self.chunks = None;
        self.renamed = true;
        self.disk.remove_dir_all(&self.unfinished)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.renamed {
            self.chunks = None;
            // What cannot be removed now is removed when the blocks are loaded.
            self.disk.remove_dir_all(&self.unfinished).ok();
        }
    }
}

/// A block that is whole and durable under its unfinished name. Dropped, it is removed.
pub struct Sealed {
    disk: Arc<dyn Disk>,
    unfinished: PathBuf,
    blocks_dir: PathBuf,
    meta: BlockMeta,
    published: bool,
}

impl Sealed {
    /// Gives the block its name; durable on return. From here on it takes the place of its sources.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn publish(mut self) -> Result<BlockMeta> {
        self.published = true;
        self.disk.rename(&self.unfinished, &self.blocks_dir.join(self.meta.id.to_string()))?;
        self.disk.sync_dir(&self.blocks_dir)?;
        Ok(self.meta.clone())
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed when the blocks are loaded.
            self.disk.remove_dir_all(&self.unfinished).ok();
        }
    }
}

fn is_well_formed(data: &SeriesData) -> bool {
    let n = data.ts.len();
    data.values.len() == n
        && (data.start_ts.is_empty() || data.start_ts.len() == n)
        && data.ts.is_sorted_by(|a, b| a < b)
        && data.histograms.is_sorted_by(|a, b| a.0 < b.0)
}

/// Samples per window such that the windows of the longest series are of one length.
fn samples_per_window(pending: &[Pending]) -> usize {
    let longest =
        pending.iter().map(|series| series.data.ts.len().max(series.histogram_ts.len())).max();
    let longest = longest.unwrap_or(0).max(1);
    longest.div_ceil(longest.div_ceil(WINDOW_SLOTS_MAX))
}

/// The end of the next window: the time at which the first series would exceed it. `Some(None)`: all the rest
/// fits. `None`: nothing is left.
fn next_cut(pending: &[Pending], per_window: usize) -> Option<Option<i64>> {
    let left = |series: &Pending| {
        series.next_float < series.data.ts.len()
            || series.next_histogram < series.histogram_ts.len()
    };
    if !pending.iter().any(left) {
        return None;
    }
    let ends = pending.iter().flat_map(|series| {
        [
            series.data.ts.get(series.next_float + per_window),
            series.histogram_ts.get(series.next_histogram + per_window),
        ]
    });
    Some(ends.flatten().min().copied())
}

/// How many of `ts[from..]` lie before `cut`.
fn count_before(ts: &[i64], from: usize, cut: Option<i64>) -> usize {
    let rest = ts.get(from..).unwrap_or(&[]);
    cut.map_or(rest.len(), |cut| rest.partition_point(|ts| *ts < cut))
}
