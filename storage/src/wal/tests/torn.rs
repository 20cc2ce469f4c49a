//! Torn tails, damage that is proven, and the difference.

use super::*;
use crate::codec::crc32;
use crate::error::Error;
use crate::wal::format::{FileHeader, RecordHeader};

const LONG: [u8; 700] = [0x9c; 700];

/// Segment 1 of a log with one synced record and three written behind it in one go.
fn written_at_once() -> Vec<u8> {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"first");
    wal.log(KIND, b"second").unwrap();
    wal.log(KIND, &LONG).unwrap();
    wal.log(KIND, b"fourth").unwrap();
    wal.flush().unwrap();
    disk.read(&segment(1)).unwrap().to_vec()
}

/// Ends of the records of [`written_at_once`].
fn ends() -> Vec<usize> {
    let mut at = FILE_HEADER_BYTES;
    [5, 6, 700, 6]
        .iter()
        .map(|len| {
            at += RECORD_HEADER_BYTES + len;
            at
        })
        .collect()
}

fn payloads_of(n: usize) -> Vec<Vec<u8>> {
    let all = [b"first".to_vec(), b"second".to_vec(), LONG.to_vec(), b"fourth".to_vec()];
    all.into_iter().take(n).collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_in_silence_and_the_log_goes_on() {
    let whole = written_at_once();
    let end = *ends().last().unwrap();
    for cut in 0..=end {
        let mut torn = whole.clone();
        torn.get_mut(cut..).unwrap().fill(0);
        let disk = disk_with(&segment(1), &torn);
        let (wal, payloads, recovery) = open(&disk);
        let intact = ends().iter().filter(|end| **end <= cut).count();
        // A header without a record behind it was never synced.
        assert_eq!(payloads, payloads_of(intact), "cut at {cut}");
        assert!(recovery.damage.is_empty(), "cut at {cut}: {:?}", recovery.damage);
        assert_eq!(recovery.last, Lsn(intact as u64));
        let inside = intact < 4 && cut > ends().get(intact.wrapping_sub(1)).copied().unwrap_or(36);
        // The header's checksum may end in zeros.
        let in_header = 0 < cut && torn.get(..36) != whole.get(..36);
        assert_eq!(recovery.torn.is_some(), inside || in_header, "cut at {cut}");
        log_synced(&wal, b"later");
        let (wal, payloads, recovery) = open(&disk.crash(cut as u64));
        let mut expected = payloads_of(intact);
        expected.push(b"later".to_vec());
        assert_eq!(payloads, expected, "cut at {cut}, second start");
        assert!(
            recovery.damage.is_empty() && recovery.torn.is_none(),
            "cut at {cut}: {recovery:?}"
        );
        drop(wal);
        if cut > 0 {
            assert_eq!(&*disk.read(&segment(1)).unwrap(), &torn, "left for inspection");
        }
    }
}

#[test]
fn a_lost_write_before_one_that_survived_is_torn_when_neither_was_synced() {
    let mut bytes = written_at_once();
    let ends = ends();
    // The second record is lost, the third and the fourth are intact: none was acknowledged.
    bytes.get_mut(*ends.first().unwrap()..*ends.get(1).unwrap()).unwrap().fill(0);
    let (payloads, recovery) = replayed(&disk_with(&segment(1), &bytes));
    assert_eq!(payloads, payloads_of(1));
    assert!(recovery.damage.is_empty());
    assert_eq!(recovery.torn.unwrap().offset, *ends.first().unwrap() as u64);
}

fn synced_one_by_one() -> (SimDisk, Vec<Vec<u8>>, Vec<usize>) {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    let payloads: Vec<Vec<u8>> = (1..=5u8).map(|n| vec![n; usize::from(n) * 9]).collect();
    let mut begins = vec![FILE_HEADER_BYTES];
    for payload in &payloads {
        log_synced(&wal, payload);
        begins.push(begins.last().unwrap() + RECORD_HEADER_BYTES + payload.len());
    }
    (disk, payloads, begins)
}

#[test]
fn damage_to_an_acknowledged_record_is_told_and_the_rest_is_kept() {
    let (disk, payloads, begins) = synced_one_by_one();
    for lost in 0..4usize {
        for at in *begins.get(lost).unwrap()..*begins.get(lost + 1).unwrap() {
            let disk = disk.kill();
            assert!(disk.flip(&segment(1), at, 0x10));
            let (wal, found, recovery) = open(&disk);
            let mut expected = payloads.clone();
            expected.remove(lost);
            assert_eq!(found, expected, "flip at {at}");
            let [damage] = recovery.damage.as_slice() else { unreachable!("{recovery:?}") };
            let number = Lsn(lost as u64 + 1);
            assert_eq!(damage.lost, Some((number, number)), "flip at {at}");
            assert_eq!(damage.at.offset, *begins.get(lost).unwrap() as u64);
            let copy = damage.copy.clone().unwrap();
            assert_eq!(copy, dir().join("quarantine/00000001"));
            assert_eq!(&*disk.read(&copy).unwrap(), &*disk.read(&segment(1)).unwrap());
            assert_eq!(wal.stats().corruptions, 1);
            log_synced(&wal, b"later");
            expected.push(b"later".to_vec());
            let (_, found, recovery) = open(&disk.crash(at as u64));
            assert_eq!(found, expected, "flip at {at}, second start");
            assert_eq!(recovery.damage.len(), 1, "told at every start");
        }
    }
}

#[test]
fn damage_to_the_last_record_cannot_be_told_from_a_torn_one() {
    let (disk, payloads, begins) = synced_one_by_one();
    assert!(disk.flip(&segment(1), begins.get(4).unwrap() + 3, 1));
    let (found, recovery) = replayed(&disk);
    assert_eq!(found, payloads.get(..4).unwrap());
    assert!(recovery.damage.is_empty());
    assert_eq!(recovery.torn.unwrap().offset, *begins.get(4).unwrap() as u64);
}

#[test]
fn a_later_segment_proves_the_last_record_of_an_earlier_one() {
    let (disk, payloads, begins) = synced_one_by_one();
    let (wal, ..) = open(&disk);
    log_synced(&wal, b"later");
    assert!(disk.flip(&segment(1), begins.get(4).unwrap() + 3, 1));
    let (found, recovery) = replayed(&disk);
    let mut expected = payloads.get(..4).unwrap().to_vec();
    expected.push(b"later".to_vec());
    assert_eq!(found, expected);
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(5), Lsn(5))));
}

