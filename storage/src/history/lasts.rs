//! The last floats of a day, from its rows: what the increase of the next day begins with once samples of the day
//! are gone.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::reader::RowFile;
use super::row::{SeriesRows, series_order};
use crate::error::Result;
use crate::model::Labels;

/// A cursor over the rows of a day, a row group in memory at a time.
pub struct Lasts {
    file: Option<RowFile>,
    next_group: usize,
    series: Peekable<IntoIter<SeriesRows>>,
}

impl Lasts {
    /// Over the rows of a file of days, or of nothing.
    pub(super) fn new(file: Option<RowFile>) -> Self {
        Self { file, next_group: 0, series: Vec::new().into_iter().peekable() }
    }

    /// The last float of a series. Series are asked for in their order ([`series_order`]).
    pub fn find(&mut self, labels: &Labels) -> Result<Option<f64>> {
        let wanted = series_order(labels);
        loop {
            while let Some(series) = self.series.next_if(|s| series_order(&s.labels) <= wanted) {
                if series.labels == *labels {
                    let row = series.rows.last().filter(|row| row.summary.count > 0);
                    return Ok(row.map(|row| row.summary.last));
                }
            }
            match &self.file {
                Some(file) if self.series.peek().is_none() && self.next_group < file.n_groups() => {
                    self.series = file.read_group(self.next_group)?.into_iter().peekable();
                    self.next_group += 1;
                }
                _ => return Ok(None),
            }
        }
    }
}
