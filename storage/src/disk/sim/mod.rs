//! A simulated disk that loses at a power cut what POSIX allows to be lost.
//!
//! Owns: per file what is durable and which writes are pending; for the tree which names are durable and
//! which are pending. [`SimDisk::crash`] gives the disk as it may be found after the power came back:
//! * of each file's pending writes, any part: writes are lost whole, in 512-byte sectors, or not at all,
//!   and a later one may survive an earlier one; lengths likewise;
//! * of the pending names (create, rename, remove, new directory) any part, a rename as a whole;
//! * a write whose sync failed stays readable, but no later sync makes it durable (as on Linux).
//!
//! Faults: [`SimDisk::fail_from_op`] lets the n-th changing operation fail, [`SimDisk::set_capacity`]
//! limits the space. All is deterministic by the seeds given. Made for tests; it is slow for large files.

mod rng;
mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use rng::SimRng;

use state::{Change, Inode, NameChange, Node, State, missing};

use super::{Bytes, DirEntry, Disk, DiskFile, DiskLock, parent_of};
use crate::error::{Error, Result};

/// Smallest unit that a disk writes as a whole.
pub const SECTOR_BYTES: usize = 512;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device failed (EIO).
    Eio,
    /// The disk is full (ENOSPC).
    Enospc,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Eio => io::Error::from_raw_os_error(libc::EIO),
            Self::Enospc => io::Error::from_raw_os_error(libc::ENOSPC),
        }
    }
}

