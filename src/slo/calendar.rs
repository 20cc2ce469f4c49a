//! Periods of the calendar in a time zone: where they begin, and which one an instant belongs to.
//!
//! A period is the half-open (begin, end]: a sample at its beginning belongs to the one before, as in the ranges of
//! Prometheus 3. Instants are milliseconds since the epoch.

use chrono::{
    DateTime, Datelike, Duration, LocalResult, Months, NaiveDate, NaiveDateTime, TimeZone,
};
use chrono_tz::Tz;

use super::definition::{Calendar, Unit};

/// Periods looked at when one is searched, around where it should be.
const SEARCH: i64 = 3;
/// Minutes looked at for the first instant behind a gap of the wall clock: no zone ever skipped more than a day.
const GAP_MINUTES_MAX: i64 = 25 * 60;

/// The instant at which the wall clock of `zone` shows `local`: the first one of two, and where the clock skips it
/// the first instant behind the gap.
#[must_use]
pub fn instant(zone: Tz, local: NaiveDateTime) -> i64 {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.timestamp_millis(),
        LocalResult::None => {
            // Gaps begin and end at whole minutes in all that is left of them since 1900.
            for minutes in 1..=GAP_MINUTES_MAX {
                let Some(later) = local.checked_add_signed(Duration::minutes(minutes)) else {
                    break;
                };
                if let LocalResult::Single(at) | LocalResult::Ambiguous(at, _) =
                    zone.from_local_datetime(&later)
                {
                    return first_behind(zone, at.timestamp_millis(), minutes);
                }
            }
            local.and_utc().timestamp_millis()
        }
    }
}

/// The first instant of the offset that holds at `at`, which is at most `minutes` before it.
fn first_behind(zone: Tz, at: i64, minutes: i64) -> i64 {
    let offset = |at: i64| shown(zone, at).map(|local| local.and_utc().timestamp_millis() - at);
    let own = offset(at);
    let mut first = at;
    for _ in 0..minutes {
        if offset(first - 60_000) != own {
            break;
        }
        first -= 60_000;
    }
    first
}

/// What the wall clock of `zone` shows at an instant. `None` far outside of history.
#[must_use]
pub fn shown(zone: Tz, at_ms: i64) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp_millis(at_ms)?;
    Some(zone.from_utc_datetime(&utc.naive_utc()).naive_local())
}

/// A date as a local midnight.
fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(chrono::NaiveTime::MIN)
}

/// `start` moved by `n` units; days that a month lacks become its last.
fn moved(start: NaiveDateTime, unit: Unit, n: i64) -> Option<NaiveDateTime> {
    let months = match unit {
        Unit::Day => return start.checked_add_signed(Duration::try_days(n)?),
        Unit::Week => return start.checked_add_signed(Duration::try_days(n.checked_mul(7)?)?),
        Unit::Month => n,
        Unit::Quarter => n.checked_mul(3)?,
        Unit::Year => n.checked_mul(12)?,
    };
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { start.checked_sub_months(by) } else { start.checked_add_months(by) }
}

/// One period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its beginning, which does not belong to it.
    pub from_ms: i64,
    /// Its end, which does.
    pub to_ms: i64,
    /// Its name: `2026-04`, `2026-Q2`, `2026`, `2026-04-17`, or the day it begins.
    pub label: String,
}

impl Calendar {
    /// Periods of one unit that begin where everybody expects it: at midnight, on Monday, on the first.
    #[must_use]
    pub fn natural(unit: Unit, zone: Tz) -> Self {
        // The 1st of January 2024 was a Monday.
        let start = midnight(NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default());
        Self { start, zone, n: 1, unit }
    }

    /// The beginning of period `k`. `None` far outside of history.
    fn begins(&self, k: i64) -> Option<(NaiveDateTime, i64)> {
        let local = moved(self.start, self.unit, k.checked_mul(i64::from(self.n))?)?;
        Some((local, instant(self.zone, local)))
    }

    /// Period `k`.
    fn period(&self, k: i64) -> Option<Period> {
        let (local, from_ms) = self.begins(k)?;
        let (_, to_ms) = self.begins(k + 1)?;
        Some(Period { from_ms, to_ms, label: self.label(local) })
    }

