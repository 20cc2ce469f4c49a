//! Reports and what is in them as words and lines.

use serde_json::{Value, json};

use super::print_line;

/// `droplet=d1,region=ams`
pub(super) fn group(group: &Value) -> String {
    let pairs = group.as_object().map(|pairs| {
        pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
    });
    pairs.unwrap_or_default().join(",")
}

/// `99.9500%`
pub(super) fn percent(share: &Value) -> String {
    share.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.4}%", share * 100.0))
}

/// Whether it was met, in words.
pub(super) fn verdict(met: &Value) -> &'static str {
    match met.as_bool() {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "no data",
    }
}

/// The name of a period; the day it begins, where that tells more.
pub(super) fn period_of(label: &Value, from: &Value) -> String {
    let (label, from) = (label.as_str().unwrap_or_default(), from.as_str().unwrap_or_default());
    let is_named = label.starts_with(|c: char| c.is_ascii_digit()) && label.contains('-');
    if is_named { label.to_owned() } else { format!("{} {label}", from.get(..10).unwrap_or(from)) }
}

/// Reports as lines.
pub(super) fn table(reports: &Value) {
    print_line(&format!(
        "{:<32} {:<24} {:<20} {:>12} {:>14} {:>10} {:>10} {:>8}",
        "SLO", "PERIOD", "GROUP", "BAD", "TOTAL", "SLI", "REMAINING", "VERDICT"
    ));
    for one in reports.as_array().map(Vec::as_slice).unwrap_or_default() {
        let exact = if one["exact"] == json!(false) { " (not exact)" } else { "" };
        print_line(&format!(
            "{:<32} {:<24} {:<20} {:>12} {:>14} {:>10} {:>10} {:>8}{exact}",
            one["slo"].as_str().unwrap_or_default(),
            period_of(&one["window"]["label"], &one["window"]["from"]),
            group(&one["group"]),
            one["bad"].to_string(),
            one["total"].to_string(),
            percent(&one["sli"]),
            percent(&one["budgetRemaining"]),
            verdict(&one["met"]),
        ));
    }
}
