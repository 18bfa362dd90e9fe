//! One message of a Realtime WebSocket, from the client or from the server. Sources: openai-python
//! `types/realtime/realtime_client_event_param.py`, `realtime_session_create_request_param.py`,
//! `realtime_response_create_params_param.py`, `realtime_audio_input_turn_detection_param.py`, and the older shapes below
//! `types/beta/realtime`.

use super::{Draft, RequestError, Scalar, is_link, stored_prompt, text, unwrapped, wrong};
use crate::request::facts::flag;
use crate::request::realtime::TurnTaking;
use crate::request::walk::reads;
use std::ops::Range;

/// What is known of the message.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// A cap is written, be it `inf`.
    pub(crate) caps: bool,
    /// Whether the server answers by itself when the user stops speaking, where the message says so.
    pub(crate) turns: Option<TurnTaking>,
    /// Whether another model writes down what is heard, where the message says so.
    pub(crate) transcription: Option<bool>,
    /// `session.type` is one that only transcribes.
    transcribes: bool,
    /// An item approves the call of a tool at the server, or audio is committed with an answer asked for.
    pub(crate) answers: bool,
    /// The `turn_detection` object that is open.
    detection: Detection,
    kind: Option<String>,
    /// `event_id`.
    pub(crate) event: Option<String>,
}

#[derive(Debug, Default)]
struct Detection {
    keeps_silent: bool,
    off: bool,
    speaks_up: bool,
}

impl Session {
    /// The message's `type`.
    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The object of this message in which a cap holds.
    pub(crate) fn capped_object(&self) -> Option<&'static str> {
        match self.kind() {
            Some("response.create") => Some("response"),
            Some("session.update") if !self.transcribes => Some("session"),
            _ => None,
        }
    }

    fn take_turns(&mut self, turns: TurnTaking) {
        // Two places may say it, an older and a newer one; which counts is the server's secret.
        if self.turns != Some(TurnTaking::Server) {
            self.turns = Some(turns);
        }
    }
}

pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    if let [object @ ("response" | "session"), "max_output_tokens" | "max_response_output_tokens"] = path {
        draft.realtime.caps |= value != Scalar::Null;
        let field = match (*object, path.last()) {
            ("response", Some(&"max_output_tokens")) => "response.max_output_tokens",
            ("response", _) => "response.max_response_output_tokens",
            (_, Some(&"max_output_tokens")) => "session.max_output_tokens",
            _ => "session.max_response_output_tokens",
        };
        return draft.cap(field, value, span);
    }
    match path {
        ["type"] => draft.realtime.kind = text("type", value)?,
        ["event_id"] => match text("event_id", value)? {
            Some(event) => draft.realtime.event = Some(event),
            // Hudson puts one in where none is.
            None => return wrong("event_id", "a text"),
        },
        ["session", "type"] => {
            draft.realtime.transcribes = matches!(value, Scalar::Text(raw) if reads(raw, "transcription"));
            if draft.realtime.transcribes {
                draft.realtime.transcription = Some(true);
            }
        }
        // An approval lets the server call a tool and go on with what that returns.
        ["item", "type"] if matches!(value, Scalar::Text(raw) if reads(raw, "mcp_approval_response")) => {
            draft.realtime.answers = true;
        }
        ["create_response"] => draft.realtime.answers |= value != Scalar::Bool(false),
        _ => {}
    }
    let detection = &mut draft.realtime.detection;
    match unwrapped(draft.dialect, path) {
        ["turn_detection"] | ["audio", "input", "turn_detection"] if path.len() > 1 => match value {
            Scalar::Null => draft.realtime.take_turns(TurnTaking::Client),
            _ => return wrong("turn_detection", "an object or null"),
        },
        ["turn_detection", name] | ["audio", "input", "turn_detection", name] => match *name {
            "create_response" => {
                detection.keeps_silent = flag("turn_detection.create_response", value)? == Some(false)
            }
            "idle_timeout_ms" => detection.speaks_up = value != Scalar::Null,
            "type" => {
                detection.off =
                    value == Scalar::Null || matches!(value, Scalar::Text(raw) if reads(raw, "none"));
            }
            _ => {}
        },
        ["input_audio_transcription"] | ["audio", "input", "transcription"] if path.len() > 1 => {
            // Of two places that say it, one may count.
            let says = value != Scalar::Null || draft.realtime.transcription == Some(true);
            draft.realtime.transcription = Some(says);
        }
        ["prompt"] if path.len() > 1 && value != Scalar::Null => stored_prompt(draft),
        ["input", "[]", "id"] if path.len() > 1 => draft.unseen("item"),
        ["input", .., "image_url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    match path {
        ["item", .., "image_url"] if is_link(value) => draft.unseen("url"),
        _ => {}
    }
    Ok(())
}

pub(super) fn open(draft: &mut Draft, path: &[&str], array: bool) -> Result<(), RequestError> {
    match unwrapped(draft.dialect, path) {
        ["turn_detection"] | ["audio", "input", "turn_detection"] if path.len() > 1 => {
            if array {
                return wrong("turn_detection", "an object or null");
            }
            draft.realtime.detection = Detection::default();
        }
        ["input_audio_transcription"] | ["audio", "input", "transcription"] if path.len() > 1 => {
            draft.realtime.transcription = Some(true);
        }
        ["prompt"] if path.len() > 1 => stored_prompt(draft),
        ["type"] => return wrong("type", "a text"),
        _ => {}
    }
    Ok(())
}

pub(super) fn close(draft: &mut Draft, path: &[&str]) {
    if let ["session", "turn_detection"] | ["session", "audio", "input", "turn_detection"] = path {
        let Detection { keeps_silent, off, speaks_up } = std::mem::take(&mut draft.realtime.detection);
        let client = off || (keeps_silent && !speaks_up);
        draft.realtime.take_turns(if client { TurnTaking::Client } else { TurnTaking::Server });
    }
}
