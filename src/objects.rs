//! Object stores: S3 and what speaks like it, and folders.
//!
//! Owns: this module alone knows the crate `object_store`, whose futures it runs on a thread of its own. Retries what
//! fails a few times, with growing pauses; whoever asks goes on from there.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use nines_storage::history::{Listed, Objects};
use nines_storage::{Error, Result};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
    RetryConfig,
};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::{HistoryConfig, StoreUrl};

/// Longest time of one request; a part of a large object is one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Times that a request is repeated at once.
const RETRIES: usize = 2;
/// Bytes of an object that are sent by one request; of a part of a larger one.
const PART_BYTES: usize = 16 << 20;

/// A place in an object store.
pub struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    shown: String,
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
    stopped: watch::Sender<bool>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Wherever this is: nothing is waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The store that `config` names, if it names one. Nothing is asked of it yet.
pub fn open(config: &HistoryConfig) -> anyhow::Result<Option<Arc<dyn Objects>>> {
    let Some(url) = &config.url else { return Ok(None) };
    let shown = url.to_string();
    let (store, prefix): (Arc<dyn ObjectStore>, String) = match url {
        StoreUrl::Folder(path) => {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot make the folder of history.url {shown}"))?;
            let folder = LocalFileSystem::new_with_prefix(path)
                .with_context(|| format!("cannot use the folder of history.url {shown}"))?;
            (Arc::new(folder.with_fsync(true)), String::new())
        }
        StoreUrl::Bucket { bucket, prefix } => {
            // An error means that there is a provider already.
            let _known = rustls::crypto::ring::default_provider().install_default();
            let retry = RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(5),
                    base: 2.0,
                },
                max_retries: RETRIES,
                retry_timeout: 2 * REQUEST_TIMEOUT,
            };
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry)
                .with_client_options(client_options());
            if let Some(endpoint) = &config.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(region) = &config.region {
                builder = builder.with_region(region);
            }
            let store = builder.build().with_context(|| {
                format!("cannot use history.url {shown}: check the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL")
            })?;
            (Arc::new(store), prefix.clone())
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("nines-objects")
        .enable_all()
        .build()
        .context("cannot start the thread that talks to the object store")?;
    let (stopped, _) = watch::channel(false);
    Ok(Some(Arc::new(Place { store, prefix, shown, runtime: Some(runtime), stopped })))
}

/// A plain `http://` endpoint is used where `AWS_ALLOW_HTTP` says so.
fn client_options() -> ClientOptions {
    let http = std::env::var("AWS_ALLOW_HTTP")
        .is_ok_and(|said| said.eq_ignore_ascii_case("true") || said == "1");
    ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(http)
}

type Answer<T> = std::result::Result<T, object_store::Error>;

impl Place {
    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    /// Waits for an answer, or for [`Objects::stop`].
    fn wait<T>(
        &self,
        op: &'static str,
        key: &str,
        work: impl Future<Output = Answer<T>>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(Error::Canceled) };
        let mut stopped = self.stopped.subscribe();
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => Err(Error::Canceled),
                answer = work => answer.map_err(|error| self.fault(op, key, &error)),
            }
        })
    }

    fn fault(&self, op: &'static str, key: &str, error: &object_store::Error) -> Error {
        let kind = match error {
            object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        let place = format!("{}/{key}", self.shown);
        Error::io(op, FilePath::new(&place), io::Error::new(kind, error.to_string()))
    }

    async fn read(&self, key: &str, max: u64) -> Answer<Vec<u8>> {
        let found = self.store.get(&self.path(key)).await?;
        if found.meta.size > max {
            let source = format!("the object has {} bytes, {max} are the most", found.meta.size);
            return Err(object_store::Error::Generic { store: "nines", source: source.into() });
        }
        Ok(found.bytes().await?.to_vec())
    }

    async fn write(&self, key: &str, bytes: Bytes) -> Answer<()> {
        let path = self.path(key);
        if bytes.len() <= PART_BYTES {
            return self.store.put(&path, PutPayload::from(bytes)).await.map(drop);
        }
        let mut upload = self.store.put_multipart(&path).await?;
        let sent = async {
            for at in (0..bytes.len()).step_by(PART_BYTES) {
                let part = bytes.slice(at..bytes.len().min(at + PART_BYTES));
                upload.put_part(PutPayload::from(part)).await?;
            }
            upload.complete().await.map(drop)
        };
        let sent = sent.await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::info!(%error, "parts of an upload that failed stay in the object store");
        }
        sent
    }
}

/// Nothing where there is no object.
fn found<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

