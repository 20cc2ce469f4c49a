//! The labels of some rows.

use std::ops::Range;

use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::Result as ParquetResult;

use super::reader::{Column, Lists, RowFile, labels_of, short, skip};
use super::schema::leaf;
use crate::error::Result;
use crate::model::Labels;

/// Rows whose texts are decoded at once.
const ROWS_AT_ONCE: usize = 1_024;

/// The texts of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Texts {
    metric: ByteArray,
    keys: Vec<ByteArray>,
    values: Vec<ByteArray>,
}

impl Texts {
    /// As labels; `file` is where they are from.
    pub(super) fn labels(&self, file: &RowFile) -> Result<Labels> {
        let labels = labels_of(&self.metric, &self.keys, &self.values);
        labels.map_err(|cause| file.undecoded(&cause))
    }
}

/// Metrics, names and values of some rows.
type Columns = (Column<ByteArray>, Lists<ByteArray>, Lists<ByteArray>);

/// Passes through the rows of a row group and reads the labels of some.
pub(super) struct LabelReader<'f> {
    file: &'f RowFile,
    metric: ColumnReaderImpl<ByteArrayType>,
    keys: ColumnReaderImpl<ByteArrayType>,
    texts: ColumnReaderImpl<ByteArrayType>,
    /// The next row.
    at: usize,
}

impl<'f> LabelReader<'f> {
    /// Before the first row of a row group.
    pub(super) fn new(file: &'f RowFile, group: usize) -> Result<Self> {
        let column = |leaf| file.column_reader::<ByteArrayType>(group, leaf);
        let new = || {
            let (metric, keys) = (column(leaf::METRIC)?, column(leaf::LABEL_KEY)?);
            Ok(Self { file, metric, keys, texts: column(leaf::LABEL_KEY + 1)?, at: 0 })
        };
        new().map_err(|cause| file.undecoded(&cause))
    }

    /// Shows the texts of `rows`, all of them behind those that were shown.
    pub(super) fn texts(
        &mut self,
        rows: Range<usize>,
        show: &mut dyn FnMut(&Texts) -> Result<()>,
    ) -> Result<()> {
        let mut from = rows.start;
        while from < rows.end {
            let to = rows.end.min(from + ROWS_AT_ONCE);
            let undecoded = |cause| self.file.undecoded(&cause);
            let (metrics, mut keys, mut texts) = self.next(from..to).map_err(undecoded)?;
            let mut row = Texts { metric: ByteArray::new(), keys: Vec::new(), values: Vec::new() };
            let mut n = 0;
            for metric in metrics.values {
                row.metric = metric;
                let read = keys.next(&mut row.keys).and_then(|()| texts.next(&mut row.values));
                read.map_err(|cause| self.file.undecoded(&cause))?;
                show(&row)?;
                n += 1;
            }
            if n != to - from {
                return Err(self.file.undecoded(&short("metrics")));
            }
            from = to;
        }
        Ok(())
    }

    /// Shows the labels of `rows`, all of them behind those that were shown.
    pub(super) fn read(
        &mut self,
        rows: Range<usize>,
        show: &mut dyn FnMut(Labels) -> Result<()>,
    ) -> Result<()> {
        let file = self.file;
        self.texts(rows, &mut |row| show(row.labels(file)?))
    }

    fn next(&mut self, rows: Range<usize>) -> ParquetResult<Columns> {
        let before = rows.start.checked_sub(self.at).ok_or_else(|| short("rows"))?;
        self.at = rows.end;
        let next = |column: &mut ColumnReaderImpl<ByteArrayType>| {
            if before > 0 {
                skip(column, before)?;
            }
            Column::read(column, rows.len())
        };
        let metrics = next(&mut self.metric)?;
        let keys = Lists::of_map(next(&mut self.keys)?);
        Ok((metrics, keys, Lists::of_map(next(&mut self.texts)?)))
    }
}

impl RowFile {
    /// The labels of every row of a row group.
    pub(super) fn labels_of_group(&self, group: usize) -> Result<Vec<Labels>> {
        let mut all = Vec::new();
        LabelReader::new(self, group)?.read(0..self.group_rows(group), &mut |labels| {
            all.push(labels);
            Ok(())
        })?;
        Ok(all)
    }
}
