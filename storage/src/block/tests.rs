#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
//! Blocks against the samples they were made from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::*;
use crate::disk::sim::{Fault, SimDisk, SimRng};
use crate::disk::{Disk, OsDisk};
use crate::index::{PageRef, compare_in_entity, entity_labels};
use crate::model::{
    Counts, Histogram, Labels, MatchOp, Matcher, ResetHint, SeriesData, SeriesOrd, Span, TimeRange,
    stale_nan,
};
use crate::{Error, ErrorKind, Result};

type Series = (Labels, SeriesData);

fn targets() -> Vec<String> {
    ["job", "instance"].map(str::to_owned).to_vec()
}

fn histogram(rng: &mut SimRng, stale: bool) -> Arc<Histogram> {
    let count = rng.below(1_000);
    Arc::new(Histogram {
        schema: 3,
        zero_threshold: 1e-128,
        sum: if stale { stale_nan() } else { count as f64 * 0.25 },
        reset_hint: ResetHint::Unknown,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count,
            zero_count: 1,
            positive: vec![count as i64 - 1, 0],
            negative: Vec::new(),
        },
        start_ts: if rng.chance(30) { 1_000 } else { 0 },
    })
}

/// One target's series, in the order of a block: a shared jittery clock with scrapes that failed; late series,
/// series that end with a stale marker, a series with timestamps of its own, one with start timestamps, and
/// native histograms.
fn target(rng: &mut SimRng, number: u64, n_series: u64, n_scrapes: u64) -> Vec<Series> {
    let mut clock = Vec::new();
    let mut ts = 1_700_000_000_000 + rng.below(15_000) as i64;
    for _ in 0..n_scrapes {
        ts += 15_000 + if rng.chance(25) { rng.below(20) as i64 - 10 } else { 0 };
        if !rng.chance(2) {
            clock.push(ts);
        }
    }
    let instance = format!("host-{number:03}:9100");
    let mut all: Vec<Series> = (0..n_series)
        .map(|i| {
            let (metric, cpu) = (format!("metric_{:02}", i % 20), format!("{}", i / 20));
            let labels = Labels::from_pairs([
                ("__name__", metric.as_str()),
                ("job", if number.is_multiple_of(3) { "node" } else { "api" }),
                ("instance", instance.as_str()),
                ("cpu", cpu.as_str()),
            ]);
            (labels, series(rng, i, &clock))
        })
        .collect();
    all.sort_by(|a, b| compare_in_entity(&a.0, &b.0));
    all
}

fn series(rng: &mut SimRng, kind: u64, clock: &[i64]) -> SeriesData {
    let mut data = SeriesData::default();
    let begin = if kind % 10 == 1 { clock.len() / 2 } else { 0 };
    let mut value = rng.below(1_000) as f64;
    for ts in &clock[begin..] {
        if kind % 10 == 2 && rng.chance(30) {
            continue;
        }
        if kind % 10 == 3 && rng.chance(70) {
            data.histograms.push((*ts, histogram(rng, rng.clone().chance(3))));
            continue;
        }
        data.ts.push(if kind % 10 == 4 { *ts + rng.below(5_000) as i64 } else { *ts });
        value += if kind.is_multiple_of(2) {
            rng.below(10) as f64
        } else {
            rng.below(1_000) as f64 / 1_000.0
        };
        data.values.push(value);
    }
    if kind % 10 == 5 {
        data.start_ts =
            data.ts.iter().map(|_| if rng.chance(50) { 1_600_000_000_000 } else { 0 }).collect();
    }
    if let Some(last) = data.values.last_mut().filter(|_| kind % 10 == 6) {
        *last = stale_nan();
    }
    data
}

fn realistic(seed: u64, n_targets: u64, n_series: u64, n_scrapes: u64) -> Vec<Series> {
    let mut rng = SimRng::new(seed);
    let mut groups: Vec<Vec<Series>> =
        (0..n_targets).map(|number| target(&mut rng, number, n_series, n_scrapes)).collect();
    groups.sort_by_key(|group| entity_labels(&group[0].0, &targets()));
    groups.into_iter().flatten().collect()
}

fn write(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id: u64,
    sources: &[u64],
    all: &[Series],
) -> Result<BlockMeta> {
    let sources = sources.iter().copied().map(BlockId).collect();
    let writer = Writer::new(Arc::clone(disk), dir, BlockId(id), 1, sources, &targets())?;
    fill(writer, all)
}

