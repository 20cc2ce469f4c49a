//! The index of the head: grows series by series.

use roaring::RoaringBitmap;

use super::interner::Interner;
use super::pairs::{Class, Gone, METRIC_NAME_ID, NO_METRIC, Pairs, Row};
use super::parts::{Before, Parts, ROW_HEAD};
use super::resolve::{self, Cardinality};
use super::split::is_target;
use crate::error::{Error, Result};
use crate::model::{Labels, METRIC_NAME, Matcher, SeriesOrd, split_pair};

/// A target inside one index: dense, in order of arrival as long as nothing is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub u32);

/// What [`MemIndex::remove`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The entity that the series belonged to.
    pub entity: EntityId,
    /// Whether this was its last series. Its number may then be given to another entity.
    pub entity_gone: bool,
}

/// Stands in the row of a removed series, where the entity was.
const NO_ENTITY: u32 = u32::MAX;

/// The index of the head. One writer; reading needs the writer to stand still.
///
/// What removed series had is used again: the places of series, entities, symbols and names are given to
/// later ones, so that memory follows the largest number of series there were at one time.
#[derive(Debug)]
pub struct MemIndex {
    pub(super) target_labels: Vec<String>,
    /// Label names; `__name__` is number 0.
    pub(super) name_texts: Interner<u8>,
    /// Label values, metric names among them.
    pub(super) symbols: Interner<u8>,
    pub(super) entities: Interner<u32>,
    pub(super) shapes: Interner<u32>,
    pub(super) rows: Interner<u32>,
    pub(super) pairs: Pairs,
    /// Places that no series has.
    pub(super) removed: RoaringBitmap,
    pub(super) parts: Parts,
    before: Before,
    gone: Gone,
}

impl MemIndex {
    /// An empty index. Series are grouped by the labels named in `target_labels`.
    #[must_use]
    pub fn new(target_labels: &[String]) -> Self {
        let mut index = Self {
            target_labels: target_labels.to_vec(),
            name_texts: Interner::small(),
            symbols: Interner::large(),
            entities: Interner::large(),
            shapes: Interner::small(),
            rows: Interner::large(),
            pairs: Pairs::default(),
            removed: RoaringBitmap::new(),
            parts: Parts::default(),
            before: Before::default(),
            gone: Gone::default(),
        };
        index.name_texts.intern(METRIC_NAME.as_bytes());
        index.pairs.set_name(METRIC_NAME_ID, Class::Metric);
        index
    }

    /// The place of the series `labels`, and whether it is new. A new series may get the place of a removed
    /// one, of which any will do.
    ///
    /// # Errors
    /// [`Error::Limit`] when 2^32 series, symbols, symbol bytes or row numbers are reached; no series was added.
    pub fn insert(&mut self, labels: &Labels) -> Result<(SeriesOrd, bool)> {
        let mut parts = std::mem::take(&mut self.parts);
        let mut before = std::mem::take(&mut self.before);
        let inserted = self.insert_parts(labels, &mut parts, &mut before);
        if inserted.is_none() {
            before.forget();
            self.forget_unused(labels, &parts);
        }
        self.parts = parts;
        self.before = before;
        inserted.ok_or(Error::Limit {
            limit: "index",
            what: "the label index in memory is full",
            max: u64::from(u32::MAX),
        })
    }

    fn insert_parts(
        &mut self,
        labels: &Labels,
        parts: &mut Parts,
        before: &mut Before,
    ) -> Option<(SeriesOrd, bool)> {
        parts.clear();
        let mut known = before.walk();
        let mut rest = labels.as_bytes();
        loop {
            let at = rest.len();
            let (name, value) = match known.same(rest) {
                Some((ids, behind)) => {
                    rest = behind;
                    (ids.name, ids.value)
                }
                None => {
                    let Some((name, value, behind)) = split_pair(rest) else { break };
                    rest = behind;
                    self.intern_pair(name, value, known.find(name, value))?
                }
            };
            parts.push(self.pairs.name(name)?.class, name, value, at - rest.len());
        }
        let entity = match before.entity_with(&parts.entity) {
            Some(entity) => entity,
            None => self.entities.intern(&parts.entity)?.0,
        };
        let (shape, _) = self.shapes.intern(&parts.shape)?;
        parts.set_head(entity, shape);
        let (ord, is_new) = self.rows.intern(&parts.row)?;
        if is_new {
            let (entity_labels, shape_labels) = (&parts.entity, &parts.shape);
            let residual = parts.residual();
            self.pairs.add(ord, Row { entity, shape, entity_labels, shape_labels, residual });
            if !self.removed.is_empty() {
                self.removed.remove(ord);
            }
        }
        before.remember(labels, entity, parts);
        Some((SeriesOrd(ord), is_new))
    }

    /// The numbers of name and value, of which some may be known.
    fn intern_pair(
        &mut self,
        name: &[u8],
        value: &[u8],
        known: (Option<u32>, Option<u32>),
    ) -> Option<(u32, u32)> {
        let name = match known.0 {
            Some(id) => id,
            None => self.intern_name(name)?,
        };
        let value = match known.1 {
            Some(id) => id,
            None => self.symbols.intern(value)?.0,
        };
        Some((name, value))
    }

    pub(super) fn intern_name(&mut self, name: &[u8]) -> Option<u32> {
        let (id, is_new) = self.name_texts.intern(name)?;
        if is_new {
            let target = is_target(std::str::from_utf8(name).ok()?, &self.target_labels);
            self.pairs.set_name(id, if target { Class::Target } else { Class::Residual });
        }
        Some(id)
    }

