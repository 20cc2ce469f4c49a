//! Work on some threads, of which the caller's is one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::{Result, SloError};

/// Threads at most.
const THREADS_MAX: usize = 8;

/// How many threads are worth it here.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// Runs `work` on `n` threads; the first error is that of all.
pub(super) fn in_threads(n: usize, work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    if n <= 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..n).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all = all.and(other.join().unwrap_or(Err(SloError::Died)));
        }
        all
    })
}

/// What `work` makes of every item, in their order. After an error no further item is begun.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    work: &(dyn Fn(&T) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    in_threads(threads().min(items.len()), &|| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(()) };
            let made = work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, made));
        }
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_lies_in_the_order_of_items() {
        let items: Vec<u32> = (0..1000).collect();
        let made = each(&items, &|n| Ok(n * 2)).ok();
        assert_eq!(made, Some(items.iter().map(|n| n * 2).collect()));
        let failed = each(&items, &|n| if *n == 7 { Err(SloError::Died) } else { Ok(()) });
        assert!(matches!(failed, Err(SloError::Died)));
    }
}
