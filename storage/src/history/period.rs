//! How the history cuts time: windows, days, folders.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{DAY_MS, TimeRange, civil_date, days_to_date};

/// One hour in milliseconds.
pub const HOUR_MS: i64 = DAY_MS / 24;
/// Five minutes in milliseconds.
pub const FIVE_MINUTES_MS: i64 = HOUR_MS / 12;

/// Days whose dates have four digits: 0000-01-01 and 9999-12-31. Others are not rolled up.
const FIRST_DAY: i64 = -719_528;
const LAST_DAY: i64 = 2_932_896;

/// A table of the history, by the length of the windows that one row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// One row per sample, of the series that a policy names: windows of a millisecond.
    #[serde(rename = "raw")]
    Raw,
    /// One row per series and five minutes, of the series that a policy names.
    #[serde(rename = "rollup_5m")]
    FiveMinutes,
    /// One row per series and hour.
    #[serde(rename = "rollup_1h")]
    Hour,
    /// One row per series and day.
    #[serde(rename = "rollup_1d")]
    Day,
    /// One row per series and day that says what the series is.
    #[serde(rename = "series")]
    Series,
}

impl Tier {
    /// All tables, ascending by the length of their windows.
    pub const ALL: [Self; 5] = [Self::Raw, Self::FiveMinutes, Self::Hour, Self::Day, Self::Series];
    /// Summaries of windows that every series has.
    pub const OF_ALL_SERIES: [Self; 2] = [Self::Hour, Self::Day];
    /// Those that a policy names series for.
    pub const BY_POLICY: [Self; 2] = [Self::Raw, Self::FiveMinutes];

