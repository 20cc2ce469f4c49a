//! Bytes of chunks, in small blocks: a chunk that grows by a byte now and then costs neither an allocation of
//! its own nor room that doubles.
//!
//! A chunk is a chain of blocks from its last one back to its first. All but the last are full. A finished
//! chunk stays where it grew: behind its tokens stand its window and the place of the chunk before it of the
//! same series, and the last byte of its last block says where they end. So a series keeps only the place of
//! its last finished chunk, and setting samples aside for a flush copies nothing.

use super::paged::Paged;

/// Bytes of a chunk in one block; with the number of the block before it, a block is half a cache line.
pub(super) const LINK_BYTES: usize = 28;
/// Instead of a block's number: there is none.
pub(super) const NO_LINK: u32 = u32::MAX;
/// Instead of a finished chunk's place, the number of its last block: there is none.
pub(super) const NO_CHUNK: u32 = NO_LINK;
/// Where the last block of a finished chunk says how many of its bytes come before.
const FILL_AT: usize = LINK_BYTES - 1;

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

/// A finished chunk; its timestamps are slots of its window.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinishedChunk {
    pub(super) before: u32,
    pub(super) window: u32,
    /// End of its tokens.
    pub(super) tokens: Tail,
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

    /// Ends the chunk whose tokens end at `tail`; `before` is the place of the series' one before it. Answers
    /// its place.
    pub(super) fn finish(&mut self, mut tail: Tail, window: u32, before: u32) -> u32 {
        let trailer = window.to_le_bytes().into_iter().chain(before.to_le_bytes());
        trailer.for_each(|byte| self.push(&mut tail, byte));
        if usize::from(tail.fill) > FILL_AT {
            tail = Tail { link: self.take(tail.link), fill: 0 };
        }
        if let Some(link) = self.links.get_mut(tail.link as usize) {
            link.bytes[FILL_AT] = tail.fill;
        }
        tail.link
    }

    /// Goes back by one byte, to it.
    fn back(&self, tail: Tail) -> Option<Tail> {
        match tail.fill.checked_sub(1) {
            Some(fill) => Some(Tail { fill, ..tail }),
            None => {
                let link = self.links.get(tail.link as usize)?.before;
                Some(Tail { link, fill: FILL_AT as u8 })
            }
        }
    }

    /// The four bytes before `tail`, and where they begin.
    fn word_before(&self, mut tail: Tail) -> Option<(u32, Tail)> {
        let mut word = [0; 4];
        for byte in word.iter_mut().rev() {
            tail = self.back(tail)?;
            *byte = *self.links.get(tail.link as usize)?.bytes.get(usize::from(tail.fill))?;
        }
        Some((u32::from_le_bytes(word), tail))
    }

    /// Where the trailer of a finished chunk ends.
    fn end_of(&self, place: u32) -> Option<Tail> {
        let link = self.links.get(place as usize).filter(|_| place != NO_CHUNK)?;
        Some(Tail { link: place, fill: link.bytes[FILL_AT] })
    }

    /// The chunk at a place that [`Links::finish`] gave.
    fn chunk(&self, place: u32) -> Option<FinishedChunk> {
        let (before, behind_window) = self.word_before(self.end_of(place)?)?;
        let (window, tokens) = self.word_before(behind_window)?;
        Some(FinishedChunk { before, window, tokens })
    }

    /// The chunks of a series from its last one, at `place`, back to its first.
    pub(super) fn back_from(&self, mut place: u32) -> impl Iterator<Item = FinishedChunk> {
        std::iter::from_fn(move || {
            let chunk = self.chunk(place)?;
            place = chunk.before;
            Some(chunk)
        })
    }

    /// Lets the chunks of a series from its last one, at `last`, follow those whose last one is at `before`.
    /// Answers the place of the last of all.
    pub(super) fn join(&mut self, before: u32, last: u32) -> u32 {
        if last == NO_CHUNK || before == NO_CHUNK {
            return if last == NO_CHUNK { before } else { last };
        }
        let mut first = last;
        while let Some(chunk) = self.chunk(first).filter(|chunk| chunk.before != NO_CHUNK) {
            first = chunk.before;
        }
        let mut at = self.end_of(first);
        for byte in before.to_le_bytes().into_iter().rev() {
            at = at.and_then(|tail| self.back(tail));
            if let Some(tail) = at
                && let Some(link) = self.links.get_mut(tail.link as usize)
                && let Some(place) = link.bytes.get_mut(usize::from(tail.fill))
            {
                *place = byte;
            }
        }
        last
    }

    /// Gives the blocks of a series' chunks back, from its last one, at `place`. Answers how many chunks.
    pub(super) fn free_chunks(&mut self, mut place: u32) -> usize {
        let mut n = 0;
        while let Some(chunk) = self.chunk(place) {
            self.free(&mut Tail { link: place, fill: 0 });
            place = chunk.before;
            n += 1;
        }
        n
    }

    /// Heap bytes owned, free blocks included.
    pub(super) fn heap_bytes(&self) -> usize {
        self.links.heap_bytes()
    }

    /// Blocks in use.
    pub(super) fn in_use(&self) -> usize {
        self.links.len() - self.n_free
    }

    /// Bytes of the blocks in use.
    pub(super) fn bytes_in_use(&self) -> usize {
        self.in_use() * size_of::<Link>()
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

    /// Finished chunks of every length, of several series side by side: windows and bytes, the last one first.
    fn told(links: &Links, place: u32) -> Vec<(u32, Vec<u8>)> {
        let bytes = |chunk: FinishedChunk| {
            let mut bytes = Vec::new();
            links.copy(chunk.tokens, &mut bytes);
            (chunk.window, bytes)
        };
        links.back_from(place).map(bytes).collect()
    }

    #[test]
    fn finished_chunks_are_read_back_joined_and_freed() {
        let mut links = Links::default();
        let (mut last, mut expected) = ([NO_CHUNK; 3], [const { Vec::new() }; 3]);
        for i in 1..400usize {
            let series = i % 3;
            let bytes: Vec<u8> = (0..i % 97 + 1).map(|at| (at * i) as u8).collect();
            let mut tail = Tail::EMPTY;
            bytes.iter().for_each(|byte| links.push(&mut tail, *byte));
            last[series] = links.finish(tail, i as u32, last[series]);
            expected[series].insert(0, (i as u32, bytes));
        }
        for (place, expected) in last.into_iter().zip(&expected) {
            assert_eq!(told(&links, place), *expected);
        }
        let [a, b, c] = last;
        assert_eq!((links.join(NO_CHUNK, a), links.join(a, NO_CHUNK)), (a, a));
        assert_eq!(links.join(NO_CHUNK, NO_CHUNK), NO_CHUNK);
        assert_eq!(links.join(a, b), b, "b's chunks come behind a's");
        let both = [expected[1].as_slice(), expected[0].as_slice()].concat();
        assert_eq!(told(&links, b), both);
        assert_eq!(links.free_chunks(b), both.len());
        assert_eq!(told(&links, c), expected[2]);
        assert_eq!(links.free_chunks(c), expected[2].len());
        assert_eq!((links.in_use(), links.free_chunks(NO_CHUNK)), (0, 0));
    }
}
