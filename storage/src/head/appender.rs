//! A batch on its way into the head: find the series, collect the samples, judge, log, apply, wait.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use super::creating::Creating;
use super::definitions::{DefinitionEncoder, definition_bytes_max};
use super::keys::{Bindings, NO_BINDING};
use super::records;
use super::sample_record::{LoggedSample, SAMPLE_BYTES_MAX, SampleEncoder};
use super::series::Verdict;
use super::{Head, Place, SHARDS, Shard};
use crate::append::{AppendOutcome, Exemplar, Metadata, RejectReason, Rejection};
use crate::error::{Error, Result};
use crate::model::{Counts, Histogram, Labels, SeriesOrd, SeriesRef, TS_MIN, TimeRange};
use crate::wal::Lsn;

/// Payload bytes after which a log record is ended and another one begun.
const RECORD_BYTES_TARGET: usize = 1 << 20;
/// A series is held by its batch; should it be gone all the same, its samples must not count as written.
const GONE: Error =
    Error::Unavailable { why: "a series left memory while it was written: try again" };
/// What the log adds to a record, rounded up.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 64;

/// A series found or created by an [`Appender`]; valid only for that appender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesHandle(u32);

#[derive(Debug, Clone, Copy)]
struct Pending {
    place: Place,
    ts: i64,
    bits: u64,
    start_ts: i64,
}

/// Memory that goes from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    samples: Vec<Pending>,
    by_shard: Vec<u32>,
    histograms: Vec<(Place, i64, Arc<Histogram>)>,
    exemplars: Vec<(Place, Exemplar)>,
    /// Descriptions of metrics that are not known by their keys, with these.
    metadata: Vec<(u128, String, Metadata)>,
    /// Whether some were known.
    metadata_repeated: bool,
    encoder: SampleEncoder,
    payload: Vec<u8>,
    with_start: bool,
    /// Log entries of new series.
    definitions: DefinitionEncoder,
    /// Keys that were not bound, with the places of their series.
    learnt: Vec<(u128, Place)>,
}

impl Buffers {
    fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.learnt.clear();
        self.with_start = false;
        self.metadata_repeated = false;
    }
}

/// A sample whose timestamp holds another value.
struct Conflict {
    ord: SeriesOrd,
    ts: i64,
    existing: Option<u64>,
    refused: Option<u64>,
}

/// See the module. Nothing is visible or logged before [`Appender::commit`], but for new series.
pub struct Appender<'a> {
    head: &'a Head,
    /// Held until the batch is applied: no place that it found is given to another series before.
    bindings: Option<RwLockReadGuard<'a, Bindings>>,
    cursor: u32,
    creating: Option<Creating<'a>>,
    buffers: Buffers,
    failed: Option<Error>,
}

impl<'a> Appender<'a> {
    pub(super) fn new(head: &'a Head, mut buffers: Buffers) -> Self {
        buffers.clear();
        let bindings = Some(head.keys.read());
        Self { head, bindings, cursor: NO_BINDING, creating: None, buffers, failed: None }
    }

    /// The series whose label bytes hash to `key`, if one was bound. Neither allocates nor reads a label.
    #[must_use]
    #[inline]
    pub fn find(&mut self, key: u128) -> Option<SeriesHandle> {
        let place = self.bindings.as_ref()?.find(key, &mut self.cursor)?;
        if self.creating.is_some() {
            self.end_creating();
        }
        Some(SeriesHandle(place.0))
    }

    /// The series with this label set, created when it is new; binds `key` to it.
    ///
    /// # Errors
    /// The reason when no further series may be created. When the log cannot take the series,
    /// [`Appender::commit`] says so.
    pub fn resolve(
        &mut self,
        key: u128,
        labels: &Labels,
    ) -> std::result::Result<SeriesHandle, RejectReason> {
        let bytes = definition_bytes_max(labels);
        if self.creating.as_ref().is_none_or(|creating| !creating.has_room_for(bytes)) {
            self.end_creating();
            match Creating::begin(self.head, bytes) {
                Ok(creating) => self.creating = Some(creating),
                Err(error) => {
                    self.failed.get_or_insert(error);
                    return Err(RejectReason::SeriesLimit);
                }
            }
        }
        let Some(creating) = &mut self.creating else { return Err(RejectReason::SeriesLimit) };
        let place = creating.place_of(self.head, labels, &mut self.buffers.definitions)?;
        self.buffers.learnt.push((key, place));
        Ok(SeriesHandle(place.0))
    }

