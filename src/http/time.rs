//! Times and durations as the Prometheus API reads them
//! (`web/api/v1/api.go`, `parseTime` and `parseDuration`).

use super::error::go_quote;
use crate::config::PromDuration;

/// Earliest time the API knows, in milliseconds: what Prometheus prints as `MIN_TIME_TEXT`.
pub const MIN_TIME_MS: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// Latest time the API knows, in milliseconds: what Prometheus prints as `MAX_TIME_TEXT`.
pub const MAX_TIME_MS: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;

const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A time in milliseconds from seconds (`1.7e9`, `1717203600.781`), RFC 3339 or one of the two ends of time.
/// Times outside the range of the API are moved to its ends. The error is Prometheus's text.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        if seconds.is_nan() {
            return Err(invalid_time(text));
        }
        // Rust saturates; the ends are moved inside the range below.
        #[allow(clippy::cast_possible_truncation, reason = "rounded, and saturates")]
        let ms = (seconds * 1000.0).round() as i64;
        return Ok(ms.clamp(MIN_TIME_MS, MAX_TIME_MS));
    }
    match text {
        MIN_TIME_TEXT => return Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => return Ok(MAX_TIME_MS),
        _ => {}
    }
    parse_rfc3339(text).ok_or_else(|| invalid_time(text))
}

fn invalid_time(text: &str) -> String {
    format!("cannot parse {} to a valid timestamp", go_quote(text.as_bytes()))
}

/// A duration in nanoseconds from seconds or Prometheus's form (`1h30m`). The error is Prometheus's text.
pub fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        let ns = seconds * 1e9;
        #[allow(
            clippy::cast_precision_loss,
            reason = "the limit itself is rounded, as in Prometheus"
        )]
        let fits = ns >= i64::MIN as f64 && ns <= i64::MAX as f64;
        if !fits {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                go_quote(text.as_bytes())
            ));
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        return Ok(ns as i64);
    }
    text.parse::<PromDuration>()
        .ok()
        .and_then(|d| i64::try_from(d.0.as_nanos()).ok())
        .ok_or_else(|| format!("cannot parse {} to a valid duration", go_quote(text.as_bytes())))
}

/// A float as Go reads it; Rust agrees apart from hexadecimal forms and `infinity` in other cases.
fn parse_float(text: &str) -> Option<f64> {
    let plausible =
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if plausible { text.parse().ok() } else { None }
}

/// RFC 3339 with any number of digits of the fraction, to milliseconds (rounded down).
fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(part).ok()?.parse().ok()
    };
    let is = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    let separators = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    if !separators {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut ms = 0;
    if is(at, b'.') || is(at, b',') {
        let fraction = bytes.get(at + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        for place in 0..3 {
            let digit = if place < fraction { digits(at + 1 + place, at + 2 + place)? } else { 0 };
            ms = ms * 10 + digit;
        }
        at += 1 + fraction;
    }
    let offset_s = if is(at, b'Z') && bytes.len() == at + 1 {
        0
    } else {
        let sign = match bytes.get(at)? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (h, m) = (digits(at + 1, at + 3)?, digits(at + 4, at + 6)?);
        if !is(at + 3, b':') || bytes.len() != at + 6 || h > 24 || m > 60 {
            return None;
        }
        sign * (h * 3600 + m * 60)
    };
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_s;
    Some(seconds * 1000 + ms)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + is_leap(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar. Years are counted from March, so that
/// the leap day is the last of its year; 400 years have 146,097 days.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::clock::format_rfc3339;

    #[test]
    fn reads_seconds() {
        for (text, ms) in [
            ("1717203600", 1_717_203_600_000),
            ("1717203600.781", 1_717_203_600_781),
            ("1.7172036e9", 1_717_203_600_000),
            ("1717200000.1239", 1_717_200_000_124),
            ("-1.5", -1500),
            ("0", 0),
            ("1e300", MAX_TIME_MS),
            ("-Inf", MIN_TIME_MS),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn reads_rfc3339() {
        for (text, ms) in [
            ("2024-06-01T01:00:00Z", 1_717_203_600_000),
            ("2024-06-01T03:00:00.123+02:00", 1_717_203_600_123),
            ("2024-05-31T20:30:00.1239999-04:30", 1_717_203_600_123),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2100-01-01T00:00:00Z", 4_102_444_800_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            (MIN_TIME_TEXT, MIN_TIME_MS),
            (MAX_TIME_TEXT, MAX_TIME_MS),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn refuses_other_times_with_prometheus_text() {
        for text in [
            "",
            "yesterday",
            "NaN",
            "2024-06-01",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-06-01T24:00:00Z",
            "2024-06-01T00:00:00",
            "2024-06-01T00:00:00.Z",
            "2024-06-01T00:00:00+0200",
            "2024-06-01T00:00:00Zx",
            "1 2",
            "é024-06-01T00:00:00Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert_eq!(parse_time("x\"y").unwrap_err(), r#"cannot parse "x\"y" to a valid timestamp"#);
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration_ns("2.5"), Ok(2_500_000_000));
        assert_eq!(parse_duration_ns("15m"), Ok(900_000_000_000));
        assert_eq!(parse_duration_ns("250ms"), Ok(250_000_000));
        assert_eq!(parse_duration_ns("-5"), Ok(-5_000_000_000));
        assert_eq!(
            parse_duration_ns("abc").unwrap_err(),
            r#"cannot parse "abc" to a valid duration"#
        );
        assert!(parse_duration_ns("1e300").unwrap_err().ends_with("It overflows int64"));
        assert!(parse_duration_ns("NaN").is_err());
    }

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "2024-06-01T01:00:00Z",
            "1969-12-31T23:59:59.500Z",
            "2000-02-29T12:34:56.007Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(format_rfc3339(parse_time(text).unwrap()), text);
        }
        for days in (-800_000..800_000_i64).step_by(37) {
            let ms = days * 86_400_000;
            let text = format_rfc3339(ms);
            if !text.starts_with('-') {
                assert_eq!(parse_rfc3339(&text), Some(ms), "{text}");
            }
        }
    }
}
