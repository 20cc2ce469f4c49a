//! Writes the index file of a block from an index in memory.

use roaring::RoaringBitmap;

use super::mem::MemIndex;
use super::pairs::{Class, entity_pairs};
use super::postings::Postings;
use super::sections::{Section, SectionSink};
use crate::codec::put_uvarint;
use crate::error::{Error, Result};

/// Rows between two entries of the row offset table.
pub const INDEX_ROWS_PER_OFFSET: u32 = 16;
/// Length of a page's entry in the page directory.
pub const INDEX_PAGE_ENTRY_BYTES: usize = 36;
/// First byte of postings in the standard roaring serialization.
pub const INDEX_POSTINGS_ROARING: u8 = 0;
/// First byte of postings as a count and gaps.
pub const INDEX_POSTINGS_GAPS: u8 = 1;
/// Classes of label names in the file.
pub const INDEX_CLASS_METRIC: u32 = 0;
/// See [`INDEX_CLASS_METRIC`].
pub const INDEX_CLASS_TARGET: u32 = 1;
/// See [`INDEX_CLASS_METRIC`].
pub const INDEX_CLASS_RESIDUAL: u32 = 2;

/// Members above which gaps would take too long to decode.
const GAPS_MAX: u64 = 1 << 16;

/// Where a page of a block lies and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    /// Earliest timestamp inside, in milliseconds.
    pub min_ts: i64,
    /// Latest timestamp inside, in milliseconds.
    pub max_ts: i64,
    /// Place in the chunks file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// Lowest ordinal inside.
    pub first_ord: u32,
    /// Highest ordinal inside.
    pub last_ord: u32,
}

fn too_large() -> Error {
    Error::Limit {
        limit: "index",
        what: "the index of a block is too large",
        max: u64::from(u32::MAX),
    }
}

fn narrow(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| too_large())
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Numbers of the file for the numbers of the index in memory.
struct Numbering<'a> {
    /// All texts, ascending.
    texts: Vec<&'a str>,
    /// Symbol of each value.
    symbol_of: Vec<u32>,
    /// Names of the index in memory in the order of the file.
    names: Vec<u32>,
    /// Place of each name in the file.
    name_of: Vec<u32>,
    /// Per name of the index in memory: the symbols of its values, ascending.
    values: Vec<Vec<u32>>,
}

impl<'a> Numbering<'a> {
    fn new(index: &'a MemIndex) -> Result<Self> {
        let n_names = narrow(index.pairs.names.len())?;
        let n_symbols = narrow(index.symbols.len())?;
        let mut texts: Vec<&str> = (0..n_names).map(|id| index.name_text(id)).collect();
        texts.extend((0..n_symbols).map(|id| index.symbol(id)));
        texts.sort_unstable();
        texts.dedup();
        let place =
            |text: &str| texts.binary_search(&text).map_err(|_| too_large()).and_then(narrow);
        let symbol_of: Vec<u32> =
            (0..n_symbols).map(|id| place(index.symbol(id))).collect::<Result<_>>()?;
        let mut names: Vec<u32> = (0..n_names).collect();
        names.sort_unstable_by_key(|id| index.name_text(*id));
        let mut name_of = vec![0; names.len()];
        for (at, id) in names.iter().enumerate() {
            if let Some(slot) = name_of.get_mut(*id as usize) {
                *slot = narrow(at)?;
            }
        }
        let values = index.pairs.names.iter().map(|name| {
            let symbols = name.values.keys().filter_map(|value| symbol_of.get(*value as usize));
            let mut symbols: Vec<u32> = symbols.copied().collect();
            symbols.sort_unstable();
            symbols
        });
        let values = values.collect();
        Ok(Self { symbol_of, names, name_of, values, texts })
    }

    /// Place of a value among the values of its name.
    fn value(&self, name: u32, value: u32) -> Result<u32> {
        let symbol = self.symbol_of.get(value as usize);
        let place = self
            .values
            .get(name as usize)
            .zip(symbol)
            .and_then(|(all, symbol)| all.binary_search(symbol).ok());
        narrow(place.ok_or_else(too_large)?)
    }

