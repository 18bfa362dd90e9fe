//! The cases: each does a fixed amount of work through one peer and says what it took.

mod burst;
mod keepalive;
mod metered;
mod paced;
mod tunnels;

use crate::client::Connection;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::stats;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde::Serialize;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// 1 KiB GET on kept connections, not metered.
    Keepalive,
    /// A metered JSON POST.
    Metered,
    /// New tunnels.
    Tunnels,
    /// A metered stream at 1 ms gaps.
    Paced,
    /// A metered stream at once.
    Burst,
    /// Resident memory at the end.
    Rss,
}

/// How much work one round of each case is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Requests that are not counted, on each new connection.
    pub(crate) warm_up: u32,
    /// GETs on one connection.
    pub(crate) gets: u32,
    /// GETs on each of 32 connections.
    pub(crate) gets_each: u32,
    /// Metered POSTs.
    pub(crate) posts: u32,
    /// Tunnels.
    pub(crate) tunnels: u32,
    /// Streams at 1 ms gaps.
    pub(crate) paced: u32,
    /// Streams at once.
    pub(crate) bursts: u32,
}

/// What a number is counted in, and with that whether more of it is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) enum Unit {
    /// Microseconds.
    #[serde(rename = "µs")]
    Micros,
    /// So many in a second.
    #[serde(rename = "/s")]
    PerSecond,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mib,
}

/// One number of one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) figure: &'static str,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

/// What one round came to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
    /// Tokens that the upstream reported, for the audit.
    pub(crate) tokens: u64,
}

impl Case {
    /// All, in the order in which they run.
    pub(crate) const ALL: [Self; 6] =
        [Self::Keepalive, Self::Metered, Self::Tunnels, Self::Paced, Self::Burst, Self::Rss];

    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Metered => "metered",
            Self::Tunnels => "tunnels",
            Self::Paced => "paced",
            Self::Burst => "burst",
            Self::Rss => "rss",
        }
    }

    /// One round through one peer.
    pub(crate) async fn round(self, peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
        match self {
            Self::Keepalive => keepalive::round(peer, origin, scale).await,
            Self::Metered => metered::round(peer, origin, scale).await,
            Self::Tunnels => tunnels::round(peer, origin, scale).await,
            Self::Paced => paced::round(peer, origin, scale).await,
            Self::Burst => burst::round(peer, origin, scale).await,
            Self::Rss => resident(peer),
        }
    }
}

impl Scale {
    /// Enough for steady figures; the whole table takes about a minute.
    pub(crate) const FULL: Self =
        Self { warm_up: 50, gets: 2000, gets_each: 500, posts: 400, tunnels: 200, paced: 5, bursts: 60 };
    /// Enough to show that everything works.
    pub(crate) const QUICK: Self =
        Self { warm_up: 2, gets: 50, gets_each: 5, posts: 10, tunnels: 5, paced: 1, bursts: 3 };
}

impl Round {
    fn add(&mut self, figure: &'static str, unit: Unit, value: f64) {
        self.samples.push(Sample { figure, unit, value });
    }

    /// Adds both percentiles of latencies in microseconds, under the names given.
    fn add_percentiles(&mut self, names: [&'static str; 2], micros: &[f64]) -> Result<()> {
        let (p50, p99) = stats::p50_p99(micros).context("nothing was measured")?;
        let [first, second] = names;
        self.add(first, Unit::Micros, p50);
        self.add(second, Unit::Micros, p99);
        Ok(())
    }
}

/// Memory after whatever ran before.
fn resident(peer: &Peer) -> Result<Round> {
    let mut round = Round::default();
    if let Some(process) = peer.process() {
        round.add("resident", Unit::Mib, process.resident_mib()?);
    }
    Ok(round)
}

/// A GET that is not metered.
async fn get(connection: &mut Connection) -> Result<()> {
    let length = connection.exchange(http::Method::GET, "/kib", Bytes::new()).await?;
    anyhow::ensure!(length == 1024, "the answer has {length} bytes, not 1024");
    Ok(())
}

/// The body of a metered request.
fn prompt(model: &str, stream: bool) -> Bytes {
    let body = serde_json::json!({
        "model": model,
        "max_tokens": 4096,
        "stream": stream,
        "messages": [{ "role": "user", "content": "Tell me about the harbor in winter." }],
    });
    Bytes::from(body.to_string())
}
