//! Files of definitions in a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::document::{self, File};
use super::link;
use crate::slo::definition::{Definitions, Place};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::yaml::TEXT_BYTES_MAX;

/// How deep directories are searched.
const DEPTH_MAX: usize = 16;
/// Files that are read at most.
const FILES_MAX: usize = 10_000;
/// Ends of the names of files that are read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What tells that a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

/// Reads the files of a directory: the definitions without errors, and all that is wrong.
///
/// # Errors
/// When the directory cannot be listed.
pub fn load_dir(dir: &Path) -> io::Result<(Definitions, Vec<Diagnostic>)> {
    load_paths(&[dir.to_owned()])
}

/// The same of several directories and files; these may have any name.
///
/// # Errors
/// When one of them is not there, or a directory cannot be listed.
pub fn load_paths(paths: &[PathBuf]) -> io::Result<(Definitions, Vec<Diagnostic>)> {
    let files: Vec<File> = listed(paths)?.iter().map(|path| read(path)).collect();
    let linked = link::link(&files.iter().collect::<Vec<_>>(), None);
    let mut diagnostics: Vec<Diagnostic> =
        files.into_iter().flat_map(|file| file.diagnostics).collect();
    diagnostics.extend(linked.diagnostics);
    super::sort(&mut diagnostics);
    Ok((linked.definitions, diagnostics))
}

/// The names and texts of the files that [`load_paths`] reads, without those that cannot be read.
///
/// # Errors
/// When one of them is not there, or a directory cannot be listed.
pub fn load_files(paths: &[PathBuf]) -> io::Result<Vec<(String, String)>> {
    let all = listed(paths)?.into_iter();
    Ok(all.filter_map(|path| Some((path.display().to_string(), read_text(&path).ok()?))).collect())
}

/// Files, and those of directories.
pub(super) fn listed(paths: &[PathBuf]) -> io::Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for path in paths {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if fs::metadata(path).map_err(told)?.is_dir() {
            all.extend(scan(path).map_err(told)?.into_keys());
        } else {
            all.insert(path.clone());
        }
    }
    Ok(all)
}

/// The texts of the files of a directory, with their names.
///
/// # Errors
/// When the directory cannot be listed, or a file cannot be read.
pub fn read_texts(dir: &Path) -> io::Result<Vec<(String, String)>> {
    let told = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let paths = scan(dir).map_err(|error| told(dir, error))?.into_keys();
    let text = |path: PathBuf| match read_text(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(told(&path, error)),
    };
    paths.map(text).collect()
}

/// The files of definitions below a directory; hidden ones are none.
pub(super) fn scan(dir: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut files = BTreeMap::new();
    let mut open = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let is_text =
                path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known));
            let about = match fs::metadata(&path) {
                Ok(about) => about,
                // What of a file cannot be told is told when it is read: it is there.
                Err(error) if is_text && error.kind() != io::ErrorKind::NotFound => {
                    files.insert(path, Stamp { modified: None, length: 0 });
                    continue;
                }
                // What vanishes meanwhile is not there.
                Err(_) => continue,
            };
            if about.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if about.is_file() && is_text {
                files.insert(path, Stamp { modified: about.modified().ok(), length: about.len() });
            }
            if files.len() > FILES_MAX {
                let text = format!("there are more than {FILES_MAX} files below {}", dir.display());
                return Err(io::Error::other(text));
            }
        }
    }
    Ok(files)
}

/// Reads one file; what cannot be read is told.
pub(super) fn read(path: &Path) -> File {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => document::read(&name, &text),
        Err(error) => unreadable(&name, "unreadable", format!("the file cannot be read: {error}")),
    }
}

/// The text of a file, if it is not too long.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > TEXT_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// A file of which nothing is known but that something is wrong.
fn unreadable(name: &str, code: &'static str, message: String) -> File {
    let place = Place { file: name.to_owned(), line: 1, column: 1 };
    File { drafts: Vec::new(), diagnostics: vec![Diagnostic::error(&place, "", code, message)] }
}
