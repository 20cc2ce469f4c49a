//! Definitions of series in the log: which label set a reference stands for. FORMAT.md, "Series".
//!
//! A record has its own table of texts and of what series share, the labels of a target and the names of a
//! metric's labels, so that a series is a handful of numbers, and each record is read by itself.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use hashbrown::HashMap;

use super::records::REFERENCE_MAX;
use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint};
use crate::index::{MemIndex, Numbered};
use crate::model::{Labels, METRIC_NAME, SeriesOrd, SeriesRef};
use crate::wal::RECORD_BYTES_MAX;

/// Values at either end of a series' that it may share with the series before.
const SHARED_MAX: usize = 15;
const SHARED_BITS: u32 = 4;
/// Bytes of a record without any series, and of an entry without its values.
const BYTES_MIN: usize = 64;
/// Bytes of numbers that a label adds: to a target or a shape, and to the entry.
const LABEL_BYTES_MAX: usize = 15;

/// Bytes that a series adds to a record at most.
pub(super) fn definition_bytes_max(labels: &Labels) -> usize {
    labels.as_bytes().len() + labels.len() * LABEL_BYTES_MAX + BYTES_MIN
}

/// Spreads dense numbers over a hash table.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Things of the index that a record tells once each, numbered as they come.
#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<u64, u32, BuildHasherDefault<NumberHasher>>,
    bytes: Vec<u8>,
}

impl Table {
    fn clear(&mut self) {
        self.numbers.clear();
        self.bytes.clear();
    }

    /// The number of `key` in this record; `put` writes what it stands for when it is new.
    fn number(&mut self, key: u64, put: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let Self { numbers, bytes } = self;
        let next = numbers.len() as u32;
        let number = *numbers.entry(key).or_insert_with(|| {
            put(bytes);
            next
        });
        u64::from(number)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.numbers.len() as u64);
        out.extend_from_slice(&self.bytes);
    }
}

/// Distinguishes label names from values, which have numbers of their own.
const NAME_KEY: u64 = 1 << 32;

/// Takes series up for one record. Its memory goes from one record to the next.
#[derive(Debug, Default)]
pub(super) struct DefinitionEncoder {
    texts: Table,
    targets: Table,
    shapes: Table,
    entries: Vec<u8>,
    last_reference: u64,
    /// Values of the series before, as numbers of the index.
    before: Vec<u32>,
    payload: Vec<u8>,
}

impl DefinitionEncoder {
    /// Bytes of the record so far, about.
    pub(super) fn bytes(&self) -> usize {
        let Self { texts, targets, shapes, entries, .. } = self;
        texts.bytes.len() + targets.bytes.len() + shapes.bytes.len() + entries.len()
    }

    /// Adds a series of `index`, from which none is removed before the record is taken.
    pub(super) fn push(&mut self, index: &MemIndex, ord: SeriesOrd, reference: SeriesRef) {
        let Some(series) = index.numbered(ord) else { return };
        let Self { texts, targets, shapes, entries, last_reference, before, .. } = self;
        let step = reference.0.wrapping_sub(*last_reference);
        *last_reference = reference.0;
        put_ivarint(entries, step.cast_signed());
        let target = targets.number(u64::from(series.target()), |out| {
            put_uvarint(out, series.target_pairs().count() as u64);
            for (name, value) in series.target_pairs() {
                put_uvarint(out, number_of_name(texts, index, name));
                put_uvarint(out, number_of_value(texts, index, value));
            }
        });
        put_uvarint(entries, target);
        let shape = shapes.number(u64::from(series.shape()), |out| {
            put_shape(out, texts, index, &series);
        });
        put_uvarint(entries, shape);
        let values = series.values();
        let (first, last) = shared(before, values);
        entries.push((first | last << SHARED_BITS) as u8);
        for value in values.get(first..values.len() - last).unwrap_or_default() {
            put_uvarint(entries, number_of_value(texts, index, *value));
        }
        before.clear();
        before.extend_from_slice(values);
    }

    /// The payload of a record with the series so far, if there are any; the next one begins another record.
    pub(super) fn take(&mut self) -> Option<&[u8]> {
        if self.entries.is_empty() {
            return None;
        }
        let Self { texts, targets, shapes, entries, last_reference, before, payload } = self;
        payload.clear();
        for table in [texts, targets, shapes] {
            table.put(payload);
            table.clear();
        }
        payload.append(entries);
        before.clear();
        *last_reference = 0;
        Some(payload)
    }
}

