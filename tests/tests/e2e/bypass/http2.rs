//! HTTP/2 that says what HTTP/2 must not say (RFC 9113 section 8), frame by frame: a library would not send it, and a
//! proxy that lets it through hands the next one a request nobody judged.

use super::HOST;
use crate::raw::frames::{self, END_HEADERS, END_STREAM, End, Field, Frames};
use crate::raw::{self, Stage};

const ROUTES: &str = "routes:
  - {host: files.example.com, matches: [{paths: [{type: exact, value: /echo}]}]}
  - host: other.example.com
";

const METHOD: Field<'_> = (b":method", b"GET");
const SCHEME: Field<'_> = (b":scheme", b"https");
const AUTHORITY: Field<'_> = (b":authority", b"files.example.com");
const PATH: Field<'_> = (b":path", b"/echo");

fn stage() -> Stage {
    raw::routes(ROUTES).start()
}

/// How a request with these fields ends, on a connection of its own.
#[track_caller]
fn ends(stage: &Stage, fields: &[Field<'_>]) -> End {
    let mut connection = Frames::open(&stage.agent(), HOST, &[]);
    connection.ask(1, fields).expect("the proxy reads");
    connection.end(1)
}

fn shown(fields: &[Field<'_>]) -> String {
    let line = |(name, value): &Field<'_>| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
    fields.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Each of these is refused, as malformed or by the proxy itself, and nothing arrives.
#[track_caller]
fn refused(cases: &[&[Field<'_>]]) {
    let stage = stage();
    for fields in cases {
        let end = ends(&stage, fields);
        let shown = shown(fields);
        assert!(!matches!(end, End::Status(..400 | 500..) | End::Closed), "{shown} ends with {end:?}");
        assert_eq!(stage.arrived(), 0, "{shown} arrived");
    }
}

#[test]
fn a_request_that_is_well_formed_is_answered() {
    let stage = stage();
    assert_eq!(ends(&stage, &[METHOD, SCHEME, AUTHORITY, PATH]), End::Status(200));
    assert_eq!(ends(&stage, &[METHOD, SCHEME, PATH, (b"host", b"files.example.com")]), End::Status(200));
    assert_eq!(stage.arrived(), 2);
}

#[test]
fn headers_of_a_connection_are_refused() {
    let lines: [Field<'_>; 8] = [
        (b"connection", b"close"),
        (b"connection", b"x-mine"),
        (b"keep-alive", b"timeout=5"),
        (b"proxy-connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
    ];
    let cases = lines.map(|line| [METHOD, SCHEME, AUTHORITY, PATH, line]);
    refused(&cases.each_ref().map(|case| &case[..]));
}

#[test]
fn names_and_values_that_end_a_line_elsewhere_are_refused() {
    let lines: [Field<'_>; 13] = [
        (b"X-Upper", b"1"),
        (b"x a", b"1"),
        (b"x:a", b"1"),
        (b"x\r\ny", b"1"),
        (b"x\0", b"1"),
        (b"", b"1"),
        (b"x-\xe4", b"1"),
        (b"x-a", b"1\r\nGET /admin HTTP/1.1\r\nHost: files.example.com\r\n\r\n"),
        (b"x-a", b"1\rx: 2"),
        (b"x-a", b"1\nx: 2"),
        (b"x-a", b"1\0"),
        (b":made-up", b"1"),
        (b":status", b"200"),
    ];
    let cases = lines.map(|line| [METHOD, SCHEME, AUTHORITY, PATH, line]);
    refused(&cases.each_ref().map(|case| &case[..]));
}

#[test]
fn pseudo_headers_stand_once_and_in_front() {
    let other = (&b":authority"[..], &b"other.example.com"[..]);
    let late: Field<'_> = (b"x-a", b"1");
    refused(&[
        &[METHOD, SCHEME, AUTHORITY, PATH, PATH],
        &[METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/admin")],
        &[METHOD, SCHEME, AUTHORITY, other, PATH],
        &[METHOD, SCHEME, other, AUTHORITY, PATH],
        &[METHOD, (b":method", b"POST"), SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY, late, PATH],
        &[METHOD, SCHEME, PATH, late, AUTHORITY],
        &[SCHEME, AUTHORITY, PATH],
        &[METHOD, AUTHORITY, PATH],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"")],
    ]);
}

#[test]
fn every_name_of_the_host_is_the_tunnels() {
    let authority = |value: &'static [u8]| (&b":authority"[..], value);
    let host = |value: &'static [u8]| (&b"host"[..], value);
    refused(&[
        &[METHOD, SCHEME, PATH],
        &[METHOD, SCHEME, authority(b""), PATH],
        &[METHOD, SCHEME, authority(b"other.example.com"), PATH],
        &[METHOD, SCHEME, authority(b"other.example.com"), PATH, host(b"files.example.com")],
        &[METHOD, SCHEME, AUTHORITY, PATH, host(b"other.example.com")],
        &[METHOD, SCHEME, AUTHORITY, PATH, host(b"files.example.com"), host(b"other.example.com")],
        &[METHOD, SCHEME, PATH, host(b"other.example.com")],
        &[METHOD, SCHEME, authority(b"files.example.com@other.example.com"), PATH],
        &[METHOD, SCHEME, authority(b"other.example.com@files.example.com"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com:8443"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com:"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com:+443"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com:443:443"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com,other.example.com"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com/"), PATH],
        &[METHOD, SCHEME, authority(b"files.example.com#"), PATH],
        &[METHOD, SCHEME, authority(b"files%2eexample.com"), PATH],
        &[METHOD, SCHEME, authority("ⓕiles.example.com".as_bytes()), PATH],
        &[METHOD, (b":scheme", b"http"), AUTHORITY, PATH],
        &[METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH],
    ]);
}

#[test]
fn every_path_is_read_as_on_http_1() {
    let path = |value: &'static [u8]| (&b":path"[..], value);
    let cases = [
        &b"/admin"[..],
        b"/echo/../admin",
        b"/echo/%2e%2e/admin",
        b"/admin?/echo",
        b"/admin#/echo",
        b"/echo/",
        b"/echo;/admin",
        b"/echo%3b",
        b"/echo%2fadmin",
        b"/echo%5cadmin",
        b"/echo\\admin",
        b"/echo%00",
        b"/echo\0",
        b"/echo%09",
        b"/echo\t",
        b"/echo ",
        b"/echo HTTP/1.1\r\nHost: other.example.com\r\n\r\n",
        b"/%c0%ae%c0%ae/echo",
        b"//echo",
        b"https://files.example.com/echo",
        b"https://other.example.com/echo",
        b"other.example.com/echo",
        b"echo",
        b"*",
        b"/\xc3\xa9cho",
        b"/\xff",
    ]
    .map(|value| [METHOD, SCHEME, AUTHORITY, path(value)]);
    refused(&cases.each_ref().map(|case| &case[..]));
}

#[test]
fn connect_leads_nowhere_in_any_form() {
    let connect: Field<'_> = (b":method", b"CONNECT");
    let target = |value: &'static [u8]| (&b":authority"[..], value);
    refused(&[
        &[connect, target(b"other.example.com:443")],
        &[connect, target(b"files.example.com:443")],
        &[connect, SCHEME, AUTHORITY, PATH],
        // RFC 8441, which is not offered.
        &[connect, (b":protocol", b"websocket"), SCHEME, AUTHORITY, PATH],
        &[connect, (b":protocol", b"connect-udp"), SCHEME, AUTHORITY, PATH],
    ]);
}

#[test]
fn a_body_is_as_long_as_its_length_says() {
    let stage = stage();
    let post: Field<'_> = (b":method", b"POST");
    let length = |value: &'static [u8]| (&b"content-length"[..], value);
    for (lengths, body) in [
        (&[length(b"5")][..], &b"hello and more"[..]),
        (&[length(b"50")], b"hello"),
        (&[length(b"5"), length(b"6")], b"hello"),
        (&[length(b"+5")], b"hello"),
        (&[length(b"5, 5")], b"hello"),
        (&[length(b"99999999999999999999")], b"hello"),
        (&[length(b"0")], b"GET /admin HTTP/1.1\r\nHost: files.example.com\r\n\r\n"),
    ] {
        let mut connection = Frames::open(&stage.agent(), HOST, &[]);
        let fields = [&[post, SCHEME, AUTHORITY, PATH], lengths].concat();
        connection.send(frames::HEADERS, END_HEADERS, 1, &frames::block(&fields)).expect("the proxy reads");
        connection.send(frames::DATA, END_STREAM, 1, body).expect("the proxy reads");
        let end = connection.end(1);
        assert!(!matches!(end, End::Status(..400) | End::Closed), "{} ends with {end:?}", shown(lengths));
    }
    let entries = stage.world.simulator.journal().entries();
    // A head may have left before its body turned out wrong; it then ends in a reset, never in a whole request.
    assert!(entries.iter().all(|entry| entry.path == "/echo" && entry.status != 200), "{entries:?}");
}

#[test]
fn a_second_host_on_one_connection_is_421_and_the_first_goes_on() {
    let stage = stage();
    let mut connection = Frames::open(&stage.agent(), HOST, &[]);
    let other = (&b":authority"[..], &b"other.example.com"[..]);
    for (stream, authority, status) in [(1, AUTHORITY, 200), (3, other, 421), (5, AUTHORITY, 200)] {
        connection.ask(stream, &[METHOD, SCHEME, authority, PATH]).expect("the proxy reads");
        assert_eq!(connection.end(stream), End::Status(status), "stream {stream}");
    }
    let hosts: Vec<_> = stage.world.simulator.journal().entries().into_iter().map(|seen| seen.host).collect();
    assert_eq!(hosts, [HOST; 2]);
}

#[test]
fn what_is_no_http_2_behind_its_alpn_reaches_nobody() {
    use std::io::Write as _;
    let stage = stage();
    let agent = stage.agent();
    for bytes in ["GET /echo HTTP/1.1\r\nHost: files.example.com\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let mut tls =
            agent.tls_as(agent.tls_config(&[b"h2"]), "files.example.com:443", HOST).expect("TLS is taken");
        tls.write_all(bytes.as_bytes()).expect("the proxy reads");
        let back = raw::agent::until_closed(&mut tls).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&back).contains("HTTP/1.1 200"), "it was answered");
    }
    assert_eq!(stage.arrived(), 0);
}
