//! Reads a block from its mapped files.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use super::meta::BlockMeta;
use super::sealing::check_chunks;
use super::tombstones::Tombstones;
use super::{CHUNKS_FILE, INDEX_FILE, META_FILE};
use crate::chunk::{InflatedPages, Page, PageScratch};
use crate::codec::{Malformed, Reader};
use crate::disk::{Bytes, Disk};
use crate::error::{Corruption, Result};
use crate::index::{EntityId, IndexFile, LabelWalk, PageRef};
use crate::model::{Histogram, Labels, Matcher, SeriesData, SeriesOrd, TimeRange};

/// Buffers of one reading thread, for any number of blocks.
#[derive(Debug, Default)]
pub struct ReadScratch {
    page: PageScratch,
    inflated: InflatedPages,
}

impl ReadScratch {
    /// Keeps so many bytes of inflated pages. For reading all series of targets one after the other over many
    /// windows: each page is inflated once if those of a target are kept.
    pub(crate) fn with_inflated_bytes_max(bytes: usize) -> Self {
        Self { inflated: InflatedPages::with_bytes_max(bytes), ..Self::default() }
    }
}

/// A span of time of which a read lacks samples, and why.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Samples inside are missing.
    pub range: TimeRange,
    /// What was found.
    pub cause: Corruption,
}

/// Shown each series of a walk: its place, its labels, and which of the pages found are its own.
pub(crate) type ShowSeries<'a> =
    &'a mut dyn FnMut(SeriesOrd, &mut LabelWalk<'_>, Range<u32>) -> Result<()>;

/// An opened block.
pub struct Block {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    meta: BlockMeta,
    index: IndexFile,
    chunks_path: PathBuf,
    chunks: Bytes,
    /// One bit per page whose checksum was verified.
    verified: Vec<AtomicU64>,
    /// Pages whose damage was logged.
    damaged: Mutex<BTreeSet<u32>>,
    tombstones: RwLock<Arc<Tombstones>>,
    /// Held while tombstones are written.
    deleting: Mutex<()>,
    /// Tells the pages of this opened block from those of any other in a [`PageScratch`].
    serial: u64,
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

impl Block {
    /// Opens the block `dir`: checks its meta, the lengths of its files, their headers and footers.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let meta_path = dir.join(META_FILE);
        let meta = BlockMeta::decode(&disk.read(&meta_path)?, &meta_path)?;
        if dir.file_name().and_then(|name| name.to_str()) != Some(&meta.id.to_string()) {
            return Err(
                Corruption::new(&meta_path, 0, "block id is not the directory's name").into()
            );
        }
        let map = |name: &str, len: u64| -> Result<(PathBuf, Bytes)> {
            let path = dir.join(name);
            if disk.file_len(&path)? != len {
                return Err(Corruption::new(&path, len, "block file length").into());
            }
            let bytes = disk.map(&path)?;
            if bytes.len() as u64 != len {
                return Err(Corruption::new(&path, len, "block file length").into());
            }
            Ok((path, bytes))
        };
        let (index_path, index) = map(INDEX_FILE, meta.index_bytes)?;
        let index = IndexFile::open(index, &index_path)?;
        if u64::from(index.n_series()) != meta.n_series {
            return Err(Corruption::new(&index_path, 0, "index series count").into());
        }
        let (chunks_path, chunks) = map(CHUNKS_FILE, meta.chunks_bytes)?;
        let n_pages = index.n_pages_unverified();
        check_chunks(&chunks, n_pages as u64, &chunks_path)?;
        let tombstones = Tombstones::read(disk.as_ref(), dir)?;
        Ok(Self {
            verified: (0..n_pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            damaged: Mutex::default(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            tombstones: RwLock::new(Arc::new(tombstones)),
            deleting: Mutex::new(()),
            dir: dir.to_owned(),
            disk,
            meta,
            index,
            chunks_path,
            chunks,
        })
    }

    /// What the block says about itself.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its label index.
    #[must_use]
    pub fn index(&self) -> &IndexFile {
        &self.index
    }

    /// The time it covers.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.meta.range()
    }

    /// Bytes of its chunks and index.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.meta.chunks_bytes.saturating_add(self.meta.index_bytes)
    }

    /// The series that satisfy all of `matchers`; all when there is none.
    pub fn resolve(&self, matchers: &[Matcher]) -> Result<RoaringBitmap> {
        self.index.resolve(matchers)
    }

