//! A stream at the pace of a quick model: how late each event is, from the upstream's send to the client's read.

use super::{Round, Scale, prompt};
use crate::client::Protocol;
use crate::clock;
use crate::origin::{Origin, PACED, PACED_TOKENS};
use crate::peer::Peer;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;

/// What stands before a stamp.
const MARK: &str = "\"text_delta\",\"text\":\"";
/// Stamped events in a stream.
pub(super) const EVENTS: usize = 200;

pub(super) async fn round(peer: &Peer, origin: &Origin, scale: &Scale) -> Result<Round> {
    let mut round = Round::default();
    let mut connection = peer.way.connect(origin, PACED, Protocol::Http1).await?;
    let mut delays = Vec::new();
    for _ in 0..scale.paced {
        let mut body = connection.send(Method::POST, "/v1/messages", prompt("bench", true)).await?;
        let mut stamps = Stamps::default();
        let before = delays.len();
        while let Some(frame) = body.frame().await {
            let received = clock::now();
            let frame = frame?;
            let data = frame.data_ref().map(AsRef::<[u8]>::as_ref).unwrap_or_default();
            stamps.read(data, |sent| delays.push(clock::micros(sent, received)))?;
        }
        let seen = delays.len() - before;
        ensure!(seen == EVENTS, "{seen} of {EVENTS} events arrived");
        round.tokens += PACED_TOKENS;
    }
    round.add_percentiles("event delay", &delays)?;
    Ok(round)
}

/// Finds the stamps in a stream that may be cut anywhere.
#[derive(Default)]
pub(super) struct Stamps {
    rest: String,
}

impl Stamps {
    pub(super) fn read(&mut self, data: &[u8], mut found: impl FnMut(u64)) -> Result<()> {
        self.rest.push_str(std::str::from_utf8(data).context("the stream is not ASCII")?);
        while let Some((event, behind)) = self.rest.split_once("\n\n") {
            if let Some((_, stamp)) = event.split_once(MARK) {
                let digits = stamp.split('"').next().unwrap_or_default();
                found(digits.parse().with_context(|| format!("no stamp: {event}"))?);
            }
            self.rest = behind.to_owned();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_wherever_the_stream_is_cut() {
        let stream = "event: x\ndata: {}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
                      \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"42\"}}\n\n";
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let (mut stamps, mut found) = (Stamps::default(), Vec::new());
            for part in [first, second] {
                stamps.read(part.as_bytes(), |stamp| found.push(stamp)).unwrap();
            }
            assert_eq!(found, [42], "cut at {cut}");
        }
    }
}
