//! Reads a file of a tier.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{
    ColumnReader, ColumnReaderImpl, get_column_reader, get_typed_column_reader,
};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::page_index::index_reader::decode_offset_index;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::commit::FileEntry;
use super::packed::Span;
use super::row::{Row, SeriesRows};
use super::schema::{PAGE_ROWS, PROMOTED_LABELS, leaf, schema};
use crate::codec::crc32;
use crate::disk::Bytes;
use crate::error::{Corruption, Error, Result};
use crate::model::window::PreResets;
use crate::model::{Labels, METRIC_NAME, WindowSummary};

/// An opened file, its checksum verified: only bytes that were written are given to the Parquet reader.
pub struct RowFile {
    path: PathBuf,
    bytes: Arc<bytes::Bytes>,
    reader: SerializedFileReader<bytes::Bytes>,
}

impl RowFile {
    /// Opens the file whose `bytes` are those of `path`, as its commit tells of it.
    pub(super) fn open(bytes: Bytes, path: &Path, file: &FileEntry) -> Result<Self> {
        let bad = |what| Error::from(Corruption::new(path, 0, what));
        if bytes.len() as u64 != file.bytes {
            return Err(bad("length of a history file"));
        }
        if crc32(&bytes) != file.crc32 {
            return Err(bad("checksum of a history file"));
        }
        let bytes = bytes::Bytes::from_owner(bytes);
        let reader = SerializedFileReader::new(bytes.clone())
            .map_err(|_| bad("footer of a history file"))?;
        let known = schema(file.tier).is_ok_and(|schema| {
            let ours = parquet::schema::types::SchemaDescriptor::new(schema);
            let theirs = reader.metadata().file_metadata().schema_descr();
            let same = |(a, b): (&Arc<_>, &Arc<_>)| a == b;
            ours.num_columns() == theirs.num_columns()
                && ours.columns().iter().zip(theirs.columns()).all(same)
        });
        if !known {
            return Err(bad("columns of a history file"));
        }
        Ok(Self { path: path.to_owned(), bytes: Arc::new(bytes), reader })
    }

    /// Row groups.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Rows of a row group.
    pub(super) fn group_rows(&self, group: usize) -> usize {
        let meta = self.reader.metadata().row_groups().get(group);
        meta.and_then(|meta| usize::try_from(meta.num_rows()).ok()).unwrap_or(0)
    }

    /// Bytes of each column, by name, compressed.
    #[must_use]
    pub fn column_bytes(&self) -> Vec<(String, u64)> {
        let metadata = self.reader.metadata();
        let columns = metadata.file_metadata().schema_descr().columns();
        let bytes = |i: usize| {
            let groups = metadata.row_groups().iter();
            groups.map(|group| group.column(i).compressed_size().max(0).cast_unsigned()).sum()
        };
        columns.iter().enumerate().map(|(i, c)| (c.path().string(), bytes(i))).collect()
    }

    /// The rows of a row group, series by series.
    pub fn read_group(&self, group: usize) -> Result<Vec<SeriesRows>> {
        let read = || {
            let group = self.reader.get_row_group(group)?;
            decode(&mut Columns::of(&*group)?)
        };
        read().map_err(|_| Corruption::new(&self.path, 0, "a history file does not decode").into())
    }
}

