//! Summaries against a fold over the samples, and their merging.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::model::stale_nan;

const WINDOW: RangeWindow = RangeWindow::ending_at(300_000, 300_000);

fn every_15_s(values: &[f64], first_ts: i64) -> (Vec<i64>, Vec<f64>) {
    ((0..).map(|i| first_ts + i * 15_000).take(values.len()).collect(), values.to_vec())
}

fn assert_bits(got: Option<f64>, expected: Option<f64>, what: &str) {
    assert_eq!(got.map(bits), expected.map(bits), "{what}: {got:?}, expected {expected:?}");
}

#[test]
fn counter_that_covers_the_window_is_stretched_to_both_edges() {
    // 15 s .. 300 s, +3 per sample: 57 over 285 s; the edge is one distance (< 1.1) away.
    let (ts, values) =
        every_15_s(&(0..20).map(|i| 100.0 + 3.0 * f64::from(i)).collect::<Vec<_>>(), 15_000);
    let summary = WindowSummary::of(&ts, &values);
    assert_bits(summary.increase(&WINDOW), Some(60.0), "increase");
    assert_bits(summary.rate(&WINDOW), Some(57.0 * (300.0 / 285.0 / 300.0)), "rate");
    assert_bits(summary.delta(&WINDOW), Some(60.0), "delta");
    assert_bits(summary.raw_increase(), Some(57.0), "raw");
}

#[test]
fn far_edges_are_half_a_distance_away_and_a_counter_stops_at_zero() {
    // Samples at 100, 110, 120 s; both edges far. Gauge: 5 s on both sides.
    let ts = [100_000, 110_000, 120_000];
    let summary = WindowSummary::of(&ts, &[50.0, 60.0, 70.0]);
    assert_bits(summary.increase(&WINDOW), Some(20.0 * (30.0 / 20.0)), "increase");
    // From 2 up by 20 in 20 s: zero was 2 s before, nearer than 5 s.
    let summary = WindowSummary::of(&ts, &[2.0, 12.0, 22.0]);
    assert_bits(summary.increase(&WINDOW), Some(20.0 * (27.0 / 20.0)), "to zero");
    assert_bits(summary.delta(&WINDOW), Some(20.0 * (30.0 / 20.0)), "a gauge has no zero point");
    // A negative first value has no zero point either.
    let summary = WindowSummary::of(&ts, &[-2.0, 8.0, 18.0]);
    assert_bits(summary.increase(&WINDOW), Some(20.0 * (30.0 / 20.0)), "below zero");
}

#[test]
fn resets_add_what_was_there_before_them() {
    let (ts, values) = every_15_s(&[10.0, 15.0, 3.0, 4.0, 1.0, 0.0, 7.0], 30_000);
    let summary = WindowSummary::of(&ts, &values);
    assert_eq!(summary.resets(), 3);
    assert_eq!(summary.pre_resets.iter().collect::<Vec<_>>(), [15.0, 4.0, 1.0]);
    assert_bits(summary.raw_increase(), Some(7.0 - 10.0 + 20.0), "raw");
    assert_eq!(summary.changes, 6);
    assert_bits(summary.irate(), Some(7.0 / 15.0), "irate");
    let fallen = WindowSummary::of(&ts[..6], &values[..6]);
    assert_bits(fallen.irate(), Some(0.0), "irate after a reset counts from zero");
    assert_bits(fallen.idelta(), Some(-1.0), "idelta");
}

#[test]
fn anchored_increase_is_additive() {
    let (ts, values) = every_15_s(&[10.0, 15.0, 3.0, 4.0, 1.0, 0.0, 7.0], 30_000);
    let whole = WindowSummary::of(&ts, &values).anchored_increase(Some(8.0));
    assert_bits(whole, Some(7.0 - 8.0 + 20.0), "whole");
    for cut in 1..values.len() {
        let left =
            WindowSummary::of(&ts[..cut], &values[..cut]).anchored_increase(Some(8.0)).unwrap();
        let right = WindowSummary::of(&ts[cut..], &values[cut..])
            .anchored_increase(Some(values[cut - 1]))
            .unwrap();
        assert_eq!(left + right, 19.0, "cut at {cut}");
    }
    assert_bits(
        WindowSummary::of(&ts, &values).anchored_increase(None),
        Some(17.0),
        "without a sample before",
    );
}