    /// Length of a window in milliseconds.
    #[must_use]
    pub const fn window_ms(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::FiveMinutes => FIVE_MINUTES_MS,
            Self::Hour => HOUR_MS,
            Self::Day | Self::Series => DAY_MS,
        }
    }

    /// Name of its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "rollup_5m",
            Self::Hour => "rollup_1h",
            Self::Day => "rollup_1d",
            Self::Series => "series",
        }
    }

    /// End of the window that holds a sample of `ts`: windows are open on the left, closed on the right.
    #[must_use]
    pub const fn end_of(self, ts: i64) -> i64 {
        let window = self.window_ms();
        ts.saturating_sub(1).div_euclid(window).saturating_add(1).saturating_mul(window)
    }

    /// The folder of a row whose window ends at `end_ms`, inside that of the tier: engines that prune by folder
    /// and readers that filter by `ts` see the same rows.
    #[must_use]
    pub fn partition(self, end_ms: i64) -> String {
        let (year, month, day) = civil_date(end_ms.div_euclid(DAY_MS));
        match self {
            Self::Raw | Self::FiveMinutes => format!("date={year:04}-{month:02}-{day:02}"),
            Self::Hour => format!("month={year:04}-{month:02}"),
            Self::Day | Self::Series => format!("year={year:04}"),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A UTC day of samples, counted from 1970-01-01: from behind its midnight to the next one, which is inside,
/// as in every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub i64);

impl Day {
    /// The day of a sample.
    #[must_use]
    pub const fn of(ts: i64) -> Self {
        Self(ts.saturating_sub(1).div_euclid(DAY_MS))
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Its beginning, itself outside.
    #[must_use]
    pub const fn start_ms(self) -> i64 {
        self.0.saturating_mul(DAY_MS)
    }

    /// Its end, itself inside.
    #[must_use]
    pub const fn end_ms(self) -> i64 {
        self.next().start_ms()
    }

    /// The milliseconds inside.
    #[must_use]
    pub const fn range(self) -> TimeRange {
        TimeRange::new(self.start_ms().saturating_add(1), self.end_ms())
    }

    /// The samples that its rows depend on: its own, and those of the day before, with the last of which the
    /// additive increase begins.
    #[must_use]
    pub const fn input(self) -> TimeRange {
        TimeRange::new(self.start_ms().saturating_sub(DAY_MS - 1), self.end_ms())
    }

    /// The days of the samples inside `range` that the history keeps.
    pub fn within(range: TimeRange) -> std::ops::RangeInclusive<i64> {
        Self::of(range.min).0.max(FIRST_DAY)..=Self::of(range.max).0.min(LAST_DAY)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A month of rows of days, by the end of their windows; counted from the first one of the year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Month(pub i64);

impl Month {
    /// The month in which the window of a day ends.
    #[must_use]
    pub const fn of(day: Day) -> Self {
        let (year, month, _) = civil_date(day.next().0);
        Self(year.saturating_mul(12).saturating_add(month - 1))
    }

    /// The first day whose window ends in it: the last one of the month before.
    #[must_use]
    pub const fn first(self) -> Day {
        Day(days_to_date((self.0.div_euclid(12), self.0.rem_euclid(12) + 1, 1))).previous()
    }

    /// The last day whose window ends in it.
    #[must_use]
    pub const fn last(self) -> Day {
        Self(self.0.saturating_add(1)).first().previous()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// What the rows of a file are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A day.
    Day(Day),
    /// A month of days.
    Month(Month),
}

impl Part {
    /// What a file calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day(_) => "day",
            Self::Month(_) => "month",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Month(month) => month.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_ends_a_day_and_its_last_window() {
        let midnight = 20_778 * DAY_MS;
        assert_eq!(Day::of(midnight).to_string(), "2026-11-20");
        assert_eq!(Day::of(midnight + 1).to_string(), "2026-11-21");
        assert_eq!(Day(20_777).range(), TimeRange::new(midnight - DAY_MS + 1, midnight));
        for tier in Tier::ALL {
            assert_eq!(tier.end_of(midnight), midnight);
            assert_eq!(tier.end_of(midnight + 1), midnight + tier.window_ms());
        }
        assert_eq!(Tier::Hour.end_of(midnight - 1), midnight);
        assert_eq!(Tier::Hour.end_of(-1), 0);
        assert_eq!(Tier::Hour.end_of(0), 0);
        assert_eq!(Tier::Hour.end_of(1), HOUR_MS);
    }

    #[test]
    fn rows_lie_in_the_folder_of_their_end() {
        let new_year = 20_819 * DAY_MS;
        assert_eq!(Tier::Day.partition(new_year), "year=2027");
        assert_eq!(Tier::Day.partition(new_year - DAY_MS), "year=2026");
        assert_eq!(Tier::Hour.partition(new_year), "month=2027-01");
        assert_eq!(Tier::Hour.partition(new_year - HOUR_MS), "month=2026-12");
        for tier in Tier::BY_POLICY {
            assert_eq!(tier.partition(new_year), "date=2027-01-01");
            assert_eq!(tier.partition(new_year - 1), "date=2026-12-31");
        }
    }

    #[test]
    fn a_month_is_of_the_days_that_end_in_it() {
        let december = Month::of(Day(20_422));
        assert_eq!(
            (Day(20_422).to_string(), december.to_string()),
            ("2025-11-30".into(), "2025-12".into())
        );
        assert_eq!((december.first(), december.last()), (Day(20_422), Day(20_452)));
        for days in -800..4000 {
            let (day, month) = (Day(days), Month::of(Day(days)));
            assert!((month.first()..=month.last()).contains(&day));
            let folder = Tier::Day.partition(day.end_ms());
            assert_eq!(folder, format!("year={}", month.to_string().split_at(4).0));
        }
    }

    #[test]
    fn days_out_of_the_calendar_are_left_out() {
        assert_eq!(Day::within(TimeRange::ALL), FIRST_DAY..=LAST_DAY);
        assert!(Day::within(TimeRange::new(i64::MAX - 1, i64::MAX)).is_empty());
        assert_eq!(Day::within(TimeRange::new(0, 1)), -1..=0);
    }
}
