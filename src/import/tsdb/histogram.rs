//! Chunks of native histograms with integer counts (encoding 2) and float counts (encoding 3).

use std::sync::Arc;

use nines_storage::model::{
    CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, HistogramError, ResetHint, SeriesData, Span,
    TimeRange, is_stale,
};

use super::bits::{Bits, Fault, XorFloat};

/// Most spans, bounds and buckets of all histograms of a chunk together: a chunk of Prometheus has some thousands.
const PARTS_MAX: usize = 1 << 22;
/// A custom bound that is a multiple of a thousandth is written as so many of them, and one more.
const BOUNDS_PER_UNIT: f64 = 1000.0;

/// What the histograms of a chunk share.
struct Layout {
    header: u8,
    zero_threshold: f64,
    schema: i32,
    positive: Vec<Span>,
    negative: Vec<Span>,
    custom_values: Vec<f64>,
}

/// Histograms that no store takes.
#[derive(Debug, Default)]
pub(super) struct Invalid {
    pub(super) n: u64,
    /// Of the last one: its time and what is wrong.
    pub(super) last: Option<(i64, HistogramError)>,
}

/// Appends the histograms of a chunk that lie inside `range`. The flag tells whether counts are floats.
pub(super) fn decode(
    data: &[u8],
    floats: bool,
    range: TimeRange,
    out: &mut SeriesData,
    invalid: &mut Invalid,
) -> Result<(), Fault> {
    let Some(([high, low, header], rest)) = data.split_first_chunk::<3>() else {
        return Err("the chunk is too short");
    };
    let n = u16::from_be_bytes([*high, *low]);
    if n == 0 {
        return Ok(());
    }
    let mut bits = Bits::new(rest);
    let layout = Layout::read(&mut bits, *header)?;
    let parts = layout.positive.len() + layout.negative.len() + layout.custom_values.len();
    let mut reader = Samples::begin(&mut bits, &layout, floats)?;
    if (parts + reader.n_buckets()).saturating_mul(usize::from(n)) > PARTS_MAX {
        return Err("the histograms of the chunk are too large");
    }
    let mut keep = |i: u16, ts: i64, sum: f64, counts: &dyn Fn() -> Counts| {
        if !range.contains(ts) {
            return;
        }
        match layout.histogram(i, sum, counts, floats).into_valid() {
            Ok(histogram) => out.histograms.push((ts, Arc::new(histogram))),
            Err(why) => {
                invalid.n += 1;
                invalid.last = Some((ts, why));
            }
        }
    };
    for i in 0..n {
        if i > 0 {
            reader.advance(&mut bits)?;
        }
        keep(i, reader.ts, reader.sum.value, &|| reader.counts());
    }
    Ok(())
}

impl Layout {
    fn read(bits: &mut Bits<'_>, header: u8) -> Result<Self, Fault> {
        let zero_threshold = zero_threshold(bits)?;
        let schema = i32::try_from(bits.varbit_int()?).map_err(|_| "the schema of a histogram")?;
        let (positive, negative) = (spans(bits)?, spans(bits)?);
        // Other schemas do not even have a number of bounds.
        let custom = schema == CUSTOM_BUCKETS_SCHEMA;
        let custom_values = if custom { custom_values(bits)? } else { Vec::new() };
        Ok(Self { header, zero_threshold, schema, positive, negative, custom_values })
    }

    /// What is known of a reset: inside a chunk of a counter there is none, and that a chunk continues another one
    /// says nothing, since that may be gone.
    fn hint(&self, i: u16) -> ResetHint {
        match self.header >> 6 {
            3 => ResetHint::Gauge,
            _ if i > 0 => ResetHint::No,
            2 => ResetHint::Yes,
            _ => ResetHint::Unknown,
        }
    }

    fn histogram(&self, i: u16, sum: f64, counts: &dyn Fn() -> Counts, floats: bool) -> Histogram {
        if is_stale(sum) {
            return stale(sum, floats);
        }
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum,
            reset_hint: self.hint(i),
            positive_spans: self.positive.clone(),
            negative_spans: self.negative.clone(),
            custom_values: self.custom_values.clone(),
            counts: counts(),
            start_ts: 0,
        }
    }
}

/// The stale marker has no layout.
fn stale(sum: f64, floats: bool) -> Histogram {
    let counts = if floats {
        Counts::Float { count: 0.0, zero_count: 0.0, positive: Vec::new(), negative: Vec::new() }
    } else {
        Counts::Integer { count: 0, zero_count: 0, positive: Vec::new(), negative: Vec::new() }
    };
    Histogram {
        schema: 0,
        zero_threshold: 0.0,
        sum,
        reset_hint: ResetHint::Unknown,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts,
        start_ts: 0,
    }
}

/// 0, a power of two by its exponent, or any float.
fn zero_threshold(bits: &mut Bits<'_>) -> Result<f64, Fault> {
    match bits.get(8)? {
        0 => Ok(0.0),
        255 => bits.float(),
        // 2^-243 is written as 1; all of them are normal floats.
        exponent => Ok(f64::from_bits((exponent + 1023 - 244) << 52)),
    }
}

/// A count of things of a bit each at least, so that memory may be reserved for them.
fn count(bits: &mut Bits<'_>, what: Fault) -> Result<usize, Fault> {
    let n = bits.varbit_uint()?;
    if n > bits.remaining() || n > PARTS_MAX as u64 {
        return Err(what);
    }
    usize::try_from(n).map_err(|_| what)
}

