//! A vector that grows by pages: what is there never moves, and no growth asks for twice the memory.

/// Items of a page.
const PAGE_LEN: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 9;

/// See the module.
#[derive(Debug)]
pub(super) struct Paged<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> Paged<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, item: T) {
        if self.len.is_multiple_of(PAGE_LEN) {
            self.pages.push(Vec::with_capacity(PAGE_LEN));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn get(&self, i: usize) -> Option<&T> {
        self.pages.get(i >> PAGE_BITS)?.get(i % PAGE_LEN)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        self.pages.get_mut(i >> PAGE_BITS)?.get_mut(i % PAGE_LEN)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }

    /// Heap bytes owned, those of the items' own not counted.
    pub(super) fn heap_bytes(&self) -> usize {
        self.pages.len() * PAGE_LEN * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn holds_what_a_vector_holds() {
        let mut paged = Paged::default();
        let n = 3 * PAGE_LEN + 7;
        (0..n).for_each(|i| paged.push(i));
        *paged.get_mut(PAGE_LEN).unwrap() = 1;
        let mut expected: Vec<usize> = (0..n).collect();
        expected[PAGE_LEN] = 1;
        assert_eq!(paged.iter().copied().collect::<Vec<_>>(), expected);
        assert_eq!((paged.len(), paged.get(n), paged.get(n - 1)), (n, None, Some(&(n - 1))));
        paged.iter_mut().for_each(|i| *i += 1);
        assert_eq!(paged.get(0), Some(&1));
    }
}
