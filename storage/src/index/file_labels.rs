//! The label sets of many series of a block, one after the other.
//!
//! Neighbours in a block share their entity and often their shape, so that a walk decodes both once, goes
//! on in the rows instead of seeking, and copies texts that were checked once for the whole index.

use super::file::{IndexFile, NameEntry};
use super::file_write::INDEX_ROWS_PER_OFFSET;
use super::mem::EntityId;
use super::sections::Section;
use crate::codec::{Malformed, Reader};
use crate::error::Result;
use crate::model::{Labels, METRIC_NAME};

/// A name or metric of a shape or an entity with its value.
#[derive(Debug, Clone, Copy)]
struct Pair<'a> {
    /// Number of the name: names ascend with their numbers.
    number: u32,
    name: &'a [u8],
    value: &'a [u8],
}

/// A name of a shape.
#[derive(Debug, Clone, Copy)]
struct ShapeName<'a> {
    number: u32,
    name: &'a [u8],
    entry: NameEntry,
}

/// Stands at one series of an index.
pub(crate) struct LabelWalk<'a> {
    index: &'a IndexFile,
    metric_name: Option<(u32, NameEntry)>,
    entity: Vec<Pair<'a>>,
    shape: Option<u32>,
    metric: Option<Pair<'a>>,
    names: Vec<ShapeName<'a>>,
    /// The row that `rows` reads next.
    next: u32,
    rows: Reader<'a>,
    /// The residual values of the series, numbered among those of their names.
    values: Vec<u32>,
    pairs: Vec<Pair<'a>>,
    bytes: Vec<u8>,
}

impl IndexFile {
    /// A walk that stands nowhere yet.
    pub(crate) fn label_walk(&self) -> Result<LabelWalk<'_>> {
        self.check_texts()?;
        let at = self.names()?.iter().position(|(name, _)| &**name == METRIC_NAME);
        let metric_name = match at {
            None => None,
            Some(at) => Some((at as u32, self.name_at(at as u32)?.1)),
        };
        Ok(LabelWalk {
            index: self,
            metric_name,
            entity: Vec::new(),
            shape: None,
            metric: None,
            names: Vec::new(),
            next: 0,
            rows: Reader::new(&[]),
            values: Vec::new(),
            pairs: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Looks once whether all texts are UTF-8.
    fn check_texts(&self) -> Result<()> {
        let n = self.number(Section::Symbols, 0)?;
        let all = self.texts_are_utf8.get_or_init(|| (0..n).all(|id| self.symbol(id).is_ok()));
        if *all { Ok(()) } else { Err(self.corrupt(Section::Symbols, "index symbol is not UTF-8")) }
    }

    fn value_bytes(&self, entry: &NameEntry, value: u32) -> Result<&[u8]> {
        self.run(Section::Symbols, self.value_at(entry, value)?.0)
    }
}

impl<'a> LabelWalk<'a> {
    /// Goes on to the series of an entity.
    pub(crate) fn enter(&mut self, entity: EntityId) -> Result<()> {
        let Self { index, entity: pairs, .. } = self;
        let index: &'a IndexFile = index;
        pairs.clear();
        index.for_each_entity_value(entity.0, &mut |number, value| {
            let (name, entry) = index.name_at(number)?;
            let value = index.value_bytes(entry, value)?;
            pairs.push(Pair { number, name: name.as_bytes(), value });
            Ok(())
        })
    }

    /// Goes on to the series `ord` of the entity.
    pub(crate) fn go_to(&mut self, ord: u32) -> Result<()> {
        let index = self.index;
        let malformed = |cause: Malformed| index.corrupt(Section::Rows, cause.what);
        let run = ord / INDEX_ROWS_PER_OFFSET;
        if ord < self.next || run != self.next / INDEX_ROWS_PER_OFFSET || self.rows.is_empty() {
            let table = index.n_series().div_ceil(INDEX_ROWS_PER_OFFSET) as usize * 4;
            let offset = index.number(Section::Rows, run as usize * 4)? as usize;
            let bytes = index.rows_bytes()?.get(table..).and_then(|rows| rows.get(offset..));
            self.rows = Reader::new(bytes.unwrap_or_default());
            self.next = run * INDEX_ROWS_PER_OFFSET;
        }
        while self.next <= ord {
            let shape = self.rows.uvarint32("index row shape").map_err(malformed)?;
            if self.next < ord && self.shape != Some(shape) {
                for _ in 0..index.shape(shape)?.2 {
                    self.rows.uvarint32("index row value").map_err(malformed)?;
                }
            } else {
                self.take_shape(shape)?;
                self.values.clear();
                for _ in 0..self.names.len() {
                    self.values.push(self.rows.uvarint32("index row value").map_err(malformed)?);
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    fn take_shape(&mut self, shape: u32) -> Result<()> {
        if self.shape == Some(shape) {
            return Ok(());
        }
        self.shape = None;
        let index = self.index;
        let (metric, mut names, n_names) = index.shape(shape)?;
        self.metric = match (metric.checked_sub(1), self.metric_name) {
            (None, _) => None,
            (Some(value), Some((number, entry))) => {
                let value = index.value_bytes(&entry, value)?;
                Some(Pair { number, name: METRIC_NAME.as_bytes(), value })
            }
            (Some(_), None) => return Err(index.corrupt(Section::Names, "index metric names")),
        };
        self.names.clear();
        for _ in 0..n_names {
            let number = names.uvarint32("index shape name");
            let number = number.map_err(|cause| index.corrupt(Section::Shapes, cause.what))?;
            let (name, entry) = index.name_at(number)?;
            self.names.push(ShapeName { number, name: name.as_bytes(), entry: *entry });
        }
        self.shape = Some(shape);
        Ok(())
    }

    /// The labels of the series at which the walk stands.
    pub(crate) fn labels(&mut self) -> Result<Labels> {
        let index = self.index;
        self.pairs.clear();
        self.pairs.extend(self.metric);
        for (name, value) in self.names.iter().zip(&self.values) {
            let value = index.value_bytes(&name.entry, *value)?;
            self.pairs.push(Pair { number: name.number, name: name.name, value });
        }
        self.pairs.extend_from_slice(&self.entity);
        self.pairs.sort_unstable_by_key(|pair| pair.number);
        let pairs = self.pairs.iter().map(|pair| (pair.name, pair.value));
        Ok(Labels::from_raw_pairs(pairs, &mut self.bytes))
    }
}
