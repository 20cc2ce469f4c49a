//! Regular expressions as Go reads them (`regexp/syntax`), written anew for the crate `regex`.
//!
//! Users write patterns for Prometheus, that is for Go. The crate reads nearly the same language, but not
//! quite: `{` alone is an error there, `\d`, `\w`, `\s` and `\b` mean Unicode instead of ASCII, brackets nest
//! and know set operations, `a**` is allowed. [`rust_pattern`] accepts what Go accepts, refuses what it refuses
//! with Go's texts, and keeps the meaning. The one thing it does not know is a repetition behind flags that
//! reaches back over them, `a(?i)*`. Linear in the length of the pattern.

use std::fmt;

/// Largest count in `{n,m}`.
const REPEAT_MAX: u32 = 1000;

/// Why Go would not compile a pattern; shown as Go shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatternError {
    /// What is wrong.
    pub(super) code: &'static str,
    /// The part of the pattern it is wrong with.
    pub(super) part: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.code, self.part)
    }
}

impl std::error::Error for PatternError {}

const INVALID_ESCAPE: &str = "invalid escape sequence";
const INVALID_RANGE: &str = "invalid character class range";
const MISSING_PAREN: &str = "missing closing )";

/// The pattern in the language of the crate `regex`. Groups keep their numbers and names.
///
/// # Errors
/// What Go's `regexp.Compile` would say.
pub(super) fn rust_pattern(pattern: &str) -> Result<String, PatternError> {
    let mut writer = Writer {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() + pattern.len() / 2),
        open_groups: 0,
        repeatable: false,
        last_repeat: None,
    };
    while writer.at < pattern.len() {
        writer.element()?;
    }
    if writer.open_groups > 0 {
        return Err(PatternError { code: MISSING_PAREN, part: pattern.to_owned() });
    }
    Ok(writer.out)
}

struct Writer<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
    open_groups: usize,
    /// Whether a repetition may stand here.
    repeatable: bool,
    /// Where the repetition that ended just before `at` began.
    last_repeat: Option<usize>,
}

impl<'a> Writer<'a> {
    fn element(&mut self) -> Result<(), PatternError> {
        let begin = self.at;
        let last_repeat = self.last_repeat.take();
        let Some(c) = self.bump() else { return Ok(()) };
        match c {
            '(' => {
                self.group(begin)?;
                self.repeatable = false;
                return Ok(());
            }
            ')' => {
                let outer = self.open_groups.checked_sub(1);
                self.open_groups = outer.ok_or_else(|| PatternError {
                    code: "unexpected )",
                    part: self.pattern.to_owned(),
                })?;
                self.out.push(')');
            }
            '|' => {
                self.out.push('|');
                self.repeatable = false;
                return Ok(());
            }
            '^' | '$' | '.' => self.out.push(c),
            '[' => self.class(begin)?,
            '*' | '+' | '?' => {
                self.out.push(c);
                return self.repeated(begin, last_repeat);
            }
            '{' => match self.counts()? {
                Some(counts) => {
                    self.out.push_str(&counts);
                    return self.repeated(begin, last_repeat);
                }
                None => push_literal(&mut self.out, '{'),
            },
            '\\' => self.escape(begin)?,
            _ => push_literal(&mut self.out, c),
        }
        self.repeatable = true;
        Ok(())
    }

    /// Behind a repetition operator that began at `begin` and has been written.
    fn repeated(&mut self, begin: usize, last_repeat: Option<usize>) -> Result<(), PatternError> {
        if self.rest().starts_with('?') {
            self.at += 1;
            self.out.push('?');
        }
        if let Some(last) = last_repeat {
            return Err(self.error("invalid nested repetition operator", last));
        }
        if !self.repeatable {
            return Err(self.error("missing argument to repetition operator", begin));
        }
        self.last_repeat = Some(begin);
        Ok(())
    }

