//! `nines import`: samples that were kept elsewhere become blocks of a data directory that no server uses.

mod meter;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use nines_storage::model::METRIC_NAME;
use nines_storage::{Db, Store};

use super::{USAGE, fail, finish, load, open_store, print_line};
use crate::clock::{format_rfc3339, now_ms};
use crate::config::Config;
use crate::import::tsdb::{self, Source};
use crate::import::{
    ImportError, Outcome, Told, import_block, import_openmetrics, import_requests,
};
use crate::telemetry::init_logging;
use meter::Meter;

/// Problems of one kind that are told one by one.
const TOLD_MAX: u64 = 10;
/// Read of a text at once.
const READ_BYTES: usize = 1 << 20;

/// What is imported.
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Blocks of Prometheus, Thanos or Mimir
    ///
    /// A path is a data directory of Prometheus or a block of one. Blocks that were imported before are passed by.
    /// The newest hours, which Prometheus keeps outside of blocks (wal/, chunks_head/), are not read: have it write
    /// them into blocks by POST /api/v1/admin/tsdb/snapshot (--web.enable-admin-api), and import the snapshot.
    Prometheus(PrometheusArgs),
    /// OpenMetrics text with timestamps, such as `promtool tsdb create-blocks-from openmetrics` takes
    ///
    /// One sample a line, `name{label="value"} value seconds`, in any order; the text ends with `# EOF`. Exemplars and
    /// descriptions of metrics are passed by.
    Openmetrics(OpenmetricsArgs),
    /// Requests of remote write 1.0 or 2.0, compressed as a sender sends them, one a file
    RemoteWrite(RemoteWriteArgs),
}