impl RowFile {
    /// Its rows in spans of a page at most, which do not reach over the end of a row group.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (group, meta) in self.reader.metadata().row_groups().iter().enumerate() {
            let n_rows = usize::try_from(meta.num_rows()).unwrap_or(0);
            for from in (0..n_rows).step_by(PAGE_ROWS) {
                let n = PAGE_ROWS.min(n_rows - from);
                spans.push(Span { group, from, n });
            }
        }
        spans
    }

    /// Memory of what is known of the file beside its bytes.
    pub(super) fn footer_bytes(&self) -> u64 {
        self.reader.metadata().memory_size() as u64
    }

    /// Some rows of a flat column.
    pub(super) fn column<T: DataType>(
        &self,
        span: Span,
        leaf: usize,
    ) -> ParquetResult<Optional<T::T>> {
        let Column { values, defined, .. } = self.rows_of::<T>(span, leaf)?;
        Ok(Optional { values, defined, n_rows: span.n })
    }

    /// Some rows of a column of lists that may be absent.
    pub(super) fn lists<T: DataType>(&self, span: Span, leaf: usize) -> ParquetResult<Lists<T::T>> {
        Ok(Lists { column: self.rows_of::<T>(span, leaf)?, at: 0, element: 2 })
    }

    fn rows_of<T: DataType>(&self, span: Span, leaf: usize) -> ParquetResult<Column<T::T>> {
        let mut reader = self.column_reader::<T>(span.group, leaf)?;
        skip(&mut reader, span.from)?;
        Column::read(&mut reader, span.n)
    }

    fn group(&self, group: usize) -> ParquetResult<&RowGroupMetaData> {
        self.reader.metadata().row_groups().get(group).ok_or_else(|| short("row groups"))
    }

    /// What the footer tells of a column in a row group.
    pub(super) fn column_chunk(
        &self,
        group: usize,
        leaf: usize,
    ) -> ParquetResult<&ColumnChunkMetaData> {
        self.group(group)?.columns().get(leaf).ok_or_else(|| short("columns"))
    }

    /// Some bytes of the file.
    pub(super) fn range(&self, range: std::ops::Range<u64>) -> ParquetResult<bytes::Bytes> {
        let inside = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.bytes.len());
        match (inside(range.start), inside(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.bytes.slice(start..end)),
            _ => Err(short("bytes")),
        }
    }

    /// Where the pages of a column lie, if the file tells it.
    pub(super) fn locations(
        &self,
        column: &ColumnChunkMetaData,
    ) -> ParquetResult<Option<Vec<PageLocation>>> {
        let Some(range) = column.offset_index_range() else { return Ok(None) };
        let index = decode_offset_index(&self.range(range)?)?;
        Ok(Some(index.page_locations().clone()))
    }

    /// A reader of a column that passes over pages without looking into them.
    pub(super) fn column_reader<T: DataType>(
        &self,
        group: usize,
        leaf: usize,
    ) -> ParquetResult<ColumnReaderImpl<T>> {
        let n_rows = self.group_rows(group);
        let column = self.column_chunk(group, leaf)?;
        let locations = if n_rows > PAGE_ROWS { self.locations(column)? } else { None };
        let bytes = Arc::clone(&self.bytes);
        let pages = Box::new(SerializedPageReader::new(bytes, column, n_rows, locations)?);
        Ok(get_typed_column_reader(get_column_reader(column.column_descr_ptr(), pages)))
    }

    /// Rows of a group, of all columns, some at a time.
    pub(super) fn columns(&self, group: usize) -> Result<Columns> {
        let read = || Columns::of(&*self.reader.get_row_group(group)?);
        read().map_err(|cause| self.undecoded(&cause))
    }

    /// The next `most` rows of `columns`; none at the end of the group.
    pub(super) fn next_rows(
        &self,
        columns: &mut Columns,
        left: &mut usize,
        most: usize,
    ) -> Result<Vec<SeriesRows>> {
        columns.n_rows = most.min(*left);
        *left -= columns.n_rows;
        decode(columns).map_err(|cause| self.undecoded(&cause))
    }

    /// All rows of a row group.
    pub(super) fn whole_group(&self, group: usize) -> ParquetResult<Span> {
        let n_rows = self.reader.metadata().row_group(group).num_rows();
        let n = usize::try_from(n_rows).map_err(|_| short("rows"))?;
        Ok(Span { group, from: 0, n })
    }

    /// What is told of bytes whose checksum is right and that are no rows.
    pub(super) fn undecoded(&self, _: &ParquetError) -> Error {
        Corruption::new(&self.path, 0, "a history file does not decode").into()
    }
}

/// The values of a column with their levels.
pub(super) struct Column<T> {
    pub(super) values: std::vec::IntoIter<T>,
    defined: std::vec::IntoIter<i16>,
    repeated: Vec<i16>,
}

impl<T> Column<T> {
    /// The next `n_rows` rows.
    pub(super) fn read<D: DataType<T = T>>(
        reader: &mut ColumnReaderImpl<D>,
        n_rows: usize,
    ) -> ParquetResult<Self> {
        let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = 0;
        while read < n_rows {
            let levels = (Some(&mut defined), Some(&mut repeated));
            let (rows, _, _) =
                reader.read_records(n_rows - read, levels.0, levels.1, &mut values)?;
            if rows == 0 {
                return Err(short("rows"));
            }
            read += rows;
        }
        Ok(Self { values: values.into_iter(), defined: defined.into_iter(), repeated })
    }
}

/// Passes over `n_rows` rows.
pub(super) fn skip<D: DataType>(
    reader: &mut ColumnReaderImpl<D>,
    n_rows: usize,
) -> ParquetResult<()> {
    if reader.skip_records(n_rows)? == n_rows { Ok(()) } else { Err(short("rows")) }
}

pub(super) fn short(what: &str) -> ParquetError {
    ParquetError::General(format!("a column of {what} ends early"))
}

