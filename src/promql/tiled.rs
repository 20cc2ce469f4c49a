//! Functions over long windows from summaries of whole hours and days, which storage keeps beside samples.
//!
//! A window is a fold that can be merged, so that its value is that of its pieces: the same bits as over samples, but
//! for `sum_over_time` and `avg_over_time`, whose last bits may differ unless all values are whole numbers.

use nines_storage::model::window::{Need, PieceCursor, Pieces, Spaced};
use nines_storage::model::{RangeWindow, SeriesData, TimeRange, WindowSummary};
use nines_storage::query::{SeriesSet, WindowSet};

use super::ast::Span;
use super::error::Result;
use super::eval::Evaluator;
use super::functions::{self, Note};
use super::plan::seconds;
use super::row::Row;
use super::window::{SeriesSink, WindowCall, drop_stale};
use super::workers::Work;

/// Windows looked at between two looks at the deadline.
const CHECK_EVERY: usize = 4_096;

/// What a function asks of a summary; `None` when only samples tell.
fn need_of(function: &str) -> Option<Need> {
    Some(match function {
        "absent_over_time" => Need::Presence,
        "count_over_time"
        | "delta"
        | "first_over_time"
        | "last_over_time"
        | "present_over_time"
        | "resets"
        | "ts_of_first_over_time"
        | "ts_of_last_over_time" => Need::Edges,
        "increase" | "rate" => Need::Resets,
        "avg_over_time"
        | "changes"
        | "idelta"
        | "irate"
        | "max_over_time"
        | "min_over_time"
        | "sum_over_time"
        | "ts_of_max_over_time"
        | "ts_of_min_over_time" => Need::All,
        _ => return None,
    })
}

/// The value of a function over a window with samples. An error: only the samples tell it.
fn value_of(
    function: &str,
    summary: &WindowSummary,
    window: &RangeWindow,
) -> std::result::Result<Option<f64>, ()> {
    Ok(match function {
        "avg_over_time" | "sum_over_time" if may_overflow(summary) => return Err(()),
        "avg_over_time" => Some(summary.avg().ok_or(())?),
        "changes" => Some(count(summary.changes)),
        "count_over_time" => Some(count(summary.count)),
        "delta" => summary.delta(window),
        "first_over_time" => Some(summary.first),
        "idelta" => summary.idelta(),
        "increase" => summary.increase(window),
        "irate" => summary.irate(),
        "last_over_time" => Some(summary.last),
        "max_over_time" => Some(summary.max),
        "min_over_time" => Some(summary.min),
        "present_over_time" => Some(1.0),
        "rate" => summary.rate(window),
        "resets" => Some(count(summary.resets())),
        "sum_over_time" => summary.sum(),
        "ts_of_first_over_time" => Some(seconds(summary.first_ts)),
        "ts_of_last_over_time" => Some(seconds(summary.last_ts)),
        "ts_of_max_over_time" => Some(seconds(summary.max_ts)),
        "ts_of_min_over_time" => Some(seconds(summary.min_ts)),
        _ => None,
    })
}

/// Values of which so many may add up to more than there are floats.
const SUMMED_MAX: f64 = 1e290;

/// Whether sums of parts may overflow where those of all samples do not, or the other way round. Infinities alone
/// do no harm: what they add up to does not depend on the order.
fn may_overflow(summary: &WindowSummary) -> bool {
    let huge = |value: f64| value.is_finite() && value.abs() >= SUMMED_MAX;
    huge(summary.min) || huge(summary.max)
}

#[allow(clippy::cast_precision_loss, reason = "counts of samples")]
const fn count(n: u64) -> f64 {
    n as f64
}

/// What became of a series.
pub(super) enum Filled {
    /// Its row is there; whether it has a sample.
    Row(bool),
    /// Only its samples tell.
    Unsaid,
}

