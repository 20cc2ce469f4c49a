//! Every diagnostic with its place and text.

use super::*;

const WINDOW: &str = "{duration: 30d, isRolling: true}";
const INDICATOR: &str = "spec.indicator.spec.ratioMetric";

/// The lines that are told of [`RATIO`] with one part replaced.
fn ratio(part: &str, other: &str) -> Vec<String> {
    told(&with(RATIO, part, other))
}

#[test]
fn yaml_that_is_none() {
    assert_eq!(told("a: 'x"), ["1:4 error yaml-syntax : unclosed quote"]);
    assert_eq!(
        ratio("  service: shop\n", "  service: shop\n  service: store\n"),
        ["7:3 error duplicate-key : the key \"service\" is there already, in line 6"]
    );
    // A document that does not say all that was written is left out.
    let twice = with(RATIO, "  service: shop\n", "  service: shop\n  service: store\n");
    assert!(load_texts(&[("f", &twice)]).0.slos.is_empty());
    assert_eq!(told("- a\n"), ["1:1 error wrong-type : expected a mapping, found a list"]);
    // Two good documents around a broken one.
    let text =
        format!("{RATIO}---\na: [\n---\n{}", RATIO.replace("name: requests", "name: others"));
    let (definitions, diagnostics) = load_texts(&[("f", &text)]);
    assert_eq!(definitions.slos.keys().collect::<Vec<_>>(), ["others", "requests"]);
    assert_eq!(diagnostics.len(), 1);
}

#[test]
fn versions_and_kinds() {
    let skipped = "error missing-field apiVersion: apiVersion is missing | write openslo/v1";
    assert_eq!(ratio("apiVersion: openslo/v1\n", ""), [format!("1:1 {skipped}")]);
    for (version, line) in [
        (
            "openslo/v2",
            "1:13 warning unknown-api-version apiVersion: documents of apiVersion \"openslo/v2\" are skipped | did you mean openslo/v1?",
        ),
        (
            "v1",
            "1:13 warning unknown-api-version apiVersion: documents of apiVersion \"v1\" are skipped",
        ),
        (
            "sloth.slok.dev/v1",
            "1:13 warning unknown-api-version apiVersion: documents of apiVersion \"sloth.slok.dev/v1\" are skipped | convert it: nines slo import --from sloth FILE",
        ),
        (
            "pyrra.dev/v1alpha1",
            "1:13 warning unknown-api-version apiVersion: documents of apiVersion \"pyrra.dev/v1alpha1\" are skipped | convert it: nines slo import --from pyrra FILE",
        ),
    ] {
        assert_eq!(ratio("openslo/v1", version), [line]);
    }
    for (kind, line) in [
        (
            "Slo",
            "2:7 error unknown-kind kind: \"Slo\" is not a kind of openslo/v1 | did you mean SLO?",
        ),
        (
            "SLA",
            "2:7 error unknown-kind kind: \"SLA\" is not a kind of openslo/v1 | its apiVersion is nines.dev/v1",
        ),
        (
            "Thing",
            "2:7 error unknown-kind kind: \"Thing\" is not a kind of openslo/v1 | kinds are Service, SLO, SLI, DataSource, AlertPolicy, AlertCondition, AlertNotificationTarget",
        ),
    ] {
        assert_eq!(ratio("kind: SLO", &format!("kind: {kind}")), [line]);
    }
}

