//! The index of a block as the resolution of matchers sees it.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::file::{IndexFile, NameEntry, partition};
use super::mem::EntityId;
use super::pairs::Class;
use super::resolve::{LabelIndex, Space};
use crate::error::Result;
use crate::model::{METRIC_NAME, SeriesOrd};

impl IndexFile {
    /// Members of `within` that a value's postings stand for; all when `None`.
    fn count(&self, name: &NameEntry, i: u32, within: Option<&RoaringBitmap>) -> Result<u64> {
        let holders = self.postings(self.value_at(name, i)?.1, name.class)?;
        let series = if name.class == Class::Target { self.series_of(&holders)? } else { holders };
        Ok(within.map_or(series.len(), |within| series.intersection_len(within)))
    }
}

impl LabelIndex for IndexFile {
    fn all(&self) -> Result<RoaringBitmap> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.n_series());
        Ok(all)
    }

    fn all_entities(&self) -> Result<RoaringBitmap> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.n_entities());
        Ok(all)
    }

    fn space(&self, name: &str) -> Result<Space> {
        let entry = self.find_name(name)?;
        Ok(match entry.map(|entry| entry.class) {
            Some(Class::Target) => Space::Entities,
            _ => Space::Series,
        })
    }

    fn pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>> {
        match self.find_name(name)? {
            None => Ok(Cow::Owned(RoaringBitmap::new())),
            Some(name) => self.pair_postings(&name, value),
        }
    }

    fn having(&self, name: &str) -> Result<Cow<'_, RoaringBitmap>> {
        Ok(Cow::Owned(match self.find_name(name)? {
            None => RoaringBitmap::new(),
            Some(name) => self.postings(name.having, name.class)?,
        }))
    }

    fn n_values(&self, name: &str) -> Result<usize> {
        Ok(self.find_name(name)?.map_or(0, |name| name.n_values as usize))
    }

    fn union_where(
        &self,
        name: &str,
        prefix: &str,
        accept: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap> {
        let mut sum = RoaringBitmap::new();
        let Some(name) = self.find_name(name)? else { return Ok(sum) };
        // Values ascend: those with the prefix are neighbours.
        let first = partition(name.n_values, |i| Ok(self.value_text(&name, i)? < prefix))?;
        for i in first..name.n_values {
            let (symbol, offset) = self.value_at(&name, i)?;
            let value = self.symbol(symbol)?;
            if !value.starts_with(prefix) {
                break;
            }
            if accept(value) {
                sum |= self.postings(offset, name.class)?;
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
        let Some(name) = self.find_name(name)? else { return Ok(()) };
        for i in 0..name.n_values {
            show(self.value_text(&name, i)?, self.count(&name, i, within)?);
        }
        Ok(())
    }

    fn for_each_name(&self, show: &mut dyn FnMut(&str)) -> Result<()> {
        for (name, entry) in self.names()? {
            if entry.n_values > 0 {
                show(name);
            }
        }
        Ok(())
    }

    fn for_each_name_of(&self, ord: u32, show: &mut dyn FnMut(&str)) -> Result<()> {
        self.for_each_pair(ord, &mut |name, _| show(name))
    }

    fn entity(&self, ord: u32) -> Result<u32> {
        Ok(self.entity_of(SeriesOrd(ord))?.0)
    }

    fn shape(&self, ord: u32) -> Result<u32> {
        Ok(self.row(ord)?.shape)
    }

    fn series_of(&self, entities: &RoaringBitmap) -> Result<RoaringBitmap> {
        let mut sum = RoaringBitmap::new();
        for entity in entities {
            sum.insert_range(self.series_of_entity(EntityId(entity))?);
        }
        Ok(sum)
    }

    fn value_of(&self, ord: u32, name: &str) -> Result<&str> {
        let mut found = "";
        let mut look = |n: &str, value| {
            if n == name {
                found = value;
            }
        };
        if name == METRIC_NAME {
            return Ok(self.metric_of(&self.row(ord)?)?.map_or("", |pair| pair.1));
        }
        match self.space(name)? {
            Space::Entities => {
                let entity = self.entity_of(SeriesOrd(ord))?;
                self.for_each_entity_pair(entity.0, &mut look)?;
            }
            Space::Series => self.for_each_residual(self.row(ord)?, &mut look)?,
        }
        Ok(found)
    }
}
