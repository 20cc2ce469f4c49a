//! The walk over an `io.prometheus.write.v2.Request`.

use crate::body::Protocol;
use crate::error::{DecodeError, Result};
use crate::wire::{LEN, Shape, VARINT, Wire, key};

use super::sample::{HistogramBytes, Sample, read_exemplar, read_sample};

const REQUEST: Shape = Shape::new("Request", &[4, 5]);
const SERIES: Shape = Shape::new("TimeSeries", &[1, 2, 3, 4, 5, 6]);
const EXEMPLAR: Shape = Shape::new("Exemplar", &[1, 2, 3]);
const METADATA: Shape = Shape::new("Metadata", &[1, 3, 4]);

const REFS: u32 = key(1, LEN);
/// References that are not packed: one field each.
const REF: u32 = key(1, VARINT);
const SAMPLE: u32 = key(2, LEN);
const HISTOGRAM: u32 = key(3, LEN);
const EXEMPLARS: u32 = key(4, LEN);
const SERIES_METADATA: u32 = key(5, LEN);
const CREATED: u32 = key(6, VARINT);

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
        const SYMBOL: u32 = key(4, LEN);
        const TIMESERIES: u32 = key(5, LEN);
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
                SERIES_METADATA => {
                    return SeriesV2::read(self.wire.message("time series")?).map(Some);
                }
                EXEMPLARS => drop(self.wire.bytes("symbol")?),
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
            n_samples: 0,
            n_histograms: 0,
            n_exemplars: 0,
            metadata: MetadataV2::default(),
            created_ts: 0,
        };
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
                    wire.varint("label reference")?;
                    series.scattered = true;
                }
                _ => wire.skip(found, SERIES)?,
            }
        }
        Ok(series)
    }

    /// Puts the label references into `out`, in the order in which they were sent. Stops behind `max`:
    /// then `out` holds one more than that.
    #[inline]
    pub fn refs(&self, max: usize, out: &mut Vec<u32>) -> Result<()> {
        out.clear();
        if self.scattered {
            return gather_refs(self.message, SERIES, max, out);
        }
        unpack_refs(self.refs, max, out)
    }

    /// Samples, histograms and exemplars, in the order in which they were sent.
    #[must_use]
    pub const fn data(&self) -> DataV2<'a> {
        DataV2 { wire: self.data, created_ts: self.created_ts }
    }
}

#[inline]
fn unpack_refs(mut packed: Wire<'_>, max: usize, out: &mut Vec<u32>) -> Result<()> {
    while !packed.rest().is_empty() && out.len() <= max {
        out.push(packed.varint32("label reference")?);
    }
    Ok(())
}

/// Adds the references of a message that has them in any form and place.
#[cold]
fn gather_refs(mut wire: Wire<'_>, shape: Shape, max: usize, out: &mut Vec<u32>) -> Result<()> {
    while let Some(found) = wire.key()? {
        if out.len() > max {
            break;
        }
        match found {
            REFS => unpack_refs(wire.message("label references")?, max, out)?,
            REF => out.push(wire.varint32("label reference")?),
            _ => wire.skip(found, Shape { fields: 0, ..shape })?,
        }
    }
    Ok(())
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
    pub fn refs(&self, max: usize, out: &mut Vec<u32>) -> Result<()> {
        out.clear();
        gather_refs(self.message, EXEMPLAR, max, out)
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
