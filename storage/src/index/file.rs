//! The index of a block, read in place.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use roaring::RoaringBitmap;

use super::file_write::{
    INDEX_CLASS_METRIC, INDEX_CLASS_RESIDUAL, INDEX_CLASS_TARGET, INDEX_PAGE_ENTRY_BYTES,
    INDEX_POSTINGS_GAPS, INDEX_POSTINGS_ROARING, INDEX_ROWS_PER_OFFSET, PageRef,
};
use super::mem::EntityId;
use super::pairs::Class;
use super::resolve::{self, Cardinality};
use super::sections::{Section, Sections};
use super::split::is_target;
use crate::codec::{Malformed, Reader};
use crate::disk::Bytes;
use crate::error::{Error, Result};
use crate::model::{Labels, Matcher, SeriesOrd};

const NAME_BYTES: usize = 20;
const VALUE_BYTES: usize = 8;
const ENTITY_BYTES: usize = 12;

/// The index of a block over the bytes of its file. On the heap there are the label names, nothing per value or
/// series.
#[derive(Debug)]
pub struct IndexFile {
    sections: Sections,
    /// Label names with their entries, ascending; filled when first asked for.
    names: OnceLock<Vec<(Box<str>, NameEntry)>>,
    /// Whether all texts are UTF-8; filled when first asked for.
    pub(super) texts_are_utf8: OnceLock<bool>,
}

/// A label name in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameEntry {
    pub(super) class: Class,
    first_value: u32,
    pub(super) n_values: u32,
    /// Place of the postings of all its values together.
    pub(super) having: u32,
}

#[derive(Debug, Clone, Copy)]
struct EntityEntry {
    first_ord: u32,
    first_page: u32,
    labels: u32,
}

/// The row of a series: its shape's parts and its residual values.
pub(super) struct FileRow<'a> {
    pub(super) shape: u32,
    /// Place among the metric names, plus one; 0: none.
    pub(super) metric: u32,
    /// Names of the shape, still encoded.
    names: Reader<'a>,
    n_names: usize,
    /// Values, still encoded.
    values: Reader<'a>,
}

/// The little-endian number at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(raw.try_into().ok()?))
}

