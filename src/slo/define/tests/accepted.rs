//! What documents become.

use std::path::Path;

use super::*;
use crate::slo::define::load_dir;
use crate::slo::definition::*;

const EXAMPLE: &str = include_str!("../../../../tests/slo/example.yaml");

#[test]
fn the_example_loads() {
    let definitions = good(EXAMPLE);
    let checkout = &definitions.slos["checkout-availability"];
    assert_eq!(checkout.service, "checkout");
    assert_eq!(checkout.labels["team"], "payments");
    assert_eq!(checkout.group_by, ["region"]);
    assert_eq!(checkout.annotations["nines.dev/runbook"], "https://runbooks.example/checkout");
    let TimeWindow::Calendar(calendar) = &checkout.window else { panic!() };
    assert_eq!(
        (calendar.zone.name(), calendar.n, calendar.unit),
        ("Europe/Amsterdam", 1, Unit::Month)
    );
    let [objective] = checkout.objectives.as_slice() else { panic!() };
    assert_eq!(objective.display_name, "Available");
    let targets: Vec<_> =
        objective.targets.iter().map(|t| (t.from_ms, t.target.to_string())).collect();
    assert_eq!(targets, [(i64::MIN, "0.999".to_owned()), (1_776_297_600_000, "0.9995".to_owned())]);
    let Sli::Ratio { part: Part::Bad, counters, total } = &objective.sli else { panic!() };
    assert_eq!(counters.text, "http_requests_total{job=\"checkout\",code=~\"5..\"}");
    assert_eq!((counters.matchers.len(), total.matchers.len()), (3, 2));
    assert!(
        checkout.source.starts_with("apiVersion: openslo/v1\nkind: SLO\n"),
        "{}",
        checkout.source
    );

    let droplets = &definitions.slos["droplet-availability"];
    assert_eq!((droplets.method, droplets.no_data), (Method::Timeslices, NoData::Bad));
    assert_eq!(droplets.objectives[0].slice, Slice::Fixed(300_000));
    let Sli::States { good, bad, ignore, existence, .. } = &droplets.objectives[0].sli else {
        panic!()
    };
    assert_eq!((good.as_slice(), bad.as_slice()), (&[1.0, 2.0][..], &[0.0, 6.0][..]));
    assert_eq!(ignore.as_slice(), [3.0, 4.0, 5.0, 7.0]);
    assert_eq!(existence.as_ref().unwrap().text, "droplet_info");

    let sla = &definitions.slas["droplet-sla"];
    assert_eq!((sla.scope, sla.credit.clone()), (Scope::PerGroup, Credit::LostTime));
    assert_eq!(sla.close_after_ms, 259_200_000);
    assert_eq!(sla.exclusions.as_deref().unwrap(), ["scheduled-maintenance", "customer-initiated"]);
    let exclusion = &definitions.exclusions["hv1-firmware-2026-02-10"];
    assert_eq!(exclusion.when, When::Once { from_ms: 1_770_690_600_000, to_ms: 1_770_696_000_000 });
    assert_eq!(
        (exclusion.services.as_slice(), exclusion.labels["hypervisor"].as_str()),
        (&["droplets".to_owned()][..], "hv1")
    );
    assert_eq!(definitions.teams["compute"].display_name, "Compute");
}

#[test]
fn places_of_definitions_are_those_of_their_names() {
    let slo = slo(RATIO);
    assert_eq!(slo.place, Place { file: "f.yaml".to_owned(), line: 4, column: 9 });
}

#[test]
fn percents_are_hundredths_and_never_floats() {
    let slo = slo(&with(RATIO, "target: 0.999", "targetPercent: 99.95"));
    assert_eq!(slo.objectives[0].targets[0].target.to_string(), "0.9995");
}

