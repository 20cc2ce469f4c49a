//! Connections: accepting, limits of time and number, draining.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::header;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::Service as _;

use super::app::App;
use super::leftover;
use super::limits::{HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX, STALL_TIMEOUT};
use super::stall::StallGuard;

/// The stop signal and who still works.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Asks all to stop.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    async fn begun(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Takes the address.
    pub async fn bind(addr: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await? })
    }

    /// The address, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` begins, then lets running requests end within `drain`. Returns how many
    /// connections had to be cut off.
    pub async fn serve(
        self,
        app: Arc<App>,
        service: Router,
        shutdown: Shutdown,
        drain: Duration,
    ) -> usize {
        let connections_max = app.config.web.max_connections;
        let slots = Arc::new(Semaphore::new(connections_max));
        loop {
            // Waiting for a slot before accepting leaves further clients in the kernel's queue.
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = shutdown.begun() => break,
            };
            let Ok(slot) = slot else { break };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.begun() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    app.telemetry.connections.add(1);
                    let (service, shutdown) = (service.clone(), shutdown.clone());
                    tokio::spawn(async move {
                        let _slot = slot;
                        serve_connection(stream, peer, service, shutdown).await;
                    });
                }
                Err(error) => {
                    // Mostly "too many open files": accepting again at once would spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let drained = tokio::time::timeout(drain, slots.acquire_many(all)).await;
        if drained.is_ok() { 0 } else { connections_max.saturating_sub(slots.available_permits()) }
    }
}

/// Serves one connection until it closes or, after the stop signal, its running request has been answered.
async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Router,
    shutdown: Shutdown,
) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // A client that waits to be told to send its body has sent nothing.
        let expects = request.headers().contains_key(header::EXPECT);
        let (parts, body) = request.into_parts();
        let (body, leftover) = leftover::share(body);
        let mut service = service.clone();
        async move {
            let answer: Result<_, Infallible> =
                service.call(Request::from_parts(parts, body)).await;
            if !expects {
                leftover.discard().await;
            }
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(StallGuard::new(stream, STALL_TIMEOUT)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
