//! Pages from builder to reader.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::codec::Malformed;
use crate::model::{TimeRange, stale_nan};

/// What a series was given and must give back.
#[derive(Debug, Clone, Default, PartialEq)]
struct Series {
    ord: u32,
    ts: Vec<i64>,
    /// As bits, to compare NaNs.
    values: Vec<u64>,
    start_ts: Vec<i64>,
    histograms: Vec<(i64, Vec<u8>)>,
}

impl Series {
    fn floats(ord: u32, ts: &[i64], value: impl Fn(usize) -> f64) -> Self {
        let values = (0..ts.len()).map(|i| value(i).to_bits()).collect();
        Self { ord, ts: ts.to_vec(), values, ..Self::default() }
    }

    fn inside(&self, range: TimeRange) -> Self {
        let slots: Vec<usize> =
            (0..self.ts.len()).filter(|&slot| range.contains(self.ts[slot])).collect();
        let histograms = self.histograms.iter().filter(|(ts, _)| range.contains(*ts));
        Self {
            ord: self.ord,
            ts: slots.iter().map(|&slot| self.ts[slot]).collect(),
            values: slots.iter().map(|&slot| self.values[slot]).collect(),
            start_ts: if self.start_ts.iter().any(|start| *start != 0) {
                slots.iter().map(|&slot| self.start_ts[slot]).collect()
            } else {
                Vec::new()
            },
            histograms: histograms.cloned().collect(),
        }
    }
}

fn build(group: u32, series: &[Series]) -> (Vec<u8>, PageInfo) {
    let mut builder = PageBuilder::new(group);
    let mut bytes = vec![0xaa; 5];
    for one in series {
        let values: Vec<f64> = one.values.iter().map(|bits| f64::from_bits(*bits)).collect();
        builder.add_floats(one.ord, &one.ts, &values, &one.start_ts);
        let (ts, blobs): (Vec<i64>, Vec<Vec<u8>>) = one.histograms.iter().cloned().unzip();
        builder.add_histograms(one.ord, &ts, &blobs);
    }
    let estimate = builder.encoded_len_estimate();
    let info = builder.finish(&mut bytes);
    assert!(builder.is_empty());
    assert_eq!(bytes.len(), 5 + info.len as usize);
    assert!(bytes.len() <= estimate + estimate / 16 + 5, "{} > {estimate}", bytes.len());
    (bytes.split_off(5), info)
}

fn read(
    page: &Page<'_>,
    ord: u32,
    range: TimeRange,
    scratch: &mut PageScratch,
) -> Result<Series, Malformed> {
    let (mut values, mut back) = (Vec::new(), Series { ord, ..Series::default() });
    let n = page.read_floats(ord, range, scratch, &mut back.ts, &mut values, &mut back.start_ts)?;
    assert_eq!((n, n), (back.ts.len(), values.len()));
    back.values = values.iter().map(|value| value.to_bits()).collect();
    let n = page.read_histograms(ord, range, scratch, &mut |ts, blob| {
        back.histograms.push((ts, blob.to_vec()));
        Ok(())
    })?;
    assert_eq!(n, back.histograms.len());
    Ok(back)
}

fn check(series: &[Series]) -> Vec<u8> {
    let (bytes, mut info) = build(77, series);
    check_page(&bytes, info, series);
    let mut compressed = bytes.clone();
    Compressor::default().compress(&mut compressed);
    info.len = compressed.len() as u32;
    check_page(&compressed, info, series);
    bytes
}

fn check_page(bytes: &[u8], info: PageInfo, series: &[Series]) {
    let (mut inflated, mut loose) = (InflatedPages::default(), InflatedPages::default());
    let page = Page::open(bytes, true, Some(3), &mut inflated).unwrap();
    assert_eq!(page.info(), info);
    assert_eq!(page.group(), 77);
    let all_ts = || {
        let histograms = series.iter().flat_map(|one| one.histograms.iter().map(|(ts, _)| *ts));
        series.iter().flat_map(|one| one.ts.iter().copied()).chain(histograms)
    };
    assert_eq!(info.n_samples as usize, all_ts().count());
    assert_eq!((info.min_ts, info.max_ts), (all_ts().min().unwrap(), all_ts().max().unwrap()));
    let middle = info.min_ts / 2 + info.max_ts / 2;
    let ranges = [
        TimeRange::ALL,
        TimeRange::new(info.min_ts, middle),
        TimeRange::new(middle, info.max_ts),
        TimeRange::new(middle, middle.saturating_add(30_000)),
        TimeRange::new(middle, middle - 1),
    ];
    let mut scratch = PageScratch::default();
    for one in series {
        for range in ranges {
            let back = read(&page, one.ord, range, &mut scratch).unwrap();
            assert_eq!(back, one.inside(range), "{range:?}");
        }
        let page = Page::open(bytes, false, None, &mut loose).unwrap();
        let alone = read(&page, one.ord, TimeRange::ALL, &mut scratch);
        assert_eq!(alone.unwrap(), one.inside(TimeRange::ALL));
    }
    let entries: Vec<(u32, EntryKind)> = page.entries().map(Result::unwrap).collect();
    let expected: Vec<(u32, EntryKind)> = series
        .iter()
        .flat_map(|one| {
            let floats = (!one.ts.is_empty()).then_some((one.ord, EntryKind::Floats));
            let histograms =
                (!one.histograms.is_empty()).then_some((one.ord, EntryKind::Histograms));
            [floats, histograms].into_iter().flatten()
        })
        .collect();
    assert_eq!(entries, expected);
}

