//! Large bodies: 10 MiB down for the CPU it takes, 100 MiB down and up for the speed.

use super::round::{Spent, Stretch};
use super::{Round, Scale, Unit, plain};
use crate::client::Connection;
use crate::origin::Origin;
use crate::peer::Peer;
use anyhow::{Result, ensure};
use bytes::Bytes;
use http::Method;

const MIB: usize = 1 << 20;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut connection = plain(peer, origin).await?;
    download(&mut connection, 10).await?;
    let stretch = Stretch::begin(peer)?;
    for _ in 0..scale.downloads {
        download(&mut connection, 10).await?;
    }
    round.add_cpu("10 MiB down", &stretch.end()?, scale.downloads);

    let stretch = Stretch::begin(peer)?;
    download(&mut connection, scale.large).await?;
    add_speed(&mut round, scale.large, "down", &stretch.end()?);

    // On a connection of its own: Squid resets a large upload behind another request.
    let mut connection = plain(peer, origin).await?;
    let body = Bytes::from(vec![b'u'; scale.large * MIB]);
    let stretch = Stretch::begin(peer)?;
    connection.exchange(Method::POST, "/take", body).await?;
    add_speed(&mut round, scale.large, "up", &stretch.end()?);
    Ok(round)
}

async fn download(connection: &mut Connection, mebibytes: usize) -> Result<()> {
    let length = mebibytes * MIB;
    let arrived = connection.exchange(Method::GET, &format!("/{length}"), Bytes::new()).await?;
    ensure!(arrived == length, "{arrived} of {length} bytes arrived");
    Ok(())
}

fn add_speed(round: &mut Round, mebibytes: usize, direction: &str, spent: &Spent) {
    let figure = format!("{mebibytes} MiB {direction}");
    round.add(figure.clone(), Unit::MibPerSecond, mebibytes as f64 * 1e6 / spent.elapsed);
    round.add_cpu(&figure, spent, 1);
}
