//! One series of an evaluated expression, and keys made of some of its labels.

use std::sync::Arc;

use nines_storage::model::{Histogram, Labels, METRIC_NAME, STALE_NAN_BITS, is_stale, stale_nan};

use super::steps::Steps;

/// Labels that say what a metric is; whatever changes the meaning of the values drops them
/// (`schema.IsMetadataLabel`).
const METADATA: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// A series: a label set and at most one sample for every step.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Label set, the metric name still among them when `drop_name` is set.
    pub(super) labels: Labels,
    /// Whether the name no longer fits the values and goes at the end of the evaluation.
    pub(super) drop_name: bool,
    /// The float of every step; the stale marker's bits where there is none.
    pub(super) values: Vec<f64>,
    /// Native histograms by step, ascending; where there is one, there is no float.
    pub(super) histograms: Vec<(usize, Arc<Histogram>)>,
}

impl Row {
    /// A row without samples.
    pub(super) fn new(labels: Labels, n: usize) -> Self {
        Self { labels, drop_name: false, values: vec![stale_nan(); n], histograms: Vec::new() }
    }

    /// Makes it a row of `n` steps without samples, keeping the memory.
    pub(super) fn reset(&mut self, labels: &Labels, n: usize) {
        self.labels = labels.clone();
        self.drop_name = false;
        self.values.clear();
        self.values.resize(n, stale_nan());
        self.histograms.clear();
    }

    /// The row itself, leaving an empty one behind.
    pub(super) fn take(&mut self) -> Self {
        Self {
            labels: self.labels.clone(),
            drop_name: self.drop_name,
            values: std::mem::take(&mut self.values),
            histograms: std::mem::take(&mut self.histograms),
        }
    }

    /// Whether it has no sample at all.
    pub(super) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.values.iter().all(|&v| is_stale(v))
    }

    /// Number of samples.
    pub(super) fn n_samples(&self) -> usize {
        self.histograms.len() + self.values.iter().filter(|&&v| !is_stale(v)).count()
    }

    /// The first step with a sample.
    fn first_step(&self) -> usize {
        let float = self.values.iter().position(|&v| !is_stale(v)).unwrap_or(usize::MAX);
        self.histograms.first().map_or(float, |h| float.min(h.0))
    }

    /// The float at `step`.
    pub(super) fn float(&self, step: usize) -> Option<f64> {
        self.values.get(step).copied().filter(|&v| !is_stale(v))
    }

    /// The histogram at `step`.
    pub(super) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        if self.histograms.is_empty() {
            return None;
        }
        let at = self.histograms.binary_search_by_key(&step, |h| h.0).ok()?;
        self.histograms.get(at).map(|h| &h.1)
    }

    /// Whether there is a sample at `step`.
    pub(super) fn has(&self, step: usize) -> bool {
        self.float(step).is_some() || self.histogram(step).is_some()
    }

    /// Takes the samples of the steps for which `keep` is false away.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (step, value) in self.values.iter_mut().enumerate() {
            if !is_stale(*value) && !keep(step) {
                *value = stale_nan();
            }
        }
        self.histograms.retain(|h| keep(h.0));
    }

    /// Takes the samples of `other` in; `false` when both have one at the same step. The one whose samples
    /// begin first decides whether the name stays, as in Prometheus.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        if self.drop_name != other.drop_name && other.first_step() < self.first_step() {
            self.drop_name = other.drop_name;
        }
        for (step, value) in other.values.iter().enumerate() {
            if is_stale(*value) {
                continue;
            }
            if self.has(step) {
                return false;
            }
            if let Some(place) = self.values.get_mut(step) {
                *place = *value;
            }
        }
        for (step, histogram) in &other.histograms {
            if self.has(*step) {
                return false;
            }
            let at = self.histograms.partition_point(|h| h.0 < *step);
            self.histograms.insert(at, (*step, Arc::clone(histogram)));
        }
        true
    }

    /// Turns an evaluation of the first step into one of all of `steps`.
    pub(super) fn repeat(&mut self, steps: Steps) {
        let value = self.values.first().copied().unwrap_or_else(stale_nan);
        self.values.clear();
        self.values.resize(steps.n, value);
        if let Some((_, histogram)) = self.histograms.first().cloned() {
            self.histograms = (0..steps.n).map(|step| (step, Arc::clone(&histogram))).collect();
        }
    }

    /// Bytes that it holds. Its labels are counted as if nobody else had them.
    pub(super) fn bytes(&self) -> usize {
        let labels = self.labels.as_bytes().len() + 32;
        size_of::<Self>() + labels + self.values.capacity() * 8 + self.histograms.capacity() * 24
    }
}

/// `labels` without those that say what the metric is.
pub(super) fn without_metadata(labels: &Labels) -> Labels {
    if METADATA.iter().all(|name| !labels.has(name)) {
        return labels.clone();
    }
    Labels::from_pairs(labels.iter().filter(|pair| !METADATA.contains(&pair.0)))
}

/// Whether `name` says what the metric is.
pub(super) fn is_metadata(name: &str) -> bool {
    METADATA.contains(&name)
}

/// Some of the labels of a set: those in a list of names, or all but those.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    names: Vec<String>,
    /// Whether `names` are those that stay.
    keep: bool,
}

impl Selection {
    /// The labels of `names`.
    pub(super) fn on(names: &[String]) -> Self {
        Self::sorted(names.to_vec(), true)
    }

    /// All labels but `names` and the metric name.
    pub(super) fn without(names: &[String]) -> Self {
        let mut names = names.to_vec();
        names.push(METRIC_NAME.to_owned());
        Self::sorted(names, false)
    }

    fn sorted(mut names: Vec<String>, keep: bool) -> Self {
        names.sort();
        names.dedup();
        Self { names, keep }
    }

    fn takes(&self, name: &[u8]) -> bool {
        self.names.iter().any(|n| n.as_bytes() == name) == self.keep
    }

    /// Writes a key to `out` that is equal for equal selected labels only.
    pub(super) fn key(&self, labels: &Labels, out: &mut Vec<u8>) {
        out.clear();
        if self.keep && self.names.is_empty() {
            return;
        }
        for (name, value) in labels.raw_pairs() {
            if self.takes(name) {
                // 0xff occurs in no UTF-8 text.
                out.extend_from_slice(name);
                out.push(0xff);
                out.extend_from_slice(value);
                out.push(0xff);
            }
        }
    }

    /// The selected labels as a set.
    pub(super) fn labels(&self, labels: &Labels) -> Labels {
        Labels::from_pairs(labels.iter().filter(|pair| self.takes(pair.0.as_bytes())))
    }
}

/// Whether `value` stands for "no sample".
#[inline]
pub(super) fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
