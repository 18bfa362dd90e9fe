//! 1 KiB GETs on what is kept open: what interception alone costs.

use super::round::Stretch;
use super::{Round, Scale, get, plain};
use crate::client::{Connection, Protocol};
use crate::clock;
use crate::origin::{Origin, PLAIN};
use crate::peer::Peer;
use anyhow::Result;
use futures_util::future::try_join_all;

/// Connections, or streams, at once.
const CONCURRENCY: [u32; 3] = [1, 32, 128];

/// A connection for each user.
pub(super) async fn http1(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    for users in CONCURRENCY {
        let mut connections = Vec::new();
        for _ in 0..users {
            connections.push(plain(peer, origin).await?);
        }
        drive(&mut round, peer, connections, scale).await?;
    }
    Ok(round)
}

/// One connection, and a stream at a time for each user.
pub(super) async fn http2(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    for users in CONCURRENCY {
        let connection = peer.way.connect(origin, PLAIN, Protocol::Http2).await?;
        drive(&mut round, peer, connection.shared(users)?, scale).await?;
    }
    Ok(round)
}

async fn drive(round: &mut Round, peer: &Peer, mut users: Vec<Connection>, scale: &Scale) -> Result<()> {
    let count = u32::try_from(users.len())?;
    let (warm_up, each) = match count {
        1 => (scale.warm_up, scale.gets),
        _ => (1, scale.gets_together.div_ceil(count)),
    };
    together(&mut users, warm_up).await?;
    let stretch = Stretch::begin(peer)?;
    let latencies = together(&mut users, each).await?;
    let spent = stretch.end()?;
    let figure = format!("GET c={count}");
    match count {
        1 => round.add_percentiles(&figure, &latencies)?,
        _ => round.add_rate(&figure, &spent, count * each),
    }
    round.add_cpu_per_1000(&figure, &spent, count * each);
    Ok(())
}

/// Every user asks so many times; how long each answer took.
async fn together(users: &mut [Connection], each: u32) -> Result<Vec<f64>> {
    let latencies = try_join_all(users.iter_mut().map(async |connection| {
        let mut latencies = Vec::new();
        for _ in 0..each {
            let sent = clock::now();
            get(connection).await?;
            latencies.push(clock::micros(sent, clock::now()));
        }
        anyhow::Ok(latencies)
    }));
    Ok(latencies.await?.concat())
}
