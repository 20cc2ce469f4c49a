//! A real Prometheus as sender and as oracle. Found in `NINES_TEST_PEERS` (a folder, see `.ci/peers`) or
//! in the path; where there is none, the tests say so and leave themselves out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::server::{
    Server, WRITE_HEADERS, Written, encode, free_port, request, wait_ready, write_request,
};

/// A program of Prometheus, if there is one.
pub fn peer(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("NINES_TEST_PEERS").map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.chain(std::env::split_paths(&path)).map(|dir| dir.join(program)).find(|p| p.is_file())
}

/// Says it past the capture of the test runner.
pub fn left_out(test: &str) {
    let why = "no prometheus in NINES_TEST_PEERS or in the path; `.ci/peers DIR` unpacks one";
    let _said = writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}");
}

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    pub port: u16,
    child: Child,
}

impl Prometheus {
    pub fn start(program: &Path, dir: &Path, config: &str, flags: &[&str]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        let prometheus = Self { port, child };
        wait_ready(port, "/-/ready");
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn sends(message: &str, test: &str) {
    let Some(program) = peer("prometheus") else { return left_out(test) };
    let dir = tempfile::tempdir().unwrap();
    let nines = Server::start(&dir.path().join("data"), &[]);
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{cluster: test}}}}\n\
         scrape_configs:\n\
         - job_name: nines\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         remote_write:\n\
         - url: http://127.0.0.1:{port}/api/v1/write\n  protobuf_message: {message}\n\
         \x20 queue_config: {{batch_send_deadline: 500ms}}\n  metadata_config: {{send_interval: 2s}}\n",
        port = nines.port
    );
    let sender = Prometheus::start(&program, &dir.path().join("sender"), &config, &[]);
    let count =
        |at: f64| nines.query("count_over_time(up{job=\"nines\",cluster=\"test\"}[5m])", at);
    let begun = Instant::now();
    while count(now_s())["result"][0]["value"][1]
        .as_str()
        .is_none_or(|n| n.parse::<f64>().unwrap() < 5.0)
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "five scrapes did not arrive");
        std::thread::sleep(Duration::from_millis(250));
    }
    // What the sender has is here: as many series, as many scrapes, the same values.
    let at = now_s() - 3.0;
    for query in [
        "count({job=\"nines\"})",
        "sum(count_over_time(up{job=\"nines\"}[1m]))",
        "max({job=\"nines\"})",
        "sum(scrape_samples_scraped{job=\"nines\"})",
    ] {
        let path = format!("/api/v1/query?query={}&time={at}", encode(query));
        let theirs = request(sender.port, "GET", &path, &[], &[]).unwrap().json();
        let theirs = &theirs["data"]["result"][0]["value"][1];
        assert!(theirs.is_string(), "{query}: {theirs}");
        assert_eq!(&nines.query(query, at)["result"][0]["value"][1], theirs, "{query}");
    }
    let failed = "/api/v1/query?query=prometheus_remote_storage_samples_failed_total";
    let failed = request(sender.port, "GET", failed, &[], &[]).unwrap().json();
    for series in failed["data"]["result"].as_array().unwrap() {
        assert_eq!(series["value"][1], "0", "{series}");
    }
    assert_eq!(nines.get("/api/v1/metadata?metric=up").json()["status"], "success");
}

#[test]
fn a_prometheus_sends_over_remote_write_1() {
    sends("prometheus.WriteRequest", "a_prometheus_sends_over_remote_write_1");
}

#[test]
fn a_prometheus_sends_over_remote_write_2() {
    sends("io.prometheus.write.v2.Request", "a_prometheus_sends_over_remote_write_2");
}

