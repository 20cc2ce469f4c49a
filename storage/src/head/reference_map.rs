//! Where the series of the log's references lie, while the log is replayed.

use hashbrown::HashMap;

use super::Place;
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

    #[inline]
    pub(super) fn get(&mut self, reference: SeriesRef) -> Option<Place> {
        let number = reference.0 >> PAGE_BITS;
        let page = match self.last {
            Some((last, page)) if last == number => page,
            _ => {
                let page = *self.numbers.get(&number)?;
                self.last = Some((number, page));
                page
            }
        };
        let place = *self.pages.get(page)?.get(reference.0 as usize % PAGE_LEN)?;
        (place != NOWHERE).then_some(place)
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
    }
}
