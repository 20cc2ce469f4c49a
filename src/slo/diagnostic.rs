//! What is wrong with a document: where, what, and how to mend it. One shape for command line, API and reload.

use serde::Serialize;

use super::definition::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not taken.
    Error,
    /// It is taken, and probably not what was meant.
    Warning,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The field: `spec.objectives[0].target`.
    pub path: String,
    /// Which rule: `target-history-mismatch`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// How to mend it; empty where there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(place: &Place, path: &str, code: &'static str, message: String) -> Self {
        Self {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            code,
            severity: Severity::Error,
            message,
            hint: String::new(),
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl std::fmt::Display for Diagnostic {
    /// `file:line:column: severity: message [code]`, and the hint in a line of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self { file, line, column, path, code, message, hint, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {path}: {message} [{code}]")?;
        if !hint.is_empty() {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
