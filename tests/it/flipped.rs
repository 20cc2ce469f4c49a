//! Bits of history files that are not what was written: an answer is that of whole files, or says what it lacks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nines_storage::disk::sim::{SimDisk, SimRng};
use nines_storage::history::{Keep, Tier};
use nines_storage::{Db, Store};

use crate::gone::{Points, ask, points, try_ask, warns};
use crate::kept::{AUGUST_MS, DAY_MS, FUNCTIONS, HOUR_MS, SEPTEMBER_MS, keep, open_on, reopen};

const RETENTION: Option<Duration> = Some(Duration::from_secs(20 * 86_400));
/// Bits that are flipped, one at a time.
const FLIPS: u64 = 60;

/// The hours of `b` and `c` went, those of older days with the days of `b`.
fn keeps() -> Vec<Keep> {
    vec![keep(Some("b"), &[Tier::Hour, Tier::Day]), keep(Some("c"), &[Tier::Hour])]
}

fn db(store: &Store) -> Arc<Db> {
    store.db("anonymous").unwrap()
}

/// Files of the history.
fn files(db: &Db) -> Vec<(PathBuf, u64)> {
    let history = db.history().unwrap();
    let state = history.state();
    state.files().map(|(part, _, file)| (history.dir().join(file.path(part)), file.bytes)).collect()
}

/// A text and a time.
type Asked = (String, i64);

fn questions() -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let times = [AUGUST_MS, SEPTEMBER_MS, SEPTEMBER_MS + 6 * HOUR_MS, SEPTEMBER_MS + 9 * DAY_MS];
    for at in times {
        for function in FUNCTIONS {
            let ranges = ["6h", "1d", "3d", "30h", "40d"];
            all.extend(ranges.map(|range| (format!("{function}(m_total[{range}])"), at)));
        }
        all.push(("m_total".to_owned(), at));
        all.push(("absent(m_total{kind=\"c\"})".to_owned(), at));
    }
    all
}

/// Points, and everything that is said of them; the error, where there is no answer.
fn told(db: &Db, (text, at): &Asked) -> (Points, Vec<String>) {
    match try_ask(db, text, *at, None) {
        Ok(result) => (points(&result), [result.infos, result.warnings].concat()),
        Err(error) => (Points::new(), vec![format!("error: {error}")]),
    }
}

/// The file that holds the days of a month is damaged, and hours of some of its series went by their age: nobody can
/// tell any more whose.
#[test]
fn a_damaged_month_of_which_hours_went_is_told() {
    let month =
        Path::new("/data/tenants/anonymous/history/rollup_1d/year=2023/part-2023-09.parquet");
    for retention in [RETENTION, None] {
        let disk = Arc::new(SimDisk::new());
        let whole = open_on(Arc::clone(&disk), retention, keeps());
        assert!(files(&db(&whole)).iter().any(|(path, _)| path == month));
        let cut = db(&whole).history().unwrap().state();
        let day = nines_storage::history::Day::of(SEPTEMBER_MS + 1);
        assert!(cut.days[&day.0].is_cut(Tier::Hour) && !cut.days[&day.0].lacks_hours());
        let copy = Arc::new(disk.kill());
        assert!(copy.flip(month, 300, 4));
        let damaged = reopen(Arc::clone(&copy), retention, keeps());
        for asked in questions() {
            let (wanted, known) = told(&db(&whole), &asked);
            let (seen, said) = told(&db(&damaged), &asked);
            let more = said.iter().any(|text| !known.contains(text));
            assert!(seen == wanted || more, "{asked:?}: {seen:?}, wanted {wanted:?}; {said:?}");
            if retention.is_none() {
                assert_eq!(
                    (&seen, more),
                    (&wanted, false),
                    "{asked:?}: samples tell all: {said:?}"
                );
            }
        }
        let of = |kind: &str| format!("count_over_time(m_total{{kind=\"{kind}\"}}[6h])");
        for kind in ["a", "b", "c"] {
            let seen = ask(&db(&damaged), &of(kind), SEPTEMBER_MS + 6 * HOUR_MS, None);
            assert_eq!(
                warns(&seen, "rows of 2023-09 are missing"),
                retention.is_some(),
                "{:?}",
                seen.warnings
            );
        }
        // A day of it whose hours lie in a file of their own is not touched.
        let seen = ask(&db(&damaged), &of("a"), AUGUST_MS + 6 * HOUR_MS, None);
        assert_eq!(points(&seen).len(), 1);
        assert!(!warns(&seen, "2023-09"), "{:?}", seen.warnings);
    }
}

#[test]
fn a_flipped_bit_changes_no_answer_without_a_word() {
    let disk = Arc::new(SimDisk::new());
    let whole = open_on(Arc::clone(&disk), RETENTION, keeps());
    let questions = questions();
    let wanted: Vec<_> = questions.iter().map(|asked| told(&db(&whole), asked)).collect();
    let files: Vec<(PathBuf, u64)> = files(&db(&whole))
        .into_iter()
        .filter(|(path, _)| {
            ["rollup_1h", "rollup_1d"].iter().any(|tier| path.to_string_lossy().contains(tier))
        })
        .collect();
    let (months, days): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(path, _)| path.to_string_lossy().contains("rollup_1d"));
    let (mut rng, mut missed) = (SimRng::new(9), 0);
    for n in 0..FLIPS {
        // Few files hold the days.
        let files = if n % 2 == 0 { &months } else { &days };
        let (path, bytes) = &files[rng.below(files.len() as u64) as usize];
        let (offset, bit) = (rng.below(*bytes) as usize, rng.below(8));
        let copy = Arc::new(disk.kill());
        assert!(copy.flip(path, offset, 1 << bit));
        let damaged = reopen(copy, RETENTION, keeps());
        for (asked, (wanted, known)) in questions.iter().zip(&wanted) {
            let (seen, said) = told(&db(&damaged), asked);
            let more = said.iter().any(|text| !known.contains(text));
            missed += u32::from(more);
            assert!(
                seen == *wanted || more,
                "bit {bit} of byte {offset} of {path:?}: {asked:?}: {seen:?}, wanted {wanted:?}; {said:?}"
            );
        }
        let verified = {
            let (mut wrong, database) = (0, db(&damaged));
            database.history().unwrap().verify(&mut |one| wrong += u32::from(one.rows.is_err()));
            wrong
        };
        assert_eq!(verified, 1, "bit {bit} of byte {offset} of {path:?}");
    }
    assert!(u64::from(missed) > FLIPS, "{missed} answers lacked rows");
}
