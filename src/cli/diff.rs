//! `nines slo diff DIR`: what numbers and verdicts of the last periods the definitions of a directory would change.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::place::PlaceArgs;
use super::tables::{group, percent, period_of, verdict};
use super::{Usage, print_error, print_line};
use crate::slo::define::{load_texts, read_texts};
use crate::slo::diagnostic::Severity;
use crate::slo::diff::PERIODS;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The directory
    dir: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Says whether something would change, or is wrong with the definitions.
pub(super) fn run(args: &DiffArgs) -> anyhow::Result<bool> {
    let texts = texts(&args.dir)?;
    let named: Vec<(&str, &str)> =
        texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (definitions, diagnostics) = load_texts(&named);
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    if errors > 0 {
        if args.place.json {
            print_line(&json!({ "diagnostics": diagnostics }).to_string());
        } else {
            diagnostics.iter().for_each(|one| print_error(&one.to_string()));
            print_error(&format!(
                "nothing is compared: {} has {errors} errors, and what has errors is never put in force",
                args.dir.display()
            ));
        }
        return Ok(true);
    }
    let mut found = args.place.open()?.diff(&joined(&texts), &definitions)?;
    let any = ["slos", "slas"].iter().any(|kind| !items(&found[*kind]).is_empty());
    if args.place.json {
        found["diagnostics"] = json!(diagnostics);
        print_line(&found.to_string());
        return Ok(any);
    }
    diagnostics.iter().for_each(|one| print_error(&one.to_string()));
    for slo in items(&found["slos"]) {
        told("SLO", slo, &said);
    }
    for sla in items(&found["slas"]) {
        told("SLA", sla, &agreed);
    }
    let count = |kind: &str| items(&found[kind]).len();
    print_line(&format!(
        "{} of {} SLOs and {} of {} SLAs would say something else of the last {PERIODS} periods",
        count("slos"),
        found["comparedSlos"],
        count("slas"),
        found["comparedSlas"],
    ));
    Ok(any)
}

/// The files of a directory with their names.
fn texts(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    if !dir.is_dir() {
        return Err(Usage(format!("{} is not a directory of definitions", dir.display())).into());
    }
    Ok(read_texts(dir)?)
}

/// Several files as the documents of one.
fn joined(texts: &[(String, String)]) -> String {
    let bodies: Vec<&str> =
        texts.iter().map(|(_, text)| text.trim_start_matches('\u{feff}')).collect();
    bodies.join("\n---\n")
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Prints what becomes of an SLO or SLA; `side` tells what one side says of a period.
fn told(kind: &str, one: &Value, side: &dyn Fn(&Value) -> String) {
    let name = one["name"].as_str().unwrap_or_default();
    let change = one["change"].as_str().unwrap_or_default();
    print_line(&format!("{kind} {name} ({change})"));
    for note in items(&one["notes"]) {
        print_line(&format!("  {}", note.as_str().unwrap_or_default()));
    }
    for period in items(&one["periods"]) {
        let (before, after) = (&period["before"], &period["after"]);
        let own = if after.is_null() { before } else { after };
        let mut head = vec![when(own)];
        head.extend([group(&period["group"])].into_iter().filter(|text| !text.is_empty()));
        let mut text = format!("  {}: {} -> {}", head.join(" "), side(before), side(after));
        let window = |side: &Value| ["from", "to"].map(|end| side["window"][end].clone());
        if !before.is_null() && !after.is_null() && window(before) != window(after) {
            let shown = |side: &Value| {
                window(side).map(|end| end.as_str().unwrap_or_default().to_owned()).join(" to ")
            };
            text.push_str(&format!(" (was {}, is {})", shown(before), shown(after)));
        }
        print_line(&text);
    }
}

/// The period of an SLO, or of an SLA.
fn when(side: &Value) -> String {
    match side["window"].is_object() {
        true => period_of(&side["window"]["label"], &side["window"]["from"]),
        false => period_of(&json!(""), &side["from"]),
    }
}

fn said(side: &Value) -> String {
    if side.is_null() {
        return "nothing".to_owned();
    }
    let exact = if side["exact"] == json!(false) { ", not exact" } else { "" };
    format!(
        "{} of {} bad at {}, {} left, {}{exact}",
        side["bad"],
        side["total"],
        side["effectiveTarget"],
        percent(&side["budgetRemaining"]),
        verdict(&side["met"]),
    )
}

fn agreed(side: &Value) -> String {
    if side.is_null() {
        return "nothing".to_owned();
    }
    let (summary, pooled) = (&side["summary"], &side["pooled"]);
    format!(
        "{} of {} met at {}, {} of {} bad",
        summary["met"], summary["of"], side["target"], pooled["bad"], pooled["counted"],
    )
}
