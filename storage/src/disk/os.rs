//! The operating system's disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Bytes, DirEntry, Disk, DiskFile, DiskLock, mmap};
use crate::error::{Error, Result};

/// Zeros are written in pieces of this size where `fallocate` is not supported.
const ZEROS_BYTES: usize = 1 << 20;

/// The disk of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

struct OsFile {
    file: File,
    path: PathBuf,
}

struct OsLock {
    _file: File,
}

impl DiskLock for OsLock {}

fn at<T>(op: &'static str, path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|cause| Error::io(op, path, cause))
}

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = at("create", path, OpenOptions::new().write(true).create_new(true).open(path))?;
        Ok(Box::new(OsFile { file, path: path.to_owned() }))
    }

    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = at("open for writing", path, OpenOptions::new().write(true).open(path))?;
        Ok(Box::new(OsFile { file, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> Result<Bytes> {
        at("read", path, fs::read(path)).map(Bytes::from)
    }

    fn read_range(&self, path: &Path, offset: u64, bytes: usize) -> Result<Bytes> {
        let file = at("open", path, File::open(path))?;
        let len = at("stat", path, file.metadata())?.len();
        let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut out = vec![0; bytes.min(left)];
        at("read", path, file.read_exact_at(&mut out, offset))?;
        Ok(Bytes::from(out))
    }

    fn map(&self, path: &Path) -> Result<Bytes> {
        let file = at("open", path, File::open(path))?;
        at("map", path, mmap::SealedMap::new(&file)).map(Bytes::mapped)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        at("rename", from, fs::rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        at("link", to, fs::hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        at("remove", path, fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        at("remove directory", path, fs::remove_dir_all(path))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        at("create directory", path, fs::create_dir_all(path))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in at("list", path, fs::read_dir(path))? {
            let entry = at("list", path, entry)?;
            let kind = at("list", path, entry.file_type())?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: kind.is_dir() });
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        at("stat", path, path.try_exists())
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        at("stat", path, fs::metadata(path)).map(|metadata| metadata.len())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        at("sync directory", path, File::open(path).and_then(|dir| dir.sync_all()))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>> {
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = at("open lock", path, open)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsLock { _file: file })),
            Err(TryLockError::WouldBlock) => {
                Err(Error::io("lock", path, io::ErrorKind::WouldBlock.into()))
            }
            Err(TryLockError::Error(cause)) => Err(Error::io("lock", path, cause)),
        }
    }

    fn free_bytes(&self, path: &Path) -> Result<u64> {
        at("statvfs", path, mmap::free_bytes(path))
    }
}

impl OsFile {
    /// Writes zeros behind the present end, for file systems that cannot reserve.
    fn extend_with_zeros(&self, bytes: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut offset = self.file.metadata()?.len();
        while offset < bytes {
            let left = usize::try_from(bytes - offset).unwrap_or(ZEROS_BYTES);
            let piece = zeros.get(..left.min(ZEROS_BYTES)).unwrap_or(&zeros);
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }
}

impl DiskFile for OsFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        at("write", &self.path, self.file.write_all_at(bytes, offset))
    }

    fn sync_data(&self) -> Result<()> {
        at("fdatasync", &self.path, self.file.sync_data())
    }

    fn sync_all(&self) -> Result<()> {
        at("fsync", &self.path, self.file.sync_all())
    }

    fn preallocate(&self, bytes: u64) -> Result<()> {
        match mmap::reserve(&self.file, bytes) {
            Err(cause)
                if cause.kind() == io::ErrorKind::Unsupported
                    || matches!(cause.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) =>
            {
                at("preallocate", &self.path, self.extend_with_zeros(bytes))
            }
            answer => at("preallocate", &self.path, answer),
        }
    }

    fn set_len(&self, bytes: u64) -> Result<()> {
        at("set length", &self.path, self.file.set_len(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn files_are_written_read_mapped_renamed_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let file = OsDisk.create(&a).unwrap();
        assert!(OsDisk.create(&a).is_err(), "a taken name");
        file.preallocate(3_000_000).unwrap();
        file.write_at(5, b"hello").unwrap();
        file.sync_data().unwrap();
        assert_eq!(OsDisk.file_len(&a).unwrap(), 3_000_000);
        file.set_len(10).unwrap();
        file.sync_all().unwrap();
        let linked = dir.path().join("linked");
        OsDisk.link(&a, &linked).unwrap();
        assert!(OsDisk.link(&a, &linked).is_err(), "a taken name");
        OsDisk.rename(&a, &b).unwrap();
        assert_eq!(&*OsDisk.read(&linked).unwrap(), b"\0\0\0\0\0hello");
        OsDisk.remove_file(&linked).unwrap();
        OsDisk.sync_dir(dir.path()).unwrap();
        let mapped = OsDisk.map(&b).unwrap();
        assert!(mapped.is_mapped());
        assert_eq!(&*mapped, b"\0\0\0\0\0hello");
        assert_eq!(&*OsDisk.read(&b).unwrap(), &*mapped);
        assert_eq!(&*OsDisk.read_range(&b, 6, 3).unwrap(), b"ell");
        assert_eq!(&*OsDisk.read_range(&b, 8, 30).unwrap(), b"lo");
        assert_eq!(&*OsDisk.read_range(&b, 80, 30).unwrap(), b"");
        OsDisk.create_dir_all(&dir.path().join("c/d")).unwrap();
        let listed = OsDisk.list_dir(dir.path()).unwrap();
        let expected = [("b", false), ("c", true)]
            .map(|(name, is_dir)| DirEntry { name: name.to_owned(), is_dir });
        assert_eq!(listed, expected);
        OsDisk.remove_dir_all(&dir.path().join("c")).unwrap();
        OsDisk.remove_file(&b).unwrap();
        assert_eq!(&*mapped, b"\0\0\0\0\0hello", "a removed file stays mapped");
        assert!(!OsDisk.exists(&b).unwrap());
        assert!(OsDisk.free_bytes(dir.path()).unwrap() > 0);
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        OsDisk.create(&dir.path().join("empty")).unwrap();
        assert!(OsDisk.map(&dir.path().join("empty")).unwrap().is_empty());
    }

    #[test]
    fn zeros_stand_in_for_a_reservation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zeros");
        let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        let file = OsFile { file, path: path.clone() };
        file.extend_with_zeros(ZEROS_BYTES as u64 + 17).unwrap();
        let bytes = OsDisk.read(&path).unwrap();
        assert_eq!(bytes.len(), ZEROS_BYTES + 17);
        assert_eq!(bytes.get(..4), Some(&b"kept"[..]));
        assert!(bytes.iter().skip(4).all(|byte| *byte == 0));
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = OsDisk.lock(&path).unwrap();
        let refused = OsDisk.lock(&path).err().unwrap();
        assert!(
            matches!(&refused, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::WouldBlock)
        );
        drop(held);
        OsDisk.lock(&path).unwrap();
    }
}