    fn name(&self, name: u32) -> u32 {
        self.name_of.get(name as usize).copied().unwrap_or(0)
    }
}

/// Writes the index. The series of each entity must have neighbouring places, no series may have been
/// removed, and `pages` ascend by entity.
pub(crate) fn write_index(
    index: &MemIndex,
    pages: &[PageRef],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    debug_assert!(index.removed.is_empty());
    let numbering = Numbering::new(index)?;
    let mut sink = SectionSink::begin(write)?;
    sink.section(Section::Symbols, &symbols(&numbering)?)?;
    let (names, values, postings) = pairs(index, &numbering)?;
    sink.section(Section::Names, &names)?;
    sink.section(Section::Values, &values)?;
    sink.section(Section::Postings, &postings)?;
    drop((names, values, postings));
    sink.section(Section::Entities, &entities(index, &numbering, pages)?)?;
    sink.section(Section::Shapes, &shapes(index, &numbering)?)?;
    sink.section(Section::Rows, &rows(index, &numbering)?)?;
    sink.section(Section::Pages, &page_directory(pages))?;
    sink.finish(index.ord_end(), index.n_entities())
}

/// A count, count + 1 offsets into what follows, and that.
fn with_offsets(ends: &[u32], bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(ends.len() * 4 + 8 + bytes.len());
    put_u32(&mut out, narrow(ends.len())?);
    put_u32(&mut out, 0);
    ends.iter().for_each(|end| put_u32(&mut out, *end));
    out.extend_from_slice(bytes);
    Ok(out)
}

fn symbols(numbering: &Numbering<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(numbering.texts.len());
    for text in &numbering.texts {
        bytes.extend_from_slice(text.as_bytes());
        ends.push(narrow(bytes.len())?);
    }
    with_offsets(&ends, &bytes)
}

/// Names, values and postings.
fn pairs(index: &MemIndex, numbering: &Numbering<'_>) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let (mut names, mut values, mut postings) = (Vec::new(), Vec::new(), Vec::new());
    put_u32(&mut names, narrow(numbering.names.len())?);
    let mut n_values = 0usize;
    for id in &numbering.names {
        let Some(name) = index.pairs.name(*id) else { continue };
        let text = index.name_text(*id);
        let symbol = numbering.texts.binary_search(&text).map_err(|_| too_large())?;
        let mut sorted: Vec<(u32, &Postings)> = name
            .values
            .iter()
            .map(|(value, holders)| Ok((numbering.value(*id, *value)?, holders)))
            .collect::<Result<_>>()?;
        sorted.sort_unstable_by_key(|entry| entry.0);
        put_u32(&mut names, narrow(symbol)?);
        put_u32(
            &mut names,
            match name.class {
                Class::Metric => INDEX_CLASS_METRIC,
                Class::Target => INDEX_CLASS_TARGET,
                Class::Residual => INDEX_CLASS_RESIDUAL,
            },
        );
        put_u32(&mut names, narrow(n_values)?);
        put_u32(&mut names, narrow(sorted.len())?);
        put_u32(&mut names, narrow(postings.len())?);
        match name.class {
            Class::Target => put_postings(&mut postings, &name.having.to_bitmap()),
            _ => put_postings(&mut postings, &index.of_shapes(&name.having)),
        }
        n_values += sorted.len();
        for (place, holders) in sorted {
            let symbol = numbering.values.get(*id as usize).and_then(|all| all.get(place as usize));
            put_u32(&mut values, *symbol.ok_or_else(too_large)?);
            put_u32(&mut values, narrow(postings.len())?);
            match name.class {
                Class::Metric => put_postings(&mut postings, &index.of_shapes(holders)),
                _ => put_postings(&mut postings, &holders.to_bitmap()),
            }
        }
    }
    narrow(postings.len())?;
    Ok((names, values, postings))
}

