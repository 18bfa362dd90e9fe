//! A POST of 64 KiB that is not metered: what an agent's longer prompts cost on their way up.

use super::round::Stretch;
use super::{Round, Scale, plain};
use crate::clock;
use crate::origin::Origin;
use crate::peer::Peer;
use anyhow::Result;
use bytes::Bytes;
use http::Method;

/// Bytes of a request.
const LENGTH: usize = 64 * 1024;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut connection = plain(peer, origin).await?;
    let body = Bytes::from(vec![b'p'; LENGTH]);
    for _ in 0..scale.warm_up {
        connection.exchange(Method::POST, "/take", body.clone()).await?;
    }
    let mut latencies = Vec::new();
    let stretch = Stretch::begin(peer)?;
    for _ in 0..scale.posts {
        let sent = clock::now();
        connection.exchange(Method::POST, "/take", body.clone()).await?;
        latencies.push(clock::micros(sent, clock::now()));
    }
    let spent = stretch.end()?;
    round.add_percentiles("64 KiB POST", &latencies)?;
    round.add_cpu_per_1000("64 KiB POST", &spent, scale.posts);
    Ok(round)
}