    /// The counts behind `{` with their braces; `None`, and nothing taken, when the brace means itself.
    fn counts(&mut self) -> Result<Option<String>, PatternError> {
        let begin = self.at - 1;
        let Some((inside, _)) = self.rest().split_once('}') else { return Ok(None) };
        let (fewest, most) = match inside.split_once(',') {
            None => (inside, Some(inside)),
            Some((fewest, "")) => (fewest, None),
            Some((fewest, most)) => (fewest, Some(most)),
        };
        if !is_count(fewest) || !most.is_none_or(is_count) {
            return Ok(None);
        }
        self.at += inside.len() + 1;
        // Too many digits are too much.
        let value = |digits: &str| digits.parse().unwrap_or(u32::MAX);
        let (fewest, most) = (value(fewest), most.map(value));
        if fewest > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX || most < fewest) {
            return Err(self.error("invalid repeat count", begin));
        }
        Ok(Some(match most {
            Some(most) => format!("{{{fewest},{most}}}"),
            None => format!("{{{fewest},}}"),
        }))
    }

    /// Behind `(`.
    fn group(&mut self, begin: usize) -> Result<(), PatternError> {
        let Some(extension) = self.rest().strip_prefix('?') else {
            self.open_groups += 1;
            self.out.push('(');
            return Ok(());
        };
        let name = extension.strip_prefix("P<").or_else(|| extension.strip_prefix('<'));
        if name.is_some_and(|name| !name.is_empty()) {
            return self.named_group(begin);
        }
        self.at += 1;
        let flags_from = self.at;
        let (mut negated, mut got_flag) = (false, false);
        while let Some(c) = self.bump() {
            match c {
                'i' | 'm' | 's' | 'U' => got_flag = true,
                '-' if !negated => (negated, got_flag) = (true, false),
                ':' | ')' if got_flag || !negated => {
                    let flags = &self.pattern[flags_from..self.at - 1];
                    // `(?)` sets nothing; the crate does not know it.
                    if !(flags.is_empty() && c == ')') {
                        self.out.push_str("(?");
                        self.out.push_str(flags);
                        self.out.push(c);
                    }
                    self.open_groups += usize::from(c == ':');
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(self.error("invalid or unsupported Perl syntax", begin))
    }

    fn named_group(&mut self, begin: usize) -> Result<(), PatternError> {
        let code = "invalid named capture";
        let Some(length) = self.pattern[begin..].find('>') else {
            self.at = self.pattern.len();
            return Err(self.error(code, begin));
        };
        self.at = begin + length + 1;
        let opening = &self.pattern[begin..self.at];
        let name = opening.split_once('<').map_or("", |(_, name)| &name[..name.len() - 1]);
        let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(self.error(code, begin));
        }
        // The crate's names do not begin with a digit.
        let prefix = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
        self.out.push_str(&format!("(?P<{prefix}{name}>"));
        self.open_groups += 1;
        Ok(())
    }

    /// Behind `\`, outside of brackets.
    fn escape(&mut self, begin: usize) -> Result<(), PatternError> {
        let written = match self.rest().chars().next() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => r"[\t\n\f\r ]",
            Some('S') => r"[^\t\n\f\r ]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('Q') => {
                self.at += 1;
                let rest = self.rest();
                let (quoted, taken) = rest
                    .split_once(r"\E")
                    .map_or((rest, rest.len()), |(quoted, _)| (quoted, quoted.len() + 2));
                quoted.chars().for_each(|c| push_literal(&mut self.out, c));
                self.at += taken;
                return Ok(());
            }
            Some('p' | 'P') => return self.unicode_class(begin),
            _ => {
                let c = self.escaped_char(begin)?;
                push_literal(&mut self.out, c);
                return Ok(());
            }
        };
        self.at += 1;
        self.out.push_str(written);
        Ok(())
    }

    /// Behind `\`: the character that is meant.
    fn escaped_char(&mut self, begin: usize) -> Result<char, PatternError> {
        let Some(c) = self.bump() else {
            return Err(PatternError {
                code: "trailing backslash at end of expression",
                part: String::new(),
            });
        };
        let next_is_octal = self.rest().starts_with(|c: char| c.is_digit(8));
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            // A single digit other than 0 would be a reference to a group.
            '0' => self.octal(0),
            '1'..='7' if next_is_octal => self.octal(c.to_digit(8).unwrap_or(0)),
            'x' => return self.hexadecimal(begin),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(self.error(INVALID_ESCAPE, begin)),
        })
    }

    fn octal(&mut self, first: u32) -> char {
        let mut value = first;
        for _ in 0..2 {
            let Some(digit) = self.rest().chars().next().and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.at += 1;
        }
        char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Behind `\x`: two digits, or any number of them in braces.
    fn hexadecimal(&mut self, begin: usize) -> Result<char, PatternError> {
        let digits = match self.rest().strip_prefix('{') {
            Some(rest) => {
                let digits = rest.split_once('}').map_or("", |(digits, _)| digits);
                self.at += 1 + digits.len() + usize::from(rest[digits.len()..].starts_with('}'));
                digits
            }
            None => {
                let digits = self.rest().get(..2).unwrap_or("");
                self.at += digits.len();
                digits
            }
        };
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16)
            .ok()
            .filter(|_| valid)
            .and_then(char::from_u32)
            .ok_or_else(|| self.error(INVALID_ESCAPE, begin))
    }

    /// At the `p` of `\p{Greek}`, `\pN` or `\P...`.
    fn unicode_class(&mut self, begin: usize) -> Result<(), PatternError> {
        let mut negated = self.bump() == Some('P');
        let name = match self.rest().strip_prefix('{') {
            Some(rest) => {
                let Some((name, _)) = rest.split_once('}') else {
                    self.at = self.pattern.len();
                    return Err(self.error(INVALID_RANGE, begin));
                };
                self.at += name.len() + 2;
                name
            }
            None => {
                let from = self.at;
                self.bump();
                &self.pattern[from..self.at]
            }
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negated = !negated;
                name
            }
            None => name,
        };
        let class = format!(r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
        let plain = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
        // The crate takes other spellings of the names too.
        let known = name.starts_with(|c: char| c.is_ascii_uppercase()) && plain;
        if !known || regex::Regex::new(&class).is_err() {
            return Err(self.error(INVALID_RANGE, begin));
        }
        self.out.push_str(&class);
        Ok(())
    }

    /// Behind `[`.
    fn class(&mut self, begin: usize) -> Result<(), PatternError> {
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let first = self.at;
        while self.at == first || !self.rest().starts_with(']') {
            self.class_item(begin)?;
        }
        self.at += 1;
        self.out.push(']');
        Ok(())
    }

    /// One character, range or class in brackets that began at `class`.
    fn class_item(&mut self, class: usize) -> Result<(), PatternError> {
        let begin = self.at;
        if let Some(rest) = self.rest().strip_prefix("[:")
            && let Some((name, _)) = rest.split_once(":]")
        {
            self.at += name.len() + 4;
            let bare = name.strip_prefix('^').unwrap_or(name);
            if !POSIX_CLASSES.contains(&bare) {
                return Err(self.error(INVALID_RANGE, begin));
            }
            self.out.push_str(&self.pattern[begin..self.at]);
            return Ok(());
        }
        if let Some(escaped) = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next())
            && matches!(escaped, 'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P')
        {
            self.at += 1;
            return self.escape(begin);
        }
        let low = self.class_char(class)?;
        push_literal(&mut self.out, low);
        let rest = self.rest();
        if !rest.starts_with('-') || rest.len() < 2 || rest.starts_with("-]") {
            return Ok(());
        }
        self.at += 1;
        let high = self.class_char(class)?;
        if high < low {
            return Err(self.error(INVALID_RANGE, begin));
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    fn class_char(&mut self, class: usize) -> Result<char, PatternError> {
        let begin = self.at;
        match self.bump() {
            Some('\\') => self.escaped_char(begin),
            Some(c) => Ok(c),
            None => Err(self.error("missing closing ]", class)),
        }
    }

    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// An error about everything from `begin` to the current place.
    fn error(&self, code: &'static str, begin: usize) -> PatternError {
        PatternError { code, part: self.pattern[begin..self.at].to_owned() }
    }
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Digits without a leading zero.
fn is_count(digits: &str) -> bool {
    let zero_padded = digits.len() > 1 && digits.starts_with('0');
    !digits.is_empty() && !zero_padded && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The character itself, in or outside of brackets.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric()
        || !c.is_ascii()
        || matches!(c, '_' | '/' | ':' | ',' | '=' | '"' | '\'')
    {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{:02x}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&format!("^(?s:{})$", rust_pattern(pattern).unwrap()))
            .unwrap()
            .is_match(text)
    }

    #[test]
    fn keeps_the_meaning_of_go() {
        for (pattern, text, expected) in [
            ("/users/{id}/.*", "/users/{id}/x", true),
            ("a{,3}", "a{,3}", true),
            ("a{2}", "aa", true),
            ("a{2,}", "aaaa", true),
            ("a{2,3}?", "aaaa", false),
            ("a{02}", "a{02}", true),
            (r"\d", "٣", false),
            (r"\d+", "12", true),
            (r"[\d\-]+", "1-2", true),
            (r"[^\D]", "1", true),
            (r"\w", "ä", false),
            (r"\bä", "ä", false),
            (r".\Bä", "ää", true),
            ("[[a]", "[", true),
            ("[a&&b]+", "a&b", true),
            ("[+--]+", "+,-", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "b", true),
            ("[[:alpha:]_]+", "a_", true),
            ("[[:^alpha:]]", "1", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Q.*", ".*", true),
            (r"\101\x42\x{43}", "ABC", true),
            (r"\pL\p{Greek}\P{L}\p{^L}", "aα11", true),
            (r"[\p{Greek}x]+", "αx", true),
            ("(?i)abc", "ABC", true),
            ("(?i:a)b", "AB", false),
            ("(?-s).", "\n", false),
            (".", "\n", true),
            ("a|b(c|d)", "bd", true),
            ("(?P<x>a)(?<y>b)(?:c)", "abc", true),
            ("", "", true),
            ("a||b", "", true),
            (r"\.\*\-\_", ".*-_", true),
            ("a # b ~ c & d", "a # b ~ c & d", true),
            (r"\<\>", "<>", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for (pattern, code, part) in [
            ("(", "missing closing )", "("),
            ("a(b|c", "missing closing )", "a(b|c"),
            ("a)", "unexpected )", "a)"),
            ("*a", "missing argument to repetition operator", "*"),
            ("a|+?", "missing argument to repetition operator", "+?"),
            ("(*)", "missing argument to repetition operator", "*"),
            ("a**", "invalid nested repetition operator", "**"),
            ("xa+*?", "invalid nested repetition operator", "+*?"),
            ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"),
            ("a{1001}", "invalid repeat count", "{1001}"),
            ("a{3,2}", "invalid repeat count", "{3,2}"),
            ("[abc", "missing closing ]", "[abc"),
            ("[b-a]", "invalid character class range", "b-a"),
            ("[[:foo:]]", "invalid character class range", "[:foo:]"),
            (r"\pX", "invalid character class range", r"\pX"),
            (r"\p{Foo}", "invalid character class range", r"\p{Foo}"),
            (r"a\", "trailing backslash at end of expression", ""),
            (r"\1", "invalid escape sequence", r"\1"),
            (r"\y", "invalid escape sequence", r"\y"),
            (r"\C", "invalid escape sequence", r"\C"),
            (r"\xz1", "invalid escape sequence", r"\xz1"),
            ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
            ("(?<!a)", "invalid named capture", "(?<!a)"),
            ("(?P<a b>c)", "invalid named capture", "(?P<a b>"),
        ] {
            let error = rust_pattern(pattern).unwrap_err();
            assert_eq!((error.code, error.part.as_str()), (code, part), "{pattern}");
        }
        assert_eq!(
            rust_pattern("(").unwrap_err().to_string(),
            "error parsing regexp: missing closing ): `(`"
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_compiles(pattern in r"([a-c.*+?(){}\[\]|^$,0-9:=!<P>-]|\\[a-zA-Z0-9.]|\[[\^]?[a-c\]&\[-]\]){0,12}") {
            if let Ok(written) = rust_pattern(&pattern) {
                prop_assert!(regex::Regex::new(&written).is_ok(), "{} became {}", pattern, written);
            }
        }

        #[test]
        fn plain_text_matches_itself(text in "[^\\\\.+*?()|\\[\\]{}^$]{0,12}") {
            prop_assert!(matches(&text, &text));
        }

        #[test]
        fn no_text_panics(pattern in any::<String>()) {
            let _ = rust_pattern(&pattern);
        }
    }
}
