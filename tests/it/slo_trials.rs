//! `nines slo test`: tests of definitions that hold, that do not, and that cannot be read.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn test(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let command = Command::new(env!("CARGO_BIN_EXE_nines"))
        .current_dir(root)
        .args(["slo", "test"])
        .args(args)
        .output();
    command.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is told of a file with this text, in lines without its name, and the exit code.
fn told(content: &str) -> (Vec<String>, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_test.yaml");
    std::fs::copy("tests/slo/example.yaml", dir.path().join("example.yaml")).unwrap();
    std::fs::write(&path, content).unwrap();
    let out = test(&[path.to_str().unwrap()]);
    let name = format!("{}:", path.display());
    let lines = text(&out.stdout).lines().map(|line| line.replace(&name, "")).collect();
    (lines, out.status.code())
}

#[test]
fn the_examples_hold() {
    let out = test(&["tests/slo/example_test.yaml", "tests/slo/cases_test.yaml"]);
    let told = "14 tests with 71 expectations: 0 failed; 0 errors, 0 warnings\n";
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), (told, Some(0)));
    // Where definitions are read, tests beside them are passed over.
    let validate = Command::new(env!("CARGO_BIN_EXE_nines"))
        .args(["slo", "validate", "tests/slo"])
        .output()
        .unwrap();
    let told = text(&validate.stdout);
    assert!(told.contains("6 SLOs, ") && told.contains("; 0 errors, "), "{told}");
    assert_eq!(validate.status.code(), Some(0));
}

#[test]
fn what_is_not_as_expected_is_told_with_its_place() {
    let content = r"definitions: [example.yaml]
start: 2026-04-10T00:00:00Z
input_series:
  - {series: 'http_requests_total{job=\qcheckout\q,region=\qams\q,code=\q200\q}', values: '7+1x60'}
  - {series: 'http_requests_total{job=\qcheckout\q,region=\qfra\q,code=\q200\q}', values: '7+1x60'}
slo_tests:
  - slo: checkout-availability
    from: 0s
    to: 1h
    group: {region: ams}
    expect:
      total: 61
      sli: 1.0000000000005
      effectiveTarget: 0.999000000002
      met: null
      targets: [{bad: 0}, {bad: 1}]
      window: {from: 2026-04-10T02:00:00+02:00, timeZone: UTC}
      budgetRemaning: 1
  - {slo: checkout-availability, from: 0s, to: 1h, expect: {bad: 0}}
  - {slo: checkout-availability, at: 1d, group: {region: nyc}, expect: {bad: 0}}
";
    let content = content.replace("\\q", "\"");
    let (lines, code) = told(&content);
    assert_eq!(
        lines,
        [
            "12:14: error: slo_tests[0].expect.total: got 60, want 61 [not-as-expected]",
            "14:24: error: slo_tests[0].expect.effectiveTarget: got 0.999, want 0.999000000002 [not-as-expected]",
            "15:7: error: slo_tests[0].expect.met: got true, want null [not-as-expected]",
            "16:16: error: slo_tests[0].expect.targets: got 1 items, want 2 [not-as-expected]",
            "17:59: error: slo_tests[0].expect.window.timeZone: got \"Europe/Amsterdam\", want UTC [not-as-expected]",
            "18:23: error: slo_tests[0].expect.budgetRemaning: the answer has no field budgetRemaning [unknown-field]",
            "  hint: did you mean budgetRemaining?",
            "19:11: error: slo_tests[1]: 2 groups of checkout-availability have these labels: name one by group [no-single-group]",
            "  hint: groups are {region: ams} {region: fra}",
            "20:11: error: slo_tests[2]: no group of checkout-availability has these labels [no-single-group]",
            "  hint: groups are {region: ams} {region: fra}",
            "3 tests with 12 expectations: 8 failed; 0 errors, 0 warnings",
        ]
    );
    assert_eq!(code, Some(1));
}