#[derive(Debug, Args)]
pub(super) struct Target {
    /// Data directory, created if it is not there; it must not be in use
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Config file, for the settings of the store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tenant that gets the samples
    #[arg(long, value_name = "NAME", default_value = "anonymous")]
    tenant: String,
    /// Label for series that lack it; may be repeated. Name here what external_labels adds in remote write, so
    /// that old and new samples become one series
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(super) struct PrometheusArgs {
    #[command(flatten)]
    target: Target,
    /// Import blocks once more that were imported before
    #[arg(long)]
    again: bool,
    /// Data directories or blocks
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct OpenmetricsArgs {
    #[command(flatten)]
    target: Target,
    /// The text; - is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RemoteWriteArgs {
    #[command(flatten)]
    target: Target,
    /// Bodies of requests; of one timestamp the first value in the order of the files stays
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() && name != METRIC_NAME => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => {
            Err("a label is NAME=VALUE, such as cluster=eu1, and not the metric's name".to_owned())
        }
    }
}

/// Runs one of the commands.
pub(super) fn run(command: ImportCommand) -> ExitCode {
    let target = match &command {
        ImportCommand::Prometheus(args) => &args.target,
        ImportCommand::Openmetrics(args) => &args.target,
        ImportCommand::RemoteWrite(args) => &args.target,
    };
    let mut config = match load(target.config.as_ref()) {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    config.data.clone_from(&target.data);
    init_logging(&config.log);
    finish(match &command {
        ImportCommand::Prometheus(args) => prometheus(&config, args),
        ImportCommand::Openmetrics(args) => openmetrics(&config, args),
        ImportCommand::RemoteWrite(args) => remote_write(&config, args),
    })
}

/// An open store, and what was done so far.
struct Session {
    store: Store,
    db: Arc<Db>,
    tenant: String,
    begun: Instant,
    all: Outcome,
    /// Sources that could not be imported at all.
    failed: u64,
}

impl Session {
    fn open(config: &Config, target: &Target) -> anyhow::Result<Self> {
        let store = open_store(config, &|_| {})?;
        let db = store.db(&target.tenant).context("cannot open the tenant")?;
        db.flush_before_import(now_ms()).context("cannot write what is in memory into blocks")?;
        if let Some(retention) = store.options().retention {
            print_line(&format!(
                "note: samples older than {} days will be removed by storage.retention once a server runs",
                retention.as_secs() / 86_400
            ));
        }
        let tenant = target.tenant.clone();
        Ok(Self { store, db, tenant, begun: Instant::now(), all: Outcome::default(), failed: 0 })
    }

    /// Tells why a source is not imported, unless the store is the reason.
    fn fail(&mut self, error: ImportError) -> anyhow::Result<()> {
        if error.is_of_the_source() {
            self.failed += 1;
            print_line(&format!("not imported: {error}"));
            return Ok(());
        }
        Err(anyhow::Error::new(error).context("the import cannot go on"))
    }

    fn close(self) -> anyhow::Result<()> {
        let Self { store, tenant, begun, all, failed, .. } = self;
        store.close().context("cannot close the store")?;
        let seconds = begun.elapsed().as_secs_f64();
        print_line(&format!(
            "{tenant}: {} samples in {seconds:.1} s ({:.0} a second); {} blocks of {} bytes, {:.3} bytes a sample",
            all.samples,
            all.samples as f64 / seconds.max(0.001),
            all.blocks,
            all.bytes,
            all.bytes as f64 / all.samples.max(1) as f64
        ));
        if all.blocks > 0 {
            print_line(
                "a server merges the blocks and rolls the days up on its own; without one `nines compact` and `nines history compact` do",
            );
        }
        let mut missing = Vec::new();
        let mut lacks = |n: u64, what: &str| {
            if n > 0 {
                missing.push(format!("{n} {what}"));
            }
        };
        lacks(failed, "sources");
        lacks(all.chunks, "damaged chunks");
        lacks(all.parts, "lines or parts of requests");
        lacks(all.histograms, "histograms that are not valid");
        lacks(all.out_of_time, "samples from the future or before all times");
        anyhow::ensure!(missing.is_empty(), "not imported: {}; see above", missing.join(", "));
        Ok(())
    }
}

fn prometheus(config: &Config, args: &PrometheusArgs) -> anyhow::Result<()> {
    let labels: BTreeMap<String, String> = args.target.labels.iter().cloned().collect();
    let mut session = Session::open(config, &args.target)?;
    let mut sources = Vec::new();
    for path in &args.paths {
        match tsdb::find(path, &labels) {
            Ok(found) => {
                if found.is_empty() {
                    session.failed += 1;
                    print_line(&format!(
                        "not imported: {} is no block and holds none",
                        path.display()
                    ));
                }
                for one in found {
                    match one {
                        Ok(source) => sources.push(source),
                        Err(error) => session.fail(error)?,
                    }
                }
            }
            Err(error) => session.fail(error)?,
        }
        if path.join("wal").is_dir() || path.join("chunks_head").is_dir() {
            print_line(&format!(
                "note: {}: the newest samples (wal/, chunks_head/) are not read; POST /api/v1/admin/tsdb/snapshot makes Prometheus write them into blocks",
                path.display()
            ));
        }
    }
    let mut imports = session.db.imports().with_context(|| {
        "cannot read what was imported before; remove the file: blocks are imported once more then, which changes no answer"
    })?;
    let mut meter = Meter::new("samples", sources.iter().map(|source| source.n_samples).sum());
    for source in &sources {
        if args.again {
            imports.forget(&source.key());
        }
        print_line(&describe(source));
        let mut n_told = 0;
        let labels = &session.store.options().target_labels;
        let outcome =
            import_block(&session.db, source, labels, &mut imports, now_ms(), &mut |told| {
                if let Told::Samples(n) = told {
                    return meter.add(n);
                }
                tell(told, &mut meter, &mut n_told);
            });
        meter.clear();
        match outcome {
            Ok(outcome) => {
                if outcome.known > 0 {
                    meter.skip(source.n_samples);
                    print_line("  imported before");
                } else {
                    print_line(&format!(
                        "  {} samples, {} blocks of {} bytes",
                        outcome.samples, outcome.blocks, outcome.bytes
                    ));
                }
                session.all.add(&outcome);
            }
            Err(error) => session.fail(error)?,
        }
    }
    session.close()
}

/// Says what is left out, the first few times.
fn tell(told: Told<'_>, meter: &mut Meter, n_told: &mut u64) {
    let text = match told {
        Told::Samples(_) | Told::Bytes(_) => return,
        Told::Chunk(why) => format!("left out: {why}"),
        Told::Histograms { n, path, why } => {
            format!("left out: {n} histograms of {}, the last one {why}", path.display())
        }
        Told::Part { path, why } => format!("left out: {}: {why}", path.display()),
    };
    *n_told += 1;
    if *n_told <= TOLD_MAX {
        meter.clear();
        print_line(&text);
        if *n_told == TOLD_MAX {
            print_line("further ones are only counted");
        }
    }
}

fn openmetrics(config: &Config, args: &OpenmetricsArgs) -> anyhow::Result<()> {
    let labels: BTreeMap<String, String> = args.target.labels.iter().cloned().collect();
    let (mut input, bytes): (Box<dyn BufRead>, u64) = if args.file.as_os_str() == "-" {
        (Box::new(std::io::stdin().lock()), 0)
    } else {
        let context = || format!("cannot read {}", args.file.display());
        let file = File::open(&args.file).with_context(context)?;
        let bytes = file.metadata().with_context(context)?.len();
        (Box::new(BufReader::with_capacity(READ_BYTES, file)), bytes)
    };
    let mut session = Session::open(config, &args.target)?;
    let mut meter = Meter::new("bytes", bytes);
    let mut n_told = 0;
    let targets = &session.store.options().target_labels;
    let (db, path) = (&session.db, &args.file);
    let outcome =
        import_openmetrics(db, path, &mut input, &labels, targets, now_ms(), &mut |told| {
            if let Told::Bytes(n) = told {
                return meter.add(n);
            }
            tell(told, &mut meter, &mut n_told);
        });
    meter.clear();
    match outcome {
        Ok(outcome) => session.all.add(&outcome),
        Err(error) => session.fail(error)?,
    }
    session.close()
}

fn remote_write(config: &Config, args: &RemoteWriteArgs) -> anyhow::Result<()> {
    let labels: BTreeMap<String, String> = args.target.labels.iter().cloned().collect();
    let mut session = Session::open(config, &args.target)?;
    let mut meter = Meter::new("samples", 0);
    let mut n_told = 0;
    let targets = &session.store.options().target_labels;
    let (db, files) = (&session.db, &args.files);
    let outcome = import_requests(db, files, &labels, targets, now_ms(), &mut |told| {
        if let Told::Samples(n) = told {
            return meter.add(n);
        }
        tell(told, &mut meter, &mut n_told);
    });
    meter.clear();
    match outcome {
        Ok(outcome) => session.all.add(&outcome),
        Err(error) => session.fail(error)?,
    }
    session.close()
}

fn describe(source: &Source) -> String {
    format!(
        "block {}: {} to {}, {} samples of {} series",
        source.ulid,
        format_rfc3339(source.min_ts),
        format_rfc3339(source.max_ts),
        source.n_samples,
        source.n_series
    )
}
