//! Warnings and infos beside a result: their texts and places (Prometheus 3.14, `util/annotations`).

use std::collections::HashMap;

use super::ast::Span;
use super::functions::{HistogramOperation, Note, Notes};
use super::quote::quote;

/// Most warnings, and most infos, that a result lists.
const LISTED_MAX: usize = 10;

/// The annotations of one query. Two of one text are one; the place of the last stays.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    list: Vec<(Note, Span)>,
    by_text: HashMap<String, usize>,
    /// Warnings of storage, as it worded them.
    storage: Vec<String>,
}

impl Annotations {
    /// Adds `note`, which arose at `span`.
    pub(super) fn add(&mut self, note: Note, span: Span) {
        let text = text(&note);
        if let Some((known, place)) = self.by_text.get(&text).and_then(|&at| self.list.get_mut(at))
        {
            if !known.absorb(&note) {
                *known = note;
            }
            *place = span;
            return;
        }
        self.by_text.insert(text, self.list.len());
        self.list.push((note, span));
    }

    /// Adds all of `notes`, leaving none there.
    pub(super) fn add_all(&mut self, notes: &mut Notes, span: Span) {
        for note in notes.drain() {
            self.add(note, span);
        }
    }

    /// Adds a warning of storage.
    pub(super) fn add_storage(&mut self, warning: String) {
        if !self.storage.contains(&warning) {
            self.storage.push(warning);
        }
    }

    /// Warnings and infos for `query`, at most ten each and a line that counts the rest.
    pub(super) fn render(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let mut warnings = self.storage.clone();
        let mut infos = Vec::new();
        for (note, span) in &self.list {
            let line = format!("{}{} ({})", text(note), detail(note), place(query, span.start));
            if note.is_info() { infos.push(line) } else { warnings.push(line) }
        }
        (shorten(warnings, "warning"), shorten(infos, "info"))
    }
}

fn shorten(mut list: Vec<String>, kind: &str) -> Vec<String> {
    if list.len() > LISTED_MAX {
        let omitted = list.len() - LISTED_MAX;
        list.truncate(LISTED_MAX);
        list.push(format!("{omitted} more {kind} annotations omitted"));
    }
    list
}

/// `line:column` of the byte `at`, both counted from 1.
fn place(query: &str, at: usize) -> String {
    let Some(before) = query.as_bytes().get(..at) else { return "invalid position".to_owned() };
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = match before.iter().rposition(|&b| b == b'\n') {
        Some(line_break) => at - line_break,
        None => at + 1,
    };
    format!("{line}:{column}")
}

/// The text without place and details: what makes an annotation that one.
fn text(note: &Note) -> String {
    let kind = if note.is_info() { "PromQL info: " } else { "PromQL warning: " };
    let mut out = kind.to_owned();
    out.push_str(&body(note));
    out
}

fn named(text: &str, metric: &str) -> String {
    if metric.is_empty() {
        text.to_owned()
    } else {
        format!("{text} for metric name {}", quote(metric))
    }
}

fn operation(of: HistogramOperation) -> &'static str {
    match of {
        HistogramOperation::Addition => "addition",
        HistogramOperation::Subtraction => "subtraction",
        HistogramOperation::Aggregation => "aggregation",
    }
}

fn body(note: &Note) -> String {
    match note {
        Note::InvalidQuantile { q } => {
            format!("quantile value should be between 0 and 1, got {}", go_float(*q))
        }
        Note::InvalidRatio { ratio, capped } => {
            format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                go_float(*ratio),
                go_float(*capped)
            )
        }
        Note::BadBucketLabel { metric, label } => named(
            &format!("bucket label \"le\" is missing or has a malformed value of {}", quote(label)),
            metric,
        ),
        Note::MixedFloatsHistograms { metric } => {
            format!("encountered a mix of histograms and floats for metric name {}", quote(metric))
        }
        Note::MixedFloatsHistogramsAgg => {
            "encountered a mix of histograms and floats for aggregation".to_owned()
        }
        Note::MixedClassicNativeHistograms { metric } => {
            named("vector contains a mix of classic and native histograms", metric)
        }
        Note::NativeHistogramNotCounter { metric } => {
            format!("this native histogram metric is not a counter: {}", quote(metric))
        }
        Note::NativeHistogramNotGauge { metric } => {
            format!("this native histogram metric is not a gauge: {}", quote(metric))
        }
        Note::MixedExponentialCustomHistograms { metric } => format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            quote(metric)
        ),
        Note::IncompatibleBucketLayoutInBinOp { operator } => {
            format!("incompatible bucket layout encountered for binary operator {operator}")
        }
        Note::WindowsMoved { .. } => {
            "windows were moved back to whole hours, or days where hours are gone as well, where samples are gone and the history is all there is".to_owned()
        }
        Note::SamplesGone { what, until_ms } => {
            let what = if what.is_empty() { "this selector" } else { what };
            format!("{what} needs samples, and those up to {} (s) are gone", until_ms / 1000)
        }
        Note::SortInRangeQuery => {
            "sort is ineffective for range queries since results are always ordered by labels"
                .to_owned()
        }
        Note::HistogramCounterResetCollision { operation: of } => {
            format!("conflicting counter resets during histogram {}", operation(*of))
        }
        Note::StartTimeOverlap { metric } => format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quote(metric)
        ),
        Note::HistogramNotSupported { metric } => {
            named("native histograms are not supported here yet and were left out", metric)
        }
        info => info_body(info),
    }
}

