//! An HTTP/1.1 upstream without TLS that keeps what arrived, for what the simulator does not do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Upstream {
    /// Answers each request, head and body in one text, with what `answer` makes of it.
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::run(answer, usize::MAX)
    }

    /// Gives this answer to the first request on a connection, and closes it.
    pub(crate) fn closing(answer: &'static [u8]) -> Self {
        Self::run(move |_| answer.to_vec(), 1)
    }

    fn run(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static, requests: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let upstream = Self { address, seen: Arc::default(), stopped: Arc::default() };
        let (seen, stopped, answer) = (upstream.seen.clone(), upstream.stopped.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, &*answer, requests));
            }
        });
        upstream
    }

    /// Answers 200 with the request itself.
    pub(crate) fn echo() -> Self {
        Self::start(|request| ok("content-type: text/plain\r\n", request.as_bytes()))
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no holder panics").clone()
    }
}

impl Drop for Upstream {
    #[allow(clippy::disallowed_methods, reason = "it wakes its own listener")]
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

/// An answer of known length, with these header lines.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n").as_bytes(), body].concat()
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &dyn Fn(&str) -> Vec<u8>,
    requests: usize,
) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok();
    for _ in 0..requests {
        let Some(request) = read_request(&mut stream) else { break };
        seen.lock().expect("no holder panics").push(request.clone());
        if stream.write_all(&answer(&request)).is_err() {
            return;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
}

/// A whole request as it stands on the wire; nothing when it is cut short.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = read_until(stream, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut chunked = head.contains("\r\ntransfer-encoding: chunked\r\n");
    while chunked {
        let line = read_until(stream, b"\r\n")?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).ok()?;
        seen.extend(line);
        seen.extend(read_exactly(stream, size + 2)?);
        chunked = size > 0;
    }
    seen.extend(read_exactly(stream, length.unwrap_or(0))?);
    Some(String::from_utf8_lossy(&seen).into_owned())
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Option<Vec<u8>> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.extend(read_exactly(stream, 1)?);
    }
    Some(seen)
}

fn read_exactly(stream: &mut TcpStream, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}