    /// Lets go of the registry, with the new series logged: no sample of theirs can reach the log before.
    #[cold]
    fn end_creating(&mut self) {
        let Some(creating) = self.creating.take() else { return };
        if let Some(definitions) = self.buffers.definitions.take()
            && let Err(error) = self.head.log_applied(records::SERIES, definitions)
        {
            self.failed.get_or_insert(error);
        }
        drop(creating);
    }

    /// Adds a float sample; `start_ts` in milliseconds, 0 where unset.
    pub fn sample(&mut self, series: SeriesHandle, ts: i64, value: f64, start_ts: i64) {
        self.buffers.with_start |= start_ts != 0;
        let place = Place(series.0);
        self.buffers.samples.push(Pending { place, ts, bits: value.to_bits(), start_ts });
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, series: SeriesHandle, ts: i64, histogram: Histogram) {
        self.buffers.histograms.push((Place(series.0), ts, Arc::new(histogram)));
    }

    /// Adds an exemplar.
    pub fn exemplar(&mut self, series: SeriesHandle, exemplar: Exemplar) {
        self.buffers.exemplars.push((Place(series.0), exemplar));
    }

    /// Whether a description with this key is held: then it need not be added once more. The batch is
    /// acknowledged when it is durable.
    #[must_use]
    pub fn knows_metadata(&mut self, key: u128) -> bool {
        let known = self.head.metadata.lock().knows(key);
        self.buffers.metadata_repeated |= known;
        known
    }

    /// Adds a description of a metric; `key` is a hash of all of it.
    pub fn metadata(&mut self, key: u128, metric: &str, metadata: Metadata) {
        self.buffers.metadata.push((key, metric.to_owned(), metadata));
    }

    /// Judges what was added, logs and applies what is accepted, and waits until all of it is durable,
    /// repetitions of samples that another batch is still writing included.
    ///
    /// # Errors
    /// Nothing of the batch is acknowledged; the sender should repeat it.
    pub fn commit(mut self, now_ms: i64) -> Result<AppendOutcome> {
        self.end_creating();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut outcome = AppendOutcome::default();
        let seen = self.refuse_out_of_range(now_ms, &mut outcome);
        self.head.widen_bounds(seen);
        let applied = self.apply(&mut outcome);
        // Once more: a flush that began in between counts what was applied behind it as new.
        self.head.widen_bounds(seen);
        if let Some(seen) = seen {
            self.head.changes.note_late(seen, self.buffers.samples.iter().map(|sample| sample.ts));
        }
        self.bind_learnt();
        self.head.wal()?.sync(applied?)?;
        Ok(outcome)
    }

    /// Lets go of the places, and binds the keys that were not bound.
    fn bind_learnt(&mut self) {
        let epoch = self.bindings.take().map(|bindings| bindings.epoch());
        if self.buffers.learnt.is_empty() {
            return;
        }
        let n_series = self.head.registry.read().n_series() as usize;
        let mut bindings = self.head.keys.write();
        // A place that went in between must not be bound. The keys are learnt another time.
        if epoch == Some(bindings.epoch()) {
            for (key, place) in self.buffers.learnt.drain(..) {
                bindings.bind(key, place, n_series);
            }
        }
    }

    fn apply(&mut self, outcome: &mut AppendOutcome) -> Result<Lsn> {
        let mut lsn = self.commit_samples(outcome)?;
        lsn = lsn.max(self.commit_histograms(outcome)?);
        lsn = lsn.max(self.commit_exemplars(outcome)?);
        Ok(lsn.max(self.commit_metadata(outcome)?))
    }

