//! Every way to write a ClientHello's server name, and hellos that hide a second one.

use std::io::{Read as _, Write as _};

use super::{HOST, ROUTES};
use crate::raw::hello::{self, Hello};
use crate::raw::{self, Agent, Stage};

const CONNECT: &str = "files.example.com:443";
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;

/// The type of the first record that comes back to these first bytes; nothing when the tunnel is closed at once.
#[track_caller]
fn first_record(agent: &Agent, bytes: &[u8]) -> Option<u8> {
    let mut socket = agent.tunnel(CONNECT);
    socket.write_all(bytes).expect("the proxy reads");
    let mut first = [0];
    socket.read_exact(&mut first).ok().map(|()| first[0])
}

#[track_caller]
fn named(stage: &Stage, value: &[u8]) -> Option<u8> {
    let agent = stage.agent();
    let hello = Hello::of(&agent, HOST).with(hello::SERVER_NAME, Some(value.to_vec()));
    first_record(&agent, &hello.records(16_000))
}

#[test]
fn one_host_may_be_spelled_in_other_letters_and_with_a_dot() {
    let stage = raw::routes(ROUTES).start();
    for name in ["files.example.com", "FILES.Example.COM", "files.example.com."] {
        assert_eq!(named(&stage, &hello::names(&[name.as_bytes()])), Some(HANDSHAKE), "{name}");
    }
}

#[test]
fn a_server_name_that_is_not_the_host_is_an_alert_in_every_spelling() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n  - host: other.example.com\n").start();
    for name in [
        &b"other.example.com"[..],
        b"files.example.com..",
        b".files.example.com",
        b"files.example.com\0",
        b"files.example.com\0.other.example.com",
        b"files.example.com:443",
        b"files.example.com/",
        b"other@files.example.com",
        b"*.example.com",
        b"files.example.co",
        b"127.0.0.1",
        b" files.example.com",
        "files.ex\u{e4}mple.com".as_bytes(),
        // Letters and full stops that Unicode folds to the ASCII ones.
        "ⓕiles.example.com".as_bytes(),
        "files。example。com".as_bytes(),
        b"files.xn--example-.com",
        b"",
    ] {
        let text = String::from_utf8_lossy(name);
        assert_eq!(named(&stage, &hello::names(&[name])), Some(ALERT), "{text}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn two_server_names_are_an_alert() {
    let stage = raw::routes(ROUTES).start();
    let (own, other) = (HOST.as_bytes(), &b"other.example.com"[..]);
    for list in [[own, other], [other, own], [own, own]] {
        assert_eq!(named(&stage, &hello::names(&list)), Some(ALERT), "in one list");
    }
    let agent = stage.agent();
    for second in [other, own] {
        let mut hello = Hello::of(&agent, HOST);
        hello.extensions.push((hello::SERVER_NAME, hello::names(&[second])));
        assert_eq!(first_record(&agent, &hello.records(16_000)), Some(ALERT), "in two extensions");
    }
    assert_eq!(stage.arrived(), 0);
}

/// An encrypted hello as a client sends it that knows no configuration: all of it is noise (RFC 9849 section 6.2),
/// but for a name in clear, which a careless reader might find.
fn encrypted() -> Vec<u8> {
    let (key, inner) = ([7; 32], [b"other.example.com".as_slice(), &[9; 127]].concat());
    let length = |part: &[u8]| u16::try_from(part.len()).expect("it is short").to_be_bytes();
    [&[0, 0, 1, 0, 1, 42][..], &length(&key), &key, &length(&inner), &inner].concat()
}

#[test]
fn an_encrypted_hello_is_judged_by_its_outer_name() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for (name, verdict) in [(HOST, HANDSHAKE), ("other.example.com", ALERT)] {
        let hello = Hello::of(&agent, name).with(hello::ENCRYPTED_CLIENT_HELLO, Some(encrypted()));
        assert_eq!(first_record(&agent, &hello.records(16_000)), Some(verdict), "outer name {name}");
    }
    let hidden = Hello::of(&agent, HOST).with(hello::SERVER_NAME, None);
    let hidden = hidden.with(hello::ENCRYPTED_CLIENT_HELLO, Some(encrypted()));
    assert_eq!(first_record(&agent, &hidden.records(16_000)), Some(ALERT), "no outer name");
    assert!(!stage.log().contains("found other.example.com"), "an inner name was looked for");
}

#[test]
fn extensions_that_mean_nothing_change_nothing() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for value in [Vec::new(), vec![0; 1], hello::names(&[b"other.example.com"]), vec![7; 40_000]] {
        let hello = Hello::of(&agent, HOST).with(hello::GREASE, Some(value));
        assert_eq!(first_record(&agent, &hello.records(16_000)), Some(HANDSHAKE));
    }
}

#[test]
fn a_hello_in_records_of_any_length_is_read_whole() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for length in [1, 2, 3, 4, 5, 37, 100] {
        let hello = Hello::of(&agent, HOST);
        assert_eq!(first_record(&agent, &hello.records(length)), Some(HANDSHAKE), "records of {length}");
        let other = Hello::of(&agent, "other.example.com");
        assert_eq!(first_record(&agent, &other.records(length)), Some(ALERT), "records of {length}");
    }
}

#[test]
fn a_hello_of_64_kib_is_refused() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    // Two extensions that together are as long as the length of a list can say, which the message is then beyond.
    let hello = Hello::of(&agent, HOST).with(hello::GREASE, Some(vec![0; 30_000]));
    let left = 65_535 - hello.message().len();
    let hello = hello.with(GREASE_TOO, Some(vec![0; left]));
    assert!(hello.message().len() > 65_535);
    let verdict = first_record(&agent, &hello.records(16_000));
    assert!(matches!(verdict, None | Some(ALERT)), "{verdict:?}");
    // What only announces itself as long is not waited for.
    let announced = [&[1, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
    let verdict = first_record(&agent, &hello::record(&announced));
    assert!(matches!(verdict, None | Some(ALERT)), "{verdict:?}");
    assert_eq!(stage.arrived(), 0);
}

const GREASE_TOO: u16 = 0x2a2a;

#[test]
fn versions_before_tls_12_are_refused() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for version in [[3, 0], [3, 1], [3, 2]] {
        // As a client of that time says it, and as a later one would.
        let mut old = Hello::of(&agent, HOST).with(hello::SUPPORTED_VERSIONS, None).message();
        old[4..6].copy_from_slice(&version);
        assert_eq!(first_record(&agent, &hello::record(&old)), Some(ALERT), "{version:?}");
        let list = [&[2][..], &version].concat();
        let told = Hello::of(&agent, HOST).with(hello::SUPPORTED_VERSIONS, Some(list));
        assert_eq!(first_record(&agent, &told.records(16_000)), Some(ALERT), "{version:?}");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn protocols_that_are_not_spoken_are_an_alert() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for offered in [&[&b"h3"[..]][..], &[b"unknown"], &[b"h2c"], &[b"spdy/3", b"http/0.9"]] {
        let error = agent.tls_as(agent.tls_config(offered), CONNECT, HOST).err();
        let alert = error.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<rustls::Error>());
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        assert_eq!(alert, Some(&expected), "{offered:?}");
    }
    // One that is spoken among others is taken.
    let mut tls = agent.tls_as(agent.tls_config(&[b"h3", b"http/1.1"]), CONNECT, HOST).expect("TLS is taken");
    raw::ask(&mut tls, "GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n\r\n").passed();
    assert_eq!(stage.arrived(), 1);
}
