//! A JSON POST to a provider, under a hard budget: a hold before it leaves, a settlement before its last byte is given.

use super::round::Stretch;
use super::{Round, Scale, prompt};
use crate::client::Protocol;
use crate::clock;
use crate::origin::{Origin, PROVIDER};
use crate::peer::Peer;
use anyhow::Result;
use http::Method;

/// The simulator reads the usage of its answer from the model's name.
const MODEL: &str = "sim-500-200";
const TOKENS: u64 = 700;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut connection = peer.way.connect(origin, PROVIDER, Protocol::Http1).await?;
    for _ in 0..scale.warm_up {
        connection.exchange(Method::POST, "/v1/messages", prompt(MODEL, false)).await?;
    }
    let mut latencies = Vec::new();
    let stretch = Stretch::begin(peer)?;
    for _ in 0..scale.posts {
        let sent = clock::now();
        connection.exchange(Method::POST, "/v1/messages", prompt(MODEL, false)).await?;
        latencies.push(clock::micros(sent, clock::now()));
    }
    let spent = stretch.end()?;
    round.tokens = TOKENS * u64::from(scale.warm_up + scale.posts);
    round.add_percentiles("POST c=1", &latencies)?;
    round.add_cpu_per_1000("POST c=1", &spent, scale.posts);
    Ok(round)
}
