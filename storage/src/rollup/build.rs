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

    let histograms = data.histograms.iter().map(|(ts, _)| *ts);
    let mut histograms = histograms.filter(|ts| *ts > start_ms && *ts <= day.end_ms()).peekable();
    let mut samples = floats(from..to).peekable();
    let mut hours = Vec::new();
    let mut whole_day = Row::empty(day.end_ms());
    let before_day = before;
    loop {
        let next = [samples.peek().map(|sample| sample.0), histograms.peek().copied()];
        let Some(next) = next.into_iter().flatten().min() else { break };
        let mut row = Row::empty(Tier::Hour.end_of(next));
        while let Some((ts, value)) = samples.next_if(|sample| sample.0 <= row.end_ms) {
            row.summary.push(ts, value);
            row.whole &= is_stale(value) || (value.is_finite() && value.trunc() == value);
        }
        while histograms.next_if(|ts| *ts <= row.end_ms).is_some() {
            row.n_histograms += 1;
        }
        row.inc = row.summary.anchored_increase(before);
        if row.summary.count > 0 {
            before = Some(row.summary.last);
        }
        whole_day.merge(&row);
        hours.push(row);
    }
    whole_day.inc = whole_day.summary.anchored_increase(before_day);
    (!hours.is_empty()).then(|| DayRows {
        hours: SeriesRows { labels: labels.clone(), rows: hours },
        day: SeriesRows { labels: labels.clone(), rows: vec![whole_day] },
    })
}
