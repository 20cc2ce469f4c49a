//! The page of cardinality: which metric, label or sender the series come from, what grows, how much room is left.

use std::fmt::Write as _;

use maud::{Markup, html};
use nines_storage::model::{METRIC_NAME, MatchOp, Matcher};
use nines_storage::{Exploring, LabelCount, Rank, SeriesCount};

use super::layout::layout;
use super::verdict::{Explosion, Verdict};
use super::{bytes, count, span};
use crate::clock::format_rfc3339;
use crate::promql::quote;

/// Share of a limit from which on it is shown as near.
const NEAR: f64 = 0.8;
/// Time over which growth must be known before it is carried on.
const GROWTH_MIN_MS: i64 = 10 * 60_000;
/// Time left beyond which nobody has to know.
const LEFT_MAX_MS: f64 = 60.0 * 86_400_000.0;
/// Values of a label, from which on one that has a value for nearly every series is marked.
const MANY_VALUES: u64 = 1000;
/// Length of the lists that "more" shows.
const MORE: usize = 100;

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct CardinalityPage {
    /// Whose series.
    pub tenant: String,
    /// Now.
    pub now_ms: i64,
    /// The selector, as it was asked for.
    pub selector: String,
    /// The same, read.
    pub matchers: Vec<Matcher>,
    /// The label whose values are listed; may be empty.
    pub focus: String,
    /// Order of the lists.
    pub rank: Rank,
    /// Length of the lists.
    pub limit: usize,
    /// Why nothing is shown.
    pub error: Option<String>,
    /// Nothing when the tenant has nothing.
    pub seen: Option<Seen>,
    /// With that.
    pub usage: Option<Usage>,
}

/// What was counted.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The lists; behind the labels of senders, the one in focus.
    pub counted: Exploring,
    /// What grows.
    pub verdict: Verdict,
    /// More about the labels of the verdict.
    pub explosions: Vec<Explosion>,
}

/// How much is used of what limits the number of series.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Series in memory.
    pub series: u64,
    /// `storage.max_series`.
    pub series_max: u64,
    /// Memory of the process, running queries not counted.
    pub bytes: u64,
    /// `memory.max_series_bytes`.
    pub bytes_max: u64,
}

/// The page.
#[must_use]
pub fn cardinality(page: &CardinalityPage) -> String {
    let body = html! {
        h1 { "Cardinality" }
        p.dim { "Where the series in memory come from, and which of them are new"
            @if page.tenant != "anonymous" { ". Tenant " b { (page.tenant) } }
            "."
        }
        @if let Some(error) = &page.error { div.note.bad { (error) } }
        (place(page))
        @match &page.seen {
            Some(seen) => (sections(page, seen)),
            None => @if page.error.is_none() { p.dim { "Nothing is stored for this tenant yet." } },
        }
        p.small.dim {
            "A series is in memory from its first sample until two flushes found it without samples. As JSON: "
            a href="api/v1/status/tsdb" { "api/v1/status/tsdb" } ", with "
            code { "match[]" } ", " code { "focusLabel" } ", " code { "topN" } " and " code { "since" } "."
        }
    };
    layout("nines: cardinality", &body)
}

/// Which series are looked at, and how to look at others.
fn place(page: &CardinalityPage) -> Markup {
    let here = Link::of(page);
    html! {
        form method="get" action="cardinality" {
            div.row {
                label { "Only series that match" input type="text" name="match" value=(page.selector) placeholder="all, or {job=\"api\"}" spellcheck="false"; }
                label { "Values of the label" input type="text" name="focus" value=(page.focus) placeholder="none" spellcheck="false"; }
                @if page.rank == Rank::Growth { input type="hidden" name="by" value="growth"; }
                button type="submit" { "Look" }
            }
        }
        @if !page.matchers.is_empty() || !page.focus.is_empty() {
            p.small {
                @for (i, matcher) in page.matchers.iter().enumerate() {
                    span.tag { span.mono.series { (matcher_text(matcher)) } " " a href=(here.without(i).href()) title="drop this condition" { "×" } }
                }
                @if !page.focus.is_empty() {
                    span.tag { "values of " span.mono { (page.focus) } " " a href=(here.focus("").href()) title="drop the focus" { "×" } }
                }
                a href=(here.anywhere().href()) { "all series" }
            }
        }
        p.small { "By "
            @for (i, (rank, heading)) in [(Rank::Size, "size"), (Rank::Growth, "growth")].into_iter().enumerate() {
                @if i > 0 { " · " }
                @if rank == page.rank { b { (heading) } } @else { a href=(here.by(rank).href()) { (heading) } }
            }
        }
    }
}

