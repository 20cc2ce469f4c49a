//! The import of one block, day by day.

use nines_storage::{Db, ImportState, Imports};

use super::error::Result;
use super::told::{Outcome, Told};
use super::tsdb::{Block, Source};

/// Imports a block, unless `imports` says that it was; what was done is remembered there day by day. Each of its
/// days becomes a block of nines.
pub fn import_block(
    db: &Db,
    source: &Source,
    target_labels: &[String],
    imports: &mut Imports,
    now_ms: i64,
    told: &mut dyn FnMut(Told<'_>),
) -> Result<Outcome> {
    let key = source.key();
    let before = imports.of(&key);
    let mut outcome = Outcome::default();
    if before.is_some_and(|state| state.whole) {
        outcome.known = 1;
        return Ok(outcome);
    }
    let mut block = Block::open(source, target_labels)?;
    let days: Vec<i64> = block.days().collect();
    let bytes = block.chunks_bytes() / days.len().max(1) as u64;
    let mut next_day = before.map_or(i64::MIN, |state| state.next_day);
    let mut whole = true;
    for day in days.into_iter().skip_while(|day| *day < next_day).collect::<Vec<_>>() {
        let mut importing = db.import(now_ms, bytes)?;
        let Outcome { chunks, histograms, .. } = &mut outcome;
        block.import_day(day, &mut importing, &mut |one| {
            match &one {
                Told::Chunk(_) => *chunks += 1,
                Told::Histograms { n, .. } => *histograms += n,
                _ => {}
            }
            told(one);
        })?;
        outcome.out_of_time += importing.refused();
        if let Some(meta) = importing.finish()? {
            outcome.samples += meta.n_samples;
            outcome.blocks += 1;
            outcome.bytes += meta.chunks_bytes + meta.index_bytes;
        }
        // A day that lacks something is read again by the next import, which may have a better copy of the block,
        // and a later clock.
        whole &= outcome.chunks == 0 && outcome.out_of_time == 0;
        if whole {
            next_day = day + 1;
            imports.set(&key, ImportState { next_day, whole: false })?;
        }
    }
    if whole {
        imports.set(&key, ImportState { next_day, whole: true })?;
    }
    Ok(outcome)
}
