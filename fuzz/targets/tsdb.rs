//! Blocks of Prometheus: chunks, indexes and tombstones of any bytes, with true checksums, are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nines::import::tsdb::check;
use nines_fuzz::Source;

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    match source.u8() % 6 {
        kind @ 1..=3 => {
            let Some(read) = check::chunk(kind, source.0) else { return };
            assert_eq!(read.ts.len(), read.values.len());
            assert!(read.histograms.iter().all(|(_, histogram)| histogram.validate().is_ok()));
        }
        4 => {
            let version = 1 + source.u8() % 2;
            let n = source.u16() as usize;
            let symbols = source.bytes(n);
            let mut entries = Vec::new();
            while !source.0.is_empty() {
                let n = source.u8() as usize;
                entries.push(source.bytes(n));
            }
            if let Some(n) = check::index(version, symbols, &entries) {
                assert!(n <= entries.len() as u64);
            }
        }
        _ => check::files(source.0),
    }
});