const QUERIES: &[&str] = &[
    "demo_total",
    "rate(demo_total[5m])",
    "increase(demo_total[1h])",
    "sum by (job) (rate(demo_total[10m]))",
    "avg_over_time(demo_gauge[7m])",
    "max_over_time(demo_gauge[10m]) - min_over_time(demo_gauge[10m])",
    "stddev_over_time(demo_gauge[10m])",
    "quantile_over_time(0.9, demo_gauge[10m])",
    "deriv(demo_gauge[10m])",
    "predict_linear(demo_gauge[10m], 600)",
    "topk(2, demo_gauge)",
    "demo_gauge > 0.5",
    "demo_total / on (instance) group_left () max by (instance) (demo_gauge)",
    "absent(demo_nothing)",
    "changes(demo_total[20m]) + resets(demo_total[20m])",
    "sum(rate(demo_total[2m])) without (instance)",
    "label_replace(demo_gauge, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "max_over_time(rate(demo_total[5m])[30m:1m])",
    "demo_gauge offset 10m",
    "histogram_quantile(0.9, sum by (le) (rate(demo_bucket[5m])))",
    "count_values(\"v\", round(demo_gauge))",
    "quantile(0.5, demo_gauge)",
];

/// Counters with resets, gauges, a classic histogram, gaps: made up by arithmetic, the same at each run.
fn demo_body(from_ms: i64) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for step in 0..480i64 {
        let ts = from_ms + step * 15_000;
        let mut all: Vec<(Vec<(String, String)>, f64)> = Vec::new();
        for instance in 0..4i64 {
            if (step / 40 + instance) % 7 == 3 {
                continue;
            }
            let label = |name: &str| {
                vec![
                    ("__name__".to_owned(), name.to_owned()),
                    ("instance".to_owned(), format!("host{instance}:9100")),
                    ("job".to_owned(), ["a", "b"][instance as usize % 2].to_owned()),
                ]
            };
            let since_reset = (step * 7 + instance * 31) % (101 + instance);
            all.push((label("demo_total"), (since_reset * (instance + 3)) as f64));
            let wave = ((step * (instance + 1)) as f64 / 17.0).sin() + 0.1 * instance as f64;
            all.push((label("demo_gauge"), wave));
            for (i, le) in ["0.1", "1", "10", "+Inf"].iter().enumerate() {
                let mut labels = label("demo_bucket");
                labels.insert(2, ("le".to_owned(), (*le).to_owned()));
                all.push((labels, (step * (i as i64 + 1) * (instance + 1)) as f64));
            }
        }
        let samples: Vec<[(i64, f64); 1]> = all.iter().map(|(_, value)| [(ts, *value)]).collect();
        let labels: Vec<Vec<(&str, &str)>> = all
            .iter()
            .map(|(labels, _)| labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())
            .collect();
        let series: Vec<Written<'_>> =
            labels.iter().zip(&samples).map(|(l, s)| (l.as_slice(), s.as_slice())).collect();
        bodies.push(write_request(&series));
    }
    bodies
}

/// The result with its series in order, whatever order they came in.
pub fn sorted(reply: &Value) -> Vec<String> {
    let mut rows: Vec<String> =
        reply["data"]["result"].as_array().unwrap().iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

#[test]
fn a_prometheus_gives_the_same_answers() {
    let Some(program) = peer("prometheus") else {
        return left_out("a_prometheus_gives_the_same_answers");
    };
    let dir = tempfile::tempdir().unwrap();
    let nines = Server::start(&dir.path().join("data"), &[]);
    let receiver = ["--web.enable-remote-write-receiver"];
    let oracle = Prometheus::start(&program, &dir.path().join("oracle"), "", &receiver);
    let from_ms = (now_s() as i64 / 3600 * 3600 - 3 * 3600) * 1000;
    for body in demo_body(from_ms) {
        for port in [nines.port, oracle.port] {
            let reply = request(port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
            assert_eq!(reply.status, 204, "{}", reply.text());
        }
    }
    let (start, end) = (from_ms / 1000 + 600, from_ms / 1000 + 7000);
    for query in QUERIES {
        let query = encode(query);
        let paths = [
            format!("/api/v1/query?query={query}&time={}", end - 7),
            format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=97"),
        ];
        for path in paths {
            let replies = [nines.port, oracle.port]
                .map(|port| request(port, "GET", &path, &[], &[]).unwrap());
            let [mine, theirs] = &replies;
            assert_eq!(mine.status, theirs.status, "{path}: {}", mine.text());
            assert_eq!(sorted(&mine.json()), sorted(&theirs.json()), "{path}");
        }
    }
}