/// The simulated disk; a clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk: this one as it may be found after a power cut now.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.0.lock();
        let mut rng = SimRng::new(seed);
        let names = state.surviving_names(&mut rng);
        let inodes = state.inodes.iter().map(|inode| inode.survive(&mut rng)).collect();
        Self(Arc::new(Mutex::new(State {
            inodes,
            now: names.clone(),
            durable: names,
            capacity: state.capacity,
            ..State::default()
        })))
    }

    /// Another disk: this one as a new process finds it after the old one was killed.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            inodes: state.inodes.clone(),
            now: state.now.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            capacity: state.capacity,
            ..State::default()
        })))
    }

    /// Changing operations done so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Lets the changing operation number `op` (see [`SimDisk::ops`]; the first is 1) fail, and all
    /// later ones too when `lasting`.
    pub fn fail_from_op(&self, op: u64, fault: Fault, lasting: bool) {
        self.0.lock().fault = Some((op, fault, lasting));
    }

    /// Ends what [`SimDisk::fail_from_op`] began.
    pub fn stop_failing(&self) {
        self.0.lock().fault = None;
    }

    /// Limits the bytes that files may take together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes that files take together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Flips the bits of `mask` in one byte, durably: bit rot. False if there is no such byte.
    #[must_use]
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) -> bool {
        let mut state = self.0.lock();
        let Ok(inode) = state.file(path) else { return false };
        let Some(inode) = state.inodes.get_mut(inode) else { return false };
        let mut found = false;
        for data in [&mut inode.now, &mut inode.durable] {
            if let Some(byte) = data.get_mut(offset) {
                *byte ^= mask;
                found = true;
            }
        }
        found
    }

    fn change(
        &self,
        op: &'static str,
        path: &Path,
        change: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> Result<()> {
        let mut state = self.0.lock();
        let answer = state.turn().and_then(|()| change(&mut state));
        answer.map_err(|cause| Error::io(op, path, cause))
    }

    fn look<T>(
        &self,
        op: &'static str,
        path: &Path,
        look: impl FnOnce(&State) -> io::Result<T>,
    ) -> Result<T> {
        look(&self.0.lock()).map_err(|cause| Error::io(op, path, cause))
    }

    fn handle_of(&self, path: &Path, inode: usize) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, path: path.to_owned() })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let mut inode = 0;
        self.change("create", path, |state| {
            if state.now.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !state.has_dir(parent_of(path)) {
                return Err(missing());
            }
            inode = state.inodes.len();
            state.inodes.push(Inode::default());
            state.change_name(NameChange::Add { path: path.to_owned(), node: Node::File(inode) });
            Ok(())
        })?;
        Ok(self.handle_of(path, inode))
    }

    fn open_write(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let inode = self.look("open for writing", path, |state| state.file(path))?;
        Ok(self.handle_of(path, inode))
    }

    fn read(&self, path: &Path) -> Result<Bytes> {
        self.read_range(path, 0, usize::MAX)
    }

    fn read_range(&self, path: &Path, offset: u64, bytes: usize) -> Result<Bytes> {
        self.look("read", path, |state| {
            let inode = state.file(path)?;
            let data = state.inodes.get(inode).map_or(&[][..], |inode| &inode.now);
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
            let to = from.saturating_add(bytes).min(data.len());
            Ok(Bytes::from(data.get(from..to).unwrap_or_default().to_vec()))
        })
    }

    fn map(&self, path: &Path) -> Result<Bytes> {
        self.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.change("rename", from, |state| {
            let node = *state.now.get(from).ok_or_else(missing)?;
            if !state.has_dir(parent_of(to)) {
                return Err(missing());
            }
            if node == Node::Dir && state.now.contains_key(to) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (from, to) = (from.to_owned(), to.to_owned());
            state.change_name(NameChange::Rename { from, to, node });
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.change("link", to, |state| {
            let node = Node::File(state.file(from)?);
            if state.now.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !state.has_dir(parent_of(to)) {
                return Err(missing());
            }
            state.change_name(NameChange::Add { path: to.to_owned(), node });
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.change("remove", path, |state| {
            state.file(path)?;
            state.change_name(NameChange::Remove { path: path.to_owned() });
            Ok(())
        })
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.change("remove directory", path, |state| {
            if state.now.get(path) != Some(&Node::Dir) {
                return Err(missing());
            }
            // One pending change per name: a crash may leave any part of the tree behind.
            let mut below: Vec<PathBuf> =
                state.now.keys().filter(|name| name.starts_with(path)).cloned().collect();
            below.reverse();
            for path in below {
                state.change_name(NameChange::Remove { path });
            }
            Ok(())
        })
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.change("create directory", path, |state| {
            let mut missing: Vec<&Path> =
                path.ancestors().take_while(|dir| !state.has_dir(dir)).collect();
            missing.reverse();
            for dir in missing {
                if state.now.contains_key(dir) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                state.change_name(NameChange::Add { path: dir.to_owned(), node: Node::Dir });
            }
            Ok(())
        })
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.look("list", path, |state| {
            if !state.has_dir(path) {
                return Err(missing());
            }
            let entries = state.now.iter().filter(|(name, _)| parent_of(name) == path);
            Ok(entries
                .filter_map(|(name, node)| {
                    let name = name.file_name()?.to_str()?.to_owned();
                    Some(DirEntry { name, is_dir: *node == Node::Dir })
                })
                .collect())
        })
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.look("stat", path, |state| Ok(state.has_dir(path) || state.now.contains_key(path)))
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        self.look("stat", path, |state| {
            let inode = state.file(path)?;
            Ok(state.inodes.get(inode).map_or(0, |inode| inode.now.len() as u64))
        })
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.change("sync directory", path, |state| {
            if !state.has_dir(path) {
                return Err(missing());
            }
            let State { pending, durable, .. } = state;
            pending.retain(|change| {
                let ours = change.is_in(path);
                if ours {
                    change.apply(durable);
                }
                !ours
            });
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>> {
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Err(Error::io("lock", path, io::ErrorKind::WouldBlock.into()));
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn free_bytes(&self, _path: &Path) -> Result<u64> {
        let state = self.0.lock();
        Ok(state.capacity.map_or(u64::MAX, |all| all.saturating_sub(state.used_bytes())))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let answer = self.disk.0.lock().write(self.inode, offset, bytes);
        answer.map_err(|cause| Error::io("write", &self.path, cause))
    }

    fn sync_data(&self) -> Result<()> {
        let answer = self.disk.0.lock().sync(self.inode);
        answer.map_err(|cause| Error::io("fdatasync", &self.path, cause))
    }

    fn sync_all(&self) -> Result<()> {
        let answer = self.disk.0.lock().sync(self.inode);
        answer.map_err(|cause| Error::io("fsync", &self.path, cause))
    }

    fn preallocate(&self, bytes: u64) -> Result<()> {
        self.disk.change("preallocate", &self.path, |state| {
            state.check_space(self.inode, bytes)?;
            let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
            if let Some(inode) = state.inodes.get_mut(self.inode) {
                inode.reserved = inode.reserved.max(bytes);
            }
            if state.inodes.get(self.inode).is_some_and(|inode| inode.now.len() < len) {
                state.change_file(self.inode, Change::SetLen(len));
            }
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> Result<()> {
        self.disk.change("set length", &self.path, |state| {
            state.check_space(self.inode, bytes)?;
            let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
            if let Some(inode) = state.inodes.get_mut(self.inode) {
                inode.reserved = inode.reserved.min(bytes);
            }
            state.change_file(self.inode, Change::SetLen(len));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        super::super::create_dir_durable(&disk, Path::new("/d")).unwrap();
        disk
    }

    /// How often each answer of `ask` is seen after 300 different power cuts.
    fn outcomes<T: Ord>(disk: &SimDisk, ask: impl Fn(&SimDisk) -> T) -> BTreeMap<T, u32> {
        let mut seen = BTreeMap::new();
        for seed in 0..300 {
            *seen.entry(ask(&disk.crash(seed))).or_default() += 1;
        }
        seen
    }

    #[test]
    fn a_name_is_durable_only_after_its_directory_was_synced() {
        let disk = disk();
        disk.create(&path("a")).unwrap().sync_all().unwrap();
        assert_eq!(outcomes(&disk, |disk| disk.exists(&path("a")).unwrap()).len(), 2);
        disk.sync_dir(Path::new("/d")).unwrap();
        let seen = outcomes(&disk, |disk| disk.exists(&path("a")).unwrap());
        assert_eq!(seen, BTreeMap::from([(true, 300)]));
        disk.remove_file(&path("a")).unwrap();
        assert_eq!(outcomes(&disk, |disk| disk.exists(&path("a")).unwrap()).len(), 2);
    }

    #[test]
    fn a_directory_takes_its_files_with_it() {
        let disk = disk();
        disk.create_dir_all(&path("x/y")).unwrap();
        disk.create(&path("x/y/f")).unwrap();
        disk.sync_dir(&path("x/y")).unwrap();
        disk.sync_dir(&path("x")).unwrap();
        let seen = outcomes(&disk, |disk| {
            (disk.exists(&path("x")).unwrap(), disk.exists(&path("x/y/f")).unwrap())
        });
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [(false, false), (true, true)]);
        disk.remove_dir_all(&path("x")).unwrap();
        assert!(disk.list_dir(Path::new("/d")).unwrap().is_empty());
    }

    #[test]
    fn pending_writes_are_lost_in_any_order_and_by_sector() {
        let disk = disk();
        let file = disk.create(&path("f")).unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(0, &[2; 1024]).unwrap();
        file.write_at(1024, &[3; 10]).unwrap();
        let seen = outcomes(&disk, |disk| {
            let bytes = disk.read(&path("f")).unwrap();
            assert!(
                bytes.chunks(SECTOR_BYTES).all(|sector| sector.iter().all(|b| *b == sector[0]))
            );
            (bytes[0], bytes[512], bytes.len())
        });
        for expected in [(1, 1, 1024), (1, 1, 1034), (2, 1, 1024), (1, 2, 1034), (2, 2, 1034)] {
            assert!(seen.contains_key(&expected), "{expected:?} is possible: {seen:?}");
        }
        file.sync_data().unwrap();
        let seen = outcomes(&disk, |disk| disk.read(&path("f")).unwrap().to_vec());
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn a_rename_is_atomic() {
        let disk = disk();
        for (name, content) in [("old", b"old"), ("new", b"new")] {
            let file = disk.create(&path(name)).unwrap();
            file.write_at(0, content).unwrap();
            file.sync_all().unwrap();
        }
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.rename(&path("new"), &path("old")).unwrap();
        let seen = outcomes(&disk, |disk| {
            (disk.read(&path("old")).unwrap().to_vec(), disk.exists(&path("new")).unwrap())
        });
        let expected = [(b"new".to_vec(), false), (b"old".to_vec(), true)];
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_failed_sync_left_is_readable_and_never_durable() {
        let disk = disk();
        let file = disk.create(&path("f")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(0, b"lost").unwrap();
        disk.fail_from_op(disk.ops() + 1, Fault::Eio, false);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(&*disk.read(&path("f")).unwrap(), b"lost");
        assert!(outcomes(&disk, |disk| disk.read(&path("f")).unwrap().len()).contains_key(&0));
        assert_eq!(&*disk.kill().read(&path("f")).unwrap(), b"lost");
    }

    #[test]
    fn space_is_bounded_and_reserved_space_is_kept() {
        let disk = disk();
        disk.set_capacity(Some(1000));
        let file = disk.create(&path("f")).unwrap();
        file.preallocate(900).unwrap();
        assert_eq!(disk.free_bytes(Path::new("/d")).unwrap(), 100);
        let other = disk.create(&path("g")).unwrap();
        let full = other.write_at(0, &[1; 101]).unwrap_err();
        assert_eq!(full.kind(), crate::ErrorKind::Unavailable);
        file.write_at(0, &[1; 900]).unwrap();
        disk.remove_file(&path("f")).unwrap();
        other.write_at(0, &[1; 1000]).unwrap();
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let disk = disk();
        let held = disk.lock(&path("LOCK")).unwrap();
        assert!(disk.lock(&path("LOCK")).is_err());
        drop(held);
        disk.lock(&path("LOCK")).unwrap();
    }
}
