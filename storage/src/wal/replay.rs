//! Reading the log back: which checkpoint, which records count, what is torn and what is damaged.
//!
//! The rule: a record counts as acknowledged when something later proves that it was durable: the first
//! sequence number of a later segment, or the `durable` field of a later record. What is missing and
//! proven is damage, told and passed over; what is missing and not proven ends the log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::checkpoint::{header_or_damage, read_checkpoint};
use super::format::{FILE_HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_KIND};
use super::scan::{Bad, Found, Scanner};
use super::segment::{Files, segment_path};
use super::{Damage, Lsn, Progress, RecordKind, Recovery, SegmentNumber, Visit};
use crate::disk::Disk;
use crate::error::{Corruption, Result};

/// Reads the log in `dir` without changing anything there: for inspection. [`super::Wal::open`] gives
/// the same records.
pub fn replay(
    disk: &dyn Disk,
    dir: &Path,
    visit: Visit<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovery> {
    Ok(read_log(disk, dir, visit, progress)?.recovery)
}

/// Bytes of a segment that hold records which nothing later proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) number: SegmentNumber,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The log as it was found.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) recovery: Recovery,
    pub(super) files: Files,
    /// Segments with the sequence number each begins with, where known.
    pub(super) firsts: Vec<(SegmentNumber, Option<u64>)>,
    /// Whether the checkpoint that was used is undamaged.
    pub(super) checkpoint_complete: bool,
    pub(super) unproven: Vec<Unproven>,
    /// Segments at the end that were made and never written.
    pub(super) blank: Vec<SegmentNumber>,
}

/// The beginning of a segment.
struct Head {
    number: SegmentNumber,
    path: PathBuf,
    /// The header is damaged, or was never written.
    damage: Option<Corruption>,
    first: Option<u64>,
    salt: Option<u32>,
}

/// The salts that are known, each once.
fn salts_of(heads: &[Head]) -> Vec<u32> {
    let salts: BTreeSet<u32> = heads.iter().filter_map(|head| head.salt).collect();
    salts.into_iter().collect()
}

fn read_head(disk: &dyn Disk, dir: &Path, number: SegmentNumber) -> Result<Head> {
    let path = segment_path(dir, number);
    let bytes = disk.read_range(&path, 0, FILE_HEADER_BYTES + RECORD_HEADER_BYTES)?;
    match header_or_damage(&path, &bytes, SEGMENT_KIND, number)? {
        Ok(header) => {
            let (first, salt) = (Some(header.first), Some(header.salt));
            Ok(Head { number, path, damage: None, first, salt })
        }
        Err(damage) => {
            // The first record, at its known place, tells what the header told. A header that was
            // never synced has none behind it: both lie in one sector.
            let record =
                bytes.get(FILE_HEADER_BYTES..).map(RecordHeader::read).and_then(|r| r.ok());
            let first = record.map(|record| record.sequence);
            let salt = record.map(|record| record.salt);
            Ok(Head { number, path, damage: Some(damage), first, salt })
        }
    }
}

/// Which checkpoint the log is read from.
#[derive(Default)]
struct Choice {
    number: Option<SegmentNumber>,
    complete: bool,
    first: Option<u64>,
    damage: Vec<Damage>,
}

fn choose_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    files: &Files,
    heads: &[Head],
    salts: &[u32],
) -> Result<Choice> {
    let mut choice = Choice::default();
    let mut newest = true;
    for number in files.checkpoints.iter().rev().copied() {
        let mut read = read_checkpoint(disk, dir, number, salts, &mut |_, _| Ok(()))?;
        // An older one helps only while the segments behind it are still there.
        let followed = heads
            .iter()
            .find(|head| head.number >= number)
            .is_some_and(|head| head.first.is_some() && head.first <= read.first);
        if read.damage.is_empty() && (newest || followed) {
            choice.number = Some(number);
            choice.complete = true;
            choice.first = read.first;
            return Ok(choice);
        }
        choice.damage.append(&mut read.damage);
        if newest {
            (choice.number, choice.first) = (Some(number), read.first);
        }
        newest = false;
    }
    if choice.number.is_some() && heads.first().is_some_and(|head| head.first == Some(1)) {
        // Nothing was truncated yet: the segments alone hold everything.
        (choice.number, choice.first) = (None, None);
    }
    Ok(choice)
}

