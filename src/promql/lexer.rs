//! From text to tokens, with the modes and error texts of Prometheus (`promql/parser/lex.go`).
//!
//! Tokens are made one at a time when the parser asks, so that the first error of a query is the one
//! Prometheus reports. Every byte is looked at a bounded number of times.

use super::ast::{BinaryOp, Span};
use super::parse_error::ParseError;
use super::quote::{code_point, quote, quote_char};
use super::token::{Token, TokenKind};

/// Makes tokens from a query text.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// Where the next character is.
    at: usize,
    /// Where the token being read began.
    start: usize,
    paren_depth: usize,
    brace_open: bool,
    bracket_open: bool,
    /// Whether the bracket's content is read as a duration expression: up to its first number.
    in_duration: bool,
    got_colon: bool,
    /// Whether any bracket had a number yet; like Prometheus never reset.
    got_duration: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
        }
    }

    /// The next token that is neither space nor comment.
    pub(crate) fn next_token(&mut self) -> Result<Token, ParseError> {
        self.skip_blank();
        self.start = self.at;
        let kind = if self.in_duration {
            self.duration_token()?
        } else if self.brace_open {
            self.brace_token()?
        } else {
            self.statement_token()?
        };
        Ok(Token { kind, span: Span { start: self.start, end: self.at } })
    }

    /// Skips spaces and, outside of duration expressions, comments.
    fn skip_blank(&mut self) {
        loop {
            self.skip_while(is_space);
            if self.in_duration || self.peek_byte() != Some(b'#') {
                return;
            }
            self.skip_while(|byte| !matches!(byte, b'\r' | b'\n'));
        }
    }

    fn statement_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(c) = self.bump() else {
            return match () {
                () if self.paren_depth != 0 => Err(self.error("unclosed left parenthesis")),
                () if self.bracket_open => Err(self.error("unclosed left bracket")),
                () => Ok(TokenKind::Eof),
            };
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '@' => TokenKind::At,
            '*' => TokenKind::Op(BinaryOp::Mul),
            '/' => TokenKind::Op(BinaryOp::Div),
            '%' => TokenKind::Op(BinaryOp::Mod),
            '+' => TokenKind::Op(BinaryOp::Add),
            '-' => TokenKind::Op(BinaryOp::Sub),
            '^' => TokenKind::Op(BinaryOp::Pow),
            '=' if self.accept(b"=") => TokenKind::Op(BinaryOp::Eql),
            '=' if self.peek_byte() == Some(b'~') => {
                return Err(self.error("unexpected character after '=': '~'"));
            }
            '=' => TokenKind::Assign,
            '!' if self.accept(b"=") => TokenKind::Op(BinaryOp::Neq),
            '!' => {
                let next = quote_char(self.peek());
                return Err(self.error(format!("unexpected character after '!': {next}")));
            }
            '<' if self.accept(b"=") => TokenKind::Op(BinaryOp::Lte),
            '<' if self.accept(b"/") => TokenKind::Op(BinaryOp::TrimUpper),
            '<' => TokenKind::Op(BinaryOp::Lss),
            '>' if self.accept(b"=") => TokenKind::Op(BinaryOp::Gte),
            '>' if self.accept(b"/") => TokenKind::Op(BinaryOp::TrimLower),
            '>' => TokenKind::Op(BinaryOp::Gtr),
            '0'..='9' => return self.number_or_duration(),
            '.' if self.peek_byte().is_some_and(|byte| byte.is_ascii_digit()) => {
                return self.number_or_duration();
            }
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            'a'..='z' | 'A'..='Z' | '_' | ':' if self.bracket_open => return self.bracket_word(c),
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(),
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '{' => {
                self.brace_open = true;
                TokenKind::LeftBrace
            }
            '[' if self.bracket_open => return Err(self.error("unexpected left bracket '['")),
            '[' => {
                self.got_colon = false;
                self.bracket_open = true;
                self.in_duration = true;
                TokenKind::LeftBracket
            }
            ']' if !self.bracket_open => return Err(self.error("unexpected right bracket ']'")),
            ']' => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            _ => return Err(self.error(format!("unexpected character: {}", quote_char(Some(c))))),
        })
    }

    /// A word in a bracket behind its first number.
    fn bracket_word(&mut self, first: char) -> Result<TokenKind, ParseError> {
        if first == ':' {
            if self.got_colon {
                return Err(self.error("unexpected colon ':'"));
            }
            self.got_colon = true;
            return Ok(TokenKind::Colon);
        }
        self.duration_word(first).ok_or_else(|| {
            self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(first))))
        })
    }

    /// A token of a duration expression.
    fn duration_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input in duration expression"));
        };
        Ok(match c {
            ']' => {
                self.bracket_open = false;
                self.in_duration = false;
                self.got_colon = false;
                TokenKind::RightBracket
            }
            ':' if !self.got_duration => {
                self.start = self.at;
                return Err(self.error("unexpected colon before duration in duration expression"));
            }
            ':' if self.got_colon => {
                self.start = self.at;
                return Err(self.error("unexpected repeated colon in duration expression"));
            }
            ':' => {
                self.got_colon = true;
                TokenKind::Colon
            }
            '(' => self.open_paren(),
            ')' => return self.close_paren(),
            '+' => TokenKind::Op(BinaryOp::Add),
            '-' => TokenKind::Op(BinaryOp::Sub),
            '*' => TokenKind::Op(BinaryOp::Mul),
            '/' => TokenKind::Op(BinaryOp::Div),
            '%' => TokenKind::Op(BinaryOp::Mod),
            '^' => TokenKind::Op(BinaryOp::Pow),
            ',' => TokenKind::Comma,
            '0'..='9' => return self.duration_number(),
            '.' if self.peek_byte().is_some_and(|byte| byte.is_ascii_digit()) => {
                return self.duration_number();
            }
            _ => {
                return self.duration_word(c).ok_or_else(|| {
                    self.error(format!(
                        "unexpected character in duration expression: {}",
                        quote_char(Some(c))
                    ))
                });
            }
        })
    }

    fn duration_number(&mut self) -> Result<TokenKind, ParseError> {
        self.got_duration = true;
        self.in_duration = false;
        self.number_or_duration()
    }

    /// `step`, `range`, `min_of` or `max_of`.
    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        TokenKind::duration_keyword(self.token_text())
    }

    /// A token between braces.
    fn brace_token(&mut self) -> Result<TokenKind, ParseError> {
        let Some(c) = self.bump() else {
            return Err(self.error("unexpected end of input inside braces"));
        };
        Ok(match c {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.string(c),
            '`' => return self.raw_string(),
            '=' if self.accept(b"~") => TokenKind::MatchRegex,
            '=' => TokenKind::Assign,
            '!' if self.accept(b"~") => TokenKind::MatchNotRegex,
            '!' if self.accept(b"=") => TokenKind::Op(BinaryOp::Neq),
            '!' => {
                let next = quote_char(self.peek());
                return Err(
                    self.error(format!("unexpected character after '!' inside braces: {next}"))
                );
            }
            '{' => return Err(self.error("unexpected left brace '{'")),
            '}' => {
                self.brace_open = false;
                TokenKind::RightBrace
            }
            _ => {
                return Err(self.error(format!(
                    "unexpected character inside braces: {}",
                    quote_char(Some(c))
                )));
            }
        })
    }

    fn open_paren(&mut self) -> TokenKind {
        self.paren_depth += 1;
        TokenKind::LeftParen
    }

    fn close_paren(&mut self) -> Result<TokenKind, ParseError> {
        match self.paren_depth.checked_sub(1) {
            Some(depth) => {
                self.paren_depth = depth;
                Ok(TokenKind::RightParen)
            }
            None => {
                self.start = self.at;
                Err(self.error("unexpected right parenthesis ')'"))
            }
        }
    }

    fn word(&mut self) -> TokenKind {
        self.skip_while(|byte| is_alphanumeric(byte) || byte == b':');
        let word = self.token_text();
        match TokenKind::keyword(word) {
            // These were metric names long before they became modifiers.
            Some(TokenKind::Fill | TokenKind::FillLeft | TokenKind::FillRight)
                if !self.paren_follows() =>
            {
                TokenKind::Identifier
            }
            Some(keyword) => keyword,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        }
    }

    fn paren_follows(&self) -> bool {
        self.text.as_bytes()[self.at..].iter().find(|&&byte| !is_space(byte)) == Some(&b'(')
    }

    /// The quote has been read.
    fn string(&mut self, quote: char) -> Result<TokenKind, ParseError> {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None | Some('\n') => return Err(self.error("unterminated quoted string")),
                Some(c) if c == quote => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// The back quote has been read.
    fn raw_string(&mut self) -> Result<TokenKind, ParseError> {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return Err(self.error("invalid UTF-8 rune")),
                None => return Err(self.error("unterminated raw string")),
                Some('`') => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// The backslash has been read.
    fn escape(&mut self, quote: char) -> Result<(), ParseError> {
        let Some(mut c) = self.bump() else {
            return Err(self.error("escape sequence not terminated"));
        };
        let (digits, base, value_max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if c == quote => return Ok(()),
            '0'..='7' => (3, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return Err(self.error(format!("unknown escape sequence {}", code_point(c)))),
        };
        if base == 16 {
            c = self.bump_escape_digit()?;
        }
        let mut value = 0_u32;
        for left in (0..digits).rev() {
            let Some(digit) = c.to_digit(base) else {
                return Err(
                    self.error(format!("illegal character {} in escape sequence", code_point(c)))
                );
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
            if left > 0 {
                c = self.bump_escape_digit()?;
            }
        }
        if value > value_max || (0xD800..0xE000).contains(&value) {
            return Err(self.error("escape sequence is an invalid Unicode code point"));
        }
        Ok(())
    }

    fn bump_escape_digit(&mut self) -> Result<char, ParseError> {
        self.bump().ok_or_else(|| self.error("escape sequence not terminated"))
    }

    /// The first character has been read.
    fn number_or_duration(&mut self) -> Result<TokenKind, ParseError> {
        self.at = self.start;
        if self.scan_number() {
            return Ok(TokenKind::Number);
        }
        if self.scan_duration_rest() {
            return Ok(TokenKind::Duration);
        }
        Err(self.error(format!("bad number or duration syntax: {}", quote(self.token_text()))))
    }

    /// Whether a number was read. Not every one is valid: the parser finds that out. On failure stops
    /// where Prometheus stops, since the error shows the text up to there.
    fn scan_number(&mut self) -> bool {
        let begin = self.at;
        let hex = self.accept(b"0") && self.accept(b"xX");
        if hex {
            self.accept(b"_");
        }
        let is_digit =
            |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        self.accept(b".");
        if self.peek_byte().is_some_and(is_digit) {
            self.at += 1;
        }
        let (mut got_dot, mut got_exponent) = (false, false);
        while let Some(byte) = self.peek_byte() {
            match byte {
                b'.' => {
                    self.at += 1;
                    if got_dot || self.accept(b"_.") || hex {
                        return false;
                    }
                    got_dot = true;
                }
                b'e' | b'E' => {
                    self.at += 1;
                    if got_exponent {
                        return false;
                    }
                    got_exponent = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.peek_byte().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.at += 1;
                    if self.accept(b"._eE") || self.peek_byte().is_none() {
                        return false;
                    }
                }
                _ if is_digit(byte) => self.skip_while(is_digit),
                _ => break,
            }
        }
        self.at != begin && !self.peek_byte().is_some_and(is_alphanumeric)
    }

    /// Behind the digits: a unit and more digits with units. Wrong order and wrong units such as `hs` are
    /// found when the duration is read.
    fn scan_duration_rest(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(b"0123456789") {
            self.skip_while(|byte| byte.is_ascii_digit());
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        if self.peek_byte().is_some_and(is_alphanumeric) {
            self.at += 1;
            return false;
        }
        true
    }

    fn token_text(&self) -> &'a str {
        &self.text[self.start..self.at]
    }

    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Reads the next byte if it is one of `set`, which are all ASCII.
    fn accept(&mut self, set: &[u8]) -> bool {
        let accepted = self.peek_byte().is_some_and(|byte| set.contains(&byte));
        self.at += usize::from(accepted);
        accepted
    }

    /// Reads on; `keep` must be false at every place inside a character, or true for all of them.
    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|&byte| !keep(byte)).unwrap_or(rest.len());
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(Span { start: self.start, end: self.text.len() }, message)
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
