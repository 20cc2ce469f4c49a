//! Targets that are set in texts.

use super::*;
use crate::slo::define::{EditError, set_target};
use crate::slo::yaml;

fn set(text: &str, target: &str, from: &str) -> Result<String, EditError> {
    set_target("f.yaml", text, "requests", target.parse().unwrap(), from).map(Option::unwrap)
}

/// The lines that the second text has in place of those of the first.
fn changed(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let of = |text: &str, other: &str| {
        let other: Vec<&str> = other.lines().collect();
        text.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect()
    };
    (of(before, after), of(after, before))
}

#[test]
fn a_history_begins_with_a_change() {
    let text = with(RATIO, "  service: shop\n", "  service: shop   # a comment\n");
    let after = set(&text, "0.9995", "2026-04-16").unwrap();
    assert_eq!(
        changed(&text, &after),
        (
            vec!["  objectives: [{target: 0.999}]".to_owned()],
            vec![
                "  annotations:".to_owned(),
                "    nines.dev/target-history: \"1970-01-01T00:00:00+00:00 0.999\\n2026-04-16T00:00:00+00:00 0.9995\\n\"".to_owned(),
                "  objectives: [{target: 0.9995}]".to_owned(),
            ]
        )
    );
    let targets: Vec<_> = slo(&after).objectives[0]
        .targets
        .iter()
        .map(|t| (t.from_ms, t.target.to_string()))
        .collect();
    assert_eq!(targets, [(i64::MIN, "0.999".to_owned()), (1_776_297_600_000, "0.9995".to_owned())]);
}

#[test]
fn a_history_goes_on_in_every_form() {
    let line = "2026-04-16T00:00:00+00:00 0.9995";
    for (written, expected) in [
        ("|\n      # the beginning\n", None),
        (
            "|\n      1000 0.9\n      2000 0.999\n",
            Some(format!("|\n      1000 0.9\n      2000 0.999\n      {line}\n")),
        ),
        (
            "|-   # kept\n        1000 0.9\n        2000 0.999\n\n",
            Some(format!("|-   # kept\n        1000 0.9\n        2000 0.999\n        {line}\n\n")),
        ),
        ("\"1000 0.9\\n2000 0.999\"\n", Some(format!("\"1000 0.9\\n2000 0.999\\n{line}\"\n"))),
        (
            "\"1000 0.9\\n2000 0.999\\n\" # x\n",
            Some(format!("\"1000 0.9\\n2000 0.999\\n{line}\\n\" # x\n")),
        ),
        ("1000 0.999\n", Some(format!("\"1000 0.999\\n{line}\\n\"\n"))),
        ("'1000 0.999'\n", Some(format!("\"1000 0.999\\n{line}\\n\"\n"))),
    ] {
        let text = |written: &str| {
            with(
                RATIO,
                "  name: requests\n",
                &format!(
                    "  name: requests\n  annotations:\n    nines.dev/target-history: {written}    other: x\n"
                ),
            )
        };
        let result = set(&text(written), "0.9995", "2026-04-16T00:00:00+00:00");
        match expected {
            None => assert!(result.is_err(), "{written}"),
            Some(expected) => {
                let expected = with(&text(&expected), "{target: 0.999}", "{target: 0.9995}");
                assert_eq!(result.unwrap(), expected, "{written}");
            }
        }
    }
}

#[test]
fn flow_style_percents_and_zones() {
    let flow = with(RATIO, "metadata:\n  name: requests\n", "metadata: {name: requests}\n");
    let flow = with(&flow, "target: 0.999", "targetPercent: 99.9");
    let flow = with(
        &flow,
        "{duration: 30d, isRolling: true}",
        "{duration: 1M, calendar: {startTime: 2024-01-01 00:00:00, timeZone: Europe/Amsterdam}}",
    );
    let after = set(&flow, "0.9995", "2026-07-01").unwrap();
    assert_eq!(
        changed(&flow, &after).1,
        [
            "metadata: {annotations: {nines.dev/target-history: \"1970-01-01T00:00:00+00:00 0.999\\n2026-07-01T00:00:00+02:00 0.9995\\n\"}, name: requests}",
            "  objectives: [{targetPercent: 99.95}]",
        ]
    );
    let again = set(&after, "0.99", "2026-08-01").unwrap();
    assert!(again.contains("0.9995\\n2026-08-01T00:00:00+02:00 0.99\\n\"}"), "{again}");
    for annotations in ["{}", "{other: x}"] {
        let text = with(
            &flow,
            "name: requests}",
            &format!("name: requests, annotations: {annotations}}}"),
        );
        assert_eq!(slo(&set(&text, "0.5", "2026-08-01").unwrap()).objectives[0].targets.len(), 2);
    }
    // In a text of several documents only the one is changed.
    let two = format!("# ☃\n{}---\n{RATIO}", RATIO.replace("name: requests", "name: other"));
    let after = set(&two, "0.5", "2026-08-01").unwrap();
    assert!(after.starts_with(two.split_once("---").unwrap().0), "{after}");
    assert_eq!(good(&after).slos["requests"].objectives[0].targets.len(), 2);
}

#[test]
fn what_would_not_be_valid_is_refused() {
    let text = set(RATIO, "0.9995", "2026-04-16").unwrap();
    assert!(matches!(set(&text, "0.9995", "2026-05-16"), Err(EditError::Same(_))));
    assert!(matches!(set(&text, "0.99", "soon"), Err(EditError::Time(_))));
    let Err(EditError::Invalid(told)) = set(&text, "0.99", "2026-04-16") else { panic!() };
    assert_eq!(told[0].code, "target-history-order");
    let Err(EditError::Invalid(told)) = set(&text, "1", "2026-05-16") else { panic!() };
    assert_eq!(told[0].code, "target-out-of-range");
    assert!(
        set_target("f", &text, "others", "0.5".parse().unwrap(), "2026-04-16").unwrap().is_none()
    );
    assert!(yaml::read(&text).1.is_empty());
}
