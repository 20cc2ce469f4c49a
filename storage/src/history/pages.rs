//! Which pages of a file may hold rows of a series or a metric, by what the file tells of them: rows are sorted by
//! metric and id, and their statistics say which lie in a page.

use parquet::basic::Type;
use parquet::data_type::AsBytes;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::index_reader::decode_column_index;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::statistics::Statistics;

use super::packed::Span;
use super::reader::{RowFile, short};
use super::schema::leaf;

/// Metrics whose rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Metrics {
    /// Any.
    All,
    /// These.
    Named(Vec<String>),
    /// Those that begin so.
    Beginning(String),
}

impl Metrics {
    /// Whether some may lie between two names, themselves included.
    fn are_between(&self, min: &[u8], max: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => {
                names.iter().any(|name| min <= name.as_bytes() && name.as_bytes() <= max)
            }
            Self::Beginning(prefix) => {
                max >= prefix.as_bytes()
                    && (min <= prefix.as_bytes() || min.starts_with(prefix.as_bytes()))
            }
        }
    }
}

/// The least and the greatest of a page or more; what is not told is wide enough for all.
#[derive(Debug, Clone)]
struct Bounds {
    /// Places of metrics in the list of names.
    metrics: Option<(u32, u32)>,
    ids: (i64, i64),
}

/// A part of the values of a column, from its first row on.
struct Told<T> {
    first: usize,
    bounds: Option<(T, T)>,
}

/// What a file tells of its spans.
#[derive(Debug, Default)]
pub(super) struct Pages {
    bounds: Vec<Bounds>,
    /// Metrics that begin or end a span, in the order of the file.
    names: Vec<Box<[u8]>>,
}

impl Pages {
    /// Reads it for `spans`, those of `file`.
    pub(super) fn read(file: &RowFile, spans: &[Span]) -> Result<Self> {
        let mut this = Self::default();
        for group in spans.chunk_by(|a, b| a.group == b.group) {
            let Some(number) = group.first().map(|span| span.group) else { continue };
            let several = group.len() > 1;
            let metrics =
                told(file, number, leaf::METRIC, several, |bytes| Some(Box::from(bytes)))?;
            let ids = told(file, number, leaf::SERIES_ID, several, id)?;
            for span in group {
                let rows = span.from..span.from + span.n;
                let metrics = united(&metrics, &rows);
                let metrics = metrics.map(|(min, max)| (this.name(min), this.name(max)));
                let ids =
                    united(&ids, &rows).map_or((i64::MIN, i64::MAX), |(min, max)| (*min, *max));
                this.bounds.push(Bounds { metrics, ids });
            }
        }
        Ok(this)
    }

    fn name(&mut self, name: &[u8]) -> u32 {
        if self.names.last().is_none_or(|last| **last != *name) {
            self.names.push(Box::from(name));
        }
        self.names.len() as u32 - 1
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let names: usize = self.names.iter().map(|name| name.len() + size_of::<Box<[u8]>>()).sum();
        (self.bounds.len() * size_of::<Bounds>() + names) as u64
    }

    fn metrics(&self, bounds: &Bounds) -> Option<(&[u8], &[u8])> {
        let name = |at: u32| self.names.get(at as usize).map(|name| &**name);
        let (min, max) = bounds.metrics?;
        Some((name(min)?, name(max)?))
    }

    /// The spans that may hold rows of a series, ascending.
    pub(super) fn of_series(&self, metric: &str, id: i64) -> impl Iterator<Item = usize> {
        let metric = metric.as_bytes();
        // Alone, it is looked into at once.
        let one = self.bounds.len() == 1;
        let before = |bounds: &Bounds| self.metrics(bounds).is_some_and(|(_, max)| max < metric);
        let first = if one { 0 } else { self.bounds.partition_point(before) };
        let rest = self.bounds.get(first..).unwrap_or_default().iter();
        let fits = move |bounds: &Bounds| (bounds.ids.0..=bounds.ids.1).contains(&id);
        rest.enumerate()
            .take_while(move |(_, bounds)| {
                one || self.metrics(bounds).is_none_or(|(min, _)| min <= metric)
            })
            .filter(move |(_, bounds)| fits(bounds))
            .map(move |(at, _)| first + at)
    }

    /// The spans that may hold rows of some metrics, ascending.
    pub(super) fn of_metrics(&self, wanted: &Metrics) -> impl Iterator<Item = usize> {
        let fits = move |bounds: &Bounds| {
            self.metrics(bounds).is_none_or(|(min, max)| wanted.are_between(min, max))
        };
        self.bounds.iter().enumerate().filter(move |(_, bounds)| fits(bounds)).map(|(at, _)| at)
    }
}

