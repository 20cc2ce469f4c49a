//! What the program says about itself: logging, and counters that `/metrics` renders.
//!
//! Every metric is declared once, in [`families`]. Counters are plain atomics; nothing here blocks a writer
//! for longer than a map lookup.

pub mod families;
mod process;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nines_storage::RejectReason;
use parking_lot::{Mutex, RwLock};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};

pub use families::{Family, Kind};
pub use process::{Process, hostname};

/// Starts logging to stderr. Called once, before anything is logged.
pub fn init_logging(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    // Foreign crates are only heard from `info` on.
    let filter = EnvFilter::new(format!(
        "{},nines={level},nines_storage={level}",
        if level == "debug" { "info" } else { level }
    ));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Tests start several servers in one process: the first subscriber stays.
    drop(started);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds a duration to a counter of nanoseconds.
    pub fn add_duration(&self, duration: Duration) {
        self.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A counter of nanoseconds in seconds.
    #[allow(clippy::cast_precision_loss, reason = "shown only")]
    pub fn seconds(&self) -> f64 {
        self.get() as f64 / 1e9
    }
}

/// Upper bounds of the duration histograms, in seconds.
const DURATION_BOUNDS_S: [f64; 10] =
    [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 60.0, 120.0];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [Counter; DURATION_BOUNDS_S.len()],
    count: Counter,
    sum_ns: Counter,
}

impl Durations {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some((bucket, _)) =
            self.buckets.iter().zip(DURATION_BOUNDS_S).find(|(_, bound)| seconds <= *bound)
        {
            bucket.add(1);
        }
        self.count.add(1);
        self.sum_ns.add_duration(duration);
    }
}

/// Requests of one handler.
#[derive(Debug, Default)]
pub struct HandlerStats {
    /// Answers by class of status, from 1xx to 5xx.
    by_class: [Counter; 5],
    durations: Durations,
}

/// Versions of remote write that are counted apart.
pub const PROTOCOLS: [&str; 2] = ["1.0", "2.0"];

/// What remote write of one version brought.
#[derive(Debug, Default)]
pub struct IngestStats {
    /// Requests with a body that was judged.
    pub requests: Counter,
    /// Samples written.
    pub samples: Counter,
    /// Histograms written.
    pub histograms: Counter,
    /// Exemplars written.
    pub exemplars: Counter,
    /// Compressed bytes received.
    pub body_bytes: Counter,
}

/// All counters of the edge.
#[derive(Debug, Default)]
pub struct Telemetry {
    handlers: RwLock<BTreeMap<String, Arc<HandlerStats>>>,
    /// By index into [`PROTOCOLS`].
    pub ingest: [IngestStats; 2],
    rejected: Mutex<BTreeMap<RejectReason, u64>>,
    /// Bodies that could not be decoded.
    pub undecodable: Counter,
    /// Writes answered 503 because a limit was reached.
    pub overloaded: Counter,
    /// Writes answered 503 because the store could not take them.
    pub unavailable: Counter,
    queries: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Time from a query's arrival to its end.
    pub query_durations: Durations,
    /// Nanoseconds that queries waited.
    pub query_queue_ns: Counter,
    /// Queries that were logged as slow.
    pub slow_queries: Counter,
    /// Samples that queries read.
    pub query_samples: Counter,
    /// Failed rounds of maintenance.
    pub maintenance_failures: Counter,
    /// Connections accepted.
    pub connections: Counter,
}

impl Telemetry {
    /// Counts one answer.
    pub fn count_request(&self, handler: &str, status: u16, duration: Duration) {
        let known = self.handlers.read().get(handler).cloned();
        let stats = known.unwrap_or_else(|| {
            self.handlers.write().entry(handler.to_owned()).or_default().clone()
        });
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = stats.by_class.get(class) {
            counter.add(1);
        }
        stats.durations.observe(duration);
    }

    /// Counts refused samples.
    pub fn count_rejected(&self, rejected: &BTreeMap<RejectReason, u64>) {
        let mut totals = self.rejected.lock();
        for (reason, n) in rejected {
            *totals.entry(*reason).or_default() += n;
        }
    }

    /// Counts an ended query.
    pub fn count_query(&self, kind: &'static str, outcome: &'static str) {
        *self.queries.lock().entry((kind, outcome)).or_default() += 1;
    }

