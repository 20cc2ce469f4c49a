//! What ends a query early, what it counts, and the settings of the engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nines::promql::{Engine, EngineOptions, QueryError, QueryOptions, QueryResult, Value, parse};
use nines_storage::model::Labels;
use nines_storage::query::{Budget, BudgetLimits};

use crate::memory::{Memory, Sample};

const MINUTE: i64 = 60_000;

fn memory(n_series: usize, n_samples: i64) -> Memory {
    let mut memory = Memory::default();
    for i in 0..n_series {
        let i = i.to_string();
        let labels = Labels::from_pairs([("__name__", "m"), ("i", i.as_str())]);
        for s in 0..n_samples {
            memory.add(&labels, s * MINUTE, Sample::Float(s as f64));
        }
    }
    memory
}

fn limits() -> BudgetLimits {
    BudgetLimits {
        samples_max: 1 << 40,
        series_max: 1 << 40,
        bytes_max: 1 << 40,
        timeout: Duration::from_secs(600),
    }
}

fn budget(limits: BudgetLimits, canceled: bool) -> Budget {
    Budget::new(limits, Arc::new(AtomicBool::new(canceled)))
}

fn range(
    memory: &Memory,
    query: &str,
    n_steps: i64,
    budget: &Budget,
) -> Result<QueryResult, QueryError> {
    let expr = parse(query).unwrap();
    let end = (n_steps - 1) * MINUTE;
    Engine::default().range(memory, &expr, query, 0, end, MINUTE, &QueryOptions::default(), budget)
}

#[test]
fn a_query_that_was_canceled_or_is_late_ends() {
    let memory = memory(3, 10);
    let canceled = range(&memory, "m", 10, &budget(limits(), true)).unwrap_err();
    assert!(matches!(canceled, QueryError::Canceled), "{canceled:?}");
    assert_eq!(canceled.to_string(), "query was canceled in expression evaluation");
    let late = range(
        &memory,
        "m",
        10,
        &budget(BudgetLimits { timeout: Duration::ZERO, ..limits() }, false),
    )
    .unwrap_err();
    assert!(matches!(late, QueryError::Timeout), "{late:?}");
    assert_eq!(late.to_string(), "query timed out in expression evaluation");
}

#[test]
fn a_deadline_ends_long_work_soon() {
    let memory = memory(400, 300);
    let timeout = Duration::from_millis(50);
    let queries = [
        "sum(quantile_over_time(0.5, m[4h]))",
        "topk(3, m * on() group_left sum(m))",
        "sum_over_time(quantile(0.3, m)[4h:1s])",
        "count(m + on(i) m or m unless on(i) m)",
        "sum_over_time(sum_over_time(sum_over_time(m[30m:1s])[30m:1s])[30m:1s])",
        "stddev_over_time(stddev_over_time(m[30m:1s])[30m:1s])",
        "mad_over_time(quantile_over_time(0.3, m[30m:1s])[30m:1s])",
    ];
    for query in queries {
        let began = Instant::now();
        for _ in 0..1000 {
            let limits =
                BudgetLimits { timeout: timeout.saturating_sub(began.elapsed()), ..limits() };
            if range(&memory, query, 300, &budget(limits, false)).is_err() {
                break;
            }
        }
        let took = began.elapsed();
        assert!(took < timeout + Duration::from_millis(800), "{query} ended after {took:?}");
    }
}

#[test]
fn samples_held_are_limited_and_given_back() {
    let memory = memory(20, 100);
    let limits = BudgetLimits { samples_max: 1500, ..limits() };
    let error = range(&memory, "m", 100, &budget(limits, false)).unwrap_err();
    assert!(matches!(error, QueryError::TooManySamples), "{error:?}");
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    // A sum holds one series at a time.
    let budget = budget(limits, false);
    for _ in 0..50 {
        range(&memory, "sum(m) + sum(rate(m[5m]))", 100, &budget).unwrap();
    }
}

#[test]
fn series_of_a_selector_are_limited() {
    let limits = BudgetLimits { series_max: 5, ..limits() };
    let error = range(&memory(6, 2), "m", 2, &budget(limits, false)).unwrap_err();
    assert!(matches!(error, QueryError::Storage(_)), "{error:?}");
    range(&memory(5, 2), "m", 2, &budget(limits, false)).unwrap();
}

