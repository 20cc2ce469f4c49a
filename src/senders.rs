//! Who writes: one entry per address, User-Agent, tenant and protocol.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

/// Senders that are remembered; the one not seen for longest makes room.
pub const SENDERS_MAX: usize = 1000;

/// What tells senders apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderKey {
    /// Address of the connection.
    pub address: IpAddr,
    /// `User-Agent`, shortened.
    pub user_agent: String,
    /// Tenant.
    pub tenant: String,
    /// `1.0` or `2.0`.
    pub protocol: &'static str,
}

/// What one request brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delivery {
    /// Time of the answer in milliseconds since the epoch.
    pub now_ms: i64,
    /// Samples and histograms written.
    pub samples: u64,
    /// Refused ones.
    pub refused: u64,
    /// Timestamp of the newest sample.
    pub newest_ts: Option<i64>,
    /// Whether the sender said that it is trying again (`Retry-Attempt`).
    pub is_retry: bool,
    /// Whether the answer was 503.
    pub put_off: bool,
}

/// Time after which a rate has forgotten about two thirds of the past.
const RATE_WINDOW_S: f64 = 60.0;

#[derive(Debug, Clone, Copy, Default)]
struct Sender {
    first_seen_ms: i64,
    last_seen_ms: i64,
    newest_ts: Option<i64>,
    requests: u64,
    samples: u64,
    refused: u64,
    retries: u64,
    put_off: u64,
    /// Samples, each worth less the longer ago it came.
    weight: f64,
}

/// A sender as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderView {
    /// Who.
    pub key: SenderKey,
    /// Time of its last request in milliseconds since the epoch.
    pub last_seen_ms: i64,
    /// How old its newest sample was when it came, in milliseconds.
    pub lag_ms: Option<i64>,
    /// Samples per second over about a minute.
    pub samples_per_s: f64,
    /// Requests.
    pub requests: u64,
    /// Samples written.
    pub samples: u64,
    /// Samples refused.
    pub refused: u64,
    /// Requests that were repetitions.
    pub retries: u64,
    /// Requests answered 503.
    pub put_off: u64,
}

/// All senders, at most [`SENDERS_MAX`].
#[derive(Debug, Default)]
pub struct Senders(Mutex<HashMap<SenderKey, Sender>>);

impl Senders {
    /// Notes a request.
    pub fn note(&self, key: SenderKey, delivery: &Delivery) {
        let mut senders = self.0.lock();
        if senders.len() >= SENDERS_MAX && !senders.contains_key(&key) {
            let oldest = senders
                .iter()
                .min_by_key(|(_, sender)| sender.last_seen_ms)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                senders.remove(&oldest);
            }
        }
        let sender = senders.entry(key).or_insert_with(|| Sender {
            first_seen_ms: delivery.now_ms,
            last_seen_ms: delivery.now_ms,
            ..Sender::default()
        });
        sender.add(delivery);
    }

    /// Number of senders.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether nobody has written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The senders, the one seen last first.
    pub fn list(&self, now_ms: i64) -> Vec<SenderView> {
        let mut views: Vec<SenderView> =
            self.0.lock().iter().map(|(key, sender)| sender.view(key, now_ms)).collect();
        views.sort_by(|a, b| b.last_seen_ms.cmp(&a.last_seen_ms).then_with(|| a.key.cmp(&b.key)));
        views
    }
}

impl Sender {
    #[allow(clippy::cast_precision_loss, reason = "rates are shown, not stored")]
    fn add(&mut self, delivery: &Delivery) {
        self.weight = self.weight * self.decay(delivery.now_ms) + delivery.samples as f64;
        self.last_seen_ms = self.last_seen_ms.max(delivery.now_ms);
        self.newest_ts = self.newest_ts.max(delivery.newest_ts);
        self.requests += 1;
        self.samples += delivery.samples;
        self.refused += delivery.refused;
        self.retries += u64::from(delivery.is_retry);
        self.put_off += u64::from(delivery.put_off);
    }

    #[allow(clippy::cast_precision_loss, reason = "rates are shown, not stored")]
    fn decay(&self, now_ms: i64) -> f64 {
        let seconds = now_ms.saturating_sub(self.last_seen_ms).max(0) as f64 / 1000.0;
        (-seconds / RATE_WINDOW_S).exp()
    }

    #[allow(clippy::cast_precision_loss, reason = "rates are shown, not stored")]
    fn view(&self, key: &SenderKey, now_ms: i64) -> SenderView {
        // A sender that has just come has not filled the window yet.
        let age_s = now_ms.saturating_sub(self.first_seen_ms).max(0) as f64 / 1000.0;
        let filled = 1.0 - (-age_s.max(1.0) / RATE_WINDOW_S).exp();
        SenderView {
            key: key.clone(),
            last_seen_ms: self.last_seen_ms,
            lag_ms: self.newest_ts.map(|ts| self.last_seen_ms.saturating_sub(ts)),
            samples_per_s: self.weight * self.decay(now_ms) / (RATE_WINDOW_S * filled),
            requests: self.requests,
            samples: self.samples,
            refused: self.refused,
            retries: self.retries,
            put_off: self.put_off,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(i: u32) -> SenderKey {
        SenderKey {
            address: IpAddr::from([127, 0, 0, 1]),
            user_agent: format!("Prometheus/{i}"),
            tenant: "anonymous".to_owned(),
            protocol: "2.0",
        }
    }

    #[test]
    fn the_rate_of_a_steady_sender_is_right_from_the_start() {
        let senders = Senders::default();
        for second in 0..300_i64 {
            let now_ms = 1_000_000 + second * 1000;
            senders.note(
                key(0),
                &Delivery {
                    now_ms,
                    samples: 500,
                    newest_ts: Some(now_ms - 40),
                    ..Delivery::default()
                },
            );
            if second >= 10 {
                let rate = senders.list(now_ms).first().unwrap().samples_per_s;
                assert!((450.0..580.0).contains(&rate), "{rate} at {second}");
            }
        }
        let silent = senders.list(1_000_000 + 300_000 + 600_000).first().unwrap().samples_per_s;
        assert!(silent < 1.0, "{silent}");
        let view = senders.list(2_000_000).first().unwrap().clone();
        assert_eq!((view.requests, view.samples, view.lag_ms), (300, 150_000, Some(40)));
    }

    #[test]
    fn the_one_not_seen_for_longest_makes_room() {
        let senders = Senders::default();
        for i in 0..u32::try_from(SENDERS_MAX).unwrap() + 5 {
            senders.note(key(i), &Delivery { now_ms: i64::from(i), ..Delivery::default() });
        }
        assert_eq!(senders.len(), SENDERS_MAX);
        let list = senders.list(0);
        assert_eq!(list.last().unwrap().key, key(5));
    }

    #[test]
    fn refusals_and_retries_are_counted() {
        let senders = Senders::default();
        senders.note(
            key(1),
            &Delivery { refused: 3, is_retry: true, put_off: true, ..Delivery::default() },
        );
        let view = senders.list(0).first().unwrap().clone();
        assert_eq!((view.refused, view.retries, view.put_off, view.lag_ms), (3, 1, 1, None));
    }
}
