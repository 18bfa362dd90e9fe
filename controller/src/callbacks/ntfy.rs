//! Buttons of ntfy, which a phone presses by calling Hudson itself: the path is the button, and holds its own proof.

use super::refuse;
use crate::control::{self, Body};
use crate::hearing::{Hearing, Press, Refusal};
use crate::notify::ntfy::done;
use crate::notify::{ButtonKey, Channel, Chat, Pressed, Service};
use http::{Response, StatusCode};
use hudson_schema::ledger::{DecidedVia, Verdict};
use serde_json::json;

const VIA: DecidedVia = DecidedVia::Ntfy;

pub(super) async fn answer(hearing: &Hearing, token: &str) -> Response<Body> {
    match decide(hearing, token).await {
        Ok(told) => control::json(StatusCode::OK, &told),
        Err(refusal) => refuse(&refusal),
    }
}

async fn decide(hearing: &Hearing, token: &str) -> Result<serde_json::Value, Refusal> {
    let channels = hearing.channels.get();
    let Some((name, key)) = topic(hearing, &channels, token).await? else {
        let refusal = Refusal::NoButton;
        hearing.refused(VIA, "ntfy", None, &refusal).await;
        return Err(refusal);
    };
    let press = Press {
        channel: name,
        key: Some(key),
        via: VIA,
        actor: name,
        // Whoever reads the topic may: that is what `decide` says.
        may_decide: true,
        message: None,
        data: Some(token),
        // The URL is good once.
        nonce: format!("ntfy:{token}"),
    };
    let heard = hearing.press(press).await?;
    let verdict = token.parse::<Pressed>().map_or(Verdict::Deny, |pressed| pressed.verdict);
    Ok(json!({
        "id": heard.approval.id,
        "status": heard.approval.status,
        "message": if heard.missing > 0 { heard.words() } else { done(verdict).to_owned() },
    }))
}

/// The topic for which this button was made; none where nobody has made it.
async fn topic<'a>(
    hearing: &Hearing,
    channels: &'a [Channel],
    token: &str,
) -> Result<Option<(&'a str, &'a ButtonKey)>, Refusal> {
    let Ok(pressed) = token.parse::<Pressed>() else { return Ok(None) };
    let found = hearing.ledger.approval_fetch(&pressed.id, crate::instance::now()).await;
    let found = found.map_err(|error| Refusal::Ledger(error.to_string()))?;
    let Some(approval) = found else { return Ok(None) };
    let made = channels.iter().filter_map(|channel| match &channel.service {
        Service::Chat(Chat::Ntfy(ntfy)) => Some((channel.name.as_str(), ntfy.buttons()?)),
        _ => None,
    });
    let mut made = made.filter(|(name, key)| key.fits(name, &pressed, &approval.fingerprint));
    Ok(made.next())
}
