//! The walk over a `prometheus.WriteRequest`.

use crate::body::Protocol;
use crate::error::{DecodeError, Result};
use crate::wire::{LEN, Shape, VARINT, Wire, key};

use super::sample::{HistogramBytes, Sample, read_exemplar, read_sample};

const REQUEST: Shape = Shape::new("WriteRequest", &[1, 3]);
const SERIES: Shape = Shape::new("TimeSeries", &[1, 2, 3, 4]);
const LABEL: Shape = Shape::new("Label", &[1, 2]);
const EXEMPLAR: Shape = Shape::new("Exemplar", &[1, 2, 3]);
const METADATA: Shape = Shape::new("MetricMetadata", &[1, 2, 4, 5]);

const FIELD_1: u32 = key(1, LEN);
const FIELD_2: u32 = key(2, LEN);
const FIELD_3: u32 = key(3, LEN);
const FIELD_4: u32 = key(4, LEN);
const FIELD_5: u32 = key(5, LEN);

/// Walks the series and metadata of a request.
#[derive(Debug, Clone)]
pub struct ScanV1<'a> {
    wire: Wire<'a>,
    /// Whether a field of the message was seen, or there are no bytes at all.
    known: bool,
}

/// A part of a request.
#[derive(Debug, Clone, Copy)]
pub enum ItemV1<'a> {
    /// A series with its samples.
    Series(SeriesV1<'a>),
    /// A description of a metric.
    Metadata(MetadataV1<'a>),
}

impl<'a> ScanV1<'a> {
    /// Walks `body`, which is decompressed.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { wire: Wire::new(body), known: body.is_empty() }
    }

    /// The next item, `None` at the end. After an error nothing of the request may be stored.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<ItemV1<'a>>> {
        while let Some(found) = self.wire.key()? {
            match found {
                FIELD_1 => {
                    self.known = true;
                    let message = self.wire.message("time series")?;
                    return Ok(Some(ItemV1::Series(SeriesV1::read(message)?)));
                }
                FIELD_3 => {
                    self.known = true;
                    let message = self.wire.message("metadata")?;
                    return Ok(Some(ItemV1::Metadata(MetadataV1::read(message)?)));
                }
                _ => self.wire.skip(found, REQUEST)?,
            }
        }
        match self.known {
            true => Ok(None),
            false => Err(DecodeError::NoKnownField { expected: Protocol::V1.message() }),
        }
    }
}

/// One series of a request. Its fields' lengths are checked, their content is not yet.
#[derive(Debug, Clone, Copy)]
pub struct SeriesV1<'a> {
    message: Wire<'a>,
    /// The run of label fields; the first of several runs when `scattered`.
    labels: &'a [u8],
    scattered: bool,
    /// From where on there is something else than labels.
    data: Wire<'a>,
    /// The first datum, if it is a sample in its usual form.
    first: Option<(f64, i64)>,
    /// Number of float samples.
    pub n_samples: usize,
    /// Number of native histograms.
    pub n_histograms: usize,
    /// Number of exemplars.
    pub n_exemplars: usize,
}

impl<'a> SeriesV1<'a> {
    #[inline]
    fn read(message: Wire<'a>) -> Result<Self> {
        // Every sender writes the labels first: the loop below is for them.
        let mut wire = message;
        while wire.accept(FIELD_1 as u8) {
            wire.bytes("label")?;
        }
        let mut series = Self {
            message,
            labels: message.until(&wire),
            scattered: false,
            data: wire,
            first: None,
            n_samples: 0,
            n_histograms: 0,
            n_exemplars: 0,
        };
        series.first = wire.usual_sample();
        series.n_samples = usize::from(series.first.is_some());
        loop {
            let before = wire;
            let Some(found) = wire.key()? else { break };
            match found {
                FIELD_2 => {
                    wire.bytes("sample")?;
                    series.n_samples += 1;
                }
                FIELD_3 => {
                    wire.bytes("exemplar")?;
                    series.n_exemplars += 1;
                }
                FIELD_4 => {
                    wire.bytes("histogram")?;
                    series.n_histograms += 1;
                }
                FIELD_1 => {
                    wire.bytes("label")?;
                    series.late_label(before, wire);
                }
                _ => wire.skip(found, SERIES)?,
            }
        }
        Ok(series)
    }

    /// A label field behind another kind of field: still one run if it is the first or follows the run.
    #[cold]
    fn late_label(&mut self, before: Wire<'a>, after: Wire<'a>) {
        self.scattered |= !self.labels.is_empty();
        self.data = self.message;
        if self.labels.is_empty() {
            self.labels = before.until(&after);
        }
    }

