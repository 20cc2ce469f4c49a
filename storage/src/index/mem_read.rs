//! The index of the head as the resolution of matchers sees it.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::mem::MemIndex;
use super::pairs::{Class, METRIC_NAME_ID, Name};
use super::postings::Postings;
use super::resolve::{LabelIndex, Space};
use crate::error::Result;

impl MemIndex {
    fn name(&self, name: &str) -> Option<&Name> {
        self.pairs.name(self.name_texts.find(name.as_bytes())?)
    }

    /// Adds the series of the shapes in `shapes`.
    fn add_shapes(&self, shapes: &Postings, sum: &mut RoaringBitmap) {
        for shape in shapes.iter() {
            if let Some(series) = self.pairs.shape_series.get(shape as usize) {
                series.add_to(sum);
            }
        }
    }

    /// The series of the shapes in `shapes`.
    pub(super) fn of_shapes<'a>(&'a self, shapes: &'a Postings) -> Cow<'a, RoaringBitmap> {
        if let Postings::One(shape) = shapes
            && let Some(series) = self.pairs.shape_series.get(*shape as usize)
        {
            return series.to_bitmap();
        }
        let mut sum = RoaringBitmap::new();
        self.add_shapes(shapes, &mut sum);
        Cow::Owned(sum)
    }

    /// Series that the holders of a label stand for, counted among `within`.
    fn count(&self, class: Class, holders: &Postings, within: Option<&RoaringBitmap>) -> u64 {
        let count = |series: &Postings| match within {
            None => series.len(),
            Some(within) => u64::from(series.meets(within)),
        };
        let of = |all: &[Postings]| {
            holders.iter().filter_map(|id| all.get(id as usize)).map(count).sum()
        };
        match class {
            Class::Metric => of(&self.pairs.shape_series),
            Class::Target => of(&self.pairs.entity_series),
            Class::Residual => count(holders),
        }
    }
}

impl LabelIndex for MemIndex {
    fn all(&self) -> Result<RoaringBitmap> {
        Ok(self.live())
    }

    fn all_entities(&self) -> Result<RoaringBitmap> {
        let live = self.pairs.entity_series.iter().enumerate().filter(|entry| !entry.1.is_empty());
        Ok(live.map(|(id, _)| id as u32).collect())
    }

    fn space(&self, name: &str) -> Result<Space> {
        Ok(match self.name(name) {
            Some(name) if name.class == Class::Target => Space::Entities,
            _ => Space::Series,
        })
    }

    fn pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>> {
        let found = self.name(name).and_then(|name| {
            Some((name.class, name.values.get(&self.symbols.find(value.as_bytes())?)?))
        });
        Ok(match found {
            None => Cow::Owned(RoaringBitmap::new()),
            Some((Class::Metric, shapes)) => self.of_shapes(shapes),
            Some((_, postings)) => postings.to_bitmap(),
        })
    }

    fn having(&self, name: &str) -> Result<Cow<'_, RoaringBitmap>> {
        Ok(match self.name(name) {
            None => Cow::Owned(RoaringBitmap::new()),
            Some(name) if name.class == Class::Target => name.having.to_bitmap(),
            Some(name) => self.of_shapes(&name.having),
        })
    }

    fn n_values(&self, name: &str) -> Result<usize> {
        Ok(self.name(name).map_or(0, |name| name.values.len()))
    }

    fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap> {
        let mut sum = RoaringBitmap::new();
        let Some(name) = self.name(name) else { return Ok(sum) };
        for (value, postings) in name.values.iter() {
            let value = self.symbol(*value);
            if value.starts_with(prefix) && accept(value) {
                match name.class {
                    Class::Metric => self.add_shapes(postings, &mut sum),
                    Class::Target | Class::Residual => postings.add_to(&mut sum),
                }
            }
        }
        Ok(sum)
    }

    fn for_each_value(
        &self,
        name: &str,
        within: Option<&RoaringBitmap>,
        show: &mut dyn FnMut(&str, u64),
    ) -> Result<()> {
        if let Some(name) = self.name(name) {
            for (value, holders) in name.values.iter() {
                show(self.symbol(*value), self.count(name.class, holders, within));
            }
        }
        Ok(())
    }

    fn for_each_name(&self, show: &mut dyn FnMut(&str)) -> Result<()> {
        for id in 0..self.pairs.names.len() as u32 {
            if self.pairs.has_name(id) {
                show(self.name_text(id));
            }
        }
        Ok(())
    }

    fn for_each_name_of(&self, ord: u32, show: &mut dyn FnMut(&str)) -> Result<()> {
        for (name, _) in self.row(ord).map(|row| row.pairs()).into_iter().flatten() {
            show(self.name_text(name));
        }
        Ok(())
    }

    fn entity(&self, ord: u32) -> Result<u32> {
        Ok(self.row(ord).map_or(u32::MAX, |row| row.entity))
    }

    fn shape(&self, ord: u32) -> Result<u32> {
        Ok(self.row(ord).map_or(u32::MAX, |row| row.shape))
    }

    fn series_of(&self, entities: &RoaringBitmap) -> Result<RoaringBitmap> {
        let mut sum = RoaringBitmap::new();
        for entity in entities {
            if let Some(series) = self.pairs.entity_series.get(entity as usize) {
                series.add_to(&mut sum);
            }
        }
        Ok(sum)
    }

    fn value_of(&self, ord: u32, name: &str) -> Result<&str> {
        let (Some(row), Some(name)) = (self.row(ord), self.name_texts.find(name.as_bytes())) else {
            return Ok("");
        };
        let mut pairs = row.pairs();
        Ok(match name {
            METRIC_NAME_ID => row.metric().map_or("", |value| self.symbol(value)),
            name => pairs.find(|pair| pair.0 == name).map_or("", |pair| self.symbol(pair.1)),
        })
    }
}