#[test]
fn fields_that_are_unknown_or_missing_or_of_another_type() {
    for (part, other, line) in [
        (
            "  service: shop\n",
            "  servce: shop\n",
            "6:3 error missing-field spec.service: service is missing",
        ),
        (
            "  service: shop\n",
            "  service:\n",
            "6:3 error missing-field spec.service: service is missing",
        ),
        (
            "{target: 0.999}",
            "{tagret: 0.999}",
            "16:16 error missing-field spec.objectives[0].target: target is missing | write target: 0.999 or targetPercent: 99.9",
        ),
        (
            "  name: requests\n",
            "  name: requests\n  color: red\n",
            "5:3 error unknown-field metadata.color: the field \"color\" is not known here",
        ),
        (
            "service: shop",
            "service: 5",
            "6:12 error wrong-type spec.service: expected a text, found a number | write \"5\"",
        ),
        ("service: shop", "service: ' '", "6:12 error empty spec.service: the text is empty"),
        (
            "{target: 0.999}",
            "{target: \"0.999\"}",
            "16:25 error wrong-type spec.objectives[0].target: expected a number, found a text | write 0.999 without quotes",
        ),
        (
            "counter: true",
            "counter: yes",
            "13:18 error wrong-type spec.indicator.spec.ratioMetric.counter: expected true or false, found a text",
        ),
        (
            "[{target: 0.999}]",
            "{target: 0.999}",
            "16:15 error wrong-type spec.objectives: expected a list, found a mapping",
        ),
        (
            "[{target: 0.999}]",
            "[]",
            "16:15 error objectives spec.objectives: there must be 1 to 100 objectives",
        ),
        (
            "name: requests",
            "name: a b",
            "4:9 error bad-name metadata.name: \"a b\" is not a name | use up to 255 of a-z A-Z 0-9 - _ . and begin and end with a letter or digit",
        ),
        (
            "Occurrences",
            "Occurences",
            "7:20 error bad-value spec.budgetingMethod: \"Occurences\" is not one of Occurrences, Timeslices, RatioTimeslices | did you mean Occurrences?",
        ),
        (
            "{target: 0.999}",
            "{target: 0x1}",
            "16:25 error bad-number spec.objectives[0].target: \"0x1\" is not a decimal number like 0.999, with at most 18 digits behind the point",
        ),
    ] {
        let lines = ratio(part, other);
        assert_eq!(lines.first().map(String::as_str), Some(line), "{lines:?}");
    }
    assert_eq!(
        ratio("  service: shop\n", "  servce: shop\n")[1],
        "6:3 error unknown-field spec.servce: the field \"servce\" is not known here | did you mean service?"
    );
}

#[test]
fn all_errors_of_a_text_at_once_by_place() {
    let text = with(&with(&with(RATIO, "30d", "30x"), "0.999", "1.5"), "name: requests", "name: 5");
    let text = with(&text, "  service: shop\n", "  service: shop\n  colour: red\n");
    let places: Vec<String> = told(&text)
        .iter()
        .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "4:9 error wrong-type",
            "7:3 error unknown-field",
            "9:27 error bad-duration",
            "17:25 error target-out-of-range"
        ]
    );
}

#[test]
fn windows() {
    let calendar = "calendar: {startTime: \"2024-01-01 00:00:00\", timeZone: UTC}";
    for (window, line) in [
        ("{duration: 30x}", "8:27 error bad-duration spec.timeWindow[0].duration: \"30x\" is not a duration | write a number and one of m h d w M Q Y, such as 28d or 1M".to_owned()),
        ("{duration: 0d}", "8:27 error bad-duration spec.timeWindow[0].duration: \"0d\" is not a duration | write a number and one of m h d w M Q Y, such as 28d or 1M".to_owned()),
        ("{duration: 1M}", "8:27 error window-needs-calendar spec.timeWindow[0].duration: 1M has no fixed length, so it cannot roll | use 28d or 30d, or add calendar: {startTime, timeZone}".to_owned()),
        ("{duration: 30d, isRolling: false}", "8:43 error bad-window spec.timeWindow[0].isRolling: a window that does not roll needs a calendar | add calendar: {startTime, timeZone}, or write isRolling: true".to_owned()),
        (&format!("{{duration: 1M, isRolling: true, {calendar}}}"), "8:42 error bad-window spec.timeWindow[0].isRolling: a window of the calendar does not roll".to_owned()),
        (&format!("{{duration: 90m, {calendar}}}"), "8:27 error bad-window spec.timeWindow[0].duration: 90m is no number of days of the calendar | use a rolling window, or days, weeks, months, quarters or years".to_owned()),
        ("{duration: 1M, calendar: {startTime: \"2024-01-01 00:00:00\", timeZone: Europe/Amsterdm}}", "8:86 error unknown-time-zone spec.timeWindow[0].calendar.timeZone: \"Europe/Amsterdm\" is not a time zone | did you mean Europe/Amsterdam?".to_owned()),
        ("{duration: 1M, calendar: {startTime: 2024-01-01T00:00:00Z, timeZone: UTC}}", "8:53 error bad-time spec.timeWindow[0].calendar.startTime: \"2024-01-01T00:00:00Z\" is not a time of a clock | write it like 2024-01-01 00:00:00, without an offset: it is a time in timeZone".to_owned()),
        ("{duration: 1M, calendar: {timeZone: UTC}}", "8:41 error missing-field spec.timeWindow[0].calendar.startTime: startTime is missing | write \"2024-01-01 00:00:00\"".to_owned()),
        ("{duration: 1d}, {duration: 2d}", "8:15 error bad-window spec.timeWindow: timeWindow must have one item, and has 2".to_owned()),
    ] {
        assert_eq!(ratio(WINDOW, window), [line]);
    }
    assert_eq!(
        ratio("  timeWindow: [{duration: 30d, isRolling: true}]\n", ""),
        [
            "6:3 error missing-field spec.timeWindow: timeWindow is missing | write [{duration: 30d, isRolling: true}]"
        ]
    );
}