fn id(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

/// What the parts of a column that reach into `rows` tell together; `None` where one tells nothing.
fn united<'t, T: Ord>(
    told: &'t [Told<T>],
    rows: &std::ops::Range<usize>,
) -> Option<(&'t T, &'t T)> {
    let from = told.partition_point(|part| part.first <= rows.start).saturating_sub(1);
    let mut all: Option<(&T, &T)> = None;
    for part in told.get(from..)?.iter().take_while(|part| part.first < rows.end) {
        let (min, max) = part.bounds.as_ref()?;
        all = Some(all.map_or((min, max), |all| (all.0.min(min), all.1.max(max))));
    }
    all
}

/// What is told of a column in a row group: of each page where there are several spans, else of all rows.
fn told<T>(
    file: &RowFile,
    group: usize,
    leaf: usize,
    several: bool,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<Told<T>>> {
    let column = file.column_chunk(group, leaf)?;
    if let Some(index) = several.then(|| page_index(file, column)).transpose()?.flatten() {
        let locations = file.locations(column)?.ok_or_else(|| short("pages"))?;
        let part = |(at, location): (usize, &PageLocation)| {
            let first = usize::try_from(location.first_row_index).map_err(|_| short("rows"))?;
            let bounds =
                bounds_at(&index, at).and_then(|(min, max)| Some((read(&min)?, read(&max)?)));
            Ok(Told { first, bounds })
        };
        return locations.iter().enumerate().map(part).collect();
    }
    let bounds = column.statistics().and_then(|told: &Statistics| {
        Some((read(told.min_bytes_opt()?)?, read(told.max_bytes_opt()?)?))
    });
    Ok(vec![Told { first: 0, bounds }])
}

fn page_index(file: &RowFile, column: &ColumnChunkMetaData) -> Result<Option<ColumnIndexMetaData>> {
    let Some(range) = column.column_index_range() else { return Ok(None) };
    let bytes = file.range(range)?;
    let known = matches!(column.column_type(), Type::BYTE_ARRAY | Type::INT64);
    known.then(|| decode_column_index(&bytes, column.column_type())).transpose()
}

/// The least and the greatest value of a page, as bytes.
fn bounds_at(index: &ColumnIndexMetaData, at: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) if (at as u64) < index.num_pages() => {
            Some((index.min_value(at)?.to_vec(), index.max_value(at)?.to_vec()))
        }
        ColumnIndexMetaData::INT64(index) if (at as u64) < index.num_pages() => Some((
            index.min_value(at)?.as_bytes().to_vec(),
            index.max_value(at)?.as_bytes().to_vec(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(all: &[(&str, &str, i64, i64)]) -> Pages {
        let mut pages = Pages::default();
        for (min, max, least, greatest) in all {
            let metrics = Some((pages.name(min.as_bytes()), pages.name(max.as_bytes())));
            pages.bounds.push(Bounds { metrics, ids: (*least, *greatest) });
        }
        pages
    }

    #[test]
    fn a_series_is_looked_for_where_metric_and_id_fit() {
        let pages = pages(&[
            ("a", "b", -9, 9),
            ("b", "b", -9, -1),
            ("b", "b", 0, 5),
            ("b", "d", -5, 9),
            ("d", "e", 0, 9),
        ]);
        let of = |metric: &str, id: i64| pages.of_series(metric, id).collect::<Vec<_>>();
        assert_eq!(of("b", -3), [0, 1, 3]);
        assert_eq!(of("b", 5), [0, 2, 3]);
        assert_eq!(of("b", -9), [0, 1]);
        assert_eq!(of("c", 0), [3]);
        assert_eq!(of("d", 7), [3, 4]);
        assert_eq!(of("f", 0), [0usize; 0]);
        assert_eq!(of("", 0), [0usize; 0]);
    }

    #[test]
    fn metrics_are_looked_for_where_their_names_may_be() {
        let pages = pages(&[("a", "bb", 0, 0), ("bc", "c", 0, 0), ("d_x", "d_z", 0, 0)]);
        let of = |metrics: Metrics| pages.of_metrics(&metrics).collect::<Vec<_>>();
        let named = |names: &[&str]| of(Metrics::Named(names.iter().map(|&n| n.into()).collect()));
        assert_eq!(of(Metrics::All), [0, 1, 2]);
        assert_eq!(named(&["c"]), [1]);
        assert_eq!(named(&["b", "d_y"]), [0, 2]);
        assert_eq!(named(&["cc"]), [0usize; 0]);
        assert_eq!(of(Metrics::Beginning("b".into())), [0, 1]);
        assert_eq!(of(Metrics::Beginning("d".into())), [2]);
        assert_eq!(of(Metrics::Beginning("d_".into())), [2]);
        assert_eq!(of(Metrics::Beginning("d_y".into())), [2]);
        assert_eq!(of(Metrics::Beginning("e".into())), [0usize; 0]);
    }
}