fn spans(bits: &mut Bits<'_>) -> Result<Vec<Span>, Fault> {
    const WHAT: Fault = "the spans of a histogram";
    let n = count(bits, WHAT)?;
    let mut spans = Vec::with_capacity(n);
    for _ in 0..n {
        let length = u32::try_from(bits.varbit_uint()?).map_err(|_| WHAT)?;
        let offset = i32::try_from(bits.varbit_int()?).map_err(|_| WHAT)?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn custom_values(bits: &mut Bits<'_>) -> Result<Vec<f64>, Fault> {
    let n = count(bits, "the bounds of a histogram")?;
    let mut values = Vec::with_capacity(n);
    for _ in 0..n {
        values.push(match bits.varbit_uint()? {
            0 => bits.float()?,
            thousandths => (thousandths - 1) as f64 / BOUNDS_PER_UNIT,
        });
    }
    Ok(values)
}

/// Buckets of the spans, if so many can follow.
fn n_buckets(spans: &[Span], bits: &Bits<'_>, bits_each: u64) -> Result<usize, Fault> {
    let n: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    match usize::try_from(n) {
        Ok(n) if n as u64 * bits_each <= bits.remaining() => Ok(n),
        _ => Err("the buckets of a histogram"),
    }
}

/// An integer told by the difference of differences.
#[derive(Debug, Clone, Copy, Default)]
struct Stepped {
    value: i64,
    delta: i64,
}

impl Stepped {
    fn advance(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }
}

enum State {
    Integers {
        count: Stepped,
        zero_count: Stepped,
        positive: Vec<Stepped>,
        negative: Vec<Stepped>,
    },
    Floats {
        count: XorFloat,
        zero_count: XorFloat,
        positive: Vec<XorFloat>,
        negative: Vec<XorFloat>,
    },
}

/// The samples of a chunk, one after the other.
struct Samples {
    ts: i64,
    delta: i64,
    sum: XorFloat,
    state: State,
}

impl Samples {
    fn begin(bits: &mut Bits<'_>, layout: &Layout, floats: bool) -> Result<Self, Fault> {
        let bits_each = if floats { 64 } else { 1 };
        let n_positive = n_buckets(&layout.positive, bits, bits_each)?;
        let n_negative = n_buckets(&layout.negative, bits, bits_each)?;
        let ts = bits.varbit_int()?;
        if floats {
            let count = XorFloat::first(bits.float()?);
            let zero_count = XorFloat::first(bits.float()?);
            let sum = XorFloat::first(bits.float()?);
            let mut list = |n| (0..n).map(|_| bits.float().map(XorFloat::first)).collect();
            let positive: Result<_, _> = list(n_positive);
            let state = State::Floats {
                count,
                zero_count,
                positive: positive?,
                negative: list(n_negative)?,
            };
            return Ok(Self { ts, delta: 0, sum, state });
        }
        let first = |value: i64| Stepped { value, delta: 0 };
        let count = first(bits.varbit_uint()?.cast_signed());
        let zero_count = first(bits.varbit_uint()?.cast_signed());
        let sum = XorFloat::first(bits.float()?);
        let mut list = |n| (0..n).map(|_| bits.varbit_int().map(first)).collect();
        let positive: Result<_, _> = list(n_positive);
        let state =
            State::Integers { count, zero_count, positive: positive?, negative: list(n_negative)? };
        Ok(Self { ts, delta: 0, sum, state })
    }

    fn n_buckets(&self) -> usize {
        match &self.state {
            State::Integers { positive, negative, .. } => positive.len() + negative.len(),
            State::Floats { positive, negative, .. } => positive.len() + negative.len(),
        }
    }

    fn advance(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.ts = self.ts.wrapping_add(self.delta);
        match &mut self.state {
            State::Integers { count, zero_count, .. } => {
                count.advance(bits)?;
                zero_count.advance(bits)?;
            }
            State::Floats { count, zero_count, .. } => {
                count.advance(bits)?;
                zero_count.advance(bits)?;
            }
        }
        self.sum.advance(bits)?;
        if is_stale(self.sum.value) {
            // No buckets follow.
            return Ok(());
        }
        match &mut self.state {
            State::Integers { positive, negative, .. } => {
                positive.iter_mut().chain(negative).try_for_each(|bucket| bucket.advance(bits))
            }
            State::Floats { positive, negative, .. } => {
                positive.iter_mut().chain(negative).try_for_each(|bucket| bucket.advance(bits))
            }
        }
    }

    fn counts(&self) -> Counts {
        match &self.state {
            State::Integers { count, zero_count, positive, negative } => Counts::Integer {
                count: count.value.cast_unsigned(),
                zero_count: zero_count.value.cast_unsigned(),
                positive: positive.iter().map(|bucket| bucket.value).collect(),
                negative: negative.iter().map(|bucket| bucket.value).collect(),
            },
            State::Floats { count, zero_count, positive, negative } => Counts::Float {
                count: count.value,
                zero_count: zero_count.value,
                positive: positive.iter().map(|bucket| bucket.value).collect(),
                negative: negative.iter().map(|bucket| bucket.value).collect(),
            },
        }
    }
}