#[test]
fn windows_are_rolling_or_of_the_calendar() {
    let window =
        |written: &str| slo(&with(RATIO, "{duration: 30d, isRolling: true}", written)).window;
    let rolling = |length_ms| TimeWindow::Rolling { length_ms };
    assert_eq!(window("{duration: 90m}"), rolling(5_400_000));
    assert_eq!(window("{duration: 12h, isRolling: true}"), rolling(43_200_000));
    assert_eq!(window("{duration: 4w}"), rolling(2_419_200_000));
    let start = "calendar: {startTime: 2024-04-06 00:00:00, timeZone: Europe/London}";
    for (written, n, unit) in [
        ("1d", 1, Unit::Day),
        ("48h", 2, Unit::Day),
        ("2w", 2, Unit::Week),
        ("3M", 3, Unit::Month),
        ("1Q", 1, Unit::Quarter),
        ("1Y", 1, Unit::Year),
    ] {
        let TimeWindow::Calendar(calendar) =
            window(&format!("{{duration: {written}, isRolling: false, {start}}}"))
        else {
            panic!("{written}")
        };
        assert_eq!((calendar.n, calendar.unit), (n, unit), "{written}");
        assert_eq!(calendar.start.to_string(), "2024-04-06 00:00:00");
    }
}

#[test]
fn slices_are_minutes_or_shorthand() {
    let timeslices = with(RATIO, "Occurrences", "Timeslices");
    let slice = |written: &str| {
        let objective = format!("target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: {written}");
        let slo = slo(&with(&timeslices, "target: 0.999", &objective));
        assert_eq!(slo.objectives[0].slice_target.to_string(), "0.95");
        slo.objectives[0].slice
    };
    assert_eq!(slice("5"), Slice::Fixed(300_000));
    assert_eq!(slice("1m"), Slice::Fixed(60_000));
    assert_eq!(slice("1h"), Slice::Fixed(3_600_000));
    assert_eq!(slice("1d"), Slice::LocalDay);
}

#[test]
fn wrappers_of_other_tools_are_taken_off() {
    let sli = |query: &str| {
        let text = with(RATIO, "{query: http_total}", &format!("{{query: '{query}'}}"));
        let (definitions, diagnostics) = load_texts(&[("f", &text)]);
        let slo = definitions.slos.into_values().next().unwrap();
        (slo.objectives.into_iter().next().unwrap().sli, lines(&diagnostics), slo.group_by)
    };
    for (query, text, terms) in [
        ("sum(rate(a_total{x=\"y\"}[{{.window}}]))", "a_total{x=\"y\"}", 0),
        ("sum(increase(a_total[$__rate_interval]))", "a_total", 0),
        ("sum(rate(a_total[5m])) or vector(0)", "a_total", 0),
        (
            "(sum(rate(a[{{ .window }}])) OR on() vector(0)) + sum(rate(b[{{ .window }}]))",
            "a + b",
            1,
        ),
        ("sum by (x) (a) - sum by (x) (b)", "a - b", 1),
        ("-a + (b - c)", "b - a - c", 2),
        ("increase(a[5m] anchored)", "a", 0),
        ("{__name__=\"a\"}", "{__name__=\"a\"}", 0),
    ] {
        let (sli, told, _) = sli(query);
        let Sli::Ratio { total, .. } = &sli else { panic!("{query}: {sli:?}") };
        assert_eq!((total.text.as_str(), total.terms.len()), (text, terms), "{query}");
        assert_eq!(told, [""; 0], "{query}");
    }
    for (query, expr) in [
        ("sum(rate(a[{{.window}}])) * 2", "sum(rate(a[$__window])) * 2"),
        ("histogram_count(rate(a[${__interval}]))", "histogram_count(rate(a[$__window]))"),
        ("avg(a)", "avg(a)"),
        ("a offset 5m", "a offset 5m"),
        ("rate(a[5m]) + b", "rate(a[5m]) + b"),
        ("sum without (x) (a)", "sum without (x) (a)"),
        ("irate(a[5m])", "irate(a[5m])"),
    ] {
        let (sli, told, _) = sli(query);
        let Sli::Expression { total, .. } = &sli else { panic!("{query}: {sli:?}") };
        assert_eq!(total.as_deref(), Some(expr), "{query}");
        assert_eq!(told.len(), 1, "{query}");
        assert!(told[0].starts_with("15:59 warning not-exact spec.indicator.spec.ratioMetric.total.metricSource.spec.query: the query is no sum of counters"), "{told:?}");
    }
}

#[test]
fn terms_say_whether_they_are_added() {
    let text = with(RATIO, "{query: http_total}", "{query: a + b - c}");
    let Sli::Ratio { total, .. } = slo(&text).objectives.remove(0).sli else { panic!() };
    let signs: Vec<_> = total.terms.iter().map(|(plus, m)| (*plus, m[0].value.clone())).collect();
    assert_eq!(signs, [(true, "b".to_owned()), (false, "c".to_owned())]);
}

