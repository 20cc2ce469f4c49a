//! The times at which an expression is evaluated.

/// More steps than any budget allows; keeps arithmetic with them far from overflow.
const STEPS_MAX: usize = 1 << 40;

/// `n` evaluation times, `step_ms` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    /// First time, in milliseconds.
    pub(super) start_ms: i64,
    /// Distance in milliseconds; never 0 or less.
    pub(super) step_ms: i64,
    /// How many; may be 0.
    pub(super) n: usize,
}

impl Steps {
    /// One evaluation.
    pub(super) fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, n: 1 }
    }

    /// From `start_ms` to `end_ms`, both included when they fall on a step.
    pub(super) fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let n = match end_ms.checked_sub(start_ms) {
            Some(span) if span >= 0 => usize::try_from(span / step_ms)
                .map_or(STEPS_MAX, |n| n.saturating_add(1).min(STEPS_MAX)),
            Some(_) => 0,
            None => STEPS_MAX,
        };
        Self { start_ms, step_ms, n }
    }

    /// The same beginning, evaluated once.
    pub(super) fn first(self) -> Self {
        Self { n: self.n.min(1), ..self }
    }

    /// Time of step `i`.
    pub(super) fn at(self, i: usize) -> i64 {
        self.start_ms
            .saturating_add(self.step_ms.saturating_mul(i64::try_from(i).unwrap_or(i64::MAX)))
    }

    /// Time of the last step; the first when there is none.
    pub(super) fn end_ms(self) -> i64 {
        self.at(self.n.saturating_sub(1))
    }

    /// Whether there is one evaluation only, whose order of series is kept.
    pub(super) fn is_instant(self) -> bool {
        self.n == 1
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn counts_both_ends() {
        let steps = Steps::range(0, 60_000, 30_000);
        assert_eq!((steps.n, steps.at(2), steps.end_ms()), (3, 60_000, 60_000));
        assert_eq!(Steps::range(0, 59_999, 30_000).n, 2);
        assert_eq!(Steps::range(1, 0, 30_000).n, 0);
        assert_eq!(Steps::range(5, 5, 0), Steps::instant(5));
    }
}
