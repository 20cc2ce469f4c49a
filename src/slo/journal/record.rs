//! What entries say, in the words of the file.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize, Serializer};

use super::line::Kind;
use crate::clock::format_rfc3339;
use crate::slo::definition::{Exclusion, ExclusionMode, Place, When};
use crate::slo::sla::Figures;

/// How wall clocks are written.
const WALL_CLOCK: &str = "%Y-%m-%dT%H:%M:%S";

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// An exclusion.
    Exclusion(ExclusionRecord),
    /// That one holds no more.
    Revoked(Revoked),
    /// The figures of a period.
    Statement(Kind, StatementRecord),
    /// Definitions.
    Changed(Changes),
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exclusion(record) => record.serialize(to),
            Self::Revoked(revoked) => revoked.serialize(to),
            Self::Statement(_, statement) => statement.serialize(to),
            Self::Changed(changes) => changes.serialize(to),
        }
    }
}

impl Recorded {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Exclusion(_) => Kind::ExclusionCreated,
            Self::Revoked(_) => Kind::ExclusionRevoked,
            Self::Statement(kind, _) => *kind,
            Self::Changed(_) => Kind::DefinitionsChanged,
        }
    }

    pub(super) fn read(kind: Kind, payload: serde_json::Value) -> serde_json::Result<Self> {
        use serde_json::from_value;
        Ok(match kind {
            Kind::ExclusionCreated => Self::Exclusion(from_value(payload)?),
            Kind::ExclusionRevoked => Self::Revoked(from_value(payload)?),
            Kind::StatementClosed | Kind::StatementRestated => {
                Self::Statement(kind, from_value(payload)?)
            }
            Kind::DefinitionsChanged => Self::Changed(from_value(payload)?),
        })
    }
}

/// An exclusion as the API and the journal write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExclusionRecord {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Its beginning, or with `rrule` the wall clock of the first one.
    pub from: String,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
    /// Of the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How long each lasts, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_ms: Option<i64>,
    /// Services it is about; empty: all.
    #[serde(default)]
    pub services: Vec<String>,
    /// SLOs it is about; empty: all.
    #[serde(default)]
    pub slos: Vec<String>,
    /// Labels of series or groups that it is about; empty: all.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `exclude` or `good`.
    pub mode: String,
    /// Why.
    pub note: String,
    /// Who.
    pub author: String,
    /// When it was made, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Whether that was after it began.
    pub after_the_fact: bool,
}

impl ExclusionRecord {
    /// Writes an exclusion down.
    #[must_use]
    pub fn of(exclusion: &Exclusion) -> Self {
        let Exclusion {
            name,
            class,
            when,
            services,
            slos,
            labels,
            mode,
            note,
            author,
            created_ms,
            ..
        } = exclusion;
        let mut record = Self {
            name: name.clone(),
            class: class.clone(),
            from: String::new(),
            to: None,
            rrule: None,
            time_zone: None,
            length_ms: None,
            services: services.clone(),
            slos: slos.clone(),
            labels: labels.clone(),
            mode: match mode {
                ExclusionMode::Exclude => "exclude",
                ExclusionMode::Good => "good",
            }
            .to_owned(),
            note: note.clone(),
            author: author.clone(),
            created_at: created_ms.map(format_rfc3339),
            after_the_fact: created_ms.is_some_and(|created| created > exclusion.begins_ms()),
        };
        match when {
            When::Once { from_ms, to_ms } => {
                record.from = format_rfc3339(*from_ms);
                record.to = Some(format_rfc3339(*to_ms));
            }
            When::Repeated { start, zone, rrule, length_ms } => {
                record.from = start.format(WALL_CLOCK).to_string();
                record.rrule = Some(rrule.clone());
                record.time_zone = Some(zone.name().to_owned());
                record.length_ms = Some(*length_ms);
            }
        }
        record
    }

    /// The exclusion that was written down.
    pub fn exclusion(&self) -> Result<Exclusion, String> {
        let when = match (&self.rrule, &self.to) {
            (None, Some(to)) => {
                let (from_ms, to_ms) = (instant(&self.from)?, instant(to)?);
                if to_ms <= from_ms {
                    return Err(format!("the exclusion {:?} ends before it begins", self.name));
                }
                When::Once { from_ms, to_ms }
            }
            (Some(rrule), None) => {
                let zone = self.time_zone.as_deref().unwrap_or("UTC");
                let length_ms = self.length_ms.filter(|length| *length > 0);
                When::Repeated {
                    start: NaiveDateTime::parse_from_str(&self.from, WALL_CLOCK).map_err(
                        |error| format!("the time {:?} cannot be read: {error}", self.from),
                    )?,
                    zone: zone
                        .parse()
                        .map_err(|_| format!("the time zone {zone:?} is not known"))?,
                    rrule: rrule.clone(),
                    length_ms: length_ms
                        .ok_or_else(|| format!("the exclusion {:?} has no length", self.name))?,
                }
            }
            _ => return Err(format!("the exclusion {:?} has either `to` or `rrule`", self.name)),
        };
        let mode = match self.mode.as_str() {
            "exclude" => ExclusionMode::Exclude,
            "good" => ExclusionMode::Good,
            other => return Err(format!("the mode {other:?} is not known")),
        };
        Ok(Exclusion {
            name: self.name.clone(),
            class: self.class.clone(),
            when,
            services: self.services.clone(),
            slos: self.slos.clone(),
            labels: self.labels.clone(),
            mode,
            note: self.note.clone(),
            author: self.author.clone(),
            created_ms: self.created_at.as_deref().map(instant).transpose()?,
            place: Place { file: "the journal".to_owned(), line: 0, column: 0 },
        })
    }
}

fn instant(text: &str) -> Result<i64, String> {
    let at = DateTime::parse_from_rfc3339(text);
    at.map(|at| at.timestamp_millis())
        .map_err(|error| format!("the time {text:?} cannot be read: {error}"))
}

/// That an exclusion holds no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Its name.
    pub name: String,
    /// Why.
    pub note: String,
}

/// The figures of a period of an SLA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementRecord {
    /// The SLA.
    pub sla: String,
    /// The label of the period.
    pub period: String,
    /// What was counted.
    pub figures: Figures,
}

/// Definitions that came, went or changed together: a reload is one entry, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// By kind and name.
    pub changes: Vec<Changed>,
}

/// A definition that came, went or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// `SLO`, `SLA` or `Exclusion`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it stands; empty when it went.
    pub file: String,
    /// Tells its text from others; empty when it went.
    pub hash: String,
    /// What it promises, if it promises something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// What its annotation `nines.dev/git-ref` says.
    #[serde(rename = "gitRef", default, skip_serializing_if = "String::is_empty")]
    pub git_ref: String,
    /// What its annotation `nines.dev/author` says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
}
