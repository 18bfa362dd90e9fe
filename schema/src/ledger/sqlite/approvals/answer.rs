//! Answers that come by a channel. That it is the first time, that it is about what was shown, and the decision are one
//! transaction: nothing can change in between.

use super::super::fail::Fail;
use super::super::{audit, channels};
use super::decide;
use super::rows::stored;
use super::tell::{By, note};
use crate::ledger::approval::{Answered, ApprovalAnswer, Decided, RefusedAnswer, Verdict};
use rusqlite::Connection;
use serde_json::json;

/// See [`crate::ledger::Ledger::approval_answer`].
pub(crate) fn answer(connection: &Connection, answer: &ApprovalAnswer) -> Result<Answered, Fail> {
    let Some(found) = stored(connection, &answer.decision.id)? else {
        return Ok(Answered::Decided(Decided::Unknown));
    };
    let found = found.at(answer.decision.now);
    if channels::is_heard(connection, &answer.nonce)? {
        return Ok(Answered::Heard(found));
    }
    if found.fingerprint != answer.fingerprint {
        return Ok(Answered::OtherRequest(found));
    }
    let decided = match answer.verdict {
        Verdict::Approve => decide::approve(connection, &answer.decision)?,
        Verdict::Deny => decide::deny(connection, &answer.decision)?,
    };
    // What changed nothing can come again and change nothing: it is not worth a row.
    if matches!(decided, Decided::Made(_) | Decided::Awaiting { .. }) {
        channels::hear(connection, &answer.nonce, answer.nonce_until, answer.decision.now)?;
    }
    Ok(Answered::Decided(decided))
}

/// See [`crate::ledger::Ledger::approval_refuse`].
pub(crate) fn refuse(connection: &Connection, refused: &RefusedAnswer) -> Result<(), Fail> {
    const KIND: &str = "approval_refuse";
    let RefusedAnswer { approval, actor, via, why, more, now } = refused;
    let found = match approval {
        Some(id) => stored(connection, id)?,
        None => None,
    };
    match found {
        Some(found) => {
            let by = By { actor, via: *via, now: *now };
            note(connection, &found, KIND, by, json!({"why": why, "more": more}))
        }
        None => {
            let told = json!({"approval": approval, "via": via, "why": why, "more": more});
            audit::append(connection, *now, KIND, actor, None, &told)
        }
    }
}
