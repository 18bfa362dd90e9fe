//! The first bytes in a tunnel: a ClientHello however it is split, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, ClientConnection, StreamOwned};

use super::{HOST, ROUTES};
use crate::raw::agent::{client, until_closed};
use crate::raw::{self, Agent, Stage};

const CONNECT: &str = "files.example.com:443";
const GET: &str = "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n";

/// A ClientHello as bytes, and the connection that goes on from it.
fn hello(agent: &Agent) -> (Vec<u8>, ClientConnection) {
    let mut tls = client(agent.tls_config(&[]), HOST);
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).expect("a vector takes bytes");
    (bytes, tls)
}

/// Goes on from a hello that was sent, and asks for a file.
#[track_caller]
fn answered(socket: TcpStream, tls: ClientConnection) {
    let answer = raw::ask(&mut StreamOwned::new(tls, socket), GET).passed();
    assert_eq!(answer.text(), "hello from the simulator\n");
}

/// Sends the hello in pieces.
#[track_caller]
fn in_pieces(agent: &Agent, cuts: &[usize], pause: Duration) {
    let (bytes, tls) = hello(agent);
    let mut socket = agent.tunnel(CONNECT);
    let mut from = 0;
    for &cut in cuts {
        socket.write_all(&bytes[from..cut]).expect("the proxy reads");
        std::thread::sleep(pause);
        from = cut;
    }
    socket.write_all(&bytes[from..]).expect("the proxy reads");
    answered(socket, tls);
}

/// A tunnel in which these bytes come first; what comes back until it is closed.
#[track_caller]
fn first_bytes(stage: &Stage, bytes: &[u8]) -> Vec<u8> {
    let mut socket = stage.agent().tunnel(CONNECT);
    socket.write_all(bytes).expect("the proxy reads");
    until_closed(&mut socket).expect("the tunnel is not closed")
}

#[test]
fn a_hello_whose_first_byte_comes_alone_is_read_whole() {
    let stage = raw::routes(ROUTES).start();
    in_pieces(&stage.agent(), &[1], Duration::from_millis(150));
}

#[test]
fn a_hello_in_many_pieces_is_read_whole() {
    let stage = raw::routes(ROUTES).start();
    in_pieces(&stage.agent(), &[1, 2, 5, 6, 9, 11, 43, 44, 76, 100, 150], Duration::from_millis(15));
}

#[test]
fn a_hello_cut_at_any_offset_is_read_whole() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for cut in 1..=100 {
        in_pieces(&agent, &[cut], Duration::from_millis(3));
    }
}

#[test]
fn a_hello_in_two_records_is_read_whole() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for cut in [1, 4, 60] {
        let (bytes, tls) = hello(&agent);
        let (head, payload) = bytes.split_at(5);
        let record = |part: &[u8]| {
            let length = u16::try_from(part.len()).expect("a record is short").to_be_bytes();
            [&head[..3], &length, part].concat()
        };
        let mut socket = agent.tunnel(CONNECT);
        socket.write_all(&record(&payload[..cut])).expect("the proxy reads");
        std::thread::sleep(Duration::from_millis(10));
        socket.write_all(&record(&payload[cut..])).expect("the proxy reads");
        answered(socket, tls);
    }
}

#[test]
fn a_name_that_differs_hides_in_no_fragment() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut tls = client(agent.tls_config(&[]), "other.example.com");
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).expect("a vector takes bytes");
    let mut socket = agent.tunnel(CONNECT);
    for byte in bytes {
        socket.write_all(&[byte]).expect("the proxy reads");
    }
    let error = tls.complete_io(&mut socket).and_then(|_| tls.complete_io(&mut socket));
    assert!(error.is_err(), "the handshake came about");
    assert_eq!(stage.event("tunnel_failed")["code"], "authority_mismatch");
}

#[test]
fn plain_http_in_a_tunnel_reaches_nobody() {
    let stage = raw::routes(ROUTES).start();
    let post = "POST /leak HTTP/1.1\r\nHost: files.example.com\r\ncontent-length: 6\r\n\r\nSECRET";
    for bytes in [post, "GET /leak HTTP/1.1\r\nHost: files.example.com\r\n\r\n"] {
        let back = first_bytes(&stage, bytes.as_bytes());
        assert!(!back.starts_with(b"HTTP/1.1 200"), "it was answered: {}", String::from_utf8_lossy(&back));
    }
    assert_eq!(stage.arrived(), 0);
    assert_eq!(stage.event("tunnel_failed")["code"], "protocol_not_allowed");
    assert!(!stage.log().contains("SECRET"));
}

