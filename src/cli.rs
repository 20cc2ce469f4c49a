//! The command line. Exit codes: 0 done, 1 failed while running, 2 wrong usage (of flags or config).

mod agreement;
mod compact;
mod diff;
mod history;
mod import;
mod look;
mod place;
mod selected;
mod serve;
mod slo;
mod suggest;
mod tables;
mod trial;
mod validate;
mod versions;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nines_storage::{ReplayProgress, Store, StoreOptions};

use crate::config::{Config, LogFormat, LogLevel, PromDuration, Retention, StoreUrl, Sync};
use crate::slo::define::inputs_policy;

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Wrong usage that shows only while a command runs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Receives Prometheus remote write, keeps every sample, answers PromQL.
#[derive(Debug, Parser)]
#[command(name = "nines", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Flush the log into blocks, merge and compress them and roll up the days that are over, without a server
    ///
    /// The data directory must not be in use. What is done may be broken off at any time: nothing is lost, and
    /// it goes on at the next call. Exit code 0: done; 1: failed, or blocks are damaged; 2: wrong usage.
    Compact(CompactArgs),
    /// Roll samples up to hours and days, and look at what there is of it, without a server
    ///
    /// The history of a data directory is Parquet files below tenants/<tenant>/history that any engine reads; a
    /// server writes them on its own.
    #[command(subcommand)]
    History(HistoryCommand),
    /// Bring along samples that were kept elsewhere: Prometheus's blocks, OpenMetrics text
    ///
    /// Writes blocks into a data directory that no server uses. May be broken off at any time, and repeated: what is
    /// there already changes no answer. At one timestamp the value that nines has already stays. A running server
    /// is written to by remote write instead (/api/v1/write), which takes samples of any age. Exit code 0: all is
    /// imported; 1: something is not, see the lines before; 2: wrong usage.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// What SLOs say; and their definitions checked, tested, converted and changed
    #[command(subcommand)]
    Slo(slo::SloCommand),
    /// Time that is counted otherwise in SLOs: make, list and revoke
    #[command(subcommand)]
    Exclusion(agreement::ExclusionCommand),
    /// Statements of agreements: show, close and verify
    #[command(subcommand)]
    Sla(agreement::SlaCommand),
    /// What SLOs or an agreement came to in one period, as CSV, JSON, Parquet or a page to be printed
    ///
    /// Exit code 0: written; 1: failed; 2: wrong usage.
    Report(agreement::ReportArgs),
    /// Check a config file and print what is wrong with it
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
struct CompactArgs {
    /// Data directory
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Config file, for the settings of the store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputsArgs,
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// Roll up the days that are over and whose samples were changed since, as a server does
    ///
    /// May be broken off at any time: nothing is lost, and it goes on at the next call. Exit code 0: done; 1:
    /// failed, or days were left out because of damaged blocks; 2: wrong usage.
    Compact(HistoryCompactArgs),
    /// Tell how large the history is and how fast it grows
    Stats(HistoryArgs),
    /// List its files
    Ls(HistoryArgs),
    /// Read every file and compare checksums and rows with what was committed
    ///
    /// Exit code 0: all is right; 1: something is damaged or missing; 2: wrong usage.
    Verify(HistoryArgs),
    /// Bring it to the object store that --history.url names, as a server does
    ///
    /// May be broken off at any time, and goes on at the next call. Exit code 0: the store holds all commits; 1:
    /// failed; 2: wrong usage.
    Publish(HistoryArgs),
}

#[derive(Debug, Args)]
struct HistoryArgs {
    /// Data directory; it must not be in use
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Config file, for the settings of the store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Object store that holds what is not here: s3://bucket/prefix or file:///folder
    #[arg(long = "history.url", value_name = "URL")]
    history_url: Option<StoreUrl>,
}