    /// Refused samples so far.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.lock().values().sum()
    }

    /// Renders the counters of the edge.
    pub fn render(&self, page: &mut Page) {
        let handlers: Vec<_> = self
            .handlers
            .read()
            .iter()
            .map(|(name, stats)| (name.clone(), stats.clone()))
            .collect();
        page.family(&families::HTTP_REQUESTS);
        for (name, stats) in &handlers {
            for (class, counter) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&stats.by_class)
            {
                if counter.get() > 0 {
                    page.sample(&[("handler", name), ("status", class)], counter.get());
                }
            }
        }
        page.family(&families::HTTP_DURATION);
        for (name, stats) in &handlers {
            page.durations(&[("handler", name)], &stats.durations);
        }
        page.value(&families::HTTP_CONNECTIONS, self.connections.get());
        self.render_ingest(page);
        page.family(&families::QUERIES);
        for ((kind, outcome), n) in self.queries.lock().iter() {
            page.sample(&[("kind", kind), ("outcome", outcome)], n);
        }
        page.family(&families::QUERY_DURATION);
        page.durations(&[], &self.query_durations);
        page.value(&families::QUERY_QUEUE_SECONDS, self.query_queue_ns.seconds());
        page.value(&families::QUERIES_SLOW, self.slow_queries.get());
        page.value(&families::QUERY_SAMPLES, self.query_samples.get());
        page.value(&families::MAINTENANCE_FAILURES, self.maintenance_failures.get());
    }

    fn render_ingest(&self, page: &mut Page) {
        type Column = fn(&IngestStats) -> &Counter;
        let columns: [(&Family, Column); 5] = [
            (&families::INGEST_REQUESTS, |stats| &stats.requests),
            (&families::INGEST_SAMPLES, |stats| &stats.samples),
            (&families::INGEST_HISTOGRAMS, |stats| &stats.histograms),
            (&families::INGEST_EXEMPLARS, |stats| &stats.exemplars),
            (&families::INGEST_BYTES, |stats| &stats.body_bytes),
        ];
        for (family, read) in columns {
            page.family(family);
            for (protocol, stats) in PROTOCOLS.iter().zip(&self.ingest) {
                page.sample(&[("protocol", protocol)], read(stats).get());
            }
        }
        page.family(&families::INGEST_REJECTED);
        for (reason, n) in self.rejected.lock().iter() {
            page.sample(&[("reason", reason.as_str())], *n);
        }
        page.value(&families::INGEST_UNDECODABLE, self.undecodable.get());
        page.value(&families::INGEST_OVERLOADED, self.overloaded.get());
        page.value(&families::INGEST_UNAVAILABLE, self.unavailable.get());
    }
}

/// A page of metrics in the Prometheus text format, written family by family.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a family: the samples that follow belong to it.
    pub fn family(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = family.name;
        // Writing to a String does not fail.
        let _ = writeln!(
            self.text,
            "# HELP {} {}\n# TYPE {} {kind}",
            family.name, family.help, family.name
        );
    }

    /// A sample of the family begun last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.line("", labels, value);
    }

    /// A family of one sample without labels.
    pub fn value(&mut self, family: &Family, value: impl std::fmt::Display) {
        self.family(family);
        self.sample(&[], value);
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn durations(&mut self, labels: &[(&str, &str)], durations: &Durations) {
        let mut bucket_line = |bound: &str, n: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            self.line("_bucket", &labels, n);
        };
        let mut below = 0;
        for (bucket, bound) in durations.buckets.iter().zip(DURATION_BOUNDS_S) {
            below += bucket.get();
            bucket_line(&bound.to_string(), below);
        }
        // Counted after the buckets, so never below them.
        let count = durations.count.get().max(below);
        bucket_line("+Inf", count);
        self.line("_sum", labels, durations.sum_ns.seconds());
        self.line("_count", labels, count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (i, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{name}=\"", if i == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '"' => self.text.push_str("\\\""),
                    '\\' => self.text.push_str("\\\\"),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_requests_by_handler_and_class() {
        let telemetry = Telemetry::default();
        telemetry.count_request("/api/v1/query", 200, Duration::from_millis(2));
        telemetry.count_request("/api/v1/query", 204, Duration::from_secs(500));
        telemetry.count_request("/api/v1/query", 422, Duration::from_millis(100));
        telemetry.count_query("query", "ok");
        telemetry.count_query("query", "ok");
        telemetry.count_query("labels", "timeout");
        telemetry.query_durations.observe(Duration::from_millis(2));
        telemetry.count_rejected(&BTreeMap::from([(RejectReason::NoSamples, 3)]));
        let mut page = Page::default();
        telemetry.render(&mut page);
        let text = page.finish();
        for line in [
            "# TYPE nines_http_requests_total counter",
            r#"nines_http_requests_total{handler="/api/v1/query",status="2xx"} 2"#,
            r#"nines_http_requests_total{handler="/api/v1/query",status="4xx"} 1"#,
            r#"nines_http_request_duration_seconds_bucket{handler="/api/v1/query",le="0.004"} 1"#,
            r#"nines_http_request_duration_seconds_bucket{handler="/api/v1/query",le="120"} 2"#,
            r#"nines_http_request_duration_seconds_bucket{handler="/api/v1/query",le="+Inf"} 3"#,
            r#"nines_http_request_duration_seconds_count{handler="/api/v1/query"} 3"#,
            r#"nines_query_requests_total{kind="query",outcome="ok"} 2"#,
            r#"nines_query_requests_total{kind="labels",outcome="timeout"} 1"#,
            r#"nines_query_duration_seconds_bucket{le="0.004"} 1"#,
            "nines_query_duration_seconds_count 1",
            r#"nines_ingest_rejected_total{reason="no_samples"} 3"#,
            r#"nines_ingest_samples_total{protocol="2.0"} 0"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis missing in\n{text}");
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.family(&families::INGEST_REJECTED);
        page.sample(&[("reason", "a\"b\\c\nd")], 1);
        assert!(
            page.finish().ends_with("nines_ingest_rejected_total{reason=\"a\\\"b\\\\c\\nd\"} 1\n")
        );
    }
}
