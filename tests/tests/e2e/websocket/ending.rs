//! How a WebSocket ends: by its sides, by what must not pass, and on demand.

use std::io::{Read, Write};
use std::net::Shutdown;

use rustix::process::Signal;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use super::server::{self, Server};
use super::{HOST, KEY, SOON, Scene, closes, frame, offer, rest, route};
use crate::raw;

/// Things that are no frames of a client.
const NO_FRAMES: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    // A frame as a server sends it, and one of an extension.
    b"\x81\x05hello",
    b"\xc1\x85\x00\x00\x00\x00hello",
];

#[test]
fn a_close_of_either_side_passes_with_its_code_and_reason() {
    let scene = Scene::new(Server::echo());
    let mut socket = scene.socket();
    let close = CloseFrame { code: CloseCode::Library(4001), reason: "that will do".into() };
    socket.close(Some(close.clone())).expect("it is sent");
    assert_eq!(socket.read().expect("it is answered"), Message::Close(Some(close)));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    scene.server.tells("close 4001 that will do");

    let scene = Scene::new(Server::raw("", frame(0x88, None, b"\x0b\xb8enough")));
    let mut open = scene.open();
    assert_eq!(closes(&mut open, 3000), "enough");
    assert_eq!(scene.server.kept(), frame(0x88, Some(KEY), b"\x0b\xb8"));
}

#[test]
fn a_side_that_is_gone_is_gone_for_the_other() {
    let scene = Scene::new(Server::echo());
    let open = scene.open();
    open.sock.shutdown(Shutdown::Both).expect("a socket can be shut");
    scene.server.tells("lost");

    // What the server said before it went still comes.
    let scene = Scene::new(Server::start(|stream, head, _| {
        let answer = [server::accepted(head, "").as_bytes(), &frame(0x81, None, b"last words")].concat();
        stream.write_all(&answer).and_then(|()| stream.flush()).ok();
    }));
    assert_eq!(rest(&mut scene.open()), frame(0x81, None, b"last words"));
    // Half a frame is not passed on, and is no Close frame.
    let scene = Scene::new(Server::start(|stream, head, _| {
        let answer = [server::accepted(head, "").as_bytes(), b"\x81\x7ehalf"].concat();
        stream.write_all(&answer).and_then(|()| stream.flush()).ok();
    }));
    assert_eq!(rest(&mut scene.open()), b"");
}

#[test]
fn what_is_no_frame_ends_it_and_reaches_no_upstream() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    for bytes in NO_FRAMES {
        let mut open = scene.open();
        open.write_all(&frame(0x81, Some(KEY), b"hello"))
            .and_then(|()| open.write_all(bytes))
            .expect("it is sent");
        closes(&mut open, 1002);
        let came = scene.server.kept();
        assert!(
            came.starts_with(&frame(0x81, Some(KEY), b"hello")),
            "what was allowed did not come: {came:x?}"
        );
        is_a_close(&came[11..], 1002);
    }
    assert_eq!(scene.stage.event("tunnel_failed")["code"], "protocol_not_allowed");
}

#[test]
fn what_is_no_frame_reaches_no_upstream_behind_the_request_either() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    for bytes in NO_FRAMES {
        let mut tls = scene.agent.tls(HOST);
        let packet = [offer("/chat", HOST, "").as_bytes(), bytes].concat();
        tls.write_all(&packet).expect("it is sent");
        let answer = raw::answer::read_answer(&mut tls, true).expect("it is answered");
        assert_eq!(answer.status, 101, "{answer}");
        closes(&mut tls, 1002);
        is_a_close(&scene.server.kept(), 1002);
    }
}

#[test]
fn frames_behind_the_request_pass() {
    let scene = Scene::new(Server::echo());
    let mut tls = scene.agent.tls(HOST);
    let packet = [offer("/chat", HOST, "").as_bytes(), &frame(0x81, Some(KEY), b"early")].concat();
    tls.write_all(&packet).expect("it is sent");
    assert_eq!(raw::answer::read_answer(&mut tls, true).expect("it is answered").status, 101);
    assert_eq!(super::read_frame(&mut tls).expect("it comes back"), (0x81, b"early".to_vec()));
}