    /// Forgets what was taken up for `labels` before their insertion failed.
    fn forget_unused(&mut self, labels: &Labels, parts: &Parts) {
        let shape = self.shapes.find(&parts.shape).filter(|id| !self.pairs.has_shape(*id));
        let entity = self.entities.find(&parts.entity).filter(|id| !self.pairs.has_entity(*id));
        shape.into_iter().for_each(|id| self.shapes.forget(id));
        entity.into_iter().for_each(|id| self.entities.forget(id));
        for (name, value) in labels.raw_pairs() {
            let value = self.symbols.find(value).filter(|id| !self.pairs.has_symbol(*id));
            value.into_iter().for_each(|id| self.symbols.forget(id));
            let name = self.name_texts.find(name).filter(|id| !self.pairs.has_name(*id));
            name.filter(|id| *id != METRIC_NAME_ID)
                .into_iter()
                .for_each(|id| self.name_texts.forget(id));
        }
    }

    /// The place of the series `labels`, if it is here.
    #[must_use]
    pub fn get(&self, labels: &Labels) -> Option<SeriesOrd> {
        let mut parts = Parts::default();
        parts.clear();
        for (name, value) in labels.raw_pairs() {
            let name_id = self.name_texts.find(name)?;
            let value = self.symbols.find(value)?;
            parts.push(self.pairs.name(name_id)?.class, name_id, value, 0);
        }
        let entity = self.entities.find(&parts.entity)?;
        let shape = self.shapes.find(&parts.shape)?;
        parts.set_head(entity, shape);
        self.rows.find(&parts.row).map(SeriesOrd)
    }

    /// The label set of a series; empty when no series has this place.
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

    /// The labels of an entity; none when it has no series.
    #[must_use]
    pub fn entity_labels(&self, entity: EntityId) -> Labels {
        let pairs = super::pairs::entity_pairs(self.entity_run(entity));
        Labels::from_pairs(pairs.map(|(name, value)| (self.name_text(name), self.symbol(value))))
    }

    /// Whether an entity has series and the label `name`.
    #[must_use]
    pub fn entity_has(&self, entity: EntityId, name: &str) -> bool {
        let mut pairs = super::pairs::entity_pairs(self.entity_run(entity));
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

    /// Removes a series: its place, and what only it had, may be given to others. `None` when it was not
    /// here.
    pub fn remove(&mut self, ord: SeriesOrd) -> Option<Removed> {
        let Self { name_texts, symbols, entities, shapes, rows, pairs, gone, .. } = self;
        let row = row(rows, entities, shapes, ord.0)?;
        let (entity, shape) = (row.entity, row.shape);
        gone.clear();
        pairs.remove(ord.0, row, gone);
        rows.forget(ord.0);
        rows.blank(ord.0, NO_ENTITY);
        if gone.entity {
            entities.forget(entity);
        }
        if gone.shape {
            shapes.forget(shape);
        }
        gone.symbols.iter().for_each(|id| symbols.forget(*id));
        gone.names.iter().for_each(|id| name_texts.forget(*id));
        let entity_gone = gone.entity;
        self.removed.insert(ord.0);
        self.before.forget();
        Some(Removed { entity: EntityId(entity), entity_gone })
    }

    /// Removes all series but those in `kept`; answers how many went. The lowest places are given again
    /// first.
    pub fn retain(&mut self, kept: &RoaringBitmap) -> u64 {
        let gone = self.live() - kept;
        // The place freed last is given first: neighbours then come from one target again.
        gone.iter().rev().filter(|ord| self.remove(SeriesOrd(*ord)).is_some()).count() as u64
    }

    /// The series that are here.
    #[must_use]
    pub fn live(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.ord_end());
        all - &self.removed
    }

    /// Number of series that are here.
    #[must_use]
    pub fn n_series(&self) -> u64 {
        self.rows.len() as u64
    }

    /// All places, those of removed series included, are below this.
    #[must_use]
    pub fn ord_end(&self) -> u32 {
        // Never more than u32::MAX numbers are given.
        self.rows.end() as u32
    }

    /// Number of entities that have series.
    #[must_use]
    pub fn n_entities(&self) -> u32 {
        self.entities.len() as u32
    }

    /// All numbers of entities, those without series included, are below this.
    #[must_use]
    pub fn entity_end(&self) -> u32 {
        self.entities.end() as u32
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
        let removed = self.removed.statistics();
        let removed = removed.n_bytes_array_containers + removed.n_bytes_bitset_containers;
        (tables + self.pairs.bytes()) as u64 + self.symbol_bytes() + removed
    }

    /// Bytes of label names and values with their tables.
    #[must_use]
    pub fn symbol_bytes(&self) -> u64 {
        (self.symbols.bytes() + self.name_texts.bytes()) as u64
    }

    pub(super) fn row(&self, ord: u32) -> Option<Row<'_>> {
        row(&self.rows, &self.entities, &self.shapes, ord)
    }

    fn entity_run(&self, entity: EntityId) -> &[u32] {
        if self.pairs.has_entity(entity.0) { self.entities.get(entity.0) } else { &[] }
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
    if entity == NO_ENTITY {
        return None;
    }
    let (entity_labels, shape_labels) = (entities.get(entity), shapes.get(shape));
    Some(Row { entity, shape, entity_labels, shape_labels, residual })
}