impl Objects for Place {
    fn get(&self, key: &str, max: u64) -> Result<Option<Vec<u8>>> {
        self.wait("read", key, async { found(self.read(key, max).await) })
    }

    fn get_range(&self, key: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let work = async {
            let range = offset..offset.saturating_add(bytes);
            Ok(found(self.store.get_range(&path, range).await)?.map(|bytes| bytes.to_vec()))
        };
        self.wait("read", key, work)
    }

    fn len(&self, key: &str) -> Result<Option<u64>> {
        let path = self.path(key);
        let work = async { Ok(found(self.store.head(&path).await)?.map(|meta| meta.size)) };
        self.wait("look for", key, work)
    }

    fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.wait("write", key, self.write(key, bytes))
    }

    fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool> {
        let path = self.path(key);
        let work = async {
            match self.store.put_opts(&path, bytes.into(), PutMode::Create.into()).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.wait("write", key, work)
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        let (source, target) = (self.path(from), self.path(to));
        let work = async { Ok(found(self.store.copy(&source, &target).await)?.is_some()) };
        self.wait("copy", from, work)
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let work = async { found(self.store.delete(&path).await).map(drop) };
        self.wait("remove", key, work)
    }

    fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        let path = self.path(folder);
        let work = async { self.store.list_with_delimiter(Some(&path)).await };
        let objects = self.wait("list", folder, work)?.objects.into_iter();
        let mut all: Vec<Listed> = objects
            .filter_map(|meta| {
                let key = format!("{folder}/{}", meta.location.filename()?);
                Some(Listed { key, modified_ms: meta.last_modified.timestamp_millis() })
            })
            .filter(|object| after.is_none_or(|after| object.key.as_str() > after))
            .collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(all)
    }

    fn folders(&self) -> Result<Vec<String>> {
        let path = self.path("");
        let work = async { self.store.list_with_delimiter(Some(&path)).await };
        let below = self.wait("list", "", work)?.common_prefixes;
        Ok(below.iter().filter_map(|path| Some(path.filename()?.to_owned())).collect())
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_folder_is_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let url = StoreUrl::Folder(dir.path().join("a/b"));
        let config = HistoryConfig { url: Some(url), ..HistoryConfig::default() };
        let store = open(&config).unwrap().unwrap();
        assert_eq!(store.get("t/x=1/a", 9).unwrap(), None);
        assert_eq!(store.len("t/x=1/a").unwrap(), None);
        assert_eq!(store.get_range("t/x=1/a", 0, 1).unwrap(), None);
        assert!(!store.copy("t/x=1/a", "t/b").unwrap());
        assert_eq!((store.list("t", None).unwrap(), store.folders().unwrap()), (vec![], vec![]));
        store.remove("t/x=1/a").unwrap();
        store.put("t/x=1/a", Bytes::from_static(b"abc")).unwrap();
        store.put("t/x=1/a", Bytes::from_static(b"abcd")).unwrap();
        assert_eq!(store.get("t/x=1/a", 4).unwrap().unwrap(), b"abcd");
        assert!(store.get("t/x=1/a", 3).is_err(), "larger than what is taken");
        assert_eq!(store.get_range("t/x=1/a", 1, 2).unwrap().unwrap(), b"bc");
        assert_eq!(store.len("t/x=1/a").unwrap(), Some(4));
        assert!(store.create("t/c/1", b"one".to_vec()).unwrap());
        assert!(!store.create("t/c/1", b"two".to_vec()).unwrap());
        assert_eq!(store.get("t/c/1", 9).unwrap().unwrap(), b"one");
        assert!(store.create("t/c/2", b"two".to_vec()).unwrap());
        assert!(store.copy("t/c/2", "t/c/3").unwrap());
        let keys = |after| -> Vec<String> {
            store.list("t/c", after).unwrap().into_iter().map(|object| object.key).collect()
        };
        assert_eq!(keys(None), ["t/c/1", "t/c/2", "t/c/3"]);
        assert_eq!(keys(Some("t/c/2")), ["t/c/3"]);
        store.remove("t/c/2").unwrap();
        assert_eq!(keys(None), ["t/c/1", "t/c/3"]);
        assert_eq!(store.folders().unwrap(), ["t"]);
        let large = Bytes::from(vec![7; 2 * PART_BYTES + 1]);
        store.put("t/large", large.clone()).unwrap();
        assert_eq!(store.len("t/large").unwrap(), Some(large.len() as u64));
        store.stop();
        assert!(matches!(store.get("t/c/1", 9), Err(Error::Canceled)));
    }
}