#[test]
fn nothing_passes_behind_a_close() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let mut open = scene.open();
    let close = frame(0x88, Some(KEY), b"\x03\xe8");
    open.write_all(&[&close[..], b"SSH-2.0-OpenSSH_9.9\r\n"].concat()).expect("it is sent");
    open.flush().expect("it is sent");
    open.sock.shutdown(Shutdown::Both).expect("a socket can be shut");
    assert_eq!(scene.server.kept(), close);
}

#[test]
fn text_that_is_no_text_is_1007() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let mut open = scene.open();
    let text = [frame(0x01, Some(KEY), b"gr\xc3"), frame(0x80, Some(KEY), b"x")].concat();
    open.write_all(&text).expect("it is sent");
    closes(&mut open, 1007);
    let came = scene.server.kept();
    // The first fragment was sound.
    is_a_close(&came[9..], 1007);
}

#[test]
fn a_server_that_sends_no_frames_is_ended_for_both() {
    for (bytes, code) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], 1002),
        (b"\x81\x85\x00\x00\x00\x00hello", 1002),
        (b"\xc1\x05hello", 1002),
        (b"\x80\x05hello", 1002),
        (b"\x81\x01\xff", 1007),
    ] {
        let scene = Scene::new(Server::raw("", [&frame(0x81, None, b"fine")[..], bytes].concat()));
        let mut open = scene.open();
        assert_eq!(super::read_frame(&mut open).expect("what is allowed comes"), (0x81, b"fine".to_vec()));
        closes(&mut open, code);
        is_a_close(&scene.server.kept(), code);
    }
}

#[test]
fn a_route_that_is_taken_away_ends_it_with_1008_and_no_byte_passes() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    cut_off(&scene, || {
        scene.stage.world.configure("bottles/ci/routes.yaml", "routes:\n  - host: other.example.com\n");
    });
}

#[test]
fn a_route_that_no_longer_matches_ends_it_with_1008() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let narrow = "    matches:\n      - paths: [{type: prefix, value: /elsewhere}]\n";
    let reason = cut_off(&scene, || {
        let routes = format!("routes:\n{}", route(&scene.server, narrow));
        scene.stage.world.configure("bottles/ci/routes.yaml", &routes);
    });
    assert!(reason.contains("/chat"), "{reason}");
}

#[test]
fn a_route_that_leads_elsewhere_ends_it_with_1008() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let reason = cut_off(&scene, || {
        let routes = format!("routes:\n{}", route(&scene.server, "    allow_addresses: [10.0.0.0/8]\n"));
        scene.stage.world.configure("bottles/ci/routes.yaml", &routes);
    });
    assert!(reason.contains("changed"), "{reason}");
}

#[test]
fn a_change_that_leaves_its_route_leaves_it_open() {
    let scene = Scene::new(Server::echo());
    let mut socket = scene.socket();
    let routes = format!("routes:\n{}  - host: other.example.com\n", route(&scene.server, ""));
    scene.stage.world.configure("bottles/ci/routes.yaml", &routes);
    scene.stage.event("configuration_reloaded");
    socket.send("still there?".into()).expect("it is sent");
    assert_eq!(socket.read().expect("it comes back"), Message::from("still there?"));
}

#[test]
fn a_spent_budget_ends_it_with_1008() {
    let server = Server::raw("", Vec::new());
    let routes = format!(
        "routes:\n{}  - {{host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}}\n",
        route(&server, "")
    );
    let scene = Scene::with(server, "", |setting| {
        setting
            .file("bottles/ci/routes.yaml", &routes)
            .settings("budget: {claude: 1000}\n")
            .env("THE_KEY", "tests-only-9fK2mP7qR4tW")
    });
    let reason = cut_off(&scene, || {
        let spend =
            r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"spend"}]}"#;
        scene.agent.post("api.anthropic.com", "/v1/messages", spend).passed();
    });
    assert!(reason.contains("budget"), "{reason}");
}

