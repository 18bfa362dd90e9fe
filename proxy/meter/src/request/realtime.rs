//! What one message of a Realtime WebSocket means for admission.
//!
//! A socket carries many turns, and the server may begin one by itself. Whoever relays the socket keeps the session's
//! state (its cap, who takes turns, the input so far) and asks here what each message changes. Invariant: a message that
//! two readers could read differently is an error; a message that is not known is [`RealtimeKind::Other`] and may begin
//! a turn.
//!
//! A client's `session.update` only asks: whether the server took it, its own `session.updated` says, which [`read`]
//! reads as well.

use super::dialect::Dialect;
use super::estimate::Estimate;
use super::facts;
use super::{RequestError, RequestHead, Rewrite, splice};
use hudson_schema::Format;

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RealtimeKind {
    /// `session.update`: the client asks for another session.
    SessionUpdate,
    /// `session.created` or `session.updated`: the server states the session as it is.
    Session,
    /// `response.create`: the client asks for an answer.
    Response,
    /// `conversation.item.create`: more input.
    Item,
    /// `input_audio_buffer.append`: more audio.
    AudioAppend,
    /// `input_audio_buffer.commit`: the audio so far becomes input.
    AudioCommit,
    /// One of the client's that brings no input and begins no turn: cancel, clear, delete, truncate, retrieve.
    Control,
    /// Any other message.
    Other,
}

/// What a message says about the cap of an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RealtimeCap {
    /// Nothing: what held before holds.
    #[default]
    Unchanged,
    /// There is none (`inf`).
    Unlimited,
    /// So many tokens for one answer.
    Tokens(u64),
}

/// Who decides when the server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TurnTaking {
    /// The client, by `response.create`.
    Client,
    /// The server, whenever it hears the user stop or waits too long.
    Server,
}

/// What a message means for admission.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RealtimeMessage {
    /// What it is.
    pub kind: RealtimeKind,
    /// What its sender calls it, by which an error answers it.
    pub event_id: Option<String>,
    /// What it says about the cap: of this answer, or of every answer of the session.
    pub cap: RealtimeCap,
    /// Who takes turns, where it says so. A session begins with [`TurnTaking::Server`].
    pub turns: Option<TurnTaking>,
    /// Whether what is heard is transcribed by a model, which is charged whether there is an answer or not; where it
    /// says so.
    pub transcribes: Option<bool>,
    /// Whether it may begin an answer whoever takes turns. Where the server does, more audio may, too.
    pub begins_answer: bool,
    /// The model it names.
    pub model: Option<String>,
    /// Tokens of input that it brings, leaning high. An answer reads what all messages before it have brought, and what
    /// it generated itself.
    pub input_estimate: u64,
    /// Work the provider does by itself, as in [`RequestFacts`](super::RequestFacts).
    pub server_tools: Vec<String>,
    /// Input that is named but not in the message.
    pub unseen_input: Vec<&'static str>,
}

/// Reads one text message, of the client or of the server.
pub fn read(message: &[u8]) -> Result<RealtimeMessage, RequestError> {
    let draft = facts::collect(Estimate::new(Dialect::Realtime), message)?;
    let kind = match draft.realtime.kind() {
        Some("session.update" | "transcription_session.update") => RealtimeKind::SessionUpdate,
        Some("session.created" | "session.updated") => RealtimeKind::Session,
        Some("response.create") => RealtimeKind::Response,
        Some("conversation.item.create") => RealtimeKind::Item,
        Some("input_audio_buffer.append") => RealtimeKind::AudioAppend,
        Some("input_audio_buffer.commit") => RealtimeKind::AudioCommit,
        Some(
            "response.cancel"
            | "input_audio_buffer.clear"
            | "output_audio_buffer.clear"
            | "conversation.item.delete"
            | "conversation.item.retrieve"
            | "conversation.item.truncate",
        ) => RealtimeKind::Control,
        _ => RealtimeKind::Other,
    };
    let tokens = draft.places.caps.iter().filter_map(|cap| cap.tokens).max();
    let unlimited = draft.realtime.caps && draft.places.caps.iter().any(|cap| cap.tokens.is_none());
    let cap = match tokens {
        _ if unlimited => RealtimeCap::Unlimited,
        Some(tokens) => RealtimeCap::Tokens(tokens),
        None => RealtimeCap::Unchanged,
    };
    Ok(RealtimeMessage {
        kind,
        event_id: draft.realtime.event,
        cap,
        turns: draft.realtime.turns,
        transcribes: draft.realtime.transcription,
        begins_answer: draft.realtime.answers || matches!(kind, RealtimeKind::Response | RealtimeKind::Other),
        input_estimate: draft.estimate.total(None, "", draft.tools),
        model: draft.facts.model,
        server_tools: draft.facts.server_tools,
        unseen_input: draft.facts.unseen_input,
    })
}

/// A `response.create` or `session.update` with its cap lowered to `cap`, or put in where there is none. Nothing else
/// changes. More than 4,096 is never written, since it is refused. Put in is the name of the current interface; the
/// older one answers it with an error and generates nothing.
pub fn cap(message: &[u8], cap: u64) -> Result<Vec<u8>, RequestError> {
    let head = RequestHead {
        format: Format::OpenaiRealtime,
        host: "",
        path: "/v1/realtime",
        query: None,
        content_type: None,
        socket: true,
        models: &[],
    };
    let facts = facts::read(&head, message)?;
    splice::rewrite(&head, &facts, message, &Rewrite { output_cap: Some(cap), include_usage: false })
}
