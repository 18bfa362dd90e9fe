//! Floods: work that costs the sender little and a careless proxy much. Each is ended or bounded; somebody else is
//! answered promptly right behind it, the memory stays small, and the processor comes to rest.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::HOST;
use crate::raw::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Field, Frames, HEADERS, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::raw::{self, Stage, Upstream};

const ROUTES: &str = "routes:\n  - host: files.example.com\n";

/// What the proxy takes at rest, in MiB; the program itself is 30 of it.
const REST: u64 = 39;
/// What it may take at its peak.
const PEAK: u64 = REST + 40;
/// The same where a bomb is defused: what comes out of one call of a decoder is in memory.
const PEAK_OF_BOMBS: u64 = 128;
/// The same beside what bodies of one run that are held back may take, 128 MiB, and half of it for the looks at them.
const PEAK_OF_BODIES: u64 = PEAK + 128 + 64;
/// How soon another client is answered during a flood.
const PROMPTLY: Duration = Duration::from_secs(5);

const GET: [Field<'static>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"files.example.com"),
    (b":path", b"/hello.txt"),
];

/// The proxy is none the worse for what happened.
#[track_caller]
fn unharmed(stage: &Stage, most: u64) {
    let since = Instant::now();
    stage.agent().get(HOST, "/hello.txt").passed();
    assert!(since.elapsed() < PROMPTLY, "others waited for {:?}", since.elapsed());
    let peak = stage.vitals().peak();
    assert!(peak < most, "{peak} MiB at the peak");
}

#[track_caller]
fn at_rest(stage: &Stage) {
    assert!(stage.vitals().is_idle_within(Duration::from_secs(20)), "the processor does not come to rest");
}

/// Sends bytes until the proxy has had enough; whether it took all of them.
fn pour(connection: &mut Frames, bytes: &[u8], times: usize) -> bool {
    (0..times).all(|_| connection.send_all(bytes).is_ok())
}

