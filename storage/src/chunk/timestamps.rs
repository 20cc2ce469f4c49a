//! Timestamp columns: strictly ascending milliseconds behind their number.

use super::WINDOW_SLOTS_MAX;
use super::ints::{self, IntEncoder};
use crate::codec::{Malformed, Reader, put_uvarint};

/// Appends `column`, which is strictly ascending, of 1 to [`WINDOW_SLOTS_MAX`] timestamps.
pub(super) fn encode(column: &[i64], encoder: &mut IntEncoder, out: &mut Vec<u8>) {
    put_uvarint(out, column.len() as u64);
    encoder.encode(column, out);
}

/// Replaces the content of `column` by what [`encode`] wrote, to the end of the reader; refuses what does not
/// ascend, because readers search it. On an error `column` is empty.
pub(super) fn decode(mut reader: Reader<'_>, column: &mut Vec<i64>) -> Result<(), Malformed> {
    let decoded = decode_unchecked(&mut reader, column);
    if decoded.is_err() {
        column.clear();
    }
    decoded
}

fn decode_unchecked(reader: &mut Reader<'_>, column: &mut Vec<i64>) -> Result<(), Malformed> {
    let refused = Malformed { what: "timestamp column", at: reader.position() };
    let slots = usize::try_from(reader.uvarint("number of slots")?).map_err(|_| refused)?;
    if slots == 0 || slots > WINDOW_SLOTS_MAX {
        return Err(refused);
    }
    ints::decode(reader, slots, column)?;
    let ascending = column.windows(2).fold(true, |ascending, pair| ascending & (pair[0] < pair[1]));
    if ascending && reader.is_empty() { Ok(()) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn round_trip(column: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(column, &mut IntEncoder::default(), &mut bytes);
        let mut back = vec![5];
        decode(Reader::new(&bytes), &mut back).unwrap();
        assert_eq!(back, column);
        bytes.len()
    }

    #[test]
    fn columns_round_trip() {
        round_trip(&[i64::MIN]);
        round_trip(&[i64::MIN, -1, 0, i64::MAX]);
        let jitter: Vec<i64> =
            (0..480).map(|i| 1_700_000_000_000 + i * 15_000 + (i % 7 == 3) as i64 * 4).collect();
        let len = round_trip(&jitter);
        assert!(len < 480 / 3, "{len}");
    }

    #[test]
    fn columns_that_do_not_ascend_are_refused() {
        for column in [&[1, 1][..], &[2, 1], &[0, 5, 4, 6]] {
            let mut bytes = Vec::new();
            encode(column, &mut IntEncoder::default(), &mut bytes);
            let mut back = vec![5];
            assert!(decode(Reader::new(&bytes), &mut back).is_err(), "{column:?}");
            assert!(back.is_empty());
        }
    }

    #[test]
    fn too_many_slots_are_refused() {
        let mut bytes = Vec::new();
        encode(
            &(0..=WINDOW_SLOTS_MAX as i64).collect::<Vec<_>>(),
            &mut IntEncoder::default(),
            &mut bytes,
        );
        assert!(decode(Reader::new(&bytes), &mut Vec::new()).is_err());
        assert!(decode(Reader::new(&[0]), &mut Vec::new()).is_err());
        assert!(
            decode(Reader::new(&[1, 0x10, 0, 0]), &mut Vec::new()).is_err(),
            "bytes behind the column"
        );
    }

    proptest! {
        #[test]
        fn any_ascending_column_round_trips(
            column in proptest::collection::btree_set(any::<i64>(), 1..480),
        ) {
            round_trip(&column.into_iter().collect::<Vec<_>>());
        }
    }
}
