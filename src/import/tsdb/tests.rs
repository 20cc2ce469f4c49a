//! Blocks that are made by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod crafted;

use std::collections::BTreeMap;
use std::path::Path;

use nines_storage::model::{DAY_MS, MatchOp, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable as _, SelectHints};
use nines_storage::{Db, Store, StoreOptions};

use super::super::{ImportError, Outcome, import_block};
use super::encode::{Pairs, write_block, xor_chunk, xor_chunks};
use super::histogram::{self, Invalid};
use super::{check, find, xor};

const NOW_MS: i64 = 1_700_000_000_000;
const START_MS: i64 = 1_690_000_000_000;

fn pairs(labels: &[(&str, &str)]) -> Pairs {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Ascending as a block of Prometheus has them; in a block of nines they stand otherwise.
fn series() -> Vec<Pairs> {
    let mut all = Vec::new();
    for metric in ["a", "b"] {
        for instance in ["h1", "h2"] {
            for mode in ["", "x", "y"] {
                let mut labels =
                    pairs(&[("__name__", metric), ("instance", instance), ("job", "j")]);
                if !mode.is_empty() {
                    labels.push(("mode".to_owned(), mode.to_owned()));
                    labels[0].1.push('z');
                }
                all.push(labels);
            }
            all.push(pairs(&[("Env", "e"), ("__name__", metric), ("instance", instance)]));
        }
    }
    all.sort();
    all
}

fn samples(i: usize) -> Vec<(i64, f64)> {
    let special = [f64::NAN, -0.0, f64::INFINITY, 1e-300, f64::from_bits(0x7ff0_0000_0000_0002)];
    (0..400)
        .map(|n| {
            let ts =
                START_MS + n * 600_000 + (n * n % 7) * i as i64 + if n > 200 { DAY_MS } else { 0 };
            let value = if n % 50 == 49 {
                special[n as usize / 50 % 5]
            } else {
                ((n * (i as i64 + 1)) as f64 / 3.0).floor() / [1.0, 7.0][i % 2]
            };
            (ts, value)
        })
        .collect()
}

fn block(dir: &Path, ulid: &str, tombstones: &[(usize, i64, i64)]) {
    write_block(&dir.join(ulid), ulid, &series(), tombstones, &mut |i| xor_chunks(&samples(i)));
}

fn open(dir: &Path) -> (Store, std::sync::Arc<Db>) {
    let store = Store::open(&dir.join("data"), StoreOptions::default(), &|_| {}).unwrap();
    let db = store.db("t").unwrap();
    (store, db)
}

fn import(db: &Db, path: &Path, labels: &[(&str, &str)]) -> Result<Outcome, ImportError> {
    let labels = pairs(labels).into_iter().collect::<BTreeMap<_, _>>();
    let targets = StoreOptions::default().target_labels;
    let mut all = Outcome::default();
    for source in find(path, &labels)? {
        let mut imports = db.imports()?;
        all.add(&import_block(db, &source?, &targets, &mut imports, NOW_MS, &mut |_| {})?);
    }
    Ok(all)
}

/// All samples by their series, values as bits.
fn held(db: &Db) -> BTreeMap<String, Vec<(i64, u64)>> {
    let all = Matcher::new("__name__", MatchOp::NotEqual, "").unwrap();
    let budget = Budget::unlimited();
    let set = db.select(&[all], TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    let mut held = BTreeMap::new();
    let mut data = SeriesData::default();
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, &mut data).unwrap();
        let bits = data.values.iter().map(|value| value.to_bits());
        held.insert(set.labels(i).to_string(), data.ts.iter().copied().zip(bits).collect());
    }
    held
}

