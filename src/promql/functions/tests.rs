//! Functions against known answers, a real Prometheus's among them, and laws over random ones.
#![allow(clippy::unwrap_used, clippy::float_cmp, clippy::unreadable_literal, reason = "tests")]

use nines_storage::model::{Counts, ResetHint};
use proptest::prelude::*;

use super::labels::{LabelReplace, is_valid_name, natural_cmp};
use super::*;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

struct Run<'a> {
    ts: &'a [i64],
    values: &'a [f64],
    histograms: &'a [(i64, Arc<Histogram>)],
    params: &'a [f64],
    metric: &'a str,
    end_ms: i64,
    range_ms: i64,
}

impl<'a> Run<'a> {
    fn over(ts: &'a [i64], values: &'a [f64]) -> Self {
        Self {
            ts,
            values,
            histograms: &[],
            params: &[],
            metric: "m_total",
            end_ms: 300_000,
            range_ms: 300_000,
        }
    }

    fn call(&self, name: &str) -> (Option<f64>, Vec<Note>) {
        let window = super::Window {
            ts: self.ts,
            values: self.values,
            histograms: self.histograms,
            start_ms: self.end_ms - self.range_ms,
            end_ms: self.end_ms,
            range_ms: self.range_ms,
            params: self.params,
            eval_ms: self.end_ms,
            metric: self.metric,
            step_ms: 0,
        };
        let mut notes = Notes::default();
        let Eval::Window(eval) = find(name).unwrap().eval else {
            panic!("{name} is no window function")
        };
        let result = eval(&window, &mut notes);
        (result, notes.drain().collect())
    }

    /// The value; asserts that there is no note.
    fn value(&self, name: &str) -> Option<f64> {
        let (value, notes) = self.call(name);
        assert_eq!(notes, [], "{name}");
        value
    }
}

fn minutes(values: &[f64]) -> Vec<i64> {
    (1..).map(|i| i * 60_000).take(values.len()).collect()
}

fn histogram(sum: f64) -> Arc<Histogram> {
    Arc::new(Histogram {
        schema: 0,
        zero_threshold: 0.0,
        sum,
        reset_hint: ResetHint::Unknown,
        positive_spans: vec![],
        negative_spans: vec![],
        custom_values: vec![],
        counts: Counts::Integer { count: 1, zero_count: 1, positive: vec![], negative: vec![] },
        start_ts: 0,
    })
}

fn map(name: &str, value: f64, params: &[f64]) -> f64 {
    let Eval::Map(eval) = find(name).unwrap().eval else { panic!("{name} is no map") };
    eval(value, params)
}

