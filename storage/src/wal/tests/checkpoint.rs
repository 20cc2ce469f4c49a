//! Rotation, checkpoints, truncation.

use super::*;
use crate::error::Error;

fn payload(n: u64) -> Vec<u8> {
    let mut out = n.to_le_bytes().to_vec();
    out.resize(8 + (n as usize * 37) % 300, n as u8);
    out
}

fn log_range(wal: &Wal, range: std::ops::Range<u64>) {
    for n in range {
        log_synced(wal, &payload(n));
    }
}

fn checkpoint(wal: &Wal, number: u64, payloads: &[Vec<u8>]) {
    wal.write_checkpoint(number, &mut |add| {
        payloads.iter().try_for_each(|payload| add(KIND, payload))
    })
    .unwrap();
}

fn range(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(payload).collect()
}

#[test]
fn a_checkpoint_stands_for_the_segments_before_it() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..50);
    let number = wal.rotate().unwrap();
    assert_eq!(wal.rotate().unwrap(), number, "an empty segment is not left");
    log_range(&wal, 50..60);
    let refused = wal.truncate_before(number).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "nothing stands for the segments: {refused}");
    checkpoint(&wal, number, &[b"compact".to_vec()]);
    let mut expected = vec![b"compact".to_vec()];
    expected.extend(range(50..60));
    let (found, recovery) = replayed(&disk);
    assert_eq!(found, expected, "before truncation");
    assert_eq!(recovery.checkpoint, Some(number));
    let before = wal.stats().segments;
    wal.truncate_before(number).unwrap();
    assert!(wal.stats().segments < before);
    log_range(&wal, 60..70);
    expected.extend(range(60..70));
    for seed in 0..20 {
        let (_, found, recovery) = open(&disk.crash(seed));
        assert_eq!(found, expected);
        assert!(recovery.damage.is_empty());
        assert_eq!(recovery.last, Lsn(70));
    }
    let names: Vec<String> =
        disk.list_dir(&dir()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.first().unwrap().as_str() >= format!("{number:08}").as_str(), "{names:?}");
}

#[test]
fn an_empty_checkpoint_and_an_empty_log() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..3);
    let number = wal.rotate().unwrap();
    checkpoint(&wal, number, &[]);
    wal.truncate_before(number).unwrap();
    let disk = disk.crash(9);
    let (wal, found, recovery) = open(&disk);
    assert!(found.is_empty() && recovery.damage.is_empty());
    assert_eq!(recovery.last, Lsn(3), "numbers go on");
    wal.truncate_before(number).unwrap();
    log_range(&wal, 3..4);
    assert_eq!(open(&disk.crash(1)).1, range(3..4));
}

#[test]
fn an_unfinished_checkpoint_changes_nothing() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..10);
    let number = wal.rotate().unwrap();
    let failed = wal.write_checkpoint(number, &mut |add| {
        add(KIND, b"half")?;
        Err(Error::Canceled)
    });
    assert!(matches!(failed, Err(Error::Canceled)));
    assert!(wal.truncate_before(number).is_err());
    assert_eq!(replayed(&disk).0, range(0..10));
    let refused = wal.write_checkpoint(99, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }));
    // One that a crash left half written is removed at the next start.
    let left = dir().join("checkpoint.00000002.tmp");
    disk.create(&left).unwrap().write_at(0, b"junk").unwrap();
    let (_, found, recovery) = open(&disk);
    assert_eq!(found, range(0..10));
    assert!(recovery.damage.is_empty());
    assert!(!disk.exists(&left).unwrap());
}

/// Damage at every byte of a checkpoint, with nothing left to fall back to: the rest is read.
#[test]
fn a_damaged_checkpoint_is_read_as_far_as_possible() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..10);
    let number = wal.rotate().unwrap();
    let compact: Vec<Vec<u8>> = (0..4u8).map(|n| vec![n; 20]).collect();
    checkpoint(&wal, number, &compact);
    wal.truncate_before(number).unwrap();
    log_range(&wal, 10..12);
    let path = dir().join(format!("checkpoint.{number:08}"));
    let len = disk.file_len(&path).unwrap() as usize;
    for at in 0..len {
        let disk = disk.kill();
        assert!(disk.flip(&path, at, 4));
        let (wal, found, recovery) = open(&disk);
        let hit = at.checked_sub(FILE_HEADER_BYTES).map(|at| at / (RECORD_HEADER_BYTES + 20));
        let mut expected = compact.clone();
        if let Some(hit) = hit.filter(|hit| *hit < 4) {
            expected.remove(hit);
            let lost = Lsn(hit as u64 + 1);
            assert_eq!(recovery.damage.first().unwrap().lost, Some((lost, lost)));
        }
        expected.extend(range(10..12));
        assert_eq!(found, expected, "flip at {at}");
        assert_eq!(recovery.damage.len(), 1, "flip at {at}: {:?}", recovery.damage);
        assert_eq!(recovery.last, Lsn(12));
        assert!(disk.exists(recovery.damage.first().unwrap().copy.as_ref().unwrap()).unwrap());
        assert!(
            wal.truncate_before(number).is_err(),
            "a damaged checkpoint lets nothing be removed"
        );
    }
}

#[test]
fn a_damaged_checkpoint_falls_back_to_what_is_still_there() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..10);
    let first = wal.rotate().unwrap();
    log_range(&wal, 10..20);
    let before_any = disk.kill();
    checkpoint(&wal, first, &range(0..10));
    wal.truncate_before(first).unwrap();
    let second = wal.rotate().unwrap();
    log_range(&wal, 20..30);
    checkpoint(&wal, second, &range(0..20));
    let path = dir().join(format!("checkpoint.{second:08}"));
    assert!(disk.flip(&path, 50, 1));
    let (found, recovery) = replayed(&disk);
    assert_eq!(found, range(0..30));
    assert_eq!(recovery.checkpoint, Some(first));
    assert_eq!(recovery.damage.len(), 1);
    // No older checkpoint, but nothing was truncated either.
    let disk = before_any;
    let (wal, ..) = open(&disk);
    let number = wal.rotate().unwrap();
    checkpoint(&wal, number, &range(0..20));
    let path = dir().join(format!("checkpoint.{number:08}"));
    assert!(disk.flip(&path, 50, 1));
    let (found, recovery) = replayed(&disk);
    assert_eq!(found, range(0..20));
    assert_eq!((recovery.checkpoint, recovery.damage.len()), (None, 1));
}

/// Longer than one piece of reading, with records across the border, intact and damaged.
#[test]
fn a_long_checkpoint_is_read_in_pieces() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_range(&wal, 0..1);
    let number = wal.rotate().unwrap();
    let records: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 999_983]).collect();
    checkpoint(&wal, number, &records);
    let (found, recovery) = replayed(&disk);
    assert!(found == records && recovery.damage.is_empty());
    wal.truncate_before(number).unwrap();
    let path = dir().join(format!("checkpoint.{number:08}"));
    let step = 999_983 + RECORD_HEADER_BYTES;
    // The header of the record that lies across the first border.
    assert!(disk.flip(&path, FILE_HEADER_BYTES + 17 * step + 6, 1));
    let (found, recovery) = replayed(&disk);
    let mut expected = records;
    expected.remove(17);
    assert!(found == expected);
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(18), Lsn(18))));
}
