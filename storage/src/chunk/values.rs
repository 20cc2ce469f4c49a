//! Columns of floats, lossless to the bit: constant, decimals as integers, decimals with a few units in the last
//! place of noise, or the bits in an order-preserving form.
//!
//! A decimal is decoded as `mantissa / 10^exponent`: one correctly rounded division, so that one exponent is
//! enough. Every value is checked to come back with its own bits before that form is chosen; the few that do
//! not (stale markers, infinities) are exceptions beside it.

use std::ops::Range;

use super::ints::{self, IntEncoder};
use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint};
use crate::model::STALE_NAN_BITS;

/// Lower bits of the tag: the decimal exponent, or [`BITS`].
const EXPONENT: u8 = 0x1f;
/// Instead of an exponent: the bits of the values.
const BITS: u8 = 31;
/// Upper bits of the tag: what follows it.
const MODE: u8 = 0x60;
const MODE_INTS: u8 = 0;
const MODE_CONSTANT: u8 = 0x20;
const MODE_EXCEPTIONS: u8 = 0x40;
const MODE_ULPS: u8 = 0x60;

const EXPONENT_MAX: u8 = 18;
/// Mantissas stay below this, where a float holds every integer.
const MANTISSA_LIMIT: f64 = 9_007_199_254_740_992.0;
/// Floats from here on are integers.
const INTEGERS_FROM: f64 = 4_503_599_627_370_496.0;
/// One exception in so many values, stale markers not counted, and the decimal form is given up.
const VALUES_PER_EXCEPTION: usize = 16;
/// Exponents tried for decimals with noise.
const ULP_EXPONENTS: [u8; 3] = [3, 6, 9];
/// More noise than this is none.
const ULPS_MAX: u64 = 1 << 24;
/// From this exponent on the other forms are tried too: so many digits are usually noise.
const EXPONENT_DOUBTFUL: u8 = 13;

