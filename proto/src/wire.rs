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
        const STOP: u64 = 0x8080_8080_8080_8080;
        let Some(word) = self.rest.first_chunk::<8>() else {
            return self.slow_varint(what);
        };
        let word = u64::from_le_bytes(*word);
        let stop = !word & STOP;
        if stop == 0 {
            return self.slow_varint(what);
        }
        let n = (stop.trailing_zeros() as usize + 1) / 8;
        // Bytes up to and including the first without a continuation bit, then 7 bits of each, packed.
        let x = word & (stop ^ stop.wrapping_sub(1)) & !STOP;
        let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
        let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
        let x = x & 0x0000_0000_0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4;
        self.rest = self.rest.get(n..).unwrap_or_default();
        Ok(x)
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

    /// A sample's usual form: 0x09, 8 bytes of value, 0x10, timestamp; nothing is passed otherwise.
    #[inline]
    pub(crate) fn usual_sample(&mut self) -> Option<(f64, i64)> {
        let (head, rest) = self.rest.split_first_chunk::<10>()?;
        let [0x09, value @ .., 0x10] = head else { return None };
        let mut after = Wire { rest, end: self.end };
        let ts = after.varint("timestamp").ok()?;
        *self = after;
        Some((f64::from_bits(u64::from_le_bytes(*value)), ts.cast_signed()))
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
