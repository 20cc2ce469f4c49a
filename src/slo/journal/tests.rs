//! The journal against a disk that fails and loses power.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::{Fault, SimDisk};
use nines_storage::disk::{Disk, create_dir_durable};

use super::*;
use crate::slo::define::load_texts;
use crate::slo::definition::{Definitions, Exclusion, ExclusionMode, Place, When};

const PATH: &str = "/data/slo/t/journal";

fn open(disk: &SimDisk) -> Result<Journal> {
    Journal::open(Arc::new(disk.clone()), Path::new(PATH))
}

fn exclusion(name: &str) -> Exclusion {
    Exclusion {
        name: name.to_owned(),
        class: "c".to_owned(),
        when: When::Once { from_ms: 1000, to_ms: 2000 },
        services: vec!["s".to_owned()],
        slos: Vec::new(),
        labels: BTreeMap::new(),
        mode: ExclusionMode::Good,
        note: "a note that is some lines long\n".repeat(30),
        author: "ada".to_owned(),
        created_ms: Some(1500),
        place: Place { file: "the journal".to_owned(), line: 0, column: 0 },
    }
}

fn add(journal: &Journal, name: &str) -> Result<Entry> {
    let record = ExclusionRecord::of(&exclusion(name));
    journal.append(7, "ada", |_| Ok(Recorded::Exclusion(record)))
}

fn names(journal: &Journal) -> Vec<String> {
    journal.book().exclusions.keys().cloned().collect()
}

#[test]
fn entries_are_there_after_a_restart() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    assert!(!disk.exists(Path::new(PATH)).unwrap());
    add(&journal, "a").unwrap();
    add(&journal, "b").unwrap();
    let revoked = Revoked { name: "a".to_owned(), note: "n".to_owned() };
    journal
        .append(9, "bob", |_| Ok::<_, JournalError>(Recorded::Revoked(revoked.clone())))
        .unwrap();
    let again = open(&disk.kill()).unwrap();
    assert_eq!(again.book().entries, journal.book().entries);
    assert_eq!(again.book().exclusions["a"].revoked, Some((revoked.clone(), "bob".to_owned(), 9)));
    let back: Vec<_> = again.book().in_force().map(|one| format!("{one:?}")).collect();
    assert_eq!(back, [format!("{:?}", exclusion("b"))]);
    let last = again.behind(0, 8, 10);
    assert_eq!(last.len(), 1);
    assert_eq!(again.recorded(&last[0]).unwrap(), Recorded::Revoked(revoked));
}

#[test]
fn an_exclusion_that_repeats_is_read_back() {
    let text = "apiVersion: nines.dev/v1\nkind: Exclusion\nmetadata: {name: x}\nspec:\n  class: c\n  from: 2026-01-04T02:00:00\n  rrule: FREQ=WEEKLY;BYDAY=SU\n  timeZone: Europe/Amsterdam\n  duration: 2h\n  note: n\n  author: a\n";
    let (found, told) = load_texts(&[("-", text)]);
    assert!(told.is_empty(), "{told:?}");
    let one = &found.exclusions["x"];
    let back = ExclusionRecord::of(one).exclusion().unwrap();
    assert_eq!(back.when, one.when);
}

#[test]
fn a_torn_end_is_kept_aside_and_the_rest_goes_on() {
    for cut in [1, 20, 700] {
        let disk = SimDisk::new();
        let journal = open(&disk).unwrap();
        add(&journal, "a").unwrap();
        let whole = disk.file_len(Path::new(PATH)).unwrap();
        add(&journal, "b").unwrap();
        let disk = disk.kill();
        disk.open_write(Path::new(PATH)).unwrap().set_len(whole + cut).unwrap();
        let journal = open(&disk).unwrap();
        assert_eq!(names(&journal), ["a"]);
        let aside = format!("{PATH}.torn-{whole}-1");
        assert_eq!(disk.read(Path::new(&aside)).unwrap().len() as u64, cut);
        assert_eq!(add(&journal, "c").unwrap().seq, 2);
        assert_eq!(names(&open(&disk.kill()).unwrap()), ["a", "c"]);
    }
}

