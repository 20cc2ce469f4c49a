//! The open log: what is queued, who writes it, and the segments it goes to.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::checkpoint::{record_too_long, write_checkpoint};
use super::commit::Writer;
use super::format::{
    CHECKPOINT_KIND, FILE_HEADER_BYTES, FileHeader, RECORD_BYTES_MAX, RECORD_HEADER_BYTES,
    RecordHeader, SEGMENT_KIND,
};
use super::replay::{Replayed, copy_damaged, read_log};
use super::segment::{Files, Segment, checkpoint_path, segment_path};
use super::settle::settle;
use super::{
    Lsn, Progress, RecordKind, Recovery, SegmentNumber, Visit, WalOptions, WalStats, WalSync,
};
use crate::codec::crc32;
use crate::disk::{Disk, create_dir_durable};
use crate::error::{Error, Result};

pub(super) const FULL: Error = Error::Unavailable {
    why: "the write-ahead log cannot make a segment (disk full?): free space; it is tried again",
};
const QUEUE_FULL: Error =
    Error::Unavailable { why: "the write-ahead log's queue is full: the disk is too slow" };
const CLOSED: Error = Error::Unavailable { why: "the write-ahead log is closed" };

pub(super) fn reserved_kind() -> Error {
    Error::Invalid { what: "this record kind belongs to the log itself".to_owned() }
}

/// An open log.
pub struct Wal {
    shared: Arc<Shared>,
    flusher: Option<JoinHandle<()>>,
}

/// Room in the log for one batch, kept until this is dropped.
pub struct Admission<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.reserved -= self.bytes;
        if state.admitting > 0 {
            self.shared.changed.notify_all();
        }
    }
}

/// What callers and the flusher share.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: WalOptions,
    /// Of the segments of this run; unknown to senders, whose bytes are in the payloads.
    salt: u32,
    pub(super) state: Mutex<State>,
    /// Records became durable, the log failed, or a segment was made (or could not be).
    pub(super) changed: Condvar,
    /// Work for the flusher.
    pub(super) wake: Condvar,
    /// Only the leader writes. Taken without `state`.
    pub(super) writer: Mutex<Writer>,
}

/// A segment begins inside the queue.
pub(super) struct Cut {
    pub(super) at: usize,
    pub(super) segment: Segment,
}

pub(super) enum Spare {
    Ready(Segment),
    Making,
    Missing,
    Failed(Instant),
}

/// Where the next record goes: the end of the last segment, queued bytes counted.
struct Tail {
    number: SegmentNumber,
    first: u64,
    used: u64,
    bytes: u64,
}

struct SegmentInfo {
    bytes: u64,
    /// Sequence number of its first record, where known.
    first: Option<u64>,
}

pub(super) struct State {
    /// Framed records (and headers of segments), to be written next.
    pub(super) queue: Vec<u8>,
    /// Segments that begin inside `queue`.
    pub(super) cuts: Vec<Cut>,
    /// Bytes that leaders have written and synced.
    pub(super) written: u64,
    /// Bytes that a leader is writing.
    pub(super) in_flight: usize,
    /// The buffer written last, kept to be filled again.
    pub(super) recycled: Vec<u8>,
    /// Sequence number of the next record.
    pub(super) next: u64,
    /// Last sequence number that is durable.
    pub(super) synced: u64,
    pub(super) leading: bool,
    tail: Option<Tail>,
    pub(super) spare: Spare,
    pub(super) next_number: SegmentNumber,
    /// The first failure, for ever.
    pub(super) failed: Option<&'static str>,
    pub(super) closed: bool,
    pub(super) stopping: bool,
    /// Bytes that admitted batches may still log.
    reserved: u64,
    /// Callers of [`Wal::admit`] that wait.
    admitting: u32,
    /// The last record is a mark.
    marked: bool,
    segments: BTreeMap<SegmentNumber, SegmentInfo>,
    /// Newest undamaged checkpoint.
    checkpoint: Option<SegmentNumber>,
    pub(super) stats: WalStats,
}

