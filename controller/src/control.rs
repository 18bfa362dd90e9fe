//! The control socket: by it an operator's programs see and steer a running controller, in HTTP/1.1 and JSON, and a
//! `hudson run` or `hudson bottle add` hands over a run with credentials that must not be stored anywhere.
//!
//! Invariants: only the operator's own uid is answered, and only in the namespaces of the controller: no bottle is;
//! nothing is read of any other; heads and bodies are bounded, in size and in time.

mod client;
mod http;
mod peer;
mod place;

pub use client::{Identity, Refused, RunServe, Served, Stream, get, hand_over, order, status};
pub use http::{Answerer, Body, error, json, read_body, serve as serve_connection, text};
pub use place::Place;

use crate::events::EventLog;
use anyhow::{Context, Result};
use hudson_schema::home::Home;
use hyper_util::rt::TokioIo;
use serde_json::json as object;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once: programs of one operator.
const CONNECTIONS: usize = 64;
/// How long accepting rests after it failed.
const REST: Duration = Duration::from_millis(50);
/// How long who is refused has to read why.
const LINGER: Duration = Duration::from_millis(250);
/// How often it is told that somebody was refused.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Listens on the control socket. The place must be held: what is left of an older socket is removed.
pub fn listen(home: &Home, _place: &Place) -> Result<UnixListener> {
    let path = home.control_socket();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("listening on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("protecting {}", path.display()))?;
    Ok(listener)
}

/// Answers whom it may until `end`.
pub async fn serve(
    listener: UnixListener,
    answerer: Arc<dyn Answerer>,
    events: Arc<EventLog>,
    end: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let refusals = Arc::new(Semaphore::new(CONNECTIONS));
    let mut told: Option<Instant> = None;
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        // Before a byte of it is read.
        if let Err(why) = peer::check(&stream) {
            if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                told = Some(Instant::now());
                events.write("control_refused", object!({"reason": why.to_string()}));
            }
            // Who may not come takes no room from those who may.
            if let Ok(place) = refusals.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    refuse(stream, format!("{why:#}")).await;
                    drop(place);
                });
            }
            continue;
        }
        let (answerer, end) = (answerer.clone(), end.clone());
        tokio::spawn(async move {
            http::serve(TokioIo::new(stream), answerer, end).await;
            drop(permit);
        });
    }
}

/// Says why, unread. Who does not listen is not waited for.
async fn refuse(mut stream: UnixStream, why: String) {
    let body = object!({"error": {"code": "forbidden", "message": why}}).to_string();
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let telling = async {
        let _ = stream.write_all((head + &body).as_bytes()).await;
        let _ = stream.shutdown().await;
        // A client that finds both directions closed when it looks first takes it for nobody being there.
        tokio::time::sleep(LINGER).await;
    };
    let _ = tokio::time::timeout(2 * LINGER, telling).await;
}