fn fill(mut writer: Writer, all: &[Series]) -> Result<BlockMeta> {
    let mut group = None;
    for (labels, data) in all {
        let entity = entity_labels(labels, &targets());
        if group.as_ref() != Some(&entity) {
            writer.begin_group(&entity)?;
            group = Some(entity);
        }
        writer.add_series(labels, data)?;
    }
    writer.finish()
}

fn same(a: &SeriesData, b: &SeriesData) -> bool {
    let bits =
        |data: &SeriesData| data.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let starts = |data: &SeriesData| {
        if data.start_ts.is_empty() { vec![0; data.ts.len()] } else { data.start_ts.clone() }
    };
    let blobs = |data: &SeriesData| {
        data.histograms
            .iter()
            .map(|(ts, histogram)| {
                let mut blob = Vec::new();
                histogram.encode(&mut blob);
                (*ts, blob)
            })
            .collect::<Vec<_>>()
    };
    a.ts == b.ts && bits(a) == bits(b) && starts(a) == starts(b) && blobs(a) == blobs(b)
}

/// The samples of `data` for which `keep` holds.
fn only(data: &SeriesData, keep: impl Fn(i64) -> bool) -> SeriesData {
    let mut out = SeriesData::default();
    for (i, ts) in data.ts.iter().enumerate().filter(|(_, ts)| keep(**ts)) {
        out.ts.push(*ts);
        out.values.push(data.values[i]);
        out.start_ts.extend(data.start_ts.get(i));
    }
    out.histograms = data.histograms.iter().filter(|(ts, _)| keep(*ts)).cloned().collect();
    out
}

fn simulated() -> (SimDisk, Arc<dyn Disk>, PathBuf) {
    let sim = SimDisk::new();
    (sim.clone(), Arc::new(sim), PathBuf::from("/data/blocks"))
}

/// What a walk over the whole block names for the series `ord`, whose labels it must tell.
fn pages_of(block: &Block, ord: SeriesOrd) -> Vec<(u32, PageRef)> {
    let (mut pages, mut own) = (Vec::new(), 0..0);
    let all = block.resolve(&[]).unwrap();
    block
        .walk(&all, TimeRange::ALL, &mut pages, &mut |at, walk, places| {
            assert_eq!(walk.labels().unwrap(), block.labels(at).unwrap());
            if at == ord {
                own = places;
            }
            Ok(())
        })
        .unwrap();
    pages[own.start as usize..own.end as usize].to_vec()
}

/// A walk over some of the series stops at those that may have samples, with their labels.
fn check_walk(block: &Block, every: usize, range: TimeRange) {
    let all = block.resolve(&[]).unwrap();
    let some: RoaringBitmap = all.iter().step_by(every).collect();
    let mut seen = Vec::new();
    block
        .walk(&some, range, &mut Vec::new(), &mut |ord, walk, _| {
            assert_eq!(walk.labels().unwrap(), block.labels(ord).unwrap());
            seen.push(ord.0);
            Ok(())
        })
        .unwrap();
    let may_have = |ord: &u32| block.may_have(SeriesOrd(*ord), range).unwrap();
    assert_eq!(seen, some.iter().filter(may_have).collect::<Vec<_>>());
}

fn check_all(block: &Block, all: &[Series], range: TimeRange) {
    let mut scratch = ReadScratch::default();
    let mut out = SeriesData::default();
    for (i, (labels, data)) in all.iter().enumerate() {
        let ord = SeriesOrd(i as u32);
        assert_eq!(block.labels(ord).unwrap(), *labels);
        out.clear();
        block.read(ord, range, &mut scratch, &mut out).unwrap();
        let wanted = only(data, |ts| range.contains(ts));
        assert!(same(&out, &wanted), "{labels} {range:?}");
        assert!(wanted.is_empty() || block.may_have(ord, range).unwrap());
    }
}

