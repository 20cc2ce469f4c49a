//! What the history holds beyond hours and days.

use nines_storage::history::Tier;
use serde::{Deserialize, Serialize};

/// The Parquet history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// Series with rows in further tables.
    pub policies: Vec<PolicyConfig>,
}

/// Series, and the tables that they have rows in besides hours and days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// PromQL series selectors; a series has to satisfy one of them.
    #[serde(rename = "match")]
    pub series: Selectors,
    /// The tables.
    pub tables: Vec<PolicyTable>,
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
