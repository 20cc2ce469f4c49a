//! Numbers as Go reads and writes them.

/// The value of a number token: an integer with base prefix (`0x1f`, `0755`), or else a decimal fraction.
/// The error is the cause that Go's `strconv.ParseFloat` names.
pub(crate) fn parse_number(text: &str) -> Result<f64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    if is_prefixed(text, b'x') || !underscores_separate_digits(text) {
        return Err(SYNTAX);
    }
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    let value: f64 = digits.parse().map_err(|_| SYNTAX)?;
    if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err("value out of range");
    }
    Ok(value)
}

/// As `strconv.ParseInt(text, 0, 64)`: a leading zero alone means octal.
fn parse_integer(text: &str) -> Option<i64> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (&text[2..], 16),
        [b'0', ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    if !underscores_separate_digits(text) {
        return None;
    }
    if digits.is_empty() {
        return (text == "0").then_some(0);
    }
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    i64::from_str_radix(&digits, base).ok()
}

fn is_prefixed(text: &str, letter: u8) -> bool {
    matches!(text.as_bytes(), [b'0', prefix, ..] if prefix.eq_ignore_ascii_case(&letter))
}

/// Whether every `_` stands between digits; a base prefix counts as one.
fn underscores_separate_digits(text: &str) -> bool {
    let hex = is_prefixed(text, b'x');
    let mut previous = if hex { b'0' } else { b'^' };
    for &byte in text.as_bytes().get(if hex { 2 } else { 0 }..).unwrap_or_default() {
        let kind = match byte {
            b'0'..=b'9' => b'0',
            _ if hex && byte.is_ascii_hexdigit() => b'0',
            b'_' if previous != b'0' => return false,
            b'_' => b'_',
            _ if previous == b'_' => return false,
            _ => b'!',
        };
        previous = kind;
    }
    previous != b'_'
}

/// Shortest decimal without exponent that reads back the same (`strconv.FormatFloat(v, 'f', -1, 64)`).
pub(crate) fn format_decimal(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, value) in [
            ("0", 0.0),
            ("1_000", 1000.0),
            ("0xc", 12.0),
            ("0X_1F", 31.0),
            ("0755", 493.0),
            ("0_755", 493.0),
            ("089", 89.0),
            ("00", 0.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_2.3_4e1_0", 12.34e10),
            ("99999999999999999999", 1e20),
            ("Inf", f64::INFINITY),
            ("iNF", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("nAn").is_ok_and(f64::is_nan));
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["0x", "0x1e+5", ".5.5", "1__0", "1_", "0xfffffffffffffffff", "1_.5", "1e"] {
            assert_eq!(parse_number(text), Err("invalid syntax"), "{text}");
        }
        assert_eq!(parse_number("1e999"), Err("value out of range"));
    }

    #[test]
    fn writes_what_go_writes() {
        assert_eq!(format_decimal(1e21), "1000000000000000000000");
        assert_eq!(format_decimal(-0.0), "-0");
        assert_eq!(format_decimal(0.1), "0.1");
        assert_eq!(format_decimal(f64::INFINITY), "+Inf");
        assert_eq!(format_decimal(f64::NEG_INFINITY), "-Inf");
    }
}