#[test]
fn too_few_samples_give_nothing() {
    for summary in [WindowSummary::default(), WindowSummary::of(&[1], &[2.0])] {
        for result in [
            summary.rate(&WINDOW),
            summary.increase(&WINDOW),
            summary.delta(&WINDOW),
            summary.irate(),
            summary.idelta(),
        ] {
            assert!(result.is_none());
        }
    }
    assert_eq!(WindowSummary::default().sum(), None);
    assert_eq!(WindowSummary::default().avg(), None);
    assert!(
        WindowSummary::of(&[5, 5], &[1.0, 2.0]).idelta().is_none(),
        "no time between the samples"
    );
}

#[test]
fn stale_markers_end_the_series_but_do_not_count() {
    let mut summary = WindowSummary::of(&[1000, 2000, 3000], &[5.0, stale_nan(), 4.0]);
    assert_eq!((summary.count, summary.resets(), summary.stale_ts), (2, 1, None));
    assert_eq!(summary.instant(3000, 1000), Some((3000, 4.0)));
    assert_eq!(summary.instant(4000, 1000), None, "the lookback is open on the left");
    summary.merge(&WindowSummary::of(&[4000], &[stale_nan()]));
    assert_eq!((summary.count, summary.stale_ts), (2, Some(4000)));
    assert_eq!(summary.instant(4000, 60_000), None);
    summary.merge(&WindowSummary::of(&[5000], &[9.0]));
    assert_eq!(summary.instant(5000, 60_000), Some((5000, 9.0)));
}

#[test]
fn extremes_skip_nan_and_keep_the_first_of_equal_values() {
    let nan = f64::NAN;
    let summary = WindowSummary::of(&[1, 2, 3, 4, 5], &[nan, 0.0, -0.0, nan, 0.0]);
    assert_eq!((bits(summary.min), summary.min_ts), (bits(0.0), 5));
    assert_eq!((bits(summary.max), summary.max_ts), (bits(0.0), 5));
    let all = WindowSummary::of(&[1, 2], &[nan, nan]);
    assert!(all.min.is_nan() && all.max.is_nan());
    assert_eq!((all.min_ts, all.max_ts, all.changes), (2, 2, 0));
}

#[test]
fn sums_are_compensated_and_averages_survive_overflow() {
    assert_eq!(slices::sum(&[1e100, 1.0, -1e100, 1.0]), 2.0);
    assert_eq!(WindowSummary::of(&[1, 2, 3, 4], &[1e100, 1.0, -1e100, 1.0]).sum(), Some(2.0));
    let huge = [f64::MAX, f64::MAX, f64::MAX];
    assert_eq!(slices::sum(&huge), f64::INFINITY);
    assert_eq!(
        slices::avg(&huge),
        Some(f64::MAX.next_down()),
        "the incremental mean loses the last bit"
    );
    let summary = WindowSummary::of(&[1, 2, 3], &huge);
    assert_eq!((summary.sum(), summary.avg()), (Some(f64::INFINITY), None));
    let mixed = WindowSummary::of(&[1, 2, 3], &[f64::MAX, f64::MAX, f64::NEG_INFINITY]);
    assert_eq!(mixed.avg(), None, "the sum is NaN, the mean is -Inf");
    let infinite = [1.0, f64::INFINITY, 2.0];
    assert_eq!(slices::avg(&infinite), Some(f64::INFINITY));
    assert_eq!(WindowSummary::of(&[1, 2, 3], &infinite).avg(), Some(f64::INFINITY));
    assert!(slices::avg(&[f64::INFINITY, f64::NEG_INFINITY]).unwrap().is_nan());
}

#[test]
fn variance_of_a_known_set() {
    let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    assert_eq!(slices::stdvar(&values), Some(4.0));
    assert_eq!(slices::stddev(&values), Some(2.0));
    assert_eq!(slices::stdvar(&[]), None);
}