fn can_open(bytes: &[u8], verify: bool) -> bool {
    Page::open(bytes, verify, None, &mut InflatedPages::default()).is_ok()
}

fn grid(n: i64) -> Vec<i64> {
    (0..n).map(|i| 1_700_000_000_000 + i * 15_000).collect()
}

/// One page with everything in it.
fn mixed() -> Vec<Series> {
    let ts = grid(120);
    let mut series: Vec<Series> = (10..40)
        .map(|ord| Series::floats(ord, &ts, |i| f64::from(ord) + (i / 7) as f64 * 0.5))
        .collect();
    series.push(Series::floats(41, &ts[30..90], |i| i as f64));
    let every_other: Vec<i64> = ts.iter().copied().step_by(2).collect();
    series.push(Series::floats(42, &every_other, |i| (i as f64).sqrt()));
    let own: Vec<i64> = ts.iter().map(|ts| ts + 1234).collect();
    series.push(Series::floats(43, &own, |i| if i == 5 { stale_nan() } else { i as f64 }));
    series.push(Series::floats(44, &own, |_| -0.0));
    let mut started = Series::floats(45, &ts, |i| i as f64);
    started.start_ts = (0..120).map(|i| if i < 60 { 1_690_000_000_000 } else { 0 }).collect();
    series.push(started);
    let mut both = Series::floats(46, &ts[..50], |i| i as f64);
    both.histograms = ts[50..].iter().map(|ts| (*ts, vec![*ts as u8; 9])).collect();
    series.push(both);
    let mut histograms = Series { ord: 1_000_000, ..Series::default() };
    histograms.histograms = ts.iter().map(|ts| (*ts, ts.to_le_bytes().to_vec())).collect();
    histograms.histograms[4].1.clear();
    series.push(histograms);
    series
}

#[test]
fn a_page_of_everything_round_trips() {
    check(&mixed());
}

#[test]
fn a_target_shares_one_column() {
    let ts = grid(120);
    let series: Vec<Series> = (0..600).map(|ord| Series::floats(ord, &ts, |_| 1.0)).collect();
    let bytes = check(&series);
    // Two bytes of value and two of directory for a constant series.
    assert!(bytes.len() < 600 * 4 + 64, "{}", bytes.len());
}

#[test]
fn extreme_timestamps_round_trip() {
    check(&[
        Series::floats(0, &[i64::MIN, -1, 0, i64::MAX], |i| i as f64),
        Series::floats(u32::MAX, &[i64::MIN, i64::MAX], |i| -(i as f64)),
    ]);
    let mut series = Series::floats(5, &[i64::MIN, i64::MAX], |i| i as f64);
    series.start_ts = vec![i64::MAX, i64::MIN];
    check(&[series]);
}

#[test]
fn pages_beyond_64_kib_use_wide_offsets() {
    let ts = grid(720);
    let noise = |ord: u32| move |i: usize| (f64::from(ord) + i as f64).sin();
    let series: Vec<Series> =
        (0..40).map(|ord| Series::floats(ord * 3000, &ts, noise(ord))).collect();
    assert!(check(&series).len() > 100_000);
}

