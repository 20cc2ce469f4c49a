//! `nines serve`: start, replay, serve, stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nines_storage::{ReplayProgress, Store};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use super::open_store;
use crate::clock::now_ms;
use crate::config::{Config, Sync};
use crate::http::{App, Phase, Server, Shutdown, router};
use crate::scheduler::{MemoryWatch, Scheduler};
use crate::slo::define::{Snapshot, Watch};
use crate::telemetry::init_logging;

/// Pause between two lines about a long replay.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub(super) fn serve(config: Config) -> anyhow::Result<()> {
    init_logging(&config.log);
    announce(&config);
    // Blocking threads: one per running query and commit, and some for pages and admin requests.
    let blocking_max = config.query.max_concurrency + config.write.max_concurrency + 16;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("nines-http")
        .max_blocking_threads(blocking_max)
        .build()
        .context("cannot start the event loop")?;
    let result = runtime.block_on(run(config));
    // Queries that were cut off see their cancel flag; nothing of theirs needs to be kept.
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

fn announce(config: &Config) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting nines");
    tracing::info!(dir = %config.data.display(), retention = %config.storage.retention, "data directory");
    if let Some(url) = &config.history.url {
        tracing::info!(%url, "the history is published to an object store");
    }
    match config.wal.sync {
        Sync::Always => tracing::info!(
            mode = "always",
            "a write is acknowledged once it is on disk: a crash or power cut loses nothing that was acknowledged"
        ),
        Sync::Interval(interval) => {
            tracing::warn!(mode = %interval, "a write is acknowledged before it is on disk: a power cut can lose what came within the last {interval}")
        }
    }
    if config.web.insecure_public {
        tracing::warn!(listen = %config.web.listen, "anybody who reaches this address can read and write everything");
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let addr = config.listen_addr()?;
    let server = Server::bind(addr).await.with_context(|| {
        format!("cannot listen on {addr}: stop the program that uses the port, or choose another with --listen")
    })?;
    let addr = server.local_addr().context("cannot read the own address")?;
    tracing::info!(address = %addr, "listening");
    let app = App::new(config);
    let _slo_files = watch_definitions(&app)?;
    let shutdown = Shutdown::default();
    let drain = app.config.web.drain_timeout.0;
    let serving =
        tokio::spawn(server.serve(app.clone(), router(app.clone()), shutdown.clone(), drain));

    let opening = {
        let app = app.clone();
        tokio::task::spawn_blocking(move || open(&app))
    };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let store = tokio::select! {
        opened = opening => opened.context("opening the data directory met a fault of nines")??,
        _ = terminate.recv() => return stop_early(),
        _ = interrupt.recv() => return stop_early(),
    };
    let store = Arc::new(store);
    let scheduler = Scheduler::start(app.clone(), store.clone())
        .context("cannot start the maintenance thread")?;
    let _watch = MemoryWatch::start(app.clone(), store.clone())
        .context("cannot start the thread that watches memory")?;
    app.set_phase(Phase::Ready(store.clone()));
    tracing::info!(
        "ready to receive; point Prometheus at it with remote_write: [{{url: http://{addr}/api/v1/write}}], Grafana with http://{addr}"
    );

    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    let flushing = {
        let store = store.clone();
        tracing::info!(
            signal = name,
            "stopping: the head is flushed, so that the next start is quick; a second signal skips that, and nothing is lost by it"
        );
        tokio::task::spawn_blocking(move || store.flush_before_stop(now_ms()))
    };
    // Meanwhile requests are served.
    tokio::select! {
        _ = tokio::time::timeout(STOP_FLUSH_TIMEOUT, flushing) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(drain_timeout = %app.config.web.drain_timeout, "no new requests, running ones are finished");
    shutdown.begin();
    let cut_off = serving.await.unwrap_or_default();
    if cut_off > 0 {
        tracing::warn!(connections = cut_off, "cut off connections that were not done in time");
    }
    app.set_phase(Phase::Stopping);
    tokio::task::spawn_blocking(move || {
        scheduler.stop();
        store.close()
    })
    .await
    .context("closing the store met a fault of nines")?
    .context("cannot close the store; what was acknowledged is in the log")?;
    tracing::info!("stopped, all is on disk");
    Ok(())
}

/// Reads the definitions of SLOs, if there are any, and looks for changes from then on.
fn watch_definitions(app: &Arc<App>) -> anyhow::Result<Option<Watch>> {
    let Some(dir) = &app.config.slo.dir else { return Ok(None) };
    let registry = app.slo.open(dir).with_context(|| {
        format!(
            "cannot read the definitions of SLOs in {}: create the directory, or name another with --slo.dir",
            dir.display()
        )
    })?;
    tell(&registry.snapshot());
    let own = Arc::clone(app);
    let watch = Watch::start(registry, move |reloaded| match reloaded {
        Ok(snapshot) => {
            tell(&snapshot);
            own.slo.reloaded(now_ms());
        }
        Err(error) => {
            tracing::error!(%error, "the definitions of SLOs cannot be read; those in force stay")
        }
    })
    .context("cannot start the thread that watches the definitions of SLOs")?;
    Ok(Some(watch))
}

/// What is in force, and what is wrong with the files.
fn tell(snapshot: &Snapshot) {
    for diagnostic in &snapshot.diagnostics {
        tracing::warn!(code = diagnostic.code, "{diagnostic}");
    }
    let defined = &snapshot.definitions;
    tracing::info!(
        slos = defined.slos.len(),
        services = defined.services.len(),
        slas = defined.slas.len(),
        exclusions = defined.exclusions.len(),
        findings = snapshot.diagnostics.len(),
        "definitions of SLOs in force"
    );
}

/// How long a stop waits for the flush before it. What is not flushed by then is in the log.
const STOP_FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// A signal while the log is replayed: nothing was acknowledged yet, so nothing has to be saved.
fn stop_early() -> anyhow::Result<()> {
    tracing::info!("stopped while the log was being replayed");
    Ok(())
}

/// Opens the store, keeping the state and the log up to date about the replay.
fn open(app: &App) -> anyhow::Result<Store> {
    let begun = Instant::now();
    let said = Mutex::new((begun, None::<ReplayProgress>));
    let progress = |progress: ReplayProgress| {
        app.set_phase(Phase::Starting(progress));
        let mut said = said.lock();
        said.1 = Some(progress);
        if said.0.elapsed() >= PROGRESS_INTERVAL {
            said.0 = Instant::now();
            tracing::info!(
                segment = progress.segments_done,
                segments = progress.segments_total,
                samples = progress.samples,
                "replaying the write-ahead log"
            );
        }
    };
    let store = open_store(&app.config, &progress)?;
    app.slo
        .open_journals(&app.config.data, now_ms())
        .context("cannot list the journals of SLOs in the data directory")?;
    match store.take_back(now_ms()) {
        Ok(done) if done.days_taken > 0 => {
            tracing::info!(days = done.days_taken, "history taken from the object store");
        }
        Ok(_) => {}
        Err(error) => {
            let error = crate::http::error::with_causes(&error);
            tracing::error!(%error, "it is not known what the object store holds of the history: samples are taken, and no day is rolled up before that is known; check history.url and the AWS_* variables");
        }
    }
    let last = said.lock().1;
    tracing::info!(
        segments = last.map_or(0, |progress| progress.segments_total),
        samples = last.map_or(0, |progress| progress.samples),
        tenants = store.tenants().len(),
        seconds = format_args!("{:.3}", begun.elapsed().as_secs_f64()),
        "data directory opened, write-ahead log replayed"
    );
    Ok(store)
}
