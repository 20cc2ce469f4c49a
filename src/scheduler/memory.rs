//! Watches the memory of the process: before it runs out, less of the history is kept open, then no series are
//! added, then writes are put off.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nines_storage::Store;

use crate::http::App;
use crate::telemetry::Process;

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// What follows from a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// No series may be added.
    closed_to_series: bool,
    /// No writes are taken at all.
    short: bool,
}

impl State {
    /// The next state. `own` is what is used apart from running queries, `all` is all. Below nine tenths of
    /// a limit it is taken back.
    fn next(self, own: u64, all: u64, series_max: u64, writes_max: u64) -> Self {
        let over = |was: bool, used: u64, max: u64| used > if was { max / 10 * 9 } else { max };
        Self {
            closed_to_series: over(self.closed_to_series, own, series_max),
            short: over(self.short, all, writes_max),
        }
    }
}

/// Bytes of opened history that may be kept when all else uses `others`: half of what is left to `limit`, so that
/// what grows finds room.
fn history_max(others: u64, limit: u64, history_max: u64) -> u64 {
    (limit.saturating_sub(others) / 2).min(history_max)
}

/// The thread that watches; it stops when this is dropped.
#[derive(Debug)]
pub struct MemoryWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Starts the thread.
    pub fn start(app: Arc<App>, store: Arc<Store>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            std::thread::Builder::new().name("nines-memory".to_owned()).spawn(move || {
                let mut state = State::default();
                while matches!(stopped.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
                    state = look(&app, &store, state);
                }
            })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(app: &App, store: &Store, before: State) -> State {
    let memory = &app.config.memory;
    let all = Process::anonymous_bytes();
    let own = all.saturating_sub(app.query_memory.held());
    let rows = store.row_cache();
    let others = own.saturating_sub(rows.bytes());
    let limit = memory.max_series_bytes.min(memory.max_bytes);
    rows.set_bytes_max(history_max(others, limit, memory.max_history_bytes));
    let state = before.next(own, all, memory.max_series_bytes, memory.max_bytes);
    app.set_memory_short(state.short);
    for (_, db) in store.tenants() {
        db.close_to_series(state.closed_to_series);
    }
    if state.closed_to_series && !before.closed_to_series {
        tracing::error!(
            bytes = own,
            "memory.max_series_bytes is used: new series are refused until there is less; give nines more memory or send it fewer series"
        );
    } else if before.closed_to_series && !state.closed_to_series {
        tracing::info!(bytes = own, "new series are accepted again");
    }
    if state.short && !before.short {
        tracing::error!(bytes = all, "memory.max_bytes is used: writes are put off");
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_gives_way_to_all_else() {
        assert_eq!(history_max(0, 1000, 60), 60);
        assert_eq!(history_max(900, 1000, 60), 50);
        assert_eq!(history_max(1000, 1000, 60), 0);
        assert_eq!(history_max(2000, 1000, 60), 0);
    }

    #[test]
    fn limits_hold_until_clearly_below() {
        let states = |uses: &[u64]| {
            let mut state = State::default();
            uses.iter()
                .map(|used| {
                    state = state.next(*used, *used, 100, 200);
                    (state.closed_to_series, state.short)
                })
                .collect::<Vec<_>>()
        };
        let (open, closed, short) = ((false, false), (true, false), (true, true));
        assert_eq!(
            states(&[100, 101, 95, 90, 95, 201, 190, 180, 90]),
            [open, closed, closed, open, open, short, short, closed, open]
        );
    }
}
