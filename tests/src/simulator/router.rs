//! From a request to the module that answers it, by host and path.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, UPGRADE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::chat::Endpoint;
use super::delivery::{self, Body, Reply};
use super::{
    Shared, anthropic, bedrock, chat, cohere, gemini, git, interactions, ollama, plain, responses, side,
    socket,
};

/// Larger than any request a client makes here.
const MOST_REQUEST: usize = 256 * 1024 * 1024;

/// The host a request is for, without its port, in lower case.
pub(super) fn host_of(parts: &http::request::Parts) -> String {
    let header = || parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    let authority =
        parts.uri.authority().map(|authority| authority.as_str()).or_else(header).unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.to_ascii_lowercase()
}

pub(super) async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Body> {
    if socket::is_asked(&request) {
        return socket::open(request, shared);
    }
    let (mut parts, body) = request.into_parts();
    if parts.uri.path() == "/_journal" {
        let entries = serde_json::to_vec(&shared.journal.entries()).unwrap_or_default();
        return delivery::deliver(Reply::bytes(200, "application/json", entries), false, None, shared);
    }
    let entry = shared.journal.arrived(&parts);
    let gzip =
        parts.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(accepts_gzip);
    let reply = match Limited::new(body, MOST_REQUEST).collect().await {
        Ok(body) => {
            parts.extensions.insert(plain::Trailers(body.trailers().cloned().unwrap_or_default()));
            let body = body.to_bytes();
            let length = body.len();
            match decode(&parts.headers, body) {
                Ok(body) => {
                    shared.journal.body(entry, length, &body);
                    route(&parts, &body, shared).await
                }
                Err(error) => {
                    Reply::bytes(400, "text/plain", format!("the body cannot be decoded: {error}\n"))
                }
            }
        }
        Err(error) => Reply::bytes(400, "text/plain", format!("the body did not arrive: {error}\n")),
    };
    delivery::deliver(reply, gzip, entry, shared)
}

fn accepts_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| coding.split(';').next().unwrap_or_default().trim() == "gzip")
}

/// Undoes the request's own coding; Git's CGI does that itself.
fn decode(headers: &HeaderMap, body: Bytes) -> std::io::Result<Bytes> {
    let git = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-git"));
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        Some(b"gzip") if !git => {
            let mut decoded = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut decoded)?;
            Ok(decoded.into())
        }
        Some(b"zstd") => Ok(zstd::decode_all(&body[..])?.into()),
        _ => Ok(body),
    }
}

async fn route(parts: &http::request::Parts, body: &Bytes, shared: &Arc<Shared>) -> Reply {
    let path = parts.uri.path();
    if path == "/repo.git" || path.starts_with("/repo.git/") {
        return git::answer(parts, body, shared).await;
    }
    if let Some(reply) = plain::answer(parts, body) {
        return reply;
    }
    if parts.headers.contains_key(UPGRADE) {
        return chat::error(426, "upgrade_not_supported", "WebSocket is not available here; use HTTP.");
    }
    let host = host_of(parts);
    if let Some(reply) = model_call(&host, parts, body, shared) {
        return reply;
    }
    side::answer(parts, &host).unwrap_or_else(|| not_found(&host))
}

fn model_call(host: &str, parts: &http::request::Parts, body: &[u8], shared: &Arc<Shared>) -> Option<Reply> {
    let (path, headers) = (parts.uri.path(), &parts.headers);
    if parts.method == Method::GET {
        let id = path.strip_prefix("/v1/responses/")?;
        return Some(responses::retrieve(id, shared));
    }
    if parts.method != Method::POST {
        return None;
    }
    // A body that is no JSON reaches the endpoint as null, and the endpoint says which field is missing.
    let json = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    match path {
        "/v1/messages" => Some(anthropic::messages(&json(), headers, shared)),
        "/v1/messages/count_tokens" => Some(anthropic::count_tokens(&json(), headers, shared)),
        "/v1/chat/completions" | "/openai/v1/chat/completions" => {
            Some(chat::completions(Endpoint::Chat, host, &json(), headers, shared))
        }
        "/v1/completions" => Some(chat::completions(Endpoint::Plain, host, &json(), headers, shared)),
        "/v1/responses" => Some(responses::create(&json(), headers, shared)),
        "/v1/responses/input_tokens" => Some(responses::input_tokens(&json(), headers, shared)),
        "/backend-api/codex/responses" if host == "chatgpt.com" => {
            Some(responses::create(&json(), headers, shared))
        }
        "/v2/chat" => Some(cohere::chat(&json(), headers, shared)),
        "/api/chat" => Some(ollama::call(ollama::Endpoint::Chat, &json(), headers, shared)),
        "/api/generate" => Some(ollama::call(ollama::Endpoint::Generate, &json(), headers, shared)),
        "/v1/interactions" | "/v1beta/interactions" => Some(interactions::create(&json(), headers, shared)),
        _ if path.starts_with("/model/") => bedrock::call(parts, body, shared),
        _ => {
            let (_, call) = path.split_once("/models/")?;
            let call = call.split_once(':')?;
            Some(gemini::call(call, parts.uri.query().unwrap_or_default(), &json(), headers, shared))
        }
    }
}

fn not_found(host: &str) -> Reply {
    match host {
        "api.anthropic.com" => anthropic::error(404, "not_found_error", "Not found"),
        "generativelanguage.googleapis.com" => gemini::error(404, "NOT_FOUND", "Not found"),
        "api.openai.com" | "chatgpt.com" => chat::error(404, "not_found", "Not found"),
        _ => Reply::bytes(404, "text/plain", "not found\n"),
    }
}
