//! Places in a text, and places inside of scalars.

use super::{Content, Node, Spot, Style};

/// Tells lines and columns of bytes; fast when they ascend.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    spot: Spot,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a text.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, spot: Spot { line: 1, column: 1 } }
    }

    /// The place of the character that begins at a byte.
    pub fn spot(&mut self, byte: usize) -> Spot {
        if byte < self.at {
            *self = Self::new(self.text);
        }
        let passed = self.text.get(self.at..byte).unwrap_or_default();
        for c in passed.chars() {
            // A mark of the byte order has no width.
            match c {
                '\n' => self.spot = Spot { line: self.spot.line + 1, column: 1 },
                '\u{feff}' if self.at == 0 && self.spot.column == 1 && self.spot.line == 1 => {}
                _ => self.spot.column += 1,
            }
        }
        self.at += passed.len();
        self.spot
    }
}

/// The place in `text` of byte `offset` of a scalar's value: quotes, escapes and indentation are stepped over.
#[must_use]
pub fn inner_place(text: &str, node: &Node, offset: usize) -> Spot {
    let Content::Scalar { text: value, style } = &node.content else { return node.spot };
    let Some(written) = text.get(node.span.start..) else { return node.spot };
    let mut source = Source { rest: written, at: node.span.start };
    source.enter(*style);
    for (at, c) in value.char_indices() {
        if at >= offset {
            if !c.is_whitespace() {
                source.seek(c, *style);
            }
            break;
        }
        source.pass(c, *style);
    }
    Cursor::new(text).spot(source.at)
}

struct Source<'a> {
    rest: &'a str,
    at: usize,
}

impl Source<'_> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.at += bytes;
    }

    /// To the first character of the content.
    fn enter(&mut self, style: Style) {
        match style {
            // Blocks begin behind their header.
            Style::Plain | Style::Literal | Style::Folded => {}
            Style::Single | Style::Double => {
                if self.rest.starts_with(['\'', '"']) {
                    self.skip(1);
                }
            }
        }
    }

    /// Over white space that the value does not have, to `c`.
    fn seek(&mut self, c: char, style: Style) {
        while let Some(next) = self.rest.chars().next() {
            let continued = style == Style::Double && self.rest.starts_with("\\\n");
            if next == c || !(next.is_whitespace() || continued) {
                return;
            }
            self.skip(if continued { 2 } else { next.len_utf8() });
        }
    }

    /// Over one character of the value.
    fn pass(&mut self, c: char, style: Style) {
        if c.is_whitespace() {
            // A line break of the value may be an escape or, with the indentation behind it, several characters.
            let next = self.rest.chars().next();
            if style == Style::Double && next == Some('\\') {
                self.skip(escape_len(self.rest));
            } else if next.is_some_and(char::is_whitespace) {
                self.skip(next.map_or(0, char::len_utf8));
            }
            return;
        }
        self.seek(c, style);
        let bytes = match (style, self.rest.as_bytes()) {
            (Style::Single, [b'\'', b'\'', ..]) => 2,
            (Style::Double, [b'\\', ..]) => escape_len(self.rest),
            _ => self.rest.chars().next().map_or(0, char::len_utf8),
        };
        self.skip(bytes);
    }
}

/// Bytes of the escape at the beginning of a text.
fn escape_len(text: &str) -> usize {
    let letter = text[1..].chars().next();
    match letter {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        Some(other) => 1 + other.len_utf8(),
        None => 1,
    }
}
