//! The append-only form of a chunk: the values of one series against the timestamp slots of its
//! target's window, as byte tokens.
//!
//! The low two bits of a token's first byte say what it is, the upper six (`arg`) qualify it:
//!
//! | low bits | token | meaning |
//! | --- | --- | --- |
//! | 0 | run | the last value again, in the next `arg + 1` slots |
//! | 1 | gap | `arg + 1` slots without a sample |
//! | 2 | step | one sample: the last mantissa plus a zigzag delta, see below |
//! | 3 | anchor | one sample: `arg` <= 18 is a decimal exponent, the mantissa follows as a zigzag varint; `arg` = 63: eight raw bytes |
//!
//! A step's `arg` is the delta itself below 32. Up to 47 its low four bits, and up to 55 its low three, are the
//! high bits of a delta whose one, or two, other bytes follow, less 32. From 56 on `arg - 55` bytes of a delta
//! follow. Bytes are little-endian.
//!
//! Series whose target's columns do not have their timestamps write them themselves ("timed" chunks): first
//! stands a timestamp as a zigzag varint. A gap token means another thing there: the distance in time from one
//! sample to the next changes by the zigzag number `arg`, or, when that is 63, by the zigzag varint that
//! follows. All other tokens are samples at that distance from the one before.
//!
//! A value `v` has mantissa `m` at exponent `e` when `m / 10^e` gives `v` back bit for bit and
//! |m| < 2^53; whatever has none (NaN, -0.0, long fractions) is kept raw. A run that is not finished
//! lives outside the bytes, and so does a first value that nothing else followed: a series which does not
//! change owns no memory beyond its state.

use super::links::{Links, Tail};
use super::target::WINDOW_SLOTS;
use crate::codec::{Malformed, Reader, unzigzag, zigzag};

/// Decimal exponents a value may have.
const EXPONENT_MAX: u8 = 18;
/// State of a series whose last value has no mantissa.
const EXPONENT_RAW: u8 = 63;
/// State of a chunk whose first value is not written yet.
const EXPONENT_NONE: u8 = 62;
/// Largest mantissa plus one: beyond it integers are not exact doubles.
const MANTISSA_LIMIT: f64 = 9_007_199_254_740_992.0;
const TOKEN_ARG_MAX: u8 = 64;
/// After a raw value, every how many samples a mantissa is looked for again.
const RAW_RETRY: u8 = 8;
/// Deltas below this are a step's argument.
const STEP_INLINE: u64 = 32;
/// Arguments of steps with one byte, with two, and with as many as they say.
const STEP_ONE: u8 = 32;
const STEP_TWO: u8 = 48;
const STEP_MANY: u8 = 55;
/// Deltas, less [`STEP_INLINE`], that take one byte and two.
const STEP_ONE_END: u64 = 1 << 12;
const STEP_TWO_END: u64 = 1 << 19;

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

/// The chunk a series is appending to. Its tokens lie in the shard's [`Links`].
#[derive(Debug)]
pub(super) struct OpenChunk {
    /// Of the last sample, also when the chunk that had it is finished.
    last_bits: u64,
    /// Number of the target's window whose slots it fills; of a timed chunk the last distance in time.
    window: u32,
    link: u32,
    fill: u8,
    /// Unfinished run: samples equal to the last one that no token says yet.
    run: u8,
    /// Slot behind the last sample, relative to the window.
    next_slot: u8,
    /// Samples.
    len: u8,
    exponent: u8,
    /// Flushes in a row that found the series without a sample.
    pub(super) idle_flushes: u8,
}

/// Before the first slot.
const NO_WINDOW: u32 = u32::MAX;
/// Instead of a window: the chunk is timed.
pub(super) const TIMED: u32 = u32::MAX - 1;
/// Argument of a distance's token when the change follows as a varint.
const DISTANCE_LONG: u64 = 63;
/// Instead of the next slot of a timed chunk.
const NO_SLOT: u8 = u8::MAX;
/// Samples of a timed chunk.
const TIMED_LEN_MAX: u8 = WINDOW_SLOTS as u8;

const _: () = assert!(WINDOW_SLOTS < u8::MAX as usize, "slots are counted in bytes");

