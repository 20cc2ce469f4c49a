//! The table of samples: one row each, of the series that a policy names.

use std::io::Write;
use std::sync::Arc;

use parquet::data_type::{BoolType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::writer::SerializedRowGroupWriter;

use super::keys::{KeyColumns, Maybe, SeriesText, TableColumns, optional, required};
use super::reader::{RowFile, millis};
use super::schema::leaf;
use crate::error::Result;
use crate::model::{Labels, is_stale};

/// The samples of a row group.
#[derive(Debug)]
pub(super) struct RawColumns {
    keys: KeyColumns,
    value: Vec<f64>,
    /// Present where the sample is a stale marker: what SQL leaves out by.
    stale: Maybe<bool>,
}

impl RawColumns {
    pub(super) fn push(&mut self, series: &Arc<SeriesText>, ts: i64, value: f64) {
        self.keys.push(series, ts);
        self.value.push(value);
        self.stale.push(is_stale(value).then_some(true));
    }
}

impl TableColumns for RawColumns {
    fn new(tenant: &str) -> Self {
        Self { keys: KeyColumns::new(tenant), value: Vec::new(), stale: Maybe::default() }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> ParquetResult<()> {
        self.keys.write(group)?;
        required::<DoubleType, W>(group, &self.value)?;
        optional::<BoolType, W>(group, &self.stale)
    }
}

/// The samples of a series in a file.
#[derive(Debug, Clone)]
pub struct SeriesSamples {
    /// Its label set.
    pub labels: Labels,
    /// Its floats and stale markers, ascending in time.
    pub samples: Vec<(i64, f64)>,
}

impl RowFile {
    /// The samples of a file of the table of samples, row group by row group. A series may go on in the next group.
    pub fn read_samples(&self, show: &mut dyn FnMut(Vec<SeriesSamples>)) -> Result<()> {
        for group in 0..self.n_groups() {
            show(self.read_samples_of_group(group)?);
        }
        Ok(())
    }

    /// Those of a row group.
    pub(super) fn read_samples_of_group(&self, group: usize) -> Result<Vec<SeriesSamples>> {
        let labels = self.labels_of_group(group)?;
        let read = || {
            let span = self.whole_group(group)?;
            let ts = self.column::<Int64Type>(span, leaf::TS)?.required()?;
            let values = self.column::<DoubleType>(span, leaf::VALUE)?.required()?;
            ParquetResult::Ok(ts.map(millis).zip(values))
        };
        let samples = read().map_err(|cause| self.undecoded(&cause))?;
        let mut all: Vec<SeriesSamples> = Vec::new();
        for (labels, sample) in labels.into_iter().zip(samples) {
            match all.last_mut() {
                Some(last) if last.labels == labels => last.samples.push(sample),
                _ => all.push(SeriesSamples { labels, samples: vec![sample] }),
            }
        }
        Ok(all)
    }
}
