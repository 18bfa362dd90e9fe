//! A JSON POST to a provider: a hold before it leaves, a settlement before its last byte is given; under hard budgets in
//! every scope, and under none.

use super::round::Stretch;
use super::{Round, Scale, prompt};
use crate::client::{Connection, Protocol};
use crate::clock;
use crate::origin::{Origin, PROVIDER};
use crate::peer::Peer;
use anyhow::Result;
use http::Method;

/// The simulator reads the usage of its answer from the model's name.
const MODEL: &str = "sim-500-200";
const TOKENS: u64 = 700;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut budgeted = peer.way.connect(origin, PROVIDER, Protocol::Http1).await?;
    let mut unbudgeted = peer.unbudgeted().connect(origin, PROVIDER, Protocol::Http1).await?;
    for _ in 0..scale.warm_up {
        post(&mut budgeted).await?;
        post(&mut unbudgeted).await?;
    }
    let mut latencies = Vec::new();
    let stretch = Stretch::begin(peer)?;
    for _ in 0..scale.posts {
        latencies.push(post(&mut budgeted).await?);
    }
    let spent = stretch.end()?;
    round.add_percentiles("POST c=1", &latencies)?;
    round.add_cpu_per_1000("POST c=1", &spent, scale.posts);
    // In turn, so that whatever else goes on goes on for both.
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..scale.posts {
        with.push(post(&mut budgeted).await?);
        without.push(post(&mut unbudgeted).await?);
    }
    round.add_percentiles("budgeted POST", &with)?;
    round.add_percentiles("unbudgeted POST", &without)?;
    round.tokens = TOKENS * u64::from(2 * scale.warm_up + 3 * scale.posts);
    Ok(round)
}

/// How long one takes, in microseconds.
async fn post(connection: &mut Connection) -> Result<f64> {
    let sent = clock::now();
    connection.exchange(Method::POST, "/v1/messages", prompt(MODEL, false)).await?;
    Ok(clock::micros(sent, clock::now()))
}