#[test]
fn a_shutdown_ends_it_with_1001() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let mut open = scene.open();
    scene.stage.signal(Signal::TERM);
    closes(&mut open, 1001);
    is_a_close(&scene.server.kept(), 1001);
}

#[test]
fn an_idle_one_is_ended_with_1001_and_a_busy_one_is_not() {
    let scene = Scene::with(Server::echo(), "", |setting| setting.settings("proxy: {idle_timeout: 1s}\n"));
    let mut idle = scene.open();
    let mut busy = scene.socket();
    for _ in 0..8 {
        busy.send("tick".into()).expect("it is sent");
        busy.read().expect("it comes back");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    closes(&mut idle, 1001);
    scene.server.tells("close 1001 nothing came for too long");
}

#[test]
fn its_beginning_and_its_end_are_logged_with_counts() {
    let scene = Scene::new(Server::echo());
    let mut socket = scene.socket();
    socket.send("hello".into()).expect("it is sent");
    socket.read().expect("it comes back");
    let opened = scene.stage.event("websocket_opened");
    assert_eq!((opened["host"].as_str(), opened["path"].as_str()), (Some(HOST), Some("/chat")));
    socket.close(None).expect("it is sent");
    while socket.read().is_ok() {}
    let closed = scene.stage.event("websocket_closed");
    let numbers = ["messages_sent", "bytes_sent", "messages_received", "bytes_received"];
    assert_eq!(
        numbers.map(|number| closed[number].as_u64()),
        [Some(1), Some(5), Some(1), Some(5)],
        "{closed}"
    );
    assert_eq!(closed["cause"], "closed");
}

/// Opens, lets `change` happen, and expects to be cut off: a Close frame on both sides, and nothing behind it.
#[track_caller]
fn cut_off(scene: &Scene, change: impl FnOnce()) -> String {
    let mut open = scene.open();
    let hello = frame(0x81, Some(KEY), b"hello");
    open.write_all(&hello).expect("it is sent");
    assert!(raw::wait_until(SOON, || (scene.server.bytes() == hello).then_some(())).is_some());
    // A frame that is not complete is nowhere when the end comes.
    open.write_all(&frame(0x81, Some(KEY), b"half")[..8]).and_then(|()| open.flush()).expect("it is sent");
    change();
    let mut first = [0; 2];
    open.read_exact(&mut first).expect("a Close frame comes");
    assert_eq!(first[0], 0x88);
    let mut payload = vec![0; usize::from(first[1])];
    open.read_exact(&mut payload).expect("it is whole");
    let (code, reason) = payload.split_at(2);
    assert_eq!(code, 1008u16.to_be_bytes());
    open.write_all(&frame(0x81, Some(KEY), b"half")[8..]).ok();
    open.write_all(&frame(0x81, Some(KEY), b"after the end")).and_then(|()| open.flush()).ok();
    assert_eq!(rest(&mut open), b"");
    let came = scene.server.kept();
    assert!(came.starts_with(&hello));
    is_a_close(&came[hello.len()..], 1008);
    String::from_utf8_lossy(reason).into_owned()
}

/// Ends the test unless this is one masked Close frame with that code, and nothing else.
#[track_caller]
fn is_a_close(bytes: &[u8], code: u16) {
    let [0x88, length, key @ ..] = bytes else { panic!("no Close frame: {bytes:x?}") };
    let (key, payload) = key.split_at(4);
    assert_eq!(usize::from(length & 0x7f), payload.len(), "something else came: {bytes:x?}");
    let clear: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    assert_eq!(clear[..2], code.to_be_bytes(), "{:?}", String::from_utf8_lossy(&clear));
}
