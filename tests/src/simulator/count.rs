//! The input of a request in tokens: one rule for what answers state and for the endpoints that only count, and what the
//! latter refuse.

use serde_json::Value;

use super::delivery::Reply;
use super::script::{Ask, Fault, Script};

/// What a format adds to any request.
const FRAME: u64 = 8;

/// Tokens of a text: a digit is one and any letter outside ASCII two, of the rest four bytes are one; of white space in a
/// row only the first counts. So is no text's number to be had from its length.
pub(super) fn tokens(text: &str) -> u64 {
    let (mut tokens, mut plain, mut blank) = (FRAME, 0_u64, false);
    for letter in text.chars() {
        let was_blank = std::mem::replace(&mut blank, letter == ' ');
        match letter {
            '0'..='9' => tokens += 1,
            ' ' if was_blank => {}
            _ if letter.is_ascii() => plain += 1,
            _ => tokens += 2,
        }
    }
    tokens + plain.div_ceil(4)
}

/// Answers a question for the input of a request: `told` makes the body, `error` what is said instead of one.
pub(super) fn answer(
    ask: &Ask<'_>,
    told: impl Fn(u64) -> Value,
    error: impl Fn(u16, &str) -> Reply,
) -> Reply {
    let counted = Script::counted(ask);
    match counted.fault {
        Some(Fault::Status(status)) => error(status, "refused on purpose"),
        fault => {
            let mut said = told(counted.tokens);
            if counted.padding > 0 {
                said["padding"] = "-".repeat(counted.padding).into();
            }
            let mut reply = Reply::json(200, &said);
            // Only what is paced can be silent for a while.
            reply.stream = fault.is_some();
            reply.fault = fault;
            reply
        }
    }
}

/// The first member of a body that is not among those an endpoint takes.
pub(super) fn foreign<'b>(body: &'b Value, taken: &[&str]) -> Option<&'b str> {
    body.as_object()?.keys().map(String::as_str).find(|name| !taken.contains(name))
}
