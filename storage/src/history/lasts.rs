//! The last floats of a day, from its rows: what the increase of the next day begins with once samples of the day
//! are gone.

use super::period::Day;
use super::reader::RowFile;
use super::row::{SeriesRows, series_order};
use super::stream::SeriesStream;
use crate::error::Result;
use crate::model::Labels;

/// A cursor over the rows of a day, some in memory at a time.
pub struct Lasts {
    day: Day,
    stream: Option<SeriesStream>,
    /// The series that was read last and not passed yet.
    next: Option<SeriesRows>,
}

impl Lasts {
    /// Over the rows of `day` in a file of days, or over nothing.
    pub(super) fn new(day: Day, file: Option<RowFile>) -> Self {
        Self { day, stream: file.map(SeriesStream::new), next: None }
    }

    /// The last float of a series. Series are asked for in their order ([`series_order`]).
    pub fn find(&mut self, labels: &Labels) -> Result<Option<f64>> {
        let wanted = series_order(labels);
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            if self.next.is_none() {
                self.next = stream.next()?;
            }
            let Some(series) = self.next.take_if(|next| series_order(&next.labels) <= wanted)
            else {
                return Ok(None);
            };
            if series.labels == *labels {
                let row = series.rows.iter().find(|row| row.end_ms == self.day.end_ms());
                return Ok(row.filter(|row| row.summary.count > 0).map(|row| row.summary.last));
            }
        }
    }
}
