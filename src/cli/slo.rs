//! `nines slo`: definitions of SLOs, checked and changed without a server.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use nines_storage::ReplayProgress;
use nines_storage::query::Budget;
use serde_json::json;

use super::look::{self, LookCommand};
use super::suggest::{self, SuggestArgs};
use super::trial::{self, TestArgs};
use super::validate::against;
use super::versions::{self, VersionsArgs};
use super::{USAGE, code_of, fail, load, open_store, print_line};
use crate::clock::now_ms;
use crate::slo::decimal::Decimal;
use crate::slo::define::convert::{Tool, import};
use crate::slo::define::{check_live, load_paths, set_target};
use crate::slo::diagnostic::{Diagnostic, Severity};

/// What `nines slo` can do.
#[derive(Debug, Subcommand)]
pub(super) enum SloCommand {
    /// Read definitions and tell everything that is wrong with them
    ///
    /// Exit code 0: nothing is, but for warnings; 1: something is; 2: wrong usage.
    Validate(ValidateArgs),
    /// Run tests of definitions: samples that a file makes up, and what SLOs are to say of them
    ///
    /// A test is a YAML document with input_series (in the notation of promtool), and slo_tests that name an SLO, a
    /// time and what is expected of any fields of its figures. Counts are compared exactly, ratios to a relative
    /// difference of 1e-12. Exit code 0: all is as expected; 1: something is not, or is wrong with the files; 2: wrong
    /// usage.
    Test(TestArgs),
    /// Convert definitions of another tool and print them as OpenSLO v1
    ///
    /// What cannot be carried over is told. Exit code 0: all documents are converted; 1: some have errors; 2: wrong
    /// usage.
    Import(ImportArgs),
    /// Set another target from a day on, in the file where the SLO is defined
    ///
    /// The file keeps everything else; the history of the target gets a line, so that what was before is judged by
    /// the target of its time. Exit code 0: done; 1: not done; 2: wrong usage.
    SetTarget(SetTargetArgs),
    /// Propose SLOs for what is stored, as documents: with what they would have said of all history, and a target that
    /// the last months would have met
    ///
    /// Exit code 0: there are some; 1: there is none, or it failed; 2: wrong usage.
    Suggest(SuggestArgs),
    /// What an SLO was over time: its definition as nines has seen it, and its targets
    ///
    /// Exit code 0: told; 1: there is no such SLO, or it failed; 2: wrong usage.
    Versions(VersionsArgs),
    #[command(flatten)]
    Look(LookCommand),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("series").args(["data", "server"])))]
pub(super) struct ValidateArgs {
    /// Directories and files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Compare with the series of this data directory, which must not be in use
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Compare with the series of the running server at this address
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Tenant whose series are compared
    #[arg(long, value_name = "NAME", default_value = "anonymous", requires = "series")]
    tenant: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// prometheus/v1 and the custom resource PrometheusServiceLevel
    Sloth,
    /// The custom resource ServiceLevelObjective
    Pyrra,
    /// OpenSLO v1alpha and v2alpha
    Openslo,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The tool
    #[arg(long)]
    from: From,
    /// The file
    file: PathBuf,
    /// Print JSON: the documents as a text, and what is wrong or was not carried over
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetTargetArgs {
    /// Name of the SLO
    slo: String,
    /// The target, such as 0.9995
    target: Decimal,
    /// Since when: a day, which begins at midnight in the time zone of the window, or an instant of RFC 3339
    #[arg(long, value_name = "DAY|INSTANT")]
    from: String,
    /// Directory of the definitions
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of the commands.
pub(super) fn run(command: SloCommand) -> ExitCode {
    match command {
        SloCommand::Validate(args) => validate(&args),
        SloCommand::Test(args) => trial::run(&args),
        SloCommand::Import(args) => convert(&args),
        SloCommand::SetTarget(args) => change(&args),
        SloCommand::Suggest(args) => match suggest::run(&args) {
            Ok(any) => ExitCode::from(u8::from(!any)),
            Err(error) => fail(1, &error),
        },
        SloCommand::Versions(args) => match versions::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(1, &error),
        },
        SloCommand::Look(command) => match look::run(command) {
            Ok(findings) => ExitCode::from(u8::from(findings)),
            Err(error) => fail(code_of(&error), &error),
        },
    }
}

fn validate(args: &ValidateArgs) -> ExitCode {
    let (definitions, mut diagnostics) = match load_paths(&args.paths) {
        Ok(loaded) => loaded,
        Err(error) => return fail(USAGE, &error.into()),
    };
    if let Some(data) = &args.data {
        match live(data, &args.tenant, &definitions) {
            Ok(told) => diagnostics.extend(told),
            Err(error) => return fail(1, &error),
        }
    }
    if let Some(server) = &args.server {
        match against(server, &args.tenant, &args.paths) {
            Ok(told) => diagnostics.extend(told),
            Err(error) => return fail(1, &error),
        }
    }
    let errors = errors(&diagnostics);
    if args.json {
        print_line(&json!(diagnostics).to_string());
    } else {
        for told in &diagnostics {
            print_line(&told.to_string());
        }
        print_line(&format!(
            "{} SLOs, {} services, {} teams, {} SLAs, {} exclusions; {errors} errors, {} warnings",
            definitions.slos.len(),
            definitions.services.len(),
            definitions.teams.len(),
            definitions.slas.len(),
            definitions.exclusions.len(),
            diagnostics.len() - errors
        ));
    }
    ExitCode::from(u8::from(errors > 0))
}

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|told| told.severity == Severity::Error).count()
}

