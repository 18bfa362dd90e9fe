//! How many input tokens a body is, before anyone has counted it.
//!
//! The estimate follows what the provider makes of a request: texts of messages by their script, JSON that the model
//! reads with its names and signs, definitions of tools as the provider writes them out, media by what they are, and
//! what the provider adds by itself. Names that only structure a request and settings that no model sees count nothing.
//! The corpus test prints how far off it is. Invariants: what is not known is counted as text; more text never gives a
//! lower estimate; work is linear in the body.
//!
//! Media are only taken out where the provider reads media (a content part of a message); base64 elsewhere is text.

mod audio;
mod image;
mod media;
mod pdf;
mod rates;
mod text;
mod zone;

pub(super) use audio::tokens as audio_tokens;
pub(super) use rates::PRO_MODE;

use super::dialect::Dialect;
use super::walk::{ELEMENT, Scalar, reads};
use media::Media;
use rates::Rates;
use std::borrow::Cow;
use text::{Weight, weigh, weigh_escaped};
use zone::{Role, Zone};

/// What the estimate needs from a walk.
#[derive(Debug)]
pub(super) struct Estimate {
    dialect: Dialect,
    /// Whether anything is to be counted.
    counts_anything: bool,
    counts: Counts,
    media: Media,
    /// Tokens that stand in no byte of the body.
    extra: u64,
    citations: bool,
    /// Whether one of the tools has to be called.
    forced: bool,
    /// Whether the model is to think, where the request says so.
    thinking: Option<bool>,
    /// What becomes of what stands in the open objects, the innermost last.
    zones: Vec<Zone>,
}

/// What a body has of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Texts, and JSON that the model reads.
    text: Weight,
    /// Values of such JSON.
    members: u64,
    /// Names and texts of definitions.
    definitions: Weight,
    /// Values, objects and arrays of definitions.
    defined: u64,
    /// Tools, by their names.
    tools: u64,
    messages: u64,
    /// Calls of tools and their results.
    calls: u64,
    /// Characters of encrypted thoughts.
    cipher: u64,
}