impl Default for OpenChunk {
    fn default() -> Self {
        let Tail { link, fill } = Tail::EMPTY;
        Self {
            last_bits: 0,
            window: NO_WINDOW,
            link,
            fill,
            run: 0,
            next_slot: 0,
            len: 0,
            exponent: EXPONENT_NONE,
            idle_flushes: 0,
        }
    }
}

/// Where tokens go.
trait Tokens {
    fn put(&mut self, byte: u8);

    fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(*byte));
    }
}

impl Tokens for Vec<u8> {
    fn put(&mut self, byte: u8) {
        self.push(byte);
    }
}

struct Chain<'a> {
    links: &'a mut Links,
    tail: Tail,
}

impl Tokens for Chain<'_> {
    fn put(&mut self, byte: u8) {
        self.links.push(&mut self.tail, byte);
    }
}

fn put_counted(out: &mut impl Tokens, token: u8, mut count: u8) {
    while count > 0 {
        let n = count.min(TOKEN_ARG_MAX);
        out.put(token | (n - 1) << 2);
        count -= n;
    }
}

fn put_step(out: &mut impl Tokens, delta: u64) {
    let Some(beyond) = delta.checked_sub(STEP_INLINE) else {
        out.put(STEP | (delta as u8) << 2);
        return;
    };
    let le = beyond.to_le_bytes();
    if beyond < STEP_ONE_END {
        out.put(STEP | (STEP_ONE + le[1]) << 2);
        out.put(le[0]);
    } else if beyond < STEP_TWO_END {
        out.put(STEP | (STEP_TWO + le[2]) << 2);
        out.put_all(&le[..2]);
    } else {
        let n = (64 - delta.leading_zeros()).div_ceil(8) as u8;
        out.put(STEP | (STEP_MANY + n) << 2);
        out.put_all(delta.to_le_bytes().get(..usize::from(n)).unwrap_or_default());
    }
}

/// The delta of a step.
fn step(arg: u8, reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    if arg < STEP_ONE {
        return Ok(u64::from(arg));
    }
    let (n, high) = if arg < STEP_TWO {
        (1, arg - STEP_ONE)
    } else if arg <= STEP_MANY {
        (2, arg - STEP_TWO)
    } else {
        (usize::from(arg - STEP_MANY), 0)
    };
    let mut le = [0; 8];
    le.iter_mut().zip(reader.take(n, "step")?).for_each(|(to, from)| *to = *from);
    let low = u64::from_le_bytes(le);
    Ok(if arg > STEP_MANY { low } else { (u64::from(high) << (8 * n) | low) + STEP_INLINE })
}

