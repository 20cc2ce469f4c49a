//! New series: some of them under one turn at the registry, whose lock they all need.

use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::appender::RECORD_OVERHEAD_BYTES;
use super::definitions::DefinitionEncoder;
use super::{Head, Place, Registry};
use crate::append::RejectReason;
use crate::error::Result;
use crate::model::{Labels, SeriesRef};
use crate::wal::Admission;

/// Series created, and bytes logged of them, before others get their turn at the registry.
const CREATED_MAX: usize = 64;
const CREATED_BYTES_MAX: usize = 64 << 10;

/// The registry, held while some series are created one after the other.
pub(super) struct Creating<'a> {
    registry: RwLockWriteGuard<'a, Registry>,
    _admitted: Admission<'a>,
    bytes_left: usize,
    series_left: usize,
}

impl<'a> Creating<'a> {
    /// Waits for room in the log for at least `bytes`, and for the registry.
    pub(super) fn begin(head: &'a Head, bytes: usize) -> Result<Self> {
        let wal = head.wal()?;
        let bytes_left = bytes.max(CREATED_BYTES_MAX.min(wal.batch_bytes_max() / 2));
        let admitted = wal.admit(bytes_left + RECORD_OVERHEAD_BYTES)?;
        let registry = head.registry.write();
        Ok(Self { registry, _admitted: admitted, bytes_left, series_left: CREATED_MAX })
    }

    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.series_left > 0 && self.bytes_left >= bytes
    }

    /// The place of a series, which is created if need be; what the log has to know goes to `definitions`.
    pub(super) fn place_of(
        &mut self,
        head: &Head,
        labels: &Labels,
        definitions: &mut DefinitionEncoder,
    ) -> std::result::Result<Place, RejectReason> {
        let registry = &mut *self.registry;
        let full = registry.n_series() >= head.options.series_max
            || head.closed_to_series.load(Ordering::Relaxed);
        if full && registry.index.get(labels).is_none() {
            return Err(RejectReason::SeriesLimit);
        }
        let (ord, new) =
            registry.index.insert(labels).map_err(|_full| RejectReason::SeriesLimit)?;
        if !new {
            let place = registry.place(ord).ok_or(RejectReason::SeriesLimit)?;
            // Its binding to come must not outlive it: it stays for some flushes.
            if let Some((series, _)) = head.shard(place).lock().at(place.local()) {
                series.touch();
            }
            return Ok(place);
        }
        let reference = SeriesRef(registry.next_reference);
        let place = head.create(registry, ord, reference);
        let before = definitions.bytes();
        definitions.push(&registry.index, ord, reference);
        self.bytes_left = self.bytes_left.saturating_sub(definitions.bytes() - before);
        self.series_left -= 1;
        Ok(place)
    }
}
