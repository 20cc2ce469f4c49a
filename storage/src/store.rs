//! The data directory: its lock and one database per tenant.
//!
//! ```text
//! <data>/LOCK
//! <data>/tenants/<tenant>/{wal,blocks,history}/
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::db::Db;
use crate::disk::{Disk, DiskLock, OsDisk, create_dir_durable};
use crate::error::{Error, Result};
use crate::history::{History, Objects, Published, RowCache};
use crate::options::StoreOptions;

/// Longest name of a tenant, as in Mimir.
const TENANT_BYTES_MAX: usize = 150;

/// Told while a store opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayProgress {
    /// Files of the log to read, of the tenant that is being opened.
    pub segments_total: u64,
    /// Of these, read.
    pub segments_done: u64,
    /// Samples replayed, of that tenant.
    pub samples: u64,
}

/// All tenants of one data directory.
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: StoreOptions,
    dbs: RwLock<BTreeMap<String, Arc<Db>>>,
    rows: Arc<RowCache>,
    /// Held while a database is created, so that two requests do not create it twice.
    creation: Mutex<()>,
    /// There were no tenants: those of the object store are to be looked for.
    empty: AtomicBool,
    _lock: Box<dyn DiskLock>,
}

impl Store {
    /// Opens or creates the data directory: takes its lock, loads the blocks and replays the logs of all
    /// tenants.
    pub fn open(
        dir: &Path,
        options: StoreOptions,
        progress: &dyn Fn(ReplayProgress),
    ) -> Result<Self> {
        Self::open_on(Arc::new(OsDisk), dir, options, progress)
    }