#[test]
fn slices_and_methods() {
    let sliced = |window: &str, slice: &str| {
        let text = with(&with(RATIO, "Occurrences", "Timeslices"), WINDOW, window);
        let objective = format!("target: 0.999, timeSliceTarget: 1, timeSliceWindow: {slice}");
        told(&with(&text, "target: 0.999", &objective))
    };
    let calendar = |start: &str, zone: &str| {
        format!(
            "{{duration: 1M, calendar: {{startTime: \"2024-01-01 {start}\", timeZone: {zone}}}}}"
        )
    };
    let at = "16:69 error";
    let path = "spec.objectives[0].timeSliceWindow";
    for (window, slice, rest) in [
        (
            calendar("00:00:00", "Asia/Kathmandu"),
            "1h",
            "slice-does-not-divide PATH: the slice does not divide the window (1h slices in Asia/Kathmandu) | use 15m",
        ),
        (
            calendar("00:30:00", "UTC"),
            "1h",
            "slice-does-not-divide PATH: the slice does not divide the window (1h slices in UTC) | use 30m",
        ),
        (
            calendar("06:00:00", "UTC"),
            "1d",
            "slice-does-not-divide PATH: the slice does not divide the window (1d slices, and the window begins at 06:00:00) | days begin at midnight: let startTime end with 00:00:00",
        ),
        (
            "{duration: 90m}".to_owned(),
            "1h",
            "slice-does-not-divide PATH: the slice does not divide the window (1h slices in 90m) | choose a shorter slice",
        ),
        (
            "{duration: 30m}".to_owned(),
            "1h",
            "window-method-mismatch PATH: slices of 1h are longer than the window of 30m",
        ),
        (
            WINDOW.to_owned(),
            "7m",
            "bad-slice PATH: a slice of 7m does not divide an hour | use 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h or 1d",
        ),
        (
            WINDOW.to_owned(),
            "2h",
            "bad-slice PATH: a slice of 2h does not divide an hour | use 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h or 1d",
        ),
        (
            WINDOW.to_owned(),
            "2.5",
            "bad-duration PATH: 2.5 is not a number of minutes | write a whole number of minutes, or 5m",
        ),
    ] {
        assert_eq!(sliced(&window, slice), [format!("{at} {}", rest.replace("PATH", path))]);
    }
    for (window, slice) in [
        (calendar("00:00:00", "Asia/Kathmandu"), "15m"),
        (calendar("00:00:00", "Asia/Kolkata"), "30m"),
        (calendar("00:00:00", "Europe/Amsterdam"), "1h"),
        (calendar("00:00:00", "Asia/Kathmandu"), "1d"),
    ] {
        assert_eq!(sliced(&window, slice), [""; 0], "{window} {slice}");
    }
    assert_eq!(
        ratio("target: 0.999", "target: 0.999, timeSliceWindow: 5m"),
        [
            "16:32 warning window-method-mismatch spec.objectives[0].timeSliceWindow: timeSliceWindow has no meaning for budgetingMethod Occurrences | remove it, or use Timeslices"
        ]
    );
    assert_eq!(
        ratio("Occurrences", "Timeslices"),
        [
            "16:16 error missing-field spec.objectives[0].timeSliceWindow: timeSliceWindow is missing | Timeslices need a slice: write 5m",
            "16:16 error missing-field spec.objectives[0].timeSliceTarget: timeSliceTarget is missing | write 1.0, or the share of a slice that must be good",
        ]
    );
    let text = with(RATIO, "Occurrences", "RatioTimeslices");
    assert_eq!(
        told(&with(
            &text,
            "target: 0.999",
            "target: 0.999, timeSliceWindow: 5m, timeSliceTarget: 1"
        )),
        [
            "16:53 warning window-method-mismatch spec.objectives[0].timeSliceTarget: timeSliceTarget has no meaning for budgetingMethod RatioTimeslices | remove it"
        ]
    );
}

