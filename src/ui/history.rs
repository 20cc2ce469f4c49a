//! What the history of a tenant takes, and how far rolling up is.

use maud::{Markup, html};
use nines_storage::{DbStats, RollingStats};

use super::{bytes, count};

/// A table of the history's tables, and what is going on.
pub(super) fn history(stats: &DbStats) -> Markup {
    html! {
        h3 { "History" }
        @if stats.history_tables.is_empty() {
            p.dim { "No day is rolled up yet: that comes an hour after its end." }
        } @else {
            div.scroll { table {
                thead { tr {
                    th { "Table" } th.n { "Rows" } th.n { "Files" } th.n { "Size" } th.n { "Bytes a row" }
                    th.n { "A year at today's rate" }
                } }
                tbody { @for table in &stats.history_tables { tr {
                    td { (table.tier.name()) }
                    td.n { (count(table.size.rows)) }
                    td.n { (count(table.size.files)) }
                    td.n { (bytes(table.size.bytes)) }
                    td.n { (format!("{:.2}", table.bytes_per_row())) }
                    td.n { (bytes(table.bytes_per_year)) }
                } } }
            } }
        }
        (rolling(&stats.rolling))
    }
}

fn rolling(rolling: &RollingStats) -> Markup {
    let percent = |share: f64| format!("{:.0} %", (share * 100.0).floor());
    html! {
        @if let Some(day) = rolling.day {
            p.small {
                "Rolling up " (day) ", " (percent(rolling.day_share)) " done; "
                @match rolling.days_due.saturating_sub(1) {
                    0 => { "no other day is due" }
                    1 => { "one more day is due" }
                    due => { (count(due)) " more days are due" }
                }
                ", " (percent(rolling.share())) " of this round is done."
            }
        }
        @if let Some(error) = &rolling.last_error {
            div.note.bad { "Rolling up failed and is tried again: " (error) }
        }
        @if rolling.days_left_out > 0 {
            div.note.bad { (count(rolling.days_left_out)) " day(s) are not rolled up because a block is damaged." }
        }
    }
}

#[cfg(test)]
mod tests {
    use nines_storage::history::{Day, TableCost, Tier, TierSize};

    use super::*;

    #[test]
    fn tells_costs_and_progress() {
        let size = TierSize { files: 1, rows: 4000, bytes: 50_000 };
        let stats = DbStats {
            history_tables: vec![TableCost { tier: Tier::Hour, size, bytes_per_year: 3 << 30 }],
            rolling: RollingStats {
                days_due: 3,
                days_done: 1,
                day: Some(Day(20_777)),
                day_share: 0.5,
                days_left_out: 2,
                last_error: Some("no <space>".to_owned()),
            },
            ..DbStats::default()
        };
        let html = history(&stats).into_string();
        for part in [
            "rollup_1h",
            "4,000",
            "12.50",
            "3.0 GiB",
            "Rolling up 2026-11-20, 50 % done; 2 more days are due, 37 % of this round is done.",
            "no &lt;space&gt;",
            "2 day(s) are not rolled up",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        let html = history(&DbStats::default()).into_string();
        assert!(html.contains("No day is rolled up yet") && !html.contains("Rolling up"), "{html}");
    }
}
