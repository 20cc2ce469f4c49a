//! Replayed records on their way into the shards: those of a shard wait in one line, and whichever thread is
//! free takes some of a line in their order. The thread that reads the log does so as well when lines are long.

use std::array;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use parking_lot::{Condvar, Mutex};

use super::replay_apply::{Record, apply};
use super::{Head, SHARDS};

/// Bytes of records that wait: some scrapes of a hundred thousand series.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes for which a thread is woken.
const WAKING_BYTES: usize = 256 << 10;
/// Records that a thread takes at a time: their shard is locked for about a millisecond.
const TURN_RECORDS_MAX: usize = 64;
/// Most threads; one more reads the log.
const WORKERS_MAX: usize = 15;

#[derive(Default)]
struct Line {
    records: VecDeque<Arc<Record>>,
    /// Somebody applies records of this shard.
    busy: bool,
}

struct State {
    lines: [Line; SHARDS],
    /// The shard whose turn comes next.
    next: usize,
    /// Bytes of records that are not applied yet.
    bytes: usize,
    /// Threads that wait for records.
    sleeping: usize,
    ended: bool,
}

/// The lines of all shards.
struct Lines {
    state: Mutex<State>,
    /// There are records, or there will be none any more.
    work: Condvar,
    /// Records were applied.
    applied: Condvar,
}

/// Some records of one shard, given back when they are applied.
struct Turn<'a> {
    lines: &'a Lines,
    shard: usize,
    records: Vec<Arc<Record>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.lines.state.lock();
        state.bytes -= self.records.iter().map(|record| record.bytes()).sum::<usize>();
        if let Some(line) = state.lines.get_mut(self.shard) {
            line.busy = false;
        }
        self.lines.applied.notify_all();
    }
}

impl Lines {
    fn new() -> Self {
        let lines = array::from_fn(|_| Line::default());
        let state = State { lines, next: 0, bytes: 0, sleeping: 0, ended: false };
        Self { state: Mutex::new(state), work: Condvar::new(), applied: Condvar::new() }
    }

    /// Some records of a shard that nobody is busy with.
    fn turn(&self, state: &mut State) -> Option<Turn<'_>> {
        for _ in 0..SHARDS {
            let shard = state.next;
            state.next = (shard + 1) % SHARDS;
            let Some(line) = state.lines.get_mut(shard) else { continue };
            if !line.busy && !line.records.is_empty() {
                line.busy = true;
                let n = line.records.len().min(TURN_RECORDS_MAX);
                let records = line.records.drain(..n).collect();
                return Some(Turn { lines: self, shard, records });
            }
        }
        None
    }

    fn push(&self, shard: usize, record: Arc<Record>) {
        let mut state = self.state.lock();
        state.bytes += record.bytes();
        if let Some(line) = state.lines.get_mut(shard) {
            line.records.push_back(record);
        }
        if state.sleeping > 0 && state.bytes >= WAKING_BYTES {
            self.work.notify_one();
        }
    }

    /// Applies records until no more than `bytes_max` of them wait or are being applied.
    fn shorten(&self, head: &Head, bytes_max: usize) {
        let mut state = self.state.lock();
        while state.bytes > bytes_max {
            match self.turn(&mut state) {
                Some(turn) => {
                    drop(state);
                    apply(head, turn.shard, &turn.records);
                    drop(turn);
                    state = self.state.lock();
                }
                None => self.applied.wait(&mut state),
            }
        }
    }

    /// What a thread does until there is nothing more to come.
    fn work(&self, head: &Head) {
        let mut state = self.state.lock();
        while !state.ended {
            match self.turn(&mut state) {
                Some(turn) => {
                    drop(state);
                    apply(head, turn.shard, &turn.records);
                    drop(turn);
                    state = self.state.lock();
                }
                None => {
                    state.sleeping += 1;
                    self.work.wait(&mut state);
                    state.sleeping -= 1;
                }
            }
        }
    }
}

/// Hands records to the threads, which end when this is dropped.
pub(super) struct Workers {
    lines: Arc<Lines>,
    waiting_bytes_max: usize,
}

impl Workers {
    /// No thread but the caller's.
    pub(super) fn none() -> Self {
        Self { lines: Arc::new(Lines::new()), waiting_bytes_max: 0 }
    }

    /// As many as there are processors besides the one that reads the log.
    pub(super) fn start<'s, 'h: 's>(head: &'h Head, scope: &'s Scope<'s, 'h>) -> Self {
        let n =
            std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX + 1) - 1;
        let mut workers = Self::none();
        for i in 0..n {
            let lines = Arc::clone(&workers.lines);
            let spawned = Builder::new()
                .name(format!("nines-replay-{i}"))
                .spawn_scoped(scope, move || lines.work(head));
            // Without the thread the others do its work.
            if spawned.is_ok() {
                workers.waiting_bytes_max = WAITING_BYTES_MAX;
            }
        }
        workers
    }

    /// Takes a record for all shards that it has samples of.
    pub(super) fn give(&self, head: &Head, record: Record) {
        let record = Arc::new(record);
        let mut shards = record.shards();
        while shards != 0 {
            self.lines.push(shards.trailing_zeros() as usize, Arc::clone(&record));
            shards &= shards - 1;
        }
        self.lines.shorten(head, self.waiting_bytes_max);
    }

    /// Returns when all records are applied.
    pub(super) fn finish(&self, head: &Head) {
        self.lines.shorten(head, 0);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.lines.state.lock().ended = true;
        self.lines.work.notify_all();
    }
}
