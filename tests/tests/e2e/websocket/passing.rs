//! What goes through an open WebSocket: messages, fragments, control frames, all of it and nothing else.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use hudson_tests::Clients;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::server::{self, Server};
use super::{HOST, KEY, Scene, frame, offer, read_frame};
use crate::raw;

/// Sends messages of many lengths and expects each back.
fn echoes<S: std::io::Read + Write>(socket: &mut WebSocket<S>) {
    let bytes =
        |length: usize| Message::from((0..length).map(|place| (place % 251) as u8).collect::<Vec<_>>());
    let messages = [
        Message::from("hello"),
        Message::from(""),
        Message::from("grüße ".repeat(3000)),
        bytes(125),
        bytes(126),
        bytes(65_535),
        bytes(65_536),
        bytes(10 << 20),
    ];
    for message in messages {
        socket.send(message.clone()).expect("it is sent");
        let echoed = socket.read().expect("it comes back");
        assert!(echoed == message, "{} bytes came back as {}", message.len(), echoed.len());
    }
}

#[test]
fn messages_of_every_length_come_back_inside_a_tunnel() {
    let scene = Scene::new(Server::echo());
    let mut request = format!("wss://{HOST}/chat?room=1").into_client_request().expect("a request");
    let protocols = "v1.chat, v2.chat".parse().expect("a header value");
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let (mut socket, answer) =
        tungstenite::client(request, scene.agent.tls(HOST)).expect("the handshake is sound");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v2.chat");
    assert_eq!(answer.headers()["x-kept"], "1");
    echoes(&mut socket);
    assert!(
        scene.server.heads()[0].starts_with("GET /chat?room=1 HTTP/1.1\r\n"),
        "{:?}",
        scene.server.heads()
    );
}

#[test]
fn messages_of_every_length_come_back_over_plain_http() {
    let server = Server::plain(server::echo);
    let routes = "routes:\n  - {host: plain.example.com, scheme: http}\n";
    let stage = raw::routes(routes).connect_to("plain.example.com:80", server.address).start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    let request = offer("http://plain.example.com/chat", "plain.example.com", &agent.identity());
    let answer = raw::ask(&mut socket, &request);
    assert_eq!(answer.status, 101, "{answer}");
    let heads = server.heads();
    assert!(heads[0].starts_with("GET /chat HTTP/1.1\r\n"), "{heads:?}");
    assert_eq!(server::header(&heads[0], "proxy-authorization"), None, "{heads:?}");
    echoes(&mut WebSocket::from_raw_socket(socket, Role::Client, None));
}

#[test]
fn nodes_own_client_speaks_through_it() {
    let scene = Scene::new(Server::echo());
    let proxy = format!("http://{}@{}", scene.agent.credentials, scene.stage.address);
    let world = &scene.stage.world;
    let ca = world.home().join("ca/ca.pem").display().to_string();
    let client = Clients::installed().node("websocket.mjs", &[&format!("wss://{HOST}/chat")]);
    let outcome = world.through(&proxy, &ca, &client, &[]);
    let told = "open v2.chat\ntext hello\nbinary 100000\nclose 1000 bye true\n";
    assert_eq!(outcome.exited(0).text(), told, "{outcome}");
    // It offers permessage-deflate, which nobody could look into.
    assert_eq!(server::header(&scene.server.heads()[0], "sec-websocket-extensions"), None);
}

#[test]
fn frames_pass_byte_for_byte_both_ways() {
    let sent = [
        frame(0x01, Some(KEY), b"one "),
        frame(0x89, Some(KEY), b"are you there?"),
        frame(0x00, Some([0; 4]), b""),
        frame(0x80, Some(KEY), &[b'x'; 300]),
        frame(0x82, Some(KEY), &[0xff; 70_000]),
        frame(0x8a, Some(KEY), b""),
        frame(0x88, Some(KEY), b"\x0f\xa1done"),
    ]
    .concat();
    let given = [
        frame(0x02, None, b"\0"),
        frame(0x8a, None, b"unasked"),
        frame(0x80, None, &[7; 300]),
        frame(0x89, None, b"and you?"),
        frame(0x88, None, b"\x03\xe8"),
    ]
    .concat();
    let scene = Scene::new(Server::raw("", given.clone()));
    let mut open = scene.open();
    // In pieces that end nowhere in particular.
    for piece in sent.chunks(7001) {
        open.write_all(piece).and_then(|()| open.flush()).expect("it is sent");
    }
    assert_eq!(super::rest(&mut open), given);
    assert!(scene.server.kept() == sent, "something else arrived");
}

#[test]
fn a_ping_is_answered_by_the_other_side() {
    let scene = Scene::new(Server::echo());
    let mut open = scene.open();
    open.write_all(&frame(0x89, Some(KEY), b"there?")).expect("it is sent");
    assert_eq!(read_frame(&mut open).expect("a pong comes"), (0x8a, b"there?".to_vec()));
    scene.server.tells("ping there?");
}

#[test]
fn a_small_message_is_not_kept_waiting() {
    let scene = Scene::new(Server::echo());
    let mut socket = scene.socket();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let sent = Instant::now();
        socket.send(Message::from("tick")).expect("it is sent");
        socket.read().expect("it comes back");
        fastest = fastest.min(sent.elapsed());
    }
    // Nagle's algorithm against delayed acknowledgements would cost 40 ms each time.
    assert!(fastest < Duration::from_millis(20), "the fastest of twenty took {fastest:?}");
}

#[test]
fn a_side_that_does_not_read_makes_the_other_wait() {
    let (over, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let scene = Scene::new(Server::start(move |stream, head, _| {
        stream.write_all(server::accepted(head, "").as_bytes()).and_then(|()| stream.flush()).ok();
        // It reads nothing until the test is over.
        waits.lock().expect("no holder panics").recv().ok();
    }));
    let mut open = scene.open();
    open.sock.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket takes options");
    let piece = frame(0x82, Some(KEY), &[1; 1 << 20]);
    let most = 64;
    let taken = (0..most).find(|_| match open.write_all(&piece).and_then(|()| open.flush()) {
        Ok(()) => false,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            true
        }
    });
    drop(over);
    assert!(taken.is_some(), "{most} MiB were taken for a server that reads nothing");
}

#[test]
fn a_message_over_64_mib_is_1009() {
    let scene = Scene::new(Server::raw("", Vec::new()));
    let mut open = scene.open();
    let head = [&[0x82, 0xff][..], &((64u64 << 20) + 1).to_be_bytes(), &KEY].concat();
    open.write_all(&head).expect("it is sent");
    super::closes(&mut open, 1009);
    assert_eq!(scene.server.kept().first(), Some(&0x88));
}

#[test]
fn a_message_of_64_mib_passes() {
    let scene = Scene::new(Server::start(|stream, head, seen| {
        stream.write_all(server::accepted(head, "").as_bytes()).and_then(|()| stream.flush()).ok();
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
        seen.tell(format!("message of {}", socket.read().map_or(0, |message| message.len())));
    }));
    let mut open = scene.open();
    open.write_all(&frame(0x82, Some(KEY), &vec![1; 64 << 20]))
        .and_then(|()| open.flush())
        .expect("it is sent");
    scene.server.tells(&format!("message of {}", 64 << 20));
}
