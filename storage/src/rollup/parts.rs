//! A metric with more series than are held at once: some at a time, by their ids.
//!
//! The index of each block is walked once to learn the ids. What is remembered of a series is its place in each block;
//! its labels are read again with its samples.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::block::Block;
use crate::error::{Error, Result};
use crate::history::{Named, Tables, series_id};
use crate::model::{METRIC_NAME, Matcher, TimeRange};

/// Where a block has a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    id: i64,
    ord: u32,
    block: u16,
    tables: Tables,
}

/// Places of all series of a metric that may have samples inside `range`, ascending by id.
pub(super) fn places(
    blocks: &[Arc<Block>],
    metric: &str,
    range: TimeRange,
    named: &Named,
    step: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Place>> {
    let mut all = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let number = u16::try_from(number).map_err(|_| Error::Unavailable {
            why: "a day has too many blocks to be rolled up: they are merged first",
        })?;
        let ords = block.resolve(&[Matcher::equal(METRIC_NAME, metric)])?;
        block.walk(&ords, range, &mut Vec::new(), &mut |ord, walk, _| {
            step()?;
            let labels = walk.labels()?;
            let (id, tables) = (series_id(&labels), named.of_series(&labels));
            all.push(Place { id, ord: ord.0, block: number, tables });
            Ok(())
        })?;
    }
    all.sort_unstable_by_key(|place| (place.id, place.block, place.ord));
    Ok(all)
}

/// Places of series that together hold about as many rows as `most`, by what one with rows in some tables holds.
/// Those with one id stay together.
pub(super) fn parts(places: &[Place], most: u64, held: impl Fn(Tables) -> u64) -> Vec<&[Place]> {
    let mut parts = Vec::new();
    let (mut from, mut to, mut rows) = (0, 0, 0u64);
    for of_id in places.chunk_by(|a, b| a.id == b.id) {
        let own = of_id.iter().map(|place| held(place.tables)).max().unwrap_or(0);
        if rows > 0 && rows.saturating_add(own) > most {
            parts.extend(places.get(from..to));
            (from, rows) = (to, 0);
        }
        rows = rows.saturating_add(own);
        to += of_id.len();
    }
    parts.extend(places.get(from..to).filter(|part| !part.is_empty()));
    parts
}

/// The series of a part in each of so many blocks.
pub(super) fn ords(part: &[Place], n_blocks: usize) -> Vec<RoaringBitmap> {
    let mut all = vec![RoaringBitmap::new(); n_blocks];
    for place in part {
        if let Some(ords) = all.get_mut(usize::from(place.block)) {
            ords.insert(place.ord);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: i64, block: u16, raw: bool) -> Place {
        let tables = Tables { five_minutes: false, raw };
        Place { id, ord: id.unsigned_abs() as u32, block, tables }
    }

    #[test]
    fn parts_are_small_and_hold_each_id_once() {
        let held = |tables: Tables| if tables.raw { 50 } else { 10 };
        let places: Vec<Place> =
            (-40..40).flat_map(|id| [place(id, 0, false), place(id, 1, false)]).collect();
        let small = parts(&places, 100, held);
        assert_eq!(small.iter().map(|part| part.len()).collect::<Vec<_>>(), [20; 8]);
        assert_eq!(small.concat().len(), places.len());
        for pair in small.windows(2) {
            assert!(pair[0].last().map(|p| p.id) < pair[1].first().map(|p| p.id));
        }
        // What is more than a part holds is one of its own, and a large one leaves less room.
        let mixed = [
            place(1, 0, true),
            place(2, 0, false),
            place(3, 0, true),
            place(4, 0, true),
            place(5, 0, false),
        ];
        let sizes = |most| parts(&mixed, most, held).iter().map(|p| p.len()).collect::<Vec<_>>();
        assert_eq!(sizes(110), [3, 2]);
        assert_eq!(sizes(5), [1; 5]);
        assert_eq!(parts(&[], 5, held).len(), 0);
        // Equal ids are not torn apart.
        let equal = [place(7, 0, false); 30];
        assert_eq!(parts(&equal, 20, held).len(), 1);
    }

    #[test]
    fn a_part_knows_its_blocks() {
        let part = [place(3, 0, false), place(4, 2, false), place(9, 2, true)];
        let all = ords(&part, 3);
        let of = |i: usize| all[i].iter().collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![3], vec![], vec![4, 9]));
    }
}
