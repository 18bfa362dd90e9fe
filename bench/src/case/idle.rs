//! Tunnels that are open and silent: the memory that each takes, once its handshake and one request are done.

use super::{Round, Scale, Unit, get, plain};
use crate::files;
use crate::origin::Origin;
use crate::peer::Peer;
use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;

/// Tunnels that are made at the same time.
const TOGETHER: u32 = 16;
/// Open files of a proxy that are no tunnels.
const OTHER_FILES: u64 = 200;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let process = peer.process.as_ref().context("no peer, no memory")?;
    // What is made once is made before.
    get(&mut plain(peer, origin).await?).await?;
    let before = process.resident_kib()?;
    round.add("at rest", Unit::Kib, before);
    let mut tunnels = Vec::new();
    for count in scale.idle {
        // Its client's end, and one to the upstream; the peer's limit is this process's.
        let (needed, limit) = (u64::from(count) * 2 + OTHER_FILES, files::limit());
        if needed > limit {
            round
                .skipped
                .push(format!("{count} idle tunnels take {needed} open files; the limit is {limit}"));
            break;
        }
        while (tunnels.len() as u32) < count {
            let missing = (count - tunnels.len() as u32).min(TOGETHER);
            let opened = (0..missing).map(async |_| {
                let mut connection = plain(peer, origin).await?;
                get(&mut connection).await?;
                anyhow::Ok(connection)
            });
            tunnels.extend(try_join_all(opened).await?);
        }
        let each = (process.resident_kib()? - before) / f64::from(count);
        round.add(figure(count), Unit::Kib, each);
    }
    Ok(round)
}

/// What the memory of each of so many tunnels is called.
fn figure(count: u32) -> String {
    format!("each of {count} idle tunnels")
}