fn number_of_value(texts: &mut Table, index: &MemIndex, value: u32) -> u64 {
    texts.number(u64::from(value), |out| put_bytes(out, index.value_bytes(value)))
}

fn number_of_name(texts: &mut Table, index: &MemIndex, name: u32) -> u64 {
    texts.number(NAME_KEY | u64::from(name), |out| put_bytes(out, index.name_bytes(name)))
}

fn put_shape(out: &mut Vec<u8>, texts: &mut Table, index: &MemIndex, series: &Numbered<'_>) {
    let metric = series.metric().map_or(0, |metric| number_of_value(texts, index, metric) + 1);
    put_uvarint(out, metric);
    put_uvarint(out, series.names().len() as u64);
    for name in series.names() {
        put_uvarint(out, number_of_name(texts, index, *name));
    }
}

/// How many values at the beginning and at the end are those of the series before.
fn shared(before: &[u32], values: &[u32]) -> (usize, usize) {
    let first = before.iter().zip(values).take_while(|(a, b)| a == b).count().min(SHARED_MAX);
    let rest = |all: &[u32]| all.len().saturating_sub(first).min(SHARED_MAX);
    let last = before.iter().rev().zip(values.iter().rev()).take_while(|(a, b)| a == b);
    (first, last.count().min(rest(before)).min(rest(values)))
}

/// A metric name and the names of other labels.
#[derive(Debug, Clone)]
struct Shape {
    metric: Option<u32>,
    names: Range<usize>,
}

/// A record of definitions, its tables read.
#[derive(Debug)]
pub(super) struct Definitions<'a> {
    pub(super) texts: Vec<&'a str>,
    /// Numbers of names and values of all targets' labels, and where those of each target lie.
    target_pairs: Vec<(u32, u32)>,
    targets: Vec<Range<usize>>,
    /// Numbers of the names of all shapes.
    shape_names: Vec<u32>,
    shapes: Vec<Shape>,
    entries: Reader<'a>,
}

/// One series, in numbers of its record.
#[derive(Debug, Default)]
pub(super) struct Definition {
    pub(super) reference: u64,
    pub(super) target: usize,
    pub(super) shape: usize,
    /// Values for the names of the shape.
    pub(super) values: Vec<u32>,
}

