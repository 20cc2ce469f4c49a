//! Writes blocks as Prometheus's documents describe them: for tests that have no Prometheus, and for benches. Index
//! version 2 without label indices and postings, which nothing here reads.
#![allow(
    clippy::big_endian_bytes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests, which use some of it each"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Samples of a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;
/// Bytes at which a file of chunks ends.
const FILE_BYTES: usize = 128 << 20;

/// CRC-32C, bit by bit in a table of 256.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    });
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (crc >> 8) ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

fn uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn ivarint(out: &mut Vec<u8>, value: i64) {
    uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Bits, the most significant one first.
#[derive(Default)]
pub struct Bits {
    pub bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    pub fn put(&mut self, value: u64, n: u32) {
        for i in (0..n).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << self.free;
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(u64::from(*byte), 8);
        }
    }
}

/// A chunk of floats: the data behind the encoding.
pub fn xor_chunk(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(samples.len() as u64, 16);
    let (mut before, mut delta, mut window) = ((0i64, 0f64), 0i64, None::<(u32, u32)>);
    for (i, (ts, value)) in samples.iter().enumerate() {
        let mut number = Vec::new();
        if i == 0 {
            ivarint(&mut number, *ts);
            bits.bytes(&number);
            bits.put(value.to_bits(), 64);
            before = (*ts, *value);
            continue;
        }
        let step = ts - before.0;
        if i == 1 {
            uvarint(&mut number, step as u64);
            bits.bytes(&number);
        } else {
            let change = step - delta;
            let fits = |n: u32| -((1i64 << (n - 1)) - 1) <= change && change <= 1i64 << (n - 1);
            match change {
                0 => bits.put(0, 1),
                _ if fits(14) => bits.put(0b10 << 14 | (change as u64 & 0x3fff), 16),
                _ if fits(17) => bits.put(0b110 << 17 | (change as u64 & 0x1_ffff), 20),
                _ if fits(20) => bits.put(0b1110 << 20 | (change as u64 & 0xf_ffff), 24),
                _ => {
                    bits.put(0b1111, 4);
                    bits.put(change as u64, 64);
                }
            }
        }
        delta = step;
        let xor = value.to_bits() ^ before.1.to_bits();
        before = (*ts, *value);
        if xor == 0 {
            bits.put(0, 1);
            continue;
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        match window {
            Some((l, t)) if leading >= l && trailing >= t => {
                bits.put(0b10, 2);
                bits.put(xor >> t, 64 - l - t);
            }
            _ => {
                window = Some((leading, trailing));
                let n = 64 - leading - trailing;
                bits.put(0b11, 2);
                bits.put(u64::from(leading), 5);
                bits.put(u64::from(n % 64), 6);
                bits.put(xor >> trailing, n);
            }
        }
    }
    bits.bytes
}

/// Labels, ascending by name.
pub type Pairs = Vec<(String, String)>;

/// A series of a block: its chunks as encoding and data, with the times of their ends.
pub type Chunk = (u8, Vec<u8>, i64, i64);

/// Chunks of floats.
pub fn xor_chunks(samples: &[(i64, f64)]) -> Vec<Chunk> {
    let chunk = |part: &[(i64, f64)]| (1, xor_chunk(part), part[0].0, part[part.len() - 1].0);
    samples.chunks(CHUNK_SAMPLES).map(chunk).collect()
}

/// Writes a block of series, which ascend; `chunks` gives those of each. Answers where each series is in the index.
pub fn write_block(
    dir: &Path,
    ulid: &str,
    series: &[Pairs],
    tombstones: &[(usize, i64, i64)],
    chunks: &mut dyn FnMut(usize) -> Vec<Chunk>,
) -> Vec<u64> {
    write_block_in_files(dir, ulid, series, tombstones, FILE_BYTES, chunks)
}

/// The same with files of chunks that end at so many bytes.
pub fn write_block_in_files(
    dir: &Path,
    ulid: &str,
    series: &[Pairs],
    tombstones: &[(usize, i64, i64)],
    file_bytes: usize,
    chunks: &mut dyn FnMut(usize) -> Vec<Chunk>,
) -> Vec<u64> {
    std::fs::create_dir_all(dir.join("chunks")).unwrap();
    let (mut file, mut number) = (chunks_header(), 0u64);
    let (mut min, mut max, mut n_chunks, mut n_samples) = (i64::MAX, i64::MIN, 0, 0u64);
    let finish = |file: &[u8], number: u64| {
        std::fs::write(dir.join("chunks").join(format!("{:06}", number + 1)), file).unwrap();
    };
    let symbols: BTreeSet<&str> =
        series.iter().flatten().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
    let numbers: BTreeMap<&str, u64> = symbols.iter().copied().zip(0..).collect();
    let mut index = vec![0xba, 0xaa, 0xd7, 0x00, 2];
    let mut table = (symbols.len() as u32).to_be_bytes().to_vec();
    for symbol in &symbols {
        uvarint(&mut table, symbol.len() as u64);
        table.extend(symbol.bytes());
    }
    let symbols_at = index.len() as u64;
    index.extend((table.len() as u32).to_be_bytes());
    index.extend(&table);
    index.extend(crc32c(&table).to_be_bytes());
    let mut places = Vec::new();
    let series_at = (index.len() as u64).next_multiple_of(16);
    for (i, labels) in series.iter().enumerate() {
        index.resize(index.len().next_multiple_of(16), 0);
        places.push(index.len() as u64);
        let mut body = Vec::new();
        uvarint(&mut body, labels.len() as u64);
        for (name, value) in labels {
            uvarint(&mut body, numbers[name.as_str()]);
            uvarint(&mut body, numbers[value.as_str()]);
        }
        let list = chunks(i);
        uvarint(&mut body, list.len() as u64);
        let mut before: Option<(i64, u64)> = None;
        for (encoding, data, from, to) in list {
            if file.len() + data.len() > file_bytes {
                finish(&file, number);
                (file, number) = (chunks_header(), number + 1);
            }
            let reference = number << 32 | file.len() as u64;
            match before {
                None => {
                    ivarint(&mut body, from);
                    uvarint(&mut body, (to - from) as u64);
                    uvarint(&mut body, reference);
                }
                Some((last, before)) => {
                    uvarint(&mut body, (from - last) as u64);
                    uvarint(&mut body, (to - from) as u64);
                    ivarint(&mut body, reference.wrapping_sub(before) as i64);
                }
            }
            before = Some((to, reference));
            n_samples += u64::from(u16::from_be_bytes([data[0], data[1]]));
            n_chunks += 1;
            (min, max) = (min.min(from), max.max(to));
            uvarint(&mut file, data.len() as u64);
            let body_at = file.len();
            file.push(encoding);
            file.extend(&data);
            let sum = crc32c(&file[body_at..]);
            file.extend(sum.to_be_bytes());
        }
        uvarint(&mut index, body.len() as u64);
        index.extend(&body);
        index.extend(crc32c(&body).to_be_bytes());
    }
    finish(&file, number);
    let behind = index.len() as u64;
    let mut contents = Vec::new();
    for offset in [symbols_at, series_at, behind, 0, behind, 0] {
        contents.extend(u64::to_be_bytes(offset));
    }
    index.extend(&contents);
    index.extend(crc32c(&contents).to_be_bytes());
    std::fs::write(dir.join("index"), index).unwrap();
    let mut stones = vec![1];
    for (series, from, to) in tombstones {
        uvarint(&mut stones, places[*series] / 16);
        ivarint(&mut stones, *from);
        ivarint(&mut stones, *to);
    }
    let mut file = vec![0x01, 0x30, 0xba, 0x30];
    file.extend(&stones);
    file.extend(crc32c(&stones).to_be_bytes());
    std::fs::write(dir.join("tombstones"), file).unwrap();
    let meta = format!(
        "{{\"ulid\": \"{ulid}\", \"minTime\": {min}, \"maxTime\": {}, \"version\": 1, \"stats\": \
         {{\"numSamples\": {n_samples}, \"numSeries\": {}, \"numChunks\": {n_chunks}}}}}\n",
        max.saturating_add(1),
        series.len()
    );
    std::fs::write(dir.join("meta.json"), meta).unwrap();
    places
}

fn chunks_header() -> Vec<u8> {
    vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0]
}
