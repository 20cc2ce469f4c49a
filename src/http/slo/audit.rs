//! `GET /audit`: what was decided, by whom and when.

use std::sync::Arc;

use axum::extract::State;
use nines_storage::query::Budget;
use serde::Serialize;

use super::asking::json_of;
use super::error::{Problem, SloResult};
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::run::run;
use crate::http::tenant::Tenant;
use crate::slo::error::Result;
use crate::slo::journal::{Entry, Journal, Kind, Recorded};
use crate::slo::report::Instant;

/// Entries of one answer when nothing is asked.
const LIMIT: usize = 1_000;
/// Entries of one answer at most.
const LIMIT_MAX: usize = 10_000;
/// Bytes of what they say, from which on no more is added to an answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// An entry as it is told. Of statements only whose they are: they have an address of their own.
#[derive(Serialize)]
struct Told {
    journal: &'static str,
    seq: u64,
    at: Instant,
    kind: Kind,
    author: String,
    payload: serde_json::Value,
}

fn told(name: &'static str, journal: &Journal, entry: &Entry) -> Result<Told> {
    let payload = match journal.recorded(entry)? {
        Recorded::Statement(_, record) => serde_json::json!({
            "sla": record.sla,
            "period": record.period,
            "summary": record.figures.summary,
            "pooled": record.figures.pooled,
            "revision": record.figures.revision,
        }),
        other => serde_json::to_value(&other).unwrap_or_default(),
    };
    let Entry { seq, at_ms, kind, author, .. } = entry;
    Ok(Told {
        journal: name,
        seq: *seq,
        at: Instant(*at_ms),
        kind: *kind,
        author: author.clone(),
        payload,
    })
}

/// How far one has read: the numbers of the last entries of the tenant's journal and of the definitions'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    tenant: u64,
    definitions: u64,
}

impl Cursor {
    /// `7.12`
    fn parse(text: &str) -> SloResult<Self> {
        let parts = text.split_once('.').map(|(a, b)| (a.parse::<u64>(), b.parse::<u64>()));
        match parts {
            Some((Ok(tenant), Ok(definitions))) => Ok(Self { tenant, definitions }),
            _ if text.is_empty() => Ok(Self::default()),
            _ => Err(Problem::Invalid(format!(
                "after {text:?} is no place in the journals: give what `next` of the answer before says"
            ))),
        }
    }
}

/// Entries of the journals of a tenant and of the definitions from a place on, in the order of their times; those of
/// one journal in the order in which they were written.
struct Journals {
    tenant: Option<Arc<Journal>>,
    definitions: Arc<Journal>,
}

/// What one answer tells.
struct Page {
    items: Vec<Told>,
    more: bool,
    next: Cursor,
}

impl Journals {
    fn page(&self, since_ms: i64, after: Cursor, limit: usize, budget: &Budget) -> Result<Page> {
        let most = limit.saturating_add(1);
        let of = |journal: &Arc<Journal>, seq| journal.behind(seq, since_ms, most).into_iter();
        let own = self.tenant.iter().flat_map(|own| of(own, after.tenant));
        let (mut own, mut defined) =
            (own.peekable(), of(&self.definitions, after.definitions).peekable());
        let mut page = Page { items: Vec::new(), more: false, next: after };
        let (mut bytes, mut held) = (0, budget.reserve(0)?);
        loop {
            let defined_first = match (own.peek(), defined.peek()) {
                (None, None) => return Ok(page),
                (Some(own), Some(defined)) => defined.at_ms <= own.at_ms,
                (own, _) => own.is_none(),
            };
            if page.items.len() >= limit || bytes >= ANSWER_BYTES_MAX {
                page.more = true;
                return Ok(page);
            }
            budget.check()?;
            let (name, journal, entry) = match (defined_first, &self.tenant) {
                (false, Some(tenant)) => ("tenant", tenant, own.next()),
                _ => ("definitions", &self.definitions, defined.next()),
            };
            let Some(entry) = entry else { return Ok(page) };
            match name {
                "tenant" => page.next.tenant = entry.seq,
                _ => page.next.definitions = entry.seq,
            }
            // While it is read there is its text, and what it says.
            let _reading = budget.reserve(2 * entry.bytes() as u64)?;
            let one = told(name, journal, &entry)?;
            let size = one.payload.to_string().len();
            held.add(size as u64)?;
            bytes += size;
            page.items.push(one);
        }
    }
}