/// The format on disk: these bytes must be readable for ever.
#[test]
fn the_layout_does_not_change() {
    let ts = [1000, 2000, 3000, 4500];
    let mut builder = PageBuilder::new(7);
    builder.add_floats(3, &ts, &[1.5; 4], &[]);
    builder.add_floats(4, &ts[1..], &[10.0, stale_nan(), 30.0], &[500, 500, 0]);
    builder.add_histograms(4, &ts[..1], &[vec![0xab, 0xcd]]);
    let mut bytes = Vec::new();
    builder.finish(&mut bytes);
    #[rustfmt::skip]
    let expected = [
        // header: magic, compression, layout, group, ordinals, entries, columns
        0x91, 0, 1, 7, 3, 1, 3, 1,
        // times, samples, lengths
        0xd0, 0x0f, 0xac, 0x1b, 8, 9, 28,
        // ordinals, begins of the entries
        0, 0, 1, 0, 1, 0, 2, 0, 22, 0,
        // column: 4 slots; differences, divided by 500
        4, 0x09, 1, 0xf4, 3, 0xd0, 0x0f, 4, 0b100,
        // constant 15 / 10^1
        0x21, 30,
        // head, run from slot 1 of 3 slots; start timestamps, divided by 500
        0x9a, 1, 3, 0x08, 1, 0xf4, 3, 0xb8, 0x17, 0, 0b100,
        // decimals with one exception: a stale marker at 1
        0x40, 1, 2, 0x08, 1, 20, 20, 0, 0b100,
        // histogram head, run, blob
        0x93, 0, 1, 2, 0xab, 0xcd,
        // checksum
        0xf8, 0xfb, 0x0c, 0x4e,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn an_empty_builder_writes_nothing() {
    let mut builder = PageBuilder::new(1);
    builder.add_floats(3, &[], &[], &[]);
    builder.add_histograms(3, &[], &[]);
    let mut out = vec![1];
    assert_eq!(builder.finish(&mut out), PageInfo::default());
    assert_eq!(out, [1]);
}

#[test]
fn a_builder_is_reusable() {
    let (first, _) = build(4, &mixed());
    let mut builder = PageBuilder::new(9);
    let (mut out, ts) = (Vec::new(), grid(3));
    builder.add_floats(8, &ts, &[1.0, 2.0, 3.0], &[]);
    builder.reset(4);
    for one in mixed() {
        let values: Vec<f64> = one.values.iter().map(|bits| f64::from_bits(*bits)).collect();
        builder.add_floats(one.ord, &one.ts, &values, &one.start_ts);
        let (ts, blobs): (Vec<i64>, Vec<Vec<u8>>) = one.histograms.into_iter().unzip();
        builder.add_histograms(one.ord, &ts, &blobs);
    }
    builder.finish(&mut out);
    assert_eq!(out, first);
}

#[test]
fn absent_series_have_nothing() {
    let (bytes, _) = build(1, &mixed());
    let mut inflated = InflatedPages::default();
    let page = Page::open(&bytes, true, None, &mut inflated).unwrap();
    for ord in [0, 9, 40, 47, 999_999, 1_000_001, u32::MAX] {
        assert!(!page.contains(ord));
        let back = read(&page, ord, TimeRange::ALL, &mut PageScratch::default()).unwrap();
        assert_eq!(back, Series { ord, ..Series::default() });
    }
    assert!(page.contains(10) && page.contains(46) && page.contains(1_000_000));
}

#[test]
fn start_timestamps_stay_parallel_over_pages() {
    let plain = Series::floats(5, &grid(3), |i| i as f64);
    let mut started = plain.clone();
    started.start_ts = vec![0, 7, 8];
    let pages: Vec<Vec<u8>> =
        [&plain, &started, &plain].map(|one| build(0, std::slice::from_ref(one)).0).into();
    let (mut ts, mut values, mut start_ts) = (Vec::new(), Vec::new(), Vec::new());
    let mut scratch = PageScratch::default();
    for (page, expected) in
        pages.iter().zip([&[][..], &[0, 0, 0, 0, 7, 8], &[0, 0, 0, 0, 7, 8, 0, 0, 0]])
    {
        let mut inflated = InflatedPages::default();
        let page = Page::open(page, true, None, &mut inflated).unwrap();
        page.read_floats(5, TimeRange::ALL, &mut scratch, &mut ts, &mut values, &mut start_ts)
            .unwrap();
        assert_eq!(start_ts, expected);
    }
    assert_eq!(ts.len(), 9);
}

#[test]
fn one_scratch_serves_pages_in_turn() {
    let at = |from: i64| Series::floats(5, &[from, from + 1], |i| i as f64);
    let (one, two) = (build(0, &[at(0)]).0, build(0, &[at(50)]).0);
    let mut scratch = PageScratch::default();
    for (bytes, id, from) in [(&one, 1, 0), (&two, 2, 50), (&one, 1, 0)] {
        let mut inflated = InflatedPages::default();
        let page = Page::open(bytes, true, Some(id), &mut inflated).unwrap();
        let back = read(&page, 5, TimeRange::ALL, &mut scratch).unwrap();
        assert_eq!(back.ts, [from, from + 1]);
    }
}

#[test]
fn other_versions_and_compressions_are_refused() {
    let (bytes, _) = build(1, &mixed());
    for (at, to) in [(0, 0x92), (1, 1), (1, 2), (1, 3), (2, 3), (2, 8)] {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        assert!(!can_open(&bytes, false), "byte {at} = {to}");
    }
    let mut compressed = bytes.clone();
    Compressor::default().compress(&mut compressed);
    assert!(compressed.len() < bytes.len());
    for bytes in [bytes, compressed] {
        for len in 0..bytes.len() {
            assert!(!can_open(&bytes[..len], true), "{len}");
            assert!(!can_open(&bytes[..len], false), "{len}");
        }
    }
}

#[test]
#[should_panic(expected = "ordinals ascend")]
fn descending_ordinals_are_a_mistake_of_the_caller() {
    let mut builder = PageBuilder::new(1);
    builder.add_floats(4, &[1], &[1.0], &[]);
    builder.add_floats(3, &[1], &[1.0], &[]);
}

/// Reads everything that a damaged page claims to have.
fn read_all(bytes: &[u8]) {
    let mut inflated = InflatedPages::default();
    let Ok(page) = Page::open(bytes, false, Some(1), &mut inflated) else { return };
    let mut scratch = PageScratch::default();
    for entry in page.entries().flatten() {
        for range in [TimeRange::ALL, TimeRange::new(1_700_000_100_000, 1_700_000_900_000)] {
            if let Ok(back) = read(&page, entry.0, range, &mut scratch) {
                assert!(
                    back.ts.len() <= WINDOW_SLOTS_MAX && back.histograms.len() <= WINDOW_SLOTS_MAX
                );
            }
        }
    }
}

fn any_series() -> impl Strategy<Value = Vec<Series>> {
    let stamps = prop_oneof![
        4 => (0i64..720, 1i64..720).prop_map(|(from, n)| grid(720)[from as usize..(from + n).min(720) as usize].to_vec()),
        2 => proptest::collection::btree_set(0i64..720, 1..200)
            .prop_map(|slots| slots.iter().map(|slot| grid(720)[*slot as usize]).collect()),
        1 => proptest::collection::btree_set(any::<i64>(), 1..720).prop_map(|ts| ts.into_iter().collect()),
    ];
    let lists = proptest::collection::vec(stamps, 1..5);
    let one = (any::<proptest::sample::Index>(), 1u32..200, 0u8..4, any::<u64>());
    (lists, proptest::collection::vec(one, 1..40)).prop_map(|(lists, picks)| {
        let mut ord = 0;
        let series = picks.iter().map(|(list, gap, kind, seed)| {
            ord += if *seed % 3 == 0 { *gap } else { 1 };
            let ts = list.get(&lists);
            let odd = |i: usize| f64::from_bits(seed.rotate_left(i as u32));
            let plain = |i: usize| (seed % 1000) as f64 + (i as u64 * (seed % 13)) as f64 / 10.0;
            match kind {
                0 => Series::floats(ord, ts, odd),
                1 => {
                    let mut series = Series::floats(ord, ts, plain);
                    series.start_ts =
                        ts.iter().map(|ts| ts.wrapping_sub((*seed >> 40) as i64)).collect();
                    series
                }
                2 => {
                    let blob = |ts: &i64| (*ts, seed.to_le_bytes()[..(*ts & 7) as usize].to_vec());
                    let mut series = Series::floats(ord, &ts[..ts.len() / 2], plain);
                    series.histograms = ts[ts.len() / 2..].iter().map(blob).collect();
                    series
                }
                _ => Series::floats(ord, ts, plain),
            }
        });
        series.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_page_round_trips(series in any_series()) {
        check(&series);
    }

    #[test]
    fn damaged_pages_never_panic_and_are_seen(
        series in any_series(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), 1u8..=255), 1..6),
    ) {
        let (whole, _) = build(1, &series);
        let mut compressed = whole.clone();
        Compressor::default().compress(&mut compressed);
        for (at, flip) in damage {
            let whole = if flip % 4 < 2 { &whole } else { &compressed };
            let mut bytes = whole.clone();
            // The frame is the most delicate part: half of the damage goes there.
            let len = if flip % 2 == 0 { whole.len().min(48) } else { whole.len() };
            bytes[at.index(len)] ^= flip;
            prop_assert!(!can_open(&bytes, true));
            read_all(&bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
        for (compression, mask) in [(0, 0x1f), (1, 0xff), (2, 0xff)] {
            let mut framed = vec![0x91, compression];
            framed.extend(bytes.iter().map(|byte| byte & mask));
            read_all(&framed);
        }
    }
}
