//! `nines slo list|show|history|contributors|explain|whatif|diff`: what SLOs say, of a server or a data directory.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::diff::{self, DiffArgs};
use super::place::{Place, PlaceArgs};
use super::tables::{group, percent, period_of, table, verdict};
use super::{Usage, print_line};
use crate::clock::now_ms;
use crate::http::time::parse_time;
use crate::promql::parse_selector;
use crate::slo::contributors::contributors;
use crate::slo::decimal::Decimal;
use crate::slo::desk::{Desk, Periods};
use crate::slo::error::{Result as SloResult, SloError};
use crate::slo::evaluate::Asked;
use crate::slo::explain::explain;
use crate::slo::fraction::Fraction;
use crate::slo::sum::Sum;

/// Time in which these are looked for: a year of months, and a bit.
const BACK_MS: i64 = 366 * 86_400_000;

/// What is asked of SLOs.
#[derive(Debug, Subcommand)]
pub(super) enum LookCommand {
    /// List all with how they stand, least budget first
    ///
    /// Exit code 0: listed; 1: failed; 2: wrong usage.
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Show one: what it is and how it stands
    ///
    /// Exit code 0: shown; 1: there is none, or it failed; 2: wrong usage.
    Show {
        #[command(flatten)]
        of: Of,
    },
    /// The history of one, a line per period
    ///
    /// Exit code 0: told; 1: there is no such SLO, or it failed; 2: wrong usage.
    History {
        #[command(flatten)]
        of: Of,
        /// window, day, week, month, quarter or year
        #[arg(long, default_value = "window")]
        unit: String,
        #[command(flatten)]
        time: Time,
    },
    /// Who is to blame: bad events by the values of labels, worst first
    ///
    /// Exit code 0: told; 1: there is no such SLO, or it failed; 2: wrong usage.
    Contributors {
        #[command(flatten)]
        of: Of,
        /// Labels, such as instance
        #[arg(long, required = true, value_delimiter = ',')]
        by: Vec<String>,
        /// How many
        #[arg(long, default_value_t = 10)]
        limit: usize,
        #[command(flatten)]
        time: Time,
    },
    /// Why a number is what it is: series, samples, resets, gaps. It is told as JSON in any case
    ///
    /// Exit code 0: told; 1: there is no such SLO, or it failed; 2: wrong usage.
    Explain {
        #[command(flatten)]
        of: Of,
        /// Only series that satisfy this selector
        #[arg(long, value_name = "SELECTOR", default_value = "")]
        series: String,
        /// How many series
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        time: Time,
    },
    /// What another target would have said of the last periods
    ///
    /// Exit code 0: told; 1: there is no such SLO, or it failed; 2: wrong usage.
    Whatif {
        #[command(flatten)]
        of: Of,
        /// The target, such as 0.9995
        #[arg(long)]
        target: Decimal,
    },
    /// What numbers and verdicts of the last twelve periods the definitions of a directory would change
    ///
    /// What is defined on one side alone is told as well. Definitions with errors are not compared. Exit code 0: nothing;
    /// 1: something, errors, or failed; 2: wrong usage.
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// Name of the SLO
    slo: String,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(super) struct Time {
    /// Since when: RFC 3339, unix seconds or a day [default: its window, or a year of periods]
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true)]
    from: String,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true)]
    to: String,
}

/// An instant, or a day that begins at midnight in UTC.
fn instant(text: &str) -> anyhow::Result<i64> {
    let day = text.len() == 10 && text.as_bytes().get(4) == Some(&b'-');
    let whole = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    parse_time(&whole).map_err(|why| Usage(format!("{text:?} is no time: {why}")).into())
}

impl Time {
    fn span(&self) -> anyhow::Result<Option<(i64, i64)>> {
        if self.from.is_empty() {
            if !self.to.is_empty() {
                return Err(Usage("--to needs --from".to_owned()).into());
            }
            return Ok(None);
        }
        let to = if self.to.is_empty() { now_ms() } else { instant(&self.to)? };
        Ok(Some((instant(&self.from)?, to)))
    }
}

