//! How long a body is said to be: lengths are kept, chunks stay chunks, and their extensions end here.

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::PLAIN;
use super::body::{self, Body};
use super::client::{Message, head};
use super::scene::{Combination, Scene, Version};
use crate::raw::{self, Stage, Upstream};

/// Answers with how the request was framed.
async fn framing(request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let length = incoming.collect().await.map_or(0, |sent| sent.to_bytes().len());
    let mut response = match parts.uri.path() {
        "/pieces" => Response::new(body::pieces(&["in ", "pieces"], None)),
        "/nothing" => Response::new(body::empty()),
        _ => Response::new(body::full("whole")),
    };
    for (name, seen) in [("content-length", "saw-length"), ("transfer-encoding", "saw-coding")] {
        if let Some(value) = parts.headers.get(name) {
            response.headers_mut().insert(seen, value.clone());
        }
    }
    response.headers_mut().insert("saw-bytes", HeaderValue::from(length));
    response
}

/// What the origin was told of the length: `Content-Length`, `Transfer-Encoding`, and what there was.
fn saw(message: &Message) -> (Option<&str>, Option<&str>, Option<&str>) {
    (message.value("saw-length"), message.value("saw-coding"), message.value("saw-bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requests_framing_is_kept() {
    let scene = Scene::new(framing).await;
    scene
        .in_all_four(async |mut client, combination| {
            let chunked = (combination.upstream == Version::Http1).then_some("chunked");
            for method in [Method::POST, Method::GET, Method::DELETE] {
                let mut send = async |body, length: Option<u64>| {
                    let mut request = head(method.clone(), "/").body(body).expect("a request");
                    if let Some(length) = length {
                        request.headers_mut().insert("content-length", HeaderValue::from(length));
                    }
                    client.exchange(request).await
                };
                let sized = send(body::full("12345"), Some(5)).await;
                assert_eq!(saw(&sized), (Some("5"), None, Some("5")), "{combination} {method}");
                let streamed = send(body::pieces(&["123", "45"], None), Some(5)).await;
                assert_eq!(saw(&streamed), (Some("5"), None, Some("5")), "{combination} {method}");
                let none = send(body::empty(), None).await;
                let (length, coding, bytes) = saw(&none);
                // For a POST hyper says so (RFC 9110 section 8.6).
                assert!(matches!(length, None | Some("0")), "{combination} {method}: {length:?}");
                assert_eq!((coding, bytes), (None, Some("0")), "{combination} {method}");
                let zero = send(body::empty(), Some(0)).await;
                assert_eq!(saw(&zero), (Some("0"), None, Some("0")), "{combination} {method}");
                let pieces = send(body::pieces(&["123", "45"], None), None).await;
                assert_eq!(saw(&pieces), (None, chunked, Some("5")), "{combination} {method}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answers_framing_is_kept() {
    let scene = Scene::new(framing).await;
    scene
        .in_all_four(async |mut client, Combination { client: near, upstream }| {
            let mut get = async |path| {
                client.exchange(head(Method::GET, path).body(body::empty()).expect("a request")).await
            };
            let whole = get("/whole").await;
            assert_eq!((whole.value("content-length"), &whole.body[..]), (Some("5"), &b"whole"[..]));
            assert!(!whole.headers.contains_key("transfer-encoding"), "{near} to {upstream}");
            let pieces = get("/pieces").await;
            let chunked = (near == Version::Http1).then_some("chunked");
            assert_eq!(pieces.value("transfer-encoding"), chunked, "{near} to {upstream}");
            assert_eq!((pieces.value("content-length"), &pieces.body[..]), (None, &b"in pieces"[..]));
            let nothing = get("/nothing").await;
            assert!(nothing.body.is_empty() && nothing.value("transfer-encoding").is_none(), "{nothing:?}");
        })
        .await;
}

/// A plain upstream that sends these bytes.
fn saying(answer: &'static str) -> (Upstream, Stage) {
    let upstream = Upstream::start(move |_| answer.as_bytes().to_vec());
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    (upstream, stage)
}

#[test]
fn chunk_extensions_of_a_client_are_dropped() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n").start();
    let request = "POST /echo HTTP/1.1\r\nHost: files.example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;name=value\r\nhello\r\n6 ; quoted=\"a;b\" ;flag\r\n there\r\n0;last=1\r\n\r\n";
    let told = stage.agent().send("files.example.com", request).passed();
    assert_eq!(told.json()["body"], "hello there");
}

#[test]
fn chunk_extensions_of_an_upstream_are_dropped() {
    let (_upstream, stage) = saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;name=value\r\nhello\r\n6 ; quoted=\"a;b\" ;flag\r\n there\r\n0;last=1\r\n\r\n",
    );
    // The reader of answers takes no extension.
    let answer = stage.agent().plain("GET", "http://plain.example.com/", "").passed();
    assert_eq!(answer.text(), "hello there");
}

#[test]
fn an_answer_with_a_length_and_chunks_is_as_long_as_its_chunks() {
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 30",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let (_upstream, stage) = saying(text.leak());
        let answer = stage.agent().plain("GET", "http://plain.example.com/", "").passed();
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", None), "{headers}");
    }
}

#[test]
fn an_answer_in_http_1_0_is_told_in_hudsons_own_version() {
    let upstream = Upstream::closing(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end");
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    let agent = stage.agent();
    let mut socket = agent.socket();
    for _ in 0..2 {
        let answer = raw::ask(&mut socket, &agent.absolute("GET", "http://plain.example.com/", "")).passed();
        let coding = answer.header("transfer-encoding");
        assert_eq!((answer.text().as_str(), coding), ("until the end", Some("chunked")), "{answer}");
    }
}
