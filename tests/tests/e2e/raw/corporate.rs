//! A corporate proxy: tunnels every CONNECT to one place, answers plain requests itself, and keeps the heads it saw.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::upstream::ok;

/// Listens until the test's process ends; its threads wait for connections and do nothing else.
#[derive(Clone)]
pub(crate) struct Corporate {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Corporate {
    /// A proxy that leads to `origin` and takes these credentials alone, as `user:password`.
    pub(crate) fn start(origin: SocketAddr, credentials: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let proxy = Self { address, seen: Arc::default() };
        let (seen, wanted) = (proxy.seen.clone(), credentials.map(|pair| STANDARD.encode(pair)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, wanted) = (seen.clone(), wanted.clone());
                std::thread::spawn(move || serve(stream, origin, &seen, wanted.as_deref()));
            }
        });
        proxy
    }

    /// The head of every request so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no holder panics").clone()
    }
}

#[allow(clippy::disallowed_methods, reason = "the test's own proxy dials the test's own upstream")]
fn serve(mut stream: TcpStream, origin: SocketAddr, seen: &Mutex<Vec<String>>, wanted: Option<&str>) {
    let Some(head) = read_head(&mut stream) else { return };
    seen.lock().expect("no holder panics").push(head.clone());
    let known = wanted.is_none_or(|pair| head.contains(&format!("Basic {pair}\r\n")));
    if !known {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(refusal).ok();
        return;
    }
    if !head.starts_with("CONNECT ") {
        stream.write_all(&ok("connection: close\r\n", b"answered by the corporate proxy\n")).ok();
        return;
    }
    let Ok(upstream) = TcpStream::connect(origin) else { return };
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok();
    let (from, to) = (stream.try_clone(), upstream.try_clone());
    let (Ok(from), Ok(to)) = (from, to) else { return };
    std::thread::spawn(move || pump(from, to));
    pump(upstream, stream);
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
