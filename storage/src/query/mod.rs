//! Reading: what a query may cost, how it selects series, how it reads their samples.

mod budget;
mod merge;
mod select;

pub use budget::{Budget, BudgetLimits, BudgetUsage, MemoryPool, Reservation};
pub(crate) use merge::merge;
pub(crate) use select::{Selection, Wanted};

use crate::error::Result;
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

    /// What the answer lacks (a quarantined block, say), one sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
