//! What ingest needs of the store: a trait so that its rules can be tested without one.

use nines_storage::model::{Histogram, Labels};
use nines_storage::{
    AppendOutcome, Appender, Db, Exemplar, Metadata, RejectReason, Result, SeriesHandle, SymbolKeys,
};

/// Where a request's content goes.
pub(super) trait Sink {
    /// Names a series inside one batch.
    type Series: Copy;
    fn series_key(&self, raw_labels: &[u8]) -> u128;
    fn symbol_keys(&self) -> &SymbolKeys;
    fn find(&mut self, key: u128) -> Option<Self::Series>;
    fn resolve(
        &mut self,
        key: u128,
        labels: &Labels,
    ) -> std::result::Result<Self::Series, RejectReason>;
    fn sample(&mut self, series: Self::Series, ts: i64, value: f64, start_ts: i64);
    fn histogram(&mut self, series: Self::Series, ts: i64, histogram: Histogram);
    fn exemplar(&mut self, series: Self::Series, exemplar: Exemplar);
    fn knows_metadata(&mut self, key: u128) -> bool;
    fn metadata(&mut self, key: u128, metric: &str, metadata: Metadata);
}

/// The store.
pub(super) struct DbSink<'a> {
    db: &'a Db,
    appender: Appender<'a>,
}

impl<'a> DbSink<'a> {
    pub(super) fn new(db: &'a Db) -> Self {
        Self { db, appender: db.appender() }
    }

    pub(super) fn commit(self, now_ms: i64) -> Result<AppendOutcome> {
        self.appender.commit(now_ms)
    }
}

impl Sink for DbSink<'_> {
    type Series = SeriesHandle;

    #[inline]
    fn series_key(&self, raw_labels: &[u8]) -> u128 {
        self.db.series_key(raw_labels)
    }

    #[inline]
    fn symbol_keys(&self) -> &SymbolKeys {
        self.db.symbol_keys()
    }

    #[inline]
    fn find(&mut self, key: u128) -> Option<SeriesHandle> {
        self.appender.find(key)
    }

    fn resolve(
        &mut self,
        key: u128,
        labels: &Labels,
    ) -> std::result::Result<SeriesHandle, RejectReason> {
        self.appender.resolve(key, labels)
    }

    #[inline]
    fn sample(&mut self, series: SeriesHandle, ts: i64, value: f64, start_ts: i64) {
        self.appender.sample(series, ts, value, start_ts);
    }

    fn histogram(&mut self, series: SeriesHandle, ts: i64, histogram: Histogram) {
        self.appender.histogram(series, ts, histogram);
    }

    fn exemplar(&mut self, series: SeriesHandle, exemplar: Exemplar) {
        self.appender.exemplar(series, exemplar);
    }

    fn knows_metadata(&mut self, key: u128) -> bool {
        self.appender.knows_metadata(key)
    }

    fn metadata(&mut self, key: u128, metric: &str, metadata: Metadata) {
        self.appender.metadata(key, metric, metadata);
    }
}