fn sections(page: &CardinalityPage, seen: &Seen) -> Markup {
    let (here, counts) = (Link::of(page), &seen.counted.counts);
    let total = counts.total;
    let senders: Vec<_> = counts.values.iter().filter(|(name, _)| *name != page.focus).collect();
    html! {
        (verdict(page, seen))
        dl.facts {
            (fact(if page.matchers.is_empty() { "Series in memory" } else { "Series that match" }, &count(total.series)))
            (fact(&format!("New {}", since(page, &seen.counted)), &format!("{} ({})", count(total.young), growth(total.young, total.series))))
            (fact("Pairs of label and value", &count(counts.pairs_total)))
            (fact("Label names", &count(counts.names_total)))
        }
        @if let Some(usage) = &page.usage { (limits(page, usage, &seen.counted)) }
        @if let Some((name, list)) = counts.values.iter().rev().find(|(name, _)| *name == page.focus) {
            h2 { "Values of " span.mono { (name) } }
            @if list.is_empty() { p.dim.small { (none(page)) } } @else {
                (counted("Value", total, list.iter().map(|(value, count)| (value_link(&here, name, value), *count))))
            }
        }
        div.cols {
            div {
                h2 { "Labels by number of values" }
                (labels(page, &counts.labels_by_values))
                @for (name, list) in senders {
                    @if !list.is_empty() {
                        h2 { "Senders by " span.mono { (name) } }
                        (counted(name, total, list.iter().map(|(value, count)| (value_link(&here, name, value), *count))))
                    }
                }
            }
            div {
                h2 { "Metrics" }
                @if counts.metrics.is_empty() { p.dim.small { (none(page)) } } @else {
                    (counted("Metric", total, counts.metrics.iter().map(|(metric, count)| (value_link(&here, METRIC_NAME, metric), *count))))
                }
                h2 { "Pairs of label and value" }
                @if counts.pairs.is_empty() { p.dim.small { (none(page)) } } @else {
                    (counted("Pair", total, counts.pairs.iter().map(|(name, value, count)| {
                        let text = format!("{}={}", label_name(name), quote(value));
                        (html! { a href=(here.within(name, value).href()) { (breakable(&text)) } }, *count)
                    })))
                }
            }
        }
        @if page.limit < MORE { p.small { a href=(Link { limit: Some(MORE), ..here }.href()) { "Longer lists" } } }
    }
}

fn none(page: &CardinalityPage) -> &'static str {
    if page.rank == Rank::Growth { "None is new." } else { "There are none." }
}

fn value_link(here: &Link<'_>, name: &str, value: &str) -> Markup {
    html! { a href=(here.within(name, value).href()) { (breakable(value)) } }
}