    /// Leaves out what is out of range. Answers the range of the rest.
    fn refuse_out_of_range(
        &mut self,
        now_ms: i64,
        outcome: &mut AppendOutcome,
    ) -> Option<TimeRange> {
        let head = self.head;
        let newest = now_ms.saturating_add(head.options.future_max_ms);
        let mut in_range = |place: Place, ts: i64| {
            let (reason, detail) = if ts > newest {
                (RejectReason::FutureTimestamp, "timestamp is too far in the future")
            } else if ts < TS_MIN {
                (RejectReason::TimestampOutOfRange, "timestamp is out of range")
            } else {
                return true;
            };
            outcome.reject(reason, 1, || Rejection {
                reason,
                series: head.labels_at(place),
                ts: Some(ts),
                detail: detail.to_owned(),
            });
            false
        };
        let mut seen: Option<TimeRange> = None;
        let mut judge = |place: Place, ts: i64| {
            let kept = in_range(place, ts);
            if kept {
                let at = TimeRange::new(ts, ts);
                seen = Some(seen.map_or(at, |range| range.hull(&at)));
            }
            kept
        };
        self.buffers.samples.retain(|s| judge(s.place, s.ts));
        self.buffers.histograms.retain(|(place, ts, _)| judge(*place, *ts));
        self.buffers.exemplars.retain(|(place, e)| in_range(*place, e.ts));
        seen
    }

    /// In parts that the log admits one after the other.
    fn commit_samples(&mut self, outcome: &mut AppendOutcome) -> Result<Lsn> {
        let wal = self.head.wal()?;
        let record_bytes = (wal.record_bytes_max() / 2).min(RECORD_BYTES_TARGET);
        let part = (wal.batch_bytes_max().saturating_sub(SHARDS * RECORD_OVERHEAD_BYTES)
            / SAMPLE_BYTES_MAX)
            .max(1);
        let samples = std::mem::take(&mut self.buffers.samples);
        let mut answer = Ok(Lsn::default());
        for part in samples.chunks(part) {
            answer = self.commit_part(part, record_bytes, outcome);
            if answer.is_err() {
                break;
            }
        }
        self.buffers.samples = samples;
        answer
    }

    fn commit_part(
        &mut self,
        samples: &[Pending],
        record_bytes: usize,
        outcome: &mut AppendOutcome,
    ) -> Result<Lsn> {
        let head = self.head;
        let Buffers { by_shard, encoder, with_start, .. } = &mut self.buffers;
        let record_len_max = (record_bytes / SAMPLE_BYTES_MAX).max(1);
        let n_records = SHARDS + samples.len() / record_len_max;
        let bytes = samples.len() * SAMPLE_BYTES_MAX + n_records * RECORD_OVERHEAD_BYTES;
        let _admitted = head.wal()?.admit(bytes)?;
        let starts = sort_by_shard(samples, by_shard);
        let mut lsn = Lsn::default();
        let mut conflicts = Vec::new();
        let (mut n_written, mut n_late) = (0, 0);
        for (number, shard) in head.shards.iter().enumerate() {
            let run = starts.get(number).zip(starts.get(number + 1));
            let Some(run) = run.and_then(|(from, to)| by_shard.get(*from..*to)) else { continue };
            if run.is_empty() {
                continue;
            }
            let mut shard = shard.lock();
            encoder.begin(*with_start);
            for sample in run.iter().filter_map(|i| samples.get(*i as usize)) {
                match apply(&mut shard, sample, encoder)? {
                    Ok(Verdict::Late) => n_late += 1,
                    Ok(_) => {}
                    Err(conflict) => {
                        conflicts.push(conflict);
                        continue;
                    }
                }
                n_written += 1;
                if encoder.len() == record_len_max {
                    head.log_applied(encoder.kind(), encoder.finish())?;
                    encoder.begin(*with_start);
                }
            }
            // A repetition is durable when what it repeats is: that was queued before, at the latest now.
            lsn = lsn.max(if encoder.len() == 0 {
                head.wal()?.last_lsn()?
            } else {
                head.log_applied(encoder.kind(), encoder.finish())?
            });
        }
        head.count_sample(n_written, n_late);
        outcome.samples += n_written;
        head.reject_conflicts(conflicts, outcome);
        Ok(lsn)
    }