#[test]
fn targets() {
    for (target, line) in [
        (
            "target: 1",
            "16:25 error target-out-of-range spec.objectives[0].target: the target is 1, and must be below 1 | a target of 1 leaves no budget: write for example 0.9999",
        ),
        (
            "target: 99.9",
            "16:25 error target-out-of-range spec.objectives[0].target: the target is 99.9, and must be below 1 | targets are shares: write targetPercent, or 0.999 for 99.9 %",
        ),
        (
            "target: -0.5",
            "16:25 error target-out-of-range spec.objectives[0].target: the target is -0.5, and must not be below 0",
        ),
        (
            "targetPercent: 100",
            "16:32 error target-out-of-range spec.objectives[0].targetPercent: the target is 1, and must be below 1 | a target of 1 leaves no budget: write for example 0.9999",
        ),
        (
            "target: 0.9, targetPercent: 90",
            "16:45 error target-twice spec.objectives[0].targetPercent: target and targetPercent are both set",
        ),
    ] {
        assert_eq!(ratio("target: 0.999", target), [line]);
    }
}

/// [`RATIO`] with an annotation.
fn annotated(annotation: &str) -> String {
    with(
        RATIO,
        "  name: requests\n",
        &format!("  name: requests\n  annotations:\n{}", indented(annotation, 4)),
    )
}

#[test]
fn histories_of_targets() {
    let history = |lines: &str| {
        told(&annotated(&format!("nines.dev/target-history: |\n{}", indented(lines, 2))))
    };
    let path = "metadata.annotations.nines.dev/target-history";
    assert_eq!(history("2024-01-01T00:00:00+00:00 0.99\n1776297600 0.999"), [""; 0]);
    for (lines, line) in [
        (
            "2024-01-01T00:00:00+00:00 0.999\n2024-01-01T01:00:00+01:00 0.999",
            "8:7 error target-history-order PATH: 2024-01-01T01:00:00+01:00 is not after the line before | lines ascend: add new targets at the end",
        ),
        (
            "2024-01-01T00:00:00+00:00\n1776297600 0.999",
            "7:7 error target-history PATH: a line is an instant and a target | write 2026-04-16T00:00:00+00:00 0.9995",
        ),
        (
            "2024-01-01 0.999",
            "7:7 error bad-time PATH: \"2024-01-01\" is not an instant | write 2026-04-16T00:00:00+00:00 or seconds since 1970",
        ),
        (
            "2024-01-01T00:00:00+00:00 high",
            "7:33 error bad-number PATH: \"high\" is not a decimal number like 0.999, with at most 18 digits behind the point",
        ),
        (
            "2024-01-01T00:00:00+00:00 0.9\n1776297600 1.0",
            "8:18 error target-out-of-range PATH: the target is 1, and must be below 1 | a target of 1 leaves no budget: write for example 0.9999",
        ),
        (
            "2024-01-01T00:00:00+00:00 0.9995",
            "19:25 error target-history-mismatch spec.objectives[0].target: target is 0.999 but the last line of nines.dev/target-history is 0.9995 | append a line to the history: the day from which 0.999 holds, and 0.999",
        ),
    ] {
        let lines = history(lines);
        // A history of another length moves what is below.
        let line = line.replace("PATH", path);
        assert_eq!(lines, [line]);
    }
    assert_eq!(
        told(&annotated(
            "nines.dev/target-history: \"2024-01-01T00:00:00+00:00 0.9\\n1000 0.999\\n\""
        )),
        [format!(
            "6:63 error target-history-order {path}: 1000 is not after the line before | lines ascend: add new targets at the end"
        )]
    );
}

#[test]
fn annotations() {
    assert_eq!(
        told(&annotated("nines.dev/burn-alerts: none\nnines.dev/signal: s\nother.example/x: y")),
        [""; 0]
    );
    for (annotation, line) in [
        (
            "nines.dev/burn-alert: google",
            "6:27 error unknown-field metadata.annotations.nines.dev/burn-alert: the annotation \"nines.dev/burn-alert\" is not known here | did you mean nines.dev/burn-alerts?",
        ),
        (
            "nines.dev/burn-alerts: gogle",
            "6:28 error bad-value metadata.annotations.nines.dev/burn-alerts: \"gogle\" is not one of google, none | did you mean google?",
        ),
        (
            "nines.dev/zero-traffic: bad",
            "6:29 error bad-value metadata.annotations.nines.dev/zero-traffic: \"bad\" is not one of good, ignore",
        ),
        (
            "nines.dev/signal: 5",
            "6:23 error wrong-type metadata.annotations.nines.dev/signal: expected a text, found a number | write \"5\"",
        ),
        (
            "nines.dev/composite: worst",
            "4:9 warning not-used metadata.annotations.nines.dev/composite: nines.dev/composite is not used: no objective has an indicator or weight of its own",
        ),
    ] {
        assert_eq!(told(&annotated(annotation)), [line]);
    }
}

