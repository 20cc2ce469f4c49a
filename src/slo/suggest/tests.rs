//! Proposals for stores that hold one thing or another.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

use super::*;
use crate::promql::parse_selector;
use crate::slo::tests::{Bench, DAY, MINUTE, NOW, T0, load};

/// Days that are stored: January to March 2026.
const DAYS: i64 = 90;
const FIVE: i64 = 5 * MINUTE;

fn times() -> impl Iterator<Item = i64> {
    (T0..=T0 + DAYS * DAY).step_by(FIVE as usize)
}

/// Requests of a shop: a hundred in five minutes, one of them bad every hour; and how long they took.
fn shop() -> Bench {
    let bench = Bench::new();
    let counter = |series: &str, of: &dyn Fn(f64) -> f64| {
        bench.push(series, times().enumerate().map(|(n, at)| (at, of(n as f64))));
    };
    counter(r#"http_requests_total{job="shop",code="200"}"#, &|n| n * 100.0 - (n / 12.0).floor());
    counter(r#"http_requests_total{job="shop",code="503"}"#, &|n| (n / 12.0).floor());
    for (bound, share) in [("0.1", 0.5), ("0.25", 0.992), ("0.5", 0.999), ("+Inf", 1.0)] {
        let series = format!(r#"http_request_duration_seconds_bucket{{job="shop",le="{bound}"}}"#);
        counter(&series, &|n| n * 1000.0 * share);
    }
    counter(r#"http_request_duration_seconds_count{job="shop"}"#, &|n| n * 1000.0);
    bench
}

fn suggested(bench: &Bench, documents: &str, only: &str) -> Suggestions {
    let only = if only.is_empty() { Vec::new() } else { parse_selector(only).unwrap() };
    bench.with(documents, NOW, |desk| suggest(desk, &only, LIMIT_DEFAULT).unwrap())
}

fn item<'s>(found: &'s Suggestions, kind: &str) -> &'s Suggestion {
    let of_kind: Vec<_> = found.items.iter().filter(|item| item.kind == kind).collect();
    assert_eq!(of_kind.len(), 1, "{found:#?}");
    of_kind[0]
}

/// Of every proposal, its document by itself says what the proposal says.
fn check(bench: &Bench, found: &Suggestions) {
    let definitions = load(&found.documents);
    assert_eq!(definitions.slos.len(), found.items.len());
    for item in &found.items {
        let slo = &definitions.slos[&item.name];
        let (mut bad, mut total) = (0.0, 0.0);
        for report in bench.reports_of(&found.documents, &item.name, T0 - DAY, T0 + 120 * DAY) {
            bad += report.bad.0;
            total += report.total.0;
        }
        assert_eq!((bad, total), (item.bad.0, item.total.0), "{}", item.name);
        assert_eq!(item.sli, (total - bad) / total);
        assert_eq!(slo.objectives[0].targets[0].target, item.target);
        assert!(item.exact && item.months.met > 0, "{item:#?}");
    }
}

#[test]
fn requests_and_latencies_are_proposed_with_what_they_came_to() {
    let bench = shop();
    let found = suggested(&bench, "", "");
    assert_eq!(found.items.len(), 2, "{found:#?}");
    check(&bench, &found);

    let requests = item(&found, "availability");
    assert_eq!(
        (requests.name.as_str(), requests.service.as_str()),
        ("shop-http-requests-availability", "shop")
    );
    let steps = (DAYS * DAY / FIVE) as f64;
    assert_eq!((requests.total.0, requests.bad.0), (steps * 100.0, (steps / 12.0).floor()));
    // One of 1,200: 0.99917.
    assert_eq!(
        (requests.target.to_string().as_str(), requests.months),
        ("0.999", Months { met: 3, of: 3 })
    );
    assert_eq!(requests.from, Instant(T0));

    let latency = item(&found, "latency");
    assert!(latency.document.contains(r#"le="0.25""#), "{}", latency.document);
    assert!((latency.sli - 0.992).abs() < 1e-12);
    assert_eq!(latency.target.to_string(), "0.99");
    assert!(
        found.documents.contains(
            "# Since 2026-01: 99.9167%, 2160 of 2592000 bad. 3 of 3 months would have met 0.999.\n"
        ),
        "{}",
        found.documents
    );
}

#[test]
fn what_is_defined_already_is_not_proposed() {
    let bench = shop();
    let all = suggested(&bench, "", "");
    let again = suggested(&bench, &all.documents, "");
    assert!(again.items.is_empty(), "{again:#?}");
    let why: Vec<_> = again.passed.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "shop-http-requests-availability is about it",
            "shop-http-request-duration-seconds-latency is about it",
        ]
    );
    // An SLO of another service leaves it to be proposed, and keeps its name.
    let other = all.documents.replace(r#"job="shop""#, r#"job="cart""#);
    let beside = suggested(&bench, &other, "");
    let names: Vec<_> = beside.items.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        ["shop-http-requests-availability-2", "shop-http-request-duration-seconds-latency-2",]
    );
    assert!(!beside.documents.contains("kind: Service"), "{}", beside.documents);
}

#[test]
fn probes_and_states_are_counted_by_instance() {
    let bench = Bench::new();
    for (instance, down) in [("a", 3), ("b", 0)] {
        let series = format!(r#"probe_success{{job="blackbox",instance="{instance}"}}"#);
        bench.push(
            &series,
            times()
                .enumerate()
                .map(|(n, at)| (at, if (10..10 + down).contains(&n) { 0.0 } else { 1.0 })),
        );
    }
    for (droplet, bad) in [("d1", 2), ("d2", 0)] {
        let series = format!(r#"libvirt_domain_info_vstate{{droplet="{droplet}",job="libvirt"}}"#);
        // Crashed, and then gone for a slice: the inventory tells that it was there.
        let gone = |n: &usize| *n == 500 && bad > 0;
        let states = times().enumerate().filter(|(n, _)| !gone(n));
        bench.push(
            &series,
            states.map(|(n, at)| (at, if (700..700 + bad).contains(&n) { 6.0 } else { 1.0 })),
        );
        bench.push(
            &format!(r#"droplet_info{{droplet="{droplet}",job="inventory"}}"#),
            times().map(|at| (at, 1.0)),
        );
    }
    let found = suggested(&bench, "", "");
    check(&bench, &found);
    let probe = item(&found, "probe");
    assert_eq!((probe.groups, probe.bad.0, probe.target.to_string().as_str()), (2, 3.0, "0.9995"));
    let worst = probe.worst.as_ref().unwrap();
    assert_eq!(worst.group["instance"], "a");
    let states = item(&found, "state");
    assert_eq!((states.groups, states.bad.0, states.service.as_str()), (2, 3.0, "droplets"));
    assert!(
        states.document.contains("existence: 'droplet_info', noData: bad"),
        "{}",
        states.document
    );
}

#[test]
fn what_makes_no_promise_is_told() {
    let bench = Bench::new();
    bench.push(r#"up{job="dead",instance="x"}"#, times().map(|at| (at, 0.0)));
    bench.push(r#"cache_requests_total{job="shop",result="hit"}"#, times().map(|at| (at, 1.0)));
    bench.push(r#"idle_requests_total{job="shop",code="200"}"#, times().map(|at| (at, 7.0)));
    bench.push("node_load1", times().map(|at| (at, 1.0)));
    let found = suggested(&bench, "", "");
    assert!(found.items.is_empty() && found.documents.is_empty(), "{found:#?}");
    let told: Vec<_> =
        found.passed.iter().map(|one| (one.metric.as_str(), one.why.as_str())).collect();
    assert_eq!(
        told,
        [
            ("idle_requests_total", "nothing was counted"),
            ("up", "0.0000% were good: that is no promise to make"),
        ]
    );
}

#[test]
fn a_selector_and_a_limit_narrow_it() {
    let bench = shop();
    bench.push(r#"up{job="node",instance="x"}"#, times().map(|at| (at, 1.0)));
    let of_node = suggested(&bench, "", r#"{job="node"}"#);
    assert_eq!(of_node.items.iter().map(|one| one.kind).collect::<Vec<_>>(), ["probe"]);
    let one = bench.with("", NOW, |desk| suggest(desk, &[], 1).unwrap());
    assert_eq!((one.items.len(), one.passed.len()), (1, 2));
}

#[test]
fn names_and_values_of_any_kind_make_valid_documents() {
    let bench = Bench::new();
    let job = r#"it's \"quoted\"\n: {x} #1"#;
    for code in ["200", "500"] {
        let series = format!("{{\"odd-name.requests_total\",job=\"{job}\",code=\"{code}\"}}");
        bench.push(
            &series,
            times()
                .enumerate()
                .map(|(n, at)| (at, n as f64 * if code == "200" { 999.0 } else { 1.0 })),
        );
    }
    let found = suggested(&bench, "", "");
    check(&bench, &found);
    let requests = item(&found, "availability");
    assert_eq!(requests.service, "it-s-quoted-x-1");
    assert_eq!(requests.target.to_string(), "0.999");
}
