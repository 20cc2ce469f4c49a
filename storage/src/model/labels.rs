//! Label sets as one run of bytes.
//!
//! A set is `(varint name length, name, varint value length, value)*`, sorted by name, without
//! duplicates and without empty values (an empty value means that the label is absent). One
//! allocation per set, compared and hashed as bytes; cloning counts a reference.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::codec::{Reader, put_bytes};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted, immutable label set.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    /// The empty set.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from([].as_slice()))
    }

    /// The set of `pairs`, in any order. Pairs with an empty value are left out; of two pairs with one
    /// name the last stays.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sorted: Vec<(&str, &str)> = pairs.into_iter().collect();
        sorted.sort_by_key(|pair| pair.0);
        let mut bytes = Vec::with_capacity(sorted.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (i, (name, value)) in sorted.iter().enumerate() {
            let repeated = sorted.get(i + 1).is_some_and(|next| next.0 == *name);
            if !repeated && !value.is_empty() {
                put_bytes(&mut bytes, name.as_bytes());
                put_bytes(&mut bytes, value.as_bytes());
            }
        }
        Self(bytes.into())
    }

    /// The set of `pairs` of UTF-8 texts, ascending by name, each name once, without empty values. Takes `bytes`
    /// as a buffer.
    pub(crate) fn from_raw_pairs<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        bytes: &mut Vec<u8>,
    ) -> Self {
        bytes.clear();
        for (name, value) in pairs {
            put_bytes(bytes, name);
            put_bytes(bytes, value);
        }
        Self(bytes.as_slice().into())
    }

    /// The pairs, ascending by name.
    #[must_use]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(Reader::new(&self.0))
    }

    /// The pairs as bytes, ascending by name: cheaper than [`Labels::iter`] where text is not needed.
    pub fn raw_pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (name, value, behind) = split_pair(rest)?;
            rest = behind;
            Some((name, value))
        })
    }

    /// The value of `name`, or the empty string when the set has no such label.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        for (n, v) in self.raw_pairs() {
            match n.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return std::str::from_utf8(v).unwrap_or_default(),
                Ordering::Greater => break,
            }
        }
        ""
    }

    /// Whether the set has a label `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// The metric name, or the empty string.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw_pairs().count()
    }

    /// Bytes that the set takes on the heap, about.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        // Two counters before the bytes, and what the allocator adds and rounds up to.
        self.0.len() as u64 + 32
    }

    /// How many there are of this set, clones of one another.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The set's bytes: equal for equal sets, usable as a key. Not ordered as [`Labels`] is.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelsIter<'a>;
    fn into_iter(self) -> LabelsIter<'a> {
        self.iter()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders as Prometheus's `labels.Compare` does: pair by pair, name before value.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (&*self.0, &*other.0);
        loop {
            match (field(a), field(b)) {
                (Some((x, behind_a)), Some((y, behind_b))) => match x.cmp(y) {
                    Ordering::Equal => (a, b) = (behind_a, behind_b),
                    unequal => return unequal,
                },
                (x, y) => return x.is_some().cmp(&y.is_some()),
            }
        }
    }
}

/// Name and value of the first pair of a set's bytes ([`Labels::as_bytes`]), and the bytes behind it.
pub(crate) fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, behind) = field(bytes)?;
    let (value, behind) = field(behind)?;
    Some((name, value, behind))
}

/// The first name or value of `bytes`, and what is behind it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, behind) = bytes.split_first()?;
    if len < 0x80 {
        return behind.split_at_checked(usize::from(len));
    }
    let mut reader = Reader::new(bytes);
    let field = reader.bytes("label").ok()?;
    Some((field, bytes.get(reader.position()..)?))
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `{a="b", c="d"}` with the metric name among them.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// Iterator over the pairs of a set.
#[derive(Debug, Clone)]
pub struct LabelsIter<'a>(Reader<'a>);

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.0.str("label name").ok()?;
        let value = self.0.str("label value").ok()?;
        Some((name, value))
    }
}

/// Builds a set from another by dropping, keeping and setting labels.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Begins with the pairs of `base`.
    #[must_use]
    pub fn new(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Sets `name` to `value`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.remove(name);
        if !value.is_empty() {
            self.pairs.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|pair| pair.0 != name);
        self
    }

    /// The finished set.
    #[must_use]
    pub fn build(&self) -> Labels {
        Labels::from_pairs(self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        let name = prop_oneof![Just("A"), Just("__name__"), Just("a"), Just("ab"), Just("job")];
        let value = prop_oneof![3 => "[ab\u{e9}]{0,3}", 1 => "[ab]{126,130}"];
        prop::collection::vec((name, value), 0..5)
            .prop_map(|pairs| Labels::from_pairs(pairs.iter().map(|(n, v)| (*n, v.as_str()))))
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_pairs(a in labels(), b in labels()) {
            prop_assert_eq!(a.cmp(&b), a.iter().cmp(b.iter()));
            prop_assert_eq!(a == b, a.iter().eq(b.iter()));
        }

        #[test]
        fn bytes_say_the_same_as_texts(a in labels()) {
            let raw: Vec<_> = a.raw_pairs().collect();
            let texts: Vec<_> = a.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            prop_assert_eq!(&raw, &texts);
            for (name, value) in &a {
                prop_assert_eq!(a.get(name), value);
            }
            prop_assert_eq!(a.get("aa"), "");
            prop_assert_eq!(Labels::from_raw_pairs(a.raw_pairs(), &mut vec![1]), a.clone());
        }
    }
}
