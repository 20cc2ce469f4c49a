//! A year of samples, the same at each run: made up by whole numbers and single operations, so that no machine rounds
//! them otherwise.

use nines_storage::disk::sim::SimRng;
use nines_storage::model::stale_nan;

pub const SECOND_MS: i64 = 1_000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight of 2024-01-01, the first of 366 days.
pub const START_MS: i64 = 1_704_067_200_000;
/// Midnight of 2025-01-01.
pub const END_MS: i64 = START_MS + 366 * DAY_MS;

/// Values of the label `kind`, one series each.
pub const KINDS: [&str; 16] = [
    "back", "counter", "decimal", "dense", "gauge", "infinite", "late", "minute", "mixed",
    "quarter", "saw", "second", "short", "sparse", "still", "storm",
];
/// Those with samples of every interval from a second to five minutes.
const DENSE: [&str; 2] = ["dense", "mixed"];

/// A kind, a time and a value.
pub type Sample = (&'static str, i64, f64);

/// Labels of a kind, in order.
pub const fn labels(kind: &str) -> [(&str, &str); 4] {
    [("__name__", "m_total"), ("instance", "a:1"), ("job", "a"), ("kind", kind)]
}

/// What is known in time, and what comes once its days are rolled up. Both ascend in time.
pub struct Year {
    pub known: Vec<Sample>,
    pub late: Vec<Sample>,
}

/// Beginning of a day, counted from 0.
pub const fn day(n: i64) -> i64 {
    START_MS + n * DAY_MS
}

/// Times at which nothing was scraped: beginnings and ends.
const OUTAGES: [(i64, i64); 4] = [
    (day(40) + 5 * HOUR_MS, day(40) + 8 * HOUR_MS),
    (day(190) + 6 * HOUR_MS, day(192) + 18 * HOUR_MS),
    (day(300), day(301)),
    (day(352) + 23 * HOUR_MS, day(353) + HOUR_MS),
];

/// Times of scrapes: `interval_ms` apart, some late by some milliseconds, now and then exactly on the hour.
fn scrapes(rng: &mut SimRng, from_ms: i64, to_ms: i64, interval_ms: i64) -> Vec<i64> {
    let mut times = Vec::new();
    let mut next = from_ms + rng.below(interval_ms.cast_unsigned()).cast_signed();
    while next < to_ms {
        let at = if rng.chance(20) { next + rng.below(40).cast_signed() } else { next };
        let hour = at / HOUR_MS * HOUR_MS;
        let to_hour = hour > next - interval_ms && rng.chance(70);
        let at = if to_hour { hour } else { at };
        let is_out = OUTAGES.iter().any(|(from, to)| *from < at && at <= *to);
        if !is_out && times.last().is_none_or(|last| *last < at) {
            times.push(at);
        }
        next += interval_ms;
    }
    times
}

/// Ends every run of samples before an outage by a stale marker, most of them.
fn mark_ends(samples: &mut Vec<Sample>) {
    for (n, (from, _)) in OUTAGES.iter().enumerate().filter(|(n, _)| *n != 2) {
        let end = samples.partition_point(|sample| sample.1 <= *from);
        if let Some(last) = end.checked_sub(1).and_then(|at| samples.get(at)).copied() {
            samples.insert(end, (last.0, last.1 + 1 + n as i64, stale_nan()));
        }
    }
}

/// A counter that is reset `permille` times in a thousand, its steps divided by `divisor`.
fn counter(
    kind: &'static str,
    times: &[i64],
    rng: &mut SimRng,
    permille: u64,
    divisor: f64,
) -> Vec<Sample> {
    let mut total = 0u64;
    let mut base = 0.0;
    let all = times.iter().map(|ts| {
        if rng.below(1000) < permille {
            total = 0;
            base = rng.below(3) as f64 / divisor;
        }
        // Now and then nothing happens.
        total += if rng.chance(30) { 0 } else { rng.below(500) };
        (kind, *ts, base + total as f64 / divisor)
    });
    all.collect()
}

fn gauge(times: &[i64], rng: &mut SimRng) -> Vec<Sample> {
    let value = |rng: &mut SimRng| match rng.below(40) {
        0 => f64::NAN,
        1 | 2 => -0.0,
        3 | 4 => 0.0,
        5 => stale_nan(),
        6..10 => rng.below(90) as f64 - 45.0,
        10 => rng.below(1000) as f64 * 1e9,
        _ => rng.below(200_000) as f64 / 7.0 - 10_000.0,
    };
    times.iter().map(|ts| ("gauge", *ts, value(rng))).collect()
}

fn infinite(times: &[i64], rng: &mut SimRng) -> Vec<Sample> {
    let value = |ts: i64, rng: &mut SimRng| match rng.below(60) {
        0 => f64::INFINITY,
        // Infinities of one sign for half a year.
        1 if ts > day(180) => f64::NEG_INFINITY,
        2 | 3 => 1.7e308,
        4 => -1.7e308,
        5 => f64::from_bits(1 + rng.below(9)),
        _ => rng.below(1000) as f64 / 3.0,
    };
    times.iter().map(|ts| ("infinite", *ts, value(*ts, rng))).collect()
}

/// Ten lives of nine hours each, every one of them ended by a stale marker and counted from 0.
fn short(rng: &mut SimRng) -> Vec<Sample> {
    let mut all = Vec::new();
    for life in 0..10 {
        let from = day(80) + life * 10 * HOUR_MS + 17 * MINUTE_MS;
        let times = scrapes(rng, from, from + 9 * HOUR_MS, 5 * MINUTE_MS);
        all.extend(times.iter().enumerate().map(|(n, ts)| ("short", *ts, (n as f64) * 3.0)));
        all.push(("short", from + 9 * HOUR_MS + 41, stale_nan()));
    }
    all
}

fn series(kind: &'static str, rng: &mut SimRng) -> Vec<Sample> {
    let mut times = |from: i64, to: i64, interval: i64| scrapes(rng, day(from), day(to), interval);
    let mut samples = match kind {
        "counter" => {
            let parts = [(0, 60, 20), (60, 130, 5), (130, 320, 20), (320, 366, 5)];
            let all = parts.map(|(from, to, minutes)| times(from, to, minutes * MINUTE_MS));
            counter(kind, &all.concat(), rng, 4, 1.0)
        }
        // Resets by the dozen in an hour for two days, and none for weeks.
        "decimal" => {
            let mut all = Vec::new();
            for (from, to, minutes, permille) in [
                (0, 60, 30, 2),
                (60, 90, 5, 20),
                (90, 92, 1, 120),
                (92, 340, 30, 0),
                (340, 366, 5, 10),
            ] {
                let times = scrapes(rng, day(from), day(to), minutes * MINUTE_MS);
                all.extend(counter(kind, &times, rng, permille, 7.0));
            }
            all
        }
        "gauge" => gauge(&times(0, 366, 20 * MINUTE_MS), rng),
        "infinite" => infinite(&times(0, 366, 90 * MINUTE_MS), rng),
        "minute" => counter(kind, &times(332, 340, MINUTE_MS), rng, 6, 3.0),
        "quarter" => counter(kind, &times(150, 152, 15 * SECOND_MS), rng, 3, 1e3),
        // Every third sample is a reset.
        "saw" => {
            let times = times(200, 230, 5 * MINUTE_MS);
            times.iter().enumerate().map(|(n, ts)| (kind, *ts, (n % 3) as f64 * 1.1)).collect()
        }
        // Around the midnight that ends February.
        "second" => {
            let (from, to) = (day(60) - 90 * MINUTE_MS, day(60) + 90 * MINUTE_MS);
            counter(kind, &scrapes(rng, from, to, SECOND_MS), rng, 2, 10.0)
        }
        "short" => short(rng),
        "sparse" => {
            let times = times(0, 366, 5 * HOUR_MS + 7 * MINUTE_MS);
            times.iter().enumerate().map(|(n, ts)| (kind, *ts, n as f64 * 5.0)).collect()
        }
        "still" => times(20, 200, HOUR_MS).iter().map(|ts| (kind, *ts, 42.1)).collect(),
        "storm" => {
            let times = times(250, 252, MINUTE_MS);
            times
                .iter()
                .enumerate()
                .map(|(n, ts)| (kind, *ts, 0.7 + (n % 2) as f64 / 3.0))
                .collect()
        }
        // Nothing of it is known in time.
        "late" => counter(kind, &times(220, 223, 10 * MINUTE_MS), rng, 30, 1.0),
        // A counter that goes back by a little, as one that was not read atomically.
        "back" => {
            let times = times(100, 130, 15 * MINUTE_MS);
            let value = |n: usize| (n * 1000 + 9000 - n % 7 * 1200) as f64 / 9.0;
            times.iter().enumerate().map(|(n, ts)| (kind, *ts, value(n))).collect()
        }
        _ => Vec::new(),
    };
    mark_ends(&mut samples);
    samples
}

/// Beginnings of stretches of two days with samples that come further and further apart: samples of the first one go
/// by their age, those of the last one stay.
pub const STRETCHES: [i64; 3] = [day(120) + 22 * HOUR_MS, day(335) + 7 * HOUR_MS, day(346)];
/// How long samples come how far apart, in seconds.
const PACES: [(i64, i64); 9] = [
    (1_500, 1),
    (1_200, 2),
    (2_400, 5),
    (3_600, 10),
    (7_200, 15),
    (10_800, 30),
    (21_600, 60),
    (28_800, 120),
    (57_600, 300),
];

/// Scrapes of a stretch, some of them missing for minutes.
fn paced(rng: &mut SimRng, mut from: i64) -> Vec<i64> {
    let mut times: Vec<i64> = Vec::new();
    for (seconds, interval) in PACES {
        let to = from + seconds * SECOND_MS;
        let last = times.last().copied().unwrap_or(i64::MIN);
        let more = scrapes(rng, from, to, interval * SECOND_MS);
        times.extend(more.into_iter().filter(|ts| *ts > last));
        from = to;
    }
    let mut missing_until = i64::MIN;
    times.retain(|ts| {
        if rng.below(250) == 0 {
            missing_until = ts + rng.below(1200).cast_signed() * SECOND_MS;
        }
        *ts > missing_until
    });
    times
}

/// A counter with resets, or a gauge with NaN and values of every size; both with stale markers in between.
fn dense(kind: &'static str, rng: &mut SimRng) -> Vec<Sample> {
    let mut all = Vec::new();
    for from in STRETCHES {
        let mut total = 0.0;
        for ts in paced(rng, from) {
            let value = match (kind, rng.below(500)) {
                (_, 0..4) => stale_nan(),
                ("dense", n) => {
                    total = if n == 4 { 0.3 } else { total + rng.below(90) as f64 / 7.0 };
                    total
                }
                (_, 4..12) => f64::NAN,
                (_, 12..20) => -0.0,
                (_, 20..120) => 17.25,
                (_, 120..126) => rng.below(99) as f64 * 1e15,
                (_, 126..132) => rng.below(99) as f64 * -1e-9,
                _ => rng.below(2_000_000) as f64 / 11.0 - 90_000.0,
            };
            all.push((kind, ts, value));
        }
    }
    all
}

/// One sample in thirty comes late, and an hour around midnight.
fn is_late_of_dense((kind, ts, _): Sample, rng: &mut SimRng) -> bool {
    let within = day(121) - 20 * MINUTE_MS < ts && ts <= day(121) + 40 * MINUTE_MS;
    (kind == "dense" && within) || rng.below(30) == 0
}

/// Whole days and hours that come late, and one sample in two hundred.
fn is_late((kind, ts, _): Sample, rng: &mut SimRng) -> bool {
    let within = |from: i64, ms: i64| from < ts && ts <= from + ms;
    kind == "late"
        || (kind == "counter" && within(day(76), DAY_MS))
        || (["gauge", "decimal"].contains(&kind) && within(day(90) + 23 * HOUR_MS, 2 * HOUR_MS))
        || (kind == "minute" && within(day(335), 6 * HOUR_MS))
        || rng.below(200) == 0
}

pub fn year() -> Year {
    let mut rng = SimRng::new(2024);
    let others = KINDS.iter().filter(|kind| !DENSE.contains(kind));
    let mut all: Vec<Sample> = others.flat_map(|kind| series(kind, &mut rng)).collect();
    all.sort_by_key(|sample| sample.1);
    type Parts = (Vec<Sample>, Vec<Sample>);
    let (mut late, mut known): Parts =
        all.into_iter().partition(|sample| is_late(*sample, &mut rng));
    for sample in DENSE.iter().flat_map(|kind| dense(kind, &mut rng)).collect::<Vec<_>>() {
        let to = if is_late_of_dense(sample, &mut rng) { &mut late } else { &mut known };
        to.push(sample);
    }
    for part in [&mut late, &mut known] {
        part.sort_by_key(|sample| sample.1);
    }
    Year { known, late }
}
