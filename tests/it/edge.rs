//! The program from outside: what is written can be asked for, after a kill as well, and the edges answer
//! as Prometheus's do.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::server::{Server, WRITE_HEADERS, request, write_request};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

const UP: &[(&str, &str)] = &[("__name__", "up"), ("instance", "a:1"), ("job", "a")];

#[test]
fn acknowledged_samples_survive_kill_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let now = now_ms();
    let server = Server::start(&data, &[]);
    assert_eq!(server.write(&[(UP, &[(now - 1000, 1.0), (now, 2.0)])]).status, 204);
    let seconds = now as f64 / 1000.0;
    assert_eq!(server.query("up", seconds)["result"][0]["value"][1], "2");
    let server = Server::start(&server.kill(), &[]);
    assert_eq!(server.query("sum_over_time(up[1m])", seconds)["result"][0]["value"][1], "3");
    let (data, code) = server.stop();
    assert_eq!(code, 0, "SIGTERM ends it in order");
    let server = Server::start(&data, &[]);
    assert_eq!(server.query("count_over_time(up[1m])", seconds)["result"][0]["value"][1], "2");
}

#[test]
fn a_partly_bad_request_keeps_the_good_part_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let now = now_ms();
    let nameless: &[(&str, &str)] = &[("job", "a")];
    let reply = server.write(&[(UP, &[(now, 1.0)]), (nameless, &[(now, 1.0)])]);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("missing_metric_name"), "{}", reply.text());
    assert_eq!(server.query("up", now as f64 / 1000.0)["result"][0]["value"][1], "1");
    let other = server.write(&[(UP, &[(now, 5.0)])]);
    assert_eq!(other.status, 400);
    assert!(other.text().contains("existing 1, new value 5"), "{}", other.text());
    assert_eq!(server.write(&[(UP, &[(now, 1.0)])]).status, 204, "a repetition is no fault");
}

#[test]
fn what_is_not_remote_write_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let body = write_request(&[(UP, &[(1000, 1.0)])]);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        request(server.port, "POST", "/api/v1/write", headers, body).unwrap().status
    };
    assert_eq!(post(&[("Content-Type", "application/json")], &body), 415);
    let gzip = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "gzip")];
    assert_eq!(post(&gzip, &body), 415);
    assert_eq!(post(WRITE_HEADERS, b"\xffnonsense"), 400);
    let get = request(server.port, "GET", "/api/v1/write", &[], &[]).unwrap();
    assert_eq!((get.status, get.header("allow").as_deref()), (405, Some("POST")));
    assert_eq!(post(WRITE_HEADERS, &body), 204, "and unix time 1 s is as good as any");
}

#[test]
fn the_api_answers_in_the_shape_that_clients_know() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let now = now_ms();
    server.write(&[(UP, &[(now, 1.0)])]);
    assert_eq!(
        server.get("/api/v1/labels").json()["data"],
        serde_json::json!(["__name__", "instance", "job"])
    );
    assert_eq!(server.get("/api/v1/label/job/values").json()["data"], serde_json::json!(["a"]));
    let bad = server.get("/api/v1/query?query=up%7B");
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["errorType"], "bad_data");
    assert_eq!(server.get("/api/v1/rules").json()["data"]["groups"], serde_json::json!([]));
    assert_eq!(server.get("/-/healthy").status, 200);
    let page = server.get("/");
    assert!(page.text().contains("remote_write"), "the page shows what to put into prometheus.yml");
    assert!(server.get("/metrics").text().contains("# HELP nines_"));
}

#[test]
fn wrong_settings_are_refused_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("nines.yml");
    std::fs::write(&config, "query:\n  timeout: 1m\n  no_such_key: 1\n").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["check-config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no_such_key") && said.contains('3'), "{said}");
    let public = std::process::Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["serve", "--listen", "0.0.0.0:0", "--data", dir.path().join("d").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!public.status.success());
    assert!(String::from_utf8_lossy(&public.stderr).contains("--insecure-public"));
}

#[test]
fn compact_settles_a_data_directory_that_nobody_uses() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let now = now_ms();
    let compact = |data: &std::path::Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nines"))
            .args(["compact", "--data", data.to_str().unwrap()])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = compact(dir.path());
    assert_eq!(code, Some(1));
    assert!(said.contains("is not a data directory"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made there");
    let server = Server::start(&data, &[]);
    let samples: Vec<(i64, f64)> = (0..600).map(|i| (now - i * 1000, i as f64)).rev().collect();
    assert_eq!(server.write(&[(UP, &samples)]).status, 204);
    let before = now - 3 * 86_400_000;
    assert_eq!(server.write(&[(UP, &[(before, 1.0), (before + 1000, 2.0)])]).status, 204);
    let (code, said) = compact(&data);
    assert_eq!(code, Some(1));
    assert!(said.contains("is used by another nines"), "{said}");
    let (data, _) = server.stop();
    let (code, said) = compact(&data);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("0 blocks of 0 bytes before") && said.contains("; 602 samples"),
        "{said}"
    );
    assert!(said.contains("rolling up "), "{said}");
    let (code, again) = compact(&data);
    assert_eq!(code, Some(0), "{again}");
    assert!(!again.contains("merging") && !again.contains("rolling up "), "settled: {again}");
    let server = Server::start(&data, &[]);
    let count = server.query("count_over_time(up[20m])", now as f64 / 1000.0);
    assert_eq!(count["result"][0]["value"][1], "600");
    drop(server);
    let blocks = data.join("tenants/anonymous/blocks");
    for block in std::fs::read_dir(blocks).unwrap() {
        let chunks = block.unwrap().path().join("chunks");
        let mut bytes = std::fs::read(&chunks).unwrap();
        bytes.truncate(10);
        std::fs::write(chunks, bytes).unwrap();
    }
    let (code, said) = compact(&data);
    assert_eq!(code, Some(1));
    assert!(said.contains("damaged blocks were left as they are"), "{said}");
}
