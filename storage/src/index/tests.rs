#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
//! Both indexes against a list of label sets that is searched label set by label set.

mod churn;
mod explore;

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::resolve::LabelIndex;
use super::*;
use crate::disk::Bytes;
use crate::model::{Labels, MatchOp, Matcher, SeriesOrd};

fn targets() -> Vec<String> {
    ["job", "instance", "cluster"].map(str::to_owned).to_vec()
}

fn label_set() -> impl Strategy<Value = Labels> {
    let metric = prop::sample::select(vec!["", "up", "http_requests", "http_errors"]);
    let job = prop::sample::select(vec!["", "api", "db", "apix"]);
    let instance = prop::sample::select(vec!["", "a:1", "a:2", "b:1", "b:2"]);
    let code = prop::sample::select(vec!["", "200", "404", "500", "503"]);
    let id = prop::option::of(0..200u32);
    (metric, job, instance, code, id).prop_map(|(metric, job, instance, code, id)| {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        Labels::from_pairs([
            ("__name__", metric),
            ("job", job),
            ("instance", instance),
            ("code", code),
            ("id", id.as_str()),
        ])
    })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let name =
        prop::sample::select(vec!["__name__", "job", "instance", "code", "id", "cluster", "none"]);
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let value = prop::sample::select(vec![
        "",
        "up",
        "api",
        "a:1",
        "200",
        "17",
        ".*",
        ".+",
        "5..",
        "api.*",
        "http_.+",
        "200|404",
        "|up",
        "a|",
        "(api|db)",
        "[0-9]*",
        "1.*",
        "(a|b):1",
        "http_.*",
        "4.*|5.*",
        ".*:2",
        "up|http_errors",
        "1?7",
    ]);
    (name, op, value).prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
}

fn naive(sets: &[(SeriesOrd, Labels)], matchers: &[Matcher]) -> Vec<u32> {
    let fits = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
    sets.iter().filter(|(_, labels)| fits(labels)).map(|(ord, _)| ord.0).collect()
}

fn naive_values(sets: &[(SeriesOrd, Labels)], within: &[u32], name: &str) -> Vec<String> {
    let here = sets.iter().filter(|(ord, _)| within.contains(&ord.0));
    let values: BTreeSet<String> = here.map(|(_, labels)| labels.get(name).to_owned()).collect();
    values.into_iter().filter(|value| !value.is_empty()).collect()
}

fn naive_names(sets: &[(SeriesOrd, Labels)], within: &[u32]) -> Vec<String> {
    let here = sets.iter().filter(|(ord, _)| within.contains(&ord.0));
    let names: BTreeSet<String> =
        here.flat_map(|(_, labels)| labels.iter().map(|pair| pair.0.to_owned())).collect();
    names.into_iter().collect()
}

