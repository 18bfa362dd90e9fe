//! New tunnels, one after the other: TCP, CONNECT, a full TLS handshake, one GET.

use super::{Round, Scale, Unit, get};
use crate::clock;
use crate::origin::{Origin, PLAIN};
use crate::peer::Peer;
use anyhow::Result;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    // The first one makes what is made once: a leaf, a connection to the upstream.
    get(&mut peer.way().connect(origin, PLAIN).await?).await?;
    let mut latencies = Vec::new();
    let started = clock::now();
    for _ in 0..scale.tunnels {
        let dialled = clock::now();
        get(&mut peer.way().connect(origin, PLAIN).await?).await?;
        latencies.push(clock::micros(dialled, clock::now()));
    }
    let elapsed = clock::micros(started, clock::now());
    round.add("tunnels c=1", Unit::PerSecond, f64::from(scale.tunnels) * 1e6 / elapsed);
    round.add_percentiles(["tunnel and GET p50", "tunnel and GET p99"], &latencies)?;
    Ok(round)
}
