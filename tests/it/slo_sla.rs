//! Exclusions, statements of SLAs, reports and the journal behind them, over HTTP and by the commands.

use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Reply, Server, request};

/// 2026-01-01T00:00:00Z
const JANUARY: i64 = 1_767_225_600_000;
/// 2026-02-01T00:00:00Z and the first of March.
const FEBRUARY: (i64, i64) = (1_769_904_000_000, 1_772_323_200_000);
/// 2026-02-28T23:00:00Z, when March begins in Amsterdam, and 2026-04-01T00:00:00Z.
const MARCH: (i64, i64) = (1_772_319_600_000, 1_775_001_600_000);
/// 2026-03-29T01:00:00Z
const DOWN: i64 = 1_774_746_000_000;
const MINUTE: i64 = 60_000;
const SLICE: i64 = 5 * MINUTE;

const DEFINITIONS: &str = r#"
apiVersion: openslo/v1
kind: Service
metadata: {name: edge, displayName: Edge, labels: {team: web}}
spec: {description: What answers.}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: probe, labels: {team: web}}
spec:
  service: edge
  budgetingMethod: Timeslices
  timeWindow: [{duration: 1M, calendar: {startTime: "2024-01-01 00:00:00", timeZone: Europe/Amsterdam}}]
  indicator:
    metadata: {name: probe-sli}
    spec: {thresholdMetric: {metricSource: {type: nines, spec: {query: probe_success}}}}
  objectives: [{op: gte, value: 1, target: 0.999, timeSliceWindow: 5m, timeSliceTarget: 1.0}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: droplets, labels: {team: compute}}
spec:
  service: droplets
  budgetingMethod: Timeslices
  timeWindow: [{duration: 1M, calendar: {startTime: "2024-01-01 00:00:00", timeZone: UTC}}]
  indicator:
    metadata: {name: state-sli}
    spec:
      thresholdMetric:
        metricSource:
          type: nines
          spec:
            query: libvirt_domain_info_vstate
            states: {good: [1, 2], bad: [0, 6], ignore: [3, 4, 5, 7]}
            groupBy: [droplet]
            noData: ignore
  objectives: [{op: gte, value: 1, target: 0.999, timeSliceWindow: 5m, timeSliceTarget: 1.0}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: late, labels: {team: web}}
spec:
  service: edge
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: late-sli}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: nines, spec: {query: late_errors_total}}}
        total: {metricSource: {type: nines, spec: {query: late_requests_total}}}
  objectives: [{displayName: x, target: 0.99}]
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: droplet-sla}
spec:
  slo: droplets
  party: every customer
  scope: perGroup
  target: 0.9999
  window: {duration: 1M, timeZone: UTC}
  credit: {kind: lostTime}
  closeAfter: 3d
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: probe-sla}
spec:
  slo: probe
  party: shop
  scope: pooled
  target: 0.9995
  window: {duration: 1M, timeZone: UTC}
  exclusions: [scheduled-maintenance]
  credit: {tiers: [{below: 0.9995, percent: 10}, {below: 0.99, percent: 30}, {below: 0.95, percent: 100}]}
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: strict-sla}
spec:
  slo: probe
  scope: pooled
  target: 0.9995
  window: {duration: 1M, timeZone: UTC}
  exclusions: [customer-initiated]
---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: late-sla}
spec:
  slo: late
  scope: pooled
  target: 0.999
  window: {duration: 1d, timeZone: UTC}
"#;

