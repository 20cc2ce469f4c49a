//! What was counted, kept by stretches of time: so that a year is the sum of its days, and is read from samples once.
//!
//! Kept are days (of the time zone of the SLO), of days that are asked for in part their hours, and every longer
//! stretch that somebody asked for: once they are over and settled, and until a sample comes late into them or is
//! deleted there ([`nines_storage::Changes`] tells). It is a pure function of samples and definition: what is dropped
//! is counted anew when somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nines_storage::Changes;
use nines_storage::model::TimeRange;

use super::calendar::day_boundaries;
use super::count::{Asker, Counted, Group};
use super::error::Result;
use super::slices::{SLICES_AT_ONCE, boundary_before, follows, zone};
use super::tally::Tally;
use crate::slo::definition::Slice;

/// How long after its end a day is counted each time: senders are late by seconds and minutes all the time.
const SETTLE_MS: i64 = 10 * 60_000;
/// Pieces counted in one go.
const PIECES_AT_ONCE: usize = 32;
/// Pieces shorter than a day that are kept of one objective.
const SHORT_MAX: usize = 512;
const HOUR_MS: i64 = 3_600_000;
/// All but the shortest days; a shorter piece is part of one.
const DAY_MIN_MS: i64 = 22 * HOUR_MS;
/// Bytes of a stretch, its entry included.
const STRETCH_BYTES: usize = size_of::<Kept>() + 96;
/// Bytes of a day of a group, its entry included.
const DAY_BYTES: usize = size_of::<Tally>() + 48;

/// What is kept of one objective, for one tenant.
#[derive(Default)]
struct Pages {
    /// By beginning and end.
    stretches: BTreeMap<(i64, i64), Kept>,
    n_short: usize,
    used: u64,
}

/// All groups in one stretch.
#[derive(Clone)]
struct Kept {
    /// The number of the last change that was seen.
    number: u64,
    groups: Arc<BTreeMap<Group, Tally>>,
    /// Of a group that has no series in it.
    blank: Tally,
    /// The oldest sample that matters: from it a step into the stretch was taken.
    since_ms: i64,
    /// Since when there were samples, where earlier ones were gone.
    samples_begin_ms: Option<i64>,
    /// When it was counted.
    computed_ms: i64,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            number: 0,
            groups: Arc::default(),
            blank: Tally::default(),
            since_ms: i64::MAX,
            samples_begin_ms: None,
            computed_ms: i64::MIN,
        }
    }
}

impl Kept {
    /// Adds what was counted in a stretch behind this one.
    fn add(&mut self, other: &Self) {
        let groups = Arc::make_mut(&mut self.groups);
        for (group, own) in groups.iter_mut() {
            own.add(other.groups.get(group).unwrap_or(&other.blank));
        }
        for (group, tally) in &*other.groups {
            if !groups.contains_key(group) {
                let mut own = self.blank.clone();
                own.add(tally);
                groups.insert(group.clone(), own);
            }
        }
        self.blank.add(&other.blank);
        self.since_ms = self.since_ms.min(other.since_ms);
        self.samples_begin_ms = self.samples_begin_ms.max(other.samples_begin_ms);
        self.computed_ms = self.computed_ms.max(other.computed_ms);
    }

    fn bytes(&self) -> usize {
        let texts = |group: &Group| group.iter().map(|text| text.len() + 24).sum::<usize>();
        let shares = |tally: &Tally| tally.shares.len() * 32;
        let of = |(group, tally): (&Group, &Tally)| DAY_BYTES + texts(group) + shares(tally);
        STRETCH_BYTES + self.groups.iter().map(of).sum::<usize>()
    }
}

#[derive(Default)]
struct Inner {
    pages: HashMap<Key, Pages>,
    bytes: usize,
    clock: u64,
}

/// Whose pages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: String,
    counts_hash: u64,
    objective: usize,
}

/// See the module. Of all tenants.
pub struct Ledger {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

/// What a window is counted from, and how fresh that is.
#[derive(Debug, Default)]
pub struct Booked {
    /// The counts.
    pub counted: Counted,
    /// The number of the last change in the window.
    pub revision: u64,
    /// When the last of it was counted; `None` when nothing was.
    pub computed_ms: Option<i64>,
}

/// Who keeps pages.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Whose samples.
    pub tenant: &'a str,
    /// What happened to them.
    pub changes: &'a Changes,
}