#[test]
fn range_seconds_round_like_go() {
    assert_eq!(RangeWindow::ending_at(0, 300_000).seconds(), 300.0);
    assert_eq!(bits(RangeWindow::ending_at(0, 90_001).seconds()), bits(90.0 + 0.001));
}

/// Windows with the bits that a port of Prometheus's functions gave for them (another language, another
/// author): rate, increase, delta, irate, idelta, sum, avg, stdvar.
struct Case {
    window: RangeWindow,
    ts: &'static [i64],
    values: &'static [f64],
    bits: [u64; 8],
}

const CASES: &[Case] = &[
    Case {
        window: RangeWindow { start_ms: 14384938, end_ms: 14474939, range_ms: 90001 },
        ts: &[
            14387247, 14397262, 14407232, 14417217, 14427252, 14437235, 14447271, 14457285,
            14467261,
        ],
        values: &[8.0, 8.0, 13.0, 18.0, 19.0, 2.0, 2.0, 2.0, 2.0],
        bits: [
            0x3fc4cbde4a6b420d,
            0x402d3ec5e44af822,
            0xc01afede0dcf0c6e,
            0x0000000000000000,
            0x0000000000000000,
            0x4052800000000000,
            0x402071c71c71c71c,
            0x4045a4587e6b74f1,
        ],
    },
    Case {
        window: RangeWindow { start_ms: 15804910, end_ms: 16104910, range_ms: 300000 },
        ts: &[
            15821360, 15851378, 15881341, 15911367, 15941413, 15971375, 16001412, 16031412,
            16061396, 16091445,
        ],
        values: &[
            4.18044347767425,
            0.6809480578327533,
            0.7471354774164907,
            3.4148081803552808,
            3.417388145561039,
            0.17621435892223036,
            0.17621435892223036,
            0.17621435892223036,
            2.3457931005760533,
            3.5089047370724726,
        ],
        bits: [
            0x3f9a42a5a35a2d6e,
            0x401ec61a1b6dad3d,
            0xbfe7de9236d9ec1b,
            0x3fa3d16cf9b6f0b2,
            0x3ff29c1af285962a,
            0x4032d2f5dff98874,
            0x3ffe1e563328da53,
            0x400372f112947494,
        ],
    },
    Case {
        window: RangeWindow { start_ms: 5342306, end_ms: 5402306, range_ms: 60000 },
        ts: &[5344062, 5354064, 5364031, 5373999, 5383956, 5393927],
        values: &[
            -0.0007548317927537601,
            1107.9151500823716,
            0.005805109827222219,
            12254638.156123837,
            -13160964.147474628,
            -1780371.1866694198,
        ],
        bits: [
            0x4109a4d5985cb252,
            0x41680a883ed6e72c,
            0xc140580ab8a6df08,
            0x41316a794457247c,
            0x4165b4ee1ebeea90,
            0xc1447d4aa1003da8,
            0xc11b51b8d6aafcdf,
            0x42c8a8b6bb21e028,
        ],
    },
    Case {
        window: RangeWindow { start_ms: 3886411, end_ms: 3976412, range_ms: 90001 },
        ts: &[3911042, 3921087, 3931116, 3941142, 3951170, 3961157, 3971181],
        values: &[
            1.694207416875869,
            1.7017655320646334,
            0.4686321283243582,
            0.2886458110032494,
            0.2886458110032494,
            0.3517666399773107,
            0.558747549415403,
        ],
        bits: [
            0x3f8b8fb156e74c01,
            0x3ff36116cd9e6371,
            0xbff542f3e9cba902,
            0x3f9524e3b0e2101e,
            0x3fca7e59b6776ab8,
            0x401568de66664416,
            0x3fe877d999997262,
            0x3fd6d1df9176f840,
        ],
    },
    Case {
        window: RangeWindow { start_ms: 5375598, end_ms: 6610165, range_ms: 1234567 },
        ts: &[
            6306117, 6336136, 6366123, 6396078, 6426082, 6456050, 6486008, 6515993, 6545952,
            6575946, 6605929,
        ],
        values: &[2015.0, 2015.0, 3015.0, 0.0, 1.0, 2.0, 7.0, 3.0, 1003.0, 1008.0, 0.0],
        bits: [
            0x3ffbca02e7c9257f,
            0x40a0c07074c82911,
            0xc0a0c07074c82911,
            0x0000000000000000,
            0xc08f800000000000,
            0x40c1b68000000000,
            0x4089c3a2e8ba2e8c,
            0x41304ea810ecf56c,
        ],
    },
    Case {
        window: RangeWindow { start_ms: 1925643, end_ms: 1985643, range_ms: 60000 },
        ts: &[
            1926497, 1931494, 1936514, 1941473, 1946431, 1951395, 1956415, 1961376, 1966423,
            1971456, 1976490, 1981537,
        ],
        values: &[
            -3.83, 91.33, 38.35, -44.82, 48.88, 60.05, 18.0, 74.88, -45.45, 70.42, 3.8, -5.22,
        ],
        bits: [
            0x401885f417d05f41,
            0x4076fd94d653594d,
            0xbff83e82fa0be82e,
            0xbff08c66dddd0041,
            0xc0220a3d70a3d70a,
            0x4073263d70a3d70a,
            0x40398851eb851eb8,
            0x409df4604f307825,
        ],
    },
];