/// A text that a narrow column breaks between words.
fn breakable(text: &str) -> Markup {
    html! { @for part in text.split_inclusive(['_', '-', '/', '=']) { (part) wbr; } }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// `in the last 59 min`, `since the start 3 min ago`
fn since(page: &CardinalityPage, seen: &Exploring) -> String {
    let age = span(page.now_ms.saturating_sub(seen.since_ms));
    if seen.since_start {
        format!("since the start {age} ago")
    } else {
        format!("in the last {age}")
    }
}

/// The label that explodes, in words.
fn verdict(page: &CardinalityPage, seen: &Seen) -> Markup {
    let since = since(page, &seen.counted);
    let unknown = seen.counted.since_start;
    html! {
        @match &seen.verdict {
            Verdict::AllNew => div.note {
                "Nearly all of these series are new " (since)
                @if page.matchers.is_empty() { ": there is nothing to compare them with." } @else { "." }
            },
            Verdict::Calm => p { "No label grew by more than half " (since) "." },
            Verdict::Explodes(_) => @for explosion in &seen.explosions { (explodes(page, explosion, &since)) },
        }
        @if unknown && seen.verdict != Verdict::AllNew {
            p.small.dim { "What was new before the start at " (format_rfc3339(seen.counted.since_ms)) " is not known: growth is remembered in memory alone." }
        }
    }
}

fn explodes(page: &CardinalityPage, explosion: &Explosion, since: &str) -> Markup {
    let (here, label) = (Link::of(page), &explosion.label);
    html! {
        div.note.alarm {
            "The label " b { a href=(here.focus(&label.name).by(Rank::Growth).href()) { (label.name) } } " explodes: "
            (count(label.values_new)) " of its " (count(label.values)) " values are new " (since)
            " (" (growth(label.values_new, label.values)) ")."
            @if let Some((metric, of)) = &explosion.metric {
                @if label.name != METRIC_NAME {
                    " The metric " b { a href=(here.focus(&label.name).within(METRIC_NAME, metric).href()) { (metric) } }
                    " has the most of them, " (count(of.young)) " new series."
                }
            }
            @for (i, (name, value, of)) in explosion.senders.iter().enumerate() {
                @if i == 0 { " Most come from " } @else { ", " }
                (name) " " b { a href=(here.focus(&label.name).within(name, value).href()) { (value) } }
                " (" (count(of.young)) ")"
                @if i + 1 == explosion.senders.len() { "." }
            }
            @if !explosion.examples.is_empty() {
                div.small.dim.series { "For example " (explosion.examples.join(", ")) }
            }
        }
    }
}

fn limits(page: &CardinalityPage, usage: &Usage, seen: &Exploring) -> Markup {
    let total = seen.counts.total;
    let over_ms = page.now_ms.saturating_sub(seen.since_ms);
    let known =
        page.matchers.is_empty() && over_ms >= GROWTH_MIN_MS && total.young * 2 < total.series;
    let grown = if known { ratio(total.young, total.series) } else { 0.0 };
    let row = |name: &str, used: u64, max: u64, show: fn(u64) -> String| {
        let share = ratio(used, max);
        let left = left(used, max, grown, over_ms);
        html! { tr {
            td { code { (name) } }
            td.n { (show(used)) } td.n { (show(max)) }
            td.n.bad[share >= NEAR] style=(bar(share)) { (percent(share)) }
            td.n { @match left { Some(ms) => { "full in " (span(ms)) } None => "–" } }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr { th { "Limit" } th.n { "Used" } th.n { "Of" } th.n { "Share" } th.n { "At this growth" } } }
            tbody {
                (row("storage.max_series", usage.series, usage.series_max, count))
                (row("memory.max_series_bytes", usage.bytes, usage.bytes_max, bytes))
            }
        } }
        @if usage.series >= usage.series_max || usage.bytes >= usage.bytes_max {
            div.note.bad { "The limit is reached: samples of series that are not in memory are refused." }
        }
    }
}

/// Milliseconds until `max` is used when in `over_ms` the part `grown` of it was added.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "shown with two digits, and bounded"
)]
fn left(used: u64, max: u64, grown: f64, over_ms: i64) -> Option<i64> {
    let added = used as f64 * grown;
    let ms = over_ms.max(0) as f64 * max.saturating_sub(used) as f64 / added;
    (added > 0.0 && ms < LEFT_MAX_MS).then_some(ms as i64)
}

fn labels(page: &CardinalityPage, list: &[LabelCount]) -> Markup {
    let here = Link::of(page);
    html! {
        @if list.is_empty() { p.dim.small { (none(page)) } } @else { div.scroll { table {
            thead { tr { th { "Label" } th.n { "Values" } th.n { "New" } th.n { "Growth" } th.n title="series for each value" { "Series/value" } } }
            tbody { @for label in list {
                @let each = ratio(label.count.series, label.values);
                tr {
                    td.mono.series { a href=(here.focus(&label.name).href()) { (label.name) } }
                    td.n { (count(label.values)) }
                    td.n { (count(label.values_new)) }
                    td.n { (growth(label.values_new, label.values)) }
                    td.n.warn[label.values >= MANY_VALUES && each < 2.0] {
                        @if each < 100.0 { (format!("{each:.1}")) } @else { (format!("{each:.0}")) }
                    }
                }
            } }
        } } }
    }
}