const POWERS_OF_10: [f64; EXPONENT_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

fn power_of_10(exponent: u8) -> Option<f64> {
    POWERS_OF_10.get(usize::from(exponent)).copied()
}

/// The bits of a float as an integer that orders as the floats do.
const fn ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Inverse of [`ordered`].
const fn unordered(value: i64) -> f64 {
    f64::from_bits((value ^ ((value >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

/// The integer nearest to `value * power`, if a mantissa may be that large.
fn nearest(value: f64, power: f64) -> Option<i64> {
    let scaled = value * power;
    let magnitude = scaled.abs();
    // Written for speed: `f64::round` is a library call on the base instruction set.
    let rounded = if magnitude < INTEGERS_FROM { scaled + 0.5f64.copysign(scaled) } else { scaled };
    (magnitude < MANTISSA_LIMIT).then_some(rounded as i64)
}

/// The mantissa of `value` at this power of ten, if it comes back with the same bits.
fn mantissa(value: f64, power: f64) -> Option<i64> {
    let mantissa = nearest(value, power)?;
    (((mantissa as f64) / power).to_bits() == value.to_bits()).then_some(mantissa)
}

/// The smallest exponent not below `from` at which `value` has a mantissa.
fn exponent_of(value: f64, from: u8) -> Option<u8> {
    let powers = POWERS_OF_10.iter().enumerate().skip(usize::from(from));
    for (exponent, &power) in powers {
        nearest(value, power)?;
        if mantissa(value, power).is_some() {
            return u8::try_from(exponent).ok();
        }
    }
    None
}

const fn is_stale_bits(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Buffers of the encoder.
#[derive(Debug, Default)]
pub(super) struct ValueEncoder {
    pub(super) ints: IntEncoder,
    mantissas: Vec<i64>,
    ulps: Vec<i64>,
    exceptions: Vec<usize>,
    candidate: Vec<u8>,
    best: Vec<u8>,
}

impl ValueEncoder {
    /// Appends `values`; their number is not written. No values, no bytes.
    pub(super) fn encode(&mut self, values: &[f64], out: &mut Vec<u8>) {
        let Some(first) = values.first() else { return };
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            encode_constant(*first, out);
            return;
        }
        let decimal = self.map_to_decimals(values);
        self.best.clear();
        if let Some(exponent) = decimal {
            self.write_decimals(exponent, values);
        }
        if decimal.is_none_or(|exponent| exponent >= EXPONENT_DOUBTFUL) {
            self.write_bits(values);
            for exponent in ULP_EXPONENTS {
                self.write_ulps(exponent, values);
            }
        }
        out.extend_from_slice(&self.best);
    }

    /// Keeps the candidate if it is the shortest so far.
    fn judge_candidate(&mut self) {
        if self.best.is_empty() || self.candidate.len() < self.best.len() {
            std::mem::swap(&mut self.best, &mut self.candidate);
        }
    }

    /// Finds an exponent for all but a few values and fills `mantissas` and `exceptions`.
    fn map_to_decimals(&mut self, values: &[f64]) -> Option<u8> {
        let exceptions_max = values.len() / VALUES_PER_EXCEPTION;
        let exponent = largest_exponent(values, exceptions_max)?;
        if self.try_decimals(values, exponent, exceptions_max) {
            return Some(exponent);
        }
        // A few values of many digits pushed the exponent to where the others overflow.
        let exponent = covering_exponent(values, exceptions_max)?;
        self.try_decimals(values, exponent, exceptions_max).then_some(exponent)
    }

    fn try_decimals(&mut self, values: &[f64], exponent: u8, exceptions_max: usize) -> bool {
        let Some(power) = power_of_10(exponent) else { return false };
        self.mantissas.clear();
        self.exceptions.clear();
        let mut exceptions = 0;
        let mut last = 0;
        for (at, &value) in values.iter().enumerate() {
            if let Some(mantissa) = mantissa(value, power) {
                if self.exceptions.len() == at {
                    // Exceptions at the beginning repeat the first value that is none.
                    self.mantissas.fill(mantissa);
                }
                last = mantissa;
            } else {
                self.exceptions.push(at);
                exceptions += usize::from(!is_stale_bits(value));
                if exceptions > exceptions_max {
                    return false;
                }
            }
            self.mantissas.push(last);
        }
        true
    }

    fn write_decimals(&mut self, exponent: u8, values: &[f64]) {
        self.candidate.clear();
        let mode = if self.exceptions.is_empty() { MODE_INTS } else { MODE_EXCEPTIONS };
        self.candidate.push(mode | exponent);
        if mode == MODE_EXCEPTIONS {
            put_uvarint(&mut self.candidate, self.exceptions.len() as u64);
            let mut next = 0;
            for &at in &self.exceptions {
                let value = values[at];
                let other = u64::from(!is_stale_bits(value));
                put_uvarint(&mut self.candidate, ((at - next) as u64) << 1 | other);
                if other == 1 {
                    self.candidate.extend_from_slice(&value.to_bits().to_le_bytes());
                }
                next = at + 1;
            }
        }
        self.ints.encode(&self.mantissas, &mut self.candidate);
        self.judge_candidate();
    }

    fn write_bits(&mut self, values: &[f64]) {
        self.candidate.clear();
        self.candidate.push(MODE_INTS | BITS);
        self.mantissas.clear();
        self.mantissas.extend(values.iter().map(|&value| ordered(value)));
        self.ints.encode(&self.mantissas, &mut self.candidate);
        self.judge_candidate();
    }

    fn write_ulps(&mut self, exponent: u8, values: &[f64]) {
        let Some(power) = power_of_10(exponent) else { return };
        self.mantissas.clear();
        self.ulps.clear();
        for &value in values {
            let Some(mantissa) = nearest(value, power) else { return };
            let ulps = ordered(value).wrapping_sub(ordered(mantissa as f64 / power));
            if ulps.unsigned_abs() > ULPS_MAX {
                return;
            }
            self.mantissas.push(mantissa);
            self.ulps.push(ulps);
        }
        self.candidate.clear();
        self.candidate.push(MODE_ULPS | exponent);
        self.ints.encode(&self.mantissas, &mut self.candidate);
        self.ints.encode(&self.ulps, &mut self.candidate);
        self.judge_candidate();
    }
}

/// The largest of the values' smallest exponents; `None` when more than `exceptions_max` have none.
fn largest_exponent(values: &[f64], exceptions_max: usize) -> Option<u8> {
    let mut exponent = 0u8;
    let mut exceptions = 0;
    for &value in values {
        if power_of_10(exponent).is_some_and(|power| mantissa(value, power).is_some()) {
            continue;
        }
        if let Some(larger) = exponent_of(value, exponent + 1) {
            exponent = larger;
        } else {
            exceptions += usize::from(!is_stale_bits(value) && exponent_of(value, 0).is_none());
            if exceptions > exceptions_max {
                return None;
            }
        }
    }
    Some(exponent)
}

/// The smallest exponent that is enough for all but `exceptions_max` values.
fn covering_exponent(values: &[f64], exceptions_max: usize) -> Option<u8> {
    let mut by_exponent = [0usize; EXPONENT_MAX as usize + 1];
    let mut uncovered = 0;
    for &value in values.iter().filter(|value| !is_stale_bits(**value)) {
        uncovered += 1;
        if let Some(exponent) = exponent_of(value, 0) {
            by_exponent[usize::from(exponent)] += 1;
        }
    }
    for (exponent, count) in by_exponent.iter().enumerate() {
        uncovered -= count;
        if uncovered <= exceptions_max {
            return u8::try_from(exponent).ok();
        }
    }
    None
}

fn encode_constant(value: f64, out: &mut Vec<u8>) {
    let decimal = exponent_of(value, 0)
        .and_then(|exponent| Some((exponent, mantissa(value, power_of_10(exponent)?)?)));
    if let Some((exponent, mantissa)) = decimal {
        out.push(MODE_CONSTANT | exponent);
        put_ivarint(out, mantissa);
    } else {
        out.push(MODE_CONSTANT | BITS);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Buffers of the decoder.
#[derive(Debug, Default)]
pub(super) struct ValueDecoder {
    ints: Vec<i64>,
    ulps: Vec<i64>,
}

impl ValueDecoder {
    /// Decodes the `n` values at the reader and appends those at the places `wanted` to `out`. The caller
    /// bounds `n`. On an error nothing was appended.
    pub(super) fn decode(
        &mut self,
        reader: &mut Reader<'_>,
        n: usize,
        wanted: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        if n == 0 {
            return Ok(());
        }
        let at = reader.position();
        let refused = Malformed { what: "values", at };
        let tag = reader.u8("value tag")?;
        let (mode, exponent) = (tag & MODE, tag & EXPONENT);
        let power = power_of_10(exponent);
        if tag & !(MODE | EXPONENT) != 0 || power.is_none() && exponent != BITS {
            return Err(Malformed { what: "value tag", at });
        }
        if mode == MODE_CONSTANT {
            let value = match power {
                Some(power) => reader.ivarint("constant")? as f64 / power,
                None => f64::from_bits(reader.u64("constant bits")?),
            };
            out.resize(out.len() + wanted.len(), value);
            return Ok(());
        }
        let exceptions =
            if mode == MODE_EXCEPTIONS { Some(Exceptions::read(reader, n)?) } else { None };
        ints::decode(reader, n, &mut self.ints)?;
        if mode == MODE_ULPS {
            ints::decode(reader, n, &mut self.ulps)?;
        }
        let ints = self.ints.get(wanted.clone()).ok_or(refused)?;
        let begin = out.len();
        match (mode, power) {
            (MODE_ULPS, Some(power)) => {
                let ulps = self.ulps.get(wanted.clone()).ok_or(refused)?;
                out.extend(ints.iter().zip(ulps).map(|(&mantissa, &ulps)| {
                    unordered(ordered(mantissa as f64 / power).wrapping_add(ulps))
                }));
            }
            (_, Some(_)) if exponent == 0 => out.extend(ints.iter().map(|&int| int as f64)),
            (_, Some(power)) => out.extend(ints.iter().map(|&mantissa| mantissa as f64 / power)),
            (MODE_INTS, None) => out.extend(ints.iter().map(|&bits| unordered(bits))),
            _ => return Err(Malformed { what: "value tag", at }),
        }
        if let Some(exceptions) = exceptions {
            exceptions.each(|at, value| {
                let appended = at.checked_sub(wanted.start).and_then(|at| out.get_mut(begin + at));
                if let Some(place) = appended {
                    *place = value;
                }
            })?;
        }
        Ok(())
    }
}

/// The exceptions of a column, checked: walking them again cannot fail.
#[derive(Debug, Clone, Copy)]
struct Exceptions<'a> {
    count: usize,
    values: usize,
    reader: Reader<'a>,
}

impl<'a> Exceptions<'a> {
    fn read(reader: &mut Reader<'a>, values: usize) -> Result<Self, Malformed> {
        let count = reader.count(1, "number of exceptions")?;
        let exceptions = Self { count, values, reader: *reader };
        *reader = exceptions.each(|_, _| ())?;
        Ok(exceptions)
    }

    /// Hands each place and value to `each` and returns where they end.
    fn each(&self, mut each: impl FnMut(usize, f64)) -> Result<Reader<'a>, Malformed> {
        let mut reader = self.reader;
        let mut next = 0usize;
        for _ in 0..self.count {
            let refused = Malformed { what: "exception", at: reader.position() };
            let token = reader.uvarint("exception")?;
            let gap = usize::try_from(token >> 1).map_err(|_| refused)?;
            let bits = if token & 1 == 1 { reader.u64("exception bits")? } else { STALE_NAN_BITS };
            let at = next.checked_add(gap).filter(|at| *at < self.values).ok_or(refused)?;
            each(at, f64::from_bits(bits));
            next = at + 1;
        }
        Ok(reader)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::model::stale_nan;

    fn encoded(values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        ValueEncoder::default().encode(values, &mut bytes);
        bytes
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Returns the tag and the length.
    fn round_trip(values: &[f64]) -> (u8, usize) {
        let mut bytes = encoded(values);
        let len = bytes.len();
        bytes.push(0xee);
        let mut decoder = ValueDecoder::default();
        let n = values.len();
        for wanted in [0..n, 0..n / 2, n / 3..n, n / 3..n / 2, n..n] {
            let mut reader = Reader::new(&bytes);
            let mut back = vec![8.5];
            decoder.decode(&mut reader, n, wanted.clone(), &mut back).unwrap();
            assert_eq!(bits(&back[1..]), bits(&values[wanted]));
            assert_eq!(reader.position(), len, "a column knows its end");
        }
        (bytes[0], len)
    }

    #[test]
    fn each_form_is_chosen_where_it_belongs() {
        assert_eq!(round_trip(&[1.0; 120]), (MODE_CONSTANT, 2));
        assert_eq!(round_trip(&[0.25; 120]), (MODE_CONSTANT | 2, 2));
        assert_eq!(round_trip(&[-0.0; 120]), (MODE_CONSTANT | BITS, 9));
        assert_eq!(round_trip(&[stale_nan(); 3]), (MODE_CONSTANT | BITS, 9));
        let counter: Vec<f64> = (0..120).map(|i| f64::from(i * 17)).collect();
        let (tag, len) = round_trip(&counter);
        assert!(tag == MODE_INTS && len < 8, "{tag} {len}");
        let ticks: Vec<f64> = (0..120).map(|i| f64::from(123_456 + i * i) / 100.0).collect();
        assert_eq!(round_trip(&ticks).0, MODE_INTS | 2);
        let noise: Vec<f64> = (1..121).map(|i| f64::from(i).sqrt().sin()).collect();
        let (tag, len) = round_trip(&noise);
        assert!(tag == MODE_INTS | BITS && len < 121 * 8, "{tag} {len}");
        let mut sum = 0.0;
        let sums: Vec<f64> = (0..240u32)
            .map(|i| {
                sum += f64::from(i % 17) * 0.001 + 0.1;
                sum
            })
            .collect();
        let (tag, len) = round_trip(&sums);
        assert!(tag & MODE == MODE_ULPS && len < 240 * 3, "{tag} {len}");
    }

    #[test]
    fn stale_markers_and_few_odd_values_leave_decimals_alone() {
        let mut values: Vec<f64> = (0..120).map(|i| f64::from(i * 3)).collect();
        let plain = round_trip(&values).1;
        values[7] = stale_nan();
        values[8] = stale_nan();
        let (tag, len) = round_trip(&values);
        assert_eq!(tag, MODE_EXCEPTIONS);
        assert!(len < plain + 20, "{plain} {len}");
        values[0] = f64::INFINITY;
        values[119] = f64::NAN;
        let (tag, len) = round_trip(&values);
        assert_eq!(tag, MODE_EXCEPTIONS);
        assert!(len < plain + 45, "{plain} {len}");
        assert_eq!(round_trip(&[5.0, stale_nan()]).0, MODE_EXCEPTIONS);
        assert_eq!(round_trip(&[stale_nan(), 5.0]).0, MODE_EXCEPTIONS);
    }

    #[test]
    fn one_value_of_many_digits_does_not_ruin_the_rest() {
        let mut values: Vec<f64> = (0..120).map(|i| f64::from(i) * 1e6 + 0.5).collect();
        values[60] = 0.123_456_789_012_345_6;
        let (tag, len) = round_trip(&values);
        assert_eq!(tag, MODE_EXCEPTIONS | 1);
        assert!(len < 60, "{len}");
    }

    #[test]
    fn every_kind_of_bits_round_trips() {
        let odd = [
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff0_0000_0000_0001),
            f64::from_bits(0xfff8_0000_0000_0002),
            stale_nan(),
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            -f64::from_bits(1),
            f64::MAX,
            f64::MIN,
            MANTISSA_LIMIT,
            MANTISSA_LIMIT - 1.0,
            -MANTISSA_LIMIT,
            INTEGERS_FROM - 0.5,
            1e-18,
            0.1 + 0.2,
        ];
        round_trip(&odd);
        for &a in &odd {
            for &b in &odd {
                round_trip(&[a, b]);
                round_trip(&[a, b, 1.0, 1.5]);
                let mut long = [1.25; 64];
                long[0] = a;
                long[63] = b;
                round_trip(&long);
            }
        }
    }

    #[test]
    fn bad_tags_are_refused() {
        let mut decoder = ValueDecoder::default();
        for tag in [19, 30, 0x80, 0xff, MODE_EXCEPTIONS | BITS, MODE_ULPS | BITS] {
            let bytes = [tag, 0x10, 2, 0x10, 2, 0x10, 2, 0, 0, 0, 0, 0];
            let mut out = vec![1.0];
            assert!(decoder.decode(&mut Reader::new(&bytes), 4, 0..4, &mut out).is_err(), "{tag}");
            assert_eq!(out, [1.0]);
        }
    }

    fn columns() -> impl Strategy<Value = Vec<f64>> {
        let n = 1..720usize;
        let odd = prop_oneof![
            30 => Just(None),
            1 => Just(Some(stale_nan())),
            1 => Just(Some(f64::INFINITY)),
            1 => any::<u64>().prop_map(|bits| Some(f64::from_bits(bits))),
        ];
        prop_oneof![
            proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), n.clone()),
            // Counters and gauges in decimals, with resets and odd values strewn in.
            (
                0i32..12,
                0u32..60,
                proptest::collection::vec((any::<u64>(), 0u8..60, odd), n.clone())
            )
                .prop_map(|(exponent, shift, steps)| {
                    let mut sum = 0u64;
                    let step = |(step, reset, odd): &(u64, u8, Option<f64>)| {
                        let step = step >> 4 >> shift;
                        sum = if *reset == 0 { 0 } else { sum.wrapping_add(step) };
                        odd.unwrap_or(sum as f64 / 10f64.powi(exponent))
                    };
                    steps.iter().map(step).collect()
                }),
            // Accumulated decimals: noise in the last places.
            proptest::collection::vec(0u16..1000, n.clone()).prop_map(|steps| {
                let mut sum = 0.0;
                let step = |step: &u16| {
                    sum += f64::from(*step) / 1000.0;
                    sum
                };
                steps.iter().map(step).collect()
            }),
            // Runs.
            proptest::collection::vec((any::<i16>(), 1usize..40), 1..12).prop_map(|runs| {
                runs.iter().flat_map(|(value, n)| vec![f64::from(*value) / 8.0; *n]).collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_column_round_trips(values in columns()) {
            let (_, len) = round_trip(&values);
            prop_assert!(len <= values.len() * 8 + 24, "{len} bytes for {} values", values.len());
        }

        #[test]
        fn mutated_columns_decode_or_are_refused(values in columns(), at in any::<usize>(), to in any::<u8>()) {
            let mut bytes = encoded(&values);
            let at = at % bytes.len();
            bytes[at] = to;
            let mut out = Vec::new();
            let n = values.len();
            let _ = ValueDecoder::default().decode(&mut Reader::new(&bytes), n, 0..n, &mut out);
            prop_assert!(out.len() == n || out.is_empty());
        }

        #[test]
        fn any_bytes_decode_or_are_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), n in 0..720usize,
        ) {
            let mut out = Vec::new();
            let _ = ValueDecoder::default().decode(&mut Reader::new(&bytes), n, 0..n, &mut out);
            prop_assert!(out.len() == n || out.is_empty());
        }
    }
}
