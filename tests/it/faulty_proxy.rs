//! A proxy for HTTP that loses requests and answers, is slow, and answers for a server that fails.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nines_storage::disk::sim::SimRng;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The connection ends before the server has heard of it.
    Dropped,
    /// The server hears half of it.
    Torn,
    /// The server does it, and the answer is lost.
    Lost,
    /// Half of the answer arrives.
    HalfAnswered,
    /// The proxy answers that the server fails, which has not heard of it.
    Failed(u16),
    /// It waits for a while, then is answered.
    Slow,
    Answered,
}

/// A running proxy; it takes no more connections when this is dropped.
pub struct FaultyProxy {
    pub port: u16,
    faulty: Arc<AtomicBool>,
    faults: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl FaultyProxy {
    /// Begins to pass on to `to`; one request of three meets a fault.
    pub fn start(to: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            faulty: Arc::new(AtomicBool::new(true)),
            faults: Arc::default(),
            stopped: Arc::default(),
        };
        let (faulty, faults) = (Arc::clone(&proxy.faulty), Arc::clone(&proxy.faults));
        let stopped = Arc::clone(&proxy.stopped);
        let mut rng = SimRng::new(seed);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let fate = match rng.below(20) {
                    _ if !faulty.load(Ordering::Relaxed) => Fate::Answered,
                    0 => Fate::Dropped,
                    1 => Fate::Torn,
                    2 | 3 => Fate::Lost,
                    4 => Fate::HalfAnswered,
                    5 => Fate::Failed(500),
                    6 => Fate::Failed(503),
                    7 => Fate::Slow,
                    _ => Fate::Answered,
                };
                faults.fetch_add(u64::from(fate != Fate::Answered), Ordering::Relaxed);
                std::thread::spawn(move || {
                    // A connection that ends early is what this is for.
                    let _ended = pass(client, to, fate);
                });
            }
        });
        proxy
    }

    /// Passes everything on from now on, or not.
    pub fn set_faulty(&self, faulty: bool) {
        self.faulty.store(faulty, Ordering::Relaxed);
    }

    /// Requests that met a fault.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request: head and body.
fn read_request(client: &mut TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut raw, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        let n = client.read(&mut piece)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        raw.extend_from_slice(&piece[..n]);
        let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&raw[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |n| n.trim().parse().unwrap());
        let mut body = raw.split_off(end + 4);
        let read = body.len();
        body.resize(length.max(read), 0);
        client.read_exact(&mut body[read..])?;
        raw.truncate(end);
        return Ok((raw, body));
    }
}

/// Passes on the first request of a connection, which it then closes.
fn pass(mut client: TcpStream, to: u16, fate: Fate) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (head, body) = read_request(&mut client)?;
    match fate {
        Fate::Dropped => return client.shutdown(Shutdown::Both),
        Fate::Failed(status) => {
            let text = "<Error><Code>InternalError</Code></Error>";
            let reply = format!(
                "HTTP/1.1 {status} Oh\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            return client.write_all(reply.as_bytes());
        }
        Fate::Slow => std::thread::sleep(Duration::from_millis(300)),
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    server.set_read_timeout(Some(Duration::from_secs(20)))?;
    let kept: Vec<String> = String::from_utf8_lossy(&head)
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .map(str::to_owned)
        .collect();
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())?;
    if fate == Fate::Torn {
        server.write_all(&body[..body.len() / 2])?;
        server.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    server.write_all(&body)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    match fate {
        Fate::Lost => {}
        Fate::HalfAnswered => client.write_all(&reply[..reply.len() / 2])?,
        _ => client.write_all(&reply)?,
    }
    client.shutdown(Shutdown::Both)
}