fn live(
    data: &Path,
    tenant: &str,
    definitions: &crate::slo::definition::Definitions,
) -> anyhow::Result<Vec<Diagnostic>> {
    anyhow::ensure!(
        data.join("tenants").is_dir(),
        "{} is not a data directory of nines: name one with --data",
        data.display()
    );
    let mut config = load(None)?;
    data.clone_into(&mut config.data);
    let store = open_store(&config, &|_: ReplayProgress| {})?;
    let db = store.existing(tenant).with_context(|| format!("there is no tenant {tenant}"))?;
    let told = check_live(definitions, &*db, now_ms(), &Budget::unlimited());
    store.close().context("cannot close the store")?;
    Ok(told?)
}

fn convert(args: &ImportArgs) -> ExitCode {
    let text = match fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(error) => {
            let error = anyhow::Error::new(error).context(args.file.display().to_string());
            return fail(USAGE, &error);
        }
    };
    let tool = match args.from {
        From::Sloth => Tool::Sloth,
        From::Pyrra => Tool::Pyrra,
        From::Openslo => Tool::OpenSlo,
    };
    let (documents, diagnostics) = import(tool, &args.file.display().to_string(), &text);
    if args.json {
        print_line(&json!({"documents": documents, "diagnostics": diagnostics}).to_string());
    } else {
        let _ = write!(std::io::stdout(), "{documents}");
        for told in &diagnostics {
            // Nothing more can be said when stderr is closed.
            let _ = writeln!(std::io::stderr(), "{told}");
        }
    }
    ExitCode::from(u8::from(errors(&diagnostics) > 0))
}

fn change(args: &SetTargetArgs) -> ExitCode {
    match changed(args) {
        Ok(file) if args.json => {
            let SetTargetArgs { slo, target, from, .. } = args;
            let told = json!({ "slo": slo, "target": target, "from": from, "file": file });
            print_line(&told.to_string());
            ExitCode::SUCCESS
        }
        Ok(file) => {
            print_line(&format!(
                "the target of {} is {} from {} on, in {}",
                args.slo,
                args.target,
                args.from,
                file.display()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &error),
    }
}

fn changed(args: &SetTargetArgs) -> anyhow::Result<PathBuf> {
    let SetTargetArgs { slo, target, from, dir, .. } = args;
    let (definitions, _) = load_paths(std::slice::from_ref(dir))?;
    let place = definitions.slos.get(slo).map(|found| &found.place);
    let place =
        place.with_context(|| format!("no SLO {slo:?} is defined below {}", dir.display()))?;
    let file = PathBuf::from(&place.file);
    let text = fs::read_to_string(&file).with_context(|| place.file.clone())?;
    let edited = set_target(&place.file, &text, slo, *target, from)?;
    let edited = edited.with_context(|| {
        format!(
            "{}: the document of {slo:?} is not one of openslo/v1: convert it first",
            place.file
        )
    })?;
    replace(&file, &edited).with_context(|| place.file.clone())?;
    Ok(file)
}

/// Puts a text in the place of a file at once: whoever reads it sees the old one or the new one.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    let permissions = fs::metadata(file)?.permissions();
    let written = (|| {
        let mut new = fs::File::create(&beside)?;
        new.write_all(text.as_bytes())?;
        new.set_permissions(permissions)?;
        new.sync_all()?;
        fs::rename(&beside, file)
    })();
    if written.is_err() {
        // What is left of it is nobody's.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TEXT: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: requests}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d}]
  indicator:
    spec:
      ratioMetric:
        bad: {metricSource: {spec: {query: bad_total}}}
        total: {metricSource: {spec: {query: all_total}}}
  objectives: [{target: 0.999}]   # kept
";

    fn args(dir: &Path, target: &str, from: &str) -> SetTargetArgs {
        SetTargetArgs {
            slo: "requests".to_owned(),
            target: target.parse().unwrap(),
            from: from.to_owned(),
            dir: dir.to_owned(),
            json: false,
        }
    }

    #[test]
    fn a_target_is_set_in_the_file_that_defines_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        fs::write(&file, TEXT).unwrap();
        fs::write(dir.path().join("b.yaml"), TEXT.replace("requests", "others")).unwrap();
        assert_eq!(changed(&args(dir.path(), "0.9995", "2026-04-16")).unwrap(), file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("  objectives: [{target: 0.9995}]   # kept\n"), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        // What is refused changes nothing.
        assert!(changed(&args(dir.path(), "0.99", "2026-04-16")).is_err());
        assert!(changed(&args(dir.path(), "0.99", "yesterday")).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        let unknown = SetTargetArgs { slo: "nothing".to_owned(), ..args(dir.path(), "0.5", "0") };
        assert!(
            changed(&unknown)
                .unwrap_err()
                .to_string()
                .starts_with("no SLO \"nothing\" is defined below ")
        );
    }

    #[test]
    fn a_document_of_another_version_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let old = TEXT.replace("openslo/v1", "openslo.com/v2alpha").replace("indicator:", "sli:");
        let old =
            old.replace("{metricSource: {spec: {query: bad_total}}}", "{spec: {query: bad_total}}");
        let old =
            old.replace("{metricSource: {spec: {query: all_total}}}", "{spec: {query: all_total}}");
        fs::write(dir.path().join("a.yaml"), &old).unwrap();
        let error = changed(&args(dir.path(), "0.9995", "2026-04-16")).unwrap_err();
        assert!(error.to_string().contains("is not one of openslo/v1"), "{error:#}");
    }
}
