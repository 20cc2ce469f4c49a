//! The values a counter had before its resets.

const INLINE: usize = 2;

/// Values before counter resets in time order. The first two lie inline: most windows have none or one.
/// All of them are kept because `increase` adds them one by one, and another order gives other bits; or none,
/// where only their number was written down.
#[derive(Debug, Clone, Default)]
pub struct PreResets {
    len: u32,
    untold: bool,
    inline: [f64; INLINE],
    more: Vec<f64>,
}

impl PreResets {
    /// So many resets whose values nobody knows.
    #[must_use]
    pub const fn untold(len: u32) -> Self {
        Self { len, untold: true, inline: [0.0; INLINE], more: Vec::new() }
    }

    /// Whether the values are known; always so without a reset.
    #[must_use]
    pub const fn are_told(&self) -> bool {
        !self.untold
    }

    /// Resets.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the value before a later reset.
    pub fn push(&mut self, value: f64) {
        if !self.untold {
            match self.inline.get_mut(self.len as usize) {
                Some(slot) => *slot = value,
                None => self.more.push(value),
            }
        }
        self.len += 1;
    }

    /// Adds those of later resets.
    pub fn append(&mut self, later: &Self) {
        if self.untold || later.untold {
            *self = Self::untold(self.len.saturating_add(later.len));
        } else {
            later.iter().for_each(|value| self.push(value));
        }
    }

    /// The values in time order; nothing where they are not known.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        let n_inline = if self.untold { 0 } else { self.len as usize };
        self.inline.iter().take(n_inline).chain(&self.more).copied()
    }
}

impl FromIterator<f64> for PreResets {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut all = Self::default();
        values.into_iter().for_each(|value| all.push(value));
        all
    }
}
