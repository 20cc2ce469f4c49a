//! Definitions compared with the series of a running server.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use super::place::Server;
use crate::slo::define::{LIVE_CODES, load_files};
use crate::slo::definition::Place;
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::yaml::TEXT_BYTES_MAX;

/// What does not fit to the series of a server. What else is wrong is told where the files are.
pub(super) fn against(
    server: &str,
    tenant: &str,
    paths: &[PathBuf],
) -> anyhow::Result<Vec<Diagnostic>> {
    let joined = Joined::new(&load_files(paths)?);
    anyhow::ensure!(
        joined.text.len() <= TEXT_BYTES_MAX,
        "the files have more than {TEXT_BYTES_MAX} bytes together, which a server does not take: compare some of them at a time"
    );
    let told = Server::new(server, tenant)?.validate(joined.text.clone())?;
    let told = told["diagnostics"].as_array().context("the server tells no diagnostics")?;
    Ok(told.iter().filter_map(|one| joined.diagnostic(one)).collect())
}

/// Texts of files behind each other, and where each begins.
struct Joined {
    text: String,
    /// The line before the first one, and the file.
    begins: Vec<(usize, String)>,
}

impl Joined {
    fn new(files: &[(String, String)]) -> Self {
        let mut joined = Self { text: String::new(), begins: Vec::new() };
        let mut lines = 0;
        for (name, text) in files {
            joined.text.push_str("---\n");
            lines += 1;
            joined.begins.push((lines, name.clone()));
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            joined.text.push_str(text);
            if !text.ends_with('\n') {
                joined.text.push('\n');
            }
            lines += text.lines().count().max(1);
        }
        joined
    }

    /// What a server tells of this text, at its place in the file, if it is about series.
    fn diagnostic(&self, told: &Value) -> Option<Diagnostic> {
        let text = |name: &str| told[name].as_str().unwrap_or_default();
        let number = |name: &str| told[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let code = LIVE_CODES.into_iter().find(|code| *code == text("code"))?;
        let (line, column) = (number("line")?, number("column")?);
        let (before, file) = self.begins.iter().rev().find(|(before, _)| *before < line)?;
        let place = Place { file: file.clone(), line: line - before, column };
        let one = Diagnostic::error(&place, text("path"), code, text("message").to_owned());
        let one = one.hint(text("hint"));
        Some(if told["severity"] == serde_json::json!(Severity::Error) {
            one
        } else {
            one.warning()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_those_of_their_files() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [
            file("a", "\u{feff}a1\na2"),
            file("empty", ""),
            file("b", "b1\r\nb2\r\n"),
            file("c", "c1\n\n"),
            file("d", "d1"),
        ];
        let joined = Joined::new(&files);
        let lines: Vec<&str> = joined.text.lines().collect();
        for (found, text) in lines.iter().enumerate().filter(|(_, text)| text.len() == 2) {
            let told = json!({"line": found + 1, "column": 7, "code": "no-series", "severity": "warning", "path": "p", "message": "m", "hint": "h"});
            let one = joined.diagnostic(&told).unwrap();
            assert_eq!(format!("{}{}", one.file, one.line), *text);
            assert_eq!((one.severity, one.column, one.hint.as_str()), (Severity::Warning, 7, "h"));
        }
        let other = json!({"line": 2, "column": 1, "code": "unknown-field", "severity": "error"});
        assert!(joined.diagnostic(&other).is_none());
    }
}
