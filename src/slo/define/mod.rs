//! From documents to definitions: OpenSLO v1, our own kinds beside it, and older and newer OpenSLO read as v1.
//!
//! A text is read document by document; what is wrong is told with its place, and everything at once. References
//! between documents are looked up when all texts were read (`link`). A document with an error is left out,
//! others stay.

mod agreement;
mod alerts;
pub mod convert;
mod document;
mod edit;
mod exclusion;
mod history;
mod indicator;
mod inputs;
mod link;
mod live;
mod metadata;
mod nearest;
mod objective;
mod people;
mod query;
mod reader;
mod registry;
mod slo;
mod source;
#[cfg(test)]
mod tests;
mod times;
mod trial;

use super::definition::{Definitions, Place};
use super::diagnostic::Diagnostic;
use reader::Field;

pub use edit::{EditError, set_target};
pub use inputs::inputs_policy;
pub use live::{CODES as LIVE_CODES, check as check_live};
pub(super) use nearest::nearest;
pub use registry::{Registry, Snapshot, Watch};
pub use source::{load_dir, load_files, load_paths, read_texts};
pub use trial::{Asking, Expected, Question, Step, Trial, TrialSeries, Want, load_trials};

/// A name in a document that another one should have.
#[derive(Debug, Clone)]
struct Reference {
    name: String,
    place: Place,
    path: String,
}

impl Reference {
    fn read(field: &Field<'_>) -> Option<Self> {
        let name = field.word()?.to_owned();
        Some(Self { name, place: field.place(), path: field.path.clone() })
    }
}

/// Reads texts that have names: the definitions without errors, and all that is wrong, in the order of the texts.
#[must_use]
pub fn load_texts(texts: &[(&str, &str)]) -> (Definitions, Vec<Diagnostic>) {
    let files: Vec<_> = texts.iter().map(|(name, text)| document::read(name, text)).collect();
    let linked = link::link(&files.iter().collect::<Vec<_>>(), None);
    let mut diagnostics: Vec<Diagnostic> =
        files.into_iter().flat_map(|file| file.diagnostics).collect();
    diagnostics.extend(linked.diagnostics);
    sort(&mut diagnostics);
    (linked.definitions, diagnostics)
}

/// By file and place.
fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
}
