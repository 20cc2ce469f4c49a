//! Settings: one YAML file, flags over it, defaults under both.
//!
//! Unknown keys are refused with their line and column. Every key has a reader: a key that nothing reads does
//! not belong here. [`Config::effective_yaml`] is what `/api/v1/status/config` shows.

mod duration;
mod history;
mod memory;
mod place;
mod sections;
mod store_url;
mod values;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nines_storage::{StoreOptions, WalSync};
use serde::{Deserialize, Serialize};

pub use duration::{InvalidDuration, PromDuration};
pub use history::{HistoryConfig, PolicyConfig, PolicyTable, Selectors};
pub use sections::{
    LogConfig, LogFormat, LogLevel, MemoryConfig, QueryConfig, SloConfig, StorageConfig, WalConfig,
    WebConfig, WriteConfig,
};
pub use store_url::StoreUrl;
pub use values::{Retention, Sync};

use place::place_error;

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Data directory.
    pub data: PathBuf,
    /// The HTTP server.
    pub web: WebConfig,
    /// Limits of the memory of the process.
    pub memory: MemoryConfig,
    /// Limits of queries.
    pub query: QueryConfig,
    /// What is kept, and how much of it.
    pub storage: StorageConfig,
    /// The Parquet history and its copy in an object store.
    pub history: HistoryConfig,
    /// Service level objectives.
    pub slo: SloConfig,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// Limits of remote write.
    pub write: WriteConfig,
    /// Logging.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./data"),
            web: WebConfig::default(),
            memory: MemoryConfig::default(),
            query: QueryConfig::default(),
            storage: StorageConfig::default(),
            history: HistoryConfig::default(),
            slo: SloConfig::default(),
            wal: WalConfig::default(),
            write: WriteConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// A config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the config file {path}: {cause}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not a valid config.
    #[error("{path}: {cause}", path = path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong, with line and column.
        cause: String,
    },
    /// A setting has a value that cannot be used.
    #[error("{setting}: {problem}")]
    Value {
        /// The key.
        setting: &'static str,
        /// What is wrong and what to do about it.
        problem: String,
    },
}

impl Config {
    /// Reads `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text).map_err(|cause| ConfigError::Parse { path: path.to_owned(), cause })
    }

    /// Reads a YAML text; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let empty =
            text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if empty {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| place_error(text, &error))
    }

    /// Checks the values that the types do not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |setting, problem: &str| {
            Err(ConfigError::Value { setting, problem: problem.to_owned() })
        };
        self.cors_regex()?;
        self.listen_addr()?;
        if self.query.timeout.0.is_zero() {
            return invalid("query.timeout", "must be longer than 0s; the default is 2m");
        }
        if self.history.publish_interval.0.is_zero() {
            return invalid(
                "history.publish_interval",
                "must be longer than 0s; the default is 10s",
            );
        }
        if self.query.lookback_delta.0.is_zero() {
            return invalid("query.lookback_delta", "must be longer than 0s; the default is 5m");
        }
        if self.query.max_concurrency == 0
            || self.write.max_concurrency == 0
            || self.web.max_connections == 0
        {
            return invalid("max_concurrency and max_connections", "must be 1 or more");
        }
        if self.storage.target_labels.is_empty() {
            return invalid(
                "storage.target_labels",
                "needs at least one label, for example [job, instance]",
            );
        }
        if self.write.max_inflight_bytes < self.write.max_body_bytes {
            return invalid(
                "write.max_inflight_bytes",
                "must not be smaller than write.max_body_bytes",
            );
        }
        Ok(())
    }

    /// The address to listen on. An address that other machines can reach is refused unless
    /// `web.insecure_public` is set, because nothing asks for a password.
    pub fn listen_addr(&self) -> Result<SocketAddr, ConfigError> {
        let listen = &self.web.listen;
        let invalid = |problem| ConfigError::Value { setting: "web.listen", problem };
        let addr =
            listen.to_socket_addrs().ok().and_then(|mut addrs| addrs.next()).ok_or_else(|| {
                invalid(format!(
                    "{listen:?} is not an address; write host:port, for example 127.0.0.1:9999"
                ))
            })?;
        if !addr.ip().is_loopback() && !self.web.insecure_public {
            return Err(invalid(format!(
                "{listen} can be reached by other machines, and nines does not ask for a password: listen on \
                 127.0.0.1 behind a proxy that does, or add --insecure-public (web.insecure_public: true) \
                 if the network itself is trusted"
            )));
        }
        Ok(addr)
    }

    /// The compiled `web.cors_origin`, anchored at both ends; `None` when it is empty.
    pub fn cors_regex(&self) -> Result<Option<regex::Regex>, ConfigError> {
        let pattern = self.web.cors_pattern();
        if pattern.is_empty() {
            return Ok(None);
        }
        match regex::Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Ok(Some(regex)),
            Err(cause) => {
                Err(ConfigError::Value { setting: "web.cors_origin", problem: cause.to_string() })
            }
        }
    }

    /// The options of the store, but for the series that `history` selects.
    #[must_use]
    pub fn store_options(&self) -> StoreOptions {
        let storage = &self.storage;
        StoreOptions {
            wal_sync: match self.wal.sync {
                Sync::Always => WalSync::Always,
                Sync::Interval(interval) => WalSync::Interval(interval.0),
            },
            retention: match storage.retention {
                Retention::Unlimited => None,
                Retention::After(age) => Some(age.0),
            },
            future_max: storage.max_future.0,
            series_max: storage.max_series,
            tenants_max: storage.max_tenants,
            exemplars_max: storage.max_exemplars,
            target_labels: storage.target_labels.clone(),
            flush_interval: storage.flush_interval.0,
            wal_bytes_max: storage.wal_flush_bytes,
            rows_kept_bytes: self.memory.max_history_bytes,
            history_kept_max: self.history.local_max_bytes,
            ..StoreOptions::default()
        }
    }

    /// What is in force, as YAML, a password inside an address hidden.
    #[must_use]
    pub fn effective_yaml(&self) -> String {
        let mut shown = self.clone();
        shown.web.external_url = shown.web.external_url.map(|url| hide_password(&url));
        let mut yaml = serde_saphyr::to_string(&shown)
            .unwrap_or_else(|error| format!("# cannot be shown: {error}\n"));
        if self.web.cors_origin.is_none() {
            // Writing the default down would open more than it does.
            yaml.push_str("# web.cors_origin is not set: pages of any origin may read, only this server's own may write\n");
        }
        yaml
    }

    /// The longest time one query may run.
    #[must_use]
    pub const fn query_timeout(&self) -> Duration {
        self.query.timeout.0
    }
}

