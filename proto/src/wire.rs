//! Protobuf's wire format over untrusted bytes: keys, varints, lengths. No allocation, no panic, no
//! indexing; every error knows its byte offset in the body.

use crate::error::{DecodeError, Result};

/// Wire type of varints.
pub(crate) const VARINT: u32 = 0;
/// Wire type of 8 fixed bytes.
pub(crate) const FIXED64: u32 = 1;
/// Wire type of bytes behind their length.
pub(crate) const LEN: u32 = 2;
const FIXED32: u32 = 5;

/// The bit of each of 8 bytes that says whether its varint goes on behind it.
const STOP: u64 = 0x8080_8080_8080_8080;

/// The value of a varint whose bytes lie in `word`, those behind it zero: 7 bits of each byte, packed.
#[inline]
const fn packed(word: u64) -> u64 {
    let x = word & !STOP;
    let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
    let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
    x & 0x0000_0000_0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4
}

/// The fewer than 8 bytes of `rest`, the end of `whole`, in the low bytes of a word.
#[inline]
fn last_bytes(whole: &[u8], rest: &[u8]) -> u64 {
    match whole.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The varint that the last `n` bytes are, if they are one and 8 bytes can be read there.
#[inline]
fn last_varint(bytes: &[u8], n: usize) -> Option<u64> {
    let others = 64u32.checked_sub(8 * u32::try_from(n).ok()?)?;
    let word = u64::from_le_bytes(*bytes.last_chunk::<8>()?).checked_shr(others)?;
    // All but the last byte must go on.
    (word & STOP == (STOP >> 8) >> others).then(|| packed(word))
}

/// The key of `field` with `wire_type`, as it stands before the field.
pub(crate) const fn key(field: u32, wire_type: u32) -> u32 {
    field << 3 | wire_type
}

/// A message's name and the fields that it has, as a bit set: known fields must have their wire type,
/// the others are skipped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) message: &'static str,
    pub(crate) fields: u32,
}

impl Shape {
    pub(crate) const fn new(message: &'static str, fields: &[u32]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < fields.len() {
            bits |= 1 << fields[i];
            i += 1;
        }
        Self { message, fields: bits }
    }
}

/// A cursor over one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire<'a> {
    rest: &'a [u8],
    /// Offset in the body of the byte behind `rest`.
    end: usize,
}

