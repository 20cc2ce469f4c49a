//! The blocks of a database as they are found at start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::meta::{BlockId, BlockMeta};
use super::reader::Block;
use super::{META_FILE, UNFINISHED};
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};
use crate::model::TimeRange;

/// A block that could not be opened. It stays where it is.
#[derive(Debug)]
pub struct Quarantined {
    /// Its directory.
    pub path: PathBuf,
    /// What was found.
    pub why: Error,
    /// The time of its samples, where its meta tells it.
    pub range: Option<TimeRange>,
}

/// What [`load_blocks`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Whole blocks, ascending by id.
    pub blocks: Vec<Block>,
    /// Blocks that could not be opened.
    pub quarantined: Vec<Quarantined>,
    /// Blocks whose samples are in another of `blocks`, which names them as sources: to be removed with
    /// [`remove_block`] after the others are published. They are not among `blocks`.
    pub superseded: Vec<BlockId>,
}

/// Opens all blocks below `blocks_dir`, which is made when missing, and removes what was left unfinished.
/// A block that cannot be opened is listed, never removed, and never an error of the whole.
pub fn load_blocks(disk: &Arc<dyn Disk>, blocks_dir: &Path) -> Result<Loaded> {
    create_dir_durable(disk.as_ref(), blocks_dir)?;
    let mut loaded = Loaded::default();
    let mut removed = false;
    for entry in disk.list_dir(blocks_dir)? {
        let path = blocks_dir.join(&entry.name);
        if let Some(stem) = entry.name.strip_suffix(UNFINISHED) {
            if BlockId::parse(stem).is_some() && entry.is_dir {
                disk.remove_dir_all(&path)?;
                removed = true;
            }
        } else if entry.is_dir && BlockId::parse(&entry.name).is_some() {
            match Block::open(Arc::clone(disk), &path) {
                Ok(block) => loaded.blocks.push(block),
                Err(why) => {
                    let meta_path = path.join(META_FILE);
                    let meta = disk.read(&meta_path);
                    let meta = meta.and_then(|bytes| BlockMeta::decode(&bytes, &meta_path));
                    let range = meta.ok().map(|meta| meta.range());
                    loaded.quarantined.push(Quarantined { path, why, range });
                }
            }
        }
    }
    if removed {
        disk.sync_dir(blocks_dir)?;
    }
    set_superseded_aside(&mut loaded);
    for block in &loaded.quarantined {
        let why = &block.why as &dyn std::error::Error;
        tracing::error!(block = %block.path.display(), why, "a block is damaged; it stays as it is and is left out of answers");
    }
    Ok(loaded)
}

/// Takes the sources of other blocks out, where those blocks are whole to the last page: their sources may be
/// the only good copy otherwise.
fn set_superseded_aside(loaded: &mut Loaded) {
    let present: BTreeSet<BlockId> = loaded.blocks.iter().map(|block| block.meta().id).collect();
    let mut superseded = BTreeSet::new();
    let mut damaged = Vec::new();
    for block in &loaded.blocks {
        let meta = block.meta();
        let here: Vec<BlockId> = meta
            .sources
            .iter()
            .filter(|id| **id != meta.id && present.contains(id))
            .copied()
            .collect();
        if here.is_empty() {
            continue;
        }
        match block.verify() {
            Ok(()) => superseded.extend(here),
            Err(why) => damaged.push((meta.id, why)),
        }
    }
    for (id, why) in damaged {
        if let Some(at) = loaded.blocks.iter().position(|block| block.meta().id == id) {
            let block = loaded.blocks.remove(at);
            let (path, range) = (block.dir().to_owned(), Some(block.range()));
            loaded.quarantined.push(Quarantined { path, why, range });
        }
    }
    loaded.blocks.retain(|block| !superseded.contains(&block.meta().id));
    loaded.superseded = superseded.into_iter().collect();
}

/// Removes the directory of a block, if it is there. It is renamed first: a block that is half removed is
/// never loaded. Readers that still hold the block keep reading it. May be repeated after a failure.
pub fn remove_block(disk: &dyn Disk, blocks_dir: &Path, id: BlockId) -> Result<()> {
    let (dir, unfinished) =
        (blocks_dir.join(id.to_string()), blocks_dir.join(format!("{id}{UNFINISHED}")));
    if disk.exists(&unfinished)? {
        disk.remove_dir_all(&unfinished)?;
    }
    if disk.exists(&dir)? {
        disk.rename(&dir, &unfinished)?;
        disk.sync_dir(blocks_dir)?;
        disk.remove_dir_all(&unfinished)?;
    }
    Ok(())
}
