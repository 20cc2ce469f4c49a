//! Reports to be handed out: what each SLO or group came to in one period, one row each, as JSON, CSV or Parquet.

use std::collections::BTreeMap;

use nines_storage::{FlatColumn, flat_table};
use serde::Serialize;

use super::definition::{Calendar, Definitions, Sla, Slo};
use super::desk::{Desk, Periods};
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::journal::Journal;
use super::report::{Count, Instant, Report, Status};
use super::sla::{self, Downtime, Due, State};
use super::slices::zone;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Every SLO.
    Portfolio,
    /// Those of a service.
    Service(String),
    /// One SLO.
    Slo(String),
    /// An SLA, by its groups.
    Sla(String),
}

impl About {
    /// `portfolio`, `service:NAME`, `slo:NAME`, `sla:NAME`.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            None if text == "portfolio" => Self::Portfolio,
            Some(("service", name)) => Self::Service(name.to_owned()),
            Some(("slo", name)) => Self::Slo(name.to_owned()),
            Some(("sla", name)) => Self::Sla(name.to_owned()),
            _ => {
                let why = format!(
                    "a report about {text:?} is not known: portfolio, service:NAME, slo:NAME or sla:NAME"
                );
                return Err(SloError::Invalid(why));
            }
        })
    }
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page to be printed.
    Html,
    /// Rows and what they are about.
    Json,
    /// Rows.
    Csv,
    /// Rows.
    Parquet,
}

impl Format {
    /// `html`, `json`, `csv`, `parquet`.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "html" => Self::Html,
            "json" => Self::Json,
            "csv" => Self::Csv,
            "parquet" => Self::Parquet,
            other => {
                let why = format!("the format {other:?} is not known: html, json, csv or parquet");
                return Err(SloError::Invalid(why));
            }
        })
    }

    /// Of what type an answer in this form is.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// One SLO or group in the period.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The SLO.
    pub slo: String,
    /// The objective, of a composite.
    pub objective: String,
    /// The service.
    pub service: String,
    /// The team.
    pub team: String,
    /// `name=value`, by commas.
    pub group: String,
    /// The label of the period.
    pub period: String,
    /// Its beginning.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// Of its calendar.
    pub time_zone: String,
    /// Whether it is over.
    pub complete: bool,
    /// The method.
    pub method: String,
    /// Good events or slices.
    pub good: Count,
    /// Bad ones.
    pub bad: Count,
    /// Both.
    pub total: Count,
    /// Good of all.
    pub sli: Option<f64>,
    /// The last target of the period.
    pub target: Option<f64>,
    /// The one target that would allow as many.
    pub effective_target: Option<f64>,
    /// How many may be bad.
    pub allowed: Option<f64>,
    /// Share of these that is left.
    pub remaining: Option<f64>,
    /// Whether no more were bad.
    pub met: Option<bool>,
    /// How it stands; of an SLA how far the statement is.
    pub status: &'static str,
    /// Slices with samples.
    pub slices_with_data: Option<u32>,
    /// Slices.
    pub slices: Option<u32>,
    /// Bad ones without exclusions.
    pub raw_bad: Option<Count>,
    /// All of them without exclusions.
    pub raw_total: Option<Count>,
    /// Exclusions, by commas.
    pub exclusions: String,
    /// Of an SLA: minutes that are owed.
    pub credit_minutes: Option<f64>,
    /// Of an SLA: percent of the price that is owed.
    pub credit_percent: Option<f64>,
    /// Of an SLA: when it was down, in breach. In JSON and on the page alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downtime: Vec<Downtime>,
    /// Whether every number is the true one.
    pub exact: bool,
    /// Of the samples.
    pub revision: u64,
    /// Of what says how it is counted and judged.
    pub definition_version: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// What it is about, as it was asked for.
    pub scope: String,
    /// `month` and such; `window` for the periods of an SLA.
    pub unit: String,
    /// The label of the period.
    pub period: String,
    /// When it was made.
    pub made_at: Instant,
    /// How many kept what they promise.
    pub met: u32,
    /// Of how many that had something to count.
    pub of: u32,
    /// How many had nothing to count.
    pub no_data: u32,
    /// By service, SLO and group.
    pub rows: Vec<Row>,
    /// What is to be known beside.
    pub notes: Vec<String>,
}

