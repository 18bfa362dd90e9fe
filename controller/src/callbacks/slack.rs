//! Buttons in Slack. Slack waits three seconds for an answer: it gets one at once, and whoever is refused is told by the API.

use super::{refuse, signed};
use crate::control::{self, Body};
use crate::hearing::{Hearing, Press, Refusal};
use crate::instance::now;
use crate::notify::slack::{Interaction, Slack, place};
use crate::notify::{Channel, Chat, Service, TIMEOUT, send, sign};
use http::request::Parts;
use http::{Response, StatusCode};
use hudson_schema::ledger::DecidedVia;
use std::sync::Arc;

const VIA: DecidedVia = DecidedVia::Slack;

pub(super) async fn answer(hearing: &Arc<Hearing>, parts: &Parts, body: &[u8]) -> Response<Body> {
    let channels = hearing.channels.get();
    let (interaction, seal) = match proved(&channels, parts, body) {
        Ok(proved) => proved,
        Err(refusal) => {
            hearing.refused(VIA, "slack", None, &refusal).await;
            return refuse(&refusal);
        }
    };
    if interaction.kind != "block_actions" {
        return control::text(StatusCode::OK, "text/plain", String::new());
    }
    if let Err(refusal) = decide(hearing, &channels, &interaction, &seal).await {
        if let Refusal::Ledger(_) = refusal {
            return refuse(&refusal);
        }
        tell(hearing, &channels, &interaction, &seal, &refusal);
    }
    control::text(StatusCode::OK, "text/plain", String::new())
}

/// What was signed, and how: for one app, and for the channels of that one alone.
struct Seal<'a> {
    timestamp: &'a str,
    body: &'a [u8],
    signature: &'a str,
}

impl Seal<'_> {
    fn is_of(&self, slack: &Slack) -> bool {
        slack.is_signed(self.timestamp, self.body, self.signature)
    }
}

/// What Slack has signed for one of the apps.
fn proved<'a>(
    channels: &[Channel],
    parts: &'a Parts,
    body: &'a [u8],
) -> Result<(Interaction, Seal<'a>), Refusal> {
    let (timestamp, signature) = signed(parts, "x-slack-request-timestamp", "x-slack-signature")?;
    let seal = Seal { timestamp, body, signature };
    if !slacks(channels).any(|(_, slack)| seal.is_of(slack)) {
        return Err(Refusal::Signature);
    }
    if !sign::is_recent(timestamp, now()) {
        return Err(Refusal::Stale);
    }
    let interaction = Interaction::read(body).ok_or(Refusal::Malformed("it has no payload of Slack's"))?;
    Ok((interaction, seal))
}

async fn decide(
    hearing: &Hearing,
    channels: &[Channel],
    interaction: &Interaction,
    seal: &Seal<'_>,
) -> Result<(), Refusal> {
    let actor = format!("slack:{}", hudson_schema::prompt::cleaned(&interaction.user.id, 40));
    let Some((name, slack, message)) = place_of(channels, interaction, seal) else {
        let refusal = Refusal::OtherPlace;
        hearing.refused(VIA, &actor, None, &refusal).await;
        return Err(refusal);
    };
    let action = interaction.actions.first();
    let press = Press {
        channel: name,
        key: slack.buttons(),
        via: VIA,
        actor: &actor,
        may_decide: slack.approvers.contains(&interaction.user.id),
        message: Some(&message),
        data: action.and_then(|action| action.value.as_deref()),
        // A request that is sent again has the same signature, whatever it says of itself.
        nonce: format!("slack:{}", seal.signature),
    };
    hearing.press(press).await.map(drop)
}

/// The channel of the settings that the message is in, and the message's place.
fn place_of<'a>(
    channels: &'a [Channel],
    interaction: &Interaction,
    seal: &Seal<'_>,
) -> Option<(&'a str, &'a Slack, String)> {
    let container = interaction.container.as_ref()?;
    let (channel, ts) = (container.channel_id.as_deref()?, container.message_ts.as_deref()?);
    let (name, slack) = slacks(channels).find(|(_, slack)| slack.channel == channel && seal.is_of(slack))?;
    Some((name, slack, place(channel, ts)))
}

/// Tells whoever pressed why nothing came of it, beside the answer to Slack.
fn tell(
    hearing: &Arc<Hearing>,
    channels: &[Channel],
    interaction: &Interaction,
    seal: &Seal<'_>,
    refusal: &Refusal,
) {
    let Some((_, slack, _)) = place_of(channels, interaction, seal) else { return };
    let Ok(call) = slack.tell(&slack.channel, &interaction.user.id, &refusal.to_string()) else { return };
    let hearing = hearing.clone();
    tokio::spawn(async move {
        // Best effort: it is in the audit.
        let _ = send(&hearing.dialer, call, TIMEOUT).await;
    });
}

fn slacks(channels: &[Channel]) -> impl Iterator<Item = (&str, &Slack)> {
    channels.iter().filter_map(|channel| match &channel.service {
        Service::Chat(Chat::Slack(slack)) => Some((channel.name.as_str(), slack)),
        _ => None,
    })
}
