//! From samples to rows.

use std::ops::Range;

use crate::history::{Day, Row, SeriesRows, Tables, Tier};
use crate::model::{Labels, SeriesData, is_stale};

/// The rows of a series on one day.
#[derive(Debug)]
pub(crate) struct DayRows {
    /// Those of the hours that hold something.
    pub(crate) hours: SeriesRows,
    /// That of the day.
    pub(crate) day: SeriesRows,
    /// Those of five minutes, where a policy wants them.
    pub(crate) five_minutes: Option<SeriesRows>,
    /// Floats and stale markers, where a policy wants them.
    pub(crate) samples: Vec<(i64, f64)>,
    /// First and last time of a sample that is no stale marker.
    pub(crate) seen: Option<(i64, i64)>,
}

impl DayRows {
    /// Lets the increase begin with `last`, the last float of the day before, of which there are no samples.
    pub(crate) fn follow(&mut self, last: f64) {
        let five_minutes = self.five_minutes.iter_mut().map(|series| &mut series.rows);
        for rows in [&mut self.hours.rows, &mut self.day.rows].into_iter().chain(five_minutes) {
            let Some(row) = rows.iter_mut().find(|row| row.summary.count > 0) else { continue };
            let first = row.summary.first;
            let step = if first < last { first } else { first - last };
            let whole = row.summary.anchored_increase(Some(last));
            row.inc = whole.or_else(|| row.inc.map(|inc| inc + step));
        }
    }
}

/// The rows of a series on `day` from its samples on that day and the one before, which may hold others as well.
/// `None` without any.
pub(crate) fn rows_of(
    labels: &Labels,
    data: &SeriesData,
    day: Day,
    tables: Tables,
) -> Option<DayRows> {
    let mut whole_day = Row::empty(day.end_ms());
    let hours = cut(data, day, Tier::Hour, |row| whole_day.merge(row));
    whole_day.inc = whole_day.summary.anchored_increase(before(data, day));
    whole_day.close();
    let rows = |rows| SeriesRows { labels: labels.clone(), rows };
    (!hours.is_empty()).then(|| DayRows {
        hours: rows(hours),
        day: rows(vec![whole_day]),
        five_minutes: tables.five_minutes.then(|| rows(cut(data, day, Tier::FiveMinutes, |_| {}))),
        seen: seen(data, day),
        samples: if tables.raw { floats(data, inside(data, day)).collect() } else { Vec::new() },
    })
}

/// Where the floats and stale markers of a day lie.
fn inside(data: &SeriesData, day: Day) -> Range<usize> {
    let place = |ms: i64| data.ts.partition_point(|ts| *ts <= ms);
    place(day.start_ms())..place(day.end_ms())
}

fn floats(
    data: &SeriesData,
    range: Range<usize>,
) -> impl DoubleEndedIterator<Item = (i64, f64)> + '_ {
    let ts = data.ts.get(range.clone()).unwrap_or_default();
    let values = data.values.get(range).unwrap_or_default();
    ts.iter().copied().zip(values.iter().copied())
}

/// First and last time on the day of what is no stale marker.
fn seen(data: &SeriesData, day: Day) -> Option<(i64, i64)> {
    let range = day.range();
    let mut floats = floats(data, inside(data, day)).filter(|(_, value)| !is_stale(*value));
    let mut histograms =
        data.histograms.iter().filter(|(ts, h)| range.contains(*ts) && !h.is_stale());
    let first = [floats.next().map(|(ts, _)| ts), histograms.next().map(|(ts, _)| *ts)];
    let last = [floats.next_back().map(|(ts, _)| ts), histograms.next_back().map(|(ts, _)| *ts)];
    let first_seen = first.into_iter().flatten().min()?;
    let last_seen = last.into_iter().chain(first).flatten().max()?;
    Some((first_seen, last_seen))
}

/// The last float before the day: that of the day before at the earliest.
fn before(data: &SeriesData, day: Day) -> Option<f64> {
    let oldest = day.input().min;
    floats(data, 0..inside(data, day).start)
        .rev()
        .take_while(|(ts, _)| *ts >= oldest)
        .find(|(_, value)| !is_stale(*value))
        .map(|(_, value)| value)
}

/// The rows of the windows of a day that hold something; each is shown before it is closed.
fn cut(data: &SeriesData, day: Day, tier: Tier, mut show: impl FnMut(&Row)) -> Vec<Row> {
    let range = day.range();
    let histograms = data.histograms.iter().filter(|(ts, _)| range.contains(*ts));
    let mut histograms = histograms.map(|(ts, histogram)| (*ts, histogram.is_stale())).peekable();
    let mut samples = floats(data, inside(data, day)).peekable();
    let mut before = before(data, day);
    let mut rows = Vec::new();
    loop {
        let next = [samples.peek().map(|sample| sample.0), histograms.peek().map(|h| h.0)];
        let Some(next) = next.into_iter().flatten().min() else { return rows };
        let mut row = Row::empty(tier.end_of(next));
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
        show(&row);
        row.close();
        rows.push(row);
    }
}