/// The report about a period; an empty label is the last one that is over.
pub fn table(
    desk: &Desk<'_>,
    journal: Option<&Journal>,
    (scope, unit, label): (&str, &str, &str),
) -> Result<Table> {
    let about = About::parse(scope)?;
    let mut table = Table {
        scope: scope.to_owned(),
        unit: unit.to_owned(),
        period: label.to_owned(),
        made_at: Instant(desk.now_ms),
        met: 0,
        of: 0,
        no_data: 0,
        rows: Vec::new(),
        notes: Vec::new(),
    };
    if let About::Sla(name) = &about {
        let found = desk.definitions.slas.get(name);
        let sla = found.ok_or_else(|| SloError::NotFound(format!("SLA {name:?}")))?;
        "window".clone_into(&mut table.unit);
        of_sla(desk, journal, sla, &mut table)?;
        return Ok(table);
    }
    let Periods::Calendar(unit) = Periods::parse(unit)? else {
        return Err(SloError::Invalid(
            "a report is about a day, week, month, quarter or year".to_owned(),
        ));
    };
    if let About::Slo(name) = &about {
        desk.slo(name)?;
    }
    let is_wanted = |slo: &&Slo| match &about {
        About::Service(name) => slo.service == *name,
        About::Slo(name) => slo.name == *name,
        About::Portfolio | About::Sla(_) => true,
    };
    for slo in desk.definitions.slos.values().filter(is_wanted) {
        let period = period_of(&Calendar::natural(unit, zone(slo)), &table.period, desk.now_ms)?;
        table.period.clone_from(&period.label);
        for report in desk.evaluator(slo).evaluate(&period)? {
            for note in &report.notes {
                if !table.notes.contains(note) {
                    table.notes.push(note.clone());
                }
            }
            count(&mut table, report.met);
            table.rows.push(row(desk.definitions, slo, &report));
        }
    }
    if let (About::Service(name), true) = (&about, table.rows.is_empty()) {
        return Err(SloError::NotFound(format!("service {name:?} or an SLO of it")));
    }
    table.rows.sort_by(|a, b| (&a.service, &a.slo, &a.group).cmp(&(&b.service, &b.slo, &b.group)));
    Ok(table)
}

fn count(table: &mut Table, met: Option<bool>) {
    match met {
        Some(met) => {
            table.of += 1;
            table.met += u32::from(met);
        }
        None => table.no_data += 1,
    }
}

fn period_of(calendar: &Calendar, label: &str, now_ms: i64) -> Result<Asked> {
    if !label.is_empty() {
        return sla::period_of(calendar, label);
    }
    let current = calendar.at(now_ms);
    let last = current.and_then(|current| calendar.at(current.from_ms));
    let last =
        last.ok_or_else(|| SloError::Invalid("there is no period before this one".to_owned()))?;
    Ok(Asked { from_ms: last.from_ms, to_ms: last.to_ms, label: last.label })
}

fn pairs(group: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::AtRisk => "atRisk",
        Status::Breached => "breached",
        Status::NoData => "noData",
    }
}

