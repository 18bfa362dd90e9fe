//! A fault of Hudson's own ends what it was met in, is reported without its words, and touches nothing else.
//!
//! The faults are those of the traits that a proxy is handed: one look-up of a run panics, and so does one report.

// A scene that cannot be set up ends its test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod scene;

use std::process::Command;
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use hudson_schema::config::{LogLevel, Routes};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use scene::{HOST, SECRET, Scene, get};
use tokio::io::AsyncReadExt;

/// Every request inside a tunnel is refused, and reported.
async fn nowhere() -> Scene {
    scene::scene(Routes::new(LogLevel::Off, Vec::new()), |ledger| ledger).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_ends_alone() {
    let scene = nowhere().await;
    let (mut broken, connection) = http1::handshake(scene.tunnel(b"http/1.1").await).await.unwrap();
    tokio::spawn(connection);
    let (mut other, connection) = http1::handshake(scene.tunnel(b"http/1.1").await).await.unwrap();
    tokio::spawn(connection);
    assert!(broken.send_request(get("/fault")).await.is_err(), "it was answered");
    let event = scene.sink.panicked().await;
    assert_eq!([&event["run"], &event["host"]], ["r1", HOST]);
    assert_eq!(other.send_request(get("/fine")).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(scene.proxy.tunnels().len(), 1, "the broken tunnel keeps its place");
    // What is left ends in good order.
    drop((broken, other));
    tokio::time::timeout(Duration::from_secs(10), scene.proxy.shutdown(Duration::from_secs(5)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_http_2_ends_alone() {
    let scene = nowhere().await;
    let tls = scene.tunnel(b"h2").await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), tls).await.unwrap();
    tokio::spawn(connection);
    let (fine, broken) = (sender.send_request(get("/fine")), sender.send_request(get("/fault")));
    let (fine, broken) = tokio::join!(fine, broken);
    assert!(broken.is_err(), "it was answered");
    let text = fine.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("host_not_allowed"));
    let event = scene.sink.panicked().await;
    assert_eq!([&event["run"], &event["host"]], ["r1", HOST]);
    assert_eq!(sender.send_request(get("/again")).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_alone() {
    let scene = nowhere().await;
    let mut broken = scene.connect("fault:x").await;
    let mut rest = Vec::new();
    broken.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "it was answered");
    assert_eq!(scene.sink.panicked().await["run"], serde_json::Value::Null);
    scene.tunnel(b"h2").await;
}

#[test]
fn what_a_panic_says_is_not_written_but_where_it_was_is() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "a_panic", "--ignored", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("panicked at") && text.contains("panics.rs"), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
#[ignore = "the half of the test above that panics"]
fn a_panic() {
    hudson_proxy::keep_panics_silent();
    let thread = std::thread::spawn(|| panic!("{SECRET}"));
    assert!(thread.join().is_err());
}
