//! What a client's message on a metered WebSocket means: it asks for a model call, it cannot start one, or nobody knows.
//!
//! The list of OpenAI Responses is that of openai-python `responses_client_event.py` and its beta twin (`response.create`,
//! `response.steer`, `response.inject`) and of codex-rs; `response.cancel` is what other servers of the protocol take.
//! Invariants: a message passes without a hold only when it is known to start nothing; what two readers could take for
//! two types is refused.

use hudson_meter::{RequestError, RequestFacts, RequestHead, request};
use hudson_schema::{Format, Refusal, RefusalCode};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Longest type or lane that is read, in bytes.
const MAX_NAME: usize = 256;

/// What a message means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// It starts nothing, and goes on as it came.
    Passes,
    /// It asks for a model call. It goes on once that is admitted.
    Turn(Box<Asked>),
}

/// A model call that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) facts: RequestFacts,
    /// The response that it goes on from, whose input and output are its input, too, and not in the message.
    pub(super) previous: Option<String>,
}

/// A refused message: why, and the lane it came in.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) lane: Option<String>,
}

/// Reads a client's text message; also the lane it came in.
pub(super) fn read(head: &RequestHead<'_>, message: &[u8]) -> Result<(Meaning, Option<String>), Refused> {
    match head.format {
        Format::OpenaiResponses => responses(head, message),
        _ => {
            let why = "Messages of this format cannot be metered.";
            Err(Refused { refusal: Refusal::new(RefusalCode::UnmeteredEndpoint, why), lane: None })
        }
    }
}

fn responses(head: &RequestHead<'_>, message: &[u8]) -> Result<(Meaning, Option<String>), Refused> {
    let malformed = |why: String| Refused {
        refusal: Refusal::new(RefusalCode::MalformedRequest, format!("The message is refused: {why}.")),
        lane: None,
    };
    let envelope: Envelope = serde_json::from_slice(message).map_err(|error| malformed(error.to_string()))?;
    let refused =
        |code, why: String| Refused { refusal: Refusal::new(code, why), lane: envelope.lane.clone() };
    match envelope.kind.as_deref() {
        Some("response.create") => {}
        Some("response.cancel") => return Ok((Meaning::Passes, envelope.lane)),
        Some(kind) => {
            let kind: String = kind.chars().take(MAX_NAME).collect();
            let why = format!(
                "`{kind}` is not relayed on a metered WebSocket: it may set a model to work that nothing was reserved \
                 for. Send `response.create`."
            );
            return Err(refused(RefusalCode::UnmeteredEndpoint, why));
        }
        None => return Err(malformed("it has no `type`".to_owned())),
    }
    if envelope.wrapped {
        // Realtime has the request in there; here it would be a second one.
        return Err(malformed("`response.create` carries its fields itself, and no `response`".to_owned()));
    }
    let facts = request::read(head, message)
        .map_err(|error: RequestError| refused(RefusalCode::MalformedRequest, format!("{error}.")))?;
    Ok((Meaning::Turn(Box::new(Asked { facts, previous: envelope.previous })), envelope.lane))
}

/// The fields of the envelope, each once and in one spelling.
#[derive(Debug, Default)]
struct Envelope {
    kind: Option<String>,
    lane: Option<String>,
    previous: Option<String>,
    /// It has a member `response`.
    wrapped: bool,
}

/// The members that an envelope is read by.
const OWN: [&str; 4] = ["type", "stream_id", "previous_response_id", "response"];

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        let mut seen = [false; OWN.len()];
        while let Some(key) = map.next_key::<String>()? {
            let Some(place) = OWN.iter().position(|own| own.eq_ignore_ascii_case(&key)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // Some servers compare names without case.
            match (OWN.get(place), seen.get_mut(place)) {
                (Some(own), Some(seen)) if *own == key && !*seen => *seen = true,
                _ => {
                    return Err(de::Error::custom(
                        "a member that decides stands twice or in another spelling",
                    ));
                }
            }
            match key.as_str() {
                "type" => envelope.kind = Some(map.next_value()?),
                "stream_id" => envelope.lane = name(map.next_value()?),
                "previous_response_id" => envelope.previous = name(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    envelope.wrapped = true;
                }
            }
        }
        Ok(envelope)
    }
}

