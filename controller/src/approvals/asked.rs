//! What an agent asks people about, from the body of `POST /confirm`: the names of both confirmation servers that went
//! before are taken, and what is of the wrong type is said to be.
//!
//! Invariants: a body that can be read in two ways is not read at all; nothing that is said here makes an action less
//! risky, nor names anybody who decides.

use hudson_proxy::approval::{NotCanonical, canonical};
use hudson_schema::Tier;
use hudson_schema::action::tier_of_risk_level;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The shortest and the longest time that an agent may give people.
const TIMEOUT: (u64, u64) = (30, 3600);
/// The longest name, in characters.
const NAME: usize = 200;
/// The longest target, in characters.
const TARGET: usize = 2_000;
/// Where details say who or what is acted on. All of them count: who is in copy gets the message, too.
const TARGETS: [&str; 6] = ["to", "recipient", "recipients", "target", "cc", "bcc"];
/// Where details say what is run.
const COMMANDS: [&str; 8] = ["command", "commands", "cmd", "script", "shell", "argv", "args", "code"];

/// An action that an agent asks about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// The action.
    pub action: String,
    /// What it is, for people.
    pub description: String,
    /// The rest, as the text of a JSON object.
    pub details: String,
    /// What the agent calls itself.
    pub requester: Option<String>,
    /// The session it says it is in.
    pub session: Option<String>,
    /// What is acted on; empty where it is not said.
    pub target: String,
    /// What is run, if anything.
    pub command: Option<String>,
    /// How risky the agent says it is.
    pub tier: Option<Tier>,
    /// What the agent says of its situation.
    pub context: String,
    /// How long people have, where the agent says that in a way that can be understood.
    pub timeout: Option<Duration>,
    /// How long the answer is waited for, where the body says so.
    pub wait: Option<Wait>,
}

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wait {
    /// Not at all.
    No,
    /// As long as it is done at most.
    Longest,
    /// So long.
    For(Duration),
}

/// Why a body asks nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("invalid JSON")]
    NotJson,
    /// It says something twice.
    #[error("invalid JSON: a key is there twice, so that nobody could say what is asked")]
    Twice,
    /// It is something else.
    #[error("the body is not a JSON object; expected {{\"action\": \"…\", \"description\": \"…\"}}")]
    NoObject,
    /// Something is missing.
    #[error("missing required field: {0}")]
    Missing(&'static str),
    /// Something is of another type.
    #[error("{field}: expected {expected}")]
    Type {
        /// What.
        field: String,
        /// What it ought to be.
        expected: &'static str,
    },
    /// It is too long.
    #[error("{field}: longer than {most} characters")]
    Long {
        /// What.
        field: &'static str,
        /// The most.
        most: usize,
    },
    /// Two names of one thing, which differ.
    #[error("{0} and {1} are the same, and must not say two things")]
    Differ(&'static str, &'static str),
}

impl Asked {
    /// Reads a body.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let members = Members::read(body)?;
        let action = members.text("action")?.ok_or(Unreadable::Missing("action"))?;
        let description = members.text("description")?.ok_or(Unreadable::Missing("description"))?;
        let details = members.object("details", "payload")?;
        let parsed: Value = serde_json::from_str(&details).map_err(|_| Unreadable::NotJson)?;
        let target = target(members.text("target")?, &parsed);
        for (field, text, most) in [("action", &action, NAME), ("target", &target, TARGET)] {
            if text.chars().count() > most {
                return Err(Unreadable::Long { field, most });
            }
        }
        Ok(Self {
            requester: members.name("requester")?,
            session: members.name("session_key")?,
            command: command(members.text("command")?, &parsed),
            tier: members.tier()?,
            context: members.text("context")?.unwrap_or_default(),
            timeout: members.timeout()?,
            wait: members.wait()?,
            action,
            description,
            details,
            target,
        })
    }
}