#[test]
fn queries() {
    let at = format!("{INDICATOR}.total.metricSource.spec");
    for (spec, line) in [
        (
            "{query: 'http_total{'}",
            format!("15:71 error promql {at}.query: unexpected end of input inside braces"),
        ),
        (
            "{query: sum(rate(http_total))}",
            format!(
                "15:68 error promql {at}.query: expected type range vector in call to function \"rate\", got instant vector"
            ),
        ),
        (
            "{query: \"http_total{a=\\\"b\\\",,}\"}",
            format!(
                "15:79 error promql {at}.query: unexpected \",\" in label matching, expected identifier or \"}}\""
            ),
        ),
        ("{query: ''}", format!("15:60 error promql {at}.query: no expression found in input")),
        (
            "{query: http_total, counterStrat: zero}",
            format!(
                "15:71 error unknown-field {at}.counterStrat: the field \"counterStrat\" is not known here | did you mean counterStart?"
            ),
        ),
        (
            "{query: http_total, counterStart: none}",
            format!(
                "15:85 error bad-value {at}.counterStart: \"none\" is not one of auto, ignore, zero"
            ),
        ),
        (
            "{query: http_total, groupBy: [a-b]}",
            format!("15:80 error bad-label {at}.groupBy: \"a-b\" is not the name of a label"),
        ),
        (
            "{query: http_total, states: {}}",
            format!(
                "15:71 error unknown-field {at}.states: the field \"states\" is not known here"
            ),
        ),
        (
            "{query: avg(http_total)}",
            format!(
                "15:59 warning not-exact {at}.query: the query is no sum of counters: PromQL answers it slice by slice, and figures are not exact | name counters by selectors, or add and subtract them"
            ),
        ),
        (
            "{query: http_bucket}",
            format!(
                "15:59 warning bucket-without-le {at}.query: all buckets of http_bucket are added up, and each holds those below it | name one bucket: le=\"0.25\", or count with _count"
            ),
        ),
    ] {
        assert_eq!(ratio("{query: http_total}", spec), [line]);
    }
    // In a block the place is that of the line.
    let block = "total:\n          metricSource:\n            spec:\n              query: |\n                sum(\n                  rate(x[5m)\n                )\n";
    let text =
        RATIO.replace("total: {metricSource: {type: nines, spec: {query: http_total}}}\n", block);
    assert_eq!(
        told(&text),
        [format!(
            "20:28 error promql {at}.query: unexpected \")\" in subquery or range, expected \":\" or \"]\""
        )]
    );
}

#[test]
fn indicators() {
    let bad =
        "        bad: {metricSource: {type: nines, spec: {query: 'http_total{code=~\"5..\"}'}}}\n";
    let good = bad.replace("bad:", "good:");
    let total = "        total: {metricSource: {type: nines, spec: {query: http_total}}}\n";
    for (part, other, line) in [
        (bad, format!("{bad}{good}"), format!("14:9 error good-and-bad {INDICATOR}.bad: good and bad are both set | keep one of them: the other is the rest of total")),
        (bad, String::new(), format!("13:9 error missing-field {INDICATOR}: good or bad is missing")),
        (total, String::new(), format!("13:9 error missing-field {INDICATOR}: total is missing")),
        (total, total.replace("type: nines", "type: Datadog"), format!("15:38 error unsupported-source {INDICATOR}.total.metricSource.type: queries of Datadog cannot be asked | nines asks PromQL: type nines or prometheus")),
        (total, total.replace("type: nines", "metricSourceRef: prom"), format!("15:49 warning dangling-reference {INDICATOR}.total.metricSource.metricSourceRef: there is no DataSource \"prom\"")),
        (total, total.replace("{query: http_total}", "{query: http_total, step: 1m}").replace("type: nines", "type: prometheus"), format!("15:76 warning not-used {INDICATOR}.total.metricSource.spec.step: the field \"step\" of prometheus is not used")),
        (total, total.replace("total:", "raw:"), format!("14:9 error raw-and-events {INDICATOR}.bad: raw and bad are both set | raw is a ratio already")),
        (total, format!("{total}        rawType: success\n"), format!("16:18 warning not-used {INDICATOR}.rawType: rawType without raw is not used")),
        (total, total.replace("{query: http_total}", "{query: http_total, noData: bad}") + "      thresholdMetric: {}\n", "16:24 error two-metrics spec.indicator.spec.thresholdMetric: ratioMetric and thresholdMetric are both set".to_owned()),
        ("{target: 0.999}", "{target: 0.999, op: gte, value: 1}".to_owned(), "16:16 warning not-used spec.objectives[0]: op and value are not used: the indicator is a ratioMetric".to_owned()),
        ("  objectives: ", "  indicatorRef: x\n  objectives: ".to_owned(), "16:17 error two-indicators spec.indicatorRef: indicator and indicatorRef are both set".to_owned()),
        ("    metadata: {name: errors}\n", "    metadata: {nme: errors}\n".to_owned(), "10:15 error missing-field spec.indicator.metadata.name: name is missing".to_owned()),
    ] {
        let lines = ratio(part, &other);
        assert_eq!(lines.first(), Some(&line), "{lines:?}");
    }
    let spec = |side: &str, total: &str| {
        let text = with(RATIO, "'http_total{code=~\"5..\"}'", &format!("http_bad, {side}"));
        told(&with(&text, "query: http_total}", &format!("query: http_total, {total}}}")))
    };
    assert_eq!(
        spec("groupBy: [a]", "groupBy: [b]"),
        [format!(
            "15:80 error settings-differ {INDICATOR}.total.metricSource.spec.groupBy: the two sources of the ratio say different things here"
        )]
    );
    assert_eq!(spec("groupBy: [a, b]", "groupBy: [b, a]"), [""; 0]);
}

