//! `POST /api/v1/write`: Prometheus remote write 1.0 and 2.0.
//!
//! 204 when all is durable; 400 when the sender sent something that can never be stored (the rest of the
//! request is kept); 503 with `Retry-After` when it should try again. Never 5xx for bad data, because a sender
//! would repeat it for ever; never 429, because a sender drops the batch on it by default.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use nines_proto::{Protocol, negotiate};
use nines_storage::ErrorKind as StorageErrorKind;

use super::app::App;
use super::append::{Appended, append};
use super::error::{plain, with_causes};
use super::limits::{USER_AGENT_BYTES_MAX, WRITE_SLOT_WAIT};
use super::tenant::Tenant;
use crate::clock::now_ms;
use crate::ingest::WriteSummary;
use crate::senders::{Delivery, SenderKey};
use crate::telemetry::PROTOCOLS;

/// First allocation for a body, whatever its `Content-Length` claims.
const BODY_BYTES_FIRST: usize = 256 << 10;

/// Compressed bytes that one slot stands for; the batches of a Prometheus with default settings are smaller.
const SLOT_BYTES: u64 = 128 << 10;

/// `POST /api/v1/write`
pub(super) async fn write(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let text =
        |name| headers.get(name).map(|value| String::from_utf8_lossy(HeaderValue::as_bytes(value)));
    let content_type = text(header::CONTENT_TYPE);
    let content_encoding = text(header::CONTENT_ENCODING);
    let protocol = match negotiate(content_type.as_deref(), content_encoding.as_deref()) {
        Ok(protocol) => protocol,
        Err(unsupported) => {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{unsupported}\n"));
        }
    };
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let key = sender_key(headers, peer, &tenant, protocol);
    let is_retry = headers.contains_key("retry-attempt");
    let answer = receive(&app, &tenant, protocol, headers, body).await;
    answer.note(&app, key, protocol, is_retry);
    answer.into_response(protocol)
}

/// How a write ends.
enum Answer {
    Judged {
        summary: WriteSummary,
        reply: Option<String>,
        body_bytes: u64,
    },
    /// 400 or 413: the same bytes will fail again.
    Refused(StatusCode, String),
    /// The body broke off: there is hardly anybody left to answer.
    Gone(String),
    /// 503: a limit of the server.
    Overloaded(&'static str),
    /// 503: the store.
    Unavailable(String),
}

/// From the first byte of the body to the answer.
async fn receive(
    app: &Arc<App>,
    tenant: &Tenant,
    protocol: Protocol,
    headers: &HeaderMap,
    body: Body,
) -> Answer {
    let Ok(store) = app.store() else {
        return Answer::Unavailable(
            "nines is not ready: the write-ahead log is being replayed, or it is stopping"
                .to_owned(),
        );
    };
    let held = match read_body(app, headers, body).await {
        Ok(held) => held,
        Err(answer) => return answer,
    };
    // The slot is taken only now: a body that trickles in must not keep others out.
    let slots = app.write_slots.clone();
    let n = slots_for(held.held, app.config.write.max_concurrency);
    let Ok(Ok(slot)) = tokio::time::timeout(WRITE_SLOT_WAIT, slots.acquire_many_owned(n)).await
    else {
        return Answer::Overloaded("write.max_concurrency requests are being written");
    };
    let tenant = tenant.0.clone();
    let body_bytes = held.bytes.len() as u64;
    let appended = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let db = match store.existing(&tenant) {
            Some(db) => db,
            None => match store.db(&tenant) {
                Ok(db) => db,
                Err(error) => return Appended::Failed(error),
            },
        };
        append(&db, protocol, &held.bytes, now_ms())
    })
    .await;
    match appended {
        Ok(Appended::Judged(summary)) => {
            let reply = (!summary.is_complete()).then(|| summary.reply_text());
            Answer::Judged { summary, reply, body_bytes }
        }
        Ok(Appended::Undecodable(why)) => Answer::Refused(StatusCode::BAD_REQUEST, why),
        Ok(Appended::Failed(error)) => failed(&error),
        Err(join) => {
            // The same body would meet the same fault again and block its sender for ever.
            tracing::error!(error = %join, "a write panicked; this is a fault of nines");
            let why = "the request met a fault of nines; its log tells more";
            Answer::Refused(StatusCode::BAD_REQUEST, why.to_owned())
        }
    }
}

/// Slots that a body takes: one for every [`SLOT_BYTES`], so that large bodies cannot all be decompressed at
/// once. Snappy makes at most 22 bytes of one.
fn slots_for(body_bytes: u64, slots: usize) -> u32 {
    let wanted = 1 + body_bytes / SLOT_BYTES;
    u32::try_from(wanted.min(slots as u64)).unwrap_or(1)
}

