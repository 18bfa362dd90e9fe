//! Trailers travel with their message, cleaned as header fields are.
//!
//! HTTP/1.1 carries those that `Trailer` declares, and to a client that says `TE: trailers` (RFC 9110 section 6.5.1);
//! HTTP/2 carries any.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::{self, Body};
use super::client::{Message, head};
use super::scene::{Combination, Scene, Version};
use super::with_credential;

fn trailers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().copied();
    pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// Answers with the trailers that it got, as header fields, and with trailers of its own.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let own = trailers(&[("x-sum", "42"), ("grpc-status", "0"), ("proxy-x", "1")]);
    let mut response = Response::new(body::pieces(&["body"], Some(own)));
    let told = response.headers_mut();
    let came = incoming.collect().await.ok().and_then(|sent| sent.trailers().cloned());
    for (name, value) in &came.unwrap_or_default() {
        told.insert(format!("came-{name}").parse::<HeaderName>().expect("a name"), value.clone());
    }
    if let Some(te) = parts.headers.get("te") {
        told.insert("saw-te", te.clone());
    }
    if !parts.headers.contains_key("x-undeclared") {
        told.insert("trailer", HeaderValue::from_static("x-sum, grpc-status, proxy-x"));
    }
    response
}

fn passed(message: &Message) -> Vec<&str> {
    let mut names: Vec<_> =
        message.trailers.iter().flat_map(HeaderMap::keys).map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_trailers_of_request_and_answer_pass_in_all_four() {
    let scene = Scene::new(answer).await;
    scene
        .in_all_four(async |mut client, combination| {
            let sent = trailers(&[("x-checksum", "7"), ("proxy-authorization", "Basic eDp5")]);
            let request = head(Method::POST, "/")
                .header("te", "trailers")
                .header("trailer", "x-checksum, proxy-authorization")
                .body(body::pieces(&["up"], Some(sent)));
            let answer = client.exchange(request.expect("a request")).await;
            assert_eq!(answer.body, "body", "{combination}");
            assert_eq!(answer.value("came-x-checksum"), Some("7"), "{combination}: {answer:?}");
            assert!(!answer.headers.contains_key("came-proxy-authorization"), "{combination}: it left");
            assert_eq!(answer.value("saw-te"), Some("trailers"), "{combination}");
            assert_eq!(passed(&answer), ["grpc-status", "x-sum"], "{combination}: {answer:?}");
            let sum = answer.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
            assert_eq!(sum.map(HeaderValue::as_bytes), Some(&b"42"[..]), "{combination}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_that_nobody_declared_pass_where_http_2_speaks_on_both_sides() {
    let scene = Scene::new(answer).await;
    scene
        .in_all_four(async |mut client, Combination { client: near, upstream }| {
            let sent = body::pieces(&["up"], Some(trailers(&[("x-checksum", "7")])));
            let request = head(Method::POST, "/").header("te", "trailers").header("x-undeclared", "1");
            let answer = client.exchange(request.body(sent).expect("a request")).await;
            let both = near == Version::Http2 && upstream == Version::Http2;
            assert_eq!(answer.value("came-x-checksum"), both.then_some("7"), "{near} to {upstream}");
            let expected: &[&str] = if both { &["grpc-status", "x-sum"] } else { &[] };
            assert_eq!(passed(&answer), expected, "{near} to {upstream}");
            assert_eq!(answer.body, "body", "{near} to {upstream}: the message is whole without them");
        })
        .await;
}

/// A length that is told does not end a message of HTTP/2 (RFC 9113 section 8.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_follow_a_body_of_a_told_length() {
    let scene = Scene::new(answer).await;
    scene
        .in_all_four(async |mut client, Combination { client: near, upstream }| {
            let sent = body::pieces(&["up"], Some(trailers(&[("x-checksum", "7")])));
            let request = head(Method::POST, "/").header("te", "trailers").header("content-length", "2");
            let answer = client.exchange(request.body(sent).expect("a request")).await;
            let both = near == Version::Http2 && upstream == Version::Http2;
            assert_eq!(answer.value("came-x-checksum"), both.then_some("7"), "{near} to {upstream}");
            assert_eq!(answer.body, "body", "{near} to {upstream}: the message is whole without them");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trailer_cannot_stand_in_for_the_routes_credential() {
    let scene = Scene::with(answer, with_credential()).await;
    scene
        .in_all_four(async |mut client, combination| {
            let sent = trailers(&[("x-key", "mine"), ("authorization", "Bearer mine"), ("x-checksum", "7")]);
            let request = head(Method::POST, "/")
                .header("te", "trailers")
                .header("trailer", "x-key, authorization, x-checksum")
                .body(body::pieces(&["up"], Some(sent)));
            let answer = client.exchange(request.expect("a request")).await;
            assert_eq!(answer.value("came-x-checksum"), Some("7"), "{combination}: {answer:?}");
            for name in ["came-x-key", "came-authorization"] {
                assert!(!answer.headers.contains_key(name), "{combination}: {name} left: {answer:?}");
            }
            assert_eq!(passed(&answer), ["grpc-status", "x-sum"], "{combination}: {answer:?}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metered_answer_is_settled_before_its_trailers_end_it() {
    const SPENT: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-5","content":[],
        "stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":5}}"#;
    let routes = "routes:\n  - host: origin.example.com\n    meter: {provider: claude, format: anthropic}\n";
    let told = async |_| {
        let mut response = Response::new(body::pieces(&[SPENT], Some(trailers(&[("x-sum", "42")]))));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
        response
    };
    let scene = Scene::with(told, crate::raw::routes(routes).settings("budget: {claude: 100000}\n")).await;
    scene
        .in_all_four(async |mut client, combination| {
            let before = scene.stage.world.usage().len();
            let asked = r#"{"model":"claude-opus-4-5","max_tokens":9,"messages":[]}"#;
            let request = head(Method::POST, "/v1/messages")
                .header("te", "trailers")
                .header("content-type", "application/json")
                .body(body::full(asked));
            let answer = client.exchange(request.expect("a request")).await;
            assert_eq!(answer.body, SPENT, "{combination}");
            assert_eq!(passed(&answer), ["x-sum"], "{combination}: {answer:?}");
            let rows = scene.stage.world.usage();
            assert_eq!(rows.len(), before + 1, "{combination}: the end came before the settlement");
            assert_eq!(rows.last().map(|row| row.total), Some(12), "{combination}");
        })
        .await;
}
