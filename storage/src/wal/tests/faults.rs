//! Full disks and failing ones.

use super::*;
use crate::disk::sim::Fault;
use crate::error::{Error, ErrorKind};

#[test]
fn a_full_disk_refuses_before_a_record_is_begun_and_goes_on_when_space_returns() {
    let disk = SimDisk::new();
    // A segment is not made of the space that a flush of the log would need.
    disk.set_capacity(Some(3 * 4096 + 1100));
    let (wal, ..) = open(&disk);
    let mut expected = Vec::new();
    let refused = loop {
        match wal.admit(200) {
            Ok(_) => {
                let payload = vec![expected.len() as u8; 200];
                let lsn = wal.log(KIND, &payload).unwrap();
                wal.sync(lsn).unwrap();
                expected.push(payload);
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(expected.len() > 40, "the space there is was used: {}", expected.len());
    assert!(wal.stats().full && !wal.stats().failed);
    // Batches that were admitted before still find space.
    for n in 0..3u8 {
        let payload = vec![200 + n; 200];
        let lsn = wal.log(KIND, &payload).unwrap();
        wal.sync(lsn).unwrap();
        expected.push(payload);
    }
    disk.set_capacity(Some(disk.used_bytes() + 100));
    assert!(wal.rotate().is_err());
    assert_eq!(replayed(&disk).0, expected);
    // A start on the full disk works, and refuses writes.
    let (full, found, recovery) = open(&disk.crash(1));
    assert_eq!(found, expected);
    assert!(recovery.damage.is_empty());
    assert!(full.admit(1).is_err() && full.log(KIND, b"x").is_err() && !full.stats().failed);
    disk.set_capacity(None);
    log_synced(&wal, b"goes on");
    expected.push(b"goes on".to_vec());
    assert!(!wal.stats().full);
    assert_eq!(open(&disk.crash(2)).1, expected);
}

#[test]
fn a_full_log_can_be_flushed_and_goes_on_in_the_space_that_frees() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(3 * 4096 + 1100));
    let (wal, ..) = open(&disk);
    while wal.admit(200).is_ok() {
        log_synced(&wal, &[1; 200]);
    }
    assert!(wal.stats().refusing);
    let number = wal.rotate().unwrap();
    wal.write_checkpoint(number, &mut |add| add(KIND, b"rest")).unwrap();
    wal.truncate_before(number).unwrap();
    assert!(disk.used_bytes() < 1100, "{}", disk.used_bytes());
    log_synced(&wal, b"goes on");
    assert!(!wal.stats().refusing);
    assert_eq!(open(&disk.crash(1)).1, [b"rest".to_vec(), b"goes on".to_vec()]);
}

#[test]
fn what_was_admitted_has_its_place() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2 * 4096 + 600));
    let (wal, ..) = open(&disk);
    let wal = &wal;
    // Two segments, of which the disk has room: eight batches of 1000 bytes do not fit, four do.
    let logged: u32 = std::thread::scope(|scope| {
        let batches: Vec<_> = (0..16u8)
            .map(|n| {
                scope.spawn(move || {
                    let admitted = wal.admit(1000);
                    std::thread::yield_now();
                    admitted.is_ok_and(|_admitted| {
                        let lsn = wal.log(KIND, &[n; 1000 - RECORD_HEADER_BYTES]).unwrap();
                        wal.sync(lsn).is_ok()
                    })
                })
            })
            .collect();
        batches.into_iter().map(|batch| u32::from(batch.join().unwrap())).sum()
    });
    assert!(!wal.stats().failed && logged >= 4, "{logged}");
    assert_eq!(open(&disk.crash(1)).1.len(), logged as usize);
    assert!(matches!(wal.admit(5000), Err(Error::Limit { .. })));
}

