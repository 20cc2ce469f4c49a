//! The wall clock, and its times as text.

use std::time::{SystemTime, UNIX_EPOCH};

use nines_storage::model::{DAY_MS, civil_date};

/// Milliseconds since the epoch, now.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-20T17:45:21Z`, with milliseconds when there are any.
#[must_use]
pub fn format_rfc3339(ms: i64) -> String {
    let (days, ms_of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil_date(days);
    let (second, milli) = (ms_of_day / 1000, ms_of_day % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if milli != 0 {
        text.push_str(&format!(".{milli:03}"));
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc_with_milliseconds_where_there_are_any() {
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(951_827_696_007), "2000-02-29T12:34:56.007Z");
        assert_eq!(format_rfc3339(-500), "1969-12-31T23:59:59.500Z");
        assert!(now_ms() > 1_700_000_000_000);
    }
}