#[test]
fn a_hundred_targets_come_back_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let all = realistic(1, 100, 50, 1_000);
    let meta = write(&disk, dir.path(), 7, &[], &all).unwrap();
    let n_samples: usize = all.iter().map(|series| series.1.len()).sum();
    let n_histograms: usize = all.iter().map(|series| series.1.histograms.len()).sum();
    assert_eq!(
        (meta.n_series, meta.n_samples, meta.n_histograms),
        (all.len() as u64, n_samples as u64, n_histograms as u64)
    );
    let times = || {
        all.iter().flat_map(|(_, d)| d.ts.iter().copied().chain(d.histograms.iter().map(|h| h.0)))
    };
    assert_eq!((Some(meta.min_ts), Some(meta.max_ts)), (times().min(), times().max()));
    let block = Block::open(Arc::clone(&disk), &dir.path().join("0000000000000007")).unwrap();
    assert_eq!(*block.meta(), meta);
    block.verify().unwrap();
    check_all(&block, &all, TimeRange::ALL);
    let middle = meta.min_ts + 3_000_000;
    check_all(&block, &all, TimeRange::new(middle, middle + 300_000));
    for every in [1, 3, 40] {
        check_walk(&block, every, TimeRange::ALL);
        check_walk(&block, every, TimeRange::new(middle, middle + 300_000));
    }
    check_all(&block, &all, TimeRange::new(meta.max_ts + 1, i64::MAX));
    eprintln!(
        "{} series, {n_samples} samples: chunks {:.3} B/sample, index {:.1} B/series, {} pages",
        all.len(),
        meta.chunks_bytes as f64 / n_samples as f64,
        meta.index_bytes as f64 / all.len() as f64,
        block.index().n_pages_unverified(),
    );
    let matchers =
        [Matcher::equal("job", "node"), Matcher::new("cpu", MatchOp::NotEqual, "1").unwrap()];
    let wanted: Vec<SeriesOrd> = all
        .iter()
        .enumerate()
        .filter(|(_, (labels, _))| labels.get("job") == "node" && labels.get("cpu") != "1")
        .map(|(i, _)| SeriesOrd(i as u32))
        .collect();
    assert_eq!(block.select(&matchers).unwrap(), wanted);
    assert_eq!(block.label_values("job", None).unwrap(), ["api", "node"]);
    assert_eq!(block.label_names(None).unwrap(), ["__name__", "cpu", "instance", "job"]);
}

#[test]
fn reads_append_and_an_empty_block_is_a_block() {
    let (_, disk, dir) = simulated();
    let all = realistic(2, 1, 4, 100);
    write(&disk, &dir, 1, &[], &all).unwrap();
    let block = Block::open(Arc::clone(&disk), &dir.join(BlockId(1).to_string())).unwrap();
    let mut out = SeriesData::default();
    let mut scratch = ReadScratch::default();
    let cut = all[0].1.ts[50];
    block.read(SeriesOrd(0), TimeRange::new(i64::MIN, cut), &mut scratch, &mut out).unwrap();
    block.read(SeriesOrd(0), TimeRange::new(cut + 1, i64::MAX), &mut scratch, &mut out).unwrap();
    assert!(same(&out, &all[0].1));
    let no_series = block.read(SeriesOrd(99), TimeRange::ALL, &mut scratch, &mut out).unwrap_err();
    assert_eq!(no_series.kind(), ErrorKind::Invalid);
    let meta = write(&disk, &dir, 2, &[], &[]).unwrap();
    assert_eq!(meta.n_samples, 0);
    let empty = Block::open(Arc::clone(&disk), &dir.join(BlockId(2).to_string())).unwrap();
    assert_eq!(empty.select(&[]).unwrap(), []);
}

#[test]
fn a_target_larger_than_the_buffer_is_written_in_runs() {
    let (_, disk, dir) = simulated();
    let all = realistic(10, 2, 30, 700);
    let mut writer =
        Writer::new(Arc::clone(&disk), &dir, BlockId(1), 0, Vec::new(), &targets()).unwrap();
    writer.limit_group_bytes(100_000);
    fill(writer, &all).unwrap();
    let block = Block::open(Arc::clone(&disk), &dir.join(BlockId(1).to_string())).unwrap();
    let entity = block.index().entity_of(SeriesOrd(0)).unwrap();
    let pages = block.index().pages_of_entity(entity).unwrap();
    assert!(pages.map(|(_, page)| page.first_ord).any(|first| first > 0));
    check_all(&block, &all, TimeRange::ALL);
    check_all(&block, &all, TimeRange::new(block.range().min + 60_000, block.range().max - 60_000));
}

