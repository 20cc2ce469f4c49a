//! Columns of the tables, and how each is written.
//!
//! Strings are dictionaries. Floats of rows are split into streams of bytes, times and samples are plain values, all under
//! zstd: a dictionary of them would be longer by a third. Statistics stand where a reader can leave something out by them: the sort order and the
//! promoted labels.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, Encoding, Type as PhysicalType, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, SchemaDescriptor, TypePtr};

use super::period::Tier;

/// Version of the tables, told in every file.
pub const HISTORY_VERSION: u32 = 3;

/// Labels that have a column of their own beside the map: engines leave files and pages out by them.
pub const PROMOTED_LABELS: [&str; 6] =
    ["cluster", "region", "namespace", "service", "job", "instance"];

/// Rows of a row group at most.
pub const ROW_GROUP_ROWS: usize = 262_144;
/// Rows of a page at most.
pub const PAGE_ROWS: usize = 8_192;
/// Rows of a page in the table of samples, all of a row group: the series of a target have the same times, which are
/// found again only within a page. Metrics and ids, by which pages are left out, keep to [`PAGE_ROWS`].
pub const RAW_PAGE_ROWS: usize = 262_144;
/// Resets of which a row keeps the values. What is reset more often than that is no counter: a gauge that
/// goes down every minute would fill the column and be of no use to `increase`.
pub const RESETS_TOLD_MAX: usize = 16;
/// Level of zstd.
pub const ZSTD_LEVEL: i32 = 3;
/// Bytes up to which the values of a label are kept in a dictionary.
const DICTIONARY_BYTES: usize = 4 << 20;
/// Of so many look-ups of an absent series one may read the column in vain.
const BLOOM_FALSE: f64 = 0.01;

/// What every table begins with. The schemas are in the order in which columns are written. Numbers are field ids:
/// never given twice, in no table.
macro_rules! keys {
    () => {
        "
  REQUIRED BYTE_ARRAY tenant (STRING) = 1;
  REQUIRED BYTE_ARRAY metric (STRING) = 2;
  REQUIRED INT64 series_id = 3;
  REQUIRED INT64 ts (TIMESTAMP(MICROS,true)) = 4;
  REQUIRED group labels (MAP) = 5 {
    REPEATED group key_value {
      REQUIRED BYTE_ARRAY key (STRING) = 6;
      REQUIRED BYTE_ARRAY value (STRING) = 7;
    }
  }
  OPTIONAL BYTE_ARRAY cluster (STRING) = 8;
  OPTIONAL BYTE_ARRAY region (STRING) = 9;
  OPTIONAL BYTE_ARRAY namespace (STRING) = 10;
  OPTIONAL BYTE_ARRAY service (STRING) = 11;
  OPTIONAL BYTE_ARRAY job (STRING) = 12;
  OPTIONAL BYTE_ARRAY instance (STRING) = 13;
"
    };
}

/// The rollup tables.
const ROLLUP: &str = concat!(
    "message rollup {",
    keys!(),
    "
  REQUIRED INT64 count = 14;
  OPTIONAL INT64 first_ts (TIMESTAMP(MICROS,true)) = 15;
  OPTIONAL DOUBLE first = 16;
  OPTIONAL INT64 last_ts (TIMESTAMP(MICROS,true)) = 17;
  OPTIONAL DOUBLE last = 18;
  OPTIONAL DOUBLE min = 19;
  OPTIONAL DOUBLE max = 20;
  OPTIONAL DOUBLE sum = 21;
  OPTIONAL DOUBLE sum_c = 22;
  OPTIONAL DOUBLE inc = 23;
  REQUIRED INT64 resets = 24;
  OPTIONAL DOUBLE reset_sum = 25;
  OPTIONAL group reset_prev (LIST) = 26 {
    REPEATED group list {
      REQUIRED DOUBLE element = 27;
    }
  }
  REQUIRED INT64 changes = 28;
  OPTIONAL INT64 stale_ts (TIMESTAMP(MICROS,true)) = 29;
  OPTIONAL INT64 prev_ts (TIMESTAMP(MICROS,true)) = 30;
  OPTIONAL DOUBLE prev = 31;
  OPTIONAL INT64 min_ts (TIMESTAMP(MICROS,true)) = 32;
  OPTIONAL INT64 max_ts (TIMESTAMP(MICROS,true)) = 33;
  REQUIRED BOOLEAN whole = 34;
  REQUIRED INT64 histograms = 35;
}
"
);

