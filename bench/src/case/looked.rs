//! What DLP adds to a request: GETs, and POSTs of a conversation, to a host whose route says nothing and to one whose route
//! switches it off.

use super::round::{Spent, Stretch};
use super::{Round, Scale, get};
use crate::client::{Connection, Protocol};
use crate::clock;
use crate::dlp;
use crate::origin::{Origin, PLAIN, UNLOOKED};
use crate::peer::Peer;
use anyhow::Result;
use bytes::Bytes;
use http::Method;

/// Bytes of a POST.
const LENGTH: usize = 64 << 10;
/// Requests to one host before it is the other's turn.
const TURN: u32 = 20;
/// Bodies that differ: more than a proxy knows again when they are sent again.
const BODIES: usize = 100;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let bodies: Vec<Bytes> = dlp::conversations(LENGTH, BODIES).into_iter().map(Bytes::from).collect();
    for (figure, bodies, count) in [("GET", &[][..], scale.gets), ("64 KiB POST", &bodies[..], scale.posts)] {
        let mut sides = Vec::new();
        for (host, name) in [(PLAIN, ""), (UNLOOKED, ", DLP off")] {
            let mut side = Side::connect(peer, origin, host).await?;
            side.ask(bodies, scale.warm_up).await?;
            side.latencies.clear();
            sides.push((side, name, Spent::default()));
        }
        // In turn, so that whatever else goes on goes on for both.
        let mut left = count;
        while left > 0 {
            let now = TURN.min(left);
            left -= now;
            for (side, _, spent) in &mut sides {
                let stretch = Stretch::begin(peer)?;
                side.ask(bodies, now).await?;
                spent.add(&stretch.end()?);
            }
        }
        for (side, name, spent) in sides {
            let figure = format!("{figure}{name}");
            round.add_percentiles(&figure, &side.latencies)?;
            round.add_rate(&figure, &spent, count);
            round.add_cpu_per_1000(&figure, &spent, count);
        }
    }
    Ok(round)
}

/// A connection to one of the two hosts, and how long its answers took, in microseconds.
struct Side {
    connection: Connection,
    latencies: Vec<f64>,
    /// Requests so far.
    asked: usize,
}

impl Side {
    async fn connect(peer: &Peer, origin: &Origin, host: &'static str) -> Result<Self> {
        let connection = peer.way.connect(origin, host, Protocol::Http1).await?;
        Ok(Self { connection, latencies: Vec::new(), asked: 0 })
    }

    /// So many GETs, or POSTs of one body after the other.
    async fn ask(&mut self, bodies: &[Bytes], count: u32) -> Result<()> {
        for _ in 0..count {
            let body = bodies.get(self.asked.checked_rem(bodies.len()).unwrap_or_default());
            self.asked += 1;
            let sent = clock::now();
            match body {
                None => get(&mut self.connection).await?,
                Some(body) => {
                    self.connection.exchange(Method::POST, "/take", body.clone()).await?;
                }
            }
            self.latencies.push(clock::micros(sent, clock::now()));
        }
        Ok(())
    }
}