impl<'a> Wire<'a> {
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, end: body.len() }
    }

    /// Offset in the body of the next byte.
    pub(crate) const fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The bytes between here and `later`, a later state of this cursor.
    pub(crate) fn until(&self, later: &Self) -> &'a [u8] {
        self.rest.get(..self.rest.len().saturating_sub(later.rest.len())).unwrap_or_default()
    }

    #[cold]
    const fn malformed<T>(&self, what: &'static str) -> Result<T> {
        Err(DecodeError::Malformed { what, at: self.at() })
    }

    /// The next field's key, or `None` at the end of the message.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Option<u32>> {
        match self.rest.split_first() {
            None => Ok(None),
            Some((&byte, rest)) if (8..0x80).contains(&byte) => {
                self.rest = rest;
                Ok(Some(u32::from(byte)))
            }
            Some(_) => self.long_key().map(Some),
        }
    }

    #[cold]
    fn long_key(&mut self) -> Result<u32> {
        let start = *self;
        match u32::try_from(self.varint("key")?) {
            Ok(key) if key >= 8 => Ok(key),
            _ => start.malformed("key"),
        }
    }

    /// Passes the next byte if it is `byte`.
    #[inline]
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A varint of at most 64 bits.
    #[inline]
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(what),
        }
    }

    /// Varints of 2 to 8 bytes out of one 8-byte word (timestamps take 6), the others byte by byte.
    #[inline]
    fn long_varint(&mut self, what: &'static str) -> Result<u64> {
        let Some(word) = self.rest.first_chunk::<8>() else {
            return self.slow_varint(what);
        };
        let word = u64::from_le_bytes(*word);
        let stop = !word & STOP;
        if stop == 0 {
            return self.slow_varint(what);
        }
        let n = (stop.trailing_zeros() as usize + 1) / 8;
        self.rest = self.rest.get(n..).unwrap_or_default();
        // Bytes up to and including the first without a continuation bit.
        Ok(packed(word & (stop ^ stop.wrapping_sub(1))))
    }

    #[cold]
    fn slow_varint(&mut self, what: &'static str) -> Result<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            let low = u64::from(byte & 0x7f);
            if i == 9 && byte > 1 {
                break;
            }
            value |= low << (7 * i);
            if byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        self.malformed(what)
    }

    /// A varint cut to 32 bits, as protobuf reads `uint32` and enums.
    #[inline]
    pub(crate) fn varint32(&mut self, what: &'static str) -> Result<u32> {
        let [a, b, c, d, ..] = self.varint(what)?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    /// The varints up to the end, cut to 32 bits, as many as `out` holds. Answers how many it holds then.
    #[inline]
    pub(crate) fn varints32(self, what: &'static str, out: &mut [u32]) -> Result<usize> {
        let (mut rest, n) = (self.rest, out.len());
        let mut free = out.iter_mut();
        while !rest.is_empty() {
            // 8 bytes at a time; where fewer are left, those behind them are as if they went on.
            let (word, behind) = match rest.first_chunk::<8>() {
                Some(word) => (u64::from_le_bytes(*word), 0),
                None => (last_bytes(self.rest, rest), 64 - 8 * rest.len()),
            };
            let mut stops = !word & (STOP >> behind);
            let mut start = 0;
            while stops != 0 {
                let Some(slot) = free.next() else { return Ok(n) };
                // Up to and including the next stop.
                let x = (word & (stops ^ (stops - 1))) >> start;
                let value = if x < 1 << 16 { x & 0x7f | (x >> 1) & 0x3f80 } else { packed(x) };
                *slot = value as u32;
                start = stops.trailing_zeros() + 1;
                stops &= stops - 1;
            }
            if start == 0 {
                // Longer than a word, or broken off.
                let Some(slot) = free.next() else { return Ok(n) };
                let mut wire = Self { rest, end: self.end };
                *slot = wire.slow_varint(what)? as u32;
                rest = wire.rest;
            }
            rest = rest.get(start as usize / 8..).unwrap_or_default();
        }
        Ok(n - free.len())
    }

    /// 8 bytes as the bits of a float.
    #[inline]
    pub(crate) fn double(&mut self, what: &'static str) -> Result<f64> {
        match self.rest.split_first_chunk::<8>() {
            Some((bits, rest)) => {
                self.rest = rest;
                Ok(f64::from_bits(u64::from_le_bytes(*bits)))
            }
            None => self.malformed(what),
        }
    }

    /// Bytes behind their length.
    #[inline]
    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let start = *self;
        let n = self.varint(what)?;
        match usize::try_from(n).ok().and_then(|n| self.rest.split_at_checked(n)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => start.malformed(what),
        }
    }

    /// A message behind its length.
    #[inline]
    pub(crate) fn message(&mut self, what: &'static str) -> Result<Wire<'a>> {
        let bytes = self.bytes(what)?;
        Ok(Wire { rest: bytes, end: self.at() })
    }

    /// A sample as every sender writes it, with its key: 0x12, one byte of length, 0x09 and 8 bytes of value
    /// unless it is zero, 0x10 and the timestamp. Nothing is passed otherwise.
    #[inline]
    pub(crate) fn usual_sample(&mut self) -> Option<(f64, i64)> {
        let n = match self.rest {
            [0x12, n @ 0..0x80, ..] => usize::from(*n),
            _ => return None,
        };
        let (field, rest) = self.rest.split_at_checked(2 + n)?;
        let (bits, ts_bytes) = match field {
            [_, _, 0x09, a, b, c, d, e, f, g, h, 0x10, ts @ ..] => {
                (u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), ts.len())
            }
            [_, _, 0x10, ts @ ..] => (0, ts.len()),
            _ => return None,
        };
        let ts = last_varint(field, ts_bytes)?;
        self.rest = rest;
        Some((f64::from_bits(bits), ts.cast_signed()))
    }

    /// Passes a field that is not of `shape`.
    #[cold]
    pub(crate) fn skip(&mut self, key: u32, shape: Shape) -> Result<()> {
        let (field, wire_type) = (key >> 3, key & 7);
        if field < 32 && shape.fields >> field & 1 == 1 {
            let message = shape.message;
            return Err(DecodeError::WireType { message, field, wire_type, at: self.at() });
        }
        let what = "unknown field";
        match wire_type {
            VARINT => self.varint(what).map(drop),
            FIXED64 => self.double(what).map(drop),
            LEN => self.bytes(what).map(drop),
            FIXED32 => match self.rest.get(4..) {
                Some(rest) => {
                    self.rest = rest;
                    Ok(())
                }
                None => self.malformed(what),
            },
            3 | 4 => Err(DecodeError::Group { at: self.at() }),
            _ => self.malformed("wire type"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn leb(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    proptest! {
        #[test]
        fn varints_of_every_length_decode_with_and_without_bytes_behind(
            value in any::<u64>(), shift in 0u32..64, behind in 0usize..12
        ) {
            let value = value >> shift;
            let mut bytes = leb(value);
            let n = bytes.len();
            bytes.resize(n + behind, 0xff);
            let mut wire = Wire::new(&bytes);
            prop_assert_eq!(wire.varint("x").unwrap(), value);
            prop_assert_eq!(wire.at(), n);
        }

        #[test]
        fn varints_one_behind_the_other_are_read_as_one_by_one(
            values in vec((any::<u64>(), 0u32..64), 0..20), cut in 0usize..40, room in 0usize..24
        ) {
            let mut bytes: Vec<u8> = values.iter().flat_map(|(value, shift)| leb(value >> shift)).collect();
            bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(20)));
            let mut one_by_one = Wire::new(&bytes);
            let mut expected = Vec::new();
            let mut outcome = Ok(());
            while outcome.is_ok() && !one_by_one.rest().is_empty() && expected.len() < room {
                outcome = one_by_one.varint32("x").map(|value| expected.push(value));
            }
            let mut out = vec![7; room];
            let n = Wire::new(&bytes).varints32("x", &mut out);
            prop_assert_eq!(n.clone(), outcome.map(|()| expected.len()));
            prop_assert_eq!(&out[..expected.len()], expected);
            prop_assert!(out[n.unwrap_or(room)..].iter().all(|value| *value == 7));
        }

        #[test]
        fn a_sample_in_its_usual_form_is_read_as_field_by_field(
            value in prop_oneof![Just(0.0f64), any::<f64>()], ts in any::<u64>(), shift in 0u32..64,
            change in proptest::option::of((0usize..24, any::<u8>())), behind in 0usize..12
        ) {
            let mut field = Vec::new();
            if value.to_bits() != 0 {
                field.push(0x09);
                field.extend(value.to_bits().to_le_bytes());
            }
            field.push(0x10);
            field.extend(leb(ts >> shift));
            let mut bytes = vec![0x12, field.len() as u8];
            bytes.extend(field);
            let n = bytes.len();
            bytes.resize(n + behind, 0xff);
            if let Some((at, byte)) = change && let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
            let mut wire = Wire::new(&bytes);
            let Some((read, read_ts)) = wire.usual_sample() else {
                prop_assert_eq!(wire.at(), 0);
                let ts_bytes = leb(ts >> shift).len();
                let usual = ts_bytes <= 8 && (ts_bytes >= 5 || value.to_bits() != 0);
                prop_assert!(change.is_some() || !usual);
                return Ok(());
            };
            let mut slow = Wire::new(&bytes);
            prop_assert_eq!(slow.key(), Ok(Some(key(2, LEN))));
            let mut sample = slow.message("sample").unwrap();
            prop_assert_eq!(wire.at(), slow.at());
            let (mut slow_value, mut slow_ts) = (0.0, 0);
            while let Some(found) = sample.key().unwrap() {
                if found == key(1, FIXED64) {
                    slow_value = sample.double("value").unwrap();
                } else {
                    prop_assert_eq!(found, key(2, VARINT));
                    slow_ts = sample.varint("timestamp").unwrap();
                }
            }
            prop_assert_eq!(read.to_bits(), slow_value.to_bits());
            prop_assert_eq!(read_ts, slow_ts.cast_signed());
        }
    }

    #[test]
    fn varints_over_64_bits_are_refused() {
        for bytes in [&[0xff; 11][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            let error = Wire::new(bytes).varint("x").unwrap_err();
            assert_eq!(error, DecodeError::Malformed { what: "x", at: 0 });
        }
    }

    #[test]
    fn keys_without_field_number_are_refused() {
        for byte in 0..8 {
            assert!(Wire::new(&[byte, 0]).key().is_err());
        }
        assert_eq!(Wire::new(&[0x8a, 0x00]).key().unwrap(), Some(0x0a));
    }

    #[test]
    fn lengths_beyond_the_end_are_refused_where_they_begin() {
        let mut wire = Wire::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        wire.key().unwrap();
        assert_eq!(wire.bytes("b"), Err(DecodeError::Malformed { what: "b", at: 1 }));
    }
}
