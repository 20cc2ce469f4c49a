//! The series of a file, one after the other, with the memory of some rows.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::period::Day;
use super::reader::{Columns, RowFile};
use super::row::{SeriesRows, series_id};
use crate::error::Result;
use crate::model::Labels;

/// Rows decoded at once.
const ROWS_AT_ONCE: usize = 1_024;

/// A cursor over the series of a file.
pub(super) struct SeriesStream {
    file: RowFile,
    next_group: usize,
    columns: Option<(Columns, usize)>,
    series: Peekable<IntoIter<SeriesRows>>,
    /// End of the windows whose rows are left out.
    without_ms: Option<i64>,
}

impl SeriesStream {
    /// Over all of `file`.
    pub(super) fn new(file: RowFile) -> Self {
        let series = Vec::new().into_iter().peekable();
        Self { file, next_group: 0, columns: None, series, without_ms: None }
    }

    /// Over all but the rows of `day`, in a file of days; a series that has no others has none.
    pub(super) fn without(file: RowFile, day: Day) -> Self {
        Self { without_ms: Some(day.end_ms()), ..Self::new(file) }
    }

    /// The next series with all its rows.
    pub(super) fn next(&mut self) -> Result<Option<SeriesRows>> {
        self.fill()?;
        let Some(mut series) = self.series.next() else { return Ok(None) };
        // Its rows may go on where others are decoded next.
        loop {
            self.fill()?;
            match self.series.next_if(|next| next.labels == series.labels) {
                Some(mut more) => series.rows.append(&mut more.rows),
                None => break,
            }
        }
        series.rows.retain(|row| Some(row.end_ms) != self.without_ms);
        Ok(Some(series))
    }

    /// Decodes rows until there are some, or none any more.
    fn fill(&mut self) -> Result<()> {
        while self.series.peek().is_none() {
            let Some((columns, left)) = self.columns.as_mut().filter(|(_, left)| *left > 0) else {
                if self.next_group >= self.file.n_groups() {
                    return Ok(());
                }
                self.columns = Some((
                    self.file.columns(self.next_group)?,
                    self.file.group_rows(self.next_group),
                ));
                self.next_group += 1;
                continue;
            };
            let rows = self.file.next_rows(columns, left, ROWS_AT_ONCE)?;
            self.series = rows.into_iter().peekable();
        }
        Ok(())
    }
}

/// Series of several files in their one order; of a series that is in several its rows come together, ascending.
pub(super) struct Merged {
    /// Streams with their next series and its id.
    heads: Vec<(SeriesStream, SeriesRows, i64)>,
}

fn key(head: &(SeriesStream, SeriesRows, i64)) -> (&str, i64, &Labels) {
    (head.1.labels.metric_name(), head.2, &head.1.labels)
}

impl Merged {
    /// Over all of `streams`.
    pub(super) fn new(streams: Vec<SeriesStream>) -> Result<Self> {
        let mut heads = Vec::new();
        for mut stream in streams {
            if let Some(series) = stream.next()? {
                let id = series_id(&series.labels);
                heads.push((stream, series, id));
            }
        }
        Ok(Self { heads })
    }

    /// The next series.
    pub(super) fn next(&mut self) -> Result<Option<SeriesRows>> {
        let first = self.heads.iter().map(key).min();
        let Some(labels) = first.map(|key| key.2.clone()) else { return Ok(None) };
        let mut all = SeriesRows { labels, rows: Vec::new() };
        let mut at = 0;
        while let Some(head) = self.heads.get_mut(at) {
            if head.1.labels != all.labels {
                at += 1;
                continue;
            }
            all.rows.append(&mut head.1.rows);
            match head.0.next()? {
                Some(series) => {
                    head.2 = series_id(&series.labels);
                    head.1 = series;
                    at += 1;
                }
                None => drop(self.heads.swap_remove(at)),
            }
        }
        all.rows.sort_by_key(|row| row.end_ms);
        Ok(Some(all))
    }
}