#[test]
fn a_damaged_segment_header_loses_nothing() {
    let (disk, payloads, _) = synced_one_by_one();
    for at in 0..FILE_HEADER_BYTES {
        let disk = disk.kill();
        assert!(disk.flip(&segment(1), at, 0x40));
        let (wal, found, recovery) = open(&disk);
        assert_eq!(found, payloads, "flip at {at}");
        assert_eq!(recovery.damage.len(), 1, "flip at {at}");
        assert_eq!(recovery.damage.first().unwrap().lost, None);
        log_synced(&wal, b"later");
        let (_, found, _) = open(&disk.crash(5));
        assert_eq!(found.len(), 6);
    }
}

#[test]
fn a_segment_that_vanished_is_told() {
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    for n in 0..28u8 {
        log_synced(&wal, &[n; 500]);
    }
    disk.remove_file(&segment(2)).unwrap();
    let (found, recovery) = replayed(&disk);
    assert_eq!(found.len(), 21);
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(8), Lsn(14))));
    disk.remove_file(&segment(1)).unwrap();
    let (_, recovery) = replayed(&disk);
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(1), Lsn(14))));
}

#[test]
fn a_log_of_a_later_version_is_refused_by_name() {
    let (disk, ..) = synced_one_by_one();
    let mut bytes = disk.read(&segment(1)).unwrap().to_vec();
    let later = crate::wal::format::FORMAT_VERSION + 1;
    bytes.get_mut(8..10).unwrap().copy_from_slice(&later.to_le_bytes());
    let crc = crc32(bytes.get(..32).unwrap());
    bytes.get_mut(32..36).unwrap().copy_from_slice(&crc.to_le_bytes());
    let refused = open_with(&disk_with(&segment(1), &bytes), options(4096)).err().unwrap();
    assert!(
        matches!(&refused, Error::Invalid { what } if what.contains(&format!("version {later}"))),
        "{refused}"
    );
}

