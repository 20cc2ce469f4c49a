//! Many writers, and interval mode.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::*;
use crate::disk::OsDisk;

#[test]
fn writers_share_syncs_and_each_finds_its_records_in_order() {
    const WRITERS: u32 = 16;
    const RECORDS: u32 = 25;
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("wal");
    let small = WalOptions { segment_bytes: 64 << 10, ..WalOptions::default() };
    let (wal, _) =
        Wal::open(Arc::new(OsDisk), &dir, small, &mut |_, _| Ok(()), &mut |_| ()).unwrap();
    let highest = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (wal, highest) = (&wal, &highest);
            scope.spawn(move || {
                for record in 0..RECORDS {
                    let mut payload = writer.to_le_bytes().to_vec();
                    payload.extend_from_slice(&record.to_le_bytes());
                    payload.resize(1000, writer as u8);
                    wal.admit(payload.len()).unwrap();
                    let lsn = wal.log(KIND, &payload).unwrap();
                    wal.sync(lsn).unwrap();
                    assert!(wal.durable() >= lsn);
                    highest.fetch_max(lsn.0, Ordering::Relaxed);
                }
            });
        }
    });
    let stats = wal.stats();
    assert_eq!(highest.into_inner(), u64::from(WRITERS * RECORDS));
    assert_eq!(stats.records, u64::from(WRITERS * RECORDS));
    assert!(stats.syncs < u64::from(WRITERS * RECORDS) / 2, "{} syncs", stats.syncs);
    drop(wal);
    let mut seen = vec![0; WRITERS as usize];
    let mut visit = |_, payload: &[u8]| {
        let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
        let next = &mut seen[number(0) as usize];
        assert_eq!(number(4), *next);
        *next += 1;
        Ok(())
    };
    let recovery = replay(&OsDisk, &dir, &mut visit, &mut |_| ()).unwrap();
    assert!(recovery.damage.is_empty());
    assert_eq!(seen, vec![RECORDS; WRITERS as usize]);
}

#[test]
fn rotation_and_checkpoints_go_on_under_writers() {
    let disk = SimDisk::new();
    let (wal, ..) = open_with(&disk, options(16 << 10)).unwrap();
    let wal = &wal;
    thread::scope(|scope| {
        for writer in 0..4u8 {
            scope.spawn(move || {
                for _ in 0..300 {
                    wal.admit(200).unwrap();
                    let lsn = wal.log(KIND, &[writer; 200]).unwrap();
                    wal.sync(lsn).unwrap();
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..10 {
                let number = wal.rotate().unwrap();
                wal.write_checkpoint(number, &mut |add| add(KIND, b"checkpoint")).unwrap();
                wal.truncate_before(number).unwrap();
            }
        });
    });
    let (found, recovery) = replayed(&disk);
    assert!(recovery.damage.is_empty() && recovery.checkpoint.is_some());
    assert_eq!(recovery.last, Lsn(1200));
    assert_eq!(found.first().unwrap(), b"checkpoint");
}

#[test]
fn in_interval_mode_sync_returns_at_once_and_the_flusher_writes() {
    let disk = SimDisk::new();
    let never = Duration::from_secs(3600);
    let lazy = WalOptions { sync: WalSync::Interval(never), ..options(4096) };
    let (wal, ..) = open_with(&disk, lazy).unwrap();
    let ops = disk.ops();
    let lsn = wal.log(KIND, b"queued").unwrap();
    wal.sync(lsn).unwrap();
    assert_eq!(disk.ops(), ops, "nothing was written yet");
    assert_eq!(wal.durable(), Lsn(0));
    drop(wal);
    assert_eq!(replayed(&disk.crash(1)).0, [b"queued".to_vec()], "written when dropped");

    let eager = WalOptions { sync: WalSync::Interval(Duration::from_millis(5)), ..options(4096) };
    let (wal, ..) = open_with(&disk, eager).unwrap();
    let lsn = wal.log(KIND, b"soon").unwrap();
    wal.sync(lsn).unwrap();
    let begun = Instant::now();
    while wal.durable() < lsn {
        assert!(begun.elapsed() < Duration::from_secs(20), "the flusher never wrote");
        thread::sleep(Duration::from_millis(2));
    }
    let lsn = wal.log(KIND, b"flushed").unwrap();
    wal.flush().unwrap();
    assert_eq!(wal.durable(), lsn);
    assert_eq!(replayed(&disk.crash(1)).0.len(), 3);
}
