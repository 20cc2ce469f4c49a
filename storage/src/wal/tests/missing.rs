//! Segments that were deleted.

use super::*;

fn delete(disk: &SimDisk, number: u64) {
    disk.remove_file(&segment(number)).unwrap();
}

#[test]
fn a_log_without_any_segment_is_told_and_goes_on() {
    let disk = SimDisk::new();
    let (wal, _, recovery) = open(&disk);
    assert_eq!(recovery.missing, None, "a new log lacks nothing");
    log_synced(&wal, b"lost");
    drop(wal);
    for number in 1..=wal_segments(&disk) {
        delete(&disk, number);
    }
    let (wal, payloads, recovery) = open(&disk);
    assert_eq!((payloads.len(), recovery.missing), (0, Some(dir())));
    assert_eq!(wal.stats().corruptions, 1);
    log_synced(&wal, b"later");
    let (_, payloads, recovery) = open(&disk.kill());
    assert_eq!((payloads, recovery.missing), (vec![b"later".to_vec()], None));
}

#[test]
fn a_spare_segment_does_not_hide_that_the_written_one_is_gone() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"lost");
    // Asking for room makes the spare one.
    wal.admit(3000).unwrap();
    wal.log(KIND, &[1; 3000]).unwrap();
    wal.flush().unwrap();
    wal.admit(3000).unwrap();
    let disk = disk.kill();
    assert_eq!(wal_segments(&disk), 2);
    let (_, payloads, recovery) = open(&disk.kill());
    assert_eq!((payloads.len(), recovery.missing), (2, None));
    delete(&disk, 1);
    let (_, payloads, recovery) = open(&disk);
    assert_eq!((payloads.len(), recovery.missing), (0, Some(dir())));
}

#[test]
fn the_segment_behind_a_checkpoint_is_missed() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"first");
    let number = wal.rotate().unwrap();
    wal.write_checkpoint(number, &mut |log| log(KIND, b"first")).unwrap();
    wal.truncate_before(number).unwrap();
    log_synced(&wal, b"lost");
    let (_, payloads, recovery) = open(&disk.kill());
    assert_eq!((payloads.len(), recovery.missing), (2, None));
    let disk = disk.kill();
    delete(&disk, number);
    let (_, payloads, recovery) = open(&disk);
    assert_eq!((payloads, recovery.missing), (vec![b"first".to_vec()], Some(segment(number))));
}

/// The highest number of a segment.
fn wal_segments(disk: &SimDisk) -> u64 {
    (1..).take_while(|number| disk.exists(&segment(*number)).unwrap()).last().unwrap()
}
