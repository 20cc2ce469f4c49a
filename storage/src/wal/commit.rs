//! Group commit: one caller writes and syncs for all who wait; and the making of spare segments, which
//! callers do on the way out so that nobody waits for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::SegmentNumber;
use super::log::{Cut, Shared, Spare, State};
use super::segment::{Segment, make_segment};
use crate::error::{Error, Result};

/// A buffer that grew beyond this is given back after it was written.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

/// One byte in a block for this many in the log, at worst of what is usual.
const FLUSHED_RATIO: u64 = 8;
/// Length of a segment on a disk that has no room for a whole one: its header, and a mark.
const SHORT_SEGMENT_BYTES: u64 = 512;

/// Writes to the last segment. Used by one leader at a time.
#[derive(Default)]
pub(super) struct Writer {
    active: Option<Segment>,
    offset: u64,
    dirty: bool,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let (Some(active), false) = (&self.active, bytes.is_empty()) else { return Ok(()) };
        active.file.write_at(self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        self.dirty = true;
        Ok(())
    }

    fn sync(&mut self) -> Result<u64> {
        let (Some(active), true) = (&self.active, self.dirty) else { return Ok(0) };
        active.file.sync_data()?;
        self.dirty = false;
        Ok(1)
    }

    /// Writes and syncs `bytes`; answers how many syncs that took. A segment is synced before the next
    /// one is written, so that a header proves all records before it.
    fn commit(&mut self, bytes: &[u8], cuts: Vec<Cut>) -> Result<u64> {
        let mut syncs = 0;
        let mut from = 0;
        for cut in cuts {
            self.write(bytes.get(from..cut.at).unwrap_or_default())?;
            syncs += self.sync()?;
            (self.active, self.offset, from) = (Some(cut.segment), 0, cut.at);
        }
        self.write(bytes.get(from..).unwrap_or_default())?;
        Ok(syncs + self.sync()?)
    }
}

impl Shared {
    /// Waits until `sequence` (or the last record, if that is less) is durable.
    pub(super) fn flush_to(&self, sequence: u64) -> Result<()> {
        let state = self.state.lock();
        let wanted = sequence.min(state.next - 1);
        self.wait_until(state, |state| state.synced >= wanted)
    }

    /// Waits until all that is queued now is durable, the header of a segment without records included.
    pub(super) fn flush_all(&self) -> Result<()> {
        let state = self.state.lock();
        if let Some(why) = state.failed {
            return Err(Error::Unavailable { why });
        }
        let wanted = state.written + (state.in_flight + state.queue.len()) as u64;
        self.wait_until(state, |state| state.written >= wanted)
    }

    /// Leads where nobody leads, until `done`.
    fn wait_until(
        &self,
        mut state: MutexGuard<'_, State>,
        done: impl Fn(&State) -> bool,
    ) -> Result<()> {
        while !done(&state) {
            if let Some(why) = state.failed {
                return Err(Error::Unavailable { why });
            }
            if state.leading {
                self.changed.wait(&mut state);
            } else {
                self.lead(&mut state)?;
            }
        }
        let missing = matches!(state.spare, Spare::Missing) && state.failed.is_none();
        drop(state);
        if missing {
            self.make_spare();
        }
        Ok(())
    }

    /// Writes and syncs all that is queued now.
    fn lead(&self, state: &mut MutexGuard<'_, State>) -> Result<()> {
        state.leading = true;
        let empty = std::mem::take(&mut state.recycled);
        let mut batch = std::mem::replace(&mut state.queue, empty);
        let cuts = std::mem::take(&mut state.cuts);
        let last = state.next - 1;
        state.in_flight = batch.len();
        let begun = Instant::now();
        let answer = MutexGuard::unlocked(state, || self.writer.lock().commit(&batch, cuts));
        state.leading = false;
        let written = std::mem::take(&mut state.in_flight) as u64;
        state.stats.sync_seconds += begun.elapsed().as_secs_f64();
        batch.clear();
        if batch.capacity() <= BUFFER_KEPT_BYTES {
            state.recycled = batch;
        }
        match answer {
            Ok(syncs) => {
                state.synced = last;
                state.written += written;
                state.stats.syncs += syncs;
                self.changed.notify_all();
                Ok(())
            }
            Err(cause) => {
                self.fail(state, &cause);
                Err(Error::Unavailable { why: state.failed.unwrap_or_default() })
            }
        }
    }

