//! The only way to the file system.
//!
//! Owns: the [`Disk`] trait, the operating system's disk ([`OsDisk`]), the simulated one ([`sim`]) and
//! [`Bytes`], what a read gives. Everything above speaks to a `dyn Disk`, so that a test can cut the
//! power between any two operations.
//!
//! Invariants:
//! * A file that is mapped is *sealed*: nobody writes, truncates or renames over it again.
//! * A new name (create, rename, remove, new directory) is durable only after [`Disk::sync_dir`] of its
//!   parent, file contents only after [`DiskFile::sync_data`] or [`DiskFile::sync_all`].
//! * A failed sync is never retried: what was not durable before it may be lost without another error.
//!
//! Threads: none of its own; every method may be called from any thread.

mod bytes;
mod mmap;
mod os;
pub mod sim;

use std::path::Path;

pub use bytes::Bytes;
pub use os::OsDisk;

use crate::error::Result;

/// One name inside a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Last part of the path; names that are not UTF-8 are not listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Held as long as the lock is: dropping it unlocks.
pub trait DiskLock: Send + Sync {}

/// A file system. All errors are [`crate::Error::Io`] with the operation and the path.
pub trait Disk: Send + Sync + 'static {
    /// Makes a new file for writing; fails if the name is taken.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>>;
    /// Opens an existing file for writing. Only the log does this, when it recovers.
    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>>;
    /// The whole file, on the heap.
    fn read(&self, path: &Path) -> Result<Bytes>;
    /// `bytes` bytes from `offset`, on the heap; fewer where the file ends.
    fn read_range(&self, path: &Path, offset: u64, bytes: usize) -> Result<Bytes>;
    /// The whole of a *sealed* file, mapped where the disk can map.
    fn map(&self, path: &Path) -> Result<Bytes>;
    /// Gives a file or directory another name, replacing a file that has it; atomic.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Gives a file a second name; fails if that is taken. Atomic: what is there under it is whole.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes a directory and all below it.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;
    /// Makes a directory and its missing ancestors. Not durable: see [`create_dir_durable`].
    fn create_dir_all(&self, path: &Path) -> Result<()>;
    /// What a directory holds, ascending by name.
    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>>;
    /// Whether the name exists.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// Length of a file in bytes.
    fn file_len(&self, path: &Path) -> Result<u64>;
    /// Makes the names inside a directory durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Takes the exclusive lock `path` (a file, made if missing). Fails at once, with
    /// `ErrorKind::WouldBlock` as the cause, when somebody else holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>>;
    /// Bytes that can still be written to the file system of `path`.
    fn free_bytes(&self, path: &Path) -> Result<u64>;
}

/// A file open for writing.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes the contents durable, and of the metadata what is needed to read them.
    fn sync_data(&self) -> Result<()>;
    /// Makes contents and metadata durable. The name still needs [`Disk::sync_dir`].
    fn sync_all(&self) -> Result<()>;
    /// Reserves space for the first `bytes` bytes, which read as zeros where nothing was written:
    /// later writes inside cannot fail for want of space.
    fn preallocate(&self, bytes: u64) -> Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> Result<()>;
}

/// Makes a directory and its missing ancestors, and makes each new name durable. Its own name is made
/// durable even if it exists: a process may have been killed between making and syncing it. So that this
/// holds for every level, call it at each start for each directory of the data tree, from the top.
pub fn create_dir_durable(disk: &dyn Disk, path: &Path) -> Result<()> {
    let mut missing = Vec::new();
    let mut at = Some(path);
    while let Some(dir) = at.filter(|dir| !dir.as_os_str().is_empty()) {
        if disk.exists(dir)? {
            break;
        }
        missing.push(dir);
        at = dir.parent();
    }
    disk.create_dir_all(path)?;
    if missing.is_empty() {
        missing.push(path);
    }
    for dir in missing.iter().rev() {
        disk.sync_dir(parent_of(dir))?;
    }
    Ok(())
}

/// The directory that holds the name `path`.
#[must_use]
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ if path.is_absolute() => path,
        _ => Path::new("."),
    }
}