/// The first `i < n` for which `less` is false.
pub(super) fn partition(n: u32, mut less: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if less(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl IndexFile {
    /// Opens the file `path` with these bytes: checks header and footer.
    pub fn open(bytes: Bytes, path: &Path) -> Result<Self> {
        Ok(Self {
            sections: Sections::open(bytes, path)?,
            names: OnceLock::new(),
            texts_are_utf8: OnceLock::new(),
        })
    }

    /// Verifies the checksum of every section.
    pub fn verify(&self) -> Result<()> {
        use Section::{Entities, Names, Pages, Postings, Rows, Shapes, Symbols, Values};
        for section in [Symbols, Names, Values, Postings, Entities, Shapes, Rows, Pages] {
            self.sections.get(section)?;
        }
        Ok(())
    }

    /// Number of series; places are below.
    #[must_use]
    pub fn n_series(&self) -> u32 {
        self.sections.n_series
    }

    /// Number of entities.
    #[must_use]
    pub fn n_entities(&self) -> u32 {
        self.sections.n_entities
    }

    /// The series that satisfy all of `matchers`; all series when there is none.
    pub fn resolve(&self, matchers: &[Matcher]) -> Result<RoaringBitmap> {
        resolve::resolve(self, matchers)
    }

    /// Label names of all series, or of those in `within`, ascending.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        resolve::label_names(self, within)
    }

    /// Values of a label among all series, or among those in `within`, ascending.
    pub fn label_values(&self, name: &str, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        resolve::label_values(self, name, within)
    }

    /// The `limit` largest counts of each kind.
    pub fn cardinality(&self, limit: usize) -> Result<Cardinality> {
        resolve::cardinality(self, limit)
    }

    /// The label set of a series.
    pub fn labels(&self, ord: SeriesOrd) -> Result<Labels> {
        let mut pairs = Vec::with_capacity(16);
        self.for_each_pair(ord.0, &mut |name, value| pairs.push((name, value)))?;
        Ok(Labels::from_pairs(pairs))
    }

    /// The labels of an entity.
    pub fn entity_labels(&self, entity: EntityId) -> Result<Labels> {
        let mut pairs = Vec::new();
        self.for_each_entity_pair(entity.0, &mut |name, value| pairs.push((name, value)))?;
        Ok(Labels::from_pairs(pairs))
    }

    /// The entity of a series.
    pub fn entity_of(&self, ord: SeriesOrd) -> Result<EntityId> {
        if ord.0 >= self.n_series() {
            return Err(Error::Invalid { what: format!("no series {} in this block", ord.0) });
        }
        let after = partition(self.n_entities(), |i| Ok(self.entity(i)?.first_ord <= ord.0))?;
        let entity = after.checked_sub(1);
        entity.map(EntityId).ok_or_else(|| self.corrupt(Section::Entities, "index entity order"))
    }

    /// Whether its series are in the order that these target labels make: whether each of its label names is of
    /// the class that they say.
    pub(crate) fn is_ordered_by(&self, target_labels: &[String]) -> Result<bool> {
        let agrees = |(name, entry): &(Box<str>, NameEntry)| {
            (entry.class == Class::Target) == is_target(name, target_labels)
        };
        Ok(self.names()?.iter().all(agrees))
    }

    /// First place of the series of an entity, and the first place behind them.
    pub fn series_of_entity(&self, entity: EntityId) -> Result<std::ops::Range<u32>> {
        let next = self.entity(entity.0.saturating_add(1))?.first_ord.min(self.n_series());
        Ok(self.entity(entity.0)?.first_ord..next)
    }

    /// Number of pages of the block by the section table alone.
    pub(crate) fn n_pages_unverified(&self) -> usize {
        self.sections.len(Section::Pages) / INDEX_PAGE_ENTRY_BYTES
    }

    /// The pages of an entity with their places in the directory; of one series ascending in time.
    pub fn pages_of_entity(
        &self,
        entity: EntityId,
    ) -> Result<impl Iterator<Item = (u32, PageRef)> + '_> {
        let first = self.entity(entity.0)?.first_page;
        let end = self.entity(entity.0.saturating_add(1))?.first_page;
        let range = first as usize * INDEX_PAGE_ENTRY_BYTES..end as usize * INDEX_PAGE_ENTRY_BYTES;
        let entries = self.sections.get(Section::Pages)?.get(range);
        let entries = entries.ok_or_else(|| self.corrupt(Section::Pages, "index page range"))?;
        let pages = entries.chunks_exact(INDEX_PAGE_ENTRY_BYTES).map_while(|e| read_page(e).ok());
        Ok((first..).zip(pages))
    }

    pub(super) fn corrupt(&self, section: Section, what: &'static str) -> Error {
        self.sections.corrupt(section, what)
    }

    pub(super) fn number(&self, section: Section, at: usize) -> Result<u32> {
        let found = u32_at(self.sections.get(section)?, at);
        found.ok_or_else(|| self.corrupt(section, "index offset"))
    }

    /// The `i`-th run of a section made of a count, count + 1 offsets and bytes.
    pub(super) fn run(&self, section: Section, i: u32) -> Result<&[u8]> {
        let bytes = self.sections.get(section)?;
        let run = || {
            let n = u32_at(bytes, 0)?;
            let table = 4usize.checked_add((n as usize).checked_add(1)?.checked_mul(4)?)?;
            let at = |i: usize| Some(u32_at(bytes, 4 + i * 4)? as usize);
            let (low, high) = (at(i as usize)?, at(i as usize + 1)?);
            if i < n { bytes.get(table..)?.get(low..high) } else { None }
        };
        run().ok_or_else(|| self.corrupt(section, "index offset"))
    }

    pub(super) fn symbol(&self, id: u32) -> Result<&str> {
        std::str::from_utf8(self.run(Section::Symbols, id)?)
            .map_err(|_| self.corrupt(Section::Symbols, "index symbol is not UTF-8"))
    }

    /// All label names, ascending.
    pub(super) fn names(&self) -> Result<&[(Box<str>, NameEntry)]> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let mut names = Vec::new();
        for i in 0..self.number(Section::Names, 0)? {
            let (symbol, entry) = self.read_name(i)?;
            names.push((self.symbol(symbol)?.into(), entry));
        }
        Ok(self.names.get_or_init(|| names))
    }

    fn read_name(&self, i: u32) -> Result<(u32, NameEntry)> {
        let number =
            |field: usize| self.number(Section::Names, 4 + i as usize * NAME_BYTES + field * 4);
        let class = match number(1)? {
            INDEX_CLASS_METRIC => Class::Metric,
            INDEX_CLASS_TARGET => Class::Target,
            INDEX_CLASS_RESIDUAL => Class::Residual,
            _ => return Err(self.corrupt(Section::Names, "index name class")),
        };
        let (first_value, n_values, having) = (number(2)?, number(3)?, number(4)?);
        Ok((number(0)?, NameEntry { class, first_value, n_values, having }))
    }

    pub(super) fn name_at(&self, i: u32) -> Result<&(Box<str>, NameEntry)> {
        let name = self.names()?.get(i as usize);
        name.ok_or_else(|| self.corrupt(Section::Names, "index name number"))
    }

    pub(super) fn find_name(&self, name: &str) -> Result<Option<NameEntry>> {
        let names = self.names()?;
        let found = names.binary_search_by(|entry| entry.0.as_ref().cmp(name));
        Ok(found.ok().and_then(|at| names.get(at)).map(|entry| entry.1))
    }

    /// Symbol and place of the postings of the `i`-th value of a name.
    pub(super) fn value_at(&self, name: &NameEntry, i: u32) -> Result<(u32, u32)> {
        if i >= name.n_values {
            return Err(self.corrupt(Section::Values, "index value number"));
        }
        let at = (name.first_value as usize + i as usize) * VALUE_BYTES;
        Ok((self.number(Section::Values, at)?, self.number(Section::Values, at + 4)?))
    }

    pub(super) fn value_text(&self, name: &NameEntry, i: u32) -> Result<&str> {
        self.symbol(self.value_at(name, i)?.0)
    }

    /// The place of a value among those of its name.
    pub(super) fn find_value(&self, name: &NameEntry, value: &str) -> Result<Option<u32>> {
        let at = partition(name.n_values, |i| Ok(self.value_text(name, i)? < value))?;
        Ok((at < name.n_values && self.value_text(name, at)? == value).then_some(at))
    }

    /// The postings at `offset`: entities or series, as `class` says.
    pub(super) fn postings(&self, offset: u32, class: Class) -> Result<RoaringBitmap> {
        let bytes = self.sections.get(Section::Postings)?;
        let end = if class == Class::Target { self.n_entities() } else { self.n_series() };
        let encoded = bytes.get(offset as usize..).unwrap_or(&[]);
        read_postings(encoded, end).ok_or_else(|| self.corrupt(Section::Postings, "index postings"))
    }

    fn entity(&self, i: u32) -> Result<EntityEntry> {
        let number =
            |field: usize| self.number(Section::Entities, i as usize * ENTITY_BYTES + field * 4);
        if i > self.n_entities() {
            return Err(self.corrupt(Section::Entities, "index entity number"));
        }
        Ok(EntityEntry { first_ord: number(0)?, first_page: number(1)?, labels: number(2)? })
    }

    pub(super) fn for_each_entity_pair<'a>(
        &'a self,
        entity: u32,
        show: &mut dyn FnMut(&'a str, &'a str),
    ) -> Result<()> {
        self.for_each_entity_value(entity, &mut |name, value| {
            let (name, entry) = self.name_at(name)?;
            show(name, self.value_text(entry, value)?);
            Ok(())
        })
    }

    /// Shows the labels of an entity as numbers: of the name, and of the value among those of the name.
    pub(super) fn for_each_entity_value(
        &self,
        entity: u32,
        show: &mut dyn FnMut(u32, u32) -> Result<()>,
    ) -> Result<()> {
        let malformed = |cause: Malformed| self.corrupt(Section::Entities, cause.what);
        let labels = self.entity(entity)?.labels as usize;
        let begin = (self.n_entities() as usize + 1) * ENTITY_BYTES + labels;
        let bytes = self.sections.get(Section::Entities)?.get(begin..).unwrap_or(&[]);
        let mut reader = Reader::new(bytes);
        let n = reader.count(2, "index entity labels").map_err(malformed)?;
        for _ in 0..n {
            let name = reader.uvarint32("index entity name").map_err(malformed)?;
            let value = reader.uvarint32("index entity value").map_err(malformed)?;
            show(name, value)?;
        }
        Ok(())
    }

    pub(super) fn for_each_pair<'a>(
        &'a self,
        ord: u32,
        show: &mut dyn FnMut(&'a str, &'a str),
    ) -> Result<()> {
        let entity = self.entity_of(SeriesOrd(ord))?;
        self.for_each_entity_pair(entity.0, show)?;
        let row = self.row(ord)?;
        if let Some((name, value)) = self.metric_of(&row)? {
            show(name, value);
        }
        self.for_each_residual(row, show)
    }

    pub(super) fn metric_of(&self, row: &FileRow<'_>) -> Result<Option<(&str, &str)>> {
        let Some(metric) = row.metric.checked_sub(1) else { return Ok(None) };
        let entry = self.find_name(crate::model::METRIC_NAME)?;
        let entry = entry.ok_or_else(|| self.corrupt(Section::Names, "index metric names"))?;
        Ok(Some((crate::model::METRIC_NAME, self.value_text(&entry, metric)?)))
    }

    pub(super) fn for_each_residual<'a>(
        &'a self,
        mut row: FileRow<'_>,
        show: &mut dyn FnMut(&'a str, &'a str),
    ) -> Result<()> {
        for _ in 0..row.n_names {
            let name = row.names.uvarint32("index shape name");
            let name = name.map_err(|cause| self.corrupt(Section::Shapes, cause.what))?;
            let value = row.values.uvarint32("index row value");
            let value = value.map_err(|cause| self.corrupt(Section::Rows, cause.what))?;
            let (name, entry) = self.name_at(name)?;
            show(name, self.value_text(entry, value)?);
        }
        Ok(())
    }

    /// Metric (plus one), names still encoded, and their number.
    pub(super) fn shape(&self, shape: u32) -> Result<(u32, Reader<'_>, usize)> {
        let malformed = |cause: Malformed| self.corrupt(Section::Shapes, cause.what);
        let mut reader = Reader::new(self.run(Section::Shapes, shape)?);
        let metric = reader.uvarint32("index shape metric").map_err(malformed)?;
        let n_names = reader.count(1, "index shape names").map_err(malformed)?;
        Ok((metric, reader, n_names))
    }

    pub(super) fn row(&self, ord: u32) -> Result<FileRow<'_>> {
        let malformed = |cause: Malformed| self.corrupt(Section::Rows, cause.what);
        if ord >= self.n_series() {
            return Err(Error::Invalid { what: format!("no series {ord} in this block") });
        }
        let table = self.n_series().div_ceil(INDEX_ROWS_PER_OFFSET) as usize * 4;
        let offset = self.number(Section::Rows, (ord / INDEX_ROWS_PER_OFFSET) as usize * 4)?;
        let bytes = self.sections.get(Section::Rows)?.get(table..).unwrap_or(&[]);
        let mut values = Reader::new(bytes.get(offset as usize..).unwrap_or(&[]));
        let mut skipped = 0;
        loop {
            let shape = values.uvarint32("index row shape").map_err(malformed)?;
            let (metric, names, n_names) = self.shape(shape)?;
            if skipped == ord % INDEX_ROWS_PER_OFFSET {
                return Ok(FileRow { shape, metric, names, n_names, values });
            }
            for _ in 0..n_names {
                values.uvarint32("index row value").map_err(malformed)?;
            }
            skipped += 1;
        }
    }

    /// The table of the rows' offsets, and the rows.
    pub(super) fn rows_bytes(&self) -> Result<&[u8]> {
        self.sections.get(Section::Rows)
    }

    /// The postings of a value as a set.
    pub(super) fn pair_postings(
        &self,
        name: &NameEntry,
        value: &str,
    ) -> Result<Cow<'_, RoaringBitmap>> {
        Ok(Cow::Owned(match self.find_value(name, value)? {
            None => RoaringBitmap::new(),
            Some(i) => self.postings(self.value_at(name, i)?.1, name.class)?,
        }))
    }
}

