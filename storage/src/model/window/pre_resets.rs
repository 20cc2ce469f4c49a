//! The values a counter had before its resets.

const INLINE: usize = 2;

/// Values before counter resets in time order. The first two lie inline: most windows have none or one.
/// All of them are kept because `increase` adds them one by one, and another order gives other bits.
#[derive(Debug, Clone, Default)]
pub struct PreResets {
    len: u32,
    inline: [f64; INLINE],
    more: Vec<f64>,
}

impl PreResets {
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
        match self.inline.get_mut(self.len as usize) {
            Some(slot) => *slot = value,
            None => self.more.push(value),
        }
        self.len += 1;
    }

    /// The values in time order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.inline.iter().take(self.len as usize).chain(&self.more).copied()
    }
}

impl Extend<f64> for PreResets {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, values: T) {
        for value in values {
            self.push(value);
        }
    }
}

impl FromIterator<f64> for PreResets {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut all = Self::default();
        all.extend(values);
        all
    }
}
