//! Parts of a window add up to the whole, to the integer, whatever happens between two answers: flushes, merges,
//! roll-ups, restarts, samples that come late or again, deletions. Both are what a plain list of the samples says.

use std::collections::BTreeMap;

use super::*;
use crate::promql::parse_selector;
use crate::slo::definition::CounterStart;
use nines_storage::model::{TimeRange, is_stale, stale_nan};
use proptest::prelude::*;

const FIVE: i64 = 5 * MINUTE;
/// How often something happens to the store and is asked afterwards.
const PHASES: usize = 4;
/// What windows are cut from, behind `T0`.
const SPAN: i64 = 3 * DAY;
const METRICS: [&str; 5] = ["bad_total", "all_total", "probe", "vstate", "inventory"];
const GROUPS: [&str; 3] = ["a", "b", "c"];
const STATES: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 5.0, 9.0];

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: i64,
    value: f64,
    /// When the counter began, as the sender tells.
    start: i64,
    /// When it comes.
    phase: usize,
    /// Comes once more, with another value.
    again: bool,
}

#[derive(Debug, Clone)]
struct Line {
    metric: usize,
    group: usize,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
enum Event {
    Flush,
    Merge,
    Roll,
    Reopen,
    Delete { group: usize, from: i64, length: i64 },
}

#[derive(Debug, Clone)]
struct Phase {
    events: Vec<Event>,
    cuts: Vec<i64>,
    /// How much later it is than in the phase before.
    later: i64,
}

fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 1..10 * MINUTE,
        3 => Just(MINUTE),
        2 => 1..3 * HOUR,
        1 => 1..30 * HOUR,
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let born = prop_oneof![2 => T0 - 12 * HOUR..T0 + 2 * DAY, 1 => Just(T0 - 40 * DAY)];
    let step = (pause(), 0u32..50, 0u32..100, (0usize..PHASES, 0u32..20));
    let head = (0..METRICS.len(), 0..GROUPS.len(), born, proptest::option::of(0..2 * HOUR));
    (head, proptest::collection::vec(step, 1..60)).prop_map(|(head, steps)| {
        let (metric, group, born, told) = head;
        let (n, mut at, mut count) = (steps.len(), born, 5u32);
        let mut start = told.map_or(0, |lead| born - lead);
        type Step = (i64, u32, u32, (usize, u32));
        let sample = |(i, (gap, grown, chance, (phase, luck))): (usize, Step)| {
            at += gap;
            if chance < 6 {
                count = grown;
                start = if told.is_some() { at - gap.min(MINUTE) } else { 0 };
            } else {
                count += grown;
            }
            let value = match (metric, chance) {
                (_, 6..9) => stale_nan(),
                (0..=2, 9..11) => f64::NAN,
                (0 | 1, _) => f64::from(count),
                (2, _) => f64::from(grown % 3),
                _ => STATES[grown as usize % STATES.len()],
            };
            let natural = i * PHASES / n;
            let phase = if luck < 3 { phase.max(natural) } else { natural };
            Sample { at, value, start, phase, again: luck == 19 }
        };
        let samples = steps.into_iter().enumerate().map(sample).collect();
        Line { metric, group, samples }
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    let delete = (0..GROUPS.len(), 0..SPAN, 1..6 * HOUR)
        .prop_map(|(group, from, length)| Event::Delete { group, from: T0 + from, length });
    let event = prop_oneof![
        3 => Just(Event::Flush),
        2 => Just(Event::Merge),
        3 => Just(Event::Roll),
        3 => Just(Event::Reopen),
        1 => delete,
    ];
    let cuts = proptest::collection::btree_set(0..SPAN, 2..6);
    (proptest::collection::vec(event, 0..4), cuts, 0..DAY).prop_map(|(events, cuts, later)| Phase {
        events,
        cuts: cuts.into_iter().map(|cut| T0 + cut).collect(),
        later,
    })
}

/// The samples of every series, by their times.
type Model = Vec<(usize, usize, BTreeMap<i64, (f64, i64)>)>;

fn open(dir: &Path) -> Bench {
    let options = StoreOptions { wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
    let store = Store::open(dir, options, &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    Bench { store, db, ledger: Ledger::new(64 << 20) }
}

/// Writes what comes in a phase, in one batch, and books it.
fn write(bench: &Bench, lines: &[Line], phase: usize, model: &mut Model) {
    let mut appender = bench.db.appender();
    for (i, (line, known)) in lines.iter().zip(model).enumerate() {
        let instance = i.to_string();
        let pairs = [
            ("__name__", METRICS[line.metric]),
            ("g", GROUPS[line.group]),
            ("instance", instance.as_str()),
        ];
        let labels = Labels::from_pairs(pairs);
        let handle = appender.resolve(bench.db.series_key(labels.as_bytes()), &labels).unwrap();
        for sample in &line.samples {
            let value = match (sample.phase == phase, sample.again && phase > sample.phase) {
                (true, _) => sample.value,
                (_, true) => sample.value + 1.0,
                _ => continue,
            };
            appender.sample(handle, sample.at, value, sample.start);
            known.2.entry(sample.at).or_insert((value, sample.start));
        }
    }
    appender.commit(NOW).unwrap();
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counters(CounterStart),
    CounterSlices,
    Probe,
    Held,
    StateSlices { inventory: bool },
}

/// What is asked: how it is counted, whether by groups, and its document.
fn questions() -> Vec<(Kind, bool, String)> {
    let mut all = Vec::new();
    for grouped in [false, true] {
        let by = if grouped { ", groupBy: [g]" } else { "" };
        for (start, word) in [
            (CounterStart::Auto, "auto"),
            (CounterStart::Zero, "zero"),
            (CounterStart::Ignore, "ignore"),
        ] {
            let source = format!("{by}, counterStart: {word}");
            let text = Ratio { source: &source, ..Ratio::default() }.to_string();
            all.push((Kind::Counters(start), grouped, text));
        }
        let source = format!("{by}, counterStart: zero, noData: bad");
        let objective = ", timeSliceWindow: 5m, timeSliceTarget: 0.95";
        let sliced = Ratio { source: &source, method: "Timeslices", objective, ..Ratio::default() };
        all.push((Kind::CounterSlices, grouped, sliced.to_string()));
        let probe = |source: &str| {
            gauge("probe", source, "{duration: 1h, isRolling: true}", "0.99")
                .replace("Timeslices", "Occurrences")
                .replace(", timeSliceWindow: 5m, timeSliceTarget: 1.0", "")
        };
        all.push((Kind::Probe, grouped, probe(by)));
        let held = format!("{by}, weighting: time, staleAfter: 2h");
        all.push((Kind::Held, grouped, probe(&held)));
        let states = ", states: {good: [1, 2], bad: [0, 6], ignore: [3, 4, 5, 7]}, noData: bad";
        for inventory in [false, true] {
            let existence = if inventory { ", existence: inventory" } else { "" };
            let source = format!("{by}{states}{existence}");
            let text = gauge("vstate", &source, "{duration: 1h, isRolling: true}", "0.99");
            all.push((Kind::StateSlices { inventory }, grouped, text));
        }
    }
    all
}

/// Bad ones, all, slices without data, first values and how many of them.
type Figures = [i128; 5];

fn whole(count: f64) -> i128 {
    assert!(count.fract() == 0.0 && count.abs() < 9e15, "{count}");
    count as i128
}

fn add(all: &mut BTreeMap<String, Figures>, group: &str, more: Figures) {
    let own = all.entry(group.to_owned()).or_default();
    own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
}

/// What the program says.
fn told(
    bench: &Bench,
    (documents, now): (&str, i64),
    (from, to): (i64, i64),
    kept: bool,
) -> BTreeMap<String, Figures> {
    let mut all = BTreeMap::new();
    bench.with(documents, now, |desk| {
        let owner = desk.owner.filter(|_| kept);
        let desk = Desk { owner, ..*desk };
        let asked = Asked { from_ms: from, to_ms: to, label: String::new() };
        for report in desk.evaluator(desk.slo("case").unwrap()).evaluate(&asked).unwrap() {
            assert!(report.exact, "{:?}", report.notes);
            let group = report.group.get("g").cloned().unwrap_or_default();
            let no_data = report.slices.as_ref().map_or(0, |slices| slices.no_data_slices);
            let firsts = report.uncounted;
            let more = [
                whole(report.bad.0),
                whole(report.total.0),
                i128::from(no_data),
                whole(firsts.first_values.0),
                i128::from(firsts.series),
            ];
            add(&mut all, &group, more);
        }
    });
    all.retain(|_, figures| *figures != Figures::default());
    all
}

/// Every step of a counter with its time; a first value that is not counted is told behind it.
fn steps(
    samples: &BTreeMap<i64, (f64, i64)>,
    counter_start: CounterStart,
) -> Vec<(i64, i128, Option<i128>)> {
    let mut before = None;
    let numbers = samples.iter().filter(|(_, (value, _))| value.is_finite());
    let step = |(at, (value, start)): (&i64, &(f64, i64))| {
        let value = whole(*value);
        let from_zero = match counter_start {
            CounterStart::Zero => true,
            CounterStart::Ignore => false,
            CounterStart::Auto => *start > 0 && *start <= *at && *at - *start <= HOUR,
        };
        match before.replace(value) {
            Some(before) if value >= before => (*at, value - before, None),
            None if !from_zero => (*at, 0, Some(value).filter(|value| *value != 0)),
            _ => (*at, value, None),
        }
    };
    numbers.map(step).collect()
}

#[derive(Default, Clone, Copy)]
struct Slot {
    samples: u32,
    expected: bool,
    part: i128,
    total: i128,
}

/// The same from the list of samples.
fn oracle(
    model: &Model,
    (kind, grouped): (Kind, bool),
    (from, to): (i64, i64),
) -> BTreeMap<String, Figures> {
    let mut all = BTreeMap::new();
    // By group and slice; of methods without slices there is none.
    let mut slots: BTreeMap<(&str, i64), Slot> = BTreeMap::new();
    let mut names: Vec<&str> = if grouped { Vec::new() } else { vec![""] };
    for (metric, group, samples) in model {
        let group = if grouped { GROUPS[*group] } else { "" };
        names.push(group);
        let inside = |at: i64| at > from && at <= to;
        let slice = |at: i64| (at - 1).div_euclid(FIVE);
        let metric = METRICS[*metric];
        let present = samples.iter().filter(|(_, (value, _))| !is_stale(*value));
        match (kind, metric) {
            (Kind::Counters(start), "bad_total" | "all_total") => {
                let is_bad = metric == "bad_total";
                for (_, events, first) in
                    steps(samples, start).into_iter().filter(|step| inside(step.0))
                {
                    let (bad, total) = if is_bad { (events, 0) } else { (0, events) };
                    let first_series = i128::from(first.is_some());
                    add(&mut all, group, [bad, total, 0, first.unwrap_or(0), first_series]);
                }
            }
            (Kind::CounterSlices, "bad_total" | "all_total") => {
                for (at, events, _) in steps(samples, CounterStart::Zero) {
                    let slot = slots.entry((group, slice(at))).or_default();
                    if metric == "bad_total" {
                        slot.part += events;
                    } else {
                        slot.total += events;
                        slot.samples += 1;
                    }
                }
            }
            (Kind::Probe, "probe") => {
                for (_, (value, _)) in present.filter(|(at, _)| inside(**at)) {
                    let is_good = *value >= 1.0;
                    add(&mut all, group, [i128::from(!is_good), 1, 0, 0, 0]);
                }
            }
            (Kind::Held, "probe") => {
                let ends = samples.keys().skip(1).copied().chain([i64::MAX]);
                for ((at, (value, _)), next) in samples.iter().zip(ends) {
                    let until = next.min(at + 2 * HOUR).min(to);
                    let time = i128::from((until - from.max(*at)).max(0));
                    if !is_stale(*value) {
                        let is_good = *value >= 1.0;
                        add(&mut all, group, [if is_good { 0 } else { time }, time, 0, 0, 0]);
                    }
                }
            }
            (Kind::StateSlices { .. }, "vstate") => {
                for (at, (value, _)) in present {
                    let slot = slots.entry((group, slice(*at))).or_default();
                    slot.samples += 1;
                    let is_ignored = [3.0, 4.0, 5.0, 7.0].contains(value);
                    let is_good = [1.0, 2.0].contains(value);
                    slot.total += i128::from(!is_ignored);
                    slot.part += i128::from(!is_ignored && !is_good);
                }
            }
            (Kind::StateSlices { inventory: true }, "inventory") => {
                for (at, _) in present {
                    slots.entry((group, slice(*at))).or_default().expected = true;
                }
            }
            _ => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    let is_states = matches!(kind, Kind::StateSlices { .. });
    if !is_states && !matches!(kind, Kind::CounterSlices) {
        return all;
    }
    let target = if is_states { 100 } else { 95 };
    for name in names {
        let slot = |at: i64| slots.get(&(name, at)).copied().unwrap_or_default();
        for at in from.div_euclid(FIVE)..to.div_euclid(FIVE) {
            let own = slot(at);
            let figures = if own.samples == 0 {
                let expected = match kind {
                    Kind::StateSlices { inventory: true } => own.expected,
                    _ => !grouped || slot(at - 1).samples > 0,
                };
                if !expected {
                    continue;
                }
                [1, 1, 1, 0, 0]
            } else if own.total == 0 {
                [0, i128::from(!is_states), 0, 0, 0]
            } else {
                let is_good = 100 * (own.total - own.part) >= target * own.total;
                [i128::from(!is_good), 1, 0, 0, 0]
            };
            add(&mut all, name, figures);
        }
    }
    all
}

/// A window and its parts, of every question.
fn check(bench: &Bench, model: &Model, cuts: &[i64], now: i64) {
    for (kind, grouped, documents) in questions() {
        let sliced = matches!(kind, Kind::CounterSlices | Kind::StateSlices { .. });
        let round = |at: i64| if sliced { at.div_euclid(FIVE) * FIVE } else { at };
        let cuts: Vec<i64> = cuts.iter().copied().map(round).collect();
        let (Some(&first), Some(&last)) = (cuts.first(), cuts.last()) else { continue };
        let ask = |from, to, kept| told(bench, (&documents, now), (from, to), kept);
        let all = ask(first, last, true);
        assert_eq!(all, ask(first, last, false), "kept and counted anew: {documents}");
        let mut sum = BTreeMap::new();
        for part in cuts.windows(2) {
            for (group, figures) in ask(part[0], part[1], true) {
                add(&mut sum, &group, figures);
            }
        }
        assert_eq!(sum, all, "the parts {cuts:?} and the whole, now {now}: {documents}");
        let mut wanted = oracle(model, (kind, grouped), (first, round(last.min(now)).max(first)));
        wanted.retain(|_, figures| *figures != Figures::default());
        assert_eq!(all, wanted, "from {first} to {last}, now {now}: {documents}");
    }
}

fn cases() -> u32 {
    let told = std::env::var("PROPTEST_CASES").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_add_up_whatever_happens_to_the_store(
        lines in proptest::collection::vec(line(), 1..9),
        phases in proptest::collection::vec(phase(), PHASES),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = open(dir.path());
        let mut model: Model =
            lines.iter().map(|line| (line.metric, line.group, BTreeMap::new())).collect();
        let mut now = T0 + DAY;
        for (number, phase) in phases.iter().enumerate() {
            now = if number + 1 == PHASES { NOW } else { now + phase.later };
            write(&bench, &lines, number, &mut model);
            check(&bench, &model, &phase.cuts, now);
            for event in &phase.events {
                match event {
                    Event::Flush => bench.db.flush_before_import(NOW).unwrap(),
                    Event::Merge => bench.db.compact_all(NOW).unwrap(),
                    Event::Roll => bench.db.roll_all(NOW).unwrap(),
                    Event::Reopen => {
                        drop(bench);
                        bench = open(dir.path());
                    }
                    Event::Delete { group, from, length } => {
                        let range = TimeRange::new(*from, from + length);
                        let matchers =
                            parse_selector(&format!("{{g=\"{}\"}}", GROUPS[*group])).unwrap();
                        bench.db.delete(&[matchers], range).unwrap();
                        for (_, own, samples) in &mut model {
                            samples.retain(|at, _| own != group || !(range.min..=range.max).contains(at));
                        }
                    }
                }
            }
            if !phase.events.is_empty() {
                check(&bench, &model, &phase.cuts, now);
            }
        }
    }
}
