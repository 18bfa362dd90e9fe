//! Which recording answers a request: the one that `x-hudson-replay` names, else one of the same host, method and
//! target, best one with the same request body; several take turns.

use super::manifest::Recording;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// What two request bodies have in common that ask for the same.
pub(super) type Fingerprint = u64;

/// How many hosts and targets are listed for a client that asks for something else.
const LISTED: usize = 50;

/// Nicknames of recordings that kept no host.
const NICKNAMES: [(&str, &str); 4] = [
    ("anthropic", "api.anthropic.com"),
    ("openai", "api.openai.com"),
    ("gemini", "generativelanguage.googleapis.com"),
    ("chatgpt", "chatgpt.com"),
];

/// What a proxy puts in or lowers, in the body itself: what is wanted of a stream, and the cap under each API's name.
const REWRITTEN: &[&str] = &[
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "maxTokens",
];

/// The same inside another object, which may be there for it alone.
const REWRITTEN_INSIDE: &[(&str, &str)] = &[
    ("generationConfig", "maxOutputTokens"),
    ("generation_config", "max_output_tokens"),
    ("inferenceConfig", "maxTokens"),
    ("textGenerationConfig", "maxTokenCount"),
    ("options", "num_predict"),
];

/// A request to be answered.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
    /// `x-hudson-replay`.
    pub(super) id: Option<&'a str>,
}

/// Every recording, and whose turn it is.
pub(super) struct Recordings {
    all: Vec<Recording>,
    // A std mutex: never held over an await.
    turns: Mutex<HashMap<(String, String), usize>>,
}

impl Recordings {
    pub(super) fn new(all: Vec<Recording>) -> Self {
        Self { all, turns: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The recording that answers.
    pub(super) fn choose(&self, asked: &Asked<'_>) -> Option<&Recording> {
        if let Some(id) = asked.id {
            return self.all.iter().find(|recording| recording.id == id);
        }
        let here =
            |recording: &&Recording| recording.method == asked.method && is_host(&recording.host, asked.host);
        let of_host: Vec<&Recording> = self.all.iter().filter(here).collect();
        let mut fitting: Vec<&Recording> =
            of_host.iter().copied().filter(|recording| recording.target == asked.target).collect();
        if fitting.is_empty() {
            // Clients add parameters of their own, such as `?beta=true` or a key.
            let same = |recording: &&Recording| path(&recording.target) == path(asked.target);
            fitting = of_host.into_iter().filter(same).collect();
        }
        if fitting.iter().any(|recording| recording.request.is_some()) {
            let sent = Some(fingerprint(asked.body));
            let same: Vec<&Recording> =
                fitting.iter().copied().filter(|recording| recording.request == sent).collect();
            if !same.is_empty() {
                fitting = same;
            }
        }
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry((asked.host.to_owned(), asked.target.to_owned())).or_default();
        let chosen = fitting.get(turn.checked_rem(fitting.len())?).copied();
        *turn = turn.wrapping_add(1);
        chosen
    }

    /// What there is, for a client that asked `host` for something else: how many recordings of each host and target,
    /// those of its host first.
    pub(super) fn listed(&self, host: &str) -> Vec<Value> {
        let mut counts: BTreeMap<(bool, &str, &str, &str), usize> = BTreeMap::new();
        for recording in &self.all {
            let elsewhere = !is_host(&recording.host, host);
            let key =
                (elsewhere, full(&recording.host), recording.method.as_str(), recording.target.as_str());
            *counts.entry(key).or_default() += 1;
        }
        let listed = counts.into_iter().take(LISTED).map(|((_, host, method, target), streams)| {
            serde_json::json!({"host": host, "method": method, "target": target, "streams": streams})
        });
        listed.collect()
    }
}

/// The host that a recording's host stands for.
fn full(recorded: &str) -> &str {
    NICKNAMES.into_iter().find(|(name, _)| *name == recorded).map_or(recorded, |(_, host)| host)
}

/// Whether a recording of `recorded` answers for `host`, which has no port.
fn is_host(recorded: &str, host: &str) -> bool {
    let bare = recorded.rsplit_once(':').map_or(recorded, |(name, _)| name);
    let host = host.to_ascii_lowercase();
    full(recorded).eq_ignore_ascii_case(&host)
        || bare.eq_ignore_ascii_case(&host)
        // A nickname that is in no table stands for every host with it in its name.
        || (full(recorded) == recorded && !recorded.is_empty() && !recorded.contains('.') && host.contains(recorded))
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

/// The fingerprint of a request body. JSON is compared by what it says, without the members that a proxy rewrites.
pub(super) fn fingerprint(body: &[u8]) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            forget_rewritten(&mut value);
            hash(&value, &mut hasher);
        }
        Err(_) => body.hash(&mut hasher),
    }
    hasher.finish()
}

