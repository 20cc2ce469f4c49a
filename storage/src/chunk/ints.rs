//! A stream of `i64`: optional division by the greatest common divisor, order 0 or 1 differences, a reference
//! (the minimum, or zigzag around the median), and patched frame of reference: the low `w` bits of everything,
//! and the high bits of the few that need more.
//!
//! Lossless for every sequence: differences wrap, and wrap back.

use super::bits::{bit_len, mask, pack, packed_len, unpack};
use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint, unzigzag, zigzag};

const ORDER_1: u8 = 1;
const ZIGZAG: u8 = 1 << 1;
const PATCHED: u8 = 1 << 2;
const SCALED: u8 = 1 << 3;
const CONSTANT: u8 = 1 << 4;

/// Buffers of the encoder.
#[derive(Debug, Default)]
pub(super) struct IntEncoder {
    scaled: Vec<i64>,
    deltas: Vec<i64>,
    sorted: Vec<i64>,
    residuals: Vec<u64>,
    positions: Vec<u64>,
    high: Vec<u64>,
}

/// How residuals are packed.
#[derive(Debug, Clone, Copy)]
struct Packing {
    len: usize,
    width: u32,
    width_max: u32,
    patches: usize,
}

/// One way to write a stream.
#[derive(Debug, Clone, Copy)]
struct Plan {
    order_1: bool,
    zigzag: bool,
    reference: i64,
    packing: Packing,
    len: usize,
}

impl IntEncoder {
    /// Appends `values` to `out`; no values, no bytes. The number of values is not written.
    pub(super) fn encode(&mut self, values: &[i64], out: &mut Vec<u8>) {
        let Some(&first) = values.first() else { return };
        if values.iter().all(|&value| value == first) {
            out.push(CONSTANT);
            put_ivarint(out, first);
            return;
        }
        let scale = scale_of(values);
        self.scaled.clear();
        if scale > 1 {
            self.scaled.extend(values.iter().map(|value| value.wrapping_sub(first) / scale));
        } else {
            self.scaled.extend_from_slice(values);
        }
        self.deltas.clear();
        self.deltas.extend(self.scaled.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));

        let first_len = if scale > 1 { 0 } else { varint_len(zigzag(first)) };
        let mut plan = self.plan(false, 0);
        let with_deltas = self.plan(true, first_len);
        if with_deltas.len < plan.len {
            plan = with_deltas;
        }
        self.write(plan, first, scale, out);
    }

    /// The shorter of the two references for this order; `extra_len` bytes come on top.
    fn plan(&mut self, order_1: bool, extra_len: usize) -> Plan {
        let stream = if order_1 { &self.deltas } else { &self.scaled };
        let min = stream.iter().copied().min().unwrap_or(0);
        self.sorted.clear();
        self.sorted.extend_from_slice(stream);
        let middle = self.sorted.len() / 2;
        let median = *self.sorted.select_nth_unstable(middle).1;

        let from_min = Packing::of(stream.iter().map(|v| v.wrapping_sub(min).cast_unsigned()));
        let around = Packing::of(stream.iter().map(|v| zigzag(v.wrapping_sub(median))));
        let min_len = from_min.len + varint_len(zigzag(min)) + extra_len;
        let around_len = around.len + varint_len(zigzag(median)) + extra_len;
        if around_len < min_len {
            Plan { order_1, zigzag: true, reference: median, packing: around, len: around_len }
        } else {
            Plan { order_1, zigzag: false, reference: min, packing: from_min, len: min_len }
        }
    }

    fn write(&mut self, plan: Plan, first: i64, scale: i64, out: &mut Vec<u8>) {
        let Packing { width, width_max, patches, .. } = plan.packing;
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            flag(plan.order_1, ORDER_1)
                | flag(plan.zigzag, ZIGZAG)
                | flag(patches > 0, PATCHED)
                | flag(scale > 1, SCALED),
        );
        out.push(width as u8);
        if scale > 1 {
            put_uvarint(out, scale.unsigned_abs());
        }
        if scale > 1 || plan.order_1 {
            put_ivarint(out, first);
        }
        put_ivarint(out, plan.reference);

        let stream = if plan.order_1 { &self.deltas } else { &self.scaled };
        self.residuals.clear();
        let from_reference = stream.iter().map(|value| value.wrapping_sub(plan.reference));
        if plan.zigzag {
            self.residuals.extend(from_reference.map(zigzag));
        } else {
            self.residuals.extend(from_reference.map(i64::cast_unsigned));
        }
        if patches > 0 {
            self.positions.clear();
            self.high.clear();
            for (at, residual) in self.residuals.iter_mut().enumerate() {
                if bit_len(*residual) > width {
                    self.positions.push(at as u64);
                    self.high.push(*residual >> width);
                    *residual &= mask(width);
                }
            }
            put_uvarint(out, patches as u64);
            out.push((width_max - width) as u8);
            pack(&self.positions, position_width(self.residuals.len()), out);
            pack(&self.high, width_max - width, out);
        }
        pack(&self.residuals, width, out);
    }
}

