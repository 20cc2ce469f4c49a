//! Where the series of the log's references lie, while the log is replayed.

use hashbrown::HashMap;

use super::Place;
use super::sample_record::Run;
use crate::model::SeriesRef;

/// References of one page.
const PAGE_LEN: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 9;
/// Stands where no series is defined. No series has this place.
pub(super) const NOWHERE: Place = Place(u32::MAX);

/// References are given one after the other, so that they mostly lie beside each other, in the log as well.
#[derive(Debug, Default)]
pub(super) struct ReferenceMap {
    pages: Vec<Box<[Place]>>,
    numbers: HashMap<u64, usize>,
    /// The page asked for last: which references it has, and where it is.
    last: Option<(u64, usize)>,
}

impl ReferenceMap {
    pub(super) fn insert(&mut self, reference: SeriesRef, place: Place) {
        let number = reference.0 >> PAGE_BITS;
        let page = *self.numbers.entry(number).or_insert_with(|| {
            self.pages.push(vec![NOWHERE; PAGE_LEN].into());
            self.pages.len() - 1
        });
        let slot = reference.0 as usize % PAGE_LEN;
        if let Some(slot) = self.pages.get_mut(page).and_then(|page| page.get_mut(slot)) {
            *slot = place;
        }
    }

    /// Where a series lies.
    pub(super) fn get(&mut self, reference: SeriesRef) -> Option<Place> {
        let place = *self.page_from(reference.0)?.first()?;
        (place != NOWHERE).then_some(place)
    }

    /// Appends where the series of a run lie, [`NOWHERE`] for those that are not defined.
    pub(super) fn find(&mut self, run: Run, out: &mut Vec<Place>) {
        let Run { mut first, step, len } = run;
        let mut left = usize::try_from(len).unwrap_or(usize::MAX);
        while left > 0 {
            // Neighbours lie beside each other, as far as the page goes.
            let wanted = if step == 1 { left } else { 1 };
            let to_end = PAGE_LEN - first as usize % PAGE_LEN;
            let n = wanted.min(to_end);
            match self.page_from(first).and_then(|page| page.get(..n)) {
                Some(places) => out.extend_from_slice(places),
                None => out.resize(out.len() + n, NOWHERE),
            }
            first = first.wrapping_add(step.wrapping_mul(n as u64));
            left -= n;
        }
    }

    /// The places from this reference to the end of its page.
    #[inline]
    fn page_from(&mut self, reference: u64) -> Option<&[Place]> {
        let number = reference >> PAGE_BITS;
        let page = match self.last {
            Some((last, page)) if last == number => page,
            _ => {
                let page = *self.numbers.get(&number)?;
                self.last = Some((number, page));
                page
            }
        };
        self.pages.get(page)?.get(reference as usize % PAGE_LEN..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_defined_near_and_far() {
        let mut map = ReferenceMap::default();
        let references = [0, 1, 511, 512, 513, 1 << 40, u64::MAX, 7];
        for (i, reference) in references.into_iter().enumerate() {
            map.insert(SeriesRef(reference), Place(i as u32));
        }
        map.insert(SeriesRef(7), Place(99));
        for (i, reference) in references.into_iter().enumerate() {
            let expected = if reference == 7 { 99 } else { i as u32 };
            assert_eq!(map.get(SeriesRef(reference)), Some(Place(expected)), "{reference}");
        }
        for missing in [2, 510, 514, (1 << 40) + 1, u64::MAX - 1] {
            assert_eq!(map.get(SeriesRef(missing)), None, "{missing}");
        }
        let mut find = |first, step, len| {
            let mut found = vec![Place(5)];
            map.find(Run { first, step, len }, &mut found);
            found.into_iter().map(|place| place.0).collect::<Vec<_>>()
        };
        let nowhere = NOWHERE.0;
        assert_eq!(find(510, 1, 5), [5, nowhere, 2, 3, 4, nowhere], "over the end of a page");
        assert_eq!(find(514, u64::MAX, 4), [5, nowhere, 4, 3, 2], "downwards");
        assert_eq!(find(u64::MAX, 1, 3), [5, 6, 0, 1], "around the end");
        assert_eq!(find(7, 0, 2), [5, 99, 99]);
        assert_eq!(find(1 << 50, 1, 600), [&[5][..], &[nowhere; 600]].concat(), "no such page");
    }
}
