//! Reads and evaluates the series of a selector on several threads.
//!
//! Threads take runs of series one after the other; the caller's thread takes the finished rows in the order
//! of the series, so that a result never depends on the number of threads. Threads stay a bounded number of
//! runs ahead of what has been taken.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nines_storage::model::window::{Overlapping, Pieces, Sliding};
use nines_storage::model::{Labels, SeriesData, TimeRange};
use nines_storage::query::{SeriesSet, Untold, WindowSet};

use super::error::{QueryError, Result};
use super::eval::{Evaluator, Sink};
use super::functions::Notes;
use super::row::Row;
use super::selector::Latest;
use super::steps::Steps;

/// Fewest values (series times steps) for which threads are worth their start.
const VALUES_MIN: usize = 200_000;
/// Values of one run.
const RUN_VALUES: usize = 50_000;
/// Most series of one run.
const RUN_SERIES_MAX: usize = 64;
/// Runs that every thread may be ahead.
const RUNS_AHEAD: usize = 3;

/// Memory of one thread, used again for every series.
#[derive(Default)]
pub(super) struct Work {
    /// The series that it is at.
    pub(super) series: usize,
    pub(super) data: SeriesData,
    /// What was read instead of `data` when `in_pieces` says so.
    pub(super) pieces: Pieces,
    pub(super) in_pieces: bool,
    /// Times at which the newest samples were not told.
    pub(super) untold: Untold,
    pub(super) notes: Notes,
    pub(super) scratch: super::edges::Scratch,
    pub(super) sliding: Sliding,
    pub(super) overlapping: Overlapping,
    pub(super) latest: Latest,
}

/// What is read of which series.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) set: &'s dyn SeriesSet,
    pub(super) range: TimeRange,
    /// Windows in pieces, which are read instead of the samples.
    pub(super) tiled: Option<&'s dyn WindowSet>,
    /// Times whose newest samples are asked for beside, and how old these may be.
    pub(super) newest: Option<(&'s [i64], i64)>,
}

/// Evaluates one series, whose samples have been read, into a row; whether it has any sample.
pub(super) type Evaluate<'e> = dyn Fn(&Labels, &mut Work, &mut Row) -> Result<bool> + Sync + 'e;

/// What the threads share.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    n_runs: usize,
    ahead_max: usize,
}

#[derive(Default)]
struct State {
    /// The next run to be evaluated.
    next: usize,
    /// Runs taken by the caller.
    taken: usize,
    done: BTreeMap<usize, Result<Vec<Row>>>,
    /// Nothing more is wanted, or a thread has died.
    stopped: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'q>(&self, state: MutexGuard<'q, State>) -> MutexGuard<'q, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next run to evaluate, once the caller is close enough behind.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.n_runs {
                return None;
            }
            if state.next < state.taken + self.ahead_max {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.wait(state);
        }
    }

    fn finish(&self, run: usize, rows: Result<Vec<Row>>) {
        self.lock().done.insert(run, rows);
        self.changed.notify_all();
    }

    fn take(&self, run: usize) -> Result<Vec<Row>> {
        let mut state = self.lock();
        loop {
            if let Some(rows) = state.done.remove(&run) {
                state.taken = run + 1;
                self.changed.notify_all();
                return rows;
            }
            if state.stopped {
                return Err(QueryError::execution("a thread of the query ended early"));
            }
            state = self.wait(state);
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// Stops the queue when its holder ends by a panic or an error.
struct StopUnlessDone<'q>(&'q Queue, bool);

impl Drop for StopUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.stop();
        }
    }
}

impl Evaluator<'_> {
    /// Reads the series of `source`, evaluates each and gives the rows to `sink` in order.
    pub(super) fn each_series(
        &self,
        steps: Steps,
        source: Source<'_>,
        evaluate: &Evaluate<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let n = source.set.len();
        let run_len = (RUN_VALUES / steps.n.max(1)).clamp(1, RUN_SERIES_MAX);
        let n_runs = n.div_ceil(run_len);
        let n_threads = self.threads_max.min(n_runs);
        let mut work = Work::default();
        let mut row = Row::new(Labels::empty(), 0);
        if n_threads < 2 || n.saturating_mul(steps.n) < VALUES_MIN {
            for i in 0..n {
                if self.one_series(steps, source, i, evaluate, &mut work, &mut row)? {
                    sink(&mut row)?;
                }
            }
            return Ok(());
        }
        let ahead_max = n_threads * RUNS_AHEAD;
        let queue = Queue { state: Mutex::default(), changed: Condvar::new(), n_runs, ahead_max };
        std::thread::scope(|scope| {
            for _ in 0..n_threads {
                scope.spawn(|| {
                    let mut guard = StopUnlessDone(&queue, false);
                    let mut work = Work::default();
                    while let Some(run) = queue.claim() {
                        let first = run * run_len;
                        queue.finish(
                            run,
                            self.run(
                                steps,
                                source,
                                first..(first + run_len).min(n),
                                evaluate,
                                &mut work,
                            ),
                        );
                    }
                    guard.1 = true;
                });
            }
            let mut guard = StopUnlessDone(&queue, false);
            for run in 0..n_runs {
                for row in &mut queue.take(run)? {
                    sink(row)?;
                }
            }
            guard.1 = true;
            Ok(())
        })
    }

    fn run(
        &self,
        steps: Steps,
        source: Source<'_>,
        series: std::ops::Range<usize>,
        evaluate: &Evaluate<'_>,
        work: &mut Work,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(series.len());
        for i in series {
            let mut row = Row::new(Labels::empty(), 0);
            if self.one_series(steps, source, i, evaluate, work, &mut row)? {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn one_series(
        &self,
        steps: Steps,
        source: Source<'_>,
        i: usize,
        evaluate: &Evaluate<'_>,
        work: &mut Work,
        row: &mut Row,
    ) -> Result<bool> {
        work.series = i;
        work.in_pieces = match source.tiled {
            Some(tiled) => tiled.read(i, self.budget, &mut work.pieces, &mut work.data)?,
            None => false,
        };
        if source.tiled.is_none() {
            source.set.read(i, source.range, self.budget, &mut work.data)?;
        }
        if let Some(newest) = source.newest {
            let Work { data, untold, .. } = work;
            source.set.read_newest(i, newest, self.budget, data, untold)?;
        }
        let (n, bytes) = if work.in_pieces {
            (work.pieces.len(), work.pieces.bytes())
        } else {
            (work.data.len(), work.data.len() * 16)
        };
        if n == 0 {
            return Ok(false);
        }
        row.reset(source.set.labels(i), steps.n);
        let mut hold = self.hold();
        hold.add(n, bytes)?;
        evaluate(source.set.labels(i), work, row)
    }
}