#[test]
fn thresholds_and_states() {
    let threshold = |spec: &str, objective: &str| {
        let (head, tail) = RATIO.split_once("      ratioMetric:").unwrap();
        let (_, tail) = tail.split_once("  objectives").unwrap();
        let metric = format!("thresholdMetric: {{metricSource: {{spec: {{{spec}}}}}}}");
        let text = format!("{head}      {metric}\n  objectives{tail}");
        told(&with(&text, "{target: 0.999}", objective))
    };
    let at = "spec.indicator.spec.thresholdMetric.metricSource.spec";
    let full = "{op: gte, value: 1, target: 0.999}";
    assert_eq!(
        threshold("query: up", "{target: 0.999}"),
        [
            "13:16 error missing-field spec.objectives[0].op: op is missing: the indicator is a thresholdMetric | write op: gte and value: 1",
            "13:16 error missing-field spec.objectives[0].value: value is missing: the indicator is a thresholdMetric | write op: gte and value: 1",
        ]
    );
    assert_eq!(
        threshold("query: up", "{op: ge, value: 1, target: 0.999}"),
        [
            "13:21 error bad-value spec.objectives[0].op: \"ge\" is not one of lt, lte, gt, gte | did you mean gt?"
        ]
    );
    for (spec, line) in [
        (
            "query: up, existence: droplet_info",
            format!(
                "12:69 error existence-needs-states {at}.existence: existence is used with states only | name good and bad states"
            ),
        ),
        (
            "query: avg(up), states: {good: [1]}",
            format!(
                "12:54 error not-a-selector {at}.query: states are those of series: write a selector without anything around it"
            ),
        ),
        (
            "query: up, states: {ignore: [1]}",
            format!(
                "12:66 error missing-field {at}.states: states names neither a good nor a bad state"
            ),
        ),
        (
            "query: up, states: {good: [1], bad: [1]}",
            format!("12:84 error state-twice {at}.states.bad[0]: the state 1 is in good already"),
        ),
        (
            "query: up, states: {good: [1]}, existence: sum(x)",
            format!(
                "12:90 error not-a-selector {at}.existence: this must be a selector without anything around it | write it like droplet_info{{region=\"ams3\"}}"
            ),
        ),
        (
            "query: up, counterStart: zero",
            format!(
                "12:58 error unknown-field {at}.counterStart: the field \"counterStart\" is not known here"
            ),
        ),
    ] {
        assert_eq!(threshold(spec, full), [line]);
    }
}

