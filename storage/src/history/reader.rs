//! Reads a file of a tier.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

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
        let reader = SerializedFileReader::new(bytes::Bytes::from_owner(bytes))
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
        Ok(Self { path: path.to_owned(), reader })
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
        let (mut spans, mut first) = (Vec::new(), 0);
        for (group, meta) in self.reader.metadata().row_groups().iter().enumerate() {
            let n_rows = usize::try_from(meta.num_rows()).unwrap_or(0);
            for from in (0..n_rows).step_by(PAGE_ROWS) {
                let n = PAGE_ROWS.min(n_rows - from);
                spans.push(Span { group, from, first, n });
                first += n;
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
        let group = self.reader.get_row_group(span.group)?;
        let mut reader = get_typed_column_reader::<T>(group.get_column_reader(leaf)?);
        if reader.skip_records(span.from)? != span.from {
            return Err(short("rows"));
        }
        let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = 0;
        while read < span.n {
            let levels = (Some(&mut defined), Some(&mut repeated));
            let (rows, _, _) =
                reader.read_records(span.n - read, levels.0, levels.1, &mut values)?;
            if rows == 0 {
                return Err(short("rows"));
            }
            read += rows;
        }
        Ok(Column { values: values.into_iter(), defined: defined.into_iter(), repeated })
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

    /// The labels of the series of which `runs` tell how many rows each has, in the order of the file.
    pub(super) fn labels_of_runs(&self, runs: &[(i64, u32)]) -> Result<Vec<Labels>> {
        let read = || {
            let mut all = Vec::with_capacity(runs.len());
            let mut runs = runs.iter();
            let (mut keys, mut texts) = (Vec::new(), Vec::new());
            for group in 0..self.n_groups() {
                let mut columns = Columns::of(&*self.reader.get_row_group(group)?)?;
                let mut left = columns.n_rows;
                while left > 0 {
                    // A series ends with its row group at the latest.
                    let Some((_, n)) = runs.next() else { return Err(short("series")) };
                    let n = *n as usize;
                    left = left.checked_sub(n.max(1)).ok_or_else(|| short("rows of a series"))?;
                    columns.n_rows = 1;
                    columns.next = leaf::METRIC;
                    let metric = columns.first_of::<ByteArrayType>(n)?;
                    let name = metric.values.as_slice().first().ok_or_else(|| short("metrics"))?;
                    columns.next = leaf::LABEL_KEY;
                    let column = columns.first_of::<ByteArrayType>(n)?;
                    Lists { column, at: 0, element: 1 }.next(&mut keys)?;
                    let column = columns.first_of::<ByteArrayType>(n)?;
                    Lists { column, at: 0, element: 1 }.next(&mut texts)?;
                    all.push(labels_of(name, &keys, &texts)?);
                }
            }
            Ok(all)
        };
        read().map_err(|cause| self.undecoded(&cause))
    }

    /// The id of every row.
    pub(super) fn ids(&self) -> Result<Vec<i64>> {
        let read = || {
            let mut ids = Vec::new();
            for span in self.spans() {
                ids.extend(self.column::<Int64Type>(span, leaf::SERIES_ID)?.required()?);
            }
            Ok(ids)
        };
        read().map_err(|cause| self.undecoded(&cause))
    }

    /// The labels of every row.
    pub(super) fn labels(&self) -> Result<Vec<Labels>> {
        let mut all = Vec::new();
        for group in 0..self.n_groups() {
            all.extend(self.labels_of_group(group)?);
        }
        Ok(all)
    }

    /// The labels of every row of a row group.
    pub(super) fn labels_of_group(&self, group: usize) -> Result<Vec<Labels>> {
        let read = || {
            let mut all: Vec<Labels> = Vec::new();
            let (mut row_keys, mut row_texts) = (Vec::new(), Vec::new());
            let group = self.reader.get_row_group(group)?;
            let mut columns = Columns::of(&*group)?;
            columns.next = leaf::METRIC;
            let metric = columns.required::<ByteArrayType>()?;
            columns.next = leaf::LABEL_KEY;
            let mut keys = Lists { column: columns.column::<ByteArrayType>()?, at: 0, element: 1 };
            let mut texts = Lists { column: columns.column::<ByteArrayType>()?, at: 0, element: 1 };
            for name in metric {
                keys.next(&mut row_keys)?;
                texts.next(&mut row_texts)?;
                all.push(labels_of(&name, &row_keys, &row_texts)?);
            }
            Ok(all)
        };
        read().map_err(|cause| self.undecoded(&cause))
    }

    /// All rows of a row group.
    pub(super) fn whole_group(&self, group: usize) -> ParquetResult<Span> {
        let n_rows = self.reader.metadata().row_group(group).num_rows();
        let n = usize::try_from(n_rows).map_err(|_| short("rows"))?;
        Ok(Span { group, from: 0, first: 0, n })
    }

    /// What is told of bytes whose checksum is right and that are no rows.
    pub(super) fn undecoded(&self, _: &ParquetError) -> Error {
        Corruption::new(&self.path, 0, "a history file does not decode").into()
    }
}

/// The values of a column with their levels.
struct Column<T> {
    values: std::vec::IntoIter<T>,
    defined: std::vec::IntoIter<i16>,
    repeated: Vec<i16>,
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
        let reader = self.reader::<T>()?;
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
        Ok(Column { values: values.into_iter(), defined: defined.into_iter(), repeated })
    }

    /// One row of the next column; it then stands behind `n` of them.
    fn first_of<T: Typed>(&mut self, n: usize) -> ParquetResult<Column<T::T>> {
        let at = self.next;
        let column = self.column::<T>()?;
        self.next = at;
        let behind = self.reader::<T>()?.skip_records(n - 1)?;
        if behind == n - 1 { Ok(column) } else { Err(short("rows")) }
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
    let mut keys = Lists { column: columns.column::<ByteArrayType>()?, at: 0, element: 1 };
    let mut texts = Lists { column: columns.column::<ByteArrayType>()?, at: 0, element: 1 };
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

fn labels_of(metric: &ByteArray, keys: &[ByteArray], texts: &[ByteArray]) -> ParquetResult<Labels> {
    let mut pairs = vec![(METRIC_NAME, metric.as_utf8()?)];
    if keys.len() != texts.len() {
        return Err(short("labels"));
    }
    for (key, text) in keys.iter().zip(texts) {
        pairs.push((key.as_utf8()?, text.as_utf8()?));
    }
    Ok(Labels::from_pairs(pairs))
}
