//! The table of series: what each series of a day is.

use std::io::Write;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::writer::SerializedRowGroupWriter;

use super::keys::{KeyColumns, Maybe, SeriesText, TableColumns, micros, optional, required, text};
use super::reader::{RowFile, millis};
use super::schema::leaf;
use crate::error::Result;
use crate::model::Labels;

/// What is known of a series on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSeries {
    /// Its label set.
    pub labels: Labels,
    /// Type, unit and help of its metric; empty where nobody said.
    pub texts: [String; 3],
    /// Time of its first sample on that day that is no stale marker, in milliseconds.
    pub first_seen: i64,
    /// Time of the last one.
    pub last_seen: i64,
}

/// The rows of a row group.
#[derive(Debug, Default)]
pub(super) struct KnownColumns {
    keys: KeyColumns,
    texts: [Maybe<ByteArray>; 3],
    seen: [Vec<i64>; 2],
}

impl KnownColumns {
    pub(super) fn push(&mut self, end_ms: i64, series: &KnownSeries) {
        self.keys.push(&Arc::new(SeriesText::of(&series.labels)), end_ms);
        for (column, said) in self.texts.iter_mut().zip(&series.texts) {
            column.push((!said.is_empty()).then(|| text(said.as_bytes())));
        }
        for (column, ms) in self.seen.iter_mut().zip([series.first_seen, series.last_seen]) {
            column.push(micros(ms));
        }
    }
}

impl TableColumns for KnownColumns {
    fn new(tenant: &str) -> Self {
        Self { keys: KeyColumns::new(tenant), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> ParquetResult<()> {
        self.keys.write(group)?;
        self.texts.iter().try_for_each(|said| optional::<ByteArrayType, W>(group, said))?;
        self.seen.iter().try_for_each(|seen| required::<Int64Type, W>(group, seen))
    }
}

impl RowFile {
    /// The rows of a file of the table of series.
    pub fn read_known(&self) -> Result<Vec<KnownSeries>> {
        let mut all = Vec::new();
        for group in 0..self.n_groups() {
            all.append(&mut self.read_known_group(group)?);
        }
        Ok(all)
    }

    /// Those of a row group.
    pub(super) fn read_known_group(&self, group: usize) -> Result<Vec<KnownSeries>> {
        let labels = self.labels_of_group(group)?;
        let read = || {
            let span = self.whole_group(group)?;
            let said = |i: usize| self.column::<ByteArrayType>(span, leaf::TYPE + i);
            let mut texts = [said(0)?, said(1)?, said(2)?];
            let first = self.column::<Int64Type>(span, leaf::FIRST_SEEN)?.required()?;
            let last = self.column::<Int64Type>(span, leaf::LAST_SEEN)?.required()?;
            let mut series = Vec::with_capacity(labels.len());
            for ((labels, first), last) in labels.into_iter().zip(first).zip(last) {
                let mut known = KnownSeries {
                    labels,
                    texts: Default::default(),
                    first_seen: millis(first),
                    last_seen: millis(last),
                };
                for (column, said) in texts.iter_mut().zip(&mut known.texts) {
                    if let Some(text) = column.next()? {
                        *said = text.as_utf8()?.to_owned();
                    }
                }
                series.push(known);
            }
            ParquetResult::Ok(series)
        };
        read().map_err(|cause| self.undecoded(&cause))
    }
}
