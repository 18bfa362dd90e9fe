//! A stream that is there at once: how soon the client has all of it, where nobody counts and where each token is.

use super::{Round, Scale, prompt};
use crate::client::Protocol;
use crate::clock;
use crate::origin::{Origin, PLAIN, PROVIDER};
use crate::peer::Peer;
use anyhow::{Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;

/// 800 tokens, of which the simulator puts four in an event.
const MODEL: &str = "sim-100-800";
const TOKENS: u64 = 900;
/// Text events of a stream.
const EVENTS: usize = 200;
/// What each of them has once.
const MARK: &[u8] = b"\"text_delta\"";

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let times = streams(peer, origin, scale, PLAIN, "/burst").await?;
    round.add_percentiles("200 events", counted(&times, scale))?;
    let times = streams(peer, origin, scale, PROVIDER, "/v1/messages").await?;
    round.add_percentiles("200 metered events", counted(&times, scale))?;
    round.tokens = TOKENS * times.len() as u64;
    Ok(round)
}

/// How long each stream of a host took.
async fn streams(
    peer: &Peer,
    origin: &Origin,
    scale: &Scale,
    host: &'static str,
    path: &str,
) -> Result<Vec<f64>> {
    let mut connection = peer.way.connect(origin, host, Protocol::Http1).await?;
    let mut times = Vec::new();
    for _ in 0..scale.warm_up.min(scale.bursts) + scale.bursts {
        let sent = clock::now();
        let body = connection.send(Method::POST, path, prompt(MODEL, true)).await?;
        let body = body.collect().await?.to_bytes();
        times.push(clock::micros(sent, clock::now()));
        let events = body.windows(MARK.len()).filter(|window| *window == MARK).count();
        ensure!(events == EVENTS, "{events} of {EVENTS} events arrived");
    }
    Ok(times)
}

/// Without those that warmed up.
fn counted<'t>(times: &'t [f64], scale: &Scale) -> &'t [f64] {
    times.split_at(times.len() - scale.bursts as usize).1
}
