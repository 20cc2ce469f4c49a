//! What a read gives: mapped or on the heap, shared.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::mmap::SealedMap;

/// Read-only bytes; a clone shares them.
#[derive(Clone)]
pub struct Bytes(Backing);

#[derive(Clone)]
enum Backing {
    Heap(Arc<Vec<u8>>),
    Mapped(Arc<SealedMap>),
}

impl Bytes {
    pub(super) fn mapped(map: SealedMap) -> Self {
        Self(Backing::Mapped(Arc::new(map)))
    }

    /// Whether the bytes are mapped: touching them may read the disk.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Backing::Mapped(_))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Backing::Heap(Arc::new(bytes)))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Backing::Heap(bytes) => bytes,
            Backing::Mapped(map) => map,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_mapped() { "mapped" } else { "heap" };
        write!(f, "Bytes({} {kind})", self.len())
    }
}
