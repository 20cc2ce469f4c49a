//! The history in an object store: a folder, and a server that speaks S3 (moto, found in `NINES_TEST_S3` or in the
//! path, see `.ci/s3`; where there is none, the tests say so and leave themselves out).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nines_storage::disk::sim::SimRng;
use serde_json::Value;

use crate::faulty_proxy::FaultyProxy;
use crate::server::{
    Server, WRITE_HEADERS, Written, free_port, request, wait_ready, write_request,
};

const DAY_S: i64 = 86_400;
/// 2023-11-25T00:00:00Z.
const START_S: i64 = 1_700_870_400;
const DAYS: i64 = 12;
const WAIT: Duration = Duration::from_secs(120);

/// Says it past the capture of the test runner.
fn left_out(test: &str) {
    let why = "no moto_server in NINES_TEST_S3 or in the path; `.ci/s3 DIR` fetches one";
    let _said = writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}");
}

fn moto() -> Option<PathBuf> {
    let folders = std::env::var_os("NINES_TEST_S3").map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = folders.chain(std::env::split_paths(&path));
    all.find_map(|dir| Some(dir.join("moto_server")).filter(|p| p.is_file()))
}

/// A server that speaks S3, with a bucket named `history`; killed when dropped.
struct S3 {
    port: u16,
    child: Child,
}

