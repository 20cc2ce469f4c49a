//! Which exemplars are accepted: their label set is short, of distinct names, and need not have a name.

use std::fmt;

use nines_storage::model::Labels;

/// What is wrong with an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExemplarFault {
    TooLong { max: usize },
    EmptyName,
    NotUtf8,
    Duplicate,
}

impl fmt::Display for ExemplarFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => {
                write!(f, "exemplar: names and values have more than {max} characters")
            }
            Self::EmptyName => f.write_str("exemplar: a label has no name"),
            Self::NotUtf8 => f.write_str("exemplar: a label is not UTF-8"),
            Self::Duplicate => f.write_str("exemplar: a label occurs more than once"),
        }
    }
}

/// Collects the labels of an exemplar.
#[derive(Debug)]
pub(super) struct ExemplarCheck<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    chars_left: usize,
    chars_max: usize,
}

impl<'a> ExemplarCheck<'a> {
    pub(super) const fn new(chars_max: usize) -> Self {
        Self { pairs: Vec::new(), chars_left: chars_max, chars_max }
    }

    pub(super) fn add(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), ExemplarFault> {
        let too_long = ExemplarFault::TooLong { max: self.chars_max };
        // A character has at most 4 bytes: a long text is not read through.
        if name.len().saturating_add(value.len()) / 4 > self.chars_left {
            return Err(too_long);
        }
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(ExemplarFault::NotUtf8);
        };
        if name.is_empty() {
            return Err(ExemplarFault::EmptyName);
        }
        let chars = name.chars().count() + value.chars().count();
        self.chars_left = self.chars_left.checked_sub(chars).ok_or(too_long)?;
        self.pairs.push((name, value));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Labels, ExemplarFault> {
        self.pairs.sort_unstable();
        let twice = self.pairs.windows(2).any(|two| matches!(two, [a, b] if a.0 == b.0));
        if twice { Err(ExemplarFault::Duplicate) } else { Ok(Labels::from_pairs(self.pairs)) }
    }
}
