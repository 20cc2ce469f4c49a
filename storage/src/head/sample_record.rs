//! Float samples in the log: what one batch brought to one shard, column by column. FORMAT.md, "Samples".
//!
//! References of a scrape ascend by one and its timestamps are equal, so that both are runs of equal steps;
//! the values follow by themselves.

use super::records::{SAMPLES, SAMPLES_WITH_START};
use super::value_column::{ValueEncoder, Values};
use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint};
use crate::model::SeriesRef;
use crate::wal::RECORD_BYTES_MAX;

/// Most bytes that one sample adds to a record: runs in three columns, half a code, a value.
pub(super) const SAMPLE_BYTES_MAX: usize = 3 * RUN_BYTES_MAX + 1 + 8;
/// Most samples of a record: a writer reckons with that many bytes for each, whatever they take.
const SAMPLES_MAX: u64 = (RECORD_BYTES_MAX / SAMPLE_BYTES_MAX) as u64;
/// A step, and a count that takes a second byte only where it stands for many.
const RUN_BYTES_MAX: usize = 10 + 1;

/// A float sample in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoggedSample {
    pub(super) reference: SeriesRef,
    pub(super) ts: i64,
    pub(super) bits: u64,
    pub(super) start_ts: i64,
}

/// A column of numbers as runs of equal steps.
#[derive(Debug, Default)]
struct RunEncoder {
    bytes: Vec<u8>,
    last: u64,
    step: u64,
    count: u64,
}

impl RunEncoder {
    fn clear(&mut self) {
        self.bytes.clear();
        (self.last, self.step, self.count) = (0, 0, 0);
    }

    #[inline]
    fn push(&mut self, number: u64) {
        let step = number.wrapping_sub(self.last);
        self.last = number;
        if step != self.step {
            self.end_run();
            self.step = step;
        }
        self.count += 1;
    }

    fn end_run(&mut self) {
        if self.count > 0 {
            put_ivarint(&mut self.bytes, self.step.cast_signed());
            put_uvarint(&mut self.bytes, self.count);
            self.count = 0;
        }
    }

    fn put(&mut self, out: &mut Vec<u8>) {
        self.end_run();
        out.extend_from_slice(&self.bytes);
    }
}

/// Numbers with equal steps between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) step: u64,
    /// How many; at least one.
    pub(super) len: u64,
}

impl Run {
    /// A number by itself.
    pub(super) fn one(reference: SeriesRef) -> Self {
        Self { first: reference.0, step: 0, len: 1 }
    }

    /// All of them.
    pub(super) fn numbers(self) -> impl Iterator<Item = u64> {
        (0..self.len).map(move |i| self.first.wrapping_add(self.step.wrapping_mul(i)))
    }
}

/// A column of runs as it lies in a record.
#[derive(Debug, Clone)]
struct Runs<'a> {
    reader: Reader<'a>,
    last: u64,
    /// Numbers of the runs that are still ahead.
    left: u64,
}

impl<'a> Runs<'a> {
    /// Takes a column of `len` numbers off the reader.
    fn read(r: &mut Reader<'a>, len: u64, what: &'static str) -> Result<Self, Malformed> {
        let runs = Self { reader: *r, last: 0, left: len };
        let mut left = len;
        while left > 0 {
            let at = r.position();
            r.ivarint(what)?;
            let count = r.uvarint(what)?;
            if count == 0 || count > left {
                return Err(Malformed { what, at });
            }
            left -= count;
        }
        Ok(runs)
    }

    fn numbers(self) -> impl Iterator<Item = u64> + use<'a> {
        let mut runs = self;
        let mut run = Run { first: 0, step: 0, len: 0 };
        std::iter::from_fn(move || {
            if run.len == 0 {
                run = runs.next()?;
            }
            let number = run.first;
            run = Run { first: number.wrapping_add(run.step), len: run.len - 1, ..run };
            Some(number)
        })
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.left == 0 {
            return None;
        }
        let step = self.reader.ivarint("step").ok()?.cast_unsigned();
        let len = self.reader.uvarint("length").ok()?.min(self.left);
        let run = Run { first: self.last.wrapping_add(step), step, len };
        self.last = self.last.wrapping_add(step.wrapping_mul(len));
        self.left -= len;
        Some(run)
    }
}

/// Takes samples up for one record. Its memory goes from one record to the next.
#[derive(Debug, Default)]
pub(super) struct SampleEncoder {
    references: RunEncoder,
    timestamps: RunEncoder,
    starts: RunEncoder,
    values: ValueEncoder,
    with_start: bool,
    payload: Vec<u8>,
}

impl SampleEncoder {
    /// Begins a record; `with_start` for [`SAMPLES_WITH_START`].
    pub(super) fn begin(&mut self, with_start: bool) {
        self.references.clear();
        self.timestamps.clear();
        self.starts.clear();
        self.values.clear();
        self.with_start = with_start;
    }

    #[inline]
    pub(super) fn push(&mut self, sample: LoggedSample) {
        self.references.push(sample.reference.0);
        self.timestamps.push(sample.ts.cast_unsigned());
        if self.with_start {
            self.starts.push(sample.start_ts.cast_unsigned());
        }
        self.values.push(sample.bits);
    }

