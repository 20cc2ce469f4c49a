//! Series in memory, to ask queries of.

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use nines::promql::SampleValue as Sample;
use nines_storage::Result;
use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints, SeriesSet};

/// A store of samples by series and time; a later sample replaces an earlier one of the same time.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    series: BTreeMap<Labels, BTreeMap<i64, Sample>>,
}

impl Memory {
    pub(crate) fn add(&mut self, labels: &Labels, ts: i64, sample: Sample) {
        self.series.entry(labels.clone()).or_default().insert(ts, sample);
    }
}

struct Selected<'a>(Vec<(&'a Labels, &'a BTreeMap<i64, Sample>)>);

impl Queryable for Memory {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        _: TimeRange,
        _: &SelectHints,
        _: &Budget,
    ) -> Result<Box<dyn SeriesSet + 'a>> {
        let fits = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
        Ok(Box::new(Selected(self.series.iter().filter(|s| fits(s.0)).collect())))
    }
}

impl SeriesSet for Selected<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        self.0[i].0
    }

    fn read(
        &self,
        i: usize,
        range: TimeRange,
        budget: &Budget,
        out: &mut SeriesData,
    ) -> Result<()> {
        out.clear();
        if range.min <= range.max {
            for (&ts, sample) in self.0[i].1.range(range.min..=range.max) {
                match sample {
                    Sample::Float(value) => {
                        out.ts.push(ts);
                        out.values.push(*value);
                    }
                    Sample::Histogram(histogram) => {
                        out.histograms.push((ts, Arc::clone(histogram)))
                    }
                }
            }
        }
        budget.count_read(out.len() as u64)
    }
}
