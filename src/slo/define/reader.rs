//! Reads fields of a tree: remembers which were asked for, and tells what is wrong with those that were.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::nearest::nearest;
use crate::slo::decimal::Decimal;
use crate::slo::definition::Place;
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::yaml::{Content, Entry, Node, Spot, Style, inner_place};

/// What is wrong with a text.
pub(super) struct Report<'a> {
    /// The file as it is named.
    pub(super) file: &'a str,
    /// Its text.
    pub(super) text: &'a str,
    found: RefCell<Vec<Diagnostic>>,
    errors: Cell<usize>,
}

impl<'a> Report<'a> {
    pub(super) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: RefCell::new(Vec::new()), errors: Cell::new(0) }
    }

    pub(super) fn place(&self, spot: Spot) -> Place {
        Place { file: self.file.to_owned(), line: spot.line, column: spot.column }
    }

    pub(super) fn tell(&self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        self.found.borrow_mut().push(diagnostic);
    }

    pub(super) fn error(&self, spot: Spot, path: &str, code: &'static str, message: String) {
        self.tell(Diagnostic::error(&self.place(spot), path, code, message));
    }

    /// How many errors were told.
    pub(super) fn errors(&self) -> usize {
        self.errors.get()
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

/// A value and its path.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
    pub(super) report: &'a Report<'a>,
}