#[test]
fn a_damaged_line_is_told_with_its_place() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    let first = add(&journal, "a").unwrap();
    let middle = add(&journal, "b").unwrap();
    add(&journal, "c").unwrap();
    for offset in [middle.offset + 12, middle.offset + middle.bytes as u64 - 5] {
        let disk = disk.kill();
        assert!(disk.flip(Path::new(PATH), offset as usize, 1));
        let error = open(&disk).err().unwrap();
        let JournalError::Damaged { entry: 2, offset, .. } = error else { panic!("{error}") };
        assert_eq!(offset, first.bytes as u64);
    }
    // The last line was acknowledged as well.
    let last = disk.file_len(Path::new(PATH)).unwrap() - 30;
    assert!(disk.flip(Path::new(PATH), last as usize, 1));
    assert!(matches!(open(&disk).err().unwrap(), JournalError::Damaged { entry: 3, .. }));
}

#[test]
fn a_line_that_is_taken_out_is_missed() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    let first = add(&journal, "a").unwrap();
    add(&journal, "b").unwrap();
    let whole = disk.read(Path::new(PATH)).unwrap();
    let rest = whole.get(first.bytes..).unwrap();
    let other = SimDisk::new();
    create_dir_durable(&other, Path::new("/data/slo/t")).unwrap();
    other.create(Path::new(PATH)).unwrap().write_at(0, rest).unwrap();
    let error = open(&other).err().unwrap().to_string();
    assert!(error.contains("entry 1") && error.contains("its number is 2"), "{error}");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    for seed in 0..200 {
        let disk = SimDisk::new();
        create_dir_durable(&disk, Path::new("/data")).unwrap();
        let journal = open(&disk).unwrap();
        let mut acknowledged = Vec::new();
        for n in 0..seed % 4 {
            let name = format!("x{n}");
            add(&journal, &name).unwrap();
            acknowledged.push(name);
        }
        // One more is under way when the power goes.
        disk.fail_from_op(disk.ops() + 1 + seed % 7, Fault::Eio, true);
        let more = add(&journal, "y").is_ok();
        disk.stop_failing();
        let found = names(&open(&disk.crash(seed)).unwrap());
        if more || found.len() > acknowledged.len() {
            acknowledged.push("y".to_owned());
        }
        assert_eq!(found, acknowledged, "seed {seed}");
    }
}

#[test]
fn nothing_is_written_behind_what_may_not_be_on_disk() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    add(&journal, "a").unwrap();
    // The write works, the sync does not.
    disk.fail_from_op(disk.ops() + 2, Fault::Eio, false);
    add(&journal, "b").unwrap_err();
    assert!(matches!(add(&journal, "c").unwrap_err(), JournalError::Broken(_)));
    assert_eq!(names(&journal), ["a"]);
}

#[test]
fn nothing_is_acknowledged_of_a_file_whose_name_may_not_be_on_disk() {
    for seed in 0..300 {
        let disk = SimDisk::new();
        create_dir_durable(&disk, Path::new("/data")).unwrap();
        let journal = open(&disk).unwrap();
        // One of the steps of the first append fails, once.
        disk.fail_from_op(disk.ops() + 1 + seed % 6, Fault::Eio, false);
        let acknowledged: Vec<&str> =
            ["x", "y", "z"].into_iter().filter(|name| add(&journal, name).is_ok()).collect();
        disk.stop_failing();
        let found = names(&open(&disk.crash(seed)).unwrap());
        let lost = acknowledged.iter().find(|name| !found.iter().any(|one| one == *name));
        assert_eq!(lost, None, "seed {seed}");
    }
}

