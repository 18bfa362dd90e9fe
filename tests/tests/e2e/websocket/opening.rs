//! The opening handshake: who may ask, what is asked of the upstream, and whose answer the client gets.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::server::{self, Server};
use super::{HOST, KEY, Scene, frame, offer};
use crate::raw::{self, Upstream};

const SECRET: &str = "tests-only-9fK2mP7qR4tW";

#[test]
fn extensions_are_neither_asked_for_nor_agreed_on() {
    let scene = Scene::new(Server::echo());
    let offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                   Sec-WebSocket-Extensions: x-other\r\nConnection: keep-alive\r\n";
    let (answer, _open) = scene.ask("/chat", offered);
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "{answer}");
    let head = &scene.server.heads()[0];
    assert_eq!(server::header(head, "sec-websocket-extensions"), None, "{head}");
    assert_eq!(server::header(head, "connection"), Some("Upgrade"), "{head}");
}

#[test]
fn the_upstreams_choice_of_a_sub_protocol_is_the_clients() {
    let scene = Scene::new(Server::echo());
    let (answer, _open) = scene.ask("/chat", "Sec-WebSocket-Protocol: v1.chat, v2.chat\r\n");
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("v2.chat")), "{answer}");
    let (answer, _open) = scene.ask("/chat", "Sec-WebSocket-Protocol: v1.chat\r\n");
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, None), "{answer}");
}

#[test]
fn an_answer_to_something_else_is_502() {
    for headers in [
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Sec-WebSocket-Protocol: v3.chat\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n",
        "Upgrade: h2c\r\n",
    ] {
        let scene = Scene::new(Server::raw(headers, frame(0x81, None, b"too early")));
        let (answer, _) = scene.ask("/chat", "Sec-WebSocket-Protocol: v1.chat\r\n");
        answer.refused(502, "upstream_unreachable");
        assert_eq!(scene.server.kept(), b"", "{headers}");
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_502() {
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nanything";
    let upstream = Upstream::start(|_| answer.as_bytes().to_vec());
    let routes = "routes:\n  - {host: plain.example.com, scheme: http}\n";
    let stage = raw::routes(routes).connect_to("plain.example.com:80", upstream.address).start();
    stage.agent().plain("GET", "http://plain.example.com/", "").refused(502, "upstream_unreachable");
}

#[test]
fn the_upstreams_no_reaches_the_client_as_it_is() {
    let scene = Scene::new(Server::start(|stream, head, _| {
        let status = head.split([' ', '/']).nth(2).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: 7\r\nretry-after: 9\r\n\r\nbecause"
        );
        stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).ok();
        let _ = stream.read(&mut [0]);
    }));
    let mut tls = scene.agent.tls(HOST);
    // On one connection, which stays one of HTTP.
    for status in [200, 401, 403, 404, 426, 429, 503] {
        let answer = raw::ask(&mut tls, &offer(&format!("/{status}"), HOST, ""));
        assert_eq!((answer.status, answer.header("x-hudson-refusal")), (status, None), "{answer}");
        assert_eq!((answer.header("retry-after"), answer.text().as_str()), (Some("9"), "because"));
    }
}

#[test]
fn a_dead_upstream_is_502_and_never_101() {
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("an address");
    let routes = "routes:\n  - {host: plain.example.com, scheme: http}\n  - {host: ws.example.com}\n";
    let setting = raw::routes(routes).connect_to("plain.example.com:80", dead);
    let stage = setting.connect_to("ws.example.com:443", dead).start();
    let agent = stage.agent();
    let request = offer("http://plain.example.com/chat", "plain.example.com", &agent.identity());
    raw::ask(&mut agent.socket(), &request).refused(502, "upstream_unreachable");
    assert_eq!(agent.connect("ws.example.com:443").0.status, 502);
}

#[test]
fn an_upstream_that_dies_after_the_tunnel_was_opened_is_502() {
    let scene = Scene::new(Server::start(|_, _, _| {}));
    scene.ask("/chat", "").0.refused(502, "upstream_unreachable");
}

#[test]
fn an_offer_that_is_none_reaches_no_upstream() {
    let scene = Scene::new(Server::echo());
    let good = offer("/chat", HOST, "");
    for (good_line, bad_line) in [
        ("GET /chat", "POST /chat"),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Upgrade: websocket", "Upgrade: websocket, h2c"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: TLS/1.3"),
        ("Connection: Upgrade", "Connection: keep-alive"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
        ("Sec-WebSocket-Version: 13", "X: y"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: c2hvcnQ="),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y"),
    ] {
        assert!(good.contains(good_line));
        let answer = scene.agent.send(HOST, &good.replace(good_line, bad_line));
        answer.refused(426, "protocol_not_allowed");
    }
    let body = offer("/chat", HOST, "Content-Length: 5\r\n") + "hello";
    scene.agent.send(HOST, &body).refused(400, "malformed_request");
    assert!(scene.server.heads().is_empty(), "{:?}", scene.server.heads());
}

#[test]
fn routes_hold_for_a_websocket_as_for_every_request() {
    let narrow = "    matches:\n      - paths: [{type: prefix, value: /chat}]\n";
    let scene = Scene::with(Server::echo(), narrow, |setting| setting);
    assert_eq!(scene.ask("/chat/1", "").0.status, 101);
    scene.ask("/admin", "").0.refused(403, "request_not_matched");
    let other = scene.agent.tls_as(
        scene.agent.tls_config(&[b"http/1.1"]),
        "other.example.com:443",
        "other.example.com",
    );
    let mut other = other.expect("the tunnel is opened");
    raw::ask(&mut other, &offer("/chat", "other.example.com", "")).refused(403, "host_not_allowed");
    assert_eq!(scene.server.heads().len(), 1);
}