#[test]
fn sums_by_labels_group_unless_group_by_says_otherwise() {
    let by = with(
        &with(RATIO, "http_total}}", "'sum by (region) (http_total)'}}"),
        "'http_total{code=~\"5..\"}'",
        "'sum by (region) (http_total{code=~\"5..\"})'",
    );
    assert_eq!(slo(&by).group_by, ["region"]);
    assert_eq!(
        slo(&with(&by, "(http_total)'}}", "(http_total)', groupBy: [zone]}}")).group_by,
        ["zone"]
    );
}

#[test]
fn gauges_are_compared_and_ratios_taken_as_they_are() {
    let spec = "thresholdMetric: {metricSource: {type: prometheus, spec: {query: probe_success, noData: good}}}";
    let threshold = ratio_replaced(spec);
    let slo_of = |text: &str| slo(text);
    let one = slo_of(&with(&threshold, "target: 0.999", "op: gte, value: 1, target: 0.999"));
    assert!(matches!(one.objectives[0].sli, Sli::Threshold { op: Compare::Gte, value: 1.0, .. }));
    assert_eq!(one.no_data, NoData::Good);
    let raw = ratio_replaced(
        "ratioMetric: {rawType: failure, raw: {metricSource: {spec: {query: error_share}}}}",
    );
    assert!(matches!(slo_of(&raw).objectives[0].sli, Sli::RawRatio { part: Part::Bad, .. }));
    let expr = with(&threshold, "query: probe_success", "query: 'avg(probe_success)'");
    let expr = with(&expr, "target: 0.999", "op: lt, value: 0.5, target: 0.999");
    let (definitions, diagnostics) = load_texts(&[("f", &expr)]);
    assert_eq!(diagnostics.len(), 1);
    let Sli::Expression { expr, total: None, part: Part::Good } =
        &definitions.slos["requests"].objectives[0].sli
    else {
        panic!()
    };
    assert_eq!(expr, "(avg(probe_success)) < bool 0.5");
}

/// The SLO with another `spec` of its indicator.
fn ratio_replaced(spec: &str) -> String {
    let (head, tail) = RATIO.split_once("      ratioMetric:").unwrap();
    let (_, tail) = tail.split_once("  objectives").unwrap();
    format!("{head}      {spec}\n  objectives{tail}")
}

#[test]
fn indicators_may_stand_in_other_documents_and_files() {
    let (head, tail) = RATIO.split_once("  indicator:").unwrap();
    let (inner, tail) = tail.split_once("  objectives").unwrap();
    let slo_text = format!("{head}  indicatorRef: errors\n  objectives{tail}");
    let sli = format!(
        "apiVersion: openslo/v1\nkind: SLI\n{}",
        inner
            .trim_start_matches('\n')
            .lines()
            .map(|l| format!("{}\n", &l[4..]))
            .collect::<String>()
    );
    let (definitions, diagnostics) = load_texts(&[("slo.yaml", &slo_text), ("sli.yaml", &sli)]);
    assert_eq!(lines(&diagnostics), [""; 0]);
    let there = &definitions.slos["requests"];
    assert_eq!(there.counts_hash, slo(RATIO).counts_hash);
    let changed =
        load_texts(&[("slo.yaml", &slo_text), ("sli.yaml", &sli.replace("5..", "50."))]).0;
    assert_ne!(changed.slos["requests"].counts_hash, there.counts_hash);
    assert_ne!(changed.slos["requests"].document_hash, there.document_hash);
}

#[test]
fn counts_do_not_depend_on_targets_and_texts() {
    let one = slo(RATIO);
    let other = slo(&with(&with(RATIO, "0.999", "0.99"), "service: shop", "service: store"));
    assert_eq!(one.counts_hash, other.counts_hash);
    assert_ne!(one.document_hash, other.document_hash);
    let spaces = slo(&with(RATIO, "{code=~\"5..\"}", "{ code =~ \"5..\" }"));
    assert_eq!(one.counts_hash, spaces.counts_hash);
    let policy = slo(&with(RATIO, "query: http_total}", "query: http_total, counterStart: zero}"));
    assert_ne!(one.counts_hash, policy.counts_hash);
}