impl State {
    fn check_open(&self) -> Result<()> {
        match self.failed {
            Some(why) => Err(Error::Unavailable { why }),
            None if self.closed => Err(CLOSED),
            None => Ok(()),
        }
    }

    /// Bytes for records in the last segment.
    fn tail_room(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.bytes - tail.used)
    }

    /// Lets the next record go to the spare segment.
    fn begin_segment(&mut self, salt: u32) -> Result<SegmentNumber> {
        let Spare::Ready(segment) = std::mem::replace(&mut self.spare, Spare::Missing) else {
            return Err(FULL);
        };
        let number = segment.number;
        let used = FILE_HEADER_BYTES as u64;
        self.tail = Some(Tail { number, first: self.next, used, bytes: segment.bytes });
        if let Some(info) = self.segments.get_mut(&number) {
            info.first = Some(self.next);
        }
        self.cuts.push(Cut { at: self.queue.len(), segment });
        let header = FileHeader { kind: SEGMENT_KIND, number, first: self.next, salt };
        header.put(&mut self.queue);
        Ok(number)
    }

    /// Bytes that the segments take on the disk.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segments.values().map(|info| info.bytes).sum()
    }

    pub(super) fn add_spare(&mut self, segment: Segment) {
        let info = SegmentInfo { bytes: segment.bytes, first: None };
        self.segments.insert(segment.number, info);
        self.spare = Spare::Ready(segment);
    }

    fn push(
        &mut self,
        kind: RecordKind,
        payload: &[u8],
        payload_crc: u32,
        salt: u32,
    ) -> Result<Lsn> {
        let payload_bytes = u32::try_from(payload.len()).map_err(|_| record_too_long())?;
        let bytes = (RECORD_HEADER_BYTES + payload.len()) as u64;
        if self.tail_room() < bytes {
            self.begin_segment(salt)?;
        }
        if self.tail_room() < bytes {
            return Err(FULL);
        }
        let Some(tail) = self.tail.as_mut() else { return Err(FULL) };
        tail.used += bytes;
        let sequence = self.next;
        let durable = self.synced;
        let header = RecordHeader { kind, sequence, durable, salt, payload_bytes, payload_crc };
        self.queue.extend_from_slice(&header.to_bytes());
        self.queue.extend_from_slice(payload);
        self.next += 1;
        self.marked = kind == RecordKind::MARK;
        self.stats.records += 1;
        self.stats.logged_bytes += bytes;
        Ok(Lsn(sequence))
    }
}

