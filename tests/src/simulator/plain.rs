//! Hosts that are no provider: files, an echo, bytes by number, and the journal itself.

use bytes::Bytes;
use serde_json::{Value, json};

use super::delivery::Reply;

/// One frame of `/bytes/N`.
const BLOCK: usize = 16 * 1024;

/// More than this in one answer is a slip of the test.
const MOST_BYTES: usize = 1 << 30;

/// What stood behind a request's body.
#[derive(Clone, Debug)]
pub(super) struct Trailers(pub(super) http::HeaderMap);

/// Answers by path alone, or not at all.
pub(super) fn answer(parts: &http::request::Parts, body: &[u8]) -> Option<Reply> {
    let path = parts.uri.path();
    if path == "/echo" {
        return Some(echo(parts, body));
    }
    if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse::<usize>().ok()) {
        return Some(bytes(count.min(MOST_BYTES)));
    }
    let text = match path {
        "/" => "Hudson provider simulator\n",
        "/hello.txt" => "hello from the simulator\n",
        "/robots.txt" => "User-agent: *\nDisallow:\n",
        _ => return None,
    };
    Some(Reply::bytes(200, "text/plain; charset=utf-8", text))
}

/// What the client sent, credentials included: a test's own host may see what a test's own client sent.
fn echo(parts: &http::request::Parts, body: &[u8]) -> Reply {
    let pairs = |map: &http::HeaderMap| -> Vec<Value> {
        map.iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect()
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let told = json!({
        "method": parts.method.as_str(),
        "host": super::router::host_of(parts),
        "path": path,
        "version": format!("{:?}", parts.version),
        "headers": pairs(&parts.headers),
        "body": String::from_utf8_lossy(body),
        "trailers": parts.extensions.get().map(|Trailers(trailers)| pairs(trailers)),
    });
    Reply::json(200, &told)
}

/// The byte at each place is its place modulo 251, so a lost or doubled block shows.
fn bytes(count: usize) -> Reply {
    let mut reply = Reply::bytes(200, "application/octet-stream", Bytes::new());
    let pattern: Vec<u8> = (0..BLOCK + 251).map(|place| (place % 251) as u8).collect();
    reply.frames = (0..count)
        .step_by(BLOCK)
        .map(|start| {
            let phase = start % 251;
            Bytes::copy_from_slice(&pattern[phase..phase + BLOCK.min(count - start)])
        })
        .collect();
    reply.stream = true;
    reply
}
