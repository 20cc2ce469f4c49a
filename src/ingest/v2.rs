//! Remote write 2.0. The symbol table differs from request to request, so a series' key is made from the hashes
//! of its symbols' bytes, each computed once per request. References are unpacked before any is looked up: in one
//! loop each would wait for the one before.

use hashbrown::HashSet;

use nines_proto::{
    DatumV2, DecodeError, ExemplarV2, MetadataV2, ScanV2, SeriesV2, metric_type_word,
};
use nines_storage::model::{Labels, METRIC_NAME};
use nines_storage::{RejectReason, SERIES_SYMBOLS_MAX, SymbolHash};

use super::batch::{Batch, Place, Sizes};
use super::exemplar::{ExemplarCheck, ExemplarFault};
use super::labels::{LabelCheck, LabelFault};
use super::sink::Sink;
use super::{IngestError, Limits};

/// References read of a series: one more than it may have, so that more than that shows.
const REFS_MAX: usize = SERIES_SYMBOLS_MAX + 1;
/// Most references of an exemplar: each label has at least one character, so more than that is too long anyway.
const EXEMPLAR_REFS_MAX: usize = 1024;

/// Reads a whole request into `batch`.
pub(super) fn read<S: Sink>(batch: &mut Batch<'_, S>, body: &[u8]) -> Result<(), IngestError> {
    let mut scan = ScanV2::open(body, batch.limits.symbols_per_request_max)?;
    let symbols = scan.take_symbols();
    let keys = batch.sink.symbol_keys();
    let name = |symbol: &&[u8]| *symbol == METRIC_NAME.as_bytes();
    let labels_max = batch.limits.labels_per_series_max.min(SERIES_SYMBOLS_MAX / 2);
    let mut reader = Reader {
        hashes: symbols.iter().map(|symbol| keys.hash(symbol)).collect(),
        name_symbol: symbols.iter().position(name).and_then(|at| u32::try_from(at).ok()),
        symbols: &symbols,
        labels_max,
        refs: [0; REFS_MAX],
        n_refs: 0,
        exemplar_refs: Vec::new(),
        check: LabelCheck::default(),
        described: Vec::new(),
        described_also: HashSet::new(),
    };
    while let Some(series) = scan.next_series()? {
        reader.series(batch, series)?;
    }
    Ok(())
}

