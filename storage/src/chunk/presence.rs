//! Which slots of a timestamp column a series has: all, one run, or a bitmap.

use super::bits::packed_len;
use crate::codec::{Malformed, Reader, put_uvarint};

/// How a presence is written: two bits of an entry's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PresenceKind {
    /// Every slot.
    All,
    /// One run of slots.
    Run,
    /// A bit per slot.
    Bitmap,
}

impl PresenceKind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::All => 0,
            Self::Run => 1,
            Self::Bitmap => 2,
        }
    }

    pub(super) const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::All),
            1 => Some(Self::Run),
            2 => Some(Self::Bitmap),
            _ => None,
        }
    }
}

/// The slots of a series among those of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence<'a> {
    /// Every slot.
    All,
    /// `len` slots from `start`.
    Run { start: usize, len: usize },
    /// A bit per slot, least significant first; bits beyond the last slot are zero.
    Bitmap(&'a [u8]),
}

impl<'a> Presence<'a> {
    /// Reads a presence of `kind` among `slots` slots.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        kind: PresenceKind,
        slots: usize,
    ) -> Result<Self, Malformed> {
        let at = reader.position();
        let refused = Malformed { what: "presence", at };
        match kind {
            PresenceKind::All => Ok(Self::All),
            PresenceKind::Run => {
                let start = usize::try_from(reader.uvarint("first slot")?).map_err(|_| refused)?;
                let len =
                    usize::try_from(reader.uvarint("number of slots")?).map_err(|_| refused)?;
                match start.checked_add(len) {
                    Some(end) if end <= slots => Ok(Self::Run { start, len }),
                    _ => Err(refused),
                }
            }
            PresenceKind::Bitmap => {
                let bits = reader.take(packed_len(slots, 1), "presence bitmap")?;
                let beyond = bits.last().map_or(0, |last| match slots % 8 {
                    0 => 0,
                    used => last >> used,
                });
                if beyond != 0 {
                    return Err(refused);
                }
                Ok(Self::Bitmap(bits))
            }
        }
    }

    /// The timestamps at the present slots of `column`: a part of it, or collected into `buffer`.
    pub(super) fn select<'t>(&self, column: &'t [i64], buffer: &'t mut Vec<i64>) -> &'t [i64] {
        match self {
            Self::All => column,
            Self::Run { start, len } => column.get(*start..start + len).unwrap_or_default(),
            Self::Bitmap(bits) => {
                buffer.clear();
                let slots = column.chunks(8).zip(*bits);
                for (slots, byte) in slots {
                    let present = slots.iter().enumerate().filter(|(bit, _)| byte >> bit & 1 == 1);
                    buffer.extend(present.map(|(_, ts)| *ts));
                }
                buffer
            }
        }
    }
}

/// Writes which slots of `column` hold `ts` and returns the kind to be noted in front; `None` (and nothing
/// written) when `ts` has a timestamp that `column` lacks. Both are strictly ascending.
pub(super) fn write(column: &[i64], ts: &[i64], out: &mut Vec<u8>) -> Option<PresenceKind> {
    if column == ts {
        return Some(PresenceKind::All);
    }
    let first = ts.first()?;
    let start = column.binary_search(first).ok()?;
    if column.get(start..start + ts.len()) == Some(ts) {
        put_uvarint(out, start as u64);
        put_uvarint(out, ts.len() as u64);
        return Some(PresenceKind::Run);
    }
    let before = out.len();
    out.resize(before + packed_len(column.len(), 1), 0);
    let mut wanted = ts.iter().copied().peekable();
    for (slot, &column_ts) in column.iter().enumerate() {
        if wanted.peek() == Some(&column_ts) {
            wanted.next();
            out[before + slot / 8] |= 1 << (slot % 8);
        }
    }
    if wanted.peek().is_some() {
        out.truncate(before);
        return None;
    }
    Some(PresenceKind::Bitmap)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn round_trip(column: &[i64], ts: &[i64], kind: PresenceKind, len: usize) {
        let mut bytes = Vec::new();
        assert_eq!(write(column, ts, &mut bytes), Some(kind));
        assert_eq!(bytes.len(), len);
        let mut reader = Reader::new(&bytes);
        let presence = Presence::read(&mut reader, kind, column.len()).unwrap();
        assert!(reader.is_empty());
        assert_eq!(presence.select(column, &mut vec![9; 3]), ts);
    }

    #[test]
    fn each_kind_round_trips() {
        let column: Vec<i64> = (0..21).map(|i| i * 10).collect();
        round_trip(&column, &column, PresenceKind::All, 0);
        round_trip(&column, &column[3..20], PresenceKind::Run, 2);
        round_trip(&column, &column[20..], PresenceKind::Run, 2);
        round_trip(&column, &[0, 20, 30, 200], PresenceKind::Bitmap, 3);
        round_trip(&column, &[70, 90], PresenceKind::Bitmap, 3);
    }

    #[test]
    fn timestamps_outside_the_column_do_not_fit() {
        let mut bytes = vec![1];
        for ts in [&[5][..], &[0, 5], &[0, 10, 30, 31], &[20, 40]] {
            assert_eq!(write(&[0, 10, 20, 30], ts, &mut bytes), None, "{ts:?}");
        }
        assert_eq!(bytes, [1]);
    }

    #[test]
    fn impossible_presence_is_refused() {
        let read = |bytes: &[u8], kind| Presence::read(&mut Reader::new(bytes), kind, 10).is_err();
        assert!(read(&[5, 6], PresenceKind::Run));
        assert!(read(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1],
            PresenceKind::Run
        ));
        assert!(read(&[0xff], PresenceKind::Bitmap));
        assert!(read(&[0xff, 0x04], PresenceKind::Bitmap));
        assert!(!read(&[0xff, 0x03], PresenceKind::Bitmap));
        assert_eq!(PresenceKind::of_code(3), None);
    }
}
