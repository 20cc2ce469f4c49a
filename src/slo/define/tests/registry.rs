//! Definitions in force while their files change.

use std::fs;
use std::path::Path;

use super::*;
use crate::slo::define::Registry;

fn named(name: &str) -> String {
    RATIO.replace("name: requests", &format!("name: {name}"))
}

fn put(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

/// Names of the SLOs in force, with their targets.
fn slos(registry: &Registry) -> Vec<String> {
    let snapshot = registry.snapshot();
    let slos = snapshot.definitions.slos.values();
    slos.map(|slo| format!("{} {}", slo.name, slo.objectives[0].targets[0].target)).collect()
}

fn codes(registry: &Registry) -> Vec<&'static str> {
    registry.snapshot().diagnostics.iter().map(|told| told.code).collect()
}

#[test]
fn a_broken_file_keeps_its_last_good_state() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &named("a"));
    put(dir.path(), "b.yaml", &named("b"));
    let registry = Registry::open(dir.path()).unwrap();
    assert_eq!(slos(&registry), ["a 0.999", "b 0.999"]);
    assert_eq!(registry.snapshot().generation, 1);

    for broken in [
        "kind: [".to_owned(),
        named("a").replace("0.999", "9"),
        format!("{}---\nkind: [\n", named("other").replace("0.999", "0.5")),
    ] {
        put(dir.path(), "a.yaml", &broken);
        put(dir.path(), "b.yaml", &named("b").replace("0.999", "0.99"));
        registry.reload().unwrap();
        assert_eq!(slos(&registry), ["a 0.999", "b 0.99"], "{broken}");
        assert_eq!(codes(&registry).len(), 2, "{broken}");
        let snapshot = registry.snapshot();
        let kept = snapshot.diagnostics.iter().find(|told| told.code == "last-good-kept").unwrap();
        assert_eq!(
            lines(std::slice::from_ref(kept)),
            [
                "1:1 warning last-good-kept : the file has errors: what it defined before stays in force"
            ]
        );
    }

    put(dir.path(), "a.yaml", &named("a").replace("0.999", "0.9"));
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["a 0.9", "b 0.99"]);
    assert_eq!(codes(&registry), [""; 0]);
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["b 0.99"]);
    assert_eq!(registry.snapshot().generation, 6);
}

#[test]
fn a_file_that_never_was_good_keeps_what_is_good_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let two = |a: &str, b: &str| {
        format!("{}---\n{}", named("a").replace("0.999", a), named("b").replace("0.999", b))
    };
    put(dir.path(), "a.yaml", &two("0.5", "9"));
    let registry = Registry::open(dir.path()).unwrap();
    assert_eq!(slos(&registry), ["a 0.5"]);
    put(dir.path(), "a.yaml", &two("9", "0.6"));
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["a 0.5", "b 0.6"]);
}

#[test]
fn a_name_stays_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "b.yaml", &named("x"));
    let registry = Registry::open(dir.path()).unwrap();
    put(dir.path(), "a.yaml", &named("x").replace("0.999", "0.1"));
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["x 0.999"]);
    assert_eq!(codes(&registry), ["duplicate-name"]);
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["x 0.1"]);
}

#[test]
fn what_loses_its_references_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (head, tail) = RATIO.split_once("  indicator:").unwrap();
    let (_, tail) = tail.split_once("  objectives").unwrap();
    put(dir.path(), "slo.yaml", &format!("{head}  indicatorRef: errors\n  objectives{tail}"));
    let sli = "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: errors}\nspec:\n  ratioMetric:\n    bad: {metricSource: {spec: {query: a}}}\n    total: {metricSource: {spec: {query: b}}}\n";
    put(dir.path(), "sli.yaml", sli);
    let registry = Registry::open(dir.path()).unwrap();
    assert_eq!(codes(&registry), [""; 0]);
    fs::remove_file(dir.path().join("sli.yaml")).unwrap();
    for _ in 0..2 {
        registry.reload().unwrap();
        assert_eq!(slos(&registry), ["requests 0.999"]);
        assert_eq!(codes(&registry), ["last-good-kept", "dangling-reference"]);
    }
}

#[test]
fn files_that_are_being_written_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &named("a"));
    let registry = Registry::open(dir.path()).unwrap();
    assert!(registry.poll().unwrap().is_none());
    put(dir.path(), "b.yaml", "");
    assert!(registry.poll().unwrap().is_none());
    put(dir.path(), "b.yaml", &named("b"));
    assert!(registry.poll().unwrap().is_none());
    assert_eq!(slos(&registry), ["a 0.999"]);
    let settled = registry.poll().unwrap().unwrap();
    assert_eq!(settled.definitions.slos.len(), 2);
    assert!(registry.poll().unwrap().is_none());
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(registry.poll().is_err());
    assert!(registry.reload().is_err());
    assert_eq!(slos(&registry), ["a 0.999", "b 0.999"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_looked_at_keeps_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &named("a"));
    let registry = Registry::open(dir.path()).unwrap();
    let path = dir.path().join("a.yaml");
    fs::remove_file(&path).unwrap();
    // A link to itself: it is there, and neither its length nor its text can be had.
    std::os::unix::fs::symlink("a.yaml", &path).unwrap();
    registry.reload().unwrap();
    assert_eq!(slos(&registry), ["a 0.999"]);
    assert_eq!(codes(&registry), ["unreadable", "last-good-kept"]);
    fs::remove_file(&path).unwrap();
    registry.reload().unwrap();
    assert_eq!(slos(&registry), [""; 0], "what is gone defines nothing");
    // A link to what is not there is no file.
    std::os::unix::fs::symlink("nothing.yaml", &path).unwrap();
    registry.reload().unwrap();
    assert_eq!(codes(&registry), [""; 0]);
}