    /// The bytes of the label fields, one behind the other: equal bytes mean an equal label set. A slice
    /// of the body as every known sender writes it; gathered in `scratch` when other fields stand between.
    #[inline]
    pub fn raw_labels<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if self.scattered { self.gather_labels(scratch) } else { self.labels }
    }

    #[cold]
    fn gather_labels<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        scratch.clear();
        let mut wire = self.message;
        loop {
            let before = wire;
            // Neither can fail: `read` went the same way.
            let Ok(Some(found)) = wire.key() else { break };
            let passed = match found {
                FIELD_1 | FIELD_2 | FIELD_3 | FIELD_4 => wire.bytes("field").map(drop),
                _ => wire.skip(found, SERIES),
            };
            if passed.is_err() {
                break;
            }
            if found == FIELD_1 {
                scratch.extend_from_slice(before.until(&wire));
            }
        }
        scratch
    }

    /// The labels one by one, in the order in which they were sent.
    #[must_use]
    pub const fn labels(&self) -> LabelsV1<'a> {
        LabelsV1 { wire: self.message, others: SERIES }
    }

    /// The sample of a series that has nothing else, written as every sender does.
    #[must_use]
    #[inline]
    pub fn only_sample(&self) -> Option<Sample> {
        let (value, ts) = self.first?;
        let only = self.n_samples + self.n_histograms + self.n_exemplars == 1;
        only.then_some(Sample { value, ts, start_ts: 0 })
    }

    /// Samples, histograms and exemplars, in the order in which they were sent.
    #[must_use]
    pub const fn data(&self) -> DataV1<'a> {
        DataV1 { wire: self.data }
    }
}

/// Iterator over labels.
#[derive(Debug, Clone)]
pub struct LabelsV1<'a> {
    wire: Wire<'a>,
    others: Shape,
}

impl<'a> LabelsV1<'a> {
    /// The next name and value, which may be no UTF-8; `None` at the end.
    #[inline]
    pub fn next_label(&mut self) -> Result<Option<(&'a [u8], &'a [u8])>> {
        while let Some(found) = self.wire.key()? {
            match found {
                FIELD_1 => return read_label(self.wire.message("label")?).map(Some),
                _ if found & 7 == LEN => drop(self.wire.bytes("field")?),
                // The other fields of the message were checked before.
                _ => self.wire.skip(found, Shape { fields: 0, ..self.others })?,
            }
        }
        Ok(None)
    }
}

fn read_label(mut wire: Wire<'_>) -> Result<(&[u8], &[u8])> {
    let (mut name, mut value) = (&[][..], &[][..]);
    while let Some(found) = wire.key()? {
        match found {
            FIELD_1 => name = wire.bytes("label name")?,
            FIELD_2 => value = wire.bytes("label value")?,
            _ => wire.skip(found, LABEL)?,
        }
    }
    Ok((name, value))
}

/// Something of a series that has a timestamp.
#[derive(Debug, Clone, Copy)]
pub enum DatumV1<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram.
    Histogram(HistogramBytes<'a>),
    /// An exemplar.
    Exemplar(ExemplarV1<'a>),
}

/// Iterator over a series' data.
#[derive(Debug, Clone)]
pub struct DataV1<'a> {
    wire: Wire<'a>,
}

impl<'a> DataV1<'a> {
    /// The next datum; `None` at the end.
    #[inline]
    pub fn next_datum(&mut self) -> Result<Option<DatumV1<'a>>> {
        if let Some((value, ts)) = self.wire.usual_sample() {
            return Ok(Some(DatumV1::Sample(Sample { value, ts, start_ts: 0 })));
        }
        while let Some(found) = self.wire.key()? {
            match found {
                FIELD_2 => {
                    let sample = read_sample::<false>(self.wire.message("sample")?)?;
                    return Ok(Some(DatumV1::Sample(sample)));
                }
                FIELD_4 => {
                    let bytes = HistogramBytes(self.wire.message("histogram")?);
                    return Ok(Some(DatumV1::Histogram(bytes)));
                }
                FIELD_3 => {
                    let message = self.wire.message("exemplar")?;
                    let (value, ts) = read_exemplar(message, EXEMPLAR, &[FIELD_1])?;
                    return Ok(Some(DatumV1::Exemplar(ExemplarV1 { message, value, ts })));
                }
                FIELD_1 => drop(self.wire.bytes("label")?),
                _ => self.wire.skip(found, SERIES)?,
            }
        }
        Ok(None)
    }
}

/// An exemplar.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarV1<'a> {
    message: Wire<'a>,
    /// Value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub ts: i64,
}

impl<'a> ExemplarV1<'a> {
    /// Its own labels.
    #[must_use]
    pub const fn labels(&self) -> LabelsV1<'a> {
        LabelsV1 { wire: self.message, others: EXEMPLAR }
    }
}

/// Description of a metric family, in bytes that may be no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataV1<'a> {
    /// Type: see [`crate::metric_type_word`].
    pub metric_type: i32,
    /// Name.
    pub metric: &'a [u8],
    /// Help.
    pub help: &'a [u8],
    /// Unit.
    pub unit: &'a [u8],
}

impl<'a> MetadataV1<'a> {
    fn read(mut wire: Wire<'a>) -> Result<Self> {
        const TYPE: u32 = key(1, VARINT);
        let mut metadata = Self::default();
        while let Some(found) = wire.key()? {
            match found {
                TYPE => metadata.metric_type = wire.varint32("type")?.cast_signed(),
                FIELD_2 => metadata.metric = wire.bytes("metric family name")?,
                FIELD_4 => metadata.help = wire.bytes("help")?,
                FIELD_5 => metadata.unit = wire.bytes("unit")?,
                _ => wire.skip(found, METADATA)?,
            }
        }
        Ok(metadata)
    }
}
