//! The cases: each does a fixed amount of work through one peer and says what it took.

mod bulk;
mod burst;
mod idle;
mod keepalive;
mod looked;
mod metered;
mod metering;
mod paced;
mod post;
mod round;
mod tunnels;

pub(crate) use round::{Round, Sample, Unit};

use crate::client::{Connection, Protocol};
use crate::origin::{Origin, PLAIN};
use crate::peer::{Kind, Peer};
use anyhow::Result;
use bytes::Bytes;
use http::Method;
use serde::Serialize;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    /// 1 KiB GET on kept HTTP/1.1 connections, not metered.
    Keepalive,
    /// The same on the streams of one HTTP/2 connection.
    Http2,
    /// A metered JSON POST.
    Metered,
    /// 64 KiB POST, not metered.
    Post,
    /// New tunnels.
    Tunnels,
    /// A metered stream at 1 ms gaps.
    Paced,
    /// A stream metered and not metered.
    Metering,
    /// A stream at once, not metered and metered.
    Burst,
    /// GETs and POSTs that DLP looks at, and the same on a route where it does not.
    Dlp,
    /// Large bodies.
    Bulk,
    /// Resident memory for each idle tunnel.
    Rss,
}

/// How much work one round of each case is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Requests that are not counted, on each new connection that is alone.
    pub(crate) warm_up: u32,
    /// GETs one after the other.
    pub(crate) gets: u32,
    /// GETs of all users together, where there are several.
    pub(crate) gets_together: u32,
    /// POSTs, metered or not.
    pub(crate) posts: u32,
    /// Tunnels one after the other.
    pub(crate) tunnels: u32,
    /// Tunnels where several are made at a time.
    pub(crate) tunnels_together: u32,
    /// Streams at 1 ms gaps.
    pub(crate) paced: u32,
    /// Streams at once.
    pub(crate) bursts: u32,
    /// Downloads of 10 MiB.
    pub(crate) downloads: u32,
    /// Mebibytes of the large bodies, one down and one up.
    pub(crate) large: usize,
    /// Tunnels that are open at the same time, first so many, then so many.
    pub(crate) idle: [u32; 2],
}

impl Case {
    /// All, in the order in which they run.
    pub(crate) const ALL: [Self; 11] = [
        Self::Keepalive,
        Self::Http2,
        Self::Metered,
        Self::Post,
        Self::Tunnels,
        Self::Paced,
        Self::Metering,
        Self::Burst,
        Self::Dlp,
        Self::Bulk,
        Self::Rss,
    ];

    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Http2 => "http2",
            Self::Metered => "metered",
            Self::Post => "post",
            Self::Tunnels => "tunnels",
            Self::Paced => "paced",
            Self::Metering => "metering",
            Self::Burst => "burst",
            Self::Dlp => "dlp",
            Self::Bulk => "bulk",
            Self::Rss => "rss",
        }
    }

    /// Does it need a peer that has done nothing yet?
    pub(crate) fn wants_fresh_peer(self) -> bool {
        self == Self::Rss
    }

    /// Can it be measured through such a peer?
    pub(crate) fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Http2 => kind.speaks(Protocol::Http2),
            Self::Rss => kind != Kind::Direct,
            _ => true,
        }
    }

    /// One round through one peer.
    pub(crate) async fn round(self, peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
        match self {
            Self::Keepalive => keepalive::http1(peer, origin, scale).await,
            Self::Http2 => keepalive::http2(peer, origin, scale).await,
            Self::Metered => metered::round(peer, origin, scale).await,
            Self::Post => post::round(peer, origin, scale).await,
            Self::Tunnels => tunnels::round(peer, origin, scale).await,
            Self::Paced => paced::round(peer, origin, scale).await,
            Self::Metering => metering::round(peer, origin, scale).await,
            Self::Burst => burst::round(peer, origin, scale).await,
            Self::Dlp => looked::round(peer, origin, scale).await,
            Self::Bulk => bulk::round(peer, origin, scale).await,
            Self::Rss => idle::round(peer, origin, scale).await,
        }
    }
}

impl Scale {
    /// Enough for steady figures.
    pub(crate) const FULL: Self = Self {
        warm_up: 50,
        gets: 2000,
        gets_together: 16_000,
        posts: 400,
        tunnels: 200,
        tunnels_together: 800,
        paced: 5,
        bursts: 60,
        downloads: 10,
        large: 100,
        idle: [1000, 9000],
    };
    /// Enough to show that everything works.
    pub(crate) const QUICK: Self = Self {
        warm_up: 2,
        gets: 20,
        gets_together: 128,
        posts: 5,
        tunnels: 5,
        tunnels_together: 16,
        paced: 1,
        bursts: 3,
        downloads: 1,
        large: 5,
        idle: [10, 30],
    };

    /// The same for one peer: of what is counted by the request, a tenth where the run would otherwise have no end.
    pub(crate) fn of(self, kind: Kind) -> Self {
        if !kind.is_slow() {
            return self;
        }
        let tenth = |count: u32| count.div_ceil(10);
        Self {
            gets: tenth(self.gets),
            gets_together: tenth(self.gets_together),
            posts: tenth(self.posts),
            tunnels: tenth(self.tunnels),
            tunnels_together: tenth(self.tunnels_together),
            ..self
        }
    }
}

/// A new HTTP/1.1 connection to the host that is not metered.
async fn plain(peer: &Peer, origin: &Origin) -> Result<Connection> {
    peer.way.connect(origin, PLAIN, Protocol::Http1).await
}

/// A GET of 1 KiB that is not metered.
async fn get(connection: &mut Connection) -> Result<()> {
    let length = connection.exchange(Method::GET, "/1024", Bytes::new()).await?;
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