#[derive(Debug, Args)]
struct HistoryCompactArgs {
    #[command(flatten)]
    common: HistoryArgs,
    /// Time that counts as now: seconds since 1970, or such as 2026-11-20T00:00:00Z [default: the clock's]
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Build all days anew whose samples are there, after a change of `history.policies` or of SLOs say
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    inputs: InputsArgs,
}

/// Of commands that roll up.
#[derive(Debug, Args)]
struct InputsArgs {
    /// Directory with the definitions of SLOs, whose inputs have rows in the tables of `history.slo_inputs` [default:
    /// that of the config file]
    #[arg(long = "slo.dir", value_name = "DIR")]
    slo_dir: Option<PathBuf>,
}

impl InputsArgs {
    fn set(self, config: &mut Config) {
        config.slo.dir = self.slo_dir.or(config.slo.dir.take());
    }
}

/// Flags of `serve`; each wins over the config file.
#[derive(Debug, Args)]
struct ServeArgs {
    /// Config file (YAML); `nines check-config` tells what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory, created if it is not there [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:9999]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Accept an address that other machines can reach, although nines asks nobody for a password
    #[arg(long)]
    insecure_public: bool,
    /// Allow deleting series over HTTP (/api/v1/admin/tsdb)
    #[arg(long = "web.enable-admin-api")]
    enable_admin_api: bool,
    /// Address under which browsers reach this server, for links
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    /// Regular expression of the origins whose pages may use this server from a browser; anchored, empty
    /// for none. Unless it is set, pages of other origins may read only [default: .*]
    #[arg(long = "web.cors.origin", value_name = "REGEX")]
    cors_origin: Option<String>,
    /// Longest running time of a query [default: 2m]
    #[arg(long = "query.timeout", value_name = "DURATION")]
    query_timeout: Option<PromDuration>,
    /// Most samples a query may hold in memory [default: 50000000]
    #[arg(long = "query.max-samples", value_name = "N")]
    query_max_samples: Option<u64>,
    /// Most queries running at once; further ones wait [default: 20]
    #[arg(long = "query.max-concurrency", value_name = "N")]
    query_max_concurrency: Option<usize>,
    /// How far back an instant selector looks for a sample [default: 5m]
    #[arg(long = "query.lookback-delta", value_name = "DURATION")]
    query_lookback_delta: Option<PromDuration>,
    /// Most series one selector may touch [default: 5000000]
    #[arg(long = "query.max-series", value_name = "N")]
    query_max_series: Option<u64>,
    /// Queries that take longer are logged with who asked and what they cost; 1ms logs nearly all, 0 none
    /// [default: 10s]
    #[arg(long = "query.slow-log-threshold", value_name = "DURATION")]
    query_slow_log_threshold: Option<PromDuration>,
    /// Age at which samples are dropped: 'unlimited' or a duration such as 90d [default: unlimited]
    #[arg(long = "storage.retention", value_name = "DURATION")]
    storage_retention: Option<Retention>,
    /// Object store that the history is published to and taken from: s3://bucket/prefix (with the usual AWS_*
    /// variables) or file:///folder
    #[arg(long = "history.url", value_name = "URL")]
    history_url: Option<StoreUrl>,
    /// Directory of the definitions of SLOs (OpenSLO v1 documents), watched for changes
    #[arg(long = "slo.dir", value_name = "DIR")]
    slo_dir: Option<PathBuf>,
    /// When a write is acknowledged: 'always' (once it is on disk) or an interval such as 200ms
    /// (what came within it can be lost in a crash) [default: always]
    #[arg(long = "wal.sync", value_name = "MODE")]
    wal_sync: Option<Sync>,
    /// Least severe level that is logged [default: info]
    #[arg(long = "log.level", value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Form of the log lines [default: text]
    #[arg(long = "log.format", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl ServeArgs {
    /// Puts the flags over `config`.
    fn apply(self, config: &mut Config) {
        fn set<T>(slot: &mut T, flag: Option<T>) {
            if let Some(value) = flag {
                *slot = value;
            }
        }
        set(&mut config.data, self.data);
        set(&mut config.web.listen, self.listen);
        config.web.insecure_public |= self.insecure_public;
        config.web.enable_admin_api |= self.enable_admin_api;
        if self.external_url.is_some() {
            config.web.external_url = self.external_url;
        }
        if self.cors_origin.is_some() {
            config.web.cors_origin = self.cors_origin;
        }
        set(&mut config.query.timeout, self.query_timeout);
        set(&mut config.query.max_samples, self.query_max_samples);
        set(&mut config.query.max_concurrency, self.query_max_concurrency);
        set(&mut config.query.lookback_delta, self.query_lookback_delta);
        set(&mut config.query.max_series, self.query_max_series);
        set(&mut config.query.slow_log_threshold, self.query_slow_log_threshold);
        set(&mut config.storage.retention, self.storage_retention);
        if self.history_url.is_some() {
            config.history.url = self.history_url;
        }
        if self.slo_dir.is_some() {
            config.slo.dir = self.slo_dir;
        }
        set(&mut config.wal.sync, self.wal_sync);
        set(&mut config.log.level, self.log_level);
        set(&mut config.log.format, self.log_format);
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    nines_storage::give_large_blocks_back();
    match Cli::parse().command {
        Command::Serve(args) => {
            let mut config = match load(args.config.as_ref()) {
                Ok(config) => config,
                Err(error) => return fail(USAGE, &error),
            };
            args.apply(&mut config);
            if let Err(error) = config.validate() {
                return fail(USAGE, &error.into());
            }
            finish(serve::serve(config))
        }
        Command::Compact(args) => {
            let mut config = match load(args.config.as_ref()) {
                Ok(config) => config,
                Err(error) => return fail(USAGE, &error),
            };
            config.data = args.data;
            args.inputs.set(&mut config);
            finish(compact::compact(&config))
        }
        Command::History(command) => history::run(command),
        Command::Import(command) => import::run(command),
        Command::Slo(command) => slo::run(command),
        Command::Exclusion(command) => agreement::exclusion(command),
        Command::Sla(command) => agreement::sla(command),
        Command::Report(args) => agreement::report(&args),
        Command::CheckConfig { file } => {
            let checked = load(Some(&file)).and_then(|config| Ok(config.validate()?));
            finish(checked.map(|()| print_line(&format!("{} is valid", file.display()))))
        }
        Command::Version => {
            print_line(&format!("nines {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

/// Opens the store; the error says what to do about a directory that is in use.
fn open_store(config: &Config, progress: &dyn Fn(ReplayProgress)) -> anyhow::Result<Store> {
    let dir = &config.data;
    let objects = crate::objects::open(&config.history)?;
    let options = StoreOptions { objects, ..selected::store_options(config)? };
    Store::open(dir, options, progress).map_err(|error| in_use(error, dir))
}

/// Opens the store for a command that rolls up: the inputs of SLOs have the rows that are set.
fn open_store_to_roll(config: &Config, progress: &dyn Fn(ReplayProgress)) -> anyhow::Result<Store> {
    let defined = config.slo.dir.as_deref().map(place::definitions).transpose()?;
    let store = open_store(config, progress)?;
    if let Some(defined) = &defined {
        let policy = inputs_policy(defined, &config.history.slo_inputs);
        store.options().history_policies.follow(policy.as_slice());
    }
    Ok(store)
}

/// Why a data directory cannot be opened; says what to do about one that is in use.
fn in_use(error: nines_storage::Error, dir: &Path) -> anyhow::Error {
    let in_use = matches!(&error, nines_storage::Error::Io { op: "lock", .. });
    let context = if in_use {
        format!(
            "the data directory {} is used by another nines: stop that one, or name another directory with --data",
            dir.display()
        )
    } else {
        format!("cannot open the data directory {}", dir.display())
    };
    anyhow::Error::new(error).context(context)
}

fn load(file: Option<&PathBuf>) -> anyhow::Result<Config> {
    let Some(file) = file else { return Ok(Config::default()) };
    let config = Config::load(file)?;
    selected::store_options(&config).with_context(|| file.display().to_string())?;
    Ok(config)
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error),
    }
}

/// Exit code of a command that failed.
fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() { USAGE } else { 1 }
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    // Nothing more can be said when stderr is closed.
    let _ = writeln!(std::io::stderr(), "nines: {error:#}");
    ExitCode::from(code)
}

fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The commands that have none below them, with how they are called.
    fn leaves(of: &clap::Command, called: &str, found: &mut Vec<(String, clap::Command)>) {
        let called = format!("{called} {}", of.get_name());
        if !of.has_subcommands() {
            found.push((called, of.clone()));
            return;
        }
        of.get_subcommands().for_each(|one| leaves(one, &called, found));
    }

    #[test]
    fn commands_about_slos_have_json_and_explain_themselves() {
        let command = Cli::command();
        let mut all = Vec::new();
        for name in ["slo", "exclusion", "sla", "report"] {
            leaves(command.find_subcommand(name).unwrap(), "nines", &mut all);
        }
        assert!(all.len() >= 19, "{}", all.len());
        for (called, mut one) in all {
            assert!(one.get_arguments().any(|arg| arg.get_long() == Some("json")), "{called}");
            for arg in one.get_arguments() {
                assert!(arg.get_help().is_some(), "{called}: {}", arg.get_id());
            }
            let help = one.render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                help.contains("Exit code 0: "),
                "{called} does not tell its exit codes: {help}"
            );
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let args = [
            "nines",
            "serve",
            "--query.timeout",
            "1m30s",
            "--wal.sync",
            "100ms",
            "--storage.retention",
            "90d",
            "--listen",
            "127.0.0.1:1",
            "--web.enable-admin-api",
            "--log.format",
            "json",
        ];
        let Command::Serve(args) = Cli::try_parse_from(args).unwrap().command else {
            panic!("not serve")
        };
        let mut config =
            Config::parse("query: {timeout: 5m, max_samples: 7}\nlog: {format: text}\n").unwrap();
        args.apply(&mut config);
        assert_eq!(config.query.timeout, PromDuration::from_secs(90));
        assert_eq!(config.query.max_samples, 7);
        assert_eq!(config.wal.sync.to_string(), "100ms");
        assert_eq!(config.storage.retention.to_string(), "90d");
        assert_eq!(config.web.listen, "127.0.0.1:1");
        assert!(config.web.enable_admin_api && !config.web.insecure_public);
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn a_wrong_value_is_wrong_usage() {
        let error = Cli::try_parse_from(["nines", "serve", "--query.timeout", "5"]).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(USAGE));
        assert!(error.to_string().contains("1h30m"), "{error}");
    }

    /// Rows of the table in README.md: flags, then the default in backquotes where there is one.
    #[test]
    fn the_readme_tells_the_flags_and_their_defaults() {
        let readme = include_str!("../README.md");
        let command = Cli::command();
        let help = command.find_subcommand("serve").unwrap().clone().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut told = 0;
        for row in readme.lines().filter(|line| line.starts_with("| `--")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let defaults = cells[2].split(", ").map(|cell| cell.trim_matches('`'));
            for (flag, default) in cells[1].split(", ").zip(defaults.chain(std::iter::repeat(""))) {
                let flag = flag.trim_matches('`');
                let (_, about) = help.split_once(&format!("{flag} ")).expect(flag);
                let about = about.split(" --").next().unwrap();
                let said = format!("[default: {default}");
                let plain = matches!(default, "" | "off");
                assert!(plain || about.contains(&said), "{flag}: {default:?} is not in {about}");
                told += 1;
            }
        }
        assert!(told >= 12, "only {told} flags are told by README.md");
    }
}
