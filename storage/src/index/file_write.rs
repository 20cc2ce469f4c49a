//! Writes the index file of a block.

use roaring::RoaringBitmap;

use super::ascending::Ascending;
use super::builder::{IndexBuilder, METRIC, too_large};
use super::pairs::{Class, NO_METRIC};
use super::sections::{Section, SectionSink};
use super::written_rows::own;
use crate::codec::{Reader, put_uvarint};
use crate::error::Result;

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

/// Bytes of rows collected before they are written.
const ROW_BYTES_WRITTEN: usize = 256 << 10;
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

fn narrow(value: usize) -> Result<u32> {
    u32::try_from(value).map_err(|_| too_large())
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Numbers of the file for the numbers of the builder.
struct Numbering<'a> {
    /// All texts, ascending.
    texts: Vec<&'a [u8]>,
    /// Names of the builder in the order of the file.
    names: Vec<u32>,
    /// Place of each name in the file.
    name_of: Vec<u32>,
    /// Per name of the builder: of its values the symbol of the file and their number, ascending by symbol.
    values: Vec<Vec<(u32, u32)>>,
    /// Per name of the builder: the place of each value among the values of the name.
    value_of: Vec<Vec<u32>>,
}

impl<'a> Numbering<'a> {
    fn new(index: &'a IndexBuilder) -> Result<Self> {
        let n_names = narrow(index.names.len())?;
        let n_symbols = narrow(index.symbols.len())?;
        let mut texts: Vec<&[u8]> = (0..n_names).map(|id| index.text_of_name(id)).collect();
        texts.extend((0..n_symbols).map(|id| index.symbols.get(id)));
        texts.sort_unstable();
        texts.dedup();
        let place = |text| narrow(texts.binary_search(&text).map_err(|_| too_large())?);
        let symbol_of: Vec<u32> =
            (0..n_symbols).map(|id| place(index.symbols.get(id))).collect::<Result<_>>()?;
        let mut names: Vec<u32> = (0..n_names).collect();
        names.sort_unstable_by_key(|id| index.text_of_name(*id));
        let (mut values, mut value_of) = (Vec::new(), Vec::new());
        for name in &index.names {
            let symbols = name.values.iter().map(|value| symbol_of.get(value.symbol as usize));
            let mut sorted: Vec<(u32, u32)> =
                symbols.zip(0..).filter_map(|(symbol, number)| Some((*symbol?, number))).collect();
            sorted.sort_unstable();
            value_of.push(inverse(sorted.iter().map(|entry| entry.1), sorted.len()));
            values.push(sorted);
        }
        let name_of = inverse(names.iter().copied(), names.len());
        Ok(Self { texts, names, name_of, values, value_of })
    }

    /// Place of a value among the values of its name.
    fn value(&self, name: u32, value: u32) -> Result<u32> {
        let places = self.value_of.get(name as usize);
        places.and_then(|places| places.get(value as usize)).copied().ok_or_else(too_large)
    }

    fn name(&self, name: u32) -> u32 {
        self.name_of.get(name as usize).copied().unwrap_or(0)
    }
}

/// At which place of the list each number stands.
fn inverse(list: impl Iterator<Item = u32>, len: usize) -> Vec<u32> {
    let mut places = vec![0; len];
    for (place, number) in (0..).zip(list) {
        if let Some(slot) = places.get_mut(number as usize) {
            *slot = place;
        }
    }
    places
}

/// Writes the index. `pages` ascend by entity.
pub(crate) fn write_index(
    index: &IndexBuilder,
    pages: &[PageRef],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
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
    rows(index, &numbering, &mut sink)?;
    sink.section(Section::Pages, &page_directory(pages))?;
    sink.finish(index.n_series(), index.n_entities())
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
        bytes.extend_from_slice(text);
        ends.push(narrow(bytes.len())?);
    }
    with_offsets(&ends, &bytes)
}