impl Evaluator<'_> {
    /// `windows` over the series of `set` in pieces for `function`, where that is better than samples; tells what has
    /// to be told of samples that are gone.
    pub(super) fn tile<'s>(
        &self,
        function: &'static str,
        windows: Option<Spaced>,
        set: &'s dyn SeriesSet,
        span: Span,
    ) -> Result<Option<Box<dyn WindowSet + 's>>> {
        let tiled = match (windows, need_of(function)) {
            (Some(spaced), Some(need)) => set.tile(&spaced, need, self.budget)?,
            _ => None,
        };
        match &tiled {
            // Whoever asks for presence has to look at the windows.
            Some(tiled) if tiled.moved_ms() > 0 && function != "absent_over_time" => {
                self.note(Note::WindowsMoved { moved_ms: tiled.moved_ms() }, span);
            }
            Some(_) => {}
            None => self.note_samples_gone(function, set, span),
        }
        Ok(tiled)
    }

    /// Tells that `what` asks for samples where summaries are all there is.
    pub(super) fn note_samples_gone(&self, what: &'static str, set: &dyn SeriesSet, span: Span) {
        if let Some(until_ms) = set.samples_begin_ms() {
            self.note(Note::SamplesGone { what, until_ms }, span);
        }
    }

    /// Tells what the answers of `tiled`, read by now, lack.
    pub(super) fn note_lacks(&self, tiled: &dyn WindowSet) {
        let mut annotations = self.lock_annotations();
        tiled.warnings().into_iter().for_each(|warning| annotations.add_storage(warning));
    }

    /// Evaluates the function over the windows of one series in pieces.
    pub(super) fn fill_tiled(
        &self,
        call: &WindowCall,
        windows: &[(i64, i64)],
        work: &mut Work,
        row: &mut Row,
    ) -> Result<Filled> {
        let function = call.function.name;
        let mut cursor = PieceCursor::default();
        let mut any = false;
        let (mut total, mut counts) = (0, Vec::new());
        for (step, (start_ms, end_ms)) in windows.iter().copied().enumerate() {
            if step % CHECK_EVERY == CHECK_EVERY - 1 {
                self.check()?;
            }
            let (from, to) = cursor.move_to(&work.pieces, start_ms, end_ms);
            if from == to {
                continue;
            }
            let summary = work.pieces.summary(from, to);
            let window = RangeWindow { start_ms, end_ms, range_ms: end_ms - start_ms };
            let Ok(value) = value_of(function, &summary, &window) else {
                return Ok(Filled::Unsaid);
            };
            total += summary.count;
            if self.touched.has_steps() {
                counts.push((step, summary.count));
            }
            if let (Some(value), Some(place)) = (value, row.values.get_mut(step)) {
                *place = value;
                any = true;
            }
        }
        self.touched.add(total);
        counts.iter().for_each(|(step, n)| self.touched.attribute(*step, *n));
        if any && matches!(function, "rate" | "increase") {
            functions::note_counter_name(row.labels.metric_name(), &mut work.notes);
        }
        Ok(Filled::Row(any))
    }

    /// How many samples the windows over all series of `set` have. Series that only samples tell go to `take`.
    pub(super) fn counts_tiled(
        &self,
        set: &dyn SeriesSet,
        tiled: &dyn WindowSet,
        take: &mut SeriesSink<'_>,
    ) -> Result<Vec<u64>> {
        let mut counts = vec![0; tiled.windows().len()];
        let (mut pieces, mut data) = (Pieces::default(), SeriesData::default());
        for i in 0..set.len() {
            self.check()?;
            if !tiled.read(i, self.budget, &mut pieces, &mut data)? {
                drop_stale(&mut data);
                take(set.labels(i), false, &mut data)?;
                continue;
            }
            let mut cursor = PieceCursor::default();
            for (count, (start_ms, end_ms)) in counts.iter_mut().zip(tiled.windows()) {
                let (from, to) = cursor.move_to(&pieces, *start_ms, *end_ms);
                *count += pieces.count(from, to);
            }
        }
        self.note_lacks(tiled);
        Ok(counts)
    }

    /// Reads the samples of the series that `work` is at, where its pieces did not say enough.
    pub(super) fn read_again(
        &self,
        set: &dyn SeriesSet,
        range: TimeRange,
        work: &mut Work,
    ) -> Result<()> {
        Ok(set.read(work.series, range, self.budget, &mut work.data)?)
    }
}
