//! `nines import` from outside: blocks of a real Prometheus, and its answers beside those of nines.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nines_proto::Message as _;
use nines_proto::v1::{BucketSpan, Count, Histogram, Label, TimeSeries, WriteRequest, ZeroCount};

use crate::encode;
use crate::peers::{Prometheus, left_out, peer, sorted};
use crate::server::{Server, WRITE_HEADERS, request, write_request};

const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Exit code and what was printed.
fn import(data: &Path, args: &[&str], paths: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nines"))
        .arg("import")
        .args(args)
        .args(["--data", data.to_str().unwrap()])
        .args(paths)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn blocks_bytes(data: &Path) -> u64 {
    let output = Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["compact", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success());
    let blocks = data.join("tenants/anonymous/blocks");
    let files = std::fs::read_dir(blocks)
        .unwrap()
        .flat_map(|dir| ["chunks", "index"].map(|name| dir.as_ref().unwrap().path().join(name)));
    files.map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Counters with resets and gauges, three days long, with a label name that stands before the metric's.
fn open_metrics(start_s: i64) -> String {
    let mut text = String::from("# HELP demo_total Things.\n# TYPE demo_total counter\n");
    for instance in 0..4 {
        for i in 0..700 {
            let at = start_s + i * 360;
            let value = (i * 7 + instance) % 103;
            let labels = format!(
                "Zone=\"z\",instance=\"h{instance}:1\",job=\"{}\"",
                ["a", "b"][instance as usize % 2]
            );
            // Eighths, which are exact: Prometheus cuts off what others round.
            let eighths = i * 13 % 8 * 125;
            writeln!(text, "demo_total{{{labels}}} {value} {at}.{eighths:03}").unwrap();
        }
    }
    text.push_str("# TYPE demo gauge\n");
    for instance in 0..4 {
        for i in (0..700).filter(|i| i % 50 != instance) {
            let value = (i as f64 * (instance + 1) as f64 / 17.0).sin();
            writeln!(
                text,
                "demo{{instance=\"h{instance}:1\",Path=\"/{}\"}} {value} {}",
                i % 2,
                start_s + i * 360
            )
            .unwrap();
        }
    }
    text.push_str("# EOF\n");
    text
}

const QUERIES: &[&str] = &[
    "demo_total",
    "demo",
    "sum by (job) (rate(demo_total[1h]))",
    "increase(demo_total[1d])",
    "max_over_time(demo[3h])",
    "count({__name__=~\".+\"})",
    "sum by (Path) (count_over_time(demo[1d]))",
    "avg by (Zone) (demo_total)",
];

/// Compares what both answer to `queries` over a range of seconds.
fn compare(nines: u16, theirs: u16, queries: &[&str], from_s: i64, to_s: i64, step_s: i64) {
    for query in queries {
        let query = crate::server::encode(query);
        for path in [
            format!("/api/v1/query_range?query={query}&start={from_s}&end={to_s}&step={step_s}"),
            format!("/api/v1/query?query={query}&time={}", (from_s + to_s) / 2),
        ] {
            let [mine, other] =
                [nines, theirs].map(|port| request(port, "GET", &path, &[], &[]).unwrap());
            assert_eq!((mine.status, other.status), (200, 200), "{path}: {}", mine.text());
            let (mine, other) = (sorted(&mine.json()), sorted(&other.json()));
            assert!(!other.is_empty() || !path.contains("query_range"), "{path}");
            assert_eq!(mine, other, "{path}");
        }
    }
}

fn made_by_promtool(promtool: &Path, dir: &Path, text: &str) -> PathBuf {
    let (file, blocks) = (dir.join("samples.om"), dir.join("oracle/data"));
    std::fs::create_dir_all(&blocks).unwrap();
    std::fs::write(&file, text).unwrap();
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    blocks
}

#[test]
fn blocks_of_prometheus_give_the_same_answers() {
    let test = "blocks_of_prometheus_give_the_same_answers";
    let (Some(promtool), Some(program)) = (peer("promtool"), peer("prometheus")) else {
        return left_out(test);
    };
    let dir = tempfile::tempdir().unwrap();
    let start_s = now_ms() / 1000 / 86_400 * 86_400 - 30 * 86_400 + 7_000;
    let blocks = made_by_promtool(&promtool, dir.path(), &open_metrics(start_s));
    let flags = [
        "--storage.tsdb.retention.time=10y",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration=2h",
        "--web.enable-admin-api",
    ];
    let oracle = Prometheus::start(&program, &dir.path().join("oracle"), "", &flags);
    // Tombstones.
    let gone = format!(
        "/api/v1/admin/tsdb/delete_series?match[]={}&start={}&end={}",
        crate::server::encode("demo{instance=\"h1:1\"}"),
        start_s + 50_000,
        start_s + 90_000
    );
    assert_eq!(request(oracle.port, "POST", &gone, &[], &[]).unwrap().status, 204);

    let data = dir.path().join("data");
    let (code, said) = import(&data, &["prometheus"], &[&blocks]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the newest samples (wal/, chunks_head/) are not read"), "{said}");
    let check = || {
        let server = Server::start(&data, &[]);
        compare(server.port, oracle.port, QUERIES, start_s, start_s + 252_000, 1_777);
        let (code, said) = import(&data, &["prometheus"], &[&blocks]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("used by another nines"), "{said}");
    };
    check();
    let bytes = blocks_bytes(&data);

    // Nothing is done twice, and where it is, it changes nothing.
    let (code, said) = import(&data, &["prometheus"], &[&blocks]);
    assert_eq!((code, said.contains("imported before")), (0, true), "{said}");
    assert!(said.contains(": 0 samples in"), "{said}");
    let (code, said) = import(&data, &["prometheus", "--again"], &[&blocks]);
    assert_eq!((code, said.contains("imported before")), (0, false), "{said}");
    assert_eq!(blocks_bytes(&data), bytes);
    check();

    // The text itself, in another order.
    let text = std::fs::read_to_string(dir.path().join("samples.om")).unwrap();
    let mut lines: Vec<&str> = text.lines().filter(|line| *line != "# EOF").collect();
    lines.reverse();
    let file = dir.path().join("reversed.om");
    std::fs::write(&file, lines.join("\n") + "\n# EOF\n").unwrap();
    let other = dir.path().join("other");
    let (code, said) = import(&other, &["openmetrics"], &[&file]);
    assert_eq!(code, 0, "{said}");
    let server = Server::start(&other, &["--web.enable-admin-api"]);
    assert_eq!(request(server.port, "POST", &gone, &[], &[]).unwrap().status, 204);
    compare(server.port, oracle.port, QUERIES, start_s, start_s + 252_000, 1_777);
    drop(server);

    // Other labels make other series.
    let one = std::fs::read_dir(&blocks).unwrap().map(|entry| entry.unwrap().path());
    let one = one.filter(|path| path.join("meta.json").is_file()).min().unwrap();
    let args = ["prometheus", "--label", "cluster=c", "--label", "instance=other"];
    let (code, said) = import(&data, &args, &[&one]);
    assert_eq!(code, 0, "{said}");
    let server = Server::start(&data, &[]);
    let found = server.get("/api/v1/series?match[]=demo_total&start=0");
    let found = sorted_labels(&found.json());
    assert_eq!(found.len(), 8, "{found:?}");
    assert_eq!(found.iter().filter(|labels| labels.contains("\"cluster\":\"c\"")).count(), 4);
    assert!(!found.iter().any(|labels| labels.contains("other")), "{found:?}");
}

fn sorted_labels(reply: &serde_json::Value) -> Vec<String> {
    reply["data"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

fn labels(name: &str) -> Vec<Label> {
    [("__name__", name), ("instance", "h:1"), ("job", "x")]
        .map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() })
        .to_vec()
}

/// Integer, float, gauge and custom histograms with spans that change, resets and stale markers.
fn histograms(from_ms: i64) -> Vec<u8> {
    let mut series: Vec<TimeSeries> = ["int", "float", "gauge", "custom"]
        .map(|name| TimeSeries { labels: labels(name), ..TimeSeries::default() })
        .to_vec();
    for i in 0..200i64 {
        let timestamp = from_ms + i * 15_000 + i % 3;
        let n = (i % 90) * (1 + i % 7) + 1;
        let offset = if i > 100 { -3 } else { 2 };
        let big = n * if i % 50 == 49 { 1 << 40 } else { 1 };
        let mut int = Histogram {
            count: Some(Count::Int((3 * big + 2 * n + 5) as u64)),
            sum: n as f64 * 1.1,
            schema: if i > 150 { 2 } else { 0 },
            zero_threshold: if i > 60 { 0.001 } else { 2f64.powi(-128) },
            zero_count: Some(ZeroCount::Int(5)),
            positive_spans: vec![
                BucketSpan { offset, length: 2 },
                BucketSpan { offset: 3, length: 1 },
            ],
            positive_deltas: vec![big, 0, 0],
            negative_spans: vec![BucketSpan { offset: 0, length: 2 }],
            negative_deltas: vec![n, 0],
            timestamp,
            ..Histogram::default()
        };
        if i == 70 {
            int = Histogram { sum: f64::from_bits(STALE), timestamp, ..Histogram::default() };
            int.count = Some(Count::Int(0));
            int.zero_count = Some(ZeroCount::Int(0));
        }
        let mut float = Histogram {
            count: Some(Count::Float(n as f64 * 2.5)),
            sum: -(n as f64),
            schema: 3,
            zero_threshold: 0.0,
            zero_count: Some(ZeroCount::Float(0.5)),
            positive_spans: vec![BucketSpan { offset: -5, length: 3 }],
            positive_counts: vec![n as f64, n as f64 / 3.0, 0.25],
            timestamp,
            ..Histogram::default()
        };
        if i == 120 {
            float = Histogram { sum: f64::from_bits(STALE), timestamp, ..Histogram::default() };
            float.count = Some(Count::Float(0.0));
            float.zero_count = Some(ZeroCount::Float(0.0));
        }
        let gauge = Histogram { reset_hint: 3, ..float.clone() };
        let custom = Histogram {
            count: Some(Count::Int(3 * n as u64)),
            sum: n as f64,
            schema: -53,
            zero_count: Some(ZeroCount::Int(0)),
            positive_spans: vec![BucketSpan { offset: 0, length: 3 }],
            positive_deltas: vec![n, 0, 0],
            custom_values: vec![0.005, 2.5, 1.0 / 3.0 + 3.0, 1e9],
            timestamp,
            ..Histogram::default()
        };
        for (series, histogram) in series.iter_mut().zip([int, float, gauge, custom]) {
            series.histograms.push(histogram);
        }
    }
    let request = WriteRequest { timeseries: series, metadata: Vec::new() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

#[test]
fn histograms_of_a_snapshot_are_those_of_prometheus() {
    let Some(program) = peer("prometheus") else {
        return left_out("histograms_of_a_snapshot_are_those_of_prometheus");
    };
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--enable-feature=native-histograms",
    ];
    let oracle = Prometheus::start(&program, &dir.path().join("oracle"), "", &flags);
    let from_ms = (now_ms() / 3_600_000 - 2) * 3_600_000;
    let body = histograms(from_ms);
    let reply = request(oracle.port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    let reply = request(oracle.port, "POST", "/api/v1/admin/tsdb/snapshot", &[], &[]).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let name = reply.json()["data"]["name"].as_str().unwrap().to_owned();
    let snapshot = dir.path().join("oracle/data/snapshots").join(name);

    let data = dir.path().join("data");
    let (code, said) = import(&data, &["prometheus"], &[&snapshot]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("anonymous: 800 samples"), "{said}");
    let server = Server::start(&data, &[]);
    let queries = ["int", "float", "gauge", "custom"];
    let from_s = from_ms / 1000;
    compare(server.port, oracle.port, &queries, from_s, from_s + 3000, 15);
}

const DAY_MS: i64 = 86_400_000;
/// 2023-07-22T04:26:40Z.
const START_MS: i64 = 1_690_000_000_000;

/// A block of `n` series of `days` days, a sample every ten minutes.
fn block(dir: &Path, n: usize, days: i64) -> u64 {
    let own = |text: &str| text.to_owned();
    let series: Vec<encode::Pairs> = (0..n)
        .map(|i| {
            let host = format!("h{:04}", i % 100);
            vec![(own("__name__"), format!("m{:04}", i / 100)), (own("instance"), host)]
        })
        .collect();
    let per_series = days * DAY_MS / 600_000;
    encode::write_block(&dir.join("01TEST"), "01TEST", &series, &[], &mut |i| {
        let at = |k: i64| (START_MS + k * 600_000, (k * (i as i64 + 1) % 1000) as f64);
        encode::xor_chunks(&(0..per_series).map(at).collect::<Vec<_>>())
    });
    n as u64 * per_series as u64
}

fn count(server: &Server, at_ms: i64) -> String {
    let data = server.query("sum(count_over_time({__name__=~\".+\"}[40d]))", at_ms as f64 / 1000.0);
    data["result"][0]["value"][1].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let n = block(dir.path(), 1000, 12);
    let data = dir.path().join("data");
    let progress = data.join("tenants/anonymous/imports.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["import", "prometheus", "--data", data.to_str().unwrap()])
        .arg(dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !progress.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = std::fs::read_to_string(&progress).unwrap();
    assert!(killed.contains("\"whole\": false"), "it was killed too late: {killed}");
    let (code, said) = import(&data, &["prometheus"], &[dir.path()]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains(&format!("anonymous: {n} samples")), "it began anew: {said}");
    let server = Server::start(&data, &[]);
    assert_eq!(count(&server, START_MS + 12 * DAY_MS), n.to_string());
}

#[test]
fn requests_of_remote_write_are_imported() {
    let dir = tempfile::tempdir().unwrap();
    let labels = [("__name__", "old"), ("job", "a")];
    let mut files = Vec::new();
    for i in 0..3 {
        let samples = [(START_MS + 2 * i, 1.0), (START_MS + 2 * i + 1, 2.0)];
        let file = dir.path().join(format!("{i}.snappy"));
        std::fs::write(&file, write_request(&[(&labels, &samples)])).unwrap();
        files.push(file);
    }
    let data = dir.path().join("data");
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let (code, said) = import(&data, &["remote-write", "--label", "cluster=c"], &paths);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("anonymous: 6 samples"), "{said}");
    std::fs::write(&files[1], "no request").unwrap();
    let (code, said) = import(&data, &["remote-write", "--label", "cluster=c"], &paths);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("1.snappy: this is no request"), "{said}");
    let server = Server::start(&data, &[]);
    assert_eq!(count(&server, START_MS + 1000), "6");
    let series = server.get("/api/v1/series?match[]=old&start=0").json();
    assert_eq!(series["data"][0]["cluster"], "c", "{series}");
}

#[test]
fn what_is_not_imported_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, said) = import(&data, &["prometheus"], &[dir.path()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is no block and holds none"), "{said}");
    let (code, said) = import(&data, &["prometheus", "--label", "x"], &[dir.path()]);
    assert_eq!(code, 2, "{said}");
    let file = dir.path().join("bad.om");
    std::fs::write(&file, "a 1 1\na 2\na 3 99999999999\n").unwrap();
    let (code, said) = import(&data, &["openmetrics"], &[&file]);
    assert_eq!(code, 1, "{said}");
    for part in [
        "line 2: the sample has no timestamp",
        "ends without # EOF",
        "anonymous: 1 samples",
        "2 lines or parts of requests, 1 samples from the future",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
