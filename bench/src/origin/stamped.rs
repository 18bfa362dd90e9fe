//! A server whose events say when they were sent: the Anthropic stream format, with a clock reading as the text.
//!
//! | request | answer |
//! |---|---|
//! | `GET /BYTES` | a body of that length, which is known from the start |
//! | `POST /take` | `taken`, when the body has been read |
//! | `POST /burst` | 200 events at once |
//! | any other `POST` | 200 events a millisecond apart |
//!
//! Events keep to a schedule and not to gaps, so that one that is late does not delay those behind it.

use crate::clock;
use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

/// Stamped events in a stream, one token each.
pub(super) const EVENTS: u64 = 200;
/// What a stream reports as its input.
pub(super) const INPUT: u64 = 100;
/// From one event to the next.
const GAP: Duration = Duration::from_millis(1);
/// The longest body of a `GET`.
const MOST: usize = 100 << 20;

type Body = BoxBody<Bytes, Infallible>;

/// Serves connections as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, config: Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // A client that breaks off is seen where it is measured.
        tokio::spawn(connection(stream, acceptor.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (stream, service) = (TokioIo::new(stream), service_fn(answer));
    match http2 {
        true => http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await?,
        false => http1::Builder::new().serve_connection(stream, service).await?,
    }
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let at_once = path == "/burst" || request.uri().query() == Some("gap=0");
    if request.method() != Method::POST {
        let length = path.trim_start_matches('/').parse().unwrap_or_default();
        return Ok(Response::new(Full::from(zeros(length)).boxed()));
    }
    let mut body = request.into_body();
    // A client that breaks off inside its body gets an answer that it does not read.
    while let Some(Ok(_)) = body.frame().await {}
    if path == "/take" {
        return Ok(Response::new(Full::from("taken").boxed()));
    }
    let gap = if at_once { Duration::ZERO } else { GAP };
    let (sender, body) = Channel::new(16);
    if gap.is_zero() {
        tokio::spawn(stream(sender, gap));
    } else {
        // A thread, because the runtime's timer counts whole milliseconds.
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(stream(sender, gap)));
    }
    let mut response = Response::new(body.boxed());
    let kind = http::HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// So many bytes of a buffer that is made once.
fn zeros(length: usize) -> Bytes {
    static ZEROS: OnceLock<Bytes> = OnceLock::new();
    let zeros = ZEROS.get_or_init(|| vec![0; MOST].into());
    zeros.slice(..length.min(MOST))
}

async fn stream(mut sender: Sender<Bytes>, gap: Duration) {
    let usage = json!({ "input_tokens": INPUT, "output_tokens": 1 });
    let message = json!({
        "id": "msg_bench", "type": "message", "role": "assistant", "model": "bench", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    let block = json!({ "type": "text", "text": "" });
    let mut first = event(&json!({ "type": "message_start", "message": message }));
    first += &event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }));
    let delta = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let mut last = event(&json!({ "type": "content_block_stop", "index": 0 }));
    last += &event(&json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": EVENTS } }));
    last += &event(&json!({ "type": "message_stop" }));

    let mut gone = sender.send_data(first.into()).await.is_err();
    let mut due = Instant::now();
    for _ in 0..EVENTS {
        due += gap;
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        gone = gone || sender.send_data(stamp(clock::now()).into()).await.is_err();
    }
    if !gone {
        let _ = sender.send_data(last.into()).await;
    }
}

/// One event that says when it was sent.
fn stamp(sent: u64) -> String {
    let delta = json!({ "type": "text_delta", "text": sent.to_string() });
    event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
}

fn event(data: &serde_json::Value) -> String {
    let name = data.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}
