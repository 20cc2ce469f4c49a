//! The definitions in force: read from a directory, reloaded as a whole, and never lost to a broken file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem};

use parking_lot::{Mutex, RwLock};

use super::document::{Draft, File};
use super::link::{self, Lost};
use super::source::{self, Stamp};
use crate::slo::definition::{Definitions, Place};
use crate::slo::diagnostic::Diagnostic;

/// Pause between two looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Definitions at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What is defined.
    pub definitions: Definitions,
    /// What is wrong with the files, those included whose last good state is in force.
    pub diagnostics: Vec<Diagnostic>,
    /// Counts reloads that changed something, from 1.
    pub generation: u64,
}

/// See the module.
pub struct Registry {
    dir: PathBuf,
    files: Mutex<Files>,
    now: RwLock<Arc<Snapshot>>,
}

#[derive(Default)]
struct Files {
    /// As they were read.
    known: BTreeMap<PathBuf, Known>,
    /// Stamps of the last look, when they were not those of `known`: a file that is being written is left alone.
    changing: Option<BTreeMap<PathBuf, Stamp>>,
}

struct Known {
    stamp: Stamp,
    /// What it says now.
    now: File,
    /// What it said when nothing was wrong with it.
    good: Option<File>,
    /// Documents in force.
    force: File,
}

impl Registry {
    /// Reads a directory for the first time.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let registry = Self {
            dir: dir.to_owned(),
            files: Mutex::new(Files::default()),
            now: RwLock::new(Arc::new(Snapshot::default())),
        };
        registry.reload()?;
        Ok(registry)
    }

    /// The definitions in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read())
    }

    /// Reads what was changed and puts the definitions in force that follow, all at once. A file with errors keeps
    /// in force what it said when it had none.
    ///
    /// # Errors
    /// When the directory cannot be listed; nothing changes then.
    pub fn reload(&self) -> io::Result<Arc<Snapshot>> {
        let stamps = source::scan(&self.dir)?;
        let mut files = self.files.lock();
        files.changing = None;
        let mut before = mem::take(&mut files.known);
        for (path, stamp) in stamps {
            let last = before.remove(&path);
            let read = source::read(&path);
            files.known.insert(path, Known::new(stamp, read, last));
        }
        let snapshot = Arc::new(self.put_together(&files.known));
        *self.now.write() = Arc::clone(&snapshot);
        Ok(snapshot)
    }

    /// Reloads when files were changed and have not been changing since the last look.
    ///
    /// # Errors
    /// When the directory cannot be listed; nothing changes then.
    pub fn poll(&self) -> io::Result<Option<Arc<Snapshot>>> {
        let stamps = source::scan(&self.dir)?;
        let mut files = self.files.lock();
        let known = files.known.iter().map(|(path, known)| (path, &known.stamp));
        if stamps.iter().eq(known) {
            files.changing = None;
            return Ok(None);
        }
        if files.changing.as_ref() != Some(&stamps) {
            files.changing = Some(stamps);
            return Ok(None);
        }
        drop(files);
        self.reload().map(Some)
    }

    fn put_together(&self, known: &BTreeMap<PathBuf, Known>) -> Snapshot {
        let before = self.snapshot();
        let force: Vec<&File> = known.values().map(|file| &file.force).collect();
        let mut linked = link::link(&force, Some(&before.definitions));
        for lost in linked.lost {
            restore(lost, &before.definitions, &mut linked.definitions, &mut linked.diagnostics);
        }
        let mut diagnostics = linked.diagnostics;
        for (path, file) in known {
            diagnostics.extend(file.now.diagnostics.iter().cloned());
            if file.now.is_broken() && file.good.is_some() {
                let place = Place { file: path.display().to_string(), line: 1, column: 1 };
                let message =
                    "the file has errors: what it defined before stays in force".to_owned();
                diagnostics
                    .push(Diagnostic::error(&place, "", "last-good-kept", message).warning());
            }
        }
        super::sort(&mut diagnostics);
        Snapshot { definitions: linked.definitions, diagnostics, generation: before.generation + 1 }
    }
}

impl Known {
    fn new(stamp: Stamp, now: File, last: Option<Self>) -> Self {
        if !now.is_broken() {
            return Self { stamp, good: Some(now.clone()), force: now.clone(), now };
        }
        let Some(last) = last else { return Self { stamp, good: None, force: now.clone(), now } };
        if last.good.is_some() {
            return Self { stamp, now, ..last };
        }
        // It never was good as a whole: what was good of it stays, and what has become good comes.
        let mut force = now.clone();
        let names: Vec<_> = force.drafts.iter().filter_map(name_of).collect();
        let missing = last
            .force
            .drafts
            .into_iter()
            .filter(|draft| name_of(draft).is_some_and(|name| !names.contains(&name)));
        force.drafts.extend(missing);
        Self { stamp, now, good: None, force }
    }
}

/// Kind and name of a document.
fn name_of(draft: &Draft) -> Option<(u8, String)> {
    Some(match draft {
        Draft::Service(service) => (0, service.name.clone()),
        Draft::Team(team) => (1, team.name.clone()),
        Draft::Slos { slos, .. } => (2, slos.first()?.name.clone()),
        Draft::Pending(pending) => (2, pending.name().0.to_owned()),
        Draft::Sli { name, .. } => (3, name.clone()),
        Draft::Sla(sla, _) => (4, sla.name.clone()),
        Draft::Exclusion(exclusion, _) => (5, exclusion.name.clone()),
        Draft::DataSource(_) | Draft::AlertPolicy(_) | Draft::Other => return None,
    })
}

/// Keeps a definition in force whose references lead nowhere any more.
fn restore(lost: Lost, before: &Definitions, now: &mut Definitions, told: &mut Vec<Diagnostic>) {
    fn keep<T: Clone>(
        name: &str,
        before: &BTreeMap<String, T>,
        now: &mut BTreeMap<String, T>,
    ) -> bool {
        match before.get(name) {
            Some(old) if !now.contains_key(name) => {
                now.insert(name.to_owned(), old.clone());
                true
            }
            _ => false,
        }
    }
    let (kind, name, place, kept) = match lost {
        Lost::Slo(name, place) => {
            let kept = keep(&name, &before.slos, &mut now.slos);
            ("SLO", name, place, kept)
        }
        Lost::Sla(name, place) => {
            let kept = before.slas.get(&name).is_some_and(|old| now.slos.contains_key(&old.slo))
                && keep(&name, &before.slas, &mut now.slas);
            ("SLA", name, place, kept)
        }
    };
    if kept {
        let message = format!("the {kind} {name:?} stays in force as it was");
        told.push(Diagnostic::error(&place, "metadata.name", "last-good-kept", message).warning());
    }
}

/// A thread that looks at the files of a registry; it stops when this is dropped.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts looking. `told` gets every reload, or why there was none.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        registry: Arc<Registry>,
        told: impl Fn(io::Result<Arc<Snapshot>>) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            std::thread::Builder::new().name("nines-slo-files".to_owned()).spawn(move || {
                let mut failing = false;
                while matches!(stopped.recv_timeout(POLL_INTERVAL), Err(RecvTimeoutError::Timeout))
                {
                    let result = registry.poll().transpose();
                    let failed = matches!(result, Some(Err(_)));
                    // A directory that stays away is told once.
                    match result {
                        Some(result) if !(failed && failing) => told(result),
                        _ => {}
                    }
                    failing = failed;
                }
            })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
