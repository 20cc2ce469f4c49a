//! The matrix for the boss: services or teams, periods, and in each cell how many objectives were met.
//!
//! What is counted are objectives, and groups where an SLO has them; percentages are never averaged.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Serialize;

use super::definition::Slo;
use super::desk::{Desk, Periods};
use super::error::{Result, SloError};
use super::parallel::each;
use super::report::{Instant, Report, Status};

/// By what the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Services.
    Service,
    /// Teams.
    Team,
}

/// The one with the least budget left.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Worst {
    /// The SLO.
    pub slo: String,
    /// Its group.
    pub group: BTreeMap<String, String>,
    /// What is left of its budget.
    pub budget_remaining: f64,
}

/// What a row says of a period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// How many were met.
    pub met: u32,
    /// Of how many.
    pub total: u32,
    /// How many of these, and beside these, had nothing to count.
    pub no_data: u32,
    /// The one with the least budget left.
    pub worst: Option<Worst>,
    /// Whether all numbers are the true ones.
    pub exact: bool,
}

impl Cell {
    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        if self.total == 0 && self.no_data == 0 {
            self.exact = true;
        }
        self.exact &= report.exact;
        if report.status == Status::NoData {
            self.no_data += 1;
            return;
        }
        self.total += 1;
        self.met += u32::from(report.met == Some(true));
        let Some(left) = report.budget_remaining else { return };
        if self.worst.as_ref().is_none_or(|worst| left < worst.budget_remaining) {
            self.worst = Some(Worst {
                slo: report.slo.clone(),
                group: report.group.clone(),
                budget_remaining: left,
            });
        }
    }
}

/// A period of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub label: String,
    /// Its beginning.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
}

/// A service or team.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// Its SLOs.
    pub slos: Vec<String>,
    /// One per column.
    pub cells: Vec<Cell>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Portfolio {
    /// `service` or `team`.
    pub by: &'static str,
    /// The periods, in the time zone that was asked for.
    pub columns: Vec<Column>,
    /// By name.
    pub rows: Vec<Row>,
    /// All rows together.
    pub total: Vec<Cell>,
}

/// The row of an SLO.
fn row_of(desk: &Desk<'_>, by: By, slo: &Slo) -> (String, String) {
    let definitions = desk.definitions;
    match by {
        By::Service => {
            let shown = definitions.services.get(&slo.service).map(|one| one.display_name.clone());
            (slo.service.clone(), shown.unwrap_or_else(|| slo.service.clone()))
        }
        By::Team => {
            let team = definitions.team_of(slo).to_owned();
            let shown = definitions.teams.get(&team).map(|one| one.display_name.clone());
            (team.clone(), shown.unwrap_or(team))
        }
    }
}

/// The matrix of (`from_ms`, `to_ms`] in periods of the calendar of `tz`, or of each SLO's own zone.
pub fn portfolio(
    desk: &Desk<'_>,
    (by, periods): (By, Periods),
    (from_ms, to_ms): (i64, i64),
    tz: Option<Tz>,
    wanted: &dyn Fn(&Slo) -> bool,
) -> Result<Portfolio> {
    if periods == Periods::Window {
        return Err(SloError::Invalid(
            "the windows of several SLOs are no columns: day, week, month, quarter or year"
                .to_owned(),
        ));
    }
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    let mut cells: BTreeMap<(String, String), Cell> = BTreeMap::new();
    let mut totals: BTreeMap<String, Cell> = BTreeMap::new();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let slos: Vec<&Slo> = desk.definitions.slos.values().filter(|slo| wanted(slo)).collect();
    let told = each(&slos, &|slo| {
        let periods = desk.periods(slo, periods, (from_ms, to_ms), tz)?;
        let told = periods.into_iter().map(|asked| {
            let reports = desk.evaluator(slo).evaluate(&asked)?;
            Ok((asked, reports))
        });
        told.collect::<Result<Vec<_>>>()
    })?;
    for (slo, periods) in slos.into_iter().zip(told) {
        let (name, display_name) = row_of(desk, by, slo);
        for (asked, reports) in periods {
            for report in &reports {
                cells.entry((name.clone(), asked.label.clone())).or_default().add(report);
                totals.entry(asked.label.clone()).or_default().add(report);
            }
            // Zones begin their months at different hours; the name is what they share.
            let (from, to) = (Instant(asked.from_ms), Instant(asked.to_ms));
            let label = asked.label.clone();
            columns.entry(asked.label).or_insert(Column { label, from, to });
        }
        let row = rows.entry(name.clone());
        let row = row.or_insert(Row { name, display_name, slos: Vec::new(), cells: Vec::new() });
        row.slos.push(slo.name.clone());
    }
    let mut columns: Vec<Column> = columns.into_values().collect();
    columns.sort_by_key(|column| column.from);
    for row in rows.values_mut() {
        let cell = |column: &Column| {
            cells.get(&(row.name.clone(), column.label.clone())).cloned().unwrap_or_default()
        };
        row.cells = columns.iter().map(cell).collect();
    }
    let total = |column: &Column| totals.get(&column.label).cloned().unwrap_or_default();
    let total = columns.iter().map(total).collect();
    let by = match by {
        By::Service => "service",
        By::Team => "team",
    };
    Ok(Portfolio { by, columns, rows: rows.into_values().collect(), total })
}