/// Reads everything; see [`replay`].
pub(super) fn read_log(
    disk: &dyn Disk,
    dir: &Path,
    visit: Visit<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Replayed> {
    let files = Files::list(disk, dir)?;
    let mut heads = Vec::with_capacity(files.segments.len());
    for number in files.segments.iter().copied() {
        heads.push(read_head(disk, dir, number)?);
    }
    let salts = salts_of(&heads);
    let choice = choose_checkpoint(disk, dir, &files, &heads, &salts)?;
    let firsts = heads.iter().map(|head| (head.number, head.first)).collect();
    heads.retain(|head| head.number >= choice.number.unwrap_or(0));
    let mut stream = Stream::new(disk, &heads, &salts, visit);
    stream.told.files_total = (heads.len() + usize::from(choice.number.is_some())) as u64;
    stream.recovery.damage = choice.damage;
    stream.recovery.checkpoint = choice.number;
    stream.expected = 1;
    if let Some(number) = choice.number {
        let read = read_checkpoint(disk, dir, number, &salts, stream.visit)?;
        let first = read.first.or_else(|| heads.first().and_then(|head| head.first));
        stream.expected = first.unwrap_or(1);
        stream.recovery.records = read.records;
        stream.file_done(read.bytes, progress);
    }
    for index in 0..heads.len() {
        let bytes = stream.read_segment(index)?;
        stream.file_done(bytes, progress);
    }
    stream.end();
    let Stream { mut recovery, unproven, blank, .. } = stream;
    // The segment is there before the checkpoint is written.
    let behind = files.checkpoints.last().filter(|number| !files.segments.contains(number));
    recovery.missing = behind.map(|number| segment_path(dir, *number));
    let checkpoint_complete = choice.complete;
    Ok(Replayed { recovery, files, firsts, checkpoint_complete, unproven, blank })
}

/// The records of all segments, as one sequence.
struct Stream<'a> {
    disk: &'a dyn Disk,
    heads: &'a [Head],
    /// Tried where a segment's own is lost.
    salts: &'a [u32],
    visit: Visit<'a>,
    told: Progress,
    recovery: Recovery,
    /// Sequence number that comes next.
    expected: u64,
    /// Where the first bytes lie that were passed over since the last record that counted.
    gap: Option<(Corruption, bool)>,
    /// Highest number that the records behind the last known header prove.
    tail_proven: Option<u64>,
    /// The end of the log was reached.
    cut: bool,
    unproven: Vec<Unproven>,
    blank: Vec<SegmentNumber>,
}

impl<'a> Stream<'a> {
    fn new(disk: &'a dyn Disk, heads: &'a [Head], salts: &'a [u32], visit: Visit<'a>) -> Self {
        Self {
            disk,
            heads,
            salts,
            visit,
            told: Progress::default(),
            recovery: Recovery::default(),
            expected: 1,
            gap: None,
            tail_proven: None,
            cut: false,
            unproven: Vec::new(),
            blank: Vec::new(),
        }
    }

    fn file_done(&mut self, bytes: u64, progress: &mut dyn FnMut(Progress)) {
        self.told.files_done += 1;
        self.told.bytes += bytes;
        self.told.records = self.recovery.records;
        progress(self.told);
    }