#[test]
fn rapid_resets_end_the_connection() {
    let stage = raw::routes(ROUTES).start();
    let mut connection = Frames::open(&stage.agent(), HOST, &[]);
    let block = frames::block(&GET);
    let mut bytes = Vec::new();
    for stream in (1..40_000).step_by(2) {
        bytes.extend(frames::frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        bytes.extend(frames::frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    for piece in bytes.chunks(64 * 1024) {
        if connection.send_all(piece).is_err() {
            break;
        }
    }
    let end = connection.end(1);
    assert!(matches!(end, End::GoAway(ENHANCE_YOUR_CALM) | End::Closed), "{end:?}");
    unharmed(&stage, PEAK);
    assert!(stage.arrived() < 2_000, "{} of 20,000 requests went out", stage.arrived());
    at_rest(&stage);
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let stage = raw::routes(ROUTES).start();
    for fields in [&b"\x00\x01x\x01y"[..], b""] {
        let mut connection = Frames::open(&stage.agent(), HOST, &[]);
        connection.send(HEADERS, 0, 1, &frames::block(&GET)).expect("the proxy reads");
        let block = fields.repeat(3_000);
        let more = frames::frame(CONTINUATION, 0, 1, &block).repeat(10);
        let all = pour(&mut connection, &more, 2_000);
        let end = connection.end(1);
        assert!(!matches!(end, End::Status(200)), "{end:?}");
        assert!(!all || end != End::Closed, "the whole flood was taken without a word");
    }
    unharmed(&stage, PEAK);
    assert!(stage.arrived() <= 1, "a request went out");
    at_rest(&stage);
}

#[test]
fn floods_of_frames_that_ask_for_an_answer_are_bounded() {
    let stage = raw::routes(ROUTES).start();
    for frame in [
        frames::frame(PING, 0, 0, &[7; 8]),
        frames::frame(SETTINGS, 0, 0, &frames::setting(4, 65_535)),
        frames::frame(SETTINGS, 0, 0, &[]),
    ] {
        let mut connection = Frames::open(&stage.agent(), HOST, &[]);
        connection.patience(Duration::from_millis(500));
        // Nothing is read, so the answers pile up on the way; what does not fit any more must not pile up in memory.
        pour(&mut connection, &frame.repeat(1_000), 1_000);
        unharmed(&stage, PEAK);
    }
    at_rest(&stage);
}

#[test]
fn floods_of_frames_that_mean_nothing_are_bounded() {
    let stage = raw::routes(ROUTES).start();
    let post: [Field<'_>; 4] = [(b":method", b"POST"), GET[1], GET[2], GET[3]];
    for frame in [
        frames::frame(DATA, 0, 1, &[]),
        // Padding and nothing else.
        frames::frame(DATA, 8, 1, &[[255].as_slice(), &[0; 255]].concat()),
        frames::frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()),
        // Priorities, which mean nothing any more, and a type that nobody knows.
        frames::frame(2, 0, 1, &[0; 5]),
        frames::frame(0xfe, 0, 1, &[0; 16]),
    ] {
        let mut connection = Frames::open(&stage.agent(), HOST, &[]);
        connection.patience(Duration::from_millis(500));
        connection.send(HEADERS, END_HEADERS, 1, &frames::block(&post)).expect("the proxy reads");
        pour(&mut connection, &frame.repeat(1_000), 60);
        unharmed(&stage, PEAK);
    }
    at_rest(&stage);
}

#[test]
fn heads_over_the_limit_are_refused() {
    let stage = raw::routes(ROUTES).start();
    let long = vec![b'y'; 30_000];
    let one: Vec<Field<'_>> = vec![(b"x-a", &long); 8];
    let many: Vec<Field<'_>> = vec![(b"x-a", b"1"); 10_000];
    for fields in [one, many] {
        let mut connection = Frames::open(&stage.agent(), HOST, &[]);
        let block = frames::block(&[&GET, &fields[..]].concat());
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { END_HEADERS | END_STREAM } else { END_STREAM };
            let flags = if kind == HEADERS { flags } else { flags & END_HEADERS };
            if connection.send(kind, flags, 1, piece).is_err() {
                break;
            }
            kind = CONTINUATION;
        }
        let end = connection.end(1);
        assert!(!matches!(end, End::Status(..400 | 500..)), "{end:?}");
    }
    // The same over HTTP/1.1.
    for lines in [format!("X-A: {}\r\n", "y".repeat(30_000)).repeat(8), "X-A: 1\r\n".repeat(10_000)] {
        let mut tls = stage.agent().tls(HOST);
        let request = format!("GET /hello.txt HTTP/1.1\r\nHost: files.example.com\r\n{lines}\r\n");
        tls.write_all(request.as_bytes()).ok();
        let back = raw::agent::until_closed(&mut tls).unwrap_or_default();
        assert!(back.is_empty() || back.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&back));
    }
    assert_eq!(stage.arrived(), 0);
    unharmed(&stage, PEAK);
}

#[test]
fn clients_that_never_read_hold_little() {
    let stage = raw::routes(ROUTES).start();
    let path: Field<'_> = (b":path", b"/bytes/4000000");
    let fields = [GET[0], GET[1], GET[2], path];
    // No window at all, and one that is never opened again.
    let stalled: Vec<Frames> = [0, 65_535]
        .into_iter()
        .flat_map(|window| [window; 2])
        .map(|window| {
            let mut connection = Frames::open(&stage.agent(), HOST, &[(4, window)]);
            for stream in (1..=31).step_by(2) {
                connection.ask(stream, &fields).expect("the proxy reads");
            }
            connection
        })
        .collect();
    let journal = stage.world.simulator.journal();
    assert!(
        journal.wait_until(Duration::from_secs(20), |entries| entries.len() >= 64),
        "{}",
        stage.arrived()
    );
    // All has come that will come.
    at_rest(&stage);
    unharmed(&stage, PEAK);
    drop(stalled);
    at_rest(&stage);
}

/// What was looked at waits for an upstream that does not read: it is counted until it has left, and what there is no room
/// for is not held.
#[test]
fn bodies_that_do_not_get_away_hold_no_more_than_a_run_may() {
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = deaf.local_addr().expect("it is bound");
    let stage =
        raw::routes("routes:\n  - host: files.example.com\n  - {host: deaf.example.com, scheme: http}\n")
            .connect_to("deaf.example.com:80", address)
            .start();
    let agent = stage.agent();
    let body = b"words of no meaning, line after line\n".repeat((12 << 20) / 37);
    let headers = format!("content-length: {}\r\n", body.len());
    let head = agent.absolute("POST", "http://deaf.example.com/", &headers);
    let mut held = Vec::new();
    for _ in 0..24 {
        let mut socket = agent.socket();
        socket.set_write_timeout(Some(Duration::from_millis(500))).expect("it has a limit");
        let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body));
        held.push(socket);
    }
    at_rest(&stage);
    unharmed(&stage, PEAK_OF_BODIES);
    drop(held);
    at_rest(&stage);
}

