//! `/api/v1/status/tsdb`: Prometheus's lists of what takes the most series, the parameters and keys by which
//! VictoriaMetrics's explorer asks for parts of them, and beside both what is new.

use std::sync::Arc;

use axum::extract::State;
use nines_storage::model::Matcher;
use nines_storage::query::Budget;
use nines_storage::{Db, DbStats, Explore, Explored, Exploring, LabelCount, Rank, SeriesCount};
use serde_json::{Map, Value as Json, json};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::run::run;
use super::status::data;
use super::tenant::Tenant;
use super::time::parse_duration_ns;
use crate::clock::{format_rfc3339, now_ms};

/// Length of the lists, and the longest that may be asked for.
const TOP_DEFAULT: usize = 10;
const TOP_MAX: usize = 10_000;

/// Age below which a series is new, unless another is asked for.
pub(super) const SINCE_DEFAULT_MS: i64 = 3_600_000;

/// Labels that say who sends, and how their lists are called.
const SENDERS: [(&str, &str, &str); 3] = [
    ("job", "seriesCountByJob", "newSeriesCountByJob"),
    ("cluster", "seriesCountByCluster", "newSeriesCountByCluster"),
    ("prometheus", "seriesCountByPrometheus", "newSeriesCountByPrometheus"),
];

/// The labels that say who sends.
pub(super) fn senders() -> Vec<String> {
    SENDERS.iter().map(|(label, ..)| (*label).to_owned()).collect()
}

/// A positive number of entries.
pub(super) fn list_length(params: &Params, name: &str) -> ApiResult<Option<usize>> {
    match params.get(name) {
        "" => Ok(None),
        text => match text.parse::<usize>() {
            Ok(n) if n > 0 => Ok(Some(n.min(TOP_MAX))),
            _ => Err(ApiError::bad_data(format!("{name} must be a positive number"))),
        },
    }
}

/// What a request asks for.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    focus: String,
    age_ms: i64,
    limit: usize,
}

impl Asked {
    fn of(params: &Params) -> ApiResult<Self> {
        let limit = list_length(params, "limit")?;
        let limit = limit.or(list_length(params, "topN")?).unwrap_or(TOP_DEFAULT);
        let age_ms = match params.get("since") {
            "" => SINCE_DEFAULT_MS,
            text => {
                let ns = parse_duration_ns(text)
                    .map_err(|why| ApiError::invalid_param("since", &why))?;
                (ns / 1_000_000).max(0)
            }
        };
        let sets = params.matcher_sets().map_err(|why| ApiError::invalid_param("match[]", &why))?;
        Ok(Self { sets, focus: params.get("focusLabel").to_owned(), age_ms, limit })
    }

    /// Counts by size, then by growth.
    fn explore(&self, db: &Db, now_ms: i64, budget: &Budget) -> ApiResult<[Exploring; 2]> {
        let mut values_of = senders();
        values_of.push(self.focus.clone());
        let by_size = Explore {
            sets: &self.sets,
            since_ms: now_ms.saturating_sub(self.age_ms),
            values_of: &values_of,
            rank: Rank::Size,
            bytes: true,
            limit: self.limit,
        };
        let by_growth = Explore { rank: Rank::Growth, bytes: false, ..by_size };
        Ok([db.explore(&by_size, now_ms, budget)?, db.explore(&by_growth, now_ms, budget)?])
    }
}

/// `/api/v1/status/tsdb`
pub(super) async fn tsdb(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    let asked = Asked::of(&params)?;
    let db = app.existing_db(&tenant.0)?;
    let body =
        run(&app, from.asks_series("tsdb", &tenant, &params), None, move |app, budget, _| {
            let now = now_ms();
            let (stats, seen) = match db {
                Some(db) => (db.stats(), asked.explore(&db, now, budget)?),
                None => (DbStats::default(), [nothing(now), nothing(now)]),
            };
            Ok(tsdb_json(&stats, &seen, !asked.focus.is_empty(), app.config.storage.max_series))
        })
        .await?;
    data(&body)
}

/// What is seen of a tenant that has nothing.
fn nothing(now_ms: i64) -> Exploring {
    let values = senders().into_iter().map(|name| (name, Vec::new())).collect();
    let counts = Explored { values, ..Explored::default() };
    Exploring { counts, since_ms: now_ms, since_start: true }
}

fn entry(name: &str, value: u64) -> Json {
    json!({"name": name, "value": value})
}