#[test]
fn a_file_that_somebody_else_has_made_is_not_written_over() {
    let disk = SimDisk::new();
    let (one, other) = (open(&disk).unwrap(), open(&disk).unwrap());
    add(&one, "a").unwrap();
    let error = add(&other, "b").unwrap_err().to_string();
    assert!(error.contains("somebody else has written it"), "{error}");
    assert_eq!(names(&open(&disk.kill()).unwrap()), ["a"]);
}

#[test]
fn a_last_line_that_lacks_its_end_gets_it() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    add(&journal, "a").unwrap();
    add(&journal, "b").unwrap();
    let disk = disk.kill();
    let len = disk.file_len(Path::new(PATH)).unwrap();
    disk.open_write(Path::new(PATH)).unwrap().set_len(len - 1).unwrap();
    let journal = open(&disk).unwrap();
    assert_eq!(names(&journal), ["a", "b"]);
    assert_eq!(add(&journal, "c").unwrap().seq, 3);
    assert_eq!(names(&open(&disk.kill()).unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_torn_end_is_not_cut_without_a_copy() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    add(&journal, "a").unwrap();
    let len = disk.file_len(Path::new(PATH)).unwrap();
    for n in 1..=TORN_KEPT_MAX {
        disk.create(Path::new(&format!("{PATH}.torn-{len}-{n}"))).unwrap();
    }
    disk.open_write(Path::new(PATH)).unwrap().write_at(len, b"torn").unwrap();
    let error = open(&disk.kill()).err().unwrap().to_string();
    assert!(error.contains("100 of those are kept beside it"), "{error}");
    assert_eq!(disk.file_len(Path::new(PATH)).unwrap(), len + 4);
}

#[test]
fn a_full_disk_may_have_room_again() {
    let disk = SimDisk::new();
    let journal = open(&disk).unwrap();
    add(&journal, "a").unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 10));
    add(&journal, "b").unwrap_err();
    disk.set_capacity(None);
    add(&journal, "b").unwrap();
    assert_eq!(names(&open(&disk.kill()).unwrap()), ["a", "b"]);
}

#[test]
fn who_decides_has_a_name_of_one_line() {
    let journal = open(&SimDisk::new()).unwrap();
    for author in ["", "a\nb", &"x".repeat(AUTHOR_BYTES_MAX + 1)] {
        let record = ExclusionRecord::of(&exclusion("a"));
        let error =
            journal.append(1, author, |_| Ok::<_, JournalError>(Recorded::Exclusion(record)));
        assert!(matches!(error.unwrap_err(), JournalError::Invalid(_)), "{author:?}");
    }
}

#[test]
fn changed_definitions_are_recorded_once() {
    let disk = Arc::new(SimDisk::new());
    let journals = Journals::open(disk.clone(), Path::new("/data")).unwrap();
    let text = |target: &str| {
        format!(
            "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: a}}\nspec:\n  service: s\n  budgetingMethod: Occurrences\n  timeWindow: [{{duration: 28d, isRolling: true}}]\n  indicator:\n    metadata: {{name: i}}\n    spec:\n      ratioMetric:\n        counter: true\n        bad: {{metricSource: {{type: nines, spec: {{query: bad_total}}}}}}\n        total: {{metricSource: {{type: nines, spec: {{query: all_total}}}}}}\n  objectives: [{{displayName: x, target: {target}}}]\n"
        )
    };
    let record = |text: &str, now_ms| {
        let (definitions, told) = load_texts(&[("a.yaml", text)]);
        assert!(told.is_empty(), "{told:?}");
        journals.record_definitions(&definitions, now_ms).unwrap();
        journals.definitions().unwrap().book().entries.len()
    };
    assert_eq!(record(&text("0.99"), 1), 1);
    assert_eq!(record(&text("0.99"), 2), 1);
    assert_eq!(record(&text("0.999"), 3), 2);
    assert_eq!(record("", 4), 3);
    assert_eq!(record("", 5), 3);
    let again = Journals::open(disk, Path::new("/data")).unwrap();
    let book = again.definitions().unwrap().book();
    let known = &book.definitions[&("SLO".to_owned(), "a".to_owned())];
    assert_eq!((known.since_ms, known.last.hash.as_str()), (1, ""));
    let second = again.definitions().unwrap().recorded(&book.entries[1]).unwrap();
    let Recorded::Changed(Changes { changes }) = second else { panic!("{second:?}") };
    assert_eq!((changes.len(), changes[0].target.as_str()), (1, "0.999"));
}

