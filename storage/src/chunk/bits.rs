//! Fixed-width bit packing, least significant bit first.
//!
//! Eight values of width `w` take exactly `w` bytes, so unpacking goes by groups of eight: within a group every
//! byte offset and shift is a constant of the width, and one bounds check covers the group.

/// Values per group.
const GROUP: usize = 8;

/// Bytes of `n` values of `width` bits.
pub(super) const fn packed_len(n: usize, width: u32) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Bits needed for `value`; 0 for 0.
pub(super) const fn bit_len(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// The lowest `width` bits set.
pub(super) const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (u64::BITS - width) }
}

/// Appends the lowest `width` bits (at most 64) of each value; higher bits must be zero.
pub(super) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let end = out.len() + packed_len(values.len(), width);
    out.reserve(end + 8 - out.len());
    let mut pending = 0u128;
    let mut pending_bits = 0u32;
    for &value in values {
        pending |= u128::from(value) << pending_bits;
        pending_bits += width;
        if pending_bits >= u64::BITS {
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= u64::BITS;
            pending_bits -= u64::BITS;
        }
    }
    if pending_bits > 0 {
        out.extend_from_slice(&(pending as u64).to_le_bytes());
    }
    out.truncate(end);
}

/// Fills `out` with the values that [`pack`] wrote with `width`; `None` when `bytes` is too short or `width`
/// is above 64. Bytes beyond the packed ones may follow and are not looked at.
pub(super) fn unpack(bytes: &[u8], width: u32, out: &mut [i64]) -> Option<()> {
    macro_rules! by_width {
        ($($narrow:literal)* ; $($wide:literal)*) => {
            match width {
                0 => out.fill(0),
                $($narrow => unpack_narrow::<$narrow>(bytes, out),)*
                $($wide => unpack_wide::<$wide>(bytes, out),)*
                _ => return None,
            }
        };
    }
    if width > u64::BITS || bytes.len() < packed_len(out.len(), width) {
        return None;
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57;
        58 59 60 61 62 63 64);
    Some(())
}

/// Room for one group and the bytes its last load reaches over.
const WINDOW: usize = 64 + 16;

/// Up to 57 bits: a value and its shift of at most 7 fit one 8-byte load.
fn unpack_narrow<const WIDTH: usize>(bytes: &[u8], out: &mut [i64]) {
    unpack_groups::<WIDTH>(bytes, out, WIDTH + 8, |window, group| {
        for (i, value) in group.iter_mut().enumerate() {
            let bit = i * WIDTH;
            let mut word = [0u8; 8];
            word.copy_from_slice(&window[bit / 8..bit / 8 + 8]);
            let low = (u64::from_le_bytes(word) >> (bit % 8)) & mask(WIDTH as u32);
            *value = low.cast_signed();
        }
    });
}

/// 58 to 64 bits: as [`unpack_narrow`] with 16-byte loads.
fn unpack_wide<const WIDTH: usize>(bytes: &[u8], out: &mut [i64]) {
    unpack_groups::<WIDTH>(bytes, out, WIDTH + 16, |window, group| {
        for (i, value) in group.iter_mut().enumerate() {
            let bit = i * WIDTH;
            let mut word = [0u8; 16];
            word.copy_from_slice(&window[bit / 8..bit / 8 + 16]);
            let low = (u128::from_le_bytes(word) >> (bit % 8)) as u64 & mask(WIDTH as u32);
            *value = low.cast_signed();
        }
    });
}

/// Runs `group` over windows of `window_len` bytes, one per eight values; near the end of `bytes` on a
/// zero-padded copy.
#[inline(always)]
fn unpack_groups<const WIDTH: usize>(
    bytes: &[u8],
    out: &mut [i64],
    window_len: usize,
    group: impl Fn(&[u8], &mut [i64; GROUP]),
) {
    let mut rest = bytes;
    let (groups, tail) = out.as_chunks_mut::<GROUP>();
    for values in groups {
        if let Some(window) = rest.get(..window_len) {
            group(window, values);
        } else {
            group(&padded(rest)[..window_len], values);
        }
        rest = rest.get(WIDTH..).unwrap_or_default();
    }
    if !tail.is_empty() {
        let mut values = [0; GROUP];
        group(&padded(rest)[..window_len], &mut values);
        tail.copy_from_slice(&values[..tail.len()]);
    }
}

fn padded(rest: &[u8]) -> [u8; WINDOW] {
    let mut window = [0; WINDOW];
    let n = rest.len().min(WINDOW);
    window[..n].copy_from_slice(&rest[..n]);
    window
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_width_round_trips_at_every_length() {
        for width in 0..=64u32 {
            for n in 0..70usize {
                let values: Vec<u64> = (0..n as u64)
                    .map(|i| {
                        (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32)
                            & mask(width)
                    })
                    .collect();
                let mut bytes = Vec::new();
                pack(&values, width, &mut bytes);
                assert_eq!(bytes.len(), packed_len(n, width));
                let expected: Vec<i64> = values.iter().map(|value| value.cast_signed()).collect();
                let mut back = vec![-1; n];
                unpack(&bytes, width, &mut back).unwrap();
                assert_eq!(back, expected, "width {width}, {n} values");
                bytes.extend_from_slice(&[0xff; 40]);
                unpack(&bytes, width, &mut back).unwrap();
                assert_eq!(back, expected, "width {width}, {n} values, more bytes behind");
            }
        }
    }

    #[test]
    fn layout_is_least_significant_bit_first() {
        let mut bytes = Vec::new();
        pack(&[1, 2, 3], 3, &mut bytes);
        assert_eq!(bytes, [0b1101_0001, 0]);
    }

    #[test]
    fn short_bytes_and_bad_widths_are_refused() {
        assert_eq!(unpack(&[0; 9], 10, &mut [0; 8]), None);
        assert_eq!(unpack(&[0; 1000], 65, &mut [0; 2]), None);
        assert_eq!(unpack(&[0; 10], 10, &mut [0; 8]), Some(()));
    }
}