/// A list of series by something.
fn counted(
    heading: &str,
    total: SeriesCount,
    rows: impl Iterator<Item = (Markup, SeriesCount)>,
) -> Markup {
    html! { div.scroll { table {
        thead { tr { th { (heading) } th.n { "Series" } th.n { "Share" } th.n { "New" } th.n { "Growth" } } }
        tbody { @for (name, of) in rows {
            @let share = ratio(of.series, total.series);
            tr {
                td.mono.series { (name) }
                td.n { (count(of.series)) }
                td.n style=(bar(share)) { (percent(share)) }
                td.n { (count(of.young)) }
                td.n { (growth(of.young, of.series)) }
            }
        } }
    } } }
}

#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A bar behind a number.
fn bar(share: f64) -> String {
    let end = (share * 100.0).clamp(0.0, 100.0);
    format!("background:linear-gradient(90deg,var(--bar) {end:.1}%,transparent {end:.1}%)")
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 { "<0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// By how much something grew of which there are now `all`, `new` of them new.
fn growth(new: u64, all: u64) -> String {
    match (new, all.saturating_sub(new)) {
        (0, _) => "–".to_owned(),
        (_, 0) => "all new".to_owned(),
        (new, old) => {
            let share = ratio(new, old);
            if share >= 10.0 {
                format!("×{:.0}", share + 1.0)
            } else {
                format!("+{}", percent(share))
            }
        }
    }
}

/// A label name as PromQL has it.
fn label_name(name: &str) -> String {
    let plain = name
        .bytes()
        .enumerate()
        .all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit()));
    if plain && !name.is_empty() { name.to_owned() } else { quote(name) }
}

fn matcher_text(matcher: &Matcher) -> String {
    format!("{}{}{}", label_name(&matcher.name), matcher.op.as_str(), quote(&matcher.value))
}

/// Where a link leads: this page, with something else.
#[derive(Debug, Clone)]
struct Link<'a> {
    matchers: std::borrow::Cow<'a, [Matcher]>,
    focus: &'a str,
    rank: Rank,
    limit: Option<usize>,
}

impl<'a> Link<'a> {
    fn of(page: &'a CardinalityPage) -> Self {
        let limit = (page.limit >= MORE).then_some(page.limit);
        Self { matchers: (&page.matchers).into(), focus: &page.focus, rank: page.rank, limit }
    }

    fn focus<'b>(&self, focus: &'b str) -> Link<'b>
    where
        'a: 'b,
    {
        Link { focus, ..self.clone() }
    }

    fn by(&self, rank: Rank) -> Self {
        Self { rank, ..self.clone() }
    }

    fn without(&self, i: usize) -> Self {
        let mut link = self.clone();
        let _ = link.matchers.to_mut().remove(i);
        link
    }

    /// Of the series that have this pair as well.
    fn within(&self, name: &str, value: &str) -> Self {
        let mut link = self.clone();
        let matchers = link.matchers.to_mut();
        matchers.retain(|matcher| matcher.name != name || matcher.op != MatchOp::Equal);
        matchers.push(Matcher::equal(name, value));
        link
    }

    fn anywhere(&self) -> Self {
        Self { matchers: Vec::new().into(), focus: "", ..self.clone() }
    }

    fn href(&self) -> String {
        let mut href = "cardinality".to_owned();
        let mut put = |name: &str, value: &str| {
            href.push(if href.contains('?') { '&' } else { '?' });
            href.push_str(name);
            href.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                    href.push(char::from(byte));
                } else {
                    // Writing to a String does not fail.
                    let _ = write!(href, "%{byte:02X}");
                }
            }
        };
        if !self.matchers.is_empty() {
            let all: Vec<String> = self.matchers.iter().map(matcher_text).collect();
            put("match", &format!("{{{}}}", all.join(",")));
        }
        if !self.focus.is_empty() {
            put("focus", self.focus);
        }
        if self.rank == Rank::Growth {
            put("by", "growth");
        }
        if let Some(limit) = self.limit {
            put("limit", &limit.to_string());
        }
        href
    }
}

#[cfg(test)]
mod tests {
    use nines_storage::Explored;

    use super::*;

    fn of(series: u64, young: u64) -> SeriesCount {
        SeriesCount { series, young }
    }

