//! Writes one file of a tier.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;

use super::columns::RowColumns;
use super::keys::{SeriesText, TableColumns};
use super::known::{KnownColumns, KnownSeries};
use super::period::{Part, Tier};
use super::raw::RawColumns;
use super::row::SeriesRows;
use super::schema::{HISTORY_VERSION, ROW_GROUP_ROWS, properties, schema};
use crate::disk::{Disk, DiskFile};
use crate::error::{Error, Result};
use crate::model::Labels;

/// What a written file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// Rows.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Checksum of all bytes.
    pub crc32: u32,
    /// End of the earliest window.
    pub min_ts: i64,
    /// End of the latest window.
    pub max_ts: i64,
}

/// What a file says about itself in its footer.
#[derive(Debug, Clone)]
pub(super) struct FileTold<'a> {
    /// Whose samples.
    pub tenant: &'a str,
    /// Of which resolution.
    pub tier: Tier,
    /// Of which day or month.
    pub part: Part,
    /// How often its file was written.
    pub revision: u32,
}

/// A file that is written from its beginning to its end, with its checksum.
struct Sink {
    file: Box<dyn DiskFile>,
    written: u64,
    crc: crc32fast::Hasher,
    /// Why it failed: the Parquet writer would make a text of it.
    failed: Arc<Mutex<Option<Error>>>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.file.write_at(self.written, bytes) {
            *self.failed.lock() = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        self.written += bytes.len() as u64;
        self.crc.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file in the making. Series come in the order of the table: by metric, id and labels.
pub(super) struct FileWriter<C> {
    path: PathBuf,
    parquet: SerializedFileWriter<Sink>,
    failed: Arc<Mutex<Option<Error>>>,
    columns: C,
    facts: FileFacts,
    tenant: String,
}

impl<C: TableColumns> FileWriter<C> {
    /// Begins the file `path`. `n_series` is how many there will be at most.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        told: &FileTold<'_>,
        n_series: u64,
    ) -> Result<Self> {
        let failed = Arc::default();
        let file = disk.create(path)?;
        let crc = crc32fast::Hasher::new();
        let sink = Sink { file, written: 0, crc, failed: Arc::clone(&failed) };
        let key = |name: &str, value: String| KeyValue::new(format!("nines.{name}"), value);
        let told_keys = vec![
            key("version", HISTORY_VERSION.to_string()),
            key("tenant", told.tenant.to_owned()),
            key("table", told.tier.to_string()),
            key(told.part.name(), told.part.to_string()),
            key("revision", told.revision.to_string()),
        ];
        let parquet = schema(told.tier)
            .and_then(|schema| {
                let properties = Arc::new(properties(told.tier, told_keys, n_series)?);
                SerializedFileWriter::new(sink, schema, properties)
            })
            .map_err(|cause| failure(path, &failed, cause))?;
        let facts = FileFacts {
            rows: 0,
            series: 0,
            bytes: 0,
            crc32: 0,
            min_ts: i64::MAX,
            max_ts: i64::MIN,
        };
        Ok(Self {
            path: path.to_owned(),
            parquet,
            failed,
            columns: C::new(told.tenant),
            facts,
            tenant: told.tenant.to_owned(),
        })
    }

    /// Counts a row whose window ends at `end_ms`, which the columns hold.
    fn count(&mut self, end_ms: i64) {
        self.facts.rows += 1;
        self.facts.min_ts = self.facts.min_ts.min(end_ms);
        self.facts.max_ts = self.facts.max_ts.max(end_ms);
    }

    fn end_full_group(&mut self) -> Result<()> {
        if self.columns.len() >= ROW_GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<()> {
        let columns = std::mem::replace(&mut self.columns, C::new(&self.tenant));
        let write = |parquet: &mut SerializedFileWriter<Sink>| {
            let mut group = parquet.next_row_group()?;
            columns.write(&mut group)?;
            group.close().map(drop)
        };
        write(&mut self.parquet).map_err(|cause| failure(&self.path, &self.failed, cause))
    }

    /// Writes the rest and makes the contents durable; the name still needs its folder synced.
    pub(super) fn finish(mut self) -> Result<FileFacts> {
        if self.columns.len() > 0 {
            self.end_group()?;
        }
        self.parquet.finish().map_err(|cause| failure(&self.path, &self.failed, cause))?;
        self.parquet.flush().map_err(|cause| {
            failure(&self.path, &self.failed, ParquetError::External(Box::new(cause)))
        })?;
        let sink = self.parquet.inner();
        sink.file.sync_all()?;
        self.facts.bytes = sink.written;
        self.facts.crc32 = sink.crc.clone().finalize();
        Ok(self.facts)
    }
}

impl FileWriter<RowColumns> {
    /// Adds the rows of a series that satisfy `choose`; nothing when there is none.
    pub(super) fn add(&mut self, series: &SeriesRows, choose: impl Fn(i64) -> bool) -> Result<()> {
        let mut text = None;
        for row in series.rows.iter().filter(|row| choose(row.end_ms)) {
            let text = text.get_or_insert_with(|| Arc::new(SeriesText::of(&series.labels)));
            self.columns.push(text, row);
            self.count(row.end_ms);
        }
        self.facts.series += u64::from(text.is_some());
        self.end_full_group()
    }
}

impl FileWriter<RawColumns> {
    /// Adds samples of a series, ascending in time.
    pub(super) fn add(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> Result<()> {
        let text = Arc::new(SeriesText::of(labels));
        for (ts, value) in samples {
            self.columns.push(&text, *ts, *value);
            self.count(*ts);
            self.end_full_group()?;
        }
        self.facts.series += u64::from(!samples.is_empty());
        Ok(())
    }
}

impl FileWriter<KnownColumns> {
    /// Adds what is known of a series on the day that ends at `end_ms`.
    pub(super) fn add(&mut self, end_ms: i64, series: &KnownSeries) -> Result<()> {
        self.columns.push(end_ms, series);
        self.count(end_ms);
        self.facts.series += 1;
        self.end_full_group()
    }
}

/// What the disk said, or what the Parquet writer says.
fn failure(path: &Path, failed: &Mutex<Option<Error>>, cause: ParquetError) -> Error {
    failed.lock().take().unwrap_or_else(|| Error::io("write", path, io::Error::other(cause)))
}
