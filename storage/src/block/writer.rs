//! Writes a block: targets in order, each cut into windows that its series share, each window into pages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group::Group;
use super::meta::{BLOCK_META_VERSION, BlockId, BlockMeta};
use super::sealing::{CHUNKS_VERSION, SealingFile, chunks_footer, chunks_header};
use super::{CHUNKS_FILE, INDEX_FILE, META_FILE, UNFINISHED};
use crate::chunk::{Compressor, PAGE_BYTES_TARGET, PageBuilder};
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};
use crate::index::{IndexBuilder, PageRef, compare_in_entity, is_target, write_index};
use crate::model::{Labels, SeriesData, TimeRange};

/// Bytes of samples of one group kept in memory. What exceeds it starts pages, and with them timestamp columns, anew.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// The same for a block from the head, whose series have few samples each, so that pages are full before.
const GROUP_BYTES_MAX_FRESH: usize = 2 << 20;

/// Where rows of the index wait while a block is written.
const ROWS_FILE: &str = "rows";

/// A block being written. In memory: the index but for its rows, and of the samples one group at most.
/// Dropped unfinished, it removes what it wrote as far as it can; the rest goes at the next start.
pub struct Writer {
    disk: Arc<dyn Disk>,
    blocks_dir: PathBuf,
    unfinished: PathBuf,
    sink: PageSink,
    target_labels: Vec<String>,
    index: IndexBuilder,
    meta: BlockMeta,
    /// Labels of the target, and whether the index knows of it: it has to have a series.
    target: Option<Labels>,
    begun: bool,
    last: Option<Labels>,
    group: Group,
    builder: PageBuilder,
    group_bytes_max: usize,
    renamed: bool,
}

/// Where pages go.
struct PageSink {
    chunks: Option<SealingFile>,
    pages: Vec<PageRef>,
    page: Vec<u8>,
    /// A block from the head is merged soon: its pages are written as they are.
    compressor: Option<Compressor>,
}

impl PageSink {
    fn finish_page(&mut self, builder: &mut PageBuilder) -> Result<()> {
        if builder.is_empty() {
            return Ok(());
        }
        self.page.clear();
        let info = builder.finish(&mut self.page);
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
        let rows = unfinished.join(ROWS_FILE);
        Ok(Self {
            index: IndexBuilder::with_file(target_labels, Arc::clone(&disk), rows),
            disk,
            blocks_dir: blocks_dir.to_owned(),
            unfinished,
            sink: PageSink {
                chunks: Some(chunks),
                pages: Vec::new(),
                page: Vec::new(),
                compressor: (level > 0).then(Compressor::default),
            },
            target_labels: target_labels.to_vec(),
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
            target: None,
            begun: false,
            last: None,
            group: Group::default(),
            builder: PageBuilder::new(0),
            group_bytes_max: if level > 0 { GROUP_BYTES_MAX } else { GROUP_BYTES_MAX_FRESH },
            renamed: false,
        })
    }

    /// Begins the series of the target with these labels (see [`crate::index::entity_labels`]). Targets come in
    /// ascending order.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the order is broken.
    pub fn begin_group(&mut self, entity: &Labels) -> Result<()> {
        if self.target.as_ref().is_some_and(|target| target >= entity) {
            return Err(Error::Invalid {
                what: format!("block writer: target {entity} is out of order"),
            });
        }
        self.flush_group()?;
        self.target = Some(entity.clone());
        self.begun = false;
        self.last = None;
        Ok(())
    }

    /// Adds a series of the group, in ascending order by [`compare_in_entity`]. A series without samples is left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the series is not of the group or the order is broken.
    pub fn add_series(&mut self, labels: &Labels, data: &SeriesData) -> Result<()> {
        let own = labels.iter().filter(|(name, _)| is_target(name, &self.target_labels));
        if self.target.as_ref().is_none_or(|target| !target.iter().eq(own)) {
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
        let ord = self.index_series(|index| index.push(labels))?;
        self.last = Some(labels.clone());
        self.add_data(ord, data)
    }

    /// Lets `add` add series of the group to the index, in their order, each of which is to get samples by
    /// [`Writer::add_data`]. All series of a block come this way, or none.
    pub(crate) fn index_series<T>(
        &mut self,
        add: impl FnOnce(&mut IndexBuilder) -> Result<T>,
    ) -> Result<T> {
        if !self.begun {
            self.begun = true;
            self.index.begin_entity(self.target.as_ref().unwrap_or(&Labels::empty()))?;
        }
        add(&mut self.index)
    }

    /// Adds the samples of the series at place `ord` of the index. Series come in order, each once.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the columns of `data` do not fit or do not ascend.
    pub(crate) fn add_data(&mut self, ord: u32, data: &SeriesData) -> Result<()> {
        if !is_well_formed(data) {
            return Err(Error::Invalid {
                what: format!("block writer: the columns of series {ord} do not fit or ascend"),
            });
        }
        self.group.add(ord, data);
        self.count(data);
        if self.group.bytes() > self.group_bytes_max {
            self.flush_group()?;
        }
        Ok(())
    }

    /// Keeps so many bytes of samples in memory at most, where it would keep more.
    pub(crate) fn limit_group_bytes(&mut self, bytes: usize) {
        self.group_bytes_max = self.group_bytes_max.min(bytes);
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
        self.sink.chunks.as_ref().map_or(0, SealingFile::len)
    }

    fn flush_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let Self { group, builder, index, sink, .. } = self;
        builder.reset(index.n_entities().saturating_sub(1));
        let per_window = group.samples_per_window();
        while let Some(cut) = group.next_cut(per_window) {
            group.add_window(cut, builder, |builder| {
                if builder.encoded_len_estimate() < PAGE_BYTES_TARGET {
                    return Ok(());
                }
                sink.finish_page(builder)
            })?;
            sink.finish_page(builder)?;
        }
        group.clear();
        Ok(())
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
        let n_pages = self.sink.pages.len() as u64;
        if let Some(mut chunks) = self.sink.chunks.take() {
            let footer = chunks_footer(CHUNKS_VERSION, chunks.len(), n_pages);
            chunks.write(&footer)?;
            self.meta.chunks_bytes = chunks.seal()?;
        }
        let mut index = SealingFile::create(self.disk.as_ref(), &self.unfinished.join(INDEX_FILE))?;
        write_index(&self.index, &self.sink.pages, &mut |bytes| index.write(bytes))?;
        self.index.remove_file()?;
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
        self.sink.chunks = None;
        self.renamed = true;
        self.disk.remove_dir_all(&self.unfinished)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.renamed {
            self.sink.chunks = None;
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
    /// The time of its samples.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.meta.range()
    }

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