    fn page(evil: &str) -> CardinalityPage {
        let label = LabelCount {
            name: "id".to_owned(),
            count: of(5000, 2000),
            values: 5000,
            values_new: 2000,
            bytes: 0,
        };
        let explosion = Explosion {
            label: label.clone(),
            metric: Some(("requests_total".to_owned(), of(3000, 1900))),
            senders: vec![("job".to_owned(), evil.to_owned(), of(3000, 1800))],
            examples: vec![evil.to_owned()],
        };
        let counts = Explored {
            total: of(10_000, 2500),
            pairs_total: 1_234_567,
            names_total: 17,
            metrics: vec![("requests_total".to_owned(), of(4000, 1900))],
            labels_by_values: vec![label.clone()],
            pairs: vec![("a.b".to_owned(), evil.to_owned(), of(25, 0))],
            values: vec![
                ("job".to_owned(), vec![(evil.to_owned(), of(100, 100))]),
                ("id".to_owned(), vec![(evil.to_owned(), of(7, 1))]),
            ],
            ..Explored::default()
        };
        let now_ms = 100 * 60_000;
        CardinalityPage {
            tenant: evil.to_owned(),
            now_ms,
            selector: evil.to_owned(),
            focus: "id".to_owned(),
            limit: 10,
            seen: Some(Seen {
                counted: Exploring { counts, since_ms: now_ms - 3_600_000, since_start: false },
                verdict: Verdict::Explodes(vec![label]),
                explosions: vec![explosion],
            }),
            usage: Some(Usage {
                series: 10_000,
                series_max: 20_000,
                bytes: 1 << 30,
                bytes_max: 1 << 30,
            }),
            ..CardinalityPage::default()
        }
    }

    #[test]
    fn says_what_explodes_and_where_it_comes_from() {
        let html = cardinality(&page("<img src=x>"));
        assert!(!html.contains("<img"), "{html}");
        for part in [
            "explodes: 2,000 of its 5,000 values are new in the last 60 min (+66.7 %)",
            "1,900 new series",
            "Most come from job ",
            "1,234,567",
            "2,500 (+33.3 %)",
            "Values of <span class=\"mono\">id</span>",
            "<code>storage.max_series</code></td><td class=\"n\">10,000</td><td class=\"n\">20,000</td>",
            "50.0 %",
            "full in 4.0 h",
            "The limit is reached",
            "all new",
            "40.0 %",
            "by=growth",
            "href=\"cardinality?match=%7B__name__%3D%22requests_total%22%7D&amp;focus=id\"",
            "match=%7B%22a.b%22%3D%22%3Cimg%20src%3Dx%3E%22%7D",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    #[test]
    fn links_add_and_drop_conditions() {
        let mut page = page("x");
        page.focus.clear();
        page.matchers = vec![Matcher::equal("job", "a"), Matcher::equal("cluster", "b")];
        let here = Link::of(&page);
        let text = |link: Link<'_>| link.matchers.iter().map(matcher_text).collect::<Vec<_>>();
        assert_eq!(text(here.within("job", "c")), [r#"cluster="b""#, r#"job="c""#]);
        assert_eq!(text(here.without(0)), [r#"cluster="b""#]);
        assert_eq!(here.anywhere().by(Rank::Growth).href(), "cardinality?by=growth");
        assert_eq!(here.anywhere().focus("a b").href(), "cardinality?focus=a%20b");
    }

    #[test]
    fn a_tenant_that_has_nothing_has_a_page() {
        let html = cardinality(&CardinalityPage::default());
        assert!(html.contains("Nothing is stored for this tenant yet."), "{html}");
        let error = Some("1:2: parse <error>".to_owned());
        let html = cardinality(&CardinalityPage { error, ..CardinalityPage::default() });
        assert!(
            html.contains("parse &lt;error&gt;") && !html.contains("Nothing is stored"),
            "{html}"
        );
    }

    #[test]
    fn growth_is_against_what_was_there() {
        assert_eq!(growth(0, 10), "–");
        assert_eq!(growth(10, 10), "all new");
        assert_eq!(growth(5, 15), "+50.0 %");
        assert_eq!(growth(90, 99), "×11");
        assert_eq!(percent(0.0001), "<0.1 %");
        assert_eq!(left(50, 100, 0.5, 60_000), Some(120_000));
        assert_eq!(left(50, 100, 0.0, 60_000), None);
        assert_eq!(left(100, 100, 0.5, 60_000), Some(0));
    }
}
