//! Pages as HTML. No I/O and no state: each function turns what it is given into text. Everything that came
//! from outside is escaped by `maud`; there are no scripts.

mod cardinality;
mod graph;
mod history;
mod landing;
mod layout;
mod queries;
mod report;
mod verdict;

use std::fmt::Write as _;

use nines_storage::DbStats;
use nines_storage::model::{Labels, METRIC_NAME};

use crate::senders::SenderView;

pub use cardinality::{CardinalityPage, Seen, Usage, cardinality};
pub use graph::{GraphPage, GraphRow, graph};
pub use landing::landing;
pub use queries::{ORDERS, QueriesPage, queries};
pub use report::report;
pub use verdict::{Explosion, Verdict};

/// What the front page shows.
#[derive(Debug, Clone)]
pub struct Landing {
    /// Address of this server as the browser knows it, without a slash at the end.
    pub url: String,
    /// Version of the program.
    pub version: &'static str,
    /// Now.
    pub now_ms: i64,
    /// Start of the process.
    pub started_ms: i64,
    /// Retention, as configured.
    pub retention: String,
    /// Sync mode, as configured.
    pub sync: String,
    /// Who writes.
    pub senders: Vec<SenderView>,
    /// The store.
    pub store: StorePhase,
}

/// How far the store is.
#[derive(Debug, Clone)]
pub enum StorePhase {
    /// The log is being replayed.
    Replaying {
        /// Segments read.
        done: u64,
        /// Segments in all.
        total: u64,
    },
    /// Serving.
    Ready(Vec<TenantFacts>),
    /// Stopping.
    Stopping,
}

/// The numbers of one tenant.
#[derive(Debug, Clone)]
pub struct TenantFacts {
    /// Name.
    pub tenant: String,
    /// Numbers.
    pub stats: DbStats,
}

/// `up{job="x"}`, as series are written in PromQL.
#[must_use]
pub fn series_name(labels: &Labels) -> String {
    let name = labels.metric_name();
    let plain = !name.is_empty()
        && name.bytes().enumerate().all(|(i, b)| {
            b.is_ascii_alphabetic() || b == b'_' || b == b':' || (i > 0 && b.is_ascii_digit())
        });
    let mut text = if plain { name.to_owned() } else { String::new() };
    let mut n = 0;
    for (label, value) in labels.iter().filter(|(label, _)| !(plain && *label == METRIC_NAME)) {
        // Writing to a String does not fail.
        let _ = write!(text, "{}{label}={value:?}", if n == 0 { "{" } else { ", " });
        n += 1;
    }
    if n > 0 {
        text.push('}');
    } else if text.is_empty() {
        text.push_str("{}");
    }
    text
}

/// `12.3 MiB`
fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut size = n as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1024.0 {
        let Some(next) = units.next() else { break };
        size /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") }
}

/// `1,234,567`
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `3 s`, `5 min`, `2.1 h`, `12 d`: how long something lasts.
fn span(ms: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
    let seconds = ms as f64 / 1000.0;
    let size = seconds.abs();
    if size < 10.0 {
        format!("{seconds:.1} s")
    } else if size < 120.0 {
        format!("{seconds:.0} s")
    } else if size < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if size < 172_800.0 {
        format!("{:.1} h", seconds / 3600.0)
    } else {
        format!("{:.0} d", seconds / 86_400.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(span(1500), "1.5 s");
        assert_eq!(span(600_000), "10 min");
        assert_eq!(span(86_400_000 * 30), "30 d");
    }

    #[test]
    fn series_are_written_as_in_promql() {
        let name = |pairs: &[(&str, &str)]| series_name(&Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(name(&[("__name__", "up"), ("job", "a\"b")]), r#"up{job="a\"b"}"#);
        assert_eq!(name(&[("__name__", "up")]), "up");
        assert_eq!(name(&[]), "{}");
        assert_eq!(name(&[("__name__", "a.b"), ("x", "1")]), r#"{__name__="a.b", x="1"}"#);
    }
}