fn info_body(note: &Note) -> String {
    match note {
        Note::PossibleNonCounter { metric } => format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            quote(metric)
        ),
        Note::PossibleNonCounterLabel { metric, type_label } => format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            quote(type_label),
            quote(metric)
        ),
        Note::HistogramQuantileForcedMonotonicity { metric, .. } => named(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metric,
        ),
        Note::IncompatibleTypesInBinOp { lhs, operator, rhs } => {
            format!(
                "incompatible sample types encountered for binary operator \"{operator}\": {lhs} {operator} {rhs}"
            )
        }
        Note::HistogramIgnoredInAggregation { aggregation } => {
            format!("ignored histogram in {aggregation} aggregation")
        }
        Note::HistogramIgnoredInMixedRange { metric } => format!(
            "ignored histograms in a range containing both floats and histograms for metric name {}",
            quote(metric)
        ),
        Note::NativeHistogramQuantileNanResult { metric } => {
            named("input to histogram_quantile has NaN observations, result is NaN", metric)
        }
        Note::NativeHistogramQuantileNanSkew { metric } => named(
            "input to histogram_quantile has NaN observations, result is skewed higher",
            metric,
        ),
        Note::NativeHistogramFractionNans { metric } => named(
            "input to histogram_fraction has NaN observations, which are excluded from all fractions",
            metric,
        ),
        Note::MismatchedCustomBuckets { operation: of } => {
            format!("mismatched custom buckets were reconciled during {}", operation(*of))
        }
        _ => String::new(),
    }
}

/// What is told with the place only.
fn detail(note: &Note) -> String {
    if let Note::WindowsMoved { moved_ms } = note {
        return format!(", by {}.{:03} s at most", moved_ms / 1000, moved_ms % 1000);
    }
    let Note::HistogramQuantileForcedMonotonicity {
        ts_min_ms,
        ts_max_ms,
        bucket_min,
        bucket_max,
        diff_max,
        more,
        ..
    } = note
    else {
        return String::new();
    };
    format!(
        ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
        go_float(*bucket_min),
        go_float(*bucket_max),
        go_float_digits(*diff_max, 2),
        more + 1,
        rfc3339(*ts_min_ms),
        rfc3339(*ts_max_ms)
    )
}

/// A float as Go's `%g` prints it: shortest, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn go_float(v: f64) -> String {
    if let Some(special) = special(v) {
        return special.to_owned();
    }
    let scientific = format!("{v:e}");
    let (digits, exponent) = split(&scientific);
    if v != 0.0 && !(-4..6).contains(&exponent) {
        with_exponent(digits, exponent)
    } else {
        format!("{v}")
    }
}

/// A float as Go's `%.<n>g` prints it.
fn go_float_digits(v: f64, n: usize) -> String {
    if let Some(special) = special(v) {
        return special.to_owned();
    }
    let scientific = format!("{v:.*e}", n.saturating_sub(1));
    let (digits, exponent) = split(&scientific);
    let trimmed = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    if v != 0.0 && (exponent < -4 || exponent >= i32::try_from(n).unwrap_or(i32::MAX)) {
        return with_exponent(trimmed, exponent);
    }
    scientific.parse::<f64>().map_or_else(|_| scientific.clone(), |rounded| format!("{rounded}"))
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v.is_infinite() {
        Some(if v > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

fn split(scientific: &str) -> (&str, i32) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (digits, exponent.parse().unwrap_or(0))
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// `2006-01-02T15:04:05Z` of a time in milliseconds.
fn rfc3339(ms: i64) -> String {
    let seconds = ms / 1000;
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    // Days from 1 March of year 0, in eras of 400 years, so that the leap day ends a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_columns_from_one() {
        assert_eq!(place("abc", 0), "1:1");
        assert_eq!(place("a\nbc", 3), "2:2");
        assert_eq!(place("a", 9), "invalid position");
    }

    #[test]
    fn floats_print_as_in_go() {
        let shown: Vec<String> =
            [0.5, 1e21, 1e20, 1e-5, 0.0001, -0.0, f64::NAN, f64::INFINITY, 123_456_789.0]
                .iter()
                .map(|&v| go_float(v))
                .collect();
        assert_eq!(
            shown,
            ["0.5", "1e+21", "1e+20", "1e-05", "0.0001", "-0", "NaN", "+Inf", "1.23456789e+08"]
        );
        assert_eq!(go_float_digits(123.0, 2), "1.2e+02");
        assert_eq!(go_float_digits(2.0, 2), "2");
        assert_eq!(go_float_digits(0.1049, 2), "0.1");
    }

    #[test]
    fn times_print_as_rfc3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_709_210_096_500), "2024-02-29T12:34:56Z");
    }

    #[test]
    fn equal_texts_are_one_and_the_rest_is_counted() {
        let mut annotations = Annotations::default();
        for i in 0..12 {
            annotations.add(
                Note::PossibleNonCounter { metric: format!("m{i}") },
                Span { start: 1, end: 2 },
            );
        }
        annotations
            .add(Note::PossibleNonCounter { metric: "m0".into() }, Span { start: 2, end: 3 });
        let (warnings, infos) = annotations.render("rate(x)");
        assert!(warnings.is_empty());
        assert_eq!(infos.len(), 11);
        assert_eq!(
            infos.first().map(String::as_str),
            Some(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m0\" (1:3)"
            )
        );
        assert_eq!(infos.last().map(String::as_str), Some("2 more info annotations omitted"));
    }
}