/// A type of columns.
pub(super) trait Typed: DataType + Sized {
    /// The reader of a column of this type.
    fn reader(column: &mut ColumnReader) -> Option<&mut ColumnReaderImpl<Self>>;
}

macro_rules! typed {
    ($($of:ident $reader:ident),*) => {$(
        impl Typed for $of {
            fn reader(column: &mut ColumnReader) -> Option<&mut ColumnReaderImpl<Self>> {
                if let ColumnReader::$reader(reader) = column { Some(reader) } else { None }
            }
        }
    )*};
}

typed!(
    BoolType BoolColumnReader,
    Int64Type Int64ColumnReader,
    DoubleType DoubleColumnReader,
    ByteArrayType ByteArrayColumnReader
);

/// Columns of a row group in the order of the schema.
pub(super) struct Columns {
    readers: Vec<ColumnReader>,
    next: usize,
    /// Rows that are read at a time.
    n_rows: usize,
}

impl Columns {
    /// All columns of all rows.
    fn of(group: &dyn RowGroupReader) -> ParquetResult<Self> {
        let n_rows = usize::try_from(group.metadata().num_rows()).map_err(|_| short("rows"))?;
        let readers = (0..group.num_columns()).map(|i| group.get_column_reader(i));
        Ok(Self { readers: readers.collect::<ParquetResult<_>>()?, next: 0, n_rows })
    }

    fn reader<T: Typed>(&mut self) -> ParquetResult<&mut ColumnReaderImpl<T>> {
        let reader = self.readers.get_mut(self.next).and_then(T::reader);
        self.next += 1;
        reader.ok_or_else(|| short("this type"))
    }

    fn column<T: Typed>(&mut self) -> ParquetResult<Column<T::T>> {
        let n_rows = self.n_rows;
        Column::read(self.reader::<T>()?, n_rows)
    }

    fn required<T: Typed>(&mut self) -> ParquetResult<std::vec::IntoIter<T::T>> {
        let column = self.column::<T>()?;
        if column.values.len() == self.n_rows { Ok(column.values) } else { Err(short("values")) }
    }

    fn optional<T: Typed>(&mut self) -> ParquetResult<Optional<T::T>> {
        let Column { values, defined, .. } = self.column::<T>()?;
        Ok(Optional { values, defined, n_rows: self.n_rows })
    }
}

/// The values of a flat column, some of which may be absent.
pub(super) struct Optional<T> {
    values: std::vec::IntoIter<T>,
    defined: std::vec::IntoIter<i16>,
    n_rows: usize,
}

impl<T> Optional<T> {
    /// The values of a column that has one in every row.
    pub(super) fn required(self) -> ParquetResult<std::vec::IntoIter<T>> {
        if self.values.len() == self.n_rows { Ok(self.values) } else { Err(short("values")) }
    }

    pub(super) fn next(&mut self) -> ParquetResult<Option<T>> {
        match self.defined.next() {
            Some(0) => Ok(None),
            Some(_) => self.values.next().map(Some).ok_or_else(|| short("values")),
            None => Err(short("levels")),
        }
    }

    fn or_default(&mut self) -> ParquetResult<T>
    where
        T: Default,
    {
        Ok(self.next()?.unwrap_or_default())
    }
}

/// A column of lists.
pub(super) struct Lists<T> {
    column: Column<T>,
    at: usize,
    /// Level from which on there is an element.
    element: i16,
}

impl<T> Lists<T> {
    /// Those of a map, which is never absent.
    pub(super) const fn of_map(column: Column<T>) -> Self {
        Self { column, at: 0, element: 1 }
    }

    /// The elements of the next row.
    pub(super) fn next(&mut self, out: &mut Vec<T>) -> ParquetResult<()> {
        out.clear();
        loop {
            let level = self.column.defined.next().ok_or_else(|| short("levels"))?;
            if level >= self.element {
                out.push(self.column.values.next().ok_or_else(|| short("values"))?);
            }
            self.at += 1;
            if self.column.repeated.get(self.at).is_none_or(|level| *level == 0) {
                return Ok(());
            }
        }
    }
}

pub(super) fn millis(micros: i64) -> i64 {
    micros / 1000
}

fn number(n: Option<i64>) -> ParquetResult<u64> {
    u64::try_from(n.ok_or_else(|| short("numbers"))?).map_err(|_| short("natural numbers"))
}

