//! The values of a log record, one behind the other: a code of four bits for each, then the bytes that the
//! codes ask for. FORMAT.md, "Values of samples".
//!
//! A value is written by itself or as a repetition of the one before it in the record, so that it costs a few
//! instructions, under a shard's lock, and comes back bit for bit.

use crate::codec::{Malformed, Reader};

/// The bits of the value before.
const SAME: u8 = 0;
/// A whole number that is not negative, in `code - INTEGER` bytes.
const INTEGER: u8 = 1;
/// A decimal in `code - DECIMAL` bytes: mantissa, sign and exponent.
const DECIMAL: u8 = 7;
/// The eight bytes of the float.
const RAW: u8 = 15;
/// Bytes of an integer at most.
const INTEGER_BYTES_MAX: u32 = 6;

const SIGN: u64 = 1 << 63;
/// Low bits of a decimal: its exponent, then its sign.
const EXPONENT_BITS: u32 = 2;
const DECIMAL_SIGN: u64 = 1 << EXPONENT_BITS;
const DECIMAL_SHIFT: u32 = EXPONENT_BITS + 1;
/// Mantissas are below this: integers up to here are floats.
const MANTISSA_END: i64 = 1 << 53;
/// What mantissas are divided by, by exponent number.
const SCALES: [f64; 1 << EXPONENT_BITS] = [1e0, 1e3, 1e6, 1e9];

/// Bytes that a code asks for.
const fn bytes_of(code: u8) -> u8 {
    match code {
        SAME => 0,
        RAW => 8,
        INTEGER..=DECIMAL => code - INTEGER,
        _ => code - DECIMAL,
    }
}

/// Bytes that both codes of a byte ask for.
const BYTES_OF_TWO: [u8; 256] = {
    let mut sums = [0; 256];
    let mut two = 0;
    while two < 256 {
        sums[two] = bytes_of(two as u8 & 15) + bytes_of(two as u8 >> 4);
        two += 1;
    }
    sums
};

/// Bytes, and the bits of a little-endian number that they are, by code.
const CODES: [(u8, u64); 16] = {
    let mut codes = [(0, 0); 16];
    let mut code = 0;
    while code < 16 {
        let bytes = bytes_of(code as u8);
        let mask = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes as u32)) - 1 };
        codes[code] = (bytes, mask);
        code += 1;
    }
    codes
};

fn byte_len(number: u64) -> u32 {
    (u64::BITS - number.leading_zeros()).div_ceil(8)
}

/// The code of a value that is not the one before, and the number whose low bytes follow.
#[inline]
fn encode(bits: u64) -> (u8, u64) {
    let magnitude = f64::from_bits(bits & !SIGN);
    // Of what is no such number, NaN or beyond it, the comparisons find something else.
    #[expect(clippy::cast_possible_truncation, reason = "compared with the value right away")]
    let whole = magnitude as i64;
    #[expect(clippy::cast_precision_loss, reason = "compared with the value right away")]
    let is_whole = (whole as f64).to_bits() == bits & !SIGN && whole < MANTISSA_END;
    if is_whole {
        let whole = whole.cast_unsigned();
        let len = byte_len(whole);
        if bits & SIGN == 0 && len <= INTEGER_BYTES_MAX {
            return (INTEGER + len as u8, whole);
        }
        return decimal(whole, bits, 0);
    }
    for (number, scale) in (1..).zip(&SCALES[1..]) {
        #[expect(clippy::cast_possible_truncation, reason = "compared with the value right away")]
        let mantissa = (magnitude * scale + 0.5) as i64;
        #[expect(clippy::cast_precision_loss, reason = "compared with the value right away")]
        let back = mantissa as f64 / scale;
        if back.to_bits() == bits & !SIGN && mantissa < MANTISSA_END {
            return decimal(mantissa.cast_unsigned(), bits, number);
        }
    }
    (RAW, bits)
}

fn decimal(mantissa: u64, bits: u64, exponent: u64) -> (u8, u64) {
    let sign = if bits & SIGN == 0 { 0 } else { DECIMAL_SIGN };
    let number = mantissa << DECIMAL_SHIFT | sign | exponent;
    (DECIMAL + byte_len(number) as u8, number)
}

/// The bits of the value with this code; the inverse of [`encode`].
#[inline]
fn decode(code: u8, number: u64, before: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "written for floats that came back")]
    match code {
        SAME => before,
        INTEGER..=DECIMAL => (number as f64).to_bits(),
        RAW => number,
        _ => {
            let scale = SCALES[number as usize % SCALES.len()];
            let magnitude = (number >> DECIMAL_SHIFT) as f64 / scale;
            magnitude.to_bits() | (number & DECIMAL_SIGN) << (63 - EXPONENT_BITS)
        }
    }
}

/// Takes values up. Its memory goes from one record to the next.
#[derive(Debug, Default)]
pub(super) struct ValueEncoder {
    codes: Vec<u8>,
    bytes: Vec<u8>,
    before: u64,
}