fn date(name: &str, seconds: f64) -> f64 {
    let Eval::Date(eval) = find(name).unwrap().eval else { panic!("{name} is no date") };
    eval(seconds)
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

mod table {
    use super::*;

    #[test]
    fn is_sorted_and_complete() {
        assert!(all().windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(all().len(), 90);
        assert_eq!(all().iter().filter(|f| f.experimental).count(), 17);
        for function in all() {
            assert_eq!(find(function.name).map(|f| f.name), Some(function.name));
        }
        assert!(find("sum").is_none());
    }

    #[test]
    fn counts_arguments_as_prometheus() {
        let count = |name: &str| find(name).unwrap().arg_count();
        assert_eq!(count("rate"), (1, Some(1)));
        assert_eq!(count("time"), (0, Some(0)));
        assert_eq!(count("round"), (1, Some(2)));
        assert_eq!(count("hour"), (0, Some(1)));
        assert_eq!(count("info"), (1, Some(2)));
        assert_eq!(count("label_join"), (3, None));
        assert_eq!(count("histogram_quantiles"), (3, Some(12)));
        let quantiles = find("histogram_quantiles").unwrap();
        assert_eq!(quantiles.arg_type(1), Some(ValueType::String));
        assert_eq!(quantiles.arg_type(11), Some(ValueType::Scalar));
    }

    #[test]
    fn refuses_parameters_as_prometheus() {
        let accepts = |name: &str, params: &[f64]| find(name).unwrap().accepts(params);
        assert_eq!(accepts("clamp", &[1.0, 0.0]), Ok(false));
        assert_eq!(accepts("clamp", &[0.0, 0.0]), Ok(true));
        assert_eq!(accepts("clamp", &[NAN, 0.0]), Ok(true));
        assert_eq!(accepts("double_exponential_smoothing", &[0.5, 0.5]), Ok(true));
        let text = "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000";
        assert_eq!(accepts("double_exponential_smoothing", &[1.0, 0.5]), Err(text.to_owned()));
        let text = "invalid trend factor. Expected: 0 < tf < 1, got: -Inf";
        assert_eq!(accepts("double_exponential_smoothing", &[0.1, -INF]), Err(text.to_owned()));
    }
}

mod windows {
    use super::*;

    #[test]
    fn rates() {
        let values = [0.0, 10.0, 20.0, 5.0, 15.0];
        let ts = minutes(&values);
        let run = Run::over(&ts, &values);
        // 35 in 240 s; the first value is zero, so nothing is added before it; the last is at the end.
        assert_eq!(run.value("increase"), Some(35.0));
        assert_eq!(run.value("rate"), Some(35.0 * (1.0 / 300.0)));
        // A gauge rose by 15, and by a quarter more over the minute before.
        assert_eq!(run.value("delta"), Some(18.75));
        assert_eq!(run.value("irate"), Some(10.0 / 60.0));
        assert_eq!(run.value("idelta"), Some(10.0));
        assert_eq!(run.value("resets"), Some(1.0));
        assert_eq!(run.value("changes"), Some(4.0));
        let one = Run::over(&ts[..1], &values[..1]);
        for name in ["rate", "increase", "delta", "irate", "idelta"] {
            assert_eq!(one.value(name), None, "{name}");
        }
        assert_eq!((one.value("resets"), one.value("changes")), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn rate_of_an_odd_name_is_noted() {
        let note = |metric: &str, name: &str| {
            Run { metric, ..Run::over(&[60_000, 120_000], &[1.0, 2.0]) }.call(name).1
        };
        for metric in ["a_total", "a_sum", "a_count", "a_bucket", ""] {
            assert_eq!(note(metric, "rate"), []);
        }
        let odd = [Note::PossibleNonCounter { metric: "up".to_owned() }];
        assert_eq!(note("up", "rate"), odd);
        assert_eq!(note("up", "increase"), odd);
        assert_eq!(note("up", "delta"), []);
        assert_eq!(
            Run { metric: "up", ..Run::over(&[60_000], &[1.0]) }.call("rate").1,
            [],
            "no result, no note"
        );
    }

    #[test]
    fn aggregations() {
        let values = [3.0, -1.0, NAN, 4.0, -1.0];
        let ts = minutes(&values);
        let run = Run::over(&ts, &values);
        assert_eq!(run.value("min_over_time"), Some(-1.0));
        assert_eq!(run.value("max_over_time"), Some(4.0));
        assert_eq!(run.value("ts_of_min_over_time"), Some(300.0));
        assert_eq!(run.value("ts_of_max_over_time"), Some(240.0));
        assert_eq!(run.value("ts_of_first_over_time"), Some(60.0));
        assert_eq!(run.value("ts_of_last_over_time"), Some(300.0));
        assert_eq!(run.value("count_over_time"), Some(5.0));
        assert_eq!(run.value("present_over_time"), Some(1.0));
        for name in [
            "sum_over_time",
            "avg_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "mad_over_time",
        ] {
            assert!(run.value(name).unwrap().is_nan(), "{name}");
        }
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let ts = minutes(&values);
        let run = Run::over(&ts, &values);
        assert_eq!(run.value("sum_over_time"), Some(40.0));
        assert_eq!(run.value("avg_over_time"), Some(5.0));
        assert_eq!(run.value("stddev_over_time"), Some(2.0));
        assert_eq!(run.value("stdvar_over_time"), Some(4.0));
        // Median 4.5; deviations .5 .5 .5 .5 .5 2.5 2.5 4.5.
        assert_eq!(run.value("mad_over_time"), Some(0.5));
    }

    #[test]
    fn quantiles() {
        let values = [4.0, 1.0, 3.0, 2.0];
        let ts = minutes(&values);
        let at =
            |q: f64| Run { params: &[q], ..Run::over(&ts, &values) }.call("quantile_over_time");
        assert_eq!(at(0.5), (Some(2.5), vec![]));
        assert_eq!(at(0.0), (Some(1.0), vec![]));
        assert_eq!(at(1.0), (Some(4.0), vec![]));
        assert_eq!(at(0.25), (Some(1.75), vec![]));
        assert_eq!(at(1.5), (Some(INF), vec![Note::InvalidQuantile { q: 1.5 }]));
        assert_eq!(at(-0.5), (Some(-INF), vec![Note::InvalidQuantile { q: -0.5 }]));
        let (value, notes) = at(NAN);
        assert!(value.unwrap().is_nan());
        assert!(matches!(notes[..], [Note::InvalidQuantile { q }] if q.is_nan()));
        assert!(quantile(0.5, &mut []).is_nan());
        assert_eq!(quantile(1.0, &mut [2.0, NAN, 1.0]), 2.0, "NaN is the smallest");
    }

    #[test]
    fn lines() {
        let values = [10.0, 12.0, 14.0, 16.0];
        let ts = minutes(&values);
        let run = Run { params: &[3600.0], end_ms: 300_000, ..Run::over(&ts, &values) };
        assert_eq!(run.value("deriv"), Some(2.0 / 60.0));
        assert!((run.value("predict_linear").unwrap() - (18.0 + 120.0)).abs() < 1e-9);
        // A constant has no slope, whatever the times are.
        let run = Run { params: &[1e9], ..Run::over(&[1, 7, 1000], &[0.1, 0.1, 0.1]) };
        assert_eq!((run.value("deriv"), run.value("predict_linear")), (Some(0.0), Some(0.1)));
        let run = Run { params: &[1.0], ..Run::over(&[1, 7], &[INF, INF]) };
        assert!(
            run.value("deriv").unwrap().is_nan() && run.value("predict_linear").unwrap().is_nan()
        );
        assert_eq!(Run::over(&[1], &[1.0]).value("deriv"), None);
    }

    #[test]
    fn smoothing() {
        let values = [1.0, 3.0, 4.0];
        let ts = minutes(&values);
        let run = Run { params: &[0.5, 0.25], ..Run::over(&ts, &values) };
        // Level 1, trend 2. Second: .5 * 3 + .5 * (1 + 2) = 3. Trend: .25 * (3 - 1) + .75 * 2 = 2.
        // Third: .5 * 4 + .5 * (3 + 2) = 4.5.
        assert_eq!(run.value("double_exponential_smoothing"), Some(4.5));
        let line = [10.0, 20.0, 30.0, 40.0];
        let run = Run { params: &[0.3, 0.9], ..Run::over(&[1, 2, 3, 4], &line) };
        assert!((run.value("double_exponential_smoothing").unwrap() - 40.0).abs() < 1e-12);
        assert_eq!(
            Run { params: &[0.5, 0.5], ..Run::over(&[1], &[1.0]) }
                .value("double_exponential_smoothing"),
            None
        );
    }

    #[test]
    fn histograms_beside_floats() {
        let histograms = [(90_000, histogram(1.0))];
        let run = Run {
            histograms: &histograms,
            params: &[0.5, 0.5],
            ..Run::over(&[60_000, 120_000], &[1.0, 1.0])
        };
        let mixed = [Note::MixedFloatsHistograms { metric: "m_total".to_owned() }];
        for name in
            ["rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time"]
        {
            assert_eq!(run.call(name), (None, mixed.to_vec()), "{name}");
        }
        let ignored = [Note::HistogramIgnoredInMixedRange { metric: "m_total".to_owned() }];
        for name in [
            "min_over_time",
            "max_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "mad_over_time",
            "quantile_over_time",
            "deriv",
            "predict_linear",
            "double_exponential_smoothing",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
        ] {
            let (value, notes) = run.call(name);
            assert!(value.is_some() && notes == ignored, "{name}: {value:?} {notes:?}");
        }
        assert_eq!(run.value("count_over_time"), Some(3.0));
        assert_eq!(run.value("present_over_time"), Some(1.0));
        assert_eq!(run.value("resets"), Some(2.0), "from float to histogram and back");
        assert_eq!(run.value("changes"), Some(2.0));
        assert_eq!(run.value("ts_of_first_over_time"), Some(60.0));
    }

    #[test]
    fn irate_looks_at_the_newest_two_only() {
        let histograms = [(30_000, histogram(1.0))];
        let run = Run { histograms: &histograms, ..Run::over(&[60_000, 120_000], &[1.0, 7.0]) };
        assert_eq!(run.value("irate"), Some(0.1));
        assert_eq!(run.value("idelta"), Some(6.0));
        let run = Run { histograms: &histograms, ..Run::over(&[], &[]) };
        assert_eq!(run.value("irate"), None);
    }

    #[test]
    fn histograms_alone() {
        let histograms =
            [(30_000, histogram(1.0)), (60_000, histogram(1.0)), (90_000, histogram(2.0))];
        let run = Run { histograms: &histograms, params: &[0.5, 0.5], ..Run::over(&[], &[]) };
        let missing = [Note::HistogramNotSupported { metric: "m_total".to_owned() }];
        for name in [
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "sum_over_time",
            "avg_over_time",
            "resets",
        ] {
            assert_eq!(run.call(name), (None, missing.to_vec()), "{name}");
        }
        for name in [
            "min_over_time",
            "quantile_over_time",
            "deriv",
            "mad_over_time",
            "stdvar_over_time",
            "ts_of_max_over_time",
        ] {
            assert_eq!(run.value(name), None, "{name}");
        }
        assert_eq!(run.value("count_over_time"), Some(3.0));
        assert_eq!(run.value("changes"), Some(1.0));
        assert_eq!(run.value("ts_of_first_over_time"), Some(30.0));
        assert_eq!(run.value("ts_of_last_over_time"), Some(90.0));
    }

    /// The samples of `vector((time() * 7919 % modulus) * factor - offset) > threshold` at multiples of the step.
    fn saw(
        end_ms: i64,
        range_ms: i64,
        step_ms: i64,
        [modulus, factor, offset, threshold]: [f64; 4],
    ) -> (Vec<i64>, Vec<f64>) {
        let first = (end_ms - range_ms).div_euclid(step_ms) * step_ms + step_ms;
        let times = (0..).map(|i| first + i * step_ms).take_while(|&ts| ts <= end_ms);
        let samples =
            times.map(|ts| (ts, (ts as f64 / 1000.0 * 7919.0 % modulus) * factor - offset));
        samples.filter(|(_, value)| *value > threshold).unzip()
    }

    #[test]
    fn bits_agree_with_a_real_prometheus() {
        let mut compared = 0;
        for line in
            include_str!("testdata/windows.txt").lines().filter(|line| !line.starts_with('#'))
        {
            let fields: Vec<_> = line.split(' ').collect();
            let [name, end, range, step, numbers @ .., params, expected] = &fields[..] else {
                panic!("{line}")
            };
            let [end_ms, range_ms, step_ms] =
                [end, range, step].map(|field| field.parse::<i64>().unwrap());
            let numbers: Vec<f64> = numbers.iter().map(|field| field.parse().unwrap()).collect();
            let params: Vec<f64> =
                params.split(',').filter_map(|param| param.parse().ok()).collect();
            let (ts, values) = saw(end_ms, range_ms, step_ms, numbers.try_into().unwrap());
            let (got, _) =
                Run { params: &params, end_ms, range_ms, ..Run::over(&ts, &values) }.call(name);
            let expected: Option<f64> = expected.parse().ok();
            assert_eq!(
                got.map(f64::to_bits),
                expected.map(f64::to_bits),
                "{line}: {got:?} over {} samples",
                ts.len()
            );
            compared += 1;
        }
        assert!(compared > 300, "{compared}");
    }

    #[test]
    fn anchored_and_smoothed_edges() {
        let change = |function: &str, smoothed: bool, ts: &[i64], values: &[f64]| {
            let run = Run::over(ts, values);
            let window = super::super::Window {
                ts,
                values,
                histograms: &[],
                start_ms: 100_000,
                end_ms: 200_000,
                range_ms: 100_000,
                params: &[],
                eval_ms: 200_000,
                metric: run.metric,
                step_ms: 0,
            };
            edge_change(function, smoothed, &window, &mut Notes::default())
        };
        let ts = [90_000, 120_000, 150_000, 180_000];
        // Anchored: from the sample before; a reset after 30 adds it.
        assert_eq!(change("increase", false, &ts, &[10.0, 30.0, 5.0, 8.0]), Some(28.0));
        assert_eq!(change("rate", false, &ts, &[10.0, 30.0, 5.0, 8.0]), Some(0.28));
        assert_eq!(change("delta", false, &ts, &[10.0, 30.0, 5.0, 8.0]), Some(-2.0));
        assert_eq!(
            change("increase", false, &ts[..1], &[10.0]),
            None,
            "nothing behind the beginning"
        );
        // Smoothed: at 100 s the line from (90, 10) to (120, 40) is at 20; at 200 s that to (210, 70) at 60.
        let ts = [90_000, 120_000, 180_000, 210_000];
        assert_eq!(change("increase", true, &ts, &[10.0, 40.0, 40.0, 70.0]), Some(40.0));
        // A reset across the beginning rises from 0: at 100 s 10.
        assert_eq!(change("increase", true, &ts, &[90.0, 30.0, 40.0, 70.0]), Some(50.0));
        assert_eq!(change("delta", true, &ts, &[90.0, 30.0, 40.0, 70.0]), Some(60.0 - 70.0));
    }
}

mod maps {
    use super::*;

    #[test]
    fn special_cases_of_go() {
        assert_eq!(map("clamp", 5.0, &[0.0, 3.0]), 3.0);
        assert!(map("clamp", NAN, &[0.0, 3.0]).is_nan());
        assert!(map("clamp_min", NAN, &[0.0]).is_nan());
        assert_eq!(map("clamp_min", -2.0, &[-1.0]), -1.0);
        assert_eq!(map("clamp_max", -2.0, &[-3.0]), -3.0);
        assert!(map("clamp_max", 2.0, &[NAN]).is_nan());
        assert!(same(map("sgn", -0.0, &[]), -0.0));
        assert!(map("sgn", NAN, &[]).is_nan());
        assert_eq!((map("sgn", -7.0, &[]), map("sgn", INF, &[])), (-1.0, 1.0));
        assert!(same(max_of(-0.0, 0.0), 0.0) && same(max_of(0.0, -0.0), 0.0));
        assert!(same(min_of(-0.0, 0.0), -0.0) && same(min_of(0.0, -0.0), -0.0));
        assert_eq!((max_of(INF, NAN), min_of(NAN, -INF)), (INF, -INF));
        assert!(max_of(1.0, NAN).is_nan() && min_of(NAN, INF).is_nan());
    }

    #[test]
    fn rounds_ties_up_to_the_nearest_multiple() {
        for (value, params, expected) in [
            (2.5, &[][..], 3.0),
            (-2.5, &[], -2.0),
            (2.4, &[], 2.0),
            (17.0, &[5.0], 15.0),
            (18.0, &[5.0], 20.0),
            (0.34, &[0.1], 0.3),
            (-0.3, &[], -0.0),
        ] {
            assert_eq!(map("round", value, params), expected, "{value} {params:?}");
        }
        assert!(map("round", 1.0, &[0.0]).is_nan());
    }

    #[test]
    fn logarithms_take_the_way_of_go() {
        for exponent in [-1074, -1023, -1022, -1, 0, 1, 10, 1023] {
            assert_eq!(map("log2", 2f64.powi(exponent), &[]), f64::from(exponent));
        }
        assert_eq!(map("log10", 1000.0, &[]), 3.0);
        assert_eq!(map("log10", 100.0, &[]), 2.0);
        assert_eq!(map("ln", std::f64::consts::E, &[]), 1.0);
        for name in ["ln", "log2", "log10"] {
            assert_eq!(map(name, 0.0, &[]), -INF, "{name}");
            assert!(map(name, -1.0, &[]).is_nan(), "{name}");
            assert_eq!(map(name, INF, &[]), INF, "{name}");
        }
    }

    #[test]
    fn every_map_is_the_function_of_its_name() {
        for (name, value, expected) in [
            ("abs", -2.5, 2.5),
            ("ceil", 1.2, 2.0),
            ("floor", -1.2, -2.0),
            ("exp", 1.0, std::f64::consts::E),
            ("sqrt", 2.25, 1.5),
            ("sin", 0.5, 0.479425538604203),
            ("cos", 0.5, 0.8775825618903728),
            ("tan", 0.5, 0.5463024898437905),
            ("asin", 0.5, std::f64::consts::FRAC_PI_6),
            ("acos", 0.5, std::f64::consts::FRAC_PI_3),
            ("atan", 0.5, 0.4636476090008061),
            ("sinh", 0.5, 0.5210953054937474),
            ("cosh", 0.5, 1.1276259652063807),
            ("tanh", 0.5, 0.46211715726000973),
            ("asinh", 0.5, 0.48121182505960347),
            ("acosh", 1.5, 0.9624236501192069),
            ("atanh", 0.5, 0.5493061443340548),
            ("deg", std::f64::consts::PI, 180.0),
            ("rad", 180.0, std::f64::consts::PI),
        ] {
            assert!(
                (map(name, value, &[]) - expected).abs() < 1e-15,
                "{name}: {}",
                map(name, value, &[])
            );
        }
    }
}

mod date {
    use super::*;

    #[test]
    fn parts_of_a_known_day() {
        // 2008-02-29 23:59:58 UTC, a Friday.
        let at = 1204329598.0;
        for (name, expected) in [
            ("year", 2008.0),
            ("month", 2.0),
            ("day_of_month", 29.0),
            ("day_of_week", 5.0),
            ("day_of_year", 60.0),
            ("days_in_month", 29.0),
            ("hour", 23.0),
            ("minute", 59.0),
        ] {
            assert_eq!(super::date(name, at), expected, "{name}");
        }
    }

    #[test]
    fn before_the_epoch_and_at_the_turn_of_centuries() {
        // 1969-12-31 23:59:59, a Wednesday; fractions are cut towards the epoch.
        assert_eq!(super::date("year", -1.0), 1969.0);
        assert_eq!(super::date("day_of_week", -1.0), 3.0);
        assert_eq!(super::date("year", -0.5), 1970.0);
        assert_eq!(super::date("minute", -1.0), 59.0);
        // 1900-02-28 has no successor of 29 days, 2000-02 has.
        assert_eq!(super::date("days_in_month", -2203977600.0), 28.0);
        assert_eq!(super::date("days_in_month", 951696000.0), 29.0);
        // 2100-12-31 is day 365.
        assert_eq!(super::date("day_of_year", 4133894400.0), 365.0);
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1800, 1, 1, 3);
        for day in -62091..230_000 {
            let at = f64::from(day) * 86_400.0;
            let parts =
                ["year", "month", "day_of_month", "day_of_week"].map(|name| super::date(name, at));
            let (year, month, date, weekday) = expected;
            assert_eq!(
                parts,
                [f64::from(year), f64::from(month), f64::from(date), f64::from(weekday)],
                "day {day}"
            );
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
                [month as usize - 1];
            assert_eq!(super::date("days_in_month", at), f64::from(length));
            expected = match (date == length, month) {
                (false, _) => (year, month, date + 1, (weekday + 1) % 7),
                (true, 12) => (year + 1, 1, 1, (weekday + 1) % 7),
                (true, _) => (year, month + 1, 1, (weekday + 1) % 7),
            };
        }
    }

    #[test]
    fn no_float_is_out_of_range() {
        for at in [NAN, INF, -INF, f64::MAX, f64::MIN, 9.2e18, -9.2e18] {
            for name in [
                "year",
                "month",
                "day_of_month",
                "day_of_week",
                "day_of_year",
                "days_in_month",
                "hour",
                "minute",
            ] {
                assert!(super::date(name, at).is_finite(), "{name}({at})");
            }
        }
    }
}

mod buckets {
    use super::*;

    const LATENCY: [(f64, f64); 4] = [(0.1, 10.0), (0.5, 20.0), (1.0, 40.0), (INF, 50.0)];

    fn at(q: f64, buckets: &[(f64, f64)]) -> BucketQuantile {
        bucket_quantile(q, &mut buckets.to_vec())
    }

    #[test]
    fn quantiles_are_linear_within_a_bucket() {
        assert_eq!(at(0.1, &LATENCY).value, 0.05);
        assert_eq!(at(0.3, &LATENCY).value, 0.1 + 0.4 * 0.5);
        assert_eq!(at(0.6, &LATENCY).value, 0.75);
        assert_eq!(at(0.99, &LATENCY).value, 1.0, "in the highest bucket: its lower bound");
        assert_eq!((at(-0.1, &LATENCY).value, at(1.1, &LATENCY).value), (-INF, INF));
        assert!(at(NAN, &LATENCY).value.is_nan());
        assert_eq!(
            at(0.1, &[(-1.0, 5.0), (INF, 10.0)]).value,
            -1.0,
            "no lower bound to interpolate from"
        );
        let mut turned = LATENCY.to_vec();
        turned.reverse();
        assert_eq!(bucket_quantile(0.3, &mut turned).value, 0.1 + 0.4 * 0.5);
    }

    #[test]
    fn quantiles_that_do_not_exist() {
        assert!(at(0.5, &[]).value.is_nan());
        assert!(at(0.5, &[(INF, 5.0)]).value.is_nan());
        assert!(at(0.5, &[(1.0, 5.0), (2.0, 6.0)]).value.is_nan(), "without +Inf");
        assert!(at(0.5, &[(1.0, 0.0), (INF, 0.0)]).value.is_nan(), "no observations");
        assert!(at(0.5, &[(NAN, 1.0), (1.0, 1.0), (INF, 2.0)]).value.is_nan());
    }

    #[test]
    fn equal_bounds_are_added() {
        let twice = [(0.1, 4.0), (0.1, 6.0), (0.5, 20.0), (1.0, 40.0), (INF, 50.0)];
        assert_eq!(at(0.3, &twice), at(0.3, &LATENCY));
    }

    #[test]
    fn sinking_counts_are_lifted_and_reported() {
        let sunk = [(0.1, 10.0), (0.5, 8.0), (1.0, 7.0), (2.0, 40.0), (INF, 50.0)];
        let lifted = [(0.1, 10.0), (0.5, 10.0), (1.0, 10.0), (2.0, 40.0), (INF, 50.0)];
        let got = at(0.5, &sunk);
        assert_eq!(got.value, at(0.5, &lifted).value);
        assert_eq!(
            got.forced,
            Some(ForcedMonotonicity { bucket_min: 0.5, bucket_max: 1.0, diff_max: 3.0 })
        );
        assert!(!got.fixed_precision);
        let rounding = [(0.1, 10.0), (0.5, 10.0 - 1e-12), (INF, 50.0)];
        let got = at(0.5, &rounding);
        assert_eq!((got.forced, got.fixed_precision), (None, true));
    }

    #[test]
    fn fractions() {
        let fraction = |lower, upper| bucket_fraction(lower, upper, &mut LATENCY.to_vec());
        assert_eq!(fraction(-INF, INF), 1.0);
        assert_eq!(fraction(0.0, 0.1), 0.2);
        assert_eq!(fraction(0.1, 0.75), 0.4);
        assert_eq!(fraction(-INF, 5.0), 0.8, "nothing is placed in the infinite bucket");
        assert_eq!(fraction(1.0, INF), 0.2);
        assert_eq!(fraction(0.5, 0.5), 0.0);
        assert!(fraction(NAN, 1.0).is_nan() && fraction(0.0, NAN).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut vec![(1.0, 5.0)]).is_nan());
        assert!(bucket_fraction(0.0, 1.0, &mut vec![(1.0, 0.0), (INF, 0.0)]).is_nan());
        let below_zero = [(-1.0, 5.0), (0.0, 10.0), (INF, 10.0)];
        assert_eq!(bucket_fraction(-5.0, -0.5, &mut below_zero.to_vec()), 0.25);
    }

    #[test]
    fn bounds() {
        for (le, expected) in
            [("0.5", 0.5), ("+Inf", INF), ("inf", INF), ("-1e3", -1000.0), ("1", 1.0), ("5.", 5.0)]
        {
            assert_eq!(parse_bucket_bound(le), Some(expected), "{le}");
        }
        for le in ["", "x", "1e999", " 1", "1 ", "++1"] {
            assert_eq!(parse_bucket_bound(le), None, "{le}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_its_bounds(
            q in 0.0..=1.0_f64,
            mut buckets in prop::collection::vec((-100.0..100.0_f64, 0.0..1000.0_f64), 1..20),
        ) {
            buckets.push((INF, 1000.0));
            let highest = buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).fold(-INF, f64::max);
            let value = bucket_quantile(q, &mut buckets).value;
            prop_assert!(value <= highest.max(0.0), "{value} {highest}");
        }

        #[test]
        fn any_input_gives_an_answer(q: f64, lower: f64, upper: f64, buckets in prop::collection::vec((any::<f64>(), any::<f64>()), 0..10)) {
            bucket_quantile(q, &mut buckets.clone());
            bucket_fraction(lower, upper, &mut buckets.clone());
            let _ = quantile(q, &mut buckets.iter().map(|b| b.1).collect::<Vec<_>>());
        }
    }
}

mod label_functions {
    use super::*;

    fn replaced(regex: &str, template: &str, source: &str) -> Option<String> {
        LabelReplace::new(regex, template).unwrap().apply(source)
    }

    #[test]
    fn the_regex_matches_all_of_the_value() {
        assert_eq!(replaced("source-(.*)", "dest-$1", "source-7").as_deref(), Some("dest-7"));
        assert_eq!(replaced("value-(.*)", "$1", "source-value-7"), None);
        assert_eq!(replaced("(.*)", "value-$1", "").as_deref(), Some("value-"));
        assert_eq!(
            replaced("a.b", "x", "a\nb").as_deref(),
            Some("x"),
            "a dot matches a line break"
        );
        assert!(LabelReplace::new("(.*", "").is_err());
    }

    #[test]
    fn templates_expand_as_in_go() {
        for (template, expected) in [
            ("$1-$2", "left-right"),
            ("${1}x", "leftx"),
            ("$1x", ""),
            ("$1_", ""),
            ("$$1", "$1"),
            ("$", "$"),
            ("$-$1", "$-left"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$side", "right"),
            ("${side}!", "right!"),
            ("$nothing.", "."),
            ("$0", "left|right"),
            ("$01", ""),
            ("$9", ""),
            ("ü$1ß", "ü"),
            ("ü${1}ß", "üleftß"),
        ] {
            assert_eq!(
                replaced(r"(.*)\|(?P<side>.*)", template, "left|right").as_deref(),
                Some(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn names() {
        assert!(is_valid_name("a.b") && !is_valid_name(""));
    }

    #[test]
    fn natural_order() {
        let mut names = [
            "cpu10",
            "cpu9",
            "cpu",
            "a",
            "cpu09",
            "cpu9b",
            "10",
            "9",
            "cpu100000000000000000000000",
        ];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(
            names,
            [
                "9",
                "10",
                "a",
                "cpu",
                "cpu09",
                "cpu9",
                "cpu9b",
                "cpu10",
                "cpu100000000000000000000000"
            ]
        );
    }

    proptest! {
        #[test]
        fn natural_order_is_total(a in "[a-b0-2]{0,5}", b in "[a-b0-2]{0,5}", c in "[a-b0-2]{0,5}") {
            prop_assert_eq!(natural_cmp(&a, &b), natural_cmp(&b, &a).reverse());
            prop_assert_eq!(natural_cmp(&a, &b).is_eq(), a == b);
            if natural_cmp(&a, &b).is_le() && natural_cmp(&b, &c).is_le() {
                prop_assert!(natural_cmp(&a, &c).is_le());
            }
        }
    }
}

mod notes {
    use super::*;

    fn forced(ts_ms: i64, bucket: f64, diff_max: f64) -> Note {
        Note::HistogramQuantileForcedMonotonicity {
            metric: "m".to_owned(),
            ts_min_ms: ts_ms,
            ts_max_ms: ts_ms,
            bucket_min: bucket,
            bucket_max: bucket,
            diff_max,
            more: 0,
        }
    }

    #[test]
    fn each_once_in_order() {
        let mut notes = Notes::default();
        notes.add(Note::InvalidQuantile { q: NAN });
        notes.add(Note::SortInRangeQuery);
        notes.add(Note::InvalidQuantile { q: NAN });
        notes.add(Note::InvalidQuantile { q: 2.0 });
        notes.add_possible_non_counter("up");
        notes.add_possible_non_counter("up");
        let kinds: Vec<_> = notes.drain().collect();
        assert_eq!(kinds.len(), 4);
        assert!(notes.is_empty());
        assert_eq!(kinds[1], Note::SortInRangeQuery);
        assert!(kinds[3].is_info() && !kinds[0].is_info());
    }

    #[test]
    fn forced_monotonicity_is_gathered() {
        let mut notes = Notes::default();
        for (ts, bucket, diff) in [(2000, 1.0, 3.0), (1000, 0.5, 1.0), (3000, 2.0, 2.0)] {
            notes.add(forced(ts, bucket, diff));
        }
        let mut others = Notes::default();
        others.add(forced(9000, 1.0, 0.5));
        notes.append(&mut others);
        let expected = Note::HistogramQuantileForcedMonotonicity {
            metric: "m".to_owned(),
            ts_min_ms: 1000,
            ts_max_ms: 9000,
            bucket_min: 0.5,
            bucket_max: 2.0,
            diff_max: 3.0,
            more: 3,
        };
        assert_eq!(notes.drain().collect::<Vec<_>>(), [expected]);
    }
}
