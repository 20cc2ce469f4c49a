//! Files that were opened, kept for the next query. The histories of all tenants share one cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::History;
use super::commit::State;
use super::day_rows::DayRows;
use super::files::Files;
use super::held::Shared;
use super::month_rows::MonthRows;
use super::period::{Day, Month, Part};
use super::table::Charge;
use crate::error::Result;

#[derive(Clone)]
enum Rows {
    Day(Arc<DayRows>),
    Month(Arc<MonthRows>),
}

struct Kept {
    rows: Rows,
    used: u64,
}

#[derive(Default)]
struct Inner {
    kept: BTreeMap<(u64, Part), Kept>,
    clock: u64,
    owners: u64,
}

/// See the module.
pub struct RowCache {
    inner: Mutex<Inner>,
    memory: Shared,
    bytes_max: AtomicU64,
}

impl RowCache {
    /// A cache of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            memory: Shared::new(),
            bytes_max: AtomicU64::new(bytes_max),
        })
    }

    /// Bytes of what is open, what running queries read included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// Most bytes that are kept.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Keeps at most `bytes_max` bytes from now on.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.trim();
    }

    /// Lets go of what was not used for longest, while there is too much.
    pub(super) fn trim(&self) {
        let (total, most) = (self.bytes(), self.bytes_max());
        if total <= most {
            return;
        }
        // Some more, so that this is not done for every file.
        let mut excess = total - most + most / 8;
        let mut gone = Vec::new();
        let all = {
            let mut inner = self.inner.lock();
            let mut order: Vec<(u64, (u64, Part))> =
                inner.kept.iter().map(|(key, kept)| (kept.used, *key)).collect();
            order.sort_unstable();
            for (_, key) in order {
                if excess == 0 {
                    break;
                }
                if let Some(kept) = inner.kept.remove(&key) {
                    excess = excess.saturating_sub(match &kept.rows {
                        Rows::Day(rows) => rows.bytes(),
                        Rows::Month(rows) => rows.bytes(),
                    });
                    gone.push(kept);
                }
            }
            inner.kept.is_empty()
        };
        drop(gone);
        if all {
            self.memory.sets().clean();
        }
    }
}

/// The part of the cache that is one history's.
pub(super) struct Cache {
    shared: Arc<RowCache>,
    owner: u64,
}

impl Cache {
    pub(super) fn new(shared: Arc<RowCache>) -> Self {
        let owner = {
            let mut inner = shared.inner.lock();
            inner.owners += 1;
            inner.owners
        };
        Self { shared, owner }
    }

    /// What is kept of a part.
    fn kept(&self, part: Part) -> Option<Rows> {
        let mut inner = self.shared.inner.lock();
        inner.clock += 1;
        let used = inner.clock;
        let kept = inner.kept.get_mut(&(self.owner, part))?;
        kept.used = used;
        Some(kept.rows.clone())
    }

    fn keep(&self, part: Part, rows: Rows) {
        {
            let mut inner = self.shared.inner.lock();
            let used = inner.clock;
            inner.kept.insert((self.owner, part), Kept { rows, used });
        }
        self.shared.trim();
    }

    /// The rows of a day, opened now unless they are kept.
    pub(super) fn day(
        &self,
        files: &Arc<Files>,
        day: Day,
        state: &State,
        charge: &Charge<'_>,
    ) -> Result<Option<Arc<DayRows>>> {
        let Some(built) = state.days.get(&day.0) else { return Ok(None) };
        match self.kept(Part::Day(day)) {
            Some(Rows::Day(rows)) if rows.are_of(built) => return Ok(Some(rows)),
            _ => {}
        }
        let rows = Arc::new(DayRows::open(files, day, built, &self.shared.memory, charge)?);
        self.keep(Part::Day(day), Rows::Day(Arc::clone(&rows)));
        Ok(Some(rows))
    }

    /// The rows of the month in whose file those of a day lie, opened now unless they are kept.
    pub(super) fn month(
        &self,
        files: &Files,
        day: Day,
        state: &State,
        charge: &Charge<'_>,
    ) -> Result<Option<Arc<MonthRows>>> {
        let Some((month, told, file)) = state.together(day) else { return Ok(None) };
        match self.kept(Part::Month(month)) {
            Some(Rows::Month(rows)) if rows.revision() == told.revision => return Ok(Some(rows)),
            _ => {}
        }
        let memory = &self.shared.memory;
        let rows = MonthRows::open(files, (month, told.revision), file, memory, charge)?;
        let rows = Arc::new(rows);
        self.keep(Part::Month(month), Rows::Month(Arc::clone(&rows)));
        Ok(Some(rows))
    }

    pub(super) fn trim(&self) {
        self.shared.trim();
    }
}

impl History {
    /// The rows of a day of `state`, to be read series by series. They are kept for a while.
    pub(crate) fn rows(
        &self,
        day: Day,
        state: &State,
        charge: &Charge<'_>,
    ) -> Result<Option<Arc<DayRows>>> {
        self.cache.day(&self.files, day, state, charge)
    }

    /// The rows of the month of `state` in whose file those of a day lie. They are kept for a while.
    pub(crate) fn month_rows(
        &self,
        day: Day,
        state: &State,
        charge: &Charge<'_>,
    ) -> Result<Option<Arc<MonthRows>>> {
        self.cache.month(&self.files, day, state, charge)
    }

    /// To be called when rows were read: lets go of what is too much to be kept.
    pub(crate) fn trim(&self) {
        self.cache.trim();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let first = (self.owner, Part::Day(Day(i64::MIN)));
        let last = (self.owner, Part::Month(Month(i64::MAX)));
        let gone: Vec<Kept> = {
            let mut inner = self.shared.inner.lock();
            let keys: Vec<_> = inner.kept.range(first..=last).map(|(key, _)| *key).collect();
            keys.iter().filter_map(|key| inner.kept.remove(key)).collect()
        };
        drop(gone);
    }
}
