//! Any bytes as a request of remote write 2.0: the walk reads what `prost` reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nines_proto::check::v2(data));
