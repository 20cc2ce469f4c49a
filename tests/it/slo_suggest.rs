//! What `nines slo suggest` and `/api/slo/v1/suggest` propose, validated, installed, and asked again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::server::{Server, encode};

/// 2026-01-01T00:00:00Z
const JANUARY: i64 = 1_767_225_600_000;
const FIVE: i64 = 300_000;
/// Steps of five minutes that are stored: twenty days.
const STEPS: i64 = 20 * 288;
const NAME: &str = "api-http-requests-availability";

fn suggest(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nines")).args(["slo", "suggest"]).args(args).output().unwrap()
}

fn push(server: &Server, labels: &[(&str, &str)], of: impl Fn(i64) -> f64) {
    let samples: Vec<_> = (0..=STEPS).map(|n| (JANUARY + n * FIVE, of(n))).collect();
    for some in samples.chunks(2000) {
        let reply = server.write(&[(labels, some)]);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
}

/// Ten requests in five minutes, of which one fails every four hours; a probe that was down for a quarter of an hour.
fn push_all(server: &Server) {
    let requests = ("__name__", "http_requests_total");
    push(server, &[requests, ("code", "200"), ("job", "api")], |n| (n * 10 - n / 48) as f64);
    push(server, &[requests, ("code", "500"), ("job", "api")], |n| (n / 48) as f64);
    let probe = [("__name__", "probe_success"), ("instance", "a"), ("job", "blackbox")];
    push(server, &probe, |n| if (100..103).contains(&n) { 0.0 } else { 1.0 });
}

fn get(server: &Server, path: &str) -> Value {
    let reply = server.get(&format!("/api/slo/v1/{path}"));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

fn install(documents: &str, dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("proposed.yaml"), documents).unwrap();
    let command = ["slo", "validate", dir.to_str().unwrap()];
    let told = Command::new(env!("CARGO_BIN_EXE_nines")).args(command).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{text}\n{documents}");
    assert_eq!(text, "2 SLOs, 2 services, 0 teams, 0 SLAs, 0 exclusions; 0 errors, 0 warnings\n");
}

#[test]
fn proposals_are_valid_and_say_what_the_installed_slos_say() {
    let dir = tempfile::tempdir().unwrap();
    let (data, slo) = (dir.path().join("data"), dir.path().join("slo"));
    let server = Server::start(&data, &[]);
    push_all(&server);

    let found = get(&server, "suggest");
    let [requests, probe] = found["items"].as_array().unwrap().as_slice() else {
        panic!("{found}")
    };
    let told = ["name", "kind", "service", "total", "bad", "target", "exact"]
        .map(|name| requests[name].clone());
    let failed = STEPS / 48;
    assert_eq!(json!(told), json!([NAME, "availability", "api", STEPS * 10, failed, 0.995, true]));
    assert_eq!(requests["months"], json!({"met": 1, "of": 1}));
    assert_eq!(probe["worst"]["group"], json!({"instance": "a"}));
    let documents = found["documents"].as_str().unwrap().to_owned();

    let address = format!("http://127.0.0.1:{}", server.port);
    let printed = suggest(&["--server", &address]);
    assert!(printed.status.success());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), documents);
    let only = get(&server, &format!("suggest?match={}&limit=5", encode(r#"{job="blackbox"}"#)));
    assert_eq!(only["items"], json!([probe]));
    assert_eq!(get(&server, "suggest?limit=1")["passed"].as_array().unwrap().len(), 1);
    for bad in ["suggest?match=%7B", "suggest?limit=x"] {
        assert_eq!(server.get(&format!("/api/slo/v1/{bad}")).status, 400, "{bad}");
    }
    assert_eq!(server.stop().1, 0);

    install(&documents, &slo);
    let at_data = ["--data", data.to_str().unwrap()];
    let offline = suggest(&at_data);
    assert!(offline.status.success(), "{}", String::from_utf8_lossy(&offline.stderr));
    assert_eq!(String::from_utf8(offline.stdout).unwrap(), documents);
    // What is installed is not proposed again, and says the same.
    let again = suggest(&[at_data[0], at_data[1], "--slo.dir", slo.to_str().unwrap()]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(1), 0));
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(
        why.contains(
            "none for http_requests_total of api: api-http-requests-availability is about it"
        ),
        "{why}"
    );

    let server = Server::start(&data, &["--slo.dir", slo.to_str().unwrap()]);
    let span = "from=2025-12-01T00:00:00Z&to=2026-02-01T00:00:00Z";
    for item in [requests, probe] {
        let name = item["name"].as_str().unwrap();
        let reports = get(&server, &format!("slos/{name}/evaluate?{span}"));
        let [report] = reports.as_array().unwrap().as_slice() else { panic!("{reports}") };
        for figure in ["good", "bad", "total", "sli", "exact"] {
            assert_eq!(report[figure], item[figure], "{name}: {figure}");
        }
        assert_eq!(report["met"], true, "{report}");
        assert_eq!(report["targets"][0]["target"], item["target"]);
    }
    assert_eq!(server.stop().1, 0);
}
