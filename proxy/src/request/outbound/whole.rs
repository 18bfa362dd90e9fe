//! A body or a message that is there as a whole: looked at, put together with what went before, and redacted.
//!
//! Invariant: what is large, or has to be unpacked, is looked at beside what else the proxy does.

use super::super::clock;
use super::{Judged, Outbound};
use bytes::Bytes;
use hudson_dlp::{Action, Encoding, Finding, Part, RedactionUnsafe, Region, Transport, Unscannable};
use hudson_schema::{Refusal, RefusalCode};
use std::sync::Arc;

/// From this size on, in bytes, a look takes long enough to make others wait.
const LARGE: usize = 256 << 10;

impl Outbound {
    /// A body in clear, as it may leave; redacted where the route says so.
    pub(in super::super) async fn whole(self: &Arc<Self>, body: Bytes) -> Result<Bytes, Refusal> {
        self.part(Part::Body, body).await
    }

    /// A WebSocket message, likewise.
    pub(in super::super) async fn message(self: &Arc<Self>, message: Bytes) -> Result<Bytes, Refusal> {
        self.part(Part::Message, message).await
    }

    async fn part(self: &Arc<Self>, part: Part, body: Bytes) -> Result<Bytes, Refusal> {
        if body.is_empty() {
            return Ok(body);
        }
        // A message is part of what is under way already.
        let waits = part == Part::Body;
        let aside = body.len() >= LARGE || packing(&body).is_some();
        let (of, looked_at) = (self.clone(), body.clone());
        let Looked { findings, regions, unread } = run(aside, move || of.look(&part, &looked_at)).await?;
        let judged = self.judge(findings);
        match self.act(&judged).await {
            Action::Allow | Action::Warn => match unread {
                Some(fault) => self.unscannable(&fault).map(|()| body),
                None => Ok(body),
            },
            Action::Supervise if waits => {
                Box::pin(self.supervised(&judged, body.len())).await?;
                match unread {
                    Some(fault) => self.unscannable(&fault).map(|()| body),
                    None => Ok(body),
                }
            }
            Action::Block | Action::Supervise => Err(self.refusal(&judged)),
            Action::Redact => {
                let findings: Vec<Finding> = judged.iter().map(|judged| judged.finding.clone()).collect();
                let (of, looked_at) = (self.clone(), body);
                let redact = move || of.detectors.redact(&of.name, &looked_at, &findings, &regions);
                let redacted = run(aside, redact).await?;
                redacted.map(Bytes::from).map_err(|fault| self.unsafe_to_redact(&judged, &fault))
            }
        }
    }

    fn look(&self, part: &Part, body: &[u8]) -> Looked {
        let mut findings = self.detectors.scan(part.clone(), &self.name, body);
        findings.extend(self.detectors.scan_joined(&self.name, body));
        let unread = packing(body).and_then(|packing| self.unpack(part, body, packing, &mut findings));
        if let Some(ring) = &self.ring {
            findings.extend(ring.push(part.clone(), clock(), body));
        }
        let regions = match findings.is_empty() {
            true => Vec::new(),
            false => self.shared.sealed.regions(body),
        };
        hudson_dlp::spare(&mut findings, &regions);
        Looked { findings, regions, unread }
    }

    /// Looks into a compressed file, whatever it is called; tells where there is more in it than can be looked at. One that
    /// is not what it looks like has been looked at as it is, and one that is cut short ends where it was cut.
    fn unpack(
        &self,
        part: &Part,
        body: &[u8],
        packing: Encoding,
        findings: &mut Vec<Finding>,
    ) -> Option<Unscannable> {
        let mut transport = Transport::new(packing.name()).ok()?;
        let (mut scanner, mut found) = (self.scanner(part.clone()), Vec::new());
        let mut unpacked = transport.feed(body, |bytes| found.extend(scanner.feed(bytes)));
        if unpacked.is_ok() {
            unpacked = transport.finish(|bytes| found.extend(scanner.feed(bytes)));
        }
        found.extend(scanner.finish());
        findings.extend(found.into_iter().map(|finding| Finding {
            encodings: [vec![packing], finding.encodings].concat(),
            start: 0,
            end: body.len(),
            ..finding
        }));
        unpacked.err().filter(|fault| *fault == Unscannable::Bomb)
    }

    fn unsafe_to_redact(&self, judged: &[Judged], fault: &RedactionUnsafe) -> Refusal {
        let of_it = judged.iter().filter(|judged| judged.action >= Action::Redact);
        let of_it = of_it.max_by_key(|judged| judged.finding.rule == fault.rule);
        let found = of_it.map(|judged| self.found(&judged.finding)).unwrap_or_else(|| "DLP".to_owned());
        let message = format!("{found}; it cannot be redacted: {}.", fault.reason);
        Refusal::new(RefusalCode::RedactionUnsafe, message)
    }
}

/// What a look has shown.
struct Looked {
    findings: Vec<Finding>,
    /// What must not be changed.
    regions: Vec<Region>,
    /// Why not all of it was seen.
    unread: Option<Unscannable>,
}

/// What a file is compressed by, as its first bytes say (RFC 1952 section 2.3.1, RFC 8878 section 3.1.1).
fn packing(body: &[u8]) -> Option<Encoding> {
    match body {
        [0x1f, 0x8b, 8, ..] => Some(Encoding::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Encoding::Zstd),
        _ => None,
    }
}

/// Does some work, aside where it may take long.
async fn run<T: Send + 'static>(
    aside: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if !aside {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::new(RefusalCode::DlpBlocked, "DLP: the body could not be looked at."))
}