impl Wal {
    /// Replays the log in `dir` (made if missing) into `visit`, record by record, and opens it for
    /// writing. Damage does not refuse the start (see [`Recovery::damage`]), nor does a full or failing
    /// disk: then [`Wal::admit`] and [`Wal::log`] refuse. The caller holds the data directory's lock.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
        visit: Visit<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery)> {
        if options.segment_bytes <= (FILE_HEADER_BYTES + RECORD_HEADER_BYTES) as u64 {
            return Err(Error::Invalid { what: "a log segment must hold a record".to_owned() });
        }
        let existed = disk.exists(dir)?;
        create_dir_durable(disk.as_ref(), dir)?;
        let mut replayed = read_log(disk.as_ref(), dir, visit, progress)?;
        // Without a checkpoint nothing was ever removed, and the first segment has number 1. A spare one may
        // be left of a log whose written segments are gone.
        let files = &replayed.files;
        let unwritten = files.checkpoints.is_empty()
            && files.segments.len() == replayed.blank.len()
            && files.segments.first() != Some(&1);
        if existed && unwritten {
            replayed.recovery.missing.get_or_insert_with(|| dir.to_owned());
        }
        if let Some(path) = &replayed.recovery.missing {
            tracing::error!(path = %path.display(), "log segments were deleted: what they held is lost, unless the start before was cut off");
        }
        copy_damaged(disk.as_ref(), dir, &mut replayed.recovery.damage);
        let recovery = replayed.recovery.clone();
        let settled = settle(disk.as_ref(), dir, &mut replayed);
        let state = state_of(disk.as_ref(), dir, &replayed);
        let shared = Arc::new(Shared {
            disk,
            dir: dir.to_owned(),
            salt: RandomState::new().hash_one(dir) as u32,
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Condvar::new(),
            writer: Mutex::new(Writer::default()),
            options,
        });
        match settled {
            Ok(()) => shared.begin()?,
            Err(cause) => shared.fail(&mut shared.state.lock(), &cause),
        }
        let flusher = match shared.options.sync {
            WalSync::Always => None,
            WalSync::Interval(interval) => Some(Shared::start_flusher(&shared, interval)?),
        };
        Ok((Self { shared, flusher }, recovery))
    }

    /// Reserves `bytes` bytes of records (headers included), until the answer is dropped: log within that,
    /// and drop it when all is logged, before waiting for the disk. Hold no lock that others need, nor
    /// another admission: it may make a segment, and it waits for batches that are being logged.
    /// `Unavailable` when the log failed, the disk is full, or too much waits to be written; `Limit` when no
    /// segment holds that much, see [`Wal::batch_bytes_max`].
    pub fn admit(&self, bytes: usize) -> Result<Admission<'_>> {
        let shared = &*self.shared;
        let bytes = bytes as u64;
        if bytes > shared.segment_room() {
            return Err(Error::Limit {
                limit: "wal segment",
                what: "a batch is too long for a segment of the log",
                max: shared.segment_room(),
            });
        }
        let mut tried = false;
        let mut state = shared.state.lock();
        loop {
            state.check_open()?;
            let waiting = (state.queue.len() + state.in_flight) as u64 + state.reserved;
            if waiting > 0 && waiting + bytes > shared.options.queue_bytes_max as u64 {
                return Err(QUEUE_FULL);
            }
            let due = match &state.spare {
                Spare::Missing => true,
                Spare::Failed(at) => at.elapsed() >= shared.options.retry_interval,
                Spare::Ready(_) | Spare::Making => false,
            };
            if due && !tried {
                tried = true;
                drop(state);
                shared.make_spare();
                state = shared.state.lock();
                continue;
            }
            if shared.has_room(&state, bytes) {
                state.reserved += bytes;
                return Ok(Admission { shared, bytes });
            }
            // What is reserved is mostly more than what is logged in the end.
            if !matches!(state.spare, Spare::Making) && state.reserved == 0 {
                return Err(FULL);
            }
            state.admitting += 1;
            shared.changed.wait(&mut state);
            state.admitting -= 1;
        }
    }

    /// What a batch should not exceed, so that several are admitted at a time.
    #[must_use]
    pub fn batch_bytes_max(&self) -> usize {
        usize::try_from(self.shared.segment_room() / 4).unwrap_or(usize::MAX)
    }

    /// Queues a record. Memory only, under a short lock. An error means that nothing was queued:
    /// `Limit` for a record longer than [`Wal::record_bytes_max`], `Unavailable` as for [`Wal::admit`].
    pub fn log(&self, kind: RecordKind, payload: &[u8]) -> Result<Lsn> {
        if kind.is_reserved() {
            return Err(reserved_kind());
        }
        let max = self.record_bytes_max();
        if payload.len() > max {
            return Err(Error::Limit {
                limit: "wal record",
                what: "a log record is too long",
                max: max as u64,
            });
        }
        let payload_crc = crc32(payload);
        let mut state = self.shared.state.lock();
        state.check_open()?;
        state.push(kind, payload, payload_crc, self.shared.salt)
    }

    /// Waits until the record `lsn` and all before it are durable; in interval mode it returns at once.
    pub fn sync(&self, lsn: Lsn) -> Result<()> {
        let shared = &*self.shared;
        match shared.options.sync {
            WalSync::Always => shared.flush_to(lsn.0),
            WalSync::Interval(_) => {
                let state = shared.state.lock();
                if state.queue.len() > shared.options.queue_bytes_max / 4 {
                    shared.wake.notify_one();
                }
                state.failed.map_or(Ok(()), |why| Err(Error::Unavailable { why }))
            }
        }
    }

    /// Writes and syncs all that is queued, in either mode.
    pub fn flush(&self) -> Result<()> {
        self.shared.flush_all()
    }

    /// Begins a new segment: all that was logged before lies in segments with smaller numbers, durable.
    pub fn rotate(&self) -> Result<SegmentNumber> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        let number = loop {
            state.check_open()?;
            match &state.tail {
                Some(tail) if tail.first == state.next => break tail.number,
                _ => {}
            }
            match state.spare {
                Spare::Ready(_) => break state.begin_segment(shared.salt)?,
                Spare::Making => shared.changed.wait(&mut state),
                Spare::Missing | Spare::Failed(_) => {
                    drop(state);
                    shared.make_spare();
                    state = shared.state.lock();
                    if matches!(state.spare, Spare::Failed(_)) {
                        // Where no whole segment can be made a short one is enough to begin at: what is
                        // before it can then be flushed and removed, which makes room.
                        drop(state);
                        let short = shared.make_short_segment()?;
                        state = shared.state.lock();
                        if let Some(short) = short {
                            // Under one lock: no record may go there.
                            state.add_spare(short);
                            let begun = state.begin_segment(shared.salt);
                            shared.changed.notify_all();
                            break begun?;
                        }
                    }
                }
            }
        };
        let last = state.next - 1;
        drop(state);
        shared.flush_to(last)?;
        Ok(number)
    }

    /// Writes a checkpoint that stands for all segments before `number`, which [`Wal::rotate`] gave;
    /// `fill` is handed a function that adds a record. Durable on return. A failure leaves the log as it
    /// was. Not to be called by two threads at a time.
    pub fn write_checkpoint(
        &self,
        number: SegmentNumber,
        fill: &mut dyn FnMut(Visit<'_>) -> Result<()>,
    ) -> Result<()> {
        let shared = &*self.shared;
        let first = {
            let state = shared.state.lock();
            state.check_open()?;
            state.segments.get(&number).and_then(|info| info.first)
        };
        let Some(first) = first else {
            return Err(Error::Invalid {
                what: format!("no log segment begins with number {number}"),
            });
        };
        let header = FileHeader { kind: CHECKPOINT_KIND, number, first, salt: shared.salt };
        write_checkpoint(shared.disk.as_ref(), &shared.dir, header, fill)?;
        let mut state = shared.state.lock();
        state.checkpoint = state.checkpoint.max(Some(number));
        Ok(())
    }

    /// Removes segments and checkpoints before `number`. `Invalid` unless a checkpoint of that number or
    /// a later one stands for them.
    pub fn truncate_before(&self, number: SegmentNumber) -> Result<()> {
        let shared = &*self.shared;
        if shared.state.lock().checkpoint.is_none_or(|checkpoint| checkpoint < number) {
            return Err(Error::Invalid { what: format!("no log checkpoint {number} was written") });
        }
        let disk = shared.disk.as_ref();
        let files = Files::list(disk, &shared.dir)?;
        for old in files.segments.iter().copied().filter(|old| *old < number) {
            disk.remove_file(&segment_path(&shared.dir, old))?;
            shared.state.lock().segments.remove(&old);
        }
        for old in files.checkpoints.iter().copied().filter(|old| *old < number) {
            disk.remove_file(&checkpoint_path(&shared.dir, old))?;
        }
        let mut state = shared.state.lock();
        if matches!(state.spare, Spare::Failed(_)) {
            // There is room again: no need to wait for the next attempt.
            state.spare = Spare::Missing;
        }
        drop(state);
        disk.sync_dir(&shared.dir)
    }

    /// Writes and syncs all that is queued, marks it as durable inside the log, and refuses what comes
    /// later.
    pub fn close(&self) -> Result<()> {
        if self.shared.state.lock().closed {
            return Ok(());
        }
        self.flush()?;
        {
            let mut state = self.shared.state.lock();
            state.closed = true;
            if state.next > 1 && !state.marked && state.tail_room() >= RECORD_HEADER_BYTES as u64 {
                state.push(RecordKind::MARK, &[], crc32(&[]), self.shared.salt)?;
            }
        }
        self.flush()
    }

    /// Longest payload that [`Wal::log`] takes: [`RECORD_BYTES_MAX`], or what a segment holds.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        let room = self.shared.segment_room().saturating_sub(RECORD_HEADER_BYTES as u64);
        RECORD_BYTES_MAX.min(usize::try_from(room).unwrap_or(RECORD_BYTES_MAX))
    }

    /// Last sequence number that is durable.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.state.lock().synced)
    }

    /// Place of the record queued last: what waits for it waits for all that was applied before. Fails
    /// with the log: then something may have been applied that never was queued.
    pub fn last_lsn(&self) -> Result<Lsn> {
        let state = self.shared.state.lock();
        match state.failed {
            Some(why) => Err(Error::Unavailable { why }),
            None => Ok(Lsn(state.next - 1)),
        }
    }

    /// Takes nothing more until a restart: memory holds a change that the log refused, so that a
    /// repetition of it would be acknowledged without being durable.
    pub fn refuse_further(&self, cause: &Error) {
        self.shared.fail(&mut self.shared.state.lock(), cause);
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        let state = self.shared.state.lock();
        WalStats {
            segments: state.segments.len() as u64,
            bytes: state.segment_bytes(),
            queued_bytes: (state.queue.len() + state.in_flight) as u64,
            failed: state.failed.is_some(),
            full: matches!(state.spare, Spare::Failed(_)),
            refusing: matches!(state.spare, Spare::Failed(_)) && !self.shared.has_room(&state, 0),
            ..state.stats
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        if let Some(flusher) = self.flusher.take() {
            self.shared.state.lock().stopping = true;
            self.shared.wake.notify_all();
            if flusher.join().is_err() {
                tracing::error!("the thread that syncs the log has panicked");
            }
        }
    }
}