/// A sender that knows the format cannot bring the log to replay what it put into a payload.
#[test]
fn a_record_inside_a_payload_is_not_taken_for_one() {
    use crate::wal::format::RecordHeader;
    let disk = SimDisk::new();
    let (wal, ..) = open(&disk);
    let invented = RecordHeader {
        kind: KIND,
        sequence: 2,
        durable: 1 << 40,
        salt: 12345,
        payload_bytes: 4,
        payload_crc: crc32(b"evil"),
    };
    let mut payload = invented.to_bytes().to_vec();
    payload.extend_from_slice(b"evil");
    log_synced(&wal, b"first");
    log_synced(&wal, &payload);
    log_synced(&wal, b"third");
    let second = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 5;
    for at in [second, second + 9, second + RECORD_HEADER_BYTES + payload.len() - 1] {
        let disk = disk.kill();
        // With the file's header lost as well, the salt is known from the first record.
        for header in [false, true] {
            if header {
                assert!(disk.flip(&segment(1), 3, 1));
            }
            assert!(disk.flip(&segment(1), at, 1));
            let (found, recovery) = replayed(&disk);
            assert_eq!(found, [b"first".to_vec(), b"third".to_vec()]);
            assert_eq!(recovery.last, Lsn(3));
            assert!(disk.flip(&segment(1), at, 1));
        }
    }
}

#[test]
fn headers_are_read_as_written_and_any_flip_is_seen() {
    let header = FileHeader { kind: SEGMENT_KIND, number: 17, first: 1 << 40, salt: 0xdead_beef };
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    assert_eq!(bytes.len(), FILE_HEADER_BYTES);
    assert_eq!(FileHeader::read(&bytes), Ok(header));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        *flipped.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
        assert!(FileHeader::read(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(FileHeader::read(bytes.get(..len).unwrap()).is_err());
    }
}

/// Bit rot in a segment whose tail had been torn before: what was cut then stays cut.
#[test]
fn records_behind_a_cut_tail_stay_cut_when_the_segment_is_damaged_later() {
    let (mut bytes, ends) = (written_at_once(), ends());
    bytes.get_mut(*ends.get(1).unwrap()..*ends.get(2).unwrap()).unwrap().fill(0);
    let disk = disk_with(&segment(1), &bytes);
    let (wal, found, _) = open(&disk);
    assert_eq!(found, payloads_of(2));
    log_synced(&wal, b"third at last");
    assert!(disk.flip(&segment(1), ends.first().unwrap() + 5, 1));
    let (found, recovery) = replayed(&disk);
    assert_eq!(found, [b"first".to_vec(), b"third at last".to_vec()]);
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage.first().unwrap().lost, Some((Lsn(2), Lsn(2))));
}

#[test]
fn a_record_with_an_unbelievable_sequence_number_is_passed_over() {
    let mut bytes = written_at_once();
    let salt = FileHeader::read(&bytes).unwrap().salt;
    let at = ends()[3];
    let sound = RecordHeader {
        kind: KIND,
        sequence: 5,
        durable: 0,
        salt,
        payload_bytes: 0,
        payload_crc: crc32(b""),
    };
    for header in [
        RecordHeader { sequence: u64::MAX, ..sound },
        RecordHeader { durable: SEQUENCE_MAX + 1, ..sound },
    ] {
        bytes[at..at + RECORD_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let disk = disk_with(&segment(1), &bytes);
        let (wal, payloads, recovery) = open(&disk);
        assert_eq!((payloads, recovery.last), (payloads_of(4), Lsn(4)));
        log_synced(&wal, b"after");
        drop(wal);
        let (_, payloads, _) = open(&disk.crash(1));
        assert_eq!(payloads.last().unwrap(), b"after");
        assert_eq!(payloads.len(), 5);
    }
}
