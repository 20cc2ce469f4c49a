//! `nines slo list|show|history|contributors|explain|whatif|diff`: what SLOs say, of a server or a data directory.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::place::{Place, PlaceArgs};
use super::print_line;
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

/// Periods that are compared.
const PERIODS: usize = 12;
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
    /// Exit code 0: nothing; 1: something, or failed; 2: wrong usage.
    Diff {
        /// The directory
        dir: PathBuf,
        #[command(flatten)]
        place: PlaceArgs,
    },
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
    parse_time(&whole).map_err(|why| anyhow::anyhow!("{text:?} is no time: {why}"))
}

impl Time {
    fn span(&self) -> anyhow::Result<Option<(i64, i64)>> {
        if self.from.is_empty() {
            anyhow::ensure!(self.to.is_empty(), "--to needs --from");
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
        LookCommand::Diff { dir, place } => diff(&dir, &place),
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

fn diff(dir: &std::path::Path, args: &PlaceArgs) -> anyhow::Result<bool> {
    let (definitions, _) = crate::slo::define::load_dir(dir)
        .with_context(|| format!("cannot read the definitions in {}", dir.display()))?;
    let place = args.open()?;
    let mut changes = Vec::new();
    for slo in definitions.slos.values() {
        let query = vec![("unit", "window".to_owned())];
        let name = slo.name.as_str();
        let old = ask(&place, &["slos", name, "periods"], &query, |desk| {
            let slo = desk.slo(name)?;
            let span = (desk.now_ms - BACK_MS, desk.now_ms);
            let mut reports = Vec::new();
            for period in desk.periods(slo, Periods::Window, span, None)? {
                reports.extend(desk.evaluator(slo).evaluate(&period)?);
            }
            value(Ok(reports))
        });
        let old = match old {
            Ok(old) => old,
            Err(_) => {
                changes.push(json!({ "slo": name, "change": "new" }));
                continue;
            }
        };
        let old = old.as_array().cloned().unwrap_or_default();
        for before in old.iter().rev().take(PERIODS).rev() {
            let instant_of = |name: &str| {
                parse_time(before["window"][name].as_str().unwrap_or_default()).unwrap_or_default()
            };
            let span = (instant_of("from"), instant_of("to"));
            let after = place.evaluate(slo, span)?;
            let after = after
                .as_array()
                .and_then(|all| all.iter().find(|one| one["group"] == before["group"]).cloned());
            let same = |name: &str| after.as_ref().is_some_and(|after| after[name] == before[name]);
            if ["good", "bad", "total", "met", "budgetRemaining"].into_iter().all(same) {
                continue;
            }
            let of = |report: &Value| {
                json!({
                    "bad": report["bad"], "total": report["total"], "sli": report["sli"],
                    "met": report["met"], "budgetRemaining": report["budgetRemaining"],
                })
            };
            changes.push(json!({
                "slo": name,
                "change": "changed",
                "group": before["group"],
                "window": before["window"],
                "before": of(before),
                "after": after.as_ref().map(of),
            }));
        }
    }
    if args.json {
        print_line(&json!(changes).to_string());
        return Ok(!changes.is_empty());
    }
    for change in &changes {
        if change["change"] == "new" {
            print_line(&format!(
                "{}: not installed yet",
                change["slo"].as_str().unwrap_or_default()
            ));
            continue;
        }
        let (before, after) = (&change["before"], &change["after"]);
        print_line(&format!(
            "{} {} {}: {} of {} bad, {} -> {} of {} bad, {}",
            change["slo"].as_str().unwrap_or_default(),
            period_of(&change["window"]["label"], &change["window"]["from"]),
            group(&change["group"]),
            before["bad"],
            before["total"],
            verdict(&before["met"]),
            after["bad"],
            after["total"],
            verdict(&after["met"]),
        ));
    }
    print_line(&format!(
        "{} differences in the last {PERIODS} periods of {} SLOs",
        changes.len(),
        definitions.slos.len()
    ));
    Ok(!changes.is_empty())
}

fn group(group: &Value) -> String {
    let pairs = group.as_object().map(|pairs| {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
    });
    pairs.unwrap_or_default().join(",")
}

fn percent(share: &Value) -> String {
    share.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.4}%", share * 100.0))
}

fn verdict(met: &Value) -> &'static str {
    match met.as_bool() {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "no data",
    }
}

fn period_of(label: &Value, from: &Value) -> String {
    let (label, from) = (label.as_str().unwrap_or_default(), from.as_str().unwrap_or_default());
    let is_named = label.starts_with(|c: char| c.is_ascii_digit()) && label.contains('-');
    if is_named { label.to_owned() } else { format!("{} {label}", from.get(..10).unwrap_or(from)) }
}

/// Reports as lines.
fn table(reports: &Value) {
    print_line(&format!(
        "{:<32} {:<24} {:<20} {:>12} {:>14} {:>10} {:>10} {:>8}",
        "SLO", "PERIOD", "GROUP", "BAD", "TOTAL", "SLI", "REMAINING", "VERDICT"
    ));
    for one in reports.as_array().map(Vec::as_slice).unwrap_or_default() {
        let exact = if one["exact"] == json!(false) { " (not exact)" } else { "" };
        print_line(&format!(
            "{:<32} {:<24} {:<20} {:>12} {:>14} {:>10} {:>10} {:>8}{exact}",
            one["slo"].as_str().unwrap_or_default(),
            period_of(&one["window"]["label"], &one["window"]["from"]),
            group(&one["group"]),
            one["bad"].to_string(),
            one["total"].to_string(),
            percent(&one["sli"]),
            percent(&one["budgetRemaining"]),
            verdict(&one["met"]),
        ));
    }
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