/// Appends a set: as gaps when that is shorter and quickly decoded, else as roaring writes it.
pub(super) fn put_postings(out: &mut Vec<u8>, set: &RoaringBitmap) {
    let mut set = set.clone();
    set.optimize();
    let roaring_bytes = set.serialized_size();
    if set.len() <= GAPS_MAX {
        let begin = out.len();
        out.push(INDEX_POSTINGS_GAPS);
        put_uvarint(out, set.len());
        let mut least = 0;
        for member in &set {
            put_uvarint(out, u64::from(member - least));
            least = member.saturating_add(1);
        }
        if out.len() - begin <= roaring_bytes {
            return;
        }
        out.truncate(begin);
    }
    out.push(INDEX_POSTINGS_ROARING);
    // Writing to a vector cannot fail.
    set.serialize_into(&mut *out).ok();
}

fn entities(index: &MemIndex, numbering: &Numbering<'_>, pages: &[PageRef]) -> Result<Vec<u8>> {
    let (mut table, mut bytes) = (Vec::new(), Vec::new());
    let (mut first_ord, mut first_page) = (0u32, 0usize);
    for entity in 0..index.n_entities() {
        put_u32(&mut table, first_ord);
        put_u32(&mut table, narrow(first_page)?);
        put_u32(&mut table, narrow(bytes.len())?);
        let labels = entity_pairs(index.entities.get(entity));
        put_uvarint(&mut bytes, labels.clone().count() as u64);
        for (name, value) in labels {
            put_uvarint(&mut bytes, u64::from(numbering.name(name)));
            put_uvarint(&mut bytes, u64::from(numbering.value(name, value)?));
        }
        let series = index.pairs.entity_series.get(entity as usize).map_or(0, Postings::len);
        first_ord += narrow(usize::try_from(series).map_err(|_| too_large())?)?;
        let here = pages.get(first_page..).unwrap_or(&[]);
        first_page += here.iter().take_while(|page| page.first_ord < first_ord).count();
    }
    put_u32(&mut table, first_ord);
    put_u32(&mut table, narrow(first_page)?);
    put_u32(&mut table, narrow(bytes.len())?);
    table.extend_from_slice(&bytes);
    Ok(table)
}

fn shapes(index: &MemIndex, numbering: &Numbering<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for shape in 0..narrow(index.shapes.len())? {
        let (metric, names) = index.shape_parts(shape);
        let metric = match metric {
            None => 0,
            Some(metric) => u64::from(numbering.value(super::pairs::METRIC_NAME_ID, metric)?) + 1,
        };
        put_uvarint(&mut bytes, metric);
        put_uvarint(&mut bytes, names.len() as u64);
        for name in names {
            put_uvarint(&mut bytes, u64::from(numbering.name(*name)));
        }
        ends.push(narrow(bytes.len())?);
    }
    with_offsets(&ends, &bytes)
}

fn rows(index: &MemIndex, numbering: &Numbering<'_>) -> Result<Vec<u8>> {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for ord in 0..index.ord_end() {
        if ord.is_multiple_of(INDEX_ROWS_PER_OFFSET) {
            put_u32(&mut offsets, narrow(bytes.len())?);
        }
        let row = index.row(ord).ok_or_else(too_large)?;
        put_uvarint(&mut bytes, u64::from(row.shape));
        for (name, value) in row.residual_names().iter().zip(row.residual) {
            put_uvarint(&mut bytes, u64::from(numbering.value(*name, *value)?));
        }
    }
    offsets.extend_from_slice(&bytes);
    Ok(offsets)
}

fn page_directory(pages: &[PageRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pages.len() * INDEX_PAGE_ENTRY_BYTES);
    for page in pages {
        out.extend_from_slice(&page.min_ts.to_le_bytes());
        out.extend_from_slice(&page.max_ts.to_le_bytes());
        out.extend_from_slice(&page.offset.to_le_bytes());
        put_u32(&mut out, page.len);
        put_u32(&mut out, page.first_ord);
        put_u32(&mut out, page.last_ord);
    }
    out
}
