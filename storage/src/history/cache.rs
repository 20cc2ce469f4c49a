//! Days that were opened, kept for the next query.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::commit::DayState;
use super::day_rows::{DayRows, Held, SeriesIndex};
use super::files::Files;
use super::period::Day;
use crate::error::Result;
use crate::model::Labels;

/// Bytes of decoded rows, indexes and footers that are kept when no query needs them. Ten years of days of a
/// thousand series take some 250 MB.
pub const ROWS_KEPT_BYTES: u64 = 384 << 20;

struct Kept {
    rows: Arc<DayRows>,
    used: u64,
}

#[derive(Default)]
struct Inner {
    days: BTreeMap<i64, Kept>,
    clock: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
    indexes: Mutex<HashMap<u64, Weak<SeriesIndex>>>,
    total: Arc<AtomicU64>,
}

impl Cache {
    /// The rows of a day, opened now unless they are kept.
    pub(super) fn get(
        &self,
        files: &Arc<Files>,
        day: Day,
        built: &DayState,
    ) -> Result<Arc<DayRows>> {
        {
            let mut inner = self.inner.lock();
            inner.clock += 1;
            let used = inner.clock;
            if let Some(kept) = inner.days.get_mut(&day.0)
                && kept.rows.revision() == built.revision
            {
                kept.used = used;
                return Ok(Arc::clone(&kept.rows));
            }
        }
        let held = Held::of(Arc::clone(&self.total));
        let rows = DayRows::open(files, day, built, held, |labels| self.share(labels))?;
        let rows = Arc::new(rows);
        let mut inner = self.inner.lock();
        let used = inner.clock;
        inner.days.insert(day.0, Kept { rows: Arc::clone(&rows), used });
        drop(inner);
        self.trim();
        Ok(rows)
    }

    /// Lets go of what was not used for longest, while there is too much.
    pub(super) fn trim(&self) {
        let total = self.total.load(Ordering::Relaxed);
        if total <= ROWS_KEPT_BYTES {
            return;
        }
        // Some more, so that this is not done for every day.
        let mut excess = total - ROWS_KEPT_BYTES + ROWS_KEPT_BYTES / 8;
        let mut gone = Vec::new();
        {
            let mut inner = self.inner.lock();
            let mut order: Vec<(u64, i64)> =
                inner.days.iter().map(|(day, kept)| (kept.used, *day)).collect();
            order.sort_unstable();
            for (_, day) in order {
                if excess == 0 {
                    break;
                }
                if let Some(kept) = inner.days.remove(&day) {
                    excess = excess.saturating_sub(kept.rows.bytes());
                    gone.push(kept);
                }
            }
        }
        drop(gone);
        self.indexes.lock().retain(|_, index| index.strong_count() > 0);
    }

    /// The index of these series: that of another day when it has the same.
    fn share(&self, labels: Vec<Labels>) -> Result<Arc<SeriesIndex>> {
        let mut hash = Xxh3::new();
        for one in &labels {
            hash.update(&(one.as_bytes().len() as u64).to_le_bytes());
            hash.update(one.as_bytes());
        }
        let hash = hash.digest();
        let known = self.indexes.lock().get(&hash).and_then(Weak::upgrade);
        if let Some(index) = known.filter(|index| index.is_of(&labels)) {
            return Ok(index);
        }
        let index = Arc::new(SeriesIndex::new(labels, Held::of(Arc::clone(&self.total)))?);
        self.indexes.lock().insert(hash, Arc::downgrade(&index));
        Ok(index)
    }
}