#[test]
fn bits_agree_with_the_port() {
    for case in CASES {
        let Case { window, ts, values, .. } = case;
        let got = [
            slices::rate(ts, values, window),
            slices::increase(ts, values, window),
            slices::delta(ts, values, window),
            slices::irate(ts, values),
            slices::idelta(ts, values),
            Some(slices::sum(values)),
            slices::avg(values),
            slices::stdvar(values),
        ];
        for (index, (got, expected)) in got.iter().zip(case.bits).enumerate() {
            assert_eq!(got.unwrap().to_bits(), expected, "{window:?}, function {index}");
        }
    }
}

/// Values of all kinds: counters with resets, gauges, NaN, infinities, signed zeros, stale markers.
fn samples(len_max: usize) -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        6 => (0..1000_i32).prop_map(|n| f64::from(n) * 0.1),
        4 => (0..5_i32).prop_map(f64::from),
        2 => -1e9..1e9_f64,
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(0.0), Just(-0.0),
            Just(stale_nan()), Just(f64::MAX), Just(f64::MIN_POSITIVE)
        ],
    ];
    let walk = prop::collection::vec((1..60_000_i64, value), 0..len_max).prop_map(|steps| {
        let mut ts = 0;
        steps
            .into_iter()
            .map(|(step, value)| {
                ts += step;
                (ts, value)
            })
            .collect()
    });
    let counter =
        prop::collection::vec((1..60_000_i64, 0..50_i32, 0..12_u8), 0..len_max).prop_map(|steps| {
            let (mut ts, mut value) = (0, 0.0);
            steps
                .into_iter()
                .map(|(step, up, reset)| {
                    ts += step;
                    value = if reset == 0 { 0.0 } else { value } + f64::from(up) * 0.7;
                    (ts, value)
                })
                .collect()
        });
    prop_oneof![walk, counter]
}

fn summary(samples: &[(i64, f64)]) -> WindowSummary {
    let (ts, values): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
    WindowSummary::of(&ts, &values)
}

fn merged(left: &WindowSummary, right: &WindowSummary) -> WindowSummary {
    let mut all = left.clone();
    all.merge(right);
    all
}

