//! A page of any bytes is read or refused; what can be read is written again and read as the same. Series
//! made of any bytes come back bit for bit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nines_fuzz::Source;
use nines_storage::chunk::{
    Compressor, EntryKind, InflatedPages, Page, PageBuilder, PageScratch, WINDOW_SLOTS_MAX,
};
use nines_storage::codec::Malformed;
use nines_storage::model::TimeRange;

/// The samples of one entry; the bits of floats, or the blobs of histograms.
#[derive(Debug, Clone, PartialEq)]
enum Samples {
    Floats { ts: Vec<i64>, bits: Vec<u64>, start_ts: Vec<i64> },
    Histograms { ts: Vec<i64>, blobs: Vec<Vec<u8>> },
}

fn read(page: &Page<'_>) -> Result<Vec<(u32, Samples)>, Malformed> {
    let mut scratch = PageScratch::default();
    let mut all = Vec::new();
    // Thousands of entries add nothing.
    for entry in page.entries().take(64) {
        let (ord, kind) = entry?;
        all.push((
            ord,
            match kind {
                EntryKind::Floats => {
                    let (mut ts, mut values, mut start_ts) = (Vec::new(), Vec::new(), Vec::new());
                    let range = TimeRange::ALL;
                    let n = page.read_floats(
                        ord,
                        range,
                        &mut scratch,
                        &mut ts,
                        &mut values,
                        &mut start_ts,
                    )?;
                    assert_eq!((n, n), (ts.len(), values.len()));
                    assert!(start_ts.is_empty() || start_ts.len() == n);
                    if start_ts.iter().all(|start| *start == 0) {
                        start_ts.clear();
                    }
                    let bits = values.iter().map(|value| value.to_bits()).collect();
                    Samples::Floats { ts, bits, start_ts }
                }
                EntryKind::Histograms => {
                    let (mut ts, mut blobs) = (Vec::new(), Vec::new());
                    let mut sink = |at: i64, blob: &[u8]| {
                        ts.push(at);
                        blobs.push(blob.to_vec());
                        Ok(())
                    };
                    page.read_histograms(ord, TimeRange::ALL, &mut scratch, &mut sink)?;
                    Samples::Histograms { ts, blobs }
                }
            },
        ));
    }
    Ok(all)
}

fn write(all: &[(u32, Samples)]) -> Vec<u8> {
    let mut builder = PageBuilder::new(7);
    for (ord, samples) in all {
        match samples {
            Samples::Floats { ts, bits, start_ts } => {
                let values: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
                builder.add_floats(*ord, ts, &values, start_ts);
            }
            Samples::Histograms { ts, blobs } => builder.add_histograms(*ord, ts, blobs),
        }
    }
    let mut bytes = Vec::new();
    let info = builder.finish(&mut bytes);
    assert_eq!(info.len as usize, bytes.len());
    bytes
}

fn round_trip(mut all: Vec<(u32, Samples)>) {
    // A series without samples gets no entry.
    all.retain(|(_, samples)| match samples {
        Samples::Floats { ts, .. } | Samples::Histograms { ts, .. } => !ts.is_empty(),
    });
    let bytes = write(&all);
    if all.is_empty() {
        assert!(bytes.is_empty());
        return;
    }
    let mut compressed = bytes.clone();
    Compressor::default().compress(&mut compressed);
    for bytes in [bytes, compressed] {
        let mut inflated = InflatedPages::default();
        let page = Page::open(&bytes, true, None, &mut inflated).expect("what was written opens");
        assert_eq!(read(&page).expect("and reads"), all);
    }
}

fn made_of(mut source: Source<'_>) -> Vec<(u32, Samples)> {
    let mut all = Vec::new();
    let mut ord = 0;
    let (mut column, shape) = (Vec::new(), source.u8());
    while !source.is_empty() && all.len() < 32 {
        ord += 1 + u32::from(source.u8() % 4) * u32::from(shape & 1);
        let how = source.u8();
        if how & 1 == 0 || column.is_empty() {
            let mut at = source.u64().cast_signed();
            column.clear();
            for _ in 0..=source.u16() % (WINDOW_SLOTS_MAX as u16) {
                column.push(at);
                let step = if how & 2 == 0 { 15_000 } else { i64::from(source.u16()) + 1 };
                let Some(next) = at.checked_add(step) else { break };
                at = next;
            }
        }
        let ts: Vec<i64> = match how & 12 {
            0 => column.iter().copied().step_by(2).collect(),
            _ => column.clone(),
        };
        let mut last = 0u64;
        let mut value = || {
            last = match how >> 5 {
                0 => source.u64(),
                1 => last,
                2 => (f64::from(source.u16()) / 10.0).to_bits(),
                _ => (f64::from_bits(last) + f64::from(source.u8())).to_bits(),
            };
            last
        };
        if how & 16 == 0 {
            let bits: Vec<u64> = ts.iter().map(|_| value()).collect();
            let mut start_ts = Vec::new();
            if shape & 2 != 0 {
                start_ts = ts.iter().map(|ts| ts.wrapping_sub(i64::from(source.u8()))).collect();
            }
            if start_ts.iter().all(|start| *start == 0) {
                start_ts.clear();
            }
            all.push((ord, Samples::Floats { ts, bits, start_ts }));
        } else {
            let n = usize::from(source.u8() % 16);
            let blobs = ts.iter().map(|_| source.bytes(n).to_vec()).collect();
            all.push((ord, Samples::Histograms { ts, blobs }));
        }
    }
    all
}

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    if how & 1 == 0 {
        return round_trip(made_of(Source(rest)));
    }
    let mut page = if how & 2 == 0 {
        rest.to_vec()
    } else {
        // Two series of one target, then edits.
        let (ts, values): (Vec<i64>, Vec<u64>) = (0..20).map(|i| (i * 15_000, i as u64)).unzip();
        let bits: Vec<u64> = values.iter().map(|value| (*value as f64).to_bits()).collect();
        let floats = Samples::Floats { ts: ts.clone(), bits, start_ts: vec![] };
        let histograms = Samples::Histograms { ts, blobs: vec![b"blob".to_vec(); 20] };
        write(&[(3, floats.clone()), (4, floats), (9, histograms)])
    };
    if how & 2 != 0 {
        if how & 4 != 0 {
            Compressor::default().compress(&mut page);
        }
        nines_fuzz::overwrite(&mut page, &mut Source(rest), 16);
    }
    let mut inflated = InflatedPages::default();
    let Ok(page) = Page::open(&page, false, Some(1), &mut inflated) else { return };
    let Ok(all) = read(&page) else { return };
    let ordered = all.is_sorted_by(|a, b| a.0 < b.0);
    if ordered && page.entries().count() == all.len() {
        round_trip(all);
    }
});
