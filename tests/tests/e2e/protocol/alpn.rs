//! Which version is spoken: what the upstream speaks is what the client is offered, and no ALPN means HTTP/1.1.

use std::io::{Read as _, Write as _};

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::body::{self, Body};
use super::client::{Client, head, tls};
use super::origin::Origin;
use super::scene::{Scene, Version};
use super::{HOST, ROUTES};
use crate::raw;

/// Answers with the version in which it was asked.
async fn version(request: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(body::pieces(&["in ", "pieces"], None));
    let version = format!("{:?}", request.version());
    response.headers_mut().insert("x-version", HeaderValue::from_str(&version).expect("a value"));
    response
}

/// Offers these in the hello; what is taken, and the version in which the origin is asked.
async fn taken(offers: &[&[u8]], client: &[&[u8]]) -> std::io::Result<(Option<Vec<u8>>, String)> {
    let origin = Origin::start(offers, version).await;
    let stage = raw::routes(ROUTES).leads_to(&origin).start();
    let tls = tls(&stage.agent(), client).await?;
    let alpn = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let speaks = if alpn.as_deref() == Some(b"h2") { Version::Http2 } else { Version::Http1 };
    let request = head(Method::GET, "/").body(body::empty()).expect("a request");
    let answer = Client::over(tls, speaks).await.exchange(request).await;
    assert_eq!(answer.body, "in pieces");
    Ok((alpn, answer.value("x-version").unwrap_or_default().to_owned()))
}

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_upstream_speaks_is_offered_to_the_client() {
    for (upstream, client, alpn, asked) in [
        (&[HTTP_2, HTTP_1][..], &[HTTP_2, HTTP_1][..], Some(HTTP_2), "HTTP/2.0"),
        (&[HTTP_2], &[HTTP_2, HTTP_1], Some(HTTP_2), "HTTP/2.0"),
        (&[HTTP_2], &[HTTP_1], Some(HTTP_1), "HTTP/2.0"),
        (&[HTTP_1], &[HTTP_2, HTTP_1], Some(HTTP_1), "HTTP/1.1"),
        (&[HTTP_1], &[HTTP_1], Some(HTTP_1), "HTTP/1.1"),
        // An upstream without ALPN speaks HTTP/1.1.
        (&[], &[HTTP_2, HTTP_1], Some(HTTP_1), "HTTP/1.1"),
        (&[], &[], None, "HTTP/1.1"),
        // A client without ALPN is served HTTP/1.1, whatever the upstream speaks.
        (&[HTTP_2], &[], None, "HTTP/2.0"),
        (&[HTTP_2, HTTP_1], &[], None, "HTTP/2.0"),
        // What nobody speaks is passed over.
        (&[HTTP_2, HTTP_1], &[b"http/1.0", b"h3", HTTP_1], Some(HTTP_1), "HTTP/2.0"),
    ] {
        let taken = taken(upstream, client).await.expect("TLS is taken");
        assert_eq!(taken, (alpn.map(<[u8]>::to_vec), asked.to_owned()), "{upstream:?} {client:?}");
    }
}

/// Reads the request to its end before it answers.
async fn version_of_the_upload(request: Request<Incoming>) -> Response<Body> {
    let (parts, sent) = request.into_parts();
    let length = sent.collect().await.expect("the upload comes whole").to_bytes().len();
    let mut response = Response::new(body::full(length.to_string()));
    let version = format!("{:?}", parts.version);
    response.headers_mut().insert("x-version", HeaderValue::from_str(&version).expect("a value"));
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_goes_over_http_1_where_the_host_takes_it() {
    for (upstream, large) in
        [(&[HTTP_2, HTTP_1][..], "HTTP/1.1"), (&[HTTP_2], "HTTP/2.0"), (&[HTTP_1], "HTTP/1.1")]
    {
        let origin = Origin::start(upstream, version_of_the_upload).await;
        let stage = raw::routes(ROUTES).leads_to(&origin).start();
        let tls = tls(&stage.agent(), &[HTTP_1]).await.expect("TLS is taken");
        let mut client = Client::over(tls, Version::Http1).await;
        let small = if upstream.contains(&HTTP_2) { "HTTP/2.0" } else { "HTTP/1.1" };
        for (length, asked) in [(1000, small), (2 << 20, large), (2 << 20, large), (1000, small)] {
            let sent = body::full(vec![b'x'; length]);
            let request = head(Method::POST, "/").body(sent).expect("a request");
            let answer = client.exchange(request).await;
            assert_eq!(answer.body, length.to_string(), "{upstream:?}");
            assert_eq!(answer.value("x-version"), Some(asked), "{upstream:?}, {length} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_offers_cannot_be_met_is_told_so_in_the_handshake() {
    for (upstream, client) in [(&[HTTP_2, HTTP_1][..], &b"http/1.0"[..]), (&[HTTP_1], HTTP_2)] {
        let error = taken(upstream, &[client]).await.expect_err("nothing is taken");
        let alert = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        assert_eq!(alert, Some(&expected), "{upstream:?} {client:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_speaks_http_1_0_gets_an_answer_it_can_read() {
    let scene = Scene::new(version).await;
    for upstream in [Version::Http2, Version::Http1] {
        if upstream == Version::Http1 {
            scene.origin.speak(upstream).await;
        }
        let config = scene.agent.tls_config(&[]);
        let mut tls = scene.agent.tls_as(config, &format!("{HOST}:443"), HOST).expect("TLS is taken");
        tls.write_all(b"GET / HTTP/1.0\r\nHost: origin.example.com\r\n\r\n").expect("the proxy reads");
        let mut answer = String::new();
        // The end of the connection is the end of the answer, and TLS says that it is one.
        tls.read_to_string(&mut answer).expect("the connection ends cleanly");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{upstream}: {answer}");
        assert!(answer.ends_with("\r\n\r\nin pieces"), "{upstream}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{upstream}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_host_is_refused_in_http_1_0_too() {
    let scene = Scene::new(version).await;
    let answer = scene.agent.send(HOST, "GET / HTTP/1.0\r\n\r\n");
    answer.refused(400, "malformed_request");
    assert_eq!(scene.origin.arrived(), 0);
}
