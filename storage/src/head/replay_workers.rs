//! Replayed records on their way into the shards: those of a shard wait in one line, and whichever thread is
//! free takes a line as it stands. The thread that reads the log does so as well when lines are long.

use std::array;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use parking_lot::{Condvar, Mutex};

use super::replay_apply::Waiting;
use super::{Head, Place, SHARDS};

/// Bytes of records that wait: some hundred thousand samples.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes for which a thread is woken.
const WAKING_BYTES: usize = 256 << 10;
/// Most threads; one more reads the log.
const WORKERS_MAX: usize = 15;

#[derive(Default)]
struct Line {
    waiting: Waiting,
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
    /// Bytes for which a thread is woken.
    waking_bytes: usize,
    state: Mutex<State>,
    /// There are records, or there will be none any more.
    work: Condvar,
    /// Records were applied.
    applied: Condvar,
}

/// A shard whose records somebody applies; told when they are.
struct Turn<'a> {
    lines: &'a Lines,
    shard: usize,
    bytes: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.lines.state.lock();
        state.bytes -= self.bytes;
        if let Some(line) = state.lines.get_mut(self.shard) {
            line.busy = false;
        }
        self.lines.applied.notify_all();
    }
}

impl Lines {
    fn new(waking_bytes: usize) -> Self {
        let lines = array::from_fn(|_| Line::default());
        let state = State { lines, next: 0, bytes: 0, sleeping: 0, ended: false };
        Self {
            waking_bytes,
            state: Mutex::new(state),
            work: Condvar::new(),
            applied: Condvar::new(),
        }
    }

    /// The records of a shard that nobody is busy with, in exchange for an empty `taken`.
    fn turn(&self, state: &mut State, taken: &mut Waiting) -> Option<Turn<'_>> {
        for _ in 0..SHARDS {
            let shard = state.next;
            state.next = (shard + 1) % SHARDS;
            let Some(line) = state.lines.get_mut(shard) else { continue };
            if !line.busy && !line.waiting.is_empty() {
                line.busy = true;
                std::mem::swap(&mut line.waiting, taken);
                return Some(Turn { lines: self, shard, bytes: taken.bytes() });
            }
        }
        None
    }

    /// Takes a record for all of `shards`, a bit each.
    fn push(&self, mut shards: u32, kind: u8, payload: &[u8], places: &[Place]) {
        let mut state = self.state.lock();
        while shards != 0 {
            if let Some(line) = state.lines.get_mut(shards.trailing_zeros() as usize) {
                state.bytes += line.waiting.push(kind, payload, places);
            }
            shards &= shards - 1;
        }
        if state.sleeping > 0 && state.bytes >= self.waking_bytes {
            self.work.notify_one();
        }
    }

    /// Applies records until no more than `bytes_max` of them wait or are being applied.
    fn shorten(&self, head: &Head, bytes_max: usize, taken: &mut Waiting) {
        let mut state = self.state.lock();
        while state.bytes > bytes_max {
            match self.turn(&mut state, taken) {
                Some(turn) => {
                    drop(state);
                    taken.apply(head, turn.shard);
                    drop(turn);
                    state = self.state.lock();
                }
                None => self.applied.wait(&mut state),
            }
        }
    }

    /// What a thread does until there is nothing more to come.
    fn work(&self, head: &Head) {
        let mut taken = Waiting::default();
        let mut state = self.state.lock();
        while !state.ended {
            match self.turn(&mut state, &mut taken) {
                Some(turn) => {
                    drop(state);
                    taken.apply(head, turn.shard);
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
    taken: Waiting,
}

impl Workers {
    /// No thread but the caller's.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self::waking(0)
    }

    fn waking(waking_bytes: usize) -> Self {
        let (lines, taken) = (Arc::new(Lines::new(waking_bytes)), Waiting::default());
        Self { lines, waiting_bytes_max: 0, taken }
    }

    /// As many as there are processors besides the one that reads the log.
    pub(super) fn start<'s, 'h: 's>(head: &'h Head, scope: &'s Scope<'s, 'h>) -> Self {
        let n = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start_with(head, scope, n.min(WORKERS_MAX + 1) - 1, WAKING_BYTES, WAITING_BYTES_MAX)
    }

    /// `n` threads, woken for `waking_bytes`; no more than `waiting_bytes_max` wait.
    pub(super) fn start_with<'s, 'h: 's>(
        head: &'h Head,
        scope: &'s Scope<'s, 'h>,
        n: usize,
        waking_bytes: usize,
        waiting_bytes_max: usize,
    ) -> Self {
        let mut workers = Self::waking(waking_bytes);
        for i in 0..n {
            let lines = Arc::clone(&workers.lines);
            let spawned = Builder::new()
                .name(format!("nines-replay-{i}"))
                .spawn_scoped(scope, move || lines.work(head));
            // Without the thread the others do its work.
            if spawned.is_ok() {
                workers.waiting_bytes_max = waiting_bytes_max;
            }
        }
        workers
    }

    /// Takes a record for `shards`, a bit each; `places` are those of its entries.
    pub(super) fn give(
        &mut self,
        head: &Head,
        shards: u32,
        kind: u8,
        payload: &[u8],
        places: &[Place],
    ) {
        self.lines.push(shards, kind, payload, places);
        self.lines.shorten(head, self.waiting_bytes_max, &mut self.taken);
    }

    /// Returns when all records are applied.
    pub(super) fn finish(&mut self, head: &Head) {
        self.lines.shorten(head, 0, &mut self.taken);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.lines.state.lock().ended = true;
        self.lines.work.notify_all();
    }
}