#[test]
fn a_block_of_the_version_before_compression_opens() {
    let (_sim, disk, dir) = simulated();
    let all = realistic(4, 2, 30, 300);
    let writer = Writer::new(Arc::clone(&disk), &dir, BlockId(1), 0, vec![], &targets()).unwrap();
    let plain = fill(writer, &all).unwrap();
    let packed = write(&disk, &dir, 2, &[], &all).unwrap();
    assert!(packed.chunks_bytes < plain.chunks_bytes, "{packed:?} {plain:?}");
    let chunks = dir.join(BlockId(1).to_string()).join(CHUNKS_FILE);
    let mut bytes = disk.read(&chunks).unwrap().to_vec();
    let footer_at = bytes.len() - CHUNKS_FOOTER_BYTES;
    let n_pages = u64::from_le_bytes(bytes[footer_at + 8..footer_at + 16].try_into().unwrap());
    for version in [CHUNKS_VERSION_MIN, CHUNKS_VERSION + 1] {
        bytes[..CHUNKS_HEADER_BYTES].copy_from_slice(&sealing::chunks_header(version));
        let footer = sealing::chunks_footer(version, footer_at as u64, n_pages);
        bytes[footer_at..].copy_from_slice(&footer);
        let file = disk.create(&dir.join("new")).unwrap();
        file.write_at(0, &bytes).unwrap();
        file.sync_all().unwrap();
        disk.rename(&dir.join("new"), &chunks).unwrap();
        match Block::open(Arc::clone(&disk), &dir.join(BlockId(1).to_string())) {
            Ok(block) => {
                assert_eq!(version, 1);
                check_all(&block, &all, TimeRange::ALL);
            }
            Err(error) => {
                assert_eq!(version, 3);
                assert!(error.to_string().contains("chunks version is not known"), "{error}");
            }
        }
    }
}

#[test]
fn the_writer_refuses_a_broken_order() {
    let (sim, disk, dir) = simulated();
    let all = realistic(3, 2, 3, 10);
    let begin =
        || Writer::new(Arc::clone(&disk), &dir, BlockId(1), 0, Vec::new(), &targets()).unwrap();
    let entity = |i: usize| entity_labels(&all[i].0, &targets());
    let invalid = |answer: Result<()>| assert_eq!(answer.unwrap_err().kind(), ErrorKind::Invalid);
    let mut writer = begin();
    writer.begin_group(&entity(3)).unwrap();
    invalid(writer.begin_group(&entity(0)));
    invalid(writer.add_series(&all[0].0, &all[0].1));
    writer.add_series(&all[4].0, &all[4].1).unwrap();
    invalid(writer.add_series(&all[3].0, &all[3].1));
    invalid(writer.add_series(&all[4].0, &all[4].1));
    let backwards = SeriesData { ts: vec![2, 1], values: vec![0.0; 2], ..SeriesData::default() };
    invalid(writer.add_series(&all[5].0, &backwards));
    writer.abort().unwrap();
    drop(begin());
    assert_eq!(sim.list_dir(&dir).unwrap(), []);
}

#[test]
fn deleted_intervals_stay_deleted() {
    let (sim, disk, dir) = simulated();
    let all = realistic(4, 2, 10, 600);
    let meta = write(&disk, &dir, 1, &[], &all).unwrap();
    let path = dir.join(BlockId(1).to_string());
    let block = Block::open(Arc::clone(&disk), &path).unwrap();
    let first = TimeRange::new(meta.min_ts, meta.min_ts + 600_000);
    let second = TimeRange::new(meta.min_ts + 500_000, meta.min_ts + 900_000);
    block.add_tombstones(&[(SeriesOrd(3), first), (SeriesOrd(5), TimeRange::ALL)]).unwrap();
    block.add_tombstones(&[(SeriesOrd(3), second)]).unwrap();
    assert_eq!(block.tombstones().of(SeriesOrd(3)), [first.hull(&second)]);
    let after_crash: Arc<dyn Disk> = Arc::new(sim.crash(1));
    for block in [block, Block::open(after_crash, &path).unwrap()] {
        let mut scratch = ReadScratch::default();
        for (i, (labels, data)) in all.iter().enumerate() {
            // What is in the buffer before belongs to somebody else, even inside the interval.
            let mut out =
                SeriesData { ts: vec![first.min], values: vec![1.5], ..SeriesData::default() };
            block.read(SeriesOrd(i as u32), TimeRange::ALL, &mut scratch, &mut out).unwrap();
            let mut wanted = only(data, |ts| match i {
                3 => ts > second.max,
                5 => false,
                _ => true,
            });
            if !wanted.start_ts.is_empty() {
                wanted.start_ts.insert(0, 0);
            }
            wanted.ts.insert(0, first.min);
            wanted.values.insert(0, 1.5);
            assert!(same(&out, &wanted), "{labels}");
        }
    }
}

