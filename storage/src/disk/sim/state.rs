//! What is on the simulated disk: contents and names, durable and pending.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::rng::SimRng;
use super::{Fault, SECTOR_BYTES};
use crate::disk::parent_of;

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) change: Change,
    /// A sync over it failed: no later one helps.
    pub(super) abandoned: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Pending>,
    pub(super) reserved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(usize),
}

/// A pending change of the tree; parents are those whose sync makes it durable.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Add { path: PathBuf, node: Node },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

pub(super) type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) now: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) ops: u64,
    pub(super) fault: Option<(u64, Fault, bool)>,
    pub(super) capacity: Option<u64>,
}

impl Change {
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write_into(data, *offset, bytes),
            Self::SetLen(len) => data.resize(*len, 0),
        }
    }

    /// Applies the part of the change that survives a power cut.
    pub(super) fn apply_survivors(&self, data: &mut Vec<u8>, rng: &mut SimRng, keep_percent: u64) {
        if rng.chance(keep_percent) {
            return self.apply(data);
        }
        let Self::Write { offset, bytes } = self else { return };
        if rng.chance(50) {
            return;
        }
        let keep_sector = rng.below(101);
        let mut at = 0;
        while at < bytes.len() {
            let room = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
            let end = bytes.len().min(at + room);
            if rng.chance(keep_sector) {
                write_into(data, offset + at, bytes.get(at..end).unwrap_or_default());
            }
            at = end;
        }
    }
}

pub(super) fn write_into(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if data.len() < end {
        data.resize(end, 0);
    }
    if let Some(slot) = data.get_mut(offset..end) {
        slot.copy_from_slice(bytes);
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::Add { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Remove { path } => {
                names.retain(|name, _| !name.starts_with(path));
            }
            Self::Rename { from, to, node } => rename_in(names, from, to, *node),
        }
    }

    pub(super) fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Add { path, .. } | Self::Remove { path } => parent_of(path) == dir,
            Self::Rename { from, to, .. } => parent_of(from) == dir || parent_of(to) == dir,
        }
    }
}

pub(super) fn rename_in(names: &mut Names, from: &Path, to: &Path, node: Node) {
    let below: Vec<(PathBuf, Node)> = names
        .iter()
        .filter(|(name, _)| name.starts_with(from) && name.as_path() != from)
        .map(|(name, node)| (name.clone(), *node))
        .collect();
    if names.get(from) == Some(&node) {
        names.remove(from);
    }
    names.insert(to.to_owned(), node);
    for (name, node) in below {
        names.remove(&name);
        if let Ok(rest) = name.strip_prefix(from) {
            names.insert(to.join(rest), node);
        }
    }
}

pub(super) fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    /// Counts a changing operation and fails it if it is its turn.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.ops += 1;
        match self.fault {
            Some((at, fault, lasting)) if self.ops == at || (lasting && self.ops > at) => {
                Err(fault.error())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.now.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(missing()),
        }
    }

    pub(super) fn has_dir(&self, path: &Path) -> bool {
        path.parent().is_none_or(|parent| parent.as_os_str().is_empty())
            || path == Path::new(".")
            || self.now.get(path) == Some(&Node::Dir)
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let inodes: BTreeSet<usize> = self
            .now
            .values()
            .filter_map(|node| if let Node::File(inode) = node { Some(*inode) } else { None })
            .collect();
        inodes.iter().filter_map(|inode| self.inodes.get(*inode)).map(Inode::used).sum()
    }

    /// Refuses growth of `inode` to `bytes` beyond the capacity.
    pub(super) fn check_space(&self, inode: usize, bytes: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let old = self.inodes.get(inode).map_or(0, Inode::used);
        if bytes > old && self.used_bytes() - old + bytes > capacity {
            return Err(Fault::Enospc.error());
        }
        Ok(())
    }

    pub(super) fn change_file(&mut self, inode: usize, change: Change) {
        if let Some(inode) = self.inodes.get_mut(inode) {
            change.apply(&mut inode.now);
            inode.pending.push(Pending { change, abandoned: false });
        }
    }

    pub(super) fn write(&mut self, inode: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = (offset + bytes.len()) as u64;
        let answer = self.turn().and_then(|()| self.check_space(inode, end));
        // A write that fails may have written a part of its bytes.
        let written =
            if answer.is_ok() { bytes } else { bytes.get(..bytes.len() / 2).unwrap_or(&[]) };
        self.change_file(inode, Change::Write { offset, bytes: written.to_vec() });
        answer
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        let answer = self.turn();
        let Some(inode) = self.inodes.get_mut(inode) else { return answer };
        if answer.is_err() {
            inode.pending.iter_mut().for_each(|pending| pending.abandoned = true);
            return answer;
        }
        let Inode { durable, pending, .. } = inode;
        pending.retain(|pending| {
            if !pending.abandoned {
                pending.change.apply(durable);
            }
            pending.abandoned
        });
        Ok(())
    }

    /// The names after a power cut.
    pub(super) fn surviving_names(&self, rng: &mut SimRng) -> Names {
        let mut names = self.durable.clone();
        let keep_percent = [0, 100, 50, 80, 20].get(rng.below(5) as usize).copied().unwrap_or(50);
        for change in &self.pending {
            if rng.chance(keep_percent) {
                change.apply(&mut names);
            }
        }
        // A name whose directory was lost is lost with it.
        let kept: Vec<PathBuf> = names.keys().cloned().collect();
        for path in kept {
            let parent = parent_of(&path);
            let rooted = parent.parent().is_none() || parent == Path::new(".");
            if !rooted && names.get(parent) != Some(&Node::Dir) {
                names.remove(&path);
            }
        }
        names
    }
}

impl Inode {
    pub(super) fn used(&self) -> u64 {
        self.reserved.max(self.now.len() as u64)
    }

    pub(super) fn survive(&self, rng: &mut SimRng) -> Self {
        let mut data = self.durable.clone();
        let keep_percent = [0, 100, 50, 80, 20].get(rng.below(5) as usize).copied().unwrap_or(50);
        for pending in &self.pending {
            pending.change.apply_survivors(&mut data, rng, keep_percent);
        }
        Self { now: data.clone(), reserved: data.len() as u64, durable: data, pending: Vec::new() }
    }
}
