//! The history as the object store has it: its commits, read.

use super::document::{Content, DOCUMENT_BYTES_MAX, Document};
use super::objects::{Keys, Objects, missing, place_of};
use crate::codec::crc32;
use crate::error::{Corruption, Result};
use crate::history::commit::State;
use std::path::Path;

/// Times that the list is read anew because a commit was removed meanwhile, as they are when they are old.
const ATTEMPTS: u32 = 3;

/// All commits of a store as one.
pub(super) struct Chain {
    /// The last one.
    pub(super) place: u64,
    /// Checksum of its bytes.
    pub(super) crc32: u32,
    pub(super) state: State,
}

/// The numbers of the commits behind `after`.
pub(super) fn places(objects: &dyn Objects, keys: &Keys, after: u64) -> Result<Vec<u64>> {
    let behind = keys.commit(after);
    let found = objects.list(&keys.commits(), Some(&behind))?;
    Ok(found.iter().filter_map(|object| place_of(&object.key)).collect())
}

/// Reads what is needed of the commits; `None` when there are none.
pub(super) fn read(objects: &dyn Objects, keys: &Keys) -> Result<Option<Chain>> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match read_once(objects, keys) {
            Err(crate::error::Error::Io { cause, .. })
                if cause.kind() == std::io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            read => return read,
        }
    }
}

fn read_once(objects: &dyn Objects, keys: &Keys) -> Result<Option<Chain>> {
    let Some(last) = places(objects, keys, 0)?.into_iter().max() else { return Ok(None) };
    let (mut place, mut sum, mut documents) = (last, 0, Vec::new());
    loop {
        let key = keys.commit(place);
        let bytes = objects.get(&key, DOCUMENT_BYTES_MAX)?.ok_or_else(|| missing(&key))?;
        if place == last {
            sum = crc32(&bytes);
        }
        let document = Document::decode(&bytes, &key, place)?;
        let whole = matches!(document.content, Content::State(_));
        documents.push(document);
        if whole {
            break;
        }
        if place <= 1 {
            let path = Path::new(&key);
            return Err(Corruption::new(path, 0, "the first commit does not hold a state").into());
        }
        place -= 1;
    }
    let mut state = State::default();
    documents.into_iter().rev().for_each(|document| document.apply(&mut state));
    Ok(Some(Chain { place: last, crc32: sum, state }))
}