fn read_page(entry: &[u8]) -> std::result::Result<PageRef, Malformed> {
    let mut reader = Reader::new(entry);
    Ok(PageRef {
        min_ts: reader.i64("index page time")?,
        max_ts: reader.i64("index page time")?,
        offset: reader.u64("index page offset")?,
        len: reader.u32("index page length")?,
        first_ord: reader.u32("index page series")?,
        last_ord: reader.u32("index page series")?,
    })
}

/// The set at the beginning of `bytes`, all members of which must be below `end`.
pub(super) fn read_postings(bytes: &[u8], end: u32) -> Option<RoaringBitmap> {
    let (tag, encoded) = bytes.split_first()?;
    let set = match *tag {
        INDEX_POSTINGS_ROARING => RoaringBitmap::deserialize_from(encoded).ok()?,
        INDEX_POSTINGS_GAPS => {
            let mut reader = Reader::new(encoded);
            let n = reader.count(1, "postings").ok()?;
            let mut members = Vec::with_capacity(n);
            let mut least = 0u32;
            for _ in 0..n {
                let member = least.checked_add(reader.uvarint32("postings gap").ok()?)?;
                members.push(member);
                least = member.checked_add(1)?;
            }
            RoaringBitmap::from_sorted_iter(members).ok()?
        }
        _ => return None,
    };
    set.max().is_none_or(|max| max < end).then_some(set)
}
