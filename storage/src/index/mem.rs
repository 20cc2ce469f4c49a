//! The index of the head: grows series by series.

use roaring::RoaringBitmap;

use super::interner::Interner;
use super::pairs::{Class, NO_METRIC, Pairs, Row};
use super::resolve::{self, Cardinality};
use super::split::is_target;
use crate::error::{Error, Result};
use crate::model::{Labels, METRIC_NAME, Matcher, SeriesOrd};

/// A target inside one index: dense, in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub u32);

/// What went with a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Its entity.
    pub entity: EntityId,
    /// Whether it was the last series of the entity.
    pub entity_gone: bool,
}

/// Numbers in a series row before the residual values: entity, shape.
const ROW_HEAD: usize = 2;

/// A label set taken apart into symbols. Kept as buffers between insertions.
#[derive(Debug, Default)]
struct Parts {
    /// (name, value) by turns.
    entity: Vec<u32>,
    /// Metric, then names.
    shape: Vec<u32>,
    /// Entity, shape, residual values.
    row: Vec<u32>,
}

impl Parts {
    fn clear(&mut self) {
        self.entity.clear();
        self.shape.clear();
        self.shape.push(NO_METRIC);
        self.row.clear();
        self.row.resize(ROW_HEAD, 0);
    }

    fn push(&mut self, class: Class, name: u32, value: u32) {
        match class {
            Class::Metric => self.shape.splice(..1, [value]).for_each(drop),
            Class::Target => self.entity.extend([name, value]),
            Class::Residual => {
                self.shape.push(name);
                self.row.push(value);
            }
        }
    }

    fn set_head(&mut self, entity: u32, shape: u32) {
        self.row.splice(..ROW_HEAD, [entity, shape]).for_each(drop);
    }
}

/// The index of the head. One writer; reading needs the writer to stand still.
///
/// Numbers of removed series are not given again: after much churn, take [`MemIndex::rebuilt`].
#[derive(Debug)]
pub struct MemIndex {
    target_labels: Vec<String>,
    /// Label names; `__name__` is number 0.
    pub(super) name_texts: Interner<u8>,
    /// Label values, metric names among them.
    pub(super) symbols: Interner<u8>,
    pub(super) entities: Interner<u32>,
    pub(super) shapes: Interner<u32>,
    pub(super) rows: Interner<u32>,
    pub(super) pairs: Pairs,
    pub(super) removed: RoaringBitmap,
    parts: Parts,
}

impl MemIndex {
    /// An empty index. Series are grouped by the labels named in `target_labels`.
    #[must_use]
    pub fn new(target_labels: &[String]) -> Self {
        let mut index = Self {
            target_labels: target_labels.to_vec(),
            name_texts: Interner::new(),
            symbols: Interner::new(),
            entities: Interner::new(),
            shapes: Interner::new(),
            rows: Interner::new(),
            pairs: Pairs::default(),
            removed: RoaringBitmap::new(),
            parts: Parts::default(),
        };
        index.name_texts.intern(METRIC_NAME.as_bytes());
        index.pairs.push_name(Class::Metric);
        index
    }

    /// The place of the series `labels`, and whether it is new.
    ///
    /// # Errors
    /// [`Error::Limit`] when 2^32 series, symbols, symbol bytes or row numbers are reached; no series was added.
    pub fn insert(&mut self, labels: &Labels) -> Result<(SeriesOrd, bool)> {
        let mut parts = std::mem::take(&mut self.parts);
        let inserted = self.insert_parts(labels, &mut parts);
        self.parts = parts;
        inserted.ok_or(Error::Limit {
            limit: "index",
            what: "the label index in memory is full",
            max: u64::from(u32::MAX),
        })
    }

