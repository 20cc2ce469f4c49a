//! What was imported into a tenant already: the file `imports.json`, so that an import that was broken off goes on
//! where it was, and one that is repeated does nothing twice.
//!
//! The file only saves work: without it everything is imported again, which changes no answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::crc32;
use crate::disk::{Disk, parent_of};
use crate::error::{Corruption, Error, Result};

/// Version of the file.
pub const IMPORTS_VERSION: u32 = 1;
const FILE: &str = "imports.json";

/// How far the import of one source came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportState {
    /// The first day that is not imported yet, counted from 1970-01-01. The days before are whole.
    pub next_day: i64,
    /// Whether all of it is imported.
    pub whole: bool,
}

/// See the module.
pub struct Imports {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    sources: BTreeMap<String, ImportState>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    version: u32,
    sources: BTreeMap<String, ImportState>,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    value: Value,
    crc32: u32,
}

impl Value {
    fn crc32(&self) -> u32 {
        // Numbers and texts: this cannot fail.
        crc32(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Imports {
    /// Reads the file of the tenant whose folder is `dir`; there need not be one.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let mut sources = BTreeMap::new();
        if disk.exists(&path)? {
            let bad = |what| Error::from(Corruption::new(&path, 0, what));
            let sealed: Sealed = serde_json::from_slice(&disk.read(&path)?)
                .map_err(|_| bad("the file of imports is not what is written there"))?;
            if sealed.crc32 != sealed.value.crc32() {
                return Err(bad("checksum of the file of imports"));
            }
            if sealed.value.version != IMPORTS_VERSION {
                return Err(bad("version of the file of imports is not known"));
            }
            sources = sealed.value.sources;
        }
        Ok(Self { disk: Arc::clone(disk), path, sources })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far the import of `source` came; `None` when it was never begun.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<ImportState> {
        self.sources.get(source).copied()
    }

    /// Takes `source` as one that was never imported, until the next change is remembered.
    pub fn forget(&mut self, source: &str) {
        self.sources.remove(source);
    }

    /// Remembers how far the import of `source` came; durable on return.
    pub fn set(&mut self, source: &str, state: ImportState) -> Result<()> {
        self.sources.insert(source.to_owned(), state);
        let value = Value { version: IMPORTS_VERSION, sources: self.sources.clone() };
        let sealed = Sealed { crc32: value.crc32(), value };
        let mut text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
        text.push(b'\n');
        let unfinished = self.path.with_extension("json.tmp");
        if self.disk.exists(&unfinished)? {
            self.disk.remove_file(&unfinished)?;
        }
        let file = self.disk.create(&unfinished)?;
        file.write_at(0, &text)?;
        file.sync_all()?;
        self.disk.rename(&unfinished, &self.path)?;
        self.disk.sync_dir(parent_of(&self.path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn what_was_imported_is_known_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let mut imports = Imports::open(&disk, dir.path()).unwrap();
        assert_eq!(imports.of("a"), None);
        imports.set("a", ImportState { next_day: 7, whole: false }).unwrap();
        imports.set("b", ImportState { next_day: 9, whole: true }).unwrap();
        imports.set("a", ImportState { next_day: 8, whole: false }).unwrap();
        std::fs::write(dir.path().join("imports.json.tmp"), "torn").unwrap();
        let mut again = Imports::open(&disk, dir.path()).unwrap();
        assert_eq!(again.of("a"), Some(ImportState { next_day: 8, whole: false }));
        assert_eq!(again.of("b"), Some(ImportState { next_day: 9, whole: true }));
        again.set("c", ImportState { next_day: 1, whole: false }).unwrap();

        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"next_day\": 8", "\"next_day\": 9")).unwrap();
        let error = Imports::open(&disk, dir.path()).err().unwrap();
        assert!(error.to_string().contains("imports.json"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(Imports::open(&disk, dir.path()).is_err());
    }
}