    pub(super) fn kind(&self) -> u8 {
        if self.with_start { SAMPLES_WITH_START } else { SAMPLES }
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The record's payload. The next call after this is [`SampleEncoder::begin`].
    pub(super) fn finish(&mut self) -> &[u8] {
        let Self { references, timestamps, starts, values, with_start, payload } = self;
        payload.clear();
        put_uvarint(payload, values.len() as u64);
        references.put(payload);
        timestamps.put(payload);
        if *with_start {
            starts.put(payload);
        }
        values.put(payload);
        payload
    }
}

/// A record of samples, found to be whole.
#[derive(Debug, Clone)]
pub(super) struct SampleRecord<'a> {
    references: Runs<'a>,
    timestamps: Runs<'a>,
    starts: Option<Runs<'a>>,
    values: Values<'a>,
}

impl<'a> SampleRecord<'a> {
    /// Reads what [`SampleEncoder`] wrote.
    pub(super) fn read(payload: &'a [u8], with_start: bool) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let len = r.uvarint("number of samples")?;
        if len > SAMPLES_MAX {
            return Err(Malformed { what: "number of samples", at: 0 });
        }
        let references = Runs::read(&mut r, len, "series reference")?;
        let timestamps = Runs::read(&mut r, len, "timestamp")?;
        let starts = with_start.then(|| Runs::read(&mut r, len, "start timestamp")).transpose()?;
        let values = Values::read(&mut r, len as usize)?;
        Ok(Self { references, timestamps, starts, values })
    }

    /// The series of all samples.
    pub(super) fn reference_runs(&self) -> impl Iterator<Item = Run> + Clone + use<'a> {
        self.references.clone()
    }

    /// Timestamp, bits and start timestamp of all samples; takes `bits` as a buffer.
    pub(super) fn samples<'b>(
        &self,
        bits: &'b mut Vec<u64>,
    ) -> impl Iterator<Item = (i64, u64, i64)> + use<'a, 'b> {
        self.values.decode(bits);
        let mut starts = self.starts.clone().map(Runs::numbers);
        let timestamps = self.timestamps.clone().numbers();
        bits.iter().zip(timestamps).map(move |(bits, ts)| {
            let start = starts.as_mut().and_then(Iterator::next).unwrap_or(0);
            (ts.cast_signed(), *bits, start.cast_signed())
        })
    }
}

#[cfg(test)]
pub(super) fn decode(payload: &[u8], with_start: bool) -> Result<Vec<LoggedSample>, Malformed> {
    let record = SampleRecord::read(payload, with_start)?;
    let mut bits = Vec::new();
    let references = record.reference_runs().flat_map(Run::numbers).map(SeriesRef);
    let samples = references
        .zip(record.samples(&mut bits))
        .map(|(reference, (ts, bits, start_ts))| LoggedSample { reference, ts, bits, start_ts });
    Ok(samples.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn encoded(samples: &[LoggedSample], with_start: bool) -> Vec<u8> {
        let mut encoder = SampleEncoder::default();
        encoder.begin(!with_start);
        encoder.push(LoggedSample { reference: SeriesRef(3), ts: 1, bits: 2, start_ts: 4 });
        encoder.begin(with_start);
        samples.iter().for_each(|sample| encoder.push(*sample));
        assert_eq!(encoder.len(), samples.len());
        encoder.finish().to_vec()
    }

    fn sample((reference, ts, bits, start_ts): (u64, i64, u64, i64)) -> LoggedSample {
        LoggedSample { reference: SeriesRef(reference), ts, bits, start_ts }
    }

    proptest! {
        #[test]
        fn samples_round_trip(
            raw in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>(), any::<i64>()), 0..50),
            runs in prop::collection::vec((0..3u64, 0..3i64, 0..3u64, 0..2i64), 0..50),
            with_start in any::<bool>(),
        ) {
            let mut samples: Vec<LoggedSample> = raw.into_iter().chain(runs).map(sample).collect();
            if !with_start {
                samples.iter_mut().for_each(|sample| sample.start_ts = 0);
            }
            let bytes = encoded(&samples, with_start);
            prop_assert!(bytes.len() <= 10 + samples.len() * SAMPLE_BYTES_MAX);
            prop_assert_eq!(decode(&bytes, with_start).unwrap(), samples);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), with_start in any::<bool>()) {
            if let Ok(samples) = decode(&bytes, with_start) {
                prop_assert!(samples.len() <= bytes.len() * 2);
                prop_assert_eq!(decode(&encoded(&samples, with_start), with_start).unwrap(), samples);
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_claims_too_much_is_refused() {
        let samples: Vec<LoggedSample> =
            (0..100).map(|i| sample((7 + i, 1_700_000_000_000, i << 50, 0))).collect();
        let bytes = encoded(&samples, false);
        assert_eq!(decode(&bytes, false).unwrap(), samples);
        for len in 0..bytes.len() {
            assert!(decode(bytes.get(..len).unwrap(), false).is_err(), "{len} bytes");
        }
        assert!(decode(&[&bytes[..], &[0]].concat(), false).is_err(), "a byte too many");
        let mut endless = Vec::new();
        put_uvarint(&mut endless, u64::MAX);
        for _ in 0..2 {
            put_ivarint(&mut endless, 1);
            put_uvarint(&mut endless, u64::MAX);
        }
        assert!(decode(&endless, false).is_err());
    }

    #[test]
    fn the_bytes_do_not_change() {
        let samples: Vec<LoggedSample> =
            (0..300).map(|i| sample((1000 + i, 5000 + i as i64 / 200, 0, 0))).collect();
        let bytes = encoded(&samples, false);
        let runs = [0xac, 2, 0xd0, 0x0f, 1, 2, 0xab, 2, 0x90, 0x4e, 1, 0, 0xc7, 1, 2, 1, 0, 99];
        assert_eq!(bytes, [&runs[..], &[0; 150]].concat());
    }
}