/// The table of samples.
const RAW: &str = concat!(
    "message raw {",
    keys!(),
    "
  REQUIRED DOUBLE value = 36;
  OPTIONAL BOOLEAN stale = 37;
}
"
);

/// Places of the columns that are read one by one, counting what has values.
pub(super) mod leaf {
    pub(in crate::history) const METRIC: usize = 1;
    pub(in crate::history) const SERIES_ID: usize = 2;
    pub(in crate::history) const TS: usize = 3;
    pub(in crate::history) const LABEL_KEY: usize = 4;
    /// In the table of samples.
    pub(in crate::history) const VALUE: usize = 12;
    /// In the table of series, with the two behind it.
    pub(in crate::history) const TYPE: usize = 12;
    pub(in crate::history) const FIRST_SEEN: usize = 15;
    pub(in crate::history) const LAST_SEEN: usize = 16;
    pub(in crate::history) const COUNT: usize = 12;
    pub(in crate::history) const FIRST_TS: usize = 13;
    pub(in crate::history) const FIRST: usize = 14;
    pub(in crate::history) const LAST_TS: usize = 15;
    pub(in crate::history) const LAST: usize = 16;
    pub(in crate::history) const MIN: usize = 17;
    pub(in crate::history) const MAX: usize = 18;
    pub(in crate::history) const SUM: usize = 19;
    pub(in crate::history) const SUM_C: usize = 20;
    pub(in crate::history) const RESETS: usize = 22;
    pub(in crate::history) const RESET_SUM: usize = 23;
    pub(in crate::history) const RESET_PREV: usize = 24;
    pub(in crate::history) const CHANGES: usize = 25;
    pub(in crate::history) const STALE_TS: usize = 26;
    pub(in crate::history) const PREV_TS: usize = 27;
    pub(in crate::history) const PREV: usize = 28;
    pub(in crate::history) const MIN_TS: usize = 29;
    pub(in crate::history) const MAX_TS: usize = 30;
    pub(in crate::history) const N_HISTOGRAMS: usize = 32;
}

/// The table of series.
const SERIES_MESSAGE: &str = concat!(
    "message series {",
    keys!(),
    "
  OPTIONAL BYTE_ARRAY type (STRING) = 38;
  OPTIONAL BYTE_ARRAY unit (STRING) = 39;
  OPTIONAL BYTE_ARRAY help (STRING) = 40;
  REQUIRED INT64 first_seen (TIMESTAMP(MICROS,true)) = 41;
  REQUIRED INT64 last_seen (TIMESTAMP(MICROS,true)) = 42;
}
"
);

type Schema = LazyLock<std::result::Result<TypePtr, String>>;

fn parsed(text: &str) -> std::result::Result<TypePtr, String> {
    parse_message_type(text).map(Arc::new).map_err(|error| error.to_string())
}

static ROLLUP_SCHEMA: Schema = LazyLock::new(|| parsed(ROLLUP));
static RAW_SCHEMA: Schema = LazyLock::new(|| parsed(RAW));
static SERIES_SCHEMA: Schema = LazyLock::new(|| parsed(SERIES_MESSAGE));

/// The schema of a table.
pub(super) fn schema(tier: Tier) -> Result<TypePtr> {
    let schema = match tier {
        Tier::Raw => &RAW_SCHEMA,
        Tier::Series => &SERIES_SCHEMA,
        Tier::FiveMinutes | Tier::Hour | Tier::Day => &ROLLUP_SCHEMA,
    };
    (**schema).clone().map_err(parquet::errors::ParquetError::General)
}

/// Columns in which a value repeats so often that a dictionary is shorter than zstd alone.
const DICTIONARIES: [&str; 14] = [
    "tenant",
    "metric",
    "labels.key_value.key",
    "labels.key_value.value",
    "cluster",
    "region",
    "namespace",
    "service",
    "job",
    "instance",
    "count",
    "resets",
    "changes",
    "histograms",
];