#[test]
fn a_metered_host_is_reached_by_no_websocket_that_nobody_meters() {
    const GOOGLE: &str = "generativelanguage.googleapis.com";
    let stage = raw::routes(&format!("routes:\n  - host: api.openai.com\n  - host: {GOOGLE}\n")).start();
    let agent = stage.agent();
    let ask_at = |host: &str, path: &str| raw::ask(&mut agent.tls(host), &offer(path, host, ""));
    let ask = |path| ask_at("api.openai.com", path);
    // On 426 clients go on with POST.
    ask("/v1/responses/compact").refused(426, "protocol_not_allowed");
    ask("/v1/chat/completions").refused(426, "protocol_not_allowed");
    // A call over WebRTC does not pass here, and Gemini Live is not metered.
    ask("/v1/realtime/calls").refused(403, "unmetered_endpoint");
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    ask_at(GOOGLE, live).refused(403, "unmetered_endpoint");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn credentials_are_put_on_and_do_not_come_back() {
    let more = "    credentials:\n      - {header: x-key, from: {env: THE_KEY}}\n      \
                - {query: key, from: {env: THE_KEY}}\n";
    // It sends back what it was sent: in its head, in one frame, over two frames, in a ping and in its last word.
    let serve = |stream: &mut dyn server::Stream, head: &str, seen: &server::Seen| {
        let key = server::header(head, "x-key").unwrap_or_default().to_owned();
        let (one, two) = key.split_at(9.min(key.len()));
        let frames = [
            frame(0x81, None, format!("you sent {key}, did you").as_bytes()),
            frame(0x01, None, format!("in two: {one}").as_bytes()),
            frame(0x89, None, key.as_bytes()),
            frame(0x80, None, format!("{two}.").as_bytes()),
            // 0x0f41: 3905.
            frame(0x88, None, format!("\u{f}A{key}").as_bytes()),
        ];
        let answer = server::accepted(head, &format!("X-Echo: {key}\r\n"));
        stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&frames.concat())).ok();
        stream.flush().ok();
        seen.keep(stream);
    };
    let scene = Scene::with(Server::start(serve), more, |setting| setting.env("THE_KEY", SECRET));
    let (answer, mut open) = scene.ask("/chat?key=mine", "X-Key: mine\r\n");
    assert_eq!(answer.status, 101, "{answer}");
    assert_eq!(answer.header("x-echo"), Some("[redacted]"));
    let head = &scene.server.heads()[0];
    assert_eq!(server::header(head, "x-key"), Some(SECRET), "{head}");
    assert!(head.starts_with("GET /chat?key=tests%2Donly%2D9fK2mP7qR4tW HTTP/1.1\r\n"), "{head}");
    let stars = "*".repeat(SECRET.len());
    let expected = [
        frame(0x81, None, format!("you sent {stars}, did you").as_bytes()),
        frame(0x01, None, b"in two: *********"),
        frame(0x89, None, stars.as_bytes()),
        frame(0x80, None, format!("{}.", &stars[9..]).as_bytes()),
        frame(0x88, None, format!("\u{f}A{stars}").as_bytes()),
    ]
    .concat();
    let mut came = vec![0; expected.len()];
    open.read_exact(&mut came).expect("it all comes");
    assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(&expected));
    open.write_all(&frame(0x88, Some(KEY), b"\x03\xe8")).expect("it is sent");
}

#[test]
fn a_credential_that_cannot_be_read_opens_nothing() {
    let more = "    credentials:\n      - {header: x-key, from: {env: NOT_SET}}\n";
    let scene = Scene::with(Server::echo(), more, |setting| setting);
    scene.ask("/chat", "").0.refused(403, "credential_unavailable");
    assert!(scene.server.heads().is_empty());
}

#[test]
fn an_open_websocket_counts_as_its_tunnel() {
    let scene =
        Scene::with(Server::echo(), "", |setting| setting.settings("proxy: {max_tunnels_per_bottle: 1}\n"));
    let mut socket = scene.socket();
    socket.send("hello".into()).expect("it is sent");
    socket.read().expect("it comes back");
    assert_eq!(scene.agent.connect(&format!("{HOST}:443")).0.status, 503);
    drop(socket);
    let free = raw::wait_until(super::SOON, || {
        (scene.agent.connect(&format!("{HOST}:443")).0.status == 200).then_some(())
    });
    assert!(free.is_some(), "a closed WebSocket still counts");
}

#[test]
fn over_http_2_no_websocket_is_offered() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n").start();
    let agent = stage.agent();
    let socket = agent.tunnel("files.example.com:443");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async move {
        socket.set_nonblocking(true).expect("a socket takes options");
        let socket = tokio::net::TcpStream::from_std(socket).expect("a socket is one");
        let name = "files.example.com".to_owned().try_into().expect("a host is a server name");
        let config = std::sync::Arc::new(agent.tls_config(&[b"h2"]));
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, socket).await.expect("TLS is taken");
        let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2 is spoken");
        tokio::spawn(connection);
        let mut sender = sender.ready().await.expect("it takes requests");
        // Its settings have come with the first answer.
        let request = http::Request::get("https://files.example.com/hello.txt").body(()).expect("a request");
        let (response, _) = sender.send_request(request, true).expect("it is sent");
        assert_eq!(response.await.expect("it is answered").status(), 200);
        assert!(!sender.is_extended_connect_protocol_enabled(), "RFC 8441 is offered");
    });
}
