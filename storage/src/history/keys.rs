//! The columns that every table begins with: whose rows they are, and when.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedRowGroupWriter;

use super::row::series_id;
use super::schema::PROMOTED_LABELS;
use crate::model::{Labels, METRIC_NAME};

/// Texts given to a column at once.
const TEXTS_AT_ONCE: usize = 1024;

/// The rows of a row group of some table.
pub(super) trait TableColumns {
    /// None yet.
    fn new(tenant: &str) -> Self;
    /// Rows so far.
    fn len(&self) -> usize;
    /// Writes all columns.
    fn write<W: Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()>;
}

/// The texts and the id of a series.
#[derive(Debug)]
pub(super) struct SeriesText {
    id: i64,
    metric: ByteArray,
    /// All labels but the metric name.
    labels: Vec<(ByteArray, ByteArray)>,
    promoted: [Option<ByteArray>; PROMOTED_LABELS.len()],
}

pub(super) fn text(bytes: &[u8]) -> ByteArray {
    ByteArray::from(Bytes::copy_from_slice(bytes))
}

impl SeriesText {
    pub(super) fn of(labels: &Labels) -> Self {
        let mut this = Self {
            id: series_id(labels),
            metric: text(labels.metric_name().as_bytes()),
            labels: Vec::new(),
            promoted: Default::default(),
        };
        for (name, value) in labels.raw_pairs() {
            if name == METRIC_NAME.as_bytes() {
                continue;
            }
            let value = text(value);
            let place = PROMOTED_LABELS.iter().position(|label| label.as_bytes() == name);
            if let Some(column) = place.and_then(|place| this.promoted.get_mut(place)) {
                *column = Some(value.clone());
            }
            this.labels.push((text(name), value));
        }
        this
    }
}

/// Values of a column that may be absent.
#[derive(Debug)]
pub(super) struct Maybe<T> {
    values: Vec<T>,
    defined: Vec<i16>,
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self { values: Vec::new(), defined: Vec::new() }
    }
}

impl<T> Maybe<T> {
    pub(super) fn push(&mut self, value: Option<T>) {
        self.defined.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.defined.clear();
    }
}

/// Times in the tables are microseconds; days are limited so that this fits.
pub(super) fn micros(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KeyColumns {
    tenant: ByteArray,
    /// Series and how many rows each has.
    runs: Vec<(Arc<SeriesText>, usize)>,
    ts: Vec<i64>,
}

impl KeyColumns {
    pub(super) fn new(tenant: &str) -> Self {
        Self { tenant: text(tenant.as_bytes()), ..Self::default() }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.ts.len()
    }

    /// A row of a series whose window ends at `end_ms`.
    pub(super) fn push(&mut self, series: &Arc<SeriesText>, end_ms: i64) {
        match self.runs.last_mut() {
            Some((last, n)) if Arc::ptr_eq(last, series) => *n += 1,
            _ => self.runs.push((Arc::clone(series), 1)),
        }
        self.ts.push(micros(end_ms));
    }

    /// Writes them: `tenant` to `instance`.
    pub(super) fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        self.texts(group, |_| Some(self.tenant.clone()), false)?;
        self.texts(group, |series| Some(series.metric.clone()), false)?;
        let ids: Vec<i64> =
            self.runs.iter().flat_map(|(s, n)| std::iter::repeat_n(s.id, *n)).collect();
        required::<Int64Type, W>(group, &ids)?;
        required::<Int64Type, W>(group, &self.ts)?;
        self.pairs(group, |(name, _)| name.clone())?;
        self.pairs(group, |(_, value)| value.clone())?;
        for place in 0..PROMOTED_LABELS.len() {
            self.texts(group, |series| series.promoted.get(place).cloned().flatten(), true)?;
        }
        Ok(())
    }

    /// A text per row, the same for all rows of a series.
    fn texts<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        of: impl Fn(&SeriesText) -> Option<ByteArray>,
        optional: bool,
    ) -> Result<()> {
        column::<ByteArrayType, W>(group, |column| {
            let mut batch = Maybe::default();
            let mut put = |batch: &mut Maybe<ByteArray>| {
                let defined = optional.then_some(batch.defined.as_slice());
                let written = column.write_batch(&batch.values, defined, None);
                batch.clear();
                written.map(drop)
            };
            for (series, n) in &self.runs {
                let value = of(series);
                for _ in 0..*n {
                    batch.push(value.clone());
                    if batch.defined.len() >= TEXTS_AT_ONCE {
                        put(&mut batch)?;
                    }
                }
            }
            put(&mut batch)
        })
    }

    /// One side of the map of labels.
    fn pairs<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        of: impl Fn(&(ByteArray, ByteArray)) -> ByteArray,
    ) -> Result<()> {
        column::<ByteArrayType, W>(group, |column| {
            let (mut batch, mut repeated) = (Maybe::default(), Vec::new());
            let mut put = |batch: &mut Maybe<ByteArray>, repeated: &mut Vec<i16>| {
                let written =
                    column.write_batch(&batch.values, Some(&batch.defined), Some(repeated));
                batch.clear();
                repeated.clear();
                written.map(drop)
            };
            for (series, n) in &self.runs {
                for _ in 0..*n {
                    for (i, pair) in series.labels.iter().enumerate() {
                        batch.push(Some(of(pair)));
                        repeated.push(i16::from(i > 0));
                    }
                    if series.labels.is_empty() {
                        batch.push(None);
                        repeated.push(0);
                    }
                    if repeated.len() >= TEXTS_AT_ONCE {
                        put(&mut batch, &mut repeated)?;
                    }
                }
            }
            put(&mut batch, &mut repeated)
        })
    }
}

/// Hands the next column of the schema to `write`.
pub(super) fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<()>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than the schema has".to_owned()));
    };
    write(column.typed::<T>())?;
    column.close()
}

pub(super) fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<()> {
    column::<T, W>(group, |column| column.write_batch(values, None, None).map(drop))
}

pub(super) fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    maybe: &Maybe<T::T>,
) -> Result<()> {
    column::<T, W>(group, |column| {
        column.write_batch(&maybe.values, Some(&maybe.defined), None).map(drop)
    })
}