/// `GET /audit?since=&after=&limit=`: entries after the time `since` and behind the place `after`, the oldest first.
pub(in crate::http) async fn entries(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> SloResult {
    let since = params.time_or("since", i64::MIN)?;
    let after = Cursor::parse(params.get("after"))?;
    let limit = params.limit()?.unwrap_or(LIMIT).min(LIMIT_MAX);
    app.store()?;
    let journals = Journals {
        tenant: app.slo.journal(&tenant.0)?,
        definitions: app.slo.journals()?.definitions()?,
    };
    let asked = from.asks("slo_audit", &tenant).text(params.get("after"));
    let read = move |_: &App, budget: &Budget, _| Ok(journals.page(since, after, limit, budget));
    let Page { items, more, next } = run(&app, asked, None, read).await??;
    let next = format!("{}.{}", next.tenant, next.definitions);
    Ok(json_of(&serde_json::json!({ "items": items, "more": more, "next": next })))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::Request;
    use nines_storage::Store;
    use nines_storage::disk::sim::SimDisk;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::{Config, PromDuration};
    use crate::http::{Phase, router};
    use crate::slo::journal::{Changes, JournalError};

    /// A journal with an entry at each of these times.
    fn journal(path: &str, times: &[i64]) -> Arc<Journal> {
        let journal = Journal::open(Arc::new(SimDisk::new()), Path::new(path)).unwrap();
        for at_ms in times {
            let nothing = Recorded::Changed(Changes { changes: Vec::new() });
            journal.append(*at_ms, "ada", |_| Ok::<_, JournalError>(nothing)).unwrap();
        }
        Arc::new(journal)
    }

    #[test]
    fn pages_tell_each_entry_once() {
        let journals = Journals {
            tenant: Some(journal("/d/slo/t/journal", &[5, 7, 7, 7, 9])),
            definitions: journal("/d/slo/journal", &[7, 7, 8, 6]),
        };
        let budget = Budget::unlimited();
        let all = |since, limit| {
            let (mut told, mut after) = (Vec::new(), Cursor::default());
            loop {
                let page = journals.page(since, after, limit, &budget).unwrap();
                assert!(page.items.len() <= limit);
                told.extend(page.items.iter().map(|one| (one.journal, one.seq)));
                let next = format!("{}.{}", page.next.tenant, page.next.definitions);
                after = Cursor::parse(&next).unwrap();
                if !page.more {
                    return told;
                }
            }
        };
        let (own, defined) = ("tenant", "definitions");
        let whole = [
            (own, 1),
            (defined, 1),
            (defined, 2),
            (own, 2),
            (own, 3),
            (own, 4),
            (defined, 3),
            (defined, 4),
            (own, 5),
        ];
        for limit in [1, 2, 3, 100] {
            assert_eq!(all(i64::MIN, limit), whole, "{limit}");
            assert_eq!(all(8, limit), [(own, 5)]);
        }
        for wrong in ["7", "7.", "-1.2", "a.b"] {
            assert!(Cursor::parse(wrong).is_err(), "{wrong}");
        }
    }

    fn started(config: Config, dir: &Path) -> Arc<App> {
        let store = Store::open(dir, config.store_options(), &|_| {}).unwrap();
        let app = App::new(config);
        app.slo.open_journals(dir, 1).unwrap();
        app.set_phase(Phase::Ready(Arc::new(store)));
        app
    }

    async fn status(app: Arc<App>) -> u16 {
        let asked = Request::builder().uri("/api/slo/v1/audit").body(Body::empty()).unwrap();
        router(app).oneshot(asked).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn it_waits_for_a_slot_as_queries_do() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(status(started(Config::default(), dir.path())).await, 200);
        let mut config = Config::default();
        config.query.max_concurrency = 1;
        config.query.timeout = PromDuration(Duration::from_millis(30));
        let dir = tempfile::tempdir().unwrap();
        let app = started(config, dir.path());
        let _slot = app.query_slots.clone().acquire_owned().await.unwrap();
        assert_eq!(status(Arc::clone(&app)).await, 503);
    }
}
