//! The append-only form of a chunk: the values of one series against the timestamp slots of its
//! target's window, as byte tokens.
//!
//! The low two bits of a token's first byte say what it is, the upper six (`arg`) qualify it:
//!
//! | low bits | token | meaning |
//! | --- | --- | --- |
//! | 0 | run | the last value again, in the next `arg + 1` slots |
//! | 1 | gap | `arg + 1` slots without a sample |
//! | 2 | step | one sample: the last mantissa plus a zigzag delta; `arg` < 56 is the delta itself, else `arg - 55` little-endian bytes follow |
//! | 3 | anchor | one sample: `arg` <= 18 is a decimal exponent, the mantissa follows as a zigzag varint; `arg` = 63: eight raw bytes |
//!
//! A value `v` has mantissa `m` at exponent `e` when `m / 10^e` gives `v` back bit for bit and
//! |m| < 2^53; whatever has none (NaN, -0.0, long fractions) is kept raw. A run that is not finished
//! lives outside the bytes, so that a series which does not change owns no memory beyond its state.

use crate::codec::{Malformed, Reader, put_ivarint, unzigzag, zigzag};

/// Decimal exponents a value may have.
const EXPONENT_MAX: u8 = 18;
/// State of a series whose last value has no mantissa.
const EXPONENT_RAW: u8 = 63;
/// Largest mantissa plus one: beyond it integers are not exact doubles.
const MANTISSA_LIMIT: f64 = 9_007_199_254_740_992.0;
const TOKEN_ARG_MAX: u16 = 64;
/// After a raw value, every how many samples a mantissa is looked for again.
const RAW_RETRY: u16 = 8;
const STEP_INLINE_MAX: u64 = 55;

const RUN: u8 = 0;
const GAP: u8 = 1;
const STEP: u8 = 2;
const ANCHOR: u8 = 3;

const POW10: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

fn pow10(exponent: u8) -> f64 {
    POW10.get(usize::from(exponent)).copied().unwrap_or(f64::NAN)
}

/// The mantissa of `value` at `exponent`, when it gives the value back bit for bit.
fn mantissa(value: f64, exponent: u8) -> Option<i64> {
    let scale = pow10(exponent);
    let m = (value * scale).round_ties_even();
    if m.is_nan() || m.abs() >= MANTISSA_LIMIT {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
    let integer = m as i64;
    #[expect(clippy::cast_precision_loss, reason = "an integer below 2^53")]
    let back = integer as f64 / scale;
    (back.to_bits() == value.to_bits()).then_some(integer)
}

fn smallest_exponent(value: f64) -> Option<(u8, i64)> {
    (0..=EXPONENT_MAX).find_map(|e| mantissa(value, e).map(|m| (e, m)))
}

/// The chunk a series is appending to.
#[derive(Debug, Default)]
pub(crate) struct OpenChunk {
    bytes: Vec<u8>,
    last_bits: u64,
    last_mantissa: i64,
    /// Unfinished run: samples equal to the last one that no token says yet.
    run: u16,
    /// Slot behind the last sample, relative to the window.
    next_slot: u16,
    /// Samples.
    len: u16,
    exponent: u8,
}

impl OpenChunk {
    /// Number of samples.
    pub(crate) fn len(&self) -> u16 {
        self.len
    }

    /// The first slot that may still be written.
    pub(crate) fn next_slot(&self) -> u16 {
        self.next_slot
    }

    /// Heap bytes owned.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends the value at `slot`, which is at least [`OpenChunk::next_slot`].
    pub(crate) fn push(&mut self, slot: u16, bits: u64) {
        let gap = slot - self.next_slot;
        if gap > 0 {
            self.finish_run();
            self.put_counted(GAP, gap);
        }
        if self.len > 0 && bits == self.last_bits {
            self.run += 1;
        } else {
            self.finish_run();
            self.put_value(bits);
            self.last_bits = bits;
        }
        self.next_slot = slot + 1;
        self.len += 1;
    }

    fn finish_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run > 0 {
            self.put_counted(RUN, run);
        }
    }

    fn put_counted(&mut self, token: u8, mut count: u16) {
        while count > 0 {
            let n = count.min(TOKEN_ARG_MAX);
            self.bytes.push(token | ((n - 1) as u8) << 2);
            count -= n;
        }
    }

    fn put_value(&mut self, bits: u64) {
        let value = f64::from_bits(bits);
        if self.len > 0
            && self.exponent != EXPONENT_RAW
            && let Some(m) = mantissa(value, self.exponent)
        {
            self.put_step(zigzag(m - self.last_mantissa));
            self.last_mantissa = m;
            return;
        }
        // A series of long fractions would pay for nineteen attempts each time: it is tried again now and then.
        let try_decimal =
            self.len == 0 || self.exponent != EXPONENT_RAW || self.len.is_multiple_of(RAW_RETRY);
        if let Some((exponent, m)) = try_decimal.then(|| smallest_exponent(value)).flatten() {
            self.bytes.push(ANCHOR | exponent << 2);
            put_ivarint(&mut self.bytes, m);
            self.exponent = exponent;
            self.last_mantissa = m;
        } else {
            self.bytes.push(ANCHOR | EXPONENT_RAW << 2);
            self.bytes.extend_from_slice(&bits.to_le_bytes());
            self.exponent = EXPONENT_RAW;
        }
    }

    fn put_step(&mut self, delta: u64) {
        if delta <= STEP_INLINE_MAX {
            self.bytes.push(STEP | (delta as u8) << 2);
            return;
        }
        let n = (64 - delta.leading_zeros()).div_ceil(8) as u8;
        self.bytes.push(STEP | (STEP_INLINE_MAX as u8 + n) << 2);
        let le = delta.to_le_bytes();
        self.bytes.extend_from_slice(le.get(..usize::from(n)).unwrap_or(&le));
    }

    /// Ends the chunk and leaves an empty one.
    pub(crate) fn seal(&mut self) -> Box<[u8]> {
        self.finish_run();
        let bytes = std::mem::take(&mut self.bytes).into_boxed_slice();
        *self = Self::default();
        bytes
    }

    /// The bytes as if sealed now.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2);
        bytes.extend_from_slice(&self.bytes);
        let mut tail = Self { bytes, run: self.run, ..Self::default() };
        tail.finish_run();
        tail.bytes
    }
}

