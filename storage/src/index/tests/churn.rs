//! Series that come and go: answers stay right, and memory is used again.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::*;
use crate::index::mem::Removed;

/// Texts of few lengths, so that what is removed is soon replaced by another of its length, or by itself.
fn text(letters: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(letters).prop_map(str::to_owned)
}

fn churning_set() -> impl Strategy<Value = Labels> {
    (
        text(&["", "up", "on", "off", "api"]),
        text(&["", "api", "off", "on", "a:1"]),
        text(&["", "a:1", "b:1", "c:1", "a:22", "b:22", "up"]),
        text(&["code", "path", "mode", "le"]),
        text(&["", "on", "up", "200", "404", "a:1"]),
        text(&["", "1", "2", "3", "44"]),
    )
        .prop_map(|(metric, job, instance, name, value, id)| {
            Labels::from_pairs([
                ("__name__", metric.as_str()),
                ("job", job.as_str()),
                ("instance", instance.as_str()),
                (name.as_str(), value.as_str()),
                ("id", id.as_str()),
            ])
        })
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Labels),
    /// Removes one of the series, and tells which entity must have gone with it.
    Remove(prop::sample::Index),
    /// Keeps every n-th series.
    Retain(usize),
    Optimize,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => churning_set().prop_map(Step::Insert),
        25 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => (2..6usize).prop_map(Step::Retain),
        1 => Just(Step::Optimize),
    ]
}

fn churning_matcher() -> impl Strategy<Value = Matcher> {
    let name = prop::sample::select(vec![
        "__name__", "job", "instance", "code", "path", "mode", "le", "id", "none",
    ]);
    let value = prop::sample::select(vec![
        "",
        "up",
        "on",
        "api",
        "a:1",
        "200",
        "3",
        ".*",
        ".+",
        "o.*",
        "a.+",
        "api|on",
        "|up",
        "[a-c]:1",
        ".:.*",
        "1?",
        "up|off|200",
    ]);
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    (name, op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
}

/// What an index must know.
#[derive(Default)]
struct Model(BTreeMap<Labels, SeriesOrd>);

impl Model {
    fn list(&self) -> Vec<(SeriesOrd, Labels)> {
        let mut list: Vec<_> = self.0.iter().map(|(labels, ord)| (*ord, labels.clone())).collect();
        list.sort_by_key(|entry| entry.0);
        list
    }

    fn entities(&self) -> BTreeSet<Labels> {
        self.0.keys().map(|labels| entity_labels(labels, &targets())).collect()
    }

    fn check(&self, index: &MemIndex, queries: &[Vec<Matcher>]) -> Result<(), TestCaseError> {
        let list = self.list();
        prop_assert_eq!(index.n_series(), list.len() as u64);
        prop_assert_eq!(index.live().iter().collect::<Vec<_>>(), naive(&list, &[]));
        prop_assert!(index.live().max().is_none_or(|ord| ord < index.ord_end()));
        let mut by_entity: BTreeMap<EntityId, (Labels, BTreeSet<u32>)> = BTreeMap::new();
        for (ord, labels) in &list {
            prop_assert_eq!(index.get(labels), Some(*ord));
            prop_assert_eq!(&index.labels(*ord), labels);
            let entity = index.entity_of(*ord).unwrap();
            prop_assert!(entity.0 < index.entity_end());
            prop_assert_eq!(index.entity_of_labels(labels), Some(entity));
            let of_entity = entity_labels(labels, &targets());
            prop_assert_eq!(&index.entity_labels(entity), &of_entity);
            prop_assert_eq!(index.entity_has(entity, "job"), of_entity.has("job"));
            let known = by_entity.entry(entity).or_insert((of_entity.clone(), BTreeSet::new()));
            prop_assert_eq!(&known.0, &of_entity);
            known.1.insert(ord.0);
        }
        prop_assert_eq!(by_entity.len(), self.entities().len());
        prop_assert_eq!(index.n_entities() as usize, by_entity.len());
        for entity in (0..index.entity_end()).map(EntityId) {
            let series = by_entity.get(&entity).map(|known| known.1.clone()).unwrap_or_default();
            prop_assert!(index.series_of_entity(entity).iter().eq(series.iter().copied()));
            if series.is_empty() {
                prop_assert!(index.entity_labels(entity).is_empty());
            }
        }
        let mut order: Vec<&Labels> = self.0.keys().collect();
        let entity = |labels: &Labels| entity_labels(labels, &targets());
        order.sort_by(|a, b| entity(a).cmp(&entity(b)).then_with(|| compare_in_entity(a, b)));
        let block_order = index.block_order();
        let entities = block_order.entities().iter();
        let ords = entities.flat_map(|entity| index.series_in_order(&block_order, *entity));
        let block_order: Vec<Labels> = ords.map(|ord| index.labels(ord)).collect();
        prop_assert!(block_order.iter().eq(order.into_iter()), "{:?}", block_order);
        let pairs: BTreeSet<(&str, &str)> = self.0.keys().flat_map(Labels::iter).collect();
        prop_assert_eq!(index.cardinality(1_000).unwrap().label_pairs, pairs.len() as u64);
        let values: BTreeSet<&str> = pairs.iter().map(|pair| pair.1).collect();
        let names: BTreeSet<&str> = pairs.iter().map(|pair| pair.0).chain(["__name__"]).collect();
        prop_assert_eq!(index.symbols.len(), values.len(), "symbols that nobody has");
        prop_assert_eq!(index.name_texts.len(), names.len(), "names that nobody has");
        let shape = |labels: &Labels| {
            let names = labels.iter().map(|pair| pair.0.to_owned());
            let others: Vec<String> =
                names.filter(|name| !targets().contains(name) && name != "__name__").collect();
            (labels.metric_name().to_owned(), others)
        };
        let shapes: BTreeSet<_> = self.0.keys().map(shape).collect();
        prop_assert_eq!(index.shapes.len(), shapes.len(), "shapes that nobody has");
        check(index, &list, queries)
    }
}

proptest! {
    #[test]
    fn answers_stay_right_under_churn(
        steps in prop::collection::vec(step(), 1..120),
        queries in prop::collection::vec(prop::collection::vec(churning_matcher(), 1..4), 4),
    ) {
        let mut index = MemIndex::new(&targets());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(labels) => {
                    let (ord, is_new) = index.insert(&labels).unwrap();
                    prop_assert!(is_new != model.0.contains_key(&labels));
                    prop_assert!(!is_new || model.0.values().all(|have| *have != ord));
                    prop_assert_eq!(*model.0.entry(labels).or_insert(ord), ord);
                }
                Step::Remove(_) if model.0.is_empty() => {
                    prop_assert_eq!(index.remove(SeriesOrd(0)), None);
                }
                Step::Remove(which) => {
                    let (labels, ord) = model.0.iter().nth(which.index(model.0.len())).unwrap();
                    let (labels, ord) = (labels.clone(), *ord);
                    let entity = index.entity_of(ord).unwrap();
                    let before = model.entities().len();
                    model.0.remove(&labels);
                    let entity_gone = model.entities().len() < before;
                    prop_assert_eq!(index.remove(ord), Some(Removed { entity, entity_gone }));
                    prop_assert_eq!(index.remove(ord), None);
                    prop_assert_eq!(index.get(&labels), None);
                    prop_assert!(index.labels(ord).is_empty());
                    prop_assert_eq!(index.entity_of(ord), None);
                }
                Step::Retain(n) => {
                    let kept: Vec<u32> = model.list().iter().step_by(n).map(|s| s.0.0).collect();
                    let had = model.0.len();
                    model.0.retain(|_, ord| kept.contains(&ord.0));
                    let went = index.retain(&kept.into_iter().collect());
                    prop_assert_eq!(went as usize, had - model.0.len());
                }
                Step::Optimize => index.optimize(),
            }
            model.check(&index, &queries)?;
        }
    }
}

