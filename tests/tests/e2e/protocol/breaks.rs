//! What breaks on one side is let go, or told as an error, on the other: never a clean end that is none.

use std::io;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::ROUTES;
use super::body::{self, Feed};
use super::client::{Client, head};
use super::scene::{Scene, Told, Version, in_time, within};
use crate::raw;

/// How soon the upstream must be let go.
const SOON: Duration = Duration::from_secs(1);

/// An origin whose answers the test feeds.
async fn fed() -> (Scene, Told<Feed>) {
    Scene::fed("text/plain", raw::routes(ROUTES)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_mid_download_lets_the_upstream_go() {
    let (scene, feeds) = fed().await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let response = in_time(client.send(request)).await.expect("it is answered");
            let feed = feeds.next().await;
            feed.send(body::data("a beginning")).await.expect("Hudson reads");
            let mut body = response.into_body();
            in_time(body.frame()).await.expect("a piece comes").expect("it is whole");
            assert!(!feed.is_closed(), "{combination}: let go too soon");
            // The upstream is silent: nothing but the client's leaving can tell Hudson.
            drop((body, client));
            within(SOON, feed.closed()).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cancels_one_stream_keeps_the_others() {
    let (scene, feeds) = fed().await;
    let mut client = Client::connect(&scene.agent, Version::Http2).await;
    for upstream in [Version::Http2, Version::Http1] {
        if upstream == Version::Http1 {
            scene.origin.speak(upstream).await;
        }
        let mut begin = async || {
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let response = in_time(client.send(request)).await.expect("it is answered");
            (response.into_body(), feeds.next().await)
        };
        let (left, left_feed) = begin().await;
        let (mut kept, kept_feed) = begin().await;
        drop(left);
        within(SOON, left_feed.closed()).await;
        kept_feed.send(body::data("still here")).await.expect("Hudson reads");
        let frame = in_time(kept.frame()).await.expect("a piece comes").expect("it is whole");
        assert_eq!(frame.into_data().ok().as_deref(), Some(&b"still here"[..]), "{upstream}");
    }
}

/// An origin that reads what is sent, and tells how that ended.
async fn reading() -> (Scene, Told<Option<hyper::Error>>) {
    let (told, ends) = Told::channel();
    let scene = Scene::new(move |request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let mut body = request.into_body();
            let end = loop {
                match body.frame().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            told.send(end).expect("the test listens");
            Response::new(body::empty())
        }
    })
    .await;
    (scene, ends)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_mid_upload_is_an_error_for_the_upstream() {
    for length in [None, Some(100u64)] {
        let (scene, ends) = reading().await;
        scene
            .in_all_four(async |mut client, combination| {
                let before = scene.origin.arrived();
                let (feed, body) = body::fed();
                let mut request = head(Method::POST, "/").body(body).expect("a request");
                if let Some(length) = length {
                    request.headers_mut().insert("content-length", HeaderValue::from(length));
                }
                let answer = tokio::spawn(async move { client.send(request).await.map(drop) });
                feed.send(body::data("a beginning")).await.expect("the client reads");
                in_time(async {
                    while scene.origin.arrived() == before {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                })
                .await;
                feed.send(Err(io::Error::other("the client breaks off"))).await.expect("the client reads");
                let end = within(SOON, ends.next()).await;
                assert!(end.is_some(), "{combination}: a broken upload looked whole");
                answer.await.expect("no panic").ok();
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_the_answer_lets_the_upstream_go() {
    let (scene, released) = Scene::silent(raw::routes(ROUTES)).await;
    scene
        .in_all_four(async |mut client, _| {
            let before = scene.origin.arrived();
            let request = head(Method::GET, "/").body(body::empty()).expect("a request");
            let waiting = tokio::spawn(async move { client.send(request).await.map(drop) });
            in_time(async {
                while scene.origin.arrived() == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            waiting.abort();
            within(SOON, released.next()).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_dies_in_mid_body_is_an_error_for_the_client() {
    for path in ["/", "/100"] {
        let (scene, feeds) = fed().await;
        scene
            .in_all_four(async |mut client, combination| {
                let request = head(Method::GET, path).body(body::empty()).expect("a request");
                let response = in_time(client.send(request)).await.expect("it is answered");
                let feed = feeds.next().await;
                feed.send(body::data("a beginning")).await.expect("Hudson reads");
                let mut body = response.into_body();
                in_time(body.frame()).await.expect("a piece comes").expect("it is whole");
                feed.send(Err(io::Error::other("the upstream dies"))).await.expect("Hudson reads");
                let end = in_time(body.collect()).await;
                assert!(end.is_err(), "{combination} {path}: a broken answer looked whole");
            })
            .await;
    }
}
