//! Files of others, read piece by piece: they are not mapped, since nobody keeps them from being cut short.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::error::{ImportError, Result};

/// A file whose length does not change.
pub(super) struct SourceFile {
    path: PathBuf,
    bytes: Backing,
    len: u64,
}

enum Backing {
    File(File),
    Memory(Vec<u8>),
}

impl SourceFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|cause| ImportError::source("open", path, cause))?;
        let metadata = file.metadata().map_err(|cause| ImportError::source("stat", path, cause))?;
        Ok(Self { path: path.to_owned(), bytes: Backing::File(file), len: metadata.len() })
    }

    /// A file that is in memory.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { path: path.to_owned(), bytes: Backing::Memory(bytes), len }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads `len` bytes from `offset` into `out`, in place of what it holds. Allocates no more than the file has.
    pub(super) fn read(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(ImportError::damaged(&self.path, offset, "the file is too short"));
        }
        match &self.bytes {
            Backing::File(file) => {
                out.resize(len, 0);
                let read = file.read_exact_at(out, offset);
                read.map_err(|cause| ImportError::source("read", &self.path, cause))
            }
            Backing::Memory(bytes) => {
                out.clear();
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                out.extend_from_slice(bytes.get(from..from + len).unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// The part of a file that was read last.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// What the file holds from `offset` on: `need` bytes at least, unless it ends before. What is not there yet is
    /// read together with what follows, `ahead` bytes in all.
    pub(super) fn get(
        &mut self,
        file: &SourceFile,
        offset: u64,
        need: usize,
        ahead: usize,
    ) -> Result<&[u8]> {
        let rest = usize::try_from(file.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let need = need.min(rest);
        let held = offset.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = match held.filter(|at| self.bytes.len().saturating_sub(*at) >= need) {
            Some(at) if at <= self.bytes.len() => at,
            _ => {
                file.read(offset, need.max(ahead).min(rest), &mut self.bytes)?;
                self.start = offset;
                0
            }
        };
        Ok(self.bytes.get(at..).unwrap_or_default())
    }

    /// Forgets what was read: the next bytes are another file's.
    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.bytes.clear();
    }
}