fn put_ivarint(out: &mut impl Tokens, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.put(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put(rest as u8);
}

/// Writes by how much a distance in time differs from the one before, unless it does not.
fn put_distance(out: &mut impl Tokens, change: i64) {
    match zigzag(change) {
        0 => {}
        small @ 1..DISTANCE_LONG => out.put(GAP | (small as u8) << 2),
        _ => {
            out.put(GAP | (DISTANCE_LONG as u8) << 2);
            put_ivarint(out, change);
        }
    }
}

/// Writes an anchor of the value; answers the exponent that it has from then on.
fn put_anchor(out: &mut impl Tokens, bits: u64, try_decimal: bool) -> u8 {
    let value = f64::from_bits(bits);
    if let Some((exponent, m)) = try_decimal.then(|| smallest_exponent(value)).flatten() {
        out.put(ANCHOR | exponent << 2);
        put_ivarint(out, m);
        return exponent;
    }
    out.put(ANCHOR | EXPONENT_RAW << 2);
    out.put_all(&bits.to_le_bytes());
    EXPONENT_RAW
}

impl OpenChunk {
    /// Number of samples.
    pub(super) fn len(&self) -> u8 {
        self.len
    }

    /// Whether its samples have timestamps of their own.
    pub(super) fn is_timed(&self) -> bool {
        self.len > 0 && self.next_slot == NO_SLOT
    }

    /// Number of the target's window, or [`TIMED`].
    pub(super) fn window(&self) -> u32 {
        if self.is_timed() { TIMED } else { self.window }
    }

    /// Begins to fill the slots of a window. The chunk is empty.
    pub(super) fn begin(&mut self, window: u32) {
        self.window = window;
    }

    /// The first slot that may still be written.
    pub(super) fn next_slot(&self) -> u8 {
        self.next_slot
    }

    /// Appends a value with its timestamp to a chunk that is empty or timed, where `last_ts` is the timestamp
    /// of its last sample. False when the chunk takes no more.
    pub(super) fn push_timed(
        &mut self,
        links: &mut Links,
        last_ts: i64,
        ts: i64,
        bits: u64,
    ) -> bool {
        if self.len == 0 {
            let mut out = Chain { links, tail: self.tail() };
            put_ivarint(&mut out, ts);
            self.exponent = put_anchor(&mut out, bits, true);
            Tail { link: self.link, fill: self.fill } = out.tail;
            self.window = 0;
        } else {
            let Ok(distance) = u32::try_from(ts.wrapping_sub(last_ts)) else { return false };
            if self.len == TIMED_LEN_MAX {
                return false;
            }
            if distance == self.window && bits == self.last_bits {
                self.run += 1;
            } else {
                let mut out = Chain { links, tail: self.tail() };
                put_counted(&mut out, RUN, std::mem::take(&mut self.run));
                put_distance(&mut out, i64::from(distance) - i64::from(self.window));
                if bits == self.last_bits {
                    self.run = 1;
                } else {
                    self.put_value(&mut out, bits);
                }
                Tail { link: self.link, fill: self.fill } = out.tail;
                self.window = distance;
            }
        }
        self.last_bits = bits;
        self.next_slot = NO_SLOT;
        self.len += 1;
        true
    }

    fn tail(&self) -> Tail {
        Tail { link: self.link, fill: self.fill }
    }

    /// Appends the value at `slot`, which is at least [`OpenChunk::next_slot`].
    pub(super) fn push(&mut self, links: &mut Links, slot: u8, bits: u64) {
        let gap = slot - self.next_slot;
        if gap == 0 && self.len > 0 && bits == self.last_bits {
            self.run += 1;
        } else {
            self.push_token(links, gap, bits);
        }
        self.next_slot = slot + 1;
        self.len += 1;
    }

    fn push_token(&mut self, links: &mut Links, gap: u8, bits: u64) {
        let mut out = Chain { links, tail: self.tail() };
        if gap > 0 || self.len > 0 {
            self.exponent = self.settle(&mut out);
            self.run = 0;
        }
        put_counted(&mut out, GAP, gap);
        if self.len == 0 {
            // Not written as long as nothing else comes.
            self.last_bits = bits;
        } else if bits == self.last_bits {
            self.run = 1;
        } else {
            self.put_value(&mut out, bits);
            self.last_bits = bits;
        }
        Tail { link: self.link, fill: self.fill } = out.tail;
    }

    /// Writes what is known but not written: the first value, and the run. Answers the exponent.
    fn settle(&self, out: &mut impl Tokens) -> u8 {
        let mut exponent = self.exponent;
        if self.len > 0 && exponent == EXPONENT_NONE {
            exponent = put_anchor(out, self.last_bits, true);
        }
        put_counted(out, RUN, self.run);
        exponent
    }

    fn put_value(&mut self, out: &mut impl Tokens, bits: u64) {
        let m = |bits| mantissa(f64::from_bits(bits), self.exponent);
        if self.exponent != EXPONENT_RAW
            && let (Some(before), Some(m)) = (m(self.last_bits), m(bits))
        {
            put_step(out, zigzag(m - before));
            return;
        }
        // A series of long fractions would pay for nineteen attempts each time: it is tried again now and then.
        let try_decimal = self.exponent != EXPONENT_RAW || self.len.is_multiple_of(RAW_RETRY);
        self.exponent = put_anchor(out, bits, try_decimal);
    }

    /// Appends the bytes to `out` as if the chunk ended here.
    pub(super) fn copy(&self, links: &Links, out: &mut Vec<u8>) {
        links.copy(self.tail(), out);
        self.settle(out);
    }

    /// Ends the chunk, which is not empty, and begins an empty one. `before` is the place of the series'
    /// finished one before it. Answers the place of the finished chunk.
    pub(super) fn finish(&mut self, links: &mut Links, before: u32) -> u32 {
        let window = self.window();
        let mut out = Chain { links, tail: self.tail() };
        self.settle(&mut out);
        let Chain { links, tail } = out;
        let place = links.finish(tail, window, before);
        self.begin_anew();
        place
    }

    /// Forgets all samples but the last value, and gives the memory back.
    pub(super) fn clear(&mut self, links: &mut Links) {
        links.free(&mut self.tail());
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        let Self { last_bits, idle_flushes, .. } = *self;
        *self = Self { last_bits, idle_flushes, ..Self::default() };
    }

    /// Bits of the value appended last, be it in this chunk or in an earlier one.
    pub(super) fn last_bits(&self) -> u64 {
        self.last_bits
    }

    /// Sets the last value of a series whose chunk is empty.
    pub(super) fn set_last_bits(&mut self, bits: u64) {
        debug_assert!(self.len == 0, "a chunk's last value is the one it repeats");
        self.last_bits = bits;
    }
}

/// The value that tokens have come to.
struct Decoder {
    bits: u64,
    mantissa: i64,
    exponent: u8,
}

impl Decoder {
    const fn new() -> Self {
        Self { bits: 0, mantissa: 0, exponent: EXPONENT_RAW }
    }

    /// Reads what follows the first byte of a step or an anchor.
    fn value(&mut self, byte: u8, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let arg = byte >> 2;
        if byte & 3 == STEP {
            let delta = step(arg, reader)?;
            self.mantissa = self.mantissa.wrapping_add(unzigzag(delta));
        } else if arg <= EXPONENT_MAX {
            self.exponent = arg;
            self.mantissa = reader.ivarint("mantissa")?;
        } else {
            self.exponent = EXPONENT_RAW;
            self.bits = reader.u64("raw value")?;
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "an integer below 2^53")]
        let value = self.mantissa as f64 / pow10(self.exponent);
        self.bits = value.to_bits();
        Ok(())
    }
}