impl Packing {
    /// The shortest packing, by a histogram of bit lengths.
    fn of(residuals: impl ExactSizeIterator<Item = u64>) -> Self {
        let n = residuals.len();
        let mut by_width = [0usize; 65];
        for residual in residuals {
            by_width[bit_len(residual) as usize] += 1;
        }
        let width_max = by_width.iter().rposition(|&count| count > 0).unwrap_or(0) as u32;
        let mut best =
            Self { len: packed_len(n, width_max), width: width_max, width_max, patches: 0 };
        let position_width = position_width(n);
        let mut patches = 0;
        for width in (0..width_max).rev() {
            patches += by_width[width as usize + 1];
            if patches > n / 2 {
                break;
            }
            let len = packed_len(n, width)
                + packed_len(patches, position_width)
                + packed_len(patches, width_max - width)
                + 1
                + varint_len(patches as u64);
            if len < best.len {
                best = Self { len, width, width_max, patches };
            }
        }
        best
    }
}

/// Bits of a position among `n` residuals.
const fn position_width(n: usize) -> u32 {
    bit_len(n.saturating_sub(1) as u64)
}

/// The greatest common divisor of all differences, or 1 when there is none worth writing or the values span
/// more than an `i64` can hold (their differences would wrap, and division does not survive that).
fn scale_of(values: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for pair in values.windows(2) {
        divisor = gcd(divisor, pair[1].wrapping_sub(pair[0]).unsigned_abs());
        if divisor == 1 {
            return 1;
        }
    }
    let min = values.iter().copied().min().unwrap_or(0);
    let max = values.iter().copied().max().unwrap_or(0);
    match (max.checked_sub(min), i64::try_from(divisor)) {
        (Some(_), Ok(divisor)) if divisor > 1 => divisor,
        _ => 1,
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

const fn varint_len(value: u64) -> usize {
    let len = bit_len(value).div_ceil(7) as usize;
    if len == 0 { 1 } else { len }
}

/// Replaces the content of `out` by the `n` values at the reader. The caller bounds `n`.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    n: usize,
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    // What `out` held before is overwritten, so only growth needs zeros.
    out.resize(n, 0);
    if n == 0 {
        return Ok(());
    }
    let at = reader.position();
    let malformed = |what| Malformed { what, at };
    let flags = reader.u8("integer stream flags")?;
    if flags == CONSTANT {
        out.fill(reader.ivarint("constant integer")?);
        return Ok(());
    }
    if flags & !(ORDER_1 | ZIGZAG | PATCHED | SCALED) != 0 {
        return Err(malformed("integer stream flags"));
    }
    let (order_1, scaled) = (flags & ORDER_1 != 0, flags & SCALED != 0);
    let width = u32::from(reader.u8("bit width")?);
    if width > u64::BITS {
        return Err(malformed("bit width"));
    }
    let scale = if scaled { reader.uvarint("scale")?.cast_signed() } else { 1 };
    let first = if scaled || order_1 { reader.ivarint("first integer")? } else { 0 };
    let reference = reader.ivarint("reference integer")?;
    let residuals = out.get_mut(usize::from(order_1)..).ok_or(malformed("integers"))?;
    let patches = if flags & PATCHED != 0 {
        Some(Patches::read(reader, residuals.len(), width)?)
    } else {
        None
    };
    let packed = reader.take(packed_len(residuals.len(), width), "packed integers")?;
    unpack(packed, width, residuals).ok_or(malformed("packed integers"))?;
    if let Some(patches) = patches {
        patches.apply(residuals).ok_or(malformed("patch"))?;
    }

    if flags & ZIGZAG != 0 {
        for residual in residuals.iter_mut() {
            *residual = unzigzag(residual.cast_unsigned()).wrapping_add(reference);
        }
    } else if reference != 0 {
        for residual in residuals.iter_mut() {
            *residual = residual.wrapping_add(reference);
        }
    }
    if order_1 {
        // A scaled stream begins at 0: `first` is added to all of it below.
        sum_up(if scaled { 0 } else { first }, out);
    }
    if scaled {
        for value in out.iter_mut() {
            *value = value.wrapping_mul(scale).wrapping_add(first);
        }
    }
    Ok(())
}

/// Turns differences into values, beginning with `first`; what `deltas` begins with does not count.
fn sum_up(first: i64, deltas: &mut [i64]) {
    let mut sum = first;
    if let Some((head, tail)) = deltas.split_first_mut() {
        *head = first;
        for delta in tail {
            sum = sum.wrapping_add(*delta);
            *delta = sum;
        }
    }
}

/// The high bits of the residuals that need more than the packed width.
#[derive(Debug, Clone, Copy)]
struct Patches<'a> {
    count: usize,
    width: u32,
    high_width: u32,
    position_width: u32,
    positions: &'a [u8],
    high: &'a [u8],
}

