//! `*_over_time`, `changes` and `resets` over windows that overlap: all windows of a series at once.

use nines_storage::model::window::Fold;

use super::error::Result;
use super::eval::Evaluator;
use super::row::Row;
use super::steps::Steps;
use super::window::WindowCall;
use super::workers::Work;

/// The fold of a function; `None` when its windows have to be looked at one by one.
fn fold_of(call: &WindowCall) -> Option<Fold> {
    Some(match call.function.name {
        "avg_over_time" => Fold::Avg,
        "changes" => Fold::Changes,
        "count_over_time" => Fold::Count,
        "first_over_time" => Fold::First,
        "last_over_time" => Fold::Last,
        "max_over_time" => Fold::Max,
        "min_over_time" => Fold::Min,
        "present_over_time" => Fold::Present,
        "quantile_over_time" => {
            let column = call.params.first()?;
            let q = *column.first()?;
            // Ranks outside are noted window by window.
            let same = (0.0..=1.0).contains(&q) && column.iter().all(|other| *other == q);
            same.then_some(Fold::Quantile(q))?
        }
        "resets" => Fold::Resets,
        "stddev_over_time" => Fold::Stddev,
        "stdvar_over_time" => Fold::Stdvar,
        "sum_over_time" => Fold::Sum,
        _ => return None,
    })
}

impl Evaluator<'_> {
    /// Evaluates the function over all windows of one series of floats; whether there is a sample. `None`: this is
    /// something else, or the windows have nothing in common.
    pub(super) fn fill_folds(
        &self,
        steps: Steps,
        call: &WindowCall,
        work: &mut Work,
        row: &mut Row,
    ) -> Result<Option<bool>> {
        let Work { data, overlapping, .. } = work;
        let spaced = call
            .spaced(steps)
            .filter(|spaced| steps.n > 1 && spaced.range_ms > spaced.step_ms)
            .filter(|_| data.histograms.is_empty());
        let (Some(spaced), Some(fold)) = (spaced, fold_of(call)) else { return Ok(None) };
        let samples = (data.ts.as_slice(), data.values.as_slice());
        let n = overlapping.fold(fold, &spaced, samples, &mut row.values, &mut || self.check())?;
        self.touched.add(n);
        if self.touched.has_steps() {
            let counts = overlapping.counts();
            counts.enumerate().for_each(|(step, n)| self.touched.attribute(step, n));
        }
        Ok(Some(!row.is_empty()))
    }
}
