//! A WebSocket server whose every byte the test decides, over TLS or without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::NamedTempFile;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::{HOST, SOON};
use crate::raw;

/// A connection, encrypted or not.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    certificate: Option<NamedTempFile>,
    stopped: Arc<AtomicBool>,
}

/// What a server was sent.
#[derive(Default)]
pub(crate) struct Seen {
    heads: Mutex<Vec<String>>,
    told: Mutex<Vec<String>>,
    /// Of each connection, in the order they came.
    bytes: Mutex<Vec<Vec<u8>>>,
}

impl Seen {
    /// Notes something.
    pub(super) fn tell(&self, what: String) {
        self.told.lock().expect("no holder panics").push(what);
    }

    /// Keeps every byte until the client is gone, and notes that. A Close frame is answered.
    pub(super) fn keep(&self, stream: &mut dyn Stream) {
        let mut piece = [0; 4096];
        let mut closed = false;
        let place = {
            let mut bytes = self.bytes.lock().expect("no holder panics");
            bytes.push(Vec::new());
            bytes.len() - 1
        };
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            let ends = {
                let mut bytes = self.bytes.lock().expect("no holder panics");
                bytes[place].extend_from_slice(&piece[..length]);
                has_close(&bytes[place])
            };
            if ends && !closed {
                closed = true;
                stream.write_all(&[0x88, 0]).and_then(|()| stream.flush()).ok();
            }
        }
        self.tell("gone".to_owned());
    }
}

impl Server {
    /// Over TLS, where it prefers HTTP/2 and speaks none: `serve` gets the connection behind a request's head.
    pub(super) fn start(serve: impl Fn(&mut dyn Stream, &str, &Seen) + Send + Sync + 'static) -> Self {
        let key = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate is made");
        let mut certificate = NamedTempFile::new().expect("a scratch file");
        certificate.write_all(key.cert.pem().as_bytes()).expect("a scratch file takes text");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("the certificate is sound");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let wrap = move |stream| -> Box<dyn Stream> {
            let connection = ServerConnection::new(config.clone()).expect("the configuration is sound");
            Box::new(StreamOwned::new(connection, stream))
        };
        Self::serving(Some(certificate), wrap, serve)
    }

    /// The same without TLS.
    pub(crate) fn plain(serve: impl Fn(&mut dyn Stream, &str, &Seen) + Send + Sync + 'static) -> Self {
        Self::serving(None, |stream| Box::new(stream), serve)
    }

    /// Accepts every WebSocket and sends each message back.
    pub(crate) fn echo() -> Self {
        Self::start(echo)
    }

    /// Accepts with these header lines, then sends these bytes and keeps what comes.
    pub(super) fn raw(headers: &'static str, bytes: Vec<u8>) -> Self {
        Self::start(move |stream, head, seen| {
            stream.write_all(accepted(head, headers).as_bytes()).ok();
            stream.write_all(&bytes).and_then(|()| stream.flush()).ok();
            seen.keep(stream);
        })
    }

    fn serving(
        certificate: Option<NamedTempFile>,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
        serve: impl Fn(&mut dyn Stream, &str, &Seen) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let server = Self { address, seen: Arc::default(), certificate, stopped: Arc::default() };
        let (seen, stopped) = (server.seen.clone(), server.stopped.clone());
        let (wrap, serve) = (Arc::new(wrap), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, wrap, serve) = (seen.clone(), wrap.clone(), serve.clone());
                std::thread::spawn(move || {
                    stream.set_nodelay(true).ok();
                    stream.set_read_timeout(Some(Duration::from_secs(20))).ok();
                    let mut stream = wrap(stream);
                    // A connection without a request was only tried.
                    let Some(head) = head(&mut *stream) else { return };
                    seen.heads.lock().expect("no holder panics").push(head.clone());
                    serve(&mut *stream, &head, &seen);
                });
            }
        });
        server
    }

    /// The file with what signs its certificate.
    pub(crate) fn certificate(&self) -> &Path {
        self.certificate.as_ref().expect("this server speaks TLS").path()
    }

    /// Every request's head so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().expect("no holder panics").clone()
    }

    /// Every byte that came after the last of them.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.seen.bytes.lock().expect("no holder panics").last().cloned().unwrap_or_default()
    }

    /// Everything that was noted.
    pub(super) fn told(&self) -> Vec<String> {
        self.seen.told.lock().expect("no holder panics").clone()
    }

    /// Waits until this was noted.
    #[track_caller]
    pub(super) fn tells(&self, what: &str) {
        let told = raw::wait_until(SOON, || self.told().iter().any(|told| told == what).then_some(()));
        assert!(told.is_some(), "{what:?} is not among {:?}", self.told());
    }

    /// Waits until every client is gone; every byte that the last one has sent after its request.
    #[track_caller]
    pub(super) fn kept(&self) -> Vec<u8> {
        let gone = || self.told().iter().filter(|told| *told == "gone").count() == self.heads().len();
        assert!(raw::wait_until(SOON, || gone().then_some(())).is_some(), "a client stays");
        self.bytes()
    }
}

impl Drop for Server {
    #[allow(clippy::disallowed_methods, reason = "it wakes its own listener")]
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

/// The answer that accepts a request, with more header lines.
pub(super) fn accepted(head: &str, headers: &str) -> String {
    let key = header(head, "sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{headers}\r\n"
    )
}

/// A header of a request.
pub(super) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Whether a Close frame stands where a frame begins.
fn has_close(mut bytes: &[u8]) -> bool {
    while let [first, length, rest @ ..] = bytes {
        if *first == 0x88 {
            return true;
        }
        let (length, more) = match (length & 0x7f, rest) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [_, _, _, _, a, b, c, d, ..]) => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, 8),
            (126 | 127, _) => return false,
            (short, _) => (usize::from(short), 0),
        };
        bytes = rest.get(more + 4 + length..).unwrap_or_default();
    }
    false
}

/// Sends each message back, chooses the sub-protocol `v2.chat`, and notes what came.
pub(crate) fn echo(stream: &mut dyn Stream, head: &str, seen: &Seen) {
    let chosen = header(head, "sec-websocket-protocol").is_some_and(|offered| offered.contains("v2.chat"));
    let chosen = if chosen { "Sec-WebSocket-Protocol: v2.chat\r\n" } else { "" };
    let answer = accepted(head, &format!("X-Kept: 1\r\n{chosen}"));
    if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
        return;
    }
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                seen.tell(format!("message of {}", message.len()));
                if socket.send(message).is_err() {
                    break;
                }
            }
            Ok(Message::Close(Some(close))) => {
                seen.tell(format!("close {} {}", u16::from(close.code), close.reason));
            }
            Ok(Message::Close(None)) => seen.tell("close".to_owned()),
            Ok(Message::Ping(payload)) => seen.tell(format!("ping {}", String::from_utf8_lossy(&payload))),
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break,
            Err(_) => {
                seen.tell("lost".to_owned());
                break;
            }
        }
    }
}

fn head(stream: &mut dyn Stream) -> Option<String> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        seen.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&seen).into_owned())
}