proptest! {
    #[test]
    fn memory_answers_as_a_list(
        sets in prop::collection::vec(label_set(), 0..300),
        gone in prop::collection::vec(any::<bool>(), 300),
        queries in prop::collection::vec(prop::collection::vec(matcher(), 0..4), 12),
    ) {
        let mut index = MemIndex::new(&targets());
        let mut list: Vec<(SeriesOrd, Labels)> = Vec::new();
        for labels in &sets {
            let (ord, is_new) = index.insert(labels).unwrap();
            prop_assert_eq!(is_new, !list.iter().any(|have| have.1 == *labels));
            if is_new {
                prop_assert_eq!(ord.0 as usize, list.len());
                list.push((ord, labels.clone()));
            }
            prop_assert_eq!(index.get(labels), Some(ord));
            prop_assert_eq!(&index.labels(ord), labels);
        }
        for (ord, _) in list.iter().filter(|(ord, _)| gone[ord.0 as usize]) {
            prop_assert!(index.remove(*ord).is_some());
            prop_assert!(index.remove(*ord).is_none());
        }
        list.retain(|(ord, labels)| {
            let stays = !gone[ord.0 as usize];
            assert_eq!(index.get(labels).is_some(), stays);
            stays
        });
        prop_assert_eq!(index.n_series(), list.len() as u64);
        check(&index, &list, &queries)?;
        index.optimize();
        check(&index, &list, &queries)?;
    }

    #[test]
    fn a_file_answers_as_a_list(
        sets in prop::collection::vec(label_set(), 0..300),
        queries in prop::collection::vec(prop::collection::vec(matcher(), 0..4), 12),
    ) {
        let mut memory = MemIndex::new(&targets());
        for labels in &sets {
            memory.insert(labels).unwrap();
        }
        let (list, bytes) = write(sets);
        let (order, copied) = copy(&memory);
        prop_assert!(order.iter().eq(list.iter().map(|entry| &entry.1)), "{:?}", order);
        prop_assert!(copied == bytes, "an index copied by numbers is the one made of texts");
        let index = IndexFile::open(Bytes::from(bytes), Path::new("index")).unwrap();
        index.verify().unwrap();
        prop_assert_eq!(index.cardinality(20).unwrap(), memory.cardinality(20).unwrap());
        for (ord, labels) in &list {
            prop_assert_eq!(&index.labels(*ord).unwrap(), labels);
            let entity = index.entity_of(*ord).unwrap();
            prop_assert_eq!(index.entity_labels(entity).unwrap(), entity_labels(labels, &targets()));
            prop_assert!(index.series_of_entity(entity).unwrap().contains(&ord.0));
        }
        check(&index, &list, &queries)?;
    }

    /// Every byte is under a checksum: a flipped one is found, and before that nothing wrong is said.
    #[test]
    fn a_flipped_byte_is_an_error_or_changes_nothing(
        sets in prop::collection::vec(label_set(), 1..60),
        queries in prop::collection::vec(prop::collection::vec(matcher(), 0..4), 4),
        at in any::<prop::sample::Index>(),
        mask in 1..=255u8,
    ) {
        let (list, mut bytes) = write(sets);
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let Ok(index) = IndexFile::open(Bytes::from(bytes), Path::new("index")) else { return Ok(()) };
        prop_assert!(index.verify().is_err());
        for (ord, labels) in &list {
            if let Ok(read) = index.labels(*ord) {
                prop_assert_eq!(&read, labels);
            }
        }
        for matchers in &queries {
            if let Ok(found) = index.resolve(matchers) {
                prop_assert_eq!(found.iter().collect::<Vec<_>>(), naive(&list, matchers));
            }
        }
    }

    /// Sections full of nonsense under right checksums: errors, no panic.
    #[test]
    fn nonsense_under_right_checksums_is_refused(
        sets in prop::collection::vec(label_set(), 1..60),
        matchers in prop::collection::vec(matcher(), 0..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (list, bytes) = write(sets);
        let bytes = damage_and_seal(&bytes, &flips);
        let Ok(index) = IndexFile::open(Bytes::from(bytes), Path::new("index")) else { return Ok(()) };
        index.verify().unwrap();
        for (ord, _) in &list {
            index.labels(*ord).ok();
            if let Ok(entity) = index.entity_of(*ord)
                && let Ok(pages) = index.pages_of_entity(entity)
            {
                pages.count();
            }
        }
        index.resolve(&matchers).ok();
        index.label_names(None).ok();
        index.label_values("code", None).ok();
        index.cardinality(10).ok();
    }
}

/// The label sets in the order of a block, and its index.
fn write(mut sets: Vec<Labels>) -> (Vec<(SeriesOrd, Labels)>, Vec<u8>) {
    let entity = |labels: &Labels| entity_labels(labels, &targets());
    sets.sort_by(|a, b| entity(a).cmp(&entity(b)).then_with(|| compare_in_entity(a, b)));
    sets.dedup();
    let mut index = IndexBuilder::new(&targets());
    let mut list = Vec::new();
    let mut of_target = None;
    for labels in sets {
        if of_target.as_ref() != Some(&entity(&labels)) {
            index.begin_entity(&entity(&labels)).unwrap();
            of_target = Some(entity(&labels));
        }
        list.push((SeriesOrd(index.push(&labels).unwrap()), labels));
    }
    (list, written(&index))
}

/// The file of an index with a page for every series.
fn written(index: &IndexBuilder) -> Vec<u8> {
    let page =
        |ord| PageRef { min_ts: 1, max_ts: 2, offset: 16, len: 9, first_ord: ord, last_ord: ord };
    let pages: Vec<PageRef> = (0..index.n_series()).map(page).collect();
    let mut bytes = Vec::new();
    write_index(index, &pages, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .unwrap();
    bytes
}

/// The label sets of an index in memory in the order of a block, and their index, copied by numbers.
fn copy(memory: &MemIndex) -> (Vec<Labels>, Vec<u8>) {
    let (order, mut copier) = (memory.block_order(), RowCopier::default());
    let mut builder = IndexBuilder::new(&targets());
    let mut sets = Vec::new();
    for entity in order.entities() {
        builder.begin_entity(&memory.entity_labels(*entity)).unwrap();
        for ord in memory.series_in_order(&order, *entity) {
            assert_eq!(memory.entity_of(ord), Some(*entity));
            assert_eq!(copier.copy(memory, ord, &mut builder).unwrap() as usize, sets.len());
            sets.push(memory.labels(ord));
        }
    }
    (sets, written(&builder))
}

/// Changes bytes between header and footer and sets the checksums right again.
fn damage_and_seal(bytes: &[u8], flips: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let footer_at = bytes.len() - sections::INDEX_FOOTER_BYTES;
    for (at, value) in flips {
        bytes[16 + at.index(footer_at - 16)] = *value;
    }
    let mut out = Vec::new();
    let mut write = |part: &[u8]| -> crate::Result<()> {
        out.extend_from_slice(part);
        Ok(())
    };
    let mut sink = sections::SectionSink::begin(&mut write).unwrap();
    use sections::Section::{Entities, Names, Pages, Postings, Rows, Shapes, Symbols, Values};
    for (i, section) in
        [Symbols, Names, Values, Postings, Entities, Shapes, Rows, Pages].into_iter().enumerate()
    {
        let field = |at: usize| {
            let at = footer_at + i * 20 + at;
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
        };
        sink.section(section, &bytes[field(0)..field(0) + field(8)]).unwrap();
    }
    let count = |at: usize| {
        let at = footer_at + 160 + at;
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    sink.finish(count(0), count(4)).unwrap();
    out
}

fn check(
    index: &impl LabelIndex,
    list: &[(SeriesOrd, Labels)],
    queries: &[Vec<Matcher>],
) -> std::result::Result<(), TestCaseError> {
    use resolve::{label_names, label_values};
    let all: Vec<u32> = list.iter().map(|(ord, _)| ord.0).collect();
    prop_assert_eq!(label_names(index, None).unwrap(), naive_names(list, &all));
    for matchers in queries {
        let found = resolve::resolve(index, matchers).unwrap();
        let wanted = naive(list, matchers);
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), &wanted[..], "{:?}", matchers);
        prop_assert_eq!(label_names(index, Some(&found)).unwrap(), naive_names(list, &wanted));
        for name in ["__name__", "job", "code", "id", "none"] {
            let values = label_values(index, name, None).unwrap();
            prop_assert_eq!(values, naive_values(list, &all, name));
            let values = label_values(index, name, Some(&found)).unwrap();
            prop_assert_eq!(values, naive_values(list, &wanted, name));
        }
    }
    Ok(())
}

#[test]
fn counts_series_values_and_bytes() {
    let mut index = MemIndex::new(&targets());
    for (metric, job, code) in
        [("up", "api", ""), ("up", "db", ""), ("req", "api", "200"), ("req", "api", "500")]
    {
        let pairs = [("__name__", metric), ("job", job), ("code", code)];
        index.insert(&Labels::from_pairs(pairs)).unwrap();
    }
    let counts = index.cardinality(3).unwrap();
    let list =
        |all: &[(&str, u64)]| all.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(counts.series_by_metric, list(&[("req", 2), ("up", 2)]));
    assert_eq!(counts.values_by_label, list(&[("__name__", 2), ("code", 2), ("job", 2)]));
    assert_eq!(counts.bytes_by_label, list(&[("job", 11), ("__name__", 10), ("code", 6)]));
    assert_eq!(
        counts.series_by_pair,
        list(&[("job=api", 3), ("__name__=req", 2), ("__name__=up", 2)])
    );
    assert_eq!(counts.label_pairs, 6);
    assert!(index.symbol_bytes() > 0 && index.heap_bytes() > index.symbol_bytes());
}

#[test]
fn entities_group_series() {
    let mut index = MemIndex::new(&targets());
    let of = |metric: &str, job: &str| Labels::from_pairs([("__name__", metric), ("job", job)]);
    let (up, _) = index.insert(&of("up", "api")).unwrap();
    let (req, _) = index.insert(&of("req", "api")).unwrap();
    let (other, _) = index.insert(&of("up", "db")).unwrap();
    let entity = index.entity_of(up).unwrap();
    assert_eq!(index.entity_of(req), Some(entity));
    assert_ne!(index.entity_of(other), Some(entity));
    assert_eq!(index.entity_of_labels(&of("new", "api")), Some(entity));
    assert_eq!(index.entity_of_labels(&of("new", "none")), None);
    assert_eq!(index.entity_labels(entity), Labels::from_pairs([("job", "api")]));
    assert_eq!(index.series_of_entity(entity).iter().collect::<Vec<_>>(), vec![up.0, req.0]);
    assert_eq!(entity_labels(&of("up", "api"), &targets()), Labels::from_pairs([("job", "api")]));
    assert_eq!(index.retain(&std::iter::once(other.0).collect()), 2);
    assert_eq!(index.label_values("job", None).unwrap(), vec!["db".to_owned()]);
    assert_eq!(index.n_series(), 1);
}

/// The target labels and label sets of a cluster of 20,000 pods with 50 series each.
fn a_cluster() -> (Vec<String>, Vec<Labels>) {
    let targets: Vec<String> =
        ["job", "instance", "cluster", "namespace", "pod", "node", "container"]
            .map(str::to_owned)
            .to_vec();
    let set = |pod: usize, series: usize| {
        let texts = [
            format!("container_metric_{:03}", series % 40),
            format!("10.{}.{}.{}:8080", pod >> 16, pod >> 8 & 255, pod & 255),
            format!("namespace-{}", pod % 97),
            format!("deployment-{}-7d4b9c6f5b-{pod:05x}", pod / 20),
            format!("node-{}", pod % 500),
            format!("sda{}", series / 40),
            format!("{}", [200, 404, 500][series % 3]),
        ];
        Labels::from_pairs([
            ("__name__", texts[0].as_str()),
            ("job", "kubelet"),
            ("cluster", "prod-eu-1"),
            ("instance", texts[1].as_str()),
            ("namespace", texts[2].as_str()),
            ("pod", texts[3].as_str()),
            ("node", texts[4].as_str()),
            ("container", "main"),
            ("device", texts[5].as_str()),
            ("code", texts[6].as_str()),
            ("image", "registry.example.org/team/app:1.2.3"),
        ])
    };
    let sets = (0..20_000).flat_map(|pod| (0..50).map(move |i| set(pod, i)));
    (targets, sets.collect())
}

/// `cargo test --release -p nines-storage -- --ignored --nocapture a_million`.
#[test]
#[ignore = "measures; takes a minute"]
fn a_million_series_fit_the_budget() {
    let (targets, sets) = a_cluster();
    let resident = || -> f64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0) * 4096.0
    };
    let mut index = MemIndex::new(&targets);
    let resident_before = resident();
    let begin = std::time::Instant::now();
    for labels in &sets {
        index.insert(labels).unwrap();
    }
    eprintln!("resident {:.1} B/series", (resident() - resident_before) / sets.len() as f64);
    let per_series =
        |begin: std::time::Instant| begin.elapsed().as_nanos() as f64 / sets.len() as f64;
    let inserted = per_series(begin);
    let before = index.heap_bytes() as f64 / sets.len() as f64;
    let begin = std::time::Instant::now();
    index.optimize();
    let optimized = begin.elapsed();
    let bytes = index.heap_bytes() as f64 / sets.len() as f64;
    let begin = std::time::Instant::now();
    assert!(sets.iter().all(|labels| index.get(labels).is_some()));
    let found = per_series(begin);
    eprintln!(
        "insert {inserted:.0} ns, get {found:.0} ns, {before:.1} B/series, {bytes:.1} after optimize in {optimized:?}"
    );
    assert!(bytes < 150.0, "{bytes}");

    let begin = std::time::Instant::now();
    let order = index.block_order();
    eprintln!("targets sorted in {:?}", begin.elapsed());
    let mut file = Vec::new();
    let (mut builder, mut copier) = (IndexBuilder::new(&targets), RowCopier::default());
    let (resident_before, begin) = (resident(), std::time::Instant::now());
    for entity in order.entities() {
        builder.begin_entity(&index.entity_labels(*entity)).unwrap();
        for ord in index.series_in_order(&order, *entity) {
            copier.copy(&index, ord, &mut builder).unwrap();
        }
    }
    eprintln!(
        "copied: {:.1} B/series, {:.0} ns",
        (resident() - resident_before) / sets.len() as f64,
        per_series(begin)
    );
    let begin = std::time::Instant::now();
    write_index(&builder, &[], &mut |part| {
        file.extend_from_slice(part);
        Ok(())
    })
    .unwrap();
    eprintln!(
        "file: {:.1} B/series, written in {:?}",
        file.len() as f64 / sets.len() as f64,
        begin.elapsed()
    );
    let begin = std::time::Instant::now();
    let opened = IndexFile::open(Bytes::from(file), Path::new("index")).unwrap();
    eprintln!("opened in {:?}", begin.elapsed());
    let begin = std::time::Instant::now();
    opened.verify().unwrap();
    eprintln!("verified in {:?}", begin.elapsed());
    let queries = [
        vec![Matcher::equal("__name__", "container_metric_007")],
        vec![
            Matcher::equal("__name__", "container_metric_007"),
            Matcher::equal("namespace", "namespace-7"),
        ],
        vec![
            Matcher::equal("__name__", "container_metric_007"),
            Matcher::new("pod", MatchOp::Regex, "deployment-1.*-0.+").unwrap(),
        ],
        vec![
            Matcher::new("code", MatchOp::NotEqual, "200").unwrap(),
            Matcher::equal("__name__", "container_metric_007"),
        ],
        vec![Matcher::new("pod", MatchOp::Regex, "deployment-99-.*").unwrap()],
        vec![Matcher::new("__name__", MatchOp::Regex, ".+_00[1-3]").unwrap()],
    ];
    for matchers in queries {
        let begin = std::time::Instant::now();
        let n = index.resolve(&matchers).unwrap().len();
        let in_memory = begin.elapsed();
        let begin = std::time::Instant::now();
        let found = opened.resolve(&matchers).unwrap();
        let in_file = begin.elapsed();
        assert_eq!(found.len(), n);
        let begin = std::time::Instant::now();
        found
            .iter()
            .take(1_000)
            .for_each(|ord| assert!(!opened.labels(SeriesOrd(ord)).unwrap().is_empty()));
        let labels = begin.elapsed() / found.len().clamp(1, 1_000) as u32;
        eprintln!(
            "{matchers:?}: {n} series, memory {in_memory:?}, file {in_file:?}, labels {labels:?} each"
        );
    }
}