#[test]
fn a_damaged_journal_is_that_of_one_tenant() {
    let disk = SimDisk::new();
    let journals = Journals::open(Arc::new(disk.clone()), Path::new("/data")).unwrap();
    for tenant in ["t", "u"] {
        add(&journals.of(tenant).unwrap(), "a").unwrap();
    }
    assert!(disk.flip(Path::new(PATH), 9, 1));
    let journals = Journals::open(Arc::new(disk.kill()), Path::new("/data")).unwrap();
    let error = journals.existing("t").err().unwrap().to_string();
    assert!(error.contains("/data/slo/t/journal: entry 1, which begins at byte 0"), "{error}");
    assert!(journals.of("t").is_err());
    assert_eq!(names(&journals.existing("u").unwrap().unwrap()), ["a"]);
    assert!(journals.existing("nobody").unwrap().is_none());
}

#[test]
fn what_changes_together_is_one_entry() {
    let journals = Journals::open(Arc::new(SimDisk::new()), Path::new("/data")).unwrap();
    let mut definitions = Definitions::default();
    for name in ["x", "y", "z"] {
        definitions.exclusions.insert(name.to_owned(), exclusion(name));
    }
    journals.record_definitions(&definitions, 1).unwrap();
    let book = journals.definitions().unwrap().book();
    assert_eq!((book.entries.len(), book.definitions.len()), (1, 3));
    // Threads that reload at the same time record a change once.
    definitions.exclusions.remove("y");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| journals.record_definitions(&definitions, 2).unwrap());
        }
    });
    let book = journals.definitions().unwrap().book();
    assert_eq!(book.entries.len(), 2);
    let key = |name: &str| ("Exclusion".to_owned(), name.to_owned());
    assert!(book.definitions[&key("y")].last.hash.is_empty());
    assert!(!book.definitions[&key("z")].last.hash.is_empty());
}

#[test]
fn too_many_tenants_are_told() {
    let disk = SimDisk::new();
    let journals = Journals::open(Arc::new(disk.clone()), Path::new("/data")).unwrap();
    for tenant in ["t", "u"] {
        add(&journals.of(tenant).unwrap(), "a").unwrap();
    }
    let open = |max| Journals::open_some(Arc::new(disk.clone()), Path::new("/data"), max);
    assert!(open(2).is_ok());
    let error = open(1).err().unwrap().to_string();
    assert_eq!(error, "too many tenants have a journal of SLOs (limit 1)");
}

#[test]
fn a_name_in_a_file_and_in_a_journal_is_told() {
    let journals = Journals::open(Arc::new(SimDisk::new()), Path::new("/data")).unwrap();
    let journal = journals.of("t").unwrap();
    add(&journal, "a").unwrap();
    add(&journal, "b").unwrap();
    let mut definitions = Definitions::default();
    let place = Place { file: "a.yaml".to_owned(), line: 3, column: 1 };
    for name in ["a", "c"] {
        let one = Exclusion { place: place.clone(), ..exclusion(name) };
        definitions.exclusions.insert(name.to_owned(), one);
    }
    let told: Vec<String> =
        journals.named_twice(&definitions).iter().map(ToString::to_string).collect();
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert!(one.starts_with("a.yaml:3:1: warning: metadata.name: the exclusion \"a\""), "{one}");
    let revoked = Revoked { name: "a".to_owned(), note: "n".to_owned() };
    journal.append(9, "bob", |_| Ok::<_, JournalError>(Recorded::Revoked(revoked))).unwrap();
    assert!(journals.named_twice(&definitions).is_empty());
}
