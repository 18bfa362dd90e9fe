//! Streams: each piece passes when it is sent, in both directions, and silence is no end.
//!
//! Order is proven without a clock: the next piece is sent only after the one before has arrived.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::body::{self, Body};
use super::client::head;
use super::scene::{Scene, Told, in_time, within};
use super::{ROUTES, with_credential};
use crate::raw::{self, Setting};

/// Reads from a body until it has given this, and no more.
async fn read(body: &mut Incoming, expected: &str) {
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let frame = in_time(body.frame()).await.expect("the body goes on").expect("the body does not break");
        seen.extend_from_slice(frame.data_ref().expect("a piece is data"));
    }
    assert_eq!(String::from_utf8_lossy(&seen), expected);
}

async fn pieces_arrive_as_they_are_sent(kind: &'static str, pieces: &[&str], setting: Setting) {
    let (scene, feeds) = Scene::fed(kind, setting).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let response = in_time(client.send(request)).await.expect("the head comes before the body");
            assert_eq!(response.headers()["content-type"], kind, "{combination}");
            let mut body = response.into_body();
            let feed = feeds.next().await;
            for piece in pieces {
                feed.send(body::data(piece)).await.expect("Hudson reads");
                read(&mut body, piece).await;
            }
            drop(feed);
            let rest = in_time(body.collect()).await.expect("a clean end stays one");
            assert!(rest.to_bytes().is_empty(), "{combination}");
        })
        .await;
}

const EVENTS: [&str; 4] =
    ["data: one\n\n", ": still here\n\n", "event: e\r\nid: 7\r\ndata: two\r\n\r\n", "data: half of one"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_arrive_as_they_are_sent() {
    pieces_arrive_as_they_are_sent("text/event-stream", &EVENTS, raw::routes(ROUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_arrive_as_they_are_sent_where_they_are_searched_for_a_credential() {
    pieces_arrive_as_they_are_sent("text/event-stream", &EVENTS, with_credential()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_json_arrive_as_they_are_sent() {
    let lines = ["{\"n\":1}\n", "{\"n\":2}\n{\"n\":3}\n", "{\"n\":"];
    pieces_arrive_as_they_are_sent("application/x-ndjson", &lines, raw::routes(ROUTES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_an_upload_arrive_as_they_are_sent() {
    let (told, arrived) = Told::channel();
    let scene = Scene::new(move |request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                // The end of a body may come in a frame without data.
                if !data.is_empty() {
                    told.send(data).expect("the test listens");
                }
            }
            Response::new(body::full("all of it"))
        }
    })
    .await;
    scene
        .in_all_four(async |mut client, combination| {
            let (feed, body) = body::fed();
            let request = head(Method::POST, "/").body(body).expect("a request");
            let answer = tokio::spawn(async move { client.exchange(request).await });
            for piece in ["one", "two", "three"] {
                feed.send(body::data(piece)).await.expect("the client reads");
                assert_eq!(arrived.next().await, piece, "{combination}");
            }
            drop(feed);
            let answer = answer.await.expect("it is answered");
            assert_eq!(answer.body, "all of it", "{combination}");
        })
        .await;
}

/// Answers when it is told to.
async fn polled(gate: Arc<Notify>) -> Response<Body> {
    gate.notified().await;
    Response::new(body::full("news"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_is_answered_after_its_silence() {
    let gate = Arc::new(Notify::new());
    let scene = Scene::new({
        let gate = gate.clone();
        move |_| polled(gate.clone())
    })
    .await;
    scene
        .in_all_four(async |mut client, combination| {
            let before = scene.origin.arrived();
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let mut answer = tokio::spawn(async move { client.exchange(request).await });
            let early = tokio::time::timeout(Duration::from_millis(1200), &mut answer).await;
            assert!(early.is_err(), "{combination}: answered before the upstream has: {early:?}");
            assert_eq!(scene.origin.arrived(), before + 1, "{combination}: it was sent once");
            gate.notify_one();
            assert_eq!(answer.await.expect("it is answered").body, "news", "{combination}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_beyond_the_response_timeout_is_refused_and_the_upstream_is_let_go() {
    let setting = raw::routes(ROUTES).settings("proxy: {response_timeout: 1s}\n");
    let (scene, released) = Scene::silent(setting).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let answer = client.exchange(request).await;
            let told = (answer.status.as_u16(), answer.value("x-hudson-refusal"));
            assert_eq!(told, (504, Some("upstream_timeout")), "{combination}");
            within(Duration::from_secs(1), released.next()).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_response_timeout_ends_with_the_head() {
    let setting = raw::routes(ROUTES).settings("proxy: {response_timeout: 1s}\n");
    let (scene, feeds) = Scene::fed("text/event-stream", setting).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let response = in_time(client.send(request)).await.expect("the head comes");
            let mut body = response.into_body();
            let feed = feeds.next().await;
            let silence = tokio::time::timeout(Duration::from_millis(1200), body.frame()).await;
            assert!(silence.is_err(), "{combination}: the body was ended: {silence:?}");
            feed.send(body::data("at last")).await.expect("Hudson reads");
            read(&mut body, "at last").await;
        })
        .await;
}
