//! What the server keeps of SLOs: the definitions in force, and the ledger.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use nines_storage::Db;
use nines_storage::disk::OsDisk;
use nines_storage::query::{Budget, Queryable};

use crate::config::SloConfig;
use crate::http::query::Nothing;
use crate::slo::define::{Registry, Snapshot};
use crate::slo::definition::{Definitions, Exclusion};
use crate::slo::desk::Desk;
use crate::slo::error::Result;
use crate::slo::journal::{Journal, JournalError, Journals};
use crate::slo::ledger::{Ledger, Owner};

/// See the module.
pub(crate) struct SloState {
    registry: OnceLock<Arc<Registry>>,
    ledger: Ledger,
    journals: OnceLock<Journals>,
}

impl SloState {
    /// Without definitions yet.
    #[must_use]
    pub(crate) fn new(config: &SloConfig) -> Self {
        let bytes_max = usize::try_from(config.max_ledger_bytes).unwrap_or(usize::MAX);
        Self {
            registry: OnceLock::new(),
            ledger: Ledger::new(bytes_max),
            journals: OnceLock::new(),
        }
    }

    /// Reads the definitions of a directory.
    pub(crate) fn open(&self, dir: &Path) -> std::io::Result<Arc<Registry>> {
        let registry = Arc::new(Registry::open(dir)?);
        Ok(Arc::clone(self.registry.get_or_init(|| registry)))
    }

    /// Reads the journals of a data directory that the store has locked, and records what is defined.
    pub(crate) fn open_journals(
        &self,
        data: &Path,
        now_ms: i64,
    ) -> std::result::Result<(), JournalError> {
        let journals = Journals::open(Arc::new(OsDisk), data)?;
        self.journals.get_or_init(|| journals);
        self.reloaded(now_ms);
        Ok(())
    }

    /// Records what is defined by now, and tells what does not fit to the journals.
    pub(crate) fn reloaded(&self, now_ms: i64) {
        self.record_definitions(now_ms);
        let Some(journals) = self.journals.get() else { return };
        for diagnostic in journals.named_twice(&self.snapshot().definitions) {
            tracing::warn!(code = diagnostic.code, "{diagnostic}");
        }
    }

    /// Writes to the journal what is defined otherwise than was recorded last.
    pub(crate) fn record_definitions(&self, now_ms: i64) {
        let (Some(journals), Some(registry)) = (self.journals.get(), self.registry.get()) else {
            return;
        };
        if let Err(error) = journals.record_definitions(&registry.snapshot().definitions, now_ms) {
            tracing::error!(%error, "changed definitions of SLOs cannot be recorded; it is tried again");
        }
    }

    /// The journals, once they are open.
    pub(in crate::http) fn journals(&self) -> Result<&Journals> {
        let closed = || JournalError::Unreadable("the journals of SLOs are not open".to_owned());
        Ok(self.journals.get().ok_or_else(closed)?)
    }

    /// The journal of a tenant, if it has one.
    pub(in crate::http) fn journal(&self, tenant: &str) -> Result<Option<Arc<Journal>>> {
        Ok(self.journals()?.existing(tenant)?)
    }

    /// The definitions in force.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.get().map(|registry| registry.snapshot()).unwrap_or_default()
    }

    /// The directory's definitions, if there is one.
    #[must_use]
    pub(crate) fn registry(&self) -> Option<&Arc<Registry>> {
        self.registry.get()
    }

    /// Asks about SLOs over the samples of a tenant.
    pub(in crate::http) fn at_desk<T>(
        &self,
        (db, tenant): (Option<&Db>, &str),
        definitions: &Definitions,
        budget: &Budget,
        now_ms: i64,
        ask: impl FnOnce(&Desk<'_>) -> Result<T>,
    ) -> Result<T> {
        let book = self.journal(tenant)?.map(|journal| journal.book());
        let own = book.iter().flat_map(|book| book.in_force());
        let exclusions: Vec<&Exclusion> = definitions.exclusions.values().chain(own).collect();
        let data: &dyn Queryable = match db {
            Some(db) => db,
            None => &Nothing,
        };
        let owner = db.map(|db| Owner { ledger: &self.ledger, tenant, changes: db.changes() });
        ask(&Desk { data, budget, definitions, exclusions: &exclusions, now_ms, owner })
    }
}