#[test]
fn a_damaged_page_is_named_and_the_rest_is_read() {
    let (sim, disk, dir) = simulated();
    let all = realistic(5, 3, 20, 2_100);
    write(&disk, &dir, 1, &[], &all).unwrap();
    let path = dir.join(BlockId(1).to_string());
    let block = Block::open(Arc::clone(&disk), &path).unwrap();
    let entity = block.index().entity_of(SeriesOrd(0)).unwrap();
    let pages: Vec<_> = block.index().pages_of_entity(entity).unwrap().collect();
    assert!(pages.len() >= 3, "{pages:?}");
    let (_, damaged) = pages[1];
    assert!(sim.flip(&path.join(CHUNKS_FILE), damaged.offset as usize + 20, 1));
    let block = Block::open(Arc::clone(&disk), &path).unwrap();
    let mut scratch = ReadScratch::default();
    let (mut out, mut damages) = (SeriesData::default(), Vec::new());
    let mut hit = 0;
    for (i, (labels, data)) in all.iter().enumerate() {
        let ord = SeriesOrd(i as u32);
        out.clear();
        damages.clear();
        let strict = block.read(ord, TimeRange::ALL, &mut scratch, &mut out);
        let in_page = (damaged.first_ord..=damaged.last_ord).contains(&ord.0);
        if !in_page {
            strict.unwrap();
            assert!(same(&out, data), "{labels}");
            continue;
        }
        let Err(Error::Corrupt(cause)) = strict else { panic!("{labels}: damage unseen") };
        assert_eq!(cause.path, path.join(CHUNKS_FILE));
        assert!((damaged.offset..damaged.offset + u64::from(damaged.len)).contains(&cause.offset));
        assert!(out.is_empty());
        let pages = pages_of(&block, ord);
        block
            .read_lossy(ord, &pages, TimeRange::ALL, &mut scratch, &mut out, &mut damages)
            .unwrap();
        assert_eq!(damages.len(), 1);
        let gap = damages[0].range;
        assert_eq!(gap, TimeRange::new(damaged.min_ts, damaged.max_ts));
        // Windows of one group do not overlap in time.
        assert!(same(&out, &only(data, |ts| !gap.contains(ts))), "{labels}");
        hit += 1;
    }
    assert!(hit > 0);
    assert_eq!(block.verify().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_nothing() {
    let (sim, disk, dir) = simulated();
    let all = realistic(6, 4, 12, 60);
    write(&disk, &dir, 1, &[], &all).unwrap();
    let path = dir.join(BlockId(1).to_string());
    let range = TimeRange::new(0, 1_700_000_300_000);
    let block = Block::open(Arc::clone(&disk), &path).unwrap();
    block.add_tombstones(&[(SeriesOrd(1), range)]).unwrap();
    let mut rng = SimRng::new(6);
    let (mut opened, mut refused) = (0, 0);
    for name in [META_FILE, INDEX_FILE, CHUNKS_FILE, TOMBSTONES_FILE] {
        let len = sim.file_len(&path.join(name)).unwrap();
        for _ in 0..400 {
            let (at, mask) = (rng.below(len) as usize, 1u8 << rng.below(8));
            assert!(sim.flip(&path.join(name), at, mask));
            match Block::open(Arc::clone(&disk), &path) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} {at}: {error}");
                    refused += 1;
                }
                Ok(block) => {
                    opened += 1;
                    check_unaffected(&block, &all, range, name, at);
                }
            }
            assert!(sim.flip(&path.join(name), at, mask));
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} {refused}");
}

/// Everything that can be read is right; series 1 lacks `deleted`.
fn check_unaffected(block: &Block, all: &[Series], deleted: TimeRange, name: &str, at: usize) {
    let mut scratch = ReadScratch::default();
    for (i, (labels, data)) in all.iter().enumerate() {
        let ord = SeriesOrd(i as u32);
        if let Ok(read) = block.labels(ord) {
            assert_eq!(read, *labels, "{name} {at}");
        }
        let mut out = SeriesData::default();
        if block.read(ord, TimeRange::ALL, &mut scratch, &mut out).is_ok() {
            let wanted = only(data, |ts| i != 1 || !deleted.contains(ts));
            assert!(same(&out, &wanted), "{name} {at} {labels}");
        }
    }
    if let Ok(found) = block.select(&[Matcher::equal("job", "node")]) {
        let wanted = all.iter().filter(|(labels, _)| labels.get("job") == "node").count();
        assert_eq!(found.len(), wanted, "{name} {at}");
    }
}

