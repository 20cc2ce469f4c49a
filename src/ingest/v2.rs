//! Remote write 2.0. The symbol table differs from request to request, so a series' key is made from the hashes
//! of its symbols' bytes, each computed once per request.

use hashbrown::HashSet;

use nines_proto::{DatumV2, DecodeError, ExemplarV2, MetadataV2, ScanV2, SeriesV2};
use nines_storage::RejectReason;
use nines_storage::model::{Labels, METRIC_NAME};

use super::batch::{Batch, Place, Sizes};
use super::exemplar::{ExemplarCheck, ExemplarFault};
use super::labels::{LabelCheck, LabelFault};
use super::sink::Sink;
use super::{IngestError, Limits};

/// Put before the sum of the symbols' hashes, so that its bytes are never those of a series of remote write 1.0,
/// which begin with a field key of 0x0a.
const KEY_DOMAIN: u8 = 2;
/// A series' symbols make a polynomial whose coefficients are their hashes: nobody outside knows these, so that
/// two different series agree by a chance of about one in 2^118 (the factor's powers differ by multiples of at
/// most 2^10 for as many labels as there may be).
const KEY_FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c837;

/// Most references of an exemplar: each label has at least one character, so more than that is too long anyway.
const EXEMPLAR_REFS_MAX: usize = 1024;

/// Reads a whole request into `batch`.
pub(super) fn read<S: Sink>(batch: &mut Batch<'_, S>, body: &[u8]) -> Result<(), IngestError> {
    let mut scan = ScanV2::open(body, batch.limits.symbols_per_request_max)?;
    let symbols = scan.symbols().to_vec();
    let mut reader = Reader {
        hashes: vec![0; symbols.len()],
        name_symbol: symbols.iter().position(|symbol| *symbol == METRIC_NAME.as_bytes()),
        symbols: &symbols,
        refs: Vec::new(),
        exemplar_refs: Vec::new(),
        check: LabelCheck::default(),
        described: HashSet::new(),
        described_last: None,
    };
    while let Some(series) = scan.next_series()? {
        reader.series(batch, series)?;
    }
    Ok(())
}

/// What is kept from series to series.
struct Reader<'t, 'a> {
    symbols: &'t [&'a [u8]],
    /// Hash of each symbol, 0 where not computed yet.
    hashes: Vec<u128>,
    name_symbol: Option<usize>,
    refs: Vec<u32>,
    exemplar_refs: Vec<u32>,
    check: LabelCheck<'a>,
    /// Metric name and metadata that were passed on: every series of a metric repeats them.
    described: HashSet<(u32, MetadataV2)>,
    described_last: Option<(u32, MetadataV2)>,
}

/// An exemplar's labels: wrong references are told apart from wrong labels.
enum ExemplarLabels<'a> {
    Read(Result<Labels, ExemplarFault>),
    Refs(LabelFault<'a>),
}

