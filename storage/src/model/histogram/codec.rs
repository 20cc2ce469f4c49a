//! A histogram as bytes: varints for spans, counts and deltas, floats as their 8 bytes, so that nothing is
//! lost, payloads of NaN included.
//!
//! `flags, schema, [zero threshold], sum, start, positive spans, negative spans, custom values, count,
//! zero count, positive buckets, negative buckets`; lists behind their length. The flags hold whether counts
//! are floats (bit 0), the reset hint (bits 1 and 2) and the two usual zero thresholds (bits 3 and 4).

use crate::codec::{Malformed, Reader, put_ivarint, put_uvarint};

use super::{Counts, Histogram, ResetHint, Span};

const FLOAT: u8 = 1;
const HINT_SHIFT: u8 = 1;
const HINT: u8 = 3 << HINT_SHIFT;
const THRESHOLD_ZERO: u8 = 1 << 3;
const THRESHOLD_DEFAULT: u8 = 2 << 3;
const THRESHOLD: u8 = 3 << 3;
/// 2^-128, which Prometheus's client libraries take by default.
const DEFAULT_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);

impl Histogram {
    /// Appends the histogram to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let threshold = match self.zero_threshold.to_bits() {
            0 => THRESHOLD_ZERO,
            bits if bits == DEFAULT_THRESHOLD.to_bits() => THRESHOLD_DEFAULT,
            _ => 0,
        };
        let float = matches!(self.counts, Counts::Float { .. });
        out.push(u8::from(float) | hint_bits(self.reset_hint) << HINT_SHIFT | threshold);
        put_ivarint(out, i64::from(self.schema));
        if threshold == 0 {
            put_float(out, self.zero_threshold);
        }
        put_float(out, self.sum);
        put_ivarint(out, self.start_ts);
        put_spans(out, &self.positive_spans);
        put_spans(out, &self.negative_spans);
        put_floats(out, &self.custom_values);
        match &self.counts {
            Counts::Integer { count, zero_count, positive, negative } => {
                put_uvarint(out, *count);
                put_uvarint(out, *zero_count);
                put_deltas(out, positive);
                put_deltas(out, negative);
            }
            Counts::Float { count, zero_count, positive, negative } => {
                put_float(out, *count);
                put_float(out, *zero_count);
                put_floats(out, positive);
                put_floats(out, negative);
            }
        }
    }

    /// Reads what [`Histogram::encode`] wrote. Whether the histogram is valid is not asked.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = reader.position();
        let flags = reader.u8("histogram flags")?;
        if flags & !(FLOAT | HINT | THRESHOLD) != 0 || flags & THRESHOLD == THRESHOLD {
            return Err(Malformed { what: "histogram flags", at });
        }
        let at = reader.position();
        let schema = i32::try_from(reader.ivarint("histogram schema")?)
            .map_err(|_| Malformed { what: "histogram schema", at })?;
        let zero_threshold = match flags & THRESHOLD {
            THRESHOLD_ZERO => 0.0,
            THRESHOLD_DEFAULT => DEFAULT_THRESHOLD,
            _ => float(reader)?,
        };
        Ok(Self {
            schema,
            zero_threshold,
            sum: float(reader)?,
            reset_hint: hint(flags),
            start_ts: reader.ivarint("histogram start")?,
            positive_spans: spans(reader)?,
            negative_spans: spans(reader)?,
            custom_values: floats(reader)?,
            counts: if flags & FLOAT == 0 {
                Counts::Integer {
                    count: reader.uvarint("histogram count")?,
                    zero_count: reader.uvarint("histogram zero count")?,
                    positive: deltas(reader)?,
                    negative: deltas(reader)?,
                }
            } else {
                Counts::Float {
                    count: float(reader)?,
                    zero_count: float(reader)?,
                    positive: floats(reader)?,
                    negative: floats(reader)?,
                }
            },
        })
    }
}

const fn hint_bits(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Yes => 1,
        ResetHint::No => 2,
        ResetHint::Gauge => 3,
    }
}

const fn hint(flags: u8) -> ResetHint {
    match (flags & HINT) >> HINT_SHIFT {
        1 => ResetHint::Yes,
        2 => ResetHint::No,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn float(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    Ok(f64::from_bits(reader.u64("histogram float")?))
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for value in values {
        put_float(out, *value);
    }
}

fn floats(reader: &mut Reader<'_>) -> Result<Vec<f64>, Malformed> {
    let n = reader.count(8, "histogram floats")?;
    (0..n).map(|_| float(reader)).collect()
}

fn put_deltas(out: &mut Vec<u8>, deltas: &[i64]) {
    put_uvarint(out, deltas.len() as u64);
    for delta in deltas {
        put_ivarint(out, *delta);
    }
}

fn deltas(reader: &mut Reader<'_>) -> Result<Vec<i64>, Malformed> {
    let n = reader.count(1, "histogram buckets")?;
    (0..n).map(|_| reader.ivarint("histogram bucket")).collect()
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_ivarint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Malformed> {
    let what = "histogram span";
    let n = reader.count(2, "histogram spans")?;
    (0..n)
        .map(|_| {
            let at = reader.position();
            let offset =
                i32::try_from(reader.ivarint(what)?).map_err(|_| Malformed { what, at })?;
            Ok(Span { offset, length: reader.uvarint32(what)? })
        })
        .collect()
}