#[test]
fn after_a_crash_at_any_step_the_block_is_whole_or_absent() {
    let all = realistic(7, 2, 5, 40);
    let (sim, disk, dir) = simulated();
    write(&disk, &dir, 1, &[], &all).unwrap();
    let n_ops = sim.ops();
    let mut whole = 0;
    for op in 1..=n_ops + 1 {
        for seed in 0..12 {
            let (sim, disk, dir) = simulated();
            sim.fail_from_op(op, Fault::Eio, true);
            let answer = write(&disk, &dir, 1, &[], &all);
            sim.stop_failing();
            let found = sim.crash(seed);
            let found: Arc<dyn Disk> = Arc::new(found);
            let loaded = load_blocks(&found, &dir).unwrap();
            assert!(loaded.quarantined.is_empty(), "op {op} seed {seed}: {:?}", loaded.quarantined);
            if let Some(block) = loaded.blocks.first() {
                check_all(block, &all, TimeRange::ALL);
                whole += 1;
            } else {
                assert!(answer.is_err(), "a finished block was lost: op {op} seed {seed}");
            }
            let left = found.list_dir(&dir).unwrap();
            assert_eq!(left.len(), loaded.blocks.len(), "{left:?}");
        }
    }
    assert!(whole >= 12);
}

#[test]
fn after_a_crash_while_removing_the_block_is_whole_or_absent() {
    let all = realistic(11, 1, 3, 40);
    for op in 1..5 {
        for seed in 0..12 {
            let (sim, disk, dir) = simulated();
            write(&disk, &dir, 1, &[], &all).unwrap();
            sim.fail_from_op(sim.ops() + op, Fault::Eio, true);
            let removed = remove_block(disk.as_ref(), &dir, BlockId(1));
            sim.stop_failing();
            let found: Arc<dyn Disk> = Arc::new(sim.crash(seed));
            let loaded = load_blocks(&found, &dir).unwrap();
            assert!(loaded.quarantined.is_empty(), "op {op}: {:?}", loaded.quarantined);
            assert!(removed.is_err() || loaded.blocks.is_empty());
            loaded.blocks.iter().for_each(|block| check_all(block, &all, TimeRange::ALL));
        }
    }
}

#[test]
fn tombstones_survive_a_crash_at_any_step() {
    let all = realistic(8, 1, 3, 40);
    let (first, second) = (TimeRange::new(0, 1), TimeRange::new(5, 9));
    for op in 0..8 {
        for seed in 0..8 {
            let (sim, disk, dir) = simulated();
            write(&disk, &dir, 1, &[], &all).unwrap();
            let path = dir.join(BlockId(1).to_string());
            let block = Block::open(Arc::clone(&disk), &path).unwrap();
            block.add_tombstones(&[(SeriesOrd(0), first)]).unwrap();
            sim.fail_from_op(sim.ops() + 1 + op, Fault::Eio, true);
            let answer = block.add_tombstones(&[(SeriesOrd(0), second)]);
            sim.stop_failing();
            let found: Arc<dyn Disk> = Arc::new(sim.crash(seed));
            let block = Block::open(Arc::clone(&found), &path).unwrap();
            let kept = block.tombstones().of(SeriesOrd(0)).to_vec();
            assert!(kept == [first] || kept == [first, second], "op {op}: {kept:?}");
            assert!(answer.is_err() || kept.len() == 2);
            block.add_tombstones(&[(SeriesOrd(0), second)]).unwrap();
            assert_eq!(block.tombstones().of(SeriesOrd(0)), [first, second]);
        }
    }
}