/// The members of a body, each as it is there.
pub struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Reads a body that is an object in which each key is there once.
    pub fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let form = canonical(body).map_err(|fault| match fault {
            NotCanonical::DuplicateKey => Unreadable::Twice,
            NotCanonical::NotJson => Unreadable::NotJson,
        })?;
        if !form.starts_with('{') {
            return Err(Unreadable::NoObject);
        }
        serde_json::from_slice(body).map(Self).map_err(|_| Unreadable::NotJson)
    }

    /// The same of what may be empty.
    pub fn read_or_empty(body: &[u8]) -> Result<Self, Unreadable> {
        match body.trim_ascii() {
            b"" => Ok(Self(BTreeMap::new())),
            body => Self::read(body),
        }
    }

    /// A member; none where it is null.
    pub fn value(&self, name: &str) -> Option<Value> {
        let value = self.0.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
        value.filter(|value: &Value| !value.is_null())
    }

    /// A text; none where it is null or empty.
    pub fn text(&self, name: &str) -> Result<Option<String>, Unreadable> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    fn name(&self, name: &'static str) -> Result<Option<String>, Unreadable> {
        match self.text(name)? {
            Some(text) if text.chars().count() > NAME => Err(Unreadable::Long { field: name, most: NAME }),
            text => Ok(text),
        }
    }

    fn object(&self, name: &'static str, alias: &'static str) -> Result<String, Unreadable> {
        let member = |name: &'static str| -> Result<Option<&str>, Unreadable> {
            match self.0.get(name).map(|raw| raw.get().trim()) {
                None | Some("null") => Ok(None),
                Some(text) if text.starts_with('{') => Ok(Some(text)),
                Some(_) => Err(wrong(name, "an object")),
            }
        };
        match (member(name)?, member(alias)?) {
            (Some(one), Some(other)) if canonical(one.as_bytes()) != canonical(other.as_bytes()) => {
                Err(Unreadable::Differ(name, alias))
            }
            (one, other) => Ok(one.or(other).unwrap_or("{}").to_owned()),
        }
    }

    fn tier(&self) -> Result<Option<Tier>, Unreadable> {
        let mut wished = None;
        for name in ["risk_level", "tier"] {
            let tier = match self.value(name) {
                None => continue,
                Some(Value::String(word)) => tier_of_risk_level(&word),
                Some(Value::Number(number)) => tier_of_risk_level(&number.to_string()),
                Some(_) => None,
            };
            let tier = tier.ok_or_else(|| wrong(name, "one of safe, low, medium, high, critical"))?;
            wished = wished.max(Some(tier));
        }
        Ok(wished)
    }

    /// What cannot be understood says nothing.
    fn timeout(&self) -> Result<Option<Duration>, Unreadable> {
        let seconds = |name| {
            let value = self.value(name)?;
            let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
            seconds.is_finite().then(|| seconds.clamp(TIMEOUT.0 as f64, TIMEOUT.1 as f64))
        };
        match (seconds("timeout_seconds"), seconds("timeout")) {
            (Some(one), Some(other)) if one != other => Err(Unreadable::Differ("timeout_seconds", "timeout")),
            (one, other) => Ok(one.or(other).map(Duration::from_secs_f64)),
        }
    }

    fn wait(&self) -> Result<Option<Wait>, Unreadable> {
        match self.value("wait") {
            None => Ok(None),
            Some(Value::Bool(false)) => Ok(Some(Wait::No)),
            Some(Value::Bool(true)) => Ok(Some(Wait::Longest)),
            Some(Value::Number(number)) => match number.as_f64().filter(|seconds| *seconds >= 0.0) {
                Some(seconds) => Ok(Some(Wait::For(Duration::from_secs_f64(seconds.min(3600.0))))),
                None => Err(wrong("wait", "true, false or seconds")),
            },
            Some(_) => Err(wrong("wait", "true, false or seconds")),
        }
    }
}

fn wrong(field: &str, expected: &'static str) -> Unreadable {
    Unreadable::Type { field: field.to_owned(), expected }
}