    /// As [`Block::resolve`], as a list, ascending by place.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Vec<SeriesOrd>> {
        Ok(self.resolve(matchers)?.iter().map(SeriesOrd).collect())
    }

    /// The label set of a series.
    pub fn labels(&self, ord: SeriesOrd) -> Result<Labels> {
        self.index.labels(ord)
    }

    /// Label names of all series, or of those in `within`, ascending.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        self.index.label_names(within)
    }

    /// Values of a label among all series, or among those in `within`, ascending.
    pub fn label_values(&self, name: &str, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        self.index.label_values(name, within)
    }

    /// Whether a page that may hold samples of the series overlaps `range`. Opens no page.
    pub fn may_have(&self, ord: SeriesOrd, range: TimeRange) -> Result<bool> {
        if !self.range().overlaps(&range) {
            return Ok(false);
        }
        let entity = self.index.entity_of(ord)?;
        Ok(self.pages(entity, ord, range)?.next().is_some())
    }

    fn pages(
        &self,
        entity: EntityId,
        ord: SeriesOrd,
        range: TimeRange,
    ) -> Result<impl Iterator<Item = (u32, PageRef)> + '_> {
        let pages = self.index.pages_of_entity(entity)?;
        Ok(pages.filter(move |(_, page)| may_hold(page, ord, range)))
    }

    /// Appends the samples of a series inside `range` in time order, without those that are deleted.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] at a damaged page; `out` is then as before.
    pub fn read(
        &self,
        ord: SeriesOrd,
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut SeriesData,
    ) -> Result<()> {
        if !self.range().overlaps(&range) {
            return Ok(());
        }
        let (n_floats, n_histograms) = (out.ts.len(), out.histograms.len());
        let entity = self.index.entity_of(ord)?;
        let pages = self.pages(entity, ord, range)?;
        let answer = self.read_pages(ord, pages, range, scratch, out, None);
        if answer.is_err() {
            truncate(out, n_floats, n_histograms);
        }
        answer
    }

    /// As [`Block::read`], but leaves damaged pages out and tells of them. `pages` are those that
    /// [`Block::walk`] named for the series; with damage of the index it would have failed.
    pub(crate) fn read_lossy(
        &self,
        ord: SeriesOrd,
        pages: &[(u32, PageRef)],
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut SeriesData,
        damages: &mut Vec<Damage>,
    ) -> Result<()> {
        let pages = pages.iter().copied().filter(|(_, page)| may_hold(page, ord, range));
        self.read_pages(ord, pages, range, scratch, out, Some(damages))
    }

    /// Shows the series of `ords` that may have samples inside `range`, ascending, each with its labels and
    /// the place of its pages among `pages`, to which they are appended, those of a target together.
    pub(crate) fn walk(
        &self,
        ords: &RoaringBitmap,
        range: TimeRange,
        pages: &mut Vec<(u32, PageRef)>,
        show: ShowSeries<'_>,
    ) -> Result<()> {
        if !self.range().overlaps(&range) {
            return Ok(());
        }
        let mut labels = self.index.label_walk()?;
        let (mut from, mut behind) = (pages.len(), 0);
        for ord in ords {
            if ord >= behind {
                let entity = self.index.entity_of(SeriesOrd(ord))?;
                behind = self.index.series_of_entity(entity)?.end;
                labels.enter(entity)?;
                from = pages.len();
                let overlaps = |page: &(u32, PageRef)| {
                    page.1.min_ts <= range.max && range.min <= page.1.max_ts
                };
                pages.extend(self.index.pages_of_entity(entity)?.filter(overlaps));
            }
            let own = pages.get(from..).unwrap_or_default();
            if own.iter().any(|(_, page)| may_hold(page, SeriesOrd(ord), range)) {
                let places = from as u32..pages.len() as u32;
                labels.go_to(ord)?;
                show(SeriesOrd(ord), &mut labels, places)?;
            }
        }
        Ok(())
    }

    fn read_pages(
        &self,
        ord: SeriesOrd,
        pages: impl Iterator<Item = (u32, PageRef)>,
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut SeriesData,
        mut damages: Option<&mut Vec<Damage>>,
    ) -> Result<()> {
        let tombstones = Arc::clone(&self.tombstones.read());
        let (n_floats, n_histograms) = (out.ts.len(), out.histograms.len());
        for (number, page) in pages {
            let before = (out.ts.len(), out.histograms.len());
            let Err(cause) = self.read_page(number, page, ord, range, scratch, out) else {
                continue;
            };
            truncate(out, before.0, before.1);
            self.tell(number, &cause);
            match &mut damages {
                Some(damages) => {
                    damages.push(Damage { range: TimeRange::new(page.min_ts, page.max_ts), cause });
                }
                None => return Err(cause.into()),
            }
        }
        tombstones.apply(ord, out, n_floats, n_histograms);
        Ok(())
    }

    /// Logs a damaged page, once.
    fn tell(&self, number: u32, cause: &Corruption) {
        if self.damaged.lock().insert(number) {
            tracing::error!(%cause, "a page is damaged; its samples are missing from answers");
        }
    }

    fn read_page(
        &self,
        number: u32,
        place: PageRef,
        ord: SeriesOrd,
        range: TimeRange,
        scratch: &mut ReadScratch,
        out: &mut SeriesData,
    ) -> std::result::Result<(), Corruption> {
        let malformed = |cause| Corruption::malformed(&self.chunks_path, place.offset, cause);
        let page = self.open_page(number, place, &mut scratch.inflated)?;
        let SeriesData { ts, values, start_ts, histograms } = out;
        page.read_floats(ord.0, range, &mut scratch.page, ts, values, start_ts)
            .map_err(malformed)?;
        let mut push = |ts: i64, blob: &[u8]| -> std::result::Result<(), Malformed> {
            let histogram = Histogram::decode(&mut Reader::new(blob))?;
            histograms.push((ts, Arc::new(histogram)));
            Ok(())
        };
        page.read_histograms(ord.0, range, &mut scratch.page, &mut push).map_err(malformed)?;
        Ok(())
    }

    /// The page, its checksum verified now or earlier, inflated if it is compressed.
    fn open_page<'a>(
        &'a self,
        number: u32,
        place: PageRef,
        inflated: &'a mut InflatedPages,
    ) -> std::result::Result<Page<'a>, Corruption> {
        let bytes = usize::try_from(place.offset)
            .ok()
            .and_then(|begin| self.chunks.get(begin..begin.checked_add(place.len as usize)?))
            .ok_or_else(|| {
                Corruption::new(&self.chunks_path, place.offset, "page outside the file")
            })?;
        let word = self.verified.get(number as usize / 64);
        let bit = 1u64 << (number % 64);
        let seen = word.is_some_and(|word| word.load(Ordering::Acquire) & bit != 0);
        let id = self.serial << 32 | u64::from(number);
        let page = Page::open(bytes, !seen, Some(id), inflated)
            .map_err(|cause| Corruption::malformed(&self.chunks_path, place.offset, cause))?;
        if !seen && let Some(word) = word {
            word.fetch_or(bit, Ordering::Release);
        }
        Ok(page)
    }

    /// Reads every checksum of index and pages, and inflates what is compressed.
    pub fn verify(&self) -> Result<()> {
        let mut inflated = InflatedPages::default();
        self.index.verify()?;
        for entity in 0..self.index.n_entities() {
            for (number, page) in self.index.pages_of_entity(EntityId(entity))? {
                self.open_page(number, page, &mut inflated)?;
            }
        }
        Ok(())
    }

    /// What is deleted.
    #[must_use]
    pub fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&self.tombstones.read())
    }

    /// Deletes samples; durable on return, seen by reads that begin later. Intervals without a sample of the
    /// block are kept as well: the caller leaves out what cannot overlap.
    pub fn add_tombstones(&self, deleted: &[(SeriesOrd, TimeRange)]) -> Result<()> {
        let _deleting = self.deleting.lock();
        let mut all = (*self.tombstones()).clone();
        for (ord, range) in deleted {
            all.add(*ord, *range);
        }
        if all == *self.tombstones() {
            return Ok(());
        }
        all.write(self.disk.as_ref(), &self.dir)?;
        *self.tombstones.write() = Arc::new(all);
        Ok(())
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("dir", &self.dir)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// Whether samples of the series inside `range` may lie in the page.
fn may_hold(page: &PageRef, ord: SeriesOrd, range: TimeRange) -> bool {
    page.first_ord <= ord.0
        && ord.0 <= page.last_ord
        && page.min_ts <= range.max
        && range.min <= page.max_ts
}

fn truncate(out: &mut SeriesData, n_floats: usize, n_histograms: usize) {
    out.ts.truncate(n_floats);
    out.values.truncate(n_floats);
    out.start_ts.truncate(n_floats);
    out.histograms.truncate(n_histograms);
}
