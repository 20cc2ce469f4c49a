//! Blocks as no Prometheus writes them, or of which something is missing.

use super::super::encode::write_block_in_files;
use super::*;

type Held = BTreeMap<String, Vec<(i64, u64)>>;

fn constant(value: f64, minutes: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    minutes.map(|minute| (START_MS + minute * 60_000, value)).collect()
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|(ts, value)| (*ts, value.to_bits())).collect()
}

#[test]
fn of_a_missing_file_of_chunks_only_its_samples_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    let series: Vec<Pairs> =
        ["1", "2", "3"].map(|s| pairs(&[("__name__", "m"), ("s", s)])).into_iter().collect();
    let path = dir.path().join("01A");
    let of = |i: usize| constant(111.0 * (i as f64 + 1.0), 0..10);
    // A file for each series, whose chunk stands at the same byte.
    write_block_in_files(&path, "01A", &series, &[], 1, &mut |i| xor_chunks(&of(i)));
    // The first file of the encoder has no chunk.
    let first = path.join("chunks/000002");
    let whole = std::fs::read(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    let mut imports = db.imports().unwrap();
    let source = find(dir.path(), &BTreeMap::new()).unwrap().remove(0).unwrap();
    let targets = StoreOptions::default().target_labels;
    let mut said = Vec::new();
    let outcome = import_block(&db, &source, &targets, &mut imports, NOW_MS, &mut |told| {
        if let crate::import::Told::Chunk(why) = told {
            said.push(why.to_string());
        }
    });
    assert_eq!((outcome.unwrap().samples, said.len()), (20, 1), "{said:?}");
    assert!(said[0].contains("chunks/000002") && said[0].contains("at byte 8"), "{said:?}");
    let wanted = |i: usize| (format!("{{__name__=\"m\", s=\"{}\"}}", i + 1), bits(&of(i)));
    assert_eq!(held(&db), Held::from([wanted(1), wanted(2)]));

    std::fs::write(&first, whole).unwrap();
    assert!(import(&db, dir.path(), &[]).unwrap().is_whole());
    assert_eq!(held(&db), Held::from([wanted(0), wanted(1), wanted(2)]));

    std::fs::copy(path.join("chunks/000003"), path.join("chunks/3")).unwrap();
    let error = import(&db, dir.path(), &[("other", "x")]).unwrap_err().to_string();
    assert!(error.contains("same number"), "{error}");
}

#[test]
fn series_that_added_labels_make_equal_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, db) = open(dir.path());
    let mut series: Vec<Pairs> = vec![
        pairs(&[("__name__", "a"), ("cluster", "eu1"), ("x", "1")]),
        pairs(&[("__name__", "a"), ("cluster", "eu2"), ("x", "1")]),
        pairs(&[("__name__", "a"), ("x", "1")]),
        pairs(&[("__name__", "a"), ("x", "2")]),
    ];
    series.sort();
    let of = |i: usize| constant(i as f64, [0..20, 0..3, 10..40, 0..2][i].clone());
    // Minutes 12 to 14 are deleted in the first, so that the second has them.
    let deleted = [(0, START_MS + 12 * 60_000, START_MS + 14 * 60_000)];
    write_block(&dir.path().join("01A"), "01A", &series, &deleted, &mut |i| xor_chunks(&of(i)));
    let outcome = import(&db, dir.path(), &[("cluster", "eu1")]).unwrap();
    assert!(outcome.is_whole(), "{outcome:?}");
    let one =
        [constant(0.0, 0..12), constant(2.0, 12..15), constant(0.0, 15..20), constant(2.0, 20..40)];
    let of_series = |labels: &str, samples: &[(i64, f64)]| {
        (format!("{{__name__=\"a\", {labels}}}"), bits(samples))
    };
    let wanted = [
        of_series(r#"cluster="eu1", x="1""#, &one.concat()),
        of_series(r#"cluster="eu1", x="2""#, &of(3)),
        of_series(r#"cluster="eu2", x="1""#, &of(1)),
    ];
    assert_eq!(held(&db), Held::from(wanted));
}

/// The entry of a series: two labels and its chunks.
fn entry(symbols: [u8; 4], chunks: &[u8]) -> Vec<u8> {
    [&[2], symbols.as_slice(), chunks].concat()
}

fn symbols(texts: &[&str]) -> Vec<u8> {
    let mut table = (texts.len() as u32).to_be_bytes().to_vec();
    for text in texts {
        table.push(text.len() as u8);
        table.extend(text.bytes());
    }
    table
}

#[test]
fn a_series_that_occurs_twice_is_refused_whatever_stands_between() {
    let table = symbols(&["__name__", "a", "b", "x"]);
    let (one, other) = (entry([0, 1, 3, 1], &[0]), entry([0, 1, 3, 2], &[0]));
    let walk = |entries: &[&[u8]]| check::walk(check::index_bytes(2, &table, entries));
    assert_eq!(walk(&[&other, &one]).unwrap(), 2);
    for entries in [&[&one, &one][..], &[&one, &other, &one], &[&other, &one, &other]] {
        let entries: Vec<&[u8]> = entries.iter().map(|entry| entry.as_slice()).collect();
        let error = walk(&entries).unwrap_err().to_string();
        assert!(error.contains("index: a series occurs twice at byte"), "{error}");
    }
}

#[test]
fn a_chunk_that_a_series_has_twice_is_refused() {
    let table = symbols(&["__name__", "a", "b", "x"]);
    // Times, and references as the difference to the one before: 8, 20, 8.
    let thrice = [3, 0, 1, 8, 1, 1, 24, 1, 1, 23];
    let others = [3, 0, 1, 8, 1, 1, 24, 1, 1, 21];
    let walk = |chunks| {
        let entry = entry([0, 1, 3, 1], chunks);
        check::walk(check::index_bytes(2, &table, &[&entry]))
    };
    assert_eq!(walk(&others).unwrap(), 1);
    let error = walk(&thrice).unwrap_err().to_string();
    assert!(error.contains("index: a series has a chunk twice at byte"), "{error}");
}
