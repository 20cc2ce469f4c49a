//! Reading: what a query may cost, how it selects series, how it reads their samples.

mod budget;
mod late;
mod merge;
mod newest;
mod past;
mod select;
mod tiling;

pub use budget::{Budget, BudgetLimits, BudgetUsage, MemoryPool, Reservation};
pub(crate) use merge::merge;
pub(crate) use past::Past;
pub(crate) use select::{Selection, Wanted};

use crate::error::Result;
use crate::model::window::{Need, Pieces, Spaced};
use crate::model::{Labels, Matcher, SeriesData, TimeRange};

/// What the reader will do with the series, so that storage can leave work out. Hints never change a result,
/// but for the order of the series.
#[derive(Debug, Clone, Default)]
pub struct SelectHints {
    /// Function around the selector (`rate`), or empty.
    pub function: &'static str,
    /// Step of the evaluation in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// Range of the selector in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// Only the label sets are wanted, no samples.
    pub labels_only: bool,
    /// The series may come in any order (the same one every time): storage then gives them as they lie, target
    /// by target, which needs no sorting and reads what a target's series share once.
    pub any_order: bool,
}

/// Something that PromQL can be asked of.
pub trait Queryable: Sync {
    /// Selects the series that satisfy all of `matchers` and may have samples inside `range`.
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        budget: &Budget,
    ) -> Result<Box<dyn SeriesSet + 'a>>;
}

/// What an answer says that lacks native histograms whose samples are gone.
pub const HISTOGRAMS_GONE: &str =
    "native histograms are missing where their samples are gone: the history holds floats alone";

/// What summaries do not tell of newest samples.
#[derive(Debug, Default)]
pub struct Untold {
    /// The times at which there may be another one.
    pub times: Vec<i64>,
    /// Whether it may be a native histogram.
    pub histograms: bool,
}

/// Selected series, in ascending order of their label sets unless any order is good enough
/// ([`SelectHints::any_order`]), each label set once. A consistent view: reading
/// later sees what was there at selection (late samples may or may not be seen).
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// Whether nothing was selected.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Label set of series `i` (`i < len()`).
    fn labels(&self, i: usize) -> &Labels;

    /// Replaces `out` by the samples of series `i` inside `range`, which lies inside the selected range.
    /// Charges the budget for them.
    fn read(&self, i: usize, range: TimeRange, budget: &Budget, out: &mut SeriesData)
    -> Result<()>;

    /// Windows of the series from summaries of whole hours and days where that is faster than reading all samples
    /// of the windows, or all there is. `None`: samples are to be read.
    fn tile<'s>(
        &'s self,
        _windows: &Spaced,
        _need: Need,
        _budget: &Budget,
    ) -> Result<Option<Box<dyn WindowSet + 's>>> {
        Ok(None)
    }

    /// Adds to `out`, which holds what [`SeriesSet::read`] gave, what summaries tell of the newest samples of series
    /// `i` at times (ascending) that are at most as old as the number beside them says: samples, and a stale marker
    /// at a time for which they do not tell, unless a sample of its hour is there. Such times are added to `untold`.
    fn read_newest(
        &self,
        _i: usize,
        _times: (&[i64], i64),
        _budget: &Budget,
        _out: &mut SeriesData,
        _untold: &mut Untold,
    ) -> Result<()> {
        Ok(())
    }

    /// Since when there are samples, where earlier ones are known to be gone and summaries of them are there.
    fn samples_begin_ms(&self) -> Option<i64> {
        None
    }

    /// What the answer lacks (a quarantined block, say), one sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Windows of selected series in pieces: samples, and summaries of stretches that lie wholly inside or outside of
/// every window.
pub trait WindowSet: Send + Sync {
    /// Beginning and end of each window, in the order in which they were asked for.
    fn windows(&self) -> &[(i64, i64)];

    /// How far windows were moved back at most, because the samples at their ends are gone; 0 when none was.
    fn moved_ms(&self) -> i64;

    /// Replaces `pieces` by those of series `i`. `false`: it has native histograms, and `data` holds the samples of
    /// all windows instead. Charges the budget for samples and summaries.
    fn read(
        &self,
        i: usize,
        budget: &Budget,
        pieces: &mut Pieces,
        data: &mut SeriesData,
    ) -> Result<bool>;

    /// What the answers lack, known when all series were read, one sentence each.
    fn warnings(&self) -> Vec<String>;
}