/// One of 100 pods with 60 series each, in a generation that has its own pod names.
fn of_pod(generation: usize, pod: usize, series: usize) -> Labels {
    let texts = [
        format!("metric_{:02}", series % 20),
        format!("app-{}-{generation:04x}{pod:03x}", pod % 7),
        format!("10.0.{}.{}:8080", generation % 250, pod),
        format!("{}", series / 20),
        format!("uid-{:08}", (generation * 100 + pod) * 60 + series),
    ];
    Labels::from_pairs([
        ("__name__", texts[0].as_str()),
        ("job", texts[1].as_str()),
        ("instance", texts[2].as_str()),
        ("code", texts[3].as_str()),
        ("uid", texts[4].as_str()),
    ])
}

#[test]
fn memory_stays_bounded_through_generations() {
    let mut index = MemIndex::new(&targets());
    let all = |generation: usize| {
        (0..100).flat_map(move |pod| (0..60).map(move |series| of_pod(generation, pod, series)))
    };
    let mut before = RoaringBitmap::new();
    let mut first = 0;
    for generation in 0..200 {
        // Rolling: the new pods come before the old ones go.
        let here: RoaringBitmap =
            all(generation).map(|labels| index.insert(&labels).unwrap().0.0).collect();
        assert_eq!(here.len(), 6_000);
        assert_eq!(index.retain(&here), before.len());
        before = here;
        if generation == 1 {
            first = index.heap_bytes();
        }
        if generation > 1 {
            assert!(index.ord_end() <= 12_000, "{}", index.ord_end());
            let bytes = index.heap_bytes();
            assert!(bytes * 2 <= first * 3, "{generation}: {bytes}, {first} at first");
        }
    }
    assert_eq!(index.label_values("uid", None).unwrap().len(), 6_000);
    assert_eq!(index.n_entities(), 100);
    let before = index.heap_bytes();
    index.retain(&RoaringBitmap::new());
    assert_eq!((index.n_series(), index.n_entities()), (0, 0));
    assert_eq!(index.label_names(None).unwrap(), Vec::<String>::new());
    assert!(index.heap_bytes() < before, "tables become smaller");
}