/// The entries of a mapping.
pub(super) struct Fields<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Field<'a> {
    pub(super) const fn new(node: &'a Node, path: String, report: &'a Report<'a>) -> Self {
        Self { node, path, report }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.report.place(self.node.spot)
    }

    /// Tells an error here.
    pub(super) fn error(&self, code: &'static str, message: impl Into<String>) {
        self.report.error(self.node.spot, &self.path, code, message.into());
    }

    /// Tells an error here, and what to do about it.
    pub(super) fn error_hint(
        &self,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let told = Diagnostic::error(&self.place(), &self.path, code, message.into());
        self.report.tell(told.hint(hint));
    }

    /// Tells a warning here.
    pub(super) fn warning(
        &self,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let told = Diagnostic::error(&self.place(), &self.path, code, message.into());
        self.report.tell(told.warning().hint(hint));
    }

    /// The place of a byte of this scalar's value.
    pub(super) fn inside(&self, offset: usize) -> Place {
        self.report.place(inner_place(self.report.text, self.node, offset))
    }

    fn wrong_type(&self, expected: &str) {
        let message = format!("expected {expected}, found {}", self.node.kind());
        let told = Diagnostic::error(&self.place(), &self.path, "wrong-type", message);
        let hint = match (&self.node.content, expected) {
            (Content::Scalar { text, style: Style::Plain }, "a text") if !self.node.is_null() => {
                format!("write \"{text}\"")
            }
            (Content::Scalar { text, .. }, "a number") if text.parse::<Decimal>().is_ok() => {
                format!("write {text} without quotes")
            }
            _ => String::new(),
        };
        self.report.tell(told.hint(hint));
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        if self.node.kind() != "a text" {
            self.wrong_type("a text");
            return None;
        }
        self.node.text()
    }

    /// A text that says something.
    pub(super) fn word(&self) -> Option<&'a str> {
        let text = self.text()?.trim();
        if text.is_empty() {
            self.error("empty", "the text is empty");
            return None;
        }
        Some(text)
    }

    /// A number as it is written.
    pub(super) fn decimal(&self) -> Option<Decimal> {
        if self.node.kind() != "a number" {
            self.wrong_type("a number");
            return None;
        }
        let parsed = self.node.text().unwrap_or_default().parse();
        parsed.map_err(|error| self.error("bad-number", format!("{error}"))).ok()
    }

    /// A number for comparisons.
    pub(super) fn float(&self) -> Option<f64> {
        if self.node.kind() != "a number" {
            self.wrong_type("a number");
            return None;
        }
        let text = self.node.text().unwrap_or_default();
        let value = match text.trim_start_matches('+') {
            ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            plain => plain.parse().ok(),
        };
        if value.is_none() {
            self.error("bad-number", format!("{text} is not a number that samples can have"));
        }
        value
    }

    /// `true` or `false`.
    pub(super) fn truth(&self) -> Option<bool> {
        if self.node.kind() != "a truth value" {
            self.wrong_type("true or false");
            return None;
        }
        Some(self.node.text().is_some_and(|text| text.eq_ignore_ascii_case("true")))
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("{text:?} is not one of {}", list.join(", "));
            let meant = nearest(text, list.iter().copied());
            let hint = meant.map(|word| format!("did you mean {word}?")).unwrap_or_default();
            self.error_hint("bad-value", message, hint);
        }
        found
    }

    /// A list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Content::List(items) = &self.node.content else {
            self.wrong_type("a list");
            return None;
        };
        let items = items.iter().enumerate();
        Some(
            items
                .map(|(i, node)| Field::new(node, format!("{}[{i}]", self.path), self.report))
                .collect(),
        )
    }

    /// A list of texts.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        let items = self.list()?;
        let words: Vec<_> = items.iter().map(|item| item.word().map(str::to_owned)).collect();
        words.into_iter().collect()
    }

    /// A mapping.
    pub(super) fn fields(&self) -> Option<Fields<'a>> {
        let Content::Map(entries) = &self.node.content else {
            self.wrong_type("a mapping");
            return None;
        };
        Some(Fields { field: self.clone(), entries, asked: RefCell::new(BTreeSet::new()) })
    }

    /// All entries of a mapping with free keys.
    pub(super) fn pairs(&self) -> Option<Vec<(&'a Entry, Self)>> {
        let Content::Map(entries) = &self.node.content else {
            self.wrong_type("a mapping");
            return None;
        };
        let field = |entry: &'a Entry| {
            Field::new(&entry.value, joined(&self.path, &entry.key), self.report)
        };
        Some(entries.iter().map(|entry| (entry, field(entry))).collect())
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Fields<'a> {
    /// The mapping itself.
    pub(super) const fn all(&self) -> &Field<'a> {
        &self.field
    }

    /// The value of a key, unless it is absent or nothing.
    pub(super) fn get(&self, name: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().insert(name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        if entry.value.is_null() {
            return None;
        }
        Some(Field::new(&entry.value, joined(&self.field.path, name), self.field.report))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, name: &'static str) -> Option<Field<'a>> {
        self.need_hint(name, "")
    }

    /// The same with an example.
    pub(super) fn need_hint(&self, name: &'static str, hint: &str) -> Option<Field<'a>> {
        let found = self.get(name);
        if found.is_none() {
            let path = joined(&self.field.path, name);
            let spot = self.key(name).map_or(self.field.node.spot, |entry| entry.spot);
            let message = format!("{name} is missing");
            let told =
                Diagnostic::error(&self.field.report.place(spot), &path, "missing-field", message);
            self.field.report.tell(told.hint(hint));
        }
        found
    }

    /// A key with its place.
    pub(super) fn key(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// Tells an error at a key.
    pub(super) fn error_at_key(&self, name: &str, code: &'static str, message: String, hint: &str) {
        let spot = self.key(name).map_or(self.field.node.spot, |entry| entry.spot);
        let path = joined(&self.field.path, name);
        let told = Diagnostic::error(&self.field.report.place(spot), &path, code, message);
        self.field.report.tell(told.hint(hint));
    }

    /// Tells at a key what is probably not meant.
    pub(super) fn warning_at_key(
        &self,
        name: &str,
        code: &'static str,
        message: String,
        hint: &str,
    ) {
        let spot = self.key(name).map_or(self.field.node.spot, |entry| entry.spot);
        let path = joined(&self.field.path, name);
        let told = Diagnostic::error(&self.field.report.place(spot), &path, code, message);
        self.field.report.tell(told.warning().hint(hint));
    }

    /// Fields that may hold anything.
    pub(super) fn free(&self, name: &'static str) {
        self.asked.borrow_mut().insert(name);
    }

    /// Tells the keys that nobody asked for.
    pub(super) fn finish(&self) {
        for (entry, hint) in self.unknown() {
            let path = joined(&self.field.path, &entry.key);
            let message = format!("the field {:?} is not known here", entry.key);
            let told = Diagnostic::error(
                &self.field.report.place(entry.spot),
                &path,
                "unknown-field",
                message,
            );
            self.field.report.tell(told.hint(hint));
        }
    }

    /// Tells the keys that nobody asked for, as something that is not used.
    pub(super) fn finish_ignoring(&self, whose: &str) {
        for (entry, _) in self.unknown() {
            let path = joined(&self.field.path, &entry.key);
            let message = format!("the field {:?} of {whose} is not used", entry.key);
            let told =
                Diagnostic::error(&self.field.report.place(entry.spot), &path, "not-used", message);
            self.field.report.tell(told.warning());
        }
    }

    fn unknown(&self) -> Vec<(&'a Entry, String)> {
        let asked = self.asked.borrow();
        let unknown = self.entries.iter().filter(|entry| !asked.contains(entry.key.as_str()));
        let hinted = unknown.map(|entry| {
            let known = asked.iter().copied().filter(|name| self.key(name).is_none());
            let meant = nearest(&entry.key, known);
            (entry, meant.map(|name| format!("did you mean {name}?")).unwrap_or_default())
        });
        hinted.collect()
    }
}
