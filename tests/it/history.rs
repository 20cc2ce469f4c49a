//! `nines history` from outside.

use std::path::Path;
use std::process::Command;

use crate::server::{Server, WRITE_HEADERS, Written, request, write_request};

const DAY_S: i64 = 86_400;
/// 2023-11-14T00:00:00Z.
const START_S: i64 = 1_699_920_000;

/// Exit code and what was printed.
fn history(data: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nines"))
        .arg("history")
        .args(args)
        .args(["--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn days_are_rolled_up_listed_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    for hour in 0..48 {
        let labels = [("__name__", "requests_total"), ("instance", "a:1"), ("job", "a")];
        let samples = [((START_S + hour * 3600) * 1000 + 1, hour as f64)];
        let series: [Written<'_>; 1] = [(&labels, &samples)];
        let body = write_request(&series);
        let reply = request(server.port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    let (code, said) = history(&data, &["stats"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("used by another nines"), "{said}");
    drop(server);

    let (code, said) = history(&data, &["compact", "--now", "never"]);
    assert_eq!(code, 2, "{said}");
    let now = (START_S + DAY_S + 3600).to_string();
    let (code, said) = history(&data, &["compact", "--now", &now]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("anonymous: rolling up 2023-11-14, 1 days left"), "{said}");
    assert!(said.contains("rollup_1h: 24 rows in 1 files"), "{said}");
    assert!(said.contains("rollup_1d: 1 rows in 1 files"), "{said}");
    let (_, said) = history(&data, &["compact", "--now", "2023-11-16T01:00:00Z"]);
    assert!(said.contains("rolling up 2023-11-15") && !said.contains("2023-11-14"), "{said}");
    let (code, said) = history(&data, &["stats"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("anonymous: 2 days, 2023-11-14 to 2023-11-15, 0 to be built"), "{said}");
    assert!(said.contains("rollup_1h: 48 rows in 2 files"), "{said}");
    let (_, said) = history(&data, &["ls"]);
    let file = "history/rollup_1h/month=2023-11/part-2023-11-14.parquet";
    assert!(said.contains(&format!("anonymous/{file}: revision 1, 24 rows, 1 series")), "{said}");
    let (code, said) = history(&data, &["verify"]);
    assert_eq!((code, said.contains("6 files with 52 rows are as they were")), (0, true), "{said}");

    // Once the month is over its days are one file.
    let (code, said) = history(&data, &["compact", "--now", "2023-12-02T00:00:00Z"]);
    assert_eq!(code, 0, "{said}");
    let (_, said) = history(&data, &["ls"]);
    let month = "history/rollup_1d/year=2023/part-2023-11.parquet";
    assert!(said.contains(&format!("anonymous/{month}: revision 1, 2 rows, 1 series")), "{said}");
    assert!(!said.contains("rollup_1d/year=2023/part-2023-11-1"), "{said}");
    let (_, said) = history(&data, &["stats"]);
    assert!(said.contains("rollup_1d: 2 rows in 1 files"), "{said}");
    assert!(said.contains("rollup_1d: bytes per row of the newest month: "), "{said}");
    let (code, said) = history(&data, &["verify"]);
    assert_eq!((code, said.contains("5 files with 52 rows are as they were")), (0, true), "{said}");

    let path = data.join("tenants/anonymous").join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(&bytes[..4], b"PAR1");
    bytes[100] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let (code, said) = history(&data, &["verify"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("part-2023-11-14.parquet") && said.contains("checksum"), "{said}");
    let (code, said) = history(&dir.path().join("nowhere"), &["ls"]);
    assert_eq!((code, said.contains("is not a data directory")), (1, true), "{said}");
}

/// What `history.policies` names has rows of five minutes and of samples once a day is built with it.
#[test]
fn policies_add_tables_and_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("nines.yml"));
    let server = Server::start(&data, &[]);
    let sample = [((START_S + 60) * 1000, 1.5)];
    let series: Vec<[(&str, &str); 2]> =
        ["slo", "other"].map(|job| [("__name__", "requests_total"), ("job", job)]).to_vec();
    let written: Vec<Written<'_>> =
        series.iter().map(|labels| (&labels[..], &sample[..])).collect();
    let body = write_request(&written);
    let reply = request(server.port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    drop(server);
    let now = "2023-11-15T01:00:00Z";
    let (code, said) = history(&data, &["compact", "--now", now]);
    assert_eq!((code, said.contains("rollup_1h: 2 rows")), (0, true), "{said}");

    let policy = |selector: &str| {
        let text = format!(
            "history:\n  policies:\n    - match: '{selector}'\n      tables: [rollup_5m, raw]\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    let file = config.to_str().unwrap();
    policy("{job=}");
    let (code, said) = history(&data, &["compact", "--config", file]);
    assert_eq!(code, 2, "{said}");
    for part in ["nines.yml", "history.policies: entry 1", "{job=}", "write for example"] {
        assert!(said.contains(part), "{said}");
    }
    policy("{job=\"slo\"}");
    let (code, said) = history(&data, &["compact", "--now", now, "--config", file]);
    assert_eq!((code, said.contains("0 days rolled up")), (0, true), "{said}");
    let (code, said) = history(&data, &["compact", "--now", now, "--config", file, "--rebuild"]);
    assert_eq!((code, said.contains("1 days rolled up")), (0, true), "{said}");
    let (_, said) = history(&data, &["ls"]);
    for table in ["raw", "rollup_5m"] {
        let path = format!("history/{table}/date=2023-11-14/part-2023-11-14.parquet");
        assert!(said.contains(&format!("{path}: revision 2, 1 rows, 1 series")), "{said}");
    }
    let (_, said) = history(&data, &["stats"]);
    assert!(said.contains("raw: 1 rows in 1 files"), "{said}");
    let (code, said) = history(&data, &["verify"]);
    assert_eq!((code, said.contains("5 files with 8 rows are as they were")), (0, true), "{said}");
}

/// What SLOs are counted from has rows of five minutes, unless the configuration says otherwise.
#[test]
fn inputs_of_slos_have_the_tables_that_are_set() {
    let dir = tempfile::tempdir().unwrap();
    let [data, slo] = ["data", "slo"].map(|name| dir.path().join(name));
    let config = dir.path().join("nines.yml");
    let server = Server::start(&data, &[]);
    let sample = [((START_S + 60) * 1000, 1.5)];
    let series: Vec<[(&str, &str); 2]> =
        ["a", "b"].map(|job| [("__name__", "requests_total"), ("job", job)]).to_vec();
    let written: Vec<Written<'_>> =
        series.iter().map(|labels| (&labels[..], &sample[..])).collect();
    let body = write_request(&written);
    let reply = request(server.port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    drop(server);

    let now = "2023-11-15T01:00:00Z";
    let compact = |args: &[&str]| {
        let (code, said) =
            history(&data, &[&["compact", "--now", now, "--rebuild"], args].concat());
        (code, said)
    };
    let dir_arg = slo.to_str().unwrap();
    let (code, said) = compact(&["--slo.dir", dir_arg]);
    assert_eq!((code, said.contains("name another directory with --slo.dir")), (1, true), "{said}");
    std::fs::create_dir(&slo).unwrap();
    let text = "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec:\n  service: s\n  budgetingMethod: Timeslices\n  timeWindow: [{duration: 30d, isRolling: true}]\n  indicator: {metadata: {name: i}, spec: {thresholdMetric: {metricSource: {type: nines, spec: {query: 'requests_total{job=\"a\"}'}}}}}\n  objectives: [{op: gte, value: 1, target: 0.9, timeSliceWindow: 5m, timeSliceTarget: 1.0}]\n";
    std::fs::write(slo.join("a.yaml"), text).unwrap();
    let told = |tables: &str| {
        let (_, said) = history(&data, &["ls"]);
        for table in ["raw", "rollup_5m"] {
            let path = format!("history/{table}/date=2023-11-14/part-2023-11-14.parquet");
            let wanted = tables.split(' ').any(|one| one == table);
            assert_eq!(said.contains(&path), wanted, "{table}: {said}");
            assert!(!wanted || said.contains(" rows, 1 series"), "{said}");
        }
    };
    let (code, said) = compact(&["--slo.dir", dir_arg]);
    assert_eq!((code, said.contains("rollup_5m: 1 rows in 1 files")), (0, true), "{said}");
    told("rollup_5m");
    let file = config.to_str().unwrap();
    // So does the command that settles everything; it begins with the day that is outdated.
    assert_eq!(compact(&[]).0, 0);
    told("");
    let outdated = [("__name__", "requests_total"), ("job", "a")];
    let server = Server::start(&data, &[]);
    let late: [Written<'_>; 1] = [(&outdated, &[((START_S + 50) * 1000, 1.0)])];
    let body = write_request(&late);
    let reply = request(server.port, "POST", "/api/v1/write", WRITE_HEADERS, &body).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    drop(server);
    let data_arg = data.to_str().unwrap();
    let all = ["compact", "--data", data_arg, "--slo.dir", dir_arg];
    let output = Command::new(env!("CARGO_BIN_EXE_nines")).args(all).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    told("rollup_5m");
    for (setting, tables) in
        [("[]", ""), ("[rollup_5m, raw]", "rollup_5m raw"), ("[raw]", "raw"), ("[]", "")]
    {
        let text = format!("history: {{slo_inputs: {setting}}}\nslo: {{dir: '{dir_arg}'}}\n");
        std::fs::write(&config, text).unwrap();
        let (code, said) = compact(&["--config", file]);
        assert_eq!(code, 0, "{said}");
        told(tables);
    }
    std::fs::write(&config, "history: {slo_inputs: [rollup_1h]}\n").unwrap();
    let (code, said) = compact(&["--config", file]);
    assert_eq!(
        (code, said.contains("rollup_1h") && said.contains("rollup_5m")),
        (2, true),
        "{said}"
    );
}
