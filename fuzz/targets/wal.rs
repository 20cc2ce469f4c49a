//! Segments of any bytes: the log is replayed or refused with a typed error, opening it for writing gives
//! the same records, and what is logged then comes back behind them.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nines_fuzz::{Source, mend_segment, overwrite, put_file, segment};
use nines_storage::disk::Disk;
use nines_storage::disk::sim::SimDisk;
use nines_storage::wal::{Lsn, RecordKind, Wal, WalOptions, replay};
use nines_storage::{ErrorKind, Result};

type Records = Vec<(RecordKind, Vec<u8>)>;

fn dir() -> &'static Path {
    Path::new("/data/wal")
}

fn path(number: u64) -> PathBuf {
    dir().join(format!("{number:08}"))
}

fn read(disk: &SimDisk) -> Result<(Records, Lsn)> {
    let mut records = Records::new();
    let mut visit = |kind, payload: &[u8]| {
        records.push((kind, payload.to_vec()));
        Ok(())
    };
    let last = replay(disk, dir(), &mut visit, &mut |_| ())?.last;
    Ok((records, last))
}

fn open(disk: &SimDisk) -> Result<(Wal, Records, Lsn)> {
    let mut records = Records::new();
    let mut visit = |kind, payload: &[u8]| {
        records.push((kind, payload.to_vec()));
        Ok(())
    };
    let options =
        WalOptions { segment_bytes: 1024, retry_interval: Duration::ZERO, ..WalOptions::default() };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (wal, recovery) = Wal::open(disk, dir(), options, &mut visit, &mut |_| ())?;
    Ok((wal, records, recovery.last))
}

/// Three segments that follow each other, edited.
fn edited(mut source: Source<'_>, mend: bool) -> Vec<Vec<u8>> {
    let payloads: Vec<Vec<u8>> = (0..9).map(|n| vec![n; usize::from(n) * 3]).collect();
    let records: Vec<(u8, u64, &[u8])> =
        (1u64..).zip(&payloads).map(|(n, p)| (7, n.saturating_sub(2), p.as_slice())).collect();
    let mut files = vec![
        segment(1, 1, &records[..4]),
        segment(2, 5, &records[4..6]),
        segment(3, 7, &records[6..]),
    ];
    for file in &mut files {
        overwrite(file, &mut source, 4);
        if mend {
            mend_segment(file);
        }
        let keep = usize::from(source.u16());
        if keep != 0 {
            file.truncate(keep);
        }
    }
    files
}

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let disk = SimDisk::new();
    if how & 1 == 0 {
        let mut bytes = rest.to_vec();
        if how & 2 != 0 {
            mend_segment(&mut bytes);
        }
        put_file(&disk, &path(1), &bytes);
    } else {
        for (number, bytes) in (1..).zip(edited(Source(rest), how & 2 != 0)) {
            if how >> 2 & (1 << number) == 0 {
                put_file(&disk, &path(number), &bytes);
            }
        }
    }
    let (records, last) = match read(&disk) {
        Ok(read) => read,
        Err(refused) => {
            // Corrupt, or written by a later version.
            let kind = refused.kind();
            assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid), "{refused}");
            assert!(open(&disk).is_err());
            return;
        }
    };
    let (wal, again, last_again) = open(&disk).expect("what was replayed opens");
    assert_eq!((&again, last_again), (&records, last));
    let kind = RecordKind(9);
    let logged = wal.admit(5).and_then(|_admitted| wal.sync(wal.log(kind, b"after")?));
    let _closed = wal.close();
    drop(wal);
    let mut expected = records;
    if logged.is_ok() {
        expected.push((kind, b"after".to_vec()));
    }
    let (wal, again, _) = open(&disk.crash(1)).expect("opens after a power cut");
    if how & 2 == 0 {
        assert_eq!(again, expected);
    } else if logged.is_ok() {
        // Made-up sequence numbers may hide records at first; what is acknowledged comes last all the same.
        assert_eq!(again.last(), expected.last());
    }
    drop(wal);
});
