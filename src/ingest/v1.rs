//! Remote write 1.0.

use nines_proto::{DatumV1, DecodeError, ExemplarV1, ItemV1, ScanV1, SeriesV1};
use nines_storage::model::Labels;

use super::batch::{Batch, Place, Sizes};
use super::exemplar::{ExemplarCheck, ExemplarFault};
use super::labels::{LabelCheck, LabelFault};
use super::sink::Sink;
use super::{IngestError, Limits};

/// Reads a whole request into `batch`.
pub(super) fn read<S: Sink>(batch: &mut Batch<'_, S>, body: &[u8]) -> Result<(), IngestError> {
    let mut scan = ScanV1::new(body);
    let (mut scratch, mut check) = (Vec::new(), LabelCheck::default());
    while let Some(item) = scan.next_item()? {
        match item {
            ItemV1::Series(series) => read_series(batch, series, &mut scratch, &mut check)?,
            ItemV1::Metadata(m) => batch.metadata(m.metric_type, m.metric, m.help, m.unit)?,
        }
    }
    Ok(())
}

#[inline]
fn read_series<'a, S: Sink>(
    batch: &mut Batch<'_, S>,
    series: SeriesV1<'a>,
    scratch: &mut Vec<u8>,
    check: &mut LabelCheck<'a>,
) -> Result<(), IngestError> {
    let sizes = Sizes {
        samples: series.n_samples,
        histograms: series.n_histograms,
        exemplars: series.n_exemplars,
    };
    batch.begin_series(sizes)?;
    let key = batch.sink.series_key(series.raw_labels(scratch));
    let mut place = match batch.sink.find(key) {
        Some(known) => Place::Known(known),
        None => match judge(&series, check, batch.limits)? {
            Ok(labels) => Place::New { key, labels },
            Err(fault) => {
                batch.refuse_series(&fault, sizes, || check.labels());
                return Ok(());
            }
        },
    };
    let limits = batch.limits;
    let named = || readable(&series, limits);
    if sizes.is_empty() {
        batch.refuse_empty(named);
        return Ok(());
    }
    if let Some(sample) = series.only_sample() {
        batch.sample(&mut place, sample);
        batch.end_series(place);
        return Ok(());
    }
    let mut data = series.data();
    while let Some(datum) = data.next_datum()? {
        match datum {
            DatumV1::Sample(sample) => batch.sample(&mut place, sample),
            DatumV1::Histogram(bytes) => batch.histogram(&mut place, bytes, 0, named)?,
            DatumV1::Exemplar(exemplar) => {
                let labels = exemplar_labels(&exemplar, limits)?;
                batch.exemplar(&mut place, labels, exemplar.value, exemplar.ts, named);
            }
        }
    }
    batch.end_series(place);
    Ok(())
}

/// Parses the labels of a series: the outer error is of the body, the inner one of the series.
#[cold]
fn judge<'a>(
    series: &SeriesV1<'a>,
    check: &mut LabelCheck<'a>,
    limits: &Limits,
) -> Result<Result<Labels, LabelFault<'a>>, DecodeError> {
    check.clear();
    let mut labels = series.labels();
    while let Some((name, value)) = labels.next_label()? {
        if let Err(fault) = check.add(name, value, limits) {
            return Ok(Err(fault));
        }
    }
    Ok(check.finish())
}

/// The labels of a series that is known or was judged, for the text of a refusal.
#[cold]
fn readable(series: &SeriesV1<'_>, limits: &Limits) -> Option<Labels> {
    judge(series, &mut LabelCheck::default(), limits).ok()?.ok()
}

fn exemplar_labels(
    exemplar: &ExemplarV1<'_>,
    limits: &Limits,
) -> Result<Result<Labels, ExemplarFault>, DecodeError> {
    let mut check = ExemplarCheck::new(limits.exemplar_chars_max);
    let mut labels = exemplar.labels();
    while let Some((name, value)) = labels.next_label()? {
        if let Err(fault) = check.add(name, value) {
            return Ok(Err(fault));
        }
    }
    Ok(check.finish())
}
