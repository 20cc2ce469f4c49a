//! What can be wrong with the protobuf bytes of a request.

/// A body that is not the message it claims to be. Nothing of such a request may be stored: answer 400.
/// Offsets count from the first byte of the decompressed body.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early or a number is not one.
    #[error("malformed protobuf: {what} at byte {at}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// A known field with the wire type of another kind of field.
    #[error(
        "malformed protobuf: field {field} of {message} has wire type {wire_type} at byte {at}"
    )]
    WireType {
        /// The message.
        message: &'static str,
        /// The field's number.
        field: u32,
        /// The wire type found.
        wire_type: u32,
        /// Behind which byte.
        at: usize,
    },
    /// A group, which no version of the protocol has.
    #[error("malformed protobuf: group at byte {at}")]
    Group {
        /// Behind which byte.
        at: usize,
    },
    /// A native histogram does not decode.
    #[error("malformed protobuf: histogram at byte {at}: {cause}")]
    Histogram {
        /// Where the histogram begins.
        at: usize,
        /// What the decoder says.
        cause: prost::DecodeError,
    },
    /// The body has bytes but no field of the message: most likely it is the other protocol's message.
    #[error("the body has no field of {expected}: does Content-Type name the right message?")]
    NoKnownField {
        /// The message that was expected.
        expected: &'static str,
    },
    /// More of something than one request may have.
    #[error("more than {max} {what} in one request")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// Result of a decoding step.
pub(crate) type Result<T> = std::result::Result<T, DecodeError>;