#[test]
fn samples_touched_are_counted_at_every_step() {
    let memory = memory(2, 100);
    let total =
        |query: &str| range(&memory, query, 10, &Budget::unlimited()).unwrap().stats.samples_total;
    assert_eq!(total("m"), 20);
    assert_eq!(total("sum(m)"), 20);
    assert_eq!(total("m @ 300"), 20);
    assert_eq!(total("count_over_time(m[2m])"), 2 * (1 + 2 * 9));
    assert_eq!(total("1 + 1"), 0);
    // The results of a subquery count, not what they are made of.
    assert_eq!(total("count_over_time(rate(m[5m])[2m:1m])"), 2 * (1 + 2 * 8));
    assert_eq!(total("count_over_time(m[2m] @ 300)"), 2 * 2 * 10);
    let stats = range(&memory, "m + m", 10, &Budget::unlimited()).unwrap().stats;
    assert!(stats.samples_peak >= 40, "{stats:?}");
    assert_eq!(stats.samples_read, 40);
}

#[test]
fn samples_are_counted_step_by_step_on_demand() {
    let memory = memory(2, 3);
    let count = |query: &str| {
        let expr = parse(query).unwrap();
        let options = QueryOptions { per_step: true, ..QueryOptions::default() };
        let budget = Budget::unlimited();
        let end = 9 * MINUTE;
        let stats = Engine::default()
            .range(&memory, &expr, query, 0, end, 3 * MINUTE, &options, &budget)
            .unwrap()
            .stats;
        let steps = stats.samples_per_step.unwrap();
        assert!(steps.iter().map(|step| step.0).eq((0..4).map(|i| i * 3 * MINUTE)), "{steps:?}");
        let counts: Vec<u64> = steps.iter().map(|step| step.1).collect();
        assert_eq!(stats.samples_total, counts.iter().sum::<u64>(), "{query}");
        assert_eq!(budget.usage().samples_touched, stats.samples_total, "{query}");
        counts
    };
    assert_eq!(count("m"), [2, 2, 2, 0]);
    assert_eq!(count("sum(m) + sum(m)"), [4, 4, 4, 0]);
    assert_eq!(count("rate(m[4m])"), [2, 6, 0, 0]);
    assert_eq!(count("max_over_time(m[4m])"), [2, 6, 0, 0]);
    assert_eq!(count("max_over_time(m[4m] @ 60)"), [4; 4]);
    assert_eq!(count("sum(m @ 60)"), [2; 4]);
    assert_eq!(count("max_over_time(m[4m:2m])"), [2, 4, 4, 2]);
    assert_eq!(count("absent_over_time(m[2m])"), [2, 2, 0, 0]);
    assert_eq!(count("time()"), [0; 4]);
    let stats = range(&memory, "m", 2, &Budget::unlimited()).unwrap().stats;
    assert_eq!(stats.samples_per_step, None);
}

#[test]
fn the_lookback_can_be_set_per_query() {
    let memory = memory(1, 1);
    let expr = parse("m").unwrap();
    let n = |lookback_ms: Option<i64>| {
        let options = QueryOptions { lookback_ms, ..QueryOptions::default() };
        let result = Engine::default().instant(
            &memory,
            &expr,
            "m",
            10 * MINUTE,
            &options,
            &Budget::unlimited(),
        );
        let Value::Vector(vector) = result.unwrap().value else { panic!("no vector") };
        vector.len()
    };
    assert_eq!((n(None), n(Some(11 * MINUTE)), n(Some(10 * MINUTE))), (0, 1, 0));
}