#[test]
fn loading_sorts_out_what_it_finds() {
    let (sim, disk, dir) = simulated();
    let all = realistic(9, 1, 3, 40);
    for (id, sources) in [(1, vec![]), (2, vec![]), (3, vec![1, 2]), (4, vec![]), (5, vec![4])] {
        write(&disk, &dir, id, &sources, &all).unwrap();
    }
    let place = |id: u64| dir.join(BlockId(id).to_string());
    // Block 5 is damaged in a page: block 4, from which it was made, is what is left of the samples.
    assert!(sim.flip(&place(5).join(CHUNKS_FILE), CHUNKS_HEADER_BYTES + 20, 1));
    write(&disk, &dir, 6, &[], &all).unwrap();
    assert!(sim.flip(&place(6).join(META_FILE), 30, 1));
    disk.create_dir_all(&dir.join("000000000000000a.tmp")).unwrap();
    disk.create_dir_all(&dir.join("lost+found")).unwrap();
    let loaded = load_blocks(&disk, &dir).unwrap();
    let ids: Vec<u64> = loaded.blocks.iter().map(|block| block.meta().id.0).collect();
    assert_eq!(ids, [3, 4]);
    assert_eq!(loaded.superseded, [BlockId(1), BlockId(2)]);
    let paths: Vec<&PathBuf> = loaded.quarantined.iter().map(|bad| &bad.path).collect();
    assert_eq!(paths, [&place(6), &place(5)]);
    let told: Vec<bool> = loaded.quarantined.iter().map(|bad| bad.range.is_some()).collect();
    assert_eq!(told, [false, true], "the meta of one is damaged");
    assert!(!disk.exists(&dir.join("000000000000000a.tmp")).unwrap());
    assert!(disk.exists(&dir.join("lost+found")).unwrap());
    assert!(disk.exists(&place(6)).unwrap());
    for id in &loaded.superseded {
        remove_block(disk.as_ref(), &dir, *id).unwrap();
    }
    let loaded = load_blocks(&disk, &dir).unwrap();
    assert_eq!((loaded.blocks.len(), loaded.superseded.len()), (2, 0));
}

#[test]
fn the_format_document_says_what_the_code_does() {
    use crate::index::{
        INDEX_CLASS_METRIC, INDEX_CLASS_RESIDUAL, INDEX_CLASS_TARGET, INDEX_FOOTER_BYTES,
        INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_PAGE_ENTRY_BYTES, INDEX_POSTINGS_GAPS,
        INDEX_POSTINGS_ROARING, INDEX_ROWS_PER_OFFSET, INDEX_VERSION,
    };
    let document = include_str!("../../FORMAT.md");
    let text = |magic: &[u8; 8]| format!("\"{}\"", std::str::from_utf8(magic).unwrap());
    let constants = [
        ("BLOCK_META_VERSION", BLOCK_META_VERSION.to_string()),
        ("CHUNKS_MAGIC", text(CHUNKS_MAGIC)),
        ("CHUNKS_VERSION", CHUNKS_VERSION.to_string()),
        ("CHUNKS_VERSION_MIN", CHUNKS_VERSION_MIN.to_string()),
        ("CHUNKS_HEADER_BYTES", CHUNKS_HEADER_BYTES.to_string()),
        ("CHUNKS_FOOTER_BYTES", CHUNKS_FOOTER_BYTES.to_string()),
        ("INDEX_MAGIC", text(INDEX_MAGIC)),
        ("INDEX_VERSION", INDEX_VERSION.to_string()),
        ("INDEX_HEADER_BYTES", INDEX_HEADER_BYTES.to_string()),
        ("INDEX_FOOTER_BYTES", INDEX_FOOTER_BYTES.to_string()),
        ("INDEX_CLASS_METRIC", INDEX_CLASS_METRIC.to_string()),
        ("INDEX_CLASS_TARGET", INDEX_CLASS_TARGET.to_string()),
        ("INDEX_CLASS_RESIDUAL", INDEX_CLASS_RESIDUAL.to_string()),
        ("INDEX_POSTINGS_ROARING", INDEX_POSTINGS_ROARING.to_string()),
        ("INDEX_POSTINGS_GAPS", INDEX_POSTINGS_GAPS.to_string()),
        ("INDEX_ROWS_PER_OFFSET", INDEX_ROWS_PER_OFFSET.to_string()),
        ("INDEX_PAGE_ENTRY_BYTES", INDEX_PAGE_ENTRY_BYTES.to_string()),
        ("TOMBSTONES_MAGIC", text(TOMBSTONES_MAGIC)),
        ("TOMBSTONES_VERSION", TOMBSTONES_VERSION.to_string()),
    ];
    for (name, value) in constants {
        let line = format!("{name} = {value}");
        assert!(document.lines().any(|have| have == line), "{line}");
    }
}
