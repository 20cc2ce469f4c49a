//! Bytes of open chunks, in small blocks: a chunk that grows by a byte now and then costs neither an
//! allocation of its own nor room that doubles.
//!
//! A chunk is a chain of blocks from its last one back to its first. All but the last are full.

use super::paged::Paged;

/// Bytes of a chunk in one block; with the number of the block before it, a block is half a cache line.
pub(super) const LINK_BYTES: usize = 28;
/// Instead of a block's number: there is none.
pub(super) const NO_LINK: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    bytes: [u8; LINK_BYTES],
    /// The block before this one, or the next free one.
    before: u32,
}

/// The blocks of one shard.
#[derive(Debug)]
pub(super) struct Links {
    links: Paged<Link>,
    free: u32,
    n_free: usize,
}

impl Default for Links {
    fn default() -> Self {
        Self { links: Paged::default(), free: NO_LINK, n_free: 0 }
    }
}

/// The end of a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) link: u32,
    /// Bytes in that block.
    pub(super) fill: u8,
}

impl Tail {
    pub(super) const EMPTY: Self = Self { link: NO_LINK, fill: 0 };
}

impl Links {
    /// Adds a byte to the chain that ends at `tail`.
    pub(super) fn push(&mut self, tail: &mut Tail, byte: u8) {
        if tail.link == NO_LINK || usize::from(tail.fill) == LINK_BYTES {
            *tail = Tail { link: self.take(tail.link), fill: 0 };
        }
        if let Some(link) = self.links.get_mut(tail.link as usize)
            && let Some(place) = link.bytes.get_mut(usize::from(tail.fill))
        {
            *place = byte;
            tail.fill += 1;
        }
    }

    fn take(&mut self, before: u32) -> u32 {
        if let Some(link) = self.links.get_mut(self.free as usize) {
            let taken = self.free;
            self.free = link.before;
            self.n_free -= 1;
            link.before = before;
            return taken;
        }
        let taken = self.links.len() as u32;
        self.links.push(Link { bytes: [0; LINK_BYTES], before });
        taken
    }

    /// Appends the bytes of the chain to `out`.
    pub(super) fn copy(&self, tail: Tail, out: &mut Vec<u8>) {
        let mut n = usize::from(tail.fill);
        let mut at = tail.link;
        while let Some(link) = self.links.get(at as usize).filter(|_| at != NO_LINK) {
            at = link.before;
            if at != NO_LINK {
                n += LINK_BYTES;
            }
        }
        let from = out.len();
        out.resize(from + n, 0);
        let (mut at, mut end) = (tail.link, out.len());
        while let Some(link) = self.links.get(at as usize).filter(|_| at != NO_LINK) {
            let len = if at == tail.link { usize::from(tail.fill) } else { LINK_BYTES };
            let begin = end.saturating_sub(len);
            if let (Some(to), Some(bytes)) = (out.get_mut(begin..end), link.bytes.get(..len)) {
                to.copy_from_slice(bytes);
            }
            (at, end) = (link.before, begin);
        }
    }

    /// Gives the blocks of a chain back.
    pub(super) fn free(&mut self, tail: &mut Tail) {
        let mut at = std::mem::replace(tail, Tail::EMPTY).link;
        while at != NO_LINK
            && let Some(link) = self.links.get_mut(at as usize)
        {
            let before = std::mem::replace(&mut link.before, self.free);
            self.free = at;
            self.n_free += 1;
            at = before;
        }
    }

    /// Heap bytes owned, free blocks included.
    pub(super) fn heap_bytes(&self) -> usize {
        self.links.heap_bytes()
    }

    /// Blocks in use.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.links.len() - self.n_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_grow_side_by_side_and_blocks_come_back() {
        let mut links = Links::default();
        let mut chains = [(); 5].map(|()| (Tail::EMPTY, Vec::new()));
        for round in 0..20u8 {
            for i in 0..300u32 {
                let (tail, bytes) = &mut chains[i as usize % 5];
                let byte = (i as u8).wrapping_mul(31) ^ round;
                links.push(tail, byte);
                bytes.push(byte);
            }
            for (tail, bytes) in &chains {
                let mut copy = vec![1, 2];
                links.copy(*tail, &mut copy);
                assert_eq!(copy[2..], *bytes, "round {round}");
            }
            let (tail, bytes) = &mut chains[usize::from(round) % 5];
            links.free(tail);
            bytes.clear();
        }
        let used: usize = chains.iter().map(|(_, bytes)| bytes.len().div_ceil(LINK_BYTES)).sum();
        assert_eq!(links.in_use(), used);
        for (tail, _) in &mut chains {
            links.free(tail);
        }
        assert_eq!(links.in_use(), 0);
        let mut none = vec![];
        links.copy(Tail::EMPTY, &mut none);
        assert_eq!(none, [0u8; 0]);
    }
}