    /// What records of this segment may carry.
    fn salts_in(&self, head: &'a Head) -> &'a [u32] {
        head.salt.as_ref().map_or(self.salts, std::slice::from_ref)
    }

    fn note_gap(&mut self, path: &Path, bad: Option<Bad>) {
        if let (None, Some(bad)) = (&self.gap, bad) {
            self.gap = Some((Corruption::new(path, bad.offset, bad.what), bad.blank));
        }
    }

    /// Tells that the numbers up to `last` are lost, and goes on behind them.
    fn lose(&mut self, last: u64, path: &Path, offset: u64) {
        let at = match self.gap.take() {
            Some((at, _)) => at,
            None => Corruption::new(path, offset, "records are missing before this"),
        };
        let lost = Some((Lsn(self.expected), Lsn(last)));
        self.recovery.damage.push(Damage { at, lost, copy: None });
        self.expected = last.saturating_add(1);
    }

    /// What the records from segment `index` on prove to have been durable.
    fn tail_proven(&mut self, index: usize) -> Result<u64> {
        if let Some(proven) = self.tail_proven {
            return Ok(proven);
        }
        let mut proven = 0;
        for head in self.heads.get(index..).unwrap_or_default() {
            let bytes = self.disk.read(&head.path)?;
            let mut scanner = Scanner::new(&bytes, FILE_HEADER_BYTES, self.salts_in(head));
            while let Some(found) = scanner.next() {
                proven = proven.max(found.header.durable);
            }
        }
        self.tail_proven = Some(proven);
        Ok(proven)
    }

    fn read_segment(&mut self, index: usize) -> Result<u64> {
        let heads = self.heads;
        let Some(head) = heads.get(index) else { return Ok(0) };
        let limit = heads.iter().skip(index + 1).find_map(|head| head.first);
        let proven = match limit {
            Some(limit) => limit.saturating_sub(1),
            None => self.tail_proven(index)?,
        };
        let bytes = self.disk.read(&head.path)?;
        self.recovery.segments += 1;
        if limit.is_none() && head.first.is_none() && bytes.iter().all(|byte| *byte == 0) {
            self.blank.push(head.number);
            return Ok(bytes.len() as u64);
        }
        self.begin_segment(head);
        let mut scanner = Scanner::new(&bytes, FILE_HEADER_BYTES, self.salts_in(head));
        while !self.cut && Some(self.expected) != limit {
            let Some(found) = scanner.next() else {
                self.note_gap(&head.path, scanner.bad());
                break;
            };
            self.take(head, &found, limit, proven)?;
        }
        if Some(self.expected) == limit {
            // What is left here is a tail that an earlier start has cut already.
            self.gap = None;
        }
        Ok(bytes.len() as u64)
    }

    fn begin_segment(&mut self, head: &Head) {
        if let Some(first) = head.first.filter(|first| *first > self.expected) {
            self.lose(first - 1, &head.path, 0);
        }
        match (&head.damage, head.first) {
            (Some(at), Some(_)) => {
                let at = at.clone();
                self.recovery.damage.push(Damage { at, lost: None, copy: None });
            }
            // Damage only if numbers turn out to be missing; else it was never synced.
            (Some(at), None) if self.gap.is_none() => self.gap = Some((at.clone(), false)),
            _ => {}
        }
    }

    fn take(
        &mut self,
        head: &Head,
        found: &Found<'_>,
        limit: Option<u64>,
        proven: u64,
    ) -> Result<()> {
        let sequence = found.header.sequence;
        self.note_gap(&head.path, found.bad);
        if sequence < self.expected || limit.is_some_and(|limit| sequence >= limit) {
            return Ok(());
        }
        if sequence - 1 > proven && sequence > self.expected {
            if self.expected <= proven {
                self.lose(proven, &head.path, found.offset);
            }
            let here =
                || Corruption::new(&head.path, found.offset, "records are missing before this");
            self.recovery.torn = Some(self.gap.take().map_or_else(here, |(at, _)| at));
            self.cut = true;
            return Ok(());
        }
        if sequence > self.expected {
            self.lose(sequence - 1, &head.path, found.offset);
        }
        self.gap = None;
        self.expected = sequence.saturating_add(1);
        if limit.is_none() && sequence > proven {
            match self.unproven.last_mut() {
                Some(last) if last.number == head.number => last.to = found.end(),
                _ => {
                    let (from, to) = (found.offset, found.end());
                    self.unproven.push(Unproven { number: head.number, from, to });
                }
            }
        }
        if found.header.kind == RecordKind::MARK {
            return Ok(());
        }
        self.recovery.records += 1;
        (self.visit)(found.header.kind, found.payload)
    }

    fn end(&mut self) {
        let proven = self.tail_proven.unwrap_or(0);
        if self.expected <= proven {
            let path = self.heads.last().map(|head| head.path.clone()).unwrap_or_default();
            self.lose(proven, &path, 0);
        } else if let (Some((at, blank)), false) = (self.gap.take(), self.cut) {
            self.recovery.torn = if blank { None } else { Some(at) };
        }
        self.recovery.last = Lsn(self.expected.saturating_sub(1));
    }
}

/// Copies each damaged file to the quarantine, once. A copy that cannot be made is told in the log: the
/// start goes on.
pub(super) fn copy_damaged(disk: &dyn Disk, dir: &Path, damage: &mut [Damage]) {
    let paths: BTreeSet<PathBuf> = damage.iter().map(|damage| damage.at.path.clone()).collect();
    for path in paths {
        let copied = copy_to_quarantine(disk, dir, &path);
        if let Err(cause) = &copied {
            tracing::warn!(%cause, path = %path.display(), "a damaged log file could not be copied");
        }
        let copy = copied.ok();
        for damage in damage.iter_mut().filter(|damage| damage.at.path == path) {
            tracing::error!(at = %damage.at, lost = ?damage.lost, "the log is damaged");
            damage.copy.clone_from(&copy);
        }
    }
}

fn copy_to_quarantine(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<PathBuf> {
    const PIECE_BYTES: usize = 1 << 20;
    let quarantine = dir.join(super::QUARANTINE_DIR);
    let copy = quarantine.join(path.file_name().unwrap_or_default());
    let temporary = copy.with_extension("tmp");
    crate::disk::create_dir_durable(disk, &quarantine)?;
    if disk.exists(&copy)? {
        return Ok(copy);
    }
    if disk.exists(&temporary)? {
        disk.remove_file(&temporary)?;
    }
    let file = disk.create(&temporary)?;
    let mut offset = 0;
    loop {
        let piece = disk.read_range(path, offset, PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        file.write_at(offset, &piece)?;
        offset += piece.len() as u64;
    }
    file.sync_all()?;
    disk.rename(&temporary, &copy)?;
    disk.sync_dir(&quarantine)?;
    Ok(copy)
}