#[test]
fn no_space_for_a_checkpoint_leaves_the_log_as_it_was() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"one");
    let number = wal.rotate().unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 100));
    let refused = wal.write_checkpoint(number, &mut |add| add(KIND, &[1; 5000])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(wal.truncate_before(number).is_err());
    log_synced(&wal, b"two");
    assert_eq!(open(&disk.crash(3)).1, [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn a_failed_sync_is_never_retried_and_refuses_all_that_follows() {
    for op in 1..=2 {
        let disk = SimDisk::new();
        let (wal, ..) = open(&disk);
        log_synced(&wal, b"one");
        let lost = wal.log(KIND, b"two").unwrap();
        // 1: the write fails, 2: the sync.
        disk.fail_from_op(disk.ops() + op, Fault::Eio, false);
        let refused = wal.sync(lost).unwrap_err();
        assert!(
            matches!(&refused, Error::Unavailable { why } if why.contains("00000001")),
            "{refused}"
        );
        let ops = disk.ops();
        assert_eq!(wal.sync(lost).unwrap_err().to_string(), refused.to_string());
        assert_eq!(wal.log(KIND, b"three").unwrap_err().to_string(), refused.to_string());
        assert!(wal.admit(1).is_err() && wal.rotate().is_err() && wal.flush().is_err());
        assert!(wal.close().is_err());
        assert!(wal.sync(Lsn(1)).is_ok(), "what was durable stays so");
        assert_eq!(disk.ops(), ops, "nothing is tried on the disk any more");
        assert!(wal.stats().failed);
        for seed in 0..40 {
            let (wal, found, recovery) = open(&disk.crash(seed));
            assert_eq!(found.first().unwrap(), b"one");
            assert!(found.len() <= 2 && recovery.damage.is_empty());
            log_synced(&wal, b"again");
        }
    }
}

/// After a failed sync the page cache shows what the disk may not have; a new process must not build on it.
#[test]
fn what_a_restarted_process_replays_is_durable_before_it_writes() {
    for seed in 0..60 {
        let disk = SimDisk::new();
        let (wal, ..) = open(&disk);
        log_synced(&wal, b"one");
        let lost = wal.log(KIND, &[2; 1500]).unwrap();
        disk.fail_from_op(disk.ops() + 2, Fault::Eio, false);
        assert!(wal.sync(lost).is_err());
        let killed = disk.kill();
        let (wal, found, _) = open(&killed);
        assert_eq!(found, [b"one".to_vec(), vec![2; 1500]]);
        log_synced(&wal, b"three");
        let (_, found, recovery) = open(&killed.crash(seed));
        assert_eq!(found, [b"one".to_vec(), vec![2; 1500], b"three".to_vec()]);
        assert!(recovery.damage.is_empty());
    }
}

#[test]
fn a_segment_that_cannot_be_made_is_no_failure_of_the_log() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    for n in 0..7u8 {
        log_synced(&wal, &[n; 500]);
    }
    // The next record takes the spare segment; making another one fails a few times, each time elsewhere.
    for op in 1..=4 {
        for fault in [Fault::Eio, Fault::Enospc] {
            for n in 0..6u8 {
                log_synced(&wal, &[n; 500]);
            }
            let lsn = wal.log(KIND, &[7; 500]).unwrap();
            disk.fail_from_op(disk.ops() + 2 + op, fault, false);
            wal.sync(lsn).unwrap();
            assert!(!wal.stats().failed);
            disk.stop_failing();
        }
    }
    let expected = wal.durable().0;
    let (_, found, recovery) = open(&disk.crash(4));
    assert_eq!(found.len() as u64, expected);
    assert!(recovery.damage.is_empty());
}

/// The same small workload, failing each operation in turn, once and for good.
#[test]
fn any_failing_operation_loses_nothing_acknowledged() {
    for fault in [Fault::Eio, Fault::Enospc] {
        for lasting in [false, true] {
            for op in 1.. {
                let disk = SimDisk::new();
                disk.fail_from_op(op, fault, lasting);
                let acknowledged = workload(&disk);
                let done = disk.ops() < op;
                for seed in 0..3 {
                    let (wal, found, recovery) = open(&disk.crash(seed));
                    assert!(recovery.damage.is_empty(), "op {op}: {recovery:?}");
                    let mut rest = found.iter();
                    assert!(
                        acknowledged.iter().all(|payload| rest.any(|found| found == payload)),
                        "op {op} {fault:?} lasting {lasting} seed {seed}: {acknowledged:?} {found:?}"
                    );
                    log_synced(&wal, b"goes on");
                }
                if done {
                    break;
                }
                assert!(op < 500, "the workload ends");
            }
        }
    }
}

fn workload(disk: &SimDisk) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    let Ok((wal, ..)) = open_with(disk, options(1024)) else { return acknowledged };
    let mut write = |n: u8| {
        let payload = vec![n; 150];
        let logged = wal.admit(150).and_then(|_| wal.log(KIND, &payload));
        if logged.and_then(|lsn| wal.sync(lsn)).is_ok() {
            acknowledged.push(payload);
        }
    };
    (0..8).for_each(&mut write);
    let number = wal.rotate();
    (8..10).for_each(&mut write);
    if let Ok(number) = number {
        let before: Vec<Vec<u8>> = acknowledged.iter().filter(|p| p[0] < 8).cloned().collect();
        let written = wal.write_checkpoint(number, &mut |add| {
            before.iter().try_for_each(|payload| add(KIND, payload))
        });
        if written.is_ok() {
            // Refused or failed half way: both must be harmless.
            drop(wal.truncate_before(number));
        }
    }
    acknowledged
}