impl S3 {
    fn start(program: &Path) -> Self {
        let port = free_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let s3 = Self { port, child };
        wait_ready(port, "/moto-api/data.json");
        assert_eq!(request(port, "PUT", "/history", &[], &[]).unwrap().status, 200);
        s3
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// How a store is reached: its URL and the variables for it.
struct Reached {
    url: String,
    endpoint: String,
}

impl Reached {
    fn folder(dir: &Path) -> Self {
        Self { url: format!("file://{}", dir.display()), endpoint: String::new() }
    }

    fn bucket(port: u16) -> Self {
        let url = "s3://history/some/prefix".to_owned();
        Self { url, endpoint: format!("http://127.0.0.1:{port}") }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ENDPOINT_URL", &self.endpoint),
        ]
    }

    fn serve(&self, data: &Path) -> Server {
        let config = data.with_extension("yml");
        std::fs::write(&config, "history: {publish_interval: 100ms}\n").unwrap();
        let flags = ["--config", config.to_str().unwrap(), "--history.url", &self.url];
        Server::start_with(data, &flags, &self.variables())
    }

    /// `nines history`: exit code and what was printed.
    fn history(&self, data: &Path, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_nines"))
            .arg("history")
            .args(args)
            .args(["--data", data.to_str().unwrap(), "--history.url", &self.url])
            .envs(self.variables())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }
}

/// Writes samples of some days, hour by hour, for two tenants.
fn fill(data: &Path) {
    let server = Server::start(data, &[]);
    for day in 0..DAYS {
        let samples: Vec<(i64, f64)> = (0..24 * 4)
            .map(|i| ((START_S + day * DAY_S + i * 900 + 7) * 1000, (day * 96 + i % 50) as f64))
            .collect();
        let labels = |name| [("__name__", name), ("instance", "a:1"), ("job", "a")];
        let (one, two) = (labels("requests_total"), labels("errors_total"));
        let series: [Written<'_>; 2] = [(&one, &samples), (&two, &samples[..50])];
        assert_eq!(server.write(&series).status, 204);
        let headers = [WRITE_HEADERS, &[("X-Scope-OrgID", "team-b")]].concat();
        let body = write_request(&series[..1]);
        let reply = request(server.port, "POST", "/api/v1/write", &headers, &body).unwrap();
        assert_eq!(reply.status, 204);
    }
    assert_eq!(server.stop().1, 0);
}

/// Rolls up the days before day `days`.
fn roll(data: &Path, days: i64) {
    let now = (START_S + days * DAY_S + 3600).to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["history", "compact", "--now", &now, "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The least or the largest number of all tenants.
fn metric(server: &Server, name: &str, least: bool) -> f64 {
    let page = server.get("/metrics").text();
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let numbers = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    if least { numbers.fold(f64::INFINITY, f64::min) } else { numbers.fold(0.0, f64::max) }
}

/// Waits until the store holds all commits.
fn wait_published(server: &Server) {
    let begun = Instant::now();
    while metric(server, "nines_history_publish_behind_commits", false) > 0.0
        || metric(server, "nines_history_published_commit", true) < 1.0
    {
        assert!(begun.elapsed() < WAIT, "{}", server.get("/metrics").text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answers(server: &Server) -> Vec<Value> {
    let queries = [
        "sum_over_time(requests_total[2d])",
        "max_over_time(errors_total[5d])",
        "increase(requests_total[10d])",
        "sum by (job) (rate(requests_total{job=\"a\"}[7d]))",
        "count_over_time(errors_total{instance=\"a:1\"}[1d])",
        "resets(requests_total[9d])",
    ];
    let at = (START_S + (DAYS - 1) * DAY_S) as f64;
    let all: Vec<Value> = queries.iter().map(|q| server.query(q, at)["result"].clone()).collect();
    assert!(all.iter().all(|result| !result.as_array().unwrap().is_empty()), "{all:?}");
    all
}

/// An empty directory takes the history from the store and answers as the other one does.
fn restored(reached: &Reached, data: &Path, empty: &Path) {
    let whole = reached.serve(data);
    let taken = reached.serve(empty);
    assert_eq!(answers(&taken), answers(&whole));
    drop((whole, taken));
    let list = |data: &Path| reached.history(data, &["ls"]).1;
    assert_eq!(list(empty), list(data));
    let (code, said) = reached.history(empty, &["verify"]);
    assert_eq!((code, said.contains("are as they were written")), (0, true), "{said}");
}

#[test]
fn a_folder_holds_what_an_empty_directory_takes() {
    let dir = tempfile::tempdir().unwrap();
    let (data, empty) = (dir.path().join("data"), dir.path().join("empty"));
    let reached = Reached::folder(&dir.path().join("store"));
    fill(&data);
    roll(&data, DAYS / 2);
    let (code, said) = reached.history(&data, &["publish"]);
    assert_eq!((code, said.contains("holds commit 6; ")), (0, true), "{said}");
    let (_, said) = reached.history(&data, &["publish"]);
    assert!(said.contains("0 files of 0 bytes"), "{said}");
    roll(&data, DAYS);
    let server = reached.serve(&data);
    wait_published(&server);
    assert!(metric(&server, "nines_history_published_files_total", true) >= 12.0);
    let said = server.get("/api/v1/status/config").json()["data"]["yaml"].to_string();
    assert!(said.contains(&reached.url), "{said}");
    drop(server);
    restored(&reached, &data, &empty);
    // A third one, with samples and rows of its own, writes nothing there.
    let other = dir.path().join("other");
    fill(&other);
    roll(&other, 2);
    let (code, said) = reached.history(&other, &["publish"]);
    assert_eq!((code, said.contains("another data directory")), (1, true), "{said}");
}

#[test]
fn a_store_that_is_not_there_keeps_nobody_from_writing() {
    let dir = tempfile::tempdir().unwrap();
    let reached = Reached::bucket(free_port());
    let server = reached.serve(&dir.path().join("data"));
    let labels = [("__name__", "up"), ("job", "a")];
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    assert_eq!(server.write(&[(&labels, &[(now_ms, 1.0)])]).status, 204);
    let begun = Instant::now();
    while metric(&server, "nines_history_publish_failures_total", false) < 1.0 {
        assert!(begun.elapsed() < WAIT, "{}", server.get("/metrics").text());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (data, code) = server.stop();
    assert_eq!(code, 0);
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(log.contains("check history.url and the AWS_* variables"), "{log}");
}

/// Requests are lost, answers are lost, the server fails, the process is killed again and again: in the end the store
/// holds every commit once, and gives the history back.
#[test]
fn nothing_is_lost_or_doubled_on_the_way_to_s3() {
    let Some(program) = moto() else {
        return left_out("nothing_is_lost_or_doubled_on_the_way_to_s3");
    };
    let dir = tempfile::tempdir().unwrap();
    let (data, empty) = (dir.path().join("data"), dir.path().join("empty"));
    let s3 = S3::start(&program);
    let proxy = FaultyProxy::start(s3.port, 5);
    let (through, direct) = (Reached::bucket(proxy.port), Reached::bucket(s3.port));
    fill(&data);
    let mut rng = SimRng::new(11);
    for day in (2..=DAYS).step_by(2) {
        roll(&data, day);
        let server = through.serve(&data);
        std::thread::sleep(Duration::from_millis(rng.below(900)));
        assert!(metric(&server, "nines_history_publish_stopped", false) < 1.0);
        server.kill();
    }
    assert!(proxy.faults() > 10, "{}", proxy.faults());
    let server = through.serve(&data);
    wait_published(&server);
    drop(server);
    let (code, said) = direct.history(&data, &["publish"]);
    assert_eq!((code, said.contains("0 files of 0 bytes")), (0, true), "{said}");
    proxy.set_faulty(false);
    restored(&through, &data, &empty);
}