/// What is kept from series to series.
struct Reader<'t, 'a> {
    symbols: &'t [&'a [u8]],
    /// Hash of each symbol.
    hashes: Vec<SymbolHash>,
    name_symbol: Option<u32>,
    labels_max: usize,
    /// References of the series, and how many: at most one more than there may be.
    refs: [u32; REFS_MAX],
    n_refs: usize,
    exemplar_refs: Vec<u32>,
    check: LabelCheck<'a>,
    /// By the symbol of a metric's name: the metadata that were passed on, which every series of it repeats.
    described: Vec<MetadataV2>,
    /// Metadata that were passed on besides these.
    described_also: HashSet<(u32, MetadataV2)>,
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
        self.n_refs = series.refs(&mut self.refs)?;
        let key = match self.key(batch.sink, &series.metadata) {
            Ok(key) => key,
            Err(fault) => {
                batch
                    .refuse_series(&fault, sizes, || self.readable().unwrap_or_else(Labels::empty));
                return Ok(());
            }
        };
        let mut place = match batch.sink.find(key) {
            Some(known) => Place::Known(known),
            None => match self.judge(batch.limits) {
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
        match series.only_sample() {
            Some(sample) => batch.sample(&mut place, sample),
            None => self.data(batch, &series, &mut place)?,
        }
        batch.end_series(place);
        Ok(())
    }

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

    /// The references of the series.
    #[inline]
    fn refs(&self) -> &[u32] {
        self.refs.get(..self.n_refs).unwrap_or_default()
    }

    /// The key of the series whose references are in `refs`: equal for equal names and values in equal order,
    /// whatever the symbol tables. Checks the references, those of the metadata as well.
    #[inline]
    fn key<S: Sink>(&self, sink: &S, metadata: &MetadataV2) -> Result<u128, LabelFault<'a>> {
        let (refs, n_symbols) = (self.refs(), self.symbols.len());
        let in_table = |symbol: u32| symbol == 0 || (symbol as usize) < n_symbols;
        if refs.len() <= 2 * self.labels_max
            && refs.len().is_multiple_of(2)
            && in_table(metadata.help_ref)
            && in_table(metadata.unit_ref)
            && let Some(key) = sink.symbol_keys().key(&self.hashes, refs)
        {
            return Ok(key);
        }
        Err(self.reference_fault(metadata))
    }

    /// Why the series has no key.
    #[cold]
    fn reference_fault(&self, metadata: &MetadataV2) -> LabelFault<'a> {
        let (refs, n_symbols) = (self.refs(), self.symbols.len());
        if refs.len() > 2 * self.labels_max {
            return LabelFault::TooMany { max: self.labels_max };
        }
        if !refs.len().is_multiple_of(2) {
            return LabelFault::OddRefs { n: refs.len() };
        }
        let outside = |symbol: u32| symbol as usize >= n_symbols;
        let texts = [("help", metadata.help_ref), ("unit", metadata.unit_ref)];
        let text = texts.into_iter().find(|(_, symbol)| *symbol != 0 && outside(*symbol));
        let label =
            || refs.iter().find(|symbol| outside(**symbol)).map(|symbol| ("label", *symbol));
        let (what, symbol) = text.or_else(label).unwrap_or_default();
        LabelFault::RefOutOfRange { what, symbol, n_symbols }
    }

    #[cold]
    fn judge(&mut self, limits: &Limits) -> Result<Labels, LabelFault<'a>> {
        self.check.clear();
        let refs = self.refs.get(..self.n_refs).unwrap_or_default();
        for pair in refs.chunks_exact(2) {
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
        let pairs = self.refs().chunks_exact(2).take(64).filter_map(|pair| match pair {
            [name, value] => Some((text(*name), text(*value))),
            _ => None,
        });
        let short =
            pairs.filter(|(name, value)| !name.is_empty() && name.len() + value.len() < 10 << 10);
        Some(Labels::from_pairs(short)).filter(|labels| !labels.is_empty())
    }

    /// Passes on the metadata of the series, once per request and metric.
    #[inline]
    fn describe<S: Sink>(
        &mut self,
        batch: &mut Batch<'_, S>,
        metadata: MetadataV2,
    ) -> Result<(), IngestError> {
        let metric = match *self.refs() {
            // Sorted, which nearly all senders' labels are, it is the first.
            [name, metric, ..] if Some(name) == self.name_symbol => metric,
            _ => match self.find_metric() {
                Some(metric) => metric,
                None => return Ok(()),
            },
        };
        match self.described.get(metric as usize) {
            Some(told) if *told == metadata => Ok(()),
            _ => self.pass_on(batch, metric, metadata),
        }
    }

    /// The symbol of the metric's name.
    #[cold]
    fn find_metric(&self) -> Option<u32> {
        let is_name = |at: u32| symbol(self.symbols, at) == METRIC_NAME.as_bytes();
        let mut pairs = self.refs().chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [name, metric] if is_name(*name) => Some(*metric),
            _ => None,
        })
    }

    fn pass_on<S: Sink>(
        &mut self,
        batch: &mut Batch<'_, S>,
        metric: u32,
        metadata: MetadataV2,
    ) -> Result<(), IngestError> {
        self.described.resize(self.symbols.len(), MetadataV2::default());
        match self.described.get_mut(metric as usize) {
            Some(told) if told.is_empty() => *told = metadata,
            _ if !self.described_also.insert((metric, metadata)) => return Ok(()),
            _ => {}
        }
        let text = |at: u32| if at == 0 { &[][..] } else { symbol(self.symbols, at) };
        let (help, unit) = (text(metadata.help_ref), text(metadata.unit_ref));
        let family = family(symbol(self.symbols, metric), metadata.metric_type);
        batch.metadata(metadata.metric_type, family, help, unit)
    }

    fn exemplar_labels(
        &mut self,
        exemplar: &ExemplarV2<'a>,
        limits: &Limits,
    ) -> Result<ExemplarLabels<'a>, DecodeError> {
        self.exemplar_refs.resize(EXEMPLAR_REFS_MAX + 1, 0);
        let n = exemplar.refs(&mut self.exemplar_refs)?;
        if !n.is_multiple_of(2) && n <= EXEMPLAR_REFS_MAX {
            return Ok(ExemplarLabels::Refs(LabelFault::OddRefs { n }));
        }
        let mut check = ExemplarCheck::new(limits.exemplar_chars_max);
        let refs = self.exemplar_refs.get(..n).unwrap_or_default();
        for pair in refs.chunks_exact(2) {
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
    let suffixes: &[&[u8]] = match metric_type_word(metric_type) {
        "histogram" => &[b"_bucket", b"_count", b"_sum"],
        "gaugehistogram" => &[b"_bucket", b"_gcount", b"_gsum"],
        "summary" => &[b"_count", b"_sum"],
        _ => &[],
    };
    let stripped = suffixes.iter().find_map(|suffix| metric.strip_suffix(*suffix));
    stripped.filter(|family| !family.is_empty()).unwrap_or(metric)
}