    fn commit_histograms(&mut self, outcome: &mut AppendOutcome) -> Result<Lsn> {
        let (head, payload) = (self.head, &mut self.buffers.payload);
        let mut lsn = Lsn::default();
        let mut conflicts = Vec::new();
        for (place, ts, histogram) in self.buffers.histograms.drain(..) {
            let bytes = RECORD_OVERHEAD_BYTES + 128 + 10 * histogram_numbers(&histogram);
            if bytes > head.wal()?.batch_bytes_max() {
                let reason = RejectReason::InvalidHistogram;
                outcome.reject(reason, 1, || Rejection {
                    reason,
                    series: head.labels_at(place),
                    ts: Some(ts),
                    detail: "histogram is too long for the log".to_owned(),
                });
                continue;
            }
            let _admitted = head.wal()?.admit(bytes)?;
            let mut shard = head.shard(place).lock();
            let Some((series, mut home)) = shard.at(place.local()) else { return Err(GONE) };
            match series.append_histogram(&mut home, ts, &histogram) {
                Verdict::Conflict(existing) => {
                    conflicts.push(Conflict { ord: series.ord, ts, existing, refused: None });
                    continue;
                }
                Verdict::Repeated => lsn = lsn.max(head.wal()?.last_lsn()?),
                Verdict::Appended | Verdict::Late => {
                    payload.clear();
                    records::put_histogram(payload, series.reference, ts, &histogram);
                    lsn = lsn.max(head.log_applied(records::HISTOGRAMS, payload)?);
                }
            }
            outcome.histograms += 1;
        }
        head.count_sample(outcome.histograms, 0);
        head.reject_conflicts(conflicts, outcome);
        Ok(lsn)
    }

    fn commit_exemplars(&mut self, outcome: &mut AppendOutcome) -> Result<Lsn> {
        let (head, payload) = (self.head, &mut self.buffers.payload);
        let mut lsn = Lsn::default();
        let bytes_of = |e: &Exemplar| e.labels.as_bytes().len() + 20 * e.labels.len() + 64;
        let max = head.wal()?.batch_bytes_max().saturating_sub(RECORD_OVERHEAD_BYTES);
        self.buffers.exemplars.retain(|(place, exemplar)| {
            let fits = bytes_of(exemplar) <= max;
            if !fits {
                let reason = RejectReason::InvalidExemplar;
                outcome.reject(reason, 1, || Rejection {
                    reason,
                    series: head.labels_at(*place),
                    ts: Some(exemplar.ts),
                    detail: "exemplar is too long for the log".to_owned(),
                });
            }
            fits
        });
        let mut rest = self.buffers.exemplars.as_slice();
        while !rest.is_empty() {
            let (n, bytes) = prefix_within(rest, max, |(_, exemplar)| bytes_of(exemplar));
            let (part, others) = rest.split_at(n);
            rest = others;
            let ids: Vec<Option<(SeriesOrd, SeriesRef)>> = part
                .iter()
                .map(|(place, _)| {
                    let mut shard = head.shard(*place).lock();
                    shard.at(place.local()).map(|(series, _)| (series.ord, series.reference))
                })
                .collect();
            let _admitted = head.wal()?.admit(bytes + RECORD_OVERHEAD_BYTES)?;
            payload.clear();
            let mut ring = head.exemplars.lock();
            for ((_, exemplar), id) in part.iter().zip(ids) {
                let Some((ord, reference)) = id else { continue };
                if ring.push(ord.0, exemplar.clone()) {
                    records::put_exemplar(payload, reference, exemplar);
                }
                outcome.exemplars += 1;
            }
            lsn = lsn.max(if payload.is_empty() {
                head.wal()?.last_lsn()?
            } else {
                head.log_applied(records::EXEMPLARS, payload)?
            });
        }
        Ok(lsn)
    }

    fn commit_metadata(&mut self, outcome: &mut AppendOutcome) -> Result<Lsn> {
        let (head, payload) = (self.head, &mut self.buffers.payload);
        let mut lsn = match self.buffers.metadata_repeated {
            true => head.wal()?.last_lsn()?,
            false => Lsn::default(),
        };
        let bytes_of = |metric: &str, m: &Metadata| {
            metric.len() + m.metric_type.len() + m.help.len() + m.unit.len() + 40
        };
        let max = head.wal()?.batch_bytes_max().saturating_sub(RECORD_OVERHEAD_BYTES);
        self.buffers.metadata.retain(|(_, metric, metadata)| {
            let fits = bytes_of(metric, metadata) <= max;
            if !fits {
                let reason = RejectReason::InvalidMetadata;
                outcome.reject(reason, 1, || Rejection {
                    reason,
                    series: None,
                    ts: None,
                    detail: "metadata is too long for the log".to_owned(),
                });
            }
            fits
        });
        let mut rest = self.buffers.metadata.as_slice();
        while !rest.is_empty() {
            let (n, bytes) = prefix_within(rest, max, |(_, metric, m)| bytes_of(metric, m));
            let (part, others) = rest.split_at(n);
            rest = others;
            let _admitted = head.wal()?.admit(bytes + RECORD_OVERHEAD_BYTES)?;
            payload.clear();
            let mut table = head.metadata.lock();
            for (key, metric, metadata) in part {
                if table.put_as(*key, metric, metadata) {
                    records::put_metadata(payload, metric, metadata);
                }
            }
            lsn = lsn.max(if payload.is_empty() {
                head.wal()?.last_lsn()?
            } else {
                head.log_applied(records::METADATA, payload)?
            });
        }
        Ok(lsn)
    }
}

