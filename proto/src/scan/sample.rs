//! What both protocols write alike: samples and histograms.

use prost::Message;

use crate::error::{DecodeError, Result};
use crate::histogram::Histogram;
use crate::wire::{FIXED64, Shape, VARINT, Wire, key};

/// A float sample. Its value keeps the bits that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub ts: i64,
    /// When counting began, in milliseconds; 0 where unset.
    pub start_ts: i64,
}

const V1: Shape = Shape::new("Sample", &[1, 2]);
const V2: Shape = Shape::new("Sample", &[1, 2, 3]);

/// Reads a sample's message; only the second protocol has a start timestamp.
#[inline]
pub(super) fn read_sample<const HAS_START: bool>(mut wire: Wire<'_>) -> Result<Sample> {
    let mut sample = Sample::default();
    while let Some(found) = wire.key()? {
        match (found >> 3, found & 7) {
            (1, FIXED64) => sample.value = wire.double("value")?,
            (2, VARINT) => sample.ts = wire.varint("timestamp")?.cast_signed(),
            (3, VARINT) if HAS_START => {
                sample.start_ts = wire.varint("start timestamp")?.cast_signed()
            }
            _ => wire.skip(found, if HAS_START { V2 } else { V1 })?,
        }
    }
    Ok(sample)
}

const VALUE: u32 = key(2, FIXED64);
const TIMESTAMP: u32 = key(3, VARINT);

/// Reads value and timestamp of an exemplar; its labels, whose key is `labels_key`, are passed.
pub(super) fn read_exemplar(
    mut wire: Wire<'_>,
    shape: Shape,
    labels_keys: &[u32],
) -> Result<(f64, i64)> {
    let (mut value, mut ts) = (0.0, 0);
    while let Some(found) = wire.key()? {
        match found {
            VALUE => value = wire.double("value")?,
            TIMESTAMP => ts = wire.varint("timestamp")?.cast_signed(),
            found if labels_keys.contains(&found) => match found & 7 {
                VARINT => drop(wire.varint("label reference")?),
                _ => drop(wire.bytes("labels")?),
            },
            found => wire.skip(found, shape)?,
        }
    }
    Ok((value, ts))
}

/// The bytes of a native histogram, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub struct HistogramBytes<'a>(pub(super) Wire<'a>);

impl HistogramBytes<'_> {
    /// How many bytes: decoding takes up to 8 times as many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.rest().len()
    }

    /// Whether it has none: a histogram of nothing but defaults.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes them.
    pub fn decode(&self) -> Result<Histogram> {
        Histogram::decode(self.0.rest())
            .map_err(|cause| DecodeError::Histogram { at: self.0.at(), cause })
    }
}