fn row(definitions: &Definitions, slo: &Slo, report: &Report) -> Row {
    Row {
        slo: report.slo.clone(),
        objective: report.objective.clone(),
        service: report.service.clone(),
        team: definitions.team_of(slo).to_owned(),
        group: pairs(&report.group),
        period: report.window.label.clone(),
        from: report.window.from,
        to: report.window.to,
        time_zone: report.window.time_zone.clone(),
        complete: report.window.complete,
        method: report.method.to_owned(),
        good: report.good,
        bad: report.bad,
        total: report.total,
        sli: report.sli,
        target: report.targets.last().map(|segment| segment.target.to_f64()),
        effective_target: report.effective_target,
        allowed: report.allowed_bad,
        remaining: report.budget_remaining,
        met: report.met,
        status: status(report.status),
        slices_with_data: Some(report.coverage.with_data),
        slices: Some(report.coverage.slices),
        raw_bad: Some(report.raw.bad),
        raw_total: Some(report.raw.total),
        exclusions: report.excluded.ids.join(","),
        credit_minutes: None,
        credit_percent: None,
        downtime: Vec::new(),
        exact: report.exact,
        revision: report.revision,
        definition_version: report.definition_version.clone(),
    }
}

/// The rows of a statement: all together first, then its groups.
fn of_sla(desk: &Desk<'_>, journal: Option<&Journal>, sla: &Sla, table: &mut Table) -> Result<()> {
    let slo = desk.slo(&sla.slo)?;
    let period = period_of(&sla.calendar, &table.period, desk.now_ms)?;
    table.period.clone_from(&period.label);
    let statement = sla::statement(desk, journal, sla, &period)?;
    let figures = &statement.figures;
    table.notes.clone_from(&figures.notes);
    if statement.state == State::Restated {
        table.notes.push("later data say something else than these closed figures: see the restatements of the statement".to_owned());
    }
    let target = figures.target.to_f64();
    for line in std::iter::once(&figures.pooled).chain(&figures.groups) {
        let (minutes, percent) = match line.credit {
            Some(Due::LostTime { minutes }) => (minutes, None),
            Some(Due::Tiers { percent }) => (None, Some(percent.to_f64())),
            None => (None, None),
        };
        let allowed = (1.0 - target) * line.counted.0;
        let counted = line.counted.0 > 0.0;
        table.rows.push(Row {
            slo: sla.slo.clone(),
            objective: String::new(),
            service: slo.service.clone(),
            team: desk.definitions.team_of(slo).to_owned(),
            group: pairs(&line.group),
            period: period.label.clone(),
            from: figures.from,
            to: figures.to,
            time_zone: figures.time_zone.clone(),
            complete: period.to_ms <= desk.now_ms,
            method: figures.method.clone(),
            good: Count(line.counted.0 - line.bad.0),
            bad: line.bad,
            total: line.counted,
            sli: line.sli,
            target: Some(target),
            effective_target: Some(target),
            allowed: counted.then_some(allowed),
            remaining: (counted && allowed > 0.0).then(|| 1.0 - line.bad.0 / allowed),
            met: line.met,
            status: match statement.state {
                State::Open => "open",
                State::Final => "final",
                State::Restated => "restated",
            },
            slices_with_data: None,
            slices: None,
            raw_bad: None,
            raw_total: None,
            exclusions: figures.exclusions.join(","),
            credit_minutes: minutes,
            credit_percent: percent,
            downtime: line.downtime.clone(),
            exact: figures.exact,
            revision: figures.revision,
            definition_version: figures.definition_version.clone(),
        });
    }
    let summary = figures.summary;
    (table.met, table.of, table.no_data) = (summary.met, summary.of, summary.no_data);
    Ok(())
}

/// A value of a row.
enum Cell {
    Text(String),
    Float(Option<f64>),
    Integer(Option<i64>),
    Truth(Option<bool>),
    Time(Instant),
}