/// How many of the first items come to at most `max` bytes together, at least one, and to how many.
fn prefix_within<T>(items: &[T], max: usize, bytes_of: impl Fn(&T) -> usize) -> (usize, usize) {
    let mut sum = 0;
    for (n, item) in items.iter().enumerate() {
        let bytes = bytes_of(item);
        if n > 0 && sum + bytes > max {
            return (n, sum);
        }
        sum += bytes;
    }
    (items.len(), sum)
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        // Others may have found the series by now.
        self.end_creating();
        self.head.keep_buffers(std::mem::take(&mut self.buffers));
    }
}

/// How many numbers of up to ten bytes a histogram consists of.
fn histogram_numbers(h: &Histogram) -> usize {
    let buckets = match &h.counts {
        Counts::Integer { positive, negative, .. } => positive.len() + negative.len(),
        Counts::Float { positive, negative, .. } => positive.len() + negative.len(),
    };
    buckets + h.custom_values.len() + 2 * (h.positive_spans.len() + h.negative_spans.len())
}

/// Counting sort of the samples' indexes by shard, stable. Answers where each shard's run begins.
fn sort_by_shard(samples: &[Pending], by_shard: &mut Vec<u32>) -> [usize; SHARDS + 1] {
    let mut starts = [0usize; SHARDS + 1];
    for sample in samples {
        starts[sample.place.shard() + 1] += 1;
    }
    for shard in 0..SHARDS {
        starts[shard + 1] += starts[shard];
    }
    by_shard.clear();
    by_shard.resize(samples.len(), 0);
    let mut next = starts;
    for (i, sample) in samples.iter().enumerate() {
        let at = &mut next[sample.place.shard()];
        if let Some(slot) = by_shard.get_mut(*at) {
            *slot = i as u32;
        }
        *at += 1;
    }
    starts
}

fn apply(
    shard: &mut Shard,
    sample: &Pending,
    encoder: &mut SampleEncoder,
) -> Result<std::result::Result<Verdict, Conflict>> {
    let Pending { place, ts, bits, start_ts } = *sample;
    let Some((series, mut home)) = shard.at(place.local()) else { return Err(GONE) };
    let verdict = series.append(&mut home, ts, bits, start_ts);
    match verdict {
        Verdict::Appended | Verdict::Late => {
            encoder.push(LoggedSample { reference: series.reference, ts, bits, start_ts });
        }
        Verdict::Repeated => {}
        Verdict::Conflict(existing) => {
            return Ok(Err(Conflict { ord: series.ord, ts, existing, refused: Some(bits) }));
        }
    }
    Ok(Ok(verdict))
}

impl Head {
    fn labels_at(&self, place: Place) -> Option<Labels> {
        let ord = self.shard(place).lock().at(place.local()).map(|(series, _)| series.ord)?;
        Some(self.registry.read().index.labels(ord))
    }

    fn reject_conflicts(&self, conflicts: Vec<Conflict>, outcome: &mut AppendOutcome) {
        let reason = RejectReason::DuplicateTimestamp;
        let show = |bits: Option<u64>| {
            bits.map_or_else(|| "a histogram".to_owned(), |b| f64::from_bits(b).to_string())
        };
        for c in conflicts {
            outcome.reject(reason, 1, || Rejection {
                reason,
                series: Some(self.registry.read().index.labels(c.ord)),
                ts: Some(c.ts),
                detail: format!(
                    "duplicate sample for timestamp {}; overrides not allowed: existing {}, new value {}",
                    c.ts,
                    show(c.existing),
                    show(c.refused)
                ),
            });
        }
    }
}