#[test]
fn ssh_in_a_tunnel_reaches_nobody() {
    let stage = raw::routes(ROUTES).start();
    let back = first_bytes(&stage, b"SSH-2.0-OpenSSH_9.9\r\n");
    assert!(!back.starts_with(b"SSH"), "somebody answered");
    assert_eq!(stage.arrived(), 0);
    assert_eq!(stage.event("tunnel_failed")["code"], "protocol_not_allowed");
}

#[test]
fn bytes_that_only_look_like_tls_reach_nobody() {
    let stage = raw::routes(ROUTES).start();
    first_bytes(&stage, b"\x16\x03\x01\x00\x05leak!and more than that");
    first_bytes(&stage, b"\x16\x03\x01\xff\xff");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn bytes_sent_behind_connect_are_no_shortcut() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    let connect = format!("CONNECT {CONNECT} HTTP/1.1\r\nHost: {CONNECT}\r\n{}\r\n", agent.identity());
    socket.write_all(format!("{connect}{GET}").as_bytes()).expect("the proxy reads");
    let back = until_closed(&mut socket).expect("the tunnel is not closed");
    assert!(!String::from_utf8_lossy(&back).contains("hello from"), "it was forwarded");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_silent_tunnel_is_closed_at_the_deadline() {
    let stage = raw::routes(ROUTES).settings("proxy: {tls_timeout: 1s}\n").start();
    let agent = stage.agent();
    let (bytes, _) = hello(&agent);
    // Silence from the start, and after half a hello.
    for sent in [0, 40] {
        let mut socket = agent.tunnel(CONNECT);
        socket.write_all(&bytes[..sent]).expect("the proxy reads");
        let since = Instant::now();
        until_closed(&mut socket).expect("the tunnel is not closed");
        let took = since.elapsed();
        assert!((700..4000).contains(&took.as_millis()), "closed after {took:?}");
    }
    let reason = stage.event("tunnel_failed")["reason"].to_string();
    assert!(reason.contains("1s"), "{reason}");
}

#[test]
fn a_slow_hello_is_closed_at_the_deadline() {
    let stage = raw::routes(ROUTES).settings("proxy: {tls_timeout: 1s}\n").start();
    let agent = stage.agent();
    let (bytes, _) = hello(&agent);
    let mut socket = agent.tunnel(CONNECT);
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket takes options");
    let since = Instant::now();
    let closed = bytes.iter().take(20).any(|byte| {
        let mut back = [0];
        socket.write_all(&[*byte]).is_err() || matches!(socket.read(&mut back), Ok(0))
    });
    assert!(closed && since.elapsed() < Duration::from_secs(3), "open after {:?}", since.elapsed());
}

#[test]
fn a_name_that_is_not_the_tunnels_is_an_alert_and_an_event() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n  - host: other.example.com\n").start();
    let agent = stage.agent();
    let error = agent.tls_as(agent.tls_config(&[]), CONNECT, "other.example.com").err();
    let alert = error.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    assert!(matches!(alert, Some(rustls::Error::AlertReceived(_))), "no alert: {error:?}");
    let event = stage.event("tunnel_failed");
    assert_eq!([&event["code"], &event["host"]], ["authority_mismatch", HOST]);
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_missing_name_is_an_alert_and_an_event() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut config = agent.tls_config(&[]);
    config.enable_sni = false;
    let error = agent.tls_as(config, CONNECT, HOST).err();
    let alert = error.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
    assert!(matches!(alert, Some(rustls::Error::AlertReceived(_))), "no alert: {error:?}");
    assert_ne!(alert, Some(&rustls::Error::AlertReceived(AlertDescription::CloseNotify)));
    assert_eq!(stage.event("tunnel_failed")["code"], "authority_mismatch");
}

#[test]
fn a_client_of_tls_12_alone_is_served() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let config = agent.tls_versions(&[], &[&rustls::version::TLS12]);
    let mut tls = agent.tls_as(config, CONNECT, HOST).expect("TLS 1.2 is taken");
    raw::ask(&mut tls, GET).passed();
}

#[test]
fn a_client_without_alpn_is_served_http_1() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let mut tls = agent.tls_as(agent.tls_config(&[]), CONNECT, HOST).expect("TLS is taken");
    assert_eq!(tls.conn.alpn_protocol(), None);
    raw::ask(&mut tls, GET).passed();
}

#[test]
fn http_1_and_2_clients_reach_an_http_2_upstream() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    let told = agent.get(HOST, "/echo").passed().json();
    assert_eq!(told["version"], "HTTP/2.0");
    let request = raw::request("POST", "https://files.example.com/echo", "{}");
    let told = agent.http2_one(HOST, request).passed().json();
    assert_eq!([&told["version"], &told["body"]], ["HTTP/2.0", "{}"]);
}
