//! WebSockets through Hudson: opened by the upstream's own answer, relayed frame by frame, ended for both sides.

// A frame that does not come ends its test, and says what came instead.
#![allow(clippy::panic)]

mod dlp;
mod ending;
mod metered;
mod opening;
mod passing;
pub(crate) mod server;

use std::io::{self, Read, Write};
use std::time::Duration;

use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use crate::raw::agent::Tls;
use crate::raw::{self, Agent, Answer, Setting, Stage};
use server::Server;

const HOST: &str = "ws.example.com";
/// The masking key of frames that are written by hand.
pub(crate) const KEY: [u8; 4] = [0xa1, 0x02, 0xff, 0x3c];
/// What has to happen soon.
const SOON: Duration = Duration::from_secs(5);

/// A server behind Hudson, and an agent that may reach it.
struct Scene {
    server: Server,
    stage: Stage,
    agent: Agent,
}

impl Scene {
    fn new(server: Server) -> Self {
        Self::with(server, "", |setting| setting)
    }

    /// With more lines of the route, and more settings.
    fn with(server: Server, more: &str, set: impl FnOnce(Setting) -> Setting) -> Self {
        let setting = raw::routes(&format!("log: 2\nroutes:\n{}", route(&server, more)));
        let stage = set(setting).connect_to(&format!("{HOST}:443"), server.address).start();
        let agent = stage.agent();
        Self { server, stage, agent }
    }

    /// Asks for a WebSocket in a tunnel of its own; the answer, and what is open then.
    fn ask(&self, path: &str, headers: &str) -> (Answer, Tls) {
        let mut tls = self.agent.tls(HOST);
        let answer = raw::ask(&mut tls, &offer(path, HOST, headers));
        (answer, tls)
    }

    /// An open WebSocket as bytes.
    #[track_caller]
    fn open(&self) -> Tls {
        let (answer, tls) = self.ask("/chat", "");
        assert_eq!(answer.status, 101, "{answer}");
        tls
    }

    /// An open WebSocket.
    #[track_caller]
    fn socket(&self) -> WebSocket<Tls> {
        WebSocket::from_raw_socket(self.open(), Role::Client, None)
    }
}

/// The route to a server.
fn route(server: &Server, more: &str) -> String {
    let ca = server.certificate().display().to_string();
    format!("  - host: {HOST}\n    upstream: {{ca_file: {ca}}}\n{more}")
}

/// An opening handshake by hand, with the key of the RFC's example.
pub(crate) fn offer(target: &str, host: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A frame by hand: its first byte, its key, its payload.
pub(crate) fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(masked | length as u8),
        length @ 126..=65_535 => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(place, byte)| byte ^ key[place % 4]));
    frame
}

/// Reads the next frame of a server: its first byte and its payload.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    assert!(head[1] & 0x80 == 0 && head[1] < 127, "a frame that no server here sends: {head:x?}");
    let mut length = usize::from(head[1]);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long)?;
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((head[0], payload))
}

/// Ends the test unless a Close frame with this code comes next, and then the end. Answers it, as a client does.
#[track_caller]
fn closes(stream: &mut (impl Read + Write), code: u16) -> String {
    let (first, payload) = read_frame(stream).unwrap_or_else(|error| panic!("no Close frame: {error}"));
    let (told, reason) = payload.split_at(2.min(payload.len()));
    assert_eq!((first, told), (0x88, &code.to_be_bytes()[..]), "{:?}", String::from_utf8_lossy(&payload));
    stream.write_all(&frame(0x88, Some(KEY), told)).ok();
    assert_eq!(rest(stream), b"", "something comes after the Close frame");
    String::from_utf8_lossy(reason).into_owned()
}

/// Everything until the other side is gone.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        // Without its last words in TLS, an end is as abnormal as it was meant.
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) =>
        {
            panic!("the connection stays open: {error}")
        }
        _ => all,
    }
}
