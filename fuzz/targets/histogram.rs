//! Any bytes as a stored histogram: what decodes is encoded to the same histogram, bit for bit, and a valid
//! one has ascending buckets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nines_storage::codec::Reader;
use nines_storage::model::Histogram;

fn encoded(histogram: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    histogram.encode(&mut out);
    out
}

fuzz_target!(|data: &[u8]| {
    let Ok(histogram) = Histogram::decode(&mut Reader::new(data)) else { return };
    let bytes = encoded(&histogram);
    let mut reader = Reader::new(&bytes);
    let again = Histogram::decode(&mut reader).expect("what was encoded decodes");
    assert!(reader.is_empty());
    assert_eq!(encoded(&again), bytes);
    let Ok(valid) = histogram.into_valid() else { return };
    valid.validate().expect("what was made valid is");
    let same = valid.clone().into_valid().expect("and stays so");
    assert_eq!(encoded(&same), encoded(&valid));
    let _count = valid.count();
    let buckets = valid.buckets();
    // Senders may give the zero bucket any threshold, also one that reaches over its neighbours.
    if valid.zero_threshold != 0.0 {
        return;
    }
    assert!(buckets.iter().all(|bucket| bucket.lower <= bucket.upper));
    assert!(buckets.is_sorted_by(|a, b| a.upper <= b.lower));
});
