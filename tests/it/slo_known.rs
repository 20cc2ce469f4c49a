//! What is known of SLOs besides their figures: versions of definitions, what does not fit to the series that are there,
//! and the names and labels by which queries are completed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::server::{Server, encode, request};

const MINUTE: i64 = 60_000;
const NAMES: [&str; 6] = [
    "nines_slo_burn_rate",
    "nines_slo_error_budget_remaining_ratio",
    "nines_slo_events_total",
    "nines_slo_info",
    "nines_slo_sli_ratio",
    "nines_slo_target_ratio",
];

const CHECKOUT: &str = r#"apiVersion: openslo/v1
kind: Service
metadata: {name: shop, labels: {team: payments}}
spec: {description: Sells.}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, displayName: Checkout}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 1h, isRolling: true}]
  indicator:
    metadata: {name: checkout-sli}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: nines, spec: {query: 'requests_total{code="500"}'}}}
        total: {metricSource: {type: nines, spec: {query: requests_total, groupBy: [region]}}}
  objectives: [{target: 0.99}]
"#;

const PROBE: &str = r"apiVersion: openslo/v1
kind: SLO
metadata: {name: probe}
spec:
  service: shop
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: probe-sli}
    spec: {thresholdMetric: {metricSource: {type: nines, spec: {query: probe_success}}}}
  objectives: [{op: gte, value: 1, target: 0.999, timeSliceWindow: 5m, timeSliceTarget: 1.0}]
";

/// A data directory, definitions, and a server over both.
struct Place {
    dir: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let slo = dir.path().join("slo");
        std::fs::create_dir(&slo).unwrap();
        for (name, text) in files {
            std::fs::write(slo.join(name), text).unwrap();
        }
        let flags = ["--slo.dir", slo.to_str().unwrap()];
        let server = Server::start(&dir.path().join("data"), &flags);
        Self { dir, server }
    }

    fn slo(&self) -> PathBuf {
        self.dir.path().join("slo")
    }

    fn push(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let reply = self.server.write(&[(labels, samples)]);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    fn get(&self, path: &str) -> Value {
        let reply = self.server.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    fn reload(&self) {
        let reply = request(self.server.port, "POST", "/-/reload", &[], &[]).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }
}

fn slo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nines")).arg("slo").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The beginning of the last minute.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    i64::try_from(now).unwrap() / MINUTE * MINUTE
}

