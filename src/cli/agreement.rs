//! `nines exclusion`, `nines sla` and `nines report`.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::place::{Place, PlaceArgs};
use super::{fail, finish, print_line};

/// Bytes of a document at most.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Time that is counted otherwise.
#[derive(Debug, Subcommand)]
pub(super) enum ExclusionCommand {
    /// Make one: of a document (FILE, or - for the standard input), or of the flags
    ///
    /// It is written to the journal with its author, its note and the time, and holds from then on. Exit code 0:
    /// done; 1: refused or failed, see the lines before; 2: wrong usage.
    Add(Box<AddArgs>),
    /// List all, those of files and revoked ones included
    ///
    /// Exit code 0: listed; 1: failed; 2: wrong usage.
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// End one that was made by `add` or over HTTP; those of files are taken out there
    ///
    /// It stays in the list, with who ended it and why. Exit code 0: done; 1: refused or failed; 2: wrong usage.
    Revoke {
        /// Its name
        name: String,
        /// Who ends it
        #[arg(long, value_name = "NAME")]
        author: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Document of kind Exclusion, or JSON of its spec; - is the standard input
    #[arg(value_name = "FILE", conflicts_with_all = ["class", "from", "to", "services", "slos", "labels", "mode", "note", "author"])]
    file: Option<PathBuf>,
    /// Name [default: one that is free]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Class, such as scheduled-maintenance: agreements say which classes count
    #[arg(long, value_name = "CLASS", required_unless_present = "file")]
    class: Option<String>,
    /// Beginning, such as 2026-02-10T02:30:00+00:00
    #[arg(long, value_name = "TIME", required_unless_present = "file")]
    from: Option<String>,
    /// End
    #[arg(long, value_name = "TIME", required_unless_present = "file")]
    to: Option<String>,
    /// Service it is about; may be repeated [default: all]
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// SLO it is about; may be repeated [default: all]
    #[arg(long = "slo", value_name = "NAME")]
    slos: Vec<String>,
    /// Label of the series that it is about; may be repeated [default: all]
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// exclude: neither good nor bad; good: good
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", required_unless_present = "file")]
    note: Option<String>,
    /// Who decides it
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    author: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Agreements.
#[derive(Debug, Subcommand)]
pub(super) enum SlaCommand {
    /// What a period of an SLA came to
    #[command(subcommand)]
    Statement(StatementCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum StatementCommand {
    /// Show one: how it stands, each group that has something to tell, and its restatements
    ///
    /// Exit code 0: shown; 1: failed; 2: wrong usage.
    Show {
        #[command(flatten)]
        of: StatementArgs,
        /// 1 is the closed one, others are its restatements
        #[arg(long, value_name = "N")]
        revision: Option<usize>,
    },
    /// Close the figures of a period that is over, or restate closed ones if the data say something else by now
    ///
    /// Closed figures never change. Exit code 0: closed; 1: refused or failed; 2: wrong usage.
    Close {
        #[command(flatten)]
        of: StatementArgs,
        /// Who closes it
        #[arg(long, value_name = "NAME")]
        author: String,
    },
    /// Compare closed statements of the last thirteen months with the data
    ///
    /// Exit code 0: the data say what was recorded; 1: they say something else, or this failed; 2: wrong usage.
    Verify {
        /// The SLA
        sla: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct StatementArgs {
    /// The SLA
    sla: String,
    /// The period, such as 2026-02
    period: String,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// portfolio, service:NAME, slo:NAME or sla:NAME
    #[arg(long, value_name = "SCOPE", default_value = "portfolio")]
    scope: String,
    /// day, week, month, quarter or year; agreements have periods of their own
    #[arg(long, value_name = "UNIT", default_value = "month")]
    unit: String,
    /// The period, such as 2026-03 [default: the last one that is over]
    #[arg(long, value_name = "PERIOD", default_value = "", hide_default_value = true)]
    period: String,
    /// csv, json, html or parquet; --json is --format json
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: String,
    /// File to write [default: the standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Runs `nines exclusion`.
pub(super) fn exclusion(command: ExclusionCommand) -> ExitCode {
    finish(match command {
        ExclusionCommand::Add(args) => add(&args),
        ExclusionCommand::List { place } => list(&place),
        ExclusionCommand::Revoke { name, author, note, place } => place.open().and_then(|opened| {
            let revoked = opened.revoke(&name, &author, &note)?;
            if place.json {
                print_line(&revoked.to_string());
            } else {
                print_line(&format!("the exclusion {name} holds no more"));
            }
            Ok(())
        }),
    })
}

/// Runs `nines sla`.
pub(super) fn sla(command: SlaCommand) -> ExitCode {
    let SlaCommand::Statement(command) = command;
    match command {
        StatementCommand::Show { of, revision } => finish(of.place.open().and_then(|place| {
            show(&place.statement(&of.sla, &of.period, revision)?, of.place.json);
            Ok(())
        })),
        StatementCommand::Close { of, author } => finish(of.place.open().and_then(|place| {
            show(&place.close(&of.sla, &of.period, &author)?, of.place.json);
            Ok(())
        })),
        StatementCommand::Verify { sla, place } => match verify(&place, &sla) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => fail(1, &error),
        },
    }
}

/// Runs `nines report`.
pub(super) fn report(args: &ReportArgs) -> ExitCode {
    let write = |place: Place| {
        let format = if args.place.json { "json" } else { args.format.as_str() };
        let bytes = place.report(&args.scope, (&args.unit, &args.period), format)?;
        match &args.out {
            Some(file) => std::fs::write(file, bytes)
                .with_context(|| format!("cannot write {}", file.display())),
            None => Ok(std::io::stdout().write_all(&bytes)?),
        }
    };
    finish(args.place.open().and_then(write))
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    let text = match &args.file {
        Some(file) => document(file)?,
        None => spec(args)?,
    };
    let made = args.place.open()?.exclude(&text, &args.name)?;
    if args.place.json {
        print_line(&made.to_string());
        return Ok(());
    }
    for warning in made["diagnostics"].as_array().into_iter().flatten() {
        print_line(&format!("warning: {}", text_of(&warning["message"])));
    }
    let one = &made["exclusion"];
    let late = if one["afterTheFact"] == true { ", after the fact" } else { "" };
    print_line(&format!("{}: entry {} of the journal{late}", text_of(&one["name"]), made["seq"]));
    Ok(())
}

fn document(file: &PathBuf) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let most = DOCUMENT_BYTES_MAX + 1;
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(most).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= DOCUMENT_BYTES_MAX,
        "{} has more than {DOCUMENT_BYTES_MAX} bytes",
        file.display()
    );
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

/// The JSON of a spec.
fn spec(args: &AddArgs) -> anyhow::Result<String> {
    let mut labels = Map::new();
    for pair in &args.labels {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("--label {pair:?} is not a pair: write NAME=VALUE"))?;
        labels.insert(name.to_owned(), value.into());
    }
    let mut about = Map::new();
    if !args.services.is_empty() {
        about.insert("services".to_owned(), json!(args.services));
    }
    if !args.slos.is_empty() {
        about.insert("slos".to_owned(), json!(args.slos));
    }
    if !labels.is_empty() {
        about.insert("labels".to_owned(), labels.into());
    }
    let mut spec = Map::new();
    let told = [
        ("class", &args.class),
        ("from", &args.from),
        ("to", &args.to),
        ("mode", &args.mode),
        ("note", &args.note),
        ("author", &args.author),
    ];
    for (name, value) in told {
        spec.extend(value.iter().map(|value| (name.to_owned(), Value::from(value.as_str()))));
    }
    if !about.is_empty() {
        spec.insert("match".to_owned(), about.into());
    }
    Ok(Value::from(spec).to_string())
}

fn list(args: &PlaceArgs) -> anyhow::Result<()> {
    let all = args.open()?.exclusions()?;
    if args.json {
        print_line(&all.to_string());
        return Ok(());
    }
    for one in all["items"].as_array().into_iter().flatten() {
        let until = match (&one["to"], &one["rrule"]) {
            (Value::String(to), _) => format!(" to {to}"),
            (_, rule) => format!(", {}", text_of(rule)),
        };
        let state = match &one["revoked"] {
            Value::Null => format!(
                "in force, of {}",
                if one["source"] == "file" { text_of(&one["file"]) } else { "the journal" }
            ),
            by => format!("revoked by {}: {}", text_of(&by["author"]), text_of(&by["note"])),
        };
        print_line(&format!(
            "{}: {} from {}{until}; {} ({}); {state}",
            text_of(&one["name"]),
            text_of(&one["class"]),
            text_of(&one["from"]),
            text_of(&one["note"]),
            text_of(&one["author"]),
        ));
    }
    Ok(())
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Prints a statement: how it stands, then a line per group that has something to tell.
fn show(statement: &Value, as_json: bool) {
    if as_json {
        print_line(&statement.to_string());
        return;
    }
    let figures = &statement["figures"];
    let summary = &figures["summary"];
    print_line(&format!(
        "{} {}: {}, {} of {} met at {}",
        text_of(&statement["sla"]),
        text_of(&statement["period"]),
        text_of(&statement["state"]),
        summary["met"],
        summary["of"],
        figures["target"]
    ));
    print_line(&format!("  all together: {}", line(&figures["pooled"])));
    for group in figures["groups"].as_array().into_iter().flatten() {
        let labels: Vec<String> = group["group"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", text_of(value)))
            .collect();
        if labels.is_empty() {
            continue;
        }
        print_line(&format!("  {}: {}", labels.join(","), line(group)));
        for down in group["downtime"].as_array().into_iter().flatten() {
            print_line(&format!(
                "    down from {} to {}",
                text_of(&down["from"]),
                text_of(&down["to"])
            ));
        }
    }
    for one in statement["restatements"].as_array().into_iter().flatten() {
        let recorded = match &one["recorded"] {
            Value::Null => "not recorded yet".to_owned(),
            by => format!("{} by {}", text_of(&by["at"]), text_of(&by["author"])),
        };
        print_line(&format!(
            "  revision {} ({recorded}): all together {}",
            one["revision"],
            line(&one["figures"]["pooled"])
        ));
    }
}

/// `3 of 8064 bad, ratio 0.99962, breach, credit 15 min`
fn line(line: &Value) -> String {
    let mut text = format!("{} of {} bad", line["bad"], line["counted"]);
    if !line["sli"].is_null() {
        text.push_str(&format!(", ratio {}", line["sli"]));
    }
    match &line["met"] {
        Value::Bool(true) => text.push_str(", met"),
        Value::Bool(false) => text.push_str(", breach"),
        _ => {}
    }
    let credit = &line["credit"];
    if let Some(minutes) = credit["minutes"].as_f64() {
        text.push_str(&format!(", credit {minutes} min"));
    }
    if let Some(percent) = credit["percent"].as_f64() {
        text.push_str(&format!(", credit {percent} %"));
    }
    text
}

/// Whether closed statements say what the data say, or their last restatements do.
fn verify(args: &PlaceArgs, sla: &str) -> anyhow::Result<bool> {
    let place = args.open()?;
    let all = place.statements(sla)?;
    let (mut fine, mut told) = (true, Vec::new());
    for one in all["items"].as_array().into_iter().flatten().filter(|one| one["state"] != "open") {
        let period = text_of(&one["period"]);
        let statement = place.statement(sla, period, None)?;
        let restatements = statement["restatements"].as_array().map_or(0, Vec::len);
        let news = statement["restatements"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one["recorded"].is_null());
        fine &= !news;
        if args.json {
            told.push(json!({ "period": period, "state": statement["state"], "restatements": restatements, "verified": !news }));
            continue;
        }
        print_line(&match (news, restatements) {
            (true, _) => format!("{period}: the data say something else than was recorded"),
            (false, 0) => format!("{period}: as it was closed"),
            (false, n) => format!("{period}: as it was restated, {n} times"),
        });
    }
    if args.json {
        print_line(&json!({ "sla": sla, "verified": fine, "items": told }).to_string());
    }
    Ok(fine)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_document_is_read_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.yaml");
        let max = usize::try_from(DOCUMENT_BYTES_MAX).unwrap();
        std::fs::write(&path, " ".repeat(max)).unwrap();
        assert_eq!(document(&path).unwrap().len(), max);
        std::fs::write(&path, " ".repeat(max + 1)).unwrap();
        let error = document(&path).unwrap_err().to_string();
        assert!(error.ends_with("has more than 4194304 bytes"), "{error}");
    }
}
