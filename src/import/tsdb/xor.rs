//! Chunks of floats (encoding 1).

use nines_storage::model::{SeriesData, TimeRange};

use super::bits::{Bits, Fault, XorFloat};

/// Bits that a difference of differences takes, by how many ones stand before it.
const STEP_BITS: [u32; 5] = [0, 14, 17, 20, 64];

/// Appends the samples of a chunk that lie inside `range`.
pub(super) fn decode(data: &[u8], range: TimeRange, out: &mut SeriesData) -> Result<(), Fault> {
    let Some((n, rest)) = data.split_first_chunk::<2>() else {
        return Err("the chunk is too short");
    };
    let n = u16::from_be_bytes(*n);
    let mut bits = Bits::new(rest);
    let mut push = |ts: i64, value: f64| {
        if range.contains(ts) {
            out.ts.push(ts);
            out.values.push(value);
        }
    };
    if n == 0 {
        return Ok(());
    }
    let mut ts = bits.ivarint()?;
    let mut value = XorFloat::first(bits.float()?);
    push(ts, value.value);
    let mut delta = 0i64;
    for i in 1..n {
        delta = if i == 1 {
            bits.uvarint()?.cast_signed()
        } else {
            let class = bits.ones(4)? as usize;
            delta.wrapping_add(bits.signed(STEP_BITS.get(class).copied().unwrap_or(64))?)
        };
        ts = ts.wrapping_add(delta);
        value.advance(&mut bits)?;
        push(ts, value.value);
    }
    Ok(())
}