/// Calls `sample(slot, bits)` for every sample of a sealed chunk, in order.
///
/// # Errors
/// When the bytes are not a chunk; the samples before the fault have been told.
pub(super) fn decode(bytes: &[u8], mut sample: impl FnMut(u32, u64)) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let (mut slot, mut decoder) = (0u32, Decoder::new());
    while !reader.is_empty() {
        let byte = reader.u8("token")?;
        let count = u32::from(byte >> 2) + 1;
        match byte & 3 {
            RUN => {
                for _ in 0..count {
                    sample(slot, decoder.bits);
                    slot += 1;
                }
            }
            GAP => slot += count,
            _ => {
                decoder.value(byte, &mut reader)?;
                sample(slot, decoder.bits);
                slot += 1;
            }
        }
    }
    Ok(())
}

/// Calls `sample(ts, bits)` for every sample of a timed chunk, in order.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_timed(
    bytes: &[u8],
    mut sample: impl FnMut(i64, u64),
) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    let mut decoder = Decoder::new();
    if reader.is_empty() {
        return Ok(());
    }
    let (mut ts, mut distance) = (reader.ivarint("timestamp")?, 0i64);
    while !reader.is_empty() {
        let byte = reader.u8("token")?;
        let arg = byte >> 2;
        let count = match byte & 3 {
            GAP => {
                let change = match u64::from(arg) {
                    DISTANCE_LONG => reader.ivarint("distance")?,
                    small => unzigzag(small),
                };
                distance = distance.wrapping_add(change);
                continue;
            }
            RUN => u32::from(arg) + 1,
            _ => {
                decoder.value(byte, &mut reader)?;
                1
            }
        };
        for _ in 0..count {
            ts = ts.wrapping_add(distance);
            sample(ts, decoder.bits);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::STALE_NAN_BITS;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> Vec<(u8, u64)> {
        let mut seen = Vec::new();
        decode(bytes, |slot, bits| seen.push((slot as u8, bits))).unwrap();
        seen
    }

    fn round_trip(samples: &[(u8, u64)]) {
        let (mut links, mut chunk) = (Links::default(), OpenChunk::default());
        let mut bytes = Vec::new();
        for (i, &(slot, bits)) in samples.iter().enumerate() {
            chunk.push(&mut links, slot, bits);
            bytes.clear();
            chunk.copy(&links, &mut bytes);
            assert_eq!(decoded(&bytes), samples[..=i], "copy after {} samples", i + 1);
        }
        chunk.clear(&mut links);
        assert_eq!((chunk.len(), links.in_use()), (0, 0));
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
        fn gives_every_bit_back(samples in prop::collection::vec((prop_oneof![4 => Just(1u8), 1 => 1u8..50], value()), 1..120)) {
            let mut slot = 0;
            let samples: Vec<_> = samples.into_iter().map_while(|(gap, bits)| {
                let at = slot + gap - 1;
                slot = at + 1;
                (usize::from(at) < WINDOW_SLOTS).then_some((at, bits))
            }).collect();
            round_trip(&samples);
        }

        #[test]
        fn timed_chunks_give_every_timestamp_back(
            first in -(1i64 << 53)..1 << 53,
            rest in prop::collection::vec((prop_oneof![4 => 14_990i64..15_010, 1 => 1i64..1 << 40], value()), 0..150),
            bits in value(),
        ) {
            let (mut links, mut chunk) = (Links::default(), OpenChunk::default());
            prop_assert!(chunk.push_timed(&mut links, 0, first, bits));
            let mut expected = vec![(first, bits)];
            for (distance, bits) in rest {
                let last = expected[expected.len() - 1].0;
                let taken = chunk.push_timed(&mut links, last, last + distance, bits);
                let fits = distance <= i64::from(u32::MAX) && expected.len() < WINDOW_SLOTS;
                prop_assert_eq!(taken, fits);
                if !taken {
                    break;
                }
                expected.push((last + distance, bits));
            }
            prop_assert_eq!((chunk.window(), usize::from(chunk.len())), (TIMED, expected.len()));
            let (mut bytes, mut seen) = (Vec::new(), Vec::new());
            chunk.copy(&links, &mut bytes);
            decode_timed(&bytes, |ts, bits| seen.push((ts, bits))).unwrap();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut n = 0usize;
            let _told = decode(&bytes, |_, _| n += 1);
            let _told = decode_timed(&bytes, |_, _| n += 1);
            prop_assert!(n <= bytes.len() * 2 * 64);
        }
    }

    #[test]
    fn steps_of_every_size_come_back_in_few_bytes() {
        let mut edges: Vec<u64> = [32, 32 + (1 << 12), 32 + (1 << 19), 1 << 24, 1 << 54].to_vec();
        edges.extend((0..55).map(|bit| 1 << bit));
        for delta in edges.into_iter().flat_map(|edge| edge - 1..=edge + 1) {
            let mut bytes = Vec::new();
            put_step(&mut bytes, delta);
            let mut reader = Reader::new(&bytes[1..]);
            assert_eq!(step(bytes[0] >> 2, &mut reader).unwrap(), delta);
            assert!(reader.is_empty() && bytes[0] & 3 == STEP);
            let bits = 64 - delta.leading_zeros();
            assert!(bytes.len() <= 1 + bits.div_ceil(8) as usize, "{delta}: {}", bytes.len());
        }
    }

    #[test]
    fn a_constant_timed_series_owns_one_block() {
        let (mut links, mut chunk) = (Links::default(), OpenChunk::default());
        for i in 0..120 {
            let ts = 1_700_000_000_000 + i * 15_000;
            assert!(chunk.push_timed(&mut links, ts - 15_000, ts, 42.0f64.to_bits()));
        }
        assert_eq!((links.in_use(), chunk.len()), (1, 120));
    }

    #[test]
    fn a_constant_series_owns_nothing() {
        let (mut links, mut chunk) = (Links::default(), OpenChunk::default());
        for slot in 0..120 {
            chunk.push(&mut links, slot, 42.0f64.to_bits());
        }
        assert_eq!((links.in_use(), chunk.len()), (0, 120));
        let mut bytes = Vec::new();
        chunk.copy(&links, &mut bytes);
        assert_eq!(bytes, [ANCHOR, 84, RUN | 63 << 2, RUN | 54 << 2]);
    }
}
