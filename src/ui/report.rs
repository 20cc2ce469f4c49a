//! A report to be printed or sent: one page that needs nothing else.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::slo::report::Count;
use crate::slo::rows::{Row, Table};

/// Rows of the page at most; CSV and Parquet have all.
const ROWS_MAX: usize = 5_000;
/// Times of being down that are told of a row; JSON has more.
const DOWNTIMES_MAX: usize = 10;

const STYLE: &str = r#"
:root{color-scheme:light;--fg:#1c1d1f;--dim:#5b5f64;--line:#d9d9d4;--bad:#a01c14;--soft:#f4f4f0}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1.25rem;background:#fff;color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;line-height:1.2;letter-spacing:-.02em;margin:0 0 .3rem}
h2{font-size:1.05rem;margin:1.8rem 0 .5rem}
p{margin:.35rem 0;max-width:52rem}
.dim{color:var(--dim)}.small{font-size:.85rem}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.facts div{border:1px solid var(--line);border-radius:6px;padding:.5rem .9rem;min-width:9rem}
.facts dt,.facts dd{margin:0}.facts dt{font-size:.8rem;color:var(--dim)}.facts dd{font-size:1.25rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.86rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--dim);border-bottom-color:var(--fg)}
thead{display:table-header-group}
tr{break-inside:avoid}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.missed td{background:var(--soft)}
.missed .verdict{color:var(--bad);font-weight:700}
.verdict{white-space:nowrap}
.name{overflow-wrap:anywhere}
footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.6rem}
@page{margin:14mm}
@media print{body{max-width:none;padding:0;font-size:10.5pt}.scroll{overflow:visible}}
"#;

/// The page.
#[must_use]
pub fn report(table: &Table) -> String {
    let of_agreement = table.scope.starts_with("sla:");
    let mut services: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in table.rows.iter().take(ROWS_MAX) {
        services.entry(&row.service).or_default().push(row);
    }
    let title = format!("{}, {}", heading(&table.scope), table.period);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.dim { (span(table)) }
                dl.facts {
                    div { dt { @if of_agreement { "Promise kept" } @else { "Objectives met" } } dd { (table.met) " of " (table.of) } }
                    @if table.of > table.met {
                        div { dt { @if of_agreement { "In breach" } @else { "Missed" } } dd { (table.of - table.met) } }
                    }
                    @if table.no_data > 0 {
                        div { dt { "Nothing to count" } dd { (table.no_data) } }
                    }
                }
                @if table.rows.is_empty() { p { "There is nothing to report." } }
                @for (service, rows) in &services {
                    h2 { (service) }
                    div.scroll { (rows_of(rows, of_agreement)) }
                }
                @if table.rows.len() > ROWS_MAX {
                    p { "The first " (ROWS_MAX) " of " (table.rows.len()) " rows; CSV and Parquet have all of them." }
                }
                @if !table.notes.is_empty() {
                    h2 { "To be known" }
                    ul.small { @for note in &table.notes { li { (note) } } }
                }
                footer.small.dim {
                    p { "Made by nines at " (table.made_at) " from every sample, without averages of averages: counts are exact unless a row says otherwise. "
                        "Definition and revision tell which definition and which state of the data a row is from." }
                }
            }
        }
    }
    .into_string()
}

fn heading(scope: &str) -> String {
    match scope.split_once(':') {
        Some(("service", name)) => format!("Service {name}"),
        Some(("slo", name)) => format!("Objective {name}"),
        Some(("sla", name)) => format!("Agreement {name}"),
        _ => "Service levels".to_owned(),
    }
}

/// The time that the rows are about, where they have one.
fn span(table: &Table) -> String {
    let Some(first) = table.rows.first() else { return String::new() };
    let same =
        |row: &Row| (row.from, row.to, &row.time_zone) == (first.from, first.to, &first.time_zone);
    let over = if table.rows.iter().all(|row| row.complete) { "" } else { "; not over yet" };
    if table.rows.iter().all(same) {
        format!("From {} to {}, {}{over}", first.from, first.to, first.time_zone)
    } else {
        format!("Each in the time zone of its calendar{over}")
    }
}