fn tsdb_json(
    stats: &DbStats,
    [size, growth]: &[Exploring; 2],
    with_focus: bool,
    series_max: u64,
) -> Json {
    let (all, new) = (&size.counts, &growth.counts);
    let series = |list: &[(String, SeriesCount)]| -> Json {
        list.iter().map(|(name, count)| entry(name, count.series)).collect()
    };
    let young = |list: &[(String, SeriesCount)]| -> Json {
        list.iter().map(|(name, count)| entry(name, count.young)).collect()
    };
    let labels = |list: &[LabelCount], value: fn(&LabelCount) -> u64| -> Json {
        list.iter().map(|label| entry(&label.name, value(label))).collect()
    };
    let pairs = |explored: &Explored, value: fn(&SeriesCount) -> u64| -> Json {
        let pair = |(name, text, count): &(String, String, SeriesCount)| {
            entry(&format!("{name}={text}"), value(count))
        };
        explored.pairs.iter().map(pair).collect()
    };
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    put(
        "headStats",
        json!({
            "numSeries": stats.head_series,
            "numLabelPairs": all.pairs_total,
            "chunkCount": stats.head_chunks,
            "minTime": stats.head_min_ts.unwrap_or(i64::MAX),
            "maxTime": stats.head_max_ts.unwrap_or(i64::MIN),
        }),
    );
    put("seriesCountByMetricName", series(&all.metrics));
    put("labelValueCountByLabelName", labels(&all.labels_by_values, |label| label.values));
    put("memoryInBytesByLabelName", labels(&all.labels_by_bytes, |label| label.bytes));
    put("seriesCountByLabelValuePair", pairs(all, |count| count.series));

    put("totalSeries", json!(all.total.series));
    put("totalLabelValuePairs", json!(all.labels_total));
    put("seriesCountByLabelName", labels(&all.labels_by_series, |label| label.count.series));
    if with_focus && let Some((_, values)) = all.values.last() {
        put("seriesCountByFocusLabelValue", series(values));
    }

    put("maxSeries", json!(series_max));
    put("newSince", json!(format_rfc3339(growth.since_ms)));
    put("newSinceStart", json!(growth.since_start));
    put("totalNewSeries", json!(new.total.young));
    put("totalNewPairs", json!(new.pairs_new));
    put("newSeriesCountByMetricName", young(&new.metrics));
    put("newLabelValueCountByLabelName", labels(&new.labels_by_values, |label| label.values_new));
    put("newSeriesCountByLabelValuePair", pairs(new, |count| count.young));
    for (i, (_, sized, grown)) in SENDERS.iter().enumerate() {
        let list = |explored: &Explored| explored.values.get(i).map(|entry| entry.1.clone());
        put(sized, series(&list(all).unwrap_or_default()));
        put(grown, young(&list(new).unwrap_or_default()));
    }
    if with_focus && let Some((_, values)) = new.values.last() {
        put("newSeriesCountByFocusLabelValue", young(values));
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_its_name() {
        let count = |series, young| SeriesCount { series, young };
        let label = LabelCount {
            name: "id".to_owned(),
            count: count(9, 4),
            values: 7,
            values_new: 3,
            bytes: 70,
        };
        let counts = |n: u64| Explored {
            total: count(10, 4),
            labels_total: 30,
            pairs_total: 11,
            pairs_new: 5,
            metrics: vec![("up".to_owned(), count(10, n))],
            labels_by_values: vec![label.clone()],
            labels_by_series: vec![label.clone()],
            labels_by_bytes: vec![label.clone()],
            pairs: vec![("id".to_owned(), "a".to_owned(), count(6, n))],
            values: ["job", "cluster", "prometheus", "id"]
                .map(|name| (name.to_owned(), vec![(format!("a-{name}"), count(8, n))]))
                .to_vec(),
            ..Explored::default()
        };
        let seen = |n| Exploring { counts: counts(n), since_ms: 60_000, since_start: true };
        let stats = DbStats { head_series: 12, ..DbStats::default() };
        let json = tsdb_json(&stats, &[seen(0), seen(2)], true, 99);
        let one = |name: &str, value: u64| json!([{"name": name, "value": value}]);
        for (key, value) in [
            ("seriesCountByMetricName", one("up", 10)),
            ("labelValueCountByLabelName", one("id", 7)),
            ("memoryInBytesByLabelName", one("id", 70)),
            ("seriesCountByLabelValuePair", one("id=a", 6)),
            ("seriesCountByLabelName", one("id", 9)),
            ("seriesCountByFocusLabelValue", one("a-id", 8)),
            ("totalSeries", json!(10)),
            ("totalLabelValuePairs", json!(30)),
            ("maxSeries", json!(99)),
            ("newSince", json!("1970-01-01T00:01:00Z")),
            ("newSinceStart", json!(true)),
            ("totalNewSeries", json!(4)),
            ("totalNewPairs", json!(5)),
            ("newSeriesCountByMetricName", one("up", 2)),
            ("newLabelValueCountByLabelName", one("id", 3)),
            ("newSeriesCountByLabelValuePair", one("id=a", 2)),
            ("newSeriesCountByFocusLabelValue", one("a-id", 2)),
            ("seriesCountByJob", one("a-job", 8)),
            ("newSeriesCountByCluster", one("a-cluster", 2)),
            ("seriesCountByPrometheus", one("a-prometheus", 8)),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        assert_eq!(json["headStats"]["numSeries"], 12);
        assert_eq!(json["headStats"]["numLabelPairs"], 11);
        let json = tsdb_json(&stats, &[seen(0), seen(2)], false, 99);
        assert_eq!(json["seriesCountByFocusLabelValue"], Json::Null);
    }
}