/// Unix seconds as a parameter.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

fn value<T: serde::Serialize>(of: SloResult<T>) -> SloResult<Value> {
    serde_json::to_value(of?).map_err(|error| SloError::Invalid(error.to_string()))
}

/// Asks a server by `path` and `query`, or the desk of a data directory.
fn ask(
    place: &Place,
    path: &[&str],
    query: &[(&str, String)],
    here: impl FnOnce(&Desk<'_>) -> SloResult<Value>,
) -> anyhow::Result<Value> {
    let query: Vec<(&str, &str)> =
        query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    place.look(path, &query, here)
}

/// Runs one of the commands; says whether there were findings.
pub(super) fn run(command: LookCommand) -> anyhow::Result<bool> {
    match command {
        LookCommand::List { place } => list(&place),
        LookCommand::Show { of } => show(&of),
        LookCommand::History { of, unit, time } => {
            let reports = periods(&of, &unit, time.span()?)?;
            if of.place.json {
                print_line(&reports.to_string());
            } else {
                table(&reports);
            }
            Ok(false)
        }
        LookCommand::Contributors { of, by, limit, time } => {
            let span = time.span()?;
            let mut query = vec![("by", by.join(",")), ("limit", limit.to_string())];
            query.extend(span_query(span));
            let found =
                ask(&of.place.open()?, &["slos", &of.slo, "contributors"], &query, |desk| {
                    let slo = desk.slo(&of.slo)?;
                    value(contributors(desk, slo, (&by, limit), &asked(desk, &of.slo, span)?))
                })?;
            print_found(&found, of.place.json);
            Ok(false)
        }
        LookCommand::Explain { of, series, limit, time } => {
            let span = time.span()?;
            let mut query = vec![("series", series.clone()), ("limit", limit.to_string())];
            query.extend(span_query(span));
            let found = ask(&of.place.open()?, &["slos", &of.slo, "explain"], &query, |desk| {
                let only = match series.as_str() {
                    "" => Vec::new(),
                    text => parse_selector(text)
                        .map_err(|error| SloError::Invalid(error.render(text)))?,
                };
                value(explain(
                    desk,
                    desk.slo(&of.slo)?,
                    (&only, limit),
                    &asked(desk, &of.slo, span)?,
                ))
            })?;
            print_line(&serde_json::to_string_pretty(&found)?);
            Ok(false)
        }
        LookCommand::Whatif { of, target } => whatif(&of, target),
        LookCommand::Diff(args) => diff::run(&args),
    }
}

fn span_query(span: Option<(i64, i64)>) -> Vec<(&'static str, String)> {
    match span {
        Some((from, to)) => vec![("from", seconds(from)), ("to", seconds(to))],
        None => Vec::new(),
    }
}

fn asked(desk: &Desk<'_>, slo: &str, span: Option<(i64, i64)>) -> SloResult<Asked> {
    match span {
        Some((from_ms, to_ms)) => Ok(Asked { from_ms, to_ms, label: String::new() }),
        None => desk.window_at(desk.slo(slo)?, desk.now_ms),
    }
}

fn list(place: &PlaceArgs) -> anyhow::Result<bool> {
    let found = ask(&place.open()?, &["slos"], &[], |desk| {
        Ok(json!({ "items": value(desk.list(desk.now_ms, &|_| true))? }))
    })?;
    if place.json {
        print_line(&found.to_string());
    } else {
        table(&found["items"]);
    }
    Ok(false)
}

fn show(of: &Of) -> anyhow::Result<bool> {
    let found = ask(&of.place.open()?, &["slos", &of.slo], &[], |desk| {
        let slo = desk.slo(&of.slo)?;
        Ok(json!({
            "name": slo.name,
            "displayName": slo.display_name,
            "description": slo.description,
            "service": slo.service,
            "method": slo.method.name(),
            "groupBy": slo.group_by,
            "source": { "file": slo.place.file, "line": slo.place.line },
            "status": value(desk.status(slo, desk.now_ms))?,
        }))
    })?;
    if of.place.json {
        print_line(&found.to_string());
        return Ok(false);
    }
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    print_line(&format!("{} ({}), service {}", text("name"), text("method"), text("service")));
    let source = &found["source"];
    print_line(&format!("{}:{}", source["file"].as_str().unwrap_or_default(), source["line"]));
    table(&found["status"]);
    Ok(false)
}

fn periods(of: &Of, unit: &str, span: Option<(i64, i64)>) -> anyhow::Result<Value> {
    let mut query = vec![("unit", unit.to_owned())];
    query.extend(span_query(span));
    ask(&of.place.open()?, &["slos", &of.slo, "periods"], &query, |desk| {
        let slo = desk.slo(&of.slo)?;
        let span = span.unwrap_or((desk.now_ms - BACK_MS, desk.now_ms));
        let mut reports = Vec::new();
        for period in desk.periods(slo, Periods::parse(unit)?, span, None)? {
            reports.extend(desk.evaluator(slo).evaluate(&period)?);
        }
        value(Ok(reports))
    })
}

/// What another target says of counts.
fn judged(report: &Value, target: Decimal) -> (Option<f64>, Option<bool>) {
    let count = |name: &str| Fraction::from(&Sum::of(report[name].as_f64().unwrap_or_default()));
    let (bad, total) = (count("bad"), count("total"));
    let allowed = Fraction::from(target).rest().times(&total);
    let left = bad.over(&allowed).map(|share| share.rest().to_f64());
    (left, total.is_positive().then(|| bad <= allowed))
}

fn whatif(of: &Of, target: Decimal) -> anyhow::Result<bool> {
    let reports = periods(of, "window", None)?;
    let mut told = Vec::new();
    for report in reports.as_array().map(Vec::as_slice).unwrap_or_default() {
        let (left, met) = judged(report, target);
        told.push(json!({
            "group": report["group"],
            "window": report["window"]["label"],
            "from": report["window"]["from"],
            "bad": report["bad"],
            "total": report["total"],
            "sli": report["sli"],
            "met": report["met"],
            "budgetRemaining": report["budgetRemaining"],
            "wouldBeMet": met,
            "wouldRemain": left,
        }));
    }
    let told = json!(told);
    if of.place.json {
        print_line(&told.to_string());
        return Ok(false);
    }
    print_line(&format!(
        "{:<24} {:<20} {:>10} {:>8} {:>12} {:>12}",
        "PERIOD", "GROUP", "SLI", "MET", "WOULD BE MET", "WOULD REMAIN"
    ));
    for one in told.as_array().map(Vec::as_slice).unwrap_or_default() {
        print_line(&format!(
            "{:<24} {:<20} {:>10} {:>8} {:>12} {:>12}",
            period_of(&one["window"], &one["from"]),
            group(&one["group"]),
            percent(&one["sli"]),
            verdict(&one["met"]),
            verdict(&one["wouldBeMet"]),
            percent(&one["wouldRemain"]),
        ));
    }
    Ok(false)
}

fn print_found(found: &Value, as_json: bool) {
    if as_json {
        print_line(&found.to_string());
        return;
    }
    print_line(&format!(
        "{:<48} {:>12} {:>14} {:>8} {:>10} {:>10}",
        "LABELS", "BAD", "TOTAL", "SHARE", "SLI", "WITHOUT"
    ));
    for one in found["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        print_line(&format!(
            "{:<48} {:>12} {:>14} {:>8} {:>10} {:>10}",
            group(&one["labels"]),
            one["bad"].to_string(),
            one["total"].to_string(),
            percent(&one["share"]),
            percent(&one["sli"]),
            percent(&one["sliWithout"]),
        ));
    }
}
