//! Interactions of Discord: its PING, by which it also tries whether a wrong signature is refused, and buttons.

use super::{refuse, signed};
use crate::control::{self, Body};
use crate::hearing::{Done, Hearing, Press, Refusal};
use crate::instance::now;
use crate::notify::discord::{Discord, Interaction, changes, pong, tells};
use crate::notify::{Channel, Chat, Service, over, sign};
use http::request::Parts;
use http::{Response, StatusCode};
use hudson_schema::ledger::DecidedVia;

const VIA: DecidedVia = DecidedVia::Discord;
/// What Discord asks whether somebody is there by.
const PING: u64 = 1;
/// A button, among others.
const COMPONENT: u64 = 3;

/// A channel and its name.
type Named<'a> = (&'a str, &'a Discord);

pub(super) async fn answer(hearing: &Hearing, parts: &Parts, body: &[u8]) -> Response<Body> {
    let channels = hearing.channels.get();
    let (interaction, signed) = match proved(&channels, parts, body) {
        Ok(proved) => proved,
        Err(refusal) => {
            hearing.refused(VIA, "discord", None, &refusal).await;
            return refuse(&refusal);
        }
    };
    match interaction.kind {
        PING => control::json(StatusCode::OK, &pong()),
        COMPONENT => match decide(hearing, &signed, &interaction).await {
            Ok(done) if done.missing > 0 => control::json(StatusCode::OK, &tells(&done.words())),
            Ok(done) => control::json(StatusCode::OK, &changes(&over(&done.approval, now()))),
            Err(refusal) => control::json(StatusCode::OK, &tells(&refusal.to_string())),
        },
        _ => control::json(StatusCode::OK, &tells("Hudson hears buttons alone.")),
    }
}

/// What Discord has signed for one of the applications.
/// With the channels of that application.
fn proved<'a>(
    channels: &'a [Channel],
    parts: &Parts,
    body: &[u8],
) -> Result<(Interaction, Vec<Named<'a>>), Refusal> {
    let (timestamp, signature) = signed(parts, "x-signature-timestamp", "x-signature-ed25519")?;
    let signed: Vec<_> =
        discords(channels).filter(|(_, discord)| discord.is_signed(timestamp, body, signature)).collect();
    if signed.is_empty() {
        return Err(Refusal::Signature);
    }
    if !sign::is_recent(timestamp, now()) {
        return Err(Refusal::Stale);
    }
    let interaction = serde_json::from_slice(body);
    let interaction = interaction.map_err(|_| Refusal::Malformed("it is no interaction of Discord's"))?;
    Ok((interaction, signed))
}

async fn decide(hearing: &Hearing, signed: &[Named<'_>], interaction: &Interaction) -> Result<Done, Refusal> {
    let user = interaction.user();
    let actor = user.map_or_else(|| "discord".to_owned(), |user| format!("discord:{user}"));
    let channel: Option<u64> = interaction.channel_id.as_deref().and_then(|channel| channel.parse().ok());
    let place = signed.iter().find(|(_, discord)| Some(discord.channel) == channel);
    let (Some((name, discord)), Some(message)) = (place, &interaction.message) else {
        let refusal = Refusal::OtherPlace;
        hearing.refused(VIA, &actor, None, &refusal).await;
        return Err(refusal);
    };
    let user: Option<u64> = user.and_then(|user| user.parse().ok());
    let press = Press {
        channel: name,
        key: discord.buttons(),
        via: VIA,
        actor: &actor,
        may_decide: user.is_some_and(|user| discord.approvers.contains(&user)),
        message: Some(&message.id),
        data: interaction.data.as_ref().and_then(|data| data.custom_id.as_deref()),
        nonce: format!("discord:{}", interaction.id),
    };
    hearing.press(press).await
}

fn discords(channels: &[Channel]) -> impl Iterator<Item = (&str, &Discord)> {
    channels.iter().filter_map(|channel| match &channel.service {
        Service::Chat(Chat::Discord(discord)) => Some((channel.name.as_str(), discord)),
        _ => None,
    })
}
