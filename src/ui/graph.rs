//! The query page: a box, and the answer as a table.

use maud::html;

use super::layout::layout;

/// What the query page shows.
#[derive(Debug, Clone, Default)]
pub struct GraphPage {
    /// The query.
    pub expr: String,
    /// What was typed as time.
    pub time_text: String,
    /// Evaluation time.
    pub at: String,
    /// Whether there is an answer.
    pub evaluated: bool,
    /// The first rows of the answer.
    pub rows: Vec<GraphRow>,
    /// Rows in all.
    pub total: usize,
    /// Warnings and infos.
    pub notes: Vec<String>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// One series of the answer.
#[derive(Debug, Clone)]
pub struct GraphRow {
    /// The series.
    pub series: String,
    /// Its value.
    pub value: String,
}

/// The query page.
#[must_use]
pub fn graph(page: &GraphPage) -> String {
    let body = html! {
        h1 { "Query" }
        form method="get" action="graph" {
            textarea name="g0.expr" rows="3" spellcheck="false" autofocus placeholder="sum by (job) (rate(http_requests_total[5m]))" { (page.expr) }
            div.row {
                label { "Time (empty for now; RFC 3339 or seconds)" input name="g0.end_input" value=(page.time_text) autocomplete="off"; }
                button type="submit" { "Run" }
            }
        }
        @if let Some(error) = &page.error { div.note.bad { (error) } }
        @for note in &page.notes { div.note { (note) } }
        @if page.evaluated {
            p.small.dim { (page.total) " result(s) at " (page.at)
                @if page.total > page.rows.len() { ", the first " (page.rows.len()) " are shown" }
            }
            @if !page.rows.is_empty() {
                div.scroll { table { tbody {
                    @for row in &page.rows { tr { td.mono.series { (row.series) } td.n.mono { (row.value) } } }
                } } }
            }
        }
    };
    layout("nines: query", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_results_are_escaped() {
        let evil = "</textarea><img src=x>".to_owned();
        let html = graph(&GraphPage {
            expr: evil.clone(),
            time_text: "\"><b>".to_owned(),
            evaluated: true,
            rows: vec![GraphRow { series: evil.clone(), value: evil.clone() }],
            total: 5,
            notes: vec![evil.clone()],
            error: Some(evil),
            ..GraphPage::default()
        });
        assert!(!html.contains("<img"), "{html}");
        assert!(!html.contains("\"><b>"), "{html}");
        assert!(html.contains("the first 1 are shown"));
    }
}
