//! Tests of the log on the simulated disk.
#![allow(clippy::unwrap_used, reason = "tests")]

mod checkpoint;
mod crash;
mod faults;
mod missing;
mod threads;
mod torn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;

pub(super) const KIND: RecordKind = RecordKind(7);

pub(super) fn dir() -> PathBuf {
    PathBuf::from("/data/wal")
}

pub(super) fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, retry_interval: Duration::ZERO, ..WalOptions::default() }
}

/// Opens the log; the payloads replayed, and what was found.
pub(super) fn open_with(
    disk: &SimDisk,
    options: WalOptions,
) -> Result<(Wal, Vec<Vec<u8>>, Recovery)> {
    let mut payloads = Vec::new();
    let mut visit = |kind, payload: &[u8]| {
        assert_eq!(kind, KIND);
        payloads.push(payload.to_vec());
        Ok(())
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (wal, recovery) = Wal::open(disk, &dir(), options, &mut visit, &mut |_| ())?;
    assert_eq!(recovery.records, payloads.len() as u64);
    Ok((wal, payloads, recovery))
}

pub(super) fn open(disk: &SimDisk) -> (Wal, Vec<Vec<u8>>, Recovery) {
    open_with(disk, options(4096)).unwrap()
}

pub(super) fn replayed(disk: &SimDisk) -> (Vec<Vec<u8>>, Recovery) {
    let mut payloads = Vec::new();
    let mut visit = |_, payload: &[u8]| {
        payloads.push(payload.to_vec());
        Ok(())
    };
    let recovery = replay(disk, &dir(), &mut visit, &mut |_| ()).unwrap();
    (payloads, recovery)
}

pub(super) fn log_synced(wal: &Wal, payload: &[u8]) {
    wal.admit(payload.len()).unwrap();
    let lsn = wal.log(KIND, payload).unwrap();
    wal.sync(lsn).unwrap();
}

pub(super) fn segment(number: u64) -> PathBuf {
    dir().join(format!("{number:08}"))
}

/// A disk whose log directory holds one file.
pub(super) fn disk_with(path: &Path, bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    crate::disk::create_dir_durable(&disk, &dir()).unwrap();
    disk.create(path).unwrap().write_at(0, bytes).unwrap();
    disk
}

#[test]
fn an_empty_log_opens_and_what_is_logged_comes_back() {
    let disk = SimDisk::new();
    let (wal, payloads, recovery) = open(&disk);
    assert!(payloads.is_empty());
    assert_eq!(recovery.last, Lsn(0));
    let long = vec![3; 3000];
    for payload in [&b"one"[..], b"", &long] {
        log_synced(&wal, payload);
    }
    assert_eq!(wal.durable(), Lsn(3));
    let (_, payloads, recovery) = open(&disk.crash(1));
    assert_eq!(payloads, [b"one".to_vec(), Vec::new(), long]);
    assert_eq!(recovery.last, Lsn(3));
    assert!(recovery.damage.is_empty() && recovery.torn.is_none());
}

#[test]
fn records_fill_one_segment_after_the_other() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    let expected: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 500]).collect();
    for payload in &expected {
        log_synced(&wal, payload);
    }
    assert_eq!(wal.stats().segments, 16, "7 records each, and a spare one");
    assert_eq!(wal.stats().bytes, 16 * 4096);
    let (_, payloads, recovery) = open(&disk.crash(2));
    assert_eq!(payloads, expected);
    assert!(recovery.damage.is_empty() && recovery.torn.is_none());
}

#[test]
fn a_record_longer_than_a_segment_is_refused_by_name() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    let max = wal.record_bytes_max();
    assert_eq!(max, 4096 - FILE_HEADER_BYTES - RECORD_HEADER_BYTES);
    let refused = wal.log(KIND, &vec![0; max + 1]).unwrap_err();
    assert!(matches!(refused, crate::Error::Limit { max: 4023, .. }), "{refused}");
    log_synced(&wal, b"small");
    log_synced(&wal, &vec![9; max]);
    log_synced(&wal, b"after");
    let (_, payloads, _) = open(&disk.crash(3));
    assert_eq!(payloads, [b"small".to_vec(), vec![9; max], b"after".to_vec()]);
    let refused = wal.log(RecordKind::MARK, b"").unwrap_err();
    assert!(matches!(refused, crate::Error::Invalid { .. }));
}

#[test]
fn a_closed_log_takes_nothing_more_and_proves_its_last_record() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"one");
    wal.close().unwrap();
    wal.close().unwrap();
    assert!(wal.log(KIND, b"late").is_err());
    assert!(wal.admit(1).is_err());
    assert!(disk.flip(&segment(1), FILE_HEADER_BYTES + RECORD_HEADER_BYTES, 1));
    let (payloads, recovery) = replayed(&disk);
    assert!(payloads.is_empty());
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(1), Lsn(1))));
}

#[test]
fn the_queue_is_bounded() {
    let disk = SimDisk::new();
    let small = WalOptions { queue_bytes_max: 1000, ..options(1 << 16) };
    let (wal, ..) = open_with(&disk, small).unwrap();
    wal.admit(5000).unwrap();
    let lsn = wal.log(KIND, &[1; 900]).unwrap();
    wal.admit(10).unwrap();
    assert!(wal.admit(100).is_err());
    wal.sync(lsn).unwrap();
    wal.admit(100).unwrap();
    assert!(wal.sync(Lsn(99)).is_ok(), "a number that was never given waits for what there is");
}

#[test]
fn replay_tells_its_progress_and_stops_when_the_visitor_fails() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    for n in 0..20u8 {
        log_synced(&wal, &[n; 500]);
    }
    let mut told = Vec::new();
    replay(&disk, &dir(), &mut |_, _| Ok(()), &mut |progress| told.push(progress)).unwrap();
    assert_eq!(told.iter().map(|p| p.files_done).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let last = told.last().unwrap();
    assert_eq!((last.files_total, last.records, last.bytes), (4, 20, 4 * 4096));
    let mut left = 3;
    let stopped = replay(
        &disk,
        &dir(),
        &mut |_, _| {
            left -= 1;
            if left == 0 { Err(crate::Error::Canceled) } else { Ok(()) }
        },
        &mut |_| (),
    );
    assert!(matches!(stopped, Err(crate::Error::Canceled)));
    assert_eq!(left, 0);
}
