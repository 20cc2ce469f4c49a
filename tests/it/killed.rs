//! `nines history compact` that is killed while it rolls up and commits, again and again: nothing of what was
//! acknowledged is lost, and the rows are those of a history that was never disturbed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nines_storage::disk::sim::{SimDisk, SimRng};
use nines_storage::model::Labels;
use nines_storage::{Db, Store, StoreOptions};

use crate::tiling;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// 2024-02-01T00:00:00Z.
const START_MS: i64 = 1_706_745_600_000;
const DAYS: i64 = 12;
const END_MS: i64 = START_MS + DAYS * DAY_MS;
const NOW_MS: i64 = END_MS + 3 * 60 * MINUTE_MS;
const SERIES: usize = 40;
const CYCLES: u64 = 12;

fn open(dir: &Path) -> Store {
    let options = StoreOptions { wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
    Store::open(dir, options, &|_| {}).unwrap()
}

/// Writes samples of `(series, time, value)`; they are acknowledged when this returns.
fn write(db: &Db, samples: &[(usize, i64, f64)]) {
    let mut appender = db.appender();
    for (i, ts, value) in samples {
        let key = db.series_key(&i.to_le_bytes());
        let series = match appender.find(key) {
            Some(series) => series,
            None => {
                let pod = format!("p{}", i / 4);
                let path = format!("/{}", i % 4);
                let labels = [("__name__", "m_total"), ("instance", &*pod), ("path", &*path)];
                appender.resolve(key, &Labels::from_pairs(labels)).unwrap()
            }
        };
        appender.sample(series, *ts, *value, 0);
    }
    appender.commit(NOW_MS).unwrap();
}

/// The `n`th sample of every series, those of which `late` are left out.
fn scrape(n: i64, rng: &mut SimRng) -> Vec<(usize, i64, f64)> {
    let ts = START_MS + 1 + n * 10 * MINUTE_MS;
    let all = (0..SERIES).filter(|_| !rng.chance(10));
    all.map(|i| (i, ts, (n % (90 + i as i64) * (i as i64 + 1)) as f64)).collect()
}

/// Samples of a few days, between the others.
fn late(cycle: u64, rng: &mut SimRng) -> Vec<(usize, i64, f64)> {
    let days: Vec<i64> = (0..3).map(|_| rng.below(DAYS as u64) as i64).collect();
    let of = |n: u64| {
        let minutes = rng.below(24 * 6) as i64 * 10 + 1 + (cycle % 9) as i64;
        (
            rng.below(SERIES as u64) as usize,
            START_MS + days[n as usize % 3] * DAY_MS + minutes * MINUTE_MS,
        )
    };
    (0..60).map(of).map(|(i, ts)| (i, ts, (ts / MINUTE_MS % 1000) as f64)).collect()
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nines"));
    command.arg("history").args(args).args(["--data", dir.to_str().unwrap()]);
    command
}

fn compact(dir: &Path) -> Command {
    command(dir, &["compact", "--now", &(NOW_MS / 1000).to_string()])
}

/// Runs it to its end; what it says.
fn run(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Rolls up and is killed at some moment of some day. Whether that was before the end.
fn killed(dir: &Path, rng: &mut SimRng) -> bool {
    let mut child = compact(dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let days = rng.below(5);
    for line in said.by_ref() {
        let line = line.unwrap();
        // One line a day, when it begins.
        let left: Option<u64> =
            line.split_once(", ").and_then(|(_, left)| left.split(' ').next()?.parse().ok());
        if left.is_none_or(|left| left <= days) {
            break;
        }
    }
    std::thread::sleep(Duration::from_micros(rng.below(8_000)));
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

const QUERIES: [&str; 7] = [
    "count_over_time(m_total[12d])",
    "sum_over_time(m_total[12d])",
    "increase(m_total[5d])",
    "rate(m_total[26h])",
    "changes(m_total[1d])",
    "resets(m_total[7d])",
    "max_over_time(m_total[3h])",
];

/// Whether both answer the same.
fn compare(db: &Db, plain: &Db, context: &str) {
    for query in QUERIES {
        for at in [END_MS, END_MS - DAY_MS, END_MS - 5 * DAY_MS - 60 * MINUTE_MS, NOW_MS - 1] {
            let [seen, wanted] =
                [db, plain].map(|db| tiling::points(&tiling::ask(db, query, at, None)));
            assert!(!wanted.is_empty(), "{query} at {at}");
            assert_eq!(seen, wanted, "{context}: {query} at {at}");
        }
    }
}

#[test]
fn a_roll_up_that_is_killed_again_and_again_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
    let plain =
        Store::open_on(Arc::new(SimDisk::new()), Path::new("/data"), options, &|_| {}).unwrap();
    let plain = plain.db("anonymous").unwrap();
    let mut rng = SimRng::new(9);
    let add = |samples: &[(usize, i64, f64)]| {
        write(&plain, samples);
        write(&open(dir.path()).db("anonymous").unwrap(), samples);
    };
    let all: Vec<_> = (0..DAYS * 144 + 10).flat_map(|n| scrape(n, &mut rng)).collect();
    add(&all);
    let mut hits = 0;
    for cycle in 0..CYCLES {
        add(&late(cycle, &mut rng));
        hits += u64::from(killed(dir.path(), &mut rng));
        let context = format!("cycle {cycle}");
        {
            let store = open(dir.path());
            compare(&store.db("anonymous").unwrap(), &plain, &context);
        }
        run(command(dir.path(), &["verify"]));
    }
    assert!(hits > CYCLES / 2, "{hits} of {CYCLES} were killed before they were done");
    let said = run(compact(dir.path()));
    assert!(said.contains("rolling up"), "{said}");
    assert!(run(compact(dir.path())).contains("rollup_1d: 0 rows"), "all was done");
    let verified = run(command(dir.path(), &["verify"]));
    // Of a series and day: one row each of hours, of the day, and of the table of series.
    let rows = format!("with {} rows", SERIES as i64 * DAYS * (24 + 1 + 1));
    assert!(verified.contains(&rows), "{verified}");
    let store = open(dir.path());
    let db = store.db("anonymous").unwrap();
    compare(&db, &plain, "at the end");
    let state = db.history().unwrap().state();
    assert!(state.days.values().all(|built| !built.outdated), "{state:?}");
}
