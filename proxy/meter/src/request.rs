//! What a request to a model asks for, and the two changes Hudson makes to it.
//!
//! Owns the facts admission needs (cap, choices, server-side work, input estimate) and the rewriting of the output cap
//! and of `stream_options.include_usage`. Invariants: a body that two parsers could read differently (duplicate keys,
//! two spellings of one field, a wrong type where a number decides) is an error, never a guess; a rewrite changes the
//! bytes of the values it names and no other byte.

mod cap;
pub mod count;
mod dialect;
mod estimate;
mod facts;
mod fields;
mod form;
mod models;
mod multipart;
pub mod realtime;
mod splice;
mod walk;

use crate::catalogue::Model;
pub(crate) use dialect::bare_model;
use hudson_schema::Format;
pub use models::{known_output_maximum, output_maximum, realtime_context};

/// What a request asks for, as far as a budget cares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestFacts {
    /// The model, from the body or (Gemini, Azure) from the path.
    pub model: Option<String>,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
    /// The request's own limit on output tokens, per choice: the largest that the host may heed. `None` when there is
    /// none, when it is 0 (which only Anthropic takes at its word), and when it stands only under a name that the host
    /// may not know (`max_completion_tokens` on a compatible server). `Some(0)` for a request that generates nothing
    /// (embeddings, the prewarming of a WebSocket). Where no cap is taken but what is asked for bounds the output, it is
    /// that bound: images, speech, transcripts, and the sum of a batch's caps.
    pub output_cap: Option<u64>,
    /// How many answers are generated (`n`, `candidateCount`), at least 1. Output may reach `output_cap × choices`.
    pub choices: u64,
    /// Tokens set aside for thinking inside the cap, where the request states them; a cap must stay above it.
    pub thinking_budget: Option<u64>,
    /// `stream_options.include_usage` as sent; `None` when it is absent.
    pub include_usage: Option<bool>,
    /// Whether `stream_options` may be put in: chat/completions and completions only, and on Azure only from
    /// api-version 2024-10-21 on.
    pub include_usage_supported: bool,
    /// Work the provider does by itself in between, each by the request's own name for it: web search, code
    /// execution, MCP, compaction, a stored prompt that may bring any of them. Its tokens cannot be seen in the request. Tools that run on the client are not
    /// listed; a type nobody knows is.
    pub server_tools: Vec<String>,
    /// Whether the work goes on after the client has gone (`background: true`).
    pub background: bool,
    /// Input tokens, leaning high: see [`estimate`](self#estimate).
    pub input_estimate: u64,
    /// Input that is named but not in the body, each by its field: `previous_response_id`, `conversation`, `file_id`,
    /// `cachedContent`, an image's URL. `input_estimate` says little when this is not empty.
    pub unseen_input: Vec<&'static str>,
    /// Whether the endpoint takes an output cap at all. Codex on chatgpt.com, `responses/compact` and embeddings do
    /// not.
    pub cap_supported: bool,
}

/// What to change in a request's body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rewrite {
    /// The output cap to set, in tokens per choice. A cap that is already lower stays. Where the only one stands under
    /// a name that the host may not know, the host's own name is put in beside it. Outside Anthropic at least 1 is set,
    /// since 0 is no cap there.
    pub output_cap: Option<u64>,
    /// Whether to set `stream_options.include_usage` to true, also when it is false. Changes nothing in a request that
    /// is no stream or whose format does not know the field, nor on the hosts of Mistral and Perplexity, which state
    /// usage unasked.
    pub include_usage: bool,
}

/// A body that cannot be read or rewritten without guessing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON as RFC 8259 has it, or nested or sized beyond the limits of the reader.
    #[error("the request body is not JSON at byte {at}: {what}")]
    NotJson {
        /// Offset of the first byte that does not fit.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
    /// JSON, but no object.
    #[error("the request body is JSON but not an object; model requests are objects")]
    NotObject,
    /// Two members of one object have the same name; readers differ in which one counts.
    #[error("the request body has two members named {key:?} in one object, at byte {at}; send each once")]
    DuplicateKey {
        /// The name.
        key: String,
        /// Offset of the second one.
        at: usize,
    },
    /// Not a form as RFC 7578 has it, or one that two readers could part in different places.
    #[error("the request body is not multipart/form-data at byte {at}: expected {expected}")]
    NotMultipart {
        /// Offset of the part that does not fit.
        at: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// A field has a type that leaves open what it means.
    #[error("the request field {field} is not {expected}; correct it or leave it out")]
    WrongType {
        /// The field's path.
        field: &'static str,
        /// The type it should have.
        expected: &'static str,
    },
    /// A cap was to be set on a request that takes none.
    #[error("this endpoint accepts no output cap, so none can be set")]
    CapNotSupported,
}

/// What is known of a request before its body.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// How the endpoint is spoken to.
    pub format: Format,
    /// Where the request goes: it decides which caps are heeded, and under which name one is put in.
    pub host: &'a str,
    /// The path, normalised.
    pub path: &'a str,
    /// The text behind `?`.
    pub query: Option<&'a str>,
    /// `content-type` as sent: files come as a multipart form.
    pub content_type: Option<&'a str>,
    /// The body is a message of a WebSocket. Only there a Responses request may say `generate: false`, and streams
    /// unasked; what a body says of itself proves neither.
    pub socket: bool,
    /// What the operator says of the provider's models ([`Catalogue::models`](crate::Catalogue::models)).
    pub models: &'a [Model],
}

/// Reads a request's body.
///
/// # Estimate
/// Texts are weighed by their script, definitions of tools and JSON as the provider writes them out, media by what they
/// are, each at the rates of the model's vendor; what providers add by themselves is in it (see the module `estimate`).
/// It leans high. What a request only names counts what is stated for it. Some providers can be asked for the exact
/// number: see [`count`].
///
/// # Forms
/// Images and audio may come as `multipart/form-data`, which `head.content_type` says; on every other endpoint such a
/// body is an error, since its server would not read it as JSON.
pub fn read(head: &RequestHead<'_>, body: &[u8]) -> Result<RequestFacts, RequestError> {
    facts::read(head, body)
}

/// The body with `change` made to it; every byte that is not part of a changed value stays as it is. `facts` are those
/// [`read`] gave for this body.
pub fn rewrite(
    head: &RequestHead<'_>,
    facts: &RequestFacts,
    body: &[u8],
    change: &Rewrite,
) -> Result<Vec<u8>, RequestError> {
    splice::rewrite(head, facts, body, change)
}

#[cfg(test)]
mod tests;