/// A server over definitions and a data directory of its own.
struct Place {
    dir: tempfile::TempDir,
    server: Option<Server>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("slo")).unwrap();
        std::fs::write(dir.path().join("slo/all.yaml"), DEFINITIONS).unwrap();
        let mut place = Self { dir, server: None };
        place.start();
        place
    }

    fn start(&mut self) {
        let slo = self.dir.path().join("slo");
        let data = self.data();
        self.server = Some(Server::start(&data, &["--slo.dir", slo.to_str().unwrap()]));
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn stop(&mut self) {
        let (_, code) = self.server.take().unwrap().stop();
        assert_eq!(code, 0);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn push(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        for some in samples.chunks(2000) {
            let reply = self.server().write(&[(labels, some)]);
            assert_eq!(reply.status, 204, "{}", reply.text());
        }
    }

    fn get(&self, path: &str) -> Value {
        let reply = self.server().get(&format!("/api/slo/v1/{path}"));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        let path = format!("/api/slo/v1/{path}");
        request(self.server().port, "POST", &path, &[], body.as_bytes()).unwrap()
    }

    /// March of a probe that was down for an hour.
    fn push_probe(&self) {
        let down = |at: i64| at > DOWN && at <= DOWN + 60 * MINUTE;
        let samples = slices(MARCH.0, MARCH.1).map(|at| (at, if down(at) { 0.0 } else { 1.0 }));
        self.push(&[("__name__", "probe_success")], &samples.collect::<Vec<_>>());
    }

    /// The probe's March: counted slices, bad ones.
    fn march(&self) -> (Value, Value, Value) {
        let all = self.get("slos/probe/periods?from=2026-03-01T12:00:00Z&to=2026-03-30T00:00:00Z");
        let [report] = all.as_array().unwrap().as_slice() else { panic!("{all}") };
        (report["total"].clone(), report["bad"].clone(), report["excluded"].clone())
    }
}

/// Ends of the slices of (`from`, `to`].
fn slices(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from..=to).step_by(SLICE as usize).skip(1)
}

fn push_droplets(place: &Place) {
    let name = ("__name__", "libvirt_domain_info_vstate");
    let state = |at: i64, from: i64, bad: &[i64], value: f64| {
        if bad.contains(&((at - from) / SLICE)) { value } else { 1.0 }
    };
    let d1 =
        slices(FEBRUARY.0, FEBRUARY.1).map(|at| (at, state(at, FEBRUARY.0, &[700, 701, 702], 6.0)));
    place.push(&[name, ("droplet", "d1")], &d1.collect::<Vec<_>>());
    let mid = FEBRUARY.0 + 14 * 86_400_000;
    let d2 = slices(mid, FEBRUARY.1).map(|at| {
        let paused = (at - mid) / SLICE <= 100;
        (at, if paused { 5.0 } else { state(at, mid, &[1000], 0.0) })
    });
    place.push(&[name, ("droplet", "d2")], &d2.collect::<Vec<_>>());
    let d3 = slices(FEBRUARY.0, FEBRUARY.1).map(|at| (at, 1.0));
    place.push(&[name, ("droplet", "d3")], &d3.collect::<Vec<_>>());
}

const MAINTENANCE: &str = r#"apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: firmware}
spec:
  class: scheduled-maintenance
  from: 2026-03-29T01:30:00Z
  to: 2026-03-29T02:30:00Z
  match: {services: [edge]}
  mode: exclude
  note: Firmware, announced a week before
  author: ada@example.com
"#;

