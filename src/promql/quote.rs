//! Texts in quotes, as Go writes and PromQL reads them (`strconv.Quote`, `util/strutil/quote.go`).

/// `text` in double quotes.
pub(crate) fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// Bytes in double quotes; those that are not UTF-8 show as `\xff`.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut out, c, '"');
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// A character in single quotes; the end of the text shows as the replacement character.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let mut out = String::from('\'');
    push_escaped(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// `U+0041 'A'`.
pub(crate) fn code_point(c: char) -> String {
    let mut out = format!("U+{:04X}", u32::from(c));
    if is_printable(c) {
        out.push_str(&format!(" '{c}'"));
    }
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        _ if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ if is_printable(c) => out.push(c),
        _ => {
            let code = u32::from(c);
            out.push_str(&match code {
                0..0x80 => format!("\\x{code:02x}"),
                0x80..0x1_0000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            });
        }
    }
}

/// Letters, marks, numbers, punctuation, symbols and the space, as Go's `unicode.IsPrint`.
fn is_printable(c: char) -> bool {
    if matches!(c, '\'' | '"' | '\\') {
        return true;
    }
    // Behind another character, std escapes exactly what cannot be printed.
    let mut buffer = String::from("a");
    buffer.push(c);
    buffer.escape_debug().nth(1) == Some(c)
}

/// The bytes that a literal stands for, which escapes may make other than UTF-8; `None` when it is malformed.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let quote = literal.chars().next()?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    match quote {
        '`' => (!inner.contains('`')).then(|| inner.as_bytes().to_vec()),
        '"' | '\'' => unescape(inner, quote),
        _ => None,
    }
}

fn unescape(inner: &str, quote: char) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == '\n' || c == quote {
            return None;
        }
        if c == '\\' {
            push_escape(&mut bytes, &mut rest, quote)?;
        } else {
            push_char(&mut bytes, c);
        }
    }
    Some(bytes)
}

fn push_escape(bytes: &mut Vec<u8>, rest: &mut std::str::Chars<'_>, quote: char) -> Option<()> {
    let byte = match rest.next()? {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        c if c == quote => u8::try_from(c).ok()?,
        'x' => u8::try_from(number(rest, 0, 2, 16)?).ok()?,
        'u' => return char::from_u32(number(rest, 0, 4, 16)?).map(|c| push_char(bytes, c)),
        'U' => return char::from_u32(number(rest, 0, 8, 16)?).map(|c| push_char(bytes, c)),
        c => u8::try_from(number(rest, c.to_digit(8)?, 2, 8)?).ok()?,
    };
    bytes.push(byte);
    Some(())
}

/// `first` followed by `digits` more digits.
fn number(rest: &mut std::str::Chars<'_>, first: u32, digits: u32, base: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..digits {
        value = value.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    Some(value)
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quote("a\"b\\c'\n\t\x07"), r#""a\"b\\c'\n\t\a""#);
        assert_eq!(
            quote("\0\x7f\u{a0}\u{10ffff}ä\u{301}😀"),
            "\"\\x00\\x7f\\u00a0\\U0010ffffä\u{301}😀\""
        );
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(quote_char(Some('"')), "'\"'");
        assert_eq!(quote_char(None), "'\u{fffd}'");
        assert_eq!(code_point('q'), "U+0071 'q'");
        assert_eq!(code_point('\n'), "U+000A");
    }

    #[test]
    fn unquotes_every_escape() {
        let text = |literal: &str| match unquote(literal).map(String::from_utf8) {
            Some(Ok(text)) => text,
            other => panic!("{literal}: {other:?}"),
        };
        assert_eq!(text(r#""\a\b\f\n\r\t\v\\\"'""#), "\x07\x08\x0c\n\r\t\x0b\\\"'");
        assert_eq!(text(r#"'\x41\101\u00e4\U0001F600\''"#), "AAä😀'");
        assert_eq!(text("`\\n\n\"'`"), "\\n\n\"'");
        assert_eq!(text(r#""\xc3\xa4""#), "ä");
        assert_eq!(text("''"), "");
    }

    #[test]
    fn refuses_malformed_literals() {
        for literal in [
            "",
            "\"",
            "\"a'",
            "\"\\'\"",
            "\"\\q\"",
            "\"\\x4\"",
            "\"\\400\"",
            "\"\\ud800\"",
            "a",
            "\"\n\"",
        ] {
            assert_eq!(unquote(literal), None, "{literal}");
        }
    }

    #[test]
    fn escapes_may_spell_any_bytes() {
        assert_eq!(unquote(r#""a\xff\xe2\x82""#), Some(b"a\xff\xe2\x82".to_vec()));
        assert_eq!(quote_bytes(b"a\xff\xe2\x82\xc3\xa4\n"), r#""a\xff\xe2\x82ä\n""#);
    }
}
