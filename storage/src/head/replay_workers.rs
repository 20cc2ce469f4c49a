//! Threads that apply replayed samples. A shard belongs to one of them, so that its samples stay in order.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope};

use super::Head;

/// Samples of a batch.
const BATCH_LEN_MAX: usize = 4096;
/// Batches that wait for one thread: some hundred kilobytes each.
const QUEUE_LEN: usize = 16;
/// Most threads; one more reads the log.
const WORKERS_MAX: usize = 8;

/// A sample and its place in the shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replayed {
    pub(super) local: usize,
    pub(super) ts: i64,
    pub(super) bits: u64,
    pub(super) start_ts: i64,
}

/// Samples of one shard in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    shard: usize,
    samples: Vec<Replayed>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Whether a sample of `shard` needs another batch.
    pub(super) fn is_full_for(&self, shard: usize) -> bool {
        self.samples.len() == BATCH_LEN_MAX || (!self.samples.is_empty() && self.shard != shard)
    }

    pub(super) fn push(&mut self, shard: usize, sample: Replayed) {
        self.shard = shard;
        self.samples.push(sample);
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    pub(super) fn apply(&self, head: &Head) {
        let Some(shard) = head.shards.get(self.shard) else { return };
        let mut shard = shard.lock();
        for sample in &self.samples {
            if let Some((series, mut home)) = shard.at(sample.local) {
                series.append(&mut home, sample.ts, sample.bits, sample.start_ts);
            }
        }
    }
}

enum Job {
    Apply(Batch),
    /// Answered when all before it is done.
    Tell(SyncSender<()>),
}

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    jobs: Vec<SyncSender<Job>>,
    /// Batches that were applied, to be filled again.
    done: Receiver<Batch>,
}

impl Workers {
    /// As many as there are processors besides the one that reads the log. `None` when there is no other.
    pub(super) fn start<'s, 'h: 's>(head: &'h Head, scope: &'s Scope<'s, 'h>) -> Option<Self> {
        let n =
            std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX + 1) - 1;
        let (give_back, done) = channel();
        let mut jobs = Vec::with_capacity(n);
        for i in 0..n {
            let (give, take) = sync_channel(QUEUE_LEN);
            let give_back = give_back.clone();
            let spawned = Builder::new()
                .name(format!("nines-replay-{i}"))
                .spawn_scoped(scope, move || work(head, &take, &give_back));
            // Without the thread the others do its work.
            if spawned.is_ok() {
                jobs.push(give);
            }
        }
        (!jobs.is_empty()).then_some(Self { jobs, done })
    }

    /// Hands a batch to the thread of its shard. Answers an empty one.
    pub(super) fn give(&mut self, batch: Batch) -> Batch {
        let worker = batch.shard % self.jobs.len();
        if let Some(jobs) = self.jobs.get(worker) {
            // A thread that ended has panicked; the scope passes that on.
            jobs.send(Job::Apply(batch)).ok();
        }
        self.done.try_recv().unwrap_or_default()
    }

    /// Waits until all that was handed out is applied.
    pub(super) fn wait(&mut self) {
        let (tell, told) = sync_channel(self.jobs.len());
        for jobs in &self.jobs {
            jobs.send(Job::Tell(tell.clone())).ok();
        }
        drop(tell);
        while told.recv().is_ok() {}
    }
}

fn work(head: &Head, jobs: &Receiver<Job>, done: &Sender<Batch>) {
    for job in jobs {
        match job {
            Job::Apply(mut batch) => {
                batch.apply(head);
                batch.clear();
                done.send(batch).ok();
            }
            Job::Tell(who) => drop(who.send(())),
        }
    }
}