/// The columns of CSV and Parquet, in their order.
fn cells(row: &Row) -> [(&'static str, Cell); 31] {
    let text = |text: &str| Cell::Text(text.to_owned());
    let whole = |n: Option<u32>| Cell::Integer(n.map(i64::from));
    let count = |count: Option<Count>| Cell::Float(count.map(|count| count.0));
    [
        ("slo", text(&row.slo)),
        ("objective", text(&row.objective)),
        ("service", text(&row.service)),
        ("team", text(&row.team)),
        ("group", text(&row.group)),
        ("period", text(&row.period)),
        ("window_from", Cell::Time(row.from)),
        ("window_to", Cell::Time(row.to)),
        ("time_zone", text(&row.time_zone)),
        ("complete", Cell::Truth(Some(row.complete))),
        ("method", text(&row.method)),
        ("good", count(Some(row.good))),
        ("bad", count(Some(row.bad))),
        ("total", count(Some(row.total))),
        ("sli", Cell::Float(row.sli)),
        ("target", Cell::Float(row.target)),
        ("effective_target", Cell::Float(row.effective_target)),
        ("allowed", Cell::Float(row.allowed)),
        ("remaining", Cell::Float(row.remaining)),
        ("met", Cell::Truth(row.met)),
        ("status", text(row.status)),
        ("slices_with_data", whole(row.slices_with_data)),
        ("slices", whole(row.slices)),
        ("raw_bad", count(row.raw_bad)),
        ("raw_total", count(row.raw_total)),
        ("exclusions", text(&row.exclusions)),
        ("credit_minutes", Cell::Float(row.credit_minutes)),
        ("credit_percent", Cell::Float(row.credit_percent)),
        ("exact", Cell::Truth(Some(row.exact))),
        ("revision", Cell::Integer(i64::try_from(row.revision).ok())),
        ("definition_version", text(&row.definition_version)),
    ]
}

impl Table {
    /// Lines of comma-separated values (RFC 4180), the names of the columns first; nothing for what is undefined.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let cells = cells(row);
            if at == 0 {
                let names: Vec<&str> = cells.iter().map(|(name, _)| *name).collect();
                text.push_str(&names.join(","));
                text.push_str("\r\n");
            }
            let values: Vec<String> = cells.into_iter().map(|(_, cell)| csv_value(&cell)).collect();
            text.push_str(&values.join(","));
            text.push_str("\r\n");
        }
        text
    }

    /// A Parquet file.
    pub fn parquet(&self) -> Result<Vec<u8>> {
        let mut columns: Vec<(&'static str, FlatColumn)> = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            for (place, (name, cell)) in cells(row).into_iter().enumerate() {
                if at == 0 {
                    columns.push((name, empty(&cell)));
                }
                if let Some((_, column)) = columns.get_mut(place) {
                    push(column, cell);
                }
            }
        }
        Ok(flat_table(&columns)?)
    }
}

fn csv_value(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Cell::Text(text) => text.clone(),
        Cell::Float(value) => value.map(|value| value.to_string()).unwrap_or_default(),
        Cell::Integer(value) => value.map(|value| value.to_string()).unwrap_or_default(),
        Cell::Truth(value) => value.map(|value| value.to_string()).unwrap_or_default(),
        Cell::Time(at) => at.to_string(),
    }
}

fn empty(cell: &Cell) -> FlatColumn {
    match cell {
        Cell::Text(_) => FlatColumn::Text(Vec::new()),
        Cell::Float(_) => FlatColumn::Float(Vec::new()),
        Cell::Integer(_) => FlatColumn::Integer(Vec::new()),
        Cell::Truth(_) => FlatColumn::Truth(Vec::new()),
        Cell::Time(_) => FlatColumn::Time(Vec::new()),
    }
}

fn push(column: &mut FlatColumn, cell: Cell) {
    match (column, cell) {
        (FlatColumn::Text(values), Cell::Text(text)) => values.push(Some(text)),
        (FlatColumn::Float(values), Cell::Float(value)) => values.push(value),
        (FlatColumn::Integer(values), Cell::Integer(value)) => values.push(value),
        (FlatColumn::Truth(values), Cell::Truth(value)) => values.push(value),
        (FlatColumn::Time(values), Cell::Time(at)) => values.push(Some(at.0)),
        // A column holds what its first cell is.
        _ => {}
    }
}
