//! Headers and body as they come from the network, snappy included: as they are, and as a body whose first
//! layer is in order.
#![no_main]

use nines_fuzz::Source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let lens = [usize::from(source.u8() % 64), usize::from(source.u8() % 16)];
    let [content_type, encoding] = lens.map(|n| String::from_utf8_lossy(source.bytes(n)));
    nines_proto::check::body(&content_type, &encoding, source.0);
    // One literal: a length, a tag, the bytes.
    let literal = &source.0[..source.0.len().min(60)];
    if let Some(len) = literal.len().checked_sub(1).and_then(|n| u8::try_from(n).ok()) {
        let mut body = vec![len + 1, len << 2];
        body.extend_from_slice(literal);
        let mut out = Vec::new();
        let opened = nines_proto::decompress(&body, 1 << 20, &mut out);
        assert_eq!(opened.expect("a literal"), literal);
        nines_proto::check::body("application/x-protobuf", "snappy", &body);
    }
});