fn nearly(a: Option<f64>, b: Option<f64>, scale: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => bits(a) == bits(b) || (a - b).abs() <= scale * 4.0 * f64::EPSILON,
        (a, b) => a.is_none() == b.is_none(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_pieces_is_the_summary_of_the_whole(all in samples(40), cuts in (0.0..=1.0_f64, 0.0..=1.0_f64)) {
        let at = |share: f64| ((all.len() as f64) * share) as usize;
        let (low, high) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let whole = summary(&all);
        let (a, b, c) = (summary(&all[..low]), summary(&all[low..high]), summary(&all[high..]));
        let left = merged(&merged(&a, &b), &c);
        let right = merged(&a, &merged(&b, &c));
        prop_assert!(left.same_but_sum(&whole), "{left:?}\n{whole:?}");
        prop_assert!(right.same_but_sum(&whole), "{right:?}\n{whole:?}");
        let window = RangeWindow::ending_at(2_000_000, 2_100_000);
        for (piece, whole) in [
            (left.rate(&window), whole.rate(&window)),
            (left.increase(&window), whole.increase(&window)),
            (left.delta(&window), whole.delta(&window)),
            (left.irate(), whole.irate()),
            (left.idelta(), whole.idelta()),
        ] {
            prop_assert_eq!(piece.map(bits), whole.map(bits));
        }
        if whole.max.abs() < 1e10 && whole.min.abs() < 1e10 && whole.sum.is_finite() {
            let scale = all.iter().map(|(_, value)| value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max);
            prop_assert!(nearly(left.sum(), whole.sum(), scale), "{:?} {:?}", left.sum(), whole.sum());
            prop_assert!(nearly(left.avg(), whole.avg(), scale), "{:?} {:?}", left.avg(), whole.avg());
        }
    }

    #[test]
    fn sums_of_integers_merge_bit_for_bit(values in prop::collection::vec(-1_000_000_000..1_000_000_000_i64, 1..60), cut in 0..60_usize) {
        let all: Vec<_> = (0..).zip(values.iter().map(|&v| v as f64)).collect();
        let cut = cut.min(all.len());
        let pieces = merged(&summary(&all[..cut]), &summary(&all[cut..]));
        prop_assert_eq!(pieces.sum().map(bits), summary(&all).sum().map(bits));
        prop_assert_eq!(pieces.sum(), Some(values.iter().sum::<i64>() as f64));
    }

    #[test]
    fn slices_give_the_bits_of_summaries(all in samples(200)) {
        let all: Vec<_> = all.into_iter().filter(|(_, value)| !is_stale(*value)).collect();
        let (ts, values): (Vec<_>, Vec<_>) = all.iter().copied().unzip();
        let whole = summary(&all);
        let window = RangeWindow::ending_at(2_000_000, 2_100_000);
        let none_if_empty = |value| (!values.is_empty()).then_some(value);
        for (slice, whole) in [
            (slices::rate(&ts, &values, &window), whole.rate(&window)),
            (slices::increase(&ts, &values, &window), whole.increase(&window)),
            (slices::delta(&ts, &values, &window), whole.delta(&window)),
            (slices::irate(&ts, &values), whole.irate()),
            (slices::idelta(&ts, &values), whole.idelta()),
            (none_if_empty(slices::sum(&values)), whole.sum()),
            (slices::avg(&values).filter(|_| whole.avg().is_some()), whole.avg()),
            (slices::min(&values), none_if_empty(whole.min)),
            (slices::max(&values), none_if_empty(whole.max)),
        ] {
            prop_assert_eq!(slice.map(bits), whole.map(bits));
        }
        prop_assert_eq!(slices::resets(&values), whole.resets());
        prop_assert_eq!(slices::changes(&values), whole.changes);
        if !values.is_empty() {
            prop_assert_eq!(slices::last_min_index(&values).map(|at| ts[at]), Some(whole.min_ts));
            prop_assert_eq!(slices::last_max_index(&values).map(|at| ts[at]), Some(whole.max_ts));
        }
    }
}

#[test]
fn resets_whose_values_are_not_told_are_counted_and_give_no_increase() {
    let mut window = WindowSummary::of(&[1, 2, 3], &[5.0, 2.0, 4.0]);
    assert!(window.pre_resets.are_told());
    let mut later = WindowSummary::of(&[4, 5, 6], &[3.0, 2.0, 1.0]);
    later.pre_resets = PreResets::untold(2);
    window.merge(&later);
    assert_eq!(window.resets(), 4);
    assert_eq!((window.raw_increase(), window.anchored_increase(Some(1.0))), (None, None));
    window.push(7, 0.5);
    assert_eq!((window.resets(), window.pre_resets.iter().count()), (5, 0));
    assert_eq!(window.increase(&RangeWindow::ending_at(7, 7)), None);
    assert_eq!(window.delta(&RangeWindow { start_ms: 1, end_ms: 7, range_ms: 6 }), Some(-4.5));
}
