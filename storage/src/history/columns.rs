//! Rows as columns, on their way into a row group.

use std::io::Write;
use std::sync::Arc;

use parquet::data_type::{BoolType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedRowGroupWriter;

use super::keys::{
    KeyColumns, Maybe, SeriesText, TableColumns, column, micros, optional, required,
};
use super::row::Row;

/// Definition levels of the list of values before resets.
const LIST_ABSENT: i16 = 0;
const LIST_ELEMENT: i16 = 2;

/// The rows of a row group.
#[derive(Debug, Default)]
pub(super) struct RowColumns {
    keys: KeyColumns,
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

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl RowColumns {
    pub(super) fn push(&mut self, series: &Arc<SeriesText>, row: &Row) {
        let s = &row.summary;
        let (any, two) = (s.count > 0, s.count > 1);
        self.keys.push(series, row.end_ms);
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
}

impl TableColumns for RowColumns {
    fn new(tenant: &str) -> Self {
        Self { keys: KeyColumns::new(tenant), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn write<W: Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        self.keys.write(group)?;
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
}