    fn label(&self, local: NaiveDateTime) -> String {
        let date = local.date();
        let first = local == midnight(date) && self.n == 1;
        match self.unit {
            Unit::Month if first && date.day() == 1 => date.format("%Y-%m").to_string(),
            Unit::Quarter if first && date.day() == 1 && date.month0().is_multiple_of(3) => {
                format!("{}-Q{}", date.year(), date.month0() / 3 + 1)
            }
            Unit::Year if first && date.ordinal() == 1 => date.year().to_string(),
            _ if local == midnight(date) => date.to_string(),
            _ => local.format("%Y-%m-%dT%H:%M:%S").to_string(),
        }
    }

    /// Which period an instant belongs to: its end is the last instant of one.
    fn index_of(&self, at_ms: i64) -> Option<i64> {
        let local = shown(self.zone, at_ms)?;
        let days = (local.date() - self.start.date()).num_days();
        let months = i64::from(local.year() - self.start.year()) * 12 + i64::from(local.month0())
            - i64::from(self.start.month0());
        let units = match self.unit {
            Unit::Day => days,
            Unit::Week => days.div_euclid(7),
            Unit::Month => months,
            Unit::Quarter => months.div_euclid(3),
            Unit::Year => months.div_euclid(12),
        };
        let about = units.div_euclid(i64::from(self.n.max(1)));
        (about - SEARCH..=about + SEARCH)
            .find(|k| self.begins(k + 1).is_some_and(|(_, end)| at_ms <= end))
    }

    /// The period of an instant.
    #[must_use]
    pub fn at(&self, at_ms: i64) -> Option<Period> {
        self.period(self.index_of(at_ms)?)
    }

    /// The periods that share time with (`from_ms`, `to_ms`], ascending, `max` at most.
    #[must_use]
    pub fn within(&self, from_ms: i64, to_ms: i64, max: usize) -> Vec<Period> {
        let mut found = Vec::new();
        let Some(mut k) = self.index_of(from_ms.saturating_add(1)) else { return found };
        while found.len() < max {
            let Some(period) = self.period(k) else { break };
            if period.from_ms >= to_ms {
                break;
            }
            // A period that a change of the clock has swallowed has no time of its own.
            if period.to_ms > period.from_ms {
                found.push(period);
            }
            k += 1;
        }
        found
    }
}