    fn insert_parts(&mut self, labels: &Labels, parts: &mut Parts) -> Option<(SeriesOrd, bool)> {
        parts.clear();
        for (name, value) in labels {
            let (name_id, is_new) = self.name_texts.intern(name.as_bytes())?;
            if is_new {
                let target = is_target(name, &self.target_labels);
                self.pairs.push_name(if target { Class::Target } else { Class::Residual });
            }
            let (value, _) = self.symbols.intern(value.as_bytes())?;
            parts.push(self.pairs.name(name_id)?.class, name_id, value);
        }
        let (entity, _) = self.entities.intern(&parts.entity)?;
        let (shape, _) = self.shapes.intern(&parts.shape)?;
        parts.set_head(entity, shape);
        let (ord, is_new) = self.rows.intern(&parts.row)?;
        if is_new {
            let row = Row {
                entity,
                shape,
                entity_labels: &parts.entity,
                shape_labels: &parts.shape,
                residual: parts.row.get(ROW_HEAD..).unwrap_or(&[]),
            };
            self.pairs.change(ord, row, true);
        }
        Some((SeriesOrd(ord), is_new))
    }

    /// The place of the series `labels`, if it is here.
    #[must_use]
    pub fn get(&self, labels: &Labels) -> Option<SeriesOrd> {
        let mut parts = Parts::default();
        parts.clear();
        for (name, value) in labels {
            let name_id = self.name_texts.find(name.as_bytes())?;
            let value = self.symbols.find(value.as_bytes())?;
            parts.push(self.pairs.name(name_id)?.class, name_id, value);
        }
        let entity = self.entities.find(&parts.entity)?;
        let shape = self.shapes.find(&parts.shape)?;
        parts.set_head(entity, shape);
        self.rows.find(&parts.row).map(SeriesOrd)
    }

    /// The label set of a series; empty when there never was one with this place.
    #[must_use]
    pub fn labels(&self, ord: SeriesOrd) -> Labels {
        let pairs = self.row(ord.0).map(|row| row.pairs()).into_iter().flatten();
        Labels::from_pairs(pairs.map(|(name, value)| (self.name_text(name), self.symbol(value))))
    }

    /// The entity of a series.
    #[must_use]
    pub fn entity_of(&self, ord: SeriesOrd) -> Option<EntityId> {
        self.row(ord.0).map(|row| EntityId(row.entity))
    }

    /// The entity that a series with these labels belongs to, if it is known.
    #[must_use]
    pub fn entity_of_labels(&self, labels: &Labels) -> Option<EntityId> {
        let mut run = Vec::new();
        for (name, value) in labels.iter().filter(|(name, _)| is_target(name, &self.target_labels))
        {
            run.push(self.name_texts.find(name.as_bytes())?);
            run.push(self.symbols.find(value.as_bytes())?);
        }
        self.entities.find(&run).map(EntityId)
    }

    /// The labels of an entity.
    #[must_use]
    pub fn entity_labels(&self, entity: EntityId) -> Labels {
        let pairs = super::pairs::entity_pairs(self.entities.get(entity.0));
        Labels::from_pairs(pairs.map(|(name, value)| (self.name_text(name), self.symbol(value))))
    }

    /// Whether an entity has the label `name`.
    #[must_use]
    pub fn entity_has(&self, entity: EntityId, name: &str) -> bool {
        let mut pairs = super::pairs::entity_pairs(self.entities.get(entity.0));
        pairs.any(|pair| self.name_text(pair.0) == name)
    }

    /// The series of an entity.
    #[must_use]
    pub fn series_of_entity(&self, entity: EntityId) -> RoaringBitmap {
        self.pairs
            .entity_series
            .get(entity.0 as usize)
            .map(|series| series.to_bitmap().into_owned())
            .unwrap_or_default()
    }

    /// Removes a series: it is found no more, its place stays taken. `None` when it was not here.
    pub fn remove(&mut self, ord: SeriesOrd) -> Option<Removed> {
        if ord.0 as usize >= self.rows.len() || !self.removed.insert(ord.0) {
            return None;
        }
        let row = row(&self.rows, &self.entities, &self.shapes, ord.0)?;
        let entity = EntityId(row.entity);
        self.pairs.change(ord.0, row, false);
        self.rows.forget(ord.0);
        let entity_gone = self.series_of_entity(entity).is_empty();
        Some(Removed { entity, entity_gone })
    }

