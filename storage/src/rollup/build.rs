//! From samples to rows.

use crate::history::{Day, Row, SeriesRows, Tier};
use crate::model::{Labels, SeriesData, is_stale};

/// The rows of a series on one day.
#[derive(Debug)]
pub(crate) struct DayRows {
    /// Those of the hours that hold something.
    pub(crate) hours: SeriesRows,
    /// That of the day.
    pub(crate) day: SeriesRows,
}

impl DayRows {
    /// Lets the increase begin with `last`, the last float of the day before, of which there are no samples.
    pub(crate) fn follow(&mut self, last: f64) {
        let first_hour = self.hours.rows.iter_mut().find(|row| row.summary.count > 0);
        for row in first_hour.into_iter().chain(&mut self.day.rows) {
            let first = row.summary.first;
            let step = if first < last { first } else { first - last };
            let whole = row.summary.anchored_increase(Some(last));
            row.inc = whole.or_else(|| row.inc.map(|inc| inc + step));
        }
    }
}

/// The rows of a series on `day` from its samples on that day and the one before, which may hold others as well.
/// `None` without any.
pub(crate) fn rows_of(labels: &Labels, data: &SeriesData, day: Day) -> Option<DayRows> {
    let start_ms = day.start_ms();
    let from = data.ts.partition_point(|ts| *ts <= start_ms);
    let to = data.ts.partition_point(|ts| *ts <= day.end_ms());
    let floats = |range: std::ops::Range<usize>| {
        let ts = data.ts.get(range.clone()).unwrap_or_default();
        let values = data.values.get(range).unwrap_or_default();
        ts.iter().copied().zip(values.iter().copied())
    };
    // The last float before the day: that of the day before at the earliest.
    let oldest = day.input().min;
    let mut before = floats(0..from)
        .rev()
        .take_while(|(ts, _)| *ts >= oldest)
        .find(|(_, value)| !is_stale(*value))
        .map(|(_, value)| value);

    let inside = |ts: i64| ts > start_ms && ts <= day.end_ms();
    let histograms = data.histograms.iter().filter(|(ts, _)| inside(*ts));
    let mut histograms = histograms.map(|(ts, histogram)| (*ts, histogram.is_stale())).peekable();
    let mut samples = floats(from..to).peekable();
    let mut hours = Vec::new();
    let mut whole_day = Row::empty(day.end_ms());
    let before_day = before;
    loop {
        let next = [samples.peek().map(|sample| sample.0), histograms.peek().map(|h| h.0)];
        let Some(next) = next.into_iter().flatten().min() else { break };
        let mut row = Row::empty(Tier::Hour.end_of(next));
        loop {
            let until = histograms.peek().map_or(row.end_ms, |h| h.0.min(row.end_ms));
            while let Some((ts, value)) = samples.next_if(|sample| sample.0 <= until) {
                row.push(ts, value);
            }
            match histograms.next_if(|h| h.0 <= row.end_ms) {
                Some((ts, is_stale)) => row.push_histogram(ts, is_stale),
                None => break,
            }
        }
        row.inc = row.summary.anchored_increase(before);
        if row.summary.count > 0 {
            before = Some(row.summary.last);
        }
        whole_day.merge(&row);
        row.close();
        hours.push(row);
    }
    whole_day.inc = whole_day.summary.anchored_increase(before_day);
    whole_day.close();
    (!hours.is_empty()).then(|| DayRows {
        hours: SeriesRows { labels: labels.clone(), rows: hours },
        day: SeriesRows { labels: labels.clone(), rows: vec![whole_day] },
    })
}
