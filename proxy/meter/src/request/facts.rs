//! One walk over a request's body: the facts of admission and the places a rewrite would touch.
//!
//! `read` and `rewrite` share this walk, so that what is admitted and what is rewritten cannot differ. The fields of
//! each format are in `fields`; what is common to all is here.

use super::cap;
use super::dialect::Dialect;
use super::estimate::Estimate;
use super::fields::{self, Batch, Picture, Session, Speech, Tool};
use super::form;
use super::walk::{self, Scalar, Visitor, unescaped};
use super::{RequestError, RequestFacts, RequestHead};
use crate::catalogue::Model;
use hudson_schema::Format;
use std::borrow::Cow;
use std::ops::Range;

/// Deepest path that holds a fact; deeper ones only matter to the estimate.
const MAX_PATH: usize = 12;
/// Longest model name, in bytes.
const MAX_MODEL: usize = 256;
/// How many server tools are listed, and how much of each name is kept.
const MAX_TOOLS: usize = 32;
const MAX_TOOL_NAME: usize = 64;

/// Fields that decide about money. Some servers compare names without case (Go's `encoding/json`), so a second
/// spelling of one of them would be read by the server and not by Hudson.
const DECIDING: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "stream_format",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_response_output_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "max_new_tokens",
    "maxTokenCount",
    "maxOutputTokens",
    "maxTokens",
    "num_predict",
    "num_generations",
    "generationConfig",
    "inferenceConfig",
    "textGenerationConfig",
    "additionalModelRequestFields",
    "toolConfig",
    "options",
    "n",
    "best_of",
    "background",
    "agent",
    "connectors",
    "tools",
    "messages",
    "message",
    "requests",
    "response",
    "session",
    "turn_detection",
    "create_response",
    "input",
    "inputText",
    "prompt",
    "contents",
    "template",
    "type",
    "generate",
    "size",
    "quality",
    "partial_images",
];

pub(super) fn read(head: &RequestHead<'_>, body: &[u8]) -> Result<RequestFacts, RequestError> {
    if form::is_form(head) {
        return form::read(head, body);
    }
    let RequestHead { format, host, path, query, socket, models, .. } = *head;
    let dialect = Dialect::of(head);
    let mut draft = collect(Estimate::new(dialect), body)?;
    let model = fields::model_in_path(head).or(draft.facts.model.take());
    if let Some(model) = model.as_deref().filter(|model| fields::works_by_itself(format, model)) {
        draft.server_tool(model);
    }
    if format == Format::BedrockConverse && !dialect.takes_cap(path) {
        draft.unseen("prompt");
        draft.server_tool("prompt");
    }
    let generates = dialect.generates(path);
    let chat = format == Format::OpenaiChat && generates && draft.has_prompt;
    let target = cap::Target { model: model.as_deref(), host, models };
    let stated = fields::stated(&draft, head, target, body.len());
    // What a message on a socket goes on from was said there, and is known.
    if !socket {
        draft.estimate.named(&draft.facts.unseen_input);
    }
    let estimate = draft.estimate.total(model.as_deref(), host, draft.tools);
    // A batch has many requests.
    let known = model.as_deref().filter(|_| dialect != Dialect::AnthropicBatch);
    let most = known.and_then(|model| Model::find(models, model)?.input_maximum);
    let estimate = most.map_or(estimate, |most| estimate.min(most));
    let cap_supported = generates && dialect.takes_cap(path) && cap::home(&draft, target).is_some();
    let stream = fields::streams(&draft, head);
    let mut facts = draft.facts;
    facts.background |= matches!(dialect, Dialect::AnthropicBatch | Dialect::BatchFile);
    facts.output_cap = if generates { stated } else { Some(0) };
    facts.choices = draft.choices.max(1).saturating_mul(draft.prompts.max(1));
    facts.stream = stream;
    facts.include_usage_supported = chat && fields::takes_stream_options(query);
    facts.cap_supported = cap_supported;
    facts.input_estimate = estimate;
    facts.model = model;
    Ok(facts)
}