impl Estimate {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            counts_anything: true,
            counts: Counts::default(),
            media: Media::new(dialect),
            extra: 0,
            citations: false,
            forced: false,
            thinking: None,
            zones: Vec::new(),
        }
    }

    /// One that counts nothing, for a walk that only looks for places.
    pub(super) fn none(dialect: Dialect) -> Self {
        Self { counts_anything: false, ..Self::new(dialect) }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds tokens that stand in no byte of the body.
    pub(super) fn extra(&mut self, tokens: u64) {
        self.extra = self.extra.saturating_add(tokens);
    }

    /// Counts conversations, caches and prompts that stand elsewhere, each by the field that names it.
    pub(super) fn named(&mut self, fields: &[&str]) {
        let elsewhere = fields.iter().filter(|field| rates::ELSEWHERE.contains(field)).count() as u64;
        self.extra(elsewhere.saturating_mul(rates::NAMED_CONVERSATION));
    }

    /// Notes that a document asks for citations.
    pub(super) fn citations(&mut self) {
        self.citations = true;
    }

    /// The estimate for this model on this host.
    pub(super) fn total(&self, model: Option<&str>, host: &str, tools: bool) -> u64 {
        let rates = Rates::of(self.dialect, model, host);
        let counts = &self.counts;
        let hundredths = [
            rates.text(counts.text),
            counts.members.saturating_mul(rates::MEMBER),
            rates.definitions(counts.definitions),
            counts.defined.saturating_mul(rates.defined),
            counts.tools.saturating_mul(rates.tool),
            counts.messages.saturating_mul(rates.message),
            counts.calls.saturating_mul(rates.call),
            counts.cipher.saturating_mul(rates.cipher),
        ];
        let words = hundredths.into_iter().fold(0, u64::saturating_add).div_ceil(100);
        let added = [
            rates.frame,
            if tools { rates.tools } else { 0 },
            if self.forced { rates.forced } else { 0 },
            if self.thinks(model) { rates.thinking } else { 0 },
            if self.citations { rates::CITATIONS } else { 0 },
            self.media.total(model),
            self.extra,
        ];
        added.into_iter().fold(words, u64::saturating_add)
    }

    pub(super) fn open(&mut self, path: &[Cow<'_, str>]) {
        if !self.counts_anything {
            return;
        }
        let name = path.last().map_or("", Cow::as_ref);
        let outer = self.zone();
        let zone = if path.is_empty() { Zone::Request } else { outer.inside(name) };
        match zone {
            Zone::Data => self.name(outer, name),
            Zone::Tools => self.define(name),
            _ => {}
        }
        if matches!(name, "functionCall" | "functionResponse" | "toolUse" | "toolResult")
            && zone == Zone::Prompt
        {
            self.counts.calls += 1;
        }
        if outer == Zone::Request && matches!(name, "thinking" | "reasoning") {
            self.thinking = Some(true);
        }
        self.zones.push(zone);
        self.media.open();
    }

    pub(super) fn close(&mut self, path: &[Cow<'_, str>]) {
        if !self.counts_anything {
            return;
        }
        self.zones.pop();
        if let Some(weight) = self.media.close(path) {
            self.counts.text += weight;
        }
    }

    pub(super) fn scalar(&mut self, path: &[Cow<'_, str>], value: Scalar<'_>) {
        if !self.counts_anything {
            return;
        }
        let name = path.last().map_or("", Cow::as_ref);
        let zone = self.zone();
        let raw = match value {
            Scalar::Text(raw) => raw,
            Scalar::Number(digits) => digits,
            Scalar::Bool(true) => "true",
            Scalar::Bool(false) => "false",
            Scalar::Null => "null",
        };
        let is_text = matches!(value, Scalar::Text(_));
        if is_text && self.media.takes(path, raw) {
            return;
        }
        // Elsewhere a value that is no text is a setting; in an array it may be a token.
        let length = if is_text || name == ELEMENT { raw.len() } else { 0 };
        match zone.role(name, length) {
            Role::Silent => self.mark(zone, path, raw),
            Role::Text if !is_text && name != ELEMENT => {}
            Role::Text => {
                self.counts.text += weigh_escaped(raw);
                self.counts.calls += u64::from(name == "arguments");
            }
            Role::Cipher => self.counts.cipher = self.counts.cipher.saturating_add(raw.len() as u64),
            Role::Member => {
                self.name(zone, name);
                self.counts.text += weigh_escaped(raw);
            }
            Role::Definition => {
                self.define(name);
                self.counts.tools += u64::from(name == "name");
                self.counts.definitions += weigh_escaped(raw);
            }
        }
    }

    /// What a value counts that only marks what it stands beside.
    fn mark(&mut self, zone: Zone, path: &[Cow<'_, str>], raw: &str) {
        match path {
            [.., setting, kind] if setting == "thinking" && kind == "type" && reads(raw, "disabled") => {
                self.thinking = Some(false);
            }
            [choice, kind] if choice == "tool_choice" && kind == "type" => {
                self.forced = reads(raw, "any") || reads(raw, "tool");
            }
            [.., name] if zone == Zone::Prompt => match name.as_ref() {
                "role" => self.counts.messages += 1,
                "tool_call_id" | "tool_use_id" | "toolUseId" | "call_id" => self.counts.calls += 1,
                "type" if reads(raw, "tool_use") => self.counts.calls += 1,
                _ => {}
            },
            _ => {}
        }
    }

    fn thinks(&self, model: Option<&str>) -> bool {
        // Anthropic's think when they are asked to, others unless they are asked not to.
        let by_itself = !matches!(self.dialect, Dialect::Anthropic | Dialect::AnthropicBatch)
            && !model.is_some_and(|model| model.contains("claude"));
        self.thinking.unwrap_or(by_itself)
    }

    /// The name of a member, and the signs around it.
    fn name(&mut self, zone: Zone, name: &str) {
        self.counts.members += 1;
        if name != ELEMENT && (zone == Zone::Data || !name.is_empty()) {
            self.counts.text += weigh(name);
        }
    }

    fn define(&mut self, name: &str) {
        self.counts.defined += 1;
        // In every schema.
        const COMMON: &[&str] =
            &[ELEMENT, "type", "description", "properties", "required", "name", "parameters"];
        if !COMMON.contains(&name) {
            self.counts.definitions += weigh(name);
        }
    }

    fn zone(&self) -> Zone {
        self.zones.last().copied().unwrap_or(Zone::Request)
    }
}
