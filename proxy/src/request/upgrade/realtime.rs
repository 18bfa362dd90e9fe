//! OpenAI Realtime: a session in which the client asks for responses, the server begins some by itself when it hears
//! that somebody has spoken, and several may be under way at once.
//!
//! What the client sends is judged in [`asking`], what the server sends is counted in [`listening`], and what both know
//! of the session is a [`Session`]. The protocol is that of openai-python `types/realtime/realtime_client_event.py` and
//! `realtime_server_event.py`.
//!
//! Invariants: nothing that may set a model to work goes on without a hold; a response takes the hold of one call and no
//! other, and what states its usage waits until that is settled. A hold that no response has taken is given back only
//! where none can have been begun for it.

mod asking;
mod listening;
mod names;
mod session;
mod told;

use super::super::admission::Admitted;
use super::super::settle::Settler;
use hudson_schema::Usage;
pub(super) use listening::Listening;
use names::Names;
use session::Session;
use std::time::Instant;

/// Calls that may be under way at once on one socket.
const MOST_CALLS: usize = 16;

/// The session and its calls.
#[derive(Default)]
pub(super) struct Live {
    session: Session,
    calls: Vec<Call>,
    /// What the client's messages are called.
    names: Names,
    /// When audio was last refused.
    deaf_since: Option<Instant>,
}

/// A hold, and the response it is for.
struct Call {
    settler: Settler,
    cut_at: Option<u64>,
    /// What asked for it.
    cause: Cause,
    stage: Stage,
    /// Output tokens that were counted, leaning high.
    live: u64,
    /// Tokens of side work that were stated while it was under way.
    side: Usage,
}

/// What a call was admitted for.
#[derive(Debug, Eq, PartialEq)]
enum Cause {
    /// A message that asks for a response, by its `event_id` where that is its alone.
    Message(Option<String>),
    /// Whatever the server may begin by itself. The tokens of input and output are those it was placed for.
    Server { input: u64, output: u64 },
}

/// How far a call is.
#[derive(Debug, Eq, PartialEq)]
enum Stage {
    /// No response was seen.
    Waiting {
        /// The server has said that it took what it heard as a turn, so that a response may have been begun.
        heard: bool,
    },
    /// It has its response, whose id may not have been seen yet.
    Begun(Option<String>),
}

impl Call {
    fn new(Admitted { settler, cut_at, .. }: Admitted, cause: Cause) -> Self {
        let stage = Stage::Waiting { heard: false };
        Self { settler, cut_at, cause, stage, live: 0, side: Usage::default() }
    }

    /// Whether it is a hold for what the server may do, of which nothing was seen.
    fn is_standing(&self) -> bool {
        matches!((&self.cause, &self.stage), (Cause::Server { .. }, Stage::Waiting { .. }))
    }
}

impl Live {
    /// Takes the model that the address names, until the server says which it is.
    pub(super) fn addressed(&mut self, model: Option<String>) {
        self.session.model = model;
    }

    /// Whether a response comes, or has to.
    pub(super) fn is_under_way(&self) -> bool {
        self.calls.iter().any(|call| !call.is_standing())
    }

    /// The call that a response belongs to: the one that has it, else the first that was asked for, else what stands
    /// for the server's own.
    fn place_of(&self, id: Option<&str>) -> Option<usize> {
        let at = |which: &dyn Fn(&Call) -> bool| self.calls.iter().position(which);
        let named = |call: &Call| matches!(&call.stage, Stage::Begun(Some(own)) if Some(own.as_str()) == id);
        // One of the two did not say its name yet.
        let unnamed = |call: &Call| match &call.stage {
            Stage::Begun(own) => own.is_none() || id.is_none(),
            Stage::Waiting { .. } => false,
        };
        at(&named).or_else(|| at(&unnamed)).or_else(|| at(&is_asked)).or_else(|| at(&Call::is_standing))
    }

    /// The same, unless something may have been begun for it.
    fn take_unheard(&mut self) -> Option<Call> {
        let unheard = |call: &Call| call.is_standing() && call.stage == Stage::Waiting { heard: false };
        let place = self.calls.iter().position(unheard)?;
        Some(self.calls.remove(place))
    }

    /// Takes out the hold that stands for what the server may do.
    fn take_standing(&mut self) -> Option<Call> {
        let place = self.calls.iter().position(Call::is_standing)?;
        Some(self.calls.remove(place))
    }
}

/// Whether it was asked for, and no response was seen.
fn is_asked(call: &Call) -> bool {
    matches!((&call.cause, &call.stage), (Cause::Message(_), Stage::Waiting { .. }))
}
