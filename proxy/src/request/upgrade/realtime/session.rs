//! What is known of a Realtime session: what the server says it is, what the client asked to change in it, and how much
//! a response would read.
//!
//! Invariants: what makes the server work by itself holds from the moment the client asks for it, and ends only when the
//! server says so; the input is never less than what was sent and what was answered, up to the model's context.

use hudson_meter::request::realtime::{RealtimeCap, RealtimeMessage, TurnTaking};
use hudson_meter::request::{output_maximum, realtime_context};
use hudson_meter::{Model, RequestFacts};
use hudson_schema::Format;
use std::collections::VecDeque;

/// Changes that are kept apart until the server answers them; more are kept as one.
const MOST_CHANGES: usize = 16;
/// Bytes of an `input_audio_buffer.append` for one token: base64 of a third less. OpenAI counts ten tokens for a second
/// of what the user says, which is 64,000 such bytes of PCM at 24 kHz and 10,667 of G.711 at 8 kHz.
const APPENDED: u64 = 400;

/// What a session is, or is to be.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// Tokens of its instructions and tools, leaning high.
    input: u64,
    /// The server begins responses by itself.
    speaks: bool,
    /// What is heard is transcribed.
    transcribes: bool,
    cap: RealtimeCap,
    tools: Vec<String>,
    unseen: Vec<&'static str>,
}

/// The session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What the server says it is; `None` until it does.
    stated: Option<Terms>,
    /// How many `session.update` a change stands for, and what they ask for, as long as the server has not answered.
    changes: VecDeque<(u64, Terms)>,
    /// The model as the server names it; before, as the address does.
    pub(super) model: Option<String>,
    /// The coding of generated audio.
    pub(super) audio: Option<String>,
    /// Tokens of what was said by either side, leaning high.
    said: u64,
    /// Some of it was audio, which may be answered later.
    heard: bool,
}

impl Session {
    /// The client asks for another session.
    pub(super) fn change(&mut self, message: &RealtimeMessage) {
        // What it does not mention stays.
        self.changes.push_back((1, terms(message, false)));
        if self.changes.len() > MOST_CHANGES
            && let (Some((first, mut terms)), Some((second, more))) =
                (self.changes.pop_front(), self.changes.pop_front())
        {
            terms.add(more);
            self.changes.push_front((first.saturating_add(second), terms));
        }
    }

    /// The server states the session; `answers` when that is the answer to a change.
    pub(super) fn state(&mut self, message: &RealtimeMessage, answers: bool) {
        if answers && let Some((count, _)) = self.changes.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.changes.pop_front();
            }
        }
        // What the server does where it does not say so, nobody knows.
        self.stated = Some(terms(message, true));
        self.model = message.model.clone().or(self.model.take());
    }

    /// Something was said that later responses read.
    pub(super) fn say(&mut self, tokens: u64) {
        self.said = self.said.saturating_add(tokens);
    }

    /// Audio was appended, by a message of this length.
    pub(super) fn hear(&mut self, length: usize) {
        self.heard = true;
        self.say((length as u64).div_ceil(APPENDED));
    }

    /// Whether the audio that was heard may set a model to work.
    pub(super) fn works(&self) -> bool {
        self.heard && (self.stated.is_none() || self.terms().any(|terms| terms.speaks || terms.transcribes))
    }

    /// Adds to the facts of a call what the session has; `models` is what the operator says of models.
    pub(super) fn complete(&self, facts: &mut RequestFacts, models: &[Model]) {
        facts.model = self.model.clone().or(facts.model.take());
        let brought = self.terms().fold(self.said, |sum, terms| sum.saturating_add(terms.input));
        let context = facts.model.as_deref().and_then(|model| realtime_context(models, model));
        facts.input_estimate = facts.input_estimate.saturating_add(brought).min(context.unwrap_or(u64::MAX));
        for terms in self.terms() {
            for tool in &terms.tools {
                if !facts.server_tools.contains(tool) {
                    facts.server_tools.push(tool.clone());
                }
            }
            facts.unseen_input.extend(&terms.unseen);
        }
        (facts.choices, facts.stream) = (facts.choices.max(1), true);
    }

    /// The cap of a response that states none: the largest that may hold when it is begun.
    pub(super) fn cap(&self) -> Option<u64> {
        // What is asked for may not be taken.
        self.stated.as_ref()?;
        let mut most = None;
        for (place, terms) in self.terms().enumerate() {
            match terms.cap {
                RealtimeCap::Tokens(cap) => most = most.max(Some(cap)),
                RealtimeCap::Unchanged if place > 0 => {}
                RealtimeCap::Unchanged | RealtimeCap::Unlimited => return None,
            }
        }
        most
    }

    /// The facts of a response that the server begins by itself; there is no message to write a cap into.
    pub(super) fn unasked(&self, models: &[Model]) -> RequestFacts {
        let mut facts = RequestFacts::default();
        self.complete(&mut facts, models);
        let most = output_maximum(models, Format::OpenaiRealtime, facts.model.as_deref());
        facts.output_cap = Some(self.cap().map_or(most, |cap| cap.min(most)));
        facts
    }

    fn terms(&self) -> impl Iterator<Item = &Terms> {
        self.stated.iter().chain(self.changes.iter().map(|(_, terms)| terms))
    }
}

impl Terms {
    fn add(&mut self, more: Self) {
        self.input = self.input.saturating_add(more.input);
        self.speaks |= more.speaks;
        self.transcribes |= more.transcribes;
        self.cap = match (self.cap, more.cap) {
            (RealtimeCap::Tokens(one), RealtimeCap::Tokens(other)) => RealtimeCap::Tokens(one.max(other)),
            (RealtimeCap::Unchanged, cap) | (cap, RealtimeCap::Unchanged) => cap,
            _ => RealtimeCap::Unlimited,
        };
        self.tools.extend(more.tools);
        self.tools.dedup();
        self.unseen.extend(more.unseen);
        self.unseen.dedup();
    }
}

/// What a message says of the session; `speaks` where it does not say who takes turns.
fn terms(message: &RealtimeMessage, speaks: bool) -> Terms {
    Terms {
        input: message.input_estimate,
        speaks: message.turns.map_or(speaks, |turns| turns == TurnTaking::Server),
        transcribes: message.transcribes.unwrap_or(false),
        cap: message.cap,
        tools: message.server_tools.clone(),
        unseen: message.unseen_input.clone(),
    }
}

#[cfg(test)]
mod tests;
