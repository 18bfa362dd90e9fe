//! Decisions of another system, signed as notifications to it are: with its secret, over a timestamp and the body. It echoes
//! the approval's id and the whole digest of what it was shown.

use super::{refuse, signed};
use crate::control::{self, Body};
use crate::hearing::{Call, Hearing, Refusal};
use crate::instance::now;
use crate::notify::webhook::{Decision, SIGNATURE, TIMESTAMP, Webhook};
use crate::notify::{Channel, Service, sign};
use http::request::Parts;
use http::{Response, StatusCode};
use hudson_schema::ledger::{DecidedVia, Fingerprint};
use hudson_schema::prompt;
use serde_json::json;

const VIA: DecidedVia = DecidedVia::Webhook;
/// The longest nonce, in characters.
const NONCE: usize = 128;
/// Characters of a reason.
const REASON: usize = 500;
/// Characters of what a decision calls its author.
const NAME: usize = 80;

pub(super) async fn answer(hearing: &Hearing, name: &str, parts: &Parts, body: &[u8]) -> Response<Body> {
    let channels = hearing.channels.get();
    let decision = match proved(&channels, name, parts, body) {
        Ok(decision) => decision,
        Err(refusal) => {
            // A name that nobody has is anybody's text.
            let actor = match webhook(&channels, name) {
                Some(_) => format!("webhook:{name}"),
                None => "webhook".to_owned(),
            };
            hearing.refused(VIA, &actor, None, &refusal).await;
            return refuse(&refusal);
        }
    };
    match decide(hearing, name, decision).await {
        Ok(told) => control::json(StatusCode::OK, &told),
        Err(refusal) => refuse(&refusal),
    }
}

/// What was signed for this webhook.
fn proved(channels: &[Channel], name: &str, parts: &Parts, body: &[u8]) -> Result<Decision, Refusal> {
    let (timestamp, signature) = signed(parts, TIMESTAMP, SIGNATURE)?;
    // Which names there are is nothing that is told.
    let webhook = webhook(channels, name).ok_or(Refusal::Signature)?;
    if !webhook.is_signed(timestamp, body, signature) {
        return Err(Refusal::Signature);
    }
    if !sign::is_recent(timestamp, now()) {
        return Err(Refusal::Stale);
    }
    let decision: Decision = serde_json::from_slice(body).map_err(|_| {
        Refusal::Malformed(
            "expected JSON with schema, id, action_digest, decision (approve or deny), nonce, and maybe reason and \
             decided_by",
        )
    })?;
    if decision.schema != "1" {
        return Err(Refusal::Malformed("its schema is not \"1\""));
    }
    let letters = decision.nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if !letters || !(1..=NONCE).contains(&decision.nonce.len()) {
        return Err(Refusal::Malformed("a nonce has 1 to 128 visible ASCII characters"));
    }
    Ok(decision)
}

async fn decide(hearing: &Hearing, name: &str, decision: Decision) -> Result<serde_json::Value, Refusal> {
    let actor = format!("webhook:{name}");
    let Some(fingerprint) = fingerprint(&decision.action_digest) else {
        let refusal = Refusal::Malformed("action_digest has 64 hex digits");
        hearing.refused(VIA, &actor, Some(decision.id), &refusal).await;
        return Err(refusal);
    };
    let done = hearing
        .call(Call {
            via: VIA,
            actor: &actor,
            verdict: decision.decision,
            id: &decision.id,
            fingerprint,
            nonce: format!("{actor}:{}", decision.nonce),
            reason: decision.reason.map(|reason| prompt::cleaned(&reason, REASON)),
            claimed_by: decision.decided_by.map(|name| prompt::cleaned(&name, NAME)),
        })
        .await?;
    Ok(json!({
        "id": done.approval.id,
        "status": done.approval.status,
        "decided_by": done.approval.decided_by,
        "missing": done.missing,
    }))
}

fn webhook<'a>(channels: &'a [Channel], name: &str) -> Option<&'a Webhook> {
    channels.iter().find_map(|channel| match &channel.service {
        Service::Webhook(webhook) if webhook.decides_as.as_deref() == Some(name) => Some(webhook),
        _ => None,
    })
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok().filter(|digits| !digits.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(Fingerprint(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let shown = Fingerprint(std::array::from_fn(|place| u8::try_from(place * 7).unwrap()));
        assert_eq!(fingerprint(&shown.to_string()), Some(shown));
        for wrong in ["", "ab", &"g".repeat(64), &"+a".repeat(32), &"é".repeat(32), &"a".repeat(65)] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
    }
}
