//! What the history holds beyond hours and days, and where a copy of it is kept.

use std::collections::BTreeMap;

use nines_storage::history::Tier;
use serde::{Deserialize, Serialize};

use super::{PromDuration, StoreUrl};

/// The Parquet history and its copy in an object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// Series with rows in further tables.
    pub policies: Vec<PolicyConfig>,
    /// Tables in which the series that SLOs are counted from have rows as well; empty: in none.
    pub slo_inputs: Vec<PolicyTable>,
    /// For how long rows of tables are kept, of series that no policy says so for; 0: for ever.
    pub retention: BTreeMap<Tier, PromDuration>,
    /// Where a copy of it is kept; not at all when it is not set.
    pub url: Option<StoreUrl>,
    /// Address of the store, if it is not Amazon's; `AWS_ENDPOINT_URL` when not set.
    pub endpoint: Option<String>,
    /// Its region; `AWS_REGION` or `AWS_DEFAULT_REGION` when not set.
    pub region: Option<String>,
    /// Bytes of its files that one tenant keeps in the data directory once the store has them; all when not set.
    pub local_max_bytes: Option<u64>,
    /// Pause between two looks for what is to be published.
    pub publish_interval: PromDuration,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            slo_inputs: vec![PolicyTable::FiveMinutes],
            retention: BTreeMap::new(),
            url: None,
            endpoint: None,
            region: None,
            local_max_bytes: None,
            publish_interval: PromDuration::from_secs(10),
        }
    }
}

/// Series, the tables that they have rows in besides hours and days, and for how long they keep their rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// PromQL series selectors; a series has to satisfy one of them.
    #[serde(rename = "match")]
    pub series: Selectors,
    /// The tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<PolicyTable>,
    /// For how long rows of tables are kept; 0: for ever.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keep: BTreeMap<Tier, PromDuration>,
}

/// One selector, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Selectors {
    /// One.
    One(String),
    /// Several.
    Some(Vec<String>),
}

impl Selectors {
    /// As they are written.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Some(texts) => texts,
        }
    }
}

/// A table that has rows of some series only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyTable {
    /// A row per sample.
    #[serde(rename = "raw")]
    Raw,
    /// A row per five minutes.
    #[serde(rename = "rollup_5m")]
    FiveMinutes,
}

impl From<PolicyTable> for Tier {
    fn from(table: PolicyTable) -> Self {
        match table {
            PolicyTable::Raw => Self::Raw,
            PolicyTable::FiveMinutes => Self::FiveMinutes,
        }
    }
}
