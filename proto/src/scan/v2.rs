//! The walk over an `io.prometheus.write.v2.Request`.

use crate::body::Protocol;
use crate::error::{DecodeError, Result};
use crate::wire::{LEN, Shape, VARINT, Wire, key};

use super::sample::{HistogramBytes, Sample, read_exemplar, read_sample};

const REQUEST: Shape = Shape::new("Request", &[4, 5]);
const SERIES: Shape = Shape::new("TimeSeries", &[1, 2, 3, 4, 5, 6]);
const EXEMPLAR: Shape = Shape::new("Exemplar", &[1, 2, 3]);
const METADATA: Shape = Shape::new("Metadata", &[1, 3, 4]);

const SYMBOL: u32 = key(4, LEN);
const TIMESERIES: u32 = key(5, LEN);
const REFS: u32 = key(1, LEN);
/// References that are not packed: one field each.
const REF: u32 = key(1, VARINT);
const SAMPLE: u32 = key(2, LEN);
const HISTOGRAM: u32 = key(3, LEN);
const EXEMPLARS: u32 = key(4, LEN);
const SERIES_METADATA: u32 = key(5, LEN);
const CREATED: u32 = key(6, VARINT);

const LABEL_REF: &str = "label reference";

/// Walks the series of a request. The symbol table is read first, wherever it stands.
#[derive(Debug, Clone)]
pub struct ScanV2<'a> {
    wire: Wire<'a>,
    symbols: Vec<&'a [u8]>,
    n_series: usize,
}

impl<'a> ScanV2<'a> {
    /// Reads the symbol table of `body`, which is decompressed, and counts its series.
    pub fn open(body: &'a [u8], symbols_max: usize) -> Result<Self> {
        let mut wire = Wire::new(body);
        let (mut symbols, mut n_series) = (Vec::new(), 0);
        while let Some(found) = wire.key()? {
            match found {
                SYMBOL => {
                    symbols.push(wire.bytes("symbol")?);
                    if symbols.len() > symbols_max {
                        return Err(DecodeError::TooMany { what: "symbols", max: symbols_max });
                    }
                }
                TIMESERIES => {
                    wire.bytes("time series")?;
                    n_series += 1;
                }
                _ => wire.skip(found, REQUEST)?,
            }
        }
        if symbols.is_empty() && n_series == 0 && !body.is_empty() {
            return Err(DecodeError::NoKnownField { expected: Protocol::V2.message() });
        }
        Ok(Self { wire: Wire::new(body), symbols, n_series })
    }

    /// The strings of the request, in bytes that may be no UTF-8.
    #[must_use]
    pub fn symbols(&self) -> &[&'a [u8]] {
        &self.symbols
    }

    /// As [`ScanV2::symbols`], which has none from then on.
    #[must_use]
    pub fn take_symbols(&mut self) -> Vec<&'a [u8]> {
        std::mem::take(&mut self.symbols)
    }

    /// Number of series in the request.
    #[must_use]
    pub const fn n_series(&self) -> usize {
        self.n_series
    }

    /// The next series, `None` at the end. After an error nothing of the request may be stored.
    #[inline]
    pub fn next_series(&mut self) -> Result<Option<SeriesV2<'a>>> {
        while let Some(found) = self.wire.key()? {
            match found {
                TIMESERIES => {
                    return SeriesV2::read(self.wire.message("time series")?).map(Some);
                }
                SYMBOL => drop(self.wire.bytes("symbol")?),
                _ => self.wire.skip(found, REQUEST)?,
            }
        }
        Ok(None)
    }
}

/// One series of a request. Its fields' lengths are checked, their content is not yet.
#[derive(Debug, Clone, Copy)]
pub struct SeriesV2<'a> {
    message: Wire<'a>,
    /// The packed references; meaningless when `scattered`.
    refs: Wire<'a>,
    scattered: bool,
    data: Wire<'a>,
    /// The first datum, if it is a sample in its usual form.
    first: Option<(f64, i64)>,
    /// Number of float samples.
    pub n_samples: usize,
    /// Number of native histograms.
    pub n_histograms: usize,
    /// Number of exemplars.
    pub n_exemplars: usize,
    /// Description of the metric; all zero where there is none.
    pub metadata: MetadataV2,
    /// When counting began, in milliseconds, 0 where unset: a field of early release candidates. Holds for
    /// samples that do not say themselves.
    pub created_ts: i64,
}

impl<'a> SeriesV2<'a> {
    #[inline]
    fn read(message: Wire<'a>) -> Result<Self> {
        let mut wire = message;
        // Every sender writes the packed references first.
        let refs = match wire.accept(REFS as u8) {
            true => wire.message("label references")?,
            false => Wire::new(&[]),
        };
        let mut series = Self {
            message,
            refs,
            scattered: false,
            data: wire,
            first: None,
            n_samples: 0,
            n_histograms: 0,
            n_exemplars: 0,
            metadata: MetadataV2::default(),
            created_ts: 0,
        };
        series.first = wire.usual_sample();
        series.n_samples = usize::from(series.first.is_some());
        while let Some(found) = wire.key()? {
            match found {
                SAMPLE => {
                    wire.bytes("sample")?;
                    series.n_samples += 1;
                }
                SERIES_METADATA => series.metadata.merge(wire.message("metadata")?)?,
                HISTOGRAM => {
                    wire.bytes("histogram")?;
                    series.n_histograms += 1;
                }
                EXEMPLARS => {
                    wire.bytes("exemplar")?;
                    series.n_exemplars += 1;
                }
                CREATED => series.created_ts = wire.varint("created timestamp")?.cast_signed(),
                REFS => {
                    wire.bytes("label references")?;
                    series.scattered = true;
                }
                REF => {
                    wire.varint(LABEL_REF)?;
                    series.scattered = true;
                }
                _ => wire.skip(found, SERIES)?,
            }
        }
        Ok(series)
    }

