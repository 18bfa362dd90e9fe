//! A gibibyte each way through TLS: every byte arrives, and Hudson's memory does not grow with it.

use std::time::Instant;

use bytes::Bytes;
use flate2::Crc;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::{self, Body};
use super::client::{Client, head};
use super::scene::{Scene, Version};

/// What is sent each way.
const SIZE: u64 = 1 << 30;
/// One frame of it; no divisor of a power of two, so that a lost or doubled piece shows in the sum.
const BLOCK: usize = 251 * 255;
/// A small part of it, with which everything that looks at bytes has begun to: what Hudson takes for good is taken then.
const FIRST: u64 = 2 << 20;
/// How much Hudson may grow by, in bytes, whatever the size: windows and buffers on both sides, and what the allocator keeps.
const GROWTH: u64 = 32 << 20;

/// About so many bytes, and how many they are.
fn bulk(size: u64) -> (Body, u64) {
    let block: Vec<u8> = (0..BLOCK).map(|place| (place % 251) as u8).collect();
    let times = size / BLOCK as u64;
    (body::repeated(Bytes::from(block), times), times * BLOCK as u64)
}

/// Reads a body to its end without keeping it: its length and checksum.
async fn sum(mut body: impl hyper::body::Body<Data = Bytes, Error = impl std::fmt::Debug> + Unpin) -> String {
    let mut crc = Crc::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("the body does not break");
        let data = frame.data_ref().expect("it has no trailers");
        length += data.len() as u64;
        crc.update(data);
    }
    format!("{length} {:08x}", crc.sum())
}

/// Sends a gibibyte, or reads one and answers with its sum.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    if request.method() == Method::GET {
        return Response::new(bulk(SIZE).0);
    }
    Response::new(body::full(sum(request.into_body()).await))
}

/// The most memory a process has ever used, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Hudson runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("Linux tells the peak") * 1024
}

/// Sends about so many bytes; what they were where they arrived.
async fn upload(client: &mut Client, size: u64) -> String {
    let (body, length) = bulk(size);
    let request = head(Method::POST, "/").header("content-length", HeaderValue::from(length));
    let answer = client.send(request.body(body).expect("a request")).await.expect("it is answered");
    let answer = answer.into_body().collect().await.expect("it is whole").to_bytes();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn passes_in_constant_memory(version: Version) {
    let scene = Scene::new(answer).await;
    if version == Version::Http1 {
        scene.origin.speak(version).await;
    }
    let mut client = Client::connect(&scene.agent, version).await;
    let sent = upload(&mut client, FIRST).await;
    assert_eq!(sent, sum(bulk(FIRST).0).await, "first");
    let expected = sum(bulk(SIZE).0).await;
    let before = peak(scene.stage.process());

    let started = Instant::now();
    let request = head(Method::GET, "/").body(body::empty()).expect("a request");
    let response = client.send(request).await.expect("it is answered");
    assert_eq!(sum(response.into_body()).await, expected, "down");
    let down = started.elapsed();

    let started = Instant::now();
    assert_eq!(upload(&mut client, SIZE).await, expected, "up");
    let up = started.elapsed();

    let growth = peak(scene.stage.process()) - before;
    report!("1 GiB over {version}: down {down:.1?}, up {up:.1?}, peak memory + {} KiB", growth >> 10);
    assert!(growth <= GROWTH, "Hudson's peak memory grew by {growth} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_each_way_over_http_1_takes_no_memory() {
    passes_in_constant_memory(Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_each_way_over_http_2_takes_no_memory() {
    passes_in_constant_memory(Version::Http2).await;
}
