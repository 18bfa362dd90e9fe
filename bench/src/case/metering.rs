//! What the meter adds: the same streams through the same peer, counted under a hard budget and not counted at all.

use super::paced::{EVENTS, Stamps};
use super::round::Stretch;
use super::{Round, Scale, prompt};
use crate::client::{Connection, Protocol};
use crate::clock;
use crate::origin::{Origin, PACED, PACED_TOKENS, UNMETERED};
use crate::peer::Peer;
use anyhow::{Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut metered = Side::connect(peer, origin, PACED).await?;
    let mut unmetered = Side::connect(peer, origin, UNMETERED).await?;
    // In turn, so that whatever else goes on goes on for both.
    for _ in 0..scale.paced {
        metered.paced().await?;
        unmetered.paced().await?;
    }
    round.add_percentiles("event delay", &metered.delays)?;
    round.add_percentiles("unmetered event delay", &unmetered.delays)?;
    for (side, event, first) in [
        (&mut metered, "metered event", "first byte"),
        (&mut unmetered, "unmetered event", "unmetered first byte"),
    ] {
        for _ in 0..scale.warm_up {
            side.burst().await?;
        }
        side.firsts.clear();
        let stretch = Stretch::begin(peer)?;
        for _ in 0..scale.bursts {
            side.burst().await?;
        }
        round.add_cpu_per_1000(event, &stretch.end()?, scale.bursts * EVENTS as u32);
        round.add_percentiles(first, &side.firsts)?;
    }
    round.tokens = PACED_TOKENS * u64::from(scale.paced + scale.warm_up + scale.bursts);
    Ok(round)
}

/// A connection to one of the two hosts, and what was measured on it, in microseconds.
struct Side {
    connection: Connection,
    /// From an event's send to its receipt.
    delays: Vec<f64>,
    /// From a request to the first byte of its stream.
    firsts: Vec<f64>,
}

impl Side {
    async fn connect(peer: &Peer, origin: &Origin, host: &'static str) -> Result<Self> {
        let connection = peer.way.connect(origin, host, Protocol::Http1).await?;
        Ok(Self { connection, delays: Vec::new(), firsts: Vec::new() })
    }

    /// A stream with a millisecond between its events.
    async fn paced(&mut self) -> Result<()> {
        let mut body = self.connection.send(Method::POST, "/v1/messages", prompt("bench", true)).await?;
        let (mut stamps, before) = (Stamps::default(), self.delays.len());
        while let Some(frame) = body.frame().await {
            let received = clock::now();
            let frame = frame?;
            let data = frame.data_ref().map(AsRef::<[u8]>::as_ref).unwrap_or_default();
            stamps.read(data, |sent| self.delays.push(clock::micros(sent, received)))?;
        }
        let seen = self.delays.len() - before;
        ensure!(seen == EVENTS, "{seen} of {EVENTS} events arrived");
        Ok(())
    }

    /// A stream at once.
    async fn burst(&mut self) -> Result<()> {
        let asked = clock::now();
        let target = "/v1/messages?gap=0";
        let mut body = self.connection.send(Method::POST, target, prompt("bench", true)).await?;
        let first = body.frame().await;
        self.firsts.push(clock::micros(asked, clock::now()));
        ensure!(matches!(first, Some(Ok(_))), "no stream came");
        body.collect().await?;
        Ok(())
    }
}
