//! Random work, random crashes: what was acknowledged comes back once, in order, unaltered.

use super::*;
use crate::disk::create_dir_durable;
use crate::disk::sim::{Fault, SimRng};

const SEEDS: u64 = 600;
const CRASHES: u64 = 6;

/// What the log must hold.
#[derive(Default)]
struct Model {
    /// All records in order; the first `acknowledged` of them must come back, the others may.
    records: Vec<Vec<u8>>,
    acknowledged: usize,
    made: u64,
}

impl Model {
    fn new_record(&mut self, rng: &mut SimRng) -> Vec<u8> {
        self.made += 1;
        let mut record = self.made.to_le_bytes().to_vec();
        let max = if rng.chance(10) { 1500 } else { 200 };
        let len = rng.below(max) as usize;
        record.extend((0..len).map(|_| rng.next_u64() as u8));
        record
    }

    fn check(&mut self, seed: u64, wal: &Wal, found: Vec<Vec<u8>>, recovery: &Recovery) {
        assert!(recovery.damage.is_empty(), "seed {seed}: a crash is no damage: {recovery:?}");
        assert!(
            found.len() >= self.acknowledged,
            "seed {seed}: {} records acknowledged, {} found",
            self.acknowledged,
            found.len()
        );
        assert!(self.records.starts_with(&found), "seed {seed}: invented or altered");
        self.records = found;
        if !wal.stats().failed {
            self.acknowledged = self.records.len();
        }
    }
}

fn work(seed: u64, rng: &mut SimRng, wal: &Wal, model: &mut Model) {
    for _ in 0..rng.below(60) {
        match rng.below(20) {
            0 => {
                let before = model.records.len();
                let Ok(number) = wal.rotate() else { continue };
                model.acknowledged = model.records.len();
                if rng.chance(50) {
                    continue;
                }
                let content = &model.records[..before];
                let written = wal.write_checkpoint(number, &mut |add| {
                    content.iter().try_for_each(|record| add(KIND, record))
                });
                if written.is_ok() && rng.chance(70) {
                    // May fail half way when the disk does; that must be harmless.
                    drop(wal.truncate_before(number));
                }
            }
            1..=12 => {
                let record = model.new_record(rng);
                if wal.admit(record.len()).is_ok() {
                    match wal.log(KIND, &record) {
                        Ok(lsn) => {
                            model.records.push(record);
                            assert!(lsn.0 >= model.records.len() as u64, "seed {seed}");
                        }
                        Err(refused) => assert!(wal.stats().failed, "seed {seed}: {refused}"),
                    }
                }
            }
            13 => {
                if rng.chance(10) && wal.close().is_ok() {
                    model.acknowledged = model.records.len();
                }
            }
            _ => {
                if wal.flush().is_ok() {
                    model.acknowledged = model.records.len();
                }
            }
        }
    }
}

fn run(seed: u64) {
    let mut rng = SimRng::new(seed);
    let mut disk = SimDisk::new();
    create_dir_durable(&disk, Path::new("/data")).unwrap();
    let mut model = Model::default();
    for _ in 0..CRASHES {
        // Half of the time the disk stops in the middle of an operation instead of between two.
        if rng.chance(50) {
            disk.fail_from_op(disk.ops() + 1 + rng.below(60), Fault::Eio, rng.chance(80));
        }
        let segment_bytes = 1700 + rng.below(4) * 1500;
        if let Ok((wal, found, recovery)) = open_with(&disk, options(segment_bytes)) {
            model.check(seed, &wal, found, &recovery);
            work(seed, &mut rng, &wal, &mut model);
        }
        disk = if rng.chance(25) { disk.kill() } else { disk.crash(rng.next_u64()) };
    }
    let disk = disk.crash(rng.next_u64());
    let (wal, found, recovery) = open_with(&disk, options(4096)).unwrap();
    model.check(seed, &wal, found, &recovery);
    assert!(!wal.stats().failed, "seed {seed}");
}

#[test]
fn acknowledged_records_survive_any_sequence_of_crashes() {
    (0..SEEDS).for_each(run);
}
