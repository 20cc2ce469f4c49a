//! Pure parts of `label_replace`, `label_join` and `sort_by_label`.

use std::cmp::Ordering;

use nines_storage::model::Matcher;
use regex::{Captures, Regex};

/// Whether `name` may be a label name: any text but the empty one (UTF-8 names).
#[must_use]
pub const fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
}

/// `label_replace` after its arguments are known: a regex for the whole of the source value and a template.
#[derive(Debug, Clone)]
pub struct LabelReplace {
    regex: Regex,
    template: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Index(usize),
    Name(String),
}

impl LabelReplace {
    /// Compiles both.
    ///
    /// # Errors
    /// The regex is not one.
    pub fn new(regex: &str, replacement: &str) -> nines_storage::Result<Self> {
        Ok(Self { regex: Matcher::compile(regex)?, template: parse_template(replacement) })
    }

    /// The new value for a source value; `None` when the regex does not match all of it.
    #[must_use]
    pub fn apply(&self, source: &str) -> Option<String> {
        let captures = self.regex.captures(source)?;
        let mut out = String::new();
        for piece in &self.template {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Index(index) => {
                    out.push_str(captures.get(*index).map_or("", |group| group.as_str()))
                }
                Piece::Name(name) => out.push_str(self.named(&captures, name)),
            }
        }
        Some(out)
    }

    /// The first group of that name that took part in the match.
    fn named<'s>(&self, captures: &Captures<'s>, name: &str) -> &'s str {
        let mut groups = self.regex.capture_names().zip(captures.iter());
        groups
            .find_map(|(of, group)| group.filter(|_| of == Some(name)))
            .map_or("", |group| group.as_str())
    }
}

/// Template of Go's `Regexp.Expand`: `$name`, `${name}`, `$1`, `$$`. A name without braces is as long as
/// possible, so `$1x` is `${1x}`; a `$` before anything else stands for itself.
fn parse_template(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = split_name(after) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces
                .push(group_index(name).map_or_else(|| Piece::Name(name.to_owned()), Piece::Index));
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The name at the beginning, with or without braces, and what follows.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let (braced, text) = text.strip_prefix('{').map_or((false, text), |inner| (true, inner));
    let end = text
        .find(|c: char| c != '_' && !c.is_alphabetic() && !c.is_numeric())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { rest.strip_prefix('}').map(|rest| (name, rest)) } else { Some((name, rest)) }
}

/// Digits without a leading zero are the number of a group.
fn group_index(name: &str) -> Option<usize> {
    const INDEX_MAX: usize = 1_000_000_000;
    if !name.bytes().all(|b| b.is_ascii_digit()) || (name.len() > 1 && name.starts_with('0')) {
        return None;
    }
    name.parse().ok().filter(|index| *index < INDEX_MAX)
}

/// The order of `sort_by_label`: runs of digits by their number, runs of anything else by their bytes.
#[must_use]
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    while !a_rest.is_empty() && !b_rest.is_empty() {
        let (a_run, b_run);
        (a_run, a_rest) = split_run(a_rest);
        (b_run, b_rest) = split_run(b_rest);
        let order = match (number(a_run), number(b_run)) {
            (Some(x), Some(y)) => x.len().cmp(&y.len()).then_with(|| x.cmp(y)),
            _ => a_run.cmp(b_run),
        };
        if order.is_ne() {
            return order;
        }
    }
    // Equal so far: the one with more runs is the larger one; leading zeros decide last.
    (!a_rest.is_empty()).cmp(&!b_rest.is_empty()).then_with(|| a.cmp(b))
}

/// The leading run of digits or of other characters, and what follows.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// Digits without leading zeros.
fn number(run: &str) -> Option<&str> {
    run.starts_with(|c: char| c.is_ascii_digit()).then(|| run.trim_start_matches('0'))
}