/// A failed append. What no repetition can mend is refused, the rest put off.
fn failed(error: &nines_storage::Error) -> Answer {
    let why = with_causes(error);
    match error.kind() {
        StorageErrorKind::Invalid | StorageErrorKind::Limit => {
            tracing::warn!(error = %why, "a write was refused");
            Answer::Refused(StatusCode::BAD_REQUEST, why)
        }
        StorageErrorKind::Unavailable
        | StorageErrorKind::Canceled
        | StorageErrorKind::Corrupt
        | StorageErrorKind::Internal => {
            tracing::error!(error = %why, "the store cannot take writes; senders are told to try again");
            Answer::Unavailable(why)
        }
    }
}

/// A body and its share of the bytes in flight, given back when dropped.
struct HeldBody {
    app: Arc<App>,
    held: u64,
    bytes: Bytes,
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.app.release_bytes(self.held);
    }
}

/// Reads the body under its limits of size and time. Bytes are accounted for as they arrive: a large
/// `Content-Length` alone reserves nothing.
async fn read_body(app: &Arc<App>, headers: &HeaderMap, body: Body) -> Result<HeldBody, Answer> {
    let bytes_max = app.config.write.max_body_bytes;
    let too_large = || {
        let why = format!(
            "the body is larger than write.max_body_bytes, {bytes_max} bytes: send smaller batches"
        );
        Answer::Refused(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|n| n > bytes_max) {
        return Err(too_large());
    }
    if app.memory_short() {
        return Err(Answer::Overloaded("memory.max_bytes of memory are used"));
    }
    let mut held = HeldBody { app: app.clone(), held: 0, bytes: Bytes::new() };
    let timeout = app.config.write.body_timeout.0;
    let read = async {
        let mut body = body;
        let mut whole = BytesMut::new();
        loop {
            let frame = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    return Err(Answer::Gone(error.to_string()));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let n = data.len() as u64;
            if held.held.saturating_add(n) > bytes_max {
                return Err(too_large());
            }
            if !app.hold_bytes(n) {
                return Err(Answer::Overloaded(
                    "write.max_inflight_bytes of bodies are being received",
                ));
            }
            held.held += n;
            if held.bytes.is_empty() && whole.is_empty() {
                held.bytes = data;
                continue;
            }
            if whole.is_empty() {
                let first =
                    usize::try_from(declared.unwrap_or(0)).unwrap_or(0).min(BODY_BYTES_FIRST);
                whole.reserve(first.max(held.bytes.len() + data.len()));
                whole.extend_from_slice(&held.bytes);
            }
            whole.extend_from_slice(&data);
        }
        if !whole.is_empty() {
            held.bytes = whole.freeze();
        }
        Ok(held)
    };
    match tokio::time::timeout(timeout, read).await {
        Ok(read) => read,
        Err(_) => Err(Answer::Overloaded("the body did not arrive within write.body_timeout")),
    }
}

impl Answer {
    /// Counts and remembers the request.
    fn note(&self, app: &App, key: SenderKey, protocol: Protocol, is_retry: bool) {
        let mut delivery = Delivery { now_ms: now_ms(), is_retry, ..Delivery::default() };
        match self {
            Self::Judged { summary, reply, body_bytes } => {
                let outcome = &summary.outcome;
                if let Some(stats) = app.telemetry.ingest.get(protocol_index(protocol)) {
                    stats.requests.add(1);
                    stats.samples.add(outcome.samples);
                    stats.histograms.add(outcome.histograms);
                    stats.exemplars.add(outcome.exemplars);
                    stats.body_bytes.add(*body_bytes);
                }
                delivery.samples = outcome.samples + outcome.histograms;
                delivery.refused = outcome.rejected_total();
                delivery.newest_ts = summary.newest_ts;
                if delivery.refused > 0 {
                    app.telemetry.count_rejected(&outcome.rejected);
                    let reason = reply.as_deref().unwrap_or_default();
                    tracing::warn!(sender = %key.address, user_agent = %key.user_agent, tenant = %key.tenant, reason, "part of a write was refused");
                }
            }
            Self::Refused(status, why) => {
                app.telemetry.undecodable.add(1);
                tracing::warn!(sender = %key.address, user_agent = %key.user_agent, tenant = %key.tenant, status = status.as_u16(), reason = %why, "a write was refused");
                delivery.refused = 1;
            }
            Self::Gone(why) => {
                tracing::debug!(sender = %key.address, user_agent = %key.user_agent, reason = %why, "a write broke off");
                return;
            }
            Self::Overloaded(_) => {
                app.telemetry.overloaded.add(1);
                delivery.put_off = true;
            }
            Self::Unavailable(_) => {
                app.telemetry.unavailable.add(1);
                delivery.put_off = true;
            }
        }
        app.senders.note(key, &delivery);
    }

    fn into_response(self, protocol: Protocol) -> Response {
        match self {
            Self::Judged { summary, reply, .. } => {
                let outcome = &summary.outcome;
                let mut response = match reply {
                    None => StatusCode::NO_CONTENT.into_response(),
                    Some(why) => plain(StatusCode::BAD_REQUEST, with_line_end(why)),
                };
                set_written(
                    &mut response,
                    protocol,
                    [outcome.samples, outcome.histograms, outcome.exemplars],
                );
                response
            }
            Self::Refused(status, why) => {
                let mut response = plain(status, with_line_end(why));
                set_written(&mut response, protocol, [0; 3]);
                response
            }
            Self::Gone(why) => {
                plain(StatusCode::BAD_REQUEST, format!("the body ended early: {why}\n"))
            }
            Self::Overloaded(why) => try_again(format!("nines is busy: {why}; try again")),
            Self::Unavailable(why) => try_again(why),
        }
    }
}

/// The counts that remote write 2.0 demands; 1.0 must not have them.
fn set_written(response: &mut Response, protocol: Protocol, counts: [u64; 3]) {
    const NAMES: [HeaderName; 3] = [
        HeaderName::from_static("x-prometheus-remote-write-samples-written"),
        HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
        HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
    ];
    if protocol == Protocol::V1 {
        return;
    }
    for (name, n) in NAMES.into_iter().zip(counts) {
        response.headers_mut().insert(name, HeaderValue::from(n));
    }
}

/// 503 with a `Retry-After` of 1 to 5 seconds, in turn, so that senders do not come back all at once.
fn try_again(why: String) -> Response {
    static TURN: AtomicU8 = AtomicU8::new(0);
    let seconds = 1 + u64::from(TURN.fetch_add(1, Ordering::Relaxed) % 5);
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, with_line_end(why));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn with_line_end(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

const fn protocol_index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::V1 => 0,
        Protocol::V2 => 1,
    }
}