#[test]
fn names_may_be_dropped_at_once() {
    let mut memory = Memory::default();
    for name in ["a", "b"] {
        memory.add(&Labels::from_pairs([("__name__", name), ("x", "1")]), 0, Sample::Float(1.0));
    }
    let engine =
        Engine::new(EngineOptions { delayed_name_removal: false, ..EngineOptions::default() });
    let ask = |query: &str| {
        engine.instant(
            &memory,
            &parse(query).unwrap(),
            query,
            0,
            &QueryOptions::default(),
            &Budget::unlimited(),
        )
    };
    let Value::Vector(vector) = ask("sum by (__name__) (abs(a))").unwrap().value else {
        panic!("no vector")
    };
    assert_eq!(vector.len(), 1);
    assert!(vector[0].labels.is_empty());
    // With names gone the two are one already inside.
    let error = ask("sum(abs({x=\"1\"}))").unwrap_err();
    assert_eq!(error.to_string(), "vector cannot contain metrics with the same labelset");
    assert_eq!(ask("a > bool 0").unwrap().warnings, Vec::<String>::new());
}

#[test]
fn infos_and_warnings_carry_their_places() {
    let memory = memory(1, 10);
    let result = range(&memory, "1 +\n  rate(m[5m])", 5, &Budget::unlimited()).unwrap();
    assert_eq!(
        result.infos,
        [
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (2:8)"
        ]
    );
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut memory = Memory::default();
    for i in 0..700_u32 {
        let (i_text, g) = (i.to_string(), (i % 7).to_string());
        let labels = Labels::from_pairs([
            ("__name__", "m_total"),
            ("i", i_text.as_str()),
            ("g", g.as_str()),
        ]);
        for s in 0..40 {
            let value = f64::from(i) * 1e9 + (s as f64).sin() / 3.0;
            memory.add(&labels, s * 7_000, Sample::Float(value));
        }
    }
    let ask = |query: &str, threads_max: usize| {
        let engine = Engine::new(EngineOptions { threads_max, ..EngineOptions::default() });
        let expr = parse(query).unwrap();
        let (options, budget) = (QueryOptions::default(), Budget::unlimited());
        let mut result =
            engine.range(&memory, &expr, query, 0, 300_000, 500, &options, &budget).unwrap();
        result.stats.prepare_s = 0.0;
        result.stats.eval_s = 0.0;
        result.stats.sort_s = 0.0;
        result.stats.samples_peak = 0;
        result
    };
    for query in [
        "sum by (g) (rate(m_total[1m]))",
        "avg(m_total)",
        "topk(3, m_total)",
        "sum(max_over_time(m_total[1m]))",
    ] {
        assert_eq!(ask(query, 1), ask(query, 4), "{query}");
    }
}

#[test]
fn threads_end_with_the_query() {
    let memory = memory(3000, 100);
    let limits = BudgetLimits { samples_max: 20_000, ..limits() };
    let error = range(&memory, "m", 100, &budget(limits, false)).unwrap_err();
    assert!(matches!(error, QueryError::TooManySamples), "{error:?}");
}

#[test]
fn the_deepest_query_fits_a_small_stack() {
    let n = nines::promql::DEPTH_MAX - 4;
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let queries = [
        nested("abs(", "m", ")"),
        nested("(", "m", ")"),
        format!("{}m", "-".repeat(n)),
        nested("sum(", "m", ")"),
        format!("m{}", " or m".repeat(n)),
        format!("m{}", " * m".repeat(n)),
        format!("1{}", " + 1".repeat(n)),
        format!("{}m{}", "max_over_time(".repeat(n / 2), "[1m:1m])".repeat(n / 2)),
        nested("label_replace(", "m", r#", "a", "", "a", "")"#),
    ];
    let memory = memory(1, 3);
    let run = || {
        for query in &queries {
            range(&memory, query, 3, &Budget::unlimited()).unwrap();
        }
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn_scoped(scope, run)
            .unwrap()
            .join()
            .unwrap();
    });
}

#[test]
fn absurd_times_are_refused_or_empty() {
    let memory = memory(1, 3);
    let limits = BudgetLimits { samples_max: 50_000_000, ..limits() };
    for query in ["max_over_time(m[100y:1ms])", "sum_over_time(m[290y:1s])"] {
        let error = range(&memory, query, 3, &budget(limits, false)).unwrap_err();
        assert!(matches!(error, QueryError::TooManySamples), "{query}: {error:?}");
    }
    for query in
        ["m @ 9000000000000", "m offset 290y", "m offset -290y", "rate(m[290y] @ -9000000000000)"]
    {
        range(&memory, query, 3, &budget(limits, false)).unwrap();
    }
}
