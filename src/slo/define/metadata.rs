//! `metadata`: names, labels and annotations.

use std::collections::BTreeMap;

use super::reader::{Field, Fields, Report};
use crate::slo::definition::Place;
use crate::slo::yaml::Content;

/// Prefix of the annotations that nines reads.
pub(super) const PREFIX: &str = "nines.dev/";
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;

/// What all kinds say of themselves.
pub(super) struct Metadata<'a> {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, Field<'a>>,
    pub(super) place: Place,
}

impl Metadata<'_> {
    /// The annotations as texts.
    pub(super) fn annotation_texts(&self) -> BTreeMap<String, String> {
        let texts = self
            .annotations
            .iter()
            .map(|(key, field)| (key.clone(), field.node.text().unwrap_or_default().to_owned()));
        texts.collect()
    }
}

/// Reads `metadata` of a document whose name becomes part of addresses.
pub(super) fn read<'a>(document: &Fields<'a>) -> Option<Metadata<'a>> {
    let metadata = read_any(document)?;
    let field = document.get("metadata")?.fields()?.get("name")?;
    is_name(&field, &metadata.name).then_some(metadata)
}

/// The same for kinds whose names are only names.
pub(super) fn read_any<'a>(document: &Fields<'a>) -> Option<Metadata<'a>> {
    let fields = document.need("metadata")?.fields()?;
    let name_field = fields.need("name");
    let name = name_field.as_ref().and_then(Field::word);
    let display_name = fields.get("displayName").and_then(|field| field.text());
    let labels = fields.get("labels").map(|field| labels(&field));
    let annotations = fields.get("annotations").map(|field| annotations(&field));
    fields.finish();
    let name = name?.to_owned();
    Some(Metadata {
        display_name: display_name.map_or_else(|| name.clone(), str::to_owned),
        labels: labels.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
        place: name_field?.place(),
        name,
    })
}

fn is_name(field: &Field<'_>, name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let good = name.len() <= NAME_CHARS_MAX
        && name.chars().all(inner)
        && outer(name.chars().next())
        && outer(name.chars().next_back());
    if !good {
        let message = format!("{name:?} is not a name");
        let hint = "use up to 255 of a-z A-Z 0-9 - _ . and begin and end with a letter or digit";
        field.error_hint("bad-name", message, hint);
    }
    good
}

/// Labels; several values of one become one text with commas.
pub(super) fn labels(field: &Field<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (entry, value) in field.pairs().unwrap_or_default() {
        let text = match &value.node.content {
            Content::List(_) => value.words().map(|words| words.join(",")),
            _ => value.text().map(str::to_owned),
        };
        if let Some(text) = text {
            labels.insert(entry.key.clone(), text);
        }
    }
    labels
}

fn annotations<'a>(field: &Field<'a>) -> BTreeMap<String, Field<'a>> {
    let pairs = field.pairs().unwrap_or_default().into_iter();
    let texts = pairs.filter(|(_, value)| value.text().is_some());
    texts.map(|(entry, value)| (entry.key.clone(), value)).collect()
}

/// The annotations of nines of a document that has none.
pub(super) fn refuse_annotations(metadata: &Metadata<'_>, known: &[&str], report: &Report<'_>) {
    for (name, field) in &metadata.annotations {
        let Some(own) = name.strip_prefix(PREFIX) else { continue };
        if known.contains(&own) {
            continue;
        }
        let meant = super::nearest::nearest(own, known.iter().copied());
        let hint = meant.map(|word| format!("did you mean {PREFIX}{word}?")).unwrap_or_default();
        let message = format!("the annotation {name:?} is not known here");
        let told = crate::slo::diagnostic::Diagnostic::error(
            &field.place(),
            &field.path,
            "unknown-field",
            message,
        );
        report.tell(told.hint(hint));
    }
}