/// What one walk finds.
pub(super) struct Draft {
    pub(super) dialect: Dialect,
    pub(super) facts: RequestFacts,
    pub(super) places: Places,
    pub(super) estimate: Estimate,
    /// `n`, `best_of` or `candidateCount`.
    pub(super) choices: u64,
    /// How many prompts one completions request carries.
    pub(super) prompts: u64,
    /// Whether any tool is defined.
    pub(super) tools: bool,
    /// `messages` or `prompt` is there: the body is one for chat/completions or completions.
    pub(super) has_prompt: bool,
    /// `prompt` is there.
    pub(super) has_completion_prompt: bool,
    /// The request stands under `request` (Code Assist), or at the root.
    pub(super) wrapped: bool,
    pub(super) bare: bool,
    /// `stream` as sent.
    pub(super) stream: Option<bool>,
    /// `generate: false` of a WebSocket's message.
    pub(super) prewarms: bool,
    /// The tool whose object is open.
    pub(super) tool: Tool,
    pub(super) batch: Batch,
    pub(super) picture: Picture,
    pub(super) speech: Speech,
    pub(super) realtime: Session,
}

/// Where the values stand that a rewrite changes.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The object that holds the cap or its parent: the root, or the one around the request proper.
    pub(super) base: Slot,
    /// Every value that is an output cap.
    pub(super) caps: Vec<Cap>,
    /// The objects that may hold the cap, each with its name.
    pub(super) configs: Vec<(&'static str, Slot)>,
    pub(super) stream_options: Option<Slot>,
    pub(super) include_usage: Option<Range<usize>>,
}

/// A value that caps the output.
#[derive(Clone, Debug)]
pub(super) struct Cap {
    /// The outermost object it stands in; `None` is the body itself.
    pub(super) parent: Option<&'static str>,
    /// The field's own name.
    pub(super) name: &'static str,
    pub(super) span: Range<usize>,
    /// The tokens it states; `None` when it states none (`null`, `inf`) or, but for Anthropic, 0.
    pub(super) tokens: Option<u64>,
}

/// An object a member can be put into.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// The whole value; a `null` is replaced, an object is added to.
    pub(super) span: Range<usize>,
    pub(super) null: bool,
    pub(super) empty: bool,
}

/// Walks the body.
pub(super) fn collect(estimate: Estimate, body: &[u8]) -> Result<Draft, RequestError> {
    let mut draft = Draft {
        dialect: estimate.dialect(),
        facts: RequestFacts::default(),
        places: Places::default(),
        estimate,
        choices: 1,
        prompts: 0,
        tools: false,
        has_prompt: false,
        has_completion_prompt: false,
        wrapped: false,
        bare: false,
        stream: None,
        prewarms: false,
        tool: Tool::default(),
        batch: Batch::default(),
        picture: Picture::default(),
        speech: Speech::default(),
        realtime: Session::default(),
    };
    walk::walk(body, &mut draft)?;
    // Two places for one thing: which of them the server reads is its secret.
    if draft.wrapped && draft.bare {
        return Err(RequestError::WrongType { field: "request", expected: "the only place of the request" });
    }
    Ok(draft)
}

impl Draft {
    /// Notes work that the provider does by itself.
    pub(super) fn server_tool(&mut self, name: &str) {
        let name: String = name.chars().take(MAX_TOOL_NAME).collect();
        let tools = &mut self.facts.server_tools;
        if tools.len() < MAX_TOOLS && !tools.contains(&name) {
            tools.push(name);
        }
    }

    /// Notes input that is not in the body.
    pub(super) fn unseen(&mut self, field: &'static str) {
        if !self.facts.unseen_input.contains(&field) {
            self.facts.unseen_input.push(field);
        }
    }

    /// Notes a value that caps the output; `field` is its path.
    pub(super) fn cap(
        &mut self,
        field: &'static str,
        value: Scalar<'_>,
        span: Range<usize>,
    ) -> Result<(), RequestError> {
        let stated = fields::cap_of(self.dialect, field, value)?;
        let tokens = stated.filter(|tokens| *tokens > 0 || self.dialect.takes_zero());
        let parent = field.split_once('.').map(|(parent, _)| parent);
        let name = field.rsplit('.').next().unwrap_or(field);
        if self.dialect == Dialect::AnthropicBatch {
            self.batch.cap = tokens;
        } else {
            self.places.caps.push(Cap { parent, name, span, tokens });
        }
        Ok(())
    }
}

