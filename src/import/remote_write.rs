//! Requests of remote write 1.0 and 2.0 as a sender puts them on the wire, one a file.

use std::collections::BTreeMap;
use std::path::Path;

use nines_proto::{DECODED_BYTES_MAX, Protocol, decompress};
use nines_storage::Db;
use nines_storage::model::{Histogram, Labels};

use super::error::{ImportError, Result};
use super::file::SourceFile;
use super::pile::Pile;
use super::told::{Outcome, Told};
use crate::ingest::{Collect, Limits, collect};

/// Longest request, compressed.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Tags of the first field of a request of version 2.0: its symbols, or its series.
const V2_TAGS: [u8; 2] = [4 << 3 | 2, 5 << 3 | 2];

/// A pile that gives series labels which they lack.
struct Labelled<'a> {
    pile: Pile,
    labels: &'a BTreeMap<String, String>,
}

/// Adds `labels` to those of a series that lack them.
pub(super) fn with_labels(own: &Labels, labels: &BTreeMap<String, String>) -> Labels {
    let added = labels.iter().filter(|(name, _)| !own.has(name));
    Labels::from_pairs(own.iter().chain(added.map(|(name, value)| (name.as_str(), value.as_str()))))
}

impl Collect for Labelled<'_> {
    fn series(&mut self, labels: &Labels) -> usize {
        if self.labels.is_empty() {
            return self.pile.series(labels);
        }
        self.pile.series(&with_labels(labels, self.labels))
    }

    fn float(&mut self, series: usize, ts: i64, value: f64, start_ts: i64) {
        self.pile.float(series, ts, value, start_ts);
    }

    fn histogram(&mut self, series: usize, ts: i64, histogram: Histogram) {
        self.pile.histogram(series, ts, histogram);
    }
}

/// Imports the requests in `paths`. Those that are not what they should be are told and left out.
pub fn import_requests(
    db: &Db,
    paths: &[impl AsRef<Path>],
    labels: &BTreeMap<String, String>,
    target_labels: &[String],
    now_ms: i64,
    told: &mut dyn FnMut(Told<'_>),
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut to = Labelled { pile: Pile::default(), labels };
    let mut buffers = (Vec::new(), Vec::new());
    for path in paths.iter().map(AsRef::as_ref) {
        match read(path, &mut to, &mut buffers) {
            Ok((n, refused)) => {
                told(Told::Samples(n));
                if let Some(why) = refused {
                    outcome.parts += 1;
                    told(Told::Part { path, why });
                }
            }
            Err(error) => {
                outcome.parts += 1;
                told(Told::Part { path, why: error.to_string() });
            }
        }
        if to.pile.is_full() {
            outcome.add(&to.pile.write(db, target_labels, now_ms)?);
        }
    }
    outcome.add(&to.pile.write(db, target_labels, now_ms)?);
    Ok(outcome)
}

/// Reads one request. Answers its samples, and what was refused of it.
fn read(
    path: &Path,
    to: &mut dyn Collect,
    (raw, decoded): &mut (Vec<u8>, Vec<u8>),
) -> Result<(u64, Option<String>)> {
    let file = SourceFile::open(path)?;
    if file.len() > REQUEST_BYTES_MAX {
        let what = format!("{} bytes are no request, limit {REQUEST_BYTES_MAX}", file.len());
        return Err(ImportError::unsupported(path, what));
    }
    file.read(0, usize::try_from(file.len()).unwrap_or(0), raw)?;
    let bad = |cause: &dyn std::fmt::Display| {
        let what =
            format!("this is no request of remote write, compressed as a snappy block: {cause}");
        ImportError::unsupported(path, what)
    };
    let body = decompress(raw, DECODED_BYTES_MAX, decoded).map_err(|cause| bad(&cause))?;
    let second = body.first().is_some_and(|tag| V2_TAGS.contains(tag));
    let protocol = if second { Protocol::V2 } else { Protocol::V1 };
    let summary = collect(protocol, body, &Limits::default(), to).map_err(|cause| bad(&cause))?;
    let refused = (!summary.is_complete()).then(|| summary.reply_text());
    Ok((summary.outcome.samples + summary.outcome.histograms, refused))
}