    /// Puts the label references into `out`, in the order in which they were sent and as many as it holds.
    /// Answers how many.
    #[inline]
    pub fn refs(&self, out: &mut [u32]) -> Result<usize> {
        if self.scattered {
            return gather_refs(self.message, SERIES, out);
        }
        self.refs.varints32(LABEL_REF, out)
    }

    /// The sample of a series that has nothing else, written as every sender does.
    #[must_use]
    #[inline]
    pub fn only_sample(&self) -> Option<Sample> {
        let (value, ts) = self.first?;
        let only = self.n_samples + self.n_histograms + self.n_exemplars == 1;
        only.then_some(Sample { value, ts, start_ts: self.created_ts })
    }

    /// Samples, histograms and exemplars, in the order in which they were sent.
    #[must_use]
    pub const fn data(&self) -> DataV2<'a> {
        DataV2 { wire: self.data, created_ts: self.created_ts }
    }
}

/// Gathers the references of a message that has them in any form and place, as [`SeriesV2::refs`] does.
#[cold]
fn gather_refs(mut wire: Wire<'_>, shape: Shape, out: &mut [u32]) -> Result<usize> {
    let mut n = 0;
    while let Some(found) = wire.key()? {
        let Some(free) = out.get_mut(n..).filter(|free| !free.is_empty()) else { break };
        match found {
            REFS => n += wire.message("label references")?.varints32(LABEL_REF, free)?,
            REF => {
                let one = wire.varint32(LABEL_REF)?;
                free.iter_mut().take(1).for_each(|slot| *slot = one);
                n += 1;
            }
            _ => wire.skip(found, Shape { fields: 0, ..shape })?,
        }
    }
    Ok(n)
}

/// Something of a series that has a timestamp.
#[derive(Debug, Clone, Copy)]
pub enum DatumV2<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram.
    Histogram(HistogramBytes<'a>),
    /// An exemplar.
    Exemplar(ExemplarV2<'a>),
}

/// Iterator over a series' data.
#[derive(Debug, Clone)]
pub struct DataV2<'a> {
    wire: Wire<'a>,
    created_ts: i64,
}

impl<'a> DataV2<'a> {
    /// The next datum; `None` at the end.
    #[inline]
    pub fn next_datum(&mut self) -> Result<Option<DatumV2<'a>>> {
        if let Some((value, ts)) = self.wire.usual_sample() {
            let start_ts = self.created_ts;
            return Ok(Some(DatumV2::Sample(Sample { value, ts, start_ts })));
        }
        while let Some(found) = self.wire.key()? {
            match found {
                SAMPLE => {
                    let mut sample = read_sample::<true>(self.wire.message("sample")?)?;
                    if sample.start_ts == 0 {
                        sample.start_ts = self.created_ts;
                    }
                    return Ok(Some(DatumV2::Sample(sample)));
                }
                HISTOGRAM => {
                    let bytes = HistogramBytes(self.wire.message("histogram")?);
                    return Ok(Some(DatumV2::Histogram(bytes)));
                }
                EXEMPLARS => {
                    let message = self.wire.message("exemplar")?;
                    let (value, ts) = read_exemplar(message, EXEMPLAR, &[REFS, REF])?;
                    return Ok(Some(DatumV2::Exemplar(ExemplarV2 { message, value, ts })));
                }
                // References, metadata and the created timestamp were read before.
                _ => self.wire.skip(found, Shape { fields: 0, ..SERIES })?,
            }
        }
        Ok(None)
    }
}

/// An exemplar.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarV2<'a> {
    message: Wire<'a>,
    /// Value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub ts: i64,
}

impl ExemplarV2<'_> {
    /// Puts the references of its labels into `out`, as [`SeriesV2::refs`] does.
    pub fn refs(&self, out: &mut [u32]) -> Result<usize> {
        gather_refs(self.message, EXEMPLAR, out)
    }
}

/// Description of a series' metric. References to symbol 0 mean that there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MetadataV2 {
    /// Type: see [`crate::metric_type_word`].
    pub metric_type: i32,
    /// Symbol of the help text.
    pub help_ref: u32,
    /// Symbol of the unit.
    pub unit_ref: u32,
}

impl MetadataV2 {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A message that occurs twice counts as one with the later values, as protobuf has it.
    #[inline]
    fn merge(&mut self, mut wire: Wire<'_>) -> Result<()> {
        const TYPE: u32 = key(1, VARINT);
        const HELP: u32 = key(3, VARINT);
        const UNIT: u32 = key(4, VARINT);
        // What every sender writes, in the order in which it does.
        if wire.accept(TYPE as u8) {
            self.metric_type = wire.varint32("type")?.cast_signed();
        }
        if wire.accept(HELP as u8) {
            self.help_ref = wire.varint32("help reference")?;
        }
        if wire.accept(UNIT as u8) {
            self.unit_ref = wire.varint32("unit reference")?;
        }
        while let Some(found) = wire.key()? {
            match found {
                TYPE => self.metric_type = wire.varint32("type")?.cast_signed(),
                HELP => self.help_ref = wire.varint32("help reference")?,
                UNIT => self.unit_ref = wire.varint32("unit reference")?,
                _ => wire.skip(found, METADATA)?,
            }
        }
        Ok(())
    }
}
