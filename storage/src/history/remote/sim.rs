//! An object store in memory that refuses, and that loses answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::objects::{Listed, Objects};
use crate::disk::sim::SimRng;
use crate::error::{Error, Result};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered.
    Answered,
    /// Nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    Lost,
}

type Plan = Box<dyn FnMut(u64) -> Fate + Send>;

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    requests: u64,
    plan: Option<Plan>,
    /// What was written and removed, in that order.
    changes: Vec<(String, Option<Vec<u8>>)>,
}

impl Inner {
    fn set(&mut self, key: &str, bytes: Option<Vec<u8>>) {
        self.changes.push((key.to_owned(), bytes.clone()));
        match bytes {
            Some(bytes) => drop(self.objects.insert(key.to_owned(), bytes)),
            None => drop(self.objects.remove(key)),
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct SimObjects(Arc<Mutex<Inner>>);

impl std::fmt::Debug for SimObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimObjects")
    }
}

impl SimObjects {
    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.0.lock().requests
    }

    /// Decides what becomes of requests from now on, by their number.
    pub(crate) fn plan(&self, plan: impl FnMut(u64) -> Fate + Send + 'static) {
        self.0.lock().plan = Some(Box::new(plan));
    }

    /// Answers everything from now on.
    pub(crate) fn answer(&self) {
        self.0.lock().plan = None;
    }

    /// Refuses some requests and loses some answers, as `seed` has it.
    pub(crate) fn trouble(&self, seed: u64, of: u64) {
        let mut rng = SimRng::new(seed);
        self.plan(move |_| match rng.below(of) {
            0 => Fate::Refused,
            1 => Fate::Lost,
            _ => Fate::Answered,
        });
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().objects.clone()
    }

    /// What was ever written (with its bytes) and removed, in that order.
    pub(crate) fn changes(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.0.lock().changes.clone()
    }

    pub(crate) fn set(&self, key: &str, bytes: Option<Vec<u8>>) {
        self.0.lock().set(key, bytes);
    }

    fn ask<T>(&self, key: &str, work: impl FnOnce(&mut Inner) -> T) -> Result<T> {
        let mut inner = self.0.lock();
        inner.requests += 1;
        let request = inner.requests;
        let fate = inner.plan.as_mut().map_or(Fate::Answered, |plan| plan(request));
        let answer = (fate != Fate::Refused).then(|| work(&mut inner));
        let lost = || {
            let cause = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Error::io("ask the object store for", Path::new(key), cause)
        };
        answer.filter(|_| fate == Fate::Answered).ok_or_else(lost)
    }
}

impl Objects for SimObjects {
    fn get(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>> {
        let found = self.ask(key, |inner| inner.objects.get(key).cloned())?;
        Ok(found.inspect(|bytes| assert!(bytes.len() as u64 <= max)))
    }

    fn get_range(&self, key: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        let found = self.ask(key, |inner| inner.objects.get(key).cloned())?;
        Ok(found.map(|all| {
            let skipped = all.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
            skipped.take(usize::try_from(bytes).unwrap_or(usize::MAX)).collect()
        }))
    }

    fn len(&self, key: &str) -> Result<Option<u64>> {
        self.ask(key, |inner| inner.objects.get(key).map(|bytes| bytes.len() as u64))
    }

    fn put(&self, key: &str, bytes: bytes::Bytes) -> Result<()> {
        self.ask(key, |inner| inner.set(key, Some(bytes.to_vec())))
    }

    fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool> {
        self.ask(key, |inner| {
            let free = !inner.objects.contains_key(key);
            if free {
                inner.set(key, Some(bytes));
            }
            free
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        self.ask(from, |inner| {
            let Some(bytes) = inner.objects.get(from).cloned() else { return false };
            inner.set(to, Some(bytes));
            true
        })
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.ask(key, |inner| inner.set(key, None))
    }

    fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        let folder = format!("{folder}/");
        self.ask(&folder, |inner| {
            let keys = inner.objects.keys().filter(|key| key.starts_with(&folder));
            let behind = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
            behind.map(|key| Listed { key: key.clone(), modified_ms: 0 }).collect()
        })
    }

    fn folders(&self) -> Result<Vec<String>> {
        self.ask("", |inner| {
            let mut names: Vec<String> = inner
                .objects
                .keys()
                .filter_map(|key| Some(key.split_once('/')?.0.to_owned()))
                .collect();
            names.dedup();
            names
        })
    }

    fn stop(&self) {}
}
