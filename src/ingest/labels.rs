//! Which label sets are accepted. Names and values are any UTF-8 (Prometheus 3); order does not matter; an
//! empty value means that the label is absent.

use std::fmt;

use nines_storage::RejectReason;
use nines_storage::model::{Labels, METRIC_NAME};

use super::Limits;

/// What is wrong with a label set. Holds no copies: most faults are only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelFault<'a> {
    NoMetricName,
    EmptyName { value: &'a [u8] },
    NotUtf8 { name: &'a [u8] },
    Duplicate { name: &'a str },
    TooMany { max: usize },
    NameTooLong { name: &'a [u8], max: usize },
    ValueTooLong { name: &'a [u8], bytes: usize, max: usize },
    OddRefs { n: usize },
    RefOutOfRange { what: &'static str, symbol: u32, n_symbols: usize },
}

impl LabelFault<'_> {
    pub(super) const fn reason(&self) -> RejectReason {
        match self {
            Self::NoMetricName => RejectReason::MissingMetricName,
            Self::EmptyName { .. } => RejectReason::InvalidLabelName,
            Self::NotUtf8 { .. } => RejectReason::InvalidUtf8,
            Self::Duplicate { .. } => RejectReason::DuplicateLabel,
            Self::TooMany { .. } => RejectReason::LabelLimit,
            Self::NameTooLong { .. } => RejectReason::LabelNameTooLong,
            Self::ValueTooLong { .. } => RejectReason::LabelValueTooLong,
            Self::OddRefs { .. } | Self::RefOutOfRange { .. } => RejectReason::InvalidSymbolRef,
        }
    }
}

/// The beginning of a text that may be long and may be no text.
fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).into_owned()
}

impl fmt::Display for LabelFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoMetricName => write!(f, "no {METRIC_NAME} label with a value"),
            Self::EmptyName { value } => {
                write!(f, "a label without a name has the value {:?}", start(value))
            }
            Self::NotUtf8 { name } => {
                write!(f, "name or value of label {:?} is not UTF-8", start(name))
            }
            Self::Duplicate { name } => {
                write!(f, "label {:?} occurs more than once", start(name.as_bytes()))
            }
            Self::TooMany { max } => write!(f, "more than {max} labels"),
            Self::NameTooLong { name, max } => {
                write!(f, "label name {:?}... has {} bytes, limit {max}", start(name), name.len())
            }
            Self::ValueTooLong { name, bytes, max } => {
                write!(f, "value of label {:?} has {bytes} bytes, limit {max}", start(name))
            }
            Self::OddRefs { n } => write!(f, "{n} label references do not make pairs"),
            Self::RefOutOfRange { what, symbol, n_symbols } => {
                write!(f, "{what} reference {symbol} is outside of the {n_symbols} symbols")
            }
        }
    }
}

/// Collects the labels of one series after the other, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct LabelCheck<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    n: usize,
}

impl<'a> LabelCheck<'a> {
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.n = 0;
    }

    /// Adds a label. Lengths come first, so that no fault costs more than the limits allow.
    pub(super) fn add(
        &mut self,
        name: &'a [u8],
        value: &'a [u8],
        limits: &Limits,
    ) -> Result<(), LabelFault<'a>> {
        self.n += 1;
        if self.n > limits.labels_per_series_max {
            return Err(LabelFault::TooMany { max: limits.labels_per_series_max });
        }
        if name.is_empty() {
            return Err(LabelFault::EmptyName { value });
        }
        if name.len() > limits.label_name_bytes_max {
            return Err(LabelFault::NameTooLong { name, max: limits.label_name_bytes_max });
        }
        if value.len() > limits.label_value_bytes_max {
            let max = limits.label_value_bytes_max;
            return Err(LabelFault::ValueTooLong { name, bytes: value.len(), max });
        }
        let (Ok(name_text), Ok(value_text)) =
            (std::str::from_utf8(name), std::str::from_utf8(value))
        else {
            return Err(LabelFault::NotUtf8 { name });
        };
        self.pairs.push((name_text, value_text));
        Ok(())
    }

    /// The label set, if it is one of a series.
    pub(super) fn finish(&mut self) -> Result<Labels, LabelFault<'a>> {
        self.pairs.sort_unstable();
        if let Some(name) = self.duplicate() {
            return Err(LabelFault::Duplicate { name });
        }
        let metric = self.pairs.iter().find(|pair| pair.0 == METRIC_NAME);
        if metric.is_none_or(|pair| pair.1.is_empty()) {
            return Err(LabelFault::NoMetricName);
        }
        Ok(self.labels())
    }

    /// A name that occurs twice; the labels must be sorted.
    pub(super) fn duplicate(&self) -> Option<&'a str> {
        let mut before = None;
        for &(name, _) in &self.pairs {
            if before == Some(name) {
                return Some(name);
            }
            before = Some(name);
        }
        None
    }

    /// What was added so far, for the text of a refusal.
    pub(super) fn labels(&self) -> Labels {
        Labels::from_pairs(self.pairs.iter().copied())
    }
}