impl<'a> Patches<'a> {
    /// Reads what belongs to `n` residuals of `width` low bits.
    fn read(reader: &mut Reader<'a>, n: usize, width: u32) -> Result<Self, Malformed> {
        let at = reader.position();
        let refused = Malformed { what: "patches", at };
        let count = usize::try_from(reader.uvarint("number of patches")?).map_err(|_| refused)?;
        let high_width = u32::from(reader.u8("patch width")?);
        if count > n || high_width == 0 || width + high_width > u64::BITS {
            return Err(refused);
        }
        let position_width = position_width(n);
        let positions = reader.take(packed_len(count, position_width), "patch positions")?;
        let high = reader.take(packed_len(count, high_width), "patch bits")?;
        Ok(Self { count, width, high_width, position_width, positions, high })
    }

    /// Adds the high bits; `None` when a position lies outside.
    fn apply(self, residuals: &mut [i64]) -> Option<()> {
        // A run of so many packed values ends on a whole byte, whatever their width.
        const RUN: usize = 16;
        let (mut positions, mut high) = ([0i64; RUN], [0i64; RUN]);
        for start in (0..self.count).step_by(RUN) {
            let n = RUN.min(self.count - start);
            let positions = positions.get_mut(..n)?;
            let high = high.get_mut(..n)?;
            let positions_at = packed_len(start, self.position_width);
            unpack(self.positions.get(positions_at..)?, self.position_width, positions)?;
            let high_at = packed_len(start, self.high_width);
            unpack(self.high.get(high_at..)?, self.high_width, high)?;
            for (&position, &high) in positions.iter().zip(high.iter()) {
                *residuals.get_mut(usize::try_from(position).ok()?)? |= high << self.width;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        IntEncoder::default().encode(values, &mut bytes);
        bytes
    }

    fn round_trip(values: &[i64]) -> usize {
        let mut bytes = encoded(values);
        let len = bytes.len();
        // What follows a stream must not matter to it.
        bytes.extend_from_slice(&[0xa5; 3]);
        let mut reader = Reader::new(&bytes);
        let mut back = vec![7; 500];
        decode(&mut reader, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        assert_eq!(reader.position(), len, "a stream knows its end");
        len
    }

    #[test]
    fn corner_cases_round_trip() {
        round_trip(&[]);
        round_trip(&[i64::MIN]);
        round_trip(&[i64::MIN, i64::MAX]);
        round_trip(&[i64::MAX, i64::MIN, i64::MAX, 0, -1, 1]);
        round_trip(&[0, i64::MAX, i64::MIN]);
        // Differences that wrap to multiples of a large number while the values are none.
        round_trip(&[i64::MIN, i64::MIN + (1 << 40), i64::MAX - (1 << 40) + 1, i64::MIN]);
        round_trip(&[i64::MIN, 0]);
        round_trip(&[-1, i64::MAX - 1]);
    }

    #[test]
    fn sizes_of_typical_streams() {
        let constant = [1_700_000_000_000i64; 120];
        assert_eq!(round_trip(&constant), 7);
        let steady: Vec<i64> = (0..120).map(|i| 1_700_000_000_000 + i * 15_000).collect();
        assert!(round_trip(&steady) < 16, "{}", round_trip(&steady));
        let pages: Vec<i64> = (0..120).map(|i| 4096 * (i * i % 97 + 1000)).collect();
        let unscaled: Vec<i64> = pages.iter().map(|page| page / 4096).collect();
        assert!(round_trip(&pages) <= round_trip(&unscaled) + 8, "divided by 4096");
        let mut spikes: Vec<i64> = (0..120).map(|i| i % 3).collect();
        spikes[50] = 1 << 50;
        assert!(round_trip(&spikes) < 60, "{}", round_trip(&spikes));
    }

    #[test]
    fn bad_bytes_are_refused() {
        let mut out = Vec::new();
        for bytes in
            [&[][..], &[0x20], &[0, 65, 0], &[0, 8, 0, 1, 2], &[PATCHED, 60, 0, 1, 9, 0, 0]]
        {
            assert!(decode(&mut Reader::new(bytes), 4, &mut out).is_err(), "{bytes:?}");
        }
    }

    fn streams() -> impl Strategy<Value = Vec<i64>> {
        let length = 0..480usize;
        prop_oneof![
            proptest::collection::vec(any::<i64>(), length.clone()),
            proptest::collection::vec(-3i64..3, length.clone()),
            (any::<i64>(), any::<i64>(), proptest::collection::vec(-9i64..9, length.clone()))
                .prop_map(|(base, scale, steps)| steps
                    .iter()
                    .map(|step| step.wrapping_mul(scale).wrapping_add(base))
                    .collect()),
            (any::<i64>(), 0u32..64, proptest::collection::vec((any::<u64>(), 0u8..20), length))
                .prop_map(|(base, bits, steps)| {
                    let mut value = base;
                    let step = |(step, rare): &(u64, u8)| {
                        let delta = if *rare == 0 { *step } else { step >> bits };
                        value = value.wrapping_add(delta.cast_signed());
                        value
                    };
                    steps.iter().map(step).collect()
                }),
        ]
    }

    proptest! {
        #[test]
        fn every_stream_round_trips(values in streams()) {
            round_trip(&values);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(
            flags in any::<u8>(), bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0..480usize,
        ) {
            let mut out = Vec::new();
            let mut all = vec![flags & 0x1f];
            all.extend(bytes);
            let _ = decode(&mut Reader::new(&all), n, &mut out);
            prop_assert!(out.len() <= n);
        }

        #[test]
        fn mutated_streams_decode_or_are_refused(values in streams(), at in any::<usize>(), to in any::<u8>()) {
            let mut bytes = encoded(&values);
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = to;
            }
            let _ = decode(&mut Reader::new(&bytes), values.len(), &mut Vec::new());
        }
    }
}
