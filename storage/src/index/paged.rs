//! A list of numbers that grows by pages: what is there never moves, so that growing costs no copy.

/// Elements of a page.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 16;

/// The list.
#[derive(Debug, Default)]
pub(super) struct Paged {
    pages: Vec<Vec<u32>>,
    len: usize,
}

impl Paged {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, value: u32) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Vec::new());
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(value);
            self.len += 1;
        }
    }

    pub(super) fn get(&self, i: usize) -> Option<u32> {
        self.pages.get(i >> PAGE_BITS)?.get(i & (PAGE - 1)).copied()
    }

    /// The element `i`; the list is filled up with zeros as far as there.
    pub(super) fn slot(&mut self, i: usize) -> Option<&mut u32> {
        while self.len <= i {
            self.push(0);
        }
        self.pages.get_mut(i >> PAGE_BITS)?.get_mut(i & (PAGE - 1))
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.capacity() * 4).sum()
    }
}
