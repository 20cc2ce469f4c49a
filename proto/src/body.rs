//! Before protobuf: which message the headers name, and snappy.

/// Most bytes that a decompressed body has by default.
pub const DECODED_BYTES_MAX: usize = 32 << 20;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// Which message a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

impl Protocol {
    /// Full name of its message.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// Headers that name something that is not spoken here: answer 415.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Another media type, or not one at all.
    #[error("Content-Type {found:?} is not supported: send {MEDIA_TYPE}")]
    MediaType {
        /// What the header says.
        found: String,
    },
    /// Another protobuf message.
    #[error("protobuf message {found:?} is not supported: send {} or {}", Protocol::V2.message(), Protocol::V1.message())]
    Message {
        /// What the `proto` parameter says.
        found: String,
    },
    /// Another compression.
    #[error("Content-Encoding {found:?} is not supported: send snappy (block format)")]
    Encoding {
        /// What the header says.
        found: String,
    },
}

/// The message that the headers name. A missing or empty `Content-Type` means 1.0, a missing
/// `Content-Encoding` means snappy, as Prometheus has it; media types are read as RFC 9110 says
/// (section 8.3.1: case-insensitive names, optional space, quoted values).
pub fn negotiate(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<Protocol, Unsupported> {
    let protocol = match content_type.map(str::trim) {
        None | Some("") => Protocol::V1,
        Some(text) => media_type(text)?,
    };
    match content_encoding.map(str::trim) {
        None | Some("") => Ok(protocol),
        Some(text) if text.eq_ignore_ascii_case("snappy") => Ok(protocol),
        Some(text) => Err(Unsupported::Encoding { found: shortened(text) }),
    }
}

/// A header can be long, a reply should not be.
fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}

fn media_type(text: &str) -> Result<Protocol, Unsupported> {
    let refused = || Unsupported::MediaType { found: shortened(text) };
    let (essence, mut rest) = text.split_once(';').unwrap_or((text, ""));
    if !essence.trim().eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(refused());
    }
    let mut named: Option<Protocol> = None;
    while !rest.trim().is_empty() {
        let (name, value, behind) = parameter(rest).ok_or_else(refused)?;
        rest = behind;
        if !name.eq_ignore_ascii_case("proto") {
            continue;
        }
        let found = [Protocol::V1, Protocol::V2].into_iter().find(|p| p.message() == value);
        match found {
            Some(found) if named.is_none_or(|named| named == found) => named = Some(found),
            _ => return Err(Unsupported::Message { found: shortened(&value) }),
        }
    }
    Ok(named.unwrap_or(Protocol::V1))
}

/// The next `name=value` and what stands behind its semicolon; empty parameters are passed.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', '\t', ';']);
    if text.is_empty() {
        return Some(("", String::new(), ""));
    }
    let (name, rest) = text.split_once('=')?;
    if name.contains(';') {
        return None;
    }
    let rest = rest.trim_start();
    let (value, behind) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = rest.find(';').unwrap_or(rest.len());
            let (value, behind) = rest.split_at(end);
            (value.trim_end().to_owned(), behind)
        }
    };
    let behind = behind.trim_start();
    (behind.is_empty() || behind.starts_with(';')).then_some((name.trim(), value, behind))
}

/// A quoted string behind its opening quote, and what follows the closing one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// A body that does not decompress.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Larger than allowed, by its own header: answer 413 (or 400).
    #[error("the body says that it decompresses to {declared} bytes, more than the limit of {max}")]
    TooLarge {
        /// Bytes that the body declares.
        declared: u64,
        /// The limit.
        max: usize,
    },
    /// Not a snappy block: answer 400.
    #[error("the body is not a valid snappy block: {cause}")]
    Corrupt {
        /// What the decoder says.
        cause: snap::Error,
    },
    /// Its header declares more bytes than so few can hold: answer 400.
    #[error(
        "the body is not a valid snappy block: {compressed} bytes cannot hold the {declared} that it declares"
    )]
    Overstated {
        /// Bytes that the body declares.
        declared: u64,
        /// Bytes that it has.
        compressed: usize,
    },
}