#[test]
fn objectives_with_indicators_are_members_of_a_composite() {
    let indicator = |metric: &str| {
        format!(
            "{{spec: {{ratioMetric: {{bad: {{metricSource: {{spec: {{query: {metric}_bad}}}}}}, total: {{metricSource: {{spec: {{query: {metric}}}}}}}}}}}}}"
        )
    };
    let (head, tail) = RATIO.split_once("  indicator:").unwrap();
    let head = with(
        head,
        "  name: requests\n",
        "  name: requests\n  annotations: {nines.dev/composite: pooled}\n",
    );
    let _ = tail;
    let text = format!(
        "{head}  objectives:\n  - {{target: 0.99, compositeWeight: 2, indicator: {}}}\n  - {{target: 0.9, indicator: {}}}\n",
        indicator("a"),
        indicator("b")
    );
    let slo = slo(&text);
    assert_eq!(slo.composite, CompositeMethod::Pooled);
    let weights: Vec<_> = slo.objectives.iter().map(|o| o.weight.to_string()).collect();
    assert_eq!(weights, ["2", "1"]);
}

#[test]
fn several_targets_over_one_indicator_become_several_slos() {
    let text =
        with(RATIO, "[{target: 0.999}]", "[{target: 0.99}, {displayName: strict, target: 0.999}]");
    let (definitions, diagnostics) = load_texts(&[("f.yaml", &text)]);
    assert_eq!(
        lines(&diagnostics),
        [
            "4:9 warning several-slos spec.objectives: the objectives share one indicator and become the SLOs requests-0, requests-1"
        ]
    );
    let slos: Vec<_> = definitions
        .slos
        .iter()
        .map(|(name, slo)| (name.as_str(), slo.objectives[0].targets[0].target.to_string()))
        .collect();
    assert_eq!(slos, [("requests-0", "0.99".to_owned()), ("requests-1", "0.999".to_owned())]);
    assert_eq!(definitions.slos["requests-1"].display_name, "requests strict");
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"apiVersion": "nines.dev/v1", "kind": "Exclusion", "metadata": {"name": "x"}, "spec": {
  "class": "c", "from": "2026-02-10 02:30:00", "timeZone": "Europe/Amsterdam", "duration": "2h",
  "rrule": "FREQ=WEEKLY;BYDAY=SU", "mode": "good", "note": "n", "author": "a", "createdAt": 1770690600}}"#;
    let exclusion = &good(text).exclusions["x"];
    let When::Repeated { start, zone, rrule, length_ms } = &exclusion.when else { panic!() };
    assert_eq!(
        (start.to_string().as_str(), zone.name()),
        ("2026-02-10 02:30:00", "Europe/Amsterdam")
    );
    assert_eq!((rrule.as_str(), *length_ms), ("FREQ=WEEKLY;BYDAY=SU", 7_200_000));
    assert_eq!(
        (exclusion.mode, exclusion.created_ms),
        (ExclusionMode::Good, Some(1_770_690_600_000))
    );
}

#[test]
fn alerts_are_checked_and_left_out() {
    let definitions = good(
        "apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: AlertPolicy}
spec:
  alertWhenBreaching: true
  conditions:
  - kind: AlertCondition
    metadata: {name: burn}
    spec: {severity: page, condition: {kind: burnrate, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
  notificationTargets: [{targetRef: mail}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: mail}
spec: {target: email}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {anything: [1, {x: y}]}}
",
    );
    assert!(definitions.slos.is_empty() && definitions.services.is_empty());
}

#[test]
fn directories_are_read_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("b/one.yaml", RATIO);
    put("a.yml", "kind: [\n");
    put(
        "c.json",
        "{\"apiVersion\": \"openslo/v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"shop\"}, \"spec\": {}}",
    );
    put("notes.txt", "no: [");
    put(".hidden/x.yaml", "no: [");
    std::fs::write(dir.path().join("d.yaml"), b"a: \xff\n").unwrap();
    let (definitions, diagnostics) = load_dir(dir.path()).unwrap();
    assert_eq!(definitions.slos.len() + definitions.services.len(), 2);
    let told: Vec<_> = diagnostics
        .iter()
        .map(|d| {
            (Path::new(&d.file).strip_prefix(dir.path()).unwrap().display().to_string(), d.code)
        })
        .collect();
    assert_eq!(told, [("a.yml".to_owned(), "yaml-syntax"), ("d.yaml".to_owned(), "unreadable")]);
    assert!(load_dir(&dir.path().join("nothing")).is_err());
}