#[test]
fn why_numbers_are_others_is_told_where_it_is_known() {
    let content = r"definitions: [example.yaml]
start: 2026-04-10T00:00:00Z
input_series:
  - {series: 'http_requests_total{job=\qcheckout\q,code=\q500\q}', values: '_ 2x60'}
slo_tests:
  - {slo: checkout-availability, from: 0s, to: 1h, expect: {bad: 2}}
  - {slo: checkout-availability, from: 2h, to: 3h, expect: {bad: 2}}
";
    let (lines, _) = told(&content.replace("\\q", "\""));
    let hints: Vec<_> = lines.iter().filter(|line| line.starts_with("  hint")).collect();
    assert_eq!(
        hints,
        [
            "  hint: first values of 1 series, 2 together, are not counted: counterStart says so",
            "  hint: no series of the SLO has a sample in this time",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_told_at_once() {
    let content = r"definitions: [example.yaml, nowhere.yaml]
start: 2026-04-10
interval: 1x
input_series:
  - {series: 'up{', values: '1x3 two'}
  - {series: '{a=~\qb\q}', values: 1}
slo_test: []
---
input_series: []
slo_tests:
  - {slo: nothing, at: yesterday, expect: {}}
  - {slo: nothing, at: 1h, to: 2h, expect: {bad: 1}}
  - {slo: nothing, from: 2h, to: 1h, expect: {bad: 1}}
  - {slo: nothing, expect: {bad: 1}}
---
definitions: [example.yaml, nowhere.yaml]
input_series: []
slo_tests: [{slo: checkout-availabilty, at: 1h, expect: {bad: 1}}]
";
    let (lines, code) = told(&content.replace("\\q", "\""));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for wanted in [
        "2:8: error: start: \"2026-04-10\" is not an instant [bad-time]",
        "3:11: error: interval: \"1x\" is not a duration above zero [bad-duration]",
        "5:34: error: input_series[0].values: \"two\" is no value: write such as 1, 0+10x60, _x3, stale or {{count:3 sum:4}} [bad-series]",
        "6:15: error: input_series[1].series: the label a of a series needs one value: write a=\"...\" [bad-series]",
        "1:1: error: slo_tests: slo_tests is missing [missing-field]",
        "7:1: error: slo_test: the field \"slo_test\" is not known here [unknown-field]",
        "11:24: error: slo_tests[0].at: \"yesterday\" is no time [bad-time]",
        "11:43: error: slo_tests[0].expect: nothing is expected [empty]",
        "12:24: error: slo_tests[1].at: at excludes from and to [bad-time]",
        "13:34: error: slo_tests[2].to: to must be later than from [bad-time]",
        "14:5: error: slo_tests[3]: the time is missing [missing-field]",
        "18:19: error: slo_tests[0].slo: there is no SLO \"checkout-availabilty\" [dangling-reference]",
        "  hint: did you mean checkout-availability?",
    ] {
        assert!(lines.contains(&wanted), "{wanted}\n{}", lines.join("\n"));
    }
    let unreadable = lines
        .iter()
        .filter(|line| line.contains("it cannot be read: ") && line.contains("nowhere.yaml: "))
        .count();
    assert_eq!((unreadable, code), (1, Some(1)), "{}", lines.join("\n"));
    assert_eq!(lines.last(), Some(&"0 tests with 0 expectations: 0 failed; 14 errors, 0 warnings"));
    let (lines, code) = told("# nothing\n");
    assert_eq!(lines[0], "1:1: error: : no document of the file is a test [missing-field]");
    assert_eq!(code, Some(1));
}

#[test]
fn json_has_what_was_got_and_what_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let cases = std::fs::read_to_string("tests/slo/cases_test.yaml").unwrap();
    std::fs::write(&path, cases.replace("total: 603", "total: 604")).unwrap();
    let out = test(&["--json", path.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!([&told["tests"], &told["expectations"]], [&json!(9), &json!(36)]);
    let [failed] = told["failed"].as_array().unwrap().as_slice() else { panic!("{told}") };
    let fields = ["got", "want", "code", "path"].map(|name| failed[name].clone());
    assert_eq!(json!(fields), json!([603, "604", "not-as-expected", "slo_tests[0].expect.total"]));
    assert_eq!(test(&["nowhere.yaml"]).status.code(), Some(2));
    assert_eq!(test(&[]).status.code(), Some(2));
}

#[test]
fn the_example_of_the_readme_holds() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let block = |begin: &str| {
        let from = readme.find(&format!("\n    {begin}")).unwrap() + 1;
        let lines = readme[from..].lines().map_while(|line| line.strip_prefix("    "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_test.yaml");
    std::fs::write(&path, block("definitions: [checkout.yaml]")).unwrap();
    std::fs::write(dir.path().join("checkout.yaml"), block("apiVersion: openslo/v1")).unwrap();
    let out = test(&[path.to_str().unwrap()]);
    let told = "1 tests with 4 expectations: 0 failed; 0 errors, 0 warnings\n";
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), (told, Some(0)));
}
