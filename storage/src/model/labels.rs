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

    /// The pairs, ascending by name.
    #[must_use]
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(Reader::new(&self.0))
    }

    /// The value of `name`, or the empty string when the set has no such label.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return v,
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
        self.iter().count()
    }

    /// Bytes that the set takes on the heap, about.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        // Two counters before the bytes, and what the allocator adds and rounds up to.
        self.0.len() as u64 + 32
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
        self.iter().cmp(other.iter())
    }
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
