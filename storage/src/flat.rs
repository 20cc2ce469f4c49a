//! Flat tables as Parquet files in memory: rows for a report, not for the store.

use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::error::{Error, Result};

/// Rows of a flat table at most.
pub const FLAT_ROWS_MAX: usize = 1 << 22;

/// A column; each has a value or none per row.
#[derive(Debug, Clone)]
pub enum FlatColumn {
    /// Texts.
    Text(Vec<Option<String>>),
    /// Floats.
    Float(Vec<Option<f64>>),
    /// Integers.
    Integer(Vec<Option<i64>>),
    /// Yes or no.
    Truth(Vec<Option<bool>>),
    /// Milliseconds since the epoch.
    Time(Vec<Option<i64>>),
}

impl FlatColumn {
    fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Integer(values) | Self::Time(values) => values.len(),
            Self::Truth(values) => values.len(),
        }
    }

    const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Text(_) => ("BYTE_ARRAY", " (STRING)"),
            Self::Float(_) => ("DOUBLE", ""),
            Self::Integer(_) => ("INT64", ""),
            Self::Truth(_) => ("BOOLEAN", ""),
            Self::Time(_) => ("INT64", " (TIMESTAMP(MILLIS,true))"),
        }
    }
}

/// The bytes of a Parquet file with these columns, which are called by words of letters, digits and underscores and
/// are of one length.
pub fn flat_table(columns: &[(&str, FlatColumn)]) -> Result<Vec<u8>> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let is_word = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if let Some((name, _)) =
        columns.iter().find(|(name, column)| !is_word(name) || column.len() != rows)
    {
        return Err(Error::Invalid {
            what: format!("the column {name:?} does not fit to the table"),
        });
    }
    if rows > FLAT_ROWS_MAX {
        return Err(Error::Limit {
            limit: "FLAT_ROWS_MAX",
            what: "a table would have too many rows",
            max: FLAT_ROWS_MAX as u64,
        });
    }
    write(columns)
        .map_err(|cause| Error::io("write", "a table".as_ref(), std::io::Error::other(cause)))
}

fn write(columns: &[(&str, FlatColumn)]) -> ParquetResult<Vec<u8>> {
    let mut schema = "message rows {".to_owned();
    for (name, column) in columns {
        let (kind, annotation) = column.kind();
        schema.push_str(&format!(" OPTIONAL {kind} {name}{annotation};"));
    }
    schema.push('}');
    let properties = WriterProperties::builder()
        .set_created_by(concat!("nines version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let schema = Arc::new(parse_message_type(&schema)?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, column) in columns {
        match column {
            FlatColumn::Text(values) => {
                let texts = values.iter().flatten().map(|text| ByteArray::from(text.as_str()));
                put::<ByteArrayType>(&mut group, &texts.collect::<Vec<_>>(), values)?;
            }
            FlatColumn::Float(values) => put::<DoubleType>(&mut group, &own(values), values)?,
            FlatColumn::Integer(values) | FlatColumn::Time(values) => {
                put::<Int64Type>(&mut group, &own(values), values)?;
            }
            FlatColumn::Truth(values) => put::<BoolType>(&mut group, &own(values), values)?,
        }
    }
    group.close()?;
    file.into_inner()
}

fn own<T: Copy>(values: &[Option<T>]) -> Vec<T> {
    values.iter().flatten().copied().collect()
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    rows: &[Option<impl Sized>],
) -> ParquetResult<()> {
    let defined: Vec<i16> = rows.iter().map(|value| i16::from(value.is_some())).collect();
    let missing =
        || ParquetError::General("the schema has fewer columns than the table".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, Some(&defined), None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn a_table_is_read_back() {
        let columns = [
            ("name", FlatColumn::Text(vec![Some("a".to_owned()), None])),
            ("share", FlatColumn::Float(vec![None, Some(0.5)])),
            ("bad", FlatColumn::Integer(vec![Some(3), Some(-1)])),
            ("met", FlatColumn::Truth(vec![Some(true), None])),
            ("at", FlatColumn::Time(vec![Some(1000), Some(0)])),
        ];
        let file = flat_table(&columns).unwrap();
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let rows: Vec<String> =
            reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{name: \"a\", share: null, bad: 3, met: true, at: 1970-01-01 00:00:01.000 +00:00}",
                "{name: null, share: 0.5, bad: -1, met: null, at: 1970-01-01 00:00:00.000 +00:00}"
            ]
        );
        assert!(flat_table(&[]).is_ok());
    }

    #[test]
    fn columns_have_one_length_and_plain_names() {
        let one = || FlatColumn::Integer(vec![None]);
        assert!(flat_table(&[("a", one()), ("b", FlatColumn::Integer(vec![]))]).is_err());
        assert!(flat_table(&[("a; OPTIONAL", one())]).is_err());
    }
}