fn expected(without: &dyn Fn(usize, i64) -> bool) -> BTreeMap<String, Vec<(i64, u64)>> {
    let of = |(i, labels): (usize, &Pairs)| {
        let labels = nines_storage::model::Labels::from_pairs(
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let kept = samples(i).into_iter().filter(|(ts, _)| !without(i, *ts));
        (labels.to_string(), kept.map(|(ts, value)| (ts, value.to_bits())).collect())
    };
    series().iter().enumerate().map(of).collect()
}

#[test]
fn a_block_comes_bit_for_bit_without_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    let (from, to) = (START_MS + 1_000_000, START_MS + 90_000_000);
    block(dir.path(), "01A", &[(3, from, to), (5, i64::MIN, i64::MAX)]);
    let outcome = import(&db, dir.path(), &[]).unwrap();
    assert!(outcome.is_whole());
    let mut wanted = expected(&|i, ts| i == 5 || (i == 3 && (from..=to).contains(&ts)));
    wanted.retain(|_, samples| !samples.is_empty());
    assert_eq!(held(&db), wanted);
    assert_eq!(outcome.samples, wanted.values().map(|samples| samples.len() as u64).sum::<u64>());
}

#[test]
fn what_was_imported_before_is_not_imported_again_unless_labels_differ() {
    let dir = tempfile::tempdir().unwrap();
    let (store, db) = open(dir.path());
    block(dir.path(), "01A", &[]);
    import(&db, &dir.path().join("01A"), &[]).unwrap();
    let outcome = import(&db, dir.path(), &[]).unwrap();
    assert_eq!((outcome.known, outcome.samples), (1, 0));
    // Without the file of imports it comes again, and changes nothing.
    drop((store, db));
    std::fs::remove_file(dir.path().join("data/tenants/t/imports.json")).unwrap();
    let (_store, db) = open(dir.path());
    assert_eq!(import(&db, dir.path(), &[]).unwrap().samples, 6400);
    assert_eq!(held(&db), expected(&|_, _| false));
    db.compact_all(NOW_MS).unwrap();
    assert_eq!((held(&db), db.stats().block_samples), (expected(&|_, _| false), 6400));
    let labels = [("job", "j"), ("mode", "m"), ("zone", "here"), ("aa", "bb"), ("Env", "other")];
    assert_eq!(import(&db, dir.path(), &labels).unwrap().samples, 6400);
    let all = held(&db);
    assert_eq!(all.len(), 32);
    let key =
        r#"{Env="other", __name__="az", aa="bb", instance="h1", job="j", mode="x", zone="here"}"#;
    let plain = r#"{__name__="az", instance="h1", job="j", mode="x"}"#;
    assert_eq!(all[key], all[plain]);
}

#[test]
fn what_is_stored_already_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    let labels = nines_storage::model::Labels::from_pairs([
        ("__name__", "a"),
        ("instance", "h1"),
        ("job", "j"),
    ]);
    let mut appender = db.appender();
    let handle = appender.resolve(7, &labels).unwrap();
    appender.sample(handle, samples(0)[3].0, 4242.0, 0);
    appender.commit(NOW_MS).unwrap();
    db.flush_before_import(NOW_MS).unwrap();
    block(dir.path(), "01A", &[]);
    import(&db, dir.path(), &[]).unwrap();
    let ts = samples(0)[3].0;
    let value = |all: &BTreeMap<String, Vec<(i64, u64)>>| {
        let of_time = all[&labels.to_string()].iter().filter(|sample| sample.0 == ts);
        of_time.map(|sample| f64::from_bits(sample.1)).collect::<Vec<_>>()
    };
    assert_eq!(value(&held(&db)), [4242.0]);
    db.compact_all(NOW_MS).unwrap();
    assert_eq!(value(&held(&db)), [4242.0]);
}

#[test]
fn a_day_that_fails_is_where_the_next_import_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    block(dir.path(), "01A", &[]);
    let chunks = dir.path().join("01A/chunks/000001");
    let whole = std::fs::read(&chunks).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&chunks, &bytes).unwrap();
    let outcome = import(&db, dir.path(), &[]).unwrap();
    assert!(outcome.chunks > 0 && outcome.samples > 6000, "{outcome:?}");
    assert_eq!(outcome.known, 0);
    std::fs::write(&chunks, &whole).unwrap();
    let outcome = import(&db, dir.path(), &[]).unwrap();
    assert!(outcome.is_whole() && outcome.known == 0, "{outcome:?}");
    assert_eq!(held(&db), expected(&|_, _| false));
    assert_eq!(import(&db, dir.path(), &[]).unwrap().known, 1);
}

