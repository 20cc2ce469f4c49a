//! Rows as columns, on their way into a row group.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedRowGroupWriter;

use super::row::{Row, series_id};
use super::schema::PROMOTED_LABELS;
use crate::model::{Labels, METRIC_NAME};

/// Texts given to a column at once.
const TEXTS_AT_ONCE: usize = 1024;
/// Definition levels of the list of values before resets.
const LIST_ABSENT: i16 = 0;
const LIST_ELEMENT: i16 = 2;

/// The texts and the id of a series.
#[derive(Debug)]
pub(super) struct SeriesText {
    id: i64,
    metric: ByteArray,
    /// All labels but the metric name.
    labels: Vec<(ByteArray, ByteArray)>,
    promoted: [Option<ByteArray>; PROMOTED_LABELS.len()],
}

fn text(bytes: &[u8]) -> ByteArray {
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
struct Maybe<T> {
    values: Vec<T>,
    defined: Vec<i16>,
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self { values: Vec::new(), defined: Vec::new() }
    }
}

impl<T> Maybe<T> {
    fn push(&mut self, value: Option<T>) {
        self.defined.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.defined.clear();
    }
}

/// The rows of a row group.
#[derive(Debug, Default)]
pub(super) struct RowColumns {
    tenant: ByteArray,
    /// Series and how many rows each has.
    runs: Vec<(Arc<SeriesText>, usize)>,
    ts: Vec<i64>,
    count: Vec<i64>,
    first_ts: Maybe<i64>,
    first: Maybe<f64>,
    last_ts: Maybe<i64>,
    last: Maybe<f64>,
    min: Maybe<f64>,
    max: Maybe<f64>,
    sum: Maybe<f64>,
    sum_c: Maybe<f64>,
    inc: Maybe<f64>,
    resets: Vec<i64>,
    reset_sum: Maybe<f64>,
    reset_prev: Vec<f64>,
    reset_prev_defined: Vec<i16>,
    reset_prev_repeated: Vec<i16>,
    changes: Vec<i64>,
    stale_ts: Maybe<i64>,
    prev_ts: Maybe<i64>,
    prev: Maybe<f64>,
    min_ts: Maybe<i64>,
    max_ts: Maybe<i64>,
    whole: Vec<bool>,
    histograms: Vec<i64>,
}

/// Times in the tables are microseconds; days are limited so that this fits.
fn micros(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl RowColumns {
    pub(super) fn new(tenant: &str) -> Self {
        Self { tenant: text(tenant.as_bytes()), ..Self::default() }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.ts.len()
    }

    pub(super) fn push(&mut self, series: &Arc<SeriesText>, row: &Row) {
        match self.runs.last_mut() {
            Some((last, n)) if Arc::ptr_eq(last, series) => *n += 1,
            _ => self.runs.push((Arc::clone(series), 1)),
        }
        let s = &row.summary;
        let (any, two) = (s.count > 0, s.count > 1);
        self.ts.push(micros(row.end_ms));
        self.count.push(number(s.count));
        self.first_ts.push(any.then(|| micros(s.first_ts)));
        self.first.push(any.then_some(s.first));
        self.last_ts.push(any.then(|| micros(s.last_ts)));
        self.last.push(any.then_some(s.last));
        self.min.push(any.then_some(s.min));
        self.max.push(any.then_some(s.max));
        self.sum.push(any.then_some(s.sum));
        self.sum_c.push(any.then_some(s.sum_c));
        self.inc.push(row.inc);
        self.resets.push(number(s.resets()));
        self.reset_sum.push(row.reset_sum);
        self.push_resets(row);
        self.changes.push(number(s.changes));
        self.stale_ts.push(s.stale_ts.map(micros));
        self.prev_ts.push(two.then(|| micros(s.prev_ts)));
        self.prev.push(two.then_some(s.prev));
        self.min_ts.push(any.then(|| micros(s.min_ts)));
        self.max_ts.push(any.then(|| micros(s.max_ts)));
        self.whole.push(row.whole);
        self.histograms.push(number(row.n_histograms));
    }

    /// A single value before a reset is its own sum.
    fn push_resets(&mut self, row: &Row) {
        let before = &row.summary.pre_resets;
        if before.len() < 2 || !before.are_told() {
            self.reset_prev_defined.push(LIST_ABSENT);
            self.reset_prev_repeated.push(0);
            return;
        }
        for (i, value) in before.iter().enumerate() {
            self.reset_prev.push(value);
            self.reset_prev_defined.push(LIST_ELEMENT);
            self.reset_prev_repeated.push(i16::from(i > 0));
        }
    }

    /// Writes the columns in the order of the schema.
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
        required::<Int64Type, W>(group, &self.count)?;
        optional::<Int64Type, W>(group, &self.first_ts)?;
        optional::<DoubleType, W>(group, &self.first)?;
        optional::<Int64Type, W>(group, &self.last_ts)?;
        for column in [&self.last, &self.min, &self.max, &self.sum, &self.sum_c, &self.inc] {
            optional::<DoubleType, W>(group, column)?;
        }
        required::<Int64Type, W>(group, &self.resets)?;
        optional::<DoubleType, W>(group, &self.reset_sum)?;
        let (defined, repeated) = (&self.reset_prev_defined, &self.reset_prev_repeated);
        column::<DoubleType, W>(group, |column| {
            column.write_batch(&self.reset_prev, Some(defined), Some(repeated))?;
            Ok(())
        })?;
        required::<Int64Type, W>(group, &self.changes)?;
        optional::<Int64Type, W>(group, &self.stale_ts)?;
        optional::<Int64Type, W>(group, &self.prev_ts)?;
        optional::<DoubleType, W>(group, &self.prev)?;
        optional::<Int64Type, W>(group, &self.min_ts)?;
        optional::<Int64Type, W>(group, &self.max_ts)?;
        required::<BoolType, W>(group, &self.whole)?;
        required::<Int64Type, W>(group, &self.histograms)
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
fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<()>,
) -> Result<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("more columns than the schema has".to_owned()));
    };
    write(column.typed::<T>())?;
    column.close()
}

fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<()> {
    column::<T, W>(group, |column| column.write_batch(values, None, None).map(drop))
}

fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    maybe: &Maybe<T::T>,
) -> Result<()> {
    column::<T, W>(group, |column| {
        column.write_batch(&maybe.values, Some(&maybe.defined), None).map(drop)
    })
}