#[test]
fn a_removed_place_is_taken_by_the_next_series_of_its_size() {
    let mut index = MemIndex::new(&targets());
    let places: Vec<u32> =
        (0..6).map(|series| index.insert(&of_pod(1, 1, series)).unwrap().0.0).collect();
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    assert_eq!(index.retain(&[0, 4].into_iter().collect()), 4);
    let again: Vec<u32> =
        (6..11).map(|series| index.insert(&of_pod(1, 1, series)).unwrap().0.0).collect();
    assert_eq!(again, [1, 2, 3, 5, 6], "the lowest first, then new ones");
    index.remove(SeriesOrd(2));
    let short = Labels::from_pairs([("__name__", "up"), ("job", "app")]);
    assert_eq!(index.insert(&short).unwrap().0.0, 7, "a row of another length");
}

#[test]
fn an_insertion_that_fails_leaves_nothing_behind() {
    let mut index = MemIndex::new(&targets());
    let here = Labels::from_pairs([("__name__", "up"), ("job", "api"), ("code", "200")]);
    let other = Labels::from_pairs([("__name__", "on"), ("job", "db"), ("mode", "x"), ("le", "1")]);
    index.insert(&here).unwrap();
    let sizes = |index: &MemIndex| {
        let (names, symbols) = (index.name_texts.len(), index.symbols.len());
        (names, symbols, index.entities.len(), index.shapes.len(), index.rows.len())
    };
    assert_eq!(sizes(&index), (3, 3, 1, 1, 1));
    // What one attempt took up and gave back the next may use: in the order in which they are taken up.
    for full in ["names", "symbols", "entities", "shapes", "rows"] {
        let set = |index: &mut MemIndex, end_max: u32| match full {
            "rows" => index.rows.end_max = end_max,
            "shapes" => index.shapes.end_max = end_max,
            "entities" => index.entities.end_max = end_max,
            "symbols" => index.symbols.end_max = end_max,
            _ => index.name_texts.end_max = end_max,
        };
        set(&mut index, 1);
        assert!(index.insert(&other).is_err(), "{full}");
        assert_eq!(sizes(&index), (3, 3, 1, 1, 1), "{full}");
        assert_eq!(index.get(&other), None);
        set(&mut index, u32::MAX);
    }
    let (ord, is_new) = index.insert(&other).unwrap();
    assert!(is_new && index.labels(ord) == other && index.labels(SeriesOrd(0)) == here);
    index.remove(ord);
    assert_eq!(sizes(&index), (3, 3, 1, 1, 1));
    assert_eq!(index.insert(&here).unwrap(), (SeriesOrd(0), false));
}

/// `cargo test --release -p nines-storage -- --ignored --nocapture what_series_cost`.
#[test]
#[ignore = "measures; takes half a minute"]
fn what_series_cost() {
    let (targets, mut sets) = a_cluster();
    let insert_all = |index: &mut MemIndex, sets: &[Labels]| {
        let begin = std::time::Instant::now();
        sets.iter().for_each(|labels| {
            index.insert(labels).unwrap();
        });
        begin.elapsed().as_nanos() as f64 / sets.len() as f64
    };
    for order in ["by target", "shuffled"] {
        for _ in 0..3 {
            let mut index = MemIndex::new(&targets);
            let new = insert_all(&mut index, &sets);
            let known = insert_all(&mut index, &sets);
            let bytes = index.heap_bytes();
            let begin = std::time::Instant::now();
            assert_eq!(index.retain(&RoaringBitmap::new()), sets.len() as u64);
            let removed = begin.elapsed().as_nanos() as f64 / sets.len() as f64;
            let again = insert_all(&mut index, &sets);
            assert_eq!(index.ord_end() as usize, sets.len());
            eprintln!(
                "{order}: new {new:.0} ns, known {known:.0} ns, removed {removed:.0} ns, again {again:.0} ns, \
                 {bytes} bytes, then {}",
                index.heap_bytes()
            );
        }
        sets.sort_by_cached_key(|labels| xxhash_rust::xxh3::xxh3_64(labels.as_bytes()));
    }
}