impl Ledger {
    /// A ledger of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stretch that is kept and valid.
    fn valid(&self, key: &Key, (from, to): (i64, i64), changes: &Changes) -> Option<Kept> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let pages = inner.pages.get_mut(key)?;
        pages.used = clock;
        let kept = pages.stretches.get(&(from, to))?;
        let range = TimeRange::new(kept.since_ms.min(from + 1), to);
        (changes.last_within(range) <= kept.number).then(|| kept.clone())
    }

    fn keep(&self, key: &Key, stretches: Vec<((i64, i64), Kept)>) {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let pages = inner.pages.entry(key.clone()).or_default();
        pages.used = clock;
        let mut grown = 0isize;
        for (span, kept) in stretches {
            grown += kept.bytes() as isize;
            match pages.stretches.insert(span, kept) {
                Some(old) => grown -= old.bytes() as isize,
                None => pages.n_short += usize::from(is_short(span)),
            }
        }
        while pages.n_short > SHORT_MAX {
            // They were for windows that have moved on.
            let oldest = pages.stretches.keys().find(|span| is_short(**span)).copied();
            let Some(gone) = oldest.and_then(|span| pages.stretches.remove(&span)) else { break };
            grown -= gone.bytes() as isize;
            pages.n_short -= 1;
        }
        inner.bytes = inner.bytes.saturating_add_signed(grown);
        while inner.bytes > self.bytes_max {
            // The one at hand is the last to go: when it alone is too much, it is not kept either.
            let oldest = inner.pages.iter().min_by_key(|(_, pages)| pages.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(pages) = inner.pages.remove(&oldest) {
                let bytes: usize = pages.stretches.values().map(Kept::bytes).sum();
                inner.bytes = inner.bytes.saturating_sub(bytes);
            }
        }
    }
}

impl Owner<'_> {
    /// Counts the stretches between `boundaries`: days from the ledger, the rest from samples.
    pub fn count(
        &self,
        asker: &Asker<'_>,
        objective: usize,
        boundaries: &[i64],
        now_ms: i64,
    ) -> Result<Booked> {
        let mut booked = Booked::default();
        let (Some(&begin), Some(&end)) = (boundaries.first(), boundaries.last()) else {
            return Ok(booked);
        };
        let key =
            Key { tenant: self.tenant.to_owned(), counts_hash: asker.slo.counts_hash, objective };
        // All that was noted by now is told; what comes while this is counted gets a higher number.
        let settled = now_ms.saturating_sub(SETTLE_MS);
        let number = self.changes.settle(settled.min(end));
        let mut since = begin + 1;
        let n = boundaries.len() - 1;
        for (at, stretch) in boundaries.windows(2).enumerate() {
            let [from, to] = *stretch else { continue };
            let stretch = self.stretch(asker, &key, (from, to), (settled, number, now_ms))?;
            since = since.min(stretch.kept.since_ms);
            booked.add(at, n, &stretch);
        }
        let last = self.changes.last_within(TimeRange::new(since, end));
        booked.revision = last.max(self.changes.start());
        booked.counted.missing.sort_unstable();
        booked.counted.missing.dedup();
        Ok(booked)
    }

    /// Counts one stretch.
    fn stretch(
        &self,
        asker: &Asker<'_>,
        key: &Key,
        (from, to): (i64, i64),
        (settled, number, now_ms): (i64, u64, i64),
    ) -> Result<Stretch> {
        let is_settled = to <= settled;
        if is_settled && let Some(kept) = self.ledger.valid(key, (from, to), self.changes) {
            return Ok(Stretch { kept, missing: Vec::new() });
        }
        let mut all = Stretch::default();
        let pieces = pieces(asker, (from, to), settled);
        let mut at = 0;
        while let Some(piece) = pieces.get(at) {
            let valid = |piece: &Piece| {
                let span = (piece.from, piece.to);
                piece.is_settled.then(|| self.ledger.valid(key, span, self.changes)).flatten()
            };
            if let Some(kept) = valid(piece) {
                all.kept.add(&kept);
                at += 1;
                continue;
            }
            // As many as are missing one behind the other.
            let most = PIECES_AT_ONCE.min(days_at_once(asker));
            let missing = |piece: &&Piece| valid(piece).is_none();
            let run: Vec<&Piece> = pieces[at..].iter().take_while(missing).take(most).collect();
            at += run.len();
            let mut edges: Vec<i64> = run.iter().map(|piece| piece.from).collect();
            edges.extend(run.last().map(|piece| piece.to));
            let counted = asker.count(&edges, None)?;
            let mut keep = Vec::new();
            for (i, piece) in run.iter().enumerate() {
                let one = |tallies: &Vec<Tally>| tallies.get(i).cloned().unwrap_or_default();
                let groups: BTreeMap<Group, Tally> = counted
                    .groups
                    .iter()
                    .map(|(group, tallies)| (group.clone(), one(tallies)))
                    .collect();
                let bases = groups.values().filter_map(|tally| tally.base_ms);
                // What is expected in the first slice depends on the one before.
                let before = follows(asker.slo, asker.objective).then(|| {
                    boundary_before(asker.objective.slice, zone(asker.slo), piece.from - 1)
                });
                // A sample that comes late before a piece may hold into it.
                let held = asker.objective.weighting.hold_ms();
                let held = (held > 0).then(|| piece.from.saturating_sub(held));
                let kept = Kept {
                    number,
                    since_ms: bases.chain(before).chain(held).min().unwrap_or(i64::MAX),
                    groups: Arc::new(groups),
                    blank: counted.blank.get(i).cloned().unwrap_or_default(),
                    samples_begin_ms: counted.samples_begin_ms.filter(|since| *since > piece.from),
                    computed_ms: now_ms,
                };
                all.kept.add(&kept);
                // What is missing may come back.
                if piece.is_settled && counted.missing.is_empty() {
                    keep.push(((piece.from, piece.to), kept));
                }
            }
            all.missing.extend(counted.missing);
            self.ledger.keep(key, keep);
        }
        if is_settled && all.missing.is_empty() && pieces.len() > 1 {
            all.kept.number = number;
            self.ledger.keep(key, vec![((from, to), all.kept.clone())]);
        }
        Ok(all)
    }
}