fn sender_key(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    tenant: &Tenant,
    protocol: Protocol,
) -> SenderKey {
    let agent =
        headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut user_agent = agent.unwrap_or_default().into_owned();
    if user_agent.len() > USER_AGENT_BYTES_MAX {
        let end = (0..=USER_AGENT_BYTES_MAX)
            .rev()
            .find(|at| user_agent.is_char_boundary(*at))
            .unwrap_or(0);
        user_agent.truncate(end);
    }
    SenderKey {
        address: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        user_agent,
        tenant: tenant.0.clone(),
        protocol: PROTOCOLS.get(protocol_index(protocol)).copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use nines_storage::AppendOutcome;

    use super::*;

    #[test]
    fn large_bodies_take_more_slots_but_never_more_than_there_are() {
        assert_eq!(slots_for(0, 128), 1);
        assert_eq!(slots_for(60_000, 128), 1);
        assert_eq!(slots_for(10 * SLOT_BYTES, 128), 11);
        assert_eq!(slots_for(32 << 20, 128), 128);
        assert_eq!(slots_for(32 << 20, 1), 1);
    }

    #[test]
    fn version_1_has_no_written_headers_and_version_2_has_all() {
        let outcome = AppendOutcome { samples: 3, exemplars: 1, ..AppendOutcome::default() };
        let judged = |reply: Option<&str>| Answer::Judged {
            summary: WriteSummary { outcome: outcome.clone(), ..WriteSummary::default() },
            reply: reply.map(str::to_owned),
            body_bytes: 0,
        };
        let written = |response: &Response| -> Vec<String> {
            ["samples", "histograms", "exemplars"]
                .iter()
                .filter_map(|kind| {
                    response.headers().get(format!("x-prometheus-remote-write-{kind}-written"))
                })
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        };
        let full = judged(None).into_response(Protocol::V2);
        assert_eq!(
            (full.status().as_u16(), written(&full)),
            (204, vec!["3".to_owned(), "0".to_owned(), "1".to_owned()])
        );
        let part = judged(Some("refused 1")).into_response(Protocol::V2);
        assert_eq!((part.status().as_u16(), written(&part).len()), (400, 3));
        let bad =
            Answer::Refused(StatusCode::BAD_REQUEST, "x".to_owned()).into_response(Protocol::V2);
        assert_eq!(written(&bad), ["0", "0", "0"]);
        assert!(written(&judged(None).into_response(Protocol::V1)).is_empty());
    }

    #[test]
    fn what_should_be_tried_again_says_when() {
        for _ in 0..10 {
            let response = Answer::Overloaded("x").into_response(Protocol::V2);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let after = response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
            assert!(after.is_some_and(|s| (1..=5).contains(&s)), "{after:?}");
        }
    }
}