impl<'a> Definitions<'a> {
    /// Reads the tables of what [`DefinitionEncoder`] wrote.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let mut texts = Vec::new();
        for _ in 0..r.count(1, "number of texts")? {
            texts.push(r.str("text")?);
        }
        let text = |r: &mut Reader<'_>, n_texts: usize| {
            let at = r.position();
            let number = r.uvarint32("number of a text")?;
            if (number as usize) < n_texts {
                Ok(number)
            } else {
                Err(Malformed { what: "number of a text", at })
            }
        };
        let (mut targets, mut target_pairs) = (Vec::new(), Vec::new());
        for _ in 0..r.count(1, "number of targets")? {
            let from = target_pairs.len();
            for _ in 0..r.count(2, "number of labels")? {
                target_pairs.push((text(&mut r, texts.len())?, text(&mut r, texts.len())?));
            }
            let name = |pair: &(u32, u32)| texts.get(pair.0 as usize).copied().unwrap_or_default();
            let at = r.position();
            if !target_pairs.iter().skip(from).map(name).is_sorted_by(|a, b| a < b) {
                return Err(Malformed { what: "order of labels", at });
            }
            targets.push(from..target_pairs.len());
        }
        let (mut shapes, mut shape_names) = (Vec::new(), Vec::new());
        for _ in 0..r.count(2, "number of shapes")? {
            let at = r.position();
            let metric = r.uvarint32("metric name")?.checked_sub(1);
            if metric.is_some_and(|metric| metric as usize >= texts.len()) {
                return Err(Malformed { what: "metric name", at });
            }
            let from = shape_names.len();
            for _ in 0..r.count(1, "number of names")? {
                shape_names.push(text(&mut r, texts.len())?);
            }
            let name = |name: &u32| texts.get(*name as usize).copied().unwrap_or_default();
            if !shape_names.iter().skip(from).map(name).is_sorted_by(|a, b| a < b) {
                return Err(Malformed { what: "order of names", at });
            }
            shapes.push(Shape { metric, names: from..shape_names.len() });
        }
        Ok(Self { texts, target_pairs, targets, shape_names, shapes, entries: r })
    }

    pub(super) fn n_targets(&self) -> usize {
        self.targets.len()
    }

    pub(super) fn n_shapes(&self) -> usize {
        self.shapes.len()
    }

    /// Reads the next series over the one before. False when there is none.
    pub(super) fn next(&mut self, series: &mut Definition) -> Result<bool, Malformed> {
        let r = &mut self.entries;
        if r.is_empty() {
            return Ok(false);
        }
        let at = r.position();
        let bad = |what| Malformed { what, at };
        series.reference = series.reference.wrapping_add_signed(r.ivarint("series reference")?);
        if series.reference > REFERENCE_MAX {
            return Err(bad("series reference"));
        }
        series.target = r.uvarint32("target")? as usize;
        series.shape = r.uvarint32("shape")? as usize;
        if series.target >= self.targets.len() {
            return Err(bad("target"));
        }
        let shape = self.shapes.get(series.shape).ok_or(bad("shape"))?;
        let shared = usize::from(r.u8("shared values")?);
        let (first, last) = (shared & SHARED_MAX, shared >> SHARED_BITS);
        let others = shape.names.len().checked_sub(first + last).ok_or(bad("shared values"))?;
        let values = &mut series.values;
        if first + last > values.len() {
            return Err(bad("shared values"));
        }
        // The last ones move behind those that are told.
        let mut tail = [0; SHARED_MAX];
        let kept = values.len() - last;
        tail.iter_mut().zip(values.drain(kept..)).for_each(|(to, from)| *to = from);
        values.truncate(first);
        for _ in 0..others {
            let value = r.uvarint32("label value")?;
            if value as usize >= self.texts.len() {
                return Err(bad("label value"));
            }
            values.push(value);
        }
        values.extend(tail.iter().take(last));
        Ok(true)
    }

    fn text(&self, number: u32) -> &'a str {
        self.texts.get(number as usize).copied().unwrap_or_default()
    }

    /// Names and values of a target's labels.
    pub(super) fn target(&self, number: usize) -> impl Iterator<Item = (&'a str, &'a str)> {
        let place = self.targets.get(number).cloned().unwrap_or_default();
        let pairs = self.target_pairs.get(place).unwrap_or_default();
        pairs.iter().map(|(name, value)| (self.text(*name), self.text(*value)))
    }

    /// The metric name of a shape, and the names of its other labels.
    pub(super) fn shape(&self, number: usize) -> (Option<&'a str>, impl Iterator<Item = &'a str>) {
        let shape = self.shapes.get(number);
        let place = shape.map(|shape| shape.names.clone()).unwrap_or_default();
        let metric = shape.and_then(|shape| shape.metric).map(|metric| self.text(metric));
        let names = self.shape_names.get(place).unwrap_or_default();
        (metric, names.iter().map(|name| self.text(*name)))
    }

    /// The label set of a series. `None` where it is longer than any that could be written: each text of it may
    /// stand there once and be named a million times.
    pub(super) fn labels(&self, series: &Definition) -> Option<Labels> {
        let (metric, names) = self.shape(series.shape);
        let values = series.values.iter().map(|value| self.text(*value));
        let metric = metric.map(|metric| (METRIC_NAME, metric));
        let pairs = self.target(series.target).chain(metric).chain(names.zip(values));
        let pairs: Vec<(&str, &str)> = pairs.collect();
        let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        (bytes <= RECORD_BYTES_MAX).then(|| Labels::from_pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn encoded(sets: &[(u64, Labels)]) -> Vec<u8> {
        let mut index = MemIndex::new(&["instance".to_owned(), "job".to_owned()]);
        let mut encoder = DefinitionEncoder::default();
        let mut bytes_max = 0;
        for round in 0..2 {
            for (reference, labels) in sets {
                let (ord, _) = index.insert(labels).unwrap();
                let before = encoder.bytes();
                encoder.push(&index, ord, SeriesRef(*reference));
                bytes_max += encoder.bytes() - before;
                assert!(encoder.bytes() - before <= definition_bytes_max(labels) - 30);
            }
            if round == 0 {
                encoder.take();
            }
        }
        let payload = encoder.take().unwrap_or_default().to_vec();
        assert!(payload.len() <= bytes_max + 30);
        assert_eq!(encoder.take(), None);
        payload
    }

    fn decoded(payload: &[u8]) -> Result<Vec<(u64, Labels)>, Malformed> {
        let mut definitions = Definitions::read(payload)?;
        let mut series = Definition::default();
        let mut all = Vec::new();
        while definitions.next(&mut series)? {
            all.push((series.reference, definitions.labels(&series).unwrap()));
        }
        Ok(all)
    }

    fn labels() -> impl Strategy<Value = Labels> {
        let name = prop::sample::select(vec!["A", "__name__", "a", "instance", "job", "le", "z"]);
        let value = prop_oneof![4 => "[ab]{1,2}", 1 => "\u{e9}{70}"];
        prop::collection::vec((name, value), 0..7)
            .prop_map(|pairs| Labels::from_pairs(pairs.iter().map(|(n, v)| (*n, v.as_str()))))
    }

    proptest! {
        #[test]
        fn series_round_trip(sets in prop::collection::vec((0..=REFERENCE_MAX, labels()), 1..40)) {
            prop_assert_eq!(decoded(&encoded(&sets)).unwrap(), sets);
        }

        #[test]
        fn any_bytes_are_survived(
            sets in prop::collection::vec((0..9u64, labels()), 1..9),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut payload = encoded(&sets);
            for (at, byte) in edits {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            if let Ok(all) = decoded(&payload) {
                prop_assert!(all.len() <= payload.len());
            }
        }
    }

    #[test]
    fn many_labels_and_what_they_share() {
        let names: Vec<String> = (0..60).map(|i| format!("l{i:02}")).collect();
        let set = |other: usize| {
            let value = |i: usize| if i == other { "x" } else { "y" };
            Labels::from_pairs(names.iter().enumerate().map(|(i, n)| (n.as_str(), value(i))))
        };
        let sets: Vec<(u64, Labels)> = (0..61).map(|i| (1 + i as u64, set(i))).collect();
        assert_eq!(decoded(&encoded(&sets)).unwrap(), sets);
    }

    #[test]
    fn claims_are_refused() {
        let sets = [(5, Labels::from_pairs([("__name__", "up"), ("job", "a"), ("x", "y")]))];
        let payload = encoded(&sets);
        for len in 1..payload.len() {
            let cut = decoded(payload.get(..len).unwrap());
            assert!(cut.is_err() || cut == Ok(vec![]), "{len} bytes");
        }
        assert!(decoded(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "more texts than bytes");
        assert!(decoded(&[0, 0, 1, 0, 0, 2, 0, 0, 1]).is_err(), "no such target");
        let beyond = [(REFERENCE_MAX + 1, Labels::from_pairs([("job", "a")]))];
        assert!(decoded(&encoded(&beyond)).is_err(), "no number is left behind it");
        let twice = [1, 1, b'a', 1, 2, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0];
        assert!(decoded(&twice).is_err(), "a label twice");
    }

    #[test]
    fn a_set_of_labels_longer_than_a_record_is_none() {
        let text = "x".repeat(RECORD_BYTES_MAX / 2);
        let definitions = Definitions {
            texts: vec!["a", "b", &text],
            target_pairs: vec![(0, 2), (1, 2)],
            targets: std::iter::once(0..2).collect(),
            shape_names: Vec::new(),
            shapes: vec![Shape { metric: None, names: 0..0 }],
            entries: Reader::new(&[]),
        };
        let series = Definition { reference: 1, target: 0, shape: 0, values: Vec::new() };
        assert!(definitions.labels(&series).is_none());
    }

    #[test]
    fn the_bytes_do_not_change() {
        let of = |mode| {
            Labels::from_pairs([("__name__", "cpu"), ("job", "a"), ("mode", mode), ("z", "q")])
        };
        let payload = encoded(&[(7, of("idle")), (8, of("user"))]);
        let texts = b"\x07\x03job\x01a\x03cpu\x04mode\x01z\x04idle\x01q\x04user";
        // Eight texts, in the order of their first use: the target's, the shape's, the values.
        let texts = [&[8], &texts[1..]].concat();
        let tables = [1, 1, 0, 1, 1, 3, 2, 3, 4];
        let entries = [14, 0, 0, 0, 5, 6, 2, 0, 0, 0x10, 7];
        assert_eq!(payload, [&texts[..], &tables, &entries].concat());
    }
}
