//! Lengths of time as Prometheus writes them (`common/model/time.go`): `1h30m`, `5ms`.

use super::quote::quote;

/// Units from the longest, with their length in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The longest length of time, in milliseconds: Go counts nanoseconds in 63 bits.
const DURATION_MS_MAX: u64 = (i64::MAX / 1_000_000) as u64;

/// The length of time in milliseconds; the error is Prometheus's text.
pub(crate) fn parse_duration_ms(text: &str) -> Result<i64, String> {
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut total_ms = 0_u64;
    let mut units_left: &[(&str, u64)] = &UNITS;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, tail) = split_at_first(rest, |byte| !byte.is_ascii_digit());
        let (unit, tail) = split_at_first(tail, |byte| byte.is_ascii_digit());
        rest = tail;
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|&(name, _)| name == unit) {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        }
        let place = units_left.iter().position(|&(name, _)| name == unit).ok_or_else(invalid)?;
        let (_, unit_ms) = units_left[place];
        units_left = &units_left[place + 1..];
        total_ms = count
            .checked_mul(unit_ms)
            .and_then(|ms| ms.checked_add(total_ms))
            .filter(|&ms| ms <= DURATION_MS_MAX)
            .ok_or("duration out of range")?;
    }
    i64::try_from(total_ms).map_err(|_| invalid())
}

fn split_at_first(text: &str, stop: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(stop).unwrap_or(text.len()))
}

/// The length of time as text; a negative one with a sign.
pub(crate) fn format_duration_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ms < 0 {
        out.push('-');
    }
    let mut left = ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        // 90d is easier to read than 12w6d: years and weeks only when nothing is left over.
        let exact = matches!(unit, "y" | "w");
        if left < unit_ms || (exact && !left.is_multiple_of(unit_ms)) {
            continue;
        }
        out.push_str(&format!("{}{unit}", left / unit_ms));
        left %= unit_ms;
    }
    out
}

/// Milliseconds as seconds, with Go's rounding.
pub(crate) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

/// Seconds as milliseconds; what is shorter than a millisecond is cut off, as Prometheus does.
pub(crate) fn millis(seconds: f64) -> i64 {
    ((seconds * 1e9).round() / 1e6) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_in_order() {
        assert_eq!(parse_duration_ms("1y2w3d4h5m6s7ms"), Ok(33_019_506_007));
        assert_eq!(parse_duration_ms("5m"), Ok(300_000));
        assert_eq!(parse_duration_ms("90d"), Ok(7_776_000_000));
        assert_eq!(
            parse_duration_ms("5m1h"),
            Err("not a valid duration string: \"5m1h\"".to_owned())
        );
        assert_eq!(
            parse_duration_ms("1m1m"),
            Err("not a valid duration string: \"1m1m\"".to_owned())
        );
        assert_eq!(
            parse_duration_ms("1hs"),
            Err("unknown unit \"hs\" in duration \"1hs\"".to_owned())
        );
        assert_eq!(parse_duration_ms("293y"), Err("duration out of range".to_owned()));
        assert_eq!(
            parse_duration_ms("99999999999999999999s"),
            Err("not a valid duration string: \"99999999999999999999s\"".to_owned())
        );
    }

    #[test]
    fn writes_what_it_reads() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (90_000, "1m30s"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (31_536_000_000, "1y"),
            (31_536_000_001, "365d1ms"),
            (-300_000, "-5m"),
        ] {
            assert_eq!(format_duration_ms(ms), text);
            assert_eq!(parse_duration_ms(text.trim_start_matches('-')), Ok(ms.abs()));
        }
    }

    #[test]
    fn seconds_and_millis_agree() {
        assert_eq!(seconds(1500), 1.5);
        assert_eq!(millis(0.29), 290);
        assert_eq!(millis(0.0009), 0);
        assert_eq!(millis(-1.5), -1500);
    }
}