impl Shared {
    fn segment_room(&self) -> u64 {
        self.options.segment_bytes.saturating_sub(FILE_HEADER_BYTES as u64)
    }

    /// A record is not split, so what is reserved fits either into the rest of the last segment or, whatever
    /// is left unused there, into an empty one. Of the last segment that can be made a quarter is not given
    /// to batches: it is for what is logged without being admitted, the mark of a closed log.
    fn has_room(&self, state: &MutexGuard<'_, State>, bytes: u64) -> bool {
        let whole = self.segment_room();
        let wanted = bytes.saturating_add(state.reserved);
        state.tail_room() >= wanted.saturating_add(whole / 4)
            || (matches!(state.spare, Spare::Ready(_)) && whole >= wanted)
    }

    /// Lets a new segment tell durably where the replayed log ends.
    fn begin(&self) -> Result<()> {
        self.make_spare();
        let mut state = self.state.lock();
        if let Spare::Ready(_) = state.spare {
            state.begin_segment(self.salt)?;
            drop(state);
            // A failure here fails the log, not the start: reads go on.
            if let Err(cause) = self.flush_all() {
                tracing::warn!(%cause, "the log takes no writes");
            }
        }
        Ok(())
    }
}

fn state_of(disk: &dyn Disk, dir: &Path, replayed: &Replayed) -> State {
    let recovery = &replayed.recovery;
    let segments = replayed.firsts.iter().map(|(number, first)| {
        let bytes = disk.file_len(&segment_path(dir, *number)).unwrap_or(0);
        (*number, SegmentInfo { bytes, first: *first })
    });
    State {
        queue: Vec::new(),
        cuts: Vec::new(),
        written: 0,
        in_flight: 0,
        recycled: Vec::new(),
        next: recovery.last.0 + 1,
        synced: recovery.last.0,
        leading: false,
        tail: None,
        spare: Spare::Missing,
        next_number: replayed.files.next_number(),
        failed: None,
        closed: false,
        stopping: false,
        reserved: 0,
        admitting: 0,
        marked: false,
        segments: segments.collect(),
        checkpoint: recovery.checkpoint.filter(|_| replayed.checkpoint_complete),
        stats: WalStats {
            corruptions: recovery.damage.len() as u64 + u64::from(recovery.missing.is_some()),
            ..WalStats::default()
        },
    }
}