#[test]
fn versions_are_what_the_server_has_seen() {
    let place = Place::new(&[("a.yaml", CHECKOUT), ("b.yaml", PROBE)]);
    let file = place.slo().join("a.yaml");
    let path = "/api/slo/v1/slos/checkout/versions";
    let first = place.get(path);
    assert_eq!(first["items"].as_array().unwrap().len(), 1, "{first}");
    assert_eq!([&first["definition"]["version"], &first["earlier"]], [&json!(1), &json!(0)]);
    assert_eq!(first["items"][0]["hash"], first["definition"]["hash"]);
    assert!(first["definition"]["text"].as_str().unwrap().contains("name: checkout"), "{first}");
    let evaluate = |span: &str| {
        place.get(&format!("/api/slo/v1/slos/checkout/evaluate?{span}"))[0]["definitionVersion"]
            .clone()
    };
    let before = evaluate("from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z");
    assert_eq!(
        first["targets"],
        json!([{"from": null, "target": 0.99, "definitionVersion": before}])
    );

    // Another target, from a commit.
    let changed = CHECKOUT.replace("displayName: Checkout", "displayName: Checkout, annotations: {nines.dev/git-ref: 1a2b3c, nines.dev/author: ada, nines.dev/target-history: \"2025-01-01T00:00:00Z 0.99\\n2026-03-01T00:00:00Z 0.995\"}");
    let changed = changed.replace("target: 0.99}", "target: 0.995}");
    std::fs::write(&file, &changed).unwrap();
    place.reload();
    let second = place.get(path);
    assert_eq!(second["items"].as_array().unwrap().len(), 2, "{second}");
    let fields = ["version", "removed", "target", "gitRef", "author"];
    let told = fields.map(|name| second["items"][1][name].clone());
    assert_eq!(json!(told), json!([2, false, "0.995", "1a2b3c", "ada"]));
    assert_eq!(second["items"][0], first["items"][0]);
    assert_eq!(second["definition"]["version"], 2);
    // What was before is counted and judged as it was; a window over both targets names both.
    assert_eq!(evaluate("from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"), before);
    let words: Vec<&str> = second["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["definitionVersion"].as_str().unwrap())
        .collect();
    assert_eq!((words.len(), json!(words[0])), (2, before));
    assert_eq!(evaluate("from=2026-02-15T00:00:00Z&to=2026-03-15T00:00:00Z"), words.join(" "));
    assert_eq!(evaluate("from=2026-04-01T00:00:00Z&to=2026-05-01T00:00:00Z"), words[1]);

    let printed = slo(&["versions", "checkout", "--server", &place.address()]);
    let printed = text(&printed.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[2].contains(" 0.995 ") && lines[2].contains(" 1a2b3c "), "{printed}");
    let since =
        format!("target 0.995 from 2026-03-01T00:00:00Z on, definitionVersion {}", words[1]);
    assert_eq!((lines.len(), lines[4]), (5, since.as_str()), "{printed}");

    std::fs::remove_file(&file).unwrap();
    place.reload();
    let gone = place.get(path);
    assert_eq!([&gone["definition"], &gone["items"][2]["removed"]], [&Value::Null, &json!(true)]);
    assert_eq!(place.server.get("/api/slo/v1/slos/nothing/versions").status, 404);
    let unknown = slo(&["versions", "nothing", "--server", &place.address()]);
    assert_eq!(unknown.status.code(), Some(1));

    // A version that no server has seen is told as that.
    std::fs::write(&file, changed.replace("1a2b3c", "4d5e6f")).unwrap();
    let (dir, slo_dir) = (place.dir.path().join("data"), place.slo());
    assert_eq!(place.server.stop().1, 0);
    let here = ["--data", dir.to_str().unwrap(), "--slo.dir", slo_dir.to_str().unwrap()];
    let offline = slo(&[&["versions", "checkout", "--json"], &here[..]].concat());
    let offline: Value = serde_json::from_slice(&offline.stdout).unwrap();
    assert_eq!(
        [&offline["items"], &offline["definition"]["version"]],
        [&gone["items"], &Value::Null]
    );
    let printed = slo(&[&["versions", "checkout"], &here[..]].concat());
    assert!(text(&printed.stdout).contains("is not recorded: no server has seen it yet."));
}

fn push_requests(place: &Place) {
    let end = now();
    let samples = |by: f64| -> Vec<(i64, f64)> {
        (0..=120).map(|n| (end - (120 - n) * MINUTE, n as f64 * by)).collect()
    };
    for (region, code, by) in [("ams", "200", 10.0), ("ams", "500", 1.0), ("fra", "200", 7.0)] {
        let labels =
            [("__name__", "requests_total"), ("code", code), ("job", "api"), ("region", region)];
        place.push(&labels, &samples(by));
    }
    let up = [("__name__", "probe_success"), ("job", "blackbox")];
    place.push(&up, &samples(0.0).iter().map(|(at, _)| (*at, 1.0)).collect::<Vec<_>>());
}

fn validate(args: &[&str], slo_dir: &Path) -> (String, Option<i32>) {
    let told = slo(&[&["validate", slo_dir.to_str().unwrap()], args].concat());
    (text(&told.stdout), told.status.code())
}

#[test]
fn definitions_are_compared_with_the_series_of_a_server() {
    let place = Place::new(&[]);
    push_requests(&place);
    let slo_dir = place.slo();
    std::fs::write(slo_dir.join("a.yaml"), CHECKOUT).unwrap();
    std::fs::write(
        slo_dir.join("b.yaml"),
        format!("\n\n{}", PROBE.replace("probe_success", "probe_sucess")),
    )
    .unwrap();
    let address = place.address();
    let (told, code) = validate(&["--server", &address], &slo_dir);
    let line = format!("{}:12:", slo_dir.join("b.yaml").display());
    assert!(told.contains(&line) && told.contains("no series matches [no-series]"), "{told}");
    assert!(told.ends_with("0 errors, 1 warnings\n"), "{told}");
    assert_eq!(code, Some(0));
    let (other, _) = validate(&["--server", &address, "--tenant", "other"], &slo_dir);
    assert!(other.ends_with("0 errors, 3 warnings\n"), "{other}");

    // What is wrong with the files themselves is told as ever, once.
    std::fs::write(slo_dir.join("c.yaml"), CHECKOUT.replace("name: checkout,", "nam: checkout,"))
        .unwrap();
    let both = validate(&["--server", &address], &slo_dir);
    assert_eq!(both.1, Some(1));
    assert_eq!(both.0.matches("[unknown-field]").count(), 1, "{}", both.0);
    let live = |query: &str| {
        let path = format!("/api/slo/v1/validate{query}");
        request(
            place.server.port,
            "POST",
            &path,
            &[],
            CHECKOUT.replace("requests", "nothing").as_bytes(),
        )
        .unwrap()
    };
    assert_eq!(live("?live=maybe").status, 400);
    assert_eq!(live("").json()["diagnostics"], json!([]));
    let found = live("?live=true").json();
    let codes: Vec<&Value> =
        found["diagnostics"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["no-series", "no-series"], "{found}");

    let usage = validate(&["--server", &address, "--data", "x"], &slo_dir);
    assert_eq!(usage.1, Some(2));
    let data = place.dir.path().join("data");
    assert_eq!(place.server.stop().1, 0);
    assert_eq!(validate(&["--data", data.to_str().unwrap()], &slo_dir), both);
    assert_eq!(validate(&["--server", &address], &slo_dir).1, Some(1));
}

/// The label sets of series.
fn sets(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn queries_of_what_slos_publish_are_completed() {
    let place = Place::new(&[("a.yaml", CHECKOUT), ("b.yaml", PROBE)]);
    push_requests(&place);
    let ask = |path: &str, selector: &str| {
        let query = if selector.is_empty() {
            String::new()
        } else {
            format!("?match[]={}", encode(selector))
        };
        place.get(&format!("/api/v1/{path}{query}"))["data"].clone()
    };
    // What is listed is what a query finds.
    let at = now() as f64 / 1000.0;
    for name in NAMES {
        let found = place.server.query(name, at);
        let found: Vec<&Value> =
            found["result"].as_array().unwrap().iter().map(|one| &one["metric"]).collect();
        assert!(!found.is_empty());
        assert_eq!(sets(&ask("series", name)), sets(&json!(found)), "{name}");
    }
    let of_region = r#"nines_slo_sli_ratio{region=~"a.*"}"#;
    let found = ask("series", of_region);
    let [ams] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    let labels = ["region", "service", "slo", "team", "window"].map(|name| ams[name].clone());
    assert_eq!(json!(labels), json!(["ams", "shop", "checkout", "payments", "1h"]));

    let labels = ask("labels", "");
    for label in [
        "code",
        "display_name",
        "job",
        "method",
        "outcome",
        "region",
        "service",
        "slo",
        "team",
        "window",
    ] {
        assert!(labels.as_array().unwrap().contains(&json!(label)), "{label} {labels}");
    }
    assert_eq!(
        ask("labels", "nines_slo_target_ratio"),
        json!(["__name__", "service", "slo", "team"])
    );
    assert_eq!(
        ask("labels", r#"nines_slo_events_total{slo="checkout"}"#),
        json!(["__name__", "outcome", "region", "service", "slo", "team"])
    );
    assert_eq!(ask("labels", r#"{job="api"}"#), json!(["__name__", "code", "job", "region"]));

    assert_eq!(ask("label/__name__/values", r#"{__name__=~".*slo.*"}"#), json!(NAMES));
    let all = [&NAMES[..], &["probe_success", "requests_total"]].concat();
    assert_eq!(ask("label/__name__/values", ""), json!(all));
    assert_eq!(ask("label/__name__/values", "requests_total"), json!(["requests_total"]));
    assert_eq!(
        ask("label/__name__/values", r#"{slo="probe",team="payments",code=""}"#),
        json!(NAMES)
    );
    assert_eq!(ask("label/slo/values", ""), json!(["checkout", "probe"]));
    assert_eq!(ask("label/slo/values", r#"nines_slo_info{method="Timeslices"}"#), json!(["probe"]));
    assert_eq!(ask("label/window/values", r#"nines_slo_info"#), json!(["1h", "28d"]));
    assert_eq!(
        ask("label/window/values", r#"nines_slo_burn_rate{region="fra"}"#),
        json!(["1d", "1h", "2h", "30m", "3d", "5m", "6h"])
    );
    assert_eq!(ask("label/window/values", r#"nines_slo_burn_rate{region="nyc"}"#), json!([]));
    assert_eq!(ask("label/region/values", "nines_slo_events_total"), json!(["ams", "fra"]));
    assert_eq!(ask("label/region/values", "nines_slo_target_ratio"), json!([]));
    assert_eq!(ask("label/region/values", ""), json!(["ams", "fra"]));
    let long_ago = format!("/api/v1/label/region/values?match[]={}&end=1000", NAMES[2]);
    assert_eq!(place.get(&long_ago)["data"], json!([]));

    // The team of an SLO is that of its service, wherever it is asked for.
    let of_team = |team: &str| place.get(&format!("/api/slo/v1/slos?team={team}"))["items"].clone();
    let teams: Vec<Value> =
        of_team("payments").as_array().unwrap().iter().map(|one| one["team"].clone()).collect();
    assert!(teams.len() > 1 && teams.iter().all(|team| team == "payments"), "{teams:?}");
    assert_eq!(of_team("others"), json!([]));

    let told = place.get("/api/v1/metadata?metric=nines_slo_events_total");
    assert_eq!(told["data"]["nines_slo_events_total"][0]["type"], "counter", "{told}");
    let told = place.get("/api/v1/metadata");
    assert!(NAMES.iter().all(|name| told["data"][name].is_array()), "{told}");

    // Without SLOs there is nothing of them.
    std::fs::remove_file(place.slo().join("a.yaml")).unwrap();
    std::fs::remove_file(place.slo().join("b.yaml")).unwrap();
    place.reload();
    assert_eq!(ask("labels", ""), json!(["__name__", "code", "job", "region"]));
    assert_eq!(ask("series", NAMES[0]), json!([]));
    assert_eq!(place.get("/api/v1/metadata")["data"], json!({}));
}