impl<'a> Reader<'_, 'a> {
    #[inline]
    fn series<S: Sink>(
        &mut self,
        batch: &mut Batch<'_, S>,
        series: SeriesV2<'a>,
    ) -> Result<(), IngestError> {
        let sizes = Sizes {
            samples: series.n_samples,
            histograms: series.n_histograms,
            exemplars: series.n_exemplars,
        };
        batch.begin_series(sizes)?;
        let limits = batch.limits;
        series.refs(2 * limits.labels_per_series_max, &mut self.refs)?;
        let key = match self.key(batch.sink, &series.metadata, limits) {
            Ok(key) => key,
            Err(fault) => {
                batch
                    .refuse_series(&fault, sizes, || self.readable().unwrap_or_else(Labels::empty));
                return Ok(());
            }
        };
        let mut place = match batch.sink.find(key) {
            Some(known) => Place::Known(known),
            None => match self.judge(limits) {
                Ok(labels) => Place::New { key, labels },
                Err(fault) => {
                    batch.refuse_series(&fault, sizes, || self.check.labels());
                    return Ok(());
                }
            },
        };
        if !series.metadata.is_empty() {
            self.describe(batch, series.metadata)?;
        }
        if sizes.is_empty() {
            if series.metadata.is_empty() {
                batch.refuse_empty(|| self.readable());
            }
            return Ok(());
        }
        self.data(batch, &series, &mut place)?;
        batch.end_series(place);
        Ok(())
    }

    #[inline]
    fn data<S: Sink>(
        &mut self,
        batch: &mut Batch<'_, S>,
        series: &SeriesV2<'a>,
        place: &mut Place<S::Series>,
    ) -> Result<(), DecodeError> {
        let mut data = series.data();
        while let Some(datum) = data.next_datum()? {
            match datum {
                DatumV2::Sample(sample) => batch.sample(place, sample),
                DatumV2::Histogram(bytes) => {
                    batch.histogram(place, bytes, series.created_ts, || self.readable())?;
                }
                DatumV2::Exemplar(exemplar) => {
                    match self.exemplar_labels(&exemplar, batch.limits)? {
                        ExemplarLabels::Read(labels) => {
                            let (value, ts) = (exemplar.value, exemplar.ts);
                            batch.exemplar(place, labels, value, ts, || self.readable());
                        }
                        ExemplarLabels::Refs(fault) => {
                            let (reason, ts) = (RejectReason::InvalidSymbolRef, Some(exemplar.ts));
                            batch.refuse(reason, ts, &fault, || self.readable());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The key of the series whose references are in `refs`: equal for equal names and values in equal order,
    /// whatever the symbol tables. Checks the references, those of the metadata as well.
    #[inline]
    fn key<S: Sink>(
        &mut self,
        sink: &S,
        metadata: &MetadataV2,
        limits: &Limits,
    ) -> Result<u128, LabelFault<'a>> {
        let n = self.refs.len();
        if n > 2 * limits.labels_per_series_max {
            return Err(LabelFault::TooMany { max: limits.labels_per_series_max });
        }
        if !n.is_multiple_of(2) {
            return Err(LabelFault::OddRefs { n });
        }
        let n_symbols = self.symbols.len();
        for (what, symbol) in [("help", metadata.help_ref), ("unit", metadata.unit_ref)] {
            if symbol != 0 && symbol as usize >= n_symbols {
                return Err(LabelFault::RefOutOfRange { what, symbol, n_symbols });
            }
        }
        let mut sum = 0u128;
        for &symbol in &self.refs {
            let at = symbol as usize;
            let (Some(bytes), Some(hash)) = (self.symbols.get(at), self.hashes.get_mut(at)) else {
                return Err(LabelFault::RefOutOfRange { what: "label", symbol, n_symbols });
            };
            if *hash == 0 {
                *hash = sink.series_key(bytes);
            }
            sum = sum.wrapping_mul(KEY_FACTOR).wrapping_add(*hash);
        }
        let mut bytes = [KEY_DOMAIN; 17];
        bytes.iter_mut().skip(1).zip(sum.to_le_bytes()).for_each(|(to, from)| *to = from);
        Ok(sink.series_key(&bytes))
    }

    #[cold]
    fn judge(&mut self, limits: &Limits) -> Result<Labels, LabelFault<'a>> {
        self.check.clear();
        for pair in self.refs.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let (name, value) = (symbol(self.symbols, *name), symbol(self.symbols, *value));
            self.check.add(name, value, limits)?;
        }
        self.check.finish()
    }

    /// The labels of the series, as far as they can be read, for the text of a refusal.
    #[cold]
    fn readable(&self) -> Option<Labels> {
        let text = |at: u32| std::str::from_utf8(symbol(self.symbols, at)).unwrap_or_default();
        let pairs = self.refs.chunks_exact(2).take(64).filter_map(|pair| match pair {
            [name, value] => Some((text(*name), text(*value))),
            _ => None,
        });
        let short =
            pairs.filter(|(name, value)| !name.is_empty() && name.len() + value.len() < 10 << 10);
        Some(Labels::from_pairs(short)).filter(|labels| !labels.is_empty())
    }

    /// Passes on the metadata of the series, once per request and metric.
    fn describe<S: Sink>(
        &mut self,
        batch: &mut Batch<'_, S>,
        metadata: MetadataV2,
    ) -> Result<(), IngestError> {
        let names = self.refs.iter().step_by(2);
        let values = self.refs.iter().skip(1).step_by(2);
        let is_name = |at: u32| {
            Some(at as usize) == self.name_symbol
                || symbol(self.symbols, at) == METRIC_NAME.as_bytes()
        };
        let Some((_, &metric)) = names.zip(values).find(|(name, _)| is_name(**name)) else {
            return Ok(());
        };
        let told = (metric, metadata);
        if self.described_last == Some(told) {
            return Ok(());
        }
        self.described_last = Some(told);
        if !self.described.insert(told) {
            return Ok(());
        }
        let text = |at: u32| if at == 0 { &[][..] } else { symbol(self.symbols, at) };
        let metric = family(symbol(self.symbols, metric), metadata.metric_type);
        batch.metadata(
            metadata.metric_type,
            metric,
            text(metadata.help_ref),
            text(metadata.unit_ref),
        )
    }

    fn exemplar_labels(
        &mut self,
        exemplar: &ExemplarV2<'a>,
        limits: &Limits,
    ) -> Result<ExemplarLabels<'a>, DecodeError> {
        exemplar.refs(EXEMPLAR_REFS_MAX, &mut self.exemplar_refs)?;
        let n = self.exemplar_refs.len();
        if !n.is_multiple_of(2) && n <= EXEMPLAR_REFS_MAX {
            return Ok(ExemplarLabels::Refs(LabelFault::OddRefs { n }));
        }
        let mut check = ExemplarCheck::new(limits.exemplar_chars_max);
        for pair in self.exemplar_refs.chunks_exact(2) {
            let [name, value] = pair else { continue };
            for &symbol in pair {
                if symbol as usize >= self.symbols.len() {
                    let n_symbols = self.symbols.len();
                    let fault =
                        LabelFault::RefOutOfRange { what: "exemplar label", symbol, n_symbols };
                    return Ok(ExemplarLabels::Refs(fault));
                }
            }
            if let Err(fault) = check.add(symbol(self.symbols, *name), symbol(self.symbols, *value))
            {
                return Ok(ExemplarLabels::Read(Err(fault)));
            }
        }
        Ok(ExemplarLabels::Read(check.finish()))
    }
}

#[inline]
fn symbol<'a>(symbols: &[&'a [u8]], at: u32) -> &'a [u8] {
    symbols.get(at as usize).copied().unwrap_or_default()
}

/// The metric family of a series: what senders know the metadata by, and what `/api/v1/metadata` lists. Classic
/// histograms and summaries have several series per family, told apart by suffixes.
fn family(metric: &[u8], metric_type: i32) -> &[u8] {
    let suffixes: &[&[u8]] = match nines_proto::metric_type_word(metric_type).as_bytes() {
        b"histogram" => &[b"_bucket", b"_count", b"_sum"],
        b"gaugehistogram" => &[b"_bucket", b"_gcount", b"_gsum"],
        b"summary" => &[b"_count", b"_sum"],
        _ => &[],
    };
    let stripped = suffixes.iter().find_map(|suffix| metric.strip_suffix(*suffix));
    stripped.filter(|family| !family.is_empty()).unwrap_or(metric)
}