/// Many spaces in each coding.
fn bombs() -> [(&'static str, Vec<u8>); 3] {
    let clear = vec![b' '; 200 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&clear).expect("a vector takes bytes");
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    brotli.write_all(&clear).expect("a vector takes bytes");
    [
        ("gzip", gzip.finish().expect("a vector takes bytes")),
        ("br", brotli.into_inner()),
        ("zstd", zstd::encode_all(&clear[..], 1).expect("a vector takes bytes")),
    ]
}

#[test]
fn bombs_in_requests_and_responses_stay_small() {
    let bombs = bombs();
    let answers = bombs.clone();
    let upstream = Upstream::start(move |request| {
        let wanted = answers.iter().find(|(coding, _)| request.contains(&format!("/v1/{coding} ")));
        let (coding, body) = wanted.expect("a coding is asked for");
        raw::upstream::ok(&format!("content-type: application/json\r\ncontent-encoding: {coding}\r\n"), body)
    });
    let routes = "routes:
  - {host: files.example.com}
  - {host: metered.example.com, scheme: http, meter: {provider: claude, format: anthropic}, unmetered: allow}
  - {host: keyed.example.com, scheme: http, auth_scheme: Bearer, token_env: THE_KEY}
";
    let stage = raw::routes(routes)
        .env("THE_KEY", "tests-only-9fK2mP7qR4tW")
        .connect_to("metered.example.com:80", upstream.address)
        .connect_to("keyed.example.com:80", upstream.address)
        .start();
    let agent = stage.agent();
    let identity = agent.identity();
    for (coding, bomb) in &bombs {
        // A body that is read whole is decoded up to the limit of bodies.
        let head = format!(
            "POST http://metered.example.com/v1/messages HTTP/1.1\r\nHost: metered.example.com\r\n{identity}\
             Content-Encoding: {coding}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bomb.len()
        );
        let mut socket = agent.socket();
        socket.write_all(&[head.as_bytes(), bomb].concat()).expect("the proxy reads");
        let answer = raw::answer::read_answer(&mut socket, false).expect("it is answered");
        answer.refused(413, "body_too_large");
        // What is searched for the credential ends where it gets too large.
        let mut socket = agent.socket();
        let head = format!(
            "GET http://keyed.example.com/v1/{coding} HTTP/1.1\r\nHost: keyed.example.com\r\n{identity}\
             Connection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("the proxy reads");
        let back = raw::agent::until_closed(&mut socket).expect("the answer ends");
        assert!(back.len() < 20 << 20, "{coding}: {} bytes came", back.len());
        unharmed(&stage, PEAK_OF_BOMBS);
    }
    assert_eq!(upstream.seen().len(), bombs.len(), "a bomb in a request went on");
    at_rest(&stage);
}