/// The local days that share time with (`from_ms`, `to_ms`]: their boundaries, one more than there are days.
#[must_use]
pub fn day_boundaries(zone: Tz, from_ms: i64, to_ms: i64) -> Vec<i64> {
    let days = Calendar::natural(Unit::Day, zone).within(from_ms, to_ms, usize::MAX);
    let mut boundaries: Vec<i64> = days.iter().map(|day| day.from_ms).collect();
    boundaries.extend(days.last().map(|day| day.to_ms));
    boundaries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn month(zone: Tz, of: &str) -> Period {
        Calendar::natural(Unit::Month, zone).at(at(of)).unwrap()
    }

    #[test]
    fn months_are_as_long_as_the_clock_says() {
        let march = month(chrono_tz::Europe::Amsterdam, "2026-03-15T00:00:00Z");
        assert_eq!(march.from_ms, at("2026-02-28T23:00:00Z"));
        assert_eq!(march.to_ms, at("2026-03-31T22:00:00Z"));
        assert_eq!((march.to_ms - march.from_ms) / 3_600_000, 743);
        assert_eq!(march.label, "2026-03");
        let slices = |zone, of| {
            let month = month(zone, of);
            (month.to_ms - month.from_ms) / 300_000
        };
        assert_eq!(slices(chrono_tz::Europe::Amsterdam, "2026-10-15T00:00:00Z"), 8940);
        assert_eq!(slices(Tz::UTC, "2026-03-15T00:00:00Z"), 8928);
        assert_eq!(slices(chrono_tz::America::New_York, "2026-03-15T00:00:00Z"), 8916);
        let quarter = Calendar::natural(Unit::Quarter, chrono_tz::America::New_York);
        let q1 = quarter.at(at("2026-02-01T00:00:00Z")).unwrap();
        assert_eq!((q1.to_ms - q1.from_ms) / 300_000, 8928 + 8064 + 8916);
        assert_eq!(q1.label, "2026-Q1");
    }

    #[test]
    fn an_end_belongs_to_its_period() {
        let utc = Calendar::natural(Unit::Month, Tz::UTC);
        assert_eq!(utc.at(at("2026-04-01T00:00:00Z")).unwrap().label, "2026-03");
        assert_eq!(utc.at(at("2026-04-01T00:00:00.001Z")).unwrap().label, "2026-04");
        let spanned = utc.within(at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"), 99);
        let labels: Vec<_> = spanned.iter().map(|p| p.label.as_str()).collect();
        assert_eq!(labels, ["2026-01", "2026-02", "2026-03"]);
    }

    #[test]
    fn days_that_a_month_lacks_become_its_last() {
        let start = midnight(NaiveDate::from_ymd_opt(2024, 1, 31).unwrap());
        let from_31st = Calendar { start, zone: Tz::UTC, n: 1, unit: Unit::Month };
        let february = from_31st.at(at("2026-02-10T00:00:00Z")).unwrap();
        assert_eq!(february.from_ms, at("2026-01-31T00:00:00Z"));
        assert_eq!(february.to_ms, at("2026-02-28T00:00:00Z"));
        assert_eq!(
            from_31st.at(at("2026-03-15T00:00:00Z")).unwrap().to_ms,
            at("2026-03-31T00:00:00Z")
        );
    }

    #[test]
    fn a_fiscal_year_begins_where_it_is_told() {
        let start = midnight(NaiveDate::from_ymd_opt(2020, 4, 1).unwrap());
        let fiscal = Calendar { start, zone: Tz::UTC, n: 1, unit: Unit::Year };
        let year = fiscal.at(at("2026-03-01T00:00:00Z")).unwrap();
        assert_eq!(
            (year.from_ms, year.to_ms),
            (at("2025-04-01T00:00:00Z"), at("2026-04-01T00:00:00Z"))
        );
        assert_eq!(year.label, "2025-04-01");
    }

    #[test]
    fn a_time_that_the_clock_skips_is_the_first_behind_the_gap() {
        let zone = chrono_tz::Europe::Amsterdam;
        let local = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        assert_eq!(instant(zone, local("2026-03-29 02:30")), at("2026-03-29T01:00:00Z"));
        // Twice: the first one.
        assert_eq!(instant(zone, local("2026-10-25 02:30")), at("2026-10-25T00:30:00Z"));
        // Apia had no 30th of December 2011.
        let apia = chrono_tz::Pacific::Apia;
        assert_eq!(instant(apia, local("2011-12-30 00:00")), at("2011-12-30T10:00:00Z"));
        let days = day_boundaries(apia, at("2011-12-29T10:00:00Z"), at("2011-12-31T10:00:00Z"));
        assert_eq!(days.len(), 3);
    }

    #[test]
    fn local_days_have_23_to_25_hours() {
        let zone = chrono_tz::Europe::Amsterdam;
        let hours = |from, to| {
            day_boundaries(zone, at(from), at(to))
                .windows(2)
                .map(|d| (d[1] - d[0]) / 3_600_000)
                .collect::<Vec<_>>()
        };
        assert_eq!(hours("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z"), [24, 23, 24]);
        assert_eq!(hours("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), [25]);
        assert_eq!(day_boundaries(Tz::UTC, 1, 2).len(), 2);
    }

    #[test]
    fn every_instant_has_one_period() {
        for zone in [
            Tz::UTC,
            chrono_tz::Asia::Kathmandu,
            chrono_tz::America::St_Johns,
            chrono_tz::Australia::Lord_Howe,
        ] {
            for unit in [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year] {
                let calendar = Calendar::natural(unit, zone);
                let all = calendar.within(
                    at("2023-11-02T03:04:05Z"),
                    at("2026-05-06T07:08:09Z"),
                    usize::MAX,
                );
                assert!(all.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms));
                for period in &all {
                    assert_eq!(calendar.at(period.to_ms).as_ref(), Some(period));
                    assert_eq!(calendar.at(period.from_ms + 1).as_ref(), Some(period));
                }
            }
        }
    }
}
