//! New tunnels: TCP, CONNECT, a full TLS handshake, one GET.

use super::round::Stretch;
use super::{Round, Scale, get, plain};
use crate::clock;
use crate::origin::Origin;
use crate::peer::Peer;
use anyhow::Result;
use futures_util::future::try_join_all;

/// Tunnels that are made at the same time in the second half.
const TOGETHER: u32 = 16;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    // The first one makes what is made once: a leaf, a connection to the upstream.
    tunnels(peer, origin, 1).await?;

    let stretch = Stretch::begin(peer)?;
    let latencies = tunnels(peer, origin, scale.tunnels).await?;
    let spent = stretch.end()?;
    round.add_rate("c=1", &spent, scale.tunnels);
    round.add_percentiles("c=1 tunnel and GET", &latencies)?;
    round.add_cpu_per_1000("c=1", &spent, scale.tunnels);

    let each = scale.tunnels_together.div_ceil(TOGETHER);
    let stretch = Stretch::begin(peer)?;
    try_join_all((0..TOGETHER).map(|_| tunnels(peer, origin, each))).await?;
    let spent = stretch.end()?;
    round.add_rate("c=16", &spent, TOGETHER * each);
    round.add_cpu_per_1000("c=16", &spent, TOGETHER * each);
    Ok(round)
}

/// So many, one after the other; how long each took.
async fn tunnels(peer: &Peer, origin: &Origin, count: u32) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for _ in 0..count {
        let dialled = clock::now();
        get(&mut plain(peer, origin).await?).await?;
        latencies.push(clock::micros(dialled, clock::now()));
    }
    Ok(latencies)
}
