//! What became of a request, for the reply, the log and the metrics.

use std::fmt::{self, Write as _};

use nines_storage::{AppendOutcome, REJECTIONS_KEPT_MAX};

/// Senders log the first KiB of a reply.
const REPLY_BYTES_MAX: usize = 1024;

/// What a request brought, and what of it was refused before the store saw it.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) n_series: u64,
    pub(super) n_samples: u64,
    pub(super) n_histograms: u64,
    pub(super) n_exemplars: u64,
    pub(super) n_metadata: u64,
    pub(super) series_touched: u64,
    pub(super) newest_ts: Option<i64>,
    pub(super) refused: AppendOutcome,
}

impl Intake {
    #[inline]
    pub(super) fn saw(&mut self, ts: i64) {
        self.newest_ts = self.newest_ts.max(Some(ts));
    }

    /// Adds what the store says.
    pub(super) fn complete(self, stored: AppendOutcome) -> WriteSummary {
        let mut outcome = self.refused;
        outcome.samples = stored.samples;
        outcome.histograms = stored.histograms;
        outcome.exemplars = stored.exemplars;
        for (reason, n) in stored.rejected {
            *outcome.rejected.entry(reason).or_default() += n;
        }
        outcome.rejections.extend(stored.rejections);
        outcome.rejections.truncate(REJECTIONS_KEPT_MAX);
        WriteSummary {
            outcome,
            series_touched: self.series_touched,
            newest_ts: self.newest_ts,
            n_series_received: self.n_series,
            n_samples_received: self.n_samples,
            n_histograms_received: self.n_histograms,
            n_exemplars_received: self.n_exemplars,
            n_metadata_received: self.n_metadata,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Default)]
pub struct WriteSummary {
    /// What was written and what was refused, by ingest and by the store together.
    pub outcome: AppendOutcome,
    /// Series to which something was handed.
    pub series_touched: u64,
    /// Newest timestamp, in milliseconds, that was handed to the store (which may have refused it as lying in
    /// the future).
    pub newest_ts: Option<i64>,
    /// Series of the request.
    pub n_series_received: u64,
    /// Float samples of the request.
    pub n_samples_received: u64,
    /// Native histograms of the request.
    pub n_histograms_received: u64,
    /// Exemplars of the request.
    pub n_exemplars_received: u64,
    /// Metadata of the request, as far as they were looked at: repetitions are not.
    pub n_metadata_received: u64,
}

impl WriteSummary {
    /// Whether nothing was refused: answer 204, otherwise 400.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.outcome.rejected.is_empty()
    }

    /// One line for a person at the sender's log: what was written, what was refused for which reasons, and the
    /// first refusal with its series, timestamp and values. At most 1024 bytes.
    #[must_use]
    pub fn reply_text(&self) -> String {
        let mut line = Line::default();
        // A full line takes no more: that is no fault.
        let _ = self.write_reply(&mut line);
        line.0
    }

    fn write_reply(&self, line: &mut Line) -> fmt::Result {
        let outcome = &self.outcome;
        write!(
            line,
            "wrote {} of {} samples, {} of {} histograms, {} of {} exemplars",
            outcome.samples,
            self.n_samples_received,
            outcome.histograms,
            self.n_histograms_received,
            outcome.exemplars,
            self.n_exemplars_received
        )?;
        if self.is_complete() {
            return Ok(());
        }
        write!(line, "; refused {}", outcome.rejected_total())?;
        for (i, (reason, n)) in outcome.rejected.iter().enumerate() {
            write!(line, "{} {n} {}", if i == 0 { ":" } else { "," }, reason.as_str())?;
        }
        let Some(first) = outcome.rejections.first() else { return Ok(()) };
        write!(line, "; first: {}", first.detail)?;
        if let Some(ts) = first.ts {
            write!(line, " at {ts} ms")?;
        }
        match &first.series {
            Some(series) => write!(line, " in {series}"),
            None => Ok(()),
        }
    }
}

/// Text without line breaks and other control characters that ends before it is too long.
#[derive(Default)]
struct Line(String);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if self.0.len() + c.len_utf8() > REPLY_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}
