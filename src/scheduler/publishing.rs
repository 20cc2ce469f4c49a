//! Carries the history to the object store; tries again, longer and longer apart, what fails.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use nines_storage::{DbStats, Error, Store};

use super::judge;
use crate::clock::now_ms;
use crate::http::App;

/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long the store may lack commits before that is told.
const BEHIND_TOLD: Duration = Duration::from_secs(900);

/// What is remembered from round to round.
#[derive(Default)]
pub(super) struct Publishing {
    failures: u32,
    /// Files and commits that the store had.
    reached: u64,
    told_behind: bool,
}

impl Publishing {
    /// One round. Answers the pause until the next one.
    pub(super) fn round(&mut self, app: &App, store: &Store) -> Duration {
        let interval = app.config.history.publish_interval.0;
        let result = store.publish(now_ms());
        if let Ok(done) = &result
            && done.files > 0
        {
            tracing::info!(
                files = done.files,
                bytes = done.bytes,
                "history published to the object store"
            );
        }
        if let Ok(done) = &result
            && done.days_taken > 0
        {
            tracing::info!(days = done.days_taken, "history taken from the object store");
        }
        let canceled = matches!(result, Err(Error::Canceled));
        let was_failing = self.failures > 0;
        let failed = judge(app, "publishing the history", result.map(drop), was_failing);
        let reached = reached(store);
        // A round that came further before it failed is tried again soon.
        self.failures = match failed {
            true if reached > self.reached => 1,
            true => self.failures.saturating_add(1),
            false => 0,
        };
        self.reached = reached;
        if !canceled {
            self.tell_behind(store);
        }
        pause(interval, self.failures, random())
    }

    /// Says when the store falls behind, and when it has all again.
    fn tell_behind(&mut self, store: &Store) {
        let dbs = store.tenants();
        let worst = dbs
            .iter()
            .map(|(tenant, db)| (db.stats(), tenant))
            .max_by(|(a, _), (b, _)| a.history_behind_seconds.total_cmp(&b.history_behind_seconds));
        let Some((stats, tenant)) = worst else { return };
        let behind = stats.history_behind_seconds > BEHIND_TOLD.as_secs_f64();
        if behind && !self.told_behind {
            tracing::warn!(
                %tenant,
                commits = stats.history_behind_commits,
                seconds = format_args!("{:.0}", stats.history_behind_seconds),
                "the object store has fallen behind the history; nothing is lost while this disk is there"
            );
        } else if self.told_behind && !behind {
            tracing::info!("the object store has caught up with the history");
        }
        self.told_behind = behind;
    }
}

/// What the store has of all tenants: grows with everything that arrives.
fn reached(store: &Store) -> u64 {
    let of = |stats: DbStats| stats.history_published_files + stats.history_published;
    store.tenants().iter().map(|(_, db)| of(db.stats())).sum()
}

/// The pause after so many failures one after the other: doubled by each, and shortened by up to a half by chance, so
/// that many servers do not come back together.
fn pause(interval: Duration, failures: u32, random: u64) -> Duration {
    if failures == 0 {
        return interval;
    }
    let longest = PAUSE_MAX.max(interval);
    let grown = interval.saturating_mul(1 << failures.min(16)).min(longest);
    #[allow(clippy::cast_precision_loss, reason = "chance")]
    let part = 0.5 + (random >> 11) as f64 / (1u64 << 54) as f64;
    grown.mul_f64(part)
}

fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, 0, u64::MAX), second);
        assert_eq!(pause(second, 1, 0), second);
        assert_eq!(pause(second, 3, 0), 4 * second);
        assert!((7 * second..=8 * second).contains(&pause(second, 3, u64::MAX)));
        assert!(pause(second, 60, u64::MAX) <= PAUSE_MAX);
        assert!((0..100).any(|_| random() != random()));
    }
}
