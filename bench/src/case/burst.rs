//! A stream that is there at once: how soon the client has all of it.

use super::{Round, Scale, prompt};
use crate::clock;
use crate::origin::{Origin, PROVIDER};
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
    let mut connection = peer.way().connect(origin, PROVIDER).await?;
    let mut times = Vec::new();
    for _ in 0..scale.warm_up.min(scale.bursts) + scale.bursts {
        let sent = clock::now();
        let body = connection.send(Method::POST, "/v1/messages", prompt(MODEL, true)).await?;
        let body = body.collect().await?.to_bytes();
        times.push(clock::micros(sent, clock::now()));
        let events = body.windows(MARK.len()).filter(|window| *window == MARK).count();
        ensure!(events == EVENTS, "{events} of {EVENTS} events arrived");
        round.tokens += TOKENS;
    }
    let counted = times.split_off(times.len() - scale.bursts as usize);
    round.add_percentiles(["200 events p50", "200 events p99"], &counted)?;
    Ok(round)
}