fn rows_of(rows: &[&Row], of_agreement: bool) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Objective" } th { "Verdict" } th.n { "Ratio" } th.n { "Target" } th.n { "Bad" } th.n { "Of" }
                @if of_agreement { th.n { "Credit" } th { "Statement" } }
                @else { th.n { "Allowed" } th.n { "Budget left" } }
                @if !of_agreement { th.n { "Coverage" } }
                th { "Definition, revision" }
            } }
            tbody { @for row in rows { tr.missed[row.met == Some(false)] {
                td.name { (row.slo)
                    @if !row.objective.is_empty() { " / " (row.objective) }
                    @if !row.group.is_empty() { br; span.small.dim { (row.group) } }
                    @else if of_agreement { br; span.small.dim { "all together" } }
                    @for down in row.downtime.iter().take(DOWNTIMES_MAX) {
                        div.small { "down " (down.from) " to " (down.to) }
                    }
                    @if row.downtime.len() > DOWNTIMES_MAX {
                        div.small { "and " (row.downtime.len() - DOWNTIMES_MAX) " times more" }
                    }
                }
                td.verdict { (verdict(row, of_agreement)) }
                td.n { (ratio(row.sli)) @if !row.exact { br; span.small { "not exact" } } }
                td.n { (ratio(row.target)) }
                td.n { (number(row.bad)) }
                td.n { (number(row.total)) br; span.small.dim { (unit(&row.method)) } }
                @if of_agreement {
                    td.n { (credit(row)) }
                    td { (row.status) }
                } @else {
                    td.n { (row.allowed.map_or_else(|| "–".to_owned(), short)) }
                    td.n { (row.remaining.map_or_else(|| "–".to_owned(), |left| format!("{:.1} %", left * 100.0))) }
                }
                @if !of_agreement { td.n { (coverage(row)) } }
                td.small.dim { (row.definition_version) @if row.revision > 0 { ", " (row.revision) }
                    @if !row.exclusions.is_empty() { br; "without " (row.exclusions) }
                }
            } } }
        }
    }
}

fn verdict(row: &Row, of_agreement: bool) -> &'static str {
    match row.met {
        Some(true) => "✓ met",
        Some(false) if of_agreement => "✗ breach",
        Some(false) => "✗ missed",
        None if row.total.0 > 0.0 => "–",
        None => "– no data",
    }
}

fn unit(method: &str) -> &'static str {
    if method == "Occurrences" { "events" } else { "slices" }
}

/// As a percentage with all its digits up to the sixth behind the point.
fn ratio(share: Option<f64>) -> String {
    let Some(share) = share else { return "–".to_owned() };
    let text = format!("{:.6}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // What is not whole must not look so.
    if share < 1.0 && text == "100" { "<100 %".to_owned() } else { format!("{text} %") }
}

/// With at most three digits behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn number(count: Count) -> String {
    if count.0.fract() == 0.0 && (0.0..9e15).contains(&count.0) {
        // Whole and within the bounds.
        return super::count(count.0 as u64);
    }
    short(count.0)
}

fn credit(row: &Row) -> String {
    match (row.credit_minutes, row.credit_percent) {
        (Some(minutes), _) => format!("{} min", short(minutes)),
        (None, Some(percent)) => format!("{} %", short(percent)),
        (None, None) => "–".to_owned(),
    }
}

fn coverage(row: &Row) -> String {
    match (row.slices_with_data, row.slices) {
        (Some(with), Some(all)) if all > 0 => {
            format!("{:.1} %", f64::from(with) / f64::from(all) * 100.0)
        }
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_does_not_look_so() {
        assert_eq!(ratio(Some(1.0)), "100 %");
        assert_eq!(ratio(Some(0.999_999_999_9)), "<100 %");
        assert_eq!(ratio(Some(0.999_5)), "99.95 %");
        assert_eq!(ratio(None), "–");
        assert_eq!(number(Count(1_234_567.0)), "1,234,567");
        assert_eq!(number(Count(0.25)), "0.25");
    }
}
