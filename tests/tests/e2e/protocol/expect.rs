//! Interim answers: `Expect: 100-continue` is met, and 1xx from an upstream never take the final answer's place.
//!
//! hyper's server sends no interim answer but 100 over HTTP/1.1, so those of an upstream end at Hudson.

use std::io::{Read, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::body::{self, Body};
use super::client::{Client, head};
use super::origin::Origin;
use super::scene::{Scene, Version};
use super::{HOST, PLAIN, ROUTES};
use crate::raw::answer::read_answer;
use crate::raw::{self, Upstream};

const EXPECTING: &str =
    "POST /up HTTP/1.1\r\nHost: origin.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Answers with the body, and says whether it was told of an expectation; `/no` is refused before the body is read.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == "/no" {
        let mut response = Response::new(body::full("no"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return response;
    }
    let expected = request.headers().contains_key("expect");
    let sent = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let mut response = Response::new(body::full(sent.unwrap_or_default()));
    response.headers_mut().insert("saw-expect", http::HeaderValue::from(u16::from(expected)));
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_gets_it_and_then_its_answer() {
    let scene = Scene::new(answer).await;
    for upstream in [Version::Http2, Version::Http1] {
        if upstream == Version::Http1 {
            scene.origin.speak(upstream).await;
        }
        let mut tls = scene.agent.tls(HOST);
        tls.write_all(EXPECTING.as_bytes()).expect("the proxy reads");
        let mut interim = [0; CONTINUE.len()];
        tls.read_exact(&mut interim).expect("100 comes before the body is sent");
        assert_eq!(String::from_utf8_lossy(&interim), String::from_utf8_lossy(CONTINUE));
        tls.write_all(b"hello").expect("the proxy reads");
        let answer = read_answer(&mut tls, false).expect("it is answered").passed();
        assert_eq!((answer.text().as_str(), answer.header("saw-expect")), ("hello", Some("0")), "{upstream}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_comes_without_100() {
    let routes = "routes:\n  - host: origin.example.com\n    matches:\n      - {methods: [GET]}\n";
    let scene = Scene::with(answer, raw::routes(routes)).await;
    let mut tls = scene.agent.tls(HOST);
    tls.write_all(EXPECTING.as_bytes()).expect("the proxy reads");
    // What is read first is the refusal: an interim answer would be read as an answer of status 100.
    read_answer(&mut tls, false).expect("it is answered").refused(403, "request_not_matched");
    assert_eq!(scene.origin.arrived(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let scene = Scene::new(answer).await;
    scene
        .in_all_four(async |mut client, combination| {
            let (feed, body) = body::fed();
            feed.send(body::data("more will come")).await.expect("the client reads");
            let request = head(Method::POST, "/no").body(body).expect("a request");
            let answer = client.exchange(request).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (413, &b"no"[..]), "{combination}");
            drop(feed);
        })
        .await;
}

#[test]
fn interim_answers_of_an_http_1_upstream_never_take_the_answers_place() {
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let answer = format!("{interim}HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-kept: 1\r\n\r\nfinal");
        let upstream = Upstream::start(move |_| answer.clone().into_bytes());
        let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
        let answer = stage.agent().plain("GET", "http://plain.example.com/", "").passed();
        assert_eq!((answer.text().as_str(), answer.header("x-kept")), ("final", Some("1")), "{interim}");
        assert_eq!(answer.header("link"), None, "{interim}");
    }
}

/// An HTTP/2 origin that sends 102 and 103 before its answer; hyper's own server cannot.
async fn hinting(origin: &Origin) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let acceptor = origin.acceptor(Version::Http2);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let tls = acceptor.accept(stream).await?;
                let mut connection = h2::server::handshake(tls).await?;
                while let Some(accepted) = connection.accept().await {
                    let (_, mut respond) = accepted?;
                    for status in [102, 103, 103] {
                        let interim = Response::builder().status(status).header("link", "</style.css>");
                        respond.send_informational(interim.body(())?)?;
                    }
                    let head = Response::builder().header("x-kept", "1").body(())?;
                    respond.send_response(head, false)?.send_data(Bytes::from_static(b"final"), true)?;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_of_an_http_2_upstream_never_take_the_answers_place() {
    let origin = Origin::start(&[b"h2"], answer).await;
    let address = hinting(&origin).await;
    let setting = raw::routes(ROUTES).connect_to(&format!("{HOST}:443"), address);
    let stage = setting.option("--upstream-ca", &origin.ca_file().display().to_string()).start();
    let agent = Arc::new(stage.agent());
    for version in [Version::Http1, Version::Http2] {
        let mut client = Client::connect(&agent, version).await;
        for _ in 0..2 {
            let answer =
                client.exchange(head(Method::GET, "/").body(body::empty()).expect("a request")).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"final"[..]), "{version}");
            assert_eq!((answer.value("x-kept"), answer.value("link")), (Some("1"), None), "{version}");
        }
    }
}
