//! Bodies that are read whole before anything of them leaves.
//!
//! Invariant: all of them together never take more memory than there is room for, and none more than its limit in bytes
//! and time.

use super::Origin;
use crate::shared::BODIES_KIB;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hudson_schema::{Refusal, RefusalCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

/// Room in memory for a body that is read whole; waits for it, so that bottles together cannot fill the memory.
pub(super) async fn room(origin: &Origin, incoming: &Incoming) -> Result<OwnedSemaphorePermit, Refusal> {
    let limit = origin.shared.limits.body_bytes;
    let size =
        incoming.size_hint().upper().and_then(|size| usize::try_from(size).ok()).unwrap_or(limit).min(limit);
    room_for(origin, size).await
}

/// Room in memory for so many bytes.
pub(super) async fn room_for(origin: &Origin, size: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    // As sent, in clear and rewritten.
    let kib = u32::try_from(size.saturating_mul(3).div_ceil(1024)).unwrap_or(u32::MAX);
    let waiting = origin.shared.bodies.clone().acquire_many_owned(kib.min(BODIES_KIB as u32));
    match tokio::time::timeout(origin.shared.limits.body, waiting).await {
        Ok(Ok(room)) => Ok(room),
        _ => {
            Err(Refusal::new(RefusalCode::TooManyTunnels, "Too many large requests at once.")
                .with_retry_after(5))
        }
    }
}

/// The body, whole, within its limit.
pub(super) async fn read(origin: &Origin, incoming: Incoming) -> Result<Bytes, Refusal> {
    let limit = origin.shared.limits.body_bytes;
    let time = origin.shared.limits.body;
    let reading = tokio::time::timeout(time, Limited::new(incoming, limit).collect());
    let Ok(read) = reading.await else {
        let message = format!("The body was not sent within {time:?}.");
        return Err(Refusal::new(RefusalCode::MalformedRequest, message));
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(Refusal::new(RefusalCode::BodyTooLarge, format!("The body is over {limit} bytes.")))
        }
        Err(error) => {
            Err(Refusal::new(RefusalCode::MalformedRequest, format!("The body broke off: {error}.")))
        }
    }
}