/// A stretch that was counted, and what it lacks.
#[derive(Default)]
struct Stretch {
    kept: Kept,
    missing: Vec<String>,
}

impl Booked {
    fn add(&mut self, at: usize, n_stretches: usize, stretch: &Stretch) {
        let Stretch { kept, missing } = stretch;
        for (group, tally) in &*kept.groups {
            if !self.counted.groups.contains_key(group) {
                let mut tallies = self.counted.blank.clone();
                tallies.resize(n_stretches, Tally::default());
                self.counted.groups.insert(group.clone(), tallies);
            }
            let tallies = self.counted.groups.get_mut(group);
            if let Some(own) = tallies.and_then(|tallies| tallies.get_mut(at)) {
                *own = tally.clone();
            }
        }
        for (group, tallies) in &mut self.counted.groups {
            if !kept.groups.contains_key(group)
                && let Some(own) = tallies.get_mut(at)
            {
                *own = kept.blank.clone();
            }
        }
        self.counted.blank.push(kept.blank.clone());
        self.counted.missing.extend(missing.iter().cloned());
        self.counted.samples_begin_ms = self.counted.samples_begin_ms.max(kept.samples_begin_ms);
        self.computed_ms = self.computed_ms.max(Some(kept.computed_ms));
    }
}

const fn is_short((from, to): (i64, i64)) -> bool {
    to - from < DAY_MIN_MS
}

/// A part of a stretch: a whole day, or an hour of one that is asked for in part or not settled yet.
struct Piece {
    from: i64,
    to: i64,
    is_settled: bool,
}

fn pieces(asker: &Asker<'_>, (from, to): (i64, i64), settled: i64) -> Vec<Piece> {
    let mut days = day_boundaries(zone(asker.slo), from, to);
    if let Slice::Fixed(_) = asker.objective.slice {
        // Zones of half hours begin their days inside of a slice of an hour.
        for day in &mut days {
            *day = boundary_before(asker.objective.slice, zone(asker.slo), *day);
        }
        if days.last().is_some_and(|last| *last < to) {
            days.push(to);
        }
    }
    let mut pieces = Vec::new();
    let mut add = |from: i64, to: i64| {
        if from < to {
            pieces.push(Piece { from, to, is_settled: to <= settled });
        }
    };
    for day in days.windows(2) {
        let [begin, end] = *day else { continue };
        let whole = begin >= from && end <= to && end <= settled;
        if whole || asker.objective.slice == Slice::LocalDay {
            add(begin.max(from), end.min(to));
            continue;
        }
        // Slices end with every hour, so that none is cut.
        let mut at = begin.max(from);
        let last = end.min(to);
        while at < last {
            let hour = (at.div_euclid(HOUR_MS) + 1) * HOUR_MS;
            // What is not settled is counted in one go.
            let next = if hour > settled { last } else { hour.min(last) };
            add(at, next);
            at = next;
        }
    }
    pieces
}

/// Days whose slices are few enough for one go.
fn days_at_once(asker: &Asker<'_>) -> usize {
    match asker.objective.slice {
        Slice::Fixed(length) => {
            let a_day = (25 * 3_600_000 / length.max(1)).max(1);
            (SLICES_AT_ONCE / 2 / usize::try_from(a_day).unwrap_or(1)).max(1)
        }
        Slice::LocalDay => PIECES_AT_ONCE,
    }
}