    /// Removes all series but those in `kept`; answers how many went.
    pub fn retain(&mut self, kept: &RoaringBitmap) -> u64 {
        let gone = self.live() - kept;
        gone.iter().filter(|ord| self.remove(SeriesOrd(*ord)).is_some()).count() as u64
    }

    /// A new index without the removed series and without symbols that nobody uses. The n-th series that is
    /// left (`live().select(n)`) gets place n.
    pub fn rebuilt(&self) -> Result<Self> {
        let mut index = Self::new(&self.target_labels);
        for ord in self.live() {
            index.insert(&self.labels(SeriesOrd(ord)))?;
        }
        index.optimize();
        Ok(index)
    }

    /// The series that are here.
    #[must_use]
    pub fn live(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        // Never more than u32::MAX numbers are given.
        all.insert_range(0..self.rows.len() as u32);
        all - &self.removed
    }

    /// Number of series that are here.
    #[must_use]
    pub fn n_series(&self) -> u64 {
        self.rows.len() as u64 - self.removed.len()
    }

    /// Places given so far, those of removed series included: all are below this.
    #[must_use]
    pub fn ord_end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Number of entities ever seen.
    #[must_use]
    pub fn n_entities(&self) -> u32 {
        self.entities.len() as u32
    }

    /// The series that satisfy all of `matchers`; all series when there is none.
    pub fn resolve(&self, matchers: &[Matcher]) -> Result<RoaringBitmap> {
        resolve::resolve(self, matchers)
    }

    /// Label names of all series, or of those in `within`, ascending.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        resolve::label_names(self, within)
    }

    /// Values of a label among all series, or among those in `within`, ascending.
    pub fn label_values(&self, name: &str, within: Option<&RoaringBitmap>) -> Result<Vec<String>> {
        resolve::label_values(self, name, within)
    }

    /// The `limit` largest counts of each kind.
    pub fn cardinality(&self, limit: usize) -> Result<Cardinality> {
        resolve::cardinality(self, limit)
    }

    /// Makes postings smaller where runs are; for the background, after many insertions.
    pub fn optimize(&mut self) {
        self.pairs.optimize();
    }

    /// Bytes on the heap, about. Walks all postings: some milliseconds per million series.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        let tables = self.entities.bytes() + self.shapes.bytes() + self.rows.bytes();
        (tables + self.pairs.bytes()) as u64 + self.symbol_bytes()
    }

    /// Bytes of label names and values with their tables.
    #[must_use]
    pub fn symbol_bytes(&self) -> u64 {
        (self.symbols.bytes() + self.name_texts.bytes()) as u64
    }

    pub(super) fn row(&self, ord: u32) -> Option<Row<'_>> {
        row(&self.rows, &self.entities, &self.shapes, ord)
    }

    /// Metric name and other names of a shape.
    pub(super) fn shape_parts(&self, shape: u32) -> (Option<u32>, &[u32]) {
        let (metric, names) = match self.shapes.get(shape).split_first() {
            Some((metric, names)) => (*metric, names),
            None => (NO_METRIC, [].as_slice()),
        };
        (Some(metric).filter(|metric| *metric != NO_METRIC), names)
    }

    pub(super) fn name_text(&self, id: u32) -> &str {
        std::str::from_utf8(self.name_texts.get(id)).unwrap_or_default()
    }

    pub(super) fn symbol(&self, id: u32) -> &str {
        std::str::from_utf8(self.symbols.get(id)).unwrap_or_default()
    }
}

fn row<'a>(
    rows: &'a Interner<u32>,
    entities: &'a Interner<u32>,
    shapes: &'a Interner<u32>,
    ord: u32,
) -> Option<Row<'a>> {
    let (head, residual) = rows.get(ord).split_at_checked(ROW_HEAD)?;
    let (entity, shape) = (*head.first()?, *head.get(1)?);
    let (entity_labels, shape_labels) = (entities.get(entity), shapes.get(shape));
    Some(Row { entity, shape, entity_labels, shape_labels, residual })
}