#[test]
fn names_and_references() {
    let service =
        |name: &str| format!("apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {name}}}\n");
    let (definitions, diagnostics) = load_texts(&[("a.yaml", RATIO), ("b.yaml", RATIO)]);
    assert_eq!(definitions.slos["requests"].place.file, "a.yaml");
    assert_eq!(
        lines(&diagnostics),
        [
            "4:9 error duplicate-name metadata.name: the SLO \"requests\" is defined already, at a.yaml:4:9"
        ]
    );
    assert_eq!(diagnostics[0].file, "b.yaml");
    let two = format!("{}---\n{}", service("shops"), RATIO);
    assert_eq!(
        told(&two),
        [
            "10:12 warning dangling-reference spec.service: there is no service \"shop\" | did you mean shops?"
        ]
    );
    let two = format!("{}---\n{}", service("shop"), RATIO);
    assert_eq!(told(&two), [""; 0]);

    let (head, tail) = RATIO.split_once("  indicator:").unwrap();
    let (_, tail) = tail.split_once("  objectives").unwrap();
    let elsewhere = format!(
        "{head}  indicatorRef: erors\n  objectives{tail}---\napiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: errors}}\nspec: {{thresholdMetric: {{metricSource: {{spec: {{query: up}}}}}}}}\n"
    );
    assert_eq!(
        told(&elsewhere),
        [
            "9:17 error dangling-reference spec.indicatorRef: there is no SLI \"erors\" | did you mean errors?"
        ]
    );
    assert_eq!(
        told(&elsewhere.replace("erors", "errors")),
        [
            "10:16 error missing-field spec.objectives[0].op: op is missing: the indicator is a thresholdMetric | write op: gte and value: 1",
            "10:16 error missing-field spec.objectives[0].value: value is missing: the indicator is a thresholdMetric | write op: gte and value: 1",
        ]
    );
    let policies = with(
        RATIO,
        "  objectives:",
        "  alertPolicies: [page, {alertPolicyRef: ticket}]\n  objectives:",
    );
    assert_eq!(
        told(&policies),
        [
            "16:19 warning dangling-reference spec.alertPolicies[0]: there is no AlertPolicy \"page\"",
            "16:42 warning dangling-reference spec.alertPolicies[1].alertPolicyRef: there is no AlertPolicy \"ticket\"",
        ]
    );
    let team = "apiVersion: nines.dev/v1\nkind: Team\nmetadata: {name: payments}\n---\n";
    let labelled =
        with(RATIO, "  name: requests\n", "  name: requests\n  labels: {team: payment}\n");
    assert_eq!(
        told(&format!("{team}{labelled}")),
        [
            "8:9 warning dangling-reference metadata.labels.team: there is no team \"payment\" | did you mean payments?"
        ]
    );
}

const SLA: &str = "apiVersion: nines.dev/v1
kind: SLA
metadata: {name: promise}
spec:
  slo: requests
  target: 0.99
  window: {duration: 1M, timeZone: UTC}
  credit: {tiers: [{below: 0.99, percent: 10}, {below: 0.95, percent: 30}]}
";

#[test]
fn agreements() {
    let sla = |part: &str, other: &str| told(&format!("{}---\n{RATIO}", with(SLA, part, other)));
    assert_eq!(sla("0.99\n", "0.99\n"), [""; 0]);
    for (part, other, line) in [
        (
            "below: 0.95",
            "below: 0.99",
            "8:56 error sla-tier-order spec.credit.tiers[1].below: below is 0.99 after 0.99: bounds must fall from tier to tier",
        ),
        (
            "percent: 30",
            "percent: 5",
            "8:71 error sla-tier-order spec.credit.tiers[1].percent: percent is 5 after 10: credits must rise from tier to tier",
        ),
        (
            "percent: 30",
            "percent: 300",
            "8:71 error bad-value spec.credit.tiers[1].percent: percent is 300, and must be 0 to 100",
        ),
        (
            "below: 0.99,",
            "below: 99,",
            "8:28 error target-out-of-range spec.credit.tiers[0].below: below is 99, and must be above 0 and at most 1",
        ),
        (
            "slo: requests",
            "slo: request",
            "5:8 error dangling-reference spec.slo: there is no SLO \"request\" | did you mean requests?",
        ),
        (
            "target: 0.99\n",
            "target: 1\n",
            "6:11 error target-out-of-range spec.target: the target is 1, and must be below 1 | a target of 1 leaves no budget: write for example 0.9999",
        ),
        (
            "timeZone: UTC",
            "timeZone: utc1",
            "7:36 error unknown-time-zone spec.window.timeZone: \"utc1\" is not a time zone | did you mean UTC?",
        ),
        (
            "duration: 1M",
            "duration: 5m",
            "7:22 error bad-window spec.window.duration: 5m is no number of days of the calendar | use days, weeks, months, quarters or years",
        ),
        (
            "  slo: requests\n",
            "  slo: requests\n  scope: pergroup\n",
            "6:10 error bad-value spec.scope: \"pergroup\" is not one of perGroup, pooled | did you mean perGroup?",
        ),
        (
            "  slo: requests\n",
            "  slo: requests\n  closeAfter: 1M\n",
            "6:15 error bad-duration spec.closeAfter: 1M has no fixed length | write it in m, h, d or w",
        ),
        (
            "{tiers:",
            "{kind: lostTime, tiers:",
            "8:35 error settings-differ spec.credit.tiers: tiers have a meaning for kind: tiers only",
        ),
    ] {
        assert_eq!(sla(part, other), [line]);
    }
}