/// Everybody and everything that is acted on, in one text: who is named beside the one whom a grant allows makes it
/// another.
fn target(named: Option<String>, details: &Value) -> String {
    let mut targets: BTreeSet<String> = named.into_iter().map(|target| target.trim().to_owned()).collect();
    let members = details.as_object().into_iter().flatten();
    // However it is spelled: what is missed here would pass for a message to the one who is allowed.
    for (_, value) in members.filter(|(key, _)| TARGETS.contains(&key.to_lowercase().trim())) {
        match value {
            Value::Null => {}
            Value::Array(items) => targets.extend(items.iter().map(text)),
            value => targets.extend([text(value)]),
        }
    }
    targets.retain(|target| !target.is_empty());
    targets.into_iter().collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// Everything that is run, one command a line.
fn command(named: Option<String>, details: &Value) -> Option<String> {
    let mut commands: Vec<String> = named.into_iter().collect();
    gather(details, &mut commands);
    Some(commands.join("\n")).filter(|commands| !commands.is_empty())
}

fn gather(value: &Value, commands: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::Array(words) if COMMANDS.contains(&key.to_lowercase().as_str()) => {
                        commands.push(words.iter().map(text).collect::<Vec<_>>().join(" "));
                    }
                    Value::String(line) if COMMANDS.contains(&key.to_lowercase().as_str()) => {
                        commands.push(line.clone());
                    }
                    inner => gather(inner, commands),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, commands)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Asked, String> {
        Asked::read(body.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_ancestors_names_are_taken() {
        let of_000 = read(
            r#"{"action": "deploy", "description": "v2", "details": {"n": 1.0}, "requester": "bot",
                "session_key": "s1", "timeout_seconds": 60}"#,
        )
        .unwrap();
        assert_eq!(
            (of_000.details.as_str(), of_000.timeout),
            (r#"{"n": 1.0}"#, Some(Duration::from_secs(60)))
        );
        let of_001 = read(
            r#"{"action": "deploy", "description": "v2", "payload": {"n": 1.0}, "risk_level": "HIGH",
                "session_key": "s1", "timeout": 60}"#,
        )
        .unwrap();
        assert_eq!((of_001.tier, of_001.requester), (Some(Tier::High), None));
        assert_eq!((of_001.details, of_001.timeout), (of_000.details, of_000.timeout));
        let both =
            r#"{"action": "a", "description": "d", "details": {"a": 1, "b": 2}, "payload": {"b":2,"a":1}}"#;
        assert!(read(both).is_ok());
        let differ = both.replace("\"b\":2", "\"b\":3");
        assert!(read(&differ).unwrap_err().contains("must not say two things"));
    }

    #[test]
    fn what_is_of_the_wrong_type_is_said_and_nothing_else_happens() {
        for (body, why) in [
            ("", "invalid JSON"),
            ("[]", "not a JSON object"),
            ("5", "not a JSON object"),
            ("{\"action\": \"a\"", "invalid JSON"),
            (r#"{"description": "d"}"#, "missing required field: action"),
            (r#"{"action": "", "description": "d"}"#, "missing required field: action"),
            (r#"{"action": "a"}"#, "missing required field: description"),
            (r#"{"action": 5, "description": "d"}"#, "action: expected a string"),
            (r#"{"action": "a", "description": ["d"]}"#, "description: expected a string"),
            (r#"{"action": "a", "description": "d", "details": []}"#, "details: expected an object"),
            (r#"{"action": "a", "description": "d", "payload": "x"}"#, "payload: expected an object"),
            (r#"{"action": "a", "description": "d", "risk_level": "none"}"#, "risk_level: expected one of"),
            (r#"{"action": "a", "description": "d", "tier": 7}"#, "tier: expected one of"),
            (r#"{"action": "a", "description": "d", "wait": "yes"}"#, "wait: expected"),
            (r#"{"action": "a", "action": "b", "description": "d"}"#, "twice"),
            (r#"{"action": "a", "description": "d", "details": {"x": 1, "x": 2}}"#, "twice"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
        let long = format!(r#"{{"action": "{}", "description": "d"}}"#, "a".repeat(201));
        assert!(read(&long).unwrap_err().contains("longer than 200"));
    }

    #[test]
    fn a_time_out_is_clamped_and_a_bad_one_is_none() {
        let timeout = |value: &str| {
            let body = format!(r#"{{"action": "a", "description": "d", "timeout_seconds": {value}}}"#);
            read(&body).unwrap().timeout.map(|timeout| timeout.as_secs())
        };
        for (value, seconds) in [
            ("5", Some(30)),
            ("-1", Some(30)),
            ("45", Some(45)),
            ("1e9", Some(3600)),
            ("\"60\"", Some(60)),
            ("\"soon\"", None),
            ("null", None),
            ("true", None),
            ("[]", None),
        ] {
            assert_eq!(timeout(value), seconds, "{value}");
        }
    }

    #[test]
    fn who_is_in_copy_is_a_target_as_well() {
        let target = |details: &str| {
            read(&format!(r#"{{"action": "send_email", "description": "d", "details": {details}}}"#))
                .unwrap()
                .target
        };
        assert_eq!(target(r#"{"to": "me@example.com"}"#), "me@example.com");
        assert_eq!(target(r#"{"recipient": "me@example.com", "to": " me@example.com"}"#), "me@example.com");
        for others in [
            r#"{"to": "me@example.com", "cc": "you@example.com"}"#,
            r#"{"to": "me@example.com", "bcc": ["you@example.com"]}"#,
            r#"{"recipient": "me@example.com", "to": "you@example.com"}"#,
            r#"{"to": ["me@example.com", "you@example.com"]}"#,
            r#"{"to": "me@example.com", "BCC": "you@example.com"}"#,
        ] {
            assert_eq!(target(others), "me@example.com, you@example.com", "{others}");
        }
    }

    #[test]
    fn every_command_in_the_details_is_found() {
        let asked = read(
            r#"{"action": "terminal", "description": "d", "command": "ls",
                "details": {"steps": [{"cmd": "rm -rf /"}, {"Args": ["sudo", "reboot"]}]}}"#,
        )
        .unwrap();
        assert_eq!(asked.command.as_deref(), Some("ls\nrm -rf /\nsudo reboot"));
        assert_eq!(read(r#"{"action": "a", "description": "d"}"#).unwrap().command, None);
    }
}
