//! The texts of a block's labels.

use nines_storage::codec::{Malformed, Reader};

/// All names and values, ascending: numbers compare as the texts do.
#[derive(Debug)]
pub(super) struct Symbols {
    bytes: Vec<u8>,
    /// Where the length of each text stands.
    starts: Vec<u32>,
    /// Where the bytes begin in the file.
    base: u64,
    /// Whether series name texts by their place in the file, as the first version has it, or else by their number.
    by_place: bool,
}

impl Symbols {
    /// Takes a symbol table, which begins at `base` of its file. Whether texts are UTF-8 and ascend is checked.
    pub(super) fn new(bytes: Vec<u8>, base: u64, by_place: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&bytes);
        let n = reader.take(4, "number of symbols")?;
        let n = n.first_chunk::<4>().map_or(0, |n| u32::from_be_bytes(*n));
        if n as usize > reader.remaining() {
            return Err(Malformed { what: "number of symbols", at: 0 });
        }
        let mut starts = Vec::with_capacity(n as usize);
        let mut before: Option<&str> = None;
        for _ in 0..n {
            let at = reader.position();
            let text = reader.str("symbol")?;
            if before.is_some_and(|before| before >= text) {
                return Err(Malformed { what: "symbols do not ascend", at });
            }
            before = Some(text);
            starts.push(u32::try_from(at).map_err(|_| Malformed { what: "symbol", at })?);
        }
        Ok(Self { bytes, starts, base, by_place })
    }

    /// The number of the text that a series calls `reference`.
    pub(super) fn number(&self, reference: u64) -> Option<u32> {
        let number = if self.by_place {
            let place = u32::try_from(reference.checked_sub(self.base)?).ok()?;
            self.starts.binary_search(&place).ok()?
        } else {
            usize::try_from(reference).ok().filter(|number| *number < self.starts.len())?
        };
        u32::try_from(number).ok()
    }

    /// A text by its number.
    pub(super) fn text(&self, number: u32) -> &str {
        let start = self.starts.get(number as usize).map_or(self.bytes.len(), |at| *at as usize);
        let bytes = self.bytes.get(start..).unwrap_or_default();
        Reader::new(bytes).str("symbol").unwrap_or_default()
    }

    /// The number of `text`, or of the first one behind it.
    pub(super) fn find(&self, text: &str) -> Result<u32, u32> {
        let place = |start: &u32| {
            let bytes = self.bytes.get(*start as usize..).unwrap_or_default();
            Reader::new(bytes).str("symbol").unwrap_or_default().cmp(text)
        };
        // Never more than u32::MAX texts.
        self.starts.binary_search_by(place).map(|at| at as u32).map_err(|at| at as u32)
    }
}
