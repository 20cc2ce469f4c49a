//! What is asked of an object store.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// An object that a list tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// When it was written last, in milliseconds.
    pub modified_ms: i64,
}

/// A store of whole objects under keys with slashes. An error tells nothing of whether the store did what was
/// asked: the answer may be what was lost. All but [`Objects::create`] may be repeated.
pub trait Objects: Send + Sync + fmt::Debug + 'static {
    /// An object of `max` bytes at most; `None` when there is none.
    fn get(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>>;
    /// Some bytes of an object, fewer where it ends; `None` when there is none.
    fn get_range(&self, key: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>>;
    /// Length of an object; `None` when there is none.
    fn len(&self, key: &str) -> Result<Option<u64>>;
    /// Writes an object, in the place of one that is there. It is seen whole or not at all.
    fn put(&self, key: &str, bytes: bytes::Bytes) -> Result<()>;
    /// Writes an object unless there is one: `false` then.
    fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool>;
    /// Writes what is under `from` to `to` as well: `false` when there is nothing.
    fn copy(&self, from: &str, to: &str) -> Result<bool>;
    /// Removes an object, if there is one.
    fn remove(&self, key: &str) -> Result<()>;
    /// The objects whose keys begin with `folder` and a slash and come behind `after`, ascending.
    fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>>;
    /// Names that stand before a slash at the beginning of keys.
    fn folders(&self) -> Result<Vec<String>>;
    /// Lets what is going on end soon by an error, and everything after it.
    fn stop(&self);
}

/// The objects of one tenant.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    tenant: String,
}

impl Keys {
    pub(super) fn of(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned() }
    }

    /// A file of the history, in its place.
    pub(super) fn file(&self, path: &str) -> String {
        format!("{}/{path}", self.tenant)
    }

    /// Where files wait for their commit and their place.
    pub(super) fn staging(&self) -> String {
        format!("{}/_nines/staging", self.tenant)
    }

    /// A file that waits: its name tells its content.
    pub(super) fn staged(&self, path: &str, crc32: u32) -> String {
        format!("{}/{}.{crc32:08x}", self.staging(), path.replace('/', "."))
    }

    /// Where commits are.
    pub(super) fn commits(&self) -> String {
        format!("{}/_nines/commits", self.tenant)
    }

    /// A commit.
    pub(super) fn commit(&self, place: u64) -> String {
        format!("{}/{place:020}.json", self.commits())
    }

    /// Where superseded files are for a while.
    pub(super) fn trash(&self) -> String {
        format!("{}/_trash", self.tenant)
    }

    /// A superseded file.
    pub(super) fn trashed(&self, path: &str, now_ms: i64) -> String {
        format!("{}/{:020}.{}.old", self.trash(), now_ms.max(0), path.replace('/', "."))
    }
}

/// The number that a commit's key tells.
pub(super) fn place_of(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    let plain = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| name.parse().ok()).flatten()
}

/// An object is not there that has to be.
pub(super) fn missing(key: &str) -> Error {
    let cause = std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "there is no such object: it was removed by somebody else",
    );
    Error::io("read from the object store", Path::new(key), cause)
}
