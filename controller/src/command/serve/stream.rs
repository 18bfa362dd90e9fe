//! `GET /v1/events`: server-sent events. Rows of the audit as they come, which can be taken up again by their place, and
//! this process's own events.
//!
//! Invariant: no row is left out or told twice to one listener; of events that come faster than they are read some are
//! missed, and how many is said.

use super::api::Api;
use crate::control::Body;
use anyhow::Result;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Rows that are read at a time.
const PAGE: usize = 500;
/// How often the audit is looked at where nothing tells of a change: a charge that stops nobody tells of none.
const LOOK: Duration = Duration::from_secs(1);
/// How often something is said, so that a listener that is gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Starts telling, from behind this row of the audit or from now on.
pub(super) async fn answer(api: Arc<Api>, after: Option<i64>) -> Result<Response<Body>> {
    let after = match after {
        Some(after) => after,
        None => api.process.ledger.audit_last().await?,
    };
    let (sender, body) = Channel::<Bytes, Infallible>::new(16);
    tokio::spawn(async move {
        // Whoever went away has nobody to be told.
        let _ = tell(&api, sender, after).await;
    });
    let mut response = Response::new(body.boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn tell(api: &Api, mut sender: Sender<Bytes>, mut after: i64) -> Result<()> {
    let (ledger, mut events) = (&api.process.ledger, api.process.events.watch());
    let mut changes = ledger.changes();
    let mut looks = tokio::time::interval(LOOK);
    let mut alive = tokio::time::interval_at(tokio::time::Instant::now() + ALIVE, ALIVE);
    // At once, so that it is known to be listened to.
    sender.send_data(Bytes::from_static(b": hudson\n\n")).await?;
    loop {
        let due = tokio::select! {
            changed = changes.changed() => { changed?; true }
            _ = looks.tick() => true,
            _ = alive.tick() => {
                sender.send_data(Bytes::from_static(b":\n\n")).await?;
                false
            }
            event = events.recv() => {
                match event {
                    Ok(line) => sender.send_data(message(None, "event", &line)).await?,
                    Err(RecvError::Lagged(missed)) => {
                        let missed = json!({"missed": missed}).to_string();
                        sender.send_data(message(None, "missed", &missed)).await?;
                    }
                    Err(RecvError::Closed) => return Ok(()),
                }
                false
            }
            () = api.end.cancelled() => return Ok(()),
        };
        if !due {
            continue;
        }
        loop {
            let rows = ledger.audit_list(after, PAGE).await?;
            let whole = rows.len() == PAGE;
            for row in rows {
                sender.send_data(message(Some(row.seq), "audit", &serde_json::to_string(&row)?)).await?;
                after = row.seq;
            }
            if !whole {
                break;
            }
        }
    }
}

/// One message. Its data is one line of JSON.
fn message(id: Option<i64>, name: &str, data: &str) -> Bytes {
    let mut text = BytesMut::with_capacity(data.len() + 64);
    if let Some(id) = id {
        text.put_slice(format!("id: {id}\n").as_bytes());
    }
    text.put_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    text.freeze()
}
