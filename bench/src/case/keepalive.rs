//! 1 KiB GETs on kept connections: what interception alone costs.

use super::{Round, Scale, Unit, get};
use crate::clock;
use crate::origin::{Origin, PLAIN};
use crate::peer::Peer;
use anyhow::Result;
use futures_util::future::try_join_all;

/// Connections at once in the second half.
const CONNECTIONS: u32 = 32;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut connection = peer.way().connect(origin, PLAIN).await?;
    for _ in 0..scale.warm_up {
        get(&mut connection).await?;
    }
    let mut latencies = Vec::new();
    for _ in 0..scale.gets {
        let sent = clock::now();
        get(&mut connection).await?;
        latencies.push(clock::micros(sent, clock::now()));
    }
    round.add_percentiles(["GET c=1 p50", "GET c=1 p99"], &latencies)?;
    drop(connection);

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = peer.way().connect(origin, PLAIN).await?;
        get(&mut connection).await?;
        connections.push(connection);
    }
    let cpu = peer.process().map(|process| process.cpu_micros()).transpose()?;
    let started = clock::now();
    try_join_all(connections.iter_mut().map(async |connection| {
        for _ in 0..scale.gets_each {
            get(connection).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let requests = f64::from(CONNECTIONS * scale.gets_each);
    round.add("GET c=32", Unit::PerSecond, requests * 1e6 / clock::micros(started, clock::now()));
    if let (Some(before), Some(process)) = (cpu, peer.process()) {
        round.add("GET c=32 CPU", Unit::Micros, (process.cpu_micros()? - before) / requests);
    }
    Ok(round)
}