impl ValueEncoder {
    pub(super) fn clear(&mut self) {
        self.codes.clear();
        self.bytes.clear();
        self.before = 0;
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    #[inline]
    pub(super) fn push(&mut self, bits: u64) {
        if bits == self.before {
            self.codes.push(SAME);
            return;
        }
        self.before = bits;
        let (code, number) = encode(bits);
        self.codes.push(code);
        let end = self.bytes.len() + usize::from(bytes_of(code));
        // Eight at a time, of which some are taken back: cheaper than as many as there are.
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.truncate(end);
    }

    /// Appends the column.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let two = |pair: &[u8]| pair.iter().rev().fold(0, |byte, code| byte << 4 | code);
        out.extend(self.codes.chunks(2).map(two));
        out.extend_from_slice(&self.bytes);
    }
}

/// A column as it lies in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    codes: &'a [u8],
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Values<'a> {
    /// Takes a column of `len` values off the reader, which it must exhaust.
    pub(super) fn read(r: &mut Reader<'a>, len: usize) -> Result<Self, Malformed> {
        let codes = r.take(len.div_ceil(2), "value codes")?;
        let asked = codes.iter().map(|two| usize::from(BYTES_OF_TWO[usize::from(*two)])).sum();
        let bytes = r.take(asked, "values")?;
        // Of an odd number of codes the last half byte is empty.
        let filling = if len % 2 == 1 { codes.last().map_or(0, |last| last >> 4) } else { 0 };
        if r.is_empty() && filling == 0 {
            Ok(Self { codes, bytes, len })
        } else {
            Err(Malformed { what: "end of the values", at: r.position() })
        }
    }

    /// Writes the bits of all values over `out`.
    pub(super) fn decode(&self, out: &mut Vec<u64>) {
        out.clear();
        let (mut rest, mut before) = (self.bytes, 0);
        for two in self.codes {
            for code in [two & 15, two >> 4] {
                let (len, mask) = CODES[usize::from(code)];
                let number = match rest.first_chunk() {
                    Some(eight) => u64::from_le_bytes(*eight) & mask,
                    None => {
                        let mut eight = [0; 8];
                        eight.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                        u64::from_le_bytes(eight) & mask
                    }
                };
                rest = rest.get(usize::from(len)..).unwrap_or_default();
                before = decode(code, number, before);
                out.push(before);
            }
        }
        out.truncate(self.len);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[u64]) -> Vec<u8> {
        let mut encoder = ValueEncoder::default();
        values.iter().for_each(|bits| encoder.push(*bits));
        let mut out = Vec::new();
        encoder.put(&mut out);
        out
    }

    fn decoded(bytes: &[u8], len: usize) -> Option<Vec<u64>> {
        let mut out = vec![7];
        Values::read(&mut Reader::new(bytes), len).ok()?.decode(&mut out);
        Some(out)
    }

    /// Bits of floats of every kind.
    fn value() -> impl Strategy<Value = u64> {
        let whole = (any::<u64>(), 0..64u32).prop_map(|(n, shift)| ((n >> shift) as f64).to_bits());
        let decimal = (any::<i64>(), 10..64u32, 0..11i32)
            .prop_map(|(m, shift, e)| ((m >> shift) as f64 / 10f64.powi(e)).to_bits());
        let odd = prop::sample::select(vec![
            0,
            SIGN,
            0x7ff0_0000_0000_0002,
            f64::INFINITY.to_bits(),
            f64::NEG_INFINITY.to_bits(),
            f64::NAN.to_bits(),
            u64::MAX,
            1,
            f64::MAX.to_bits(),
            9_007_199_254_740_992f64.to_bits(),
            9_007_199_254_740_991f64.to_bits(),
            9_223_372_036_854_775_808f64.to_bits(),
        ]);
        prop_oneof![any::<u64>(), whole, decimal, odd]
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(values in prop::collection::vec((value(), any::<bool>(), 1..3usize), 0..60)) {
            let values: Vec<u64> = values
                .into_iter()
                .flat_map(|(bits, negative, n)| vec![bits ^ if negative { SIGN } else { 0 }; n])
                .collect();
            prop_assert_eq!(decoded(&encoded(&values), values.len()), Some(values));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60), len in 0..80usize) {
            if let Some(values) = decoded(&bytes, len) {
                prop_assert_eq!(values.len(), len);
                // What was read can be written.
                prop_assert_eq!(decoded(&encoded(&values), len), Some(values));
            }
        }
    }

    #[test]
    fn common_values_are_short() {
        let len = |value: f64| encoded(&[value.to_bits()]).len() - 1;
        let lens = [1.0, 255.0, 256.0, -1.0, 0.5, 12.34, 99.999, 123_456.78, 4096.0 * 1e5, 1e15];
        assert_eq!(lens.map(len), [1, 1, 2, 1, 2, 3, 3, 4, 4, 7]);
        assert_eq!([0.0, -0.0, 0.1 + 0.2, f64::NAN].map(len), [0, 1, 8, 8]);
        let stale = [0x7ff0_0000_0000_0002; 100];
        assert_eq!(encoded(&stale).len(), 50 + 8, "a target that goes");
    }

    #[test]
    fn the_bytes_do_not_change() {
        let values = [1.0, 1.0, 300.0, -2.5, f64::INFINITY];
        let bytes = encoded(&values.map(f64::to_bits));
        let raw = f64::INFINITY.to_le_bytes();
        // 2500 / 1000 and a sign: 2500 * 8 + 4 + 1.
        let expected = [&[0x02, 0x93, 0x0f, 1, 0x2c, 0x01, 0x25, 0x4e], &raw[..]].concat();
        assert_eq!(bytes, expected);
    }
}
