//! Bits of a chunk, the most significant one first, and the numbers that are written with as many of them as they
//! need.

use nines_storage::codec::unzigzag;

/// A decoder's complaint.
pub(super) type Fault = &'static str;

const SHORT: Fault = "the chunk ends before its last sample";

/// Bits that numbers of a class take, by how many ones stand before them.
const CLASS_BITS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
/// Most bits that one step takes from the word.
const STEP_BITS: u32 = 56;

/// A cursor over bits.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, from the top.
    word: u64,
    /// How many of them count.
    held: u32,
}

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, word: 0, held: 0 }
    }

    /// Bits that are left.
    pub(super) const fn remaining(&self) -> u64 {
        self.rest.len() as u64 * 8 + self.held as u64
    }

    fn refill(&mut self) {
        if let Some((next, _)) = self.rest.split_first_chunk::<8>() {
            // Bits behind those that count are the ones that come next anyway.
            self.word |= u64::from_be_bytes(*next) >> self.held;
            let bytes = (63 - self.held) / 8;
            self.rest = self.rest.get(bytes as usize..).unwrap_or_default();
            self.held += bytes * 8;
            return;
        }
        while self.held <= STEP_BITS
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.word |= u64::from(*byte) << (56 - self.held);
            self.held += 8;
            self.rest = rest;
        }
    }

    #[inline]
    fn step(&mut self, n: u32) -> Result<u64, Fault> {
        if n == 0 {
            return Ok(0);
        }
        if self.held < n {
            self.refill();
            if self.held < n {
                return Err(SHORT);
            }
        }
        let bits = self.word >> (64 - n);
        self.word <<= n;
        self.held -= n;
        Ok(bits)
    }

    /// The next `n` bits, at most 64.
    #[inline]
    pub(super) fn get(&mut self, n: u32) -> Result<u64, Fault> {
        if n <= STEP_BITS {
            return self.step(n);
        }
        let high = self.step(n - 32)?;
        Ok(high << 32 | self.step(32)?)
    }

    /// The next bit.
    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool, Fault> {
        Ok(self.step(1)? == 1)
    }

    /// A float as its 64 bits.
    pub(super) fn float(&mut self) -> Result<f64, Fault> {
        Ok(f64::from_bits(self.get(64)?))
    }

    /// How many ones stand before the next zero, `max` at most; the zero is passed.
    #[inline]
    pub(super) fn ones(&mut self, max: u32) -> Result<u32, Fault> {
        let mut n = 0;
        while n < max && self.bit()? {
            n += 1;
        }
        Ok(n)
    }

    /// `n` bits as a number from `1 - 2^(n-1)` to `2^(n-1)`.
    #[inline]
    pub(super) fn signed(&mut self, n: u32) -> Result<i64, Fault> {
        let bits = self.get(n)?;
        let above = (1..64).contains(&n) && bits > 1 << (n - 1);
        let bits = if above { bits.wrapping_sub(1 << n) } else { bits };
        Ok(bits.cast_signed())
    }

    /// A signed number behind its class.
    pub(super) fn varbit_int(&mut self) -> Result<i64, Fault> {
        let class = self.ones(8)? as usize;
        self.signed(CLASS_BITS.get(class).copied().unwrap_or(64))
    }

    /// An unsigned number behind its class.
    pub(super) fn varbit_uint(&mut self) -> Result<u64, Fault> {
        let class = self.ones(8)? as usize;
        self.get(CLASS_BITS.get(class).copied().unwrap_or(64))
    }

    /// A LEB128 number of whole bytes.
    pub(super) fn uvarint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.get(8)?;
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of the chunk has more than 64 bits")
    }

    /// A zigzagged LEB128 number of whole bytes.
    pub(super) fn ivarint(&mut self) -> Result<i64, Fault> {
        Ok(unzigzag(self.uvarint()?))
    }
}

/// A float told by the bits in which it differs from the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct XorFloat {
    pub(super) value: f64,
    leading: u32,
    trailing: u32,
}

impl XorFloat {
    pub(super) fn first(value: f64) -> Self {
        Self { value, leading: 0, trailing: 0 }
    }

    /// Goes to the next float.
    #[inline]
    pub(super) fn advance(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        if !bits.bit()? {
            return Ok(());
        }
        if bits.bit()? {
            let window = bits.step(11)?;
            let significant = match window & 0x3f {
                0 => 64,
                n => n as u32,
            };
            self.leading = (window >> 6) as u32;
            self.trailing = (64 - self.leading)
                .checked_sub(significant)
                .ok_or("a value of the chunk has more than 64 bits")?;
        }
        let changed = bits.get(64 - self.leading - self.trailing)?;
        self.value = f64::from_bits(self.value.to_bits() ^ changed << self.trailing);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn bits_come_in_order_whatever_the_steps() {
        let bytes: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(37) ^ 0xa5).collect();
        let all: Vec<bool> = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1))
            .collect();
        for step in 1..=64u32 {
            let mut bits = Bits::new(&bytes);
            let mut at = 0;
            while at + step as usize <= all.len() {
                let expected = all[at..at + step as usize]
                    .iter()
                    .fold(0, |sum, bit| sum << 1 | u64::from(*bit));
                assert_eq!(bits.get(step).unwrap(), expected, "step {step} at {at}");
                at += step as usize;
                assert_eq!(bits.remaining(), (all.len() - at) as u64);
            }
            assert_eq!(bits.get(64), Err(SHORT));
        }
    }

    #[test]
    fn numbers_are_signed_around_their_middle() {
        // 10 011, 10 100, 10 101, 0, 110 100000
        let bytes = [0b1001_1101, 0b0010_1010, 0b1101_0000, 0b0000_0000];
        let mut bits = Bits::new(&bytes);
        let read: Vec<i64> = (0..5).map(|_| bits.varbit_int().unwrap()).collect();
        assert_eq!(read, [3, 4, -3, 0, 32]);
    }
}