/// Every file of a block cut short anywhere, and with every bit turned (of the index some): an error or less samples,
/// and never others.
#[test]
fn damage_is_told_and_nothing_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let few: Vec<Pairs> = series().into_iter().take(3).collect();
    let of = |i: usize| samples(i)[..130].to_vec();
    write_block(&dir.path().join("01A"), "01A", &few, &[(0, 5, 6)], &mut |i| xor_chunks(&of(i)));
    let true_ones: Vec<Vec<(i64, u64)>> = (0..3)
        .map(|i| of(i).into_iter().map(|(ts, value)| (ts, value.to_bits())).collect())
        .collect();
    for name in ["index", "chunks/000001", "tombstones", "meta.json"] {
        let path = dir.path().join("01A").join(name);
        let whole = std::fs::read(&path).unwrap();
        let cuts = (0..whole.len()).step_by(whole.len() / 20 + 1).map(|n| whole[..n].to_vec());
        let flips = (0..whole.len() * 8).step_by(whole.len() * 8 / 60 + 1).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for bytes in cuts.chain(flips) {
            std::fs::write(&path, &bytes).unwrap();
            let place = tempfile::tempdir().unwrap();
            let (_store, db) = open(place.path());
            match import(&db, dir.path(), &[]) {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is_of_the_source(), "{name}: {error}");
                    assert!(error.to_string().contains("01A"), "{name}: {error}");
                }
            }
            if name != "meta.json" {
                for samples in held(&db).values() {
                    let real = |known: &Vec<_>| samples.iter().all(|sample| known.contains(sample));
                    assert!(true_ones.iter().any(real), "{name}");
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn chunks_of_any_bytes_are_read_or_refused() {
    let mut state = 1u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let good = xor_chunk(&samples(1)[..120]);
    let mut data = SeriesData::default();
    let mut read = 0;
    for round in 0..20_000 {
        let mut bytes =
            if round % 2 == 0 { good.clone() } else { vec![0; 1 + random() as usize % 200] };
        for _ in 0..if round % 2 == 0 { 3 } else { bytes.len() } {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        bytes.truncate(1 + random() as usize % (2 * bytes.len()));
        data.clear();
        read += usize::from(xor::decode(&bytes, TimeRange::ALL, &mut data).is_ok());
        for floats in [false, true] {
            let mut invalid = Invalid::default();
            let _read = histogram::decode(&bytes, floats, TimeRange::ALL, &mut data, &mut invalid);
        }
    }
    assert!(read > 1000, "{read} chunks were read");
}

#[test]
fn blocks_that_are_not_the_samples_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    block(dir.path(), "01A", &[]);
    let path = dir.path().join("01A/meta.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let with = |more: &str| {
        std::fs::write(&path, text.replace("\"version\": 1", &format!("\"version\": 1, {more}")))
    };
    with(r#""thanos": {"labels": {"c": "d"}, "downsample": {"resolution": 300000}}"#).unwrap();
    let error = import(&db, dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("downsampled"), "{error}");
    std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 9")).unwrap();
    let error = import(&db, dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
    with(r#""thanos": {"labels": {"cluster": "d", "__org_id__": "x"}, "downsample": {"resolution": 0}}"#).unwrap();
    import(&db, dir.path(), &[]).unwrap();
    let labels = held(&db).into_keys().collect::<Vec<_>>();
    assert!(labels.iter().all(|one| one.contains(r#"cluster="d""#) && !one.contains("org_id")));
}

#[test]
fn the_first_version_names_symbols_by_their_place() {
    let mut table = 4u32.to_be_bytes().to_vec();
    let mut places = Vec::new();
    for text in ["__name__", "job", "up", "x"] {
        // Magic, version and the length of the table stand before it.
        places.push(9 + table.len() as u8);
        table.push(text.len() as u8);
        table.extend(text.bytes());
    }
    let entry = |symbols: [u8; 4]| [&[2], symbols.as_slice(), &[0]].concat();
    let by_place = entry([places[0], places[2], places[1], places[3]]);
    let by_number = entry([0, 2, 1, 3]);
    assert_eq!(check::index(1, &table, &[&by_place]), Some(1));
    assert_eq!(check::index(2, &table, &[&by_number]), Some(1));
    assert_eq!(check::index(1, &table, &[&by_number]), None);
    assert_eq!(check::index(2, &table, &[&by_place]), None);
}
