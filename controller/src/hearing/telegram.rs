//! Asking Telegram for what people pressed: one poller for each bot and home, by a file lock, because Telegram gives each
//! update to one alone.
//!
//! Invariants: where it goes on is in the ledger, and moves past an update only once that is dealt with, so that a restart
//! neither loses one nor decides by one twice; whoever pressed is always answered.

use super::{Hearing, Press, Refusal};
use crate::instance::now;
use crate::notify::telegram::{Bot, CallbackQuery, Telegram, Update};
use crate::notify::{Call, Channel, Chat, Fault, Service, TIMEOUT, send, telegram};
use hudson_schema::home::Home;
use hudson_schema::ledger::DecidedVia;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// How often it is looked whether the settings have other bots.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a poll may take beyond what it waits at Telegram.
const BEYOND: Duration = Duration::from_secs(10);
/// The first rest after something went wrong; it doubles until the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long Telegram keeps an update, in milliseconds. After a week without any it may count from another place, so that
/// an old place is not told.
const KEPT: i64 = 24 * 3600 * 1000;

/// Polls every bot of the settings for as long as the process lives.
pub async fn listen(hearing: Arc<Hearing>, home: Home) {
    let mut pollers: HashMap<String, (Bot, AbortOnDropHandle<()>)> = HashMap::new();
    forget(&hearing).await;
    loop {
        let channels = hearing.channels.get();
        let bots: HashMap<String, Bot> =
            heard(&channels).map(|(_, telegram)| (telegram.bot().mark(), telegram.bot().clone())).collect();
        let gone: Vec<String> = pollers.keys().filter(|mark| !bots.contains_key(*mark)).cloned().collect();
        for mark in gone {
            if let Some((bot, poller)) = pollers.remove(&mark) {
                drop(poller);
                // Nobody is meant to hear it any more.
                fault(&hearing, &bot.source(), "").await;
            }
        }
        for (mark, bot) in bots {
            let (hearing, home) = (hearing.clone(), home.clone());
            pollers.entry(mark).or_insert_with(|| {
                let poller = tokio::spawn(poll_alone(hearing, home, bot.clone()));
                (bot, AbortOnDropHandle::new(poller))
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Forgets what was wrong with bots that the settings do not have any more.
async fn forget(hearing: &Hearing) {
    let Ok(state) = hearing.ledger.notify_state().await else { return };
    let channels = hearing.channels.get();
    let is_known = |source: &str| heard(&channels).any(|(_, telegram)| telegram.bot().source() == source);
    for deaf in state.deaf.iter().filter(|deaf| !is_known(&deaf.source)) {
        fault(hearing, &deaf.source, "").await;
    }
}

/// The chats in which somebody may decide.
fn heard(channels: &[Channel]) -> impl Iterator<Item = (&str, &Telegram)> {
    channels.iter().filter_map(|channel| match &channel.service {
        Service::Chat(Chat::Telegram(telegram)) if telegram.buttons().is_some() => {
            Some((channel.name.as_str(), telegram))
        }
        _ => None,
    })
}

/// Polls once no other process of this home does.
async fn poll_alone(hearing: Arc<Hearing>, home: Home, bot: Bot) {
    let source = bot.source();
    let _lock = loop {
        match take(&home, &source) {
            Ok(Some(lock)) => break lock,
            Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => {
                fault(&hearing, &source, &format!("cannot be locked: {error}")).await;
                tokio::time::sleep(LONGEST_REST).await;
            }
        }
    };
    poll(&hearing, &bot, &source).await;
}

fn take(home: &Home, source: &str) -> std::io::Result<Option<File>> {
    DirBuilder::new().recursive(true).mode(0o700).create(home.runtime())?;
    let path = home.runtime().join(format!("{}.lock", source.replace(':', "-")));
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

async fn poll(hearing: &Hearing, bot: &Bot, source: &str) {
    let mut rest = FIRST_REST;
    loop {
        match step(hearing, bot, source).await {
            Ok(()) => {
                rest = FIRST_REST;
                fault(hearing, source, "").await;
            }
            Err(why) => {
                fault(hearing, source, why.words()).await;
                let wait = match why {
                    Fault::Again(_) => rest,
                    Fault::After(wait, _) => wait.max(FIRST_REST),
                    Fault::Never(_) => LONGEST_REST,
                };
                tokio::time::sleep(wait).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

/// One poll, and all that it brought.
async fn step(hearing: &Hearing, bot: &Bot, source: &str) -> Result<(), Fault> {
    let failed = |error: hudson_schema::ledger::LedgerError| Fault::Again(error.to_string());
    let cursor = hearing.ledger.notify_cursor_fetch(source).await.map_err(failed)?;
    let is_fresh = now().saturating_sub(cursor.moved_at) < KEPT;
    let offset = is_fresh.then_some(cursor.position);
    let limit = Duration::from_secs(telegram::POLL) + BEYOND;
    let answer = send(&hearing.dialer, bot.poll(offset), limit).await?;
    for update in bot.updates(&answer)? {
        // One from before was heard already, whoever sends it again.
        if offset.is_some_and(|offset| update.update_id < offset) {
            continue;
        }
        let position = update.update_id.saturating_add(1);
        hear(hearing, bot, update).await?;
        hearing.ledger.notify_cursor_set(source, position, now()).await.map_err(failed)?;
    }
    Ok(())
}

/// Deals with an update; an error when it cannot be dealt with now, and has to come again.
async fn hear(hearing: &Hearing, bot: &Bot, update: Update) -> Result<(), Fault> {
    let Some(query) = update.callback_query else { return Ok(()) };
    let (text, alert) = match decide(hearing, bot, &query).await {
        Err(Refusal::Ledger(error)) => return Err(Fault::Again(error)),
        Ok(done) => (done.words(), false),
        Err(refusal) => (refusal.to_string(), true),
    };
    let call: Call = bot.answer(&query.id, &text, alert);
    // Best effort: what was pressed long ago cannot be answered any more, and is decided all the same.
    let _ = send(&hearing.dialer, call, TIMEOUT).await;
    Ok(())
}

async fn decide(hearing: &Hearing, bot: &Bot, query: &CallbackQuery) -> Result<super::Done, Refusal> {
    let actor = format!("telegram:{}", query.from.id);
    let channels = hearing.channels.get();
    let place = query.message.as_ref().and_then(|message| {
        let here = |(_, telegram): &(&str, &Telegram)| {
            telegram.chat == message.chat.id && telegram.bot().mark() == bot.mark()
        };
        heard(&channels).find(here).map(|(name, telegram)| (name, telegram, message.message_id.to_string()))
    });
    let Some((channel, telegram, message)) = place else {
        let refusal = Refusal::OtherPlace;
        hearing.refused(DecidedVia::Telegram, &actor, None, &refusal).await;
        return Err(refusal);
    };
    let press = Press {
        channel,
        key: telegram.buttons(),
        via: DecidedVia::Telegram,
        actor: &actor,
        may_decide: telegram.approvers.contains(&query.from.id),
        message: Some(&message),
        data: query.data.as_deref(),
        nonce: format!("{}:{}", bot.source(), query.id),
    };
    hearing.press(press).await
}

/// Says why a bot is not heard, or by an empty text that it is; once for each change of that.
async fn fault(hearing: &Hearing, source: &str, why: &str) {
    let known = match hearing.ledger.notify_state().await {
        Ok(state) => state.deaf.into_iter().find(|deaf| deaf.source == source).map(|deaf| deaf.fault),
        Err(_) => return,
    };
    if known.as_deref().unwrap_or_default() == why {
        return;
    }
    match why {
        "" => hearing.events.write("channel_heard", json!({"source": source})),
        why => {
            let fix = if why.contains("409") { Some(CONFLICT) } else { None };
            hearing.events.write("channel_unheard", json!({"source": source, "error": why, "fix": fix}));
        }
    }
    if let Err(error) = hearing.ledger.notify_fault_set(source, why, now()).await {
        let told = json!({"what": "why a channel is not heard", "error": error.to_string()});
        hearing.events.write("ledger_failed", told);
    }
}

const CONFLICT: &str = "another program asks for this bot's updates, or a webhook is set for it: stop that one, or give \
                        Hudson a bot of its own";
