//! Exploration against counting label set by label set.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::*;

/// The list as it must be: descending by count, then ascending by name, without what has no count.
fn ranked<T: Ord + Clone>(
    counts: &BTreeMap<T, SeriesCount>,
    limit: usize,
    key: impl Fn(&SeriesCount) -> (u64, u64),
) -> Vec<(T, SeriesCount)> {
    let mut list: Vec<_> = counts.iter().map(|(text, count)| (text.clone(), *count)).collect();
    list.retain(|entry| key(&entry.1).0 > 0);
    list.sort_by(|a, b| key(&b.1).cmp(&key(&a.1)).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
    list
}

fn naive_exploration(list: &[(SeriesOrd, Labels)], wanted: &Exploration<'_>) -> Explored {
    let mut total = SeriesCount::default();
    let mut pairs: BTreeMap<(String, String), SeriesCount> = BTreeMap::new();
    let mut names: BTreeMap<String, SeriesCount> = BTreeMap::new();
    for (ord, labels) in list {
        if wanted.within.is_some_and(|within| !within.contains(ord.0)) {
            continue;
        }
        let young = u64::from(wanted.young.is_some_and(|young| young.contains(ord.0)));
        let count = |count: &mut SeriesCount| {
            count.series += 1;
            count.young += young;
        };
        count(&mut total);
        for (name, value) in labels {
            count(pairs.entry((name.to_owned(), value.to_owned())).or_default());
            count(names.entry(name.to_owned()).or_default());
        }
    }
    let growth = wanted.rank == Rank::Growth;
    let key = |c: &SeriesCount| if growth { (c.young, c.series) } else { (c.series, c.young) };
    let is_new = |count: &SeriesCount| count.series == count.young;
    let values_of = |name: &str| -> BTreeMap<String, SeriesCount> {
        let here = pairs.iter().filter(|entry| entry.0.0 == name);
        here.map(|entry| (entry.0.1.clone(), *entry.1)).collect()
    };
    let labels: Vec<LabelCount> = names
        .iter()
        .map(|(name, count)| {
            let values = values_of(name);
            let values_new = values.values().filter(|count| is_new(count)).count() as u64;
            let bytes = values.iter().map(|(value, count)| value.len() as u64 * count.series).sum();
            LabelCount {
                name: name.clone(),
                count: *count,
                values: values.len() as u64,
                values_new,
                bytes: if wanted.bytes { bytes } else { 0 },
            }
        })
        .collect();
    let labels_by = |key: &dyn Fn(&LabelCount) -> u64| {
        let mut sorted: Vec<LabelCount> = labels.iter().filter(|l| key(l) > 0).cloned().collect();
        sorted.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
        sorted.truncate(wanted.limit);
        sorted
    };
    let values = |name: &String| (name.clone(), ranked(&values_of(name), wanted.limit, key));
    Explored {
        total,
        labels_total: names.values().map(|count| count.series).sum(),
        pairs_total: pairs.len() as u64,
        pairs_new: pairs.values().filter(|count| is_new(count)).count() as u64,
        names_total: names.len() as u64,
        metrics: ranked(&values_of("__name__"), wanted.limit, key),
        labels_by_values: labels_by(&|l| if growth { l.values_new } else { l.values }),
        labels_by_series: labels_by(&|l| key(&l.count).0),
        labels_by_bytes: labels_by(&|l| l.bytes),
        pairs: ranked(&pairs, wanted.limit, key)
            .into_iter()
            .map(|((name, value), count)| (name, value, count))
            .collect(),
        values: wanted.values_of.iter().map(values).collect(),
    }
}

proptest! {
    #[test]
    fn exploring_counts_as_counting_one_by_one(
        sets in prop::collection::vec(label_set(), 0..200),
        gone in prop::collection::vec(any::<bool>(), 200),
        young in prop::collection::vec(any::<bool>(), 200),
        within in prop::option::of(prop::collection::vec(matcher(), 0..3)),
        focus in prop::sample::select(vec!["__name__", "code", "id", "none"]),
        growth in any::<bool>(),
        bytes in any::<bool>(),
        limit in 0..40usize,
    ) {
        let mut index = MemIndex::new(&targets());
        let mut list: Vec<(SeriesOrd, Labels)> = Vec::new();
        for labels in sets {
            let (ord, is_new) = index.insert(&labels).unwrap();
            if is_new {
                list.push((ord, labels));
            }
        }
        list.retain(|(ord, _)| !gone[ord.0 as usize] || index.remove(*ord).is_none());
        let of = |flags: &[bool]| -> RoaringBitmap {
            list.iter().map(|entry| entry.0.0).filter(|ord| flags[*ord as usize]).collect()
        };
        let (young, all) = (of(&young), index.live());
        let within = within.map(|matchers| index.resolve(&matchers).unwrap());
        let values_of = ["job", "cluster", focus].map(str::to_owned);
        for young in [None, Some(&young)] {
            let rank = if growth { Rank::Growth } else { Rank::Size };
            let within = within.as_ref();
            let wanted =
                Exploration { within, young, values_of: &values_of, rank, bytes, limit };
            let right = naive_exploration(&list, &wanted);
            let by_rows = index.explore_by(&wanted, Some(within.unwrap_or(&all)), &mut |_| Ok(()));
            prop_assert_eq!(&by_rows.unwrap(), &right);
            let by_postings = index.explore_by(&wanted, None, &mut |_| Ok(()));
            prop_assert_eq!(&by_postings.unwrap(), &right);
            prop_assert_eq!(index.explore(&wanted, &mut |_| Ok(())).unwrap(), right);
        }
    }
}

/// What an operator looks for: a deployment that put a request's number into a label.
#[test]
fn the_exploding_label_comes_first() {
    let mut index = MemIndex::new(&targets());
    let mut insert = |metric: &str, job: &str, id: &str| {
        let pairs = [("__name__", metric), ("job", job), ("id", id), ("code", "200")];
        index.insert(&Labels::from_pairs(pairs)).unwrap().0.0
    };
    for job in 0..50 {
        insert("up", &format!("job-{job}"), "");
        insert("requests_total", &format!("job-{job}"), "");
    }
    let young: RoaringBitmap =
        (0..40).map(|id| insert("requests_total", "job-7", &format!("r-{id}"))).collect();
    let values_of = ["job".to_owned()];
    let wanted = Exploration {
        young: Some(&young),
        values_of: &values_of,
        rank: Rank::Growth,
        limit: 1,
        ..Exploration::default()
    };
    let explored = index.explore(&wanted, &mut |_| Ok(())).unwrap();
    let young_of = |series| SeriesCount { series, young: 40 };
    assert_eq!(explored.total, young_of(140));
    assert_eq!(explored.metrics, [("requests_total".to_owned(), young_of(90))]);
    assert_eq!(explored.values, [("job".to_owned(), vec![("job-7".to_owned(), young_of(42))])]);
    let id = LabelCount {
        name: "id".to_owned(),
        count: young_of(40),
        values: 40,
        values_new: 40,
        bytes: 0,
    };
    assert_eq!(explored.labels_by_values, [id]);
    let by_size = Exploration { rank: Rank::Size, ..wanted };
    let explored = index.explore(&by_size, &mut |_| Ok(())).unwrap();
    assert_eq!(explored.labels_by_values[0].name, "job", "50 values, none of them new");
}

#[test]
fn exploring_can_be_ended() {
    let mut index = MemIndex::new(&targets());
    for id in 0..20_000 {
        let id = id.to_string();
        index.insert(&Labels::from_pairs([("__name__", "up"), ("id", id.as_str())])).unwrap();
    }
    let all = index.live();
    for rows in [None, Some(&all)] {
        let (mut calls, mut steps) = (0, 0);
        let wanted = Exploration { limit: 10, ..Exploration::default() };
        index
            .explore_by(&wanted, rows, &mut |n| {
                (calls, steps) = (calls + 1, steps + n);
                Ok(())
            })
            .unwrap();
        assert!(calls >= 4 && steps >= 16_384, "{calls} {steps}");
        let mut calls = 0;
        let ended = index.explore_by(&wanted, rows, &mut |_| {
            calls += 1;
            Err(crate::Error::Unavailable { why: "enough" })
        });
        assert!(matches!(ended, Err(crate::Error::Unavailable { why: "enough" })));
        assert_eq!(calls, 1);
    }
}

/// `cargo test --release -p nines-storage -- --ignored --nocapture what_exploring_costs`.
#[test]
#[ignore = "measures; takes some seconds"]
fn what_exploring_costs() {
    let (targets, sets) = a_cluster();
    let mut index = MemIndex::new(&targets);
    sets.iter().for_each(|labels| {
        index.insert(labels).unwrap();
    });
    let time = |what: &str, wanted: &Exploration<'_>| {
        let begin = std::time::Instant::now();
        let explored = index.explore(wanted, &mut |_| Ok(())).unwrap();
        eprintln!("{what}: {} series in {:?}", explored.total.series, begin.elapsed());
    };
    let young: RoaringBitmap = (900_000..1_000_000).collect();
    let metric = index.resolve(&[Matcher::equal("__name__", "container_metric_007")]).unwrap();
    let most = index.resolve(&[Matcher::new("code", MatchOp::NotEqual, "200").unwrap()]).unwrap();
    let values_of = ["job", "cluster", "pod"].map(str::to_owned);
    let all = Exploration { values_of: &values_of, limit: 20, ..Exploration::default() };
    time("all", &all);
    time("all, young", &Exploration { young: Some(&young), ..all });
    time("a metric, young", &Exploration { within: Some(&metric), young: Some(&young), ..all });
    time("most, young", &Exploration { within: Some(&most), young: Some(&young), ..all });
    let begin = std::time::Instant::now();
    index.cardinality(20).unwrap();
    eprintln!("cardinality: {:?}", begin.elapsed());
}