/// The rows that `columns` give next.
fn decode(columns: &mut Columns) -> ParquetResult<Vec<SeriesRows>> {
    let n_rows = columns.n_rows;
    columns.next = leaf::METRIC;
    let mut metric = columns.required::<ByteArrayType>()?;
    let mut id = columns.required::<Int64Type>()?;
    let mut ts = columns.required::<Int64Type>()?;
    let mut keys = Lists::of_map(columns.column::<ByteArrayType>()?);
    let mut texts = Lists::of_map(columns.column::<ByteArrayType>()?);
    columns.next += PROMOTED_LABELS.len();
    let mut count = columns.required::<Int64Type>()?;
    let mut first_ts = columns.optional::<Int64Type>()?;
    let mut first = columns.optional::<DoubleType>()?;
    let mut last_ts = columns.optional::<Int64Type>()?;
    let mut last = columns.optional::<DoubleType>()?;
    let mut min = columns.optional::<DoubleType>()?;
    let mut max = columns.optional::<DoubleType>()?;
    let mut sum = columns.optional::<DoubleType>()?;
    let mut sum_c = columns.optional::<DoubleType>()?;
    let mut inc = columns.optional::<DoubleType>()?;
    let mut resets = columns.required::<Int64Type>()?;
    let mut reset_sum = columns.optional::<DoubleType>()?;
    let mut reset_prev = Lists { column: columns.column::<DoubleType>()?, at: 0, element: 2 };
    let mut changes = columns.required::<Int64Type>()?;
    let mut stale_ts = columns.optional::<Int64Type>()?;
    let mut prev_ts = columns.optional::<Int64Type>()?;
    let mut prev = columns.optional::<DoubleType>()?;
    let mut min_ts = columns.optional::<Int64Type>()?;
    let mut max_ts = columns.optional::<Int64Type>()?;
    let mut whole = columns.required::<BoolType>()?;
    let mut histograms = columns.required::<Int64Type>()?;

    let mut all: Vec<SeriesRows> = Vec::new();
    let mut known: Option<(ByteArray, i64, Vec<ByteArray>, Vec<ByteArray>)> = None;
    let (mut row_keys, mut row_texts, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let name = metric.next().ok_or_else(|| short("metrics"))?;
        let series = id.next().ok_or_else(|| short("series"))?;
        keys.next(&mut row_keys)?;
        texts.next(&mut row_texts)?;
        let same = known.as_ref().is_some_and(|known| {
            known.1 == series && known.0 == name && known.2 == row_keys && known.3 == row_texts
        });
        if !same {
            all.push(SeriesRows {
                labels: labels_of(&name, &row_keys, &row_texts)?,
                rows: Vec::new(),
            });
            known = Some((name, series, row_keys.clone(), row_texts.clone()));
        }
        reset_prev.next(&mut before)?;
        let n_resets = number(resets.next())?;
        let total = reset_sum.next()?;
        if n_resets == 1 {
            before.extend(total);
        }
        let told = before.len() as u64;
        let pre_resets = match u32::try_from(n_resets) {
            Ok(n) if n > 1 && told == 0 => PreResets::untold(n),
            Ok(n) if u64::from(n) == told => before.drain(..).collect(),
            _ => return Err(short("resets")),
        };
        let row = Row {
            end_ms: ts.next().map(millis).ok_or_else(|| short("times"))?,
            summary: WindowSummary {
                count: number(count.next())?,
                first_ts: millis(first_ts.or_default()?),
                first: first.or_default()?,
                last_ts: millis(last_ts.or_default()?),
                last: last.or_default()?,
                prev_ts: millis(prev_ts.or_default()?),
                prev: prev.or_default()?,
                min: min.or_default()?,
                min_ts: millis(min_ts.or_default()?),
                max: max.or_default()?,
                max_ts: millis(max_ts.or_default()?),
                sum: sum.or_default()?,
                sum_c: sum_c.or_default()?,
                changes: number(changes.next())?,
                pre_resets,
                stale_ts: stale_ts.next()?.map(millis),
            },
            inc: inc.next()?,
            reset_sum: total,
            whole: whole.next().ok_or_else(|| short("flags"))?,
            n_histograms: number(histograms.next())?,
        };
        if let Some(series) = all.last_mut() {
            series.rows.push(row);
        }
    }
    Ok(all)
}

pub(super) fn labels_of(
    metric: &ByteArray,
    keys: &[ByteArray],
    texts: &[ByteArray],
) -> ParquetResult<Labels> {
    let mut pairs = vec![(METRIC_NAME, metric.as_utf8()?)];
    if keys.len() != texts.len() {
        return Err(short("labels"));
    }
    for (key, text) in keys.iter().zip(texts) {
        pairs.push((key.as_utf8()?, text.as_utf8()?));
    }
    Ok(Labels::from_pairs(pairs))
}
