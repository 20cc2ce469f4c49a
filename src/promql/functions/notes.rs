//! Annotations by kind. Texts and positions are the engine's (`annotations.rs`).

/// What was done with histograms when an annotation arose (`util/annotations`, `HistogramOperation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistogramOperation {
    /// "addition"
    Addition,
    /// "subtraction"
    Subtraction,
    /// "aggregation"
    Aggregation,
}

/// One annotation without its position; kinds and arguments of Prometheus's `util/annotations`.
/// `metric` is the name of the metric, empty when there is none.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is the annotation of its name")]
pub enum Note {
    // Warnings.
    InvalidQuantile {
        q: f64,
    },
    InvalidRatio {
        ratio: f64,
        capped: f64,
    },
    BadBucketLabel {
        metric: String,
        label: String,
    },
    MixedFloatsHistograms {
        metric: String,
    },
    MixedFloatsHistogramsAgg,
    MixedClassicNativeHistograms {
        metric: String,
    },
    NativeHistogramNotCounter {
        metric: String,
    },
    NativeHistogramNotGauge {
        metric: String,
    },
    MixedExponentialCustomHistograms {
        metric: String,
    },
    IncompatibleBucketLayoutInBinOp {
        operator: &'static str,
    },
    SortInRangeQuery,
    HistogramCounterResetCollision {
        operation: HistogramOperation,
    },
    StartTimeOverlap {
        metric: String,
    },
    /// Not of Prometheus: a function over native histograms that nines does not evaluate yet.
    HistogramNotSupported {
        metric: String,
    },
    /// Not of Prometheus: what was asked for needs samples, which are gone before this time.
    SamplesGone {
        what: &'static str,
        until_ms: i64,
    },
    // Infos.
    /// Not of Prometheus: windows were moved back to whole hours, by so much at most.
    WindowsMoved {
        moved_ms: i64,
    },
    PossibleNonCounter {
        metric: String,
    },
    PossibleNonCounterLabel {
        metric: String,
        type_label: String,
    },
    HistogramQuantileForcedMonotonicity {
        metric: String,
        ts_min_ms: i64,
        ts_max_ms: i64,
        bucket_min: f64,
        bucket_max: f64,
        diff_max: f64,
        more: u64,
    },
    IncompatibleTypesInBinOp {
        lhs: &'static str,
        operator: &'static str,
        rhs: &'static str,
    },
    HistogramIgnoredInAggregation {
        aggregation: &'static str,
    },
    HistogramIgnoredInMixedRange {
        metric: String,
    },
    NativeHistogramQuantileNanResult {
        metric: String,
    },
    NativeHistogramQuantileNanSkew {
        metric: String,
    },
    NativeHistogramFractionNans {
        metric: String,
    },
    MismatchedCustomBuckets {
        operation: HistogramOperation,
    },
}

/// Annotations gathered while one function call is evaluated; each distinct one once.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    list: Vec<Note>,
}

impl Note {
    /// Whether Prometheus lists it among `infos`; else among `warnings`.
    #[must_use]
    pub const fn is_info(&self) -> bool {
        matches!(
            self,
            Self::PossibleNonCounter { .. }
                | Self::WindowsMoved { .. }
                | Self::PossibleNonCounterLabel { .. }
                | Self::HistogramQuantileForcedMonotonicity { .. }
                | Self::IncompatibleTypesInBinOp { .. }
                | Self::HistogramIgnoredInAggregation { .. }
                | Self::HistogramIgnoredInMixedRange { .. }
                | Self::NativeHistogramQuantileNanResult { .. }
                | Self::NativeHistogramQuantileNanSkew { .. }
                | Self::NativeHistogramFractionNans { .. }
                | Self::MismatchedCustomBuckets { .. }
        )
    }

    /// Takes `later` in when both say the same thing; `false` when they do not.
    /// Forced monotonicity widens its bounds and counts (`more`: samples beyond the first).
    pub fn absorb(&mut self, later: &Self) -> bool {
        match (self, later) {
            (
                Self::HistogramQuantileForcedMonotonicity {
                    metric,
                    ts_min_ms,
                    ts_max_ms,
                    bucket_min,
                    bucket_max,
                    diff_max,
                    more,
                },
                Self::HistogramQuantileForcedMonotonicity {
                    metric: metric_2,
                    ts_min_ms: ts_min_2,
                    ts_max_ms: ts_max_2,
                    bucket_min: bucket_min_2,
                    bucket_max: bucket_max_2,
                    diff_max: diff_max_2,
                    more: more_2,
                },
            ) if metric == metric_2 => {
                *ts_min_ms = (*ts_min_ms).min(*ts_min_2);
                *ts_max_ms = (*ts_max_ms).max(*ts_max_2);
                *bucket_min = bucket_min.min(*bucket_min_2);
                *bucket_max = bucket_max.max(*bucket_max_2);
                *diff_max = diff_max.max(*diff_max_2);
                *more += more_2 + 1;
                true
            }
            (Self::WindowsMoved { moved_ms }, Self::WindowsMoved { moved_ms: later }) => {
                *moved_ms = (*moved_ms).max(*later);
                true
            }
            (Self::InvalidQuantile { q: a }, Self::InvalidQuantile { q: b }) => same_float(*a, *b),
            (
                Self::InvalidRatio { ratio: a, capped: c },
                Self::InvalidRatio { ratio: b, capped: d },
            ) => same_float(*a, *b) && same_float(*c, *d),
            (this, later) => this == later,
        }
    }
}

fn same_float(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl Notes {
    /// Adds `note` unless it is there; merges where the kind says so.
    pub fn add(&mut self, note: Note) {
        if !self.list.iter_mut().any(|known| known.absorb(&note)) {
            self.list.push(note);
        }
    }

    /// As `add`, without allocating when the metric was noted before: this one arises at every step.
    pub fn add_possible_non_counter(&mut self, metric: &str) {
        let known = |note: &Note| matches!(note, Note::PossibleNonCounter { metric: known } if known == metric);
        if !self.list.iter().any(known) {
            self.list.push(Note::PossibleNonCounter { metric: metric.to_owned() });
        }
    }

    /// Takes all out of `other`.
    pub fn append(&mut self, other: &mut Self) {
        for note in other.list.drain(..) {
            self.add(note);
        }
    }

    /// The annotations in the order in which they arose; leaves none.
    pub fn drain(&mut self) -> impl Iterator<Item = Note> + '_ {
        self.list.drain(..)
    }

    /// The annotations in the order in which they arose.
    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.list.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