/// `https://user:secret@host` with the password replaced.
fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:<secret>@{host}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reads_a_part_and_keeps_the_other_defaults() {
        let config = Config::parse(
            "web:\n  listen: 127.0.0.1:1\nquery:\n  timeout: 1m30s\nstorage:\n  retention: 90d\nwal:\n  sync: 200ms\n",
        )
        .unwrap();
        assert_eq!(config.web.listen, "127.0.0.1:1");
        assert_eq!(config.query.timeout, PromDuration::from_secs(90));
        assert_eq!(config.query.max_samples, 50_000_000);
        assert_eq!(
            config.storage.retention,
            Retention::After(PromDuration::from_secs(90 * 86_400))
        );
        assert_eq!(config.wal.sync, Sync::Interval(PromDuration(Duration::from_millis(200))));
        assert_eq!(config.store_options().wal_sync, WalSync::Interval(Duration::from_millis(200)));
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("# nothing\n\n").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        for (text, place, key) in [
            ("query:\n  timeout: 1m\n  timeot: 1m\n", "line 3, column 3", "timeot"),
            ("# x\nwall: {}\n", "line 2, column 1", "wall"),
            ("query: {timeout: 1m, max: 1}\n", "line 1, column 22", "max"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(place) && error.contains(key), "{error}");
        }
        let error = Config::parse("query:\n  timeout: soon\n").unwrap_err();
        assert_eq!(
            error,
            "line 2, column 12: not a valid duration: \"soon\"; write for example 30s, 5m, 1h30m or 2d"
        );
        let error = Config::parse("query:\n  max_samples: many\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let mut config = Config::default();
        config.web.external_url = Some("https://nines.example/".to_owned());
        config.storage.retention = Retention::After(PromDuration::from_secs(86_400));
        assert_eq!(Config::parse(&config.effective_yaml()).unwrap(), config);
    }

    #[test]
    fn pages_may_read_by_default_and_an_empty_expression_switches_that_off() {
        let mut config = Config::default();
        assert!(config.cors_regex().unwrap().unwrap().is_match("https://any.example"));
        assert!(config.effective_yaml().contains("pages of any origin may read"));
        config.web.cors_origin = Some(String::new());
        assert!(config.cors_regex().unwrap().is_none());
        assert!(!config.effective_yaml().contains("pages of any origin may read"));
        config.web.cors_origin = Some("(".to_owned());
        assert!(config.validate().unwrap_err().to_string().starts_with("web.cors_origin"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut config = Config::default();
        config.web.external_url = Some("https://bob:hunter2@nines.example/x".to_owned());
        let yaml = config.effective_yaml();
        assert!(!yaml.contains("hunter2"), "{yaml}");
        assert!(yaml.contains("bob:<secret>@nines.example/x"), "{yaml}");
    }

    #[test]
    fn a_public_address_is_refused_with_what_to_do() {
        let mut config = Config::default();
        config.web.listen = "0.0.0.0:9999".to_owned();
        assert!(config.validate().unwrap_err().to_string().contains("--insecure-public"));
        config.web.insecure_public = true;
        config.validate().unwrap();
        config.web.listen = "nonsense".to_owned();
        assert!(config.validate().unwrap_err().to_string().contains("host:port"));
    }
}
