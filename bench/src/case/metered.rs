//! A JSON POST to a provider, under a hard budget: a hold before it leaves, a settlement before its last byte is given.

use super::{Round, Scale, Unit, prompt};
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
    let mut connection = peer.way().connect(origin, PROVIDER).await?;
    let mut latencies = Vec::new();
    let mut cpu = None;
    for count in 0..scale.warm_up + scale.posts {
        if count == scale.warm_up {
            cpu = peer.process().map(|process| process.cpu_micros()).transpose()?;
        }
        let sent = clock::now();
        connection.exchange(Method::POST, "/v1/messages", prompt(MODEL, false)).await?;
        round.tokens += TOKENS;
        if count >= scale.warm_up {
            latencies.push(clock::micros(sent, clock::now()));
        }
    }
    round.add_percentiles(["POST c=1 p50", "POST c=1 p99"], &latencies)?;
    if let (Some(before), Some(process)) = (cpu, peer.process()) {
        round.add("POST c=1 CPU", Unit::Micros, (process.cpu_micros()? - before) / f64::from(scale.posts));
    }
    Ok(round)
}