#[test]
fn exclusions_need_a_note_and_are_kept_and_revoked() {
    let mut place = Place::new();
    place.push_probe();
    assert_eq!(place.march().0, json!(8916));
    assert_eq!(place.march().1, json!(12));

    let without = MAINTENANCE.replace("  note: Firmware, announced a week before\n", "");
    let reply = place.post("exclusions", &without);
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type").unwrap(), "application/problem+json");
    let told = reply.json()["diagnostics"].clone();
    assert_eq!(told[0]["path"], "spec.note", "{told}");
    assert!(told[0]["line"].as_u64().unwrap() > 1, "{told}");
    assert!(place.get("exclusions")["items"].as_array().unwrap().is_empty());

    let reply = place.post("exclusions", MAINTENANCE);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json()["exclusion"].clone();
    assert_eq!((&made["afterTheFact"], &made["inForce"]), (&json!(true), &json!(true)));
    assert_eq!(place.post("exclusions", MAINTENANCE).status, 400);
    let (total, bad, excluded) = place.march();
    assert_eq!((total, bad), (json!(8904), json!(6)));
    assert_eq!((&excluded["ids"], &excluded["afterTheFact"]), (&json!(["firmware"]), &json!(true)));

    place.stop();
    place.start();
    assert_eq!(place.march().0, json!(8904));
    assert_eq!(place.post("exclusions/firmware/revoke", r#"{"author":"bob"}"#).status, 400);
    let reply = place
        .post("exclusions/firmware/revoke", r#"{"author":"bob","note":"it was another night"}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["exclusion"]["revoked"]["author"], "bob");
    assert_eq!(place.march().0, json!(8916));
    assert_eq!(place.post("exclusions/nobody/revoke", r#"{"author":"b","note":"n"}"#).status, 404);

    let spec = r#"{"class":"x","from":"2026-03-29T01:30:00Z","to":"2026-03-29T02:30:00Z","mode":"good","note":"n","author":"a"}"#;
    let reply = place.post("exclusions", spec);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let (total, bad, _) = place.march();
    assert_eq!((total, bad), (json!(8916), json!(6)));

    place.stop();
    place.start();
    let kinds: Vec<Value> = place.get("audit")["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["journal"] == "tenant")
        .map(|entry| json!([entry["seq"], entry["kind"], entry["author"]]))
        .collect();
    assert_eq!(
        kinds,
        [
            json!([1, "exclusionCreated", "ada@example.com"]),
            json!([2, "exclusionRevoked", "bob"]),
            json!([3, "exclusionCreated", "a"])
        ]
    );
}

#[test]
fn pages_of_others_may_not_write() {
    let place = Place::new();
    let headers = [("Origin", "https://evil.example")];
    for path in ["exclusions", "exclusions/x/revoke", "slas/late-sla/statements/2026-01-01/close"] {
        let path = format!("/api/slo/v1/{path}");
        let reply = request(place.server().port, "POST", &path, &headers, b"{}").unwrap();
        assert_eq!(reply.status, 403, "{path}");
    }
    let reply = request(place.server().port, "GET", "/api/slo/v1/exclusions", &[], b"").unwrap();
    assert_eq!(reply.status, 200);
}

#[test]
fn machines_have_credits_and_the_fleet_a_summary() {
    let place = Place::new();
    push_droplets(&place);
    let statement = place.get("slas/droplet-sla/statements/2026-02");
    assert_eq!(statement["state"], "open");
    let figures = &statement["figures"];
    assert_eq!(figures["summary"], json!({"met": 1, "of": 3, "noData": 0}));
    assert_eq!(
        (&figures["pooled"]["counted"], &figures["pooled"]["bad"]),
        (&json!(20060), &json!(4))
    );
    let sli = figures["pooled"]["sli"].as_f64().unwrap();
    assert!((sli - 5014.0 / 5015.0).abs() < 1e-15, "{sli}");
    let told: Vec<Value> = figures["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            json!([
                line["group"]["droplet"],
                line["counted"],
                line["bad"],
                line["breach"],
                line["credit"]["minutes"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["d1", 8064, 3, true, 15.0]),
            json!(["d2", 3932, 1, true, 5.0]),
            json!(["d3", 8064, 0, false, 0.0])
        ]
    );
    assert_eq!(
        figures["groups"][0]["downtime"],
        json!([{"from": "2026-02-03T10:15:00Z", "to": "2026-02-03T10:30:00Z"}])
    );
    assert_eq!(place.get("slas")["items"].as_array().unwrap().len(), 4);
}

#[test]
fn tiers_and_classes_are_those_of_the_agreement() {
    let place = Place::new();
    place.push_probe();
    let pooled = |sla: &str| {
        place.get(&format!("slas/{sla}/statements/2026-03"))["figures"]["pooled"].clone()
    };
    let before = pooled("probe-sla");
    assert_eq!((&before["counted"], &before["bad"]), (&json!(8928), &json!(12)));
    assert_eq!(before["credit"], json!({"kind": "tiers", "percent": 10.0}));
    assert_eq!(place.post("exclusions", MAINTENANCE).status, 201);
    let after = pooled("probe-sla");
    assert_eq!((&after["counted"], &after["bad"]), (&json!(8916), &json!(6)));
    let strict = pooled("strict-sla");
    assert_eq!(
        (&strict["counted"], &strict["bad"], &strict["credit"]),
        (&json!(8928), &json!(12), &Value::Null)
    );
}

/// A counter whose sender was cut off for ten minutes, in which it began anew.
fn push_late(place: &Place, late: bool) {
    let minutes = |of: &dyn Fn(i64) -> f64| -> Vec<(i64, f64)> {
        let wanted = (0..=60).filter(|minute| (21..=30).contains(minute) == late);
        wanted.map(|minute| (JANUARY + minute * MINUTE, of(minute))).collect()
    };
    let since = |minute: i64| if minute <= 25 { minute } else { minute - 25 };
    let requests = minutes(&|minute| 100.0 * since(minute) as f64);
    place.push(&[("__name__", "late_requests_total")], &requests);
    let errors = minutes(&|minute| if (10..=25).contains(&minute) { 6.0 } else { 0.0 });
    place.push(&[("__name__", "late_errors_total")], &errors);
}

#[test]
fn a_closed_statement_stays_and_gains_a_restatement() {
    let mut place = Place::new();
    push_late(&place, false);
    let path = "slas/late-sla/statements/2026-01-01";
    let reply = place.post(&format!("{path}/close"), "");
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = place.post(&format!("{path}/close"), r#"{"author":"ada"}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let closed = reply.json();
    assert_eq!((&closed["state"], &closed["closed"]["author"]), (&json!("final"), &json!("ada")));
    let pooled = |statement: &Value| {
        let pooled = &statement["figures"]["pooled"];
        json!([pooled["counted"], pooled["bad"], pooled["met"]])
    };
    assert_eq!(pooled(&closed), json!([5500, 6, false]));

    push_late(&place, true);
    let seen = place.get(path);
    assert_eq!((pooled(&seen), &seen["state"]), (json!([5500, 6, false]), &json!("restated")));
    let reply = place.post(&format!("{path}/close"), r#"{"author":"bob"}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());

    place.stop();
    place.start();
    let kept = place.get(path);
    assert_eq!(kept["figures"], closed["figures"]);
    assert_eq!(kept["closed"], closed["closed"]);
    let [one] = kept["restatements"].as_array().unwrap().as_slice() else { panic!("{kept}") };
    assert_eq!((&one["revision"], &one["recorded"]["author"]), (&json!(2), &json!("bob")));
    assert_eq!(pooled(one), json!([6000, 6, true]));
    let sides = &one["changes"][0];
    assert_eq!(
        (&sides["before"]["counted"], &sides["after"]["counted"]),
        (&json!(5500), &json!(6000))
    );
    assert_eq!(pooled(&place.get(&format!("{path}?revision=2"))), json!([6000, 6, true]));
    assert_eq!(place.server().get(&format!("/api/slo/v1/{path}?revision=3")).status, 404);
    let listed =
        place.get("slas/late-sla/statements?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z");
    assert_eq!(
        (&listed["items"][0]["state"], &listed["items"][0]["counted"]),
        (&json!("restated"), &json!(5500))
    );
}

#[test]
fn a_damaged_journal_is_told_and_samples_are_taken() {
    let mut place = Place::new();
    place.push_probe();
    for name in ["a", "b", "c"] {
        let text = MAINTENANCE.replace("name: firmware", &format!("name: {name}"));
        assert_eq!(place.post("exclusions", &text).status, 201);
    }
    place.stop();
    let path = place.data().join("slo/anonymous/journal");
    let whole = std::fs::read(&path).unwrap();
    // A line that was being written when the power went.
    std::fs::write(&path, [&whole[..], &whole[..40]].concat()).unwrap();
    place.start();
    assert_eq!(place.get("exclusions")["items"].as_array().unwrap().len(), 3);
    let torn = path.with_extension(format!("torn-{}-1", whole.len()));
    assert_eq!(std::fs::read(torn).unwrap(), &whole[..40]);
    place.stop();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    place.start();
    let reply = place.server().get("/api/slo/v1/exclusions");
    assert_eq!(reply.status, 500);
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("entry 2, which begins at byte"), "{detail}");
    assert_eq!(place.server().get("/api/slo/v1/slos/probe").status, 500);
    place.push(&[("__name__", "other")], &[(MARCH.1, 1.0)]);
}

#[test]
fn definitions_are_recorded_when_they_change() {
    let mut place = Place::new();
    let of_probe = |place: &Place| -> Vec<Value> {
        let all = place.get("audit");
        let mut own = Vec::new();
        for entry in all["items"].as_array().unwrap() {
            let changes = entry["payload"]["changes"].as_array().unwrap().iter();
            let changes = changes.filter(|one| one["name"] == "probe" && one["kind"] == "SLO");
            own.extend(changes.map(|one| json!([entry["kind"], one["target"]])));
        }
        own
    };
    assert_eq!(of_probe(&place), [json!(["definitionsChanged", "0.999"])]);
    let file = place.dir.path().join("slo/all.yaml");
    let changed = DEFINITIONS.replacen("target: 0.999,", "target: 0.998,", 1);
    std::fs::write(&file, changed).unwrap();
    let reply = request(place.server().port, "POST", "/-/reload", &[], b"").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let both = [json!(["definitionsChanged", "0.999"]), json!(["definitionsChanged", "0.998"])];
    assert_eq!(of_probe(&place), both);
    place.stop();
    place.start();
    assert_eq!(of_probe(&place), both);
}

/// Exit code and what was printed.
fn nines(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nines")).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn commands_do_the_same_with_a_server_and_without() {
    let mut place = Place::new();
    place.push_probe();
    push_late(&place, false);
    let server = format!("http://127.0.0.1:{}", place.server().port);
    let slo = place.dir.path().join("slo");
    let data = place.data();
    let at_server = ["--server", server.as_str()];
    let at_data = ["--data", data.to_str().unwrap(), "--slo.dir", slo.to_str().unwrap()];
    let with = |args: &[&'static str], place: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(place.iter().copied()).collect();
        nines(&all)
    };
    let add = |name: &'static str| -> Vec<&'static str> {
        [
            &["exclusion", "add", "--name", name, "--class", "scheduled-maintenance"][..],
            &["--from", "2026-03-29T01:30:00Z", "--to", "2026-03-29T02:30:00Z"],
            &["--service", "edge", "--note", "firmware", "--author", "ada"],
        ]
        .concat()
    };
    let close = ["sla", "statement", "close", "late-sla", "2026-01-01", "--author", "ada"];
    let show = ["sla", "statement", "show", "probe-sla", "2026-03"];
    let report = ["report", "--scope", "slo:probe", "--period", "2026-03"];

    let (code, said) = with(&add("one"), &at_server);
    assert_eq!((code, said.as_str()), (0, "one: entry 1 of the journal, after the fact\n"));
    let (code, said) = with(&add("one"), &at_server);
    assert!(code == 1 && said.contains("exists already"), "{said}");
    let (code, said) = with(&["exclusion", "add", "--class", "x"], &at_server);
    assert!(code == 2 && said.contains("--note"), "{said}");
    let (code, said) = with(&close, &at_server);
    assert!(
        code == 0 && said.starts_with("late-sla 2026-01-01: final, 0 of 1 met at 0.999"),
        "{said}"
    );
    let (code, said) = with(&add("two"), &at_data);
    assert!(code == 1 && said.contains("used by another nines"), "{said}");
    let shown = with(&show, &at_server);
    assert!(shown.1.contains("all together: 6 of 8916 bad"), "{shown:?}");
    let reported = with(&report, &at_server);

    place.stop();
    assert_eq!(with(&show, &at_data), shown);
    // The revision is that of a process.
    let rows = |said: &str| -> Vec<String> {
        let cut = |line: &str| line.rsplitn(3, ',').last().unwrap().to_owned();
        said.lines().map(cut).collect()
    };
    assert_eq!(rows(&with(&report, &at_data).1), rows(&reported.1));
    let (code, said) = with(&add("two"), &at_data);
    assert!(code == 0 && said.starts_with("two: entry 3 of the journal"), "{said}");
    let (code, said) =
        with(&["exclusion", "revoke", "one", "--author", "bob", "--note", "n"], &at_data);
    assert_eq!(code, 0, "{said}");
    let (code, said) = with(&["exclusion", "list"], &at_data);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("one: ") && said.contains("revoked by bob: n"), "{said}");
    assert!(said.contains("two: ") && said.contains("in force, of the journal"), "{said}");
    let (code, said) = with(&close, &at_data);
    assert!(code == 0 && said.contains("final"), "{said}");

    place.start();
    push_late(&place, true);
    let server = format!("http://127.0.0.1:{}", place.server().port);
    let path = "slas/late-sla/statements/2026-01-01";
    assert_eq!(place.get(path)["restatements"][0]["recorded"], Value::Null);
    let (code, said) = with(&["exclusion", "list"], &["--server", &server]);
    assert!(code == 0 && said.contains("revoked by bob"), "{said}");
}

#[test]
fn a_closed_statement_is_verified() {
    let place = Place::new();
    // The last whole day.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let day = (now.as_millis() as i64).div_euclid(86_400_000) * 86_400_000 - 86_400_000;
    let hour = |name: &str, per_minute: f64, from: i64, to: i64| {
        let samples = (from..=to).map(|minute| (day + minute * MINUTE, per_minute * minute as f64));
        place.push(&[("__name__", name)], &samples.collect::<Vec<_>>());
    };
    hour("late_requests_total", 100.0, 0, 60);
    hour("late_errors_total", 0.0, 0, 60);
    let days = place.get("slas/late-sla/statements");
    let label = days["items"].as_array().unwrap().iter().rev().find(|one| one["counted"] == 6000);
    let label = label.unwrap()["period"].as_str().unwrap().to_owned();
    let reply =
        place.post(&format!("slas/late-sla/statements/{label}/close"), r#"{"author":"ada"}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let server = format!("http://127.0.0.1:{}", place.server().port);
    let verify = || nines(&["sla", "statement", "verify", "late-sla", "--server", &server]);
    assert_eq!(verify(), (0, format!("{label}: as it was closed\n")));
    hour("late_requests_total", 100.0, 61, 70);
    assert_eq!(verify(), (1, format!("{label}: the data say something else than was recorded\n")));
    let reply =
        place.post(&format!("slas/late-sla/statements/{label}/close"), r#"{"author":"ada"}"#);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(verify(), (0, format!("{label}: as it was restated, 1 times\n")));
}

#[test]
fn reports_come_in_four_forms() {
    let place = Place::new();
    place.push_probe();
    push_droplets(&place);
    let get = |scope: &str, period: &str, format: &str| {
        let path =
            format!("/api/slo/v1/reports/{scope}?unit=month&period={period}&format={format}");
        let reply = place.server().get(&path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
    };
    let table = get("portfolio", "2026-03", "json").json();
    let rows = table["rows"].as_array().unwrap();
    let of = |name: &str| rows.iter().find(|row| row["slo"] == name).unwrap();
    let probe = of("probe");
    assert_eq!(
        (&probe["total"], &probe["bad"], &probe["met"]),
        (&json!(8916), &json!(12), &json!(false))
    );
    assert_eq!(
        (&probe["team"], &probe["target"], &probe["exact"]),
        (&json!("web"), &json!(0.999), &json!(true))
    );
    assert_eq!((&table["met"], &table["of"]), (&json!(0), &json!(1)), "{table}");

    let csv = get("slo:probe", "2026-03", "csv");
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    assert_eq!(
        csv.header("content-disposition").unwrap(),
        "attachment; filename=\"slo-probe-2026-03.csv\""
    );
    let text = csv.text();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 2);
    let column = |name: &str| lines[1][lines[0].iter().position(|one| *one == name).unwrap()];
    assert_eq!(
        (column("bad"), column("total"), column("sli")),
        ("12", "8916", "0.9986541049798116")
    );
    assert_eq!((column("window_from"), column("met")), ("2026-02-28T23:00:00Z", "false"));

    let parquet = get("sla:droplet-sla", "2026-02", "parquet").body;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let html = get("sla:droplet-sla", "2026-02", "html");
    assert!(html.header("content-type").unwrap().starts_with("text/html"));
    let html = html.text();
    assert!(
        html.contains("1 of 3") && html.contains("15 min") && html.contains("✗ breach"),
        "{html}"
    );
    assert!(html.contains("down 2026-02-03T10:15:00Z to 2026-02-03T10:30:00Z"), "{html}");
    assert!(!html.contains("<script") && !html.contains("http://"), "{html}");

    for (path, status) in [
        ("nonsense", 400),
        ("slo:nobody", 404),
        ("sla:nobody", 404),
        ("service:nobody", 404),
        ("portfolio?unit=window", 400),
        ("portfolio?period=2026-13", 404),
        ("portfolio?format=pdf", 400),
    ] {
        let reply = place.server().get(&format!("/api/slo/v1/reports/{path}"));
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
}
