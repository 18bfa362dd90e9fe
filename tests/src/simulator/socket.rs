//! WebSockets, and OpenAI Responses over one (`wss://api.openai.com/v1/responses`, and Codex's own address): one turn
//! after the other, each an entry of its own in the journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::Shared;
use super::chat::unauthorized;
use super::delivery::{self, Body};
use super::realtime;
use super::responses::{turn, wrong};
use super::script::{Fault, Script};

/// Time for the messages before a break to leave the machine.
pub(super) const BEFORE_BREAK: Duration = Duration::from_millis(50);
/// Where a Realtime session is opened.
const REALTIME: &str = "/v1/realtime";
/// Larger than any message a client sends here.
const MOST_MESSAGE: usize = 256 << 20;

/// Whether a request opens one of these.
pub(super) fn is_asked(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    request.method() == Method::GET
        && request.headers().contains_key(UPGRADE)
        && [REALTIME, "/v1/responses", "/backend-api/codex/responses"].contains(&path)
}

/// Accepts it, and answers its messages in a task of their own.
pub(super) fn open(mut request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let entry = shared.journal.arrived(&parts);
    if let Some(refused) = unauthorized(&parts.headers) {
        return delivery::deliver(refused, false, entry, shared);
    }
    shared.journal.update(entry, |entry| entry.status = 101);
    let key = parts.headers.get("sec-websocket-key").map(|key| key.as_bytes()).unwrap_or_default();
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    if let Ok(accept) = derive_accept_key(key).parse() {
        headers.insert("sec-websocket-accept", accept);
    }
    tokio::spawn(converse(upgrade, parts, Arc::clone(shared)));
    response
}

async fn converse(upgrade: OnUpgrade, parts: Parts, shared: Arc<Shared>) -> anyhow::Result<()> {
    let config =
        WebSocketConfig::default().max_message_size(Some(MOST_MESSAGE)).max_frame_size(Some(MOST_MESSAGE));
    let stream = TokioIo::new(upgrade.await?);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    if parts.uri.path() == REALTIME {
        return realtime::converse(socket, parts, shared).await;
    }
    let mut waiting = VecDeque::new();
    loop {
        let message = match waiting.pop_front() {
            Some(message) => message,
            None => match socket.next().await {
                Some(message) => message?,
                None => return Ok(()),
            },
        };
        let message = match message {
            Message::Text(text) => serde_json::from_str::<Value>(&text),
            Message::Binary(_) => Ok(Value::Null),
            _ => continue,
        };
        let Ok(body) = message else {
            say(&mut socket, &wrong(400, "invalid_json", "The message is no JSON.")).await?;
            continue;
        };
        match body["type"].as_str() {
            Some("response.create") => {
                if !answer(&mut socket, &mut waiting, &parts, &body, &shared).await? {
                    return Ok(());
                }
            }
            _ => {
                shared.journal.arrived(&parts).into_iter().for_each(|entry| {
                    shared.journal.body(Some(entry), 0, body.to_string().as_bytes());
                });
                say(&mut socket, &wrong(400, "unknown_event", "Unknown event.")).await?;
            }
        }
    }
}

pub(super) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

pub(super) async fn say(socket: &mut Socket, message: &Value) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

/// Takes what came meanwhile; false when the client has closed, which ends a response at a provider, too.
fn stays(socket: &mut Socket, waiting: &mut VecDeque<Message>) -> bool {
    while let Some(message) = socket.next().now_or_never() {
        match message {
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
            Some(Ok(message)) => waiting.push_back(message),
        }
    }
    true
}

/// Answers one `response.create`; false when the connection is over.
async fn answer(
    socket: &mut Socket,
    waiting: &mut VecDeque<Message>,
    parts: &Parts,
    body: &Value,
    shared: &Arc<Shared>,
) -> anyhow::Result<bool> {
    let entry = shared.journal.arrived(parts);
    let text = body.to_string();
    shared.journal.body(entry, text.len(), text.as_bytes());
    let (script, messages) = match turn(body, &parts.headers, shared) {
        Ok(turn) => turn,
        Err(error) => {
            let status = error["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            shared.journal.update(entry, |entry| entry.status = status.unwrap_or(400));
            say(socket, &error).await?;
            return Ok(true);
        }
    };
    let Script { usage, model, fault, .. } = &script;
    shared.journal.update(entry, |entry| {
        (entry.status, entry.stream) = (200, true);
        (entry.usage, entry.model) = (Some(*usage), Some(model.clone()));
        entry.text = Some(script.text());
    });
    say(socket, &json!({ "type": "codex.rate_limits", "rate_limits": {} })).await?;
    for (count, message) in messages.iter().enumerate() {
        match fault {
            Some(Fault::Drop(after)) if count >= *after => {
                tokio::time::sleep(BEFORE_BREAK).await;
                return Ok(false);
            }
            Some(Fault::Stall(after)) if count == *after => tokio::time::sleep(shared.options.stall).await,
            Some(Fault::Error(after)) if count >= *after => {
                say(socket, &wrong(500, "server_error", "The server had an error.")).await?;
                return Ok(true);
            }
            _ => {}
        }
        if !shared.options.gap.is_zero() {
            tokio::time::sleep(shared.options.gap).await;
        }
        if !stays(socket, waiting) {
            return Ok(false);
        }
        let text = message.to_string();
        // The record comes first: whoever has read a byte finds it in the journal.
        shared.journal.sent(entry, text.as_bytes());
        socket.send(Message::text(text)).await?;
    }
    shared.journal.update(entry, |entry| entry.complete = true);
    Ok(true)
}
