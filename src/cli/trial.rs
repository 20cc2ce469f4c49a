//! `nines slo test`: definitions against samples that a file makes up, without a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use anyhow::Context as _;
use clap::Args;
use nines_storage::{ReplayProgress, Store, StoreOptions, WalSync};
use serde_json::json;

use super::{USAGE, fail, print_line};
use crate::slo::define::{Trial, load_trials};
use crate::slo::diagnostic::{Diagnostic, Severity};
use crate::slo::trial::{Finding, run as run_trial};

/// Names that are tried for the directory of the samples.
const NAMES_MAX: u32 = 1000;
/// The log is never read again: it need not be on disk soon.
const SYNC_INTERVAL: Duration = Duration::from_secs(3600);
/// Length of a segment of that log.
const SEGMENT_BYTES: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Files of tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Default)]
struct Done {
    questions: usize,
    expectations: usize,
    diagnostics: Vec<Diagnostic>,
    findings: Vec<Finding>,
}

/// Runs the tests of the files.
pub(super) fn run(args: &TestArgs) -> ExitCode {
    let mut done = Done::default();
    for file in &args.files {
        let (trials, diagnostics) = match load_trials(file) {
            Ok(read) => read,
            Err(error) => return fail(USAGE, &error.into()),
        };
        done.diagnostics.extend(diagnostics);
        if let Err(error) = run_all(&trials, &mut done) {
            return fail(1, &error.context(file.display().to_string()));
        }
    }
    let errors = done.diagnostics.iter().filter(|told| told.severity == Severity::Error).count();
    let failed = done.findings.len();
    if args.json {
        let told = json!({
            "tests": done.questions,
            "expectations": done.expectations,
            "failed": done.findings,
            "diagnostics": done.diagnostics,
        });
        print_line(&told.to_string());
    } else {
        let findings = done.findings.iter().map(|finding| &finding.diagnostic);
        for told in done.diagnostics.iter().chain(findings) {
            print_line(&told.to_string());
        }
        print_line(&format!(
            "{} tests with {} expectations: {failed} failed; {errors} errors, {} warnings",
            done.questions,
            done.expectations,
            done.diagnostics.len() - errors
        ));
    }
    ExitCode::from(u8::from(errors + failed > 0))
}

fn run_all(trials: &[Trial], done: &mut Done) -> anyhow::Result<()> {
    if trials.is_empty() {
        return Ok(());
    }
    let scratch = Scratch::new().context("cannot make a directory for the samples")?;
    let options = StoreOptions {
        wal_sync: WalSync::Interval(SYNC_INTERVAL),
        wal_segment_bytes: SEGMENT_BYTES,
        ..StoreOptions::default()
    };
    let store = Store::open(&scratch.0, options, &|_: ReplayProgress| {})?;
    for (n, trial) in trials.iter().enumerate() {
        // A tenant each: their series do not meet.
        let db = store.db(&format!("test-{n}"))?;
        done.findings.extend(run_trial(trial, &db)?);
        done.questions += trial.questions.len();
        done.expectations += trial.questions.iter().map(|one| one.expect.len()).sum::<usize>();
    }
    Ok(())
}

/// A directory of its own that goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let base = std::env::temp_dir();
        for n in 0..NAMES_MAX {
            let name = format!("nines-slo-test-{}-{now}-{n}", std::process::id());
            match private_dir(&base.join(&name)) {
                Ok(()) => return Ok(Self(base.join(name))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Makes a directory that only its owner may use.
fn private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the directory of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