/// Decompresses a snappy block into `buffer` and returns the decoded part of it. The declared length is
/// judged before memory is taken for it. `buffer` never shrinks: the caller keeps it from request to request
/// and drops it when it has become too large to keep.
pub fn decompress<'b>(
    body: &[u8],
    decoded_bytes_max: usize,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], BodyError> {
    let declared = match snap::raw::decompress_len(body) {
        Ok(n) => n,
        Err(snap::Error::TooBig { given, .. }) => {
            return Err(BodyError::TooLarge { declared: given, max: decoded_bytes_max });
        }
        Err(cause) => return Err(BodyError::Corrupt { cause }),
    };
    if declared > decoded_bytes_max {
        return Err(BodyError::TooLarge { declared: declared as u64, max: decoded_bytes_max });
    }
    // The densest element of the format is a copy: 64 bytes out of 3.
    if declared / 64 * 3 > body.len() {
        let declared = declared as u64;
        return Err(BodyError::Overstated { declared, compressed: body.len() });
    }
    if body.is_empty() {
        return Err(BodyError::Corrupt { cause: snap::Error::Empty });
    }
    if buffer.len() < declared {
        buffer.resize(declared, 0);
    }
    let out = buffer.get_mut(..declared).unwrap_or_default();
    let n = snap::raw::Decoder::new()
        .decompress(body, out)
        .map_err(|cause| BodyError::Corrupt { cause })?;
    Ok(out.get(..n).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const V2_TYPE: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

    #[test]
    fn content_types_are_read_as_media_types() {
        for (text, want) in [
            ("application/x-protobuf", Protocol::V1),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Protocol::V1),
            (V2_TYPE, Protocol::V2),
            ("application/x-protobuf; proto=io.prometheus.write.v2.Request", Protocol::V2),
            (" Application/X-Protobuf ;\tProto = io.prometheus.write.v2.Request ; ", Protocol::V2),
            ("application/x-protobuf;proto=\"io.prometheus.write.v2.Request\"", Protocol::V2),
            ("application/x-protobuf;proto=\"io.prometheus\\.write.v2.Request\";a=b", Protocol::V2),
            (
                "application/x-protobuf;charset=utf-8;proto=io.prometheus.write.v2.Request",
                Protocol::V2,
            ),
            ("application/x-protobuf;a=\"x;proto=foo\"", Protocol::V1),
            ("", Protocol::V1),
        ] {
            assert_eq!(negotiate(Some(text), Some("snappy")), Ok(want), "{text:?}");
        }
        assert_eq!(negotiate(None, None), Ok(Protocol::V1));
    }

    #[test]
    fn other_content_types_are_refused() {
        for text in [
            "application/json",
            "text/plain",
            "application/x-protobuf2",
            "application/x-protobuf;proto",
            "application/x-protobuf;proto=\"io.prometheus.write.v2.Request",
            "application/x-protobuf;proto=\"prometheus.WriteRequest\"x",
        ] {
            let found = text.to_owned();
            assert_eq!(negotiate(Some(text), None), Err(Unsupported::MediaType { found }));
        }
        for (text, found) in [
            ("application/x-protobuf;proto=foo.Bar", "foo.Bar"),
            ("application/x-protobuf;proto=", ""),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
                "io.prometheus.write.v2.Request",
            ),
        ] {
            let found = found.to_owned();
            assert_eq!(negotiate(Some(text), None), Err(Unsupported::Message { found }));
        }
    }

    #[test]
    fn encodings_other_than_snappy_are_refused() {
        for text in ["gzip", "deflate", "zstd", "br", "identity", "snappy-framed", "snappy, gzip"] {
            let found = text.to_owned();
            assert_eq!(negotiate(Some(V2_TYPE), Some(text)), Err(Unsupported::Encoding { found }));
        }
        for text in ["", " ", "Snappy", "snappy "] {
            assert_eq!(negotiate(Some(V2_TYPE), Some(text)), Ok(Protocol::V2));
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    #[test]
    fn the_buffer_is_reused_and_its_old_content_never_shows() {
        let mut buffer = Vec::new();
        let (long, short) = (vec![7u8; 100_000], b"short".to_vec());
        assert_eq!(decompress(&packed(&long), DECODED_BYTES_MAX, &mut buffer).unwrap(), long);
        let kept = buffer.as_ptr();
        assert_eq!(decompress(&packed(&short), DECODED_BYTES_MAX, &mut buffer).unwrap(), short);
        assert_eq!(decompress(&packed(b""), DECODED_BYTES_MAX, &mut buffer).unwrap(), b"");
        assert_eq!(buffer.as_ptr(), kept);
    }

    #[test]
    fn declared_lengths_are_judged_before_memory_is_taken() {
        let mut buffer = Vec::new();
        let bomb = |n: u64| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(n, &mut bytes);
            bytes.extend([0, b'a']);
            bytes
        };
        assert_eq!(
            decompress(&bomb(64 << 20), DECODED_BYTES_MAX, &mut buffer),
            Err(BodyError::TooLarge { declared: 64 << 20, max: DECODED_BYTES_MAX })
        );
        assert_eq!(
            decompress(&bomb(u64::from(u32::MAX)), DECODED_BYTES_MAX, &mut buffer),
            Err(BodyError::TooLarge { declared: u64::from(u32::MAX), max: DECODED_BYTES_MAX })
        );
        assert!(decompress(&bomb(1 << 40), DECODED_BYTES_MAX, &mut buffer).is_err());
        assert_eq!(
            decompress(&bomb(30 << 20), DECODED_BYTES_MAX, &mut buffer),
            Err(BodyError::Overstated { declared: 30 << 20, compressed: 6 })
        );
        assert_eq!(buffer.capacity(), 0);
        let exact = vec![1u8; 1000];
        assert_eq!(decompress(&packed(&exact), 1000, &mut buffer).unwrap(), exact);
        assert_eq!(
            decompress(&packed(&exact), 999, &mut buffer),
            Err(BodyError::TooLarge { declared: 1000, max: 999 })
        );
    }

    #[test]
    fn bodies_that_are_not_snappy_blocks_are_refused() {
        let mut buffer = Vec::new();
        let mut broken = packed(b"some label bytes, some label bytes");
        broken[0] = b'0';
        for body in
            [&b""[..], b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00abcde", &broken, b"\x05\x00a"]
        {
            assert!(
                matches!(
                    decompress(body, DECODED_BYTES_MAX, &mut buffer),
                    Err(BodyError::Corrupt { .. }
                        | BodyError::Overstated { .. }
                        | BodyError::TooLarge { .. })
                ),
                "{body:?}"
            );
        }
    }

    #[test]
    fn the_densest_possible_block_is_not_taken_for_a_bomb() {
        let zeros = vec![0u8; 8 << 20];
        let body = packed(&zeros);
        let mut buffer = Vec::new();
        assert_eq!(decompress(&body, DECODED_BYTES_MAX, &mut buffer).unwrap(), zeros);
    }
}