/// Names, values and postings.
fn pairs(index: &IndexBuilder, numbering: &Numbering<'_>) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let (mut names, mut values, mut postings) = (Vec::new(), Vec::new(), Vec::new());
    put_u32(&mut names, narrow(numbering.names.len())?);
    let mut n_values = 0usize;
    for id in &numbering.names {
        let Some(name) = index.names.get(*id as usize) else { continue };
        let text = index.text_of_name(*id);
        let symbol = numbering.texts.binary_search(&text).map_err(|_| too_large())?;
        let sorted = numbering.values.get(*id as usize).map_or(&[][..], Vec::as_slice);
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
            Class::Target => put_postings(&mut postings, name.having.to_bitmap()),
            _ => put_postings(&mut postings, of_shapes(index, &name.having)),
        }
        n_values += sorted.len();
        for (symbol, number) in sorted {
            put_u32(&mut values, *symbol);
            put_u32(&mut values, narrow(postings.len())?);
            let holders = name.values.get(*number as usize).map(|value| &value.holders);
            let holders = holders.ok_or_else(too_large)?;
            match name.class {
                Class::Metric => put_postings(&mut postings, of_shapes(index, holders)),
                _ => put_postings(&mut postings, holders.to_bitmap()),
            }
        }
    }
    narrow(postings.len())?;
    Ok((names, values, postings))
}

/// The series of some shapes.
fn of_shapes(index: &IndexBuilder, shapes: &Ascending) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    for shape in shapes.iter() {
        if let Some(series) = index.shape_series.get(shape as usize) {
            series.add_to(&mut all);
        }
    }
    all
}

/// Appends a set: as gaps when that is shorter and quickly decoded, else as roaring writes it.
pub(super) fn put_postings(out: &mut Vec<u8>, mut set: RoaringBitmap) {
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

fn entities(index: &IndexBuilder, numbering: &Numbering<'_>, pages: &[PageRef]) -> Result<Vec<u8>> {
    let (mut table, mut bytes) = (Vec::new(), Vec::new());
    let mut first_page = 0usize;
    let mut labels = Reader::new(&index.entities);
    let begins = index.entity_series.iter().copied();
    let ends = begins.clone().skip(1).chain([index.n_series()]);
    for (first_ord, behind) in begins.zip(ends) {
        put_u32(&mut table, first_ord);
        put_u32(&mut table, narrow(first_page)?);
        put_u32(&mut table, narrow(bytes.len())?);
        let n_labels = own(labels.uvarint("label count"))?;
        put_uvarint(&mut bytes, n_labels);
        for _ in 0..n_labels {
            let name = own(labels.uvarint("label name"))? as u32;
            let value = own(labels.uvarint("label value"))? as u32;
            put_uvarint(&mut bytes, u64::from(numbering.name(name)));
            put_uvarint(&mut bytes, u64::from(numbering.value(name, value)?));
        }
        let here = pages.get(first_page..).unwrap_or(&[]);
        first_page += here.iter().take_while(|page| page.first_ord < behind).count();
    }
    put_u32(&mut table, index.n_series());
    put_u32(&mut table, narrow(first_page)?);
    put_u32(&mut table, narrow(bytes.len())?);
    table.extend_from_slice(&bytes);
    Ok(table)
}

fn shapes(index: &IndexBuilder, numbering: &Numbering<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for shape in 0..narrow(index.shapes.len())? {
        let (metric, names) = index.shapes.get(shape).split_first().ok_or_else(too_large)?;
        let metric = match *metric {
            NO_METRIC => 0,
            metric => u64::from(numbering.value(METRIC, metric)?) + 1,
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

/// Twice over: where the rows lie stands before them, and all of them are not held at a time.
fn rows(index: &IndexBuilder, numbering: &Numbering<'_>, sink: &mut SectionSink<'_>) -> Result<()> {
    let (mut offsets, mut len, mut row) = (Vec::new(), 0usize, Vec::new());
    each_row(index, numbering, &mut row, |ord, row| {
        if ord.is_multiple_of(INDEX_ROWS_PER_OFFSET) {
            put_u32(&mut offsets, narrow(len)?);
        }
        len += row.len();
        row.clear();
        Ok(())
    })?;
    sink.begin_section(Section::Rows);
    sink.put(&offsets)?;
    drop(offsets);
    each_row(index, numbering, &mut row, |_, some| {
        if some.len() >= ROW_BYTES_WRITTEN {
            sink.put(some)?;
            some.clear();
        }
        Ok(())
    })?;
    sink.put(&row)
}

/// Appends the rows one by one to `out`, and calls `each` after each.
fn each_row(
    index: &IndexBuilder,
    numbering: &Numbering<'_>,
    out: &mut Vec<u8>,
    mut each: impl FnMut(u32, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut ord = 0;
    index.rows.each(&mut |shape, values| {
        put_uvarint(out, u64::from(shape));
        let names = index.shapes.get(shape).get(1..).unwrap_or_default();
        for (name, value) in names.iter().zip(values) {
            put_uvarint(out, u64::from(numbering.value(*name, *value)?));
        }
        each(ord, out)?;
        ord += 1;
        Ok(())
    })
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