impl Visitor for Draft {
    fn canonical<'k>(&self, path: &[Cow<'_, str>], key: Cow<'k, str>) -> Cow<'k, str> {
        match self.dialect.is_proto() {
            true => fields::camel(path, key),
            false => key,
        }
    }

    fn scalar(
        &mut self,
        path: &[Cow<'_, str>],
        value: Scalar<'_>,
        span: Range<usize>,
    ) -> Result<(), RequestError> {
        if path.is_empty() {
            return Err(RequestError::NotObject);
        }
        spelled(path)?;
        self.estimate.scalar(path, value);
        let mut names = [""; MAX_PATH];
        let Some(names) = short(path, &mut names) else { return Ok(()) };
        match fields::unwrapped(self.dialect, names) {
            ["model"] if self.dialect != Dialect::Gemini || names.len() == 1 => {
                let model = text("model", value)?;
                if model.as_ref().is_some_and(|model| model.len() > MAX_MODEL) {
                    return Err(RequestError::WrongType {
                        field: "model",
                        expected: "a text of at most 256 bytes",
                    });
                }
                fields::model(self, names, model);
                Ok(())
            }
            ["stream"] if !self.dialect.is_proto() || self.dialect == Dialect::Interactions => {
                self.stream = flag("stream", value)?;
                Ok(())
            }
            _ => fields::scalar(self, names, value, span),
        }
    }

    fn open(&mut self, path: &[Cow<'_, str>], array: bool) -> Result<(), RequestError> {
        if path.is_empty() && array {
            return Err(RequestError::NotObject);
        }
        spelled(path)?;
        self.estimate.open(path);
        let mut names = [""; MAX_PATH];
        match short(path, &mut names) {
            Some(names) => fields::open(self, names, array),
            None => Ok(()),
        }
    }

    fn close(&mut self, path: &[Cow<'_, str>], span: Range<usize>, empty: bool) -> Result<(), RequestError> {
        self.estimate.close(path);
        let mut names = [""; MAX_PATH];
        if let Some(names) = short(path, &mut names) {
            let slot = Slot { span, null: false, empty };
            if names.is_empty() && self.places.base.span.is_empty() {
                self.places.base = slot.clone();
            }
            fields::close(self, names, slot);
        }
        Ok(())
    }
}

/// The path as plain texts, unless it is too long to hold a fact.
fn short<'n>(path: &'n [Cow<'_, str>], names: &'n mut [&'n str; MAX_PATH]) -> Option<&'n [&'n str]> {
    for (slot, name) in names.iter_mut().zip(path) {
        *slot = name.as_ref();
    }
    names.get(..path.len())
}

/// Refuses a second spelling of a field that decides, also one step down in the objects that hold such fields.
fn spelled(path: &[Cow<'_, str>]) -> Result<(), RequestError> {
    const HOLDERS: &[&str] = &[
        "generationConfig",
        "inferenceConfig",
        "textGenerationConfig",
        "additionalModelRequestFields",
        "options",
        "request",
        "response",
        "session",
    ];
    let name = match path {
        [name] => name,
        [parent, name] if HOLDERS.contains(&parent.as_ref()) => name,
        [requests, _, params, name] if requests == "requests" && params == "params" => name,
        _ => return Ok(()),
    };
    match DECIDING.iter().find(|field| field.eq_ignore_ascii_case(name) && *field != name) {
        Some(field) => Err(RequestError::WrongType { field, expected: "spelled in this case" }),
        None => Ok(()),
    }
}

/// A text; `null` is none.
pub(super) fn text(field: &'static str, value: Scalar<'_>) -> Result<Option<String>, RequestError> {
    match value {
        Scalar::Text(raw) => Ok(Some(unescaped(raw).into_owned())),
        Scalar::Null => Ok(None),
        _ => Err(RequestError::WrongType { field, expected: "a text" }),
    }
}

/// A truth value; `null` is none.
pub(super) fn flag(field: &'static str, value: Scalar<'_>) -> Result<Option<bool>, RequestError> {
    match value {
        Scalar::Bool(flag) => Ok(Some(flag)),
        Scalar::Null => Ok(None),
        _ => Err(RequestError::WrongType { field, expected: "true or false" }),
    }
}

/// A count; `null` is none. `100.0` and `1e2` are 100, as servers in dynamic languages read them; Gemini also takes a
/// number in quotes (proto3 JSON).
pub(super) fn count(
    field: &'static str,
    value: Scalar<'_>,
    dialect: Dialect,
) -> Result<Option<u64>, RequestError> {
    let wrong = RequestError::WrongType { field, expected: "a whole number from 0 up" };
    let digits = match value {
        Scalar::Null => return Ok(None),
        Scalar::Number(digits) => digits,
        Scalar::Text(digits) if dialect.is_proto() => digits,
        _ => return Err(wrong),
    };
    if let Ok(count) = digits.parse::<u64>() {
        return Ok(Some(count));
    }
    match digits.parse::<f64>() {
        // Above 2^53 a float is no count any more.
        Ok(float) if (0.0..9e15).contains(&float) && float.fract() == 0.0 => Ok(Some(float as u64)),
        _ => Err(wrong),
    }
}
