//! YAML, and JSON which is YAML, as a tree that knows where every key and value stands.
//!
//! Scalars keep their text: what is a number and what a word is for the reader to say, and a target never passes
//! through a float. Documents are told apart by their `---` first, which stand at the beginning of a line in no
//! other meaning, so a document that cannot be read costs no other.

mod build;
mod inner;
mod print;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use build::read;
pub use inner::{Cursor, inner_place};
pub use print::print;

/// Bytes of a text at most.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// Documents of a text at most.
pub const DOCUMENTS_MAX: usize = 10_000;
/// How deep values may be nested.
pub const DEPTH_MAX: usize = 64;
/// Values of a text at most, those that aliases repeat included.
pub const NODES_MAX: usize = 500_000;
/// Aliases of a text at most.
pub const ALIASES_MAX: usize = 1_000;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub spot: Spot,
    /// Its bytes in the text. Those of a list or mapping without brackets end where its last value does.
    pub span: Range<usize>,
    /// What it is.
    pub content: Content,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text, number, truth value or nothing.
    Scalar {
        /// Without quotes and escapes.
        text: String,
        /// How it was written.
        style: Style,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order in which it was written.
    Map(Vec<Entry>),
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is; may be a number, a truth value or nothing.
    Plain,
    /// `'...'`
    Single,
    /// `"..."`
    Double,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub spot: Spot,
    /// The bytes of the key.
    pub span: Range<usize>,
    /// The value.
    pub value: Node,
}

/// One document of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its value.
    pub root: Node,
    /// Its bytes in the text, with the `---` before it.
    pub span: Range<usize>,
    /// Whether a fault was found in it, so that it does not say all that was written.
    pub faulty: bool,
}

/// Why a document, or a part of it, was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub spot: Spot,
    /// Which rule.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

impl Node {
    /// A scalar that stands nowhere but where `like` does.
    #[must_use]
    pub fn scalar(like: &Self, text: impl Into<String>, style: Style) -> Self {
        Self { content: Content::Scalar { text: text.into(), style }, ..like.empty() }
    }

    /// A list at the place of `like`.
    #[must_use]
    pub fn list(like: &Self, items: Vec<Self>) -> Self {
        Self { content: Content::List(items), ..like.empty() }
    }

    /// A mapping at the place of `like`, its keys at the places of their values.
    #[must_use]
    pub fn map(like: &Self, entries: Vec<(&str, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| Entry {
            key: key.to_owned(),
            spot: value.spot,
            span: value.span.clone(),
            value,
        });
        Self { content: Content::Map(entries.collect()), ..like.empty() }
    }

    fn empty(&self) -> Self {
        Self { spot: self.spot, span: self.span.clone(), content: Content::List(Vec::new()) }
    }

    /// The value of a key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether this is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, style: Style::Plain }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What kind of value this is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.content {
            _ if self.is_null() => "nothing",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
            Content::Scalar { text, style: Style::Plain } => match text.as_str() {
                "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "a truth value",
                text if is_number(text) => "a number",
                _ => "a text",
            },
            Content::Scalar { .. } => "a text",
        }
    }
}

/// Whether YAML takes a plain scalar for a number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = digits.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| matches!(b, b'0'..=b'7'));
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let mantissa = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if exponent.is_empty() || !exponent.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            mantissa
        }
        None => digits,
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(part) && whole.len() + part.len() > 0
}