    /// As [`Store::open`], on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: StoreOptions,
        progress: &dyn Fn(ReplayProgress),
    ) -> Result<Self> {
        let tenants = dir.join("tenants");
        create_dir_durable(&*disk, &tenants)?;
        let lock = disk.lock(&dir.join("LOCK"))?;
        let rows = RowCache::new(options.rows_kept_bytes);
        let mut dbs = BTreeMap::new();
        for entry in disk.list_dir(&tenants)? {
            if entry.is_dir && check_tenant(&entry.name).is_ok() {
                let dir = tenants.join(&entry.name);
                let db = open_db(&disk, &dir, &options, &rows, progress)?;
                dbs.insert(entry.name, Arc::new(db));
            }
        }
        let dir = dir.to_owned();
        let empty = AtomicBool::new(dbs.is_empty());
        Ok(Self {
            disk,
            dir,
            options,
            dbs: RwLock::new(dbs),
            rows,
            creation: Mutex::new(()),
            empty,
            _lock: lock,
        })
    }

    /// The tenant's database, created on first use.
    pub fn db(&self, tenant: &str) -> Result<Arc<Db>> {
        if let Some(db) = self.existing(tenant) {
            return Ok(db);
        }
        check_tenant(tenant)?;
        let _creation = self.creation.lock();
        if let Some(db) = self.existing(tenant) {
            return Ok(db);
        }
        if self.dbs.read().len() >= self.options.tenants_max {
            return Err(Error::Limit {
                limit: "tenants_max",
                what: "too many tenants",
                max: self.options.tenants_max as u64,
            });
        }
        let dir = self.dir.join("tenants").join(tenant);
        let db = Arc::new(open_db(&self.disk, &dir, &self.options, &self.rows, &|_| {})?);
        self.dbs.write().insert(tenant.to_owned(), Arc::clone(&db));
        Ok(db)
    }

    /// The tenant's database, if it exists.
    #[must_use]
    pub fn existing(&self, tenant: &str) -> Option<Arc<Db>> {
        self.dbs.read().get(tenant).cloned()
    }

    /// All databases by tenant.
    #[must_use]
    pub fn tenants(&self) -> Vec<(String, Arc<Db>)> {
        self.dbs.read().iter().map(|(name, db)| (name.clone(), Arc::clone(db))).collect()
    }

    /// What is due at `now_ms` of flushes and retention, for all tenants. One tenant's failure does not keep
    /// the others from their turn; the first one is answered.
    pub fn maintain(&self, now_ms: i64) -> Result<()> {
        self.for_all("maintenance", |db| db.maintain(now_ms))
    }

    /// Merges the blocks that are due at `now_ms`, for all tenants, giving way to whatever else there is to
    /// do. May take long: for a thread of its own. Failures as in [`Store::maintain`].
    pub fn merge(&self, now_ms: i64) -> Result<()> {
        self.for_all("merging", |db| db.merge_due(now_ms))
    }

    /// Rolls the days up that are due at `now_ms`, for all tenants, giving way to whatever else there is to do. May
    /// take long: for a thread of its own. Failures as in [`Store::maintain`].
    pub fn roll(&self, now_ms: i64) -> Result<()> {
        self.for_all("rolling up", |db| db.roll_due(now_ms))
    }

    /// Brings the histories of all tenants to the object store, if there is one. A directory that was empty takes
    /// what the store has. Waits for the network: for a thread of its own. Failures as in [`Store::maintain`].
    pub fn publish(&self, now_ms: i64) -> Result<Published> {
        self.publish_those(now_ms, |_| true)
    }

    /// As [`Store::publish`], for what has to be taken from the object store only: nothing is written there but
    /// what an earlier run has begun.
    pub fn take_back(&self, now_ms: i64) -> Result<Published> {
        self.publish_those(now_ms, |history| !history.is_settled())
    }

    fn publish_those(&self, now_ms: i64, which: impl Fn(&History) -> bool) -> Result<Published> {
        let Some(objects) = &self.options.objects else { return Ok(Published::default()) };
        let found = if self.empty.load(Ordering::Relaxed) {
            objects.folders().map(|tenants| self.make_those(&tenants))
        } else {
            Ok(())
        };
        let total = Mutex::new(Published::default());
        self.for_all("publishing the history", |db| {
            if db.history().is_ok_and(&which) {
                let done = db.publish_history(now_ms)?;
                let mut total = total.lock();
                total.files += done.files;
                total.bytes += done.bytes;
                total.days_taken += done.days_taken;
            }
            Ok(())
        })?;
        found.map(|()| total.into_inner())
    }

    /// Makes the databases of tenants that the object store has and an empty directory has not.
    fn make_those(&self, tenants: &[String]) {
        for tenant in tenants {
            if let Err(error) = self.db(tenant) {
                tracing::warn!(%tenant, error = &error as &dyn std::error::Error, "a folder of the object store is left out");
            }
        }
        self.empty.store(false, Ordering::Relaxed);
    }

    /// Flushes the heads whose log would take long to replay at the next start. Goes on serving.
    pub fn flush_before_stop(&self, now_ms: i64) -> Result<()> {
        self.for_all("the flush before the stop", |db| db.flush_before_stop(now_ms))
    }

    /// Ends what [`Store::merge`] and [`Store::maintain`] are doing by [`Error::Canceled`], soon and for good:
    /// before the store is closed. What was begun is begun anew after the next start.
    pub fn stop_moving(&self) {
        self.tenants().iter().for_each(|(_, db)| db.stop_moving());
        if let Some(objects) = &self.options.objects {
            objects.stop();
        }
    }

    fn for_all(&self, what: &str, run: impl Fn(&Db) -> Result<()>) -> Result<()> {
        let mut first = Ok(());
        for (tenant, db) in self.tenants() {
            if let Err(error) = run(&db) {
                if !matches!(error, Error::Canceled) {
                    tracing::error!(%tenant, error = &error as &dyn std::error::Error, "{what} failed");
                }
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Syncs the logs and refuses further writes.
    pub fn close(&self) -> Result<()> {
        self.tenants().iter().try_for_each(|(_, db)| db.close())
    }

    /// What is kept open of the history of all tenants.
    #[must_use]
    pub const fn row_cache(&self) -> &Arc<RowCache> {
        &self.rows
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Bytes free on the file system of the data directory.
    pub fn free_bytes(&self) -> Result<u64> {
        self.disk.free_bytes(&self.dir)
    }
}

/// The histories of a data directory that no store uses, for looking at them: no log is replayed.
pub struct Histories {
    all: Vec<(String, Result<History>)>,
    _lock: Box<dyn DiskLock>,
}

impl Histories {
    /// Takes the lock of the data directory and opens the history of each tenant; files that are not there come
    /// from `objects`.
    pub fn open(dir: &Path, objects: Option<&Arc<dyn Objects>>) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let lock = disk.lock(&dir.join("LOCK"))?;
        let tenants = dir.join("tenants");
        let mut all = Vec::new();
        for entry in disk.list_dir(&tenants)? {
            if entry.is_dir && check_tenant(&entry.name).is_ok() {
                let dir = tenants.join(&entry.name).join("history");
                let opened = History::open(&disk, &dir, &entry.name);
                if let (Ok(history), Some(objects)) = (&opened, objects) {
                    history.connect(Arc::clone(objects), None);
                }
                all.push((entry.name, opened));
            }
        }
        Ok(Self { all, _lock: lock })
    }

    /// Tenants and their histories, or why they cannot be opened.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Result<History>)> {
        self.all.iter().map(|(tenant, history)| (tenant.as_str(), history))
    }
}

fn open_db(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &StoreOptions,
    rows: &Arc<RowCache>,
    progress: &dyn Fn(ReplayProgress),
) -> Result<Db> {
    create_dir_durable(&**disk, dir)?;
    let mut told = |files: crate::wal::Progress, samples| {
        progress(ReplayProgress {
            segments_total: files.files_total,
            segments_done: files.files_done,
            samples,
        });
    };
    Db::open(Arc::clone(disk), dir, options.clone(), Arc::clone(rows), &mut told)
}

/// A tenant's name becomes a directory's.
fn check_tenant(tenant: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    let fits = (1..=TENANT_BYTES_MAX).contains(&tenant.len()) && !tenant.starts_with('.');
    if fits && tenant.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::Invalid {
        what: format!(
            "tenant {tenant:?} is not a name of 1 to {TENANT_BYTES_MAX} letters, digits and !-_.*'() \
             that does not begin with a dot"
        ),
    })
}
