//! The journals of a data directory: one per tenant, and one of the definitions, which all tenants share.
//!
//! ```text
//! <data>/slo/journal
//! <data>/slo/<tenant>/journal
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nines_storage::disk::{Disk, create_dir_durable};
use parking_lot::RwLock;

use super::record::{Changed, Changes, Recorded};
use super::{Journal, JournalError, Result};
use crate::slo::definition::Definitions;
use crate::slo::diagnostic::Diagnostic;

/// Tenants with a journal at most.
pub const TENANTS_MAX: usize = 10_000;
/// Why there are no more of them.
const TOO_MANY: &str = "too many tenants have a journal of SLOs";
/// The name of the file.
const FILE: &str = "journal";
/// Who records what files say.
pub const SYSTEM: &str = "nines";

/// See the module.
pub struct Journals {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    definitions: std::result::Result<Arc<Journal>, String>,
    tenants: RwLock<BTreeMap<String, std::result::Result<Arc<Journal>, String>>>,
}

impl Journals {
    /// Opens the journals of a data directory, whose lock is held. One that is damaged is told when somebody asks
    /// for it; the others are there.
    pub fn open(disk: Arc<dyn Disk>, data: &Path) -> Result<Self> {
        Self::open_some(disk, data, TENANTS_MAX)
    }

    pub(super) fn open_some(disk: Arc<dyn Disk>, data: &Path, max: usize) -> Result<Self> {
        let dir = data.join("slo");
        let open = |path: &Path| {
            Journal::open(Arc::clone(&disk), path).map(Arc::new).map_err(|error| {
                tracing::error!(%error, "a journal of SLOs cannot be read");
                error.to_string()
            })
        };
        let mut tenants = BTreeMap::new();
        if disk.exists(&dir)? {
            // The process that made it may have been killed before the name was durable.
            create_dir_durable(&*disk, &dir)?;
            for entry in disk.list_dir(&dir)?.into_iter().filter(|entry| entry.is_dir) {
                let path = dir.join(&entry.name).join(FILE);
                if !disk.exists(&path)? {
                    continue;
                }
                if tenants.len() >= max {
                    return Err(JournalError::Limit { what: TOO_MANY, max });
                }
                tenants.insert(entry.name, open(&path));
            }
        }
        let definitions = open(&dir.join(FILE));
        Ok(Self { disk: Arc::clone(&disk), definitions, dir, tenants: RwLock::new(tenants) })
    }

    /// The journal of a tenant, if it has one.
    pub fn existing(&self, tenant: &str) -> Result<Option<Arc<Journal>>> {
        match self.tenants.read().get(tenant) {
            Some(Ok(journal)) => Ok(Some(Arc::clone(journal))),
            Some(Err(why)) => Err(JournalError::Unreadable(why.clone())),
            None => Ok(None),
        }
    }

    /// The journal of a tenant, made when there is none. The name is harmless as that of a folder.
    pub fn of(&self, tenant: &str) -> Result<Arc<Journal>> {
        if let Some(journal) = self.existing(tenant)? {
            return Ok(journal);
        }
        let mut tenants = self.tenants.write();
        if let Some(Ok(journal)) = tenants.get(tenant) {
            return Ok(Arc::clone(journal));
        }
        if tenants.len() >= TENANTS_MAX {
            return Err(JournalError::Limit { what: TOO_MANY, max: TENANTS_MAX });
        }
        let path = self.dir.join(tenant).join(FILE);
        let journal = Arc::new(Journal::open(Arc::clone(&self.disk), &path)?);
        tenants.insert(tenant.to_owned(), Ok(Arc::clone(&journal)));
        Ok(journal)
    }

    /// The journal of the definitions.
    pub fn definitions(&self) -> Result<Arc<Journal>> {
        self.definitions.clone().map_err(JournalError::Unreadable)
    }

    /// Records what is defined otherwise than was recorded last.
    pub fn record_definitions(&self, definitions: &Definitions, now_ms: i64) -> Result<()> {
        let told = told(definitions);
        let names: BTreeSet<(&str, &str)> =
            told.iter().map(|one| (one.kind.as_str(), one.name.as_str())).collect();
        self.definitions()?.append_if(now_ms, SYSTEM, |book| {
            let changed = told.iter().filter(|one| {
                let known = book.definitions.get(&(one.kind.clone(), one.name.clone()));
                known.is_none_or(|known| known.last != **one)
            });
            let gone = book.definitions.iter().filter(|(key, known)| {
                !known.last.hash.is_empty() && !names.contains(&(key.0.as_str(), key.1.as_str()))
            });
            let gone = gone.map(|(key, _)| Changed {
                kind: key.0.clone(),
                name: key.1.clone(),
                ..Changed::default()
            });
            let changes: Vec<Changed> = changed.cloned().chain(gone).collect();
            let is_news = !changes.is_empty();
            Ok::<_, JournalError>(is_news.then_some(Recorded::Changed(Changes { changes })))
        })?;
        Ok(())
    }

    /// Exclusions of files whose names exclusions in force of journals have as well.
    #[must_use]
    pub fn named_twice(&self, definitions: &Definitions) -> Vec<Diagnostic> {
        let mut told = Vec::new();
        for (tenant, journal) in &*self.tenants.read() {
            let Ok(journal) = journal else { continue };
            for own in journal.book().in_force() {
                let Some(one) = definitions.exclusions.get(&own.name) else { continue };
                let message = format!(
                    "the exclusion {:?} is in the journal of tenant {tenant:?} as well",
                    own.name
                );
                let hint = format!(
                    "give it another name, or end that one: nines exclusion revoke {}",
                    own.name
                );
                let twice =
                    Diagnostic::error(&one.place, "metadata.name", "duplicate-name", message);
                told.push(twice.warning().hint(hint));
            }
        }
        told
    }
}

/// What is recorded of definitions.
fn told(definitions: &Definitions) -> Vec<Changed> {
    let hash = |text: &str| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
    let mut told = Vec::new();
    for slo in definitions.slos.values() {
        let targets = slo.objectives.iter().filter_map(|one| one.targets.last());
        let targets: Vec<String> = targets.map(|target| target.target.to_string()).collect();
        let annotation = |name: &str| {
            slo.annotations.get(&format!("nines.dev/{name}")).cloned().unwrap_or_default()
        };
        told.push(Changed {
            kind: "SLO".to_owned(),
            name: slo.name.clone(),
            file: slo.place.file.clone(),
            hash: format!("{:016x}", slo.document_hash),
            target: targets.join(" "),
            git_ref: annotation("git-ref"),
            author: annotation("author"),
        });
    }
    for sla in definitions.slas.values() {
        let without_place =
            crate::slo::definition::Sla { place: Default::default(), ..sla.clone() };
        told.push(Changed {
            kind: "SLA".to_owned(),
            name: sla.name.clone(),
            file: sla.place.file.clone(),
            hash: hash(&format!("{without_place:?}")),
            target: sla.target.to_string(),
            ..Changed::default()
        });
    }
    for exclusion in definitions.exclusions.values() {
        let record = super::ExclusionRecord::of(exclusion);
        told.push(Changed {
            kind: "Exclusion".to_owned(),
            name: exclusion.name.clone(),
            file: exclusion.place.file.clone(),
            hash: hash(&format!("{record:?}")),
            ..Changed::default()
        });
    }
    told
}