const EXCLUSION: &str = "apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: firmware}
spec:
  class: scheduled-maintenance
  from: 2026-02-10T02:30:00+00:00
  to: 2026-02-10T04:00:00+00:00
  note: Firmware
  author: ada
";

#[test]
fn exclusions() {
    let exclusion = |part: &str, other: &str| told(&with(EXCLUSION, part, other));
    assert_eq!(told(EXCLUSION), [""; 0]);
    let repeated = "  from: 2026-02-10 02:30:00\n  timeZone: UTC\n  duration: 2h\n  rrule: ";
    let once = "  from: 2026-02-10T02:30:00+00:00\n  to: 2026-02-10T04:00:00+00:00\n";
    assert_eq!(exclusion(once, &format!("{repeated}FREQ=WEEKLY;BYDAY=SU\n")), [""; 0]);
    for (part, other, line) in [
        (
            "to: 2026-02-10T04",
            "to: 2026-02-10T02",
            "7:7 error exclusion-order spec.to: to is not after from",
        ),
        (
            "04:00:00+00:00",
            "04:00:00",
            "7:7 error bad-time spec.to: \"2026-02-10T04:00:00\" is not an instant | write it like 2026-02-10T02:30:00+00:00, with an offset from UTC",
        ),
        (
            "  note: Firmware\n",
            "",
            "5:3 error missing-field spec.note: note is missing | say why this time is counted otherwise",
        ),
        ("  to: 2026-02-10T04:00:00+00:00\n", "", "5:3 error missing-field spec.to: to is missing"),
        (
            "  note:",
            "  mode: bad\n  note:",
            "8:9 error bad-value spec.mode: \"bad\" is not one of exclude, good",
        ),
        (
            "  note:",
            "  duration: 2h\n  note:",
            "8:3 error settings-differ spec.duration: duration has a meaning with rrule only | write from and to with their offset from UTC",
        ),
        (
            "  note:",
            "  match: {services: [shop], slos: [requests]}\n  note:",
            "8:22 warning dangling-reference spec.match.services[0]: there is no service \"shop\"",
        ),
    ] {
        let lines = exclusion(part, other);
        assert_eq!(lines.first().map(String::as_str), Some(line), "{lines:?}");
    }
    let rule = |rule: &str| exclusion(once, &format!("{repeated}{rule}\n")).remove(0);
    assert!(
        rule("EVERY=SUNDAY").starts_with(
            "9:10 error bad-rrule spec.rrule: \"EVERY=SUNDAY\" is no recurrence rule: "
        )
    );
    assert_eq!(
        rule("FREQ=SECONDLY"),
        "9:10 error bad-rrule spec.rrule: \"FREQ=SECONDLY\" is no recurrence rule: it repeats more often than every hour | write FREQ=WEEKLY;BYDAY=SU"
    );
}

#[test]
fn alerts() {
    let condition = "apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: burn}
spec:
  severity: page
  condition: {kind: burnrate, op: lte, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}
";
    assert_eq!(
        told(condition),
        [
            "6:35 warning burnrate-op spec.condition.op: a burn rate is bad when it is high: this is read as gt | write op: gt, or leave it out"
        ]
    );
    assert_eq!(told(&with(condition, "lte", "gt")), [""; 0]);
    assert_eq!(
        told(&with(&with(condition, "lte", "gt"), "threshold: 2, ", "")),
        ["6:14 error missing-field spec.condition.threshold: threshold is missing"]
    );
}

/// Texts of the sources of definitions, without tests.
fn sources(dir: &std::path::Path, out: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, out);
        } else if path.is_file() && !path.ends_with("tests.rs") {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_readme_tells_all_codes() {
    let readme = include_str!("../../../../README.md");
    let (_, table) = readme.split_once("| code | what is wrong |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().filter_map(|row| row.split('|').nth(1));
    let told: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/slo");
    let mut code = String::new();
    sources(&root.join("define"), &mut code);
    sources(&root.join("yaml"), &mut code);
    code.push_str(&std::fs::read_to_string(root.join("trial.rs")).unwrap());
    for name in &told {
        assert!(code.contains(&format!("\"{name}\"")), "{name} is told and not used");
    }
    let own = ["zero-traffic", "burn-alerts", "target-history", "git-ref", "nines-slo-files"];
    for name in code.split('"') {
        let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
        let is_code = name.contains('-') && name.split('-').all(letters);
        assert!(!is_code || own.contains(&name) || told.contains(&name), "{name} is not told");
    }
    assert!(told.len() > 50, "{told:?}");
}
