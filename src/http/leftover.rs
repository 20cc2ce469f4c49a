//! What a client still sends when its answer is ready. A connection that is closed over unread bytes is
//! reset, and the client sees the reset instead of the answer; so a bounded part of them is read and
//! thrown away first.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use super::limits::{LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX};

/// A body that handlers read and that can be emptied when they have dropped it.
pub(super) struct Shared<B>(Arc<Mutex<B>>);

/// The other end of a [`Shared`].
pub(super) struct Leftover<B>(Arc<Mutex<B>>);

/// Divides a body.
pub(super) fn share<B>(body: B) -> (Body, Leftover<B>)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Arc::new(Mutex::new(body));
    (Body::new(Shared(body.clone())), Leftover(body))
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Shared<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Leftover<B> {
    /// Reads the rest within [`LEFTOVER_BYTES_MAX`] and [`LEFTOVER_TIME_MAX`]; not at all when more is
    /// announced.
    pub(super) async fn discard(self) {
        self.discard_within(LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX).await;
    }

    async fn discard_within(self, bytes_max: u64, time_max: Duration) {
        if self.0.lock().is_end_stream() || self.0.lock().size_hint().lower() > bytes_max {
            return;
        }
        let mut left = bytes_max;
        let rest = std::future::poll_fn(|cx| {
            loop {
                match std::task::ready!(Pin::new(&mut *self.0.lock()).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let n = frame.data_ref().map_or(0, Bytes::len) as u64;
                        if n > left {
                            return Poll::Ready(());
                        }
                        left -= n;
                    }
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        });
        // Whoever has not sent it by then is slow on purpose.
        let _ = tokio::time::timeout(time_max, rest).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::convert::Infallible;

    use super::*;

    /// Frames of ten bytes without end, each at once, counted.
    struct Endless(u64);

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0 += 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))))
        }
    }

    #[tokio::test]
    async fn the_rest_is_read_to_the_end_or_to_the_limit() {
        let (body, rest) = share(Body::from("hello"));
        let kept = rest.0.clone();
        drop(body);
        rest.discard().await;
        assert!(kept.lock().is_end_stream());

        let (mut body, rest) = share(Endless(0));
        let kept = rest.0.clone();
        std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
        assert_eq!(kept.lock().0, 1, "the handler reads the same body");
        rest.discard_within(35, Duration::from_secs(5)).await;
        assert_eq!(kept.lock().0, 5);
    }

    #[tokio::test]
    async fn more_than_the_limit_is_not_begun() {
        let (body, rest) = share(Body::from("hello"));
        let kept = rest.0.clone();
        drop(body);
        rest.discard_within(4, Duration::from_secs(5)).await;
        assert_eq!(kept.lock().size_hint().exact(), Some(5));
    }
}