/// How the columns of a table are written; `told` goes to the file's footer, `n_series` sizes the filter of their ids.
pub(super) fn properties(
    tier: Tier,
    told: Vec<KeyValue>,
    n_series: u64,
) -> Result<WriterProperties> {
    let descriptor = SchemaDescriptor::new(schema(tier)?);
    let place = |name: &str| {
        let columns = descriptor.columns().iter();
        columns.map(|column| column.path().string()).position(|path| path == name).unwrap_or(0)
    };
    let sorted = ["metric", "series_id", "ts"].map(|name| SortingColumn {
        column_idx: i32::try_from(place(name)).unwrap_or(i32::MAX),
        descending: false,
        nulls_first: false,
    });
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("nines version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(sorted.to_vec()))
        .set_key_value_metadata(Some(told));
    let series_texts: &[&str] = if tier == Tier::Series { &["type", "unit", "help"] } else { &[] };
    for name in DICTIONARIES.iter().chain(series_texts) {
        let path = ColumnPath::from(name.split('.').map(str::to_owned).collect::<Vec<_>>());
        builder = builder
            .set_column_dictionary_enabled(path.clone(), true)
            .set_column_dictionary_page_size_limit(path, DICTIONARY_BYTES);
    }
    for column in descriptor.columns() {
        if tier != Tier::Raw && column.physical_type() == PhysicalType::DOUBLE {
            let path = column.path().clone();
            builder = builder.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
        }
    }
    if tier == Tier::Raw {
        builder = builder
            .set_data_page_row_count_limit(RAW_PAGE_ROWS)
            .set_data_page_size_limit(RAW_PAGE_ROWS * size_of::<i64>());
        for name in ["metric", "series_id"] {
            let path = ColumnPath::from(name);
            builder = builder.set_column_data_page_row_count_limit(path, PAGE_ROWS);
        }
    }
    let pruned = ["tenant", "metric", "series_id", "ts"].into_iter().chain(PROMOTED_LABELS);
    for name in pruned {
        builder =
            builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    let id = ColumnPath::from("series_id");
    Ok(builder
        .set_column_bloom_filter_enabled(id.clone(), true)
        .set_column_bloom_filter_fpp(id.clone(), BLOOM_FALSE)
        .set_column_bloom_filter_max_ndv(id, n_series.max(1))
        .build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_field_has_an_id_of_its_own() {
        fn collect(field: &TypePtr, ids: &mut Vec<i32>) {
            let info = field.get_basic_info();
            if info.has_id() {
                ids.push(info.id());
            }
            if field.is_group() {
                field.get_fields().iter().for_each(|field| collect(field, ids));
            }
        }
        let mut ids = Vec::new();
        collect(&schema(Tier::Hour).unwrap(), &mut ids);
        ids.sort_unstable();
        assert_eq!(ids, (1..=35).collect::<Vec<_>>());
        let mut ids = Vec::new();
        collect(&schema(Tier::Raw).unwrap(), &mut ids);
        assert_eq!(ids, (1..=13).chain([36, 37]).collect::<Vec<_>>());
        ids.clear();
        collect(&schema(Tier::Series).unwrap(), &mut ids);
        assert_eq!(ids, (1..=13).chain(38..=42).collect::<Vec<_>>());
    }

    #[test]
    fn columns_stand_in_their_places() {
        let descriptor = SchemaDescriptor::new(schema(Tier::Hour).unwrap());
        let path = |at: usize| descriptor.column(at).path().string();
        for (at, name) in [
            (leaf::METRIC, "metric"),
            (leaf::SERIES_ID, "series_id"),
            (leaf::TS, "ts"),
            (leaf::LABEL_KEY, "labels.key_value.key"),
            (leaf::COUNT, "count"),
            (leaf::FIRST_TS, "first_ts"),
            (leaf::FIRST, "first"),
            (leaf::LAST_TS, "last_ts"),
            (leaf::LAST, "last"),
            (leaf::MIN, "min"),
            (leaf::MAX, "max"),
            (leaf::SUM, "sum"),
            (leaf::SUM_C, "sum_c"),
            (leaf::RESETS, "resets"),
            (leaf::RESET_SUM, "reset_sum"),
            (leaf::RESET_PREV, "reset_prev.list.element"),
            (leaf::CHANGES, "changes"),
            (leaf::STALE_TS, "stale_ts"),
            (leaf::PREV_TS, "prev_ts"),
            (leaf::PREV, "prev"),
            (leaf::MIN_TS, "min_ts"),
            (leaf::MAX_TS, "max_ts"),
            (leaf::N_HISTOGRAMS, "histograms"),
        ] {
            assert_eq!(path(at), name);
        }
    }

    #[test]
    fn named_columns_exist() {
        let descriptor = SchemaDescriptor::new(schema(Tier::Hour).unwrap());
        let paths: Vec<String> = descriptor.columns().iter().map(|c| c.path().string()).collect();
        for name in DICTIONARIES.into_iter().chain(PROMOTED_LABELS) {
            assert!(paths.iter().any(|path| path == name), "{name} in {paths:?}");
        }
    }
}
