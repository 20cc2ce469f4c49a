//! Documents of other tools and versions.

use super::*;
use crate::slo::define::convert::{Tool, import};
use crate::slo::definition::{Compare, Part, Sli, TimeWindow};

/// The documents and what is told.
fn imported(tool: Tool, text: &str) -> (String, Vec<String>) {
    let (documents, diagnostics) = import(tool, "f.yaml", text);
    (documents, lines(&diagnostics))
}

const SLOTH: &str = "version: prometheus/v1
service: shop
labels: {team: web, tier: \"1\"}
slos:
- name: requests
  objective: 99.9
  description: \"Of all requests: few fail.\"
  labels: {tier: \"2\"}
  sli:
    events:
      error_query: sum(rate(http_total{code=~\"5..\"}[{{.window}}]))
      total_query: sum(rate(http_total[{{.window}}]))
  alerting:
    name: ShopBurns
    annotations: {runbook: https://r.example, summary: s}
    page_alert: {labels: {severity: page}}
    ticket_alert: {disable: true}
";

#[test]
fn sloth_becomes_openslo() {
    let (documents, told) = imported(Tool::Sloth, SLOTH);
    assert_eq!(
        documents,
        "apiVersion: openslo/v1
kind: SLO
metadata:
  name: shop-requests
  labels:
    team: web
    tier: '2'
  annotations:
    nines.dev/burn-alerts: google
    nines.dev/runbook: 'https://r.example'
spec:
  description: 'Of all requests: few fail.'
  service: shop
  budgetingMethod: Occurrences
  timeWindow:
    - duration: 30d
      isRolling: true
  indicator:
    spec:
      ratioMetric:
        counter: true
        bad:
          metricSource:
            type: prometheus
            spec:
              query: 'sum(rate(http_total{code=~\"5..\"}[{{.window}}]))'
        total:
          metricSource:
            type: prometheus
            spec:
              query: 'sum(rate(http_total[{{.window}}]))'
  objectives:
    - targetPercent: 99.9
"
    );
    assert_eq!(
        told,
        [
            "14:11 warning not-carried slos[0].alerting.name: name is not carried over: alerts of nines have the name of their SLO",
            "15:56 warning not-carried slos[0].alerting.annotations.summary: summary is not carried over: write it into nines.dev/signal, cause or action",
            "16:26 warning not-carried slos[0].alerting.page_alert.labels: labels is not carried over: alerts of nines have the labels of their SLO",
        ]
    );
    let slo = slo(&documents);
    assert!(
        matches!(&slo.objectives[0].sli, Sli::Ratio { part: Part::Bad, counters, .. } if counters.text == "http_total{code=~\"5..\"}")
    );
    assert_eq!(slo.objectives[0].targets[0].target.to_string(), "0.999");
    assert_eq!(slo.window, TimeWindow::Rolling { length_ms: 2_592_000_000 });
}

#[test]
fn slis_of_sloth_are_raw_or_custom_resources_or_refused() {
    let raw = "    raw: {error_ratio_query: 'sum(a[{{.window}}]) / sum(b[{{.window}}])'}\n";
    let (head, tail) = SLOTH.split_once("    events:").unwrap();
    let (_, tail) = tail.split_once("  alerting:").unwrap();
    let text = format!(
        "{head}{}  alerting:{tail}",
        raw.replace("sum(a", "sum(rate(a")
            .replace("sum(b", "sum(rate(b")
            .replace("]) ", "])) ")
            .replace("])'", "]))'")
    );
    let (documents, told) = imported(Tool::Sloth, &text);
    assert!(told.iter().any(|line| line.starts_with("10:30 warning not-exact ")), "{told:?}");
    let (definitions, _) = load_texts(&[("f", &documents)]);
    let Sli::Expression { part: Part::Bad, expr, total: None } =
        &definitions.slos["shop-requests"].objectives[0].sli
    else {
        panic!()
    };
    assert_eq!(expr, "sum(rate(a[$__window])) / sum(rate(b[$__window]))");

    let (documents, told) = imported(Tool::Sloth, &format!("{head}    plugin: {{id: x}}\n"));
    assert_eq!(documents, "");
    assert_eq!(
        told,
        [
            "10:13 error not-carried slos[0].sli.plugin: SLIs of plugins cannot be carried over | write the queries that the plugin makes: sloth generate shows them"
        ]
    );

    let resource = format!(
        "apiVersion: sloth.slok.dev/v1\nkind: PrometheusServiceLevel\nmetadata: {{name: x, namespace: y}}\nspec:\n{}",
        indented(SLOTH.split_once('\n').unwrap().1, 2)
    );
    let resource = resource
        .replace("error_query", "errorQuery")
        .replace("total_query", "totalQuery")
        .replace("page_alert", "pageAlert")
        .replace("ticket_alert", "ticketAlert");
    let (documents, told) = imported(Tool::Sloth, &resource);
    assert_eq!(documents, imported(Tool::Sloth, SLOTH).0);
    assert_eq!(told.len(), 5);
    assert_eq!(
        imported(Tool::Sloth, &SLOTH.replace("objective: 99.9", "objectiv: 99.9")).1,
        [
            "5:3 error missing-field slos[0].objective: objective is missing",
            "6:3 error unknown-field slos[0].objectiv: the field \"objectiv\" is not known here | did you mean objective?",
        ].into_iter().map(str::to_owned).chain(told_of(SLOTH)).collect::<Vec<_>>()
    );
}

fn told_of(text: &str) -> Vec<String> {
    imported(Tool::Sloth, text).1
}

const PYRRA: &str = "apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata:
  name: api-errors
  namespace: monitoring
  labels: {pyrra.dev/team: web}
spec:
  target: \"99.5\"
  window: 2w
  description: d
  indicator:
    INDICATOR
";

fn pyrra(indicator: &str) -> (String, Vec<String>) {
    imported(Tool::Pyrra, &PYRRA.replace("INDICATOR", indicator))
}

#[test]
fn pyrra_becomes_openslo() {
    let ratio = "ratio: {errors: {metric: 'http_total{code=~\"5..\"}'}, total: {metric: http_total}, grouping: [handler]}";
    let (documents, told) = pyrra(ratio);
    assert_eq!(
        told,
        [
            "4:9 warning not-carried metadata.name: Pyrra has no services: the service has the name of the SLO | set spec.service to the service that it is about",
            "5:14 warning not-carried metadata.namespace: namespace is not carried over: it is about the resource, not about its SLO",
        ]
    );
    let one = slo(&documents);
    assert_eq!(
        (one.group_by.as_slice(), one.labels["team"].as_str()),
        (&["handler".to_owned()][..], "web")
    );
    assert_eq!(one.window, TimeWindow::Rolling { length_ms: 1_209_600_000 });
    assert_eq!(one.objectives[0].targets[0].target.to_string(), "0.995");

    let latency = "latency: {success: {metric: 'h_bucket{le=\"0.25\"}'}, total: {metric: h_count}}";
    let one = slo(&pyrra(latency).0);
    assert!(matches!(&one.objectives[0].sli, Sli::Ratio { part: Part::Good, .. }));
    for name in ["bool_gauge", "boolGauge"] {
        let one = slo(&pyrra(&format!("{name}: {{metric: up, grouping: [job]}}")).0);
        assert!(matches!(
            &one.objectives[0].sli,
            Sli::Threshold { op: Compare::Gte, value: 1.0, .. }
        ));
        assert_eq!(one.group_by, ["job"]);
    }
    let (documents, told) = pyrra("latencyNative: {total: {metric: h}, latency: 1s}");
    assert_eq!(documents, "");
    assert_eq!(
        told[2],
        "12:20 error not-carried spec.indicator.latencyNative: latencies of native histograms cannot be carried over | use latency with a bucket of a classic histogram"
    );
}

const V1ALPHA: &str = "apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: latency, displayName: Latency}
spec:
  service: api
  description: d
  timeWindows: [{count: 30, unit: Day, isRolling: true}]
  objectives:
  - ratioMetrics:
      good: {source: prometheus, queryType: promql, query: 'sum(rate(h_bucket{le=\"0.4\"}[{{.window}}]))'}
      total: {source: prometheus, queryType: promql, query: 'sum(rate(h_count[{{.window}}]))'}
    target: 0.99
";

#[test]
fn openslo_v1alpha_is_read_and_printed_as_v1() {
    let one = slo(V1ALPHA);
    assert_eq!((one.name.as_str(), one.display_name.as_str()), ("latency", "Latency"));
    assert!(
        matches!(&one.objectives[0].sli, Sli::Ratio { part: Part::Good, counters, .. } if counters.text == "h_bucket{le=\"0.4\"}")
    );
    let (documents, told_of_it) = imported(Tool::OpenSlo, V1ALPHA);
    assert_eq!(told_of_it, [""; 0]);
    assert_eq!(slo(&documents).counts_hash, one.counts_hash);
    assert_eq!(imported(Tool::OpenSlo, &documents).0, documents);

    let more = format!(
        "{V1ALPHA}{}",
        V1ALPHA.split_once("  objectives:\n").unwrap().1.replace("0.4", "5")
    );
    let (definitions, diagnostics) = load_texts(&[("f", &more)]);
    assert_eq!(definitions.slos.keys().collect::<Vec<_>>(), ["latency-0", "latency-1"]);
    assert_eq!(
        lines(&diagnostics),
        [
            "3:11 warning several-slos spec.objectives: objectives with indicators of their own become SLOs: latency-0 to latency-1"
        ]
    );
    assert_eq!(
        told(&with(V1ALPHA, "query: 'sum(rate(h_count[{{.window}}]))'", "query: 'sum(h_count'")),
        [
            "11:73 error promql spec.indicator.spec.ratioMetric.total.metricSource.spec.query: unclosed left parenthesis"
        ]
    );
    assert_eq!(
        told(&with(V1ALPHA, "unit: Day", "unit: Dya")),
        [
            "7:16 error bad-window spec.timeWindow: timeWindow must have one item, and has 0",
            "7:35 error bad-value spec.timeWindows[0].unit: \"Dya\" is not one of Minute, Hour, Day, Week, Month, Quarter, Year | did you mean Day?",
        ]
    );
}

#[test]
fn openslo_v2alpha_is_read_and_printed_as_v1() {
    let text = "apiVersion: openslo.com/v2alpha
kind: SLO
metadata: {name: foo}
spec:
  service: foo
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  sli:
    metadata: {name: foo-error}
    spec:
      ratioMetric:
        counter: true
        good: {dataSourceRef: prom, spec: {query: a}}
        total: {dataSourceSpec: {type: prometheus, connectionDetails: {x: y}}, spec: {query: b}}
  objectives: [{target: 0.98}]
---
apiVersion: openslo.com/v2alpha
kind: DataSource
metadata: {name: prom}
spec: {type: prometheus, connectionDetails: {url: u}}
";
    let one = slo(text);
    assert!(matches!(&one.objectives[0].sli, Sli::Ratio { part: Part::Good, .. }));
    let (documents, told_of_it) = imported(Tool::OpenSlo, text);
    assert_eq!(told_of_it, [""; 0]);
    assert!(
        documents.contains("          metricSource:\n            metricSourceRef: prom\n"),
        "{documents}"
    );
    assert_eq!(slo(&documents).counts_hash, one.counts_hash);
    assert_eq!(
        told(&with(text, "{target: 0.98}", "{target: 0.98, sliref: x}")),
        [
            "15:31 error unknown-field spec.objectives[0].sliref: the field \"sliref\" is not known here"
        ]
    );
}