    /// Refuses everything from now on: after a failed write or sync nobody knows what is on the disk.
    pub(super) fn fail(&self, state: &mut State, cause: &Error) {
        if state.failed.is_none() {
            let detail = match cause {
                Error::Io { cause, .. } => format!(": {cause}"),
                _ => String::new(),
            };
            let why =
                format!("the write-ahead log failed ({cause}{detail}): writes need a restart");
            tracing::error!("{why}");
            // Once in the life of a log: the text has to outlive every answer that carries it.
            state.failed = Some(Box::leak(why.into_boxed_str()));
        }
        state.queue = Vec::new();
        state.cuts.clear();
        self.changed.notify_all();
    }

    /// Makes the spare segment unless it is there or being made; a failure is remembered with its time.
    pub(super) fn make_spare(&self) {
        let Some(number) = self.begin_spare() else { return };
        let bytes = self.options.segment_bytes;
        let made = self.check_space(bytes).and_then(|()| self.make_segment(number, bytes));
        if let Err(cause) = self.end_spare(made) {
            tracing::warn!(%cause, source = ?std::error::Error::source(&cause), "no log segment could be made");
        }
    }

    /// Makes a segment of the shortest useful length. Until the caller adds it the spare is being made.
    pub(super) fn make_short_segment(&self) -> Result<Option<Segment>> {
        let Some(number) = self.begin_spare() else { return Ok(None) };
        match self.make_segment(number, SHORT_SEGMENT_BYTES) {
            Ok(segment) => Ok(Some(segment)),
            Err(cause) => self.end_spare(Err(cause)).map(|()| None),
        }
    }

    fn make_segment(&self, number: SegmentNumber, bytes: u64) -> Result<Segment> {
        make_segment(self.disk.as_ref(), &self.dir, number, bytes)
    }

    fn begin_spare(&self) -> Option<SegmentNumber> {
        let mut state = self.state.lock();
        if matches!(state.spare, Spare::Ready(_) | Spare::Making) {
            return None;
        }
        state.spare = Spare::Making;
        state.next_number += 1;
        Some(state.next_number - 1)
    }

    fn end_spare(&self, made: Result<Segment>) -> Result<()> {
        let mut state = self.state.lock();
        let answer = match made {
            Ok(segment) => {
                state.add_spare(segment);
                Ok(())
            }
            Err(cause) => {
                state.spare = Spare::Failed(Instant::now());
                Err(cause)
            }
        };
        self.changed.notify_all();
        answer
    }

    /// Leaves the flush that is to empty the log the space that its blocks will take.
    fn check_space(&self, bytes: u64) -> Result<()> {
        let kept = self.state.lock().segment_bytes() / FLUSHED_RATIO;
        let free = self.disk.free_bytes(&self.dir)?;
        if free < bytes.saturating_add(kept) {
            let cause = std::io::ErrorKind::StorageFull.into();
            return Err(Error::io("keep space for a flush beside", &self.dir, cause));
        }
        Ok(())
    }

    /// The thread of interval mode.
    pub(super) fn start_flusher(shared: &Arc<Self>, interval: Duration) -> Result<JoinHandle<()>> {
        let owned = Arc::clone(shared);
        let run = move || {
            let mut state = owned.state.lock();
            loop {
                if !state.stopping {
                    owned.wake.wait_for(&mut state, interval);
                }
                let stopping = state.stopping;
                if state.failed.is_none() && !state.queue.is_empty() {
                    // A failure is told by `fail`, to the log and to every later caller.
                    let _told = MutexGuard::unlocked(&mut state, || owned.flush_all());
                }
                if stopping {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("nines-wal".to_owned())
            .spawn(run)
            .map_err(|cause| Error::io("start thread for", &shared.dir, cause))
    }
}