fn forget_rewritten(value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    for name in REWRITTEN {
        members.shift_remove(*name);
    }
    for (parent, name) in REWRITTEN_INSIDE {
        if let Some(inside) = members.get_mut(*parent).and_then(Value::as_object_mut) {
            inside.shift_remove(*name);
            if inside.is_empty() {
                members.shift_remove(*parent);
            }
        }
    }
}

/// Hashes a value so that the order of members does not matter.
fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            (0, sorted.len()).hash(hasher);
            for (name, value) in sorted {
                name.hash(hasher);
                hash(value, hasher);
            }
        }
        Value::Array(values) => {
            (1, values.len()).hash(hasher);
            values.iter().for_each(|value| hash(value, hasher));
        }
        plain => (2, plain.to_string()).hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(id: &str, host: &str, target: &str, request: Option<&str>) -> Recording {
        Recording {
            id: id.to_owned(),
            method: "POST".to_owned(),
            host: host.to_owned(),
            target: target.to_owned(),
            status: 200,
            content_type: String::new(),
            content_encoding: String::new(),
            framing: "sse".to_owned(),
            body: "x".into(),
            request: request.map(|text| fingerprint(text.as_bytes())),
        }
    }

    fn ids(recordings: &Recordings, host: &str, target: &str, body: &str, times: usize) -> Vec<String> {
        let asked = Asked { method: "POST", host, target, body: body.as_bytes(), id: None };
        (0..times).filter_map(|_| recordings.choose(&asked)).map(|chosen| chosen.id.clone()).collect()
    }

    #[test]
    fn nicknames_stand_for_hosts() {
        for (recorded, host, same) in [
            ("anthropic", "api.anthropic.com", true),
            ("openai", "api.openai.com", true),
            ("openai", "x.openai.azure.com", false),
            ("gemini", "generativelanguage.googleapis.com", true),
            ("groq", "api.groq.com", true),
            ("api.x.ai", "API.x.ai", true),
            ("localhost:8000", "localhost", true),
            ("api.x.ai", "x.ai", false),
            ("", "api.x.ai", false),
        ] {
            assert_eq!(is_host(recorded, host), same, "{recorded} {host}");
        }
    }

    #[test]
    fn a_cap_that_was_put_in_or_lowered_makes_no_other_request() {
        for (sent, arrived) in [
            (r#"{"model":"m"}"#, r#"{"model":"m","max_tokens":300,"stream_options":{"include_usage":true}}"#),
            (r#"{"contents":[]}"#, r#"{"contents":[],"generationConfig":{"maxOutputTokens":300}}"#),
            (
                r#"{"inferenceConfig":{"maxTokens":9,"topP":1}}"#,
                r#"{"inferenceConfig":{"topP":1,"maxTokens":8}}"#,
            ),
            (r#"{"input":"x"}"#, r#"{"input":"x","generation_config":{"max_output_tokens":300}}"#),
            (r#"{"model":"m"}"#, r#"{"model":"m","options":{"num_predict":300}}"#),
        ] {
            assert_eq!(fingerprint(sent.as_bytes()), fingerprint(arrived.as_bytes()), "{arrived}");
        }
        assert_ne!(fingerprint(br#"{"options":{"seed":1}}"#), fingerprint(br#"{"options":{"seed":2}}"#));
    }

    #[test]
    fn the_same_request_wins_and_others_take_turns() {
        let recordings = Recordings::new(vec![
            recording("a", "anthropic", "/v1/messages", Some(r#"{"model":"m","max_tokens":5}"#)),
            recording("b", "anthropic", "/v1/messages", Some(r#"{"model":"n"}"#)),
            recording("c", "anthropic", "/v1/other", None),
        ]);
        let host = "api.anthropic.com";
        assert_eq!(ids(&recordings, host, "/v1/messages", "{}", 3), ["a", "b", "a"]);
        assert_eq!(ids(&recordings, host, "/v1/messages", r#"{"max_tokens":9, "model":"m"}"#, 2), ["a", "a"]);
        assert_eq!(ids(&recordings, host, "/v1/other?beta=true", "", 1), ["c"]);
        assert!(ids(&recordings, host, "/v1/nothing", "", 1).is_empty());
        assert!(ids(&recordings, "api.openai.com", "/v1/messages", "", 1).is_empty());
        let named = Asked { method: "GET", host: "x", target: "/", body: b"", id: Some("b") };
        assert_eq!(recordings.choose(&named).unwrap().id, "b");
        assert_eq!(recordings.listed("x").len(), 2);
    }
}