/// A name, unless it is too long to be one.
fn name(text: Option<String>) -> Option<String> {
    text.filter(|text| text.len() <= MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: RequestHead<'_> = RequestHead {
        format: Format::OpenaiResponses,
        host: "api.openai.com",
        path: "/v1/responses",
        query: None,
        content_type: None,
        socket: true,
        models: &[],
    };

    fn refused(message: &str) -> RefusalCode {
        read(&HEAD, message.as_bytes()).expect_err(message).refusal.code
    }

    fn turn(message: &str) -> RequestFacts {
        match read(&HEAD, message.as_bytes()) {
            Ok((Meaning::Turn(asked), _)) => asked.facts,
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn a_create_is_a_streamed_model_call_however_its_type_is_written() {
        for kind in ["response.create", r"response\u002ecreate", r"\u0072esponse.create"] {
            let facts = turn(&format!(
                r#"{{"model":"gpt-5","max_output_tokens":50,"input":"x","stream_id":"a","type":"{kind}"}}"#
            ));
            assert_eq!(facts.model.as_deref(), Some("gpt-5"));
            assert_eq!((facts.output_cap, facts.stream), (Some(50), true), "{kind}");
        }
        let (_, lane) = read(&HEAD, br#"{"type":"response.create","stream_id":"a"}"#).unwrap();
        assert_eq!(lane.as_deref(), Some("a"));
    }

    #[test]
    fn for_what_generates_nothing_only_input_is_held() {
        let ready =
            turn(r#"{"type":"response.create","generate":false,"model":"gpt-5","input":"some words"}"#);
        assert_eq!(ready.output_cap, Some(0));
        assert!(ready.input_estimate > 0);
        for more in ["", r#","generate":true"#, r#","generate":null"#] {
            assert_eq!(
                turn(&format!(r#"{{"type":"response.create","model":"gpt-5"{more}}}"#)).output_cap,
                None
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for message in [
            "",
            "[]",
            "x",
            r#""response.create""#,
            r#"{"model":"gpt-5"}"#,
            r#"{"type":null}"#,
            r#"{"type":["response.create"]}"#,
            r#"{"type":"response.cancel","type":"response.create"}"#,
            r#"{"type":"response.cancel","Type":"response.create"}"#,
            r#"{"type":"response.cancel","typ\u0065":"response.create"}"#,
            r#"{"TYPE":"response.create"}"#,
            r#"{"type":"response.create","generate":false,"Generate":true}"#,
            r#"{"type":"response.create","generate":false,"generate":true}"#,
            r#"{"type":"response.create","generate":"false"}"#,
            r#"{"type":"response.create","response":{"model":"gpt-5"}}"#,
            r#"{"type":"response.create","model":"a","model":"b"}"#,
            r#"{"type":"response.create","Max_Output_Tokens":5}"#,
            r#"{"type":"response.cancel"}{"type":"response.create"}"#,
            "{\"type\":\"response.cancel\"}\n{\"type\":\"response.create\"}",
            r#"{"type":"response.cancel"},"#,
        ] {
            assert_eq!(refused(message), RefusalCode::MalformedRequest, "{message}");
        }
    }

    #[test]
    fn a_type_that_may_start_something_is_refused_and_only_a_cancel_passes() {
        for kind in ["response.steer", "response.inject", "response.append", "session.update", "", "error"] {
            let message = format!(r#"{{"type":"{kind}","input":"x"}}"#);
            assert_eq!(refused(&message), RefusalCode::UnmeteredEndpoint, "{kind}");
        }
        let cancel = read(&HEAD, br#"{"type":"response.cancel","response_id":"resp_1"}"#);
        assert!(matches!(cancel, Ok((Meaning::Passes, None))), "{cancel:?}");
    }
}
