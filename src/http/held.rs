//! Answers that stay charged to their query until they have been sent.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use nines_storage::model::Labels;
use nines_storage::query::{Budget, Reservation};

use super::error::ApiResult;
use crate::promql::Value;

/// JSON around labels: quotes, commas, escapes.
const LABEL_BYTES: u64 = 8;
/// A sample as JSON with its time.
const SAMPLE_BYTES: u64 = 40;
/// JSON and memory of one series apart from labels and samples.
const SERIES_BYTES: u64 = 96;

/// Bytes with what they are charged for.
pub(super) struct HeldBody {
    bytes: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBody {
    /// Writes a body of about `bytes_estimate` bytes, charged before it is written and set right afterwards.
    /// Growing may take twice as much.
    pub(super) fn write(
        budget: &Budget,
        bytes_estimate: u64,
        write: impl FnOnce() -> Vec<u8>,
    ) -> ApiResult<Self> {
        let growing = budget.reserve(bytes_estimate.saturating_mul(2))?;
        let mut bytes = write();
        bytes.shrink_to_fit();
        drop(growing);
        let memory = budget.reserve(bytes.len() as u64)?;
        Ok(Self { bytes, _memory: memory })
    }

    /// 200 with this as JSON.
    pub(super) fn into_json(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let body = Bytes::from_owner(self);
        (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

/// About the bytes that a label set takes in JSON.
pub(super) fn labels_bytes(labels: &Labels) -> u64 {
    // Short names and values grow most: each pair gets quotes, a colon and a comma.
    let bytes = labels.as_bytes().len() as u64;
    bytes + LABEL_BYTES * labels.len() as u64 + SERIES_BYTES
}

/// About the bytes that a value takes in JSON.
pub(super) fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Scalar { .. } => SAMPLE_BYTES,
        Value::String { value, .. } => value.len() as u64 + SAMPLE_BYTES,
        Value::Vector(samples) => {
            samples.iter().map(|sample| labels_bytes(&sample.labels) + SAMPLE_BYTES).sum()
        }
        Value::Matrix(series) => series
            .iter()
            .map(|series| {
                let samples = series.floats.len() + 10 * series.histograms.len();
                labels_bytes(&series.labels) + SAMPLE_BYTES * samples as u64
            })
            .sum(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;
    use std::time::Duration;

    use nines_storage::query::{BudgetLimits, MemoryPool};

    use super::*;
    use crate::http::json::{success, write_query_data};
    use crate::promql::{MatrixSeries, SampleValue, VectorSample};

    fn values() -> [Value; 2] {
        let labels = Labels::from_pairs([("__name__", "up"), ("a", "b"), ("instance", "x:9100")]);
        let floats: Vec<(i64, f64)> =
            (0..1000).map(|n| (1_700_000_000_000 + n, n as f64 / 3.0)).collect();
        let sample = VectorSample {
            labels: labels.clone(),
            ts_ms: 1_700_000_000_001,
            value: SampleValue::Float(-1.0 / 3.0),
        };
        let series = MatrixSeries { labels, floats, histograms: Vec::new() };
        [Value::Vector(vec![sample; 1000]), Value::Matrix(vec![series])]
    }

    #[test]
    fn estimates_are_not_exceeded_nor_far_off() {
        for value in values() {
            let body = success(&[], &[], |out| write_query_data(out, &value, None));
            let (estimate, bytes) = (value_bytes(&value), body.len() as u64);
            assert!(bytes <= estimate && estimate < 3 * bytes, "{bytes} estimated as {estimate}");
        }
    }

    #[tokio::test]
    async fn a_body_is_charged_until_it_is_gone_and_refused_when_too_large() {
        let pool = MemoryPool::new(1000);
        let limits = BudgetLimits {
            samples_max: 1,
            series_max: 1,
            bytes_max: 1000,
            timeout: Duration::from_secs(60),
        };
        let budget = Budget::in_pool(limits, Arc::default(), pool.clone());
        assert!(HeldBody::write(&budget, 501, || panic!("it must not be written")).is_err());
        let body = HeldBody::write(&budget, 100, || vec![b'x'; 70]).unwrap();
        drop(budget);
        let response = body.into_json();
        assert_eq!(pool.held(), 70);
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(body.len(), 70);
        drop(body);
        assert_eq!(pool.held(), 0);
    }
}