/// Calls `sample(slot, bits)` for every sample of a sealed chunk, in order.
///
/// # Errors
/// When the bytes are not a chunk; the samples before the fault have been told.
pub(crate) fn decode(bytes: &[u8], mut sample: impl FnMut(u32, u64)) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let (mut slot, mut bits, mut m, mut exponent) = (0u32, 0u64, 0i64, EXPONENT_RAW);
    while !reader.is_empty() {
        let byte = reader.u8("token")?;
        let arg = byte >> 2;
        match byte & 3 {
            RUN => {
                for _ in 0..=arg {
                    sample(slot, bits);
                    slot += 1;
                }
                continue;
            }
            GAP => {
                slot += u32::from(arg) + 1;
                continue;
            }
            STEP => {
                let delta = match u64::from(arg).checked_sub(STEP_INLINE_MAX) {
                    None | Some(0) => u64::from(arg),
                    Some(n) => {
                        let raw = reader.take(n as usize, "step")?;
                        let mut le = [0; 8];
                        le.iter_mut().zip(raw).for_each(|(to, from)| *to = *from);
                        u64::from_le_bytes(le)
                    }
                };
                m = m.wrapping_add(unzigzag(delta));
                #[expect(clippy::cast_precision_loss, reason = "an integer below 2^53")]
                let value = m as f64 / pow10(exponent);
                bits = value.to_bits();
            }
            _ if arg <= EXPONENT_MAX => {
                exponent = arg;
                m = reader.ivarint("mantissa")?;
                #[expect(clippy::cast_precision_loss, reason = "an integer below 2^53")]
                let value = m as f64 / pow10(exponent);
                bits = value.to_bits();
            }
            _ => {
                exponent = EXPONENT_RAW;
                bits = reader.u64("raw value")?;
            }
        }
        sample(slot, bits);
        slot += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::STALE_NAN_BITS;
    use proptest::prelude::*;

    fn round_trip(samples: &[(u16, u64)]) {
        let mut chunk = OpenChunk::default();
        for (i, &(slot, bits)) in samples.iter().enumerate() {
            chunk.push(slot, bits);
            let mut seen = Vec::new();
            decode(&chunk.snapshot(), |slot, bits| seen.push((slot as u16, bits))).unwrap();
            assert_eq!(seen, samples[..=i], "snapshot after {} samples", i + 1);
        }
        let mut seen = Vec::new();
        decode(&chunk.seal(), |slot, bits| seen.push((slot as u16, bits))).unwrap();
        assert_eq!(seen, samples);
    }

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => (-1000i64..1000).prop_map(|i| (i as f64).to_bits()),
            3 => (-100_000i64..100_000).prop_map(|i| (i as f64 / 100.0).to_bits()),
            2 => any::<u64>(),
            1 => Just(STALE_NAN_BITS),
            1 => Just((-0.0f64).to_bits()),
            2 => Just(1.0f64.to_bits()),
            1 => (0i64..1 << 53).prop_map(|i| (i as f64).to_bits()),
        ]
    }

    proptest! {
        #[test]
        fn gives_every_bit_back(samples in prop::collection::vec((1u16..100, value()), 1..60)) {
            let mut slot = 0;
            let samples: Vec<_> = samples.into_iter().map(|(gap, bits)| {
                let at = slot + gap - 1;
                slot = at + 1;
                (at, bits)
            }).collect();
            round_trip(&samples);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut n = 0usize;
            let _told = decode(&bytes, |_, _| n += 1);
            prop_assert!(n <= bytes.len() * 64);
        }
    }

    #[test]
    fn a_constant_series_owns_one_anchor() {
        let mut chunk = OpenChunk::default();
        for slot in 0..120 {
            chunk.push(slot, 42.0f64.to_bits());
        }
        assert_eq!(chunk.bytes, [ANCHOR, 84]);
        assert_eq!(chunk.len(), 120);
    }
}
